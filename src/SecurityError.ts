/**
 * The ways in which a request can fail for reasons of security, one union from the start. Each is typed in the error
 * channel, becomes the same RFC 9457 response on every router, and is decoded to its class by a client derived from an
 * `HttpApi`.
 *
 * @since 0.1.0
 */
import * as Cookies from "@effect/platform/Cookies"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as problem from "./internal/problem.js"

// -----------------------------------------------------------------------------
// 401
// -----------------------------------------------------------------------------

/**
 * Why a request is not authenticated, for logs and handlers. It is never part of a response: the body does not tell
 * which part of a credential was wrong. A custom backend may use words of its own.
 *
 * @since 0.1.0
 * @category models
 */
export type NotAuthorizedReason =
  | "NoCredential"
  | "InvalidCredential"
  | "UnknownSession"
  | "UndecodableSession"
  | "UnknownUser"
  | "WrongPassword"
  | (string & {})

/**
 * The request carries no credential, or one that is not good: 401. The response holds a `WWW-Authenticate` challenge
 * (RFC 9110 section 11.6.1), `Cache-Control: no-store`, `Vary`, and the cookies that end a credential.
 *
 * `reason` is for logs and handlers and is not encoded: a client that decodes this class sees `"unspecified"`.
 * `challenge` is the value of `WWW-Authenticate`, by default `Cookie`.
 *
 * @since 0.1.0
 * @category errors
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { SecurityError } from "effect-security"
 *
 * const program = Effect.fail(new SecurityError.NotAuthorized({ reason: "WrongPassword" })).pipe(
 *   Effect.catchTag("NotAuthorized", (error) => Effect.succeed(error.reason))
 * )
 * ```
 */
export class NotAuthorized extends Schema.TaggedError<NotAuthorized>("effect-security.NotAuthorized")(
  "NotAuthorized",
  problem.fields(401, "Unauthorized"),
  problem.annotations(401, "The request carries no valid credential")
) {
  readonly reason: NotAuthorizedReason
  readonly challenge: string
  readonly vary: string
  readonly cookies: Cookies.Cookies

  constructor(
    props?: {
      readonly reason?: NotAuthorizedReason | undefined
      readonly challenge?: string | undefined
      readonly vary?: string | undefined
      readonly cookies?: Cookies.Cookies | undefined
    } | void,
    options?: Schema.MakeOptions
  ) {
    super({}, options)
    this.reason = props?.reason ?? "unspecified"
    this.challenge = props?.challenge ?? "Cookie"
    this.vary = props?.vary ?? "Cookie"
    this.cookies = props?.cookies ?? Cookies.empty
  }

  override get message(): string {
    return this.reason
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(HttpServerResponse.mergeCookies(
      problem.response(this, {
        headers: { "www-authenticate": this.challenge, "cache-control": "no-store", vary: this.vary }
      }),
      this.cookies
    ))
  }
}

// -----------------------------------------------------------------------------
// 403
// -----------------------------------------------------------------------------

/**
 * The request is authenticated, and its user may not do this: 403. `reason` is for logs and handlers and is not
 * encoded; `vary` names the credential's header, which the backend of a guard says by itself; `challenge` is the value of
 * `WWW-Authenticate` where another credential would do, one with more scopes (RFC 6750 section 3.1).
 *
 * @since 0.1.0
 * @category errors
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>("effect-security.PermissionDenied")(
  "PermissionDenied",
  problem.fields(403, "Forbidden"),
  problem.annotations(403, "The user may not do this")
) {
  readonly reason: string
  readonly vary: string | undefined
  readonly challenge: string | undefined

  constructor(
    props?: {
      readonly reason?: string | undefined
      readonly vary?: string | undefined
      readonly challenge?: string | undefined
    } | void,
    options?: Schema.MakeOptions
  ) {
    super({}, options)
    this.reason = props?.reason ?? "unspecified"
    this.vary = props?.vary
    this.challenge = props?.challenge
  }

  override get message(): string {
    return this.reason
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(
      problem.response(this, {
        headers: {
          "cache-control": "no-store",
          ...(this.vary === undefined ? {} : { vary: this.vary }),
          ...(this.challenge === undefined ? {} : { "www-authenticate": this.challenge })
        }
      })
    )
  }
}

/**
 * An unsafe request that another site made a browser send, where a cookie would have been read or written: 403. See
 * the module `http/CrossSite` for the rule. `reason` is for logs and handlers and is not encoded.
 *
 * @since 0.1.0
 * @category errors
 */
export class CrossSiteRejected extends Schema.TaggedError<CrossSiteRejected>("effect-security.CrossSiteRejected")(
  "CrossSiteRejected",
  problem.fields(403, "Forbidden"),
  problem.annotations(403, "The request was made by another site")
) {
  readonly reason: string

  constructor(props?: { readonly reason?: string | undefined } | void, options?: Schema.MakeOptions) {
    super({}, options)
    this.reason = props?.reason ?? "unspecified"
  }

  override get message(): string {
    return this.reason
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this, { headers: { "cache-control": "no-store", vary: "Cookie, Origin" } }))
  }
}

// -----------------------------------------------------------------------------
// 429 and 503
// -----------------------------------------------------------------------------

const retryAfterSeconds = (seconds: number | undefined): number =>
  seconds !== undefined && Number.isFinite(seconds) && seconds > 0 ? Math.ceil(seconds) : 1

/**
 * Too many attempts with wrong credentials: 429 with `Retry-After` (RFC 6585 section 4). `retryAfter` is in whole
 * seconds, at least 1.
 *
 * @since 0.1.0
 * @category errors
 */
export class TooManyAttempts extends Schema.TaggedError<TooManyAttempts>("effect-security.TooManyAttempts")(
  "TooManyAttempts",
  { ...problem.fields(429, "Too Many Requests"), retryAfter: Schema.Int.pipe(Schema.positive()) },
  problem.annotations(429, "Too many attempts with wrong credentials")
) {
  constructor(props?: { readonly retryAfter?: number | undefined } | void, options?: Schema.MakeOptions) {
    super({ retryAfter: retryAfterSeconds(props?.retryAfter) }, options)
  }

  override get message(): string {
    return `retry after ${this.retryAfter} s`
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this, {
      extension: { retryAfter: this.retryAfter },
      headers: { "retry-after": String(this.retryAfter), "cache-control": "no-store" }
    }))
  }
}

/**
 * What authentication depends on is down, slow or full: 503 with `Retry-After`. It is never reported as "not signed
 * in", and no cookie is set or cleared. `retryAfter` is in whole seconds (default 1); `reason` says which part failed
 * and `cause` holds what it failed with: both are for logs and not encoded.
 *
 * @since 0.1.0
 * @category errors
 */
export class SecurityUnavailable extends Schema.TaggedError<SecurityUnavailable>(
  "effect-security.SecurityUnavailable"
)(
  "SecurityUnavailable",
  { ...problem.fields(503, "Service Unavailable"), retryAfter: Schema.Int.pipe(Schema.positive()) },
  problem.annotations(503, "What authentication depends on is not available")
) {
  readonly reason: string

  constructor(
    props?: {
      readonly reason?: string | undefined
      readonly cause?: unknown
      readonly retryAfter?: number | undefined
    } | void,
    options?: Schema.MakeOptions
  ) {
    super({ retryAfter: retryAfterSeconds(props?.retryAfter) }, options)
    this.reason = props?.reason ?? "unspecified"
    if (props?.cause !== undefined) {
      // As the platform's own errors have it, but not enumerable: it must not reach a JSON rendering.
      Object.defineProperty(this, "cause", { value: props.cause, enumerable: false })
    }
  }

  override get message(): string {
    return this.reason
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this, {
      extension: { retryAfter: this.retryAfter },
      headers: { "retry-after": String(this.retryAfter), "cache-control": "no-store" }
    }))
  }
}

// -----------------------------------------------------------------------------
// The union
// -----------------------------------------------------------------------------

/**
 * Every way in which a guarded request can fail, as the `failure` of an `HttpApi` middleware.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SecurityError: Schema.Union<[
  typeof NotAuthorized,
  typeof PermissionDenied,
  typeof CrossSiteRejected,
  typeof TooManyAttempts,
  typeof SecurityUnavailable
]> = Schema.Union(NotAuthorized, PermissionDenied, CrossSiteRejected, TooManyAttempts, SecurityUnavailable)

/**
 * @since 0.1.0
 * @category errors
 */
export type SecurityError =
  | NotAuthorized
  | PermissionDenied
  | CrossSiteRejected
  | TooManyAttempts
  | SecurityUnavailable

// -----------------------------------------------------------------------------
// Failures of writing a credential
// -----------------------------------------------------------------------------

/**
 * The session would hold more than its limit: 413 where it is not handled. `size` and `limit` are bytes of the
 * encoded data.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionTooLarge extends Schema.TaggedError<SessionTooLarge>("effect-security.SessionTooLarge")(
  "SessionTooLarge",
  { ...problem.fields(413, "Content Too Large"), size: Schema.Int, limit: Schema.Int },
  problem.annotations(413, "The session would hold more than its limit")
) {
  override get message(): string {
    return `the session takes ${this.size} bytes, the limit is ${this.limit}`
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this, { extension: { size: this.size, limit: this.limit } }))
  }
}

/**
 * The cookies that would carry the credential are larger than their limit: 413 where it is not handled. `size` and
 * `limit` are bytes of the serialised `Set-Cookie` headers.
 *
 * @since 0.1.0
 * @category errors
 */
export class CookieTooLarge extends Schema.TaggedError<CookieTooLarge>("effect-security.CookieTooLarge")(
  "CookieTooLarge",
  { ...problem.fields(413, "Content Too Large"), size: Schema.Int, limit: Schema.Int },
  problem.annotations(413, "The cookies of the session would be larger than their limit")
) {
  override get message(): string {
    return `the cookies take ${this.size} bytes, the limit is ${this.limit}`
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this, { extension: { size: this.size, limit: this.limit } }))
  }
}

/**
 * Other writers won every one of the tries to change the session: 409 where it is not handled. Nothing was changed.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionConflict extends Schema.TaggedError<SessionConflict>("effect-security.SessionConflict")(
  "SessionConflict",
  problem.fields(409, "Conflict"),
  problem.annotations(409, "The session was changed by other requests at the same time")
) {
  override get message(): string {
    return "other writers won every try"
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this))
  }
}

/**
 * Every way in which signing in can fail, for the endpoint of an `HttpApi` that calls `login`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LoginError: Schema.Union<[
  typeof NotAuthorized,
  typeof CrossSiteRejected,
  typeof TooManyAttempts,
  typeof SecurityUnavailable,
  typeof SessionTooLarge,
  typeof CookieTooLarge
]> = Schema.Union(
  NotAuthorized,
  CrossSiteRejected,
  TooManyAttempts,
  SecurityUnavailable,
  SessionTooLarge,
  CookieTooLarge
)

/**
 * @since 0.1.0
 * @category errors
 */
export type LoginError =
  | NotAuthorized
  | CrossSiteRejected
  | TooManyAttempts
  | SecurityUnavailable
  | SessionTooLarge
  | CookieTooLarge

// -----------------------------------------------------------------------------
// Failures of building a Layer
// -----------------------------------------------------------------------------

/**
 * A Layer was given what nothing should start with: a key that is weak, that is of another kind than the algorithms
 * need, or that is no key, or a setting about tokens that makes no sense. `reason` says which and why, and holds nothing
 * of a key.
 *
 * @since 0.1.0
 * @category errors
 */
export class SecurityConfigError extends Data.TaggedError("SecurityConfigError")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}
