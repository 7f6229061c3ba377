// Keeps a session: signs in with email and password, calls the server once a second, refreshes the token in time, and
// signs out. It survives lost answers and a wrong local clock.
//
//     node keep-session.mjs [SECONDS]

import { setTimeout as sleep } from "node:timers/promises";

class Session {
  #token; // also the refresh token: the two are the same
  #due; // when to refresh, by the local clock
  #idempotencyKey; // of the refresh in progress
  #refreshing; // the promise of the refresh in progress

  static async signIn(email, password) {
    const session = new Session();
    const answer = await send("/v2/auth/login", { body: { email, password }, once: true });
    session.#store(succeeded(answer));
    return session;
  }

  // Returns a token that is good for some time.
  async token() {
    if (Date.now() >= this.#due) await this.refresh();
    return this.#token;
  }

  // Exchanges the token for its successor. Callers at the same time share one request, because the server would reject
  // a second one.
  refresh() {
    this.#refreshing ??= this.#exchange().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #exchange() {
    // The key stays the same until an answer arrives. With the same key, the server answers a repeated request with the
    // same successor.
    this.#idempotencyKey ??= crypto.randomUUID();
    const answer = await send("/v2/auth/refresh", {
      body: { refreshToken: this.#token },
      headers: { "Idempotency-Key": this.#idempotencyKey },
    });
    this.#store(succeeded(answer));
    this.#idempotencyKey = undefined;
  }

  // Keeps the new token. The rest of its life is counted from the server's clock, because the local clock may be wrong.
  #store({ data, date }) {
    this.#token = data.refreshToken;
    const life = new Date(data.expiresAt) - new Date(date);
    this.#due = Date.now() + life - Math.min(60_000, life / 2);
  }

  // Calls the server with a token that is good at each attempt.
  call(path, options) {
    return send(path, { ...options, session: this });
  }

  // Refreshes a token that was rejected, unless that has happened meanwhile.
  async replace(token) {
    if (token === this.#token) await this.refresh();
  }
}

// Sends a request. It is repeated after 429 and 503, which change nothing, and after a lost answer unless it may be sent
// only once. Pauses are never shorter than Retry-After, and random, so that many clients do not return together. In a
// session it is also repeated after a 401, with a new token: the old one may have been replaced on the way.
async function send(path, { body, headers, once, session } = {}) {
  for (let attempt = 1; ; attempt++) {
    const token = await session?.token();
    let response;
    try {
      response = await fetch(setting("PAWL_URL") + path, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(token && bearer(token)), ...headers },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(10_000),
      });
      const answer = { status: response.status, date: response.headers.get("Date"), ...(await response.json()) };
      const again = [429, 503].includes(answer.status) || (answer.status === 401 && token);
      if (!again || attempt === 8) return answer;
    } catch (error) {
      if (once || attempt === 8) throw error;
    }
    if (response?.status === 401) {
      await session.replace(token);
      continue;
    }
    const wait = 1000 * Number(response?.headers.get("Retry-After") ?? 0);
    await sleep(wait + Math.random() * Math.min(5_000, 100 * 2 ** attempt));
  }
}

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

function succeeded(answer) {
  if (!answer.success) throw new Error(`${answer.status} ${answer.errorCode}: ${answer.message}`);
  return answer;
}

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

try {
  const session = await Session.signIn(setting("PAWL_LOGIN"), setting("PAWL_PASSWORD"));
  await Promise.all([session.refresh(), session.refresh(), session.refresh()]);
  console.log("three refreshes at once: one session");

  const seconds = Number(process.argv[2] ?? 3);
  for (let second = 1; second <= seconds; second++) {
    const calls = await Promise.all([session.call("/v2/auth/session"), session.call("/v2/auth/session")]);
    for (const answer of calls) succeeded(answer);
    await sleep(1000);
  }
  console.log(`${seconds} seconds: every call succeeded`);

  const token = await session.token();
  succeeded(await session.call("/v2/auth/logout", { once: true }));
  const { status } = await send("/v2/auth/session", { headers: bearer(token) });
  console.log(`after the sign-out: ${status}`);
} catch (error) {
  console.error(`keep-session.mjs: ${error.cause?.message || error.message}`);
  process.exitCode = 1;
}
