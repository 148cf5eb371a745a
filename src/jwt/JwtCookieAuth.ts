/**
 * Authentication by a JSON Web Token in a cookie, which no script can read: the token is granted by `Set-Cookie` alone
 * and never appears in another header or a body. Under the cookie policy and the cross-site check of every cookie.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as CookiePolicy from "../http/CookiePolicy.js"
import * as securityTag from "../internal/securityTag.js"
import * as signIn from "../internal/signIn.js"
import type * as SecurityConfig from "../SecurityConfig.js"
import type { SecurityConfigError } from "../SecurityError.js"
import * as places from "./internal/place.js"
import * as tokens from "./internal/tokens.js"
import type * as JwtAuth from "./JwtAuth.js"
import type { JwtKeys } from "./JwtKeys.js"

/**
 * What a Layer over tokens in a cookie can do: not `issue`, since that would put a token where scripts can read it.
 *
 * @since 0.1.0
 * @category models
 */
export type Cookie = "login" | "logout" | "token"

/**
 * `insecureCookie` drops `Secure` and the prefix of the cookie's name, for plain http in development.
 *
 * @since 0.1.0
 * @category models
 */
export interface CookieSettings {
  readonly insecureCookie?: boolean | undefined
}

/**
 * The settings of a Layer over tokens in a cookie, those that `layerConfig` takes from `Config`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends JwtAuth.TokenSettings, CookieSettings {}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Tokens in a cookie, for any Tag whose backend signs people in: one of `JwtAuth.Tag`, or of `SessionAuth.Tag`. The Tag
 * says what the cookie is called. It reads its cookie and nothing else: where a token may also be in a header, that is
 * `SecurityConfig.firstOf`.
 *
 * `login` sets the cookie, which lasts as long as the token, or until the browser ends with `remember: false`; it fails
 * with `CookieTooLarge` over 4,096 bytes. `logout` clears the cookie, and a token that somebody copied is good until it
 * expires. A token names the Tag that it was signed for, and is no token of another. Two Tags in one program give their
 * cookies different names.
 *
 * Fails with `SecurityConfigError` when the keys do not fit the algorithms or are somebody else's, which cannot sign, and
 * when a setting of the tokens makes no sense; dies when one of `SecurityConfig.Settings` or the cookie does.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Config, Context, Effect, Layer, Option, Schema } from "effect"
 * import { JwtCookieAuth, JwtKeys, SessionAuth } from "effect-security"
 * import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   session: Schema.Struct({ userId: Schema.String })
 * }) {}
 *
 * export const AuthLive = JwtCookieAuth.layer(Auth, {
 *   algorithms: ["HS256"],
 *   issuer: "https://app.example.com",
 *   audience: "https://app.example.com",
 *   retrieveUser: ({ userId }) => Effect.succeed(Option.some({ name: userId }))
 * }).pipe(
 *   Layer.provide(JwtKeys.layer(Effect.flatMap(Config.redacted("JWT_SECRET"), (secret) => JwtKeysJose.hmac(secret))))
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
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Claims> & SecurityConfig.SignIn<Self, Claims>,
  options: JwtAuth.LayerOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG> & Settings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Cookie>,
  SecurityConfigError,
  JwtKeys | SecurityConfig.WithoutRequest<R | RG[number]>
> => Layer.scopedContext(build(tag, options as any)) as any

const build = (
  tag: Context.Tag<any, any>,
  options: JwtAuth.LayerOptions<any, any, any, any, any> & Settings
) =>
  Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const policy = yield* places.orDie(realm, places.policy(realm, options))
    const { context, operations: { issue: _, ...operations } } = yield* tokens.make(
      tag,
      options,
      places.writableCookie(realm, policy, options)
    )
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
    & JwtAuth.LayerOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG>
    & { readonly settings: Config.Config.Wrap<Settings> }
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Cookie>,
  SecurityConfigError | ConfigError,
  JwtKeys | SecurityConfig.WithoutRequest<R | RG[number]>
> =>
  securityTag.layerConfig<Settings, any, SecurityConfigError, any>(
    options.settings,
    (settings) => {
      const realm = signIn.realmOf(tag)
      return Option.orElse(Either.getLeft(places.policy(realm, settings)), () =>
        securityTag.wrongOption({
          ...settings,
          security: { [realm.name]: places.cookieScheme(CookiePolicy.secureName(realm.cookie)) }
        }))
    },
    (settings) => layer(tag, { ...options, ...settings })
  )

/**
 * Tokens that others sign, in a cookie: `login` does not compile over it, since nothing is signed here.
 *
 * @since 0.1.0
 * @category layers
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
    & JwtAuth.VerifierOptions<NoInfer<User>, NoInfer<Claims>, E, R, RG, EV, RV>
    & SecurityConfig.Settings
    & CookieSettings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, "token">,
  EV,
  RV | SecurityConfig.WithoutRequest<R | RG[number]>
> =>
  Layer.scopedContext(Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const place = places.cookie(realm, yield* places.orDie(realm, places.policy(realm, options)))
    return yield* tokens.readOnly(tag, options as any, place)
  })) as any
