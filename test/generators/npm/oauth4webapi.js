import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import { apiKey, login, signIn, url } from "./server.js";

const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(url);
const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
const client = { client_id: "orders: the API" };

for (const [name, authentication] of [
  ["client_secret_basic", oauth.ClientSecretBasic(apiKey)],
  ["client_secret_post", oauth.ClientSecretPost(apiKey)],
]) {
  assert(server.introspection_endpoint_auth_methods_supported.includes(name));
  assert(server.revocation_endpoint_auth_methods_supported.includes(name));
  const introspect = async (token) => {
    const response = await oauth.introspectionRequest(server, client, authentication, token, options);
    return oauth.processIntrospectionResponse(server, client, response);
  };
  const token = await signIn();
  const active = await introspect(token);
  assert.equal(active.active, true);
  assert.equal(active.username, login);
  const revoked = await oauth.revocationRequest(server, client, authentication, token, options);
  await oauth.processRevocationResponse(revoked);
  assert.deepEqual(await introspect(token), { active: false });
  console.log(`${name}: revoked`);
}
