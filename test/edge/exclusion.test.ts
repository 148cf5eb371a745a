import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import type { HttpApp } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Schema } from "effect"
import { Auth, loginRoute, makeSessions, signIn, whoami } from "./fixtures.js"
import type { Options, Sessions } from "./fixtures.js"
import { app, get, hosts, listen, requestText, serve, serveApp, webServer } from "./harness.js"
import type { Host, NodeServer, Reply, Server } from "./harness.js"

type Exclude = NonNullable<Options["exclude"]>

const text = (body: string) => Effect.succeed(HttpServerResponse.text(body))

/** A gate over an app, asked without any credential. */
const gated = (host: Host, inner: HttpApp.Default<any, any>, exclude: Exclude) =>
  Effect.flatMap(makeSessions(), (sessions) => app(host, Auth.middleware(inner as any), sessions.layer({ exclude })))

const missing = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  (request) => new HttpServerError.RouteNotFound({ request })
)

// -----------------------------------------------------------------------------
// Over a router, an entry names a route
// -----------------------------------------------------------------------------

const inner = HttpRouter.empty.pipe(
  HttpRouter.get("/", text("inner")),
  HttpRouter.get("/x", text("inner x"))
)

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/login", text("login page")),
  HttpRouter.post("/login", text("login")),
  HttpRouter.get("/", text("home")),
  HttpRouter.get("/p/:id", text("any p")),
  HttpRouter.get("/p/admin", text("admin")),
  HttpRouter.get("/optional/:id?", text("optional")),
  HttpRouter.get("/files/*", text("files")),
  HttpRouter.get("/files/private", text("private")),
  HttpRouter.all("/any", text("any")),
  HttpRouter.mount("/mounted", inner),
  HttpRouter.concat(HttpRouter.prefixAll(inner, "/prefixed")),
  HttpRouter.concat(HttpRouter.prefixAll(HttpRouter.prefixAll(inner, "/in"), "/out")),
  HttpRouter.concat(HttpRouter.get(HttpRouter.empty, "/joined", text("joined"))),
  HttpRouter.mountApp("/app", text("app")),
  HttpRouter.mountApp("/whole", text("whole"), { includePrefix: true }),
  HttpRouter.mountApp("/routed", inner)
) as unknown as HttpRouter.HttpRouter

const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
const paths = [
  "/",
  "/login",
  "/p/1",
  "/p/admin",
  "/optional",
  "/optional/1",
  "/files/a/b",
  "/files/private",
  "/any",
  "/mounted",
  "/mounted/x",
  "/prefixed",
  "/prefixed/x",
  "/out/in/x",
  "/joined",
  "/app",
  "/app/login",
  "/whole",
  "/whole/login",
  "/routed",
  "/routed/x",
  "/x",
  "/nowhere"
]
const probes = methods.flatMap((method) => paths.map((path) => [method, path] as const))

/** Everything that is answered without a credential. */
const freed = (server: Server) =>
  Effect.map(
    Effect.forEach(
      probes,
      ([method, path]) =>
        Effect.map(server.send(path, { method }), ({ status }) => status === 401 ? [] : [`${method} ${path}`]),
      { concurrency: 8 }
    ),
    (freed) => freed.flat().sort()
  )

const gets = (...paths: ReadonlyArray<string>) =>
  ["GET", "HEAD"].flatMap((method) => paths.map((path) => `${method} ${path}`))

const table: ReadonlyArray<readonly [title: string, exclude: Exclude, free: ReadonlyArray<string>]> = [
  ["nothing", [], []],
  ["a path, in every method that has a route", ["/login"], [...gets("/login"), "POST /login"]],
  ["a path in one method", ["POST /login"], ["POST /login"]],
  ["GET, with the HEAD that its route serves", ["GET /login"], gets("/login")],
  ["no route, when the method is HEAD", ["HEAD /login"], []],
  ["no route, when the method has none", ["PUT /login", "OPTIONS /login"], []],
  ["the root and nothing below", ["/"], gets("/")],
  ["a template, but not a sibling that its pattern would match", ["/p/:id"], gets("/p/1")],
  ["a sibling, but not the template", ["/p/admin"], gets("/p/admin")],
  ["no path that a template would match", ["/p/1", "/optional/1", "/files/a/b", "/optional"], []],
  ["no template of another name", ["/p/:name"], []],
  ["an optional parameter, with and without it", ["/optional/:id?"], gets("/optional", "/optional/1")],
  ["a wildcard of the router, but not a sibling", ["/files/*"], gets("/files/a/b")],
  ["no wildcard of ours", ["/*", "/p/*", "/*" as "/", "/mounted/*"], []],
  [
    "a route of every method in every method",
    ["/any"],
    methods.map((method) => `${method} /any`)
  ],
  ["a route of every method in one method", ["POST /any"], ["POST /any"]],
  ["a route of every method in GET, which is not its HEAD", ["GET /any"], ["GET /any"]],
  ["a route of every method in OPTIONS", ["OPTIONS /any"], ["OPTIONS /any"]],
  ["the root of a mounted router, and nothing below", ["/mounted"], gets("/mounted")],
  ["a mounted route by its whole template", ["GET /mounted/x"], gets("/mounted/x")],
  ["a prefixed route by its whole template", ["/prefixed/x", "/out/in/x"], gets("/prefixed/x", "/out/in/x")],
  ["no route by what it is called inside a prefix", ["/x", "/in/x"], []],
  ["a route of a router that was joined", ["/joined"], gets("/joined")],
  [
    "no mounted app, whatever it is called",
    ["/app", "/app/login", "/app/*", "/whole", "/whole/login", "/login/app"],
    []
  ],
  ["no router that was mounted as an app", ["/routed", "/routed/x", "/routed/*"], []],
  ["nothing by another spelling", ["/LOGIN", "/login/", "//login", "/%6cogin", "/login?", "/./login"], []],
  ["several routes", ["/", "/p/:id", "GET /any"], [...gets("/", "/p/1"), "GET /any"]]
]

describe("the gate over a router", () => {
  for (const host of hosts) {
    for (const [title, exclude, free] of table) {
      it.scopedLive(`on ${host}, ${JSON.stringify(exclude)} frees ${title}`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* freed(yield* gated(host, router, exclude)), [...free].sort())
        }))
    }

    it.scopedLive(`on ${host}, it is named by its own templates where it is mounted itself`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const guarded = Auth.middleware(router as any)
        const outer = HttpRouter.empty.pipe(
          HttpRouter.get("/login", text("outer")),
          HttpRouter.mountApp("/api", guarded)
        )
        const server = yield* app(host, outer as any, sessions.layer({ exclude: ["GET /login"] }))
        assert.strictEqual((yield* server.send("/login")).body, "outer")
        assert.strictEqual((yield* server.send("/api/login")).body, "login page")
        assert.strictEqual((yield* server.send("/api/login", { method: "POST" })).status, 401)
        assert.strictEqual((yield* server.send("/api/p/1")).status, 401)
        assert.strictEqual((yield* server.send("/api/api/login")).status, 401)
      }))

    it.scopedLive(`on ${host}, nobody gets 401 before 404, and somebody 404`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const cookie = yield* signIn(yield* serve(["HttpApp", host], [loginRoute], sessions.layer()))
        const server = yield* app(host, Auth.middleware(router as any), sessions.layer({ exclude: ["/login"] }))
        for (const path of ["/nowhere", "/login/more", "/p", "/routed/nowhere"]) {
          assert.strictEqual((yield* server.send(path)).status, 401, path)
          assert.strictEqual((yield* server.send(path, { headers: { cookie } })).status, 404, path)
        }
      }))

    it.scopedLive(`on ${host}, what a handler itself does not find is 404, freed or not`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const cookie = yield* signIn(yield* serve(["HttpApp", host], [loginRoute], sessions.layer()))
        const router = HttpRouter.empty.pipe(
          HttpRouter.get("/free", missing),
          HttpRouter.get("/shut", missing),
          HttpRouter.mountApp("/app", missing)
        )
        const server = yield* app(host, Auth.middleware(router as any), sessions.layer({ exclude: ["/free"] }))
        const free = yield* server.send("/free")
        assert.strictEqual(free.status, 404)
        assert.isUndefined(free.headers["www-authenticate"])
        for (const path of ["/shut", "/app/x"]) {
          assert.strictEqual((yield* server.send(path)).status, 401, path)
          assert.strictEqual((yield* server.send(path, { headers: { cookie } })).status, 404, path)
        }
      }))

    it.scopedLive(`on ${host}, an unknown path is 404 where only routes are under protect`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        for (const name of ["HttpApp", "HttpRouter", "HttpLayerRouter", "HttpApi"] as const) {
          const server = yield* serve([name, host], [get("/me", whoami, Auth)], sessions.layer())
          assert.strictEqual((yield* server.send("/me")).status, 401, name)
          assert.strictEqual((yield* server.send("/nowhere")).status, 404, name)
        }
      }))

    it.scopedLive(`on ${host}, an entry that names no route is logged as a warning, once`, () =>
      Effect.gen(function*() {
        const server = yield* gated(host, router, ["/login", "/lgoin", "POST /p/:id", "DELETE /any", "/app"])
        yield* Effect.all(Array.from({ length: 8 }, () => server.send("/login")), { concurrency: "unbounded" })
        yield* server.send("/nowhere")
        assert.deepStrictEqual(server.logs.map((line) => line.trim()), [
          "WARN exclude names no route of this router: /lgoin, POST /p/:id, /app"
        ])
      }))

    it.scopedLive(`on ${host}, entries that name routes are not worth a word`, () =>
      Effect.gen(function*() {
        const server = yield* gated(host, router, ["/login", "/p/:id", "GET /any", "/mounted", "/out/in/x"])
        yield* server.send("/login")
        assert.deepStrictEqual(server.logs, [])
      }))
  }
})

// -----------------------------------------------------------------------------
// Over an opaque app, an entry is a path
// -----------------------------------------------------------------------------

const group = HttpApiGroup.make("group")
  .add(HttpApiEndpoint.post("login", "/login").addSuccess(Schema.String))
  .add(HttpApiEndpoint.get("page", "/login").addSuccess(Schema.String))
  .add(HttpApiEndpoint.get("any", "/p/:id").addSuccess(Schema.String).setPath(Schema.Struct({ id: Schema.String })))
  .add(HttpApiEndpoint.get("user", "/user").addSuccess(Schema.String))
class Api extends HttpApi.make("api").add(group) {}

const apiLive = Layer.provide(
  HttpApiBuilder.api(Api),
  HttpApiBuilder.group(Api, "group", (handlers) =>
    handlers
      .handle("login", () => Effect.succeed("login"))
      .handle("page", () => Effect.succeed("login page"))
      .handle("any", ({ path }) => Effect.succeed(`p ${path.id}`))
      .handle("user", () => Effect.succeed("user")))
)

const gate = Auth.middleware as <A>(app: A) => A

/** The ways in which a whole HttpApi is put behind the gate. */
const compiled: Readonly<
  Record<string, (host: Host, sessions: Sessions, exclude: Exclude) => Effect.Effect<Server, never, any>>
> = {
  "a middleware of the api": (host, sessions, exclude) => {
    const live = Layer.merge(apiLive, HttpApiBuilder.middleware(gate as any) as Layer.Layer<never, never, any>)
    return host === "Node"
      ? listen(
        HttpApiBuilder.serve().pipe(
          Layer.provide(HttpApiBuilder.middleware(gate as any) as Layer.Layer<never>),
          Layer.provide(apiLive)
        ) as any,
        sessions.layer({ exclude })
      )
      : webServer((logged) =>
        HttpApiBuilder.toWebHandler(
          Layer.mergeAll(live, HttpServer.layerContext).pipe(
            Layer.provideMerge(Layer.provideMerge(sessions.layer({ exclude }), logged))
          ) as any
        )
      )
  },
  "the middleware of the server": (host, sessions, exclude) =>
    host === "Node"
      ? listen(
        HttpApiBuilder.serve(gate as any).pipe(Layer.provide(apiLive)) as any,
        sessions.layer({ exclude })
      )
      : webServer((logged) =>
        HttpApiBuilder.toWebHandler(
          Layer.mergeAll(apiLive, HttpServer.layerContext).pipe(
            Layer.provideMerge(Layer.provideMerge(sessions.layer({ exclude }), logged))
          ) as any,
          { middleware: gate as any }
        )
      )
}

describe("the gate over an opaque app", () => {
  for (const host of hosts) {
    for (const [way, make] of Object.entries(compiled)) {
      it.scopedLive(`on ${host}, a compiled HttpApi behind ${way}: an entry is an exact path`, () =>
        Effect.gen(function*() {
          const sessions = yield* makeSessions()
          const ask = Effect.fnUntraced(function*(exclude: Exclude) {
            const server = yield* make(host, sessions, exclude)
            const replies = yield* Effect.forEach(
              ["GET /login", "POST /login", "HEAD /login", "OPTIONS /login", "GET /p/1", "GET /p/2", "GET /user"],
              (probe) => {
                const [method, path] = probe.split(" ") as [string, string]
                return Effect.map(server.send(path, { method }), ({ status }) => status === 401 ? [] : [probe])
              }
            )
            assert.deepStrictEqual(server.logs, [], "no entry of an opaque app can be known to be wrong")
            return replies.flat()
          })
          assert.deepStrictEqual(yield* ask([]), [])
          assert.deepStrictEqual(yield* ask(["/login"]), ["GET /login", "POST /login", "HEAD /login", "OPTIONS /login"])
          assert.deepStrictEqual(yield* ask(["POST /login"]), ["POST /login"])
          // Only a router knows which GET route serves a HEAD request.
          assert.deepStrictEqual(yield* ask(["GET /login"]), ["GET /login"])
          assert.deepStrictEqual(yield* ask(["/p/1"]), ["GET /p/1"])
          assert.deepStrictEqual(yield* ask(["/p/:id", "/p/*", "/LOGIN", "/login/", "//login"]), [])
        }))

      it.scopedLive(`on ${host}, a compiled HttpApi behind ${way}: only the exact bytes before ? are free`, () =>
        Effect.gen(function*() {
          const sessions = yield* makeSessions()
          const server = yield* make(host, sessions, ["/login"])
          const ask = (path: string) => Effect.map(server.send(path), ({ status }) => status)
          for (const path of ["/login", "/login?", "/login?next=/user", "/login?a=b?c=/d", "/login?//x"]) {
            assert.strictEqual(yield* ask(path), 200, path)
          }
          for (
            const path of [
              "/LOGIN",
              "//login",
              "/%6cogin",
              "/login/",
              "/login;x",
              "/login%3F",
              "/user?/login",
              "/user?x=//h/login"
            ]
          ) {
            assert.strictEqual(yield* ask(path), 401, path)
          }
        }))
    }
  }
})

// -----------------------------------------------------------------------------
// Spellings
// -----------------------------------------------------------------------------

const spelled = HttpRouter.empty.pipe(
  HttpRouter.get("/", text("free home")),
  HttpRouter.get("/login", text("free login")),
  HttpRouter.get("/p/:id", text("free p")),
  HttpRouter.get("/p/admin", text("secret admin")),
  HttpRouter.get("/user", text("secret user")),
  HttpRouter.mountApp("/mounted", text("secret mounted")),
  HttpRouter.get("*", text("secret rest"))
) as unknown as HttpRouter.HttpRouter

/** The same, as nobody can look into it. */
const opaque: HttpApp.Default<any, any> = Effect.flatMap(Effect.void, () => spelled as any)

const request = (server: NodeServer, target: string) => server.raw(requestText(target))

const known = [
  "/login",
  "/LOGIN",
  "//login",
  "///login//",
  "/%6cogin",
  "/%6C%6F%67%69%6E",
  "/login/",
  "/login;x",
  "/login;/../user",
  "/./login",
  "/x/../login",
  "/login/../user",
  "/login/..%2fuser",
  "/login%2f..%2fuser",
  "/login\\..\\user",
  "/login%00",
  "/login%0a",
  "/login%",
  "/login%zz",
  "/login#/user",
  "/login?/user",
  "/login?x#y",
  "/user#/login",
  "/user?/login",
  "/user?http://localhost/login",
  "/user;/login",
  "/user/%2e%2e/login",
  "/user//login",
  "/p/admin",
  "/P/ADMIN",
  "/p/%61dmin",
  "/p//admin",
  "/p/admin/",
  "/p/admin;x",
  "/p/./admin",
  "/p/x/../admin",
  "/p/admin%2f",
  "/p/admin?x",
  "/mounted/login",
  "/MOUNTED/login",
  "//mounted/login",
  "/mounted/../login",
  "http://localhost/login",
  "http://localhost/user",
  "http://localhost//login",
  "http://localhost",
  "http://localhost?/login",
  "http://localhost#/login",
  "http://evil/login",
  "http://user@evil/login",
  "http://localhost/login?x",
  "http://localhost/user?http://localhost/login",
  "HTTP://localhost/login",
  "https://localhost/login",
  "ftp://localhost/login",
  "a://b/login",
  "http:///login",
  "//localhost/login",
  "*"
]

const oneOf = (texts: string) => FastCheck.constantFrom(...texts.split(" "))

// Two spaces: nothing at all is one of them.
const segment = oneOf(
  "login LOGIN %6cogin user p P admin %61dmin 1 mounted x . .. %2e %2e%2e %2f %5c \\ ;x :id * %00 % %ff  http: \u00e9"
)
const separator = oneOf("/ / / // ? # ; %2f \\ ")
const prefix = oneOf(
  "/ / / / //  http://localhost/ http://localhost http://h:80/ HTTP://h/ https://h/ ftp://h/ http:/// a:/"
)
const target = FastCheck.tuple(prefix, FastCheck.array(FastCheck.tuple(segment, separator), { maxLength: 5 })).map(
  ([prefix, parts]) => prefix + parts.map(([segment, separator]) => segment + separator).join("")
)

/** A target that Node itself refuses says nothing. */
const isMalformed = (reply: Reply) => reply.status === 400

const pathOf = (target: string) => target.replace(/^https?:\/\/[^/?#]*/, "").split("?")[0]!

describe("spellings of a path over a socket", () => {
  const everyTarget = (check: (target: string) => Effect.Effect<void>) =>
    Effect.gen(function*() {
      yield* Effect.forEach(known, check, { concurrency: 8, discard: true })
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            FastCheck.array(target, { minLength: 20, maxLength: 20 }),
            (targets) => Effect.runPromise(Effect.forEach(targets, check, { concurrency: 8, discard: true }))
          ),
          { numRuns: 50 }
        )
      )
    })

  it.scopedLive("over a router, free is exactly what the router takes for a freed route", () =>
    Effect.gen(function*() {
      const bare = yield* serveApp(spelled as any, Layer.empty)
      const sessions = yield* makeSessions()
      const guarded = yield* serveApp(
        Auth.middleware(spelled as any),
        sessions.layer({ exclude: ["/", "/login", "/p/:id"] })
      )
      yield* everyTarget((target) =>
        Effect.gen(function*() {
          const chosen = yield* request(bare, target)
          const reply = yield* request(guarded, target)
          if (isMalformed(chosen)) {
            assert.strictEqual(reply.status, 400, target)
          } else if (chosen.body.startsWith("free")) {
            assert.strictEqual(reply.body, chosen.body, target)
          } else {
            assert.strictEqual(reply.status, 401, target)
          }
        })
      )
    }), 60_000)

  it.scopedLive(
    "over an opaque app, free is nothing but the exact path, and it never leads to another route",
    () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const exclude: Exclude = ["/", "/login", "/p/1"]
        const answers: Record<string, string> = { "/": "free home", "/login": "free login", "/p/1": "free p" }
        const guarded = yield* serveApp(Auth.middleware(opaque as any), sessions.layer({ exclude }))
        yield* everyTarget((target) =>
          Effect.gen(function*() {
            const reply = yield* request(guarded, target)
            if (reply.status === 200) {
              assert.strictEqual(reply.body, answers[pathOf(target)], target)
            } else {
              assert.include([400, 401], reply.status, target)
            }
          })
        )
        assert.strictEqual((yield* request(guarded, "/login")).body, "free login")
        assert.strictEqual((yield* request(guarded, "http://localhost/login?x")).body, "free login")
      }),
    60_000
  )

  it.scopedLive(
    "over a compiled HttpApi, no spelling reaches an endpoint that is not free",
    () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const guarded =
          (yield* compiled["the middleware of the server"]!("Node", sessions, ["/login", "/p/1"])) as NodeServer
        yield* everyTarget((target) =>
          Effect.map(request(guarded, target), (reply) => {
            if (reply.status === 200) {
              assert.include(["\"login page\"", "\"p 1\""], reply.body, target)
              assert.strictEqual(pathOf(target), reply.body === "\"p 1\"" ? "/p/1" : "/login", target)
            } else {
              assert.include([400, 401], reply.status, target)
            }
          })
        )
      }),
    60_000
  )

  for (const method of ["get", "GET", "Options", "TRACE", "PATCH", "PROPFIND", "QUERY"]) {
    it.scopedLive(`the method ${method} is no way around the gate`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        for (const inner of [spelled as any, opaque]) {
          const server = yield* serveApp(Auth.middleware(inner), sessions.layer({ exclude: ["/login"] }))
          for (const path of ["/user", "/p/admin", "/mounted/x", "/nowhere", "*"]) {
            const reply = yield* server.raw(requestText(path, { method }))
            assert.include([400, 401], reply.status, path)
          }
        }
      }))
  }
})

// -----------------------------------------------------------------------------
// Other methods, and cors
// -----------------------------------------------------------------------------

describe("methods and cors", () => {
  const origin = "https://app.example"
  const preflight = {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" }
  }
  const cors = HttpMiddleware.cors({ allowedOrigins: [origin], credentials: true })

  for (const host of hosts) {
    it.scopedLive(`on ${host}, OPTIONS and HEAD authenticate like any method`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const cookie = yield* signIn(yield* serve(["HttpApp", host], [loginRoute], sessions.layer()))
        for (const inner of [router as any, Effect.flatMap(Effect.void, () => router as any)]) {
          const server = yield* app(host, Auth.middleware(inner), sessions.layer())
          for (const method of ["OPTIONS", "HEAD"]) {
            assert.strictEqual((yield* server.send("/any", { method })).status, 401)
            const reply = yield* server.send("/any", { method, headers: { cookie } })
            assert.strictEqual(reply.status, 200)
            assert.strictEqual(reply.headers["cache-control"], "no-store")
          }
        }
      }))

    it.scopedLive(`on ${host}, cors goes outside the gate: router, gate, cors, server`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const cookie = yield* signIn(yield* serve(["HttpApp", host], [loginRoute], sessions.layer()))
        const layer = sessions.layer({ exclude: ["/login"], trustedOrigins: [origin] })
        const server = yield* app(host, (router as any).pipe(Auth.middleware, cors), layer)
        for (const path of ["/login", "/p/1", "/nowhere"]) {
          const reply = yield* server.send(path, preflight)
          assert.strictEqual(reply.status, 204, path)
          assert.strictEqual(reply.headers["access-control-allow-origin"], origin, path)
          assert.strictEqual(reply.headers["access-control-allow-credentials"], "true", path)
        }
        const nobody = yield* server.send("/p/1", { headers: { origin } })
        assert.strictEqual(nobody.status, 401)
        const somebody = yield* server.send("/any", { method: "POST", headers: { origin, cookie } })
        assert.strictEqual(somebody.status, 200)
        for (const reply of [nobody, somebody]) {
          assert.strictEqual(reply.headers["access-control-allow-origin"], origin)
          assert.sameMembers(reply.headers.vary!.split(", "), ["Cookie", "Origin"])
        }
      }))

    it.scopedLive(`on ${host}, cors inside the gate answers no preflight, which is safe and useless`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const server = yield* app(
          host,
          (router as any).pipe(cors, Auth.middleware),
          sessions.layer({ exclude: ["/login"] })
        )
        assert.strictEqual((yield* server.send("/p/1", preflight)).status, 401)
      }))
  }
})
