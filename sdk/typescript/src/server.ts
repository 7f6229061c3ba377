import { createRemoteJWKSet, decodeJwt, errors, jwtVerify, type JWTPayload } from "jose";
import { PawlError } from "./errors.js";
import { FeedVerifier, type FeedOptions, type FeedStats } from "./feed.js";

export type { FeedOptions, FeedStats } from "./feed.js";
export { PawlError, type ErrorCode } from "./errors.js";

export interface VerifierOptions extends FeedOptions {
  /** The address of Pawl. */
  url: string;
  /**
   * "ask" (default): Pawl is asked about each request, so a token is rejected as soon as it is superseded or ended.
   * "keys": tokens are verified by Pawl's public keys without a request. A superseded or ended token then passes until
   * its exp. Needs another signing algorithm than HS256.
   * "feed": tokens are verified in memory by the public keys and Pawl's feed of revocations. A superseded or ended token
   * passes for a second at most. Pawl is asked where the feed is not enough. Call close when the verifier is not needed.
   */
  mode?: "ask" | "keys" | "feed";
  /** An API key of scope Verify or Full. Required to ask. The feed needs one of a user of level NetOps. */
  apiKey?: string;
  /** The server's settings of the same names; "pawl" by default. For keys. */
  issuer?: string;
  audience?: string;
  /** Accept the token of the session cookie where there is no Authorization header. */
  cookie?: boolean;
  /** Origins of browsers whose requests may use the cookie, besides the same origin. */
  allowedOrigins?: string[];
  fetch?: typeof fetch;
}

/** The user and session of a verified token. */
export interface Caller {
  userId: number;
  sessionId: string;
  authLevel: string;
  networkId: number;
  mailboxId: number;
  externalId?: string;
  /** The user who acts for userId. */
  actorId?: number;
  /** The claims that the session was opened with. */
  claims?: Record<string, unknown>;
}

export interface Verifier {
  /** Returns the caller of a token. Throws a PawlError: InvalidSession, or a temporary one if it cannot be checked. */
  verify(token: string): Promise<Caller>;
  /** Verifies the credentials of a request, given by its method and a way to read headers. */
  authenticate(method: string, header: (name: string) => string | undefined | null): Promise<Caller>;
  /** Figures of mode "feed". */
  stats?(): FeedStats;
  /** Ends the feed. */
  close(): void;
}

export function createVerifier(options: VerifierOptions): Verifier {
  const feed = options.mode === "feed" ? createFeedVerifier(options) : undefined;
  const verify = feed
    ? (token: string) => feed.verify(token)
    : options.mode === "keys" ? verifyByKeys(options).verify : verifyByAsking(options);
  return {
    verify,
    authenticate: async (method, header) => verify(credentials(options, method, header)),
    ...(feed && { stats: () => feed.stats() }),
    close: () => feed?.close(),
  };
}

function createFeedVerifier(options: VerifierOptions): FeedVerifier {
  if (!options.apiKey) {
    throw new TypeError("apiKey is missing; the feed needs one of a user of level NetOps, such as of scope Verify");
  }
  const keys = verifyByKeys(options);
  return new FeedVerifier({
    url: options.url.replace(/\/+$/, ""),
    apiKey: options.apiKey ?? "",
    fetch: options.fetch ?? fetch,
    byKeys: keys.verify,
    byAsking: verifyBySession(options),
    reloadKeys: keys.reload,
  }, options);
}

const timeout = 5_000;
const cookieName = "__Host-pawl";
const safeMethods = ["GET", "HEAD", "OPTIONS"];

/** Returns the token of a request. A foreign site can make a browser send the cookie, but not the header. */
function credentials(
  options: VerifierOptions,
  method: string,
  header: (name: string) => string | undefined | null,
): string {
  const authorization = header("authorization");
  if (authorization) {
    const [, token] = /^Bearer +([^\s,]+)$/i.exec(authorization) ?? [];
    if (!token) {
      throw new PawlError("InvalidSession", "The Authorization header must be one Bearer token.", 401);
    }
    return token;
  }
  const token = options.cookie ? cookieOf(header("cookie") ?? "") : undefined;
  if (!token) {
    throw new PawlError("InvalidSession", "The token is missing; sign in and send it.", 401);
  }
  const site = header("sec-fetch-site");
  const origin = header("origin");
  const trusted = origin ? options.allowedOrigins?.includes(origin) || sameHost(origin, header("host")) : !site;
  if (!safeMethods.includes(method) && site !== "same-origin" && site !== "none" && !trusted) {
    throw new PawlError("AccessDenied", "The request comes from another site.", 403);
  }
  return token;
}

function cookieOf(header: string): string | undefined {
  for (const pair of header.split(";")) {
    const at = pair.indexOf("=");
    if (pair.slice(0, at).trim() === cookieName) {
      return pair.slice(at + 1).trim();
    }
  }
  return undefined;
}

function sameHost(origin: string, host: string | undefined | null): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** Asks /oauth2/introspect (RFC 7662) about each token. */
function verifyByAsking(options: VerifierOptions): Verifier["verify"] {
  const apiKey = options.apiKey;
  if (!apiKey) {
    throw new TypeError("apiKey is missing; Pawl answers questions about tokens only to API keys");
  }
  const url = options.url.replace(/\/+$/, "") + "/oauth2/introspect";
  const send = options.fetch ?? fetch;
  return async (token) => {
    let response: Response;
    let claims: JWTPayload & { active?: boolean; error_description?: string };
    try {
      response = await send(url, {
        method: "POST",
        headers: { "X-API-Key": apiKey },
        body: new URLSearchParams({ token }),
        signal: AbortSignal.timeout(timeout),
      });
      claims = await response.json();
    } catch (cause) {
      throw Object.assign(new PawlError("Network", "Pawl did not answer; try again."), { cause });
    }
    if (!response.ok) {
      // 503 also for a wrong API key: it is no fault of the caller's token.
      throw new PawlError("Unavailable", "The token cannot be checked: " + claims.error_description, 503);
    }
    if (claims.active !== true) {
      throw invalidSession();
    }
    return callerOf(claims);
  };
}

/**
 * Asks Pawl about a token with the token itself, so that the API key needs no rights over the user. The claims are in the
 * token, but the level and the tenant of the answer may be newer.
 */
function verifyBySession(options: VerifierOptions): Verifier["verify"] {
  const url = options.url.replace(/\/+$/, "") + "/v2/auth/session";
  const send = options.fetch ?? fetch;
  return async (token) => {
    let status: number;
    let answer: { success?: boolean; errorCode?: string; data?: Omit<Caller, "sessionId"> };
    let claims: JWTPayload;
    try {
      const response = await send(url, {
        method: "POST",
        // A node must not answer from a stale copy, because the answer is used for the life of the token.
        headers: { Authorization: "Bearer " + token, "Cache-Control": "no-cache" },
        signal: AbortSignal.timeout(timeout),
      });
      status = response.status;
      answer = await response.json();
    } catch (cause) {
      throw Object.assign(new PawlError("Network", "Pawl did not answer; try again."), { cause });
    }
    if (status === 401 && answer.errorCode === "InvalidSession") {
      throw invalidSession();
    }
    if (status !== 200 || !answer.success || !answer.data) {
      throw new PawlError("Unavailable", "The token cannot be checked at the moment.", 503);
    }
    try {
      claims = decodeJwt(token);
    } catch {
      throw invalidSession();
    }
    const { authLevel, networkId, mailboxId } = answer.data;
    return { ...callerOf(claims), authLevel, networkId, mailboxId };
  };
}

/** Verifies tokens by the JWK set, which is cached. */
function verifyByKeys(options: VerifierOptions): { verify: Verifier["verify"]; reload: () => void } {
  const keys = createRemoteJWKSet(new URL(options.url.replace(/\/+$/, "") + "/.well-known/jwks.json"), {
    timeoutDuration: timeout,
    cacheMaxAge: 60_000,
    cooldownDuration: 5_000,
  });
  const reload = () => void keys.reload().catch(() => {}); // who needs a key gets the error
  const verify: Verifier["verify"] = async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: options.issuer ?? "pawl",
        audience: options.audience ?? "pawl",
        algorithms: ["ES256", "EdDSA", "RS256"],
        requiredClaims: ["exp", "sub", "sid"],
      });
      return callerOf(payload);
    } catch (e) {
      const rejected = e instanceof errors.JOSEError && !(e instanceof errors.JWKSTimeout);
      if (rejected && e.code !== "ERR_JOSE_GENERIC" && e.code !== "ERR_JWKS_INVALID") {
        throw Object.assign(invalidSession(), { cause: e });
      }
      throw Object.assign(new PawlError("Unavailable", "The keys of Pawl cannot be read.", 503), { cause: e });
    }
  };
  return { verify, reload };
}

function invalidSession(): PawlError {
  return new PawlError("InvalidSession", "The token is invalid, expired, superseded or revoked; sign in.", 401);
}

function callerOf(claims: JWTPayload): Caller {
  const act = claims["act"] as { sub?: string } | undefined;
  return {
    userId: Number(claims.sub),
    sessionId: String(claims["sid"]),
    authLevel: String(claims["authLevel"]),
    networkId: Number(claims["networkId"]),
    mailboxId: Number(claims["mailboxId"]),
    ...(claims["externalId"] !== undefined && { externalId: String(claims["externalId"]) }),
    ...(act?.sub && { actorId: Number(act.sub) }),
    ...(claims["ext"] !== undefined && { claims: claims["ext"] as Record<string, unknown> }),
  };
}

/** The status, headers and body of the answer to a request that failed. */
function rejection(e: unknown): { status: number; headers: Record<string, string>; body: object } {
  const error = e instanceof PawlError ? e : new PawlError("InternalError", "The token cannot be checked.", 500);
  const status = error.status || 503;
  return {
    status,
    headers: {
      "Cache-Control": "no-store",
      ...(status === 401 && { "WWW-Authenticate": 'Bearer error="invalid_token"' }),
      ...(status === 503 && { "Retry-After": "1" }),
    },
    body: { success: false, data: null, errorCode: error.errorCode, message: error.message },
  };
}

/** The parts of Express's request and response that the middleware uses. */
interface ExpressRequest {
  method: string;
  headers: Record<string, string | string[] | undefined>;
  pawl?: Caller;
}
interface ExpressResponse {
  status(code: number): this;
  set(headers: Record<string, string>): this;
  json(body: object): unknown;
}

const first = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(",") : value;

/** Middleware for Express: sets req.pawl, or answers 401, 403 or 503. */
export function expressAuth(verifier: Verifier) {
  return async (req: ExpressRequest, res: ExpressResponse, next: () => void): Promise<void> => {
    try {
      req.pawl = await verifier.authenticate(req.method, (name) => first(req.headers[name]));
    } catch (e) {
      const { status, headers, body } = rejection(e);
      res.status(status).set(headers).json(body);
      return;
    }
    next();
  };
}

/** The parts of Fastify's request and reply that the hook uses. */
interface FastifyRequest {
  method: string;
  headers: Record<string, string | string[] | undefined>;
  pawl?: Caller;
}
interface FastifyReply {
  code(status: number): this;
  headers(headers: Record<string, string>): this;
  send(body: object): unknown;
}

/** An onRequest hook for Fastify: sets request.pawl, or answers 401, 403 or 503. */
export function fastifyAuth(verifier: Verifier) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    try {
      request.pawl = await verifier.authenticate(request.method, (name) => first(request.headers[name]));
      return undefined;
    } catch (e) {
      const { status, headers, body } = rejection(e);
      return reply.code(status).headers(headers).send(body);
    }
  };
}

/** Wraps a handler in the style of fetch, as Next and Hono have them. */
export function withAuth<Rest extends unknown[]>(
  verifier: Verifier,
  handler: (request: Request, caller: Caller, ...rest: Rest) => Response | Promise<Response>,
) {
  return async (request: Request, ...rest: Rest): Promise<Response> => {
    let caller: Caller;
    try {
      caller = await verifier.authenticate(request.method, (name) => request.headers.get(name));
    } catch (e) {
      const { status, headers, body } = rejection(e);
      return Response.json(body, { status, headers });
    }
    return handler(request, caller, ...rest);
  };
}
