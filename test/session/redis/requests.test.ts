// What the server sees of the operations that requests wait for.
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Option } from "effect"
import { SessionEpoch, SessionStore, SessionToken } from "effect-security"
import { Redis } from "ioredis"
import { redisUrl } from "../../servers.js"
import { ahead, day, freshPrefix, hour, layerOf, minute, random, recordOf } from "./fixtures.js"
import * as redisServer from "./redisServer.js"

const realm = "test/Auth"

/** All operations that a request may wait for, each with an answer that shows it was done. */
const everyRequest = Effect.gen(function*() {
  const store = yield* SessionStore.SessionStore
  const epoch = yield* SessionEpoch.SessionEpoch
  const now = yield* Clock.currentTimeMillis
  const subject = random()
  const record = yield* recordOf(realm, subject)
  yield* store.create(record)
  assert.isTrue(Option.isSome(yield* store.find(record.id)))
  assert.isTrue(yield* store.update(new SessionStore.SessionRecord({ ...record, data: "1" })))
  yield* store.touch(record.id, now + 2 * hour)
  const next = new SessionStore.SessionRecord({
    ...record,
    id: SessionToken.toId(realm, yield* SessionToken.successor(record.id)),
    version: 1
  })
  assert.isTrue(yield* store.rotate(record.id, next))
  assert.strictEqual((yield* store.listBySubject(realm, subject)).length, 1)
  yield* store.remove(next.id)
  yield* store.removeBySubject(realm, subject, { except: Option.none() })
  assert.isAtLeast(yield* epoch.advance(realm, subject, now + day), now)
  assert.isAtLeast(yield* epoch.current(realm, subject), now)
})

describe.skipIf(redisUrl === undefined || !redisServer.hasProgram)("a request", () => {
  it.scopedLive("takes one command an operation, and none that looks through all keys", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      const prefix = freshPrefix()
      const scripts = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(server.url)),
        (client) => Effect.sync(() => client.disconnect())
      )
      yield* Effect.gen(function*() {
        yield* everyRequest
        const seen: Array<string> = []
        const inScripts: Array<string> = []
        const monitor = yield* Effect.acquireRelease(
          Effect.promise(() => scripts.monitor()),
          (monitor) => Effect.sync(() => monitor.disconnect())
        )
        const done = new Promise<void>((resolve) => {
          monitor.on("monitor", (_: string, [name, argument]: Array<string>, source: string) => {
            if (name === "echo" && argument === prefix) resolve()
            else if (source === "lua") inScripts.push(name!.toLowerCase())
            else seen.push(name!.toLowerCase())
          })
        })
        yield* everyRequest
        yield* Effect.promise(() => scripts.echo(prefix))
        yield* Effect.promise(() => done)
        const of = (wanted: string) => seen.filter((name) => name === wanted).length
        assert.deepStrictEqual([of("evalsha"), of("hmget"), of("get")], [8, 1, 1])
        assert.strictEqual(seen.length, 10)
        assert.isAbove(inScripts.length, 10)
        for (const name of [...seen, ...inScripts]) {
          assert.notInclude(["keys", "scan", "flushall", "flushdb", "smembers", "hgetall", "sort", "randomkey"], name)
        }
      }).pipe(Effect.provide(layerOf(server.url, prefix)))
    }))

  it.scopedLive("is answered when the server has forgotten the scripts", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* Effect.gen(function*() {
        yield* everyRequest
        const store = yield* SessionStore.SessionStore
        const flush = server.command("SCRIPT", "FLUSH")
        yield* flush
        yield* everyRequest
        yield* Effect.all([Effect.forever(flush), Effect.repeatN(everyRequest, 20)], { concurrency: 2 }).pipe(
          Effect.race(Effect.repeatN(everyRequest, 20))
        )
        yield* flush
        yield* store.create(yield* recordOf(realm, "ada", { idleDeadline: 1 }))
        yield* flush
        assert.strictEqual(yield* store.removeExpired(10), 1)
      }).pipe(Effect.provide(layerOf(server.url)))
    }))

  it.scopedLive("is answered by its own clock, a minute ahead of the server's or behind", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      const serverHasGoneOn = (millis: number) =>
        Effect.gen(function*() {
          const time = Effect.map(
            server.command("TIME"),
            (time) => (time as Array<string>).map(Number)
          )
          const [start, micros] = yield* time
          const since = ([seconds, more]: Array<number>) => (seconds! - start!) * 1_000 + (more! - micros!) / 1_000
          yield* Effect.repeat(time, { until: (now) => since(now) > millis })
        })
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const epoch = yield* SessionEpoch.SessionEpoch
        const early = Effect.withClock(ahead(-minute))
        const late = Effect.withClock(ahead(minute))
        const isLive = (id: SessionToken.SessionId) => Effect.map(store.find(id), Option.isSome)
        const listed = Effect.map(store.listBySubject(realm, "ada"), (records) => records.length)
        const latest = (yield* Clock.currentTimeMillis) + minute

        // Written by the clock that is ahead: over for it after a moment, and for two more minutes live for the other.
        const ending = { idleDeadline: latest + 20 }
        const [read, updated, touched, rotated, untouched] = yield* Effect.all(
          Array.from({ length: 5 }, () => Effect.tap(late(recordOf(realm, "ada", ending)), store.create)).map(late)
        )
        const written = yield* late(epoch.advance(realm, "ada", latest + 20))
        yield* serverHasGoneOn(50)
        assert.isFalse(yield* late(isLive(read!.id)))
        assert.strictEqual(yield* late(listed), 0)
        assert.isFalse(yield* late(store.update(updated!)))
        assert.isTrue(yield* early(isLive(read!.id)))
        assert.strictEqual(yield* early(listed), 5)
        assert.strictEqual(yield* early(epoch.current(realm, "ada")), written)
        assert.isTrue(yield* early(store.update(updated!)))
        yield* late(store.touch(untouched!.id, latest + hour))
        assert.isFalse(yield* late(isLive(untouched!.id)))
        yield* early(store.touch(touched!.id, latest + hour))
        assert.isTrue(yield* late(isLive(touched!.id)))
        const next = new SessionStore.SessionRecord({
          ...rotated!,
          id: SessionToken.toId(realm, yield* SessionToken.successor(rotated!.id)),
          idleDeadline: latest + hour
        })
        assert.isFalse(yield* late(store.rotate(rotated!.id, next)))
        assert.isTrue(yield* early(store.rotate(rotated!.id, next)))
        assert.strictEqual(yield* early(store.removeExpired(100)), 0)
        assert.strictEqual(yield* late(store.removeExpired(100)), 3)

        // A mark of the clock that is ahead stands for ten minutes by every clock.
        yield* late(store.removeBySubject(realm, "ada", { except: Option.none() }))
        const attempt = (offset: number, authenticatedAt: number) =>
          Effect.flatMap(recordOf(realm, "ada", { authenticatedAt }), store.create).pipe(
            Effect.as("created"),
            Effect.catchTag("SessionRefused", () => Effect.succeed("refused")),
            Effect.withClock(ahead(offset))
          )
        assert.strictEqual(yield* attempt(-minute, latest - 2 * minute), "refused")
        assert.strictEqual(yield* attempt(10 * minute, latest - 1), "refused")
        assert.strictEqual(yield* attempt(12 * minute, latest - 1), "created")
        assert.strictEqual(yield* attempt(-minute, latest + hour), "created")

        // One that is behind does not take back what the other has marked.
        yield* early(store.removeBySubject(realm, "ada", { except: Option.none() }))
        assert.strictEqual(yield* attempt(0, latest - 1), "refused")
      }).pipe(Effect.provide(layerOf(server.url)))
    }))
})
