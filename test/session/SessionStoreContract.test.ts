import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Either, Layer, Option } from "effect"
import { SecurityError, SessionStore } from "effect-security"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import { broken, flaws } from "./contract/flaws.js"
import * as plainStore from "./contract/plainStore.js"

const { cases } = SessionStoreContract

/** What is made up is the same each time, so that what is found in a broken store is no luck. */
const seeded = SessionStoreContract.make({ seed: 2 })

/** For what does not depend on how many programs are made up. */
const few = SessionStoreContract.make({ runs: 20 })

/** What came of a case over a store: undefined when the store kept the promise. */
const violation = ({ run }: SessionStoreContract.Case, store: SessionStore.Service) =>
  Effect.map(
    Effect.either(Effect.provideService(run, SessionStore.SessionStore, store)),
    (result) => Option.getOrUndefined(Either.getLeft(result))
  )

const caseOf = (name: string, from = cases) => {
  const found = from.find((one) => one.name === name)
  assert.isDefined(found, `there is no case "${name}"`)
  return found!
}

// -----------------------------------------------------------------------------
// Stores that keep every promise
// -----------------------------------------------------------------------------

describe("a fresh memory for each case, by a test clock", () => {
  for (const { name, run } of cases) {
    it.effect(name, () => Effect.provide(run, SessionStore.layerMemory))
  }
})

layer(SessionStore.layerMemoryWith({ capacity: 500 }), { excludeTestServices: true })(
  "one small memory for all cases, by the real clock",
  (it) => {
    for (const { name, run } of cases) {
      it.effect(name, () => run)
    }
  }
)

/** The store with the open state, in which others have left much that is expired. */
const littered = Layer.sync(SessionStore.SessionStore, () => {
  const { state, store } = plainStore.make()
  for (let index = 0; index < 2_500; index++) {
    const id = `${"-".repeat(12)}.${String(index).padStart(43, "-")}` as SessionStore.SessionRecord["id"]
    state.records.set(
      id,
      new SessionStore.SessionRecord({
        id,
        realm: "foreign",
        subject: "ada",
        data: "null",
        schemaVersion: 1,
        version: 0,
        createdAt: 0,
        authenticatedAt: 0,
        lastSeenAt: 0,
        idleDeadline: 1 + index,
        absoluteDeadline: 10_000,
        remember: true,
        userAgent: ""
      })
    )
  }
  return store
})

describe("the store of these tests, in which others have left expired sessions", () => {
  for (const { name, run } of few) {
    it.effect(name, () => Effect.provide(run, littered))
  }
})

/** Asks as over a network: real time passes before the store works, and before the answer is there. */
const remote = (store: SessionStore.Service) => {
  const far = <Args extends ReadonlyArray<never>, A, E>(f: (...args: Args) => Effect.Effect<A, E>) => (...args: Args) =>
    Effect.suspend(() => f(...args)).pipe(
      Effect.delay("1 millis"),
      Effect.zipLeft(Effect.sleep("1 millis")),
      Effect.timeoutFail({ duration: "5 seconds", onTimeout: () => new SecurityError.SecurityUnavailable() })
    )
  return {
    create: far(store.create),
    find: far(store.find),
    update: far(store.update),
    touch: far(store.touch),
    rotate: far(store.rotate),
    remove: far(store.remove),
    removeBySubject: far(store.removeBySubject),
    listBySubject: far(store.listBySubject),
    removeExpired: far(store.removeExpired)
  } as SessionStore.Service
}

describe("a store to which every call takes real time", () => {
  for (const one of SessionStoreContract.make({ runs: 2 })) {
    it.effect(
      one.name,
      () => Effect.map(violation(one, remote(plainStore.make().store)), (seen) => assert.isUndefined(seen))
    )
  }
})

describe("a case", () => {
  it.effect("leaves no session behind", () =>
    Effect.gen(function*() {
      const { state, store } = plainStore.make()
      for (const one of few) {
        yield* violation(one, store)
        assert.strictEqual(state.records.size, 0, one.name)
      }
    }))

  it.effect("leaves no session behind where it fails", () =>
    Effect.gen(function*() {
      const { state, store } = plainStore.make()
      const one = caseOf("find: finds nothing that was never created")
      const seen = yield* violation(one, {
        ...store,
        find: () => Effect.succeed(Option.none()),
        listBySubject: () => Effect.succeed([])
      })
      assert.isUndefined(seen)
      assert.isDefined(
        yield* violation(caseOf("touch: never shortens a deadline"), { ...store, touch: () => Effect.void })
      )
      assert.strictEqual(state.records.size, 0)
    }))

  it.effect("ends with the store's own failure when the store is down, and asks no more", () =>
    Effect.gen(function*() {
      const down = new SecurityError.SecurityUnavailable({ reason: "down" })
      let asked = 0
      const fail = () =>
        Effect.suspend(() => {
          asked++
          return Effect.fail(down)
        })
      const store: SessionStore.Service = {
        create: fail,
        find: fail,
        update: fail,
        touch: fail,
        rotate: fail,
        remove: fail,
        removeBySubject: fail,
        listBySubject: fail,
        removeExpired: fail
      }
      for (const one of cases) {
        asked = 0
        assert.strictEqual(yield* violation(one, store), down, one.name)
        assert.isBelow(asked, 60, one.name)
      }
    }))

  it.effect("dies where the store dies", () =>
    Effect.gen(function*() {
      const { store } = plainStore.make()
      for (const one of cases) {
        const exit = yield* Effect.sandbox(
          Effect.provideService(one.run, SessionStore.SessionStore, {
            ...store,
            create: () => Effect.dieMessage("boom"),
            find: () => Effect.dieMessage("boom"),
            removeBySubject: () => Effect.dieMessage("boom"),
            removeExpired: () => Effect.dieMessage("boom")
          })
        ).pipe(Effect.flip)
        assert.include(String(exit), "boom", one.name)
      }
    }))
})

// -----------------------------------------------------------------------------
// Stores that break a promise
// -----------------------------------------------------------------------------

describe("a broken store", () => {
  it("is there for every case", () => {
    assert.deepStrictEqual(Object.keys(flaws).sort(), cases.map(({ name }) => name).sort())
  })

  for (const [promise, stores] of Object.entries(flaws)) {
    describe(promise, () => {
      for (const flaw of stores) {
        it.effect(`is broken where ${flaw.title}`, () =>
          Effect.gen(function*() {
            const seen = yield* violation(caseOf(promise, seeded), broken(flaw))
            if (seen?._tag === "ContractViolation") {
              assert.strictEqual(seen.promise, promise)
              assert.include(seen.message, promise)
            } else {
              // Where the flaw is an outage, the case ends with it.
              assert.strictEqual(seen?._tag, "SecurityUnavailable", "nothing was seen")
              assert.include(flaw.title, "fails")
            }
          }))
      }
    })
  }
})

describe("a violation", () => {
  const promise = "any operations in any order do what they do to a plain model"
  const forgetful = () =>
    broken(flaws["update: never creates: not what was never there, was removed or was rotated away"]![0]!)

  it.effect("by operations that were made up says them, as few as there can be, and how to make them up again", () =>
    Effect.gen(function*() {
      const seen = yield* violation(caseOf(promise), forgetful())
      assert.strictEqual(seen?._tag, "ContractViolation")
      const { commands, message, path, seed } = seen as SessionStoreContract.ContractViolation
      assert.isAtMost(commands!.length, 3, commands!.join("\n"))
      assert.match(commands!.at(-1)!, /^update /)
      assert.include(message, `seed: ${seed}, path: "${path}"`)
      const again = yield* violation(
        caseOf(promise, SessionStoreContract.make({ runs: 1, seed, path })),
        forgetful()
      )
      assert.deepStrictEqual((again as SessionStoreContract.ContractViolation).commands, commands)
    }))

  it.effect("tells what was expected and what was seen", () =>
    Effect.gen(function*() {
      const seen = yield* violation(caseOf("find: finds nothing that was never created"), {
        ...plainStore.make().store,
        find: () => Effect.succeed(Option.some(undefined as never))
      }).pipe(Effect.sandbox, Effect.either)
      assert.isTrue(Either.isLeft(seen))
      const { message } = new SessionStoreContract.ContractViolation({
        promise: "p",
        step: "s",
        expected: { b: 1n, a: undefined },
        actual: "x".repeat(5_000)
      })
      assert.include(message, `expected: {"b":"1n","a":"undefined"}`)
      assert.isBelow(message.length, 3_000)
    }))
})
