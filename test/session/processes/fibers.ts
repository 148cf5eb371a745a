// Workers that are fibers of this process: what they do, and in which order, is the same each time.
import { Deferred, Effect, Random } from "effect"
import { SecurityError, SessionStore } from "effect-security"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"

type Operations = { readonly [name: string]: (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown> }

/** The store with something around each call of it. */
export const around = (
  store: SessionStore.Service,
  wrap: <A, E>(call: Effect.Effect<A, E>) => Effect.Effect<A, E | SecurityError.SecurityUnavailable>
): SessionStore.Service =>
  Object.fromEntries(
    Object.entries(store as unknown as Operations)
      .map(([name, operation]) => [name, (...args: ReadonlyArray<never>) =>
        wrap(Effect.suspend(() => operation(...args)))]
      )
  ) as unknown as SessionStore.Service

const pause = (random: Random.Random) =>
  Effect.flatMap(random.nextIntBetween(0, 4), (turns) => Effect.repeatN(Effect.yieldNow(), turns))

/** A store that is some way off: others get their turn while a call is on its way, and while its answer is. */
const remote = (store: SessionStore.Service, random: Random.Random) =>
  around(store, (call) => Effect.zipLeft(Effect.zipRight(pause(random), call), pause(random)))

/** A store of which some answers are lost: the call was done, is done later, or never. */
export const unreliable = (store: SessionStore.Service, random: Random.Random, percent: number) =>
  around(store, (call) =>
    Effect.gen(function*() {
      const fate = yield* random.nextIntBetween(0, 100)
      if (fate >= percent) {
        return yield* call
      }
      if (fate % 3 === 0) {
        yield* Effect.exit(call)
      } else if (fate % 3 === 1) {
        yield* Effect.forkDaemon(Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 300), call))
      }
      return yield* new SecurityError.SecurityUnavailable()
    }))

const workers = 4

/** Ends when all workers have come to it, as often as they do. */
const makeBarrier = Effect.gen(function*() {
  let waiting = 0
  let open = yield* Deferred.make<void>()
  return Effect.gen(function*() {
    const current = open
    if (++waiting === workers) {
      waiting = 0
      open = yield* Deferred.make<void>()
      yield* Deferred.succeed(current, undefined)
    }
    yield* Deferred.await(current)
  })
})

export interface Options extends Partial<SessionStoreContract.WorkloadOptions> {
  /** How far the clocks of the workers are apart, in milliseconds. */
  readonly skew?: number | undefined
}

/** What the workers see who each have a store of their own; `storeOf` makes them over what they share. */
export const histories = (
  seed: string,
  storeOf: (worker: number) => SessionStore.Service,
  { skew = 0, ...options }: Options = {}
) =>
  Effect.flatMap(makeBarrier, (barrier) => {
    let events = 0
    return Effect.forEach(
      Array.from({ length: workers }, (_, worker) => worker),
      (worker) =>
        SessionStoreContract.workload({
          seed,
          worker,
          workers,
          instant: Effect.sync(() => events++),
          barrier,
          clockOffset: (worker % 3 - 1) * skew,
          ...options
        }).pipe(
          Effect.provideService(
            SessionStore.SessionStore,
            remote(storeOf(worker), Random.make(`${seed}, way of ${worker}`))
          )
        ),
      { concurrency: "unbounded" }
    )
  })
