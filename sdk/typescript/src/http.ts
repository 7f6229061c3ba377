import { PawlError, type ErrorCode } from "./errors.js";

/** The data of a sign-in or a refresh. */
export interface TokenData {
  token: string;
  expiresAt: string;
  userId: number;
}

/** A successful answer of Pawl, with the server's time in milliseconds, or NaN if the browser hides it. */
export interface Answer<T> {
  data: T;
  date: number;
}

/** How to send one request. */
export interface Call {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  credentials?: RequestCredentials;
  signal?: AbortSignal;
}

/** Sends a request to Pawl and opens the envelope. Throws a PawlError for everything but a success. */
export async function call<T>(send: typeof fetch, url: string, c: Call): Promise<Answer<T>> {
  let response: Response;
  let envelope: { success: boolean; data: T; errorCode: ErrorCode; message: string };
  try {
    response = await send(url, {
      method: c.method ?? "POST",
      headers: { "Content-Type": "application/json", ...c.headers },
      body: JSON.stringify(c.body ?? {}),
      cache: "no-store",
      credentials: c.credentials ?? "omit",
      ...(c.signal && { signal: c.signal }),
    });
    envelope = await response.json();
  } catch (cause) {
    throw Object.assign(new PawlError("Network", "Pawl did not answer; try again."), { cause });
  }
  const header = (name: string): string => response.headers.get(name) ?? "";
  if (!response.ok || !envelope.success) {
    throw new PawlError(
      envelope.errorCode ?? "InternalError",
      envelope.message ?? "",
      response.status,
      1000 * Number(header("Retry-After")) || 0,
      header("X-Request-Id"),
    );
  }
  return { data: envelope.data, date: Date.parse(header("Date")) };
}
