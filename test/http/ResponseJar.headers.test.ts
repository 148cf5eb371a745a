// What the jar does with a header that grants a credential, on every router and host.
import { HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, FastCheck, Layer, Redacted, Stream } from "effect"
import type { Context } from "effect"
import * as ResponseJar from "effect-security/http/ResponseJar"
import * as SecurityError from "effect-security/SecurityError"
import {
  eventually,
  gate,
  get,
  onNode,
  onWeb,
  post,
  requestText,
  routerNames,
  serve,
  surfaces
} from "../edge/harness.js"
import type { Handler, Route } from "../edge/harness.js"
import { send } from "../session/fixtures.js"

const header = "X-Grant"

/** As the Layer of a backend does. */
const live = Layer.effectDiscard(ResponseJar.install)

const onRequest = <A>(f: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<A>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => Effect.zipRight(ResponseJar.install, f(request)))

/** One backend a header. */
const owners = new Map<string, object>()
const ownerOf = (name: string): object => {
  const key = name.toLowerCase()
  const owner = owners.get(key) ?? { owner: key }
  owners.set(key, owner)
  return owner
}

/** Grants a text, and notes it where the grant is undone. */
const grant = (text: string, undone: Array<string> = [], name = header) =>
  onRequest((request) =>
    ResponseJar.grantHeader(request, name, {
      owner: ownerOf(name),
      value: Redacted.make(text),
      undo: Effect.sync(() => void undone.push(text))
    })
  )

const clear = (name = header) => onRequest((request) => ResponseJar.clearHeader(request, name, ownerOf(name)))

const answer = (status: number, headers: Record<string, string> = {}) =>
  Effect.succeed(HttpServerResponse.empty({ status, headers }))

const bytes = (text: string) => new TextEncoder().encode(text)

const good: Readonly<Record<string, readonly [number, Handler]>> = {
  "200": [200, answer(200)],
  "204": [204, answer(204)],
  "302": [302, answer(302)],
  "304": [304, answer(304)],
  "399": [399, answer(399)],
  "stream": [200, Effect.succeed(HttpServerResponse.stream(Stream.make(bytes("a"), bytes("b"))))]
}

const bad: typeof good = {
  "400": [400, answer(400)],
  "401": [401, answer(401)],
  "404": [404, answer(404)],
  "503": [503, answer(503)],
  "failure": [500, Effect.fail(new Error("a failure of the application"))],
  "defect": [500, Effect.die(new Error("a defect of the application"))],
  "refusal": [403, Effect.fail(new SecurityError.PermissionDenied())],
  "unauthorized": [401, Effect.fail(new SecurityError.NotAuthorized())],
  "teapot": [418, Effect.fail(HttpServerResponse.empty({ status: 418 }))]
}

const undoneIn = (undone: ReadonlyArray<string>, expected: ReadonlyArray<string>) =>
  Effect.zipRight(
    eventually(Effect.sync(() => undone.length), (length) => length >= expected.length),
    Effect.sync(() => assert.deepStrictEqual([...undone], [...expected]))
  )

for (const surface of surfaces) {
  describe(`a header that grants: ${surface.join(" on ")}`, () => {
    it.scopedLive("goes out once with every answer below 400, which nobody keeps, and is never undone", () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const routes = Object.entries(good).map(([name, [, ending]]) =>
          post(`/${name}`, Effect.zipRight(grant(name, undone), ending))
        )
        const server = yield* serve(surface, routes, live)
        for (const [name, [status]] of Object.entries(good)) {
          const reply = yield* server.send(`/${name}`, { method: "POST" })
          assert.deepStrictEqual(
            [reply.status, reply.headers["x-grant"], reply.headers["vary"], reply.headers["cache-control"]],
            [status, name, header, "no-store"]
          )
        }
        yield* Effect.sleep("20 millis")
        assert.deepStrictEqual(undone, [])
      }))

    it.scopedLive("does not go out with any other answer, however it came about, and is undone once", () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const routes = Object.entries(bad).map(([name, [, ending]]) =>
          post(`/${name}`, Effect.zipRight(grant(name, undone), ending))
        )
        const server = yield* serve(surface, routes, live)
        const expected: Array<string> = []
        for (const [name, [status]] of Object.entries(bad)) {
          const reply = yield* server.send(`/${name}`, { method: "POST" })
          assert.deepStrictEqual([reply.status, reply.headers["x-grant"]], [status, undefined], name)
          expected.push(name)
          yield* undoneIn(undone, expected)
        }
        assert.lengthOf(server.logs.filter((line) => line.includes("it is undone")), expected.length)
      }))

    it.scopedLive("is taken back by a middleware that makes the answer an error, and goes out where one makes it none", () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const become = (status: number) =>
          HttpApp.appendPreResponseHandler((_, response) =>
            Effect.succeed(HttpServerResponse.setStatus(response, status))
          )
        const routes = [
          post("/granted", Effect.zipRight(grant("granted", undone), answer(200))),
          post("/failed", Effect.zipRight(grant("failed", undone), answer(500)))
        ]
        const toError = yield* serve(surface, routes, live, (app) => Effect.zipRight(become(500), app))
        const reply = yield* toError.send("/granted", { method: "POST" })
        assert.deepStrictEqual([reply.status, reply.headers["x-grant"]], [500, undefined])
        yield* undoneIn(undone, ["granted"])
        const toSuccess = yield* serve(surface, routes, live, (app) => Effect.zipRight(become(202), app))
        const other = yield* toSuccess.send("/failed", { method: "POST" })
        assert.deepStrictEqual([other.status, other.headers["x-grant"]], [202, "failed"])
      }))

    it.scopedLive("is of the last who grants: what it replaces and what is cleared is undone, and not sent", () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const steps = {
          "/two": Effect.zipRight(grant("one", undone), grant("two", undone)),
          "/none": Effect.zipRight(grant("three", undone), clear()),
          "/again": Effect.zipRight(Effect.zipRight(grant("four", undone), clear()), grant("five", undone)),
          "/case": Effect.zipRight(grant("six", undone, "X-GRANT"), grant("seven", undone, "x-grant")),
          "/clear": clear()
        }
        const routes = Object.entries(steps).map(([path, steps]) =>
          post(path as "/", Effect.zipRight(steps, answer(204)))
        )
        const server = yield* serve(surface, routes, live)
        const sent: Array<string | undefined> = []
        for (const path of Object.keys(steps)) {
          sent.push((yield* server.send(path, { method: "POST" })).headers["x-grant"])
        }
        assert.deepStrictEqual(sent, ["two", undefined, "five", "seven", undefined])
        assert.deepStrictEqual(undone, ["one", "three", "four", "six"])
      }))

    it.scopedLive("of parallel fibers and of a daemon is one, and the others are undone", () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const names = Array.from({ length: 10 }, (_, index) => `grant-${index}`)
        const parallel = Effect.forEach(names, (name) => Effect.zipRight(Effect.yieldNow(), grant(name, undone)), {
          concurrency: "unbounded"
        })
        const daemon = Effect.flatMap(Effect.forkDaemon(grant("daemon", undone)), (fiber) => fiber.await)
        const server = yield* serve(
          surface,
          [
            post("/parallel", Effect.zipRight(parallel, answer(200))),
            post("/daemon", Effect.zipRight(daemon, answer(200)))
          ],
          live
        )
        const sent = (yield* server.send("/parallel", { method: "POST" })).headers["x-grant"]!
        assert.sameMembers([...undone, sent], names)
        assert.strictEqual((yield* server.send("/daemon", { method: "POST" })).headers["x-grant"], "daemon")
      }))

    it.scopedLive("of another name is another, beside a cookie, and Vary names each", () =>
      Effect.gen(function*() {
        const own = answer(200, { vary: "Accept", "cache-control": "private", "x-own": "1" })
        const server = yield* serve(
          surface,
          [post("/both", Effect.zipRight(Effect.zipRight(grant("one"), grant("two", [], "Authorization")), own))],
          live
        )
        const { headers } = yield* server.send("/both", { method: "POST" })
        assert.deepStrictEqual(
          [headers["x-grant"], headers["authorization"], headers["x-own"], headers["cache-control"]],
          ["one", "two", "1", "private"]
        )
        assert.sameMembers(headers["vary"]!.split(", "), ["Accept", "X-Grant", "Authorization"])
      }))

    it.scopedLive("that the handler writes itself is replaced by a grant, and stays where the grant does not go out", () =>
      Effect.gen(function*() {
        const own = (status: number) => answer(status, { "x-grant": "its own", "x-other": "1" })
        const server = yield* serve(
          surface,
          [
            post("/200", Effect.zipRight(grant("one"), own(200))),
            post("/500", Effect.zipRight(grant("one"), own(500)))
          ],
          live
        )
        const replies = yield* Effect.forEach(["/200", "/500"], (path) => server.send(path, { method: "POST" }))
        assert.deepStrictEqual(replies.map(({ headers }) => [headers["x-grant"], headers["x-other"]]), [
          ["one", "1"],
          ["its own", "1"]
        ])
      }))

    it.scopedLive("after the response has started dies, and what it was for is undone", () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const exit = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
        const late = Effect.map(Effect.context<any>(), (context: Context.Context<any>) =>
          HttpServerResponse.stream(Stream.concat(
            Stream.make(bytes("first")),
            Stream.fromEffect(
              Effect.exit(Effect.provide(grant("late", undone), context)).pipe(
                Effect.tap((result) =>
                  Deferred.succeed(exit, result)
                ),
                Effect.as(bytes("last"))
              )
            )
          )))
        const server = yield* serve(surface, [post("/late", late)], live)
        const reply = yield* server.send("/late", { method: "POST" })
        assert.deepStrictEqual([reply.status, reply.body, reply.headers["x-grant"]], [200, "firstlast", undefined])
        const result = yield* Deferred.await(exit)
        assert.instanceOf(Exit.isFailure(result) && Cause.squash(result.cause), ResponseJar.ResponseAlreadySent)
        assert.deepStrictEqual(undone, ["late"])
      }))

    it.scopedLive("belongs to its request: of many at once each gets its own", () =>
      Effect.gen(function*() {
        const named = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
          Effect.zipRight(Effect.sleep(`${Number(headers["x-user"]) % 5} millis`), grant(headers["x-user"]!)))
        const server = yield* serve(surface, [get("/", Effect.zipRight(named, answer(200)))], live)
        const people = Array.from({ length: 30 }, (_, index) =>
          String(index))
        const replies = yield* Effect.forEach(people, (user) =>
          server.send("/", { headers: { "x-user": user } }), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(replies.map(({ headers }) => headers["x-grant"]), people)
      }))
  })
}

// -----------------------------------------------------------------------------
// A client that leaves
// -----------------------------------------------------------------------------

describe("a header that grants to a client that has left", () => {
  const leaving = (pass: Effect.Effect<void>, undone: Array<string>): ReadonlyArray<Route> => [
    post("/", Effect.zipRight(Effect.zipRight(grant("one", undone), pass), answer(200)))
  ]

  for (const router of routerNames) {
    it.scopedLive(`${router} on Node: is undone`, () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const { open, pass, reached } = yield* gate
        const server = yield* onNode(router, leaving(pass, undone), live)
        const connection = yield* server.connect(requestText("/", { method: "POST" }))
        yield* reached
        yield* connection.abort
        yield* server.abandoned
        yield* open
        yield* undoneIn(undone, ["one"])
      }))

    it.scopedLive(`${router} as a web handler: is undone`, () =>
      Effect.gen(function*() {
        const undone: Array<string> = []
        const { open, pass, reached } = yield* gate
        const server = yield* onWeb(router, leaving(pass, undone), live)
        const controller = new AbortController()
        const response = server.handler(
          new Request("http://localhost/", { method: "POST", signal: controller.signal })
        )
        yield* reached
        controller.abort()
        yield* open
        yield* undoneIn(undone, ["one"])
        assert.strictEqual((yield* Effect.promise(() => response)).headers.get("x-grant"), null)
      }))
  }
})

// -----------------------------------------------------------------------------
// A model
// -----------------------------------------------------------------------------

describe("headers of a request", () => {
  const names = ["X-Grant", "Authorization", "x-other"]
  const steps = FastCheck.array(
    FastCheck.record({
      name: FastCheck.constantFrom(...names, ...names.map((name) => name.toUpperCase())),
      isGrant: FastCheck.boolean()
    }),
    { maxLength: 12 }
  )

  it.effect.prop(
    "are those of a plain model after any grants and clears, whatever the status, and every grant is either sent or undone",
    [steps, FastCheck.constantFrom(200, 204, 303, 399, 400, 401, 403, 404, 500, 503)],
    ([steps, status]) =>
      Effect.gen(function*() {
        const model = new Map<string, string>()
        const replaced: Array<string> = []
        const undone: Array<string> = []
        let seen: ReadonlyArray<readonly [string, string | null]> = []
        const run = Effect.forEach(steps, ({ isGrant, name }, index) => {
          const key = name.toLowerCase()
          const before = model.get(key)
          if (before !== undefined) replaced.push(before)
          if (isGrant) model.set(key, `grant-${index}`)
          else model.delete(key)
          return isGrant ? grant(`grant-${index}`, undone, name) : clear(name)
        })
        const look = onRequest((request) =>
          Effect.sync(() => {
            const { headerCredentials } = ResponseJar.get(request)
            seen = Array.from(owners).flatMap(([name, owner]) => {
              const value = headerCredentials.get(owner)
              return value === undefined ? [] : [[name, value === null ? null : Redacted.value(value)] as const]
            })
          })
        )
        const reply = yield* send(Effect.zipRight(Effect.zipRight(run, look), answer(status)))
        for (const name of names) {
          const expected = status < 400 ? model.get(name.toLowerCase()) ?? null : null
          assert.strictEqual(reply.headers.get(name), expected)
        }
        assert.deepStrictEqual(
          new Map(seen),
          new Map(steps.map(({ name }) => [name.toLowerCase(), model.get(name.toLowerCase()) ?? null]))
        )
        assert.sameMembers(undone, status < 400 ? replaced : [...replaced, ...model.values()])
        assert.strictEqual(
          reply.headers.get("cache-control"),
          status === 401 || status === 403 || (status < 400 && model.size > 0) ? "no-store" : null
        )
      }),
    { fastCheck: { numRuns: 300 } }
  )
})
