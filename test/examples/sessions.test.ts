import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import * as HttpRouterExample from "../../examples/http-router.js"
import * as JwtExample from "../../examples/jwt.js"
import * as SessionAuthExample from "../../examples/session-auth.js"
import { databaseUrl, freshDatabase, hasSqlite, redisUrl } from "../servers.js"
import * as Client from "./client.js"

const ada = { name: "Ada", email: "ada@example.com", password: "correct horse" }
const json = { "content-type": "application/json" }

const sessions = {
  credential: "cookie",
  scheme: { type: "apiKey", in: "cookie", name: "session", description: "Session cookie authentication." },
  maxAge: 2592000,
  shape: /^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/,
  endsWithLogout: true
} as const

const tokens = {
  maxAge: 3600,
  shape: /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/,
  // Nothing on the server ends a token.
  endsWithLogout: false
} as const

/** With these settings, as the environment would have them. */
const configured = <A, E, R>(program: Layer.Layer<A, E, R>, settings: Record<string, string>) =>
  Layer.provide(program, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(settings)))))

const jwt = (settings: Record<string, string>) => Effect.succeed(configured(JwtExample.Program, settings))

const sessionAuth = (settings: Record<string, string>) => configured(SessionAuthExample.Program, settings)

const stored = (store: string, settings: Record<string, string> = {}) => ({
  name: `examples/session-auth.ts with SESSION_STORE=${store}`,
  program: Effect.succeed(sessionAuth({ SESSION_STORE: store, ...settings })),
  ...sessions
})

const programs = [
  { name: "examples/session-auth.ts", program: Effect.succeed(sessionAuth({})), ...sessions },
  { name: "examples/http-router.ts", program: Effect.succeed(HttpRouterExample.Program), ...sessions },
  stored("memory"),
  stored("file"),
  {
    ...stored("cookie"),
    shape: /^1\.[A-Za-z0-9_-]+$/,
    // Nothing on the server ends a cookie that somebody copied.
    endsWithLogout: false
  },
  ...(hasSqlite ? [stored("sqlite")] : []),
  ...(redisUrl === undefined ? [] : [stored("redis", { REDIS_URL: redisUrl })]),
  ...(databaseUrl === undefined ? [] : [{
    ...stored("postgres"),
    program: Effect.map(freshDatabase, (url) => sessionAuth({ SESSION_STORE: "postgres", DATABASE_URL: url }))
  }]),
  {
    name: "examples/jwt.ts with AUTH=bearer",
    program: jwt({ AUTH: "bearer" }),
    ...tokens,
    credential: "bearer",
    scheme: {
      type: "http",
      scheme: "bearer",
      bearerFormat: "JWT",
      description: "A JSON Web Token in the Authorization header."
    }
  },
  {
    name: "examples/jwt.ts with AUTH=cookie",
    program: jwt({ AUTH: "cookie" }),
    ...tokens,
    credential: "cookie",
    scheme: { type: "apiKey", in: "cookie", name: "session", description: "A JSON Web Token in a cookie." }
  }
] as const

/** What a client holds, whatever carries it. */
const credentialOf = (client: Client.Client) => client.cookies.get("session") ?? client.bearer()

/** The header by which somebody presents a credential that was copied. */
const present = (credential: "cookie" | "bearer", value: string): Record<string, string> =>
  credential === "cookie" ? { cookie: `session=${value}` } : { authorization: `Bearer ${value}` }

describe.each(programs)("$name", ({ credential, endsWithLogout, maxAge, program, scheme, shape }) => {
  const withClient = <A, E>(f: (client: Client.Client, url: string) => Effect.Effect<A, E>) =>
    Effect.scoped(Effect.flatMap(Effect.flatMap(program, Client.serve), (url) => f(Client.make(url), url)))

  it.live("a person signs up, reads /user, logs out, and logs in again", () =>
    withClient((client) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* client.send("GET", "/user")).status, 401)

        const signedUp = yield* client.send("POST", "/signup", { json: ada })
        assert.strictEqual(signedUp.status, 201)
        assert.deepStrictEqual(Object.keys(signedUp.json()).sort(), ["email", "id", "name"])
        const first = credentialOf(client)!
        assert.match(first, shape)
        assert.deepStrictEqual(
          signedUp.headers.getSetCookie(),
          credential === "cookie" ? [`session=${first}; Max-Age=${maxAge}; Path=/; HttpOnly; SameSite=Lax`] : []
        )
        assert.strictEqual(signedUp.headers.get("authorization"), credential === "bearer" ? `Bearer ${first}` : null)
        assert.notInclude(signedUp.text, first)

        const user = yield* client.send("GET", "/user")
        assert.strictEqual(user.status, 200)
        assert.deepStrictEqual(user.json(), signedUp.json())
        assert.strictEqual(user.headers.get("cache-control"), "no-store")

        const loggedOut = yield* client.send("POST", "/logout")
        assert.strictEqual(loggedOut.status, 204)
        assert.deepStrictEqual(
          loggedOut.headers.getSetCookie(),
          credential === "cookie"
            ? ["session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax"]
            : []
        )
        client.forget()
        assert.strictEqual((yield* client.send("GET", "/user")).status, 401)
        assert.strictEqual(
          (yield* client.send("GET", "/user", { headers: present(credential, first) })).status,
          endsWithLogout ? 401 : 200
        )

        const loggedIn = yield* client.send("POST", "/login", {
          json: { email: "ADA@example.com", password: ada.password }
        })
        assert.strictEqual(loggedIn.status, 201)
        assert.notStrictEqual(credentialOf(client), first)
        assert.deepStrictEqual((yield* client.send("GET", "/user")).json(), signedUp.json())
      })
    ))

  it.live("logging out without a session succeeds", () =>
    withClient((client) =>
      Effect.map(client.send("POST", "/logout"), (answer) => assert.strictEqual(answer.status, 204))
    ))

  it.live("a login that is taken, in any case of letters, is 409 and signs nobody in", () =>
    withClient((client, url) =>
      Effect.gen(function*() {
        yield* client.send("POST", "/signup", { json: ada })
        const other = Client.make(url)
        const taken = yield* other.send("POST", "/signup", { json: { ...ada, email: "Ada@Example.com" } })
        assert.strictEqual(taken.status, 409)
        assert.strictEqual(taken.json()._tag, "LoginTaken")
        assert.isUndefined(credentialOf(other))
      })
    ))

  it.live("an unknown login and a wrong password get the same answer", () =>
    withClient((client, url) =>
      Effect.gen(function*() {
        yield* client.send("POST", "/signup", { json: ada })
        const stranger = Client.make(url)
        const answer = (body: unknown) =>
          Effect.map(stranger.send("POST", "/login", { json: body }), ({ headers, status, text }) => ({
            status,
            text,
            headers: [...headers].filter(([name]) => name !== "date")
          }))
        const wrong = yield* answer({ email: ada.email, password: "wrong" })
        assert.strictEqual(wrong.status, 401)
        assert.deepStrictEqual(yield* answer({ email: "nobody@example.com", password: "wrong" }), wrong)
        assert.deepStrictEqual(yield* answer({ email: "\u212b\u0130", password: ada.password }), wrong)
        assert.deepStrictEqual(yield* answer({ email: ada.email, password: "x".repeat(5_000) }), wrong)
        assert.include(JSON.stringify(wrong.headers), "www-authenticate")
        assert.isUndefined(credentialOf(stranger))
      })
    ))

  it.live("every bad body is a problem with the right status that repeats no password and stores nothing", () =>
    withClient((client, url) =>
      Effect.gen(function*() {
        const bad: ReadonlyArray<
          readonly [status: number, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>]
        > = [
          [400, "{\"password\":\"hunter2-secret\"", json],
          [400, "\"hunter2-secret\"", json],
          [400, JSON.stringify({ ...ada, password: 1234567890 }), json],
          [400, JSON.stringify({ ...ada, password: "short" }), json],
          [400, JSON.stringify({ ...ada, name: 5, password: "hunter2-secret" }), json],
          [400, "{\"name\":\"\\ud800\",\"email\":\"a@b\",\"password\":\"hunter2-secret\"}", json],
          [400, new Uint8Array([0x22, 0xff, 0x22]), json],
          [400, "[".repeat(100_000), json],
          [413, `"${"x".repeat(300_000)}"`, json],
          [415, JSON.stringify(ada), { "content-type": "text/plain" }],
          [415, JSON.stringify(ada), { "content-type": "multipart/form-data" }],
          [415, "--x\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\nAd", {
            "content-type": "multipart/form-data; boundary=x"
          }],
          [415, "name=Ada", { "content-type": "application/x-www-form-urlencoded" }]
        ]
        for (const path of ["/signup", "/login"]) {
          for (const [status, body, headers] of bad) {
            if (
              path === "/login" && typeof body === "string" && (body.includes("short") || body.includes("\"name\":5"))
            ) {
              continue
            }
            const answer = yield* client.send("POST", path, { body, headers })
            assert.strictEqual(answer.status, status, `${path} ${String(body).slice(0, 60)}`)
            assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
            assert.notInclude(answer.text, "hunter2")
            assert.notInclude(answer.text, "1234567890")
          }
        }
        assert.isUndefined(credentialOf(client))
        assert.strictEqual((yield* Client.make(url).send("POST", "/signup", { json: ada })).status, 201)
      })
    ))

  it.live("unknown keys of a body, __proto__ among them, are ignored", () =>
    withClient((client) =>
      Effect.gen(function*() {
        const body = JSON.stringify(ada).replace("{", "{\"__proto__\":{\"admin\":true},\"constructor\":1,\"id\":\"x\",")
        const answer = yield* client.send("POST", "/signup", { body, headers: json })
        assert.strictEqual(answer.status, 201)
        assert.deepStrictEqual(Object.keys(answer.json()).sort(), ["email", "id", "name"])
        assert.isUndefined(({} as any).admin)
      })
    ))

  it.live("another site can neither sign a person in nor out, whatever the content type", () =>
    withClient((client, url) =>
      Effect.gen(function*() {
        yield* client.send("POST", "/signup", { json: ada })
        const held = credentialOf(client)
        // A browser sends a cookie by itself, and a token in a header to nobody.
        const browser = credential === "cookie" ? client : Client.make(url)
        const refused = credential === "cookie" ? 403 : undefined
        const foreign = [
          { origin: "https://evil.example" },
          { origin: "null" },
          { "sec-fetch-site": "cross-site" },
          { "sec-fetch-site": "same-site" }
        ]
        for (const headers of foreign) {
          const out = yield* browser.send("POST", "/logout", {
            body: "x",
            headers: { ...headers, "content-type": "text/plain" }
          })
          assert.strictEqual(out.status, refused ?? 204)
          assert.isFalse(out.headers.has("set-cookie"))
          const login = { email: ada.email, password: ada.password }
          const answer = yield* browser.send("POST", "/login", { json: login, headers })
          assert.strictEqual(answer.status, refused ?? 201)
          assert.isFalse(answer.headers.has("set-cookie"))
          // Without CORS no script of another site reads a response, nor a token in it.
          assert.isFalse(answer.headers.has("access-control-allow-origin"))
          assert.isFalse(answer.headers.has("access-control-expose-headers"))
        }
        assert.strictEqual(credentialOf(client), held)
        assert.strictEqual((yield* client.send("GET", "/user")).status, 200)
      })
    ))

  it.live("the API page loads nothing from another host, and the document names the credential in force", () =>
    withClient((client) =>
      Effect.gen(function*() {
        const page = yield* client.send("GET", "/schema")
        assert.strictEqual(page.status, 200)
        assert.match(page.headers.get("content-type")!, /^text\/html/)
        assert.notMatch(page.text, /(?:src|href)\s*=\s*["']?(?:https?:)?\/\//i)

        // Swagger's page is given the document itself: with an address it would ask a validator on the network.
        assert.notMatch(page.text, /@import\s+["'u]|[^\w.]import\(\s*["'`]https?:/)
        if (page.text.includes("SwaggerUIBundle({")) {
          assert.match(page.text, /SwaggerUIBundle\(\{\s*spec: JSON\.parse\(.*\),\s*dom_id: '#swagger-ui',\s*\}\)/)
        }

        const { components, paths, security } = (yield* client.send("GET", "/schema/openapi.json")).json()
        assert.deepStrictEqual(components.securitySchemes, {
          sessionCookie: scheme
        })
        assert.deepStrictEqual(security, [])
        const secured = Object.entries<any>(paths).filter(([, item]) =>
          Object.values<any>(item).some((operation) => operation.security.length > 0)
        )
        assert.deepStrictEqual(secured.map(([path]) => path), ["/user"])
        assert.deepStrictEqual(paths["/user"].get.security, [{ sessionCookie: [] }])
        for (const status of ["401", "403", "503"]) {
          assert.deepStrictEqual(Object.keys(paths["/user"].get.responses[status].content), [
            "application/problem+json"
          ])
        }
        assert.isTrue(Object.keys(components.schemas).every((name) => /^[A-Za-z0-9._-]+$/.test(name)))
      })
    ))
})
