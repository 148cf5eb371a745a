import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpServer
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Either, FastCheck, JSONSchema, Layer, ParseResult, Redacted, Schema } from "effect"
import * as Password from "effect-security/user/Password"
import { inspect } from "node:util"

const secret = "hunter2"
const long = "hunter2".repeat(40)

/** Everything that a parse error says of itself, in each of the ways that there are to print one. */
const printed = (error: ParseResult.ParseError): string =>
  [
    error.message,
    String(error),
    JSON.stringify(error),
    inspect(error, { depth: 20 }),
    Cause.pretty(Cause.fail(error)),
    ParseResult.TreeFormatter.formatErrorSync(error),
    JSON.stringify(ParseResult.ArrayFormatter.formatErrorSync(error))
  ].join("\n")

const refused = <A, I>(schema: Schema.Schema<A, I>, input: unknown, errors: "first" | "all" = "all"): string => {
  const result = Schema.decodeUnknownEither(schema)(input, { errors })
  assert.isTrue(Either.isLeft(result))
  return printed((result as Either.Left<ParseResult.ParseError, A>).left)
}

class Signup extends Schema.Class<Signup>("Signup")({ email: Schema.String, password: Password.NewPassword }) {}

describe("a password", () => {
  it("prints as <redacted>, however it is printed", () => {
    const password = Password.make(secret)
    assert.strictEqual(String(password), "<redacted>")
    assert.strictEqual(JSON.stringify({ password }), `{"password":"<redacted>"}`)
    assert.notInclude(inspect({ password }, { depth: 20, showHidden: true }), secret)
    assert.strictEqual(Redacted.value(password), secret)
  })

  it("may be a secret from elsewhere", () => {
    assert.strictEqual(Redacted.value(Password.fromRedacted(Redacted.make(secret))), secret)
  })
})

describe("the schema of a password to sign in with", () => {
  const decode = Schema.decodeUnknownEither(Password.Password)

  it.prop("decodes any well-formed string and encodes it back", [FastCheck.string({ unit: "binary" })], ([text]) => {
    const password = Schema.decodeSync(Password.Password)(text)
    return Redacted.value(password) === text && Schema.encodeSync(Password.Password)(password) === text
  })

  it("refuses lone surrogates and what is no string", () => {
    for (const input of ["\ud800", "a\udfffb", 1, null, undefined, {}, [], Redacted.make(secret)]) {
      assert.isTrue(Either.isLeft(decode(input)))
    }
  })
})

describe("the schema of a new password", () => {
  const accepts = (text: string) => Either.isRight(Schema.decodeEither(Password.NewPassword)(text))

  it("takes 8 to 256 code points", () => {
    assert.deepStrictEqual([7, 8, 256, 257].map((length) => accepts("a".repeat(length))), [false, true, true, false])
    assert.deepStrictEqual([7, 8, 256, 257].map((length) => accepts("😀".repeat(length))), [false, true, true, false])
  })

  it("counts them after NFKC", () => {
    // Eight characters typed as letter and mark are eight, and so are four ligatures of two letters.
    assert.isFalse(accepts("e\u0301".repeat(7)))
    assert.isTrue(accepts("e\u0301".repeat(256)))
    assert.isTrue(accepts("ﬁ".repeat(4)))
    assert.isFalse(accepts("ﬁ".repeat(129)))
  })

  it("takes none that would be too long to sign in with", () => {
    // The longest sequence that NFKC makes one character of: 256 of them take 2,048 bytes.
    const longest = "\u03b1\u0313\u0300\u0345"
    assert.lengthOf(longest.normalize("NFKC"), 1)
    assert.isTrue(accepts(longest.repeat(256)))
    assert.isFalse(accepts(longest.repeat(257)))
    assert.isFalse(accepts("a".repeat(10_000_000)))
  })

  it("has no rule of composition", () => {
    assert.isTrue(accepts("        "))
    assert.isTrue(accepts("\0".repeat(8)))
  })

  it("refuses lone surrogates", () => {
    assert.isFalse(accepts("password\ud800"))
  })

  it("agrees with its guard", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.string({ unit: "binary", maxLength: 12 }),
        (text) => accepts(text) === Password.isNewPassword(Password.make(text))
      )
    )
  })

  it("makes good passwords for property tests", () => {
    FastCheck.assert(FastCheck.property(Arbitrary.make(Password.NewPassword), Password.isNewPassword))
    FastCheck.assert(FastCheck.property(Arbitrary.make(Signup), (_) => Password.isNewPassword(_.password)))
  })

  it("is a string in JSON Schema, in the place where it stands", () => {
    assert.deepInclude(JSONSchema.make(Schema.Struct({ password: Password.NewPassword })), {
      properties: {
        password: {
          type: "string",
          title: "NewPassword",
          description: "a password of 8 to 256 characters",
          format: "password"
        }
      }
    })
  })
})

describe("a parse error never repeats a password", () => {
  const inputs: ReadonlyArray<unknown> = [secret, long, `${secret}${secret}\ud800`, [secret], { value: secret }]
  const places: ReadonlyArray<readonly [string, Schema.Schema<any, any>, (input: unknown) => unknown]> = [
    ["alone", Password.NewPassword, (_) => _],
    ["in a struct", Schema.Struct({ email: Schema.String, password: Password.NewPassword }), (password) => ({
      email: "ada@example.com",
      password
    })],
    ["beside another error", Schema.Struct({ email: Schema.String, password: Password.NewPassword }), (password) => ({
      email: 1,
      password
    })],
    ["in a class", Signup, (password) => ({ email: "ada@example.com", password })],
    ["in an array", Schema.Array(Password.NewPassword), (_) => ["a good password", _]],
    ["in a tuple", Schema.Tuple(Schema.String, Password.NewPassword), (_) => ["", _]],
    ["in a record", Schema.Record({ key: Schema.String, value: Password.NewPassword }), (_) => ({ a: _ })],
    [
      "under an exact optional key",
      Schema.Struct({
        password: Schema.optionalWith(Password.NewPassword, { exact: true })
      }),
      (password) => ({ password })
    ],
    ["deep inside", Schema.Struct({ a: Schema.Array(Schema.Struct({ b: Signup })) }), (password) => ({
      a: [{ b: { email: "", password } }]
    })],
    ["in a refined struct", Signup.pipe(Schema.filter(() => true)), (password) => ({ email: "", password })],
    ["in JSON text", Schema.parseJson(Signup), (password) => JSON.stringify({ email: "", password })],
    [
      "in a union with a message",
      Schema.NullOr(Password.NewPassword).annotations({
        message: () => ({ message: "Expected a password or null", override: true })
      }),
      (_) => _
    ]
  ]

  for (const [where, schema, put] of places) {
    it(where, () => {
      for (const input of inputs) {
        for (const errors of ["first", "all"] as const) {
          assert.notInclude(refused(schema, put(input), errors), secret)
        }
      }
    })
  }

  it("of one to sign in with", () => {
    for (const input of [`${secret}\ud800`, [secret], { value: secret }, { [secret]: 1 }]) {
      assert.notInclude(refused(Password.Password, input), secret)
      assert.notInclude(refused(Schema.Struct({ password: Password.Password }), { password: input }), secret)
    }
  })

  it("when it is encoded, constructed or asserted instead of decoded", () => {
    for (const schema of [Password.Password, Password.NewPassword] as ReadonlyArray<Schema.Schema<any, string>>) {
      const encoded = Schema.encodeUnknownEither(schema)(secret)
      const validated = Schema.validateEither(schema)(secret)
      for (const result of [encoded, validated]) {
        assert.isTrue(Either.isLeft(result))
        assert.notInclude(printed((result as Either.Left<ParseResult.ParseError, any>).left), secret)
      }
      assert.notInclude(refused(Schema.typeSchema(schema), secret), secret)
      assert.notInclude(refused(Schema.encodedSchema(schema), [secret]), secret)
    }
    // @ts-expect-error a string is no password
    const constructed = Either.try(() => new Signup({ email: "", password: secret }))
    assert.isTrue(Either.isLeft(constructed))
    assert.notInclude(inspect(constructed, { depth: 3 }), secret)
  })

  it("and says what was expected, and where", () => {
    const result = Schema.decodeUnknownEither(Signup)({ email: "", password: secret })
    assert.isTrue(Either.isLeft(result))
    assert.deepStrictEqual(
      ParseResult.ArrayFormatter.formatErrorSync((result as Either.Left<ParseResult.ParseError, any>).left),
      [{ _tag: "Transformation", path: ["password"], message: "Expected a password of 8 to 256 characters" }]
    )
  })
})

describe("an HttpApi with a password in its payload", () => {
  const Api = HttpApi.make("api").add(
    HttpApiGroup.make("users").add(
      HttpApiEndpoint.post("signup", "/signup").setPayload(
        Schema.Struct({ email: Schema.String, password: Password.NewPassword })
      ).addSuccess(Schema.Struct({ length: Schema.Number }))
    )
  )
  const Live = HttpApiBuilder.group(
    Api,
    "users",
    (handlers) =>
      handlers.handle("signup", ({ payload }) => Effect.succeed({ length: Redacted.value(payload.password).length }))
  )
  const { handler } = HttpApiBuilder.toWebHandler(
    HttpApiBuilder.api(Api).pipe(Layer.provide(Live), Layer.merge(HttpServer.layerContext))
  )

  it("answers a refused one without repeating it", async () => {
    for (const password of [secret, long, [secret], { value: secret }]) {
      const response = await handler(
        new Request("http://localhost/signup", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ email: "ada@example.com", password })
        })
      )
      const body = await response.text()
      assert.strictEqual(response.status, 400)
      assert.include(body, "HttpApiDecodeError")
      assert.include(body, "Expected a password of 8 to 256 characters")
      assert.notInclude(body, secret)
    }
  })

  it.effect("is called by a derived client, which sends the password itself", () =>
    Effect.gen(function*() {
      const client = yield* HttpApiClient.make(Api, { baseUrl: "http://localhost" })
      const password = yield* Schema.decode(Password.NewPassword)("correct horse")
      const answer = yield* client.users.signup({ payload: { email: "", password } })
      assert.strictEqual(answer.length, 13)
    }).pipe(
      Effect.provide(FetchHttpClient.layer),
      Effect.provideService(FetchHttpClient.Fetch, (input, init) => handler(new Request(input, init)))
    ))
})

describe("the schema of a hash", () => {
  const decode = Schema.decodeUnknownEither(Password.PasswordHash)

  it("takes PHC strings with a salt and a hash", () => {
    for (
      const hash of [
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ",
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "$pbkdf2-sha256$i=600000$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
      ]
    ) {
      assert.isTrue(Either.isRight(decode(hash)), hash)
    }
  })

  it("refuses everything else without repeating it", () => {
    for (
      const input of [
        secret,
        `$${secret}`,
        `$argon2id$v=19$m=1,t=1,p=1$${secret}`,
        `$argon2id$v=19$m=1,t=1,p=1$$${secret}`,
        `$argon2id$v=19$m=1,t=1,p=1$c29tZXNhbHQ$${secret}=`,
        `$argon2id$v=19$m=1,t=1,p=1$c29tZXNhbHQ$${secret}\n`,
        `$argon2id$v=19$m=1,t=1,p=1$c29tZXNhbHQ$${"a".repeat(512)}`,
        [secret]
      ]
    ) {
      assert.isTrue(Either.isLeft(decode(input)), String(input))
      assert.notInclude(refused(Password.PasswordHash, input), secret)
      assert.notInclude(refused(Schema.Struct({ hash: Password.PasswordHash }), { hash: input }), secret)
    }
  })
})
