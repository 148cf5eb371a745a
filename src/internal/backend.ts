import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as Credential from "../http/Credential.js"
import * as CrossSite from "../http/CrossSite.js"
import type { Exclusion } from "../http/Exclusion.js"
import * as ResponseJar from "../http/ResponseJar.js"
import {
  CrossSiteRejected,
  NotAuthorized,
  PermissionDenied,
  SecurityUnavailable,
  TooManyAttempts
} from "../SecurityError.js"
import type { SecurityError } from "../SecurityError.js"

/** Who was found. `SecurityConfig.Authenticated` is its public face. */
export interface Authenticated<out User, out Auth> {
  readonly user: User
  readonly auth: Auth
}

/** Where a backend finds its credential, and what it answers without one. */
export interface Carrier<C> {
  /** The header, as `Vary` names it. */
  readonly header: string
  readonly isCookie: boolean
  readonly challenge: { readonly missing: string; readonly bad: string }
  readonly read: (request: HttpServerRequest.HttpServerRequest) => Credential.Credential<C>
  /** What two credentials have in common when they are the same bytes. */
  readonly keyOf: (credential: C) => string
}

/** A backend as the rest of the library sees it, without its types. */
export interface Implementation<out User, out Auth> {
  readonly authenticate: Effect.Effect<
    Authenticated<User, Auth>,
    SecurityError,
    HttpServerRequest.HttpServerRequest
  >
  readonly exclude: Exclusion
  /** By name, as OpenAPI is to show what is in force. */
  readonly security: Readonly<Record<string, HttpApiSecurity.HttpApiSecurity>>
  /** Makes the next question about this request ask again. */
  readonly forget: (request: HttpServerRequest.HttpServerRequest) => void
}

// -----------------------------------------------------------------------------
// Waiting for what may fail
// -----------------------------------------------------------------------------

/**
 * Turns whatever a dependency does into an answer: typed security failures pass, every other failure and every defect
 * becomes `SecurityUnavailable` with its cause logged, and so does an answer that is later than `timeout`. The wait is
 * interruptible even where its surroundings are not: the app-wide gate, api-level middleware and finalizers.
 */
export const wait = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  what: string,
  timeout: Duration.Duration
): Effect.Effect<A, Extract<E, SecurityError> | SecurityUnavailable, R> =>
  Effect.interruptible(self).pipe(
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () => new SecurityUnavailable({ reason: `${what} took longer than ${Duration.format(timeout)}` })
    }),
    Effect.catchAllCause((cause): Effect.Effect<never, Extract<E, SecurityError> | SecurityUnavailable> => {
      if (Cause.isInterruptedOnly(cause)) {
        return Effect.failCause(cause as Cause.Cause<never>)
      }
      const failure = Cause.failureOption(cause)
      if (Option.isSome(failure) && isSecurityError(failure.value)) {
        return failure.value._tag === "SecurityUnavailable"
          ? logged(failure.value.cause === undefined ? cause : Cause.fail(failure.value.cause), what, failure.value)
          : Effect.fail(failure.value as Extract<E, SecurityError>)
      }
      return logged(cause, what, new SecurityUnavailable({ reason: `${what} failed` }))
    })
  )

const logged = <E>(cause: Cause.Cause<unknown>, what: string, error: E): Effect.Effect<never, E> =>
  Effect.zipRight(Effect.logError(`${what} is not available`, cause), Effect.fail(error))

const isSecurityError = (u: unknown): u is SecurityError =>
  u instanceof NotAuthorized || u instanceof PermissionDenied || u instanceof CrossSiteRejected ||
  u instanceof TooManyAttempts || u instanceof SecurityUnavailable

// -----------------------------------------------------------------------------
// Services of the application
// -----------------------------------------------------------------------------

/** What an effect of the application has of the request at hand, whatever its Layer was built with. */
const perRequest: ReadonlyArray<Context.Tag<any, any>> = [
  HttpServerRequest.HttpServerRequest,
  Scope.Scope,
  Tracer.ParentSpan
]

/**
 * Gives an effect of the application what its Layer was built with, which no service of a request can replace, and the
 * request at hand. Outside a server there is no Scope, so it gets one that ends with it.
 */
export const provideRequest = <R>(context: Context.Context<R>) =>
<A, E>(
  self: Effect.Effect<A, E, R | HttpServerRequest.HttpServerRequest | Scope.Scope>
): Effect.Effect<A, E, HttpServerRequest.HttpServerRequest> =>
  Effect.contextWithEffect((request: Context.Context<any>) => {
    const merged = Context.merge(Context.merge(request, context), Context.pick(...perRequest)(request))
    return Context.getOption(request, Scope.Scope)._tag === "Some"
      ? Effect.provide(self, merged)
      : Effect.provide(Effect.scoped(self as Effect.Effect<A, E, Scope.Scope>), merged)
  })

// -----------------------------------------------------------------------------
// Cross-site requests
// -----------------------------------------------------------------------------

/** Fails where another site made a browser send an unsafe request. Run wherever a cookie is read or written. */
export const rejectCrossSite = (
  request: HttpServerRequest.HttpServerRequest,
  options: CrossSite.Options
): Effect.Effect<void, CrossSiteRejected> =>
  Effect.suspend(() => {
    const verdict = CrossSite.checkRequest(request, options)
    if (verdict === "accepted") {
      return Effect.void
    }
    ResponseJar.get(request).vary.add("Cookie").add("Origin")
    return Effect.fail(new CrossSiteRejected({ reason: verdict }))
  })

// -----------------------------------------------------------------------------
// Authenticating a request
// -----------------------------------------------------------------------------

/** The credential that a carrier has read, after the cross-site check where it is a cookie. */
export const requireCredential = <C>(
  carrier: Carrier<C>,
  crossSite: CrossSite.Options,
  request: HttpServerRequest.HttpServerRequest,
  read: Credential.Credential<C>
): Effect.Effect<C, NotAuthorized | CrossSiteRejected> => {
  const credential = read._tag === "Found" ? Effect.succeed(read.value) : Effect.fail(
    read._tag === "None"
      ? new NotAuthorized({ reason: "NoCredential", challenge: carrier.challenge.missing, vary: carrier.header })
      : new NotAuthorized({ reason: "InvalidCredential", challenge: carrier.challenge.bad, vary: carrier.header })
  )
  return carrier.isCookie ? Effect.zipRight(rejectCrossSite(request, crossSite), credential) : credential
}

interface Remembered {
  readonly key: unknown
  readonly exit: Exit.Exit<unknown, SecurityError>
}

/**
 * Credential, then backend, then guards; straight through. The outcome is remembered for the rest of the request, bound
 * to the exact bytes of the credential, so that several guards of one request ask once, and the platform's chain of
 * security schemes sees the same failure from each of ours.
 */
export const authenticate = <C, User, Auth>(options: {
  readonly backend: object
  readonly carrier: Carrier<C>
  readonly crossSite: CrossSite.Options
  readonly timeout: Duration.Duration
  readonly verify: (
    credential: C,
    request: HttpServerRequest.HttpServerRequest
  ) => Effect.Effect<Authenticated<User, Auth>, SecurityError, HttpServerRequest.HttpServerRequest>
}): Effect.Effect<Authenticated<User, Auth>, SecurityError, HttpServerRequest.HttpServerRequest> => {
  const { carrier } = options
  const attempt = (request: HttpServerRequest.HttpServerRequest, read: Credential.Credential<C>) =>
    Effect.flatMap(
      requireCredential(carrier, options.crossSite, request, read),
      (credential) =>
        wait(options.verify(credential, request), "authentication", options.timeout).pipe(
          // A backend need not know how its scheme challenges.
          Effect.catchTag(
            "NotAuthorized",
            ({ cookies, reason }) =>
              Effect.fail(
                new NotAuthorized({ reason, challenge: carrier.challenge.bad, vary: carrier.header, cookies })
              )
          )
        )
    )
  return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const jar = ResponseJar.get(request)
    jar.vary.add(carrier.header)
    const credential = carrier.read(request)
    const key = credential._tag === "Found" ? carrier.keyOf(credential.value) : credential._tag
    const remembered = jar.remembered.get(options.backend) as Remembered | undefined
    if (remembered !== undefined && remembered.key === key) {
      return remembered.exit as Exit.Exit<Authenticated<User, Auth>, SecurityError>
    }
    return Effect.onExit(
      attempt(request, credential),
      (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) {
            jar.isPrivate = true
          } else if (Exit.isInterrupted(exit)) {
            return
          } else {
            const failure = Cause.failureOption(exit.cause)
            if (Option.isSome(failure) && failure.value._tag === "NotAuthorized") {
              jar.challenge = failure.value.challenge
            }
          }
          jar.remembered.set(options.backend, { key, exit } satisfies Remembered)
        })
    )
  })
}
