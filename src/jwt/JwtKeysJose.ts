/**
 * Keys of the ring by `jose`, an optional peer dependency: secrets, PEM, JWK, and the key sets that others publish.
 *
 * A key that is weak, broken or of another kind than it is taken for fails with `SecurityConfigError`, whose `reason`
 * says why and holds nothing of the key. What a key signs and verifies with is prepared once, and cannot be exported.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { hasProperty } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Jose from "jose"
import * as base64url from "../internal/base64url.js"
import * as csprng from "../internal/csprng.js"
import { SecurityConfigError, SecurityUnavailable } from "../SecurityError.js"
import * as internalJwk from "./internal/jwk.js"
import * as internalPem from "./internal/pem.js"
import * as remoteKeys from "./internal/remoteKeys.js"
import { JwtKeys } from "./JwtKeys.js"
import type { Algorithm, Key, KeyRing, PublicJwk } from "./JwtKeys.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * A JSON Web Key (RFC 7517 section 4), public, private or secret.
 *
 * @since 0.1.0
 * @category models
 */
export type Jwk =
  | { readonly kty?: string | undefined; readonly [member: string]: unknown }
  | { readonly kty?: string | undefined }

/**
 * - `kid`: names the key in tokens, 1 to 256 characters. By default the `kid` of a JWK, else the RFC 7638 thumbprint of
 *   a public key; a secret has none
 * - `until`: from this instant on the key neither signs nor verifies (default: none)
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyOptions {
  readonly kid?: string | undefined
  readonly until?: DateTime.Utc | undefined
}

/**
 * - `algorithms`: those of the key's algorithms that it is to be used with (default: all of them, which only for RSA
 *   are several)
 *
 * @since 0.1.0
 * @category models
 */
export interface PemOptions extends KeyOptions {
  readonly algorithms?: NonEmptyReadonlyArray<Algorithm> | undefined
}

/**
 * - `url`: where the key set is published: https, or http on this machine, without user name and password
 * - `maxAge`: for how long keys are served before they are fetched again (default 10 minutes)
 * - `cooldown`: for how long after a fetch an unknown `kid` leads to no other one, and the longest wait between fetches
 *   that fail (default 30 seconds)
 * - `timeout`: how long a fetch may take, with redirects and body (default 5 seconds)
 * - `staleIfError`: for how long after `maxAge` keys are served when they cannot be fetched (default 1 hour)
 *
 * @since 0.1.0
 * @category models
 */
export interface RemoteOptions {
  readonly url: string | URL
  readonly maxAge?: Duration.DurationInput | undefined
  readonly cooldown?: Duration.DurationInput | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly staleIfError?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// Keys from what passed every check
// -----------------------------------------------------------------------------

const refuse = (reason: string) => new SecurityConfigError({ reason })

const checked = <A>(result: Either.Either<A, string>): Effect.Effect<A, SecurityConfigError> =>
  Either.mapLeft(result, refuse)

const attempt = <A>(run: () => Promise<A>, reason: string): Effect.Effect<A, SecurityConfigError> =>
  Effect.tryPromise({ try: run, catch: () => refuse(reason) })

/** The prepared keys of one algorithm. The key of WebCrypto for RSA and HMAC is bound to a hash. */
interface Prepared {
  readonly verify: CryptoKey
  readonly sign: CryptoKey | undefined
}

const compactSign = (header: Jose.CompactJWSHeaderParameters, payload: Uint8Array, key: CryptoKey) =>
  new Jose.CompactSign(payload).setProtectedHeader(header).sign(key)

/**
 * Whether a signature has the length that the key gives it (RFC 8017 section 8.1.2). OpenSSL takes one of RSASSA-PSS
 * without the zero octet that it begins with.
 */
const hasLength = (signature: string, { algorithm }: CryptoKey): boolean =>
  !hasProperty(algorithm, "modulusLength") ||
  Math.floor(signature.length * 3 / 4) === Math.ceil(Number(algorithm.modulusLength) / 8)

/**
 * Whether the token is signed by the key. jose takes base64url with spare bits and `b64: true`, and throws errors of any
 * kind for what is not signed well: all that is `false`.
 */
const isSigned = (token: string, algorithm: Algorithm, key: CryptoKey): Effect.Effect<boolean> =>
  Effect.tryPromise(() => Jose.compactVerify(token, key, { algorithms: [algorithm] })).pipe(
    Effect.map(({ protectedHeader }) =>
      !Object.hasOwn(protectedHeader, "crit") && !Object.hasOwn(protectedHeader, "b64") &&
      token.split(".").every(base64url.isCanonical) && hasLength(token.slice(token.lastIndexOf(".") + 1), key)
    ),
    Effect.orElseSucceed(() => false)
  )

const make = (
  algorithms: NonEmptyReadonlyArray<Algorithm>,
  keys: ReadonlyMap<Algorithm, Prepared>,
  signs: boolean,
  rest: Pick<Key, "kid" | "until" | "publicJwk">
): Key => ({
  ...rest,
  algorithms,
  sign: !signs ? undefined : (header, payload) => {
    const key = keys.get(header.alg)?.sign
    return key === undefined
      ? Effect.fail(new SecurityUnavailable({ reason: `the key does not sign with ${header.alg}` }))
      : Effect.tryPromise({
        try: () => compactSign(header as Jose.CompactJWSHeaderParameters, payload, key),
        catch: (cause) => new SecurityUnavailable({ reason: "a token could not be signed", cause })
      })
  },
  verify: (token, algorithm) => {
    const key = keys.get(algorithm)?.verify
    return key === undefined ? Effect.succeed(false) : isSigned(token, algorithm, key)
  }
})

const prepare = <E>(
  algorithms: NonEmptyReadonlyArray<Algorithm>,
  of: (algorithm: Algorithm) => Effect.Effect<Prepared, E>
): Effect.Effect<ReadonlyMap<Algorithm, Prepared>, E> =>
  Effect.map(
    Effect.forEach(algorithms, (algorithm) => Effect.map(of(algorithm), (prepared) => [algorithm, prepared] as const)),
    (entries) => new Map(entries)
  )

const fromSecret = (secret: internalJwk.Secret, options: KeyOptions): Effect.Effect<Key, SecurityConfigError> =>
  Effect.gen(function*() {
    const kid = yield* checked(internalJwk.checkKid(options.kid ?? secret.kid))
    const keys = yield* prepare(secret.algorithms, (algorithm) =>
      Effect.map(
        attempt(
          () =>
            globalThis.crypto.subtle.importKey(
              "raw",
              secret.bytes as Uint8Array<ArrayBuffer>,
              { name: "HMAC", hash: `SHA-${algorithm.slice(2)}` },
              false,
              ["sign", "verify"]
            ),
          "this runtime does not take the HMAC secret"
        ),
        (key) => ({ verify: key, sign: key })
      ))
    return make(secret.algorithms, keys, secret.signs, { kid, until: options.until, publicJwk: undefined })
  })

const importJwk = (jwk: Jose.JWK, algorithm: Algorithm, reason: string) =>
  attempt(() => Jose.importJWK(jwk, algorithm, { extractable: false }) as Promise<CryptoKey>, reason)

const encoder = new TextEncoder()

/** Signs something and verifies it, which shows that a private half and a public half are of one key. */
const probe = (algorithm: Algorithm, { sign, verify }: Prepared): Effect.Effect<boolean> =>
  sign === undefined ?
    Effect.succeed(true) :
    Effect.tryPromise(() => compactSign({ alg: algorithm }, encoder.encode("probe"), sign)).pipe(
      Effect.flatMap((token) => isSigned(token, algorithm, verify)),
      Effect.orElseSucceed(() => false)
    )

const fromKeyPair = (pair: internalJwk.KeyPair, options: KeyOptions): Effect.Effect<Key, SecurityConfigError> =>
  Effect.gen(function*() {
    const { algorithms, name, privateMembers, publicMembers } = pair
    const given = yield* checked(internalJwk.checkKid(options.kid ?? pair.kid))
    const mismatch = `the private half of ${name} key does not belong to its public half`
    const keys = yield* prepare(algorithms, (algorithm) =>
      Effect.all({
        // The members have passed our checks: what is left to a runtime is whether the point is one of the curve.
        verify: importJwk(
          publicMembers,
          algorithm,
          `${name} key is not on its curve, or this runtime does not take it`
        ),
        sign: privateMembers === undefined ? Effect.succeed(undefined) : importJwk(privateMembers, algorithm, mismatch)
      }))
    if (!(yield* probe(algorithms[0], keys.get(algorithms[0])!))) return yield* refuse(mismatch)
    const kid = given ?? (yield* attempt(() => Jose.calculateJwkThumbprint(publicMembers), "a key has no thumbprint"))
    const publicJwk: PublicJwk = {
      ...publicMembers,
      kid,
      use: "sig",
      ...(algorithms.length === 1 ? { alg: algorithms[0] } : {})
    }
    return make(algorithms, keys, pair.signs, { kid, until: options.until, publicJwk })
  })

const fromChecked = (key: internalJwk.Secret | internalJwk.KeyPair, options: KeyOptions) =>
  key._tag === "Secret" ? fromSecret(key, options) : fromKeyPair(key, options)

const unwrap = <A>(input: A | Redacted.Redacted<A>): A => Redacted.isRedacted(input) ? Redacted.value(input) : input

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * A secret that signs and verifies: `openssl rand -base64 64 | tr '+/' '-_' | tr -d '=\n'` makes one. Text is base64url
 * without padding, bytes are taken as they are. 32 bytes are good for HS256, 48 for HS384 too, and 64 for HS512 too (RFC
 * 7518 section 3.2).
 *
 * Fails with `SecurityConfigError` when the secret is shorter than 32 bytes or repeats one byte, when text is anything
 * but base64url without padding, and when the secret is a key of another kind, as PEM, JWK, DER or of SSH, in whatever
 * wrapping: whoever has the public key could sign with it.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Config, Effect } from "effect"
 * import { JwtKeys } from "effect-security"
 * import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
 *
 * const KeysLive = JwtKeys.layer(Effect.flatMap(Config.redacted("JWT_SECRET"), (secret) => JwtKeysJose.hmac(secret)))
 * ```
 */
export const hmac = (
  secret: Redacted.Redacted<string | Uint8Array>,
  options: KeyOptions = {}
): Effect.Effect<Key, SecurityConfigError> =>
  Effect.flatMap(
    Effect.suspend(() => checked(internalJwk.secret(Redacted.value(secret)))),
    (secret) => fromSecret(secret, options)
  )

/**
 * A key as PEM (RFC 7468): `PUBLIC KEY` (SPKI) verifies, `PRIVATE KEY` (PKCS #8) signs and verifies, and of a
 * `CERTIFICATE` (X.509) the public key verifies; its dates and who signed it are not looked at. RSA of 2048 to 8192 bits
 * with an odd exponent from 65537 on, P-256, P-384, P-521 and Ed25519.
 *
 * Fails with `SecurityConfigError` when it is no such key, is encrypted, does not go with `algorithms`, or when its
 * halves do not belong together.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pem = (
  pem: Redacted.Redacted<string>,
  options: PemOptions = {}
): Effect.Effect<Key, SecurityConfigError> =>
  Effect.gen(function*() {
    const parsed = yield* checked(internalPem.parse(Redacted.value(pem)))
    const jwk = yield* exportPem(parsed)
    const pair = yield* checked(internalJwk.check(jwk))
    const algorithms = options.algorithms === undefined
      ? pair.algorithms
      : yield* checked(internalJwk.restrict(internalJwk.nameOf(pair), pair.algorithms, options.algorithms))
    return yield* fromChecked({ ...pair, algorithms }, options)
  })

const importers = {
  "PUBLIC KEY": Jose.importSPKI,
  "PRIVATE KEY": Jose.importPKCS8,
  CERTIFICATE: Jose.importX509
}

/** The key as a JWK. Of the five kinds of keys, it is the one whose import succeeds. */
const exportPem = ({ label, text }: internalPem.Pem): Effect.Effect<Jose.JWK, SecurityConfigError> =>
  Effect.firstSuccessOf(
    ["RS256", "ES256", "ES384", "ES512", "EdDSA"].map((algorithm) =>
      attempt(
        () => importers[label](text, algorithm, { extractable: true }).then((key) => Jose.exportJWK(key)),
        "the PEM holds no RSA, P-256, P-384, P-521 or Ed25519 key"
      )
    )
  )

/**
 * A key as JWK: `oct`, `RSA`, `EC`, and `OKP` of Ed25519. One with private members signs and verifies, a public one
 * verifies. Its `alg` and `key_ops` restrict what it is used for.
 *
 * Fails with `SecurityConfigError` as `hmac` and `pem` do, when a member is missing or is not base64url as RFC 7518 has
 * it, when its `use` is not `sig`, and when `key_ops` does not allow to verify (of a private key: nor to sign).
 *
 * @since 0.1.0
 * @category constructors
 */
export const jwk = (
  jwk: Jwk | Redacted.Redacted<Jwk>,
  options: KeyOptions = {}
): Effect.Effect<Key, SecurityConfigError> =>
  Effect.flatMap(
    Effect.suspend(() => checked(internalJwk.check(unwrap(jwk)))),
    (key) => fromChecked(key, options)
  )

/**
 * The keys of a JWK set (RFC 7517 section 5) that is at hand. Fails with `SecurityConfigError` when any of them is not
 * as `jwk` needs it, or when it is no set.
 *
 * @since 0.1.0
 * @category constructors
 */
export const jwks = (
  set: { readonly keys: ReadonlyArray<Jwk> } | Redacted.Redacted<{ readonly keys: ReadonlyArray<Jwk> }>,
  options: Pick<KeyOptions, "until"> = {}
): Effect.Effect<ReadonlyArray<Key>, SecurityConfigError> =>
  Effect.suspend(() => {
    const keys: unknown = unwrap(set)?.keys
    return Array.isArray(keys)
      ? Effect.forEach(keys as ReadonlyArray<Jwk>, (key, index) =>
        Effect.mapError(jwk(key, { until: options.until }), ({ reason }) =>
          refuse(`key ${index + 1} of a set: ${reason}`)))
      : refuse("a key set is no object with an array keys")
  })

/**
 * A fresh key for this algorithm, for development and tests: what it signed is good for nothing after a restart. RSA
 * keys have 2048 bits, and secrets as many as the hash. Fails with `SecurityConfigError` when `kid` is none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const generate = (
  algorithm: Algorithm,
  options: KeyOptions = {}
): Effect.Effect<Key, SecurityConfigError> =>
  algorithm.startsWith("HS")
    ? Effect.flatMap(csprng.bytes(Number(algorithm.slice(2)) / 8), (bytes) =>
      jwk({ kty: "oct", k: base64url.encode(bytes), alg: algorithm }, options))
    : Effect.flatMap(
      attempt(
        () =>
          Jose.generateKeyPair(algorithm, { extractable: true }).then(({ privateKey }) => Jose.exportJWK(privateKey)),
        `this runtime does not generate a key for ${algorithm}`
      ),
      (generated) => jwk({ ...generated, alg: algorithm }, options)
    )

// -----------------------------------------------------------------------------
// Remote keys
// -----------------------------------------------------------------------------

/** Which key of the set it is about, where it has a name. */
const named = (jwk: unknown, reason: string): string =>
  Either.match(
    Either.flatMap(
      Either.try(() => (jwk as { readonly kid?: unknown }).kid),
      (kid): Either.Either<string | undefined, unknown> => internalJwk.checkKid(kid)
    ),
    {
      onLeft: () => reason,
      onRight: (kid) => kid === undefined ? reason : `${JSON.stringify(kid)}: ${reason}`
    }
  )

const fromPublished = (jwk: unknown): Effect.Effect<Key, SecurityConfigError> =>
  Effect.mapError(
    Effect.flatMap(checked(internalJwk.checkPublic(jwk)), (pair) => fromKeyPair(pair, {})),
    ({ reason }) => refuse(named(jwk, reason))
  )

/**
 * A ring of the public keys that somebody else publishes as a JWK set. Nothing is fetched before keys are needed, and
 * then once for all who need them; the fetch sends nothing but its URL, follows redirects within the same origin only,
 * and reads 128 KiB and 100 keys at most. Secrets and private keys that are published are never used, nor are keys that
 * `jwk` would not take: they are left out, with a warning.
 *
 * When a fetch fails, it is tried again after 1 second, then 2, 4, up to `cooldown`. Meanwhile the last keys are served
 * for `staleIfError`, with a warning; after that, and where a token names a key that is not among them, the failure is
 * `SecurityUnavailable`. What an issuer no longer publishes is good for `maxAge` and `timeout` more, and in an outage for
 * `maxAge` and `staleIfError`.
 *
 * Fails with `SecurityConfigError` when an option makes no sense. The fetch is interrupted when the scope ends.
 *
 * @since 0.1.0
 * @category constructors
 */
export const remote = (
  options: RemoteOptions
): Effect.Effect<KeyRing, SecurityConfigError, HttpClient.HttpClient | Scope.Scope> =>
  remoteKeys.make(options, fromPublished)

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * The keys in force are those that somebody else publishes, as `remote` has them.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { Layer } from "effect"
 * import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
 *
 * const KeysLive = JwtKeysJose.layerRemote({ url: "https://login.example.com/.well-known/jwks.json" }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * ```
 */
export const layerRemote = (
  options: RemoteOptions
): Layer.Layer<JwtKeys, SecurityConfigError, HttpClient.HttpClient> => Layer.scoped(JwtKeys, remote(options))
