import { HttpServerResponse } from "@effect/platform"
import type { HttpApp } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Fiber, Option } from "effect"
import { SessionStore } from "effect-security"
import * as edge from "../edge/fixtures.js"
import { eventually, get, onNode, post } from "../edge/harness.js"
import type { Reply as NodeReply } from "../edge/harness.js"
import type { Fault, Faults, Operation, Plan } from "./faultyStore.js"
import { faults, isSilent, makeFaults, makeHandClock, planArbitrary } from "./faultyStore.js"
import type { Live, Reply } from "./fixtures.js"
import {
  Auth,
  CurrentUser,
  granted,
  idOf,
  live,
  logsTo,
  records,
  send,
  sendAny,
  signIn,
  storeWith
} from "./fixtures.js"

// -----------------------------------------------------------------------------
// What people do, and what becomes of their sessions
// -----------------------------------------------------------------------------

type Name = "phone" | "laptop" | "desk"
const names: ReadonlyArray<Name> = ["phone", "laptop", "desk"]
const ownerOf = (name: Name) => name === "desk" ? "bob" : "ada"
const timeout = 2_000

/** A device as it should be: the cookie that it holds, whether that signs it in, and how often it was updated. */
interface Device {
  readonly token: string
  readonly isLive: boolean
  readonly items: number
}
type World = Readonly<Record<Name, Device>>

/** Runs with the user that it was let in with. */
type Enter = (userId: string) => void

interface Deed {
  readonly run: (world: World, who: Name, enter: Enter) => Effect.Effect<unknown, unknown, any>
  /** 401 without a live session. */
  readonly needsSession: boolean
  /** What becomes of the world when it is done. */
  readonly done: (world: World, who: Name, reply: Reply<unknown, unknown>) => World
  /** The same, when it may have been done though the answer was 503. */
  readonly lost: (world: World, who: Name) => World
}

const change = (world: World, who: Name, changes: Partial<Device>): World => ({
  ...world,
  [who]: { ...world[who], ...changes }
})
const ended = (world: World, ends: (name: Name) => boolean): World =>
  names.filter(ends).reduce((world, name) => change(world, name, { isLive: false }), world)
const same = (world: World): World => world
const reading = (run: Deed["run"]): Deed => ({ run, needsSession: true, done: same, lost: same })
const ending = (run: Deed["run"], needsSession: boolean, ends: (who: Name, name: Name) => boolean): Deed => {
  const done = (world: World, who: Name) => ended(world, (name) => ends(who, name))
  return { run, needsSession, done, lost: done }
}
const more = (world: World, who: Name): World => change(world, who, { items: world[who].items + 1 })
const neighbour = (who: Name): Name => who === "phone" ? "laptop" : "phone"
const isOwn = (who: Name, name: Name) => ownerOf(who) === ownerOf(name)
const entering = (enter: Enter) => Effect.tap(CurrentUser, ({ id }) => enter(id))

const deeds = {
  protect: reading((_, __, enter) => Auth.protect(entering(enter))),
  gate: reading((_, __, enter) =>
    Auth.middleware(
      Effect.zipRight(Effect.sync(() => enter("somebody")), HttpServerResponse.empty()) as HttpApp.Default
    )
  ),
  user: reading((_, __, enter) => Effect.tap(Auth.user, ({ id }) => enter(id))),
  userOption: {
    ...reading((_, __, enter) => Effect.map(Auth.userOption, Option.map(({ id }) => enter(id)))),
    needsSession: false
  },
  session: reading((_, __, enter) => Effect.tap(Auth.session, ({ userId }) => enter(userId))),
  authenticated: reading((_, __, enter) => Effect.tap(Auth.authenticated, ({ user }) => enter(user.id))),
  login: {
    run: (_, who) => Auth.login({ userId: ownerOf(who) }),
    needsSession: false,
    done: (world, who, reply) => change(world, who, { token: granted(reply), isLive: true, items: 0 }),
    // The session that was to be replaced may be over, and there is no other.
    lost: (world, who) => change(world, who, { isLive: false })
  },
  logout: ending(() => Auth.logout, false, (who, name) => name === who),
  update: {
    run: () => Auth.update((session) => ({ ...session, cart: [...session.cart ?? [], "tea"] })),
    needsSession: true,
    done: more,
    lost: more
  },
  rotate: {
    run: () => Auth.rotate,
    needsSession: true,
    done: (world, who, reply) => change(world, who, { token: granted(reply) }),
    // The old token is dead and the new one was never sent.
    lost: (world, who) => change(world, who, { isLive: false })
  },
  sessions: reading(() => Auth.sessions),
  revoke: ending(
    (world, who) => Auth.revoke(idOf(world[who].token)),
    true,
    (who, name) => name === who
  ),
  "revoke another": ending(
    (world, who) => Auth.revoke(idOf(world[neighbour(who)].token)),
    true,
    (who, name) => name === neighbour(who) && isOwn(who, name)
  ),
  revokeAll: ending(() => Auth.revokeAll(), true, isOwn),
  "revokeAll but one": ending(
    () => Auth.revokeAll({ except: "current" }),
    true,
    (who, name) => isOwn(who, name) && name !== who
  ),
  revokeSubject: ending((_, who) => Auth.revokeSubject(ownerOf(who)), false, isOwn)
} satisfies Record<string, Deed>

type DeedName = keyof typeof deeds
const deedNames = Object.keys(deeds) as ReadonlyArray<DeedName>

/** Somebody does something, at once or after two hours, when a read also renews; and this goes wrong. */
interface Step {
  readonly who: Name
  readonly does: DeedName
  readonly later: boolean
  readonly plans: ReadonlyArray<Plan>
}

const begin: Effect.Effect<World, never, Live> = Effect.map(
  Effect.forEach(names, (name) => signIn(ownerOf(name))),
  ([phone, laptop, desk]) => {
    const device = (token: string | undefined) => ({ token: token!, isLive: true, items: 0 })
    return { phone: device(phone), laptop: device(laptop), desk: device(desk) }
  }
)

/** The world as requests find it. */
const look = (world: World) =>
  Effect.map(
    Effect.forEach(names, (name) =>
      Effect.map(send(Auth.session, { token: world[name].token }), (reply) => {
        assert.deepStrictEqual(reply.setCookie, [])
        if (reply.status === 401) {
          return `${name} is out`
        }
        assert.isTrue(Exit.isSuccess(reply.exit), `${name}: ${reply.status}`)
        const session = Exit.getOrElse(reply.exit, () => ({ userId: "nobody", cart: [] }))
        return `${name} is ${session.userId} with ${(session.cart ?? []).length}`
      })),
    (seen) => seen.join(", ")
  )
const expected = (world: World): string =>
  names.map((name) => world[name].isLive ? `${name} is ${ownerOf(name)} with ${world[name].items}` : `${name} is out`)
    .join(", ")

const plainRecords = Effect.map(
  Effect.all([records("ada"), records("bob")]),
  (all) => all.flat().map((record) => ({ ...record })).sort((a, b) => a.id < b.id ? -1 : 1)
)

/** But for when it was last used, which what comes after the look-up does not take back. */
const unused = ({ idleDeadline: _, lastSeenAt: __, ...record }: Effect.Effect.Success<typeof plainRecords>[number]) =>
  record

const assertOutage = (reply: Reply<unknown, unknown>, label: string) => {
  assert.strictEqual(reply.status, 503, label)
  assert.strictEqual(reply.headers.get("retry-after"), "1", label)
  assert.strictEqual(reply.headers.get("content-type"), "application/problem+json", label)
  assert.isNull(reply.headers.get("www-authenticate"), label)
  assert.deepStrictEqual(reply.setCookie, [], label)
  assert.strictEqual(JSON.parse(reply.body)._tag, "SecurityUnavailable", label)
  assert.notInclude(reply.body, "secret", label)
}

/** Takes a step, and finds the world as it may be after it. */
const take = (control: Faults, world: World, { does, later, plans, who }: Step): Effect.Effect<World, never, Live> =>
  Effect.gen(function*() {
    const deed: Deed = deeds[does]
    const label = JSON.stringify({ who, does, later, plans })
    if (later) {
      yield* control.clock.pass("2 hours")
    }
    const before = yield* plainRecords
    const entered: Array<string> = []
    control.arm(plans)
    const fiber = yield* Effect.fork(
      sendAny(deed.run(world, who, (userId) => void entered.push(userId)), { method: "POST", token: world[who].token })
    )
    if (plans.some(({ fault }) => isSilent(fault))) {
      yield* control.clock.pass(timeout)
      assert.isTrue(Option.isSome(yield* Fiber.poll(fiber)), `${label} is answered in time`)
    }
    const reply = yield* Fiber.join(fiber)
    const { hits } = control
    if (hits.some(({ fault }) => isSilent(fault))) {
      // Whatever is late, and the cleaning up behind it, which may be late as well.
      yield* control.clock.pass("20 seconds")
    }
    yield* control.settled
    control.disarm()

    if (hits.length > 0) {
      assertOutage(reply, label)
      assert.deepStrictEqual(entered, [], label)
      if (hits.every(({ fault }) => fault.works === "never")) {
        // A cleaning up that failed leaves a session that nobody has the token of.
        const known = new Set<string>(before.map(({ id }) => id))
        const left = (yield* plainRecords).filter(({ id }) => hits.length === 1 || known.has(id))
        assert.deepStrictEqual(left.map(unused), before.map(unused), `${label} changes nothing`)
        return world
      }
      const seen = yield* look(world)
      const lost = deed.lost(world, who)
      assert.include([expected(world), expected(lost)], seen, label)
      return seen === expected(world) ? world : lost
    }
    if (deed.needsSession && !world[who].isLive) {
      assert.deepStrictEqual([reply.status, reply.setCookie, entered], [401, [], []], label)
      return world
    }
    assert.strictEqual(reply.status, 204, label)
    assert.isTrue(entered.every((userId) => userId === ownerOf(who) || userId === "somebody"), label)
    return deed.done(world, who, reply)
  }).pipe(
    Effect.tap((after) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* look(after), expected(after), `after ${JSON.stringify({ who, does, plans })}`)
      })
    )
  )

/** As many records as there are sessions: none is left of a sign-in that went wrong. */
const assertNothingLeft = (world: World, label: string) =>
  Effect.gen(function*() {
    const live = names.filter((name) => world[name].isLive).map((name): string => idOf(world[name].token)).sort()
    assert.deepStrictEqual((yield* plainRecords).map(({ id }) => id), live as Array<any>, label)
  })

/** A world of its own, on a clock of its own, over the store that goes wrong. */
const within = (control: Faults) => <A, E>(self: Effect.Effect<A, E, Live>): Effect.Effect<A, E> =>
  self.pipe(Effect.provide(live({}, storeWith(control.over))), Effect.withClock(control.clock))

/** What a deed asks of a store in which nothing goes wrong, two hours after the sign-in. */
const callsOf = (does: DeedName): Effect.Effect<ReadonlyArray<Operation>> =>
  Effect.suspend(() => {
    const control = makeFaults()
    return Effect.gen(function*() {
      yield* take(control, yield* begin, { who: "phone", does, later: true, plans: [] })
      return control.calls
    }).pipe(within(control))
  })

/** Takes one step in a fresh world, and the same once more when nothing goes wrong any longer. */
const suffer = (does: DeedName, nth: number, fault: Fault) =>
  Effect.suspend(() => {
    const control = makeFaults()
    const label = JSON.stringify({ does, nth, fault })
    return Effect.gen(function*() {
      const world = yield* take(control, yield* begin, {
        who: "phone",
        does,
        later: true,
        plans: [{ on: "any", nth, fault }]
      })
      assert.strictEqual(control.hits.length, 1, `${label} went wrong`)
      if (does !== "rotate") {
        yield* assertNothingLeft(world, label)
      }
      yield* take(control, world, { who: "phone", does, later: false, plans: [] })
    }).pipe(within(control))
  })

describe("a store in which one call goes wrong", () => {
  for (const does of deedNames) {
    it.effect(`is a 503 in time, lets nobody in, sets no cookie, and then all is as it was: ${does}`, () =>
      Effect.gen(function*() {
        const calls = yield* callsOf(does)
        assert.isAbove(calls.length, 0)
        for (let nth = 1; nth <= calls.length; nth++) {
          for (const fault of faults) {
            yield* suffer(does, nth, fault)
          }
        }
      }))

    it.effect(`is the same when it throws instead of returning an effect: ${does}`, () =>
      Effect.gen(function*() {
        const calls = yield* callsOf(does)
        for (let nth = 1; nth <= calls.length; nth++) {
          yield* suffer(does, nth, { works: "never", ends: "throws" })
        }
      }))
  }
})

describe("a store in which several calls go wrong", () => {
  const step: FastCheck.Arbitrary<Step> = FastCheck.record({
    who: FastCheck.constantFrom(...names),
    does: FastCheck.constantFrom(...deedNames),
    later: FastCheck.boolean(),
    plans: FastCheck.array(planArbitrary, { maxLength: 3 })
  })

  it.effect.prop(
    "never signs anybody in or out who did not ask for it, whatever people do",
    [FastCheck.array(step, { minLength: 1, maxLength: 6 })],
    ([steps]) => {
      const control = makeFaults()
      return Effect.gen(function*() {
        let world = yield* begin
        for (const step of steps) {
          world = yield* take(control, world, step)
        }
      }).pipe(within(control))
    },
    { timeout: 60_000, fastCheck: { numRuns: 100 } }
  )
})

// -----------------------------------------------------------------------------
// On Node
// -----------------------------------------------------------------------------

describe("a server on Node whose store goes wrong", () => {
  const noContent = Effect.succeed(HttpServerResponse.empty({ status: 204 }))
  const routes = [
    get("/me", edge.whoami, edge.Auth),
    get("/maybe", Effect.zipRight(edge.Auth.userOption, noContent)),
    post("/login", Effect.zipRight(edge.login, noContent)),
    post("/logout", Effect.zipRight(edge.Auth.logout, noContent)),
    post("/update", Effect.zipRight(edge.Auth.update((session) => ({ ...session, visits: 1 })), noContent)),
    post("/rotate", Effect.zipRight(edge.Auth.rotate, noContent)),
    post("/sessions", Effect.zipRight(edge.Auth.sessions, noContent)),
    post("/revoke-all", Effect.zipRight(edge.Auth.revokeAll(), noContent))
  ]
  // Time is real here: what is late, or interrupts itself, is left to the tests above.
  const quick = faults.filter(({ ends, works }) =>
    works !== "late" && (ends === "fails" || ends === "dies" || ends === "hangs")
  )

  for (const router of ["HttpRouter", "HttpApi"] as const) {
    it.scopedLive(`answers 503 in time without a cookie, and goes on when it works again: ${router}`, () =>
      Effect.gen(function*() {
        const control = makeFaults()
        const sessions = yield* edge.makeSessions()
        const server = yield* onNode(router, routes, sessions.over(control.over).layer({ timeout: "50 millis" }))
        for (const { method, path } of routes) {
          for (const fault of quick) {
            for (let nth = 1;; nth++) {
              const label = JSON.stringify({ path, nth, fault })
              const cookie = yield* edge.signIn(server)
              control.arm([{ on: "any", nth, fault }])
              const reply = yield* server.send(path, { method, headers: { cookie } })
              const hits = control.hits.length
              control.disarm()
              if (hits === 0) {
                assert.isAbove(nth, 1, label)
                assert.isBelow(reply.status, 300, label)
                yield* Effect.orDie(sessions.store.removeBySubject(edge.Auth.key, "ada", { except: Option.none() }))
                break
              }
              assertNodeOutage(reply, label)
              yield* control.settled
              const after = yield* server.send("/me", { headers: { cookie } })
              if (fault.works === "never") {
                assert.deepStrictEqual([after.status, after.body], [200, "ada"], label)
              } else {
                assert.include([200, 401], after.status, label)
              }
              assert.deepStrictEqual(after.setCookies, [], label)
              yield* server.send("/logout", { method: "POST", headers: { cookie } })
              // A rotation whose answer was lost leaves a session, whose token was never sent.
              yield* path === "/rotate"
                ? Effect.orDie(sessions.store.removeBySubject(edge.Auth.key, "ada", { except: Option.none() }))
                : eventually(sessions.count(), (count) => count === 0)
            }
          }
        }
      }))
  }

  const assertNodeOutage = (reply: NodeReply, label: string) => {
    assert.strictEqual(reply.status, 503, label)
    assert.strictEqual(reply.headers["retry-after"], "1", label)
    assert.isUndefined(reply.headers["www-authenticate"], label)
    assert.deepStrictEqual(reply.setCookies, [], label)
    assert.strictEqual(JSON.parse(reply.body)._tag, "SecurityUnavailable", label)
  }
})

// -----------------------------------------------------------------------------
// A grant that did not go out leaves no record
// -----------------------------------------------------------------------------

describe("a sign-in that did not go out", () => {
  const ids = Effect.map(plainRecords, (records) => records.map(({ id }) => id))

  it.effect("leaves no session when the subject has too many and one of them cannot be ended", () =>
    Effect.forEach(faults, (fault) => {
      const control = makeFaults()
      const layer = live({ maxPerUser: 1 }, storeWith(control.over))
      return Effect.gen(function*() {
        yield* signIn()
        const before = yield* ids
        control.arm([{ on: "remove", nth: 1, fault }])
        const fiber = yield* Effect.fork(send(Auth.login({ userId: "ada" }), { method: "POST" }))
        yield* control.clock.pass("20 seconds")
        const reply = yield* Fiber.join(fiber)
        yield* control.settled
        assert.lengthOf(control.hits, 1)
        assertOutage(reply, JSON.stringify(fault))
        assert.deepStrictEqual(yield* ids, fault.works === "never" ? before : [], JSON.stringify(fault))
      }).pipe(Effect.provide(layer), Effect.withClock(control.clock))
    }))

  it.effect("leaves no session when the answer became an error, and the store loses its answer to that", () =>
    Effect.forEach(faults.filter(({ works }) => works !== "never"), (fault) => {
      const control = makeFaults()
      return Effect.gen(function*() {
        control.arm([{ on: "remove", nth: 1, fault }])
        const error = HttpServerResponse.empty({ status: 500 })
        const fiber = yield* Effect.fork(send(Effect.as(Auth.login({ userId: "ada" }), error), { method: "POST" }))
        yield* control.clock.pass("20 seconds")
        const reply = yield* Fiber.join(fiber)
        yield* control.settled
        assert.lengthOf(control.hits, 1)
        assert.deepStrictEqual([reply.status, reply.setCookie], [500, []])
        assert.deepStrictEqual(yield* ids, [], JSON.stringify(fault))
      }).pipe(within(control))
    }))

  const places: ReadonlyArray<Operation> = ["create", "listBySubject", "remove"]
  for (const on of places) {
    for (const works of ["never", "first", "late"] as const) {
      const sentence = works === "never" ? "before" : works === "first" ? "after" : "long before"
      it.effect(`leaves no session when the client is gone ${sentence} the store does "${on}"`, () => {
        const control = makeFaults()
        return Effect.gen(function*() {
          const token = yield* signIn()
          const before = yield* ids
          const controller = new AbortController()
          control.arm([{ on, nth: 1, fault: { works, ends: works === "late" ? "answers" : "hangs" } }])
          const fiber = yield* Effect.fork(
            send(Auth.login({ userId: "ada" }), { method: "POST", token, signal: controller.signal })
          )
          yield* control.clock.pass(1)
          assert.lengthOf(control.hits, 1)
          controller.abort()
          yield* control.clock.pass("20 seconds")
          const reply = yield* Fiber.join(fiber)
          yield* control.settled
          assert.deepStrictEqual(reply.setCookie, [])
          assert.deepStrictEqual(yield* ids, on === "remove" && works !== "never" ? [] : before)
        }).pipe(within(control))
      })
    }
  }
})

// -----------------------------------------------------------------------------
// Garbage
// -----------------------------------------------------------------------------

type Garble = (asked: SessionStore.SessionRecord, bob: SessionStore.SessionRecord) => unknown

/** Does a deed on the phone while every `find` answers with what is made of the record asked for. */
const misled = (does: DeedName, garble: Garble) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const clock = makeHandClock()
    const entered: Array<string> = []
    let isGarbled = false
    let bob: SessionStore.SessionRecord
    const store = storeWith((store) => ({
      find: (id) =>
        Effect.map(store.find(id), Option.map((record) => isGarbled ? garble(record, bob) as typeof record : record))
    }))
    const deed: Deed = deeds[does]
    return Effect.gen(function*() {
      const world = yield* begin
      bob = (yield* records("bob"))[0]!
      isGarbled = true
      const fiber = yield* Effect.fork(
        sendAny(deed.run(world, "phone", (userId) => void entered.push(userId)), {
          method: "POST",
          token: world.phone.token
        })
      )
      // An update tries again and again where the version is wrong.
      yield* clock.pass("5 seconds")
      const reply = yield* Fiber.join(fiber)
      isGarbled = false
      const after = reply.status === 204 ? deed.done(world, "phone", reply) : world
      return { reply, entered, lines, world, after, seen: yield* look(after) }
    }).pipe(Effect.provide(live({}, store)), Effect.provide(logsTo(lines)), Effect.withClock(clock))
  })

const finding = deedNames.filter((does) => deeds[does].needsSession || does === "userOption")
const altered = (changes: object): Garble => (record) => ({ ...record, ...changes })

describe("a store that finds the wrong session", () => {
  const wrong: Record<string, Garble> = {
    "the session of another subject": (_, bob) => bob,
    "a session under another id": (record, bob) => ({ ...record, id: bob.id }),
    "a session of another realm": altered({ realm: "test/Other" }),
    "a session that says it is another subject's": altered({ subject: "bob" }),
    "a session that holds and says that it is another subject's": (record, { data }) => ({
      ...record,
      subject: "bob",
      data
    })
  }
  for (const [name, garble] of Object.entries(wrong)) {
    it.effect(`is an outage that lets nobody in, and lists, changes and ends nothing: ${name}`, () =>
      Effect.forEach(finding, (does) =>
        Effect.gen(function*() {
          const { entered, lines, reply, seen, world } = yield* misled(does, garble)
          assert.deepStrictEqual(entered, [], does)
          assertOutage(reply, does)
          assert.notDeepEqual(lines, [], `${does} is logged`)
          assert.strictEqual(seen, expected(world), does)
        })))
  }

  it.effect("never makes its client somebody else, when it has the data of another subject's session", () =>
    Effect.forEach(finding, (does) =>
      Effect.gen(function*() {
        const { after, entered, reply, seen } = yield* misled(does, (record, { data }) => ({ ...record, data }))
        assert.notInclude(entered, "bob", does)
        assert.include([204, 503], reply.status, does)
        assert.strictEqual(seen, expected(after), does)
      })))

  it.effect("lets nobody in with a session that is over", () =>
    Effect.forEach(finding, (does) =>
      Effect.gen(function*() {
        const { entered, reply } = yield* misled(does, altered({ idleDeadline: 0, absoluteDeadline: 0 }))
        assert.deepStrictEqual(entered, [], does)
        assert.include(does === "userOption" ? [204, 503] : [401, 503], reply.status, does)
        assert.deepStrictEqual(reply.setCookie, [], does)
      })))

  it.effect("ends no session of another subject when it finds one's own under that id", () => {
    let own: Option.Option<SessionStore.SessionRecord> = Option.none()
    const misleading = storeWith((store) => ({
      find: (id) => Option.isSome(own) ? Effect.succeed(own) : store.find(id)
    }))
    return Effect.gen(function*() {
      const world = yield* begin
      own = Option.some((yield* records("ada")).find(({ id }) => id === idOf(world.phone.token))!)
      yield* send(Auth.revoke(idOf(world.desk.token)), { method: "POST", token: world.phone.token })
      own = Option.none()
      assert.strictEqual(yield* look(world), expected(world))
    }).pipe(Effect.provide(live({}, misleading)))
  })
})

describe("a store that lists the wrong sessions", () => {
  /** From when it is told to, it lists those of everybody. */
  const listing = () => {
    let isWrong = false
    return {
      goWrong: Effect.sync(() => {
        isWrong = true
      }),
      store: storeWith((store) => ({
        listBySubject: (realm, subject) =>
          isWrong
            ? Effect.map(
              Effect.all([store.listBySubject(realm, "ada"), store.listBySubject(realm, "bob")]),
              (lists) => lists.flat()
            )
            : store.listBySubject(realm, subject)
      }))
    }
  }

  it.effect("shows nobody the sessions of another subject", () => {
    const { goWrong, store } = listing()
    return Effect.gen(function*() {
      const world = yield* begin
      yield* goWrong
      const reply = yield* send(Auth.sessions, { token: world.phone.token })
      assert.include([204, 503], reply.status)
      const ids: ReadonlyArray<string> = Exit.getOrElse(reply.exit, () => []).map(({ id }) => id)
      assert.notInclude(ids, idOf(world.desk.token))
    }).pipe(Effect.provide(live({}, store)))
  })

  it.effect("ends no session of another subject for one that has too many", () => {
    const { goWrong, store } = listing()
    return Effect.gen(function*() {
      const bob = yield* signIn("bob")
      yield* goWrong
      const reply = yield* send(Auth.login({ userId: "ada" }), { method: "POST" })
      assert.include([204, 503], reply.status)
      assert.strictEqual((yield* send(Auth.user, { token: bob })).status, 204)
    }).pipe(Effect.provide(live({ maxPerUser: 1 }, store)))
  })
})

describe("a store whose answers have the wrong type", () => {
  const anything = FastCheck.oneof(
    FastCheck.constantFrom<Array<unknown>>(
      undefined,
      null,
      "",
      "0",
      "{}",
      "{\"userId\":1}",
      0,
      -1,
      1.5,
      NaN,
      Infinity,
      [],
      {},
      () => 1,
      Symbol("no"),
      1n
    ),
    FastCheck.anything()
  )
  const field = FastCheck.constantFrom(...Object.keys(SessionStore.SessionRecord.fields))
  /** What is wrong with a record, as data that a failed run prints. */
  type Wrong = { readonly field: string; readonly value: unknown } | { readonly without: string } | {
    readonly record: unknown
  }
  const wrong: Record<string, FastCheck.Arbitrary<Wrong>> = {
    "one field is something else": FastCheck.record({ field, value: anything }),
    "one field is not there": FastCheck.record({ without: field }),
    "a record is something else": FastCheck.record({ record: anything })
  }
  const garbleOf = (wrong: Wrong): Garble => (record) => {
    if ("record" in wrong) {
      return wrong.record
    }
    if ("field" in wrong) {
      return { ...record, [wrong.field]: wrong.value }
    }
    return Object.fromEntries(Object.entries(record).filter(([name]) => name !== wrong.without))
  }
  for (const [name, wrongly] of Object.entries(wrong)) {
    it.effect.prop(
      `are a 401 or a 503, never a 500 and never somebody else, when ${name}`,
      [FastCheck.constantFrom(...finding), wrongly],
      ([does, wrong]) =>
        Effect.gen(function*() {
          const { after, entered, reply, seen } = yield* misled(does, garbleOf(wrong))
          // What nothing depends on may well be wrong, and a version that nobody has is one that somebody else changed.
          assert.include(does === "update" ? [204, 401, 409, 503] : [204, 401, 503], reply.status)
          if (reply.status === 503) {
            assert.deepStrictEqual(reply.setCookie, [])
          }
          assert.isTrue(entered.every((userId) => userId === "ada" || userId === "somebody"), entered.join())
          // A session that was found to be undecodable has ended.
          assert.include([expected(after), expected(change(after, "phone", { isLive: false }))], seen)
        }),
      { timeout: 60_000, fastCheck: { numRuns: 200 } }
    )
  }

  it.effect.prop(
    "are an outage when a list is none, or holds something else",
    [
      FastCheck.constantFrom("sessions", "login"),
      FastCheck.oneof(anything, FastCheck.array(anything, { minLength: 1 }))
    ],
    ([does, answer]) => {
      let isGarbled = false
      const garbled = storeWith((store) => ({
        listBySubject: (...args) => isGarbled ? Effect.succeed(answer as []) : store.listBySubject(...args)
      }))
      return Effect.gen(function*() {
        const token = yield* signIn()
        isGarbled = true
        const reply = yield* sendAny(does === "login" ? Auth.login({ userId: "ada" }) : Auth.sessions, {
          method: "POST",
          token
        })
        isGarbled = false
        // An empty list is one.
        assert.include(Array.isArray(answer) && answer.length === 0 ? [204, 503] : [503], reply.status)
        assert.lengthOf(yield* records("ada"), 1)
      }).pipe(Effect.provide(live({}, garbled)))
    }
  )

  it.effect("are no success when it is not said that a change was made", () =>
    Effect.forEach([undefined, null, 0, ""], (answer) => {
      const control = makeFaults()
      const silent = storeWith(() => ({
        update: () => Effect.succeed(answer as unknown as boolean),
        rotate: () => Effect.succeed(answer as unknown as boolean)
      }))
      return Effect.gen(function*() {
        const world = yield* begin
        for (const deed of [deeds.update, deeds.rotate]) {
          const fiber = yield* Effect.fork(
            sendAny(deed.run(), { method: "POST", token: world.phone.token })
          )
          yield* control.clock.pass("1 minute")
          const reply = yield* Fiber.join(fiber)
          assert.include([409, 503], reply.status)
          assert.deepStrictEqual(reply.setCookie, [])
        }
      }).pipe(Effect.provide(live({}, silent)), Effect.withClock(control.clock))
    }))
})
