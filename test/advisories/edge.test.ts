// Published holes of other frameworks in what they read from a request and write into a response.
import { Cookies } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Either, Exit, FastCheck, Layer } from "effect"
import * as CookiePolicy from "effect-security/http/CookiePolicy"
import type * as SessionStore from "effect-security/session/SessionStore"
import * as Edge from "../edge/fixtures.js"
import { app, hosts } from "../edge/harness.js"
import { Auth, live, memory, records, retrieveUser, send, sendAny, signIn, storeSpy } from "../session/fixtures.js"

// -----------------------------------------------------------------------------
// Reading cookies
// -----------------------------------------------------------------------------

describe("a cookie whose name has U+00A0 before it", () => {
  for (const host of hosts) {
    it.scopedLive(`is not the session's on ${host} (CVE-2026-39410, GHSA-r5rp-j6wh-rvv4)`, () =>
      Effect.gen(function*() {
        const sessions = yield* Edge.makeSessions()
        const server = yield* app(host, Edge.Auth.protect(Edge.whoami), sessions.layer())
        const login = yield* app(host, Edge.loginRoute.handler, sessions.layer())
        const [victims, attackers] = yield* Effect.all([Edge.signIn(login, "ada"), Edge.signIn(login, "mallory")])
        // As one byte, and as the two of UTF-8.
        for (const space of ["\u00a0", "\u00c2\u00a0"]) {
          const planted = `${space}${attackers}`
          const alone = yield* server.send("/", { headers: { cookie: planted } })
          assert.strictEqual(alone.status, 401)
          for (const cookie of [`${planted}; ${victims}`, `${victims}; ${planted}`]) {
            const reply = yield* server.send("/", { headers: { cookie } })
            assert.deepStrictEqual([reply.status, reply.body], [200, "ada"])
          }
        }
      }))
  }
})

// -----------------------------------------------------------------------------
// Writing cookies
// -----------------------------------------------------------------------------

/** What a browser makes of a Set-Cookie header (RFC 6265 section 5.2). */
const parse = (header: string) => {
  const trim = (text: string) => text.replace(/^[ \t]+|[ \t]+$/g, "")
  const [pair = "", ...attributes] = header.split(";").map((part) => {
    const equals = part.indexOf("=")
    return equals === -1
      ? [trim(part), ""] as const
      : [trim(part.slice(0, equals)), trim(part.slice(equals + 1))] as const
  })
  return { pair, attributes: attributes.map(([name, value]) => [name.toLowerCase(), value]) }
}

describe("a policy for a cookie", () => {
  const injections = ["; Domain=evil.test", ";", "\r\nSet-Cookie: a=b", "\n", "\u0000", "; Path=/; HttpOnly=", ",", " "]
  const plain = FastCheck.stringMatching(/^[a-z]{1,8}$/)
  const injected = FastCheck.tuple(plain, FastCheck.constantFrom("", ...injections), FastCheck.string({ maxLength: 3 }))
    .map((parts) => parts.join(""))
  const maybe = (arbitrary: FastCheck.Arbitrary<string>) => FastCheck.option(arbitrary, { nil: undefined })

  it.prop(
    "becomes one cookie with its own attributes, or is refused (44ae0c8c, a586cd72, 905aedbc)",
    [
      maybe(FastCheck.oneof(injected, plain)),
      maybe(FastCheck.oneof(injected, plain).map((name) => `${name}.test`)),
      maybe(FastCheck.oneof(injected, plain).map((name) => `/${name}`)),
      maybe(FastCheck.constantFrom("lax", "strict", "none", "lax; Domain=evil.test", "none\r\nSet-Cookie: a=b"))
    ],
    ([name, domain, path, sameSite]) => {
      const policy = CookiePolicy.make({ name, domain, path, sameSite } as CookiePolicy.Options, false)
      if (Either.isLeft(policy)) return
      const headers = [
        CookiePolicy.grant(policy.right, "value", 60),
        CookiePolicy.clear(policy.right)
      ].flatMap((cookie) => Cookies.toSetCookieHeaders(Cookies.fromIterable([cookie])))
      assert.lengthOf(headers, 2)
      const known = new Set(["lax", "strict", "none", undefined]).has(sameSite)
      for (const [index, header] of headers.entries()) {
        assert.notMatch(header, /[\r\n\u0000]/)
        const { attributes, pair } = parse(header)
        assert.deepStrictEqual(pair, [policy.right.name, index === 0 ? "value" : ""])
        const expected: Record<string, string> = {
          ...(domain === undefined ? {} : { domain }),
          ...(index === 0 ? {} : { expires: "Thu, 01 Jan 1970 00:00:00 GMT" }),
          httponly: "",
          "max-age": index === 0 ? "60" : "0",
          path: path ?? "/",
          ...(known ? { samesite: (sameSite ?? "lax").replace(/^./, (first) => first.toUpperCase()) } : {}),
          secure: ""
        }
        // A browser drops the space at the end of a path.
        const trimmed = Object.entries(expected).map(([name, value]) => [name, value.replace(/ +$/, "")])
        assert.deepStrictEqual([...attributes].sort(), trimmed.sort())
      }
    },
    { fastCheck: { numRuns: 1_000 } }
  )

  it("is refused with a semicolon or a line break in any part (44ae0c8c, a586cd72, 905aedbc)", () => {
    for (const odd of [";", "; Domain=evil.test", "\r\n", "\r\nSet-Cookie: a=b", "\n", "\u0000"]) {
      for (const options of [{ name: `sid${odd}` }, { domain: `a.test${odd}` }, { path: `/a${odd}` as const }]) {
        assert.isTrue(Either.isLeft(CookiePolicy.make(options, false)), JSON.stringify(options))
      }
    }
    assert.isTrue(Either.isRight(CookiePolicy.make({ name: "sid", domain: "a.test", path: "/a" }, false)))
  })
})

// -----------------------------------------------------------------------------
// Cross-site requests
// -----------------------------------------------------------------------------

describe("a request with a cookie that another site made a browser send", () => {
  /** Those that a form can have, in any case, those that it cannot, and none. */
  const contentTypes = [
    undefined,
    "",
    "text/plain",
    "TEXT/PLAIN",
    "Text/Plain; charset=utf-8",
    "application/x-www-form-urlencoded",
    "Application/X-WWW-Form-Urlencoded",
    "multipart/form-data; boundary=x",
    "MULTIPART/form-data",
    "application/json",
    "weird",
    "*/*, text/plain"
  ]
  const methods = ["POST", "PUT", "PATCH", "DELETE"]
  const attempt = (origin: string, contentType: string | undefined, method: string, token: string) =>
    sendAny(Auth.update((session) => ({ ...session, cart: [...session.cart ?? [], "planted"] })), {
      method,
      token,
      headers: { origin, ...(contentType === undefined ? {} : { "content-type": contentType }) }
    })

  it.effect("is refused in any spelling of a Content-Type (CVE-2024-43787, 41ce8403)", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const [before] = yield* records("ada")
      for (const method of methods) {
        for (const contentType of contentTypes.filter((one) => one !== undefined)) {
          const reply = yield* attempt("https://evil.test", contentType, method, token)
          assert.strictEqual(reply.status, 403, `${method} ${contentType}`)
        }
      }
      assert.deepStrictEqual((yield* records("ada")).map(({ data }) => data), [before!.data])
      // It is the origin that is refused.
      for (const contentType of contentTypes) {
        assert.strictEqual((yield* attempt("https://app.example.com", contentType, "POST", token)).status, 204)
      }
    }).pipe(Effect.provide(live())))

  it.effect("is refused without a Content-Type (CVE-2024-48913, GHSA-2234-fmw7-43wr, aa50e0ab)", () => {
    const calls: Array<keyof SessionStore.Service> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      calls.length = 0
      for (const method of methods) {
        for (const operation of [Auth.user, Auth.login({ userId: "mallory" }), Auth.logout, Auth.rotate]) {
          const reply = yield* sendAny(operation, { method, token, headers: { origin: "https://evil.test" } })
          assert.deepStrictEqual([reply.status, reply.setCookie], [403, []], method)
        }
      }
      assert.deepStrictEqual(calls, [])
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
    }).pipe(Effect.provide(live({}, storeSpy(calls))))
  })

  it.effect("is refused from every origin that a trusted one matches only as a pattern (eb87703b)", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const logout = (origin: string) => send(Auth.logout, { method: "POST", token, headers: { origin } })
      for (
        const origin of [
          "https://adminxexample.org",
          "https://admin-example.org",
          "https://admin.example.org.evil.test",
          "https://admin.example.orgs",
          "https://evil.test/https://admin.example.org",
          "https://evil.test?https://admin.example.org",
          "xhttps://admin.example.org",
          "https://sub.admin.example.org",
          "https://admin.example.org:8443",
          "http://admin.example.org",
          "HTTPS://ADMIN.EXAMPLE.ORG"
        ]
      ) {
        assert.strictEqual((yield* logout(origin)).status, 403, origin)
      }
      assert.lengthOf(yield* records("ada"), 1)
      assert.strictEqual((yield* logout("https://admin.example.org")).status, 204)
    }).pipe(Effect.provide(live({ trustedOrigins: ["https://admin.example.org"] }))))

  it.effect("cannot be allowed by a pattern: a Layer takes none (eb87703b)", () =>
    Effect.gen(function*() {
      for (const origin of ["*", "https://*.example.org", "https://.*", "https://[a-z]+.example.org", "null"]) {
        const layer = Layer.provide(Auth.layer({ retrieveUser, trustedOrigins: [origin] }), memory)
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause), origin)
        assert.include(String(exit), "trustedOrigins", origin)
      }
    }))
})

// -----------------------------------------------------------------------------
// Authorization
// -----------------------------------------------------------------------------

it.effect("only the scheme Bearer holds a bearer token (5463db27)", () => {
  const asked: Edge.Asked = []
  return Effect.gen(function*() {
    for (
      const scheme of ["Basic", "basic", "Token", "Digest", "Bearerx", "xBearer", "Bear", "Bearer,", "Basic Bearer"]
    ) {
      const reply = yield* send(Edge.BearerAuth.user, { headers: { authorization: `${scheme} good` } })
      assert.strictEqual(reply.status, 401, scheme)
    }
    assert.strictEqual((yield* send(Edge.BearerAuth.user, { headers: { authorization: "good" } })).status, 401)
    assert.deepStrictEqual(asked, [])
    assert.strictEqual((yield* send(Edge.BearerAuth.user, { headers: { authorization: "Bearer good" } })).status, 204)
    assert.deepStrictEqual(asked, ["good"])
  }).pipe(Effect.provide(Edge.bearerLive(asked)))
})
