import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpApiSecurity,
  HttpServerRequest,
  HttpServerResponse,
  OpenApi
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Redacted,
  Schema,
  TestClock
} from "effect"
import { SecurityConfig, SecurityError, SessionAuth } from "effect-security"
import type { Sent, User } from "./session/fixtures.js"
import { CurrentUser, logsTo, memory, retrieveUser, send, Session } from "./session/fixtures.js"

const text = (credential: Redacted.Redacted | HttpApiSecurity.Credentials): string =>
  Redacted.isRedacted(credential)
    ? Redacted.value(credential)
    : `${credential.username}:${Redacted.value(credential.password)}`

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`

// -----------------------------------------------------------------------------
// Backends of every scheme, without and with what the credential says
// -----------------------------------------------------------------------------

const Scopes = Schema.Struct({ scopes: Schema.Array(Schema.String) })

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "X-Service-Key" }),
  user: CurrentUser
}) {}
class KeyAuthScoped extends SecurityConfig.Tag<KeyAuthScoped>()("test/KeyAuthScoped", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "X-Service-Key" }),
  user: CurrentUser,
  auth: Scopes
}) {}
class CookieAuth extends SecurityConfig.Tag<CookieAuth>()("test/CookieAuth", {
  scheme: SecurityConfig.apiKey({ in: "cookie", key: "service" }),
  user: CurrentUser
}) {}
class CookieAuthScoped extends SecurityConfig.Tag<CookieAuthScoped>()("test/CookieAuthScoped", {
  scheme: SecurityConfig.apiKey({ in: "cookie", key: "service" }),
  user: CurrentUser,
  auth: Scopes
}) {}
class BasicAuth extends SecurityConfig.Tag<BasicAuth>()("test/BasicAuth", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser
}) {}
class BasicAuthScoped extends SecurityConfig.Tag<BasicAuthScoped>()("test/BasicAuthScoped", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser,
  auth: Scopes
}) {}
class BearerAuth extends SecurityConfig.Tag<BearerAuth>()("test/BearerAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser
}) {}
class BearerAuthScoped extends SecurityConfig.Tag<BearerAuthScoped>()("test/BearerAuthScoped", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser,
  auth: Scopes
}) {}

type Any = SecurityConfig.Base<any, any, any, any, any> & {
  readonly layer: (options: any) => Layer.Layer<any>
}

interface Backend {
  readonly title: string
  readonly plain: Any
  readonly scoped: Any
  readonly vary: string
  /** A browser sends the credential by itself. */
  readonly isAmbient: boolean
  /** The headers that carry a credential of the form that the scheme asks for. */
  readonly carry: (secret: string) => Record<string, string>
  /** What the backend is given of it. */
  readonly given: (secret: string) => string
  readonly malformed: ReadonlyArray<Record<string, string>>
  readonly other: ReadonlyArray<Record<string, string>>
  readonly challenge: { readonly missing: string; readonly bad: string }
}

const same = (challenge: string) => ({ missing: challenge, bad: challenge })

const backends: ReadonlyArray<Backend> = [
  {
    title: "an API key in a header",
    plain: KeyAuth as unknown as Any,
    scoped: KeyAuthScoped as unknown as Any,
    vary: "X-Service-Key",
    isAmbient: false,
    carry: (secret) => ({ "x-service-key": secret }),
    given: (secret) => secret,
    malformed: [{ "x-service-key": "" }, { "x-service-key": "a b" }, { "x-service-key": "good, good" }],
    other: [{ authorization: "Bearer good" }, { cookie: "x-service-key=good" }],
    challenge: same("ApiKey")
  },
  {
    title: "an API key in a cookie",
    plain: CookieAuth as unknown as Any,
    scoped: CookieAuthScoped as unknown as Any,
    vary: "Cookie",
    isAmbient: true,
    carry: (secret) => ({ cookie: `theme=dark; service=${secret}` }),
    given: (secret) => secret,
    malformed: [{ cookie: "service=" }, { cookie: "service=good; service=good" }],
    other: [{ cookie: "theme=dark" }, { cookie: "\u00a0service=good" }, { service: "good" }],
    challenge: same("Cookie")
  },
  {
    title: "HTTP Basic",
    plain: BasicAuth as unknown as Any,
    scoped: BasicAuthScoped as unknown as Any,
    vary: "Authorization",
    isAmbient: true,
    carry: (secret) => ({ authorization: basic("ada", secret) }),
    given: (secret) => `ada:${secret}`,
    malformed: [{ authorization: "Basic" }, { authorization: "Basic YWRhOmdvb2Q" }, { authorization: "Basic YWRh" }],
    other: [{ authorization: "Bearer good" }, { authorization: "YWRhOmdvb2Q=" }],
    challenge: same("Basic realm=\"BasicAuth\", charset=\"UTF-8\"")
  },
  {
    title: "a bearer token",
    plain: BearerAuth as unknown as Any,
    scoped: BearerAuthScoped as unknown as Any,
    vary: "Authorization",
    isAmbient: false,
    carry: (secret) => ({ authorization: `Bearer ${secret}` }),
    given: (secret) => secret,
    malformed: [{ authorization: "Bearer" }, { authorization: "Bearer good good" }, { authorization: "bearer good," }],
    other: [{ authorization: "Tokenxgood" }, { authorization: basic("ada", "good") }, { authorization: "good" }],
    challenge: { missing: "Bearer", bad: "Bearer error=\"invalid_token\"" }
  }
]

for (const { carry, challenge, given, isAmbient, malformed, other, plain, scoped, title, vary } of backends) {
  describe(`a backend of our own with ${title}`, () => {
    /** Knows one secret. */
    const live = (asked: Array<string> = [], options: object = {}) =>
      plain.layer({
        authenticate: (credential: Redacted.Redacted | HttpApiSecurity.Credentials) =>
          Effect.sync(() => {
            asked.push(text(credential))
            return text(credential) === given("good") ? Option.some({ id: "ada" }) : Option.none()
          }),
        ...options
      })
    const reason = (exit: Exit.Exit<unknown, unknown>) =>
      Exit.isFailure(exit)
        ? (Option.getOrThrow(Cause.failureOption(exit.cause)) as SecurityError.NotAuthorized).reason
        : ""

    it.effect("finds the user of a good credential, which it is given redacted", () => {
      const asked: Array<string> = []
      return Effect.gen(function*() {
        const reply = yield* send(plain.user, { headers: carry("good") })
        assert.deepStrictEqual(reply.exit, Exit.succeed({ id: "ada" }))
        assert.deepStrictEqual(asked, [given("good")])
        assert.strictEqual(reply.headers.get("cache-control"), "no-store")
        assert.strictEqual(reply.headers.get("vary"), vary)
        const both = yield* send(plain.authenticated, { headers: carry("good") })
        assert.deepStrictEqual(both.exit, Exit.succeed({ user: { id: "ada" }, auth: undefined }))
        assert.deepStrictEqual(
          (yield* send(plain.protect(CurrentUser), { headers: carry("good") })).exit,
          Exit.succeed({ id: "ada" })
        )
      }).pipe(Effect.provide(live(asked)))
    })

    it.effect("refuses an unknown one, and challenges as its scheme does", () =>
      Effect.gen(function*() {
        const reply = yield* send(plain.user, { headers: carry("bad") })
        assert.strictEqual(reply.status, 401)
        assert.strictEqual(reply.headers.get("www-authenticate"), challenge.bad)
        assert.strictEqual(reply.headers.get("content-type"), "application/problem+json")
        assert.strictEqual(reply.headers.get("vary"), vary)
        assert.strictEqual(reason(reply.exit), "UnknownUser")
        assert.notInclude(reply.body, "UnknownUser")
      }).pipe(Effect.provide(live())))

    it.effect("refuses a request without one, and asks nobody", () => {
      const asked: Array<string> = []
      return Effect.gen(function*() {
        for (const headers of [{}, ...other]) {
          const reply = yield* send(plain.user, { headers })
          assert.strictEqual(reply.status, 401, JSON.stringify(headers))
          assert.strictEqual(reply.headers.get("www-authenticate"), challenge.missing, JSON.stringify(headers))
          assert.strictEqual(reason(reply.exit), "NoCredential", JSON.stringify(headers))
        }
        assert.deepStrictEqual(asked, [])
      }).pipe(Effect.provide(live(asked)))
    })

    it.effect("refuses a malformed one, and asks nobody", () => {
      const asked: Array<string> = []
      return Effect.gen(function*() {
        for (const headers of malformed) {
          const reply = yield* send(plain.user, { headers })
          assert.strictEqual(reply.status, 401, JSON.stringify(headers))
          assert.strictEqual(reply.headers.get("www-authenticate"), challenge.bad, JSON.stringify(headers))
          assert.strictEqual(reason(reply.exit), "InvalidCredential", JSON.stringify(headers))
        }
        assert.deepStrictEqual(asked, [])
      }).pipe(Effect.provide(live(asked)))
    })

    it.effect("finds what the credential says as well, when its Tag has `auth`", () =>
      Effect.gen(function*() {
        const found = { user: { id: "ada" }, auth: { scopes: ["read"] } }
        const good = { headers: carry("good") }
        assert.deepStrictEqual((yield* send(scoped.authenticated, good)).exit, Exit.succeed(found))
        assert.deepStrictEqual((yield* send(scoped.user, good)).exit, Exit.succeed({ id: "ada" }))
        assert.strictEqual((yield* send(scoped.authenticated, { headers: carry("bad") })).status, 401)
        assert.strictEqual((yield* send(scoped.authenticated)).status, 401)
      }).pipe(Effect.provide(scoped.layer({
        authenticate: (credential: Redacted.Redacted | HttpApiSecurity.Credentials) =>
          Effect.succeed(
            text(credential) === given("good")
              ? Option.some({ user: { id: "ada" }, auth: { scopes: ["read"] } })
              : Option.none()
          )
      }))))

    it.effect("is asked once although a gate, `protect` and handlers ask", () => {
      const asked: Array<string> = []
      const handler = Effect.as(
        Effect.all([plain.user, plain.authenticated, plain.userOption, plain.user]),
        HttpServerResponse.empty()
      )
      const gated = plain.middleware(plain.protect(plain.protect(handler)) as any)
      return Effect.gen(function*() {
        assert.strictEqual((yield* send(gated, { headers: carry("good") })).status, 204)
        assert.strictEqual(asked.length, 1)
        assert.strictEqual((yield* send(gated, { headers: carry("bad") })).status, 401)
        assert.strictEqual(asked.length, 2)
        const again = Effect.all([Effect.either(plain.user), plain.userOption, Effect.either(plain.authenticated)])
        yield* send(again, { headers: carry("bad") })
        assert.strictEqual(asked.length, 3)
      }).pipe(Effect.provide(live(asked)))
    })

    it.effect(
      isAmbient ? "is not asked for another site" : "is asked for any site: no browser adds its credential",
      () => {
        const asked: Array<string> = []
        return Effect.gen(function*() {
          const unsafe = (origin: string): Sent => ({ method: "POST", headers: { origin, ...carry("good") } })
          for (const handler of [plain.user, plain.protect(CurrentUser)]) {
            assert.strictEqual((yield* send(handler, unsafe("https://evil.example"))).status, isAmbient ? 403 : 204)
          }
          assert.strictEqual(asked.length, isAmbient ? 0 : 2)
          const bare = yield* send(plain.user, { method: "POST", headers: { origin: "https://evil.example" } })
          assert.strictEqual(bare.status, isAmbient ? 403 : 401)
          assert.strictEqual((yield* send(plain.user, unsafe("https://app.example.com"))).status, 204)
          assert.strictEqual((yield* send(plain.user, unsafe("https://a.example"))).status, 204)
          const safe = yield* send(plain.user, { headers: { origin: "https://evil.example", ...carry("good") } })
          assert.strictEqual(safe.status, 204)
        }).pipe(Effect.provide(live(asked, { trustedOrigins: ["https://a.example"] })))
      }
    )

    it.effect("is asked before the guards, and the guards before the handler", () => {
      const events: Array<string> = []
      const note = (event: string) => Effect.sync(() => events.push(event))
      const layer = plain.layer({
        authenticate: (credential: Redacted.Redacted | HttpApiSecurity.Credentials) =>
          Effect.as(
            note(`backend ${text(credential)}`),
            text(credential) === given("bad") ? Option.none() : Option.some({ id: text(credential) })
          ),
        guards: [
          (user: User) =>
            Effect.zipRight(
              note(`guard ${user.id}`),
              user.id === given("banned") ? Effect.fail(new SecurityError.PermissionDenied()) : Effect.void
            )
        ]
      })
      const handler = plain.protect(Effect.flatMap(CurrentUser, ({ id }) => note(`handler ${id}`)))
      const run = (headers: Record<string, string>) =>
        Effect.suspend(() => {
          events.length = 0
          return Effect.map(send(handler, { headers }), ({ status }) => [status, ...events])
        })
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* run({}), [401])
        assert.deepStrictEqual(yield* run(malformed[0]!), [401])
        assert.deepStrictEqual(yield* run(carry("bad")), [401, `backend ${given("bad")}`])
        assert.deepStrictEqual(yield* run(carry("banned")), [
          403,
          `backend ${given("banned")}`,
          `guard ${given("banned")}`
        ])
        assert.deepStrictEqual(yield* run(carry("good")), [
          204,
          `backend ${given("good")}`,
          `guard ${given("good")}`,
          `handler ${given("good")}`
        ])
      }).pipe(Effect.provide(layer))
    })
  })
}

// -----------------------------------------------------------------------------
// What a backend may answer
// -----------------------------------------------------------------------------

describe("`authenticate`", () => {
  const good: Sent = { headers: { authorization: "Bearer good" } }
  const answering = <E>(
    authenticate: () => Effect.Effect<Option.Option<User>, E>,
    settings?: SecurityConfig.Settings
  ) => send(BearerAuth.user, good).pipe(Effect.provide(BearerAuth.layer({ authenticate, ...settings })))
  const failure = (exit: Exit.Exit<unknown, SecurityError.SecurityError>) =>
    Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

  it.effect("that says NotAuthorized is a 401 with its reason, and with the challenge of the scheme", () =>
    Effect.gen(function*() {
      const reply = yield* answering(() => Effect.fail(new SecurityError.NotAuthorized({ reason: "Revoked" })))
      assert.strictEqual(reply.status, 401)
      assert.strictEqual((failure(reply.exit) as SecurityError.NotAuthorized).reason, "Revoked")
      assert.strictEqual(reply.headers.get("www-authenticate"), "Bearer error=\"invalid_token\"")
      assert.strictEqual(reply.headers.get("vary"), "Authorization")
      assert.notInclude(reply.body, "Revoked")
    }))

  it.effect("that says PermissionDenied is a 403, TooManyAttempts a 429 and SecurityUnavailable a 503", () =>
    Effect.gen(function*() {
      const replies = yield* Effect.all([
        answering(() => Effect.fail(new SecurityError.PermissionDenied({ reason: "Suspended" }))),
        answering(() => Effect.fail(new SecurityError.TooManyAttempts({ retryAfter: 30 }))),
        answering(() => Effect.fail(new SecurityError.SecurityUnavailable({ retryAfter: 7 })))
      ])
      assert.deepStrictEqual(
        replies.map(({ headers, status }) => [status, headers.get("retry-after"), headers.get("www-authenticate")]),
        [[403, null, null], [429, "30", null], [503, "7", null]]
      )
    }))

  const outages: ReadonlyArray<readonly [string, () => Effect.Effect<Option.Option<User>, unknown>]> = [
    ["fails with anything else", () => Effect.fail(new Error("password=hunter2"))],
    ["dies", () => Effect.die(new Error("password=hunter2"))],
    ["throws", () => {
      throw new Error("password=hunter2")
    }]
  ]
  for (const [sentence, authenticate] of outages) {
    it.effect(`that ${sentence} is an outage, whose cause is in the log and not in the response`, () => {
      const lines: Array<string> = []
      return Effect.gen(function*() {
        const reply = yield* answering(authenticate)
        assert.strictEqual(reply.status, 503)
        assert.strictEqual(failure(reply.exit)?._tag, "SecurityUnavailable")
        assert.notInclude(reply.body, "hunter2")
        assert.include(lines.join("\n"), "hunter2")
      }).pipe(Effect.provide(logsTo(lines)))
    })
  }

  it.effect("that does not answer is an outage after 2 seconds, or after `timeout`", () =>
    Effect.gen(function*() {
      for (const [settings, millis] of [[{}, 2_000], [{ timeout: "100 millis" }, 100]] as const) {
        const fiber = yield* Effect.fork(answering(() => Effect.never, settings))
        yield* TestClock.adjust(millis - 1)
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* TestClock.adjust(1)
        assert.strictEqual((yield* Fiber.join(fiber)).status, 503)
      }
    }))

  it.effect("is an outage for `userOption` too, which is nobody for every refusal", () =>
    Effect.gen(function*() {
      const option = (authenticate: () => Effect.Effect<Option.Option<User>, unknown>, sent: Sent = good) =>
        Effect.map(
          send(BearerAuth.userOption, sent).pipe(Effect.provide(BearerAuth.layer({ authenticate }))),
          ({ exit }) =>
            Exit.match(exit, {
              onFailure: () => "failed",
              onSuccess: Option.match({ onNone: () => "nobody", onSome: ({ id }) => id })
            })
        )
      const found = () => Effect.succeed(Option.some({ id: "ada" }))
      assert.deepStrictEqual(
        yield* Effect.all([
          option(found),
          option(found, {}),
          option(found, { headers: { authorization: "Bearer" } }),
          option(() => Effect.succeedNone),
          option(() => Effect.fail(new SecurityError.NotAuthorized())),
          option(() => Effect.fail(new SecurityError.PermissionDenied())),
          option(() => Effect.fail("down"))
        ]),
        ["ada", "nobody", "nobody", "nobody", "nobody", "nobody", "failed"]
      )
    }))

  it.effect("has the services of its Layer, the request and a scope", () => {
    class Directory extends Context.Tag("test/Directory")<Directory, string>() {}
    const events: Array<string> = []
    const layer = BearerAuth.layer({
      authenticate: (token) =>
        Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          yield* Effect.addFinalizer(() => Effect.sync(() => events.push("released")))
          return Option.some({ id: `${yield* Directory} ${Redacted.value(token)} ${request.method}` })
        })
    }).pipe(Layer.provide(Layer.succeed(Directory, "ours")))
    return Effect.gen(function*() {
      const handler = Effect.tap(BearerAuth.user, () => Effect.sync(() => events.push("handled")))
      const reply = yield* send(Effect.provideService(handler, Directory, "the handler's"), good)
      assert.deepStrictEqual(reply.exit, Exit.succeed({ id: "ours good GET" }))
      assert.deepStrictEqual(events, ["handled", "released"])
    }).pipe(Effect.provide(layer))
  })
})

describe("the Layer of a backend of our own", () => {
  const authenticate = () => Effect.succeed(Option.some({ id: "ada" }))
  const death = <E>(layer: Layer.Layer<any, E>) =>
    Effect.map(Effect.exit(Effect.scoped(Layer.build(layer))), (exit) => {
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      return Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
    })

  it.effect("dies when it is built with an option that makes no sense, and names it", () =>
    Effect.gen(function*() {
      assert.match(
        yield* death(CookieAuth.layer({ authenticate, trustedOrigins: ["null"] })),
        /test\/CookieAuth: trustedOrigins/
      )
      assert.match(yield* death(CookieAuth.layer({ authenticate, origin: "https://a.example/" })), /origin/)
      assert.match(yield* death(CookieAuth.layer({ authenticate, timeout: "0 seconds" })), /timeout/)
    }))

  const settings = {
    trustedOrigins: Config.array(Config.string(), "TRUSTED"),
    requireOrigin: Config.boolean("REQUIRED").pipe(Config.withDefault(true))
  }
  const configured = (entries: ReadonlyArray<readonly [string, string]>) =>
    CookieAuth.layerConfig({ authenticate, settings }).pipe(
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(entries))))
    )

  it.effect("takes its settings from Config", () =>
    Effect.gen(function*() {
      const status = (headers: Record<string, string>) =>
        Effect.map(send(CookieAuth.user, { method: "POST", headers: { cookie: "service=x", ...headers } }), (_) =>
          _.status)
      assert.strictEqual(yield* status({ origin: "https://a.example" }), 204)
      assert.strictEqual(yield* status({}), 403)
    }).pipe(Effect.provide(configured([["TRUSTED", "https://a.example"]]))))

  it.effect("fails with a ConfigError where one is missing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(configured([]))))
      assert.include(String(error), "TRUSTED")
    }))
})

// -----------------------------------------------------------------------------
// OpenAPI
// -----------------------------------------------------------------------------

class Auth extends SessionAuth.Tag<Auth>()("test/OpenApi/Auth", { user: CurrentUser, session: Session }) {}
class Staff extends SessionAuth.Tag<Staff>()("test/OpenApi/Staff", {
  user: CurrentUser,
  session: Session,
  name: "staffCookie",
  cookie: { name: "__Host-staff" }
}) {}
class SameName extends SessionAuth.Tag<SameName>()("test/OpenApi/SameName", {
  user: CurrentUser,
  session: Session,
  cookie: { name: "other" }
}) {}
class SameCookie extends SessionAuth.Tag<SameCookie>()("test/OpenApi/SameCookie", {
  user: CurrentUser,
  session: Session,
  name: "otherCookie"
}) {}

class Admin extends SessionAuth.Tag<Admin>()("test/OpenApi/Admin", {
  user: CurrentUser,
  session: Session,
  name: "adminCookie",
  cookie: { path: "/admin" }
}) {}

describe("OpenAPI", () => {
  const endpoint = (name: string) => HttpApiEndpoint.get(name, `/${name}`).addSuccess(HttpApiSchema.NoContent)

  const Api = HttpApi.make("api")
    .add(HttpApiGroup.make("open").add(endpoint("login")).add(endpoint("private").middleware(Auth)))
    .add(
      HttpApiGroup.make("closed").add(endpoint("user")).add(endpoint("both").middleware(KeyAuth)).middleware(Auth)
    )
    .add(
      HttpApiGroup.make("machines").add(endpoint("token").middleware(BearerAuth)).add(
        endpoint("password").middleware(BasicAuth)
      )
    )

  const machine = () => Effect.succeed(Option.some({ id: "machine" }))
  const machines = Layer.mergeAll(
    KeyAuth.layer({ authenticate: machine }),
    BearerAuth.layer({ authenticate: machine }),
    BasicAuth.layer({ authenticate: machine })
  )
  const authLive = (settings: SessionAuth.Settings = {}) =>
    Layer.provide(Auth.layer({ retrieveUser, ...settings }), memory)

  const document = <A extends HttpApi.HttpApi.Any>(
    api: Effect.Effect<A, never, Auth>,
    settings?: SessionAuth.Settings
  ) => Effect.map(api, (api) => OpenApi.fromApi(api as any) as any).pipe(Effect.provide(authLive(settings)))
  const operations = (document: any): Record<string, any> =>
    Object.fromEntries(Object.entries<any>(document.paths).map(([path, methods]) => [path, methods.get]))

  it.effect("shows the scheme that is in force, with a description", () =>
    Effect.gen(function*() {
      const secure = yield* document(Auth.describeApi(Api))
      assert.deepStrictEqual(secure.components.securitySchemes.sessionCookie, {
        type: "apiKey",
        in: "cookie",
        name: "__Host-session",
        description: "Session cookie authentication."
      })
      const insecure = yield* document(Auth.describeApi(Api), { insecureCookie: true })
      assert.deepStrictEqual(insecure.components.securitySchemes.sessionCookie, {
        type: "apiKey",
        in: "cookie",
        name: "session",
        description: "Session cookie authentication."
      })
    }))

  it.effect("shows the schemes of backends of our own under their own names", () =>
    Effect.gen(function*() {
      const { components } = yield* document(Auth.describeApi(Api))
      assert.deepStrictEqual(Object.keys(components.securitySchemes).sort(), [
        "BasicAuth",
        "BearerAuth",
        "KeyAuth",
        "sessionCookie"
      ])
      assert.deepStrictEqual(components.securitySchemes.KeyAuth, {
        type: "apiKey",
        in: "header",
        name: "X-Service-Key"
      })
      assert.deepStrictEqual(components.securitySchemes.BasicAuth, { type: "http", scheme: "basic" })
      assert.deepStrictEqual(components.securitySchemes.BearerAuth, { type: "http", scheme: "bearer" })
    }))

  it.effect("shows the requirement on exactly the endpoints that have it", () =>
    Effect.gen(function*() {
      const shown = operations(yield* document(Auth.describeApi(Api)))
      assert.deepStrictEqual(
        Object.fromEntries(Object.entries(shown).map(([path, { security }]) => [path, security])),
        {
          "/login": [],
          "/private": [{ sessionCookie: [] }],
          "/user": [{ sessionCookie: [] }],
          "/both": [{ sessionCookie: [], KeyAuth: [] }],
          "/token": [{ BearerAuth: [] }],
          "/password": [{ BasicAuth: [] }]
        }
      )
    }))

  it.effect("shows the failures as application/problem+json, where the requirement is and nowhere else", () =>
    Effect.gen(function*() {
      const shown = operations(yield* document(Auth.describeApi(Api)))
      const failures = ["401", "403", "429", "503"]
      for (const [path, { responses }] of Object.entries(shown)) {
        const listed = failures.filter((status) => status in responses)
        assert.deepStrictEqual(listed, path === "/login" ? [] : failures, path)
        for (const status of listed) {
          assert.deepStrictEqual(
            Object.keys(responses[status].content),
            ["application/problem+json"],
            `${path} ${status}`
          )
        }
      }
    }))

  it.effect("shows an api that is given as a Layer the same", () =>
    Effect.gen(function*() {
      const handlers = <G extends "open" | "closed" | "machines">(group: G, names: ReadonlyArray<string>) =>
        HttpApiBuilder.group(Api, group, (handlers: any) =>
          names.reduce((handlers, name) =>
            handlers.handle(name, () => Effect.void), handlers))
      const live = Layer.provide(HttpApiBuilder.api(Api), [
        handlers("open", ["login", "private"]),
        handlers("closed", ["user", "both"]),
        handlers("machines", ["token", "password"])
      ] as any) as Layer.Layer<HttpApi.Api, never, any>
      const described = Auth.describe(live) as Layer.Layer<HttpApi.Api, never, any>
      const context = yield* Layer.build(
        Layer.provide(described, Layer.merge(machines, authLive({ insecureCookie: true })))
      ).pipe(Effect.scoped) as Effect.Effect<Context.Context<HttpApi.Api>>
      const shown = OpenApi.fromApi(Context.get(context, HttpApi.Api).api as any)
      const expected = yield* document(Auth.describeApi(Api), { insecureCookie: true })
      assert.deepStrictEqual(shown as unknown, expected)
    }))

  it.effect("shows each of several Tags as it is in force, and keeps a transformation of the application's own", () =>
    Effect.gen(function*() {
      const own = HttpApi.make("api")
        .add(HttpApiGroup.make("a").add(endpoint("user")).middleware(Auth))
        .add(HttpApiGroup.make("b").add(endpoint("staff")).middleware(Staff))
        .annotate(OpenApi.Transform, (document) => ({ ...document, "x-own": true }))
      const live = Layer.mergeAll(
        Auth.layer({ retrieveUser, insecureCookie: true }),
        Staff.layer({ retrieveUser, insecureCookie: true })
      ).pipe(Layer.provide(memory))
      const api = yield* Effect.flatMap(Auth.describeApi(own), Staff.describeApi).pipe(Effect.provide(live))
      const shown: any = OpenApi.fromApi(api)
      assert.deepStrictEqual(
        [shown.components.securitySchemes.sessionCookie.name, shown.components.securitySchemes.staffCookie.name],
        ["session", "staff"]
      )
      assert.strictEqual(shown["x-own"], true)
    }))

  const dies = (api: HttpApi.HttpApi.Any) =>
    Effect.map(
      Effect.exit(Effect.provide(Auth.describeApi(api), authLive())),
      (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.pretty(exit.cause) : "alive"
    )

  it.effect("dies where two Tags of one api share the name of a scheme", () =>
    Effect.gen(function*() {
      const one = HttpApiGroup.make("a").add(endpoint("user")).middleware(Auth)
      const other = HttpApiGroup.make("b").add(endpoint("staff").middleware(SameName))
      assert.include(
        yield* dies(HttpApi.make("api").add(one).add(other)),
        "test/OpenApi/Auth and test/OpenApi/SameName share the scheme name \"sessionCookie\": give one of them another `name`"
      )
    }))

  it.effect("dies where two Tags of one api share a cookie, whichever level they stand on", () =>
    Effect.gen(function*() {
      const sentence =
        "test/OpenApi/Auth and test/OpenApi/SameCookie share the cookie \"session\": give one of them another name"
      const group = HttpApiGroup.make("a").add(endpoint("user").middleware(SameCookie))
      assert.include(yield* dies(HttpApi.make("api").add(group).middleware(Auth)), sentence)
      assert.include(yield* dies(HttpApi.make("api").add(group.middleware(Auth))), "share the cookie")
    }))

  it.effect("dies where two cookies would become one over plain http, which drops their prefixes", () =>
    Effect.gen(function*() {
      const group = HttpApiGroup.make("a").add(endpoint("user").middleware(Auth)).add(
        endpoint("admin").middleware(Admin)
      )
      assert.include(
        yield* dies(HttpApi.make("api").add(group)),
        "test/OpenApi/Auth and test/OpenApi/Admin share the cookie \"session\": give one of them another name"
      )
    }))

  it.effect("does not mind one Tag in several places, nor two that share nothing", () =>
    Effect.gen(function*() {
      const group = HttpApiGroup.make("a").add(endpoint("user").middleware(Auth)).middleware(Auth).middleware(Staff)
      assert.strictEqual(yield* dies(HttpApi.make("api").add(group).middleware(Auth)), "alive")
    }))
})

describe("the name of a scheme", () => {
  it("is the last part of the Tag's id, or the one that is given", () => {
    class Odd extends SecurityConfig.Tag<Odd>()("app/auth/My Keys/v1: keys!", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser
    }) {}
    class Named extends SecurityConfig.Tag<Named>()("app/Named", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser,
      name: "machines"
    }) {}
    assert.deepStrictEqual(Object.keys(BearerAuth.security), ["BearerAuth"])
    assert.deepStrictEqual(Object.keys(Odd.security), ["v1__keys_"])
    assert.deepStrictEqual(Object.keys(Named.security), ["machines"])
    assert.deepStrictEqual(Object.keys(Auth.security), ["sessionCookie"])
    assert.deepStrictEqual(Object.keys(Staff.security), ["staffCookie"])
  })
})
