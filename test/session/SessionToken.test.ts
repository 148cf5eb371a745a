import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FastCheck, Inspectable, Option, Redacted, Schema } from "effect"
import * as SessionToken from "effect-security/session/SessionToken"
import { createHash } from "node:crypto"
import { inspect } from "node:util"

const shape = /^([A-Za-z0-9_-]{12})\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

const make = (realm = "app/Auth", subject = "ada") => Effect.map(SessionToken.make(realm, subject), Redacted.value)
const tagOf = (token: string) => token.slice(0, 12)
const secretOf = (token: string) => token.slice(13)

/** Any text, NUL and lone surrogates among it. */
const text = FastCheck.oneof(
  FastCheck.string(),
  FastCheck.string({ unit: "binary" }),
  FastCheck.array(FastCheck.integer({ min: 0, max: 0xff })).map((units) => String.fromCharCode(...units))
)

describe("a fresh token", () => {
  it.effect("is a tag of 9 bytes and a secret of 32, in base64url", () =>
    Effect.gen(function*() {
      const token = yield* make()
      assert.match(token, shape)
      assert.strictEqual(Buffer.from(tagOf(token), "base64url").length, 9)
      assert.strictEqual(Buffer.from(secretOf(token), "base64url").length, 32)
    }))

  it.effect("ends in one of the 16 characters that 32 bytes can end in, and in time in each of them", () =>
    Effect.gen(function*() {
      const tokens = yield* Effect.all(Array.from({ length: 1_000 }, () => make()))
      for (const token of tokens) {
        assert.match(token, shape)
        assert.strictEqual(Buffer.from(secretOf(token), "base64url").toString("base64url"), secretOf(token))
      }
      assert.strictEqual(new Set(tokens.map((token) => token.at(-1))).size, 16)
    }))

  it.effect("is never the same twice, and no byte of its secret is always the same", () =>
    Effect.gen(function*() {
      const secrets = (yield* Effect.all(Array.from({ length: 200 }, () => make()))).map(secretOf)
      assert.strictEqual(new Set(secrets).size, 200)
      const bytes = secrets.map((secret) => Buffer.from(secret, "base64url"))
      for (let index = 0; index < 32; index++) assert.isAbove(new Set(bytes.map((_) => _[index])).size, 32)
    }))

  it.effect("is made of 32 bytes that the random generator gives, and of nothing else", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const random = (length: number) => {
        asked.push(length)
        return new Uint8Array(length).fill(0xff)
      }
      const csprng = Context.GenericTag<never, (length: number) => Uint8Array>("effect-security/internal/Csprng")
      const token = yield* make().pipe(Effect.provideService(csprng, random))
      assert.deepStrictEqual(asked, [32])
      assert.strictEqual(secretOf(token), `${"_".repeat(42)}8`)
    }))

  it.effect("has the first 9 bytes of SHA-256 over realm, NUL and subject as its tag", () =>
    Effect.gen(function*() {
      const digest = createHash("sha256").update("app/Auth\0ada").digest().subarray(0, 9)
      assert.strictEqual(tagOf(yield* make("app/Auth", "ada")), digest.toString("base64url"))
    }))

  it.effect.prop(
    "has the same tag for one subject and another for another",
    [text, text, text],
    ([realm, a, b]) =>
      Effect.gen(function*() {
        const [first, again, other] = yield* Effect.all([make(realm, a), make(realm, a), make(realm, b)])
        assert.strictEqual(tagOf(first), tagOf(again))
        assert.notStrictEqual(secretOf(first), secretOf(again))
        const areSame = Buffer.from(a).equals(Buffer.from(b))
        assert.strictEqual(tagOf(first) === tagOf(other), areSame)
      }),
    { fastCheck: { numRuns: 300 } }
  )

  it.effect.prop("has another tag in another realm", [text, text, text], ([a, b, subject]) =>
    Effect.gen(function*() {
      const [first, other] = yield* Effect.all([make(a, subject), make(b, subject)])
      const areSame = Buffer.from(a).equals(Buffer.from(b))
      assert.strictEqual(tagOf(first) === tagOf(other), areSame)
    }))
})

describe("the text of a token", () => {
  it.effect("is read back", () =>
    Effect.gen(function*() {
      const token = yield* make()
      const read = SessionToken.fromString(token)
      assert.strictEqual(Option.map(read, Redacted.value).pipe(Option.getOrUndefined), token)
    }))

  it.effect("has one spelling: no other last character is read", () =>
    Effect.gen(function*() {
      const token = yield* make()
      const read = Array.from(alphabet).filter((last) =>
        Option.isSome(SessionToken.fromString(token.slice(0, -1) + last))
      )
      assert.deepStrictEqual(read, Array.from("AEIMQUYcgkosw048"))
    }))

  it.effect("is read with nothing before, between or behind it", () =>
    Effect.gen(function*() {
      const token = yield* make()
      const others = [
        "",
        ".",
        tagOf(token),
        secretOf(token),
        token.replace(".", ""),
        token.replace(".", ".."),
        token.replace(".", "%2E"),
        token.replace(".", "-"),
        token.slice(1),
        token.slice(0, -1),
        `A${token}`,
        `${token}A`,
        `${token}=`,
        `${token}\n`,
        ` ${token}`,
        `${token} `,
        `"${token}"`,
        `${token}, ${token}`,
        `${token}.${secretOf(token)}`,
        `\u00a0${token}`
      ]
      for (const other of others) assert.isTrue(Option.isNone(SessionToken.fromString(other)), JSON.stringify(other))
    }))

  it.effect("holds no character outside the alphabet, in any place", () =>
    Effect.gen(function*() {
      const token = yield* make()
      for (let index = 0; index < token.length; index++) {
        for (const odd of ["+", "/", "=", " ", ".", "%", "\u0000", "\u00e9", "\ud800", "\u212a"]) {
          if (index === 12 && odd === ".") continue
          const other = token.slice(0, index) + odd + token.slice(index + 1)
          assert.isTrue(Option.isNone(SessionToken.fromString(other)), `${index} ${JSON.stringify(odd)}`)
        }
      }
    }))

  it.prop("is read exactly when it has the shape", [
    FastCheck.oneof(
      text,
      FastCheck.stringMatching(shape),
      FastCheck.stringMatching(/^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/)
    )
  ], ([text]) => {
    const isShaped = /^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/.test(text) && !text.endsWith("\n") &&
      Buffer.from(secretOf(text), "base64url").toString("base64url") === secretOf(text)
    assert.strictEqual(Option.isSome(SessionToken.fromString(text)), isShaped)
  }, { fastCheck: { numRuns: 1_000 } })
})

describe("a token", () => {
  it.effect("prints itself nowhere", () =>
    Effect.gen(function*() {
      const token = yield* SessionToken.make("app/Auth", "ada")
      const text = Redacted.value(token)
      const read = Option.getOrThrow(SessionToken.fromString(text))
      for (const printed of [token, read]) {
        for (
          const print of [
            String(printed),
            `${printed}`,
            JSON.stringify({ printed }),
            inspect({ printed }, { depth: 10, showHidden: true }),
            Inspectable.toStringUnknown({ printed }),
            Object.keys(printed).join()
          ]
        ) {
          assert.notInclude(print, text)
          assert.notInclude(print, secretOf(text))
        }
      }
    }))
})

describe("the id of a token", () => {
  const idOf = (realm: string, token: string) =>
    SessionToken.toId(realm, Redacted.make(token) as SessionToken.SessionToken)

  it.effect("is the tag and SHA-256 over realm, NUL and token", () =>
    Effect.gen(function*() {
      const token = yield* make()
      const digest = createHash("sha256").update(`app/Auth\0${token}`).digest("base64url")
      assert.strictEqual(idOf("app/Auth", token), `${tagOf(token)}.${digest}`)
    }))

  it.effect.prop(
    "never holds the token or its secret, and is another in another realm",
    [text, text, text],
    ([a, b, subject]) =>
      Effect.gen(function*() {
        const token = yield* make(a, subject)
        const id = idOf(a, token)
        assert.isFalse(id.includes(token) || id.includes(secretOf(token)))
        assert.strictEqual(id, idOf(a, token))
        assert.strictEqual(id === idOf(b, token), Buffer.from(a).equals(Buffer.from(b)))
        assert.isTrue(Schema.is(SessionToken.SessionId)(id))
      }),
    { fastCheck: { numRuns: 300 } }
  )

  it.effect("is another for each token of a subject, and for a token whose tag was exchanged", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([make(), make()])
      assert.notStrictEqual(idOf("app/Auth", first), idOf("app/Auth", second))
      const exchanged = `AAAAAAAAAAAA.${secretOf(first)}`
      assert.notStrictEqual(idOf("app/Auth", first).slice(13), idOf("app/Auth", exchanged).slice(13))
    }))

  it("is read from a client only in its shape", () => {
    const id = `${"a".repeat(12)}.${"b".repeat(43)}`
    const isId = Schema.is(SessionToken.SessionId)
    assert.isTrue(isId(id))
    for (
      const other of [
        "",
        "a",
        id.slice(1),
        `${id}b`,
        `${id}\n`,
        id.replace(".", ""),
        id.replace("a", "+"),
        undefined,
        1
      ]
    ) {
      assert.isFalse(isId(other), String(other))
    }
  })
})
