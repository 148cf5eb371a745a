import type { HttpServerRequest } from "@effect/platform"
import { HttpRouter } from "@effect/platform"
import { Effect, Layer, Schema } from "effect"
import type { FastCheck } from "effect"
import type { Password, SecurityError } from "effect-security"
import { SecurityConfig, Session, SessionStore, UserRepository } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { describe, expect, test } from "tstyche"
import type { Admin } from "./fixtures/app.js"
import { AdminAuth, AdminId, api, ApiKeyAuth, Auth, AuthLive, TokenAuth, User, UserId, Users } from "./fixtures/app.js"

declare const user: User
declare const admin: Admin
const userId = UserId.make("1")
const adminId = AdminId.make("1")

class Cart extends Session.Tag<Cart>()("app/Cart", {
  session: Schema.Struct({ items: Schema.Array(Schema.String) }),
  empty: { items: [] }
}) {}

describe("layerAs", () => {
  test("gives the backend and needs nothing", () => {
    expect(SecurityTest.layerAs(Auth, user)).type.toBe<Layer.Layer<Auth>>()
    expect(SecurityTest.layerAs(Auth, user, { auth: { userId } })).type.toBe<Layer.Layer<Auth>>()
    expect(SecurityTest.layerAs(AdminAuth, admin)).type.toBe<Layer.Layer<AdminAuth>>()
    expect(SecurityTest.layerAs(ApiKeyAuth, user)).type.toBe<Layer.Layer<ApiKeyAuth>>()
    expect(SecurityTest.layerAs(TokenAuth, user, { auth: { scope: "read" } })).type.toBe<Layer.Layer<TokenAuth>>()
  })

  test("does not give what the backend's operations need", () => {
    const login = Effect.provide(Auth.login({ userId }), SecurityTest.layerAs(Auth, user))
    expect<Effect.Effect.Context<typeof login>>().type.toBe<
      SecurityConfig.Supports<Auth, "login"> | HttpServerRequest.HttpServerRequest
    >()
  })

  test("takes a user of the Tag and no other", () => {
    // @ts-expect-error Argument of type 'Admin' is not assignable to parameter of type 'User'
    SecurityTest.layerAs(Auth, admin)
    // @ts-expect-error Argument of type 'User' is not assignable to parameter of type 'Admin'
    SecurityTest.layerAs(AdminAuth, user)
    // @ts-expect-error Type 'string' is not assignable to type 'string & Brand<"UserId">'.
    SecurityTest.layerAs(Auth, { id: "1", name: "Ada" })
    // @ts-expect-error is not assignable to parameter of type 'User'
    SecurityTest.layerAs(ApiKeyAuth, {})
  })

  test("takes what the credential says and nothing else", () => {
    // @ts-expect-error is not assignable to type
    SecurityTest.layerAs(Auth, user, { auth: { userId: adminId } })
    // @ts-expect-error is not assignable to type
    SecurityTest.layerAs(Auth, user, { auth: { userId: "1" } })
    // @ts-expect-error is not assignable to type
    SecurityTest.layerAs(TokenAuth, user, { auth: { scope: 1 } })
    // @ts-expect-error Property '_' is missing in type '{}' but required in type 'NoAuth'.
    SecurityTest.layerAs(ApiKeyAuth, user, { auth: {} })
    // @ts-expect-error Property 'auth' is missing
    SecurityTest.layerAs(Auth, user, {})
  })

  test("is for backends", () => {
    // @ts-expect-error Argument of type 'typeof Users' is not assignable to parameter of type 'Base<Users, "app/Users", unknown, unknown, unknown>'
    SecurityTest.layerAs(Users, user)
    // @ts-expect-error is not assignable to parameter of type
    SecurityTest.layerAs(Cart, user)
  })
})

describe("cookie", () => {
  test("needs that the backend signs people in, or that sessions can be written, and no more", () => {
    expect(SecurityTest.cookie(Auth, { userId })).type.toBe<
      Effect.Effect<string, never, SecurityConfig.Supports<Auth, "login">>
    >()
    expect(SecurityTest.cookie(AdminAuth, { admin: adminId })).type.toBe<
      Effect.Effect<string, never, SecurityConfig.Supports<AdminAuth, "login">>
    >()
    expect(SecurityTest.cookie(Cart, { items: ["tea"] })).type.toBe<
      Effect.Effect<string, never, SecurityConfig.Supports<Cart, "update">>
    >()
  })

  test("is there with the Layers of the Tags", () => {
    const CartLive = Layer.provide(Cart.layer(), SessionStore.layerMemory)
    expect(Effect.provide(SecurityTest.cookie(Cart, { items: [] }), CartLive)).type.toBe<Effect.Effect<string>>()
    expect(Effect.provide(SecurityTest.cookie(Auth, { userId }), AuthLive)).type.toBe<
      Effect.Effect<string, never, Users>
    >()
  })

  test("is not there with layerAs, nor with the Layer of another Tag", () => {
    expect(Effect.provide(SecurityTest.cookie(Auth, { userId }), SecurityTest.layerAs(Auth, user))).type.toBe<
      Effect.Effect<string, never, SecurityConfig.Supports<Auth, "login">>
    >()
    expect(Effect.provide(SecurityTest.cookie(AdminAuth, { admin: adminId }), AuthLive)).type.toBe<
      Effect.Effect<string, never, SecurityConfig.Supports<AdminAuth, "login"> | Users>
    >()
  })

  test("takes a session of the Tag and no other", () => {
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(Auth, { userId: adminId })
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(Auth, { userId: "1" })
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(AdminAuth, { userId })
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(Cart, { items: [1] })
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(Cart, {})
  })

  test("is for sessions", () => {
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(ApiKeyAuth, {})
    // @ts-expect-error No overload matches this call.
    SecurityTest.cookie(TokenAuth, { scope: "read" })
  })
})

describe("arbitraries", () => {
  class Repository
    extends UserRepository.Tag<Repository>()("app/Repository", { user: User, id: "id", login: "name" })
  {}

  test("are of what the schemas say", () => {
    expect(SecurityTest.arbitrarySession(Auth)).type.toBe<FastCheck.Arbitrary<{ readonly userId: UserId }>>()
    expect(SecurityTest.arbitrarySession(Cart)).type.toBe<
      FastCheck.Arbitrary<{ readonly items: ReadonlyArray<string> }>
    >()
    expect(SecurityTest.arbitraryUser(Repository)).type.toBe<FastCheck.Arbitrary<User>>()
    expect(SecurityTest.arbitraryPassword).type.toBe<FastCheck.Arbitrary<Password.NewPassword>>()
    expect(SecurityTest.arbitraryToken).type.toBe<FastCheck.Arbitrary<string>>()
    expect(SecurityTest.arbitraryMalformedToken).type.toBe<FastCheck.Arbitrary<string>>()
  })
})

describe("whileAuthenticated", () => {
  interface Needed {
    readonly _: unique symbol
  }
  const self = null as unknown as Effect.Effect<number, "mine", Needed>

  test("adds the ways to fail and the needs of authentication, and provides nothing", () => {
    expect(Auth.whileAuthenticated(self)).type.toBe<
      Effect.Effect<number, "mine" | SecurityError.SecurityError, Needed | Auth | HttpServerRequest.HttpServerRequest>
    >()
    expect(ApiKeyAuth.whileAuthenticated(Effect.never)).type.toBe<
      Effect.Effect<never, SecurityError.SecurityError, ApiKeyAuth | HttpServerRequest.HttpServerRequest>
    >()
  })
})

describe("routes", () => {
  test("are listed of an api and of a router, and of nothing else", () => {
    expect(SecurityConfig.routes(api)).type.toBe<ReadonlyArray<SecurityConfig.Route>>()
    expect(SecurityConfig.routes(HttpRouter.empty)).type.toBe<ReadonlyArray<SecurityConfig.Route>>()
    // @ts-expect-error is not assignable to parameter of type
    SecurityConfig.routes(Effect.void)
    // @ts-expect-error is not assignable to parameter of type
    SecurityConfig.routes(Auth)
  })

  test("behind the gate need the backend, and no request", () => {
    expect(Auth.routes(HttpRouter.empty)).type.toBe<
      Effect.Effect<ReadonlyArray<SecurityConfig.Route>, never, Auth>
    >()
    // @ts-expect-error is not assignable to parameter of type
    Auth.routes(api)
  })
})
