// Keeps a session with the client that orval generates.
import assert from "node:assert/strict";
import { login, password } from "./environment.js";
import * as pawl from "./generated/orval.js";

const loggedIn = await pawl.login({ login, password });
assert(loggedIn.status === 200);
const { token, userId } = loggedIn.data.data;
console.log(`login: ${userId}`);

const refreshed = await pawl.refresh({ token }, { headers: { "Idempotency-Key": "first refresh" } });
assert(refreshed.status === 200);
console.log(`refresh: ${refreshed.data.data.token !== token}`);
const bearer = { headers: { Authorization: `Bearer ${refreshed.data.data.token}` } };

const session = await pawl.session(bearer);
assert(session.status === 200 && session.data.data.expiresAt);
console.log(`session: ${session.data.data.login} ${session.data.data.authLevel}`);
const list = await pawl.listSessions({}, bearer);
assert(list.status === 200);
console.log(`list: ${list.data.data.length} ${list.data.data[0]?.current}`);

const logout = await pawl.logout(bearer);
assert(logout.status === 200);
console.log(`logout: ${logout.data.message}`);
const after = await pawl.session(bearer);
assert(after.status === 401);
console.log(`session: ${after.data.errorCode}`);
