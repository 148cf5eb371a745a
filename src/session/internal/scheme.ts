import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as CookiePolicy from "../../http/CookiePolicy.js"
import * as Credential from "../../http/Credential.js"
import type { Carrier } from "../../internal/backend.js"
import * as carrier from "../../internal/carrier.js"
import * as SessionToken from "../SessionToken.js"
import type { SessionVersions } from "../SessionVersions.js"

/** What a Tag says of its sessions, for every Layer that serves it. */
export interface Realm {
  readonly id: string
  readonly cookie: CookiePolicy.Options
  readonly session: Schema.Schema<any, any>
  readonly versions: SessionVersions<any> | undefined
  /** Who a session belongs to: null for a session without a subject. */
  readonly subject: (session: any) => string | null
}

/** How OpenAPI shows a session cookie. */
export const security = (name: string, cookie: string): Readonly<Record<string, HttpApiSecurity.ApiKey>> => ({
  [name]: HttpApiSecurity.annotate(
    HttpApiSecurity.apiKey({ in: "cookie", key: cookie }),
    OpenApi.Description,
    "Session cookie authentication."
  )
})

/** A cookie that holds a token of the exact shape, or nothing that a store is asked about. */
export const tokenCarrier = (realm: string, cookie: string): Carrier<SessionToken.SessionToken> => {
  const text = carrier.ownedCookie(realm, cookie)
  return {
    ...text,
    keyOf: Redacted.value,
    read: (request) => {
      const credential = text.read(request)
      return credential._tag === "Found"
        ? Option.match(SessionToken.fromString(credential.value), {
          onNone: () => Credential.invalid,
          onSome: Credential.found
        })
        : credential
    }
  }
}
