import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Either from "effect/Either"
import { isString } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as secretBytes from "../../../internal/secretBytes.js"

/** Keys as an application gives them; `SealedSession.Keys` is their public face. */
export type Given = Redacted.Redacted<string | Uint8Array> | ReadonlyArray<Redacted.Redacted<string | Uint8Array>>

const purpose: secretBytes.Purpose = {
  noun: "a session key",
  minimum: "it has at least 32",
  advice: "others may have it, and would sign in as anybody; take 32 random bytes"
}

/** The most bytes at the front that a key may be made of, over and over. */
const longestPeriod = (bytes: Uint8Array): number => Math.floor(bytes.length / 2)

/** After how many bytes a key begins anew, up to the half of it; 0 where it does not. */
const periodOf = (bytes: Uint8Array): number =>
  Arr.range(1, longestPeriod(bytes)).find((period) =>
    bytes.every((byte, index) => index < period || byte === bytes[index - period])
  ) ?? 0

/** Of 32 random bytes, all are printable once in 10^13 times. */
const isTyped = (bytes: Uint8Array): boolean => bytes.every((byte) => byte >= 0x20 && byte < 0x7f)

/** Of 32 random bytes, fewer than 16 are different once in 10^14 times: what is short and was filled up is no secret. */
const fewest = 16

/** Random base64url of 43 characters has letters of one case only, or none, twice in 10^10 times. */
const isWritten = (text: string): boolean => !(/[a-z]/.test(text) && /[A-Z]/.test(text))

const typed = "a session key is text that somebody may have typed: take 32 random bytes"

const parse = (given: Redacted.Redacted<string | Uint8Array>): Either.Either<Uint8Array, string> => {
  const text = Redacted.value(given)
  if (isString(text) && /^[0-9A-Fa-f]+$/.test(text)) {
    return Either.left("a session key is hexadecimal: write it as base64url")
  }
  return Either.flatMap(secretBytes.parse(text, purpose), (bytes) => {
    const period = periodOf(bytes)
    const different = new Set(bytes).size
    return period > 0
      ? Either.left(`a session key repeats itself after ${period} bytes`)
      : isTyped(bytes) || (isString(text) && isWritten(text))
      ? Either.left(typed)
      : different < fewest
      ? Either.left(`a session key has ${different} different bytes only: take 32 random bytes`)
      : Either.right(bytes)
  })
}

const areSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index])

/** The bytes of each key, the newest first, or what is wrong with one of them. */
export const parseAll = (given: Given): Either.Either<NonEmptyReadonlyArray<Uint8Array>, string> =>
  Either.flatMap(
    Either.all((Redacted.isRedacted(given) ? [given] : given).map(parse)),
    (keys) =>
      !Arr.isNonEmptyReadonlyArray(keys)
        ? Either.left("there is no session key")
        : keys.some((key, index) => keys.slice(0, index).some((other) => areSame(key, other)))
        ? Either.left("a session key is there twice")
        : Either.right(keys)
  )
