// Several fibers of one request, which see and write the same cookies.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Layer, Option, TestClock } from "effect"
import * as SecurityConfig from "effect-security/SecurityConfig"
import { Auth, CurrentUser, send } from "../fixtures.js"
import { cart, cookieOf, epochsWith, live, names, parse, posting, revocable, signIn, withCookie } from "./fixtures.js"
import type { Live, Options } from "./fixtures.js"

const day = 24 * 60 * 60 * 1_000

const add = (item: string) => Auth.update((session) => ({ ...session, cart: [...session.cart ?? [], item] }))
const sessionOf = (cookie: string) =>
  Effect.map(send(Auth.session, withCookie(cookie)), ({ exit }) => Exit.getOrElse(exit, () => undefined))

/** How many steps a fiber goes on before it lets every other one: fewer than one write takes. */
const paces: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
  ["at once", [2_048]],
  ["step by step", [25, 28, 31, 38, 50, 70]]
]

/** Epochs that answer only after others had their turn. */
const slowEpochs = epochsWith((epochs) => ({
  current: (realm, subject) => Effect.zipRight(Effect.yieldNow(), epochs.current(realm, subject)),
  advance: (realm, subject, until) => Effect.zipRight(Effect.yieldNow(), epochs.advance(realm, subject, until))
}))

const layers: Readonly<Record<string, (options?: Options) => Layer.Layer<Live>>> = {
  "without epochs": live,
  "over epochs that take their time": (options) => revocable(options, slowEpochs) as Layer.Layer<any>
}

for (const [title, layer] of Object.entries(layers)) {
  describe(`fibers of one request, ${title}`, () => {
    for (const [pace, steps] of paces) {
      it.effect(`that update ${pace} lose nothing`, () =>
        Effect.gen(function*() {
          const items = Array.from({ length: 60 }, (_, index) => `item ${index}`)
          for (const step of steps) {
            const reply = yield* send(
              Effect.withMaxOpsBeforeYield(step)(
                Effect.forEach(items, add, { concurrency: "unbounded", discard: true }) as Effect.Effect<any, any, any>
              ),
              posting(yield* signIn())
            )
            assert.strictEqual(reply.status, 204)
            const session = yield* sessionOf(cookieOf(reply))
            assert.sameMembers([...session!.cart!], items)
          }
        }).pipe(Effect.provide(layer())) as Effect.Effect<void>)

      it.effect(`that grow and shrink a session ${pace} leave one of them whole`, () =>
        Effect.gen(function*() {
          for (let round = 0; round < 4 * steps.length; round++) {
            const paced = Effect.withMaxOpsBeforeYield(steps[round % steps.length]!)
            const sizes = [1, 4_000, 2_000, 5_000, 10, 4_500]
            const writes = sizes.map((size, index) =>
              index % 3 === round % 3
                ? Auth.login({ userId: "ada", cart: cart(size) })
                : Auth.update((session) => ({ ...session, cart: cart(size) }))
            )
            const reply = yield* send(
              paced(Effect.all(writes as ReadonlyArray<Effect.Effect<any, any, any>>, { concurrency: "unbounded" })),
              posting(yield* signIn("ada", 3_000))
            )
            assert.strictEqual(reply.status, 204)
            const session = yield* sessionOf(cookieOf(reply))
            assert.include(sizes, session!.cart![0]!.length)
          }
        }).pipe(Effect.provide(layer())) as Effect.Effect<void>)

      it.effect(`that sign in and out ${pace} leave a whole session or none`, () =>
        Effect.gen(function*() {
          for (let round = 0; round < 4 * steps.length; round++) {
            const paced = Effect.withMaxOpsBeforeYield(steps[round % steps.length]!)
            const writes = [
              Auth.login({ userId: "ada", cart: cart(4_000) }),
              Auth.logout,
              Auth.login({ userId: "bob", cart: cart(1) }),
              Auth.userOption
            ]
            const reply = yield* send(
              paced(
                Effect.all([...writes.slice(round % 4), ...writes.slice(0, round % 4)] as any, {
                  concurrency: "unbounded"
                }) as Effect.Effect<any, any, any>
              ),
              posting(yield* signIn("eve", 3_000))
            )
            assert.strictEqual(reply.status, 204)
            const cookie = cookieOf(reply)
            if (cookie !== "") {
              const session = yield* sessionOf(cookie)
              assert.include(["ada 4000", "bob 1"], `${session?.userId} ${session?.cart?.[0]?.length}`)
              // What does not belong to it is taken back.
              assert.strictEqual(names(reply).length, 2)
            }
          }
        }).pipe(Effect.provide(layer())) as Effect.Effect<void>)
    }

    it.effect("login beside update: the update is of one of the two sessions, and never of neither", () =>
      Effect.gen(function*() {
        for (const order of [0, 1]) {
          const [login, update] = [Auth.login({ userId: "bob" }), add("tea")]
          const reply = yield* send(
            Effect.all(order === 0 ? [login, update] : [update, login], { concurrency: "unbounded" }) as Effect.Effect<
              any,
              any,
              any
            >,
            posting(yield* signIn("ada"))
          )
          assert.strictEqual(reply.status, 204)
          const session = yield* sessionOf(cookieOf(reply))
          assert.strictEqual(session!.userId, "bob")
        }
      }).pipe(Effect.provide(layer())) as Effect.Effect<void>)

    it.effect("a renewal never brings back what another fiber has ended, nor what it has replaced", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(0)
        const cookie = yield* signIn("ada")
        yield* TestClock.setTime(day)
        for (const [end, expected] of [[Auth.logout, ""], [Auth.login({ userId: "bob" }), "bob"]] as const) {
          const found = yield* Deferred.make<void>()
          const ended = yield* Deferred.make<void>()
          const waiting = layer({
            retrieveUser: ({ userId }: any) =>
              Effect.as(
                Effect.zipRight(Deferred.succeed(found, undefined), Deferred.await(ended)),
                Option.some({ id: userId })
              )
          })
          const reply = yield* Effect.provide(
            send(
              Effect.all([
                Auth.user,
                Effect.zipRight(
                  Deferred.await(found),
                  Effect.zipRight(end as Effect.Effect<void, any, any>, Deferred.succeed(ended, undefined))
                )
              ], { concurrency: "unbounded" }) as Effect.Effect<any, any, any>,
              posting(cookie)
            ),
            waiting
          )
          assert.strictEqual(reply.status, 204)
          assert.deepStrictEqual(names(reply), expected === "" ? ["-__Host-session"] : ["__Host-session"])
          if (expected !== "") {
            assert.strictEqual((yield* sessionOf(cookieOf(reply)))!.userId, expected)
          }
        }
      }).pipe(Effect.provide(layer())) as Effect.Effect<void>)

    it.effect("a renewal that comes after the response has left is no failure of the one who asked", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(0)
        const cookie = yield* signIn("ada")
        yield* TestClock.setTime(day)
        const found = yield* Deferred.make<void>()
        const left = yield* Deferred.make<void>()
        const seen = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
        const waiting = layer({
          retrieveUser: ({ userId }: any) =>
            Effect.as(
              Effect.zipRight(Deferred.succeed(found, undefined), Deferred.await(left)),
              Option.some({ id: userId })
            )
        })
        const reply = yield* Effect.provide(
          send(
            Effect.zipRight(
              Effect.forkDaemon(Effect.flatMap(Effect.exit(Auth.user), (exit) => Deferred.succeed(seen, exit))),
              Deferred.await(found)
            ) as Effect.Effect<any, any, any>,
            withCookie(cookie)
          ),
          waiting
        )
        assert.deepStrictEqual(reply.setCookie, [])
        yield* Deferred.succeed(left, undefined)
        assert.deepStrictEqual(yield* Deferred.await(seen), Exit.succeed({ id: "ada" }))
      }).pipe(Effect.provide(layer())) as Effect.Effect<void>)

    it.effect("a write that comes after the response has left dies, and says so", () =>
      Effect.gen(function*() {
        const left = yield* Deferred.make<void>()
        const seen = yield* Deferred.make<ReadonlyArray<Exit.Exit<unknown, unknown>>>()
        const writes = [Auth.login({ userId: "bob" }), Auth.logout, add("tea"), Auth.rotate]
        const late = Effect.zipRight(
          Deferred.await(left),
          Effect.forEach(writes as ReadonlyArray<Effect.Effect<any, any, any>>, Effect.exit)
        )
        const reply = yield* send(
          Effect.forkDaemon(Effect.flatMap(late, (exits) => Deferred.succeed(seen, exits))) as Effect.Effect<
            any,
            any,
            any
          >,
          posting(yield* signIn())
        )
        assert.deepStrictEqual(reply.setCookie, [])
        yield* Deferred.succeed(left, undefined)
        for (const exit of yield* Deferred.await(seen)) {
          assert.match(Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "", /no cookie can be set any more/)
        }
      }).pipe(Effect.provide(layer())) as Effect.Effect<void>)
  })
}

describe("an update whose epoch is advanced while it waits", () => {
  it.effect("is written and over, like everything else of before", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const reply = yield* send(
        Effect.all([add("tea"), Auth.revokeSubject("ada")], { concurrency: "unbounded" }),
        posting(cookie)
      )
      for (const old of [cookie, cookieOf(reply)].filter((cookie) => cookie !== "")) {
        assert.strictEqual((yield* send(Auth.user, withCookie(old))).status, 401)
      }
    }).pipe(Effect.provide(revocable({}, slowEpochs))))
})

// -----------------------------------------------------------------------------
// Among others
// -----------------------------------------------------------------------------

describe("firstOf", () => {
  class ApiKey extends SecurityConfig.Tag<ApiKey>()("test/ApiKey", {
    scheme: SecurityConfig.apiKey({ in: "header", key: "x-api-key" }),
    user: CurrentUser
  }) {}
  class Both extends SecurityConfig.firstOf<Both>()("test/Both", [ApiKey, Auth]) {}
  class Reverse extends SecurityConfig.firstOf<Reverse>()("test/Reverse", [Auth, ApiKey]) {}

  const keys = ApiKey.layer({ authenticate: () => Effect.succeedSome({ id: "robot" }) })
  const Live = Layer.mergeAll(Both.layer(), Reverse.layer()).pipe(
    Layer.provideMerge(Layer.merge(keys, live())) as any
  ) as Layer.Layer<any>
  const who = (tag: any) =>
    tag.protect(Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id))) as Effect.Effect<
      HttpServerResponse.HttpServerResponse
    >

  it.effect("lets a sealed session decide where there is one, good or bad, and goes on where there is none", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn("ada", 4_000)
      const key = { "x-api-key": "k" }
      const rest = `__Host-session.1=${parse(cookie)["__Host-session.1"]}`
      const cases: ReadonlyArray<readonly [string | undefined, Record<string, string>, unknown, unknown]> = [
        [cookie, {}, "ada", "ada"],
        [cookie, key, "robot", "ada"],
        [undefined, key, "robot", "robot"],
        ["__Host-session=1.AAAA", key, "robot", 401],
        ["__Host-session=1.AAAA", {}, 401, 401],
        [`__Host-session=${parse(cookie)["__Host-session"]}`, key, "robot", 401],
        // A second cookie alone is no session.
        [rest, key, "robot", "robot"],
        [rest, {}, 401, 401]
      ]
      for (const [cookie, headers, both, reverse] of cases) {
        for (const [tag, expected] of [[Both, both], [Reverse, reverse]] as const) {
          const reply = yield* send(who(tag), withCookie(cookie, { headers }))
          assert.deepStrictEqual(
            [reply.status === 200 ? reply.body : reply.status, reply.setCookie],
            [expected, []]
          )
        }
      }
    }).pipe(Effect.provide(Live)))

  it.effect("does not hand a request whose session is over to the next member, also after it was cleared", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(0)
      const cookie = yield* signIn("ada", 4_000)
      yield* TestClock.setTime(8 * day)
      const twice = Effect.zipRight(Effect.exit(Reverse.user), Reverse.user)
      const reply = yield* send(
        twice as Effect.Effect<unknown>,
        withCookie(cookie, { headers: { "x-api-key": "k" } })
      )
      assert.strictEqual(reply.status, 401)
      assert.deepStrictEqual(names(reply), ["-__Host-session", "-__Host-session.1"])
    }).pipe(Effect.provide(Live)))
})
