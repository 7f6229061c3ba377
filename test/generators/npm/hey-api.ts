// Keeps a session with the client that hey-api generates.
import assert from "node:assert/strict";
import { login, password, url } from "./environment.js";
import { client } from "./generated/hey-api/client.gen.js";
import * as pawl from "./generated/hey-api/index.js";

client.setConfig({ baseUrl: url });

const loggedIn = await pawl.login({ body: { login, password } });
assert(loggedIn.data);
const { token, userId } = loggedIn.data.data;
console.log(`login: ${userId}`);

const refreshed = await pawl.refresh({ headers: { "Idempotency-Key": "first refresh" }, body: { token } });
assert(refreshed.data);
console.log(`refresh: ${refreshed.data.data.token !== token}`);
const current = refreshed.data.data.token;
client.setConfig({ auth: (scheme) => (scheme.type === "http" ? current : undefined) });

const session = await pawl.session();
assert(session.data?.data.expiresAt);
console.log(`session: ${session.data.data.login} ${session.data.data.authLevel}`);
const list = await pawl.listSessions({ body: {} });
assert(list.data);
console.log(`list: ${list.data.data.length} ${list.data.data[0]?.current}`);

const logout = await pawl.logout();
assert(logout.data);
console.log(`logout: ${logout.data.message}`);
const after = await pawl.session();
assert(after.error);
console.log(`session: ${after.error.errorCode}`);
