// What Litestar's tests assert of SessionAuth, of its session middleware and of the helpers for tests.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Schema } from "effect"
import { Session, SessionAuth, SessionStore } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { get, onWeb, post } from "../edge/harness.js"
import {
  Auth,
  CurrentUser,
  granted,
  idOf,
  live,
  memory,
  records,
  retrieveUser,
  send,
  signIn
} from "../session/fixtures.js"

const posting = (token?: string) => ({ method: "POST", token })
const empty = (status: number) => HttpServerResponse.empty({ status })

const Items = Schema.Struct({ items: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }) })

// -----------------------------------------------------------------------------
// The config
// -----------------------------------------------------------------------------

describe("a config that is a Layer", () => {
  class Greeting extends Context.Tag("test/parity/Greeting")<Greeting, string>() {}

  it.scopedLive("gives what it is merged with to every handler, and routes are those of the router (2, 3)", () =>
    Effect.gen(function*() {
      const backend = Layer.provide(Auth.layer({ retrieveUser }), SessionStore.layerMemory)
      const greet = Effect.map(Greeting, HttpServerResponse.text)
      const login = Effect.as(Auth.login({ userId: "ada" }), empty(201))
      const server = yield* onWeb(
        "HttpRouter",
        [post("/login", login), get("/", greet), get("/hello", greet, Auth)],
        Layer.merge(backend, Layer.succeed(Greeting, "hello")) as Layer.Layer<any>
      )
      assert.strictEqual((yield* server.send("/")).body, "hello")
      assert.strictEqual((yield* server.send("/hello")).status, 401)
      const signedIn = yield* server.send("/login", { method: "POST" })
      const cookie = signedIn.setCookies[0]!.split(";")[0]!
      assert.strictEqual((yield* server.send("/hello", { headers: { cookie } })).body, "hello")
    }))
})

// -----------------------------------------------------------------------------
// SessionAuth
// -----------------------------------------------------------------------------

describe("who signs in", () => {
  const handlers = {
    login: (userId: string) => Effect.as(Auth.login({ userId }), empty(201)),
    user: Auth.protect(Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id))),
    logout: Effect.as(Auth.logout, empty(204))
  }

  it.effect("is let in until they sign out: 401, 201, 200, 204, 401 (44 to 48)", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send(handlers.user)).status, 401)
      const login = yield* send(handlers.login("ada"), posting())
      assert.strictEqual(login.status, 201)
      const token = granted(login)
      const user = yield* send(handlers.user, { token })
      assert.deepStrictEqual([user.status, user.body], [200, "ada"])
      assert.strictEqual((yield* send(handlers.logout, { method: "DELETE", token })).status, 204)
      // Also for a browser that kept the cookie.
      assert.deepStrictEqual(
        [(yield* send(handlers.user)).status, (yield* send(handlers.user, { token })).status],
        [401, 401]
      )
    }).pipe(Effect.provide(live())))

  it.effect("as a user that is not found is signed in and not let in: 201, then 401 (49)", () =>
    Effect.gen(function*() {
      const login = yield* send(handlers.login("ghost"), posting())
      assert.strictEqual(login.status, 201)
      const next = yield* send(handlers.user, { token: granted(login) })
      assert.deepStrictEqual([next.status, next.setCookie], [401, []])
    }).pipe(Effect.provide(live())))

  it.effect("is to the handler the very object that retrieveUser found, with the session of the request (19, 52)", () => {
    const ada = { id: "ada" }
    return Effect.gen(function*() {
      const token = yield* signIn()
      const { exit } = yield* send(
        Auth.protect(Effect.all([CurrentUser, Auth.user, Auth.authenticated, Auth.session])),
        { token }
      )
      const [first, second, { auth, user }, session] = yield* exit
      assert.isTrue(first === ada && second === ada && user === ada)
      assert.isTrue(auth === session)
      assert.deepStrictEqual(session, { userId: "ada" })
    }).pipe(Effect.provide(live({ retrieveUser: () => Effect.succeed(Option.some(ada)) })))
  })

  it.effect("has a session whose id the handler of the login can know: that of the cookie (56)", () =>
    Effect.gen(function*() {
      const reply = yield* send(Effect.zipRight(Auth.login({ userId: "ada" }), Auth.sessions), posting())
      assert.deepStrictEqual(
        Exit.map(reply.exit, (sessions) => sessions.map(({ id, isCurrent }) => [id, isCurrent])),
        Exit.succeed([[idOf(granted(reply)), true]])
      )
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Sessions without a user
// -----------------------------------------------------------------------------

describe("a visitor's session", () => {
  class Visit extends Session.Tag<Visit>()("test/parity/Visit", { session: Items }) {}
  const VisitLive = Layer.provide(Visit.layer(), SessionStore.layerMemory) as Layer.Layer<any>

  it.scopedLive("is empty, changed, seen, cleared and empty again: 200, 201, 200, 204, 200 (54, 55, 58, 64)", () =>
    Effect.gen(function*() {
      const server = yield* onWeb(
        "HttpRouter",
        [
          get("/", Effect.map(Visit.session, ({ items }) => HttpServerResponse.text(String(items.length > 0)))),
          post("/", Effect.as(Visit.update(({ items }) => ({ items: [...items, "tea"] })), empty(201))),
          post("/clear", Effect.as(Visit.clear, empty(204)))
        ],
        VisitLive
      )
      let cookie: string | undefined
      const tokens: Array<string> = []
      const ask = (path: string, method: string) =>
        Effect.map(server.send(path, { method, headers: cookie === undefined ? {} : { cookie } }), (reply) => {
          for (const set of reply.setCookies) {
            const pair = set.split(";")[0]!
            cookie = pair.endsWith("=") ? undefined : pair
            tokens.push(pair)
          }
          return [reply.status, reply.body]
        })
      assert.deepStrictEqual(yield* ask("/", "GET"), [200, "false"])
      assert.deepStrictEqual(yield* ask("/", "POST"), [201, ""])
      assert.deepStrictEqual(yield* ask("/", "POST"), [201, ""])
      assert.lengthOf(tokens, 1, "the second change keeps the token")
      assert.deepStrictEqual(yield* ask("/", "GET"), [200, "true"])
      assert.deepStrictEqual(yield* ask("/clear", "POST"), [204, ""])
      assert.isUndefined(cookie)
      assert.deepStrictEqual(yield* ask("/", "GET"), [200, "false"])
      assert.deepStrictEqual(yield* ask("/", "POST"), [201, ""])
      assert.lengthOf(new Set(tokens), 3, "what begins after the end has another token")
    }))

  it.effect("is in its own store, where another kind of session is in another (80)", () => {
    const stores: Array<SessionStore.Service> = []
    const kept = Layer.map(Layer.fresh(memory), (context) => {
      stores.push(Context.get(context, SessionStore.SessionStore))
      return context
    })
    const each = Layer.mergeAll(
      Layer.provide(Visit.layer(), Layer.fresh(kept)),
      Layer.provide(Auth.layer({ retrieveUser }), Layer.fresh(kept))
    )
    return Effect.gen(function*() {
      const auth = yield* signIn()
      const visit = granted(yield* send(Visit.update(() => ({ items: ["tea"] })), posting()), "__Host-Visit")
      assert.lengthOf(stores, 2)
      const holds = (id: SessionStore.SessionRecord["id"]) =>
        Effect.forEach(stores, (store) => Effect.map(Effect.orDie(store.find(id)), Option.isSome))
      const [ofAuth, ofVisit] = [yield* holds(idOf(auth)), yield* holds(idOf(visit, Visit.key))]
      assert.sameMembers(ofAuth, [true, false])
      assert.deepStrictEqual(ofVisit, ofAuth.map((holds) => !holds))
    }).pipe(Effect.provide(each))
  })
})

// -----------------------------------------------------------------------------
// The helpers for tests
// -----------------------------------------------------------------------------

describe("a test of an application", () => {
  class Plain extends Session.Tag<Plain>()("test/parity/Plain", { session: Items }) {}
  class Wide extends Session.Tag<Wide>()("test/parity/Wide", { session: Items, cookie: { domain: "example.com" } }) {}
  class WideAuth extends SessionAuth.Tag<WideAuth>()("test/parity/WideAuth", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String, cart: Schema.optional(Schema.Array(Schema.String)) }),
    cookie: { domain: "example.com" }
  }) {}

  it.effect("puts a session there, and sees what a handler made of it, with and without a domain (65, 66)", () =>
    Effect.gen(function*() {
      for (const tag of [Plain, Wide] as ReadonlyArray<typeof Plain>) {
        const headers = { cookie: yield* SecurityTest.cookie(tag, { items: ["tea"] }) }
        const seen = Effect.map(send(tag.session, { headers }), ({ exit }) => exit)
        assert.deepStrictEqual(yield* seen, Exit.succeed({ items: ["tea"] }), tag.key)
        const changed = yield* send(tag.update(() => ({ items: ["milk"] })), { headers, method: "POST" })
        assert.deepStrictEqual([changed.status, changed.setCookie], [204, []])
        assert.deepStrictEqual(yield* seen, Exit.succeed({ items: ["milk"] }), tag.key)
      }
      for (const tag of [Auth, WideAuth] as unknown as ReadonlyArray<typeof Auth>) {
        const headers = { cookie: yield* SecurityTest.cookie(tag, { userId: "ada", cart: ["tea"] }) }
        const { exit } = yield* send(Effect.all([tag.user, tag.session]), { headers })
        assert.deepStrictEqual(exit, Exit.succeed([{ id: "ada" }, { userId: "ada", cart: ["tea"] }]), tag.key)
        assert.lengthOf(yield* records("ada", tag.key), 1)
      }
    }).pipe(Effect.provide(
      Layer.mergeAll(Plain.layer(), Wide.layer(), Auth.layer({ retrieveUser }), WideAuth.layer({ retrieveUser })).pipe(
        Layer.provideMerge(memory)
      )
    )))

  it.effect("is anybody at all, without a session (65)", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.protect(CurrentUser))
      assert.deepStrictEqual(reply.exit, Exit.succeed({ id: "somebody" }))
    }).pipe(Effect.provide(SecurityTest.layerAs(Auth, { id: "somebody" }))))
})
