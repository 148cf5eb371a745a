import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SecurityUnavailable } from "../../SecurityError.js"
import type { Algorithm, Key, KeyRing } from "../JwtKeys.js"
import { isLive, signsWith } from "./keyRing.js"
import * as signatureCache from "./signatureCache.js"

// -----------------------------------------------------------------------------
// Verifying
// -----------------------------------------------------------------------------

const unavailable = (what: string) => (cause: unknown): SecurityUnavailable =>
  new SecurityUnavailable({ reason: what, cause })

type Flaw = "UnknownKey" | "BadSignature"

/** Whether a token was signed by a key that is live, or why it counts as not signed. */
export const verifier = (ring: KeyRing, cacheSize: number) => {
  const cache = signatureCache.make(cacheSize)

  return (
    token: string,
    algorithm: Algorithm,
    kid: string | undefined
  ): Effect.Effect<void, Flaw | SecurityUnavailable> =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const candidates = (keys: ReadonlyArray<Key>) =>
        keys.filter((key) =>
          (kid === undefined || key.kid === kid) && key.algorithms.includes(algorithm) && isLive(key, now)
        )
      const signedBy = (keys: ReadonlyArray<Key>) =>
        Effect.mapError(
          Effect.findFirst(candidates(keys), (key) => key.verify(token, algorithm)),
          unavailable("a signature could not be verified")
        )

      const known = yield* ring.keys
      const remembered = cache.find(token, known.generation)
      if (remembered !== undefined && isLive(remembered, now)) {
        return
      }
      const key = yield* signedBy(known.keys)
      if (Option.isSome(key)) {
        return cache.remember(token, { generation: known.generation, key: key.value })
      }
      if (kid !== undefined && candidates(known.keys).length > 0) {
        return yield* Effect.fail("BadSignature" as const)
      }
      // The key may be one that was published since.
      const fresh = yield* ring.refresh
      const freshKey = fresh.generation === known.generation ? Option.none() : yield* signedBy(fresh.keys)
      if (Option.isSome(freshKey)) {
        return cache.remember(token, { generation: fresh.generation, key: freshKey.value })
      }
      return yield* Effect.fail(candidates(fresh.keys).length > 0 ? "BadSignature" as const : "UnknownKey" as const)
    })
}

// -----------------------------------------------------------------------------
// Signing
// -----------------------------------------------------------------------------

/** Signs with the newest key that is live. */
export const signer = (ring: KeyRing, algorithms: ReadonlyArray<Algorithm>, typ: "JWT" | "at+jwt") =>
(
  payload: Uint8Array
): Effect.Effect<string, SecurityUnavailable> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const { keys } = yield* ring.keys
    for (const key of keys) {
      const alg = signsWith(key, algorithms)
      if (alg !== undefined && key.sign !== undefined && isLive(key, now)) {
        const header = { alg, typ, ...(key.kid === undefined ? {} : { kid: key.kid }) }
        return yield* Effect.mapError(key.sign(header, payload), unavailable("a token could not be signed"))
      }
    }
    return yield* new SecurityUnavailable({ reason: "no live key of the ring can sign" })
  })
