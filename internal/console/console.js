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

// A link with data-ask leads to a page that asks before an action. The page is shown in a dialog instead.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-ask]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const form = (await get(link.href))?.querySelector("form.ask");
  if (!form) return location.assign(link.href);
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", form.querySelector("h1").textContent);
  dialog.append(document.adoptNode(form));
  dialog.querySelector(".cancel").addEventListener("click", (cancel) => {
    cancel.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    link.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
});

// A form with data-live updates a part of the page while a person types.
for (const form of document.querySelectorAll("form[data-live]")) {
  let timer = 0;
  let latest = 0;
  const update = async () => {
    const url = new URL(form.action);
    url.search = new URLSearchParams(new FormData(form)).toString();
    const turn = ++latest;
    const found = (await get(url))?.querySelector(form.dataset.live);
    if (!found || turn !== latest) return;
    document.querySelector(form.dataset.live).replaceWith(document.adoptNode(found));
    history.replaceState(null, "", url);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(update, 150);
  });
}
