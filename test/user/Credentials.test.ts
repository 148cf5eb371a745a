import { HttpServerRespondable, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import { DateTime, Deferred, Effect, FastCheck, Fiber, Layer, Option, Redacted, Ref, TestClock } from "effect"
import { SecurityUnavailable } from "effect-security/SecurityError"
import * as Credentials from "effect-security/user/Credentials"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import { Calls, fast, layerSpy, newPassword, user, Users } from "./fixtures.js"
import type { User } from "./fixtures.js"

const ada = user("1", "ada@example.com")
const password = "correct horse battery staple"
const live = Layer.merge(Users.layerMemory, layerSpy)

const register = (user: User, text = password) => Credentials.register(Users, { user, password: newPassword(text) })

const verify = (login: string, text: string) => Credentials.verify(Users, { login, password: Password.make(text) })

/** What the hasher was asked since the last time. */
const calls = Effect.flatMap(Calls, Ref.getAndSet<ReadonlyArray<string>>([]))

const rendered = (error: unknown) =>
  Effect.flatMap(HttpServerRespondable.toResponse(error as HttpServerRespondable.Respondable), (response) => {
    const web = HttpServerResponse.toWeb(response)
    return Effect.map(
      Effect.promise(() => web.text()),
      (body) => JSON.stringify({ status: web.status, headers: [...web.headers], body })
    )
  })

describe("registering", () => {
  it.effect("keeps the user with the hash of the password, and gives the user", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* register(ada), ada)
      assert.deepStrictEqual(yield* calls, ["hash"])
      const { passwordHash, user } = Option.getOrThrow(yield* Users.findByLogin("ada@example.com"))
      assert.strictEqual(user, ada)
      const hash = yield* Effect.flatMap(PasswordHasher.PasswordHasher, (_) => _.hash(Password.make(password)))
      assertSome(passwordHash, hash)
      assert.notInclude(JSON.stringify(user), hash)
    }).pipe(Effect.provide(live)))

  it.effect("fails when the login is taken, in whatever case, and leaves its account alone", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const error = yield* Effect.flip(register(user("2", "ADA@example.com"), "another password"))
      assert.strictEqual(error._tag, "LoginTaken")
      assert.strictEqual((yield* verify("ada@example.com", password)).user, ada)
      assertNone(yield* Users.findById("2"))
    }).pipe(Effect.provide(live)))

  it.effect("refuses a login that NFKC would change, or that is not well-formed, before it hashes anything", () =>
    Effect.gen(function*() {
      for (const login of ["ﬁ@example.com", "zoe\u0308@example.com", "\ud800@example.com"]) {
        const error = yield* Effect.flip(register(user("1", login)))
        assert.strictEqual(error._tag, "InvalidLogin")
      }
      assert.deepStrictEqual(yield* calls, [])
      assertNone(yield* Users.findById("1"))
    }).pipe(Effect.provide(live)))

  it.effect("keeps one user when many register one login at the same time", () =>
    Effect.gen(function*() {
      const registered = yield* Effect.all(
        Array.from({ length: 20 }, (_, index) => Effect.option(register(user(String(index), "ada@example.com")))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(registered.flatMap(Option.toArray), 1)
    }).pipe(Effect.provide(live)))

  it.effect("keeps nothing when the caller goes away during the hash", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const hasher = PasswordHasher.layer({
        algorithm: {
          ...fast,
          hash: (_) =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.zipRight(Deferred.await(end)),
              Effect.zipRight(fast.hash(_))
            )
        }
      })
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(register(ada))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.succeed(end, undefined)
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        assertNone(yield* Users.findById("1"))
      }).pipe(Effect.provide(Layer.merge(Users.layerMemory, hasher)))
    }))
})

describe("verifying", () => {
  it.effect("gives the user of the right password, and the time from before the look-up", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      yield* register(ada)
      yield* calls
      const slow = Users.layer(Effect.map(Users, (users) => ({
        ...users,
        findByLogin: (login: string) => Effect.zipRight(TestClock.setTime(2_000), users.findByLogin(login))
      })))
      const { user, verifiedAt } = yield* Effect.provide(verify("Ada@Example.com", password), slow)
      assert.strictEqual(user, ada)
      assert.strictEqual(DateTime.toEpochMillis(verifiedAt), 1_000)
      assert.deepStrictEqual(yield* calls, ["verify"])
    }).pipe(Effect.provide(live)))

  it.effect("takes a password in each way to type it", () =>
    Effect.gen(function*() {
      yield* register(ada, "cafe\u0301 au lait")
      assert.strictEqual((yield* verify("ada@example.com", "caf\u00e9 au lait")).user, ada)
    }).pipe(Effect.provide(live)))

  it.effect("answers a wrong password, an unknown login and all others alike, after the same work", () =>
    Effect.gen(function*() {
      yield* register(ada)
      yield* Users.insert(user("2", "bob@example.com"), Option.none())
      yield* calls
      const long = "a".repeat(4097)
      const attempts: ReadonlyArray<readonly [string, string, string]> = [
        ["a wrong password", "ada@example.com", "wrong password"],
        ["an empty one", "ada@example.com", ""],
        ["an overlong one", "ada@example.com", long],
        ["an overlong one of few characters", "ada@example.com", "😀".repeat(1025)],
        ["one that is not well-formed", "ada@example.com", `${password}\ud800`],
        ["an unknown login", "eve@example.com", password],
        ["an unknown login and an overlong password", "eve@example.com", long],
        ["a login that is not well-formed", "\ud800", password],
        ["no login", "", password],
        ["a user without a password", "bob@example.com", password],
        ["a user without a password and an empty one", "bob@example.com", ""],
        ["a user without a password and an overlong one", "bob@example.com", long]
      ]
      const answers = new Set<string>()
      for (const [what, login, text] of attempts) {
        const error = yield* Effect.flip(verify(login, text))
        assert.strictEqual(error._tag, "NotAuthorized", what)
        assert.strictEqual(error._tag === "NotAuthorized" && error.reason, "WrongPassword", what)
        assert.deepStrictEqual(yield* calls, ["verify"], what)
        answers.add(yield* rendered(error))
      }
      assert.strictEqual(answers.size, 1)
      assert.include([...answers][0], `"status":401`)
    }).pipe(Effect.provide(live)))

  it.effect("never lets the password of the decoy in", () =>
    Effect.gen(function*() {
      const every = PasswordHasher.layer({ algorithm: { ...fast, verify: () => Effect.succeed(true) } })
      yield* Users.insert(ada, Option.none())
      for (const login of ["ada@example.com", "eve@example.com"]) {
        const error = yield* Effect.flip(verify(login, password).pipe(Effect.provide(every)))
        assert.strictEqual(error._tag, "NotAuthorized")
      }
      yield* Users.insert(user("2", "bob@example.com"), Option.some(fast.decoy))
      assert.strictEqual((yield* verify("bob@example.com", password).pipe(Effect.provide(every))).user.id, "2")
      const error = yield* Effect.flip(verify("bob@example.com", "a".repeat(4097)).pipe(Effect.provide(every)))
      assert.strictEqual(error._tag, "NotAuthorized")
    }).pipe(Effect.provide(live)))

  it.effect("takes a password of 4,096 bytes and hands no longer one to the hasher", () =>
    Effect.gen(function*() {
      const longest = "a".repeat(4096)
      const lengths: Array<number> = []
      const measuring = PasswordHasher.layer({
        algorithm: {
          ...fast,
          verify: (password, hash) =>
            Effect.suspend(() => {
              lengths.push(Redacted.value(password).length)
              return fast.verify(password, hash)
            })
        }
      })
      yield* Users.insert(ada, Option.some(yield* fast.hash(Redacted.make(longest))))
      assert.strictEqual((yield* verify("ada@example.com", longest).pipe(Effect.provide(measuring))).user, ada)
      for (const text of [`${longest}a`, "a".repeat(1_000_000), "😀".repeat(1025)]) {
        const error = yield* Effect.flip(verify("ada@example.com", text).pipe(Effect.provide(measuring)))
        assert.strictEqual(error._tag, "NotAuthorized")
      }
      assert.deepStrictEqual(lengths, [4096, 0, 0, 0])
    }).pipe(Effect.provide(live)))

  it.effect("says that it cannot tell, and not that the password is wrong, when the repository is down", () =>
    Effect.gen(function*() {
      const down = Users.layer(Effect.map(Users, (users) => ({
        ...users,
        findByLogin: () => Effect.fail(new SecurityUnavailable({ reason: "down" }))
      })))
      const error = yield* Effect.flip(verify("ada@example.com", password).pipe(Effect.provide(down)))
      assert.strictEqual(error._tag, "SecurityUnavailable")
    }).pipe(Effect.provide(live)))

  it.effect("says the same when too many passwords wait", () =>
    Effect.gen(function*() {
      const busy = PasswordHasher.layer({
        algorithm: { ...fast, verify: () => Effect.never },
        concurrency: 1,
        maxQueue: 0
      })
      yield* Effect.gen(function*() {
        yield* Effect.fork(verify("eve@example.com", password))
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        const error = yield* Effect.flip(verify("ada@example.com", password))
        assert.strictEqual(error._tag, "SecurityUnavailable")
      }).pipe(Effect.provide(busy))
    }).pipe(Effect.provide(live)))

  it.effect.prop(
    "lets in with exactly the registered password",
    [FastCheck.string({ unit: "binary", minLength: 8, maxLength: 20 }), FastCheck.string({ unit: "binary" })],
    ([right, wrong]) =>
      Effect.gen(function*() {
        FastCheck.pre(Password.isNewPassword(Password.make(right)))
        FastCheck.pre(right.normalize("NFKC") !== wrong.normalize("NFKC"))
        yield* register(ada, right)
        assert.strictEqual((yield* verify("ada@example.com", right)).user, ada)
        assert.strictEqual((yield* Effect.flip(verify("ada@example.com", wrong)))._tag, "NotAuthorized")
      }).pipe(Effect.provide(live))
  )
})
