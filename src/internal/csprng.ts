import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Where random bytes come from: a cryptographically secure generator, never `Math.random`. Tests may replace it. */
export class Csprng extends Context.Reference<Csprng>()("effect-security/internal/Csprng", {
  defaultValue: () => (length: number): Uint8Array => globalThis.crypto.getRandomValues(new Uint8Array(length))
}) {}

/** `length` random bytes. */
export const bytes = (length: number): Effect.Effect<Uint8Array> => Effect.map(Csprng, (random) => random(length))
