/**
 * Tokens in a header, and an endpoint that gives them for a user name and a password: the resource owner password
 * credentials grant of OAuth 2.0 (RFC 6749 section 4.3).
 *
 * **OAuth 2.1 drops this grant**, and RFC 9700 section 2.4 says that it must not be used: whoever asks for a token sees
 * the password, so that nothing is left of what OAuth is for. It remains for first-party clients that have the password
 * anyway, a command line or a program of one's own, for Swagger's "Authorize", and for those who come from Litestar or
 * FastAPI. For people in a browser there is `SessionAuth`, and for other parties an authorization server.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as OpenApi from "@effect/platform/OpenApi"
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { isTagged } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as RequestBody from "../http/RequestBody.js"
import * as ResponseJar from "../http/ResponseJar.js"
import * as backend from "../internal/backend.js"
import { SchemeObject } from "../internal/openApi.js"
import * as securityTag from "../internal/securityTag.js"
import * as signIn from "../internal/signIn.js"
import { toTimeout, wait } from "../internal/wait.js"
import type * as Scopes from "../Scopes.js"
import type * as SecurityConfig from "../SecurityConfig.js"
import { SecurityUnavailable, SessionTooLarge, TooManyAttempts } from "../SecurityError.js"
import type { SecurityConfigError } from "../SecurityError.js"
import * as places from "./internal/place.js"
import * as tokenRequest from "./internal/tokenRequest.js"
import * as tokens from "./internal/tokens.js"
import type * as JwtAuth from "./JwtAuth.js"
import type { JwtKeys } from "./JwtKeys.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * What a Layer with a token endpoint can do.
 *
 * @since 0.1.0
 * @category models
 */
export type PasswordBearer = JwtAuth.Bearer | "passwordGrant"

/**
 * What a client asks for. `scope` is what it names, every one of it in the vocabulary, and none where it names none.
 *
 * @since 0.1.0
 * @category models
 */
export interface Grant<out Scope> {
  readonly username: string
  readonly password: Redacted.Redacted
  readonly scope: Option.Option<ReadonlyArray<Scope>>
  readonly clientId: Option.Option<string>
}

/**
 * Who says that it asks, in `Authorization: Basic` or as `client_id` and `client_secret` (RFC 6749 section 2.3.1). A
 * client without a secret may be anybody.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly id: Option.Option<string>
  readonly secret: Option.Option<Redacted.Redacted>
}

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * The vocabulary of the scopes that the claims have: not needed where they have none.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ScopesOption<Claims> = [Scopes.ScopeOf<Claims>] extends [Scopes.NoScopes] ? { readonly scopes?: undefined }
  : { readonly scopes: Scopes.Vocabulary<Extract<Scopes.ScopeOf<Claims>, string>> }

/**
 * - `tokenUrl`: where the token endpoint is, for OpenAPI
 * - `grant`: verifies the password, decides which of the scopes that the client asks for its user may have, and gives
 *   the claims of the token. Its
 *   `NotAuthorized` and `PermissionDenied` are answered with `invalid_grant`; `TooManyAttempts` is 429; every failure
 *   that is none of `SecurityError` is logged and 503. The scopes of the claims are the granted ones, and are said in
 *   the answer; where the client asked for some and none is granted, the answer is `invalid_scope`
 * - `client`: whether a client is who it says; whoever is not is answered with `invalid_client`, as for those two
 *   failures. By default clients are public, and one that sends a secret is refused, since nobody can check it (RFC
 *   6749 section 4.3.2)
 * - `grantTimeout`: how long `grant` and `client` may take (default 10 seconds, since a password waits for its turn to
 *   be hashed), after which the answer is 503
 * - `scopes`: the vocabulary, where the claims have a `scope`. Another scope is answered with `invalid_scope`
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions<
  in out User,
  in out Claims,
  out E,
  out R,
  out RG extends ReadonlyArray<unknown>,
  out EG,
  out RP,
  out RC
> extends JwtAuth.LayerOptions<User, Claims, E, R, RG> {
  readonly tokenUrl: string
  readonly grant: (grant: Grant<Scopes.ScopeOf<Claims>>) => Effect.Effect<Claims, EG, RP>
  readonly client?: ((client: Client) => Effect.Effect<boolean, unknown, RC>) | undefined
  readonly grantTimeout?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * As `JwtAuth.layer`, with a token endpoint: `token(Auth)` is its handler.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import { Context, Effect, Option, Schema } from "effect"
 * import { Credentials, JwtAuth, OAuth2PasswordBearer, Password, Scopes, UserRepository } from "effect-security"
 *
 * class User extends Schema.Class<User>("User")({
 *   id: Schema.String,
 *   email: Schema.String,
 *   isEditor: Schema.Boolean
 * }) {}
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, User>() {}
 * class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
 *
 * const scopes = Scopes.make({ "articles:read": "Read articles", "articles:write": "Write articles" })
 *
 * class Auth extends JwtAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   claims: Schema.Struct({ sub: Schema.String, scope: scopes.schema })
 * }) {}
 *
 * export const AuthLive = OAuth2PasswordBearer.layer(Auth, {
 *   algorithms: ["ES256"],
 *   issuer: "https://app.example.com",
 *   audience: "https://app.example.com/api",
 *   tokenUrl: "/token",
 *   scopes,
 *   grant: ({ password, scope, username }) =>
 *     Effect.map(
 *       Credentials.verify(Users, { login: username, password: Password.fromRedacted(password) }),
 *       ({ user }) => {
 *         // What is asked for is a wish: of it, what this user may have.
 *         const may = ["articles:read" as const, ...(user.isEditor ? ["articles:write" as const] : [])]
 *         return { sub: user.id, scope: Option.match(scope, {
 *           onNone: () => may,
 *           onSome: (asked) => asked.filter((one) => may.includes(one))
 *         }) }
 *       }
 *     ),
 *   retrieveUser: ({ sub }) => Users.findById(sub)
 * })
 *
 * export const router = HttpRouter.empty.pipe(
 *   HttpRouter.post("/token", OAuth2PasswordBearer.token(Auth))
 * )
 * ```
 */
export const layer = <
  Self,
  Id extends string,
  UserId,
  User,
  Claims,
  E,
  R,
  EG,
  RP,
  RC = never,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>,
  options:
    & LayerOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG, EG, RP, RC>
    & JwtAuth.Settings
    & ScopesOption<NoInfer<Claims>>
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, PasswordBearer>,
  SecurityConfigError,
  JwtKeys | SecurityConfig.WithoutRequest<R | RG[number] | RP | RC>
> => Layer.scopedContext(build(tag, options as any)) as any

/**
 * The same, with settings from `Config`: what does not parse, and what `JwtAuth.layer` would die of, is a `ConfigError`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <
  Self,
  Id extends string,
  UserId,
  User,
  Claims,
  E,
  R,
  EG,
  RP,
  RC = never,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>,
  options:
    & LayerOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG, EG, RP, RC>
    & { readonly settings: Config.Config.Wrap<JwtAuth.Settings> }
    & ScopesOption<NoInfer<Claims>>
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, PasswordBearer>,
  SecurityConfigError | ConfigError,
  JwtKeys | SecurityConfig.WithoutRequest<R | RG[number] | RP | RC>
> =>
  securityTag.layerConfig<JwtAuth.Settings, any, SecurityConfigError, any>(
    options.settings,
    (settings) => places.wrongHeader(signIn.realmOf(tag), settings),
    (settings) => layer(tag, { ...options, ...settings } as any)
  ) as any

interface BuildOptions extends LayerOptions<any, any, any, any, any, any, any, any>, JwtAuth.Settings {
  readonly scopes?: Scopes.Vocabulary<string> | undefined
}

/** What stands behind `Supports` besides what tokens in a header can do. */
interface Operations extends tokens.Writing {
  readonly passwordGrant: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    HttpServerRequest.HttpServerRequest
  >
}

const schemeOf = ({ scopes, tokenUrl }: BuildOptions): HttpApiSecurity.HttpApiSecurity =>
  HttpApiSecurity.bearer.pipe(
    HttpApiSecurity.annotate(SchemeObject, {
      type: "oauth2",
      flows: { password: { tokenUrl, scopes: { ...scopes?.descriptions } } }
    }),
    HttpApiSecurity.annotate(OpenApi.Description, "OAuth 2.0 with a user name and a password, and a JSON Web Token.")
  )

const build = (tag: Context.Tag<any, any>, options: BuildOptions) =>
  Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const grantTimeout = toTimeout(options.grantTimeout ?? "10 seconds")
    if (Option.isNone(grantTimeout)) {
      return yield* Effect.dieMessage(`${realm.id}: grantTimeout is a positive duration`)
    }
    const header = options.header ?? "Authorization"
    // What `oauth2` says to whoever reads the document is in `Authorization`.
    const place = places.isAuthorization(header)
      ? places.header(realm, header, schemeOf(options))
      : places.header(realm, header)
    const { context, operations } = yield* tokens.make(tag, options, places.writableHeader(realm, place, options))
    const provide = backend.provideRequest(yield* Effect.context<any>())
    const passwordGrant = answer(realm, options, operations, grantTimeout.value).pipe(provide)
    return tokens.supporting(context, realm.id, { ...operations, passwordGrant } satisfies Operations)
  })

// -----------------------------------------------------------------------------
// The token endpoint
// -----------------------------------------------------------------------------

/** RFC 6749 sections 5.1 and 5.2. */
const headers = { "cache-control": "no-store", pragma: "no-cache" }

const json = (body: unknown, status: number, more: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(JSON.stringify(body), {
    status,
    contentType: "application/json",
    headers: { ...headers, ...more }
  })

const failed = (error: tokenRequest.ErrorCode, realm: string) =>
  error === "invalid_client"
    ? json({ error }, 401, { "www-authenticate": `Basic realm="${realm}", charset="UTF-8"` })
    : json({ error }, 400)

const mediaType = "application/x-www-form-urlencoded"

const mediaTypeOf = (request: HttpServerRequest.HttpServerRequest): string =>
  (request.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase()

/**
 * Whatever a body is, it is read, so that the connection can go on, and then it is a form or it is not: one that is no
 * text is none.
 */
const withForm = <E, R>(
  f: (text: string) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Exclude<E, RequestBody.Handled>,
  R | HttpServerRequest.HttpServerRequest
> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const type = mediaTypeOf(request)
    return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.text).pipe(
      Effect.catchIf(
        (error) => error instanceof RequestBody.RequestBodyError && error.status === 400,
        () => Effect.succeed("")
      ),
      Effect.flatMap((text) => f(type === mediaType ? text : "")),
      RequestBody.make({ accept: [type], limit: 16_384 })
    )
  })

/** What a client that says who it is has to be, where the application does not say. */
const isPublic = ({ secret }: Client): Effect.Effect<boolean> => Effect.succeed(Option.isNone(secret))

const answer = (
  realm: signIn.Realm,
  options: BuildOptions,
  operations: tokens.Writing,
  timeout: Duration.Duration
) => {
  const fail = (error: tokenRequest.ErrorCode) => Effect.fail(failed(error, realm.name))

  /** Asks the application, whose refusal is an answer. */
  const ask = <A, E, R>(question: () => Effect.Effect<A, E, R>, what: string, refusal: tokenRequest.ErrorCode) =>
    Effect.catchIf(
      wait(Effect.suspend(question), what, timeout),
      (error: unknown) => isTagged(error, "NotAuthorized") || isTagged(error, "PermissionDenied"),
      () => fail(refusal)
    )

  const claimsOf = ({ client, password, scope, username }: tokenRequest.TokenRequest) =>
    Effect.gen(function*() {
      const isClient: unknown = yield* ask(
        () => (options.client ?? isPublic)(client),
        "the authentication of a client",
        "invalid_client"
      )
      if (isClient !== true) {
        return yield* fail("invalid_client")
      }
      const named = Option.getOrElse(scope, () => [])
      if (!named.every((scope) => options.scopes?.is(scope) ?? false)) {
        return yield* fail("invalid_scope")
      }
      const claims: any = yield* ask(
        () =>
          options.grant({ username, password, scope: scope as Option.Option<ReadonlyArray<any>>, clientId: client.id }),
        "the password grant",
        "invalid_grant"
      )
      return { claims, isAsked: named.length > 0 }
    })

  /** RFC 6749 section 3.3: a scope is never empty. Who asks for some and may have none gets no token. */
  const granted = ({ claims, isAsked }: { readonly claims: any; readonly isAsked: boolean }) =>
    Effect.suspend(() => isAsked && claims.scope.length === 0 ? fail("invalid_scope") : operations.issue(claims)).pipe(
      Effect.map(({ expiresIn, token }) =>
        json({
          access_token: Redacted.value(token),
          token_type: "Bearer",
          expires_in: expiresIn,
          ...(options.scopes === undefined || claims.scope.length === 0
            ? {}
            : { scope: (claims.scope as ReadonlyArray<string>).join(" ") })
        }, 200)
      ),
      // A grant that gives what is no claims is as one that throws.
      Effect.catchAllDefect((defect) =>
        Effect.zipRight(
          Effect.logError("what the password grant gave makes no token", defect),
          Effect.fail(new SecurityUnavailable({ reason: "the password grant failed" }))
        )
      )
    )

  return withForm((text) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      ResponseJar.get(request).vary.add("Authorization")
      return tokenRequest.parse(request, text)
    }).pipe(
      Effect.catchAll(fail),
      Effect.flatMap(claimsOf),
      Effect.flatMap(granted)
    )
  ).pipe(
    Effect.catchAll((error: HttpServerRespondable.Respondable) => HttpServerRespondable.toResponse(error)),
    Effect.map(HttpServerResponse.setHeader("cache-control", "no-store"))
  )
}

/**
 * The handler of the token endpoint. It takes `application/x-www-form-urlencoded` with `grant_type=password`,
 * `username`, `password` and `scope`, at most 16 KiB, and answers as RFC 6749 sections 5.1 and 5.2 say, with
 * `Cache-Control: no-store`. It answers every failure itself.
 *
 * @since 0.1.0
 * @category endpoints
 */
export const token = <Self, Id extends string, UserId, User, Claims>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  SecurityConfig.Supports<Self, "passwordGrant"> | HttpServerRequest.HttpServerRequest
> => signIn.operation<Operations>(tag.key)("passwordGrant", (passwordGrant) => passwordGrant)

// -----------------------------------------------------------------------------
// In an HttpApi
// -----------------------------------------------------------------------------

/**
 * What the endpoint takes (RFC 6749 section 4.3.2).
 *
 * @since 0.1.0
 * @category schemas
 */
export const TokenRequest: Schema.Struct<{
  grant_type: Schema.Literal<["password"]>
  username: typeof Schema.String
  password: typeof Schema.String
  scope: Schema.optional<typeof Schema.String>
  client_id: Schema.optional<typeof Schema.String>
  client_secret: Schema.optional<typeof Schema.String>
}> = Schema.Struct({
  grant_type: Schema.Literal("password"),
  username: Schema.String,
  password: Schema.String,
  scope: Schema.optional(Schema.String),
  client_id: Schema.optional(Schema.String),
  client_secret: Schema.optional(Schema.String)
})

/**
 * A token and what it is good for (RFC 6749 section 5.1). `expires_in` is in seconds; `scope` holds the granted scopes,
 * separated by spaces.
 *
 * @since 0.1.0
 * @category schemas
 */
export class TokenResponse extends Schema.Class<TokenResponse>("effect-security.TokenResponse")({
  access_token: Schema.String,
  token_type: Schema.Literal("Bearer"),
  expires_in: Schema.Int,
  scope: Schema.optional(Schema.String)
}) {}

/**
 * Why there is no token (RFC 6749 section 5.2), as a client derived from an `HttpApi` sees it. `invalid_client` is 401,
 * every other code 400.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenError extends Schema.Class<TokenError>("effect-security.TokenError")({
  error: Schema.Literal(
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unsupported_grant_type",
    "invalid_scope"
  )
}, { description: "There is no token (RFC 6749 section 5.2)" }) {}

/**
 * The token endpoint of an `HttpApi`, whose handler is `token(Auth)`. A derived client decodes `TokenError`,
 * `TooManyAttempts` and `SecurityUnavailable`.
 *
 * @since 0.1.0
 * @category endpoints
 * @example
 * ```ts
 * import { HttpApi, HttpApiBuilder, HttpApiGroup } from "@effect/platform"
 * import { Context, Schema } from "effect"
 * import { JwtAuth, OAuth2PasswordBearer } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly id: string }>() {}
 *
 * class Auth extends JwtAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   claims: Schema.Struct({ sub: Schema.String })
 * }) {}
 *
 * class Api extends HttpApi.make("api").add(
 *   HttpApiGroup.make("auth").add(OAuth2PasswordBearer.endpoint("token", "/token"))
 * ) {}
 *
 * export const AuthGroupLive = HttpApiBuilder.group(Api, "auth", (handlers) =>
 *   handlers.handleRaw("token", () => OAuth2PasswordBearer.token(Auth)))
 * ```
 */
export const endpoint = <const Name extends string>(name: Name, path: `/${string}`) =>
  HttpApiEndpoint.post(name, path)
    .setPayload(HttpApiSchema.withEncoding(TokenRequest, {
      kind: "UrlParams",
      contentType: "application/x-www-form-urlencoded"
    }))
    .addSuccess(TokenResponse)
    .addError(TokenError, { status: 400 })
    .addError(TokenError, { status: 401 })
    .addError(SessionTooLarge)
    .addError(TooManyAttempts)
    .addError(SecurityUnavailable)
