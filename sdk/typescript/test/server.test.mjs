// Runs against a real Pawl that signs with ES256; see session.test.mjs. PAWL_API_KEY is an API key of the user.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, test } from "node:test";
import express from "express";
import fastify from "fastify";
import { createSession, memoryStorage } from "../dist/index.js";
import { createVerifier, expressAuth, fastifyAuth, withAuth } from "../dist/server.js";

const { PAWL_URL: url, PAWL_LOGIN: login, PAWL_PASSWORD: password, PAWL_API_KEY: apiKey } = process.env;
const asking = createVerifier({ url, apiKey });
const byKeys = createVerifier({ url, mode: "keys" });
let session, token, superseded;

before(async () => {
  session = createSession({ url, storage: memoryStorage() });
  await session.login(login, password);
  superseded = await session.token();
  const answer = await fetch(url + "/v2/auth/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: superseded }),
  });
  const { data } = await answer.json();
  token = data.token;
  await session.open(data);
});
after(() => session.close());

test("both modes return the caller", async () => {
  for (const verifier of [asking, byKeys]) {
    const caller = await verifier.verify(token);
    assert.equal(caller.userId, 4821);
    assert.equal(caller.authLevel, "MailboxAdmin");
    assert.equal(caller.networkId, 1);
    assert.equal(caller.sessionId.length, 22);
  }
});

test("asking rejects a superseded token at once; keys alone accept it until its exp", async () => {
  await assert.rejects(asking.verify(superseded), { errorCode: "InvalidSession" });
  assert.equal((await byKeys.verify(superseded)).userId, 4821);
});

test("rubbish is rejected", async () => {
  const [header, payload] = token.split(".");
  const none = btoa('{"alg":"none"}').replace(/=/g, "");
  for (const text of ["", "x", "a.b.c", `${header}.${payload}.AAAA`, `${none}.${payload}.`]) {
    await assert.rejects(asking.verify(text), (e) => e.errorCode === "InvalidSession" || text === "");
    await assert.rejects(byKeys.verify(text), { errorCode: "InvalidSession" });
  }
});

test("an unreachable Pawl is temporary, never a yes or a no", async () => {
  const nowhere = "http://127.0.0.1:1";
  for (const options of [{ apiKey }, { mode: "keys" }]) {
    await assert.rejects(createVerifier({ url: nowhere, ...options }).verify(token), (e) => e.temporary);
  }
  await assert.rejects(createVerifier({ url, apiKey: "wrong" }).verify(token), (e) => e.temporary);
});

/** Checks a protected server: 200 with the caller, 401 without, and 503 while Pawl is unreachable. */
async function check(base) {
  const ask = (path, headers) => fetch(base + path, { headers });
  const good = await ask("/", { Authorization: "Bearer " + token });
  assert.equal(good.status, 200);
  assert.deepEqual(await good.json(), { user: 4821 });
  for (const headers of [{}, { Authorization: "Bearer " + superseded }, { Authorization: "Basic x" }]) {
    const bad = await ask("/", headers);
    assert.equal(bad.status, 401);
    assert.match(bad.headers.get("WWW-Authenticate"), /^Bearer/);
    assert.equal((await bad.json()).errorCode, "InvalidSession");
  }
  const away = await ask("/away", { Authorization: "Bearer " + token });
  assert.equal(away.status, 503);
  assert.equal(away.headers.get("Retry-After"), "1");
}

const away = createVerifier({ url: "http://127.0.0.1:1", apiKey });

test("Express", async () => {
  const app = express();
  app.get("/", expressAuth(asking), (req, res) => res.json({ user: req.pawl.userId }));
  app.get("/away", expressAuth(away), (req, res) => res.json({ user: req.pawl.userId }));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  await check(`http://127.0.0.1:${server.address().port}`);
  server.close();
});

test("Fastify", async () => {
  const app = fastify();
  app.get("/", { onRequest: fastifyAuth(asking) }, (request) => ({ user: request.pawl.userId }));
  app.get("/away", { onRequest: fastifyAuth(away) }, (request) => ({ user: request.pawl.userId }));
  await check(await app.listen({ port: 0, host: "127.0.0.1" }));
  await app.close();
});

test("handlers in the style of fetch", async () => {
  const routes = {
    "/": withAuth(asking, (_, caller) => Response.json({ user: caller.userId })),
    "/away": withAuth(away, (_, caller) => Response.json({ user: caller.userId })),
  };
  const server = http.createServer(async (req, res) => {
    const request = new Request("http://x" + req.url, { method: req.method, headers: req.headers });
    const response = await routes[req.url](request);
    res.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await check(`http://127.0.0.1:${server.address().port}`);
  server.close();
});

test("the cookie counts only where it is allowed, and only for requests of the own site", async () => {
  const verifier = createVerifier({ url, apiKey, cookie: true, allowedOrigins: ["https://app.example.com"] });
  const ask = (method, headers) => verifier.authenticate(method, (name) => headers[name]);
  const cookie = "a=b; __Host-pawl=" + token + "; c=d";
  assert.equal((await ask("GET", { cookie })).userId, 4821);
  assert.equal((await ask("POST", { cookie, "sec-fetch-site": "same-origin" })).userId, 4821);
  const allowed = { cookie, "sec-fetch-site": "same-site", origin: "https://app.example.com" };
  assert.equal((await ask("POST", allowed)).userId, 4821);
  for (const headers of [
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { "sec-fetch-site": "cross-site", origin: "https://evil.example.com" },
    { origin: "https://evil.example.com", host: "api.example.com" },
    { origin: "null" },
  ]) {
    await assert.rejects(ask("POST", { cookie, ...headers }), { errorCode: "AccessDenied", status: 403 });
  }
  await assert.rejects(asking.authenticate("GET", (name) => ({ cookie })[name]), { errorCode: "InvalidSession" });
});
