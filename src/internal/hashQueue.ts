import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SecurityUnavailable } from "../SecurityError.js"

/**
 * Runs at most `concurrency` works at once, in the order in which they came, and lets at most `maxQueue` more wait. A
 * caller that is interrupted leaves the queue, also where its surroundings are uninterruptible. Work that has begun
 * is never interrupted and keeps its slot until it ends, whether or not somebody still waits for it: a thread that
 * computes a hash cannot be stopped, so its slot is not free before it is.
 */
export const make = (concurrency: number, maxQueue: number) => {
  let running = 0
  const waiting = new Set<Deferred.Deferred<void>>()

  const release = Effect.sync(() => {
    for (const next of waiting) {
      // The slot changes hands and is never free in between, so that nobody overtakes those who wait.
      waiting.delete(next)
      Deferred.unsafeDone(next, Effect.void)
      return
    }
    running--
  })

  const acquire: Effect.Effect<void, SecurityUnavailable> = Effect.suspend(() => {
    if (running < concurrency) {
      running++
      return Effect.void
    }
    if (waiting.size >= maxQueue) {
      return Effect.fail(new SecurityUnavailable({ reason: "too many passwords wait to be hashed" }))
    }
    const turn = Deferred.unsafeMake<void>(FiberId.none)
    waiting.add(turn)
    return Effect.interruptible(Deferred.await(turn)).pipe(
      // Who was given the slot and interrupted at the same time is no longer among the waiting: it passes the slot on.
      Effect.onInterrupt(() => Effect.suspend(() => waiting.delete(turn) ? Effect.void : release))
    )
  })

  return <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | SecurityUnavailable> =>
    acquire.pipe(
      Effect.zipRight(Effect.forkDaemon(Effect.ensuring(work, release))),
      Effect.flatMap((fiber) => Effect.interruptible(Fiber.join(fiber))),
      Effect.uninterruptible
    )
}
