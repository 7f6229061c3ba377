// The API page lists the calls of /openapi.json and sends them. It sets data from outside only as text, never as HTML.
"use strict";

const byId = (id) => document.getElementById(id);

// element creates <name> with properties and children.
function element(name, properties, ...children) {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
}

// resolve follows the $ref of a node inside the document.
function resolve(doc, node) {
  while (node && node.$ref) {
    node = node.$ref.slice(2).split("/").reduce((at, part) => at[part.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
  }
  return node;
}

function field(label, input) {
  return element("label", {}, label, input);
}

// parameterFields creates an input for each parameter; values() returns the names and values of those in one place.
function parameterFields(doc, operation) {
  const inputs = (operation.parameters || []).map((p) => resolve(doc, p)).map((p) => ({
    ...p, input: element("input", { value: p.in === "path" ? p.example : "", placeholder: p.example, autocomplete: "off" }),
  }));
  return {
    nodes: inputs.map((p) => field(`${p.name} (${p.in}${p.required ? "" : ", optional"})`, p.input)),
    values: (where) => inputs.filter((p) => p.in === where && p.input.value !== "").map((p) => [p.name, p.input.value]),
  };
}

const formType = "application/x-www-form-urlencoded";

// requestOf returns the arguments of fetch. The OAuth calls send a form, and accept only the API key.
function requestOf(method, path, parameters, body, type) {
  for (const [name, value] of parameters.values("path")) {
    path = path.replace(`{${name}}`, encodeURIComponent(value));
  }
  const query = new URLSearchParams(parameters.values("query")).toString();
  if (query) path += `?${query}`;
  const headers = new Headers(parameters.values("header"));
  if (byId("bearer").value && type !== formType) headers.set("Authorization", `Bearer ${byId("bearer").value}`);
  if (byId("key").value) headers.set("X-API-Key", byId("key").value);
  if (body) headers.set("Content-Type", type);
  return [path, { method: method.toUpperCase(), headers, body: body ? body.value : undefined, credentials: "omit", redirect: "error" }];
}

// send sends a request and shows its response.
async function send(request, output) {
  output.textContent = "…";
  try {
    const began = performance.now();
    const response = await fetch(...request);
    const text = await response.text();
    const took = Math.round(performance.now() - began);
    output.textContent = `${response.status} ${response.statusText} in ${took} ms\nX-Request-Id: ${response.headers.get("X-Request-Id")}\n\n${pretty(text)}`;
  } catch (error) {
    output.textContent = `The request failed: ${error.message}`;
  }
}

// keep stores a new token for the next calls, and for the next refresh.
function keep(token) {
  byId("bearer").value = token;
  byId("refresh").querySelector("textarea").value = JSON.stringify({ token }, null, 2);
}

// pretty formats JSON, and keeps the token of a login or a refresh.
function pretty(text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    return text;
  }
  if (answer.data && answer.data.token) keep(answer.data.token);
  return JSON.stringify(answer, null, 2);
}

function tryForm(doc, method, path, operation) {
  const parameters = parameterFields(doc, operation);
  const [type, media] = operation.requestBody ? Object.entries(operation.requestBody.content)[0] : [];
  const text = type === formType ? (example) => new URLSearchParams(example).toString() : (example) => JSON.stringify(example, null, 2);
  const body = media && element("textarea", { rows: 6, spellcheck: false, value: text(media.example) });
  const output = element("pre", { ariaLive: "polite" });
  const form = element("form", {}, ...parameters.nodes);
  if (body) form.append(field("Body", body));
  form.append(element("button", {}, "Send"), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(requestOf(method, path, parameters, body, type), output);
  });
  return form;
}

function answers(doc, operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    response = resolve(doc, response);
    const media = response.content ? response.content["application/json"] : { examples: {} };
    const examples = media.example ? [media.example] : Object.values(media.examples).map((e) => e.value);
    const shown = examples.map((e) => element("pre", {}, JSON.stringify(e)));
    return element("tr", {}, element("td", {}, status), element("td", {}, response.description, ...shown));
  });
  return element("details", {}, element("summary", {}, "Responses"), element("table", { className: "answers" }, ...rows));
}

function call(doc, method, path, operation) {
  const name = element("code", { className: operation.deprecated ? "deprecated" : "" }, path);
  const head = element("summary", {}, element("code", { className: "method" }, method.toUpperCase()), name, ` ${operation.summary}`);
  return element("details", { id: operation.operationId }, head, element("p", {}, operation.description || ""),
    tryForm(doc, method, path, operation), answers(doc, operation));
}

function show(doc) {
  byId("about").textContent = `Version ${doc.info.version}. ${doc.info.description}`;
  for (const tag of doc.tags) {
    byId("calls").append(element("h2", {}, tag.name), element("p", {}, tag.description));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (operation.tags.includes(tag.name)) byId("calls").append(call(doc, method, path, operation));
      }
    }
  }
}

fetch("/openapi.json").then((r) => r.json()).then(show).catch((error) => {
  byId("calls").textContent = `/openapi.json could not be loaded: ${error.message}`;
});
