/**
 * JSON Web Tokens (RFC 7519) as signed claims in compact form (RFC 7515), verified as RFC 8725 advises: algorithms of
 * one family, an issuer and an audience that the verifier names, and nothing of the header followed.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import { isRecord } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as csprng from "../internal/csprng.js"
import { NotAuthorized, SecurityConfigError, SessionTooLarge } from "../SecurityError.js"
import type { SecurityUnavailable } from "../SecurityError.js"
import * as claimsOf from "./internal/claims.js"
import * as compact from "./internal/compact.js"
import * as header from "./internal/header.js"
import * as options from "./internal/options.js"
import * as signatures from "./internal/signatures.js"
import { JwtKeys } from "./JwtKeys.js"
import type { Algorithm, Algorithms } from "./JwtKeys.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * Why a token is not accepted: the `reason` of a `NotAuthorized`, for logs and handlers.
 *
 * - `MalformedToken`: not exactly the compact form, or header or claims are no JSON object with distinct names
 * - `TokenTooLarge`: over 8 KiB
 * - `UnsupportedHeader`: `crit`, `b64`, or a `kid` that is no text
 * - `WrongTokenType`, `WrongAlgorithm`: `typ` or `alg` is none that the verifier accepts
 * - `UnknownKey`, `BadSignature`
 * - `InvalidClaims`: a registered claim is missing or not of its type
 * - `Expired`, `NotYetValid`, `IssuedInTheFuture`, `WrongIssuer`, `WrongAudience`
 * - `WrongRealm`: signed for another backend, `realm` in `Options`
 * - `UndecodableClaims`: not what the schema of the claims says
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  | "MalformedToken"
  | "TokenTooLarge"
  | "UnsupportedHeader"
  | "WrongTokenType"
  | "WrongAlgorithm"
  | "UnknownKey"
  | "BadSignature"
  | "InvalidClaims"
  | "Expired"
  | "NotYetValid"
  | "IssuedInTheFuture"
  | "WrongIssuer"
  | "WrongAudience"
  | "WrongRealm"
  | "UndecodableClaims"

/**
 * What a token says about itself (RFC 7519 section 4.1). `claims` holds all of its claims as they stand in it, those
 * that no schema names among them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Token {
  readonly algorithm: Algorithm
  readonly keyId: Option.Option<string>
  readonly issuer: string
  readonly subject: string
  readonly audience: ReadonlyArray<string>
  readonly expiresAt: DateTime.Utc
  readonly issuedAt: DateTime.Utc
  readonly notBefore: Option.Option<DateTime.Utc>
  readonly id: Option.Option<string>
  readonly claims: Readonly<Record<string, unknown>>
}

/**
 * A token that was found good: its claims as their schema decodes them, and what it says about itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verified<out Claims> {
  readonly claims: Claims
  readonly token: Token
}

/**
 * Verifies tokens of `issuers`. Fails with `NotAuthorized`, whose `reason` is a `Reason`, whatever is wrong with a
 * token, and with `SecurityUnavailable` when the keys cannot be had.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verifier<out Claims> {
  readonly issuers: ReadonlyArray<string>
  readonly verify: (token: Redacted.Redacted) => Effect.Effect<Verified<Claims>, NotAuthorized | SecurityUnavailable>
}

/**
 * A fresh token. `id` is its `jti`; it ends at `expiresAt`, `expiresIn` seconds after it was issued.
 *
 * @since 0.1.0
 * @category models
 */
export interface Issued {
  readonly token: Redacted.Redacted
  readonly id: string
  readonly expiresAt: DateTime.Utc
  readonly expiresIn: number
}

/**
 * Signs tokens with the newest key of the ring. Fails with `SessionTooLarge` when the token would be over 8 KiB, and
 * with `SecurityUnavailable` when no key can sign. Dies when the claims do not encode to a JSON object that decodes
 * again or name another subject, and when an option of the token makes no sense.
 *
 * @since 0.1.0
 * @category models
 */
export interface Signer<in Claims> {
  readonly sign: (
    claims: Claims,
    options: SignOptions
  ) => Effect.Effect<Issued, SessionTooLarge | SecurityUnavailable>
}

/**
 * What a verifier finds in a token.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ClaimsOf<V> = V extends Verifier<infer Claims> ? Claims : never

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * - `algorithms`: those that are accepted, of one family; the first that the newest key is good for signs
 * - `issuer`: the `iss` that is accepted, or several of them; the first signs
 * - `audience`: a token is accepted when its `aud` has one of these; a token that is signed has all of them
 * - `claims`: what a token says besides. It is decoded from all the claims of a token, and encodes to a JSON object
 * - `type`: the `typ` of the header. `"JWT"` (the default) accepts a token without one as well, `"at+jwt"` (RFC 9068)
 *   accepts no other
 * - `realm`: what tokens that are signed here are for, besides the audience: the Tag of a backend names itself. A token of
 *   another realm is refused; one that names none, as others sign them, is not
 * - `strictAudience`: `aud` has to be one text and no list (default false)
 * - `tolerance`: how far clocks may be apart, for `exp`, `nbf` and `iat` (default 30 seconds)
 * - `cacheSize`: of how many tokens it is remembered that their signature is good (default 10,000; 0 for none). All
 *   else about a token is checked each time
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<in out Claims> {
  readonly algorithms: Algorithms
  readonly issuer: string | NonEmptyReadonlyArray<string>
  readonly audience: string | NonEmptyReadonlyArray<string>
  readonly claims: Schema.Schema<Claims, any>
  readonly type?: "JWT" | "at+jwt" | undefined
  readonly realm?: string | undefined
  readonly strictAudience?: boolean | undefined
  readonly tolerance?: Duration.DurationInput | undefined
  readonly cacheSize?: number | undefined
}

/**
 * `lifetime` is how long a token lasts (default 15 minutes): nothing ends it before.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignerOptions<in out Claims> extends Options<Claims> {
  readonly lifetime?: Duration.DurationInput | undefined
}

/**
 * What is said of one token: whose it is (`sub`), and in place of what the signer or the claims say its lifetime,
 * audience, id (`jti`, by default that of the claims or 128 random bits), when it begins (`nbf`), and when its subject
 * was authenticated (`auth_time`). `iss`, `aud`, `exp` and `iat` are the signer's, whatever the claims say; a `sub` of
 * the claims is encoded as it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignOptions {
  readonly subject: string
  readonly lifetime?: Duration.DurationInput | undefined
  readonly audience?: string | NonEmptyReadonlyArray<string> | undefined
  readonly id?: string | undefined
  readonly notBefore?: DateTime.Utc | undefined
  readonly authenticatedAt?: DateTime.Utc | undefined
}

// -----------------------------------------------------------------------------
// Verifying
// -----------------------------------------------------------------------------

/** A token that is not accepted. A backend that reads it elsewhere replaces the challenge. */
const refuse = (reason: Reason): NotAuthorized =>
  new NotAuthorized({ reason, challenge: "Bearer error=\"invalid_token\"", vary: "Authorization" })

const parse = (text: string): Effect.Effect<compact.Compact, NotAuthorized> =>
  text.length > compact.limit
    ? Effect.fail(refuse("TokenTooLarge"))
    : Effect.mapError(compact.parse(text), () => refuse("MalformedToken"))

/**
 * Makes a verifier. Fails with `SecurityConfigError` when an option makes no sense, and when the keys of the ring do not
 * fit the algorithms: a key of another family, or a secret that is shorter than the hash.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Effect, Redacted, Schema } from "effect"
 * import { Jwt } from "effect-security"
 *
 * export const program = Effect.gen(function*() {
 *   const verifier = yield* Jwt.verifier({
 *     algorithms: ["ES256"],
 *     issuer: "https://accounts.example.com",
 *     audience: "https://api.example.com",
 *     claims: Schema.Struct({ sub: Schema.UUID, email: Schema.optional(Schema.String) })
 *   })
 *   const { claims, token } = yield* verifier.verify(Redacted.make("eyJ..."))
 *   return { user: claims.sub, until: token.expiresAt }
 * })
 * ```
 */
export const verifier = <Claims>(
  given: Options<Claims>
): Effect.Effect<Verifier<Claims>, SecurityConfigError, JwtKeys> =>
  Effect.gen(function*() {
    const resolved = yield* options.resolve(given)
    const ring = yield* JwtKeys
    yield* ring.constrain({ algorithms: given.algorithms, signs: false })
    const signature = signatures.verifier(ring, resolved.cacheSize)
    const isHeader = header.checker(given.algorithms, given.type ?? "JWT")
    const decode = Schema.decodeUnknown(given.claims)

    const verify = (text: string) =>
      Effect.gen(function*() {
        const { claims, header } = yield* parse(text)
        const { algorithm, kid } = yield* Effect.mapError(isHeader(header), refuse)
        yield* Effect.catchIf(
          signature(text, algorithm, kid),
          (reason) => typeof reason === "string",
          (reason) => Effect.fail(refuse(reason))
        )
        const now = yield* Clock.currentTimeMillis
        const registered = yield* Effect.mapError(claimsOf.check(claims, resolved, now), refuse)
        const decoded = yield* Effect.mapError(decode(claims), () => refuse("UndecodableClaims"))
        return {
          claims: decoded,
          token: { ...registered, algorithm, keyId: Option.fromNullable(kid) }
        }
      })

    return {
      issuers: resolved.issuers,
      verify: (token) => Effect.suspend(() => verify(Redacted.value(token)))
    }
  })

/**
 * Picks the verifier by the `iss` of a token, which it reads before anything about the token is verified; the verifier
 * then accepts its own issuers only. A token of an issuer that none of them names is `WrongIssuer`. Fails with
 * `SecurityConfigError` when two verifiers name the same issuer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const byIssuer = <const Verifiers extends NonEmptyReadonlyArray<Verifier<any>>>(
  ...verifiers: Verifiers
): Effect.Effect<Verifier<ClaimsOf<Verifiers[number]>>, SecurityConfigError> =>
  Effect.suspend(() => {
    const byIssuer = new Map<unknown, Verifier<any>>()
    for (const verifier of verifiers) {
      for (const issuer of verifier.issuers) {
        if (byIssuer.has(issuer)) {
          return Effect.fail(
            new SecurityConfigError({ reason: `two verifiers name the issuer ${JSON.stringify(issuer)}` })
          )
        }
        byIssuer.set(issuer, verifier)
      }
    }
    return Effect.succeed({
      issuers: Array.from(byIssuer.keys()) as ReadonlyArray<string>,
      verify: (token) =>
        Effect.flatMap(Effect.suspend(() => parse(Redacted.value(token))), ({ claims }) =>
          byIssuer.get(claims["iss"])?.verify(token) ?? Effect.fail(refuse("WrongIssuer")))
    })
  })

// -----------------------------------------------------------------------------
// Signing
// -----------------------------------------------------------------------------

/**
 * Makes a signer. Fails with `SecurityConfigError` as `verifier` does, and when no key of the ring can sign with one of
 * the algorithms.
 *
 * @since 0.1.0
 * @category constructors
 */
export const signer = <Claims>(
  given: SignerOptions<Claims>
): Effect.Effect<Signer<Claims>, SecurityConfigError, JwtKeys> =>
  Effect.gen(function*() {
    const resolved = yield* options.resolve(given)
    const lifetime = yield* options.lifetime(given.lifetime ?? "15 minutes")
    const ring = yield* JwtKeys
    yield* ring.constrain({ algorithms: given.algorithms, signs: true })
    const signature = signatures.signer(ring, given.algorithms, given.type ?? "JWT")
    const encode = Schema.encode(given.claims)
    const decode = Schema.decodeUnknown(given.claims)

    /** The claims of the application as they stand in a token. */
    const encoded = (claims: Claims) =>
      Effect.flatMap(Effect.orDie(encode(claims)), (encoded: unknown) =>
        isRecord(encoded)
          ? Effect.succeed(encoded)
          : Effect.dieMessage("the claims of a token encode to a JSON object"))

    /** One that does not come back would be refused on its first request, and so would one whose time is none. */
    const checked = (payload: string) =>
      Effect.suspend(() => {
        const claims = JSON.parse(payload) as Readonly<Record<string, unknown>>
        return claimsOf.isRegistered(claims)
          ? Effect.orDie(Effect.as(decode(claims), payload))
          : Effect.dieMessage("the claims hold a registered claim of another type than it has (RFC 7519 section 4.1)")
      })

    return {
      sign: (claims, signOptions) =>
        Effect.gen(function*() {
          const { subject } = signOptions
          if (subject === "") {
            return yield* Effect.dieMessage("the subject of a token is not empty")
          }
          const audience = yield* Effect.orDie(options.audience(signOptions.audience ?? given.audience))
          const seconds = signOptions.lifetime === undefined
            ? lifetime
            : yield* Effect.orDie(options.lifetime(signOptions.lifetime))
          const said = yield* encoded(claims)
          if (said["sub"] !== undefined && said["sub"] !== subject) {
            return yield* Effect.dieMessage("the claims name another subject than the token is for")
          }
          const iat = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
          const exp = iat + seconds
          const jti = signOptions.id ?? options.text(said["jti"]) ?? Encoding.encodeBase64Url(yield* csprng.bytes(16))
          const payload = yield* checked(JSON.stringify({
            ...said,
            iss: resolved.issuers[0],
            sub: subject,
            aud: audience,
            exp,
            iat,
            nbf: options.seconds(signOptions.notBefore) ?? said["nbf"],
            jti,
            auth_time: options.seconds(signOptions.authenticatedAt) ?? said["auth_time"],
            [claimsOf.realmClaim]: given.realm
          }))
          const token = yield* signature(new TextEncoder().encode(payload))
          if (token.length > compact.limit) {
            return yield* new SessionTooLarge({ size: token.length, limit: compact.limit })
          }
          return {
            token: Redacted.make(token),
            id: jti,
            expiresAt: claimsOf.toDateTime(exp),
            expiresIn: seconds
          }
        })
    }
  })
