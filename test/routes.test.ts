// What a listing says of a route is what a stranger meets there.
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSecurity,
  HttpApp,
  HttpMethod,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Layer } from "effect"
import { Guard, Permission, SecurityConfig } from "effect-security"
import { BearerAuth, bearerLive, KeyAuth, keyLive } from "./edge/fixtures.js"
import { Auth, CurrentUser, live } from "./session/fixtures.js"

// -----------------------------------------------------------------------------
// A stranger
// -----------------------------------------------------------------------------

const ok = HttpServerResponse.empty({ status: 200 })

/** By key: how each Tag challenges. */
const challenges: Readonly<Record<string, string>> = {
  [Auth.key]: "Cookie",
  [BearerAuth.key]: "Bearer",
  [KeyAuth.key]: "ApiKey"
}

const AllLive = Layer.mergeAll(live(), bearerLive(), keyLive())

type Call = (method: string, path: string) => Effect.Effect<Response>

const through = (handler: (request: Request) => Promise<Response>): Call => (method, path) =>
  Effect.promise(() => handler(new Request(`https://app.example.com${path}`, { method })))

const serveApp = <E>(app: HttpApp.Default<E, any>): Effect.Effect<Call> =>
  Effect.map(
    Effect.runtime<any>(),
    (runtime) => through(HttpApp.toWebHandlerRuntime(runtime)(app) as (request: Request) => Promise<Response>)
  ) as Effect.Effect<Call>

const methodsOf = (route: SecurityConfig.Route, all: ReadonlyArray<SecurityConfig.Route>) =>
  route.method !== "*" ?
    [route.method] :
    Array.from(HttpMethod.all).filter((method) =>
      !all.some((other) => other !== route && other.path === route.path && other.method === method)
    )

/** Calls every route that is listed without a credential: 200 where none is said to be needed, else a 401 of who is first. */
const assertTrue = (
  call: Call,
  routes: ReadonlyArray<SecurityConfig.Route>,
  isMeant: (route: SecurityConfig.Route) => boolean = () => true
) =>
  Effect.forEach(
    routes.filter(isMeant),
    (route) =>
      Effect.forEach(methodsOf(route, routes), (method) =>
        Effect.gen(function*() {
          const response = yield* call(method, route.path.replace(/:\w+/g, "7").replace(/\*/g, "anything"))
          const title = `${method} ${route.path} ${route.protectedBy}`
          const [first] = route.protectedBy
          assert.strictEqual(response.status, first === undefined ? 200 : 401, title)
          if (first !== undefined) {
            assert.strictEqual(response.headers.get("www-authenticate"), challenges[first], title)
          }
        })),
    { discard: true }
  )

const lines = (routes: ReadonlyArray<SecurityConfig.Route>) =>
  routes.map(({ method, path, protectedBy }) => `${method} ${path}: ${protectedBy.join(" ")}`)

const assertRoutes = (router: HttpRouter.HttpRouter<any, any>, expected: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const routes = SecurityConfig.routes(router)
    assert.deepStrictEqual(lines(routes), expected)
    yield* assertTrue(yield* serveApp(router), routes)
  }).pipe(Effect.provide(AllLive))

// -----------------------------------------------------------------------------
// HttpRouter
// -----------------------------------------------------------------------------

const other = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.tap(self, () => Effect.void)

describe("the routes of an HttpRouter", () => {
  const plain = HttpRouter.empty.pipe(HttpRouter.get("/a", ok), HttpRouter.post("/a", ok))

  it.effect("are protected by what is around their handlers", () =>
    assertRoutes(
      HttpRouter.empty.pipe(
        HttpRouter.get("/", ok),
        HttpRouter.get("/user", Auth.protect(ok)),
        HttpRouter.post("/user", BearerAuth.protect(ok)),
        HttpRouter.all("/any", Auth.protect(ok)),
        HttpRouter.all("/all", ok),
        HttpRouter.get("/users/:id", Auth.protect(ok))
      ),
      [
        "GET /: ",
        "GET /user: test/Auth",
        "POST /user: test/BearerAuth",
        "* /any: test/Auth",
        "* /all: ",
        "GET /users/:id: test/Auth"
      ]
    ))

  it.effect("are listed with the outermost of several first, and each once", () =>
    assertRoutes(
      HttpRouter.empty.pipe(
        HttpRouter.get("/ab", Auth.protect(BearerAuth.protect(ok))),
        HttpRouter.get("/ba", BearerAuth.protect(Auth.protect(ok))),
        HttpRouter.get("/kab", KeyAuth.protect(Auth.protect(BearerAuth.protect(ok)))),
        HttpRouter.get("/aba", Auth.protect(BearerAuth.protect(Auth.protect(ok))))
      ),
      [
        "GET /ab: test/Auth test/BearerAuth",
        "GET /ba: test/BearerAuth test/Auth",
        "GET /kab: test/KeyAuth test/Auth test/BearerAuth",
        "GET /aba: test/Auth test/BearerAuth"
      ]
    ))

  it.effect("are protected by the last HttpRouter.use, and only those that were there then", () =>
    assertRoutes(
      plain.pipe(
        HttpRouter.use(Auth.protect),
        HttpRouter.get("/b", ok),
        HttpRouter.use(BearerAuth.protect),
        HttpRouter.get("/c", ok)
      ),
      ["GET /a: test/BearerAuth", "POST /a: test/BearerAuth", "GET /b: test/BearerAuth", "GET /c: "]
    ))

  it.effect("keep their protection where they are prefixed, joined and mounted", () =>
    assertRoutes(
      HttpRouter.empty.pipe(
        HttpRouter.concat(plain.pipe(HttpRouter.use(Auth.protect), HttpRouter.prefixAll("/one"))),
        HttpRouter.concat(plain.pipe(HttpRouter.prefixAll("/two"))),
        HttpRouter.mount("/three", plain.pipe(HttpRouter.use(BearerAuth.protect))),
        HttpRouter.mount("/four", HttpRouter.empty.pipe(HttpRouter.get("/", ok)))
      ),
      [
        "GET /one/a: test/Auth",
        "POST /one/a: test/Auth",
        "GET /two/a: ",
        "POST /two/a: ",
        "GET /three/a: test/BearerAuth",
        "POST /three/a: test/BearerAuth",
        "GET /four: "
      ]
    ))

  it.effect("are /prefix/* for a mounted app", () =>
    assertRoutes(
      HttpRouter.empty.pipe(
        HttpRouter.mountApp("/open", ok),
        HttpRouter.mountApp("/closed", Auth.protect(ok)),
        HttpRouter.mountApp("/whole", Auth.protect(ok), { includePrefix: true }),
        HttpRouter.prefixAll("/v1")
      ),
      ["* /v1/open/*: ", "* /v1/closed/*: test/Auth", "* /v1/whole/*: test/Auth"]
    ))

  it.effect("count as public where something else is around what protects them", () =>
    Effect.gen(function*() {
      const router = HttpRouter.empty.pipe(
        HttpRouter.get("/wrapped", other(Auth.protect(ok))),
        HttpRouter.mountApp("/inner", plain.pipe(HttpRouter.use(Auth.protect)))
      )
      assert.deepStrictEqual(lines(SecurityConfig.routes(router)), ["GET /wrapped: ", "* /inner/*: "])
      assert.deepStrictEqual(
        lines(SecurityConfig.routes(plain.pipe(HttpRouter.use(Auth.protect), HttpRouter.use(other)))),
        ["GET /a: ", "POST /a: "]
      )
      const call = yield* serveApp(router)
      assert.strictEqual((yield* call("GET", "/wrapped")).status, 401)
      assert.strictEqual((yield* call("GET", "/inner/a")).status, 401)
    }).pipe(Effect.provide(AllLive)))

  it("are not said to be protected where a failure to authenticate is caught", () => {
    const opened = (self: HttpApp.Default<any, any>) => Effect.catchAll(self, () => ok)
    const router = plain.pipe(HttpRouter.use(Auth.protect))
    const all: ReadonlyArray<HttpRouter.HttpRouter<any, any>> = [
      HttpRouter.empty.pipe(HttpRouter.get("/", opened(Auth.protect(ok)))),
      router.pipe(HttpRouter.use(opened)),
      router.pipe(HttpRouter.catchAll(() => ok)),
      router.pipe(HttpRouter.catchTag("NotAuthorized", () => ok)),
      router.pipe(HttpRouter.catchAllCause(() => ok)),
      router.pipe(HttpRouter.transform(opened as any)),
      HttpRouter.mountApp(HttpRouter.empty, "/x", opened(Auth.protect(ok)))
    ]
    for (const router of all) {
      assert.isTrue(SecurityConfig.routes(router).every(({ protectedBy }) => protectedBy.length === 0))
    }
  })

  it("are protected by what was around a handler before something came between, and no more", () => {
    const router = HttpRouter.empty.pipe(HttpRouter.get("/", BearerAuth.protect(other(Auth.protect(ok)))))
    assert.deepStrictEqual(lines(SecurityConfig.routes(router)), ["GET /: test/BearerAuth"])
  })

  it("are none of a router without routes", () => {
    assert.deepStrictEqual(SecurityConfig.routes(HttpRouter.empty), [])
  })
})

// -----------------------------------------------------------------------------
// Any HttpRouter
// -----------------------------------------------------------------------------

const guards = { auth: Auth.protect, bearer: BearerAuth.protect, key: KeyAuth.protect, other } as const
type Guard = keyof typeof guards
const tags = { auth: Auth.key, bearer: BearerAuth.key, key: KeyAuth.key } as const

const guarded = (names: ReadonlyArray<Guard>): HttpApp.Default<any, any> =>
  names.reduceRight<any>((app, name) => guards[name](app), ok)

type Tree =
  | { readonly _: "route"; readonly method: HttpMethod.HttpMethod | "*"; readonly guards: ReadonlyArray<Guard> }
  | { readonly _: "mountApp"; readonly guards: ReadonlyArray<Guard>; readonly includePrefix: boolean }
  | { readonly _: "concat"; readonly trees: ReadonlyArray<Tree> }
  | { readonly _: "prefix" | "mount"; readonly tree: Tree }
  | { readonly _: "use"; readonly guard: Guard; readonly tree: Tree }

const arbitraryGuard = FastCheck.constantFrom<Guard>("auth", "bearer", "key", "other")
const arbitraryGuards = FastCheck.array(arbitraryGuard, { maxLength: 3 })

const { tree: arbitraryTree } = FastCheck.letrec<{ readonly tree: Tree }>((tie) => ({
  tree: FastCheck.oneof(
    { maxDepth: 4, withCrossShrink: true },
    FastCheck.record({
      _: FastCheck.constant("route" as const),
      method: FastCheck.constantFrom<HttpMethod.HttpMethod | "*">("GET", "POST", "DELETE", "*"),
      guards: arbitraryGuards
    }),
    FastCheck.record({
      _: FastCheck.constant("mountApp" as const),
      guards: arbitraryGuards,
      includePrefix: FastCheck.boolean()
    }),
    FastCheck.record({
      _: FastCheck.constant("concat" as const),
      trees: FastCheck.array(tie("tree"), { minLength: 2, maxLength: 3 })
    }),
    FastCheck.record({ _: FastCheck.constantFrom("prefix" as const, "mount" as const), tree: tie("tree") }),
    FastCheck.record({ _: FastCheck.constant("use" as const), guard: arbitraryGuard, tree: tie("tree") })
  )
}))

interface Known {
  readonly method: string
  readonly path: string
  readonly guards: ReadonlyArray<Guard>
  readonly isMount: boolean
}

/** The router, and what is known of it by how it was made. Each path occurs once. */
const makeRouter = (tree: Tree, next = { id: 0 }): readonly [HttpRouter.HttpRouter<any, any>, ReadonlyArray<Known>] => {
  const id = next.id++
  switch (tree._) {
    case "route": {
      const { guards, method } = tree
      const path = `/r${id}/:id` as const
      return [
        HttpRouter.fromIterable([HttpRouter.makeRoute(method, path, guarded(guards))]),
        [{ method, path, guards, isMount: false }]
      ]
    }
    case "mountApp": {
      const { guards, includePrefix } = tree
      return [
        HttpRouter.mountApp(HttpRouter.empty, `/m${id}`, guarded(guards), { includePrefix }),
        [{ method: "*", path: `/m${id}/*`, guards, isMount: true }]
      ]
    }
    case "concat": {
      const made = tree.trees.map((tree) => makeRouter(tree, next))
      return [HttpRouter.concatAll(...made.map(([router]) => router)) as any, made.flatMap(([, known]) => known)]
    }
    case "prefix":
    case "mount": {
      const [router, known] = makeRouter(tree.tree, next)
      return [
        tree._ === "prefix"
          ? HttpRouter.prefixAll(router, `/p${id}`)
          : HttpRouter.mount(HttpRouter.empty, `/p${id}`, router),
        known.map((route) => ({ ...route, path: `/p${id}${route.path}` }))
      ]
    }
    case "use": {
      const [router, known] = makeRouter(tree.tree, next)
      return [
        HttpRouter.use(router, guards[tree.guard] as any),
        // The router puts something of its own around the handler of a route.
        known.map((route) => ({
          ...route,
          guards: route.isMount ? [tree.guard, ...route.guards] : [tree.guard, "other", ...route.guards]
        }))
      ]
    }
  }
}

/** Routes come before mounts. */
const inOrder = (known: ReadonlyArray<Known>) => [
  ...known.filter(({ isMount }) => !isMount),
  ...known.filter(({ isMount }) => isMount)
]

const claimOf = ({ guards }: Known): ReadonlyArray<string> => {
  const end = guards.indexOf("other")
  const known = (end === -1 ? guards : guards.slice(0, end)) as ReadonlyArray<keyof typeof tags>
  return Array.from(new Set(known.map((guard) => tags[guard])))
}

const isProtected = ({ guards }: Known) => guards.some((guard) => guard !== "other")

describe("the routes of any HttpRouter", () => {
  it.effect.prop(
    "are listed with all that is known to be around them, and never with more than a stranger meets",
    [arbitraryTree],
    ([tree]) =>
      Effect.gen(function*() {
        const [router, made] = makeRouter(tree)
        const known = inOrder(made)
        const routes = SecurityConfig.routes(router)
        assert.deepStrictEqual(
          routes.map(({ method, path, protectedBy }) => ({ method, path, protectedBy })),
          known.map((route) => ({ method: route.method as "GET", path: route.path, protectedBy: claimOf(route) }))
        )
        const call = yield* serveApp(router)
        yield* assertTrue(call, routes.filter((_, i) => claimOf(known[i]!).length > 0 || !isProtected(known[i]!)))
      }).pipe(Effect.provide(AllLive)),
    { fastCheck: { numRuns: 60 } }
  )

  const entries = (known: ReadonlyArray<Known>) =>
    FastCheck.array(
      FastCheck.tuple(
        FastCheck.constantFrom("", ...Array.from(HttpMethod.all, (method) => `${method} `)),
        FastCheck.constantFrom(
          ...known.map(({ path }) => path),
          ...known.map(({ path }) => path.replace("/:id", "/7").replace("/*", "")),
          "/unknown"
        )
      ).map(([method, path]) => `${method}${path}` as "/"),
      { maxLength: 6 }
    )

  it.effect.prop(
    "behind the gate are listed as it lets a stranger in",
    [arbitraryTree.chain((tree) =>
      FastCheck.record({ tree: FastCheck.constant(tree), exclude: entries(makeRouter(tree)[1]) })
    )],
    ([{ exclude, tree }]) =>
      Effect.gen(function*() {
        const [router, made] = makeRouter(tree)
        const known = new Map(made.map((route) => [route.path, route]))
        const routes = yield* Auth.routes(router)
        const call = yield* serveApp(Auth.middleware(router as any) as HttpApp.Default<any, any>)
        yield* assertTrue(
          call,
          routes,
          ({ path, protectedBy }) => protectedBy.length > 0 || !isProtected(known.get(path)!)
        )
        // Every route is there, and what is not freed is behind the gate first.
        assert.deepStrictEqual(new Set(routes.map(({ path }) => path)), new Set(known.keys()))
        for (const { path, protectedBy } of routes) {
          assert.deepStrictEqual(
            protectedBy,
            protectedBy[0] === Auth.key
              ? Array.from(new Set([Auth.key, ...claimOf(known.get(path)!)]))
              : claimOf(known.get(path)!)
          )
        }
      }).pipe(Effect.provide(Layer.mergeAll(live({ exclude }), bearerLive(), keyLive()))),
    { fastCheck: { numRuns: 60 } }
  )
})

// -----------------------------------------------------------------------------
// Behind the gate
// -----------------------------------------------------------------------------

describe("the routes behind the gate", () => {
  const router = HttpRouter.empty.pipe(
    HttpRouter.get("/page", ok),
    HttpRouter.post("/page", ok),
    HttpRouter.get("/users/:id", ok),
    HttpRouter.all("/hook", ok),
    HttpRouter.get("/both", BearerAuth.protect(ok)),
    HttpRouter.mountApp("/files", ok)
  )
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<any>, ReadonlyArray<string>]> = [
    ["are all protected without exclude", [], [
      "GET /page: test/Auth",
      "POST /page: test/Auth",
      "GET /users/:id: test/Auth",
      "* /hook: test/Auth",
      "GET /both: test/Auth test/BearerAuth",
      "* /files/*: test/Auth"
    ]],
    ["are free by path and by method", ["/page", "GET /users/:id"], [
      "GET /page: ",
      "POST /page: ",
      "GET /users/:id: ",
      "* /hook: test/Auth",
      "GET /both: test/Auth test/BearerAuth",
      "* /files/*: test/Auth"
    ]],
    ["are free for one method where they take all", ["POST /hook", "POST /page"], [
      "GET /page: test/Auth",
      "POST /page: ",
      "GET /users/:id: test/Auth",
      "POST /hook: ",
      "* /hook: test/Auth",
      "GET /both: test/Auth test/BearerAuth",
      "* /files/*: test/Auth"
    ]],
    ["are free for every method where the path is", ["/hook"], [
      "GET /page: test/Auth",
      "POST /page: test/Auth",
      "GET /users/:id: test/Auth",
      "* /hook: ",
      "GET /both: test/Auth test/BearerAuth",
      "* /files/*: test/Auth"
    ]],
    ["keep what is around the handler", ["/both"], [
      "GET /page: test/Auth",
      "POST /page: test/Auth",
      "GET /users/:id: test/Auth",
      "* /hook: test/Auth",
      "GET /both: test/BearerAuth",
      "* /files/*: test/Auth"
    ]],
    ["are not freed by what names none of them, and a mounted app never is", [
      "/users/7",
      "/PAGE",
      "HEAD /page",
      "DELETE /page",
      "/files",
      "/files/*",
      "GET /files/anything",
      "* /hook"
    ], [
      "GET /page: test/Auth",
      "POST /page: test/Auth",
      "GET /users/:id: test/Auth",
      "* /hook: test/Auth",
      "GET /both: test/Auth test/BearerAuth",
      "* /files/*: test/Auth"
    ]]
  ]
  for (const [title, exclude, expected] of cases) {
    it.effect(title, () =>
      Effect.gen(function*() {
        const routes = yield* Auth.routes(router)
        assert.deepStrictEqual(lines(routes), expected)
        yield* assertTrue(yield* serveApp(Auth.middleware(router)), routes)
      }).pipe(Effect.provide(Layer.mergeAll(live({ exclude }), bearerLive(), keyLive()))))
  }
})

// -----------------------------------------------------------------------------
// HttpApi
// -----------------------------------------------------------------------------

/** Has a scheme and lets everybody in whom it does not know. */
class Optional extends HttpApiMiddleware.Tag<Optional>()("test/Optional", {
  optional: true,
  provides: CurrentUser,
  security: { optional: HttpApiSecurity.bearer }
}) {}

/** Protects nothing. */
class Plain extends HttpApiMiddleware.Tag<Plain>()("test/Plain") {}

/** Of another author, with a scheme. */
class Foreign extends HttpApiMiddleware.Tag<Foreign>()("test/Foreign", {
  security: { foreign: HttpApiSecurity.basic },
  failure: BearerAuth.failure
}) {}

const middlewares = { auth: Auth, bearer: BearerAuth, key: KeyAuth, optional: Optional, plain: Plain } as const
type Middleware = keyof typeof middlewares

const MiddlewaresLive = Layer.mergeAll(
  AllLive,
  Layer.succeed(Optional, { optional: () => Effect.fail("never seen") as Effect.Effect<never, never> }),
  Layer.succeed(Plain, Effect.void)
)

interface ApiShape {
  readonly api: ReadonlyArray<Middleware>
  readonly groups: ReadonlyArray<{
    readonly middlewares: ReadonlyArray<Middleware>
    readonly endpoints: ReadonlyArray<
      { readonly method: "GET" | "POST"; readonly middlewares: ReadonlyArray<Middleware> }
    >
  }>
}

const withMiddlewares = (self: any, names: ReadonlyArray<Middleware>): any =>
  names.reduce((self, name) => self.middleware(middlewares[name]), self)

const makeApi = ({ api, groups }: ApiShape): HttpApi.HttpApi.AnyWithProps =>
  withMiddlewares(
    groups.reduce<any>((api, { endpoints, middlewares }, group) =>
      api.add(withMiddlewares(
        endpoints.reduce<any>(
          (made, { method, middlewares }, i) =>
            made.add(withMiddlewares(HttpApiEndpoint.make(method)(`e${i}`, `/g${group}/e${i}/:id`), middlewares)),
          HttpApiGroup.make(`g${group}`)
        ),
        middlewares
      )), HttpApi.make("api")),
    api
  )

const serveApi = (api: HttpApi.HttpApi.AnyWithProps) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const groups = Object.values(api.groups).map((group: any) =>
        HttpApiBuilder.group(api as any, group.identifier as never, (handlers: any) =>
          Object.keys(group.endpoints).reduce((handlers, name) =>
            handlers.handleRaw(name, () =>
              ok), handlers)) as Layer.Layer<any, never, any>
      )
      return HttpApiBuilder.toWebHandler(
        Layer.mergeAll(
          Layer.provide(HttpApiBuilder.api(api as any), Layer.mergeAll(Layer.empty, ...groups)),
          HttpServer.layerContext
        ).pipe(Layer.provide(MiddlewaresLive)) as any
      )
    }),
    ({ dispose }) =>
      Effect.promise(dispose)
  ).pipe(Effect.map(({ handler }) => through(handler)))

const assertApi = (api: HttpApi.HttpApi.AnyWithProps, expected: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const routes = SecurityConfig.routes(api as any)
    assert.deepStrictEqual(lines(routes), expected)
    yield* assertTrue(yield* serveApi(api), routes)
  })

describe("the routes of an HttpApi", () => {
  const open = HttpApiEndpoint.get("open", "/open")

  it.scoped("are protected by what stands on the endpoint", () =>
    assertApi(
      HttpApi.make("api").add(
        HttpApiGroup.make("group").add(open).add(HttpApiEndpoint.post("closed", "/closed/:id").middleware(Auth))
      ) as any,
      ["GET /open: ", "POST /closed/:id: test/Auth"]
    ))

  it.scoped("are protected by what stands on the group, also those that come after it", () =>
    assertApi(
      HttpApi.make("api")
        .add(HttpApiGroup.make("one").add(open).middleware(Auth).add(HttpApiEndpoint.get("later", "/later")))
        .add(HttpApiGroup.make("two").add(HttpApiEndpoint.get("two", "/two"))) as any,
      ["GET /open: test/Auth", "GET /later: test/Auth", "GET /two: "]
    ))

  it.scoped("are protected by what stands on the endpoints of a group at a time, and not those that come after it", () =>
    assertApi(
      HttpApi.make("api").add(
        HttpApiGroup.make("one").add(open).middlewareEndpoints(Auth).add(HttpApiEndpoint.get("later", "/later"))
      ) as any,
      ["GET /open: test/Auth", "GET /later: "]
    ))

  it.scoped("are protected by what stands on the api, under its prefixes", () =>
    assertApi(
      HttpApi.make("api")
        .add(HttpApiGroup.make("one").add(open).prefix("/one"))
        .middleware(BearerAuth)
        .add(HttpApiGroup.make("two").add(HttpApiEndpoint.del("two", "/two")))
        .prefix("/v1") as any,
      ["GET /v1/one/open: test/BearerAuth", "DELETE /v1/two: test/BearerAuth"]
    ))

  it.scoped("keep the protection of an api that they were taken from", () =>
    assertApi(
      HttpApi.make("api")
        .add(HttpApiGroup.make("one").add(open))
        .addHttpApi(
          HttpApi.make("inner").add(HttpApiGroup.make("two").add(HttpApiEndpoint.get("two", "/two"))).middleware(Auth)
        ) as any,
      ["GET /open: ", "GET /two: test/Auth"]
    ))

  it.scoped("are not protected by a middleware without a scheme, nor by one that is optional", () =>
    assertApi(
      HttpApi.make("api")
        .add(
          HttpApiGroup.make("one")
            .add(open.middleware(Plain).middleware(Optional))
            .add(HttpApiEndpoint.get("closed", "/closed").middleware(Plain).middleware(Auth))
        )
        .middleware(Plain) as any,
      ["GET /open: ", "GET /closed: test/Auth"]
    ))

  it("are protected by somebody else's middleware that has a scheme", () => {
    const api = HttpApi.make("api").add(HttpApiGroup.make("one").add(open.middleware(Foreign)))
    assert.deepStrictEqual(lines(SecurityConfig.routes(api)), ["GET /open: test/Foreign"])
  })

  it.scoped("are listed with the outermost of several first: who of them refuses a stranger", () =>
    assertApi(
      HttpApi.make("api")
        .add(
          HttpApiGroup.make("one")
            .add(HttpApiEndpoint.get("endpoint", "/endpoint").middleware(Auth).middleware(BearerAuth))
            .add(HttpApiEndpoint.get("levels", "/levels").middleware(BearerAuth))
        ) as any,
      ["GET /endpoint: test/BearerAuth test/Auth", "GET /levels: test/BearerAuth"]
    ))

  const arbitraryMiddlewares = FastCheck.uniqueArray(
    FastCheck.constantFrom<Middleware>("auth", "bearer", "key", "optional", "plain"),
    { maxLength: 2 }
  )
  const arbitraryApi: FastCheck.Arbitrary<ApiShape> = FastCheck.record({
    api: FastCheck.oneof(FastCheck.constant([]), arbitraryMiddlewares),
    groups: FastCheck.array(
      FastCheck.record({
        middlewares: FastCheck.oneof(FastCheck.constant([]), arbitraryMiddlewares),
        endpoints: FastCheck.array(
          FastCheck.record({
            method: FastCheck.constantFrom("GET" as const, "POST" as const),
            middlewares: arbitraryMiddlewares
          }),
          { minLength: 1, maxLength: 3 }
        )
      }),
      { minLength: 1, maxLength: 2 }
    )
  })

  /** Whatever the order: an endpoint, its group and its api. */
  const expectedOf = (shape: ApiShape) =>
    shape.groups.flatMap((group, g) =>
      group.endpoints.map((endpoint, e) => ({
        method: endpoint.method,
        path: `/g${g}/e${e}/:id`,
        protectedBy: Array.from(
          new Set(
            [...shape.api, ...group.middlewares, ...endpoint.middlewares].flatMap((name) =>
              name === "optional" || name === "plain" ? [] : [tags[name]]
            )
          )
        ).sort()
      }))
    )

  it.effect.prop(
    "of any shape are listed with all that stands on them, and with what a stranger meets",
    [arbitraryApi],
    ([shape]) =>
      Effect.gen(function*() {
        const api = makeApi(shape)
        const routes = SecurityConfig.routes(api as any)
        assert.deepStrictEqual(
          routes.map((route) => ({ ...route, protectedBy: [...route.protectedBy].sort() })),
          expectedOf(shape) as any
        )
        const call = yield* serveApi(api)
        yield* Effect.forEach(routes, ({ method, path, protectedBy }) =>
          Effect.map(call(method, path.replace(":id", "7")), ({ status }) =>
            assert.strictEqual(status, protectedBy.length === 0 ? 200 : 401, `${method} ${path}`)))
      }).pipe(Effect.scoped),
    { fastCheck: { numRuns: 30 } }
  )

  it.effect.prop(
    "of any shape are listed with the one first that refuses a stranger",
    [arbitraryApi],
    ([shape]) =>
      Effect.gen(function*() {
        const api = makeApi(shape)
        yield* assertTrue(yield* serveApi(api), SecurityConfig.routes(api as any))
      }).pipe(Effect.scoped),
    { fastCheck: { numRuns: 30 } }
  )
})

describe("permissions", () => {
  class Edit extends Permission.Tag<Edit>()("test/Edit", { auth: Auth }) {}
  const isAda = Guard.make(({ id }: { readonly id: string }) => id === "ada")

  it("are listed with the backend whose users they are about, on a router and behind the gate", () => {
    const router = HttpRouter.empty.pipe(
      HttpRouter.get("/edit", Edit.protect(ok)),
      HttpRouter.get("/both", Auth.protect(Edit.protect(ok))),
      HttpRouter.get("/guarded", Guard.protect(BearerAuth, isAda)(ok)),
      HttpRouter.get("/free", ok)
    )
    assert.deepStrictEqual(SecurityConfig.routes(router).map(({ protectedBy }) => protectedBy), [
      ["test/Auth", "test/Edit"],
      ["test/Auth", "test/Edit"],
      ["test/BearerAuth"],
      []
    ])
  })

  it("are listed once on an api, whichever level they stand on", () => {
    const api = HttpApi.make("api").add(
      HttpApiGroup.make("group").middleware(Edit)
        .add(HttpApiEndpoint.get("alone", "/alone"))
        .add(HttpApiEndpoint.get("beside", "/beside").middleware(Auth).middleware(Edit))
    )
    assert.deepStrictEqual(SecurityConfig.routes(api).map(({ protectedBy }) => protectedBy), [
      ["test/Auth", "test/Edit"],
      ["test/Auth", "test/Edit"]
    ])
  })
})
