import type { Layer } from "effect"
import { Clock, DateTime, Effect, FastCheck, Option, Redacted, Schema, TestClock } from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtKeys from "effect-security/jwt/JwtKeys"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import type { SecurityConfigError } from "effect-security/SecurityError"
import * as Crypto from "node:crypto"

// -----------------------------------------------------------------------------
// Algorithms and keys
// -----------------------------------------------------------------------------

export const families = {
  HS: ["HS256", "HS384", "HS512"],
  RS: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ES: ["ES256", "ES384", "ES512"],
  EdDSA: ["EdDSA"]
} as const satisfies Record<string, JwtKeys.Algorithms>

export const algorithms: ReadonlyArray<JwtKeys.Algorithm> = Object.values(families).flat()

/** One algorithm is a list of one family, which its type does not show where it is any of them. */
export const only = (algorithm: JwtKeys.Algorithm) =>
  [algorithm] as ReadonlyArray<JwtKeys.Algorithm> as JwtKeys.Algorithms

/** What signs, and what others verify with: the same where it is a secret. */
export interface Pair {
  readonly algorithm: JwtKeys.Algorithm
  readonly signing: Crypto.KeyObject
  readonly verifying: Crypto.KeyObject
}

const rsa = Crypto.generateKeyPairSync("rsa", { modulusLength: 2048 })

const ec = (namedCurve: string) => Crypto.generateKeyPairSync("ec", { namedCurve })

/** Fresh keys for an algorithm. RSA keys take long to make: there is one. */
export const pairOf = (algorithm: JwtKeys.Algorithm): Pair => {
  if (algorithm.startsWith("HS")) {
    const secret = Crypto.createSecretKey(Crypto.randomBytes(Number(algorithm.slice(2)) / 8))
    return { algorithm, signing: secret, verifying: secret }
  }
  const { privateKey, publicKey } = algorithm === "EdDSA"
    ? Crypto.generateKeyPairSync("ed25519")
    : algorithm === "ES256"
    ? ec("P-256")
    : algorithm === "ES384"
    ? ec("P-384")
    : algorithm === "ES512"
    ? ec("P-521")
    : rsa
  return { algorithm, signing: privateKey, verifying: publicKey }
}

interface KeyOptions {
  readonly kid?: string | undefined
  readonly until?: DateTime.Utc | undefined
}

export const jwkOf = (key: Crypto.KeyObject) => key.export({ format: "jwk" }) as JwtKeys.PublicJwk

const keys = new WeakMap<Crypto.KeyObject, Map<string, JwtKeys.Key>>()

/** The key of a pair as the library makes it, good for its algorithm alone. Made once: tests make many rings. */
export const keyOf = (
  { algorithm, signing }: Pair,
  options: KeyOptions = {}
): Effect.Effect<JwtKeys.Key, SecurityConfigError> =>
  Effect.suspend(() => {
    const made = keys.get(signing) ?? new Map<string, JwtKeys.Key>()
    keys.set(signing, made)
    const name = JSON.stringify([algorithm, options])
    const key = made.get(name)
    return key !== undefined
      ? Effect.succeed(key)
      : Effect.tap(
        JwtKeysJose.jwk(Redacted.make({ ...jwkOf(signing), alg: algorithm }), options),
        (key) => made.set(name, key)
      )
  })

// -----------------------------------------------------------------------------
// Tokens by hand
// -----------------------------------------------------------------------------

const bitsOf = (algorithm: string) => algorithm.slice(2)

/** The bytes of a signature (RFC 7518 section 3, RFC 8037 section 3.1). */
export const signatureOf = (algorithm: string, key: Crypto.KeyObject, input: string): Buffer => {
  const data = Buffer.from(input)
  const hash = `sha${bitsOf(algorithm)}`
  switch (algorithm.slice(0, 2)) {
    case "HS":
      return Crypto.createHmac(hash, key).update(data).digest()
    case "RS":
      return Crypto.sign(hash, data, key)
    case "PS":
      return Crypto.sign(hash, data, {
        key,
        padding: Crypto.constants.RSA_PKCS1_PSS_PADDING,
        saltLength: Number(bitsOf(algorithm)) / 8
      })
    case "ES":
      return Crypto.sign(hash, data, { key, dsaEncoding: "ieee-p1363" })
    default:
      return Crypto.sign(null, data, key)
  }
}

/** Whether a signature is good, by node and not by what the library stands on. */
const isSignature = (algorithm: string, key: Crypto.KeyObject, input: string, signature: Buffer): boolean => {
  const data = Buffer.from(input)
  const hash = `sha${bitsOf(algorithm)}`
  switch (algorithm.slice(0, 2)) {
    case "HS":
      return signatureOf(algorithm, key, input).equals(signature)
    case "RS":
      return Crypto.verify(hash, data, key, signature)
    case "PS":
      return Crypto.verify(hash, data, {
        key,
        padding: Crypto.constants.RSA_PKCS1_PSS_PADDING,
        saltLength: Number(bitsOf(algorithm)) / 8
      }, signature)
    case "ES":
      return Crypto.verify(hash, data, { key, dsaEncoding: "ieee-p1363" }, signature)
    default:
      return Crypto.verify(null, data, key, signature)
  }
}

export const base64Url = (data: string | Uint8Array): string => Buffer.from(data as string).toString("base64url")

/** JSON of a value, and text or bytes as they are. */
const bytesOf = (part: unknown): string | Uint8Array =>
  typeof part === "string" || part instanceof Uint8Array ? part : JSON.stringify(part)

/** A token of any header and payload, text and bytes as they are, truly signed with the key of a pair. */
export const tokenOf = (pair: Pair, payload: unknown, header: unknown = { alg: pair.algorithm }): string => {
  const input = `${base64Url(bytesOf(header))}.${base64Url(bytesOf(payload))}`
  return `${input}.${base64Url(signatureOf(pair.algorithm, pair.signing, input))}`
}

/** The header, claims and signature of a token. */
export const partsOf = (token: string) => {
  const [header = "", payload = "", signature = ""] = token.split(".")
  return {
    header: JSON.parse(Buffer.from(header, "base64url").toString()) as Record<string, unknown>,
    claims: JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>,
    signature: Buffer.from(signature, "base64url"),
    input: `${header}.${payload}`
  }
}

/** Whether a token is signed with the key of a pair. */
export const isSignedBy = (pair: Pair, token: string): boolean => {
  const { input, signature } = partsOf(token)
  return isSignature(pair.algorithm, pair.verifying, input, signature)
}

/** A key as an application writes it, for a key management service say. It notes what it is asked. */
export const spyKey = (
  pair: Pair,
  options: KeyOptions & { readonly calls?: Array<string>; readonly failure?: unknown } = {}
): JwtKeys.Key => ({
  kid: options.kid,
  algorithms: [pair.algorithm],
  until: options.until,
  publicJwk: pair.signing.type === "secret" ? undefined : jwkOf(pair.verifying),
  sign: (header, payload) =>
    Effect.suspend(() => {
      options.calls?.push("sign")
      return "failure" in options ? Effect.fail(options.failure) : Effect.succeed(tokenOf(pair, payload, header))
    }),
  verify: (token) =>
    Effect.suspend(() => {
      options.calls?.push("verify")
      return "failure" in options ? Effect.fail(options.failure) : Effect.succeed(isSignedBy(pair, token))
    })
})

// -----------------------------------------------------------------------------
// A verifier that most tests ask
// -----------------------------------------------------------------------------

/** The instant of the tests, in seconds: no round number of anything. */
export const now = 1_795_513_777

export const issuer = "https://accounts.example.com"
export const audience = "https://api.example.com"

export const setSeconds = (seconds: number) => TestClock.setTime(seconds * 1_000)

export const instant = (seconds: number): DateTime.Utc => DateTime.unsafeMake(seconds * 1_000)

/** Claims that are good at `now`, but for what `change` says. `undefined` takes a claim out. */
export const claimsWith = (change: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> => ({
  iss: issuer,
  sub: "ada",
  aud: audience,
  iat: now - 10,
  exp: now + 890,
  jti: "token-1",
  ...change
})

/** A schema that takes whatever is there. */
export const anyClaims = Schema.Struct({ sub: Schema.String })

export const ring = (
  ...keys: ReadonlyArray<JwtKeys.Key>
): Layer.Layer<JwtKeys.JwtKeys | JwtKeys.Rotation, SecurityConfigError> => JwtKeys.layer(Effect.succeed(keys))

type Options = Partial<Jwt.SignerOptions<any>>

export const optionsFor = (algorithm: JwtKeys.Algorithm, options: Options = {}): Jwt.SignerOptions<any> => ({
  algorithms: only(algorithm),
  issuer,
  audience,
  claims: anyClaims,
  ...options
})

/** A verifier of tokens of one key. */
export const newVerifier = (pair: Pair, options: Options = {}, kid?: string) =>
  Effect.flatMap(
    keyOf(pair, { kid }),
    (key) => Effect.provide(Jwt.verifier(optionsFor(pair.algorithm, options)), ring(key))
  )

/** The same, and it is `now`. */
export const verifierOf = (pair: Pair, options: Options = {}, kid?: string) =>
  Effect.zipRight(setSeconds(now), newVerifier(pair, options, kid))

/** At `now`, where setting the TestClock thousands of times would take too long. */
export const atNow = Effect.withClock(
  Object.assign(Object.create(Clock.make()) as Clock.Clock, {
    currentTimeMillis: Effect.succeed(now * 1_000),
    unsafeCurrentTimeMillis: () => now * 1_000
  })
)

/** What holds at `now` of thousands of values: `it.effect.prop` makes a TestClock for each of them. */
export const holds = <A>(
  arbitrary: FastCheck.Arbitrary<A>,
  numRuns: number,
  check: (value: A) => Effect.Effect<void, unknown>
): Effect.Effect<void> =>
  Effect.promise(() =>
    FastCheck.assert(
      FastCheck.asyncProperty(arbitrary, (value) => Effect.runPromise(atNow(check(value)))),
      { numRuns }
    )
  )

/** What a verifier makes of a token: `"accepted"`, or why not. A defect stays a defect. */
export const verdictOf = (
  verifier: Jwt.Verifier<unknown>,
  token: string
): Effect.Effect<string> =>
  Effect.match(verifier.verify(Redacted.make(token)), {
    onFailure: (error) => error._tag === "NotAuthorized" ? error.reason : error._tag,
    onSuccess: () => "accepted"
  })

/** What a verifier makes of each of these tokens, under the same names. */
export const verdictsOf = <Names extends string>(
  verifier: Jwt.Verifier<unknown>,
  tokens: Readonly<Record<Names, string>>
): Effect.Effect<Record<Names, string>> =>
  Effect.map(
    Effect.forEach(
      Object.entries<string>(tokens),
      ([name, token]) => Effect.map(verdictOf(verifier, token), (verdict) => [name, verdict] as const)
    ),
    (verdicts) => Object.fromEntries(verdicts) as Record<Names, string>
  )

/** The same verdict under each of these names. */
export const all = <Names extends string>(tokens: Readonly<Record<Names, string>>, verdict: string) =>
  Object.fromEntries(Object.keys(tokens).map((name) => [name, verdict])) as Record<Names, string>

/** Why a configuration is refused: the sentence, or `"accepted"`. */
export const complaintOf = <A>(effect: Effect.Effect<A, SecurityConfigError>): Effect.Effect<string> =>
  Effect.match(effect, { onFailure: ({ reason }) => reason, onSuccess: () => "accepted" })

/** What a token says about itself, as plain values. */
export const plain = (token: Jwt.Token) => ({
  ...token,
  keyId: Option.getOrUndefined(token.keyId),
  expiresAt: token.expiresAt.epochMillis / 1_000,
  issuedAt: token.issuedAt.epochMillis / 1_000,
  notBefore: Option.getOrUndefined(Option.map(token.notBefore, (date) => date.epochMillis / 1_000)),
  id: Option.getOrUndefined(token.id)
})
