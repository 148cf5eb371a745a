import { assert, describe, it } from "@effect/vitest"
import { Encoding, FastCheck, Redacted } from "effect"
import * as Credential from "effect-security/http/Credential"
import { servers } from "./requests.js"

const { found, invalid, none } = Credential
const nbsp = "\u00a0"

/** Any code units: lone surrogates and everything from 0 to 255 among them. */
const anyText = FastCheck.oneof(
  FastCheck.string({ unit: "binary" }),
  FastCheck.array(FastCheck.integer({ min: 0, max: 0xff })).map((units) => String.fromCharCode(...units)),
  FastCheck.array(FastCheck.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units))
)
const everyByte = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))

const isCredential = (credential: Credential.Credential<unknown>) =>
  credential._tag === "None" || credential._tag === "Invalid" ||
  credential._tag === "Found" && credential.value !== undefined

// -----------------------------------------------------------------------------
// Cookie
// -----------------------------------------------------------------------------

const name = "__Host-session"

describe("a cookie", () => {
  const cookie = (header: string | undefined) => Credential.cookie(header, name)

  it("is found alone, first, in the middle and last", () => {
    for (const header of [`${name}=abc`, `${name}=abc; a=1`, `a=1; ${name}=abc; b=2`, `a=1; ${name}=abc`]) {
      assert.deepStrictEqual(cookie(header), found("abc"), header)
    }
  })

  it("is found without the space after a semicolon, with several, and with tabs", () => {
    for (const space of ["", "  ", "\t", " \t \t"]) {
      assert.deepStrictEqual(cookie(`a=1;${space}${name}=abc;${space}b=2`), found("abc"), JSON.stringify(space))
      assert.deepStrictEqual(cookie(`${space}${name}=abc`), found("abc"), JSON.stringify(space))
    }
  })

  it("is found between empty pairs and stray semicolons", () => {
    for (const header of [`;${name}=abc`, `${name}=abc;`, `;;; ;${name}=abc;;; ;`, `;\t;${name}=abc; ;a`]) {
      assert.deepStrictEqual(cookie(header), found("abc"), header)
    }
  })

  it("is none without a header, in an empty one, and where nothing has its name", () => {
    for (
      const header of [undefined, "", " ", ";", "; ;;", "a=1", "=", "=abc", "==", name, `${name};a=1`, `a; ${name}`]
    ) {
      assert.deepStrictEqual(cookie(header), none, JSON.stringify(header))
    }
  })

  it("is none where the name only begins, ends or contains like its own", () => {
    for (
      const other of [
        `${name}s`,
        `${name}-`,
        `x${name}`,
        `__Host-sessio`,
        "session",
        "__Secure-session",
        `${name}.0`,
        `"${name}"`,
        `__Host%2Dsession`
      ]
    ) {
      assert.deepStrictEqual(cookie(`${other}=abc`), none, other)
      assert.deepStrictEqual(cookie(`${other}=abc; ${name}=good`), found("good"), other)
      assert.deepStrictEqual(cookie(`${name}=good; ${other}=abc`), found("good"), other)
    }
  })

  it("has a name whose case counts", () => {
    for (const other of ["__host-session", "__HOST-SESSION", "__Host-Session"]) {
      assert.deepStrictEqual(cookie(`${other}=abc`), none, other)
    }
  })

  it("is not another's value that looks like a pair of its own", () => {
    assert.deepStrictEqual(cookie(`a=${name}=abc`), none)
    assert.deepStrictEqual(cookie(`a="${name}=abc"`), none)
    assert.deepStrictEqual(cookie(`a=1 ${name}=abc`), none)
    assert.deepStrictEqual(cookie(`a=1, ${name}=abc`), none)
    assert.deepStrictEqual(cookie(`=${name}=abc`), none)
  })

  it("is not one whose name has other white space before it than space and tab", () => {
    const others = [
      nbsp,
      "\ufeff",
      "\u2003",
      "\u2028",
      "\u3000",
      "\u1680",
      "\v",
      "\f",
      "\r",
      "\n",
      "\0",
      "\u00c2\u00a0"
    ]
    for (const odd of others) {
      assert.deepStrictEqual(cookie(`${odd}${name}=evil`), none, JSON.stringify(odd))
      assert.deepStrictEqual(cookie(`a=1; ${odd}${name}=evil`), none, JSON.stringify(odd))
      assert.deepStrictEqual(cookie(`${odd}${name}=evil; ${name}=good`), found("good"), JSON.stringify(odd))
      assert.deepStrictEqual(cookie(`${name}=good; ${odd}${name}=evil`), found("good"), JSON.stringify(odd))
    }
  })

  it("is not one whose name has any space behind it", () => {
    for (const odd of [nbsp, " ", "\t", "\0"]) {
      assert.deepStrictEqual(cookie(`${name}${odd}=evil`), none, JSON.stringify(odd))
      assert.deepStrictEqual(cookie(`${name}${odd}=evil; ${name}=good`), found("good"), JSON.stringify(odd))
    }
  })

  it("keeps its value as it stands: quotes, percent signs, equal signs, spaces and commas", () => {
    for (
      const value of [
        `"abc"`,
        "a%62c",
        "%",
        "%zz",
        "a=b",
        "==",
        " abc",
        "abc ",
        "a b",
        "a,b",
        `a\\"b`,
        `${nbsp}abc`,
        "\t"
      ]
    ) {
      assert.deepStrictEqual(cookie(`x=1; ${name}=${value}; y=2`), found(value), JSON.stringify(value))
      assert.deepStrictEqual(cookie(`${name}=${value}`), found(value), JSON.stringify(value))
    }
  })

  it("ends at a semicolon, also within quotes", () => {
    assert.deepStrictEqual(cookie(`${name}="a;b"`), found(`"a`))
  })

  it("is invalid when it is empty", () => {
    for (const header of [`${name}=`, `${name}=; a=1`, `a=1; ${name}=`, `a=1; ${name}=;`]) {
      assert.deepStrictEqual(cookie(header), invalid, header)
    }
  })

  it("is invalid when there are two, wherever they stand and whatever they hold", () => {
    for (
      const header of [
        `${name}=a; ${name}=b`,
        `${name}=a; ${name}=a`,
        `${name}=; ${name}=a`,
        `${name}=a; ${name}=`,
        `${name}=; ${name}=`,
        `${name}=a; x=1; ${name}=b`,
        `x=1; ${name}=a; y=2; ${name}=b; z=3`,
        `${name}=a;${name}=b`,
        `${name}=a;;\t${name}=b;`,
        `${name}=a; ${name}=b; ${name}=c`
      ]
    ) {
      assert.deepStrictEqual(cookie(header), invalid, header)
    }
  })

  it("has any name that it is asked for", () => {
    assert.deepStrictEqual(Credential.cookie("__proto__=a; constructor=b", "__proto__"), found("a"))
    assert.deepStrictEqual(Credential.cookie("constructor=b", "constructor"), found("b"))
    assert.deepStrictEqual(Credential.cookie("a=1", "toString"), none)
    assert.deepStrictEqual(Credential.cookie("aaaa=1; aa=2", "aa"), found("2"))
  })

  it("is found in a header as long as a server lets it be", () => {
    const header = `${"a=1; ".repeat(3_000)}${name}=abc`
    assert.deepStrictEqual(cookie(header), found("abc"))
    assert.deepStrictEqual(cookie(";".repeat(16_000)), none)
    assert.deepStrictEqual(cookie(" ".repeat(16_000)), none)
  })

  const pairText = anyText.map((text) => text.replaceAll(";", ""))
  // Something else than spaces, then a pair of our name, makes ours a part of a longer name.
  const isOurs = (pair: string) => /^[ \t]*__Host-session=/.test(pair)
  const otherPair = FastCheck.oneof(
    pairText,
    FastCheck.tuple(
      FastCheck.constantFrom("a", "session", `${name}x`, `x${name}`, `${nbsp}${name}`, name.toUpperCase()),
      pairText
    )
      .map(([name, value]) => `${name}=${value}`)
  ).filter((pair) => !isOurs(pair))
  const otherPairs = FastCheck.array(otherPair, { maxLength: 6 })
  const value = anyText.map((text) => text.replaceAll(";", "")).filter((text) => text !== "")
  const blank = FastCheck.array(FastCheck.constantFrom(" ", "\t"), { maxLength: 3 }).map((_) => _.join(""))

  it.prop(
    "is found among arbitrary other cookies",
    [otherPairs, otherPairs, value, blank],
    ([before, after, value, blank]) => {
      const header = [...before, `${blank}${name}=${value}`, ...after].join(";")
      assert.deepStrictEqual(cookie(header), found(value))
    },
    { fastCheck: { numRuns: 2_000 } }
  )

  it.prop("is none among arbitrary other cookies only", [otherPairs], ([others]) => {
    assert.deepStrictEqual(cookie(others.join(";")), none)
  }, { fastCheck: { numRuns: 2_000 } })

  it.prop(
    "is invalid when there are two of them among arbitrary other cookies",
    [otherPairs, otherPairs, otherPairs, anyText, anyText, blank],
    ([before, between, after, first, second, blank]) => {
      const header = [...before, `${blank}${name}=${first}`, ...between, `${name}=${second}`, ...after].join(";")
      assert.deepStrictEqual(cookie(header), invalid)
    },
    { fastCheck: { numRuns: 2_000 } }
  )

  it.prop("is read from any header without throwing", [anyText, anyText], ([header, name]) => {
    assert.isTrue(isCredential(cookie(header)))
    assert.isTrue(isCredential(Credential.cookie(header, name)))
  }, { fastCheck: { numRuns: 2_000 } })

  it("may have every byte but the semicolon in its value", () => {
    for (const byte of everyByte.filter((_) => _ !== ";")) {
      assert.deepStrictEqual(cookie(`a=1; ${name}=x${byte}y; b=2`), found(`x${byte}y`), JSON.stringify(byte))
    }
  })

  it("is not ours with any byte but space, tab and the semicolon before its name", () => {
    for (const byte of everyByte) {
      const expected = byte === " " || byte === "\t" || byte === ";" ? found("abc") : none
      assert.deepStrictEqual(cookie(`a=1; ${byte}${name}=abc`), expected, JSON.stringify(byte))
    }
  })

  it("is not ours with any byte between its name and the equal sign", () => {
    for (const byte of everyByte.filter((_) => _ !== "=")) {
      assert.deepStrictEqual(cookie(`${name}${byte}=abc`), none, JSON.stringify(byte))
    }
  })
})

// -----------------------------------------------------------------------------
// Bearer
// -----------------------------------------------------------------------------

describe("a bearer token", () => {
  it("is found behind a scheme of any case", () => {
    for (const scheme of ["Bearer", "bearer", "BEARER", "bEaReR"]) {
      assert.deepStrictEqual(Credential.bearer(`${scheme} abc`), found("abc"), scheme)
    }
  })

  it("is found behind several spaces", () => {
    assert.deepStrictEqual(Credential.bearer("Bearer    abc"), found("abc"))
  })

  it("may hold every character of token68, and padding at its end", () => {
    const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
    assert.deepStrictEqual(Credential.bearer(`Bearer ${token}`), found(token))
    assert.deepStrictEqual(Credential.bearer("Bearer abc="), found("abc="))
    assert.deepStrictEqual(Credential.bearer("Bearer abc=="), found("abc=="))
  })

  it("is none without a header, and under another scheme", () => {
    for (
      const header of [
        undefined,
        "",
        "Basic YTpi",
        "Basic",
        "DPoP abc",
        "Tokenxgood",
        "Token good",
        "Bearerabc",
        "Bearer1 abc",
        "Bear er abc",
        "xBearer abc",
        "abc",
        "=abc",
        `${nbsp}Bearer abc`,
        `B\u0435arer abc`
      ]
    ) {
      assert.deepStrictEqual(Credential.bearer(header), none, JSON.stringify(header))
    }
  })

  it("is invalid when the scheme stands alone", () => {
    for (const header of ["Bearer", "bearer", "Bearer ", "Bearer   "]) {
      assert.deepStrictEqual(Credential.bearer(header), invalid, JSON.stringify(header))
    }
  })

  it("is invalid when something else than spaces separates it from the scheme", () => {
    for (
      const header of [
        "Bearer\tabc",
        "Bearer \tabc",
        `Bearer${nbsp}abc`,
        "Bearer\nabc",
        "Bearer=abc",
        "Bearer, abc",
        "Bearer:abc"
      ]
    ) {
      assert.deepStrictEqual(Credential.bearer(header), invalid, JSON.stringify(header))
    }
  })

  it("is invalid when it is not exactly one token", () => {
    for (
      const header of [
        "Bearer abc def",
        "Bearer abc, def",
        "Bearer abc,Bearer def",
        "Bearer abc, Bearer abc",
        "Bearer abc,",
        "Bearer ,abc",
        "Bearer abc ",
        "Bearer abc\t",
        "Bearer abc;",
        "Bearer \"abc\"",
        "Bearer token=abc",
        "Bearer =",
        "Bearer ==abc",
        "Bearer a=b",
        "Bearer a%62c",
        "Bearer abc\n",
        "Bearer a\u0000c",
        `Bearer abc${nbsp}`,
        "Bearer \u00e9",
        "Bearer \ud800"
      ]
    ) {
      assert.deepStrictEqual(Credential.bearer(header), invalid, JSON.stringify(header))
    }
  })

  const scheme = FastCheck.constantFrom("Bearer", "bearer", "BEARER", "bEARER")
  const spaces = FastCheck.integer({ min: 1, max: 5 }).map((count) => " ".repeat(count))
  const token = FastCheck.stringMatching(/^[A-Za-z0-9\-._~+/]{1,80}={0,2}$/)

  it.prop("comes back from the header that it was put in", [scheme, spaces, token], ([scheme, spaces, token]) => {
    assert.deepStrictEqual(Credential.bearer(`${scheme}${spaces}${token}`), found(token))
  })

  it.prop("is read from any header without throwing", [anyText], ([text]) => {
    assert.isTrue(isCredential(Credential.bearer(text)))
    const behind = Credential.bearer(`Bearer ${text}`)
    assert.isTrue(behind._tag === "Found" ? /^[\x21-\x7e]+$/.test(behind.value) : behind._tag === "Invalid")
  }, { fastCheck: { numRuns: 2_000 } })

  it("holds no byte outside token68", () => {
    for (const byte of everyByte) {
      const expected = /[A-Za-z0-9\-._~+/]/.test(byte) ? found(`a${byte}b`) : invalid
      assert.deepStrictEqual(Credential.bearer(`Bearer a${byte}b`), expected, JSON.stringify(byte))
    }
  })
})

// -----------------------------------------------------------------------------
// Basic
// -----------------------------------------------------------------------------

const base64 = (text: string) => Encoding.encodeBase64(text)
const binary = (...bytes: Array<number>) => Encoding.encodeBase64(new Uint8Array(bytes))

describe("a user name and a password", () => {
  const read = (header: string | undefined) => {
    const credential = Credential.basic(header)
    return credential._tag === "Found"
      ? [credential.value.username, Redacted.value(credential.value.password)]
      : credential._tag
  }
  const of = (text: string) => read(`Basic ${base64(text)}`)

  it("are found behind a scheme of any case and several spaces", () => {
    assert.deepStrictEqual(read(`Basic ${base64("ada:secret")}`), ["ada", "secret"])
    assert.deepStrictEqual(read(`bAsIc   ${base64("ada:secret")}`), ["ada", "secret"])
  })

  it("are those of the example in RFC 7617", () => {
    assert.deepStrictEqual(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ["Aladdin", "open sesame"])
    assert.deepStrictEqual(read("Basic dGVzdDoxMjPCow=="), ["test", "123\u00a3"])
  })

  it("part at the first colon, so that a password may hold more", () => {
    assert.deepStrictEqual(of("ada:a:b::c"), ["ada", "a:b::c"])
    assert.deepStrictEqual(of("ada::"), ["ada", ":"])
  })

  it("may each be empty", () => {
    assert.deepStrictEqual(of(":secret"), ["", "secret"])
    assert.deepStrictEqual(of("ada:"), ["ada", ""])
    assert.deepStrictEqual(of(":"), ["", ""])
  })

  it("are UTF-8, with whatever it holds", () => {
    assert.deepStrictEqual(of("zo\u00eb:\u00a3 \u{1f600} \u5bc6\u7801"), ["zo\u00eb", "\u00a3 \u{1f600} \u5bc6\u7801"])
    assert.deepStrictEqual(of(`${nbsp}a :\u0085 b `), [`${nbsp}a `, "\u0085 b "])
    assert.deepStrictEqual(of("\ufeffada:x"), ["\ufeffada", "x"])
  })

  it("do not print the password", () => {
    const credential = Credential.basic(`Basic ${base64("ada:hunter2")}`)
    assert.notInclude(JSON.stringify(credential), "hunter2")
    assert.strictEqual(credential._tag, "Found")
  })

  it("are none without a header, and under another scheme", () => {
    for (
      const header of [
        undefined,
        "",
        "Bearer abc",
        "Digest abc",
        base64("a:b"),
        `Basic${base64("a:b")}`,
        `Basics ${base64("a:b")}`
      ]
    ) {
      assert.strictEqual(read(header), "None", JSON.stringify(header))
    }
  })

  it("are invalid when the scheme stands alone or something else than spaces follows it", () => {
    for (const header of ["Basic", "Basic ", "Basic\tYTpi", `Basic${nbsp}YTpi`, "Basic,YTpi", "Basic:YTpi"]) {
      assert.strictEqual(read(header), "Invalid", JSON.stringify(header))
    }
  })

  it("are invalid without a colon", () => {
    assert.strictEqual(of("ada"), "Invalid")
    assert.strictEqual(of(" "), "Invalid")
    assert.strictEqual(of("ada\uff1asecret"), "Invalid")
  })

  it("are invalid when the base64 is not canonical", () => {
    assert.deepStrictEqual(read("Basic YTpi"), ["a", "b"])
    assert.deepStrictEqual(read("Basic YTpiYw=="), ["a", "bc"])
    for (
      const text of [
        "YTpiYw",
        "YTpiYw=",
        "YTpiYw===",
        "YTpiYx==",
        "YTpiYw==YTpi",
        "YT pi",
        "YTpi ",
        "YTpi\n",
        "YTpi, YTpi",
        "YTpi YTpi",
        "YTp",
        "YTpi=",
        "=YTpi",
        "Y",
        "YTpi\u00e9",
        "YTpi\ud800",
        "!!!!",
        base64("a:\u00ff\u00ff\u00bf\u00fb").replaceAll("+", "-").replaceAll("/", "_") + "-_"
      ]
    ) {
      assert.strictEqual(read(`Basic ${text}`), "Invalid", JSON.stringify(text))
    }
  })

  it("are invalid in the alphabet of base64url", () => {
    const standard = binary(0x61, 0x3a, 0xc3, 0xbf, 0xc3, 0xbe, 0xc2, 0xbf)
    assert.match(standard, /[+/]/)
    assert.notStrictEqual(read(`Basic ${standard}`), "Invalid")
    assert.strictEqual(read(`Basic ${standard.replaceAll("+", "-").replaceAll("/", "_")}`), "Invalid")
  })

  it("are invalid when they are not UTF-8", () => {
    for (const bytes of [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe9]]) {
      assert.strictEqual(read(`Basic ${binary(0x61, 0x3a, ...bytes)}`), "Invalid", bytes.join())
      assert.strictEqual(read(`Basic ${binary(...bytes, 0x3a, 0x61)}`), "Invalid", bytes.join())
    }
  })

  it("are invalid when either holds a control character", () => {
    for (const code of [...Array.from({ length: 0x20 }, (_, code) => code), 0x7f]) {
      const control = String.fromCharCode(code)
      assert.strictEqual(of(`a${control}:b`), "Invalid", String(code))
      assert.strictEqual(of(`a:b${control}`), "Invalid", String(code))
    }
  })

  const text = FastCheck.string({ unit: "grapheme" }).filter((text) => !/[\u0000-\u001f\u007f]/.test(text))

  it.prop(
    "come back from the header that they were put in",
    [text.filter((text) => !text.includes(":")), text],
    ([username, password]) => {
      assert.deepStrictEqual(of(`${username}:${password}`), [username, password])
    },
    { fastCheck: { numRuns: 1_000 } }
  )

  it.prop("are read from any header without throwing", [anyText], ([text]) => {
    read(text)
    assert.notStrictEqual(read(`Basic ${text}`), "None")
  }, { fastCheck: { numRuns: 2_000 } })

  it.prop("are read from any bytes without throwing", [FastCheck.uint8Array()], ([bytes]) => {
    const result = read(`Basic ${Encoding.encodeBase64(bytes)}`)
    assert.isTrue(
      result === "Invalid" || Encoding.encodeBase64(`${result[0]}:${result[1]}`) === Encoding.encodeBase64(bytes)
    )
  }, { fastCheck: { numRuns: 2_000 } })
})

// -----------------------------------------------------------------------------
// API key
// -----------------------------------------------------------------------------

describe("an API key in a header of its own", () => {
  it("is what the header holds", () => {
    for (const key of ["abc", "a", "sk_live-12.3~4/5+6==", "\"quoted\"", "a;b=c", "%20", "{key}"]) {
      assert.deepStrictEqual(Credential.apiKey(key), found(key), key)
    }
  })

  it("is none without the header", () => {
    assert.deepStrictEqual(Credential.apiKey(undefined), none)
  })

  it("is invalid when the header is empty, or holds a space, a comma or what is not visible ASCII", () => {
    for (
      const key of [
        "",
        " ",
        "a b",
        "a\tb",
        " a",
        "a ",
        "a,b",
        "a, b",
        ",",
        `a${nbsp}`,
        "\u00e9",
        "\ud800",
        "a\u0000",
        "a\n",
        "\u007f"
      ]
    ) {
      assert.deepStrictEqual(Credential.apiKey(key), invalid, JSON.stringify(key))
    }
  })

  const visible = FastCheck.array(
    FastCheck.integer({ min: 0x21, max: 0x7e }).filter((code) => code !== 0x2c),
    { minLength: 1 }
  ).map((codes) => String.fromCharCode(...codes))

  it.prop("comes back from the header that it was put in", [visible], ([key]) => {
    assert.deepStrictEqual(Credential.apiKey(key), found(key))
  })

  it.prop("is read from any header without throwing", [anyText], ([text]) => {
    assert.isTrue(isCredential(Credential.apiKey(text)))
  })
})

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

describe("the credential of a request", () => {
  for (const [server, make] of servers) {
    it(`is read from its header on ${server}`, () => {
      assert.deepStrictEqual(
        Credential.fromRequest(make([["Authorization", "Bearer abc"]]), "authorization", Credential.bearer),
        found("abc")
      )
      assert.deepStrictEqual(Credential.fromRequest(make([]), "authorization", Credential.bearer), none)
    })

    it(`is invalid when the header was sent twice on ${server}, even twice the same`, () => {
      for (const second of ["Bearer def", "Bearer abc", "bearer"]) {
        const request = make([["authorization", "Bearer abc"], ["AUTHORIZATION", second]])
        assert.deepStrictEqual(Credential.fromRequest(request, "authorization", Credential.bearer), invalid, second)
      }
      const keys = make([["X-Api-Key", "abc"], ["x-api-key", "def"]])
      assert.deepStrictEqual(Credential.fromRequest(keys, "x-api-key", Credential.apiKey), invalid)
    })

    it(`may be a cookie in one of several cookie headers on ${server}`, () => {
      const parse = (header: string | undefined) => Credential.cookie(header, name)
      const apart = make([["cookie", "a=1"], ["cookie", `${name}=abc`]])
      const twice = make([["cookie", `${name}=abc`], ["cookie", `${name}=def`]])
      assert.deepStrictEqual(Credential.fromRequest(apart, "cookie", parse), found("abc"))
      assert.deepStrictEqual(Credential.fromRequest(twice, "cookie", parse), invalid)
    })
  }
})
