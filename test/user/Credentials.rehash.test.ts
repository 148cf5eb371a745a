import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, LogLevel, Option, Redacted, TestClock } from "effect"
import { SecurityUnavailable } from "effect-security/SecurityError"
import * as Credentials from "effect-security/user/Credentials"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"
import { logsTo } from "../session/fixtures.js"
import { fast, newPassword, passwordHash, user, Users } from "./fixtures.js"

const ada = user("1", "ada@example.com")
const bob = user("2", "bob@example.com")
const password = "correct horse battery staple"

/** The algorithm of earlier hashes. */
const old: PasswordHasher.Algorithm = {
  ...fast,
  ids: ["old"],
  hash: (_) => Effect.map(fast.hash(_), (hash) => passwordHash(hash.replace("$fast$", "$old$"))),
  verify: (_, hash) => fast.verify(_, passwordHash(hash.replace("$old$", "$fast$"))),
  decoy: passwordHash("$old$salt$decoy")
}

/** New hashes are those of `fast`, or of what is made of it; those of `old` are out of date. */
const hasher = (changes: Partial<PasswordHasher.Algorithm> = {}, options: PasswordHasher.QueueOptions = {}) =>
  PasswordHasher.layer({ algorithm: { ...fast, ...changes }, legacy: [old], ...options })

const live = Layer.merge(Users.layerMemory, hasher())

const insertOld = (user: Parameters<typeof Users.insert>[0], text = password) =>
  Effect.flatMap(old.hash(Redacted.make(text)), (hash) => Users.insert(user, Option.some(hash)))

const storedHash = (login: string) =>
  Effect.map(Users.findByLogin(login), (account) => Option.getOrThrow(Option.getOrThrow(account).passwordHash))

const verify = (login: string, text = password) => Credentials.verify(Users, { login, password: Password.make(text) })

const settled = Effect.repeatN(Effect.yieldNow(), 200)

/** Lets `hash` begin, says that it has, and ends it when it may. */
const makeGate = Effect.gen(function*() {
  const begun = yield* Deferred.make<void>()
  const mayEnd = yield* Deferred.make<void>()
  let entered = 0
  const through = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      entered++
      return Deferred.succeed(begun, undefined).pipe(Effect.zipRight(Deferred.await(mayEnd)), Effect.zipRight(self))
    })
  return { begun: Deferred.await(begun), open: Deferred.succeed(mayEnd, undefined), through, entered: () => entered }
})

const changed = (changes: (users: Users["Type"]) => Partial<Users["Type"]>) =>
  Users.layer(Effect.map(Users, (users) => ({ ...users, ...changes(users) })))

describe("signing in with a hash that is out of date", () => {
  it.effect("replaces it by one in the parameters in force, which still opens the account", () =>
    Effect.gen(function*() {
      yield* insertOld(ada)
      assert.strictEqual((yield* verify("ada@example.com")).user, ada)
      yield* settled
      assert.match(yield* storedHash("ada@example.com"), /^\$fast\$/)
      assert.strictEqual((yield* verify("ada@example.com")).user, ada)
      const error = yield* Effect.flip(verify("ada@example.com", "wrong password"))
      assert.strictEqual(error._tag, "NotAuthorized")
    }).pipe(Effect.provide(live)))

  it.live("does so for scrypt whose cost was raised", () =>
    Effect.gen(function*() {
      const cheap = yield* PasswordHasher.make({ algorithm: PasswordHasherScrypt.algorithm({ logN: 1 }) })
      yield* Users.insert(ada, Option.some(yield* cheap.hash(Password.make(password))))
      const isSet = yield* Deferred.make<void>()
      const telling = changed((users) => ({
        setPasswordHash: (...args) =>
          Effect.ensuring(users.setPasswordHash(...args), Deferred.succeed(isSet, undefined))
      }))
      yield* Effect.provide(verify("ada@example.com"), telling)
      yield* Deferred.await(isSet)
      const hasher = yield* PasswordHasher.PasswordHasher
      assert.isFalse(hasher.needsRehash(yield* storedHash("ada@example.com")))
      assert.strictEqual((yield* verify("ada@example.com")).user, ada)
    }).pipe(Effect.provide(
      Layer.merge(
        Users.layerMemory,
        PasswordHasher.layer({ algorithm: PasswordHasherScrypt.algorithm({ logN: 2 }) })
      )
    )))

  it.effect("takes a password that could not be set any more", () =>
    Effect.gen(function*() {
      yield* insertOld(ada, "short")
      yield* verify("ada@example.com", "short")
      yield* settled
      assert.match(yield* storedHash("ada@example.com"), /^\$fast\$/)
    }).pipe(Effect.provide(live)))

  it.effect("hashes nothing when the hash is up to date, nor when the password is wrong", () =>
    Effect.gen(function*() {
      const gate = yield* makeGate
      const counting = hasher({ hash: (_) => gate.through(fast.hash(_)) })
      yield* gate.open
      yield* Users.insert(bob, Option.some(yield* fast.hash(Redacted.make(password))))
      yield* insertOld(ada)
      yield* Effect.gen(function*() {
        yield* verify("bob@example.com")
        for (
          const [login, text] of [
            ["ada@example.com", "wrong password"],
            ["ada@example.com", `${password}\ud800`],
            ["ada@example.com", "a".repeat(4097)],
            ["eve@example.com", password]
          ] as const
        ) {
          yield* Effect.flip(verify(login, text))
        }
        yield* settled
      }).pipe(Effect.provide(counting))
      assert.strictEqual(gate.entered(), 0)
      assert.match(yield* storedHash("ada@example.com"), /^\$old\$/)
    }).pipe(Effect.provide(live)))
})

describe("renewing a hash", () => {
  it.effect("keeps nobody waiting, and goes on when the request is aborted", () =>
    Effect.gen(function*() {
      yield* insertOld(ada)
      const gate = yield* makeGate
      const held = hasher({ hash: (_) => gate.through(fast.hash(_)) })
      yield* Effect.gen(function*() {
        const request = yield* Effect.fork(
          Effect.zipRight(verify("ada@example.com"), Effect.zipRight(gate.begun, Effect.never))
        )
        yield* gate.begun
        yield* Fiber.interrupt(request)
        assert.match(yield* storedHash("ada@example.com"), /^\$old\$/)
        yield* gate.open
        yield* settled
        assert.match(yield* storedHash("ada@example.com"), /^\$fast\$/)
      }).pipe(Effect.provide(held))
    }).pipe(Effect.provide(live)))

  it.effect("goes on where its surroundings are uninterruptible", () =>
    Effect.gen(function*() {
      yield* insertOld(ada)
      const stuck = hasher({ hash: () => Effect.uninterruptible(Effect.never) })
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* Effect.uninterruptible(verify("ada@example.com"))).user, ada)
        yield* settled
        yield* TestClock.adjust("10 seconds")
        yield* settled
      }).pipe(Effect.provide(stuck))
      yield* verify("ada@example.com")
      yield* settled
      assert.match(yield* storedHash("ada@example.com"), /^\$fast\$/)
    }).pipe(Effect.provide(live)))

  it.effect("happens once at a time, so that those who sign in at once keep their places in the queue", () =>
    Effect.gen(function*() {
      const gate = yield* makeGate
      // Two places: one is held by the renewal, so that a second one would leave none to sign in with.
      const held = hasher({ hash: (_) => gate.through(fast.hash(_)) }, { concurrency: 2, maxQueue: 0 })
      yield* insertOld(ada)
      yield* insertOld(bob)
      yield* Effect.gen(function*() {
        yield* verify("ada@example.com")
        yield* gate.begun
        for (let i = 0; i < 5; i++) {
          yield* verify("ada@example.com")
          yield* verify("bob@example.com")
          yield* settled
        }
        assert.strictEqual(gate.entered(), 1)
        yield* gate.open
        yield* settled
        assert.match(yield* storedHash("ada@example.com"), /^\$fast\$/)
        assert.match(yield* storedHash("bob@example.com"), /^\$old\$/)
        yield* verify("bob@example.com")
        yield* settled
        assert.match(yield* storedHash("bob@example.com"), /^\$fast\$/)
      }).pipe(Effect.provide(held))
    }).pipe(Effect.provide(live)))

  it.effect("begins once for several who sign in in one moment", () =>
    Effect.gen(function*() {
      const gate = yield* makeGate
      const held = hasher({ hash: (_) => gate.through(fast.hash(_)) })
      yield* insertOld(ada)
      yield* Effect.gen(function*() {
        yield* Effect.all(Array.from({ length: 20 }, () => verify("ada@example.com")), { concurrency: "unbounded" })
        yield* settled
        assert.strictEqual(gate.entered(), 1)
        yield* gate.open
      }).pipe(Effect.provide(held))
    }).pipe(Effect.provide(live)))

  it.effect("never brings back a password that was changed meanwhile", () =>
    Effect.gen(function*() {
      const gate = yield* makeGate
      let isFirst = true
      const held = hasher({
        hash: (_) =>
          Effect.suspend(() => {
            const hashed = fast.hash(_)
            const held = isFirst ? gate.through(hashed) : hashed
            isFirst = false
            return held
          })
      })
      yield* insertOld(ada)
      yield* Effect.gen(function*() {
        yield* verify("ada@example.com")
        yield* gate.begun
        yield* Credentials.changePassword(Users, {
          user: ada,
          current: Password.make(password),
          next: newPassword("another password"),
          revoke: "keep"
        })
        yield* gate.open
        yield* settled
        assert.strictEqual((yield* verify("ada@example.com", "another password")).user, ada)
        assert.strictEqual((yield* Effect.flip(verify("ada@example.com")))._tag, "NotAuthorized")
      }).pipe(Effect.provide(held))
    }).pipe(Effect.provide(live)))
})

describe("a hash that cannot be renewed", () => {
  const secret = `Failing row contains (1, $old$salt$c2VjcmV0, Ada)`
  const down = new SecurityUnavailable({ reason: "down", cause: new Error(secret, { cause: { detail: secret } }) })
  const repositories: Record<string, Effect.Effect<boolean, any>> = {
    "the repository is down": Effect.fail(down),
    "the repository fails in its own way": Effect.fail({ _tag: "SqlError", row: secret }),
    "the repository dies": Effect.die(new Error(secret)),
    "the repository is interrupted": Effect.interrupt,
    "the repository never answers": Effect.never,
    "the repository never answers and cannot be interrupted": Effect.uninterruptible(Effect.never),
    "somebody else has renewed it": Effect.succeed(false)
  }
  const hashers: Record<string, Partial<PasswordHasher.Service>> = {
    "the hasher fails": { hash: () => Effect.fail(new SecurityUnavailable({ reason: "too many" })) },
    "the hasher dies": { hash: () => Effect.die(new Error(secret)) },
    "the hasher throws": {
      hash: () => {
        throw new Error("no")
      }
    },
    "the hasher is interrupted": { hash: () => Effect.interrupt },
    "the hasher never answers": { hash: () => Effect.never },
    "the hasher cannot say whether it is out of date": {
      needsRehash: () => {
        throw new Error("no")
      }
    }
  }
  const cases = [
    ...Object.entries(repositories).map(([name, set]) => ({
      name,
      users: { setPasswordHash: () => set },
      changes: {} as Partial<PasswordHasher.Service>
    })),
    ...Object.entries(hashers).map(([name, changes]) => ({ name, users: {}, changes }))
  ]

  it.effect.each(cases)(
    "fails no sign-in, and is renewed by the next: $name",
    ({ changes, users }) =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        yield* insertOld(ada)
        const service = yield* PasswordHasher.PasswordHasher
        // One service all the time, as a server has it: a renewal that never ended would stand in the way of the next.
        const flaky = { ...service, ...changes }
        yield* Effect.gen(function*() {
          assert.strictEqual((yield* verify("ada@example.com")).user, ada)
          yield* settled
          yield* TestClock.adjust("10 seconds")
          yield* settled
        }).pipe(
          Effect.provide(Layer.mergeAll(changed(() => users), logsTo(lines))),
          Effect.provideService(PasswordHasher.PasswordHasher, flaky),
          Logger.withMinimumLogLevel(LogLevel.All)
        )
        assert.match(yield* storedHash("ada@example.com"), /^\$old\$/)
        assert.include(lines.join("\n"), "a password hash was not renewed")
        for (const line of lines) {
          assert.notInclude(line, password)
          assert.notInclude(line, "$old$")
          assert.notInclude(line, "$fast$")
        }
        Object.assign(flaky, service)
        yield* Effect.provideService(verify("ada@example.com"), PasswordHasher.PasswordHasher, flaky)
        yield* settled
        assert.match(yield* storedHash("ada@example.com"), /^\$fast\$/)
      }).pipe(Effect.provide(live))
  )

  it.effect("fails no sign-in when the queue is full", () =>
    Effect.gen(function*() {
      const gate = yield* makeGate
      const lines: Array<string> = []
      yield* insertOld(ada)
      const real = yield* PasswordHasher.make({
        algorithm: { ...fast, verify: (_, hash) => gate.through(fast.verify(_, hash)) },
        legacy: [old],
        concurrency: 1,
        maxQueue: 0
      })
      // Somebody else takes the only place just before the renewal asks for it.
      const full = {
        ...real,
        hash: (_: Password.Password) =>
          Effect.forkDaemon(real.verify(_, fast.decoy)).pipe(
            Effect.zipRight(gate.begun),
            Effect.zipRight(real.hash(_))
          )
      }
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* verify("ada@example.com")).user, ada)
        yield* settled
      }).pipe(Effect.provideService(PasswordHasher.PasswordHasher, full), Effect.provide(logsTo(lines)))
      assert.match(yield* storedHash("ada@example.com"), /^\$old\$/)
      assert.include(lines.join("\n"), "a password hash was not renewed: too many passwords wait to be hashed")
      yield* gate.open
    }).pipe(Effect.provide(live)))
})
