import { HttpApiSecurity, HttpApp, HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, FastCheck, Fiber, Layer, Logger, Option, Redacted, TestClock } from "effect"
import { Guard, ResponseJar, SecurityConfig, SecurityError } from "effect-security"
import { CurrentUser, whoami } from "./edge/fixtures.js"
import type { User } from "./edge/fixtures.js"
import { app, get, hosts, httpApp, onNode, requestText, routerNames, serve, surfaces } from "./edge/harness.js"
import type { Reply } from "./edge/harness.js"

/** The token is the name of the user; `ghost` is nobody. */
class Auth extends SecurityConfig.Tag<Auth>()("test/PeopleAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser
}) {}

const authenticate = (token: Redacted.Redacted) => {
  const id = Redacted.value(token)
  return Effect.succeed(id === "ghost" ? Option.none<User>() : Option.some({ id }))
}

const live = Auth.layer({ authenticate })

const bearer = (id: string) => ({ authorization: `Bearer ${id}` })

/** Notes that it was asked, and grants where the header `x-pass` lists its name. */
const gate = (asked: Array<string>, name: string) =>
  Guard.make((_: User, { headers }) => {
    asked.push(name)
    return (headers["x-pass"] ?? "").split(",").includes(name)
  }, { reason: name })

const assertRefusal = (reply: Reply, vary: string, label: string) => {
  assert.strictEqual(reply.status, 403, label)
  assert.strictEqual(reply.headers["content-type"], "application/problem+json", label)
  assert.strictEqual(reply.headers["cache-control"], "no-store", label)
  assert.strictEqual(reply.headers["vary"], vary, label)
  assert.deepStrictEqual(JSON.parse(reply.body), {
    type: "about:blank",
    title: "Forbidden",
    status: 403,
    _tag: "PermissionDenied"
  }, label)
}

/** Runs a handler for a request that no server sees. */
const run = <A, E>(
  handler: Effect.Effect<A, E, Auth | HttpServerRequest.HttpServerRequest>,
  headers: Record<string, string> = bearer("ada")
) => {
  const request = HttpServerRequest.fromWeb(new Request("http://localhost/", { headers }))
  return handler.pipe(
    Effect.provide(live),
    Effect.provideService(HttpServerRequest.HttpServerRequest, request)
  )
}

const ask = <E>(guard: Effect.Effect<void, E, HttpServerRequest.HttpServerRequest>) => run(Effect.exit(guard))

// -----------------------------------------------------------------------------
// Predicates
// -----------------------------------------------------------------------------

describe("a predicate", () => {
  const ada: User = { id: "ada" }
  const outcome = <E>(guard: Effect.Effect<void, E, HttpServerRequest.HttpServerRequest>) =>
    Effect.map(ask(guard), (exit) =>
      Exit.match(exit, {
        onSuccess: () => "granted",
        onFailure: (cause) =>
          cause._tag === "Fail" && cause.error instanceof SecurityError.PermissionDenied
            ? `refused: ${cause.error.reason}`
            : cause._tag
      }))

  it.effect("grants with true alone, whatever a program without types answers", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* outcome(Guard.make((user: User) => user.id === "ada")(ada)), "granted")
      assert.strictEqual(yield* outcome(Guard.make((_: User) => Effect.succeed(true))(ada)), "granted")
      const reason = "not today"
      for (const answer of [false, 1, "yes", {}, [], Promise.resolve(true), null, undefined]) {
        assert.strictEqual(yield* outcome(Guard.make(() => answer as any, { reason })(ada)), "refused: not today")
        assert.strictEqual(
          yield* outcome(Guard.make(() => Effect.succeed(answer) as any, { reason })(ada)),
          "refused: not today"
        )
      }
      assert.strictEqual(yield* outcome(Guard.make(() => false)(ada)), "refused: unspecified")
    }))

  it.effect("that fails is an outage, but for a refusal with a reason of its own", () =>
    Effect.gen(function*() {
      const denied = new SecurityError.PermissionDenied({ reason: "mine" })
      assert.strictEqual(
        yield* outcome(Guard.make(() => Effect.fail(denied), { reason: "other" })(ada)),
        "refused: mine"
      )
      for (const error of ["down", new SecurityError.SecurityUnavailable(), new SecurityError.NotAuthorized()]) {
        assert.strictEqual(yield* outcome(Guard.make(() => Effect.fail(error))(ada)), "Die")
      }
      const throws = (): boolean => {
        throw new Error("a bug")
      }
      assert.strictEqual(yield* outcome(Guard.make(throws)(ada)), "Die")
    }))
})

// -----------------------------------------------------------------------------
// Guards together
// -----------------------------------------------------------------------------

describe("guards together", () => {
  type Answer = "grants" | "refuses" | "dies" | "answers false"
  const answers = FastCheck.array(FastCheck.constantFrom<Array<Answer>>("grants", "refuses", "dies", "answers false"))
  const make = (answers: ReadonlyArray<Answer>, asked: Array<number>) =>
    answers.map((answer, index): Guard.Guard<User> => () =>
      Effect.suspend(() => {
        asked.push(index)
        return answer === "grants" ? Effect.void : answer === "dies" ?
          Effect.die(`outage ${index}`)
          : answer === "refuses" ?
          Effect.fail(new SecurityError.PermissionDenied({ reason: `guard ${index}` }))
          // `Effect<void>` takes it.
          : Effect.succeed(false)
      })
    )
  const describeExit = (exit: Exit.Exit<void, SecurityError.PermissionDenied>): string =>
    Exit.match(exit, {
      onSuccess: () => "granted",
      onFailure: (cause) =>
        cause._tag === "Fail" ? cause.error.reason : cause._tag === "Die" ? String(cause.defect) : cause._tag
    })
  const sayNo = (answer: Answer, index: number) =>
    answer === "dies" ? `outage ${index}` : answer === "refuses" ? `guard ${index}` : "unspecified"

  it.effect.prop(
    "all grant, or the first that does not decides and no later one is asked",
    { answers },
    ({ answers }) =>
      Effect.gen(function*() {
        const asked: Array<number> = []
        const exit = yield* Effect.exit(Guard.all(...make(answers, asked))({ id: "ada" }))
        const no = answers.findIndex((answer) => answer !== "grants")
        assert.strictEqual(describeExit(exit), no === -1 ? "granted" : sayNo(answers[no]!, no))
        assert.deepStrictEqual(asked, answers.map((_, index) => index).slice(0, no === -1 ? undefined : no + 1))
      })
  )

  it.effect.prop(
    "any of them grants, or an outage before that decides, or the first refusal stands",
    { answers },
    ({ answers }) =>
      Effect.gen(function*() {
        const asked: Array<number> = []
        const [first, ...others] = make(answers, asked)
        const exit = yield* Effect.exit(
          first === undefined
            ? (Guard.any as unknown as () => Guard.Guard<User>)()({ id: "ada" })
            : Guard.any(first, ...others)({ id: "ada" })
        )
        const end = answers.findIndex((answer) => answer === "grants" || answer === "dies")
        assert.strictEqual(
          describeExit(exit),
          answers.length === 0
            ? "unspecified"
            : end === -1
            ? sayNo(answers[0]!, 0)
            : answers[end] === "grants"
            ? "granted"
            : sayNo("dies", end)
        )
        assert.deepStrictEqual(asked, answers.map((_, index) => index).slice(0, end === -1 ? undefined : end + 1))
      })
  )
})

// -----------------------------------------------------------------------------
// In front of handlers
// -----------------------------------------------------------------------------

describe("Guard.protect", () => {
  it.scopedLive("answers 401 before the guard is asked, 403 by its word, and else runs the handler, everywhere", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const asked: Array<string> = []
        let ran = 0
        const handler = Effect.tap(whoami, () => Effect.sync(() => ran++))
        const server = yield* serve(
          surface,
          [get("/me", Guard.protect(Auth, gate(asked, "local"))(handler))],
          live
        )
        assert.strictEqual((yield* server.send("/me")).status, 401, label)
        assert.strictEqual((yield* server.send("/me", { headers: bearer("ghost") })).status, 401, label)
        assert.deepStrictEqual(asked, [], label)
        assertRefusal(yield* server.send("/me", { headers: bearer("ada") }), "Authorization", label)
        assert.strictEqual(ran, 0, label)
        const reply = yield* server.send("/me", { headers: { ...bearer("ada"), "x-pass": "local" } })
        assert.deepInclude(reply, { status: 200, body: "ada" }, label)
        assert.strictEqual(reply.headers["vary"], "Authorization", label)
        assert.deepStrictEqual(asked, ["local", "local"], label)
      })))

  it.scopedLive("is asked after the Layer's guards, a router's before a handler's, and the first refusal wins (170, 173)", () =>
    Effect.forEach(hosts, (host) =>
      Effect.gen(function*() {
        const asked: Array<string> = []
        const router = HttpRouter.empty.pipe(
          HttpRouter.get("/me", Guard.protect(Auth, gate(asked, "handler"))(whoami)),
          HttpRouter.use(Guard.protect(Auth, gate(asked, "router")))
        )
        const server = yield* app(
          host,
          Auth.middleware(router),
          Auth.layer({ authenticate, guards: [gate(asked, "layer")] })
        )
        for (
          const [pass, status, expected] of [
            ["handler,router", 403, ["layer"]],
            ["layer,handler", 403, ["layer", "router"]],
            ["layer,router", 403, ["layer", "router", "handler"]],
            ["layer,router,handler", 200, ["layer", "router", "handler"]]
          ] as const
        ) {
          const reply = yield* server.send("/me", { headers: { ...bearer("ada"), "x-pass": pass } })
          assert.strictEqual(reply.status, status, `${host}: ${pass}`)
          assert.deepStrictEqual(asked.splice(0), [...expected], `${host}: ${pass}`)
        }
        assert.strictEqual((yield* server.send("/me", { headers: { "x-pass": "layer,router,handler" } })).status, 401)
        assert.deepStrictEqual(asked, [], host)
      })))

  it.scopedLive("stands in front of a plain app as in front of a handler (171)", () =>
    Effect.forEach(hosts, (host) =>
      Effect.gen(function*() {
        const asked: Array<string> = []
        const plain = Guard.protect(Auth, gate(asked, "local"))(httpApp([get("/me", whoami)]))
        const server = yield* app(host, plain, Auth.layer({ authenticate, guards: [gate(asked, "app")] }))
        const send = (pass: string) => server.send("/me", { headers: { ...bearer("ada"), "x-pass": pass } })
        assertRefusal(yield* send("local"), "Authorization", host)
        assert.deepStrictEqual(asked.splice(0), ["app"], host)
        assertRefusal(yield* send("app"), "Authorization", host)
        assert.deepStrictEqual(asked.splice(0), ["app", "local"], host)
        assert.deepInclude(yield* send("app,local"), { status: 200, body: "ada" }, host)
      })))

  it.scopedLive("refuses a WebSocket by HTTP before the upgrade, and lets one in that it grants (172)", () =>
    Effect.forEach(routerNames, (router) =>
      Effect.gen(function*() {
        let opened = 0
        const socket = Effect.gen(function*() {
          opened++
          const request = yield* HttpServerRequest.HttpServerRequest
          const socket = yield* request.upgrade
          yield* Effect.orDie(socket.run(() => {}))
          return HttpServerResponse.empty()
        })
        const server = yield* onNode(router, [get("/socket", Guard.protect(Auth, gate([], "socket"))(socket))], live)
        const upgrade = (headers: Record<string, string>) =>
          requestText("/socket", {
            headers: {
              connection: "Upgrade",
              upgrade: "websocket",
              "sec-websocket-version": "13",
              "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
              ...headers
            }
          })
        assertRefusal(yield* server.raw(upgrade(bearer("ada"))), "Authorization", router)
        assert.strictEqual((yield* server.raw(upgrade({ "x-pass": "socket" }))).status, 401, router)
        assert.strictEqual(opened, 0, router)
        const connection = yield* server.connect(upgrade({ ...bearer("ada"), "x-pass": "socket" }))
        assert.include(yield* connection.until("\r\n\r\n"), "101 Switching Protocols", router)
        assert.strictEqual(opened, 1, router)
        yield* connection.abort
      })))

  it.scopedLive("asks of one handler in two routers what each of them asks (174)", () =>
    Effect.forEach(hosts, (host) =>
      Effect.gen(function*() {
        const asked: Array<string> = []
        const handler = Guard.protect(Auth, gate(asked, "handler"))(whoami)
        const router = (name: string) =>
          HttpRouter.empty.pipe(
            HttpRouter.get("/me", handler),
            HttpRouter.use(Guard.protect(Auth, gate(asked, name)))
          )
        const both = HttpRouter.empty.pipe(
          HttpRouter.mount("/first", router("first")),
          HttpRouter.mount("/second", router("second"))
        )
        const server = yield* app(host, both, live)
        const send = (path: string, pass: string) =>
          Effect.map(
            server.send(`${path}/me`, { headers: { ...bearer("ada"), "x-pass": pass } }),
            (reply) => [reply.status, ...asked.splice(0)]
          )
        assert.deepStrictEqual(yield* send("/first", "handler,first"), [200, "first", "handler"])
        assert.deepStrictEqual(yield* send("/first", "handler,second"), [403, "first"])
        assert.deepStrictEqual(yield* send("/second", "handler,second"), [200, "second", "handler"])
        assert.deepStrictEqual(yield* send("/second", "handler,first"), [403, "second"])
      })))

  it.effect("names the credential's header in a refusal that no router sees, beside those it depends on already", () =>
    Effect.gen(function*() {
      const refuse = Guard.protect(Auth, Guard.make(() => false, { reason: "nobody" }))(whoami)
      const error = yield* Effect.flip(run(refuse))
      assert.instanceOf(error, SecurityError.PermissionDenied)
      assert.deepInclude(error, { reason: "nobody", vary: "Authorization" })
      const after = Effect.zipRight(
        Effect.map(HttpServerRequest.HttpServerRequest, (request) => ResponseJar.get(request).vary.add("Cookie")),
        refuse
      )
      assert.deepInclude(yield* Effect.flip(run(after)), { vary: "Cookie, Authorization" })
    }))

  it.scopedLive("says what its answer depends on after the handlers that the app itself registers", () =>
    Effect.forEach(hosts, (host) =>
      Effect.gen(function*() {
        const own = HttpApp.appendPreResponseHandler((_, response) =>
          Effect.succeed(HttpServerResponse.setHeader(response, "vary", "Origin"))
        )
        const guarded = Guard.protect(Auth, gate([], "local"))(Effect.zipRight(own, whoami))
        const server = yield* app(host, guarded, live)
        const { headers } = yield* server.send("/", { headers: { ...bearer("ada"), "x-pass": "local" } })
        assert.strictEqual(headers["vary"], "Origin, Authorization", host)
      })))

  it.effect("refuses by a hand-written guard that answers false", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(Guard.protect(Auth, () => Effect.succeed(false))(whoami)))
      assert.strictEqual(error._tag, "PermissionDenied")
    }))

  it.effect("refuses by a hand-written guard of the Layer that answers false", () => {
    const request = HttpServerRequest.fromWeb(new Request("http://localhost/", { headers: bearer("ada") }))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Auth.user)
      assert.strictEqual(error._tag, "PermissionDenied")
    }).pipe(
      Effect.provide(Auth.layer({ authenticate, guards: [() => Effect.succeed(false)] })),
      Effect.provideService(HttpServerRequest.HttpServerRequest, request)
    )
  })

  it.scopedLive("answers 503 where the guard dies, and the cause is in the logs alone", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        let ran = 0
        const server = yield* serve(
          surface,
          [
            get(
              "/me",
              Guard.protect(Auth, Guard.make(() => Effect.fail("the registry is down")))(
                Effect.tap(whoami, () => Effect.sync(() => ran++))
              )
            )
          ],
          live
        )
        const reply = yield* server.send("/me", { headers: bearer("ada") })
        assert.strictEqual(reply.status, 503, label)
        assert.strictEqual(reply.headers["retry-after"], "1", label)
        assert.notInclude(reply.body, "registry", label)
        assert.strictEqual(ran, 0, label)
        assert.include(server.logs.join("\n"), "the registry is down", label)
      })))

  it.effect("waits 2 seconds for a guard", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(run(Guard.protect(Auth, () => Effect.never)(whoami))))
      yield* TestClock.adjust(Duration.millis(1999))
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust(Duration.millis(1))
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "SecurityUnavailable")
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))

  it.scopedLive("provides what the guard needs from the handler's own surroundings", () =>
    Effect.gen(function*() {
      class Registry extends Context.Tag("test/Registry")<Registry, { readonly editors: ReadonlyArray<string> }>() {}
      const isEditor = Guard.make(({ id }: User) => Effect.map(Registry, ({ editors }) => editors.includes(id)))
      const router = HttpRouter.empty.pipe(HttpRouter.get("/me", whoami), HttpRouter.use(Guard.protect(Auth, isEditor)))
      const handler = HttpApp.toWebHandlerLayer(
        router,
        Layer.merge(live, Layer.succeed(Registry, { editors: ["ada"] }))
      )
      const status = (id: string) =>
        Effect.promise(() => handler.handler(new Request("http://localhost/me", { headers: bearer(id) }))).pipe(
          Effect.map((response) => response.status)
        )
      assert.deepStrictEqual(yield* Effect.all([status("ada"), status("bob")]), [200, 403])
      yield* Effect.promise(handler.dispose)
    }))
})
