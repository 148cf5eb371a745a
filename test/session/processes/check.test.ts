// What the judge of histories says: nothing about stores that keep their promises, and the right thing about others.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Option, Random } from "effect"
import { SessionStore } from "effect-security"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import { createHash } from "node:crypto"
import { isDeepStrictEqual } from "node:util"
import { make } from "../contract/plainStore.js"
import { histories, unreliable } from "./fibers.js"
import type { Anomaly } from "./flaws.js"
import { broken, flaws } from "./flaws.js"

const promises: { readonly [anomaly in Anomaly]: RegExp } = {
  lost: /no acknowledged write is lost/,
  revived: /is live in no other again/,
  stale: /the next read of any other shows/,
  mark: /no sign-in that verified its password/,
  order: /some order of the operations/
}

const violation = (seen: ReadonlyArray<SessionStoreContract.History>) =>
  Effect.map(
    Effect.either(SessionStoreContract.check(seen)),
    (result) => Option.getOrUndefined(Either.getLeft(result))
  )

const anomalyOf = (seen: SessionStoreContract.ContractViolation): Anomaly => {
  const [anomaly] = Object.entries(promises).find(([, promise]) => promise.test(seen.promise))!
  return anomaly as Anomaly
}

/** Histories are too long for a test to show where two differ. */
const digest = (value: unknown) => createHash("sha256").update(JSON.stringify(value)).digest("hex")

const careless = flaws.find(({ title }) => title === "update compares nothing")!

const seeds = Array.from({ length: 6 }, (_, index) => `seed ${index}`)

// -----------------------------------------------------------------------------
// Stores that keep every promise
// -----------------------------------------------------------------------------

describe("a store that keeps its promises passes", () => {
  it.effect("whatever the workers do to it", () =>
    Effect.forEach(seeds, (seed) =>
      Effect.gen(function*() {
        const { store } = make()
        yield* SessionStoreContract.check(yield* histories(seed, () => store, { rounds: 6 }))
      })))

  it.effect("when it is the memory of this library", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      for (const seed of seeds) {
        yield* SessionStoreContract.check(yield* histories(seed, () => store, { rounds: 2 }))
      }
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  it.effect("when the clocks of the workers are a minute apart", () =>
    Effect.forEach(seeds.slice(0, 6), (seed) =>
      Effect.gen(function*() {
        const { store } = make()
        const seen = yield* histories(seed, () => store, { skew: 60_000 })
        assert.deepStrictEqual(seen.map(([first]) => first!.now - seen[1]![0]!.now), [-60_000, 0, 60_000, -60_000])
        yield* SessionStoreContract.check(seen)
      })))

  it.effect("when answers get lost, and what they answer was done, will be done, or never is", () =>
    Effect.forEach(seeds, (seed) =>
      Effect.gen(function*() {
        const { store } = make()
        const seen = yield* histories(
          seed,
          (worker) => unreliable(store, Random.make(`${seed}, fate of ${worker}`), 10),
          { goesOn: true, rounds: 4 }
        )
        assert.isAbove(seen.flat().filter(({ outcome }) => outcome === null).length, 30)
        yield* SessionStoreContract.check(seen)
      })))
})

// -----------------------------------------------------------------------------
// Stores that break one
// -----------------------------------------------------------------------------

describe("a flaw is found where", () => {
  for (const flaw of flaws) {
    it.effect(flaw.title, () =>
      Effect.gen(function*() {
        for (const seed of seeds) {
          const found = yield* Effect.flatMap(histories(seed, broken(flaw), { rounds: 6 }), violation)
          if (found !== undefined) {
            assert.include(flaw.shows, anomalyOf(found), found.message)
            assert.isAtMost(found.commands!.length, 8)
            return
          }
        }
        assert.fail("nothing was seen")
      }))
  }
})

describe("the promises", () => {
  it("of one process are the cases, and those of several have names of their own", () => {
    const named = (scope: SessionStoreContract.Scope) =>
      SessionStoreContract.promises.filter((promise) => promise.scope === scope).map(({ name }) => name)
    assert.deepStrictEqual(named("process"), SessionStoreContract.cases.map(({ name }) => name))
    assert.strictEqual(named("processes").length, Object.keys(promises).length)
    for (const name of named("processes")) {
      assert.match(name, /^processes: /)
    }
  })
})

// -----------------------------------------------------------------------------
// The workload
// -----------------------------------------------------------------------------

describe("a workload", () => {
  it.effect("does everything, with and without success, to sessions that several workers know", () =>
    Effect.gen(function*() {
      const { state, store } = make()
      const entries = (yield* histories("seed", () => store)).flat()
      const answers = new Set(entries.map(({ call, outcome }) => {
        const answer = outcome!.answer
        return `${call.op}: ${
          Array.isArray(answer)
            ? `${Math.min(answer.length, 2)}`
            : typeof answer === "object"
            ? answer !== null
            : answer
        }`
      }))
      assert.deepStrictEqual(Array.from(answers).sort(), [
        "create: created",
        "create: refused",
        "find: false",
        "find: true",
        "listBySubject: 0",
        "listBySubject: 1",
        "listBySubject: 2",
        "remove: false",
        "removeBySubject: false",
        "rotate: false",
        "rotate: true",
        "touch: false",
        "update: false",
        "update: true"
      ])
      const updaters = new Map<string, Set<number>>()
      for (const { call, outcome, worker } of entries) {
        if (call.op === "update" && outcome!.answer === true) {
          updaters.set(call.record.id, (updaters.get(call.record.id) ?? new Set()).add(worker))
        }
      }
      assert.isAbove(Array.from(updaters.values()).filter(({ size }) => size > 1).length, 5)
      assert.strictEqual(state.records.size, 0, "it leaves sessions behind")
    }))

  it.effect("is the same again for the same seed, and another for another", () =>
    Effect.gen(function*() {
      const [first, again, other] = yield* Effect.forEach(
        ["seed", "seed", "another"],
        (seed) => histories(seed, () => make().store, { rounds: 1 })
      )
      assert.strictEqual(digest(first), digest(again))
      assert.notStrictEqual(digest(first), digest(other))
    }))

  it.effect("survives the way through JSON", () =>
    Effect.gen(function*() {
      const seen = yield* histories("seed", broken(careless))
      const received = JSON.parse(JSON.stringify(seen))
      assert.isTrue(isDeepStrictEqual(received, seen))
      assert.isDefined(yield* violation(received))
    }))

  it.effect("ends with the store's first failure, unless it goes on", () =>
    Effect.gen(function*() {
      const { store } = make()
      const failing = (worker: number) => unreliable(store, Random.make(String(worker)), 100)
      const result = yield* Effect.either(histories("seed", failing))
      assert.isTrue(Either.isLeft(result))
      const seen = yield* histories("seed", failing, { goesOn: true, rounds: 1 })
      assert.isTrue(seen.flat().every(({ outcome }) => outcome === null))
      yield* SessionStoreContract.check(seen)
    }))

  it.effect("logs each operation before it begins and when it has ended, and the log is as good as the history", () =>
    Effect.gen(function*() {
      const log: Array<SessionStoreContract.Entry> = []
      const isAnswered = ({ outcome }: SessionStoreContract.Entry) => outcome !== null
      const seen = yield* histories("seed", broken(careless), {
        log: (entry) => Effect.sync(() => void log.push(entry))
      })
      const [begun, ended] = [log.filter((entry) => !isAnswered(entry)), log.filter(isAnswered)]
      assert.strictEqual(begun.length, seen.flat().length)
      const inOrder = (entries: SessionStoreContract.History) =>
        [...entries].sort((a, b) => a.worker - b.worker || a.number - b.number)
      assert.strictEqual(digest(inOrder(ended)), digest(inOrder(seen.flat())))
      const { message } = yield* Effect.flip(SessionStoreContract.check(seen))
      assert.strictEqual((yield* violation([log]))?.message, message)
      assert.strictEqual((yield* violation([ended, begun]))?.message, message)
      assert.isUndefined(yield* violation([begun]))
    }))
})
