// What the tests of applications rely on.
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApp,
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, Schema } from "effect"
import { Password, SecurityError, Session, SessionAuth, SessionToken, UserRepository } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { BearerAuth } from "./edge/fixtures.js"
import { Auth, CurrentUser, granted, live, memory, records, retrieveUser, send } from "./session/fixtures.js"

const grace = { id: "grace" }
const whoami = Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id))

type Handler = (request: Request) => Promise<Response>

const call = (handler: Handler, path = "/me", init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await handler(new Request(`https://app.example.com${path}`, init))
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

const disposing = (make: () => { readonly handler: Handler; readonly dispose: () => Promise<void> }) =>
  Effect.map(
    Effect.acquireRelease(Effect.sync(make), ({ dispose }) => Effect.promise(dispose)),
    ({ handler }) => handler
  )

// -----------------------------------------------------------------------------
// layerAs
// -----------------------------------------------------------------------------

const api = HttpApi.make("api").add(
  HttpApiGroup.make("group").add(HttpApiEndpoint.get("me", "/me").addSuccess(Schema.String).middleware(Auth))
)
const ApiLive = Layer.provide(
  HttpApiBuilder.api(api),
  HttpApiBuilder.group(api, "group", (handlers) => handlers.handleRaw("me", () => whoami))
)
const router = HttpRouter.empty.pipe(HttpRouter.get("/me", Auth.protect(whoami)))

const serving: Record<string, (layer: Layer.Layer<Auth>) => { handler: Handler; dispose: () => Promise<void> }> = {
  "an HttpApp": (layer) => HttpApp.toWebHandlerLayer(Auth.protect(whoami), layer),
  "an HttpRouter": (layer) => HttpApp.toWebHandlerLayer(router, layer),
  "a router that uses protect": (layer) =>
    HttpApp.toWebHandlerLayer(
      HttpRouter.empty.pipe(HttpRouter.get("/me", whoami), HttpRouter.use(Auth.protect)),
      layer
    ),
  "the gate": (layer) =>
    HttpApp.toWebHandlerLayer(
      HttpRouter.empty.pipe(
        HttpRouter.get("/me", Effect.map(Auth.user, ({ id }) => HttpServerResponse.text(id))),
        Auth.middleware
      ),
      layer
    ),
  "an HttpApi": (layer) =>
    HttpApiBuilder.toWebHandler(Layer.mergeAll(Layer.provide(ApiLive, layer), HttpServer.layerContext)),
  "an HttpLayerRouter": (layer) =>
    HttpLayerRouter.toWebHandler(
      HttpLayerRouter.add("GET", "/me", whoami).pipe(
        Layer.provide(Auth.layerMiddleware),
        Layer.provide(layer)
      ),
      { disableLogger: true }
    ) as any
}

describe("layerAs", () => {
  for (const [title, serve] of Object.entries(serving)) {
    it.scoped(`makes every request one of the user, on ${title}, in a private response`, () =>
      Effect.gen(function*() {
        const handler = yield* disposing(() => serve(SecurityTest.layerAs(Auth, grace)))
        const inits: ReadonlyArray<RequestInit> = [
          {},
          { headers: { cookie: "__Host-session=nonsense" } },
          { headers: { cookie: "__Host-session=a; __Host-session=b", "sec-fetch-site": "cross-site" } }
        ]
        for (const init of inits) {
          const response = yield* call(handler, "/me", init)
          assert.deepStrictEqual([response.status, response.body], [200, "grace"])
          assert.strictEqual(response.headers.get("cache-control"), "no-store")
        }
      }))
  }

  it.effect("stands for a backend of any kind", () =>
    Effect.gen(function*() {
      const reply = yield* send(BearerAuth.protect(whoami))
      assert.deepStrictEqual([reply.status, reply.body], [200, "grace"])
      assert.deepStrictEqual(
        Exit.getOrElse((yield* send(BearerAuth.userOption)).exit, Cause.squash),
        Option.some(grace)
      )
    }).pipe(Effect.provide(SecurityTest.layerAs(BearerAuth, grace))))

  it.effect("gives auth where it was given", () =>
    Effect.gen(function*() {
      const session = yield* send(Auth.session)
      assert.deepStrictEqual(Exit.getOrElse(session.exit, Cause.squash), { userId: "grace", cart: ["tea"] })
      const both = yield* send(Effect.map(Auth.authenticated, ({ auth, user }) => ({ auth, user })))
      assert.deepStrictEqual(Exit.getOrElse(both.exit, Cause.squash), {
        auth: { userId: "grace", cart: ["tea"] },
        user: grace
      })
    }).pipe(Effect.provide(SecurityTest.layerAs(Auth, grace, { auth: { userId: "grace", cart: ["tea"] } }))))

  it.effect("dies with a sentence that names the Tag where auth was not given and is read, and nowhere else", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.session)
      assert.strictEqual(reply.status, 500)
      assert.isTrue(Exit.isFailure(reply.exit) && Cause.isDie(reply.exit.cause))
      assert.include(
        String(Exit.isFailure(reply.exit) && Cause.squash(reply.exit.cause)),
        "SecurityTest.layerAs: give `auth`, since something reads it from test/Auth"
      )
      assert.strictEqual((yield* send(Effect.asVoid(Auth.authenticated))).status, 204)
      assert.strictEqual((yield* send(Auth.user)).status, 204)
    }).pipe(Effect.provide(SecurityTest.layerAs(Auth, grace))))

  it.effect("frees no route from the gate, and asks no guard", () =>
    Effect.gen(function*() {
      const routes = yield* Auth.routes(HttpRouter.empty.pipe(HttpRouter.get("/login", HttpServerResponse.empty())))
      assert.deepStrictEqual(routes, [{ method: "GET", path: "/login", protectedBy: ["test/Auth"] }])
      assert.strictEqual((yield* send(Auth.user)).status, 204)
    }).pipe(Effect.provide(
      Layer.mergeAll(
        live({ exclude: ["/login"], guards: [() => new SecurityError.PermissionDenied()] }),
        SecurityTest.layerAs(Auth, grace)
      )
    )))

  it.effect("authenticates behind the backend's own Layer, while its operations work", () =>
    Effect.gen(function*() {
      const login = yield* send(Auth.login({ userId: "ada" }), { method: "POST" })
      const token = granted(login)
      assert.lengthOf(yield* records("ada"), 1)
      // Whoever signed in, the user is the one of the test.
      for (const sent of [{}, { token }]) {
        assert.strictEqual((yield* send(Auth.protect(whoami), sent)).body, "grace")
      }
      yield* send(Auth.logout, { method: "POST", token })
      assert.lengthOf(yield* records("ada"), 0)
    }).pipe(Effect.provide(Layer.mergeAll(live(), SecurityTest.layerAs(Auth, grace)))))

  it.effect("in front of the backend's own Layer does not authenticate", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send(Auth.protect(whoami))).status, 401)
    }).pipe(Effect.provide(Layer.mergeAll(SecurityTest.layerAs(Auth, grace), live()))))
})

// -----------------------------------------------------------------------------
// cookie
// -----------------------------------------------------------------------------

class Cart extends Session.Tag<Cart>()("test/Cart", {
  session: Schema.Struct({ items: Schema.Array(Schema.String) }),
  empty: { items: [] }
}) {}

class Named extends SessionAuth.Tag<Named>()("test/Named", {
  user: CurrentUser,
  session: Schema.Struct({ userId: Schema.String }),
  cookie: { name: "__Secure-named", domain: "example.com" }
}) {}

describe("cookie", () => {
  for (const insecureCookie of [false, true]) {
    const name = (name: string) => insecureCookie ? name : `__Host-${name}`

    it.effect.prop(
      `carries a session of a person, ${insecureCookie ? "in an insecure" : "in a secure"} cookie`,
      [SecurityTest.arbitrarySession(Auth)],
      ([session]) =>
        Effect.gen(function*() {
          const cookie = yield* SecurityTest.cookie(Auth, session)
          assert.match(cookie, new RegExp(`^${name("session")}=[\\w-]{12}\\.[\\w-]{43}$`))
          const reply = yield* send(Auth.session, { headers: { cookie: `theme=dark; ${cookie}` } })
          assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), JSON.parse(JSON.stringify(session)))
          assert.deepStrictEqual(reply.setCookie, [])
          assert.strictEqual((yield* send(Auth.logout, { method: "POST", headers: { cookie } })).status, 204)
          assert.strictEqual((yield* send(Auth.session, { headers: { cookie } })).status, 401)
        }).pipe(
          Effect.provide(live({ insecureCookie, retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId }) }))
        ),
      { fastCheck: { numRuns: 20 } }
    )

    it.effect.prop(
      `carries a session without a user, ${insecureCookie ? "in an insecure" : "in a secure"} cookie`,
      [SecurityTest.arbitrarySession(Cart)],
      ([session]) =>
        Effect.gen(function*() {
          const cookie = yield* SecurityTest.cookie(Cart, session)
          assert.match(cookie, new RegExp(`^${name("Cart")}=[\\w-]{12}\\.[\\w-]{43}$`))
          const reply = yield* send(Cart.session, { headers: { cookie } })
          assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), session)
          assert.deepStrictEqual(reply.setCookie, [])
        }).pipe(Effect.provide(Layer.provide(Cart.layer({ insecureCookie }), memory))),
      { fastCheck: { numRuns: 20 } }
    )

    it.effect(`has the name that the Tag gives it, ${insecureCookie ? "without" : "with"} its prefix`, () =>
      Effect.gen(function*() {
        const cookie = yield* SecurityTest.cookie(Named, { userId: "ada" })
        assert.strictEqual(cookie.split("=")[0], insecureCookie ? "named" : "__Secure-named")
        assert.strictEqual((yield* send(Named.user, { headers: { cookie } })).status, 204)
      }).pipe(Effect.provide(Layer.provide(Named.layer({ insecureCookie, retrieveUser }), memory))))
  }

  it.effect("begins a session each time, and is refused by a Layer that knows another name", () =>
    Effect.gen(function*() {
      const cookies = [
        yield* SecurityTest.cookie(Auth, { userId: "ada" }),
        yield* SecurityTest.cookie(Auth, { userId: "ada" })
      ]
      assert.notStrictEqual(cookies[0], cookies[1])
      assert.lengthOf(yield* records("ada"), 2)
      const cookie = cookies[0]!.replace("__Host-", "")
      assert.strictEqual((yield* send(Auth.user, { headers: { cookie } })).status, 401)
    }).pipe(Effect.provide(live())))

  it.effect("dies where the session cannot begin", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(SecurityTest.cookie(Auth, { userId: "ada", cart: ["x".repeat(20_000)] }))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Arbitraries
// -----------------------------------------------------------------------------

class Person extends Schema.Class<Person>("Person")({
  id: Schema.UUID,
  email: Schema.NonEmptyString,
  born: Schema.Date,
  nick: Schema.optionalWith(Schema.String, { as: "Option" })
}) {}

class People extends UserRepository.Tag<People>()("test/People", { user: Person, id: "id", login: "email" }) {}

class RichAuth extends SessionAuth.Tag<RichAuth>()("test/RichAuth", {
  user: CurrentUser,
  session: Schema.Struct({
    userId: Schema.UUID,
    role: Schema.Literal("admin", "user"),
    since: Schema.Date,
    seen: Schema.Map({ key: Schema.String, value: Schema.Int }),
    note: Schema.optionalWith(Schema.String, { as: "Option" })
  })
}) {}

const assertRoundTrip = <A, I>(schema: Schema.Schema<A, I>, value: A) => {
  assert.isTrue(Schema.is(schema)(value))
  const text = JSON.stringify(Schema.encodeSync(schema)(value))
  assert.isTrue(Schema.equivalence(schema)(Schema.decodeUnknownSync(schema)(JSON.parse(text)), value))
}

describe("arbitraries", () => {
  it.prop("every token is one", [SecurityTest.arbitraryToken], ([token]) => {
    assert.isTrue(Option.isSome(SessionToken.fromString(token)))
    assert.match(token, /^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/)
  })

  it.prop(
    "no malformed token is one, and each fits into a cookie",
    [SecurityTest.arbitraryMalformedToken],
    ([token]) => {
      assert.isTrue(Option.isNone(SessionToken.fromString(token)))
      assert.match(token, /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/)
    }
  )

  it.effect.prop(
    "no token is known, and no malformed one is taken for one",
    [SecurityTest.arbitraryToken, SecurityTest.arbitraryMalformedToken],
    (tokens) =>
      Effect.forEach(tokens, (token) =>
        Effect.map(send(Auth.user, { token }), (reply) => {
          assert.strictEqual(reply.status, 401)
          assert.deepStrictEqual(reply.setCookie, [])
        }), { discard: true }).pipe(Effect.provide(live())),
    { fastCheck: { numRuns: 20 } }
  )

  it.prop("every password is a new one", [SecurityTest.arbitraryPassword], ([password]) => {
    assert.isTrue(Password.isNewPassword(password))
  })

  it.prop("sessions of a person are what the schema says", [SecurityTest.arbitrarySession(RichAuth)], ([session]) => {
    assertRoundTrip(RichAuth.auth, session)
  })

  it.prop("sessions without a user are what the schema says", [SecurityTest.arbitrarySession(Cart)], ([session]) => {
    assertRoundTrip(Cart.schema, session)
  })

  it.prop("users are what the schema says", [SecurityTest.arbitraryUser(People)], ([user]) => {
    assert.instanceOf(user, Person)
    assertRoundTrip(Person, user)
  })
})
