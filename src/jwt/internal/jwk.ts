import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as base64url from "../../internal/base64url.js"
import * as secretBytes from "../../internal/secretBytes.js"
import type { Algorithm, HmacAlgorithm } from "../JwtKeys.js"

/** A secret that passed every check here. */
export interface Secret {
  readonly _tag: "Secret"
  readonly kid: string | undefined
  readonly algorithms: NonEmptyReadonlyArray<Algorithm>
  readonly bytes: Uint8Array
  readonly signs: boolean
}

/** A public key that passed every check here, and its private half. Nothing else of the JWK is kept. */
export interface KeyPair {
  readonly _tag: "KeyPair"
  readonly kid: string | undefined
  readonly algorithms: NonEmptyReadonlyArray<Algorithm>
  /** For sentences: `RSA`, `P-256`, `Ed25519`. */
  readonly name: string
  readonly publicMembers: Members
  readonly privateMembers: Members | undefined
  readonly signs: boolean
}

export type Members = Readonly<Record<string, string>> & { readonly kty: string }

type Result<A> = Either.Either<A, string>

const fail = (reason: string): Result<never> => Either.left(reason)

/** A name that a JWK gives itself or that it asks for, where it can be repeated in a sentence. */
const quoted = (u: unknown): string =>
  typeof u === "string" && /^[A-Za-z0-9.+_-]{1,40}$/.test(u) ? JSON.stringify(u) : "of another kind"

// -----------------------------------------------------------------------------
// Common members
// -----------------------------------------------------------------------------

/** A `kid` that can name a key: not empty, and short enough for every header. */
export const checkKid = (kid: unknown): Result<string | undefined> =>
  kid === undefined || (typeof kid === "string" && kid.length > 0 && kid.length <= 256)
    ? Either.right(kid)
    : fail("a kid is a string of 1 to 256 characters")

/** What `key_ops` allows (RFC 7517 section 4.3). Absent, it allows everything. */
const checkOperations = (operations: unknown): Result<ReadonlySet<string>> => {
  if (operations === undefined) return Either.right(new Set(["sign", "verify"]))
  if (!Array.isArray(operations) || !operations.every((_) => typeof _ === "string")) {
    return fail("key_ops is no array of strings")
  }
  const set = new Set<string>(operations)
  return set.size === operations.length ? Either.right(set) : fail("key_ops names an operation twice")
}

/** The algorithms among `possible` that `wanted` leaves. It is one that is not among them that is wrong. */
export const restrict = (
  name: string,
  possible: NonEmptyReadonlyArray<Algorithm>,
  wanted: ReadonlyArray<unknown>
): Result<NonEmptyReadonlyArray<Algorithm>> => {
  const wrong = wanted.find((algorithm) => !possible.some((_) => _ === algorithm))
  if (wrong !== undefined) {
    return fail(`the algorithm of ${name} key is ${possible.join(", ")}, and not ${quoted(wrong)}`)
  }
  const left = possible.filter((algorithm) => wanted.includes(algorithm))
  return Arr.isNonEmptyReadonlyArray(left) ? Either.right(left) : fail(`${name} key is left without an algorithm`)
}

// -----------------------------------------------------------------------------
// Members that are bytes
// -----------------------------------------------------------------------------

type Own = (member: string) => unknown

const bytesOf = (own: Own, member: string): Result<Uint8Array> => {
  const text = own(member)
  return typeof text !== "string"
    ? fail(`the member ${member} is missing or no string`)
    : Either.fromOption(base64url.decode(text), () => `the member ${member} is not base64url without padding`)
}

/** RFC 7518 section 2, Base64urlUInt: a number without a zero octet in front. */
const integerOf = (own: Own, member: string): Result<Uint8Array> =>
  Either.filterOrLeft(
    bytesOf(own, member),
    (bytes) => bytes.length > 0 && bytes[0] !== 0,
    () => `the member ${member} is empty or begins with a zero octet`
  )

/** RFC 7518 sections 6.2.1.2 and 6.2.2.1, RFC 8037 section 2: always as many octets as the curve has. */
const octetsOf = (own: Own, member: string, length: number): Result<Uint8Array> =>
  Either.filterOrLeft(
    bytesOf(own, member),
    (bytes) => bytes.length === length,
    (bytes) => `the member ${member} has ${bytes.length} octets instead of ${length}`
  )

const toBigInt = (bytes: Uint8Array): bigint => bytes.reduce((number, byte) => number * 256n + BigInt(byte), 0n)

/** The members as they are in the JWK, each of them a string by now. */
const members = (kty: string, own: Own, names: ReadonlyArray<string>): Members => ({
  kty,
  ...Object.fromEntries(names.map((name) => [name, own(name) as string]))
})

// -----------------------------------------------------------------------------
// Kinds of keys
// -----------------------------------------------------------------------------

interface Kind {
  readonly name: string
  readonly algorithms: NonEmptyReadonlyArray<Algorithm>
  readonly publicNames: ReadonlyArray<string>
  readonly privateNames: ReadonlyArray<string>
}

const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const

const checkRsa = (own: Own, isPrivate: boolean): Result<Kind> =>
  Either.gen(function*() {
    const n = yield* integerOf(own, "n")
    const e = yield* integerOf(own, "e")
    const bits = n.length * 8 - Math.clz32(n[0]!) + 24
    if (bits < 2048) return yield* fail(`an RSA key has ${bits} bits, and at least 2048 are needed`)
    if (bits > 8192) return yield* fail(`an RSA key has ${bits} bits, and at most 8192 are taken`)
    if (n[n.length - 1]! % 2 === 0) return yield* fail("the modulus of an RSA key is even")
    // OpenSSL verifies with no longer exponent.
    if (e.length > 8) return yield* fail("the exponent of an RSA key is over 64 bits")
    const exponent = toBigInt(e)
    if (exponent % 2n === 0n) return yield* fail("the exponent of an RSA key is even")
    if (exponent < 65537n) return yield* fail(`the exponent of an RSA key is ${exponent}, and at least 65537 is needed`)
    const privateNames = ["d", "p", "q", "dp", "dq", "qi"]
    if (isPrivate) {
      if (own("oth") !== undefined) return yield* fail("an RSA key has more than two primes")
      for (const name of privateNames) yield* integerOf(own, name)
    }
    return { name: "an RSA", algorithms: rsaAlgorithms, publicNames: ["n", "e"], privateNames }
  })

const curves = new Map<unknown, { readonly octets: number; readonly algorithm: Algorithm }>([
  ["P-256", { octets: 32, algorithm: "ES256" }],
  ["P-384", { octets: 48, algorithm: "ES384" }],
  ["P-521", { octets: 66, algorithm: "ES512" }]
])

const checkEc = (own: Own, isPrivate: boolean): Result<Kind> =>
  Either.gen(function*() {
    const curve = curves.get(own("crv"))
    if (curve === undefined) return yield* fail(`an EC key is of P-256, P-384 or P-521, and not ${quoted(own("crv"))}`)
    for (const name of isPrivate ? ["x", "y", "d"] : ["x", "y"]) yield* octetsOf(own, name, curve.octets)
    return {
      name: `a ${own("crv")}`,
      algorithms: [curve.algorithm],
      publicNames: ["crv", "x", "y"],
      privateNames: ["d"]
    }
  })

const checkOkp = (own: Own, isPrivate: boolean): Result<Kind> =>
  Either.gen(function*() {
    if (own("crv") !== "Ed25519") return yield* fail(`an OKP key is of Ed25519, and not ${quoted(own("crv"))}`)
    const x = yield* octetsOf(own, "x", 32)
    if (!isEd25519Point(x)) {
      return yield* fail("the public half of an Ed25519 key is no point of the curve, or one of small order")
    }
    if (isPrivate) yield* octetsOf(own, "d", 32)
    return { name: "an Ed25519", algorithms: ["EdDSA"], publicNames: ["crv", "x"], privateNames: ["d"] }
  })

const kinds = new Map<unknown, (own: Own, isPrivate: boolean) => Result<Kind>>([
  ["RSA", checkRsa],
  ["EC", checkEc],
  ["OKP", checkOkp]
])

// -----------------------------------------------------------------------------
// Ed25519
// -----------------------------------------------------------------------------

// RFC 8032 section 5.1: -x^2 + y^2 = 1 + d x^2 y^2 modulo p.
const p = 2n ** 255n - 19n
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

const modulo = (a: bigint): bigint => ((a % p) + p) % p

const power = (base: bigint, exponent: bigint): bigint => {
  let result = 1n
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n, square = square * square % p) {
    if ((rest & 1n) === 1n) result = result * square % p
  }
  return result
}

/**
 * Whether the octets are a point (RFC 8032 section 5.1.3) under which not everybody can sign. Runtimes check neither:
 * under a point whose order divides 8 there are signatures that are good for any message.
 */
const isEd25519Point = (octets: Uint8Array): boolean => {
  const y = octets.reduceRight((number, byte) => number * 256n + BigInt(byte), 0n) % 2n ** 255n
  // Where y is 0, the order is 4.
  if (y >= p || y === 0n) return false
  // x^2 = u / v, which is a square if and only if u v is one. Where it is 0, the order is 1 or 2.
  const u = modulo(y * y - 1n)
  const v = modulo(d * y * y + 1n)
  if (power(u * v % p, (p - 1n) / 2n) !== 1n) return false
  // Doubled, a point with x^2 = -y^2 has the y-coordinate 0: its order is 8.
  return modulo(u + y * y * v) !== 0n
}

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

const hmacAlgorithms: NonEmptyReadonlyArray<readonly [HmacAlgorithm, number]> = [
  ["HS256", 32],
  ["HS384", 48],
  ["HS512", 64]
]

const hmacSecret: secretBytes.Purpose = {
  noun: "an HMAC secret",
  minimum: "HS256 takes at least 32 (RFC 7518 section 3.2)",
  advice: "others may have it, and would sign; make a key of it with JwtKeysJose.pem or JwtKeysJose.jwk"
}

/** A secret, which is good for the hashes that are not longer than it (RFC 7518 section 3.2). */
export const secret = (input: string | Uint8Array): Result<Secret> =>
  Either.map(secretBytes.parse(input, hmacSecret), (bytes) => ({
    _tag: "Secret",
    kid: undefined,
    algorithms: hmacAlgorithms.flatMap(([algorithm, least]) => bytes.length >= least ? [algorithm] : []) as [
      Algorithm
    ],
    bytes,
    signs: true
  }))

/** For sentences about a key: what it is. */
export const nameOf = (key: Secret | KeyPair): string =>
  key._tag === "KeyPair" ? key.name : `a secret of ${key.bytes.length} bytes as`

const checkOct = (own: Own): Result<Secret> => {
  const k = own("k")
  return typeof k === "string" ? secret(k) : fail("the member k is missing or no string")
}

// -----------------------------------------------------------------------------
// Checks
// -----------------------------------------------------------------------------

const allPrivateNames = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

const hasPrivateMembers = (own: Own): boolean => allPrivateNames.some((name) => own(name) !== undefined)

const ownMembers = (jwk: unknown): Option.Option<Own> =>
  typeof jwk !== "object" || jwk === null || Array.isArray(jwk)
    ? Option.none()
    // A copy, so that a member is the same for every check.
    : Option.map(
      Option.liftThrowable((): Record<string, unknown> => ({ ...jwk }))(),
      (copy) => (member) => Object.hasOwn(copy, member) ? copy[member] : undefined
    )

/**
 * A JWK (RFC 7517, RFC 7518 section 6, RFC 8037 section 2) that is complete, strict and strong, or what is wrong with
 * it. Whether a point is on its curve and whether private members belong to the public ones shows on import.
 */
export const check = (jwk: unknown): Result<Secret | KeyPair> =>
  Either.gen(function*() {
    const own = yield* Either.fromOption(ownMembers(jwk), () => "a JWK is no object")
    const kid = yield* checkKid(own("kid"))
    const use = own("use")
    if (use !== undefined && use !== "sig") return yield* fail(`the use of a JWK is ${quoted(use)}, and not "sig"`)
    const operations = yield* checkOperations(own("key_ops"))
    const wanted = own("alg")
    if (own("kty") === "oct") {
      if (!operations.has("verify")) return yield* fail("key_ops does not allow to verify")
      const secret = yield* checkOct(own)
      const algorithms = wanted === undefined
        ? secret.algorithms
        : yield* restrict(nameOf(secret), secret.algorithms, [wanted])
      return { ...secret, kid, algorithms, signs: operations.has("sign") }
    }
    const kind = kinds.get(own("kty"))
    if (kind === undefined) return yield* fail(`the kty of a JWK is RSA, EC, OKP or oct, and not ${quoted(own("kty"))}`)
    const isPrivate = hasPrivateMembers(own)
    // A private key is there to sign, and its public half verifies whatever `key_ops` says of the private one.
    if (!operations.has("verify") && !(isPrivate && operations.has("sign"))) {
      return yield* fail("key_ops does not allow to verify")
    }
    const { algorithms, name, privateNames, publicNames } = yield* kind(own, isPrivate)
    const kty = own("kty") as string
    return {
      _tag: "KeyPair",
      kid,
      name,
      algorithms: wanted === undefined ? algorithms : yield* restrict(name, algorithms, [wanted]),
      publicMembers: members(kty, own, publicNames),
      privateMembers: isPrivate ? members(kty, own, [...publicNames, ...privateNames]) : undefined,
      signs: isPrivate && operations.has("sign")
    }
  })

/** The same of a JWK that somebody publishes: it is no secret, and nothing of it is private. */
export const checkPublic = (jwk: unknown): Result<KeyPair> =>
  Option.exists(ownMembers(jwk), (own) => own("kty") === "oct" || hasPrivateMembers(own))
    ? fail("a secret or the private half of a key is published")
    : Either.filterOrLeft(check(jwk), (key) => key._tag === "KeyPair", () => "a secret is published")
