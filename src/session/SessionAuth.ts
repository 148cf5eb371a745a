/**
 * Authentication by sessions: the client holds a random token in a cookie, a `SessionStore` holds what belongs to it.
 *
 * @since 0.1.0
 */
import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as CookiePolicy from "../http/CookiePolicy.js"
import * as securityTag from "../internal/securityTag.js"
import * as signIn from "../internal/signIn.js"
import type * as SecurityConfig from "../SecurityConfig.js"
import type {
  CookieTooLarge,
  SecurityError,
  SecurityUnavailable,
  SessionConflict,
  SessionTooLarge
} from "../SecurityError.js"
import * as authenticated from "./internal/authenticated.js"
import * as scheme from "./internal/scheme.js"
import type { SessionStore } from "./SessionStore.js"
import type { SessionId } from "./SessionToken.js"
import type { SessionVersions } from "./SessionVersions.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * One of a subject's sessions, as its owner may see it: a device that is signed in.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionInfo {
  readonly id: SessionId
  readonly createdAt: DateTime.Utc
  readonly lastSeenAt: DateTime.Utc
  readonly expiresAt: DateTime.Utc
  /** The first 256 characters of the `User-Agent` at sign-in. */
  readonly userAgent: string
  /** True for the session of the request that asks. */
  readonly isCurrent: boolean
}

/**
 * What a Layer over sealed cookies can do.
 *
 * @since 0.1.0
 * @category models
 */
export type Sealed = "login" | "logout" | "update" | "rotate"

/**
 * What a Layer over a `SessionStore` can do.
 *
 * @since 0.1.0
 * @category models
 */
export type Stored = Sealed | "sessions" | "revoke" | "revokeAll"

// -----------------------------------------------------------------------------
// The static side
// -----------------------------------------------------------------------------

/**
 * A Tag made by `SessionAuth.Tag`. Operations that change a credential fail with `CrossSiteRejected` where another site
 * made a browser send the request, and die with `ResponseAlreadySent` where no cookie can be set any more.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, in out Id extends string, in out UserId, in out User, in out Session>
  extends SecurityConfig.Base<Self, Id, UserId, User, Session>, SecurityConfig.SignIn<Self, Session>
{
  /** The session of the request at hand. */
  readonly session: Effect.Effect<Session, SecurityError, Self | HttpServerRequest>
  /**
   * Changes the session by compare-and-set: `f` may run several times. Fails with `SessionConflict` when other writers
   * win 16 times, with `SessionTooLarge` over 16 KiB. Dies when `f` changes the subject, which only `login` does.
   */
  readonly update: (f: (_: Session) => Session) => Effect.Effect<
    void,
    SecurityError | SessionConflict | SessionTooLarge | CookieTooLarge,
    SecurityConfig.Supports<Self, "update"> | HttpServerRequest
  >
  /** Gives the session a fresh token; the old one ends at once. The cookie is sent whatever the response's status. */
  readonly rotate: Effect.Effect<void, SecurityError, SecurityConfig.Supports<Self, "rotate"> | HttpServerRequest>
  /** The live sessions of the subject, newest first. */
  readonly sessions: Effect.Effect<
    ReadonlyArray<SessionInfo>,
    SecurityError,
    SecurityConfig.Supports<Self, "sessions"> | HttpServerRequest
  >
  /** Ends one of the subject's own sessions. The id of another subject's session, or of none, changes nothing. */
  readonly revoke: (
    id: SessionId
  ) => Effect.Effect<void, SecurityError, SecurityConfig.Supports<Self, "revoke"> | HttpServerRequest>
  /** Ends all of the subject's sessions, and sign-ins in flight. */
  readonly revokeAll: (
    options?: RevokeAllOptions
  ) => Effect.Effect<void, SecurityError, SecurityConfig.Supports<Self, "revokeAll"> | HttpServerRequest>
  /** The same for any subject, without a request: for administration, and when a user is deleted. */
  readonly revokeSubject: (
    subject: string
  ) => Effect.Effect<void, SecurityUnavailable, SecurityConfig.Supports<Self, "revokeAll">>
  /** Sessions in the `SessionStore`. */
  readonly layer: <E, R, RG extends ReadonlyArray<unknown> = ReadonlyArray<never>>(
    options: LayerOptions<User, Session, E, R, RG> & Settings
  ) => Layer.Layer<
    Self | SecurityConfig.Supports<Self, Stored>,
    never,
    SessionStore | SecurityConfig.WithoutRequest<R | RG[number]>
  >
  /** The same, with settings from `Config`. */
  readonly layerConfig: <E, R, RG extends ReadonlyArray<unknown> = ReadonlyArray<never>>(
    options: LayerOptions<User, Session, E, R, RG> & { readonly settings: Config.Config.Wrap<Settings> }
  ) => Layer.Layer<
    Self | SecurityConfig.Supports<Self, Stored>,
    ConfigError,
    SessionStore | SecurityConfig.WithoutRequest<R | RG[number]>
  >
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RevokeAllOptions {
  /** Keeps the session of this request. */
  readonly except?: "current" | undefined
}

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * What a Layer takes. `retrieveUser` finds the user of a session; `None` is 401 and leaves the session alone.
 * `NotAuthorized` and `PermissionDenied` pass through; every other failure becomes `SecurityUnavailable` and is logged.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions<in out User, in Session, out E, out R, out RG extends ReadonlyArray<unknown>>
  extends SecurityConfig.GuardOptions<User, RG>
{
  readonly retrieveUser: (session: Session) => Effect.Effect<Option.Option<User>, E, R>
}

/**
 * - `idleTimeout`: a session ends when it was not used for so long (default 7 days)
 * - `absoluteTimeout`: a session ends so long after sign-in, used or not (default 30 days)
 * - `maxPerUser`: one more sign-in ends the subject's session that was idle longest (default 100)
 * - `insecureCookie`: drops `Secure` and the prefix of the cookie's name, for plain http in development
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends SecurityConfig.Settings {
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly absoluteTimeout?: Duration.DurationInput | undefined
  readonly maxPerUser?: number | undefined
  readonly insecureCookie?: boolean | undefined
}

/**
 * What a Tag is declared with, next to the `subject`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagOptions<in out UserId, in out User, in out Session, in out Cookie> {
  readonly user: Context.Tag<UserId, User>
  readonly session: Schema.Schema<Session, any>
  readonly cookie?: (Cookie & CookiePolicy.Check<Cookie>) | undefined
  readonly name?: string | undefined
  readonly versions?: SessionVersions<Session> | undefined
}

/**
 * Who a session belongs to, as text. Not needed when every session has a `userId`.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Subject<Session> = [Session] extends [{ readonly userId: string | number | bigint }]
  ? unknown extends Session["userId"] ? SubjectRequired<Session>
  : { readonly subject?: ((session: Session) => string) | undefined }
  : SubjectRequired<Session>

/**
 * @since 0.1.0
 * @category type-level
 */
export interface SubjectRequired<Session> {
  readonly subject: (session: Session) => string
}

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

/**
 * Makes a session backend. `user` is the application's own Tag of the current user; `session` is what a session holds,
 * decoded on the way in and encoded on the way out as JSON; `cookie` is its policy (`http/CookiePolicy`); `name` is
 * that of the scheme in OpenAPI (default `sessionCookie`); `versions` says what becomes of sessions that an earlier
 * version of the schema encoded.
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { Context, Effect, Layer, Option, Schema } from "effect"
 * import { SessionAuth, SessionStore } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   session: Schema.Struct({ userId: Schema.String })
 * }) {}
 *
 * export const AuthLive = Auth.layer({
 *   retrieveUser: ({ userId }) => Effect.succeed(Option.some({ name: userId })),
 *   exclude: ["POST /login"]
 * }).pipe(Layer.provide(SessionStore.layerMemory))
 * ```
 */
export const Tag = <Self = never>(): <
  const Id extends string,
  UserId,
  User,
  Session,
  const Cookie extends CookiePolicy.Options & Readonly<Record<string, any>> = {}
>(
  id: Id,
  options: TagOptions<UserId, User, Session, Cookie> & Subject<NoInfer<Session>>
) => [Self] extends [never] ? SecurityConfig.MissingSelf<"SessionAuth.Tag">
  : TagClass<Self, Id, UserId, User, Session> =>
(id: string, options: {
  readonly user: Context.Tag<any, any>
  readonly session: Schema.Schema<any, any>
  readonly cookie?: CookiePolicy.Options | undefined
  readonly name?: string | undefined
  readonly versions?: SessionVersions<any> | undefined
  readonly subject?: ((session: any) => string) | undefined
}): any => {
  const name = options.name ?? "sessionCookie"
  const realm: signIn.Realm = {
    id,
    name,
    cookie: options.cookie ?? {},
    auth: options.session,
    versions: options.versions,
    subject: options.subject ?? signIn.userId
  }
  const self: SecurityConfig.Base<any, any, any, any, any> & SecurityConfig.SignIn<any, any> = securityTag.make(id, {
    provides: options.user,
    security: scheme.security(name, CookiePolicy.secureName(realm.cookie)) satisfies Readonly<
      Record<string, HttpApiSecurity.HttpApiSecurity>
    >,
    statics: {
      ...signIn.withRealm(realm),
      auth: options.session,
      ...authenticated.accessors(id),
      layer: (options: any) => layer(self, options),
      layerConfig: (options: any) => layerConfig(self, options)
    }
  })
  Object.defineProperty(self, "session", {
    value: Effect.map(self.authenticated, ({ auth }) => auth),
    enumerable: true
  })
  return self
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Sessions in the `SessionStore`, for any Tag whose backend signs people in: one of `JwtAuth.Tag`, for example, so that
 * a program changes from tokens to sessions by its Layer. A Tag of `SessionAuth.Tag` has it as its own `layer`.
 *
 * @since 0.1.0
 * @category layers
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
  options: LayerOptions<NoInfer<User>, NoInfer<Session>, E, R, RG> & Settings
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Stored>,
  never,
  SessionStore | SecurityConfig.WithoutRequest<R | RG[number]>
> => Layer.scopedContext(authenticated.build(tag, signIn.realmOf(tag), options as any)) as any

/**
 * The same, with settings from `Config`.
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
  options: LayerOptions<NoInfer<User>, NoInfer<Session>, E, R, RG> & { readonly settings: Config.Config.Wrap<Settings> }
): Layer.Layer<
  Self | SecurityConfig.Supports<Self, Stored>,
  ConfigError,
  SessionStore | SecurityConfig.WithoutRequest<R | RG[number]>
> =>
  securityTag.layerConfig<Settings, any, never, any>(
    options.settings,
    (settings) => authenticated.wrongOption(signIn.realmOf(tag), { ...options, ...settings } as any),
    (settings) => layer(tag, { ...options, ...settings })
  )
