// Signs in with an API key, calls the server with the session key, and signs in again once the session has ended. This
// is for programs that have an API key and want a token: they never refresh it.

class Session {
  #key; // the session key
  #signingIn; // the promise of the sign-in in progress

  // Signs in. Callers at the same time share one sign-in.
  signIn() {
    this.#signingIn ??= send("/v2/auth/login", { body: { apiKey: setting("ECGRID_API_KEY") } })
      .then((answer) => (this.#key = succeeded(answer).sessionKey))
      .finally(() => (this.#signingIn = undefined));
    return this.#signingIn;
  }

  // Calls the server, and once more with a new session key after a 401.
  async call(path, options) {
    const key = this.#key ?? (await this.signIn());
    const answer = await send(path, { ...options, key });
    if (answer.status !== 401) return answer;
    if (key === this.#key) await this.signIn();
    return send(path, { ...options, key: this.#key });
  }
}

async function send(path, { body, key } = {}) {
  const response = await fetch(setting("PAWL_URL") + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: response.status, ...(await response.json()) };
}

function succeeded({ success, data, status, errorCode, message }) {
  if (!success) throw new Error(`${status} ${errorCode}: ${message}`);
  return data;
}

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

try {
  const session = new Session();
  const { userId } = succeeded(await session.call("/v2/auth/session"));
  console.log(`signed in as user ${userId}`);

  succeeded(await session.call("/v2/auth/logout"));
  const calls = await Promise.all([session.call("/v2/auth/session"), session.call("/v2/auth/session")]);
  calls.forEach(succeeded);
  console.log("after the end of the session: signed in again");

  succeeded(await session.call("/v2/auth/logout"));
} catch (error) {
  console.error(`session-key.mjs: ${error.cause?.message || error.message}`);
  process.exitCode = 1;
}
