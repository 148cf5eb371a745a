// For how long it lies in Redis.
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FastCheck, Option } from "effect"
import { SessionStore, SessionToken } from "effect-security"
import type { Redis } from "ioredis"
import { redisUrl } from "../../servers.js"
import { day, hour, minute, recordOf } from "./fixtures.js"
import { ofKind, over, ttls } from "./keyspace.js"

const realm = "test/Auth"
const lastMoment = 8_640_000_000_000_000

const deadline = FastCheck.oneof(
  FastCheck.integer({ min: -day, max: 400 * day }).map((millis) => ({ in: millis })),
  FastCheck.constantFrom(0, 1, lastMoment, Number.MAX_SAFE_INTEGER).map((moment) => ({ at: moment }))
)
type Deadline = typeof deadline extends FastCheck.Arbitrary<infer A> ? A : never

const momentOf = (deadline: Deadline, now: number) => "at" in deadline ? deadline.at : now + deadline.in

const step = FastCheck.oneof(
  FastCheck.record({
    op: FastCheck.constant("create" as const),
    subject: FastCheck.constantFrom("ada", null),
    idle: deadline,
    absolute: deadline
  }),
  FastCheck.record({ op: FastCheck.constant("touch" as const), which: FastCheck.nat(), deadline }),
  FastCheck.record({ op: FastCheck.constant("update" as const), which: FastCheck.nat() }),
  FastCheck.record({ op: FastCheck.constant("rotate" as const), which: FastCheck.nat(), idle: deadline }),
  FastCheck.record({ op: FastCheck.constant("remove" as const), which: FastCheck.nat() }),
  FastCheck.record({ op: FastCheck.constant("list" as const), which: FastCheck.nat() })
)
type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never

/** Does what a step says to one of the known records; gives the record that has come. */
const take = (store: SessionStore.Service, known: ReadonlyArray<SessionStore.SessionRecord>, step: Step) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    if (step.op === "create") {
      const created = yield* recordOf(realm, step.subject, {
        idleDeadline: momentOf(step.idle, now),
        absoluteDeadline: momentOf(step.absolute, now)
      })
      yield* store.create(created)
      return [created]
    }
    const record = known[step.which % Math.max(1, known.length)]
    if (record === undefined) return []
    switch (step.op) {
      case "touch":
        yield* store.touch(record.id, momentOf(step.deadline, now))
        return []
      case "update":
        yield* store.update(record)
        return []
      case "remove":
        yield* store.remove(record.id)
        return []
      case "list":
        yield* store.listBySubject(realm, "ada")
        return []
      case "rotate": {
        const id = SessionToken.toId(realm, yield* SessionToken.successor(record.id))
        const next = new SessionStore.SessionRecord({ ...record, id, idleDeadline: momentOf(step.idle, now) })
        return (yield* store.rotate(record.id, next)) ? [next] : []
      }
    }
  })

/** No key is kept for ever, none goes before its session is over, and no index before one of its sessions. */
const expectTtls = (redis: Redis, keys: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const millis = new Map((yield* ttls(redis, keys)).map((millis, at) => [keys[at]!, millis]))
    millis.forEach((millis) => assert.isAbove(millis, 0))
    const sessions = ofKind(keys, "session")
    for (const key of sessions) {
      const deadlines = yield* Effect.promise(() => redis.hmget(key, "idleDeadline", "absoluteDeadline"))
      const remaining = Math.min(...deadlines.map(Number)) - (yield* Clock.currentTimeMillis)
      assert.isAtLeast(millis.get(key)!, remaining)
      assert.isAtMost(millis.get(key)!, Math.max(0, remaining) + hour)
    }
    const owned = sessions.filter((key) => key.includes(SessionToken.tagOf(realm, "ada")))
    const [index] = ofKind(keys, "index")
    const members = index === undefined ? [] : yield* Effect.promise(() => redis.zrange(index, 0, -1))
    assert.deepStrictEqual(owned.map((key) => key.split(":session:")[1]).sort(), members.sort())
    owned.forEach((key) => assert.isAtLeast(millis.get(index!)!, millis.get(key)!))
  })

describe.skipIf(redisUrl === undefined)("TTL", () => {
  it.live(
    "each key has one, that of a session not before its deadline, that of an index not before a session's",
    () =>
      over(({ keys, redis, store }) => {
        const run = (steps: ReadonlyArray<Step>) =>
          Effect.suspend(() => {
            const known: Array<SessionStore.SessionRecord> = []
            return Effect.forEach(steps, (step) =>
              Effect.gen(function*() {
                known.push(...yield* take(store, known, step))
                yield* expectTtls(redis, yield* keys)
              })).pipe(
                Effect.ensuring(Effect.suspend(() => Effect.orDie(Effect.forEach(known, ({ id }) => store.remove(id)))))
              )
          })
        return Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(
              FastCheck.array(step, { minLength: 1, maxLength: 12 }),
              (steps) => Effect.runPromise(Effect.asVoid(run(steps)))
            ),
            { numRuns: 100 }
          )
        )
      }),
    60_000
  )

  it.live("a mark stays for more than the ten minutes that it stands for", () =>
    over(({ keys, redis, store }) =>
      Effect.gen(function*() {
        yield* store.removeBySubject(realm, "ada", { except: Option.none() })
        const [millis] = yield* ttls(redis, yield* keys)
        assert.isAtLeast(millis!, 10 * minute)
        assert.isAtMost(millis!, hour)
      })
    ))
})
