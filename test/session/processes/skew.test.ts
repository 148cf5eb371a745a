// Clocks that differ: those of the processes decide, and that of the server changes no answer. The real clock is the
// server's here, and a process's stands still, a minute off, until a test moves it.
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Option } from "effect"
import { SessionStore, SessionToken } from "effect-security"
import { randomUUID } from "node:crypto"
import { stores } from "./places.js"
import type { Place } from "./stores.js"
import { open } from "./stores.js"

type Record = SessionStore.SessionRecord

const second = 1_000
const minute = 60 * second
const realm = "skew"

const makeClock = (start: number) => {
  let now = start
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep: Clock.make().sleep
  }
  return {
    clock,
    now: () => now,
    set: (time: number) => {
      now = time
    }
  }
}

const lasting = (id: SessionToken.SessionId, subject: string, now: number, idle: number, absolute: number) =>
  new SessionStore.SessionRecord({
    id,
    realm,
    subject,
    data: "null",
    schemaVersion: 1,
    version: 0,
    createdAt: now,
    authenticatedAt: now,
    lastSeenAt: now,
    idleDeadline: now + idle,
    absoluteDeadline: now + absolute,
    remember: true,
    userAgent: ""
  })

/** A process with a clock of its own: its client of the store, and the sweeper in it, go by that clock. */
const makeProcess = (place: Place, start: number) =>
  Effect.gen(function*() {
    const { clock, now, set } = makeClock(start)
    const context = yield* Effect.withClock(Layer.build(open(place)), clock)
    const store = yield* Effect.provide(SessionStore.SessionStore, context)
    const at = <A, E>(ask: (store: SessionStore.Service) => Effect.Effect<A, E>) => Effect.withClock(ask(store), clock)
    const isFound = (id: SessionToken.SessionId) => Effect.map(at((_) => _.find(id)), Option.isSome)
    return {
      now,
      set,
      isFound,
      at,
      /** A session of its own clock's time, by a password that was verified `verified` milliseconds before. */
      signIn: (subject: string, idle: number, absolute: number, verified = 0) =>
        Effect.gen(function*() {
          const id = SessionToken.toId(realm, yield* SessionToken.make(realm, subject))
          const record = lasting(id, subject, now(), idle, absolute)
          const given = new SessionStore.SessionRecord({ ...record, authenticatedAt: now() - verified })
          const created = yield* at((_) => _.create(given)).pipe(
            Effect.as(true),
            Effect.catchTag("SessionRefused", () => Effect.succeed(false))
          )
          return { record: given, created }
        }),
      endAll: (subject: string) => at((_) => _.removeBySubject(realm, subject, { except: Option.none() })),
      successorOf: (record: Record, idle: number) =>
        Effect.map(SessionToken.successor(record.id), (token) =>
          new SessionStore.SessionRecord({
            ...record,
            id: SessionToken.toId(realm, token),
            idleDeadline: now() + idle
          }))
    }
  })

type Line = readonly [at: number, what: string, answer: unknown]

/** What a process is told while the deadlines of its sessions come, by its own clock. */
const transcript = (place: Place, offset: number) =>
  Effect.gen(function*() {
    const start = (yield* Clock.currentTimeMillis) + offset
    const one = yield* makeProcess(place, start)
    const subject = `ada ${randomUUID()}`
    const answers: Array<Line> = []
    const note = <A, E>(what: string, ask: Effect.Effect<A, E>) =>
      Effect.map(ask, (answer) => void answers.push([one.now() - start, what, answer]))

    const { record: idle } = yield* one.signIn(subject, 2 * second, minute)
    const { record: short } = yield* one.signIn(subject, 2 * second, 3 * second)
    const { record: long } = yield* one.signIn(subject, minute, minute)
    const names = new Map([[idle.id, "idle"], [short.id, "short"], [long.id, "long"]])
    const list = Effect.map(
      one.at((_) => _.listBySubject(realm, subject)),
      (records) => records.map(({ id }) => names.get(id)).sort()
    )
    yield* note("list", list)

    one.set(start + 2 * second - 1)
    yield* note("find idle", one.isFound(idle.id))
    yield* note("list", list)
    yield* one.at((_) => _.touch(short.id, start + minute))

    one.set(start + 2 * second)
    yield* note("find idle", one.isFound(idle.id))
    yield* note("update idle", one.at((_) => _.update(idle)))
    yield* one.at((_) => _.touch(idle.id, start + minute))
    const next = yield* one.successorOf(idle, minute)
    yield* note("rotate idle", one.at((_) => _.rotate(idle.id, next)))
    yield* note("list", list)

    one.set(start + 3 * second - 1)
    yield* note("update short", one.at((_) => _.update(short)))

    one.set(start + 3 * second)
    yield* note("find short", one.isFound(short.id))
    yield* note("list", list)
    yield* note("remove what is expired", one.at((_) => _.removeExpired(100)))

    yield* one.endAll(subject)
    const signIn = (verified: number) => Effect.map(one.signIn(subject, minute, minute, verified), (_) => _.created)
    yield* note("sign in, verified before", signIn(1))
    yield* note("sign in, verified since", signIn(0))
    one.set(start + 3 * second + 10 * minute - 1)
    yield* note("sign in, verified before", signIn(10 * minute))
    one.set(start + 3 * second + 10 * minute)
    yield* note("sign in, verified before, when the mark is over", signIn(10 * minute + 1))
    yield* note("list", Effect.map(list, (_) => _.length))
    yield* one.endAll(subject)
    return answers
  }).pipe(Effect.scoped)

const expected: ReadonlyArray<Line> = [
  [0, "list", ["idle", "long", "short"]],
  [1_999, "find idle", true],
  [1_999, "list", ["idle", "long", "short"]],
  [2_000, "find idle", false],
  [2_000, "update idle", false],
  [2_000, "rotate idle", false],
  [2_000, "list", ["long", "short"]],
  [2_999, "update short", true],
  [3_000, "find short", false],
  [3_000, "list", ["long"]],
  [3_000, "remove what is expired", 2],
  [3_000, "sign in, verified before", false],
  [3_000, "sign in, verified since", true],
  [602_999, "sign in, verified before", false],
  [603_000, "sign in, verified before, when the mark is over", true],
  [603_000, "list", 1]
]

const timeout = 30_000

for (const { isThere, name, place } of stores) {
  describe.skipIf(!isThere)(name, () => {
    for (
      const [which, offset] of [["as late as", 0], ["a minute ahead of", minute], ["a minute behind", -minute]] as const
    ) {
      it.scopedLive(`answers the same when the process's clock is ${which} the server's`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* transcript(yield* place, offset), expected)
        }), timeout)
    }

    it.scopedLive(
      "answers two processes, a minute apart, each by its own clock and nothing else",
      () =>
        Effect.gen(function*() {
          const where = yield* place
          const now = yield* Clock.currentTimeMillis
          const ahead = yield* makeProcess(where, now + minute)
          const behind = yield* makeProcess(where, now)
          const subject = (name: string) => `${name} ${randomUUID()}`

          const [ada, bob, eve, joe, kim] = ["ada", "bob", "eve", "joe", "kim"].map(subject)
          const { record: ofBehind } = yield* behind.signIn(ada!, 2 * second, minute + 2 * second)
          const { record: ofAhead } = yield* ahead.signIn(bob!, 2 * second, minute)
          const { record: lived } = yield* behind.signIn(kim!, 2 * minute, 2 * minute)
          const listed = (process: typeof ahead, subject: string) =>
            Effect.map(process.at((_) => _.listBySubject(realm, subject)), ({ length }) => length)
          const signIn = (process: typeof ahead, subject: string, verified: number) =>
            Effect.map(process.signIn(subject, 5 * minute, 5 * minute, verified), (_) => _.created)
          yield* ahead.endAll(eve!)
          yield* behind.endAll(joe!)

          /** What each of the two is told. Where the answers differ, their clocks do. */
          const table: ReadonlyArray<
            readonly [
              what: string,
              ask: (_: typeof ahead) => Effect.Effect<unknown, unknown>,
              ahead: unknown,
              behind: unknown
            ]
          > = [
            ["a session of 2 s by the clock behind", (_) => _.isFound(ofBehind.id), false, true],
            ["its list", (_) => listed(_, ada!), 0, 1],
            ["an update of it", (_) => _.at((store) => store.update(ofBehind)), false, true],
            ["a session of 2 s by the clock ahead", (_) => _.isFound(ofAhead.id), true, true],
            ["a session that is live by both", (_) => _.isFound(lived.id), true, true],
            [
              "a sign-in, verified by its own clock since the other clock's mark",
              (_) => signIn(_, eve!, 0),
              true,
              false
            ],
            ["a sign-in, verified a moment before a mark of the clock behind", (_) => signIn(_, joe!, 1), true, false],
            ["a sign-in, verified a minute and a moment before", (_) => signIn(_, joe!, minute + 1), false, false]
          ]
          for (const [what, ask, byAhead, byBehind] of table) {
            assert.deepStrictEqual([yield* ask(ahead), yield* ask(behind)], [byAhead, byBehind], what)
          }

          // The clock ahead reaches the deadline; the one behind reaches it a minute later.
          ahead.set(now + minute + 2 * second)
          behind.set(now + 2 * second)
          assert.deepStrictEqual([yield* ahead.isFound(ofAhead.id), yield* behind.isFound(ofAhead.id)], [false, true])
          behind.set(now + minute + 2 * second)
          assert.isFalse(yield* behind.isFound(ofAhead.id))

          // What one has ended, the other has not, whatever the clocks say: also what is over for the one that ends it.
          behind.set(now)
          yield* ahead.at((_) => _.remove(ofBehind.id))
          yield* ahead.endAll(kim!)
          assert.deepStrictEqual([yield* behind.isFound(ofBehind.id), yield* behind.isFound(lived.id)], [false, false])
          // And the mark of the clock behind does not replace the later one of the clock ahead.
          yield* behind.endAll(kim!)
          assert.isFalse(yield* signIn(ahead, kim!, minute))
        }),
      timeout
    )
  })
}
