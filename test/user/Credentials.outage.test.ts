import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Credentials from "effect-security/user/Credentials"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import { fast, newPassword, user, Users } from "./fixtures.js"

const ways = {
  "fails": Effect.fail("secret"),
  "dies": Effect.die("secret"),
  "is interrupted": Effect.interrupt,
  "never answers": Effect.never,
  "never answers and cannot be interrupted": Effect.uninterruptible(Effect.never)
}

const broken = (way: Effect.Effect<never, any>) =>
  Users.layer({ findById: () => way, findByLogin: () => way, insert: () => way, setPasswordHash: () => way })

describe("a repository", () => {
  it.live.each(Object.entries(ways))(
    "that %s makes signing in and up unavailable, and no password wrong",
    ([, way]) =>
      Effect.gen(function*() {
        const ada = user("1", "ada@example.com")
        const verified = yield* Effect.flip(
          Credentials.verify(Users, { login: ada.email, password: Password.make("correct horse") })
        )
        assert.strictEqual(verified._tag, "SecurityUnavailable")
        const registered = yield* Effect.flip(
          Credentials.register(Users, { user: ada, password: newPassword("correct horse") })
        )
        assert.strictEqual(registered._tag, "SecurityUnavailable")
        assert.notInclude(JSON.stringify([verified, registered]), "secret")
      }).pipe(Effect.provide(Layer.merge(broken(way), PasswordHasher.layer({ algorithm: fast }))))
  )
})
