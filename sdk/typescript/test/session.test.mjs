// Runs against a real Pawl: PAWL_URL, PAWL_LOGIN and PAWL_PASSWORD name it. Its token-life is 1 hour.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSession, memoryStorage, PawlError } from "../dist/index.js";
import { recordTimeouts } from "./timeouts.mjs";

const { PAWL_URL: url, PAWL_LOGIN: login, PAWL_PASSWORD: password } = process.env;
const hour = 3600_000;

/** A fetch that counts the calls of each path, and lets a test change an answer or throw it away. */
function spy(change = (response) => response) {
  const calls = [];
  const send = async (input, init) => {
    const request = new Request(input, init);
    const call = { path: new URL(request.url).pathname, key: request.headers.get("Idempotency-Key") };
    calls.push(call);
    return change(await fetch(request), calls.length, call);
  };
  return { send, calls, paths: () => calls.map((c) => c.path) };
}

/** Makes the stored token look as old as `age`, as if the local clock had run on. */
function grow(storage, age, name = "pawl") {
  const state = JSON.parse(storage.getItem(name));
  state.local -= age;
  storage.setItem(name, JSON.stringify(state));
}

const payload = (token) => token.split(".")[1];

async function signedIn(options = {}) {
  const storage = options.storage ?? memoryStorage();
  const session = createSession({ url, storage, ...options });
  await session.login(login, password);
  return { session, storage };
}

test("signs in, calls, and signs out", async () => {
  let ended = 0;
  const { session } = await signedIn({ onSignedOut: () => ended++ });
  assert.equal(session.signedIn, true);
  assert.equal(session.userId, 4821);
  const answer = await session.fetch(url + "/v2/auth/session", { method: "POST" });
  assert.equal((await answer.json()).data.login, login);
  const token = await session.token();
  await session.logout();
  assert.equal(ended, 1);
  assert.equal(session.signedIn, false);
  await assert.rejects(session.token(), { errorCode: "SignedOut" });
  const after = await fetch(url + "/v2/auth/session", { method: "POST", headers: { Authorization: "Bearer " + token } });
  assert.equal(after.status, 401);
  session.close();
});

test("a refresh that ends after close sets no timer", async (t) => {
  let release;
  const held = new Promise((done) => (release = done));
  const send = async (input, init) => {
    const request = new Request(input, init);
    if (request.url.endsWith("/refresh")) {
      await held;
    }
    return fetch(request);
  };
  const { session, storage } = await signedIn({ keepAlive: true, fetch: send });
  grow(storage, hour - 30_000);
  const token = session.token();
  session.close();
  const { delays } = recordTimeouts(t);
  release();
  await token;
  assert.deepEqual(delays.filter((ms) => ms > 60_000), []); // fetch itself sets shorter ones
});

test("a wrong password is a typed error", async () => {
  const session = createSession({ url, storage: memoryStorage() });
  await assert.rejects(session.login(login, "wrong"), (e) => {
    assert.ok(e instanceof PawlError);
    assert.equal(e.errorCode, "InvalidCredentials");
    assert.equal(e.status, 401);
    assert.notEqual(e.requestId, "");
    assert.equal(e.temporary, false);
    return true;
  });
  session.close();
});

test("many calls at once refresh once", async () => {
  const { send, paths } = spy();
  const { session, storage } = await signedIn({ fetch: send });
  const before = await session.token();
  grow(storage, hour - 30_000);
  const tokens = await Promise.all(Array.from({ length: 20 }, () => session.token()));
  assert.equal(new Set(tokens).size, 1);
  assert.notEqual(tokens[0], before);
  assert.deepEqual(paths(), ["/v2/auth/login", "/v2/auth/refresh"]);
  session.close();
});

test("two holders of one storage without a common lock get the same successor", async () => {
  const { session: one, storage } = await signedIn();
  const two = createSession({ url, storage });
  grow(storage, hour);
  const [a, b] = await Promise.all([one.token(), two.token()]);
  assert.equal(payload(a), payload(b));
  assert.equal(await one.token(), await two.token());
  one.close();
  two.close();
});

test("a lost answer is asked for again with the same key", async () => {
  let lost = 0;
  const { send, calls } = spy((response, _, { path }) => {
    if (path === "/v2/auth/refresh" && lost++ < 2) {
      throw new TypeError("the connection is gone");
    }
    return response;
  });
  const { session, storage } = await signedIn({ fetch: send });
  grow(storage, hour - 10_000);
  const token = await session.token();
  const refreshes = calls.filter((c) => c.path === "/v2/auth/refresh");
  assert.equal(refreshes.length, 3);
  assert.equal(new Set(refreshes.map((c) => c.key)).size, 1);
  assert.ok(refreshes[0].key);
  const answer = await fetch(url + "/v2/auth/session", { method: "POST", headers: { Authorization: "Bearer " + token } });
  assert.equal(answer.status, 200);
  session.close();
});

test("the key survives the page", async () => {
  let down = true;
  const { send, calls } = spy((response, _, { path }) => {
    if (down && path === "/v2/auth/refresh") {
      throw new TypeError("offline");
    }
    return response;
  });
  const { session: first, storage } = await signedIn({ fetch: send });
  grow(storage, hour);
  const failed = first.token();
  await assert.rejects(failed, { errorCode: "Network", temporary: true });
  first.close();
  down = false;
  const second = createSession({ url, storage, fetch: send });
  await second.token();
  assert.equal(new Set(calls.filter((c) => c.key).map((c) => c.key)).size, 1);
  second.close();
});

test("a token that is still valid is used while Pawl does not answer", async () => {
  const { send } = spy((response, _, { path }) => {
    if (path === "/v2/auth/refresh") {
      return new Response("{}", { status: 503 });
    }
    return response;
  });
  const { session, storage } = await signedIn({ fetch: send });
  const before = await session.token();
  grow(storage, hour - 20_000);
  assert.equal(await session.token(), before);
  session.close();
});

test("Retry-After is heeded", async () => {
  let busy = 1;
  const at = [];
  const { send } = spy((response, _, { path }) => {
    if (path === "/v2/auth/refresh") {
      at.push(performance.now());
      if (busy-- > 0) {
        return Response.json(
          { success: false, data: null, errorCode: "RateLimitExceeded", message: "Wait." },
          { status: 429, headers: { "Retry-After": "1" } },
        );
      }
    }
    return response;
  });
  const { session, storage } = await signedIn({ fetch: send });
  grow(storage, hour);
  await session.token();
  assert.equal(at.length, 2);
  assert.ok(at[1] - at[0] >= 990, `waited ${at[1] - at[0]} ms`);
  session.close();
});

test("a 401 of a call in flight is repeated once with the new token, with its body", async () => {
  const { session, storage } = await signedIn();
  const state = JSON.parse(storage.getItem("pawl"));
  // Another holder refreshes behind our back.
  const other = await fetch(url + "/v2/auth/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": "k" },
    body: JSON.stringify({ token: state.token }),
  });
  storage.setItem("pawl.refresh", JSON.stringify({ of: state.local, key: "k", lost: false }));
  const next = (await other.json()).data.token;
  const answer = await session.fetch(url + "/v2/users/generate-password", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ length: 20 }),
  });
  assert.equal((await answer.json()).data.length, 20);
  assert.equal(payload(await session.token()), payload(next)); // a replay has another signature with ES256
  session.close();
});

test("an ended session signs out", async () => {
  let ended = 0;
  const { session } = await signedIn({ onSignedOut: () => ended++ });
  const token = await session.token();
  await fetch(url + "/v2/auth/logout", { method: "POST", headers: { Authorization: "Bearer " + token } });
  await assert.rejects(session.fetch(url + "/v2/auth/session", { method: "POST" }), { errorCode: "SignedOut" });
  assert.equal(ended, 1);
  assert.equal(session.signedIn, false);
  session.close();
});

for (const skew of [2 * hour, -2 * hour]) {
  test(`a clock that is wrong by ${skew / hour} h does no harm`, async (t) => {
    const now = Date.now.bind(Date);
    t.mock.method(Date, "now", () => now() + skew);
    const { send, paths } = spy();
    const { session } = await signedIn({ fetch: send });
    for (let i = 0; i < 3; i++) {
      await session.token();
    }
    assert.deepEqual(paths(), ["/v2/auth/login"]);
    session.close();
  });
}

test("a clock that is set back does not hide the age of a token", async (t) => {
  const { session } = await signedIn();
  const before = await session.token();
  const now = Date.now.bind(Date);
  const monotonic = performance.now.bind(performance);
  t.mock.method(Date, "now", () => now() - 5 * hour);
  t.mock.method(performance, "now", () => monotonic() + hour);
  assert.notEqual(await session.token(), before);
  session.close();
});

test("a clock that is set back does not hide the age of another tab's token", async (t) => {
  const storage = memoryStorage();
  let two;
  const seen = new Promise((done) => (two = createSession({ url, storage, onSignedIn: done })));
  const { session: one } = await signedIn({ storage });
  const alive = setInterval(() => {}, 1000); // the channel between sessions does not keep the process
  await seen;
  clearInterval(alive);
  const before = await two.token();
  const now = Date.now.bind(Date);
  const monotonic = performance.now.bind(performance);
  t.mock.method(Date, "now", () => now() - 5 * hour);
  t.mock.method(performance, "now", () => monotonic() + hour);
  assert.notEqual(await two.token(), before);
  one.close();
  two.close();
});

for (const [status, errorCode, want] of [
  [400, "InvalidParameter", "SignedOut"], // the answer without a cookie
  [401, "InvalidSession", "SignedOut"],
  [401, "InvalidAPIKey", "InvalidAPIKey"], // the server's settings are wrong, but the session is not
  [403, "AccessDenied", "AccessDenied"],
]) {
  test(`a refresh that is answered ${status} ${errorCode} ends in ${want}`, async () => {
    let ended = 0;
    const { send } = spy((response, _, { path }) =>
      path === "/v2/auth/refresh"
        ? Response.json({ success: false, data: null, errorCode, message: "No." }, { status })
        : response,
    );
    const { session, storage } = await signedIn({ fetch: send, onSignedOut: () => ended++ });
    grow(storage, hour);
    await assert.rejects(session.token(), { errorCode: want });
    assert.equal(session.signedIn, want !== "SignedOut");
    assert.equal(ended, want === "SignedOut" ? 1 : 0);
    session.close();
  });
}

test("in cookie mode, a logout reaches Pawl although the page has lost its state", async () => {
  const calls = [];
  const send = async (input, init) => {
    calls.push([new URL(input).pathname, init.credentials]);
    return Response.json({ success: true, data: null });
  };
  const session = createSession({ url, mode: "cookie", storage: memoryStorage(), fetch: send });
  await session.logout();
  assert.deepEqual(calls, [["/v2/auth/logout", "include"]]);
  await assert.rejects(session.open({ token: "x", expiresAt: "", userId: 1 }), TypeError);
  session.close();
});

test("rubbish in the storage is no session", async () => {
  for (const text of ["", "{", "null", "7", '"x"', '{"token":7}', '{"token":"x"}', "[]"]) {
    const storage = memoryStorage();
    storage.setItem("pawl", text);
    const session = createSession({ url, storage });
    assert.equal(session.signedIn, false, text);
    session.close();
  }
});

test("takes over a session that a backend has opened", async () => {
  const answer = await fetch(url + "/v2/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ login, password }),
  });
  const { data } = await answer.json();
  const session = createSession({ url, storage: memoryStorage() });
  await session.open(data);
  assert.equal(await session.token(), data.token);
  assert.equal(session.userId, 4821);
  session.close();
});

test("a lost race is asked about without the key, also by a later attempt", async () => {
  let dropped = 0;
  const { send, calls } = spy((response, _, { path, key }) => {
    if (path === "/v2/auth/refresh" && !key && dropped++ < 6) {
      throw new TypeError("the connection is gone");
    }
    return response;
  });
  const { session, storage } = await signedIn({ fetch: send });
  const state = JSON.parse(storage.getItem("pawl"));
  await fetch(url + "/v2/auth/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: state.token }),
  });
  grow(storage, hour);
  await assert.rejects(session.token(), { errorCode: "Network" });
  assert.equal(session.signedIn, true);
  const token = await session.token().catch((e) => e.errorCode);
  const keys = calls.filter((c) => c.path === "/v2/auth/refresh").map((c) => c.key !== null);
  assert.deepEqual(keys, [true, ...Array(7).fill(false)]);
  assert.match(token, /^eyJ/);
  session.close();
});
