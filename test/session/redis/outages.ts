// What every outage asks: each operation, what it answers meanwhile, and when it is over.
import { assert } from "@effect/vitest"
import { Effect, Option, Schedule } from "effect"
import { SecurityError, SessionEpoch, SessionStore, SessionToken } from "effect-security"
import { ahead, day, hour, recordOf } from "./fixtures.js"
import type { RedisServer } from "./redisServer.js"

const realm = "test/Auth"

/** Each operation on a session. */
export const operations = (record: SessionStore.SessionRecord) =>
  Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const epoch = yield* SessionEpoch.SessionEpoch
    const successor = SessionToken.toId(realm, yield* SessionToken.successor(record.id))
    const other = yield* recordOf(realm, record.subject)
    const { createdAt, id } = record
    const named = {
      find: store.find(id),
      update: store.update(record),
      touch: store.touch(id, createdAt + hour),
      rotate: store.rotate(id, new SessionStore.SessionRecord({ ...record, id: successor, version: -1 })),
      create: store.create(other),
      remove: store.remove(other.id),
      removeBySubject: store.removeBySubject(realm, "nobody", { except: Option.none() }),
      listBySubject: store.listBySubject(realm, "ada"),
      removeExpired: store.removeExpired(10),
      current: epoch.current(realm, "ada"),
      advance: epoch.advance(realm, "ada", createdAt + day)
    }
    return Object.entries(named) as ReadonlyArray<
      [string, Effect.Effect<unknown, SecurityError.SecurityUnavailable | SessionStore.SessionRefused>]
    >
  })

const secrets = /oolong/

/** Each says so by the right failure, which tells nothing of the session. */
export const expectUnavailable = (
  operations: ReadonlyArray<readonly [string, Effect.Effect<unknown, { readonly _tag: string }>]>,
  reason: RegExp
) =>
  Effect.forEach(operations, ([name, operation]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.asVoid(operation))
      assert.instanceOf(error, SecurityError.SecurityUnavailable, name)
      const { cause, reason: given } = error as unknown as SecurityError.SecurityUnavailable
      assert.match(given, reason, name)
      assert.notMatch(`${given} ${String(cause)} ${JSON.stringify(cause)} ${Object.keys(cause ?? {})}`, secrets, name)
    }), { concurrency: "unbounded", discard: true })

/** Asks until Redis answers. A store that does not come back does not end. */
export const eventually = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.orDie(Effect.retry(self, Schedule.spaced("20 millis")))

/**
 * Counts what is done to a number of which nobody waits for the answer any more: at most once what was sent, when the
 * servers go on, and nothing that was sent again.
 */
export const expectSentOnce = (servers: ReadonlyArray<RedisServer>) =>
  Effect.gen(function*() {
    const { advance, current } = yield* SessionEpoch.SessionEpoch
    const until = Number.MAX_SAFE_INTEGER
    const first = yield* Effect.withClock(advance(realm, "ada", until), ahead(day))
    yield* Effect.forEach(servers, ({ stop }) => stop)
    yield* expectUnavailable([["advance", advance(realm, "ada", until)]], /^Redis: no answer in time$/)
    yield* Effect.repeat(Effect.flip(current(realm, "ada")), {
      schedule: Schedule.spaced("20 millis"),
      until: ({ cause, reason }) => /connection (has ended|was closed)/.test(`${reason} ${String(cause)}`)
    })
    yield* Effect.forEach(servers, ({ resume }) => resume)
    yield* eventually(current(realm, "ada"))
    const times = 20
    const numbers = yield* Effect.forEach(Array.from({ length: times }), () => advance(realm, "ada", until))
    assert.include([first + times, first + times + 1], numbers.at(-1))
  })
