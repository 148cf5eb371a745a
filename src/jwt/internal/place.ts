import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as OpenApi from "@effect/platform/OpenApi"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { pipe } from "effect/Function"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as CookiePolicy from "../../http/CookiePolicy.js"
import type * as CrossSite from "../../http/CrossSite.js"
import * as ResponseJar from "../../http/ResponseJar.js"
import * as carriers from "../../internal/carrier.js"
import * as credentialCookie from "../../internal/credentialCookie.js"
import * as observe from "../../internal/observe.js"
import * as securityTag from "../../internal/securityTag.js"
import type { Realm } from "../../internal/signIn.js"
import { CookieTooLarge } from "../../SecurityError.js"
import type { Place, WritablePlace } from "./tokens.js"

interface Settings extends CrossSite.Options {
  readonly spans?: boolean | undefined
}

// -----------------------------------------------------------------------------
// In a header
// -----------------------------------------------------------------------------

export const isAuthorization = (header: string): boolean => header.toLowerCase() === "authorization"

/** How OpenAPI shows a token in a header: `http` schemes are those of `Authorization` alone. */
export const headerScheme = (header: string): HttpApiSecurity.HttpApiSecurity =>
  isAuthorization(header)
    ? pipe(
      HttpApiSecurity.bearer,
      HttpApiSecurity.annotate(OpenApi.Format, "JWT"),
      HttpApiSecurity.annotate(OpenApi.Description, "A JSON Web Token in the Authorization header.")
    )
    : HttpApiSecurity.annotate(
      HttpApiSecurity.apiKey({ in: "header", key: header }),
      OpenApi.Description,
      "`Bearer` and a JSON Web Token."
    )

/** `Bearer` and a token in a header. */
export const header = (
  realm: Realm,
  name: string,
  scheme: HttpApiSecurity.HttpApiSecurity = headerScheme(name)
): Place => ({
  carrier: carriers.bearer(isAuthorization(name) ? "Authorization" : name, realm),
  security: { [realm.name]: scheme }
})

/** What is wrong with settings of a Layer whose tokens are in a header, in a way that their types cannot say. */
export const wrongHeader = (
  realm: Realm,
  settings: { readonly timeout?: Duration.DurationInput | undefined; readonly header?: string | undefined }
): Option.Option<string> =>
  securityTag.wrongOption({ ...settings, security: header(realm, settings.header ?? "Authorization").security })

/** The same, granted by a header of the response. */
export const writableHeader = (realm: Realm, place: Place, settings: Settings): Effect.Effect<WritablePlace> =>
  Effect.map(observe.make(realm.id, settings.spans ?? false), (observer): WritablePlace => {
    const { header } = place.carrier
    const headerOf = (token: Redacted.Redacted) => ({
      header: header.toLowerCase(),
      value: `Bearer ${Redacted.value(token)}`
    })
    return {
      ...place,
      observer,
      // Nothing that a browser would send by itself is written.
      writing: (f) =>
        Effect.flatMap(HttpServerRequest, (request) =>
          ResponseJar.assertWritable(request).pipe(
            Effect.zipRight(ResponseJar.install),
            Effect.zipRight(Effect.uninterruptible(Effect.suspend(() => f(request))))
          )),
      grant: (request, { token }, { undo }) => {
        const value = Redacted.make(headerOf(token).value)
        const wasWithheld = () => ResponseJar.get(request).headers.get(header.toLowerCase())?.value === value
        return ResponseJar.grantHeader(request, header, {
          owner: realm,
          value,
          undo: Effect.suspend(() => wasWithheld() ? undo : Effect.void)
        })
      },
      end: (request) => ResponseJar.clearHeader(request, header, realm),
      headerOf
    }
  })

// -----------------------------------------------------------------------------
// In a cookie
// -----------------------------------------------------------------------------

/** Browsers keep no larger cookie (RFC 6265bis section 5.6), counted here with its attributes. */
const limit = 4096

export const cookieScheme = (cookie: string): HttpApiSecurity.HttpApiSecurity =>
  HttpApiSecurity.annotate(
    HttpApiSecurity.apiKey({ in: "cookie", key: cookie }),
    OpenApi.Description,
    "A JSON Web Token in a cookie."
  )

interface CookieSettings extends Settings {
  readonly insecureCookie?: boolean | undefined
}

/** The policy in force, or what is wrong with it. */
export const policy = (realm: Realm, settings: CookieSettings): Either.Either<CookiePolicy.CookiePolicy, string> =>
  CookiePolicy.make(realm.cookie, settings.insecureCookie ?? false)

/** A token in a cookie. */
export const cookie = (realm: Realm, { name }: CookiePolicy.CookiePolicy): Place => ({
  carrier: carriers.ownedCookie(realm.id, name),
  security: { [realm.name]: cookieScheme(name) }
})

/** The same, granted by a cookie of the response. */
export const writableCookie = (
  realm: Realm,
  policy: CookiePolicy.CookiePolicy,
  settings: CookieSettings
): Effect.Effect<WritablePlace> =>
  Effect.map(observe.make(realm.id, settings.spans ?? false), (observer): WritablePlace => {
    const place = cookie(realm, policy)
    const { carrier } = place
    const written = credentialCookie.make({ carrier, crossSite: settings, observer, policy })
    return {
      ...place,
      observer,
      writing: written.writing,
      grant: (request, { expiresIn, token }, { remember, undo }) => {
        const granted = { value: token, maxAge: remember ? expiresIn : undefined }
        const size = written.sizeOf(granted.value, granted.maxAge)
        return size > limit ? Effect.fail(new CookieTooLarge({ size, limit })) : written.grant(request, {
          ...granted,
          always: false,
          undo: (wasWithheld) => Effect.suspend(() => wasWithheld() ? undo : Effect.void)
        })
      },
      end: (request) => Effect.asVoid(written.clear(request)),
      headerOf: (token) => ({ header: "cookie", value: `${policy.name}=${Redacted.value(token)}` })
    }
  })

/** The place of options whose cookie was checked, or a defect that names the Tag. */
export const orDie = <A>(realm: Realm, self: Either.Either<A, string>): Effect.Effect<A> =>
  Either.match(self, {
    onLeft: (sentence) => Effect.dieMessage(`${realm.id}: ${sentence}`),
    onRight: Effect.succeed
  })
