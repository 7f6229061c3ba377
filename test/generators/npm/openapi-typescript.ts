// Keeps a session with the types of openapi-typescript and its client openapi-fetch.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import { login, password, url } from "./environment.js";
import type { paths } from "./generated/openapi-typescript.js";

const client = createClient<paths>({ baseUrl: url });

const loggedIn = await client.POST("/v2/auth/login", { body: { login, password } });
assert(loggedIn.data);
const { token, userId } = loggedIn.data.data;
console.log(`login: ${userId}`);

const refreshed = await client.POST("/v2/auth/refresh", {
  params: { header: { "Idempotency-Key": "first refresh" } },
  body: { token },
});
assert(refreshed.data);
console.log(`refresh: ${refreshed.data.data.token !== token}`);
const headers = { Authorization: `Bearer ${refreshed.data.data.token}` };

const session = await client.POST("/v2/auth/session", { headers });
assert(session.data?.data.expiresAt);
console.log(`session: ${session.data.data.login} ${session.data.data.authLevel}`);
const list = await client.POST("/v2/auth/sessions", { headers, body: {} });
assert(list.data);
console.log(`list: ${list.data.data.length} ${list.data.data[0]?.current}`);

const logout = await client.POST("/v2/auth/logout", { headers });
assert(logout.data);
console.log(`logout: ${logout.data.message}`);
const after = await client.POST("/v2/auth/session", { headers });
assert(after.error);
console.log(`session: ${after.error.errorCode}`);
