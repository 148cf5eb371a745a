import type { HttpServerRequest } from "@effect/platform"
import type { ConfigError, Layer, Scope } from "effect"
import { Config, Effect, Option, Schema } from "effect"
import type { SecurityConfig, SessionAuth, SessionStore } from "effect-security"
import { SecurityError } from "effect-security"
import * as UserRepository from "effect-security/user/UserRepository"
import { describe, expect, test } from "tstyche"
import { Admin, AdminAuth, AdminId, ApiKeyAuth, Auth, TokenAuth, User, UserId, Users } from "./fixtures/app.js"

declare const user: User
const retrieveUser = () => Effect.succeedSome(user)

class Guest extends Schema.Class<Guest>("Guest")({ id: UserId }) {}
class Member extends Schema.Class<Member>("Member")({ id: UserId, name: Schema.String, level: Schema.Number }) {}

describe("retrieveUser", () => {
  test("finds the user of the Tag and no other", () => {
    const guest = Effect.succeedSome(new Guest({ id: UserId.make("1") }))
    // @ts-expect-error Type 'Effect<Option<Guest>, never, never>' is not assignable to type 'Effect<Option<User>, never, never>'...Property 'name' is missing in type 'Guest' but required in type 'User'.
    Auth.layer({ retrieveUser: () => guest })
    // @ts-expect-error Type 'Effect<Option<Guest>, never, never>' is not assignable to type 'Effect<Option<User>, never, never>'...Property 'name' is missing in type 'Guest' but required in type 'User'.
    Auth.layerConfig({ retrieveUser: () => guest, settings: {} })
    // @ts-expect-error Type 'Effect<Option<string & Brand<"UserId">>, never, never>' is not assignable to type 'Effect<Option<User>, never, never>'
    Auth.layer({ retrieveUser: ({ userId }) => Effect.succeedSome(userId) })
  })

  test("may find more than the user of the Tag", () => {
    Auth.layer({ retrieveUser: () => Effect.succeedSome(new Member({ id: UserId.make("1"), name: "ada", level: 1 })) })
  })

  test("need not find one", () => {
    // @ts-expect-error Type 'User' is not assignable to type 'Option<User>'.
    Auth.layer({ retrieveUser: () => Effect.succeed(user) })
    // @ts-expect-error Type 'User' is not assignable to type 'Option<User>'.
    Auth.layer({ retrieveUser: () => Effect.fail("no such user").pipe(Effect.as(user)) })
    // @ts-expect-error Type 'User' is not assignable to type 'Option<User>'.
    Auth.layer({ retrieveUser: () => Option.some(user) })
    // @ts-expect-error Type 'undefined' is not assignable to type 'Option<User>'.
    Auth.layer({ retrieveUser: () => Effect.succeed(user as User | undefined) })
  })

  test("is given a session of the Tag", () => {
    Auth.layer({
      retrieveUser: (session) => {
        expect(session).type.toBe<{ readonly userId: UserId }>()
        return Effect.succeedNone
      }
    })
    // @ts-expect-error Property 'account' does not exist on type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.layer({ retrieveUser: ({ account }) => Effect.succeedNone })
    // @ts-expect-error Property 'account' is missing in type '{ readonly userId: string & Brand<"UserId">; }' but required in type '{ readonly account: string; }'.
    Auth.layer({ retrieveUser: (_: { readonly account: string }) => Effect.succeedNone })
  })

  test("asks a repository by the kind of id that the session holds", () => {
    class Customers extends UserRepository.Tag<Customers>()("app/Customers", { user: User, id: "id", login: "name" }) {}
    class Staff extends UserRepository.Tag<Staff>()("app/Staff", { user: Admin, id: "id", login: "id" }) {}
    expect(Auth.layer({ retrieveUser: ({ userId }) => Customers.findById(userId) })).type.toBe<
      Layer.Layer<
        Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>,
        never,
        SessionStore.SessionStore | Customers
      >
    >()
    // @ts-expect-error Argument of type 'string & Brand<"UserId">' is not assignable to parameter of type 'string & Brand<"AdminId">'.
    AdminAuth.layer({ retrieveUser: () => Staff.findById(UserId.make("1")) })
    // @ts-expect-error Type 'Effect<Option<Admin>, SecurityUnavailable, Staff>' is not assignable to type 'Effect<Option<User>, SecurityUnavailable, Staff>'...Property 'name' is missing in type 'Admin' but required in type 'User'.
    Auth.layer({ retrieveUser: ({ userId }) => Staff.findById(AdminId.make(userId)) })
    // @ts-expect-error Type 'Account<User>' is missing the following properties from type 'User'
    Auth.layer({ retrieveUser: ({ userId }) => Customers.findByLogin(userId) })
  })

  test("is not left out", () => {
    // @ts-expect-error Property 'retrieveUser' is missing in type '{}' but required in type 'LayerOptions<
    Auth.layer({})
  })
})

describe("guards", () => {
  test("are asked about the user of the Tag", () => {
    Auth.layer({ retrieveUser, guards: [(_: Guest) => Effect.void, (_: User) => Effect.void] })
    Auth.layer({
      retrieveUser,
      guards: [(user) => {
        expect(user).type.toBe<User>()
        return Effect.void
      }]
    })
    // @ts-expect-error Property 'level' is missing in type 'User' but required in type 'Member'.
    Auth.layer({ retrieveUser, guards: [(_: Member) => Effect.void] })
  })

  test("fail with PermissionDenied alone", () => {
    Auth.layer({ retrieveUser, guards: [() => Effect.fail(new SecurityError.PermissionDenied())] })
    // @ts-expect-error Type 'string' is not assignable to type 'PermissionDenied'.
    Auth.layer({ retrieveUser, guards: [() => Effect.fail("no")] })
    // @ts-expect-error is not assignable to type 'Effect<void, PermissionDenied
    ApiKeyAuth.layer({ authenticate: retrieveUser, guards: [() => true] })
  })
})

describe("an entry of exclude", () => {
  test("is a path, after a method or alone", () => {
    Auth.layer({ retrieveUser, exclude: ["/login", "POST /signup", "HEAD /", "DELETE /users/:id"] })
    ApiKeyAuth.layer({ authenticate: retrieveUser, exclude: ["/login", "POST /signup"] })
    Auth.layerConfig({ retrieveUser, exclude: ["/login"], settings: {} })
  })

  test("starts with a slash", () => {
    // @ts-expect-error Type '"login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["/signup", "login"] })
    // @ts-expect-error Type '""' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: [""] })
    // @ts-expect-error Type '"https://example.com/login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["https://example.com/login"] })
    // @ts-expect-error Type '"login"' is not assignable to type 'Entry'.
    Auth.layerConfig({ retrieveUser, exclude: ["login"], settings: {} })
    // @ts-expect-error Type '"login"' is not assignable to type 'Entry'.
    ApiKeyAuth.layer({ authenticate: retrieveUser, exclude: ["login"] })
  })

  test("starts with a slash after its method, too", () => {
    // @ts-expect-error Type '"POST login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["POST login"] })
    // @ts-expect-error Type '"POST  /login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["POST  /login"] })
  })

  test("has a method in upper case, if any, and no pattern", () => {
    // @ts-expect-error Type '"post /login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["post /login"] })
    // @ts-expect-error Type '"PSOT /login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["PSOT /login"] })
    // @ts-expect-error Type '"* /login"' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: ["* /login"] })
    // @ts-expect-error Type 'RegExp' is not assignable to type 'Entry'.
    Auth.layer({ retrieveUser, exclude: [/^\/login$/] })
  })
})

describe("an option of a Layer", () => {
  test("that is misspelled is refused", () => {
    // @ts-expect-error Object literal may only specify known properties, but 'exlude' does not exist in type 'LayerOptions<
    Auth.layer({ retrieveUser, exlude: ["/login"] })
    // @ts-expect-error Object literal may only specify known properties, and 'secure' does not exist in type 'LayerOptions<
    Auth.layer({ retrieveUser, secure: false })
    // @ts-expect-error does not exist in type 'LayerOptions<
    Auth.layerConfig({ retrieveUser, settings: {}, idleTimeout: "1 hour" })
    // @ts-expect-error Object literal may only specify known properties, and 'idle' does not exist in type
    Auth.layerConfig({ retrieveUser, settings: { idle: Config.duration("IDLE") } })
  })

  test("from Config decodes to what the setting is", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'boolean | undefined'.
    Auth.layerConfig({ retrieveUser, settings: { insecureCookie: Config.string("INSECURE") } })
    // @ts-expect-error Type 'string' is not assignable to type 'DurationInput | undefined'.
    Auth.layerConfig({ retrieveUser, settings: { idleTimeout: Config.string("IDLE") } })
  })
})

describe("the type of a Layer", () => {
  class Policy extends Effect.Service<Policy>()("app/Policy", { succeed: {} }) {}
  class Audit extends Effect.Service<Audit>()("app/Audit", { succeed: {} }) {}

  type Stored = Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>

  test("holds what retrieveUser needs, but for the request and its scope, and none of its failures", () => {
    const needy = null as unknown as Effect.Effect<
      Option.Option<User>,
      "down",
      Users | HttpServerRequest.HttpServerRequest | Scope.Scope
    >
    expect(Auth.layer({ retrieveUser: () => needy })).type.toBe<
      Layer.Layer<Stored, never, SessionStore.SessionStore | Users>
    >()
    expect(Auth.layer({ retrieveUser })).type.toBe<Layer.Layer<Stored, never, SessionStore.SessionStore>>()
  })

  test("holds what each of the guards needs", () => {
    const policy = null as unknown as (user: User) => Effect.Effect<
      void,
      SecurityError.PermissionDenied,
      Policy | HttpServerRequest.HttpServerRequest
    >
    expect(Auth.layer({ retrieveUser, guards: [policy] })).type.toBe<
      Layer.Layer<Stored, never, SessionStore.SessionStore | Policy>
    >()
    expect(
      Auth.layer({
        retrieveUser: () => Effect.as(Users, Option.some(user)),
        guards: [(user) => user.name === "mallory" ? Effect.asVoid(Policy) : Effect.void, () => Effect.asVoid(Audit)]
      })
    ).type.toBe<Layer.Layer<Stored, never, SessionStore.SessionStore | Users | Policy | Audit>>()
    expect(Auth.layer({ retrieveUser, guards: [] })).type.toBe<
      Layer.Layer<Stored, never, SessionStore.SessionStore>
    >()
    const guards = [] as ReadonlyArray<SecurityConfig.Guard<User, Policy>>
    expect(Auth.layer({ retrieveUser, guards })).type.toBe<
      Layer.Layer<Stored, never, SessionStore.SessionStore | Policy>
    >()
  })

  test("holds a ConfigError when its settings come from Config", () => {
    expect(
      Auth.layerConfig({
        retrieveUser: () => Effect.as(Users, Option.some(user)),
        guards: [() => Effect.asVoid(Policy)],
        settings: { idleTimeout: Config.duration("IDLE"), maxPerUser: Config.integer("MAX") }
      })
    ).type.toBe<Layer.Layer<Stored, ConfigError.ConfigError, SessionStore.SessionStore | Users | Policy>>()
    expect(
      Auth.layerConfig({ retrieveUser, settings: Config.succeed<SessionAuth.Settings>({ insecureCookie: true }) })
    ).type.toBe<Layer.Layer<Stored, ConfigError.ConfigError, SessionStore.SessionStore>>()
  })

  test("of a custom backend holds what authenticate and the guards need", () => {
    const needy = null as unknown as Effect.Effect<
      Option.Option<User>,
      "down",
      Users | HttpServerRequest.HttpServerRequest | Scope.Scope
    >
    expect(ApiKeyAuth.layer({ authenticate: () => needy })).type.toBe<Layer.Layer<ApiKeyAuth, never, Users>>()
    expect(ApiKeyAuth.layer({ authenticate: () => needy, guards: [() => Effect.asVoid(Policy)] })).type.toBe<
      Layer.Layer<ApiKeyAuth, never, Users | Policy>
    >()
    expect(
      TokenAuth.layerConfig({
        authenticate: () => Effect.as(Users, Option.some({ user, auth: { scope: "read" } })),
        settings: { timeout: Config.duration("TIMEOUT") }
      })
    ).type.toBe<Layer.Layer<TokenAuth, ConfigError.ConfigError, Users>>()
  })
})
