import * as Effect from "effect/Effect"

/** Runs one effect at a time for each key. */
export type Locked = (key: string) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Locks of which only those exist that somebody holds or waits for. Who waits can be interrupted. */
export const make = (): Locked => {
  const locks = new Map<string, { readonly semaphore: Effect.Semaphore; users: number }>()

  const enter = (key: string) =>
    Effect.sync(() => {
      const lock = locks.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0 }
      lock.users++
      locks.set(key, lock)
      return lock
    })

  return (key) => (self) =>
    Effect.acquireUseRelease(
      enter(key),
      ({ semaphore }) => semaphore.withPermits(1)(self),
      (lock) =>
        Effect.sync(() => {
          lock.users--
          if (lock.users === 0) {
            locks.delete(key)
          }
        })
    )
}
