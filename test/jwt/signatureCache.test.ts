import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Redacted } from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtKeys from "effect-security/jwt/JwtKeys"
import { createHash } from "node:crypto"
import { inspect } from "node:util"
import { vi } from "vitest"
import * as signatureCache from "../../src/jwt/internal/signatureCache.js"
import {
  audience,
  claimsWith,
  holds,
  instant,
  issuer,
  now,
  optionsFor,
  pairOf,
  ring,
  setSeconds,
  spyKey,
  tokenOf,
  verdictOf
} from "./fixtures.js"

const pair = pairOf("HS256")
const other = pairOf("HS256")

/** A verifier, and what its key was asked. */
const asked = (options: Partial<Jwt.Options<any>> = {}, key: { readonly kid?: string } = {}) =>
  Effect.gen(function*() {
    yield* setSeconds(now)
    const calls: Array<string> = []
    const verifier = yield* Effect.provide(
      Jwt.verifier(optionsFor("HS256", options)),
      ring(spyKey(pair, { ...key, calls }))
    )
    const verdict = (token: string) =>
      Effect.map(verdictOf(verifier, token), (verdict) => [verdict, calls.splice(0).length] as const)
    return { verifier, verdict }
  })

const token = (name: string | number, change: Readonly<Record<string, unknown>> = {}) =>
  tokenOf(pair, claimsWith({ jti: String(name), ...change }))

describe("a signature that was found good", () => {
  it.effect("is not verified again", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked()
      assert.deepStrictEqual(yield* verdict(token(1)), ["accepted", 1])
      assert.deepStrictEqual(yield* verdict(token(1)), ["accepted", 0])
      assert.deepStrictEqual(yield* verdict(token(2)), ["accepted", 1])
      assert.deepStrictEqual(yield* verdict(token(1)), ["accepted", 0])
    }))

  it.effect("does not let the same claims pass with a header or signature that differs in one character", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked()
      const good = token(1)
      assert.deepStrictEqual(yield* verdict(good), ["accepted", 1])
      const [header, payload, signature = ""] = good.split(".")
      for (let at = 0; at < signature.length; at++) {
        const twin = signature[at] === "A" ? "E" : "A"
        const forged = `${header}.${payload}.${signature.slice(0, at)}${twin}${signature.slice(at + 1)}`
        assert.deepStrictEqual(yield* verdict(forged), ["BadSignature", 1], `${at}`)
      }
      const another = tokenOf(other, claimsWith({ jti: "1" }))
      assert.deepStrictEqual(yield* verdict(another), ["BadSignature", 1])
      assert.deepStrictEqual(yield* verdict(good), ["accepted", 0])
    }))

  it.effect("says nothing about time: an end, a beginning and an issue in the future are found each time", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked({ tolerance: 0 })
      const ends = token("ends", { exp: now + 60 })
      const begins = token("begins", { nbf: now + 10 })
      const issued = token("issued", { iat: now + 10 })
      assert.deepStrictEqual(yield* verdict(ends), ["accepted", 1])
      assert.deepStrictEqual(yield* verdict(begins), ["NotYetValid", 1])
      assert.deepStrictEqual(yield* verdict(issued), ["IssuedInTheFuture", 1])
      assert.deepStrictEqual(yield* verdict(begins), ["NotYetValid", 0])
      assert.deepStrictEqual(yield* verdict(issued), ["IssuedInTheFuture", 0])
      yield* setSeconds(now + 10)
      assert.deepStrictEqual(yield* verdict(begins), ["accepted", 0])
      assert.deepStrictEqual(yield* verdict(issued), ["accepted", 0])
      yield* setSeconds(now + 59.999)
      assert.deepStrictEqual(yield* verdict(ends), ["accepted", 0])
      yield* setSeconds(now + 60)
      assert.deepStrictEqual(yield* verdict(ends), ["Expired", 0])
    }))

  it.effect("says nothing about issuer, audience, type or claims", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked()
      const tokens = {
        WrongIssuer: token(1, { iss: `${issuer}/` }),
        WrongAudience: token(2, { aud: `${audience}/` }),
        InvalidClaims: token(3, { sub: 1 })
      }
      for (const [reason, token] of Object.entries(tokens)) {
        assert.deepStrictEqual(yield* verdict(token), [reason, 1])
        assert.deepStrictEqual(yield* verdict(token), [reason, 0])
      }
    }))

  it.effect("is nothing to another verifier of the same ring, with another issuer, audience or type", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const calls: Array<string> = []
      yield* Effect.gen(function*() {
        const first = yield* Jwt.verifier(optionsFor("HS256"))
        assert.strictEqual(yield* verdictOf(first, token(1)), "accepted")
        const verifiers = {
          WrongIssuer: yield* Jwt.verifier(optionsFor("HS256", { issuer: "https://b.example" })),
          WrongAudience: yield* Jwt.verifier(optionsFor("HS256", { audience: "b" })),
          WrongTokenType: yield* Jwt.verifier(optionsFor("HS256", { type: "at+jwt" }))
        }
        for (const [reason, verifier] of Object.entries(verifiers)) {
          assert.strictEqual(yield* verdictOf(verifier, token(1)), reason)
        }
      }).pipe(Effect.provide(ring(spyKey(pair, { calls }))))
    }))

  it.effect("is forgotten when the keys are others, even where its key is still among them", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const calls: Array<string> = []
      const key = spyKey(pair, { calls, kid: "1" })
      const context = yield* Layer.build(ring(key))
      const verifier = yield* Effect.provide(Jwt.verifier(optionsFor("HS256")), context)
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
      assert.strictEqual(calls.length, 1)
      yield* Effect.provide(JwtKeys.replace(spyKey(other, { kid: "2" }), key), context)
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
      assert.strictEqual(calls.length, 2)
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
      assert.strictEqual(calls.length, 2)
    }).pipe(Effect.scoped))

  it.effect("is worth nothing from the instant on at which its key ends, though another key has the name", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const calls: Array<string> = []
      const verifier = yield* Effect.provide(
        Jwt.verifier(optionsFor("HS256")),
        ring(spyKey(pair, { calls, until: instant(now + 60) }), spyKey(other, { calls }))
      )
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
      yield* setSeconds(now + 59.999)
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
      assert.strictEqual(calls.length, 1)
      yield* setSeconds(now + 60)
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "BadSignature")
      assert.strictEqual(calls.length, 2)
    }))
})

describe("what is not remembered", () => {
  it.effect("a bad signature: it is verified each time, and is as good as any once its key is there", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked()
      const forged = tokenOf(other, claimsWith())
      for (let round = 0; round < 3; round++) assert.deepStrictEqual(yield* verdict(forged), ["BadSignature", 1])

      const context = yield* Layer.build(ring(spyKey(pair)))
      const verifier = yield* Effect.provide(Jwt.verifier(optionsFor("HS256")), context)
      assert.strictEqual(yield* verdictOf(verifier, forged), "BadSignature")
      yield* Effect.provide(JwtKeys.replace(spyKey(other)), context)
      assert.strictEqual(yield* verdictOf(verifier, forged), "accepted")
    }).pipe(Effect.scoped))

  it.effect("bad signatures: a flood of them drives nothing out", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked({ cacheSize: 1 })
      yield* verdict(token(1))
      for (let index = 0; index < 50; index++) yield* verdict(tokenOf(other, claimsWith({ jti: String(index) })))
      assert.deepStrictEqual(yield* verdict(token(1)), ["accepted", 0])
    }))

  it.effect("an outage of the key", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      let isDown = true
      const key = spyKey(pair)
      const verifier = yield* Effect.provide(
        Jwt.verifier(optionsFor("HS256")),
        ring({ ...key, verify: (...args) => isDown ? Effect.fail("down") : key.verify(...args) })
      )
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "SecurityUnavailable")
      isDown = false
      assert.strictEqual(yield* verdictOf(verifier, token(1)), "accepted")
    }))
})

describe("the number of tokens that are remembered", () => {
  it.effect("is the size of the cache, and those that were used last", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked({ cacheSize: 3 })
      const calls = (name: number) => Effect.map(verdict(token(name)), ([, calls]) => calls)
      for (const name of [1, 2, 3]) assert.strictEqual(yield* calls(name), 1)
      for (const name of [1, 2, 3]) assert.strictEqual(yield* calls(name), 0)
      // 1 is used, so that 2 is the one that was not for longest.
      assert.strictEqual(yield* calls(1), 0)
      assert.strictEqual(yield* calls(4), 1)
      for (const name of [3, 1, 4]) assert.strictEqual(yield* calls(name), 0)
      assert.strictEqual(yield* calls(2), 1)
      // 3 was used before 1 and 4.
      assert.strictEqual(yield* calls(3), 1)
    }))

  it.effect("may be none: then each signature is verified each time", () =>
    Effect.gen(function*() {
      const { verdict } = yield* asked({ cacheSize: 0 })
      for (let round = 0; round < 3; round++) assert.deepStrictEqual(yield* verdict(token(1)), ["accepted", 1])
    }))

  // A model: the texts in the order in which they were used, and the keys and generation they were remembered with.
  const text = FastCheck.constantFrom("a", "b", "c", "d", "e", "f")
  const command = FastCheck.oneof(
    FastCheck.record({ _tag: FastCheck.constant("find" as const), text, generation: FastCheck.nat(2) }),
    FastCheck.record({ _tag: FastCheck.constant("remember" as const), text, generation: FastCheck.nat(2) })
  )

  it.effect("is never more, and it is those of the model, whatever is asked", () =>
    holds(
      FastCheck.tuple(FastCheck.integer({ min: 0, max: 4 }), FastCheck.array(command, { maxLength: 40 })),
      2_000,
      ([capacity, commands]) =>
        Effect.sync(() => {
          const cache = signatureCache.make(capacity)
          let model: Array<{ readonly text: string; readonly generation: number; readonly key: JwtKeys.Key }> = []
          for (const { _tag, generation, text } of commands) {
            const known = model.find((entry) => entry.text === text)
            if (_tag === "remember") {
              const key = spyKey(pair)
              cache.remember(text, { generation, key })
              model = [...model.filter((entry) => entry !== known), { text, generation, key }].slice(
                -capacity || Infinity
              )
            } else {
              const hit = known?.generation === generation ? known : undefined
              assert.strictEqual(cache.find(text, generation), hit?.key)
              model = model.filter((entry) => entry !== known)
              if (hit !== undefined) model.push(hit)
            }
          }
        })
    ))
})

describe("what is kept of a token", () => {
  it.effect("is its hash, and nothing that could be presented", () =>
    Effect.sync(() => {
      // All that a Map of this process is given.
      const set = vi.spyOn(Map.prototype, "set")
      const cache = signatureCache.make(10)
      const secret = token(1)
      cache.remember(secret, { generation: 0, key: spyKey(pair) })
      const found = cache.find(secret, 0)
      const kept = [...set.mock.calls]
      set.mockRestore()
      assert.isDefined(found)
      const text = inspect(kept, { depth: null, showHidden: true, maxStringLength: null })
      assert.include(text, createHash("sha256").update(secret).digest("base64url"))
      for (const part of secret.split(".")) assert.notInclude(text, part)
      assert.notInclude(inspect(cache, { depth: null, showHidden: true }), secret.split(".")[1]!)
    }))

  it.effect("is the hash of all of it: two tokens that begin alike are two", () =>
    Effect.gen(function*() {
      const { verdict, verifier } = yield* asked()
      const long = token("x".repeat(3_000))
      const twin = token(`${"x".repeat(2_999)}y`)
      assert.deepStrictEqual(yield* verdict(long), ["accepted", 1])
      assert.deepStrictEqual(yield* verdict(twin), ["accepted", 1])
      const { token: verified } = yield* verifier.verify(Redacted.make(twin))
      assert.isTrue(String(verified.claims["jti"]).endsWith("y"))
    }))
})
