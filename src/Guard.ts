/**
 * Predicates on the user of a request, and on the request: who may not pass gets 403. A guard stands in the `guards` of
 * a backend's Layer, where it is asked about every request that is authenticated, or in front of one handler or router
 * by `protect`. It is never asked about a request that is not authenticated.
 *
 * @since 0.1.0
 */
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ResponseJar from "./http/ResponseJar.js"
import { ask, refuseFalse } from "./internal/permission.js"
import * as routes from "./internal/routes.js"
import { defaultTimeout } from "./internal/wait.js"
import { PermissionDenied } from "./SecurityError.js"
import type { SecurityError } from "./SecurityError.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * A predicate on the user of a request, asked after authentication and before the handler. It is a plain function:
 * success lets the request pass, `PermissionDenied` refuses it. A defect is an outage, 503. Where a predicate answers
 * with true or false, use `make`: the type `Effect<void>` would take an `Effect<boolean>` too.
 *
 * @since 0.1.0
 * @category models
 */
export type Guard<in User, out R = never> = (user: User) => Effect.Effect<void, PermissionDenied, R>

/**
 * `reason` is that of the `PermissionDenied`: for logs and handlers, and no part of a response.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly reason?: string | undefined
}

/**
 * As much of a Tag of this library as `protect` needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Backend<in out UserId, in out User, out R> {
  readonly key: string
  readonly provides: Context.Tag<UserId, User>
  readonly user: Effect.Effect<User, SecurityError, R>
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * The guard that a predicate on the user, or on the user and the request, makes: only `true` grants. The predicate may
 * be an effect. `PermissionDenied` is passed on; every other failure of it becomes a defect, which is answered with 503
 * and logged.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Guard } from "effect-security"
 *
 * interface User {
 *   readonly role: "reader" | "editor"
 * }
 *
 * export const isEditor = Guard.make(({ role }: User) => role === "editor", { reason: "no editor" })
 *
 * export const readsOnly = Guard.make((_: User, { method }) => method === "GET" || method === "HEAD")
 *
 * export const mayUseArticles = Guard.any(isEditor, readsOnly)
 * ```
 */
export const make: {
  <User>(
    predicate: (user: User, request: HttpServerRequest) => boolean,
    options?: Options
  ): Guard<User, HttpServerRequest>
  <User, E, R>(
    predicate: (user: User, request: HttpServerRequest) => boolean | Effect.Effect<boolean, E, R>,
    options?: Options
  ): Guard<User, R | HttpServerRequest>
} = <User, E, R>(
  predicate: (user: User, request: HttpServerRequest) => boolean | Effect.Effect<boolean, E, R>,
  options?: Options
): Guard<User, R | HttpServerRequest> =>
(user) =>
  Effect.flatMap(HttpServerRequest, (request) => {
    const answer = predicate(user, request)
    return Effect.flatMap(
      Effect.isEffect(answer) ? Effect.catchAll(answer, refuseOrDie) : Effect.succeed(answer),
      (granted) => granted === true ? Effect.void : Effect.fail(new PermissionDenied({ reason: options?.reason }))
    )
  })

const isRefusal = (error: unknown): error is PermissionDenied => error instanceof PermissionDenied

const refuseOrDie = (error: unknown): Effect.Effect<never, PermissionDenied> =>
  isRefusal(error) ? Effect.fail(error) : Effect.die(error)

// -----------------------------------------------------------------------------
// Combinators
// -----------------------------------------------------------------------------

/**
 * Grants what every one of the guards grants. They are asked in order; the first refusal is the answer, and those after
 * it are not asked. Of no guards, it grants.
 *
 * @since 0.1.0
 * @category combinators
 */
export const all = <User, RG extends ReadonlyArray<unknown>>(
  ...guards: { readonly [Index in keyof RG]: Guard<User, RG[Index]> } & ReadonlyArray<(user: User) => unknown>
): Guard<User, RG[number]> =>
(user) =>
  Effect.forEach(guards as ReadonlyArray<Guard<User, RG[number]>>, (guard) => refuseFalse(guard(user)), {
    discard: true
  })

/**
 * Grants what one of the guards grants. They are asked in order; the first that grants is the answer, and those after
 * it are not asked. When all refuse, the answer is the refusal of the first. An outage of one of them ends the
 * question: it neither grants nor lets a later one grant.
 *
 * @since 0.1.0
 * @category combinators
 */
export const any = <User, RG extends readonly [unknown, ...ReadonlyArray<unknown>]>(
  ...guards: { readonly [Index in keyof RG]: Guard<User, RG[Index]> } & ReadonlyArray<(user: User) => unknown>
): Guard<User, RG[number]> => {
  const [first, ...others] = guards as unknown as ReadonlyArray<Guard<User, RG[number]>>
  return (user) =>
    first === undefined ? Effect.fail(new PermissionDenied()) : Effect.catchIf(
      refuseFalse(first(user)),
      isRefusal,
      (refusal) =>
        others.reduce(
          (asked, guard) => Effect.catchIf(asked, isRefusal, () => refuseFalse(guard(user))),
          Effect.fail(refusal) as Effect.Effect<void, PermissionDenied, RG[number]>
        ).pipe(Effect.catchIf(isRefusal, () => Effect.fail(refusal)))
    )
}

// -----------------------------------------------------------------------------
// In front of a handler
// -----------------------------------------------------------------------------

/**
 * Authenticates the request, asks the guard, and runs a handler with the current user. For a handler, an `HttpApp`, and
 * as `HttpRouter.use(Guard.protect(Auth, guard))`. Guards of the backend's Layer are asked before it, those of a router
 * before those of its handlers. The guard has 2 seconds; then, and where it dies, the request fails with
 * `SecurityUnavailable`.
 *
 * @since 0.1.0
 * @category combinators
 * @example
 * ```ts
 * import { HttpApiSecurity, HttpRouter, HttpServerResponse } from "@effect/platform"
 * import { Context, Effect } from "effect"
 * import { Guard, SecurityConfig } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly admin: boolean }>() {}
 *
 * class Auth extends SecurityConfig.Tag<Auth>()("app/Auth", { scheme: HttpApiSecurity.bearer, user: CurrentUser }) {}
 *
 * const isAdmin = Guard.make((user: CurrentUser["Type"]) => user.admin)
 *
 * export const router = HttpRouter.empty.pipe(
 *   HttpRouter.get("/metrics", Effect.as(CurrentUser, HttpServerResponse.text("all is well"))),
 *   HttpRouter.use(Guard.protect(Auth, isAdmin))
 * )
 * ```
 */
export const protect = <UserId, User, RA, RG>(
  auth: Backend<UserId, User, RA>,
  guard: Guard<User, RG>
): <A, E, R>(
  self: Effect.Effect<A, E, R>
) => Effect.Effect<A, E | SecurityError, RA | RG | HttpServerRequest | Exclude<R, UserId>> =>
(self) =>
  routes.protectedBy(
    [auth.key],
    self,
    ResponseJar.installLast(
      Effect.flatMap(auth.user, (user) =>
        Effect.zipRight(
          ask(() => guard(user), { by: auth.key, what: "a guard", timeout: Duration.decode(defaultTimeout) }),
          Effect.provideService(self, auth.provides, user)
        ))
    )
  )
