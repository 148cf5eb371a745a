import { FetchHttpClient, HttpApiClient, HttpClient, HttpClientRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SecurityError } from "effect-security"
import { inspect } from "node:util"
import {
  Auth,
  BasicAuth,
  basicHeader,
  basicLive,
  BearerAuth,
  bearerLive,
  CookieKeyAuth,
  cookieKeyLive,
  KeyAuth,
  keyLive,
  login,
  loginRoute,
  makeSessions,
  retrieveUser,
  signIn,
  whoami
} from "./fixtures.js"
import type { User } from "./fixtures.js"
import { app, endpointName, get, hosts, httpApi, httpApp, httpRouter, post, routerNames, serve } from "./harness.js"
import type { Init, Reply, Route, Server } from "./harness.js"

// -----------------------------------------------------------------------------
// A program that fails in every way
// -----------------------------------------------------------------------------

const secret = "reason-that-nobody-may-read"

const nothing = Effect.succeed(HttpServerResponse.empty())

const routes: ReadonlyArray<Route> = [
  loginRoute,
  get("/session", whoami, Auth),
  post("/session", whoami, Auth),
  get("/bearer", whoami, BearerAuth),
  get("/basic", whoami, BasicAuth),
  post("/basic", whoami, BasicAuth),
  get("/key", whoami, KeyAuth),
  get("/cookie-key", whoami, CookieKeyAuth),
  post("/sign-in", Effect.zipRight(login, nothing)),
  post("/wrong-password", Effect.fail(new SecurityError.NotAuthorized({ reason: secret }))),
  get("/step-up", Effect.fail(new SecurityError.NotAuthorized({ reason: secret })), BearerAuth),
  get(
    "/optional",
    Effect.zipRight(BearerAuth.userOption, Effect.fail(new SecurityError.NotAuthorized({ reason: secret })))
  ),
  get("/denied", Effect.fail(new SecurityError.PermissionDenied({ reason: secret }))),
  get("/denied-inside", Effect.fail(new SecurityError.PermissionDenied({ reason: secret })), BearerAuth),
  post("/throttled", Effect.fail(new SecurityError.TooManyAttempts({ retryAfter: 30 }))),
  get("/throttled-inside", Effect.fail(new SecurityError.TooManyAttempts({ retryAfter: 30 })), Auth),
  get(
    "/unavailable",
    Effect.fail(new SecurityError.SecurityUnavailable({ reason: secret, cause: new Error(secret), retryAfter: 7 }))
  )
]

const live = Effect.map(makeSessions(), (sessions) =>
  Layer.mergeAll(
    sessions.layer({
      retrieveUser: (session) => session.userId === "down" ? Effect.fail(new Error(secret)) : retrieveUser(session),
      guards: [
        (user: User) =>
          user.id === "eve" ? Effect.fail(new SecurityError.PermissionDenied({ reason: secret })) : Effect.void
      ],
      exclude: ["/login"]
    }),
    bearerLive(),
    basicLive(),
    keyLive(),
    cookieKeyLive()
  ))

// -----------------------------------------------------------------------------
// What each failure looks like
// -----------------------------------------------------------------------------

interface Expected {
  readonly status: number
  readonly error: { new(...args: any): { readonly _tag: string } }
  readonly title: string
  readonly headers: Readonly<Record<string, string>>
  readonly retryAfter?: number
}

const unauthorized = (challenge: string, vary: string): Expected => ({
  status: 401,
  error: SecurityError.NotAuthorized,
  title: "Unauthorized",
  headers: { "www-authenticate": challenge, vary }
})
const forbidden = (error: Expected["error"], vary: string): Expected => ({
  status: 403,
  error,
  title: "Forbidden",
  headers: { vary }
})
const denied = (vary: string) => forbidden(SecurityError.PermissionDenied, vary)
const crossSite = forbidden(SecurityError.CrossSiteRejected, "Cookie, Origin")
const throttled = (vary: string | undefined): Expected => ({
  status: 429,
  error: SecurityError.TooManyAttempts,
  title: "Too Many Requests",
  headers: { "retry-after": "30", ...(vary === undefined ? {} : { vary }) },
  retryAfter: 30
})
const unavailable = (retryAfter: number, vary: string | undefined): Expected => ({
  status: 503,
  error: SecurityError.SecurityUnavailable,
  title: "Service Unavailable",
  headers: { "retry-after": String(retryAfter), ...(vary === undefined ? {} : { vary }) },
  retryAfter
})

const badBearer = unauthorized("Bearer error=\"invalid_token\"", "Authorization")
const basicChallenge = unauthorized("Basic realm=\"BasicAuth\", charset=\"UTF-8\"", "Authorization")
const authorization = (authorization: string) => ({ headers: { authorization } })
const cookie = (cookie: string) => ({ headers: { cookie } })
const token = `AAAAAAAAAAAA.${"A".repeat(43)}`
const foreign = { origin: "https://evil.example" }

interface Case {
  readonly title: string
  readonly path: Route["path"]
  readonly init?: Init
  /** Signed in first as this user. */
  readonly as?: string
  readonly expected: Expected
}

const cases: ReadonlyArray<Case> = [
  { title: "no session", path: "/session", expected: unauthorized("Cookie", "Cookie") },
  {
    title: "a malformed session",
    path: "/session",
    init: cookie("__Host-session=nonsense"),
    expected: unauthorized("Cookie", "Cookie")
  },
  {
    title: "two sessions",
    path: "/session",
    init: cookie(`__Host-session=${token}; __Host-session=${token}`),
    expected: unauthorized("Cookie", "Cookie")
  },
  {
    title: "an unknown session",
    path: "/session",
    init: cookie(`__Host-session=${token}`),
    expected: unauthorized("Cookie", "Cookie")
  },
  { title: "a user that is gone", path: "/session", as: "ghost", expected: unauthorized("Cookie", "Cookie") },
  { title: "no bearer token", path: "/bearer", expected: unauthorized("Bearer", "Authorization") },
  {
    title: "Basic where a bearer token is needed",
    path: "/bearer",
    init: authorization(basicHeader("bob", "good")),
    expected: unauthorized("Bearer", "Authorization")
  },
  { title: "a malformed bearer token", path: "/bearer", init: authorization("Bearer a b"), expected: badBearer },
  { title: "an unknown bearer token", path: "/bearer", init: authorization("Bearer stolen"), expected: badBearer },
  { title: "no user name and password", path: "/basic", expected: basicChallenge },
  { title: "malformed Basic", path: "/basic", init: authorization("Basic ***"), expected: basicChallenge },
  {
    title: "a wrong password by Basic",
    path: "/basic",
    init: authorization(basicHeader("bob", "wrong")),
    expected: basicChallenge
  },
  { title: "no key", path: "/key", expected: unauthorized("ApiKey", "x-service-key") },
  {
    title: "an unknown key",
    path: "/key",
    init: { headers: { "x-service-key": "stolen" } },
    expected: unauthorized("ApiKey", "x-service-key")
  },
  { title: "no key in a cookie", path: "/cookie-key", expected: unauthorized("Cookie", "Cookie") },
  {
    title: "an unknown key in a cookie",
    path: "/cookie-key",
    init: cookie("service=stolen"),
    expected: unauthorized("Cookie", "Cookie")
  },
  {
    title: "a wrong password on a public route",
    path: "/wrong-password",
    init: { method: "POST" },
    expected: unauthorized("Cookie", "Cookie")
  },
  {
    title: "a refusal of a handler behind a bearer token",
    path: "/step-up",
    init: authorization("Bearer good"),
    expected: unauthorized("Cookie", "Authorization, Cookie")
  },
  {
    title: "a refusal of a handler that looked for a bearer token in vain",
    path: "/optional",
    expected: unauthorized("Cookie", "Authorization, Cookie")
  },
  { title: "a guard's refusal", path: "/session", as: "eve", expected: denied("Cookie") },
  { title: "a public handler's refusal", path: "/denied", expected: denied("Cookie") },
  {
    title: "a handler's refusal behind a bearer token",
    path: "/denied-inside",
    init: authorization("Bearer good"),
    expected: denied("Authorization")
  },
  {
    title: "another site's request with a session",
    path: "/session",
    init: { method: "POST", headers: foreign },
    as: "ada",
    expected: crossSite
  },
  {
    title: "another site's request without a session",
    path: "/session",
    init: { method: "POST", headers: foreign },
    expected: crossSite
  },
  {
    title: "another site's request with what the browser knows by Basic",
    path: "/basic",
    init: { method: "POST", headers: { ...foreign, authorization: basicHeader("bob", "good") } },
    expected: forbidden(SecurityError.CrossSiteRejected, "Authorization, Cookie, Origin")
  },
  {
    title: "another site's sign-in",
    path: "/sign-in",
    init: { method: "POST", headers: { "sec-fetch-site": "cross-site" } },
    expected: crossSite
  },
  { title: "throttling", path: "/throttled", init: { method: "POST" }, expected: throttled(undefined) },
  { title: "throttling behind a session", path: "/throttled-inside", as: "ada", expected: throttled("Cookie") },
  { title: "a user directory that is down", path: "/session", as: "down", expected: unavailable(1, "Cookie") },
  {
    title: "a token service that is down",
    path: "/bearer",
    init: authorization("Bearer down"),
    expected: unavailable(1, "Authorization")
  },
  { title: "an outage in a handler", path: "/unavailable", expected: unavailable(7, undefined) }
]

const resolve = (server: Server, { as, init }: Case): Effect.Effect<Init> =>
  as === undefined
    ? Effect.succeed(init ?? {})
    : Effect.map(signIn(server, as), (cookie) => ({ ...init, headers: { ...init?.headers, cookie } }))

// -----------------------------------------------------------------------------
// As a client sees it
// -----------------------------------------------------------------------------

/** Headers of the connection and of the message's framing. */
const framing = new Set(["date", "connection", "content-length", "keep-alive", "transfer-encoding"])

const sorted = (list: string) => list.split(", ").sort().join(", ")

const seen = ({ body, headers: { vary, ...headers }, setCookies, status }: Reply): object => ({
  status,
  headers: {
    ...Object.fromEntries(Object.entries(headers).filter(([name]) => !framing.has(name))),
    ...(vary === undefined ? {} : { vary: sorted(vary) })
  },
  setCookies,
  body
})

const rendered = ({ error, headers, retryAfter, status, title }: Expected): object => ({
  status,
  headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
  setCookies: [],
  body: JSON.stringify({
    type: "about:blank",
    title,
    status,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    _tag: error.name
  })
})

describe("failures as responses", () => {
  for (const router of routerNames) {
    for (const host of hosts) {
      it.scopedLive(`${router} on ${host} renders every failure as every other router does`, () =>
        Effect.gen(function*() {
          const server = yield* serve([router, host], routes, yield* live)
          const replies = yield* Effect.forEach(
            cases,
            (each) => Effect.flatMap(resolve(server, each), (init) => server.send(each.path, init))
          )
          assert.deepStrictEqual(
            Object.fromEntries(cases.map(({ title }, i) => [title, seen(replies[i]!)])),
            Object.fromEntries(cases.map(({ expected, title }) => [title, rendered(expected)]))
          )
          assert.notInclude(JSON.stringify(replies), secret)
        }))
    }
  }
})

describe("the gate's failures as responses", () => {
  // Behind the gate, so that only the gate can fail.
  const inside: ReadonlyArray<Route> = [
    loginRoute,
    get("/session", nothing),
    post("/session", nothing)
  ]
  const gated = cases.filter(({ path }) => path === "/session")
  /** No handler of ours sees what the server's own middleware fails with: the error has to know its headers. */
  const renderedByItself = (expected: Expected) => {
    const { vary: _, ...headers } = expected.headers
    return rendered(
      expected.error === SecurityError.SecurityUnavailable ? { ...expected, headers } : expected
    )
  }

  const seenBehind = Effect.fnUntraced(function*(server: Server, rendered: (expected: Expected) => object) {
    const replies = yield* Effect.forEach(
      gated,
      (each) => Effect.flatMap(resolve(server, each), (init) => server.send(each.path, init))
    )
    assert.deepStrictEqual(
      Object.fromEntries(gated.map(({ title }, i) => [title, seen(replies[i]!)])),
      Object.fromEntries(gated.map(({ expected, title }) => [title, rendered(expected)]))
    )
    assert.notInclude(JSON.stringify(replies), secret)
  })

  for (const host of hosts) {
    for (const [name, inner] of [["HttpApp", httpApp(inside)], ["HttpRouter", httpRouter(inside)]] as const) {
      it.scopedLive(`over an ${name} on ${host} they look as behind protect`, () =>
        Effect.gen(function*() {
          const layer = yield* live
          yield* seenBehind(yield* app(host, Auth.middleware(inner as any), layer), rendered)
        }))

      it.scopedLive(`over an ${name} given to the server on ${host} they look alike, but for the Vary of an outage`, () =>
        Effect.gen(function*() {
          const layer = yield* live
          yield* seenBehind(yield* app(host, inner, layer, Auth.middleware as any), renderedByItself)
        }))
    }

    it.scopedLive(`over an HttpApi on ${host} they look as behind protect`, () =>
      Effect.gen(function*() {
        const layer = yield* live
        yield* seenBehind(yield* serve(["HttpApi", host], inside, layer, Auth.middleware as any), rendered)
      }))
  }
})

// -----------------------------------------------------------------------------
// As a client in Effect sees it
// -----------------------------------------------------------------------------

type Client = Readonly<Record<"routes", Readonly<Record<string, (request: object) => Effect.Effect<unknown, unknown>>>>>

const derivedClient = (server: Server, headers: Readonly<Record<string, string>>) =>
  HttpApiClient.make(httpApi(routes) as any, {
    baseUrl: server.baseUrl,
    transformClient: HttpClient.mapRequest(HttpClientRequest.setHeaders(headers))
  }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.provideService(FetchHttpClient.Fetch, server.fetch)
  ) as unknown as Effect.Effect<Client>

describe("failures in a client derived from the HttpApi", () => {
  for (const router of ["HttpApi", "HttpLayerRouter.addHttpApi"] as const) {
    for (const host of hosts) {
      it.scopedLive(`${router} on ${host}: every failure is decoded to its class`, () =>
        Effect.gen(function*() {
          const server = yield* serve([router, host], routes, yield* live)
          for (const each of cases) {
            const { headers = {}, method = "GET" } = yield* resolve(server, each)
            const client = yield* derivedClient(server, headers)
            const route = routes.find((route) => route.path === each.path && route.method === method)!
            const call = client.routes[endpointName(route)]!({})
            const error = (yield* Effect.flip(call)) as Readonly<Record<string, unknown>>
            const { retryAfter, status, title } = error
            assert.deepStrictEqual(
              { title, status, retryAfter },
              {
                title: each.expected.title,
                status: each.expected.status,
                retryAfter: each.expected.retryAfter
              },
              each.title
            )
            assert.instanceOf(error, each.expected.error, each.title)
            assert.notInclude(inspect(error), secret, each.title)
          }
        }))
    }
  }
})
