// The token endpoint (RFC 6749 sections 4.3, 5.1 and 5.2), over a socket.
import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpRouter,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import type { Scope } from "effect"
import {
  Cause,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Option,
  Redacted,
  Ref,
  Schema,
  TestClock,
  Tracer
} from "effect"
import {
  Credentials,
  JwtAuth,
  OAuth2PasswordBearer,
  Password,
  RequestBody,
  Scopes,
  SecurityError
} from "effect-security"
import type { JwtKeys, SecurityConfig, SecurityEvents } from "effect-security"
import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"
import { bothApis, get, listen, onNode, post, requestText, routers, serve, surfaces } from "../edge/harness.js"
import type { NodeServer, Reply, Server } from "../edge/harness.js"
import * as RawHttp from "../edge/rawHttp.js"
import { anyByte, assertShare, assertStatus, everyCase, few, host, limit, oneOf, splice } from "../edge/robustness.js"
import type { Header, World } from "../edge/robustness.js"
import { CurrentUser, logsTo } from "../session/fixtures.js"
import type { User } from "../session/fixtures.js"
import { Calls, layerSpy, newPassword, user, Users } from "../user/fixtures.js"
import { audience, issuer, now, partsOf, setSeconds } from "./fixtures.js"
import { breakable, eventsTo, keys, plainEvent, whoami } from "./httpFixtures.js"

// -----------------------------------------------------------------------------
// An application
// -----------------------------------------------------------------------------

const scopes = Scopes.make({ "articles:read": "Read articles", "articles:write": "Write articles" })

class Auth extends JwtAuth.Tag<Auth>()("test/oauth/Auth", {
  user: CurrentUser,
  claims: Schema.Struct({ sub: Schema.String, scope: scopes.schema })
}) {}

type Claims = typeof Auth.auth.Type

class ReadArticles extends Scopes.Tag<ReadArticles>()("test/oauth/ReadArticles", {
  auth: Auth,
  scopes: ["articles:read"]
}) {}

class WriteArticles extends Scopes.Tag<WriteArticles>()("test/oauth/WriteArticles", {
  auth: Auth,
  scopes: ["articles:write"]
}) {}

/** Whose tokens have no scopes. */
class PlainAuth extends JwtAuth.Tag<PlainAuth>()("test/oauth/PlainAuth", {
  user: CurrentUser,
  claims: Schema.Struct({ sub: Schema.String })
}) {}

const right = "correct horse"
const secret = "hidden-client-secret"

type Grant = OAuth2PasswordBearer.Grant<"articles:read" | "articles:write">

const isRight = ({ password, username }: { readonly username: string; readonly password: Redacted.Redacted }) =>
  username === "ada" && Redacted.value(password) === right
    ? Effect.void
    : Effect.fail(new SecurityError.NotAuthorized({ reason: "WrongPassword" }))

/** Grants what is asked for, and reading where nothing is. */
const grant = (asked: Grant): Effect.Effect<Claims, SecurityError.NotAuthorized> =>
  Effect.as(isRight(asked), {
    sub: asked.username,
    scope: Option.getOrElse(asked.scope, () => ["articles:read" as const])
  })

const retrieveUser = ({ sub }: { readonly sub: string }) => Effect.succeedSome<User>({ id: sub })

const signed = { algorithms: ["HS256"], issuer, audience, tokenUrl: "/token", retrieveUser } as const

type Options = Partial<
  OAuth2PasswordBearer.LayerOptions<User, Claims, never, any, ReadonlyArray<never>, any, any, any> & JwtAuth.Settings
>

type Live =
  | Auth
  | ReadArticles
  | WriteArticles
  | SecurityConfig.Supports<Auth, OAuth2PasswordBearer.PasswordBearer>

const live = (options: Options = {}, ring: Layer.Layer<JwtKeys.JwtKeys, any> = keys) =>
  Layer.merge(ReadArticles.layer, WriteArticles.layer).pipe(
    Layer.provideMerge(OAuth2PasswordBearer.layer(Auth, { ...signed, grant, scopes, ...options })),
    Layer.provide(ring)
  ) as Layer.Layer<Live>

const plainLive = (options: object = {}) =>
  Layer.provide(
    OAuth2PasswordBearer.layer(PlainAuth, {
      ...signed,
      grant: (asked) => Effect.as(isRight(asked), { sub: asked.username }),
      ...options
    }),
    keys
  )

const done = Effect.succeed(HttpServerResponse.text("done"))

const routes = [
  post("/token", OAuth2PasswordBearer.token(Auth)),
  get("/me", whoami, Auth),
  get("/read", done, ReadArticles),
  get("/write", done, WriteArticles)
]

class Api extends HttpApi.make("api")
  .add(HttpApiGroup.make("auth").add(OAuth2PasswordBearer.endpoint("token", "/token")))
  .add(
    HttpApiGroup.make("articles")
      .add(HttpApiEndpoint.get("me", "/me").addSuccess(Schema.String).middleware(Auth))
      .add(HttpApiEndpoint.get("read", "/read").addSuccess(Schema.String).middleware(ReadArticles))
      .add(HttpApiEndpoint.get("write", "/write").addSuccess(Schema.String).middleware(WriteArticles))
  )
{}

const ApiHandlers = Layer.merge(
  HttpApiBuilder.group(Api, "auth", (handlers) => handlers.handleRaw("token", () => OAuth2PasswordBearer.token(Auth))),
  HttpApiBuilder.group(Api, "articles", (handlers) =>
    handlers
      .handle("me", () => Effect.map(CurrentUser, ({ id }) => id))
      .handle("read", () => Effect.succeed("done"))
      .handle("write", () => Effect.succeed("done")))
)

// -----------------------------------------------------------------------------
// Asking
// -----------------------------------------------------------------------------

const formType = "application/x-www-form-urlencoded"

const form = (fields: Readonly<Record<string, string>>) => String(new URLSearchParams(fields))

const good = { grant_type: "password", username: "ada", password: right }

const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString("base64")}` })

/** Sends a text as the form, or the fields of one. */
const ask = (
  server: Pick<Server, "send">,
  body: string | Readonly<Record<string, string>> = good,
  headers: Readonly<Record<string, string>> = {}
) =>
  server.send("/token", {
    method: "POST",
    headers: { "content-type": formType, ...headers },
    body: typeof body === "string" ? body : form(body)
  })

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

/** What every answer of the endpoint itself has. */
const common = { "content-type": "application/json", "cache-control": "no-store", pragma: "no-cache" }

const assertError = (reply: Reply, error: string, label?: string) => {
  const status = error === "invalid_client" ? 401 : 400
  assert.deepStrictEqual([reply.status, reply.body], [status, JSON.stringify({ error })], label)
  assert.deepInclude(reply.headers, common, label)
  assert.strictEqual(
    reply.headers["www-authenticate"],
    status === 401 ? "Basic realm=\"bearerToken\", charset=\"UTF-8\"" : undefined,
    label
  )
  assert.deepStrictEqual([reply.headers["authorization"], reply.setCookies], [undefined, []], label)
}

const granted = (reply: Reply, label?: string): { readonly access_token: string; readonly scope?: string } => {
  assert.strictEqual(reply.status, 200, `${label}: ${reply.body}`)
  return JSON.parse(reply.body)
}

/** The endpoint on a router and in both kinds of an `HttpApi`, where none of them logs a secret. */
const onEvery = (
  options: Options,
  f: (server: NodeServer, label: string) => Effect.Effect<void, unknown, Scope.Scope>,
  ring?: Layer.Layer<JwtKeys.JwtKeys, any>
) =>
  Effect.gen(function*() {
    const servers: Record<string, NodeServer> = {
      HttpRouter: yield* onNode("HttpRouter", routes, live(options, ring)),
      ...yield* bothApis(Api, ApiHandlers as Layer.Layer<any, never, any>, live(options, ring))
    }
    for (const [label, server] of Object.entries(servers)) {
      yield* f(server, label)
      const logged = server.logs.join("\n")
      for (const hidden of [right, secret, "eyJ", form({ "": right }).slice(1)]) {
        assert.notInclude(logged, hidden, label)
      }
    }
  })

// -----------------------------------------------------------------------------
// Granting
// -----------------------------------------------------------------------------

describe("a token", () => {
  it.scopedLive("is answered as RFC 6749 section 5.1 says, with 200 and not 201, everywhere (116, 119, 130, W39)", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const server = yield* serve(surface, routes, live({ lifetime: "7 minutes" }) as Layer.Layer<any>)
        assert.strictEqual((yield* server.send("/me")).status, 401, label)
        const reply = yield* ask(server, { ...good, scope: "articles:write articles:read" })
        assert.strictEqual(reply.status, 200, label)
        assert.deepInclude(reply.headers, common, label)
        const { access_token, ...rest } = JSON.parse(reply.body)
        assert.deepStrictEqual(rest, {
          token_type: "Bearer",
          expires_in: 420,
          scope: "articles:write articles:read"
        }, label)
        // In no other place, and nothing that the client would have to vary by.
        assert.deepStrictEqual([reply.headers["authorization"], reply.setCookies], [undefined, []], label)
        assert.notInclude(JSON.stringify(reply.headers), access_token, label)
        const { claims } = partsOf(access_token)
        assert.deepInclude(claims, { sub: "ada", iss: issuer, aud: audience, scope: rest.scope }, label)
        assert.strictEqual(Number(claims["exp"]) - Number(claims["iat"]), 420, label)
        assert.deepInclude(yield* server.send("/me", bearer(access_token)), { status: 200, body: "ada" }, label)
      })))

  it.scopedLive("has the scopes that were granted, which are said in the answer and enforced (W39)", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        for (
          const [scope, expected, read, write] of [
            ["articles:read", "articles:read", 200, 403],
            ["articles:write", "articles:write", 403, 200],
            ["articles:write articles:read articles:write", "articles:write articles:read", 200, 200],
            ["", "articles:read", 200, 403],
            [undefined, "articles:read", 200, 403]
          ] as const
        ) {
          const answer = granted(yield* ask(server, { ...good, ...(scope === undefined ? {} : { scope }) }), label)
          assert.strictEqual(answer.scope, expected, label)
          const statuses = yield* Effect.forEach(
            ["/me", "/read", "/write"],
            (path) => Effect.map(server.send(path, bearer(answer.access_token)), ({ status }) => status)
          )
          assert.deepStrictEqual(statuses, [200, read, write], `${label} ${scope}`)
        }
      })))

  it.scopedLive("says the scopes that the grant decided on, fewer or others", () =>
    Effect.forEach(
      [["articles:write"], ["articles:write", "articles:read"]] as const,
      (scope) =>
        onEvery({ grant: ({ username }) => Effect.succeed({ sub: username, scope }) }, (server, label) =>
          Effect.gen(function*() {
            const answer = granted(yield* ask(server, { ...good, scope: "articles:read" }), label)
            assert.strictEqual(answer.scope, scope.join(" "), label)
            assert.strictEqual(partsOf(answer.access_token).claims["scope"], scope.join(" "), label)
          }))
    ))

  it.scopedLive("is none where none of the scopes is granted that the client asked for, and says none where it asked none", () =>
    onEvery(
      { grant: ({ username }) => Effect.succeed({ sub: username, scope: [] }) },
      (server, label) =>
        Effect.gen(function*() {
          assertError(yield* ask(server, { ...good, scope: "articles:read" }), "invalid_scope", label)
          const answer = granted(yield* ask(server), label)
          assert.isFalse("scope" in answer, label)
          assert.strictEqual(partsOf(answer.access_token).claims["scope"], "", label)
        })
    ))

  it.scopedLive("says no scope where the claims have none, and none can be asked for", () =>
    Effect.gen(function*() {
      const server = yield* onNode(
        "HttpRouter",
        [post("/token", OAuth2PasswordBearer.token(PlainAuth)), get("/me", whoami, PlainAuth)],
        plainLive()
      )
      const { access_token, ...rest } = granted(yield* ask(server)) as Record<string, string>
      assert.deepStrictEqual(rest as unknown, { token_type: "Bearer", expires_in: 900 })
      assert.deepInclude(yield* server.send("/me", bearer(access_token!)), { status: 200, body: "ada" })
      granted(yield* ask(server, { ...good, scope: "" }))
      assertError(yield* ask(server, { ...good, scope: "articles:read" }), "invalid_scope")
    }))

  it.scopedLive("is granted for what the client asked, as the grant sees it", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      yield* onEvery({
        grant: ({ clientId, password, scope, username }) =>
          Effect.sync((): Claims => {
            seen.push([username, Redacted.value(password), Option.getOrNull(scope), Option.getOrNull(clientId)])
            return { sub: "ada", scope: ["articles:read"] }
          })
      }, (server, label) =>
        Effect.gen(function*() {
          granted(yield* ask(server, { ...good, username: "\u00e5 da+&=", password: " p%41\u{1f511}\u0000 " }), label)
          granted(yield* ask(server, { ...good, scope: "articles:read", client_id: "cli" }), label)
          granted(yield* ask(server, good, basic("a%3Ab:")), label)
          assert.deepStrictEqual(seen.splice(0), [
            ["\u00e5 da+&=", " p%41\u{1f511}\u0000 ", null, null],
            ["ada", right, ["articles:read"], "cli"],
            ["ada", right, null, "a:b"]
          ], label)
        }))
    }))

  it.scopedLive("is published as a sign-in, by its id", () =>
    Effect.gen(function*() {
      const events: Array<SecurityEvents.SecurityEvent> = []
      const server = yield* onNode(
        "HttpRouter",
        routes,
        (live() as Layer.Layer<any>).pipe(Layer.provide(eventsTo(events)))
      )
      const { access_token } = granted(yield* ask(server))
      assert.deepStrictEqual(events.splice(0).map(plainEvent), [{
        _tag: "SignedIn",
        backend: "test/oauth/Auth",
        subject: "ada",
        credential: partsOf(access_token).claims["jti"]
      }])
      assertError(yield* ask(server, { ...good, password: "wrong" }), "invalid_grant")
      assert.deepStrictEqual(events, [])
    }))

  it.scopedLive("is a body of the application's own where its handler issues one itself (116, 118, 120)", () =>
    Effect.gen(function*() {
      const own = (body: (token: string) => unknown) =>
        Auth.issue({ sub: "ada", scope: [] }).pipe(
          Effect.map(({ token }) => HttpServerResponse.unsafeJson(body(Redacted.value(token)), { status: 201 }))
        )
      const server = yield* onNode("HttpRouter", [
        post("/mine", own((token) => ({ mine: token, at: new Date(0) }))),
        post("/null", own(() => null))
      ], live())
      const { body, status } = yield* server.send("/mine", { method: "POST" })
      assert.strictEqual(status, 201)
      assert.strictEqual(JSON.parse(body).at, "1970-01-01T00:00:00.000Z")
      assert.strictEqual(partsOf(JSON.parse(body).mine).claims["sub"], "ada")
      assert.deepInclude(yield* server.send("/null", { method: "POST" }), { status: 201, body: "null" })
    }))
})

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/** Bodies that are no good request, by the error of RFC 6749 section 5.2. */
const errors: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  invalid_request: {
    "an empty body": "",
    "no grant_type": form({ username: "ada", password: right }),
    "an empty grant_type": form({ ...good, grant_type: "" }),
    "no username": form({ grant_type: "password", password: right }),
    "an empty username": form({ ...good, username: "" }),
    "no password": form({ grant_type: "password", username: "ada" }),
    "an empty password": form({ ...good, password: "" }),
    "grant_type twice": `${form(good)}&grant_type=password`,
    "password twice": `${form(good)}&${form({ password: right })}`,
    "scope twice": `${form(good)}&scope=articles:read&scope=articles:write`,
    "an unknown parameter twice": `${form(good)}&x=1&x=2`,
    "a lone percent sign": `${form(good)}&x=%`,
    "percent-encoding of other bytes than UTF-8": `${form(good)}&x=%ff`,
    "JSON for a form": JSON.stringify(good),
    "only __proto__": "__proto__=password"
  },
  unsupported_grant_type: {
    "the grant of a client": form({ ...good, grant_type: "client_credentials" }),
    "an unknown grant": form({ grant_type: "urn:x" })
  },
  invalid_grant: {
    "a wrong password": form({ ...good, password: "wrong" }),
    "an unknown user": form({ ...good, username: "nobody" }),
    "a password with a space too many": form({ ...good, password: `${right} ` })
  },
  invalid_scope: {
    "an unknown scope": form({ ...good, scope: "articles:delete" }),
    "an unknown scope beside a known one": form({ ...good, scope: "articles:read admin" }),
    "two spaces": form({ ...good, scope: "articles:read  articles:write" }),
    "a space in front": form({ ...good, scope: " articles:read" }),
    "a quote": form({ ...good, scope: "\"articles:read\"" }),
    "a tab": form({ ...good, scope: "articles:read\tarticles:write" }),
    "a name of every object's": form({ ...good, scope: "constructor" }),
    "__proto__": form({ ...good, scope: "__proto__" })
  }
}

describe("an error", () => {
  for (const [error, bodies] of Object.entries(errors)) {
    for (const [title, body] of Object.entries(bodies)) {
      it.scopedLive(`is ${error} for ${title} (W39)`, () =>
        onEvery({}, (server, label) =>
          Effect.gen(function*() {
            assertError(yield* ask(server, body), error, label)
            // A good request beside it, so that it is this that makes the difference.
            granted(yield* ask(server), label)
          })))
    }
  }

  for (
    const [title, type] of [
      ["none", undefined],
      ["JSON", "application/json"],
      ["text", "text/plain"],
      ["multipart", "multipart/form-data; boundary=x"],
      ["one that only begins like that of a form", `${formType}x`]
    ] as const
  ) {
    it.scopedLive(`is invalid_request for a good form whose media type is ${title}`, () =>
      onEvery({}, (server, label) =>
        Effect.gen(function*() {
          const { "content-type": _, ...headers } = { "content-type": formType }
          const reply = yield* server.send("/token", {
            method: "POST",
            headers: type === undefined ? headers : { "content-type": type },
            body: form(good)
          })
          assertError(reply, "invalid_request", label)
        })))
  }

  it.scopedLive("is none for a media type with parameters and in capitals", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        for (const type of [`${formType}; charset=UTF-8`, formType.toUpperCase(), `${formType};`]) {
          granted(yield* ask(server, good, { "content-type": type }), `${label} ${type}`)
        }
      })))

  it.scopedLive("is invalid_request for bytes that are no UTF-8, whatever they are said to be", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        for (const type of [formType, "application/json", "application/octet-stream"]) {
          const body = `${form(good)}&x=\xff\xfe`
          const reply = yield* server.raw(requestText("/token", {
            method: "POST",
            headers: { "content-type": type, "content-length": String(body.length) },
            body
          }))
          assertError(reply, "invalid_request", `${label} ${type}`)
        }
      })))

  it.scopedLive("is the same, byte for byte, for a wrong password and for an unknown user", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        const answer = (fields: object) =>
          Effect.map(ask(server, { ...good, ...fields }), ({ headers: { date: _, ...headers }, ...reply }) => ({
            ...reply,
            headers
          }))
        assert.deepStrictEqual(yield* answer({ username: "nobody" }), yield* answer({ password: "wrong" }), label)
      })))

  it.scopedLive("of parameters named like what every object has is none, and changes no object", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        granted(yield* ask(server, `__proto__=x&constructor=y&${form(good)}&__proto__[scope]=articles:write`), label)
        assert.deepStrictEqual(Object.keys(Object.prototype), [], label)
        assert.notProperty({}, "scope", label)
      })))
})

// -----------------------------------------------------------------------------
// Clients
// -----------------------------------------------------------------------------

const inForm = (id: string, secret?: string) => ({
  ...good,
  client_id: id,
  ...(secret === undefined ? {} : { client_secret: secret })
})

describe("a client", () => {
  it.scopedLive("is public where the application does not say who it is, and refused when it sends a secret", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        granted(yield* ask(server, inForm("cli")), label)
        granted(yield* ask(server, good, basic("cli:")), label)
        // Swagger UI, whose user gave neither.
        granted(yield* ask(server, { ...good, scope: "" }, basic(":")), label)
        granted(yield* ask(server, good, { authorization: "Bearer expired" }), label)
        assertError(yield* ask(server, inForm("cli", secret)), "invalid_client", label)
        assertError(yield* ask(server, { ...good, client_secret: secret }), "invalid_client", label)
        assertError(yield* ask(server, good, basic(`cli:${secret}`)), "invalid_client", label)
        assertError(yield* ask(server, good, { authorization: "Basic !" }), "invalid_client", label)
        assertError(yield* ask(server, good, basic("%zz:")), "invalid_client", label)
      })))

  it.scopedLive("that the application knows is asked about before the password is, and in one place alone", () =>
    Effect.gen(function*() {
      const clients: Array<unknown> = []
      let grants = 0
      yield* onEvery({
        grant: (asked) => Effect.zipRight(Effect.sync(() => grants++), grant(asked)),
        client: ({ id, secret: given }) =>
          Effect.sync(() => {
            const found = [Option.getOrNull(id), Option.getOrNull(Option.map(given, Redacted.value))]
            clients.push(found)
            return found[0] === "a:b" && found[1] === `${secret} %+`
          })
      }, (server, label) =>
        Effect.gen(function*() {
          const encoded = `a%3Ab:${form({ "": `${secret} %+` }).slice(1)}`
          granted(yield* ask(server, good, basic(encoded)), label)
          granted(yield* ask(server, inForm("a:b", `${secret} %+`)), label)
          granted(yield* ask(server, inForm("a:b"), basic(encoded)), label)
          granted(yield* ask(server, inForm("a:b", `${secret} %+`), basic(":")), label)
          assert.deepStrictEqual(clients.splice(0), Array.from({ length: 4 }, () => ["a:b", `${secret} %+`]), label)
          grants = 0
          assertError(yield* ask(server, good), "invalid_client", label)
          assertError(yield* ask(server, inForm("a:b")), "invalid_client", label)
          assertError(yield* ask(server, inForm("a:b", secret)), "invalid_client", label)
          assertError(yield* ask(server, good, basic(`a:b:${secret}`)), "invalid_client", label)
          assert.deepStrictEqual(clients.splice(0), [
            [null, null],
            ["a:b", null],
            ["a:b", secret],
            ["a", `b:${secret}`]
          ], label)
          // RFC 6749 section 2.3: one method a request.
          assertError(yield* ask(server, inForm("a:b", secret), basic(encoded)), "invalid_request", label)
          assertError(yield* ask(server, inForm("other"), basic(encoded)), "invalid_request", label)
          assertError(
            yield* server.raw(requestText("/token", {
              method: "POST",
              headers: { "content-type": formType, ...basic(encoded), "AUTHORIZATION": basic(encoded).authorization },
              body: form(good)
            })),
            "invalid_client",
            label
          )
          assert.deepStrictEqual([clients, grants], [[], 0], label)
        }))
    }))

  it.scopedLive("is one when the application says true and nothing else, whatever the types were made to say", () =>
    Effect.forEach([false, "yes", 1, {}, undefined, null], (answer) =>
      onEvery(
        { client: () => Effect.succeed(answer as boolean) },
        (server, label) =>
          Effect.map(ask(server, inForm("cli", secret)), (reply) => assertError(reply, "invalid_client", label))
      )))

  it.scopedLive("that the application refuses by a failure is no outage", () =>
    Effect.forEach([new SecurityError.NotAuthorized(), new SecurityError.PermissionDenied()], (failure) =>
      onEvery(
        { client: () => Effect.fail(failure) },
        (server, label) =>
          Effect.map(ask(server, inForm("cli", secret)), (reply) => assertError(reply, "invalid_client", label))
      )))
})

// -----------------------------------------------------------------------------
// Outages
// -----------------------------------------------------------------------------

const assertOutage = (reply: Reply, label: string) => {
  assert.strictEqual(reply.status, 503, label)
  assert.deepInclude(reply.headers, {
    "content-type": "application/problem+json",
    "retry-after": "1",
    "cache-control": "no-store"
  }, label)
  assert.strictEqual(JSON.parse(reply.body)._tag, "SecurityUnavailable", label)
}

describe("an outage", () => {
  const outages: Readonly<Record<string, Effect.Effect<never, unknown>>> = {
    "fails with a failure of its own": Effect.fail("the directory is down"),
    "fails with SecurityUnavailable": Effect.fail(new SecurityError.SecurityUnavailable({ reason: "down" })),
    "dies": Effect.die(new Error("a bug")),
    "interrupts itself": Effect.interrupt,
    "never answers": Effect.never
  }
  for (const [title, outage] of Object.entries(outages)) {
    it.scopedLive(`is 503 and no error of the client's where the grant ${title}`, () =>
      onEvery({ grant: () => outage, grantTimeout: "50 millis" }, (server, label) =>
        Effect.gen(function*() {
          assertOutage(yield* ask(server), label)
          assert.include(server.logs.join("\n"), "the password grant", label)
        })))

    it.scopedLive(`is 503 where what says who a client is ${title}`, () =>
      onEvery(
        { client: () => outage, grantTimeout: "50 millis" },
        (server, label) => Effect.map(ask(server), (reply) => assertOutage(reply, label))
      ))
  }

  it.effect("is one after 10 seconds, or as long as the Layer says, which is a positive duration", () =>
    Effect.gen(function*() {
      const app = (options: Options) =>
        OAuth2PasswordBearer.token(Auth).pipe(
          Effect.provideService(
            HttpServerRequest.HttpServerRequest,
            HttpServerRequest.fromWeb(
              new Request("http://localhost", {
                method: "POST",
                headers: { "content-type": formType },
                body: form(good)
              })
            )
          ),
          Effect.provide(live(options)),
          Effect.provide(Logger.remove(Logger.defaultLogger))
        )
      for (const [grantTimeout, millis] of [[undefined, 10_000], ["3 seconds", 3_000]] as const) {
        for (const part of ["grant", "client"] as const) {
          const asked = yield* Deferred.make<void>()
          const silent = () => Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never)
          const fiber = yield* Effect.fork(app({ [part]: silent, grantTimeout, timeout: "1 second" }))
          yield* Deferred.await(asked)
          yield* TestClock.adjust(Duration.millis(millis - 1))
          assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)), part)
          yield* TestClock.adjust(Duration.millis(1))
          assert.strictEqual((yield* Fiber.join(fiber)).status, 503, part)
        }
      }
      for (const grantTimeout of [0, -1, "soon" as Duration.DurationInput]) {
        const exit = yield* Effect.exit(app({ grantTimeout }))
        assert.include(String(exit), "test/oauth/Auth: grantTimeout is a positive duration")
      }
    }))

  it.scopedLive("is 503 where the grant throws, or gives claims that are none", () =>
    Effect.gen(function*() {
      const grants: ReadonlyArray<() => Effect.Effect<any>> = [
        () => {
          throw new Error("a bug")
        },
        () => Effect.succeed({ sub: "ada", scope: ["articles:delete"] }),
        () => Effect.succeed({ sub: "ada", scope: "articles:read" }),
        () => Effect.succeed({ sub: "ada" }),
        () => Effect.succeed(undefined)
      ]
      for (const grant of grants) {
        yield* onEvery({ grant }, (server, label) => Effect.map(ask(server), (reply) => assertOutage(reply, label)))
      }
    }))

  it.scopedLive("of the keys is 503, and a password that is wrong is so all the same", () =>
    Effect.gen(function*() {
      const ring = breakable()
      yield* onEvery({ timeout: "50 millis" }, (server, label) =>
        Effect.gen(function*() {
          for (const [part, outcome] of [["sign", Effect.fail("down")], ["sign", Effect.never]] as const) {
            ring.state[part] = outcome
            assertOutage(yield* ask(server), label)
            assertError(yield* ask(server, { ...good, password: "wrong" }), "invalid_grant", label)
          }
          ring.state.sign = Effect.void
          granted(yield* ask(server), label)
        }), ring.layer)
    }))

  it.scopedLive("is none where the grant says that there were too many attempts: 429, and when to come back", () =>
    onEvery(
      { grant: () => Effect.fail(new SecurityError.TooManyAttempts({ retryAfter: 17 })) },
      (server, label) =>
        Effect.gen(function*() {
          const reply = yield* ask(server)
          assert.strictEqual(reply.status, 429, label)
          assert.deepInclude(reply.headers, { "retry-after": "17", "cache-control": "no-store" }, label)
          assert.strictEqual(JSON.parse(reply.body)._tag, "TooManyAttempts", label)
        })
    ))

  it.scopedLive("is none where the grant refuses, by either failure: invalid_grant", () =>
    Effect.forEach([new SecurityError.NotAuthorized(), new SecurityError.PermissionDenied()], (failure) =>
      onEvery(
        { grant: () => Effect.fail(failure) },
        (server, label) => Effect.map(ask(server), (reply) => assertError(reply, "invalid_grant", label))
      )))
})

// -----------------------------------------------------------------------------
// Bodies
// -----------------------------------------------------------------------------

describe("a body", () => {
  it.scopedLive("of 16 KiB is read, and one byte more is 413, declared or sent", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        const upTo = (size: number) => `${form(good)}&x=${"x".repeat(size - form(good).length - 3)}`
        granted(yield* ask(server, upTo(16_384)), label)
        assert.strictEqual((yield* ask(server, upTo(16_385))).status, 413, label)
        const chunk = upTo(16_385)
        const reply = yield* server.raw(
          requestText("/token", {
            method: "POST",
            headers: { "content-type": formType, "transfer-encoding": "chunked" }
          }) + `${chunk.length.toString(16)}\r\n${chunk}\r\n0\r\n\r\n`
        )
        assert.strictEqual(reply.status, 413, label)
      })))

  it.effect("that is not there after 10 seconds is 408", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const pull = () => Effect.runSync(Effect.asVoid(Deferred.succeed(asked, undefined)))
      const handler = yield* Effect.runtime<any>()
      const body = new ReadableStream({ pull }, { highWaterMark: 0 })
      const request = new Request("http://localhost/token", {
        method: "POST",
        headers: { "content-type": formType },
        body,
        duplex: "half"
      } as RequestInit)
      const app = OAuth2PasswordBearer.token(Auth).pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request))
      )
      const fiber = yield* Effect.fork(Effect.provide(app, handler))
      yield* Deferred.await(asked)
      yield* TestClock.adjust(Duration.millis(9_999))
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust(Duration.millis(1))
      assert.strictEqual((yield* Fiber.join(fiber)).status, 408)
    }).pipe(Effect.provide(live())))

  it.scopedLive("whose client leaves in the middle is nobody's password, and the server goes on", () =>
    Effect.gen(function*() {
      let grants = 0
      yield* onEvery({
        grant: (asked) => Effect.zipRight(Effect.sync(() => grants++), grant(asked))
      }, (server, label) =>
        Effect.gen(function*() {
          const whole = requestText("/token", {
            method: "POST",
            headers: { "content-type": formType, "content-length": "1000" },
            body: form(good)
          })
          const connection = yield* server.connect(whole)
          yield* connection.abort
          yield* server.abandoned
          assert.strictEqual(grants, 0, label)
          granted(yield* ask(server), label)
          grants = 0
        }))
    }))

  it.scopedLive("is a form behind a RequestBody that accepts JSON alone, with a limit and a reading of its own", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const server = yield* serve(
          surface,
          routes,
          live() as Layer.Layer<any>,
          RequestBody.middleware as any
        )
        granted(yield* ask(server), label)
        assertError(yield* ask(server, { ...good, password: "wrong" }), "invalid_grant", label)
        assertError(yield* ask(server, form(good), { "content-type": "application/json" }), "invalid_request", label)
        assert.strictEqual((yield* ask(server, `x=${"x".repeat(20_000)}`)).status, 413, label)
      })))

  it.scopedLive("is read behind the gate that leaves the endpoint out, and everything else is closed", () =>
    Effect.gen(function*() {
      const router = HttpRouter.empty.pipe(
        HttpRouter.post("/token", OAuth2PasswordBearer.token(Auth)),
        HttpRouter.get("/open", done)
      )
      const server = yield* listen(
        Layer.suspend(() => routers.HttpApp.node([], () => Auth.middleware(router) as any)),
        live({ exclude: ["POST /token"] })
      )
      assert.strictEqual((yield* server.send("/open")).status, 401)
      const { access_token } = granted(yield* ask(server))
      assert.strictEqual((yield* server.send("/open", bearer(access_token))).status, 200)
      assertError(yield* ask(server, { ...good, password: "wrong" }), "invalid_grant")
    }))
})

// -----------------------------------------------------------------------------
// Accounts
// -----------------------------------------------------------------------------

/** As the documentation has it: a user repository, and hashes. */
const accounts = {
  grant: ({ password, scope, username }: Grant) =>
    Effect.map(
      Credentials.verify(Users, { login: username, password: Password.fromRedacted(password) }),
      ({ user }): Claims => ({ sub: user.id, scope: Option.getOrElse(scope, () => []) })
    )
}

describe("passwords of accounts", () => {
  const served = (hasher: Layer.Layer<any>) =>
    Effect.gen(function*() {
      const context = yield* Layer.build(Layer.merge(Users.layerMemory, hasher))
      yield* Credentials.register(Users, { user: user("1", "ada@example.com"), password: newPassword(right) }).pipe(
        Effect.provide(context as Context.Context<any>)
      )
      const server = yield* onNode(
        "HttpRouter",
        routes,
        (live(accounts) as Layer.Layer<any>).pipe(Layer.provide(Layer.succeedContext(context)))
      )
      return { context, ask: (fields: object) => ask(server, { ...good, username: "ada@example.com", ...fields }) }
    })

  it.scopedLive("cost the same work for an unknown user as for a wrong password, and the answers are the same", () =>
    Effect.gen(function*() {
      const { ask, context } = yield* served(layerSpy)
      const calls = Context.get(context as Context.Context<Calls>, Calls)
      const made = Ref.getAndSet(calls, [])
      assert.deepStrictEqual(yield* made, ["hash"])
      assert.strictEqual(partsOf(granted(yield* ask({})).access_token).claims["sub"], "1")
      assert.deepStrictEqual(yield* made, ["verify"])
      for (
        const fields of [
          { password: "wrong horse" },
          { username: "nobody@example.com" },
          { username: "not a login \u0000" },
          { password: "\ufffd".repeat(1_500) }
        ]
      ) {
        assertError(yield* ask(fields), "invalid_grant")
        assert.deepStrictEqual(yield* made, ["verify"], JSON.stringify(fields))
      }
      // Nothing is hashed for whoever does not even ask in a good way.
      assertError(yield* ask({ scope: "admin" }), "invalid_scope")
      assertError(yield* ask({ client_secret: secret }), "invalid_client")
      assert.deepStrictEqual(yield* made, [])
    }))

  it.scopedLive("are verified with scrypt", () =>
    Effect.gen(function*() {
      const { ask } = yield* served(PasswordHasherScrypt.layer as Layer.Layer<any>)
      granted(yield* ask({}))
      assertError(yield* ask({ password: "wrong horse" }), "invalid_grant")
    }))
})

// -----------------------------------------------------------------------------
// What nobody sees
// -----------------------------------------------------------------------------

describe("the password, the secret of the client and the token", () => {
  it.effect("are in no log, at no level, and in no span, whatever becomes of the request", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const lines: Array<string> = []
      const spans: Array<unknown> = []
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          spans.push(name)
          return {
            _tag: "Span",
            name,
            spanId: "1",
            traceId: "1",
            parent,
            context,
            status: { _tag: "Started", startTime },
            attributes,
            links,
            sampled: true,
            kind,
            attribute: (key, value) => void spans.push([key, value]),
            event: (name, _, attributes) => void spans.push([name, attributes]),
            end: (_, exit) => void spans.push(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "ended"),
            addLinks: () => undefined
          }
        },
        context: (f) => f()
      })
      const outcomes: ReadonlyArray<Options> = [
        { client: () => Effect.succeed(true) },
        {},
        { client: () => Effect.fail("down") },
        { client: () => Effect.succeed(true), grant: () => Effect.fail("down") },
        { client: () => Effect.succeed(true), grant: () => Effect.die("a bug") },
        { client: () => Effect.succeed(true), grant: () => Effect.succeed(undefined as any) },
        { client: () => Effect.succeed(true), grant: () => Effect.fail(new SecurityError.NotAuthorized()) }
      ]
      const statuses: Array<number> = []
      const tokens: Array<string> = []
      for (const options of outcomes) {
        for (const headers of [basic(`cli:${secret}`), {}]) {
          const handler = Effect.zipLeft(
            OAuth2PasswordBearer.token(Auth),
            Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => Effect.logInfo("a request", request))
          )
          const runtime = Layer.mergeAll(live({ ...options, spans: true }), logsTo(lines))
          const app = Effect.provideService(
            handler,
            HttpServerRequest.HttpServerRequest,
            HttpServerRequest.fromWeb(
              new Request("http://localhost/token", {
                method: "POST",
                headers: { "content-type": formType, ...headers },
                body: form("authorization" in headers ? good : inForm("cli", secret))
              })
            )
          ).pipe(Effect.withSpan("request"), Effect.provide(runtime), Effect.withTracer(tracer))
          const response = yield* Logger.withMinimumLogLevel(app, LogLevel.All)
          statuses.push(response.status)
          if (response.status === 200 && response.body._tag === "Uint8Array") {
            tokens.push(JSON.parse(new TextDecoder().decode(response.body.body)).access_token)
          }
        }
      }
      assert.deepStrictEqual(statuses, [200, 200, 401, 401, 503, 503, 503, 503, 503, 503, 503, 503, 400, 400])
      assert.lengthOf(tokens, 2)
      const everything = JSON.stringify([lines, spans])
      assert.include(everything, "a request")
      assert.include(everything, "request")
      for (const hidden of [right, form({ "": right }).slice(1), secret, ...tokens, btoa(`cli:${secret}`)]) {
        assert.notInclude(everything, hidden)
      }
    }))
})

// -----------------------------------------------------------------------------
// Derived clients
// -----------------------------------------------------------------------------

describe("a client derived from the endpoint of an HttpApi", () => {
  const call = (server: Server, payload: object) =>
    HttpApiClient.make(Api, { baseUrl: server.baseUrl }).pipe(
      Effect.flatMap((client) =>
        client.auth.token({ payload: payload as typeof OAuth2PasswordBearer.TokenRequest.Type })
      ),
      Effect.provide(FetchHttpClient.layer)
    )

  it.scopedLive("sends the form and decodes the token", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        const answer = yield* call(server, { ...good, scope: "articles:read articles:write" })
        assert.instanceOf(answer, OAuth2PasswordBearer.TokenResponse, label)
        assert.deepInclude(answer, {
          token_type: "Bearer",
          expires_in: 900,
          scope: "articles:read articles:write"
        }, label)
        assert.strictEqual((yield* server.send("/write", bearer(answer.access_token))).status, 200, label)
      })))

  it.scopedLive("decodes every error, that of a client as well, which is a 401", () =>
    onEvery({}, (server, label) =>
      Effect.gen(function*() {
        for (
          const [fields, error] of [
            [{ username: "" }, "invalid_request"],
            [{ client_id: "cli", client_secret: secret }, "invalid_client"],
            [{ password: "wrong" }, "invalid_grant"],
            [{ scope: "admin" }, "invalid_scope"]
          ] as const
        ) {
          const failure = yield* Effect.flip(call(server, { ...good, ...fields }))
          assert.instanceOf(failure, OAuth2PasswordBearer.TokenError, `${label} ${error}: ${failure}`)
          assert.deepInclude(failure, { error }, label)
        }
      })))

  it.scopedLive("decodes an outage, and that there were too many attempts", () =>
    Effect.gen(function*() {
      for (
        const failure of [
          new SecurityError.TooManyAttempts({ retryAfter: 9 }),
          new SecurityError.SecurityUnavailable({ retryAfter: 3 })
        ]
      ) {
        yield* onEvery({ grant: () => Effect.fail(failure) }, (server, label) =>
          Effect.gen(function*() {
            const found = yield* Effect.flip(call(server, good))
            assert.deepInclude(found, { _tag: failure._tag, retryAfter: failure.retryAfter }, `${label}: ${found}`)
          }))
      }
    }))
})

// -----------------------------------------------------------------------------
// Whatever comes
// -----------------------------------------------------------------------------

describe("whatever bytes come as the body", () => {
  const key = oneOf(
    ["grant_type", "username", "password", "scope", "client_id", "client_secret", "__proto__", "constructor", ""],
    "x"
  )
  const value = FastCheck.oneof(
    oneOf(
      "password",
      "ada",
      "wrong",
      "articles:read",
      "articles%3Awrite",
      "",
      "%",
      "%ff",
      "%c3%a9",
      "+",
      "%00",
      "\xff"
    ),
    FastCheck.string({ unit: anyByte, maxLength: 10 })
  )
  const pairs = FastCheck.array(FastCheck.tuple(key, value).map((pair) => pair.join("=")), { maxLength: 8 })
  const near = "grant_type=password&username=ada&password=wrong"
  const often = <A>(arbitrary: FastCheck.Arbitrary<A>) => ({ weight: 8, arbitrary })
  const body = FastCheck.oneof(
    often(pairs.map((all) => all.join("&"))),
    often(pairs.map((all) => [near, ...all].join("&"))),
    often(
      FastCheck.tuple(FastCheck.nat(), FastCheck.nat(4), FastCheck.string({ unit: anyByte, maxLength: 4 })).map(
        ([at, removed, text]) => splice(`${near}&client_secret=s`, at, removed, text)
      )
    ),
    often(oneOf(near, `${near}&scope=articles:read`, `${near}&client_secret=s`)),
    often(FastCheck.string({ unit: anyByte, maxLength: 200 })),
    FastCheck.constant(`${near}&x=${"x".repeat(17_000)}`)
  )
  const type = FastCheck.oneof(
    { weight: 6, arbitrary: FastCheck.constant<ReadonlyArray<string>>([formType]) },
    few(oneOf("application/json", "text/plain", `${formType}; charset=latin1`, ";", "/", "multipart/form-data"))
  )
  const authorization = FastCheck.oneof(
    { weight: 4, arbitrary: FastCheck.constant<ReadonlyArray<string>>([]) },
    few(oneOf("Basic Og==", "Basic", "Basic YTpi", "Basic /w==", "Bearer x", "Basic JTpi", "Digest"))
  )

  const worlds: Readonly<Record<string, (count: () => void) => Effect.Effect<NodeServer, never, Scope.Scope>>> = {
    HttpRouter: (count) => onNode("HttpRouter", routes, counted(count)),
    HttpApi: (count) =>
      Effect.map(
        bothApis(Api, ApiHandlers as Layer.Layer<any, never, any>, counted(count)),
        ({ HttpApiBuilder }) => HttpApiBuilder
      )
  }
  /** The right password is not among what is generated. */
  const counted = (count: () => void) =>
    live({ grant: (asked) => Effect.zipRight(Effect.sync(count), grant(asked)) }) as Layer.Layer<any>

  for (const [router, make] of Object.entries(worlds)) {
    it.scopedLive(`the answer is no 5xx and no token, on ${router}`, () =>
      Effect.gen(function*() {
        let grants = 0
        let sent = 0
        const server = yield* make(() => grants++)
        const client = yield* RawHttp.make(server.port)
        const { access_token } = granted(yield* ask(server))
        const world: World = {
          client,
          reached: () => sent,
          logs: server.logs,
          credential: ["Authorization", `Bearer ${access_token}`],
          path: "/me",
          secret: "ada",
          state: Effect.void
        }
        grants = 0
        const tally = yield* everyCase(
          world,
          0.9,
          FastCheck.record({ body, type, authorization }),
          ({ authorization, body, type }) =>
            client.send({
              method: "POST",
              target: "/token",
              headers: [
                host,
                ...type.map((value): Header => ["Content-Type", value]),
                ...authorization.map((value): Header => ["Authorization", value])
              ],
              body: Buffer.from(body, "latin1")
            }).pipe(
              Effect.tap((reply) =>
                Effect.sync(() => {
                  sent++
                  assertStatus(reply, [400, 401, 413])
                  assert.notInclude(reply.body, "access_token")
                  if (reply.status !== 413) {
                    assert.include([...Object.keys(errors), "invalid_client"], JSON.parse(reply.body).error, reply.body)
                  }
                })
              )
            )
        )
        assertShare(tally, 400, 0.3)
        assertShare(tally, 401, 0.02)
        assertShare(tally, 413, 0.005)
        assert.isAbove(grants, 50, "many came as far as the password")
      }), limit)
  }
})
