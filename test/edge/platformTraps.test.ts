import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpApp,
  HttpLayerRouter,
  HttpMiddleware,
  HttpRouter,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse,
  OpenApi
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Layer, Option, ParseResult, Schema, Stream, Tracer } from "effect"
import { SecurityError, SessionAuth, SessionStore } from "effect-security"
import {
  Auth,
  BasicAuth,
  basicHeader,
  basicLive,
  BearerAuth,
  bearerLive,
  CookieKeyAuth,
  cookieKeyLive,
  CurrentUser,
  KeyAuth,
  keyLive,
  login,
  loginRoute,
  makeSessions,
  retrieveUser,
  signIn,
  whoami
} from "./fixtures.js"
import type { Asked } from "./fixtures.js"
import {
  app,
  bothApis,
  cookieOf,
  eventually,
  gate,
  get,
  hosts,
  httpApp,
  isClearing,
  listen,
  onNode,
  post,
  requestText,
  routerNames,
  serve,
  surfaces
} from "./harness.js"
import type { Reply } from "./harness.js"

const me = get("/me", whoami, Auth)
const ok = Effect.succeed(HttpServerResponse.empty({ status: 204 }))
const token = `AAAAAAAAAAAA.${"A".repeat(43)}`

/** Runs on every router, on Node and as a web handler. */
const everywhere = <E, R>(f: (surface: (typeof surfaces)[number], label: string) => Effect.Effect<void, E, R>) =>
  Effect.forEach(surfaces, (surface) => f(surface, surface.join(" on ")), { discard: true })

// -----------------------------------------------------------------------------
// Reading credentials
// -----------------------------------------------------------------------------

describe("traps in reading credentials", () => {
  it.scopedLive("a no-break space makes another cookie, which never hides nor replaces a session (base E1)", () =>
    Effect.gen(function*() {
      for (const router of routerNames) {
        const sessions = yield* makeSessions()
        const server = yield* onNode(router, [loginRoute, me], sessions.layer())
        const mallory = yield* signIn(server, "mallory")
        const ada = yield* signIn(server, "ada")
        const ask = (cookie: string) => server.raw(requestText("/me", { headers: { cookie } }))
        for (const space of ["\u00a0", "\u00c2\u00a0", "\u0085"]) {
          for (
            const cookie of [
              `${space}${mallory}; ${ada}`,
              `${ada}; ${space}${mallory}`,
              `${ada};${space}${mallory}`,
              `${mallory.replace("=", `${space}=`)}; ${ada}`
            ]
          ) {
            assert.strictEqual((yield* ask(cookie)).body, "ada", `${router}: ${JSON.stringify(cookie)}`)
          }
          assert.strictEqual((yield* ask(`${space}${mallory}`)).status, 401, `${router}: ${JSON.stringify(space)}`)
          assert.strictEqual((yield* ask(`${mallory}${space}`)).status, 401, `${router}: ${JSON.stringify(space)}`)
        }
      }
    }))

  it.scopedLive("a bearer backend reads no other scheme, and HttpApi's own decoder decides nothing (base E2, E21)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const asked: Asked = []
        const server = yield* serve(surface, [get("/me", whoami, BearerAuth)], bearerLive(asked))
        const ask = (authorization: string) => server.send("/me", { headers: { authorization } })
        for (
          const authorization of [
            "Basic dXNlcgood",
            "Tokenxgood",
            "Bearer.good",
            "Bearergood",
            "Digest good",
            "xBearer good",
            "Bearer good, Bearer good",
            "Bearer good good",
            "Bearer \"good\"",
            "Bearer"
          ]
        ) {
          assert.strictEqual((yield* ask(authorization)).status, 401, `${label}: ${authorization}`)
        }
        assert.deepStrictEqual(asked, [], label)
        for (const authorization of ["Bearer good", "bearer good", "BEARER   good"]) {
          assert.strictEqual((yield* ask(authorization)).body, "bob", `${label}: ${authorization}`)
        }
      })
    ))

  it.scopedLive("a second Authorization header makes the credential invalid, whichever comes first (E21)", () =>
    Effect.gen(function*() {
      for (const router of routerNames) {
        const asked: Asked = []
        const server = yield* onNode(router, [get("/me", whoami, BearerAuth)], bearerLive(asked))
        for (
          const pair of [["Bearer good", "Bearer evil"], ["Bearer evil", "Bearer good"], ["Bearer good", "Basic x"]]
        ) {
          const lines = pair.map((value) => `Authorization: ${value}\r\n`).join("")
          const reply = yield* server.raw(`GET /me HTTP/1.1\r\nHost: a\r\n${lines}Connection: close\r\n\r\n`)
          assert.strictEqual(reply.status, 401, `${router}: ${pair.join()}`)
        }
        assert.deepStrictEqual(asked, [])
      }
    }))

  it.scopedLive("a password with colons signs in by Basic (base E3, E21)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const server = yield* serve(surface, [get("/me", whoami, BasicAuth)], basicLive([], "a:b::c:"))
        const ask = (password: string) =>
          server.send("/me", { headers: { authorization: basicHeader("bob", password) } })
        assert.strictEqual((yield* ask("a:b::c:")).body, "bob", label)
        assert.strictEqual((yield* ask("a")).status, 401, label)
      })
    ))

  it.scopedLive("a missing or empty credential is no credential, and no backend is asked about it (base E4)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const asked: Asked = []
        const found: Array<string> = []
        const sessions = yield* makeSessions((store) => ({
          find: (id) => Effect.zipRight(Effect.sync(() => found.push(id)), store.find(id))
        }))
        const server = yield* serve(
          surface,
          [
            me,
            get("/bearer", whoami, BearerAuth),
            get("/basic", whoami, BasicAuth),
            get("/key", whoami, KeyAuth),
            get("/cookie-key", whoami, CookieKeyAuth)
          ],
          Layer.mergeAll(sessions.layer(), bearerLive(asked), basicLive(asked), keyLive(asked), cookieKeyLive(asked))
        )
        for (const path of ["/me", "/bearer", "/basic", "/key", "/cookie-key"]) {
          for (
            const headers of [
              {},
              { cookie: "" },
              { cookie: "__Host-session=; service=" },
              { cookie: "__Host-session; service" },
              { authorization: "" },
              { authorization: "Bearer " },
              { authorization: "Basic " },
              { "x-service-key": "" }
            ]
          ) {
            assert.strictEqual((yield* server.send(path, { headers })).status, 401, `${label}: ${path}`)
          }
        }
        assert.deepStrictEqual([...asked, ...found], [], label)
      })
    ))

  it.scopedLive("cookies named as members of Object.prototype are cookies like any other (base E8)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [loginRoute, me], sessions.layer())
        const session = yield* signIn(server)
        const cookie = `__proto__=evil; constructor=evil; ${session}; toString=evil; hasOwnProperty=evil`
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).body, "ada", label)
        for (const cookie of ["__proto__=evil", "constructor=evil"]) {
          assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).status, 401, label)
        }
      })
    ))

  it.scopedLive("a token goes out and comes back byte for byte: an encoded or quoted one is none (E10)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [loginRoute, me], sessions.layer())
        const cookie = yield* signIn(server)
        assert.match(cookie, /^__Host-session=[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, label)
        const value = cookie.slice(cookie.indexOf("=") + 1)
        for (
          const other of [
            value.replace(".", "%2E"),
            value.replace(".", "%2e"),
            `"${value}"`,
            ` ${value}`,
            `${value} `,
            `${value}=`,
            `${value}%`,
            `%${value.charCodeAt(0).toString(16)}${value.slice(1)}`
          ]
        ) {
          const reply = yield* server.send("/me", { headers: { cookie: `__Host-session=${other}; a=b` } })
          assert.strictEqual(reply.status, 401, `${label}: ${other}`)
          assert.deepStrictEqual(reply.setCookies, [], label)
        }
      })
    ))

  it.effect("an endless Max-Age is refused when the Layer is built, by the name of the option (E10)", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.scoped(Layer.build(Layer.provide(
          Auth.layer({ retrieveUser, absoluteTimeout: Infinity }),
          SessionStore.layerMemory
        )))
      )
      assert.include(String(exit), "absoluteTimeout is a positive, finite duration")
    }))

  it.scopedLive("two session cookies are an invalid credential and neither is looked up, on one line or two (E11)", () =>
    Effect.gen(function*() {
      const found: Array<string> = []
      for (const router of routerNames) {
        const sessions = yield* makeSessions((store) => ({
          find: (id) => Effect.zipRight(Effect.sync(() => found.push(id)), store.find(id))
        }))
        const server = yield* onNode(router, [loginRoute, me], sessions.layer())
        const ada = yield* signIn(server)
        const evil = `__Host-session=${token}`
        found.length = 0
        for (const lines of [[`${ada}; ${evil}`], [`${evil}; ${ada}`], [ada, evil], [evil, ada], [`${ada}; ${ada}`]]) {
          const cookies = lines.map((line) => `Cookie: ${line}\r\n`).join("")
          const reply = yield* server.raw(`GET /me HTTP/1.1\r\nHost: a\r\n${cookies}Connection: close\r\n\r\n`)
          assert.strictEqual(reply.status, 401, `${router}: ${lines.join(" | ")}`)
          assert.deepStrictEqual(reply.setCookies, [])
        }
        assert.deepStrictEqual(found, [], router)
      }
    }))
})

// -----------------------------------------------------------------------------
// Writing credentials
// -----------------------------------------------------------------------------

describe("traps in writing credentials", () => {
  it.scopedLive("a cookie has every attribute, also when it is set on a nested path (base E6, E9)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [post("/auth/deep/login", Effect.zipRight(login, ok))], sessions.layer())
        const reply = yield* server.send("/auth/deep/login", { method: "POST" })
        assert.lengthOf(reply.setCookies, 1, label)
        const [pair, ...attributes] = reply.setCookies[0]!.split("; ")
        assert.match(pair!, /^__Host-session=/, label)
        assert.deepStrictEqual(
          attributes.sort(),
          ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Lax", "Secure"],
          label
        )
      })
    ))

  it.scopedLive("a clearing cookie repeats every attribute and has expired in 1970 (E6)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [post("/logout", Effect.zipRight(Auth.logout, ok))], sessions.layer())
        const reply = yield* server.send("/logout", { method: "POST" })
        assert.strictEqual(reply.status, 204, label)
        assert.lengthOf(reply.setCookies, 1, label)
        const [pair, ...attributes] = reply.setCookies[0]!.split("; ")
        assert.strictEqual(pair, "__Host-session=", label)
        assert.deepStrictEqual(
          attributes.sort(),
          ["Expires=Thu, 01 Jan 1970 00:00:00 GMT", "HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure"],
          label
        )
      })
    ))

  it.scopedLive("a session that ends makes the browser forget it, even where the app removes the cookie itself (E7)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const forget = HttpServerResponse.removeCookie(HttpServerResponse.empty({ status: 204 }), "__Host-session")
        const server = yield* serve(
          surface,
          [
            loginRoute,
            post("/logout", Effect.as(Auth.logout, forget)),
            post("/revoke-all", Effect.as(Auth.revokeAll(), forget))
          ],
          sessions.layer()
        )
        for (const path of ["/logout", "/revoke-all"]) {
          const cookie = yield* signIn(server)
          const reply = yield* server.send(path, { method: "POST", headers: { cookie } })
          assert.strictEqual(reply.status, 204, label)
          assert.deepStrictEqual(reply.setCookies.map(isClearing), [true], `${label}: ${path}`)
          assert.strictEqual(yield* sessions.count(), 0, label)
        }
      })
    ))

  it.scopedLive("an answer never sets the session's cookie twice: the last word counts, and others' cookies stay (E8)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const themed = HttpServerResponse.unsafeSetCookie(HttpServerResponse.empty(), "theme", "dark", { path: "/" })
        const server = yield* serve(
          surface,
          [
            post("/in-out", Effect.as(Effect.zipRight(login, Auth.logout), themed)),
            post("/out-in", Effect.as(Effect.zipRight(Auth.logout, login), themed)),
            post("/in-in", Effect.as(Effect.zipRight(login, login), themed))
          ],
          sessions.layer()
        )
        const send = (path: string) => server.send(path, { method: "POST" })
        const sessionCookies = (reply: Reply) => {
          assert.include(reply.setCookies, "theme=dark; Path=/", label)
          return reply.setCookies.filter((cookie) => cookie.startsWith("__Host-session="))
        }
        assert.deepStrictEqual(sessionCookies(yield* send("/in-out")).map(isClearing), [true], label)
        assert.strictEqual(yield* sessions.count(), 0, label)
        assert.deepStrictEqual(sessionCookies(yield* send("/out-in")).map(isClearing), [false], label)
        assert.strictEqual(yield* sessions.count(), 1, label)
        assert.deepStrictEqual(sessionCookies(yield* send("/in-in")).map(isClearing), [false], label)
        assert.strictEqual(yield* sessions.count(), 2, `${label}: the first of the two is gone`)
      })
    ))
})

// -----------------------------------------------------------------------------
// The response's way out
// -----------------------------------------------------------------------------

describe("traps on the response's way out", () => {
  for (const host of hosts) {
    it.scopedLive(`on ${host}, the gate that is given to the server loses no header and no cookie (E1)`, () =>
      Effect.gen(function*() {
        const Any = SessionAuth.Tag<AnyAuth>()
        class AnyAuth extends Any("test/Auth", { user: CurrentUser, session: Schema.Unknown, subject: () => "ada" }) {}
        const sessions = yield* makeSessions()
        // Writes sessions that `Auth` cannot decode, in its realm.
        const foreign = Layer.provide(
          AnyAuth.layer({ retrieveUser: () => Effect.succeedNone }),
          Layer.succeed(SessionStore.SessionStore, sessions.store)
        )
        const writer = yield* serve(
          ["HttpApp", host],
          [post("/login", Effect.zipRight(AnyAuth.login({ foreign: true }), ok))],
          foreign
        )
        const undecodable = yield* signIn(writer)
        const server = yield* app(
          host,
          httpApp([loginRoute, get("/me", Effect.map(Auth.user, ({ id }) => HttpServerResponse.text(id)))]),
          sessions.layer({ exclude: ["/login"] }),
          Auth.middleware as any
        )
        const refused = yield* server.send("/me")
        assert.strictEqual(refused.status, 401)
        assert.deepInclude(refused.headers, {
          "www-authenticate": "Cookie",
          "cache-control": "no-store",
          vary: "Cookie",
          "content-type": "application/problem+json"
        })
        const ended = yield* server.send("/me", { headers: { cookie: undecodable } })
        assert.strictEqual(ended.status, 401)
        assert.deepStrictEqual(ended.setCookies.map(isClearing), [true])
        assert.strictEqual(yield* sessions.count(), 0)
        const cookie = yield* signIn(server)
        const welcome = yield* server.send("/me", { headers: { cookie } })
        assert.strictEqual(welcome.body, "ada")
        assert.deepInclude(welcome.headers, { "cache-control": "no-store", vary: "Cookie" })
      }))
  }

  it.scopedLive("an answer that turns out to be impossible is a 500 within its time, without the cookie (E2)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const impossible = HttpServerResponse.setHeader(HttpServerResponse.empty(), "x-note", "two\nlines")
        const server = yield* serve(surface, [post("/login", Effect.as(login, impossible))], sessions.layer())
        const reply = yield* server.send("/login", { method: "POST" })
        assert.strictEqual(reply.status, 500, label)
        assert.deepStrictEqual(reply.setCookies, [], label)
        yield* eventually(sessions.count(), (count) => count === 0)
      })
    ))

  it.scopedLive("a route inside withPreResponseHandler keeps its cookie (E3)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const handler = HttpApp.withPreResponseHandler(
          Effect.zipRight(login, ok),
          (_, response) => Effect.succeed(response)
        )
        const server = yield* serve(surface, [post("/login", handler), me], sessions.layer())
        const cookie = yield* signIn(server)
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).body, "ada", label)
      })
    ))

  it.scopedLive("parallel and forked fibers that append handlers of their own lose no cookie of ours (E4)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const append = HttpApp.appendPreResponseHandler((_, response) => Effect.succeed(response))
        const tasks = [append, login, append, Effect.flatMap(Effect.fork(append), (fiber) => fiber.await)]
        const server = yield* serve(
          surface,
          [
            post("/parallel", Effect.zipRight(Effect.all(tasks, { concurrency: "unbounded" }), ok)),
            post("/forked", Effect.zipRight(Effect.flatMap(Effect.fork(login), (fiber) => fiber.await), ok)),
            post("/daemon", Effect.zipRight(Effect.flatMap(Effect.forkDaemon(login), (fiber) => fiber.await), ok)),
            post(
              "/promise",
              Effect.flatMap(Effect.context<Effect.Effect.Context<typeof login>>(), (context) =>
                Effect.zipRight(Effect.promise(() => Effect.runPromise(Effect.provide(login, context))), ok))
            )
          ],
          sessions.layer()
        )
        for (const path of ["/parallel", "/forked", "/daemon", "/promise"]) {
          const reply = yield* server.send(path, { method: "POST" })
          assert.strictEqual(reply.status, 204, `${label}: ${path}`)
          assert.match(cookieOf(reply), /^__Host-session=./, `${label}: ${path}`)
        }
      })
    ))

  it.scopedLive("a handler that signs in and then fails signs nobody in (E5)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(
          surface,
          [
            post("/fail", Effect.zipRight(login, Effect.fail("later"))),
            post("/die", Effect.zipRight(login, Effect.die("later"))),
            post("/refuse", Effect.zipRight(login, Effect.fail(new SecurityError.PermissionDenied())))
          ],
          sessions.layer()
        )
        for (const [path, status] of [["/fail", 500], ["/die", 500], ["/refuse", 403]] as const) {
          const reply = yield* server.send(path, { method: "POST" })
          assert.strictEqual(reply.status, status, `${label}: ${path}`)
          assert.deepStrictEqual(reply.setCookies, [], `${label}: ${path}`)
          yield* eventually(sessions.count(), (count) => count === 0)
        }
      })
    ))

  it.scopedLive("a stream has its user, and a sign-in inside it dies rather than being lost silently (E12)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const died = yield* Deferred.make<unknown>()
        const stream = Effect.gen(function*() {
          const user = yield* CurrentUser
          const context = yield* Effect.context<Effect.Effect.Context<typeof login>>()
          return HttpServerResponse.stream(
            Stream.fromEffect(CurrentUser).pipe(
              Stream.map(({ id }) => id),
              Stream.concat(Stream.fromEffect(
                login.pipe(
                  Effect.provide(context),
                  Effect.catchAllCause((cause) => Deferred.succeed(died, Cause.squash(cause))),
                  Effect.as("!")
                )
              )),
              Stream.encodeText,
              Stream.provideService(CurrentUser, user)
            )
          )
        })
        const server = yield* serve(surface, [loginRoute, get("/stream", stream, Auth)], sessions.layer())
        const cookie = yield* signIn(server)
        const reply = yield* server.send("/stream", { headers: { cookie } })
        assert.strictEqual(reply.body, "ada!", label)
        assert.deepStrictEqual(reply.setCookies, [], label)
        assert.deepInclude(yield* Deferred.await(died), { _tag: "ResponseAlreadySent" }, label)
        assert.strictEqual(yield* sessions.count(), 1, label)
      })
    ))

  it.scopedLive("a WebSocket of another site, or of nobody, gets an HTTP answer and no socket (E13)", () =>
    Effect.gen(function*() {
      for (const router of routerNames) {
        const sessions = yield* makeSessions()
        let opened = 0
        const socket = Effect.gen(function*() {
          opened++
          const request = yield* HttpServerRequest.HttpServerRequest
          const socket = yield* request.upgrade
          yield* Effect.orDie(socket.run(() => {}))
          return HttpServerResponse.empty()
        })
        const server = yield* onNode(router, [loginRoute, get("/socket", socket, Auth)], sessions.layer())
        const cookie = yield* signIn(server)
        const upgrade = (headers: Record<string, string>) =>
          server.raw(requestText("/socket", {
            headers: {
              connection: "Upgrade",
              upgrade: "websocket",
              "sec-websocket-version": "13",
              "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
              ...headers
            }
          }))
        assert.strictEqual((yield* upgrade({})).status, 401, router)
        assert.strictEqual((yield* upgrade({ cookie: `__Host-session=${token}` })).status, 401, router)
        assert.strictEqual((yield* upgrade({ cookie, origin: "https://evil.example" })).status, 403, router)
        assert.strictEqual((yield* upgrade({ cookie, origin: "null" })).status, 403, router)
        assert.strictEqual((yield* upgrade({ cookie, "sec-fetch-site": "same-site" })).status, 403, router)
        assert.strictEqual(opened, 0, router)
      }
    }))

  it.scopedLive("what is not found keeps its cookies and cache headers (E14)", () =>
    Effect.gen(function*() {
      for (const host of hosts) {
        const sessions = yield* makeSessions()
        const router = HttpRouter.empty.pipe(
          HttpRouter.post("/login", Effect.zipRight(login, ok)),
          HttpRouter.post(
            "/leave",
            Effect.zipRight(
              Auth.logout,
              Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
                new HttpServerError.RouteNotFound({ request }))
            )
          )
        )
        const server = yield* app(host, Auth.middleware(router as any), sessions.layer({ exclude: ["/login"] }))
        const cookie = yield* signIn(server)
        const lost = yield* server.send("/nowhere", { headers: { cookie } })
        assert.strictEqual(lost.status, 404)
        assert.deepInclude(lost.headers, { "cache-control": "no-store", vary: "Cookie" })
        const left = yield* server.send("/leave", { method: "POST", headers: { cookie } })
        assert.strictEqual(left.status, 404)
        assert.deepStrictEqual(left.setCookies.map(isClearing), [true])
      }
    }))
})

// -----------------------------------------------------------------------------
// Failures
// -----------------------------------------------------------------------------

describe("traps in failures", () => {
  it.scopedLive("what the platform would answer with 404 or 400 is an outage here (E15)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const failures = [
          new Cause.NoSuchElementException(),
          new ParseResult.ParseError({ issue: new ParseResult.Type(Schema.String.ast, 1) }),
          HttpServerResponse.text("not for you"),
          new SecurityError.SessionConflict()
        ]
        let failure: unknown
        const sessions = yield* makeSessions()
        const server = yield* serve(
          surface,
          [loginRoute, me, get("/key", whoami, KeyAuth)],
          Layer.merge(
            sessions.layer({ retrieveUser: () => Effect.fail(failure) }),
            KeyAuth.layer({ authenticate: () => Effect.die(failure) })
          )
        )
        const cookie = yield* signIn(server)
        for (failure of failures) {
          for (const path of ["/me", "/key"]) {
            const reply = yield* server.send(path, { headers: { cookie, "x-service-key": "good" } })
            assert.strictEqual(reply.status, 503, `${label}: ${path} with ${failure}`)
            assert.deepStrictEqual(reply.setCookies, [], label)
          }
        }
      })
    ))

  it.scopedLive("a record that no longer decodes ends its session with a 401, and the handler never runs (E15)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        let handled = 0
        const sessions = yield* makeSessions((store) => ({
          find: (id) => Effect.map(store.find(id), Option.map((record) => ({ ...record, data: "{\"userId\":1}" })))
        }))
        const server = yield* serve(
          surface,
          [loginRoute, get("/me", Effect.zipRight(Effect.sync(() => handled++), whoami), Auth)],
          sessions.layer()
        )
        const cookie = yield* signIn(server)
        const reply = yield* server.send("/me", { headers: { cookie } })
        assert.strictEqual(reply.status, 401, label)
        assert.deepStrictEqual(reply.setCookies.map(isClearing), [true], label)
        assert.strictEqual(handled, 0, label)
        assert.strictEqual(yield* sessions.count(), 0, label)
      })
    ))

  it.scopedLive("every failure has its own status outside HttpApi too (E16)", () =>
    Effect.gen(function*() {
      const failures = {
        "/NotAuthorized": [new SecurityError.NotAuthorized(), 401],
        "/PermissionDenied": [new SecurityError.PermissionDenied(), 403],
        "/CrossSiteRejected": [new SecurityError.CrossSiteRejected(), 403],
        "/TooManyAttempts": [new SecurityError.TooManyAttempts(), 429],
        "/SecurityUnavailable": [new SecurityError.SecurityUnavailable(), 503],
        "/SessionTooLarge": [new SecurityError.SessionTooLarge({ size: 2, limit: 1 }), 413],
        "/CookieTooLarge": [new SecurityError.CookieTooLarge({ size: 2, limit: 1 }), 413],
        "/SessionConflict": [new SecurityError.SessionConflict(), 409]
      } as const
      const routes = Object.entries(failures).map(([path, [error]]) => get(path as "/", Effect.fail(error)))
      const sessions = yield* makeSessions()
      yield* everywhere((surface, label) =>
        Effect.gen(function*() {
          const server = yield* serve(surface, routes, sessions.layer())
          for (const [path, [error, status]] of Object.entries(failures)) {
            const reply = yield* server.send(path)
            assert.strictEqual(reply.status, status, `${label}: ${path}`)
            assert.strictEqual(JSON.parse(reply.body)._tag, error._tag, `${label}: ${path}`)
          }
        })
      )
    }))

  it.scopedLive("an error of the application that looks like ours takes nothing of ours, and the reverse (E17)", () =>
    Effect.gen(function*() {
      // The platform tells errors apart by their members, and asks those of the api first.
      class Unwelcome extends Schema.TaggedError<Unwelcome>("app/Unwelcome")(
        "Unwelcome",
        { type: Schema.String, title: Schema.String, status: Schema.Number },
        HttpApiSchema.annotations({ status: 418 })
      ) {}
      class Denied extends Schema.TaggedError<Denied>("app/Denied")(
        "Denied",
        {},
        HttpApiSchema.annotations({ status: 418 })
      ) {}
      const group = HttpApiGroup.make("group")
        .add(HttpApiEndpoint.get("ours", "/ours").middleware(Auth))
        .add(HttpApiEndpoint.get("denied", "/denied").addError(SecurityError.PermissionDenied))
        .add(HttpApiEndpoint.get("theirs", "/theirs").addError(Denied))
        .addError(Unwelcome)
      const Api = HttpApi.make("api").add(group).addError(Denied)
      const live = HttpApiBuilder.group(Api, "group", (handlers) =>
        handlers
          .handle("ours", () => Effect.void)
          .handle("denied", () => Effect.fail(new SecurityError.PermissionDenied()))
          .handle(
            "theirs",
            () => Effect.fail(new Unwelcome({ type: "about:blank", title: "Unauthorized", status: 401 }))
          ))
      const sessions = yield* makeSessions()
      for (
        const layer of [
          HttpApiBuilder.serve().pipe(
            Layer.provide(HttpApiBuilder.api(Api)),
            Layer.provide(live)
          ),
          HttpLayerRouter.serve(Layer.provide(HttpLayerRouter.addHttpApi(Api), live), { disableLogger: true })
        ]
      ) {
        const server = yield* listen(layer as any, sessions.layer())
        assert.strictEqual((yield* server.send("/ours")).status, 401)
        assert.strictEqual((yield* server.send("/denied")).status, 403)
        const theirs = yield* server.send("/theirs")
        assert.strictEqual(theirs.status, 418)
        assert.deepStrictEqual(JSON.parse(theirs.body), {
          _tag: "Unwelcome",
          type: "about:blank",
          title: "Unauthorized",
          status: 401
        })
      }
    }))

  it.scopedLive("E20: an outage of the backend is a 503 wherever HttpApi asks it, never a 401 (base E5)", () =>
    Effect.gen(function*() {
      for (const Tag of [Auth, BearerAuth, BasicAuth, KeyAuth, CookieKeyAuth]) {
        assert.isFalse(Tag.optional)
        assert.lengthOf(Object.keys(Tag.security), 1)
      }
      const credentials = {
        authorization: "Bearer down",
        "x-service-key": "down"
      }
      yield* everywhere((surface, label) =>
        Effect.gen(function*() {
          const sessions = yield* makeSessions(() => ({
            find: () => Effect.fail(new SecurityError.SecurityUnavailable({ reason: "down" }))
          }))
          const optional = Effect.map(Auth.userOption, (user) => HttpServerResponse.text(user._tag))
          const server = yield* serve(
            surface,
            [
              me,
              get("/bearer", whoami, BearerAuth),
              get("/key", whoami, KeyAuth),
              get("/option", optional),
              get("/both", Effect.zipRight(KeyAuth.user, ok), Auth)
            ],
            Layer.mergeAll(sessions.layer(), bearerLive(), keyLive())
          )
          for (const path of ["/me", "/bearer", "/key", "/option", "/both"]) {
            const reply = yield* server.send(path, {
              headers: { ...credentials, cookie: `__Host-session=${token}` }
            })
            assert.strictEqual(reply.status, 503, `${label}: ${path}`)
            assert.isUndefined(reply.headers["www-authenticate"], label)
            assert.deepStrictEqual(reply.setCookies, [], label)
          }
        })
      )
    }))

  it.effect("E20: each scheme of a Tag in HttpApi's chain gives the same failure, and the backend is asked once", () =>
    Effect.gen(function*() {
      const asked: Asked = []
      const request = HttpServerRequest.fromWeb(
        new Request("http://localhost/", { headers: { authorization: "Bearer down" } })
      )
      const errors = yield* Effect.gen(function*() {
        const service: Record<string, any> = (yield* BearerAuth) as any
        const scheme: (credential: unknown) => Effect.Effect<unknown, unknown, any> =
          service[Object.keys(BearerAuth.security)[0]!]
        // What the platform does with two schemes of one Tag.
        return yield* Effect.flip(Effect.catchAll(scheme("first"), () => scheme("second")))
      }).pipe(
        Effect.provide(bearerLive(asked)),
        Effect.provideService(HttpServerRequest.HttpServerRequest, request)
      ) as Effect.Effect<unknown>
      assert.instanceOf(errors, SecurityError.SecurityUnavailable)
      assert.deepStrictEqual(asked, ["down"])
    }))
})

// -----------------------------------------------------------------------------
// HttpApi
// -----------------------------------------------------------------------------

const plain = <const Name extends string>(name: Name, path: `/${string}`) =>
  HttpApiEndpoint.get(name, path).addSuccess(Schema.String)

describe("traps in HttpApi", () => {
  it.scopedLive("of two HttpApis on one router, the guarded one is guarded and the other is not (base E7)", () =>
    Effect.gen(function*() {
      const Open = HttpApi.make("open").add(HttpApiGroup.make("free").add(plain("get", "/open")))
      const Closed = HttpApi.make("closed").add(HttpApiGroup.make("shut").add(plain("get", "/closed"))).middleware(Auth)
      const live = Layer.merge(
        HttpApiBuilder.group(Open, "free", (handlers) => handlers.handle("get", () => Effect.succeed("open"))),
        HttpApiBuilder.group(
          Closed,
          "shut",
          (handlers) => handlers.handle("get", () => Effect.map(CurrentUser, ({ id }) => id))
        )
      )
      const sessions = yield* makeSessions()
      const loginOnly = HttpLayerRouter.add("POST", "/login", Effect.zipRight(login, ok))
      for (
        const both of [
          Layer.mergeAll(HttpLayerRouter.addHttpApi(Open), HttpLayerRouter.addHttpApi(Closed), loginOnly),
          Layer.mergeAll(loginOnly, HttpLayerRouter.addHttpApi(Closed), HttpLayerRouter.addHttpApi(Open))
        ]
      ) {
        const server = yield* listen(
          HttpLayerRouter.serve(Layer.provide(both, live) as any, { disableLogger: true, disableListenLog: true }),
          sessions.layer()
        )
        assert.strictEqual((yield* server.send("/open")).body, "\"open\"")
        assert.strictEqual((yield* server.send("/closed")).status, 401)
        const cookie = yield* signIn(server)
        assert.strictEqual((yield* server.send("/closed", { headers: { cookie } })).body, "\"ada\"")
      }
    }))

  it.scopedLive("Tags on the api, the group and the endpoint are all asked, whichever order they run in (E19)", () =>
    Effect.gen(function*() {
      const Api = HttpApi.make("api")
        .add(HttpApiGroup.make("group").add(plain("get", "/get").middleware(BearerAuth)).middleware(KeyAuth))
        .middleware(Auth)
      const live = HttpApiBuilder.group(Api, "group", (handlers) => handlers.handle("get", () => Effect.succeed("in")))
      const sessions = yield* makeSessions()
      const signer = yield* serve(["HttpApp", "web"], [loginRoute], sessions.layer())
      const all = {
        cookie: yield* signIn(signer),
        authorization: "Bearer good",
        "x-service-key": "good"
      }
      const servers = yield* bothApis(Api, live, Layer.mergeAll(sessions.layer(), bearerLive(), keyLive()))
      for (const [label, server] of Object.entries(servers)) {
        assert.strictEqual((yield* server.send("/get", { headers: all })).body, "\"in\"", label)
        for (
          const [missing, challenge] of [
            ["cookie", "Cookie"],
            ["authorization", "Bearer"],
            ["x-service-key", "ApiKey"]
          ] as const
        ) {
          const { [missing]: _, ...headers } = all
          const reply = yield* server.send("/get", { headers })
          assert.strictEqual(reply.status, 401, `${label} without ${missing}`)
          assert.strictEqual(reply.headers["www-authenticate"], challenge, `${label} without ${missing}`)
        }
      }
    }))

  it.scopedLive("a Tag on the whole api refuses with 401 and never fails with 500, also where no endpoint is (E22)", () =>
    Effect.gen(function*() {
      for (const Tag of [Auth, BearerAuth, BasicAuth, KeyAuth, CookieKeyAuth] as const) {
        const Api = HttpApi.make("api").add(HttpApiGroup.make("group").add(plain("get", "/get"))).middleware(
          Tag as typeof Auth
        )
        const live = HttpApiBuilder.group(
          Api,
          "group",
          (handlers) => handlers.handle("get", () => Effect.succeed("in"))
        )
        const sessions = yield* makeSessions()
        const layer = Layer.mergeAll(sessions.layer(), bearerLive(), basicLive(), keyLive(), cookieKeyLive())
        const { HttpApiBuilder: compiled, addHttpApi } = yield* bothApis(Api, live, layer)
        for (const path of ["/get", "/nowhere", "/openapi.json", "/get?a=b", "/%ff"]) {
          assert.strictEqual((yield* compiled.send(path)).status, 401, `${Tag.key}: ${path}`)
        }
        // There it is a middleware of each endpoint.
        assert.strictEqual((yield* addHttpApi.send("/get")).status, 401, Tag.key)
        assert.strictEqual((yield* addHttpApi.send("/nowhere")).status, 404, Tag.key)
        assert.strictEqual((yield* addHttpApi.send("/openapi.json")).status, 200, Tag.key)
      }
    }))

  it.scopedLive("an answer behind any level of an HttpApi is private, though its middleware cannot wrap it (E23)", () =>
    Effect.gen(function*() {
      const endpoint = plain("get", "/get")
      const apis = {
        endpoint: HttpApi.make("api").add(HttpApiGroup.make("group").add(endpoint.middleware(Auth))),
        group: HttpApi.make("api").add(HttpApiGroup.make("group").add(endpoint).middleware(Auth)),
        api: HttpApi.make("api").add(HttpApiGroup.make("group").add(endpoint)).middleware(Auth)
      }
      const sessions = yield* makeSessions()
      const cookie = yield* signIn(yield* serve(["HttpApp", "web"], [loginRoute], sessions.layer()))
      for (const [level, api] of Object.entries(apis)) {
        const live = HttpApiBuilder.group(
          api as typeof apis.endpoint,
          "group",
          (handlers) => handlers.handle("get", () => Effect.succeed("in"))
        )
        const servers = yield* bothApis(api, live, sessions.layer())
        for (const [label, server] of Object.entries(servers)) {
          const reply = yield* server.send("/get", { headers: { cookie } })
          assert.strictEqual(reply.status, 200, `${label}, ${level}`)
          assert.deepInclude(reply.headers, { "cache-control": "no-store", vary: "Cookie" }, `${label}, ${level}`)
        }
      }
    }))

  it.scopedLive("the OpenAPI document requires the scheme on exactly the endpoints that ask for it (E24)", () =>
    Effect.gen(function*() {
      const Api = HttpApi.make("api")
        .add(
          HttpApiGroup.make("some")
            .add(plain("before", "/some/before"))
            .middlewareEndpoints(Auth)
            .add(plain("after", "/some/after"))
            .add(plain("own", "/some/own").middleware(Auth))
        )
        .add(
          HttpApiGroup.make("all")
            .add(plain("before", "/all/before"))
            .middleware(Auth)
            .add(plain("after", "/all/after"))
        )
      const live = Layer.merge(
        HttpApiBuilder.group(Api, "some", (handlers) =>
          handlers
            .handle("before", () => Effect.succeed(""))
            .handle("after", () => Effect.succeed(""))
            .handle("own", () => Effect.succeed(""))),
        HttpApiBuilder.group(
          Api,
          "all",
          (handlers) => handlers.handle("before", () => Effect.succeed("")).handle("after", () => Effect.succeed(""))
        )
      )
      const sessions = yield* makeSessions()
      const described = yield* Effect.provide(Auth.describeApi(Api as any), sessions.layer()) as Effect.Effect<unknown>
      const spec = OpenApi.fromApi(described as any)
      const servers = yield* bothApis(Api, live, sessions.layer())
      for (const [label, server] of Object.entries(servers)) {
        const guarded: Array<string> = []
        for (const [path, { get }] of Object.entries(spec.paths)) {
          const asks = (yield* server.send(path)).status === 401
          assert.strictEqual((get?.security ?? []).length > 0, asks, `${label}: ${path}`)
          assert.deepStrictEqual(asks ? get?.security : [{ sessionCookie: [] }], [{ sessionCookie: [] }])
          if (asks) {
            guarded.push(path)
          }
        }
        assert.deepStrictEqual(guarded.sort(), ["/all/after", "/all/before", "/some/before", "/some/own"], label)
      }
    }))
})

// -----------------------------------------------------------------------------
// Routers
// -----------------------------------------------------------------------------

describe("traps in routers", () => {
  it.scopedLive("the gate and protect cover a whole router, routes added last and unknown paths too (E25)", () =>
    Effect.gen(function*() {
      for (const host of hosts) {
        const sessions = yield* makeSessions()
        const used = HttpRouter.empty.pipe(
          HttpRouter.get("/before", ok),
          HttpRouter.use(Auth.protect),
          HttpRouter.get("/after", ok)
        )
        for (const covered of [Auth.middleware(used as any), Auth.protect(used as any)]) {
          const server = yield* app(host, covered as any, sessions.layer())
          for (const path of ["/before", "/after", "/nowhere"]) {
            assert.strictEqual((yield* server.send(path)).status, 401, path)
          }
        }
      }
    }))

  it.scopedLive("the gate changes no URL: what is mounted, prefixed or mounted with its prefix sees the same (E26)", () =>
    Effect.gen(function*() {
      const url = Effect.map(HttpServerRequest.HttpServerRequest, (request) => HttpServerResponse.text(request.url))
      const inner = HttpRouter.empty.pipe(HttpRouter.get("/", url), HttpRouter.get("/x", url))
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/plain", url),
        HttpRouter.mount("/mounted", inner),
        HttpRouter.concat(HttpRouter.prefixAll(inner, "/prefixed")),
        HttpRouter.concat(HttpRouter.prefixAll(HttpRouter.prefixAll(inner, "/in"), "/out")),
        HttpRouter.mountApp("/app", url),
        HttpRouter.mountApp("/whole", url, { includePrefix: true })
      )
      const paths = [
        "/plain",
        "/mounted",
        "/mounted/x",
        "/prefixed/x?q=1",
        "/out/in/x",
        "/app",
        "/app/x?q=1",
        "/whole",
        "/whole/x?q=1",
        "/wholesome"
      ]
      for (const host of hosts) {
        const sessions = yield* makeSessions()
        const cookie = yield* signIn(yield* serve(["HttpApp", host], [loginRoute], sessions.layer()))
        const bare = yield* app(host, router as any, Layer.empty)
        const gated = yield* app(host, Auth.middleware(router as any), sessions.layer())
        for (const path of paths) {
          const expected = yield* bare.send(path)
          const reply = yield* gated.send(path, { headers: { cookie } })
          assert.deepStrictEqual([reply.status, reply.body], [expected.status, expected.body], `${host}: ${path}`)
          assert.strictEqual((yield* gated.send(path)).status, 401, `${host}: ${path}`)
        }
      }
    }))

  it.scopedLive("cors outside the gate answers preflights; OPTIONS by itself is no way in (E27)", () =>
    Effect.gen(function*() {
      for (const host of hosts) {
        const sessions = yield* makeSessions()
        const router = HttpRouter.empty.pipe(
          HttpRouter.get("/me", Effect.zipRight(Auth.user, ok)),
          HttpRouter.all("/any", ok)
        )
        const cors = HttpMiddleware.cors({ allowedOrigins: ["https://app.example"], credentials: true })
        const preflight = {
          method: "OPTIONS",
          headers: { origin: "https://app.example", "access-control-request-method": "GET" }
        }
        const gated = yield* app(host, Auth.middleware(router as any), sessions.layer())
        for (const path of ["/me", "/any", "/nowhere"]) {
          assert.strictEqual((yield* gated.send(path, preflight)).status, 401, path)
          assert.strictEqual((yield* gated.send(path, { method: "HEAD" })).status, 401, path)
        }
        const open = yield* app(host, Auth.middleware(router as any).pipe(cors) as any, sessions.layer())
        const reply = yield* open.send("/me", preflight)
        assert.strictEqual(reply.status, 204)
        assert.strictEqual(reply.headers["access-control-allow-origin"], "https://app.example")
        const refused = yield* open.send("/me", { headers: { origin: "https://app.example" } })
        assert.strictEqual(refused.status, 401)
        // A page of the other origin may read why.
        assert.strictEqual(refused.headers["access-control-allow-origin"], "https://app.example")
        assert.deepStrictEqual(refused.headers.vary?.split(", ").sort(), ["Cookie", "Origin"])
      }
    }))

  it.scopedLive("layerMiddleware guards its own routes: no sibling, no unknown path, no OPTIONS slips in (E28)", () =>
    Effect.gen(function*() {
      const sessions = yield* makeSessions()
      const routes = [loginRoute, me, get("/open", ok)]
      for (const host of hosts) {
        const server = yield* serve(["HttpLayerRouter", host], routes, sessions.layer())
        assert.strictEqual((yield* server.send("/me")).status, 401)
        assert.strictEqual((yield* server.send("/me", { method: "HEAD" })).status, 401)
        assert.strictEqual((yield* server.send("/me", { method: "OPTIONS" })).status, 404)
        assert.strictEqual((yield* server.send("/open")).status, 204)
        assert.strictEqual((yield* server.send("/nowhere")).status, 404)
      }
    }))

  it.scopedLive("layerMiddleware is one Layer, however often it is named (E29)", () =>
    Effect.gen(function*() {
      class Derived extends Auth {}
      assert.strictEqual(Auth.layerMiddleware, Auth.layerMiddleware)
      assert.strictEqual(Derived.layerMiddleware, Auth.layerMiddleware)
      const sessions = yield* makeSessions()
      const server = yield* serve(
        ["HttpLayerRouter", "Node"],
        [loginRoute, me, get("/me/too", whoami, Auth)],
        sessions.layer()
      )
      const cookie = yield* signIn(server)
      for (const path of ["/me", "/me/too"]) {
        assert.strictEqual((yield* server.send(path)).status, 401)
        assert.strictEqual((yield* server.send(path, { headers: { cookie } })).body, "ada")
      }
    }))
})

// -----------------------------------------------------------------------------
// Interruption, concurrency, observation, proxies
// -----------------------------------------------------------------------------

describe("traps around requests", () => {
  it.scopedLive("200 interleaved requests of 200 users each see their own user (base E9)", () =>
    Effect.gen(function*() {
      const sessions = yield* makeSessions()
      const signer = yield* serve(["HttpApp", "web"], [loginRoute], sessions.layer())
      const users = Array.from({ length: 200 }, (_, i) => `user-${i}`)
      const cookies = yield* Effect.forEach(users, (id) => signIn(signer, id))
      yield* everywhere((surface, label) =>
        Effect.gen(function*() {
          const all = yield* gate
          let inside = 0
          const handler = Effect.gen(function*() {
            const before = yield* Auth.user
            yield* ++inside === users.length ? all.open : Effect.void
            yield* all.pass
            const { id } = yield* CurrentUser
            const { userId } = yield* Auth.session
            const [forked] = yield* Effect.all([Auth.user, Effect.yieldNow()], { concurrency: 2 })
            return HttpServerResponse.text([before.id, id, userId, forked.id].join())
          })
          const server = yield* serve(surface, [get("/me", handler, Auth)], sessions.layer())
          const replies = yield* Effect.forEach(
            cookies,
            (cookie) => server.send("/me", { headers: { cookie } }),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(replies.map(({ body }) => body), users.map((id) => [id, id, id, id].join()), label)
        })
      )
    }))

  it.scopedLive("a client that leaves while it signs in leaves a whole session or none, and here none (E30)", () =>
    Effect.gen(function*() {
      for (const router of routerNames) {
        const writing = yield* gate
        const written = yield* gate
        const sessions = yield* makeSessions((store) => ({
          create: (record) => Effect.zipRight(store.create(record), writing.pass)
        }))
        const plain = yield* makeSessions()
        const during = yield* onNode(router, [loginRoute], sessions.layer())
        const between = yield* onNode(
          router,
          [post("/login", Effect.zipRight(Effect.zipRight(login, written.pass), ok))],
          plain.layer()
        )
        const text = requestText("/login", { method: "POST" })
        const first = yield* during.connect(text)
        yield* writing.reached
        assert.strictEqual(yield* sessions.count(), 1, router)
        yield* first.abort
        yield* during.abandoned
        yield* writing.open
        yield* eventually(sessions.count(), (count) => count === 0)
        const second = yield* between.connect(text)
        yield* written.reached
        assert.strictEqual(yield* plain.count(), 1, router)
        yield* second.abort
        yield* between.abandoned
        yield* written.open
        yield* eventually(plain.count(), (count) => count === 0)
      }
    }))

  it.scopedLive("no credential of any backend stands in a span (E31)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const attributes: Array<string> = []
        const tracer = Tracer.make({
          context: (f) => f(),
          span: (name, parent, context, links, startTime, kind) => ({
            _tag: "Span",
            name,
            spanId: "0000000000000001",
            traceId: "00000000000000000000000000000001",
            parent,
            context,
            links: [...links],
            kind,
            sampled: true,
            status: { _tag: "Started", startTime },
            attributes: new Map(),
            attribute: (key, value) => void attributes.push(`${key}: ${value}`),
            addLinks: () => {},
            event: (name, _, more) => void attributes.push(`${name}: ${JSON.stringify(more)}`),
            end: () => {}
          })
        })
        const sessions = yield* makeSessions()
        const server = yield* serve(
          surface,
          [loginRoute, me, get("/key", whoami, KeyAuth), get("/bearer", whoami, BearerAuth)],
          Layer.mergeAll(sessions.layer(), keyLive(), bearerLive()).pipe(
            Layer.provideMerge(Layer.setTracer(tracer))
          )
        )
        const cookie = yield* signIn(server)
        for (const path of ["/me", "/key", "/bearer"]) {
          yield* server.send(path, {
            headers: { cookie, "x-service-key": "key-of-bob", authorization: "Bearer token-of-bob", "x-seen": path }
          })
        }
        const text = attributes.join("\n")
        assert.include(text, "http.request.header.x-seen: /key", label)
        assert.include(text, "http.request.header.x-service-key: <redacted>", label)
        for (const secret of [cookie.split("=")[1]!, "key-of-bob", "token-of-bob"]) {
          assert.notInclude(text, secret, label)
        }
      })
    ))

  it.scopedLive("what a client claims in X-Forwarded headers does not make a request the site's own (E35)", () =>
    everywhere((surface, label) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(
          surface,
          [loginRoute, post("/me", whoami, Auth)],
          sessions.layer(),
          HttpMiddleware.xForwardedHeaders as any
        )
        const cookie = yield* signIn(server)
        const ask = (headers: Record<string, string>) =>
          server.send("/me", { method: "POST", headers: { cookie, ...headers } })
        const forwarded = { "x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "x-forwarded-for": "::1" }
        assert.strictEqual((yield* ask(forwarded)).body, "ada", label)
        assert.strictEqual((yield* ask({ ...forwarded, origin: "https://evil.example" })).status, 403, label)
        assert.strictEqual((yield* ask({ ...forwarded, origin: "http://localhost" })).body, "ada", label)
      })
    ))
})
