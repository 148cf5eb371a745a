// Several backends in front of one endpoint: the first whose credential a request carries decides.
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpApiSecurity,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse,
  OpenApi
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Deferred,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Metric,
  Option,
  Redacted,
  Schema,
  Stream,
  TestClock,
  Tracer
} from "effect"
import {
  Guard,
  JwtAuth,
  JwtCookieAuth,
  JwtKeys,
  Permission,
  SecurityConfig,
  SecurityError,
  SecurityEvents,
  SecurityMetrics,
  SessionAuth,
  SessionStore
} from "effect-security"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import * as SecurityTest from "effect-security/SecurityTest"
import { Auth, CurrentUser, loginRoute, makeSessions, signIn, whoami } from "./edge/fixtures.js"
import type { User } from "./edge/fixtures.js"
import { bothApis, get, onNode, post, routerNames, serve, surfaces, webServer } from "./edge/harness.js"
import type { Server } from "./edge/harness.js"
import { memory, send } from "./session/fixtures.js"

// -----------------------------------------------------------------------------
// Members
// -----------------------------------------------------------------------------

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/firstOf/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "X-Service-Key" }),
  user: CurrentUser
}) {}

class TokenAuth extends SecurityConfig.Tag<TokenAuth>()("test/firstOf/TokenAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser,
  auth: Schema.Struct({ scope: Schema.String })
}) {}

class CookieAuth extends SecurityConfig.Tag<CookieAuth>()("test/firstOf/CookieAuth", {
  scheme: SecurityConfig.apiKey({ in: "cookie", key: "service" }),
  user: CurrentUser
}) {}

class BasicAuth extends SecurityConfig.Tag<BasicAuth>()("test/firstOf/BasicAuth", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser
}) {}

class Either extends SecurityConfig.firstOf<Either>()("test/firstOf/Either", [KeyAuth, TokenAuth, Auth]) {}

/** Cookies first, so that what stands behind a session can be seen. */
class SessionFirst extends SecurityConfig.firstOf<SessionFirst>()("test/firstOf/SessionFirst", [Auth, KeyAuth]) {}

/** Which members were asked about a credential. */
type Asked = Array<string>

/** `good` is the member's own user, `denied` somebody whom its guard refuses, `down` an outage, all else nobody. */
const directory = (asked: Asked, member: string) => (secret: string): Effect.Effect<Option.Option<User>, string> =>
  Effect.suspend(() => {
    asked.push(member)
    switch (secret) {
      case "good":
        return Effect.succeedSome({ id: member })
      case "denied":
        return Effect.succeedSome({ id: "denied" })
      case "down":
        return Effect.fail("the directory is down")
      case "slow":
        return Effect.never
      default:
        return Effect.succeedNone
    }
  })

const guards = [Guard.make((user: User) => user.id !== "denied")] as const

const keyLive = (asked: Asked = []) =>
  KeyAuth.layer({ authenticate: (key) => directory(asked, "key")(Redacted.value(key)), guards, timeout: "50 millis" })

const tokenLive = (asked: Asked = []) =>
  TokenAuth.layer({
    authenticate: (token) =>
      Effect.map(
        directory(asked, "token")(Redacted.value(token)),
        Option.map((user) => ({ user, auth: { scope: "read" } }))
      ),
    guards
  })

const cookieLive = (asked: Asked = []) =>
  CookieAuth.layer({ authenticate: (key) => directory(asked, "cookie")(Redacted.value(key)), guards })

const basicLive = (asked: Asked = []) =>
  BasicAuth.layer({
    authenticate: ({ password }) => directory(asked, "basic")(Redacted.value(password)),
    guards
  })

/** Sessions are of whom they name: `down` cannot be looked up, and `denied` is refused by the guard. */
const retrieveUser = (asked: Asked) => ({ userId }: { readonly userId: string }) =>
  Effect.suspend(() => {
    asked.push("session")
    return userId === "down" ? Effect.fail("the directory is down") : Effect.succeedSome({ id: userId })
  })

const sessionLive = (asked: Asked = [], options: SessionAuth.Settings = {}) =>
  Auth.layer({ retrieveUser: retrieveUser(asked), guards, ...options })

const membersLive = (asked: Asked = []) =>
  Layer.mergeAll(keyLive(asked), tokenLive(asked), sessionLive(asked)).pipe(Layer.provideMerge(memory))

const live = (asked: Asked = []) =>
  Layer.mergeAll(Either.layer(), SessionFirst.layer()).pipe(Layer.provideMerge(membersLive(asked)))

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const apiKey = (key: string) => ({ "x-service-key": key })
const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`ada:${password}`).toString("base64")}` })

const secret = Redacted.make(Uint8Array.from({ length: 32 }, (_, index) => index * 7))

/** The `Cookie` header of a new session. */
const session = (userId: string) => Effect.map(SecurityTest.cookie(Auth, { userId }), (cookie) => ({ cookie }))

const failureOf = <E>(exit: Exit.Exit<unknown, E>): E | undefined =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

const varyOf = (vary: string | null | undefined) => (vary ?? "").split(",").map((name) => name.trim()).sort()

/** The challenges of a list of them (RFC 9110 section 11.6.1), each with its parameters. */
const challengesOf = (
  header: string
): ReadonlyArray<readonly [scheme: string, ...parameters: ReadonlyArray<string>]> => {
  const items = header.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []
  const challenges: Array<[string, ...Array<string>]> = []
  for (const item of items.map((item) => item.trim())) {
    const parameter = /^[\w!#$%&'*+.^`|~-]+=(?:[\w!#$%&'*+.^`|~-]+|"(?:[^"\\]|\\.)*")$/
    if (parameter.test(item)) {
      challenges.at(-1)!.push(item)
    } else {
      const [, scheme, rest] = /^([\w!#$%&'*+.^`|~-]+)(?: +(.+))?$/.exec(item)!
      assert.isTrue(rest === undefined || parameter.test(rest), item)
      challenges.push(rest === undefined ? [scheme!] : [scheme!, rest])
    }
  }
  return challenges
}

// -----------------------------------------------------------------------------
// The model: every order of every subset of members, whatever each of them is sent
// -----------------------------------------------------------------------------

type Name = "key" | "token" | "cookie" | "session"
type State = "absent" | "good" | "bad" | "malformed" | "denied" | "down" | "undecodable"

interface Member {
  readonly tag: SecurityConfig.Base<any, any, any, any, any>
  readonly header: string
  readonly challenge: { readonly missing: string; readonly bad: string }
  readonly states: ReadonlyArray<State>
}

const given: ReadonlyArray<State> = ["good", "bad", "malformed", "denied", "down"]

const members: Record<Name, Member> = {
  key: { tag: KeyAuth, header: "X-Service-Key", challenge: { missing: "ApiKey", bad: "ApiKey" }, states: given },
  token: {
    tag: TokenAuth,
    header: "Authorization",
    challenge: { missing: "Bearer", bad: "Bearer error=\"invalid_token\"" },
    states: given
  },
  cookie: { tag: CookieAuth, header: "Cookie", challenge: { missing: "Cookie", bad: "Cookie" }, states: given },
  session: {
    tag: Auth,
    header: "Cookie",
    challenge: { missing: "Cookie", bad: "Cookie" },
    states: [...given, "undecodable"]
  }
}

const names = Object.keys(members) as ReadonlyArray<Name>

/** Every order of every subset. */
const orders = (of: ReadonlyArray<Name> = names): ReadonlyArray<ReadonlyArray<Name>> => [
  [],
  ...of.flatMap((name) => orders(of.filter((other) => other !== name)).map((rest) => [name, ...rest]))
]

type Tag = SecurityConfig.FirstOf<any, any, any, any, any, any>

let count = 0
const firstOf = (...tags: ReadonlyArray<SecurityConfig.Base<any, any, any, any, any>>): Tag =>
  SecurityConfig.firstOf<any>()(`test/firstOf/${count++}`, tags as any) as Tag

interface Guarded {
  readonly path: `/${string}`
  readonly order: ReadonlyArray<Name>
  readonly tag: Tag
  /** Those inside before those outside. */
  readonly all: ReadonlyArray<Tag>
}

const flat: ReadonlyArray<Guarded> = orders().filter((order) => order.length > 0).map((order) => {
  const tag = firstOf(...order.map((name) => members[name].tag))
  return { path: `/${order.join("-")}`, order, tag, all: [tag] }
})

/** The same in front of one another, whose order from left to right is all that counts. */
const nested: ReadonlyArray<Guarded> = flat.filter(({ order }) => order.length === 4).flatMap(({ order }) => {
  const [a, b, c, d] = order.map((name) => members[name].tag) as [Tag, Tag, Tag, Tag]
  const left = firstOf(a, b)
  const right = firstOf(c, d)
  const last = firstOf(b, right)
  const pairs = firstOf(left, right)
  const chain = firstOf(a, last)
  return [
    { path: `/pairs-${order.join("-")}` as const, order, tag: pairs, all: [left, right, pairs] },
    { path: `/chain-${order.join("-")}` as const, order, tag: chain, all: [right, last, chain] }
  ]
})

const guarded = [...flat, ...nested]

const firstOfLive = guarded.flatMap(({ all }) => all).reduce(
  (layer: Layer.Layer<any, never, any>, tag) => Layer.provideMerge(tag.layer(), layer),
  Layer.empty as unknown as Layer.Layer<any, never, any>
)

type States = Readonly<Record<Name, State>>

/** What the model says of a request. */
interface Answer {
  readonly status: number
  readonly user: string | undefined
  readonly challenge: string | undefined
  readonly vary: ReadonlyArray<string>
  readonly asked: ReadonlyArray<string>
}

const statuses: Record<State, number> = {
  absent: 401,
  good: 200,
  bad: 401,
  malformed: 401,
  undecodable: 401,
  denied: 403,
  down: 503
}

const model = (order: ReadonlyArray<Name>, states: States): Answer => {
  const at = order.findIndex((name) => states[name] !== "absent")
  const vary = (names: ReadonlyArray<Name>) => Array.from(new Set(names.map((name) => members[name].header))).sort()
  if (at === -1) {
    const challenges = Array.from(new Set(order.map((name) => members[name].challenge.missing)))
    return { status: 401, user: undefined, challenge: challenges.join(", "), vary: vary(order), asked: [] }
  }
  const name = order[at]!
  const state = states[name]
  const status = statuses[state]
  // Nobody looks for the user of a session that the store does not know.
  const isAsked = state !== "malformed" && state !== "undecodable" && (name !== "session" || state !== "bad")
  return {
    status,
    user: status === 200 ? name : undefined,
    challenge: status === 401 ? members[name].challenge.bad : undefined,
    vary: vary(order.slice(0, at + 1)),
    asked: isAsked ? [name] : []
  }
}

/** The headers of a request in which each member finds what it is to find. */
const headersOf = (states: States, tokens: Readonly<Record<string, string>>): Record<string, string> => {
  const bad = "__Host-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  const cookies = [
    ...states.cookie === "absent"
      ? []
      : states.cookie === "malformed"
      ? ["service=good", "service=good"]
      : [`service=${states.cookie}`],
    ...states.session === "absent"
      ? []
      : states.session === "malformed"
      ? [tokens.good!, tokens.good!]
      : [tokens[states.session] ?? bad]
  ]
  return {
    ...states.key === "absent" ? {} : apiKey(states.key === "malformed" ? "go od" : states.key),
    ...states.token === "absent" ? {} : bearer(states.token === "malformed" ? "good good" : states.token),
    ...cookies.length === 0 ? {} : { cookie: cookies.join("; ") }
  }
}

const statesArbitrary: FastCheck.Arbitrary<States> = FastCheck.record(
  Object.fromEntries(names.map((name) => [
    name,
    FastCheck.oneof(
      { weight: 2, arbitrary: FastCheck.constant<State>("absent") },
      { weight: 3, arbitrary: FastCheck.constantFrom(...members[name].states) }
    )
  ])) as Record<Name, FastCheck.Arbitrary<State>>
)

describe("the first member that finds its credential decides", () => {
  /** A store of which the sessions of `undecodable` come back as nothing that is a session, however often. */
  const sessions = makeSessions((store) => ({
    find: (id) =>
      Effect.map(
        store.find(id),
        Option.map((record) =>
          record.subject === "undecodable" ? new SessionStore.SessionRecord({ ...record, data: "{}" }) : record
        )
      ),
    remove: () => Effect.void
  }))

  for (const surface of surfaces) {
    it.scopedLive(`for every order of every subset, on ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const asked: Asked = []
        const { store } = yield* sessions
        const layer = firstOfLive.pipe(
          Layer.provideMerge(
            Layer.mergeAll(keyLive(asked), tokenLive(asked), cookieLive(asked), sessionLive(asked)).pipe(
              Layer.provide(Layer.succeed(SessionStore.SessionStore, store))
            )
          )
        ) as Layer.Layer<any>
        const server = yield* serve(
          surface,
          [loginRoute, ...guarded.map(({ path, tag }) => get(path, whoami, tag))],
          layer
        )
        const tokens = {
          good: yield* signIn(server, "session"),
          denied: yield* signIn(server, "denied"),
          down: yield* signIn(server, "down"),
          undecodable: yield* signIn(server, "undecodable")
        }
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(FastCheck.constantFrom(...guarded), statesArbitrary, async (route, states) => {
              asked.length = 0
              const reply = await Effect.runPromise(
                server.send(route.path, { headers: headersOf(states, tokens) })
              )
              assert.deepStrictEqual(
                {
                  status: reply.status,
                  user: reply.status === 200 ? reply.body : undefined,
                  challenge: reply.headers["www-authenticate"],
                  vary: varyOf(reply.headers.vary),
                  asked: [...asked]
                },
                model(route.order, states)
              )
              assert.strictEqual(reply.headers["cache-control"], "no-store")
            }),
            {
              numRuns: 100,
              examples: [
                // A credential that its own refusal takes away does not hand the request on.
                [
                  guarded.find(({ path }) => path === "/session-key")!,
                  { key: "good", token: "absent", cookie: "absent", session: "undecodable" }
                ],
                [
                  guarded.find(({ path }) => path === "/pairs-session-cookie-key-token")!,
                  { key: "good", token: "good", cookie: "good", session: "undecodable" }
                ],
                [
                  guarded.find(({ path }) => path === "/key-token-session")!,
                  { key: "down", token: "good", cookie: "absent", session: "good" }
                ]
              ]
            }
          )
        )
      }))
  }

  for (const router of routerNames) {
    it.scopedLive(`and does not hand on a credential that was sent twice, on ${router}`, () =>
      Effect.gen(function*() {
        const asked: Asked = []
        const server = yield* onNode(router, [get("/user", whoami, Either)], live(asked) as Layer.Layer<any>)
        const raw = (...lines: ReadonlyArray<string>) =>
          Effect.map(
            server.raw(
              ["GET /user HTTP/1.1", "Host: localhost", "Connection: close", ...lines, "", ""].join("\r\n")
            ),
            (reply) => [reply.status, reply.headers["www-authenticate"], ...asked]
          )
        const doubled = (line: string) => [line, line]
        assert.deepStrictEqual(
          yield* raw(...doubled("X-Service-Key: good"), "Authorization: Bearer good"),
          [401, "ApiKey"]
        )
        assert.deepStrictEqual(
          yield* raw(...doubled("Authorization: Bearer good"), "Cookie: __Host-session=AAAA"),
          [401, "Bearer error=\"invalid_token\""]
        )
      }))
  }
})

// -----------------------------------------------------------------------------
// Levels of an HttpApi
// -----------------------------------------------------------------------------

describe("an HttpApi takes it on every level", () => {
  const endpoint = HttpApiEndpoint.get("user", "/user").addSuccess(Schema.String)
  const levels: Record<string, HttpApi.HttpApi.Any> = {
    "an endpoint": HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint.middleware(Either))),
    "a group": HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint).middleware(Either)),
    "the api": HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint)).middleware(Either),
    "all of them": HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint.middleware(Either)).middleware(Either))
      .middleware(Either),
    "an endpoint, its member in front of the group": HttpApi.make("api").add(
      HttpApiGroup.make("a").add(endpoint.middleware(Either)).middleware(KeyAuth)
    )
  }
  const handlersOf = (api: HttpApi.HttpApi.Any) =>
    HttpApiBuilder.group(
      api as any,
      "a" as never,
      (handlers: any) => handlers.handle("user", () => Effect.map(CurrentUser, ({ id }) => id))
    ) as Layer.Layer<any, never, any>

  for (const [level, api] of Object.entries(levels)) {
    it.scopedLive(level, () =>
      Effect.gen(function*() {
        const asked: Asked = []
        const layer = live(asked) as Layer.Layer<any>
        const web = yield* webServer((logged) =>
          HttpApiBuilder.toWebHandler(
            Layer.mergeAll(
              Layer.provide(HttpApiBuilder.api(api as any), handlersOf(api)),
              HttpServer.layerContext
            ).pipe(Layer.provideMerge(Layer.provideMerge(layer, logged))) as any
          )
        )
        const servers: Record<string, Server> = { ...yield* bothApis(api, handlersOf(api), layer), web }
        const needsKey = level.includes("its member")
        for (const [title, server] of Object.entries(servers)) {
          const answer = (headers: Record<string, string>) =>
            Effect.suspend(() => {
              asked.length = 0
              return Effect.map(server.send("/user", { headers }), (reply) => [
                reply.status,
                reply.status === 200 ? JSON.parse(reply.body) : reply.headers["www-authenticate"],
                ...asked
              ])
            })
          const label = `${level} ${title}`
          assert.deepStrictEqual(yield* answer({ ...apiKey("good"), ...bearer("good") }), [200, "key", "key"], label)
          assert.deepStrictEqual(yield* answer({ ...apiKey("bad"), ...bearer("good") }), [401, "ApiKey", "key"], label)
          assert.deepStrictEqual(
            yield* answer({ ...apiKey("down"), ...bearer("good") }),
            [503, undefined, "key"],
            label
          )
          assert.deepStrictEqual(
            yield* answer({ ...apiKey("slow"), ...bearer("good") }),
            [503, undefined, "key"],
            label
          )
          assert.deepStrictEqual(
            yield* answer({ ...apiKey("denied"), ...bearer("good") }),
            [403, undefined, "key"],
            label
          )
          const withoutKey = yield* answer(bearer("good"))
          assert.deepStrictEqual(withoutKey, needsKey ? [401, "ApiKey", "token"] : [200, "token", "token"], label)
          const withoutAny = yield* answer({})
          assert.deepStrictEqual(withoutAny, [401, "ApiKey, Bearer, Cookie"], label)
        }
      }))
  }

  it.scopedLive("and whatever order it tries the schemes in", () =>
    Effect.gen(function*() {
      // Names that are whole numbers come first in a record, the least before the others.
      class Second extends SecurityConfig.Tag<Second>()("test/firstOf/Second", {
        scheme: HttpApiSecurity.bearer,
        user: CurrentUser,
        name: "1"
      }) {}
      class First extends SecurityConfig.Tag<First>()("test/firstOf/First", {
        scheme: SecurityConfig.apiKey({ in: "header", key: "X-First" }),
        user: CurrentUser,
        name: "2"
      }) {}
      class Numbered extends SecurityConfig.firstOf<Numbered>()("test/firstOf/Numbered", [First, Second]) {}
      assert.deepStrictEqual(Object.keys(Numbered.security), ["1", "2"])
      const asked: Asked = []
      const layer = Numbered.layer().pipe(Layer.provide([
        First.layer({ authenticate: (key) => directory(asked, "first")(Redacted.value(key)) }),
        Second.layer({ authenticate: (token) => directory(asked, "second")(Redacted.value(token)) })
      ]))
      const server = yield* serve(["HttpApi", "web"], [get("/user", whoami, Numbered)], layer as Layer.Layer<any>)
      for (const [key, status] of [["down", 503], ["bad", 401], ["good", 200]] as const) {
        asked.length = 0
        const reply = yield* server.send("/user", { headers: { "x-first": key, ...bearer("good") } })
        assert.deepStrictEqual([reply.status, ...asked], [status, "first"])
      }
    }))
})

// -----------------------------------------------------------------------------
// Outages
// -----------------------------------------------------------------------------

describe("an outage of the member that decides is nobody else's to answer", () => {
  it.effect("where the session store is down", () => {
    const asked: Asked = []
    let isDown = false
    const store = Layer.map(memory, (context) => {
      const service = context.unsafeMap.get(SessionStore.SessionStore.key) as SessionStore.Service
      const find: SessionStore.Service["find"] = (id) =>
        isDown ? Effect.fail(new SecurityError.SecurityUnavailable()) : service.find(id)
      context.unsafeMap.set(SessionStore.SessionStore.key, { ...service, find })
      return context
    })
    return Effect.gen(function*() {
      const headers = { ...yield* session("ada"), ...apiKey("good") }
      assert.strictEqual((yield* send(SessionFirst.protect(whoami), { headers })).body, "ada")
      isDown = true
      asked.length = 0
      assert.strictEqual((yield* send(SessionFirst.protect(whoami), { headers })).status, 503)
      const option = yield* send(SessionFirst.userOption, { headers })
      assert.strictEqual(failureOf(option.exit)?._tag, "SecurityUnavailable")
      assert.deepStrictEqual(asked, [])
    }).pipe(
      Effect.provide(
        SessionFirst.layer().pipe(
          Layer.provideMerge(Layer.merge(keyLive(asked), sessionLive(asked)).pipe(Layer.provideMerge(store)))
        )
      )
    )
  })

  it.effect("where it does not answer, and as long as it does not, nobody else is asked", () => {
    const asked: Asked = []
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(
        send(Either.protect(whoami), { headers: { ...apiKey("slow"), ...bearer("good") } })
      )
      yield* TestClock.adjust("49 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      assert.deepStrictEqual(asked, ["key"])
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 503)
      assert.deepStrictEqual(asked, ["key"])
    }).pipe(Effect.provide(live(asked)))
  })
})

// -----------------------------------------------------------------------------
// Challenges
// -----------------------------------------------------------------------------

describe("the challenge", () => {
  class All extends SecurityConfig.firstOf<All>()("test/firstOf/All", [BasicAuth, KeyAuth, TokenAuth, Auth]) {}
  const allLive = All.layer().pipe(Layer.provideMerge(Layer.merge(membersLive(), basicLive())))

  it.effect("of a request without a credential lists those of all members", () =>
    Effect.gen(function*() {
      const reply = yield* send(All.user)
      assert.strictEqual(reply.status, 401)
      assert.deepStrictEqual(challengesOf(reply.headers.get("www-authenticate")!), [
        ["Basic", "realm=\"BasicAuth\"", "charset=\"UTF-8\""],
        ["ApiKey"],
        ["Bearer"],
        ["Cookie"]
      ])
      assert.strictEqual((failureOf(reply.exit) as SecurityError.NotAuthorized).reason, "NoCredential")
      assert.strictEqual(reply.headers.get("content-type"), "application/problem+json")
      assert.strictEqual(reply.headers.get("cache-control"), "no-store")
    }).pipe(Effect.provide(allLive)))

  it.effect("of a bad one is that of the member whose credential it is", () =>
    Effect.gen(function*() {
      for (
        const [headers, challenges] of [
          [basic("bad"), [["Basic", "realm=\"BasicAuth\"", "charset=\"UTF-8\""]]],
          [bearer("bad"), [["Bearer", "error=\"invalid_token\""]]],
          [apiKey("bad"), [["ApiKey"]]],
          [{ cookie: "__Host-session=bad" }, [["Cookie"]]]
        ] as const
      ) {
        const reply = yield* send(All.user, { headers })
        assert.deepStrictEqual(challengesOf(reply.headers.get("www-authenticate")!), challenges as any)
      }
    }).pipe(Effect.provide(allLive)))

  it.effect("is listed once where two members have the same, and `Vary` names their header once", () => {
    class Other extends SecurityConfig.Tag<Other>()("test/firstOf/Other", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser
    }) {}
    const Both = firstOf(Other, TokenAuth)
    return Effect.gen(function*() {
      const reply = yield* send(Both.user)
      assert.strictEqual(reply.headers.get("www-authenticate"), "Bearer")
      assert.strictEqual(reply.headers.get("vary"), "Authorization")
    }).pipe(
      Effect.provide(
        Both.layer().pipe(
          Layer.provide([Other.layer({ authenticate: () => Effect.succeedNone }), tokenLive()])
        )
      )
    ) as Effect.Effect<void>
  })

  it.effect("is not left behind by `userOption`, and is there again when the same request is then refused", () =>
    Effect.gen(function*() {
      const own = Effect.as(Either.userOption, HttpServerResponse.empty({ status: 401 }))
      for (const headers of [{}, apiKey("bad"), bearer("bad")]) {
        // A 401 of the handler's own is taken for one of a cookie.
        assert.strictEqual((yield* send(own, { headers })).headers.get("www-authenticate"), "Cookie")
      }
      const asks = Effect.zipRight(
        Either.userOption,
        Effect.catchAll(Either.user, () => Effect.succeed(HttpServerResponse.empty({ status: 401 })))
      )
      assert.strictEqual(
        (yield* send(asks)).headers.get("www-authenticate"),
        "ApiKey, Bearer, Cookie"
      )
      assert.strictEqual((yield* send(asks, { headers: apiKey("bad") })).headers.get("www-authenticate"), "ApiKey")
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Cross-site requests
// -----------------------------------------------------------------------------

for (const surface of surfaces) {
  it.scopedLive(`an unsafe cross-site request passes by its token and not by its cookie, ${surface.join(" on ")}`, () =>
    Effect.gen(function*() {
      const server = yield* serve(
        surface,
        [loginRoute, post("/order", whoami, Either)],
        live() as Layer.Layer<any>
      )
      const cookie = yield* signIn(server)
      const order = (headers: Record<string, string>) =>
        Effect.map(
          server.send("/order", { method: "POST", headers: { origin: "https://evil.example", ...headers } }),
          ({ body, status }) => [status, ...status === 200 ? [body] : []]
        )
      assert.deepStrictEqual(yield* order({ ...bearer("good"), cookie }), [200, "token"])
      assert.deepStrictEqual(yield* order({ cookie }), [403])
      // A bad token does not make a cookie of another site's request good.
      assert.deepStrictEqual(yield* order({ ...bearer("bad"), cookie }), [401])
      assert.deepStrictEqual(yield* order({ cookie, origin: "http://localhost" }), [200, "ada"])
    }))
}

// -----------------------------------------------------------------------------
// One request
// -----------------------------------------------------------------------------

describe("in one request", () => {
  const idOf = Option.match({ onNone: () => "nobody", onSome: ({ id }: User) => id })

  it.effect("what a member signs in or out is seen at once", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const look = Effect.map(SessionFirst.userOption, (user) => seen.push(idOf(user)))
      const handler = Effect.all([
        look,
        Auth.logout,
        look,
        Auth.login({ userId: "grace" }),
        look,
        Auth.logout,
        look
      ])
      const headers = yield* session("ada")
      yield* send(handler, { method: "POST", headers: { ...headers, ...apiKey("good") } })
      assert.deepStrictEqual(seen, ["ada", "key", "grace", "key"])
      seen.length = 0
      yield* send(handler, { method: "POST", headers: yield* session("ada") })
      assert.deepStrictEqual(seen, ["ada", "nobody", "grace", "nobody"])
      seen.length = 0
      yield* send(handler, { method: "POST" })
      assert.deepStrictEqual(seen, ["nobody", "nobody", "grace", "nobody"])
    }).pipe(Effect.provide(live())))

  it.effect("a credential that its refusal takes away decides until somebody signs in", () => {
    const lines: Array<string> = []
    return Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const headers = { ...yield* session("ada"), ...apiKey("good") }
      const [record] = yield* store.listBySubject(Auth.key, "ada")
      yield* store.update(new SessionStore.SessionRecord({ ...record!, data: "{}" }))
      const look = Effect.match(SessionFirst.user, {
        onFailure: (error) => lines.push(`${error._tag} ${error.message}`),
        onSuccess: ({ id }) => lines.push(id)
      })
      const handler = Effect.all([
        SessionFirst.userOption,
        look,
        look,
        Auth.login({ userId: "grace" }),
        look,
        Auth.logout,
        look
      ])
      // Whoever asks for it again is challenged as the first time, whatever was asked in between.
      const asks = [SessionFirst.userOption, Effect.either(TokenAuth.user), Effect.either(SessionFirst.user)] as const
      const reply = yield* send(Effect.as(Effect.all(asks), HttpServerResponse.empty({ status: 401 })), {
        headers: { ...headers, ...bearer("bad") }
      })
      assert.strictEqual(reply.headers.get("www-authenticate"), "Cookie")
      yield* store.create(record!)
      yield* store.update(new SessionStore.SessionRecord({ ...record!, data: "{}" }))
      yield* send(handler, { method: "POST", headers })
      assert.deepStrictEqual(lines, [
        "NotAuthorized UndecodableSession",
        "NotAuthorized UndecodableSession",
        "grace",
        "key"
      ])
    }).pipe(Effect.provide(live()))
  })

  it.effect("parallel fibers see the same member", () => {
    const asked: Asked = []
    return Effect.gen(function*() {
      const many = (headers: Record<string, string>) =>
        send(
          Effect.all(Array.from({ length: 20 }, () => Effect.either(Either.user)), { concurrency: "unbounded" }),
          { headers }
        )
      const good = yield* many({ ...bearer("good"), ...yield* session("ada") })
      assert.isTrue(Exit.isSuccess(good.exit))
      const ids = Exit.isSuccess(good.exit)
        ? good.exit.value.map((either) => either._tag === "Right" && either.right.id)
        : []
      assert.deepStrictEqual(new Set(ids), new Set(["token"]))
      asked.length = 0
      yield* many({ ...apiKey("bad"), ...yield* session("ada") })
      assert.deepStrictEqual(new Set(asked), new Set(["key"]))
    }).pipe(Effect.provide(live(asked)))
  })

  it.effect("a backend is asked once, beside itself and whatever asks", () => {
    const asked: Asked = []
    const Again = firstOf(TokenAuth, KeyAuth)
    const handler = Effect.as(
      Effect.all([Either.user, KeyAuth.user, Either.authenticated, SessionFirst.userOption, Again.user]),
      HttpServerResponse.empty()
    )
    const app = KeyAuth.middleware(Either.protect(KeyAuth.protect(Either.protect(handler))) as any)
    return Effect.gen(function*() {
      assert.strictEqual((yield* send(app, { headers: apiKey("good") })).status, 204)
      assert.deepStrictEqual(asked, ["key"])
      asked.length = 0
      const refused = Effect.all([Effect.either(Either.user), Either.userOption, Effect.either(KeyAuth.user)])
      yield* send(refused, { headers: { ...apiKey("bad"), ...bearer("good") } })
      assert.deepStrictEqual(asked, ["key"])
    }).pipe(Effect.provide(Layer.provideMerge(Again.layer(), live(asked)))) as Effect.Effect<void>
  })

  it.effect("`authenticated` has what the credential of the member that decided says", () =>
    Effect.gen(function*() {
      const found = (headers: Record<string, string>) =>
        Effect.map(send(Either.authenticated, { headers }), ({ exit }) => exit)
      assert.deepStrictEqual(
        yield* found(apiKey("good")),
        Exit.succeed({ user: { id: "key" }, auth: undefined as never })
      )
      assert.deepStrictEqual(
        yield* found(bearer("good")),
        Exit.succeed({ user: { id: "token" }, auth: { scope: "read" } })
      )
      assert.deepStrictEqual(
        yield* found(yield* session("ada")),
        Exit.succeed({ user: { id: "ada" }, auth: { userId: "ada" } })
      )
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// A token in a header or in a cookie
// -----------------------------------------------------------------------------

describe("a token in a header or in a cookie", () => {
  const claims = Schema.Struct({ sub: Schema.String })
  class HeaderToken extends JwtAuth.Tag<HeaderToken>()("test/firstOf/HeaderToken", { user: CurrentUser, claims }) {}
  class CookieToken extends JwtAuth.Tag<CookieToken>()("test/firstOf/CookieToken", {
    user: CurrentUser,
    claims,
    name: "cookieToken"
  }) {}
  class Somewhere extends SecurityConfig.firstOf<Somewhere>()("test/firstOf/Somewhere", [HeaderToken, CookieToken]) {}
  const options = {
    algorithms: ["HS256"],
    issuer: "https://app.example.com",
    audience: "https://app.example.com",
    retrieveUser: ({ sub }: { readonly sub: string }) => Effect.succeedSome({ id: sub })
  } as const
  const tokensLive = Somewhere.layer().pipe(
    Layer.provideMerge(
      Layer.merge(
        JwtAuth.layer(HeaderToken, { ...options, lifetime: "10 minutes" }),
        JwtCookieAuth.layer(CookieToken, { ...options, lifetime: "1 day" })
      )
    ),
    Layer.provide(JwtKeys.layer(JwtKeysJose.hmac(secret)))
  )

  it.effect("is read from either, and one that has expired in the header is not replaced by the cookie", () =>
    Effect.gen(function*() {
      const header = yield* SecurityTest.headers(HeaderToken, { sub: "ada" })
      const cookie = yield* SecurityTest.headers(CookieToken, { sub: "grace" })
      const body = (headers: Record<string, string>) =>
        Effect.map(send(Somewhere.protect(whoami), { headers }), ({ body, status }) => status === 200 ? body : status)
      assert.strictEqual(yield* body(header), "ada")
      assert.strictEqual(yield* body(cookie), "grace")
      assert.strictEqual(yield* body({ ...cookie, ...header }), "ada")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* body({ ...cookie, ...header }), 401)
      assert.strictEqual(yield* body(cookie), "grace")
    }).pipe(Effect.provide(tokensLive)))

  it.effect("is seen as soon as the request itself grants it", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const look = Effect.map(Somewhere.userOption, (user) =>
        seen.push(Option.match(user, { onNone: () => "nobody", onSome: ({ id }) => id })))
      yield* send(
        Effect.all([
          look,
          CookieToken.login({ sub: "grace" }),
          look,
          HeaderToken.login({ sub: "ada" }),
          look,
          HeaderToken.logout,
          look,
          CookieToken.logout,
          look
        ]),
        { method: "POST" }
      )
      assert.deepStrictEqual(seen, ["nobody", "grace", "ada", "grace", "nobody"])
      seen.length = 0
      // What was refused is not held against what replaces it.
      yield* send(Effect.all([look, HeaderToken.login({ sub: "ada" }), look, HeaderToken.logout, look]), {
        method: "POST",
        headers: { ...yield* SecurityTest.headers(CookieToken, { sub: "grace" }), ...bearer("bad") }
      })
      assert.deepStrictEqual(seen, ["nobody", "ada", "grace"])
    }).pipe(Effect.provide(tokensLive)))
})

// -----------------------------------------------------------------------------
// What lasts longer than a request
// -----------------------------------------------------------------------------

describe("whileAuthenticated", () => {
  /** A socket of a request, which does what it is told inside and then stays. */
  const open = (headers: Record<string, string>, inside: Effect.Effect<unknown, unknown, any> = Effect.void) =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const request = HttpServerRequest.fromWeb(
        new Request("https://app.example.com/", { method: "POST", headers })
      )
      const fiber = yield* Effect.fork(
        SessionFirst.whileAuthenticated(
          inside.pipe(
            Effect.orDie,
            Effect.zipRight(Deferred.succeed(started, undefined)),
            Effect.zipRight(Effect.never)
          )
        ).pipe(Effect.provideService(HttpServerRequest.HttpServerRequest, request))
      ) as Effect.Effect<Fiber.RuntimeFiber<never, SecurityError.SecurityError>, never, any>
      yield* Effect.raceFirst(Deferred.await(started), Fiber.join(fiber))
      return {
        isOpen: Effect.map(Fiber.poll(fiber), Option.isNone),
        failure: Effect.flip(Fiber.join(fiber)),
        interrupt: Fiber.interrupt(fiber)
      }
    }) as Effect.Effect<
      {
        readonly isOpen: Effect.Effect<boolean>
        readonly failure: Effect.Effect<SecurityError.SecurityError>
        readonly interrupt: Effect.Effect<unknown>
      }
    >

  it.effect("ends when the session that let it in ends, though the key beside it is still good", () => {
    const asked: Asked = []
    return Effect.gen(function*() {
      const socket = yield* open({ ...yield* session("ada"), ...apiKey("good") })
      yield* TestClock.adjust("5 minutes")
      assert.isTrue(yield* socket.isOpen)
      yield* Auth.revokeSubject("ada")
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* socket.isOpen)
      assert.strictEqual((yield* socket.failure).message, "UnknownSession")
      assert.notInclude(asked, "key")
    }).pipe(Effect.provide(live(asked)))
  })

  it.effect("ends also when it was this request that ended it", () => {
    const asked: Asked = []
    return Effect.gen(function*() {
      const headers = Effect.map(session("ada"), (cookie) => ({ ...cookie, ...apiKey("good") }))
      const socket = yield* open(yield* headers, Auth.logout)
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* socket.isOpen)
      assert.strictEqual((yield* socket.failure)._tag, "NotAuthorized")
      assert.notInclude(asked, "key")
      // Somebody else in the request who asks after that is let in by the key, and changes nothing of it.
      const other = yield* open(yield* headers, Effect.zipRight(Auth.logout, SessionFirst.user))
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* other.isOpen)
    }).pipe(Effect.provide(live(asked)))
  })

  it.effect("ends with the key that let it in, though somebody has signed in meanwhile", () => {
    let isRevoked = false
    const key = KeyAuth.layer({
      authenticate: () => Effect.sync(() => isRevoked ? Option.none() : Option.some({ id: "key" }))
    })
    return Effect.gen(function*() {
      const socket = yield* open(apiKey("any"), Auth.login({ userId: "ada" }))
      yield* TestClock.adjust("5 minutes")
      assert.isTrue(yield* socket.isOpen)
      isRevoked = true
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* socket.isOpen)
      assert.strictEqual((yield* socket.failure).message, "UnknownUser")
    }).pipe(
      Effect.provide(
        SessionFirst.layer().pipe(Layer.provideMerge(Layer.merge(key, sessionLive())), Layer.provideMerge(memory))
      )
    )
  })

  it.effect("waits one outage of its own member out, and asks no other meanwhile", () => {
    const asked: Asked = []
    let isDown = false
    const key = KeyAuth.layer({
      authenticate: () => isDown ? Effect.fail("down") : Effect.succeedSome({ id: "key" })
    })
    const Tokens = firstOf(KeyAuth, TokenAuth)
    return Effect.gen(function*() {
      const request = HttpServerRequest.fromWeb(
        new Request("https://app.example.com/", { headers: { ...apiKey("any"), ...bearer("good") } })
      )
      const fiber = yield* Effect.fork(
        Effect.provideService(
          Tokens.whileAuthenticated(Effect.never),
          HttpServerRequest.HttpServerRequest,
          request
        )
      )
      yield* TestClock.adjust("30 seconds")
      isDown = true
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "SecurityUnavailable")
      assert.deepStrictEqual(asked, [])
    }).pipe(
      Effect.provide(Tokens.layer().pipe(Layer.provide([key, tokenLive(asked)])))
    ) as unknown as Effect.Effect<void>
  })

  it.effect("stays when what ends is a credential that did not decide", () =>
    Effect.gen(function*() {
      const headers = yield* session("ada")
      const Keys = firstOf(KeyAuth, Auth)
      const request = HttpServerRequest.fromWeb(
        new Request("https://app.example.com/", { headers: { ...headers, ...apiKey("good") } })
      )
      const fiber = yield* Effect.fork(
        Keys.whileAuthenticated(Effect.never).pipe(
          Effect.provideService(HttpServerRequest.HttpServerRequest, request),
          Effect.provide(Keys.layer())
        )
      )
      yield* TestClock.adjust("1 minute")
      yield* Auth.revokeSubject("ada")
      yield* TestClock.adjust("10 minutes")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(live())) as Effect.Effect<void>)

  it.effect("is for nobody where no member let the request in", () =>
    Effect.gen(function*() {
      let ran = false
      const handler = SessionFirst.whileAuthenticated(Effect.sync(() => {
        ran = true
      }))
      assert.strictEqual((yield* send(handler)).headers.get("www-authenticate"), "Cookie, ApiKey")
      assert.strictEqual(
        (yield* send(handler, { headers: { ...apiKey("good"), cookie: "__Host-session=x" } })).status,
        401
      )
      assert.isFalse(ran)
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// The gate, the list of routes and permissions
// -----------------------------------------------------------------------------

describe("the app-wide gate", () => {
  class Gate extends SecurityConfig.firstOf<Gate>()("test/firstOf/Gate", [KeyAuth, Auth]) {}
  const gateLive = Gate.layer({ exclude: ["/open"] }).pipe(
    Layer.provideMerge(
      Layer.merge(
        KeyAuth.layer({
          authenticate: (key) => directory([], "key")(Redacted.value(key)),
          // Its own gate's alone.
          exclude: ["/closed"]
        }),
        sessionLive()
      ).pipe(Layer.provideMerge(memory))
    )
  )
  const ok = Effect.succeed(HttpServerResponse.text("ok"))
  const router = HttpRouter.empty.pipe(
    HttpRouter.get("/open", ok),
    HttpRouter.get("/closed", ok),
    HttpRouter.get("/mine", Gate.protect(whoami))
  )

  it.effect("lets in whom a member knows, and reads its own `exclude` and that of no member", () =>
    Effect.gen(function*() {
      const app = Gate.middleware(router)
      const status = (path: string, headers: Record<string, string> = {}) =>
        Effect.map(send(app, { url: `https://app.example.com${path}`, headers }), (reply) => reply.status)
      assert.strictEqual(yield* status("/open"), 200)
      assert.strictEqual(yield* status("/closed"), 401)
      assert.strictEqual(yield* status("/nowhere"), 401)
      assert.strictEqual(yield* status("/closed", apiKey("good")), 200)
      assert.strictEqual(yield* status("/closed", yield* session("ada")), 200)
      assert.strictEqual(yield* status("/closed", { ...apiKey("bad"), ...yield* session("ada") }), 401)
      assert.strictEqual(yield* status("/nowhere", apiKey("good")), 404)
      assert.strictEqual(
        (yield* send(app, { url: "https://app.example.com/mine", headers: yield* session("ada") })).body,
        "ada"
      )
    }).pipe(Effect.provide(gateLive)))

  it.effect("is listed with the routes by its own key", () =>
    Effect.gen(function*() {
      const listed = (routes: ReadonlyArray<SecurityConfig.Route>) =>
        Object.fromEntries(routes.map(({ path, protectedBy }) => [path, protectedBy]))
      assert.deepStrictEqual(listed(yield* Gate.routes(router)), {
        "/open": [],
        "/closed": [Gate.key],
        "/mine": [Gate.key]
      })
      assert.deepStrictEqual(listed(SecurityConfig.routes(router)), {
        "/open": [],
        "/closed": [],
        "/mine": [Gate.key]
      })
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("a").add(HttpApiEndpoint.get("user", "/user").middleware(Gate)).middleware(KeyAuth)
      )
      assert.deepStrictEqual(
        new Set(listed(SecurityConfig.routes(api))["/user"]),
        new Set([Gate.key, KeyAuth.key])
      )
    }).pipe(Effect.provide(gateLive)))
})

it.effect("a permission may be about the users of all members", () => {
  class Read extends Permission.Tag<Read>()("test/firstOf/Read", { auth: Either }) {}
  const handler = Read.protect(Effect.zipRight(Read.granted, whoami))
  const permissionLive = Read.layer(Guard.make((user) => user.id !== "token"))
  return Effect.gen(function*() {
    const reply = (headers: Record<string, string>) =>
      Effect.map(send(handler, { headers }), ({ body, status }) => [status, ...status === 200 ? [body] : []])
    assert.deepStrictEqual(yield* reply(apiKey("good")), [200, "key"])
    assert.deepStrictEqual(yield* reply(yield* session("ada")), [200, "ada"])
    assert.deepStrictEqual(yield* reply(bearer("good")), [403])
    assert.deepStrictEqual(yield* reply({ ...bearer("good"), ...yield* session("ada") }), [403])
    assert.deepStrictEqual(yield* reply(bearer("bad")), [401])
    const denied = yield* send(handler, { headers: bearer("good") })
    assert.deepStrictEqual(varyOf(denied.headers.get("vary")), ["Authorization", "X-Service-Key"])
    assert.strictEqual((yield* send(handler)).headers.get("www-authenticate"), "ApiKey, Bearer, Cookie")
  }).pipe(Effect.provide(Layer.provideMerge(permissionLive, live())))
})

// -----------------------------------------------------------------------------
// Members and their Layers
// -----------------------------------------------------------------------------

describe("its members", () => {
  it.effect("may read the same place: the first of them decides, and the other is never asked", () => {
    class Other extends SecurityConfig.Tag<Other>()("test/firstOf/SamePlace", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser
    }) {}
    const asked: Asked = []
    const Both = firstOf(TokenAuth, Other)
    return Effect.gen(function*() {
      const status = (token: string) => Effect.map(send(Both.user, { headers: bearer(token) }), (_) => _.status)
      assert.deepStrictEqual(yield* Effect.all([status("good"), status("bad"), status("down")]), [204, 401, 503])
      assert.deepStrictEqual(asked, ["token", "token", "token"])
    }).pipe(
      Effect.provide(
        Both.layer().pipe(
          Layer.provide([
            tokenLive(asked),
            Other.layer({ authenticate: () => Effect.sync(() => (asked.push("other"), Option.some({ id: "other" }))) })
          ])
        )
      )
    ) as Effect.Effect<void>
  })

  it.effect("share no scheme's name, or its Layer dies with a sentence", () => {
    class Renamed extends SecurityConfig.Tag<Renamed>()("test/firstOf/Renamed", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser,
      name: "KeyAuth"
    }) {}
    class Same extends SecurityConfig.firstOf<Same>()("test/firstOf/Same", [KeyAuth, Renamed]) {}
    class Deep extends SecurityConfig.firstOf<Deep>()("test/firstOf/Deep", [Either, Renamed]) {}
    class Twice extends SecurityConfig.firstOf<Twice>()("test/firstOf/Twice", [KeyAuth, KeyAuth]) {}
    const members = Layer.provideMerge(Renamed.layer({ authenticate: () => Effect.succeedNone }), live())
    const sentence = (layer: Layer.Layer<any, never, any>) =>
      Effect.map(
        Effect.exit(Effect.scoped(Layer.build(Layer.provide(layer, members)))) as Effect.Effect<Exit.Exit<unknown>>,
        (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.pretty(exit.cause) : "alive"
      )
    return Effect.gen(function*() {
      for (const tag of [Same, Deep, Twice]) {
        assert.include(
          yield* sentence(tag.layer()),
          `${tag.key}: two members share the scheme name "KeyAuth": give one of them another \`name\``
        )
      }
    })
  })

  it.effect("may be one", () => {
    const One = firstOf(TokenAuth)
    return Effect.gen(function*() {
      const reply = yield* send(One.user)
      assert.deepStrictEqual([reply.status, reply.headers.get("www-authenticate")], [401, "Bearer"])
      assert.strictEqual((yield* send(One.protect(whoami), { headers: bearer("good") })).body, "token")
    }).pipe(Effect.provide(One.layer().pipe(Layer.provide(tokenLive())))) as Effect.Effect<void>
  })

  it.effect("may be played by SecurityTest, which then decides unless one before it finds its credential", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send(Either.protect(whoami))).body, "grace")
      assert.strictEqual((yield* send(Either.protect(whoami), { headers: bearer("bad") })).body, "grace")
      assert.strictEqual((yield* send(Either.protect(whoami), { headers: apiKey("good") })).body, "key")
      assert.strictEqual((yield* send(Either.protect(whoami), { headers: apiKey("bad") })).status, 401)
      const found = yield* send(Either.authenticated)
      assert.deepStrictEqual(found.exit, Exit.succeed({ user: { id: "grace" }, auth: { scope: "all" } }))
    }).pipe(
      Effect.provide(
        Either.layer().pipe(Layer.provide([
          keyLive(),
          SecurityTest.layerAs(TokenAuth, { id: "grace" }, { auth: { scope: "all" } }),
          Layer.provide(sessionLive(), memory)
        ]))
      )
    ))

  for (const surface of surfaces) {
    it.scopedLive(`need no Layer where SecurityTest plays all of them, on ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const server = yield* serve(
          surface,
          [get("/user", whoami, Either)],
          SecurityTest.layerAs(Either, { id: "grace" }) as Layer.Layer<any>
        )
        for (const headers of [{}, apiKey("bad"), bearer("good")]) {
          assert.strictEqual((yield* server.send("/user", { headers })).body, "grace")
        }
      }))
  }
})

// -----------------------------------------------------------------------------
// OpenAPI
// -----------------------------------------------------------------------------

describe("OpenAPI", () => {
  const endpoint = (name: string) => HttpApiEndpoint.get(name, `/${name}`).addSuccess(HttpApiSchema.NoContent)
  const alternatives = [{ KeyAuth: [] }, { TokenAuth: [] }, { sessionCookie: [] }]
  const schemes = {
    KeyAuth: { type: "apiKey", in: "header", name: "X-Service-Key" },
    TokenAuth: { type: "http", scheme: "bearer" },
    sessionCookie: {
      type: "apiKey",
      in: "cookie",
      name: "__Host-session",
      description: "Session cookie authentication."
    }
  }
  const document = (api: HttpApi.HttpApi.Any, tag: Pick<Tag, "describeApi"> = Either) =>
    Effect.map(tag.describeApi(api), (api): any => OpenApi.fromApi(api as any))

  it.effect("lists every scheme as an alternative, of the operations that it stands in front of", () =>
    Effect.gen(function*() {
      const group = HttpApiGroup.make("a").add(endpoint("either").middleware(Either)).add(endpoint("open"))
      const shown = yield* document(HttpApi.make("api").add(group))
      assert.deepStrictEqual(shown.components.securitySchemes, schemes)
      assert.deepStrictEqual(shown.paths["/either"].get.security, alternatives)
      assert.deepStrictEqual(shown.paths["/open"].get.security, [])
      for (
        const api of [
          HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("either"))).middleware(Either),
          HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("either")).middleware(Either))
        ]
      ) {
        const shown = yield* document(api)
        assert.deepStrictEqual(shown.paths["/either"].get.security, alternatives)
        assert.deepStrictEqual(shown.components.securitySchemes, schemes)
      }
    }).pipe(Effect.provide(live())))

  it.effect("shows what is in force for each member, also as a Layer", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("either").middleware(Either)))
      const shown = yield* document(api)
      assert.deepStrictEqual(shown.components.securitySchemes, {
        ...schemes,
        sessionCookie: { ...schemes.sessionCookie, name: "session" }
      })
      const served = HttpApiBuilder.api(api).pipe(
        Layer.provide(HttpApiBuilder.group(api, "a", (handlers: any) => handlers.handle("either", () => Effect.void)))
      )
      const context = yield* Effect.scoped(Layer.build(Either.describe(served)))
      const { api: described } = context.unsafeMap.get(HttpApi.Api.key)
      assert.deepStrictEqual(OpenApi.fromApi(described) as any, shown)
    }).pipe(
      Effect.provide(
        Either.layer().pipe(
          Layer.provideMerge(
            Layer.mergeAll(keyLive(), tokenLive(), sessionLive([], { insecureCookie: true })).pipe(
              Layer.provideMerge(memory)
            )
          )
        )
      )
    ))

  it.effect("shows a member as bearer where it is a session Tag that is served by tokens", () => {
    const tokens = JwtAuth.layer(Auth, {
      algorithms: ["HS256"],
      issuer: "https://app.example.com",
      audience: "https://app.example.com",
      retrieveUser: retrieveUser([])
    }).pipe(Layer.provide(JwtKeys.layer(JwtKeysJose.hmac(secret))))
    const Swapped = firstOf(KeyAuth, Auth)
    return Effect.gen(function*() {
      const shown = yield* document(
        HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("either").middleware(Swapped as any))),
        Swapped
      )
      assert.strictEqual(shown.components.securitySchemes.sessionCookie.type, "http")
      assert.strictEqual(shown.components.securitySchemes.sessionCookie.scheme, "bearer")
      assert.deepStrictEqual(shown.paths["/either"].get.security, [{ KeyAuth: [] }, { sessionCookie: [] }])
      const headers = yield* SecurityTest.headers(Auth, { userId: "ada" })
      assert.match(headers.authorization!, /^Bearer /)
      assert.strictEqual((yield* send(Swapped.protect(whoami), { headers })).body, "ada")
      const reply = yield* send(Swapped.user)
      assert.strictEqual(reply.headers.get("www-authenticate"), "ApiKey, Bearer")
      assert.deepStrictEqual(varyOf(reply.headers.get("vary")), ["Authorization", "X-Service-Key"])
    }).pipe(
      Effect.provide(Swapped.layer().pipe(Layer.provideMerge(Layer.merge(keyLive(), tokens))))
    ) as Effect.Effect<void, any>
  })

  it.effect("shows a Tag in front of several as what its members are, nested or not", () => {
    const Inner = firstOf(TokenAuth, Auth)
    const Outer = firstOf(KeyAuth, Inner)
    return Effect.gen(function*() {
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("a").add(endpoint("either").middleware(Outer as any)).add(
          endpoint("in").middleware(Inner as any)
        )
      )
      const shown = yield* document(api, Outer)
      assert.deepStrictEqual(shown.paths["/either"].get.security, alternatives)
      assert.deepStrictEqual(shown.paths["/in"].get.security, alternatives.slice(1))
      assert.deepStrictEqual(shown.components.securitySchemes, schemes)
    }).pipe(
      Effect.provide(Outer.layer().pipe(Layer.provide(Inner.layer()), Layer.provideMerge(membersLive())))
    ) as Effect.Effect<void>
  })

  const dies = (api: HttpApi.HttpApi.Any, tag: Pick<Tag, "describeApi"> = Either) =>
    Effect.map(
      Effect.exit(tag.describeApi(api)),
      (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.pretty(exit.cause) : "alive"
    )

  it.effect("sees no conflict between it and its own members, which are required beside it", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("a")
          .add(endpoint("either").middleware(Either))
          .add(endpoint("session").middleware(Auth))
          .add(endpoint("both").middleware(Either).middleware(KeyAuth))
          .add(endpoint("again").middleware(SessionFirst))
      )
      assert.strictEqual(yield* dies(api), "alive")
      assert.strictEqual(yield* dies(api, Auth as any), "alive")
      const { paths } = yield* document(api)
      assert.deepStrictEqual(paths["/either"].get.security, alternatives)
      assert.deepStrictEqual(paths["/session"].get.security, [{ sessionCookie: [] }])
      assert.deepStrictEqual(paths["/again"].get.security, [{ sessionCookie: [] }, { KeyAuth: [] }])
      const both: ReadonlyArray<Record<string, unknown>> = paths["/both"].get.security
      assert.deepStrictEqual(both.map((requirement) => Object.keys(requirement).sort()), [
        ["KeyAuth"],
        ["KeyAuth", "TokenAuth"],
        ["KeyAuth", "sessionCookie"]
      ])
    }).pipe(Effect.provide(live())))

  it.effect("dies where a member and another Tag share the name of a scheme, or a cookie", () =>
    Effect.gen(function*() {
      class SameName extends SecurityConfig.Tag<SameName>()("test/firstOf/SameName", {
        scheme: HttpApiSecurity.bearer,
        user: CurrentUser,
        name: "KeyAuth"
      }) {}
      class SameCookie extends SessionAuth.Tag<SameCookie>()("test/firstOf/SameCookie", {
        user: CurrentUser,
        session: Schema.Struct({ userId: Schema.String }),
        name: "otherCookie"
      }) {}
      const group = HttpApiGroup.make("a").add(endpoint("either").middleware(Either))
      assert.include(
        yield* dies(HttpApi.make("api").add(group.add(endpoint("other").middleware(SameName)))),
        "test/firstOf/KeyAuth and test/firstOf/SameName share the scheme name \"KeyAuth\""
      )
      assert.include(
        yield* dies(
          HttpApi.make("api").add(group).add(HttpApiGroup.make("b").add(endpoint("x")).middleware(SameCookie))
        ),
        "test/Auth and test/firstOf/SameCookie share the cookie \"session\""
      )
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Seen from outside
// -----------------------------------------------------------------------------

describe("from outside", () => {
  const counted = (backend: string, outcome: string) =>
    Effect.map(
      Metric.value(
        SecurityMetrics.authentications.pipe(Metric.tagged("backend", backend), Metric.tagged("outcome", outcome))
      ),
      ({ count }) => count
    )

  for (const surface of surfaces) {
    it.scopedLive(`a request is counted once, not once a scheme, on ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const id = `${surface.join("/")}/Counted`
        class Key extends SecurityConfig.Tag<Key>()(`test/firstOf/${id}/Key`, {
          scheme: SecurityConfig.apiKey({ in: "header", key: "x-service-key" }),
          user: CurrentUser
        }) {}
        class Counted extends SecurityConfig.firstOf<Counted>()(`test/firstOf/${id}`, [Key, TokenAuth, CookieAuth]) {}
        const layer = Counted.layer().pipe(Layer.provide([
          Key.layer({ authenticate: (key) => directory([], "key")(Redacted.value(key)) }),
          tokenLive(),
          cookieLive()
        ]))
        const server = yield* serve(
          surface,
          [get("/user", Effect.zipRight(Counted.user, whoami), Counted)],
          layer as Layer.Layer<any>
        )
        yield* server.send("/user")
        yield* server.send("/user")
        assert.strictEqual(yield* counted(Counted.key, "NotAuthorized"), 2)
        assert.strictEqual(yield* counted(Key.key, "NotAuthorized"), 0)
        yield* server.send("/user", { headers: apiKey("bad") })
        yield* server.send("/user", { headers: apiKey("down") })
        yield* server.send("/user", { headers: apiKey("good") })
        assert.strictEqual(yield* counted(Key.key, "NotAuthorized"), 1)
        assert.strictEqual(yield* counted(Key.key, "SecurityUnavailable"), 1)
        assert.strictEqual(yield* counted(Key.key, "Authenticated"), 1)
        assert.strictEqual(yield* counted(Counted.key, "NotAuthorized"), 2)
        assert.strictEqual(yield* counted(Counted.key, "Authenticated"), 0)
      }))
  }

  it.effect("a refusal is an event of the member that decided, and a request without a credential is none", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const heard = yield* Deferred.make<void>()
      yield* Effect.fork(Stream.runForEach(SecurityEvents.stream, (event) =>
        Effect.suspend(() => {
          events.push(event._tag === "Rejected" ? `${event.backend} ${event.error} ${event.reason}` : event._tag)
          return events.length === 3 ? Deferred.succeed(heard, undefined) : Effect.void
        })))
      yield* Effect.yieldNow({ priority: 1 })
      const both = Effect.all([Effect.either(Either.user), Effect.either(Either.user), Either.userOption])
      yield* send(both)
      yield* send(both, { headers: { ...apiKey("bad"), ...bearer("good") } })
      yield* send(both, { headers: bearer("denied") })
      yield* send(both, { method: "POST", headers: { cookie: "__Host-session=x", origin: "https://evil.example" } })
      yield* Deferred.await(heard)
      assert.deepStrictEqual(events, [
        "test/firstOf/KeyAuth NotAuthorized UnknownUser",
        "test/firstOf/TokenAuth PermissionDenied unspecified",
        "test/Auth CrossSiteRejected untrusted origin"
      ])
    }).pipe(Effect.provide(Layer.provideMerge(live(), SecurityEvents.layer))))

  it.effect("the span of a request says which member decided, or that none did", () => {
    const spans: Array<Map<string, unknown>> = []
    const tracer = Layer.setTracer(Tracer.make({
      context: (f) => f(),
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        spans.push(attributes)
        return {
          _tag: "Span",
          name,
          spanId: String(spans.length),
          traceId: "trace",
          parent,
          context,
          status: { _tag: "Started", startTime },
          attributes,
          links,
          sampled: true,
          kind,
          attribute: (key, value) => {
            attributes.set(key, value)
          },
          event: () => undefined,
          addLinks: () => undefined,
          end: () => undefined
        }
      }
    }))
    return Effect.gen(function*() {
      yield* send(Either.user)
      yield* send(Either.user, { headers: bearer("good") })
      yield* send(Either.user, { headers: { ...apiKey("bad"), ...bearer("good") } })
      assert.deepStrictEqual(
        spans.map((attributes) =>
          ["backend", "outcome", "reason"].map((name) => attributes.get(`effect_security.${name}`))
        ),
        [
          ["test/firstOf/Either", "NotAuthorized", "NoCredential"],
          ["test/firstOf/TokenAuth", "Authenticated", undefined],
          ["test/firstOf/KeyAuth", "NotAuthorized", "UnknownUser"]
        ]
      )
    }).pipe(Effect.provide(live()), Effect.provide(tracer))
  })
})
