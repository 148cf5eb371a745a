/**
 * Permissions as evidence: a service or a handler that needs `Granted<EditArticles>` cannot be run where nobody checked
 * whether the user may edit articles. A permission is one Tag, as a backend is: an Effect service, a middleware for
 * `HttpApp`, `HttpRouter` and `HttpLayerRouter`, and the argument of `HttpApi`'s `.middleware(...)`. Its policy is that
 * Tag's Layer.
 *
 * @since 0.1.0
 */
import type * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import type * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { provideRequest } from "./internal/backend.js"
import * as evidence from "./internal/evidence.js"
import { ask } from "./internal/permission.js"
import { toTimeout } from "./internal/wait.js"
import type * as SecurityConfig from "./SecurityConfig.js"
import type { SecurityError } from "./SecurityError.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * The requirement that the permission `P` was checked for the request at hand. It is `P.granted` that verifies it: a
 * service runs that before it does the work, and does not only name this type. There is no Tag for it and no value:
 * what removes it from R is `P.protect`, `P.layerMiddleware`, `.middleware(P)` of an `HttpApi`, or `unsafeGrant`. It is
 * about the user whom the check found, also where somebody else is signed in later in the request, and it ends with the
 * request: with its Scope, which stays open while a response streams and as long as a WebSocket is open.
 *
 * @since 0.1.0
 * @category models
 */
export interface Granted<in out P> {
  readonly _: unique symbol
  readonly permission: (_: P) => P
}

/**
 * @since 0.1.0
 * @category type ids
 */
export const PolicyTypeId: PolicyTypeId = evidence.PolicyTypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type PolicyTypeId = "~effect-security/Permission/Policy"

/**
 * The service behind the Tag of a permission. Its content is the library's own: use the Tag's statics.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy<in out P> {
  readonly [PolicyTypeId]: { readonly permission: (_: P) => P }
}

/**
 * What an instance type of a Tag says to `HttpApi`: that it provides the evidence, and the ways in which it fails.
 *
 * @since 0.1.0
 * @category models
 */
export interface Identifier<out Id extends string, in out Self> extends Context.TagClassShape<Id, Policy<Self>> {
  readonly [HttpApiMiddleware.TypeId]: {
    readonly provides: Granted<Self>
    readonly failure: SecurityError
    readonly failureContext: never
  }
}

/**
 * `timeout` is how long the policy may take (default 2 seconds), after which a request fails with
 * `SecurityUnavailable`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * A Tag made by `Permission.Tag`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, in out Id extends string, in out AuthSelf, in out UserId, in out User>
  extends Context.Tag<Self, Policy<Self>>
{
  new(_: never): Identifier<Id, Self>
  readonly key: Id
  readonly [HttpApiMiddleware.TypeId]: HttpApiMiddleware.TypeId
  readonly failure: typeof SecurityError
  readonly optional: false
  /**
   * Authenticates the request, asks the policy, then runs `self` with the evidence and the current user. For a handler,
   * an `HttpApp`, and as `HttpRouter.use(EditArticles.protect)`.
   */
  readonly protect: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, Self | Exclude<R, Granted<Self> | UserId> | HttpServerRequest>
  /** `protect` for the routes of an `HttpLayerRouter` that it is provided to. */
  readonly layerMiddleware: Layer.Layer<
    HttpLayerRouter.Request<"Requires", Granted<Self>> | HttpLayerRouter.Request<"Requires", UserId>,
    never,
    Self | HttpLayerRouter.Request.From<"Error", SecurityError>
  >
  /**
   * Requires that the permission was checked. Dies where it was not, but the types were made to say so: where the
   * evidence is that of another permission, of another request or of one that is over, or is none.
   */
  readonly granted: Effect.Effect<void, never, Granted<Self>>
  /**
   * The policy: a `Guard`, or any effect that succeeds, but not with `false`, for those who may pass. The failures of
   * `SecurityError` are passed on, `PermissionDenied` among them; every other failure becomes `SecurityUnavailable` and
   * is logged.
   */
  readonly layer: <E, R>(
    policy: (user: User) => Effect.Effect<void, E, R>,
    settings?: Settings
  ) => Layer.Layer<Self, never, AuthSelf | SecurityConfig.WithoutRequest<R>>
}

/**
 * What the Tag of a permission is declared with: the backend whose users it is about.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagOptions<in out AuthSelf, in out AuthId extends string, in out UserId, in out User, in out Auth> {
  readonly auth: SecurityConfig.Base<AuthSelf, AuthId, UserId, User, Auth>
}

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

/**
 * Makes a permission: one Tag, whose Layer holds the policy. Who is not signed in gets 401, who may not pass 403, and
 * an outage is 503; the handler runs in none of these cases. Several permissions and the backend itself may stand in
 * front of one handler in any order: the user is looked up once a request.
 *
 * In an `HttpApi`, `.middleware(EditArticles)` provides the evidence alone; `.middleware(Auth)` beside it provides the
 * current user, and shows the scheme in OpenAPI.
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { HttpApiSecurity, HttpRouter, HttpServerResponse } from "@effect/platform"
 * import { Context, Effect, Layer } from "effect"
 * import { Guard, Permission, SecurityConfig } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly role: string }>() {}
 *
 * class Auth extends SecurityConfig.Tag<Auth>()("app/Auth", { scheme: HttpApiSecurity.bearer, user: CurrentUser }) {}
 *
 * class EditArticles extends Permission.Tag<EditArticles>()("app/EditArticles", { auth: Auth }) {}
 *
 * export const EditArticlesLive: Layer.Layer<EditArticles, never, Auth> = EditArticles.layer(
 *   Guard.make((user) => user.role === "editor")
 * )
 *
 * // Cannot be called where nobody checked.
 * const publish = (id: string) => Effect.zipRight(EditArticles.granted, Effect.log(`published ${id}`))
 *
 * export const router = HttpRouter.empty.pipe(
 *   HttpRouter.post("/articles/1", EditArticles.protect(Effect.as(publish("1"), HttpServerResponse.empty())))
 * )
 * ```
 */
export const Tag = <Self = never>(): <const Id extends string, AuthSelf, AuthId extends string, UserId, User, Auth>(
  id: Id,
  options: TagOptions<AuthSelf, AuthId, UserId, User, Auth>
) => [Self] extends [never] ? SecurityConfig.MissingSelf<"Permission.Tag">
  : TagClass<Self, Id, AuthSelf, UserId, User> =>
(id: string, { auth }: TagOptions<any, any, any, any, any>): any => {
  const self: Context.Tag<any, any> = evidence.make(id, auth, {
    layer: (policy: (user: any) => Effect.Effect<void, any, any>, settings?: Settings) =>
      evidence.layer(
        self,
        Effect.gen(function*() {
          const timeout = toTimeout(settings?.timeout)
          if (Option.isNone(timeout)) {
            return yield* Effect.dieMessage(`${id}: timeout is a positive duration`)
          }
          const context = yield* Effect.context<any>()
          const provide = provideRequest(context)
          const found = Effect.provideService(auth.user, auth, Context.unsafeGet(context, auth))
          return () =>
            Effect.tap(
              found,
              (user) =>
                ask(() => provide(policy(user)), { by: id, what: `the policy of ${id}`, timeout: timeout.value })
            )
        })
      )
  })
  return self
}

// -----------------------------------------------------------------------------
// Without a check
// -----------------------------------------------------------------------------

/**
 * Runs an effect as if the permission had been checked and granted: for tests, jobs and migrations, where there is no
 * request. Nobody is asked, so that whoever can reach the effect may do what the permission guards.
 *
 * @since 0.1.0
 * @category unsafe
 * @example
 * ```ts
 * import { HttpApiSecurity } from "@effect/platform"
 * import { Context, Effect } from "effect"
 * import { Permission, SecurityConfig } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly role: string }>() {}
 *
 * class Auth extends SecurityConfig.Tag<Auth>()("app/Auth", { scheme: HttpApiSecurity.bearer, user: CurrentUser }) {}
 *
 * class EditArticles extends Permission.Tag<EditArticles>()("app/EditArticles", { auth: Auth }) {}
 *
 * export const nightly: Effect.Effect<void> = EditArticles.granted.pipe(Permission.unsafeGrant(EditArticles))
 * ```
 */
export const unsafeGrant = <P>(
  permission: Context.Tag<P, Policy<P>>
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Granted<P>>> =>
(self) => {
  const { provides } = permission as unknown as { readonly provides: Context.Tag<any, evidence.Evidence> }
  return Effect.provideService(self, provides, evidence.issue(provides, undefined))
}
