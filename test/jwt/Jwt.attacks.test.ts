// What strangers send. Each test is named after its attack; unless it says otherwise the token is truly signed with the
// key that the verifier trusts, so that nothing but the attack can be what it is refused for.
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck, Redacted, Schema } from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import * as Crypto from "node:crypto"
import * as Http from "node:http"
import type * as Net from "node:net"
import { vi } from "vitest"
import type { Pair } from "./fixtures.js"
import {
  all,
  audience,
  base64Url,
  claimsWith,
  complaintOf,
  families,
  holds,
  issuer,
  jwkOf,
  keyOf,
  newVerifier,
  now,
  optionsFor,
  pairOf,
  partsOf,
  ring,
  setSeconds,
  signatureOf,
  tokenOf,
  verdictOf,
  verdictsOf,
  verifierOf
} from "./fixtures.js"

const hs = pairOf("HS256")
const es = pairOf("ES256")
const rs = pairOf("RS256")
const ps = { ...rs, algorithm: "PS256" } as const satisfies Pair
const ed = pairOf("EdDSA")

const good = tokenOf(hs, claimsWith())
const [goodHeader = "", goodPayload = "", goodSignature = ""] = good.split(".")

/** The verifier of thousands of tokens. It remembers none of them. */
const shared = Effect.runSync(Effect.cached(newVerifier(hs, { cacheSize: 0 })))

/** A token with this text as its header, or as its claims. */
const withHeader = (text: string | Uint8Array) => tokenOf(hs, claimsWith(), text)
const withClaims = (text: string | Uint8Array) => tokenOf(hs, text)

/** Good claims as text, and before their closing brace more of it. */
const claimsAnd = (more: string, change: Readonly<Record<string, unknown>> = {}) =>
  `${JSON.stringify(claimsWith(change)).slice(0, -1)},${more}}`

/** A token of the key that says something else in one claim, or nothing for `undefined`. */
const claiming = (name: string, values: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(values).map(([title, value]) => [title, tokenOf(hs, claimsWith({ [name]: value }))])
  )

/** The same with the text of the JSON value. */
const claimingText = (name: string, values: ReadonlyArray<string>) =>
  Object.fromEntries(
    values.map((value) => [value, withClaims(claimsAnd(`${JSON.stringify(name)}:${value}`, { [name]: undefined }))])
  )

const refusedAll = (
  verifier: Jwt.Verifier<unknown>,
  tokens: Readonly<Record<string, string>>,
  reason: Jwt.Reason
) => Effect.map(verdictsOf(verifier, tokens), (verdicts) => assert.deepStrictEqual(verdicts, all(tokens, reason)))

it.effect("the token that the attacks are made of is good", () =>
  Effect.gen(function*() {
    assert.strictEqual(yield* verdictOf(yield* verifierOf(hs), good), "accepted")
    assert.strictEqual(yield* verdictOf(yield* verifierOf(hs), withClaims(claimsAnd("\"more\":1"))), "accepted")
  }))

// -----------------------------------------------------------------------------
// Algorithms
// -----------------------------------------------------------------------------

describe("the algorithm", () => {
  const spellings = ["none", "None", "NONE", "nOnE", "nONE", "none ", " none", "none\u0000", "n\u00f6ne", "", "null"]

  it.effect("none, in every spelling, with a signature of the key, of nobody, with none, and with a kid", () =>
    Effect.gen(function*() {
      for (const pair of [hs, es, rs, ed]) {
        const verifier = yield* verifierOf(pair, {}, "1")
        const signed = spellings.map((alg) => [alg, tokenOf(pair, claimsWith(), { alg, kid: "1" })] as const)
        yield* refusedAll(verifier, Object.fromEntries(signed), "WrongAlgorithm")
        const strange = signed.map(([alg, token]) => [alg, `${token.slice(0, token.lastIndexOf("."))}.AAAA`] as const)
        yield* refusedAll(verifier, Object.fromEntries(strange), "WrongAlgorithm")
        const empty = signed.map(([alg, token]) => [alg, token.slice(0, token.lastIndexOf(".") + 1)] as const)
        yield* refusedAll(verifier, Object.fromEntries(empty), "MalformedToken")
        const cut = signed.map(([alg, token]) => [alg, token.slice(0, token.lastIndexOf("."))] as const)
        yield* refusedAll(verifier, Object.fromEntries(cut), "MalformedToken")
      }
    }))

  it.effect("missing, or of another type than text", () =>
    Effect.gen(function*() {
      const headers = [
        "{}",
        ...["null", "true", "0", "256", "[]", "[\"HS256\"]", "{}", "{\"0\":\"HS256\"}"].map((alg) => `{"alg":${alg}}`)
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(headers.map((header) => [header, withHeader(header)])),
        "WrongAlgorithm"
      )
    }))

  it.effect("in another spelling", () =>
    Effect.gen(function*() {
      const names = [
        "hs256",
        "Hs256",
        "HS256 ",
        " HS256",
        "HS256\n",
        "HS-256",
        "HS256\u0000",
        "ＨＳ２５６",
        "HMAC",
        "HS"
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(names.map((alg) => [alg, tokenOf(hs, claimsWith(), { alg })])),
        "WrongAlgorithm"
      )
    }))

  it.effect("inherited from what a header brings as its prototype", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      yield* refusedAll(verifier, {
        "__proto__": withHeader("{\"__proto__\":{\"alg\":\"HS256\"}}"),
        "constructor": withHeader("{\"constructor\":{\"prototype\":{\"alg\":\"HS256\"}}}")
      }, "WrongAlgorithm")
      assert.strictEqual(yield* verdictOf(verifier, withHeader("{}")), "WrongAlgorithm")
    }))

  it.effect("HS256 with the public key as the secret, in every form in which it is handed around", () =>
    Effect.gen(function*() {
      for (const pair of [rs, ps, es, ed]) {
        const verifier = yield* verifierOf(pair, {}, "1")
        const spki = pair.verifying.export({ type: "spki", format: "pem" }).toString()
        const der = pair.verifying.export({ type: "spki", format: "der" })
        const jwk = jwkOf(pair.verifying)
        const secrets: Record<string, Crypto.BinaryLike> = {
          PEM: spki,
          "PEM without its last line end": spki.trimEnd(),
          "PEM with CRLF": spki.replaceAll("\n", "\r\n"),
          "PEM with a space": `${spki} `,
          "PEM in one line": spki.replaceAll("\n", ""),
          DER: der,
          "DER as base64": der.toString("base64"),
          JWK: JSON.stringify(jwk),
          "JWK with kid": JSON.stringify({ ...jwk, kid: "1" }),
          "the published JWK": JSON.stringify({ ...jwk, kid: "1", alg: pair.algorithm }),
          "a member of the JWK": Buffer.from(String(jwk["n"] ?? jwk["x"]), "base64url"),
          "PKCS #1 or nothing": pair === rs || pair === ps
            ? pair.verifying.export({ type: "pkcs1", format: "pem" }).toString()
            : "",
          empty: ""
        }
        for (const alg of families.HS) {
          const tokens = Object.entries(secrets).map(([name, secret]) => {
            const input = `${base64Url(JSON.stringify({ alg, kid: "1" }))}.${goodPayload}`
            const mac = Crypto.createHmac(`sha${alg.slice(2)}`, secret).update(input).digest()
            return [`${pair.algorithm} ${name}`, `${input}.${base64Url(mac)}`]
          })
          yield* refusedAll(verifier, Object.fromEntries(tokens), "WrongAlgorithm")
        }
      }
    }))

  it.effect("a public key is not taken for a secret in the first place (CVE-2026-48526, CVE-2026-102268, W48)", () =>
    Effect.gen(function*() {
      for (const pair of [rs, es, ed]) {
        const spki = pair.verifying.export({ type: "spki", format: "pem" }).toString()
        const forms: Record<string, string | Uint8Array> = {
          PEM: spki,
          "PEM as bytes": Buffer.from(spki),
          "PEM with white space": Buffer.from(` \r\n${spki.replaceAll("\n", "\r\n")}`),
          "PEM as base64url": base64Url(spki),
          DER: pair.verifying.export({ type: "spki", format: "der" }),
          "DER as base64url": base64Url(pair.verifying.export({ type: "spki", format: "der" })),
          JWK: Buffer.from(JSON.stringify(jwkOf(pair.verifying)))
        }
        for (const [name, form] of Object.entries(forms)) {
          assert.notStrictEqual(yield* complaintOf(JwtKeysJose.hmac(Redacted.make(form))), "accepted", name)
        }
      }
      // CVE-2026-102266: an empty secret.
      assert.notStrictEqual(yield* complaintOf(JwtKeysJose.hmac(Redacted.make(""))), "accepted")
    }))

  it.effect("of another family than the verifier's", () =>
    Effect.gen(function*() {
      const signers = [hs, rs, ps, es, ed]
      for (const pair of signers) {
        const verifier = yield* verifierOf(pair)
        const others = signers.filter(({ algorithm }) => algorithm !== pair.algorithm)
        yield* refusedAll(
          verifier,
          Object.fromEntries(others.map((other) => [other.algorithm, tokenOf(other, claimsWith())])),
          "WrongAlgorithm"
        )
        // The same, if the header says what the verifier accepts.
        yield* refusedAll(
          verifier,
          Object.fromEntries(
            others.map((other) => [other.algorithm, tokenOf(other, claimsWith(), { alg: pair.algorithm })])
          ),
          "BadSignature"
        )
      }
    }))

  it.effect("of the same family and the same key, and not listed", () =>
    Effect.gen(function*() {
      const key = yield* JwtKeysJose.jwk(Redacted.make(jwkOf(rs.signing)))
      yield* setSeconds(now)
      const ofRsa = yield* Effect.provide(
        Jwt.verifier({ ...optionsFor("RS256"), algorithms: ["RS256", "PS384"] }),
        ring(key)
      )
      for (const algorithm of families.RS) {
        const expected = algorithm === "RS256" || algorithm === "PS384" ? "accepted" : "WrongAlgorithm"
        assert.strictEqual(
          yield* verdictOf(ofRsa, tokenOf({ ...rs, algorithm }, claimsWith())),
          expected,
          algorithm
        )
      }
      const long = { ...pairOf("HS512"), algorithm: "HS384" } as const
      const secret = yield* JwtKeysJose.hmac(Redacted.make(new Uint8Array(long.signing.export())))
      const ofSecret = yield* Effect.provide(Jwt.verifier(optionsFor("HS384")), ring(secret))
      for (const algorithm of families.HS) {
        const expected = algorithm === "HS384" ? "accepted" : "WrongAlgorithm"
        assert.strictEqual(yield* verdictOf(ofSecret, tokenOf({ ...long, algorithm }, claimsWith())), expected)
      }
    }))

  it.effect("RS256 where it says PS256, and the other way round", () =>
    Effect.gen(function*() {
      const ofRs = yield* verifierOf(rs)
      const ofPs = yield* verifierOf(ps)
      assert.strictEqual(yield* verdictOf(ofRs, tokenOf(rs, claimsWith())), "accepted")
      assert.strictEqual(yield* verdictOf(ofPs, tokenOf(ps, claimsWith())), "accepted")
      assert.strictEqual(yield* verdictOf(ofPs, tokenOf(rs, claimsWith(), { alg: "PS256" })), "BadSignature")
      assert.strictEqual(yield* verdictOf(ofRs, tokenOf(ps, claimsWith(), { alg: "RS256" })), "BadSignature")
      assert.strictEqual(yield* verdictOf(ofRs, tokenOf(ps, claimsWith())), "WrongAlgorithm")
    }))

  it.effect("with another hash than it says", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(rs)
      const longer = tokenOf({ ...rs, algorithm: "RS512" }, claimsWith(), { alg: "RS256" })
      assert.strictEqual(yield* verdictOf(verifier, longer), "BadSignature")
    }))
})

// -----------------------------------------------------------------------------
// The rest of the header
// -----------------------------------------------------------------------------

describe("the header", () => {
  it.effect("a kid that is a path, SQL, a command, or a name that objects have: no key is called that", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs, {}, "1")
      const names = [
        "../../../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "..\\..\\windows\\win.ini",
        "x' UNION SELECT 'AAAA' --",
        "1; DROP TABLE keys",
        "1\u0000",
        "1 ",
        "| /bin/true",
        "https://evil.example/key",
        "",
        "01",
        "０",
        "constructor",
        "__proto__",
        "toString",
        "x".repeat(4_000)
      ]
      yield* refusedAll(
        verifier,
        Object.fromEntries(names.map((kid) => [kid, tokenOf(hs, claimsWith(), { alg: "HS256", kid })])),
        "UnknownKey"
      )
      // The classic: a file without content as the secret.
      const input = `${base64Url(JSON.stringify({ alg: "HS256", kid: "/dev/null" }))}.${goodPayload}`
      const mac = Crypto.createHmac("sha256", "").update(input).digest()
      assert.strictEqual(yield* verdictOf(verifier, `${input}.${base64Url(mac)}`), "UnknownKey")
      assert.strictEqual(yield* verdictOf(verifier, tokenOf(hs, claimsWith(), { alg: "HS256", kid: "1" })), "accepted")
    }))

  it.effect("a kid that is no text", () =>
    Effect.gen(function*() {
      const values = ["null", "1", "0", "true", "false", "[]", "[\"1\"]", "{}", "{\"toString\":\"1\"}", "1e999"]
      for (const kid of ["1", undefined]) {
        yield* refusedAll(
          yield* verifierOf(hs, {}, kid),
          Object.fromEntries(values.map((value) => [value, withHeader(`{"alg":"HS256","kid":${value}}`)])),
          "UnsupportedHeader"
        )
      }
    }))

  it.effect("jwk, x5c, jku and x5u with the attacker's key: it is not used, and nothing is fetched", () =>
    Effect.gen(function*() {
      for (const [trusted, attacker] of [[es, pairOf("ES256")], [ed, pairOf("EdDSA")]] as const) {
        const verifier = yield* verifierOf(trusted, {}, "1")
        let connections = 0
        const server = Http.createServer((_, response) => {
          response.end(JSON.stringify({ keys: [jwkOf(attacker.verifying)] }))
        })
        server.on("connection", () => connections++)
        yield* Effect.async<void>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.void))
        })
        const url = `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}/keys`
        const fetched = vi.spyOn(globalThis, "fetch")

        const jwk = { ...jwkOf(attacker.verifying), alg: attacker.algorithm, kid: "1" }
        const der = attacker.verifying.export({ type: "spki", format: "der" }).toString("base64")
        const members: Record<string, Record<string, unknown>> = {
          jwk: { jwk },
          "the private half too": { jwk: { ...jwk, ...jwkOf(attacker.signing) } },
          x5c: { x5c: [der] },
          jku: { jku: url },
          x5u: { x5u: url },
          "x5t and x5t#S256": { x5t: "AAAA", "x5t#S256": "AAAA" },
          together: { jwk, jku: url, x5u: url, x5c: [der] },
          "of no type that it has": { jwk: 1, jku: ["x"], x5u: {}, x5c: null }
        }
        for (const [name, member] of Object.entries(members)) {
          for (const kid of ["1", undefined, "evil"]) {
            const header = { alg: trusted.algorithm, kid, ...member }
            const expected = kid === "evil" ? "UnknownKey" : "BadSignature"
            assert.strictEqual(yield* verdictOf(verifier, tokenOf(attacker, claimsWith(), header)), expected, name)
            const own = yield* verdictOf(verifier, tokenOf(trusted, claimsWith(), header))
            assert.strictEqual(own, kid === "evil" ? "UnknownKey" : "accepted", name)
          }
        }
        assert.strictEqual(connections, 0)
        assert.strictEqual(fetched.mock.calls.length, 0)
        // Whoever had fetched would have been seen.
        yield* Effect.promise(() => fetch(url).then((response) => response.text()))
        assert.strictEqual(connections, 1)
        assert.strictEqual(fetched.mock.calls.length, 1)
        fetched.mockRestore()
        server.closeAllConnections()
        server.close()
      }
    }))

  it.effect("crit, in every shape, and extensions that it names (CVE-2026-32597, W48)", () =>
    Effect.gen(function*() {
      const values = [
        "[]",
        "[\"exp\"]",
        "[\"b64\"]",
        "[\"alg\"]",
        "[\"x\"]",
        "[1]",
        "null",
        "\"exp\"",
        "true",
        "{}",
        "0"
      ]
      const extended = { "its own extension": withHeader("{\"alg\":\"HS256\",\"crit\":[\"x\"],\"x\":true}") }
      yield* refusedAll(
        yield* verifierOf(hs),
        {
          ...extended,
          ...Object.fromEntries(values.map((value) => [value, withHeader(`{"alg":"HS256","crit":${value}}`)]))
        },
        "UnsupportedHeader"
      )
    }))

  it.effect("b64, whatever it says: the payload is always base64url (RFC 7797)", () =>
    Effect.gen(function*() {
      const values = ["false", "true", "null", "0", "\"false\""]
      const verifier = yield* verifierOf(hs)
      yield* refusedAll(
        verifier,
        Object.fromEntries(values.flatMap((value) => [
          [value, withHeader(`{"alg":"HS256","b64":${value}}`)],
          [`${value} and crit`, withHeader(`{"alg":"HS256","b64":${value},"crit":["b64"]}`)]
        ])),
        "UnsupportedHeader"
      )
      const header = base64Url("{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}")
      const raw = `${header}.${JSON.stringify(claimsWith())}`
      const mac = base64Url(signatureOf("HS256", hs.signing, raw))
      yield* refusedAll(verifier, { plain: `${raw}.${mac}`, detached: `${header}..${mac}` }, "MalformedToken")
    }))

  it.effect("a typ of tokens that are made for something else (W47)", () =>
    Effect.gen(function*() {
      const types = [
        "at+jwt",
        "application/at+jwt",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "JOSE",
        "JOSE+JSON",
        "JWE",
        "jwt+",
        "+jwt",
        "JWT ",
        "text/jwt",
        "application/application/jwt",
        "application/jwt; charset=utf-8",
        "",
        null,
        1,
        0,
        false,
        [],
        ["JWT"],
        {}
      ]
      const tokens = Object.fromEntries(
        types.map((typ) => [JSON.stringify(typ), tokenOf(hs, claimsWith(), { alg: "HS256", typ })])
      )
      yield* refusedAll(yield* verifierOf(hs), tokens, "WrongTokenType")
      yield* refusedAll(yield* verifierOf(hs, { type: "JWT" }), tokens, "WrongTokenType")
    }))

  it.effect("the typ of a token is compared without regard to case, and may be missing for JWT alone", () =>
    Effect.gen(function*() {
      const token = (typ: string | undefined) => tokenOf(hs, claimsWith(), { alg: "HS256", typ })
      const ofJwt = { JWT: token("JWT"), jwt: token("jwt"), Jwt: token("Jwt"), long: token("application/jwt") }
      const ofAccess = {
        "at+jwt": token("at+jwt"),
        "AT+JWT": token("AT+JWT"),
        "application/at+jwt": token("application/at+jwt"),
        "Application/AT+jwt": token("Application/AT+jwt")
      }
      const jwt = yield* verifierOf(hs)
      const access = yield* verifierOf(hs, { type: "at+jwt" })
      assert.deepStrictEqual(yield* verdictsOf(jwt, ofJwt), all(ofJwt, "accepted"))
      assert.deepStrictEqual(yield* verdictsOf(access, ofAccess), all(ofAccess, "accepted"))
      assert.strictEqual(yield* verdictOf(jwt, token(undefined)), "accepted")
      yield* refusedAll(access, { ...ofJwt, missing: token(undefined), "rt+jwt": token("rt+jwt") }, "WrongTokenType")
      yield* refusedAll(jwt, ofAccess, "WrongTokenType")
    }))

  it.effect("cty JWT and a token inside a token: the inner one is not looked at", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      yield* refusedAll(verifier, {
        nested: tokenOf(hs, good, { alg: "HS256", cty: "JWT" }),
        quoted: tokenOf(hs, JSON.stringify(good), { alg: "HS256", cty: "JWT" })
      }, "MalformedToken")
      // As a claim it is text like any other, and the outer claims count.
      const inner = tokenOf(hs, { token: good }, { alg: "HS256", cty: "JWT" })
      assert.strictEqual(yield* verdictOf(verifier, inner), "InvalidClaims")
    }))

  it.effect("other members are not read: zip, enc, claims in the header", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const header = { alg: "HS256", zip: "DEF", enc: "A256GCM", iss: "https://evil.example", exp: 1, nbf: 1e12 }
      assert.strictEqual(yield* verdictOf(verifier, tokenOf(hs, claimsWith(), header)), "accepted")
      assert.strictEqual(
        yield* verdictOf(verifier, tokenOf(hs, claimsWith({ exp: undefined }), { alg: "HS256", exp: now + 60 })),
        "InvalidClaims"
      )
    }))

  it.effect("that is no object", () =>
    Effect.gen(function*() {
      const texts = [
        "[]",
        "[{\"alg\":\"HS256\"}]",
        "\"HS256\"",
        "1",
        "null",
        "true",
        "",
        " ",
        "{",
        "{\"alg\":\"HS256\"}}"
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(texts.map((text) => [text, withHeader(text)])),
        "MalformedToken"
      )
    }))
})

// -----------------------------------------------------------------------------
// Forms
// -----------------------------------------------------------------------------

describe("the form", () => {
  it.effect("JWE, JSON serialization, and any other number of parts", () =>
    Effect.gen(function*() {
      yield* refusedAll(yield* verifierOf(hs), {
        JWE: `${goodHeader}.${goodPayload}.${goodSignature}.${goodSignature}.${goodSignature}`,
        "JWE of one's own": `${base64Url("{\"alg\":\"dir\",\"enc\":\"A256GCM\"}")}..AAAA.AAAA.AAAA`,
        four: `${good}.${goodSignature}`,
        "an empty fourth": `${good}.`,
        two: `${goodHeader}.${goodPayload}`,
        one: goodHeader,
        none: "",
        dots: "..",
        "no header": `.${goodPayload}.${goodSignature}`,
        "no payload": `${goodHeader}..${goodSignature}`,
        "no signature": `${goodHeader}.${goodPayload}.`,
        flattened: JSON.stringify({ protected: goodHeader, payload: goodPayload, signature: goodSignature }),
        general: JSON.stringify({
          payload: goodPayload,
          signatures: [{ protected: goodHeader, signature: goodSignature }]
        }),
        list: JSON.stringify([good]),
        quoted: JSON.stringify(good),
        "with its scheme": `Bearer ${good}`
      }, "MalformedToken")
    }))

  it.effect("padding, white space, line ends, other alphabets, NUL: not one of them stands for the same token", () =>
    Effect.gen(function*() {
      const inserted = [
        "=",
        "==",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\u0000",
        "\u00a0",
        "\ufeff",
        "\u200b",
        "+",
        "/",
        "%3D",
        "%",
        "é",
        "😀",
        "\ud800",
        "Ａ",
        "~",
        ",",
        ";",
        "\"",
        "\\"
      ]
      const verifier = yield* verifierOf(hs)
      const tokens: Record<string, string> = {}
      const positions = {
        front: 0,
        "in the header": 3,
        "behind the header": goodHeader.length,
        "before the payload": goodHeader.length + 1,
        "in the payload": goodHeader.length + 5,
        "behind the payload": goodHeader.length + 1 + goodPayload.length,
        "before the signature": goodHeader.length + goodPayload.length + 2,
        "in the signature": good.length - 3,
        end: good.length
      }
      for (const text of inserted) {
        for (const [name, at] of Object.entries(positions)) {
          tokens[`${JSON.stringify(text)} ${name}`] = good.slice(0, at) + text + good.slice(at)
        }
      }
      yield* refusedAll(verifier, tokens, "MalformedToken")
    }))

  it.effect("the same disfigurements, signed as they stand (Wycheproof 360 to 375)", () =>
    Effect.gen(function*() {
      const inputs = {
        "spaces behind the header": `${goodHeader}    .${goodPayload}`,
        "spaces before the payload": `${goodHeader}.    ${goodPayload}`,
        "signs behind the header": `${goodHeader}####.${goodPayload}`,
        "signs before the payload": `${goodHeader}.####${goodPayload}`,
        "a question mark in the header": `${goodHeader.slice(0, -1)}?${goodHeader.slice(-1)}.${goodPayload}`,
        "padding of the payload": `${goodHeader}.${goodPayload}=`,
        "standard alphabet": `${
          Buffer.from("{\"alg\":\"HS256\",\"x\":\"???~~~\"}").toString("base64").replace(/=+$/, "")
        }.${goodPayload}`,
        // Two characters are one byte and four bits that an encoder writes as zeros: here `{"alg":"HS256"} `.
        "spare bits of the header": `${base64Url("{\"alg\":\"HS256\"} ").slice(0, -1)}B.${goodPayload}`
      }
      assert.include(inputs["standard alphabet"], "/")
      const tokens = Object.fromEntries(
        Object.entries(inputs).map(([name, input]) => [
          name,
          `${input}.${base64Url(signatureOf("HS256", hs.signing, input))}`
        ])
      )
      yield* refusedAll(yield* verifierOf(hs), tokens, "MalformedToken")
    }))

  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

  it.effect("spare bits: of all the last characters that decode to the same bytes one is taken, in each part", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      let spare = 0
      // Claims and headers of every length, so that the spare bits are 0, 2 and 4.
      for (const pad of ["", "x", "xx"]) {
        const token = tokenOf(hs, claimsWith({ pad }), { alg: "HS256", pad })
        assert.strictEqual(yield* verdictOf(verifier, token), "accepted")
        const parts = token.split(".")
        for (const [index, part] of parts.entries()) {
          const bytes = Buffer.from(part, "base64url")
          const tokens: Record<string, string> = {}
          for (const last of alphabet) {
            const twin = part.slice(0, -1) + last
            if (twin === part || !Buffer.from(twin, "base64url").equals(bytes)) continue
            spare++
            const changed = [...parts.slice(0, index), twin, ...parts.slice(index + 1)]
            tokens[`${index} ${last} as sent`] = changed.join(".")
            // Even where its maker signed it that way.
            const input = `${changed[0]}.${changed[1]}`
            const signature = index === 2 ? twin : base64Url(signatureOf("HS256", hs.signing, input))
            tokens[`${index} ${last} signed`] = `${input}.${signature}`
          }
          yield* refusedAll(verifier, tokens, "MalformedToken")
        }
      }
      assert.isAbove(spare, 30)
    }))

  it.effect("a token with one character changed, taken out or put in is none, wherever it is", () =>
    holds(
      FastCheck.tuple(
        FastCheck.nat({ max: good.length }),
        FastCheck.oneof(
          FastCheck.constantFrom(...alphabet, ".", "=", "+", "/", " ", "\n", "\u0000"),
          FastCheck.string({ unit: "binary", minLength: 1, maxLength: 1 })
        ),
        FastCheck.constantFrom("change", "insert", "remove")
      ),
      1_000,
      ([at, character, edit]) =>
        Effect.gen(function*() {
          const token = edit === "remove"
            ? good.slice(0, at) + good.slice(at + 1)
            : good.slice(0, at) + character + good.slice(edit === "change" ? at + 1 : at)
          const verdict = yield* verdictOf(yield* shared, token)
          assert.strictEqual(verdict === "accepted", token === good, verdict)
        })
    ))
})

// -----------------------------------------------------------------------------
// Signatures
// -----------------------------------------------------------------------------

describe("the signature", () => {
  /** The token of a pair with other bytes as its signature. */
  const withSignature = (pair: Pair, signature: Uint8Array) =>
    `${partsOf(tokenOf(pair, claimsWith())).input}.${base64Url(signature)}`

  /** A good token whose signature begins with such an octet. */
  const tokenWith = (pair: Pair, isFirst: (octet: number) => boolean): string => {
    let token: string
    let jti = 0
    do token = tokenOf(pair, claimsWith({ jti: String(jti++) }))
    while (!isFirst(partsOf(token).signature[0]!))
    return token
  }

  const sizes = { HS256: 32, RS256: 256, PS256: 256, ES256: 64, ES384: 96, ES512: 132, EdDSA: 64 } as const

  it.effect("of zeros, ones, or the order of the curve (psychic signatures, CVE-2022-21449)", () =>
    Effect.gen(function*() {
      const orders = {
        ES256: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ES384: "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ES512: `01${"f".repeat(64)}fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`
      }
      for (const algorithm of families.ES) {
        const pair = pairOf(algorithm)
        const verifier = yield* verifierOf(pair)
        const order = Buffer.from(orders[algorithm], "hex")
        const size = order.length
        assert.strictEqual(2 * size, sizes[algorithm])
        const zero = Buffer.alloc(size)
        const one = Buffer.alloc(size)
        one[size - 1] = 1
        const below = Buffer.from(order)
        below[size - 1]!--
        const numbers = { 0: zero, 1: one, "n - 1": below, n: order, "2^k - 1": Buffer.alloc(size, 0xff) }
        const tokens: Record<string, string> = {}
        for (const [r, left] of Object.entries(numbers)) {
          for (const [s, right] of Object.entries(numbers)) {
            tokens[`${algorithm} r = ${r}, s = ${s}`] = withSignature(pair, Buffer.concat([left, right]))
          }
        }
        yield* refusedAll(verifier, tokens, "BadSignature")
      }
    }))

  it.effect("of ECDSA in DER, as others write it", () =>
    Effect.gen(function*() {
      for (const algorithm of families.ES) {
        const pair = pairOf(algorithm)
        const input = partsOf(tokenOf(pair, claimsWith())).input
        const der = Crypto.sign(`sha${algorithm.slice(2)}`, Buffer.from(input), {
          key: pair.signing,
          dsaEncoding: "der"
        })
        assert.strictEqual(yield* verdictOf(yield* verifierOf(pair), withSignature(pair, der)), "BadSignature")
      }
    }))

  it.effect("of another length: cut, one byte, doubled, with zeros before or behind", () =>
    Effect.gen(function*() {
      for (const [algorithm, size] of Object.entries(sizes) as Array<[keyof typeof sizes, number]>) {
        const pair = algorithm === "RS256" ? rs : algorithm === "PS256" ? ps : pairOf(algorithm)
        const verifier = yield* verifierOf(pair)
        const token = tokenWith(pair, (first) => first !== 0)
        const { input, signature } = partsOf(token)
        assert.strictEqual(signature.length, size)
        assert.strictEqual(yield* verdictOf(verifier, token), "accepted", algorithm)
        const byte = Buffer.alloc(1)
        const tokens = {
          "one byte less": `${input}.${base64Url(signature.subarray(0, -1))}`,
          "one byte less in front": `${input}.${base64Url(signature.subarray(1))}`,
          half: `${input}.${base64Url(signature.subarray(0, size / 2))}`,
          "one byte": `${input}.${base64Url(signature.subarray(0, 1))}`,
          zeros: `${input}.${base64Url(Buffer.alloc(size))}`,
          doubled: `${input}.${base64Url(Buffer.concat([signature, signature]))}`,
          "zero behind": `${input}.${base64Url(Buffer.concat([signature, byte]))}`,
          "zero in front": `${input}.${base64Url(Buffer.concat([byte, signature]))}`,
          long: `${input}.${base64Url(Buffer.alloc(5_000, 1))}`
        }
        yield* refusedAll(verifier, tokens, "BadSignature")
      }
    }))

  it.effect("without the zero octet that it begins with, which leaves the same number (RFC 8017 section 8.1.2)", () =>
    Effect.gen(function*() {
      for (const pair of [rs, ps, es, pairOf("ES384"), ed, hs]) {
        const verifier = yield* verifierOf(pair)
        const token = tokenWith(pair, (first) => first === 0)
        assert.strictEqual(yield* verdictOf(verifier, token), "accepted", pair.algorithm)
        const { input, signature } = partsOf(token)
        const shorter = `${input}.${base64Url(signature.subarray(1))}`
        assert.strictEqual(yield* verdictOf(verifier, shorter), "BadSignature", pair.algorithm)
      }
    }))

  it.effect("of another token of the same key, or of a part of it", () =>
    Effect.gen(function*() {
      const other = tokenOf(hs, claimsWith({ sub: "eve" }))
      yield* refusedAll(yield* verifierOf(hs), {
        "its claims": `${goodHeader}.${other.split(".")[1]}.${goodSignature}`,
        "its header": `${base64Url("{\"alg\":\"HS256\",\"typ\":\"JWT\"}")}.${goodPayload}.${goodSignature}`,
        "of the header": `${goodHeader}.${goodPayload}.${base64Url(signatureOf("HS256", hs.signing, goodHeader))}`,
        "of the payload": `${goodHeader}.${goodPayload}.${base64Url(signatureOf("HS256", hs.signing, goodPayload))}`,
        "of nothing": `${goodHeader}.${goodPayload}.${base64Url(signatureOf("HS256", hs.signing, ""))}`
      }, "BadSignature")
    }))
})

// -----------------------------------------------------------------------------
// JSON
// -----------------------------------------------------------------------------

describe("JSON that says two things", () => {
  it.effect("names that are there twice, in the header", () =>
    Effect.gen(function*() {
      const headers = [
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
        "{\"\\u0061lg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"al\\u0067\":\"HS256\"}",
        "{\"alg\":\"HS256\" , \"alg\" : \"HS256\"}",
        "{\"alg\":\"HS256\",\"kid\":\"1\",\"kid\":\"1\"}",
        "{\"alg\":\"HS256\",\"x\":{\"a\":1,\"a\":1}}",
        "{\"alg\":\"HS256\",\"__proto__\":1,\"__proto__\":1}",
        "{\"alg\":\"HS256\",\"\":1,\"\":1}"
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(headers.map((header) => [header, withHeader(header)])),
        "MalformedToken"
      )
    }))

  it.effect("names that are there twice, in the claims, at any depth, however they are written", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const more = [
        "\"sub\":\"eve\"",
        "\"sub\":\"ada\"",
        "\"\\u0073ub\":\"eve\"",
        "\"su\\u0062\":\"eve\"",
        "\"\\u0073\\u0075\\u0062\" \n:\"eve\"",
        "\"exp\":1e12",
        "\"a\":1,\"b\":2,\"a\":3",
        "\"a\":{\"b\":1,\"b\":2}",
        "\"a\":[[{\"c\":[]},{\"b\":{\"c\":1,\"d\":{},\"c\":2}}]]",
        "\"a\\\"b\":1,\"a\\u0022b\":2",
        "\"a/b\":1,\"a\\/b\":2",
        "\"\\ud83d\\ude00\":1,\"😀\":2",
        "\"\\ud800\":1,\"\\uD800\":2",
        "\"a\\\\\":1,\"a\\u005c\":2",
        "\"__proto__\":{},\"__proto__\":{}"
      ]
      yield* refusedAll(
        verifier,
        Object.fromEntries(more.map((text) => [text, withClaims(claimsAnd(text))])),
        "MalformedToken"
      )
    }))

  it.effect("the same name in two objects, as a value, or only alike, is there once", () =>
    Effect.gen(function*() {
      const more = [
        "\"a\":{\"sub\":1},\"b\":{\"sub\":2}",
        "\"a\":[{\"sub\":1},{\"sub\":2}]",
        "\"a\":[\"sub\",\"sub\",\"a\"]",
        "\"a\":\"sub\",\"b\":\"\\\"sub\\\":1\"",
        "\"a\":\"{\\\"sub\\\":1\",\"b\":\"}\"",
        "\"Sub\":1,\"SUB\":2,\"sub \":3,\"\u0455ub\":4",
        "\"a\":{\"a\":{\"a\":{}}}",
        "\"é\":1,\"e\u0301\":2",
        "\"a\\\\\":1,\"a\":2",
        "\"a\":\"x\\\\\",\"b\":\":\""
      ]
      const tokens = Object.fromEntries(more.map((text) => [text, withClaims(claimsAnd(text))]))
      assert.deepStrictEqual(yield* verdictsOf(yield* verifierOf(hs), tokens), all(tokens, "accepted"))
    }))

  /** JSON by hand: the text of a value, and whether an object in it has a name twice. */
  interface Written {
    readonly text: string
    readonly isDouble: boolean
  }
  const name = FastCheck.oneof(
    { weight: 3, arbitrary: FastCheck.constantFrom("a", "b", "ab", "", "\"", "\\", ":", "{", "}", ",", "__proto__") },
    { weight: 1, arbitrary: FastCheck.string({ unit: "binary", maxLength: 3 }) }
  )
  /** The same text of a string in another spelling: some of its units as escapes. */
  const spelt = (text: string, mask: number) =>
    `"${
      Array.from({ length: text.length }, (_, index) => {
        const unit = text.charCodeAt(index)
        const isEscaped = (mask >> index % 8) % 2 === 1 || unit < 0x20 || unit === 0x22 || unit === 0x5c ||
          (unit >= 0xd800 && unit < 0xe000)
        return isEscaped ? `\\u${unit.toString(16).padStart(4, "0")}` : text[index]!
      }).join("")
    }"`
  const space = FastCheck.constantFrom("", "", " ", "\n\t", "\r")
  const { value } = FastCheck.letrec<{ value: Written }>((tie) => ({
    value: FastCheck.oneof(
      { maxDepth: 4, depthSize: "medium" },
      FastCheck.oneof(
        FastCheck.constantFrom("1", "-0.5e3", "true", "null", "[]", "{}").map((text) => ({ text, isDouble: false })),
        FastCheck.tuple(name, FastCheck.nat(255)).map(([text, mask]) => ({ text: spelt(text, mask), isDouble: false }))
      ),
      FastCheck.array(FastCheck.tuple(tie("value"), space), { maxLength: 3 }).map((items) => ({
        text: `[${items.map(([{ text }, space]) => space + text + space).join(",")}]`,
        isDouble: items.some(([{ isDouble }]) => isDouble)
      })),
      FastCheck.array(FastCheck.tuple(name, FastCheck.nat(255), tie("value"), space), { maxLength: 4 }).map((
        items
      ) => ({
        text: `{${
          items.map(([name, mask, { text }, space]) => `${space}${spelt(name, mask)}${space}:${text}${space}`).join(",")
        }}`,
        isDouble: new Set(items.map(([name]) => name)).size < items.length ||
          items.some(([, , { isDouble }]) => isDouble)
      }))
    )
  }))

  it.effect("any JSON is taken exactly when no object in it has a name twice", () =>
    holds(FastCheck.tuple(value), 2_000, ([{ isDouble, text }]) =>
      Effect.gen(function*() {
        const verdict = yield* verdictOf(yield* shared, withClaims(claimsAnd(`"more":${text}`)))
        assert.strictEqual(verdict, isDouble ? "MalformedToken" : "accepted", text)
      })))
})

describe("text that is no text", () => {
  const bytes = (...parts: ReadonlyArray<string | ReadonlyArray<number>>) =>
    Buffer.concat(parts.map((part) => Buffer.from(part as string)))

  it.effect("bytes that are not UTF-8, in header and claims", () =>
    Effect.gen(function*() {
      const sequences = {
        "a lone continuation": [0x80],
        "latin-1": [0xe9],
        "cut short": [0xe2, 0x82],
        "overlong NUL": [0xc0, 0x80],
        "overlong slash": [0xe0, 0x80, 0xaf],
        surrogate: [0xed, 0xa0, 0x80],
        "beyond Unicode": [0xf4, 0x90, 0x80, 0x80],
        "no UTF-8 at all": [0xff, 0xfe]
      }
      const claims = JSON.stringify(claimsWith()).slice(0, -1)
      const tokens = Object.fromEntries(
        Object.entries(sequences).flatMap(([name, sequence]) => [
          [`${name} in claims`, withClaims(bytes(`${claims},"a":"`, sequence, "\"}"))],
          [
            `${name} in sub`,
            withClaims(bytes("{\"sub\":\"ada", sequence, "\",", claims.slice(1).replace("\"sub\":\"ada\",", ""), "}"))
          ],
          [`${name} in header`, withHeader(bytes("{\"alg\":\"HS256\",\"a\":\"", sequence, "\"}"))]
        ])
      )
      yield* refusedAll(yield* verifierOf(hs), tokens, "MalformedToken")
    }))

  it.effect("a byte order mark, UTF-16, UTF-32", () =>
    Effect.gen(function*() {
      const claims = JSON.stringify(claimsWith())
      yield* refusedAll(yield* verifierOf(hs), {
        "mark and claims": withClaims(bytes([0xef, 0xbb, 0xbf], claims)),
        "mark and header": withHeader(bytes([0xef, 0xbb, 0xbf], "{\"alg\":\"HS256\"}")),
        "UTF-16": withClaims(Buffer.from(claims, "utf16le")),
        "UTF-16 with mark": withClaims(Buffer.from(`\ufeff${claims}`, "utf16le")),
        "header in UTF-16": withHeader(Buffer.from("{\"alg\":\"HS256\"}", "utf16le"))
      }, "MalformedToken")
    }))

  it.effect("control characters, comments, commas and literals that JSON does not have", () =>
    Effect.gen(function*() {
      const texts = [
        claimsAnd("\"a\":\"\n\""),
        claimsAnd("\"a\":\"\u0000\""),
        claimsAnd("\"a\":1,"),
        claimsAnd("\"a\":NaN"),
        claimsAnd("\"a\":Infinity"),
        claimsAnd("\"a\":undefined"),
        claimsAnd("\"a\":01"),
        claimsAnd("\"a\":0x1"),
        claimsAnd("\"a\":.5"),
        claimsAnd("a:1"),
        claimsAnd("'a':1"),
        claimsAnd("/**/\"a\":1"),
        `${JSON.stringify(claimsWith())}x`,
        `${JSON.stringify(claimsWith())}\u0000`,
        `${JSON.stringify(claimsWith())}${JSON.stringify(claimsWith())}`,
        `)]}'\n${JSON.stringify(claimsWith())}`
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(texts.map((text) => [text, withClaims(text)])),
        "MalformedToken"
      )
    }))

  it.effect("lone surrogates that the issuer wrote as escapes stay what they are", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const { token } = yield* verifier.verify(
        Redacted.make(withClaims(claimsAnd("\"sub\":\"a\\ud800b\"", { sub: undefined })))
      )
      assert.strictEqual(token.subject, "a\ud800b")
    }))

  it.effect("claims that are no object", () =>
    Effect.gen(function*() {
      const texts = [
        "[]",
        `[${JSON.stringify(claimsWith())}]`,
        "\"ada\"",
        "1",
        "null",
        "true",
        "",
        " ",
        "{",
        "undefined"
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(texts.map((text) => [text, withClaims(text)])),
        "MalformedToken"
      )
      assert.strictEqual(yield* verdictOf(yield* verifierOf(hs), withClaims("{}")), "InvalidClaims")
    }))
})

// -----------------------------------------------------------------------------
// Claims
// -----------------------------------------------------------------------------

describe("a registered claim of another type", () => {
  const noTime = [
    "\"1\"",
    `"${now + 60}"`,
    "\"1e999\"",
    "\"\"",
    "null",
    "true",
    "[]",
    "{}",
    `[${now + 60}]`,
    "1e999",
    "-1e999",
    "\"2030-01-01T00:00:00Z\"",
    "\"NaN\"",
    "{\"valueOf\":1}"
  ]

  it.effect("exp that is no finite number, or is not there (94, 95, CVE-2026-44459)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      yield* refusedAll(
        verifier,
        { ...claimingText("exp", noTime), ...claiming("exp", { missing: undefined }) },
        "InvalidClaims"
      )
      yield* refusedAll(verifier, claimingText("exp", ["0", "-0", "-1", "1", "1.5", "-1e300"]), "Expired")
    }))

  it.effect("iat that is no finite number, or is not there (94, 121)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      yield* refusedAll(
        verifier,
        {
          ...claimingText("iat", noTime),
          "not numeric": withClaims(claimsAnd("\"iat\":\"today\"", { iat: undefined })),
          ...claiming("iat", { missing: undefined })
        },
        "InvalidClaims"
      )
      const past = claimingText("iat", ["0", "-1", "1.5", "-1e300"])
      assert.deepStrictEqual(yield* verdictsOf(verifier, past), all(past, "accepted"))
    }))

  it.effect("nbf that is there and no finite number", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      yield* refusedAll(verifier, claimingText("nbf", noTime), "InvalidClaims")
      const past = { ...claimingText("nbf", ["0", "-1", "1.5", "-1e300"]), ...claiming("nbf", { missing: undefined }) }
      assert.deepStrictEqual(yield* verdictsOf(verifier, past), all(past, "accepted"))
    }))

  it.effect("sub, iss or jti that is no text, and sub or iss that is empty or missing (94, O9)", () =>
    Effect.gen(function*() {
      const noText = ["1", "0", "true", "null", "[]", "{}", "[\"ada\"]", "{\"toString\":\"ada\"}", "1e999"]
      const verifier = yield* verifierOf(hs)
      for (const name of ["sub", "iss", "jti"]) yield* refusedAll(verifier, claimingText(name, noText), "InvalidClaims")
      for (const name of ["sub", "iss"]) {
        yield* refusedAll(verifier, claiming(name, { empty: "", missing: undefined, list: [issuer] }), "InvalidClaims")
      }
      assert.strictEqual(yield* verdictOf(verifier, tokenOf(hs, claimsWith({ jti: undefined }))), "accepted")
    }))

  it.effect("aud that is no text and no list of texts, or is not there (W47)", () =>
    Effect.gen(function*() {
      yield* refusedAll(
        yield* verifierOf(hs),
        claiming("aud", {
          missing: undefined,
          null: null,
          number: 1,
          true: true,
          empty: "",
          "an empty list": [],
          "a list with a number": [audience, 1],
          "a list with null": [null, audience],
          "a list with an empty text": [audience, ""],
          "a list in a list": [[audience]],
          object: { 0: audience, length: 1 },
          "an object of it": { [audience]: true }
        }),
        "InvalidClaims"
      )
    }))

  it.effect("extras of any type are the schema's business, and no defect (O9, W45)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      for (const extras of [1, "x", null, [], true, {}]) {
        assert.strictEqual(yield* verdictOf(verifier, tokenOf(hs, claimsWith({ extras, unknown: 1 }))), "accepted")
      }
    }))
})

describe("the clock", () => {
  /** What becomes of a claim at each of these seconds, from `now` on. */
  const around = (name: string, claim: number, tolerance: number, offsets: ReadonlyArray<number>) =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs, { tolerance: tolerance * 1_000 })
      const token = tokenOf(hs, claimsWith({ exp: now + 1e6, iat: now - 1e6, [name]: claim }))
      const verdicts: Record<string, string> = {}
      for (const offset of offsets) {
        yield* setSeconds(now + offset)
        verdicts[offset] = yield* verdictOf(verifier, token)
      }
      return verdicts
    })

  it.effect("exp: good up to the last instant before it, and for the tolerance (126, O9, W44)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* around("exp", now, 0, [-1, -0.001, 0, 1]), {
        "-1": "accepted",
        "-0.001": "accepted",
        "0": "Expired",
        "1": "Expired"
      })
      assert.deepStrictEqual(yield* around("exp", now, 30, [0, 29.999, 30]), {
        "0": "accepted",
        "29.999": "accepted",
        "30": "Expired"
      })
    }))

  it.effect("nbf: good from the instant that it names, or the tolerance before (127)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* around("nbf", now, 0, [-1, -0.001, 0]), {
        "-1": "NotYetValid",
        "-0.001": "NotYetValid",
        "0": "accepted"
      })
      assert.deepStrictEqual(yield* around("nbf", now, 30, [-30.001, -30, 0]), {
        "-30.001": "NotYetValid",
        "-30": "accepted",
        "0": "accepted"
      })
    }))

  it.effect("iat: a token from the future is refused, but for the tolerance (91, O9, W44)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* around("iat", now, 0, [-1, -0.001, 0]), {
        "-1": "IssuedInTheFuture",
        "-0.001": "IssuedInTheFuture",
        "0": "accepted"
      })
      assert.deepStrictEqual(yield* around("iat", now, 30, [-30.001, -30, -2, 0]), {
        "-30.001": "IssuedInTheFuture",
        "-30": "accepted",
        "-2": "accepted",
        "0": "accepted"
      })
    }))

  it.effect("the tolerance is 30 seconds where nobody says otherwise (W43, W44)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          exp: tokenOf(hs, claimsWith({ exp: now - 29 })),
          "exp beyond": tokenOf(hs, claimsWith({ exp: now - 30 })),
          nbf: tokenOf(hs, claimsWith({ nbf: now + 30 })),
          "nbf beyond": tokenOf(hs, claimsWith({ nbf: now + 31 })),
          iat: tokenOf(hs, claimsWith({ iat: now + 30 })),
          "iat beyond": tokenOf(hs, claimsWith({ iat: now + 31 }))
        }),
        {
          exp: "accepted",
          "exp beyond": "Expired",
          nbf: "accepted",
          "nbf beyond": "NotYetValid",
          iat: "accepted",
          "iat beyond": "IssuedInTheFuture"
        }
      )
    }))

  it.effect("fractions of a second count (O9)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* around("exp", now + 0.5, 0, [0, 0.499, 0.5]), {
        "0": "accepted",
        "0.499": "accepted",
        "0.5": "Expired"
      })
      assert.deepStrictEqual(yield* around("nbf", now + 0.5, 0, [0, 0.5]), { "0": "NotYetValid", "0.5": "accepted" })
    }))

  it.effect("dates that no calendar has: 1e300, and as far back", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const far = { exp: 1e300, iat: -1e300, nbf: -1.7e308 }
      const { token } = yield* verifier.verify(Redacted.make(tokenOf(hs, claimsWith(far))))
      assert.isTrue(Number.isFinite(token.expiresAt.epochMillis))
      assert.isTrue(Number.isFinite(token.issuedAt.epochMillis))
      assert.isAbove(token.expiresAt.epochMillis, Date.UTC(200_000, 1))
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          exp: tokenOf(hs, claimsWith({ exp: -1e300 })),
          iat: tokenOf(hs, claimsWith({ iat: 1e300 })),
          nbf: tokenOf(hs, claimsWith({ nbf: 1e300 })),
          "beyond the dates": tokenOf(hs, claimsWith({ exp: 8.64e12 + 1 }))
        }),
        { exp: "Expired", iat: "IssuedInTheFuture", nbf: "NotYetValid", "beyond the dates": "accepted" }
      )
    }))

  it.effect("any times are judged as the rule of RFC 7519 says", () =>
    holds(
      FastCheck.record({
        exp: FastCheck.oneof(FastCheck.integer({ min: now - 40, max: now + 40 }), FastCheck.double({ noNaN: true })),
        nbf: FastCheck.option(
          FastCheck.oneof(FastCheck.integer({ min: now - 40, max: now + 40 }), FastCheck.double({ noNaN: true })),
          { nil: undefined }
        ),
        iat: FastCheck.oneof(FastCheck.integer({ min: now - 40, max: now + 40 }), FastCheck.double({ noNaN: true })),
        tolerance: FastCheck.constantFrom(0, 1, 30)
      }),
      1_000,
      ({ exp, iat, nbf, tolerance }) =>
        Effect.gen(function*() {
          const verifier = yield* newVerifier(hs, { tolerance: tolerance * 1_000, cacheSize: 0 })
          const verdict = yield* verdictOf(verifier, tokenOf(hs, claimsWith({ exp, iat, nbf })))
          // JSON has no infinity: it is written as null.
          const isValid = [exp, iat, nbf ?? 0].every(Number.isFinite)
          const isGood = now < exp + tolerance && (nbf === undefined || now >= nbf - tolerance) &&
            now >= iat - tolerance
          assert.strictEqual(verdict === "accepted", isValid && isGood, verdict)
          if (!isValid) assert.strictEqual(verdict, "InvalidClaims")
        })
    ))
})

describe("a token of somebody else", () => {
  it.effect("an issuer that only looks like the one that is accepted (CVE-2024-53861, W48)", () =>
    Effect.gen(function*() {
      const alike = [
        "https://accounts.example.com/",
        "https://accounts.example.co",
        "https://accounts.example.com.evil.example",
        "https://accounts.example.com@evil.example",
        "https://accounts.example.com#",
        "https://ACCOUNTS.example.com",
        "http://accounts.example.com",
        "https://accounts.example.com ",
        " https://accounts.example.com",
        "https://accounts.example.com\u0000",
        "https://accounts.example.com:443",
        "https://аccounts.example.com",
        "accounts.example.com",
        "h",
        ".*",
        "*"
      ]
      const tokens = Object.fromEntries(alike.map((iss) => [iss, tokenOf(hs, claimsWith({ iss }))]))
      yield* refusedAll(yield* verifierOf(hs), tokens, "WrongIssuer")
      yield* refusedAll(yield* verifierOf(hs, { issuer: [issuer, "https://b.example"] }), tokens, "WrongIssuer")
      // The other way round: the accepted issuer is longer than the one of the token.
      yield* refusedAll(
        yield* verifierOf(hs, { issuer: `${issuer}/realm` }),
        { prefix: tokenOf(hs, claimsWith()) },
        "WrongIssuer"
      )
    }))

  it.effect("an audience that is another's, or only looks alike", () =>
    Effect.gen(function*() {
      const alike = [
        `${audience}/`,
        audience.slice(0, -1),
        audience.toUpperCase(),
        `${audience} `,
        "*",
        "api.example.com"
      ]
      yield* refusedAll(
        yield* verifierOf(hs),
        Object.fromEntries(alike.flatMap((aud) => [
          [aud, tokenOf(hs, claimsWith({ aud }))],
          [`a list of ${aud}`, tokenOf(hs, claimsWith({ aud: [aud, "other"] }))]
        ])),
        "WrongAudience"
      )
      yield* refusedAll(
        yield* verifierOf(hs, { audience: [`${audience}/a`, `${audience}/b`] }),
        { prefix: tokenOf(hs, claimsWith()) },
        "WrongAudience"
      )
    }))

  it.effect("a token of another realm of the same keys: other audience, other type, other issuer", () =>
    Effect.gen(function*() {
      const users = optionsFor("HS256", { audience: "users" })
      const admins = optionsFor("HS256", { audience: "admins" })
      yield* setSeconds(now)
      yield* Effect.gen(function*() {
        const signer = yield* Jwt.signer(users)
        const { token } = yield* signer.sign({ sub: "ada" }, { subject: "ada" })
        const text = Redacted.value(token)
        assert.strictEqual(yield* verdictOf(yield* Jwt.verifier(users), text), "accepted")
        assert.strictEqual(yield* verdictOf(yield* Jwt.verifier(admins), text), "WrongAudience")
        assert.strictEqual(yield* verdictOf(yield* Jwt.verifier({ ...users, type: "at+jwt" }), text), "WrongTokenType")
        assert.strictEqual(
          yield* verdictOf(yield* Jwt.verifier({ ...users, issuer: "https://b.example" }), text),
          "WrongIssuer"
        )
      }).pipe(Effect.provide(ring(yield* keyOf(hs))))
    }))
})

// -----------------------------------------------------------------------------
// Size and depth
// -----------------------------------------------------------------------------

describe("size", () => {
  /** A good token of exactly this many characters. */
  const sized = (length: number): string => {
    for (let extra = 0; extra < 4; extra++) {
      // A header that is longer by one character shifts the lengths that claims can make.
      const header = { alg: "HS256", x: "x".repeat(extra) }
      const base = tokenOf(hs, claimsWith({ pad: "" }), header).length
      for (let pad = Math.floor((length - base) * 3 / 4) - 4; pad < length; pad++) {
        const token = tokenOf(hs, claimsWith({ pad: "x".repeat(Math.max(0, pad)) }), header)
        if (token.length === length) return token
        if (token.length > length) break
      }
    }
    throw new Error(`no token has ${length} characters`)
  }

  it.effect("8,192 characters are read, and one more is not (W47)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          "8191": sized(8_191),
          "8192": sized(8_192),
          "8193": sized(8_193),
          "a good one and a byte more": `${sized(8_192)}x`
        }),
        {
          "8191": "accepted",
          "8192": "accepted",
          "8193": "TokenTooLarge",
          "a good one and a byte more": "TokenTooLarge"
        }
      )
    }))

  it.effect("10 MB are refused before anything is parsed", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const parse = vi.spyOn(JSON, "parse")
      const split = vi.spyOn(String.prototype, "split")
      const verdicts = yield* verdictsOf(verifier, {
        letters: "a".repeat(1e7),
        dots: ".".repeat(1e7),
        "a token": `${good}${"A".repeat(1e7)}`
      })
      const calls = parse.mock.calls.length
      const splits = split.mock.calls.length
      parse.mockRestore()
      split.mockRestore()
      assert.deepStrictEqual(verdicts, { letters: "TokenTooLarge", dots: "TokenTooLarge", "a token": "TokenTooLarge" })
      assert.strictEqual(calls, 0)
      assert.strictEqual(splits, 0)
    }))

  it.effect("JSON as deep as fits, open and closed: no stack overflows", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const claims = JSON.stringify(claimsWith()).slice(0, -1)
      const deepest = 2_850
      const tokens = {
        lists: withClaims(`${claims},"a":${"[".repeat(deepest)}${"]".repeat(deepest)}}`),
        objects: withClaims(`${claims},"a":${"{\"\":".repeat(900)}1${"}".repeat(900)}}`)
      }
      for (const token of Object.values(tokens)) assert.isAtMost(token.length, 8_192)
      assert.deepStrictEqual(yield* verdictsOf(verifier, tokens), all(tokens, "accepted"))
      const open = {
        lists: withClaims("[".repeat(6_000)),
        objects: withClaims("{\"a\":".repeat(1_200)),
        header: withHeader("[".repeat(5_800)),
        quotes: withClaims("\"".repeat(6_000)),
        backslashes: withClaims(`{"${"\\".repeat(5_900)}`)
      }
      for (const token of Object.values(open)) assert.isAtMost(token.length, 8_192)
      yield* refusedAll(verifier, open, "MalformedToken")
      const double = withClaims(`${claims},"a":${"{\"\":".repeat(900)}{"a":1,"a":1}${"}".repeat(900)}}`)
      assert.strictEqual(yield* verdictOf(verifier, double), "MalformedToken")
    }))
})

describe("names that objects have", () => {
  it.effect("__proto__ and constructor as claims change nothing but the claims", () =>
    Effect.gen(function*() {
      const more =
        "\"__proto__\":{\"polluted\":true,\"role\":\"admin\"},\"constructor\":{\"prototype\":{\"polluted\":true}}," +
        "\"toString\":1,\"hasOwnProperty\":1,\"nested\":{\"__proto__\":{\"polluted\":true}}"
      const claims = Schema.Struct(
        { sub: Schema.String, role: Schema.optional(Schema.String) },
        Schema.Record({ key: Schema.String, value: Schema.Unknown })
      )
      const verifier = yield* verifierOf(hs, { claims })
      const verified = yield* verifier.verify(Redacted.make(withClaims(claimsAnd(more))))
      for (const value of [{}, [], "", Object.create(Object.prototype)] as Array<any>) {
        assert.isUndefined(value.polluted)
        assert.isUndefined(value.role)
      }
      const { claims: raw } = verified.token
      assert.strictEqual(Object.getPrototypeOf(raw), Object.prototype)
      assert.isUndefined(raw["role"])
      const structured = yield* verifierOf(hs, { claims: Schema.Struct({ role: Schema.optional(Schema.String) }) })
      const plain = yield* structured.verify(Redacted.make(withClaims(claimsAnd(more))))
      assert.deepStrictEqual(plain.claims, {})
      assert.isUndefined((plain.claims as { role?: string }).role)
    }))

  it.effect("registered claims are not taken from a prototype that the claims bring", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const inherited = `{"__proto__":${JSON.stringify(claimsWith())}}`
      assert.strictEqual(yield* verdictOf(verifier, withClaims(inherited)), "InvalidClaims")
      for (const name of ["sub", "iss", "aud", "exp", "iat"]) {
        const token = withClaims(claimsAnd(`"__proto__":${JSON.stringify(claimsWith())}`, { [name]: undefined }))
        assert.strictEqual(yield* verdictOf(verifier, token), "InvalidClaims", name)
      }
    }))
})

// -----------------------------------------------------------------------------
// Anything
// -----------------------------------------------------------------------------

describe("anything", () => {
  const anyText = FastCheck.oneof(
    FastCheck.string({ maxLength: 300 }),
    FastCheck.string({ unit: "binary", maxLength: 300 }),
    FastCheck.array(FastCheck.integer({ min: 0, max: 0xffff }), { maxLength: 300 }).map((units) =>
      String.fromCharCode(...units)
    ),
    FastCheck.array(FastCheck.stringMatching(/^[A-Za-z0-9_-]*$/), { minLength: 3, maxLength: 3 }).map((_) =>
      _.join(".")
    )
  )
  const anyPart = FastCheck.oneof(
    FastCheck.json(),
    FastCheck.string(),
    FastCheck.uint8Array({ maxLength: 100 }),
    FastCheck.constantFrom(
      "{\"alg\":\"HS256\"}",
      "{\"alg\":\"ES256\"}",
      "{\"alg\":\"none\"}",
      JSON.stringify(claimsWith())
    )
  )
  const verifiers = Effect.runSync(
    Effect.cached(Effect.all([hs, es, rs, ed].map((pair) => newVerifier(pair, { cacheSize: 0 }, "1"))))
  )

  const isRefused = (verifier: Jwt.Verifier<unknown>, token: string) =>
    Effect.map(Effect.exit(verifier.verify(Redacted.make(token))), (exit) => {
      assert.isTrue(Exit.isFailure(exit), token)
      if (Exit.isFailure(exit)) assert.isTrue(Cause.isFailType(exit.cause), Cause.pretty(exit.cause))
    })

  it.effect("any text is refused, and is no defect", () =>
    holds(FastCheck.tuple(anyText), 1_500, ([text]) =>
      Effect.gen(function*() {
        for (const verifier of yield* verifiers) yield* isRefused(verifier, text)
      })))

  it.effect("any header, payload and signature are refused, and are no defect", () =>
    holds(
      FastCheck.tuple(anyPart, anyPart, FastCheck.uint8Array({ maxLength: 300 })),
      1_500,
      ([header, payload, signature]) =>
        Effect.gen(function*() {
          const token = [header, payload, signature].map((_) => base64Url(_)).join(".")
          for (const verifier of yield* verifiers) yield* isRefused(verifier, token)
        })
    ))

  it.effect("any header and payload that the key signed are no defect, and good only with the claims it needs", () =>
    holds(FastCheck.tuple(anyPart, anyPart), 1_500, ([header, payload]) =>
      Effect.gen(function*() {
        const token = tokenOf(hs, payload, header)
        const verdict = yield* verdictOf(yield* shared, token)
        if (verdict === "accepted") {
          const { claims, header } = partsOf(token)
          assert.strictEqual(header["alg"], "HS256")
          assert.include(claims, { iss: issuer, aud: audience, sub: "ada" })
        }
      })))

  it.effect("a good token is refused by every verifier but its own, and is then still good", () =>
    Effect.gen(function*() {
      const pairs = [hs, pairOf("HS256"), es, pairOf("ES256"), ed, pairOf("EdDSA"), rs]
      const ofAll = yield* Effect.all(pairs.map((pair) => verifierOf(pair)))
      for (const [owner, pair] of pairs.entries()) {
        const token = tokenOf(pair, claimsWith())
        for (let round = 0; round < 2; round++) {
          for (const [index, verifier] of ofAll.entries()) {
            assert.strictEqual((yield* verdictOf(verifier, token)) === "accepted", index === owner)
          }
        }
      }
    }))

  it.effect("of a thousand forged signatures not one is good", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const tokens = Array.from({ length: 1_000 }, (_, index) => {
        const signature = index < 256 ? Buffer.alloc(32, index) : Crypto.randomBytes(32)
        return [String(index), `${goodHeader}.${goodPayload}.${base64Url(signature)}`]
      })
      yield* refusedAll(verifier, Object.fromEntries(tokens), "BadSignature")
    }))
})
