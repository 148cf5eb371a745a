/**
 * Credentials as they stand in a request's headers, parsed strictly: what is not exactly of the expected form is not a
 * credential. Nothing here decides whether a credential is good.
 *
 * @since 0.1.0
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as requestHeaders from "./internal/requestHeaders.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * What a request holds in one place: no credential, something that cannot be one (also two of them), or the text of
 * one, which may still turn out to be wrong.
 *
 * @since 0.1.0
 * @category models
 */
export type Credential<A> =
  | { readonly _tag: "None" }
  | { readonly _tag: "Invalid" }
  | { readonly _tag: "Found"; readonly value: A }

/**
 * User name and password of HTTP Basic.
 *
 * @since 0.1.0
 * @category models
 */
export interface BasicCredentials {
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const none: Credential<never> = { _tag: "None" }

/**
 * @since 0.1.0
 * @category constructors
 */
export const invalid: Credential<never> = { _tag: "Invalid" }

/**
 * @since 0.1.0
 * @category constructors
 */
export const found = <A>(value: A): Credential<A> => ({ _tag: "Found", value })

// -----------------------------------------------------------------------------
// Cookie
// -----------------------------------------------------------------------------

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09

/**
 * The raw value of the cookie `name` in a `Cookie` header (RFC 6265bis section 5.8.3). Only space and tab separate
 * pairs, so U+00A0 belongs to a name; values are neither unquoted nor percent-decoded; two cookies of the name are
 * invalid, whichever comes first.
 *
 * @since 0.1.0
 * @category parsing
 * @example
 * ```ts
 * import { Credential } from "effect-security"
 *
 * Credential.cookie("theme=dark; __Host-session=abc", "__Host-session") // { _tag: "Found", value: "abc" }
 * Credential.cookie("a=1; a=2", "a") // { _tag: "Invalid" }
 * ```
 */
export const cookie = (header: string | undefined, name: string): Credential<string> => {
  if (header === undefined) {
    return none
  }
  let result: Credential<string> = none
  let position = 0
  while (position < header.length) {
    const semicolon = header.indexOf(";", position)
    const end = semicolon === -1 ? header.length : semicolon
    while (position < end && isBlank(header.charCodeAt(position))) {
      position++
    }
    if (header.startsWith(name, position) && header[position + name.length] === "=") {
      if (result._tag !== "None") {
        return invalid
      }
      result = found(header.slice(position + name.length + 1, end))
    }
    position = end + 1
  }
  return result._tag === "Found" && result.value === "" ? invalid : result
}

// -----------------------------------------------------------------------------
// Authorization
// -----------------------------------------------------------------------------

const schemeAndRest = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)( *)(.*)$/s

/** The part after an authentication scheme (RFC 9110 section 11.4), or `none` when the scheme is another one. */
const afterScheme = (header: string | undefined, scheme: string): Credential<string> => {
  if (header === undefined) {
    return none
  }
  const match = schemeAndRest.exec(header)
  if (match === null || match[1]!.toLowerCase() !== scheme) {
    return none
  }
  return match[2] === "" ? invalid : found(match[3]!)
}

const token68 = /^[A-Za-z0-9\-._~+/]+=*$/

/**
 * The token of an `Authorization: Bearer` header (RFC 6750 section 2.1). The scheme is case-insensitive, followed by
 * one or more spaces and exactly one token; another scheme is no credential.
 *
 * @since 0.1.0
 * @category parsing
 */
export const bearer = (header: string | undefined): Credential<string> => {
  const rest = afterScheme(header, "bearer")
  return rest._tag === "Found" && !token68.test(rest.value) ? invalid : rest
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
// RFC 7617 section 2: neither part holds control characters.
const control = /[\u0000-\u001f\u007f]/

/**
 * User name and password of an `Authorization: Basic` header (RFC 7617 section 2): canonical base64 of UTF-8, split at
 * the first colon, so that a password may contain more of them.
 *
 * @since 0.1.0
 * @category parsing
 */
export const basic = (header: string | undefined): Credential<BasicCredentials> => {
  const rest = afterScheme(header, "basic")
  if (rest._tag !== "Found") {
    return rest
  }
  const bytes = Encoding.decodeBase64(rest.value)
  if (Either.isLeft(bytes) || Encoding.encodeBase64(bytes.right) !== rest.value) {
    return invalid
  }
  const text = Either.try(() => utf8.decode(bytes.right))
  if (Either.isLeft(text) || control.test(text.right)) {
    return invalid
  }
  const colon = text.right.indexOf(":")
  return colon === -1
    ? invalid
    : found({ username: text.right.slice(0, colon), password: Redacted.make(text.right.slice(colon + 1)) })
}

// -----------------------------------------------------------------------------
// Other headers
// -----------------------------------------------------------------------------

// Visible ASCII without the comma, with which repeated headers are joined.
const key = /^[\x21-\x2b\x2d-\x7e]+$/

/**
 * The key in a header of its own: visible ASCII without comma. An empty header is an invalid credential.
 *
 * @since 0.1.0
 * @category parsing
 */
export const apiKey = (header: string | undefined): Credential<string> =>
  header === undefined ? none : key.test(header) ? found(header) : invalid

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

/**
 * Reads the (lower case) header `name` of a request with one of the parsers above. A header that was sent twice is an
 * invalid credential, except `Cookie`, whose parts are joined by the server.
 *
 * @since 0.1.0
 * @category parsing
 */
export const fromRequest = <A>(
  request: HttpServerRequest,
  name: string,
  parse: (header: string | undefined) => Credential<A>
): Credential<A> =>
  name !== "cookie" && requestHeaders.isRepeated(request, name) ? invalid : parse(request.headers[name])
