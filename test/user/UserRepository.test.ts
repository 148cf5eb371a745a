import { HttpServerRespondable, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import { Cause, Context, Data, Effect, Layer, Option, Schema } from "effect"
import { SecurityUnavailable } from "effect-security/SecurityError"
import * as UserRepository from "effect-security/user/UserRepository"
import { passwordHash, User, user, Users } from "./fixtures.js"

const ada = user("1", "Ada@Example.com")
const hash = passwordHash("$fast$salt$hash")
const other = passwordHash("$fast$salt$other")

describe("users in memory", () => {
  it.effect("are found by id and by login", () =>
    Effect.gen(function*() {
      yield* Users.insert(ada, Option.some(hash))
      assertSome(yield* Users.findById("1"), ada)
      const found = Option.getOrThrow(yield* Users.findByLogin("Ada@Example.com"))
      assert.strictEqual(found.user, ada)
      assertSome(found.passwordHash, hash)
      assertNone(yield* Users.findById("2"))
      assertNone(yield* Users.findByLogin("bob@example.com"))
    }).pipe(Effect.provide(Users.layerMemory)))

  it.effect("keep the login as it was given and are found in each way to type it", () =>
    Effect.gen(function*() {
      yield* Users.insert(ada, Option.none())
      for (const login of ["ada@example.com", "ADA@EXAMPLE.COM", "ａda@example.com"]) {
        const found = Option.getOrThrow(yield* Users.findByLogin(login))
        assert.strictEqual(found.user.email, "Ada@Example.com")
        assertNone(found.passwordHash)
      }
      for (const login of ["", "\ud800", " ada@example.com", "__proto__"]) {
        assertNone(yield* Users.findByLogin(login))
      }
    }).pipe(Effect.provide(Users.layerMemory)))

  it.effect("do not share a login that compares equal, nor an id", () =>
    Effect.gen(function*() {
      yield* Users.insert(ada, Option.some(hash))
      for (const taken of [user("2", "Ada@Example.com"), user("2", "ada@example.COM"), user("1", "bob@example.com")]) {
        const error = yield* Effect.flip(Users.insert(taken, Option.none()))
        assert.strictEqual(error._tag, "LoginTaken")
      }
      // Nothing of the refused ones stays.
      assertNone(yield* Users.findById("2"))
      assertNone(yield* Users.findByLogin("bob@example.com"))
      assertSome(yield* Users.findById("1"), ada)
    }).pipe(Effect.provide(Users.layerMemory)))

  it.effect("are inserted once when many try at the same time", () =>
    Effect.gen(function*() {
      const attempts = Array.from({ length: 50 }, (_, index) =>
        Users.insert(user(String(index), index % 2 === 0 ? "ada@example.com" : "ADA@example.com"), Option.none()).pipe(
          Effect.as(String(index)),
          Effect.option
        ))
      const inserted = (yield* Effect.all(attempts, { concurrency: "unbounded" })).flatMap(Option.toArray)
      assert.lengthOf(inserted, 1)
      assert.strictEqual(Option.getOrThrow(yield* Users.findByLogin("ada@example.com")).user.id, inserted[0])
    }).pipe(Effect.provide(Users.layerMemory)))

  it.effect("change their hash only from the one that is expected", () =>
    Effect.gen(function*() {
      const stored = Effect.map(Users.findByLogin("ada@example.com"), Option.flatMap((_) => _.passwordHash))
      yield* Users.insert(ada, Option.none())
      assert.isFalse(yield* Users.setPasswordHash("1", { from: Option.some(hash), to: other }))
      assertNone(yield* stored)
      assert.isTrue(yield* Users.setPasswordHash("1", { from: Option.none(), to: hash }))
      assertSome(yield* stored, hash)
      assert.isFalse(yield* Users.setPasswordHash("1", { from: Option.none(), to: other }))
      assertSome(yield* stored, hash)
      assert.isTrue(yield* Users.setPasswordHash("1", { from: Option.some(hash), to: other }))
      assertSome(yield* stored, other)
      assert.isFalse(yield* Users.setPasswordHash("2", { from: Option.none(), to: hash }))
      assertSome(yield* Users.findById("1"), ada)
    }).pipe(Effect.provide(Users.layerMemory)))

  it.effect("are one memory when the layer is provided twice", () =>
    Effect.gen(function*() {
      class Writer extends Context.Tag("Writer")<Writer, Effect.Effect<void>>() {}
      class Reader extends Context.Tag("Reader")<Reader, Effect.Effect<boolean>>() {}
      const users = Effect.context<Users>()
      const writer = Layer.effect(
        Writer,
        Effect.map(users, (context) => Effect.orDie(Effect.provide(Users.insert(ada, Option.none()), context)))
      ).pipe(Layer.provide(Users.layerMemory))
      const reader = Layer.effect(
        Reader,
        Effect.map(users, (context) =>
          Effect.orDie(Effect.provide(Effect.map(Users.findById("1"), Option.isSome), context)))
      ).pipe(Layer.provide(Users.layerMemory))
      const found = Effect.zipRight(Effect.flatten(Writer), Effect.flatten(Reader))
      assert.isTrue(yield* Effect.provide(found, Layer.merge(writer, reader)))
      // Another run has another memory.
      assert.isFalse(yield* Effect.provide(Effect.flatten(Reader), reader))
    }))

  it.effect("may have ids that are compared by value, and a login that is the id", () =>
    Effect.gen(function*() {
      const Id = Schema.Data(Schema.Struct({ tenant: Schema.String, name: Schema.String }))
      const Member = Schema.Struct({ id: Id, name: Schema.String })
      class Members extends UserRepository.Tag<Members>()("test/Members", { user: Member, id: "id", login: "name" }) {}
      class Names extends UserRepository.Tag<Names>()("test/Names", { user: Member, id: "name", login: "name" }) {}
      const member = { id: Data.struct({ tenant: "a", name: "ada" }), name: "Ada" }
      yield* Effect.gen(function*() {
        yield* Members.insert(member, Option.none())
        assertSome(yield* Members.findById(Data.struct({ tenant: "a", name: "ada" })), member)
        assertNone(yield* Members.findById(Data.struct({ tenant: "b", name: "ada" })))
      }).pipe(Effect.provide(Members.layerMemory))
      yield* Effect.gen(function*() {
        yield* Names.insert(member, Option.none())
        assertSome(yield* Names.findById("Ada"), member)
        assertNone(yield* Names.findById("ada"))
        assert.strictEqual(
          (yield* Effect.flip(Names.insert({ ...member, name: "ADA" }, Option.none())))._tag,
          "LoginTaken"
        )
      }).pipe(Effect.provide(Names.layerMemory))
    }))
})

describe("the application's own repository", () => {
  const own: UserRepository.Service<User, string> = {
    findById: (id) => Effect.succeed(id === "1" ? Option.some(ada) : Option.none()),
    findByLogin: () => Effect.fail(new SecurityUnavailable({ reason: "down" })),
    insert: () => Effect.fail(new UserRepository.LoginTaken()),
    setPasswordHash: () => Effect.succeed(true)
  }

  it.effect("is a layer as it is", () =>
    Effect.gen(function*() {
      assertSome(yield* Users.findById("1"), ada)
      assert.strictEqual((yield* Effect.flip(Users.findByLogin("x")))._tag, "SecurityUnavailable")
      assert.strictEqual((yield* Effect.flip(Users.insert(ada, Option.none())))._tag, "LoginTaken")
      assert.isTrue(yield* Users.setPasswordHash("1", { from: Option.none(), to: hash }))
      assert.strictEqual(yield* Users, own)
    }).pipe(Effect.provide(Users.layer(own))))

  it.effect("may be made by an effect, with a scope and with services of its own", () =>
    Effect.gen(function*() {
      class Database extends Context.Tag("Database")<Database, string>() {}
      const closed: Array<string> = []
      const layer = Users.layer(Effect.gen(function*() {
        const database = yield* Database
        yield* Effect.addFinalizer(() => Effect.sync(() => closed.push(database)))
        return own
      }))
      const found = Users.findById("1").pipe(
        Effect.tap(() => assert.deepStrictEqual(closed, [])),
        Effect.provide(layer.pipe(Layer.provide(Layer.succeed(Database, "db"))))
      )
      assertSome(yield* found, ada)
      assert.deepStrictEqual(closed, ["db"])
    }))
})

describe("the class", () => {
  it("is a Tag and knows its schema, ids and logins", () => {
    assert.isTrue(Context.isTag(Users))
    assert.strictEqual(Users.key, "test/Users")
    assert.strictEqual<unknown>(Users.user, User)
    assert.strictEqual(Users.idOf(ada), "1")
    assert.strictEqual(Users.loginOf(ada), "Ada@Example.com")
    assert.strictEqual(Users.layerMemory, Users.layerMemory)
  })

  it.effect("of another key is another repository", () =>
    Effect.gen(function*() {
      class Admins extends UserRepository.Tag<Admins>()("test/Admins", { user: User, id: "id", login: "email" }) {}
      yield* Users.insert(ada, Option.none())
      assertNone(yield* Admins.findById("1"))
    }).pipe(
      Effect.provide(Layer.merge(
        Users.layerMemory,
        UserRepository.Tag<any>()("test/Admins", { user: User, id: "id", login: "email" }).layerMemory
      ))
    ))

  it.effect("names itself when it is missing", () =>
    Effect.gen(function*() {
      const missing = Users.findById("1") as Effect.Effect<unknown>
      assert.include(Cause.pretty(yield* Effect.flip(Effect.sandbox(missing))), "Service not found: test/Users")
    }))
})

describe("a taken login", () => {
  it.effect("is a problem of status 409 that does not repeat it", () =>
    Effect.gen(function*() {
      const response = HttpServerResponse.toWeb(
        yield* HttpServerRespondable.toResponse(new UserRepository.LoginTaken())
      )
      assert.strictEqual(response.status, 409)
      assert.strictEqual(response.headers.get("content-type"), "application/problem+json")
      assert.deepStrictEqual(yield* Effect.promise(() => response.json()), {
        _tag: "LoginTaken",
        type: "about:blank",
        title: "Conflict",
        status: 409
      })
    }))
})
