/**
 * The abstract security backend. A backend is one Tag: an Effect service, a middleware for `HttpApp`, `HttpRouter` and
 * `HttpLayerRouter`, and the argument of `HttpApi`'s `.middleware(...)`. A security config is that Tag's Layer.
 *
 * @since 0.1.0
 */
import type * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import * as PlatformRouter from "@effect/platform/HttpRouter"
import type { HttpRouter } from "@effect/platform/HttpRouter"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import type * as GuardModule from "./Guard.js"
import type * as CrossSite from "./http/CrossSite.js"
import type * as Exclusion from "./http/Exclusion.js"
import * as carrier from "./internal/carrier.js"
import * as internalFirstOf from "./internal/firstOf.js"
import { MembersTypeId } from "./internal/openApi.js"
import * as internalRoutes from "./internal/routes.js"
import * as tag from "./internal/securityTag.js"
import type {
  CookieTooLarge,
  CrossSiteRejected,
  NotAuthorized,
  SecurityError,
  SecurityUnavailable,
  SessionTooLarge
} from "./SecurityError.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * Who a request was found to come from: the user, and what the credential says (a session, the claims of a token).
 *
 * @since 0.1.0
 * @category models
 */
export interface Authenticated<out User, out Auth> {
  readonly user: User
  readonly auth: Auth
}

/**
 * @since 0.1.0
 * @category type ids
 */
export const BackendTypeId: BackendTypeId = tag.BackendTypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type BackendTypeId = "~effect-security/SecurityConfig/Backend"

/**
 * The service behind a Tag. Its content is the library's own: use the Tag's statics.
 *
 * @since 0.1.0
 * @category models
 */
export interface Backend<in out User, in out Auth> {
  readonly [BackendTypeId]: {
    readonly authenticate: Effect.Effect<Authenticated<User, Auth>, SecurityError, HttpServerRequest>
    readonly types: (_: Authenticated<User, Auth>) => Authenticated<User, Auth>
  }
}

/**
 * What an instance type of a Tag says to `HttpApi`: the user that it provides and the ways in which it fails.
 *
 * @since 0.1.0
 * @category models
 */
export interface Identifier<out Id extends string, out UserId, in out User, in out Auth>
  extends Context.TagClassShape<Id, Backend<User, Auth>>
{
  readonly [HttpApiMiddleware.TypeId]: {
    readonly provides: UserId
    readonly failure: SecurityError
    readonly failureContext: never
  }
}

/**
 * A capability: the Layer of `Self` can do `Operation`. Covariant, so that one Layer gives the union of what it can do,
 * and an operation that its backend cannot perform has an unmet requirement.
 *
 * @since 0.1.0
 * @category models
 */
export interface Supports<in out Self, out Operation extends string> {
  readonly _: unique symbol
  readonly self: (_: Self) => Self
  readonly operation: Operation
}

// -----------------------------------------------------------------------------
// Sentences of the compiler
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category type-level
 */
export type NeedsProtect =
  `This app still needs the user. \`middleware\` only lets authenticated requests in: wrap the handler in \`protect\`, or read \`user\``

/**
 * @since 0.1.0
 * @category type-level
 */
export type Gate<UserId, R, App> = [Extract<R, UserId>] extends [never] ? App : NeedsProtect

/**
 * @since 0.1.0
 * @category type-level
 */
export type MissingSelf<Usage extends string> =
  `Missing \`Self\` generic - use \`class Self extends ${Usage}<Self>()...\``

// -----------------------------------------------------------------------------
// The static side
// -----------------------------------------------------------------------------

/**
 * What every Tag of this library has, whatever its backend.
 *
 * @since 0.1.0
 * @category models
 */
export interface Base<in out Self, in out Id extends string, in out UserId, in out User, in out Auth>
  extends Context.Tag<Self, Backend<User, Auth>>
{
  new(_: never): Identifier<Id, UserId, User, Auth>
  readonly key: Id
  readonly [HttpApiMiddleware.TypeId]: HttpApiMiddleware.TypeId
  readonly [HttpApiMiddleware.SecurityTypeId]: HttpApiMiddleware.SecurityTypeId
  /** The application's Tag of the current user. */
  readonly provides: Context.Tag<UserId, User>
  readonly failure: typeof SecurityError
  readonly optional: false
  /** The OpenAPI security schemes, by name, of a secure deployment; `describe` shows what is in force. */
  readonly security: Readonly<Record<string, HttpApiSecurity.HttpApiSecurity>>
  /**
   * Authenticates the request, then runs `self` with the current user. For a handler, an `HttpApp`, and as
   * `HttpRouter.use(Auth.protect)`. It reads no `exclude`.
   */
  readonly protect: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, Self | Exclude<R, UserId> | HttpServerRequest>
  /**
   * The app-wide gate: only authenticated requests and the routes in `exclude` pass. It provides no user: handlers
   * behind it are wrapped in `protect` or read `user`, which asks nobody again.
   */
  readonly middleware: <E, R>(
    app: Gate<UserId, R, HttpApp.Default<E, R>>
  ) => HttpApp.Default<E | SecurityError, R | Self>
  /** The current user of the request at hand. */
  readonly user: Effect.Effect<User, SecurityError, Self | HttpServerRequest>
  /** The current user, or none when nobody is signed in. An outage is a failure, not `none`. */
  readonly userOption: Effect.Effect<Option.Option<User>, SecurityUnavailable, Self | HttpServerRequest>
  readonly authenticated: Effect.Effect<Authenticated<User, Auth>, SecurityError, Self | HttpServerRequest>
  /**
   * Runs `self`, what is done over a socket for example, for as long as the request is authenticated: that is asked
   * anew each minute, and `self` is interrupted when the credential is no longer good or a guard refuses its user. An
   * outage is waited out until the next check; a second one in a row ends `self` with `SecurityUnavailable`. Asking
   * does not extend a session's idle timeout. It ends with `self`: the body of a stream is
   * `stream.pipe(Stream.interruptWhen(Auth.whileAuthenticated(Effect.never)))`.
   */
  readonly whileAuthenticated: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R | Self | HttpServerRequest>
  /**
   * The routes of a router behind `middleware`, and what protects each. It holds where the gate is given the router
   * itself: over an opaque app, `exclude` is compared with paths and not with routes.
   */
  readonly routes: (router: HttpRouter<any, any>) => Effect.Effect<ReadonlyArray<Route>, never, Self>
  /** `protect` for the routes of an `HttpLayerRouter` that it is provided to. */
  readonly layerMiddleware: Layer.Layer<
    HttpLayerRouter.Request<"Requires", UserId>,
    never,
    Self | HttpLayerRouter.Request.From<"Error", SecurityError>
  >
  /**
   * Makes the OpenAPI document of an api say what the Layer in force really reads. Dies when two Tags of the api share
   * the name of a scheme or a cookie.
   */
  readonly describe: <E, R>(api: Layer.Layer<HttpApi.Api, E, R>) => Layer.Layer<HttpApi.Api, E, R | Self>
  /** `describe` for an api that is given as a value, as `HttpLayerRouter.addHttpApi` takes it. */
  readonly describeApi: <A extends HttpApi.HttpApi.Any>(api: A) => Effect.Effect<A, never, Self>
}

/**
 * What a Tag has whose backend signs people in.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignIn<in out Self, in out Auth> {
  readonly auth: Schema.Schema<Auth, any>
  /**
   * Signs the subject of `auth` in: the response grants the credential if its status is below 400. A session that the
   * request already has ends; a token cannot be ended. `remember: false` gives a cookie that ends with the browser; `verifiedAt` is when the
   * password was verified (default now), less than ten minutes ago.
   */
  readonly login: (auth: Auth, options?: LoginOptions) => Effect.Effect<
    void,
    NotAuthorized | CrossSiteRejected | SecurityUnavailable | SessionTooLarge | CookieTooLarge,
    Supports<Self, "login"> | HttpServerRequest
  >
  /** Ends the session of this request; a token in a cookie is cleared, and one in a header stays. Succeeds without one. */
  readonly logout: Effect.Effect<
    void,
    CrossSiteRejected | SecurityUnavailable,
    Supports<Self, "logout"> | HttpServerRequest
  >
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LoginOptions {
  readonly remember?: boolean | undefined
  readonly verifiedAt?: DateTime.Utc | undefined
}

// -----------------------------------------------------------------------------
// Options of a Layer
// -----------------------------------------------------------------------------

/**
 * A predicate on the user of a request, asked after authentication and before the handler: see the module `Guard`.
 *
 * @since 0.1.0
 * @category models
 */
export type Guard<User, R = never> = GuardModule.Guard<User, R>

/**
 * What operators of a backend may want to change: where it is trusted, and how long to wait for what it depends on
 * (`timeout`, default 2 seconds), after which a request fails with `SecurityUnavailable`. With `spans` what it waits
 * for has spans of its own, which cost about as much as the rest of authentication.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends CrossSite.Options {
  readonly timeout?: Duration.DurationInput | undefined
  readonly spans?: boolean | undefined
}

/**
 * What every Layer takes. `guards` are asked in order; `exclude` is read by `middleware` alone. `RG` lists what
 * each of the guards needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface GuardOptions<in User, out RG extends ReadonlyArray<unknown>> {
  readonly guards?: { readonly [Index in keyof RG]: Guard<User, RG[Index]> } | undefined
  readonly exclude?: ReadonlyArray<Exclusion.Entry> | undefined
}

/**
 * What the application's own effects need from the Layer: a request and its scope are given with each request.
 *
 * @since 0.1.0
 * @category type-level
 */
export type WithoutRequest<R> = Exclude<R, HttpServerRequest | Scope>

// -----------------------------------------------------------------------------
// Routes
// -----------------------------------------------------------------------------

/**
 * A route, and the keys of the Tags that protect it, outermost first: none means that everybody may call it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Route {
  readonly method: HttpMethod | "*"
  /** The template, prefixes included; `/prefix/*` for a mounted app. */
  readonly path: string
  readonly protectedBy: ReadonlyArray<string>
}

/**
 * Every route of an `HttpApi` or an `HttpRouter` with what protects it, so that a test can pin which are public. For a
 * router behind the gate, `Auth.routes(router)` also knows what `exclude` frees.
 *
 * A handler is known to be protected by what was wrapped around it last, `Auth.protect` for example. What is wrapped
 * once more by something else is unknown and counts as public, and `HttpRouter.use` hides what the handlers had before.
 * Of an `HttpApi` every middleware with a security scheme counts, whoever made it.
 *
 * @since 0.1.0
 * @category routes
 * @example
 * ```ts
 * import type { HttpApi } from "@effect/platform"
 * import { SecurityConfig } from "effect-security"
 *
 * const publicRoutes = (api: HttpApi.HttpApi.Any) =>
 *   SecurityConfig.routes(api).filter((_) => _.protectedBy.length === 0).map((_) => `${_.method} ${_.path}`)
 * ```
 */
export const routes = (self: HttpRouter<any, any> | HttpApi.HttpApi.Any): ReadonlyArray<Route> =>
  PlatformRouter.TypeId in self
    ? internalRoutes.ofRouter(self as HttpRouter<any, any>)
    : internalRoutes.ofApi(self as HttpApi.HttpApi.AnyWithProps)

// -----------------------------------------------------------------------------
// Custom backends
// -----------------------------------------------------------------------------

/**
 * An API key in a header or a cookie. A key in the query would end in logs and `Referer` headers.
 *
 * @since 0.1.0
 * @category schemes
 */
export interface ApiKey extends HttpApiSecurity.ApiKey {
  readonly in: "header" | "cookie"
}

/**
 * @since 0.1.0
 * @category schemes
 */
export type Scheme = HttpApiSecurity.Bearer | HttpApiSecurity.Basic | ApiKey

/**
 * The sentence by which the compiler refuses an API key whose type does not say that it stays out of the query.
 *
 * @since 0.1.0
 * @category type-level
 */
export type CheckScheme<S> = [Extract<S, HttpApiSecurity.ApiKey>] extends [ApiKey] ? unknown
  : "An API key in the query would end in logs: use `SecurityConfig.apiKey`"

/**
 * The scheme of an API key: `HttpApiSecurity.apiKey`, whose type keeps where the key is.
 *
 * @since 0.1.0
 * @category schemes
 */
export const apiKey = (options: { readonly in: "header" | "cookie"; readonly key: string }): ApiKey =>
  HttpApiSecurity.apiKey(options) as ApiKey

/**
 * What the Tag of a custom backend is declared with.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagOptions<in out UserId, in out User, in out S, in out Auth> {
  readonly scheme: S & CheckScheme<S>
  readonly user: Context.Tag<UserId, User>
  readonly auth?: Schema.Schema<Auth, any> | undefined
  readonly name?: string | undefined
}

/**
 * What a custom backend is given: `Redacted<string>`, or user name and password for Basic.
 *
 * @since 0.1.0
 * @category type-level
 */
export type CredentialOf<S> = S extends HttpApiSecurity.Basic ? HttpApiSecurity.Credentials : Redacted.Redacted

/**
 * What a custom backend finds: the user, or the user with what the credential says when the Tag has `auth`.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Found<User, Auth> = 0 extends 1 & Auth ? Authenticated<User, Auth>
  : [Auth] extends [NoAuth] ? User
  : Authenticated<User, Auth>

/**
 * What `authenticated` has as `auth` when the Tag was declared without one: nothing.
 *
 * @since 0.1.0
 * @category type-level
 */
export interface NoAuth {
  readonly _: unique symbol
}

/**
 * Options of a custom backend's Layer. `authenticate` finds the user of a credential; `None` is 401. `NotAuthorized`
 * and `PermissionDenied` pass through; every other failure becomes `SecurityUnavailable` and is logged.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions<
  in out User,
  in out Auth,
  in Credential,
  out E,
  out R,
  out RG extends ReadonlyArray<unknown>
> extends GuardOptions<User, RG> {
  readonly authenticate: (credential: Credential) => Effect.Effect<Option.Option<Found<User, Auth>>, E, R>
}

/**
 * A Tag made by `SecurityConfig.Tag`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<
  in out Self,
  in out Id extends string,
  in out UserId,
  in out User,
  in out Auth,
  in out Credential
> extends Base<Self, Id, UserId, User, Auth> {
  readonly layer: <E, R, RG extends ReadonlyArray<unknown> = ReadonlyArray<never>>(
    options: LayerOptions<User, Auth, Credential, E, R, RG> & Settings
  ) => Layer.Layer<Self, never, WithoutRequest<R | RG[number]>>
  /** The same, with settings from `Config`. */
  readonly layerConfig: <E, R, RG extends ReadonlyArray<unknown> = ReadonlyArray<never>>(
    options: LayerOptions<User, Auth, Credential, E, R, RG> & { readonly settings: Config.Config.Wrap<Settings> }
  ) => Layer.Layer<Self, ConfigError, WithoutRequest<R | RG[number]>>
}

/**
 * Makes a backend of your own: one scheme, and in its Layer one function that finds the user of a credential. `name` is
 * the scheme's name in OpenAPI, by default the last part of `id`. With `auth`, a Schema of what the credential says,
 * `authenticate` gives both and `authenticated` has them.
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { Context, Effect, Layer, Option, Redacted } from "effect"
 * import { SecurityConfig } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class ApiKeyAuth extends SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKeyAuth", {
 *   scheme: SecurityConfig.apiKey({ in: "header", key: "x-api-key" }),
 *   user: CurrentUser
 * }) {}
 *
 * class Keys extends Effect.Service<Keys>()("app/Keys", {
 *   succeed: { find: (_key: Redacted.Redacted) => Effect.succeed(Option.some({ name: "ada" })) }
 * }) {}
 *
 * export const ApiKeyLive: Layer.Layer<ApiKeyAuth> = ApiKeyAuth.layer({
 *   authenticate: (key) => Keys.pipe(Effect.flatMap((keys) => keys.find(key)))
 * }).pipe(Layer.provide(Keys.Default))
 * ```
 */
export const Tag = <Self = never>(): <
  const Id extends string,
  UserId,
  User,
  S extends HttpApiSecurity.HttpApiSecurity,
  Auth = NoAuth
>(
  id: Id,
  options: TagOptions<UserId, User, S, Auth>
) => [Self] extends [never] ? MissingSelf<"SecurityConfig.Tag">
  : TagClass<Self, Id, UserId, User, Auth, CredentialOf<S>> =>
(id: string, options: {
  readonly scheme: HttpApiSecurity.HttpApiSecurity
  readonly user: Context.Tag<any, any>
  readonly auth?: Schema.Schema<any, any> | undefined
  readonly name?: string | undefined
}): any => {
  const name = options.name ?? tag.nameOf(id)
  const security = { [name]: options.scheme }
  const layer = (layerOptions: LayerOptions<any, any, any, any, any, any> & Settings) =>
    Layer.scopedContext(tag.build(self, {
      ...layerOptions,
      security,
      carrier: carrier.fromScheme(options.scheme, name),
      verify: (credential) => {
        const found = layerOptions.authenticate(carrier.toCredential(credential))
        return options.auth === undefined
          ? Effect.map(found, Option.map((user) => ({ user, auth: undefined })))
          : found
      }
    }))
  const self: Base<any, any, any, any, any> = tag.make(id, {
    provides: options.user,
    security,
    statics: {
      layer,
      layerConfig: (layerOptions: any) =>
        tag.layerConfig<Settings, any, never, any>(
          layerOptions.settings,
          (settings) => tag.wrongOption({ ...settings, security }),
          (settings) => layer({ ...layerOptions, ...settings })
        )
    }
  })
  return self
}

// -----------------------------------------------------------------------------
// Several backends
// -----------------------------------------------------------------------------

/**
 * Options of the Layer of `firstOf`. `exclude` is read by its own `middleware` alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface FirstOfOptions {
  readonly exclude?: ReadonlyArray<Exclusion.Entry> | undefined
}

/**
 * A Tag made by `SecurityConfig.firstOf`.
 *
 * @since 0.1.0
 * @category models
 */
export interface FirstOf<
  in out Self,
  in out Id extends string,
  in out UserId,
  in out User,
  in out Auth,
  in out Members
> extends Base<Self, Id, UserId, User, Auth> {
  /** It is served by what serves its members. */
  readonly layer: (options?: FirstOfOptions) => Layer.Layer<Self, never, Members>
}

/**
 * @since 0.1.0
 * @category type-level
 */
export type SelfOf<M> = M extends Context.Tag<infer Self, any> ? Self : never

/**
 * @since 0.1.0
 * @category type-level
 */
export type UserIdOf<M> = M extends { readonly provides: Context.Tag<infer UserId, any> } ? UserId : never

/**
 * @since 0.1.0
 * @category type-level
 */
export type UserOf<M> = M extends { readonly provides: Context.Tag<any, infer User> } ? User : never

/**
 * What the credential of a member says.
 *
 * @since 0.1.0
 * @category type-level
 */
export type AuthOf<M> = M extends { readonly authenticated: Effect.Effect<Authenticated<any, infer Auth>, any, any> } ?
  Auth :
  never

/**
 * The sentence by which the compiler refuses members that provide different users.
 *
 * @since 0.1.0
 * @category type-level
 */
export type CheckMembers<Members extends ReadonlyArray<unknown>> = [UserIdOf<Members[number]>] extends
  [UserIdOf<Members[0]>] ? unknown
  : "The members of `firstOf` provide different users: declare all of them with the same `user` Tag"

/**
 * Lets in whom one of several backends knows: an API key or a session or a token on one endpoint. They are asked in
 * order, and the first that **finds its credential** in the request decides, whether it is good, bad, or cannot be
 * checked for an outage; only a request without the credential of one is asked for that of the next. So backends that
 * read a header stand before those that read a cookie, which a browser sends by itself, and of two that read the same
 * place the second is never asked.
 *
 * A request without any is 401 with the challenges of all. OpenAPI lists every scheme as an alternative. `auth` is that
 * of the member that decided; what only one of them can do, `login` for example, is called on that one, and is seen at
 * once. `whileAuthenticated` ends with the credential that let the request in, also where another is still good. Its
 * Layer dies when two members have the same scheme name.
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { Context, Schema } from "effect"
 * import { SecurityConfig, SessionAuth } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("app/KeyAuth", {
 *   scheme: SecurityConfig.apiKey({ in: "header", key: "x-api-key" }),
 *   user: CurrentUser
 * }) {}
 *
 * class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   session: Schema.Struct({ userId: Schema.String })
 * }) {}
 *
 * export class Either extends SecurityConfig.firstOf<Either>()("app/Either", [KeyAuth, Auth]) {}
 *
 * export const EitherLive = Either.layer() // needs KeyAuth and Auth
 * ```
 */
export const firstOf = <Self = never>(): <
  const Id extends string,
  const Members extends readonly [Base<any, any, any, any, any>, ...ReadonlyArray<Base<any, any, any, any, any>>]
>(
  id: Id,
  members: Members & CheckMembers<Members>
) => [Self] extends [never] ? MissingSelf<"SecurityConfig.firstOf">
  : FirstOf<
    Self,
    Id,
    UserIdOf<Members[0]>,
    UserOf<Members[0]>,
    AuthOf<Members[number]>,
    SelfOf<Members[number]>
  > =>
(id: string, members: ReadonlyArray<Base<any, any, any, any, any>>): any => {
  const self: Base<any, any, any, any, any> = tag.make(id, {
    provides: members[0]!.provides,
    security: internalFirstOf.security(members),
    statics: {
      [MembersTypeId]: members,
      layer: (options?: FirstOfOptions) =>
        Layer.scopedContext(internalFirstOf.build(self, members, options?.exclude ?? []))
    }
  })
  return self
}
