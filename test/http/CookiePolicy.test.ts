import { Cookies } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Either, Exit, FastCheck, Layer } from "effect"
import * as CookiePolicy from "effect-security/http/CookiePolicy"
import * as SessionAuth from "effect-security/session/SessionAuth"
import type * as SessionStore from "effect-security/session/SessionStore"
import { Auth, CurrentUser, granted, live, retrieveUser, send, Session, storeSpy } from "../session/fixtures.js"

const policy = (options: CookiePolicy.Options = {}, insecure = false) =>
  Either.getOrThrowWith(CookiePolicy.make(options, insecure), (sentence) => new Error(sentence))

const refusal = (options: CookiePolicy.Options, insecure = false) =>
  Either.match(CookiePolicy.make(options, insecure), { onLeft: (sentence) => sentence, onRight: () => "sound" })

const serialise = Cookies.serializeCookie

// -----------------------------------------------------------------------------
// Names and attributes
// -----------------------------------------------------------------------------

describe("the name of a cookie", () => {
  it("is __Host-session where only the very host gets it, for every path", () => {
    assert.strictEqual(policy().name, "__Host-session")
    assert.strictEqual(policy({ path: "/" }).name, "__Host-session")
    assert.strictEqual(policy({ sameSite: "strict" }).name, "__Host-session")
  })

  it("has a prefix in any case of letters, as browsers compare it", () => {
    for (const name of ["__host-app", "__HOST-app", "__Host-app", "__secure-app", "__SECURE-app"]) {
      assert.strictEqual(policy({ name }, true).name, "app")
    }
    assert.include(refusal({ name: "__host-app", domain: "example.com" }), "neither a domain")
    assert.include(refusal({ name: "__HOST-app", path: "/admin" }), "neither a domain")
  })

  it("is __Secure-session where it has a domain or another path", () => {
    assert.strictEqual(policy({ domain: "example.com" }).name, "__Secure-session")
    assert.strictEqual(policy({ path: "/admin" }).name, "__Secure-session")
  })

  it("is the one that is given, whatever the rest", () => {
    assert.strictEqual(policy({ name: "sid" }).name, "sid")
    assert.strictEqual(policy({ name: "sid", path: "/admin", domain: "example.com" }).name, "sid")
    assert.strictEqual(policy({ name: "__Host-admin" }).name, "__Host-admin")
    assert.strictEqual(policy({ name: "__Secure-admin" }).name, "__Secure-admin")
  })

  it("loses its prefix on plain http, where no browser would accept it", () => {
    assert.strictEqual(policy({}, true).name, "session")
    assert.strictEqual(policy({ path: "/admin" }, true).name, "session")
    assert.strictEqual(policy({ name: "__Host-admin" }, true).name, "admin")
    assert.strictEqual(policy({ name: "__Secure-admin" }, true).name, "admin")
    assert.strictEqual(policy({ name: "sid" }, true).name, "sid")
    assert.strictEqual(policy({ name: "x__Host-sid" }, true).name, "x__Host-sid")
  })

  it("is, for OpenAPI and the check of duplicates, that of a secure deployment", () => {
    assert.strictEqual(CookiePolicy.secureName({}), "__Host-session")
    assert.strictEqual(CookiePolicy.secureName({ domain: "example.com" }), "__Secure-session")
    assert.strictEqual(CookiePolicy.secureName({ path: "/admin" }), "__Secure-session")
    assert.strictEqual(CookiePolicy.secureName({ name: "sid", path: "/admin" }), "sid")
  })
})

describe("a cookie that grants a credential", () => {
  it("is for the very host, not for scripts, not for plain http, not for other sites' unsafe requests", () => {
    assert.strictEqual(
      serialise(CookiePolicy.grant(policy(), "abc", 3600)),
      "__Host-session=abc; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Lax"
    )
  })

  it("ends with the browser when it has no age", () => {
    assert.strictEqual(
      serialise(CookiePolicy.grant(policy(), "abc", undefined)),
      "__Host-session=abc; Path=/; HttpOnly; Secure; SameSite=Lax"
    )
  })

  it("has the domain, path and SameSite of its policy", () => {
    const options = { domain: "example.com", path: "/admin", sameSite: "none" } as const
    assert.strictEqual(
      serialise(CookiePolicy.grant(policy(options), "abc", 60)),
      "__Secure-session=abc; Max-Age=60; Domain=example.com; Path=/admin; HttpOnly; Secure; SameSite=None"
    )
    assert.match(serialise(CookiePolicy.grant(policy({ sameSite: "strict" }), "abc", 60)), /; SameSite=Strict$/)
  })

  it("drops Secure on plain http and keeps the rest", () => {
    assert.strictEqual(
      serialise(CookiePolicy.grant(policy({ path: "/admin" }, true), "abc", 60)),
      "session=abc; Max-Age=60; Path=/admin; HttpOnly; SameSite=Lax"
    )
  })
})

describe("a cookie that ends a credential", () => {
  it("repeats every attribute, with an age of nothing and a date in 1970", () => {
    assert.strictEqual(
      serialise(CookiePolicy.clear(policy())),
      "__Host-session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"
    )
    assert.strictEqual(
      serialise(CookiePolicy.clear(policy({ domain: "example.com", path: "/admin", sameSite: "strict" }))),
      "__Secure-session=; Max-Age=0; Domain=example.com; Path=/admin; Expires=Thu, 01 Jan 1970 00:00:00 GMT; " +
        "HttpOnly; Secure; SameSite=Strict"
    )
    assert.strictEqual(
      serialise(CookiePolicy.clear(policy({}, true))),
      "session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax"
    )
  })

  const options = FastCheck.record({
    name: FastCheck.constantFrom("sid", "__Secure-sid"),
    domain: FastCheck.constantFrom("example.com", "app.example.com"),
    path: FastCheck.constantFrom("/", "/a", "/a/b"),
    sameSite: FastCheck.constantFrom("lax", "strict", "none")
  }, { requiredKeys: [] }) as FastCheck.Arbitrary<CookiePolicy.Options>

  it.prop(
    "has exactly the attributes of the one that it ends",
    [options, FastCheck.boolean(), FastCheck.option(FastCheck.integer({ min: 1, max: 1e6 }), { nil: undefined })],
    ([options, insecure, maxAge]) => {
      const made = CookiePolicy.make(options, insecure)
      FastCheck.pre(Either.isRight(made))
      const attributes = (cookie: Cookies.Cookie) =>
        serialise(cookie).split("; ").slice(1).filter((part) => !/^(?:Max-Age|Expires)=/.test(part))
      const { right: policy } = made as Either.Right<string, CookiePolicy.CookiePolicy>
      const [grant, clear] = [CookiePolicy.grant(policy, "abc", maxAge), CookiePolicy.clear(policy)]
      assert.strictEqual(grant.name, clear.name)
      assert.deepStrictEqual(attributes(clear), attributes(grant))
      assert.strictEqual(serialise(grant).includes("; Secure"), !insecure)
      assert.include(serialise(grant), "; HttpOnly")
    }
  )
})

// -----------------------------------------------------------------------------
// What no browser would accept
// -----------------------------------------------------------------------------

describe("options that no browser would accept are refused, by name:", () => {
  it("a __Host- name with a domain or another path", () => {
    assert.strictEqual(
      refusal({ name: "__Host-sid", domain: "example.com" }),
      "cookie.name: __Host-sid has neither a domain nor a path other than /"
    )
    assert.match(refusal({ name: "__Host-sid", path: "/admin" }), /^cookie\.name: /)
    assert.match(refusal({ name: "__Host-sid", path: "/admin" }, true), /^cookie\.name: /)
    assert.strictEqual(refusal({ name: "__Host-sid", path: "/" }), "sound")
  })

  it("SameSite=None without Secure", () => {
    assert.strictEqual(
      refusal({ sameSite: "none" }, true),
      "insecureCookie: browsers refuse SameSite=None without Secure"
    )
    assert.strictEqual(refusal({ sameSite: "none" }), "sound")
  })

  it("a name, domain or path that a cookie cannot have", () => {
    for (const name of ["", "a b", "a;b", "a=b", "a,b", "s\u00ed", "a\n"]) {
      assert.match(refusal({ name }), /^cookie: /, name)
    }
    for (const domain of ["", "example.com; Path=/", "example.com\r\n"]) {
      assert.match(refusal({ domain }), /^cookie: /, domain)
    }
    for (const path of ["/a;b", "/a\n"] as const) assert.match(refusal({ path }), /^cookie: /, path)
  })
})

describe("a Layer whose cookie no browser would accept dies when it is built, naming the option:", () => {
  const death = (layer: Layer.Layer<any, any, SessionStore.SessionStore>) =>
    Layer.build(Layer.provide(layer, storeSpy([]))).pipe(
      Effect.scoped,
      Effect.exit,
      Effect.map((exit) => {
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        return Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      })
    )

  const cross = { path: "/admin", sameSite: "none" } as const
  class Cross extends SessionAuth.Tag<Cross>()("test/Cross", { user: CurrentUser, session: Session, cookie: cross }) {}
  class Wide extends SessionAuth.Tag<Wide>()("test/Wide", {
    user: CurrentUser,
    session: Session,
    cookie: { name: "sid", domain: "example.com; Path=/admin" }
  }) {}
  class Host extends SessionAuth.Tag<Host>()("test/Host", {
    user: CurrentUser,
    session: Session,
    cookie: { name: "__Host-sid" as string, path: "/admin" }
  }) {}

  it.effect("insecureCookie, where SameSite is none", () =>
    Effect.gen(function*() {
      assert.match(yield* death(Cross.layer({ retrieveUser, insecureCookie: true })), /test\/Cross: insecureCookie: /)
      yield* Effect.scoped(Layer.build(Layer.provide(Cross.layer({ retrieveUser }), storeSpy([]))))
    }))

  it.effect("cookie, where its domain is none", () =>
    Effect.gen(function*() {
      assert.match(yield* death(Wide.layer({ retrieveUser })), /test\/Wide: cookie: InvalidDomain/)
    }))

  it.effect("cookie.name, where its prefix asks for another path", () =>
    Effect.gen(function*() {
      assert.match(yield* death(Host.layer({ retrieveUser })), /test\/Host: cookie\.name: /)
    }))
})

// -----------------------------------------------------------------------------
// In force
// -----------------------------------------------------------------------------

describe("a deployment", () => {
  it.effect("that is secure never reads the insecure name", () => {
    const calls: Array<keyof SessionStore.Service> = []
    return Effect.gen(function*() {
      const token = granted(yield* send(Auth.login({ userId: "ada" }), { method: "POST" }))
      calls.length = 0
      const reply = yield* send(Auth.user, { headers: { cookie: `session=${token}` } })
      assert.strictEqual(reply.status, 401)
      assert.deepStrictEqual(calls, [])
      const both = yield* send(Auth.user, { headers: { cookie: `session=evil; __Host-session=${token}` } })
      assert.strictEqual(both.status, 204)
    }).pipe(Effect.provide(live({}, storeSpy(calls))))
  })

  it.effect("that is insecure grants, reads and clears the insecure name, and no other", () =>
    Effect.gen(function*() {
      const login = yield* send(Auth.login({ userId: "ada" }), { method: "POST" })
      const token = granted(login, "session")
      assert.notInclude(login.setCookie[0], "Secure")
      const cookies = ["session", "__Host-session", "__Secure-session"].map((name) => `${name}=${token}`)
      const statuses = yield* Effect.forEach(cookies, (cookie) =>
        Effect.map(send(Auth.user, { headers: { cookie } }), (_) => _.status))
      assert.deepStrictEqual(statuses, [204, 401, 401])
      const logout = yield* send(Auth.logout, { method: "POST", headers: { cookie: cookies[0]! } })
      assert.deepStrictEqual(logout.setCookie, [
        "session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax"
      ])
    }).pipe(Effect.provide(live({ insecureCookie: true }))))
})
