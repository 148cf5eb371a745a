import { HttpApp, HttpServerResponse } from "@effect/platform"
import type { HttpServerRequest } from "@effect/platform"
import { Config, Effect, Layer, Schema } from "effect"
import type { ConfigError, Option, Redacted, Scope } from "effect"
import { JwtAuth, SessionEpoch, SessionStore } from "effect-security"
import type { SecurityConfig, SecurityError, SessionAuth, SessionToken } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import * as SealedSession from "effect-security/session/SealedSession"
import { describe, expect, test } from "tstyche"
import { ApiKeyAuth, Auth, CurrentUser, UserId, Users } from "./fixtures/app.js"
import type { Admin, User } from "./fixtures/app.js"

declare const user: User
declare const admin: Admin
declare const userId: UserId
declare const id: SessionToken.SessionId
declare const keys: Redacted.Redacted

class TokenAuth extends JwtAuth.Tag<TokenAuth>()("app/SealedTokenAuth", {
  user: CurrentUser,
  claims: Schema.Struct({ sub: UserId })
}) {}

const retrieveUser = () => Effect.succeedSome(user)
const options = { keys, retrieveUser } as const

const answer = Effect.as(HttpServerResponse.empty())

/** Runs a program over a Layer alone: whatever the Layer cannot do stays needed. */
const over =
  <ROut, E>(_: Layer.Layer<ROut, E, SessionEpoch.SessionEpoch>) =>
  <A, E2, R extends ROut | HttpServerRequest.HttpServerRequest | Scope.Scope>(_: Effect.Effect<A, E2, R>): void => {}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

type Served<Self, Operation extends string, E, R = never> = Layer.Layer<
  Self | SecurityConfig.Supports<Self, Operation>,
  E,
  R
>

type WeakKey = SecurityError.SecurityConfigError

describe("a Layer", () => {
  const settings = { keys: Config.array(Config.redacted(), "SESSION_KEYS") }

  test("says in short what it gives, how it fails and what it needs", () => {
    expect(SealedSession.layer(Auth, options)).type.toBe<Served<Auth, SessionAuth.Sealed, WeakKey>>()
    expect(SealedSession.layer(TokenAuth, options)).type.toBe<Served<TokenAuth, SessionAuth.Sealed, WeakKey>>()
    expect(SealedSession.layerRevocable(Auth, options)).type.toBe<
      Served<Auth, SealedSession.Revocable, WeakKey, SessionEpoch.SessionEpoch>
    >()
    expect(SealedSession.layerConfig(Auth, { settings, retrieveUser })).type.toBe<
      Served<Auth, SessionAuth.Sealed, WeakKey | ConfigError.ConfigError>
    >()
    expect(SealedSession.layerRevocableConfig(Auth, { settings, retrieveUser })).type.toBe<
      Served<Auth, SealedSession.Revocable, WeakKey | ConfigError.ConfigError, SessionEpoch.SessionEpoch>
    >()
    expect<SealedSession.Revocable>().type.toBe<"login" | "logout" | "update" | "rotate" | "revokeAll">()
  })

  test("needs what retrieveUser and its guards need, but for the request", () => {
    const needy = null as unknown as Effect.Effect<
      Option.Option<User>,
      "down",
      Users | HttpServerRequest.HttpServerRequest | Scope.Scope
    >
    expect(SealedSession.layer(Auth, { keys, retrieveUser: () => needy })).type.toBe<
      Served<Auth, SessionAuth.Sealed, WeakKey, Users>
    >()
    expect(SealedSession.layerRevocable(Auth, { ...options, guards: [() => Effect.asVoid(Users)] })).type.toBe<
      Served<Auth, SealedSession.Revocable, WeakKey, SessionEpoch.SessionEpoch | Users>
    >()
    expect(SealedSession.layerConfig(Auth, { settings, retrieveUser: () => needy })).type.toBe<
      Served<Auth, SessionAuth.Sealed, WeakKey | ConfigError.ConfigError, Users>
    >()
  })

  test("is told its keys, and they are Redacted", () => {
    // @ts-expect-error Property 'keys' is missing
    SealedSession.layer(Auth, { retrieveUser })
    // @ts-expect-error Property 'keys' is missing
    SealedSession.layerRevocable(Auth, { retrieveUser })
    // @ts-expect-error Property 'keys' is missing
    SealedSession.layerConfig(Auth, { retrieveUser, settings: { idleTimeout: Config.duration("IDLE") } })
    // @ts-expect-error Type 'string' is not assignable to type 'Keys'.
    SealedSession.layer(Auth, { retrieveUser, keys: "k" })
    // @ts-expect-error Type 'string' is not assignable to type 'Key'.
    SealedSession.layer(Auth, { retrieveUser, keys: ["k"] })
    // @ts-expect-error Type 'Config<string>' is not assignable to type
    SealedSession.layerConfig(Auth, { retrieveUser, settings: { keys: Config.string("KEY") } })
    SealedSession.layer(Auth, { retrieveUser, keys: [keys, null as unknown as Redacted.Redacted<Uint8Array>] })
    SealedSession.layerConfig(Auth, { retrieveUser, settings: { keys: Config.redacted("KEY") } })
    expect(SealedSession.makeKey).type.toBe<Effect.Effect<Redacted.Redacted>>()
  })

  test("takes no option that means nothing to it", () => {
    // @ts-expect-error Object literal may only specify known properties, and 'maxPerUser' does not exist
    SealedSession.layer(Auth, { ...options, maxPerUser: 3 })
    // @ts-expect-error Object literal may only specify known properties, and 'algorithms' does not exist
    SealedSession.layer(Auth, { ...options, algorithms: ["HS256"] })
  })

  test("finds the user of the Tag and no other, by the session of the Tag", () => {
    // @ts-expect-error Type 'Effect<Option<Admin>, never, never>' is not assignable
    SealedSession.layer(Auth, { keys, retrieveUser: () => Effect.succeedSome(admin) })
    // @ts-expect-error Type 'User' is not assignable to type 'Option<NoInfer<User>>'.
    SealedSession.layer(Auth, { keys, retrieveUser: () => Effect.succeed(user) })
    SealedSession.layer(Auth, {
      keys,
      retrieveUser: (session) => {
        expect(session).type.toBe<{ readonly userId: UserId }>()
        return Effect.succeedNone
      }
    })
    SealedSession.layer(TokenAuth, {
      keys,
      retrieveUser: (claims) => {
        expect(claims).type.toBe<{ readonly sub: UserId }>()
        return Effect.succeedNone
      }
    })
  })

  test("serves no Tag whose backend signs nobody in", () => {
    // @ts-expect-error Argument of type 'typeof ApiKeyAuth' is not assignable
    SealedSession.layer(ApiKeyAuth, options)
    // @ts-expect-error Argument of type 'typeof ApiKeyAuth' is not assignable
    SealedSession.layerRevocable(ApiKeyAuth, options)
  })

  test("does not pass for one of another Tag", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type 'TokenAuth | Supports<TokenAuth, Sealed>'.
    const auth: Layer.Layer<Auth, WeakKey> = SealedSession.layer(TokenAuth, options)
  })
})

// -----------------------------------------------------------------------------
// What a Layer can do
// -----------------------------------------------------------------------------

describe("over sealed cookies", () => {
  const sealed = over(SealedSession.layer(Auth, options))
  const revocable = over(SealedSession.layerRevocable(Auth, options))

  test("a Tag signs in and out, reads, updates and rotates", () => {
    for (const served of [sealed, revocable]) {
      served(Auth.login({ userId }))
      served(Auth.logout)
      served(Auth.update((session) => session))
      served(Auth.rotate)
      served(Auth.user)
      served(Auth.userOption)
      served(Auth.session)
      served(Auth.authenticated)
      served(Auth.whileAuthenticated(Effect.never))
      served(Auth.protect(answer(CurrentUser)))
      served(SecurityTest.cookie(Auth, { userId }))
    }
  })

  test("what only a server that keeps sessions can do does not compile", () => {
    // @ts-expect-error Type '"sessions"' is not assignable to type
    sealed(Auth.sessions)
    // @ts-expect-error Type '"revoke"' is not assignable to type
    sealed(Auth.revoke(id))
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    sealed(Auth.revokeAll())
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    sealed(Auth.revokeAll({ except: "current" }))
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    sealed(Auth.revokeSubject("1"))
    // @ts-expect-error Type '"sessions"' is not assignable to type
    revocable(Auth.sessions)
    // @ts-expect-error Type '"revoke"' is not assignable to type
    revocable(Auth.revoke(id))
  })

  test("with epochs, all sessions of a subject can be ended", () => {
    revocable(Auth.revokeAll())
    revocable(Auth.revokeAll({ except: "current" }))
    revocable(Auth.revokeSubject("1"))
  })

  test("no store and no epochs that are around change that", () => {
    const around = Layer.mergeAll(
      SealedSession.layer(Auth, options),
      SessionStore.layerMemory,
      SessionEpoch.layerMemory
    )
    HttpApp.toWebHandlerLayer(answer(Auth.login({ userId })), around)
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    HttpApp.toWebHandlerLayer(answer(Auth.revokeAll()), around)
  })

  test("a server without the epochs that its Layer asks does not compile", () => {
    const layer = SealedSession.layerRevocable(Auth, options)
    // @ts-expect-error Type 'SessionEpoch' is not assignable to type 'never'.
    HttpApp.toWebHandlerLayer(answer(Auth.login({ userId })), layer)
    HttpApp.toWebHandlerLayer(answer(Auth.revokeAll()), Layer.provide(layer, SessionEpoch.layerMemory))
  })

  test("a Tag of tokens signs in and reads its claims, and has no token", () => {
    const served = over(SealedSession.layer(TokenAuth, options))
    served(TokenAuth.login({ sub: userId }))
    served(TokenAuth.logout)
    served(TokenAuth.claims)
    // @ts-expect-error Type '"token"' is not assignable to type
    served(TokenAuth.token)
    // @ts-expect-error Type '"issue"' is not assignable to type
    served(TokenAuth.issue({ sub: userId }))
  })

  test("the capability stays among what an effect needs", () => {
    expect(Effect.provide(Auth.revokeSubject("1"), SealedSession.layer(Auth, options))).type.toBe<
      Effect.Effect<
        void,
        SecurityError.SecurityUnavailable | WeakKey,
        SecurityConfig.Supports<Auth, "revokeAll">
      >
    >()
  })

  test("each kind can do what the one below it can, and not the reverse", () => {
    type Of<Operation extends string> = Layer.Layer<Auth | SecurityConfig.Supports<Auth, Operation>>
    expect<Of<SessionAuth.Stored>>().type.toBeAssignableTo<Of<SealedSession.Revocable>>()
    expect<Of<SealedSession.Revocable>>().type.toBeAssignableTo<Of<SessionAuth.Sealed>>()
    expect<Of<SessionAuth.Sealed>>().type.not.toBeAssignableTo<Of<SealedSession.Revocable>>()
    expect<Of<SealedSession.Revocable>>().type.not.toBeAssignableTo<Of<SessionAuth.Stored>>()
  })
})
