import { HttpApp } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Arbitrary,
  Cause,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Inspectable,
  Layer,
  Logger,
  LogLevel,
  Option,
  Redacted,
  Schema
} from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtKeys from "effect-security/jwt/JwtKeys"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import { randomBytes } from "node:crypto"
import { inspect } from "node:util"
import {
  algorithms,
  anyClaims,
  audience,
  base64Url,
  claimsWith,
  complaintOf,
  families,
  holds,
  instant,
  isSignedBy,
  issuer,
  jwkOf,
  keyOf,
  now,
  only,
  optionsFor,
  pairOf,
  partsOf,
  plain,
  ring,
  setSeconds,
  spyKey,
  tokenOf,
  verdictOf,
  verdictsOf,
  verifierOf
} from "./fixtures.js"

const pairs = new Map(algorithms.map((algorithm) => [algorithm, pairOf(algorithm)]))
const hs = pairs.get("HS256")!
const es = pairs.get("ES256")!
const rs = pairs.get("RS256")!

/** A signer and a verifier over a ring of one key. */
const newBoth = (options: Jwt.SignerOptions<any>, key: JwtKeys.Key) =>
  Effect.all({ signer: Jwt.signer(options), verifier: Jwt.verifier(options) }).pipe(
    Effect.provide(ring(key))
  )

/** The same, and it is `now`. */
const bothOf = (options: Jwt.SignerOptions<any>, key: JwtKeys.Key) =>
  Effect.zipRight(setSeconds(now), newBoth(options, key))

const isDefect = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause))

// -----------------------------------------------------------------------------
// Signing and verifying
// -----------------------------------------------------------------------------

/** What an application says in its tokens: what may be missing, dates, and more of it inside. */
const Profile = Schema.Struct({
  sub: Schema.String,
  email: Schema.optionalWith(Schema.String, { exact: true }),
  admin: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  since: Schema.Date,
  address: Schema.optionalWith(
    Schema.Struct({
      city: Schema.NullOr(Schema.String),
      lines: Schema.Array(Schema.Struct({ text: Schema.String, number: Schema.Int }))
    }),
    { exact: true }
  )
})

const anyText = FastCheck.oneof(FastCheck.string({ minLength: 1 }), FastCheck.string({ unit: "binary", minLength: 1 }))
const oneOrMore = FastCheck.oneof(
  anyText,
  FastCheck.uniqueArray(anyText, { minLength: 1, maxLength: 3 }) as FastCheck.Arbitrary<[string, ...Array<string>]>
)
const maybe = <A>(arbitrary: FastCheck.Arbitrary<A>) => FastCheck.option(arbitrary, { nil: undefined })
const listOf = (oneOrMore: string | ReadonlyArray<string>) => typeof oneOrMore === "string" ? [oneOrMore] : oneOrMore
const pastSecond = FastCheck.integer({ min: -now, max: now + 30 })

describe("a token that is signed", () => {
  it.effect("verifies to the same claims and registered claims, for any algorithm and options (87, 93, 101)", () =>
    holds(
      FastCheck.record({
        algorithm: FastCheck.constantFrom(...algorithms),
        kid: maybe(anyText),
        issuer: oneOrMore,
        audience: oneOrMore,
        type: FastCheck.constantFrom(undefined, "JWT" as const, "at+jwt" as const),
        tolerance: FastCheck.constantFrom("30 seconds" as const, 0, "1 hour" as const),
        subject: anyText,
        profile: Arbitrary.make(Profile),
        signing: FastCheck.record({
          id: maybe(FastCheck.string()),
          lifetime: maybe(FastCheck.integer({ min: 1, max: 1e10 })),
          notBefore: maybe(FastCheck.integer({ min: -now, max: now })),
          authenticatedAt: maybe(pastSecond)
        })
      }),
      400,
      ({ algorithm, audience, issuer, kid, profile, signing, subject, tolerance, type }) =>
        Effect.gen(function*() {
          const pair = pairs.get(algorithm)!
          const key = { ...yield* keyOf(pair), kid }
          const options = { algorithms: only(algorithm), issuer, audience, claims: Profile, type, tolerance }
          const { signer, verifier } = yield* newBoth(options, key)
          const claims = { ...profile, sub: subject }
          const issued = yield* signer.sign(claims, {
            subject,
            id: signing.id,
            lifetime: signing.lifetime === undefined ? undefined : Duration.seconds(signing.lifetime),
            notBefore: signing.notBefore === undefined ? undefined : instant(signing.notBefore),
            authenticatedAt: signing.authenticatedAt === undefined ? undefined : instant(signing.authenticatedAt)
          })
          const text = Redacted.value(issued.token)
          const seconds = signing.lifetime ?? 900
          assert.strictEqual(issued.expiresIn, seconds)
          assert.strictEqual(issued.expiresAt.epochMillis, (now + seconds) * 1_000)
          assert.strictEqual(issued.id, signing.id ?? issued.id)

          const parts = partsOf(text)
          const header = { alg: algorithm, typ: type ?? "JWT", ...(kid === undefined ? {} : { kid }) }
          assert.deepStrictEqual(parts.header, header)
          assert.isTrue(isSignedBy(pair, text))

          const verified = yield* verifier.verify(issued.token)
          assert.deepStrictEqual(verified.claims, claims)
          assert.deepStrictEqual(plain(verified.token), {
            algorithm,
            keyId: kid,
            issuer: listOf(issuer)[0]!,
            subject,
            audience: listOf(audience),
            issuedAt: now,
            expiresAt: now + seconds,
            notBefore: signing.notBefore,
            id: issued.id,
            claims: parts.claims
          })
          assert.strictEqual(parts.claims["auth_time"], signing.authenticatedAt)
        })
    ))

  it.effect("is read by whoever knows the key, and says in its header which key and algorithm that is (100)", () =>
    Effect.gen(function*() {
      for (const algorithm of algorithms) {
        const pair = pairs.get(algorithm)!
        const { signer } = yield* bothOf(optionsFor(algorithm), yield* keyOf(pair, { kid: "2026-11" }))
        const { token } = yield* signer.sign({ sub: "ada" }, { subject: "ada" })
        assert.deepStrictEqual(partsOf(Redacted.value(token)).header, { alg: algorithm, typ: "JWT", kid: "2026-11" })
        assert.isTrue(isSignedBy(pair, Redacted.value(token)), algorithm)
        assert.isFalse(
          isSignedBy(pairOf(families.RS.some((_) => _ === algorithm) ? "HS256" : algorithm), Redacted.value(token))
        )
      }
    }))

  it.effect("has all that Litestar's Token has: exp, iat, sub, iss, aud, jti and extras (87, 93)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const { token } = yield* verifier.verify(Redacted.make(
        tokenOf(hs, claimsWith({ azp: "web", email: "ada@example.com", aud: [audience, "other"] }))
      ))
      const { azp, email } = token.claims
      assert.deepStrictEqual(
        { ...plain(token), claims: { azp, email } },
        {
          algorithm: "HS256",
          keyId: undefined,
          expiresAt: now + 890,
          issuedAt: now - 10,
          notBefore: undefined,
          subject: "ada",
          issuer,
          audience: [audience, "other"],
          id: "token-1",
          claims: { azp: "web", email: "ada@example.com" }
        }
      )
      const plainToken = yield* verifier.verify(Redacted.make(tokenOf(hs, claimsWith())))
      assert.deepStrictEqual(plainToken.token.claims, claimsWith())
    }))

  it.effect("has an id of 128 random bits, never the same", () =>
    Effect.gen(function*() {
      const { signer } = yield* bothOf(optionsFor("HS256"), yield* keyOf(hs))
      const ids = yield* Effect.replicateEffect(
        Effect.map(signer.sign({ sub: "ada" }, { subject: "ada" }), ({ id }) => id),
        200
      )
      assert.strictEqual(new Set(ids).size, 200)
      for (const id of ids) assert.strictEqual(Buffer.from(id, "base64url").length, 16)
    }))

  it.effect("takes its id from the random generator, and nothing else does", () =>
    Effect.gen(function*() {
      const csprng = Context.GenericTag<never, (length: number) => Uint8Array>("effect-security/internal/Csprng")
      const { signer } = yield* bothOf(optionsFor("HS256"), yield* keyOf(hs))
      const asked: Array<number> = []
      const random = (length: number) => {
        asked.push(length)
        return new Uint8Array(length).fill(0xff)
      }
      const { id } = yield* Effect.provideService(signer.sign({ sub: "ada" }, { subject: "ada" }), csprng, random)
      assert.strictEqual(id, `${"_".repeat(21)}w`)
      assert.deepStrictEqual(asked, [16])
    }))

  it.effect("is for the audience of its signer, or for the one that it is signed for", () =>
    Effect.gen(function*() {
      const both = yield* bothOf(optionsFor("HS256", { audience: ["a", "b"] }), yield* keyOf(hs))
      const audienceOf = (audience?: string | [string, ...Array<string>]) =>
        Effect.map(
          both.signer.sign({ sub: "ada" }, { subject: "ada", audience }),
          ({ token }) => partsOf(Redacted.value(token)).claims["aud"]
        )
      assert.deepStrictEqual(yield* audienceOf(), ["a", "b"])
      assert.deepStrictEqual(yield* audienceOf("c"), "c")
      // One is written as text (RFC 7519 section 4.1.3).
      assert.deepStrictEqual(yield* audienceOf(["c"]), "c")
      const strict = yield* bothOf(optionsFor("HS256", { audience: ["a"], strictAudience: true }), yield* keyOf(hs))
      const { token } = yield* strict.signer.sign({ sub: "ada" }, { subject: "ada" })
      assert.strictEqual(yield* verdictOf(strict.verifier, Redacted.value(token)), "accepted")
    }))

  it.effect("lasts 15 minutes, or as long as its signer or its own options say, in whole seconds", () =>
    Effect.gen(function*() {
      const lifetimeOf = (lifetime: Duration.DurationInput | undefined, own?: Duration.DurationInput) =>
        Effect.gen(function*() {
          const { signer, verifier } = yield* bothOf(optionsFor("HS256", { lifetime, tolerance: 0 }), yield* keyOf(hs))
          const issued = yield* signer.sign({ sub: "ada" }, { subject: "ada", lifetime: own })
          const text = Redacted.value(issued.token)
          yield* setSeconds(now + issued.expiresIn - 1)
          assert.strictEqual(yield* verdictOf(verifier, text), "accepted")
          yield* setSeconds(now + issued.expiresIn)
          assert.strictEqual(yield* verdictOf(verifier, text), "Expired")
          return issued.expiresIn
        })
      assert.strictEqual(yield* lifetimeOf(undefined), 900)
      assert.strictEqual(yield* lifetimeOf("1 hour"), 3_600)
      assert.strictEqual(yield* lifetimeOf("1 hour", "2 minutes"), 120)
      assert.strictEqual(yield* lifetimeOf("1999 millis"), 1)
      assert.strictEqual(yield* lifetimeOf("3650 days"), 315_360_000)
    }))

  it.effect("may last for longer than a date can say", () =>
    Effect.gen(function*() {
      const { signer, verifier } = yield* bothOf(optionsFor("HS256"), yield* keyOf(hs))
      const { token } = yield* signer.sign({ sub: "ada" }, { subject: "ada", lifetime: Duration.seconds(1e13) })
      assert.strictEqual(yield* verdictOf(verifier, Redacted.value(token)), "accepted")
    }))

  it.effect("is not good before the instant that it begins at", () =>
    Effect.gen(function*() {
      const { signer, verifier } = yield* bothOf(optionsFor("HS256"), yield* keyOf(hs))
      const { token } = yield* signer.sign({ sub: "ada" }, { subject: "ada", notBefore: instant(now + 100) })
      assert.strictEqual(yield* verdictOf(verifier, Redacted.value(token)), "NotYetValid")
      yield* setSeconds(now + 100)
      assert.strictEqual(yield* verdictOf(verifier, Redacted.value(token)), "accepted")
    }))

  it.effect("has at most 8,192 bytes, and one that would have more is a failure that says how many (a typed one)", () =>
    Effect.gen(function*() {
      const claims = Schema.Struct({ sub: Schema.String, pad: Schema.String })
      const { signer, verifier } = yield* bothOf(optionsFor("HS256", { claims }), yield* keyOf(hs))
      const sign = (length: number) => signer.sign({ sub: "ada", pad: "x".repeat(length) }, { subject: "ada", id: "1" })
      const base = Redacted.value((yield* sign(0)).token).length
      // Three bytes of payload are four characters of the token.
      const most = Math.floor((8_192 - base) / 4) * 3
      for (let length = most - 3; length <= most + 6; length++) {
        const result = yield* Effect.either(sign(length))
        if (result._tag === "Right") {
          const text = Redacted.value(result.right.token)
          assert.isAtMost(text.length, 8_192)
          assert.strictEqual(yield* verdictOf(verifier, text), "accepted")
        } else {
          assert.strictEqual(result.left._tag, "SessionTooLarge")
          assert.isAbove((result.left as unknown as { size: number }).size, 8_192)
          assert.strictEqual((result.left as unknown as { limit: number }).limit, 8_192)
        }
      }
      assert.isTrue((yield* Effect.either(sign(most - 3)))._tag === "Right")
      assert.isTrue((yield* Effect.either(sign(most + 6)))._tag === "Left")
    }))

  it.effect("has registered claims that its schema names too, as its options say them", () =>
    Effect.gen(function*() {
      const claims = Schema.Struct({
        sub: Schema.String,
        jti: Schema.optional(Schema.String),
        auth_time: Schema.optional(Schema.Number)
      })
      const { signer, verifier } = yield* bothOf(optionsFor("HS256", { claims }), yield* keyOf(hs))
      const { token } = yield* signer.sign({ sub: "ada" }, {
        subject: "ada",
        id: "7",
        authenticatedAt: instant(now - 60)
      })
      const verified = yield* verifier.verify(token)
      assert.deepStrictEqual(verified.claims, { sub: "ada", jti: "7", auth_time: now - 60 })
    }))

  it.effect("loses none of the claims that it is given where its options are silent", () =>
    Effect.gen(function*() {
      const claims = Schema.Struct({
        sub: Schema.String,
        nbf: Schema.optional(Schema.Number),
        auth_time: Schema.optional(Schema.Number)
      })
      const { signer, verifier } = yield* bothOf(optionsFor("HS256", { claims }), yield* keyOf(hs))
      const given = { sub: "ada", nbf: now - 5, auth_time: now - 60 }
      const { token } = yield* signer.sign(given, { subject: "ada" })
      assert.deepStrictEqual((yield* verifier.verify(token)).claims, given)
    }))
})

describe("what cannot be in a token is the mistake of who signs it", () => {
  const signWith = (claims: Schema.Schema<any, any>, given: unknown, options: Partial<Jwt.SignOptions> = {}) =>
    Effect.gen(function*() {
      const { signer } = yield* bothOf(optionsFor("HS256", { claims }), yield* keyOf(hs))
      return yield* signer.sign(given, { subject: "ada", ...options })
    })

  it.effect("no subject, or another subject in the claims (92)", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* isDefect(signWith(Schema.Struct({}), {}, { subject: "" })))
      assert.isTrue(yield* isDefect(signWith(anyClaims, { sub: "eve" })))
      assert.isFalse(yield* isDefect(signWith(anyClaims, { sub: "ada" })))
      assert.isFalse(yield* isDefect(signWith(Schema.Struct({}), {})))
    }))

  it.effect("a token that ends before it begins (90)", () =>
    Effect.gen(function*() {
      for (const lifetime of [0, -1, "-5 seconds", "999 millis", Duration.infinity, NaN] as Array<any>) {
        assert.isTrue(yield* isDefect(signWith(anyClaims, { sub: "ada" }, { lifetime })), String(lifetime))
      }
    }))

  it.effect("claims that encode to no JSON object", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* isDefect(signWith(Schema.String, "ada")))
      assert.isTrue(yield* isDefect(signWith(Schema.Array(Schema.String), ["ada"])))
      assert.isTrue(yield* isDefect(signWith(Schema.Null, null)))
    }))

  it.effect("claims that do not come back as the schema says", () =>
    Effect.gen(function*() {
      const at = Schema.Struct({ at: Schema.DateFromSelf })
      assert.isTrue(yield* isDefect(signWith(at, { at: new Date(0) })))
      const text = Schema.Struct({ at: Schema.Date })
      assert.isFalse(yield* isDefect(signWith(text, { at: new Date(0) })))
      assert.isTrue(yield* isDefect(signWith(Schema.Struct({ n: Schema.Number }), { n: Infinity })))
    }))

  it.effect("no audience", () =>
    Effect.gen(function*() {
      for (const audience of ["", [], [""], ["a", ""]] as Array<any>) {
        assert.isTrue(yield* isDefect(signWith(anyClaims, { sub: "ada" }, { audience })), JSON.stringify(audience))
      }
    }))
})

describe("the claims of a token", () => {
  it.effect("are what the schema makes of them (99)", () =>
    Effect.gen(function*() {
      const claims = Schema.transform(
        Schema.Struct({ sub: Schema.String, scope: Schema.String }),
        Schema.Struct({ user: Schema.String, scopes: Schema.Array(Schema.String) }),
        {
          strict: true,
          decode: ({ scope, sub }) => ({ user: sub, scopes: scope.split(" ") }),
          encode: ({ scopes, user }) => ({ sub: user, scope: scopes.join(" ") })
        }
      )
      const { signer, verifier } = yield* bothOf(optionsFor("HS256", { claims }), yield* keyOf(hs))
      const { token } = yield* signer.sign({ user: "ada", scopes: ["read", "write"] }, { subject: "ada" })
      const verified = yield* verifier.verify(token)
      assert.deepStrictEqual(verified.claims, { user: "ada", scopes: ["read", "write"] })
      assert.strictEqual(verified.token.claims["scope"], "read write")
    }))

  it.effect("are refused where the schema does not take them, and looked at last", () =>
    Effect.gen(function*() {
      const claims = Schema.Struct({ sub: Schema.UUID, email: Schema.String })
      const verifier = yield* verifierOf(hs, { claims })
      const good = { sub: "6f1b3c9e-1d2f-4c3a-9b8e-2f6d1a0c5e77", email: "ada@example.com" }
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          good: tokenOf(hs, claimsWith(good)),
          "no UUID": tokenOf(hs, claimsWith({ ...good, sub: "ada" })),
          "no email": tokenOf(hs, claimsWith({ ...good, email: undefined })),
          "no email and expired": tokenOf(hs, claimsWith({ ...good, email: 1, exp: now - 100 }))
        }),
        {
          good: "accepted",
          "no UUID": "UndecodableClaims",
          "no email": "UndecodableClaims",
          "no email and expired": "Expired"
        }
      )
    }))

  it.effect("have to be there when the schema says so, as aud has in any case (125)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs, { claims: Schema.Struct({ sub: Schema.String, azp: Schema.String }) })
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          present: tokenOf(hs, claimsWith({ azp: "web" })),
          absent: tokenOf(hs, claimsWith()),
          "no aud": tokenOf(hs, claimsWith({ azp: "web", aud: undefined }))
        }),
        { present: "accepted", absent: "UndecodableClaims", "no aud": "InvalidClaims" }
      )
    }))
})

describe("a verifier", () => {
  it.effect("tells apart what is no token, another algorithm, another secret and a good one (89)", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      const other = pairOf("HS256")
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          garbage: "garbage",
          "another algorithm": tokenOf(pairOf("HS512"), claimsWith()),
          "another secret": tokenOf(other, claimsWith()),
          "the right one": tokenOf(hs, claimsWith())
        }),
        {
          garbage: "MalformedToken",
          "another algorithm": "WrongAlgorithm",
          "another secret": "BadSignature",
          "the right one": "accepted"
        }
      )
    }))

  it.effect("answers with a challenge of RFC 6750 that says nothing of the reason", () =>
    Effect.gen(function*() {
      const verifier = yield* verifierOf(hs)
      for (const token of ["garbage", tokenOf(hs, claimsWith({ exp: 1 })), tokenOf(pairOf("HS256"), claimsWith())]) {
        const error = yield* Effect.flip(verifier.verify(Redacted.make(token)))
        assert.strictEqual(error._tag, "NotAuthorized")
        assert.strictEqual((error as { challenge?: string }).challenge, "Bearer error=\"invalid_token\"")
        assert.strictEqual((error as { vary?: string }).vary, "Authorization")
      }
    }))

  it.effect("takes the issuers that it names, one or several, and keeps which it was (101, 122)", () =>
    Effect.gen(function*() {
      const verdicts = (accepted: string | [string, ...Array<string>], iss: string) =>
        Effect.flatMap(
          verifierOf(hs, { issuer: accepted }),
          (verifier) =>
            Effect.match(verifier.verify(Redacted.make(tokenOf(hs, claimsWith({ iss })))), {
              onFailure: (error) => error.message,
              onSuccess: ({ token }) => token.issuer
            })
        )
      assert.strictEqual(yield* verdicts("a", "a"), "a")
      assert.strictEqual(yield* verdicts(["a"], "a"), "a")
      assert.strictEqual(yield* verdicts(["a", "b"], "a"), "a")
      assert.strictEqual(yield* verdicts(["a", "b"], "b"), "b")
      assert.strictEqual(yield* verdicts(["b"], "a"), "WrongIssuer")
    }))

  it.effect("takes a token one of whose audiences it is (98, 123)", () =>
    Effect.gen(function*() {
      const verdict = (accepted: string | [string, ...Array<string>], aud: unknown) =>
        Effect.flatMap(
          verifierOf(hs, { audience: accepted }),
          (verifier) => verdictOf(verifier, tokenOf(hs, claimsWith({ aud })))
        )
      assert.strictEqual(yield* verdict("foo", ["foo", "bar"]), "accepted")
      assert.strictEqual(yield* verdict(["foo", "bar"], ["foo", "bar"]), "accepted")
      assert.strictEqual(yield* verdict(["foo", "bar"], "bar"), "accepted")
      assert.strictEqual(yield* verdict(["bar"], ["foo", "bar"]), "accepted")
      assert.strictEqual(yield* verdict("not-foo", ["foo", "bar"]), "WrongAudience")
      assert.strictEqual(yield* verdict(["b"], "a"), "WrongAudience")
    }))

  it.effect("that is strict about its audience takes it alone, and not in a list (97, 124)", () =>
    Effect.gen(function*() {
      const verdict = (accepted: string | [string, ...Array<string>], aud: unknown) =>
        Effect.flatMap(
          verifierOf(hs, { audience: accepted, strictAudience: true }),
          (verifier) => verdictOf(verifier, tokenOf(hs, claimsWith({ aud })))
        )
      assert.strictEqual(yield* verdict("a", "a"), "accepted")
      assert.strictEqual(yield* verdict(["a"], "a"), "accepted")
      assert.strictEqual(yield* verdict(["a"], ["a", "b"]), "WrongAudience")
      assert.strictEqual(yield* verdict(["a"], ["a"]), "WrongAudience")
      assert.strictEqual(yield* verdict(["b"], "a"), "WrongAudience")
    }))

  it.effect("is told of an outage, and not of a bad token, when a key cannot answer", () =>
    Effect.gen(function*() {
      const key = spyKey(hs, { failure: new Error("the key service is down") })
      const { signer, verifier } = yield* bothOf(optionsFor("HS256"), key)
      assert.strictEqual(yield* verdictOf(verifier, tokenOf(hs, claimsWith())), "SecurityUnavailable")
      const failure = yield* Effect.flip(signer.sign({ sub: "ada" }, { subject: "ada" }))
      assert.strictEqual(failure._tag, "SecurityUnavailable")
    }))

  it.effect("does not ask a key about a token that it can refuse without", () =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const { verifier } = yield* bothOf(optionsFor("HS256"), spyKey(hs, { calls, kid: "1" }))
      yield* verdictsOf(verifier, {
        malformed: "a.b.c",
        algorithm: tokenOf(hs, claimsWith(), { alg: "none" }),
        kid: tokenOf(hs, claimsWith(), { alg: "HS256", kid: "2" }),
        typ: tokenOf(hs, claimsWith(), { alg: "HS256", typ: "at+jwt" }),
        crit: tokenOf(hs, claimsWith(), { alg: "HS256", crit: ["exp"], exp: 1 })
      })
      assert.deepStrictEqual(calls, [])
      assert.strictEqual(yield* verdictOf(verifier, tokenOf(hs, claimsWith(), { alg: "HS256", kid: "1" })), "accepted")
      assert.deepStrictEqual(calls, ["verify"])
    }))
})

// -----------------------------------------------------------------------------
// Several issuers
// -----------------------------------------------------------------------------

describe("a verifier of several issuers", () => {
  const a = pairOf("ES256")
  const b = pairOf("ES256")
  const c = pairOf("HS256")
  const verifiers = Effect.gen(function*() {
    const ofA = yield* verifierOf(a, { issuer: ["https://a.example", "https://a2.example"] })
    const ofB = yield* verifierOf(b, { issuer: "https://b.example" })
    const ofC = yield* verifierOf(c, { issuer: "https://c.example", audience: "c" })
    return [ofA, ofB, ofC] as const
  })

  it.effect("takes the tokens of each, by its own keys, algorithms and audience", () =>
    Effect.gen(function*() {
      const verifier = yield* Jwt.byIssuer(...yield* verifiers)
      assert.deepStrictEqual(verifier.issuers, [
        "https://a.example",
        "https://a2.example",
        "https://b.example",
        "https://c.example"
      ])
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          a: tokenOf(a, claimsWith({ iss: "https://a.example" })),
          a2: tokenOf(a, claimsWith({ iss: "https://a2.example" })),
          b: tokenOf(b, claimsWith({ iss: "https://b.example" })),
          c: tokenOf(c, claimsWith({ iss: "https://c.example", aud: "c" })),
          "the audience of another": tokenOf(c, claimsWith({ iss: "https://c.example" }))
        }),
        { a: "accepted", a2: "accepted", b: "accepted", c: "accepted", "the audience of another": "WrongAudience" }
      )
    }))

  it.effect("does not take what one signed in the name of another", () =>
    Effect.gen(function*() {
      const verifier = yield* Jwt.byIssuer(...yield* verifiers)
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          "b as a": tokenOf(b, claimsWith({ iss: "https://a.example" })),
          "a as b": tokenOf(a, claimsWith({ iss: "https://b.example" })),
          "c as a": tokenOf(c, claimsWith({ iss: "https://a.example" }))
        }),
        { "b as a": "BadSignature", "a as b": "BadSignature", "c as a": "WrongAlgorithm" }
      )
    }))

  it.effect("is closed: no other issuer, none at all, and nothing that only looks like one", () =>
    Effect.gen(function*() {
      const verifier = yield* Jwt.byIssuer(...yield* verifiers)
      const issuers = {
        another: "https://d.example",
        missing: undefined,
        null: null,
        list: ["https://a.example"],
        object: { 0: "https://a.example" },
        number: 1,
        prefix: "https://a.exampl",
        suffix: "https://a.example/",
        case: "https://A.example",
        inherited: "constructor",
        prototype: "__proto__"
      }
      for (const [name, iss] of Object.entries(issuers)) {
        assert.strictEqual(yield* verdictOf(verifier, tokenOf(a, claimsWith({ iss }))), "WrongIssuer", name)
      }
      assert.strictEqual(yield* verdictOf(verifier, "garbage"), "MalformedToken")
      assert.strictEqual(yield* verdictOf(verifier, "a".repeat(8_193)), "TokenTooLarge")
    }))

  it.effect("is not built of two that name the same issuer", () =>
    Effect.gen(function*() {
      const [ofA, ofB] = yield* verifiers
      assert.strictEqual(
        yield* complaintOf(Jwt.byIssuer(ofA, ofB, yield* verifierOf(b, { issuer: ["x", "https://a2.example"] }))),
        "two verifiers name the issuer \"https://a2.example\""
      )
      assert.strictEqual(yield* complaintOf(Jwt.byIssuer(ofA, ofB)), "accepted")
    }))
})

// -----------------------------------------------------------------------------
// Configuration
// -----------------------------------------------------------------------------

/** What is wrong with the options of a verifier, and of a signer, over a key. */
const wrongWith = (pair: typeof hs, options: Record<string, unknown>) =>
  Effect.gen(function*() {
    const given = { ...optionsFor(pair.algorithm), ...options } as Jwt.SignerOptions<any>
    const layer = ring(yield* keyOf(pair))
    return yield* Effect.all({
      verifier: complaintOf(Effect.provide(Jwt.verifier(given), layer)),
      signer: complaintOf(Effect.provide(Jwt.signer(given), layer))
    })
  }).pipe(Effect.orDie)

const refusedByBoth = (pair: typeof hs, options: Record<string, unknown>) =>
  Effect.map(wrongWith(pair, options), ({ signer, verifier }) => signer !== "accepted" && verifier !== "accepted")

describe("a configuration that makes no sense is a typed failure before there is a verifier or signer", () => {
  it.effect("strictAudience with no audience or several (96, O12, W46)", () =>
    Effect.gen(function*() {
      for (const audience of ["", [], ["a", "b"]]) {
        assert.isTrue(yield* refusedByBoth(hs, { audience, strictAudience: true }), JSON.stringify(audience))
      }
      assert.isFalse(yield* refusedByBoth(hs, { audience: "a", strictAudience: true }))
      assert.isFalse(yield* refusedByBoth(hs, { audience: ["a"], strictAudience: true }))
    }))

  it.effect("an issuer or audience that is empty, names nothing, or the same twice", () =>
    Effect.gen(function*() {
      for (const name of ["issuer", "audience"]) {
        for (const value of ["", [], [""], ["a", ""], ["a", "a"]]) {
          assert.isTrue(yield* refusedByBoth(hs, { [name]: value }), `${name} ${JSON.stringify(value)}`)
        }
        assert.isFalse(yield* refusedByBoth(hs, { [name]: ["a", "b"] }))
      }
    }))

  it.effect("a lifetime of nothing, less, or for ever (90)", () =>
    Effect.gen(function*() {
      for (const lifetime of [0, -1, "0 seconds", "999 millis", Duration.infinity, Infinity, NaN, "soon"]) {
        const { signer } = yield* wrongWith(hs, { lifetime })
        assert.strictEqual(signer, "lifetime is a finite duration of at least a second", String(lifetime))
      }
      assert.strictEqual((yield* wrongWith(hs, { lifetime: "1 second" })).signer, "accepted")
    }))

  it.effect("a tolerance without end", () =>
    Effect.gen(function*() {
      for (const tolerance of [Duration.infinity, Infinity, "soon"]) {
        assert.isTrue(yield* refusedByBoth(hs, { tolerance }), String(tolerance))
      }
      assert.isFalse(yield* refusedByBoth(hs, { tolerance: 0 }))
    }))

  it.effect("a cache of a size that is no whole number", () =>
    Effect.gen(function*() {
      for (const cacheSize of [-1, 1.5, NaN, Infinity, "10"]) {
        assert.isTrue(yield* refusedByBoth(hs, { cacheSize }), String(cacheSize))
      }
      assert.isFalse(yield* refusedByBoth(hs, { cacheSize: 0 }))
    }))

  it.effect("no algorithm", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* refusedByBoth(hs, { algorithms: [] }))
    }))

  it.effect("an algorithm that does not exist (88)", () =>
    Effect.gen(function*() {
      for (const algorithms of [["nope"], [""], ["none"], ["hs256"], ["HS256", "nope"]]) {
        assert.isTrue(yield* refusedByBoth(hs, { algorithms }), JSON.stringify(algorithms))
      }
    }))

  it.effect("algorithms of another family than the keys, or of two", () =>
    Effect.gen(function*() {
      for (
        const [pair, ...others] of [[hs, "RS256", "ES256", "EdDSA"], [rs, "HS256", "ES256"], [es, "HS256"]] as const
      ) {
        for (const other of others) {
          assert.isTrue(yield* refusedByBoth(pair, { algorithms: [other] }), `${pair.algorithm} ${other}`)
          assert.isTrue(
            yield* refusedByBoth(pair, { algorithms: [pair.algorithm, other] }),
            `${pair.algorithm} ${other}`
          )
          assert.isTrue(
            yield* refusedByBoth(pair, { algorithms: [other, pair.algorithm] }),
            `${other} ${pair.algorithm}`
          )
        }
      }
    }))

  it.effect("algorithms of the family that the key is not for: another curve, another padding", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* refusedByBoth(es, { algorithms: ["ES384"] }))
      assert.isTrue(yield* refusedByBoth(es, { algorithms: ["ES256", "ES512"] }))
      assert.isTrue(yield* refusedByBoth(rs, { algorithms: ["PS256"] }))
      assert.isTrue(yield* refusedByBoth(pairs.get("PS256")!, { algorithms: ["RS256"] }))
    }))

  it.effect("a secret that is shorter than the hash (W37)", () =>
    Effect.gen(function*() {
      for (const algorithm of families.HS) {
        const least = Number(algorithm.slice(2)) / 8
        for (const length of [0, 1, 6, least - 1, least, least + 1, 2 * least]) {
          const reason = yield* complaintOf(Effect.gen(function*() {
            const key = yield* JwtKeysJose.hmac(Redacted.make(new Uint8Array(randomBytes(length))))
            yield* Effect.provide(Jwt.verifier(optionsFor(algorithm)), ring(key))
          }))
          assert.strictEqual(reason === "accepted", length >= least, `${algorithm} ${length}: ${reason}`)
        }
      }
    }))

  it.effect("a secret that is long enough for one of the algorithms beside one that is for all", () =>
    Effect.gen(function*() {
      const secretOf = (length: number) =>
        JwtKeysJose.hmac(Redacted.make(new Uint8Array(randomBytes(length))), { kid: `of ${length}` })
      const keys = ring(yield* secretOf(64), yield* secretOf(32))
      const built = (...algorithms: ["HS256", ...Array<"HS384" | "HS512">]) =>
        complaintOf(Effect.provide(Jwt.verifier({ ...optionsFor("HS256"), algorithms }), keys))
      assert.strictEqual(yield* built("HS256"), "accepted")
      const reason = "the key \"of 32\" is a secret of fewer than 64 bytes, which HS512 needs"
      assert.strictEqual(yield* built("HS256", "HS512"), reason)
    }))

  it.effect("a signer whose keys can only verify (W36)", () =>
    Effect.gen(function*() {
      const key = yield* JwtKeysJose.jwk({ ...jwkOf(es.verifying), alg: "ES256" })
      assert.strictEqual(yield* complaintOf(Effect.provide(Jwt.verifier(optionsFor("ES256")), ring(key))), "accepted")
      assert.strictEqual(
        yield* complaintOf(Effect.provide(Jwt.signer(optionsFor("ES256")), ring(key))),
        "no key of the ring that is live can sign with ES256"
      )
    }))

  it.effect("a ring without keys, with two of one kid, or with keys of two families", () =>
    Effect.gen(function*() {
      const built = (...keys: ReadonlyArray<JwtKeys.Key>) => complaintOf(Effect.scoped(Layer.build(ring(...keys))))
      const one = yield* keyOf(es, { kid: "1" })
      const same = yield* keyOf(pairOf("ES256"), { kid: "1" })
      const secret = yield* keyOf(hs, { kid: "2" })
      assert.strictEqual(yield* built(), "a key ring has no key")
      assert.strictEqual(yield* built(one, same), "two keys of a ring have the kid \"1\"")
      assert.strictEqual(yield* built(one, secret), "a key ring has keys of one family, not of ES and HS")
      assert.strictEqual(yield* built(one), "accepted")
      assert.strictEqual(yield* built(one, yield* keyOf(pairOf("ES384"), { kid: "2" })), "accepted")
    }))
})

// -----------------------------------------------------------------------------
// Rotation
// -----------------------------------------------------------------------------

describe("a ring", () => {
  const first = pairOf("ES256")
  const second = pairOf("ES256")
  const options = optionsFor("ES256")

  /** A signer, a verifier and what replaces their keys. */
  const rotating = (...keys: ReadonlyArray<JwtKeys.Key>) =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const context = yield* Layer.build(ring(...keys))
      const signer = yield* Effect.provide(Jwt.signer(options), context)
      return {
        verifier: yield* Effect.provide(Jwt.verifier(options), context),
        sign: Effect.map(signer.sign({ sub: "ada" }, { subject: "ada" }), ({ token }) => Redacted.value(token)),
        replace: (...keys: [JwtKeys.Key, ...Array<JwtKeys.Key>]) => Effect.provide(JwtKeys.replace(...keys), context),
        jwks: Effect.provide(JwtKeys.jwks, context),
        context
      }
    })

  const kidOf = (token: string) => partsOf(token).header["kid"]

  it.scoped("signs with the newest key that can, and verifies with every one (W36)", () =>
    Effect.gen(function*() {
      const old = yield* keyOf(first, { kid: "old" })
      const fresh = yield* keyOf(second, { kid: "new" })
      const { replace, sign, verifier } = yield* rotating(old)
      const before = yield* sign
      yield* replace(fresh, old)
      const after = yield* sign
      assert.strictEqual(kidOf(before), "old")
      assert.strictEqual(kidOf(after), "new")
      assert.isTrue(isSignedBy(second, after))
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          before,
          after,
          forged: tokenOf(first, claimsWith(), { alg: "ES256", kid: "new" })
        }),
        { before: "accepted", after: "accepted", forged: "BadSignature" }
      )
    }))

  it.scoped("signs with an older key while the newest only verifies", () =>
    Effect.gen(function*() {
      const readOnly = yield* JwtKeysJose.jwk({ ...jwkOf(second.verifying), alg: "ES256" }, { kid: "new" })
      const { sign, verifier } = yield* rotating(readOnly, yield* keyOf(first, { kid: "old" }))
      const token = yield* sign
      assert.strictEqual(kidOf(token), "old")
      const theirs = tokenOf(second, claimsWith(), { alg: "ES256", kid: "new" })
      assert.strictEqual(yield* verdictOf(verifier, theirs), "accepted")
    }))

  it.scoped("tries every key for a token that names none, and keys without a name for it alone", () =>
    Effect.gen(function*() {
      const { sign, verifier } = yield* rotating(spyKey(second), spyKey(first))
      assert.isFalse("kid" in partsOf(yield* sign).header)
      assert.deepStrictEqual(
        yield* verdictsOf(verifier, {
          newest: yield* sign,
          older: tokenOf(first, claimsWith()),
          strange: tokenOf(pairOf("ES256"), claimsWith()),
          named: tokenOf(first, claimsWith(), { alg: "ES256", kid: "1" })
        }),
        { newest: "accepted", older: "accepted", strange: "BadSignature", named: "UnknownKey" }
      )
    }))

  it.scoped("without a key ends the tokens of that key at once, though their signature was remembered", () =>
    Effect.gen(function*() {
      const old = yield* keyOf(first, { kid: "old" })
      const fresh = yield* keyOf(second, { kid: "new" })
      const { replace, sign, verifier } = yield* rotating(old)
      const token = yield* sign
      const unnamed = tokenOf(first, claimsWith())
      assert.strictEqual(yield* verdictOf(verifier, token), "accepted")
      assert.strictEqual(yield* verdictOf(verifier, unnamed), "accepted")
      yield* replace(fresh)
      assert.strictEqual(yield* verdictOf(verifier, token), "UnknownKey")
      assert.strictEqual(yield* verdictOf(verifier, unnamed), "BadSignature")
      yield* replace(fresh, old)
      assert.strictEqual(yield* verdictOf(verifier, token), "accepted")
    }))

  it.scoped("with another key under the same name ends the tokens of the first, though remembered", () =>
    Effect.gen(function*() {
      const { replace, sign, verifier } = yield* rotating(yield* keyOf(first, { kid: "1" }))
      const token = yield* sign
      assert.strictEqual(yield* verdictOf(verifier, token), "accepted")
      yield* replace(yield* keyOf(second, { kid: "1" }))
      assert.strictEqual(yield* verdictOf(verifier, token), "BadSignature")
    }))

  it.scoped("does not remember what was found out with keys that were replaced meanwhile", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<boolean>()
      const slow: JwtKeys.Key = {
        ...spyKey(first, { kid: "old" }),
        verify: () => Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(answer))
      }
      const { replace, verifier } = yield* rotating(slow)
      const token = tokenOf(first, claimsWith(), { alg: "ES256", kid: "old" })
      const inFlight = yield* Effect.fork(verdictOf(verifier, token))
      yield* Deferred.await(asked)
      yield* replace(yield* keyOf(second, { kid: "new" }))
      yield* Deferred.succeed(answer, true)
      yield* Fiber.join(inFlight)
      assert.strictEqual(yield* verdictOf(verifier, token), "UnknownKey")
    }))

  it.scoped("neither signs nor verifies with a key whose time has come, from that instant on", () =>
    Effect.gen(function*() {
      const old = yield* keyOf(first, { kid: "old", until: instant(now + 60) })
      const fresh = yield* keyOf(second, { kid: "new", until: instant(now + 120) })
      const { jwks, sign, verifier } = yield* rotating(old, fresh)
      const published = Effect.map(jwks, ({ keys }) => keys.map(({ kid }) => kid))
      const token = yield* sign
      assert.strictEqual(kidOf(token), "old")
      assert.deepStrictEqual(yield* published, ["old", "new"])

      yield* setSeconds(now + 59.999)
      assert.strictEqual(yield* verdictOf(verifier, token), "accepted")
      yield* setSeconds(now + 60)
      assert.strictEqual(yield* verdictOf(verifier, token), "UnknownKey")
      assert.strictEqual(kidOf(yield* sign), "new")
      assert.deepStrictEqual(yield* published, ["new"])

      yield* setSeconds(now + 120)
      assert.strictEqual((yield* Effect.flip(sign))._tag, "SecurityUnavailable")
      assert.deepStrictEqual(yield* published, [])
    }))

  it.scoped("refuses keys that do not fit, and keeps what it has", () =>
    Effect.gen(function*() {
      const old = yield* keyOf(first, { kid: "old" })
      const { jwks, replace, sign, verifier } = yield* rotating(old)
      const token = yield* sign
      const before = yield* jwks
      const refused = {
        "another family": [yield* keyOf(hs)],
        "another curve": [yield* keyOf(pairOf("ES384"))],
        "another curve beside the right one": [old, yield* keyOf(pairOf("ES384"), { kid: "2" })],
        "one that cannot sign": [yield* JwtKeysJose.jwk({ ...jwkOf(second.verifying), alg: "ES256" })],
        "two of one name": [old, yield* keyOf(second, { kid: "old" })],
        none: []
      }
      for (const [name, keys] of Object.entries(refused)) {
        const complaint = yield* complaintOf(replace(...keys as unknown as [JwtKeys.Key]))
        assert.notStrictEqual(complaint, "accepted", name)
        assert.strictEqual(yield* verdictOf(verifier, token), "accepted", name)
        assert.strictEqual(kidOf(yield* sign), "old", name)
        assert.deepStrictEqual(yield* jwks, before, name)
      }
      assert.strictEqual(yield* complaintOf(replace(yield* keyOf(second, { kid: "new" }))), "accepted")
      assert.strictEqual(yield* verdictOf(verifier, token), "UnknownKey")
    }))

  it.scoped("that cannot answer is an outage, and no bad token", () =>
    Effect.gen(function*() {
      const old = yield* keyOf(first, { kid: "old" })
      const { context } = yield* rotating(old)
      const ofKnown = Context.get(context, JwtKeys.JwtKeys)
      const down = Effect.flip(
        Effect.provide(Jwt.signer(options), ring(spyKey(first, { failure: "down" }))).pipe(
          Effect.flatMap((signer) => signer.sign({ sub: "ada" }, { subject: "ada" }))
        )
      )
      const unavailable = yield* down
      assert.strictEqual(unavailable._tag, "SecurityUnavailable")
      const verifier = yield* Effect.provideService(Jwt.verifier(options), JwtKeys.JwtKeys, {
        ...ofKnown,
        refresh: Effect.fail(unavailable as never)
      })
      const token = tokenOf(second, claimsWith(), { alg: "ES256", kid: "unheard of" })
      assert.strictEqual(yield* verdictOf(verifier, token), "SecurityUnavailable")
      assert.strictEqual(
        yield* verdictOf(verifier, tokenOf(first, claimsWith(), { alg: "ES256", kid: "old" })),
        "accepted"
      )
    }))

  it.scoped("that is published elsewhere is asked again for a key that is not there, and only then", () =>
    Effect.gen(function*() {
      const old = yield* keyOf(first, { kid: "old" })
      const fresh = yield* keyOf(second, { kid: "new" })
      const { context } = yield* rotating(old)
      let refreshed = 0
      const verifier = yield* Effect.provideService(Jwt.verifier(options), JwtKeys.JwtKeys, {
        ...Context.get(context, JwtKeys.JwtKeys),
        refresh: Effect.sync(() => {
          refreshed++
          return { generation: 1, keys: [fresh, old] }
        })
      })
      const good = tokenOf(first, claimsWith(), { alg: "ES256", kid: "old" })
      const forged = tokenOf(second, claimsWith(), { alg: "ES256", kid: "old" })
      assert.strictEqual(yield* verdictOf(verifier, good), "accepted")
      assert.strictEqual(yield* verdictOf(verifier, forged), "BadSignature")
      assert.strictEqual(refreshed, 0)
      assert.strictEqual(
        yield* verdictOf(verifier, tokenOf(second, claimsWith(), { alg: "ES256", kid: "new" })),
        "accepted"
      )
      assert.strictEqual(refreshed, 1)
      assert.strictEqual(
        yield* verdictOf(verifier, tokenOf(second, claimsWith(), { alg: "ES256", kid: "other" })),
        "UnknownKey"
      )
      assert.strictEqual(refreshed, 2)
    }))
})

// -----------------------------------------------------------------------------
// Publishing
// -----------------------------------------------------------------------------

describe("the keys that are published", () => {
  const published = (...keys: ReadonlyArray<JwtKeys.Key>) =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const { dispose, handler } = HttpApp.toWebHandlerLayer(JwtKeys.handler, Layer.orDie(ring(...keys)))
      yield* Effect.addFinalizer(() => Effect.promise(() => dispose()))
      const response = yield* Effect.promise(() => handler(new Request("https://a.example/jwks")))
      const body = yield* Effect.promise(() => response.text())
      return { response, body, jwks: JSON.parse(body) as JwtKeys.Jwks }
    })

  it.scoped("are a JSON Web Key Set that may be cached for five minutes", () =>
    Effect.gen(function*() {
      const { jwks, response } = yield* published(yield* keyOf(es, { kid: "1" }))
      assert.strictEqual(response.status, 200)
      assert.strictEqual(response.headers.get("content-type"), "application/jwk-set+json")
      assert.strictEqual(response.headers.get("cache-control"), "public, max-age=300")
      const { x, y } = jwkOf(es.verifying)
      assert.strictEqual(jwks.keys.length, 1)
      assert.deepInclude(jwks.keys[0]!, { kty: "EC", crv: "P-256", x, y, kid: "1", alg: "ES256" })
    }))

  it.scoped("are what others verify with, and have no private member, for every kind of key", () =>
    Effect.gen(function*() {
      for (const algorithm of ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"] as const) {
        const pair = pairs.get(algorithm)!
        const { body, jwks } = yield* published(yield* keyOf(pair, { kid: "1" }))
        const jwk = jwks.keys[0]!
        const secret = jwkOf(pair.signing)
        for (const member of ["d", "p", "q", "dp", "dq", "qi", "k", "oth"]) {
          assert.notProperty(jwk, member, algorithm)
          if (typeof secret[member] === "string") assert.notInclude(body, secret[member], algorithm)
        }
        const theirs = yield* JwtKeysJose.jwk(jwk)
        const verifier = yield* Effect.provide(Jwt.verifier(optionsFor(algorithm)), ring(theirs))
        const token = tokenOf(pair, claimsWith(), { alg: algorithm, kid: "1" })
        assert.strictEqual(yield* verdictOf(verifier, token), "accepted", algorithm)
      }
    }))

  it.scoped("have no secret among them", () =>
    Effect.gen(function*() {
      const { body } = yield* published(yield* keyOf(hs, { kid: "1" }))
      assert.strictEqual(body, "{\"keys\":[]}")
    }))
})

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

describe("no secret is printed", () => {
  /** Everything that somebody may print of a value. */
  const printed = (value: unknown) =>
    [
      inspect(value, { depth: null, showHidden: true }),
      inspect(value),
      String(value),
      Inspectable.format(value),
      Inspectable.toStringUnknown(value),
      value instanceof Error ? `${value.stack}\n${value.message}` : "",
      JSON.stringify(value) ?? ""
    ].join("\n")

  const secretsOf = (pair: typeof hs) => {
    const { d, k, p } = jwkOf(pair.signing)
    const bytes = Buffer.from(String(d ?? k), "base64url")
    return [d, k, p, bytes.toString("hex"), bytes.toString("base64"), bytes.join(", ")].filter((_) => _ !== undefined)
  }

  it.effect("of a key, a ring or its context", () =>
    Effect.gen(function*() {
      for (const algorithm of ["HS256", "RS256", "ES256", "EdDSA"] as const) {
        const pair = pairs.get(algorithm)!
        const key = yield* keyOf(pair, { kid: "1" })
        const context = yield* Layer.build(ring(key)).pipe(Effect.scoped)
        const keys = yield* Context.get(context, JwtKeys.JwtKeys).keys
        for (const value of [key, keys, Context.get(context, JwtKeys.JwtKeys), context]) {
          for (const secret of secretsOf(pair)) assert.notInclude(printed(value), String(secret), algorithm)
        }
      }
    }))

  it.effect("of a fresh token", () =>
    Effect.gen(function*() {
      const { signer, verifier } = yield* bothOf(optionsFor("HS256"), yield* keyOf(hs))
      const issued = yield* signer.sign({ sub: "ada" }, { subject: "ada" })
      const [, payload, signature] = Redacted.value(issued.token).split(".")
      for (const value of [issued, signer, verifier]) {
        assert.notInclude(printed(value), payload!)
        assert.notInclude(printed(value), signature!)
      }
    }))

  it.effect("of a token that is refused, in its failure or in logs", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ annotations, cause, message }) => {
        lines.push(printed([message, Cause.pretty(cause), [...annotations]]))
      })
      const verifier = yield* verifierOf(hs)
      const tokens = [
        tokenOf(hs, claimsWith({ exp: 1 })),
        tokenOf(hs, claimsWith({ sub: 1 })),
        tokenOf(pairOf("HS256"), claimsWith()),
        tokenOf(hs, claimsWith(), { alg: "none" }),
        tokenOf(hs, claimsWith(), { alg: "HS256", kid: "secret-kid" }),
        "not.a.token-but-a-password"
      ]
      for (const token of tokens) {
        const exit = yield* Effect.exit(verifier.verify(Redacted.make(token))).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
          Logger.withMinimumLogLevel(LogLevel.All)
        )
        const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
        const texts = [
          printed(exit),
          Cause.pretty(cause),
          printed(Option.getOrThrow(Cause.failureOption(cause))),
          ...lines
        ]
        for (const part of token.split(".")) {
          if (part.length > 8) { for (const text of texts) assert.notInclude(text, part) }
        }
      }
    }))

  it.effect("of a secret that is no good as one", () =>
    Effect.gen(function*() {
      const secret = base64Url("a secret of 20 bytes")
      const failure = yield* Effect.flip(Effect.gen(function*() {
        const key = yield* JwtKeysJose.hmac(Redacted.make(secret), { kid: "1" })
        yield* Effect.provide(Jwt.verifier(optionsFor("HS256")), ring(key))
      }))
      assert.strictEqual(failure._tag, "SecurityConfigError")
      assert.notInclude(printed(failure), secret)
      assert.notInclude(printed(failure), "a secret of 20 bytes")
    }))
})
