import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import type { Service } from "../../SessionEpoch.js"
import * as deadlines from "./deadlines.js"
import { digest } from "./digest.js"
import * as entries from "./entries.js"
import * as locks from "./locks.js"

const Epoch = Schema.Struct({ number: Schema.Int, until: Schema.Int })

type Epoch = typeof Epoch.Type

/** The last millisecond that a Date can tell. */
const forever = 8_640_000_000_000_000

export interface Epochs extends Service {
  /** Forgets epochs whose time is over, at most `limit`; says how many. */
  readonly removeExpired: (limit: number) => Effect.Effect<number, SecurityUnavailable>
}

export const make = (store: KeyValueStore): Epochs => {
  const epochs = entries.make(store, Epoch, "epoch/subject/")
  const due = deadlines.make(store, "epoch/due")
  const locked = locks.make()

  const nameOf = (realm: string, subject: string) => digest(JSON.stringify([realm, subject]))

  const step = (name: string) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    locked(name)(Effect.uninterruptible(self))

  /**
   * Nobody knows which epoch it was. So another one begins, in which nothing from before counts, and as nobody knows
   * until when that matters either, it is remembered for good.
   */
  const mend = (name: string): Effect.Effect<Epoch, SecurityUnavailable> =>
    Effect.gen(function*() {
      yield* Effect.logWarning(`the epoch stored as ${name} cannot be read: all that began before now is over`)
      const epoch = { number: yield* Clock.currentTimeMillis, until: forever }
      yield* epochs.write(name, epoch)
      return epoch
    })

  const readOrMend = (name: string): Effect.Effect<Option.Option<Epoch>, SecurityUnavailable> =>
    Effect.catchTag(epochs.read(name), "Unreadable", () => Effect.asSome(mend(name)))

  const settle = (name: string): Effect.Effect<deadlines.Settled, SecurityUnavailable> =>
    step(name)(Effect.gen(function*() {
      const found = yield* readOrMend(name)
      const now = yield* Clock.currentTimeMillis
      if (Option.isNone(found) || found.value.until === forever) {
        return "kept"
      }
      if (now < found.value.until) {
        yield* due.add(name, found.value.until)
        return "kept"
      }
      yield* epochs.remove(name)
      return "removed"
    }))

  return {
    current: (realm, subject) => {
      const name = nameOf(realm, subject)
      return epochs.read(name).pipe(
        Effect.catchTag("Unreadable", () => step(name)(readOrMend(name))),
        Effect.map(Option.match({ onNone: () => 0, onSome: ({ number }) => number }))
      )
    },
    advance: (realm, subject, until) => {
      const name = nameOf(realm, subject)
      return step(name)(Effect.gen(function*() {
        const before = yield* readOrMend(name)
        const now = yield* Clock.currentTimeMillis
        const epoch = Option.match(before, {
          onNone: () => ({ number: Math.max(1, now), until }),
          onSome: (last) => ({ number: Math.max(last.number + 1, now), until: Math.max(last.until, until) })
        })
        if (Option.isNone(before)) {
          yield* due.add(name, epoch.until)
        }
        yield* epochs.write(name, epoch)
        return epoch.number
      }))
    },
    removeExpired: (limit) => due.sweep(limit, settle)
  }
}
