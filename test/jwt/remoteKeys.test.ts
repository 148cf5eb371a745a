import { FetchHttpClient, HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  HashMap,
  Layer,
  Logger,
  Option,
  Scope,
  TestClock
} from "effect"
import { JwtKeys, SecurityError } from "effect-security"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"

// -----------------------------------------------------------------------------
// Keys
// -----------------------------------------------------------------------------

const ecKey = (kid: string) => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  return {
    publicJwk: { ...publicKey.export({ format: "jwk" }), kid },
    privateJwk: { ...privateKey.export({ format: "jwk" }), kid }
  }
}

const one = ecKey("one")
const two = ecKey("two")

const setOf = (...keys: ReadonlyArray<unknown>): string => JSON.stringify({ keys })

const kids = ({ keys }: JwtKeys.Keys) => keys.map(({ kid }) => kid)

const signedBy = (key: { readonly privateJwk: JwtKeysJose.Jwk }) =>
  Effect.flatMap(
    JwtKeysJose.jwk(key.privateJwk),
    (key) => key.sign!({ alg: "ES256", typ: "JWT" }, new TextEncoder().encode("{}"))
  )

const immediate = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Everything that is logged, as text. */
const logs = () => {
  const messages: Array<{ readonly level: string; readonly text: string }> = []
  const logger = Logger.make(({ annotations, cause, logLevel, message }) => {
    const text = [message, cause, ...HashMap.toEntries(annotations)].map((part) => JSON.stringify(part)).join(" ")
    messages.push({ level: logLevel._tag, text })
  })
  const warnings = () => messages.filter(({ level }) => level === "Warning").map(({ text }) => text)
  return { layer: Logger.replace(Logger.defaultLogger, logger), messages, warnings }
}

const reason = <A>(effect: Effect.Effect<A, SecurityError.SecurityUnavailable>): Effect.Effect<string> =>
  Effect.map(Effect.orDie(Effect.flip(effect)), (error) => {
    assert.instanceOf(error, SecurityError.SecurityUnavailable)
    return error.reason
  })

// -----------------------------------------------------------------------------
// A client that answers as it is told
// -----------------------------------------------------------------------------

const published = (initial: string) => {
  const state = {
    requests: 0,
    underWay: 0,
    most: 0,
    aborted: 0,
    answer: Effect.succeed(initial) as Effect.Effect<string, unknown>
  }
  const client = HttpClient.make((request, _url, signal) =>
    Effect.suspend(() => {
      state.requests++
      state.most = Math.max(state.most, ++state.underWay)
      signal.addEventListener("abort", () => state.aborted++)
      return state.answer.pipe(
        Effect.map((body) => HttpClientResponse.fromWeb(request, new Response(body))),
        Effect.catchAll(() =>
          Effect.succeed(HttpClientResponse.fromWeb(request, new Response("down", { status: 500 })))
        ),
        Effect.ensuring(Effect.sync(() => state.underWay--))
      )
    })
  )
  const ring = (options?: Partial<JwtKeysJose.RemoteOptions>) =>
    Effect.provideService(
      JwtKeysJose.remote({ url: "https://issuer.example/jwks.json", ...options }),
      HttpClient.HttpClient,
      client
    )
  return { state, client, ring }
}

describe("a remote ring", () => {
  it.scoped("fetches nothing before keys are needed, and then once for maxAge", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      yield* TestClock.adjust("1 day")
      assert.strictEqual(state.requests, 0)
      const first = yield* remote.keys
      assert.deepStrictEqual(kids(first), ["one"])
      yield* TestClock.adjust(Duration.subtract("10 minutes", "1 millis"))
      assert.strictEqual(yield* remote.keys, first)
      assert.strictEqual(state.requests, 1)
      yield* TestClock.adjust("1 millis")
      yield* remote.keys
      yield* remote.refresh
      assert.strictEqual(state.requests, 2)
    }))

  it.scoped("shares one fetch between a thousand callers", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const latch = yield* Effect.makeLatch()
      state.answer = latch.whenOpen(Effect.succeed(setOf(one.publicJwk)))
      const remote = yield* ring()
      const callers = Array.from({ length: 1000 }, (_, index) => index % 2 === 0 ? remote.keys : remote.refresh)
      const all = yield* Effect.fork(Effect.all(callers, { concurrency: "unbounded" }))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      assert.strictEqual(state.requests, 1)
      yield* latch.open
      const answers = yield* Fiber.join(all)
      assert.strictEqual(new Set(answers).size, 1)
      assert.strictEqual(state.requests, 1)
    }))

  it.scoped("goes on with a fetch for the others when the caller who began it is interrupted", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const asked = yield* Deferred.make<void>()
      const latch = yield* Effect.makeLatch()
      state.answer = Effect.zipRight(
        Deferred.succeed(asked, undefined),
        latch.whenOpen(Effect.succeed(setOf(one.publicJwk)))
      )
      const remote = yield* ring()
      const first = yield* Effect.fork(remote.keys)
      yield* Deferred.await(asked)
      const second = yield* Effect.fork(remote.keys)
      yield* Effect.yieldNow()
      const exit = yield* Fiber.interrupt(first)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.strictEqual(state.aborted, 0)
      yield* latch.open
      assert.deepStrictEqual(kids(yield* Fiber.join(second)), ["one"])
      assert.strictEqual(state.requests, 1)
    }))

  it.scoped("lets a caller go who is interrupted where nothing else can be", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      state.answer = Effect.never
      const remote = yield* ring()
      const caller = yield* Effect.fork(Effect.uninterruptible(remote.keys))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(caller)
      assert.strictEqual(state.aborted, 0)
    }))

  it.effect("interrupts its fetch when the Layer ends, and leaves no caller waiting", () =>
    Effect.gen(function*() {
      const { client, state } = published("")
      const asked = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      state.answer = Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
      )
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        JwtKeysJose.layerRemote({ url: "https://issuer.example/jwks.json" }).pipe(
          Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
        ),
        scope
      )
      const remote = Context.get(context, JwtKeys.JwtKeys)
      const caller = yield* Effect.fork(remote.keys)
      yield* Deferred.await(asked)
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(interrupted)
      assert.match(yield* reason(Fiber.join(caller)), /is shutting down$/)
      assert.strictEqual(state.aborted, 1)
      assert.match(yield* reason(remote.keys), /is shutting down$/)
      assert.strictEqual(state.requests, 1)
    }))

  it.scoped("serves keys that are older than maxAge while it fetches others, for as long as the timeout", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      const old = yield* remote.keys
      const latch = yield* Effect.makeLatch()
      state.answer = latch.whenOpen(Effect.succeed(setOf(two.publicJwk)))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* remote.keys, old)
      assert.strictEqual(yield* remote.keys, old)
      yield* latch.open
      // It joins the fetch that is under way.
      assert.deepStrictEqual(kids(yield* remote.refresh), ["two"])
      assert.deepStrictEqual(kids(yield* remote.keys), ["two"])
      assert.strictEqual(state.requests, 2)

      // Nobody asked for longer than that: whoever comes waits.
      state.answer = Effect.succeed(setOf(one.publicJwk))
      yield* TestClock.adjust("605 seconds")
      assert.deepStrictEqual(kids(yield* remote.keys), ["one"])
      assert.strictEqual(state.requests, 3)
    }))

  it.scoped("serves no old keys while it fetches where staleIfError is zero", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring({ staleIfError: 0 })
      yield* remote.keys
      yield* TestClock.adjust("10 minutes")
      state.answer = Effect.succeed(setOf(two.publicJwk))
      assert.deepStrictEqual(kids(yield* remote.keys), ["two"])
      yield* TestClock.adjust("10 minutes")
      state.answer = Effect.fail("down")
      assert.match(yield* reason(remote.keys), /the status is 500$/)
    }))

  it.scoped("serves the last keys for staleIfError when they cannot be fetched, and says so in the log", () => {
    const { layer, warnings } = logs()
    return Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring({ url: "https://issuer.example/jwks.json?key=secret" })
      const last = yield* remote.keys
      state.answer = Effect.fail("down")
      yield* TestClock.adjust("605 seconds")
      assert.strictEqual(yield* remote.keys, last)
      assert.strictEqual(warnings().length, 1)
      assert.match(
        warnings()[0]!,
        /the keys at https:\/\/issuer\.example\/jwks\.json cannot be fetched: the status is 500 \(the last ones are 605 s old\)/
      )
      assert.notInclude(warnings().join(), "secret")
      yield* TestClock.adjust(Duration.subtract("1 hour", "5001 millis"))
      assert.strictEqual(yield* remote.keys, last)
      yield* TestClock.adjust("1 millis")
      assert.match(yield* reason(remote.keys), /^the keys at https:\/\/issuer\.example\/jwks\.json cannot be fetched: /)
      state.answer = Effect.succeed(setOf(two.publicJwk))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(kids(yield* remote.keys), ["two"])
    }).pipe(Effect.provide(layer))
  })

  it.scoped("makes nobody wait for an endpoint that hangs while there are keys to serve", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      const last = yield* remote.keys
      state.answer = Effect.never
      yield* TestClock.adjust("10 minutes")
      // Half an hour of an outage, in which somebody asks every second, then every eleven.
      while ((yield* Clock.currentTimeMillis) < Duration.toMillis("40 minutes")) {
        const answer = yield* Effect.fork(remote.keys)
        yield* Effect.yieldNow()
        yield* Effect.yieldNow()
        assert.isTrue(Option.isSome(yield* Fiber.poll(answer)), `at ${yield* Clock.currentTimeMillis}`)
        assert.strictEqual(yield* Fiber.join(answer), last)
        const seconds = (yield* Clock.currentTimeMillis) < Duration.toMillis("14 minutes") ? 1 : 11
        yield* TestClock.adjust(Duration.seconds(seconds))
      }
      assert.isAbove(state.requests, 30)
      assert.strictEqual(state.most, 1)
      // Nobody asked for so long that the outage may be over: whoever comes waits to know.
      yield* TestClock.adjust("1 minute")
      const answer = yield* Effect.fork(remote.keys)
      yield* TestClock.adjust("4999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(answer)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(answer), last)
    }))

  it.scoped("looks again for an unknown kid, unless it did within the cooldown", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      yield* remote.keys
      state.answer = Effect.succeed(setOf(one.publicJwk, two.publicJwk))
      yield* TestClock.adjust("29999 millis")
      assert.deepStrictEqual(kids(yield* remote.refresh), ["one"])
      assert.strictEqual(state.requests, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(kids(yield* remote.refresh), ["one", "two"])
      assert.deepStrictEqual(kids(yield* remote.refresh), ["one", "two"])
      assert.deepStrictEqual(kids(yield* remote.keys), ["one", "two"])
      assert.strictEqual(state.requests, 2)
    }))

  it.scoped("fails to look again in an outage, and still serves the keys that it has", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      yield* remote.keys
      yield* TestClock.adjust("30 seconds")
      state.answer = Effect.fail("down")
      assert.match(yield* reason(remote.refresh), /the status is 500$/)
      assert.strictEqual(state.requests, 2)
      // Without another request.
      assert.match(yield* reason(remote.refresh), /the status is 500$/)
      assert.deepStrictEqual(kids(yield* remote.keys), ["one"])
      assert.strictEqual(state.requests, 2)
    }))

  it.scoped("waits 1, 2, 4, 8, 16 seconds after failures, then always the cooldown, and begins anew after a success", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const remote = yield* ring()
      for (let round = 0; round < 2; round++) {
        state.answer = Effect.fail("down")
        const before = state.requests
        assert.match(yield* reason(remote.keys), /the status is 500$/)
        for (const [index, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) {
          assert.strictEqual(state.requests, before + 1 + index)
          const error = yield* Effect.flip(remote.keys)
          assert.strictEqual(error.retryAfter, seconds)
          yield* TestClock.adjust(seconds * 1000 - 1)
          yield* reason(remote.keys)
          yield* reason(remote.refresh)
          assert.strictEqual(state.requests, before + 1 + index, `before ${seconds} s`)
          yield* TestClock.adjust(1)
          yield* reason(index % 2 === 0 ? remote.keys : remote.refresh)
        }
        state.answer = Effect.succeed(setOf(one.publicJwk))
        yield* TestClock.adjust("30 seconds")
        yield* remote.keys
        yield* TestClock.adjust("1 day")
      }
    }))

  it.scoped("waits no longer than a cooldown that is under a second", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      state.answer = Effect.fail("down")
      const remote = yield* ring({ cooldown: "10 millis" })
      for (let i = 1; i <= 5; i++) {
        yield* reason(remote.keys)
        yield* reason(remote.keys)
        assert.strictEqual(state.requests, i)
        yield* TestClock.adjust("10 millis")
      }
    }))

  it.scoped("gives up a fetch that takes longer than the timeout, and interrupts it", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const interrupted = yield* Deferred.make<void>()
      state.answer = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      const remote = yield* ring({ timeout: "3 seconds" })
      const caller = yield* Effect.fork(remote.keys)
      yield* TestClock.adjust("2999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(caller)))
      yield* TestClock.adjust("1 millis")
      assert.match(yield* reason(Fiber.join(caller)), /: it took over 3s$/)
      yield* Deferred.await(interrupted)
      assert.strictEqual(state.aborted, 1)
    }))

  it.scoped("gives up also on a client that cannot be interrupted", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      state.answer = Effect.uninterruptible(Effect.never)
      const remote = yield* ring()
      const caller = yield* Effect.fork(remote.keys)
      yield* TestClock.adjust("5 seconds")
      assert.match(yield* reason(Fiber.join(caller)), /: it took over 5s$/)
    }))

  it.scoped("takes a client that dies or interrupts itself for one that failed", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const remote = yield* ring()
      for (const answer of [Effect.die(new Error("boom")), Effect.interrupt]) {
        state.answer = answer
        assert.strictEqual((yield* reason(remote.keys)).split(": ").at(-1), "the client died")
        yield* TestClock.adjust("1 minute")
      }
      state.answer = Effect.succeed(setOf(one.publicJwk))
      assert.deepStrictEqual(kids(yield* remote.keys), ["one"])
    }))

  it.scoped("has another generation when the set of keys is another, and the same objects when it is not", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const remote = yield* ring()
      const { x, y } = one.publicJwk
      const reordered = { y, x, kid: "one", crv: "P-256", kty: "EC", use: "sig", alg: "ES256", x5t: "AAAA" }
      const sets: ReadonlyArray<readonly [string, number]> = [
        [setOf(one.publicJwk, two.publicJwk), 0],
        [setOf(two.publicJwk, one.publicJwk), 0],
        [setOf(two.publicJwk, reordered, one.publicJwk), 0],
        [setOf(two.publicJwk, one.publicJwk, { kty: "unknown" }), 0],
        [setOf(two.publicJwk), 1],
        [setOf({ ...two.publicJwk, kid: "three" }), 2],
        [setOf({ ...one.publicJwk, kid: "three" }), 3],
        [setOf(), 4],
        [setOf(), 4],
        [setOf(one.publicJwk, two.publicJwk), 5]
      ]
      let before: JwtKeys.Keys | undefined
      for (const [body, generation] of sets) {
        state.answer = Effect.succeed(body)
        const keys = yield* remote.refresh
        assert.strictEqual(keys.generation, generation, body)
        assert.strictEqual(keys === before, before?.generation === generation)
        before = keys
        yield* TestClock.adjust("1 minute")
      }
    }))

  it.scoped("keeps its generation over a fetch that fails", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      const keys = yield* remote.keys
      state.answer = Effect.fail("down")
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(yield* remote.keys, keys)
      state.answer = Effect.succeed(setOf(one.publicJwk))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* remote.keys, keys)
    }))

  it.scoped("fetches again at once when the clock was set back", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      state.answer = Effect.fail("down")
      const remote = yield* ring()
      yield* TestClock.setTime(Duration.toMillis("1 day"))
      yield* reason(remote.keys)
      yield* TestClock.setTime(Duration.toMillis("1 hour"))
      state.answer = Effect.succeed(setOf(one.publicJwk))
      assert.deepStrictEqual(kids(yield* remote.keys), ["one"])
      yield* TestClock.setTime(0)
      state.answer = Effect.succeed(setOf(two.publicJwk))
      assert.deepStrictEqual(kids(yield* remote.keys), ["two"])
    }))

  it.scoped("keeps its keys through the small steps by which a clock is corrected", () =>
    Effect.gen(function*() {
      const { ring, state } = published(setOf(one.publicJwk))
      const remote = yield* ring()
      yield* TestClock.setTime(Duration.toMillis("1 hour"))
      yield* remote.keys
      for (let i = 1; i <= 20; i++) {
        yield* TestClock.setTime(Duration.toMillis("1 hour") - i)
        assert.deepStrictEqual(kids(yield* remote.keys), ["one"])
      }
      assert.strictEqual(state.requests, 1)
    }))

  it.scoped("asks nothing of its keys when a verifier is built", () =>
    Effect.gen(function*() {
      const { ring, state } = published("")
      const remote = yield* ring()
      yield* remote.constrain({ algorithms: ["ES256"], signs: false })
      assert.include(
        (yield* Effect.flip(remote.constrain({ algorithms: ["ES256"], signs: true }))).reason,
        "only verify"
      )
      assert.include(
        (yield* Effect.flip(remote.constrain({ algorithms: ["HS256"], signs: false }))).reason,
        "no secrets"
      )
      assert.strictEqual(state.requests, 0)
    }))

  const advance = (min: number, max: number) => FastCheck.record({ advance: FastCheck.integer({ min, max }) })
  const step = FastCheck.oneof(
    { weight: 5, arbitrary: FastCheck.constant("keys" as const) },
    { weight: 2, arbitrary: FastCheck.constantFrom("refresh" as const, "up" as const, "down" as const) },
    { weight: 2, arbitrary: advance(1, 70) },
    { weight: 2, arbitrary: advance(250, 400) },
    { weight: 1, arbitrary: advance(400, 1200) }
  )
  it.effect.prop(
    "never serves keys that are older than it says, never asks twice at once, and never while it rests",
    [FastCheck.array(step, { maxLength: 60 })],
    ([steps]) =>
      Effect.scoped(Effect.gen(function*() {
        const { ring, state } = published("")
        // What was asked when, and for how many seconds nothing is asked after it.
        const attempts: Array<{ readonly at: number; readonly ok: boolean; readonly rest: number }> = []
        let up = true
        let failures = 0
        // Each fetch gives a key that is named after the second in which it was published.
        state.answer = Effect.flatMap(Clock.currentTimeMillis, (now) => {
          failures = up ? 0 : failures + 1
          attempts.push({ at: now / 1000, ok: up, rest: up ? 30 : Math.min(30, 2 ** (failures - 1)) })
          return up ? Effect.succeed(setOf({ ...one.publicJwk, kid: String(now / 1000) })) : Effect.fail("down")
        })
        const remote = yield* ring({ maxAge: "5 minutes", staleIfError: "10 minutes" })
        const publishedAt = ({ keys }: JwtKeys.Keys) => Number(keys[0]!.kid)
        // A fetch in the background ends before the next step, at the same time.
        const settle = Effect.gen(function*() {
          for (let i = 0; i < 3; i++) yield* immediate
          const last = attempts.at(-1)
          if (last === undefined || !last.ok) return
          while (publishedAt(yield* remote.keys) !== last.at) yield* immediate
        })
        for (const step of steps) {
          if (typeof step === "object") {
            yield* TestClock.adjust(Duration.seconds(step.advance))
            continue
          }
          if (step === "up" || step === "down") {
            up = step === "up"
            continue
          }
          const now = (yield* Clock.currentTimeMillis) / 1000
          const answer = yield* Effect.either(step === "keys" ? remote.keys : remote.refresh)
          if (answer._tag === "Right") {
            const age = now - publishedAt(answer.right)
            const last = attempts.at(-1)!
            assert.isBelow(age, 900)
            // Over maxAge and the timeout only in an outage, of which the last fetch told.
            if (age >= 305) assert.isTrue(!last.ok && now - last.at < last.rest + 10, `${age} s`)
            if (step === "refresh") assert.isBelow(age, 30)
          } else {
            assert.isFalse(attempts.at(-1)!.ok)
          }
          yield* settle
        }
        assert.isAtMost(state.most, 1)
        for (let i = 1; i < attempts.length; i++) {
          assert.isAtLeast(attempts[i]!.at - attempts[i - 1]!.at, attempts[i - 1]!.rest)
        }
      })),
    { fastCheck: { numRuns: 100 } }
  )
})

describe("the options of a remote ring", () => {
  const refused: ReadonlyArray<readonly [Partial<JwtKeysJose.RemoteOptions>, RegExp]> = [
    [
      { url: "http://issuer.example/jwks.json" },
      /^the url of a key set is no https URL, and no http URL of this machine$/
    ],
    [{ url: "http://localhost.example/jwks.json" }, /is no https URL/],
    [{ url: "http://127.0.0.1.example/jwks.json" }, /is no https URL/],
    [{ url: "http://128.0.0.1/jwks.json" }, /is no https URL/],
    [{ url: "http://[::2]/jwks.json" }, /is no https URL/],
    [{ url: "http://169.254.169.254/latest" }, /is no https URL/],
    [{ url: "file:///etc/passwd" }, /is no https URL/],
    [{ url: "data:application/json,{}" }, /is no https URL/],
    [{ url: "/jwks.json" }, /^the url of a key set is no absolute URL$/],
    [{ url: "" }, /is no absolute URL$/],
    [
      { url: "https://user:secret@issuer.example/jwks.json" },
      /^the url of a key set has a user name or a password in it$/
    ],
    [{ url: "https://user@issuer.example/jwks.json" }, /has a user name/],
    [{ url: new URL("http://issuer.example") }, /is no https URL/],
    [{ maxAge: 0 }, /^maxAge is no finite duration above zero$/],
    [{ maxAge: "Infinity" as never }, /^maxAge is no finite duration/],
    [{ cooldown: Duration.infinity }, /^cooldown is no finite duration above zero$/],
    [{ timeout: "0 seconds" }, /^timeout is no finite duration above zero$/],
    [{ timeout: Number.NaN }, /^timeout is no finite duration above zero$/],
    [{ staleIfError: Duration.infinity }, /^staleIfError is no finite duration$/]
  ]
  for (const [options, sentence] of refused) {
    const name = Object.entries(options).map(([key, value]) => `${key} ${String(value)}`).join()
    it.scoped(`are refused: ${name}`, () =>
      Effect.gen(function*() {
        const { ring, state } = published("")
        const error = yield* Effect.flip(ring(options))
        assert.instanceOf(error, SecurityError.SecurityConfigError)
        assert.match(error.reason, sentence)
        assert.notInclude(error.reason, "secret")
        assert.strictEqual(state.requests, 0)
      }))
  }

  it.scoped("allow http on this machine", () =>
    Effect.gen(function*() {
      const { ring } = published(setOf(one.publicJwk))
      for (
        const url of ["http://localhost:1/", "http://127.0.0.1/", "http://127.9.9.9:80/x", "http://[::1]:3000/jwks"]
      ) {
        assert.deepStrictEqual(kids(yield* (yield* ring({ url })).keys), ["one"])
      }
    }))
})

// -----------------------------------------------------------------------------
// What is in a set
// -----------------------------------------------------------------------------

describe("a key that is published", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" })
  const unusable: ReadonlyArray<readonly [string, unknown, RegExp]> = [
    ["a secret", { kty: "oct", k: randomBytes(64).toString("base64url"), kid: "bad" }, /a secret or the private half/],
    ["a private key", { ...two.privateJwk, kid: "bad" }, /a secret or the private half/],
    ["a public key with a secret", { ...two.publicJwk, kid: "bad", k: "AAAA" }, /a secret or the private half/],
    ["for encryption", { ...rsa, kid: "bad", use: "enc" }, /the use of a JWK is/],
    ["for other operations", { ...rsa, kid: "bad", key_ops: ["encrypt"] }, /key_ops does not allow to verify/],
    ["of RSA with 1024 bits", {
      ...generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" }),
      kid: "bad"
    }, /has 1024 bits/],
    ["of RSA with the exponent 1", { ...rsa, kid: "bad", e: "AQ" }, /exponent of an RSA key is 1/],
    [
      "of RSA with 16384 bits",
      { ...rsa, kid: "bad", n: randomBytes(2048).fill(255).toString("base64url") },
      /16384 bits/
    ],
    ["off its curve", { ...two.publicJwk, kid: "bad", y: one.publicJwk.y }, /is not on its curve/],
    ["of an unknown kind", { kty: "AKP", kid: "bad" }, /the kty of a JWK is/],
    ["of an unknown curve", { ...two.publicJwk, kid: "bad", crv: "secp256k1" }, /an EC key is of/],
    ["for another algorithm", { ...two.publicJwk, kid: "bad", alg: "HS256" }, /the algorithm of a P-256 key is ES256/],
    ["with a kid that is no text", { ...two.publicJwk, kid: 1 }, /a kid is a string/],
    ["with a kid that is too long", { ...two.publicJwk, kid: "x".repeat(10_000) }, /a kid is a string/],
    ["null", null, /a JWK is no object/],
    ["text", "bad", /a JWK is no object/],
    ["an array", [two.publicJwk], /a JWK is no object/],
    ["nested deeply", { kty: "EC", crv: JSON.parse("[".repeat(50_000) + "]".repeat(50_000)), kid: "bad" }, /an EC key/]
  ]
  for (const [name, jwk, sentence] of unusable) {
    it.scoped(`is left out with one warning when it cannot be used: ${name}`, () => {
      const { layer, warnings } = logs()
      return Effect.gen(function*() {
        const { ring, state } = published(
          // JSON.stringify recurses, and JSON.parse does not.
          name === "nested deeply"
            ? `{"keys":[{"kty":"EC","kid":"bad","crv":${"[".repeat(50_000)}${"]".repeat(50_000)}},${
              JSON.stringify(one.publicJwk)
            }]}`
            : setOf(jwk, one.publicJwk)
        )
        const remote = yield* ring()
        const { keys } = yield* remote.keys
        assert.deepStrictEqual(keys.map(({ kid }) => kid), ["one"])
        assert.strictEqual(warnings().length, 1)
        assert.match(warnings()[0]!, /1 of the keys at https:\/\/issuer\.example\/jwks\.json cannot be used: /)
        assert.match(warnings()[0]!, sentence)
        assert.isBelow(warnings()[0]!.length, 1200)
        yield* TestClock.adjust("1 minute")
        yield* remote.refresh
        assert.strictEqual(state.requests, 2)
        assert.strictEqual(warnings().length, 1)
      }).pipe(Effect.provide(layer))
    })
  }

  it.scoped("never verifies an HMAC token, though its bytes are known to everybody", () =>
    Effect.gen(function*() {
      const { ring } = published(setOf({ kty: "oct", k: "A".repeat(86), kid: "x", alg: "HS256" }, one.publicJwk))
      const { keys } = yield* (yield* ring()).keys
      assert.deepStrictEqual(keys.flatMap(({ algorithms }) => algorithms), ["ES256"])
    }))

  it.scoped("verifies, does not sign, and has its thumbprint for a kid where it has none", () =>
    Effect.gen(function*() {
      const { kid: _, ...nameless } = one.publicJwk
      const { ring } = published(setOf(nameless, two.publicJwk))
      const { keys: [first, second] } = yield* (yield* ring()).keys
      assert.match(first!.kid!, /^[\w-]{43}$/)
      assert.isUndefined(first!.sign)
      assert.isTrue(yield* first!.verify(yield* signedBy(one), "ES256"))
      assert.isFalse(yield* second!.verify(yield* signedBy(one), "ES256"))
    }))

  it.scoped("is one key when it is published twice, and two keys of one name are two", () =>
    Effect.gen(function*() {
      const { ring } = published(setOf(one.publicJwk, one.publicJwk, { ...two.publicJwk, kid: "one" }))
      const { keys } = yield* (yield* ring()).keys
      assert.deepStrictEqual(keys.map(({ kid }) => kid), ["one", "one"])
      assert.isTrue(yield* keys[1]!.verify(yield* signedBy(two), "ES256"))
    }))

  it.scoped("may be none: an empty set is an answer", () =>
    Effect.gen(function*() {
      const { ring } = published(setOf())
      assert.deepStrictEqual(yield* (yield* ring()).keys, { generation: 0, keys: [] })
    }))

  it.scoped("is one of a hundred at most", () =>
    Effect.gen(function*() {
      const hundred = Array.from({ length: 100 }, (_, index) => ({ ...one.publicJwk, kid: String(index) }))
      assert.strictEqual((yield* (yield* published(setOf(...hundred)).ring()).keys).keys.length, 100)
      const { ring } = published(setOf(...hundred, one.publicJwk))
      assert.match(yield* reason((yield* ring()).keys), /: the set has over 100 keys$/)
    }))
})

// -----------------------------------------------------------------------------
// A server
// -----------------------------------------------------------------------------

type Respond = (request: Http.IncomingMessage, response: Http.ServerResponse) => void

const serve = (initial: Respond) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ server: Http.Server; state: { respond: Respond; requests: Array<Http.IncomingMessage> } }>(
        (resume) => {
          const state = { respond: initial, requests: [] as Array<Http.IncomingMessage> }
          const server = Http.createServer((request, response) => {
            state.requests.push(request)
            state.respond(request, response)
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, state })))
        }
      ),
      ({ server }) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    ({ server, state }) => ({
      state,
      server,
      origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    })
  )

const json = (body: string, headers: Http.OutgoingHttpHeaders = {}): Respond => (_request, response) =>
  response.writeHead(200, { "content-type": "application/jwk-set+json", ...headers }).end(body)

const good = json(setOf(one.publicJwk))

/** Redirects as the path says, and answers at `/jwks.json`. */
const redirecting = (location: (path: string) => string | undefined, status = 302): Respond => (request, response) => {
  const next = location(request.url!)
  if (next === undefined) return good(request, response)
  response.writeHead(status, { location: next }).end()
}

const mebibyte = gzipSync(Buffer.alloc(1024 * 1024, 0x20))

const clients = [
  ["fetch", FetchHttpClient.layer],
  ["node:http", NodeHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici]
] as const

for (const [name, client] of clients) {
  describe(`a remote ring over ${name}`, () => {
    const ringOf = (url: string, options?: Partial<JwtKeysJose.RemoteOptions>) =>
      Effect.map(
        Layer.build(JwtKeysJose.layerRemote({ url, ...options }).pipe(Layer.provide(client))),
        Context.get(JwtKeys.JwtKeys)
      )

    /** Why a fetch fails of a server that answers so. */
    const failure = (respond: Respond, options?: Partial<JwtKeysJose.RemoteOptions>) =>
      Effect.gen(function*() {
        const { origin } = yield* serve(respond)
        const sentence = yield* reason((yield* ringOf(`${origin}/jwks.json`, options)).keys)
        assert.isTrue(sentence.startsWith(`the keys at ${origin}/jwks.json cannot be fetched: `), sentence)
        return sentence.replace(/^.*cannot be fetched: /, "")
      })

    it.scopedLive("verifies with the keys that are published, and follows their rotation", () =>
      Effect.gen(function*() {
        const { origin, state } = yield* serve(good)
        const remote = yield* ringOf(`${origin}/jwks.json?tenant=a%20b`, { cooldown: "1 millis" })
        assert.strictEqual(state.requests.length, 0)
        const before = yield* remote.keys
        assert.isTrue(yield* before.keys[0]!.verify(yield* signedBy(one), "ES256"))
        state.respond = json(setOf(two.publicJwk, one.publicJwk))
        yield* Effect.sleep("5 millis")
        const after = yield* remote.refresh
        assert.deepStrictEqual(kids(after), ["two", "one"])
        assert.isTrue(yield* after.keys[0]!.verify(yield* signedBy(two), "ES256"))
        assert.notStrictEqual(after.generation, before.generation)
        assert.strictEqual(state.requests.length, 2)
        assert.strictEqual(state.requests[0]!.url, "/jwks.json?tenant=a%20b")
        assert.strictEqual(state.requests[0]!.method, "GET")
      }))

    it.scopedLive("sends nothing that is not meant for the server, whatever the client of the application adds", () =>
      Effect.gen(function*() {
        const { origin, state } = yield* serve(good)
        const adding = Layer.effect(
          HttpClient.HttpClient,
          Effect.map(
            HttpClient.HttpClient,
            HttpClient.mapRequest((request) =>
              ({
                ...request,
                urlParams: [...request.urlParams, ["api_key", "secret"]] as const,
                headers: {
                  ...request.headers,
                  authorization: "Bearer secret",
                  cookie: "a=secret",
                  "x-api-key": "secret"
                }
              }) as typeof request
            )
          )
        ).pipe(Layer.provide(client))
        const context = yield* Layer.build(
          JwtKeysJose.layerRemote({ url: `${origin}/jwks.json` }).pipe(Layer.provide(adding))
        )
        yield* Context.get(context, JwtKeys.JwtKeys).keys.pipe(
          Effect.withSpan("request"),
          Effect.provideService(FetchHttpClient.RequestInit, { headers: { authorization: "Bearer secret" } })
        )
        const [request] = state.requests
        assert.strictEqual(request!.headers.accept, "application/jwk-set+json, application/json")
        assert.strictEqual(request!.url, "/jwks.json")
        assert.notInclude(request!.rawHeaders.join(), "secret")
        for (const header of ["authorization", "cookie", "x-api-key", "traceparent", "b3"]) {
          assert.notProperty(request!.headers, header)
        }
      }))

    it.scopedLive("follows redirects within the same origin, three of them", () =>
      Effect.gen(function*() {
        for (const status of [301, 302, 303, 307, 308]) {
          const { origin, state } = yield* serve(good)
          const next: Record<string, string> = { "/0": "/1", "/1": "2", "/2": `${origin}/jwks.json` }
          state.respond = redirecting((path) => next[path], status)
          assert.deepStrictEqual(kids(yield* (yield* ringOf(`${origin}/0`)).keys), ["one"])
          assert.deepStrictEqual(state.requests.map(({ url }) => url), ["/0", "/1", "/2", "/jwks.json"])
        }
      }))

    it.scopedLive("follows no redirect to another origin, and sends nothing there", () =>
      Effect.gen(function*() {
        const other = yield* serve(good)
        const { port } = new URL(other.origin)
        for (
          const location of [
            `${other.origin}/jwks.json`,
            `//127.0.0.1:${port}/jwks.json`,
            `http://localhost:${port}/jwks.json`,
            `http://[::1]:${port}/jwks.json`,
            `https://127.0.0.1:${port}/jwks.json`,
            "file:///etc/passwd",
            "data:application/json,{\"keys\":[]}",
            "http://169.254.169.254/"
          ]
        ) {
          assert.strictEqual(
            yield* failure(redirecting(() => location)),
            "a redirect leads to another origin",
            location
          )
        }
        assert.strictEqual(other.state.requests.length, 0)
      }))

    it.scopedLive("follows no redirect with a user name, to nowhere, or in a circle", () =>
      Effect.gen(function*() {
        const { origin, state } = yield* serve((request, response) =>
          redirecting(() => `http://user:secret@${request.headers.host}/jwks.json`)(request, response)
        )
        assert.match(yield* reason((yield* ringOf(origin)).keys), /a redirect leads to another origin$/)
        assert.strictEqual(state.requests.length, 1)
        assert.strictEqual(yield* failure(redirecting(() => "http://")), "a redirect leads to no URL")
        assert.strictEqual(
          yield* failure((_request, response) => response.writeHead(302).end()),
          "a redirect leads to another origin"
        )
        state.requests.length = 0
        state.respond = redirecting(() => "/jwks.json")
        assert.match(yield* reason((yield* ringOf(origin)).keys), /there are over 3 redirects$/)
        assert.strictEqual(state.requests.length, 4)
      }))

    it.scopedLive("takes the status 200 alone", () =>
      Effect.gen(function*() {
        for (const status of [201, 203, 204, 206, 300, 304, 400, 401, 404, 429, 500, 503]) {
          const sentence = yield* failure((_request, response) =>
            response.writeHead(status).end(status === 204 || status === 304 ? undefined : setOf(one.publicJwk))
          )
          assert.strictEqual(sentence, `the status is ${status}`)
        }
      }))

    it.scopedLive("fails when the server cannot be reached, hangs up, or speaks another protocol", () =>
      Effect.gen(function*() {
        const closed = yield* Effect.scoped(Effect.map(serve(good), ({ origin }) => origin))
        assert.match(yield* reason((yield* ringOf(closed)).keys), /: the request failed with ECONNREFUSED$/)
        assert.match(yield* failure((request) => request.socket.destroy()), /^the request failed/)
        assert.match(yield* failure((request) => request.socket.end("SSH-2.0-x\r\n")), /^the request failed/)
        assert.match(
          yield* failure((request, response) => {
            response.writeHead(200, { "content-length": 1000 }).write("{\"keys\":[]}")
            setTimeout(() => request.socket.destroy(), 20)
          }),
          /^the response failed/
        )
        assert.match(
          yield* failure((request, response) => {
            response.writeHead(200).write("{\"keys\":[]}")
            setTimeout(() => request.socket.destroy(), 20)
          }),
          /^the response failed/
        )
      }))

    it.scopedLive("gives up on a server that never answers, or whose body trickles, and hangs up", () =>
      Effect.gen(function*() {
        const hungUp = yield* Deferred.make<void>()
        const notice: Respond = (request) => request.socket.on("close", () => Deferred.unsafeDone(hungUp, Effect.void))
        assert.strictEqual(yield* failure(notice, { timeout: "100 millis" }), "it took over 100ms")
        yield* Deferred.await(hungUp)

        const trickles = yield* Deferred.make<void>()
        assert.strictEqual(
          yield* failure((_request, response) => {
            response.writeHead(200).write("{")
            const timer = setInterval(() => response.write(" "), 10)
            response.on("close", () => {
              clearInterval(timer)
              Deferred.unsafeDone(trickles, Effect.void)
            })
          }, { timeout: "100 millis" }),
          "it took over 100ms"
        )
        yield* Deferred.await(trickles)

        // Redirects do not begin the time anew.
        const slow: Respond = (request, response) => setTimeout(() => redirecting(() => "/x")(request, response), 60)
        assert.strictEqual(yield* failure(slow, { timeout: "150 millis" }), "it took over 150ms")
      }))

    it.scopedLive("reads 128 KiB and no more, and hangs up on what is longer", () =>
      Effect.gen(function*() {
        const padded = (length: number) => setOf(one.publicJwk).padEnd(length, " ")
        const { origin, state } = yield* serve(json(padded(128 * 1024)))
        assert.deepStrictEqual(kids(yield* (yield* ringOf(origin)).keys), ["one"])
        state.respond = json(padded(128 * 1024 + 1))
        assert.match(yield* reason((yield* ringOf(origin)).keys), /: the body is over 128 KiB$/)

        const hungUp = yield* Deferred.make<number>()
        const endless: Respond = (_request, response) => {
          let sent = 0
          response.writeHead(200)
          const more = () => {
            while (!response.destroyed) {
              sent += 16_384
              if (!response.write(Buffer.alloc(16_384, 0x20))) break
            }
          }
          response.on("drain", more)
          response.on("close", () => Deferred.unsafeDone(hungUp, Effect.succeed(sent)))
          more()
        }
        assert.strictEqual(yield* failure(endless), "the body is over 128 KiB")
        assert.isBelow(yield* Deferred.await(hungUp), 64 * 1024 * 1024)
      }))

    it.scopedLive("hangs up on an answer that it does not read", () =>
      Effect.gen(function*() {
        for (const headers of [{ status: 500 }, { status: 302, location: "https://other.example/" }]) {
          const hungUp = yield* Deferred.make<void>()
          yield* failure((_request, response) => {
            response.on("close", () => Deferred.unsafeDone(hungUp, Effect.void))
            response.writeHead(headers.status, { location: headers.location ?? "" }).write("unfinished")
          })
          yield* Deferred.await(hungUp)
        }
      }))

    it.scopedLive("is not taken in by a body that is small until it is unpacked", () =>
      Effect.gen(function*() {
        // 256 MiB in 256 KiB: what is packed in parts is unpacked as one.
        const bomb = Buffer.concat(Array.from({ length: 256 }, () => mebibyte))
        const before = process.memoryUsage().rss
        const sentence = yield* failure((_request, response) =>
          response.writeHead(200, { "content-encoding": "gzip" }).end(bomb)
        )
        // Only `fetch` unpacks.
        assert.match(sentence, name === "fetch" ? /^the body is over 128 KiB$/ : /^the body is (?:over|not)/)
        assert.isBelow(process.memoryUsage().rss - before, 128 * 1024 * 1024)
      }))

    it.scopedLive("takes nothing but a JSON object with an array of keys", () =>
      Effect.gen(function*() {
        const utf8 = (...bytes: ReadonlyArray<number>): Respond => (_request, response) =>
          response.writeHead(200).end(Buffer.from(bytes))
        assert.strictEqual(yield* failure(json("<!doctype html><title>Sign in</title>")), "the body is not JSON")
        assert.strictEqual(yield* failure(json(setOf(one.publicJwk).slice(0, -1))), "the body is not JSON")
        assert.strictEqual(yield* failure(json("[".repeat(100_000))), "the body is not JSON")
        assert.strictEqual(yield* failure(utf8(0x22, 0xff, 0x22)), "the body is not UTF-8")
        assert.strictEqual(yield* failure(utf8(0x22, 0xed, 0xa0, 0x80, 0x22)), "the body is not UTF-8")
        const bodies = [
          "[]",
          "null",
          "1",
          "\"keys\"",
          "{}",
          "{\"keys\":{}}",
          "{\"keys\":null}",
          "{\"keys\":\"\"}",
          "{\"Keys\":[]}",
          "{\"__proto__\":{\"keys\":[]}}",
          JSON.stringify(one.publicJwk),
          JSON.stringify([one.publicJwk]),
          `${"[".repeat(60_000)}${"]".repeat(60_000)}`
        ]
        for (const body of bodies) {
          assert.strictEqual(
            yield* failure(json(body)),
            "the body is no JSON object with an array keys",
            body.slice(0, 40)
          )
        }
        assert.match(yield* failure(json("")), /^(?:the body is not JSON|the response failed)$/)
      }))

    it.scopedLive("sends one request for many callers", () =>
      Effect.gen(function*() {
        const { origin, state } = yield* serve((request, response) => setTimeout(() => good(request, response), 20))
        const remote = yield* ringOf(origin)
        yield* Effect.all(Array.from({ length: 200 }, () => remote.keys), { concurrency: "unbounded" })
        assert.strictEqual(state.requests.length, 1)
      }))
  })
}

it.scopedLive("a client that follows redirects by itself brings no keys of another origin", () =>
  Effect.gen(function*() {
    const other = yield* serve(good)
    const { origin } = yield* serve(redirecting(() => `${other.origin}/jwks.json`))
    const following = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, HttpClient.followRedirects())
    ).pipe(Layer.provide(NodeHttpClient.layer))
    const context = yield* Layer.build(JwtKeysJose.layerRemote({ url: origin }).pipe(Layer.provide(following)))
    assert.match(yield* reason(Context.get(context, JwtKeys.JwtKeys).keys), /a redirect led to another origin$/)
  }))
