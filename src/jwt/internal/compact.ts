import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as base64url from "../../internal/base64url.js"
import * as json from "./json.js"

/** The longest token that is looked at, in bytes. */
export const limit = 8192

/** A token in compact form whose signature nobody has looked at. */
export interface Compact {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const decode = (text: string): Option.Option<Readonly<Record<string, unknown>>> =>
  Encoding.decodeBase64Url(text).pipe(
    Either.flatMap((bytes) => Either.try(() => utf8.decode(bytes))),
    Option.getRight,
    Option.flatMap(json.parseObject)
  )

/** A token in exactly the form of RFC 7515 section 3.1 whose header and claims are JSON objects. */
export const parse = (text: string): Option.Option<Compact> => {
  const parts = text.split(".", 4)
  return parts.length === 3 && parts.every((part) => part !== "" && base64url.isCanonical(part))
    ? Option.zipWith(decode(parts[0]!), decode(parts[1]!), (header, claims) => ({ header, claims }))
    : Option.none()
}
