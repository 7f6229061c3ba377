// Runs against a real Pawl that signs with ES256; see session.test.mjs. PAWL_VERIFY_KEY is an API key of scope
// Verify.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { createVerifier } from "../dist/server.js";
import { recordTimeouts } from "./timeouts.mjs";

const { PAWL_URL: url, PAWL_LOGIN: login, PAWL_PASSWORD: password, PAWL_VERIFY_KEY: apiKey } = process.env;
const bound = 1_000;
const heartbeat = 200;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function call(path, body, headers = {}) {
  const answer = await fetch(url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const { success, data, message } = await answer.json();
  assert.ok(success, message);
  return data;
}

const signIn = async () => (await call("/v2/auth/login", { login, password })).token;
const refresh = async (token) => (await call("/v2/auth/refresh", { token })).token;

/** Waits until f returns true. */
async function until(what, f) {
  for (const end = performance.now() + 30_000; !(await f()); await sleep(5)) {
    assert.ok(performance.now() < end, `after 30 s: ${what}`);
  }
}

/** A proxy of Pawl that can hold all bytes back, or close all connections. */
async function faultyProxy(t) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const proxy = { fault: "" };
  const server = net.createServer((socket) => {
    if (proxy.fault === "cuts") {
      socket.destroy();
      return;
    }
    const other = net.connect(port, hostname);
    for (const [from, to] of [[socket, other], [other, socket]]) {
      sockets.add(from);
      from.on("data", (bytes) => (proxy.fault === "holds" ? proxy.held.push([to, bytes]) : to.write(bytes)));
      from.on("error", () => to.destroy());
      from.on("close", () => { to.destroy(); sockets.delete(from); });
    }
  });
  proxy.set = (fault) => {
    proxy.fault = fault;
    if (fault === "cuts") {
      sockets.forEach((socket) => socket.destroy());
    }
    for (const [to, bytes] of proxy.held ?? []) {
      to.write(bytes);
    }
    proxy.held = [];
  };
  proxy.set("");
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  t.after(() => { proxy.set("cuts"); server.close(); });
  return proxy;
}

/** A verifier whose feed works. */
async function following(t, options) {
  const verifier = createVerifier({ url, apiKey, mode: "feed", ...options });
  t.after(() => verifier.close());
  await until("the feed does not work", () => verifier.stats().state !== "stale");
  return verifier;
}

test("a token from before the feed is asked about once, and a superseded one never", async (t) => {
  const verifier = await following(t);
  const token = await signIn();
  assert.equal((await verifier.verify(token)).userId, 4821);
  const first = verifier.stats();
  assert.equal((await verifier.verify(token)).authLevel, "MailboxAdmin");
  const second = verifier.stats();
  assert.equal(second.asked, first.asked);
  assert.equal(second.accepted, first.accepted + 1);
  const next = await refresh(token);
  await until("the superseded token passes", () => verifier.verify(token).then(() => false, () => true));
  await assert.rejects(verifier.verify(token), { errorCode: "InvalidSession" });
  assert.equal(verifier.stats().asked, first.asked);
  assert.equal((await verifier.verify(next)).userId, 4821);
});

test("a token is accepted without a question once it is younger than the feed", async (t) => {
  const verifier = await following(t);
  await until("a new token is asked about", async () => {
    const before = verifier.stats().asked;
    await verifier.verify(await signIn());
    return verifier.stats().asked === before;
  });
});

test("changes of a user are asked about", async (t) => {
  const verifier = await following(t);
  const token = await signIn();
  await verifier.verify(token);
  await call("/v2/auth/sessions/end-all", {}, { Authorization: "Bearer " + (await signIn()) });
  await until("the ended token passes", () => verifier.verify(token).then(() => false, () => true));
});

test("rubbish is rejected", async (t) => {
  const verifier = await following(t);
  const token = await signIn();
  const forged = token.slice(0, -5) + "AAAAA";
  for (const text of ["x", "a.b.c", forged, "x".repeat(5_000)]) {
    await assert.rejects(verifier.verify(text), { errorCode: "InvalidSession" });
  }
  assert.equal((await verifier.verify(token)).userId, 4821);
});

for (const fault of ["", "cuts", "holds"]) {
  test(`with the fault "${fault}", a dead token passes for the bound at most`, async (t) => {
    const proxy = await faultyProxy(t);
    const verifier = await following(t, { url: proxy.url });
    const dead = await signIn();
    await verifier.verify(dead);
    proxy.set(fault);
    const current = await refresh(dead);
    const died = performance.now();
    let longest = 0;
    const calls = [];
    for (let began = died; began < died + bound + 5 * heartbeat; await sleep(10), began = performance.now()) {
      const at = began;
      // Not awaited, because a question to Pawl may take its whole time limit.
      calls.push(verifier.verify(dead).then(() => { longest = Math.max(longest, at - died); }, () => {}));
    }
    t.diagnostic(`longest acceptance: ${longest.toFixed(0)} ms`);
    assert.ok(longest <= bound + heartbeat, `a dead token was accepted for ${longest} ms`);
    proxy.set("");
    await until("the verifier still asks", async () => {
      const before = verifier.stats().asked;
      const good = await verifier.verify(current).then(() => true, () => false);
      return good && verifier.stats().asked === before;
    });
    await assert.rejects(verifier.verify(dead), { errorCode: "InvalidSession" });
    await Promise.all(calls);
    assert.ok(longest <= bound + heartbeat, `a dead token was accepted for ${longest} ms`);
  });
}

test("without Pawl, a token passes for acceptUnreachable, and no longer", async (t) => {
  const proxy = await faultyProxy(t);
  const verifier = await following(t, { url: proxy.url, acceptUnreachable: 500 });
  const token = await signIn();
  await verifier.verify(token);
  proxy.set("cuts");
  const cut = performance.now();
  let last = cut;
  await until("the token still passes", async () => {
    const began = performance.now();
    return verifier.verify(token).then(() => { last = began; return false; }, (e) => e.temporary);
  });
  assert.ok(last - cut <= bound + 500 + heartbeat, `the token passed for ${last - cut} ms`);
  assert.ok(verifier.stats().acceptedUnreachable > 0);
  assert.equal(verifier.stats().state, "stale");
});

test("a verifier works as soon as Pawl is reachable", async (t) => {
  const proxy = await faultyProxy(t);
  proxy.set("cuts");
  const verifier = createVerifier({ url: proxy.url, apiKey, mode: "feed" });
  t.after(() => verifier.close());
  const token = await signIn();
  await assert.rejects(verifier.verify(token), (e) => e.temporary);
  proxy.set("");
  await until("the feed does not work", () => verifier.stats().state !== "stale");
  await until("the token is rejected", () => verifier.verify(token).then(() => true, () => false));
});

test("close ends a subscription without another pause", async (t) => {
  const verifier = createVerifier({ url, apiKey, mode: "feed" });
  const { delays, real } = recordTimeouts(t);
  verifier.close();
  await new Promise((done) => real(done, 200)); // close interrupts the subscription, which has failed by then
  assert.deepEqual(delays.filter((ms) => ms > 0 && ms <= 100), []); // fetch itself sets longer ones
});
