// What counts as a use of a session, and how long a verified password may wait for it.
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, TestClock } from "effect"
import { Auth, granted, live, send, signIn } from "./fixtures.js"

const post = { method: "POST" }

describe("a session that is only written", () => {
  it.effect("lasts as one that is read, until its absolute deadline", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      for (let day = 1; day < 30; day++) {
        yield* TestClock.adjust("1 day")
        const reply = yield* send(Auth.update((session) => ({ ...session, cart: [String(day)] })), { ...post, token })
        assert.strictEqual(reply.status, 204, String(day))
      }
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* send(Auth.user, { token })).status, 401)
    }).pipe(Effect.provide(live())))

  it.effect("was used when it was rotated", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      yield* TestClock.adjust("6 days")
      const rotated = granted(yield* send(Auth.rotate, { ...post, token }))
      yield* TestClock.adjust("6 days")
      assert.strictEqual((yield* send(Auth.user, { token: rotated })).status, 204)
      yield* TestClock.adjust("18 days")
      assert.strictEqual((yield* send(Auth.user, { token: rotated })).status, 401)
    }).pipe(Effect.provide(live())))
})

describe("a sign-in that verified the password before all sessions were ended", () => {
  const verifiedAt = DateTime.unsafeMake(0)

  it.effect("cannot land after it, however slow it was", () =>
    Effect.gen(function*() {
      for (const wait of ["1 second", "9 minutes", "11 minutes", "1 day"] as const) {
        yield* TestClock.setTime(0)
        yield* TestClock.adjust("1 millis")
        yield* Auth.revokeSubject("ada")
        yield* TestClock.adjust(wait)
        const reply = yield* send(Auth.login({ userId: "ada" }, { verifiedAt }), post)
        assert.deepStrictEqual([reply.status, reply.setCookie.length], [401, 0], wait)
      }
    }).pipe(Effect.provide(live())))

  it.effect("may take a little less than ten minutes where nothing was ended", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust(10 * 60_000 - 1)
      assert.strictEqual((yield* send(Auth.login({ userId: "ada" }, { verifiedAt }), post)).status, 204)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* send(Auth.login({ userId: "ada" }, { verifiedAt }), post)).status, 401)
    }).pipe(Effect.provide(live())))
})
