import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck } from "effect"
import * as Login from "effect-security/user/Login"

const codePoints = Array.from({ length: 0x110000 }, (_, index) => index).filter((_) => _ < 0xd800 || _ > 0xdfff)
const characters = codePoints.map((_) => String.fromCodePoint(_))
const isStable = (text: string) => Login.key(Login.key(text)) === Login.key(text)
const anyText = FastCheck.oneof(
  FastCheck.string({ unit: "binary" }),
  // Lone surrogates too.
  FastCheck.array(FastCheck.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units))
)

describe("the key of a login", () => {
  it("is the same for logins that differ in case or in how they are typed", () => {
    assert.strictEqual(Login.key("Ada@Example.COM"), Login.key("ada@example.com"))
    assert.strictEqual(Login.key("ﬁ@example.com"), Login.key("fi@example.com"))
    assert.strictEqual(Login.key("Zoe\u0308"), Login.key("zo\u00eb"))
    assert.strictEqual(Login.key("\u212aelvin"), Login.key("kelvin"))
    assert.notStrictEqual(Login.key("ada"), Login.key("аda"))
  })

  it("is composed again where lower case undid it", () => {
    assert.strictEqual(Login.key("J\u030c"), "\u01f0")
    assert.strictEqual(Login.key("J\u030c"), Login.key("\u01f0"))
  })

  it("is its own key, for each character there is", () => {
    assert.deepStrictEqual(characters.filter((_) => !isStable(_)), [])
  })

  it("is its own key, for each character that has a case, with each mark that composes", () => {
    const marks = characters.filter((_) => /\p{M}/u.test(_) && _ < "\u0400")
    const cased = characters.filter((_) => _.toLowerCase() !== _)
    const unstable = cased.flatMap((letter) => marks.map((mark) => letter + mark)).filter((_) => !isStable(_))
    assert.deepStrictEqual(unstable, [])
  })

  it.prop("is its own key, for any text", [anyText], ([text]) => isStable(text), {
    fastCheck: { numRuns: 5_000 }
  })
})

describe("a login that is registered", () => {
  const check = (login: string) => Effect.runSync(Effect.either(Login.check(login)))

  it("may hold any characters that NFKC leaves as they are", () => {
    for (const login of ["Ada@Example.com", "zo\u00eb", "名前", "😀", " x ", ""]) {
      assert.isTrue(Either.isRight(check(login)), login)
    }
  })

  it("is refused when NFKC would change it", () => {
    for (const login of ["ﬁ@example.com", "zoe\u0308", "\u212aelvin", "ａda"]) {
      const result = check(login)
      assert.isTrue(Either.isLeft(result), login)
    }
  })

  it("is refused when it is not well-formed", () => {
    for (const login of ["\ud800", "a\udc00b", "\udc00\ud800"]) assert.isTrue(Either.isLeft(check(login)))
  })

  it("is refused with a problem of status 400 that does not repeat it", () => {
    const error = Effect.runSync(Effect.flip(Login.check("ﬁ@example.com")))
    assert.strictEqual(error._tag, "InvalidLogin")
    assert.strictEqual(error.status, 400)
    assert.notInclude(error.message, "ﬁ@")
  })

  it.prop(
    "has a key that can be registered too",
    [FastCheck.string({ unit: "binary" })],
    ([text]) => Either.isRight(check(Login.key(text)))
  )
})
