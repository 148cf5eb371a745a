/**
 * Authentication by a JSON Web Token that the client sends in a header: `Authorization: Bearer ...` (RFC 6750). Nothing
 * is kept on the server, so that nothing ends a token before its time.
 *
 * @since 0.1.0
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as CookiePolicy from "../http/CookiePolicy.js"
import type * as CrossSite from "../http/CrossSite.js"
import * as securityTag from "../internal/securityTag.js"
import * as signIn from "../internal/signIn.js"
import type * as SecurityConfig from "../SecurityConfig.js"
import type { SecurityConfigError, SecurityError, SecurityUnavailable, SessionTooLarge } from "../SecurityError.js"
import * as places from "./internal/place.js"
import * as tokens from "./internal/tokens.js"
import type * as Jwt from "./Jwt.js"
import type { Algorithms, JwtKeys } from "./JwtKeys.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * What a Layer over tokens in a header can do.
 *
 * @since 0.1.0
 * @category models
 */
export type Bearer = "login" | "logout" | "token" | "issue"

/**
 * What is said of one token in place of what its Layer says of all. `id` is its `jti`.
 *
 * @since 0.1.0
 * @category models
 */
export interface IssueOptions extends Omit<Jwt.SignOptions, "subject"> {}

// -----------------------------------------------------------------------------
// The static side
// -----------------------------------------------------------------------------

/**
 * A Tag made by `JwtAuth.Tag`: `auth` are the claims that its schema names. It is served by the Layers of `JwtAuth`,
 * `JwtCookieAuth` and `OAuth2PasswordBearer`, and by `SessionAuth.layer`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, in out Id extends string, in out UserId, in out User, in out Claims>
  extends SecurityConfig.Base<Self, Id, UserId, User, Claims>, SecurityConfig.SignIn<Self, Claims>
{
  /** The claims of the request at hand, as their schema decodes them. */
  readonly claims: Effect.Effect<Claims, SecurityError, Self | HttpServerRequest>
  /** What the token of the request at hand says about itself, with all the claims that no schema names. */
  readonly token: Effect.Effect<Jwt.Token, SecurityError, SecurityConfig.Supports<Self, "token"> | HttpServerRequest>
  /**
   * Makes a token and gives it to the caller instead of the client, for a body or another program. A Layer whose tokens
   * scripts must not see does not have it.
   */
  readonly issue: (claims: Claims, options?: IssueOptions) => Effect.Effect<
    Jwt.Issued,
    SecurityUnavailable | SessionTooLarge,
    SecurityConfig.Supports<Self, "issue">
  >
}

/**
 * What a Tag is declared with, next to the `subject`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagOptions<in out UserId, in out User, in out Claims, in out Cookie> {
  readonly user: Context.Tag<UserId, User>
  readonly claims: Schema.Schema<Claims, any>
  readonly cookie?: (Cookie & CookiePolicy.Check<Cookie>) | undefined
  readonly name?: string | undefined
}

/**
 * Whose a token is: its `sub`. Not needed when the claims always have a `sub` or a `userId`.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Subject<Claims> = [Claims] extends [{ readonly sub: string }]
  ? unknown extends Claims["sub"] ? SubjectOfUserId<Claims> : SubjectOption<Claims>
  : SubjectOfUserId<Claims>

/**
 * `Subject` where the claims have no `sub`.
 *
 * @since 0.1.0
 * @category type-level
 */
export type SubjectOfUserId<Claims> = [Claims] extends [{ readonly userId: string | number | bigint }]
  ? unknown extends Claims["userId"] ? SubjectRequired<Claims> : SubjectOption<Claims>
  : SubjectRequired<Claims>

/**
 * Claims that say themselves whose they are may be overruled.
 *
 * @since 0.1.0
 * @category type-level
 */
export interface SubjectOption<Claims> {
  readonly subject?: ((claims: Claims) => string) | undefined
}

/**
 * Of other claims the application says whose they are.
 *
 * @since 0.1.0
 * @category type-level
 */
export interface SubjectRequired<Claims> {
  readonly subject: (claims: Claims) => string
}

const subjectOf = (claims: { readonly sub?: string; readonly userId: string | number | bigint }): string =>
  claims.sub ?? signIn.userId(claims)

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

/**
 * Makes a backend whose credential is a token. `user` is the application's own Tag of the current user; `claims` is what
 * a token says, decoded from all of its claims and encoded to a JSON object beside those that the signer knows (`iss`,
 * `sub`, `aud`, `exp`, `iat`, `jti`); `name` is that of the scheme in OpenAPI (default `bearerToken`); `cookie` is the
 * policy of the cookie where the token is in one (`http/CookiePolicy`, default `__Host-token`).
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { Context, Effect, Layer, Option, Schema } from "effect"
 * import { JwtAuth, JwtKeys } from "effect-security"
 * import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class Auth extends JwtAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   claims: Schema.Struct({ sub: Schema.String })
 * }) {}
 *
 * export const AuthLive = JwtAuth.layer(Auth, {
 *   algorithms: ["EdDSA"],
 *   issuer: "https://app.example.com",
 *   audience: "https://app.example.com/api",
 *   retrieveUser: ({ sub }) => Effect.succeed(Option.some({ name: sub }))
 * }).pipe(Layer.provide(JwtKeys.layer(JwtKeysJose.generate("EdDSA"))))
 * ```
 */
export const Tag = <Self = never>(): <
  const Id extends string,
  UserId,
  User,
  Claims,
  const Cookie extends CookiePolicy.Options & Readonly<Record<string, any>> = {}
>(
  id: Id,
  options: TagOptions<UserId, User, Claims, Cookie> & Subject<NoInfer<Claims>>
) => [Self] extends [never] ? SecurityConfig.MissingSelf<"JwtAuth.Tag">
  : TagClass<Self, Id, UserId, User, Claims> =>
(id: string, options: {
  readonly user: Context.Tag<any, any>
  readonly claims: Schema.Schema<any, any>
  readonly cookie?: CookiePolicy.Options | undefined
  readonly name?: string | undefined
  readonly subject?: ((claims: any) => string) | undefined
}): any => {
  const realm: signIn.Realm = {
    id,
    name: options.name ?? "bearerToken",
    cookie: signIn.named(options.cookie, "token"),
    auth: options.claims,
    versions: undefined,
    subject: options.subject ?? subjectOf
  }
  const on = signIn.operation<tokens.Writing>(id)
  const self: SecurityConfig.Base<any, any, any, any, any> = securityTag.make(id, {
    provides: options.user,
    security: { [realm.name]: places.headerScheme("Authorization") },
    statics: {
      ...signIn.withRealm(realm),
      auth: options.claims,
      ...signIn.accessors(id),
      token: on("token", (token) => token),
      issue: (claims: any, issueOptions?: IssueOptions) => on("issue", (issue) => issue(claims, issueOptions))
    }
  })
  Object.defineProperty(self, "claims", {
    value: Effect.map(self.authenticated, ({ auth }) => auth),
    enumerable: true
  })
  return self
}

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * What a Layer takes. `retrieveUser` finds the user of a token's claims, and is also given what the token says about
 * itself; `None` is 401. `NotAuthorized` and
 * `PermissionDenied` pass through; every other failure becomes `SecurityUnavailable` and is logged. `algorithms` are
 * those that are accepted, of one family; the first that the newest key is good for signs.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions<in out User, in Claims, out E, out R, out RG extends ReadonlyArray<unknown>>
  extends SecurityConfig.GuardOptions<User, RG>
{
  readonly retrieveUser: (claims: Claims, token: Jwt.Token) => Effect.Effect<Option.Option<User>, E, R>
  readonly algorithms: Algorithms
}

/**
 * - `issuer`: the `iss` that is accepted, or several of them; the first is that of tokens that are signed here
 * - `audience`: a token is accepted when its `aud` has one of these; tokens that are signed here have all of them
 * - `lifetime`: how long a token lasts (default 15 minutes): nothing ends it before
 * - `type`, `strictAudience`, `tolerance`, `cacheSize`: as in `Jwt.Options`
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenSettings extends SecurityConfig.Settings {
  readonly issuer: string | NonEmptyReadonlyArray<string>
  readonly audience: string | NonEmptyReadonlyArray<string>
  readonly lifetime?: Duration.DurationInput | undefined
  readonly type?: "JWT" | "at+jwt" | undefined
  readonly strictAudience?: boolean | undefined
  readonly tolerance?: Duration.DurationInput | undefined
  readonly cacheSize?: number | undefined
}

/**
 * `header` is where the token is, behind `Bearer` (default `Authorization`). Browsers send it for no other site, so that
 * there is no cross-site check to set.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeaderSettings {
  readonly header?: string | undefined
}

/**
 * The settings of a Layer over tokens in a header, those that `layerConfig` takes from `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends Omit<TokenSettings, keyof CrossSite.Options>, HeaderSettings {}

/**
 * What a Layer takes that only verifies: the tokens of others, of several issuers by `Jwt.byIssuer`. A subject is one
 * of its issuer's: of several issuers, `retrieveUser` finds a user by both (OpenID Connect Core section 5.7).
 *
 * @since 0.1.0
 * @category models
 */
export interface VerifierOptions<
  in out User,
  in out Claims,
  out E,
  out R,
  out RG extends ReadonlyArray<unknown>,
  out EV,
  out RV
> extends SecurityConfig.GuardOptions<User, RG> {
  readonly retrieveUser: (claims: Claims, token: Jwt.Token) => Effect.Effect<Option.Option<User>, E, R>
  readonly verifier: Effect.Effect<Jwt.Verifier<Claims>, EV, RV>
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Tokens in a header, for any Tag whose backend signs people in: one of `JwtAuth.Tag`, or of `SessionAuth.Tag`, so that
 * a program changes from sessions to tokens by its Layer.
 *
 * `login` grants the token by the same header of the response, if its status is below 400. `logout` succeeds and ends
 * nothing: a token that somebody copied is good until it expires. A token names the Tag that it was signed for, and is no
 * token of another. Whoever holds it reads what it says, also the session of a `SessionAuth.Tag`.
 *
 * Fails with `SecurityConfigError` when the keys do not fit the algorithms or are somebody else's, which cannot sign, and
 * when a setting of the tokens makes no sense; dies when one of `SecurityConfig.Settings` or `header` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <
  Self,
  Id extends string,
  UserId,
  User,
  Claims,
  E,
  R,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>,
  options: LayerOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG> & Settings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Bearer>,
  SecurityConfigError,
  JwtKeys | SecurityConfig.WithoutRequest<R | RG[number]>
> => Layer.scopedContext(build(tag, options as any)) as any

const build = (
  tag: Context.Tag<any, any>,
  options: LayerOptions<any, any, any, any, any> & Settings
) =>
  Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const place = places.header(realm, options.header ?? "Authorization")
    const { context, operations } = yield* tokens.make(tag, options, places.writableHeader(realm, place, options))
    return tokens.supporting(context, realm.id, operations)
  })

/**
 * The same, with settings from `Config`: what does not parse, and what `layer` would die of, is a `ConfigError`.
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
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>,
  options:
    & LayerOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG>
    & { readonly settings: Config.Config.Wrap<Settings> }
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Bearer>,
  SecurityConfigError | ConfigError,
  JwtKeys | SecurityConfig.WithoutRequest<R | RG[number]>
> =>
  securityTag.layerConfig<Settings, any, SecurityConfigError, any>(
    options.settings,
    (settings) => places.wrongHeader(signIn.realmOf(tag), settings),
    (settings) => layer(tag, { ...options, ...settings })
  )

/**
 * Tokens that others sign, in a header: `login` does not compile over it, since nothing is signed here.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Context, Effect, Option, Schema } from "effect"
 * import { Jwt, JwtAuth, JwtKeys } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly id: string }>() {}
 *
 * const claims = Schema.Struct({ sub: Schema.String })
 *
 * class Auth extends JwtAuth.Tag<Auth>()("app/Auth", { user: CurrentUser, claims }) {}
 *
 * const verifier = (issuer: string, keys: JwtKeys.KeyRing) =>
 *   Jwt.verifier({ algorithms: ["RS256"], issuer, audience: "https://api.example.com", claims }).pipe(
 *     Effect.provideService(JwtKeys.JwtKeys, keys)
 *   )
 *
 * export const AuthLive = (ours: JwtKeys.KeyRing, partners: JwtKeys.KeyRing) =>
 *   JwtAuth.layerVerifier(Auth, {
 *     verifier: Effect.all([
 *       verifier("https://accounts.example.com", ours),
 *       verifier("https://login.partner.example", partners)
 *     ]).pipe(Effect.flatMap((all) => Jwt.byIssuer(...all))),
 *     // The same text is another person at another issuer.
 *     retrieveUser: ({ sub }, { issuer }) => Effect.succeed(Option.some({ id: `${issuer} ${sub}` }))
 *   })
 * ```
 */
export const layerVerifier = <
  Self,
  Id extends string,
  UserId,
  User,
  Claims,
  E,
  R,
  EV,
  RV,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>,
  options:
    & VerifierOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG, EV, RV>
    & Omit<SecurityConfig.Settings, keyof CrossSite.Options>
    & HeaderSettings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, "token">,
  EV,
  RV | SecurityConfig.WithoutRequest<R | RG[number]>
> =>
  Layer.scopedContext(Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const place = places.header(realm, options.header ?? "Authorization")
    return yield* tokens.readOnly(tag, options as any, place)
  })) as any
