// Thousands of generated requests to programs over a socket. What holds for each of them: an answer that is no 5xx comes
// in time, nothing is left unhandled, and the program goes on serving. What was stored can be looked into.
//
// A failure prints the smallest case that was found, with a seed and a path. To run that one case again:
//
//   FC_SEED=-1273846 FC_PATH=17:0:3 npx vitest run test/edge/robustness.test.ts -t "the title of the test"
//
// Without FC_PATH the seed alone repeats the whole run.
import { HttpServer, HttpServerRequest } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Context, Effect, FastCheck, Layer, Logger, LogLevel, Option } from "effect"
import type { Scope } from "effect"
import { SessionStore } from "effect-security"
import { vi } from "vitest"
import { SessionsLive, Users, UsersLive } from "../../examples/accounts.js"
import * as HttpRouterExample from "../../examples/http-router.js"
import * as SessionAuthExample from "../../examples/session-auth.js"
import {
  BasicAuth,
  basicHeader,
  basicLive,
  BearerAuth,
  bearerLive,
  CookieKeyAuth,
  cookieKeyLive,
  KeyAuth,
  keyLive,
  whoami
} from "./fixtures.js"
import { cookieOf, get, listen, post, routers } from "./harness.js"
import type { Reply } from "./harness.js"
import * as RawHttp from "./rawHttp.js"

const cases = 1_000
const timeLimit = 100_000
export const limit = { timeout: timeLimit + 20_000 }

const replay = {
  ...(process.env["FC_SEED"] === undefined ? {} : { seed: Number(process.env["FC_SEED"]) }),
  ...(process.env["FC_PATH"] === undefined ? {} : { path: process.env["FC_PATH"] })
}

// -----------------------------------------------------------------------------
// Programs
// -----------------------------------------------------------------------------

export type Header = readonly [name: string, value: string]

/** A program that is served, with somebody whom it knows. */
export interface World {
  readonly client: RawHttp.Client
  /** How many requests came as far as the program. */
  readonly reached: () => number
  readonly logs: ReadonlyArray<string>
  /** A credential, where it is asked for, and what only the answer to its owner contains. */
  readonly credential: Header
  readonly path: string
  readonly secret: string
  /** Everything that is stored, as plain values. */
  readonly state: Effect.Effect<unknown>
}

export const host: Header = ["Host", "localhost"]

/** Requests of the test itself are not counted among the cases. */
const own: Header = ["X-Own", "1"]

const counting = (count: () => void) =>
  Layer.effect(
    HttpServer.HttpServer,
    Effect.map(HttpServer.HttpServer, ({ address, serve }) => {
      const counted = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => {
        if (headers["x-own"] === undefined) {
          count()
        }
      })
      return HttpServer.make({
        address,
        serve: (app, middleware) =>
          serve(Effect.zipRight(counted, app), middleware as never) as Effect.Effect<void, never, Scope.Scope>
      })
    })
  )

/** Serves a program on a port of its own, in which what `memoMap` has built already is what the test holds. */
const watch = (program: Layer.Layer<never, any, any>, memoMap: Layer.MemoMap) =>
  Effect.gen(function*() {
    let reached = 0
    // A line for every request is not what this is about, and would take a third of the time.
    const counted = Layer.provide(program, [counting(() => reached++), Logger.minimumLogLevel(LogLevel.Warning)])
    const { logs, port } = yield* listen(
      Layer.scopedDiscard(Effect.scopeWith((scope) => Layer.buildWithMemoMap(counted, memoMap, scope))),
      Layer.empty
    )
    return { client: yield* RawHttp.make(port), reached: () => reached, logs }
  })

// -----------------------------------------------------------------------------
// Programs with sessions
// -----------------------------------------------------------------------------

interface Person {
  readonly name: string
  readonly email: string
  readonly password: string
}

interface Member extends Person {
  readonly token: string
}

/** The password of whoever a body speaks of, so that an answer which repeats what it rejects shows itself. */
export const secret = "hunter2-secret"

export const ada: Person = { name: "Ada", email: "ada@example.com", password: "correct horse" }
export const bob: Person = { name: "Bob", email: "bob@example.com", password: secret }

export interface Accounts extends World {
  readonly ada: Member
  readonly bob: Member
  /** The token of one more session. */
  readonly signIn: (person: Person) => Effect.Effect<string, RawHttp.NoAnswer>
  readonly sessions: Effect.Effect<ReadonlyArray<SessionStore.SessionRecord>>
  /** How many users somebody tried to store, and which of these are there. */
  readonly inserted: () => number
  readonly users: (from: number, to?: number) => Effect.Effect<ReadonlyArray<{ readonly email: string }>>
  readonly remove: (record: SessionStore.SessionRecord) => Effect.Effect<void>
}

export const json = (value: unknown) => Buffer.from(JSON.stringify(value))

export const jsonType: Header = ["Content-Type", "application/json"]

const accounts = (program: Layer.Layer<never, any, any>): Effect.Effect<Accounts, never, Scope.Scope> =>
  Effect.gen(function*() {
    const memoMap = yield* Layer.makeMemoMap
    const scope = yield* Effect.scope
    const stores = yield* Layer.buildWithMemoMap(Layer.merge(SessionsLive, UsersLive), memoMap, scope)
    const store = Context.get(stores, SessionStore.SessionStore)
    const repository = Context.get(stores, Users)
    // What was ever stored, so that whatever is still there can be found.
    const created = vi.spyOn(store, "create").mock.calls
    const rotated = vi.spyOn(store, "rotate").mock.calls
    const inserted = vi.spyOn(repository, "insert").mock.calls
    const watched = yield* watch(program, memoMap)

    const submit = (path: string, body: unknown) =>
      watched.client.send({ method: "POST", target: path, headers: [host, own, jsonType], body: json(body) }).pipe(
        Effect.map((reply) => {
          assert.strictEqual(reply.status, 201, reply.body)
          return cookieOf(reply).split("=")[1]!
        })
      )
    const signUp = (person: Person) =>
      Effect.map(Effect.orDie(submit("/signup", person)), (token): Member => ({ ...person, token }))
    const members = { ada: yield* signUp(ada), bob: yield* signUp(bob) }

    const sessions = Effect.suspend(() =>
      Effect.forEach(
        [...created.map(([record]) => record), ...rotated.map(([, record]) => record)],
        ({ id }) => Effect.orDie(store.find(id))
      )
    ).pipe(Effect.map((records) => records.flatMap(Option.toArray).map((record) => ({ ...record }))))
    const users = (from: number, to?: number) =>
      Effect.map(
        Effect.forEach(inserted.slice(from, to), ([{ email }]) => Effect.orDie(repository.findByLogin(email))),
        (accounts) =>
          accounts.flatMap(Option.toArray)
            // A login that was taken is another's.
            .filter(({ user }) => inserted.slice(from, to).some(([{ id }]) => id === user.id))
            .map(({ passwordHash, user }) => ({ ...user, passwordHash: Option.getOrNull(passwordHash) }))
      )
    return {
      ...watched,
      ...members,
      credential: ["Cookie", `session=${members.ada.token}`],
      path: "/user",
      secret: ada.email,
      state: Effect.all({ sessions, users: Effect.suspend(() => users(0)) }),
      signIn: ({ email, password }) => submit("/login", { email, password }),
      sessions,
      inserted: () => inserted.length,
      users,
      remove: ({ id }) =>
        Effect.zipRight(
          Effect.orDie(store.remove(id)),
          Effect.sync(() => {
            created.splice(created.findIndex(([record]) => record.id === id), 1)
          })
        )
    }
  })

export const withSessions: Readonly<Record<string, Effect.Effect<Accounts, never, Scope.Scope>>> = {
  "examples/session-auth.ts": accounts(SessionAuthExample.Program),
  "examples/http-router.ts": accounts(HttpRouterExample.Program)
}

// -----------------------------------------------------------------------------
// Programs with backends of their own
// -----------------------------------------------------------------------------

const backends = (router: "HttpRouter" | "HttpApi"): Effect.Effect<World, never, Scope.Scope> =>
  Effect.gen(function*() {
    const live = Layer.mergeAll(bearerLive(), basicLive(), keyLive(), cookieKeyLive())
    const routes = [
      get("/bearer", whoami, BearerAuth),
      get("/basic", whoami, BasicAuth),
      post("/basic", whoami, BasicAuth),
      get("/key", whoami, KeyAuth),
      get("/cookie", whoami, CookieKeyAuth)
    ]
    const program = Layer.provide(routers[router].node(routes, undefined), live)
    return {
      ...yield* watch(program, yield* Layer.makeMemoMap),
      credential: ["Authorization", basicHeader("bob", "good")],
      path: "/basic",
      secret: "bob",
      state: Effect.succeed("nothing")
    }
  })

export const withBackends: Readonly<Record<string, Effect.Effect<World, never, Scope.Scope>>> = {
  "backends on HttpRouter": backends("HttpRouter"),
  "backends on HttpApi": backends("HttpApi")
}

// -----------------------------------------------------------------------------
// Running cases
// -----------------------------------------------------------------------------

/** What nobody handled while the scope lasted. */
const faults = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const seen: Array<unknown> = []
      const note = (fault: unknown) => void seen.push(fault)
      process.on("unhandledRejection", note)
      process.on("uncaughtException", note)
      return { seen, note }
    }),
    ({ note }) =>
      Effect.sync(() => {
        process.off("unhandledRejection", note)
        process.off("uncaughtException", note)
      })
  ),
  ({ seen }) => seen
)

/** How many cases ended with each status. */
type Tally = Readonly<Record<string, number>>

/**
 * Runs a property over the socket. Of the cases at least the share `reaching` comes as far as the program: one that
 * Node itself refuses says nothing of ours.
 */
export const everyCase = <A>(
  world: World,
  reaching: number,
  arbitrary: FastCheck.Arbitrary<A>,
  check: (a: A) => Effect.Effect<Reply, RawHttp.NoAnswer>
): Effect.Effect<Tally, RawHttp.NoAnswer, Scope.Scope> =>
  Effect.gen(function*() {
    const seen = yield* faults
    const tally: Record<string, number> = {}
    const before = world.reached()
    const checked = (a: A) =>
      Effect.map(check(a), ({ status }) => {
        assert.deepStrictEqual(seen.map(String), [], "nothing is left unhandled")
        tally[status] = (tally[status] ?? 0) + 1
      })
    yield* Effect.promise(() =>
      FastCheck.assert(FastCheck.asyncProperty(arbitrary, (a) => Effect.runPromise(checked(a))), {
        numRuns: cases,
        verbose: 1,
        interruptAfterTimeLimit: timeLimit,
        markInterruptAsFailure: true,
        ...replay
      })
    )
    const reply = yield* world.client.send({
      method: "GET",
      target: world.path,
      headers: [host, own, world.credential]
    })
    assert.strictEqual(reply.status, 200, "the server goes on serving whom it knows")
    assert.include(reply.body, world.secret)
    assert.deepStrictEqual(world.logs.filter((line) => /^(?:ERROR|FATAL)/.test(line)), [])
    if (replay.path === undefined) {
      assert.isAtLeast(
        (world.reached() - before) / cases,
        reaching,
        `too few cases reached it: ${JSON.stringify(tally)}`
      )
    }
    return tally
  })

/** A tally of too few cases of a kind means that a generator has lost its point. */
export const assertShare = (tally: Tally, status: number, share: number) => {
  if (replay.path === undefined) {
    assert.isAtLeast((tally[status] ?? 0) / cases, share, `${status} in ${JSON.stringify(tally)}`)
  }
}

export const assertStatus = (reply: Reply, allowed: ReadonlyArray<number>) =>
  assert.isTrue(allowed.includes(reply.status), `${reply.status}, and not ${allowed}: ${reply.body.slice(0, 400)}`)

export const unchanged = <A, E>(world: World, self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const before = JSON.stringify(yield* world.state)
    const result = yield* self
    const after = JSON.stringify(yield* world.state)
    if (after !== before) {
      assert.deepStrictEqual(JSON.parse(after), JSON.parse(before), "nothing stored has changed")
    }
    return result
  })

/** What Node itself answers to bytes that are no request, or too many. */
export const refusedByNode = [400, 431]

// -----------------------------------------------------------------------------
// Bytes
// -----------------------------------------------------------------------------

const range = (from: number, to: number) => ({
  num: to - from + 1,
  build: (offset: number) => String.fromCharCode(from + offset)
})

/** What Node's parser lets pass in a header. */
export const headerByte = FastCheck.mapToConstant(range(0x20, 0x7e), range(0x80, 0xff), range(0x09, 0x09))
export const targetByte = FastCheck.mapToConstant(range(0x21, 0x7e))
export const anyByte = FastCheck.mapToConstant(range(0x00, 0xff))
// Not the unit `binary`, which takes seconds to make a table of all characters.
const codePoint = (min: number, max: number) =>
  FastCheck.integer({ min, max }).map((codePoint) => String.fromCodePoint(codePoint))
/** Lone surrogates as well. */
export const anyCharacter = FastCheck.oneof(
  codePoint(0x20, 0x7e),
  codePoint(0x00, 0xffff),
  codePoint(0xd800, 0xdfff),
  codePoint(0x10000, 0x10ffff)
)

export const piecesOf = (unit: FastCheck.Arbitrary<string>, ...fragments: ReadonlyArray<FastCheck.Arbitrary<string>>) =>
  FastCheck.array(FastCheck.oneof(FastCheck.string({ unit, maxLength: 12 }), ...fragments), { maxLength: 8 }).map(
    (pieces) => pieces.join("")
  )

/** A text, now and then so often that it is very long: a counterexample says how often, and not the whole. */
export interface Repeated {
  readonly text: string
  readonly times: number
}

export const repeated = (text: FastCheck.Arbitrary<string>, most: number): FastCheck.Arbitrary<Repeated> =>
  FastCheck.record({
    text,
    times: FastCheck.oneof(
      { weight: 30, arbitrary: FastCheck.constant(1) },
      { weight: 1, arbitrary: FastCheck.integer({ min: 2, max: most }) }
    )
  })

export const written = ({ text, times }: Repeated): string => text.repeat(times).slice(0, 40_000)

export const oneOf = (...texts: ReadonlyArray<string | ReadonlyArray<string>>) =>
  FastCheck.constantFrom(...texts.flat())

export const few = <A>(arbitrary: FastCheck.Arbitrary<A>) => FastCheck.array(arbitrary, { maxLength: 2 })

export const junk = FastCheck.string({ unit: headerByte, maxLength: 12 })

export const splice = (header: string, at: number, removed: number, text: string) => {
  const position = at % (header.length + 1)
  return header.slice(0, position) + text + header.slice(position + removed)
}
