import { PawlError, signedOut } from "./errors.js";
import { call, type Answer, type Call, type TokenData } from "./http.js";
import { defaultStorage, stateOf, StateStore, type State, type StateStorage } from "./state.js";

export { PawlError, type ErrorCode } from "./errors.js";
export { memoryStorage, type StateStorage } from "./state.js";
export type { TokenData } from "./http.js";
/** The bodies and answers of every call, generated from Pawl's OpenAPI description. */
export type { components, operations, paths } from "./api.js";

export interface SessionOptions {
  /** The address of Pawl, such as "https://auth.example.com". */
  url: string;
  /** "token" (default): the page holds the token. "cookie": the browser holds it where no script can read it. */
  mode?: "token" | "cookie";
  /** Where the state is kept. All tabs must share it. The default is localStorage, or memory where there is none. */
  storage?: StateStorage;
  /** The name of the state, for pages with several sessions. The default is "pawl". */
  name?: string;
  /** Called in every tab when the session has ended: signed out, ended by an admin, or expired. */
  onSignedOut?: () => void;
  /** Called in every tab when a session begins. */
  onSignedIn?: () => void;
  /** Refresh before the token expires even if the page makes no call. The default is true in browsers. */
  keepAlive?: boolean;
  /** The fetch to use; the default is the global one. */
  fetch?: typeof fetch;
}

export interface Session {
  /** Signs in with a login and a password. */
  login(login: string, password: string): Promise<void>;
  /** Takes over a session that your own backend has opened. Token mode only. */
  open(data: TokenData): Promise<void>;
  /**
   * Takes over the session of the browser's cookie if this page has no state of it: another page of the site signed in,
   * or the storage was cleared. Returns whether there is a session. Makes no request in token mode.
   */
  resume(): Promise<boolean>;
  /** Whether there is a session, as far as this page can see without a request. */
  readonly signedIn: boolean;
  /** The id of the signed-in user; undefined without a session. */
  readonly userId: number | undefined;
  /**
   * Returns a token that is valid for some time, and refreshes first if need be. Throws SignedOut without a session. In
   * cookie mode the token is "", because no script can read it.
   */
  token(): Promise<string>;
  /** fetch with the token. After a 401 it refreshes and repeats the request once. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** Ends the session, here and in every tab. The tabs are signed out even if it throws because Pawl did not answer. */
  logout(): Promise<void>;
  /** Stops timers and listeners. The session stays for other tabs and the next page. */
  close(): void;
}

/** Requests for one refresh, with waits of 0.25 s, 0.5 s, then 1 s between them, unless the server names a longer one. */
const maxTries = 6;
const longestBackoff = 1000;
const longestWait = 10_000;
/** No request takes longer. A browser that was asleep gives up on the old connection then. */
const timeout = 10_000;

/** Returns the session of this page. It makes no request. */
export function createSession(options: SessionOptions): Session {
  return new BrowserSession(options);
}

class BrowserSession implements Session {
  private readonly store: StateStore;
  private readonly lockName: string;
  private readonly send: typeof fetch;
  private channel: BroadcastChannel | undefined;
  private readonly cookie: boolean;
  private readonly wake = (): void => this.schedule();
  private readonly onStorage = (e: StorageEvent): void => this.changed(e.key);
  private refreshing: Promise<State> | undefined;
  private queue: Promise<unknown> = Promise.resolve(); // used where there are no Web Locks
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false; // a refresh may end after close, and must set no timer then
  private known: boolean;
  /** When this page saw the current token first, less its age then, by the monotonic clock. */
  private seen: { local: number; at: number } | undefined;

  constructor(private readonly options: SessionOptions) {
    const name = options.name ?? "pawl";
    this.store = new StateStore(options.storage ?? defaultStorage(), name);
    this.lockName = "pawl:" + name;
    this.cookie = options.mode === "cookie";
    this.send = options.fetch ?? ((input, init) => fetch(input, init));
    this.known = this.signedIn;
    if (typeof BroadcastChannel !== "undefined") {
      this.channel = new BroadcastChannel(this.lockName);
      this.channel.onmessage = () => this.changed(null);
      (this.channel as { unref?: () => void }).unref?.(); // Node: an open channel must not keep the process
    }
    if (typeof window !== "undefined") {
      addEventListener("storage", this.onStorage);
      addEventListener("pageshow", this.wake);
      addEventListener("online", this.wake);
      document.addEventListener("visibilitychange", this.wake);
    }
    this.schedule();
  }

  get signedIn(): boolean {
    return this.store.read() !== undefined;
  }

  get userId(): number | undefined {
    return this.store.read()?.userId;
  }

  async login(login: string, password: string): Promise<void> {
    const body = { login, password, ...(this.cookie && { cookie: true }) };
    await this.locked(async () => this.accept(stateOf(await this.call<TokenData>("/v2/auth/login", { body }))));
  }

  async open(data: TokenData): Promise<void> {
    if (this.cookie) {
      throw new TypeError("open() needs token mode, because scripts could read the token.");
    }
    await this.locked(async () => this.accept(stateOf({ data, date: NaN })));
  }

  async resume(): Promise<boolean> {
    if (this.cookie && !this.signedIn) {
      await this.locked(() => this.resumeLocked());
    }
    return this.signedIn;
  }

  async token(): Promise<string> {
    return (await this.current()).token;
  }

  async fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const request = new Request(input, init);
    const again = request.clone(); // a body can be read once
    const used = await this.authorize(request);
    const response = await used.response;
    if (response.status !== 401) {
      return response;
    }
    await response.body?.cancel();
    const state = this.required();
    if (same(state, used.state)) {
      await this.refresh(state);
    }
    return (await this.authorize(again)).response;
  }

  async logout(): Promise<void> {
    await this.locked(async () => {
      const state = this.store.read();
      this.forget(); // first, so that the page is signed out even if Pawl cannot be reached
      if (state || this.cookie) { // a page may have lost its state, and the browser still have the cookie
        await this.call("/v2/auth/logout", state ? this.withToken(state) : {}).catch((e: PawlError) => {
          if (e.errorCode !== "InvalidSession") {
            throw e; // a logout is complete if the session has ended
          }
        });
      }
    });
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.channel?.close();
    this.channel = undefined;
    if (typeof window !== "undefined") {
      removeEventListener("storage", this.onStorage);
      removeEventListener("pageshow", this.wake);
      removeEventListener("online", this.wake);
      document.removeEventListener("visibilitychange", this.wake);
    }
  }

  private async resumeLocked(): Promise<void> {
    // A call shows whether the cookie is valid, and changes nothing. Only an expired token has to be refreshed.
    const headers = { "Idempotency-Key": this.store.attempt({ local: 0 }).key };
    for (const path of ["/v2/auth/session", "/v2/auth/refresh"]) {
      try {
        const { data, date } = await this.call<TokenData>(path, { headers });
        this.accept(stateOf({ data: { ...data, token: "" }, date }));
        return;
      } catch (e) {
        if (!isEnd(e)) {
          throw e;
        }
      }
    }
  }

  /** Sends a request with the token of the session. */
  private async authorize(request: Request): Promise<{ state: State; response: Promise<Response> }> {
    const state = await this.current();
    if (this.cookie) {
      return { state, response: this.send(new Request(request, { credentials: "include" })) };
    }
    request.headers.set("Authorization", "Bearer " + state.token);
    return { state, response: this.send(request) };
  }

  /** Returns the state, or throws SignedOut. */
  private required(): State {
    const state = this.store.read();
    if (!state) {
      this.changed(null); // the storage may have been cleared
      throw signedOut();
    }
    return state;
  }

  /** Returns a state whose token is valid for some time. */
  private async current(): Promise<State> {
    const state = this.required();
    if (this.remaining(state) > margin(state)) {
      return state;
    }
    try {
      return await this.refresh(state);
    } catch (e) {
      if (e instanceof PawlError && e.temporary && this.remaining(state) > 0) {
        return state; // a token that is valid a little longer is better than none
      }
      throw e;
    }
  }

  /** Replaces the token of a state, once in all tabs. */
  private refresh(stale: State): Promise<State> {
    this.refreshing ??= this.locked(() => this.refreshLocked(stale)).finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  private async refreshLocked(stale: State): Promise<State> {
    const state = this.required();
    if (!same(state, stale)) {
      return state; // another tab was faster
    }
    let answer: Answer<TokenData> | undefined;
    try {
      answer = await this.persist(state);
    } catch (e) {
      if (!isEnd(e)) {
        throw e; // the attempt stays, with its key
      }
    }
    // Another tab may have been faster although this one has the lock: a browser shows the writes of another tab a
    // little late. Before a session is given up, wait for them.
    for (let i = 0; !answer && i < 10 && same(this.required(), state); i++) {
      await sleep(100);
    }
    const now = this.required();
    if (!same(now, state)) {
      return now;
    }
    if (!answer) {
      this.forget();
      throw signedOut();
    }
    return this.accept(stateOf(answer));
  }

  /** Repeats a refresh with the same key until there is an answer. */
  private async persist(state: State): Promise<Answer<TokenData>> {
    const body = this.cookie ? {} : { token: state.token };
    // The key is stored before the request leaves. A tab that takes over after a crash, or after a lost answer, sends
    // the same key, and so gets the same successor.
    const attempt = this.store.attempt(state);
    for (let tries = 1; ; tries++) {
      const headers: Record<string, string> = attempt.lost ? {} : { "Idempotency-Key": attempt.key };
      try {
        return await this.call<TokenData>("/v2/auth/refresh", { body, headers });
      } catch (e) {
        const error = e as PawlError;
        if (error.errorCode === "InvalidSession" && !attempt.lost && same(this.required(), state)) {
          // Another holder without this storage, such as a render on the server, may have won the race. The server's
          // keyless-retry answers it for a few seconds, so the loss is stored: a later attempt must not spend them on
          // the key again.
          attempt.lost = true;
          this.store.writeAttempt(attempt);
          tries = 0;
          continue;
        }
        if (!error.temporary || tries >= maxTries) {
          throw error;
        }
        const backoff = Math.min(longestBackoff, 250 * 2 ** (tries - 1));
        await sleep(Math.min(longestWait, Math.max(error.retryAfter, backoff * (0.5 + Math.random()))));
      }
    }
  }

  private call<T>(path: string, c: Call): Promise<Answer<T>> {
    return call<T>(this.send, this.options.url.replace(/\/+$/, "") + path, {
      ...c,
      credentials: this.cookie ? "include" : "omit",
      signal: AbortSignal.timeout(timeout),
    });
  }

  private withToken(state: State): Call {
    return this.cookie ? {} : { headers: { Authorization: "Bearer " + state.token } };
  }

  /** How long the token of a state is still valid, in milliseconds. */
  private remaining(state: State): number {
    // The monotonic clock may stand still while a computer sleeps, and the other one may be set back. The larger age is
    // the safe one: the worst that it can cause is an early refresh.
    const here = this.seen?.local === state.local ? performance.now() - this.seen.at : 0;
    return state.life - Math.max(Date.now() - state.local, here);
  }

  private accept(state: State): State {
    this.store.write(state);
    this.announce();
    return state;
  }

  private forget(): void {
    this.store.remove();
    this.announce();
  }

  private announce(): void {
    this.channel?.postMessage(null);
    this.changed(null);
  }

  /** Looks at the state after this tab or another one has changed it. */
  private changed(key: string | null): void {
    if (key !== null && key !== this.lockName.slice(5)) {
      return;
    }
    const now = this.signedIn;
    if (now !== this.known) {
      this.known = now;
      (now ? this.options.onSignedIn : this.options.onSignedOut)?.();
    }
    this.schedule();
  }

  /** Sets the timer of the next refresh. */
  private schedule(): void {
    clearTimeout(this.timer);
    if (this.closed) {
      return;
    }
    const state = this.store.read();
    if (state && this.seen?.local !== state.local) {
      this.seen = { local: state.local, at: performance.now() - Math.max(0, Date.now() - state.local) };
    }
    if (!state || !(this.options.keepAlive ?? typeof window !== "undefined")) {
      return;
    }
    const wait = Math.max(0, this.remaining(state) - margin(state) * (1 + Math.random()));
    this.timer = setTimeout(
      () => {
        if (this.remaining(state) > 2 * margin(state)) {
          this.schedule();
        } else {
          // A failure shows at the next call. The timer tries again.
          this.refresh(state).catch(() => {
            if (!this.closed) {
              this.timer = setTimeout(this.wake, longestWait);
            }
          });
        }
      },
      Math.min(wait, 0x7fffffff),
    );
  }

  /** Runs a function while no other tab runs one. */
  private locked<T>(f: () => Promise<T>): Promise<T> {
    if (typeof navigator !== "undefined" && navigator.locks) {
      return navigator.locks.request(this.lockName, f) as Promise<T>;
    }
    const result = this.queue.then(f, f);
    this.queue = result.catch(() => undefined);
    return result;
  }
}

/** How long before its end a token is replaced: a fifth of its life, at most a minute. Date has whole seconds, so it is
 * more than one where the life permits. */
function margin(state: State): number {
  return Math.min(60_000, Math.max(state.life / 5, Math.min(1500, state.life / 2)));
}

/** Whether an error means that there is no session. 400 is the answer to a refresh without a token or a cookie. */
function isEnd(e: unknown): boolean {
  return e instanceof PawlError && (e.errorCode === "InvalidSession" || e.status === 400);
}

/** Whether two states have the same token. In cookie mode they differ in the time of the answer only. */
function same(a: State, b: State): boolean {
  return a.token === b.token && a.local === b.local;
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
