import type { Answer, TokenData } from "./http.js";

/** Where a session keeps its state. localStorage and sessionStorage fit, and so does anything like them. */
export interface StateStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** The state that all tabs share. Times are in milliseconds. */
export interface State {
  /** The current token; "" in cookie mode. */
  token: string;
  userId: number;
  /** How long the token lives from `answered` on. */
  life: number;
  /** Server time of the answer that brought the token. */
  answered: number;
  /** Local time of that answer. Only differences to it are used, so a wrong clock is harmless. */
  local: number;
}

/** A refresh that may be in flight, or whose answer was lost. */
export interface Attempt {
  /** State.local of the token that is refreshed. */
  of: number;
  /** Its Idempotency-Key. */
  key: string;
  /** Whether another holder of the token won the refresh, so that the server has another key, or none. */
  lost: boolean;
}

/** Returns the state after an answer with a token. */
export function stateOf({ data, date }: Answer<TokenData>): State {
  const expires = Date.parse(data.expiresAt);
  // A browser hides Date from other origins unless the server exposes it, as Pawl does. The token's iat is the next best.
  const answered = date || 1000 * Number(claims(data.token)["iat"]) || Date.now();
  return {
    token: data.token,
    userId: data.userId,
    life: Math.max(0, expires - answered),
    answered,
    local: Date.now(),
  };
}

/** Returns the claims of a token without a check; {} if it has none, as in cookie mode. */
function claims(token: string): Record<string, unknown> {
  try {
    const payload = token.split(".")[1] ?? "";
    return JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
}

/** Storage for programs without localStorage. It ends with the page or process. */
export function memoryStorage(): StateStorage {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}

/** Returns localStorage, or storage in memory where there is none, or where the browser denies it. */
export function defaultStorage(): StateStorage {
  try {
    if (typeof localStorage !== "undefined") {
      localStorage.getItem("pawl");
      return localStorage;
    }
  } catch {
    // A browser that blocks storage throws.
  }
  return memoryStorage();
}

/**
 * Reads and writes the state under one name, and the attempt to refresh it under another. A browser with a process for
 * each tab shows a tab the writes of another one a little late, so a tab that starts an attempt must not write the state.
 */
export class StateStore {
  constructor(
    private readonly storage: StateStorage,
    private readonly name: string,
  ) {}

  read(): State | undefined {
    try {
      const state = JSON.parse(this.storage.getItem(this.name) ?? "null");
      return state && typeof state.token === "string" && state.life >= 0 ? state : undefined;
    } catch {
      return undefined; // another program has written here
    }
  }

  write(state: State): void {
    this.storage.setItem(this.name, JSON.stringify(state));
  }

  remove(): void {
    this.storage.removeItem(this.name);
    this.storage.removeItem(this.attemptName);
  }

  /** Returns the stored attempt to refresh a state, or a new one with a random key, which it stores. */
  attempt(state: Pick<State, "local">): Attempt {
    try {
      const attempt = JSON.parse(this.storage.getItem(this.attemptName) ?? "null");
      if (attempt?.of === state.local && typeof attempt.key === "string") {
        return attempt;
      }
    } catch {
      // another program has written here
    }
    const attempt = { of: state.local, key: crypto.randomUUID(), lost: false };
    this.writeAttempt(attempt);
    return attempt;
  }

  writeAttempt(attempt: Attempt): void {
    this.storage.setItem(this.attemptName, JSON.stringify(attempt));
  }

  private get attemptName(): string {
    return this.name + ".refresh";
  }
}
