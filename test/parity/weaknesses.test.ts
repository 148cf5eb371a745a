// Holes that Litestar has, from outside: each test does what the attacker, the unlucky browser or the forgetful
// application does, and sees that nothing comes of it.
import { HttpApiSecurity, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { SecurityConfig, SecurityError, SessionAuth, SessionStore } from "effect-security"
import * as ResponseJar from "effect-security/http/ResponseJar"
import { inspect } from "node:util"
import { WebSocket } from "ws"
import * as Edge from "../edge/fixtures.js"
import { get, onNode } from "../edge/harness.js"
import {
  Auth,
  cleared,
  CurrentUser,
  granted,
  idOf,
  live,
  logsTo,
  memory,
  records,
  send,
  Session,
  signIn,
  storeWith
} from "../session/fixtures.js"

const posting = (token?: string) => ({ method: "POST", token })
const failureTag = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit)
    ? Option.getOrUndefined(Cause.failureOption(exit.cause) as Option.Option<{ readonly _tag: string }>)?._tag
    : "success"

// -----------------------------------------------------------------------------
// W1, W2: fixation
// -----------------------------------------------------------------------------

describe("a token that somebody put into another's browser", () => {
  it.effect("is dead after the victim signs in: made up, of nobody, or the attacker's own", () =>
    Effect.gen(function*() {
      const attackers = yield* signIn("mallory")
      for (const planted of ["attacker-chosen", "null", `${"A".repeat(12)}.${"A".repeat(43)}`, attackers]) {
        const victims = granted(yield* send(Auth.login({ userId: "ada" }), posting(planted)))
        assert.notStrictEqual(victims, planted)
        assert.strictEqual((yield* send(Auth.user, { token: planted })).status, 401, planted)
        assert.deepStrictEqual((yield* send(Auth.user, { token: victims })).exit, Exit.succeed({ id: "ada" }))
      }
    }).pipe(Effect.provide(live())))

  it.effect("is another after gaining rights, where the application rotates", () =>
    Effect.gen(function*() {
      const before = yield* signIn()
      const after = granted(yield* send(Auth.rotate, posting(before)))
      assert.deepStrictEqual(
        [(yield* send(Auth.user, { token: before })).status, (yield* send(Auth.user, { token: after })).status],
        [401, 204]
      )
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// W4, W9: the cookie and the keys of the store
// -----------------------------------------------------------------------------

describe("whoever knows what lies in the store", () => {
  it.effect("opens, ends and overwrites nothing by it: no key of the store is a token, and no token a key", () => {
    const asked = new Set<string>()
    const store = storeWith((store) => ({
      find: (id) => Effect.zipRight(Effect.sync(() => asked.add(id)), store.find(id)),
      remove: (id) => Effect.zipRight(Effect.sync(() => asked.add(id)), store.remove(id))
    }))
    return Effect.gen(function*() {
      const service = yield* SessionStore.SessionStore
      const token = yield* signIn()
      const [record] = yield* records("ada")
      // A record that somebody else's code stored, under an id that looks like a token.
      const planted = `${"B".repeat(12)}.${"B".repeat(42)}A` as SessionStore.SessionRecord["id"]
      yield* service.create(new SessionStore.SessionRecord({ ...record!, id: planted, subject: "admin" }))
      asked.clear()
      for (const key of [record!.id, planted]) {
        assert.strictEqual((yield* send(Auth.user, { token: key })).status, 401)
        yield* send(Auth.logout, posting(key))
        yield* send(Auth.login({ userId: "mallory" }), posting(key))
        assert.isFalse(asked.has(key), "the store is never asked for what a client names")
      }
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
      assert.isTrue(Option.isSome(yield* service.find(planted)))
      assert.notInclude(JSON.stringify(yield* records("ada")), token.slice(13))
    }).pipe(Effect.provide(live({}, store)))
  })
})

// -----------------------------------------------------------------------------
// W5: the end of a cookie
// -----------------------------------------------------------------------------

describe("a browser", () => {
  /** RFC 6265 section 5.3: Max-Age has precedence over Expires; a cookie that is over is removed. */
  const ageOf = (setCookie: string) => Number(/; Max-Age=(-?\d+)/.exec(setCookie)?.[1])

  it.effect("forgets the session when it signs out, and sends no word in its place", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.logout, posting(yield* signIn()))
      assert.deepStrictEqual(reply.setCookie, [cleared])
      assert.strictEqual(ageOf(cleared), 0)
      // What a browser that kept the words of a clearing cookie would send.
      for (const word of ["null", "deleted", ""]) {
        const next = yield* send(Auth.user, { token: word })
        assert.deepStrictEqual([next.status, next.setCookie], [401, []])
      }
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// W8: how long a stolen session lasts
// -----------------------------------------------------------------------------

it.effect("a stolen session that is used every minute ends with its absolute timeout all the same", () =>
  Effect.gen(function*() {
    const token = yield* signIn()
    for (let minute = 1; minute < 60; minute++) {
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204, String(minute))
    }
    yield* TestClock.adjust("1 minute")
    assert.strictEqual((yield* send(Auth.user, { token })).status, 401)
  }).pipe(Effect.provide(live({ idleTimeout: "5 minutes", absoluteTimeout: "1 hour" }))))

// -----------------------------------------------------------------------------
// W12: users that are falsy
// -----------------------------------------------------------------------------

describe("a user", () => {
  class Anything extends Context.Tag("test/parity/Anything")<Anything, unknown>() {}
  class ValueAuth extends SessionAuth.Tag<ValueAuth>()("test/parity/ValueAuth", { user: Anything, session: Session }) {}
  class ValueToken extends SecurityConfig.Tag<ValueToken>()("test/parity/ValueToken", {
    scheme: HttpApiSecurity.bearer,
    user: Anything
  }) {}

  for (const user of [0, "", false, null, undefined, {}, []]) {
    it.effect(`may be ${JSON.stringify(user)}: only None is nobody`, () => {
      const found = () => Effect.succeed(Option.some<unknown>(user))
      const both = Layer.merge(
        Layer.provide(ValueAuth.layer({ retrieveUser: found }), memory),
        ValueToken.layer({ authenticate: found })
      )
      return Effect.gen(function*() {
        const token = granted(yield* send(ValueAuth.login({ userId: "ada" }), posting()))
        const sent = { token, headers: { cookie: `__Host-session=${token}`, authorization: "Bearer x" } }
        const { exit } = yield* send(
          Effect.all([ValueAuth.protect(Anything), ValueAuth.user, ValueAuth.userOption, ValueToken.user]),
          sent
        )
        assert.deepStrictEqual(exit, Exit.succeed([user, user, Option.some(user), user] as const))
      }).pipe(Effect.provide(both))
    })
  }

  it.effect("that cannot be found for a moment is not signed out by that", () => {
    let answer: Effect.Effect<Option.Option<{ readonly id: string }>, string> = Effect.succeedNone
    return Effect.gen(function*() {
      const token = yield* signIn()
      const missed = yield* send(Auth.user, { token })
      assert.deepStrictEqual([missed.status, missed.setCookie], [401, []])
      answer = Effect.fail("the database is away")
      const away = yield* send(Auth.user, { token })
      assert.deepStrictEqual([away.status, away.setCookie], [503, []])
      answer = Effect.succeedSome({ id: "ada" })
      assert.deepStrictEqual((yield* send(Auth.user, { token })).exit, Exit.succeed({ id: "ada" }))
    }).pipe(
      Effect.provide(live({ retrieveUser: () => Effect.suspend(() => answer) })),
      Effect.provide(logsTo([]))
    )
  })
})

// -----------------------------------------------------------------------------
// W13: sockets
// -----------------------------------------------------------------------------

describe("a socket that stays open", () => {
  it.scopedLive("may change the session, and the next request sees it", () =>
    Effect.gen(function*() {
      const sessions = yield* Edge.makeSessions()
      const visiting = Effect.gen(function*() {
        const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
        const write = yield* socket.writer
        const visit = Edge.Auth.update((session) => ({ ...session, visits: (session.visits ?? 0) + 1 }))
        const context = yield* Effect.context<Effect.Effect.Context<typeof visit>>()
        yield* socket.runRaw(() => Effect.provide(Effect.zipRight(Effect.orDie(visit), write("done")), context))
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped, Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))
      const visits = Effect.map(Edge.Auth.session, ({ visits }) => HttpServerResponse.text(String(visits)))
      const server = yield* onNode(
        "HttpRouter",
        [Edge.loginRoute, get("/socket", visiting, Edge.Auth), get("/visits", visits, Edge.Auth)],
        sessions.layer()
      )
      const cookie = yield* Edge.signIn(server)
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => new WebSocket(`ws://127.0.0.1:${server.port}/socket`, { headers: { cookie } })),
        (socket) => Effect.sync(() => socket.terminate())
      )
      yield* Effect.async<void>((resume) => {
        socket.once("open", () => socket.send("visit"))
        socket.once("message", () => resume(Effect.void))
        socket.once("error", (error) => resume(Effect.die(error)))
      })
      assert.strictEqual((yield* server.send("/visits", { headers: { cookie } })).body, "1")
    }))

  /** A handler that never ends by itself, and what became of it. */
  const opened = (token: string) =>
    Effect.gen(function*() {
      let isInterrupted = false
      const open = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          isInterrupted = true
        }))
      const fiber = yield* Effect.fork(send(Auth.whileAuthenticated(open), { token }))
      yield* TestClock.adjust("10 minutes")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)), "it is open for as long as the session is good")
      return {
        isOpen: Effect.map(Fiber.poll(fiber), Option.isNone),
        outcome: Effect.map(Fiber.join(fiber), ({ exit }) => [failureTag(exit), isInterrupted] as const)
      }
    })

  const ends: Readonly<Record<string, Effect.Effect<unknown, unknown, any>>> = {
    "signs out": Auth.logout,
    "ends all sessions": Auth.revokeAll(),
    "is given a fresh token": Auth.rotate
  }
  for (const [sentence, end] of Object.entries(ends)) {
    it.effect(`is closed within a minute after its person ${sentence}`, () =>
      Effect.gen(function*() {
        const token = yield* signIn()
        const { outcome } = yield* opened(token)
        yield* send(end as Effect.Effect<unknown, unknown, Auth>, posting(token))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* outcome, ["NotAuthorized", true])
      }).pipe(Effect.provide(live())))
  }

  it.effect("is closed within a minute after a guard refuses its user", () => {
    let isRefused = false
    const guards = [
      () => Effect.suspend(() => isRefused ? Effect.fail(new SecurityError.PermissionDenied()) : Effect.void)
    ]
    return Effect.gen(function*() {
      const { outcome } = yield* opened(yield* signIn())
      isRefused = true
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* outcome, ["PermissionDenied", true])
    }).pipe(Effect.provide(live({ guards })))
  })

  it.effect("waits one outage out and is closed by a second in a row", () => {
    let isDown = false
    const store = storeWith((store) => ({
      find: (id) => Effect.suspend(() => isDown ? Effect.fail(new SecurityError.SecurityUnavailable()) : store.find(id))
    }))
    return Effect.gen(function*() {
      const { isOpen, outcome } = yield* opened(yield* signIn())
      for (const down of [true, false, true, false]) {
        isDown = down
        yield* TestClock.adjust("1 minute")
        assert.isTrue(yield* isOpen)
      }
      isDown = true
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* outcome, ["SecurityUnavailable", true])
    }).pipe(Effect.provide(live({}, store)), Effect.provide(logsTo([])))
  })

  it.effect("is no use of the session: it ends when the person is idle", () =>
    Effect.gen(function*() {
      const { outcome } = yield* opened(yield* signIn())
      yield* TestClock.adjust("21 minutes")
      assert.deepStrictEqual(yield* outcome, ["NotAuthorized", true])
    }).pipe(Effect.provide(live({ idleTimeout: "30 minutes" }))))

  it.effect("does not begin for nobody", () =>
    Effect.gen(function*() {
      let hasBegun = false
      const reply = yield* send(Auth.whileAuthenticated(Effect.sync(() => {
        hasBegun = true
      })))
      assert.deepStrictEqual([reply.status, hasBegun], [401, false])
      const ended = yield* send(Auth.whileAuthenticated(Effect.succeed("the end")), { token: yield* signIn() })
      assert.deepStrictEqual(ended.exit, Exit.succeed("the end"))
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// W11: one person's sessions
// -----------------------------------------------------------------------------

it.effect("a person sees their devices, ends one of them, and then all but the one in hand", () =>
  Effect.gen(function*() {
    const login = (device: string) =>
      Effect.map(
        send(Auth.login({ userId: "ada" }), { method: "POST", headers: { "user-agent": device } }),
        (reply) => granted(reply)
      )
    const [phone, tablet, laptop] = [yield* login("phone"), yield* login("tablet"), yield* login("laptop")]
    const bobs = yield* signIn("bob")
    const devices = Effect.map(send(Auth.sessions, { token: laptop }), ({ exit }) =>
      Exit.match(exit, {
        onFailure: String,
        onSuccess: (sessions) =>
          sessions.map(({ isCurrent, userAgent }) => isCurrent ? `${userAgent}!` : userAgent).sort()
      }))
    assert.deepStrictEqual(yield* devices, ["laptop!", "phone", "tablet"])
    yield* send(Auth.revoke(idOf(phone)), posting(laptop))
    assert.deepStrictEqual(yield* devices, ["laptop!", "tablet"])
    yield* send(Auth.revokeAll({ except: "current" }), posting(laptop))
    assert.deepStrictEqual(yield* devices, ["laptop!"])
    const statuses = yield* Effect.forEach(
      [phone, tablet, laptop, bobs],
      (token) => Effect.map(send(Auth.user, { token }), ({ status }) => status)
    )
    assert.deepStrictEqual(statuses, [401, 401, 204, 204])
  }).pipe(Effect.provide(live())))

// -----------------------------------------------------------------------------
// W15: what a program prints
// -----------------------------------------------------------------------------

it.effect("nothing that can be printed of a backend, its store and a request holds a token", () => {
  const printed: Array<string> = []
  const print = (u: unknown) => printed.push(inspect(u, { depth: 25 }))
  return Effect.gen(function*() {
    const token = yield* signIn()
    print(Auth)
    print(yield* Auth)
    print(yield* SessionStore.SessionStore)
    print(yield* records("ada"))
    const reply = yield* send(
      Effect.tap(
        Effect.all([Auth.rotate, Auth.authenticated]),
        () => Effect.map(HttpServerRequest.HttpServerRequest, (request) => print(ResponseJar.get(request)))
      ),
      posting(token)
    )
    const fresh = granted(reply)
    assert.isTrue(printed.join().includes("ada"), "the records are printed")
    for (const secret of [token, fresh].map((token) => token.slice(13))) {
      assert.isFalse(printed.join().includes(secret))
    }
  }).pipe(Effect.provide(live()))
})

// -----------------------------------------------------------------------------
// W49: cross-site requests
// -----------------------------------------------------------------------------

it.effect("no token that a page could hold lets a cross-site request pass: where it comes from decides", () =>
  Effect.gen(function*() {
    const token = yield* signIn()
    const foreign = (headers: Record<string, string>) =>
      send(Auth.protect(CurrentUser), {
        method: "POST",
        token,
        headers: { origin: "https://evil.example", "sec-fetch-site": "cross-site", ...headers }
      })
    for (
      const headers of [
        {},
        { "x-csrftoken": "a".repeat(128), cookie: `__Host-session=${token}; csrftoken=${"a".repeat(128)}` },
        { "content-type": "application/json" },
        { "x-requested-with": "XMLHttpRequest" },
        { referer: "https://app.example.com/" }
      ] as ReadonlyArray<Record<string, string>>
    ) {
      const reply = yield* foreign(headers)
      assert.deepStrictEqual([reply.status, failureTag(reply.exit), reply.setCookie], [403, "CrossSiteRejected", []])
    }
    const own = yield* send(Auth.protect(CurrentUser), {
      method: "POST",
      token,
      headers: { origin: "https://app.example.com", "sec-fetch-site": "same-origin" }
    })
    assert.deepStrictEqual(own.exit, Exit.succeed({ id: "ada" }))
  }).pipe(Effect.provide(live())))
