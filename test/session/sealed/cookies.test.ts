// The cookies of a sealed session: what they are called, how large they are, and what a client keeps of them.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck, Layer, Runtime, Schema } from "effect"
import type * as CookiePolicy from "effect-security/http/CookiePolicy"
import * as JwtAuth from "effect-security/jwt/JwtAuth"
import type { CookieTooLarge } from "effect-security/SecurityError"
import * as SecurityTest from "effect-security/SecurityTest"
import * as Session from "effect-security/session/Session"
import * as SessionAuth from "effect-security/session/SessionAuth"
import { Auth, cleared, CurrentUser, memory, send } from "../fixtures.js"
import { Session as SessionSchema } from "../fixtures.js"
import type { Reply } from "../fixtures.js"
import { Browser } from "./browser.js"
import {
  cart,
  clearedRest,
  cookieOf,
  live,
  liveOf,
  names,
  parse,
  posting,
  refusal,
  refused,
  signIn,
  withCookie
} from "./fixtures.js"

const bytesOf = (line: string) => Buffer.byteLength(line)
const failure = (reply: Reply<unknown, unknown>): CookieTooLarge | undefined =>
  Exit.isFailure(reply.exit) ? Cause.squash(reply.exit.cause) as CookieTooLarge : undefined
const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)

const tagOf = (cookie: CookiePolicy.Options): any => {
  class Tag extends SessionAuth.Tag<Tag>()("test/Auth", {
    user: CurrentUser,
    session: SessionSchema,
    cookie: cookie as {}
  }) {}
  return Tag
}

// -----------------------------------------------------------------------------
// Attributes
// -----------------------------------------------------------------------------

const policies: ReadonlyArray<
  readonly [title: string, tag: any, insecureCookie: boolean, name: string, attributes: string]
> = [
  ["of a Tag that says nothing", Auth, false, "__Host-session", "Path=/; HttpOnly; Secure; SameSite=Lax"],
  ["over plain http", Auth, true, "session", "Path=/; HttpOnly; SameSite=Lax"],
  [
    "with a domain",
    tagOf({ domain: "example.com" }),
    false,
    "__Secure-session",
    "Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax"
  ],
  ["with a path", tagOf({ path: "/shop" }), false, "__Secure-session", "Path=/shop; HttpOnly; Secure; SameSite=Lax"],
  [
    "with a name, a domain, a path and no site",
    tagOf({ name: "sid", domain: "a.example.com", path: "/a", sameSite: "none" }),
    false,
    "sid",
    "Domain=a.example.com; Path=/a; HttpOnly; Secure; SameSite=None"
  ],
  [
    "with a strict site",
    tagOf({ sameSite: "strict" }),
    false,
    "__Host-session",
    "Path=/; HttpOnly; Secure; SameSite=Strict"
  ],
  [
    "with a name of every length",
    tagOf({ name: "n".repeat(200), domain: `${"d".repeat(60)}.example.com`, path: `/${"p".repeat(300)}` }),
    false,
    "n".repeat(200),
    `Domain=${"d".repeat(60)}.example.com; Path=/${"p".repeat(300)}; HttpOnly; Secure; SameSite=Lax`
  ]
]

describe("the cookies", () => {
  for (const [title, tag, insecureCookie, name, attributes] of policies) {
    const expiring = attributes.replace(/(Path=[^;]*)/, "$1; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    const run = Effect.provide(liveOf(tag, { insecureCookie }))

    it.effect(`${title} have the name and the attributes that the Tag says, the second as the first`, () =>
      Effect.gen(function*() {
        const one: Reply<unknown, unknown> = yield* send(tag.login({ userId: "ada" }) as Effect.Effect<void>, posting())
        const value = parse(cookieOf(one))[name]
        assert.deepStrictEqual(one.setCookie, [`${name}=${value}; Max-Age=2592000; ${attributes}`])
        const two = yield* send(tag.login({ userId: "ada", cart: cart(3_500) }) as Effect.Effect<void>, posting())
        const values = parse(cookieOf(two))
        assert.deepStrictEqual(two.setCookie, [
          `${name}=${values[name]}; Max-Age=2592000; ${attributes}`,
          `${name}.1=${values[`${name}.1`]}; Max-Age=2592000; ${attributes}`
        ])
        const read = yield* send(tag.session as Effect.Effect<unknown>, withCookie(cookieOf(two)))
        assert.deepStrictEqual(read.exit, Exit.succeed({ userId: "ada", cart: cart(3_500) }))
        const logout = yield* send(tag.logout as Effect.Effect<void>, posting(cookieOf(two)))
        assert.deepStrictEqual(logout.setCookie, [
          `${name}=; Max-Age=0; ${expiring}`,
          `${name}.1=; Max-Age=0; ${expiring}`
        ])
        // A browser takes them, and forgets them.
        const url = new URL(`https://a.example.com${/Path=([^;]*)/.exec(attributes)![1]}`)
        const domain = /Domain=([^;]*)/.exec(attributes)?.[1]
        if (domain !== undefined) url.hostname = domain
        const browser = new Browser()
        assert.deepStrictEqual(browser.receive(url, two.setCookie), [])
        assert.strictEqual(browser.header(url), cookieOf(two))
        assert.deepStrictEqual(browser.receive(url, logout.setCookie), [])
        assert.isUndefined(browser.header(url))
      }).pipe(run as any) as Effect.Effect<void>)

    it.effect(
      `${title} are at most 4,096 bytes each and 8,192 in all, at a thousand sizes about the limits`,
      () =>
        Effect.gen(function*() {
          const login = (bytes: number) =>
            send(tag.login({ userId: "ada", cart: cart(bytes) }) as Effect.Effect<void>, posting())
          const bisect = (from: number, to: number, isBelow: (reply: Reply<void, never>) => boolean) =>
            Effect.gen(function*() {
              let [below, above] = [from, to]
              while (above - below > 1) {
                const middle = Math.floor((below + above) / 2)
                if (isBelow(yield* login(middle))) below = middle
                else above = middle
              }
              return below
            })
          const one = yield* bisect(0, 8_000, ({ setCookie }) => setCookie.length === 1)
          const two = yield* bisect(one, 8_000, ({ setCookie }) => setCookie.length > 0)
          const overhead = bytesOf(`${name}=; Max-Age=2592000; ${attributes}`)
          const span = 1_000 / 7 / 2
          const sizes = [one, two].flatMap((limit) =>
            Array.from({ length: span }, (_, index) => limit - Math.floor(span / 2) + index)
          )
          let last = { size: 0, total: 0 }
          for (const size of sizes) {
            const reply = yield* login(size)
            // Each three bytes of the session take four characters.
            const textLength = Math.ceil((39 + 16 + bytesOf(text(size))) * 4 / 3)
            const count = size <= one ? 1 : 2
            const expected = textLength + count * overhead + 2 + (count === 2 ? 2 : 0)
            if (size <= two) {
              assert.lengthOf(reply.setCookie, count, `${size}`)
              for (const line of reply.setCookie) assert.isAtMost(bytesOf(line), 4_096)
              assert.strictEqual(sum(reply.setCookie.map(bytesOf)), expected, `${size}`)
            } else {
              const error = failure(reply)!
              assert.deepStrictEqual([error._tag, error.limit, reply.status], ["CookieTooLarge", 8_192, 413])
              assert.deepStrictEqual([error.size, reply.setCookie], [expected, []], `${size}`)
              assert.isAbove(error.size, 8_192)
              assert.strictEqual(JSON.parse(reply.body).size, expected)
            }
            if (size > last.size) assert.isAtLeast(expected, last.total)
            last = { size, total: expected }
          }
          // As full as base64url allows.
          assert.isAbove(bytesOf((yield* login(one)).setCookie[0]!), 4_096 - 4)
          assert.isAbove(sum((yield* login(two)).setCookie.map(bytesOf)), 8_192 - 4)
        }).pipe(run as any) as Effect.Effect<void>,
      30_000
    )
  }

  /** What is sealed of a session with a cart of so many bytes: each number has its 13 digits. */
  const text = (size: number) =>
    `["ada",1,${"0".repeat(13)},${"0".repeat(13)},${"0".repeat(13)},${"0".repeat(13)},true,${"0".repeat(13)}]\n` +
    JSON.stringify({ userId: "ada", cart: cart(size) })

  it.effect("fit more where they end with the browser, since Max-Age takes room too", () =>
    Effect.gen(function*() {
      const sized = (remember: boolean) => (bytes: number) =>
        send(Auth.login({ userId: "ada", cart: cart(bytes) }, { remember }), posting())
      let size = 5_700
      while ((yield* sized(true)(size)).status === 204) size++
      assert.strictEqual((yield* sized(false)(size)).status, 204)
    }).pipe(Effect.provide(live())))

  it.effect("are the session's limit before its own of 16 KiB is, which says its size in turn", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.login({ userId: "ada", cart: cart(16_384) }), posting())
      assert.strictEqual(failure(reply)!._tag as string, "SessionTooLarge")
      assert.deepStrictEqual([reply.status, reply.setCookie], [413, []])
      const below = yield* send(Auth.login({ userId: "ada", cart: cart(16_300) }), posting())
      assert.isAbove(failure(below)!.size, 16_300 * 4 / 3)
    }).pipe(Effect.provide(live())))

  it.effect("of SecurityTest are those of a response, in two where it takes two", () =>
    Effect.gen(function*() {
      const cookie = yield* SecurityTest.cookie(Auth, { userId: "ada", cart: [...cart(4_000)] })
      assert.match(cookie, /^__Host-session=2\.[\w-]+; __Host-session\.1=[\w-]+$/)
      assert.strictEqual((yield* send(Auth.user, withCookie(cookie))).status, 204)
      const exit = yield* Effect.exit(SecurityTest.cookie(Auth, { userId: "ada", cart: [...cart(8_000)] }))
      assert.match(
        Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "",
        /the cookies take \d+ bytes, the limit is 8192/
      )
    }).pipe(Effect.provide(live())))

  it.effect("of a policy that leaves no room hold nothing, and say so", () => {
    const wide = tagOf({ path: `/${"p".repeat(5_000)}` })
    return Effect.gen(function*() {
      const reply = yield* send(wide.login({ userId: "ada" }) as Effect.Effect<void>, posting())
      assert.deepStrictEqual([reply.status, reply.setCookie, failure(reply)!._tag], [413, [], "CookieTooLarge"])
    }).pipe(Effect.provide(liveOf(wide))) as Effect.Effect<void>
  })
})

// -----------------------------------------------------------------------------
// Growing and shrinking
// -----------------------------------------------------------------------------

const setCart = (bytes: number) => Auth.update((session) => ({ ...session, cart: cart(bytes) }))

describe("a session", () => {
  it.effect("that grows takes a second cookie, and gives it back when it shrinks", () =>
    Effect.gen(function*() {
      const grown = yield* send(setCart(4_000), posting(yield* signIn()))
      assert.deepStrictEqual(names(grown), ["__Host-session", "__Host-session.1"])
      const shrunk = yield* send(setCart(10), posting(cookieOf(grown)))
      assert.deepStrictEqual(names(shrunk), ["__Host-session", "-__Host-session.1"])
      assert.strictEqual(shrunk.setCookie[1], clearedRest)
      const read = yield* send(Auth.session, withCookie(cookieOf(shrunk)))
      assert.deepStrictEqual(read.exit, Exit.succeed({ userId: "ada", cart: cart(10) }))
      // In one request too, where the client has never had the second one.
      const both = yield* send(Effect.all([setCart(4_000), setCart(10), Auth.session]), posting(yield* signIn()))
      assert.deepStrictEqual(names(both), ["__Host-session", "-__Host-session.1"])
      const again = yield* send(Effect.all([setCart(10), setCart(4_000), Auth.session]), posting(cookieOf(grown)))
      assert.deepStrictEqual(names(again), ["__Host-session", "__Host-session.1"])
      assert.strictEqual((yield* send(Auth.user, withCookie(cookieOf(again)))).status, 204)
    }).pipe(Effect.provide(live())))

  it.effect("that becomes too large stays what it was, for its client and for the rest of the request", () =>
    Effect.gen(function*() {
      const cookie = yield* signIn()
      const reply = yield* send(Effect.zipRight(Effect.flip(setCart(7_000)), Auth.session), posting(cookie))
      assert.deepStrictEqual([reply.exit, reply.setCookie], [Exit.succeed({ userId: "ada" }), []])
    }).pipe(Effect.provide(live())))

  it.effect("that begins in one cookie takes back what an earlier one has left in the second", () =>
    Effect.gen(function*() {
      const large = yield* signIn("ada", 4_000)
      const login = yield* send(Auth.login({ userId: "bob" }), posting(large))
      assert.deepStrictEqual(names(login), ["__Host-session", "-__Host-session.1"])
      const orphan = yield* send(
        Auth.login({ userId: "bob" }),
        posting(`__Host-session.1=${parse(large)["__Host-session.1"]}`)
      )
      assert.deepStrictEqual(names(orphan), ["__Host-session", "-__Host-session.1"])
    }).pipe(Effect.provide(live())))

  it.effect("that is not granted after all takes nothing back either", () =>
    Effect.gen(function*() {
      const large = yield* signIn("ada", 4_000)
      for (const ending of [Effect.die("oops"), Effect.succeed(HttpServerResponse.empty({ status: 422 }))]) {
        const login = yield* send(Effect.zipRight(Auth.login({ userId: "bob" }), ending), posting(large))
        assert.deepStrictEqual(login.setCookie, [])
        const changed = yield* send(
          Effect.zipRight(Effect.all([Auth.login({ userId: "bob" }), setCart(4_000), setCart(1)]), ending),
          posting(large)
        )
        assert.deepStrictEqual(changed.setCookie, [])
      }
      // The client is signed in as before.
      assert.strictEqual((yield* send(Auth.user, withCookie(large))).status, 204)
      // What was changed of the session that the client has goes out, as a store keeps it.
      const update = yield* send(Effect.zipRight(setCart(1), Effect.die("oops")), posting(large))
      assert.deepStrictEqual([update.status, names(update)], [500, ["__Host-session", "-__Host-session.1"]])
    }).pipe(Effect.provide(live())))

  it.effect("that is ended takes every cookie back that the request has of it", () =>
    Effect.gen(function*() {
      const large = yield* signIn("ada", 4_000)
      assert.deepStrictEqual((yield* send(Auth.logout, posting(large))).setCookie, [cleared, clearedRest])
      const twice = yield* send(Auth.logout, posting(`${large}; __Host-session.1=x`))
      assert.deepStrictEqual(twice.setCookie, [cleared, clearedRest])
      const grown = yield* send(Effect.all([setCart(4_000), Auth.logout]), posting(yield* signIn()))
      assert.deepStrictEqual(grown.setCookie, [cleared, clearedRest])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

describe("the name of the second cookie", () => {
  class Chunk extends SessionAuth.Tag<Chunk>()("test/Chunk", {
    user: CurrentUser,
    session: SessionSchema,
    cookie: { name: "__Host-session.1" }
  }) {}
  class Tokens extends JwtAuth.Tag<Tokens>()("test/Tokens", {
    user: CurrentUser,
    claims: Schema.Struct({ sub: Schema.String }),
    cookie: { name: "__Host-session.1" }
  }) {}
  class Visit extends Session.Tag<Visit>()("test/Visit", {
    session: Schema.Struct({ page: Schema.optional(Schema.String) }),
    empty: {},
    cookie: { name: "__Host-session.1" }
  }) {}
  class Again extends SessionAuth.Tag<Again>()("test/Again", { user: CurrentUser, session: SessionSchema }) {}

  const others: Readonly<Record<string, readonly [any, Layer.Layer<any>, Effect.Effect<unknown, unknown, any>]>> = {
    "sealed sessions": [Chunk, liveOf(Chunk as any), Chunk.login({ userId: "bob" })],
    "sessions of visitors": [Visit, Layer.provide(Visit.layer(), memory), Visit.update(() => ({ page: "/" }))],
    "tokens that are sealed": [Tokens, liveOf(Tokens as any), Tokens.login({ sub: "bob" })],
    "the first name": [Again, liveOf(Again as any), Again.login({ userId: "bob" })]
  }

  for (const [title, [tag, layer, write]] of Object.entries(others)) {
    it.effect(`is not another backend's: ${title} die where one request meets both`, () =>
      Effect.gen(function*() {
        const orders = [
          Effect.zipRight(Auth.login({ userId: "ada", cart: cart(4_000) }), write),
          Effect.zipRight(write, Auth.login({ userId: "ada" })),
          Effect.zipRight(Auth.userOption, write),
          Effect.zipRight(write, Auth.userOption)
        ]
        for (const order of orders) {
          const reply = yield* send(order as Effect.Effect<unknown>, posting())
          assert.deepStrictEqual([reply.status, reply.setCookie], [500, []])
          assert.match(
            Exit.isFailure(reply.exit) ? String(Cause.squash(reply.exit.cause)) : "",
            new RegExp(`(test/Auth and ${tag.key}|${tag.key} and test/Auth) share the cookie "__Host-session(\\.1)?"`)
          )
        }
      }).pipe(Effect.provide(Layer.merge(live(), layer) as Layer.Layer<any>)))
  }

  it.effect("leaves room for other Tags with names of their own", () => {
    class ShopAuth extends SessionAuth.Tag<ShopAuth>()("test/Shop", {
      user: CurrentUser,
      session: SessionSchema,
      cookie: { name: "__Host-shop" }
    }) {}
    return Effect.gen(function*() {
      const reply = yield* send(
        Effect.all([
          Auth.login({ userId: "ada", cart: cart(4_000) }),
          ShopAuth.login({ userId: "bob", cart: cart(4_000) })
        ]),
        posting()
      )
      const cookie = cookieOf(reply)
      assert.deepStrictEqual(Object.keys(parse(cookie)), [
        "__Host-session",
        "__Host-session.1",
        "__Host-shop",
        "__Host-shop.1"
      ])
      const read = yield* send(Effect.all([Auth.session, ShopAuth.session]), withCookie(cookie))
      assert.deepStrictEqual(
        Exit.map(read.exit, (sessions) => sessions.map(({ userId }) => userId)),
        Exit.succeed(["ada", "bob"])
      )
      const logout = yield* send(ShopAuth.logout, posting(cookie))
      assert.deepStrictEqual(names(logout), ["-__Host-shop", "-__Host-shop.1"])
    }).pipe(Effect.provide(Layer.merge(live(), liveOf(ShopAuth as any)))) as Effect.Effect<void>
  })
})

// -----------------------------------------------------------------------------
// A client of several responses
// -----------------------------------------------------------------------------

const url = new URL("https://app.example.com/")

type Action = { readonly _tag: "login" | "update" | "read" | "rotate" | "logout" | "fail"; readonly bytes: number }

const action: FastCheck.Arbitrary<Action> = FastCheck.record({
  _tag: FastCheck.constantFrom("login", "login", "update", "update", "read", "rotate", "logout", "fail"),
  bytes: FastCheck.constantFrom(0, 1, 2_700, 2_800, 2_850, 2_900, 3_000, 4_000, 5_600, 9_000)
})

/** Requests that are sent at once, and the order in which their responses come. */
const batch = FastCheck.array(FastCheck.tuple(action, FastCheck.integer()), { minLength: 1, maxLength: 4 })

describe("a browser", () => {
  it.effect(
    "that sends requests at once, and gets their responses in any order, holds one session whole or none",
    () =>
      Effect.gen(function*() {
        const runtime = yield* Effect.runtime<never>()
        let wholes = 0
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(FastCheck.array(batch, { maxLength: 8 }), (batches) =>
              Effect.gen(function*() {
                const browser = new Browser()
                // Each session that the server has written, in words.
                const written = new Set<string>()
                let times = 0
                const handlerOf = ({ _tag, bytes }: Action): Effect.Effect<unknown, unknown, any> => {
                  const item = `${times++}-${"x".repeat(bytes)}`
                  const write: Effect.Effect<void, unknown, any> = _tag === "login" || _tag === "fail"
                    ? Auth.login({ userId: "ada", cart: [item] })
                    : Auth.update((session) => ({ ...session, cart: [item] }))
                  switch (_tag) {
                    case "fail":
                      return Effect.zipRight(write, Effect.die("oops"))
                    case "login":
                    case "update":
                      written.add(item)
                      return write
                    case "read":
                      return Auth.user
                    case "rotate":
                      return Auth.rotate
                    case "logout":
                      return Auth.logout
                  }
                }
                for (const batch of batches) {
                  const cookie = browser.header(url)
                  const replies = yield* Effect.forEach(batch, ([action, order]) =>
                    Effect.map(
                      send(handlerOf(action) as Effect.Effect<unknown, unknown, any>, posting(cookie)),
                      (reply) => [reply, order] as const
                    ), { concurrency: "unbounded" })
                  for (const [reply] of [...replies].sort(([, a], [, b]) => a - b)) {
                    assert.include([204, 401, 413, 500], reply.status)
                    assert.deepStrictEqual(browser.receive(url, reply.setCookie), [])
                  }
                  const held = yield* send(Auth.session, withCookie(browser.header(url)))
                  if (held.status === 401) {
                    assert.deepStrictEqual(refusal(held), refused)
                  } else {
                    wholes++
                    assert.isTrue(Exit.isSuccess(held.exit) && written.has(held.exit.value.cart![0]!))
                  }
                }
              }).pipe(Effect.provide(live()), (self) => Runtime.runPromise(runtime)(self as Effect.Effect<void>))),
            { numRuns: 300 }
          )
        )
        assert.isAbove(wholes, 300)
      }),
    60_000
  )

  it.effect("that takes the cookies of two responses one by one, in any order, holds one session whole or none", () =>
    Effect.gen(function*() {
      const login = (userId: string, bytes: number, cookie: string | undefined) =>
        Effect.map(send(Auth.login({ userId, cart: cart(bytes) }), posting(cookie)), ({ setCookie }) => setCookie)
      const before = yield* signIn("eve", 4_000)
      const sizes = [1, 4_000, 5_000]
      let wholes = 0
      for (const [first, second] of sizes.flatMap((a) => sizes.map((b) => [a, b] as const))) {
        for (const cookie of [before, undefined]) {
          const [ada, bob] = [yield* login("ada", first, cookie), yield* login("bob", second, cookie)]
          const lines = [...ada, ...bob]
          for (let order = 0; order < 24; order++) {
            const browser = new Browser()
            browser.receive(
              url,
              cookie === undefined ? [] : before.split("; ").map((pair) => `${pair}; Path=/; Secure`)
            )
            const permuted = permutation(lines, order)
            for (const line of permuted) {
              browser.receive(url, [line])
              const held = yield* send(Auth.session, withCookie(browser.header(url)))
              assert.include([200, 204, 401], held.status)
              assert.deepStrictEqual(held.setCookie, [])
              if (Exit.isSuccess(held.exit)) {
                wholes++
                const { cart, userId } = held.exit.value
                const length = cart![0]!.length
                assert.strictEqual(length, userId === "eve" ? 4_000 : userId === "ada" ? first : second)
              }
            }
          }
        }
      }
      assert.isAbove(wholes, 100)
    }).pipe(Effect.provide(live())))
})

/** One of the orders of at most four lines. */
const permutation = <A>(items: ReadonlyArray<A>, order: number): ReadonlyArray<A> => {
  const left = [...items]
  const out: Array<A> = []
  let rest = order
  while (left.length > 0) {
    out.push(...left.splice(rest % left.length, 1))
    rest = Math.floor(rest / (left.length + 1))
  }
  return out
}
