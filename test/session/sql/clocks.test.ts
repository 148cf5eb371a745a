import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SessionStore } from "effect-security/session/SessionStore"
import { kinds } from "./databases.js"
import { at, layerOver, realm, record, subject } from "./fixtures.js"

/** Ahead of any real clock, so that the store's own sweeper leaves it alone. */
const now = Date.UTC(2150)
const minute = 60_000

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`processes whose clocks differ, over ${kind.name}`, () => {
    it.live("let nobody sign in that the one whose clock is ahead has refused", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore
        const end = store.removeBySubject(realm, subject, { except: Option.none() })
        yield* at(now)(end)
        yield* at(now - minute)(end)
        const late = yield* record({ authenticatedAt: now - 1 })
        assert.strictEqual((yield* Effect.flip(at(now)(store.create(late))))._tag, "SessionRefused")
        yield* at(now + 1)(end)
        const next = yield* record({ authenticatedAt: now })
        assert.strictEqual((yield* Effect.flip(at(now + 1)(store.create(next))))._tag, "SessionRefused")
        yield* at(now + 1)(store.create(yield* record({ authenticatedAt: now + 1 })))
      }).pipe(Effect.provide(layerOver(kind))))
  })
}
