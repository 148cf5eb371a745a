// "Log out everywhere" for sessions that nobody keeps: every cookie of an earlier epoch is over.
import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Deferred, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { SecurityUnavailable } from "effect-security/SecurityError"
import type * as SecurityEvents from "effect-security/SecurityEvents"
import * as SealedSession from "effect-security/session/SealedSession"
import * as SessionAuth from "effect-security/session/SessionAuth"
import * as SessionEpoch from "effect-security/session/SessionEpoch"
import { Auth, cleared, CurrentUser, logsTo, retrieveUser, send, Session } from "../fixtures.js"
import type { Reply } from "../fixtures.js"
import {
  cart,
  clearedRest,
  cookieOf,
  epochsWith,
  eventsTo,
  key,
  live,
  names,
  plainEvent,
  posting,
  refusal,
  refused,
  revocable,
  signIn,
  withCookie
} from "./fixtures.js"
import type { Revocable } from "./fixtures.js"

const start = 1_750_000_000_000
const read = (cookie: string) => send(Auth.user, withCookie(cookie))
const isAlive = (cookie: string) => Effect.map(read(cookie), ({ status }) => status === 204)

const run = <A, E>(self: Effect.Effect<A, E, Revocable>) => Effect.provide(self, revocable())

// -----------------------------------------------------------------------------
// Ending all
// -----------------------------------------------------------------------------

describe("revokeAll", () => {
  it.effect("ends every session of the subject, copies too, and nobody else's", () =>
    Effect.gen(function*() {
      const [one, two, bob] = [yield* signIn(), yield* signIn("ada", 4_000), yield* signIn("bob")]
      const reply = yield* send(Auth.revokeAll(), posting(two))
      assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared, clearedRest]])
      for (const copy of [one, two]) {
        // Nothing is cleared: a parallel response may have granted the session that was spared.
        assert.deepStrictEqual(refusal(yield* read(copy)), refused)
      }
      assert.isTrue(yield* isAlive(bob))
      assert.isTrue(yield* isAlive(yield* signIn()))
    }).pipe(run))

  it.effect("but the current ends every other, copies of the current one too", () =>
    Effect.gen(function*() {
      const [one, current] = [yield* signIn(), yield* signIn("ada", 4_000)]
      const reply = yield* send(Auth.revokeAll({ except: "current" }), posting(current))
      assert.deepStrictEqual(names(reply), ["__Host-session", "__Host-session.1"])
      assert.deepStrictEqual(
        [yield* isAlive(one), yield* isAlive(current), yield* isAlive(cookieOf(reply))],
        [false, false, true]
      )
      const session = yield* send(Auth.session, withCookie(cookieOf(reply)))
      assert.deepStrictEqual(session.exit, Exit.succeed({ userId: "ada", cart: cart(4_000) }))
      // And so again.
      const again = yield* send(Auth.revokeAll({ except: "current" }), posting(cookieOf(reply)))
      assert.deepStrictEqual([yield* isAlive(cookieOf(reply)), yield* isAlive(cookieOf(again))], [false, true])
    }).pipe(run))

  it.effect("is what the rest of the request sees", () =>
    Effect.gen(function*() {
      const all = yield* send(Effect.zipRight(Auth.revokeAll(), Auth.user), posting(yield* signIn()))
      assert.strictEqual(all.status, 401)
      const others = yield* send(
        Effect.zipRight(Auth.revokeAll({ except: "current" }), Auth.user),
        posting(yield* signIn())
      )
      assert.deepStrictEqual(others.exit, Exit.succeed({ id: "ada" }))
    }).pipe(run))

  it.effect("is not asked by who has no session, by another site, or where no cookie can be set", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      for (const options of [{}, { except: "current" as const }]) {
        const operation = Auth.revokeAll(options)
        assert.deepStrictEqual(refusal(yield* send(operation, posting())), refused)
        assert.deepStrictEqual(refusal(yield* send(operation, posting("__Host-session=1.AAAA"))), refused)
        const headers = { origin: "https://evil.example" }
        assert.strictEqual((yield* send(operation, withCookie(cookie, { method: "POST", headers }))).status, 403)
        const upgrade = withCookie(cookie, { headers: { upgrade: "websocket", connection: "Upgrade" } })
        assert.strictEqual((yield* send(operation, upgrade)).status, 400)
      }
      assert.isTrue(yield* isAlive(cookie))
    }).pipe(run))

  it.effect("has ended all where the response fails afterwards", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const spared = yield* send(
        Effect.zipRight(Auth.revokeAll({ except: "current" }), Effect.die("oops")),
        posting(cookie)
      )
      assert.deepStrictEqual([spared.status, names(spared)], [500, ["__Host-session"]])
      assert.deepStrictEqual([yield* isAlive(cookie), yield* isAlive(cookieOf(spared))], [false, true])
    }).pipe(run))

  it.effect("by several fibers at once spares the current session", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const slow = epochsWith((epochs) => ({
        advance: (realm, subject, until) => Effect.tap(epochs.advance(realm, subject, until), () => Effect.yieldNow())
      }))
      yield* Effect.gen(function*() {
        const reply = yield* send(
          Effect.all([
            Auth.revokeAll({ except: "current" }),
            Auth.update((session) => ({ ...session, cart: ["tea"] })),
            Auth.revokeAll({ except: "current" }),
            Auth.rotate
          ], { concurrency: "unbounded" }),
          posting(cookie)
        )
        assert.strictEqual(reply.status, 204)
        const session = yield* send(Auth.session, withCookie(cookieOf(reply)))
        assert.deepStrictEqual(session.exit, Exit.succeed({ userId: "ada", cart: ["tea"] }))
      }).pipe(Effect.provide(revocable({}, slow)))
    }).pipe(run))

  it.effect("spares nobody who signs in as somebody else in the same request, and signs nobody in again", () =>
    Effect.gen(function*() {
      for (const [meanwhile, expected] of [[Auth.login({ userId: "bob" }), ["bob"]], [Auth.logout, []]] as const) {
        const cookie = yield* signIn()
        const asked = yield* Deferred.make<void>()
        const done = yield* Deferred.make<void>()
        const waiting = epochsWith((epochs) => ({
          advance: (realm, subject, until) =>
            Effect.zipLeft(
              epochs.advance(realm, subject, until),
              Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(done))
            )
        }))
        const reply = yield* send(
          Effect.all([
            Auth.revokeAll({ except: "current" }),
            Deferred.await(asked).pipe(
              Effect.zipRight(meanwhile as Effect.Effect<void, any, any>),
              Effect.zipRight(Deferred.succeed(done, undefined))
            )
          ], { concurrency: "unbounded" }) as Effect.Effect<unknown, unknown, Revocable>,
          posting(cookie)
        ).pipe(Effect.provide(revocable({}, waiting)))
        assert.strictEqual(reply.status, 204)
        const user = yield* Effect.provide(read(cookieOf(reply)), live())
        assert.deepStrictEqual<ReadonlyArray<string>>(Exit.isSuccess(user.exit) ? [user.exit.value.id] : [], expected)
      }
    }).pipe(run) as Effect.Effect<void>)

  it.effect("by two fibers of which the first is the last to hear of it spares the current session", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const others = yield* Deferred.make<void>()
      let times = 0
      const slow = epochsWith((epochs) => ({
        advance: (realm, subject, until) =>
          Effect.tap(epochs.advance(realm, subject, until), () => times++ === 0 ? Deferred.await(others) : Effect.void)
      }))
      yield* Effect.gen(function*() {
        const spare = Auth.revokeAll({ except: "current" })
        const reply = yield* send(
          Effect.all([spare, Effect.zipRight(spare, Deferred.succeed(others, undefined))], {
            concurrency: "unbounded"
          }),
          posting(cookie)
        )
        assert.deepStrictEqual([yield* isAlive(cookie), yield* isAlive(cookieOf(reply))], [false, true])
      }).pipe(Effect.provide(revocable({}, slow)))
    }).pipe(run))

  it.effect("gives the epoch of one subject to no session of another", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const asked = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      let times = 0
      const waiting = epochsWith((epochs) => ({
        advance: (realm, subject, until) =>
          Effect.tap(epochs.advance(realm, subject, until), () =>
            ++times === 3 ? Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(done)) : Effect.void)
      }))
      yield* Effect.gen(function*() {
        // The epochs of one are ahead of the clock, and those of the other are not.
        yield* Effect.replicateEffect(Auth.revokeSubject("ada"), 2)
        const reply = yield* send(
          Effect.all([
            Auth.revokeAll({ except: "current" }),
            Effect.all([Deferred.await(asked), Auth.login({ userId: "bob" }), Deferred.succeed(done, undefined)])
          ], { concurrency: "unbounded" }),
          posting(yield* signIn())
        )
        assert.strictEqual(reply.status, 204)
        const cookie = cookieOf(reply)
        assert.deepStrictEqual((yield* read(cookie)).exit, Exit.succeed({ id: "bob" }))
        yield* Auth.revokeSubject("bob")
        assert.isFalse(yield* isAlive(cookie))
      }).pipe(Effect.provide(revocable({}, waiting)))
    }))

  it.effect("fits wherever the session fitted before", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      let size = 5_700
      while ((yield* signIn("ada", size + 1)) !== "") size++
      const reply = yield* send(Auth.revokeAll({ except: "current" }), posting(yield* signIn("ada", size)))
      assert.deepStrictEqual([reply.status, names(reply)], [204, ["__Host-session", "__Host-session.1"]])
    }).pipe(run))
})

describe("revokeSubject", () => {
  class Staff extends SessionAuth.Tag<Staff>()("test/Staff", {
    user: CurrentUser,
    session: Session,
    cookie: { name: "__Host-staff" }
  }) {}

  it.effect("needs no request, and touches no other subject and no other realm", () =>
    Effect.gen(function*() {
      const [ada, bob] = [yield* signIn(), yield* signIn("bob")]
      const staff = cookieOf(yield* send(Staff.login({ userId: "ada" }), posting()))
      yield* Auth.revokeSubject("ada")
      assert.deepStrictEqual([yield* isAlive(ada), yield* isAlive(bob)], [false, true])
      assert.strictEqual((yield* send(Staff.user, withCookie(staff))).status, 204)
      yield* Staff.revokeSubject("ada")
      assert.strictEqual((yield* send(Staff.user, withCookie(staff))).status, 401)
      assert.isTrue(yield* isAlive(yield* signIn()))
    }).pipe(Effect.provide(
      Layer.merge(
        Layer.orDie(SealedSession.layerRevocable(Staff, { keys: key("first"), retrieveUser })),
        Layer.orDie(SealedSession.layerRevocable(Auth, { keys: key("first"), retrieveUser }))
      ).pipe(Layer.provide(SessionEpoch.layerMemory))
    )))

  it.effect("is remembered longer than any session lasts", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const seen: Array<readonly [string, string, number]> = []
      const spy = epochsWith((epochs) => ({
        advance: (...args) => {
          seen.push(args)
          return epochs.advance(...args)
        }
      }))
      yield* Effect.provide(Auth.revokeSubject("ada"), revocable({ absoluteTimeout: "2 days" }, spy))
      assert.deepStrictEqual(seen, [["test/Auth", "ada", start + (2 * 24 + 1) * 60 * 60 * 1_000]])
    }))

  it.effect("refuses a sign-in whose password was verified before it, and one of the same millisecond", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const login = Auth.login({ userId: "ada" }, { verifiedAt: DateTime.unsafeMake(start) })
      assert.strictEqual((yield* send(login, posting())).status, 204)
      yield* Auth.revokeSubject("ada")
      yield* TestClock.setTime(start + 1_000)
      assert.deepStrictEqual(refusal(yield* send(login, posting())), refused)
      const later = Auth.login({ userId: "ada" }, { verifiedAt: DateTime.unsafeMake(start + 1) })
      assert.strictEqual((yield* send(later, posting())).status, 204)
    }).pipe(run))

  it.effect("ends a session that begins while it runs, or is before it", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const revoked = yield* Deferred.make<void>()
      const waiting = epochsWith((epochs) => ({
        current: (realm, subject) =>
          Effect.zipLeft(
            epochs.current(realm, subject),
            Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(revoked))
          )
      }))
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(signIn())
        yield* Deferred.await(asked)
        yield* Auth.revokeSubject("ada")
        yield* Deferred.succeed(revoked, undefined)
        assert.isFalse(yield* isAlive(yield* Fiber.join(fiber)))
      }).pipe(Effect.provide(revocable({}, waiting)))
    }))

  it.effect("ends what is watched, at its next check", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const fiber = yield* Effect.fork(send(Auth.whileAuthenticated(Effect.never), withCookie(cookie)))
      yield* TestClock.adjust("1 minute")
      yield* Auth.revokeSubject("ada")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 401)
    }).pipe(run))
})

// -----------------------------------------------------------------------------
// With and without epochs
// -----------------------------------------------------------------------------

describe("a deployment", () => {
  it.effect("that adds epochs keeps the sessions that there are, and can end them", () =>
    Effect.gen(function*() {
      const cookie = yield* Effect.provide(signIn(), live())
      assert.isTrue(yield* isAlive(cookie))
      yield* Auth.revokeSubject("ada")
      assert.isFalse(yield* isAlive(cookie))
    }).pipe(run))

  it.effect("that lost its epochs lets in whose session began in one of them", () =>
    Effect.gen(function*() {
      const cookie = yield* Effect.gen(function*() {
        yield* Auth.revokeSubject("ada")
        return yield* signIn()
      }).pipe(run)
      assert.isTrue(yield* Effect.provide(isAlive(cookie), revocable()))
    }))
})

// -----------------------------------------------------------------------------
// Outages
// -----------------------------------------------------------------------------

describe("epochs", () => {
  const down = new SecurityUnavailable({ reason: "the epochs are down" })
  const outages: Readonly<Record<string, Effect.Effect<any, SecurityUnavailable>>> = {
    "that fail": Effect.fail(down),
    "that die": Effect.die("driver"),
    "that throw": undefined as never,
    "that are interrupted": Effect.interrupt,
    "that never answer": Effect.never,
    "that answer with nothing": Effect.succeed(undefined),
    "that answer with no number": Effect.succeed(Number.NaN),
    "that answer with text": Effect.succeed("1750000000000"),
    "that answer with a fraction": Effect.succeed(0.5),
    "that answer with a negative number": Effect.succeed(-1)
  }

  for (const [title, outage] of Object.entries(outages)) {
    it.effect(`${title} are a 503 that changes no cookie, whatever is asked`, () => {
      const answer = () => {
        if (outage === undefined) throw new Error("driver")
        return outage
      }
      const broken = revocable({}, Layer.succeed(SessionEpoch.SessionEpoch, { current: answer, advance: answer }))
      const advanceOnly = revocable({}, epochsWith(() => ({ advance: answer })))
      const lines: Array<string> = []
      const sending = <A, E>(operation: Effect.Effect<A, E, any>, cookie: string, layer: Layer.Layer<Revocable>) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(
            Effect.provide(send(operation as Effect.Effect<A, E, Revocable>, posting(cookie)), layer)
          )
          yield* TestClock.adjust("2 seconds")
          return yield* Fiber.join(fiber)
        })
      const unavailable = (reply: Reply<unknown, unknown>) => [
        reply.status,
        reply.headers.get("retry-after"),
        reply.headers.get("cache-control"),
        reply.setCookie
      ]
      return Effect.gen(function*() {
        yield* TestClock.setTime(start)
        const cookie = yield* Effect.provide(signIn(), live())
        yield* TestClock.adjust("2 hours")
        const operations = [
          Auth.user,
          Auth.userOption,
          Auth.session,
          Auth.login({ userId: "ada" }),
          Auth.update((session) => ({ ...session, cart: ["tea"] })),
          Auth.rotate,
          Auth.revokeAll(),
          Auth.revokeAll({ except: "current" })
        ]
        for (const operation of operations) {
          const reply = yield* sending(operation as Effect.Effect<unknown, unknown, any>, cookie, broken)
          assert.deepStrictEqual(unavailable(reply), [503, "1", "no-store", []])
        }
        for (const operation of [Auth.revokeAll(), Auth.revokeAll({ except: "current" })]) {
          const reply = yield* sending(operation, cookie, advanceOnly)
          assert.deepStrictEqual(unavailable(reply), [503, "1", "no-store", []])
        }
        const fiber = yield* Effect.fork(Effect.exit(Effect.provide(Auth.revokeSubject("ada"), broken)))
        yield* TestClock.adjust("2 seconds")
        const exit = yield* Fiber.join(fiber)
        assert.strictEqual(
          Exit.isFailure(exit) && (Cause.squash(exit.cause) as SecurityUnavailable)._tag,
          "SecurityUnavailable"
        )
        // Nothing on the server has to be asked for a client to forget its session.
        const logout = yield* sending(Auth.logout, cookie, broken)
        assert.deepStrictEqual([logout.status, logout.setCookie], [204, [cleared]])
        for (const line of lines) {
          assert.notInclude(line, cookie.slice(20, 50))
        }
      }).pipe(Effect.provide(logsTo(lines)))
    })
  }
})

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

it.effect("whoever was signed out everywhere is told of, once", () => {
  const events: Array<SecurityEvents.SecurityEvent> = []
  return Effect.gen(function*() {
    const cookie = yield* signIn()
    const spared = cookieOf(yield* send(Auth.revokeAll({ except: "current" }), posting(cookie)))
    yield* send(Auth.revokeAll(), posting(spared))
    yield* Auth.revokeSubject("bob")
    yield* read(cookie)
    const revoked = { _tag: "Revoked", backend: "test/Auth", credential: null, except: null }
    assert.deepStrictEqual(events.map(plainEvent), [
      { _tag: "SignedIn", backend: "test/Auth", subject: "ada", credential: null },
      { ...revoked, subject: "ada" },
      { ...revoked, subject: "ada" },
      { ...revoked, subject: "bob" },
      { _tag: "Rejected", backend: "test/Auth", error: "NotAuthorized", reason: "Revoked" }
    ])
  }).pipe(Effect.provide(Layer.provide(revocable(), eventsTo(events))))
})
