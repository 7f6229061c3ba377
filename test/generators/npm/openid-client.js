import assert from "node:assert/strict";
import * as oauth from "openid-client";
import { apiKey, login, signIn, url } from "./server.js";

for (const [name, authentication] of [
  ["client_secret_basic", oauth.ClientSecretBasic(apiKey)],
  ["client_secret_post", oauth.ClientSecretPost(apiKey)],
]) {
  const config = await oauth.discovery(new URL(url), "orders: the API", undefined, authentication, {
    algorithm: "oauth2",
    execute: [oauth.allowInsecureRequests],
  });
  const token = await signIn();
  const active = await oauth.tokenIntrospection(config, token);
  assert.equal(active.active, true);
  assert.equal(active.username, login);
  await oauth.tokenRevocation(config, token);
  assert.deepEqual(await oauth.tokenIntrospection(config, token), { active: false });
  console.log(`${name}: revoked`);
}
