// Sessions without a user: begun by the first write, never by a read, and by nothing that a client sends.
import { HttpApp, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Array,
  Cause,
  Config,
  ConfigProvider,
  Deferred,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Option,
  Schema,
  Stream,
  TestClock
} from "effect"
import * as SecurityError from "effect-security/SecurityError"
import * as SecurityTest from "effect-security/SecurityTest"
import * as Session from "effect-security/session/Session"
import * as SessionAuth from "effect-security/session/SessionAuth"
import * as SessionStore from "effect-security/session/SessionStore"
import { get, post, serve, surfaces } from "../edge/harness.js"
import { makeHold } from "./faultyStore.js"
import type { Reply, Sent } from "./fixtures.js"
import { CurrentUser, granted as grantedAs, idOf, logsTo, memory, send, storeWith } from "./fixtures.js"

// -----------------------------------------------------------------------------
// The application
// -----------------------------------------------------------------------------

const name = "__Host-Cart"
const Items = Schema.Struct({ items: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }) })

class Cart extends Session.Tag<Cart>()("test/Cart", { session: Items }) {}

class Page extends Session.Tag<Page>()("test/Page", {
  cookie: { name },
  session: Schema.Struct({ page: Schema.String }),
  empty: { page: "/" }
}) {}

const add = (item: string) => Cart.update(({ items }) => ({ items: [...items, item] }))
const noContent = HttpServerResponse.empty()
const failing = HttpServerResponse.empty({ status: 500 })

// -----------------------------------------------------------------------------
// Stores
// -----------------------------------------------------------------------------

type Operation = keyof SessionStore.Service

/** Memory that notes what it is asked, and which records it was ever given. */
const watched = (change: (store: SessionStore.Service) => Partial<SessionStore.Service> = () => ({})) => {
  const calls: Array<Operation> = []
  const ids = new Set<SessionStore.SessionRecord["id"]>()
  const layer = storeWith((store) => {
    const changed = { ...store, ...change(store) }
    const noting: SessionStore.Service = {
      ...changed,
      create: (record) => Effect.suspend(() => (ids.add(record.id), changed.create(record))),
      rotate: (oldId, record) => Effect.suspend(() => (ids.add(record.id), changed.rotate(oldId, record)))
    }
    return Object.fromEntries(
      Object.entries(noting).map(([operation, f]: [string, (...args: ReadonlyArray<any>) => Effect.Effect<any>]) => [
        operation,
        (...args: ReadonlyArray<any>) => Effect.suspend(() => (calls.push(operation as Operation), f(...args)))
      ])
    )
  })
  /** What is live, without a word about it in `calls`. */
  const live = Effect.flatMap(SessionStore.SessionStore, (store) =>
    Effect.suspend(() => {
      const before = [...calls]
      return Effect.map(
        Effect.forEach(ids, (id) => Effect.orDie(store.find(id))),
        (found) => {
          calls.splice(0, calls.length, ...before)
          return found.flatMap((one) => Option.isSome(one) ? [one.value] : [])
        }
      )
    }))
  return { calls, layer, live }
}

const over = (store: Layer.Layer<SessionStore.SessionStore> = memory, settings: Session.Settings = {}) =>
  Layer.provideMerge(Cart.layer(settings), store)

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

const granted = (reply: { readonly setCookie: ReadonlyArray<string> }) => grantedAs(reply, name)
const cookie = (token: string) => ({ cookie: `${name}=${token}` })
const by = (token?: string, sent: Sent = {}): Sent => ({
  ...sent,
  headers: { ...(token === undefined ? {} : cookie(token)), ...sent.headers }
})
const posting = (token?: string) => by(token, { method: "POST" })

/** The token of a new session that holds one item. */
const begin = Effect.map(send(add("tea"), posting()), granted)
const read = (token?: string) => send(Cart.session, by(token))
const itemsOf = (token?: string) =>
  Effect.map(read(token), ({ exit }) => Exit.getOrElse(exit, (cause) => ({ items: [String(cause)] })).items)

const failure = <A, E>({ exit }: { readonly exit: Exit.Exit<A, E> }): E => {
  const error = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
  return Option.getOrThrowWith(error, () => new Error(`no failure: ${String(exit)}`))
}
const defect = ({ exit }: { readonly exit: Exit.Exit<unknown, unknown> }): string =>
  Exit.isFailure(exit) ? Array.join(Array.map([...Cause.defects(exit.cause)], String), "\n") : ""

const cleared = `${name}=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax`

/** Lets a request come to its end that waits between its tries. */
const settle = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust("1 minute")
    return yield* Fiber.join(fiber)
  })

// -----------------------------------------------------------------------------
// Beginning
// -----------------------------------------------------------------------------

describe("a visitor without a session", () => {
  it.effect("has what {} decodes to, and reading it asks no store, stores nothing and sets no cookie", () => {
    const { calls, layer, live } = watched()
    return Effect.gen(function*() {
      for (const reads of [Cart.session, Effect.zipRight(Cart.session, Cart.session)]) {
        const reply = yield* send(reads)
        assert.deepStrictEqual(reply.exit, Exit.succeed({ items: [] }))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
        // A cache may keep it for everybody who sends no cookie.
        assert.deepStrictEqual([reply.headers.get("cache-control"), reply.headers.get("vary")], [null, "Cookie"])
      }
      assert.deepStrictEqual(calls, [])
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("has the empty session of the Tag, where {} is none and where it would be another", () => {
    class Filled extends Session.Tag<Filled>()("test/Filled", {
      cookie: { name },
      session: Items,
      empty: { items: ["a gift"] }
    }) {}
    return Effect.gen(function*() {
      assert.deepStrictEqual((yield* send(Page.session)).exit, Exit.succeed({ page: "/" }))
      assert.deepStrictEqual((yield* send(Filled.session)).exit, Exit.succeed({ items: ["a gift"] }))
      const token = granted(yield* send(Page.update(({ page }) => ({ page: `${page}cart` })), posting()))
      assert.deepStrictEqual((yield* send(Page.session, by(token))).exit, Exit.succeed({ page: "/cart" }))
    }).pipe(Effect.provide(Layer.provide(Layer.merge(Page.layer(), Filled.layer()), memory)))
  })

  it.effect("gets a session with the first write, and a cookie of exactly these attributes", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const reply = yield* send(add("tea"), { method: "POST", headers: { "user-agent": "a browser" } })
      assert.strictEqual(reply.status, 204)
      const token = granted(reply)
      assert.deepStrictEqual(reply.setCookie, [
        `${name}=${token}; Max-Age=2592000; Path=/; HttpOnly; Secure; SameSite=Lax`
      ])
      assert.match(token, /^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/)
      assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
      const day = 24 * 60 * 60 * 1_000
      assert.deepStrictEqual((yield* live).map((record) => ({ ...record })), [{
        id: idOf(token, Cart.key),
        realm: Cart.key,
        subject: null,
        data: "{\"items\":[\"tea\"]}",
        schemaVersion: 1,
        version: 0,
        createdAt: 0,
        authenticatedAt: 0,
        lastSeenAt: 0,
        idleDeadline: 7 * day,
        absoluteDeadline: 30 * day,
        remember: true,
        userAgent: "a browser"
      }])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("gets none by a write that changes nothing, and sees what it wrote in the same request", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* send(Cart.update((session) => session), posting())).setCookie, [])
      const reply = yield* send(Effect.zipRight(add("tea"), Cart.session), posting())
      assert.deepStrictEqual(reply.exit, Exit.succeed({ items: ["tea"] }))
      granted(reply)
    }).pipe(Effect.provide(over())))

  it.effect("gets one session and one cookie from several writes of one request, none of which is lost", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const names = Array.makeBy(5, String)
      const reply = yield* settle(
        send(Effect.all(names.map(add), { concurrency: "unbounded" }), posting())
      )
      assert.sameMembers([...yield* itemsOf(granted(reply))], names)
      assert.lengthOf(yield* live, 1)
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("gets a session of its own for each of two first requests at the same time", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const [one, other] = yield* Effect.all([send(add("tea"), posting()), send(add("milk"), posting())], {
        concurrency: 2
      })
      assert.deepStrictEqual(yield* itemsOf(granted(one)), ["tea"])
      assert.deepStrictEqual(yield* itemsOf(granted(other)), ["milk"])
      assert.lengthOf(yield* live, 2)
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("costs nothing where no handler asks for the session", () => {
    const { calls, layer } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      calls.length = 0
      const reply = yield* send(Effect.succeed(noContent), by(token))
      assert.deepStrictEqual([reply.headers.get("cache-control"), reply.headers.get("vary")], [null, null])
      assert.deepStrictEqual([reply.setCookie, calls], [[], []])
    }).pipe(Effect.provide(over(layer)))
  })
})

// -----------------------------------------------------------------------------
// Cookies that name no session
// -----------------------------------------------------------------------------

describe("a cookie that names no live session", () => {
  const unknown = `${"A".repeat(12)}.${"A".repeat(43)}`
  const cookies: Readonly<Record<string, (token: string) => string>> = {
    "is unknown to the store": () => `${name}=${unknown}`,
    "is the id under which the store keeps one": (token) => `${name}=${idOf(token, Cart.key)}`,
    "has the tag of another": (token) => `${name}=${"A".repeat(12)}${token.slice(12)}`,
    "is no token": () => `${name}=attacker-chosen`,
    "is empty": () => `${name}=`,
    "is quoted": (token) => `${name}="${token}"`,
    "comes twice": (token) => `${name}=${token}; ${name}=${token}`,
    "comes twice, one of them tossed in": (token) => `${name}=${token}; ${name}=${unknown}`,
    "has the name of a plain http deployment": (token) => `Cart=${token}`
  }
  for (const [sentence, text] of Object.entries(cookies)) {
    it.effect(`is as good as none and never adopted, when it ${sentence}`, () => {
      const { calls, layer, live } = watched()
      return Effect.gen(function*() {
        const token = yield* begin
        const sent: Sent = { headers: { cookie: text(token) } }
        calls.length = 0
        const reply = yield* send(Cart.session, sent)
        assert.deepStrictEqual(reply.exit, Exit.succeed({ items: [] }))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
        assert.deepStrictEqual(calls, /unknown|tag of another|the id/.test(sentence) ? ["find"] : [])

        const written = granted(yield* send(add("milk"), { ...sent, method: "POST" }))
        assert.notInclude(text(token), written)
        assert.deepStrictEqual(yield* itemsOf(written), ["milk"])
        assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
        assert.deepStrictEqual(
          (yield* live).map(({ id }) => id).sort(),
          [idOf(token, Cart.key), idOf(written, Cart.key)].sort()
        )
      }).pipe(Effect.provide(over(layer)))
    })
  }

  it.effect.prop(
    "is one that nobody was given, whatever text it is",
    [FastCheck.oneof(SecurityTest.arbitraryToken, SecurityTest.arbitraryMalformedToken)],
    ([text]) =>
      Effect.gen(function*() {
        const reply = yield* send(Cart.session, { headers: { cookie: `${name}=${text}` } })
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
        assert.deepStrictEqual(reply.exit, Exit.succeed({ items: [] }))
        assert.notStrictEqual(granted(yield* send(add("milk"), { method: "POST", headers: cookie(text) })), text)
      }).pipe(Effect.provide(over())),
    { fastCheck: { numRuns: 50 } }
  )

  it.effect("is also one of another realm, under the same name and over the same store", () => {
    class Other extends Session.Tag<Other>()("test/Other", {
      cookie: { name },
      session: Items
    }) {}
    const both = Layer.merge(Cart.layer(), Other.layer()).pipe(Layer.provide(memory))
    return Effect.gen(function*() {
      const token = granted(yield* send(Other.update(() => ({ items: ["theirs"] })), posting()))
      assert.deepStrictEqual(yield* itemsOf(token), [])
      yield* send(Cart.clear, posting(token))
      assert.notStrictEqual(granted(yield* send(add("tea"), posting(token))), token)
      assert.deepStrictEqual((yield* send(Other.session, by(token))).exit, Exit.succeed({ items: ["theirs"] }))
    }).pipe(Effect.provide(both))
  })
})

// -----------------------------------------------------------------------------
// Going on
// -----------------------------------------------------------------------------

describe("a session without a user", () => {
  it.effect("goes on from request to request, and no later write or read sets a cookie", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      for (const does of [add("milk"), Cart.session, add("sugar"), Cart.update((session) => session)]) {
        const reply = yield* send(does as Effect.Effect<unknown, unknown, Cart>, posting(token))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
        assert.deepStrictEqual([reply.headers.get("cache-control"), reply.headers.get("vary")], ["no-store", "Cookie"])
      }
      assert.deepStrictEqual(yield* itemsOf(token), ["tea", "milk", "sugar"])
      // Written twice: what changes nothing is no write.
      assert.deepStrictEqual((yield* live).map(({ version }) => version), [2])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("may hold whatever its schema decodes, and is stored as the schema encodes it", () => {
    class Visit extends Session.Tag<Visit>()("test/Visit", {
      cookie: { name },
      session: Schema.Struct({ since: Schema.Date, count: Schema.NumberFromString }),
      empty: { since: new Date(0), count: 0 }
    }) {}
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = granted(yield* send(Visit.update(({ count, since }) => ({ count: count + 1, since })), posting()))
      const { exit } = yield* send(Visit.session, by(token))
      assert.deepStrictEqual(exit, Exit.succeed({ since: new Date(0), count: 1 }))
      assert.deepStrictEqual(
        (yield* live).map(({ data }) => data),
        ["{\"since\":\"1970-01-01T00:00:00.000Z\",\"count\":\"1\"}"]
      )
    }).pipe(Effect.provide(Layer.provideMerge(Visit.layer(), layer)))
  })

  it.effect("loses no write of many requests at once", () =>
    Effect.gen(function*() {
      const token = yield* begin
      const names = Array.makeBy(8, String)
      const replies = yield* settle(
        Effect.all(names.map((item) => send(add(item), posting(token))), { concurrency: "unbounded" })
      )
      assert.deepStrictEqual(replies.map(({ setCookie, status }) => [status, setCookie]), names.map(() => [204, []]))
      assert.sameMembers([...yield* itemsOf(token)], ["tea", ...names])
    }).pipe(Effect.provide(over())))

  /** A store in which another writer comes first so many times. */
  const contended = (times: number) => {
    let lost = 0
    return storeWith((store) => ({
      update: (record) =>
        lost < times
          ? Effect.gen(function*() {
            lost++
            yield* store.update({ ...record, data: JSON.stringify({ items: [`other ${lost}`] }) })
            return yield* store.update(record)
          })
          : store.update(record)
    }))
  }

  it.effect("is changed on top of what 15 other writers left", () =>
    Effect.gen(function*() {
      const token = yield* begin
      assert.strictEqual((yield* settle(send(add("mine"), posting(token)))).status, 204)
      assert.deepStrictEqual(yield* itemsOf(token), ["other 15", "mine"])
    }).pipe(Effect.provide(over(contended(15)))))

  it.effect("is left as it is, with SessionConflict, when 16 others came first", () =>
    Effect.gen(function*() {
      const token = yield* begin
      const reply = yield* settle(send(add("mine"), posting(token)))
      assert.deepStrictEqual([reply.status, reply.setCookie], [409, []])
      assert.instanceOf(failure(reply), SecurityError.SessionConflict)
      assert.deepStrictEqual(yield* itemsOf(token), ["other 16"])
    }).pipe(Effect.provide(over(contended(16)))))

  it.effect("frees the next write of its request when one of them dies", () =>
    Effect.gen(function*() {
      const dying = Effect.exit(Cart.update(() => {
        throw new Error("a bug of the application")
      }))
      const reply = yield* send(Effect.zipRight(dying, add("tea")), posting())
      assert.strictEqual(reply.status, 204)
      assert.deepStrictEqual(yield* itemsOf(granted(reply)), ["tea"])
    }).pipe(Effect.provide(over())))
})

// -----------------------------------------------------------------------------
// Ending
// -----------------------------------------------------------------------------

describe("clear", () => {
  it.effect("ends the session and its cookie, and the next write begins another one", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      const reply = yield* send(Cart.clear, posting(token))
      assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]])
      assert.deepStrictEqual(yield* live, [])
      assert.deepStrictEqual(yield* itemsOf(token), [])
      const next = granted(yield* send(add("milk"), posting(token)))
      assert.notStrictEqual(next, token)
      assert.deepStrictEqual([yield* itemsOf(token), yield* itemsOf(next)], [[], ["milk"]])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("succeeds without a session and twice, and clears the cookie each time", () =>
    Effect.gen(function*() {
      const token = yield* begin
      for (const one of [undefined, "nonsense", `${"A".repeat(12)}.${"A".repeat(43)}`, token, token]) {
        const reply = yield* send(Cart.clear, posting(one))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]], one)
      }
    }).pipe(Effect.provide(over())))

  it.effect("in one request with writes leaves what was written after it, under another token", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      const replaced = yield* send(
        Effect.all([add("milk"), Cart.clear, Cart.session, add("sugar")], { discard: true }),
        posting(token)
      )
      const next = granted(replaced)
      assert.notStrictEqual(next, token)
      assert.deepStrictEqual([yield* itemsOf(token), yield* itemsOf(next)], [[], ["sugar"]])
      const ended = yield* send(Effect.zipRight(add("milk"), Cart.clear), posting())
      assert.deepStrictEqual(ended.setCookie, [cleared])
      assert.lengthOf(yield* live, 1)
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("is kept whatever the response becomes", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      const reply = yield* send(Effect.as(Cart.clear, failing), posting(token))
      assert.deepStrictEqual([reply.status, reply.setCookie], [500, [cleared]])
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(over(layer)))
  })
})

describe("a session that another request ended", () => {
  const met: Readonly<Record<string, Effect.Effect<unknown, unknown, any>>> = {
    "has read it": Cart.session,
    "has written it": add("milk"),
    "has rotated it": Cart.rotate
  }
  for (const [sentence, meets] of Object.entries(met)) {
    it.effect(`is not brought back by a request that ${sentence} before: SessionConflict, and no cookie`, () => {
      const { layer, live } = watched()
      return Effect.gen(function*() {
        const token = yield* begin
        const hold = yield* makeHold
        const fiber = yield* Effect.fork(
          send(
            Effect.all([meets, hold.wait, add("sugar")], { discard: true }) as Effect.Effect<void, any, any>,
            posting(token)
          ) as Effect.Effect<Reply<void, any>, never, Cart>
        )
        yield* hold.reached
        const store = yield* SessionStore.SessionStore
        yield* Effect.forEach(yield* live, ({ id }) => store.remove(id))
        yield* hold.release
        yield* TestClock.adjust("1 minute")
        const reply = yield* Fiber.join(fiber)
        assert.strictEqual(reply.status, 409)
        assert.instanceOf(failure(reply), SecurityError.SessionConflict)
        assert.deepStrictEqual(yield* live, [])
        assert.isTrue(reply.setCookie.every((cookie) => sentence.includes("rotated") && cookie.startsWith(name)))
      }).pipe(Effect.provide(over(layer)))
    })
  }

  it.effect("between reading and writing is not brought back either", () => {
    const ending = watched((store) => ({
      update: (record) => Effect.zipRight(store.remove(record.id), store.update(record))
    }))
    return Effect.gen(function*() {
      const token = yield* begin
      const reply = yield* settle(send(add("milk"), posting(token)))
      assert.deepStrictEqual([reply.status, reply.setCookie], [409, []])
      assert.deepStrictEqual(yield* ending.live, [])
    }).pipe(Effect.provide(over(ending.layer)))
  })

  it.effect("is empty for who reads on, and may be begun anew by a request that clears it first", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      const store = yield* SessionStore.SessionStore
      const gone = Effect.zipRight(Cart.session, Effect.orDie(store.remove(idOf(token, Cart.key))))
      const reading = yield* send(Effect.zipRight(gone, Cart.session), by(token))
      assert.deepStrictEqual(reading.exit, Exit.succeed({ items: [] }))
      const again = yield* begin
      const reply = yield* send(
        Effect.all([Cart.session, store.remove(idOf(again, Cart.key)), Cart.clear, add("milk")], { discard: true }),
        posting(again)
      )
      assert.deepStrictEqual(yield* itemsOf(granted(reply)), ["milk"])
      assert.lengthOf(yield* live, 1)
    }).pipe(Effect.provide(over(layer)))
  })
})

// -----------------------------------------------------------------------------
// The response
// -----------------------------------------------------------------------------

describe("a session that begins in a request whose response becomes an error", () => {
  const endings: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
    "a status of 400": Effect.succeed(HttpServerResponse.empty({ status: 400 })),
    "a status of 500": Effect.succeed(failing),
    "a failure": Effect.fail(new Error("a failure of the application")),
    "a defect": Effect.die(new Error("a bug of the application"))
  }
  for (const [sentence, ending] of Object.entries(endings)) {
    it.effect(`is undone, without a cookie: ${sentence}`, () => {
      const { layer, live } = watched()
      return Effect.gen(function*() {
        const reply = yield* send(Effect.zipRight(add("tea"), ending), posting())
        assert.deepStrictEqual([reply.status >= 400, reply.setCookie], [true, []])
        assert.deepStrictEqual(yield* live, [])
      }).pipe(Effect.provide(over(layer)), Effect.provide(logsTo([])))
    })
  }

  it.effect("is undone also when it was given a fresh token in the same request", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const reply = yield* send(Effect.all([add("tea"), Cart.rotate]).pipe(Effect.as(failing)), posting())
      assert.deepStrictEqual([reply.status, reply.setCookie], [500, []])
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(over(layer)))
  })
})

it.effect("what is written into a session that was there stays, whatever the response becomes", () =>
  Effect.gen(function*() {
    const token = yield* begin
    const reply = yield* send(Effect.as(add("milk"), failing), posting(token))
    assert.deepStrictEqual([reply.status, reply.setCookie], [500, []])
    assert.deepStrictEqual(yield* itemsOf(token), ["tea", "milk"])
  }).pipe(Effect.provide(over())))

describe("where no cookie can be set any more", () => {
  const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": "x" }

  it.effect("on a WebSocket upgrade, what would set one dies, and what sets none works", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      for (const does of [add("tea"), Cart.clear, Cart.rotate] as ReadonlyArray<Effect.Effect<void, unknown, any>>) {
        const reply = yield* send(does as Effect.Effect<void, unknown, Cart>, { headers: upgrade })
        assert.deepStrictEqual([reply.status, reply.setCookie], [400, []])
        assert.include(defect(reply), "no cookie can be set any more")
      }
      assert.deepStrictEqual(yield* live, [])
      const token = yield* begin
      const reply = yield* send(Effect.zipRight(add("milk"), Cart.session), by(token, { headers: upgrade }))
      assert.deepStrictEqual(reply.exit, Exit.succeed({ items: ["tea", "milk"] }))
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("in a stream, the first write dies and leaves no session", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const died = yield* Deferred.make<unknown>()
      const streaming = Effect.map(
        Effect.context<Effect.Effect.Context<ReturnType<typeof add>>>(),
        (context) =>
          HttpServerResponse.stream(
            Stream.fromEffect(
              add("tea").pipe(
                Effect.catchAllCause((cause) => Deferred.succeed(died, Cause.squash(cause))),
                Effect.as("late"),
                Effect.provide(context)
              )
            ).pipe(Stream.encodeText)
          )
      )
      const reply = yield* send(streaming, posting())
      assert.deepStrictEqual([reply.body, reply.setCookie], ["late", []])
      assert.deepInclude(yield* Deferred.await(died), { _tag: "ResponseAlreadySent" })
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("a session that the store creates only after the response has left is ended", () => {
    let creating: Deferred.Deferred<void>
    let mayCreate: Deferred.Deferred<void>
    const { layer, live } = watched((store) => ({
      create: (record) =>
        Deferred.succeed(creating, undefined).pipe(
          Effect.zipRight(Deferred.await(mayCreate)),
          Effect.zipRight(store.create(record))
        )
    }))
    return Effect.gen(function*() {
      creating = yield* Deferred.make<void>()
      mayCreate = yield* Deferred.make<void>()
      let fiber: Fiber.RuntimeFiber<void, unknown> | undefined
      yield* send(
        Effect.gen(function*() {
          fiber = yield* Effect.forkDaemon(add("tea"))
          yield* Deferred.await(creating)
        }),
        posting()
      )
      yield* Deferred.succeed(mayCreate, undefined)
      assert.include(String(yield* Fiber.await(fiber!)), "ResponseAlreadySent")
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(over(layer)))
  })
})

describe("on every router and host", () => {
  it.scopedLive("a cart is begun, filled, read and cleared", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const label = surface.join(" on ")
        const server = yield* serve(
          surface,
          [
            get("/cart", Effect.flatMap(Cart.session, ({ items }) => HttpServerResponse.json(items))),
            post("/cart", Effect.as(add("book"), noContent)),
            post("/clear", Effect.as(Cart.clear, noContent)),
            post("/fails", Effect.as(add("book"), failing))
          ],
          Layer.provide(Cart.layer(), SessionStore.layerMemory) as Layer.Layer<any>
        )
        const shown = (headers: Record<string, string> = {}) =>
          Effect.map(server.send("/cart", { headers }), (reply) => {
            assert.deepStrictEqual([reply.status, reply.setCookies], [200, []], label)
            return reply.body
          })
        assert.strictEqual(yield* shown(), "[]", label)
        assert.deepStrictEqual((yield* server.send("/fails", { method: "POST" })).setCookies, [], label)
        const first = yield* server.send("/cart", { method: "POST" })
        const headers = cookie(granted({ setCookie: first.setCookies }))
        assert.deepStrictEqual((yield* server.send("/cart", { method: "POST", headers })).setCookies, [], label)
        assert.strictEqual(yield* shown(headers), "[\"book\",\"book\"]", label)
        const ended = yield* server.send("/clear", { method: "POST", headers })
        assert.deepStrictEqual([ended.status, ended.setCookies], [204, [cleared]], label)
        assert.strictEqual(yield* shown(headers), "[]", label)
      })))
})

// -----------------------------------------------------------------------------
// Time
// -----------------------------------------------------------------------------

describe("the time of a session without a user", () => {
  it.effect("is 7 days without use, to the millisecond", () =>
    Effect.gen(function*() {
      const day = 24 * 60 * 60 * 1_000
      const [one, other] = [yield* begin, yield* begin]
      yield* TestClock.setTime(7 * day - 1)
      assert.deepStrictEqual(yield* itemsOf(one), ["tea"])
      yield* TestClock.setTime(7 * day)
      assert.deepStrictEqual([yield* itemsOf(one), yield* itemsOf(other)], [["tea"], []])
    }).pipe(Effect.provide(over())))

  it.effect("is 30 days in all, however often it is used, and no use sets a cookie", () =>
    Effect.gen(function*() {
      const token = yield* begin
      for (let day = 1; day < 30; day++) {
        yield* TestClock.adjust("1 day")
        const reply = yield* read(token)
        assert.deepStrictEqual([reply.exit, reply.setCookie], [Exit.succeed({ items: ["tea"] }), []])
      }
      yield* TestClock.adjust(24 * 60 * 60 * 1_000 - 1)
      assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* itemsOf(token), [])
    }).pipe(Effect.provide(over())))

  it.effect("is what its Layer says, in the cookie too", () =>
    Effect.gen(function*() {
      const reply = yield* send(add("tea"), posting())
      assert.include(reply.setCookie[0], "; Max-Age=120;")
      const token = granted(reply)
      yield* TestClock.adjust("50 seconds")
      assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
      yield* TestClock.adjust("50 seconds")
      assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* itemsOf(token), [])
    }).pipe(Effect.provide(over(memory, { idleTimeout: "1 minute", absoluteTimeout: "2 minutes" }))))

  it.effect("is extended by touch alone, at most once an hour", () => {
    const { calls, layer } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      const asked = Effect.suspend(() => {
        calls.length = 0
        return Effect.map(read(token), () => [...calls])
      })
      assert.deepStrictEqual(yield* asked, ["find"])
      yield* TestClock.setTime(3_600_000 - 1)
      assert.deepStrictEqual(yield* asked, ["find"])
      yield* TestClock.setTime(3_600_000)
      assert.deepStrictEqual(yield* asked, ["find", "touch"])
      assert.deepStrictEqual(yield* asked, ["find"])
    }).pipe(Effect.provide(over(layer)))
  })
})

// -----------------------------------------------------------------------------
// Rotation
// -----------------------------------------------------------------------------

describe("rotate", () => {
  it.effect("gives the session a fresh token, ends the old one and keeps the rest", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* begin
      yield* TestClock.adjust("10 days").pipe(Effect.zipRight(Effect.void))
      const fresh = yield* begin
      const [before] = yield* live
      yield* TestClock.adjust("1 day")
      const reply = yield* send(Cart.rotate, posting(fresh))
      const next = granted(reply)
      assert.notInclude([token, fresh], next)
      assert.include(reply.setCookie[0], `; Max-Age=${29 * 24 * 60 * 60};`)
      assert.deepStrictEqual([yield* itemsOf(fresh), yield* itemsOf(next)], [[], ["tea"]])
      const [after] = yield* live
      const { id: _, ...kept } = { ...before! }
      const { id, lastSeenAt, idleDeadline, ...rest } = { ...after! }
      assert.strictEqual(id, idOf(next, Cart.key))
      assert.deepStrictEqual({ ...rest, lastSeenAt: kept.lastSeenAt, idleDeadline: kept.idleDeadline }, kept)
      assert.isAtLeast(idleDeadline, kept.idleDeadline)
      assert.isAtLeast(lastSeenAt, kept.lastSeenAt)
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("sends its cookie whatever the response becomes, since the old token is dead", () =>
    Effect.gen(function*() {
      const reply = yield* send(Effect.as(Cart.rotate, failing), posting(yield* begin))
      assert.strictEqual(reply.status, 500)
      assert.deepStrictEqual(yield* itemsOf(granted(reply)), ["tea"])
    }).pipe(Effect.provide(over())))

  it.effect("without a session does nothing, and begins none", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      for (const token of [undefined, "nonsense", `${"A".repeat(12)}.${"A".repeat(43)}`]) {
        const reply = yield* send(Cart.rotate, posting(token))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []], token)
      }
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("may be repeated in a request that goes on reading and writing", () =>
    Effect.gen(function*() {
      const reply = yield* send(
        Effect.all([Cart.rotate, add("milk"), Cart.rotate, Cart.session]),
        posting(yield* begin)
      )
      assert.deepStrictEqual(Exit.map(reply.exit, (all) => all[3]), Exit.succeed({ items: ["tea", "milk"] }))
      assert.deepStrictEqual(yield* itemsOf(granted(reply)), ["tea", "milk"])
    }).pipe(Effect.provide(over())))

  it.effect("is an outage when the session changes each of 16 times, and the old token stays", () => {
    const store = storeWith(() => ({ rotate: () => Effect.succeed(false) }))
    return Effect.gen(function*() {
      const token = yield* begin
      const reply = yield* send(Cart.rotate, posting(token))
      assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
      assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
    }).pipe(Effect.provide(over(store)))
  })
})

// -----------------------------------------------------------------------------
// Records that do not fit
// -----------------------------------------------------------------------------

describe("a record that no longer decodes", () => {
  const broken = (data: string) =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const token = yield* begin
      const record = Option.getOrThrow(yield* store.find(idOf(token, Cart.key)))
      assert.isTrue(yield* store.update({ ...record, data }))
      return token
    })

  for (const data of ["", "{", "null", "[]", "1", "{\"items\":1}"]) {
    it.effect(`(${data === "" ? "empty" : data}) ends cleanly: the empty session, and the cookie cleared`, () => {
      const { layer, live } = watched()
      return Effect.gen(function*() {
        const token = yield* broken(data)
        const reply = yield* read(token)
        assert.deepStrictEqual(reply.exit, Exit.succeed({ items: [] }))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]])
        assert.deepStrictEqual(yield* live, [])
      }).pipe(Effect.provide(over(layer)))
    })
  }

  it.effect("is replaced by a fresh session where it is written", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const token = yield* broken("{")
      const next = granted(yield* send(add("milk"), posting(token)))
      assert.notStrictEqual(next, token)
      assert.deepStrictEqual(yield* itemsOf(next), ["milk"])
      assert.lengthOf(yield* live, 1)
    }).pipe(Effect.provide(over(layer)))
  })
})

describe("sessions of other versions of the schema", () => {
  class Old extends Session.Tag<Old>()("test/Versioned", {
    cookie: { name },
    session: Schema.Struct({ item: Schema.String }),
    empty: { item: "" }
  }) {}
  class New extends Session.Tag<New>()("test/Versioned", {
    cookie: { name },
    session: Items,
    versions: {
      current: 2,
      migrate: (data, version) =>
        Option.map(
          Option.filter(Schema.decodeUnknownOption(Schema.Struct({ item: Schema.String }))(data), () => version === 1),
          ({ item }) => ({ items: [item] })
        )
    }
  }) {}
  /** Two deployments of one program, over one store. */
  const deployed = Effect.map(
    Effect.flatMap(
      SessionStore.SessionStore,
      (store) => Effect.succeed(Layer.succeed(SessionStore.SessionStore, store))
    ),
    (store) => ({
      old: Effect.provide(Layer.provide(Old.layer(), store)),
      new: Effect.provide(Layer.provide(New.layer(), store))
    })
  )
  const put = (item: string) => Old.update(() => ({ item }))

  it.effect("that are earlier are migrated, and stored anew by the next write", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const version = yield* deployed
      const token = granted(yield* version.old(send(put("tea"), posting())))
      const reply = yield* version.new(send(New.session, by(token)))
      assert.deepStrictEqual([reply.exit, reply.setCookie], [Exit.succeed({ items: ["tea"] }), []])
      assert.deepStrictEqual((yield* live).map((_) => [_.schemaVersion, _.data]), [[1, "{\"item\":\"tea\"}"]])
      const written = yield* version.new(
        send(New.update(({ items }) => ({ items: [...items, "milk"] })), posting(token))
      )
      assert.deepStrictEqual([written.status, written.setCookie], [204, []])
      assert.deepStrictEqual((yield* live).map((_) => [_.schemaVersion, _.data]), [[
        2,
        "{\"items\":[\"tea\",\"milk\"]}"
      ]])
    }).pipe(Effect.provide(layer))
  })

  it.effect("that are earlier and refused by migrate end cleanly", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const version = yield* deployed
      const token = granted(yield* version.old(send(put("tea"), posting())))
      const store = yield* SessionStore.SessionStore
      const [record] = yield* live
      yield* store.update({ ...record!, data: "{\"other\":1}" })
      const reply = yield* version.new(send(New.session, by(token)))
      assert.deepStrictEqual([reply.exit, reply.setCookie], [Exit.succeed({ items: [] }), [cleared]])
      assert.deepStrictEqual(yield* live, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("that are later are a 503 without a cookie, and stay as they are", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const version = yield* deployed
      const token = granted(yield* version.new(send(New.update(() => ({ items: ["tea"] })), posting())))
      for (const does of [Old.session, put("milk")]) {
        const reply = yield* version.old(settle(send(does as Effect.Effect<unknown, unknown, Old>, posting(token))))
        assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
        assert.instanceOf(failure(reply), SecurityError.SecurityUnavailable)
      }
      assert.deepStrictEqual((yield* live).map((_) => [_.schemaVersion, _.version, _.data]), [
        [2, 0, "{\"items\":[\"tea\"]}"]
      ])
      assert.deepStrictEqual(
        (yield* version.new(send(New.session, by(token)))).exit,
        Exit.succeed({ items: ["tea"] })
      )
    }).pipe(Effect.provide(layer))
  })
})

// -----------------------------------------------------------------------------
// The cookie
// -----------------------------------------------------------------------------

describe("the cookie of a session without a user", () => {
  class Wide extends Session.Tag<Wide>()("test/Wide", { session: Items, cookie: { domain: "example.com" } }) {}
  class Below extends Session.Tag<Below>()("test/Below", { session: Items, cookie: { path: "/shop" } }) {}
  class Own extends Session.Tag<Own>()("test/Own", {
    session: Items,
    cookie: { name: "__Secure-cart", sameSite: "strict", path: "/shop", domain: "example.com" }
  }) {}
  const setBy = <Self, Id extends string>(
    tag: Session.TagClass<Self, Id, { readonly items: ReadonlyArray<string> }>,
    settings?: Session.Settings
  ) =>
    Effect.map(
      send(tag.update(() => ({ items: ["tea"] })), posting()).pipe(
        Effect.provide(Layer.provide(tag.layer(settings), memory))
      ),
      ({ setCookie }) => setCookie.map((cookie) => cookie.replace(/=[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43};/, "=TOKEN;"))
    )

  it.effect("has a prefix by what it may be sent to, and the attributes of its Tag", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* setBy(Wide), [
        "__Secure-Wide=TOKEN; Max-Age=2592000; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax"
      ])
      assert.deepStrictEqual(yield* setBy(Below), [
        "__Secure-Below=TOKEN; Max-Age=2592000; Path=/shop; HttpOnly; Secure; SameSite=Lax"
      ])
      assert.deepStrictEqual(yield* setBy(Own), [
        "__Secure-cart=TOKEN; Max-Age=2592000; Domain=example.com; Path=/shop; HttpOnly; Secure; SameSite=Strict"
      ])
    }))

  it.effect("loses Secure and the prefix over plain http, and is then the only one that is read", () => {
    const insecure = over(memory, { insecureCookie: true })
    return Effect.gen(function*() {
      const reply = yield* send(add("tea"), posting())
      const token = grantedAs(reply, "Cart")
      assert.deepStrictEqual(reply.setCookie, [
        `Cart=${token}; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax`
      ])
      const reads = (cookie: string) => Effect.map(send(Cart.session, { headers: { cookie } }), ({ exit }) => exit)
      assert.deepStrictEqual(yield* reads(`Cart=${token}`), Exit.succeed({ items: ["tea"] }))
      assert.deepStrictEqual(yield* reads(`${name}=${token}`), Exit.succeed({ items: [] }))
    }).pipe(Effect.provide(insecure))
  })

  it.effect("leaves the cookies of the application alone", () =>
    Effect.gen(function*() {
      const own = HttpServerResponse.unsafeSetCookie(noContent, "foo", "bar")
      const begun = yield* send(Effect.as(add("tea"), own), posting())
      assert.lengthOf(begun.setCookie, 2)
      assert.include(begun.setCookie, "foo=bar")
      const token = granted({ setCookie: begun.setCookie.filter((cookie) => cookie !== "foo=bar") })
      const ended = yield* send(Effect.as(Cart.clear, own), posting(token))
      assert.sameMembers([...ended.setCookie], ["foo=bar", cleared])
    }).pipe(Effect.provide(over())))
})

describe("side by side with the sessions of people", () => {
  class Auth extends SessionAuth.Tag<Auth>()("test/BesideAuth", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String })
  }) {}
  class Sharing
    extends Session.Tag<Sharing>()("test/Sharing", { session: Items, cookie: { name: "__Host-session" } })
  {}
  const retrieveUser = ({ userId }: { readonly userId: string }) => Effect.succeed(Option.some({ id: userId }))
  const all = Layer.mergeAll(Cart.layer(), Sharing.layer(), Auth.layer({ retrieveUser })).pipe(Layer.provide(memory))

  it.effect("each has its cookie, and neither begins, reads or ends the other", () =>
    Effect.gen(function*() {
      const both = yield* send(Effect.zipRight(add("tea"), Auth.login({ userId: "ada" })), posting())
      const cart = granted({ setCookie: both.setCookie.filter((cookie) => cookie.startsWith(name)) })
      const session = grantedAs({ setCookie: both.setCookie.filter((cookie) => !cookie.startsWith(name)) })
      assert.lengthOf(both.setCookie, 2)
      const headers = { cookie: `${name}=${cart}; __Host-session=${session}` }
      const seen = send(Effect.all([Auth.user, Cart.session]), { headers })
      assert.deepStrictEqual((yield* seen).exit, Exit.succeed([{ id: "ada" }, { items: ["tea"] }]))

      // A token of one is none of the other, under whichever name it comes.
      const swapped = { cookie: `${name}=${session}; __Host-session=${cart}` }
      assert.strictEqual((yield* send(Auth.user, { headers: swapped })).status, 401)
      assert.deepStrictEqual((yield* send(Cart.session, { headers: swapped })).exit, Exit.succeed({ items: [] }))

      const out = yield* send(Auth.logout, { method: "POST", headers })
      assert.isTrue(out.setCookie.every((cookie) => cookie.startsWith("__Host-session=;")))
      assert.deepStrictEqual(yield* itemsOf(cart), ["tea"])
      yield* send(Cart.clear, { method: "POST", headers })
      assert.deepStrictEqual(yield* itemsOf(cart), [])
    }).pipe(Effect.provide(all)))

  const sentence = (one: string, other: string) =>
    `${one} and ${other} share the cookie "__Host-session": give one of them another name`

  it.effect("a cookie that both would use is a defect that names both, whoever comes first", () => {
    const lines: Array<string> = []
    return Effect.gen(function*() {
      const cookie = { cookie: `__Host-session=${grantedAs(yield* send(Auth.login({ userId: "ada" }), posting()))}` }
      const pairs: ReadonlyArray<readonly [Effect.Effect<unknown, unknown, any>, string]> = [
        [Effect.zipRight(Auth.user, Sharing.session), sentence("test/BesideAuth", "test/Sharing")],
        [Effect.zipRight(Sharing.session, Auth.user), sentence("test/Sharing", "test/BesideAuth")],
        [
          Effect.zipRight(Auth.user, Sharing.update((session) => session)),
          sentence("test/BesideAuth", "test/Sharing")
        ],
        [Effect.zipRight(Sharing.session, Auth.login({ userId: "bob" })), sentence("test/Sharing", "test/BesideAuth")],
        [Effect.zipRight(Auth.user, Sharing.clear), sentence("test/BesideAuth", "test/Sharing")]
      ]
      for (const [does, expected] of pairs) {
        const reply = yield* send(does as Effect.Effect<unknown, unknown, Auth | Sharing>, {
          method: "POST",
          headers: cookie
        })
        // A defect of what authentication waits for is logged, and answered as an outage.
        const words = [...lines.splice(0), Exit.isFailure(reply.exit) ? Cause.pretty(reply.exit.cause) : "alive"]
        assert.include(words.join("\n").replaceAll("\\\"", "\""), expected)
        assert.deepStrictEqual([reply.status >= 500, reply.setCookie], [true, []])
      }
    }).pipe(Effect.provide(all), Effect.provide(logsTo(lines)))
  })
})

// -----------------------------------------------------------------------------
// Refusals and outages
// -----------------------------------------------------------------------------

describe("a request that another site made a browser send", () => {
  const operations: Readonly<Record<string, Effect.Effect<unknown, unknown, any>>> = {
    session: Cart.session,
    update: add("evil"),
    clear: Cart.clear,
    rotate: Cart.rotate
  }
  for (const [operation, does] of Object.entries(operations)) {
    it.effect(`is refused by ${operation}, with and without a session, and nothing is asked or changed`, () => {
      const { calls, layer } = watched()
      return Effect.gen(function*() {
        const token = yield* begin
        calls.length = 0
        for (const one of [token, undefined, "nonsense"]) {
          for (const headers of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }]) {
            const reply = yield* send(
              does as Effect.Effect<unknown, unknown, Cart>,
              by(one, { method: "POST", headers: headers as Record<string, string> })
            )
            assert.deepStrictEqual([reply.status, reply.setCookie], [403, []])
            assert.instanceOf(failure(reply), SecurityError.CrossSiteRejected)
          }
        }
        assert.deepStrictEqual(calls, [])
        const trusted = yield* send(
          does as Effect.Effect<unknown, unknown, Cart>,
          by(token, { method: "POST", headers: { origin: "https://shop.example" } })
        )
        assert.strictEqual(trusted.status, 204)
      }).pipe(Effect.provide(over(layer, { trustedOrigins: ["https://shop.example"] })))
    })
  }
})

describe("a session without a user that holds too much", () => {
  it.effect("fails with its measured size, and nothing is stored, granted or changed", () => {
    const { layer, live } = watched()
    return Effect.gen(function*() {
      const large = (length: number) => Cart.update(() => ({ items: ["ä".repeat(length)] }))
      const frame = "{\"items\":[\"\"]}".length
      const most = (16 * 1024 - frame) / 2
      const refused = yield* send(large(Math.floor(most) + 1), posting())
      assert.deepStrictEqual([refused.status, refused.setCookie], [413, []])
      assert.deepInclude(failure(refused), { _tag: "SessionTooLarge", limit: 16 * 1024 })
      assert.strictEqual(
        (failure(refused) as SecurityError.SessionTooLarge).size,
        frame + 2 * (Math.floor(most) + 1)
      )
      assert.deepStrictEqual(yield* live, [])
      granted(yield* send(large(Math.floor(most)), posting()))
      const token = yield* begin
      assert.strictEqual((yield* send(large(Math.floor(most) + 1), posting(token))).status, 413)
      assert.deepStrictEqual(yield* itemsOf(token), ["tea"])
    }).pipe(Effect.provide(over(layer)))
  })
})

describe("a store that is down", () => {
  const broken: Readonly<Record<string, readonly [Operation, Effect.Effect<unknown, unknown, any>]>> = {
    "a read": ["find", Cart.session],
    "a renewal": ["touch", Cart.session],
    "a first write": ["create", Effect.zipRight(Cart.clear, add("milk"))],
    "the reading of a write": ["find", add("milk")],
    "a write": ["update", add("milk")],
    clear: ["remove", Cart.clear],
    rotate: ["rotate", Cart.rotate]
  }
  for (const [sentence, [operation, does]] of Object.entries(broken)) {
    for (const how of ["fails", "dies", "hangs"] as const) {
      it.effect(`is a 503 without a grant, when ${sentence} ${how}`, () => {
        let isDown = false
        const failed = {
          fails: Effect.fail(new SecurityError.SecurityUnavailable({ reason: "the store is down" })),
          dies: Effect.die(new Error("a bug in the store")),
          hangs: Effect.never
        }[how]
        const { layer, live } = watched((store) => ({
          [operation]: (...args: [any, any]) =>
            isDown ? failed : (store[operation] as (...args: [any, any]) => Effect.Effect<any, any>)(...args)
        }))
        return Effect.gen(function*() {
          const token = yield* begin
          // Until it is time to renew the session.
          yield* TestClock.adjust("2 hours")
          isDown = true
          const reply = yield* settle(send(does as Effect.Effect<unknown, unknown, Cart>, posting(token)))
          isDown = false
          assert.strictEqual(reply.status, 503)
          assert.strictEqual(reply.headers.get("retry-after"), "1")
          assert.strictEqual(reply.headers.get("cache-control"), "no-store")
          assert.notInclude(reply.body, "store")
          if (operation === "create") {
            assert.deepStrictEqual([reply.setCookie, yield* live], [[cleared], []])
          } else {
            assert.deepStrictEqual(reply.setCookie, [])
            assert.deepStrictEqual(yield* itemsOf(token), ["tea"], "the session is as it was")
          }
        }).pipe(Effect.provide(over(layer)), Effect.provide(logsTo([])))
      })
    }
  }

  it.effect("that refuses a session without a subject is broken, and says so as an outage", () => {
    const { layer } = watched(() => ({ create: () => Effect.fail(new SessionStore.SessionRefused()) }))
    return Effect.gen(function*() {
      const reply = yield* send(add("tea"), posting())
      assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
    }).pipe(Effect.provide(over(layer)))
  })

  it.effect("that finds the session of another realm is an outage, and shows nothing of it", () => {
    let record: SessionStore.SessionRecord | undefined
    const store = storeWith((store) => ({
      find: (id) =>
        record === undefined
          ? store.find(id)
          : Effect.succeedSome(new SessionStore.SessionRecord({ ...record, id, realm: "test/Other" }))
    }))
    return Effect.gen(function*() {
      const token = yield* begin
      record = Option.getOrThrow(yield* (yield* SessionStore.SessionStore).find(idOf(token, Cart.key)))
      const reply = yield* read(token)
      assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
    }).pipe(Effect.provide(over(store)), Effect.provide(logsTo([])))
  })
})

// -----------------------------------------------------------------------------
// The Layer
// -----------------------------------------------------------------------------

describe("the Layer of sessions without a user", () => {
  const build = <E>(layer: Layer.Layer<any, E, SessionStore.SessionStore>) =>
    Effect.exit(Effect.scoped(Layer.build(Layer.provide(layer, memory))))

  const wrong: ReadonlyArray<readonly [Session.Settings, string]> = [
    [{ idleTimeout: 0 }, "idleTimeout"],
    [{ idleTimeout: Infinity }, "idleTimeout"],
    [{ absoluteTimeout: -1 }, "absoluteTimeout"],
    [{ timeout: 0 }, "timeout"],
    [{ trustedOrigins: ["*"] }, "trustedOrigins"],
    [{ origin: "app.example.com" }, "origin"]
  ]
  it.effect("dies when it is built with a setting that makes no sense, and names it", () =>
    Effect.forEach(wrong, ([settings, option]) =>
      Effect.gen(function*() {
        const exit = yield* build(Cart.layer(settings))
        assert.match(defect({ exit }), new RegExp(`test/Cart: .*\\b${option}\\b`))
      })))

  it.effect("dies when {} is no session after all, and says what to give", () => {
    class Filtered extends Session.Tag<Filtered>()("test/Filtered", {
      cookie: { name },
      session: Schema.Struct({ page: Schema.optional(Schema.String) }).pipe(
        Schema.filter(({ page }) => page !== undefined)
      )
    }) {}
    return Effect.gen(function*() {
      const exit = yield* build(Filtered.layer())
      assert.include(defect({ exit }), "test/Filtered: {} is no session of this schema: give `empty`")
    })
  })

  const configured = (entries: Record<string, string>) =>
    Cart.layerConfig({
      idleTimeout: Config.duration("IDLE"),
      absoluteTimeout: Config.duration("ABSOLUTE"),
      insecureCookie: Config.boolean("INSECURE"),
      trustedOrigins: Config.array(Config.string(), "TRUSTED")
    }).pipe(
      Layer.provideMerge(memory),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries)))))
    )
  const entries = { IDLE: "1 minute", ABSOLUTE: "2 hours", INSECURE: "true", TRUSTED: "https://shop.example" }

  it.effect("takes its settings from Config", () =>
    Effect.gen(function*() {
      const reply = yield* send(add("tea"), { method: "POST", headers: { origin: "https://shop.example" } })
      assert.match(reply.setCookie[0]!, /^Cart=[^;]+; Max-Age=7200; Path=\/; HttpOnly; SameSite=Lax$/)
      const headers = { cookie: `Cart=${grantedAs(reply, "Cart")}` }
      yield* TestClock.adjust(59_999)
      assert.deepStrictEqual((yield* send(Cart.session, { headers })).exit, Exit.succeed({ items: ["tea"] }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* send(Cart.session, { headers })).exit, Exit.succeed({ items: [] }))
    }).pipe(Effect.provide(configured(entries))))

  it.effect("fails with a ConfigError where a setting is missing, is none or makes no sense", () =>
    Effect.gen(function*() {
      const { IDLE: _, ...missing } = entries
      for (const one of [missing, { ...entries, INSECURE: "perhaps" }, { ...entries, IDLE: "0 seconds" }]) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(configured(one))))
        assert.isTrue(error[Symbol.for("effect/ConfigError") as keyof typeof error] !== undefined)
      }
    }))
})

// -----------------------------------------------------------------------------
// The whole
// -----------------------------------------------------------------------------

describe("a browser", () => {
  const day = 24 * 60 * 60 * 1_000
  type Step = "read" | "write" | "write twice" | "clear" | "rotate" | "fail" | "wait" | "stay away"
  const steps = FastCheck.array(
    FastCheck.constantFrom<Step>(
      "read",
      "write",
      "write",
      "write twice",
      "clear",
      "rotate",
      "fail",
      "wait",
      "wait",
      "stay away"
    ),
    { maxLength: 20 }
  )
  /** What a browser has: items, and since when. */
  interface Model {
    readonly items: ReadonlyArray<string>
    readonly since: number
  }

  it.effect.prop(
    "sees in any order of requests what a plain list would hold, until its time is over, and has at most one session",
    [steps],
    ([steps]) => {
      const { layer, live } = watched()
      return Effect.gen(function*() {
        let now = 0
        let jar: string | undefined
        let model: Model | undefined
        const given = new Set<string>()
        const pass = (days: number) =>
          Effect.suspend(() => {
            now += days * day
            if (model !== undefined && (days >= 7 || now - model.since >= 30 * day)) {
              model = undefined
            }
            return TestClock.setTime(now)
          })
        const append = (...items: ReadonlyArray<string>): Model => ({
          items: [...model?.items ?? [], ...items],
          since: model?.since ?? now
        })
        const request = (does: Effect.Effect<unknown, any, any>) =>
          Effect.map(send(does as Effect.Effect<unknown, unknown, Cart>, posting(jar)), ({ setCookie }) => {
            for (const cookie of setCookie) {
              jar = cookie === cleared ? undefined : granted({ setCookie })
              if (jar !== undefined) {
                assert.isFalse(given.has(jar), "no token is given twice")
                given.add(jar)
              }
            }
          })
        for (const [index, step] of steps.entries()) {
          const item = String(index)
          switch (step) {
            case "read":
              yield* request(Cart.session)
              break
            case "write":
              model = append(item)
              yield* request(add(item))
              break
            case "write twice":
              model = append(item, `${item}!`)
              yield* request(Effect.zipRight(add(item), add(`${item}!`)))
              break
            case "clear":
              model = undefined
              yield* request(Cart.clear)
              break
            case "rotate":
              yield* request(Cart.rotate)
              break
            case "fail":
              // What begins in it ends with it; what was there keeps what is written.
              model = model === undefined ? undefined : append(item)
              yield* request(Effect.as(add(item), failing))
              break
            case "wait":
              yield* pass(5)
              break
            case "stay away":
              yield* pass(7)
          }
          assert.deepStrictEqual(yield* itemsOf(jar), model?.items ?? [], `${step} at ${index} of ${steps.join()}`)
          assert.lengthOf(yield* live, model === undefined ? 0 : 1)
        }
      }).pipe(Effect.provide(over(layer)))
    },
    { fastCheck: { numRuns: 30 }, timeout: 60_000 }
  )
})

it.effect("a Tag whose Layer is missing is named with the place where it was defined", () =>
  Effect.gen(function*() {
    const reply = yield* send(Cart.session as Effect.Effect<unknown>)
    assert.strictEqual(reply.status, 500)
    assert.match(defect(reply), /Service not found: test\/Cart \(defined at .*Session\.test\.ts/)
  }).pipe(Effect.provide(logsTo([]))))

describe("what one visitor has", () => {
  it.effect("is never another's, also where a handler changes the empty session in place", () => {
    class Bag extends Session.Tag<Bag>()("test/Bag", {
      session: Schema.Struct({ items: Schema.Set(Schema.String) }),
      empty: { items: new Set<string>() }
    }) {}
    return Effect.gen(function*() {
      yield* send(
        Bag.update((bag) => {
          const items = bag.items as Set<string>
          items.add("a secret")
          return bag
        }),
        { method: "POST" }
      )
      const reply = yield* send(Effect.map(Bag.session, ({ items }) => Array.fromIterable(items)))
      assert.deepStrictEqual(reply.exit, Exit.succeed([]))
    }).pipe(Effect.provide(Layer.provide(Bag.layer(), memory)))
  })

  it.effect("is private and complete also where another Layer sets the handlers of responses for itself", () => {
    const other = Layer.effectDiscard(
      HttpApp.appendPreResponseHandler((_, response) => Effect.succeed(response))
    )
    return Effect.gen(function*() {
      const cookie = yield* SecurityTest.cookie(Cart, { items: ["tea"] })
      const runtime = yield* Effect.runtime<Cart>()
      const app = Effect.flatMap(Cart.session, ({ items }) => HttpServerResponse.json(items))
      // As where the other Layer has the last word.
      const handler = HttpApp.toWebHandlerRuntime({
        ...runtime,
        fiberRefs: (yield* Effect.scoped(Layer.toRuntime(other))).fiberRefs
      })(app as never)
      const response = yield* Effect.promise(() =>
        handler(new Request("https://app.example.com/", { headers: { cookie } }))
      )
      assert.strictEqual(response.headers.get("cache-control"), "no-store")
      assert.strictEqual(response.headers.get("vary"), "Cookie")
    }).pipe(Effect.provide(over()))
  })
})

describe("a session that is only written", () => {
  it.effect("lasts as one that is read: a write is a use of it", () =>
    Effect.gen(function*() {
      const token = granted(yield* send(add("0"), posting()))
      for (let day = 1; day <= 20; day++) {
        yield* TestClock.adjust("1 day")
        assert.strictEqual((yield* send(add(String(day)), posting(token))).status, 204, String(day))
      }
      assert.lengthOf(yield* itemsOf(token), 21)
    }).pipe(Effect.provide(over())))
})

describe("a value that does not come back from JSON", () => {
  it.effect("is not written, and ends no session", () => {
    class Temperature extends Session.Tag<Temperature>()("test/Temperature", {
      session: Schema.Struct({ degrees: Schema.optional(Schema.Number) })
    }) {}
    return Effect.gen(function*() {
      const token = grantedAs(
        yield* send(Temperature.update(() => ({ degrees: 20 })), { method: "POST" }),
        "__Host-Temperature"
      )
      const headers = { cookie: `__Host-Temperature=${token}` }
      yield* send(Temperature.update(() => ({ degrees: NaN })), { method: "POST", headers })
      const reply = yield* send(Temperature.session, { headers })
      assert.deepStrictEqual(reply.exit, Exit.succeed({ degrees: 20 }))
      assert.deepStrictEqual(reply.setCookie, [])
    }).pipe(Effect.provide(Layer.provide(Temperature.layer(), memory)))
  })
})

describe("two sessions of one request", () => {
  it.effect("stand side by side with the default names of their cookies", () => {
    class Flash extends Session.Tag<Flash>()("test/Flash", { session: Items }) {}
    return Effect.gen(function*() {
      const cart = yield* SecurityTest.cookie(Cart, { items: ["tea"] })
      const flash = yield* SecurityTest.cookie(Flash, { items: ["welcome"] })
      const reply = yield* send(Effect.all([Cart.session, Flash.session]), { headers: { cookie: `${cart}; ${flash}` } })
      assert.deepStrictEqual(reply.exit, Exit.succeed([{ items: ["tea"] }, { items: ["welcome"] }]))
    }).pipe(Effect.provide(Layer.mergeAll(Cart.layer(), Flash.layer()).pipe(Layer.provide(memory))))
  })
})

describe("a store that loses its answer after the work, or is late with it", () => {
  const unavailable = new SecurityError.SecurityUnavailable({ reason: "lost" })
  const lost = <A>(self: Effect.Effect<A, unknown>) => Effect.zipRight(Effect.ignore(self), Effect.fail(unavailable))
  const late = <A, E>(self: Effect.Effect<A, E>) =>
    Effect.uninterruptible(Effect.zipRight(Effect.sleep("5 seconds"), self))
  const refused = <A, E>(reply: Reply<A, E>) => {
    assert.strictEqual(reply.status, 503)
    assert.deepStrictEqual(reply.setCookie, [])
  }

  const ways: Readonly<Record<string, (self: Effect.Effect<any, any>) => Effect.Effect<any, any>>> = { lost, late }
  for (const [how, change] of Object.entries(ways)) {
    it.effect(`begins no session that nobody has the token of: ${how}`, () => {
      const { layer, live } = watched((store) => ({ create: (record) => change(store.create(record)) }))
      return Effect.gen(function*() {
        const fiber = yield* Effect.fork(send(add("tea"), posting()))
        yield* Effect.repeatN(TestClock.adjust("1 second"), 20)
        refused(yield* Fiber.join(fiber))
        assert.deepStrictEqual(yield* live, [])
      }).pipe(Effect.provide(over(layer)))
    })

    it.effect(`leaves no session that nobody has the token of after a rotation: ${how}`, () => {
      const { layer, live } = watched((store) => ({
        rotate: (id, record) => change(store.rotate(id, record))
      }))
      return Effect.gen(function*() {
        const token = yield* begin
        const fiber = yield* Effect.fork(send(Cart.rotate, posting(token)))
        yield* Effect.repeatN(TestClock.adjust("1 second"), 20)
        refused(yield* Fiber.join(fiber))
        assert.isTrue((yield* live).every(({ id }) => id === idOf(token, Cart.key)))
      }).pipe(Effect.provide(over(layer)))
    })
  }

  it.effect("gives a visitor nothing of what a store answers about another session", () => {
    const { layer } = watched((store) => ({
      find: (id) =>
        Effect.map(
          store.find(id),
          Option.map((record) =>
            new SessionStore.SessionRecord({ ...record, subject: "ada", data: `{"items":["of ada"]}` })
          )
        )
    }))
    return Effect.gen(function*() {
      const token = yield* begin
      refused(yield* read(token))
    }).pipe(Effect.provide(over(layer)))
  })
})
