import {
  HttpApiBuilder,
  HttpApp,
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Stream } from "effect"
import { SecurityError } from "effect-security"
import { WebSocket } from "ws"
import { Auth, BearerAuth, bearerLive, login, loginRoute, makeSessions, signIn, whoami } from "./fixtures.js"
import {
  app,
  cookieOf,
  eventually,
  gate,
  get,
  handlers,
  hosts,
  httpApi,
  httpApp,
  isClearing,
  listen,
  onNode,
  onWeb,
  post,
  requestText,
  routerNames,
  serve,
  surfaces,
  webServer
} from "./harness.js"
import type { Around, Handler, NodeServer, Reply, Route } from "./harness.js"

// -----------------------------------------------------------------------------
// How a request can end
// -----------------------------------------------------------------------------

const request = HttpServerRequest.HttpServerRequest
const answer = (status: number) => Effect.succeed(HttpServerResponse.text(`${status}`, { status }))
const bytes = (text: string) => new TextEncoder().encode(text)

/** Endings after which a credential goes out, and those after which it does not. */
const good: Readonly<Record<string, readonly [status: number, ending: Handler]>> = {
  "200": [200, answer(200)],
  "204": [204, Effect.succeed(HttpServerResponse.empty({ status: 204 }))],
  "302": [302, Effect.succeed(HttpServerResponse.redirect("/", { status: 302 }))],
  "303": [303, Effect.succeed(HttpServerResponse.redirect("/", { status: 303 }))],
  "304": [304, Effect.succeed(HttpServerResponse.empty({ status: 304 }))],
  "a stream": [200, Effect.succeed(HttpServerResponse.stream(Stream.make(bytes("a"), bytes("b"))))],
  "an empty stream": [200, Effect.succeed(HttpServerResponse.stream(Stream.empty))],
  "a handler of its own before the answer": [
    200,
    Effect.zipRight(
      HttpApp.appendPreResponseHandler((_, response) =>
        Effect.succeed(HttpServerResponse.setHeader(response, "x-own", "1"))
      ),
      answer(200)
    )
  ]
}
const bad: typeof good = {
  "400": [400, answer(400)],
  "401": [401, answer(401)],
  "404": [404, answer(404)],
  "409": [409, answer(409)],
  "499": [499, answer(499)],
  "500": [500, answer(500)],
  "503": [503, answer(503)],
  "a stream of an error page": [
    502,
    Effect.succeed(HttpServerResponse.stream(Stream.make(bytes("a")), { status: 502 }))
  ],
  "a failure": [500, Effect.fail(new Error("a failure of the application"))],
  "a defect": [500, Effect.die(new Error("a defect of the application"))],
  "a refusal": [403, Effect.fail(new SecurityError.PermissionDenied())],
  "a refusal of the credential": [401, Effect.fail(new SecurityError.NotAuthorized())],
  "an outage": [503, Effect.fail(new SecurityError.SecurityUnavailable())],
  "a response as a failure": [418, Effect.fail(HttpServerResponse.empty({ status: 418 }))],
  "a response as a defect": [418, Effect.die(HttpServerResponse.empty({ status: 418 }))],
  "a route that is not there": [
    404,
    Effect.flatMap(request, (request) => new HttpServerError.RouteNotFound({ request }))
  ],
  "an interruption of its own": [503, Effect.interrupt],
  "a header that cannot be sent": [
    500,
    Effect.succeed(HttpServerResponse.setHeader(HttpServerResponse.text(""), "x-note", "two\nlines"))
  ]
}
const endings = { ...good, ...bad }

/** One route for each ending, after `first`. */
const ending = (first: Effect.Effect<unknown, any, any>): ReadonlyArray<Route> =>
  Object.entries(endings).map(([name, [, last]]) => post(pathOf(name), Effect.zipRight(first, last)))

const pathOf = (name: string): `/${string}` => `/${name.replaceAll(" ", "-")}`

const ourCookies = (reply: Reply) => reply.setCookies.filter((cookie) => cookie.startsWith("__Host-session="))

const me = get("/me", whoami, Auth)
const ok = Effect.succeed(HttpServerResponse.empty({ status: 204 }))

const undone = (logs: ReadonlyArray<string>) => logs.filter((line) => line.includes("it is undone")).length

// -----------------------------------------------------------------------------
// Granting, clearing, rotating
// -----------------------------------------------------------------------------

for (const surface of surfaces) {
  const label = surface.join(" on ")

  describe(`the jar: ${label}`, () => {
    it.scopedLive("a sign-in sends one cookie with every answer below 400, and its session lives", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [...ending(login), me], sessions.layer())
        let signedIn = 0
        for (const [name, [status]] of Object.entries(good)) {
          const reply = yield* server.send(pathOf(name), { method: "POST" })
          assert.strictEqual(reply.status, status, name)
          assert.lengthOf(reply.setCookies, 1, name)
          assert.deepInclude(reply.headers, { "cache-control": "no-store", vary: "Cookie" }, name)
          assert.strictEqual(yield* sessions.count(), ++signedIn, name)
          assert.strictEqual((yield* server.send("/me", { headers: { cookie: cookieOf(reply) } })).body, "ada", name)
        }
        assert.deepStrictEqual(server.logs, [])
      }))

    it.scopedLive("a sign-in whose answer is an error sends no cookie, and its session is gone", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, ending(login), sessions.layer())
        let expected = 0
        for (const [name, [status]] of Object.entries(bad)) {
          const reply = yield* server.send(pathOf(name), { method: "POST" })
          assert.strictEqual(reply.status, status, name)
          assert.deepStrictEqual(reply.setCookies, [], name)
          yield* eventually(sessions.count(), (count) => count === 0)
          expected++
          yield* eventually(Effect.sync(() => undone(server.logs)), (count) => count === expected)
        }
      }))

    it.scopedLive("a sign-in under a middleware that makes its answer an error sends no cookie, and its session is gone", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const toError = HttpApp.appendPreResponseHandler((_, response) =>
          Effect.succeed(HttpServerResponse.setStatus(response, 500))
        )
        const server = yield* serve(
          surface,
          [loginRoute],
          sessions.layer(),
          (app) => Effect.zipRight(toError, app)
        )
        const reply = yield* server.send("/login", { method: "POST" })
        assert.deepStrictEqual([reply.status, reply.setCookies], [500, []])
        yield* eventually(sessions.count(), (count) => count === 0)
      }))

    if (surface[1] === "web") {
      it.scopedLive("a sign-in whose answer is a Response of the host follows the status that is sent", () =>
        Effect.gen(function*() {
          const sessions = yield* makeSessions()
          const raw = (status: number) =>
            Effect.zipRight(login, Effect.sync(() => HttpServerResponse.raw(new Response("raw", { status }))))
          const server = yield* serve(surface, [post("/201", raw(201)), post("/403", raw(403))], sessions.layer())
          const granted = yield* server.send("/201", { method: "POST" })
          assert.deepStrictEqual([granted.status, granted.setCookies.length], [201, 1])
          const refused = yield* server.send("/403", { method: "POST" })
          assert.deepStrictEqual([refused.status, refused.setCookies.length], [403, 0])
          yield* eventually(sessions.count(), (count) => count === 1)
        }))
    }

    it.scopedLive("a sign-in belongs to its request, though middleware make new request objects of it", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const again: Around = (app) =>
          Effect.updateService(
            HttpMiddleware.xForwardedHeaders(app),
            request,
            (request) => request.modify({ url: request.url.replace("/outer", "") })
          )
        const inner = Effect.updateService(login, request, (request) => request.modify({ remoteAddress: "::1" }))
        const server = yield* serve(surface, [post("/login", Effect.zipRight(inner, ok)), me], sessions.layer(), again)
        const reply = yield* server.send("/outer/login", { method: "POST" })
        assert.strictEqual(reply.status, 204)
        const cookie = cookieOf(reply)
        const seen = yield* server.send("/outer/me", { headers: { cookie } })
        assert.deepStrictEqual([seen.body, seen.headers.vary], ["ada", "Cookie"])
      }))

    it.scopedLive("a sign-out sends its one clearing cookie whatever the answer", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [...ending(Auth.logout), loginRoute], sessions.layer())
        for (const [name, [status]] of Object.entries(endings)) {
          const cookie = yield* signIn(server)
          const reply = yield* server.send(pathOf(name), { method: "POST", headers: { cookie } })
          assert.strictEqual(reply.status, status, name)
          assert.deepStrictEqual(reply.setCookies.map(isClearing), [true], name)
          assert.include(reply.headers.vary, "Cookie", name)
          assert.strictEqual(reply.headers["cache-control"], "no-store", name)
          assert.strictEqual(yield* sessions.count(), 0, name)
        }
      }))

    it.scopedLive("a rotation sends its one cookie whatever the answer, since the old token is dead", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [...ending(Auth.rotate), loginRoute, me], sessions.layer())
        let cookie = yield* signIn(server)
        for (const [name, [status]] of Object.entries(endings)) {
          const reply = yield* server.send(pathOf(name), { method: "POST", headers: { cookie } })
          assert.strictEqual(reply.status, status, name)
          const [rotated] = [cookieOf(reply)]
          assert.notStrictEqual(rotated, cookie, name)
          assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).status, 401, name)
          assert.strictEqual((yield* server.send("/me", { headers: { cookie: rotated } })).body, "ada", name)
          cookie = rotated
          assert.strictEqual(yield* sessions.count(), 1, name)
        }
      }))

    it.scopedLive("an undone sign-in over a live session leaves the person signed out", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(surface, [...ending(login), loginRoute, me], sessions.layer())
        const cookie = yield* signIn(server)
        const reply = yield* server.send("/500", { method: "POST", headers: { cookie } })
        assert.deepStrictEqual(reply.setCookies, [])
        yield* eventually(sessions.count(), (count) => count === 0)
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).status, 401)
      }))

    it.scopedLive("cookies of forks, parallel fibers and daemons arrive, also when the handler then fails", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        type Run = (self: Effect.Effect<unknown, any, any>) => Effect.Effect<unknown, any, any>
        const run: Readonly<Record<string, Run>> = {
          fork: (self) => Effect.flatMap(Effect.fork(self), (fiber) => fiber.await),
          daemon: (self) => Effect.flatMap(Effect.forkDaemon(self), (fiber) => fiber.await),
          parallel: (self) => Effect.all([Effect.yieldNow(), self, Effect.yieldNow()], { concurrency: "unbounded" })
        }
        const server = yield* serve(
          surface,
          Object.entries(run).flatMap(([name, run]) => [
            post(`/${name}/in`, Effect.zipRight(run(login), ok)),
            post(`/${name}/in/fail`, Effect.zipRight(run(login), Effect.fail("later"))),
            post(`/${name}/out/fail`, Effect.zipRight(run(Auth.logout), Effect.fail("later"))),
            post(`/${name}/out/die`, Effect.zipRight(run(Auth.logout), Effect.die("later")))
          ]),
          sessions.layer()
        )
        for (const name of Object.keys(run)) {
          const send = (path: string) => server.send(`/${name}${path}`, { method: "POST" })
          assert.match(cookieOf(yield* send("/in")), /^__Host-session=./, name)
          assert.deepStrictEqual((yield* send("/in/fail")).setCookies, [], name)
          assert.deepStrictEqual((yield* send("/out/fail")).setCookies.map(isClearing), [true], name)
          assert.deepStrictEqual((yield* send("/out/die")).setCookies.map(isClearing), [true], name)
        }
        yield* eventually(sessions.count(), (count) => count === 3)
      }))

    it.scopedLive("parallel sign-ins in one request leave one cookie and the session that belongs to it", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const handler = Effect.zipRight(Effect.all([login, login, login], { concurrency: "unbounded" }), ok)
        const server = yield* serve(surface, [post("/login", handler), me], sessions.layer())
        const cookie = yield* signIn(server)
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).body, "ada")
      }))

    it.scopedLive("what was written while a stream runs dies, and changes neither cookies nor sessions", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const deaths = yield* Deferred.make<ReadonlyArray<string>>()
        const late = Effect.gen(function*() {
          const context = yield* Effect.context<Effect.Effect.Context<typeof Auth.logout | typeof login>>()
          const attempt = (self: Effect.Effect<unknown, unknown, any>) =>
            Effect.catchAllCause(Effect.as(self, "done"), (cause) => Effect.succeed(String(cause)))
          const all = Effect.all([attempt(login), attempt(Auth.logout), attempt(Auth.rotate)]).pipe(
            Effect.provide(context),
            Effect.flatMap((texts) => Deferred.succeed(deaths, texts))
          ) as Effect.Effect<unknown>
          return HttpServerResponse.stream(
            Stream.concat(Stream.make(bytes("first")), Stream.map(Stream.fromEffect(all), () => bytes(" last")))
          )
        })
        const server = yield* serve(surface, [loginRoute, me, get("/late", late, Auth)], sessions.layer())
        const cookie = yield* signIn(server)
        const reply = yield* server.send("/late", { headers: { cookie } })
        assert.deepStrictEqual([reply.status, reply.body, reply.setCookies], [200, "first last", []])
        for (const death of yield* Deferred.await(deaths)) {
          assert.include(death, "no cookie can be set any more")
        }
        assert.strictEqual(yield* sessions.count(), 1)
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).body, "ada")
      }))

    it.scopedLive("an answer behind a session is private, with what its handler says of caching", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const with_ = (headers: Record<string, string>) => Effect.succeed(HttpServerResponse.text("", { headers }))
        const server = yield* serve(
          surface,
          [
            loginRoute,
            get("/plain", with_({}), Auth),
            get("/own", with_({ "cache-control": "private, max-age=60" }), Auth),
            get("/encoded", with_({ vary: "Accept-Encoding" }), Auth),
            get("/named", with_({ vary: "cookie, Accept" }), Auth),
            get("/star", with_({ vary: "*" }), Auth),
            get("/fails", Effect.fail("later"), Auth),
            get("/public", with_({})),
            get("/maybe", Effect.zipRight(Auth.userOption, with_({})))
          ],
          sessions.layer()
        )
        const cookie = yield* signIn(server)
        const caching = (path: string, headers?: Record<string, string>) =>
          Effect.map(
            server.send(path, { headers: headers ?? {} }),
            ({ headers }) => [headers["cache-control"], headers.vary]
          )
        assert.deepStrictEqual(yield* caching("/plain", { cookie }), ["no-store", "Cookie"])
        assert.deepStrictEqual(yield* caching("/own", { cookie }), ["private, max-age=60", "Cookie"])
        assert.deepStrictEqual(yield* caching("/encoded", { cookie }), ["no-store", "Accept-Encoding, Cookie"])
        assert.deepStrictEqual(yield* caching("/named", { cookie }), ["no-store", "cookie, Accept"])
        assert.deepStrictEqual(yield* caching("/star", { cookie }), ["no-store", "*"])
        assert.deepStrictEqual(yield* caching("/fails", { cookie }), ["no-store", "Cookie"])
        assert.deepStrictEqual(yield* caching("/public", { cookie }), [undefined, undefined])
        assert.deepStrictEqual(yield* caching("/maybe", { cookie }), ["no-store", "Cookie"])
        // What a cache may keep for everybody who sends no cookie.
        assert.deepStrictEqual(yield* caching("/maybe"), [undefined, "Cookie"])
      }))

    it.scopedLive("a cors that overwrites Vary does not take the credential's header out of it", () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const cors = HttpMiddleware.cors({ allowedOrigins: ["https://app.example"], credentials: true })
        const corsInside = (handler: Handler): Handler => cors(handler)
        const routes = [
          loginRoute,
          get("/outside", whoami, Auth),
          get("/inside", corsInside(whoami), Auth),
          get("/reads", Effect.map(Auth.user, ({ id }) => HttpServerResponse.text(id))),
          post("/logout", Effect.zipRight(Auth.logout, ok))
        ]
        const server = yield* serve(surface, routes, sessions.layer(), cors as any)
        const signedIn = yield* server.send("/login", { method: "POST", headers: { "x-user": "ada" } })
        const cookie = cookieOf(signedIn)
        const replies = {
          "/login": signedIn,
          "/outside": yield* server.send("/outside", { headers: { cookie } }),
          "/inside": yield* server.send("/inside", { headers: { cookie } }),
          "/reads": yield* server.send("/reads", { headers: { cookie } }),
          "/outside, by nobody": yield* server.send("/outside"),
          "/reads, by nobody": yield* server.send("/reads"),
          "/logout": yield* server.send("/logout", { method: "POST", headers: { cookie } })
        }
        for (const [name, reply] of Object.entries(replies)) {
          if (name === "/inside" && surface[0].endsWith("HttpApi")) {
            // What an endpoint does by itself, no middleware of an HttpApi can follow.
            continue
          }
          assert.strictEqual(reply.headers["access-control-allow-origin"], "https://app.example", name)
          assert.sameMembers(reply.headers.vary?.split(", ") ?? [], ["Cookie", "Origin"], name)
        }
      }))
  })
}

describe("the jar elsewhere", () => {
  for (const host of hosts) {
    it.scopedLive(`on ${host}, a logger around the server hides no failure from it`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* app(host, httpApp(ending(login)), sessions.layer(), HttpMiddleware.logger as any)
        for (const [name, [status]] of Object.entries(endings)) {
          const reply = yield* server.send(pathOf(name), { method: "POST" })
          assert.strictEqual(reply.status, status, name)
          assert.lengthOf(reply.setCookies, status < 400 ? 1 : 0, name)
        }
        yield* eventually(sessions.count(), (count) => count === Object.keys(good).length)
      }))

    it.scopedLive(`on ${host}, a Layer that is given to one group of an HttpApi alone sends and undoes its cookies`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const routes = [...ending(login), me]
        const api = httpApi(routes) as any
        const live = Layer.provide(HttpApiBuilder.api(api), Layer.provide(handlers(api, routes), sessions.layer()))
        const server = host === "Node"
          ? yield* listen(HttpApiBuilder.serve().pipe(Layer.provide(live)) as any, Layer.empty)
          : yield* webServer((logged) =>
            HttpApiBuilder.toWebHandler(
              Layer.merge(live, HttpServer.layerContext).pipe(Layer.provide(logged)) as any
            )
          )
        for (const [name, [status]] of Object.entries(endings)) {
          const reply = yield* server.send(pathOf(name), { method: "POST" })
          assert.lengthOf(reply.setCookies, status < 400 ? 1 : 0, name)
          if (status < 400) {
            assert.strictEqual((yield* server.send("/me", { headers: { cookie: cookieOf(reply) } })).body, "ada", name)
          }
        }
        yield* eventually(sessions.count(), (count) => count === Object.keys(good).length)
      }))

    it.scopedLive(`on ${host}, behind the gate it grants, undoes and clears on a freed route as on any other`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const routes = [...ending(login), post("/out", Effect.zipRight(Auth.logout, Effect.fail("later")))]
        const router = HttpRouter.fromIterable(
          routes.map(({ handler, method, path }) => HttpRouter.makeRoute(method, path, handler))
        )
        const exclude = routes.map(({ path }) => path)
        for (const inner of [router, Effect.flatMap(Effect.void, () => router)]) {
          const server = yield* app(host, Auth.middleware(inner as any), sessions.layer({ exclude }))
          for (const [name, [status]] of Object.entries(endings)) {
            const reply = yield* server.send(pathOf(name), { method: "POST" })
            assert.strictEqual(reply.status, status, name)
            assert.lengthOf(ourCookies(reply), status < 400 ? 1 : 0, name)
          }
          assert.deepStrictEqual((yield* server.send("/out", { method: "POST" })).setCookies.map(isClearing), [true])
          yield* eventually(sessions.count(), (count) => count % Object.keys(good).length === 0)
        }
        yield* eventually(sessions.count(), (count) => count === 2 * Object.keys(good).length)
      }))
  }
})

// -----------------------------------------------------------------------------
// Clients that leave
// -----------------------------------------------------------------------------

describe("a client that leaves", () => {
  for (const router of routerNames) {
    const leaving = (pass: Effect.Effect<void>) => [
      post("/during", Effect.zipRight(Effect.zipRight(login, pass), answer(200))),
      post("/before", Effect.zipRight(login, answer(200))),
      post(
        "/stream",
        Effect.as(
          login,
          HttpServerResponse.stream(Stream.concat(
            Stream.make(bytes("first")),
            Stream.fromEffect(Effect.as(pass, bytes("last")))
          ))
        )
      )
    ]

    /** After the handler, where no route is interrupted any more. */
    const afterwards = (pass: Effect.Effect<void>): Around => (app) => Effect.tap(app, () => pass)

    for (const path of ["/during", "/before"]) {
      const when = path === "/during" ? "during the handler" : "before the body is written"

      it.scopedLive(`${router} on Node: a sign-in ${when} is undone`, () =>
        Effect.gen(function*() {
          const sessions = yield* makeSessions()
          const { open, pass, reached } = yield* gate
          const around = path === "/before" ? afterwards(pass) : undefined
          const server = yield* onNode(router, leaving(pass), sessions.layer(), around)
          const connection = yield* server.connect(requestText(path, { method: "POST" }))
          yield* reached
          assert.strictEqual(yield* sessions.count(), 1)
          yield* connection.abort
          yield* server.abandoned
          yield* open
          yield* eventually(sessions.count(), (count) => count === 0)
          assert.deepStrictEqual(server.logs.filter((line) => line.includes("became 499")).length, 1)
        }))

      it.scopedLive(`${router} as a web handler: a sign-in ${when} is undone`, () =>
        Effect.gen(function*() {
          const sessions = yield* makeSessions()
          const { open, pass, reached } = yield* gate
          const around = path === "/before" ? afterwards(pass) : undefined
          const server = yield* onWeb(router, leaving(pass), sessions.layer(), around)
          const controller = new AbortController()
          const response = server.handler(
            new Request(`http://localhost${path}`, { method: "POST", signal: controller.signal })
          )
          yield* reached
          assert.strictEqual(yield* sessions.count(), 1)
          controller.abort()
          yield* open
          yield* eventually(sessions.count(), (count) => count === 0)
          const { headers, status } = yield* Effect.promise(() => response)
          assert.strictEqual(status, 499)
          assert.deepStrictEqual(headers.getSetCookie(), [])
        }))
    }

    it.scopedLive(`${router} on Node: a sign-in by HEAD before the headers are written is undone`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const { open, pass, reached } = yield* gate
        const routes = [get("/before", Effect.zipRight(login, answer(200)))]
        const server = yield* onNode(router, routes, sessions.layer(), afterwards(pass))
        const connection = yield* server.connect(requestText("/before", { method: "HEAD" }))
        yield* reached
        yield* connection.abort
        yield* server.abandoned
        yield* open
        yield* eventually(sessions.count(), (count) => count === 0)
      }))

    it.scopedLive(`${router} on Node: a sign-in whose cookie went out stays, though the stream is cut`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const { pass, reached } = yield* gate
        const server = yield* onNode(router, leaving(pass), sessions.layer())
        const connection = yield* server.connect(requestText("/stream", { method: "POST" }))
        yield* reached
        assert.include(yield* connection.until("first"), "__Host-session=")
        yield* connection.abort
        yield* server.abandoned
        yield* Effect.sleep("50 millis")
        assert.strictEqual(yield* sessions.count(), 1)
        assert.strictEqual(undone(server.logs), 0)
      }))
  }

  it.scopedLive("a sign-in whose cookie went out stays, though the stream behind it fails", () =>
    Effect.forEach(surfaces, ([router, host]) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const broken = Effect.as(
          login,
          HttpServerResponse.stream(Stream.concat(Stream.make(bytes("first")), Stream.fail("later")))
        )
        const routes = [post("/login", broken)]
        let setCookie: string
        if (host === "Node") {
          const server = yield* onNode(router, routes, sessions.layer())
          const connection = yield* server.connect(requestText("/login", { method: "POST" }))
          setCookie = yield* connection.until("first")
          yield* server.abandoned
        } else {
          const server = yield* onWeb(router, routes, sessions.layer())
          const response = yield* Effect.promise(() =>
            server.handler(new Request("http://localhost/login", { method: "POST" }))
          )
          setCookie = response.headers.get("set-cookie")!
          yield* Effect.promise(() => response.text().catch(() => ""))
        }
        assert.include(setCookie, "__Host-session=", `${router} on ${host}`)
        yield* Effect.sleep("20 millis")
        assert.strictEqual(yield* sessions.count(), 1, `${router} on ${host}`)
      })))
})

// -----------------------------------------------------------------------------
// WebSockets
// -----------------------------------------------------------------------------

describe("a WebSocket", () => {
  const handshake = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="
  }

  /** Says who is there, then what each message says. */
  const echo = Effect.gen(function*() {
    const { id } = yield* Auth.user
    const socket = yield* Effect.flatMap(request, (request) => request.upgrade)
    const write = yield* socket.writer
    yield* socket.runRaw((message) => write(`${id}: ${message}`), { onOpen: Effect.orDie(write(`hello ${id}`)) })
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped, Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))

  const connect = (server: NodeServer, path: string, headers: Record<string, string>) =>
    Effect.acquireRelease(
      Effect.sync(() => new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers })),
      (socket) => Effect.sync(() => socket.terminate())
    )
  const next = (socket: WebSocket) =>
    Effect.async<string>((resume) => {
      socket.once("message", (data) => resume(Effect.succeed(String(data))))
      socket.once("error", (error) => resume(Effect.die(error)))
      socket.once("unexpected-response", (_, response) => resume(Effect.dieMessage(`HTTP ${response.statusCode}`)))
    })

  for (const router of routerNames) {
    it.scopedLive(`${router}: of a signed-in person on the own site works`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* onNode(router, [loginRoute, get("/socket", echo, Auth)], sessions.layer())
        const cookie = yield* signIn(server)
        for (
          const headers of [
            { cookie },
            { cookie, origin: server.baseUrl },
            { cookie, "sec-fetch-site": "same-origin", origin: server.baseUrl }
          ]
        ) {
          const socket = yield* connect(server, "/socket", headers as Record<string, string>)
          assert.strictEqual(yield* next(socket), "hello ada")
          socket.send("how are you?")
          assert.strictEqual(yield* next(socket), "ada: how are you?")
        }
      }))

    it.scopedLive(`${router}: of nobody, or of another site, gets an HTTP answer`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const routes = [loginRoute, get("/socket", echo, Auth), get("/reads", echo)]
        const server = yield* onNode(router, routes, sessions.layer({ trustedOrigins: ["https://app.example"] }))
        const cookie = yield* signIn(server)
        for (const path of ["/socket", "/reads"]) {
          const upgrade = (headers: Record<string, string>) =>
            server.raw(requestText(path, { headers: { ...handshake, ...headers } }))
          const nobody = yield* upgrade({})
          assert.strictEqual(nobody.status, 401, path)
          assert.strictEqual(nobody.headers["www-authenticate"], "Cookie", path)
          assert.strictEqual(JSON.parse(nobody.body)._tag, "NotAuthorized", path)
          for (
            const headers of [
              { origin: "https://evil.example" },
              { origin: "null" },
              { origin: "http://localhost.evil.example" },
              { "sec-fetch-site": "cross-site" },
              { "sec-fetch-site": "same-site", origin: "http://localhost" }
            ]
          ) {
            const refused = yield* upgrade({ cookie, ...headers as Record<string, string> })
            assert.strictEqual(refused.status, 403, `${path} ${JSON.stringify(headers)}`)
            assert.strictEqual(JSON.parse(refused.body)._tag, "CrossSiteRejected", path)
            assert.deepStrictEqual(refused.setCookies, [], path)
          }
          const socket = yield* connect(server, path, { cookie, origin: "https://app.example" })
          assert.strictEqual(yield* next(socket), "hello ada")
        }
      }))

    it.scopedLive(`${router}: cannot change a credential, and says so with a 400`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* onNode(
          router,
          [
            loginRoute,
            me,
            get("/in", Effect.zipRight(login, ok)),
            get("/out", Effect.zipRight(Auth.logout, ok)),
            get("/rotate", Effect.zipRight(Auth.rotate, ok))
          ],
          sessions.layer()
        )
        const cookie = yield* signIn(server)
        for (const path of ["/in", "/out", "/rotate"]) {
          for (const upgrade of ["websocket", "WebSocket", "h2c, websocket"]) {
            const reply = yield* server.raw(requestText(path, { headers: { ...handshake, cookie, upgrade } }))
            assert.strictEqual(reply.status, 400, path)
            assert.strictEqual(reply.headers["content-type"], "application/problem+json", path)
            assert.deepStrictEqual(reply.setCookies, [], path)
          }
        }
        assert.strictEqual(yield* sessions.count(), 1)
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).body, "ada")
      }))

    it.scopedLive(`${router}: another upgrade, and a header that upgrades nothing, are plain HTTP`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* onNode(router, [post("/login", Effect.zipRight(login, ok))], sessions.layer())
        for (const headers of [{ ...handshake, upgrade: "h2c" }, { upgrade: "websocket", connection: "close" }]) {
          const reply = yield* server.raw(requestText("/login", { method: "POST", headers }))
          assert.strictEqual(reply.status, 204)
          assert.match(cookieOf(reply), /^__Host-session=./)
        }
      }))
  }
})

// -----------------------------------------------------------------------------
// Together with other backends
// -----------------------------------------------------------------------------

describe("the jar with several backends", () => {
  it.scopedLive("a sign-in behind a bearer token varies by both headers", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* serve(
          surface,
          [post("/exchange", Effect.zipRight(login, ok), BearerAuth)],
          Layer.merge(sessions.layer(), bearerLive())
        )
        const reply = yield* server.send("/exchange", {
          method: "POST",
          headers: { authorization: "Bearer good" }
        })
        assert.match(cookieOf(reply), /^__Host-session=./)
        assert.sameMembers(reply.headers.vary!.split(", "), ["Authorization", "Cookie"], surface.join(" on "))
      })))
})
