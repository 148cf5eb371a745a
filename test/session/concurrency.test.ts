// Requests at the same time, each interleaving made by hand: a latch in a handler, a store call that is held before or
// after its work, or a scheduler that decides whose store call is next.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Array, Clock, DateTime, Duration, Effect, Exit, FastCheck, Fiber, Option, TestClock } from "effect"
import type { Hold, Operation } from "./faultyStore.js"
import { makeHandClock, makeHold, makeMeeting, turn } from "./faultyStore.js"
import type { Live, Reply } from "./fixtures.js"
import { Auth, CurrentUser, granted, idOf, live, records, send, sendAny, signIn, storeWith } from "./fixtures.js"

const posting = (token?: string) => ({ method: "POST", token })
const status = (token: string) => Effect.map(send(Auth.user, { token }), ({ status }) => status)
const addItem = (item: string) => Auth.update((session) => ({ ...session, cart: [...session.cart ?? [], item] }))
const cartOf = (token: string) =>
  Effect.map(send(Auth.session, { token }), ({ exit }) => Exit.getOrElse(exit, () => ({ cart: undefined })).cart ?? [])

// -----------------------------------------------------------------------------
// Holding a store
// -----------------------------------------------------------------------------

type Side = "before" | "after"

/** Memory whose next call of an operation waits, before or after its work, once it was told to. */
const holding = () => {
  let armed: { readonly on: Operation; readonly side: Side; readonly hold: Hold } | undefined
  const store = storeWith((store) =>
    Object.fromEntries(
      Object.entries(store).map(([name, operation]: [string, (...args: ReadonlyArray<any>) => Effect.Effect<any>]) => [
        name,
        (...args: ReadonlyArray<any>) =>
          Effect.suspend(() => {
            if (armed === undefined || armed.on !== name) {
              return operation(...args)
            }
            const { hold, side } = armed
            armed = undefined
            return side === "before"
              ? Effect.zipRight(hold.wait, operation(...args))
              : Effect.zipLeft(operation(...args), hold.wait)
          })
      ])
    )
  )
  return {
    store,
    next: (on: Operation, side: Side = "before") =>
      Effect.tap(makeHold, (hold) =>
        Effect.sync(() => {
          armed = { on, side, hold }
        }))
  }
}

/** Runs a request until it is held, then something else, and then the request to its end. */
const during = <A, E, R, B, E2, R2>(
  hold: Hold,
  request: Effect.Effect<A, E, R>,
  meanwhile: Effect.Effect<B, E2, R2>
): Effect.Effect<readonly [A, B], E | E2, R | R2> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(request)
    yield* hold.reached
    const result = yield* meanwhile
    yield* hold.release
    // Who lost a race tries again a moment later.
    yield* TestClock.adjust("1 second")
    return [yield* Fiber.join(fiber), result] as const
  })

// -----------------------------------------------------------------------------
// Requests of different users
// -----------------------------------------------------------------------------

describe("200 requests of different users that are all under way at once", () => {
  it.effect("see each its own user and session, and nobody else's (CVE-2026-32887)", () =>
    Effect.gen(function*() {
      const size = 200
      const ids = Array.makeBy(size, (index) => `user-${index}`)
      const meet = yield* makeMeeting(size)
      const tokens = yield* Effect.forEach(ids, (id) => signIn(id))

      const whole = Effect.gen(function*() {
        const { auth, user } = yield* Auth.authenticated
        return [(yield* CurrentUser).id, (yield* Auth.user).id, (yield* Auth.session).userId, user.id, auth.userId]
      })
      const handler = Auth.protect(Effect.gen(function*() {
        const before = yield* CurrentUser
        yield* meet
        const seen = [[before.id], yield* whole]
        const fiber = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), whole))
        seen.push(...yield* Effect.all([whole, Effect.zipRight(Effect.yieldNow(), whole)], { concurrency: 2 }))
        seen.push(yield* Fiber.join(fiber), yield* Fiber.join(yield* Effect.forkDaemon(whole)))
        if (before.id.endsWith("7")) {
          yield* Effect.fork(addItem(before.id)).pipe(Effect.flatMap(Fiber.join))
        }
        const { cart } = yield* Auth.session
        seen.push(yield* whole)
        return yield* HttpServerResponse.json({ seen: seen.flat(), cart: cart ?? [] })
      }))
      const replies = yield* Effect.all(tokens.map((token) => send(handler, posting(token))), {
        concurrency: "unbounded"
      })
      for (const [index, reply] of replies.entries()) {
        const id = ids[index]!
        const cart = id.endsWith("7") ? [id] : []
        assert.deepStrictEqual([reply.status, reply.setCookie], [200, []])
        assert.deepStrictEqual(JSON.parse(reply.body), { seen: Array.replicate(id, 31), cart })
        assert.deepStrictEqual(yield* cartOf(tokens[index]!), cart)
      }
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// A session that ends during a request
// -----------------------------------------------------------------------------

/** What ends the session of `token`; `other` is one of the same subject. */
const enders: Readonly<Record<string, (token: string, other: string) => Effect.Effect<unknown, never, Live>>> = {
  "a logout": (token) => sendAny(Auth.logout, posting(token)),
  "a new sign-in of its browser": (token) => sendAny(Auth.login({ userId: "eve" }), posting(token)),
  "a revocation by another device": (token, other) => sendAny(Auth.revoke(idOf(token)), posting(other)),
  "another device that ends all others": (_, other) => sendAny(Auth.revokeAll({ except: "current" }), posting(other)),
  "another device that ends all": (_, other) => sendAny(Auth.revokeAll(), posting(other)),
  "an administrator": () => Effect.orDie(Auth.revokeSubject("ada"))
}

/** What a slow request does, and the call of the store at which it is held. */
const writers: Readonly<
  Record<string, { readonly does: Effect.Effect<unknown, unknown, any>; readonly on: Operation }>
> = {
  "an update": { does: addItem("tea"), on: "update" },
  "a renewal": { does: Auth.user, on: "touch" },
  "a rotation": { does: Auth.rotate, on: "rotate" }
}

describe("a session that was ended", () => {
  for (const [ender, end] of Object.entries(enders)) {
    for (const [writer, { does, on }] of Object.entries(writers)) {
      it.effect(`by ${ender} is not brought back by ${writer} in flight`, () => {
        const { next, store } = holding()
        return Effect.gen(function*() {
          const [token, other] = yield* Effect.all([signIn(), signIn()])
          yield* TestClock.adjust("2 hours")
          const before = (yield* records("ada")).map(({ id }) => id)
          // What the other device does would renew it, and be held instead.
          yield* send(Auth.user, { token: other })
          const [reply] = yield* during(yield* next(on), sendAny(does, posting(token)), end(token, other))
          assert.strictEqual(reply.status, writer === "a renewal" ? 204 : 401)
          assert.deepStrictEqual(reply.setCookie, [])
          assert.strictEqual(yield* status(token), 401)
          const after = (yield* records("ada")).map(({ id }) => id)
          assert.notInclude(after, idOf(token))
          assert.isTrue(after.every((id) => before.includes(id)), "there is no other session in its place")
        }).pipe(Effect.provide(live({}, store)))
      })
    }
  }

  const late: Readonly<Record<string, Effect.Effect<unknown, unknown, any>>> = {
    update: addItem("tea"),
    rotate: Auth.rotate,
    sessions: Auth.sessions,
    revoke: Effect.suspend(() => Auth.revoke(idOf("a".repeat(12) + "." + "A".repeat(43)))),
    revokeAll: Auth.revokeAll(),
    "revokeAll but one": Auth.revokeAll({ except: "current" })
  }
  for (const [name, does] of Object.entries(late)) {
    it.effect(`by a logout while a handler was at work is gone for what that does then: ${name}`, () =>
      Effect.gen(function*() {
        const [token, other] = yield* Effect.all([signIn(), signIn()])
        const hold = yield* makeHold
        const handler = Auth.protect(Effect.zipRight(hold.wait, does))
        const [reply] = yield* during(hold, sendAny(handler, posting(token)), send(Auth.logout, posting(token)))
        assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
        assert.include(String(reply.exit), "NotAuthorized")
        assert.strictEqual(yield* status(token), 401)
        assert.strictEqual(yield* status(other), 204)
        assert.lengthOf(yield* records("ada"), 1)
      }).pipe(Effect.provide(live())))
  }

  it.effect("stays ended for a list, a revocation and a sweep that had begun before", () => {
    const { next, store } = holding()
    return Effect.gen(function*() {
      const places: ReadonlyArray<readonly [Operation, Effect.Effect<unknown, unknown, any>]> = [
        ["listBySubject", Auth.sessions],
        ["removeBySubject", Auth.revokeAll({ except: "current" })],
        ["remove", Auth.logout]
      ]
      for (const [on, does] of places) {
        for (const side of ["before", "after"] as const) {
          const token = yield* signIn()
          const [reply, logout] = yield* during(
            yield* next(on, side),
            sendAny(does, posting(token)),
            sendAny(Auth.revoke(idOf(token)), posting(token))
          ).pipe(Effect.zipLeft(TestClock.adjust(1)))
          assert.include([204, 401], logout.status)
          assert.strictEqual(reply.status, 204)
          assert.strictEqual(yield* status(token), 401)
          assert.deepStrictEqual(yield* records("ada"), [])
        }
      }
    }).pipe(Effect.provide(live({}, store)))
  })
})

// -----------------------------------------------------------------------------
// Updates
// -----------------------------------------------------------------------------

describe("50 updates of one session at once", () => {
  const size = 50
  const all = Array.makeBy(size, String)

  /** Runs 50 requests at once, where each `find` answers when `meet` lets it. */
  const contend = (update: (item: string) => Effect.Effect<void, unknown, any>, meet: Effect.Effect<void>) => {
    const clock = makeHandClock()
    let isMeeting = false
    let lost = 0
    const store = storeWith((store) => ({
      find: (id) => Effect.zipLeft(store.find(id), Effect.suspend(() => isMeeting ? meet : Effect.void)),
      update: (record) =>
        Effect.tap(store.update(record), (won) =>
          Effect.sync(() => {
            lost += won ? 0 : 1
          }))
    }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      isMeeting = true
      const fiber = yield* Effect.fork(
        Effect.all(all.map((item) => sendAny(update(item), posting(token))), { concurrency: "unbounded" })
      )
      yield* clock.pass("1 minute")
      const statuses = (yield* Fiber.join(fiber)).map(({ status }) => status)
      isMeeting = false
      const [record] = yield* records("ada")
      return { statuses, lost, cart: yield* cartOf(token), version: record!.version }
    }).pipe(Effect.provide(live({}, store)), Effect.withClock(clock))
  }

  it.effect("lose nothing, when those that lost 16 times try again", () =>
    Effect.gen(function*() {
      // All have read before the first of them writes.
      const result = yield* contend(
        (item) => Effect.retry(addItem(item), { while: (error) => error._tag === "SessionConflict" }),
        yield* makeMeeting(size)
      )
      assert.deepStrictEqual(new Set(result.statuses), new Set([204]))
      assert.sameMembers([...result.cart], all)
      assert.deepStrictEqual([result.cart.length, result.version], [size, size])
      assert.isAtLeast(result.lost, size - 1)
    }))

  it.effect("change the session as often as they say, when those that lost 16 times give up", () =>
    Effect.gen(function*() {
      // In each round all that are left have read before the first of them writes: one wins, the others try again.
      let left = size
      let waiting: Array<Hold> = []
      const round = Effect.flatMap(makeHold, (hold) => {
        waiting.push(hold)
        if (waiting.length < left) {
          return hold.wait
        }
        const others = waiting
        waiting = []
        left--
        return Effect.forEach(others, ({ release }) => release, { discard: true })
      })
      const { cart, lost, statuses, version } = yield* contend(addItem, round)
      const done = all.filter((_, index) => statuses[index] === 204)
      assert.sameMembers([...cart], done)
      assert.deepStrictEqual([done.length, cart.length, version], [16, 16, 16])
      assert.lengthOf(statuses.filter((status) => status === 409), size - 16)
      assert.strictEqual(lost, Array.makeBy(16, (index) => size - 1 - index).reduce((a, b) => a + b))
    }))
})

// -----------------------------------------------------------------------------
// Ending all sessions
// -----------------------------------------------------------------------------

/** What ends all sessions of ada, and whether it spares that of the one who asks. */
const sweeps: Readonly<
  Record<string, { readonly sweep: (token: string) => Effect.Effect<unknown, never, Live>; readonly spares: boolean }>
> = {
  revokeAll: { sweep: (token) => sendAny(Auth.revokeAll(), posting(token)), spares: false },
  "revokeAll but one": {
    sweep: (token) => sendAny(Auth.revokeAll({ except: "current" }), posting(token)),
    spares: true
  },
  revokeSubject: { sweep: () => Effect.orDie(Auth.revokeSubject("ada")), spares: false }
}

/** A sign-in that verified its password now and lands when it is let. */
const signingIn = (hold: Hold) =>
  Effect.gen(function*() {
    const verifiedAt = yield* DateTime.now
    yield* hold.wait
    yield* Auth.login({ userId: "ada" }, { verifiedAt })
  })

for (const [name, { spares, sweep }] of Object.entries(sweeps)) {
  describe(name, () => {
    /** After it, the asking session is as it should be, and no other one of the subject is there. */
    const assertSwept = (asking: string, tokens: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        for (const token of tokens) {
          assert.strictEqual(yield* status(token), 401)
        }
        assert.strictEqual(yield* status(asking), spares ? 204 : 401)
        assert.deepStrictEqual((yield* records("ada")).map(({ id }) => id), spares ? [idOf(asking)] : [])
      })

    it.effect("refuses a sign-in that had verified its password before: 401, no cookie and no session", () =>
      Effect.gen(function*() {
        const asking = yield* signIn()
        const hold = yield* makeHold
        const [reply] = yield* during(
          hold,
          send(signingIn(hold), posting()),
          Effect.zipRight(TestClock.adjust(1), sweep(asking))
        )
        assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
        yield* assertSwept(asking, [])
      }).pipe(Effect.provide(live())))

    it.effect("lets in who verifies the password after it", () =>
      Effect.gen(function*() {
        const asking = yield* signIn()
        yield* sweep(asking)
        yield* TestClock.adjust(1)
        const hold = yield* makeHold
        yield* hold.release
        const reply = yield* send(signingIn(hold), posting())
        assert.strictEqual(yield* status(granted(reply)), 204)
      }).pipe(Effect.provide(live())))

    const places: ReadonlyArray<readonly [Operation, Side]> = [
      ["create", "before"],
      ["create", "after"],
      ["listBySubject", "before"],
      ["listBySubject", "after"],
      ["remove", "before"],
      ["remove", "after"]
    ]
    for (const [on, side] of places) {
      it.effect(`ends a sign-in in flight ${side} the store does "${on}" for it`, () => {
        const { next, store } = holding()
        return Effect.gen(function*() {
          const [asking, browser] = yield* Effect.all([signIn(), signIn()])
          const [reply] = yield* during(
            yield* next(on, side),
            send(Auth.login({ userId: "ada" }), posting(browser)),
            Effect.zipRight(TestClock.adjust(1), sweep(asking))
          )
          // It may hear of it only with its next request.
          const isIn = reply.status === 204
          assert.strictEqual(isIn, on !== "create" || side === "after")
          assert.lengthOf(reply.setCookie, isIn ? 1 : 0)
          assert.include([204, 401], reply.status)
          yield* assertSwept(asking, isIn ? [browser, granted(reply)] : [browser])
        }).pipe(Effect.provide(live({}, store)))
      })
    }

    it.effect("ends a session that begins while it is itself held before its work", () => {
      const { next, store } = holding()
      return Effect.gen(function*() {
        const asking = yield* signIn()
        const [, reply] = yield* during(
          yield* next("removeBySubject"),
          sweep(asking),
          send(Auth.login({ userId: "ada" }), posting())
        )
        yield* assertSwept(asking, [granted(reply)])
      }).pipe(Effect.provide(live({}, store)))
    })

    for (const side of ["before", "after"] as const) {
      it.effect(`ends a session whose rotation is in flight ${side} the store does it`, () => {
        const { next, store } = holding()
        return Effect.gen(function*() {
          const [asking, rotating] = yield* Effect.all([signIn(), signIn()])
          const [reply] = yield* during(
            yield* next("rotate", side),
            send(Auth.rotate, posting(rotating)),
            sweep(asking)
          )
          const isLate = side === "before"
          assert.deepStrictEqual([reply.status, reply.setCookie.length], isLate ? [401, 0] : [204, 1])
          yield* assertSwept(asking, isLate ? [rotating] : [rotating, granted(reply)])
        }).pipe(Effect.provide(live({}, store)))
      })
    }

    it.effect("ends a session that is rotated while it is itself held before its work", () => {
      const { next, store } = holding()
      return Effect.gen(function*() {
        const [asking, rotating] = yield* Effect.all([signIn(), signIn()])
        const [, reply] = yield* during(
          yield* next("removeBySubject"),
          sweep(asking),
          send(Auth.rotate, posting(rotating))
        )
        yield* assertSwept(asking, [rotating, granted(reply)])
      }).pipe(Effect.provide(live({}, store)))
    })

    it.effect("leaves nobody of another subject without a session", () =>
      Effect.gen(function*() {
        const [asking, bob] = yield* Effect.all([signIn(), signIn("bob")])
        const hold = yield* makeHold
        const slow = Auth.protect(Effect.zipRight(hold.wait, addItem("tea")))
        const [reply] = yield* during(hold, send(slow, posting(bob)), sweep(asking))
        assert.strictEqual(reply.status, 204)
        assert.deepStrictEqual(yield* cartOf(bob), ["tea"])
      }).pipe(Effect.provide(live())))
  })
}

// -----------------------------------------------------------------------------
// Signing in and out at the same time
// -----------------------------------------------------------------------------

describe("two requests of one browser", () => {
  for (const on of ["create", "listBySubject", "remove"] as const) {
    it.effect(`that both sign in, one held before "${on}", end the old session and are each who they said`, () => {
      const { next, store } = holding()
      return Effect.gen(function*() {
        const old = yield* signIn()
        const [ada, bob] = yield* during(
          yield* next(on),
          send(Auth.login({ userId: "ada" }), posting(old)),
          send(Auth.login({ userId: "bob" }), posting(old))
        )
        assert.strictEqual(yield* status(old), 401)
        for (const [userId, reply] of [["ada", ada], ["bob", bob]] as const) {
          const { exit } = yield* send(Auth.user, { token: granted(reply) })
          assert.deepStrictEqual(exit, Exit.succeed({ id: userId }))
          assert.deepStrictEqual((yield* records(userId)).map(({ id }) => id), [idOf(granted(reply))])
        }
      }).pipe(Effect.provide(live({}, store)))
    })
  }

  for (const side of ["before", "after"] as const) {
    it.effect(`that both sign out, one held ${side} its work, both succeed`, () => {
      const { next, store } = holding()
      return Effect.gen(function*() {
        const token = yield* signIn()
        const [first, second] = yield* during(
          yield* next("remove", side),
          send(Auth.logout, posting(token)),
          send(Auth.logout, posting(token))
        )
        assert.deepStrictEqual([first.status, second.status], [204, 204])
        assert.deepStrictEqual([first.setCookie.length, second.setCookie.length], [1, 1])
        assert.deepStrictEqual(yield* records("ada"), [])
      }).pipe(Effect.provide(live({}, store)))
    })

    it.effect(`of which one signs in, held ${side} it creates, and one signs out end the old session alone`, () => {
      const { next, store } = holding()
      return Effect.gen(function*() {
        const old = yield* signIn()
        const [login, logout] = yield* during(
          yield* next("create", side),
          send(Auth.login({ userId: "ada" }), posting(old)),
          send(Auth.logout, posting(old))
        )
        assert.deepStrictEqual([login.status, logout.status], [204, 204])
        assert.deepStrictEqual([yield* status(old), yield* status(granted(login))], [401, 204])
        assert.lengthOf(yield* records("ada"), 1)
      }).pipe(Effect.provide(live({}, store)))
    })
  }
})

describe("20 sign-ins of one subject at once", () => {
  const size = 20
  const maxPerUser = 5

  for (const on of ["create", "listBySubject"] as const) {
    for (const side of ["before", "after"] as const) {
      it.effect(`leave no more than are allowed, and nobody else loses any, when they meet ${side} "${on}"`, () => {
        let meet: Effect.Effect<void> = Effect.void
        const store = storeWith((store) => ({
          [on]: (...args: readonly [any, any]) => {
            const work = (store[on] as (...args: readonly [any, any]) => Effect.Effect<any>)(...args)
            const wait = Effect.suspend(() => meet)
            return side === "before" ? Effect.zipRight(wait, work) : Effect.zipLeft(work, wait)
          }
        }))
        return Effect.gen(function*() {
          const bobs = yield* Effect.forEach(Array.makeBy(maxPerUser, () => "bob"), (id) => signIn(id))
          yield* Effect.forEach(Array.makeBy(maxPerUser, () => "ada"), (id) => signIn(id))
          meet = yield* makeMeeting(size)
          const replies = yield* Effect.all(
            Array.makeBy(size, () => send(Auth.login({ userId: "ada" }), posting())),
            { concurrency: "unbounded" }
          )
          meet = Effect.void
          assert.deepStrictEqual(new Set(replies.map(({ status }) => status)), new Set([204]))
          const left = yield* records("ada")
          assert.isAtMost(left.length, maxPerUser)
          const tokens = replies.map((reply): string => idOf(granted(reply)))
          assert.isTrue(left.every(({ id }) => tokens.includes(id)), "each belongs to a sign-in that was answered")
          assert.deepStrictEqual(yield* Effect.forEach(bobs, status), bobs.map(() => 204))
        }).pipe(Effect.provide(live({ maxPerUser }, store)))
      })
    }
  }
})

// -----------------------------------------------------------------------------
// Any interleaving
// -----------------------------------------------------------------------------

type Does = "read" | "login" | "logout" | "update" | "rotate" | "revokeAll" | "revokeAll but one"
type Client = "phone" | "laptop" | "desk"

/** A tab sends one request after the other; the tabs of a client share its cookie. */
interface Tab {
  readonly client: Client
  readonly does: ReadonlyArray<Does>
}

const ownerOf = (client: Client) => client === "desk" ? "bob" : "ada"

const tabArbitrary: FastCheck.Arbitrary<Tab> = FastCheck.record({
  client: FastCheck.oneof(
    { weight: 4, arbitrary: FastCheck.constantFrom<Array<Client>>("phone", "laptop") },
    { weight: 1, arbitrary: FastCheck.constant<Client>("desk") }
  ),
  does: FastCheck.array(
    FastCheck.constantFrom<Array<Does>>(
      "read",
      "login",
      "logout",
      "update",
      "update",
      "rotate",
      "revokeAll",
      "revokeAll but one"
    ),
    { minLength: 1, maxLength: 4 }
  )
})

/**
 * Every call of a store waits for its turn before its work, and once more before its answer; `choices` say whose turn
 * it is. A millisecond passes each time, and nobody has to wait for a timeout or a next try.
 */
const makeScheduler = (choices: ReadonlyArray<number>) => {
  let now = 1_700_000_000_000
  let isScheduling = false
  const waiting: Array<Hold> = []
  const myTurn = Effect.suspend(() =>
    isScheduling
      ? Effect.flatMap(makeHold, (hold) => {
        waiting.push(hold)
        return hold.wait
      })
      : Effect.void
  )
  const clock: Clock.Clock = Object.assign(Object.create(Clock.make()), {
    unsafeCurrentTimeMillis: () => now,
    currentTimeMillis: Effect.sync(() => now),
    sleep: (duration: Duration.Duration) => Duration.toMillis(duration) < 1_000 ? Effect.yieldNow() : Effect.never
  })
  const store = storeWith((store) =>
    Object.fromEntries(
      Object.entries(store).map(([name, operation]: [string, (...args: ReadonlyArray<any>) => Effect.Effect<any>]) => [
        name,
        (...args: ReadonlyArray<any>) =>
          Effect.zipRight(myTurn, Effect.suspend(() => operation(...args))).pipe(Effect.zipLeft(myTurn))
      ])
    )
  )
  const run = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.gen(function*() {
      isScheduling = true
      const fiber = yield* Effect.fork(self)
      for (let step = 0, idle = 0; Option.isNone(yield* Fiber.poll(fiber)); step++) {
        yield* turn
        yield* turn
        if (waiting.length === 0) {
          assert.isBelow(idle++, 100, "somebody waits for nothing")
          continue
        }
        idle = 0
        now++
        const [next] = waiting.splice((choices[step % choices.length] ?? 0) % waiting.length, 1)
        yield* next!.release
      }
      isScheduling = false
      return yield* Fiber.join(fiber)
    })
  return { clock, store, run }
}

/** A request, and what came of it; `begin` and `end` order all of them. */
interface Happened {
  readonly client: Client
  readonly does: Does
  readonly token: string | undefined
  readonly item: string
  readonly begin: number
  readonly end: number
  readonly reply: Reply<unknown, unknown>
}

describe("two people on three devices, in any interleaving", () => {
  it.effect.prop(
    "keep what they ended ended, lose no update and are who they are",
    [
      FastCheck.array(tabArbitrary, { minLength: 2, maxLength: 4 }),
      FastCheck.array(FastCheck.nat(7), { minLength: 1, maxLength: 40 })
    ],
    ([tabs, choices]) => {
      const scheduler = makeScheduler(choices)
      return Effect.gen(function*() {
        const cookies: Record<Client, string | undefined> = {
          phone: yield* signIn(),
          laptop: yield* signIn(),
          desk: yield* signIn("bob")
        }
        const happened: Array<Happened> = []
        /** Of every token: whose it is, the one that it was rotated from first, and when that was asked for. */
        const issued = new Map<string, { readonly client: Client; readonly root: string; readonly begin: number }>()
        for (const client of ["phone", "laptop", "desk"] as const) {
          issued.set(cookies[client]!, { client, root: cookies[client]!, begin: 0 })
        }
        let time = 0
        const request = (client: Client, does: Does) =>
          Effect.gen(function*() {
            const begin = ++time
            const token = cookies[client]
            const item = `item ${begin}`
            const run: Record<Does, Effect.Effect<unknown, unknown, any>> = {
              read: Auth.user,
              login: Auth.login({ userId: ownerOf(client) }),
              logout: Auth.logout,
              update: addItem(item),
              rotate: Auth.rotate,
              revokeAll: Auth.revokeAll(),
              "revokeAll but one": Auth.revokeAll({ except: "current" })
            }
            const reply = yield* sendAny(run[does], posting(token))
            happened.push({ client, does, token, item, begin, end: ++time, reply })
            if (reply.setCookie.length === 0) {
              return
            }
            const value = /^__Host-session=([^;]*);/.exec(reply.setCookie[0]!)![1]!
            cookies[client] = value === "" ? undefined : value
            if (value !== "") {
              issued.set(value, does === "rotate" ? issued.get(token!)! : { client, root: value, begin })
            }
          })
        yield* scheduler.run(
          Effect.forEach(
            tabs,
            ({ client, does }) => Effect.forEach(does, (does) => request(client, does), { discard: true }),
            { concurrency: "unbounded", discard: true }
          )
        )

        const live = new Map<string, ReadonlyArray<string>>()
        for (const [token, { client }] of issued) {
          const { exit, status } = yield* send(Auth.authenticated, { token })
          assert.include([204, 401], status)
          if (Exit.isSuccess(exit)) {
            assert.deepStrictEqual([exit.value.user.id, exit.value.auth.userId], Array.replicate(ownerOf(client), 2))
            live.set(token, exit.value.auth.cart ?? [])
          }
        }
        const succeeded = happened.filter(({ reply }) => reply.status === 204)
        for (const { client, does, reply } of happened) {
          assert.include([204, 401], reply.status, does)
          if (does === "read" && Exit.isSuccess(reply.exit)) {
            assert.deepStrictEqual(reply.exit.value, { id: ownerOf(client) })
          }
        }

        // What was ended is over.
        for (const { begin, client, does, token } of succeeded) {
          if ((does === "logout" || does === "login" || does === "rotate") && token !== undefined) {
            assert.isFalse(live.has(token), `${does} ended it`)
          }
          if (does === "revokeAll" || does === "revokeAll but one") {
            const spared = does === "revokeAll" ? undefined : issued.get(token!)!.root
            for (const [other, { begin: since, client: owner, root }] of issued) {
              if (ownerOf(owner) === ownerOf(client) && since < begin && root !== spared) {
                assert.isFalse(live.has(other), `${does} ended all`)
              }
            }
          }
        }

        // No update is lost, and none was made that is not said to be.
        for (const [token, cart] of live) {
          const { root } = issued.get(token)!
          const made = succeeded.filter((other) => other.does === "update" && issued.get(other.token!)!.root === root)
          assert.sameMembers([...cart], made.map(({ item }) => item))
        }

        // Nothing is left that no client was given.
        const ids = new Set(Array.fromIterable(live.keys()).map((token): string => idOf(token)))
        const left = yield* Effect.forEach(["ada", "bob"], (userId) => records(userId))
        assert.deepStrictEqual(new Set(left.flat().map(({ id }): string => id)), ids)
      }).pipe(Effect.provide(live({}, scheduler.store)), Effect.withClock(scheduler.clock))
    },
    { timeout: 60_000, fastCheck: { numRuns: 100 } }
  )
})
