import type { HttpServerRequest } from "@effect/platform"
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import type { ConfigError } from "effect"
import { Config, Effect, Layer, Option, Schema } from "effect"
import type { SecurityConfig, SecurityError } from "effect-security"
import { Session, SessionStore } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { describe, expect, test } from "tstyche"
import { Auth, UserId } from "./fixtures/app.js"

const session = Schema.Struct({ items: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }) })
type Items = typeof session.Type

class Cart extends Session.Tag<Cart>()("app/Cart", { session }) {}

/** The same in every respect but its name. */
class Wishes extends Session.Tag<Wishes>()("app/Wishes", { session }) {}

type ReadError = SecurityError.CrossSiteRejected | SecurityError.SecurityUnavailable
type Request = HttpServerRequest.HttpServerRequest
type Can<Self, Operation extends Session.Stored = Session.Stored> = SecurityConfig.Supports<Self, Operation>

describe("a Tag of sessions without a user", () => {
  test("needs its Self, or is a sentence", () => {
    expect(Session.Tag()("app/Cart", { session })).type.toBe<
      "Missing `Self` generic - use `class Self extends Session.Tag<Self>()...`"
    >()
    // @ts-expect-error Type '"Missing `Self` generic - use `class Self extends Session.Tag<Self>()...`"' is not a constructor
    class NoSelf extends Session.Tag()("app/Cart", { session }) {}
  })

  test("has a cookie that browsers accept", () => {
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has no domain (RFC 6265bis section 4.1.3.2)"'.
    Session.Tag<Cart>()("app/Cart", { session, cookie: { name: "__Host-cart", domain: "example.com" } })
    // @ts-expect-error is not assignable to type '"Whether the cookie is Secure belongs to the Layer: `insecureCookie`"'.
    Session.Tag<Cart>()("app/Cart", { session, cookie: { secure: false } })
    Session.Tag<Cart>()("app/Cart", { session, cookie: { name: "__Secure-cart", path: "/shop", sameSite: "strict" } })
  })

  test("migrates what an earlier version encoded to a session of its schema", () => {
    Session.Tag<Cart>()("app/Cart", {
      session,
      versions: { current: 2, migrate: () => Option.some({ items: ["tea"] }) }
    })
    Session.Tag<Cart>()("app/Cart", {
      session,
      // @ts-expect-error Type 'number' is not assignable to type 'readonly string[]'.
      versions: { current: 2, migrate: () => Option.some({ items: 1 }) }
    })
  })

  test("knows no user: it lets nobody in and signs nobody in or out", () => {
    expect(Cart).type.not.toHaveProperty("user")
    expect(Cart).type.not.toHaveProperty("userOption")
    expect(Cart).type.not.toHaveProperty("authenticated")
    expect(Cart).type.not.toHaveProperty("protect")
    expect(Cart).type.not.toHaveProperty("middleware")
    expect(Cart).type.not.toHaveProperty("login")
    expect(Cart).type.not.toHaveProperty("logout")
    expect(Cart).type.not.toHaveProperty("sessions")
    expect(Cart).type.not.toHaveProperty("revokeAll")
  })
})

describe("the empty session", () => {
  const page = Schema.Struct({ page: Schema.String })

  test("is given where {} is no encoded session", () => {
    // @ts-expect-error Property 'empty' is missing in type
    Session.Tag<Cart>()("app/Page", { session: page })
    // @ts-expect-error Property 'empty' is missing in type
    Session.Tag<Cart>()("app/Page", { session: Schema.Array(Schema.String) })
    // @ts-expect-error Type 'undefined' is not assignable to type
    Session.Tag<Cart>()("app/Page", { session: page, empty: undefined })
    Session.Tag<Cart>()("app/Page", { session: page, empty: { page: "/" } })
  })

  test("is left out where every field is optional or has a default, and may be given", () => {
    Session.Tag<Cart>()("app/Cart", { session })
    Session.Tag<Cart>()("app/Cart", { session: Schema.Struct({ theme: Schema.optional(Schema.String) }) })
    Session.Tag<Cart>()("app/Cart", { session, empty: { items: ["a gift"] } })
  })

  test("is a session of the Tag, as decoded", () => {
    // @ts-expect-error Type 'number' is not assignable to type 'string'.
    Session.Tag<Cart>()("app/Page", { session: page, empty: { page: 1 } })
    // @ts-expect-error Property 'items' is missing in type '{}'
    Session.Tag<Cart>()("app/Cart", { session, empty: {} })
  })
})

describe("the operations of a session without a user", () => {
  test("read it", () => {
    expect(Cart.session).type.toBe<Effect.Effect<Items, ReadError, Cart | Request>>()
  })

  test("change it, end it and give it a fresh token", () => {
    expect(Cart.update((session) => session)).type.toBe<
      Effect.Effect<
        void,
        | ReadError
        | SecurityError.SessionConflict
        | SecurityError.SessionTooLarge
        | SecurityError.CookieTooLarge,
        Can<Cart, "update"> | Request
      >
    >()
    expect(Cart.clear).type.toBe<Effect.Effect<void, ReadError, Can<Cart, "clear"> | Request>>()
    expect(Cart.rotate).type.toBe<Effect.Effect<void, ReadError, Can<Cart, "rotate"> | Request>>()
  })

  test("give a session of the Tag and no other shape, and do not write into the one that they are given", () => {
    // @ts-expect-error Property 'items' is missing in type '{}'
    Cart.update(() => ({}))
    // @ts-expect-error Type 'number' is not assignable to type 'string'.
    Cart.update(() => ({ items: [1] }))
    Cart.update((session) => {
      // @ts-expect-error Cannot assign to 'items' because it is a read-only property.
      session.items = []
      // @ts-expect-error Property 'push' does not exist on type 'readonly string[]'.
      session.items.push("tea")
      return session
    })
  })
})

describe("a handler of a session without a user is not served without the Layer of its Tag", () => {
  const reads = HttpRouter.get(
    HttpRouter.empty,
    "/cart",
    Effect.map(Cart.session, ({ items }) => HttpServerResponse.text(items.join()))
  )
  const writes = HttpRouter.post(
    HttpRouter.empty,
    "/cart",
    Effect.as(Cart.update((session) => session), HttpServerResponse.empty())
  )

  test("when it reads", () => {
    expect(HttpServer.serve(reads)).type.toBe<Layer.Layer<never, never, Cart | HttpServer.HttpServer>>()
  })

  test("when it writes", () => {
    expect(HttpServer.serve(writes)).type.toBe<Layer.Layer<never, never, Can<Cart, "update"> | HttpServer.HttpServer>>()
  })

  test("nor with that of another Tag", () => {
    expect(HttpServer.serve(writes).pipe(Layer.provide(Wishes.layer()))).type.toBe<
      Layer.Layer<never, never, Can<Cart, "update"> | HttpServer.HttpServer | SessionStore.SessionStore>
    >()
    expect<Wishes>().type.not.toBeAssignableTo<Cart>()
  })

  test("and is served with its own", () => {
    const live = Cart.layer().pipe(Layer.provide(SessionStore.layerMemory))
    expect(HttpServer.serve(HttpRouter.concat(reads, writes)).pipe(Layer.provide(live))).type.toBe<
      Layer.Layer<never, never, HttpServer.HttpServer>
    >()
  })
})

describe("the Layer of sessions without a user", () => {
  test("gives the Tag and what it can do, and needs a store", () => {
    expect(Cart.layer()).type.toBe<Layer.Layer<Cart | Can<Cart>, never, SessionStore.SessionStore>>()
    expect(Cart.layerConfig({ idleTimeout: Config.duration("IDLE") })).type.toBe<
      Layer.Layer<Cart | Can<Cart>, ConfigError.ConfigError, SessionStore.SessionStore>
    >()
  })

  test("has no option of sessions that have a user, and none that is misspelled", () => {
    // @ts-expect-error 'maxPerUser' does not exist in type 'Settings'.
    Cart.layer({ maxPerUser: 1 })
    // @ts-expect-error 'exclude' does not exist in type 'Settings'.
    Cart.layer({ exclude: ["/"] })
    // @ts-expect-error 'idleTimeOut' does not exist in type 'Settings'. Did you mean to write 'idleTimeout'?
    Cart.layer({ idleTimeOut: "1 day" })
  })
})

describe("a cookie for the tests of an application", () => {
  test("is not made without the Layer of its Tag", () => {
    expect(SecurityTest.cookie(Cart, { items: ["tea"] })).type.toBe<
      Effect.Effect<string, never, Can<Cart, "update">>
    >()
    expect(SecurityTest.cookie(Auth, { userId: UserId.make("1") })).type.toBe<
      Effect.Effect<string, never, SecurityConfig.Supports<Auth, "login">>
    >()
    // @ts-expect-error Type 'Supports<Cart, "update">' is not assignable to type 'never'.
    Effect.runSync(SecurityTest.cookie(Cart, { items: [] }))
  })
})
