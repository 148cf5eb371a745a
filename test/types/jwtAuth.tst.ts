import { HttpApp, HttpServerResponse } from "@effect/platform"
import type { HttpServerRequest } from "@effect/platform"
import { Config, Effect, Layer, Schema } from "effect"
import type { ConfigError, Context, Option, Redacted, Scope } from "effect"
import { Jwt, JwtAuth, JwtCookieAuth, SessionAuth, SessionStore } from "effect-security"
import type { JwtKeys, SecurityConfig, SecurityError, SessionToken } from "effect-security"
import { describe, expect, test } from "tstyche"
import { ApiKeyAuth, Auth, CurrentUser, UserId, Users } from "./fixtures/app.js"
import type { Admin, User } from "./fixtures/app.js"

declare const user: User
declare const admin: Admin
declare const userId: UserId
declare const id: SessionToken.SessionId

const Claims = Schema.Struct({ sub: UserId, role: Schema.optional(Schema.String) })

class TokenAuth extends JwtAuth.Tag<TokenAuth>()("app/JwtTokenAuth", { user: CurrentUser, claims: Claims }) {}

const retrieveUser = () => Effect.succeedSome(user)
const algorithms = ["ES256"] as const
const issuer = "https://accounts.example.com"
const audience = "https://api.example.com"
const options = { algorithms, issuer, audience, retrieveUser } as const

const answer = Effect.as(HttpServerResponse.empty())

/** Runs a program over a Layer alone: whatever the Layer cannot do stays needed. */
const over =
  <ROut, E>(_: Layer.Layer<ROut, E, JwtKeys.JwtKeys>) =>
  <A, E2, R extends ROut | HttpServerRequest.HttpServerRequest | Scope.Scope>(_: Effect.Effect<A, E2, R>): void => {}

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

describe("a Tag", () => {
  test("without Self is a sentence", () => {
    expect(JwtAuth.Tag()("app/None", { user: CurrentUser, claims: Claims })).type.toBe<
      "Missing `Self` generic - use `class Self extends JwtAuth.Tag<Self>()...`"
    >()
  })

  test("whose claims always have a sub or a userId needs no subject", () => {
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Struct({ sub: Schema.String }) })
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Struct({ userId: Schema.Number }) })
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Struct({ userId: Schema.BigInt }) })
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Claims, subject: ({ sub }) => sub })
  })

  test("whose claims have neither, or not always, needs one", () => {
    // @ts-expect-error Property 'subject' is missing
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Struct({ email: Schema.String }) })
    // @ts-expect-error Property 'subject' is missing
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Struct({ sub: Schema.optional(Schema.String) }) })
    // @ts-expect-error Property 'subject' is missing
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Struct({ sub: Schema.Number }) })
    // @ts-expect-error Property 'subject' is missing
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Schema.Any })
    JwtAuth.Tag<TokenAuth>()("a", {
      user: CurrentUser,
      claims: Schema.Struct({ email: Schema.String }),
      subject: ({ email }) => email
    })
  })

  test("takes its claims and its options by their names", () => {
    // @ts-expect-error Object literal may only specify known properties, and 'session' does not exist
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Claims, session: Claims })
    // @ts-expect-error Property 'claims' is missing
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser })
    // @ts-expect-error A cookie named `__Host-...` has
    JwtAuth.Tag<TokenAuth>()("a", { user: CurrentUser, claims: Claims, cookie: { name: "__Host-a", path: "/a" } })
  })
})

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

type Served<Self, Operation extends string, E, R = never> = Layer.Layer<
  Self | SecurityConfig.Supports<Self, Operation>,
  E,
  R
>

describe("a Layer", () => {
  test("says in short what it gives, how it fails and what it needs", () => {
    expect(JwtAuth.layer(TokenAuth, options)).type.toBe<
      Served<TokenAuth, JwtAuth.Bearer, SecurityError.SecurityConfigError, JwtKeys.JwtKeys>
    >()
    expect(JwtAuth.layer(Auth, options)).type.toBe<
      Served<Auth, JwtAuth.Bearer, SecurityError.SecurityConfigError, JwtKeys.JwtKeys>
    >()
    expect(JwtCookieAuth.layer(TokenAuth, options)).type.toBe<
      Served<TokenAuth, JwtCookieAuth.Cookie, SecurityError.SecurityConfigError, JwtKeys.JwtKeys>
    >()
    expect(SessionAuth.layer(TokenAuth, { retrieveUser })).type.toBe<
      Served<TokenAuth, SessionAuth.Stored, never, SessionStore.SessionStore>
    >()
    expect(JwtAuth.layerConfig(TokenAuth, {
      algorithms,
      retrieveUser,
      settings: { issuer: Config.string("ISSUER"), audience: Config.string("AUDIENCE") }
    })).type.toBe<
      Served<TokenAuth, JwtAuth.Bearer, SecurityError.SecurityConfigError | ConfigError.ConfigError, JwtKeys.JwtKeys>
    >()
  })

  test("needs what retrieveUser and its guards need, but for the request", () => {
    const needy = null as unknown as Effect.Effect<
      Option.Option<User>,
      "down",
      Users | HttpServerRequest.HttpServerRequest | Scope.Scope
    >
    expect(JwtAuth.layer(TokenAuth, { ...options, retrieveUser: () => needy })).type.toBe<
      Served<TokenAuth, JwtAuth.Bearer, SecurityError.SecurityConfigError, JwtKeys.JwtKeys | Users>
    >()
    expect(JwtCookieAuth.layer(Auth, { ...options, guards: [() => Effect.asVoid(Users)] })).type.toBe<
      Served<Auth, JwtCookieAuth.Cookie, SecurityError.SecurityConfigError, JwtKeys.JwtKeys | Users>
    >()
  })

  test("is told issuer, audience and algorithms", () => {
    // @ts-expect-error Property 'issuer' is missing
    JwtAuth.layer(TokenAuth, { algorithms, audience, retrieveUser })
    // @ts-expect-error Property 'audience' is missing
    JwtAuth.layer(TokenAuth, { algorithms, issuer, retrieveUser })
    // @ts-expect-error Property 'algorithms' is missing
    JwtAuth.layer(TokenAuth, { issuer, audience, retrieveUser })
    // @ts-expect-error Property 'issuer' is missing
    JwtCookieAuth.layer(TokenAuth, { algorithms, audience, retrieveUser })
    // @ts-expect-error Property 'audience' is missing
    JwtCookieAuth.layer(TokenAuth, { algorithms, issuer, retrieveUser })
    // @ts-expect-error Property 'algorithms' is missing
    JwtCookieAuth.layer(TokenAuth, { issuer, audience, retrieveUser })
    // @ts-expect-error Type '[]' is not assignable to type 'string | readonly [string, ...string[]]'.
    JwtAuth.layer(TokenAuth, { ...options, audience: [] })
    // @ts-expect-error Property 'audience' is missing
    JwtAuth.layerConfig(TokenAuth, { algorithms, retrieveUser, settings: { issuer: Config.string("ISSUER") } })
  })

  test("takes algorithms of one family, and no other", () => {
    JwtAuth.layer(TokenAuth, { ...options, algorithms: ["RS256", "PS512"] })
    // @ts-expect-error Type '"ES256"' is not assignable to type
    JwtAuth.layer(TokenAuth, { ...options, algorithms: ["HS256", "ES256"] })
    // @ts-expect-error Type '"HS256"' is not assignable to type
    JwtCookieAuth.layer(TokenAuth, { ...options, algorithms: ["RS256", "HS256"] })
    // @ts-expect-error Type '"none"' is not assignable to type
    JwtAuth.layer(TokenAuth, { ...options, algorithms: ["none"] })
    // @ts-expect-error Type '[]' is not assignable to type
    JwtAuth.layer(TokenAuth, { ...options, algorithms: [] })
  })

  test("finds the user of the Tag and no other, by the claims of the Tag", () => {
    // @ts-expect-error Type 'Effect<Option<Admin>, never, never>' is not assignable
    JwtAuth.layer(TokenAuth, { ...options, retrieveUser: () => Effect.succeedSome(admin) })
    // @ts-expect-error Type 'Effect<Option<Admin>, never, never>' is not assignable
    JwtCookieAuth.layer(Auth, { ...options, retrieveUser: () => Effect.succeedSome(admin) })
    // @ts-expect-error Type 'User' is not assignable to type 'Option<NoInfer<User>>'.
    JwtAuth.layer(TokenAuth, { ...options, retrieveUser: () => Effect.succeed(user) })
    JwtAuth.layer(TokenAuth, {
      ...options,
      retrieveUser: (claims) => {
        expect(claims).type.toBe<typeof Claims.Type>()
        return Effect.succeedNone
      }
    })
    JwtAuth.layer(Auth, {
      ...options,
      retrieveUser: (session) => {
        expect(session).type.toBe<{ readonly userId: UserId }>()
        return Effect.succeedNone
      }
    })
  })

  test("has no way to leave out a check", () => {
    // @ts-expect-error Object literal may only specify known properties, and 'verifyExpiry' does not exist
    JwtAuth.layer(TokenAuth, { ...options, verifyExpiry: false })
    // @ts-expect-error Object literal may only specify known properties, and 'insecureCookie' does not exist
    JwtAuth.layer(TokenAuth, { ...options, insecureCookie: true })
    // @ts-expect-error Object literal may only specify known properties, and 'header' does not exist
    JwtCookieAuth.layer(TokenAuth, { ...options, header: "X-Token" })
  })

  test("serves no Tag whose backend signs nobody in", () => {
    // @ts-expect-error Argument of type 'typeof ApiKeyAuth' is not assignable
    JwtAuth.layer(ApiKeyAuth, options)
    // @ts-expect-error Argument of type 'typeof ApiKeyAuth' is not assignable
    JwtCookieAuth.layer(ApiKeyAuth, options)
    // @ts-expect-error Argument of type 'typeof ApiKeyAuth' is not assignable
    SessionAuth.layer(ApiKeyAuth, { retrieveUser })
  })

  test("does not pass for one of another Tag", () => {
    // @ts-expect-error Type 'Auth' is not assignable to type 'TokenAuth | Supports<TokenAuth, Bearer>'.
    const auth: Layer.Layer<Auth, SecurityError.SecurityConfigError, JwtKeys.JwtKeys> = JwtAuth.layer(
      TokenAuth,
      options
    )
  })
})

// -----------------------------------------------------------------------------
// What a Layer can do
// -----------------------------------------------------------------------------

describe("over tokens", () => {
  const bearer = over(JwtAuth.layer(Auth, options))
  const cookie = over(JwtCookieAuth.layer(Auth, options))

  test("a Tag of sessions signs in and out and reads", () => {
    for (const served of [bearer, cookie]) {
      served(Auth.login({ userId }))
      served(Auth.logout)
      served(Auth.user)
      served(Auth.session)
      served(Auth.whileAuthenticated(Effect.never))
      served(Auth.protect(answer(CurrentUser)))
    }
  })

  test("what only sessions can do does not compile", () => {
    // @ts-expect-error Type '"update"' is not assignable to type
    bearer(Auth.update((session) => session))
    // @ts-expect-error Type '"rotate"' is not assignable to type
    bearer(Auth.rotate)
    // @ts-expect-error Type '"sessions"' is not assignable to type
    bearer(Auth.sessions)
    // @ts-expect-error Type '"revoke"' is not assignable to type
    bearer(Auth.revoke(id))
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    bearer(Auth.revokeAll())
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    bearer(Auth.revokeSubject("1"))
    // @ts-expect-error Type '"update"' is not assignable to type
    cookie(Auth.update((session) => session))
    // @ts-expect-error Type '"rotate"' is not assignable to type
    cookie(Auth.rotate)
    // @ts-expect-error Type '"sessions"' is not assignable to type
    cookie(Auth.sessions)
    // @ts-expect-error Type '"revoke"' is not assignable to type
    cookie(Auth.revoke(id))
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    cookie(Auth.revokeAll({ except: "current" }))
  })

  test("and no store that is around changes that", () => {
    const keys = null as unknown as Layer.Layer<JwtKeys.JwtKeys>
    const layer = JwtAuth.layer(Auth, options).pipe(Layer.provide(keys), Layer.merge(SessionStore.layerMemory))
    HttpApp.toWebHandlerLayer(answer(Auth.login({ userId })), layer)
    // @ts-expect-error Type '"revokeAll"' is not assignable to type
    HttpApp.toWebHandlerLayer(answer(Auth.revokeAll()), layer)
  })

  test("the capability stays among what an effect needs", () => {
    expect(Auth.update((session) => session)).type.toBeAssignableTo<
      Effect.Effect<void, any, SecurityConfig.Supports<Auth, "update"> | HttpServerRequest.HttpServerRequest>
    >()
    expect(Effect.provide(Auth.revokeSubject("1"), JwtAuth.layer(Auth, options))).type.toBe<
      Effect.Effect<
        void,
        SecurityError.SecurityUnavailable | SecurityError.SecurityConfigError,
        SecurityConfig.Supports<Auth, "revokeAll"> | JwtKeys.JwtKeys
      >
    >()
  })
})

describe("a Tag of tokens", () => {
  const bearer = over(JwtAuth.layer(TokenAuth, options))
  const cookie = over(JwtCookieAuth.layer(TokenAuth, options))

  test("says what its token says, of its own type", () => {
    expect(TokenAuth.claims).type.toBe<
      Effect.Effect<typeof Claims.Type, SecurityError.SecurityError, TokenAuth | HttpServerRequest.HttpServerRequest>
    >()
    expect(TokenAuth.token).type.toBe<
      Effect.Effect<
        Jwt.Token,
        SecurityError.SecurityError,
        SecurityConfig.Supports<TokenAuth, "token"> | HttpServerRequest.HttpServerRequest
      >
    >()
    expect(TokenAuth.provides).type.toBe<Context.Tag<CurrentUser, User>>()
  })

  test("issues tokens without a request over a header, and not over a cookie", () => {
    expect(TokenAuth.issue({ sub: userId })).type.toBe<
      Effect.Effect<
        Jwt.Issued,
        SecurityError.SecurityUnavailable | SecurityError.SessionTooLarge,
        SecurityConfig.Supports<TokenAuth, "issue">
      >
    >()
    expect<Jwt.Issued["token"]>().type.toBe<Redacted.Redacted>()
    bearer(TokenAuth.issue({ sub: userId }))
    // @ts-expect-error Type '"issue"' is not assignable to type
    cookie(TokenAuth.issue({ sub: userId }))
    cookie(TokenAuth.token)
  })

  test("takes claims of its schema, and options by their names", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'string & Brand<"UserId">'.
    TokenAuth.login({ sub: "1" })
    // @ts-expect-error Property 'sub' is missing in type
    TokenAuth.login({ role: "admin" })
    // @ts-expect-error Object literal may only specify known properties, and 'subject' does not exist in type 'Omit<SignOptions, "subject">'.
    TokenAuth.issue({ sub: userId }, { subject: "2" })
  })

  test("over sessions has no token and issues none", () => {
    const sessions = SessionAuth.layer(TokenAuth, { retrieveUser }).pipe(Layer.provide(SessionStore.layerMemory))
    const served = over(sessions)
    served(TokenAuth.login({ sub: userId }))
    served(TokenAuth.claims)
    // @ts-expect-error Type '"token"' is not assignable to type
    served(TokenAuth.token)
    // @ts-expect-error Type '"issue"' is not assignable to type
    served(TokenAuth.issue({ sub: userId }))
  })
})

// -----------------------------------------------------------------------------
// Tokens of others
// -----------------------------------------------------------------------------

describe("layerVerifier", () => {
  const verifier = Jwt.verifier({ algorithms, issuer, audience, claims: Claims })
  const layer = JwtAuth.layerVerifier(TokenAuth, { verifier, retrieveUser })
  const cookieLayer = JwtCookieAuth.layerVerifier(TokenAuth, { verifier, retrieveUser })

  test("gives what only reads", () => {
    expect(layer).type.toBe<Served<TokenAuth, "token", SecurityError.SecurityConfigError, JwtKeys.JwtKeys>>()
    expect(cookieLayer).type.toBe<Served<TokenAuth, "token", SecurityError.SecurityConfigError, JwtKeys.JwtKeys>>()
    over(layer)(TokenAuth.token)
    over(layer)(TokenAuth.claims)
  })

  test("signs nobody in or out and issues nothing", () => {
    // @ts-expect-error Type '"login"' is not assignable to type '"token"'.
    over(layer)(TokenAuth.login({ sub: userId }))
    // @ts-expect-error Type '"logout"' is not assignable to type '"token"'.
    over(layer)(TokenAuth.logout)
    // @ts-expect-error Type '"issue"' is not assignable to type '"token"'.
    over(layer)(TokenAuth.issue({ sub: userId }))
    // @ts-expect-error Type '"login"' is not assignable to type '"token"'.
    over(cookieLayer)(TokenAuth.login({ sub: userId }))
  })

  test("takes a verifier of the claims of the Tag", () => {
    const other = Jwt.verifier({ algorithms, issuer, audience, claims: Schema.Struct({ email: Schema.String }) })
    // @ts-expect-error Property 'sub' is missing in type
    JwtAuth.layerVerifier(TokenAuth, { verifier: other, retrieveUser })
    // @ts-expect-error Property 'verifier' is missing
    JwtAuth.layerVerifier(TokenAuth, { retrieveUser })
  })
})

// -----------------------------------------------------------------------------
// Capabilities
// -----------------------------------------------------------------------------

test("a header can do what a cookie can, and not the reverse", () => {
  type Of<Operation extends string> = Layer.Layer<TokenAuth | SecurityConfig.Supports<TokenAuth, Operation>>
  expect<Of<JwtAuth.Bearer>>().type.toBeAssignableTo<Of<JwtCookieAuth.Cookie>>()
  expect<Of<JwtCookieAuth.Cookie>>().type.not.toBeAssignableTo<Of<JwtAuth.Bearer>>()
  expect<Of<"token">>().type.not.toBeAssignableTo<Of<JwtCookieAuth.Cookie>>()
})
