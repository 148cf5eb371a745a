import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option } from "effect"
import * as ResponseJar from "effect-security/http/ResponseJar"
import { inspect } from "node:util"
import { Auth, live, records, retrieveUser, send, signIn, storeWith } from "./fixtures.js"

const posting = { method: "POST" }
const noContent = HttpServerResponse.empty()
const failing = HttpServerResponse.empty({ status: 500 })

describe("several sign-ins of one request", () => {
  const parallel = Effect.all([Auth.login({ userId: "ada" }), Auth.login({ userId: "ada" })], { concurrency: 2 })

  it.effect("leave one session, that of the cookie, however they interleave", () =>
    Effect.gen(function*() {
      const reply = yield* send(Effect.as(parallel, noContent), posting)
      assert.strictEqual(reply.setCookie.length, 1)
      assert.strictEqual((yield* records("ada")).length, 1)
    }).pipe(Effect.provide(live())))

  it.effect("leave none when the response fails", () =>
    Effect.gen(function*() {
      const reply = yield* send(Effect.as(parallel, failing), posting)
      assert.strictEqual(reply.setCookie.length, 0)
      assert.strictEqual((yield* records("ada")).length, 0)
    }).pipe(Effect.provide(live())))
})

describe("a sign-in that outlives its request", () => {
  it.effect("leaves no session when the response left before the store had answered", () =>
    Effect.gen(function*() {
      const mayCreate = yield* Deferred.make<void>()
      const isCreating = yield* Deferred.make<void>()
      const slow = storeWith((store) => ({
        create: (record) =>
          Deferred.succeed(isCreating, undefined).pipe(
            Effect.zipRight(Deferred.await(mayCreate)),
            Effect.zipRight(store.create(record))
          )
      }))
      yield* Effect.gen(function*() {
        let fiber: Fiber.RuntimeFiber<void, unknown> | undefined
        const reply = yield* send(
          Effect.gen(function*() {
            fiber = yield* Effect.forkDaemon(Auth.login({ userId: "ada" }))
            yield* Deferred.await(isCreating)
            return noContent
          }),
          posting
        )
        assert.strictEqual(reply.status, 204)
        yield* Deferred.succeed(mayCreate, undefined)
        const exit = yield* Fiber.await(fiber!)
        assert.include(String(exit), "ResponseAlreadySent")
        assert.strictEqual((yield* records("ada")).length, 0)
      }).pipe(Effect.provide(live({}, slow)))
    }))

  it.live("leaves no session when the store creates it after everybody has stopped waiting", () =>
    Effect.gen(function*() {
      const mayCreate = yield* Deferred.make<void>()
      const created = yield* Deferred.make<void>()
      const stubborn = storeWith((store) => ({
        create: (record) =>
          Deferred.await(mayCreate).pipe(
            Effect.zipRight(store.create(record)),
            Effect.tap(() => Deferred.succeed(created, undefined)),
            Effect.uninterruptible
          )
      }))
      yield* Effect.gen(function*() {
        const reply = yield* send(Auth.login({ userId: "ada" }), posting)
        assert.strictEqual(reply.status, 503)
        yield* Deferred.succeed(mayCreate, undefined)
        yield* Deferred.await(created)
        yield* Effect.repeat(records("ada"), { until: (sessions) => sessions.length === 0 })
      }).pipe(Effect.provide(live({ timeout: "50 millis" }, stubborn)))
    }))
})

describe("what a request remembers", () => {
  it.effect("is not what a slow reader had asked before somebody changed the session", () =>
    Effect.gen(function*() {
      const mayAnswer = yield* Deferred.make<void>()
      const isAsking = yield* Deferred.make<void>()
      let isFirst = true
      const slowly = live({
        retrieveUser: (session) =>
          Effect.suspend(() => {
            if (!isFirst) {
              return retrieveUser(session)
            }
            isFirst = false
            return Deferred.succeed(isAsking, undefined).pipe(
              Effect.zipRight(Deferred.await(mayAnswer)),
              Effect.zipRight(retrieveUser(session))
            )
          })
      })
      yield* Effect.gen(function*() {
        const token = yield* signIn()
        const reply = yield* send(
          Effect.gen(function*() {
            const reader = yield* Effect.fork(Auth.session)
            yield* Deferred.await(isAsking)
            yield* Auth.update((session) => ({ ...session, cart: ["tea"] }))
            yield* Deferred.succeed(mayAnswer, undefined)
            assert.isUndefined((yield* Fiber.join(reader)).cart)
            return yield* Auth.session
          }),
          { ...posting, token }
        )
        assert.deepStrictEqual(reply.exit._tag === "Success" && reply.exit.value.cart, ["tea"])
      }).pipe(Effect.provide(slowly))
    }))
})

describe("the jar of a request", () => {
  it.effect("prints no token", () =>
    Effect.gen(function*() {
      let printed = ""
      const reply = yield* send(
        Effect.gen(function*() {
          yield* Auth.login({ userId: "ada" })
          const jar = ResponseJar.get(yield* HttpServerRequest.HttpServerRequest)
          printed = inspect(jar, { depth: 10, showHidden: true }) + JSON.stringify([...jar.credentials, ...jar.grants])
          return noContent
        }),
        posting
      )
      const token = /^__Host-session=([^;]+)/.exec(reply.setCookie[0]!)![1]!
      assert.notInclude(printed, token.slice(13))
    }).pipe(Effect.provide(live())))
})

describe("a response that is sent as it is", () => {
  it.effect("does not grant when its own status says that it failed", () =>
    Effect.gen(function*() {
      const raw = HttpServerResponse.raw(new Response("no", { status: 500 }))
      const reply = yield* send(Effect.as(Auth.login({ userId: "ada" }), raw), posting)
      assert.deepStrictEqual([reply.status, reply.setCookie.length], [500, 0])
      assert.strictEqual((yield* records("ada")).length, 0)
    }).pipe(Effect.provide(live())))
})

describe("a session store that fails in its own way", () => {
  const ways = {
    "fails": Effect.fail("secret"),
    "dies": Effect.die("secret"),
    "is interrupted": Effect.interrupt,
    "never answers": Effect.never,
    "never answers and cannot be interrupted": Effect.uninterruptible(Effect.never)
  }
  it.live.each(Object.entries(ways))(
    "that %s is a 503 with Retry-After, and changes no cookie",
    ([, way]) =>
      Effect.gen(function*() {
        const token = yield* signIn()
        for (
          const operation of [Auth.user, Auth.userOption, Auth.logout, Auth.rotate, Auth.sessions, Auth.revokeAll()]
        ) {
          const reply = yield* send(operation as Effect.Effect<unknown, unknown, never>, { ...posting, token }).pipe(
            Effect.provide(broken(way))
          )
          assert.strictEqual(reply.status, 503)
          assert.strictEqual(reply.headers.get("retry-after"), "1")
          assert.strictEqual(reply.headers.get("content-type"), "application/problem+json")
          assert.strictEqual(reply.setCookie.length, 0)
          assert.notInclude(reply.body, "secret")
        }
      }).pipe(Effect.provide(live()))
  )

  const broken = (way: Effect.Effect<never, any>) =>
    Layer.fresh(
      live({ timeout: "50 millis" }, storeWith(() => ({ find: () => way, remove: () => way, rotate: () => way })))
    )
})

describe("looking whether somebody is there", () => {
  it.effect("is none for nobody and an outage for an outage", () =>
    Effect.gen(function*() {
      const nobody = yield* send(Auth.userOption)
      assert.isTrue(nobody.exit._tag === "Success" && Option.isNone(nobody.exit.value))
    }).pipe(Effect.provide(live())))
})
