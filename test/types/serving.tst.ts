import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApp,
  HttpLayerRouter,
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import type { Context } from "effect"
import { Effect, flow, Layer, Stream } from "effect"
import { describe, expect, test } from "tstyche"
import type { Users } from "./fixtures/app.js"
import {
  api,
  ApiKeyAuth,
  ApiKeyLive,
  Auth,
  AuthLive,
  CurrentUser,
  MachineGroup,
  me,
  openRouter,
  openRoutes,
  protectedMe,
  router,
  routes,
  Staff,
  User,
  UserGroup
} from "./fixtures/app.js"

declare const UsersLive: Layer.Layer<Users>
declare const ServerLive: Layer.Layer<HttpServer.HttpServer>

const Live = Layer.provide(AuthLive, UsersLive)

/** An api whose endpoint asks nobody who the user is. */
const openApi = HttpApi.make("open").add(
  HttpApiGroup.make("user").add(HttpApiEndpoint.get("me", "/user").addSuccess(User))
)
const openGroup = HttpApiBuilder.group(openApi, "user", (handlers) => handlers.handle("me", () => CurrentUser))
const openApiLive = Layer.provide(HttpApiBuilder.api(openApi), openGroup)

const guardedApi = HttpApi.make("guarded").add(
  HttpApiGroup.make("user").add(HttpApiEndpoint.get("me", "/user").addSuccess(User).middleware(Auth))
)
const guardedGroup = HttpApiBuilder.group(guardedApi, "user", (handlers) => handlers.handle("me", () => CurrentUser))
const guardedApiLive = Layer.provide(HttpApiBuilder.api(guardedApi), guardedGroup)

describe("a stream", () => {
  const names = Stream.encodeText(Stream.fromEffect(Effect.map(CurrentUser, ({ name }) => name)))

  test("does not get the user from the handler that answers with it", () => {
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    HttpServerResponse.stream(names)
  })

  test("gets the user where it is provided with it", () => {
    const handler = Effect.map(
      CurrentUser,
      (user) => HttpServerResponse.stream(Stream.provideService(names, CurrentUser, user))
    )
    expect(Auth.protect(handler)).type.toBeAssignableTo<
      Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>
    >()
  })
})

describe("a handler that reads the user is not served without protect", () => {
  test("as an HttpApp", () => {
    // @ts-expect-error Type 'CurrentUser' is not assignable to type '
    HttpApp.toWebHandler(me)
    // @ts-expect-error Type 'CurrentUser' is not assignable to type '
    HttpApp.toWebHandlerLayer(me, Live)
    const launched = HttpServer.serve(me).pipe(Layer.provide([ServerLive, Live]), Layer.launch)
    expect(launched).type.toBe<Effect.Effect<never, never, CurrentUser>>()
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    Effect.runFork(launched)
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    NodeRuntime.runMain(launched)
  })

  test("in an HttpRouter", () => {
    // @ts-expect-error Type 'CurrentUser' is not assignable to type '
    HttpApp.toWebHandler(openRouter)
    // @ts-expect-error Type 'CurrentUser' is not assignable to type '
    HttpApp.toWebHandlerLayer(openRouter, Live)
    const launched = openRouter.pipe(HttpServer.serve(), Layer.provide([ServerLive, Live]), Layer.launch)
    expect(launched).type.toBe<Effect.Effect<never, never, CurrentUser>>()
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("in an HttpLayerRouter", () => {
    const launched = HttpLayerRouter.serve(openRoutes).pipe(Layer.provide([ServerLive, Live]), Layer.launch)
    expect(launched).type.toBe<Effect.Effect<never, never, CurrentUser>>()
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    Effect.runFork(launched)
    const { handler } = HttpLayerRouter.toWebHandler(openRoutes)
    expect(handler).type.toBe<(request: Request, context: Context.Context<CurrentUser>) => Promise<Response>>()
    // @ts-expect-error Expected 2 arguments, but got 1.
    handler(new Request("http://localhost/user"))
  })

  test("as an endpoint of an HttpApi", () => {
    expect(openGroup).type.toBe<Layer.Layer<HttpApiGroup.ApiGroup<"open", "user">, never, CurrentUser>>()
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    HttpApiBuilder.toWebHandler(Layer.mergeAll(openApiLive, HttpServer.layerContext))
    const launched = HttpApiBuilder.serve().pipe(
      Layer.provide([openApiLive, NodeHttpServer.layerTest, Live]),
      Layer.launch
    )
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("as an endpoint of an HttpApi in an HttpLayerRouter", () => {
    const launched = HttpLayerRouter.addHttpApi(openApi).pipe(
      Layer.provide(openGroup),
      HttpLayerRouter.serve,
      Layer.provide([NodeHttpServer.layerTest, Live]),
      Layer.launch
    )
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("and is served with it", () => {
    HttpApp.toWebHandlerLayer(protectedMe, Live)
    HttpApp.toWebHandlerLayer(openRouter.pipe(HttpRouter.use(Auth.protect)), Live)
    HttpLayerRouter.toWebHandler(Layer.provide(routes, Live)).handler(new Request("http://localhost/user"))
    HttpApiBuilder.toWebHandler(Layer.mergeAll(Layer.provide(guardedApiLive, Live), HttpServer.layerContext))
    HttpApp.toWebHandlerLayer(ApiKeyAuth.protect(me), ApiKeyLive)
  })
})

describe("a protected handler is not served without the Layer of its Tag", () => {
  test("as an HttpApp", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type '
    HttpApp.toWebHandler(protectedMe)
    // @ts-expect-error Type 'Auth' is not assignable to type '
    HttpApp.toWebHandlerLayer(protectedMe, UsersLive)
    const launched = HttpServer.serve(protectedMe).pipe(Layer.provide(ServerLive), Layer.launch)
    expect(launched).type.toBe<Effect.Effect<never, never, Auth>>()
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    Effect.runFork(launched)
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    NodeRuntime.runMain(launched)
  })

  test("in an HttpRouter", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type '
    openRouter.pipe(HttpRouter.use(Auth.protect), (router) => HttpApp.toWebHandler(router))
    const launched = router.pipe(HttpServer.serve(), Layer.provide(ServerLive), Layer.launch)
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("behind the app-wide gate", () => {
    const launched = HttpRouter.empty.pipe(
      Auth.middleware,
      HttpServer.serve(),
      Layer.provide(ServerLive),
      Layer.launch
    )
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("in an HttpLayerRouter", () => {
    const launched = HttpLayerRouter.serve(routes).pipe(Layer.provide(ServerLive), Layer.launch)
    expect(launched).type.toBe<Effect.Effect<never, never, Auth>>()
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    Effect.runFork(launched)
    // @ts-expect-error Type 'Auth' is not assignable to type '
    HttpLayerRouter.toWebHandler(routes)
  })

  test("as an endpoint of an HttpApi", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    HttpApiBuilder.toWebHandler(Layer.mergeAll(guardedApiLive, HttpServer.layerContext))
    const launched = HttpApiBuilder.serve().pipe(
      Layer.provide([guardedApiLive, NodeHttpServer.layerTest]),
      Layer.launch
    )
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("as the middleware of a whole HttpApi", () => {
    const live = Layer.mergeAll(HttpApiBuilder.api(Staff), HttpServer.layerContext)
    // @ts-expect-error Type 'AdminAuth' is not assignable to type 'never'.
    HttpApiBuilder.toWebHandler(Layer.provide(live, StaffGroups))
  })

  test("when only one of two backends has its Layer", () => {
    const live = HttpApiBuilder.api(api).pipe(Layer.provide([UserGroup, MachineGroup]), Layer.provide(Live))
    // @ts-expect-error Type 'ApiKeyAuth' is not assignable to type 'never'.
    HttpApiBuilder.toWebHandler(Layer.mergeAll(live, HttpServer.layerContext))
  })

  test("when the Layer lacks what it needs itself", () => {
    // @ts-expect-error Type 'Users' is not assignable to type 'never'.
    HttpApp.toWebHandlerLayer(protectedMe, AuthLive)
  })
})

describe("the app-wide gate takes no app that still needs the user", () => {
  test("given directly", () => {
    // @ts-expect-error is not assignable to parameter of type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    Auth.middleware(me)
    // @ts-expect-error is not assignable to parameter of type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    Auth.middleware(openRouter)
    // @ts-expect-error is not assignable to parameter of type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    ApiKeyAuth.middleware(me)
  })

  test("piped", () => {
    // @ts-expect-error is not assignable to type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    me.pipe(Auth.middleware)
    // @ts-expect-error is not assignable to type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    openRouter.pipe(Auth.middleware)
    // @ts-expect-error is not assignable to type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    openRouter.pipe(Auth.middleware, HttpServer.serve())
  })

  test("as the middleware of a server", () => {
    // @ts-expect-error is not assignable to type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    HttpServer.serve(openRouter, Auth.middleware)
    // @ts-expect-error is not assignable to type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    openRouter.pipe(HttpServer.serve(Auth.middleware))
    // @ts-expect-error is not assignable to type '"This app still needs the user. `middleware` only lets authenticated requests in: wrap the handler in `protect`, or read `user`"'.
    openRouter.pipe(HttpServer.serve(flow(Auth.middleware, HttpMiddleware.logger)))
  })

  test("and takes one that does not", () => {
    expect(Auth.middleware).type.toBeCallableWith(router)
    expect(Auth.middleware).type.toBeCallableWith(protectedMe)
    expect(Auth.middleware).type.toBeCallableWith(HttpRouter.empty)
    HttpApp.toWebHandlerLayer(router.pipe(Auth.middleware), Live)
    HttpServer.serve(router, Auth.middleware)
    router.pipe(HttpServer.serve(Auth.middleware))
    router.pipe(HttpServer.serve(flow(Auth.middleware, HttpMiddleware.logger)))
    router.pipe(Auth.middleware, HttpMiddleware.logger, HttpServer.serve())
  })
})

declare const StaffGroups: Layer.Layer<HttpApiGroup.ApiGroup<"staff", "admin">>
