import { assert, describe, it, layer } from "@effect/vitest"
import { assertSome } from "@effect/vitest/utils"
import { Effect, FastCheck as fc } from "effect"
import { SessionStore } from "effect-security/session/SessionStore"
import { escape, toKey, unescape } from "../../../src/internal/columnText.js"
import { kinds, postgres } from "./databases.js"
import { created, layerOver } from "./fixtures.js"

/** Any code units, with more of what databases stumble over. */
const text = fc.array(
  fc.oneof(
    fc.constantFrom("\0", "\ud800", "\udc00", "\\", "\"", "\\u0000", "\u{1f512}", "'", "%"),
    fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit))
  ),
  { maxLength: 40 }
).map((units) => units.join(""))

describe("the text of a column", () => {
  it.prop("gives the text back, and holds what every database keeps", [text], ([given]) => {
    assert.strictEqual(unescape(escape(given)), given)
    assert.notMatch(escape(given), /\0|\p{Surrogate}/u)
  }, { fastCheck: { numRuns: 1_000 } })

  it.prop("is the text itself where nothing is to be escaped", [fc.stringMatching(/^[\w @.:/é日-]*$/)], ([given]) => {
    assert.strictEqual(escape(given), given)
  })

  it("is different for different keys, short or long", () => {
    const long = "x".repeat(501)
    const texts = ["x", "X", "x ", "x\0", "", "\"", "\\", "\\\\", long, `${long}x`, toKey(long), long.toUpperCase()]
    assert.strictEqual(new Set(texts.map(toKey)).size, texts.length)
    for (const key of texts.map(toKey)) assert.isAtMost(key.length, 500)
  })
})

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`in ${kind.name}`, () => {
    layer(layerOver(kind), { excludeTestServices: true })((it) => {
      it.effect("sessions of any realm, subject and user agent are found as they were", () =>
        Effect.gen(function*() {
          const store = yield* SessionStore
          const texts = ["\0", "\ud800", "\udc00x", "\\u0000", "\\", "\"", "a\0b", "\ufffd", "é", "e\u0301", "\uffff"]
          for (const given of new Set([...texts, ...fc.sample(text, { numRuns: 50, seed: 1 })])) {
            const session = yield* created({ realm: given, subject: given, userAgent: given })
            assertSome(yield* store.find(session.id), session)
            assert.deepStrictEqual(yield* store.listBySubject(given, given), [session])
          }
        }))
    })
  })
}

describe.skipIf(!postgres.isThere)("in PostgreSQL", () => {
  it.live("a subject may be as long as its index takes", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore
      // Random, so that it cannot be compressed.
      const subject = (length: number) =>
        fc.sample(fc.stringMatching(/^[\w-]{250}$/), { numRuns: length / 250, seed: 1 }).join("")
      const session = yield* created({ subject: subject(2_500) })
      assert.deepStrictEqual(yield* store.listBySubject("test", subject(2_500)), [session])
      const error = yield* Effect.flip(created({ subject: subject(5_000) }))
      assert.strictEqual(error.message, "the database of the sessions failed (54000)")
    }).pipe(Effect.provide(layerOver(postgres))))
})
