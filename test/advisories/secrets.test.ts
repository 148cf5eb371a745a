// Published holes of other libraries in how they make, compare, shorten and print secrets.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, LogLevel, Option, Ref, Schema } from "effect"
import * as SecurityError from "effect-security/SecurityError"
import * as Session from "effect-security/session/Session"
import * as Credentials from "effect-security/user/Credentials"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"
import * as Crypto from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { vi } from "vitest"
import { Auth, granted, idOf, live, logsTo, send, sendAny, signIn, storeWith } from "../session/fixtures.js"
import { Calls, fast, layerSpy, newPassword, user, Users } from "../user/fixtures.js"

// Keeps what they do, and counts their calls.
vi.mock("node:crypto", { spy: true })

const posting = { method: "POST" }

const hashers = {
  Argon2: PasswordHasherArgon2.layerWith({ memoryCost: 8, timeCost: 1, parallelism: 1 }),
  scrypt: PasswordHasherScrypt.layerWith({ logN: 1, blockSize: 1, parallelism: 1 })
}

// -----------------------------------------------------------------------------
// Comparing
// -----------------------------------------------------------------------------

describe("a secret is not guessed by the time that a comparison takes", () => {
  const names = "\\w*(?:token|secret|password|digest|signature|apikey|mac|hash)"
  const left = `\\b${names}(?:\\.value|\\)+)? *[!=]==? *(?!undefined|null|true|false|\\d)`
  const right = `[!=]==? *(?:\\w+[.(])*${names}\\b(?!\\.(?:length|_tag))`
  /** Where a name of a secret stands next to an equality of strings. */
  const comparison = new RegExp(`${left}|${right}`, "i")
  const source = fileURLToPath(new URL("../../src/", import.meta.url))
  const lines = readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => readFileSync(join(source, file), "utf8").split("\n").map((line) => `${file}: ${line}`))
    .filter((line) => !/: *(?:\*|\/\/)/.test(line))

  it("as no source compares one by === (CVE-2016-1000236, GHSA-92vm-wfm5-mxvv, 91def7ca)", () => {
    for (
      const bad of [
        "a: hash === stored.hash",
        "a: sha256(a) === record.secretHash",
        "a: if (token !== expected) {",
        "a: Redacted.value(password) === text",
        "a: digest == other",
        "a: x === Redacted.value(_.secret) || text === apiKey"
      ]
    ) {
      assert.match(bad, comparison)
    }
    assert.isAbove(lines.length, 1_000)
    assert.deepStrictEqual(lines.filter((line) => comparison.test(line)), [])
  })

  it.effect("as scrypt compares by timingSafeEqual, once (CVE-2016-1000236, 91def7ca)", () =>
    Effect.gen(function*() {
      const hasher = yield* PasswordHasher.PasswordHasher
      const hash = yield* hasher.hash(Password.make("correct horse battery"))
      const compare = vi.mocked(Crypto.timingSafeEqual)
      for (const [text, expected] of [["correct horse battery", true], ["correct horse batterz", false]] as const) {
        compare.mockClear()
        assert.strictEqual(yield* hasher.verify(Password.make(text), hash), expected)
        assert.strictEqual(compare.mock.calls.length, 1)
      }
    }).pipe(Effect.provide(hashers.scrypt)))

  it.effect("as the store sees SHA-256 of it, which no near miss comes near to (CVE-2019-16782, 81f551a)", () => {
    const asked: Array<string> = []
    const store = storeWith((store) => ({
      find: (id) => Effect.zipRight(Effect.sync(() => asked.push(id)), store.find(id))
    }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      const id = idOf(token)
      const [tag, secret] = token.split(".") as [string, string]
      // An attacker who has the first n characters right, and tries every next one.
      const other = (character: string) => character === "A" ? "Q" : "A"
      const guesses = Array.from(
        secret,
        (character, index) => `${tag}.${secret.slice(0, index)}${other(character)}${secret.slice(index + 1)}`
      )
      for (const guess of guesses) assert.strictEqual((yield* send(Auth.user, { token: guess })).status, 401)
      const sha256 = (text: string) => Crypto.createHash("sha256").update(`test/Auth\0${text}`).digest("base64url")
      assert.deepStrictEqual(asked, guesses.map((guess) => `${tag}.${sha256(guess)}`))
      const inCommon = asked.map((key) => {
        const at = Array.from(key.slice(13)).findIndex((character, index) => character !== id[13 + index])
        return at === -1 ? 43 : at
      })
      // One more character of the secret right is not one more of the key: 6 of 43 by chance is one in 10^9.
      assert.isBelow(Math.max(...inCommon), 6)
      // Who reads the keys of a store signs in with none of them.
      asked.length = 0
      assert.strictEqual((yield* send(Auth.user, { token: id })).status, 401)
      assert.notInclude(asked, id)
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
    }).pipe(Effect.provide(live({}, store)))
  })
})

// -----------------------------------------------------------------------------
// Making
// -----------------------------------------------------------------------------

class Visit extends Session.Tag<Visit>()("test/Visit", {
  session: Schema.Struct({ page: Schema.optional(Schema.String) })
}) {}

describe("what has to be unpredictable", () => {
  const csprng = Context.GenericTag<never, (length: number) => Uint8Array>("effect-security/internal/Csprng")

  /** Each random part of all that the library makes, from a generator that gives one byte again and again. */
  const parts = (byte: number) =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const rotated = granted(yield* send(Auth.rotate, { method: "POST", token }))
      const visit = granted(
        yield* send(Visit.update(() => ({ page: "/" })), { method: "POST" }),
        "__Host-Visit"
      )
      const salt = (layer: Layer.Layer<PasswordHasher.PasswordHasher>) =>
        Effect.flatMap(PasswordHasher.PasswordHasher, (_) => _.hash(newPassword("correct horse battery"))).pipe(
          Effect.map((hash) => hash.split("$").at(-2)),
          Effect.provide(layer)
        )
      return {
        login: token.split(".")[1],
        rotation: rotated.split(".")[1],
        visitor: visit.split(".")[1],
        visitorsTag: visit.split(".")[0],
        argon2: yield* salt(hashers.Argon2),
        scrypt: yield* salt(hashers.scrypt)
      }
    }).pipe(
      Effect.provide(Layer.provideMerge(Visit.layer({}), live())),
      Effect.provideService(csprng, (length) => new Uint8Array(length).fill(byte))
    )

  it.effect("comes from the secure generator and from nothing else, not Math.random (57a982b4)", () =>
    Effect.gen(function*() {
      const encoded = (byte: number, length: number) => Buffer.alloc(length, byte)
      for (const byte of [0x00, 0x5a, 0xff]) {
        const secret = encoded(byte, 32).toString("base64url")
        const salt = encoded(byte, 16).toString("base64").replaceAll("=", "")
        assert.deepStrictEqual(yield* parts(byte), {
          login: secret,
          rotation: secret,
          visitor: secret,
          visitorsTag: encoded(byte, 9).toString("base64url"),
          argon2: salt,
          scrypt: salt
        })
      }
    }))

  it.effect("is asked of globalThis.crypto where nobody says otherwise (57a982b4)", () =>
    Effect.gen(function*() {
      const given = vi.spyOn(globalThis.crypto, "getRandomValues")
      const token = yield* signIn()
      const bytes = given.mock.results.map(({ value }) => Buffer.from(value as Uint8Array).toString("base64url"))
      given.mockRestore()
      assert.include(bytes, token.split(".")[1])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Passwords
// -----------------------------------------------------------------------------

describe("a password", () => {
  for (const [name, layer] of Object.entries(hashers)) {
    it.effect(`is hashed to its last byte by ${name}, also beyond 72 (CVE-2025-22228)`, () =>
      Effect.gen(function*() {
        const hasher = yield* PasswordHasher.PasswordHasher
        const heads = [
          ...[8, 55, 56, 64, 71, 72, 73, 127, 128, 255, 256, 1_023, 4_095].map((length) => "a".repeat(length)),
          // 72 bytes in 18 characters, and where a string of C ends.
          "\u{1f511}".repeat(18),
          "abcdefgh\u0000"
        ]
        for (const head of heads) {
          const hash = yield* hasher.hash(Password.make(`${head}x`))
          const results = yield* Effect.forEach(
            [`${head}x`, `${head}y`, head, `${head}xx`],
            (text) => hasher.verify(Password.make(text), hash)
          )
          assert.deepStrictEqual(results, [true, false, false, false], `${head.length}`)
        }
      }).pipe(Effect.provide(layer)))
  }
})

describe("who asks whether somebody has an account learns nothing from the work done", () => {
  const password = "correct horse battery staple"
  const people = Layer.merge(Users.layerMemory, layerSpy)
  const calls = Effect.flatMap(Calls, Ref.getAndSet<ReadonlyArray<string>>([]))
  const signUp = (id: string, email: string) =>
    Effect.zipLeft(Credentials.register(Users, { user: user(id, email), password: newPassword(password) }), calls)
  /** What an attempt comes to, and what the hasher was asked for it. */
  const attempt = (login: string, text: string) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Credentials.verify(Users, { login, password: Password.make(text) }))
      return JSON.stringify([error, yield* calls])
    })

  it.effect("one verification, also for a password that is too long to be one (CVE-2025-22234)", () =>
    Effect.gen(function*() {
      yield* signUp("1", "ada@example.com")
      const answers = yield* Effect.all([
        attempt("ada@example.com", "wrong"),
        attempt("eve@example.com", "wrong"),
        attempt("ada@example.com", "a".repeat(4_097)),
        attempt("eve@example.com", "a".repeat(4_097)),
        attempt("ada@example.com", "a".repeat(1_000_000)),
        attempt("eve@example.com", `${password}\ud800`)
      ])
      assert.strictEqual(new Set(answers).size, 1)
      assert.isTrue(answers[0]!.endsWith(`["verify"]]`), answers[0])
    }).pipe(Effect.provide(people)))

  it.effect("one verification, also for a user who may not sign in (CVE-2026-22746)", () =>
    Effect.gen(function*() {
      yield* signUp("1", "ada@example.com")
      yield* Users.insert(user("2", "locked@example.com"), Option.none())
      const answers = yield* Effect.all([
        attempt("ada@example.com", "wrong"),
        attempt("eve@example.com", "wrong"),
        attempt("locked@example.com", "wrong"),
        attempt("locked@example.com", password)
      ])
      assert.strictEqual(new Set(answers).size, 1)
      assert.isTrue(answers[0]!.endsWith(`["verify"]]`), answers[0])
      // The same where somebody signed in is asked for the current password, and is gone or locked by now.
      for (const [id, email] of [["1", "ada"], ["2", "locked"], ["3", "gone"]] as const) {
        const error = yield* Effect.flip(Credentials.changePassword(Users, {
          user: user(id, `${email}@example.com`),
          current: Password.make(id === "1" ? "wrong" : password),
          next: newPassword("another horse battery"),
          revoke: "keep"
        }))
        assert.strictEqual(JSON.stringify([error, yield* calls]), answers[0], email)
      }
    }).pipe(Effect.provide(people)))

  it.effect("what a guard says of a user is said to who had the right password (CVE-2026-22746)", () =>
    Effect.gen(function*() {
      yield* signUp("1", "ada@example.com")
      const signInWith = (text: string) =>
        send(
          Effect.gen(function*() {
            const verified = yield* Credentials.verify(Users, {
              login: "ada@example.com",
              password: Password.make(text)
            })
            yield* Auth.login({ userId: verified.user.id }, { verifiedAt: verified.verifiedAt })
          }),
          { method: "POST" }
        )
      const wrong = yield* signInWith("wrong")
      assert.deepStrictEqual([wrong.status, yield* calls], [401, ["verify"]])
      const right = yield* signInWith(password)
      assert.deepStrictEqual([right.status, yield* calls], [204, ["verify"]])
      assert.strictEqual((yield* send(Auth.user, { token: granted(right) })).status, 403)
    }).pipe(
      Effect.provide(Layer.merge(
        people,
        live({ guards: [() => Effect.fail(new SecurityError.PermissionDenied({ reason: "locked" }))] })
      ))
    ))
})

// -----------------------------------------------------------------------------
// Logs
// -----------------------------------------------------------------------------

it.effect("no token is logged at any level, whatever goes wrong (GHSA-r7qr-f43m-pxfr, CVE-2023-20866)", () => {
  const lines: Array<string> = []
  const given: Array<string> = []
  const store = storeWith((store) => ({
    find: (id) =>
      given.length < 3
        ? store.find(id)
        : Effect.fail(new SecurityError.SecurityUnavailable({ reason: "the disk is full" }))
  }))
  return Effect.gen(function*() {
    const first = yield* signIn()
    given.push(first)
    const failing = Effect.zipRight(Auth.login({ userId: "eve" }), Effect.die(new Error("a bug of the application")))
    yield* sendAny(failing, posting)
    yield* sendAny(Auth.user, { token: first })
    yield* sendAny(Auth.user, { headers: { cookie: `__Host-session=${first}; __Host-session=${first}` } })
    yield* sendAny(Auth.user, { ...posting, token: first, headers: { origin: "https://evil.test" } })
    const rotated = granted(yield* send(Auth.rotate, { ...posting, token: first }))
    given.push(rotated, yield* signIn("eve"))
    // From here on the store is down.
    for (const operation of [Auth.user, Auth.rotate, Auth.sessions]) {
      assert.strictEqual((yield* sendAny(operation, { ...posting, token: rotated })).status, 503)
    }
    const text = lines.join("\n")
    assert.include(text, "the disk is full")
    assert.include(text, "a credential was granted")
    for (const token of given) assert.notInclude(text, token.slice(13))
  }).pipe(
    Effect.provide(live({}, store)),
    Effect.provide(logsTo(lines)),
    Logger.withMinimumLogLevel(LogLevel.All)
  )
})

describe("what a client sends", () => {
  it.effect("stands in no body that the library writes, escaped or not (2b082f09)", () =>
    Effect.gen(function*() {
      const script = "<script>alert(1)</script>"
      const replies = [
        yield* send(Auth.user, { headers: { cookie: `__Host-session=${script}` } }),
        yield* send(Auth.login({ userId: "ada" }), { method: "POST", headers: { origin: `https://${script}` } }),
        yield* send(Auth.user, { url: `https://app.example.com/${script}` })
      ]
      assert.deepStrictEqual(replies.map(({ status }) => status), [401, 403, 401])
      for (const { body, headers } of replies) {
        assert.notInclude(`${body}${JSON.stringify([...headers])}`, "script")
      }
    }).pipe(Effect.provide(live())))

  it.effect("gets the same answer for a login that nobody has as for a wrong password (08257061)", () =>
    Effect.gen(function*() {
      yield* Credentials.register(Users, { user: user("1", "ada@example.com"), password: newPassword("correct horse") })
      const verify = (login: string) =>
        send(Credentials.verify(Users, { login, password: newPassword("wrong horse") }), { method: "POST" })
      const [known, unknown] = [yield* verify("ada@example.com"), yield* verify("nobody@example.com")]
      assert.strictEqual(known.status, 401)
      assert.deepStrictEqual(
        [unknown.status, unknown.body, [...unknown.headers]],
        [known.status, known.body, [...known.headers]]
      )
    }).pipe(Effect.provide(Layer.merge(Users.layerMemory, PasswordHasher.layer({ algorithm: fast })))))
})
