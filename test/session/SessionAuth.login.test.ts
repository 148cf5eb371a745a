import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Array, DateTime, Deferred, Effect, Exit, Fiber, Queue, TestClock } from "effect"
import * as SecurityError from "effect-security/SecurityError"
import * as SessionStore from "effect-security/session/SessionStore"
import { Auth, cleared, granted, idOf, live, records, send, signIn, storeSpy, storeWith } from "./fixtures.js"

const day = 24 * 60 * 60 * 1_000
const start = 1_700_000_000_000
const post = { method: "POST" }
const someToken = `${"A".repeat(12)}.${"A".repeat(43)}`

const login = (userId = "ada") => Auth.login({ userId })
const failure = <A, E>({ exit }: { readonly exit: Exit.Exit<A, E> }) =>
  Exit.match(exit, { onFailure: (cause) => cause._tag === "Fail" ? cause.error : cause, onSuccess: () => undefined })

// -----------------------------------------------------------------------------
// login
// -----------------------------------------------------------------------------

describe("login", () => {
  it.effect("grants a cookie of exactly these attributes", () =>
    Effect.gen(function*() {
      const reply = yield* send(login(), post)
      assert.strictEqual(reply.status, 204)
      assert.strictEqual(reply.setCookie.length, 1)
      assert.match(
        reply.setCookie[0]!,
        /^__Host-session=[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]; Max-Age=2592000; Path=\/; HttpOnly; Secure; SameSite=Lax$/
      )
      assert.strictEqual(reply.headers.get("cache-control"), "no-store")
    }).pipe(Effect.provide(live())))

  it.effect("grants a cookie without an age where the client is not to be remembered", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.login({ userId: "ada" }, { remember: false }), post)
      assert.match(reply.setCookie[0]!, /^__Host-session=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
      const remembered = yield* send(Auth.login({ userId: "ada" }, { remember: true }), post)
      assert.include(remembered.setCookie[0], "Max-Age=2592000")
    }).pipe(Effect.provide(live())))

  it.effect("signs the subject in from the next request on", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.user, { token })
      assert.deepStrictEqual(reply.exit, Exit.succeed({ id: "ada" }))
      assert.deepStrictEqual(reply.setCookie, [])
    }).pipe(Effect.provide(live())))

  it.effect("stores the id of the token and not the token, and all that is known of the session", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const reply = yield* send(Auth.login({ userId: "ada", cart: ["tea"] }), {
        method: "POST",
        headers: { "user-agent": "u".repeat(300) }
      })
      const token = granted(reply)
      const [record] = yield* records("ada")
      assert.deepStrictEqual({ ...record }, {
        id: idOf(token),
        realm: "test/Auth",
        subject: "ada",
        data: "{\"userId\":\"ada\",\"cart\":[\"tea\"]}",
        schemaVersion: 1,
        version: 0,
        createdAt: start,
        authenticatedAt: start,
        lastSeenAt: start,
        idleDeadline: start + 7 * day,
        absoluteDeadline: start + 30 * day,
        remember: true,
        userAgent: "u".repeat(256)
      })
      assert.notInclude(JSON.stringify(record), token.slice(13))
    }).pipe((self) => Effect.zipRight(TestClock.setTime(start), Effect.provide(self, live()))))

  it.effect("notes an empty user agent where there is none", () =>
    Effect.gen(function*() {
      yield* signIn()
      assert.deepStrictEqual((yield* records("ada")).map(({ userAgent }) => userAgent), [""])
    }).pipe(Effect.provide(live())))

  it.effect("gives a fresh token each time, with the tag of the subject", () =>
    Effect.gen(function*() {
      const tokens = yield* Effect.all(Array.makeBy(20, () => signIn()))
      assert.strictEqual(new Set(tokens).size, 20)
      assert.strictEqual(new Set(tokens.map((token) => token.slice(0, 12))).size, 1)
      assert.notStrictEqual((yield* signIn("bob")).slice(0, 12), tokens[0]!.slice(0, 12))
    }).pipe(Effect.provide(live())))

  it.effect("never adopts a token that the client has chosen", () =>
    Effect.gen(function*() {
      const token = granted(yield* send(login(), { method: "POST", token: someToken }))
      assert.notStrictEqual(token, someToken)
      assert.notStrictEqual(token.slice(13), someToken.slice(13))
      assert.strictEqual((yield* send(Auth.user, { token: someToken })).status, 401)
      assert.deepStrictEqual((yield* records("ada")).map(({ id }) => id), [idOf(token)])
    }).pipe(Effect.provide(live())))

  it.effect("ends the session that the browser has, its own and another's", () =>
    Effect.gen(function*() {
      const first = yield* signIn()
      const second = granted(yield* send(login(), { method: "POST", token: first }))
      assert.notStrictEqual(first, second)
      assert.strictEqual((yield* send(Auth.user, { token: first })).status, 401)
      const other = granted(yield* send(login("bob"), { method: "POST", token: second }))
      assert.strictEqual((yield* send(Auth.user, { token: second })).status, 401)
      assert.deepStrictEqual((yield* send(Auth.user, { token: other })).exit, Exit.succeed({ id: "bob" }))
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))

  it.effect("leaves the subject's sessions in other browsers alone", () =>
    Effect.gen(function*() {
      const [phone, laptop] = yield* Effect.all([signIn(), signIn()])
      const statuses = yield* Effect.forEach([phone, laptop], (token) => send(Auth.user, { token }))
      assert.deepStrictEqual(statuses.map(({ status }) => status), [204, 204])
    }).pipe(Effect.provide(live())))

  it.effect("ends neither of two sessions whose cookies come together, as it cannot know which is meant", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([signIn(), signIn()])
      const cookie = `__Host-session=${first}; __Host-session=${second}`
      const reply = yield* send(login(), { method: "POST", headers: { cookie } })
      assert.notInclude([first, second], granted(reply))
      assert.strictEqual((yield* records("ada")).length, 3)
    }).pipe(Effect.provide(live())))

  it.effect("carries nothing over from the session before", () =>
    Effect.gen(function*() {
      const first = granted(yield* send(Auth.login({ userId: "ada", cart: ["tea"] }), post))
      const second = granted(yield* send(login(), { method: "POST", token: first }))
      assert.deepStrictEqual((yield* send(Auth.session, { token: second })).exit, Exit.succeed({ userId: "ada" }))
    }).pipe(Effect.provide(live())))

  it.effect("twice in one request leaves the second session only, and one cookie", () =>
    Effect.gen(function*() {
      const reply = yield* send(Effect.zipRight(login("bob"), login("ada")), post)
      const token = granted(reply)
      assert.deepStrictEqual((yield* send(Auth.user, { token })).exit, Exit.succeed({ id: "ada" }))
      assert.deepStrictEqual(yield* records("bob"), [])
    }).pipe(Effect.provide(live())))

  it.effect("is refused when all sessions were ended since the password was verified", () =>
    Effect.gen(function*() {
      const verifiedAt = DateTime.unsafeMake(start - 1)
      yield* Auth.revokeSubject("ada")
      const reply = yield* send(Auth.login({ userId: "ada" }, { verifiedAt }), post)
      assert.strictEqual(reply.status, 401)
      assert.deepStrictEqual(reply.setCookie, [])
      assert.instanceOf(failure(reply), SecurityError.NotAuthorized)
      assert.deepStrictEqual(yield* records("ada"), [])
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* send(login(), post)).status, 204)
      const [record] = yield* records("ada")
      assert.strictEqual(record?.authenticatedAt, start + 1_000)
    }).pipe((self) => Effect.zipRight(TestClock.setTime(start), Effect.provide(self, live()))))

  it.effect("notes the last millisecond that was certainly before the password was verified", () =>
    Effect.gen(function*() {
      yield* send(Auth.login({ userId: "ada" }, { verifiedAt: DateTime.unsafeMake(start - 5_000) }), post)
      const [record] = yield* records("ada")
      assert.deepStrictEqual([record?.authenticatedAt, record?.createdAt], [start - 5_001, start])
    }).pipe((self) => Effect.zipRight(TestClock.setTime(start), Effect.provide(self, live()))))
})

// -----------------------------------------------------------------------------
// Limits
// -----------------------------------------------------------------------------

describe("a session that holds too much", () => {
  const limit = 16 * 1024
  const empty = JSON.stringify({ userId: "ada", cart: [""] }).length
  const holding = (bytes: number) => Auth.login({ userId: "ada", cart: ["x".repeat(bytes - empty)] })

  it.effect("fails with its measured size, and stores and grants nothing", () =>
    Effect.gen(function*() {
      const reply = yield* send(holding(limit + 1), post)
      assert.strictEqual(reply.status, 413)
      const error = failure(reply) as SecurityError.SessionTooLarge
      assert.deepStrictEqual([error._tag, error.size, error.limit], ["SessionTooLarge", limit + 1, limit])
      assert.deepStrictEqual(reply.setCookie, [])
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))

  it.effect("leaves the session before it alive", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      assert.strictEqual((yield* send(holding(limit + 1), { method: "POST", token })).status, 413)
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
    }).pipe(Effect.provide(live())))

  it.effect("is one byte above the limit, and bytes are those of UTF-8", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send(holding(limit), post)).status, 204)
      const wide = Auth.login({ userId: "ada", cart: ["\u00e9".repeat(limit / 2)] })
      const error = failure(yield* send(wide, post)) as SecurityError.SessionTooLarge
      assert.strictEqual(error.size, limit + empty)
    }).pipe(Effect.provide(live())))

  it.effect("fails in update too, which then changes nothing", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.update((session) => ({ ...session, cart: ["x".repeat(limit)] })), {
        method: "POST",
        token
      })
      const error = failure(reply) as SecurityError.SessionTooLarge
      assert.deepStrictEqual([error._tag, error.size], ["SessionTooLarge", limit + empty])
      const [record] = yield* records("ada")
      assert.deepStrictEqual([record?.data, record?.version], ["{\"userId\":\"ada\"}", 0])
    }).pipe(Effect.provide(live())))
})

describe("a subject with more sessions than allowed", () => {
  it.effect("loses the one that was idle longest, and nobody else loses any", () =>
    Effect.gen(function*() {
      const bob = yield* signIn("bob")
      const first = yield* signIn()
      yield* TestClock.adjust("2 hours")
      const second = yield* signIn()
      yield* TestClock.adjust("2 hours")
      // Seen again: now the second is the one that was idle longest.
      assert.strictEqual((yield* send(Auth.user, { token: first })).status, 204)
      yield* TestClock.adjust("2 hours")
      const third = yield* signIn()
      const statuses = yield* Effect.forEach([first, second, third, bob], (token) => send(Auth.user, { token }))
      assert.deepStrictEqual(statuses.map(({ status }) => status), [204, 401, 204, 204])
    }).pipe(Effect.provide(live({ maxPerUser: 2 }))))

  it.effect("never loses the one that begins, even where one is allowed", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([signIn(), signIn()])
      assert.strictEqual((yield* send(Auth.user, { token: first })).status, 401)
      assert.strictEqual((yield* send(Auth.user, { token: second })).status, 204)
    }).pipe(Effect.provide(live({ maxPerUser: 1 }))))

  it.effect("loses none for a login that replaces the session before it", () =>
    Effect.gen(function*() {
      const [phone, laptop] = yield* Effect.all([signIn(), signIn()])
      const again = granted(yield* send(login(), { method: "POST", token: laptop }))
      const statuses = yield* Effect.forEach([phone, laptop, again], (token) => send(Auth.user, { token }))
      assert.deepStrictEqual(statuses.map(({ status }) => status), [204, 401, 204])
    }).pipe(Effect.provide(live({ maxPerUser: 2 }))))

  it.effect("loses as many as are too many", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const now = 1_000
      yield* TestClock.setTime(now)
      const token = yield* signIn()
      const [record] = yield* records("ada")
      yield* Effect.forEach(Array.range(1, 5), (index) =>
        store.create({ ...record!, id: idOf(token, String(index)), lastSeenAt: now - index }))
      yield* signIn()
      const left = (yield* records("ada")).map(({ lastSeenAt }) =>
        lastSeenAt
      )
      assert.sameMembers(left, [now, now, now - 1])
    }).pipe(Effect.provide(live({ maxPerUser: 3 }))))

  it.effect("has a hundred where nothing is said", () =>
    Effect.gen(function*() {
      yield* Effect.all(Array.makeBy(103, () => signIn()))
      assert.strictEqual((yield* records("ada")).length, 100)
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Half a login
// -----------------------------------------------------------------------------

describe("a login that does not come to its end", () => {
  it.effect("leaves no record when the client is gone while the store creates", () =>
    Effect.gen(function*() {
      const [created, removed] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const slow = storeWith((store) => ({
        create: (record) =>
          store.create(record).pipe(
            Effect.zipRight(Deferred.succeed(created, void 0)),
            Effect.zipRight(Effect.never)
          ),
        remove: (id) => Effect.zipLeft(store.remove(id), Deferred.succeed(removed, void 0))
      }))
      yield* Effect.gen(function*() {
        const controller = new AbortController()
        const fiber = yield* Effect.fork(send(login(), { method: "POST", signal: controller.signal }))
        yield* Deferred.await(created)
        assert.strictEqual((yield* records("ada")).length, 1)
        controller.abort()
        yield* Deferred.await(removed)
        assert.deepStrictEqual(yield* records("ada"), [])
        const reply = yield* Fiber.join(fiber)
        assert.deepStrictEqual(reply.setCookie, [])
      }).pipe(Effect.provide(live({}, slow)))
    }))

  it.effect("leaves no record when the store answers too late", () =>
    Effect.gen(function*() {
      const [created, removed] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const slow = storeWith((store) => ({
        create: (record) =>
          store.create(record).pipe(
            Effect.zipRight(Deferred.succeed(created, void 0)),
            Effect.zipRight(Effect.never)
          ),
        remove: (id) => Effect.zipLeft(store.remove(id), Deferred.succeed(removed, void 0))
      }))
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(send(login(), post))
        yield* Deferred.await(created)
        yield* TestClock.adjust("2 seconds")
        const reply = yield* Fiber.join(fiber)
        assert.strictEqual(reply.status, 503)
        assert.deepStrictEqual(reply.setCookie, [])
        yield* Deferred.await(removed)
        assert.deepStrictEqual(yield* records("ada"), [])
      }).pipe(Effect.provide(live({}, slow)))
    }))

  it.effect("leaves no record when the store creates it after nobody waits any more", () =>
    Effect.gen(function*() {
      const [asked, latch, created] = yield* Effect.all([
        Deferred.make<void>(),
        Deferred.make<void>(),
        Deferred.make<void>()
      ])
      const removed = yield* Queue.unbounded<void>()
      const stubborn = storeWith((store) => ({
        create: (record) =>
          Effect.uninterruptible(
            Deferred.succeed(asked, void 0).pipe(
              Effect.zipRight(Deferred.await(latch)),
              Effect.zipRight(store.create(record)),
              Effect.zipLeft(Deferred.succeed(created, void 0))
            )
          ),
        remove: (id) => Effect.zipLeft(store.remove(id), Queue.offer(removed, void 0))
      }))
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(send(login(), post))
        yield* Deferred.await(asked)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 503)
        yield* Queue.take(removed)
        yield* Deferred.succeed(latch, void 0)
        yield* Deferred.await(created)
        yield* Queue.take(removed)
        assert.deepStrictEqual(yield* records("ada"), [])
      }).pipe(Effect.provide(live({}, stubborn)))
    }))

  for (const every of [10, 11, 12, 13]) {
    it.effect(`is whole or nothing, at whichever step the client is gone, when it yields every ${every} operations`, () =>
      Effect.gen(function*() {
        let wholes = 0
        for (let steps = 0; steps < 200; steps++) {
          const user = `user-${steps}`
          const controller = new AbortController()
          const fiber = yield* Effect.fork(
            send(Effect.interruptible(login(user)), { method: "POST", signal: controller.signal })
          )
          yield* Effect.repeatN(Effect.yieldNow(), steps)
          controller.abort()
          const reply = yield* Fiber.join(fiber)
          // What was left behind is removed in the background.
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          assert.strictEqual((yield* records(user)).length, reply.setCookie.length, `after ${steps} steps`)
          wholes += reply.setCookie.length
        }
        assert.isAbove(wholes, 0)
        assert.isBelow(wholes, 200)
      }).pipe(Effect.provide(live()), Effect.withMaxOpsBeforeYield(every)))
  }

  it.effect("leaves the old session and no new one when the old one cannot be ended", () =>
    Effect.gen(function*() {
      const removed = yield* Deferred.make<void>()
      let isBroken = false
      const broken = storeWith((store) => ({
        remove: (id) => {
          if (isBroken) {
            isBroken = false
            return Effect.fail(new SecurityError.SecurityUnavailable({ reason: "broken" }))
          }
          return Effect.zipLeft(store.remove(id), Deferred.succeed(removed, void 0))
        }
      }))
      yield* Effect.gen(function*() {
        const token = yield* signIn()
        isBroken = true
        const reply = yield* send(login(), { method: "POST", token })
        assert.strictEqual(reply.status, 503)
        assert.deepStrictEqual(reply.setCookie, [])
        yield* Deferred.await(removed)
        assert.deepStrictEqual((yield* records("ada")).map(({ id }) => id), [idOf(token)])
      }).pipe(Effect.provide(live({}, broken)))
    }))

  it.effect("leaves no record when the response becomes an error", () =>
    Effect.gen(function*() {
      const failed = Effect.zipRight(login(), Effect.succeed(HttpServerResponse.empty({ status: 500 })))
      const reply = yield* send(failed, post)
      assert.deepStrictEqual([reply.status, reply.setCookie.length], [500, 0])
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// logout
// -----------------------------------------------------------------------------

describe("logout", () => {
  it.effect("ends the session and clears its cookie", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.logout, { method: "POST", token })
      assert.strictEqual(reply.status, 204)
      assert.deepStrictEqual(reply.setCookie, [cleared])
      assert.strictEqual((yield* send(Auth.user, { token })).status, 401)
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))

  it.effect("leaves the subject's other sessions alone", () =>
    Effect.gen(function*() {
      const [phone, laptop] = yield* Effect.all([signIn(), signIn()])
      yield* send(Auth.logout, { method: "POST", token: phone })
      assert.strictEqual((yield* send(Auth.user, { token: laptop })).status, 204)
    }).pipe(Effect.provide(live())))

  it.effect("succeeds without a session, clears the cookie and asks no store", () => {
    const calls: Array<string> = []
    return Effect.gen(function*() {
      for (
        const cookie of [
          "",
          "theme=dark",
          "__Host-session=nonsense",
          `__Host-session=${someToken}; __Host-session=${someToken}`
        ]
      ) {
        const reply = yield* send(Auth.logout, { method: "POST", headers: { cookie } })
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]], cookie)
      }
      assert.deepStrictEqual(calls, [])
    }).pipe(Effect.provide(live({}, storeSpy(calls as Array<never>))))
  })

  it.effect("succeeds with a token that the store does not know, and twice", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      for (const one of [someToken, token, token]) {
        const reply = yield* send(Auth.logout, { method: "POST", token: one })
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]])
      }
    }).pipe(Effect.provide(live())))

  it.effect("clears the cookie whatever the response becomes", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Effect.zipRight(Auth.logout, Effect.die("oops")), { method: "POST", token })
      assert.deepStrictEqual([reply.status, reply.setCookie], [500, [cleared]])
    }).pipe(Effect.provide(live())))

  it.effect("after a login in the same request leaves nothing", () =>
    Effect.gen(function*() {
      const reply = yield* send(Effect.zipRight(login(), Auth.logout), post)
      assert.deepStrictEqual(reply.setCookie, [cleared])
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))

  it.effect("before a login in the same request leaves the new session only", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Effect.zipRight(Auth.logout, login("bob")), { method: "POST", token })
      assert.deepStrictEqual((yield* send(Auth.user, { token: granted(reply) })).exit, Exit.succeed({ id: "bob" }))
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// rotate
// -----------------------------------------------------------------------------

describe("rotate", () => {
  it.effect("gives the session a fresh token, and the old one ends at once", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.rotate, { method: "POST", token })
      const next = granted(reply)
      assert.notStrictEqual(next, token)
      assert.strictEqual(next.slice(0, 12), token.slice(0, 12))
      assert.strictEqual((yield* send(Auth.user, { token })).status, 401)
      assert.deepStrictEqual((yield* send(Auth.user, { token: next })).exit, Exit.succeed({ id: "ada" }))
    }).pipe(Effect.provide(live())))

  it.effect("is a use of the session, and keeps everything else of it, its absolute deadline and its version too", () =>
    Effect.gen(function*() {
      const token = granted(yield* send(Auth.login({ userId: "ada", cart: ["tea"] }), post))
      yield* send(Auth.update((session) => ({ ...session, cart: ["rum"] })), { method: "POST", token })
      const [before] = yield* records("ada")
      yield* TestClock.adjust("3 days")
      const next = granted(yield* send(Auth.rotate, { method: "POST", token }))
      const [after] = yield* records("ada")
      const now = 3 * 86_400_000
      assert.deepStrictEqual({ ...after }, {
        ...before,
        id: idOf(next),
        lastSeenAt: now,
        idleDeadline: now + 7 * 86_400_000
      })
      assert.strictEqual(after?.version, 1)
    }).pipe(Effect.provide(live())))

  it.effect("grants a cookie for the time that is left", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      yield* TestClock.adjust("1 day")
      const reply = yield* send(Auth.rotate, { method: "POST", token })
      assert.include(reply.setCookie[0], `; Max-Age=${29 * 86_400}; `)
    }).pipe(Effect.provide(live())))

  it.effect("grants a cookie without an age where the client is not remembered", () =>
    Effect.gen(function*() {
      const token = granted(yield* send(Auth.login({ userId: "ada" }, { remember: false }), post))
      const reply = yield* send(Auth.rotate, { method: "POST", token })
      assert.notInclude(reply.setCookie[0], "Max-Age")
    }).pipe(Effect.provide(live())))

  it.effect("sends its cookie whatever the response becomes, as the old token is dead already", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Effect.zipRight(Auth.rotate, Effect.die("oops")), { method: "POST", token })
      assert.strictEqual(reply.status, 500)
      assert.strictEqual((yield* send(Auth.user, { token: granted(reply) })).status, 204)
    }).pipe(Effect.provide(live())))

  it.effect("of a session that began in the same request does not outlive a response that became an error", () =>
    Effect.gen(function*() {
      const failing = Effect.all([login(), Auth.rotate, Effect.die("oops")], { discard: true })
      const reply = yield* send(failing, post)
      assert.deepStrictEqual([reply.status, reply.setCookie.length], [500, 0])
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))

  it.effect("fails without a session and with one that is unknown", () =>
    Effect.gen(function*() {
      for (const token of [undefined, someToken, "nonsense"]) {
        const reply = yield* send(Auth.rotate, { method: "POST", token })
        assert.deepStrictEqual([reply.status, reply.setCookie.length], [401, 0])
      }
    }).pipe(Effect.provide(live())))

  it.effect("loses no update that comes between", () => {
    let between: Effect.Effect<unknown> = Effect.void
    const contended = storeWith((store) => ({
      rotate: (id, record) => Effect.zipRight(Effect.suspend(() => between), store.rotate(id, record))
    }))
    return Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const token = yield* signIn()
      const [record] = yield* records("ada")
      between = Effect.orDie(store.update({ ...record!, data: "{\"userId\":\"ada\",\"cart\":[\"tea\"]}" }))
      const next = granted(yield* send(Auth.rotate, { method: "POST", token }))
      assert.deepStrictEqual(
        (yield* send(Auth.session, { token: next })).exit,
        Exit.succeed({ userId: "ada", cart: ["tea"] })
      )
    }).pipe(Effect.provide(live({}, contended)))
  })

  it.effect("is an outage when other writers win every try, and the old token stays", () => {
    let tries = 0
    const losing = storeWith(() => ({ rotate: () => Effect.sync(() => tries++ < 0) }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.rotate, { method: "POST", token })
      assert.deepStrictEqual([reply.status, reply.setCookie.length, tries], [503, 0, 16])
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
    }).pipe(Effect.provide(live({}, losing)))
  })

  it.effect("lets one of two requests win that rotate at the same time", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const replies = yield* Effect.all(Array.makeBy(5, () => send(Auth.rotate, { method: "POST", token })), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(replies.map(({ status }) => status).sort(), [204, 401, 401, 401, 401])
      assert.strictEqual((yield* records("ada")).length, 1)
    }).pipe(Effect.provide(live())))
})
