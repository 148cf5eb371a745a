// Published holes of other session libraries, each tried here as its advisory tells it.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Schema, Stream, TestClock } from "effect"
import * as Session from "effect-security/session/Session"
import * as SessionStore from "effect-security/session/SessionStore"
import * as Edge from "../edge/fixtures.js"
import { cookieOf, get, post, serve, surfaces } from "../edge/harness.js"
import { makeHold } from "../session/faultyStore.js"
import type { Hold } from "../session/faultyStore.js"
import { Auth, granted, idOf, live, records, send, sendAny, signIn, storeWith } from "../session/fixtures.js"

const posting = (token?: string) => ({ method: "POST", token })
const statusOf = (token: string) => Effect.map(send(Auth.user, { token }), ({ status }) => status)

/** A session without a user, where an application keeps the secret of its forms. */
class Form extends Session.Tag<Form>()("test/Form", {
  session: Schema.Struct({ secret: Schema.String }),
  empty: { secret: "" }
}) {}
const formCookie = "__Host-Form"

// -----------------------------------------------------------------------------
// Signing in
// -----------------------------------------------------------------------------

describe("a session from before a sign-in", () => {
  it.effect("is another one afterwards, and its token is dead (CVE-2022-25896, GHSA-v923-w3x8-wh69)", () =>
    Effect.gen(function*() {
      const before = yield* signIn("mallory")
      const after = granted(yield* send(Auth.login({ userId: "ada" }), posting(before)))
      assert.notStrictEqual(after, before)
      assert.notStrictEqual(idOf(after), idOf(before))
      assert.deepStrictEqual([yield* statusOf(before), yield* statusOf(after)], [401, 204])
      assert.lengthOf(yield* records("mallory"), 0)
    }).pipe(Effect.provide(live())))

  for (const surface of surfaces) {
    it.scopedLive(`is dead on ${surface.join(" on ")} too (CVE-2023-29019, GHSA-4m3m-ppvx-xgw9)`, () =>
      Effect.gen(function*() {
        const sessions = yield* Edge.makeSessions()
        const server = yield* serve(surface, [Edge.loginRoute, get("/me", Edge.whoami, Edge.Auth)], sessions.layer())
        const before = yield* Edge.signIn(server, "mallory")
        const login = yield* server.send("/login", { method: "POST", headers: { "x-user": "ada", cookie: before } })
        const after = cookieOf(login)
        const dead = yield* server.send("/me", { headers: { cookie: before } })
        const alive = yield* server.send("/me", { headers: { cookie: after } })
        assert.deepStrictEqual([dead.status, alive.status, alive.body], [401, 200, "ada"])
      }))
  }

  it.effect("leaves nothing in the new one: no value bound to it survives (CVE-2023-29020, GHSA-2ccf-ffrj-m4qw)", () =>
    Effect.gen(function*() {
      const planted = yield* signIn("mallory")
      yield* send(Auth.update((session) => ({ ...session, cart: ["planted"] })), posting(planted))
      const form = granted(yield* send(Form.update(() => ({ secret: "known to mallory" })), posting()), formCookie)
      const cookies = { cookie: `__Host-session=${planted}; ${formCookie}=${form}` }
      const login = yield* send(Auth.login({ userId: "ada" }), { method: "POST", headers: cookies })
      const { exit } = yield* send(Auth.session, { token: granted(login) })
      assert.deepStrictEqual(exit._tag === "Success" && { ...exit.value }, { userId: "ada" })
      const [record] = yield* records("ada")
      assert.strictEqual(record!.data, `{"userId":"ada"}`)
    }).pipe(Effect.provide(withForm)))

  it.effect("without a user ends where the sign-in clears it, secret and all (CVE-2023-29020)", () =>
    Effect.gen(function*() {
      const form = granted(yield* send(Form.update(() => ({ secret: "known to mallory" })), posting()), formCookie)
      const headers = { cookie: `${formCookie}=${form}` }
      const secret = Effect.map(
        send(Form.session, { headers }),
        ({ exit }) => exit._tag === "Success" ? exit.value.secret : String(exit)
      )
      assert.strictEqual(yield* secret, "known to mallory")
      yield* send(Effect.zipRight(Form.clear, Auth.login({ userId: "ada" })), { method: "POST", headers })
      assert.strictEqual(yield* secret, "")
    }).pipe(Effect.provide(withForm)))
})

const withForm = Layer.provideMerge(Form.layer({}), live())

// -----------------------------------------------------------------------------
// The end of a session
// -----------------------------------------------------------------------------

const minute = 60_000
const idle = 30 * minute
const absolute = 60 * minute
const brief = { idleTimeout: idle, absoluteTimeout: absolute }

describe("a session whose time is over", () => {
  const deadlines = Effect.map(
    records("ada"),
    (all) => all.map(({ absoluteDeadline, idleDeadline }) => [idleDeadline, absoluteDeadline])
  )

  it.effect("is absent a millisecond later: no use moves its end (CVE-2024-35220, GHSA-pj27-2xvp-4qxg)", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      let token = yield* signIn()
      assert.deepStrictEqual(yield* deadlines, [[idle, absolute]])
      // Everything that restores a session and writes it back, with the age of its cookie.
      const uses: ReadonlyArray<Effect.Effect<unknown, unknown, any>> = [
        Auth.user,
        Auth.update((session) => ({ ...session, cart: ["tea"] })),
        Auth.rotate,
        Auth.session
      ]
      for (const [index, use] of uses.entries()) {
        yield* TestClock.setTime(index * 14 * minute)
        const reply = yield* sendAny(Auth.protect(use), posting(token))
        assert.isBelow(reply.status, 300)
        const age = reply.setCookie.map((cookie) => Number(/; Max-Age=(\d+)/.exec(cookie)?.[1]))
        assert.deepStrictEqual(age, use === Auth.rotate ? [(absolute - index * 14 * minute) / 1_000] : [])
        if (use === Auth.rotate) token = granted(reply)
        assert.deepStrictEqual((yield* deadlines).map(([_, end]) => end), [absolute])
      }
      yield* TestClock.setTime(absolute - 1)
      assert.strictEqual(yield* statusOf(token), 204)
      yield* TestClock.setTime(absolute + 1)
      assert.strictEqual(yield* statusOf(token), 401)
      // No look has brought it back, and it is there to be removed exactly once.
      assert.deepStrictEqual([yield* store.removeExpired(10), yield* store.removeExpired(10)], [1, 0])
    }).pipe(Effect.provide(live(brief))))

  it.effect("is removed from memory by itself within a minute (CVE-2024-35220)", () =>
    Effect.gen(function*() {
      yield* signIn()
      yield* TestClock.setTime(idle + minute)
      const store = yield* SessionStore.SessionStore
      assert.strictEqual(yield* store.removeExpired(10), 0)
    }).pipe(Effect.provide(live(brief, SessionStore.layerMemory))))

  for (const [which, end] of [["idle", idle], ["absolute", absolute]] as const) {
    it.effect(`is over for every operation in the same millisecond, that of its ${which} timeout (b0688d06)`, () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const at = (time: number) =>
          Effect.gen(function*() {
            yield* TestClock.setTime(0)
            const token = yield* signIn()
            const id = idOf(token)
            const [record] = (yield* records("ada")).filter((one) => one.id === id)
            if (which === "absolute") {
              yield* TestClock.setTime(idle - 1)
              yield* store.touch(id, absolute + idle)
            }
            yield* TestClock.setTime(time)
            return [
              Option.isSome(yield* store.find(id)),
              (yield* records("ada")).some((one) => one.id === id),
              (yield* statusOf(token)) === 204,
              (yield* send(Auth.sessions, { token })).status === 204,
              yield* store.update(record!),
              yield* store.rotate(id, new SessionStore.SessionRecord({ ...record!, version: 1 }))
            ]
          })
        const before = yield* at(end - 1)
        assert.deepStrictEqual(before, before.map(() => true))
        const during = yield* at(end)
        assert.deepStrictEqual(during, during.map(() => false))
        const after = yield* at(end + 1)
        assert.deepStrictEqual(after, after.map(() => false))
      }).pipe(Effect.provide(live(brief))))
  }
})

// -----------------------------------------------------------------------------
// A session that is deleted meanwhile
// -----------------------------------------------------------------------------

/** Holds the first update that reaches the store. */
const heldUpdate = (hold: Hold) => {
  let isFirst = true
  return storeWith((store) => ({
    update: (record) =>
      Effect.suspend(() => {
        const wait = isFirst ? hold.wait : Effect.void
        isFirst = false
        return Effect.zipRight(wait, store.update(record))
      })
  }))
}

describe("a request that is under way while its session is deleted does not save it again", () => {
  it.live("when it belongs to a user (CVE-2025-46336, GHSA-9j94-67jr-4cqj)", () =>
    Effect.gen(function*() {
      const hold = yield* makeHold
      yield* Effect.gen(function*() {
        const token = yield* signIn()
        const slow = yield* Effect.fork(
          send(Auth.update((session) => ({ ...session, cart: ["tea"] })), posting(token))
        )
        yield* hold.reached
        yield* send(Auth.logout, posting(token))
        yield* hold.release
        const reply = yield* Fiber.join(slow)
        assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
        assert.strictEqual(yield* statusOf(token), 401)
        assert.lengthOf(yield* records("ada"), 0)
      }).pipe(Effect.provide(live({}, heldUpdate(hold))))
    }))

  it.live("when it belongs to nobody (GHSA-vpfw-47h7-xj4g)", () =>
    Effect.gen(function*() {
      const hold = yield* makeHold
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const token = granted(yield* send(Form.update(() => ({ secret: "old" })), posting()), formCookie)
        const by = { method: "POST", headers: { cookie: `${formCookie}=${token}` } }
        const slow = yield* Effect.fork(send(Form.update(() => ({ secret: "new" })), by))
        yield* hold.reached
        yield* send(Form.clear, by)
        yield* hold.release
        const reply = yield* Fiber.join(slow)
        assert.include(String(reply.exit), "SessionConflict")
        assert.deepStrictEqual(reply.setCookie, [])
        assert.isTrue(Option.isNone(yield* store.find(idOf(token, Form.key))))
      }).pipe(Effect.provide(Layer.provideMerge(Form.layer({}), heldUpdate(hold))))
    }))
})

// -----------------------------------------------------------------------------
// Set-Cookie
// -----------------------------------------------------------------------------

describe("the cookie of a session is set exactly once (CVE-2025-7339)", () => {
  const responses: Readonly<Record<string, Effect.Effect<HttpServerResponse.HttpServerResponse, unknown>>> = {
    "a stream": Effect.succeed(HttpServerResponse.stream(Stream.encodeText(Stream.make("a", "b")))),
    "a redirect": Effect.succeed(HttpServerResponse.redirect("/next", { status: 303 })),
    "a 304": Effect.succeed(HttpServerResponse.empty({ status: 304 })),
    "a response with a cookie of its own": HttpServerResponse.setCookie(HttpServerResponse.empty(), "theme", "dark"),
    "a response that is sent as it is": Effect.succeed(HttpServerResponse.raw(null, { status: 200 })),
    "an error": Effect.succeed(HttpServerResponse.text("no", { status: 500 })),
    "a failure": Effect.fail("broken"),
    "a defect": Effect.die("broken")
  }
  for (const surface of surfaces) {
    it.scopedLive(`whatever the response is, on ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const sessions = yield* Edge.makeSessions()
        const routes = Object.values(responses).flatMap((response, index) => [
          post(`/login/${index}`, Effect.zipRight(Edge.login, Effect.orDie(response))),
          post(`/rotate/${index}`, Effect.zipRight(Edge.Auth.rotate, Effect.orDie(response)))
        ])
        const server = yield* serve(surface, [Edge.loginRoute, ...routes], sessions.layer())
        const ofSession = (cookies: ReadonlyArray<string>) => cookies.filter((one) => one.startsWith("__Host-session="))
        for (const [index, what] of Object.keys(responses).entries()) {
          const login = yield* server.send(`/login/${index}`, { method: "POST" })
          // What fails grants nothing.
          assert.lengthOf(ofSession(login.setCookies), login.status < 400 ? 1 : 0, `${what}: ${login.status}`)
          assert.strictEqual(login.status < 400, index < 5, what)
          // A fresh token for a session that was there goes out whatever happens, since the old one is dead.
          const before = yield* Edge.signIn(server)
          const rotate = yield* server.send(`/rotate/${index}`, { method: "POST", headers: { cookie: before } })
          assert.lengthOf(ofSession(rotate.setCookies), 1, what)
        }
      }))
  }
})
