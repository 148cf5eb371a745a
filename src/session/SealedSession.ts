/**
 * Sessions that live in a cookie of their client, sealed so that nobody can read or change them: nothing is stored on
 * the server, and nothing has to be asked. What follows from that: the last of two parallel responses wins, also over
 * the one that signs out, and a cookie that somebody copied stays good until it expires, whoever signs out or rotates.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as csprng from "../internal/csprng.js"
import * as securityTag from "../internal/securityTag.js"
import * as signIn from "../internal/signIn.js"
import type * as SecurityConfig from "../SecurityConfig.js"
import type { SecurityConfigError } from "../SecurityError.js"
import * as backend from "./internal/sealed/backend.js"
import type * as SessionAuth from "./SessionAuth.js"
import { SessionEpoch } from "./SessionEpoch.js"

// -----------------------------------------------------------------------------
// Keys
// -----------------------------------------------------------------------------

/**
 * 32 random bytes or more: as bytes, or as base64url without padding. A key says nothing of itself in a log.
 *
 * @since 0.1.0
 * @category models
 */
export type Key = Redacted.Redacted<string | Uint8Array>

/**
 * One key, or several, the newest first: sessions are sealed with the first and opened with any, so that a key is
 * replaced by putting another before it. A session that is met under an old key is sealed anew; the old key goes when
 * the last of them has expired, which is after `absoluteTimeout`, or as soon as it has to.
 *
 * @since 0.1.0
 * @category models
 */
export type Keys = Key | ReadonlyArray<Key>

/**
 * A fresh key, as text: for development, where sessions need not survive a restart.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeKey: Effect.Effect<Redacted.Redacted<string>> = Effect.map(
  csprng.bytes(32),
  (bytes) => Redacted.make(Encoding.encodeBase64Url(bytes))
)

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * - `keys`: what sessions are sealed with
 * - `idleTimeout`: a session ends when it was not used for so long (default 7 days)
 * - `absoluteTimeout`: a session ends so long after sign-in, used or not (default 30 days); a shorter one holds for
 *   sessions that are out already
 * - `insecureCookie`: drops `Secure` and the prefix of the cookie's name, for plain http in development
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends SecurityConfig.Settings {
  readonly keys: Keys
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly absoluteTimeout?: Duration.DurationInput | undefined
  readonly insecureCookie?: boolean | undefined
}

/**
 * What a Layer over sealed cookies can do where it knows epochs.
 *
 * @since 0.1.0
 * @category models
 */
export type Revocable = SessionAuth.Sealed | "revokeAll"

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Sessions in sealed cookies, for any Tag whose backend signs people in. `revoke`, `sessions` and "log out everywhere"
 * do not compile over it: nobody knows which sessions there are. `layerRevocable` gives the last of them. A sign-in
 * whose response turns out to be 400 or above leaves the cookie that the client had.
 *
 * A session is sealed by AES-256-GCM, each time under a key that HKDF-SHA-256 derives from a fresh salt, the id of the
 * Tag and the name of the cookie: a cookie of one Tag opens for no other. Its deadlines are inside. What does not fit
 * into one cookie of 4,096 bytes, counted with its attributes, goes on in a second one; what takes more than 8,192 bytes
 * fails with `CookieTooLarge`, which holds the size. `update` sets the cookie anew, and of two parallel requests the last
 * response wins. A session that is used is set anew at most once an hour, or ten times in an idle timeout.
 *
 * Fails with `SecurityConfigError` when there is no key, or one that is short or weak; dies when another setting makes
 * no sense.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Config, Context, Effect, Option, Schema } from "effect"
 * import { SessionAuth } from "effect-security"
 * import * as SealedSession from "effect-security/session/SealedSession"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   session: Schema.Struct({ userId: Schema.String })
 * }) {}
 *
 * // SESSION_KEYS=<newest>,<older>: each is 32 random bytes as base64url
 * export const AuthLive = SealedSession.layerConfig(Auth, {
 *   settings: { keys: Config.array(Config.redacted(), "SESSION_KEYS") },
 *   retrieveUser: ({ userId }) => Effect.succeed(Option.some({ name: userId }))
 * })
 * ```
 */
export const layer = <
  Self,
  Id extends string,
  UserId,
  User,
  Session,
  E,
  R,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Session> & SecurityConfig.SignIn<Self, Session>,
  options: SessionAuth.LayerOptions<NoInfer<User>, NoInfer<Session>, E, R, RG> & Settings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, SessionAuth.Sealed>,
  SecurityConfigError,
  SecurityConfig.WithoutRequest<R | RG[number]>
> => Layer.scopedContext(backend.build(tag, options as any, Option.none())) as any

/**
 * The same, which also asks the `SessionEpoch` of a subject on each request: `revokeAll` and `revokeSubject` end all
 * sessions of a subject, copied cookies too.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRevocable = <
  Self,
  Id extends string,
  UserId,
  User,
  Session,
  E,
  R,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Session> & SecurityConfig.SignIn<Self, Session>,
  options: SessionAuth.LayerOptions<NoInfer<User>, NoInfer<Session>, E, R, RG> & Settings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Revocable>,
  SecurityConfigError,
  SessionEpoch | SecurityConfig.WithoutRequest<R | RG[number]>
> =>
  Layer.scopedContext(
    Effect.flatMap(SessionEpoch, (epochs) => backend.build(tag, options as any, Option.some(epochs)))
  ) as any

const withConfig = (
  tag: Context.Tag<any, any>,
  options: { readonly settings: Config.Config.Wrap<Settings> },
  layer: (settings: Settings) => Layer.Layer<any, SecurityConfigError, any>
) =>
  securityTag.layerConfig<Settings, any, SecurityConfigError, any>(
    options.settings,
    (settings) => backend.wrongOption(signIn.realmOf(tag), settings),
    layer
  )

/**
 * `layer`, with settings from `Config`: what does not parse, and what `layer` would die of, is a `ConfigError`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <
  Self,
  Id extends string,
  UserId,
  User,
  Session,
  E,
  R,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Session> & SecurityConfig.SignIn<Self, Session>,
  options:
    & SessionAuth.LayerOptions<NoInfer<User>, NoInfer<Session>, E, R, RG>
    & { readonly settings: Config.Config.Wrap<Settings> }
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, SessionAuth.Sealed>,
  SecurityConfigError | ConfigError,
  SecurityConfig.WithoutRequest<R | RG[number]>
> => withConfig(tag, options, (settings) => layer(tag, { ...options, ...settings }))

/**
 * `layerRevocable`, with settings from `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRevocableConfig = <
  Self,
  Id extends string,
  UserId,
  User,
  Session,
  E,
  R,
  RG extends ReadonlyArray<unknown> = ReadonlyArray<never>
>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Session> & SecurityConfig.SignIn<Self, Session>,
  options:
    & SessionAuth.LayerOptions<NoInfer<User>, NoInfer<Session>, E, R, RG>
    & { readonly settings: Config.Config.Wrap<Settings> }
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Revocable>,
  SecurityConfigError | ConfigError,
  SessionEpoch | SecurityConfig.WithoutRequest<R | RG[number]>
> => withConfig(tag, options, (settings) => layerRevocable(tag, { ...options, ...settings }))
