import type { Layer } from "effect"
import { Effect, Redacted, Schema } from "effect"
import type { SecurityError } from "effect-security"
import { Jwt, JwtKeys } from "effect-security"
import { describe, expect, test } from "tstyche"

const claims = Schema.Struct({ sub: Schema.String, since: Schema.Date, email: Schema.optional(Schema.String) })
type Claims = typeof claims.Type

const options = {
  algorithms: ["ES256", "ES384"],
  issuer: "https://accounts.example.com",
  audience: "https://api.example.com",
  claims
} as const satisfies Jwt.Options<Claims>

declare const verifier: Jwt.Verifier<Claims>
declare const signer: Jwt.Signer<Claims>
declare const key: JwtKeys.Key

describe("a verifier", () => {
  test("is built of a ring, or fails with a typed failure", () => {
    expect(Jwt.verifier(options)).type.toBe<
      Effect.Effect<Jwt.Verifier<Claims>, SecurityError.SecurityConfigError, JwtKeys.JwtKeys>
    >()
  })

  test("accepts algorithms of one family, and at least one", () => {
    Jwt.verifier({ ...options, algorithms: ["HS256", "HS384", "HS512"] })
    Jwt.verifier({ ...options, algorithms: ["RS256", "PS256"] })
    Jwt.verifier({ ...options, algorithms: ["EdDSA"] })
    // @ts-expect-error Type '["HS256", "RS256"]' is not assignable to type 'Algorithms'.
    Jwt.verifier({ ...options, algorithms: ["HS256", "RS256"] })
    // @ts-expect-error Type '["RS256", "ES256"]' is not assignable to type 'Algorithms'.
    Jwt.verifier({ ...options, algorithms: ["RS256", "ES256"] })
    // @ts-expect-error Type '["ES256", "EdDSA"]' is not assignable to type 'Algorithms'.
    Jwt.verifier({ ...options, algorithms: ["ES256", "EdDSA"] })
    // @ts-expect-error Type '[]' is not assignable to type 'Algorithms'.
    Jwt.verifier({ ...options, algorithms: [] })
    // @ts-expect-error Type '"none"' is not assignable to type 'HmacAlgorithm | RsaAlgorithm
    Jwt.verifier({ ...options, algorithms: ["none"] })
    // @ts-expect-error Type 'string' is not assignable to type 'Algorithms'.
    Jwt.verifier({ ...options, algorithms: "ES256" })
  })

  test("names the algorithms, the issuer and the audience: none of them has a default", () => {
    const { algorithms, audience, issuer } = options
    // @ts-expect-error Property 'algorithms' is missing in type
    Jwt.verifier({ issuer, audience, claims })
    // @ts-expect-error Property 'issuer' is missing in type
    Jwt.verifier({ algorithms, audience, claims })
    // @ts-expect-error Property 'audience' is missing in type
    Jwt.verifier({ algorithms, issuer, claims })
    // @ts-expect-error Property 'claims' is missing in type
    Jwt.verifier({ algorithms, issuer, audience })
    // @ts-expect-error Type '[]' is not assignable to type 'string | readonly [string, ...string[]]'.
    Jwt.verifier({ ...options, issuer: [] })
    // @ts-expect-error Type '[]' is not assignable to type 'string | readonly [string, ...string[]]'.
    Jwt.verifier({ ...options, audience: [] })
    // @ts-expect-error Type 'undefined' is not assignable to type 'string | readonly [string, ...string[]]'.
    Jwt.verifier({ ...options, audience: undefined })
    // @ts-expect-error Type '"rt+jwt"' is not assignable to type '"JWT" | "at+jwt" | undefined'.
    Jwt.verifier({ ...options, type: "rt+jwt" })
  })

  test("takes no plain string for a token", () => {
    verifier.verify(Redacted.make("eyJ..."))
    // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'Redacted<string>'.
    verifier.verify("eyJ...")
    // @ts-expect-error Argument of type 'Redacted<Uint8Array<ArrayBuffer>>' is not assignable to
    verifier.verify(Redacted.make(new Uint8Array()))
  })

  test("gives the claims as their schema decodes them, and what the token says about itself", () => {
    expect(verifier.verify).type.toBe<
      (
        token: Redacted.Redacted
      ) => Effect.Effect<
        Jwt.Verified<Claims>,
        SecurityError.NotAuthorized | SecurityError.SecurityUnavailable
      >
    >()
    expect<Jwt.Verified<Claims>["claims"]["since"]>().type.toBe<Date>()
    expect<Jwt.Token["claims"]["anything"]>().type.toBe<unknown>()
  })

  test("of several issuers is made of verifiers, one at least, and needs no ring", () => {
    expect(Jwt.byIssuer(verifier, verifier)).type.toBe<
      Effect.Effect<Jwt.Verifier<Claims>, SecurityError.SecurityConfigError>
    >()
    // @ts-expect-error Expected at least 1 arguments, but got 0.
    Jwt.byIssuer()
    // @ts-expect-error is not assignable to parameter of type 'Verifier<any>'.
    Jwt.byIssuer(options)
  })

  test("of fewer claims stands where more are not asked for, and the other way round does not", () => {
    expect<Jwt.Verifier<Claims>>().type.toBeAssignableTo<Jwt.Verifier<{ readonly sub: string }>>()
    expect<Jwt.Verifier<{ readonly sub: string }>>().type.not.toBeAssignableTo<Jwt.Verifier<Claims>>()
  })
})

describe("a signer", () => {
  const since = new Date(0)

  test("takes the claims of its schema, and says whose the token is", () => {
    expect(signer.sign({ sub: "ada", since }, { subject: "ada" })).type.toBe<
      Effect.Effect<Jwt.Issued, SecurityError.SessionTooLarge | SecurityError.SecurityUnavailable>
    >()
    // @ts-expect-error Type 'string' is not assignable to type 'Date'.
    signer.sign({ sub: "ada", since: "yesterday" }, { subject: "ada" })
    // @ts-expect-error Property 'since' is missing in type '{ sub: string; }'
    signer.sign({ sub: "ada" }, { subject: "ada" })
    // @ts-expect-error Object literal may only specify known properties, and 'admin' does not exist in type
    signer.sign({ sub: "ada", since, admin: true }, { subject: "ada" })
    // @ts-expect-error Expected 2 arguments, but got 1.
    signer.sign({ sub: "ada", since })
    // @ts-expect-error Property 'subject' is missing in type '{}' but required in type 'SignOptions'.
    signer.sign({ sub: "ada", since }, {})
    // @ts-expect-error Object literal may only specify known properties, and 'issuedAt' does not exist in type
    signer.sign({ sub: "ada", since }, { subject: "ada", issuedAt: since })
  })

  test("gives a token that is not printed", () => {
    expect<Jwt.Issued["token"]>().type.toBe<Redacted.Redacted>()
    expect<Jwt.Issued["token"]>().type.not.toBeAssignableTo<string>()
  })

  test("of more claims is none of fewer", () => {
    expect<Jwt.Signer<{ readonly sub: string }>>().type.toBeAssignableTo<Jwt.Signer<Claims>>()
    expect<Jwt.Signer<Claims>>().type.not.toBeAssignableTo<Jwt.Signer<{ readonly sub: string }>>()
  })
})

describe("a ring", () => {
  test("is made of one key at least, and fails as its sources do", () => {
    expect(JwtKeys.layer(Effect.succeed(key))).type.toBe<
      Layer.Layer<JwtKeys.JwtKeys | JwtKeys.Rotation, SecurityError.SecurityConfigError>
    >()
    const down: Effect.Effect<JwtKeys.Key, "down"> = Effect.fail("down")
    expect(JwtKeys.layer(Effect.succeed([key, key]), down)).type.toBe<
      Layer.Layer<JwtKeys.JwtKeys | JwtKeys.Rotation, SecurityError.SecurityConfigError | "down">
    >()
    // @ts-expect-error Expected at least 1 arguments, but got 0.
    JwtKeys.layer()
    // @ts-expect-error Argument of type 'Effect<string, never, never>' is not assignable to parameter of type
    JwtKeys.layer(Effect.succeed("secret"))
  })

  test("is replaced by one key at least, where it can be", () => {
    expect(JwtKeys.replace(key, key)).type.toBe<
      Effect.Effect<void, SecurityError.SecurityConfigError, JwtKeys.Rotation>
    >()
    // @ts-expect-error Expected at least 1 arguments, but got 0.
    JwtKeys.replace()
  })
})
