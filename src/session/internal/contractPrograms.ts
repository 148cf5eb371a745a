import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Runtime from "effect/Runtime"
import type { SecurityUnavailable } from "../../SecurityError.js"
import type { SessionStore } from "../SessionStore.js"
import type { SessionId } from "../SessionToken.js"
import type { Case, Fixture, Plain } from "./contract.js"
import { day, drain, expect, minute, Mismatch, withSweptFixture } from "./contract.js"
import * as model from "./contractModel.js"
import type { Step } from "./contractSteps.js"
import {
  beginning,
  callOf,
  create,
  describe,
  makePlan,
  millis,
  observations,
  onOthers,
  planStep,
  reads,
  wait
} from "./contractSteps.js"

// Programs that FastCheck makes up, run over the real store and over the model: one step after the other, and several
// beside each other.

// -----------------------------------------------------------------------------
// One after the other
// -----------------------------------------------------------------------------

interface Sequence {
  readonly offset: number
  readonly steps: ReadonlyArray<Step>
}

const batch = 1_000

const sum = (counts: ReadonlyArray<number>) => counts.reduce((sum, count) => sum + count, 0)

const sequences: FastCheck.Arbitrary<Sequence> = FastCheck.record({
  offset: FastCheck.nat({ max: minute - 1 }),
  steps: FastCheck.array(
    FastCheck.oneof({ weight: 5, arbitrary: create }, ...onOthers, { weight: 3, arbitrary: wait }),
    { minLength: 1, maxLength: 20, size: "max" }
  )
})

const runSequence = (t: Fixture, { steps }: Sequence, commands: Array<string>) =>
  Effect.gen(function*() {
    yield* drain(t.store, batch)
    const plan = yield* makePlan(t)
    let state = model.empty(t.start)
    const expired = new Set<SessionId>()
    let counted = 0

    for (const step of steps) {
      const planned = yield* planStep(t, plan, step)
      const title = describe(plan, planned)
      commands.push(title)
      if (step.op === "wait") {
        state = { ...state, now: state.now + step.millis }
        yield* t.setTime(state.now)
        state.records.filter((record) => !model.isLive(state, record)).forEach(({ id }) => expired.add(id))
      } else {
        const known = state
        const call = yield* callOf(t, plan, planned, state.now, (id) => model.liveRecord(known, id)?.version ?? 0)
        const answer = yield* model.ask(t.store, call)
        const [after, expected] = model.next(state, call)
        if (!model.agrees(call, answer, expected)) {
          yield* new Mismatch({ step: title, expected, actual: answer })
        }
        if (call.op === "removeExpired") {
          counted += Number(answer)
          if (counted > expired.size) {
            yield* new Mismatch({
              step: `${title}, how many were removed in all`,
              expected: `at most ${expired.size}`,
              actual: counted
            })
          }
        }
        state = after
      }
      const seen = state
      yield* Effect.forEach(observations(plan), ([what, call]) =>
        Effect.flatMap(
          model.ask(t.store, call),
          (answer) => expect(`${title}, then ${what}`, answer, model.next(seen, call)[1])
        ), { concurrency: 8, discard: true })
    }

    // Whatever moved a deadline: in the end each record is found to be over, once. What was seen to be expired before
    // may be gone already.
    const live = state.records.filter((record) => model.isLive(state, record))
    yield* t.setTime(state.now + day)
    const removed = sum(yield* drain(t.store, batch))
    const most = expired.size + live.length - counted
    if (removed < live.length || removed > most) {
      yield* new Mismatch({
        step: "a day passes, then removeExpired until nothing is left",
        expected: `from ${live.length} to ${most} removed`,
        actual: removed
      })
    }
  })

// -----------------------------------------------------------------------------
// Beside each other
// -----------------------------------------------------------------------------

interface Concurrent {
  readonly offset: number
  readonly setup: ReadonlyArray<Step>
  readonly phases: ReadonlyArray<{
    readonly fibers: ReadonlyArray<ReadonlyArray<{ readonly step: Step; readonly delay: number }>>
    readonly pause: number
  }>
}

const concurrent: FastCheck.Arbitrary<Concurrent> = FastCheck.record({
  offset: FastCheck.nat({ max: minute - 1 }),
  setup: FastCheck.array(beginning, { minLength: 1, maxLength: 3, size: "max" }),
  phases: FastCheck.array(
    FastCheck.record({
      fibers: FastCheck.array(
        FastCheck.array(
          FastCheck.record({
            step: FastCheck.oneof({ weight: 1, arbitrary: create }, ...onOthers, ...reads),
            delay: FastCheck.nat({ max: 2 })
          }),
          { minLength: 1, maxLength: 3, size: "max" }
        ),
        { minLength: 2, maxLength: 3, size: "max" }
      ),
      pause: millis
    }),
    { minLength: 1, maxLength: 2 }
  )
})

const runConcurrent = (t: Fixture, { phases, setup }: Concurrent, commands: Array<string>) =>
  Effect.gen(function*() {
    const plan = yield* makePlan(t)
    let states: ReadonlyArray<model.State> = [model.empty(t.start)]
    let now = t.start
    let events = 0

    /** Asks, and writes down when. */
    const record = (history: Array<model.Entry & { readonly title: string }>, title: string, call: model.Call) =>
      Effect.suspend(() => {
        const called = events++
        return Effect.map(model.ask(t.store, call), (answer) => {
          history.push({ title, call, answer, called, answered: events++ })
          return answer
        })
      })

    for (
      const [index, { fibers, pause }] of [{ fibers: [setup.map((step) => ({ step, delay: 0 }))], pause: 0 }, ...phases]
        .entries()
    ) {
      const history: Array<model.Entry & { readonly title: string }> = []
      const planned = yield* Effect.forEach(fibers, (fiber) =>
        Effect.forEach(fiber, ({ delay, step }) =>
          Effect.map(planStep(t, plan, step), (planned) => ({ planned, delay }))))
      planned.forEach((fiber, number) =>
        fiber.forEach(({ delay, planned }) =>
          commands.push(
            index === 0
              ? describe(plan, planned)
              : `phase ${index}, fiber ${number + 1}, after ${delay} yields: ${describe(plan, planned)}`
          )
        )
      )
      const before = states[0]!
      yield* Effect.forEach(planned, (fiber) => {
        const seen = new Map<SessionId, number>()
        const known = (id: SessionId) =>
          seen.get(id) ?? model.liveRecord(before, id)?.version ?? 0
        return Effect.forEach(fiber, ({ delay, planned }) =>
          Effect.gen(function*() {
            for (let yielded = 0; yielded < delay; yielded++) {
              yield* Effect.yieldNow()
            }
            const call = yield* callOf(t, plan, planned, now, known)
            const answer = yield* record(history, describe(plan, planned), call)
            if (call.op === "find" && answer !== null) {
              seen.set(call.id, Number((answer as Plain).version))
            }
            if (call.op === "update" && answer === true) {
              seen.set(call.record.id, call.record.version + 1)
            }
          }), { discard: true })
      }, { concurrency: "unbounded", discard: true })

      for (const [what, call] of observations(plan)) {
        yield* record(history, `afterwards: ${what}`, call)
      }
      states = model.linearize(states, history)
      if (states.length === 0) {
        yield* new Mismatch({
          step: `phase ${index}`,
          expected: "the answers of some order of the calls, one after the other",
          actual: history.map(({ answer, answered, called, title }) => ({ title, answer, called, answered }))
        })
      }
      now += pause
      yield* t.setTime(now)
      const time = now
      states = states.map((state) => ({ ...state, now: time }))
      if (pause > 0) {
        commands.push(`${pause} ms pass`)
      }
    }
  })

// -----------------------------------------------------------------------------
// Cases
// -----------------------------------------------------------------------------

export interface Options {
  readonly runs: number
  readonly seed: number | undefined
  readonly path: string | undefined
}

type Outcome = Effect.Effect<void, Mismatch | SecurityUnavailable>

const property = <A extends { readonly offset: number }>(
  name: string,
  inputs: FastCheck.Arbitrary<A>,
  body: (t: Fixture, input: A, commands: Array<string>) => Outcome,
  { path, runs, seed }: Options
): Case => ({
  name,
  run: Effect.gen(function*() {
    const runtime = yield* Effect.runtime<SessionStore>()
    let mismatch: Mismatch | undefined
    // What is no mismatch is no reason to look for a smaller program: it ends the case as it is.
    let end: Outcome | undefined

    const run = (input: A, signal: AbortSignal): Promise<boolean> => {
      if (end !== undefined || signal.aborted) {
        return Promise.resolve(true)
      }
      const commands: Array<string> = []
      return Runtime.runPromise(runtime)(
        withSweptFixture((t) => body(t, input, commands), input.offset).pipe(
          Effect.as(true),
          Effect.catchTag("Mismatch", (seen) =>
            Effect.sync(() => {
              mismatch = new Mismatch({ ...seen, commands })
              return false
            })),
          Effect.catchAllCause((cause) =>
            Effect.sync(() => {
              end = Effect.failCause(cause)
              return true
            })
          )
        ),
        { signal }
      )
    }

    const details = yield* Effect.promise((signal) =>
      Promise.resolve(FastCheck.check(
        FastCheck.asyncProperty(inputs, (input) => run(input, signal)),
        { numRuns: runs, ...(seed === undefined ? {} : { seed }), ...(path === undefined ? {} : { path }) }
      ))
    )
    if (end !== undefined) {
      return yield* (end as Outcome)
    }
    if (mismatch !== undefined) {
      const { actual, commands, expected, step } = mismatch as Mismatch
      return yield* new Mismatch({
        step,
        expected,
        actual,
        commands,
        seed: details.seed,
        path: details.counterexamplePath ?? undefined
      })
    }
  })
})

export const cases = (options: Options): ReadonlyArray<Case> => [
  property("any operations in any order do what they do to a plain model", sequences, runSequence, options),
  property(
    "any operations beside each other do what they would do in some order, one after the other",
    concurrent,
    runConcurrent,
    options
  )
]
