// Cookies that somebody has made or changed: each is a 401 that sets and clears nothing, and no handler runs.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Runtime, Schema } from "effect"
import * as JwtAuth from "effect-security/jwt/JwtAuth"
import * as SessionAuth from "effect-security/session/SessionAuth"
import { createCipheriv, randomBytes } from "node:crypto"
import { get, serve, surfaces } from "../../edge/harness.js"
import { Auth, CurrentUser, send, Session } from "../fixtures.js"
import * as F from "./fixtures.js"

const { cookieOf, header, key, live, liveOf, parse, posting, refusal, refused, signIn, withCookie } = F

const name = "__Host-session"
const rest = "__Host-session.1"

/** A handler that must not run. */
const guarded = (ran: { times: number }) => Auth.protect(Effect.sync(() => void ran.times++))

/** Sends cookies, each of which is to be refused. */
const refuse = (cookie: string, label = cookie.slice(0, 200)) =>
  Effect.gen(function*() {
    const ran = { times: 0 }
    const reply = yield* send(guarded(ran), withCookie(cookie))
    assert.deepStrictEqual([...refusal(reply), ran.times], [...refused, 0], label)
    const written = yield* send(
      Auth.update((session) => ({ ...session, cart: ["coffee"] })),
      posting(cookie)
    )
    assert.deepStrictEqual(refusal(written), refused, label)
  })

/** The sealed bytes of a session of one cookie, with `change` made to them. */
const changed = (cookie: string, change: (bytes: Buffer) => Buffer) =>
  `${name}=1.${change(Buffer.from(parse(cookie)[name]!.slice(2), "base64url")).toString("base64url")}`

const property = <A>(
  arbitrary: FastCheck.Arbitrary<A>,
  f: (a: A) => Effect.Effect<void, never, F.Live>,
  numRuns = 1_000
) =>
  Effect.flatMap(
    Effect.runtime<F.Live>(),
    (runtime) =>
      Effect.promise(() =>
        FastCheck.assert(FastCheck.asyncProperty(arbitrary, (a) => Runtime.runPromise(runtime)(f(a))), { numRuns })
      )
  )

// -----------------------------------------------------------------------------
// Text
// -----------------------------------------------------------------------------

/** What a header may hold, without what ends a cookie. */
const octets = FastCheck.string({
  unit: FastCheck.integer({ min: 0x21, max: 0x7e }).filter((code) => code !== 0x3b).map((code) =>
    String.fromCharCode(code)
  ),
  maxLength: 300
})
const base64url = FastCheck.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes).toString("base64url"))

describe("a cookie that was made up", () => {
  it.effect("of any characters is refused", () =>
    property(octets, (text) => refuse(`${name}=${text}`)).pipe(Effect.provide(live())))

  it.effect("of random bytes is refused, with every count, in one cookie and in two", () =>
    property(
      FastCheck.tuple(
        FastCheck.constantFrom("", "0.", "1.", "2.", "3.", "9.", "10.", "-1.", "1e0."),
        base64url,
        base64url,
        FastCheck.boolean()
      ),
      ([count, first, second, hasSecond]) => refuse(`${name}=${count}${first}${hasSecond ? `; ${rest}=${second}` : ""}`)
    ).pipe(Effect.provide(live())))

  it.effect("with the version and the id of a good key, as every client sees them, is refused", () =>
    Effect.gen(function*() {
      const good = yield* signIn()
      const bytes = FastCheck.uint8Array({ maxLength: 400 })
      yield* property(bytes, (bytes) => refuse(changed(good, (old) => Buffer.concat([old.subarray(0, 7), bytes]))))
      yield* property(bytes, (bytes) => refuse(changed(good, (old) => Buffer.concat([old.subarray(0, 39), bytes]))))
    }).pipe(Effect.provide(live())))

  it.effect("like the payloads that Litestar answered with 500 is refused (W18)", () =>
    Effect.gen(function*() {
      for (const aad of ["notjson", "{}", "[1]", "", "{\"expires_at\": 9999999999}", "null"]) {
        const payload = Buffer.concat([randomBytes(12), Buffer.from(`additional_authenticated_data=${aad}`)])
        for (const text of [payload.toString("base64"), payload.toString("base64url")]) {
          for (const cookie of [`${name}=${text}`, `${name}="${text}"`, `${name}=1.${text}`, `${name}-0=${text}`]) {
            yield* refuse(cookie)
          }
        }
      }
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// A good one, changed
// -----------------------------------------------------------------------------

describe("a good cookie", () => {
  it.effect("with any one bit of its bytes flipped is refused", () =>
    Effect.gen(function*() {
      const good = yield* signIn()
      const { length } = Buffer.from(parse(good)[name]!.slice(2), "base64url")
      for (let index = 0; index < length; index++) {
        for (const bit of [1, 16, 128]) {
          yield* refuse(
            changed(good, (bytes) => {
              bytes[index]! ^= bit
              return bytes
            }),
            `bit ${bit} of byte ${index}`
          )
        }
      }
      assert.strictEqual((yield* send(Auth.user, withCookie(good))).status, 204)
    }).pipe(Effect.provide(live())))

  it.effect(
    "with any one of its characters replaced is refused, the last of spare bits too",
    () =>
      Effect.gen(function*() {
        const good = `${name}=${parse(yield* signIn())[name]}`
        const characters = [..."ABab01-_=+/.%\"! "]
        for (let index = name.length + 1; index < good.length; index++) {
          for (const character of index > good.length - 3 ? [...characters, ..."QRSTgwxyz"] : characters.slice(0, 4)) {
            if (good[index] !== character && !(character === " " && index === good.length - 1)) {
              yield* refuse(`${good.slice(0, index)}${character}${good.slice(index + 1)}`)
            }
          }
        }
      }).pipe(Effect.provide(live())),
    60_000
  )

  it.effect("cut anywhere, or longer by anything, is refused", () =>
    Effect.gen(function*() {
      const good = yield* signIn()
      const value = parse(good)[name]!
      for (let length = 0; length < value.length; length++) {
        yield* refuse(`${name}=${value.slice(0, length)}`)
      }
      for (const more of ["A", "AA", "AAA", "AAAA", "=", "==", ".", ".A", "%", "%41", ",", "\u00a0"]) {
        yield* refuse(`${good}${more}`)
      }
    }).pipe(Effect.provide(live())))

  it.effect("in quotes, percent-encoded, in standard base64, or behind spaces is refused", () =>
    Effect.gen(function*() {
      const good = yield* signIn()
      const value = parse(good)[name]!
      const text = value.slice(2)
      const cookies = [
        `${name}="${value}"`,
        `${name}=${encodeURIComponent(value).replace(".", "%2E")}`,
        `${name}=1.${Buffer.from(text, "base64url").toString("base64")}`,
        `${name}=1.${text}=`,
        `${name}= ${value}`,
        `${name}=${value} `,
        `${name}=${value}\t`,
        `${name}=${text}`,
        `${name}=01.${text}`,
        `${name}=1..${text}`,
        `${name}=1,${text}`,
        `${name}=+1.${text}`
      ].filter((cookie) => cookie.trimEnd() === cookie)
      for (const cookie of cookies) {
        yield* refuse(cookie)
      }
      yield* refuse(`${name}=${value} ; a=b`)
    }).pipe(Effect.provide(live())))

  it.effect("of other versions than the one there is, or of another key's id, is refused", () =>
    Effect.gen(function*() {
      const good = yield* signIn()
      for (let version = 0; version < 256; version++) {
        if (version !== 1) {
          yield* refuse(
            changed(good, (bytes) => Buffer.concat([Buffer.of(version), bytes.subarray(1)])),
            `version ${version}`
          )
        }
      }
      const other = parse(
        cookieOf(yield* Effect.provide(send(Auth.login({ userId: "ada" }), posting()), live({ keys: key("other") })))
      )
      const id = Buffer.from(other[name]!.slice(2), "base64url").subarray(1, 7)
      const swapped = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 1), id, bytes.subarray(7)])
      yield* refuse(changed(good, swapped))
      // Both keys are known here, and still each opens only what it has sealed.
      yield* Effect.provide(refuse(changed(good, swapped)), live({ keys: [key("first"), key("other")] }))
    }).pipe(Effect.provide(live())))

  it.effect("spliced of parts of two sessions is refused, at any bytes", () =>
    Effect.gen(function*() {
      const bytesOf = (cookie: string) => Buffer.from(parse(cookie)[name]!.slice(2), "base64url")
      const ada = bytesOf(yield* signIn("ada"))
      const eve = bytesOf(yield* signIn("eve"))
      const at = FastCheck.nat({ max: ada.length })
      yield* property(
        FastCheck.tuple(at, at).map(([a, b]) => {
          const [from, to] = [Math.min(a, b), Math.max(a, b)]
          return Buffer.concat([ada.subarray(0, from), eve.subarray(from, to), ada.subarray(to)])
        }).filter((bytes) => !bytes.equals(ada) && !bytes.equals(eve)),
        (bytes) => refuse(`${name}=1.${bytes.toString("base64url")}`)
      )
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Chunks
// -----------------------------------------------------------------------------

describe("a session in two cookies", () => {
  const large = (userId: string) => signIn(userId, 4_000)

  it.effect("opens in either order, and beside cookies of other names", () =>
    Effect.gen(function*() {
      const cookies = parse(yield* large("ada"))
      assert.deepStrictEqual(Object.keys(cookies), [name, rest])
      const spellings = [
        header(cookies),
        header({ [rest]: cookies[rest]!, [name]: cookies[name]! }),
        `a=b; ${rest}=${cookies[rest]};   theme=dark;${name}=${cookies[name]}`,
        `${header(cookies)}; ${rest}0=x; ${name}.2=x; ${name}-1=x; x${rest}=x; ${name}.=x; ${name}.01=x; ${name}X1=x`
      ]
      for (const cookie of spellings) {
        assert.strictEqual((yield* send(Auth.user, withCookie(cookie))).status, 204, cookie.slice(-100))
      }
    }).pipe(Effect.provide(live())))

  it.effect("does not open without one of them, with one twice, or with another count", () =>
    Effect.gen(function*() {
      const cookies = parse(yield* large("ada"))
      const [first, second] = [cookies[name]!, cookies[rest]!]
      const bad = [
        `${name}=${first}`,
        `${name}=${first}; ${rest}=`,
        `${name}=${first}; ${name}=${first}; ${rest}=${second}`,
        `${name}=${first}; ${rest}=${second}; ${rest}=${second}`,
        `${name}=${second}; ${rest}=${first}`,
        `${name}=2.${second}; ${rest}=${first.slice(2)}`,
        `${name}=2.${first.slice(2)}; ${name}.2=${second}`,
        `${name}=2.${first.slice(2)}; ${name}.01=${second}`,
        `${name}=2.${first.slice(2)}; ${rest}=2.${second}`,
        `${name}=1.${first.slice(2)}; ${rest}=${second}`,
        `${name}=3.${first.slice(2)}; ${rest}=${second}; ${name}.2=${second}`,
        `${name}=0.${first.slice(2)}; ${rest}=${second}`,
        `${name}=9.${first.slice(2)}; ${rest}=${second}`,
        `${name}=2.${first.slice(2)}; ${rest}=${second.slice(0, -1)}`,
        `${name}=2.${first.slice(2)}; ${rest}="${second}"`,
        `${name}=2.; ${rest}=${first.slice(2)}${second}`,
        `${name}=1.${first.slice(2)}${second.slice(0, -1)}`
      ]
      for (const cookie of bad) {
        yield* refuse(cookie, `${cookie.slice(0, 60)} ... ${cookie.slice(-40)}`)
      }
      // Without the first there is no session at all.
      const reply = yield* send(Auth.user, withCookie(`${rest}=${second}`))
      assert.deepStrictEqual(refusal(reply), refused)
    }).pipe(Effect.provide(live())))

  it.effect("does not open with a part of another session, of another client or of an earlier size", () =>
    Effect.gen(function*() {
      const [ada, eve] = [parse(yield* large("ada")), parse(yield* large("eve"))]
      yield* refuse(header({ [name]: ada[name]!, [rest]: eve[rest]! }))
      yield* refuse(header({ [name]: eve[name]!, [rest]: ada[rest]! }))
      const small = parse(yield* signIn("ada"))
      // What an earlier, longer session has left is no part of the one that says it is whole.
      const reply = yield* send(Auth.user, withCookie(header({ [name]: small[name]!, [rest]: ada[rest]! })))
      assert.strictEqual(reply.status, 204)
      yield* refuse(header({ [name]: small[name]!.replace("1.", "2."), [rest]: ada[rest]! }))
    }).pipe(Effect.provide(live())))

  it.effect("split anywhere else by its client is the same session, and nothing more", () =>
    Effect.gen(function*() {
      const cookies = parse(yield* large("ada"))
      const text = cookies[name]!.slice(2) + cookies[rest]!
      for (const at of [1, 100, text.length - 1]) {
        const reply = yield* send(
          Auth.user,
          withCookie(header({ [name]: `2.${text.slice(0, at)}`, [rest]: text.slice(at) }))
        )
        assert.strictEqual(reply.status, 204)
      }
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Sealed, but not for this
// -----------------------------------------------------------------------------

describe("what was sealed", () => {
  class Named extends SessionAuth.Tag<Named>()("test/Auth", {
    user: CurrentUser,
    session: Session,
    cookie: { name: "__Host-other" }
  }) {}
  class Other extends SessionAuth.Tag<Other>()("test/Other", { user: CurrentUser, session: Session }) {}
  class Tokens extends JwtAuth.Tag<Tokens>()("test/Tokens", {
    user: CurrentUser,
    claims: Schema.Struct({ sub: Schema.String, userId: Schema.String }),
    cookie: { name: "__Host-session" }
  }) {}

  const sealedFor = (tag: any, options?: F.Options) =>
    Effect.map(
      send(tag.login({ userId: "ada", sub: "ada" }) as Effect.Effect<void>, posting()),
      (reply) => Object.values(parse(cookieOf(reply)))[0]!
    ).pipe(Effect.provide(liveOf(tag, options))) as Effect.Effect<string>

  const foreign: Readonly<Record<string, Effect.Effect<string>>> = {
    "for another Tag": sealedFor(Other),
    "for a Tag of tokens with the same cookie": sealedFor(Tokens),
    "for another cookie": sealedFor(Named),
    "for the insecure cookie of the same Tag": sealedFor(Auth, { insecureCookie: true }),
    "under another key": sealedFor(Auth, { keys: key("other") })
  }

  for (const [title, sealed] of Object.entries(foreign)) {
    it.effect(`${title} is refused`, () =>
      Effect.flatMap(sealed, (value) => refuse(`${name}=${value}`)).pipe(Effect.provide(live())))
  }

  it.effect("under the key itself, without any derivation, is refused", () =>
    Effect.gen(function*() {
      const good = yield* signIn()
      yield* refuse(changed(good, (bytes) => {
        const head = bytes.subarray(0, 39)
        const cipher = createCipheriv("aes-256-gcm", F.bytesOf("first"), head.subarray(7, 19)).setAAD(head)
        return Buffer.concat([head, cipher.update("[]\n{}"), cipher.final(), cipher.getAuthTag()])
      }))
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Costs
// -----------------------------------------------------------------------------

describe("a client that sends megabytes", () => {
  it.effect("is refused before anything is decoded", () =>
    Effect.gen(function*() {
      const good = parse(yield* signIn())[name]!
      for (const length of [8_193, 100_000, 3_000_000]) {
        const filler = "A".repeat(length)
        yield* refuse(`${name}=${good}${filler}`, `${length}`)
        yield* refuse(`${name}=1.${filler}`, `${length}`)
        yield* refuse(`${name}=2.${filler}; ${rest}=${filler}`, `${length}`)
      }
    }).pipe(Effect.provide(live())))
})

describe("on every router", () => {
  const routes = [get("/me", Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id)), Auth)]

  for (const surface of surfaces) {
    it.scopedLive(`a crafted cookie is a 401 that sets nothing: ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const server = yield* serve(surface, routes, live())
        const cookies = [
          ...FastCheck.sample(octets, 100).map((text) => `${name}=${text}`),
          ...FastCheck.sample(base64url, 100).map((text) => `${name}=1.${text}`),
          `${name}=2.AAAA; ${rest}=AAAA`,
          `${name}=1.${"A".repeat(8_200)}`
        ]
        for (const cookie of cookies) {
          const reply = yield* server.send("/me", { headers: { cookie } })
          assert.deepStrictEqual([reply.status, reply.setCookies], [401, []], cookie)
        }
        assert.deepStrictEqual(server.logs, [])
      }))
  }
})
