import {
  Headers,
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSecurity,
  HttpApp,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FiberRef, Layer, Option, Schema } from "effect"
import { SecurityConfig, SessionAuth, SessionStore } from "effect-security"

class CurrentUser extends Context.Tag("test/CurrentUser")<CurrentUser, { readonly id: string }>() {}

const nobody = { authenticate: () => Effect.succeed(Option.none()) }

const build = <A, E>(layer: Layer.Layer<A, E>) => Effect.scoped(Effect.exit(Layer.build(layer)))

describe("the name of a scheme", () => {
  it.effect("is one that OpenAPI and a header can hold, or the Layer says which is not", () =>
    Effect.gen(function*() {
      for (const name of ["a\", x=\"", "Имя", "a b", ""]) {
        class Named extends SecurityConfig.Tag<Named>()("test/Named", {
          scheme: HttpApiSecurity.basic,
          user: CurrentUser,
          name
        }) {}
        const exit = yield* build(Named.layer(nobody))
        assert.include(String(exit), "name is made of letters")
      }
    }))

  it.effect("of an API key's header or cookie is checked too", () =>
    Effect.gen(function*() {
      for (const key of ["x api key", "", "x:key"]) {
        for (const place of ["header", "cookie"] as const) {
          class Keyed extends SecurityConfig.Tag<Keyed>()("test/Keyed", {
            scheme: SecurityConfig.apiKey({ in: place, key }),
            user: CurrentUser
          }) {}
          assert.include(String(yield* build(Keyed.layer(nobody))), "key names a header or a cookie")
        }
      }
    }))
})

describe("two cookies of one api", () => {
  class Root extends SessionAuth.Tag<Root>()("test/Root", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String })
  }) {}
  class Admin extends SessionAuth.Tag<Admin>()("test/Admin", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String }),
    cookie: { path: "/admin" },
    name: "adminCookie"
  }) {}

  it.effect("are refused when they become one over plain http", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("group")
          .add(HttpApiEndpoint.get("root", "/").middleware(Root))
          .add(HttpApiEndpoint.get("admin", "/admin").middleware(Admin))
      )
      const live = Layer.provide(
        Root.layer({ retrieveUser: () => Effect.succeed(Option.none()) }),
        SessionStore.layerMemory
      )
      const exit = yield* Effect.exit(Effect.provide(Root.describeApi(api), live))
      assert.include(String(exit), "share the cookie")
    }))

  it.effect("and what they are called in OpenAPI is not", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(
        HttpApiGroup.make("group").add(HttpApiEndpoint.get("root", "/").middleware(Root))
      )
      const group = HttpApiBuilder.group(api, "group", (handlers) => handlers.handle("root", () => Effect.void))
      const live = Layer.provide(
        Root.layer({ retrieveUser: () => Effect.succeed(Option.none()) }),
        SessionStore.layerMemory
      )
      const described = HttpApiBuilder.api(api).pipe(Layer.provide(group), Root.describe, Layer.provide(live))
      assert.isTrue((yield* build(described))._tag === "Success")
    }))
})

describe("the headers of keys", () => {
  it.effect("are all kept out of traces, of backends that are built at the same time too", () =>
    Effect.gen(function*() {
      const keyAuth = (key: string) => {
        class KeyAuth extends SecurityConfig.Tag<KeyAuth>()(`test/${key}`, {
          scheme: SecurityConfig.apiKey({ in: "header", key }),
          user: CurrentUser
        }) {}
        return KeyAuth.layer(nobody)
      }
      yield* Layer.build(Layer.mergeAll(keyAuth("X-Admin-Key"), keyAuth("x-partner-key"), keyAuth("x-third-key")))
      const names = yield* FiberRef.get(Headers.currentRedactedNames)
      const headers = Headers.fromInput({ "x-admin-key": "a", "x-partner-key": "b", "x-third-key": "c", cookie: "d" })
      assert.notMatch(JSON.stringify(Headers.redact(headers, names)), /"[abcd]"/)
    }).pipe(Effect.scoped))
})

describe("a Tag with `auth`", () => {
  it("asks for both, also where `auth` could be anything", () => {
    class AnyAuth extends SecurityConfig.Tag<AnyAuth>()("test/AnyAuth", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser,
      auth: Schema.Any
    }) {}
    AnyAuth.layer({ authenticate: () => Effect.succeed(Option.some({ user: { id: "ada" }, auth: 1 })) })
    // @ts-expect-error: a user alone would leave the handler without one
    AnyAuth.layer({ authenticate: () => Effect.succeed(Option.some({ id: "ada" })) })
  })
})

describe("the memory of sessions", () => {
  it.effect("has a capacity that is a positive whole number", () =>
    Effect.gen(function*() {
      for (const capacity of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.include(String(yield* build(SessionStore.layerMemoryWith({ capacity }))), "capacity")
      }
    }))
})

describe("the challenge of a 401 without one", () => {
  class Bearer
    extends SecurityConfig.Tag<Bearer>()("test/Bearer", { scheme: HttpApiSecurity.bearer, user: CurrentUser })
  {}
  class Key extends SecurityConfig.Tag<Key>()("test/Key", {
    scheme: SecurityConfig.apiKey({ in: "header", key: "x-key" }),
    user: CurrentUser
  }) {}

  it.effect("is that of the backend that refused last, also when it only repeats what it knew", () =>
    Effect.gen(function*() {
      const refused = HttpServerResponse.empty({ status: 401 })
      const asked = Effect.all([Effect.either(Bearer.user), Effect.either(Key.user), Effect.either(Bearer.user)])
      const { dispose, handler } = HttpApp.toWebHandlerLayer(
        Effect.as(asked, refused),
        Layer.merge(Bearer.layer(nobody), Key.layer(nobody))
      )
      const answer = yield* Effect.promise(() => handler(new Request("http://localhost/")))
      yield* Effect.promise(dispose)
      assert.strictEqual(answer.headers.get("www-authenticate"), "Bearer")
    }))
})
