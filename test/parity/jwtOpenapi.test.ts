// What Litestar's tests assert of the OpenAPI document of tokens, and what its document gets wrong.
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, HttpApiSecurity, OpenApi } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { JwtAuth, JwtCookieAuth, OAuth2PasswordBearer, Scopes, SecurityConfig } from "effect-security"
import { keys } from "../jwt/httpFixtures.js"
import { CurrentUser } from "../session/fixtures.js"

// -----------------------------------------------------------------------------
// An application
// -----------------------------------------------------------------------------

const scopes = Scopes.make({ "articles:read": "Read articles", "articles:write": "Write articles" })

const Claims = Schema.Struct({ sub: Schema.String, scope: scopes.schema })

class Auth extends JwtAuth.Tag<Auth>()("test/parity/TokenAuth", { user: CurrentUser, claims: Claims }) {}

/** Whose tokens have no scopes. */
class PlainAuth extends JwtAuth.Tag<PlainAuth>()("test/parity/PlainAuth", {
  user: CurrentUser,
  claims: Schema.Struct({ sub: Schema.String })
}) {}

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/parity/ServiceKey", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "X-Service-Key" }),
  user: CurrentUser,
  auth: Schema.Struct({ scope: scopes.schema })
}) {}

class BasicAuth extends SecurityConfig.Tag<BasicAuth>()("test/parity/Password", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser
}) {}

class Either extends SecurityConfig.firstOf<Either>()("test/parity/Either", [Auth, KeyAuth]) {}

class Read extends Scopes.Tag<Read>()("test/parity/Read", { auth: Auth, scopes: ["articles:read"] }) {}
class Write extends Scopes.Tag<Write>()("test/parity/Write", { auth: Auth, scopes: ["articles:write"] }) {}
class Both extends Scopes.Tag<Both>()("test/parity/Both", {
  auth: Auth,
  scopes: ["articles:write", "articles:read"]
}) {}
class WriteEither extends Scopes.Tag<WriteEither>()("test/parity/WriteEither", {
  auth: Either,
  scopes: ["articles:write"]
}) {}

const signed = {
  algorithms: ["HS256"],
  issuer: "https://app.example.com",
  audience: "https://app.example.com/api",
  retrieveUser: () => Effect.succeedSome({ id: "ada" })
} as const

const oauth = (options: object = {}) =>
  Layer.provide(
    OAuth2PasswordBearer.layer(Auth, {
      ...signed,
      tokenUrl: "/login",
      scopes,
      grant: () => Effect.succeed({ sub: "ada", scope: [] }),
      ...options
    }),
    keys
  )

const plain = Layer.provide(
  OAuth2PasswordBearer.layer(PlainAuth, {
    ...signed,
    tokenUrl: "https://app.example.com/login",
    grant: () => Effect.succeed({ sub: "ada" })
  }),
  keys
)

const header = (options: JwtAuth.HeaderSettings = {}) =>
  Layer.provide(JwtAuth.layer(Auth, { ...signed, ...options }), keys)

const cookie = (options: JwtCookieAuth.CookieSettings = {}) =>
  Layer.provide(JwtCookieAuth.layer(Auth, { ...signed, ...options }), keys)

const endpoint = (name: string) => HttpApiEndpoint.get(name, `/${name}`).addSuccess(HttpApiSchema.NoContent)

const group = (...endpoints: ReadonlyArray<any>): HttpApi.HttpApi<any, any, any, any> =>
  HttpApi.make("api").add(endpoints.reduce((group, endpoint) => group.add(endpoint), HttpApiGroup.make("a"))) as any

interface Described {
  readonly describeApi: <A extends HttpApi.HttpApi.Any>(api: A) => Effect.Effect<A, never, any>
}

const document = (api: HttpApi.HttpApi.Any, live: Layer.Layer<any, any>, tag: Described = Auth) =>
  Effect.map(tag.describeApi(api), (api): any => OpenApi.fromApi(api as any)).pipe(Effect.provide(live), Effect.orDie)

const requirement = (document: any, path: string) => document.paths[path].get.security

// -----------------------------------------------------------------------------
// OpenAPI 3.1
// -----------------------------------------------------------------------------

/** What each type of security scheme has to have and may have (section 4.8.27); a description is always allowed. */
const fields = {
  apiKey: { has: ["name", "in"], may: [] },
  http: { has: ["scheme"], may: ["bearerFormat"] },
  oauth2: { has: ["flows"], may: [] }
} as const

/** What is wrong with the security of a document (sections 4.8.27 to 4.8.30). */
const flaws = (document: any): ReadonlyArray<string> => {
  const found: Array<string> = []
  const schemes: Record<string, any> = document.components?.securitySchemes ?? {}
  const must = (holds: boolean, sentence: string) => holds ? undefined : found.push(sentence)
  for (const [name, scheme] of Object.entries(schemes)) {
    must(/^[a-zA-Z0-9._-]+$/.test(name), `${name} is no name of a component`)
    const { has, may } = fields[scheme.type as keyof typeof fields] ?? { has: [], may: [] }
    must(has.length > 0, `${name} is of no type`)
    for (const field of has) must(scheme[field] !== undefined, `${name} has no ${field}`)
    for (const field of Object.keys(scheme)) {
      must(
        ["type", "description", ...has, ...may].includes(field) && scheme[field] !== undefined,
        `${name} has the field ${field}`
      )
    }
    must(scheme.description === undefined || typeof scheme.description === "string", `${name} describes nothing`)
    must(scheme.type !== "apiKey" || ["query", "header", "cookie"].includes(scheme.in), `${name} is nowhere`)
    // RFC 9110: a name of the registry, in whichever case; ours is lower case, as the registry of OpenAPI has it.
    must(scheme.type !== "http" || ["basic", "bearer"].includes(scheme.scheme), `${name} is an unknown http scheme`)
    must(scheme.bearerFormat === undefined || scheme.scheme === "bearer", `${name} has a format and is no bearer`)
    for (const [flow, given] of Object.entries<any>(scheme.flows ?? {})) {
      must(flow === "password", `${name} has the flow ${flow}`)
      must(typeof given.tokenUrl === "string" && given.tokenUrl !== "", `${name} has no tokenUrl`)
      must(
        typeof given.scopes === "object" && given.scopes !== null && !Array.isArray(given.scopes) &&
          Object.values(given.scopes).every((description) => typeof description === "string"),
        `${name} has no scopes: an empty object where there are none`
      )
      for (const field of Object.keys(given)) {
        must(["tokenUrl", "refreshUrl", "scopes"].includes(field), `the flow of ${name} has the field ${field}`)
      }
    }
  }
  const required = (where: string, security: unknown) => {
    for (const alternative of Array.isArray(security) ? security : []) {
      for (const [name, list] of Object.entries<any>(alternative)) {
        const scheme = schemes[name]
        must(scheme !== undefined, `${where} requires ${name}, which there is not`)
        must(Array.isArray(list) && new Set(list).size === list.length, `${where} lists scopes of ${name} twice`)
        for (const scope of list) {
          must(
            scheme?.type !== "oauth2" || Object.hasOwn(scheme.flows.password.scopes, scope),
            `${where} requires ${scope}, which ${name} does not have`
          )
        }
      }
    }
  }
  required("the document", document.security)
  for (const [path, item] of Object.entries<any>(document.paths)) {
    for (const [method, operation] of Object.entries<any>(item)) {
      must(Array.isArray(operation.security), `${method} ${path} says nothing`)
      required(`${method} ${path}`, operation.security)
    }
  }
  return found
}

describe("what OpenAPI 3.1 rules of security", () => {
  it("is broken by each of these (W40)", () => {
    const valid = {
      components: { securitySchemes: { a: { type: "oauth2", flows: { password: { tokenUrl: "/", scopes: {} } } } } },
      paths: { "/": { get: { security: [{ a: [] }] } } }
    }
    assert.deepStrictEqual(flaws(valid), [])
    const withScheme = (scheme: object) => flaws({ ...valid, components: { securitySchemes: { a: scheme } } })
    assert.lengthOf(withScheme({ type: "oauth2", flows: { password: { tokenUrl: "/" } } }), 1)
    assert.lengthOf(withScheme({ type: "http", scheme: "bearer", bearerFormat: "JWT", name: "Authorization" }), 1)
    assert.lengthOf(withScheme({ type: "http", scheme: "Bearer", bearerFormat: "JWT" }), 2)
    assert.lengthOf(
      withScheme({
        type: "oauth2",
        name: "Authorization",
        in: "header",
        scheme: "Bearer",
        bearerFormat: "JWT",
        flows: { password: { tokenUrl: "/", scopes: {} } }
      }),
      5
    )
    assert.lengthOf(withScheme({ type: "apiKey", in: "cookie" }), 1)
    assert.lengthOf(flaws({ ...valid, paths: { "/": { get: { security: [{ b: [] }] } } } }), 1)
    assert.lengthOf(flaws({ ...valid, paths: { "/": { get: { security: [{ a: ["x"] }] } } } }), 1)
  })
})

// -----------------------------------------------------------------------------
// Schemes
// -----------------------------------------------------------------------------

const bearerScheme = {
  type: "http",
  scheme: "bearer",
  bearerFormat: "JWT",
  description: "A JSON Web Token in the Authorization header."
}

const oauthScheme = {
  type: "oauth2",
  description: "OAuth 2.0 with a user name and a password, and a JSON Web Token.",
  flows: {
    password: {
      tokenUrl: "/login",
      scopes: { "articles:read": "Read articles", "articles:write": "Write articles" }
    }
  }
}

describe("the scheme of a token", () => {
  const api = group(endpoint("user").middleware(Auth))
  const schemesOf = (live: Layer.Layer<any, any>) =>
    Effect.map(document(api, live), (shown) => {
      assert.deepStrictEqual(flaws(shown), [])
      return shown.components.securitySchemes
    })

  it.effect("in Authorization is http and bearer, in lower case and without name or in (11)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* schemesOf(header()), { bearerToken: bearerScheme })
      assert.deepStrictEqual(yield* schemesOf(header({ header: "authorization" })), { bearerToken: bearerScheme })
    }))

  it.effect("is required by the endpoint, and at the root where it stands on the api (12)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(requirement(yield* document(api, header()), "/user"), [{ bearerToken: [] }])
      const whole = yield* document(group(endpoint("user")).middleware(Auth), header())
      assert.deepStrictEqual(whole.security, [{ bearerToken: [] }])
      assert.deepStrictEqual(requirement(whole, "/user"), [{ bearerToken: [] }])
      assert.deepStrictEqual(flaws(whole), [])
    }))

  it.effect("in a header of another name is an apiKey of that header", () =>
    Effect.gen(function*() {
      const scheme = { type: "apiKey", in: "header", name: "X-API-Key", description: "`Bearer` and a JSON Web Token." }
      assert.deepStrictEqual(yield* schemesOf(header({ header: "X-API-Key" })), { bearerToken: scheme })
      // Whoever sends what `oauth2` means, in Authorization, would not be let in.
      assert.deepStrictEqual(yield* schemesOf(oauth({ header: "X-API-Key" })), { bearerToken: scheme })
      assert.deepStrictEqual(yield* schemesOf(oauth({ header: "authorization" })), { bearerToken: oauthScheme })
    }))

  it.effect("in a cookie is an apiKey of the cookie in force, and no http bearer (W40)", () =>
    Effect.gen(function*() {
      for (const [insecureCookie, name] of [[false, "__Host-token"], [true, "token"]] as const) {
        assert.deepStrictEqual(yield* schemesOf(cookie({ insecureCookie })), {
          bearerToken: { type: "apiKey", in: "cookie", name, description: "A JSON Web Token in a cookie." }
        })
      }
    }))

  it.effect("of the password grant is oauth2 with its flow, and has no name, in, scheme or bearerFormat (13)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* schemesOf(oauth()), { bearerToken: oauthScheme })
      assert.deepStrictEqual(requirement(yield* document(api, oauth()), "/user"), [{ bearerToken: [] }])
    }))

  it.effect("of the password grant has scopes also where there are none (13, W40)", () =>
    Effect.gen(function*() {
      const shown = yield* document(group(endpoint("user").middleware(PlainAuth)), plain, PlainAuth)
      assert.deepStrictEqual(shown.components.securitySchemes.bearerToken.flows, {
        password: { tokenUrl: "https://app.example.com/login", scopes: {} }
      })
      assert.deepStrictEqual(flaws(shown), [])
    }))
})

// -----------------------------------------------------------------------------
// Scopes
// -----------------------------------------------------------------------------

const places = { "oauth2": oauth, "http bearer": header, "a cookie": cookie }

describe("the requirement of an operation", () => {
  for (const [title, live] of Object.entries(places)) {
    it.effect(`lists the scopes that its endpoint, group and api require, and no others, over ${title} (W40)`, () =>
      Effect.gen(function*() {
        const api = group(
          endpoint("one").middleware(Auth).middleware(Read),
          endpoint("first").middleware(Write).middleware(Auth),
          endpoint("alone").middleware(Write),
          endpoint("united").middleware(Auth).middleware(Both).middleware(Read).middleware(Write),
          endpoint("signed-in").middleware(Auth),
          endpoint("open")
        )
        const shown = yield* document(api, live())
        const listed = (path: string) => requirement(shown, path)
        assert.deepStrictEqual(listed("/one"), [{ bearerToken: ["articles:read"] }])
        assert.deepStrictEqual(listed("/first"), [{ bearerToken: ["articles:write"] }])
        assert.deepStrictEqual(listed("/alone"), [{ bearerToken: ["articles:write"] }])
        assert.deepStrictEqual(
          listed("/united").map(({ bearerToken }: any) => [...bearerToken].sort()),
          [["articles:read", "articles:write"]]
        )
        assert.deepStrictEqual(listed("/signed-in"), [{ bearerToken: [] }])
        assert.deepStrictEqual(listed("/open"), [])
        assert.deepStrictEqual(flaws(shown), [])

        const levels: HttpApi.HttpApi.Any = HttpApi.make("api")
          .add(HttpApiGroup.make("a").add(endpoint("one")).middleware(Write) as any)
          .add(HttpApiGroup.make("b").add(endpoint("open")) as any)
          .middleware(Read) as any
        const leveled = yield* document(levels, live())
        assert.deepStrictEqual(
          requirement(leveled, "/one").map(({ bearerToken }: any) => [...bearerToken].sort()),
          [["articles:read", "articles:write"]]
        )
        assert.deepStrictEqual(requirement(leveled, "/open"), [{ bearerToken: ["articles:read"] }])
        assert.deepStrictEqual(flaws(leveled), [])
      }))
  }

  it.effect("has the scheme also where nothing but required scopes names the backend", () =>
    Effect.gen(function*() {
      const shown = yield* document(group(endpoint("alone").middleware(Write)), oauth())
      assert.deepStrictEqual(shown.components.securitySchemes, { bearerToken: oauthScheme })
      assert.deepStrictEqual(flaws(shown), [])
      assert.include(Object.keys(shown.paths["/alone"].get.responses), "403")
    }))

  it.effect("lists them for each alternative of firstOf, and adds none to what stands beside it", () =>
    Effect.gen(function*() {
      const live = Either.layer().pipe(
        Layer.provideMerge(
          Layer.mergeAll(
            header(),
            KeyAuth.layer({ authenticate: () => Effect.succeedNone }),
            BasicAuth.layer({ authenticate: () => Effect.succeed(Option.none()) })
          )
        )
      )
      const api = group(
        endpoint("either").middleware(Either).middleware(WriteEither),
        endpoint("alone").middleware(WriteEither),
        endpoint("any").middleware(Either),
        endpoint("and").middleware(BasicAuth).middleware(WriteEither)
      )
      const shown = yield* document(api, live, Either)
      const alternatives = [{ bearerToken: ["articles:write"] }, { ServiceKey: ["articles:write"] }]
      assert.deepStrictEqual(requirement(shown, "/either"), alternatives)
      assert.deepStrictEqual(requirement(shown, "/alone"), alternatives)
      assert.deepStrictEqual(requirement(shown, "/any"), [{ bearerToken: [] }, { ServiceKey: [] }])
      assert.deepStrictEqual(
        requirement(shown, "/and"),
        alternatives.map((alternative) => ({ Password: [], ...alternative }))
      )
      assert.deepStrictEqual(flaws(shown), [])
    }))

  it.effect("is the same when several Tags describe the api, one after the other", () =>
    Effect.gen(function*() {
      const live = Layer.merge(oauth(), BasicAuth.layer({ authenticate: () => Effect.succeed(Option.none()) }))
      const api = group(endpoint("both").middleware(BasicAuth).middleware(Write), endpoint("one").middleware(Read))
      for (const [first, second] of [[Auth, BasicAuth], [BasicAuth, Auth]] as ReadonlyArray<[Described, Described]>) {
        const shown = yield* first.describeApi(api).pipe(
          Effect.flatMap((api) => document(api, live, second)),
          Effect.provide(live)
        )
        assert.deepStrictEqual(requirement(shown, "/both"), [{ Password: [], bearerToken: ["articles:write"] }])
        assert.deepStrictEqual(requirement(shown, "/one"), [{ bearerToken: ["articles:read"] }])
        assert.deepStrictEqual(shown.components.securitySchemes.bearerToken, oauthScheme)
        assert.deepStrictEqual(flaws(shown), [])
      }
    }))

  it.effect("is none for a public endpoint beside closed ones, and for the token endpoint itself (W41)", () =>
    Effect.gen(function*() {
      const api = group(
        OAuth2PasswordBearer.endpoint("token", "/login"),
        endpoint("open"),
        endpoint("closed").middleware(Auth)
      )
      const shown = yield* document(api, oauth())
      assert.deepStrictEqual(requirement(shown, "/open"), [])
      assert.deepStrictEqual(shown.paths["/login"].post.security, [])
      assert.deepStrictEqual(shown.security, [])
    }))

  it.effect("keeps the scopes of a backend that stands in front of an endpoint twice, alone and as one of several", () =>
    Effect.gen(function*() {
      const api = group(endpoint("a").middleware(Auth).middleware(Write).middleware(Either))
      const live = Layer.merge(oauth(), KeyAuth.layer({ authenticate: () => Effect.succeedNone }))
      assert.deepStrictEqual(requirement(yield* document(api, live), "/a"), [
        { bearerToken: ["articles:write"] },
        { bearerToken: ["articles:write"], ServiceKey: [] }
      ])
    }))

  it.effect("is no list that two documents of one Layer share (W41)", () =>
    Effect.gen(function*() {
      const api = group(endpoint("a").middleware(Read))
      const first: any = OpenApi.fromApi(yield* Auth.describeApi(api))
      first.components.securitySchemes.bearerToken.flows.password.scopes.changed = "changed"
      const second: any = OpenApi.fromApi(yield* Auth.describeApi(api))
      assert.deepStrictEqual(second.components.securitySchemes, { bearerToken: oauthScheme })
    }).pipe(Effect.provide(oauth())))

  it.effect("is no list that two apis share, however often each of them is described (W41)", () =>
    Effect.gen(function*() {
      const one = group(endpoint("a").middleware(Read))
      const other = group(endpoint("a").middleware(Write))
      const first = yield* document(one, oauth())
      requirement(first, "/a")[0].bearerToken.push("changed")
      first.components.securitySchemes.bearerToken.flows.password.scopes.changed = "changed"
      const second = yield* document(other, oauth())
      assert.deepStrictEqual(requirement(second, "/a"), [{ bearerToken: ["articles:write"] }])
      assert.deepStrictEqual(second.components.securitySchemes, { bearerToken: oauthScheme })
      for (let i = 0; i < 2; i++) {
        const again = yield* document(one, oauth())
        assert.deepStrictEqual(requirement(again, "/a"), [{ bearerToken: ["articles:read"] }])
        assert.deepStrictEqual(again.components.securitySchemes, { bearerToken: oauthScheme })
      }
      assert.deepStrictEqual(Read.scopes, ["articles:read"])
      assert.deepStrictEqual(Object.keys(scopes.descriptions), ["articles:read", "articles:write"])
    }))
})

describe("the token endpoint of an HttpApi", () => {
  it.effect("shows the form that it takes, the token and every error", () =>
    Effect.gen(function*() {
      const shown = yield* document(
        group(OAuth2PasswordBearer.endpoint("token", "/login"), endpoint("user").middleware(Auth)),
        oauth()
      )
      const { requestBody, responses } = shown.paths["/login"].post
      assert.deepStrictEqual(Object.keys(requestBody.content), ["application/x-www-form-urlencoded"])
      const form = requestBody.content["application/x-www-form-urlencoded"].schema
      assert.deepStrictEqual([...form.required].sort(), ["grant_type", "password", "username"])
      assert.deepStrictEqual(form.properties.grant_type.enum, ["password"])
      assert.deepStrictEqual(Object.keys(responses), ["200", "400", "401", "413", "429", "503"])
      assert.deepStrictEqual(shown.components.schemas["effect-security.TokenError"].properties.error.enum, [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unsupported_grant_type",
        "invalid_scope"
      ])
      assert.deepStrictEqual(
        [...shown.components.schemas["effect-security.TokenResponse"].required].sort(),
        ["access_token", "expires_in", "token_type"]
      )
    }))
})
