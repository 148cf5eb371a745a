// The sealing against an implementation of its own, so that what is out there now opens in every later version.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Option, Schema, TestClock } from "effect"
import * as SessionAuth from "effect-security/session/SessionAuth"
import { webcrypto } from "node:crypto"
import { Csprng } from "../../../src/internal/csprng.js"
import * as sealer from "../../../src/session/internal/sealed/sealer.js"
import { Auth, CurrentUser, send } from "../fixtures.js"
import { bytesOf, cookieOf, live, liveOf, parse, posting, withCookie } from "./fixtures.js"

const { subtle } = webcrypto
const utf8 = new TextEncoder()

// -----------------------------------------------------------------------------
// An implementation by the description alone
// -----------------------------------------------------------------------------

const info = (realm: string, name: string) => utf8.encode(`effect-security/SealedSession\0${realm}\0${name}`)

const digest = async (bytes: Uint8Array) => new Uint8Array(await subtle.digest("SHA-256", bytes))

const derive = async (master: Uint8Array, salt: Uint8Array, purpose: Uint8Array) => {
  const info = await digest(purpose)
  const base = await subtle.importKey("raw", master, "HKDF", false, ["deriveBits"])
  const bits = new Uint8Array(await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, base, 44 * 8))
  const aes = await subtle.importKey("raw", bits.subarray(0, 32), "AES-GCM", false, ["encrypt", "decrypt"])
  return { aes, iv: bits.subarray(32) }
}

const idOf = async (master: Uint8Array) =>
  (await digest(Buffer.concat([utf8.encode("effect-security/SealedSession/key\0"), master]))).subarray(0, 6)

const seal = async (master: Uint8Array, salt: Uint8Array, purpose: Uint8Array, text: string, version = 1) => {
  const { aes, iv } = await derive(master, salt, purpose)
  const head = Buffer.concat([Buffer.of(version), await idOf(master), salt])
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv, additionalData: head }, aes, utf8.encode(text))
  return Buffer.concat([head, new Uint8Array(sealed)]).toString("base64url")
}

const open = async (master: Uint8Array, purpose: Uint8Array, sealed: string) => {
  const bytes = Buffer.from(sealed, "base64url")
  const head = bytes.subarray(0, 39)
  const { aes, iv } = await derive(master, head.subarray(7), purpose)
  const text = await subtle.decrypt({ name: "AES-GCM", iv, additionalData: head }, aes, bytes.subarray(39))
  return new TextDecoder().decode(text)
}

const master = bytesOf("first")
const ours = sealer.make([master], "test/Auth\0__Host-session")

// -----------------------------------------------------------------------------
// The same bytes
// -----------------------------------------------------------------------------

describe("what is sealed", () => {
  const text = FastCheck.oneof(
    FastCheck.string({ unit: "binary", maxLength: 200 }),
    FastCheck.string({ maxLength: 3_000 })
  )

  it("is byte for byte what HKDF-SHA-256 and AES-256-GCM of another implementation make of it", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(text, FastCheck.uint8Array({ minLength: 32, maxLength: 32 }), async (text, salt) => {
        const sealed = await Effect.runPromise(Effect.provideService(ours.seal(text), Csprng, () => salt))
        assert.strictEqual(sealed, await seal(master, salt, info("test/Auth", "__Host-session"), text))
      }),
      { numRuns: 200 }
    ))

  it("opens in another implementation, and what another has sealed opens here", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(text, FastCheck.uint8Array({ minLength: 32, maxLength: 32 }), async (text, salt) => {
        const purpose = info("test/Auth", "__Host-session")
        assert.strictEqual(await open(master, purpose, await Effect.runPromise(ours.seal(text))), text)
        assert.deepStrictEqual(
          ours.open(await seal(master, salt, purpose, text)),
          Option.some({ text, isNewest: true })
        )
      }),
      { numRuns: 200 }
    ))

  it.effect("has a salt, a key and a nonce of its own each time", () =>
    Effect.gen(function*() {
      const sealed = yield* Effect.replicateEffect(ours.seal("the same"), 500)
      const salts = sealed.map((text) => Buffer.from(text, "base64url").subarray(7, 39).toString("hex"))
      assert.strictEqual(new Set(salts).size, 500)
      assert.strictEqual(new Set(sealed.map((text) => text.slice(-40))).size, 500)
    }))

  it("opens for no other version than its own, whoever has the key", async () => {
    for (let version = 0; version < 256; version++) {
      const sealed = await seal(master, bytesOf("salt"), info("test/Auth", "__Host-session"), "text", version)
      assert.strictEqual(Option.isSome(ours.open(sealed)), version === 1)
    }
  })

  it.effect("opens under names of any length", () =>
    Effect.gen(function*() {
      const long = sealer.make([master], `${"t".repeat(5_000)}\0${"n".repeat(3_000)}`)
      assert.isTrue(Option.isSome(long.open(yield* long.seal("text"))))
      const other = sealer.make([master], `${"t".repeat(5_000)}\0${"n".repeat(3_001)}`)
      assert.deepStrictEqual(other.open(yield* long.seal("text")), Option.none())
    }))

  it.effect("opens for no other Tag, no other cookie and no other key", () =>
    Effect.gen(function*() {
      const sealed = yield* ours.seal("text")
      assert.isTrue(Option.isSome(ours.open(sealed)))
      for (const purpose of ["test/Auth\0session", "test/Auth2\0__Host-session", "test/Auth", ""]) {
        assert.deepStrictEqual(sealer.make([master], purpose).open(sealed), Option.none())
      }
      assert.deepStrictEqual(sealer.make([bytesOf("other")], "test/Auth\0__Host-session").open(sealed), Option.none())
    }))
})

// -----------------------------------------------------------------------------
// Vectors
// -----------------------------------------------------------------------------

describe("a cookie of version 1", () => {
  const at = 1_750_000_000_000
  const salt = Uint8Array.from({ length: 32 }, (_, index) => index)
  const vector =
    "1.ASXryzrg0AABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fktpRKOqdYokU9cQtf0jzKD_KoA5LQbvNFrcASL-e3gDdSrE9LBA" +
    "bo1C3GKZOkwchyEHbI2UH3KUEwg29Fi8y6Jgze-6xCcTLNaYLFe0aeJIz8Sce-bZPMaqgTo7xeN5bG2M7u0_gEaPKdtWkQu6tXdQFeQvo"

  it.effect("is written as it always was", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(at)
      const reply = yield* Effect.provideService(send(Auth.login({ userId: "ada" }), posting()), Csprng, () => salt)
      const value = parse(cookieOf(reply))["__Host-session"]!
      assert.strictEqual(
        yield* Effect.promise(() => open(master, info("test/Auth", "__Host-session"), value.slice(2))),
        `["ada",1,1750000000000,1750000000000,1750604800000,1752592000000,true,0]            \n{"userId":"ada"}`
      )
      assert.strictEqual(value, vector)
    }).pipe(Effect.provide(live())))

  it.effect("opens", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(at + 60_000)
      const reply = yield* send(Auth.session, withCookie(`__Host-session=${vector}`))
      assert.deepStrictEqual(reply.exit, Exit.succeed({ userId: "ada" }))
    }).pipe(Effect.provide(live())))
})

describe("a session", () => {
  it.effect("may hold whatever its schema decodes, in any characters", () => {
    class Dated extends SessionAuth.Tag<Dated>()("test/Dated", {
      user: CurrentUser,
      session: Schema.Struct({ id: Schema.String, since: Schema.Date, note: Schema.String }),
      subject: ({ id }) => id
    }) {}
    const strings = FastCheck.string({ unit: "binary", maxLength: 100 })
    return Effect.gen(function*() {
      const samples = FastCheck.sample(FastCheck.tuple(strings, strings), 300)
      const odd: ReadonlyArray<readonly [string, string]> = [
        ["\ud800", "\udc00\ud800"],
        ["\n", "a\nb\r\n"],
        ["\0", "\u2028\u2029"],
        ["]\n{", "\"\\"]
      ]
      for (const [id, note] of [...samples, ...odd]) {
        const session = { id, note, since: new Date(0) }
        const cookie = cookieOf(yield* send(Dated.login(session), posting()))
        assert.deepStrictEqual((yield* send(Dated.session, withCookie(cookie))).exit, Exit.succeed(session))
      }
    }).pipe(
      Effect.provide(liveOf(Dated as any, { retrieveUser: () => Effect.succeedSome({ id: "x" }) })) as any
    ) as Effect.Effect<void>
  })

  it.effect("is not to be read in its cookie", () =>
    Effect.gen(function*() {
      const cookie = cookieOf(yield* send(Auth.login({ userId: "ada-lovelace", cart: ["opium"] }), posting()))
      const bytes = Buffer.from(parse(cookie)["__Host-session"]!.slice(2), "base64url").toString("latin1")
      assert.notInclude(bytes, "ada-lovelace")
      assert.notInclude(bytes, "opium")
      assert.notInclude(bytes, "userId")
    }).pipe(Effect.provide(live())))
})
