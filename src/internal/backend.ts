import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as Credential from "../http/Credential.js"
import * as CrossSite from "../http/CrossSite.js"
import type { Exclusion } from "../http/Exclusion.js"
import * as ResponseJar from "../http/ResponseJar.js"
import { CrossSiteRejected, NotAuthorized, PermissionDenied } from "../SecurityError.js"
import type { SecurityError } from "../SecurityError.js"
import type { Observer } from "./observe.js"
import { wait } from "./wait.js"

/** Who was found. `SecurityConfig.Authenticated` is its public face. */
export interface Authenticated<out User, out Auth> {
  readonly user: User
  readonly auth: Auth
}

/** Where a backend finds its credential, and what it answers without one. */
export interface Carrier<C> {
  /** The header, as `Vary` names it. */
  readonly header: string
  /** A browser sends it by itself, also when another site made it send the request: a cookie, HTTP Basic. */
  readonly isAmbient: boolean
  readonly challenge: {
    readonly missing: string
    readonly bad: string
    /** Where the scheme has one for a good credential that does not reach far enough. */
    readonly insufficient?: ((scope: string) => string) | undefined
  }
  readonly read: (request: HttpServerRequest.HttpServerRequest) => Credential.Credential<C>
  /** Dies where the credential is another backend's: two that share a cookie would sign each other's people out. */
  readonly claim: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void>
  /** Whether this request has something in that place that was refused and cleared. */
  readonly wasRefused?: ((request: HttpServerRequest.HttpServerRequest) => boolean) | undefined
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
  /** The same, asked anew and not remembered, and without extending a session. */
  readonly recheck: Effect.Effect<unknown, SecurityError, HttpServerRequest.HttpServerRequest>
  readonly exclude: Exclusion
  /** By name, as OpenAPI is to show what is in force. */
  readonly security: Readonly<Record<string, HttpApiSecurity.HttpApiSecurity>>
  /** Makes the next question about this request ask again. */
  readonly forget: (request: HttpServerRequest.HttpServerRequest) => void
  readonly presence: Presence
}

/** Where a backend looks for its credential, for somebody who asks several backends. */
export interface Presence {
  /** Whether there is something in that place now. */
  readonly isReadable: (request: HttpServerRequest.HttpServerRequest) => boolean
  /** Whether the request came with something there, good or bad: also what was refused and cleared since. */
  readonly isPresent: (request: HttpServerRequest.HttpServerRequest) => boolean
  readonly headers: ReadonlyArray<string>
  /** What a request without a credential is answered. */
  readonly challenges: ReadonlyArray<string>
  /** What a request is answered whose credential does not have this scope. */
  readonly insufficient: (request: HttpServerRequest.HttpServerRequest, scope: string) => string | undefined
}

export const presence = (carrier: Carrier<any>): Presence => ({
  isReadable: (request) => carrier.read(request)._tag !== "None",
  isPresent: (request) => carrier.read(request)._tag !== "None" || carrier.wasRefused?.(request) === true,
  headers: [carrier.header],
  challenges: [carrier.challenge.missing],
  insufficient: (_, scope) => carrier.challenge.insufficient?.(scope)
})

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

/**
 * Fails where another site made a browser send an unsafe request. Run wherever a credential that a browser sends by
 * itself is read or written.
 */
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

/** The credential that a carrier has read, after the cross-site check where a browser sends it by itself. */
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
  return carrier.isAmbient ? Effect.zipRight(rejectCrossSite(request, crossSite), credential) : credential
}

/** The same for an operation of a handler, which says what a request was refused for. */
export const present = <C>(
  carrier: Carrier<C>,
  crossSite: CrossSite.Options,
  observer: Observer,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<C, NotAuthorized | CrossSiteRejected> =>
  Effect.suspend(() => {
    ResponseJar.get(request).vary.add(carrier.header)
    return ResponseJar.install.pipe(
      Effect.zipRight(carrier.claim(request)),
      Effect.zipRight(requireCredential(carrier, crossSite, request, carrier.read(request))),
      Effect.tapErrorTag("CrossSiteRejected", observer.refused)
    )
  })

/** What a request was found to be. Its identity tells whether anything was learnt or forgotten since. */
interface Remembered {
  readonly key: unknown
  readonly exit: Exit.Exit<unknown, SecurityError>
}

const nothing: Remembered = { key: undefined, exit: Exit.void }

/** Makes the next question about a request ask again, and whoever asks already not be remembered. */
export const forget = (request: HttpServerRequest.HttpServerRequest, backend: object): void => {
  ResponseJar.get(request).remembered.set(backend, { ...nothing })
}

const noCredential = Symbol("no credential")
const invalidCredential = Symbol("invalid credential")

/** Why a backend is asked: to let a request in, or to find out whether one that was let in still is. */
export type Purpose = "enter" | "recheck"

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
  readonly observer: Observer
  readonly verify: (
    credential: C,
    purpose: Purpose
  ) => Effect.Effect<Authenticated<User, Auth>, SecurityError, HttpServerRequest.HttpServerRequest>
}): Pick<Implementation<User, Auth>, "authenticate" | "recheck"> => {
  const { carrier } = options
  const attempt = (
    request: HttpServerRequest.HttpServerRequest,
    read: Credential.Credential<C>,
    purpose: Purpose
  ) =>
    carrier.claim(request).pipe(
      Effect.zipRight(requireCredential(carrier, options.crossSite, request, read)),
      Effect.flatMap((credential) =>
        wait(Effect.suspend(() => options.verify(credential, purpose)), "authentication", options.timeout).pipe(
          // Neither a backend nor a guard need know how its scheme challenges, and in which header it is.
          Effect.catchTags({
            NotAuthorized: ({ cookies, reason }: NotAuthorized) =>
              Effect.fail(
                new NotAuthorized({ reason, challenge: carrier.challenge.bad, vary: carrier.header, cookies })
              ),
            PermissionDenied: ({ reason }: PermissionDenied) =>
              Effect.fail(new PermissionDenied({ reason, vary: carrier.header }))
          })
        )
      ),
      options.observer.authentication
    )
  const authenticate = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const jar = ResponseJar.get(request)
    jar.vary.add(carrier.header)
    const read = carrier.read(request)
    const key = read._tag === "Found"
      ? carrier.keyOf(read.value)
      : read._tag === "None"
      ? noCredential
      : invalidCredential
    const before = jar.remembered.get(options.backend) as Remembered | undefined
    if (before !== undefined && before.key === key) {
      challenge(jar, before.exit)
      return before.exit as Exit.Exit<Authenticated<User, Auth>, SecurityError>
    }
    return Effect.onExit(
      Effect.zipRight(ResponseJar.install, attempt(request, read, "enter")),
      (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) {
            jar.isPrivate = true
          }
          challenge(jar, exit)
          // What was asked before somebody changed the session is not what the next one should see.
          if (!Exit.isInterrupted(exit) && jar.remembered.get(options.backend) === before) {
            jar.remembered.set(options.backend, { key, exit } satisfies Remembered)
          }
        })
    )
  })
  const recheck = Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) => attempt(request, carrier.read(request), "recheck")
  )
  return { authenticate, recheck }
}

/** The challenge of a 401 that `HttpApi` encodes without headers. */
const challenge = (jar: ResponseJar.ResponseJar, exit: Exit.Exit<unknown, SecurityError>): void => {
  const failure = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
  if (Option.isSome(failure) && failure.value._tag === "NotAuthorized") {
    jar.challenge = failure.value.challenge
  }
}
