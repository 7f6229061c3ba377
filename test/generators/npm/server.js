// The server and the user of the test, and two calls that every script needs.
import assert from "node:assert/strict";

export const { PAWL_URL: url, PAWL_API_KEY: apiKey, PAWL_LOGIN: login, PAWL_PASSWORD: password } = process.env;
export const { ASSERTION: assertion } = process.env; // a JWT of a trusted issuer

export const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"; // RFC 7523

// signIn returns the token of a new session.
export async function signIn() {
  const response = await fetch(`${url}/v2/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ login, password }),
  });
  assert.equal(response.status, 200);
  return (await response.json()).data.token;
}
