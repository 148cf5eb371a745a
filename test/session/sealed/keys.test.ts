// The key ring: how a key is replaced by another, and which texts are no keys.
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, FastCheck, Layer, Option, Redacted, TestClock } from "effect"
import type { ConfigError } from "effect"
import type { SecurityConfigError } from "effect-security/SecurityError"
import * as SealedSession from "effect-security/session/SealedSession"
import * as SessionEpoch from "effect-security/session/SessionEpoch"
import * as NodeCrypto from "node:crypto"
import { inspect } from "node:util"
import { Auth, logsTo, retrieveUser, send } from "../fixtures.js"
import {
  bytesOf,
  cookieOf,
  key,
  live,
  names,
  posting,
  refusal,
  refused,
  signIn,
  textOf,
  withCookie
} from "./fixtures.js"
import type { Live } from "./fixtures.js"

// -----------------------------------------------------------------------------
// Rotation
// -----------------------------------------------------------------------------

const over = (...seeds: ReadonlyArray<string>) => Effect.provide(live({ keys: seeds.map(key) }))

const read = (cookie: string) => send(Auth.session, withCookie(cookie))
const ada = Exit.succeed({ userId: "ada" })

describe("a key ring", () => {
  it.effect("opens what an older key has sealed, and seals it anew under the newest at the next read", () =>
    Effect.gen(function*() {
      const first = yield* over("1")(signIn())
      const second = yield* over("2", "1")(read(first))
      assert.deepStrictEqual([second.exit, names(second)], [ada, ["__Host-session"]])
      // Sealed anew, it needs the old key no more.
      const kept = yield* over("2")(read(cookieOf(second)))
      assert.deepStrictEqual([kept.exit, names(kept)], [ada, []])
      const third = yield* over("3", "2", "1")(read(cookieOf(second)))
      assert.deepStrictEqual([third.exit, names(third)], [ada, ["__Host-session"]])
      assert.deepStrictEqual((yield* over("3")(read(cookieOf(third)))).exit, ada)
      // One that was not used meanwhile opens with the oldest.
      const late = yield* over("3", "2", "1")(read(first))
      assert.deepStrictEqual((yield* over("3")(read(cookieOf(late)))).exit, ada)
    }))

  it.effect("opens nothing that a key has sealed which was removed, and clears nothing", () =>
    Effect.gen(function*() {
      const cookie = yield* over("1")(signIn())
      assert.deepStrictEqual(refusal(yield* over("2")(read(cookie))), refused)
      assert.deepStrictEqual(refusal(yield* over("3", "2")(read(cookie))), refused)
    }))

  it.effect("changes neither the data of a session nor its deadlines", () =>
    Effect.gen(function*() {
      const cookie = yield* over("1")(signIn())
      yield* TestClock.adjust("1 day")
      const reply = yield* over("2", "1")(read(cookie))
      assert.match(reply.setCookie[0]!, /; Max-Age=2505600;/)
      yield* TestClock.adjust("6 days")
      const used = yield* over("2")(read(cookieOf(reply)))
      assert.deepStrictEqual(used.exit, ada)
    }))

  it.effect("lets an old process and a new one serve the same client while a deployment is on its way", () =>
    Effect.gen(function*() {
      // First every process learns the new key as a second one, then it becomes the first.
      const [old, next] = [over("1", "2"), over("2", "1")]
      let cookie = yield* old(signIn())
      for (const serve of [next, old, next, next, old]) {
        const reply = yield* serve(read(cookie))
        assert.deepStrictEqual(reply.exit, ada)
        cookie = cookieOf(reply) || cookie
      }
    }))

  it.effect("writes under the newest key whatever it writes", () =>
    Effect.gen(function*() {
      const cookie = yield* over("1")(signIn())
      const operations = [
        Auth.login({ userId: "ada" }),
        Auth.update((session) => ({ ...session, cart: ["tea"] })),
        Auth.update((session) => session),
        Auth.rotate
      ]
      for (const operation of operations) {
        const reply = yield* over("2", "1")(
          send(operation as Effect.Effect<void, unknown, Live>, posting(cookie))
        )
        const next = yield* over("2")(send(Auth.user, withCookie(cookieOf(reply))))
        assert.strictEqual(next.status, 204)
      }
    }))

  it.effect("of one key that makeKey made is one that the Layer takes", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.replicateEffect(SealedSession.makeKey, 200)
      for (const key of keys) {
        assert.match(Redacted.value(key), /^[\w-]{43}$/)
        assert.isTrue(Exit.isSuccess(yield* build(key)))
      }
      assert.strictEqual(new Set(keys.map(Redacted.value)).size, 200)
    }))
})

// -----------------------------------------------------------------------------
// What is no key
// -----------------------------------------------------------------------------

type Failure = SecurityConfigError | ConfigError.ConfigError

const buildLayer = <A, E>(layer: Layer.Layer<A, E>) => Effect.exit(Effect.scoped(Layer.build(layer)))
const build = (keys: SealedSession.Keys) => buildLayer(SealedSession.layer(Auth, { keys, retrieveUser }))

const failure = <A, E>(exit: Exit.Exit<A, E>): E =>
  Option.getOrThrowWith(
    Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none(),
    () => new Error(`no failure: ${exit}`)
  )

/** Everything that anybody could print of a failure. */
const printed = (exit: Exit.Exit<unknown, Failure>): string => {
  const error: any = failure(exit)
  return [
    error.message,
    error.reason,
    String(error),
    JSON.stringify(error),
    inspect(error, { depth: 10, showHidden: true }),
    error.stack,
    Exit.isFailure(exit) ? Cause.pretty(exit.cause, { renderErrorCause: true }) : ""
  ].join("\n")
}

const good = textOf("good")
const pair = NodeCrypto.generateKeyPairSync("rsa", { modulusLength: 2048 })
const ec = NodeCrypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
const pem = pair.publicKey.export({ type: "spki", format: "pem" }).toString()
const der = ec.publicKey.export({ type: "spki", format: "der" })

const short = (length: number) => Buffer.from(bytesOf("short").subarray(0, length)).toString("base64url")

const bad: ReadonlyArray<readonly [title: string, key: string | Uint8Array, sentence: RegExp]> = [
  ["an empty text", "", /a session key is empty/],
  ["no bytes", new Uint8Array(), /a session key is empty/],
  ["31 bytes", bytesOf("short").subarray(0, 31), /a session key has 31 bytes, and it has at least 32/],
  ["31 bytes as text", short(31), /a session key has 31 bytes/],
  ["16 bytes, an AES-128 key", short(16), /a session key has 16 bytes/],
  ["one byte repeated", new Uint8Array(32).fill(7), /a session key repeats one byte/],
  ["one byte repeated as text", `${"_".repeat(42)}8`, /a session key repeats one byte/],
  ["two bytes in turn", Uint8Array.from({ length: 32 }, (_, index) => index % 2), /repeats itself after 2 bytes/],
  ["one half twice", Buffer.concat([bytesOf("a").subarray(0, 16), bytesOf("a").subarray(0, 16)]), /after 16 bytes/],
  ["a period that is cut", Buffer.concat([bytesOf("a"), bytesOf("a"), bytesOf("a").subarray(0, 5)]), /after 32 bytes/],
  ["a short one, filled up", Buffer.concat([bytesOf("a").subarray(0, 14), Buffer.alloc(18)]), /different bytes only/],
  ["hexadecimal", Buffer.from(bytesOf("hex")).toString("hex"), /a session key is hexadecimal: write it as base64url/],
  ["hexadecimal in capitals", Buffer.from(bytesOf("hex")).toString("hex").toUpperCase(), /is hexadecimal/],
  ["hexadecimal as bytes", Buffer.from(Buffer.from(bytesOf("hex")).toString("hex")), /may have typed/],
  ["standard base64", Buffer.from(bytesOf("b64+/")).toString("base64"), /a session key is standard base64/],
  ["base64url with padding", `${good}=`, /a session key/],
  ["base64url with spare bits", `${good.slice(0, -1)}${good.endsWith("A") ? "B" : "_"}`, /base64url without padding/],
  ["white space around", ` ${good}\n`, /a session key has white space around it/],
  ["a sentence", "correct horse battery staple and then some more of it", /base64url without padding/],
  ["words with hyphens", "correct-horse-battery-staple-and-some-more-words", /may have typed/],
  ["words with underscores", "CHANGE_ME_IN_PRODUCTION_OR_ELSE_YOU_ARE_OPEN", /may have typed/],
  ["a sentence as bytes", Buffer.from("correct horse battery staple and then some more"), /may have typed/],
  [
    "a sentence in base64url",
    Buffer.from("correct horse battery staple and more").toString("base64url"),
    /may have typed/
  ],
  ["PEM", pem, /a session key is PEM text: others may have it/],
  ["PEM as bytes", Buffer.from(pem), /PEM text/],
  ["PEM in base64url", Buffer.from(pem).toString("base64url"), /PEM text/],
  ["a JWK", JSON.stringify(ec.publicKey.export({ format: "jwk" })), /a session key is a JWK/],
  ["an SSH key", `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA${textOf("ssh")} ada@example.com`, /an SSH key/],
  ["DER", der, /a session key is DER/],
  ["DER in base64url", der.toString("base64url"), /a session key is DER/]
]

describe("a Layer with", () => {
  for (const [title, secret, sentence] of bad) {
    it.effect(`${title} for a key fails, alone and behind a good one, and says no part of it`, () =>
      Effect.gen(function*() {
        for (const keys of [Redacted.make(secret), [Redacted.make(secret)], [key("good"), Redacted.make(secret)]]) {
          const exit = yield* build(keys)
          const text = printed(exit)
          assert.strictEqual(failure(exit)._tag, "SecurityConfigError")
          assert.match(failure(exit).message, sentence)
          assert.match(failure(exit).message, /^test\/Auth: /)
          const whole = typeof secret === "string" ? secret : Buffer.from(secret).toString("latin1")
          for (let at = 0; at + 12 <= whole.length; at += 6) {
            assert.notInclude(text, whole.slice(at, at + 12))
          }
        }
      }))
  }

  it.effect("no key, or one twice, fails", () =>
    Effect.gen(function*() {
      assert.match(failure(yield* build([])).message, /^test\/Auth: there is no session key$/)
      for (const twin of [key("a"), Redacted.make(textOf("a"))]) {
        const exit = yield* build([key("a"), key("b"), twin])
        assert.match(failure(exit).message, /^test\/Auth: a session key is there twice$/)
        assert.notInclude(printed(exit), textOf("a").slice(0, 10))
      }
    }))

  it("32 random bytes or more, as bytes and as text, is built", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.constant(undefined).map(() => NodeCrypto.randomBytes(32 + NodeCrypto.randomInt(40))),
        async (bytes) => {
          for (const given of [new Uint8Array(bytes), bytes.toString("base64url")]) {
            assert.isTrue(Exit.isSuccess(await Effect.runPromise(build(Redacted.make(given)))))
          }
        }
      ),
      { numRuns: 1_000 }
    ))

  it.effect("bytes that their owner clears afterwards still seals with what they were", () =>
    Effect.gen(function*() {
      const bytes = bytesOf("mine")
      const layer = yield* Layer.memoize(live({ keys: Redacted.make(bytes) }))
      yield* Effect.gen(function*() {
        const cookie = yield* signIn()
        bytes.fill(0)
        assert.deepStrictEqual((yield* send(Auth.session, withCookie(yield* signIn()))).exit, ada)
        assert.deepStrictEqual((yield* send(Auth.session, withCookie(cookie))).exit, ada)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped))

  it.effect("a setting that makes no sense dies, and says which", () =>
    Effect.gen(function*() {
      const settings: ReadonlyArray<readonly [object, RegExp]> = [
        [{ idleTimeout: 0 }, /idleTimeout is a positive, finite duration/],
        [{ absoluteTimeout: -1 }, /absoluteTimeout is a positive, finite duration/],
        [{ absoluteTimeout: Infinity }, /absoluteTimeout is a positive, finite duration/],
        [{ timeout: 0 }, /timeout is a positive duration/],
        [{ trustedOrigins: ["*"] }, /trustedOrigins and origin take exact origins/]
      ]
      for (const [setting, sentence] of settings) {
        const exit = yield* buildLayer(
          SealedSession.layer(Auth, { keys: key("a"), retrieveUser, ...setting })
        )
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.match(Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "", sentence)
      }
    }))
})

// -----------------------------------------------------------------------------
// Config
// -----------------------------------------------------------------------------

describe("layerConfig", () => {
  const settings = {
    keys: Config.array(Config.redacted(), "SESSION_KEYS"),
    insecureCookie: Config.boolean("INSECURE").pipe(Config.withDefault(false)),
    absoluteTimeout: Config.duration("ABSOLUTE").pipe(Config.withDefault("1 day"))
  }
  const provider = (config: Record<string, string>) =>
    Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(config))))
  const from = (config: Record<string, string>) =>
    SealedSession.layerConfig(Auth, { settings, retrieveUser }).pipe(Layer.provide(provider(config)))

  it.effect("takes keys that a comma separates, the newest first", () =>
    Effect.gen(function*() {
      const old = yield* Effect.provide(signIn(), from({ SESSION_KEYS: textOf("1") }))
      for (const comma of [",", ", "]) {
        const both = from({ SESSION_KEYS: `${textOf("2")}${comma}${textOf("1")}` })
        const reply = yield* Effect.provide(read(old), both)
        assert.deepStrictEqual(reply.exit, ada)
        assert.match(reply.setCookie[0]!, /; Max-Age=86400; Path=\/; HttpOnly; Secure;/)
        assert.deepStrictEqual((yield* over("2")(read(cookieOf(reply)))).exit, ada)
      }
      const insecure = yield* Effect.provide(
        send(Auth.login({ userId: "ada" }), posting()),
        from({ SESSION_KEYS: textOf("1"), INSECURE: "true", ABSOLUTE: "1 hour" })
      )
      assert.match(insecure.setCookie[0]!, /^session=[^;]+; Max-Age=3600; Path=\/; HttpOnly; SameSite=Lax$/)
    }))

  it.effect("takes one key", () =>
    Effect.gen(function*() {
      const layer = SealedSession.layerConfig(Auth, {
        settings: { keys: Config.redacted("SESSION_KEY") },
        retrieveUser
      })
      const cookie = yield* Effect.provide(signIn(), Layer.provide(layer, provider({ SESSION_KEY: textOf("1") })))
      assert.deepStrictEqual((yield* over("1")(read(cookie))).exit, ada)
    }))

  it.effect("fails with a ConfigError that names what is missing or wrong, and with the Layer's own for a weak key", () =>
    Effect.gen(function*() {
      const missing = printed(yield* buildLayer(from({})))
      assert.match(missing, /SESSION_KEYS/)
      assert.match(printed(yield* buildLayer(from({ SESSION_KEYS: textOf("1"), INSECURE: "perhaps" }))), /INSECURE/)
      const wrong = yield* buildLayer(from({ SESSION_KEYS: textOf("1"), ABSOLUTE: "0 millis" }))
      assert.match(printed(wrong), /absoluteTimeout is a positive, finite duration/)
      assert.strictEqual((failure(wrong) as any)._op, "InvalidData")
      for (const keys of [`${textOf("1")},`, `,${textOf("1")}`, short(31), `${textOf("1")},${textOf("1")}`]) {
        const exit = yield* buildLayer(from({ SESSION_KEYS: keys }))
        assert.strictEqual((failure(exit) as any)._tag, "SecurityConfigError", printed(exit))
        assert.notInclude(printed(exit), keys.slice(1, 15))
      }
    }))

  it.effect("says no key in a log or an error, whatever is wrong beside it", () => {
    const lines: Array<string> = []
    return Effect.gen(function*() {
      for (
        const more of [{}, { INSECURE: "perhaps" }, { ABSOLUTE: "-1 days" }] as ReadonlyArray<Record<string, string>>
      ) {
        const layer = from({ SESSION_KEYS: `${textOf("1")},${textOf("2")}`, ...more })
        const exit = yield* Effect.exit(Effect.provide(signIn(), layer))
        yield* Effect.logError("it did not start", Exit.isFailure(exit) ? exit.cause : Cause.empty)
        yield* Effect.logInfo(settings, layer, key("1"))
      }
      const all = lines.join("\n") + inspect(from({ SESSION_KEYS: textOf("1") }), { depth: 20 })
      for (const seed of ["1", "2"]) {
        assert.notInclude(all, textOf(seed).slice(0, 12))
        assert.notInclude(all, Buffer.from(bytesOf(seed)).toString("hex").slice(0, 12))
      }
    }).pipe(Effect.provide(logsTo(lines)))
  })

  it.effect("over epochs takes the same, and needs them", () =>
    Effect.gen(function*() {
      const layer = SealedSession.layerRevocableConfig(Auth, { settings, retrieveUser }).pipe(
        Layer.provideMerge(SessionEpoch.layerMemory),
        Layer.provide(provider({ SESSION_KEYS: textOf("1") }))
      )
      yield* Effect.gen(function*() {
        const cookie = yield* signIn()
        yield* Auth.revokeSubject("ada")
        assert.deepStrictEqual(refusal(yield* read(cookie)), refused)
      }).pipe(Effect.provide(layer))
      const weak = SealedSession.layerRevocableConfig(Auth, { settings, retrieveUser }).pipe(
        Layer.provide(SessionEpoch.layerMemory),
        Layer.provide(provider({ SESSION_KEYS: short(31) }))
      )
      assert.match(printed(yield* buildLayer(weak)), /a session key has 31 bytes/)
    }))
})
