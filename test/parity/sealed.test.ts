// What Litestar's tests assert of sessions in the client's cookies, and what we do otherwise on purpose.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, Redacted, Schema, TestClock } from "effect"
import type * as SecurityEvents from "effect-security/SecurityEvents"
import * as SealedSession from "effect-security/session/SealedSession"
import * as SessionAuth from "effect-security/session/SessionAuth"
import { get, onWeb, post } from "../edge/harness.js"
import { Auth, CurrentUser, retrieveUser, send, Session } from "../session/fixtures.js"
import {
  bytesOf,
  cart,
  cookieOf,
  eventsTo,
  header,
  key,
  live,
  liveOf,
  names,
  parse,
  plainEvent,
  posting,
  refusal,
  refused,
  revocable,
  signIn,
  withCookie
} from "../session/sealed/fixtures.js"

const name = "__Host-session"
const read = (cookie: string) => send(Auth.session, withCookie(cookie))
const build = <A, E>(layer: Layer.Layer<A, E>) => Effect.exit(Effect.scoped(Layer.build(layer)))
const isAlive = (cookie: string) => Effect.map(read(cookie), ({ status }) => status === 204)

// -----------------------------------------------------------------------------
// The cases of Litestar's tests
// -----------------------------------------------------------------------------

describe("sessions in the client's cookies", () => {
  it.effect("have no id, and a cookie is set all the same (57)", () => {
    const events: Array<SecurityEvents.SecurityEvent> = []
    return Effect.gen(function*() {
      const login = yield* send(Auth.login({ userId: "ada" }), posting())
      assert.deepStrictEqual(names(login), [name])
      assert.deepStrictEqual(events.map(plainEvent).map(({ credential }) => credential), [null])
    }).pipe(Effect.provide(Layer.provide(live(), eventsTo(events))))
  })

  it.effect("are sealed under 32 bytes or more, and a key of 16, 24, 17, 4, 100 like ones or 0 bytes is an error (68)", () =>
    Effect.gen(function*() {
      const keyed = (bytes: Uint8Array) => SealedSession.layer(Auth, { retrieveUser, keys: Redacted.make(bytes) })
      for (const length of [16, 24, 17, 4, 0]) {
        const exit = yield* build(keyed(bytesOf("a").subarray(0, length)))
        const error = Exit.isFailure(exit) ? Option.getOrThrow(Cause.failureOption(exit.cause)) : undefined
        assert.strictEqual(error!._tag, "SecurityConfigError")
        assert.match(error!.message, length === 0 ? /is empty/ : new RegExp(`has ${length} bytes`))
      }
      assert.isTrue(Exit.isFailure(yield* build(keyed(new Uint8Array(100).fill(1)))))
      for (const bytes of [bytesOf("a"), Buffer.concat([bytesOf("a"), bytesOf("b")])]) {
        assert.isTrue(Exit.isSuccess(yield* build(keyed(bytes))))
      }
    }))

  it.effect("are in a cookie of any name that a cookie may have, and of no other (69, 70)", () =>
    Effect.gen(function*() {
      const named = (name: string) => {
        class Named extends SessionAuth.Tag<Named>()("test/Named", {
          user: CurrentUser,
          session: Session,
          cookie: { name: name as string }
        }) {}
        return Named
      }
      for (const name of ["a", "n".repeat(256), "n".repeat(1_000)]) {
        const tag = named(name)
        const login = yield* Effect.provide(send(tag.login({ userId: "ada" }), posting()), liveOf(tag as any))
        assert.deepStrictEqual(names(login as any), [name])
      }
      for (const name of ["", "a b", "a;b", "a=b", "\u00e9", "a\r\nb"]) {
        assert.isTrue(Exit.isFailure(yield* build(liveOf(named(name) as any))), JSON.stringify(name))
      }
      // What Litestar calls max_age is a timeout here, and a Layer with one that makes no sense does not start.
      for (const absoluteTimeout of [0, -1]) {
        assert.isTrue(Exit.isFailure(yield* build(liveOf(Auth as any, { absoluteTimeout }))))
      }
      for (const absoluteTimeout of ["1 second", "100 seconds"] as const) {
        assert.isTrue(Exit.isSuccess(yield* build(liveOf(Auth as any, { absoluteTimeout }))))
      }
    }))

  it.effect("come back as they were, small or large, and no cookie is over the limit (71)", () =>
    Effect.gen(function*() {
      for (const session of [{ userId: "ada" }, { userId: "ada", cart: [...cart(5_600)] }]) {
        const login = yield* send(Auth.login(session), posting())
        assert.isTrue(login.setCookie.every((line) => Buffer.byteLength(line) <= 4_096))
        assert.deepStrictEqual((yield* read(cookieOf(login))).exit, Exit.succeed(session))
      }
    }).pipe(Effect.provide(live())))

  it.effect("are over a second after their time (72)", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      yield* TestClock.adjust("100 seconds")
      const reply = yield* read(cookie)
      // Differs on purpose: Litestar goes on with an empty session.
      assert.deepStrictEqual([reply.status, names(reply)], [401, [`-${name}`]])
    }).pipe(Effect.provide(live({ absoluteTimeout: "99 seconds" }))))

  it.effect("are one cookie of the very name where they fit, and go on in a second one where not (73, 74)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(names(yield* send(Auth.login({ userId: "ada" }), posting())), [name])
      const large = yield* send(Auth.login({ userId: "ada", cart: [...cart(4_000)] }), posting())
      assert.deepStrictEqual(names(large), [name, `${name}.1`])
    }).pipe(Effect.provide(live())))

  it.effect("are not looked for in cookies whose names only contain theirs (75)", () =>
    Effect.gen(function*() {
      const value = parse(yield* signIn())[name]!
      for (
        const other of ["thisisnnotasessioncookie", `x${name}`, `${name}x`, `${name}-0`, "session", "__Host-Session"]
      ) {
        assert.deepStrictEqual(refusal(yield* read(`${other}=${value}`)), refused)
      }
      assert.isTrue(yield* isAlive(`thisisnnotasessioncookie=1; ${name}=${value}; x${name}=2`))
    }).pipe(Effect.provide(live())))

  it.effect("of several cookies load, and a change sets or clears each of them (76)", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn("ada", 4_000)
      const same = yield* read(cookie)
      // Differs on purpose: what did not change is not sent again.
      assert.deepStrictEqual([same.status, same.setCookie], [204, []])
      const change = (bytes: number) =>
        send(Auth.update((session) => ({ ...session, cart: [...cart(bytes)] })), posting(cookie))
      assert.deepStrictEqual(names(yield* change(5_000)), [name, `${name}.1`])
      assert.deepStrictEqual(names(yield* change(5)), [name, `-${name}.1`])
    }).pipe(Effect.provide(live())))

  it.effect("have their deadlines inside what is sealed, where no client can put them off (77)", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const bytes = Buffer.from(parse(cookie)[name]!.slice(2), "base64url")
      for (let index = 0; index < bytes.length; index++) {
        const forged = Buffer.from(bytes)
        forged[index]! ^= 1
        assert.deepStrictEqual(refusal(yield* read(`${name}=1.${forged.toString("base64url")}`)), refused)
      }
      assert.notInclude(bytes.toString("latin1"), "expires")
    }).pipe(Effect.provide(live())))

  it.effect("that need another number of cookies than before leave none of the old behind (78)", () =>
    Effect.gen(function*() {
      const small = yield* signIn()
      const grown = yield* send(Auth.update((session) => ({ ...session, cart: [...cart(4_000)] })), posting(small))
      // The first keeps its name, so that it is replaced and not left.
      assert.deepStrictEqual(names(grown), [name, `${name}.1`])
      const shrunk = yield* send(Auth.update(({ userId }) => ({ userId })), posting(cookieOf(grown)))
      assert.deepStrictEqual(names(shrunk), [name, `-${name}.1`])
    }).pipe(Effect.provide(live())))

  it.effect("are not sent anew by a read, and what an earlier number of them left is no part of them (O8)", () =>
    Effect.gen(function*() {
      const [small, large] = [parse(yield* signIn()), parse(yield* signIn("ada", 4_000))]
      const both = yield* read(header({ [name]: small[name]!, [`${name}.1`]: large[`${name}.1`]! }))
      assert.deepStrictEqual([both.status, both.exit, both.setCookie], [204, Exit.succeed({ userId: "ada" }), []])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Weaknesses
// -----------------------------------------------------------------------------

describe("what Litestar's client-side sessions allow", () => {
  const marker = "additional_authenticated_data="

  it.scopedLive("is no 500 without a key: a payload whose times are no JSON is a 401 (W18)", () =>
    Effect.gen(function*() {
      const whoami = Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id))
      const login = Effect.as(Auth.login({ userId: "ada" }), HttpServerResponse.empty({ status: 204 }))
      const server = yield* onWeb("HttpRouter", [get("/me", whoami, Auth), post("/login", login)], live())
      for (const aad of ["notjson", "{}", "[1]"]) {
        const text = Buffer.concat([bytesOf("nonce").subarray(0, 12), Buffer.from(`${marker}${aad}`)])
        for (
          const value of [text.toString("base64"), `1.${text.toString("base64url")}`, `"${text.toString("base64")}"`]
        ) {
          const cookie = `${name}=${value}`
          const reply = yield* server.send("/me", { headers: { cookie } })
          assert.deepStrictEqual([reply.status, reply.setCookies], [401, []])
          assert.strictEqual((yield* server.send("/login", { method: "POST", headers: { cookie } })).status, 204)
        }
      }
      assert.deepStrictEqual(server.logs, [])
    }))

  it.effect("is no lost session of many cookies: there are two at most, joined by number (W19)", () =>
    Effect.gen(function*() {
      const cookies = parse(yield* signIn("ada", 5_600))
      assert.deepStrictEqual(Object.keys(cookies), [name, `${name}.1`])
      const backwards = header({ [`${name}.1`]: cookies[`${name}.1`]!, [name]: cookies[name]! })
      assert.isTrue(yield* isAlive(backwards))
    }).pipe(Effect.provide(live())))

  it.effect("is no cookie that a browser drops: each is measured with all of its attributes, and what is too large says so (W20)", () => {
    class Wide extends SessionAuth.Tag<Wide>()("test/Wide", {
      user: CurrentUser,
      session: Session,
      cookie: { name: "n".repeat(100), domain: `${"d".repeat(60)}.example.com`, path: `/${"p".repeat(200)}` }
    }) {}
    return Effect.gen(function*() {
      const login = (bytes: number) => send(Wide.login({ userId: "ada", cart: [...cart(bytes)] }), posting())
      const two = yield* login(5_000)
      assert.lengthOf(two.setCookie, 2)
      assert.isTrue(two.setCookie.every((line) => Buffer.byteLength(line) <= 4_096))
      const large = yield* login(6_000)
      const error: any = Exit.isFailure(large.exit) ? Cause.squash(large.exit.cause) : undefined
      assert.deepStrictEqual([large.status, large.setCookie, error._tag], [413, [], "CookieTooLarge"])
      assert.isAbove(error.size, 8_192)
    }).pipe(Effect.provide(liveOf(Wide as any))) as Effect.Effect<void>
  })

  it.effect("is a copy that outlives its logout, unless all sessions of the subject are ended by an epoch (W21)", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      yield* send(Auth.logout, posting(cookie))
      assert.isTrue(yield* isAlive(cookie))
      yield* send(Auth.revokeAll(), posting(cookie))
      assert.isFalse(yield* isAlive(cookie))
    }).pipe(Effect.provide(revocable())))

  it.effect("is no key for good, and no cookie that is good elsewhere: keys are replaced, and bound to Tag and cookie (W22)", () => {
    class Other extends SessionAuth.Tag<Other>()("test/Other", { user: CurrentUser, session: Session }) {}
    return Effect.gen(function*() {
      const old = yield* Effect.provide(signIn(), live({ keys: key("old") }))
      const anew = yield* Effect.provide(read(old), live({ keys: [key("new"), key("old")] }))
      assert.isTrue(yield* Effect.provide(isAlive(cookieOf(anew)), live({ keys: key("new") })))
      assert.isFalse(yield* Effect.provide(isAlive(old), live({ keys: key("new") })))
      const elsewhere = yield* Effect.provide(
        send(Other.session as Effect.Effect<unknown>, withCookie(old)),
        liveOf(Other as any, { keys: key("old") })
      )
      assert.deepStrictEqual(refusal(elsewhere), refused)
    })
  })

  it.effect("is no nonce that comes twice: each sealing has a salt of 32 bytes, and from it a key of its own (W23)", () =>
    Effect.gen(function*() {
      const cookies = yield* Effect.replicateEffect(signIn(), 300)
      const salts = cookies.map((cookie) =>
        Buffer.from(parse(cookie)[name]!.slice(2), "base64url").subarray(7, 39).toString("hex")
      )
      assert.strictEqual(new Set(salts).size, 300)
    }).pipe(Effect.provide(live())))

  it.effect("is no name that is a pattern (W24)", () => {
    class Dotted extends SessionAuth.Tag<Dotted>()("test/Dotted", {
      user: CurrentUser,
      session: Schema.Struct({ userId: Schema.String }),
      cookie: { name: "my.sess" }
    }) {}
    return Effect.gen(function*() {
      const login = yield* send(Dotted.login({ userId: "ada" }), posting())
      const value = parse(cookieOf(login))["my.sess"]!
      const reading = (cookie: string) => send(Dotted.session, withCookie(cookie))
      assert.strictEqual((yield* reading(`myXsess=1; my.sess=${value}; myXsess.1=2`)).status, 204)
      for (const other of ["myXsess", "my-sess", "mysess", "my.sess-0", "my.sess.0"]) {
        assert.deepStrictEqual(refusal(yield* reading(`${other}=${value}`)), refused)
      }
    }).pipe(Effect.provide(liveOf(Dotted as any))) as Effect.Effect<void>
  })

  it.effect("is no marker that a session could hold: every part of what is sealed has its place by length (W25)", () =>
    Effect.gen(function*() {
      const session = { userId: marker, cart: [marker, `${marker}{"expires_at":1}`, "\n[\"eve\",1]\n{}"] }
      const login = yield* send(Auth.login(session), posting())
      assert.deepStrictEqual((yield* read(cookieOf(login))).exit, Exit.succeed(session))
    }).pipe(Effect.provide(live())))
})
