import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSecurity,
  HttpApp,
  HttpClient,
  HttpClientRequest,
  HttpLayerRouter,
  HttpRouter,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import type { Scope } from "effect"
import {
  Cause,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Redacted,
  Schema,
  Stream,
  TestClock
} from "effect"
import { Guard, Permission, SecurityConfig, SecurityError } from "effect-security"
import { join } from "node:path"
import ts from "typescript"
import { Auth as SessionAuth, CurrentUser, loginRoute, makeSessions, signIn, whoami } from "./edge/fixtures.js"
import type { User } from "./edge/fixtures.js"
import {
  app,
  bothApis,
  get,
  hosts,
  onNode,
  requestText,
  routerNames,
  serve,
  surfaces,
  webServer
} from "./edge/harness.js"
import { options as compilerOptions, root } from "./types/compiler.js"

// -----------------------------------------------------------------------------
// An application
// -----------------------------------------------------------------------------

class Auth extends SecurityConfig.Tag<Auth>()("test/PeopleAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser
}) {}

class EditArticles extends Permission.Tag<EditArticles>()("test/EditArticles", { auth: Auth }) {}

class ReadArticles extends Permission.Tag<ReadArticles>()("test/ReadArticles", { auth: Auth }) {}

/** Of people with sessions. */
class Moderate extends Permission.Tag<Moderate>()("test/Moderate", { auth: SessionAuth }) {}

/** The token is the name of the user; `ghost` is nobody and `down` an outage. */
const authLive = (asked: Array<string> = []) =>
  Auth.layer({
    authenticate: (token) =>
      Effect.suspend(() => {
        const id = Redacted.value(token)
        asked.push(`user ${id}`)
        return id === "down"
          ? Effect.fail("the directory is down")
          : Effect.succeed(id === "ghost" ? Option.none<User>() : Option.some({ id }))
      })
  })

/** `ada` may; `broken` is an outage of the policy. */
const policy = (asked: Array<string>, name: string) => ({ id }: User) =>
  Effect.suspend((): Effect.Effect<void, SecurityError.PermissionDenied | "the policy is down"> => {
    asked.push(`${name} ${id}`)
    return id === "ada" ?
      Effect.void
      : id === "broken" ?
      Effect.fail("the policy is down" as const)
      : Effect.fail(new SecurityError.PermissionDenied({ reason: `${id} may not` }))
  })

const live = (asked: Array<string> = []) =>
  Layer.merge(
    EditArticles.layer(policy(asked, "edit")),
    ReadArticles.layer(policy(asked, "read"))
  ).pipe(Layer.provideMerge(authLive(asked)))

const bearer = (id: string) => ({ authorization: `Bearer ${id}` })

/** A service of the application that cannot be called where nobody checked. */
const publish = Effect.as(EditArticles.granted, "published")

const published = Effect.map(publish, (text) => HttpServerResponse.text(text))

const request = (id = "ada", url = "http://localhost/") =>
  HttpServerRequest.fromWeb(new Request(url, { headers: bearer(id) }))

type Live = Auth | EditArticles | ReadArticles

const run = <A, E>(
  self: Effect.Effect<A, E, Live | HttpServerRequest.HttpServerRequest | Scope.Scope>,
  by: HttpServerRequest.HttpServerRequest = request()
) => self.pipe(Effect.provideService(HttpServerRequest.HttpServerRequest, by), Effect.scoped, Effect.provide(live()))

/** The sentence with which an effect dies. */
const death = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<string, never, R> =>
  Effect.map(Effect.exit(self), (exit) =>
    Exit.isFailure(exit) && Cause.isDie(exit.cause)
      ? Option.getOrElse(
        Option.map(Cause.dieOption(exit.cause), (defect) => defect instanceof Error ? defect.message : String(defect)),
        () => "no defect"
      )
      : `it did not die: ${exit._tag}`)

// -----------------------------------------------------------------------------
// Checking
// -----------------------------------------------------------------------------

describe("a permission", () => {
  it.scopedLive("answers 401, 403 and 503 without running the handler, and 200 to who has it, everywhere", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const asked: Array<string> = []
        let ran = 0
        const server = yield* serve(
          surface,
          [get("/publish", Effect.zipRight(Effect.sync(() => ran++), published), EditArticles)],
          live(asked)
        )
        const send = (id: string) => server.send("/publish", { headers: bearer(id) })
        const anonymous = yield* server.send("/publish")
        assert.strictEqual(anonymous.status, 401, label)
        assert.match(anonymous.headers["www-authenticate"]!, /^Bearer/, label)
        assert.strictEqual((yield* send("ghost")).status, 401, label)
        assert.strictEqual((yield* send("down")).status, 503, label)
        assert.deepStrictEqual(asked.splice(0), ["user ghost", "user down"], label)
        const refused = yield* send("eve")
        assert.deepInclude(refused, { status: 403 }, label)
        assert.deepInclude(refused.headers, {
          "content-type": "application/problem+json",
          "cache-control": "no-store",
          vary: "Authorization"
        }, label)
        assert.strictEqual(JSON.parse(refused.body)._tag, "PermissionDenied", label)
        assert.notInclude(refused.body, "may not", label)
        const broken = yield* send("broken")
        assert.strictEqual(broken.status, 503, label)
        assert.strictEqual(broken.headers["retry-after"], "1", label)
        assert.notInclude(broken.body, "the policy is down", label)
        assert.include(server.logs.join("\n"), "the policy is down", label)
        assert.strictEqual(ran, 0, label)
        assert.deepStrictEqual(asked.splice(0), ["user eve", "edit eve", "user broken", "edit broken"], label)
        const granted = yield* send("ada")
        assert.deepInclude(granted, { status: 200, body: "published" }, label)
        assert.deepInclude(granted.headers, { "cache-control": "no-store", vary: "Authorization" }, label)
        assert.deepStrictEqual(asked.splice(0), ["user ada", "edit ada"], label)
      })))

  it.scopedLive("over sessions works the same, everywhere", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const sessions = yield* makeSessions()
        const handler = Effect.as(Moderate.granted, HttpServerResponse.text("moderated"))
        const layer = Moderate.layer(Guard.make(({ id }) => id === "ada")).pipe(
          Layer.provideMerge(sessions.layer() as Layer.Layer<SessionAuth>)
        )
        const server = yield* serve(surface, [loginRoute, get("/moderate", handler, Moderate)], layer as any)
        const send = (cookie: string) => server.send("/moderate", { headers: { cookie } })
        assert.strictEqual((yield* server.send("/moderate")).status, 401, label)
        const refused = yield* send(yield* signIn(server, "eve"))
        assert.strictEqual(refused.status, 403, label)
        assert.strictEqual(refused.headers["vary"], "Cookie", label)
        assert.deepInclude(yield* send(yield* signIn(server, "ada")), { status: 200, body: "moderated" }, label)
      })))

  it.scopedLive("gives a router's or a handler's the current user too, and asks for the user once a request", () =>
    Effect.forEach(hosts, (host) =>
      Effect.gen(function*() {
        const asked: Array<string> = []
        const handler = Effect.zipRight(Effect.zipRight(EditArticles.granted, ReadArticles.granted), whoami)
        const router = HttpRouter.empty.pipe(
          HttpRouter.get("/me", EditArticles.protect(Auth.protect(handler))),
          HttpRouter.use(ReadArticles.protect)
        )
        const server = yield* app(host, Auth.middleware(router), live(asked))
        assert.deepInclude(yield* server.send("/me", { headers: bearer("ada") }), { status: 200, body: "ada" }, host)
        assert.deepStrictEqual(asked.splice(0), ["user ada", "read ada", "edit ada"], host)
        assert.strictEqual((yield* server.send("/me", { headers: bearer("eve") })).status, 403, host)
        assert.deepStrictEqual(asked.splice(0), ["user eve", "read eve"], host)
      })))

  it.scopedLive("refuses a WebSocket by HTTP before the upgrade, and its evidence is good as long as one is open", () =>
    Effect.forEach(routerNames, (router) =>
      Effect.gen(function*() {
        let opened = 0
        const late = yield* Deferred.make<string>()
        const socket = Effect.gen(function*() {
          opened++
          const request = yield* HttpServerRequest.HttpServerRequest
          const socket = yield* request.upgrade
          const context = yield* Effect.context<Permission.Granted<EditArticles>>()
          yield* socket.run(() => Deferred.complete(late, Effect.provide(publish, context)).pipe(Effect.asVoid)).pipe(
            Effect.ignore
          )
          return HttpServerResponse.empty()
        })
        const server = yield* onNode(router, [get("/socket", socket, EditArticles)], live())
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
        assert.strictEqual((yield* server.raw(upgrade({}))).status, 401, router)
        assert.strictEqual((yield* server.raw(upgrade(bearer("eve")))).status, 403, router)
        assert.strictEqual((yield* server.raw(upgrade(bearer("broken")))).status, 503, router)
        assert.strictEqual(opened, 0, router)
        const connection = yield* server.connect(upgrade(bearer("ada")))
        assert.include(yield* connection.until("\r\n\r\n"), "101 Switching Protocols", router)
        // A masked text frame of one letter.
        yield* connection.write("\x81\x81\x00\x00\x00\x00a")
        assert.strictEqual(yield* Deferred.await(late), "published", router)
        yield* connection.abort
      })))

  it.scopedLive("says what its answer depends on after the handlers that the app itself registers", () =>
    Effect.forEach(hosts, (host) =>
      Effect.gen(function*() {
        const own = HttpApp.appendPreResponseHandler((_, response) =>
          Effect.succeed(HttpServerResponse.setHeader(response, "vary", "Origin"))
        )
        const server = yield* app(host, EditArticles.protect(Effect.zipRight(own, published)), live())
        const { headers } = yield* server.send("/", { headers: bearer("ada") })
        assert.strictEqual(headers["vary"], "Origin, Authorization", host)
      })))

  it.scopedLive("has its policy where only its middleware of an HttpLayerRouter is given the Layer", () =>
    Effect.gen(function*() {
      const routes = HttpLayerRouter.add("GET", "/publish", published).pipe(
        Layer.provide(Layer.provide(EditArticles.layerMiddleware, live()))
      )
      const server = yield* webServer((logged) =>
        HttpLayerRouter.toWebHandler(Layer.provide(routes, logged), { disableLogger: true })
      )
      assert.strictEqual((yield* server.send("/publish", { headers: bearer("ada") })).body, "published")
      assert.strictEqual((yield* server.send("/publish", { headers: bearer("eve") })).status, 403)
    }))

  it.effect("is refused by a policy that answers false", () =>
    Effect.gen(function*() {
      const layer = EditArticles.layer(() => Effect.succeed(false)).pipe(Layer.provide(authLive()))
      const error = yield* Effect.flip(EditArticles.protect(publish)).pipe(
        Effect.provide(layer),
        Effect.provideService(HttpServerRequest.HttpServerRequest, request())
      )
      assert.strictEqual(error._tag, "PermissionDenied")
      assert.deepInclude(error, { vary: "Authorization" })
    }))
})

describe("the policy of a permission", () => {
  const ask = (
    policy: (user: User) => Effect.Effect<void, unknown, Scope.Scope | HttpServerRequest.HttpServerRequest>,
    settings?: Permission.Settings
  ) =>
    Effect.flip(EditArticles.protect(publish)).pipe(
      Effect.provide(EditArticles.layer(policy, settings).pipe(Layer.provide(authLive()))),
      Effect.provideService(HttpServerRequest.HttpServerRequest, request()),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )

  it.effect("passes the failures of SecurityError on, and every other failure and defect is an outage", () =>
    Effect.gen(function*() {
      for (
        const failure of [
          new SecurityError.TooManyAttempts({ retryAfter: 7 }),
          new SecurityError.CrossSiteRejected({ reason: "cross" }),
          new SecurityError.SecurityUnavailable({ reason: "known", retryAfter: 9 })
        ]
      ) {
        assert.strictEqual(yield* ask(() => Effect.fail(failure)), failure)
      }
      const stale = yield* ask(() =>
        Effect.fail(new SecurityError.NotAuthorized({ reason: "stale", challenge: "Mfa" }))
      )
      assert.deepInclude(stale, { _tag: "NotAuthorized", reason: "stale", challenge: "Mfa", vary: "Authorization" })
      for (const outage of [Effect.fail("down"), Effect.die("oops"), Effect.interrupt]) {
        assert.strictEqual((yield* ask(() => outage))._tag, "SecurityUnavailable")
      }
      const throws = (): Effect.Effect<void> => {
        throw new Error("a bug")
      }
      assert.strictEqual((yield* ask(throws))._tag, "SecurityUnavailable")
    }))

  it.effect("has 2 seconds, or as long as its Layer says", () =>
    Effect.forEach([[undefined, 2000], ["5 seconds", 5000]] as const, ([timeout, limit]) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(ask(() => Effect.never, { timeout }))
        yield* TestClock.adjust(Duration.millis(limit - 1))
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* TestClock.adjust(Duration.millis(1))
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "SecurityUnavailable")
      })))

  it.effect("has a timeout that is positive, or no Layer", () =>
    Effect.forEach([0, -1, "soon" as Duration.DurationInput], (timeout) =>
      Effect.gen(function*() {
        const layer = EditArticles.layer(() => Effect.void, { timeout }).pipe(Layer.provide(authLive()))
        assert.strictEqual(
          yield* death(Effect.scoped(Layer.build(layer))),
          "test/EditArticles: timeout is a positive duration"
        )
      })))

  it.effect("has the request at hand, and services of the Layer that no request replaces", () =>
    Effect.gen(function*() {
      class Registry extends Context.Tag("test/Registry")<Registry, string>() {}
      const seen: Array<string> = []
      const layer = EditArticles.layer(() =>
        Effect.gen(function*() {
          const { url } = yield* HttpServerRequest.HttpServerRequest
          yield* Effect.addFinalizer(() => Effect.sync(() => seen.push("closed")))
          seen.push(url, yield* Registry)
        })
      ).pipe(Layer.provide(authLive()), Layer.provide(Layer.succeed(Registry, "the Layer's")))
      yield* EditArticles.protect(publish).pipe(
        Effect.provide(layer),
        Effect.provideService(Registry, "the request's"),
        Effect.provideService(HttpServerRequest.HttpServerRequest, request("ada", "http://localhost/here"))
      )
      assert.deepStrictEqual(seen, ["/here", "the Layer's", "closed"])
    }))

  it.effect("that is missing is named with the place where the permission was defined", () =>
    Effect.gen(function*() {
      const sentence = yield* death(
        Effect.provideService(
          EditArticles.protect(publish) as Effect.Effect<string, unknown, HttpServerRequest.HttpServerRequest>,
          HttpServerRequest.HttpServerRequest,
          request()
        )
      )
      assert.include(sentence, "Service not found: test/EditArticles")
      assert.include(sentence, "Permission.test.ts")
    }))
})

// -----------------------------------------------------------------------------
// HttpApi
// -----------------------------------------------------------------------------

describe("an HttpApi", () => {
  const endpoint = <const Name extends string>(name: Name) =>
    HttpApiEndpoint.get(name, `/${name}`).addSuccess(Schema.String)
  const api = HttpApi.make("api")
    .add(
      HttpApiGroup.make("one")
        .add(endpoint("auth-first").middleware(Auth).middleware(EditArticles))
        .add(endpoint("auth-last").middleware(EditArticles).middleware(Auth))
        .add(endpoint("both").middleware(EditArticles).middleware(ReadArticles))
        .add(endpoint("read").middleware(ReadArticles))
    )
    .add(HttpApiGroup.make("grouped").add(endpoint("grouped")).middleware(EditArticles))
  const text = Effect.zipRight(EditArticles.granted, Effect.map(CurrentUser, ({ id }) => id))
  const handlers = Layer.merge(
    HttpApiBuilder.group(api, "one", (handlers) =>
      handlers
        .handle("auth-first", () => text)
        .handle("auth-last", () => text)
        .handle("both", () => Effect.as(Effect.zipRight(EditArticles.granted, ReadArticles.granted), "both"))
        .handle("read", () => Effect.as(ReadArticles.granted, "read"))),
    HttpApiBuilder.group(api, "grouped", (handlers) => handlers.handle("grouped", () => publish))
  )

  it.scopedLive("checks at an endpoint and at a group, in any order with the backend, with one look-up a request", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const servers = yield* bothApis(api, handlers as Layer.Layer<any, never, any>, live(asked))
      for (const [label, server] of Object.entries(servers)) {
        const send = (path: string, id: string) =>
          Effect.map(
            server.send(path, { headers: bearer(id) }),
            ({ body, status }) => [status, status === 200 ? body : JSON.parse(body)._tag, ...asked.splice(0)]
          )
        for (const path of ["/auth-first", "/auth-last"]) {
          assert.deepStrictEqual(yield* send(path, "ada"), [200, "\"ada\"", "user ada", "edit ada"], label + path)
          assert.deepStrictEqual(yield* send(path, "eve"), [403, "PermissionDenied", "user eve", "edit eve"], label)
          assert.deepStrictEqual(yield* send(path, "ghost"), [401, "NotAuthorized", "user ghost"], label)
          assert.deepStrictEqual(yield* send(path, "down"), [503, "SecurityUnavailable", "user down"], label)
        }
        assert.deepStrictEqual(
          yield* send("/both", "ada"),
          [200, "\"both\"", "user ada", "read ada", "edit ada"],
          label
        )
        assert.deepStrictEqual(yield* send("/grouped", "ada"), [200, "\"published\"", "user ada", "edit ada"], label)
        assert.deepStrictEqual(yield* send("/grouped", "eve"), [403, "PermissionDenied", "user eve", "edit eve"], label)
        assert.deepStrictEqual(yield* send("/read", "ada"), [200, "\"read\"", "user ada", "read ada"], label)
      }
    }))

  it.scopedLive("checks at the level of the api", () =>
    Effect.gen(function*() {
      const whole = HttpApi.make("whole").add(HttpApiGroup.make("all").add(endpoint("all"))).middleware(EditArticles)
      const group = HttpApiBuilder.group(whole, "all", (handlers) => handlers.handle("all", () => publish))
      const servers = yield* bothApis(whole, group as Layer.Layer<any, never, any>, live())
      for (const [label, server] of Object.entries(servers)) {
        const status = (id: string) => Effect.map(server.send("/all", { headers: bearer(id) }), ({ status }) => status)
        assert.deepStrictEqual(
          yield* Effect.all([status("ada"), status("eve"), status("ghost"), status("broken")]),
          [200, 403, 401, 503],
          label
        )
      }
    }))

  it.scopedLive("has the refusal in its document, and a derived client decodes its class", () =>
    Effect.gen(function*() {
      const { HttpApiBuilder: server } = yield* bothApis(api, handlers as Layer.Layer<any, never, any>, live())
      const document = JSON.parse((yield* server.send("/openapi.json")).body)
      assert.include(Object.keys(document.paths["/grouped"].get.responses), "403")
      const call = (id: string) =>
        HttpApiClient.make(api, {
          baseUrl: server.baseUrl,
          transformClient: HttpClient.mapRequest(HttpClientRequest.setHeaders(bearer(id)))
        }).pipe(
          Effect.flatMap((client) => client.grouped.grouped()),
          Effect.provide(FetchHttpClient.layer)
        )
      assert.instanceOf(yield* Effect.flip(call("eve")), SecurityError.PermissionDenied)
      assert.strictEqual(yield* call("ada"), "published")
    }))
})

// -----------------------------------------------------------------------------
// Evidence
// -----------------------------------------------------------------------------

describe("evidence", () => {
  /** What an application can get at with casts. */
  const tagOf = (permission: unknown): Context.Tag<any, any> => (permission as any).provides

  const steal = (permission: typeof EditArticles | typeof ReadArticles) =>
    (permission.protect as typeof EditArticles.protect)(Effect.context<any>()).pipe(
      Effect.map((context) => Context.get(context as Context.Context<any>, tagOf(permission)))
    )

  const unchecked = "test/EditArticles was not checked: what the context holds is no evidence of it"
  const another = "test/EditArticles was not checked: what the context holds is evidence of another permission"
  const elsewhere = "test/EditArticles was checked for another request than the one at hand"
  const over =
    "test/EditArticles was checked for a request that is over: a job that outlives it needs Permission.unsafeGrant"

  it.effect("is not there where nobody checked, whatever the types were made to say", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* death(run(publish as Effect.Effect<string>)), unchecked)
      const inside = Auth.protect(publish) as Effect.Effect<string, unknown, Auth | HttpServerRequest.HttpServerRequest>
      assert.strictEqual(yield* death(run(inside)), unchecked)
    }))

  it.effect("is not made by a Tag of the same key, whatever it holds", () =>
    Effect.gen(function*() {
      const genuine = yield* run(steal(EditArticles))
      for (
        const value of [
          undefined,
          null,
          true,
          {},
          Object.freeze({}),
          { ...genuine },
          Object.create(genuine),
          new Proxy(genuine, {}),
          structuredClone(genuine),
          new genuine.constructor(),
          EditArticles,
          yield* run(EditArticles)
        ]
      ) {
        const tag = Context.GenericTag<Permission.Granted<EditArticles>, unknown>(tagOf(EditArticles).key)
        assert.strictEqual(yield* death(run(Effect.provideService(publish, tag, value))), unchecked)
      }
    }))

  it.effect("of one permission is none of another", () =>
    Effect.gen(function*() {
      const by = request()
      const exit = yield* run(
        Effect.flatMap(steal(ReadArticles), (evidence) =>
          death(Effect.provideService(publish as Effect.Effect<string>, tagOf(EditArticles), evidence))),
        by
      )
      assert.strictEqual(exit, another)
    }))

  it.effect("is none of a permission that is another class of the same name", () =>
    Effect.gen(function*() {
      class Namesake extends Permission.Tag<Namesake>()("test/EditArticles", { auth: Auth }) {}
      assert.strictEqual(
        yield* death(run(EditArticles.protect(Namesake.granted as Effect.Effect<void>))),
        another
      )
    }))

  it.effect("is none when the policy of another permission stands in its place", () =>
    Effect.gen(function*() {
      const swapped = Layer.effect(EditArticles, ReadArticles as unknown as Effect.Effect<never, never, ReadArticles>)
      const app = Effect.provide(EditArticles.protect(publish), swapped)
      assert.strictEqual(yield* death(run(app)), another)
    }))

  it.effect("is none when an HttpApiMiddleware of the application's own provides it", () =>
    Effect.gen(function*() {
      class Fake extends HttpApiMiddleware.Tag<Fake>()("test/Fake", {
        provides: Context.GenericTag<Permission.Granted<EditArticles>, object>(tagOf(EditArticles).key)
      }) {}
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("g").add(HttpApiEndpoint.get("publish", "/publish").addSuccess(Schema.String)).middleware(
          Fake
        )
      )
      // The types are content.
      const group: Layer.Layer<HttpApiGroup.ApiGroup<"api", "g">, never, Fake> = HttpApiBuilder.group(
        api,
        "g",
        (handlers) => handlers.handle("publish", () => death(publish))
      )
      const servers = yield* bothApis(
        api,
        Layer.provide(group, Layer.succeed(Fake, Effect.succeed({}))) as Layer.Layer<any>,
        live()
      )
      for (const server of Object.values(servers)) {
        assert.strictEqual((yield* server.send("/publish", { headers: bearer("ada") })).body, JSON.stringify(unchecked))
      }
    }).pipe(Effect.scoped))

  it.effect("of one request is none of another, of the same user or not, nor of none", () =>
    Effect.gen(function*() {
      const theirs = request("ada")
      yield* run(
        Effect.gen(function*() {
          const context = yield* EditArticles.protect(Effect.context<Permission.Granted<EditArticles>>())
          assert.strictEqual(yield* Effect.provide(publish, context), "published")
          // At run time the whole of the handler's context is in it.
          const evidence: typeof context = Context.omit(HttpServerRequest.HttpServerRequest)(context as any) as any
          for (const other of [request("eve"), request("ada")]) {
            const forged = Effect.provide(publish, evidence).pipe(
              Effect.provideService(HttpServerRequest.HttpServerRequest, other)
            )
            assert.strictEqual(yield* death(forged), elsewhere)
          }
          const nowhere = Effect.mapInputContext(publish, (_: Context.Context<never>) => evidence)
          assert.strictEqual(yield* death(nowhere), elsewhere)
          // The router hands on a request of its own.
          const modified = Effect.provide(publish, evidence).pipe(
            Effect.provideService(HttpServerRequest.HttpServerRequest, theirs.modify({ url: "/elsewhere" }))
          )
          assert.strictEqual(yield* modified, "published")
        }),
        theirs
      )
    }))

  it.scopedLive("ends with its request: a context that was kept is worth nothing in another, everywhere", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        let kept: Context.Context<Permission.Granted<EditArticles>> | undefined
        const server = yield* serve(
          surface,
          [
            get(
              "/keep",
              Effect.flatMap(Effect.context<Permission.Granted<EditArticles>>(), (context) => {
                kept = context
                return published
              }),
              EditArticles
            ),
            // Compiles: all of the request, the evidence and what stands for the request at hand are another's.
            get("/use", Effect.suspend(() => Effect.provide(published, kept!)))
          ],
          live()
        )
        assert.strictEqual((yield* server.send("/keep", { headers: bearer("ada") })).status, 200, label)
        assert.isDefined(kept, label)
        const reply = yield* server.send("/use", { headers: bearer("eve") })
        assert.strictEqual(reply.status, 500, label)
        assert.notInclude(reply.body, "published", label)
        assert.strictEqual(yield* death(Effect.provide(publish, kept!)), over, label)
      })))

  it.scopedLive("is good while the response streams, everywhere", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const handler = Effect.map(
          Effect.context<Permission.Granted<EditArticles>>(),
          (context) =>
            HttpServerResponse.stream(
              Stream.range(1, 3).pipe(
                Stream.tap(() => Effect.sleep("5 millis")),
                Stream.mapEffect((n) => Effect.map(publish, (text) => `${n} ${text}\n`)),
                Stream.provideContext(context),
                Stream.encodeText
              )
            )
        )
        const server = yield* serve(surface, [get("/export", handler, EditArticles)], live())
        const reply = yield* server.send("/export", { headers: bearer("ada") })
        assert.strictEqual(reply.body, "1 published\n2 published\n3 published\n", label)
      })))

  it.effect("is there for the fibers of its handler", () =>
    Effect.gen(function*() {
      const parallel = Effect.all([publish, Effect.flatMap(Effect.fork(publish), Fiber.join)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* run(EditArticles.protect(parallel)), ["published", "published"])
    }))

  it.effect("is granted unchecked by unsafeGrant alone, where there is no request, and for that permission alone", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* publish.pipe(Permission.unsafeGrant(EditArticles)), "published")
      const other = publish.pipe(Permission.unsafeGrant(ReadArticles)) as Effect.Effect<string>
      assert.strictEqual(yield* death(other), unchecked)
      // For no longer than the effect that it is given to.
      const after = Effect.zipRight(publish.pipe(Permission.unsafeGrant(EditArticles)), publish)
      assert.strictEqual(yield* death(after as Effect.Effect<string>), unchecked)
      // A request does no harm.
      assert.strictEqual(yield* run(publish.pipe(Permission.unsafeGrant(EditArticles))), "published")
    }))
})

// -----------------------------------------------------------------------------
// What an editor and a library's author see
// -----------------------------------------------------------------------------

describe("the types of an application's permission", () => {
  // In the folder of the fixtures, whose program it continues.
  const file = join(root, "test/types/fixtures/permissions.ts")
  const text = `import { Effect } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpRouter, HttpServerResponse } from "@effect/platform"
import { Guard, Permission, SecurityError } from "effect-security"
import { Auth, CurrentUser, me } from "./app.js"
import type { User } from "./app.js"
export class EditArticles extends Permission.Tag<EditArticles>()("app/EditArticles", { auth: Auth }) {}
export const isAda = Guard.make(({ name }: User) => name === "ada")
export const either = Guard.any(isAda, Guard.make(() => false))
export const EditLive = EditArticles.layer(isAda)
export const publish = EditArticles.granted.pipe(Effect.as(HttpServerResponse.empty()))
export const published = EditArticles.protect(publish)
export const routes = EditArticles.layerMiddleware
export const guarded = HttpRouter.empty.pipe(HttpRouter.get("/me", me), HttpRouter.use(Guard.protect(Auth, isAda)))
export const api = HttpApi.make("articles").add(
  HttpApiGroup.make("articles").add(HttpApiEndpoint.post("publish", "/publish")).middleware(EditArticles)
).addError(SecurityError.LoginError)
export const whoami = Effect.asVoid(CurrentUser)
export const job = publish.pipe(Permission.unsafeGrant(EditArticles))
`
  const service = ts.createLanguageService({
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) => {
      const content = name === file ? text : ts.sys.readFile(name)
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
    },
    getCurrentDirectory: () => root,
    getCompilationSettings: () => ({ ...compilerOptions, noEmit: false, declaration: true, emitDeclarationOnly: true }),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: (name) => name === file ? text : ts.sys.readFile(name),
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories
  })

  it("are declared without an annotation, and name no internal module", () => {
    const program = service.getProgram()!
    const source = program.getSourceFile(file)!
    const diagnostics = [...program.getSemanticDiagnostics(source), ...program.getDeclarationDiagnostics(source)]
    assert.deepStrictEqual(diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")), [])
    const [output] = service.getEmitOutput(file, true).outputFiles
    const declarations = output!.text.replace(/\s+/g, " ")
    assert.notMatch(declarations, /internal|import\("[./]/)
    for (
      const declared of [
        "EditArticles_base: Permission.TagClass<EditArticles, \"app/EditArticles\", Auth, ",
        "isAda: Guard.Guard<User, "
      ]
    ) {
      assert.include(declarations, declared)
    }
  }, 120_000)

  it("are named types in a hover of at most 5 lines", () => {
    for (
      const [marked, ...names] of [
        ["class |EditArticles| extends", "class EditArticles"],
        [
          "Permission.|Tag|<",
          "Permission.TagOptions<",
          "Permission.TagClass<EditArticles, Id, AuthSelf, UserId, User>"
        ],
        ["Guard.|make|((", "Guard.Guard<", "HttpServerRequest"],
        ["const |either|", "Guard.Guard<"],
        [
          "EditArticles.|layer|(",
          "TagClass<EditArticles, ",
          "Permission.Settings",
          "Layer<EditArticles, never, Auth"
        ],
        ["const |EditLive|", "Layer<EditArticles, never, Auth>"],
        ["EditArticles.|granted|", "TagClass<EditArticles, ", "Permission.Granted<EditArticles>"],
        ["const |publish| ", "never, Permission.Granted<EditArticles>>"],
        ["EditArticles.|protect|(", "Permission.Granted<EditArticles>", "SecurityError.SecurityError"],
        ["const |published|", "SecurityError.SecurityError, ", "EditArticles"],
        ["const |routes|", "Permission.Granted<EditArticles>", "CurrentUser"],
        ["Guard.|protect|(", "Guard.Backend<", "Guard.Guard<"],
        ["const |guarded|", "HttpRouter.HttpRouter<SecurityError.SecurityError, Auth>"],
        ["Permission.|unsafeGrant|(", "Permission.Policy<EditArticles>", "Exclude<R, Permission.Granted<EditArticles>>"]
      ] as ReadonlyArray<readonly [string, ...ReadonlyArray<string>]>
    ) {
      const [before, word, after] = marked.split("|") as [string, string, string]
      const at = text.indexOf(before + word + after)
      assert.notStrictEqual(at, -1, marked)
      const shown = ts.displayPartsToString(service.getQuickInfoAtPosition(file, at + before.length)?.displayParts)
      for (const name of names) assert.include(shown, name, marked)
      assert.isAtMost(shown.split("\n").length, 5, shown)
      assert.notInclude(shown, "import(", marked)
      assert.notInclude(shown.replace(/\.\.\.guards/, ""), "...", marked)
    }
  }, 120_000)
})
