// What lasts longer than a request ends with what let it in.
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import type { HttpApp } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Option,
  Redacted,
  Stream,
  TestClock
} from "effect"
import { SecurityConfig, SecurityError } from "effect-security"
import type { SessionStore } from "effect-security"
import { WebSocket } from "ws"
import * as edge from "../edge/fixtures.js"
import { get, onNode, routerNames } from "../edge/harness.js"
import {
  Auth,
  CurrentUser,
  idOf,
  live,
  memory,
  records,
  retrieveUser,
  send,
  sendAny,
  signIn,
  storeSpy,
  storeWith
} from "./fixtures.js"
import type { Live, Options } from "./fixtures.js"

// -----------------------------------------------------------------------------
// What lasts
// -----------------------------------------------------------------------------

const requestOf = (headers: Record<string, string>) =>
  HttpServerRequest.fromWeb(new Request("https://app.example.com/", { headers }))

/** Runs a socket of a request until something ends it, and says when its finalizers ran. */
const open = <R>(
  whileAuthenticated: (self: Effect.Effect<never>) => Effect.Effect<
    never,
    SecurityError.SecurityError,
    R | HttpServerRequest.HttpServerRequest
  >,
  request: HttpServerRequest.HttpServerRequest
) =>
  Effect.gen(function*() {
    const started = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<number>()
    const fiber = yield* Effect.fork(
      Deferred.succeed(started, undefined).pipe(
        Effect.zipRight(Effect.never),
        Effect.ensuring(Effect.flatMap(Clock.currentTimeMillis, (now) => Deferred.succeed(ended, now))),
        whileAuthenticated,
        Effect.provideService(HttpServerRequest.HttpServerRequest, request)
      )
    )
    yield* Effect.raceFirst(Deferred.await(started), Fiber.join(fiber))
    return {
      /** Whether it runs; its finalizers have run and it has failed, or neither. */
      isOpen: Effect.map(
        Effect.all([Deferred.isDone(ended), Fiber.poll(fiber)]),
        ([isEnded, exit]) => {
          assert.strictEqual(isEnded, Option.isSome(exit))
          return !isEnded
        }
      ),
      endedAt: Deferred.await(ended),
      failure: Effect.flip(Fiber.join(fiber)),
      interrupt: Fiber.interrupt(fiber)
    }
  })

const openSession = (token: string) =>
  open((self) => Auth.whileAuthenticated(self), requestOf({ cookie: `__Host-session=${token}` }))

type Opened = Effect.Effect.Success<ReturnType<typeof openSession>>

/** It ends at the check that comes next, and no sooner. */
const assertEndsAtNextCheck = (socket: Opened) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("59999 millis")
    assert.isTrue(yield* socket.isOpen, "before the check")
    yield* TestClock.adjust("1 millis")
    assert.isFalse(yield* socket.isOpen, "after the check")
    return yield* socket.failure
  })

const post = <A, E, R>(handler: Effect.Effect<A, E, R>, token: string) =>
  Effect.map(send(handler, { method: "POST", token }), ({ exit }) => assert.isTrue(Exit.isSuccess(exit), String(exit)))

// -----------------------------------------------------------------------------
// Ends
// -----------------------------------------------------------------------------

/** What happens in another request, or to the user, while the socket is open. */
interface Ending {
  readonly end: (token: string) => Effect.Effect<unknown, unknown, Live>
  readonly options?: (state: { isGone: boolean }) => Options
}

const gone = { isGone: false }
const fromElsewhere = <E, R>(f: (token: string) => Effect.Effect<unknown, E, R>) => (token: string) =>
  Effect.flatMap(signIn(), (other) => post(f(token), other))

const endings: Record<string, Ending> = {
  "a logout": { end: (token) => post(Auth.logout, token) },
  "a revoke from another device": { end: fromElsewhere((token) => Auth.revoke(idOf(token))) },
  "the revocation of all sessions": { end: fromElsewhere(() => Auth.revokeAll()) },
  "the revocation of all other sessions": { end: fromElsewhere(() => Auth.revokeAll({ except: "current" })) },
  "the revocation of a subject": { end: () => Auth.revokeSubject("ada") },
  "a rotation by another request": { end: (token) => post(Auth.rotate, token) },
  "a sign-in over it": { end: (token) => post(Auth.login({ userId: "ada" }), token) },
  "the user's disappearance": {
    end: () =>
      Effect.sync(() => {
        gone.isGone = true
      }),
    options: (state) => ({
      retrieveUser: (session) => Effect.suspend(() => state.isGone ? Effect.succeedNone : retrieveUser(session))
    })
  }
}

describe("whileAuthenticated fails with NotAuthorized, and runs finalizers, at the first check after", () => {
  for (const [title, { end, options }] of Object.entries(endings)) {
    it.effect(title, () =>
      Effect.gen(function*() {
        const state = { isGone: false }
        yield* Effect.gen(function*() {
          gone.isGone = false
          const token = yield* signIn()
          const socket = yield* openSession(token)
          yield* TestClock.adjust("3 minutes")
          assert.isTrue(yield* socket.isOpen)
          yield* end(token)
          state.isGone = gone.isGone
          const error = yield* assertEndsAtNextCheck(socket)
          assert.strictEqual(error._tag, "NotAuthorized")
        }).pipe(Effect.provide(live(options?.(state))))
      }))
  }

  for (const timeout of ["idleTimeout", "absoluteTimeout"] as const) {
    it.effect(`its ${timeout}`, () =>
      Effect.gen(function*() {
        const socket = yield* openSession(yield* signIn())
        yield* TestClock.adjust("2 minutes")
        assert.isTrue(yield* socket.isOpen)
        assert.strictEqual((yield* assertEndsAtNextCheck(socket))._tag, "NotAuthorized")
      }).pipe(Effect.provide(live({ [timeout]: "150 seconds" }))))
  }

  it.effect("the revocation of an API key", () =>
    Effect.gen(function*() {
      const keys = new Set(["good"])
      yield* Effect.gen(function*() {
        const socket = yield* open((self) => KeyAuth.whileAuthenticated(self), requestOf({ "x-key": "good" }))
        yield* TestClock.adjust("3 minutes")
        assert.isTrue(yield* socket.isOpen)
        keys.delete("good")
        const error = yield* assertEndsAtNextCheck(socket)
        assert.strictEqual(error._tag, "NotAuthorized")
      }).pipe(Effect.provide(KeyAuth.layer({
        authenticate: (key) =>
          Effect.sync(() => keys.has(Redacted.value(key)) ? Option.some({ id: "ada" }) : Option.none())
      })))
    }))
})

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "x-key" }),
  user: CurrentUser
}) {}

describe("whileAuthenticated", () => {
  it.effect("fails with PermissionDenied when a guard refuses from then on", () =>
    Effect.gen(function*() {
      let isRefused = false
      yield* Effect.gen(function*() {
        const socket = yield* openSession(yield* signIn())
        yield* TestClock.adjust("3 minutes")
        assert.isTrue(yield* socket.isOpen)
        isRefused = true
        assert.strictEqual((yield* assertEndsAtNextCheck(socket))._tag, "PermissionDenied")
      }).pipe(Effect.provide(live({
        guards: [() => Effect.suspend(() => isRefused ? new SecurityError.PermissionDenied() : Effect.void)]
      })))
    }))

  const surroundings: Record<string, <E, R>(handler: Effect.Effect<never, E, R>) => Effect.Effect<unknown, any, any>> =
    {
      "a route, which is interruptible": (handler) => HttpRouter.get(HttpRouter.empty, "/", handler),
      "an app of its own, which is not": (handler) => handler,
      "a route that is not interruptible": (handler) =>
        HttpRouter.get(HttpRouter.empty, "/", handler, { uninterruptible: true }),
      "an app behind the gate, which is not": (handler) => Auth.middleware(handler as HttpApp.Default<any, never>)
    }
  for (const [title, surround] of Object.entries(surroundings)) {
    it.effect(`answers 401 when the session ends while its response is awaited: ${title}`, () =>
      Effect.gen(function*() {
        const token = yield* signIn()
        let isEnded = false
        const handler = Auth.whileAuthenticated(
          Effect.ensuring(
            Effect.never,
            Effect.sync(() => {
              isEnded = true
            })
          )
        )
        const fiber = yield* Effect.fork(sendAny(surround(handler), { token }))
        yield* TestClock.adjust("90 seconds")
        assert.isFalse(isEnded)
        yield* post(Auth.logout, token)
        yield* TestClock.adjust("1 minute")
        assert.isTrue(isEnded)
        const reply = yield* Fiber.join(fiber)
        assert.strictEqual(reply.status, 401)
        assert.strictEqual(reply.headers.get("www-authenticate"), "Cookie")
      }).pipe(Effect.provide(live())))
  }

  it.effect("goes on through an update of the session, its own and another request's", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const socket = yield* openSession(token)
      const writing = yield* open(
        (self) =>
          Auth.whileAuthenticated(
            Effect.zipRight(Effect.orDie(Auth.update((session) => ({ ...session, cart: ["own"] }))), self)
          ),
        requestOf({ cookie: `__Host-session=${token}` })
      )
      yield* post(Auth.update((session) => ({ ...session, cart: ["tea"] })), token)
      yield* TestClock.adjust("3 minutes")
      assert.isTrue(yield* socket.isOpen)
      assert.isTrue(yield* writing.isOpen)
    }).pipe(Effect.provide(live())))

  it.effect("ends each socket of a session, and none of another", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const sockets = yield* Effect.forEach([token, token, token], openSession)
      const other = yield* openSession(yield* signIn())
      yield* post(Auth.logout, token)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Effect.forEach(sockets, ({ isOpen }) => isOpen), [false, false, false])
      assert.isTrue(yield* other.isOpen)
    }).pipe(Effect.provide(live())))

  it.effect("asks the backend itself each minute, and not what the request remembers", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      yield* Effect.gen(function*() {
        const request = requestOf({ cookie: `__Host-session=${yield* signIn()}` })
        const socket = yield* open((self) => Effect.zipRight(Auth.user, Auth.whileAuthenticated(self)), request)
        const user = Effect.provideService(Auth.user, HttpServerRequest.HttpServerRequest, request)
        for (const minutes of [0, 1, 2, 3]) {
          // The request itself asks nobody again.
          yield* user
          assert.deepStrictEqual(asked, [0, 1, 2, 3].slice(0, minutes + 1).map((minute) => minute * 60_000))
          yield* TestClock.adjust("1 minute")
        }
        yield* socket.interrupt
        yield* TestClock.adjust("10 minutes")
        assert.lengthOf(asked, 5)
      }).pipe(Effect.provide(live({
        retrieveUser: (session) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            asked.push(now)
            return retrieveUser(session)
          })
      })))
    }))

  it.effect("does not remember what a check found: the request is as it was let in", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const request = requestOf({ cookie: `__Host-session=${token}` })
      const socket = yield* open((self) => Auth.whileAuthenticated(self), request)
      yield* post(Auth.logout, token)
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* socket.isOpen)
      const { id } = yield* Effect.provideService(Auth.user, HttpServerRequest.HttpServerRequest, request)
      assert.strictEqual(id, "ada")
    }).pipe(Effect.provide(live())))

  it.effect("extends the idle deadline by entering, and never by a check", () =>
    Effect.gen(function*() {
      const calls: Array<keyof SessionStore.Service> = []
      yield* Effect.gen(function*() {
        const token = yield* signIn()
        yield* TestClock.adjust("5 minutes")
        calls.length = 0
        const socket = yield* openSession(token)
        assert.deepStrictEqual(calls, ["find", "touch"])
        calls.length = 0
        yield* TestClock.adjust("9 minutes")
        assert.isTrue(yield* socket.isOpen)
        assert.deepStrictEqual(calls, Array.from({ length: 9 }, () => "find"))
        const [record] = yield* records("ada")
        assert.deepInclude(record, { lastSeenAt: 5 * 60_000, idleDeadline: 15 * 60_000 })
        assert.strictEqual((yield* assertEndsAtNextCheck(socket))._tag, "NotAuthorized")
      }).pipe(Effect.provide(live({ idleTimeout: "10 minutes" }, storeSpy(calls))))
    }))
})

// -----------------------------------------------------------------------------
// The effect's own end
// -----------------------------------------------------------------------------

describe("whileAuthenticated gives what the effect itself comes to", () => {
  const at = (token: string) =>
    Effect.provideService(HttpServerRequest.HttpServerRequest, requestOf({ cookie: `__Host-session=${token}` }))

  it.effect.prop(
    "at once and after a while, be it a value, a failure or a defect",
    [
      FastCheck.oneof(
        FastCheck.anything().map(Exit.succeed),
        FastCheck.anything().map(Exit.fail),
        FastCheck.anything().map(Exit.die)
      ),
      FastCheck.constantFrom(0, 1, 59_999, 60_001, 150_000)
    ],
    ([exit, millis]) =>
      Effect.gen(function*() {
        const token = yield* signIn()
        const effect = millis === 0 ? exit : Effect.zipRight(Effect.sleep(Duration.millis(millis)), exit)
        const fiber = yield* Effect.fork(Effect.exit(at(token)(Auth.whileAuthenticated(effect))))
        yield* TestClock.adjust(Duration.millis(millis))
        const seen = yield* Fiber.join(fiber)
        if (Exit.isSuccess(exit)) {
          assert.isTrue(Exit.isSuccess(seen) && Object.is(seen.value, exit.value))
        } else {
          const { cause } = seen as Exit.Failure<never, unknown>
          assert.strictEqual(cause._tag, exit.cause._tag)
          assert.isTrue(
            (cause._tag === "Fail" && exit.cause._tag === "Fail" && Object.is(cause.error, exit.cause.error)) ||
              (cause._tag === "Die" && exit.cause._tag === "Die" && Object.is(cause.defect, exit.cause.defect))
          )
        }
      }).pipe(Effect.provide(live())),
    { fastCheck: { numRuns: 40 } }
  )

  it.effect("when it interrupts itself", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(at(yield* signIn())(Auth.whileAuthenticated(Effect.interrupt)))
      assert.isTrue(Exit.isInterrupted(exit))
    }).pipe(Effect.provide(live())))

  it.effect("when it is interrupted, after its finalizers have run", () =>
    Effect.gen(function*() {
      const socket = yield* openSession(yield* signIn())
      yield* TestClock.adjust("90 seconds")
      assert.isTrue(Exit.isInterrupted(yield* socket.interrupt))
      assert.strictEqual(yield* socket.endedAt, 90_000)
    }).pipe(Effect.provide(live())))

  it.effect("and asks nobody after that", () =>
    Effect.gen(function*() {
      const calls: Array<keyof SessionStore.Service> = []
      yield* Effect.gen(function*() {
        yield* at(yield* signIn())(Auth.whileAuthenticated(Effect.void))
        calls.length = 0
        yield* TestClock.adjust("5 minutes")
        assert.deepStrictEqual(calls, [])
      }).pipe(Effect.provide(live({}, storeSpy(calls))))
    }))
})

describe("whileAuthenticated does not start where the request", () => {
  const refused = (status: number, sent: Record<string, string>, options: Options = {}, store = memory) =>
    Effect.gen(function*() {
      let isStarted = false
      const socket = Effect.sync(() => {
        isStarted = true
      })
      const reply = yield* send(Auth.whileAuthenticated(socket), { headers: sent })
      assert.strictEqual(reply.status, status)
      assert.isFalse(isStarted)
    }).pipe(Effect.provide(live(options, store)))
  const unknown = { cookie: `__Host-session=${"A".repeat(12)}.${"A".repeat(43)}` }

  it.effect("has no credential", () => refused(401, {}))
  it.effect("has one that is not good", () => refused(401, unknown))
  it.effect("has one of no known form", () => refused(401, { cookie: "__Host-session=x" }))
  it.effect("cannot be looked up", () =>
    refused(503, unknown, {}, storeWith(() => ({ find: () => new SecurityError.SecurityUnavailable() }))))
  it.effect("is of a user whom a guard refuses", () =>
    Effect.gen(function*() {
      let isStarted = false
      const socket = Effect.sync(() => {
        isStarted = true
      })
      const reply = yield* send(Auth.whileAuthenticated(socket), { token: yield* signIn() })
      assert.strictEqual(reply.status, 403)
      assert.isFalse(isStarted)
    }).pipe(Effect.provide(live({ guards: [() => new SecurityError.PermissionDenied()] }))))
})

// -----------------------------------------------------------------------------
// Outages
// -----------------------------------------------------------------------------

/** What a check meets. `slow` answers in time, `hanging` never does, `dying` is a defect. */
type Answer = "good" | "slow" | "failing" | "dying" | "hanging" | "unknown" | "denied"

const answers: Record<Answer, Effect.Effect<Option.Option<{ readonly id: string }>, unknown>> = {
  good: Effect.succeedSome({ id: "ada" }),
  slow: Effect.delay(Effect.succeedSome({ id: "ada" }), "1 second"),
  failing: Effect.fail("the directory is down"),
  dying: Effect.die("a defect"),
  hanging: Effect.never,
  unknown: Effect.succeedNone,
  denied: new SecurityError.PermissionDenied()
}

const durations: Partial<Record<Answer, number>> = { slow: 1_000, hanging: 2_000 }
const isOutage = (answer: Answer) => ["failing", "dying", "hanging"].includes(answer)

/** When and by what it ends, said in the words of the documentation. */
const expected = (script: ReadonlyArray<Answer>): readonly [number, string] | undefined => {
  let now = 0
  let before: Answer = "good"
  for (const answer of script) {
    now += 60_000 + (durations[answer] ?? 0)
    if (answer === "unknown") {
      return [now, "NotAuthorized"]
    }
    if (answer === "denied") {
      return [now, "PermissionDenied"]
    }
    if (isOutage(answer) && isOutage(before)) {
      return [now, "SecurityUnavailable"]
    }
    before = answer
  }
  return undefined
}

const assertScript = (script: ReadonlyArray<Answer>) =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const left = ["good" as const, ...script]
    yield* Effect.gen(function*() {
      const socket = yield* open((self) => KeyAuth.whileAuthenticated(self), requestOf({ "x-key": "good" }))
      yield* TestClock.adjust(Duration.millis(script.length * 62_000))
      const end = expected(script)
      assert.strictEqual(yield* socket.isOpen, end === undefined)
      if (end === undefined) {
        yield* socket.interrupt
      } else {
        assert.deepStrictEqual([(yield* socket.endedAt) - began, (yield* socket.failure)._tag], end)
      }
    }).pipe(
      Effect.provide(KeyAuth.layer({ authenticate: () => Effect.suspend(() => answers[left.shift() ?? "good"]) }))
    )
  })

describe("an outage at a check", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<Answer>, readonly [number, string] | undefined]> = [
    ["is waited out", ["failing", "good"], undefined],
    ["ends it when it is the second in a row", ["failing", "failing"], [120_000, "SecurityUnavailable"]],
    ["counts anew after a good check", ["failing", "good", "failing", "good", "failing"], undefined],
    ["may be a backend that hangs", ["good", "hanging", "hanging"], [184_000, "SecurityUnavailable"]],
    ["may be of two kinds", ["hanging", "dying"], [122_000, "SecurityUnavailable"]],
    ["does not hide that the credential is no longer good", ["failing", "unknown"], [120_000, "NotAuthorized"]]
  ]
  for (const [title, script, end] of cases) {
    it.effect(title, () => {
      assert.deepStrictEqual(expected(script), end)
      return assertScript(script)
    })
  }

  it.effect.prop(
    "of any sequence is waited out once, and ends it the second time in a row",
    [FastCheck.array(
      FastCheck.oneof(
        { weight: 6, arbitrary: FastCheck.constantFrom<Answer>("good", "slow") },
        { weight: 6, arbitrary: FastCheck.constantFrom<Answer>("failing", "dying", "hanging") },
        { weight: 1, arbitrary: FastCheck.constantFrom<Answer>("unknown", "denied") }
      ),
      { minLength: 1, maxLength: 8 }
    )],
    ([script]) => assertScript(script),
    { fastCheck: { numRuns: 40 } }
  )

  it.effect("of the session store is waited out as well, and the session lives on", () =>
    Effect.gen(function*() {
      let isDown = false
      const store = storeWith((store) => ({
        find: (id) => Effect.suspend(() => isDown ? new SecurityError.SecurityUnavailable() : store.find(id))
      }))
      yield* Effect.gen(function*() {
        const token = yield* signIn()
        const socket = yield* openSession(token)
        isDown = true
        yield* TestClock.adjust("1 minute")
        assert.isTrue(yield* socket.isOpen)
        isDown = false
        yield* TestClock.adjust("1 minute")
        isDown = true
        yield* TestClock.adjust("1 minute")
        assert.isTrue(yield* socket.isOpen)
        assert.strictEqual((yield* assertEndsAtNextCheck(socket))._tag, "SecurityUnavailable")
        isDown = false
        assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
      }).pipe(Effect.provide(live({}, store)))
    }))
})

// -----------------------------------------------------------------------------
// WebSockets
// -----------------------------------------------------------------------------

/** Says hello to whoever is there, for as long as they are. */
const socket = Effect.gen(function*() {
  const { id } = yield* edge.Auth.user
  const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
  const write = yield* socket.writer
  yield* socket.runRaw((message) => write(`${id}: ${message}`), { onOpen: Effect.orDie(write(`hello ${id}`)) })
  return HttpServerResponse.empty()
}).pipe(
  Effect.scoped,
  Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())),
  (self) => edge.Auth.whileAuthenticated(self)
)

const connect = (port: number, headers: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`, { headers })
      const closed = new Promise<string>((resolve) => {
        socket.on("close", () => resolve("closed"))
        socket.on("error", (error) => resolve(String(error)))
      })
      return {
        socket,
        closed: Effect.promise(() => closed),
        next: Effect.async<string>((resume) => {
          socket.once("message", (data) => resume(Effect.succeed(String(data))))
          void closed.then((how) => resume(Effect.succeed(how)))
        })
      }
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  )

describe("a WebSocket", () => {
  for (const router of routerNames) {
    it.scoped(`on ${router} is closed when its session ends, and not before`, () =>
      Effect.gen(function*() {
        const sessions = yield* edge.makeSessions()
        // The server runs by the clock of this test.
        const layer = Layer.provideMerge(sessions.layer(), Layer.setClock(yield* Effect.clock))
        const server = yield* onNode(router, [edge.loginRoute, get("/socket", socket)], layer)
        const cookie = yield* edge.signIn(server)
        const client = yield* connect(server.port, { cookie })
        assert.strictEqual(yield* client.next, "hello ada")
        yield* TestClock.adjust("5 minutes")
        client.socket.send("still here?")
        assert.strictEqual(yield* client.next, "ada: still here?")
        assert.strictEqual(client.socket.readyState, WebSocket.OPEN)
        yield* Effect.orDie(sessions.store.removeBySubject(edge.Auth.key, "ada", { except: Option.none() }))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* client.closed, "closed")
      }))

    it.scoped(`on ${router} is not opened for nobody`, () =>
      Effect.gen(function*() {
        const sessions = yield* edge.makeSessions()
        const server = yield* onNode(router, [get("/socket", socket)], sessions.layer())
        const client = yield* connect(server.port, {})
        assert.match(yield* client.closed, /401/)
      }))
  }
})

describe("the body of a stream", () => {
  it.effect("ends with the session where the check stands in the stream", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const guarded = Stream.interruptWhen(Stream.never, Auth.whileAuthenticated(Effect.never))
      const fiber = yield* Effect.fork(
        Effect.provideService(
          Effect.exit(Stream.runDrain(guarded)),
          HttpServerRequest.HttpServerRequest,
          requestOf({ cookie: `__Host-session=${token}` })
        )
      )
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* Auth.revokeSubject("ada")
      yield* TestClock.adjust("1 minute")
      const exit = yield* Fiber.join(fiber)
      assert.include(String(exit), "NotAuthorized")
    }).pipe(Effect.provide(live())))
})
