import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck } from "effect"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"
import { passwordHash } from "./fixtures.js"

const verify = (password: string, hash: string) =>
  Effect.flatMap(PasswordHasher.PasswordHasher, (_) => _.verify(Password.make(password), passwordHash(hash)))

/** As little work as there can be. */
const cheap = { logN: 1, blockSize: 1, parallelism: 1 }

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64").replace(/=+$/, "")

const known = [
  {
    source: "RFC 7914 section 12, third vector",
    password: "pleaseletmein",
    hash: `$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$${
      base64(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
          "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
      )
    }`
  },
  {
    source: "RFC 7914 section 12, second vector",
    password: "password",
    hash: `$scrypt$ln=10,r=8,p=16$TmFDbA$${
      base64(
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162" +
          "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
      )
    }`
  },
  {
    source: "passlib 1.7.4, documentation of passlib.hash.scrypt",
    password: "password",
    hash: "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
  }
]

describe("scrypt", () => {
  it.effect("verifies known answers", () =>
    Effect.gen(function*() {
      for (const { hash, password, source } of known) {
        assert.isTrue(yield* verify(password, hash), source)
        assert.isFalse(yield* verify("PASSWORD", hash), source)
      }
    }).pipe(Effect.provide(PasswordHasherScrypt.layer)))

  it.effect("hashes with N=2^17, r=8, p=1", () =>
    Effect.gen(function*() {
      const hasher = yield* PasswordHasher.PasswordHasher
      const hash = yield* hasher.hash(Password.make("correct horse battery staple"))
      assert.match(hash, /^\$scrypt\$ln=17,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
      assert.isTrue(yield* hasher.verify(Password.make("correct horse battery staple"), hash))
      assert.isFalse(hasher.needsRehash(hash))
      assert.isFalse(hasher.needsRehash(hasher.decoy))
      assert.isFalse(yield* hasher.verify(Password.make("correct horse battery staple"), hasher.decoy))
    }).pipe(Effect.provide(PasswordHasherScrypt.layer)))

  it.effect.prop(
    "verifies what it hashed, for any password, and nothing else",
    [FastCheck.string({ unit: "binary" }), FastCheck.string({ unit: "binary" })],
    ([one, other]) =>
      Effect.gen(function*() {
        const hasher = yield* PasswordHasher.PasswordHasher
        const hash = yield* hasher.hash(Password.make(one))
        assert.isTrue(yield* hasher.verify(Password.make(one), hash))
        assert.strictEqual(
          yield* hasher.verify(Password.make(other), hash),
          one.normalize("NFKC") === other.normalize("NFKC")
        )
      }).pipe(Effect.provide(PasswordHasherScrypt.layerWith(cheap)))
  )

  it.effect("takes a fresh salt each time", () =>
    Effect.gen(function*() {
      const hasher = yield* PasswordHasher.PasswordHasher
      const hashes = yield* Effect.replicateEffect(hasher.hash(Password.make("password")), 20)
      assert.strictEqual(new Set(hashes.map((_) => _.split("$")[3])).size, 20)
    }).pipe(Effect.provide(PasswordHasherScrypt.layerWith(cheap))))

  it.effect("makes a hash anew when it was made in any other way", () =>
    Effect.gen(function*() {
      const { decoy, needsRehash } = yield* PasswordHasher.PasswordHasher
      const changes: ReadonlyArray<readonly [string, string]> = [
        ["ln=17", "ln=16"],
        ["ln=17", "ln=18"],
        ["r=8", "r=16"],
        ["p=1", "p=2"],
        ["scrypt", "argon2id"],
        ["$AAAAAAAAAAAAAAAAAAAAAA$", "$AAAAAAAAAAAAAAAA$"],
        ["A".repeat(43), "A".repeat(22)]
      ]
      for (const [from, to] of changes) assert.isTrue(needsRehash(passwordHash(decoy.replace(from, to))), to)
    }).pipe(Effect.provide(PasswordHasherScrypt.layer)))

  it.effect("does not run on parameters above its limits, nor on what it cannot read", () =>
    Effect.gen(function*() {
      const salt = "U29kaXVtQ2hsb3JpZGU"
      const tag = "nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
      for (
        const hash of [
          `$scrypt$ln=19,r=8,p=1$${salt}$${tag}`,
          `$scrypt$ln=18,r=9,p=1$${salt}$${tag}`,
          `$scrypt$ln=1,r=1073741824,p=1$${salt}$${tag}`,
          `$scrypt$ln=1,r=1048576,p=16$${salt}$${tag}`,
          `$scrypt$ln=99,r=1,p=1$${salt}$${tag}`,
          `$scrypt$ln=1,r=1,p=17$${salt}$${tag}`,
          `$scrypt$ln=1,r=1,p=1073741824$${salt}$${tag}`,
          `$scrypt$ln=0,r=8,p=1$${salt}$${tag}`,
          `$scrypt$ln=10,r=0,p=1$${salt}$${tag}`,
          `$scrypt$ln=10,r=8,p=0$${salt}$${tag}`,
          `$scrypt$ln=010,r=8,p=1$${salt}$${tag}`,
          `$scrypt$n=1024,r=8,p=1$${salt}$${tag}`,
          `$scrypt$ln=10,r=8$${salt}$${tag}`,
          `$scrypt$v=1$ln=10,r=8,p=1$${salt}$${tag}`,
          `$scrypt$ln=10,r=8,p=1$${"A".repeat(87)}$${tag}`,
          `$scrypt$ln=10,r=8,p=1$${salt}$AAAA`,
          `$scrypt$ln=10,r=8,p=1$${salt}$${"A".repeat(87)}`,
          `$scrypt$ln=10,r=8,p=1$${salt}$${tag.slice(0, -1)}F`
        ]
      ) {
        const error = yield* Effect.flip(verify("password", hash))
        assert.strictEqual(error._tag, "SecurityUnavailable", hash)
        assert.include(error.reason, "the stored password hash cannot be used: ")
      }
    }).pipe(Effect.provide(PasswordHasherScrypt.layer)))

  it.effect("has no layer with parameters that make no sense", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [string, PasswordHasherScrypt.Options]> = [
        ["logN", { logN: 0 }],
        ["logN", { logN: 1.5 }],
        ["logN", { logN: NaN }],
        ["logN", { logN: 19 }],
        ["blockSize", { blockSize: 0 }],
        ["blockSize", { blockSize: 17 }],
        ["parallelism", { parallelism: -1 }],
        ["parallelism", { parallelism: 17 }]
      ]
      for (const [name, options] of wrong) {
        const exit = yield* Effect.exit(Effect.provide(Effect.void, PasswordHasherScrypt.layerWith(options)))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", name)
      }
    }))
})
