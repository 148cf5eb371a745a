// What of tokens is about cookies; what holds wherever a token is stands in JwtAuth.test.ts.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, Layer, Option, Schema } from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtAuth from "effect-security/jwt/JwtAuth"
import * as JwtCookieAuth from "effect-security/jwt/JwtCookieAuth"
import type * as SecurityError from "effect-security/SecurityError"
import type * as SecurityEvents from "effect-security/SecurityEvents"
import * as SessionAuth from "effect-security/session/SessionAuth"
import { cookieOf, get, post as postRoute, serve, surfaces } from "../edge/harness.js"
import { CurrentUser, send } from "../session/fixtures.js"
import type { Reply } from "../session/fixtures.js"
import { audience, issuer, now, partsOf, ring, setSeconds, spyKey } from "./fixtures.js"
import * as F from "./httpFixtures.js"
import { me, TokenAuth, tokenWith } from "./httpFixtures.js"

const place = F.inCookie
const run = F.withLive(F.live(place))
const running = (options: F.Options) => F.withLive(F.live(place, options))

const withCookie = (cookie: string, headers: Record<string, string> = {}) => ({ headers: { cookie, ...headers } })

const failure = <A, E>({ exit }: Reply<A, E>) =>
  Exit.match(exit, { onFailure: (cause) => cause._tag === "Fail" ? cause.error : cause, onSuccess: () => undefined })

const refused = (reply: Reply<unknown, unknown>, label?: string) =>
  assert.deepStrictEqual(
    [reply.status, reply.headers.get("www-authenticate"), reply.headers.get("vary"), reply.setCookie],
    [401, "Cookie", "Cookie", []],
    label
  )

const epoch = "Expires=Thu, 01 Jan 1970 00:00:00 GMT"

// -----------------------------------------------------------------------------
// The cookie
// -----------------------------------------------------------------------------

describe("the cookie", () => {
  class Shop extends JwtAuth.Tag<Shop>()("test/Shop", {
    user: CurrentUser,
    claims: F.Claims,
    cookie: { domain: "example.com" }
  }) {}
  class Admin extends JwtAuth.Tag<Admin>()("test/Admin", {
    user: CurrentUser,
    claims: F.Claims,
    cookie: { path: "/admin", sameSite: "strict" }
  }) {}
  class Named extends JwtAuth.Tag<Named>()("test/Named", {
    user: CurrentUser,
    claims: F.Claims,
    cookie: { name: "accessToken", sameSite: "none" }
  }) {}
  class Sessions extends SessionAuth.Tag<Sessions>()("test/Sessions", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String, sub: Schema.String })
  }) {}
  const auth = { sub: "ada", userId: "ada" }

  const expected: ReadonlyArray<readonly [title: string, tag: any, insecure: boolean, name: string, rest: string]> = [
    ["of JwtAuth.Tag", TokenAuth, false, "__Host-token", "Path=/; HttpOnly; Secure; SameSite=Lax"],
    ["of JwtAuth.Tag over plain http", TokenAuth, true, "token", "Path=/; HttpOnly; SameSite=Lax"],
    ["with a domain", Shop, false, "__Secure-token", "Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax"],
    ["with a domain over plain http", Shop, true, "token", "Domain=example.com; Path=/; HttpOnly; SameSite=Lax"],
    ["with a path", Admin, false, "__Secure-token", "Path=/admin; HttpOnly; Secure; SameSite=Strict"],
    ["with a name of its own", Named, false, "accessToken", "Path=/; HttpOnly; Secure; SameSite=None"],
    ["of SessionAuth.Tag", Sessions, false, "__Host-session", "Path=/; HttpOnly; Secure; SameSite=Lax"],
    ["of SessionAuth.Tag over plain http", Sessions, true, "session", "Path=/; HttpOnly; SameSite=Lax"]
  ]

  for (const [title, tag, insecureCookie, name, rest] of expected) {
    const Live = F.liveOf(tag, place, { insecureCookie, lifetime: "10 minutes" })
    // Where `Expires` stands among the attributes.
    const withExpiry = rest.replace(/(Path=[^;]*)/, `$1; ${epoch}`)

    it.effect(`${title} has the name and the attributes that the Tag says, and lasts as long as the token (102, 110, 115)`, () =>
      Effect.gen(function*() {
        const reply = yield* F.sendAny(tag.login(auth), F.post)
        const [, token] = /^[^=]+=([^;]+);/.exec(reply.setCookie[0]!)!
        assert.deepStrictEqual(reply.setCookie, [`${name}=${token}; Max-Age=600; ${rest}`])
        const { exp, iat } = partsOf(token!).claims
        assert.strictEqual(Number(exp) - Number(iat), 600)
        const read = yield* F.sendAny(tag.user, withCookie(`theme=dark; ${name}=${token}; a=b`))
        assert.deepStrictEqual(Exit.getOrElse(read.exit, Cause.squash), { id: "ada" })
        for (const other of ["token", "__Host-token", "__Secure-token", "session", "__Host-session", "accessToken"]) {
          if (other !== name) {
            refused(yield* F.sendAny(Effect.asVoid(tag.user), withCookie(`${other}=${token}`)), other)
          }
        }
      }).pipe(F.withLive(Live)))

    it.effect(`${title} ends with the browser where the client is not to be remembered`, () =>
      Effect.gen(function*() {
        const reply = yield* F.sendAny(tag.login(auth, { remember: false }), F.post)
        assert.match(reply.setCookie[0]!, /^[^=]+=[\w-]+\.[\w-]+\.[\w-]+; /)
        assert.strictEqual(reply.setCookie[0]!.replace(/^[^;]+; /, ""), rest)
        assert.lengthOf(reply.setCookie, 1)
      }).pipe(F.withLive(Live)))

    it.effect(`${title} is cleared with every attribute that it has`, () =>
      Effect.gen(function*() {
        const reply = yield* F.sendAny(tag.logout, F.post)
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, [`${name}=; Max-Age=0; ${withExpiry}`]])
        assert.strictEqual(reply.headers.get("cache-control"), "no-store")
      }).pipe(F.withLive(Live)))
  }
})

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

describe("a request", () => {
  it.effect("is let in by its cookie alone, however often: 201, then 200 (110, 129)", () =>
    Effect.gen(function*() {
      const login = yield* send(Effect.as(TokenAuth.login({ sub: "ada" }), F.empty(201)), F.post)
      const cookie = login.setCookie[0]!.split(";")[0]!
      assert.strictEqual(login.status, 201)
      for (let times = 0; times < 3; times++) {
        const reply = yield* send(me, withCookie(cookie))
        assert.deepStrictEqual([reply.status, reply.body, reply.setCookie], [200, "ada", []])
      }
    }).pipe(run))

  it.effect("is not let in by a token in a header, Authorization or one that is named like the cookie (111, 112, 113)", () =>
    Effect.gen(function*() {
      const token = tokenWith()
      for (const name of ["authorization", "__host-token", "token", "x-api-key", "cookie2"]) {
        for (const value of [token, `Bearer ${token}`, `__Host-token=${token}`]) {
          refused(yield* send(me, { headers: { [name]: value } }), name)
        }
      }
      refused(yield* send(me, { url: `https://app.example.com/?token=${token}` }))
    }).pipe(run))

  it.effect("is judged by its cookie whatever Authorization says (112, O10)", () =>
    Effect.gen(function*() {
      const good = `__Host-token=${tokenWith()}`
      for (const authorization of ["Basic YWRhOnNlY3JldA==", "Bearer 5f2d8c1ab04e9973", "nonsense", ""]) {
        assert.strictEqual((yield* send(me, withCookie(good, { authorization }))).status, 200)
      }
      const authorization = `Bearer ${tokenWith()}`
      refused(yield* send(me, withCookie("__Host-token=5f2d8c1ab04e9973", { authorization })))
      refused(yield* send(me, withCookie(`__Host-token=${tokenWith({ sub: "ghost" })}`, { authorization })))
    }).pipe(run))

  it.effect("is 401, and no cookie is set or cleared, where its cookie is not exactly a good token (109, 112)", () =>
    Effect.gen(function*() {
      const token = tokenWith()
      const [head, payload, signature] = token.split(".")
      const cookies = [
        `__Host-token=Bearer ${token}`,
        `__Host-token=Bearer%20${token}`,
        `__Host-token=Bearer 5f2d8c1ab04e9973`,
        `__Host-token=5f2d8c1ab04e9973`,
        `__Host-token="${token}"`,
        `__Host-token=${token.replaceAll(".", "%2E")}`,
        `__Host-token=%${token.charCodeAt(0).toString(16)}${token.slice(1)}`,
        `__Host-token=${token}%00`,
        `__Host-token=${token}=`,
        `__Host-token=${token} x`,
        `__Host-token=${head}.${payload}`,
        `__Host-token=${head}.${payload}.${signature}.`,
        `__Host-token=${head}.${payload}.`,
        `__Host-token=.${payload}.${signature}`,
        `__Host-token=`,
        `__Host-token`,
        `__host-token=${token}`,
        `X__Host-token=${token}`,
        `\u00a0__Host-token=${token}`,
        `__Host-token =${token}`,
        `__Host-token=${token}; __Host-token=${token}`,
        `__Host-token=nonsense; __Host-token=${token}`,
        `__Host-token=${token}; __Host-token=`,
        `__Host-token=${tokenWith({ iat: now - 930, exp: now - 30 })}`,
        `__Host-token=${tokenWith({ exp: undefined })}`,
        `__Host-token=${tokenWith({ sub: "ghost" })}`
      ]
      for (const cookie of cookies) refused(yield* send(me, withCookie(cookie)), cookie)
      // It is these and not the surroundings.
      for (const cookie of [`__Host-token=${token}`, `a=b;__Host-token=${token};`, `\t__Host-token=${token}`]) {
        assert.strictEqual((yield* send(me, withCookie(cookie))).status, 200, cookie)
      }
    }).pipe(run))
})

// -----------------------------------------------------------------------------
// Nowhere but in the cookie
// -----------------------------------------------------------------------------

describe("the token", () => {
  const routes = [
    postRoute("/204", Effect.as(TokenAuth.login({ sub: "ada" }), F.empty())),
    postRoute("/json", Effect.as(TokenAuth.login({ sub: "ada" }), HttpServerResponse.unsafeJson({ ok: true }))),
    postRoute("/303", Effect.as(TokenAuth.login({ sub: "ada" }), HttpServerResponse.redirect("/", { status: 303 }))),
    postRoute("/500", Effect.as(TokenAuth.login({ sub: "ada" }), F.empty(500))),
    postRoute("/defect", Effect.zipRight(TokenAuth.login({ sub: "ada" }), Effect.die("oops"))),
    get("/me", F.whoami, TokenAuth)
  ]

  for (const surface of surfaces) {
    it.scopedLive(`${surface.join(" on ")}: is in the one cookie of the login and nowhere else in it, and in no other answer`, () =>
      Effect.gen(function*() {
        const server = yield* serve(surface, routes, F.live(place))
        for (const path of ["/204", "/json", "/303"]) {
          const reply = yield* server.send(path, { method: "POST" })
          const cookie = cookieOf(reply)
          const rest = F.wholeOf(reply).replace(cookie, "")
          for (const part of cookie.slice("__Host-token=".length).split(".")) assert.notInclude(rest, part)
          assert.notInclude(rest.toLowerCase(), "bearer")
          assert.strictEqual(reply.headers["authorization"], undefined)
          const read = yield* server.send("/me", { headers: { cookie } })
          assert.deepStrictEqual([read.status, read.body], [200, "ada"])
          assert.notInclude(F.wholeOf(read), "eyJ")
        }
        for (const path of ["/500", "/defect"]) {
          const reply = yield* server.send(path, { method: "POST" })
          assert.strictEqual(reply.status, 500)
          assert.notInclude(F.wholeOf(reply), "eyJ")
        }
      }))
  }
})

// -----------------------------------------------------------------------------
// Signing in and out
// -----------------------------------------------------------------------------

describe("login", () => {
  it.effect("sets one cookie, that of the last, and none where logout came after it", () =>
    Effect.gen(function*() {
      const login = (sub: string) => TokenAuth.login({ sub })
      const twice = yield* send(Effect.zipRight(login("ada"), login("bob")), F.post)
      assert.strictEqual(partsOf(place.granted(twice)!).claims["sub"], "bob")
      const none = yield* send(Effect.zipRight(login("ada"), TokenAuth.logout), F.post)
      assert.deepStrictEqual(none.setCookie.map((cookie) => cookie.slice(0, 24)), ["__Host-token=; Max-Age=0"])
      const again = yield* send(Effect.zipRight(TokenAuth.logout, login("eve")), F.post)
      assert.strictEqual(partsOf(place.granted(again)!).claims["sub"], "eve")
    }).pipe(run))

  it.effect("grants a cookie of 4,096 bytes with its attributes, and fails with the size of one that is larger: 413", () => {
    const events: Array<SecurityEvents.SecurityEvent> = []
    return Effect.gen(function*() {
      const sizeOf = (bytes: number, remember = true) =>
        Effect.map(
          send(TokenAuth.login({ sub: "ada", role: "x".repeat(bytes) }, { remember }), F.post),
          (reply) => ({ reply, error: failure(reply) as SecurityError.CookieTooLarge | undefined })
        )
      // Find by bisection the largest that goes out.
      let [good, tooLarge] = [0, 4_096]
      while (tooLarge - good > 1) {
        const middle = Math.floor((good + tooLarge) / 2)
        const { error } = yield* sizeOf(middle)
        if (error === undefined) good = middle
        else tooLarge = middle
      }
      const { reply } = yield* sizeOf(good)
      assert.isAtMost(reply.setCookie[0]!.length, 4_096)
      assert.isAbove(reply.setCookie[0]!.length, 4_096 - 4)
      events.length = 0
      const larger = yield* sizeOf(tooLarge)
      const { error } = larger
      assert.deepStrictEqual([error!._tag, error!.limit], ["CookieTooLarge", 4_096])
      // As large as it would have been.
      const grown = Math.ceil((good + 1) * 4 / 3) - Math.ceil(good * 4 / 3)
      assert.include([grown, grown + 1, grown - 1], error!.size - reply.setCookie[0]!.length)
      assert.isAbove(error!.size, 4_096)
      assert.deepStrictEqual(
        [larger.reply.status, JSON.parse(larger.reply.body).size, larger.reply.setCookie, events],
        [413, error!.size, [], []]
      )
      // Without an age there is room for as many more characters.
      const short = yield* sizeOf(tooLarge, false)
      assert.isUndefined(short.error)
      // A token that is too large for any place says so.
      const huge = yield* sizeOf(9_000)
      assert.strictEqual(huge.error!._tag as string, "SessionTooLarge")
    }).pipe(F.withLive(Layer.provide(F.live(place), F.eventsTo(events))))
  })

  it.effect("that is too large leaves the cookie that the client has", () =>
    Effect.gen(function*() {
      const cookie = `__Host-token=${tokenWith()}`
      const reply = yield* send(
        Effect.flatMap(Effect.flip(TokenAuth.login({ sub: "bob", role: "x".repeat(4_000) })), () => TokenAuth.user),
        { ...F.post, ...withCookie(cookie) }
      )
      assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), { id: "ada" })
      assert.deepStrictEqual(reply.setCookie, [])
    }).pipe(run))
})

describe("logout", () => {
  const cleared = `__Host-token=; Max-Age=0; Path=/; ${epoch}; HttpOnly; Secure; SameSite=Lax`

  it.effect("clears the cookie, be it good, bad, twice there or missing, and ends no copy of the token", () =>
    Effect.gen(function*() {
      const token = tokenWith()
      const cookies = [
        `__Host-token=${token}`,
        "",
        "theme=dark",
        "__Host-token=nonsense",
        `__Host-token=${tokenWith({ exp: now - 31 })}`,
        `__Host-token=${token}; __Host-token=${token}`
      ]
      for (const cookie of cookies) {
        const reply = yield* send(F.logout, { ...F.post, ...withCookie(cookie) })
        assert.deepStrictEqual([reply.status, reply.body, reply.setCookie], [204, "", [cleared]], cookie)
      }
      assert.strictEqual((yield* send(me, withCookie(`__Host-token=${token}`))).body, "ada")
    }).pipe(run))

  it.effect("clears the cookie whatever the response becomes", () =>
    Effect.gen(function*() {
      for (const ending of [Effect.die("oops"), Effect.succeed(F.empty(404)), Effect.succeed(F.empty(503))]) {
        const reply = yield* send(Effect.zipRight(TokenAuth.logout, ending), F.post)
        assert.isAtLeast(reply.status, 400)
        assert.deepStrictEqual(reply.setCookie, [cleared])
      }
    }).pipe(run))
})

// -----------------------------------------------------------------------------
// Other sites
// -----------------------------------------------------------------------------

describe("a request that another site made", () => {
  const crossSite: ReadonlyArray<Record<string, string>> = [
    { origin: "https://evil.example" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site", origin: "https://other.example.com" }
  ]
  const handlers = { login: F.login(), logout: F.logout, read: me }

  for (const [title, handler] of Object.entries(handlers)) {
    it.effect(`is refused by ${title} with 403, without a cookie set or cleared, and noted`, () => {
      const events: Array<SecurityEvents.SecurityEvent> = []
      return Effect.gen(function*() {
        for (const cookie of [`__Host-token=${tokenWith()}`, ""]) {
          for (const headers of crossSite) {
            const reply = yield* F.sendAny(handler, { ...F.post, ...withCookie(cookie, headers) })
            assert.deepStrictEqual(
              [reply.status, JSON.parse(reply.body)._tag, reply.setCookie, reply.headers.get("cache-control")],
              [403, "CrossSiteRejected", [], "no-store"]
            )
            assert.sameMembers(reply.headers.get("vary")!.split(", "), ["Cookie", "Origin"])
            assert.notInclude(F.wholeOf(reply), "eyJ")
          }
        }
        assert.deepStrictEqual(
          new Set(events.map(F.plainEvent).map(({ _tag, error }) => `${_tag} ${error}`)),
          new Set(["Rejected CrossSiteRejected"])
        )
        assert.lengthOf(events, 8)
      }).pipe(F.withLive(Layer.provide(F.live(place), F.eventsTo(events))))
    })

    it.effect(`is accepted by ${title} from an origin that is trusted, from its own, and from no browser`, () =>
      Effect.gen(function*() {
        const own: ReadonlyArray<Record<string, string>> = [
          { origin: "https://trusted.example" },
          { origin: "https://app.example.com", host: "app.example.com" },
          { "sec-fetch-site": "same-origin" },
          {}
        ]
        for (const headers of own) {
          const reply = yield* F.sendAny(handler, { ...F.post, ...withCookie(`__Host-token=${tokenWith()}`, headers) })
          assert.isBelow(reply.status, 300, JSON.stringify(headers))
        }
      }).pipe(running({ trustedOrigins: ["https://trusted.example"] })))
  }

  it.effect("may read by GET what the cookie lets it, as any link does", () =>
    Effect.gen(function*() {
      for (const method of ["GET", "HEAD"]) {
        for (const headers of crossSite) {
          const reply = yield* send(me, { method, ...withCookie(`__Host-token=${tokenWith()}`, headers) })
          assert.strictEqual(reply.status, 200)
        }
      }
    }).pipe(run))

  it.effect("is refused without an origin where one is required", () =>
    Effect.gen(function*() {
      const reply = yield* send(F.login(), F.post)
      assert.deepStrictEqual([reply.status, reply.setCookie], [403, []])
      assert.strictEqual((yield* send(F.login(), { ...F.post, headers: { "sec-fetch-site": "none" } })).status, 204)
    }).pipe(running({ requireOrigin: true })))
})

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

describe("two Tags", () => {
  class Other extends JwtAuth.Tag<Other>()("test/Other", { user: CurrentUser, claims: F.Claims }) {}

  it.effect("that share a cookie would sign each other's people out, and die where one request meets both", () =>
    Effect.gen(function*() {
      const both = Effect.zipRight(TokenAuth.login({ sub: "ada" }), Other.login({ sub: "bob" }))
      const reply = yield* F.sendAny(both, F.post)
      assert.strictEqual(reply.status, 500)
      assert.match(
        String(Exit.isFailure(reply.exit) && Cause.squash(reply.exit.cause)),
        /test\/TokenAuth and test\/Other share the cookie "__Host-token"/
      )
      assert.deepStrictEqual(reply.setCookie, [])
    }).pipe(F.withLive(Layer.merge(F.live(place), F.liveOf(Other, place)) as Layer.Layer<any>)))
})

describe("layerConfig", () => {
  const layer = JwtCookieAuth.layerConfig(TokenAuth, {
    algorithms: ["HS256"],
    retrieveUser: F.retrieveUser,
    settings: {
      issuer: Config.string("ISSUER"),
      audience: Config.string("AUDIENCE"),
      insecureCookie: Config.boolean("INSECURE").pipe(Config.withDefault(false)),
      trustedOrigins: Config.array(Config.string(), "ORIGINS").pipe(Config.withDefault([]))
    }
  }).pipe(Layer.provide(F.keys))
  const from = (config: Record<string, string>) =>
    Layer.provide(layer, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(config)))))
  const good = { ISSUER: issuer, AUDIENCE: audience }

  it.effect("takes its settings from Config", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const cookieFrom = (config: Record<string, string>) =>
        Effect.map(
          Effect.provide(send(F.login(), F.post), Layer.orDie(from(config))),
          ({ setCookie }) => setCookie[0]!.split("=")[0]
        )
      assert.strictEqual(yield* cookieFrom(good), "__Host-token")
      assert.strictEqual(yield* cookieFrom({ ...good, INSECURE: "true" }), "token")
    }))

  it.effect("says as a ConfigError what is wrong with them, and as a SecurityConfigError what Config cannot know", () =>
    Effect.gen(function*() {
      const complaint = <A, E>(layer: Layer.Layer<A, E>) =>
        Effect.map(Effect.exit(Effect.scoped(Layer.build(layer))), (exit) => {
          const error: any = Exit.isFailure(exit) ? Option.getOrNull(Cause.failureOption(exit.cause)) : undefined
          return `${error?._tag ?? error?._op} ${error?.reason ?? error}`
        })
      assert.match(yield* complaint(from({ ISSUER: issuer })), /AUDIENCE/)
      assert.match(yield* complaint(from({ ...good, ORIGINS: "*" })), /trustedOrigins and origin take exact origins/)
      assert.match(yield* complaint(from({ ...good, INSECURE: "perhaps" })), /INSECURE/)
      assert.match(yield* complaint(from({ ...good, AUDIENCE: "" })), /^SecurityConfigError audience/)
      class None extends JwtAuth.Tag<None>()("test/None", {
        user: CurrentUser,
        claims: F.Claims,
        cookie: { sameSite: "none" }
      }) {}
      const none = JwtCookieAuth.layerConfig(None, {
        algorithms: ["HS256"],
        retrieveUser: F.retrieveUser,
        settings: Config.succeed({ issuer, audience, insecureCookie: true })
      })
      const said = yield* complaint(Layer.provide(none, F.keys))
      assert.match(said, /browsers refuse SameSite=None without Secure/)
      assert.notMatch(said, /^SecurityConfigError/)
    }))
})

describe("a cookie that no browser would take", () => {
  it.effect("keeps the Layer from starting", () =>
    Effect.gen(function*() {
      class None extends JwtAuth.Tag<None>()("test/None", {
        user: CurrentUser,
        claims: F.Claims,
        cookie: { sameSite: "none" }
      }) {}
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(F.liveOf(None, place, { insecureCookie: true }))))
      assert.match(
        String(Exit.isFailure(exit) && Cause.squash(exit.cause)),
        /test\/None: insecureCookie: browsers refuse SameSite=None without Secure/
      )
    }))
})

describe("layerVerifier", () => {
  const Live = JwtCookieAuth.layerVerifier(TokenAuth, {
    verifier: Effect.provide(
      Jwt.verifier({ algorithms: ["HS256"], issuer, audience, claims: F.Claims }),
      ring(spyKey(F.pair))
    ),
    retrieveUser: F.retrieveUser,
    insecureCookie: true
  })

  it.effect("lets in who has somebody else's token in the cookie, and is checked for other sites", () =>
    Effect.gen(function*() {
      const cookie = `token=${tokenWith({ role: "admin" })}`
      const reply = yield* send(TokenAuth.protect(Effect.all([CurrentUser, TokenAuth.claims])), withCookie(cookie))
      assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), [{ id: "ada" }, { sub: "ada", role: "admin" }])
      refused(yield* send(me, withCookie("token=nonsense")))
      refused(yield* send(me, withCookie(`__Host-token=${tokenWith()}`)))
      const crossSite = { ...F.post, ...withCookie(cookie, { origin: "https://evil.example" }) }
      assert.strictEqual((yield* send(me, crossSite)).status, 403)
    }).pipe(F.withLive(Layer.orDie(Live))))
})
