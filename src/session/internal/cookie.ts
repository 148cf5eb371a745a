import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as CookiePolicy from "../../http/CookiePolicy.js"
import type * as CrossSite from "../../http/CrossSite.js"
import type { Carrier } from "../../internal/backend.js"
import * as credentialCookie from "../../internal/credentialCookie.js"
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
  const cookie = credentialCookie.make({ carrier, crossSite, observer, policy })
  return {
    ...cookie,

    /** The token of a request, if there is one of the exact shape. */
    tokenOf: (request: HttpServerRequest): Option.Option<SessionToken> => {
      const credential = carrier.read(request)
      return credential._tag === "Found" ? Option.some(credential.value) : Option.none()
    },

    /** Gives the client the cookie of a session; a session that the response does not grant after all ends. */
    grant: (request: HttpServerRequest, { record, token }: Held, always: boolean): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        cookie.grant(request, {
          value: token,
          maxAge: record.remember ? sessionPolicy.maxAge(record, now) : undefined,
          always,
          undo: (wasWithheld) =>
            Effect.zipRight(
              sessions.endQuietly(record.id),
              hasSubject && wasWithheld() ? signedOut(observer, record.id) : Effect.void
            )
        }))
  }
}

export const signedOut = (observer: Observer, id: SessionRecord["id"]) =>
  observer.publish((fields) => new SecurityEvents.SignedOut({ ...fields, credential: Option.some(id) }))
