import * as Either from "effect/Either"
import type { Algorithm } from "../JwtKeys.js"

/** What of a header decides how a token is verified. */
export interface Header {
  readonly algorithm: Algorithm
  readonly kid: string | undefined
}

type Flaw = "UnsupportedHeader" | "WrongAlgorithm" | "WrongTokenType"

/** A media type without its `application/` (RFC 7515 section 4.1.9). Types are compared without regard to case. */
const typeOf = (typ: unknown): string | undefined =>
  typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : undefined

/**
 * Checks the header of a token. Whatever else a header says is not read: keys that it brings or points at (`jwk`,
 * `jku`, `x5c`, `x5u`) are the word of whoever made the token.
 */
export const checker = (algorithms: ReadonlyArray<Algorithm>, type: "JWT" | "at+jwt") => {
  const accepted = new Map<unknown, Algorithm>(algorithms.map((algorithm) => [algorithm, algorithm]))
  return (header: Readonly<Record<string, unknown>>): Either.Either<Header, Flaw> => {
    const { alg, b64, crit, kid, typ } = header
    // RFC 7515 section 4.1.11: none of its extensions is understood here; RFC 7797 changes what is signed.
    if (crit !== undefined || b64 !== undefined) {
      return Either.left("UnsupportedHeader")
    }
    if (kid !== undefined && typeof kid !== "string") {
      return Either.left("UnsupportedHeader")
    }
    const algorithm = accepted.get(alg)
    if (algorithm === undefined) {
      return Either.left("WrongAlgorithm")
    }
    if (typeOf(typ) !== type.toLowerCase() && (typ !== undefined || type !== "JWT")) {
      return Either.left("WrongTokenType")
    }
    return Either.right({ algorithm, kid })
  }
}
