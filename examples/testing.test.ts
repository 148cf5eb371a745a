// How an application is tested: as somebody, with a session that is there, with users and tokens that nobody thought of,
// and without waiting for time to pass.
import { HttpApp, HttpRouter, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, TestClock } from "effect"
import { SecurityConfig, SessionStore } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { Api, Auth, CurrentUser, User, Users } from "./accounts.js"

// -----------------------------------------------------------------------------
// What is tested
// -----------------------------------------------------------------------------

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/", HttpServerResponse.text("Everyone may read this.")),
  HttpRouter.get("/user", Auth.protect(Effect.flatMap(CurrentUser, HttpServerResponse.schemaJson(User))))
)

const AuthLive = Auth.layer({ retrieveUser: ({ userId }) => Users.findById(userId), idleTimeout: "30 minutes" })

/** Answers one request to `/user`. */
const get = (headers: Record<string, string> = {}) =>
  Effect.flatMap(
    Effect.runtime<Auth>(),
    (runtime) =>
      Effect.promise(() =>
        HttpApp.toWebHandlerRuntime(runtime)(router)(new Request("https://app.example.com/user", { headers }))
      )
  )

// -----------------------------------------------------------------------------
// Routes
// -----------------------------------------------------------------------------

const publicRoutes = (routes: ReadonlyArray<SecurityConfig.Route>) =>
  routes.filter(({ protectedBy }) => protectedBy.length === 0).map(({ method, path }) => `${method} ${path}`)

describe("the routes", () => {
  it("are public only where that is meant", () => {
    assert.deepStrictEqual(publicRoutes(SecurityConfig.routes(Api)), ["POST /signup", "POST /login", "POST /logout"])
    assert.deepStrictEqual(publicRoutes(SecurityConfig.routes(router)), ["GET /"])
  })
})

// -----------------------------------------------------------------------------
// As somebody
// -----------------------------------------------------------------------------

describe("GET /user", () => {
  it.effect.prop(
    "answers whoever is signed in",
    [SecurityTest.arbitraryUser(Users)],
    ([user]) =>
      Effect.gen(function*() {
        const response = yield* get()
        assert.strictEqual(response.status, 200)
        assert.deepStrictEqual(yield* Effect.promise(() => response.json()), { ...user })
      }).pipe(Effect.provide(SecurityTest.layerAs(Auth, user)))
  )
})

describe("a handler that reads the session", () => {
  it.effect.prop(
    "has the one that the test gives it",
    [SecurityTest.arbitraryUser(Users), SecurityTest.arbitrarySession(Auth)],
    ([user, session]) =>
      Effect.gen(function*() {
        const runtime = yield* Effect.runtime<Auth>()
        const app = Effect.flatMap(Auth.session, HttpServerResponse.schemaJson(Auth.auth))
        const response = yield* Effect.promise(() =>
          HttpApp.toWebHandlerRuntime(runtime)(app)(new Request("https://app.example.com/"))
        )
        assert.deepStrictEqual(yield* Effect.promise(() => response.json()), { ...session })
      }).pipe(Effect.provide(SecurityTest.layerAs(Auth, user, { auth: session })))
  )
})

// -----------------------------------------------------------------------------
// With a session
// -----------------------------------------------------------------------------

const Live = AuthLive.pipe(
  Layer.provideMerge(Users.layerMemory),
  Layer.provide(SessionStore.layerMemory)
)

describe("a session", () => {
  it.effect.prop(
    "is over after half an hour without use",
    [SecurityTest.arbitraryUser(Users)],
    ([user]) =>
      Effect.gen(function*() {
        yield* Users.insert(user, Option.none())
        const cookie = yield* SecurityTest.cookie(Auth, { userId: user.id })
        assert.strictEqual((yield* get({ cookie })).status, 200)
        yield* TestClock.adjust("30 minutes")
        assert.strictEqual((yield* get({ cookie })).status, 401)
      }).pipe(Effect.provide(Live)),
    { fastCheck: { numRuns: 10 } }
  )

  it.effect.prop(
    "is none for a token that nobody was given, or that is none",
    [SecurityTest.arbitraryToken, SecurityTest.arbitraryMalformedToken],
    (tokens) =>
      Effect.gen(function*() {
        for (const token of tokens) {
          const response = yield* get({ cookie: `__Host-session=${token}` })
          assert.strictEqual(response.status, 401)
          assert.deepStrictEqual(response.headers.getSetCookie(), [])
        }
      }).pipe(Effect.provide(Live))
  )
})
