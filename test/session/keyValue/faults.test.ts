// Every write of every operation goes wrong once, in every way, and the process may end there. A store that is opened
// afterwards shows the operation wholly or not at all.
import type { KeyValueStore } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, TestClock } from "effect"
import type * as SessionStore from "effect-security/session/SessionStore"
import * as sessions from "../../../src/session/internal/keyValue/sessions.js"
import { before, day, drain, failure, hour, id, isUnavailable, overMap, realm, record, start } from "./fixtures.js"

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

const [a, b, c, d] = [record("a"), record("b"), record("c", { subject: "bob" }), record("d", { subject: null })]
const next = record("next", { idleDeadline: start + 2 * hour })
const begun = [a, b, c, d]

type Run = (store: SessionStore.Service) => Effect.Effect<unknown, unknown>

interface Operation {
  readonly name: string
  readonly run: Run
  /** What comes before it, and goes well. */
  readonly first?: Run
  /** Doing it once does it: to do it again finds nothing to do. */
  readonly isOnce?: true
  /** It ends only what nobody can find any more. */
  readonly isUnseen?: true
}

const anHourPasses: Run = () => TestClock.setTime(start + hour)

/** What is done to the four sessions. */
const operations: ReadonlyArray<Operation> = [
  { name: "create", run: (store) => store.create(next) },
  { name: "create without a subject", run: (store) => store.create(record("e", { subject: null })) },
  { name: "update", run: (store) => store.update(record("a", { data: "new" })), isOnce: true },
  { name: "touch", run: (store) => store.touch(a.id, start + 2 * hour) },
  { name: "rotate", run: (store) => store.rotate(a.id, next), isOnce: true },
  { name: "remove", run: (store) => store.remove(a.id) },
  { name: "remove of the subject's last", run: (store) => store.remove(c.id) },
  { name: "removeBySubject", run: (store) => store.removeBySubject(realm, "ada", { except: Option.none() }) },
  {
    name: "removeBySubject but one",
    run: (store) => store.removeBySubject(realm, "ada", { except: Option.some(b.id) })
  },
  { name: "removeExpired", first: anHourPasses, run: (store) => store.removeExpired(10), isUnseen: true },
  {
    name: "removeExpired of what lives on",
    first: (store) =>
      Effect.zipRight(
        Effect.forEach(begun, ({ id }) => store.touch(id, start + 2 * hour)),
        anHourPasses(store)
      ),
    run: (store) => store.removeExpired(10),
    isUnseen: true
  }
]

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

const faults = ["fails", "fails after it was done", "dies", "dies after it was done"] as const
type Fault = typeof faults[number] | "leaves half"

/** Writes through, but the `nth` write goes wrong, and all later ones fail where the store is down then. */
const faulty = (map: Map<string, string>, nth: number, fault: Fault, isDown: boolean) => {
  let writes = 0
  const store = overMap(map)
  const keys: Array<string> = []
  const attempt = (key: string, write: Effect.Effect<void>, half: () => void) =>
    Effect.suspend(() => {
      writes++
      keys.push(key)
      if (writes !== nth) {
        return isDown && writes > nth ? Effect.fail(failure()) : write
      }
      if (fault === "leaves half") {
        half()
      }
      const ends = fault.startsWith("dies") ? Effect.die(new Error("the disk is on fire")) : Effect.fail(failure())
      return fault.endsWith("done") ? Effect.zipRight(write, ends) : ends
    })
  return {
    count: () => writes,
    keys,
    store: {
      ...store,
      set: (key, value) =>
        attempt(key, Effect.orDie(store.set(key, value)), () => map.set(key, String(value).slice(0, 80))),
      remove: (key) => attempt(key, Effect.orDie(store.remove(key)), () => undefined)
    } as KeyValueStore.KeyValueStore
  }
}

const open = (map: Map<string, string>) => sessions.make(overMap(map))

/** The four sessions, right before the operation. */
const prepared = ({ first }: Operation) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(start)
    const map = new Map<string, string>()
    yield* Effect.forEach(begun, open(map).create)
    yield* first?.(open(map)) ?? Effect.void
    return map
  })

/** Somebody who signs in afterwards. */
const later = record("later", { idleDeadline: start + 3 * hour })

/** All that a store shows, of a copy: asking whether a sign-in is refused leaves something behind. */
const seen = (map: Map<string, string>) =>
  Effect.gen(function*() {
    const store = open(new Map(map))
    const ids = ["a", "b", "next"].map((name) => id(name)).concat([c.id, d.id, id("e", null)])
    const found = yield* Effect.forEach(ids, store.find)
    const lists = yield* Effect.forEach(["ada", "bob"], (subject) => store.listBySubject(realm, subject))
    const early = record("early", { authenticatedAt: start - 1 })
    const refused = yield* Effect.isFailure(store.create(early))
    const shown = found.map((one) => Option.match(one, { onNone: () => null, onSome: (one) => ({ ...one }) }))
    for (const [index, list] of lists.entries()) {
      const own = shown.filter((one) => one?.subject === ["ada", "bob"][index]).map((one) => one!.id)
      assert.sameMembers(list.map((one) => one.id), own, "a list shows what can be found")
    }
    return { shown, refused }
  })

/** Nothing is left of the sessions in the end, not even the index of a mark. */
const assertSwept = (map: Map<string, string>) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(start + 2 * day)
    yield* drain(open(map))
    assert.deepStrictEqual(Array.from(map.keys()), [])
  })

describe("a write that goes wrong", () => {
  for (const operation of operations) {
    const { isOnce, isUnseen, name, run } = operation

    it.effect(`in ${name}: it is done wholly or not at all, and what it leaves is swept`, () =>
      Effect.gen(function*() {
        const sound = yield* prepared(operation)
        const undone = yield* seen(sound)
        const counter = faulty(sound, 0, "fails", false)
        yield* run(sessions.make(counter.store))
        const done = yield* seen(sound)
        assert.isAbove(counter.count(), 0)
        assert.strictEqual(JSON.stringify(undone) === JSON.stringify(done), isUnseen === true)

        for (let nth = 1; nth <= counter.count(); nth++) {
          for (const fault of faults) {
            for (const isDown of [false, true]) {
              const title = `${name}: write ${nth} ${fault}, ${isDown ? "and all later ones fail" : "once"}`
              const map = yield* prepared(operation)
              const exit = yield* Effect.exit(run(sessions.make(faulty(map, nth, fault, isDown).store)))
              const after = yield* seen(map)
              if (Exit.isSuccess(exit)) {
                assert.deepStrictEqual(after, done, title)
              } else {
                assert.isTrue(isUnavailable(exit), title)
                assert.include([done, undone].map((seen) => JSON.stringify(seen)), JSON.stringify(after), title)
              }
              yield* open(map).create(later)
              assert.isTrue(Option.isSome(yield* open(map).find(later.id)), title)
              yield* open(map).remove(later.id)
              if (isOnce === undefined) {
                yield* run(open(map))
                assert.deepStrictEqual(yield* seen(map), done, `${title}, then again`)
              }
              yield* assertSwept(map)
            }
          }
        }
      }), 60_000)

    it.effect(`in ${name}, and leaves half a value: only the sessions that it is about may be over`, () =>
      Effect.gen(function*() {
        const sound = yield* prepared(operation)
        const counter = faulty(sound, 0, "fails", false)
        yield* run(sessions.make(counter.store))
        const done = yield* seen(sound)
        for (let nth = 1; nth <= counter.count(); nth++) {
          const map = yield* prepared(operation)
          const { keys, store } = faulty(map, nth, "leaves half", true)
          const exit = yield* Effect.exit(run(sessions.make(store)))
          const torn = keys[nth - 1]!
          assert.isTrue(Exit.isSuccess(exit) || isUnavailable(exit), torn)
          const { shown } = yield* seen(map)
          for (const survivor of done.shown.filter((one) => one !== null)) {
            const isHit = torn.endsWith(survivor.id) || torn.endsWith(`/${survivor.id.slice(0, 12)}`)
            const isNew = !begun.some(({ id }) => id === survivor.id)
            assert.isTrue(isHit || isNew || shown.some((one) => one?.id === survivor.id), `${torn}: ${survivor.id}`)
          }
          yield* open(map).create(later)
          assert.isTrue(Option.isSome(yield* open(map).find(later.id)), torn)
          yield* TestClock.setTime(start + 2 * day)
          yield* drain(open(map))
          assert.isTrue((yield* seen(map)).shown.every((one) => one === null), torn)
        }
      }))
  }
})

describe("a read that goes wrong", () => {
  for (const operation of operations) {
    const { name, run } = operation

    it.effect(`in ${name}: it is done wholly or fails typed, and takes no session for ended`, () =>
      Effect.gen(function*() {
        const sound = yield* prepared(operation)
        const undone = yield* seen(sound)
        let reads = 0
        yield* run(sessions.make(before(overMap(sound), (call) => Effect.sync(() => void (call === "get" && reads++)))))
        const done = yield* seen(sound)
        for (let nth = 1; nth <= reads; nth++) {
          const map = yield* prepared(operation)
          let left = nth
          const store = before(
            overMap(map),
            (call) => Effect.suspend(() => call === "get" && --left === 0 ? Effect.fail(failure()) : Effect.void)
          )
          const exit = yield* Effect.exit(run(sessions.make(store)))
          assert.isTrue(Exit.isSuccess(exit) || isUnavailable(exit), `read ${nth}`)
          assert.deepStrictEqual(yield* seen(map), Exit.isSuccess(exit) ? done : undone, `read ${nth}`)
          yield* assertSwept(map)
        }
      }))
  }

  it.effect("find and listBySubject fail typed: an outage is not the end of a session", () =>
    Effect.gen(function*() {
      const map = yield* prepared(operations[0]!)
      for (const part of ["session/record/", "session/subjects/"]) {
        const store = sessions.make(
          before(overMap(map), (call, key) =>
            call === "get" && key.startsWith(part) ? Effect.fail(failure("PermissionDenied")) : Effect.void)
        )
        assert.isTrue(isUnavailable(yield* Effect.exit(store.find(a.id))), part)
        assert.isTrue(isUnavailable(yield* Effect.exit(store.listBySubject(realm, "ada"))), part)
      }
    }))
})
