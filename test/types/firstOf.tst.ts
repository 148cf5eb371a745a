import type { HttpApiGroup, HttpServerRequest } from "@effect/platform"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApp, HttpLayerRouter, HttpServer } from "@effect/platform"
import { HttpApiGroup as Group } from "@effect/platform"
import type { Context, Option } from "effect"
import { Effect, Layer } from "effect"
import type { SecurityError } from "effect-security"
import { Permission, SecurityConfig } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { describe, expect, test } from "tstyche"
import {
  AdminAuth,
  ApiKeyAuth,
  ApiKeyLive,
  Auth,
  BasicAuth,
  CurrentUser,
  DeviceAuth,
  me,
  router,
  TokenAuth,
  TokenLive,
  User,
  UserId
} from "./fixtures/app.js"
import type { Users } from "./fixtures/app.js"

class Either extends SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth, TokenAuth, Auth]) {}

class Machines extends SecurityConfig.firstOf<Machines>()("app/Machines", [ApiKeyAuth, BasicAuth]) {}

declare const AuthReady: Layer.Layer<Auth>
declare const TokenReady: Layer.Layer<TokenAuth>
declare const user: User

/** What the credential of any member says. */
type Said = SecurityConfig.NoAuth | { readonly scope: string } | { readonly userId: UserId }

describe("several backends need", () => {
  test("their Self", () => {
    expect(SecurityConfig.firstOf()("app/Either", [ApiKeyAuth, Auth])).type.toBe<
      "Missing `Self` generic - use `class Self extends SecurityConfig.firstOf<Self>()...`"
    >()
    // @ts-expect-error Type '"Missing `Self` generic - use `class Self extends SecurityConfig.firstOf<Self>()...`"' is not a constructor
    class NoSelf extends SecurityConfig.firstOf()("app/Either", [ApiKeyAuth, Auth]) {}
  })

  test("a member", () => {
    // @ts-expect-error Source has 0 element(s) but target requires 1.
    SecurityConfig.firstOf<Either>()("app/Either", [])
    const unknown: ReadonlyArray<typeof ApiKeyAuth> = [ApiKeyAuth]
    // @ts-expect-error Source provides no match for required element at position 0 in target.
    SecurityConfig.firstOf<Either>()("app/Either", unknown)
    // @ts-expect-error Argument of type 'typeof ApiKeyAuth' is not assignable to parameter of type 'readonly [Base<
    SecurityConfig.firstOf<Either>()("app/Either", ApiKeyAuth)
    SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth])
  })

  test("members that are backends", () => {
    // @ts-expect-error Type 'typeof CurrentUser' is missing the following properties from type 'Base<any, any, any, any, any>'
    SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth, CurrentUser])
    class Edit extends Permission.Tag<Edit>()("app/Edit", { auth: Auth }) {}
    // @ts-expect-error Type 'typeof Edit' is missing the following properties from type 'Base<any, any, any, any, any>'
    SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth, Edit])
  })

  test("members that provide the same user, whichever of them is another's", () => {
    // @ts-expect-error Type '[typeof ApiKeyAuth, typeof AdminAuth]' is not assignable to type '"The members of `firstOf` provide different users: declare all of them with the same `user` Tag"'.
    SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth, AdminAuth])
    // @ts-expect-error is not assignable to type '"The members of `firstOf` provide different users: declare all of them with the same `user` Tag"'.
    SecurityConfig.firstOf<Either>()("app/Either", [AdminAuth, ApiKeyAuth, Auth])
    // @ts-expect-error is not assignable to type '"The members of `firstOf` provide different users: declare all of them with the same `user` Tag"'.
    SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth, Auth, DeviceAuth, AdminAuth])
    // @ts-expect-error is not assignable to type '"The members of `firstOf` provide different users: declare all of them with the same `user` Tag"'.
    SecurityConfig.firstOf<Either>()("app/Either", [Machines, AdminAuth])
    SecurityConfig.firstOf<Either>()("app/Either", [ApiKeyAuth, Auth, DeviceAuth, TokenAuth, BasicAuth])
  })
})

describe("the Layer of several backends", () => {
  test("needs that of each member", () => {
    expect(Either.layer()).type.toBe<Layer.Layer<Either, never, ApiKeyAuth | TokenAuth | Auth>>()
    expect(Either.layer({ exclude: ["/login", "POST /signup"] })).type.toBe<
      Layer.Layer<Either, never, ApiKeyAuth | TokenAuth | Auth>
    >()
    expect(Either.layer().pipe(Layer.provide([ApiKeyLive, TokenLive]))).type.toBe<
      Layer.Layer<Either, never, Auth | Users>
    >()
  })

  test("is not served without that of one", () => {
    const partly = Either.layer().pipe(Layer.provide([ApiKeyLive, TokenReady]))
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    HttpApp.toWebHandlerLayer(Either.protect(me), partly)
    HttpApp.toWebHandlerLayer(Either.protect(me), Layer.provide(partly, AuthReady))
    // @ts-expect-error Type 'Either' is not assignable to type '
    HttpApp.toWebHandlerLayer(Either.protect(me), Layer.mergeAll(ApiKeyLive, TokenReady, AuthReady))
  })

  test("takes `exclude` and nothing that is a member's", () => {
    // @ts-expect-error Type '"login"' is not assignable to type 'Entry'.
    Either.layer({ exclude: ["login"] })
    // @ts-expect-error Object literal may only specify known properties, and 'guards' does not exist in type
    Either.layer({ guards: [] })
    // @ts-expect-error Object literal may only specify known properties, and 'timeout' does not exist in type
    Either.layer({ timeout: "1 second" })
  })

  test("may be that of several backends again", () => {
    class Outer extends SecurityConfig.firstOf<Outer>()("app/Outer", [Machines, Auth]) {}
    expect(Outer.layer()).type.toBe<Layer.Layer<Outer, never, Machines | Auth>>()
    expect(Outer.user).type.toBe<
      Effect.Effect<User, SecurityError.SecurityError, Outer | HttpServerRequest.HttpServerRequest>
    >()
  })

  test("may be played in a test", () => {
    expect(SecurityTest.layerAs(Either, user)).type.toBe<Layer.Layer<Either>>()
    expect(SecurityTest.layerAs(Either, user, { auth: { scope: "read" } })).type.toBe<Layer.Layer<Either>>()
    // @ts-expect-error Type 'number' is not assignable to type 'string'.
    SecurityTest.layerAs(Either, user, { auth: { scope: 1 } })
  })
})

describe("what a request was found to be", () => {
  test("is a user of the Tag that all members have, and what the credential of one of them says", () => {
    expect(Either.user).type.toBe<
      Effect.Effect<User, SecurityError.SecurityError, Either | HttpServerRequest.HttpServerRequest>
    >()
    expect(Either.userOption).type.toBe<
      Effect.Effect<
        Option.Option<User>,
        SecurityError.SecurityUnavailable,
        Either | HttpServerRequest.HttpServerRequest
      >
    >()
    expect(Either.authenticated).type.toBe<
      Effect.Effect<
        SecurityConfig.Authenticated<User, Said>,
        SecurityError.SecurityError,
        Either | HttpServerRequest.HttpServerRequest
      >
    >()
    expect(Either.provides).type.toBe<Context.Tag<CurrentUser, User>>()
  })

  test("is not read from the credential without a look at which one it is", () => {
    // @ts-expect-error Property 'userId' does not exist on type
    Effect.map(Either.authenticated, ({ auth }) => auth.userId)
    Effect.map(Either.authenticated, ({ auth }) => "userId" in auth ? auth.userId : undefined)
  })

  test("is of one member where there is but one", () => {
    const One = SecurityConfig.firstOf<Either>()("app/Either", [TokenAuth])
    expect(One.authenticated).type.toBe<
      Effect.Effect<
        SecurityConfig.Authenticated<User, { readonly scope: string }>,
        SecurityError.SecurityError,
        Either | HttpServerRequest.HttpServerRequest
      >
    >()
  })
})

describe("several backends protect", () => {
  test("a handler, which has the user", () => {
    expect(Either.protect(me)).type.toBeAssignableTo<
      Effect.Effect<unknown, SecurityError.SecurityError, Either | HttpServerRequest.HttpServerRequest>
    >()
    // @ts-expect-error is not assignable to parameter of type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    Either.middleware(me)
    Either.middleware(router)
  })

  test("the routes of an HttpLayerRouter", () => {
    const routes = HttpLayerRouter.add("GET", "/user", me).pipe(Layer.provide(Either.layerMiddleware))
    // @ts-expect-error Type 'Either' is not assignable to type '
    HttpLayerRouter.toWebHandler(routes)
    HttpLayerRouter.toWebHandler(Layer.provide(routes, SecurityTest.layerAs(Either, user)))
  })

  test("an endpoint of an HttpApi, whose handler has the user", () => {
    const api = HttpApi.make("api").add(
      Group.make("group").add(HttpApiEndpoint.get("me", "/user").addSuccess(User).middleware(Either))
    )
    const group = HttpApiBuilder.group(api, "group", (handlers) => handlers.handle("me", () => CurrentUser))
    expect(group).type.toBe<Layer.Layer<HttpApiGroup.ApiGroup<"api", "group">, never, Either>>()
    const live = HttpApiBuilder.api(api).pipe(Layer.provide(group))
    // @ts-expect-error Type 'Either' is not assignable to type 'never'.
    HttpApiBuilder.toWebHandler(Layer.mergeAll(live, HttpServer.layerContext))
  })

  test("what a permission is about", () => {
    class Read extends Permission.Tag<Read>()("app/Read", { auth: Either }) {}
    expect(Read.layer(() => Effect.void)).type.toBe<Layer.Layer<Read, never, Either>>()
  })
})

describe("what only one member can do", () => {
  test("is called on that one", () => {
    // @ts-expect-error Property 'login' does not exist on type 'typeof Either'.
    Either.login({ userId: UserId.make("1") })
    // @ts-expect-error Property 'logout' does not exist on type 'typeof Either'.
    Effect.ignore(Either.logout)
    // @ts-expect-error Property 'session' does not exist on type 'typeof Either'.
    Effect.ignore(Either.session)
  })
})
