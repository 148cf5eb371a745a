// One program, served by sessions, by tokens in a header and by tokens in a cookie: it changes by its Layer alone, and
// what the Tag was declared with does not matter.
import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServerRequest,
  HttpServerResponse,
  OpenApi
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, FastCheck, Fiber, Layer, Option, Schema, TestClock } from "effect"
import * as SecurityConfig from "effect-security/SecurityConfig"
import * as SecurityError from "effect-security/SecurityError"
import * as SecurityTest from "effect-security/SecurityTest"
import * as SessionAuth from "effect-security/session/SessionAuth"
import { endpointName, get, hosts, httpApi, post as postRoute, serve } from "../edge/harness.js"
import type { Guard, Route, Server } from "../edge/harness.js"
import { Auth, CurrentUser, memory, send } from "../session/fixtures.js"
import type { Reply, User } from "../session/fixtures.js"
import { now, setSeconds } from "./fixtures.js"
import * as F from "./httpFixtures.js"
import { TokenAuth } from "./httpFixtures.js"

// -----------------------------------------------------------------------------
// Tags and Layers
// -----------------------------------------------------------------------------

/** A Tag as the program of these tests uses it: whichever it is, its credential says who it is for. */
interface Person {
  readonly tag:
    & SecurityConfig.Base<any, any, any, User, any>
    & SecurityConfig.SignIn<any, any>
    & Guard
    & { readonly key: string }
  /** What a credential of this person says. */
  readonly auth: (id: string) => unknown
  readonly idOf: (auth: any) => string
  readonly name: string
  readonly cookie: string
}

const tags: Readonly<Record<string, Person>> = {
  "SessionAuth.Tag": {
    tag: Auth as any,
    auth: (userId) => ({ userId }),
    idOf: ({ userId }) => userId,
    name: "sessionCookie",
    cookie: "__Host-session"
  },
  "JwtAuth.Tag": {
    tag: TokenAuth as any,
    auth: (sub) => ({ sub }),
    idOf: ({ sub }) => sub,
    name: "bearerToken",
    cookie: "__Host-token"
  }
}

/** A Layer that serves a Tag. */
interface Backend {
  readonly live: (person: Person, options?: F.Options) => Layer.Layer<any>
  /** A copied credential ends with logout, and when its holder signs in anew. */
  readonly isStored: boolean
  readonly isCookie: boolean
  readonly challenge: string
  readonly vary: string
  /** The headers by which a client shows what a response has granted. */
  readonly granted: (person: Person, reply: F.Granting) => Record<string, string> | undefined
  readonly scheme: (person: Person) => Readonly<Record<string, unknown>>
}

const usersOf = (person: Person) => (auth: unknown) =>
  Effect.succeed(person.idOf(auth) === "ghost" ? Option.none() : Option.some({ id: person.idOf(auth) }))

const ofCookie = (person: Person, reply: F.Granting) => {
  const pair = F.cookiesOf(reply).map((cookie) => cookie.split(";")[0]!).find((pair) => pair.startsWith(person.cookie))
  return pair === undefined || pair === `${person.cookie}=` ? undefined : { cookie: pair }
}

const inHeader = (header: string): Backend => {
  const place = header === "Authorization" ? F.inAuthorization : F.inApiKeyHeader
  return {
    live: (person, options) => F.liveOf(person.tag, place, { retrieveUser: usersOf(person), ...options }),
    isStored: false,
    isCookie: false,
    challenge: "Bearer",
    vary: header,
    granted: (_, reply) => {
      const token = place.granted(reply)
      return token === undefined ? undefined : place.present(token)
    },
    scheme: () =>
      header === "Authorization"
        ? {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: "A JSON Web Token in the Authorization header."
        }
        : { type: "apiKey", in: "header", name: header, description: "`Bearer` and a JSON Web Token." }
  }
}

const inCookie = {
  isCookie: true,
  challenge: "Cookie",
  vary: "Cookie",
  granted: ofCookie
}

const backends: Readonly<Record<string, Backend>> = {
  "SessionAuth.layer": {
    ...inCookie,
    live: (person, options) =>
      Layer.provide(
        SessionAuth.layer(person.tag, { retrieveUser: usersOf(person), ...options } as any),
        memory
      ) as Layer.Layer<any>,
    isStored: true,
    scheme: ({ cookie }) => ({
      type: "apiKey",
      in: "cookie",
      name: cookie,
      description: "Session cookie authentication."
    })
  },
  "JwtAuth.layer": inHeader("Authorization"),
  "JwtAuth.layer of X-API-Key": inHeader("X-API-Key"),
  "JwtCookieAuth.layer": {
    ...inCookie,
    live: (person, options) => F.liveOf(person.tag, F.inCookie, { retrieveUser: usersOf(person), ...options }),
    isStored: false,
    scheme: ({ cookie }) => ({
      type: "apiKey",
      in: "cookie",
      name: cookie,
      description: "A JSON Web Token in a cookie."
    })
  }
}

const combinations = Object.entries(tags).flatMap(([tag, person]) =>
  Object.entries(backends).map(([layer, backend]) => [`${layer} under a ${tag}`, person, backend] as const)
)

// -----------------------------------------------------------------------------
// The program
// -----------------------------------------------------------------------------

const name = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => headers["x-user"] ?? "ada")

/** Not a word of it says what a credential is. */
const program = ({ auth, idOf, tag }: Person): ReadonlyArray<Route> => [
  postRoute("/login", Effect.as(Effect.flatMap(name, (id) => tag.login(auth(id))), F.empty(204))),
  postRoute("/fails", Effect.zipRight(Effect.flatMap(name, (id) => tag.login(auth(id))), Effect.die("oops"))),
  postRoute("/logout", Effect.as(tag.logout, F.empty(204))),
  get("/me", F.whoami, tag),
  get("/auth", Effect.map(tag.authenticated, ({ auth, user }) => HttpServerResponse.text(`${user.id} ${idOf(auth)}`))),
  get(
    "/somebody",
    Effect.map(
      tag.userOption,
      (user) => HttpServerResponse.text(Option.match(user, { onNone: () => "nobody", onSome: ({ id }) => id }))
    )
  ),
  postRoute(
    "/switch",
    Effect.gen(function*() {
      const before = yield* tag.userOption
      yield* tag.login(auth(yield* name))
      const after = yield* tag.userOption
      yield* tag.logout
      const end = yield* tag.userOption
      return HttpServerResponse.text(
        [before, after, end].map((user) => Option.getOrElse(Option.map(user, ({ id }) => id), () => "nobody")).join(" ")
      )
    })
  )
]

// -----------------------------------------------------------------------------
// The same answers
// -----------------------------------------------------------------------------

type Step =
  | { readonly _tag: "login" | "fails" | "switch"; readonly browser: number; readonly user: string }
  | { readonly _tag: "read" | "auth" | "somebody" | "logout" | "copy"; readonly browser: number }
  | { readonly _tag: "readCopy"; readonly copy: number }

const browsers = 2

const steps: FastCheck.Arbitrary<ReadonlyArray<Step>> = FastCheck.array(
  FastCheck.oneof(
    FastCheck.record({
      _tag: FastCheck.constantFrom("login" as const, "login" as const, "fails" as const, "switch" as const),
      browser: FastCheck.nat({ max: browsers - 1 }),
      user: FastCheck.constantFrom("ada", "bob", "ghost", "x y", "\u00fcml\u00e4ut").map(encodeURIComponent)
    }),
    FastCheck.record({
      _tag: FastCheck.constantFrom(
        "read" as const,
        "auth" as const,
        "somebody" as const,
        "logout" as const,
        "copy" as const
      ),
      browser: FastCheck.nat({ max: browsers - 1 })
    }),
    FastCheck.record({ _tag: FastCheck.constant("readCopy" as const), copy: FastCheck.nat() })
  ),
  { maxLength: 25 }
)

/** What somebody shows, whose it is, and whether it still lets them in. */
interface Shown {
  readonly headers: Record<string, string>
  readonly user: string
  isAlive: boolean
}

const isUser = (user: string | undefined): user is string => user !== undefined && user !== "ghost"

const walk = (server: Server, person: Person, backend: Backend, steps: ReadonlyArray<Step>) =>
  Effect.gen(function*() {
    const shown: Array<Shown | undefined> = Array.from({ length: browsers }, () => undefined)
    const copies: Array<Shown> = []
    const headersOf = (browser: number) => shown[browser]?.headers ?? {}
    const end = (browser: number) => {
      const before = shown[browser]
      if (before !== undefined && backend.isStored) before.isAlive = false
    }
    for (const step of steps) {
      switch (step._tag) {
        case "login": {
          const headers = { ...headersOf(step.browser), "x-user": step.user }
          const reply = yield* server.send("/login", { method: "POST", headers })
          assert.deepStrictEqual([reply.status, reply.body], [204, ""])
          end(step.browser)
          const granted = backend.granted(person, reply)
          assert.isDefined(granted)
          shown[step.browser] = { headers: granted!, user: step.user, isAlive: true }
          break
        }
        case "fails": {
          const headers = { ...headersOf(step.browser), "x-user": step.user }
          const reply = yield* server.send("/fails", { method: "POST", headers })
          assert.strictEqual(reply.status, 500)
          assert.isUndefined(backend.granted(person, reply))
          // The session before it is over by then: a person is signed out, as the same person with tokens is not.
          end(step.browser)
          break
        }
        case "switch": {
          const before = shown[step.browser]
          const headers = { ...headersOf(step.browser), "x-user": step.user }
          const reply = yield* server.send("/switch", { method: "POST", headers })
          const isIn = before?.isAlive === true && isUser(before.user)
          assert.strictEqual(
            reply.body,
            `${isIn ? before.user : "nobody"} ${isUser(step.user) ? step.user : "nobody"} nobody`
          )
          assert.isUndefined(backend.granted(person, reply))
          end(step.browser)
          shown[step.browser] = undefined
          break
        }
        case "logout": {
          const reply = yield* server.send("/logout", { method: "POST", headers: headersOf(step.browser) })
          assert.deepStrictEqual([reply.status, reply.body], [204, ""])
          assert.isUndefined(backend.granted(person, reply))
          assert.lengthOf(reply.setCookies, backend.isCookie ? 1 : 0)
          end(step.browser)
          shown[step.browser] = undefined
          break
        }
        case "copy": {
          const credential = shown[step.browser]
          if (credential !== undefined) copies.push(credential)
          break
        }
        default: {
          const credential = step._tag === "readCopy"
            ? copies[step.copy % Math.max(1, copies.length)]
            : shown[step.browser]
          const user = credential?.isAlive === true && isUser(credential.user) ? credential.user : undefined
          const path = step._tag === "auth" ? "/auth" : step._tag === "somebody" ? "/somebody" : "/me"
          const reply = yield* server.send(path, { headers: credential?.headers ?? {} })
          if (path === "/somebody") {
            assert.deepStrictEqual([reply.status, reply.body], [200, user ?? "nobody"])
          } else if (user === undefined) {
            assert.deepStrictEqual([reply.status, JSON.parse(reply.body)._tag], [401, "NotAuthorized"])
            assert.isTrue(reply.headers["www-authenticate"]!.startsWith(backend.challenge))
          } else {
            assert.deepStrictEqual([reply.status, reply.body], [200, path === "/auth" ? `${user} ${user}` : user])
          }
          assert.strictEqual(reply.headers["vary"], backend.vary)
          assert.strictEqual(
            reply.headers["cache-control"],
            path === "/somebody" && user === undefined ? undefined : "no-store"
          )
          assert.isUndefined(backend.granted(person, reply))
        }
      }
    }
  })

describe("any sequence of sign-ins, reads and sign-outs has the same answers, but for a copied token,", () => {
  for (const [title, person, backend] of combinations) {
    for (const router of ["HttpApi", "HttpRouter"] as const) {
      it.scopedLive(`${title}, on ${router}`, () =>
        Effect.gen(function*() {
          const server = yield* serve([router, "web"], program(person), backend.live(person))
          yield* Effect.promise(() =>
            FastCheck.assert(
              FastCheck.asyncProperty(steps, (steps) => Effect.runPromise(walk(server, person, backend, steps))),
              { numRuns: 30 }
            )
          )
        }))
    }

    it.scopedLive(`${title}, over a socket`, () =>
      Effect.gen(function*() {
        const server = yield* serve(["HttpRouter", "Node"], program(person), backend.live(person))
        yield* walk(server, person, backend, [
          { _tag: "read", browser: 0 },
          { _tag: "login", browser: 0, user: "ada" },
          { _tag: "copy", browser: 0 },
          { _tag: "read", browser: 0 },
          { _tag: "login", browser: 0, user: "bob" },
          { _tag: "auth", browser: 0 },
          { _tag: "readCopy", copy: 0 },
          { _tag: "logout", browser: 0 },
          { _tag: "read", browser: 0 },
          { _tag: "readCopy", copy: 0 },
          { _tag: "switch", browser: 0, user: "ada" },
          { _tag: "fails", browser: 1, user: "ada" },
          { _tag: "read", browser: 1 }
        ])
      }))
  }
})

// -----------------------------------------------------------------------------
// What OpenAPI shows
// -----------------------------------------------------------------------------

describe("the document of an api", () => {
  for (const [title, person, backend] of combinations) {
    const api = HttpApi.make("api").add(
      HttpApiGroup.make("people")
        .add(HttpApiEndpoint.get("me", "/me").middleware(person.tag as any))
        .add(HttpApiEndpoint.get("open", "/open"))
    )
    const check = (document: any) => {
      assert.deepStrictEqual(document.components.securitySchemes, { [person.name]: backend.scheme(person) })
      assert.deepStrictEqual(document.paths["/me"].get.security, [{ [person.name]: [] }])
      assert.deepStrictEqual(document.paths["/open"].get.security, [])
    }

    it.effect(`says what is in force by ${title}, of a value and of a Layer`, () =>
      Effect.gen(function*() {
        check(OpenApi.fromApi((yield* person.tag.describeApi(api)) as any))
        const handlers = HttpApiBuilder.group(api, "people", (handlers: any) =>
          handlers.handle("me", () =>
            Effect.void).handle("open", () => Effect.void))
        const served = yield* Effect.scoped(
          Effect.flatMap(
            Layer.build(
              person.tag.describe(Layer.provide(HttpApiBuilder.api(api), handlers as any)) as Layer.Layer<
                HttpApi.Api,
                never,
                any
              >
            ),
            (context) =>
              Effect.provide(HttpApi.Api, context)
          )
        )
        check(OpenApi.fromApi(served.api as any))
      }).pipe(Effect.provide(backend.live(person))))
  }
})

// -----------------------------------------------------------------------------
// A client in Effect
// -----------------------------------------------------------------------------

type Client = Readonly<Record<"routes", Readonly<Record<string, (request: object) => Effect.Effect<unknown, unknown>>>>>

const clientOf = (routes: ReadonlyArray<Route>, server: Server, headers: Record<string, string>) =>
  HttpApiClient.make(httpApi(routes) as any, {
    baseUrl: server.baseUrl,
    transformClient: HttpClient.mapRequest(HttpClientRequest.setHeaders(headers))
  }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.provideService(FetchHttpClient.Fetch, server.fetch)
  ) as unknown as Effect.Effect<Client>

describe("a client derived from the HttpApi", () => {
  for (const [title, person, backend] of combinations) {
    for (const router of ["HttpApi", "HttpLayerRouter.addHttpApi"] as const) {
      for (const host of hosts) {
        it.scopedLive(`decodes each failure to its class, ${title}, on ${router} on ${host}`, () =>
          Effect.gen(function*() {
            const { auth, tag } = person
            const routes = [
              get("/me", Effect.as(CurrentUser, F.empty()), tag),
              postRoute("/login", Effect.as(Effect.flatMap(name, (id) => tag.login(auth(id))), F.empty())),
              postRoute(
                "/large",
                tag.login({ ...auth("ada") as object, role: "x".repeat(20_000), cart: ["x".repeat(20_000)] }) as any
              ),
              get("/denied", new SecurityError.PermissionDenied(), tag)
            ]
            const server = yield* serve(
              [router, host],
              routes,
              backend.live(person, {
                retrieveUser: (auth: unknown) =>
                  person.idOf(auth) === "down" ? Effect.fail("down") : usersOf(person)(auth)
              })
            )
            const as = (id: string) =>
              Effect.map(
                server.send("/login", { method: "POST", headers: { "x-user": id } }),
                (reply) => backend.granted(person, reply)!
              )
            const call = (index: number, headers: Record<string, string>) =>
              Effect.flatMap(
                clientOf(routes, server, headers),
                (client) => client.routes[endpointName(routes[index]!)]!({})
              )
            const ada = yield* as("ada")
            yield* call(0, ada)
            assert.instanceOf(yield* Effect.flip(call(0, {})), SecurityError.NotAuthorized)
            assert.instanceOf(yield* Effect.flip(call(0, yield* as("ghost"))), SecurityError.NotAuthorized)
            assert.instanceOf(yield* Effect.flip(call(0, yield* as("down"))), SecurityError.SecurityUnavailable)
            assert.instanceOf(yield* Effect.flip(call(3, ada)), SecurityError.PermissionDenied)
            assert.instanceOf(yield* Effect.flip(call(2, {})), SecurityError.SessionTooLarge)
            const crossSite = call(1, { "sec-fetch-site": "cross-site" })
            if (backend.isCookie) {
              assert.instanceOf(yield* Effect.flip(crossSite), SecurityError.CrossSiteRejected)
            } else {
              yield* crossSite
            }
          }))
      }
    }
  }
})

// -----------------------------------------------------------------------------
// What lasts longer than a request
// -----------------------------------------------------------------------------

/** The headers of a credential that was just granted. */
const signIn = ({ auth, tag }: Person, granted: Backend["granted"], person: Person, id = "ada") =>
  Effect.map(
    send(tag.login(auth(id)) as Effect.Effect<void, unknown, any>, F.post) as Effect.Effect<
      Reply<void, unknown>,
      never,
      any
    >,
    (reply) => granted(person, reply)!
  )

describe("whileAuthenticated", () => {
  for (const [title, person, backend] of combinations) {
    if (backend.isStored) continue

    it.effect(`ends at the first check after the token has expired, ${title}`, () =>
      Effect.gen(function*() {
        const headers = yield* signIn(person, backend.granted, person)
        const request = HttpServerRequest.fromWeb(new Request("https://app.example.com/", { headers }))
        const started = yield* Deferred.make<void>()
        let isInterrupted = false
        const fiber = yield* Effect.fork(
          person.tag.whileAuthenticated(
            Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
              Effect.onInterrupt(() => Effect.sync(() => void (isInterrupted = true)))
            )
          ).pipe(Effect.provideService(HttpServerRequest.HttpServerRequest, request))
        )
        yield* Deferred.await(started)
        // 150 seconds, and 30 more by which clocks may be apart.
        yield* TestClock.adjust("179999 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* TestClock.adjust("1 millis")
        const exit = yield* Fiber.await(fiber)
        const error = Exit.isFailure(exit) ? Option.getOrThrow(Cause.failureOption(exit.cause)) : undefined
        assert.deepStrictEqual([(error as SecurityError.NotAuthorized).reason, isInterrupted], ["Expired", true])
      }).pipe(F.withLive(backend.live(person, { lifetime: "150 seconds" }))))
  }
})

// -----------------------------------------------------------------------------
// Guards and the gate
// -----------------------------------------------------------------------------

describe("guards, exclude and lists of routes", () => {
  for (const [title, person, backend] of combinations) {
    const { tag } = person
    const router = HttpRouter.empty.pipe(
      HttpRouter.get("/open", F.empty(200)),
      HttpRouter.get("/me", tag.protect(F.whoami)),
      HttpRouter.get("/reads", Effect.map(tag.user, ({ id }) => HttpServerResponse.text(id)))
    )

    it.effect(`are the same, ${title}`, () =>
      Effect.gen(function*() {
        const gated = tag.middleware(router as any) as Effect.Effect<
          HttpServerResponse.HttpServerResponse,
          unknown,
          any
        >
        const asked = (path: string, headers: Record<string, string> = {}) =>
          Effect.map(
            send(gated, { url: `https://app.example.com${path}`, headers }) as Effect.Effect<
              Reply<unknown, unknown>,
              never,
              any
            >,
            ({ body, status }) => status === 200 ? `200 ${body}` : String(status)
          )
        const [ada, eve] = [
          yield* signIn(person, backend.granted, person),
          yield* signIn(person, backend.granted, person, "eve")
        ]
        assert.deepStrictEqual(
          yield* Effect.all([
            asked("/open"),
            asked("/open", eve),
            asked("/me"),
            asked("/me", ada),
            asked("/reads", ada),
            asked("/me", eve),
            asked("/reads", eve),
            asked("/nowhere"),
            asked("/nowhere", ada)
          ]),
          ["200 ", "200 ", "401", "200 ada", "200 ada", "403", "403", "401", "404"]
        )
        const routes = yield* tag.routes(router)
        assert.deepStrictEqual(routes.map(({ path, protectedBy }) => [path, protectedBy]), [
          ["/open", []],
          ["/me", [tag.key]],
          ["/reads", [tag.key]]
        ])
      }).pipe(F.withLive(backend.live(person, {
        exclude: ["/open"],
        guards: [({ id }: User) => id === "eve" ? new SecurityError.PermissionDenied() : Effect.void]
      }))))
  }
})

// -----------------------------------------------------------------------------
// A mistake of the program
// -----------------------------------------------------------------------------

describe("a sign-in as somebody whom the schema does not allow", () => {
  class Strict extends SessionAuth.Tag<Strict>()("test/Strict", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String.pipe(Schema.pattern(/^user-/)) })
  }) {}
  const person: Person = { ...tags["SessionAuth.Tag"]!, tag: Strict as any }

  for (const [title, backend] of Object.entries(backends)) {
    it.effect(`is a defect and no outage, by ${title}`, () =>
      Effect.gen(function*() {
        const reply = yield* send(
          Strict.login({ userId: "ada" }) as Effect.Effect<void, unknown, any>,
          F.post
        ) as Effect.Effect<
          Reply<void, unknown>,
          never,
          any
        >
        assert.strictEqual(reply.status, 500)
        assert.isUndefined(backend.granted(person, reply))
      }).pipe(F.withLive(backend.live(person))))
  }
})

// -----------------------------------------------------------------------------
// SecurityTest
// -----------------------------------------------------------------------------

describe("SecurityTest", () => {
  for (const [title, person, backend] of combinations) {
    const { auth, tag } = person
    const asked = (headers: Record<string, string> = {}) =>
      Effect.map(
        send(tag.protect(F.whoami), { headers }) as Effect.Effect<Reply<unknown, unknown>, never, any>,
        ({ body, status }) => status === 200 ? body : status
      )

    it.effect(`headers gives what signs somebody in, ${title}`, () =>
      Effect.gen(function*() {
        for (const id of ["ada", "bob"]) {
          const headers = yield* SecurityTest.headers(tag, auth(id))
          assert.deepStrictEqual(Object.keys(headers), [backend.vary.toLowerCase()])
          assert.strictEqual(yield* asked(headers), id)
        }
        assert.strictEqual(yield* asked(yield* SecurityTest.headers(tag, auth("ghost"))), 401)
      }).pipe(F.withLive(backend.live(person))))

    it.effect(`cookie gives that of a cookie, and dies with a sentence where it is none, ${title}`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(SecurityTest.cookie(tag, auth("ada")))
        if (backend.isCookie) {
          assert.strictEqual(yield* asked({ cookie: yield* exit }), "ada")
        } else {
          assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
          assert.include(
            String(Exit.isFailure(exit) && Cause.squash(exit.cause)),
            `SecurityTest.cookie: the credential of ${tag.key} is in the header ${backend.vary.toLowerCase()}`
          )
        }
      }).pipe(F.withLive(backend.live(person))))

    it.effect(`layerAs makes every request one of the user, whatever it carries, ${title}`, () =>
      Effect.gen(function*() {
        const headers = yield* SecurityTest.headers(tag, auth("ada"))
        assert.strictEqual(yield* asked(), "grace")
        assert.strictEqual(yield* asked(headers), "grace")
        const said = yield* send(
          Effect.map(tag.authenticated, ({ auth }) => person.idOf(auth)) as Effect.Effect<string, unknown, any>
        ) as Effect.Effect<
          Reply<string, unknown>,
          never,
          any
        >
        assert.strictEqual(Exit.getOrElse(said.exit, Cause.pretty), "hopper")
        // What signs people in works beside it.
        const login = yield* send(tag.login(auth("bob")) as Effect.Effect<void, unknown, any>, F.post) as Effect.Effect<
          Reply<void, unknown>,
          never,
          any
        >
        assert.isDefined(backend.granted(person, login))
      }).pipe(F.withLive(
        Layer.mergeAll(
          backend.live(person),
          SecurityTest.layerAs(tag, { id: "grace" }, { auth: auth("hopper") })
        ) as Layer.Layer<any>
      )))
  }
})

// -----------------------------------------------------------------------------
// Side by side
// -----------------------------------------------------------------------------

describe("tokens and sessions side by side", () => {
  class Either extends SecurityConfig.firstOf<Either>()("test/Either", [TokenAuth, Auth]) {}
  const Live = Either.layer().pipe(
    Layer.provideMerge(Layer.mergeAll(
      F.live(F.inAuthorization),
      backends["SessionAuth.layer"]!.live(tags["SessionAuth.Tag"]!)
    ))
  ) as Layer.Layer<any>

  it.effect("the first that finds its credential decides, and the other is not asked", () =>
    Effect.gen(function*() {
      const session = yield* SecurityTest.headers(Auth, { userId: "sam" })
      const token = yield* SecurityTest.headers(TokenAuth, { sub: "tom" })
      const asked = (headers: Record<string, string>) =>
        Effect.map(
          send(Either.protect(F.whoami), { headers }) as Effect.Effect<Reply<unknown, unknown>, never, any>,
          (reply) => [reply.status === 200 ? reply.body : reply.status, reply.headers.get("www-authenticate")]
        )
      assert.deepStrictEqual(yield* asked(session), ["sam", null])
      assert.deepStrictEqual(yield* asked(token), ["tom", null])
      assert.deepStrictEqual(yield* asked({ ...session, ...token }), ["tom", null])
      assert.deepStrictEqual(
        yield* asked({ ...session, authorization: "Bearer nonsense" }),
        [401, "Bearer error=\"invalid_token\""]
      )
      assert.deepStrictEqual(yield* asked({ ...session, authorization: "Basic YTpi" }), ["sam", null])
      assert.deepStrictEqual(yield* asked({}), [401, "Bearer, Cookie"])
    }).pipe(Effect.provide(Live), (self) => Effect.zipRight(setSeconds(now), self)))
})
