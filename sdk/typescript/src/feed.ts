import { createHash } from "node:crypto";
import { PawlError } from "./errors.js";
import type { Caller } from "./server.js";

/** How a verifier of mode "feed" works. Times are in milliseconds. */
export interface FeedOptions {
  /** The longest time for which a superseded or ended token may pass. 1,000 by default. */
  bound?: number;
  /**
   * How much longer than bound a token passes while Pawl is unreachable. The signature and the exp of the token must be
   * valid, and the feed must not have reported it. 0 (default): such a request is answered with 503.
   */
  acceptUnreachable?: number;
  /** The number of cached tokens. 100,000 by default. */
  maxTokens?: number;
  /** The number of sessions and users whose changes are kept for the life of a token. 1,000,000 by default. */
  maxChanges?: number;
}

/** Figures about a verifier of mode "feed". The counters begin at its start. */
export interface FeedStats {
  /**
   * "stale": the feed is older than the bound, so Pawl is asked about each token. "catching up": Pawl is asked once about
   * each token that is older than the feed. "fresh": every valid token is younger than the feed.
   */
  state: "stale" | "catching up" | "fresh";
  /** Calls that accepted a token without a question. */
  accepted: number;
  /** Calls that rejected a token. */
  rejected: number;
  /** Calls that asked Pawl. */
  asked: number;
  /** Calls that failed because Pawl was unreachable. */
  unavailable: number;
  /** Calls that accepted a token because of acceptUnreachable. */
  acceptedUnreachable: number;
  /** Times that the feed began, also after a gap. */
  epochs: number;
  /** The error of the last subscription; undefined while the feed works. */
  feedError: unknown;
}

type Verify = (token: string) => Promise<Caller>;

/** What a verifier needs from the other modes. */
export interface FeedParts {
  url: string;
  apiKey: string;
  fetch: typeof fetch;
  /** Verifies a token by the public keys. */
  byKeys: Verify;
  /** Asks Pawl about a token. */
  byAsking: Verify;
  /** Reads the public keys again. */
  reloadKeys: () => void;
}

const maxTokenLength = 4096;
/** For nodes whose clocks differ: an event may be later than a token whose iat is 5 seconds after the event. */
const slack = 5;
/** How long a signature is not verified again, so that the tokens of a retired key are rejected. */
const signatureLife = 60_000;
const renewAfter = 600_000;
/** The error of a clock that is tolerated. */
const maxClockStep = 100;
const maxLateBeats = 5;
const maxPause = 5_000;
const firstEventTimeout = 5_000;
const headerHS256 = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url") + ".";

/** A reading of the monotonic clock and of the wall clock. */
interface Instant {
  mono: number;
  wall: number;
}

const readClock = (): Instant => ({ mono: performance.now(), wall: Date.now() });

/** Either clock alone may be too short: one stops while the machine is suspended, the other can be set back. */
const elapsed = (since: Instant, now: Instant): number => Math.max(now.mono - since.mono, now.wall - since.wall);

/** What a beat proves: every change that Pawl acknowledged before its server time has arrived. */
interface Knowledge {
  /** A reading of the local clock, and a server time that was read later. */
  local: Instant;
  server: number;
  beat: number;
}

interface Entry {
  caller: Caller;
  session: string;
  generation: number;
  userId: number;
  /** The user who acts for userId, or 0. */
  actorId: number;
  issuedAt: number;
  expires: number;
  /** The stamp before the last question that Pawl answered with yes; 0 if there was none. */
  confirmed: number;
  /** When the signature must be verified again, by the monotonic clock. Infinity if only Pawl can verify it. */
  signedUntil: number;
}

type Verdict = "live" | "dead" | "ask";

/** Decodes the claims of a token, without a check of the signature. */
function entryOf(token: string, caller?: Caller): Entry | undefined {
  try {
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    const [session, generation] = String(claims.jti).split(".");
    const entry = {
      caller: caller as Caller, session: String(claims.sid), generation: Number(generation), userId: Number(claims.sub),
      actorId: Number(claims.act?.sub ?? 0), issuedAt: Number(claims.iat), expires: Number(claims.exp), confirmed: 0, signedUntil: Infinity,
    };
    const numbers = [entry.generation, entry.userId, entry.actorId, entry.issuedAt, entry.expires];
    return session === entry.session && numbers.every(Number.isSafeInteger) ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** What the events of a feed have superseded or ended. It does not check how old it is. */
class Table {
  private sessions = new Map<string, { lowest: number; until: number }>();
  private users = new Map<number, { stamp: number; second: number; until: number }>();
  private stamp = 1;
  private epoch = Infinity;
  private issuedAfter = Infinity;
  private begun = 0; // the server time of begin, in seconds
  private life = 0; // seconds

  constructor(private max: number) {}

  now(): number {
    return this.stamp;
  }

  /** Begins an epoch, because events may be missing before its hello. */
  begin(serverSeconds: number, lifeSeconds: number): void {
    this.reset();
    this.life = lifeSeconds;
    this.begun = serverSeconds;
    this.issuedAfter = serverSeconds + slack;
  }

  private reset(): void {
    this.sessions.clear();
    this.users.clear();
    this.epoch = ++this.stamp;
    this.issuedAfter = Infinity;
  }

  /** A beat is earlier than begin if the clock of the server was set back. */
  beat(serverSeconds: number): void {
    if (this.issuedAfter === Infinity && this.epoch !== Infinity) {
      this.issuedAfter = Math.max(serverSeconds, this.begun) + slack;
    }
  }

  session(id: string, generation: number): void {
    this.makeRoom();
    const lowest = Math.max(generation === 0 ? Infinity : generation, this.sessions.get(id)?.lowest ?? 0);
    this.sessions.delete(id); // so that the map is ordered by until
    this.sessions.set(id, { lowest, until: this.until() });
  }

  user(id: number, second: number): void {
    this.makeRoom();
    const last = Math.max(second, this.users.get(id)?.second ?? 0);
    this.users.delete(id);
    this.users.set(id, { stamp: ++this.stamp, second: last, until: this.until() });
  }

  /** An entry is kept a minute longer than its tokens live, because clocks differ. */
  private until(): number {
    return performance.now() + (this.life + 60) * 1000;
  }

  /** Removes entries that are not needed any more. If all are needed, it begins a new epoch. */
  makeRoom(): void {
    const now = performance.now();
    for (const map of [this.sessions, this.users] as Map<unknown, { until: number }>[]) {
      for (const [key, { until }] of map) {
        if (until > now) {
          break;
        }
        map.delete(key);
      }
    }
    if (this.sessions.size + this.users.size >= this.max) {
      this.reset();
    }
  }

  /** Reports whether a user was changed after a token was issued, and Pawl has not confirmed the token since. */
  private marked(userId: number, e: Entry): boolean {
    const mark = this.users.get(userId);
    return mark !== undefined && e.issuedAt <= mark.second + slack && e.confirmed < mark.stamp;
  }

  check(e: Entry): Verdict {
    if (e.generation < (this.sessions.get(e.session)?.lowest ?? 0)) {
      return "dead";
    }
    if (e.expires - e.issuedAt > this.life) {
      return "ask"; // entries about it may have been removed
    }
    if (this.marked(e.userId, e) || this.marked(e.actorId, e)) {
      return "ask";
    }
    return e.confirmed >= this.epoch || e.issuedAt > this.issuedAfter ? "live" : "ask";
  }
}

/** Verifies tokens in memory by the feed of revocations. */
export class FeedVerifier {
  private tokens = new Map<string, Entry>();
  private table: Table;
  private known: Knowledge | undefined;
  private hello = { server: 0, life: 0, heartbeat: 0 };
  private lastEvent = "";
  private failures = 0;
  private stopped = new AbortController();
  private counts: Omit<FeedStats, "state"> = {
    accepted: 0, rejected: 0, asked: 0, unavailable: 0, acceptedUnreachable: 0, epochs: 0, feedError: undefined,
  };
  private bound: number;

  constructor(private parts: FeedParts, private options: FeedOptions) {
    this.bound = options.bound ?? 1_000;
    this.table = new Table(options.maxChanges ?? 1_000_000);
    void this.follow();
  }

  close(): void {
    this.stopped.abort();
  }

  stats(): FeedStats {
    const now = readClock();
    const covered = this.serverTime(now) - this.hello.server > this.hello.life + 2 * slack * 1000;
    return { ...this.counts, state: !this.isFresh(now) ? "stale" : covered ? "fresh" : "catching up" };
  }

  async verify(token: string): Promise<Caller> {
    if (token.length > maxTokenLength) {
      this.counts.rejected++;
      throw invalid();
    }
    const hash = createHash("sha256").update(token).digest("base64");
    let e = this.tokens.get(hash);
    if (!e || e.signedUntil < performance.now()) {
      e = await this.read(token);
    }
    const verdict = this.check(e);
    if (verdict === "dead") {
      this.counts.rejected++;
      throw invalid();
    }
    // The caller is missing if only Pawl can verify the signature.
    if (verdict === "ask" || !e.caller) {
      return this.ask(token, hash, e);
    }
    this.put(hash, e);
    this.counts.accepted++;
    return e.caller;
  }

  /** Verifies the signature of a token, unless only Pawl can. */
  private async read(token: string): Promise<Entry> {
    let caller: Caller | undefined;
    const signedUntil = token.startsWith(headerHS256) ? Infinity : performance.now() + signatureLife;
    try {
      if (signedUntil !== Infinity) {
        caller = await this.parts.byKeys(token);
      }
    } catch (e) {
      this.count(e);
      throw e;
    }
    const e = entryOf(token, caller);
    if (!e) {
      this.counts.rejected++;
      throw invalid();
    }
    return Object.assign(e, { signedUntil });
  }

  private async ask(token: string, hash: string, e: Entry): Promise<Caller> {
    this.counts.asked++;
    const confirmed = this.table.now();
    const vouched = e.signedUntil !== Infinity || e.confirmed > 0;
    try {
      const caller = await this.parts.byAsking(token);
      this.put(hash, { ...e, caller, confirmed });
      return caller;
    } catch (error) {
      const rejected = error instanceof PawlError && error.errorCode === "InvalidSession";
      if (rejected && vouched) {
        this.table.session(e.session, e.generation + 1);
      } else if (!rejected && vouched && this.mayAcceptUnreachable(e)) {
        this.counts.acceptedUnreachable++;
        return e.caller;
      }
      this.count(error);
      throw error;
    }
  }

  private put(hash: string, e: Entry): void {
    if (this.tokens.get(hash) === e) {
      return;
    }
    this.tokens.delete(hash);
    this.tokens.set(hash, e);
    if (this.tokens.size > (this.options.maxTokens ?? 100_000)) {
      for (const oldest of this.tokens.keys()) {
        this.tokens.delete(oldest);
        break;
      }
    }
  }

  private count(error: unknown): void {
    if (error instanceof PawlError && error.errorCode === "InvalidSession") {
      this.counts.rejected++;
    } else {
      this.counts.unavailable++;
    }
  }

  private check(e: Entry): Verdict {
    const now = readClock();
    if (!this.isFresh(now)) {
      return "ask";
    }
    if ((this.known?.beat ?? 0) >= e.expires * 1000) {
      return "dead";
    }
    // Perhaps the token has not expired yet, if the feed took long to open.
    return this.serverTime(now) >= e.expires * 1000 ? "ask" : this.table.check(e);
  }

  private mayAcceptUnreachable(e: Entry): boolean {
    const longer = this.options.acceptUnreachable ?? 0;
    const now = readClock();
    return longer > 0 && this.isFresh(now, longer) && this.serverTime(now) < e.expires * 1000 &&
      this.table.check(e) !== "dead";
  }

  /**
   * The age is the local time since the request for the feed, less the time of the server from then until the beat. So it
   * does not matter whether either clock is right. A negative age means that a clock was set.
   */
  private isFresh(now: Instant, longer = 0): boolean {
    if (!this.known) {
      return false;
    }
    const age = elapsed(this.known.local, now) - (this.known.beat - this.known.server);
    return age > -maxClockStep && age < this.bound + longer;
  }

  /** The latest possible time of the server. */
  private serverTime(now: Instant): number {
    return this.known ? this.known.server + elapsed(this.known.local, now) : 0;
  }

  private async follow(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      try {
        await this.subscribe();
      } catch (error) {
        this.counts.feedError = error;
        const wait = Math.random() * Math.min(100 * 2 ** Math.min(this.failures++, 6), maxPause);
        await pause(wait, this.stopped.signal);
      }
    }
  }

  /** Receives events until the feed should be renewed. Throws if it fails, ends or stalls. */
  private async subscribe(): Promise<void> {
    const stop = new AbortController();
    const end = () => stop.abort(this.stopped.signal.reason);
    this.stopped.signal.addEventListener("abort", end);
    const stalled = () => stop.abort(new Error("the feed has stalled"));
    let timer = setTimeout(stalled, firstEventTimeout);
    try {
      const headers: Record<string, string> = {
        "X-API-Key": this.parts.apiKey, Accept: "text/event-stream", "Cache-Control": "no-store",
        "Accept-Encoding": "identity",
      };
      if (this.lastEvent) {
        headers["Last-Event-ID"] = this.lastEvent;
      }
      const sent = readClock();
      const response = await this.parts.fetch(this.parts.url + "/v2/revocations", { headers, signal: stop.signal });
      if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
        const text = await response.text();
        throw new Error(`Pawl answered the request for the feed with ${response.status}: ${text.slice(0, 300)}`);
      }
      const stream = new Subscription(sent);
      for await (const event of events(response.body as ReadableStream<Uint8Array>)) {
        if (this.apply(event, stream)) {
          return;
        }
        clearTimeout(timer);
        timer = setTimeout(stalled, this.bound + 2 * this.hello.heartbeat + 1_000);
      }
      throw new Error("the server ended the feed");
    } finally {
      clearTimeout(timer);
      this.stopped.signal.removeEventListener("abort", end);
      stop.abort();
    }
  }

  /** Applies an event. Returns true if the feed should be renewed. */
  private apply(event: FeedEvent, stream: Subscription): boolean {
    let renew = false;
    if (event.name === "hello") {
      this.begin(event.data, stream);
    } else if (event.name === "revoked") {
      for (const [key, value] of event.data as [string | number, number][]) {
        typeof key === "string" ? this.table.session(key, value) : this.table.user(key, value);
      }
    } else if (event.name === "beat") {
      renew = this.beat(timeOf(event.data.serverTime), stream);
    }
    this.lastEvent = event.id;
    return renew;
  }

  private begin(data: { serverTime: string; issuedUntil: string; maxTokenLife: number; heartbeat: number }, stream: Subscription): void {
    const server = timeOf(data.serverTime);
    this.counts.epochs++;
    this.hello = { server, life: data.maxTokenLife, heartbeat: data.heartbeat };
    // If the clock of the server was set back, tokens issued before this hello are as late as the earlier server time.
    const since = Math.max(server, timeOf(data.issuedUntil), this.serverTime(readClock()));
    this.table.begin(Math.floor(since / 1000), Math.ceil(data.maxTokenLife / 1000));
    stream.begin(server);
    // A signing key may have been retired.
    this.tokens.clear();
    this.parts.reloadKeys();
  }

  private beat(server: number, stream: Subscription): boolean {
    this.known = stream.knownAt(server);
    this.table.beat(Math.floor(server / 1000));
    const now = readClock();
    if (this.isFresh(now)) {
      this.failures = 0;
      this.counts.feedError = undefined;
      stream.late = 0;
    } else if (++stream.late > maxLateBeats) {
      throw new Error("the beats of the feed arrive too late");
    }
    if (now.mono - this.known.local.mono - (now.wall - this.known.local.wall) > maxClockStep) {
      throw new Error("the local clock was set back");
    }
    return now.mono - stream.opened.mono >= renewAfter;
  }
}

/** The clocks of one subscription. */
class Subscription {
  late = 0; // beats in a row that arrived too late
  opened: Instant;
  private server: number | undefined;
  private last = 0;

  constructor(private local: Instant) {
    this.opened = local;
  }

  /** Ties the clock of a new epoch to the local one: the server sent the hello after the last beat. */
  begin(server: number): void {
    if (this.server !== undefined) {
      const used = this.last - this.server;
      this.local = { mono: this.local.mono + used, wall: this.local.wall + used };
    }
    this.server = server;
    this.last = server;
  }

  knownAt(beat: number): Knowledge {
    this.server ??= beat; // the stream was resumed without a hello
    this.last = beat;
    return { local: this.local, server: this.server, beat };
  }
}

interface FeedEvent {
  id: string;
  name: string;
  data: any;
}

const maxEventLength = 64 << 10;

/** Parses server-sent events of one line of data each. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<FeedEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let event: Partial<Record<string, string>> = {};
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > maxEventLength) {
      throw new Error("an event of the feed is too long");
    }
    for (const line of lines) {
      if (line !== "") {
        const [, field = "", text = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        event[field] = text;
        continue;
      }
      if (event["event"] && event["data"]) {
        yield { id: event["id"] ?? "", name: event["event"], data: JSON.parse(event["data"]) };
      }
      event = {};
    }
  }
}

function timeOf(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) {
    throw new Error("an event of the feed has no time");
  }
  return ms;
}

function invalid(): PawlError {
  return new PawlError("InvalidSession", "The token is invalid, expired, superseded or revoked; sign in.", 401);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", end);
  });
}
