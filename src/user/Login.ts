/**
 * The name under which a person signs in, often a mail address. It is stored as it was given and compared by its key,
 * so that two logins which look the same or differ in case are one account.
 *
 * @since 0.1.0
 */
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as problem from "../internal/problem.js"
import * as text from "../internal/text.js"

// -----------------------------------------------------------------------------
// The key
// -----------------------------------------------------------------------------

/**
 * What logins are compared by. A store that keeps users has it in a column of its own, with a unique index.
 *
 * @since 0.1.0
 * @category models
 */
export type LoginKey = string & Brand.Brand<"effect-security/LoginKey">

/**
 * The key of a login: NFKC, then lower case, then NFKC once more, since lower case can undo it (J with a caron has no
 * composed form, j with a caron has one). It takes any text and is idempotent: the key of a key is that key.
 *
 * @since 0.1.0
 * @category comparison
 * @example
 * ```ts
 * import { Login } from "effect-security"
 *
 * console.log(Login.key("Ada@Example.com") === Login.key("ada@example.com")) // true
 * ```
 */
export const key = (login: string): LoginKey => text.normalize(text.normalize(login).toLowerCase()) as LoginKey

// -----------------------------------------------------------------------------
// The check
// -----------------------------------------------------------------------------

/**
 * The login cannot be registered: 400. It is not well-formed Unicode, or NFKC would change it: it holds characters
 * that look like others, and what is stored would not be what is compared. `reason` says which, for logs and handlers,
 * and is not encoded.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidLogin extends Schema.TaggedError<InvalidLogin>("effect-security.InvalidLogin")(
  "InvalidLogin",
  problem.fields(400, "Bad Request"),
  problem.annotations(400, "The login cannot be registered")
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
    return Effect.succeed(problem.response(this))
  }
}

/**
 * Succeeds when the login can be registered, and fails with `InvalidLogin` when it is not well-formed Unicode or when
 * NFKC would change it. `Credentials.register` asks this; an application that inserts users by itself may.
 *
 * @since 0.1.0
 * @category comparison
 */
export const check = (login: string): Effect.Effect<void, InvalidLogin> => {
  if (!text.isWellFormed(login)) return Effect.fail(new InvalidLogin({ reason: "the login is not well-formed" }))
  if (text.normalize(login) !== login) return Effect.fail(new InvalidLogin({ reason: "NFKC would change the login" }))
  return Effect.void
}
