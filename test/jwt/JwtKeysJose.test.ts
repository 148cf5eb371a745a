import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, FastCheck, Redacted } from "effect"
import type { SecurityError } from "effect-security"
import { JwtKeys } from "effect-security"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import { constants, createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign as signWith } from "node:crypto"
import type { JsonWebKey, KeyObject } from "node:crypto"

const algorithms: ReadonlyArray<JwtKeys.Algorithm> = [
  "HS256",
  "HS384",
  "HS512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA"
]

// -----------------------------------------------------------------------------
// Helpers
// -----------------------------------------------------------------------------

const encode = (text: string | Uint8Array): string => Buffer.from(text).toString("base64url")
const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"))

const sign = (key: JwtKeys.Key, alg: JwtKeys.Algorithm, payload: Uint8Array = latin1("{}")) =>
  key.sign === undefined ? Effect.die("the key does not sign") : Effect.orDie(key.sign({ alg, typ: "JWT" }, payload))

/** A token with any header, signed by node:crypto. */
const hs256 = (header: object, secret: Uint8Array): string => {
  const input = `${encode(JSON.stringify(header))}.${encode("{}")}`
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`
}

const hmac = (secret: string | Uint8Array, options?: JwtKeysJose.KeyOptions) =>
  JwtKeysJose.hmac(Redacted.make(secret), options)
const pem = (text: string, options?: JwtKeysJose.PemOptions) => JwtKeysJose.pem(Redacted.make(text), options)

/** The sentence with which a key is refused; nothing of `material` is in it. */
const refusal = <A>(
  key: Effect.Effect<A, SecurityError.SecurityConfigError>,
  material: string = ""
): Effect.Effect<string> =>
  Effect.map(Effect.orDie(Effect.flip(key)), ({ reason }) => {
    const secret = material.replace(/-----[^-]*-----|\s/g, "")
    for (const word of reason.match(/[\w+/-]{6,}/g) ?? []) assert.notInclude(secret, word)
    assert.notInclude(reason, "\n")
    return reason
  })

const refusesText = (secret: string | Uint8Array, sentence: RegExp) =>
  Effect.map(
    refusal(hmac(secret), typeof secret === "string" ? secret : Buffer.from(secret).toString("latin1")),
    (reason) => assert.match(reason, sentence)
  )

const refusesJwk = (jwk: object, sentence: RegExp) =>
  Effect.gen(function*() {
    const members = Object.values(jwk).filter((value) => typeof value === "string" && value.length > 20).join(" ")
    assert.match(yield* refusal(JwtKeysJose.jwk(jwk), members), sentence)
    assert.match(yield* refusal(JwtKeysJose.jwk(Redacted.make(jwk)), members), sentence)
  })

const exported = (key: KeyObject): JsonWebKey => key.export({ format: "jwk" })
const spki = (key: KeyObject): string => key.export({ format: "pem", type: "spki" }) as string
const pkcs8 = (key: KeyObject): string => key.export({ format: "pem", type: "pkcs8" }) as string

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const otherRsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
const otherP256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" })
const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" })
const ed25519 = generateKeyPairSync("ed25519")
const otherEd25519 = generateKeyPairSync("ed25519")

// RFC 7515 appendix A
const claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
const a1 = {
  jwk: {
    kty: "oct",
    k: "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
  },
  token: `eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${claims}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`
}
const a2 = {
  jwk: {
    kty: "RSA",
    n: "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ" +
      "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2" +
      "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD" +
      "TW9gb54h4FRWyuXpoQ",
    e: "AQAB"
  },
  token: `eyJhbGciOiJSUzI1NiJ9.${claims}.` +
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t" +
    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j" +
    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ" +
    "Ge77Rw"
}
const a3 = {
  jwk: {
    kty: "EC",
    crv: "P-256",
    x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    d: "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
  },
  token: `eyJhbGciOiJFUzI1NiJ9.${claims}.` +
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
}
const a4 = {
  jwk: {
    kty: "EC",
    crv: "P-521",
    x: "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    y: "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    d: "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C"
  },
  token: "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA." +
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZC" +
    "PEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
}
// RFC 8037 appendix A
const rfc8037 = {
  jwk: {
    kty: "OKP",
    crv: "Ed25519",
    d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
  },
  token: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
}
// RFC 7638 section 3.1
const rfc7638 = {
  kty: "RSA",
  n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj" +
    "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ" +
    "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK" +
    "nqDKgw",
  e: "AQAB"
}

// -----------------------------------------------------------------------------
// Signatures
// -----------------------------------------------------------------------------

describe("a key", () => {
  for (const algorithm of algorithms) {
    const pair = Effect.runSync(
      Effect.cached(Effect.all([JwtKeysJose.generate(algorithm), JwtKeysJose.generate(algorithm)]))
    )

    it.effect.prop(
      `verifies what it signed with ${algorithm}, and nothing that differs from it by a character`,
      [
        FastCheck.uint8Array({ maxLength: 64 }),
        FastCheck.nat(),
        FastCheck.nat({ max: 62 })
      ],
      ([payload, place, step]) =>
        Effect.gen(function*() {
          const [key, other] = yield* pair
          const token = yield* sign(key, algorithm, payload)
          assert.match(token, /^[\w-]+\.[\w-]*\.[\w-]+$/)
          assert.strictEqual(token.split(".")[1], encode(payload))
          assert.isTrue(yield* key.verify(token, algorithm))
          assert.isFalse(yield* other.verify(token, algorithm))

          const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
          const places = Array.from(token, (character, index) => character === "." ? [] : [index]).flat()
          // Every second time the last character, whose spare bits a lenient decoder does not see.
          const index = place % 2 === 0 ? token.length - 1 : places[place % places.length]!
          const changed = alphabet[(alphabet.indexOf(token[index]!) + 1 + step) % 64]!
          const forged = token.slice(0, index) + changed + token.slice(index + 1)
          assert.notStrictEqual(forged, token)
          assert.isFalse(yield* key.verify(forged, algorithm), forged)
        }),
      { fastCheck: { numRuns: 60 } }
    )

    it.effect(`made for ${algorithm} has no other algorithm, and answers false for each of them`, () =>
      Effect.gen(function*() {
        const [key] = yield* pair
        assert.deepStrictEqual(key.algorithms, [algorithm])
        const token = yield* sign(key, algorithm)
        for (const other of algorithms.filter((_) => _ !== algorithm)) {
          assert.isFalse(yield* key.verify(token, other), other)
          // The header names what the caller asks for, and the signature is good for the key's own.
          const [, payload, signature] = token.split(".")
          const relabelled = `${encode(JSON.stringify({ alg: other }))}.${payload}.${signature}`
          assert.isFalse(yield* key.verify(relabelled, other), other)
        }
      }))
  }

  it.effect("fails to sign with an algorithm that is not its own", () =>
    Effect.gen(function*() {
      const key = yield* hmac(randomBytes(32))
      const error = yield* Effect.flip(key.sign!({ alg: "HS512", typ: "JWT" }, latin1("{}")))
      assert.propertyVal(error, "_tag", "SecurityUnavailable")
    }))

  it.effect("writes the header that it was given", () =>
    Effect.gen(function*() {
      const key = yield* hmac(randomBytes(32))
      const token = yield* key.sign!({ alg: "HS256", typ: "at+jwt", kid: "one" }, latin1("{}"))
      const header = JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString())
      assert.deepStrictEqual(header, { alg: "HS256", typ: "at+jwt", kid: "one" })
    }))

  it.effect("answers false for whatever is no token, and never fails", () =>
    Effect.gen(function*() {
      const secret = randomBytes(64)
      const key = yield* hmac(secret)
      const good = hs256({ alg: "HS256" }, secret)
      assert.isTrue(yield* key.verify(good, "HS256"))
      const bad = [
        "",
        ".",
        "..",
        "...",
        "a.b",
        `${good}.`,
        `.${good}`,
        `${good}.${good}`,
        `${good}=`,
        `${good}\n`,
        ` ${good}`,
        good.replace(".", " ."),
        good.replace(/\.[^.]*$/, "."),
        good.replace(/\.[^.]*$/, ""),
        `${encode("[]")}.e30.AAAA`,
        `${encode("null")}.e30.AAAA`,
        `${encode("{")}.e30.AAAA`,
        `${encode(Buffer.from([0xff]))}.e30.AAAA`,
        "\u{1f600}.\u{1f600}.\u{1f600}",
        "\ud800.\ud800.\ud800"
      ]
      for (const token of bad) assert.isFalse(yield* key.verify(token, "HS256"), token)
      for (const token of bad) {
        assert.isFalse(yield* (yield* JwtKeysJose.jwk(a3.jwk)).verify(token, "ES256"), token)
      }
    }))

  it.effect("answers false for a signed token whose header asks for an extension, or names another algorithm", () =>
    Effect.gen(function*() {
      const secret = randomBytes(64)
      const key = yield* hmac(secret)
      const headers = [
        { alg: "HS256", crit: ["b64"], b64: true },
        { alg: "HS256", crit: ["b64"], b64: false },
        { alg: "HS256", b64: true },
        { alg: "HS256", crit: [] },
        { alg: "HS256", crit: ["exp"], exp: 1 },
        { alg: "HS512" },
        { alg: "none" },
        { alg: "hs256" },
        {}
      ]
      for (const header of headers) {
        assert.isFalse(yield* key.verify(hs256(header, secret), "HS256"), JSON.stringify(header))
      }
    }))

  it.effect("answers false for a token that names an algorithm of its kind of key, and not the one that was asked for", () =>
    Effect.gen(function*() {
      // RFC 9864 has another name for what the key signs.
      const key = yield* JwtKeysJose.jwk(exported(ed25519.publicKey))
      const signed = (alg: string) => {
        const input = `${encode(JSON.stringify({ alg }))}.e30`
        return `${input}.${signWith(null, Buffer.from(input), ed25519.privateKey).toString("base64url")}`
      }
      assert.isTrue(yield* key.verify(signed("EdDSA"), "EdDSA"))
      assert.isFalse(yield* key.verify(signed("Ed25519"), "EdDSA"))
      assert.isFalse(yield* key.verify(signed("EdDSA"), "Ed25519" as never))
    }))

  it.effect("looks at no key that a token brings or points at", () =>
    Effect.gen(function*() {
      const attacker = yield* JwtKeysJose.generate("ES256")
      const key = yield* JwtKeysJose.jwk(exported(p256.publicKey))
      const header = {
        alg: "ES256" as const,
        typ: "JWT",
        jwk: attacker.publicJwk,
        jku: "http://127.0.0.1:9/jwks.json",
        x5u: "http://127.0.0.1:9/crt",
        x5c: ["AAAA"]
      }
      const token = yield* attacker.sign!(header, latin1("{}"))
      assert.isTrue(yield* attacker.verify(token, "ES256"))
      assert.isFalse(yield* key.verify(token, "ES256"))
    }))

  it.effect("is not a secret because its text could be one: a public key verifies no HMAC", () =>
    Effect.gen(function*() {
      const text = spki(rsa.publicKey)
      const key = yield* pem(text)
      for (const alg of ["HS256", "RS256"] as const) {
        assert.isFalse(yield* key.verify(hs256({ alg }, latin1(text)), alg))
        assert.isFalse(yield* key.verify(hs256({ alg: "HS256" }, latin1(text)), alg))
      }
    }))

  it.effect("carries `until` and `kid` as they were given, and shows no secret when it is printed", () =>
    Effect.gen(function*() {
      const until = DateTime.unsafeMake("2030-01-01T00:00:00Z")
      const secret = encode(randomBytes(32))
      const keys = [
        yield* hmac(secret, { kid: "one", until }),
        yield* pem(pkcs8(p256.privateKey), { kid: "one", until }),
        yield* JwtKeysJose.jwk({ ...a3.jwk, kid: "two" }, { kid: "one", until }),
        yield* JwtKeysJose.generate("EdDSA", { kid: "one", until })
      ]
      for (const key of keys) {
        assert.strictEqual(key.kid, "one")
        assert.strictEqual(key.until, until)
      }
      const [key] = yield* JwtKeysJose.jwks({ keys: [a3.jwk] }, { until })
      assert.strictEqual(key!.until, until)
      assert.notInclude(JSON.stringify(keys), secret)
      assert.notInclude(JSON.stringify(keys), a3.jwk.d)
    }))

  it.effect("has a kid of 1 to 256 characters", () =>
    Effect.gen(function*() {
      const sentence = "a kid is a string of 1 to 256 characters"
      for (const kid of ["", "x".repeat(257)]) {
        assert.strictEqual(yield* refusal(hmac(randomBytes(32), { kid })), sentence)
        assert.strictEqual(yield* refusal(pem(spki(p256.publicKey), { kid })), sentence)
        assert.strictEqual(yield* refusal(JwtKeysJose.jwk({ ...a3.jwk, kid })), sentence)
        assert.strictEqual(yield* refusal(JwtKeysJose.generate("HS256", { kid })), sentence)
      }
      yield* refusesJwk({ ...a3.jwk, kid: 1 }, /^a kid is a string of 1 to 256 characters$/)
      assert.strictEqual((yield* hmac(randomBytes(32), { kid: "x".repeat(256) })).kid, "x".repeat(256))
    }))
})

describe("published vectors", () => {
  const vectors = [
    ["RFC 7515 A.1", "HS256", a1],
    ["RFC 7515 A.2", "RS256", a2],
    ["RFC 7515 A.3", "ES256", a3],
    ["RFC 7515 A.4", "ES512", a4],
    ["RFC 8037 A.4", "EdDSA", rfc8037]
  ] as const
  for (const [name, algorithm, { jwk, token }] of vectors) {
    it.effect(`${name}: ${algorithm}`, () =>
      Effect.gen(function*() {
        const key = yield* JwtKeysJose.jwk(jwk)
        assert.isTrue(yield* key.verify(token, algorithm))
        assert.isFalse(yield* key.verify(token.replace(/\.[A-Za-z]/, (_) => _ === ".x" ? ".y" : ".x"), algorithm))
        if (key.publicJwk !== undefined) {
          const published = yield* JwtKeysJose.jwk(key.publicJwk)
          assert.isUndefined(published.sign)
          assert.isTrue(yield* published.verify(token, algorithm))
          assert.deepStrictEqual(published.publicJwk, key.publicJwk)
        }
      }))
  }

  it.effect("RFC 7638 section 3.1 and RFC 8037 A.3: the thumbprint is the kid of a key that has none", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* JwtKeysJose.jwk(rfc7638)).kid, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
      assert.strictEqual((yield* JwtKeysJose.jwk(rfc8037.jwk)).kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
      assert.strictEqual((yield* JwtKeysJose.jwk({ ...rfc7638, kid: "2011-04-29" })).kid, "2011-04-29")
      assert.isUndefined((yield* JwtKeysJose.jwk(a1.jwk)).kid)
    }))
})

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

describe("an HMAC secret", () => {
  it.effect("is good for the hashes that are not longer than it", () =>
    Effect.gen(function*() {
      const expected: ReadonlyArray<readonly [number, ReadonlyArray<string>]> = [
        [32, ["HS256"]],
        [47, ["HS256"]],
        [48, ["HS256", "HS384"]],
        [63, ["HS256", "HS384"]],
        [64, ["HS256", "HS384", "HS512"]],
        [200, ["HS256", "HS384", "HS512"]]
      ]
      for (const [bytes, algorithms] of expected) {
        assert.deepStrictEqual((yield* hmac(randomBytes(bytes))).algorithms, algorithms, String(bytes))
        assert.deepStrictEqual((yield* hmac(encode(randomBytes(bytes)))).algorithms, algorithms, String(bytes))
      }
    }))

  it.effect.prop(
    "is taken whatever its bytes are, as bytes and as base64url, and both are the same key",
    [FastCheck.uint8Array({ minLength: 32, maxLength: 160 }).filter((bytes) => new Set(bytes).size > 1)],
    ([bytes]) =>
      Effect.gen(function*() {
        const token = yield* sign(yield* hmac(bytes), "HS256")
        assert.isTrue(yield* (yield* hmac(encode(bytes))).verify(token, "HS256"))
        assert.strictEqual(
          createHmac("sha256", bytes).update(token.replace(/\.[^.]*$/, "")).digest("base64url"),
          token.split(".")[2]
        )
      }),
    { fastCheck: { numRuns: 300 } }
  )

  it.effect("stays what it was when the caller changes the array afterwards", () =>
    Effect.gen(function*() {
      const bytes = new Uint8Array(randomBytes(64))
      const copy = bytes.slice()
      const key = yield* hmac(bytes)
      bytes.fill(0)
      assert.isTrue(yield* key.verify(hs256({ alg: "HS256" }, copy), "HS256"))
    }))

  it.effect("that is short is refused with its length", () =>
    Effect.gen(function*() {
      yield* refusesText(randomBytes(31), /has 31 bytes, and HS256 takes at least 32/)
      yield* refusesText(encode(randomBytes(31)), /has 31 bytes/)
      yield* refusesText(new Uint8Array(), /is empty/)
      yield* refusesText("", /is empty/)
      yield* refusesText(new Uint8Array(64), /repeats one byte/)
      yield* refusesText(encode(new Uint8Array(64).fill(0x61)), /repeats one byte/)
    }))

  it.effect("that is text is base64url without padding, and standard base64 is told so", () =>
    Effect.gen(function*() {
      const bytes = Buffer.from("fbff".repeat(20), "hex")
      assert.match(bytes.toString("base64"), /[+/]/)
      yield* refusesText(bytes.toString("base64"), /is standard base64: write it as base64url/)
      yield* refusesText(`${"A".repeat(62)}==`, /is standard base64/)
      yield* refusesText(`${encode(bytes)}\n`, /has white space around it/)
      yield* refusesText(`${"-".repeat(42)}B`, /is base64url without padding/)
      yield* refusesText("correct horse battery staple correct horse", /is base64url without padding/)
      yield* refusesText("\ud800".repeat(40), /is base64url without padding/)
    }))

  const keyPem = spki(rsa.publicKey)
  const privatePem = pkcs8(p256.privateKey)
  const pkcs1 = rsa.publicKey.export({ format: "pem", type: "pkcs1" }) as string
  const jwk = JSON.stringify(exported(rsa.publicKey))
  const publicForms: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["SPKI", keyPem, /is PEM text/],
    ["PKCS #8", privatePem, /is PEM text/],
    ["PKCS #1", pkcs1, /is PEM text/],
    ["PEM on one line", keyPem.replace(/\n/g, ""), /is PEM text/],
    ["PEM with line ends as two characters", keyPem.replace(/\n/g, "\\n"), /is PEM text/],
    ["PEM after other text", `Bag Attributes\n  friendlyName: x\n${keyPem}`, /is PEM text/],
    ["an SSH2 key", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3NzaC1yc2EAAAADAQABAAABAQ==", /is PEM text/],
    ["a JWK", jwk, /is a JWK/],
    ["a JWK, indented", JSON.stringify(exported(p256.publicKey), null, 2), /is a JWK/],
    ["a JWK set", `{"keys":[${jwk}]}`, /is a JWK/],
    ["a list of JWKs", `[${jwk}]`, /is a JWK/],
    ["a JWK that is cut off", jwk.slice(0, -5), /is a JWK/],
    ["an SSH key", `ssh-rsa ${"AAAAB3NzaC1yc2EAAAADAQABAAABAQ".repeat(3)} me@example.com`, /is an SSH key/],
    ["an SSH key of Ed25519", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1234567890abcdefghijkl", /is an SSH key/],
    ["an SSH key of ECDSA", `ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI`, /is an SSH key/],
    ["a line of authorized_keys", `no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1234567890`, /is an SSH key/],
    ["the body of an SSH key", "AAAAC3NzaC1lZDI1NTE5AAAAIO1234567890abcdefghijklmnopqrstuvwx", /is an SSH key/]
  ]
  const fronts: ReadonlyArray<readonly [string, string]> = [
    ["", ""],
    ["behind a byte order mark", "\ufeff"],
    ["behind line ends", "\r\n\r\n\n"],
    ["behind carriage returns", "\r\r"],
    ["behind odd spaces", " \t\v\f\u00a0\u2003\u200b\u0085"],
    ["behind a NUL", "\0"]
  ]
  for (const [name, text, sentence] of publicForms) {
    it.effect(`that is ${name} is refused, in every wrapping`, () =>
      Effect.gen(function*() {
        for (const [, front] of fronts) {
          for (const ends of ["\n", "\r\n", "\r"]) {
            const secret = front + text.replace(/\n/g, ends)
            yield* refusesText(secret, sentence)
            yield* refusesText(new Uint8Array(Buffer.from(secret, "utf8")), sentence)
            yield* refusesText(encode(secret), sentence)
            yield* refusesText(Buffer.from(secret).toString("base64"), sentence)
            yield* refusesText(latin1(Buffer.from(secret).toString("base64").replace(/.{64}/g, "$&\n")), sentence)
            yield* refusesText(encode(encode(secret)), sentence)
            yield* refusesText(new Uint8Array(Buffer.from(secret, "utf16le")), sentence)
          }
        }
      }))
  }

  it.effect("that is the DER of a key or of a certificate is refused, as bytes, base64url and base64", () =>
    Effect.gen(function*() {
      const ders = [
        ...[rsa, p256, p384, p521, ed25519].flatMap(({ privateKey, publicKey }) => [
          publicKey.export({ format: "der", type: "spki" }),
          privateKey.export({ format: "der", type: "pkcs8" })
        ]),
        rsa.publicKey.export({ format: "der", type: "pkcs1" }),
        p256.privateKey.export({ format: "der", type: "sec1" }),
        Buffer.from(certificate.replace(/-----[^-]*-----/g, ""), "base64")
      ]
      for (const der of ders) {
        yield* refusesText(new Uint8Array(der), /is DER/)
        yield* refusesText(new Uint8Array(Buffer.concat([Buffer.from("\r\n "), der, Buffer.from("\n")])), /is DER/)
        yield* refusesText(encode(der), /is DER/)
        yield* refusesText(der.toString("base64"), /is DER/)
        yield* refusesText(latin1(der.toString("base64").replace(/.{64}/g, "$&\r\n")), /is DER/)
      }
      // Its last byte may be one of white space.
      const [front, space] = [[0x30, 0x22, 0x30, 0x0d], 0x20]
      const ending = new Uint8Array([...front, ...randomBytes(13), 0x03, 0x11, ...randomBytes(16), space])
      yield* refusesText(ending, /is DER/)
      yield* refusesText(new Uint8Array([0x0a, ...ending, 0x0d, 0x0a]), /is DER/)
      // A SEQUENCE that is longer or shorter than the bytes, or holds anything else, is a secret as good as any.
      const der = p256.publicKey.export({ format: "der", type: "spki" })
      assert.deepStrictEqual((yield* hmac(new Uint8Array([...der, 1]))).algorithms.length, 3)
      assert.deepStrictEqual((yield* hmac(new Uint8Array(der.subarray(0, -1)))).algorithms.length, 3)
      assert.deepStrictEqual(
        (yield* hmac(new Uint8Array([0x30, 62, ...randomBytes(62).fill(0xff)]))).algorithms.length,
        3
      )
    }))

  it.effect("says what to do with a public key", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* refusal(hmac(keyPem)),
        "an HMAC secret is PEM text: others may have it, and would sign; make a key of it with JwtKeysJose.pem or " +
          "JwtKeysJose.jwk"
      )
    }))
})

// -----------------------------------------------------------------------------
// PEM
// -----------------------------------------------------------------------------

// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=example
const certificate = `-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUHeak0SdpLY+N5e62h29mnFzEocIwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHZXhhbXBsZTAeFw0yNjExMjQxMzU0MDRaFw0yNjExMjUxMzU0
MDRaMBIxEDAOBgNVBAMMB2V4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATGbIqX0l9zpO95mdgPVvmjfE94kqkjP93Dr7eAQmHKBrOHuPJ7YBXnKS86KeGX
qq+oRVBhcpQw2DT1oxrh9YWwo1MwUTAdBgNVHQ4EFgQUc87kOeP2eTZRBc6D6q2z
4WTVWgswHwYDVR0jBBgwFoAUc87kOeP2eTZRBc6D6q2z4WTVWgswDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEA1WieVTBtI3gzDBHzpy5XDzPZn/xH
QX9ii7V6gqWXfsMCIQCrXchEitwuc1i1jTmueU3G1kMyYE4+Jjg3CoSbnH76WA==
-----END CERTIFICATE-----
`

describe("PEM", () => {
  const kinds = [
    ["RSA", rsa, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]],
    ["P-256", p256, ["ES256"]],
    ["P-384", p384, ["ES384"]],
    ["P-521", p521, ["ES512"]],
    ["Ed25519", ed25519, ["EdDSA"]]
  ] as const
  for (const [name, { privateKey, publicKey }, algorithms] of kinds) {
    it.effect(`of a private ${name} key signs, of the public one verifies, and both have the same JWK`, () =>
      Effect.gen(function*() {
        const signer = yield* pem(pkcs8(privateKey))
        const verifier = yield* pem(spki(publicKey))
        assert.deepStrictEqual(signer.algorithms, algorithms)
        assert.deepStrictEqual(verifier.algorithms, algorithms)
        assert.isUndefined(verifier.sign)
        for (const algorithm of algorithms) {
          const token = yield* sign(signer, algorithm)
          assert.isTrue(yield* verifier.verify(token, algorithm), algorithm)
          assert.isTrue(yield* signer.verify(token, algorithm), algorithm)
        }
        assert.deepStrictEqual(signer.publicJwk, {
          ...exported(publicKey) as JwtKeys.PublicJwk,
          kid: signer.kid,
          use: "sig",
          ...(algorithms.length === 1 ? { alg: algorithms[0] } : {})
        })
        assert.deepStrictEqual(verifier.publicJwk, signer.publicJwk)
        assert.match(signer.kid!, /^[\w-]{43}$/)
      }))
  }

  it.effect("of a certificate is its public key, whatever its dates", () =>
    Effect.gen(function*() {
      const key = yield* pem(certificate)
      assert.isUndefined(key.sign)
      assert.deepStrictEqual(key.algorithms, ["ES256"])
      assert.deepStrictEqual(
        { x: key.publicJwk!["x"], y: key.publicJwk!["y"] },
        { x: exported(createPublicKey(certificate)).x, y: exported(createPublicKey(certificate)).y }
      )
    }))

  it.effect("is taken with any line ends, indented, on one line, and behind a byte order mark", () =>
    Effect.gen(function*() {
      const text = spki(p256.publicKey)
      const { kid } = yield* pem(text)
      for (
        const variant of [
          text.replace(/\n/g, "\r\n"),
          text.replace(/\n/g, "\r"),
          text.replace(/\n/g, " "),
          text.replace(/\n/g, ""),
          text.replace(/^/gm, "    "),
          `\ufeff\n${text}\n\n`
        ]
      ) {
        assert.strictEqual((yield* pem(variant)).kid, kid)
      }
    }))

  it.effect("is used with the algorithms that were asked for", () =>
    Effect.gen(function*() {
      const key = yield* pem(pkcs8(rsa.privateKey), { algorithms: ["PS256"] })
      assert.deepStrictEqual(key.algorithms, ["PS256"])
      assert.strictEqual(key.publicJwk!["alg"], "PS256")
      const all = yield* pem(pkcs8(rsa.privateKey))
      assert.isFalse(yield* key.verify(yield* sign(all, "RS256"), "RS256"))
      assert.match(
        yield* refusal(pem(spki(p256.publicKey), { algorithms: ["ES384"] })),
        /^the algorithm of a P-256 key is ES256, and not "ES384"$/
      )
      assert.match(
        yield* refusal(pem(spki(rsa.publicKey), { algorithms: ["RS256", "HS256"] })),
        /of an RSA key is RS256,/
      )
      assert.match(yield* refusal(pem(spki(rsa.publicKey), { algorithms: [] as never })), /without an algorithm/)
    }))

  const passphrase = { cipher: "aes-256-cbc", passphrase: "secret" } as const
  const refused: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["PKCS #1", rsa.privateKey.export({ format: "pem", type: "pkcs1" }) as string, /PKCS #1.*openssl pkcs8 -topk8/],
    ["public PKCS #1", rsa.publicKey.export({ format: "pem", type: "pkcs1" }) as string, /PKCS #1.*RSAPublicKey_in/],
    ["SEC 1", p256.privateKey.export({ format: "pem", type: "sec1" }) as string, /SEC 1.*openssl pkcs8 -topk8/],
    ["encrypted", p256.privateKey.export({ format: "pem", type: "pkcs8", ...passphrase }) as string, /is encrypted/],
    [
      "encrypted PKCS #1",
      rsa.privateKey.export({ format: "pem", type: "pkcs1", ...passphrase }) as string,
      /is encrypted/
    ],
    [
      "of OpenSSH",
      "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n-----END OPENSSH PRIVATE KEY-----",
      /of OpenSSH/
    ],
    [
      "a certificate request",
      "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
      /is neither/
    ],
    ["two blocks", spki(p256.publicKey) + spki(p256.publicKey), /has several blocks/],
    ["no PEM", encode(randomBytes(64)), /has no line -----BEGIN/],
    ["empty", "", /has no line -----BEGIN/],
    ["without END", spki(p256.publicKey).replace(/-----END[^]*/, ""), /is not one block/],
    ["text around it", `key: ${spki(p256.publicKey)}`, /is not one block/],
    ["line ends as two characters", spki(p256.publicKey).replace(/\n/g, "\\n"), /has \\n in it/],
    ["no DER", "-----BEGIN PUBLIC KEY-----\nAAAAAAAA\n-----END PUBLIC KEY-----", /holds no RSA, P-256/],
    ["cut off", spki(p256.publicKey).replace(/.{24}\n-----END/, "\n-----END"), /holds no RSA, P-256/],
    ["of secp256k1", spki(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey), /holds no RSA, P-256/],
    ["of X25519", pkcs8(generateKeyPairSync("x25519").privateKey), /holds no RSA, P-256/],
    ["of Ed448", pkcs8(generateKeyPairSync("ed448").privateKey), /holds no RSA, P-256/],
    ["of DSA", spki(generateKeyPairSync("dsa", { modulusLength: 1024, divisorLength: 160 }).publicKey), /holds no RSA/],
    [
      "of RSA-PSS alone",
      spki(generateKeyPairSync("rsa-pss", { modulusLength: 2048, hashAlgorithm: "sha256" }).publicKey),
      /holds no RSA/
    ],
    ["of RSA with 1024 bits", pkcs8(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey), /has 1024 bits/],
    [
      "of RSA with the exponent 3",
      pkcs8(generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 }).privateKey),
      /exponent of an RSA key is 3, and at least 65537/
    ]
  ]
  for (const [name, text, sentence] of refused) {
    it.effect(`is refused: ${name}`, () =>
      Effect.map(refusal(pem(text), text), (reason) => assert.match(reason, sentence)))
  }
})

// -----------------------------------------------------------------------------
// JWK
// -----------------------------------------------------------------------------

describe("a JWK", () => {
  const publicRsa = exported(rsa.publicKey)
  const privateRsa = exported(rsa.privateKey)
  const publicEc = exported(p256.publicKey)
  const privateEc = exported(p256.privateKey)
  const publicEd = exported(ed25519.publicKey)
  const privateEd = exported(ed25519.privateKey)
  const oct = { kty: "oct", k: encode(randomBytes(64)) }

  it.effect("that is private signs and shows nothing private", () =>
    Effect.gen(function*() {
      for (
        const [jwk, algorithm] of [[privateRsa, "PS384"], [privateEc, "ES256"], [privateEd, "EdDSA"]] as const
      ) {
        const key = yield* JwtKeysJose.jwk(Redacted.make(jwk))
        assert.isTrue(yield* key.verify(yield* sign(key, algorithm), algorithm))
        for (const name of ["d", "p", "q", "dp", "dq", "qi"]) assert.notProperty(key.publicJwk, name)
      }
    }))

  it.effect("is restricted by its alg", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* JwtKeysJose.jwk({ ...publicRsa, alg: "RS512" })).algorithms, ["RS512"])
      assert.deepStrictEqual((yield* JwtKeysJose.jwk({ ...oct, alg: "HS256" })).algorithms, ["HS256"])
      assert.deepStrictEqual((yield* JwtKeysJose.jwk(oct)).algorithms, ["HS256", "HS384", "HS512"])
      yield* refusesJwk({ ...publicEc, alg: "ES384" }, /^the algorithm of a P-256 key is ES256, and not "ES384"$/)
      yield* refusesJwk({ ...publicEc, alg: "ECDH-ES" }, /not "ECDH-ES"$/)
      yield* refusesJwk({ ...publicRsa, alg: "RSA-OAEP" }, /not "RSA-OAEP"$/)
      yield* refusesJwk({ ...publicRsa, alg: "HS256" }, /not "HS256"$/)
      yield* refusesJwk({ ...publicRsa, alg: "none" }, /not "none"$/)
      yield* refusesJwk({ ...publicRsa, alg: 1 }, /not of another kind$/)
      yield* refusesJwk({ ...oct, alg: "RS256" }, /not "RS256"$/)
      yield* refusesJwk(
        { kty: "oct", k: encode(randomBytes(32)), alg: "HS512" },
        /of 32 bytes .*HS256, and not "HS512"$/
      )
    }))

  it.effect("is not used for what its use and key_ops do not allow", () =>
    Effect.gen(function*() {
      yield* refusesJwk({ ...publicRsa, use: "enc" }, /^the use of a JWK is "enc", and not "sig"$/)
      yield* refusesJwk({ ...publicRsa, use: ["sig"] }, /^the use of a JWK is of another kind/)
      yield* refusesJwk({ ...publicRsa, key_ops: ["encrypt"] }, /^key_ops does not allow to verify$/)
      yield* refusesJwk({ ...publicRsa, key_ops: ["sign"] }, /^key_ops does not allow to verify$/)
      yield* refusesJwk({ ...publicRsa, key_ops: [] }, /^key_ops does not allow to verify$/)
      yield* refusesJwk({ ...publicRsa, key_ops: "verify" }, /^key_ops is no array of strings$/)
      yield* refusesJwk({ ...publicRsa, key_ops: ["verify", 1] }, /^key_ops is no array of strings$/)
      yield* refusesJwk({ ...publicRsa, key_ops: ["verify", "verify"] }, /^key_ops names an operation twice$/)
      yield* refusesJwk({ ...oct, key_ops: ["sign"] }, /^key_ops does not allow to verify$/)
      yield* refusesJwk({ ...privateEc, key_ops: ["deriveBits"] }, /^key_ops does not allow to verify$/)
      assert.isUndefined((yield* JwtKeysJose.jwk({ ...oct, key_ops: ["verify"] })).sign)
      assert.isUndefined((yield* JwtKeysJose.jwk({ ...privateEc, key_ops: ["verify"] })).sign)
      assert.isDefined((yield* JwtKeysJose.jwk({ ...oct, key_ops: ["sign", "verify"] })).sign)
      // As WebCrypto exports a private key.
      const exported = yield* JwtKeysJose.jwk({ ...privateEc, key_ops: ["sign"], ext: true })
      assert.isTrue(yield* exported.verify(yield* sign(exported, "ES256"), "ES256"))
    }))

  it.effect("is of a known kind", () =>
    Effect.gen(function*() {
      yield* refusesJwk({}, /^the kty of a JWK is RSA, EC, OKP or oct, and not of another kind$/)
      yield* refusesJwk({ kty: "AKP" }, /and not "AKP"$/)
      yield* refusesJwk({ ...publicRsa, kty: "rsa" }, /and not "rsa"$/)
      yield* refusesJwk({ ...publicRsa, kty: `${"x".repeat(80)}` }, /and not of another kind$/)
      yield* refusesJwk(Object.create(publicRsa), /and not of another kind$/)
      yield* refusesJwk([publicRsa], /^a JWK is no object$/)
      yield* refusesJwk(
        { ...publicEc, crv: "secp256k1" },
        /^an EC key is of P-256, P-384 or P-521, and not "secp256k1"$/
      )
      yield* refusesJwk({ ...publicEc, crv: "P-384" }, /^the member x has 32 octets instead of 48$/)
      yield* refusesJwk(
        exported(generateKeyPairSync("x25519").publicKey),
        /^an OKP key is of Ed25519, and not "X25519"$/
      )
      yield* refusesJwk(exported(generateKeyPairSync("ed448").publicKey), /and not "Ed448"$/)
      for (const jwk of [null, undefined, 1, "{}"]) {
        assert.strictEqual(yield* refusal(JwtKeysJose.jwk(jwk as never)), "a JWK is no object")
      }
    }))

  it.effect("has its members in canonical base64url", () =>
    Effect.gen(function*() {
      const member = (name: string) => new RegExp(`^the member ${name} `)
      for (const name of ["n", "e"] as const) {
        const value = publicRsa[name]!
        yield* refusesJwk({ ...publicRsa, [name]: undefined }, member(name))
        yield* refusesJwk({ ...publicRsa, [name]: 65537 }, member(name))
        yield* refusesJwk({ ...publicRsa, [name]: "" }, member(name))
        yield* refusesJwk({ ...publicRsa, [name]: `${value}=` }, member(name))
        yield* refusesJwk({ ...publicRsa, [name]: ` ${value}` }, member(name))
        yield* refusesJwk({
          ...publicRsa,
          [name]: encode(Buffer.concat([Buffer.of(0), Buffer.from(value, "base64url")]))
        }, /begins with a zero octet$/)
      }
      for (const name of ["x", "y"] as const) {
        const value = publicEc[name]!
        yield* refusesJwk({ ...publicEc, [name]: undefined }, member(name))
        yield* refusesJwk({ ...publicEc, [name]: `${value}=` }, member(name))
        yield* refusesJwk({
          ...publicEc,
          [name]: encode(Buffer.concat([Buffer.of(0), Buffer.from(value, "base64url")]))
        }, /has 33 octets instead of 32$/)
        // 32 octets are 43 characters, the last of which has two spare bits.
        const spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        const last = spare[spare.indexOf(value.at(-1)!) + 1]!
        yield* refusesJwk({ ...publicEc, [name]: value.slice(0, -1) + last }, /is not base64url without padding$/)
      }
      yield* refusesJwk({ ...privateEc, d: encode(randomBytes(31)) }, /^the member d has 31 octets instead of 32$/)
      yield* refusesJwk({ ...publicEd, x: encode(randomBytes(31)) }, /^the member x has 31 octets instead of 32$/)
      yield* refusesJwk({ ...privateEd, d: "" }, /^the member d has 0 octets instead of 32$/)
      yield* refusesJwk({ ...oct, k: undefined }, /^the member k is missing or no string$/)
      yield* refusesJwk({ ...oct, k: `${oct.k}=` }, /^an HMAC secret /)
      for (const name of ["p", "q", "dp", "dq", "qi"]) {
        yield* refusesJwk({ ...privateRsa, [name]: undefined }, member(name))
      }
      yield* refusesJwk(
        { ...privateRsa, oth: [{ r: "AQAB", d: "AQAB", t: "AQAB" }] },
        /^an RSA key has more than two primes$/
      )
      yield* refusesJwk({ ...publicRsa, p: privateRsa.p }, /^the member d is missing/)
    }))

  it.effect("of RSA has 2048 to 8192 bits and an odd exponent from 65537 on", () =>
    Effect.gen(function*() {
      const modulus = (bits: number) => {
        const bytes = randomBytes(Math.ceil(bits / 8))
        const top = (bits - 1) % 8
        bytes[0] = bytes[0]! % 2 ** top + 2 ** top
        bytes[bytes.length - 1]! |= 1
        return encode(bytes)
      }
      yield* refusesJwk({ ...publicRsa, n: modulus(1024) }, /has 1024 bits, and at least 2048 are needed$/)
      yield* refusesJwk({ ...publicRsa, n: modulus(2047) }, /has 2047 bits, and at least 2048 are needed$/)
      yield* refusesJwk({ ...publicRsa, n: modulus(8193) }, /has 8193 bits, and at most 8192 are taken$/)
      yield* refusesJwk({ ...publicRsa, n: modulus(100_000) }, /has 100000 bits/)
      assert.strictEqual((yield* JwtKeysJose.jwk({ ...publicRsa, n: modulus(2048) })).algorithms.length, 6)
      assert.strictEqual((yield* JwtKeysJose.jwk({ ...publicRsa, n: modulus(8192) })).algorithms.length, 6)
      const even = Buffer.from(publicRsa.n!, "base64url")
      even[even.length - 1]! -= 1
      yield* refusesJwk({ ...publicRsa, n: encode(even) }, /^the modulus of an RSA key is even$/)
      yield* refusesJwk({ ...publicRsa, e: "AQ" }, /^the exponent of an RSA key is 1, and at least 65537 is needed$/)
      yield* refusesJwk({ ...publicRsa, e: "Aw" }, /^the exponent of an RSA key is 3, and at least 65537 is needed$/)
      yield* refusesJwk({ ...publicRsa, e: encode(Buffer.of(255, 255)) }, /is 65535, and at least/)
      yield* refusesJwk({ ...publicRsa, e: encode(Buffer.of(1, 0, 0)) }, /^the exponent of an RSA key is even$/)
      yield* refusesJwk({ ...publicRsa, e: encode(Buffer.of(1, 0, 2)) }, /^the exponent of an RSA key is even$/)
      yield* refusesJwk(
        { ...publicRsa, e: encode(Buffer.alloc(9, 255)) },
        /^the exponent of an RSA key is over 64 bits$/
      )
      assert.strictEqual((yield* JwtKeysJose.jwk({ ...publicRsa, e: encode(Buffer.of(1, 0, 3)) })).algorithms.length, 6)
    }))

  it.effect("of EC is a point of its curve", () =>
    Effect.gen(function*() {
      for (const key of [p256, p384, p521]) {
        const jwk = exported(key.publicKey)
        const sentence = /^a P-\d{3} key is not on its curve/
        yield* refusesJwk({ ...jwk, y: jwk.x }, sentence)
        const y = Buffer.from(jwk.y!, "base64url")
        y[y.length - 1]! ^= 1
        yield* refusesJwk({ ...jwk, y: encode(y) }, sentence)
        yield* refusesJwk({ ...jwk, x: encode(Buffer.alloc(y.length)), y: encode(Buffer.alloc(y.length)) }, sentence)
        yield* refusesJwk({ ...jwk, x: encode(Buffer.alloc(y.length, 255)) }, sentence)
      }
    }))

  it.effect("of Ed25519 is a point under which not everybody can sign", () =>
    Effect.gen(function*() {
      const sentence = /^the public half of an Ed25519 key is no point of the curve, or one of small order$/
      // The y-coordinates of small order, with both signs of x, and those that are not below 2^255 - 19.
      const small = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
      ]
      for (const hex of small) {
        const octets = Buffer.from(hex, "hex")
        yield* refusesJwk({ ...publicEd, x: encode(octets) }, sentence)
        octets[31]! |= 0x80
        yield* refusesJwk({ ...publicEd, x: encode(octets) }, sentence)
      }
      // y = 2 is no point of the curve.
      yield* refusesJwk({ ...publicEd, x: encode(Buffer.from(`02${"00".repeat(31)}`, "hex")) }, sentence)
      for (let i = 0; i < 50; i++) {
        const { publicKey } = generateKeyPairSync("ed25519")
        assert.deepStrictEqual((yield* JwtKeysJose.jwk(exported(publicKey))).algorithms, ["EdDSA"])
      }
    }))

  it.effect("whose private half belongs to another key is refused", () =>
    Effect.gen(function*() {
      const sentence = (name: string) =>
        new RegExp(`^the private half of ${name} key does not belong to its public half$`)
      const { e, kty, n } = exported(otherRsa.publicKey)
      yield* refusesJwk({ ...privateRsa, kty, n, e }, sentence("an RSA"))
      yield* refusesJwk(
        { ...privateEc, x: exported(otherP256.publicKey).x, y: exported(otherP256.publicKey).y },
        sentence("a P-256")
      )
      yield* refusesJwk({ ...privateEc, d: exported(otherP256.privateKey).d }, sentence("a P-256"))
      yield* refusesJwk({ ...privateEd, x: exported(otherEd25519.publicKey).x }, sentence("an Ed25519"))
      yield* refusesJwk({ ...privateEd, d: exported(otherEd25519.privateKey).d }, sentence("an Ed25519"))
      yield* refusesJwk({ ...privateEc, d: encode(Buffer.alloc(32)) }, sentence("a P-256"))
    }))

  it.effect("that is a secret is held to what secrets are held to", () =>
    Effect.gen(function*() {
      yield* refusesJwk({ kty: "oct", k: encode(randomBytes(31)) }, /has 31 bytes/)
      yield* refusesJwk({ kty: "oct", k: "" }, /is empty/)
      yield* refusesJwk({ kty: "oct", k: encode(spki(rsa.publicKey)) }, /is PEM text/)
      yield* refusesJwk({ kty: "oct", k: encode(JSON.stringify(publicRsa)) }, /is a JWK/)
    }))

  it.effect("is read once: what its members turn into afterwards changes nothing", () =>
    Effect.gen(function*() {
      let reads = 0
      const jwk = {
        ...publicEc,
        get x() {
          reads++
          return reads === 1 ? publicEc.x : exported(otherP256.publicKey).x
        }
      }
      const key = yield* JwtKeysJose.jwk(jwk)
      assert.strictEqual(key.publicJwk!["x"], publicEc.x)
      const throwing = {
        get kty(): string {
          throw new Error("no")
        }
      }
      assert.strictEqual(yield* refusal(JwtKeysJose.jwk(throwing)), "a JWK is no object")
    }))

  it.effect("verifies what node:crypto signed", () =>
    Effect.gen(function*() {
      const key = yield* JwtKeysJose.jwk(publicRsa)
      const input = `${encode(JSON.stringify({ alg: "PS256" }))}.e30`
      const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
      const good = signWith("sha256", Buffer.from(input), { key: rsa.privateKey, ...padding })
      assert.isTrue(yield* key.verify(`${input}.${good.toString("base64url")}`, "PS256"))
      const pkcs1 = signWith("sha256", Buffer.from(input), rsa.privateKey)
      assert.isFalse(yield* key.verify(`${input}.${pkcs1.toString("base64url")}`, "PS256"))
    }))
})

describe("a JWK set", () => {
  it.effect("gives its keys in their order, each with its name", () =>
    Effect.gen(function*() {
      const keys = yield* JwtKeysJose.jwks(Redacted.make({ keys: [{ ...a3.jwk, kid: "b" }, { ...a4.jwk, kid: "a" }] }))
      assert.deepStrictEqual(keys.map(({ kid }) => kid), ["b", "a"])
      assert.deepStrictEqual(keys.map(({ algorithms }) => algorithms), [["ES256"], ["ES512"]])
      assert.deepStrictEqual(yield* JwtKeysJose.jwks({ keys: [] }), [])
    }))

  it.effect("is refused for any key of it that is, and when it is none", () =>
    Effect.gen(function*() {
      const bad = { ...a2.jwk, e: "AQ" }
      assert.match(
        yield* refusal(JwtKeysJose.jwks({ keys: [a3.jwk, bad] })),
        /^key 2 of a set: the exponent of an RSA key is 1/
      )
      for (const set of [{}, null, undefined, [], { keys: {} }, { keys: "x" }]) {
        assert.match(yield* refusal(JwtKeysJose.jwks(set as never)), /^a key set is no object with an array keys$/)
      }
    }))

  it.effect("is what a ring is made of, and is published without its private members", () =>
    Effect.gen(function*() {
      const published = yield* JwtKeys.jwks
      assert.deepStrictEqual(published.keys.map(({ kid }) => kid), ["b", "a"])
      assert.notInclude(JSON.stringify(published), a3.jwk.d)
    }).pipe(
      Effect.provide(JwtKeys.layer(JwtKeysJose.jwks({ keys: [{ ...a3.jwk, kid: "b" }, { ...a4.jwk, kid: "a" }] })))
    ))
})

describe("a generated key", () => {
  it.effect("is another one each time, and its public half verifies", () =>
    Effect.gen(function*() {
      const one = yield* JwtKeysJose.generate("ES256")
      const other = yield* JwtKeysJose.generate("ES256")
      assert.notStrictEqual(one.kid, other.kid)
      const verifier = yield* JwtKeysJose.jwk(one.publicJwk!)
      const token = yield* sign(one, "ES256")
      assert.isTrue(yield* verifier.verify(token, "ES256"))
      assert.isFalse(yield* other.verify(token, "ES256"))
      assert.isUndefined((yield* JwtKeysJose.generate("HS256")).publicJwk)
    }))
})
