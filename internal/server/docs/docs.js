// Adds the search, and the forms that send a call, to the API page. It sets data from outside only as text, never as
// HTML, and calls only its own server.
"use strict";

const byId = (id) => document.getElementById(id);
const formType = "application/x-www-form-urlencoded";
const prefix = document.documentElement.dataset.prefix; // the path of the public URL, or empty

// requestOf returns the address and the arguments of fetch. Calls with a form accept only the API key.
function requestOf(form) {
  const { method, path, type } = form.dataset;
  const inputs = [...form.querySelectorAll("input")].filter((input) => input.value !== "");
  const values = (place) => inputs.filter((i) => i.dataset.in === place).map((i) => [i.name, i.value]);
  const filled = values("path").reduce((p, [name, value]) => p.replace(`{${name}}`, encodeURIComponent(value)), path);
  const url = new URL(prefix + filled, location.origin);
  url.search = new URLSearchParams(values("query"));
  const headers = new Headers(values("header"));
  if (byId("page-bearer").value && type !== formType) headers.set("Authorization", `Bearer ${byId("page-bearer").value}`);
  if (byId("page-key").value) headers.set("X-API-Key", byId("page-key").value);
  const body = form.elements.body ? form.elements.body.value : undefined;
  if (body) headers.set("Content-Type", type);
  return [url, { method, headers, body: body || undefined, credentials: "omit", redirect: "error", cache: "no-store" }];
}

// send sends a call and shows its response.
async function send(form) {
  const output = form.querySelector(".output");
  output.textContent = "…";
  try {
    const began = performance.now();
    const response = await fetch(...requestOf(form));
    const stream = (response.headers.get("Content-Type") || "").startsWith("text/event-stream");
    if (stream) await response.body.cancel();
    const text = stream ? "(a stream of events; read it with curl)" : await response.text();
    const took = Math.round(performance.now() - began);
    const head = `${response.status} ${response.statusText}`.trim();
    output.textContent = `${head} in ${took} ms\nX-Request-Id: ${response.headers.get("X-Request-Id")}\n\n${pretty(text)}`;
  } catch (error) {
    output.textContent = `The request failed: ${error.message}`;
  }
}

// pretty formats JSON, and keeps the token of a sign-in or a refresh for the next calls.
function pretty(text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    return text;
  }
  const token = answer.data && answer.data.token;
  if (token) {
    byId("page-bearer").value = token;
    byId("refresh").querySelector("textarea").value = JSON.stringify({ token }, null, 2);
    markCredentials();
  }
  return JSON.stringify(answer, null, 2);
}

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// curlOf returns a call as a command for a shell. Credentials are variables, so that none is copied by accident.
function curlOf(form) {
  const [url, { method, headers, body }] = requestOf(form);
  const words = ["curl"];
  if (method !== (body ? "POST" : "GET")) words.push("-X", method);
  words.push(quote(url.href));
  for (const [name, value] of headers) {
    if (name === "authorization") words.push("-H", '"Authorization: Bearer $PAWL_TOKEN"');
    else if (name === "x-api-key") words.push("-H", '"X-API-Key: $PAWL_API_KEY"');
    else words.push("-H", quote(`${name}: ${value}`));
  }
  if (body) words.push("--data-raw", quote(body));
  return words.join(" ");
}

// copy puts the command on the clipboard. Where the browser permits no clipboard, it shows the command instead.
async function copy(form) {
  const command = curlOf(form);
  const status = form.querySelector(".copied");
  try {
    await navigator.clipboard.writeText(command);
    status.textContent = "Copied.";
  } catch {
    form.querySelector(".output").textContent = command;
    getSelection().selectAllChildren(form.querySelector(".output"));
    status.textContent = "Copy it from below.";
  }
}

function markCredentials() {
  byId("page-credentials").classList.toggle("filled", byId("page-bearer").value !== "" || byId("page-key").value !== "");
}

// search shows the calls that have every word of the query.
function search() {
  const words = byId("page-search").value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const calls = [...document.querySelectorAll("main .call")];
  const found = new Set(calls.filter((c) => words.every((w) => c.dataset.search.includes(w))).map((c) => c.dataset.call));
  for (const item of document.querySelectorAll("[data-call]")) item.hidden = !found.has(item.dataset.call);
  for (const group of document.querySelectorAll(".group")) {
    group.hidden = !group.querySelector("[data-call]:not([hidden])");
  }
  byId("page-about").hidden = words.length > 0;
  byId("page-found").hidden = words.length === 0;
  byId("page-found").textContent = found.size === 1 ? "1 call" : `${found.size} calls`;
}

// openTarget opens the call of the address, even if a search hides it.
function openTarget() {
  const target = byId(location.hash.slice(1));
  if (!target || target.tagName !== "DETAILS") return;
  if (target.parentElement.hidden) {
    byId("page-search").value = "";
    search();
  }
  target.open = true;
  target.scrollIntoView();
}

for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.querySelector(".copy").addEventListener("click", () => copy(form));
}
byId("page-search").addEventListener("input", search);
byId("page-credentials").addEventListener("input", markCredentials);
addEventListener("hashchange", openTarget);
addEventListener("click", (event) => {
  if (!byId("page-credentials").contains(event.target)) byId("page-credentials").open = false;
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) openTarget(); // no hashchange
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, textarea")) {
    event.preventDefault();
    byId("page-search").focus();
  }
  if (event.key === "Escape") byId("page-credentials").open = false;
});
document.documentElement.classList.add("js");
openTarget();
