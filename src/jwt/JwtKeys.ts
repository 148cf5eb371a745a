/**
 * The keys that sign and verify tokens: a ring, newest first. The newest key that can signs, and every key that is
 * still in the ring verifies. How a key works is its own business: `jwt/JwtKeysJose` makes keys of secrets, PEM and JWK,
 * and a key that lives in a key management service is an object of the same shape.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SecurityConfigError, SecurityUnavailable } from "../SecurityError.js"
import * as internal from "./internal/keyRing.js"

// -----------------------------------------------------------------------------
// Algorithms
// -----------------------------------------------------------------------------

/**
 * HMAC with SHA-2: one secret signs and verifies (RFC 7518 section 3.2).
 *
 * @since 0.1.0
 * @category algorithms
 */
export type HmacAlgorithm = "HS256" | "HS384" | "HS512"

/**
 * RSA, as PKCS #1 v1.5 and as PSS (RFC 7518 sections 3.3 and 3.5).
 *
 * @since 0.1.0
 * @category algorithms
 */
export type RsaAlgorithm = "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512"

/**
 * ECDSA: P-256, P-384 and P-521 (RFC 7518 section 3.4).
 *
 * @since 0.1.0
 * @category algorithms
 */
export type EcAlgorithm = "ES256" | "ES384" | "ES512"

/**
 * Ed25519 (RFC 8037 section 3.1).
 *
 * @since 0.1.0
 * @category algorithms
 */
export type EdAlgorithm = "EdDSA"

/**
 * What a token can be signed with.
 *
 * @since 0.1.0
 * @category algorithms
 */
export type Algorithm = HmacAlgorithm | RsaAlgorithm | EcAlgorithm | EdAlgorithm

/**
 * What a verifier accepts: algorithms of one family, so that no public key is ever taken for a secret (RFC 8725
 * section 3.1).
 *
 * @since 0.1.0
 * @category algorithms
 */
export type Algorithms =
  | NonEmptyReadonlyArray<HmacAlgorithm>
  | NonEmptyReadonlyArray<RsaAlgorithm>
  | NonEmptyReadonlyArray<EcAlgorithm>
  | NonEmptyReadonlyArray<EdAlgorithm>

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * A public key as JSON (RFC 7517 section 4), without private members.
 *
 * @since 0.1.0
 * @category models
 */
export interface PublicJwk {
  readonly kty: string
  readonly d?: never
  readonly k?: never
  readonly [member: string]: unknown
}

/**
 * What a key set is published as (RFC 7517 section 5).
 *
 * @since 0.1.0
 * @category models
 */
export interface Jwks {
  readonly keys: ReadonlyArray<PublicJwk>
}

/**
 * The protected header of a token to sign (RFC 7515 section 4.1).
 *
 * @since 0.1.0
 * @category models
 */
export interface Header {
  readonly alg: Algorithm
  readonly typ: string
  readonly kid?: string | undefined
}

/**
 * One key.
 *
 * - `kid`: names the key in the header of tokens; a token with a `kid` is verified by the keys of that name alone
 * - `algorithms`: what the key is good for, of one family
 * - `until`: from this instant on the key neither signs nor verifies
 * - `publicJwk`: what others verify with, where there is such a thing
 * - `sign`: gives the token in compact form (RFC 7515 section 3.1); undefined where the key only verifies
 * - `verify`: whether the signature of a token in compact form is good; its shape and header were checked before
 *
 * A failure of `sign` or `verify` is an outage: the request fails with `SecurityUnavailable`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Key {
  readonly kid: string | undefined
  readonly algorithms: NonEmptyReadonlyArray<Algorithm>
  readonly until: DateTime.Utc | undefined
  readonly publicJwk: PublicJwk | undefined
  readonly sign: ((header: Header, payload: Uint8Array) => Effect.Effect<string, unknown>) | undefined
  readonly verify: (token: string, algorithm: Algorithm) => Effect.Effect<boolean, unknown>
}

/**
 * The keys of a ring at one moment, newest first. `generation` is another number whenever the keys are others, so that
 * what was remembered of tokens under earlier keys is forgotten.
 *
 * @since 0.1.0
 * @category models
 */
export interface Keys {
  readonly generation: number
  readonly keys: ReadonlyArray<Key>
}

/**
 * A ring of keys.
 *
 * - `keys`: the keys in force; fails when they have to be fetched and cannot be
 * - `refresh`: the same, asked when a token names a key that is not among them: a ring whose keys are published
 *   elsewhere looks again, if it has not just done so
 * - `constrain`: somebody needs this of the keys. Fails with a sentence where they are not so; where they are known
 *   without asking anybody, they cannot be replaced by such as are not
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyRing {
  readonly keys: Effect.Effect<Keys, SecurityUnavailable>
  readonly refresh: Effect.Effect<Keys, SecurityUnavailable>
  readonly constrain: (demand: Demand) => Effect.Effect<void, SecurityConfigError>
}

/**
 * What a verifier or signer needs of the keys of a ring: every one is good for one of the algorithms (a secret for all of
 * them), every algorithm has a key, and where something is to be signed, a key that can.
 *
 * @since 0.1.0
 * @category models
 */
export interface Demand {
  readonly algorithms: ReadonlyArray<Algorithm>
  readonly signs: boolean
}

/**
 * The ring of keys in force.
 *
 * @since 0.1.0
 * @category tags
 */
export class JwtKeys extends Context.Tag("effect-security/jwt/JwtKeys")<JwtKeys, KeyRing>() {}

/**
 * Replaces the keys of a ring while it is in use. Of a ring whose keys are published elsewhere there is none.
 *
 * @since 0.1.0
 * @category tags
 */
export class Rotation extends Context.Tag("effect-security/jwt/JwtKeys/Rotation")<
  Rotation,
  { readonly replace: (keys: ReadonlyArray<Key>) => Effect.Effect<void, SecurityConfigError> }
>() {}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Where a ring gets a key from, or several.
 *
 * @since 0.1.0
 * @category models
 */
export type Source<E = never, R = never> = Effect.Effect<Key | ReadonlyArray<Key>, E, R>

/**
 * A ring of these keys, newest first. Fails with `SecurityConfigError` when there is none, when two have the same `kid`,
 * or when they are not of one family; and as the sources fail.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Config, Effect } from "effect"
 * import { JwtKeys } from "effect-security"
 * import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
 *
 * // The second verifies what was signed before the rotation, until it is taken out.
 * export const KeysLive = JwtKeys.layer(
 *   Effect.flatMap(Config.redacted("JWT_SECRET"), (secret) => JwtKeysJose.hmac(secret, { kid: "2026-11" })),
 *   Effect.flatMap(Config.redacted("JWT_SECRET_BEFORE"), (secret) => JwtKeysJose.hmac(secret, { kid: "2026-08" }))
 * )
 * ```
 */
export const layer = <const Sources extends NonEmptyReadonlyArray<Source<any, any>>>(
  ...sources: Sources
): Layer.Layer<
  JwtKeys | Rotation,
  SecurityConfigError | Effect.Effect.Error<Sources[number]>,
  Effect.Effect.Context<Sources[number]>
> =>
  Layer.effectContext(
    Effect.map(
      Effect.flatMap(
        Effect.all(sources as ReadonlyArray<Source<any, any>>),
        (keys) => internal.make<Key>(keys.flat())
      ),
      ({ ring, rotation }) => Context.make(JwtKeys, ring).pipe(Context.add(Rotation, rotation))
    )
  )

// -----------------------------------------------------------------------------
// Rotating
// -----------------------------------------------------------------------------

/**
 * Puts these keys, newest first, in the place of those of the ring. Tokens of a key that is no longer among them end at
 * once. Fails with `SecurityConfigError`, changing nothing, as `layer` does, and when the keys do not fit the
 * algorithms of a verifier that uses the ring.
 *
 * @since 0.1.0
 * @category operations
 */
export const replace = (...keys: NonEmptyReadonlyArray<Key>): Effect.Effect<void, SecurityConfigError, Rotation> =>
  Effect.flatMap(Rotation, (rotation) => rotation.replace(keys))

// -----------------------------------------------------------------------------
// Publishing
// -----------------------------------------------------------------------------

/** What of a JWK is secret (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1): a key may come from anywhere. */
const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

const withoutPrivate = (jwk: PublicJwk): PublicJwk =>
  Object.fromEntries(Object.entries(jwk).filter(([member]) => !privateMembers.includes(member))) as PublicJwk

/**
 * The public keys of the ring that are live. Secrets have no public half and are never among them.
 *
 * @since 0.1.0
 * @category publishing
 */
export const jwks: Effect.Effect<Jwks, SecurityUnavailable, JwtKeys> = Effect.flatMap(
  JwtKeys,
  (ring) =>
    Effect.zipWith(ring.keys, Clock.currentTimeMillis, ({ keys }, now) => ({
      keys: keys.flatMap((key) =>
        key.publicJwk === undefined || !internal.isLive(key, now) ? [] : [withoutPrivate(key.publicJwk)]
      )
    }))
)

/**
 * Answers with `jwks` as `application/jwk-set+json`, which others may cache for five minutes: a key that is to sign has
 * to be in the ring for longer than that before it is the newest.
 *
 * @since 0.1.0
 * @category publishing
 * @example
 * ```ts
 * import { HttpRouter } from "@effect/platform"
 * import { JwtKeys } from "effect-security"
 *
 * export const router = HttpRouter.empty.pipe(
 *   HttpRouter.get("/.well-known/jwks.json", JwtKeys.handler)
 * )
 * ```
 */
export const handler: HttpApp.Default<SecurityUnavailable, JwtKeys> = Effect.map(
  jwks,
  (jwks) =>
    HttpServerResponse.text(JSON.stringify(jwks), {
      contentType: "application/jwk-set+json",
      headers: { "cache-control": "public, max-age=300" }
    })
)
