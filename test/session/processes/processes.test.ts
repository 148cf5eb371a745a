// Four processes at once on the same sessions of a store that they share, each with a Layer of its own.
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import { stores } from "./places.js"
import * as Pool from "./pool.js"

type History = SessionStoreContract.History

const size = 4
const amount = { rounds: 5, steps: 16 }

/** How often two workers worked on the same session at once. */
const meetings = (histories: ReadonlyArray<History>): number => {
  const ended = histories.flat().filter(({ outcome }) => outcome !== null)
  const idOf = ({ call }: SessionStoreContract.Entry) => "record" in call ? call.record.id : "id" in call ? call.id : ""
  return ended.flatMap((a) =>
    ended.filter((b) =>
      a.worker < b.worker && idOf(a) === idOf(b) && a.invoked < b.outcome!.answered && b.invoked < a.outcome!.answered
    )
  ).length
}

/** Whether a worker came to its end: it then looks at the sessions of the last subject. */
const isWhole = (history: History) => {
  const last = history.at(-1)!
  return last.call.op === "listBySubject" && last.outcome !== null
}

const run = (options: Pick<Pool.Run, "place"> & Partial<Pool.Run>) =>
  Effect.flatMap(Pool.Pool, (pool) => pool.run({ ...amount, isCached: false, seed: "processes", ...options }))

const timeout = 60_000

layer(Pool.layer(size), { excludeTestServices: true, timeout })("processes that share a store", (it) => {
  for (const { isThere, name, place } of stores) {
    describe.skipIf(!isThere)(name, () => {
      it.scoped("lose no write, revive nothing and read nothing stale", () =>
        Effect.gen(function*() {
          const histories = yield* run({ place: yield* place })
          assert.isTrue(histories.every(isWhole))
          assert.isAbove(meetings(histories), 0)
          yield* SessionStoreContract.check(histories)
        }), timeout)

      it.scoped("keep that promise when their clocks are a minute apart", () =>
        Effect.gen(function*() {
          const histories = yield* run({ place: yield* place, clocks: [0, 60_000, -60_000, 1] })
          assert.isTrue(histories.every(isWhole))
          yield* SessionStoreContract.check(histories)
        }), timeout)

      it.scoped("keep it when one of them is killed in the middle of an operation", () =>
        Effect.gen(function*() {
          const kill = { worker: 1, operation: 40 }
          const histories = yield* run({ place: yield* place, kill })
          assert.deepStrictEqual(histories.map(isWhole), [true, false, true, true])
          yield* SessionStoreContract.check(histories)
        }), timeout)
    })
  }

  const [store] = stores.filter(({ isThere }) => isThere)
  describe.skipIf(store === undefined)("one of them", () => {
    it.scoped("breaks it where it answers from what it has found before", () =>
      Effect.gen(function*() {
        const histories = yield* run({ place: yield* store!.place, isCached: true })
        const { promise } = yield* Effect.flip(SessionStoreContract.check(histories))
        assert.match(promise, /^processes: /)
      }), timeout)
  })
})
