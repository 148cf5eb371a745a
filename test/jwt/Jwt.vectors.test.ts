// What standards and Project Wycheproof say about signatures. Most of their payloads are no claims, so that it is the
// key that is asked; `Jwt` has to refuse them all the same, each for its reason.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import type * as JwtKeys from "effect-security/jwt/JwtKeys"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import * as Crypto from "node:crypto"
import { audience, base64Url, only, partsOf, ring, setSeconds, verdictOf } from "./fixtures.js"
import { refused, signed } from "./vectors/rfc.js"
import { groups } from "./vectors/wycheproof.js"

/** The time of the claims of RFC 7515 and RFC 7520, shortly before they expire. */
const then = 1_300_819_370

const verifierOf = (key: JwtKeys.Key, algorithm: JwtKeys.Algorithm, issuer = "joe") =>
  Effect.zipRight(
    setSeconds(then),
    Effect.provide(
      Jwt.verifier({ algorithms: only(algorithm), issuer, audience, claims: Schema.Struct({}) }),
      ring(key)
    )
  )

/** The key of a vector. It is asked for any algorithm, since some vectors say none that is its own. */
const keyOf = (jwk: JwtKeysJose.Jwk) => JwtKeysJose.jwk(Redacted.make(jwk))

/** The token with one bit of its signature flipped. */
const forged = (token: string) => {
  const [header, payload, signature = ""] = token.split(".")
  const bytes = Buffer.from(signature, "base64url")
  bytes[bytes.length >> 1]! ^= 1
  return `${header}.${payload}.${bytes.toString("base64url")}`
}

describe("a token that a standard prints", () => {
  for (const { algorithm, hasClaims, key, source, token } of signed) {
    it.effect(`is signed with its key, and one that is forged is not: ${source} (${algorithm})`, () =>
      Effect.gen(function*() {
        const imported = yield* keyOf({ ...key, alg: algorithm })
        assert.isTrue(yield* imported.verify(token, algorithm))
        assert.isFalse(yield* imported.verify(forged(token), algorithm))
        // For no other algorithm of the key, or of another.
        for (const other of ["HS256", "HS512", "RS256", "RS512", "PS256", "ES256", "ES512", "EdDSA"] as const) {
          assert.strictEqual(yield* imported.verify(token, other), other === algorithm, other)
        }
      }))

    it.effect(`is refused for its claims, which are none or not all that are needed: ${source} (${algorithm})`, () =>
      Effect.gen(function*() {
        const imported = yield* keyOf({ ...key, alg: algorithm })
        const verifier = yield* verifierOf(imported, algorithm)
        // The claims have no sub, aud and iat. That is found out after the signature: of a forged one it is not said.
        assert.strictEqual(yield* verdictOf(verifier, token), hasClaims ? "InvalidClaims" : "MalformedToken")
        assert.strictEqual(yield* verdictOf(verifier, forged(token)), hasClaims ? "BadSignature" : "MalformedToken")
        if (hasClaims) assert.strictEqual(partsOf(token).claims["exp"], 1_300_819_380)
      }))
  }

  it.effect("is the same when the library signs it: RFC 7520 section 4.4, RFC 8037 appendix A.4", () =>
    Effect.gen(function*() {
      const ofSource = (source: string) => signed.find((vector) => vector.source.startsWith(source))!
      const secret = ofSource("RFC 7520 section 4.4")
      const ed25519 = ofSource("RFC 8037")
      // RFC 8037 appendix A.1
      const privateKey = { ...ed25519.key, d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" }
      for (const { algorithm, key, token } of [secret, { ...ed25519, key: privateKey }]) {
        const imported = yield* keyOf(key)
        const [header = "", payload = ""] = token.split(".")
        // These headers have no typ.
        const given = JSON.parse(Buffer.from(header, "base64url").toString()) as JwtKeys.Header
        const bytes = new Uint8Array(Buffer.from(payload, "base64url"))
        assert.strictEqual(yield* imported.sign!({ ...given, alg: algorithm }, bytes), token)
      }
    }))

  for (const { algorithm, key, reason, source, token } of refused) {
    it.effect(`is refused when it is not signed or not in compact form: ${source}`, () =>
      Effect.gen(function*() {
        const imported = yield* keyOf({ ...key, alg: algorithm })
        assert.strictEqual(yield* verdictOf(yield* verifierOf(imported, algorithm), token), reason)
        assert.isFalse(yield* imported.verify(token, algorithm))
      }))
  }
})

// -----------------------------------------------------------------------------
// Wycheproof
// -----------------------------------------------------------------------------

/** Vectors whose verdict is not followed, and why. */
const unfollowed = new Map<number, string>([
  [346, "valid, and the key is for PS256 while the token says PS384"],
  [347, "valid, and the algorithm of the key, ES521, does not exist"],
  [350, "valid, and the key is for PS256 while the token says PS384"],
  [351, "valid, and the algorithm of the key, ES521, does not exist"],
  [367, "invalid, and to the last character the token of 357, which is valid"],
  [370, "invalid, and to the last character the token of 357, which is valid"],
  [372, "valid, and has a ? in its header"],
  [373, "valid, and has a ? in its payload"]
])

/** Keys that are refused before there is a token: for encryption, or of an algorithm that does not exist. */
const refusedKeys = new Map<number, RegExp>([
  [347, /ES521/],
  [351, /ES521/],
  [353, /use/],
  [354, /use/],
  [355, /key_ops/],
  [356, /key_ops/]
])

const macOf = (secret: Uint8Array, text: string) => base64Url(Crypto.createHmac("sha256", secret).update(text).digest())

/** A secret of 32 zeros, which no key is made of. The vectors 357 to 377 are signed with it. */
const zeros = Buffer.alloc(32)

/** The token of one of them with its MAC made with another secret, and then disfigured as it was. */
const signedAgain = (jws: string, secret: Uint8Array): string => {
  const at = jws.lastIndexOf(".")
  const input = jws.slice(0, at)
  const mac = jws.slice(at + 1)
  const bare = mac.replace(/[^A-Za-z0-9_-]/g, "")
  const canonical = input.split(".").map((part) => base64Url(Buffer.from(part, "base64url"))).join(".")
  const fresh = macOf(secret, macOf(zeros, input) === bare ? input : canonical)
  const [, before = "", after = ""] = /^([^A-Za-z0-9_-]*).*?([^A-Za-z0-9_-]*)$/.exec(mac) ?? []
  // Of 43 characters some stand in place of those of the MAC; of more they were put in.
  return `${input}.${before}${mac.length === 43 ? fresh.slice(before.length) : fresh}${after}`
}

describe("Wycheproof's verdicts on JWS", () => {
  const secret = Crypto.randomBytes(32)
  const ofZeros = base64Url(zeros)
  const vectors = groups.flatMap(({ key, vectors }) =>
    vectors.map((vector) => ({
      ...vector,
      key: key["k"] === ofZeros ? { ...key, k: base64Url(secret) } : key,
      token: key["k"] === ofZeros ? signedAgain(vector.jws, secret) : vector.jws
    }))
  )

  /** What the key of a vector finds about its token, for the algorithm that the key names. */
  const verdict = ({ key, token }: typeof vectors[number]) =>
    Effect.gen(function*() {
      const imported = yield* keyOf(key)
      const verdicts = yield* Effect.forEach(imported.algorithms, (algorithm) => imported.verify(token, algorithm))
      return verdicts.some((isGood) => isGood)
    })

  it("are all there: 46 valid, 355 invalid", () => {
    assert.deepStrictEqual(vectors.map(({ id }) => id), Array.from({ length: 401 }, (_, index) => index + 1))
    assert.strictEqual(vectors.filter(({ isValid }) => isValid).length, 46)
  })

  it.effect("rest in 357 to 377 on a secret of zeros, which is refused: their MACs are made anew with another", () =>
    Effect.gen(function*() {
      const ofSecret = groups.filter(({ key }) => key["k"] === ofZeros)
      const all = ofSecret.flatMap(({ vectors }) => vectors)
      assert.deepStrictEqual(all.map(({ id }) => id), Array.from({ length: 21 }, (_, index) => index + 357))
      for (const { key } of ofSecret) {
        assert.strictEqual((yield* Effect.flip(keyOf(key))).reason, "an HMAC secret repeats one byte")
      }
      for (const { id, jws } of all) {
        assert.strictEqual(signedAgain(jws, zeros), jws, `${id}`)
        assert.notStrictEqual(signedAgain(jws, secret), jws, `${id}`)
      }
    }))

  it.effect(
    "are followed by the key: nothing invalid is signed, nothing valid is not, and there is no defect",
    () =>
      Effect.gen(function*() {
        const wrong: Array<string> = []
        for (const vector of vectors) {
          const result = yield* Effect.either(verdict(vector))
          const isSigned = result._tag === "Right" && result.right
          if (isSigned !== vector.isValid && !unfollowed.has(vector.id)) {
            wrong.push(`${vector.id} ${vector.comment}: ${isSigned ? "signed" : "not signed"}`)
          }
          const complaint = refusedKeys.get(vector.id)
          if (complaint !== undefined) {
            assert.strictEqual(result._tag, "Left", `${vector.id}`)
            if (result._tag === "Left") assert.match(String((result.left as Error).message), complaint)
          } else {
            assert.strictEqual(result._tag, "Right", `${vector.id} ${vector.comment}`)
          }
        }
        assert.deepStrictEqual(wrong, [])
      }),
    60_000
  )

  it.effect("are not followed in eight cases, where they contradict themselves or the standard", () =>
    Effect.gen(function*() {
      const ofId = (id: number) => vectors[id - 1]!
      for (const [id, why] of unfollowed) {
        const result = yield* Effect.either(verdict(ofId(id)))
        const isSigned = result._tag === "Right" && result.right
        assert.strictEqual(isSigned, !ofId(id).isValid, `${id} ${why}`)
      }
      assert.strictEqual(ofId(367).jws, ofId(357).jws)
      assert.strictEqual(ofId(370).jws, ofId(357).jws)
      assert.include(ofId(372).jws, "?")
      assert.include(ofId(373).jws, "?")
      for (const id of [346, 350]) {
        assert.strictEqual(ofId(id).key.alg, "PS256")
        assert.strictEqual(partsHeader(ofId(id).jws)["alg"], "PS384")
      }
    }))

  it.effect(
    "hold for a verifier too: it takes none of the 401, since none has claims, and there is no defect",
    () =>
      Effect.gen(function*() {
        yield* setSeconds(then)
        const reasons: Record<string, number> = {}
        for (const { key, token } of vectors) {
          const imported = yield* Effect.option(keyOf(key))
          if (imported._tag === "None") continue
          const [algorithm] = imported.value.algorithms
          const verifier = yield* Effect.provide(
            Jwt.verifier({ algorithms: only(algorithm), issuer: "joe", audience, claims: Schema.Struct({}) }),
            ring(imported.value)
          )
          const reason = yield* verdictOf(verifier, token)
          reasons[reason] = (reasons[reason] ?? 0) + 1
        }
        assert.deepStrictEqual(reasons, { MalformedToken: 401 - refusedKeys.size })
      }),
    60_000
  )
})

const partsHeader = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString())
