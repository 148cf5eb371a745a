// What a client asks the token endpoint for, read from a form and a header (RFC 6749 sections 2.3.1, 3.2, 3.3, 4.3.2).
import { HttpServerRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck, Option, Redacted } from "effect"
import * as tokenRequest from "../../src/jwt/internal/tokenRequest.js"

// -----------------------------------------------------------------------------
// Asking
// -----------------------------------------------------------------------------

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`

const plainClient = ({ id, secret }: tokenRequest.Client) => ({
  id: Option.getOrUndefined(id),
  secret: Option.getOrUndefined(Option.map(secret, Redacted.value))
})

/** The error, or what was asked for as plain values. */
const read = (text: string, authorization?: string) =>
  Either.match(
    tokenRequest.parse(
      HttpServerRequest.fromWeb(
        new Request("http://localhost/token", {
          method: "POST",
          headers: authorization === undefined ? {} : { authorization }
        })
      ),
      text
    ),
    {
      onLeft: (error) => error,
      onRight: ({ client, password, scope, username }) => ({
        username,
        password: Redacted.value(password),
        scope: Option.getOrUndefined(scope),
        client: plainClient(client)
      })
    }
  )

const good = "grant_type=password&username=ada&password=right"

const nobody = { id: undefined, secret: undefined }

const asked = { username: "ada", password: "right", scope: undefined, client: nobody }

const clientOf = (text: string, authorization?: string) => {
  const found = read(`${good}${text}`, authorization)
  return typeof found === "string" ? found : found.client
}

const scopeOf = (scope: string) => {
  const found = read(`${good}&scope=${scope}`)
  return typeof found === "string" ? found : found.scope
}

/** As `application/x-www-form-urlencoded` is written by those who percent-encode everything. */
const encoded = (text: string) =>
  Array.from(new TextEncoder().encode(text), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")

const anyText = FastCheck.string({ unit: "grapheme", maxLength: 20 }).filter((text) => text !== "")

// -----------------------------------------------------------------------------
// Forms
// -----------------------------------------------------------------------------

describe("the form of a token request", () => {
  it("has the user name, the password, the scopes and the client", () => {
    assert.deepStrictEqual(read(good), asked)
    assert.deepStrictEqual(read(`${good}&scope=a+b%20c&client_id=cli&client_secret=shh`), {
      ...asked,
      scope: ["a", "b", "c"],
      client: { id: "cli", secret: "shh" }
    })
  })

  it("gives back every text that a client can write in one, whichever way it encodes it", () => {
    FastCheck.assert(
      FastCheck.property(anyText, anyText, FastCheck.boolean(), (username, password, all) => {
        const text = all
          ? `grant_type=password&username=${encoded(username)}&password=${encoded(password)}`
          : String(new URLSearchParams({ grant_type: "password", username, password }))
        assert.deepStrictEqual(read(text), { ...asked, username, password })
      })
    )
  })

  it("is a plus for a space, and a percent-encoded plus for itself", () => {
    assert.deepStrictEqual(read("grant_type=password&username=a+b%2Bc&password=%20=&&x"), {
      ...asked,
      username: "a b+c",
      password: " ="
    })
  })

  it("needs each of grant_type, username and password, and one without a value is as good as none", () => {
    const parts = good.split("&")
    for (const part of parts) {
      const others = parts.filter((other) => other !== part)
      const [name] = part.split("=")
      for (const absent of [[], [name], [`${name}=`], [`X-${part}`], [part.toUpperCase()]]) {
        const text = [...others, ...absent].join("&")
        assert.strictEqual(read(text), "invalid_request", text)
      }
    }
    assert.strictEqual(read(""), "invalid_request")
    assert.deepStrictEqual(read(`${good}&scope=&client_id=&client_secret`), asked)
  })

  it("is of no other grant than that of a password", () => {
    for (const type of ["client_credentials", "authorization_code", "refresh_token", "Password", "password+", "x"]) {
      assert.strictEqual(read(good.replace("=password", `=${type}`)), "unsupported_grant_type", type)
    }
  })

  it("has no parameter twice, also where both say the same, one has no value or nobody knows it", () => {
    for (
      const twice of [
        "grant_type=password",
        "grant_type=refresh_token",
        "username=ada",
        "username=bob",
        "password=right",
        "password=",
        "password",
        "%70assword=right",
        "scope=a&scope=b",
        "scope=&scope=a",
        "client_id=a&client_id=a",
        "client_secret=a&client_secret=b",
        "x=1&x=1"
      ]
    ) {
      assert.strictEqual(read(`${good}&${twice}`), "invalid_request", twice)
    }
  })

  it("is percent-encoded UTF-8 and nothing else, in values and in names", () => {
    for (const bad of ["%", "%4", "%zz", "%ff", "%c3", "%c0%80", "%ed%a0%80", "%f4%90%80%80", "%u0041"]) {
      assert.strictEqual(read(`grant_type=password&password=right&username=ada${bad}`), "invalid_request", bad)
      assert.strictEqual(read(`${good}&${bad}=x`), "invalid_request", bad)
      assert.strictEqual(read(`${good}&x=${bad}`), "invalid_request", bad)
    }
  })

  it("may have parameters that nobody knows, also with names of an object's own, and gaps between them", () => {
    for (
      const more of ["__proto__=x", "constructor=x&toString=y", "hasOwnProperty", "__proto__[scope]=a", "&", "&&&", "="]
    ) {
      assert.deepStrictEqual(read(`${good}&${more}`), asked, more)
      assert.deepStrictEqual(read(`${more}&${good}`), asked, more)
    }
    assert.strictEqual(read("__proto__=grant_type=password&username=ada&password=right"), "invalid_request")
    assert.deepStrictEqual(Object.keys(Object.prototype), [])
  })

  it("holds the password where it cannot be seen", () => {
    const found = Either.getOrThrow(
      tokenRequest.parse(
        HttpServerRequest.fromWeb(
          new Request("http://localhost", { headers: { authorization: basic("cli:hidden-secret") } })
        ),
        "grant_type=password&username=ada&password=hidden-password"
      )
    )
    for (
      const shown of [JSON.stringify(found), String(found.password), String(Option.getOrThrow(found.client.secret))]
    ) {
      assert.notInclude(shown, "hidden")
    }
  })
})

// -----------------------------------------------------------------------------
// Scopes
// -----------------------------------------------------------------------------

describe("the scope of a token request", () => {
  it("is a list of names, each once, in the order in which they come", () => {
    assert.deepStrictEqual(scopeOf("b+a+b"), ["b", "a"])
    assert.deepStrictEqual(scopeOf(encoded("!#[]~:/")), ["!#[]~:/"])
  })

  it("is none where there is none, which is not an empty list", () => {
    assert.strictEqual(scopeOf(""), undefined)
    assert.deepStrictEqual(read(good), asked)
  })

  it("is malformed by a space too many and by every character that no name has (RFC 6749 section 3.3)", () => {
    const allowed = (code: number) => code === 0x21 || (code >= 0x23 && code <= 0x5b) || (code >= 0x5d && code <= 0x7e)
    for (let code = 0; code < 0x180; code++) {
      const scope = `a${String.fromCharCode(code)}b`
      assert.deepStrictEqual(
        scopeOf(encoded(scope)),
        code === 0x20 ? ["a", "b"] : allowed(code) ? [scope] : "invalid_scope",
        String(code)
      )
    }
    for (const scope of ["a++b", "+a", "a+", "+", "%20", "a%09b", "a%0a", "%22a%22"]) {
      assert.strictEqual(scopeOf(scope), "invalid_scope", scope)
    }
  })

  it("is refused for its last character also where it is as long as a body may be", () => {
    assert.strictEqual(scopeOf(`${"a+".repeat(8_000)}+`), "invalid_scope")
  })
})

// -----------------------------------------------------------------------------
// Clients
// -----------------------------------------------------------------------------

describe("the client of a token request", () => {
  it("says who it is in the form, with a secret or without, or is anybody", () => {
    assert.deepStrictEqual(clientOf(""), nobody)
    assert.deepStrictEqual(clientOf("&client_id=cli"), { id: "cli", secret: undefined })
    assert.deepStrictEqual(clientOf("&client_id=cli&client_secret=s"), { id: "cli", secret: "s" })
    assert.deepStrictEqual(clientOf("&client_secret=s"), { id: undefined, secret: "s" })
  })

  it("says it in the header, whose parts are form-encoded first: a colon and a percent sign are themselves", () => {
    FastCheck.assert(
      FastCheck.property(anyText, anyText, FastCheck.boolean(), (id, secret, all) => {
        const part = (text: string) => all ? encoded(text) : String(new URLSearchParams({ "": text })).slice(1)
        assert.deepStrictEqual(clientOf("", basic(`${part(id)}:${part(secret)}`)), { id, secret })
      })
    )
    assert.deepStrictEqual(clientOf("", basic("a%3Ab:c%25d:e+f")), { id: "a:b", secret: "c%d:e f" })
  })

  it("has no secret in the header where there is nothing behind the colon", () => {
    assert.deepStrictEqual(clientOf("", basic("cli:")), { id: "cli", secret: undefined })
    assert.deepStrictEqual(clientOf("", basic(":s")), { id: undefined, secret: "s" })
  })

  it("is the form's where the header is an empty pair, as Swagger UI sends it where its user gave none", () => {
    assert.deepStrictEqual(clientOf("", basic(":")), nobody)
    assert.deepStrictEqual(clientOf("&client_id=cli&client_secret=s", basic(":")), { id: "cli", secret: "s" })
  })

  it("is the form's where the header is of another scheme: a token that has expired is no client", () => {
    assert.deepStrictEqual(clientOf("&client_id=cli", "Bearer abc"), { id: "cli", secret: undefined })
  })

  it("has one secret, and one name in both places (RFC 6749 section 2.3)", () => {
    assert.strictEqual(clientOf("&client_secret=s", basic("cli:s")), "invalid_request")
    assert.strictEqual(clientOf("&client_id=cli&client_secret=s", basic("cli:s")), "invalid_request")
    assert.strictEqual(clientOf("&client_id=other", basic("cli:s")), "invalid_request")
    assert.strictEqual(clientOf("&client_id=other", basic("cli:")), "invalid_request")
    assert.deepStrictEqual(clientOf("&client_id=cli", basic("cli:s")), { id: "cli", secret: "s" })
  })

  it("is nobody whom anybody knows where the header cannot be read", () => {
    for (
      const header of [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic Y2xpOnM",
        `${basic("cli:s")} x`,
        `${basic("cli:s")}, ${basic("cli:s")}`,
        basic("without a colon"),
        basic("cli:s\n"),
        `Basic ${Buffer.from([0xff, 0x3a]).toString("base64")}`,
        basic("%zz:s"),
        basic("cli:%"),
        basic("cli:%ff")
      ]
    ) {
      assert.strictEqual(clientOf("", header), "invalid_client", header)
    }
  })
})
