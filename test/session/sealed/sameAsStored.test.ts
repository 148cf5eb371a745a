// What sessions promise wherever they live: the same program over a store and over sealed cookies.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Effect, Exit, Layer, Option, TestClock } from "effect"
import type * as SecurityEvents from "effect-security/SecurityEvents"
import * as SecurityTest from "effect-security/SecurityTest"
import { get, post, serve, surfaces } from "../../edge/harness.js"
import { Auth, cleared, CurrentUser, live as stored, send } from "../fixtures.js"
import type { Reply, Sent } from "../fixtures.js"
import {
  cookieOf,
  eventsTo,
  live as sealed,
  plainEvent,
  posting,
  refusal,
  refused,
  revocable,
  signIn,
  withCookie
} from "./fixtures.js"
import type { Live, Options } from "./fixtures.js"

const layers: Readonly<Record<string, (options?: Options) => Layer.Layer<Live>>> = {
  "SessionAuth.layer": (options) => stored(options as any) as Layer.Layer<any>,
  "SealedSession.layer": sealed,
  "SealedSession.layerRevocable": (options) => revocable(options) as Layer.Layer<any>
}

const whoami = Auth.protect(Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id)))
const addTea = Auth.update((session) => ({ ...session, cart: [...session.cart ?? [], "tea"] }))
const lines = (reply: Reply<unknown, unknown>) => reply.setCookie.map((line) => line.replace(/=[^;]+/, "=<value>"))
const defect = ({ exit }: Reply<unknown, unknown>) => Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : ""

/** Answers with one of several handlers that have no type in common. */
const sendAnything = (handler: Effect.Effect<any, any, any>, sent: Sent): Effect.Effect<Reply<any, any>, never, Live> =>
  send(handler as Effect.Effect<any, any, Live>, sent)

const granting = "__Host-session=<value>; Max-Age=2592000; Path=/; HttpOnly; Secure; SameSite=Lax"

for (const [title, live] of Object.entries(layers)) {
  describe(`over ${title}`, () => {
    it.effect("who signs in is let in until they sign out", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(refusal(yield* send(whoami)), refused)
        const login = yield* send(Auth.login({ userId: "ada", cart: ["tea"] }), posting())
        assert.deepStrictEqual([login.status, lines(login)], [204, [granting]])
        assert.deepStrictEqual(
          [login.headers.get("cache-control"), login.headers.get("vary")],
          ["no-store", "Cookie"]
        )
        const cookie = cookieOf(login)
        const read = yield* send(Effect.all([Auth.user, Auth.session, Auth.authenticated]), withCookie(cookie))
        const session = { userId: "ada", cart: ["tea"] }
        assert.deepStrictEqual(
          read.exit,
          Exit.succeed([{ id: "ada" }, session, { user: { id: "ada" }, auth: session }]) as any
        )
        assert.deepStrictEqual(
          [read.setCookie, read.headers.get("cache-control"), read.headers.get("vary")],
          [[], "no-store", "Cookie"]
        )
        const logout = yield* send(Auth.logout, posting(cookie))
        assert.deepStrictEqual([logout.status, logout.setCookie], [204, [cleared]])
      }).pipe(Effect.provide(live())))

    it.effect("a login that is not to be remembered gives a cookie that ends with the browser", () =>
      Effect.gen(function*() {
        const reply = yield* send(Auth.login({ userId: "ada" }, { remember: false }), posting())
        assert.deepStrictEqual(lines(reply), ["__Host-session=<value>; Path=/; HttpOnly; Secure; SameSite=Lax"])
        const rotated = yield* send(Auth.rotate, posting(cookieOf(reply)))
        assert.deepStrictEqual(lines(rotated), lines(reply))
        assert.strictEqual((yield* send(whoami, withCookie(cookieOf(rotated)))).body, "ada")
      }).pipe(Effect.provide(live())))

    it.effect("a login whose password was verified too long ago is refused, and one that was just verified is not", () =>
      Effect.gen(function*() {
        for (const now of [0, 1_750_000_000_000]) {
          yield* TestClock.setTime(now)
          const verifiedAt = DateTime.unsafeMake(now)
          const login = Auth.login({ userId: "ada" }, { verifiedAt })
          assert.strictEqual((yield* send(login, posting())).status, 204)
          yield* TestClock.setTime(now + 10 * 60 * 1_000 - 1)
          assert.strictEqual((yield* send(login, posting())).status, 204)
          yield* TestClock.setTime(now + 10 * 60 * 1_000)
          const late = yield* send(login, posting())
          assert.deepStrictEqual(refusal(late), refused)
        }
      }).pipe(Effect.provide(live())))

    it.effect("update changes what the rest of the request and the next one see", () =>
      Effect.gen(function*() {
        const cookie = yield* signIn()
        const reply = yield* send(Effect.all([Auth.session, addTea, Auth.session, addTea]), posting(cookie))
        assert.deepStrictEqual(
          Exit.map(reply.exit, ([before, , after]) => [before, after]),
          Exit.succeed([{ userId: "ada" }, { userId: "ada", cart: ["tea"] }])
        )
        // A store keeps the token that the client has.
        const next = yield* send(Auth.session, withCookie(reply.setCookie.length === 0 ? cookie : cookieOf(reply)))
        assert.deepStrictEqual(next.exit, Exit.succeed({ userId: "ada", cart: ["tea", "tea"] }))
      }).pipe(Effect.provide(live())))

    it.effect("update that changes nothing sets nothing", () =>
      Effect.gen(function*() {
        const reply = yield* send(Auth.update((session) => ({ ...session })), posting(yield* signIn()))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
      }).pipe(Effect.provide(live())))

    it.effect("update of the subject is a defect that says so, and changes nothing", () =>
      Effect.gen(function*() {
        const reply = yield* send(Auth.update(() => ({ userId: "bob" })), posting(yield* signIn()))
        assert.deepStrictEqual([reply.status, reply.setCookie], [500, []])
        assert.match(defect(reply), /test\/Auth: update does not change the subject of a session; login does/)
      }).pipe(Effect.provide(live())))

    it.effect("rotate gives the same session another credential", () =>
      Effect.gen(function*() {
        const before = cookieOf(yield* send(Auth.login({ userId: "ada", cart: ["tea"] }), posting()))
        const reply = yield* send(Effect.zipRight(Auth.rotate, Auth.session), posting(before))
        assert.deepStrictEqual(lines(reply), [granting])
        assert.notStrictEqual(cookieOf(reply), before)
        assert.deepStrictEqual(reply.exit, Exit.succeed({ userId: "ada", cart: ["tea"] }))
        assert.strictEqual((yield* send(whoami, withCookie(cookieOf(reply)))).body, "ada")
      }).pipe(Effect.provide(live())))

    it.effect("signing in anew, within one request and over a session, is the last that counts", () =>
      Effect.gen(function*() {
        const cookie = yield* signIn("ada")
        const twice = yield* send(
          Effect.all([Auth.login({ userId: "bob" }), Auth.login({ userId: "eve" }), Auth.user]),
          posting(cookie)
        )
        assert.deepStrictEqual(lines(twice), [granting])
        assert.strictEqual((yield* send(whoami, withCookie(cookieOf(twice)))).body, "eve")
        const none = yield* send(
          Effect.all([Auth.login({ userId: "bob" }), Auth.logout, Auth.userOption]),
          posting(cookie)
        )
        assert.deepStrictEqual(none.setCookie, [cleared])
        assert.deepStrictEqual(Exit.map(none.exit, ([, , user]) => user), Exit.succeed(Option.none()))
        const again = yield* send(Effect.all([Auth.logout, Auth.login({ userId: "bob" })]), posting(cookie))
        assert.strictEqual((yield* send(whoami, withCookie(cookieOf(again)))).body, "bob")
      }).pipe(Effect.provide(live())))

    it.effect("logout without a session, and with one that is none, succeeds and clears the cookie", () =>
      Effect.gen(function*() {
        for (
          const cookie of [undefined, "theme=dark", "__Host-session=nonsense", "__Host-session=a; __Host-session=b"]
        ) {
          const reply = yield* send(Auth.logout, posting(cookie))
          assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]])
        }
      }).pipe(Effect.provide(live())))

    it.effect("who has no session, or a wrong one, is refused by what needs one, and nothing is set or cleared", () =>
      Effect.gen(function*() {
        const operations: ReadonlyArray<Effect.Effect<unknown, unknown, any>> = [
          Auth.user,
          Auth.session,
          addTea,
          Auth.rotate
        ]
        for (const cookie of [undefined, "__Host-session=1.AAAA", "session=1.AAAA", "__Host-session="]) {
          for (const operation of operations) {
            assert.deepStrictEqual(refusal(yield* sendAnything(operation, posting(cookie))), refused)
          }
          const nobody = yield* send(Auth.userOption, withCookie(cookie))
          assert.deepStrictEqual([nobody.exit, nobody.setCookie], [Exit.succeed(Option.none()), []])
        }
      }).pipe(Effect.provide(live())))

    it.effect("a user that does not exist any more is refused, and the session stays", () =>
      Effect.gen(function*() {
        const cookie = yield* signIn("ghost")
        assert.deepStrictEqual(refusal(yield* send(whoami, withCookie(cookie))), refused)
      }).pipe(Effect.provide(live())))

    it.effect("a grant does not go out with a response of 400 or above, whatever it became so by", () =>
      Effect.gen(function*() {
        const endings = [
          Effect.die("oops"),
          Effect.fail("no"),
          Effect.succeed(HttpServerResponse.empty({ status: 400 })),
          Effect.succeed(HttpServerResponse.empty({ status: 503 }))
        ]
        for (const ending of endings) {
          const login = yield* send(Effect.zipRight(Auth.login({ userId: "ada" }), ending), posting())
          assert.isAtLeast(login.status, 400)
          assert.deepStrictEqual(login.setCookie, [])
          const changes = Effect.all([Auth.login({ userId: "ada" }), addTea, Auth.rotate])
          const changed = yield* send(Effect.zipRight(changes, ending), posting())
          assert.deepStrictEqual(changed.setCookie, [])
          const logout = yield* send(Effect.zipRight(Auth.logout, ending), posting())
          assert.deepStrictEqual(logout.setCookie, [cleared])
        }
      }).pipe(Effect.provide(live())))

    it.effect("a rotation goes out whatever the response becomes", () =>
      Effect.gen(function*() {
        const reply = yield* send(Effect.zipRight(Auth.rotate, Effect.die("oops")), posting(yield* signIn()))
        assert.deepStrictEqual([reply.status, lines(reply)], [500, [granting]])
      }).pipe(Effect.provide(live())))

    it.effect("another site can neither use a session nor write one", () =>
      Effect.gen(function*() {
        const cookie = yield* signIn()
        const operations = [Auth.user, Auth.session, addTea, Auth.rotate, Auth.logout, Auth.login({ userId: "eve" })]
        for (
          const headers of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }, { origin: "null" }]
        ) {
          for (const operation of operations) {
            const reply = yield* sendAnything(operation, withCookie(cookie, { method: "POST", headers }))
            assert.deepStrictEqual(
              [reply.status, reply.setCookie, JSON.parse(reply.body)._tag],
              [403, [], "CrossSiteRejected"]
            )
          }
        }
        const trusted = withCookie(cookie, { method: "POST", headers: { origin: "https://trusted.example" } })
        assert.strictEqual((yield* send(addTea, trusted)).status, 204)
      }).pipe(Effect.provide(live({ trustedOrigins: ["https://trusted.example"] }))))

    it.effect("a session is neither begun, ended nor rotated once no cookie can be set any more", () =>
      Effect.gen(function*() {
        const cookie = yield* signIn()
        const headers = { upgrade: "websocket", connection: "Upgrade" }
        for (const operation of [Auth.login({ userId: "bob" }), Auth.logout, Auth.rotate]) {
          const reply = yield* sendAnything(operation, withCookie(cookie, { headers }))
          assert.deepStrictEqual([reply.status, reply.setCookie], [400, []])
          assert.match(defect(reply), /no cookie can be set any more/)
        }
        const read = yield* send(Auth.user, withCookie(cookie, { headers }))
        assert.deepStrictEqual([read.exit, read.setCookie], [Exit.succeed({ id: "ada" }), []])
      }).pipe(Effect.provide(live())))

    it.effect("the cookie of SecurityTest is one of that session", () =>
      Effect.gen(function*() {
        const cookie = yield* SecurityTest.cookie(Auth, { userId: "grace", cart: ["tea"] })
        const reply = yield* send(Auth.session, withCookie(cookie))
        assert.deepStrictEqual(reply.exit, Exit.succeed({ userId: "grace", cart: ["tea"] }))
        assert.deepStrictEqual(yield* SecurityTest.headers(Auth, { userId: "grace" }).pipe(Effect.map(Object.keys)), [
          "cookie"
        ])
      }).pipe(Effect.provide(live())))

    it.effect("guards are asked after the user is known", () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* send(whoami, withCookie(yield* signIn("ada")))).status, 200)
        assert.strictEqual((yield* send(whoami, withCookie(yield* signIn("eve")))).status, 403)
      }).pipe(Effect.provide(live({ guards: [(user: { id: string }) => Effect.succeed(user.id !== "eve")] }))))
  })
}

describe("events", () => {
  const session = Effect.gen(function*() {
    const login = Auth.login({ userId: "ada" })
    const cookie = cookieOf(yield* send(login, posting()))
    yield* send(Effect.zipRight(login, Effect.die("oops")), posting())
    yield* send(Effect.all([login, addTea, Effect.die("oops")]), posting())
    yield* send(Effect.all([login, Auth.rotate, Effect.die("oops")]), posting())
    yield* send(Effect.all([login, Auth.logout]), posting())
    const rotated = cookieOf(yield* send(Auth.rotate, posting(cookie)))
    yield* send(Auth.user, withCookie("__Host-session=nonsense"))
    yield* send(Auth.user)
    yield* send(Auth.logout, withCookie(rotated, { method: "POST", headers: { origin: "https://evil.example" } }))
    yield* send(Auth.logout, posting(rotated))
    yield* send(Auth.logout, posting("__Host-session=nonsense"))
    yield* send(Auth.logout, posting())
  })

  const eventsOf = (live: (options?: Options) => Layer.Layer<Live>) =>
    Effect.suspend(() => {
      const events: Array<SecurityEvents.SecurityEvent> = []
      return Effect.as(Effect.provide(session, Layer.provide(live(), eventsTo(events))), events)
    })

  const told = (events: ReadonlyArray<SecurityEvents.SecurityEvent>) =>
    events.map(plainEvent).map(({ _tag, backend, error, subject }) => [_tag, backend, subject ?? error])

  it.effect("are the same, but that nobody is told an id where there is none", () =>
    Effect.gen(function*() {
      const [ofStored, ofSealed, ofRevocable] = yield* Effect.forEach(Object.values(layers), eventsOf)
      assert.isAbove(ofStored!.length, 10)
      assert.deepStrictEqual(told(ofSealed!), told(ofStored!))
      assert.deepStrictEqual(told(ofRevocable!), told(ofStored!))
      for (const event of [...ofSealed!, ...ofRevocable!]) {
        if ("credential" in event) assert.deepStrictEqual(event.credential, Option.none())
      }
    }))
})

describe("on every router", () => {
  const routes = [
    post("/login", Effect.as(Auth.login({ userId: "ada" }), HttpServerResponse.empty({ status: 204 }))),
    post("/large", Effect.as(Auth.login({ userId: "ada", cart: ["x".repeat(4_000)] }), HttpServerResponse.empty())),
    post("/huge", Effect.as(Auth.login({ userId: "ada", cart: ["x".repeat(8_000)] }), HttpServerResponse.empty())),
    post("/fails", Effect.zipRight(Auth.login({ userId: "eve" }), Effect.die("oops"))),
    post("/logout", Effect.as(Auth.logout, HttpServerResponse.empty({ status: 204 }))),
    get("/me", Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id)), Auth),
    post("/update", Effect.as(addTea, HttpServerResponse.empty({ status: 204 })), Auth)
  ]

  for (const surface of surfaces) {
    it.scopedLive(`a sealed session is granted, used, changed, refused and cleared: ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const server = yield* serve(surface, routes, sealed())
        const request = (path: string, cookie?: string, method = "POST") =>
          Effect.map(
            server.send(path, { method, headers: cookie === undefined ? {} : { cookie } }),
            (reply) => ({ ...reply, setCookie: reply.setCookies })
          )
        const cookie = cookieOf(yield* request("/login"))
        assert.strictEqual((yield* request("/me", cookie, "GET")).body, "ada")
        const updated = yield* request("/update", cookie)
        assert.strictEqual(updated.status, 204)
        assert.strictEqual((yield* request("/me", cookieOf(updated), "GET")).body, "ada")
        const large = cookieOf(yield* request("/large"))
        assert.match(large, /^__Host-session=2\.[\w-]+; __Host-session\.1=[\w-]+$/)
        assert.strictEqual((yield* request("/me", large, "GET")).body, "ada")
        const huge = yield* request("/huge", large)
        assert.deepStrictEqual([huge.status, huge.setCookie], [413, []])
        assert.include(huge.body, "\"limit\":8192")
        const fails = yield* request("/fails", large)
        assert.deepStrictEqual([fails.status, fails.setCookie], [500, []])
        for (const bad of [large.slice(0, -1), large.split("; ")[0]!, "__Host-session=nonsense"]) {
          const reply = yield* request("/me", bad, "GET")
          assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
          assert.deepStrictEqual([reply.headers["www-authenticate"], reply.headers["vary"]], ["Cookie", "Cookie"])
        }
        assert.deepStrictEqual((yield* request("/logout", large)).setCookie, [
          cleared,
          cleared.replace("session", "session.1")
        ])
      }))
  }
})
