import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import type { SecurityUnavailable } from "../../SecurityError.js"

/** Of a store, what the sweeper asks. */
interface Swept {
  readonly removeExpired: (limit: number) => Effect.Effect<number, SecurityUnavailable>
}

export const defaultInterval: Duration.DurationInput = "1 minute"

/** How many expired sessions go at once, so that requests are not kept waiting. */
export const batch = 1_000

/** Ends when a batch was not full; yields between batches. */
const sweep = (store: Swept): Effect.Effect<void, SecurityUnavailable> =>
  Effect.flatMap(
    store.removeExpired(batch),
    (removed) => removed < batch ? Effect.void : Effect.zipRight(Effect.yieldNow(), sweep(store))
  )

/**
 * Removes what is expired again and again, at once and then each `interval`, by a fiber that ends with the scope. A
 * store that fails is asked again at the next turn.
 */
export const start = (store: Swept, interval: Duration.DurationInput): Effect.Effect<void, never, Scope> =>
  sweep(store).pipe(
    Effect.catchAllCause((cause) => Effect.logWarning("expired sessions could not be removed", cause)),
    Effect.repeat(Schedule.spaced(interval)),
    Effect.forkScoped,
    Effect.asVoid
  )
