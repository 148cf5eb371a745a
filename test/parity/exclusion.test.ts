// What Litestar's tests assert of excluded paths, options and methods, by what stands here in their place: entries that
// name routes, and `protect` on the routes that need it.
import { HttpMiddleware, HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SecurityError } from "effect-security"
import { Auth, loginRoute, makeSessions, signIn, whoami } from "../edge/fixtures.js"
import type { Options } from "../edge/fixtures.js"
import { app, get, onNode, onWeb, requestText } from "../edge/harness.js"
import type { Server } from "../edge/harness.js"

type Exclude = NonNullable<Options["exclude"]>

const text = (body: string) => Effect.succeed(HttpServerResponse.text(body))

/** A gate over a router, as a web handler. */
const gated = (router: HttpRouter.HttpRouter<any, any>, options: Options = {}) =>
  Effect.gen(function*() {
    const sessions = yield* makeSessions()
    const server = yield* app("web", Auth.middleware(router as any), sessions.layer(options))
    const cookie = yield* signIn(yield* onWeb("HttpRouter", [loginRoute], sessions.layer()))
    return { server, cookie }
  })

const statuses = (server: Server, paths: ReadonlyArray<string>, init: { readonly method?: string } = {}) =>
  Effect.forEach(paths, (path) => Effect.map(server.send(path, init), ({ status }) => status))

// -----------------------------------------------------------------------------
// Entries
// -----------------------------------------------------------------------------

const compass = HttpRouter.empty.pipe(
  HttpRouter.get("/", text("home")),
  HttpRouter.get("/north/:id", text("north")),
  HttpRouter.get("/south", text("south")),
  HttpRouter.get("/west", text("west")),
  HttpRouter.get("/123", text("123")),
  HttpRouter.get("/456", text("456")),
  HttpRouter.get("/789", text("789")),
  HttpRouter.mount("/mount", HttpRouter.empty.pipe(HttpRouter.get("/123", text("mounted")))),
  HttpRouter.mountApp("/mounted", text("mounted app"))
)

describe("exclude", () => {
  it.scopedLive("frees a route that the application adds, in a gate that closes everything else (3)", () =>
    Effect.gen(function*() {
      const { server } = yield* gated(compass, { exclude: ["/"] })
      const reply = yield* server.send("/")
      assert.deepStrictEqual([reply.status, reply.body], [200, "home"])
      assert.deepStrictEqual(yield* statuses(server, ["/south", "/north/1", "/nowhere"]), [401, 401, 401])
    }))

  it.scopedLive("of two routes frees these two and no other (26, 35)", () =>
    Effect.gen(function*() {
      const { cookie, server } = yield* gated(compass, { exclude: ["/north/:id", "/south"] })
      assert.deepStrictEqual(yield* statuses(server, ["/north/1", "/south", "/west"]), [200, 200, 401])
      assert.strictEqual((yield* server.send("/west", { headers: { cookie } })).body, "west")
      const numbers = yield* gated(compass, { exclude: ["/123", "/456"] })
      assert.deepStrictEqual(yield* statuses(numbers.server, ["/123", "/456", "/789"]), [200, 200, 401])
    }))

  it.scopedLive("of a route frees nothing that is mounted under the same name (34, 41)", () =>
    Effect.gen(function*() {
      const { server } = yield* gated(compass, { exclude: ["/123", "/mounted", "/mounted/*"] })
      assert.deepStrictEqual(
        yield* statuses(server, ["/123", "/456", "/mount/123", "/mounted", "/mounted/123"]),
        [200, 401, 401, 401, 401]
      )
    }))

  it.scopedLive("names the template of a route, to the last character (40)", () =>
    Effect.gen(function*() {
      for (
        const [entry, status] of [["/north/:id", 200], ["/north/:", 401], ["/north", 401], ["/north/1", 401]] as const
      ) {
        const { server } = yield* gated(compass, { exclude: [entry] })
        assert.deepStrictEqual(yield* statuses(server, ["/north/1"]), [status], entry)
      }
    }))

  it.scopedLive("with a method frees that method of a route, and no other (29)", () =>
    Effect.gen(function*() {
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/page", text("page")),
        HttpRouter.post("/page", text("changed")),
        HttpRouter.options("/page", text("options"))
      )
      const { server } = yield* gated(router, { exclude: ["GET /page"] })
      for (const [method, status] of [["GET", 200], ["HEAD", 200], ["POST", 401], ["OPTIONS", 401]] as const) {
        assert.deepStrictEqual(yield* statuses(server, ["/page"], { method }), [status], method)
      }
    }))

  // W26
  it.scopedLive("of nothing, or left out, frees nothing, for whatever method", () =>
    Effect.gen(function*() {
      for (const options of [{ exclude: [] }, { exclude: undefined }, {}] as ReadonlyArray<Options>) {
        const { server } = yield* gated(compass, options)
        for (const method of ["GET", "HEAD", "OPTIONS"]) {
          const paths = ["/", "/north/1", "/south", "/123", "/mount/123", "/mounted", "/nowhere"]
          assert.deepStrictEqual(yield* statuses(server, paths, { method }), paths.map(() => 401), method)
        }
      }
      // Whatever a program without types gives, a text is no list of one.
      for (const untyped of ["", "/"]) {
        const { server } = yield* gated(compass, { exclude: [untyped] as unknown as Exclude })
        assert.deepStrictEqual(yield* statuses(server, ["/south", "/nowhere"]), [401, 401], untyped)
      }
    }))

  // W27
  it.scopedLive("of /login and /schema frees no longer path that holds, begins or ends with them", () =>
    Effect.gen(function*() {
      const router = HttpRouter.empty.pipe(
        HttpRouter.post("/login", text("login")),
        HttpRouter.get("/schema", text("schema")),
        HttpRouter.get("/login-history", text("history")),
        HttpRouter.get("/schema/openapi.json", text("document")),
        HttpRouter.get("/admin/*", text("admin"))
      )
      const { cookie, server } = yield* gated(router, { exclude: ["/login", "/schema"] })
      assert.deepStrictEqual(yield* statuses(server, ["/login"], { method: "POST" }), [200])
      assert.deepStrictEqual(yield* statuses(server, ["/schema", "/schema?a=/admin"]), [200, 200])
      const closed = [
        "/admin/users/login",
        "/admin/schema",
        "/admin/login?next=/login",
        "/login-history",
        "/schema/openapi.json",
        "/login",
        "//login",
        "/LOGIN-HISTORY",
        "/%6cogin-history"
      ]
      assert.deepStrictEqual(yield* statuses(server, closed), closed.map(() => 401))
      assert.strictEqual((yield* server.send("/admin/users/login", { headers: { cookie } })).body, "admin")
    }))

  // W28
  it.scopedLive("of what looks like a pattern for all paths frees none of them, and is logged", () =>
    Effect.gen(function*() {
      const patterns = ["/*", "/.*", "/(.*)", "/|/foo", "/^/", "/:any*"] as const
      const { server } = yield* gated(compass, { exclude: patterns })
      const paths = ["/", "/north/1", "/south", "/mount/123", "/foo"]
      assert.deepStrictEqual(yield* statuses(server, paths), paths.map(() => 401))
      assert.deepStrictEqual(
        server.logs.filter((line) => line.includes("exclude names no route")),
        [`WARN exclude names no route of this router: ${patterns.join(", ")} `]
      )
    }))
})

// -----------------------------------------------------------------------------
// Composition
// -----------------------------------------------------------------------------

describe("protect on the routes that need it", () => {
  it.scopedLive("leaves the others free, as an option on the handler does elsewhere (27, 28, 38)", () =>
    Effect.gen(function*() {
      const sessions = yield* makeSessions()
      const server = yield* onWeb(
        "HttpRouter",
        [get("/free", text("free")), get("/closed", whoami, Auth)],
        sessions.layer()
      )
      assert.deepStrictEqual(yield* statuses(server, ["/free", "/closed"]), [200, 401])
    }))

  it.scopedLive("may be put on sockets alone, or on pages alone (39)", () =>
    Effect.gen(function*() {
      const sessions = yield* makeSessions()
      const socket = Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const socket = yield* request.upgrade
        yield* Effect.orDie(socket.run(() => {}))
        return HttpServerResponse.empty()
      })
      const server = yield* onNode(
        "HttpRouter",
        [
          get("/closed-socket", socket, Auth),
          get("/open-socket", socket),
          get("/closed-page", text("page"), Auth),
          get("/open-page", text("page"))
        ],
        sessions.layer()
      )
      const upgrade = (path: string) =>
        requestText(path, {
          headers: {
            connection: "Upgrade",
            upgrade: "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="
          }
        })
      assert.deepStrictEqual(yield* statuses(server, ["/closed-page", "/open-page"]), [401, 200])
      assert.strictEqual((yield* server.raw(upgrade("/closed-socket"))).status, 401)
      const connection = yield* server.connect(upgrade("/open-socket"))
      assert.include(yield* connection.until("\r\n\r\n"), "101 Switching Protocols")
      yield* connection.abort
    }))

  it.scopedLive("may depend on the request, by a decision that the application writes itself (42)", () =>
    Effect.gen(function*() {
      const sessions = yield* makeSessions()
      const file = text("file")
      const files = Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        (request) => request.url.endsWith(".jpg") ? file : Auth.protect(file)
      )
      const server = yield* onWeb("HttpApp", [get("/test.jpg", files), get("/test.txt", files)], sessions.layer())
      assert.deepStrictEqual(yield* statuses(server, ["/test.jpg", "/test.txt"]), [200, 401])
    }))
})

// -----------------------------------------------------------------------------
// On a free route
// -----------------------------------------------------------------------------

describe("a route that is free", () => {
  // W30
  it.scopedLive("may find out who is there, and is told nobody, somebody or that it cannot be known (O13)", () =>
    Effect.gen(function*() {
      let isDown = false
      const sessions = yield* makeSessions((store) => ({
        find: (id) =>
          Effect.suspend(() => isDown ? Effect.fail(new SecurityError.SecurityUnavailable()) : store.find(id))
      }))
      const router = HttpRouter.empty.pipe(
        HttpRouter.get(
          "/maybe",
          Effect.map(
            Auth.userOption,
            (user) => HttpServerResponse.text(Option.match(user, { onNone: () => "nobody", onSome: ({ id }) => id }))
          )
        ),
        HttpRouter.get("/must", Effect.map(Auth.user, ({ id }) => HttpServerResponse.text(id))),
        HttpRouter.get("/reads", Effect.map(Auth.session, ({ userId }) => HttpServerResponse.text(userId)))
      )
      const exclude: Exclude = ["/maybe", "/must", "/reads"]
      const server = yield* app("web", Auth.middleware(router as any), sessions.layer({ exclude }))
      const cookie = yield* signIn(yield* onWeb("HttpRouter", [loginRoute], sessions.layer()))
      const answers = (headers: Record<string, string>) =>
        Effect.forEach(
          ["/maybe", "/must", "/reads"],
          (path) => Effect.map(server.send(path, { headers }), ({ body, status }) => status === 200 ? body : status)
        )
      assert.deepStrictEqual(yield* answers({}), ["nobody", 401, 401])
      assert.deepStrictEqual(yield* answers({ cookie: "__Host-session=nonsense" }), ["nobody", 401, 401])
      assert.deepStrictEqual(yield* answers({ cookie }), ["ada", "ada", "ada"])
      isDown = true
      assert.deepStrictEqual(yield* answers({ cookie }), [503, 503, 503])
    }))

  // W31
  it.scopedLive("and a preflight ask no guard of the backend, and a guarded one asks it about a user", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const origin = "https://app.example"
      const sessions = yield* makeSessions()
      const layer = sessions.layer({
        exclude: ["/free"],
        trustedOrigins: [origin],
        guards: [
          ({ id }: { readonly id: string }) =>
            Effect.suspend(() => {
              asked.push(id)
              return Effect.fail(new SecurityError.PermissionDenied())
            })
        ]
      })
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/free", text("free")),
        HttpRouter.get("/closed", text("closed")),
        HttpRouter.options("/closed", text("options"))
      )
      const cors = HttpMiddleware.cors({ allowedOrigins: [origin], credentials: true })
      const server = yield* app("web", cors(Auth.middleware(router as any) as any), layer)
      const cookie = yield* signIn(yield* onWeb("HttpRouter", [loginRoute], layer))
      const preflight = { method: "OPTIONS", headers: { origin, "access-control-request-method": "GET" } }
      assert.strictEqual((yield* server.send("/closed", preflight)).status, 204)
      assert.strictEqual((yield* server.send("/free", { headers: { cookie } })).status, 200)
      assert.strictEqual((yield* server.send("/closed")).status, 401)
      assert.deepStrictEqual(asked, [])
      assert.strictEqual((yield* server.send("/closed", { headers: { cookie } })).status, 403)
      assert.deepStrictEqual(asked, ["ada"])
    }))
})

// -----------------------------------------------------------------------------
// Spellings
// -----------------------------------------------------------------------------

// W32
it.scopedLive("exclude is read by the gate alone: a route under protect asks whatever it names", () =>
  Effect.gen(function*() {
    const sessions = yield* makeSessions()
    const layer = sessions.layer({ exclude: ["/me"] })
    const routes = HttpRouter.get(HttpRouter.empty, "/me", Auth.protect(whoami))
    assert.deepStrictEqual(yield* statuses(yield* onWeb("HttpRouter", [get("/me", whoami, Auth)], layer), ["/me"]), [
      401
    ])
    assert.deepStrictEqual(yield* statuses(yield* app("web", Auth.middleware(routes as any), layer), ["/me"]), [401])
  }))
