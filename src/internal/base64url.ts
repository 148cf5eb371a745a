import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"

const canonical = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$/

/** Whether the text is what base64url without padding writes for some bytes (RFC 7515 section 2), spare bits zero. */
export const isCanonical = (text: string): boolean => canonical.test(text)

export const encode = (bytes: Uint8Array): string => Encoding.encodeBase64Url(bytes)

/** `None` for anything that `encode` would not have written. */
export const decode = (text: string): Option.Option<Uint8Array> =>
  isCanonical(text) ? Either.getRight(Encoding.decodeBase64Url(text)) : Option.none()

/** What the characters of the alphabet stand for, spare bits and an odd character at the end left out. */
export const decodeLeniently = (text: string): Uint8Array =>
  Either.getOrElse(
    Encoding.decodeBase64Url(text.length % 4 === 1 ? text.slice(0, -1) : text),
    () => new Uint8Array()
  )
