import assert from "node:assert/strict";
import * as oauth from "openid-client";
import { apiKey, assertion, jwtBearer, signIn, url } from "./server.js";

// discover returns the configuration of a client.
function discover(authentication) {
  return oauth.discovery(new URL(url), "orders: the API", undefined, authentication, {
    algorithm: "oauth2",
    execute: [oauth.allowInsecureRequests],
  });
}

// failure returns the status and the code with which a call fails.
async function failure(call) {
  const error = await call.then(() => assert.fail("no error"), (error) => error);
  if (error instanceof oauth.WWWAuthenticateChallengeError) {
    return `${error.status} ${(await error.response.json()).error}, ${error.cause.map((c) => c.scheme)}`;
  }
  assert(error instanceof oauth.ResponseBodyError, error);
  assert(error.error_description);
  return `${error.status} ${error.error}`;
}

for (const [name, authentication] of [
  ["none", oauth.None()],
  ["client_secret_basic", oauth.ClientSecretBasic(apiKey)],
  ["client_secret_post", oauth.ClientSecretPost(apiKey)],
]) {
  const config = await discover(authentication);
  assert.deepEqual(config.serverMetadata().grant_types_supported, ["refresh_token", jwtBearer]);
  const first = await signIn();
  const second = await oauth.refreshTokenGrant(config, first);
  assert.equal(second.token_type, "bearer");
  assert(second.expiresIn() > 3000);
  const third = await oauth.refreshTokenGrant(config, second.refresh_token);
  assert.notEqual(third.access_token, second.access_token);
  console.log(`${name}: refreshed; the first token: ${await failure(oauth.refreshTokenGrant(config, first))}`);
}
const [known, open, wrong] = await Promise.all(
  [oauth.ClientSecretBasic(apiKey), oauth.None(), oauth.ClientSecretBasic("pawl_wrong")].map(discover),
);
const opened = await oauth.genericGrantRequest(known, jwtBearer, { assertion });
await oauth.refreshTokenGrant(open, opened.refresh_token);
const again = oauth.genericGrantRequest(known, jwtBearer, { assertion });
console.log(`jwt-bearer: opened; again: ${await failure(again)}`);
console.log(`without a client: ${await failure(oauth.genericGrantRequest(open, jwtBearer, { assertion }))}`);
console.log(`a wrong secret: ${await failure(oauth.refreshTokenGrant(wrong, await signIn()))}`);
console.log(`another grant: ${await failure(oauth.genericGrantRequest(known, "password", { username: "a", password: "b" }))}`);
console.log(`no token: ${await failure(oauth.genericGrantRequest(known, "refresh_token", {}))}`);
