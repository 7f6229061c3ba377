// The script of the console. Every page works without it: it saves page loads, and nothing more.
"use strict";

// get returns the document at an address, or null after it has left the page for one that needs a sign-in.
async function get(url, headers = {}) {
  const response = await fetch(url, { headers, redirect: "follow" });
  if (response.status === 401 || response.redirected) {
    location.assign(response.redirected ? response.url : location.href);
    return null;
  }
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

// ask shows the question of a page in a dialog. If the page has no question, the browser opens the page.
async function ask(url, opener) {
  const form = (await get(url))?.querySelector("form.ask");
  if (!form) return location.assign(url);
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", form.querySelector("h1").textContent);
  dialog.append(document.adoptNode(form));
  dialog.querySelector(".cancel").addEventListener("click", (cancel) => {
    cancel.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    opener.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

// A link or a button with data-ask leads to a page that asks before an action. The question is shown in a dialog.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-ask]");
  if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!opener.form) return ask(opener.href, opener);
  const url = new URL(opener.form.action);
  url.search = new URLSearchParams(new FormData(opener.form)).toString();
  return ask(url, opener);
});

// A checkbox with data-all selects all rows of its table.
for (const all of document.querySelectorAll("[data-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of all.closest("table").querySelectorAll("[name=s]")) box.checked = all.checked;
  });
}

// show replaces a part of the page by that of another document, or by the message of an error.
function show(selector, fresh, failed) {
  const found = fresh?.querySelector(selector);
  if (found) {
    document.querySelector(selector).replaceWith(document.adoptNode(found));
  } else {
    const problem = document.createElement("p");
    problem.className = "problem";
    problem.setAttribute("role", "alert");
    problem.textContent = fresh?.querySelector("[role=alert]")?.textContent ?? failed;
    document.querySelector(selector).replaceChildren(problem);
  }
  // A screen reader announces a change of the text in an element with the role status, but not a new element.
  document.querySelector("#count").textContent = fresh?.querySelector("#count")?.textContent ?? "";
  return !!found;
}

// A form with data-live updates a part of the page while a person types.
for (const form of document.querySelectorAll("form[data-live]")) {
  let timer = 0;
  let latest = 0;
  const update = async () => {
    const url = new URL(form.action);
    url.search = new URLSearchParams(new FormData(form)).toString();
    const turn = ++latest;
    let fresh;
    try {
      fresh = await get(url);
      if (!fresh) return;
    } catch {
      // The server is unreachable.
    }
    if (turn !== latest) return;
    if (show(form.dataset.live, fresh, form.dataset.failed)) history.replaceState(null, "", url);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(update, 150);
  });
}

// A button with data-copy copies the text of an element.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue; // browsers have it over HTTPS and on loopback only
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
    const status = button.nextElementSibling;
    status.textContent = status.dataset.copied;
  });
}

// An element with data-poll is replaced by that of the same page every few seconds, while the page is visible.
for (const { id, dataset } of document.querySelectorAll("[data-poll]")) {
  const update = async () => {
    if (document.hidden) return;
    try {
      const fresh = (await get(location.href, { "Pawl-Poll": "1" }))?.getElementById(id);
      const current = document.getElementById(id);
      if (fresh && !current.contains(document.activeElement)) current.replaceWith(document.adoptNode(fresh));
    } catch {
      // The server is unreachable; the next round tries again.
    }
  };
  setInterval(update, dataset.poll * 1000);
}
