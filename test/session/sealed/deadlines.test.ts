// How long a sealed session lasts, and when it is sealed anew.
import { HttpServerRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Option, Schema, TestClock, TestContext } from "effect"
import * as ResponseJar from "effect-security/http/ResponseJar"
import * as SessionAuth from "effect-security/session/SessionAuth"
import type * as SessionVersions from "effect-security/session/SessionVersions"
import { Auth, cleared, CurrentUser, send } from "../fixtures.js"
import {
  clearedRest,
  cookieOf,
  header,
  live,
  liveOf,
  names,
  parse,
  posting,
  refusal,
  refused,
  signIn,
  withCookie
} from "./fixtures.js"

const start = 1_750_000_000_000
const day = 24 * 60 * 60 * 1_000

const read = (cookie: string) => send(Auth.user, withCookie(cookie))
const ada = Exit.succeed({ id: "ada" })

/** 401, and what the client holds goes. */
const over = [401, [cleared], "Cookie"]

const at = (millis: number) => TestClock.setTime(start + millis)

// -----------------------------------------------------------------------------
// The end
// -----------------------------------------------------------------------------

describe("a session", () => {
  it.effect("ends in the millisecond in which it was not used for the idle timeout, and goes from its client", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn()
      yield* at(7 * day - 1)
      assert.deepStrictEqual((yield* read(cookie)).exit, ada)
      yield* at(7 * day)
      assert.deepStrictEqual(refusal(yield* read(cookie)), over)
      for (const operation of [Auth.rotate, Auth.update((session) => session)]) {
        assert.deepStrictEqual(
          refusal(yield* send(operation as Effect.Effect<void, any, any>, posting(cookie)) as any),
          over
        )
      }
    }).pipe(Effect.provide(live())) as Effect.Effect<void>)

  it.effect("ends at the absolute timeout, however it is used, and its cookie lasts as long", () =>
    Effect.gen(function*() {
      yield* at(0)
      let cookie = yield* signIn()
      for (let days = 3; days < 30; days += 3) {
        yield* at(days * day)
        const reply = yield* read(cookie)
        assert.deepStrictEqual(reply.exit, ada)
        assert.include(reply.setCookie[0]!, `; Max-Age=${(30 - days) * 24 * 60 * 60};`)
        cookie = cookieOf(reply)
      }
      yield* at(30 * day - 1)
      const last = yield* read(cookie)
      assert.deepStrictEqual(last.exit, ada)
      assert.include(last.setCookie[0]!, "; Max-Age=1;")
      yield* at(30 * day)
      assert.deepStrictEqual(refusal(yield* read(cookieOf(last))), over)
    }).pipe(Effect.provide(live())))

  it.effect("that is over is cleared with each cookie that the request has of it, and with no other", () =>
    Effect.gen(function*() {
      yield* at(0)
      const small = yield* signIn()
      const large = parse(yield* signIn("ada", 4_000))
      yield* at(7 * day)
      assert.deepStrictEqual((yield* read(header(large))).setCookie, [cleared, clearedRest])
      assert.deepStrictEqual((yield* read(`${small}; theme=dark`)).setCookie, [cleared])
      // What an earlier one left behind goes along.
      const stale = `${small}; __Host-session.1=${large["__Host-session.1"]}`
      assert.deepStrictEqual((yield* read(stale)).setCookie, [cleared, clearedRest])
    }).pipe(Effect.provide(live())))

  it.effect("that somebody else has ended by its time does not come back with its copy", () =>
    Effect.gen(function*() {
      yield* at(0)
      const copy = yield* signIn()
      yield* at(3 * day)
      const renewed = cookieOf(yield* read(copy))
      yield* at(8 * day)
      // The copy was not used since, whoever else was.
      assert.deepStrictEqual(refusal(yield* read(copy)), over)
      assert.deepStrictEqual((yield* read(renewed)).exit, ada)
    }).pipe(Effect.provide(live())))

  it.effect("that has ended leaves in place what the same request has begun meanwhile", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn()
      yield* at(7 * day)
      const layer = live({
        retrieveUser: () => Effect.succeedSome({ id: "ada" })
      })
      const reply = yield* Effect.provide(
        send(
          Effect.all([Auth.userOption, Auth.login({ userId: "bob" }), Auth.userOption], { concurrency: "unbounded" }),
          posting(cookie)
        ),
        layer
      )
      assert.deepStrictEqual(names(reply), ["__Host-session"])
      assert.deepStrictEqual(
        (yield* send(Auth.session, withCookie(cookieOf(reply)))).exit,
        Exit.succeed({ userId: "bob" })
      )
    }).pipe(Effect.provide(live())))

  it.effect("ends earlier where the absolute timeout has become shorter since, and lasts no longer where longer", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn()
      const shorter = Effect.provide(live({ absoluteTimeout: "2 days" }))
      const longer = Effect.provide(live({ absoluteTimeout: "90 days", idleTimeout: "90 days" }))
      yield* at(2 * day - 1)
      const reply = yield* shorter(read(cookie))
      assert.deepStrictEqual(reply.exit, ada)
      assert.include(reply.setCookie[0]!, "; Max-Age=1;")
      yield* at(2 * day)
      assert.deepStrictEqual(refusal(yield* shorter(read(cookie))), over)
      assert.deepStrictEqual((yield* read(cookie)).exit, ada)
      const used = cookieOf(yield* longer(read(cookie)))
      yield* at(30 * day - 1)
      assert.deepStrictEqual((yield* longer(read(used))).exit, ada)
      yield* at(30 * day)
      assert.deepStrictEqual(refusal(yield* longer(read(used))), over)
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Renewal
// -----------------------------------------------------------------------------

describe("a read", () => {
  for (
    const [idle, interval] of [["7 days", 60 * 60 * 1_000], ["10 minutes", 60 * 1_000], [
      "10 hours",
      60 * 60 * 1_000
    ]] as const
  ) {
    it.effect(`seals a session anew once in ${interval / 60_000} minutes where it may idle for ${idle}`, () =>
      Effect.gen(function*() {
        yield* at(0)
        const cookie = yield* signIn()
        yield* at(interval - 1)
        assert.deepStrictEqual((yield* read(cookie)).setCookie, [])
        yield* at(interval)
        const reply = yield* read(cookie)
        assert.deepStrictEqual([reply.status, names(reply)], [204, ["__Host-session"]])
        assert.strictEqual(reply.headers.get("cache-control"), "no-store")
        assert.deepStrictEqual((yield* read(cookieOf(reply))).setCookie, [])
        yield* at(2 * interval - 1)
        assert.deepStrictEqual((yield* read(cookieOf(reply))).setCookie, [])
        yield* at(2 * interval)
        assert.deepStrictEqual(names(yield* read(cookieOf(reply))), ["__Host-session"])
      }).pipe(Effect.provide(live({ idleTimeout: idle }))))
  }

  it.effect("seals it anew once in a request, whoever asks how often", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn()
      yield* at(day)
      const reply = yield* send(
        Effect.all([Auth.user, Auth.session, Auth.protect(Auth.user), Auth.userOption], { concurrency: "unbounded" }),
        withCookie(cookie)
      )
      assert.deepStrictEqual(names(reply), ["__Host-session"])
    }).pipe(Effect.provide(live())))

  it.effect("sets no cookie for a browser session that it would not have without a renewal", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = cookieOf(yield* send(Auth.login({ userId: "ada" }, { remember: false }), posting()))
      yield* at(day)
      const reply = yield* read(cookie)
      assert.match(reply.setCookie[0]!, /^__Host-session=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
    }).pipe(Effect.provide(live())))

  it.effect("seals nothing anew where no cookie can be set: on an upgrade, and after the response has left", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn()
      yield* at(day)
      const upgrade = yield* send(
        Auth.user,
        withCookie(cookie, { headers: { upgrade: "websocket", connection: "Upgrade" } })
      )
      assert.deepStrictEqual([upgrade.exit, upgrade.setCookie], [ada, []])
      const late = yield* send(
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          ResponseJar.get(request).isSent = true
          return Auth.user
        }),
        withCookie(cookie)
      )
      assert.deepStrictEqual(late.exit, ada)
    }).pipe(Effect.provide(live())))

  it.effect("that finds no user, or somebody who is refused after all, is treated as over a store", () =>
    Effect.gen(function*() {
      yield* at(0)
      const ghost = yield* signIn("ghost")
      yield* at(day)
      assert.deepStrictEqual(refusal(yield* read(ghost)), refused)
    }).pipe(Effect.provide(live())))

  it.effect("that only looks whether a request is still one of somebody extends nothing", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn()
      const reply = yield* send(
        Auth.whileAuthenticated(Effect.zipRight(TestClock.adjust("2 hours"), Effect.yieldNow())),
        withCookie(cookie)
      )
      assert.deepStrictEqual(names(reply), [])
    }).pipe(Effect.provide(live())))

  it.effect("of a session in two cookies sets both", () =>
    Effect.gen(function*() {
      yield* at(0)
      const cookie = yield* signIn("ada", 4_000)
      yield* at(day)
      const reply = yield* read(cookie)
      assert.deepStrictEqual(names(reply), ["__Host-session", "__Host-session.1"])
      assert.deepStrictEqual((yield* read(cookieOf(reply))).exit, ada)
    }).pipe(Effect.provide(live())))

  it.effect("fits whenever the session fitted once, at every size", () =>
    Effect.gen(function*() {
      const fits = (size: number) => Effect.map(signIn("ada", size), (cookie) => cookie !== "")
      let [good, tooLarge] = [5_000, 6_500]
      while (tooLarge - good > 1) {
        const middle = Math.floor((good + tooLarge) / 2)
        if (yield* fits(middle)) good = middle
        else tooLarge = middle
      }
      for (const size of [good, good - 1, good - 2, good - 3]) {
        // The shortest times that there are, so that each grows.
        yield* TestClock.setTime(0)
        const cookie = yield* signIn("ada", size)
        yield* TestClock.setTime(2 * 60 * 60 * 1_000)
        const reply = yield* read(cookie)
        assert.deepStrictEqual(names(reply), ["__Host-session", "__Host-session.1"], `${size}`)
        assert.strictEqual((yield* send(Auth.rotate, posting(cookie))).status, 204)
      }
    }).pipe(Effect.provide(live())))
})

it.effect("a session lives as the rule says, whatever the timeouts and whenever it is used", () => {
  const minutes = FastCheck.integer({ min: 1, max: 3_000 })
  return Effect.promise(() =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        minutes,
        minutes,
        FastCheck.array(FastCheck.integer({ min: 0, max: 1_500 }), { maxLength: 15 }),
        (idle, absolute, pauses) => {
          const minute = 60_000
          const every = Math.min(60 * minute, idle * minute / 10)
          return Effect.gen(function*() {
            let now = 0
            yield* at(now)
            let cookie = yield* signIn()
            let seen = 0
            let idleDeadline = idle * minute
            for (const pause of pauses) {
              now += pause * minute
              yield* at(now)
              const reply = yield* read(cookie)
              const isAlive = now < idleDeadline && now < absolute * minute
              assert.strictEqual(reply.status, isAlive ? 204 : 401)
              const isDue = isAlive && now - seen >= every
              assert.deepStrictEqual(names(reply), isDue ? ["__Host-session"] : isAlive ? [] : ["-__Host-session"])
              if (!isAlive) return
              if (isDue) {
                seen = now
                idleDeadline = now + idle * minute
                cookie = cookieOf(reply)
              }
            }
          }).pipe(
            Effect.provide(live({ idleTimeout: idle * minute, absoluteTimeout: absolute * minute })),
            Effect.provide(TestContext.TestContext),
            Effect.runPromise
          )
        }
      ),
      { numRuns: 200 }
    )
  )
})

// -----------------------------------------------------------------------------
// Versions of the schema
// -----------------------------------------------------------------------------

describe("after a deployment", () => {
  const tagOf = (
    session: Schema.Schema<any, any>,
    versions?: SessionVersions.SessionVersions<any>,
    subject: (session: any) => string = ({ userId }) => userId
  ): any => {
    class Versioned extends SessionAuth.Tag<Versioned>()("test/Auth", {
      user: CurrentUser,
      session: session as Schema.Schema<{ readonly userId: string }, any>,
      subject,
      ...(versions === undefined ? {} : { versions })
    }) {}
    return Versioned
  }
  const One = Schema.Struct({ userId: Schema.String })
  const Two = Schema.Struct({ userId: Schema.String, role: Schema.String })

  const begin = (tag: any, session: unknown) =>
    Effect.map(send(tag.login(session) as Effect.Effect<void>, posting()), cookieOf).pipe(Effect.provide(liveOf(tag)))
  const readAs = (tag: any, cookie: string, method = "GET") =>
    send(tag.session as Effect.Effect<unknown>, withCookie(cookie, { method })).pipe(Effect.provide(liveOf(tag)))

  it.effect("a session that no longer decodes is over, and goes from its client", () =>
    Effect.gen(function*() {
      const cookie = yield* begin(tagOf(One), { userId: "ada" })
      assert.deepStrictEqual(refusal(yield* readAs(tagOf(Two), cookie)), over)
    }))

  it.effect("a session of a newer version is not ours: nothing is cleared", () =>
    Effect.gen(function*() {
      const cookie = yield* begin(
        tagOf(Two, { current: 2, migrate: () => Option.none() }),
        { userId: "ada", role: "admin" }
      )
      assert.deepStrictEqual(refusal(yield* readAs(tagOf(One), cookie)), refused)
    }))

  it.effect("a session of an older version is what versions makes of it, and stays until something else is written", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const tag = tagOf(Two, {
        current: 3,
        migrate: (data, version) => {
          seen.push(data, version)
          return Option.some({ ...(data as { readonly userId: string }), role: "guest" })
        }
      })
      const cookie = yield* begin(tagOf(One), { userId: "ada" })
      const reply = yield* readAs(tag, cookie)
      assert.deepStrictEqual(reply.exit, Exit.succeed({ userId: "ada", role: "guest" }))
      assert.deepStrictEqual([reply.setCookie, seen], [[], [{ userId: "ada" }, 1]])
      const updated = yield* send(
        tag.update((session: object) => session) as Effect.Effect<void>,
        posting(cookie)
      ).pipe(Effect.provide(liveOf(tag)))
      assert.deepStrictEqual(names(updated), ["__Host-session"])
      seen.length = 0
      assert.deepStrictEqual(
        (yield* readAs(tag, cookieOf(updated))).exit,
        Exit.succeed({ userId: "ada", role: "guest" })
      )
      assert.deepStrictEqual(seen, [])
    }))

  it.effect("a session that versions gives up, or makes somebody else's, is over", () =>
    Effect.gen(function*() {
      const cookie = yield* begin(tagOf(One), { userId: "ada" })
      for (const migrated of [Option.none(), Option.some({ userId: "eve", role: "admin" })]) {
        const tag = tagOf(Two, { current: 2, migrate: () => migrated })
        assert.deepStrictEqual(refusal(yield* readAs(tag, cookie)), over)
      }
    }))

  it.effect("a session whose subject is another one by now is over", () =>
    Effect.gen(function*() {
      const cookie = yield* begin(tagOf(One), { userId: "ada" })
      const tag = tagOf(One, undefined, ({ userId }) => `user-${userId}`)
      assert.deepStrictEqual(refusal(yield* readAs(tag, cookie)), over)
    }))
})
