import { HttpApp, HttpServer, HttpServerResponse } from "@effect/platform"
import { Effect, Layer, Redacted } from "effect"
import type { SecurityConfig, SessionAuth } from "effect-security"
import { SessionStore, SessionToken } from "effect-security"
import { describe, expect, test } from "tstyche"
import type { Admin, User, UserId } from "./fixtures/app.js"
import { Auth } from "./fixtures/app.js"

declare const userId: UserId
declare const user: User
declare const admin: Admin
declare const token: SessionToken.SessionToken
declare const id: SessionToken.SessionId

describe("login", () => {
  test("takes a session of the Tag and no other shape", () => {
    expect(Auth.login).type.toBeCallableWith({ userId })
    // @ts-expect-error Type 'string' is not assignable to type 'string & Brand<"UserId">'.
    Auth.login({ userId: "1" })
    // @ts-expect-error Type 'number' is not assignable to type 'string & Brand<"UserId">'.
    Auth.login({ userId: 1 })
    // @ts-expect-error Property 'userId' is missing in type '{}' but required in type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.login({})
    // @ts-expect-error Object literal may only specify known properties, and 'role' does not exist in type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.login({ userId, role: "admin" })
    // @ts-expect-error Argument of type 'User' is not assignable to parameter of type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.login(user)
    // @ts-expect-error Argument of type 'string & Brand<"UserId">' is not assignable to parameter of type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.login(userId)
  })

  test("takes its options by their names", () => {
    // @ts-expect-error Object literal may only specify known properties, but 'rember' does not exist in type 'LoginOptions'. Did you mean to write 'remember'?
    Auth.login({ userId }, { rember: true })
    // @ts-expect-error Type 'Date' is missing the following properties from type 'Utc'
    Auth.login({ userId }, { verifiedAt: new Date() })
  })
})

describe("update", () => {
  test("gives a session of the Tag and no other shape", () => {
    expect(Auth.update).type.toBeCallableWith((session: { readonly userId: UserId }) => session)
    // @ts-expect-error Type 'string' is not assignable to type 'string & Brand<"UserId">'.
    Auth.update(() => ({ userId: "1" }))
    // @ts-expect-error Property 'userId' is missing in type '{}' but required in type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.update(() => ({}))
    // @ts-expect-error Type 'undefined' is not assignable to type '{ readonly userId: string & Brand<"UserId">; }'.
    Auth.update(() => undefined)
    // @ts-expect-error Argument of type '{ readonly userId: string & Brand<"UserId">; }' is not assignable to parameter of type '(_: { readonly userId: string & Brand<"UserId">; }) => { readonly userId: string & Brand<"UserId">; }'.
    Auth.update({ userId } as { readonly userId: UserId })
  })

  test("does not write into the session that it is given", () => {
    Auth.update((session) => {
      // @ts-expect-error Cannot assign to 'userId' because it is a read-only property.
      session.userId = userId
      return session
    })
  })
})

describe("a SessionToken", () => {
  test("is no plain string and no other secret", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'SessionToken'.
    const text: SessionToken.SessionToken = "token"
    // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'SessionToken'.
    SessionToken.toId("app/Auth", "token")
    // @ts-expect-error Argument of type 'Redacted<string>' is not assignable to parameter of type 'SessionToken'...Type 'string' is not assignable to type 'Brand<"effect-security/SessionToken">'.
    SessionToken.toId("app/Auth", Redacted.make("token"))
    expect(SessionToken.toId).type.toBeCallableWith("app/Auth", token)
  })

  test("is not the id of a session", () => {
    // @ts-expect-error Type 'String & Brand<"effect-security/SessionId">' is missing the following properties from type 'Redacted<string & Brand<"effect-security/SessionToken">>'
    const fromId: SessionToken.SessionToken = id
    // @ts-expect-error Argument of type 'SessionId' is not assignable to parameter of type 'SessionToken'.
    SessionToken.toId("app/Auth", id)
  })
})

describe("a SessionId", () => {
  test("is no plain string", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'Brand<"effect-security/SessionId">'.
    const text: SessionToken.SessionId = "id"
    // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'SessionId'.
    Auth.revoke("id")
    // @ts-expect-error Argument of type 'string & Brand<"UserId">' is not assignable to parameter of type 'SessionId'.
    Auth.revoke(userId)
    Effect.flatMap(SessionStore.SessionStore, (store) =>
      // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'SessionId'.
      store.find("id"))
    expect(Auth.revoke).type.toBeCallableWith(id)
  })

  test("is not the token of a session", () => {
    // @ts-expect-error Type 'SessionToken' is not assignable to type 'SessionId'.
    const fromToken: SessionToken.SessionId = token
    // @ts-expect-error Argument of type 'SessionToken' is not assignable to parameter of type 'SessionId'.
    Auth.revoke(token)
    // @ts-expect-error Argument of type 'SessionToken' is not assignable to parameter of type 'SessionId'.
    Effect.flatMap(SessionStore.SessionStore, (store) => store.remove(token))
    // @ts-expect-error Argument of type 'string & Brand<"effect-security/SessionToken">' is not assignable to parameter of type 'SessionId'.
    Auth.revoke(Redacted.value(token))
  })

  test("is what sessions lists", () => {
    expect<SessionAuth.SessionInfo["id"]>().type.toBe<SessionToken.SessionId>()
  })
})

describe("revokeAll", () => {
  test("keeps nothing but the current session", () => {
    expect(Auth.revokeAll).type.toBeCallableWith()
    expect(Auth.revokeAll).type.toBeCallableWith({ except: "current" })
    // @ts-expect-error Type '"others"' is not assignable to type '"current"'.
    Auth.revokeAll({ except: "others" })
    // @ts-expect-error Type 'SessionId' is not assignable to type '"current" | undefined'.
    Auth.revokeAll({ except: id })
  })
})

describe("over a Layer of sealed cookies", () => {
  const sealed = null as unknown as Layer.Layer<Auth | SecurityConfig.Supports<Auth, SessionAuth.Sealed>>
  const withStore = Layer.merge(sealed, SessionStore.layerMemory)
  const answer = Effect.as(HttpServerResponse.empty())

  test("a sign-in, its end, an update and a fresh token compile", () => {
    const app = Effect.all([Auth.login({ userId }), Auth.update((_) => _), Auth.rotate, Auth.logout]).pipe(answer)
    HttpApp.toWebHandlerLayer(Auth.protect(app), sealed)
  })

  test("revokeAll does not compile, whatever stores are around", () => {
    // @ts-expect-error Type 'Supports<Auth, "revokeAll">' is not assignable to type 'Supports<Auth, Sealed>'...Type '"revokeAll"' is not assignable to type 'Sealed'.
    HttpApp.toWebHandlerLayer(answer(Auth.revokeAll()), sealed)
    // @ts-expect-error Type 'Supports<Auth, "revokeAll">' is not assignable to type 'Supports<Auth, Sealed>'...Type '"revokeAll"' is not assignable to type 'Sealed'.
    HttpApp.toWebHandlerLayer(answer(Auth.revokeAll()), withStore)
    const launched = HttpServer.serve(answer(Auth.revokeAll({ except: "current" }))).pipe(
      Layer.provide(withStore),
      Layer.provide(null as unknown as Layer.Layer<HttpServer.HttpServer>),
      Layer.launch
    )
    // @ts-expect-error Type 'Supports<Auth, "revokeAll">' is not assignable to type 'never'.
    Effect.runFork(launched)
  })

  test("revokeSubject does not compile, whatever stores are around", () => {
    // @ts-expect-error Type 'Supports<Auth, "revokeAll">' is not assignable to type 'never'.
    Effect.runPromise(Effect.provide(Auth.revokeSubject("1"), sealed))
    // @ts-expect-error Type 'Supports<Auth, "revokeAll">' is not assignable to type 'never'.
    Effect.runPromise(Effect.provide(Auth.revokeSubject("1"), withStore))
  })

  test("sessions does not compile, whatever stores are around", () => {
    // @ts-expect-error Type 'Supports<Auth, "sessions">' is not assignable to type 'Supports<Auth, Sealed>'...Type '"sessions"' is not assignable to type 'Sealed'.
    HttpApp.toWebHandlerLayer(answer(Auth.sessions), sealed)
    // @ts-expect-error Type 'Supports<Auth, "sessions">' is not assignable to type 'Supports<Auth, Sealed>'...Type '"sessions"' is not assignable to type 'Sealed'.
    HttpApp.toWebHandlerLayer(answer(Auth.sessions), withStore)
  })

  test("revoke does not compile, whatever stores are around", () => {
    // @ts-expect-error Type 'Supports<Auth, "revoke">' is not assignable to type 'Supports<Auth, Sealed>'...Type '"revoke"' is not assignable to type 'Sealed'.
    HttpApp.toWebHandlerLayer(answer(Auth.revoke(id)), sealed)
    // @ts-expect-error Type 'Supports<Auth, "revoke">' is not assignable to type 'Supports<Auth, Sealed>'...Type '"revoke"' is not assignable to type 'Sealed'.
    HttpApp.toWebHandlerLayer(answer(Auth.revoke(id)), withStore)
  })

  test("a Layer does not pass for one over a store, and the reverse does", () => {
    type Stored = Layer.Layer<Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>>
    // @ts-expect-error Type 'Supports<Auth, Stored>' is not assignable to type 'Supports<Auth, Sealed>'.
    const stored: Stored = sealed
    expect<Stored>().type.toBeAssignableTo<typeof sealed>()
  })
})

describe("over a Layer with a store", () => {
  test("all of them compile", () => {
    const stored = null as unknown as Layer.Layer<Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored>>
    const app = Effect.all([Auth.sessions, Auth.revoke(id), Auth.revokeAll(), Auth.revokeSubject(admin.id)])
    HttpApp.toWebHandlerLayer(Effect.as(app, HttpServerResponse.empty()), stored)
  })
})
