import type { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { HttpApp, HttpRouter } from "@effect/platform"
import { Context, Effect, Layer } from "effect"
import type { SecurityConfig, SessionAuth, SessionStore } from "effect-security"
import { Guard, SecurityError } from "effect-security"
import { describe, expect, test } from "tstyche"
import type { Admin, User, Users } from "./fixtures/app.js"
import { AdminAuth, ApiKeyAuth, Auth, AuthLive, CurrentUser, me } from "./fixtures/app.js"

type Request = HttpServerRequest.HttpServerRequest

class Database extends Context.Tag("app/Database")<Database, { readonly may: (id: string) => boolean }>() {}

class Audit extends Context.Tag("app/Audit")<Audit, { readonly note: Effect.Effect<void> }>() {}

const isAda = Guard.make((user: User) => user.name === "ada")

const inDatabase = Guard.make((user: User) => Effect.map(Database, ({ may }) => may(user.id)))

const isAdmin = Guard.make((admin: Admin) => admin.level > 1)

describe("a guard", () => {
  test("is a plain function, written by hand or made", () => {
    const byHand: Guard.Guard<User> = ({ name }) =>
      name === "ada" ? Effect.void : Effect.fail(new SecurityError.PermissionDenied())
    const made: Guard.Guard<User, Request> = isAda
    expect(byHand).type.toBeAssignableTo<SecurityConfig.Guard<User>>()
    expect<Guard.Guard<User, Database>>().type.toBe<SecurityConfig.Guard<User, Database>>()
    expect<Guard.Guard<{ readonly name: string }>>().type.toBeAssignableTo<Guard.Guard<User>>()
    expect<Guard.Guard<Admin>>().type.not.toBeAssignableTo<Guard.Guard<User>>()
  })

  test("fails with PermissionDenied alone, and is an effect", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'PermissionDenied'.
    const other: Guard.Guard<User> = () => Effect.fail("no")
    // @ts-expect-error Type 'boolean' is not assignable to type 'Effect<void, PermissionDenied
    const plain: Guard.Guard<User> = (user) => user.name === "ada"
  })

  test("made of a predicate needs the request, and what the predicate needs", () => {
    expect(isAda).type.toBe<Guard.Guard<User, Request>>()
    expect(inDatabase).type.toBe<Guard.Guard<User, Database | Request>>()
    expect(Guard.make((user: User, { method }) => Effect.map(Database, ({ may }) => may(user.id + method)))).type.toBe<
      Guard.Guard<User, Database | Request>
    >()
    expect(Guard.make((_: User) => Effect.fail("down"), { reason: "not ada" })).type.toBe<
      Guard.Guard<User, Request>
    >()
    // @ts-expect-error Type 'string' is not assignable to type 'boolean | Effect<boolean, unknown, unknown>'.
    Guard.make((user: User) => user.name)
    // @ts-expect-error Type 'Promise<boolean>' is not assignable to type 'boolean | Effect<boolean, unknown, unknown>'.
    Guard.make(() => Promise.resolve(true))
    // @ts-expect-error No overload matches this call.
    Guard.make((user: User) => Effect.succeed(user.name))
  })

  test("knows the user of the Layer that it stands in", () => {
    const retrieveUser = () => Effect.succeedNone
    expect(Auth.layer({ retrieveUser, guards: [Guard.make(() => true)] })).type.toBe<
      Layer.Layer<Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>, never, SessionStore.SessionStore>
    >()
    expect(Auth.layer({ retrieveUser, guards: [Guard.make(() => Effect.as(Database, true))] })).type.toBe<
      Layer.Layer<Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>, never, SessionStore.SessionStore | Database>
    >()
    Auth.layer({
      retrieveUser,
      guards: [
        Guard.make((user, request) => {
          expect(user).type.toBe<User>()
          expect(request).type.toBe<Request>()
          return user.name === "ada"
        }),
        Guard.all((user) => {
          expect(user).type.toBe<User>()
          return Effect.void
        }, isAda),
        inDatabase
      ]
    })
    ApiKeyAuth.layer({ authenticate: () => Effect.succeedNone, guards: [Guard.any(isAda, inDatabase)] })
    // @ts-expect-error Property 'level' is missing in type 'User' but required in type 'Admin'.
    Auth.layer({ retrieveUser: () => Effect.succeedNone, guards: [isAdmin] })
  })
})

describe("guards together", () => {
  test("need what each of them needs, and a user whom each of them knows", () => {
    expect(Guard.all(isAda, inDatabase)).type.toBe<Guard.Guard<User, Database | Request>>()
    expect(Guard.any(isAda, inDatabase)).type.toBe<Guard.Guard<User, Database | Request>>()
    expect(Guard.all(inDatabase, (_: User) => Effect.asVoid(Audit))).type.toBe<
      Guard.Guard<User, Database | Audit | Request>
    >()
    expect(Guard.all(isAda, Guard.make(() => false))).type.toBe<Guard.Guard<User, Request>>()
    expect(Guard.any(isAda, Guard.make((user) => Effect.map(Database, ({ may }) => may(user.id))))).type.toBe<
      Guard.Guard<User, Database | Request>
    >()
    expect(Guard.all((_: { readonly id: string }) => Effect.void, isAda)).type.toBe<Guard.Guard<User, Request>>()
    // @ts-expect-error Property 'level' is missing in type 'User' but required in type 'Admin'.
    Guard.all(isAda, isAdmin)
    // @ts-expect-error Property 'level' is missing in type 'User' but required in type 'Admin'.
    Guard.any(isAda, isAdmin)
  })

  test("are at least one where one has to grant", () => {
    // @ts-expect-error Source has 0 element(s) but target requires 1.
    Guard.any()
    Guard.all()
  })
})

describe("Guard.protect", () => {
  test("provides the user, and needs the backend and what the guard needs", () => {
    expect(Guard.protect(Auth, inDatabase)(me)).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityError,
        Auth | Database | Request
      >
    >()
    expect(Guard.protect(ApiKeyAuth, isAda)(me)).type.toBe<
      Effect.Effect<HttpServerResponse.HttpServerResponse, SecurityError.SecurityError, ApiKeyAuth | Request>
    >()
    expect(HttpRouter.empty.pipe(HttpRouter.get("/", me), HttpRouter.use(Guard.protect(Auth, inDatabase)))).type.toBe<
      HttpRouter.HttpRouter<SecurityError.SecurityError, Auth | Database>
    >()
  })

  test("knows the user of the backend", () => {
    Guard.protect(Auth, (user) => {
      expect(user).type.toBe<User>()
      return Effect.void
    })
    Guard.protect(Auth, Guard.make((user) => user.name === "ada"))
    // @ts-expect-error Property 'level' is missing in type 'User' but required in type 'Admin'.
    Guard.protect(Auth, isAdmin)
    Guard.protect(AdminAuth, isAdmin)
    // @ts-expect-error Type 'typeof CurrentUser' is missing the following properties from type 'Backend<unknown, User, unknown>': provides, user
    Guard.protect(CurrentUser, isAda)
  })

  test("does not make a server of a handler whose guard lacks a service", () => {
    const live = AuthLive.pipe(Layer.provide(null as unknown as Layer.Layer<Users>))
    HttpApp.toWebHandlerLayer(Guard.protect(Auth, isAda)(me), live)
    // @ts-expect-error Type 'Database' is not assignable to type '
    HttpApp.toWebHandlerLayer(Guard.protect(Auth, inDatabase)(me), live)
    const both = Layer.merge(live, null as unknown as Layer.Layer<AdminAuth>)
    // @ts-expect-error Type 'CurrentUser' is not assignable to type '
    HttpApp.toWebHandlerLayer(Guard.protect(AdminAuth, isAdmin)(me), both)
  })
})
