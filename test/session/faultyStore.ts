// A store in which something goes wrong. What goes wrong is plain data, so that a property makes it, shrinks it and
// prints it.
import { Clock, Deferred, Duration, Effect, FastCheck } from "effect"
import { SecurityError } from "effect-security"
import type { SessionStore } from "effect-security"

export type Operation = keyof SessionStore.Service

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

/** Longer than the default timeout of two seconds, and than any that these tests configure. */
export const lateness = "3 seconds"

/**
 * What one call does. It may do its work before it goes wrong, so that only the answer is lost, or after everybody has
 * stopped waiting.
 *
 * - `fails` with the store's own failure, `failsUntyped` with one that its type does not have
 * - `dies`, or `throws` where an effect should have been returned
 * - `interrupts` itself
 * - `hangs`, also where nobody can interrupt it (`hangsDeaf`)
 * - `answers` rightly, but late
 */
export interface Fault {
  readonly works: "never" | "first" | "late"
  readonly ends: "fails" | "failsUntyped" | "dies" | "throws" | "interrupts" | "hangs" | "hangsDeaf" | "answers"
}

const loud = ["fails", "failsUntyped", "dies", "interrupts"] as const
const silent = ["hangs", "hangsDeaf"] as const

/** Every fault of a store that returns effects: each is an outage for whoever waits. */
export const faults: ReadonlyArray<Fault> = [
  ...[...loud, ...silent].flatMap((ends) => [{ works: "never", ends }, { works: "first", ends }] as const),
  { works: "first", ends: "answers" },
  { works: "late", ends: "answers" },
  { works: "late", ends: "fails" }
]

/** Nobody learns of these before the timeout. */
export const isSilent = ({ ends, works }: Fault): boolean =>
  works === "late" || ends === "answers" || ends === "hangs" || ends === "hangsDeaf"

/** One fault, and the calls that have it: the `nth` of an operation, or of all operations, counted from 1. */
export interface Plan {
  readonly on: Operation | "any"
  readonly nth: number
  readonly fault: Fault
}

export const operations: ReadonlyArray<Operation> = [
  "create",
  "find",
  "update",
  "touch",
  "rotate",
  "remove",
  "removeBySubject",
  "listBySubject"
]

export const planArbitrary: FastCheck.Arbitrary<Plan> = FastCheck.record({
  on: FastCheck.oneof(
    { weight: 2, arbitrary: FastCheck.constant("any" as const) },
    { weight: 1, arbitrary: FastCheck.constantFrom(...operations) }
  ),
  nth: FastCheck.integer({ min: 1, max: 4 }),
  fault: FastCheck.constantFrom(...faults)
})

// -----------------------------------------------------------------------------
// The store
// -----------------------------------------------------------------------------

export interface Hit {
  readonly operation: Operation
  readonly fault: Fault
}

/** Decides what goes wrong in the store that `over` makes. */
export interface Faults {
  /** From here on, until told otherwise. */
  readonly arm: (plans: ReadonlyArray<Plan>) => void
  readonly disarm: () => void
  /** What was asked while it was armed last. */
  readonly calls: ReadonlyArray<Operation>
  /** What went wrong of that. */
  readonly hits: ReadonlyArray<Hit>
  /** Waits until every call that can come to an end has come to it, and nobody has made another one. */
  readonly settled: Effect.Effect<void>
  readonly clock: HandClock
  readonly over: (store: SessionStore.Service) => SessionStore.Service
}

const outage = new SecurityError.SecurityUnavailable({ reason: "the store is down" })

const ending = <A>(ends: Fault["ends"], work: Effect.Effect<A, any>): Effect.Effect<A, any> => {
  switch (ends) {
    case "fails":
      return Effect.zipRight(work, Effect.fail(outage))
    case "failsUntyped":
      return Effect.zipRight(work, Effect.fail("secret"))
    case "dies":
      return Effect.zipRight(work, Effect.die(new Error("secret")))
    case "interrupts":
      return Effect.zipRight(work, Effect.interrupt)
    case "hangs":
      return Effect.zipRight(work, Effect.never)
    case "hangsDeaf":
      return Effect.uninterruptible(Effect.zipRight(work, Effect.never))
    case "answers":
      return Effect.zipLeft(work, Effect.sleep(lateness))
    case "throws":
      throw new Error("secret")
  }
}

const afflict = <A>({ ends, works }: Fault, work: Effect.Effect<A, any>): Effect.Effect<A, any> =>
  works === "never"
    ? ending(ends, Effect.void as Effect.Effect<any>)
    : works === "first"
    ? ending(ends, Effect.uninterruptible(work))
    : Effect.uninterruptible(Effect.zipRight(
      Effect.sleep(lateness),
      ends === "answers" ? work : ending(ends, work)
    ))

/** The tasks that are queued by now, and those that they queue, have run. */
export const turn: Effect.Effect<void> = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

export interface HandClock extends Clock.Clock {
  /** Lets time pass, and wakes whoever has slept long enough, one after the other. */
  readonly pass: (duration: Duration.DurationInput) => Effect.Effect<void>
}

/** What TestClock is, without the real timers through which that one waits for others: hundreds of worlds are quick. */
export const makeHandClock = (start = 1_700_000_000_000): HandClock => {
  let now = start
  const sleeps = new Set<{ readonly at: number; readonly wake: () => void }>()
  const pass = (until: number): Effect.Effect<void> =>
    Effect.flatMap(Effect.zipRight(turn, turn), () => {
      const [next] = Array.from(sleeps).filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
      now = next === undefined ? until : Math.max(now, next.at)
      if (next === undefined) {
        return turn
      }
      sleeps.delete(next)
      next.wake()
      return pass(until)
    })
  return Object.assign(Object.create(Clock.make()), {
    unsafeCurrentTimeMillis: () => now,
    currentTimeMillis: Effect.sync(() => now),
    sleep: (duration: Duration.Duration) =>
      Effect.async<void>((resume) => {
        const sleep = { at: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        sleeps.add(sleep)
        return Effect.sync(() => sleeps.delete(sleep))
      }),
    pass: (duration: Duration.DurationInput) => Effect.suspend(() => pass(now + Duration.toMillis(duration)))
  })
}

export const makeFaults = (): Faults => {
  let plans: ReadonlyArray<Plan> | undefined
  let calls: Array<Operation> = []
  let hits: Array<Hit> = []
  let pending = 0
  let made = 0
  const clock = makeHandClock()

  const settled: Effect.Effect<void> = Effect.gen(function*() {
    for (let quiet = 0, before = made; quiet < 3; quiet++) {
      yield* turn
      if (pending > 0 || made !== before) {
        quiet = -1
        before = made
      }
    }
  })

  const call = (operation: Operation, work: Effect.Effect<any, any>): Effect.Effect<any, any> => {
    made++
    if (plans === undefined) {
      return counted(work)
    }
    calls.push(operation)
    const nth = calls.filter((other) => other === operation).length
    const plan = plans.find((plan) =>
      plan.on === "any" ? plan.nth === calls.length : plan.on === operation && plan.nth === nth
    )
    if (plan === undefined) {
      return counted(work)
    }
    hits.push({ operation, fault: plan.fault })
    const afflicted = afflict(plan.fault, work)
    return plan.fault.ends === "hangsDeaf" ? afflicted : counted(afflicted)
  }
  const counted = (work: Effect.Effect<any, any>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => void pending++),
      () => work,
      () => Effect.sync(() => void pending--)
    )

  return {
    arm: (next) => {
      plans = next
      calls = []
      hits = []
    },
    disarm: () => {
      plans = undefined
    },
    get calls() {
      return calls
    },
    get hits() {
      return hits
    },
    settled,
    clock,
    over: (store) =>
      Object.fromEntries(
        Object.entries(store).map((
          [name, operation]: [string, (...args: ReadonlyArray<any>) => Effect.Effect<any>]
        ) => [
          name,
          // A call is made when it is run: what is asked again is another one.
          (...args: ReadonlyArray<any>) =>
            plans?.some(({ fault }) => fault.ends === "throws")
              ? call(name as Operation, operation(...args))
              : Effect.suspend(() => call(name as Operation, operation(...args)))
        ])
      ) as unknown as SessionStore.Service
  }
}

// -----------------------------------------------------------------------------
// Interleaving by hand
// -----------------------------------------------------------------------------

/** A place in a program where it waits until the test lets it go on. */
export interface Hold {
  /** Somebody waits there. */
  readonly reached: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  readonly wait: Effect.Effect<void>
}

export const makeHold: Effect.Effect<Hold> = Effect.map(
  Effect.all([Deferred.make<void>(), Deferred.make<void>()]),
  ([reached, released]) => ({
    reached: Deferred.await(reached),
    release: Effect.asVoid(Deferred.succeed(released, undefined)),
    wait: Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(released))
  })
)

/** A place where `size` fibers meet: none goes on before all are there. */
export const makeMeeting = (size: number): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(Deferred.make<void>(), (complete) => {
    let present = 0
    return Effect.suspend(() => {
      present++
      return present === size ? Deferred.succeed(complete, undefined) : Effect.void
    }).pipe(Effect.zipRight(Deferred.await(complete)))
  })
