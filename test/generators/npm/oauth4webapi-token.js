import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import { apiKey, assertion, jwtBearer, signIn, url } from "./server.js";

const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(url);
const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
const client = { client_id: "orders: the API" };
assert.deepEqual(server.grant_types_supported, ["refresh_token", jwtBearer]);

async function refresh(authentication, token) {
  const response = await oauth.refreshTokenGrantRequest(server, client, authentication, token, options);
  return oauth.processRefreshTokenResponse(server, client, response);
}

async function grant(type, parameters, authentication) {
  const response = await oauth.genericTokenEndpointRequest(server, client, authentication, type, parameters, options);
  return oauth.processGenericTokenEndpointResponse(server, client, response);
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
  assert(server.token_endpoint_auth_methods_supported.includes(name), name);
  const first = await signIn();
  const second = await refresh(authentication, first);
  assert.equal(second.token_type, "bearer");
  assert(second.expires_in > 3000);
  const third = await refresh(authentication, second.refresh_token);
  assert.notEqual(third.access_token, second.access_token);
  console.log(`${name}: refreshed; the first token: ${await failure(refresh(authentication, first))}`);
}
const known = oauth.ClientSecretBasic(apiKey);
const opened = await grant(jwtBearer, { assertion }, known);
await refresh(oauth.None(), opened.refresh_token);
console.log(`jwt-bearer: opened; again: ${await failure(grant(jwtBearer, { assertion }, known))}`);
console.log(`without a client: ${await failure(grant(jwtBearer, { assertion }, oauth.None()))}`);
console.log(`a wrong secret: ${await failure(refresh(oauth.ClientSecretBasic("pawl_wrong"), await signIn()))}`);
console.log(`another grant: ${await failure(grant("password", { username: "a", password: "b" }, known))}`);
console.log(`no token: ${await failure(grant("refresh_token", {}, known))}`);
