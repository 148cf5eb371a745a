/**
 * What a server remembers of those whose sessions it does not: since when a subject's sealed sessions count. It lets
 * "log out everywhere" reach cookies that somebody copied.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SecurityUnavailable } from "../SecurityError.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * An epoch is a whole number, in the order of time: 0 before the first, and each later one at least the milliseconds
 * since 1970 at which it began. A session says which epoch it began in, and is over in every later one. Every failure of
 * the store itself is a `SecurityUnavailable`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The epoch of a subject: 0 where none has begun, or none that is still remembered. */
  readonly current: (realm: string, subject: string) => Effect.Effect<number, SecurityUnavailable>
  /**
   * Begins a subject's next epoch and gives its number: greater than every earlier one, and not less than now. It is
   * remembered until `until`, in milliseconds since 1970, or longer; an earlier `until` of the same subject that is
   * later still counts. Of several at once, each gets a number of its own.
   */
  readonly advance: (realm: string, subject: string, until: number) => Effect.Effect<number, SecurityUnavailable>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class SessionEpoch extends Context.Tag("effect-security/session/SessionEpoch")<SessionEpoch, Service>() {}

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

interface Epoch {
  readonly number: number
  readonly until: number
}

/** Looking for what is over is put off until there may be twice as much as what is not. */
const fewToSweep = 1_000

const makeMemory = (): Service => {
  const epochs = new Map<string, Epoch>()
  const keyOf = (realm: string, subject: string) => JSON.stringify([realm, subject])

  let sweepAt = fewToSweep
  const sweep = (now: number) => {
    if (epochs.size < sweepAt) return
    for (const [key, { until }] of epochs) {
      if (until <= now) epochs.delete(key)
    }
    sweepAt = Math.max(fewToSweep, 2 * epochs.size)
  }

  return {
    current: (realm, subject) => Effect.sync(() => epochs.get(keyOf(realm, subject))?.number ?? 0),
    advance: (realm, subject, until) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const key = keyOf(realm, subject)
        const before = epochs.get(key) ?? { number: 0, until }
        const number = Math.max(before.number + 1, now)
        epochs.set(key, { number, until: Math.max(before.until, until) })
        sweep(now)
        return number
      })
  }
}

/**
 * Epochs in this process's memory: for one process, for tests, for trying things out. They do not survive a restart, and
 * what was ended before one is not ended any more.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<SessionEpoch> = Layer.sync(SessionEpoch, makeMemory)
