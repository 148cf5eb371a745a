import { HttpServerRespondable, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, FastCheck, Fiber, FiberRef, Layer, Option, Redacted, Ref, TestClock } from "effect"
import { NotAuthorized, SecurityUnavailable } from "effect-security/SecurityError"
import * as Credentials from "effect-security/user/Credentials"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import { Auth, granted, live as session, logsTo, records, send, signIn } from "../session/fixtures.js"
import { Calls, fast, layerSpy, newPassword, passwordHash, user, Users } from "./fixtures.js"
import type { User } from "./fixtures.js"

const ada = user("ada", "ada@example.com")
const before = "correct horse battery staple"
const after = "another battery staple"
const live = Layer.merge(Users.layerMemory, layerSpy)

const register = (user: User, text = before) => Credentials.register(Users, { user, password: newPassword(text) })

const verify = (login: string, text: string) => Credentials.verify(Users, { login, password: Password.make(text) })

/** Whether the password opens Ada's account. */
const opens = (text: string) =>
  verify("ada@example.com", text).pipe(
    Effect.as(true),
    Effect.catchTag("NotAuthorized", () => Effect.succeed(false))
  )

const change = <E = never, R = never>(
  revoke: Effect.Effect<void, E, R> | "keep",
  { current = before, next = after, of = ada }: { current?: string; next?: string; of?: User } = {}
) =>
  Credentials.changePassword(Users, {
    user: of,
    current: Password.make(current),
    next: newPassword(next),
    revoke
  })

const calls = Effect.flatMap(Calls, Ref.getAndSet<ReadonlyArray<string>>([]))

const settled = Effect.repeatN(Effect.yieldNow(), 200)

/** An effect that counts how often it was run. */
const makeCounter = () => {
  const counter = { runs: 0, run: Effect.sync(() => void counter.runs++) }
  return counter
}

const changed = (changes: (users: Users["Type"]) => Partial<Users["Type"]>) =>
  Users.layer(Effect.map(Users, (users) => ({ ...users, ...changes(users) })))

const makeLatch = Effect.gen(function*() {
  const arrived = yield* Deferred.make<void>()
  const mayGo = yield* Deferred.make<void>()
  return {
    arrived: Deferred.await(arrived),
    open: Deferred.succeed(mayGo, undefined),
    pass: Effect.zipRight(Deferred.succeed(arrived, undefined), Deferred.await(mayGo))
  }
})

const rendered = (error: unknown) =>
  Effect.flatMap(HttpServerRespondable.toResponse(error as HttpServerRespondable.Respondable), (response) => {
    const web = HttpServerResponse.toWeb(response)
    return Effect.map(
      Effect.promise(() => web.text()),
      (body) => JSON.stringify({ status: web.status, headers: [...web.headers], body })
    )
  })

describe("changing the password", () => {
  it.effect("lets in with the new one and no longer with the old one", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const revoke = makeCounter()
      yield* change(revoke.run)
      assert.strictEqual(revoke.runs, 1)
      assert.deepStrictEqual([yield* opens(before), yield* opens(after)], [false, true])
    }).pipe(Effect.provide(live)))

  it.effect("leaves the sessions when it is told so, and takes the current one again", () =>
    Effect.gen(function*() {
      yield* register(ada)
      yield* change("keep", { next: before })
      assert.isTrue(yield* opens(before))
    }).pipe(Effect.provide(live)))

  it.effect("ends the sessions after the hash was replaced, so that the old password opens none behind it", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const opened: Array<boolean> = []
      yield* change(
        Effect.flatMap(Effect.all([opens(before), opens(after)]), (_) => Effect.sync(() => void opened.push(..._)))
          .pipe(Effect.orDie)
      )
      assert.deepStrictEqual(opened, [false, true])
    }).pipe(Effect.provide(live)))

  it.scoped("hands on what `revoke` leaves in its fiber, such as handlers of the response, also when it fails", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const ref = yield* FiberRef.make("none")
      yield* change(FiberRef.set(ref, "first"))
      assert.strictEqual(yield* FiberRef.get(ref), "first")
      const failing = Effect.zipRight(FiberRef.set(ref, "second"), Effect.fail("no sessions" as const))
      yield* Effect.flip(change(failing, { current: after }))
      assert.strictEqual(yield* FiberRef.get(ref), "second")
    }).pipe(Effect.provide(live)))

  it.effect("verifies once and hashes once", () =>
    Effect.gen(function*() {
      yield* register(ada)
      yield* calls
      yield* change("keep")
      assert.deepStrictEqual(yield* calls, ["verify", "hash"])
    }).pipe(Effect.provide(live)))

  it.effect("answers everybody who has not the password alike and after the same work, and ends no session", () =>
    Effect.gen(function*() {
      yield* register(ada)
      yield* register(user("bob", "bob@example.com"))
      yield* Users.insert(user("carl", "carl@example.com"), Option.none())
      yield* calls
      const revoke = makeCounter()
      const attempts: ReadonlyArray<readonly [string, User, string]> = [
        ["a wrong password", ada, "wrong password"],
        ["an empty one", ada, ""],
        ["an overlong one", ada, "a".repeat(4097)],
        ["one that is not well-formed", ada, `${before}\ud800`],
        ["a user who is gone", user("eve", "eve@example.com"), before],
        ["a user whose login was changed", user("ada", "ada@example.org"), before],
        ["a user whose login is another's by now, who has the same password", user("ada", "bob@example.com"), before],
        ["a user without a password", user("carl", "carl@example.com"), before],
        ["a user without a password and an empty one", user("carl", "carl@example.com"), ""]
      ]
      const answers = new Set<string>()
      for (const [what, of, current] of attempts) {
        const error = yield* Effect.flip(change(revoke.run, { of, current }))
        assert.strictEqual(error._tag === "NotAuthorized" && error.reason, "WrongPassword", what)
        assert.deepStrictEqual(yield* calls, ["verify"], what)
        answers.add(yield* rendered(error))
      }
      answers.add(yield* rendered(yield* Effect.flip(verify("eve@example.com", before))))
      assert.strictEqual(answers.size, 1)
      assert.strictEqual(revoke.runs, 0)
      assert.isTrue(yield* opens(before))
      assert.strictEqual((yield* verify("bob@example.com", before)).user.id, "bob")
    }).pipe(Effect.provide(live)))

  it.effect("never lets the decoy's password set one", () =>
    Effect.gen(function*() {
      const every = PasswordHasher.layer({ algorithm: { ...fast, verify: () => Effect.succeed(true) } })
      yield* Users.insert(ada, Option.none())
      const error = yield* Effect.flip(change("keep").pipe(Effect.provide(every)))
      assert.strictEqual(error._tag, "NotAuthorized")
      assert.isFalse(yield* opens(after))
    }).pipe(Effect.provide(live)))

  it.effect("says that it cannot tell, and not that the password is wrong, when nobody can be looked up", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const revoke = makeCounter()
      const down = changed(() => ({ findByLogin: () => Effect.die("down") }))
      const error = yield* Effect.flip(change(revoke.run).pipe(Effect.provide(down)))
      assert.strictEqual(error._tag, "SecurityUnavailable")
      assert.strictEqual(revoke.runs, 0)
    }).pipe(Effect.provide(live)))
})

describe("of several changes at once", () => {
  it.effect("one is faster; the other fails as a wrong password does and ends no session", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const latch = yield* makeLatch
      const revoke = makeCounter()
      const slow = changed((users) => ({
        setPasswordHash: (...args) => Effect.zipRight(latch.pass, users.setPasswordHash(...args))
      }))
      const loser = yield* Effect.fork(change(revoke.run).pipe(Effect.provide(slow), Effect.flip))
      yield* latch.arrived
      yield* change("keep", { next: "the faster password" })
      yield* latch.open
      const error = yield* Fiber.join(loser)
      assert.strictEqual(error._tag === "NotAuthorized" && error.reason, "WrongPassword")
      assert.strictEqual(revoke.runs, 0)
      assert.deepStrictEqual([yield* opens(after), yield* opens("the faster password")], [false, true])
    }).pipe(Effect.provide(live)))

  it.effect.prop(
    "exactly one succeeds, its password is the password, and it alone ends the sessions, however they interleave",
    [FastCheck.array(FastCheck.tuple(FastCheck.nat(20), FastCheck.nat(20)), { minLength: 2, maxLength: 8 })],
    ([pauses]) =>
      Effect.gen(function*() {
        yield* register(ada)
        const revoked: Array<number> = []
        const succeeded = yield* Effect.forEach(pauses, ([beforeFind, beforeSet], index) => {
          const pausing = changed((users) => ({
            findByLogin: (login) =>
              Effect.zipRight(Effect.repeatN(Effect.yieldNow(), beforeFind), users.findByLogin(login)),
            setPasswordHash: (...args) =>
              Effect.zipRight(Effect.repeatN(Effect.yieldNow(), beforeSet), users.setPasswordHash(...args))
          }))
          return change(Effect.sync(() => void revoked.push(index)), { next: `password ${index}` }).pipe(
            Effect.as([index]),
            Effect.catchTag("NotAuthorized", () => Effect.succeed<Array<number>>([])),
            Effect.provide(pausing)
          )
        }, { concurrency: "unbounded" })
        const winners = succeeded.flat()
        assert.lengthOf(winners, 1)
        assert.deepStrictEqual(revoked, winners)
        assert.isTrue(yield* opens(`password ${winners[0]}`))
        assert.isFalse(yield* opens(before))
      }).pipe(Effect.provide(live)),
    { fastCheck: { numRuns: 30 } }
  )

  it.effect("a sign-in that renews the hash of the same password does not stand in the way", () =>
    Effect.gen(function*() {
      const old: PasswordHasher.Algorithm = {
        ...fast,
        ids: ["old"],
        verify: (_, hash) => fast.verify(_, passwordHash(hash.replace("$old$", "$fast$")))
      }
      const stored = yield* fast.hash(Redacted.make(before))
      yield* Users.insert(ada, Option.some(passwordHash(stored.replace("$fast$", "$old$"))))
      const latch = yield* makeLatch
      const revoke = makeCounter()
      const slow = changed((users) => ({
        setPasswordHash: (...args) => Effect.zipRight(latch.pass, users.setPasswordHash(...args))
      }))
      yield* Effect.gen(function*() {
        const changing = yield* Effect.fork(Effect.provide(change(revoke.run), slow))
        yield* latch.arrived
        assert.isTrue(yield* opens(before))
        yield* settled
        const renewed = Option.getOrThrow(yield* Users.findByLogin("ada@example.com")).passwordHash
        assert.strictEqual(Option.getOrThrow(renewed), stored)
        yield* latch.open
        yield* Fiber.join(changing)
        assert.strictEqual(revoke.runs, 1)
        assert.deepStrictEqual([yield* opens(before), yield* opens(after)], [false, true])
      }).pipe(Effect.provide(PasswordHasher.layer({ algorithm: fast, legacy: [old] })))
    }).pipe(Effect.provide(live)))

  it.effect("a repository that takes no hash is an outage in the end, and no wrong password", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const revoke = makeCounter()
      let sets = 0
      const stale = changed(() => ({ setPasswordHash: () => Effect.sync(() => ++sets === 0) }))
      const error = yield* Effect.flip(Effect.provide(change(revoke.run), stale))
      assert.strictEqual(error._tag, "SecurityUnavailable")
      assert.deepStrictEqual([sets, revoke.runs], [3, 0])
    }).pipe(Effect.provide(live)))
})

describe("when the sessions cannot be ended", () => {
  it.effect("that is the failure, and the password is changed", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const exit = yield* Effect.exit(change(Effect.fail("no sessions" as const)))
      assert.deepStrictEqual(exit, Exit.fail("no sessions"))
      assert.deepStrictEqual([yield* opens(before), yield* opens(after)], [false, true])
      const died = yield* Effect.exit(change(Effect.die("broken"), { current: after, next: before }))
      assert.deepStrictEqual(died, Exit.die("broken"))
      assert.isTrue(yield* opens(before))
    }).pipe(Effect.provide(live)))

  it.effect("a failure that has the name of another is not taken for it", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const runs = makeCounter()
      const gone = new NotAuthorized({ reason: "UnknownSession" })
      const error = yield* Effect.flip(change(Effect.zipRight(runs.run, gone)))
      assert.strictEqual(error, gone)
      const down = new SecurityUnavailable({ reason: "the sessions are down" })
      const other = yield* Effect.flip(change(Effect.zipRight(runs.run, down), { current: after, next: before }))
      assert.strictEqual(other, down)
      assert.strictEqual(runs.runs, 2)
    }).pipe(Effect.provide(live)))
})

describe("a request that is aborted", () => {
  it.effect("changes nothing while the passwords are hashed", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const latch = yield* makeLatch
      const revoke = makeCounter()
      const held = PasswordHasher.layer({
        algorithm: { ...fast, hash: (_) => Effect.zipRight(latch.pass, fast.hash(_)) }
      })
      yield* Effect.gen(function*() {
        const request = yield* Effect.fork(change(revoke.run))
        yield* latch.arrived
        yield* Fiber.interrupt(request)
        yield* latch.open
        yield* settled
      }).pipe(Effect.provide(held))
      assert.strictEqual(revoke.runs, 0)
      assert.isTrue(yield* opens(before))
    }).pipe(Effect.provide(live)))

  const abortedAt = (where: "before" | "after") =>
    Effect.gen(function*() {
      yield* register(ada)
      const latch = yield* makeLatch
      const revoke = makeCounter()
      const slow = changed((users) => ({
        setPasswordHash: (...args) =>
          where === "before"
            ? Effect.zipRight(latch.pass, users.setPasswordHash(...args))
            : Effect.zipLeft(users.setPasswordHash(...args), latch.pass)
      }))
      const request = yield* Effect.fork(Effect.provide(change(revoke.run), slow))
      yield* latch.arrived
      const interrupting = yield* Effect.fork(Fiber.interrupt(request))
      yield* settled
      yield* latch.open
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
      assert.strictEqual(revoke.runs, 1)
      assert.deepStrictEqual([yield* opens(before), yield* opens(after)], [false, true])
    }).pipe(Effect.provide(live))

  it.effect("just before the hash is replaced ends the other sessions all the same", () => abortedAt("before"))

  it.effect("between the replaced hash and the answer ends them all the same", () => abortedAt("after"))

  it.effect("while the sessions are ended lets that come to its end, and its timeouts too", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const latch = yield* makeLatch
      const revoke = makeCounter()
      const request = yield* Effect.fork(change(Effect.zipRight(latch.pass, revoke.run)))
      yield* latch.arrived
      const interrupting = yield* Effect.fork(Fiber.interrupt(request))
      yield* settled
      assert.strictEqual(revoke.runs, 0)
      yield* latch.open
      yield* Fiber.join(interrupting)
      assert.strictEqual(revoke.runs, 1)

      const late = yield* makeLatch
      const stuck = yield* Effect.zipRight(late.pass, Effect.never).pipe(
        Effect.timeoutFail({ duration: "1 second", onTimeout: () => "too late" as const }),
        (revoke) => change(revoke, { current: after, next: before }),
        Effect.uninterruptible,
        Effect.flip,
        Effect.fork
      )
      yield* late.arrived
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(stuck), "too late")
    }).pipe(Effect.provide(live)))
})

describe("a repository that does not say whether it replaced the hash", () => {
  const secret = "Failing row contains (ada, $fast$salt$c2VjcmV0)"
  const ways: Record<string, Effect.Effect<never, any>> = {
    "is down": Effect.fail(new SecurityUnavailable({ reason: "down", cause: { detail: secret } })),
    "fails": Effect.fail(new Error("failed", { cause: new Error(secret) })),
    "dies": Effect.die({ row: secret }),
    "is interrupted": Effect.interrupt,
    "never answers": Effect.never,
    "never answers and cannot be interrupted": Effect.uninterruptible(Effect.never)
  }

  it.effect.each(Object.entries(ways))(
    "and %s is an outage, ends the sessions, and logs no secret",
    ([, way]) =>
      Effect.gen(function*() {
        yield* register(ada)
        const lines: Array<string> = []
        const revoke = makeCounter()
        const broken = changed((users) => ({
          setPasswordHash: (...args) => Effect.zipRight(users.setPasswordHash(...args), way)
        }))
        const changing = yield* change(revoke.run).pipe(
          Effect.flip,
          Effect.provide(Layer.merge(broken, logsTo(lines))),
          Effect.fork
        )
        yield* settled
        yield* TestClock.adjust("2 seconds")
        const error = yield* Fiber.join(changing)
        assert.strictEqual(error._tag, "SecurityUnavailable")
        assert.isAtLeast(revoke.runs, 1)
        assert.isTrue(yield* opens(after))
        const hash = yield* fast.hash(Redacted.make(after))
        assert.include(lines.join("\n"), "the user repository")
        for (const line of [...lines, String(error), JSON.stringify(error), String(error.cause)]) {
          for (const forbidden of [before, after, hash, "c2VjcmV0", "$fast$"]) {
            assert.notInclude(line, forbidden)
          }
        }
      }).pipe(Effect.provide(live))
  )

  it.effect("and does it later has the sessions ended after that", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const latch = yield* makeLatch
      const opened: Array<boolean> = []
      const late = changed((users) => ({
        setPasswordHash: (...args) =>
          Effect.uninterruptible(Effect.zipRight(latch.pass, users.setPasswordHash(...args)))
      }))
      const revoke = Effect.flatMap(
        Effect.orDie(opens(before)),
        (isOpen) => Effect.sync(() => void opened.push(isOpen))
      )
      const changing = yield* change(revoke).pipe(Effect.flip, Effect.provide(late), Effect.fork)
      yield* latch.arrived
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(changing))._tag, "SecurityUnavailable")
      assert.deepStrictEqual(opened, [true])
      yield* latch.open
      yield* settled
      assert.deepStrictEqual(opened, [true, false])
      assert.isTrue(yield* opens(after))
    }).pipe(Effect.provide(live)))

  it.effect("fails with its own failure, not with that of the sessions, which is logged", () =>
    Effect.gen(function*() {
      yield* register(ada)
      const lines: Array<string> = []
      const broken = changed(() => ({ setPasswordHash: () => Effect.die("down") }))
      const error = yield* change(Effect.fail("no sessions" as const)).pipe(
        Effect.flip,
        Effect.provide(Layer.merge(broken, logsTo(lines)))
      )
      assert.strictEqual(error !== "no sessions" && error._tag, "SecurityUnavailable")
      assert.include(lines.join("\n"), "no sessions")
    }).pipe(Effect.provide(live)))
})

describe("a change of the password and the sessions", () => {
  const app = Layer.merge(live, session())

  /** What an endpoint does: it has the signed-in user, and the repository's user of the same id. */
  const endpoint = <E = never, R = never>(revoke: Effect.Effect<void, E, R> | "keep") =>
    Effect.gen(function*() {
      const { id } = yield* Auth.user
      yield* change(revoke, { of: Option.getOrThrow(yield* Users.findById(id)) })
    })

  const login = (text: string, hold: Effect.Effect<void>) =>
    Effect.gen(function*() {
      const { user, verifiedAt } = yield* verify("ada@example.com", text)
      yield* hold
      yield* Auth.login({ userId: user.id }, { verifiedAt })
    })

  const posting = { method: "POST" }

  /** A sign-in with the old password that has verified it, and a change of it by a session, then the rest of both. */
  const overtaken = <E = never, R = never>(revoke: Effect.Effect<void, E, R> | "keep") =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      yield* register(ada)
      const token = yield* signIn("ada")
      const other = yield* signIn("ada")
      const latch = yield* makeLatch
      const late = yield* Effect.fork(send(login(before, latch.pass), posting))
      yield* latch.arrived
      yield* TestClock.adjust("5 millis")
      const changing = yield* send(endpoint(revoke), { ...posting, token })
      assert.strictEqual(changing.status, 204)
      yield* latch.open
      const reply = yield* Fiber.join(late)
      const statusOf = (token: string) => Effect.map(send(Auth.user, { token }), (_) => _.status)
      return {
        late: reply.status,
        lateCookies: reply.setCookie.length,
        mine: yield* statusOf(token),
        other: yield* statusOf(other),
        sessions: (yield* records("ada")).length
      }
    })

  it.effect("ends the other sessions and a sign-in that had verified the old one, and keeps its own", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* overtaken(Auth.revokeAll({ except: "current" })), {
        late: 401,
        lateCookies: 0,
        mine: 204,
        other: 401,
        sessions: 1
      })
    }).pipe(Effect.provide(app)))

  it.effect("ends its own as well without the exception", () =>
    Effect.gen(function*() {
      const result = yield* overtaken(Auth.revokeAll())
      assert.deepStrictEqual([result.late, result.mine, result.other, result.sessions], [401, 401, 401, 0])
    }).pipe(Effect.provide(app)))

  it.effect("lets them all be when it is told to keep them", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* overtaken("keep"), {
        late: 204,
        lateCookies: 1,
        mine: 204,
        other: 204,
        sessions: 3
      })
    }).pipe(Effect.provide(app)))

  it.effect("lets nobody sign in whose hash was asked for before it and read after it", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      yield* register(ada)
      const token = yield* signIn("ada")
      for (const text of [before, after]) {
        const latch = yield* makeLatch
        const slow = changed((users) => ({
          findByLogin: (login) => Effect.zipRight(latch.pass, users.findByLogin(login))
        }))
        const late = yield* send(login(text, Effect.void), posting).pipe(Effect.provide(slow), Effect.fork)
        yield* latch.arrived
        yield* TestClock.adjust("5 millis")
        const current = (yield* opens(before)) ? before : after
        const changing = yield* send(
          Effect.zipRight(Auth.user, change(Auth.revokeAll({ except: "current" }), { current })),
          { ...posting, token }
        )
        assert.strictEqual(changing.status, 204)
        yield* latch.open
        assert.strictEqual((yield* Fiber.join(late)).status, 401)
      }
      assert.lengthOf(yield* records("ada"), 1)
    }).pipe(Effect.provide(app)))

  it.effect("lets the new password sign in afterwards, and the session take a fresh token", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      yield* register(ada)
      const token = yield* signIn("ada")
      const reply = yield* send(
        Effect.zipRight(endpoint(Auth.revokeAll({ except: "current" })), Auth.rotate),
        { ...posting, token }
      )
      const fresh = granted(reply)
      assert.notStrictEqual(fresh, token)
      assert.strictEqual((yield* send(Auth.user, { token })).status, 401)
      assert.strictEqual((yield* send(Auth.user, { token: fresh })).status, 204)
      yield* TestClock.adjust("5 millis")
      assert.strictEqual((yield* send(login(after, Effect.void), posting)).status, 204)
      assert.strictEqual((yield* send(login(before, Effect.void), posting)).status, 401)
      assert.lengthOf(yield* records("ada"), 2)
    }).pipe(Effect.provide(app)))

  it.effect("sends the cookie of what `revoke` does", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      yield* register(ada)
      const token = yield* signIn("ada")
      const reply = yield* send(
        change(Effect.zipRight(Auth.revokeAll({ except: "current" }), Auth.rotate)),
        { ...posting, token }
      )
      assert.strictEqual((yield* send(Auth.user, { token: granted(reply) })).status, 204)
    }).pipe(Effect.provide(app)))

  it.effect("ends them too when the client has left meanwhile", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000)
      yield* register(ada)
      const token = yield* signIn("ada")
      const other = yield* signIn("ada")
      const latch = yield* makeLatch
      const slow = changed((users) => ({
        setPasswordHash: (...args) => Effect.zipLeft(users.setPasswordHash(...args), latch.pass)
      }))
      const controller = new AbortController()
      const aborted = yield* send(
        Effect.provide(endpoint(Auth.revokeAll({ except: "current" })), slow),
        { ...posting, token, signal: controller.signal }
      ).pipe(Effect.exit, Effect.fork)
      yield* latch.arrived
      controller.abort()
      yield* settled
      yield* latch.open
      yield* Fiber.await(aborted)
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
      assert.strictEqual((yield* send(Auth.user, { token: other })).status, 401)
      assert.deepStrictEqual([yield* opens(before), yield* opens(after)], [false, true])
    }).pipe(Effect.provide(app)))
})
