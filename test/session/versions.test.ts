// What becomes of sessions that another version of the program wrote.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, FastCheck, Layer, Option, Schema } from "effect"
import { Session, SessionAuth, SessionStore } from "effect-security"
import * as SecurityTest from "effect-security/SecurityTest"
import { cleared, CurrentUser, granted, idOf, records, send, storeSpy } from "./fixtures.js"

// -----------------------------------------------------------------------------
// Three versions of one program: same id, other schemas
// -----------------------------------------------------------------------------

const Session1 = Schema.Struct({ userId: Schema.String, since: Schema.DateFromNumber, cart: Schema.String })
const Session2 = Schema.Struct({
  userId: Schema.String,
  since: Schema.Date,
  items: Schema.Array(Schema.String),
  note: Schema.optionalWith(Schema.String, { as: "Option" })
})
type Session2 = typeof Session2.Type

const fromVersion1 = ({ cart, since, userId }: typeof Session1.Type): Session2 => ({
  userId,
  since,
  items: cart === "" ? [] : cart.split(","),
  note: Option.none()
})

type Migrate = (data: unknown, version: number) => Option.Option<Session2>

const migrate: Migrate = (data, version) =>
  version === 1 ? Option.map(Schema.decodeUnknownOption(Session1)(data), fromVersion1) : Option.none()

class Auth1 extends SessionAuth.Tag<Auth1>()("test/Auth", { user: CurrentUser, session: Session1 }) {}

const auth2 = (migrate: Migrate, current = 2) => {
  class Auth2 extends SessionAuth.Tag<Auth2>()("test/Auth", {
    user: CurrentUser,
    session: Session2,
    versions: { current, migrate }
  }) {}
  return { Auth2, layer: Auth2.layer({ retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId }) }) }
}

class Auth1Again extends SessionAuth.Tag<Auth1Again>()("test/Auth", { user: CurrentUser, session: Session2 }) {}

const session1 = { userId: "ada", since: new Date(1_000), cart: "tea,milk" }

/** A session that the first version of the program began. */
const minted = (session: typeof Session1.Type = session1) =>
  SecurityTest.cookie(Auth1, session).pipe(
    Effect.provide(Auth1.layer({ retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId }) })),
    Effect.map((cookie) => ({ cookie }))
  )

const tokenOf = ({ cookie }: { readonly cookie: string }) => cookie.slice(cookie.indexOf("=") + 1)

/** Puts something else into the record of a session. */
const overwrite = (
  headers: { readonly cookie: string },
  change: Partial<Pick<SessionStore.SessionRecord, "data" | "schemaVersion">>,
  realm = "test/Auth"
) =>
  Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const record = Option.getOrThrow(yield* store.find(idOf(tokenOf(headers), realm)))
    assert.isTrue(yield* store.update(new SessionStore.SessionRecord({ ...record, ...change })))
  })

/** Memory that notes what is written to it. */
const watched = () => {
  const calls: Array<keyof SessionStore.Service> = []
  return { calls, layer: storeSpy(calls) }
}

const only = Effect.map(records("ada"), (records) => {
  assert.lengthOf(records, 1)
  return records[0]!
})

// -----------------------------------------------------------------------------
// Sessions with a user
// -----------------------------------------------------------------------------

describe("a session that an earlier version wrote", () => {
  it.effect("is migrated when it is read, from its JSON and the number of its version, and nothing is written", () =>
    Effect.gen(function*() {
      const { calls, layer } = watched()
      const seen: Array<readonly [unknown, number]> = []
      yield* Effect.gen(function*() {
        const headers = yield* minted()
        const before = yield* only
        calls.length = 0
        const { Auth2, layer } = auth2((data, version) => {
          seen.push([data, version])
          return migrate(data, version)
        })
        for (let i = 0; i < 2; i++) {
          const reply = yield* Effect.provide(send(Auth2.session, { headers }), layer)
          assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), fromVersion1(session1))
          assert.strictEqual(reply.status, 204)
          assert.deepStrictEqual(reply.setCookie, [])
        }
        assert.deepStrictEqual(calls, ["find", "find"])
        assert.deepStrictEqual(seen, Array.from(seen, () => [{ userId: "ada", since: 1_000, cart: "tea,milk" }, 1]))
        assert.lengthOf(seen, 2)
        assert.deepStrictEqual({ ...(yield* only) }, { ...before })
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is written back with the number of this version by the next update", () =>
    Effect.gen(function*() {
      const { calls, layer } = watched()
      yield* Effect.gen(function*() {
        const headers = yield* minted()
        const { Auth2, layer } = auth2(migrate)
        yield* Effect.gen(function*() {
          calls.length = 0
          const update = Auth2.update((session) => ({ ...session, note: Option.some("hi") }))
          assert.strictEqual((yield* send(update, { method: "POST", headers })).status, 204)
          assert.deepStrictEqual(calls.filter((call) => call === "update"), ["update"])
          const record = yield* only
          assert.strictEqual(record.schemaVersion, 2)
          assert.deepStrictEqual(JSON.parse(record.data), {
            userId: "ada",
            since: "1970-01-01T00:00:01.000Z",
            items: ["tea", "milk"],
            note: "hi"
          })
        }).pipe(Effect.provide(layer))
        // Nothing is left to migrate.
        const fixed = auth2(() => Option.none())
        const reply = yield* Effect.provide(send(fixed.Auth2.session, { headers }), fixed.layer)
        assert.deepStrictEqual(
          Exit.getOrElse(reply.exit, Cause.squash),
          { ...fromVersion1(session1), note: Option.some("hi") }
        )
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is written back also by an update that changes nothing else", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      const { Auth2, layer } = auth2(migrate)
      yield* Effect.provide(send(Auth2.update((session) => session), { method: "POST", headers }), layer)
      assert.strictEqual((yield* only).schemaVersion, 2)
    }).pipe(Effect.provide(watched().layer)))

  it.effect("is still its own after a rotation", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      const { Auth2, layer } = auth2(migrate)
      yield* Effect.gen(function*() {
        const token = granted(yield* send(Auth2.rotate, { method: "POST", headers }))
        const reply = yield* send(Auth2.session, { token })
        assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), fromVersion1(session1))
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(watched().layer)))

  it.effect.prop(
    "is what migration makes of it, whatever it holds, and the same once it is written back",
    [SecurityTest.arbitrarySession(Auth1)],
    ([session]) =>
      Effect.gen(function*() {
        const headers = yield* minted(session)
        const { Auth2, layer } = auth2(migrate)
        yield* Effect.gen(function*() {
          const read = Effect.map(send(Auth2.session, { headers }), ({ exit }) => Exit.getOrElse(exit, Cause.squash))
          assert.deepStrictEqual(yield* read, fromVersion1(session))
          yield* send(Auth2.update((session) => session), { method: "POST", headers })
          assert.deepStrictEqual(yield* read, fromVersion1(session))
        }).pipe(Effect.provide(layer))
      }).pipe(Effect.provide(watched().layer)),
    { fastCheck: { numRuns: 50 } }
  )
})

describe("a session that ends cleanly, with a 401 and a cookie that clears,", () => {
  const assertEnds = (
    headers: { readonly cookie: string },
    { Auth2, layer }: Pick<ReturnType<typeof auth2>, "Auth2" | "layer">
  ) =>
    Effect.gen(function*() {
      const subject = (yield* SessionStore.SessionStore).find(idOf(tokenOf(headers)))
      assert.isTrue(Option.isSome(yield* subject))
      let hasRun = false
      const handler = Auth2.protect(Effect.sync(() => {
        hasRun = true
        return HttpServerResponse.empty()
      }))
      const reply = yield* send(handler, { headers })
      assert.strictEqual(reply.status, 401)
      assert.deepStrictEqual(reply.setCookie, [cleared])
      assert.isFalse(hasRun)
      assert.isTrue(Option.isNone(yield* subject))
      // And it stays so.
      assert.strictEqual((yield* send(handler, { headers })).status, 401)
    }).pipe(Effect.provide(layer), Effect.scoped)

  const store = watched().layer

  it.effect("is one that migrate refuses", () =>
    Effect.flatMap(minted(), (headers) => assertEnds(headers, auth2(() => Option.none()))).pipe(
      Effect.provide(store)
    ))

  it.effect("is one that migrate makes another subject's", () =>
    Effect.flatMap(
      minted(),
      (headers) =>
        assertEnds(
          headers,
          auth2((data, version) => Option.map(migrate(data, version), (session) => ({ ...session, userId: "grace" })))
        )
    ).pipe(Effect.provide(store)))

  for (const data of ["", "not json", "{\"userId\":\"ada\"", "undefined", "NaN"]) {
    for (const schemaVersion of [0, 1, 2]) {
      it.effect(`holds ${JSON.stringify(data)} of version ${schemaVersion}, and migrate never sees it`, () =>
        Effect.gen(function*() {
          const headers = yield* minted()
          yield* overwrite(headers, { data, schemaVersion })
          yield* assertEnds(headers, auth2(() => assert.fail("migrate was called")))
        }).pipe(Effect.provide(watched().layer)))
    }
  }

  it.effect("says that it is of this version, and is not", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      yield* overwrite(headers, { schemaVersion: 2 })
      yield* assertEnds(headers, auth2(() => assert.fail("migrate was called")))
    }).pipe(Effect.provide(watched().layer)))

  it.effect("is of an earlier version where nothing was said about versions", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      yield* overwrite(headers, { schemaVersion: 0 })
      yield* assertEnds(headers, {
        Auth2: Auth1 as any,
        layer: Auth1.layer({ retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId }) }) as any
      })
    }).pipe(Effect.provide(watched().layer)))

  it.effect("has another schema where nothing was said about versions", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      yield* assertEnds(headers, {
        Auth2: Auth1Again as any,
        layer: Auth1Again.layer({ retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId }) }) as any
      })
    }).pipe(Effect.provide(watched().layer)))

  it.effect("is met by an update, which changes nothing", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      const { Auth2, layer } = auth2(() => Option.none())
      yield* Effect.gen(function*() {
        const reply = yield* send(Auth2.update(() => assert.fail("f was called")), { method: "POST", headers })
        assert.strictEqual(reply.status, 401)
        assert.deepStrictEqual(reply.setCookie, [cleared])
        assert.deepStrictEqual(yield* records("ada"), [])
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(watched().layer)))
})

describe("a migrate that throws", () => {
  it.effect("is an outage, and leaves the session alone", () =>
    Effect.gen(function*() {
      const headers = yield* minted()
      const before = yield* only
      const broken = auth2(() => {
        throw new Error("a bug")
      })
      yield* Effect.gen(function*() {
        for (
          const handler of [
            broken.Auth2.session,
            broken.Auth2.update((session) => session),
            broken.Auth2.rotate
          ] as ReadonlyArray<Effect.Effect<unknown, unknown, any>>
        ) {
          const reply = yield* send(handler as typeof broken.Auth2.rotate, { method: "POST", headers })
          assert.strictEqual(reply.status, 503)
          assert.deepStrictEqual(reply.setCookie, [])
        }
      }).pipe(Effect.provide(broken.layer))
      assert.deepStrictEqual({ ...(yield* only) }, { ...before })
      const { Auth2, layer } = auth2(migrate)
      assert.strictEqual((yield* Effect.provide(send(Auth2.session, { headers }), layer)).status, 204)
    }).pipe(Effect.provide(watched().layer)))
})

describe("a session that a later version wrote", () => {
  it.effect("is not accepted, and stays as it is", () =>
    Effect.gen(function*() {
      const { calls, layer } = watched()
      yield* Effect.gen(function*() {
        const headers = yield* minted()
        yield* overwrite(headers, { data: "{\"of\":\"tomorrow\"}", schemaVersion: 3 })
        const before = yield* only
        const { Auth2, layer } = auth2(() => assert.fail("migrate was called"))
        yield* Effect.gen(function*() {
          calls.length = 0
          for (
            const handler of [
              Auth2.session,
              Auth2.protect(Effect.die("the handler ran")),
              Auth2.update(() => assert.fail("f was called")),
              Auth2.rotate
            ] as ReadonlyArray<Effect.Effect<unknown, unknown, any>>
          ) {
            const reply = yield* send(handler as typeof Auth2.rotate, { method: "POST", headers })
            assert.strictEqual(reply.status, 401)
            assert.deepStrictEqual(reply.setCookie, [])
          }
          assert.deepStrictEqual(calls, ["find", "find", "find", "find"])
        }).pipe(Effect.provide(layer))
        assert.deepStrictEqual({ ...(yield* only) }, { ...before })
        // Without a word about versions, the version is 1.
        yield* overwrite(headers, { schemaVersion: 2 })
        const reply = yield* Effect.provide(
          send(Auth1.session, { headers }),
          Auth1.layer({ retrieveUser: () => Effect.succeedNone })
        )
        assert.strictEqual(reply.status, 401)
        assert.deepStrictEqual(reply.setCookie, [])
        assert.strictEqual((yield* only).schemaVersion, 2)
      }).pipe(Effect.provide(layer))
    }))
})

// -----------------------------------------------------------------------------
// Sessions without a user
// -----------------------------------------------------------------------------

const Cart1Session = Schema.Struct({ cart: Schema.String })
const Cart2Session = Schema.Struct({ items: Schema.Array(Schema.String) })
type Cart2Session = typeof Cart2Session.Type

class Cart1 extends Session.Tag<Cart1>()("test/Cart", { session: Cart1Session, empty: { cart: "" } }) {}

const cart2 = (migrate: (data: unknown, version: number) => Option.Option<Cart2Session>, current = 2) => {
  class Cart2 extends Session.Tag<Cart2>()("test/Cart", {
    session: Cart2Session,
    empty: { items: [] },
    versions: { current, migrate }
  }) {}
  return { Cart2, layer: Cart2.layer() }
}

const migrateCart = (data: unknown, version: number): Option.Option<Cart2Session> =>
  version === 1
    ? Option.map(Schema.decodeUnknownOption(Cart1Session)(data), ({ cart }) => ({ items: cart.split(",") }))
    : Option.none()

const mintedCart = SecurityTest.cookie(Cart1, { cart: "tea,milk" }).pipe(
  Effect.provide(Cart1.layer()),
  Effect.map((cookie) => ({ cookie }))
)

const cartRecord = (headers: { readonly cookie: string }) =>
  Effect.flatMap(SessionStore.SessionStore, (store) => store.find(idOf(tokenOf(headers), "test/Cart")))

const clearedCart = cleared.replace("__Host-session", "__Host-Cart")

describe("a session without a user", () => {
  it.effect("is migrated when it is read, and written back by the next update", () =>
    Effect.gen(function*() {
      const { calls, layer } = watched()
      yield* Effect.gen(function*() {
        const headers = yield* mintedCart
        const { Cart2, layer } = cart2(migrateCart)
        yield* Effect.gen(function*() {
          calls.length = 0
          const reply = yield* send(Cart2.session, { headers })
          assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), { items: ["tea", "milk"] })
          assert.deepStrictEqual(reply.setCookie, [])
          assert.deepStrictEqual(calls, ["find"])
          assert.strictEqual(Option.getOrThrow(yield* cartRecord(headers)).schemaVersion, 1)
          yield* send(Cart2.update((session) => session), { method: "POST", headers })
          const record = Option.getOrThrow(yield* cartRecord(headers))
          assert.deepStrictEqual([record.schemaVersion, record.data], [2, "{\"items\":[\"tea\",\"milk\"]}"])
        }).pipe(Effect.provide(layer))
      }).pipe(Effect.provide(layer))
    }))

  it.effect("that migrate refuses ends cleanly: it is the empty one, and its cookie is cleared", () =>
    Effect.gen(function*() {
      const headers = yield* mintedCart
      const { Cart2, layer } = cart2(() => Option.none())
      const reply = yield* Effect.provide(send(Cart2.session, { headers }), layer)
      assert.strictEqual(reply.status, 204)
      assert.deepStrictEqual(Exit.getOrElse(reply.exit, Cause.squash), { items: [] })
      assert.deepStrictEqual(reply.setCookie, [clearedCart])
      assert.isTrue(Option.isNone(yield* cartRecord(headers)))
    }).pipe(Effect.provide(watched().layer)))

  it.effect("that migrate throws at is an outage, and stays as it is", () =>
    Effect.gen(function*() {
      const headers = yield* mintedCart
      const before = Option.getOrThrow(yield* cartRecord(headers))
      const { Cart2, layer } = cart2(() => {
        throw new Error("a bug")
      })
      yield* Effect.gen(function*() {
        for (const handler of [Cart2.session, Cart2.update((session) => session)] as ReadonlyArray<unknown>) {
          const reply = yield* send(handler as typeof Cart2.session, { method: "POST", headers })
          assert.strictEqual(reply.status, 503)
          assert.deepStrictEqual(reply.setCookie, [])
        }
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual({ ...Option.getOrThrow(yield* cartRecord(headers)) }, { ...before })
    }).pipe(Effect.provide(watched().layer)))

  it.effect("that a later version wrote is an outage, and stays as it is", () =>
    Effect.gen(function*() {
      const headers = yield* mintedCart
      yield* overwrite(headers, { schemaVersion: 3 }, "test/Cart")
      const before = Option.getOrThrow(yield* cartRecord(headers))
      const { Cart2, layer } = cart2(() => assert.fail("migrate was called"))
      yield* Effect.gen(function*() {
        for (
          const handler of [Cart2.session, Cart2.update(() => assert.fail("f was called"))] as ReadonlyArray<unknown>
        ) {
          const reply = yield* send(handler as typeof Cart2.session, { method: "POST", headers })
          assert.strictEqual(reply.status, 503)
          assert.deepStrictEqual(reply.setCookie, [])
        }
        assert.deepStrictEqual({ ...Option.getOrThrow(yield* cartRecord(headers)) }, { ...before })
        // Whoever holds it may end it all the same.
        const reply = yield* send(Cart2.clear, { method: "POST", headers })
        assert.deepStrictEqual(reply.setCookie, [clearedCart])
        assert.isTrue(Option.isNone(yield* cartRecord(headers)))
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(watched().layer)))
})

// -----------------------------------------------------------------------------
// The number of a version
// -----------------------------------------------------------------------------

describe("versions.current", () => {
  const numbers = FastCheck.oneof(
    FastCheck.constantFrom(0, -0, 1.5, NaN, Infinity, -1, 2 ** 53),
    FastCheck.double().filter((n) => !Number.isSafeInteger(n)),
    FastCheck.integer({ max: 0 })
  )
  const layers = (current: number) => {
    const retrieveUser = () => Effect.succeedNone
    const { Auth2, layer: authLayer } = auth2(migrate, current)
    const { Cart2, layer: cartLayer } = cart2(migrateCart, current)
    return [
      [Auth2.key, authLayer, Auth2.layerConfig({ retrieveUser, settings: { maxPerUser: Config.succeed(1) } })],
      [Cart2.key, cartLayer, Cart2.layerConfig({ spans: Config.succeed(false) })]
    ] as const
  }
  const build = (layer: Layer.Layer<any, unknown, SessionStore.SessionStore>) =>
    Layer.build(layer).pipe(Effect.scoped, Effect.provide(watched().layer), Effect.exit)

  it.effect.prop(
    "that is no positive whole number is said when the Layer is built",
    [numbers],
    ([current]) =>
      Effect.gen(function*() {
        for (const [id, layer, layerConfig] of layers(current)) {
          const exit = yield* build(layer)
          assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
          assert.include(
            String(Exit.isFailure(exit) && Cause.squash(exit.cause)),
            `${id}: versions.current is a positive whole number`
          )
          const config = yield* build(layerConfig)
          assert.isTrue(Exit.isFailure(config) && Cause.isFailure(config.cause))
          assert.include(
            String(Exit.isFailure(config) && Cause.squash(config.cause)),
            "versions.current is a positive whole number"
          )
        }
      }).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))),
    { fastCheck: { numRuns: 30 } }
  )

  it.effect.prop(
    "may be any positive whole number",
    [FastCheck.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })],
    ([current]) =>
      Effect.gen(function*() {
        for (const [, layer, layerConfig] of layers(current)) {
          assert.isTrue(Exit.isSuccess(yield* build(layer)))
          assert.isTrue(Exit.isSuccess(yield* build(layerConfig)))
        }
      }),
    { fastCheck: { numRuns: 10 } }
  )
})
