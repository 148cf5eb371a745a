import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import { Cause, Effect, Layer, Option, Schema } from "effect"
import * as UserRepository from "effect-security/user/UserRepository"
import * as UserRepositorySql from "effect-security/user/UserRepositorySql"
import { inspect } from "node:util"
import type { Kind, Renaming } from "../../session/sql/databases.js"
import { kinds, layerFresh, sqlite } from "../../session/sql/databases.js"
import { passwordHash, User, user, Users } from "../fixtures.js"
import { cases } from "./suite.js"

const ada = user("1", "Ada@Example.com")
const hash = passwordHash("$fast$c2FsdA$aGFzaA")

const database = (kind: Kind, options?: Renaming) =>
  UserRepositorySql.layerMigrations.pipe(Layer.provideMerge(layerFresh(kind, options)), Layer.orDie)

const users = (kind: Kind, options?: Renaming) =>
  Layer.provideMerge(UserRepositorySql.layer(Users), database(kind, options))

class Counted extends UserRepository.Tag<Counted>()("test/Counted", {
  user: Schema.Struct({ id: Schema.Number, name: Schema.String, since: Schema.DateTimeUtc }),
  id: "id",
  login: "name"
}) {}

class Big extends UserRepository.Tag<Big>()("test/Big", {
  user: Schema.Struct({ id: Schema.BigInt, name: Schema.String }),
  id: "id",
  login: "name"
}) {}

class Admins extends UserRepository.Tag<Admins>()("test/Admins", { user: User, id: "id", login: "email" }) {}

class Dated extends UserRepository.Tag<Dated>()("test/Dated", {
  user: Schema.Struct({ id: Schema.String, name: Schema.String, at: Schema.DateFromSelf }),
  id: "id",
  login: "name"
}) {}

const Growing = Schema.transform(Schema.String, Schema.String, {
  decode: (text) => `${text}!`,
  encode: (text) => text
})

class Grown extends UserRepository.Tag<Grown>()("test/Grown", {
  user: Schema.Struct({ id: Schema.String, name: Growing }),
  id: "id",
  login: "name"
}) {}

const repositories = [
  { name: "memory", isThere: true, layer: Users.layerMemory },
  ...kinds.map((kind) => ({ name: kind.name, isThere: kind.isThere, layer: users(kind) }))
]

for (const { isThere, layer, name } of repositories) {
  describe.skipIf(!isThere)(`users in ${name}`, () => {
    for (const { name, run } of cases) {
      it.live(name, () => Effect.provide(run, layer))
    }
  })
}

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`a table of users in ${kind.name}`, () => {
    it.live("holds those of several repositories, whose ids and logins are their own", () =>
      Effect.gen(function*() {
        yield* Users.insert(ada, Option.some(hash))
        assertNone(yield* Admins.findById("1"))
        assertNone(yield* Admins.findByLogin("ada@example.com"))
        yield* Admins.insert(user("1", "ada@example.com"), Option.none())
        assert.isFalse(yield* Admins.setPasswordHash("1", { from: Option.some(hash), to: hash }))
        assertSome(yield* Users.findById("1"), ada)
      }).pipe(
        Effect.provide(
          Layer.merge(UserRepositorySql.layer(Users), UserRepositorySql.layer(Admins)).pipe(
            Layer.provide(database(kind))
          )
        )
      ))

    it.live("has ids that are numbers or bigints, and users as their schema decodes them", () =>
      Effect.gen(function*() {
        const counted = Schema.decodeSync(Counted.user)({ id: 7, name: "Ada", since: "2020-01-01T00:00:00.000Z" })
        yield* Counted.insert(counted, Option.none())
        assertSome(yield* Counted.findById(7), counted)
        assertNone(yield* Counted.findById(0.7))
        const big = { id: 2n ** 70n, name: "Ada" }
        yield* Big.insert(big, Option.none())
        assertSome(yield* Big.findById(2n ** 70n), big)
        assertNone(yield* Big.findById(2n ** 70n + 1n))
        assert.isTrue(yield* Big.setPasswordHash(2n ** 70n, { from: Option.none(), to: hash }))
      }).pipe(
        Effect.provide(
          Layer.merge(UserRepositorySql.layer(Counted), UserRepositorySql.layer(Big)).pipe(
            Layer.provide(database(kind))
          )
        )
      ))

    it.live("never says of a row that it cannot read that there is no such user", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Users.insert(ada, Option.some(hash))
        const errors = Effect.all([
          Effect.flip(Users.findById("1")),
          Effect.flip(Users.findByLogin("ada@example.com"))
        ])
        const unreadable = {
          "a user of test/Users does not decode": "not json",
          "a user of test/Users does not decode (email)": JSON.stringify({
            id: "1",
            name: "Ada",
            email: ["secret@example.com"]
          }),
          "a user of test/Users stands under the id or login of another": JSON.stringify({
            id: "2",
            name: "Eve",
            email: "secret@example.com"
          })
        }
        for (const [reason, data] of Object.entries(unreadable)) {
          yield* sql`UPDATE effect_security_users SET data = ${data}`
          for (const error of yield* errors) {
            assert.strictEqual(error._tag, "SecurityUnavailable")
            assert.strictEqual(error.message, reason)
            assert.notInclude(inspect(error, { depth: 10 }), "secret@")
          }
        }
        yield* sql`UPDATE effect_security_users SET data = ${
          JSON.stringify({ id: "1", name: "Ada", email: "ada@example.com" })
        }, password_hash = 'hunter2'`
        const error = yield* Effect.flip(Users.findByLogin("ada@example.com"))
        assert.strictEqual(error.message, "a user of test/Users has a password hash that is none")
        assert.notInclude(inspect(error, { depth: 10 }), "hunter2")
      }).pipe(Effect.provide(users(kind))))

    it.live("takes nobody who could not be found again", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const errors = yield* Effect.all([
          Effect.flip(Dated.insert({ id: "1", name: "ada", at: new Date(0) }, Option.none())),
          Effect.flip(Dated.insert({ id: 1 as never, name: "ada", at: new Date(0) }, Option.none())),
          Effect.flip(Grown.insert({ id: "1", name: "ada" }, Option.none()))
        ])
        assert.deepStrictEqual(errors.map(({ message }) => message), [
          "a user of test/Dated does not decode (at)",
          "a user of test/Dated does not encode (id)",
          "a user of test/Grown does not keep its id and login as JSON"
        ])
        assert.lengthOf(yield* sql`SELECT id FROM effect_security_users`, 0)
      }).pipe(
        Effect.provide(
          Layer.provideMerge(
            Layer.merge(UserRepositorySql.layer(Dated), UserRepositorySql.layer(Grown)),
            database(kind)
          )
        )
      ))

    it.live("repeats no user and no hash in a failure", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* kind.dialect === "pg"
          ? sql`ALTER TABLE effect_security_users ADD CHECK (password_hash IS NULL)`
          : sql`CREATE TRIGGER refuse BEFORE INSERT ON effect_security_users
              BEGIN SELECT RAISE(ABORT, 'no'); END`
        const error = yield* Effect.flip(Users.insert(ada, Option.some(hash)))
        assert.strictEqual(error._tag, "SecurityUnavailable")
        assert.match(error.message, /^the database of the users failed \((23514|SQLITE_CONSTRAINT_TRIGGER)\)$/)
        const shown = inspect(error, { depth: 10, showHidden: true }) +
          Cause.pretty(Cause.fail(error), { renderErrorCause: true })
        assert.notInclude(shown, "aGFzaA")
        assert.notInclude(shown, "Ada@")
      }).pipe(Effect.provide(users(kind))))

    it.live("is missed by a sentence that says what makes it", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Users.findById("1"))
        assert.strictEqual(error.message, "the database has not the tables of the users: run UserRepositorySql.migrate")
      }).pipe(Effect.provide(UserRepositorySql.layer(Users).pipe(Layer.provide(layerFresh(kind))))))

    it.live("is the same to a client that renames what it sends and gets", () =>
      Effect.gen(function*() {
        yield* Users.insert(ada, Option.some(hash))
        assertSome(Option.getOrThrow(yield* Users.findByLogin("ada@example.com")).passwordHash, hash)
        assert.isTrue(yield* Users.setPasswordHash("1", { from: Option.some(hash), to: hash }))
      }).pipe(
        Effect.provide(users(kind, {
          transformResultNames: (name) => `result_${name}`,
          transformQueryNames: (name) => `query_${name}`
        }))
      ))

    it.live("is written to outside of a transaction of the application, or not at all", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const inserted = yield* Effect.exit(
          sql.withTransaction(Effect.flatMap(Effect.exit(Users.insert(ada, Option.none())), Effect.fail))
        )
        const isInserted = Option.isSome(yield* Users.findById("1"))
        assert.strictEqual(isInserted, kind !== sqlite)
        assert.strictEqual(isInserted, !String(inserted).includes("SecurityUnavailable"))
      }).pipe(Effect.provide(users(kind))))
  })
}
