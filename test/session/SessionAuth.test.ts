import { HttpServerRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Array,
  Cause,
  Config,
  ConfigProvider,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schema,
  TestClock
} from "effect"
import * as SecurityError from "effect-security/SecurityError"
import * as SessionAuth from "effect-security/session/SessionAuth"
import * as SessionStore from "effect-security/session/SessionStore"
import type * as SessionToken from "effect-security/session/SessionToken"
import type { Sent, User } from "./fixtures.js"
import {
  Auth,
  cleared,
  CurrentUser,
  granted,
  idOf,
  live,
  logsTo,
  memory,
  records,
  retrieveUser,
  send,
  sendAny,
  Session,
  signIn,
  storeSpy,
  storeWith
} from "./fixtures.js"

const someToken = `${"A".repeat(12)}.${"A".repeat(43)}`
const ada = Exit.succeed({ id: "ada" })
const posting = (token?: string): Sent => ({ method: "POST", token })

const failure = <A, E>({ exit }: { readonly exit: Exit.Exit<A, E> }): E => {
  const error = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
  return Option.getOrThrowWith(error, () => new Error(`no failure: ${String(exit)}`))
}
const isDefect = ({ exit }: { readonly exit: Exit.Exit<unknown, unknown> }) =>
  Exit.isFailure(exit) && Cause.isDie(exit.cause)
const defect = ({ exit }: { readonly exit: Exit.Exit<unknown, unknown> }): string =>
  Exit.isFailure(exit) ? Array.join(Array.map([...Cause.defects(exit.cause)], String), "\n") : ""

const down = Effect.fail(new SecurityError.SecurityUnavailable({ reason: "the store is down" }))
type Operation = keyof SessionStore.Service

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

describe("a request with a session", () => {
  it.effect("has its user, its session and both", () =>
    Effect.gen(function*() {
      const token = granted(yield* send(Auth.login({ userId: "ada", cart: ["tea"] }), posting()))
      const session = { userId: "ada", cart: ["tea"] }
      assert.deepStrictEqual((yield* send(Auth.user, { token })).exit, ada)
      assert.deepStrictEqual((yield* send(Auth.session, { token })).exit, Exit.succeed(session))
      assert.deepStrictEqual(
        (yield* send(Auth.authenticated, { token })).exit,
        Exit.succeed({ user: { id: "ada" }, auth: session })
      )
      assert.deepStrictEqual((yield* send(Auth.userOption, { token })).exit, Exit.succeed(Option.some({ id: "ada" })))
      assert.deepStrictEqual((yield* send(Auth.protect(CurrentUser), { token })).exit, ada)
    }).pipe(Effect.provide(live())))

  it.effect("changes no data, sets no cookie and is not cached", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const before = yield* records("ada")
      const reply = yield* send(Auth.protect(Auth.session), { token })
      assert.deepStrictEqual(reply.setCookie, [])
      assert.strictEqual(reply.headers.get("cache-control"), "no-store")
      assert.strictEqual(reply.headers.get("vary"), "Cookie")
      assert.deepStrictEqual((yield* records("ada")).map((_) => ({ ..._ })), before.map((_) => ({ ..._ })))
    }).pipe(Effect.provide(live())))

  it.effect("may hold whatever its schema decodes, and is stored as the schema encodes it", () => {
    class Dated extends SessionAuth.Tag<Dated>()("test/Dated", {
      user: CurrentUser,
      session: Schema.Struct({ id: Schema.NumberFromString, since: Schema.Date }),
      subject: ({ id }) => `user-${id}`
    }) {}
    const DatedLive = Dated.layer({ retrieveUser: ({ id }) => Effect.succeed(Option.some({ id: String(id + 1) })) })
    const since = new Date(0)
    return Effect.gen(function*() {
      const token = granted(yield* send(Dated.login({ id: 41, since }), posting()))
      assert.deepStrictEqual((yield* send(Dated.session, { token })).exit, Exit.succeed({ id: 41, since }))
      assert.deepStrictEqual((yield* send(Dated.user, { token })).exit, Exit.succeed({ id: "42" }))
      const [record] = yield* records("user-41", Dated.key)
      assert.strictEqual(record?.data, "{\"id\":\"41\",\"since\":\"1970-01-01T00:00:00.000Z\"}")
    }).pipe(Effect.provide(Layer.provideMerge(DatedLive, memory)))
  })
})

describe("a request without a session", () => {
  it.effect("is not authorized, and is told so without a reason", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.user)
      assert.strictEqual(reply.status, 401)
      assert.strictEqual(reply.headers.get("www-authenticate"), "Cookie")
      assert.strictEqual(failure(reply)._tag, "NotAuthorized")
      assert.strictEqual((failure(reply) as SecurityError.NotAuthorized).reason, "NoCredential")
      assert.notInclude(reply.body, "Credential")
      assert.deepStrictEqual(reply.setCookie, [])
    }).pipe(Effect.provide(live())))

  it.effect("stores nothing, sets nothing and asks no store", () => {
    const calls: Array<Operation> = []
    return Effect.gen(function*() {
      const operations: ReadonlyArray<Effect.Effect<unknown, unknown, any>> = [
        Auth.user,
        Auth.userOption,
        Auth.session,
        Auth.sessions,
        Auth.update((session) => session),
        Auth.rotate,
        Auth.revoke(idOf(someToken)),
        Auth.revokeAll()
      ]
      for (const operation of operations) {
        const reply = yield* sendAny(operation, posting())
        assert.deepStrictEqual(reply.setCookie, [])
      }
      assert.deepStrictEqual(calls, [])
    }).pipe(Effect.provide(live({}, storeSpy(calls))))
  })
})

describe("a cookie that is none of ours", () => {
  const isRefusedUnasked = (cookie: (token: string) => string) => () => {
    const calls: Array<Operation> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      calls.length = 0
      const reply = yield* send(Auth.user, { headers: { cookie: cookie(token) } })
      assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
      assert.deepStrictEqual(calls, [])
    }).pipe(Effect.provide(live({}, storeSpy(calls))))
  }

  const shapes: ReadonlyArray<readonly [string, (token: string) => string]> = [
    ["comes twice, the first good", (token) => `__Host-session=${token}; __Host-session=x`],
    ["comes twice, the second good", (token) => `__Host-session=x; __Host-session=${token}`],
    ["comes twice, the same", (token) => `__Host-session=${token}; __Host-session=${token}`],
    ["is empty", () => "__Host-session="],
    ["is quoted", (token) => `__Host-session="${token}"`],
    ["is percent-encoded", (token) => `__Host-session=${token.replace(".", "%2E")}`],
    ["has a space before its value", (token) => `__Host-session= ${token}`],
    ["has a space behind its value", (token) => `__Host-session=${token} ; a=1`],
    ["has a space behind its name", (token) => `__Host-session =${token}`],
    ["has U+00A0 before its name", (token) => `\u00a0__Host-session=${token}`],
    ["is of another case", (token) => `__host-session=${token}`],
    ["is padded", (token) => `__Host-session=${token}=`],
    ["is cut", (token) => `__Host-session=${token.slice(0, -1)}`],
    ["is continued", (token) => `__Host-session=${token}A`],
    ["is the secret alone", (token) => `__Host-session=${token.slice(13)}`],
    ["is the id of the session", (token) => `__Host-session=${idOf(token).slice(0, -1)}B`],
    ["is another spelling of the same bytes", (token) => {
      const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      return `__Host-session=${token.slice(0, -1)}${alphabet[alphabet.indexOf(token.at(-1)!) + 1]}`
    }]
  ]
  for (const [sentence, cookie] of shapes) {
    it.effect(`is refused, and neither looked up nor cleared, when it ${sentence}`, isRefusedUnasked(cookie))
  }

  it.effect("is refused and not cleared when the store does not know it", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const otherTag = `${"A".repeat(12)}${token.slice(12)}`
      for (const unknown of [someToken, otherTag, idOf(token)]) {
        const reply = yield* send(Auth.user, { token: unknown })
        assert.deepStrictEqual([reply.status, reply.setCookie], [401, []], unknown)
      }
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Time
// -----------------------------------------------------------------------------

describe("a session", () => {
  const status = (token: string) => Effect.map(send(Auth.user, { token }), ({ status }) => status)

  it.effect("ends when it was not used for 7 days, to the millisecond", () =>
    Effect.gen(function*() {
      const tokens = yield* Effect.all([signIn(), signIn()])
      yield* TestClock.adjust("7 days")
      assert.strictEqual(yield* status(tokens[0]), 401)
      yield* TestClock.setTime(7 * 86_400_000 - 1)
      assert.strictEqual(yield* status(tokens[1]), 204)
    }).pipe(Effect.provide(live())))

  it.effect("ends 30 days after sign-in, however often it is used", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      for (let day = 5; day < 30; day += 5) {
        yield* TestClock.setTime(day * 86_400_000)
        assert.strictEqual(yield* status(token), 204)
      }
      yield* TestClock.setTime(30 * 86_400_000 - 1)
      assert.strictEqual(yield* status(token), 204)
      yield* TestClock.setTime(30 * 86_400_000)
      assert.strictEqual(yield* status(token), 401)
    }).pipe(Effect.provide(live())))

  it.effect("ends as its Layer says", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.login({ userId: "ada" }), posting())
      assert.include(reply.setCookie[0], "; Max-Age=120; ")
      const idle = yield* signIn()
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(yield* status(granted(reply)), 204)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* status(idle), 401)
      yield* TestClock.adjust("40 seconds")
      assert.strictEqual(yield* status(granted(reply)), 204)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* status(granted(reply)), 401)
    }).pipe(Effect.provide(live({ idleTimeout: "1 minute", absoluteTimeout: "2 minutes" }))))

  for (
    const [idleTimeout, every] of [["7 days", 3_600_000], ["10 hours", 3_600_000], ["1 hour", 360_000], [
      "1 minute",
      6_000
    ]] as const
  ) {
    it.effect(`with ${idleTimeout} to be idle is renewed at most every ${every / 1000} s, and sets no cookie`, () => {
      const calls: Array<Operation> = []
      return Effect.gen(function*() {
        const token = yield* signIn()
        const touches = Effect.gen(function*() {
          calls.length = 0
          const replies = yield* Effect.all([send(Auth.user, { token }), send(Auth.session, { token })])
          assert.deepStrictEqual(replies.map(({ setCookie, status }) => [status, setCookie]), [[204, []], [204, []]])
          return calls.filter((name) => name !== "find").length
        })
        assert.strictEqual(yield* touches, 0)
        yield* TestClock.setTime(every - 1)
        assert.strictEqual(yield* touches, 0)
        yield* TestClock.setTime(every)
        assert.strictEqual(yield* touches, 1)
        assert.include(calls, "touch")
        const [record] = yield* records("ada")
        assert.strictEqual(record?.lastSeenAt, every)
        yield* TestClock.setTime(2 * every - 1)
        assert.strictEqual(yield* touches, 0)
        yield* TestClock.setTime(2 * every)
        assert.strictEqual(yield* touches, 1)
      }).pipe(Effect.provide(live({ idleTimeout }, storeSpy(calls))))
    })
  }
})

// -----------------------------------------------------------------------------
// Realms
// -----------------------------------------------------------------------------

describe("two realms over one store", () => {
  class Staff extends SessionAuth.Tag<Staff>()("test/Staff", { user: CurrentUser, session: Session }) {}
  const both = Layer.merge(Auth.layer({ retrieveUser }), Staff.layer({ retrieveUser })).pipe(Layer.provideMerge(memory))

  it.effect("know none of each other's tokens, even under one cookie", () =>
    Effect.gen(function*() {
      const user = granted(yield* send(Auth.login({ userId: "ada" }), posting()))
      const staff = granted(yield* send(Staff.login({ userId: "ada" }), posting()))
      const statuses = yield* Effect.all([
        send(Auth.user, { token: user }),
        send(Staff.user, { token: user }),
        send(Auth.user, { token: staff }),
        send(Staff.user, { token: staff })
      ])
      assert.deepStrictEqual(statuses.map(({ status }) => status), [204, 401, 401, 204])
    }).pipe(Effect.provide(both)))

  it.effect("end none of each other's sessions", () =>
    Effect.gen(function*() {
      const user = granted(yield* send(Auth.login({ userId: "ada" }), posting()))
      const staff = granted(yield* send(Staff.login({ userId: "ada" }), posting()))
      yield* send(Auth.logout, posting(staff))
      yield* send(Auth.login({ userId: "bob" }), posting(staff))
      yield* Auth.revokeSubject("ada")
      assert.strictEqual((yield* send(Staff.user, { token: staff })).status, 204)
      assert.strictEqual((yield* send(Auth.user, { token: user })).status, 401)
      const revoke = yield* send(Auth.revoke(idOf(staff, Staff.key)), posting(yield* signIn()))
      assert.strictEqual(revoke.status, 204)
      assert.strictEqual((yield* send(Staff.user, { token: staff })).status, 204)
    }).pipe(Effect.provide(both)))

  it.effect("count no session of each other's", () =>
    Effect.gen(function*() {
      yield* send(Staff.login({ userId: "ada" }), posting())
      const token = yield* signIn()
      const sessions = yield* send(Auth.sessions, { token })
      assert.deepStrictEqual(Exit.map(sessions.exit, (_) => _.map(({ id }) => id)), Exit.succeed([idOf(token)]))
    }).pipe(Effect.provide(both)))
})

// -----------------------------------------------------------------------------
// Records and users that do not fit
// -----------------------------------------------------------------------------

describe("a record that no longer decodes", () => {
  const broken = (data: string) =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const token = yield* signIn()
      const [record] = yield* records("ada")
      assert.isTrue(yield* store.update({ ...record!, data }))
      return token
    })

  for (const data of ["", "{", "null", "{}", "{\"userId\":1}", "[]", "{\"userId\":\"ada\",\"cart\":1}"]) {
    it.effect(`(${data === "" ? "empty" : data}) ends its session: 401, the cookie cleared, the record gone`, () =>
      Effect.gen(function*() {
        let hasRun = false
        const handler = Auth.protect(Effect.sync(() => {
          hasRun = true
        }))
        const token = yield* broken(data)
        const reply = yield* send(handler, { token })
        assert.deepStrictEqual([reply.status, reply.setCookie], [401, [cleared]])
        assert.isFalse(hasRun)
        assert.deepStrictEqual(yield* records("ada"), [])
        const again = yield* send(handler, { token })
        assert.deepStrictEqual([again.status, again.setCookie], [401, []])
      }).pipe(Effect.provide(live())))
  }

  it.effect("ends in update too", () =>
    Effect.gen(function*() {
      const token = yield* broken("{}")
      const reply = yield* send(Auth.update((session) => session), posting(token))
      assert.deepStrictEqual([reply.status, reply.setCookie], [401, [cleared]])
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live())))

  it.effect("is an outage, and nothing is cleared, when it cannot be removed", () => {
    const stuck = storeWith(() => ({ remove: () => down }))
    return Effect.gen(function*() {
      const token = yield* broken("{}")
      const reply = yield* send(Auth.user, { token })
      assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
    }).pipe(Effect.provide(live({}, stuck)))
  })

  it.effect("may be ended by logout and replaced by login", () =>
    Effect.gen(function*() {
      const first = yield* broken("{}")
      assert.strictEqual((yield* send(Auth.logout, posting(first))).status, 204)
      const second = yield* broken("{}")
      const token = granted(yield* send(Auth.login({ userId: "ada" }), posting(second)))
      assert.deepStrictEqual((yield* records("ada")).map(({ id }) => id), [idOf(token)])
    }).pipe(Effect.provide(live())))
})

describe("a user that no longer exists", () => {
  it.effect("is not authorized, and the session stays", () =>
    Effect.gen(function*() {
      const token = granted(yield* send(Auth.login({ userId: "ghost" }), posting()))
      const reply = yield* send(Auth.user, { token })
      assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
      assert.strictEqual((failure(reply) as SecurityError.NotAuthorized).reason, "UnknownUser")
      assert.strictEqual((yield* records("ghost")).length, 1)
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// update
// -----------------------------------------------------------------------------

describe("update", () => {
  const add = (item: string) => Auth.update((session) => ({ ...session, cart: [...session.cart ?? [], item] }))

  it.effect("changes the session for this request and for later ones, and sets no cookie", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Effect.all([Auth.session, add("tea"), Auth.session]), posting(token))
      const changed = { userId: "ada", cart: ["tea"] }
      assert.deepStrictEqual(reply.exit, Exit.succeed([{ userId: "ada" }, undefined, changed]) as typeof reply.exit)
      assert.deepStrictEqual(reply.setCookie, [])
      assert.deepStrictEqual((yield* send(Auth.session, { token })).exit, Exit.succeed(changed))
    }).pipe(Effect.provide(live())))

  it.effect("changes nothing but the data and the version", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const [before] = yield* records("ada")
      yield* TestClock.adjust("30 minutes")
      yield* send(add("tea"), posting(token))
      const [after] = yield* records("ada")
      assert.deepStrictEqual({ ...after }, { ...before, version: 1, data: "{\"userId\":\"ada\",\"cart\":[\"tea\"]}" })
    }).pipe(Effect.provide(live())))

  it.effect("writes nothing when nothing changes", () => {
    const calls: Array<Operation> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      yield* send(Auth.update((session) => ({ ...session })), posting(token))
      assert.notInclude(calls, "update")
    }).pipe(Effect.provide(live({}, storeSpy(calls))))
  })

  it.effect("loses no change of many requests at once", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const fiber = yield* Effect.fork(
        Effect.all(Array.makeBy(8, (index) => send(add(String(index)), posting(token))), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 minute")
      const replies = yield* Fiber.join(fiber)
      assert.deepStrictEqual(new Set(replies.map(({ status }) => status)), new Set([204]))
      const { exit } = yield* send(Auth.session, { token })
      assert.sameMembers([...Exit.getOrElse(exit, () => ({ cart: [] })).cart ?? []], Array.makeBy(8, String))
    }).pipe(Effect.provide(live())))

  /** A store in which another writer comes first so many times. */
  const contended = (times: number) => {
    let lost = 0
    return storeWith((store) => ({
      update: (record) =>
        lost < times
          ? Effect.gen(function*() {
            lost++
            const data = JSON.stringify({ userId: "ada", cart: [`other ${lost}`] })
            yield* store.update({ ...record, data })
            return yield* store.update(record)
          })
          : store.update(record)
    }))
  }
  const updating = (token: string, seen: Array<ReadonlyArray<string>>) =>
    Effect.gen(function*() {
      const change = Auth.update((session) => {
        seen.push(session.cart ?? [])
        return { ...session, cart: [...session.cart ?? [], "mine"] }
      })
      const fiber = yield* Effect.fork(send(change, posting(token)))
      yield* TestClock.adjust("1 minute")
      return yield* Fiber.join(fiber)
    })

  it.effect("tries again on what another writer left, as often as that is needed", () => {
    const seen: Array<ReadonlyArray<string>> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      assert.strictEqual((yield* updating(token, seen)).status, 204)
      assert.deepStrictEqual(seen, [[], ...Array.makeBy(15, (index) => [`other ${index + 1}`])])
      assert.deepStrictEqual(
        (yield* send(Auth.session, { token })).exit,
        Exit.succeed({ userId: "ada", cart: ["other 15", "mine"] })
      )
    }).pipe(Effect.provide(live({}, contended(15))))
  })

  it.effect("gives up after 16 tries, having changed nothing", () => {
    const seen: Array<ReadonlyArray<string>> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* updating(token, seen)
      assert.strictEqual(reply.status, 409)
      assert.strictEqual(failure(reply)._tag, "SessionConflict")
      assert.strictEqual(seen.length, 16)
      assert.deepStrictEqual(
        (yield* send(Auth.session, { token })).exit,
        Exit.succeed({ userId: "ada", cart: ["other 16"] })
      )
    }).pipe(Effect.provide(live({}, contended(16))))
  })

  it.effect("fails, and brings nothing back, when the session ends between reading and writing", () => {
    const ending = storeWith((store) => ({
      update: (record) => Effect.zipRight(store.remove(record.id), store.update(record))
    }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* updating(token, [])
      assert.strictEqual(reply.status, 401)
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live({}, ending)))
  })

  it.effect("dies when it would change the subject, and changes nothing", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.update(() => ({ userId: "bob" })), posting(token))
      assert.strictEqual(reply.status, 500)
      assert.include(defect(reply), "test/Auth: update does not change the subject of a session; login does")
      assert.deepStrictEqual((yield* send(Auth.user, { token })).exit, ada)
    }).pipe(Effect.provide(live())))

  it.effect("fails with what a request without a session fails with", () =>
    Effect.gen(function*() {
      for (const token of [undefined, someToken]) {
        assert.strictEqual((yield* send(add("tea"), posting(token))).status, 401)
      }
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// sessions, revoke, revokeAll, revokeSubject
// -----------------------------------------------------------------------------

describe("sessions", () => {
  it.effect("lists the subject's own, newest first, and says which is the one that asks", () =>
    Effect.gen(function*() {
      const phone = granted(
        yield* send(Auth.login({ userId: "ada" }), { method: "POST", headers: { "user-agent": "phone" } })
      )
      yield* TestClock.adjust("1 day")
      const laptop = granted(
        yield* send(Auth.login({ userId: "ada" }), { method: "POST", headers: { "user-agent": "laptop" } })
      )
      yield* signIn("bob")
      const { exit } = yield* send(Auth.sessions, { token: phone })
      const day = 86_400_000
      assert.deepStrictEqual(
        Exit.map(exit, (infos) =>
          infos.map(({ createdAt, expiresAt, lastSeenAt, ...info }) => ({
            ...info,
            times: [createdAt, lastSeenAt, expiresAt].map((_) => _.epochMillis)
          }))),
        Exit.succeed([
          { id: idOf(laptop), userAgent: "laptop", isCurrent: false, times: [day, day, 8 * day] },
          { id: idOf(phone), userAgent: "phone", isCurrent: true, times: [0, day, 8 * day] }
        ])
      )
      assert.notInclude(JSON.stringify(exit), phone.slice(13))
    }).pipe(Effect.provide(live())))

  it.effect("says that a session ends at the nearer of its two deadlines", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const { exit } = yield* send(Auth.sessions, { token })
      assert.deepStrictEqual(
        Exit.map(exit, (infos) => infos.map(({ expiresAt }) => expiresAt.epochMillis)),
        Exit.succeed([3_600_000])
      )
    }).pipe(Effect.provide(live({ absoluteTimeout: "1 hour" }))))
})

describe("revoke", () => {
  const status = (token: string) => Effect.map(send(Auth.user, { token }), ({ status }) => status)

  it.effect("ends one of the subject's own sessions and no other", () =>
    Effect.gen(function*() {
      const [phone, laptop, tablet] = yield* Effect.all([signIn(), signIn(), signIn()])
      const reply = yield* send(Auth.revoke(idOf(phone)), posting(laptop))
      assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
      assert.deepStrictEqual(yield* Effect.forEach([phone, laptop, tablet], status), [401, 204, 204])
    }).pipe(Effect.provide(live())))

  it.effect("of another subject's session, or of none, changes nothing", () =>
    Effect.gen(function*() {
      const [ada, bob] = yield* Effect.all([signIn(), signIn("bob")])
      for (const id of [idOf(bob), idOf(someToken), someToken as unknown as SessionToken.SessionId]) {
        const reply = yield* send(Auth.revoke(id), posting(ada))
        assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
      }
      assert.deepStrictEqual(yield* Effect.forEach([ada, bob], status), [204, 204])
    }).pipe(Effect.provide(live())))

  it.effect("of the session that asks clears its cookie, and the request has no session any more", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(
        Effect.all([Auth.user, Auth.revoke(idOf(token)), Effect.either(Auth.user)]),
        posting(token)
      )
      assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]])
      assert.isTrue(Exit.isSuccess(reply.exit) && reply.exit.value[2]._tag === "Left")
      assert.strictEqual(yield* status(token), 401)
    }).pipe(Effect.provide(live())))
})

describe("revokeAll", () => {
  const status = (token: string) => Effect.map(send(Auth.user, { token }), ({ status }) => status)

  it.effect("ends all of the subject's sessions, this one too, and clears its cookie", () =>
    Effect.gen(function*() {
      const [phone, laptop, bob] = yield* Effect.all([signIn(), signIn(), signIn("bob")])
      const reply = yield* send(Effect.all([Auth.user, Auth.revokeAll(), Effect.either(Auth.user)]), posting(phone))
      assert.deepStrictEqual([reply.status, reply.setCookie], [204, [cleared]])
      assert.isTrue(Exit.isSuccess(reply.exit) && reply.exit.value[2]._tag === "Left")
      assert.deepStrictEqual(yield* Effect.forEach([phone, laptop, bob], status), [401, 401, 204])
    }).pipe(Effect.provide(live())))

  it.effect("keeps the session that asks when it is told to, and sets no cookie", () =>
    Effect.gen(function*() {
      const [phone, laptop, bob] = yield* Effect.all([signIn(), signIn(), signIn("bob")])
      const reply = yield* send(Effect.all([Auth.revokeAll({ except: "current" }), Auth.user]), posting(phone))
      assert.deepStrictEqual([reply.status, reply.setCookie], [204, []])
      assert.deepStrictEqual(yield* Effect.forEach([phone, laptop, bob], status), [204, 401, 204])
    }).pipe(Effect.provide(live())))

  it.effect("ends everything when the exception is absent", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      yield* send(Auth.revokeAll({ except: undefined }), posting(token))
      assert.strictEqual(yield* status(token), 401)
    }).pipe(Effect.provide(live())))

  it.effect("ends a sign-in that had verified its password but was not yet there", () => {
    const latch = Effect.runSync(Deferred.make<void>())
    const reached = Effect.runSync(Deferred.make<void>())
    let isSlow = false
    const slow = storeWith((store) => ({
      create: (record) =>
        isSlow
          ? Deferred.succeed(reached, void 0).pipe(
            Effect.zipRight(Deferred.await(latch)),
            Effect.zipRight(store.create(record))
          )
          : store.create(record)
    }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      isSlow = true
      const inFlight = yield* Effect.fork(send(Auth.login({ userId: "ada" }), posting()))
      yield* Deferred.await(reached)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* send(Auth.revokeAll(), posting(token))).status, 204)
      yield* Deferred.succeed(latch, void 0)
      const reply = yield* Fiber.join(inFlight)
      assert.deepStrictEqual([reply.status, reply.setCookie], [401, []])
      assert.deepStrictEqual(yield* records("ada"), [])
    }).pipe(Effect.provide(live({}, slow)))
  })
})

describe("revokeSubject", () => {
  it.effect("ends all sessions of any subject, without a request", () =>
    Effect.gen(function*() {
      const [ada, bob] = yield* Effect.all([signIn(), signIn("bob")])
      yield* Auth.revokeSubject("ada")
      yield* Auth.revokeSubject("nobody")
      const statuses = yield* Effect.forEach([ada, bob], (token) => send(Auth.user, { token }))
      assert.deepStrictEqual(statuses.map(({ status }) => status), [401, 204])
    }).pipe(Effect.provide(live())))

  it.effect("fails when the store does", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Auth.revokeSubject("ada"))
      assert.strictEqual(error._tag, "SecurityUnavailable")
    }).pipe(Effect.provide(live({}, storeWith(() => ({ removeBySubject: () => down }))))))
})

// -----------------------------------------------------------------------------
// What a request remembers
// -----------------------------------------------------------------------------

describe("what a request has found out", () => {
  it.effect("is asked once", () => {
    const calls: Array<Operation> = []
    let retrieved = 0
    const counting = (session: Session) => {
      retrieved++
      return retrieveUser(session)
    }
    return Effect.gen(function*() {
      const token = yield* signIn()
      calls.length = 0
      const nested = Auth.protect(Effect.all([Auth.user, Auth.session, Auth.userOption, Auth.authenticated]))
      assert.strictEqual((yield* send(Auth.protect(nested), { token })).status, 204)
      assert.deepStrictEqual([calls, retrieved], [["find"], 1])
      assert.strictEqual((yield* send(nested, { token })).status, 204)
      assert.deepStrictEqual([calls, retrieved], [["find", "find"], 2])
    }).pipe(Effect.provide(live({ retrieveUser: counting }, storeSpy(calls))))
  })

  it.effect("is asked once also when it is a refusal", () => {
    const calls: Array<Operation> = []
    return Effect.gen(function*() {
      const attempts = Effect.all([Effect.either(Auth.user), Effect.either(Auth.user), Auth.userOption])
      const reply = yield* send(attempts, { token: someToken })
      assert.isTrue(Exit.isSuccess(reply.exit) && reply.exit.value[0]._tag === "Left")
      assert.deepStrictEqual(calls, ["find"])
    }).pipe(Effect.provide(live({}, storeSpy(calls))))
  })

  it.effect("is the new user after a login", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const steps = Effect.all([Auth.user, Auth.login({ userId: "bob" }), Auth.user, Auth.session])
      const reply = yield* send(steps, posting(token))
      assert.deepStrictEqual(
        reply.exit,
        Exit.succeed([{ id: "ada" }, undefined, { id: "bob" }, { userId: "bob" }]) as typeof reply.exit
      )
    }).pipe(Effect.provide(live())))

  it.effect("is a user after a login where there was none", () =>
    Effect.gen(function*() {
      const steps = Effect.all([Auth.userOption, Auth.login({ userId: "ada" }), Auth.userOption, Auth.sessions])
      const reply = yield* send(steps, posting())
      assert.isTrue(Exit.isSuccess(reply.exit))
      const [before, , after, sessions] = (reply.exit as Exit.Success<any, never>).value
      assert.deepStrictEqual([before, after], [Option.none(), Option.some({ id: "ada" })])
      assert.deepStrictEqual(sessions.map((_: SessionAuth.SessionInfo) => _.isCurrent), [true])
    }).pipe(Effect.provide(live())))

  it.effect("is nobody after a logout", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const steps = Effect.all([Auth.user, Auth.logout, Auth.userOption])
      const reply = yield* send(steps, posting(token))
      assert.deepStrictEqual(
        reply.exit,
        Exit.succeed([{ id: "ada" }, undefined, Option.none()]) as typeof reply.exit
      )
    }).pipe(Effect.provide(live())))

  it.effect("is the same user after a rotation, and the session can be rotated again", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const steps = Effect.all([Auth.user, Auth.rotate, Auth.user, Auth.rotate, Auth.user])
      const reply = yield* send(steps, posting(token))
      assert.strictEqual(reply.status, 204)
      assert.deepStrictEqual((yield* records("ada")).map(({ id }) => id), [idOf(granted(reply))])
    }).pipe(Effect.provide(live())))

  it.effect("is the user that the changed session has", () => {
    const named = ({ cart, userId }: Session) => Effect.succeed(Option.some({ id: `${userId} ${cart?.join() ?? ""}` }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      const change = Auth.update((session) => ({ ...session, cart: ["tea"] }))
      const reply = yield* send(Effect.all([Auth.user, change, Auth.user]), posting(token))
      assert.deepStrictEqual(
        reply.exit,
        Exit.succeed([{ id: "ada " }, undefined, { id: "ada tea" }]) as typeof reply.exit
      )
    }).pipe(Effect.provide(live({ retrieveUser: named })))
  })

  it.effect("belongs to that request alone", () =>
    Effect.gen(function*() {
      const [ada, bob] = yield* Effect.all([signIn(), signIn("bob")])
      const replies = yield* Effect.all(
        Array.makeBy(40, (index) =>
          send(Effect.zipRight(Effect.yieldNow(), Auth.user), { token: index % 2 ? ada : bob })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        replies.map(({ exit }) =>
          Exit.getOrElse(exit, () => ({ id: "?" })).id
        ),
        Array.makeBy(40, (index) => index % 2 ? "ada" : "bob")
      )
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Other sites
// -----------------------------------------------------------------------------

describe("a request that another site made a browser send", () => {
  const foreign = (token?: string): Sent => ({ method: "POST", token, headers: { origin: "https://evil.example" } })

  const operations: Record<string, (id: SessionToken.SessionId) => Effect.Effect<unknown, unknown, any>> = {
    user: () => Auth.user,
    session: () => Auth.session,
    authenticated: () => Auth.authenticated,
    protect: () => Auth.protect(Effect.void),
    login: () => Auth.login({ userId: "eve" }),
    logout: () => Auth.logout,
    update: () => Auth.update((session) => ({ ...session, cart: ["evil"] })),
    rotate: () => Auth.rotate,
    sessions: () => Auth.sessions,
    revoke: (id) => Auth.revoke(id),
    revokeAll: () => Auth.revokeAll()
  }

  for (const [name, operation] of Object.entries(operations)) {
    it.effect(`is refused by ${name}, with and without a session, and nothing is asked or changed`, () => {
      const calls: Array<Operation> = []
      return Effect.gen(function*() {
        const token = yield* signIn()
        calls.length = 0
        for (const one of [token, undefined, someToken, "nonsense"]) {
          const reply = yield* sendAny(operation(idOf(token)), foreign(one))
          assert.deepStrictEqual([reply.status, reply.setCookie], [403, []], one)
          assert.instanceOf(failure(reply), SecurityError.CrossSiteRejected)
        }
        assert.deepStrictEqual(calls, [])
      }).pipe(Effect.provide(live({}, storeSpy(calls))))
    })
  }

  it.effect("is accepted from a trusted origin and from the configured one", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      for (const origin of ["https://admin.example.com", "https://app.internal"]) {
        const reply = yield* send(Auth.user, { method: "POST", token, headers: { origin } })
        assert.strictEqual(reply.status, 204, origin)
      }
      assert.strictEqual((yield* send(Auth.user, foreign(token))).status, 403)
    }).pipe(
      Effect.provide(live({ trustedOrigins: ["https://admin.example.com"], origin: "https://app.internal" }))
    ))

  it.effect("is told from one that says nothing only where an origin is required", () =>
    Effect.gen(function*() {
      const same = { origin: "https://app.example.com" }
      const token = granted(yield* send(Auth.login({ userId: "ada" }), { method: "POST", headers: same }))
      assert.strictEqual((yield* send(Auth.user, posting(token))).status, 403)
      assert.strictEqual((yield* send(Auth.user, { method: "POST", token, headers: same })).status, 204)
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
    }).pipe(Effect.provide(live({ requireOrigin: true }))))
})

describe("userOption", () => {
  const table: ReadonlyArray<readonly [string, (token: string) => Sent, Option.Option<User>]> = [
    ["somebody for a session", (token) => ({ token }), Option.some({ id: "ada" })],
    ["nobody without a credential", () => ({}), Option.none()],
    ["nobody for an unknown token", () => ({ token: someToken }), Option.none()],
    ["nobody for a malformed one", () => ({ token: "nonsense" }), Option.none()],
    [
      "nobody for two",
      (token) => ({ headers: { cookie: `__Host-session=${token}; __Host-session=${token}` } }),
      Option.none()
    ],
    ["nobody for a session that another site sends", (token) => ({
      method: "POST",
      token,
      headers: { origin: "https://evil.example" }
    }), Option.none()]
  ]
  for (const [sentence, sent, expected] of table) {
    it.effect(`is ${sentence}`, () =>
      Effect.gen(function*() {
        const token = yield* signIn()
        assert.deepStrictEqual((yield* send(Auth.userOption, sent(token))).exit, Exit.succeed(expected))
      }).pipe(Effect.provide(live())))
  }

  it.effect("is nobody for a user that no longer exists", () =>
    Effect.gen(function*() {
      const token = yield* signIn("ghost")
      assert.deepStrictEqual((yield* send(Auth.userOption, { token })).exit, Exit.succeed(Option.none()))
    }).pipe(Effect.provide(live())))

  it.effect("is nobody, and clears the cookie, for a record that no longer decodes", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const token = yield* signIn()
      const [record] = yield* records("ada")
      yield* store.update({ ...record!, data: "{}" })
      const reply = yield* send(Auth.userOption, { token })
      assert.deepStrictEqual(reply.exit, Exit.succeed(Option.none()))
      assert.deepStrictEqual(reply.setCookie, [cleared])
    }).pipe(Effect.provide(live())))

  it.effect("fails for an outage", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.userOption, { token: someToken })
      assert.strictEqual(reply.status, 503)
      assert.strictEqual(failure(reply)._tag, "SecurityUnavailable")
    }).pipe(Effect.provide(live({}, storeWith(() => ({ find: () => down }))))))
})

// -----------------------------------------------------------------------------
// Outages
// -----------------------------------------------------------------------------

describe("a store that is down", () => {
  const broken: Record<string, { readonly fails: Operation; readonly does: Effect.Effect<unknown, unknown, any> }> = {
    user: { fails: "find", does: Auth.user },
    "a renewal": { fails: "touch", does: Effect.zipRight(TestClock.adjust("2 hours"), Auth.user) },
    protect: { fails: "find", does: Auth.protect(Effect.void) },
    login: { fails: "create", does: Auth.login({ userId: "ada" }) },
    "the end of the session before a login": { fails: "remove", does: Auth.login({ userId: "ada" }) },
    "the count of a login": { fails: "listBySubject", does: Auth.login({ userId: "ada" }) },
    logout: { fails: "remove", does: Auth.logout },
    update: { fails: "update", does: Auth.update((session) => ({ ...session, cart: [] })) },
    "the reading of an update": { fails: "find", does: Auth.update((session) => session) },
    rotate: { fails: "rotate", does: Auth.rotate },
    sessions: { fails: "listBySubject", does: Auth.sessions },
    revoke: { fails: "remove", does: Effect.suspend(() => Auth.revoke(revoked)) },
    revokeAll: { fails: "removeBySubject", does: Auth.revokeAll() }
  }
  let revoked: SessionToken.SessionId

  for (const [name, { does, fails }] of Object.entries(broken)) {
    for (const how of ["fails", "dies"] as const) {
      it.effect(`is a 503 with Retry-After, and no cookie is set or cleared, when ${name} ${how}`, () => {
        let isDown = false
        const store = storeWith((store) => ({
          [fails]: (...args: [any, any, any]) =>
            isDown
              ? how === "fails" ? down : Effect.die(new Error("a bug in the store"))
              : (store[fails] as (...args: [any, any, any]) => Effect.Effect<any, any>)(...args)
        }))
        return Effect.gen(function*() {
          const token = yield* signIn()
          revoked = idOf(token)
          isDown = true
          const reply = yield* sendAny(does, posting(token))
          assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
          assert.strictEqual(reply.headers.get("retry-after"), "1")
          assert.notInclude(reply.body, "store")
          isDown = false
          assert.strictEqual((yield* send(Auth.user, { token })).status, 204, "the session is as it was")
        }).pipe(Effect.provide(live({}, store)))
      })
    }
  }

  it.effect("is a 503 after 2 seconds, or after `timeout`, when it does not answer", () =>
    Effect.gen(function*() {
      const hanging = storeWith(() => ({ find: () => Effect.never }))
      for (const [options, millis] of [[{}, 2_000], [{ timeout: "5 seconds" }, 5_000]] as const) {
        for (const does of [Auth.user, Auth.rotate, Auth.sessions, Auth.update((session) => session)]) {
          yield* Effect.gen(function*() {
            const fiber = yield* Effect.fork(sendAny(does, posting(someToken)))
            yield* TestClock.adjust(millis - 1)
            assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
            yield* TestClock.adjust(1)
            const reply = yield* Fiber.join(fiber)
            assert.deepStrictEqual([reply.status, reply.setCookie], [503, []])
          }).pipe(Effect.provide(live(options, hanging)))
        }
      }
    }))

  it.effect("is logged with its cause, once", () => {
    const lines: Array<string> = []
    const cause = new Error("ECONNREFUSED 10.0.0.1")
    const store = storeWith(() => ({ find: () => Effect.fail(new SecurityError.SecurityUnavailable({ cause })) }))
    return Effect.gen(function*() {
      const reply = yield* send(Auth.user, { token: someToken })
      assert.strictEqual(reply.status, 503)
      assert.notInclude(reply.body, "ECONNREFUSED")
      const logged = lines.filter((line) => line.includes("ECONNREFUSED 10.0.0.1"))
      assert.strictEqual(logged.length, 1, lines.join("\n"))
      assert.notInclude(lines.join("\n"), someToken)
    }).pipe(Effect.provide(live({}, store)), Effect.provide(logsTo(lines)))
  })
})

// -----------------------------------------------------------------------------
// retrieveUser and guards
// -----------------------------------------------------------------------------

describe("retrieveUser", () => {
  const failing = <E>(effect: Effect.Effect<Option.Option<User>, E>) =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.user, { token })
      return { reply, token, left: (yield* records("ada")).length }
    }).pipe(Effect.provide(live({ retrieveUser: () => effect })))

  it.effect("that says NotAuthorized is a 401 that keeps its reason and leaves the session", () =>
    Effect.gen(function*() {
      const { left, reply } = yield* failing(Effect.fail(new SecurityError.NotAuthorized({ reason: "Banned" })))
      assert.strictEqual(reply.status, 401)
      assert.strictEqual(reply.headers.get("www-authenticate"), "Cookie")
      assert.strictEqual((failure(reply) as SecurityError.NotAuthorized).reason, "Banned")
      assert.deepStrictEqual([reply.setCookie, left], [[], 1])
      assert.notInclude(reply.body, "Banned")
    }))

  it.effect("that says PermissionDenied is a 403 that leaves the session", () =>
    Effect.gen(function*() {
      const { left, reply } = yield* failing(Effect.fail(new SecurityError.PermissionDenied({ reason: "Suspended" })))
      assert.strictEqual(reply.status, 403)
      assert.strictEqual(failure(reply)._tag, "PermissionDenied")
      assert.deepStrictEqual([reply.setCookie, left], [[], 1])
      assert.notInclude(reply.body, "Suspended")
    }))

  const causes: ReadonlyArray<readonly [string, Effect.Effect<never, unknown>]> = [
    ["fails with anything else", Effect.fail(new Error("password=hunter2"))],
    ["fails with a string", Effect.fail("password=hunter2")],
    ["fails with what looks like an answer", Effect.fail({ _tag: "NotAuthorized", message: "password=hunter2" })],
    ["dies", Effect.die(new Error("password=hunter2"))],
    [
      "throws",
      Effect.suspend(() => {
        throw new Error("password=hunter2")
      })
    ]
  ]
  for (const [sentence, effect] of causes) {
    it.effect(`that ${sentence} is an outage, whose cause is in the log and not in the response`, () => {
      const lines: Array<string> = []
      return Effect.gen(function*() {
        const { left, reply } = yield* failing(effect)
        assert.strictEqual(reply.status, 503)
        assert.strictEqual(failure(reply)._tag, "SecurityUnavailable")
        assert.deepStrictEqual([reply.setCookie, left], [[], 1])
        assert.notInclude(reply.body, "hunter2")
        assert.notInclude([...reply.headers].join(), "hunter2")
        assert.include(lines.join("\n"), "hunter2")
      }).pipe(Effect.provide(logsTo(lines)))
    })
  }

  it.effect("that throws instead of returning an effect is an outage too", () =>
    Effect.gen(function*() {
      const throwing = live({
        retrieveUser: () => {
          throw new Error("oops")
        }
      })
      const reply = yield* Effect.flatMap(signIn(), (token) => send(Auth.user, { token })).pipe(
        Effect.provide(throwing)
      )
      assert.strictEqual(reply.status, 503)
    }))

  it.effect("that interrupts itself is an outage, and the request is answered", () =>
    Effect.gen(function*() {
      const { left, reply } = yield* failing(Effect.interrupt)
      assert.deepStrictEqual([reply.status, reply.setCookie, left], [503, [], 1])
    }))

  it.effect("that cannot be interrupted does not keep the request beyond 2 seconds", () =>
    Effect.gen(function*() {
      const latch = yield* Deferred.make<void>()
      const slow = Effect.uninterruptible(Effect.as(Deferred.await(latch), Option.none<User>()))
      const fiber = yield* Effect.fork(failing(slow))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).reply.status, 503)
      yield* Deferred.succeed(latch, void 0)
    }))

  it.effect("that does not answer is an outage after 2 seconds", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(failing(Effect.never))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).reply.status, 503)
    }))

  it.effect("may read the request and have a scope that ends with it", () => {
    const events: Array<string> = []
    const AuthLive = Auth.layer({
      retrieveUser: ({ userId }) =>
        Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          yield* Effect.acquireRelease(
            Effect.sync(() => events.push("acquired")),
            () => Effect.sync(() => events.push("released"))
          )
          return Option.some({ id: `${userId} ${request.headers["x-tenant"]}` })
        })
    })
    return Effect.gen(function*() {
      const token = yield* signIn()
      const handler = Effect.tap(Auth.user, () => Effect.sync(() => events.push("handled")))
      const reply = yield* send(handler, { token, headers: { "x-tenant": "acme" } })
      assert.deepStrictEqual(reply.exit, Exit.succeed({ id: "ada acme" }))
      assert.deepStrictEqual(events, ["acquired", "handled", "released"])
    }).pipe(Effect.provide(Layer.provideMerge(AuthLive, memory)))
  })

  it.effect("has a scope of its own where the handler has none", () => {
    const events: Array<string> = []
    const AuthLive = Auth.layer({
      retrieveUser: ({ userId }) =>
        Effect.as(Effect.addFinalizer(() => Effect.sync(() => events.push("released"))), Option.some({ id: userId }))
    })
    return Effect.gen(function*() {
      const token = yield* signIn()
      const request = HttpServerRequest.fromWeb(
        new Request("https://app.example.com/", { headers: { cookie: `__Host-session=${token}` } })
      )
      const user = yield* Effect.provideService(Auth.user, HttpServerRequest.HttpServerRequest, request)
      assert.deepStrictEqual([user, events], [{ id: "ada" }, ["released"]])
    }).pipe(Effect.provide(Layer.provideMerge(AuthLive, memory)))
  })

  it.effect("is given the services of its Layer, whatever the handler was given", () => {
    class Directory extends Context.Tag("test/Directory")<Directory, string>() {}
    const AuthLive = Auth.layer({
      retrieveUser: () => Effect.map(Directory, (id) => Option.some({ id })),
      guards: [() => Effect.asVoid(Directory)]
    }).pipe(Layer.provide(Layer.succeed(Directory, "ours")))
    return Effect.gen(function*() {
      const token = yield* signIn()
      const handler = Effect.all([Auth.user, Directory]).pipe(Effect.provideService(Directory, "the handler's"))
      const reply = yield* send(handler, { token })
      assert.deepStrictEqual(reply.exit, Exit.succeed([{ id: "ours" }, "the handler's"]) as typeof reply.exit)
    }).pipe(Effect.provide(Layer.provideMerge(AuthLive, memory)))
  })
})

describe("guards", () => {
  const guard = (asked: Array<string>, name: string, refuses: (user: User) => boolean) => (user: User) =>
    Effect.suspend(() => {
      asked.push(`${name} ${user.id}`)
      return refuses(user) ? Effect.fail(new SecurityError.PermissionDenied({ reason: name })) : Effect.void
    })

  it.effect("are asked in order, and the first that refuses decides: 403, and the handler does not run", () => {
    const asked: Array<string> = []
    const guards = [
      guard(asked, "first", () => false),
      guard(asked, "second", ({ id }) => id === "eve"),
      guard(asked, "third", () => false)
    ]
    return Effect.gen(function*() {
      let hasRun = 0
      const handler = Auth.protect(Effect.sync(() => hasRun++))
      const [ada, eve] = yield* Effect.all([signIn(), signIn("eve")])
      const refused = yield* send(handler, { token: eve })
      assert.strictEqual(refused.status, 403)
      assert.strictEqual((failure(refused) as SecurityError.PermissionDenied).reason, "second")
      assert.notInclude(refused.body, "second")
      assert.deepStrictEqual(refused.setCookie, [])
      assert.deepStrictEqual(asked, ["first eve", "second eve"])
      assert.strictEqual(hasRun, 0)
      assert.strictEqual((yield* send(handler, { token: ada })).status, 204)
      assert.deepStrictEqual(asked.slice(2), ["first ada", "second ada", "third ada"])
      assert.strictEqual(hasRun, 1)
    }).pipe(Effect.provide(live({ guards })))
  })

  it.effect("are asked of nobody, and not after an unknown user", () => {
    const asked: Array<string> = []
    return Effect.gen(function*() {
      const token = yield* signIn("ghost")
      const replies = yield* Effect.all([
        send(Auth.user),
        send(Auth.user, { token }),
        send(Auth.user, { token: someToken })
      ])
      assert.deepStrictEqual(replies.map(({ status }) => status), [401, 401, 401])
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(live({ guards: [guard(asked, "first", () => true)] })))
  })

  it.effect("that die are an outage and let nobody in", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      assert.strictEqual((yield* send(Auth.user, { token })).status, 503)
    }).pipe(Effect.provide(live({ guards: [() => Effect.die("oops")] }))))

  it.effect("do not stand in the way of logging in and out", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      assert.strictEqual((yield* send(Auth.logout, posting(token))).status, 204)
    }).pipe(Effect.provide(live({ guards: [() => Effect.fail(new SecurityError.PermissionDenied())] }))))
})

// -----------------------------------------------------------------------------
// Settings
// -----------------------------------------------------------------------------

describe("a Layer", () => {
  const build = <E>(layer: Layer.Layer<any, E, SessionStore.SessionStore>) =>
    Effect.exit(Effect.scoped(Layer.build(Layer.provide(layer, memory))))

  const wrong: ReadonlyArray<readonly [string, SessionAuth.Settings, string]> = [
    ["a trusted origin that is null", { trustedOrigins: ["null"] }, "trustedOrigins"],
    ["a trusted origin with a wildcard", { trustedOrigins: ["https://*.example.com"] }, "trustedOrigins"],
    ["any origin", { trustedOrigins: ["*"] }, "trustedOrigins"],
    ["a trusted origin with a path", { trustedOrigins: ["https://app.example.com/"] }, "trustedOrigins"],
    [
      "a second trusted origin without a scheme",
      { trustedOrigins: ["https://a.example", "b.example"] },
      "trustedOrigins"
    ],
    ["an origin that is none", { origin: "app.example.com" }, "origin"],
    ["an idle timeout of nothing", { idleTimeout: 0 }, "idleTimeout"],
    ["an idle timeout of less than a millisecond", { idleTimeout: 0.5 }, "idleTimeout"],
    ["an idle timeout without end", { idleTimeout: Infinity }, "idleTimeout"],
    ["a negative idle timeout", { idleTimeout: -1 }, "idleTimeout"],
    ["an absolute timeout of nothing", { absoluteTimeout: "0 days" }, "absoluteTimeout"],
    ["an absolute timeout without end", { absoluteTimeout: Infinity }, "absoluteTimeout"],
    ["no session a user", { maxPerUser: 0 }, "maxPerUser"],
    ["a negative number of sessions a user", { maxPerUser: -1 }, "maxPerUser"],
    ["a fraction of a session a user", { maxPerUser: 1.5 }, "maxPerUser"],
    ["no number of sessions a user", { maxPerUser: NaN }, "maxPerUser"],
    ["no time to wait", { timeout: 0 }, "timeout"]
  ]
  for (const [sentence, settings, option] of wrong) {
    it.effect(`with ${sentence} dies when it is built, and names ${option}`, () =>
      Effect.gen(function*() {
        const exit = yield* build(Auth.layer({ retrieveUser, ...settings }))
        assert.isTrue(isDefect({ exit }))
        assert.match(defect({ exit }), new RegExp(`test/Auth: .*\\b${option}\\b`))
      }))
  }

  it.effect("takes the smallest settings that make sense", () =>
    Effect.gen(function*() {
      const exit = yield* build(
        Auth.layer({ retrieveUser, idleTimeout: 1, absoluteTimeout: 1, maxPerUser: 1, timeout: 1, trustedOrigins: [] })
      )
      assert.isTrue(Exit.isSuccess(exit))
    }))

  const settings = {
    idleTimeout: Config.duration("IDLE"),
    absoluteTimeout: Config.duration("ABSOLUTE").pipe(Config.withDefault("2 hours")),
    maxPerUser: Config.integer("MAX"),
    trustedOrigins: Config.array(Config.string(), "TRUSTED"),
    insecureCookie: Config.boolean("INSECURE")
  }
  const configured = (entries: Record<string, string>) =>
    Auth.layerConfig({ retrieveUser, settings }).pipe(
      Layer.provideMerge(memory),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries)))))
    )
  const entries = { IDLE: "1 minute", MAX: "1", TRUSTED: "https://a.example,https://b.example", INSECURE: "true" }

  it.effect("takes its settings from Config", () =>
    Effect.gen(function*() {
      const reply = yield* send(Auth.login({ userId: "ada" }), {
        method: "POST",
        headers: { origin: "https://b.example" }
      })
      assert.match(reply.setCookie[0]!, /^session=[^;]+; Max-Age=7200; Path=\/; HttpOnly; SameSite=Lax$/)
      yield* send(Auth.login({ userId: "ada" }), posting())
      const [record, ...others] = yield* records("ada")
      assert.deepStrictEqual([others, record?.idleDeadline], [[], 60_000])
    }).pipe(Effect.provide(configured(entries))))

  it.effect("fails with a ConfigError where a setting is missing or is none", () =>
    Effect.gen(function*() {
      const { IDLE: _, ...missing } = entries
      for (const one of [missing, { ...entries, MAX: "many" }, { ...entries, INSECURE: "perhaps" }]) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(configured(one))))
        assert.isTrue(error[Symbol.for("effect/ConfigError") as keyof typeof error] !== undefined)
      }
    }))

  it.effect("fails with a ConfigError that names the option where a setting from Config makes no sense", () =>
    Effect.gen(function*() {
      for (const one of [{ TRUSTED: "*" }, { TRUSTED: "https://a.example/" }, { MAX: "0" }, { IDLE: "0 seconds" }]) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(configured({ ...entries, ...one }))))
        assert.match(String(error), /trustedOrigins|maxPerUser|idleTimeout/)
      }
    }))

  it.effect("reads nothing that is not asked for: no header but Cookie makes it answer otherwise", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      for (
        const headers of [{ authorization: `Bearer ${token}` }, { "x-session": token }] as ReadonlyArray<
          Record<string, string>
        >
      ) {
        assert.strictEqual((yield* send(Auth.user, { headers })).status, 401)
      }
      assert.strictEqual((yield* send(Auth.user, { url: `https://app.example.com/?session=${token}` })).status, 401)
    }).pipe(Effect.provide(live())))
})
