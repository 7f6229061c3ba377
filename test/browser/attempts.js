// The functions of the scripts in foreign_test.go. pawl and app are the addresses of the server and of the app whose
// user is signed in, and origin is that of the page.

globalThis.login = JSON.stringify({ login: "jsmith@example.com", password: "wrong", cookie: true });
globalThis.go = (path, site = origin) => site + "/go?to=" + encodeURIComponent(pawl + path);

// peek returns what a script can read of a response.
globalThis.peek = async (request) => {
  try {
    const response = await request;
    return response.type.startsWith("opaque") ? "unreadable" : response.status + " " + await response.text();
  } catch {
    return "unreadable";
  }
};

// sweep sends every mode, credentials and body to three paths, and every method to the other paths.
globalThis.sweep = async () => {
  const json = new Blob(["{}"], { type: "application/json" });
  const all = [];
  for (const mode of ["cors", "no-cors", "same-origin", "navigate"]) {
    for (const credentials of ["omit", "same-origin", "include"]) {
      all.push(["/v2/users/me", { mode, credentials }]);
      for (const body of [undefined, "{}", new URLSearchParams("a=b"), new FormData(), json]) {
        all.push(["/v2/auth/refresh", { method: "POST", mode, credentials, body }]);
        all.push(["/v2/auth/logout", { method: "POST", mode, credentials, body }]);
      }
    }
  }
  for (const [method, path, body] of [
    ["HEAD", "/v2/users/me"], ["POST", "/v2/auth/login", login], ["POST", "/v2/auth/session"],
    ["POST", "/v2/auth/sessions/end-all", "{}"], ["PUT", "/v2/auth/password", "{}"], ["PATCH", "/v2/users", "{}"],
    ["DELETE", "/v2/auth/sessions/x"], ["POST", "/oauth2/token", new URLSearchParams("grant_type=refresh_token")],
    ["POST", "/oauth2/introspect", new URLSearchParams("token=x")], ["GET", "/forward-auth"],
  ]) {
    for (const mode of ["cors", "no-cors"]) {
      all.push([path, { method, mode, credentials: "include", body }]);
    }
  }
  const seen = await Promise.all(all.map(async ([path, options]) => {
    const answer = await peek((async () => fetch(pawl + path, options))());
    return answer === "unreadable" ? "" : [path, JSON.stringify(options), answer].join(" ");
  }));
  return seen.filter(Boolean).join() || "unreadable";
};

globalThis.xhr = (method, path) => new Promise(done => {
  const request = new XMLHttpRequest();
  request.open(method, pawl + path);
  request.withCredentials = true;
  request.onload = () => done(request.status + " " + request.responseText);
  request.onerror = () => done("unreadable");
  request.send();
});

// load adds an element, and returns what look sees in it.
globalThis.load = (tag, attributes, look) => new Promise(done => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.onload = element.onloadeddata = () => done(look(element));
  element.onerror = () => done("unreadable");
  document.body.append(element);
});

globalThis.inFrame = (frame) => {
  try {
    return frame.contentWindow.document.body.textContent + frame.contentWindow.localStorage.length;
  } catch {
    return "unreadable";
  }
};

// form submits a form into an iframe, or in place of the page, and returns what the page can read of the answer.
globalThis.form = (method, enctype, action, target = "answer") => {
  const element = Object.assign(document.createElement("form"), { method, enctype, action, target });
  element.append(Object.assign(document.createElement("input"), { name: '{"x":"', value: '"}' }));
  document.body.append(element);
  if (target === "_self") return setTimeout(() => element.submit()), "unreadable";
  const shown = load("iframe", { name: target }, inFrame);
  return shown.then(() => new Promise(done => {
    const frame = document.querySelector("iframe");
    frame.onload = () => done(inFrame(frame));
    element.submit();
  }));
};

globalThis.beacon = (path, body) => navigator.sendBeacon(pawl + path, body) ? "unreadable" : "refused";

// ping clicks a link with an attribute ping.
globalThis.ping = (path) => {
  document.body.append(Object.assign(document.createElement("a"), { href: "#x", ping: pawl + path }));
  document.querySelector("a").click();
  return "unreadable";
};
