import type { HttpApi, HttpApiGroup } from "@effect/platform"
import { HttpApiBuilder, HttpApp, HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import type { Context } from "effect"
import { Effect, Layer } from "effect"
import type { SecurityConfig } from "effect-security"
import { describe, expect, test } from "tstyche"
import type { Admin, AdminId, ApiKeyAuth, User, UserId } from "./fixtures/app.js"
import {
  AdminAuth,
  AdminGroup,
  AdminLive,
  api,
  Auth,
  AuthLive,
  CurrentUser,
  DeviceAuth,
  DeviceLive,
  me,
  openRoutes,
  protectedMe,
  Staff,
  UserGroup
} from "./fixtures/app.js"

declare const user: User
declare const admin: Admin
declare const userId: UserId
declare const adminId: typeof AdminId.Type

const answer = Effect.as(HttpServerResponse.empty())

describe("one realm's user", () => {
  test("is not found for another", () => {
    // @ts-expect-error Type 'Effect<Option<User>, never, never>' is not assignable to type 'Effect<Option<Admin>, never, never>'...Property 'level' is missing in type 'User' but required in type 'Admin'.
    AdminAuth.layer({ retrieveUser: () => Effect.succeedSome(user) })
    // @ts-expect-error Type 'Effect<Option<Admin>, never, never>' is not assignable to type 'Effect<Option<User>, never, never>'...Property 'name' is missing in type 'Admin' but required in type 'User'.
    Auth.layer({ retrieveUser: () => Effect.succeedSome(admin) })
  })

  test("is not who another's handler reads", () => {
    expect(AdminAuth.user).type.not.toBeAssignableTo<Effect.Effect<User, any, any>>()
    expect(AdminAuth.protect(me)).type.not.toBeAssignableTo<Effect.Effect<any, any, AdminAuth>>()
    // @ts-expect-error Type 'CurrentUser' is not assignable to type '
    HttpApp.toWebHandlerLayer(AdminAuth.protect(me), AdminLive)
  })

  test("is not provided by another's middleware of an HttpLayerRouter", () => {
    const routes = openRoutes.pipe(Layer.provide(AdminAuth.layerMiddleware), Layer.provide(AdminLive))
    const { handler } = HttpLayerRouter.toWebHandler(routes)
    expect(handler).type.toBe<(request: Request, context: Context.Context<CurrentUser>) => Promise<Response>>()
  })

  test("is not provided by another's middleware of an HttpApi", () => {
    const group = HttpApiBuilder.group(
      Staff,
      "admin",
      (handlers) => handlers.handle("who", () => Effect.as(CurrentUser, admin))
    )
    // @ts-expect-error Type 'CurrentUser' is not assignable to type 'never'.
    const live: Layer.Layer<HttpApiGroup.ApiGroup<"staff", "admin">> = group
  })

  test("is not told of by another's guard", () => {
    const guard: SecurityConfig.Guard<Admin> = () => Effect.void
    // @ts-expect-error Type 'Guard<Admin, never>' is not assignable to type 'Guard<User, never>'...Property 'level' is missing in type 'User' but required in type 'Admin'.
    Auth.layer({ retrieveUser: () => Effect.succeedNone, guards: [guard] })
  })
})

describe("one realm's session", () => {
  test("does not sign in to another", () => {
    // @ts-expect-error Type 'string & Brand<"AdminId">' is not assignable to type 'string & Brand<"UserId">'.
    Auth.login({ userId: adminId })
    // @ts-expect-error Object literal may only specify known properties, and 'userId' does not exist in type '{ readonly admin: string & Brand<"AdminId">; }'.
    AdminAuth.login({ userId })
    // @ts-expect-error Type 'string & Brand<"UserId">' is not assignable to type 'string & Brand<"AdminId">'.
    AdminAuth.login({ admin: userId })
  })

  test("is not another's to update or to read", () => {
    // @ts-expect-error Property 'admin' does not exist on type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.update((session) => ({ userId: session.admin }))
    expect(AdminAuth.session).type.not.toBeAssignableTo<Effect.Effect<{ readonly userId: UserId }, any, any>>()
    // @ts-expect-error Property 'userId' does not exist on type '{ readonly admin: string & Brand<"AdminId">; }'.
    AdminAuth.layer({ retrieveUser: ({ userId }) => Effect.succeedNone })
  })
})

describe("one realm's Layer", () => {
  test("does not serve what another protects", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type 'AdminAuth'.
    HttpApp.toWebHandlerLayer(protectedMe, AdminLive)
    // @ts-expect-error Type 'Auth' is not assignable to type 'ApiKeyAuth'.
    HttpApp.toWebHandlerLayer(protectedMe, null as unknown as Layer.Layer<ApiKeyAuth>)
  })

  test("does not serve what another protects, when both have the same user and session", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type 'DeviceAuth'...Type '"app/Auth"' is not assignable to type '"app/DeviceAuth"'.
    HttpApp.toWebHandlerLayer(protectedMe, DeviceLive)
    HttpApp.toWebHandlerLayer(DeviceAuth.protect(me), DeviceLive)
  })

  test("does not do what another's operations need", () => {
    // @ts-expect-error Type 'Supports<Auth, "login">' is not assignable to type 'Supports<DeviceAuth, Stored>'.
    HttpApp.toWebHandlerLayer(answer(Auth.login({ userId })), DeviceLive)
    // @ts-expect-error Type 'Supports<Auth, "logout">' is not assignable to type 'Supports<AdminAuth, Stored>'.
    HttpApp.toWebHandlerLayer(answer(Auth.logout), AdminLive)
    // @ts-expect-error Type 'Supports<Auth, "revokeAll">' is not assignable to type 'never'.
    Effect.runPromise(Effect.provide(Auth.revokeSubject("1"), DeviceLive))
    Effect.runPromise(Effect.provide(DeviceAuth.revokeSubject("1"), DeviceLive))
  })

  test("does not serve another's HttpApi", () => {
    const live = Layer.provide(UserGroup, [DeviceLive, AdminLive])
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    const complete: Layer.Layer<HttpApiGroup.ApiGroup<"app", "user">> = live
    const staff = HttpApiBuilder.api(Staff).pipe(Layer.provide(AdminGroup), Layer.provide(AuthLive))
    // @ts-expect-error Type 'AdminAuth' is not assignable to type 'never'.
    const completeStaff: Layer.Layer<HttpApi.Api> = staff
  })

  test("does not describe another's api", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    Effect.runSync(Effect.provide(Auth.describeApi(api), DeviceLive))
  })
})

describe("the instance types of two Tags", () => {
  test("are not assignable to each other", () => {
    expect<Auth>().type.not.toBeAssignableTo<DeviceAuth>()
    expect<DeviceAuth>().type.not.toBeAssignableTo<Auth>()
    expect<Auth>().type.not.toBeAssignableTo<AdminAuth>()
    expect<AdminAuth>().type.not.toBeAssignableTo<Auth>()
    expect<Auth>().type.not.toBeAssignableTo<ApiKeyAuth>()
    expect<ApiKeyAuth>().type.not.toBeAssignableTo<Auth>()
    // @ts-expect-error Type 'Auth' is not assignable to type 'DeviceAuth'...Type '"app/Auth"' is not assignable to type '"app/DeviceAuth"'.
    const device: DeviceAuth = null as unknown as Auth
  })

  test("keep their Layers and their capabilities apart", () => {
    expect<typeof DeviceLive>().type.not.toBeAssignableTo<Layer.Layer<Auth, any, any>>()
    expect<SecurityConfig.Supports<Auth, "login">>().type.not.toBeAssignableTo<
      SecurityConfig.Supports<DeviceAuth, "login">
    >()
    expect<SecurityConfig.Supports<Auth, "login">>().type.not.toBeAssignableTo<
      SecurityConfig.Supports<Auth, "logout">
    >()
  })

  test("keep their services apart", () => {
    const backend = null as unknown as Context.Tag.Service<AdminAuth>
    // @ts-expect-error Argument of type 'Backend<Admin, { readonly admin: string & Brand<"AdminId">; }>' is not assignable to parameter of type 'Backend<User, { readonly userId: string & Brand<"UserId">; }>'.
    Layer.succeed(Auth, backend)
    // @ts-expect-error Property '[BackendTypeId]' is missing in type '{}' but required in type 'Backend<User, { readonly userId: string & Brand<"UserId">; }>'.
    Layer.succeed(Auth, {})
  })
})
