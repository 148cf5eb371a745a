// What every SessionEpoch promises, as a plain list of cases: each needs one that may hold what other cases have left.
import { assert } from "@effect/vitest"
import { Clock, Effect, FastCheck, Runtime } from "effect"
import type { SecurityUnavailable } from "effect-security/SecurityError"
import { SessionEpoch } from "effect-security/session/SessionEpoch"
import { randomUUID } from "node:crypto"

export interface Case {
  readonly name: string
  readonly run: Effect.Effect<void, SecurityUnavailable, SessionEpoch>
}

// Far ahead, so that no server forgets by a clock of its own what is to be remembered.
const start = Date.UTC(2200)
const day = 24 * 60 * 60 * 1_000
const until = start + 1_000 * day

/** It is `now`, and goes on from there for who sleeps. */
const at = (now: number) =>
  Effect.withClock(
    Object.assign(Object.create(Clock.make()) as Clock.Clock, {
      currentTimeMillis: Effect.succeed(now),
      unsafeCurrentTimeMillis: () => now
    })
  )

const some = Effect.sync(() => ({ realm: `realm ${randomUUID()}`, subject: `subject ${randomUUID()}` }))

/** Texts that somebody who joins two of them, or hands them to a database as they are, takes for one another. */
const awkward: ReadonlyArray<readonly [realm: string, subject: string]> = [
  ["a", "bc"],
  ["ab", "c"],
  ["a\0", "bc"],
  ["a", "\0bc"],
  ["a", ""],
  ["", "a"],
  ["A", "bc"],
  ["a", "BC"],
  ["a", "bc "],
  ["a", "\u00e9"],
  ["a", "e\u0301"],
  ["a", "\ud800"],
  ["a", "\ud801"],
  ["a", "\ufffd"],
  ["a", "'\"\\"],
  ["a", "x".repeat(3_000)],
  ["a", `${"x".repeat(3_000)}y`],
  ["a", "{tag}*?[a-z]:/../%"]
]

type Step =
  | { readonly _tag: "advance"; readonly subject: number; readonly days: number }
  | { readonly _tag: "pass"; readonly millis: number }
  | { readonly _tag: "current"; readonly subject: number }

const subject = FastCheck.nat({ max: 3 })

const steps: FastCheck.Arbitrary<ReadonlyArray<Step>> = FastCheck.array(
  FastCheck.oneof(
    FastCheck.record({
      _tag: FastCheck.constant("advance" as const),
      subject,
      days: FastCheck.integer({ min: 1, max: 1_000 })
    }),
    FastCheck.record({ _tag: FastCheck.constant("current" as const), subject }),
    FastCheck.record({
      _tag: FastCheck.constant("pass" as const),
      millis: FastCheck.oneof(FastCheck.constantFrom(0, 1, -1, -5_000), FastCheck.nat({ max: 400 * day }))
    })
  ),
  { maxLength: 30 }
)

/** Follows a program beside a model: what is remembered has to be, and what is not may be. */
const follow = (steps: ReadonlyArray<Step>) =>
  Effect.gen(function*() {
    const epochs = yield* SessionEpoch
    const { realm, subject } = yield* some
    const model = new Map<number, { number: number; until: number }>()
    let now = start
    for (const step of steps) {
      switch (step._tag) {
        case "pass":
          now += step.millis
          break
        case "advance": {
          const before = model.get(step.subject)
          const until = now + step.days * day
          const number = yield* at(now)(epochs.advance(realm, `${subject} ${step.subject}`, until))
          assert.isTrue(Number.isSafeInteger(number) && number >= now)
          if (before !== undefined && now < before.until) {
            assert.strictEqual(number, Math.max(before.number + 1, now))
          }
          model.set(step.subject, { number, until: Math.max(until, before?.until ?? 0) })
          break
        }
        case "current": {
          const expected = model.get(step.subject)
          const number = yield* at(now)(epochs.current(realm, `${subject} ${step.subject}`))
          if (expected === undefined) assert.strictEqual(number, 0)
          else if (now < expected.until) assert.strictEqual(number, expected.number)
          else assert.include([0, expected.number], number)
        }
      }
    }
  })

/** `runs` is how many programs the model is followed through. */
export const make = ({ runs }: { readonly runs: number }): ReadonlyArray<Case> => [
  {
    name: "the epoch of a subject is 0 before the first, however often it is read",
    run: Effect.gen(function*() {
      const epochs = yield* SessionEpoch
      const { realm, subject } = yield* some
      for (let times = 0; times < 3; times++) {
        assert.strictEqual(yield* at(start)(epochs.current(realm, subject)), 0)
      }
    })
  },
  {
    name: "an epoch is at least the time at which it began, and is read as it was given",
    run: Effect.gen(function*() {
      const epochs = yield* SessionEpoch
      const { realm, subject } = yield* some
      const first = yield* at(start)(epochs.advance(realm, subject, until))
      assert.isAtLeast(first, start)
      assert.strictEqual(yield* at(start)(epochs.current(realm, subject)), first)
      const later = yield* at(start + day)(epochs.advance(realm, subject, until))
      assert.isAtLeast(later, start + day)
      assert.strictEqual(yield* at(start + day)(epochs.current(realm, subject)), later)
    })
  },
  {
    name: "an epoch is greater than every earlier one, also in the same millisecond and where a clock was ahead",
    run: Effect.gen(function*() {
      const epochs = yield* SessionEpoch
      const { realm, subject } = yield* some
      let last = 0
      for (const now of [start + day, start + day, start + day, start, start - day, start + day + 1]) {
        const next = yield* at(now)(epochs.advance(realm, subject, until))
        assert.isAbove(next, last)
        assert.strictEqual(yield* at(now)(epochs.current(realm, subject)), next)
        last = next
      }
    })
  },
  {
    name: "an epoch is of one subject in one realm, whatever they are called",
    run: Effect.gen(function*() {
      const epochs = yield* SessionEpoch
      const { realm: prefix } = yield* some
      const seen = new Map<number, number>()
      for (const [index, [realm, subject]] of awkward.entries()) {
        for (const [before, [realm, subject]] of awkward.slice(0, index).entries()) {
          assert.strictEqual(yield* at(start)(epochs.current(prefix + realm, subject)), seen.get(before))
        }
        assert.strictEqual(
          yield* at(start)(epochs.current(prefix + realm, subject)),
          0,
          JSON.stringify([realm, subject])
        )
        seen.set(index, yield* at(start + index * day)(epochs.advance(prefix + realm, subject, until)))
      }
    })
  },
  {
    name: "of several that begin at once each has a number of its own, and the greatest is in force",
    run: Effect.gen(function*() {
      const epochs = yield* SessionEpoch
      const { realm, subject } = yield* some
      const numbers = yield* Effect.all(
        Array.from({ length: 30 }, () => at(start)(epochs.advance(realm, subject, until))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(numbers).size, 30)
      assert.strictEqual(yield* at(start)(epochs.current(realm, subject)), Math.max(...numbers))
    })
  },
  {
    name: "an epoch is remembered until the latest of what was asked for",
    run: Effect.gen(function*() {
      const epochs = yield* SessionEpoch
      const { realm, subject } = yield* some
      yield* at(start)(epochs.advance(realm, subject, start + 100 * day))
      const last = yield* at(start)(epochs.advance(realm, subject, start + day))
      assert.strictEqual(yield* at(start + 100 * day - 1)(epochs.current(realm, subject)), last)
      // Whatever else happens meanwhile.
      for (let index = 0; index < 20; index++) {
        yield* at(start + 2 * day)(epochs.advance(realm, `${subject} ${index}`, start + 3 * day))
      }
      assert.strictEqual(yield* at(start + 100 * day - 1)(epochs.current(realm, subject)), last)
    })
  },
  {
    name: "epochs are as a model has them, whatever is done in which order",
    run: Effect.flatMap(Effect.runtime<SessionEpoch>(), (runtime) =>
      Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(steps, (steps) => Runtime.runPromise(runtime)(follow(steps))),
          { numRuns: runs }
        )
      ))
  }
]
