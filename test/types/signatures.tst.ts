import type { HttpApp, HttpLayerRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpRouter } from "@effect/platform"
import type { RouteNotFound } from "@effect/platform/HttpServerError"
import type { ConfigError, Context, Option, Schema } from "effect"
import { Effect, Layer } from "effect"
import type { SecurityConfig, SecurityError, SessionAuth, SessionStore, SessionToken } from "effect-security"
import { describe, expect, test } from "tstyche"
import type { Claims, CurrentUser, UserId } from "./fixtures/app.js"
import {
  AdminGroup,
  api,
  ApiKeyAuth,
  ApiKeyLive,
  ApiLive,
  Auth,
  AuthFromConfig,
  AuthLive,
  AuthStored,
  MachineGroup,
  me,
  openRouter,
  openRoutes,
  protectedMe,
  router,
  routes,
  served,
  servedRoutes,
  TokenAuth,
  usedRouter,
  User,
  UserGroup,
  Users
} from "./fixtures/app.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse
type Session = { readonly userId: UserId }
type Supports<Operation extends string> = SecurityConfig.Supports<Auth, Operation>

declare const handler: Effect.Effect<"done", "mine", CurrentUser | Users>

describe("protect", () => {
  test("adds the ways to fail and the Tag, and provides the user", () => {
    expect(Auth.protect(handler)).type.toBe<
      Effect.Effect<"done", "mine" | SecurityError.SecurityError, Auth | Users | Request>
    >()
    expect(ApiKeyAuth.protect(handler)).type.toBe<
      Effect.Effect<"done", "mine" | SecurityError.SecurityError, ApiKeyAuth | Users | Request>
    >()
    expect(protectedMe).type.toBe<Effect.Effect<Response, SecurityError.SecurityError, Auth | Request>>()
  })

  test("takes a handler that reads no user", () => {
    expect(Auth.protect(Effect.succeed(1))).type.toBe<
      Effect.Effect<number, SecurityError.SecurityError, Auth | Request>
    >()
  })

  test("is piped into", () => {
    expect(handler.pipe(Auth.protect)).type.toBe<
      Effect.Effect<"done", "mine" | SecurityError.SecurityError, Auth | Users | Request>
    >()
  })

  test("of two backends needs both", () => {
    expect(Auth.protect(ApiKeyAuth.protect(me))).type.toBe<
      Effect.Effect<Response, SecurityError.SecurityError, Auth | ApiKeyAuth | Request>
    >()
  })

  test("is used by an HttpRouter for all of its routes", () => {
    expect(openRouter).type.toBe<HttpRouter.HttpRouter<never, CurrentUser>>()
    expect(usedRouter).type.toBe<HttpRouter.HttpRouter<SecurityError.SecurityError, Auth>>()
    const needy = HttpRouter.empty.pipe(HttpRouter.get("/", Effect.zipRight(Users, me)))
    expect(needy.pipe(HttpRouter.use(Auth.protect))).type.toBe<
      HttpRouter.HttpRouter<SecurityError.SecurityError, Auth | Users>
    >()
  })
})

describe("middleware", () => {
  test("adds the ways to fail and the Tag, and provides nothing", () => {
    expect(Auth.middleware(HttpRouter.empty)).type.toBe<
      HttpApp.Default<RouteNotFound | SecurityError.SecurityError, Auth>
    >()
    expect(HttpRouter.empty.pipe(Auth.middleware)).type.toBe<
      HttpApp.Default<RouteNotFound | SecurityError.SecurityError, Auth>
    >()
    const app = null as unknown as HttpApp.Default<"mine", Users>
    expect(Auth.middleware(app)).type.toBe<HttpApp.Default<"mine" | SecurityError.SecurityError, Auth | Users>>()
    expect(ApiKeyAuth.middleware(Auth.middleware(app))).type.toBe<
      HttpApp.Default<"mine" | SecurityError.SecurityError, Auth | ApiKeyAuth | Users>
    >()
  })

  test("keeps what operations need", () => {
    expect(router.pipe(Auth.middleware)).type.toBe<
      HttpApp.Default<
        | RouteNotFound
        | SecurityError.SecurityError
        | SecurityError.SessionTooLarge
        | SecurityError.CookieTooLarge,
        Auth | Supports<"login"> | Supports<"logout"> | Supports<"revokeAll">
      >
    >()
  })
})

describe("accessors", () => {
  test("of the user say that nobody may be signed in", () => {
    expect(Auth.user).type.toBe<Effect.Effect<User, SecurityError.SecurityError, Auth | Request>>()
    expect(ApiKeyAuth.user).type.toBe<Effect.Effect<User, SecurityError.SecurityError, ApiKeyAuth | Request>>()
  })

  test("of an optional user fail for an outage alone", () => {
    expect(Auth.userOption).type.toBe<
      Effect.Effect<Option.Option<User>, SecurityError.SecurityUnavailable, Auth | Request>
    >()
  })

  test("of the user and the credential have both", () => {
    expect(Auth.authenticated).type.toBe<
      Effect.Effect<SecurityConfig.Authenticated<User, Session>, SecurityError.SecurityError, Auth | Request>
    >()
    expect(TokenAuth.authenticated).type.toBe<
      Effect.Effect<
        SecurityConfig.Authenticated<User, typeof Claims.Type>,
        SecurityError.SecurityError,
        TokenAuth | Request
      >
    >()
    expect(ApiKeyAuth.authenticated).type.toBe<
      Effect.Effect<
        SecurityConfig.Authenticated<User, SecurityConfig.NoAuth>,
        SecurityError.SecurityError,
        ApiKeyAuth | Request
      >
    >()
    expect(Auth.session).type.toBe<Effect.Effect<Session, SecurityError.SecurityError, Auth | Request>>()
    expect(Auth.auth).type.toBe<Schema.Schema<Session, any>>()
  })
})

describe("operations", () => {
  test("that sign in and out", () => {
    expect(Auth.login).type.toBe<
      (auth: Session, options?: SecurityConfig.LoginOptions) => Effect.Effect<
        void,
        | SecurityError.NotAuthorized
        | SecurityError.CrossSiteRejected
        | SecurityError.SecurityUnavailable
        | SecurityError.SessionTooLarge
        | SecurityError.CookieTooLarge,
        Supports<"login"> | Request
      >
    >()
    expect(Auth.logout).type.toBe<
      Effect.Effect<
        void,
        SecurityError.CrossSiteRejected | SecurityError.SecurityUnavailable,
        Supports<"logout"> | Request
      >
    >()
  })

  test("that change the session", () => {
    expect(Auth.update).type.toBe<
      (f: (_: Session) => Session) => Effect.Effect<
        void,
        | SecurityError.SecurityError
        | SecurityError.SessionConflict
        | SecurityError.SessionTooLarge
        | SecurityError.CookieTooLarge,
        Supports<"update"> | Request
      >
    >()
    expect(Auth.rotate).type.toBe<Effect.Effect<void, SecurityError.SecurityError, Supports<"rotate"> | Request>>()
  })

  test("that end sessions", () => {
    expect(Auth.sessions).type.toBe<
      Effect.Effect<
        ReadonlyArray<SessionAuth.SessionInfo>,
        SecurityError.SecurityError,
        Supports<"sessions"> | Request
      >
    >()
    expect(Auth.revoke).type.toBe<
      (id: SessionToken.SessionId) => Effect.Effect<void, SecurityError.SecurityError, Supports<"revoke"> | Request>
    >()
    expect(Auth.revokeAll).type.toBe<
      (
        options?: SessionAuth.RevokeAllOptions
      ) => Effect.Effect<void, SecurityError.SecurityError, Supports<"revokeAll"> | Request>
    >()
    expect(Auth.revokeSubject).type.toBe<
      (subject: string) => Effect.Effect<void, SecurityError.SecurityUnavailable, Supports<"revokeAll">>
    >()
  })

  test("fail in the ways that the schemas for an endpoint have", () => {
    expect<Effect.Effect.Error<ReturnType<typeof Auth.login>>>().type.toBeAssignableTo<SecurityError.LoginError>()
    expect<Effect.Effect.Error<typeof Auth.logout>>().type.toBeAssignableTo<SecurityError.SecurityError>()
    expect<Schema.Schema.Type<typeof SecurityError.SecurityError>>().type.toBe<SecurityError.SecurityError>()
    expect<Schema.Schema.Type<typeof SecurityError.LoginError>>().type.toBe<SecurityError.LoginError>()
  })
})

describe("Layers", () => {
  type Stored = Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>

  test("give the Tag and what its backend can do", () => {
    expect(AuthStored).type.toBe<Layer.Layer<Stored, never, SessionStore.SessionStore | Users>>()
    expect(AuthLive).type.toBe<Layer.Layer<Stored, never, Users>>()
    expect(AuthFromConfig).type.toBe<
      Layer.Layer<Stored, ConfigError.ConfigError, SessionStore.SessionStore | Users>
    >()
    expect(ApiKeyLive).type.toBe<Layer.Layer<ApiKeyAuth>>()
  })

  test("leave nothing else to be provided by a server", () => {
    expect(served).type.toBe<Layer.Layer<never, never, Users | HttpServer.HttpServer>>()
    expect(servedRoutes).type.toBe<Layer.Layer<never, never, Users | HttpServer.HttpServer>>()
  })
})

describe("on an HttpLayerRouter", () => {
  test("layerMiddleware provides the user to the routes and adds the ways to fail", () => {
    expect(Auth.layerMiddleware).type.toBe<
      Layer.Layer<
        HttpLayerRouter.Request<"Requires", CurrentUser>,
        never,
        Auth | HttpLayerRouter.Request.From<"Error", SecurityError.SecurityError>
      >
    >()
    expect(openRoutes).type.toBe<
      Layer.Layer<never, never, HttpLayerRouter.HttpRouter | HttpLayerRouter.Request<"Requires", CurrentUser>>
    >()
    expect(routes).type.toBe<
      Layer.Layer<
        never,
        never,
        | HttpLayerRouter.HttpRouter
        | Auth
        | HttpLayerRouter.Request.From<"Error", SecurityError.SecurityError>
      >
    >()
  })
})

describe("on an HttpApi", () => {
  test("an endpoint, a group and an api that have the middleware fail as it does and need it", () => {
    const endpoint = HttpApiEndpoint.get("me", "/user").addSuccess(User).middleware(Auth)
    expect<HttpApiEndpoint.HttpApiEndpoint.Error<typeof endpoint>>().type.toBe<SecurityError.SecurityError>()
    expect<HttpApiEndpoint.HttpApiEndpoint.ErrorContext<typeof endpoint>>().type.toBe<never>()
    const group = HttpApiGroup.make("user").add(HttpApiEndpoint.get("me", "/user")).middleware(Auth)
    expect<HttpApiGroup.HttpApiGroup.Error<typeof group>>().type.toBe<SecurityError.SecurityError>()
    expect<HttpApiGroup.HttpApiGroup.Provides<typeof group>>().type.toBe<CurrentUser>()
    const whole = HttpApi.make("app").middleware(Auth)
    expect(whole).type.toBeAssignableTo<HttpApi.HttpApi<"app", never, any, Auth>>()
  })

  test("the Layer of a group needs the Tag, what its handlers do, and no user", () => {
    expect(UserGroup).type.toBe<
      Layer.Layer<HttpApiGroup.ApiGroup<"app", "user">, never, Auth | Supports<"login">>
    >()
    expect(MachineGroup).type.toBe<Layer.Layer<HttpApiGroup.ApiGroup<"app", "machine">, never, ApiKeyAuth>>()
    expect(AdminGroup).type.toBe<Layer.Layer<HttpApiGroup.ApiGroup<"staff", "admin">>>()
    expect(ApiLive).type.toBe<Layer.Layer<HttpApi.Api, never, Users>>()
  })

  test("describe and describeApi need the Tag and change no type", () => {
    expect(Auth.describe(Layer.succeed(HttpApi.Api, null as never))).type.toBe<Layer.Layer<HttpApi.Api, never, Auth>>()
    expect(Auth.describeApi(api)).type.toBe<Effect.Effect<typeof api, never, Auth>>()
  })

  test("the Tag is what the platform takes for a middleware with security", () => {
    expect(Auth.provides).type.toBe<Context.Tag<CurrentUser, User>>()
    expect(Auth.failure).type.toBe<typeof SecurityError.SecurityError>()
    expect(Auth.optional).type.toBe<false>()
    expect(Auth.key).type.toBe<"app/Auth">()
  })
})
