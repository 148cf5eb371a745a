import type { HttpLayerRouter, HttpServerRequest } from "@effect/platform"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSecurity,
  HttpApp,
  HttpRouter,
  HttpServerResponse
} from "@effect/platform"
import type { Option, Redacted } from "effect"
import { Context, Effect, Layer, Schema } from "effect"
import type { JwtKeys, SecurityError } from "effect-security"
import { JwtAuth, JwtCookieAuth, OAuth2PasswordBearer, Permission, Scopes, SecurityConfig } from "effect-security"
import { describe, expect, test } from "tstyche"
import type { User } from "./fixtures/app.js"
import { ApiKeyAuth, Auth as SessionAuth, CurrentUser, me, TokenAuth as StringAuth } from "./fixtures/app.js"

const scopes = Scopes.make({ "articles:read": "Read articles", "articles:write": "Write articles" })
type Scope = "articles:read" | "articles:write"

const others = Scopes.make({ "users:read": "Read users", "articles:read": "Read articles" })

class Auth extends JwtAuth.Tag<Auth>()("app/Auth", {
  user: CurrentUser,
  claims: Schema.Struct({ sub: Schema.String, scope: scopes.schema })
}) {}

type Claims = typeof Auth.auth.Type

class PlainAuth extends JwtAuth.Tag<PlainAuth>()("app/PlainAuth", {
  user: CurrentUser,
  claims: Schema.Struct({ sub: Schema.String })
}) {}

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("app/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "x-key" }),
  user: CurrentUser,
  auth: Schema.Struct({ scope: others.schema })
}) {}

/** Both can have `articles:read` alone. */
class Either extends SecurityConfig.firstOf<Either>()("app/Either", [Auth, KeyAuth]) {}

/** One of them has no scopes at all. */
class OrSession extends SecurityConfig.firstOf<OrSession>()("app/OrSession", [SessionAuth, Auth]) {}

class WriteArticles extends Scopes.Tag<WriteArticles>()("app/WriteArticles", {
  auth: Auth,
  scopes: ["articles:write"]
}) {}

class ReadEither extends Scopes.Tag<ReadEither>()("app/ReadEither", { auth: Either, scopes: ["articles:read"] }) {}

declare const user: User

const signed = {
  algorithms: ["ES256"],
  issuer: "https://app.example.com",
  audience: "https://app.example.com/api",
  retrieveUser: () => Effect.succeedSome(user)
} as const

describe("a vocabulary", () => {
  test("is of the names that it was made of", () => {
    expect(scopes).type.toBe<Scopes.Vocabulary<Scope>>()
    expect(scopes.schema).type.toBe<Schema.Schema<ReadonlyArray<Scope>, string>>()
    expect(Scopes.make({})).type.toBe<Scopes.Vocabulary<never>>()
  })

  test("tells its own scopes from other text", () => {
    const text = "articles:read" as string
    if (scopes.is(text)) {
      expect(text).type.toBe<Scope>()
    }
  })

  test("has no names that no scope can have (RFC 6749 section 3.3)", () => {
    // @ts-expect-error is not assignable to parameter of type '{ readonly "articles read": "Read articles"; } & "The name of a scope has no space, quote or backslash"'
    Scopes.make({ "articles read": "Read articles" })
    // @ts-expect-error "The name of a scope has no space, quote or backslash"
    Scopes.make({ "articles:read": "Read articles", " ": "Nothing" })
    // @ts-expect-error "The name of a scope has no space, quote or backslash"
    Scopes.make({ "": "Nothing" })
    // @ts-expect-error "The name of a scope has no space, quote or backslash"
    Scopes.make({ "\"quoted\"": "Nothing" })
    // @ts-expect-error "The name of a scope has no space, quote or backslash"
    Scopes.make({ "back\\slash": "Nothing" })
    // @ts-expect-error Type 'undefined' is not assignable to type 'string'.
    Scopes.make({ "articles:read": undefined })
  })
})

describe("required scopes", () => {
  test("are those of the backend, and one at least", () => {
    expect(WriteArticles.scopes).type.toBe<ReadonlyArray<"articles:write">>()
    Scopes.Tag<Auth>()("app/X", { auth: Auth, scopes: ["articles:write", "articles:read"] })
    // @ts-expect-error Type '"articles:wirte"' is not assignable to type '"articles:read" | "articles:write"'. Did you mean '"articles:write"'?
    Scopes.Tag<Auth>()("app/X", { auth: Auth, scopes: ["articles:wirte"] })
    // @ts-expect-error Type '"users:read"' is not assignable to type '"articles:read" | "articles:write"'.
    Scopes.Tag<Auth>()("app/X", { auth: Auth, scopes: ["articles:write", "users:read"] })
    // @ts-expect-error Type '[]' is not assignable to type 'readonly ["articles:read" | "articles:write", ...("articles:read" | "articles:write")[]]'
    Scopes.Tag<Auth>()("app/X", { auth: Auth, scopes: [] })
    // @ts-expect-error Type 'string' is not assignable to type '"articles:read" | "articles:write"'.
    Scopes.Tag<Auth>()("app/X", { auth: Auth, scopes: ["articles:read" as string] })
    // @ts-expect-error Type 'string' is not assignable to type
    Scopes.Tag<Auth>()("app/X", { auth: Auth, scopes: "articles:read" })
    // @ts-expect-error Property 'scopes' is missing in type
    Scopes.Tag<Auth>()("app/X", { auth: Auth })
  })

  test("are none of a backend that has none, which a sentence says", () => {
    // @ts-expect-error Type '"articles:read"' is not assignable to type '"This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"'.
    Scopes.Tag<Auth>()("app/X", { auth: PlainAuth, scopes: ["articles:read"] })
    // @ts-expect-error "This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"
    Scopes.Tag<Auth>()("app/X", { auth: SessionAuth, scopes: ["articles:read"] })
    // @ts-expect-error "This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"
    Scopes.Tag<Auth>()("app/X", { auth: ApiKeyAuth, scopes: ["articles:read"] })
    // A text that is not parsed.
    // @ts-expect-error "This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"
    Scopes.Tag<Auth>()("app/X", { auth: StringAuth, scopes: ["read"] })
    class OpenAuth extends SecurityConfig.Tag<OpenAuth>()("app/OpenAuth", {
      scheme: HttpApiSecurity.bearer,
      user: CurrentUser,
      auth: Schema.Struct({ scope: Schema.Array(Schema.String) })
    }) {}
    // @ts-expect-error "This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"
    Scopes.Tag<Auth>()("app/X", { auth: OpenAuth, scopes: ["read"] })
  })

  test("of several backends are those that each of them can have", () => {
    expect<
      Scopes.ScopeOf<{ readonly scope: ReadonlyArray<"a" | "b"> } | { readonly scope: ReadonlyArray<"b" | "c"> }>
    >()
      .type.toBe<"b">()
    expect<Scopes.ScopeOf<{ readonly scope: ReadonlyArray<"a"> } | { readonly scope: ReadonlyArray<"b"> }>>()
      .type.toBe<Scopes.NoScopes>()
    expect<Scopes.ScopeOf<{ readonly scope: ReadonlyArray<"a"> } | { readonly sub: string }>>()
      .type.toBe<Scopes.NoScopes>()
    expect<Scopes.ScopeOf<SecurityConfig.NoAuth>>().type.toBe<Scopes.NoScopes>()
    expect(ReadEither.scopes).type.toBe<ReadonlyArray<"articles:read">>()
    // @ts-expect-error Type '"articles:write"' is not assignable to type '"articles:read"'.
    Scopes.Tag<Auth>()("app/X", { auth: Either, scopes: ["articles:write"] })
    // @ts-expect-error Type '"users:read"' is not assignable to type '"articles:read"'.
    Scopes.Tag<Auth>()("app/X", { auth: Either, scopes: ["users:read"] })
    // @ts-expect-error "This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"
    Scopes.Tag<Auth>()("app/X", { auth: OrSession, scopes: ["articles:read"] })
  })

  test("need a Self, or are a sentence", () => {
    expect(Scopes.Tag()("app/X", { auth: Auth, scopes: ["articles:read"] })).type.toBe<
      "Missing `Self` generic - use `class Self extends Scopes.Tag<Self>()...`"
    >()
  })
})

describe("an endpoint that requires scopes", () => {
  const granted = Effect.as(WriteArticles.granted, HttpServerResponse.empty())

  test("says so in its type: what it calls cannot run where nobody checked", () => {
    expect(WriteArticles.granted).type.toBe<Effect.Effect<void, never, Permission.Granted<WriteArticles>>>()
    expect(WriteArticles.protect(Effect.zipRight(granted, me))).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityError,
        WriteArticles | HttpServerRequest.HttpServerRequest
      >
    >()
    expect(ReadEither.protect(granted)).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityError,
        ReadEither | Permission.Granted<WriteArticles> | HttpServerRequest.HttpServerRequest
      >
    >()
    expect(granted.pipe(Permission.unsafeGrant(WriteArticles))).type.toBe<
      Effect.Effect<HttpServerResponse.HttpServerResponse>
    >()
  })

  test("needs the Layer of its scopes, and that one the backend", () => {
    expect(WriteArticles.layer).type.toBe<Layer.Layer<WriteArticles, never, Auth>>()
    expect(ReadEither.layer).type.toBe<Layer.Layer<ReadEither, never, Either>>()
    const router = HttpRouter.empty.pipe(HttpRouter.get("/", WriteArticles.protect(granted)))
    const used = HttpRouter.empty.pipe(HttpRouter.get("/", granted), HttpRouter.use(WriteArticles.protect))
    const both = null as unknown as Layer.Layer<Auth | WriteArticles>
    HttpApp.toWebHandlerLayer(router, both)
    HttpApp.toWebHandlerLayer(used, both)
    const backend = null as unknown as Layer.Layer<Auth>
    // @ts-expect-error Type 'WriteArticles' is not assignable to type 'Auth'.
    HttpApp.toWebHandlerLayer(router, backend)
    // @ts-expect-error Type 'WriteArticles' is not assignable to type 'Auth'.
    HttpApp.toWebHandlerLayer(used, backend)
    expect(WriteArticles.layerMiddleware).type.toBe<
      Layer.Layer<
        | HttpLayerRouter.Request<"Requires", Permission.Granted<WriteArticles>>
        | HttpLayerRouter.Request<"Requires", CurrentUser>,
        never,
        WriteArticles | HttpLayerRouter.Request.From<"Error", SecurityError.SecurityError>
      >
    >()
  })

  test("of an HttpApi leaves it in what the group needs", () => {
    const api = HttpApi.make("app").add(
      HttpApiGroup.make("articles").add(HttpApiEndpoint.get("publish", "/").middleware(WriteArticles))
    )
    expect(HttpApiBuilder.group(api, "articles", (_) => _.handle("publish", () => WriteArticles.granted))).type.toBe<
      Layer.Layer<HttpApiGroup.ApiGroup<"app", "articles">, never, WriteArticles>
    >()
    const open = HttpApi.make("app").add(
      HttpApiGroup.make("articles").add(HttpApiEndpoint.get("publish", "/").middleware(Auth))
    )
    expect(HttpApiBuilder.group(open, "articles", (_) => _.handle("publish", () => WriteArticles.granted))).type.toBe<
      Layer.Layer<HttpApiGroup.ApiGroup<"app", "articles">, never, Auth | Permission.Granted<WriteArticles>>
    >()
  })

  test("is not served by a policy of another kind", () => {
    // @ts-expect-error This expression is not callable.
    WriteArticles.layer(() => Effect.void)
    // @ts-expect-error Type 'WriteArticles' is not assignable to type
    const stolen: Layer.Layer<ReadEither, never, Auth> = WriteArticles.layer
  })
})

class Directory extends Context.Tag("app/Directory")<Directory, string>() {}

describe("the Layer of a token endpoint", () => {
  const grant = () => Effect.succeed<Claims>({ sub: "ada", scope: ["articles:read"] })
  const options = { ...signed, tokenUrl: "/token", scopes, grant } as const

  test("needs keys and what its functions need, and can do what tokens in a header can", () => {
    expect(OAuth2PasswordBearer.layer(Auth, options)).type.toBe<
      Layer.Layer<
        Auth | SecurityConfig.Supports<Auth, OAuth2PasswordBearer.PasswordBearer>,
        SecurityError.SecurityConfigError,
        JwtKeys.JwtKeys
      >
    >()
    expect(
      OAuth2PasswordBearer.layer(Auth, {
        ...options,
        grant: () => Effect.flatMap(Directory, () => grant()),
        client: () => Effect.as(CurrentUser, true)
      })
    ).type.toBe<
      Layer.Layer<
        Auth | SecurityConfig.Supports<Auth, OAuth2PasswordBearer.PasswordBearer>,
        SecurityError.SecurityConfigError,
        JwtKeys.JwtKeys | Directory | CurrentUser
      >
    >()
  })

  test("asks for the vocabulary exactly when the claims have a scope", () => {
    const { scopes: _, ...without } = options
    // @ts-expect-error Property 'scopes' is missing in type
    OAuth2PasswordBearer.layer(Auth, without)
    // @ts-expect-error is not assignable to type 'Vocabulary<"articles:read" | "articles:write">'
    OAuth2PasswordBearer.layer(Auth, { ...options, scopes: others })
    const plain = { ...signed, tokenUrl: "/token", grant: () => Effect.succeed({ sub: "ada" }) } as const
    OAuth2PasswordBearer.layer(PlainAuth, plain)
    // @ts-expect-error is not assignable to type 'undefined'
    OAuth2PasswordBearer.layer(PlainAuth, { ...plain, scopes })
    // @ts-expect-error Property 'tokenUrl' is missing in type
    OAuth2PasswordBearer.layer(PlainAuth, { ...signed, grant: plain.grant })
  })

  test("gives the grant what the client asks for, the password out of sight", () => {
    OAuth2PasswordBearer.layer(Auth, {
      ...options,
      grant: (asked) => {
        expect(asked).type.toBe<OAuth2PasswordBearer.Grant<Scope>>()
        expect(asked.scope).type.toBe<Option.Option<ReadonlyArray<Scope>>>()
        expect(asked.password).type.toBe<Redacted.Redacted>()
        return grant()
      }
    })
  })

  test("is given the claims of the Tag by the grant, and no others", () => {
    const unknownScope = () => Effect.succeed({ sub: "ada", scope: ["articles:delete" as const] })
    // @ts-expect-error Type '"articles:delete"' is not assignable to type '"articles:read" | "articles:write"'.
    OAuth2PasswordBearer.layer(Auth, { ...options, grant: unknownScope })
    const noScope = () => Effect.succeed({ sub: "ada" })
    // @ts-expect-error Property 'scope' is missing in type '{ sub: string; }'
    OAuth2PasswordBearer.layer(Auth, { ...options, grant: noScope })
    const encoded = () => Effect.succeed({ sub: "ada", scope: "articles:read" })
    // @ts-expect-error Type 'string' is not assignable to type 'readonly ("articles:read" | "articles:write")[]'.
    OAuth2PasswordBearer.layer(Auth, { ...options, grant: encoded })
    // @ts-expect-error is not assignable to type 'Effect<boolean, unknown
    OAuth2PasswordBearer.layer(Auth, { ...options, client: () => Effect.succeed("yes") })
  })
})

describe("a token endpoint", () => {
  test("answers every failure itself, and needs a Layer that has one", () => {
    expect(OAuth2PasswordBearer.token(Auth)).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        never,
        SecurityConfig.Supports<Auth, "passwordGrant"> | HttpServerRequest.HttpServerRequest
      >
    >()
    const router = HttpRouter.empty.pipe(HttpRouter.post("/token", OAuth2PasswordBearer.token(Auth)))
    const live = null as unknown as Layer.Layer<SecurityConfig.Supports<Auth, OAuth2PasswordBearer.PasswordBearer>>
    HttpApp.toWebHandlerLayer(router, live)
    const ofAnother = null as unknown as Layer.Layer<SecurityConfig.Supports<PlainAuth, "passwordGrant">>
    // @ts-expect-error Type 'Supports<Auth, "passwordGrant">' is not assignable to type
    HttpApp.toWebHandlerLayer(router, ofAnother)
  })

  test("is none of tokens in a header or a cookie alone: what is missing stays in R", () => {
    const router = HttpRouter.empty.pipe(HttpRouter.post("/token", OAuth2PasswordBearer.token(Auth)))
    expect(Effect.provide(OAuth2PasswordBearer.token(Auth), JwtAuth.layer(Auth, signed))).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityConfigError,
        SecurityConfig.Supports<Auth, "passwordGrant"> | HttpServerRequest.HttpServerRequest | JwtKeys.JwtKeys
      >
    >()
    const keys = null as unknown as Layer.Layer<JwtKeys.JwtKeys>
    const header = JwtAuth.layer(Auth, signed).pipe(Layer.provide(keys))
    // @ts-expect-error Type 'Supports<Auth, "passwordGrant">' is not assignable to type
    HttpApp.toWebHandlerLayer(router, header)
    const cookie = JwtCookieAuth.layer(Auth, signed).pipe(Layer.provide(keys))
    // @ts-expect-error Type 'Supports<Auth, "passwordGrant">' is not assignable to type
    HttpApp.toWebHandlerLayer(router, cookie)
  })

  test("is of a Tag that signs people in", () => {
    // @ts-expect-error is missing the following properties from type 'SignIn<
    OAuth2PasswordBearer.token(KeyAuth)
  })

  test("of an HttpApi has the form, the token and every error in its type", () => {
    const endpoint = OAuth2PasswordBearer.endpoint("token", "/token")
    type Endpoint = typeof endpoint
    expect<HttpApiEndpoint.HttpApiEndpoint.Success<Endpoint>>().type.toBe<OAuth2PasswordBearer.TokenResponse>()
    expect<HttpApiEndpoint.HttpApiEndpoint.Error<Endpoint>>().type.toBe<
      | OAuth2PasswordBearer.TokenError
      | SecurityError.SessionTooLarge
      | SecurityError.TooManyAttempts
      | SecurityError.SecurityUnavailable
    >()
    expect<HttpApiEndpoint.HttpApiEndpoint.Payload<Endpoint>>().type.toBe<
      typeof OAuth2PasswordBearer.TokenRequest.Type
    >()
    // @ts-expect-error Argument of type '"token"' is not assignable to parameter of type '`/${string}`'.
    OAuth2PasswordBearer.endpoint("token", "token")
  })
})
