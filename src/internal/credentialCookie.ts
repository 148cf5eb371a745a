import * as Cookies from "@effect/platform/Cookies"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as CookiePolicy from "../http/CookiePolicy.js"
import type * as CrossSite from "../http/CrossSite.js"
import * as ResponseJar from "../http/ResponseJar.js"
import type { Carrier } from "./backend.js"
import * as backend from "./backend.js"
import type { Observer } from "./observe.js"

/** A cookie that carries a credential of a request, and grants or ends one with its response. */
export type CredentialCookie = ReturnType<typeof make>

/** What a cookie is to grant. */
export interface Granted {
  readonly value: Redacted.Redacted
  /** In whole seconds; without it the cookie ends with the browser. */
  readonly maxAge: number | undefined
  /** Granted whatever the status of the response. */
  readonly always: boolean
  /** What undoes a grant that is not sent after all, or that another one of the same request replaces. */
  readonly undo: (wasWithheld: () => boolean) => Effect.Effect<void>
}

export const make = ({ carrier, crossSite, observer, policy }: {
  readonly carrier: Carrier<any>
  readonly crossSite: CrossSite.Options
  readonly observer: Observer
  readonly policy: CookiePolicy.CookiePolicy
}) => {
  const rejectCrossSite = (request: HttpServerRequest) =>
    Effect.tapError(
      backend.rejectCrossSite(request, crossSite),
      observer.refused
    )

  /** Makes the client forget its cookie, in this response and in one that never passes through the jar. */
  const clear = (request: HttpServerRequest): Effect.Effect<Cookies.Cookies> =>
    Effect.suspend(() => {
      const cookie = CookiePolicy.clear(policy)
      return Effect.as(ResponseJar.clear(request, cookie), Cookies.fromIterable([cookie]))
    })

  return {
    rejectCrossSite,

    /** Where a cookie is written: never for another site, never too late, never half. */
    writing: <A, E, R>(f: (request: HttpServerRequest) => Effect.Effect<A, E, R>) =>
      Effect.flatMap(HttpServerRequest, (request) =>
        carrier.claim(request).pipe(
          Effect.zipRight(rejectCrossSite(request)),
          Effect.zipRight(ResponseJar.assertWritable(request)),
          Effect.zipRight(ResponseJar.install),
          Effect.zipRight(Effect.uninterruptible(Effect.suspend(() => f(request))))
        )),

    clear,

    /** The same, where it is this request whose credential is refused. */
    refuse: (request: HttpServerRequest): Effect.Effect<Cookies.Cookies> =>
      Effect.tap(clear(request), () => Effect.sync(() => ResponseJar.get(request).refused.add(policy.name))),

    /** Gives the client a cookie. */
    grant: (request: HttpServerRequest, { always, maxAge, undo, value }: Granted): Effect.Effect<void> =>
      Effect.suspend(() => {
        const cookie = Redacted.make(CookiePolicy.grant(policy, Redacted.value(value), maxAge))
        const wasWithheld = () => ResponseJar.get(request).grants.get(policy.name)?.cookie === cookie
        return ResponseJar.grant(request, { cookie, undo: Effect.suspend(() => undo(wasWithheld)), always })
      }),

    /** Makes the client forget a cookie, if and only if the response grants what takes its place. */
    withdraw: (request: HttpServerRequest, always: boolean): Effect.Effect<void> =>
      Effect.suspend(() =>
        ResponseJar.grant(request, {
          cookie: Redacted.make(CookiePolicy.clear(policy)),
          undo: Effect.void,
          always
        })
      ),

    /** The size of the cookie that would carry a value, in bytes of its `Set-Cookie` header. */
    sizeOf: (value: Redacted.Redacted, maxAge: number | undefined): number =>
      new TextEncoder().encode(Cookies.serializeCookie(CookiePolicy.grant(policy, Redacted.value(value), maxAge)))
        .length,

    /** Whether what this request has granted so far is sent whatever the status: true where it has granted nothing. */
    isAlwaysGranted: (request: HttpServerRequest): boolean =>
      ResponseJar.get(request).grants.get(policy.name)?.always ?? true
  }
}
