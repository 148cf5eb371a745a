import * as Cookies from "@effect/platform/Cookies"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as CookiePolicy from "../../http/CookiePolicy.js"
import type * as CrossSite from "../../http/CrossSite.js"
import * as ResponseJar from "../../http/ResponseJar.js"
import type { Carrier } from "../../internal/backend.js"
import * as backend from "../../internal/backend.js"
import type { Observer } from "../../internal/observe.js"
import * as SecurityEvents from "../../SecurityEvents.js"
import type { SessionRecord } from "../SessionStore.js"
import type { SessionToken } from "../SessionToken.js"
import * as sessionPolicy from "./policy.js"
import type { Held, Sessions } from "./sessions.js"

/** Sessions in the cookie of a request and its response. */
export type SessionCookie = ReturnType<typeof make>

export const make = ({ carrier, crossSite, hasSubject, observer, policy, sessions }: {
  readonly hasSubject: boolean
  readonly carrier: Carrier<SessionToken>
  readonly crossSite: CrossSite.Options
  readonly observer: Observer
  readonly policy: CookiePolicy.CookiePolicy
  readonly sessions: Sessions
}) => {
  const rejectCrossSite = (request: HttpServerRequest) =>
    Effect.tapError(
      backend.rejectCrossSite(request, crossSite),
      observer.refused
    )

  return {
    rejectCrossSite,

    /** The token of a request, if there is one of the exact shape. */
    tokenOf: (request: HttpServerRequest): Option.Option<SessionToken> => {
      const credential = carrier.read(request)
      return credential._tag === "Found" ? Option.some(credential.value) : Option.none()
    },

    /** Where a cookie is written: never for another site, never too late, never half. */
    writing: <A, E, R>(f: (request: HttpServerRequest) => Effect.Effect<A, E, R>) =>
      Effect.flatMap(HttpServerRequest, (request) =>
        carrier.claim(request).pipe(
          Effect.zipRight(rejectCrossSite(request)),
          Effect.zipRight(ResponseJar.assertWritable(request)),
          Effect.zipRight(ResponseJar.install),
          Effect.zipRight(Effect.uninterruptible(Effect.suspend(() => f(request))))
        )),

    /** Makes the client forget its cookie, in this response and in one that never passes through the jar. */
    clear: (request: HttpServerRequest): Effect.Effect<Cookies.Cookies> =>
      Effect.suspend(() => {
        const cookie = CookiePolicy.clear(policy)
        return Effect.as(ResponseJar.clear(request, cookie), Cookies.fromIterable([cookie]))
      }),

    /** Gives the client the cookie of a session; a session that the response does not grant after all ends. */
    grant: (request: HttpServerRequest, { record, token }: Held, always: boolean): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const cookie = Redacted.make(
          CookiePolicy.grant(
            policy,
            Redacted.value(token),
            record.remember ? sessionPolicy.maxAge(record, now) : undefined
          )
        )
        const isWithheld = () => ResponseJar.get(request).grants.get(policy.name)?.cookie === cookie
        const undo = Effect.suspend(() =>
          Effect.zipRight(
            sessions.endQuietly(record.id),
            hasSubject && isWithheld() ? signedOut(observer, record.id) : Effect.void
          )
        )
        return ResponseJar.grant(request, { cookie, undo, always })
      }),

    /** A session that began in this request is undone with its response also after a rotation. */
    isAlwaysGranted: (request: HttpServerRequest): boolean =>
      ResponseJar.get(request).grants.get(policy.name)?.always ?? true
  }
}

export const signedOut = (observer: Observer, id: SessionRecord["id"]) =>
  observer.publish((fields) => new SecurityEvents.SignedOut({ ...fields, credential: Option.some(id) }))
