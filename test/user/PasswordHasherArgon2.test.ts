import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck } from "effect"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
import { passwordHash } from "./fixtures.js"

const verify = (password: string, hash: string) =>
  Effect.flatMap(PasswordHasher.PasswordHasher, (_) => _.verify(Password.make(password), passwordHash(hash)))

/** As little work as there can be. */
const cheap = { memoryCost: 8, timeCost: 1, parallelism: 1 }

// P-H-C/phc-winner-argon2, src/test.c at f57e61e1, with m=256: type, version, passes and lanes vary.
const known = [
  "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
  "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
  "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
  "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E",
  "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
  "$argon2i$m=256,t=2,p=2$c29tZXNhbHQ$tsEVYKap1h6scGt5ovl9aLRGOqOth+AMB+KwHpDFZPs"
]

describe("Argon2", () => {
  it.effect("verifies what the reference implementation hashed", () =>
    Effect.gen(function*() {
      for (const hash of known) {
        assert.isTrue(yield* verify("password", hash), hash)
        assert.isFalse(yield* verify("Password", hash), hash)
      }
    }).pipe(Effect.provide(PasswordHasherArgon2.layer)))

  it.effect("hashes with m=19456 KiB, t=2, p=1 and a fresh salt of 16 bytes", () =>
    Effect.gen(function*() {
      const hasher = yield* PasswordHasher.PasswordHasher
      const password = Password.make("correct horse battery staple")
      const [first, second] = yield* Effect.all([hasher.hash(password), hasher.hash(password)])
      assert.match(first, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
      assert.notStrictEqual(first.split("$")[4], second.split("$")[4])
      assert.isTrue(yield* hasher.verify(password, first))
      assert.isFalse(yield* hasher.verify(Password.make("correct horse battery stapler"), first))
      assert.isFalse(hasher.needsRehash(first))
      assert.isFalse(hasher.needsRehash(hasher.decoy))
      assert.isFalse(yield* hasher.verify(password, hasher.decoy))
    }).pipe(Effect.provide(PasswordHasherArgon2.layer)))

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
      }).pipe(Effect.provide(PasswordHasherArgon2.layerWith(cheap)))
  )

  it.effect("makes a hash anew when it was made in any other way", () =>
    Effect.gen(function*() {
      const { decoy, needsRehash } = yield* PasswordHasher.PasswordHasher
      const changes: ReadonlyArray<readonly [string, string]> = [
        ["m=19456", "m=19455"],
        ["m=19456", "m=65536"],
        ["t=2", "t=1"],
        ["p=1", "p=2"],
        ["argon2id", "argon2i"],
        ["argon2id", "argon2d"],
        ["argon2id", "scrypt"],
        ["$v=19", "$v=16"],
        ["$v=19", ""],
        // 12 and 14 bytes of salt, 16 bytes of hash
        ["$AAAAAAAAAAAAAAAAAAAAAA$", "$AAAAAAAAAAAAAAAA$"],
        ["A".repeat(43), "A".repeat(22)]
      ]
      for (const [from, to] of changes) assert.isTrue(needsRehash(passwordHash(decoy.replace(from, to))), to)
    }).pipe(Effect.provide(PasswordHasherArgon2.layer)))

  it.effect("does not run on parameters above its limits, nor on what it cannot read", () =>
    Effect.gen(function*() {
      const salt = "c29tZXNhbHQ"
      const tag = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
      for (
        const hash of [
          `$argon2id$v=19$m=262145,t=1,p=1$${salt}$${tag}`,
          `$argon2id$v=19$m=4294967295,t=1,p=1$${salt}$${tag}`,
          `$argon2id$v=19$m=99999999999,t=1,p=1$${salt}$${tag}`,
          `$argon2id$v=19$m=256,t=17,p=1$${salt}$${tag}`,
          `$argon2id$v=19$m=256,t=1,p=17$${salt}$${tag}`,
          `$argon2id$v=19$m=15,t=1,p=2$${salt}$${tag}`,
          `$argon2id$v=19$m=0,t=1,p=1$${salt}$${tag}`,
          `$argon2id$v=19$m=0256,t=2,p=1$${salt}$${tag}`,
          `$argon2id$v=18$m=256,t=2,p=1$${salt}$${tag}`,
          `$argon2id$v=19$t=2,m=256,p=1$${salt}$${tag}`,
          `$argon2id$v=19$m=256,t=2,p=1,data=AAAA$${salt}$${tag}`,
          `$argon2id$v=19$m=256,t=2$${salt}$${tag}`,
          `$argon2id$v=19$m=256,t=2,p=1$c29tZQ$${tag}`,
          `$argon2id$v=19$m=256,t=2,p=1$${"A".repeat(87)}$${tag}`,
          `$argon2id$v=19$m=256,t=2,p=1$${salt}$c29tZXNhbHQ`,
          `$argon2id$v=19$m=256,t=2,p=1$${salt}$${"A".repeat(87)}`,
          // Spare bits: another spelling of the same bytes.
          `$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHR$${tag}`,
          `$argon2id$v=19$m=256,t=2,p=1$${salt}$${tag.slice(0, -1)}5`,
          `$argon2x$v=19$m=256,t=2,p=1$${salt}$${tag}`,
          // Malformed, from the same file
          "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQwWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA$AAAAAAAAAAA"
        ]
      ) {
        const error = yield* Effect.flip(verify("password", hash))
        assert.strictEqual(error._tag, "SecurityUnavailable")
        assert.include(error.reason, "the stored password hash cannot be used: ")
        assert.notInclude(error.reason, salt)
      }
    }).pipe(Effect.provide(PasswordHasherArgon2.layer)))

  it.effect("takes parameters and limits of one's own", () =>
    Effect.gen(function*() {
      const hasher = yield* PasswordHasher.PasswordHasher
      const hash = yield* hasher.hash(Password.make("password"))
      assert.match(hash, /^\$argon2id\$v=19\$m=16,t=3,p=2\$/)
      assert.isTrue(yield* hasher.verify(Password.make("password"), hash))
      assert.strictEqual((yield* Effect.flip(verify("password", known[0]!)))._tag, "SecurityUnavailable")
    }).pipe(
      Effect.provide(PasswordHasherArgon2.layerWith({ memoryCost: 16, timeCost: 3, parallelism: 2, maxMemoryCost: 16 }))
    ))

  it.effect("has no layer with parameters that make no sense", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [string, PasswordHasherArgon2.Options]> = [
        ["memoryCost", { memoryCost: 0 }],
        ["memoryCost", { memoryCost: -1 }],
        ["memoryCost", { memoryCost: 1.5 }],
        ["memoryCost", { memoryCost: NaN }],
        ["memoryCost", { memoryCost: 7 }],
        ["memoryCost", { memoryCost: 300_000 }],
        ["timeCost", { timeCost: 0 }],
        ["timeCost", { timeCost: 17 }],
        ["parallelism", { parallelism: 0 }],
        ["parallelism", { parallelism: 17 }]
      ]
      for (const [name, options] of wrong) {
        const exit = yield* Effect.exit(Effect.provide(Effect.void, PasswordHasherArgon2.layerWith(options)))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", name)
      }
    }))
})
