import { HttpApiSecurity } from "@effect/platform"
import type { Redacted } from "effect"
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { CookiePolicy } from "effect-security"
import { SecurityConfig, SessionAuth } from "effect-security"
import { describe, expect, test } from "tstyche"
import { ApiKeyAuth, Auth, BasicAuth, CurrentUser, TokenAuth, User, UserId } from "./fixtures/app.js"

const user = CurrentUser
const session = Schema.Struct({ userId: UserId })
const scheme = HttpApiSecurity.bearer

describe("a Tag needs its Self", () => {
  test("when it is a session backend", () => {
    expect(SessionAuth.Tag()("app/Auth", { user, session })).type.toBe<
      "Missing `Self` generic - use `class Self extends SessionAuth.Tag<Self>()...`"
    >()
    // @ts-expect-error Type '"Missing `Self` generic - use `class Self extends SessionAuth.Tag<Self>()...`"' is not a constructor
    class NoSelf extends SessionAuth.Tag()("app/Auth", { user, session }) {}
  })

  test("when it is a custom backend", () => {
    expect(SecurityConfig.Tag()("app/Token", { user, scheme })).type.toBe<
      "Missing `Self` generic - use `class Self extends SecurityConfig.Tag<Self>()...`"
    >()
    // @ts-expect-error Type '"Missing `Self` generic - use `class Self extends SecurityConfig.Tag<Self>()...`"' is not a constructor
    class NoSelf extends SecurityConfig.Tag()("app/Token", { user, scheme }) {}
  })
})

describe("a session without a userId in every case needs a subject", () => {
  const account = Schema.Struct({ account: Schema.Number })
  const optional = Schema.Struct({ userId: Schema.optional(Schema.String) })
  const exact = Schema.Struct({ userId: Schema.optionalWith(Schema.String, { exact: true }) })
  const nullable = Schema.Struct({ userId: Schema.NullOr(Schema.String) })
  const nested = Schema.Struct({ userId: Schema.Struct({ tenant: Schema.String, id: Schema.String }) })
  const unknown = Schema.Struct({ userId: Schema.Unknown })
  const union = Schema.Union(Schema.Struct({ userId: UserId }), Schema.Struct({ cart: Schema.String }))
  const any = Schema.Struct({ userId: Schema.Any })

  test("when it has none", () => {
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly account: number; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: account })
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<string>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: Schema.String })
    // @ts-expect-error Type 'undefined' is not assignable to type '(session: NoInfer<{ readonly account: number; }>) => string'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: account, subject: undefined })
  })

  test("when it is optional", () => {
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly userId?: string | undefined; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: optional })
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly userId?: string; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: exact })
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly userId: string | null; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: nullable })
  })

  test("when only some members of a union have it", () => {
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: union })
  })

  test("when it is nothing that has one text", () => {
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly userId: { readonly tenant: string; readonly id: string; }; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: nested })
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly userId: unknown; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: unknown })
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<NoInfer<{ readonly userId: any; }>>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: any })
    // @ts-expect-error Property 'subject' is missing in type ... but required in type 'SubjectRequired<any>'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: Schema.Any })
  })

  test("which is a text made of the session", () => {
    // @ts-expect-error Type 'number' is not assignable to type 'string'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: account, subject: ({ account }) => account })
    // @ts-expect-error Property 'name' does not exist on type '{ readonly account: number; }'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: account, subject: ({ name }) => name })
  })

  test("and compiles with one", () => {
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: account, subject: ({ account }) => String(account) })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: optional, subject: ({ userId }) => userId ?? "guest" })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: exact, subject: ({ userId }) => userId ?? "guest" })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: nullable, subject: ({ userId }) => userId ?? "guest" })
    SessionAuth.Tag<Auth>()("app/Auth", {
      user,
      session: union,
      subject: (session) => "userId" in session ? session.userId : session.cart
    })
    SessionAuth.Tag<Auth>()("app/Auth", {
      user,
      session: nested,
      subject: ({ userId: { id, tenant } }) => `${tenant}/${id}`
    })
  })

  test("and one with a userId in every case compiles with and without", () => {
    SessionAuth.Tag<Auth>()("app/Auth", { user, session })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, subject: undefined })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, subject: ({ userId }) => `customer ${userId}` })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: Schema.Struct({ userId: Schema.Number }) })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session: Schema.Struct({ userId: Schema.BigInt }) })
    SessionAuth.Tag<Auth>()("app/Auth", {
      user,
      session: Schema.Union(
        Schema.Struct({ userId: UserId, kind: Schema.Literal("web") }),
        Schema.Struct({ userId: UserId, device: Schema.String })
      )
    })
  })
})

describe("a session", () => {
  test("is decoded without services", () => {
    class Database extends Context.Tag("app/Database")<Database, object>() {}
    const session = null as unknown as Schema.Schema<{ readonly userId: string }, { readonly userId: string }, Database>
    // @ts-expect-error Type 'Database' is not assignable to type 'never'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session })
  })
})

describe("the user of a Tag", () => {
  test("is a Tag, not the class of the user", () => {
    // @ts-expect-error Type 'typeof User' is missing the following properties from type 'Tag<unknown, unknown>'
    SessionAuth.Tag<Auth>()("app/Auth", { user: User, session })
    // @ts-expect-error Type 'typeof User' is missing the following properties from type 'Tag<unknown, unknown>'
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", { user: User, scheme })
  })

  test("is what retrieveUser finds, so that a Tag of another shape does not do", () => {
    class CurrentName extends Context.Tag("app/CurrentName")<CurrentName, string>() {}
    const NameAuth = SessionAuth.Tag<Auth>()("app/Auth", { user: CurrentName, session })
    // @ts-expect-error Type 'Effect<Option<User>, never, never>' is not assignable to type 'Effect<Option<string>, never, never>'...Type 'User' is not assignable to type 'string'.
    NameAuth.layer({ retrieveUser: () => Effect.succeed(Option.some(new User({ id: UserId.make("1"), name: "ada" }))) })
  })
})

describe("the cookie of a Tag", () => {
  test("with the prefix __Host- has no domain", () => {
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has no domain (RFC 6265bis section 4.1.3.2)"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "__Host-id", domain: "example.com" } })
    const domain = "example.com" as string | undefined
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has no domain (RFC 6265bis section 4.1.3.2)"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "__Host-id", domain } })
    const name = "id" as "id" | "__Host-id"
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has no domain (RFC 6265bis section 4.1.3.2)"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name, domain: "example.com" } })
  })

  test("with the prefix __Host- has no path but /", () => {
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has the path `/` (RFC 6265bis section 4.1.3.2)"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "__Host-id", path: "/app" } })
    const path = "/" as `/${string}` | undefined
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has the path `/` (RFC 6265bis section 4.1.3.2)"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "__Host-id", path } })
  })

  test("has the prefix in any case, as browsers see it", () => {
    // @ts-expect-error is not assignable to type '"A cookie named `__Host-...` has no domain (RFC 6265bis section 4.1.3.2)"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "__host-id", domain: "example.com" } })
  })

  test("is not made insecure by the Tag, but by the Layer", () => {
    // @ts-expect-error is not assignable to type '"Whether the cookie is Secure belongs to the Layer: `insecureCookie`"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { insecure: true } })
    // @ts-expect-error is not assignable to type '"Whether the cookie is Secure belongs to the Layer: `insecureCookie`"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { secure: false } })
    // @ts-expect-error is not assignable to type '"Whether the cookie is Secure belongs to the Layer: `insecureCookie`"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "id", path: "/", insecure: false } })
    // @ts-expect-error Object literal may only specify known properties, and 'insecureCookie' does not exist in type
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, insecureCookie: true })
    Auth.layer({ retrieveUser: () => Effect.succeedNone, insecureCookie: true })
  })

  test("has no option that is unknown", () => {
    // @ts-expect-error is not assignable to type '"A cookie has no option `httpOnly`"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "id", httpOnly: false } })
    // @ts-expect-error is not assignable to type '"A cookie has no option `samesite`"'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { samesite: "strict" } })
  })

  test("has options of the right kind", () => {
    // @ts-expect-error Type '"app"' is not assignable to type '`/${string}`'.
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "id", path: "app" } })
    // @ts-expect-error Did you mean '"strict"'?
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { sameSite: "Strict" } })
  })

  test("may be left out or be sound", () => {
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: undefined })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: {} })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { name: "__Host-id" } })
    SessionAuth.Tag<Auth>()("app/Auth", {
      user,
      session,
      cookie: { name: "__Host-id", domain: undefined, path: "/", sameSite: "strict" }
    })
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie: { domain: "example.com", path: "/app" } })
    const cookie: CookiePolicy.Options = { name: "id" }
    SessionAuth.Tag<Auth>()("app/Auth", { user, session, cookie })
  })
})

describe("an API key", () => {
  test("is not in the query", () => {
    // @ts-expect-error Type '"query"' is not assignable to type '"
    SecurityConfig.apiKey({ in: "query", key: "key" })
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", {
      user,
      // @ts-expect-error is not assignable to type '"An API key in the query would end in logs: use `SecurityConfig.apiKey`"'.
      scheme: HttpApiSecurity.apiKey({ in: "query", key: "key" })
    })
  })

  test("is not in a place that its type leaves open", () => {
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", {
      user,
      // @ts-expect-error is not assignable to type '"An API key in the query would end in logs: use `SecurityConfig.apiKey`"'.
      scheme: HttpApiSecurity.apiKey({ in: "header", key: "key" })
    })
    const scheme = HttpApiSecurity.bearer as HttpApiSecurity.HttpApiSecurity
    // @ts-expect-error "An API key in the query would end in logs: use `SecurityConfig.apiKey`"'.
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", { user, scheme })
    // @ts-expect-error Property 'in' is missing in type '{ key: string; }' but required in type
    SecurityConfig.apiKey({ key: "key" })
  })

  test("is in a header or in a cookie", () => {
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", {
      user,
      scheme: SecurityConfig.apiKey({ in: "header", key: "key" })
    })
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", {
      user,
      scheme: SecurityConfig.apiKey({ in: "cookie", key: "key" })
    })
    SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKey", {
      user,
      scheme: SecurityConfig.apiKey({ in: "header", key: "key" }).pipe(
        HttpApiSecurity.annotate(Context.GenericTag<"Description", string>("Description"), "a key")
      )
    })
  })
})

describe("a custom backend", () => {
  test("is given what its scheme carries", () => {
    ApiKeyAuth.layer({
      authenticate: (key) => {
        expect(key).type.toBe<Redacted.Redacted>()
        return Effect.succeedNone
      }
    })
    TokenAuth.layer({
      authenticate: (token) => {
        expect(token).type.toBe<Redacted.Redacted>()
        return Effect.succeedNone
      }
    })
    BasicAuth.layer({
      authenticate: (credentials) => {
        expect(credentials).type.toBe<HttpApiSecurity.Credentials>()
        return Effect.succeedNone
      }
    })
    // @ts-expect-error Type 'Redacted<string>' is not assignable to type 'string'.
    ApiKeyAuth.layer({ authenticate: (key: string) => Effect.succeedNone })
  })

  test("finds a user, with what the credential says where the Tag has a schema for it", () => {
    const ada = new User({ id: UserId.make("1"), name: "ada" })
    ApiKeyAuth.layer({ authenticate: () => Effect.succeedSome(ada) })
    TokenAuth.layer({ authenticate: () => Effect.succeedSome({ user: ada, auth: { scope: "read" } }) })
    // @ts-expect-error Type 'User' is not assignable to type 'Option<User>'.
    ApiKeyAuth.layer({ authenticate: () => Effect.succeed(ada) })
    // @ts-expect-error Type 'User' is missing the following properties from type 'Authenticated<User, { readonly scope: string; }>': user, auth
    TokenAuth.layer({ authenticate: () => Effect.succeedSome(ada) })
    // @ts-expect-error Type 'number' is not assignable to type 'string'.
    TokenAuth.layer({ authenticate: () => Effect.succeedSome({ user: ada, auth: { scope: 1 } }) })
  })

  test("signs nobody in and has no sessions", () => {
    // @ts-expect-error Property 'login' does not exist on type 'typeof ApiKeyAuth'.
    ApiKeyAuth.login
    // @ts-expect-error Property 'revokeAll' does not exist on type 'typeof ApiKeyAuth'.
    ApiKeyAuth.revokeAll
  })
})
