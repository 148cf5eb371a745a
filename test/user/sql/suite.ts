import { assert } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import { Effect, Option } from "effect"
import { createHash } from "node:crypto"
import { passwordHash, user, Users } from "../fixtures.js"

// What every repository of users promises, for one that is empty at the start of each case.

const ada = user("1", "Ada@Example.com")
const hash = passwordHash("$fast$salt$hash")
const other = passwordHash("$fast$salt$other")

/** Longer than what a database indexes, however well it is compressed. */
const long = Array.from({ length: 150 }, (_, index) => createHash("sha256").update(`${index}`).digest("hex")).join("")

const hashOf = (login: string) => Effect.map(Users.findByLogin(login), Option.flatMap((_) => _.passwordHash))

export const cases: ReadonlyArray<{ readonly name: string; readonly run: Effect.Effect<void, unknown, Users> }> = [
  {
    name: "are found by id and by login",
    run: Effect.gen(function*() {
      yield* Users.insert(ada, Option.some(hash))
      assertSome(yield* Users.findById("1"), ada)
      const found = Option.getOrThrow(yield* Users.findByLogin("Ada@Example.com"))
      assert.deepStrictEqual(found.user, ada)
      assertSome(found.passwordHash, hash)
      assertNone(yield* Users.findById("2"))
      assertNone(yield* Users.findById("1 "))
      assertNone(yield* Users.findByLogin("bob@example.com"))
    })
  },
  {
    name: "keep the login as it was given and are found in each way to type it",
    run: Effect.gen(function*() {
      yield* Users.insert(ada, Option.none())
      for (const login of ["ada@example.com", "ADA@EXAMPLE.COM", "\uff41da@example.com"]) {
        const found = Option.getOrThrow(yield* Users.findByLogin(login))
        assert.strictEqual(found.user.email, "Ada@Example.com")
        assertNone(found.passwordHash)
      }
      for (
        const login of [
          "",
          "\0",
          "\ud800",
          "ada@example.com\0",
          " ada@example.com",
          "__proto__",
          "%",
          "x".repeat(9_000)
        ]
      ) {
        assertNone(yield* Users.findByLogin(login))
      }
    })
  },
  {
    name: "do not share a login that compares equal, nor an id",
    run: Effect.gen(function*() {
      yield* Users.insert(ada, Option.some(hash))
      for (const taken of [user("2", "Ada@Example.com"), user("2", "ada@example.COM"), user("1", "bob@example.com")]) {
        assert.strictEqual((yield* Effect.flip(Users.insert(taken, Option.none())))._tag, "LoginTaken")
      }
      assertNone(yield* Users.findById("2"))
      assertNone(yield* Users.findByLogin("bob@example.com"))
      assertSome(yield* Users.findById("1"), ada)
      assertSome(yield* hashOf("ada@example.com"), hash)
    })
  },
  {
    name: "are others when their logins or ids only look alike",
    run: Effect.gen(function*() {
      const texts = ["a", "a ", "a\0", "a\\", "a\"", "a\ud800", "a\udc00", "\u00e9", "e", long, `${long}x`]
      yield* Effect.forEach(texts, (text) => Users.insert(user(text, text), Option.none()))
      for (const text of texts) {
        assertSome(yield* Users.findById(text), user(text, text))
        assert.deepStrictEqual(Option.getOrThrow(yield* Users.findByLogin(text)).user, user(text, text))
      }
    })
  },
  {
    name: "are inserted once when many try at the same time",
    run: Effect.gen(function*() {
      const attempts = Array.from(
        { length: 50 },
        (_, index) =>
          Users.insert(user(String(index), index % 2 === 0 ? "ada@example.com" : "ADA@example.com"), Option.none())
            .pipe(
              Effect.as(Option.some(String(index))),
              Effect.catchTag("LoginTaken", () => Effect.succeedNone)
            )
      )
      const inserted = (yield* Effect.all(attempts, { concurrency: "unbounded" })).flatMap(Option.toArray)
      assert.lengthOf(inserted, 1)
      assert.strictEqual(Option.getOrThrow(yield* Users.findByLogin("ada@example.com")).user.id, inserted[0])
    })
  },
  {
    name: "change their hash only from the one that is expected",
    run: Effect.gen(function*() {
      yield* Users.insert(ada, Option.none())
      assert.isFalse(yield* Users.setPasswordHash("1", { from: Option.some(hash), to: other }))
      assertNone(yield* hashOf("ada@example.com"))
      assert.isTrue(yield* Users.setPasswordHash("1", { from: Option.none(), to: hash }))
      assertSome(yield* hashOf("ada@example.com"), hash)
      assert.isFalse(yield* Users.setPasswordHash("1", { from: Option.none(), to: other }))
      assert.isTrue(yield* Users.setPasswordHash("1", { from: Option.some(hash), to: other }))
      assertSome(yield* hashOf("ada@example.com"), other)
      assert.isFalse(yield* Users.setPasswordHash("2", { from: Option.none(), to: hash }))
      assertSome(yield* Users.findById("1"), ada)
    })
  },
  {
    name: "change their hash once when many would change the same one",
    run: Effect.gen(function*() {
      yield* Users.insert(ada, Option.some(hash))
      const next = (index: number) => passwordHash(`$fast$salt$next${index}`)
      const changed = yield* Effect.all(
        Array.from(
          { length: 20 },
          (_, index) => Users.setPasswordHash("1", { from: Option.some(hash), to: next(index) })
        ),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(changed.filter((won) => won), 1)
      assertSome(yield* hashOf("ada@example.com"), next(changed.indexOf(true)))
    })
  }
]
