// What lies in Redis.
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Option } from "effect"
import { SessionStore, SessionToken } from "effect-security"
import { redisUrl } from "../../servers.js"
import { day, hour, minute, recordOf } from "./fixtures.js"
import { ofKind, over } from "./keyspace.js"

const realm = "test/Auth"

describe.skipIf(redisUrl === undefined)("keys", () => {
  it.live("all keys of a subject have its tag, and a session without one has a tag of its own", () =>
    over(({ keys, prefix, store }) =>
      Effect.gen(function*() {
        yield* store.removeBySubject(realm, "ada", { except: Option.none() })
        const record = yield* recordOf(realm, "ada")
        const anonymous = yield* recordOf(realm, null)
        yield* store.create(record)
        yield* store.create(anonymous)
        const tag = SessionToken.tagOf(realm, "ada")
        const found = yield* keys
        assert.deepStrictEqual(
          found.map((key) => key.replace(/[A-Za-z0-9_-]{43}$/, "...")).sort(),
          [
            `${prefix}{${tag}}:index:...`,
            `${prefix}{${tag}}:mark:...`,
            `${prefix}{${tag}}:session:${tag}....`,
            `${prefix}{${SessionToken.tagOfId(anonymous.id)}}:session:${SessionToken.tagOfId(anonymous.id)}....`
          ].sort()
        )
        assert.include(found, `${prefix}{${tag}}:session:${record.id}`)
      })
    ))

  it.live("an index lists each session with its deadline, and is gone with the last", () =>
    over(({ keys, redis, store }) =>
      Effect.gen(function*() {
        const first = yield* recordOf(realm, "ada")
        const second = yield* recordOf(realm, "ada", { absoluteDeadline: first.createdAt + 30 * minute })
        yield* store.create(first)
        yield* store.create(second)
        const index = ofKind(yield* keys, "index")
        assert.strictEqual(index.length, 1)
        const scores = Effect.promise(() => redis.zrange(index[0]!, 0, -1, "WITHSCORES"))
        assert.deepStrictEqual(yield* scores, [
          second.id,
          String(second.absoluteDeadline),
          first.id,
          String(first.idleDeadline)
        ])

        yield* store.touch(first.id, first.createdAt + 2 * hour)
        yield* store.touch(second.id, first.createdAt + 2 * hour)
        assert.deepStrictEqual(yield* scores, [
          second.id,
          String(second.absoluteDeadline),
          first.id,
          String(first.createdAt + 2 * hour)
        ])

        const token = yield* SessionToken.successor(first.id)
        const next = new SessionStore.SessionRecord({ ...first, id: SessionToken.toId(realm, token) })
        assert.isTrue(yield* store.rotate(first.id, next))
        assert.deepStrictEqual((yield* scores).filter((_, at) => at % 2 === 0).sort(), [second.id, next.id].sort())

        yield* store.remove(next.id)
        assert.deepStrictEqual(ofKind(yield* keys, "index"), index)
        yield* store.remove(second.id)
        assert.deepStrictEqual(yield* keys, [])
      })
    ))

  it.live("an index is gone when all sessions of the subject were ended, and only a mark is left", () =>
    over(({ keys, store }) =>
      Effect.gen(function*() {
        for (let count = 0; count < 3; count++) yield* store.create(yield* recordOf(realm, "ada"))
        yield* store.removeBySubject(realm, "ada", { except: Option.none() })
        const left = yield* keys
        assert.deepStrictEqual(left, ofKind(left, "mark"))
        assert.strictEqual(left.length, 1)
      })
    ))

  it.live("what Redis has removed by itself goes from the index where it is met", () =>
    over(({ keys, redis, store }) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const members = Effect.flatMap(keys, (keys) =>
          Effect.promise(() => redis.zrange(ofKind(keys, "index")[0]!, 0, -1)))
        const vanish = ({ id }: SessionStore.SessionRecord) =>
          Effect.flatMap(keys, (keys) =>
            Effect.promise(() => redis.del(keys.find((key) => key.endsWith(id))!)))
        const live = yield* recordOf(realm, "ada")
        const over = { idleDeadline: now - 1 }
        const [listed, created, rotated] = [
          yield* recordOf(realm, "ada", over),
          yield* recordOf(realm, "ada", over),
          yield* recordOf(realm, "ada", over)
        ]
        yield* store.create(live)

        yield* store.create(listed)
        yield* vanish(listed)
        assert.strictEqual((yield* members).length, 2)
        assert.deepStrictEqual((yield* store.listBySubject(realm, "ada")).map(({ id }) => id), [live.id])
        assert.deepStrictEqual(yield* members, [live.id])

        yield* store.create(created)
        yield* vanish(created)
        const other = yield* recordOf(realm, "ada")
        yield* store.create(other)
        assert.deepStrictEqual((yield* members).sort(), [live.id, other.id].sort())

        yield* store.create(rotated)
        yield* vanish(rotated)
        const token = yield* SessionToken.successor(other.id)
        const next = new SessionStore.SessionRecord({ ...other, id: SessionToken.toId(realm, token) })
        yield* store.rotate(other.id, next)
        assert.deepStrictEqual((yield* members).sort(), [live.id, next.id].sort())
      })
    ))

  it.live("two subjects with the same tag share nothing else", () => {
    // Of two names with one tag, none are known: the second one's keys are written as if it had that of the first.
    const tag = SessionToken.tagOf(realm, "ada")
    return over(({ keys, prefix, redis, store }) =>
      Effect.gen(function*() {
        const ada = yield* recordOf(realm, "ada")
        yield* store.create(ada)
        const index = `${prefix}{${tag}}:index:${"b".repeat(43)}`
        const foreign = `${prefix}{${tag}}:session:${tag}.${"b".repeat(43)}`
        const mark = `${prefix}{${tag}}:mark:${"b".repeat(43)}`
        yield* Effect.promise(() =>
          redis.multi().zadd(index, 1, `${tag}.${"b".repeat(43)}`).hset(foreign, { realm: "x", index: "b".repeat(43) })
            .set(mark, String(ada.createdAt + day)).exec()
        )
        yield* store.create(yield* recordOf(realm, "ada"))
        assert.strictEqual((yield* store.listBySubject(realm, "ada")).length, 2)
        yield* store.removeBySubject(realm, "ada", { except: Option.none() })
        assert.deepStrictEqual(
          (yield* keys).filter((key) => key.endsWith("b".repeat(43))),
          [index, mark, foreign].sort()
        )
        assert.strictEqual(yield* Effect.promise(() => redis.get(mark)), String(ada.createdAt + day))
      })
    )
  })

  it.live("an id without the tag of its subject, and another tag for the same session, are defects", () =>
    over(({ keys, store }) =>
      Effect.gen(function*() {
        const ada = yield* recordOf(realm, "ada")
        const other = yield* recordOf(realm, "grace")
        const misplaced = new SessionStore.SessionRecord({ ...ada, subject: "grace" })
        const messageOf = <A, E>(self: Effect.Effect<A, E>) =>
          Effect.map(Effect.flip(Effect.sandbox(self)), (cause) => String(cause))
        assert.match(yield* messageOf(store.create(misplaced)), /has the tag of its subject/)
        assert.deepStrictEqual(yield* keys, [])
        yield* store.create(ada)
        assert.match(yield* messageOf(store.rotate(ada.id, other)), /keeps its tag/)
        const next = new SessionStore.SessionRecord({
          ...ada,
          id: (yield* recordOf(realm, "ada")).id,
          subject: "grace"
        })
        assert.match(yield* messageOf(store.rotate(ada.id, next)), /has the tag of its subject/)
        assert.isTrue(Option.isSome(yield* store.find(ada.id)))
      })
    ))

  it.live("a hash that is no session of this library is told, and not taken for none", () =>
    over(({ prefix, redis, store }) =>
      Effect.gen(function*() {
        const record = yield* recordOf(realm, "ada")
        const key = `${prefix}{${SessionToken.tagOf(realm, "ada")}}:session:${record.id}`
        for (
          const damage of [
            () => redis.hset(key, "idleDeadline", "8.64e+15x"),
            () => redis.hset(key, "version", ""),
            () => redis.hset(key, "remember", "yes"),
            () => redis.hdel(key, "data"),
            () => redis.hdel(key, "realm", "absoluteDeadline")
          ]
        ) {
          yield* store.create(record)
          yield* Effect.promise(damage)
          const error = yield* Effect.flip(store.find(record.id))
          assert.strictEqual(error._tag, "SecurityUnavailable")
          assert.notInclude(error.reason, "oolong")
        }
        yield* Effect.promise(() => redis.del(key))
        yield* Effect.promise(() => redis.set(key, "text"))
        assert.strictEqual((yield* Effect.flip(store.find(record.id)))._tag, "SecurityUnavailable")
      })
    ))
})
