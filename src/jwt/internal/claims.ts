import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Option from "effect/Option"

/** What a token says about itself; `Jwt.Token` is its public face. */
interface Registered {
  readonly issuer: string
  readonly subject: string
  readonly audience: ReadonlyArray<string>
  readonly expiresAt: DateTime.Utc
  readonly issuedAt: DateTime.Utc
  readonly notBefore: Option.Option<DateTime.Utc>
  readonly id: Option.Option<string>
  readonly claims: Claims
}

type Flaw =
  | "InvalidClaims"
  | "Expired"
  | "NotYetValid"
  | "IssuedInTheFuture"
  | "WrongIssuer"
  | "WrongAudience"
  | "WrongRealm"

/** The private claim by which a token names the backend that it was signed for (RFC 7519 section 4.3). */
export const realmClaim = "effect-security.realm"

/** What a token has to say, in seconds where it is about time. */
export interface Policy {
  readonly issuers: ReadonlyArray<string>
  readonly audiences: ReadonlyArray<string>
  readonly strictAudience: boolean
  readonly tolerance: number
  readonly realm: string | undefined
}

type Claims = Readonly<Record<string, unknown>>

const isTime = (u: unknown): u is number => typeof u === "number" && Number.isFinite(u)

const isText = (u: unknown): u is string => typeof u === "string" && u !== ""

/** The last instant that a date can be, in milliseconds: a token may name a later one. */
const maxMillis = 8.64e15

export const toDateTime = (seconds: number): DateTime.Utc =>
  DateTime.unsafeMake(Math.max(-maxMillis, Math.min(maxMillis, seconds * 1_000)))

const audienceOf = (aud: unknown): ReadonlyArray<string> | undefined =>
  isText(aud) ? [aud] : Array.isArray(aud) && aud.length > 0 && aud.every(isText) ? aud : undefined

/** The registered claims (RFC 7519 section 4.1), each of its type: the names of a token for whoever reads it. */
const registered = (claims: Claims) => {
  const { aud, exp, iat, iss, jti, nbf, sub } = claims
  const audience = audienceOf(aud)
  return isText(iss) && isText(sub) && audience !== undefined && isTime(exp) && isTime(iat) &&
      (nbf === undefined || isTime(nbf)) && (jti === undefined || typeof jti === "string")
    ? Option.some({ iss, sub, audience, isList: Array.isArray(aud), exp, iat, nbf, jti })
    : Option.none()
}

/** Whether the registered claims are there, and each is of its type. */
export const isRegistered = (claims: Claims): boolean => Option.isSome(registered(claims))

/** Checks what every token says about itself, at a time in milliseconds. */
export const check = (
  claims: Claims,
  policy: Policy,
  millis: number
): Either.Either<Registered, Flaw> =>
  Option.match(registered(claims), {
    onNone: () => Either.left("InvalidClaims"),
    onSome: ({ audience, exp, iat, isList, iss, jti, nbf, sub }) => {
      const now = millis / 1_000
      if (now >= exp + policy.tolerance) {
        return Either.left("Expired")
      }
      if (nbf !== undefined && nbf > now + policy.tolerance) {
        return Either.left("NotYetValid")
      }
      if (iat > now + policy.tolerance) {
        return Either.left("IssuedInTheFuture")
      }
      if (!policy.issuers.includes(iss)) {
        return Either.left("WrongIssuer")
      }
      if ((policy.strictAudience && isList) || !audience.some((one) => policy.audiences.includes(one))) {
        return Either.left("WrongAudience")
      }
      if (policy.realm !== undefined && claims[realmClaim] !== undefined && claims[realmClaim] !== policy.realm) {
        return Either.left("WrongRealm")
      }
      return Either.right({
        issuer: iss,
        subject: sub,
        audience,
        expiresAt: toDateTime(exp),
        issuedAt: toDateTime(iat),
        notBefore: Option.map(Option.fromNullable(nbf), toDateTime),
        id: Option.fromNullable(jti),
        claims
      })
    }
  })
