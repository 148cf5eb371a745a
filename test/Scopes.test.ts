import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSecurity,
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import type { Scope } from "effect"
import {
  Arbitrary,
  Cause,
  Context,
  Deferred,
  Effect,
  Either,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Option,
  Redacted,
  Schema,
  TestClock,
  Tracer
} from "effect"
import { JwtAuth, JwtCookieAuth, Permission, Scopes, SecurityConfig, SecurityError, SessionAuth } from "effect-security"
import type { SecurityEvents } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { get, onNode, requestText, routerNames, serve, surfaces } from "./edge/harness.js"
import { bothApis } from "./edge/harness.js"
import type { Reply } from "./edge/harness.js"
import { audience, issuer, now, setSeconds } from "./jwt/fixtures.js"
import { eventsTo, keys, plainEvent, tokenWith, whoami } from "./jwt/httpFixtures.js"
import { CurrentUser, memory, send } from "./session/fixtures.js"
import type { Sent, User } from "./session/fixtures.js"

// -----------------------------------------------------------------------------
// An application
// -----------------------------------------------------------------------------

const names = ["articles:read", "articles:write", "users:read", "users:write"] as const

const scopes = Scopes.make({
  "articles:read": "Read articles",
  "articles:write": "Write articles",
  "users:read": "Read users",
  "users:write": "Write users"
})

type Name = typeof names[number]

const Claims = Schema.Struct({ sub: Schema.String, scope: scopes.schema })
const Session = Schema.Struct({ userId: Schema.String, scope: scopes.schema })
const Says = Schema.Struct({ scope: scopes.schema })

class TokenAuth extends JwtAuth.Tag<TokenAuth>()("test/scopes/TokenAuth", { user: CurrentUser, claims: Claims }) {}

class CookieAuth extends JwtAuth.Tag<CookieAuth>()("test/scopes/CookieAuth", {
  user: CurrentUser,
  claims: Claims,
  name: "tokenCookie"
}) {}

class SessAuth extends SessionAuth.Tag<SessAuth>()("test/scopes/SessAuth", { user: CurrentUser, session: Session }) {}

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/scopes/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "X-Service-Key" }),
  user: CurrentUser,
  auth: Says
}) {}

class OpaqueAuth extends SecurityConfig.Tag<OpaqueAuth>()("test/scopes/OpaqueAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser,
  auth: Says
}) {}

class BasicAuth extends SecurityConfig.Tag<BasicAuth>()("test/scopes/BasicAuth", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser,
  auth: Says
}) {}

/** A person's session, or a program's token. */
class Any extends SecurityConfig.firstOf<Any>()("test/scopes/Any", [SessAuth, TokenAuth, KeyAuth]) {}

class WriteArticles extends Scopes.Tag<WriteArticles>()("test/WriteArticles", {
  auth: TokenAuth,
  scopes: ["articles:write"]
}) {}

/** A policy about the same users. */
class IsAda extends Permission.Tag<IsAda>()("test/IsAda", { auth: TokenAuth }) {}

/** The same for any backend. */
const requiring = (auth: { readonly key: string }, required: ReadonlyArray<string>): typeof WriteArticles =>
  (Scopes.Tag as any)()(`test/requires/${auth.key}/${required.join("+")}`, { auth, scopes: required })

/** Notes whom somebody looks up. */
const find = (asked: Array<string>) => (id: string) =>
  Effect.sync(() => {
    asked.push(`user ${id}`)
    return id === "ghost" ? Option.none<User>() : Option.some({ id })
  })

const signed = { algorithms: ["HS256"], issuer, audience } as const

const tokenLive = (asked: Array<string> = []) =>
  Layer.provide(JwtAuth.layer(TokenAuth, { ...signed, retrieveUser: ({ sub }) => find(asked)(sub) }), keys)

const cookieLive = (asked: Array<string> = []) =>
  Layer.provide(JwtCookieAuth.layer(CookieAuth, { ...signed, retrieveUser: ({ sub }) => find(asked)(sub) }), keys)

const sessionLive = (asked: Array<string> = []) => SessAuth.layer({ retrieveUser: ({ userId }) => find(asked)(userId) })

/** `name;scope scope` is a key of `name`. */
const authenticate = (asked: Array<string>) => (secret: Redacted.Redacted) =>
  Effect.suspend(() => {
    const [id = "", list = ""] = Redacted.value(secret).split("/")
    const scope = list.split("+").filter(scopes.is)
    return Effect.map(find(asked)(id), Option.map((user) => ({ user, auth: { scope } })))
  })

const keyLive = (asked: Array<string> = []) => KeyAuth.layer({ authenticate: authenticate(asked) })

const keyOf = (id: string, granted: ReadonlyArray<string>) => ({ "x-service-key": `${id}/${granted.join("+")}` })

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** A token by hand, whatever its claims, at the time of the tests that have a clock of their own. */
const tokenOf = (sub: string, scope: unknown) => bearer(tokenWith({ sub, scope }))

const insufficient = (required: string) => `Bearer error="insufficient_scope", scope="${required}"`

// -----------------------------------------------------------------------------
// Backends
// -----------------------------------------------------------------------------

type Headers = Record<string, string>

interface Backend {
  readonly title: string
  readonly auth: { readonly key: string }
  /** The Layer, and what presents somebody whose credential has these scopes. */
  readonly make: (asked: Array<string>) => Effect.Effect<
    {
      readonly live: Layer.Layer<any>
      readonly present: (id: string, granted: ReadonlyArray<Name>) => Effect.Effect<Headers>
    },
    never,
    Scope.Scope
  >
  readonly vary: string
  /** The challenge of a 401 without a credential; and whether a 403 has one. */
  readonly missing: string
  readonly challenges: boolean
}

const ofToken = (asked: Array<string>) =>
  Effect.map(Effect.orDie(Layer.build(tokenLive())), (minting) => ({
    live: tokenLive(asked) as Layer.Layer<any>,
    present: (sub: string, scope: ReadonlyArray<Name>) =>
      Effect.provide(SecurityTest.headers(TokenAuth, { sub, scope }), minting)
  }))

const ofSession = (asked: Array<string>) =>
  Effect.map(Layer.build(memory), (store) => {
    const live = Layer.provide(sessionLive(asked), Layer.succeedContext(store))
    return {
      live: live as Layer.Layer<any>,
      present: (userId: string, scope: ReadonlyArray<Name>) =>
        Effect.map(SecurityTest.cookie(SessAuth, { userId, scope }), (cookie): Headers => ({ cookie })).pipe(
          Effect.provide(live)
        )
    }
  })

const backends: ReadonlyArray<Backend> = [
  {
    title: "a token in a header",
    auth: TokenAuth,
    make: ofToken,
    vary: "Authorization",
    missing: "Bearer",
    challenges: true
  },
  {
    title: "a token in a cookie",
    auth: CookieAuth,
    make: (asked) =>
      Effect.map(Effect.orDie(Layer.build(cookieLive())), (minting) => ({
        live: cookieLive(asked) as Layer.Layer<any>,
        present: (sub, scope) =>
          Effect.map(SecurityTest.cookie(CookieAuth, { sub, scope }), (cookie): Headers => ({ cookie })).pipe(
            Effect.provide(minting)
          )
      })),
    vary: "Cookie",
    missing: "Cookie",
    challenges: false
  },
  { title: "a session", auth: SessAuth, make: ofSession, vary: "Cookie", missing: "Cookie", challenges: false },
  {
    title: "a bearer token of the application's own",
    auth: OpaqueAuth,
    make: (asked) =>
      Effect.succeed({
        live: OpaqueAuth.layer({
          authenticate: (token) => authenticate(asked)(Redacted.make(Redacted.value(token).replaceAll("~", ":")))
        }),
        // A token has no colon.
        present: (id, granted) => Effect.succeed(bearer(`${id}/${granted.join("+").replaceAll(":", "~")}`))
      }),
    vary: "Authorization",
    missing: "Bearer",
    challenges: true
  },
  {
    title: "an API key",
    auth: KeyAuth,
    make: (asked) =>
      Effect.succeed({
        live: keyLive(asked),
        present: (id, granted) => Effect.succeed(keyOf(id, granted))
      }),
    vary: "X-Service-Key",
    missing: "ApiKey",
    challenges: false
  },
  {
    title: "HTTP Basic",
    auth: BasicAuth,
    make: (asked) =>
      Effect.succeed({
        live: BasicAuth.layer({
          authenticate: ({ password, username }) =>
            authenticate(asked)(Redacted.make(`${username}/${Redacted.value(password)}`))
        }),
        present: (id, granted) =>
          Effect.succeed({ authorization: `Basic ${Buffer.from(`${id}:${granted.join("+")}`).toString("base64")}` })
      }),
    vary: "Authorization",
    missing: "Basic realm=\"BasicAuth\", charset=\"UTF-8\"",
    challenges: false
  }
]

// -----------------------------------------------------------------------------
// On every router
// -----------------------------------------------------------------------------

const refusal = ({ body, headers, status }: Reply) => ({
  status,
  tag: JSON.parse(body)._tag,
  challenge: headers["www-authenticate"],
  vary: headers["vary"],
  caching: headers["cache-control"],
  type: headers["content-type"]
})

describe("required scopes", () => {
  for (const { auth, challenges, make, missing, title, vary } of backends) {
    it.scopedLive(`of ${title} answer 401, 403 and 200, and run the handler for the last alone (W39)`, () =>
      Effect.forEach(surfaces, (surface) =>
        Effect.gen(function*() {
          const label = surface.join(" on ")
          const asked: Array<string> = []
          let ran = 0
          const { live, present } = yield* make(asked)
          const Write = requiring(auth, ["articles:write"])
          const Both = requiring(auth, ["users:read", "articles:write"])
          const handler = (Tag: typeof WriteArticles) =>
            Effect.as(Effect.zipRight(Effect.sync(() => ran++), Tag.granted), HttpServerResponse.text("written"))
          const server = yield* serve(
            surface,
            [get("/write", handler(Write), Write), get("/both", handler(Both), Both)],
            Layer.merge(Write.layer, Both.layer).pipe(Layer.provideMerge(live)) as Layer.Layer<any>
          )
          const ask = (path: string, id: string, granted: ReadonlyArray<Name>) =>
            Effect.flatMap(present(id, granted), (headers) => server.send(path, { headers }))

          assert.deepStrictEqual(refusal(yield* server.send("/write")), {
            status: 401,
            tag: "NotAuthorized",
            challenge: missing,
            vary,
            caching: "no-store",
            type: "application/problem+json"
          }, label)
          assert.strictEqual((yield* ask("/write", "ghost", ["articles:write"])).status, 401, label)
          assert.deepStrictEqual(asked.splice(0), ["user ghost"], label)

          const denied = (required: string) => ({
            status: 403,
            tag: "PermissionDenied",
            challenge: challenges ? insufficient(required) : undefined,
            vary,
            caching: "no-store",
            type: "application/problem+json"
          })
          for (const granted of [[], ["articles:read"], ["users:read", "users:write"]] as const) {
            const reply = yield* ask("/write", "ada", granted)
            assert.deepStrictEqual(refusal(reply), denied("articles:write"), label)
            assert.notInclude(reply.body, "articles", "the body repeats no scope")
          }
          assert.deepStrictEqual(
            refusal(yield* ask("/both", "ada", ["articles:write"])),
            denied("users:read articles:write"),
            label
          )
          assert.strictEqual(ran, 0, label)
          asked.splice(0)

          for (
            const [path, granted] of [
              ["/write", ["articles:write"]],
              ["/write", names],
              ["/both", ["articles:write", "users:read"]]
            ] as const
          ) {
            const reply = yield* ask(path, "ada", granted)
            assert.deepInclude(reply, { status: 200, body: "written" }, label)
            assert.deepInclude(reply.headers, { vary, "cache-control": "no-store" }, label)
            assert.notProperty(reply.headers, "www-authenticate", label)
            assert.deepStrictEqual(asked.splice(0), ["user ada"], `${label}: one look-up`)
          }
          assert.strictEqual(ran, 3, label)
        })))
  }

  it.scopedLive("refuse a WebSocket by HTTP before the upgrade", () =>
    Effect.forEach(routerNames, (router) =>
      Effect.gen(function*() {
        const { live, present } = yield* ofToken([])
        let opened = 0
        const server = yield* onNode(
          router,
          [get("/socket", Effect.sync(() => (opened++, HttpServerResponse.empty())), WriteArticles)],
          WriteArticles.layer.pipe(Layer.provide(live)) as Layer.Layer<any>
        )
        const reply = yield* server.raw(requestText("/socket", {
          headers: {
            connection: "Upgrade",
            upgrade: "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            ...yield* present("ada", ["articles:read"])
          }
        }))
        assert.deepStrictEqual([reply.status, reply.headers["www-authenticate"]], [403, insufficient("articles:write")])
        assert.strictEqual(opened, 0, router)
      })))

  it.scopedLive("stand in front of a whole router, behind the gate and beside a permission, in any order", () =>
    Effect.gen(function*() {
      const run = (router: HttpRouter.HttpRouter<any, any>, headers: Headers) => {
        const asked: Array<string> = []
        const live = Layer.mergeAll(
          WriteArticles.layer,
          IsAda.layer(({ id }) => id === "ada" ? Effect.void : Effect.fail(new SecurityError.PermissionDenied()))
        ).pipe(Layer.provideMerge(tokenLive(asked)))
        return Effect.map(
          send(TokenAuth.middleware(router as any), { headers, url: "http://localhost/me" }).pipe(
            Effect.provide(live as Layer.Layer<any>)
          ),
          ({ body, headers, status }) => [status, status === 200 ? body : headers.get("www-authenticate"), asked]
        )
      }
      const route = (handler: Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>) =>
        HttpRouter.empty.pipe(HttpRouter.get("/me", handler))
      const { present } = yield* ofToken([])
      const may = yield* present("ada", ["articles:write"])
      const lacks = yield* present("ada", ["articles:read"])
      const other = yield* present("eve", ["articles:write"])
      for (
        const router of [
          route(WriteArticles.protect(IsAda.protect(whoami))),
          route(IsAda.protect(WriteArticles.protect(whoami))),
          route(TokenAuth.protect(IsAda.protect(WriteArticles.protect(whoami)))),
          route(WriteArticles.protect(TokenAuth.protect(IsAda.protect(whoami)))),
          route(IsAda.protect(whoami)).pipe(HttpRouter.use(WriteArticles.protect)),
          route(WriteArticles.protect(whoami)).pipe(HttpRouter.use(IsAda.protect))
        ]
      ) {
        assert.deepStrictEqual(yield* run(router, may), [200, "ada", ["user ada"]])
        assert.deepStrictEqual(yield* run(router, lacks), [403, insufficient("articles:write"), ["user ada"]])
        assert.deepStrictEqual(yield* run(router, other), [403, null, ["user eve"]])
        assert.deepStrictEqual(yield* run(router, {}), [401, "Bearer", []])
      }
    }))
})

// -----------------------------------------------------------------------------
// Whatever is granted
// -----------------------------------------------------------------------------

const atNow = <ROut>(layer: Layer.Layer<ROut, any>) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.zipRight(setSeconds(now), Effect.provide(self, Layer.orDie(layer)))

const required = names.reduce<ReadonlyArray<ReadonlyArray<Name>>>(
  (all, name) => [...all, ...all.map((subset) => [...subset, name])],
  [[]]
).filter((subset) => subset.length > 0)

describe("the answer is 200 exactly when all that is required was granted", () => {
  const tags = required.map((subset) => [subset, requiring(TokenAuth, subset)] as const)
  const live = Layer.mergeAll(Layer.empty, ...tags.map(([, tag]) => tag.layer as Layer.Layer<any, never, any>)).pipe(
    Layer.provide(tokenLive())
  ) as Layer.Layer<any>

  it.effect("for every subset of the vocabulary on either side", () =>
    Effect.gen(function*() {
      for (const [subset, tag] of tags) {
        for (const granted of [[], ...required]) {
          const reply = yield* send(tag.protect(whoami), { headers: tokenOf("ada", granted.join(" ")) })
          const isGranted = subset.every((name) => granted.includes(name))
          assert.strictEqual(reply.status, isGranted ? 200 : 403, `${subset} of ${granted}`)
          assert.strictEqual(
            reply.headers.get("www-authenticate"),
            isGranted ? null : insufficient(subset.join(" "))
          )
        }
      }
    }).pipe(atNow(live)) as Effect.Effect<void>)

  it.effect("for whatever else a token lists, in any order, however often and however spaced", () => {
    const piece = FastCheck.oneof(
      { weight: 3, arbitrary: FastCheck.constantFrom<string>(...names) },
      FastCheck.constantFrom(
        "",
        "articles",
        "articles:write:all",
        "ARTICLES:WRITE",
        "articles:write\tusers:write",
        "\tarticles:write",
        "articles:write,users:read",
        "*",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty"
      ),
      FastCheck.string({ maxLength: 8 }).filter((text) => !text.includes(" "))
    )
    return Effect.gen(function*() {
      const runtime = yield* Effect.runtime<any>()
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            FastCheck.array(piece, { maxLength: 6 }),
            FastCheck.constantFrom(...tags),
            (pieces, [subset, tag]) =>
              Effect.map(send(tag.protect(whoami), { headers: tokenOf("ada", pieces.join(" ")) }), ({ status }) =>
                assert.strictEqual(status, subset.every((name) => pieces.includes(name)) ? 200 : 403)).pipe(
                  Effect.provide(runtime),
                  Effect.runPromise
                )
          ),
          { numRuns: 200 }
        )
      )
    }).pipe(atNow(live)) as Effect.Effect<void>
  })
})

describe("a token", () => {
  const ask = (scope: unknown) =>
    send(WriteArticles.protect(whoami), { headers: tokenOf("ada", scope) }).pipe(
      Effect.provide(WriteArticles.layer.pipe(Layer.provide(tokenLive())))
    )

  it.effect("whose scope is no text is 401 and never a pass, also where it would list what is required", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      for (
        const scope of [
          ["articles:write"],
          [["articles:write"]],
          { "articles:write": true },
          { length: 1, 0: "articles:write" },
          7,
          true,
          null,
          undefined
        ]
      ) {
        const reply = yield* ask(scope)
        assert.strictEqual(reply.status, 401, JSON.stringify(scope))
        assert.strictEqual(reply.headers.get("www-authenticate"), "Bearer error=\"invalid_token\"")
      }
      assert.strictEqual((yield* ask("articles:write")).status, 200)
    }).pipe(Effect.orDie))

  it.effect("that is not good is 401, whatever it lists", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const live = WriteArticles.layer.pipe(Layer.provide(tokenLive()))
      for (
        const token of [
          tokenWith({ scope: "articles:write", exp: now - 60 }),
          tokenWith({ scope: "articles:write", aud: "https://other.example.com" }),
          `${tokenWith({ scope: "articles:write" })}x`
        ]
      ) {
        const reply = yield* send(WriteArticles.protect(whoami), { headers: bearer(token) }).pipe(Effect.provide(live))
        assert.deepStrictEqual(
          [reply.status, reply.headers.get("www-authenticate")],
          [401, "Bearer error=\"invalid_token\""]
        )
      }
    }).pipe(Effect.orDie))
})

// -----------------------------------------------------------------------------
// What a backend says
// -----------------------------------------------------------------------------

describe("what a backend of the application says of a credential", () => {
  const Read = requiring(OpaqueAuth, ["articles:read"])
  const ask = (auth: unknown) =>
    send(Read.protect(whoami), { headers: bearer("a") }).pipe(
      Effect.provide(
        Read.layer.pipe(
          Layer.provide(
            OpaqueAuth.layer({ authenticate: () => Effect.succeedSome({ user: { id: "ada" }, auth } as any) })
          )
        ) as Layer.Layer<any>
      )
    )

  it.effect("grants nothing where it is no list of scopes, whatever the types were made to say", () =>
    Effect.gen(function*() {
      for (
        const auth of [
          undefined,
          null,
          "articles:read",
          {},
          { scope: undefined },
          { scope: "articles:read" },
          { scope: "xarticles:ready" },
          { scope: { includes: () => true } },
          { scope: new Set(["articles:read"]) },
          { scope: [] },
          { scope: [["articles:read"]] },
          { scope: ["articles:read articles:write"] },
          { scope: ["articles"] },
          { scopes: ["articles:read"] },
          { granted: ["articles:read"] }
        ]
      ) {
        assert.strictEqual((yield* ask(auth)).status, 403, JSON.stringify(auth))
      }
      assert.strictEqual((yield* ask({ scope: ["articles:read"] })).status, 200)
    }))
})

describe("SecurityTest.layerAs", () => {
  const live = (auth?: { readonly scope: ReadonlyArray<Name> }) =>
    WriteArticles.layer.pipe(
      Layer.provide(
        SecurityTest.layerAs(TokenAuth, { id: "grace" }, auth && { auth: { sub: "grace", scope: auth.scope } })
      )
    )
  const ask = (auth?: { readonly scope: ReadonlyArray<Name> }) =>
    Effect.provide(send(WriteArticles.protect(whoami)), live(auth))

  it.effect("plays somebody with these scopes, and one who lacks them is refused without a challenge", () =>
    Effect.gen(function*() {
      const reply = yield* ask({ scope: ["articles:write"] })
      assert.deepStrictEqual([reply.status, reply.body], [200, "grace"])
      const refused = yield* ask({ scope: ["articles:read"] })
      assert.deepStrictEqual([refused.status, refused.headers.get("www-authenticate")], [403, null])
    }))

  it.effect("says so where it was given no scopes, and lets nobody pass", () =>
    Effect.gen(function*() {
      const reply = yield* ask()
      assert.strictEqual(reply.status, 500)
      const defect = Exit.isFailure(reply.exit) ? Cause.pretty(reply.exit.cause) : "no defect"
      assert.include(
        defect,
        "SecurityTest.layerAs: give `auth`, since something reads it from test/scopes/TokenAuth"
      )
    }))
})

describe("firstOf", () => {
  const Write = requiring(Any, ["articles:write"])

  it.scopedLive("has the scopes of the member that decided, and challenges where that is a bearer, everywhere", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const asked: Array<string> = []
        const session = yield* ofSession(asked)
        const token = yield* ofToken(asked)
        const live = Write.layer.pipe(
          Layer.provideMerge(Any.layer() as Layer.Layer<any, never, any>),
          Layer.provideMerge(Layer.mergeAll(session.live, token.live, keyLive(asked)))
        ) as Layer.Layer<any>
        const server = yield* serve(
          surface,
          [get("/write", whoami, Write)].map((route) => ({
            ...route,
            handler: Effect.as(Write.granted, HttpServerResponse.text("written"))
          })),
          live
        )
        const mine = {
          session: yield* session.present("person", ["articles:write"]),
          weakSession: yield* session.present("person", ["articles:read"]),
          token: yield* token.present("program", ["articles:write"]),
          weakToken: yield* token.present("program", ["users:write"]),
          key: keyOf("machine", ["articles:write"]),
          weakKey: keyOf("machine", [])
        }
        const ask = (...presented: ReadonlyArray<Headers>) =>
          Effect.map(
            server.send("/write", { headers: Object.assign({}, ...presented) }),
            ({ headers, status }) => [status, headers["www-authenticate"], ...asked.splice(0)]
          )
        assert.deepStrictEqual(yield* ask(mine.session), [200, undefined, "user person"], label)
        assert.deepStrictEqual(yield* ask(mine.token), [200, undefined, "user program"], label)
        assert.deepStrictEqual(yield* ask(mine.key), [200, undefined, "user machine"], label)
        assert.deepStrictEqual(yield* ask(mine.weakSession), [403, undefined, "user person"], label)
        assert.deepStrictEqual(
          yield* ask(mine.weakToken),
          [403, insufficient("articles:write"), "user program"],
          label
        )
        assert.deepStrictEqual(yield* ask(mine.weakKey), [403, undefined, "user machine"], label)
        // Nobody's scopes are added to another's.
        assert.deepStrictEqual(yield* ask(mine.weakSession, mine.token), [403, undefined, "user person"], label)
        assert.deepStrictEqual(yield* ask(mine.weakSession, mine.key), [403, undefined, "user person"], label)
        assert.deepStrictEqual(
          yield* ask(mine.weakToken, mine.key),
          [403, insufficient("articles:write"), "user program"],
          label
        )
        assert.deepStrictEqual(yield* ask(mine.session, mine.weakToken), [200, undefined, "user person"], label)
        assert.deepStrictEqual((yield* ask()).slice(0, 2), [401, "Cookie, Bearer, ApiKey"], label)
      })))
})

// -----------------------------------------------------------------------------
// HttpApi
// -----------------------------------------------------------------------------

describe("an HttpApi", () => {
  const endpoint = <const Id extends string>(name: Id) =>
    HttpApiEndpoint.get(name, `/${name}`).addSuccess(Schema.String)
  class ReadUsers extends Scopes.Tag<ReadUsers>()("test/ReadUsers", { auth: TokenAuth, scopes: ["users:read"] }) {}
  const api = HttpApi.make("api")
    .add(
      HttpApiGroup.make("one")
        .add(endpoint("scope-first").middleware(WriteArticles).middleware(TokenAuth))
        .add(endpoint("scope-last").middleware(TokenAuth).middleware(WriteArticles))
        .add(endpoint("with-permission").middleware(IsAda).middleware(WriteArticles).middleware(TokenAuth))
        .add(endpoint("two").middleware(WriteArticles).middleware(ReadUsers))
        .add(endpoint("alone").middleware(WriteArticles))
    )
    .add(HttpApiGroup.make("grouped").add(endpoint("grouped")).middleware(WriteArticles))
  const me = Effect.zipRight(WriteArticles.granted, Effect.map(CurrentUser, ({ id }) => id))
  const handlers = Layer.merge(
    HttpApiBuilder.group(api, "one", (handlers) =>
      handlers
        .handle("scope-first", () => me)
        .handle("scope-last", () => me)
        .handle("with-permission", () => Effect.zipRight(IsAda.granted, me))
        .handle("two", () => Effect.as(Effect.zipRight(WriteArticles.granted, ReadUsers.granted), "two"))
        .handle("alone", () => Effect.as(WriteArticles.granted, "alone"))),
    HttpApiBuilder.group(
      api,
      "grouped",
      (handlers) => handlers.handle("grouped", () => Effect.as(WriteArticles.granted, "grouped"))
    )
  )
  const live = (asked: Array<string>) =>
    Layer.mergeAll(
      WriteArticles.layer,
      ReadUsers.layer,
      IsAda.layer(({ id }) => id === "ada" ? Effect.void : Effect.fail(new SecurityError.PermissionDenied()))
    ).pipe(Layer.provideMerge(tokenLive(asked))) as Layer.Layer<any>

  it.scopedLive("requires them at an endpoint and at a group, in any order with the rest, with one look-up", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const { present } = yield* ofToken([])
      const servers = yield* bothApis(api, handlers as Layer.Layer<any, never, any>, live(asked))
      for (const [label, server] of Object.entries(servers)) {
        const ask = (path: string, id: string, ...granted: ReadonlyArray<Name>) =>
          Effect.map(
            Effect.flatMap(present(id, granted), (headers) => server.send(path, { headers })),
            ({ body, headers, status }) => [
              status,
              status === 200 ? JSON.parse(body) : headers["www-authenticate"],
              ...asked.splice(0)
            ]
          )
        for (const path of ["/scope-first", "/scope-last", "/with-permission"]) {
          assert.deepStrictEqual(yield* ask(path, "ada", "articles:write"), [200, "ada", "user ada"], label + path)
          assert.deepStrictEqual(
            yield* ask(path, "ada", "articles:read"),
            [403, insufficient("articles:write"), "user ada"],
            label + path
          )
          assert.deepStrictEqual(
            yield* ask(path, "ghost", "articles:write"),
            [401, "Bearer error=\"invalid_token\"", "user ghost"],
            label + path
          )
        }
        assert.deepStrictEqual(
          yield* ask("/with-permission", "eve", "articles:write"),
          [403, undefined, "user eve"],
          label
        )
        assert.deepStrictEqual(
          yield* ask("/two", "ada", "articles:write", "users:read"),
          [200, "two", "user ada"],
          label
        )
        assert.deepStrictEqual(
          yield* ask("/two", "ada", "articles:write"),
          [403, insufficient("users:read"), "user ada"],
          label
        )
        assert.deepStrictEqual(
          yield* ask("/two", "ada", "users:read"),
          [403, insufficient("articles:write"), "user ada"],
          label
        )
        for (const path of ["/alone", "/grouped"]) {
          assert.deepStrictEqual(
            yield* ask(path, "ada", "articles:write"),
            [200, path.slice(1), "user ada"],
            label + path
          )
          assert.deepStrictEqual(
            yield* ask(path, "ada"),
            [403, insufficient("articles:write"), "user ada"],
            label + path
          )
          assert.deepStrictEqual(yield* Effect.map(server.send(path), ({ status }) => status), 401, label + path)
        }
      }
    }))

  it.scopedLive("requires them at the level of the api", () =>
    Effect.gen(function*() {
      const whole = HttpApi.make("whole").add(HttpApiGroup.make("all").add(endpoint("all"))).middleware(WriteArticles)
      const group = HttpApiBuilder.group(
        whole,
        "all",
        (handlers) => handlers.handle("all", () => Effect.as(WriteArticles.granted, "all") as Effect.Effect<string>)
      )
      const { present } = yield* ofToken([])
      const servers = yield* bothApis(whole, group as Layer.Layer<any, never, any>, live([]))
      for (const [label, server] of Object.entries(servers)) {
        const answers = yield* Effect.forEach(
          [
            {},
            yield* present("ada", ["articles:write"]),
            yield* present("ada", ["users:write"]),
            yield* present("ghost", ["articles:write"])
          ],
          (headers) => Effect.map(server.send("/all", { headers }), (_) => [_.status, _.headers["www-authenticate"]])
        )
        assert.deepStrictEqual(answers, [
          [401, "Bearer"],
          [200, undefined],
          [403, insufficient("articles:write")],
          [401, "Bearer error=\"invalid_token\""]
        ], label)
      }
    }))

  it.scopedLive("has a client that decodes the refusal", () =>
    Effect.gen(function*() {
      const { present } = yield* ofToken([])
      const { HttpApiBuilder: server } = yield* bothApis(api, handlers as Layer.Layer<any, never, any>, live([]))
      const call = (...granted: ReadonlyArray<Name>) =>
        Effect.flatMap(present("ada", granted), (headers) =>
          HttpApiClient.make(api, {
            baseUrl: server.baseUrl,
            transformClient: HttpClient.mapRequest(HttpClientRequest.setHeaders(headers))
          }).pipe(
            Effect.flatMap((client) => client.grouped.grouped()),
            Effect.provide(FetchHttpClient.layer)
          ))
      assert.instanceOf(yield* Effect.flip(call("articles:read")), SecurityError.PermissionDenied)
      assert.strictEqual(yield* call("articles:write"), "grouped")
    }))

  it("and a router say of each route that it is protected by the backend and by what requires the scopes", () => {
    const both = ["test/scopes/TokenAuth", "test/WriteArticles"]
    assert.deepStrictEqual(
      SecurityConfig.routes(HttpRouter.empty.pipe(
        HttpRouter.get("/open", whoami),
        HttpRouter.get("/write", WriteArticles.protect(whoami))
      )),
      [
        { method: "GET", path: "/open", protectedBy: [] },
        { method: "GET", path: "/write", protectedBy: both }
      ]
    )
    const listed = SecurityConfig.routes(api)
    for (const path of ["/alone", "/grouped", "/scope-first"]) {
      assert.deepStrictEqual(listed.find((route) => route.path === path)?.protectedBy, both, path)
    }
    assert.deepStrictEqual(
      listed.find((route) => route.path === "/two")?.protectedBy,
      ["test/scopes/TokenAuth", "test/ReadUsers", "test/WriteArticles"]
    )
  })
})

// -----------------------------------------------------------------------------
// Evidence
// -----------------------------------------------------------------------------

describe("evidence of scopes", () => {
  const live = Layer.merge(WriteArticles.layer, requiring(TokenAuth, ["articles:read"]).layer).pipe(
    Layer.provideMerge(tokenLive())
  )
  const request = () =>
    HttpServerRequest.fromWeb(
      new Request("http://localhost/", { headers: tokenOf("ada", "articles:write articles:read") })
    )
  const run = <A, E>(self: Effect.Effect<A, E, any>, by = request()) =>
    self.pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, by),
      Effect.scoped,
      atNow(live)
    ) as Effect.Effect<
      A,
      E
    >
  const death = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.exit(self), (exit) => Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "it did not die")
  const publish = Effect.as(WriteArticles.granted, "published")
  const tagOf = (permission: unknown): Context.Tag<any, any> => (permission as any).provides

  it.effect("is not there where nobody checked, and is not made by hand", () =>
    Effect.gen(function*() {
      const unchecked = "test/WriteArticles was not checked: what the context holds is no evidence of it"
      assert.include(yield* run(death(publish)), unchecked)
      assert.include(yield* run(death(TokenAuth.protect(publish))), unchecked)
      for (const value of [undefined, true, {}, Object.freeze({}), WriteArticles]) {
        const forged = Effect.provideService(publish, tagOf(WriteArticles), value)
        assert.include(yield* run(death(forged)), unchecked)
      }
    }))

  it.effect("of other scopes, of another request and of one that is over is none", () =>
    Effect.gen(function*() {
      const Other = requiring(TokenAuth, ["articles:read"])
      assert.include(
        yield* run(Effect.flatMap(
          Other.protect(Effect.context<any>()),
          (context) => death(Effect.provideService(publish, tagOf(WriteArticles), Context.get(context, tagOf(Other))))
        )),
        "evidence of another permission"
      )
      const kept = yield* run(WriteArticles.protect(Effect.context<any>()))
      assert.include(
        yield* run(
          death(Effect.provideService(publish, tagOf(WriteArticles), Context.get(kept, tagOf(WriteArticles))))
        ),
        "was checked for another request than the one at hand"
      )
      assert.include(
        yield* death(Effect.provide(publish, kept)),
        "was checked for a request that is over"
      )
      assert.strictEqual(yield* run(WriteArticles.protect(publish)), "published")
    }))

  it.effect("is granted unchecked by unsafeGrant, where there is no request", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* publish.pipe(Permission.unsafeGrant(WriteArticles)), "published")
    }))
})

// -----------------------------------------------------------------------------
// What lasts, and what is seen
// -----------------------------------------------------------------------------

describe("a socket behind required scopes", () => {
  it.effect("ends at the first check after its token has expired, and was let in by one look-up", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const opened = yield* Deferred.make<void>()
      const socket = WriteArticles.protect(
        TokenAuth.whileAuthenticated(Effect.zipRight(Deferred.succeed(opened, undefined), Effect.never))
      )
      yield* Effect.gen(function*() {
        const token = tokenWith({ scope: "articles:write", exp: now + 90 })
        const fiber = yield* Effect.fork(
          Effect.provideService(
            socket,
            HttpServerRequest.HttpServerRequest,
            HttpServerRequest.fromWeb(new Request("http://localhost", { headers: bearer(token) }))
          )
        )
        yield* Deferred.await(opened)
        assert.deepStrictEqual(asked.splice(0), ["user ada"])
        yield* TestClock.adjust("1 minute")
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* Effect.flip(Fiber.join(fiber)), { _tag: "NotAuthorized", reason: "Expired" })
      }).pipe(Effect.scoped, atNow(WriteArticles.layer.pipe(Layer.provideMerge(tokenLive(asked)))))
    }) as Effect.Effect<void>)
})

describe("a refusal", () => {
  it.effect("is a failure that says why, what it depends on and which challenge it is, and is its own response", () =>
    Effect.gen(function*() {
      const by = HttpServerRequest.fromWeb(
        new Request("http://localhost/", { headers: tokenOf("ada", "articles:read") })
      )
      const error = yield* Effect.flip(WriteArticles.protect(whoami)).pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, by),
        atNow(WriteArticles.layer.pipe(Layer.provide(tokenLive())))
      )
      assert.deepInclude(error, {
        _tag: "PermissionDenied",
        reason: "InsufficientScope",
        vary: "Authorization",
        challenge: insufficient("articles:write")
      })
      const { headers, status } = yield* HttpServerRespondable.toResponse(error as SecurityError.PermissionDenied)
      assert.strictEqual(status, 403)
      assert.deepInclude({ ...headers }, {
        vary: "Authorization",
        "cache-control": "no-store",
        "www-authenticate": insufficient("articles:write")
      })
    }))

  it.effect("is published once, with its reason, and said on the span of the request", () =>
    Effect.gen(function*() {
      const events: Array<SecurityEvents.SecurityEvent> = []
      const attributes = new Map<string, unknown>()
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => ({
          _tag: "Span",
          name,
          spanId: "1",
          traceId: "1",
          parent,
          context,
          status: { _tag: "Started", startTime },
          attributes,
          links,
          sampled: true,
          kind,
          attribute: (key, value) => void attributes.set(key, value),
          event: () => undefined,
          end: () => undefined,
          addLinks: () => undefined
        }),
        context: (f) => f()
      })
      const ask = (sent: Sent) =>
        send(WriteArticles.protect(whoami), sent).pipe(
          Effect.provide(WriteArticles.layer.pipe(Layer.provideMerge(tokenLive()))),
          Effect.provide(eventsTo(events)),
          Effect.withTracer(tracer)
        )
      yield* setSeconds(now)
      assert.strictEqual((yield* ask({ headers: tokenOf("ada", "articles:write") })).status, 200)
      assert.deepStrictEqual(events, [])
      assert.strictEqual(attributes.get("effect_security.outcome"), "Authenticated")
      assert.strictEqual((yield* ask({ headers: tokenOf("ada", "articles:read") })).status, 403)
      assert.deepStrictEqual(events.splice(0).map(plainEvent), [{
        _tag: "Rejected",
        backend: "test/WriteArticles",
        error: "PermissionDenied",
        reason: "InsufficientScope"
      }])
      assert.strictEqual(attributes.get("effect_security.outcome"), "PermissionDenied")
      assert.strictEqual(attributes.get("effect_security.reason"), "InsufficientScope")
    }).pipe(Effect.orDie))
})

// -----------------------------------------------------------------------------
// Vocabulary
// -----------------------------------------------------------------------------

describe("a vocabulary", () => {
  const decode = Schema.decodeUnknownEither(scopes.schema)
  const encode = Schema.encodeUnknownEither(scopes.schema)
  const decoded = (input: unknown) => Either.getOrElse(decode(input), () => "refused")
  const encoded = (input: unknown) => Either.getOrElse(encode(input), () => "refused")

  it("comes back as it was written, whatever the scopes", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.constantFrom(...names)), (list) => {
        assert.deepStrictEqual(decoded(encoded(list)), list)
      })
    )
  })

  it("has no scopes but its own, also for those who make some up", () => {
    const made = FastCheck.sample(Arbitrary.make(scopes.schema), 200).flat()
    assert.deepStrictEqual(Array.from(new Set(made)).sort(), [...names].sort())
    assert.deepStrictEqual(FastCheck.sample(Arbitrary.make(Scopes.make({}).schema), 3), [[], [], []])
  })

  it("leaves out what it does not know, and is not misled by spaces and by what every object has", () => {
    for (
      const [text, list] of [
        ["", []],
        [" ", []],
        ["articles:read", ["articles:read"]],
        ["  articles:read   users:read  ", ["articles:read", "users:read"]],
        ["articles:delete articles:read", ["articles:read"]],
        ["Articles:read articles: :read", []],
        ["articles:read\tusers:read", []],
        ["articles:read\nusers:read", []],
        ["articles:read\u00a0", []],
        ["__proto__ constructor toString hasOwnProperty valueOf", []]
      ] as const
    ) {
      assert.deepStrictEqual(decoded(text), list, JSON.stringify(text))
    }
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty", "", "articles:read "]) {
      assert.isFalse(scopes.is(name), name)
    }
    assert.isTrue(scopes.is("articles:read"))
  })

  it("is text and nothing else", () => {
    for (const input of [["articles:read"], 7, null, undefined, {}, true]) {
      assert.strictEqual(decoded(input), "refused", JSON.stringify(input))
    }
  })

  it("writes no scope that is not its own, whatever the types were made to say", () => {
    for (const input of [["articles:delete"], ["articles:read users:write"], [""], ["__proto__"], "articles:read"]) {
      assert.strictEqual(encoded(input), "refused", JSON.stringify(input))
    }
    assert.strictEqual(encoded([]), "")
  })

  it("says what each of its scopes allows", () => {
    assert.deepStrictEqual(scopes.descriptions, {
      "articles:read": "Read articles",
      "articles:write": "Write articles",
      "users:read": "Read users",
      "users:write": "Write users"
    })
  })
})

describe("the Layer of required scopes", () => {
  const layerOf = (required: ReadonlyArray<string>) =>
    Effect.map(
      Effect.exit(
        Effect.scoped(Layer.build(requiring(TokenAuth, required).layer.pipe(Layer.provide(tokenLive()))))
      ),
      (exit) => Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "built"
    )

  it.effect("is there for a list of names that a challenge can say, whatever the types were made to say", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* layerOf(["articles:write"]), "built")
      for (const name of ["", "a b", "a\"b", "a\\b", "a\tb", "a\r\nX-Injected: 1", "\u00e9", "\u2713"]) {
        assert.include(
          yield* layerOf(["articles:write", name]),
          `visible ASCII without quote and backslash, not ${JSON.stringify(name)}`
        )
      }
      assert.include(yield* layerOf([]), "scopes names at least one")
    }))

  it("is one, so that it is built once", () => {
    assert.strictEqual(WriteArticles.layer, WriteArticles.layer)
    assert.deepStrictEqual(WriteArticles.scopes, ["articles:write"])
  })
})
