import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { isString } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Credential from "../../http/Credential.js"

/** The codes of RFC 6749 section 5.2. */
export type ErrorCode =
  | "invalid_request"
  | "invalid_client"
  | "invalid_grant"
  | "unsupported_grant_type"
  | "invalid_scope"

/** What a client asks the token endpoint for (RFC 6749 section 4.3.2). */
export interface TokenRequest {
  readonly username: string
  readonly password: Redacted.Redacted
  /** None where the client names no scope. */
  readonly scope: Option.Option<ReadonlyArray<string>>
  readonly client: Client
}

/** Who says that it asks: a client without a secret may be anybody. */
export interface Client {
  readonly id: Option.Option<string>
  readonly secret: Option.Option<Redacted.Redacted>
}

type Answer<A> = Either.Either<A, ErrorCode>

const invalid: Answer<never> = Either.left("invalid_request")

// -----------------------------------------------------------------------------
// Forms
// -----------------------------------------------------------------------------

/** A part of a form: text that is percent-encoded UTF-8 and nothing else. */
const decodePart = (text: string): Answer<string> =>
  Either.try({
    try: () => decodeURIComponent(text.replaceAll("+", " ")),
    catch: (): ErrorCode => "invalid_request"
  })

/** The parameters of a form, none of them twice (RFC 6749 section 3.2). One without a value is as good as none. */
const parseForm = (text: string): Answer<ReadonlyMap<string, string>> =>
  Either.gen(function*() {
    const parameters = new Map<string, string>()
    for (const pair of text.split("&")) {
      if (pair === "") {
        continue
      }
      const equals = pair.indexOf("=")
      const name = yield* decodePart(equals === -1 ? pair : pair.slice(0, equals))
      const value = yield* decodePart(equals === -1 ? "" : pair.slice(equals + 1))
      if (parameters.has(name)) {
        return yield* invalid
      }
      parameters.set(name, value)
    }
    return new Map(Array.from(parameters).filter(([, value]) => value !== ""))
  })

// -----------------------------------------------------------------------------
// Parameters
// -----------------------------------------------------------------------------

/** RFC 6749 section 3.3. */
const scopeTokens = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/

const scopeOf = (scope: string | undefined): Answer<Option.Option<ReadonlyArray<string>>> =>
  scope === undefined
    ? Either.right(Option.none())
    : scopeTokens.test(scope)
    ? Either.right(Option.some(Array.from(new Set(scope.split(" ")))))
    : Either.left("invalid_scope")

const some = (text: string): Option.Option<string> => text === "" ? Option.none() : Option.some(text)

/** A part of `Authorization: Basic`, which is encoded as a form is (RFC 6749 section 2.3.1). */
const basicPart = (text: string): Answer<Option.Option<string>> =>
  Either.mapBoth(decodePart(text), { onLeft: (): ErrorCode => "invalid_client", onRight: some })

/** A client says who it is in the header or in the form, and its secret in one of them alone (RFC 6749 section 2.3). */
const clientOf = (
  request: HttpServerRequest,
  form: ReadonlyMap<string, string>
): Answer<Client> =>
  Either.gen(function*() {
    const basic = Credential.fromRequest(request, "authorization", Credential.basic)
    if (basic._tag === "Invalid") {
      return yield* Either.left<ErrorCode>("invalid_client")
    }
    const inForm: Client = {
      id: Option.fromNullable(form.get("client_id")),
      secret: Option.map(Option.fromNullable(form.get("client_secret")), Redacted.make)
    }
    if (basic._tag === "None") {
      return inForm
    }
    const id = yield* basicPart(basic.value.username)
    const secret = Option.map(yield* basicPart(Redacted.value(basic.value.password)), Redacted.make)
    // Tools send an empty pair where their user gave none.
    if (Option.isNone(id) && Option.isNone(secret)) {
      return inForm
    }
    const isOther = Option.isSome(inForm.id) && Option.getOrUndefined(id) !== inForm.id.value
    return Option.isSome(inForm.secret) || isOther ? yield* invalid : { id, secret }
  })

/** Reads the request from the text of its form. */
export const parse = (request: HttpServerRequest, text: string): Answer<TokenRequest> =>
  Either.gen(function*() {
    const form = yield* parseForm(text)
    const grantType = form.get("grant_type")
    if (grantType === undefined) {
      return yield* invalid
    }
    if (grantType !== "password") {
      return yield* Either.left<ErrorCode>("unsupported_grant_type")
    }
    const client = yield* clientOf(request, form)
    const username = form.get("username")
    const password = form.get("password")
    if (!isString(username) || !isString(password)) {
      return yield* invalid
    }
    return { username, password: Redacted.make(password), scope: yield* scopeOf(form.get("scope")), client }
  })
