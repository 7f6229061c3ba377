/** The codes in the errors of Pawl's envelope, and the SDK's own "Network" (no answer) and "SignedOut". */
export type ErrorCode =
  | "InvalidParameter"
  | "DuplicateObject"
  | "InvalidCredentials"
  | "InvalidSession"
  | "InvalidAPIKey"
  | "AccessDenied"
  | "ObjectNotFound"
  | "RateLimitExceeded"
  | "Unavailable"
  | "InternalError"
  | "Network"
  | "SignedOut";

/** An error of Pawl, or of the way to it. */
export class PawlError extends Error {
  override name = "PawlError";

  constructor(
    /** What failed; see ErrorCode. */
    readonly errorCode: ErrorCode,
    message: string,
    /** The HTTP status, or 0 if there was no answer. */
    readonly status = 0,
    /** How long to wait before another attempt, in milliseconds; 0 if the server named no time. */
    readonly retryAfter = 0,
    /** X-Request-Id of the answer, for a look into the server's log; "" if it had none. */
    readonly requestId = "",
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get temporary(): boolean {
    return this.errorCode === "Network" || this.status === 429 || this.status >= 500;
  }
}

/** Returned by token() and fetch() where there is no session. */
export const signedOut = (): PawlError => new PawlError("SignedOut", "There is no session; sign in.");
