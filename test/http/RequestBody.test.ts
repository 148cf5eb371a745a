import {
  FetchHttpClient,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiError,
  HttpApiGroup,
  HttpApiSchema,
  HttpApp,
  HttpClientError,
  HttpClientRequest,
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  type HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Deferred,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  type ParseResult,
  Schema,
  Stream,
  TestClock
} from "effect"
import * as Http from "node:http"
import * as Net from "node:net"
import * as RequestBody from "../../src/http/RequestBody.js"

// -----------------------------------------------------------------------------
// One program on four routers: POST /accounts reads JSON, POST /logout reads nothing
// -----------------------------------------------------------------------------

const secret = "hunter2-hunter2"
const json = "application/json"
const Account = Schema.Struct({ name: Schema.NonEmptyString, password: Schema.String.pipe(Schema.minLength(8)) })
const good = JSON.stringify({ name: "Ada", password: secret })

interface Program {
  readonly stored: Array<unknown>
  readonly exits: Array<Exit.Exit<unknown, unknown>>
}
const program = (): Program => ({ stored: [], exits: [] })
const store = (program: Program, account: typeof Account.Type) =>
  Effect.as(Effect.sync(() => program.stored.push(account)), { name: account.name })

const accounts = (program: Program) =>
  HttpServerRequest.schemaBodyJson(Account).pipe(
    Effect.flatMap((account) => store(program, account)),
    Effect.map((body) => HttpServerResponse.unsafeJson(body)),
    Effect.onExit((exit) => Effect.sync(() => program.exits.push(exit)))
  )
const logout = HttpServerResponse.empty({ status: 204 })

class Accounts extends HttpApiGroup.make("accounts")
  .add(
    HttpApiEndpoint.post("create", "/accounts").setPayload(Account).addSuccess(Schema.Struct({ name: Schema.String }))
  )
  .add(HttpApiEndpoint.post("logout", "/logout").addSuccess(HttpApiSchema.NoContent))
{}
class Api extends HttpApi.make("api").add(Accounts) {}
const accountsLive = (program: Program) =>
  HttpApiBuilder.group(Api, "accounts", (handlers) =>
    handlers
      .handle("create", ({ payload }) => store(program, payload))
      .handle("logout", () => Effect.void))

const httpApp = (program: Program) =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) =>
      new URL(request.url, "http://host").pathname === "/accounts" ? accounts(program) : Effect.succeed(logout)
  )

const httpRouter = (program: Program) =>
  HttpRouter.empty.pipe(
    HttpRouter.post("/accounts", accounts(program)),
    HttpRouter.post("/logout", logout)
  )

const layerRouterRoutes = (program: Program) =>
  HttpLayerRouter.use(Effect.fnUntraced(function*(router) {
    yield* router.add("POST", "/accounts", accounts(program))
    yield* router.add("POST", "/logout", logout)
  }))

/** Each router as a user would mount the middleware on it: served by Node, and as a web handler. */
const routers = {
  HttpApp: {
    node: (program: Program, body: RequestBody.Middleware) => httpApp(program).pipe(body, HttpServer.serve()),
    web: (program: Program, body: RequestBody.Middleware) => HttpApp.toWebHandler(body(httpApp(program)))
  },
  HttpRouter: {
    node: (program: Program, body: RequestBody.Middleware) => httpRouter(program).pipe(body, HttpServer.serve()),
    web: (program: Program, body: RequestBody.Middleware) => HttpApp.toWebHandler(body(httpRouter(program)))
  },
  HttpApiBuilder: {
    node: (program: Program, body: RequestBody.Middleware) =>
      HttpApiBuilder.serve().pipe(
        Layer.provide(HttpApiBuilder.middleware(body)),
        Layer.provide(HttpApiBuilder.api(Api)),
        Layer.provide(accountsLive(program))
      ),
    web: (program: Program, body: RequestBody.Middleware) =>
      HttpApiBuilder.toWebHandler(
        Layer.mergeAll(
          HttpApiBuilder.api(Api).pipe(Layer.provide(accountsLive(program))),
          HttpApiBuilder.middleware(body),
          HttpServer.layerContext
        )
      ).handler
  },
  HttpLayerRouter: {
    node: (program: Program, body: RequestBody.Middleware) =>
      HttpLayerRouter.serve(
        layerRouterRoutes(program).pipe(Layer.provide(HttpLayerRouter.middleware(body, { global: true }))),
        { disableLogger: true, disableListenLog: true }
      ),
    web: (program: Program, body: RequestBody.Middleware) =>
      HttpLayerRouter.toWebHandler(
        layerRouterRoutes(program).pipe(Layer.provide(HttpLayerRouter.middleware(body, { global: true }))),
        { disableLogger: true }
      ).handler
  },
  "HttpLayerRouter.addHttpApi": {
    node: (program: Program, body: RequestBody.Middleware) =>
      HttpLayerRouter.serve(
        HttpLayerRouter.addHttpApi(Api).pipe(
          Layer.provide(accountsLive(program)),
          Layer.provide(HttpLayerRouter.middleware(body, { global: true }))
        ),
        { disableLogger: true, disableListenLog: true }
      ),
    web: (program: Program, body: RequestBody.Middleware) =>
      HttpLayerRouter.toWebHandler(
        HttpLayerRouter.addHttpApi(Api).pipe(
          Layer.provide(accountsLive(program)),
          Layer.provide(HttpLayerRouter.middleware(body, { global: true })),
          Layer.provide(HttpServer.layerContext)
        ),
        { disableLogger: true }
      ).handler
  }
}

const NodeServer = NodeHttpServer.layer(() => Http.createServer(), { port: 0, host: "127.0.0.1" })

const listen = <E>(app: Layer.Layer<never, E, HttpServer.HttpServer | Layer.Layer.Success<typeof NodeServer>>) =>
  Effect.map(
    Layer.build(Layer.provideMerge(app, NodeServer)),
    (context) => {
      const address = (context.unsafeMap.get(HttpServer.HttpServer.key) as HttpServer.HttpServer).address
      return address._tag === "TcpAddress" ? address.port : assert.fail("a TCP address")
    }
  )

// -----------------------------------------------------------------------------
// A client that can do what fetch cannot
// -----------------------------------------------------------------------------

interface Reply {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}
interface Conversation {
  readonly replies: ReadonlyArray<Reply>
  readonly error: string | undefined
  readonly millis: number
}

const parseReplies = (text: string): ReadonlyArray<Reply> => {
  const replies: Array<Reply> = []
  while (text !== "") {
    const end = text.indexOf("\r\n\r\n")
    if (end === -1) break
    const [first = "", ...lines] = text.slice(0, end).split("\r\n")
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    const length = Number(headers["content-length"] ?? 0)
    const body = text.slice(end + 4, end + 4 + length)
    if (body.length < length) break
    replies.push({ status: Number(first.split(" ")[1]), headers, body })
    text = text.slice(end + 4 + length)
  }
  return replies
}

type Step = string | Uint8Array | { readonly wait: number } | "destroy"

/** Plays the steps and listens until the server closes, `replies` final replies have come, or for 3 seconds. */
const converse = (
  port: number,
  steps: Iterable<Step>,
  options?: { readonly replies?: number; readonly half?: boolean }
) =>
  Effect.promise(() =>
    new Promise<Conversation>((resolve) => {
      const start = performance.now()
      const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: options?.half ?? false })
      let received = ""
      let error: string | undefined
      const finalReplies = () => parseReplies(received).filter((reply) => reply.status >= 200)
      const finish = () => {
        clearTimeout(timer)
        socket.destroy()
        resolve({ replies: finalReplies(), error, millis: performance.now() - start })
      }
      const timer = setTimeout(() => {
        error ??= "the connection stayed open"
        finish()
      }, 3000)
      socket.on("data", (chunk) => {
        received += chunk.toString("latin1")
        if (finalReplies().length === options?.replies) finish()
      })
      socket.on("error", (cause: NodeJS.ErrnoException) => error ??= cause.code)
      socket.on("close", finish)
      const play = async () => {
        for (const step of steps) {
          if (socket.destroyed) return
          if (step === "destroy") socket.destroy()
          else if (typeof step === "object" && "wait" in step) await new Promise((done) => setTimeout(done, step.wait))
          else if (!socket.write(step)) await new Promise((done) => socket.once("drain", done).once("close", done))
        }
        if (options?.half === true) socket.end()
      }
      void play()
    })
  )

const head = (headers: Record<string, string | number>, path = "/accounts") =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\n` +
  Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n"

const whole = (body: string | Uint8Array, contentType: string | undefined = json, path = "/accounts"): Array<Step> => [
  head({ "Content-Length": Buffer.byteLength(body), ...(contentType && { "Content-Type": contentType }) }, path),
  body
]

const chunk = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n`

// -----------------------------------------------------------------------------
// The same answers everywhere
// -----------------------------------------------------------------------------

interface Case {
  readonly title: string
  readonly body: string | Uint8Array
  readonly contentType?: string | undefined
  readonly status: 400 | 413 | 415
}

const cases: ReadonlyArray<Case> = [
  { title: "malformed JSON", body: `{"password":"${secret}"`, status: 400 },
  { title: "white space instead of JSON", body: "  ", status: 400 },
  {
    title: "invalid UTF-8",
    body: Buffer.concat([
      Buffer.from(`{"password":"${secret}","name":"`),
      Buffer.from([0xff, 0xfe]),
      Buffer.from(`"}`)
    ]),
    status: 400
  },
  {
    title: "a surrogate encoded as UTF-8",
    body: Buffer.concat([
      Buffer.from(`{"password":"${secret}","name":"`),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from(`"}`)
    ]),
    status: 400
  },
  { title: "a lone surrogate in a string", body: `{"name":"\\ud800","password":"${secret}"}`, status: 400 },
  { title: "a lone surrogate in a key", body: `{"\\udc00":1,"name":"Ada","password":"${secret}"}`, status: 400 },
  { title: "a wrong type", body: `{"name":1,"password":"${secret}"}`, status: 400 },
  { title: "a missing member", body: `{"password":"${secret}"}`, status: 400 },
  { title: "a rejected value", body: `{"name":"Ada","password":"pw-7ch"}`, status: 400 },
  { title: "an array at the top", body: `["${secret}"]`, status: 400 },
  { title: "null", body: "null", status: 400 },
  { title: "an empty body", body: "", status: 400 },
  { title: "an empty body of another type", body: "", contentType: "multipart/form-data", status: 400 },
  { title: "65 levels of arrays", body: "[".repeat(65) + "]".repeat(65), status: 400 },
  { title: "200,000 levels of arrays that never end", body: "[".repeat(200_000), status: 400 },
  {
    title: "100,000 levels of arrays inside a member",
    body: `{"name":${"[".repeat(1e5)}${"]".repeat(1e5)},"password":"${secret}"}`,
    status: 400
  },
  { title: "100,000 levels of objects", body: `${`{"a":`.repeat(4e4)}1${"}".repeat(4e4)}`, status: 400 },
  {
    title: "a body over the limit",
    body: `{"name":"Ada","password":"${secret}","more":"${"x".repeat(262_144)}"}`,
    status: 413
  },
  { title: "text/plain", body: good, contentType: "text/plain", status: 415 },
  { title: "a form", body: `password=${secret}`, contentType: "application/x-www-form-urlencoded", status: 415 },
  {
    title: "multipart",
    body: `--b\r\n\r\n${secret}\r\n--b--`,
    contentType: "multipart/form-data; boundary=b",
    status: 415
  },
  { title: "multipart without a boundary", body: secret, contentType: "multipart/form-data", status: 415 },
  {
    title: "a type that only contains application/json",
    body: good,
    contentType: "text/plain; application/json",
    status: 415
  },
  { title: "bytes", body: good, contentType: "application/octet-stream", status: 415 },
  { title: "no media type", body: good, contentType: "", status: 415 }
]

const titles = { 400: "Bad Request", 413: "Content Too Large", 415: "Unsupported Media Type" }

const assertProblem = (
  reply: { readonly status: number; readonly contentType: string | null | undefined; readonly body: string },
  status: number,
  label: string
) => {
  assert.strictEqual(reply.status, status, label)
  assert.strictEqual(reply.contentType, "application/problem+json", label)
  const problem = JSON.parse(reply.body)
  assert.strictEqual(problem.status, status, label)
  assert.strictEqual(problem.type, "about:blank", label)
  if (status in titles) assert.strictEqual(problem.title, titles[status as keyof typeof titles], label)
  assert.notInclude(reply.body, secret, label)
  assert.notInclude(reply.body, "pw-7ch", label)
}

const toWebBody = (body: string | Uint8Array) => typeof body === "string" ? body : new Uint8Array(body)

describe("RequestBody on every router", () => {
  for (const [name, router] of Object.entries(routers)) {
    it.scopedLive(`${name} on Node answers every bad body with its problem and stores nothing`, () =>
      Effect.gen(function*() {
        const state = program()
        const port = yield* listen(router.node(state, RequestBody.middleware))
        for (const { body, contentType = json, status, title } of cases) {
          const { error, replies } = yield* converse(port, whole(body, contentType), { replies: 1 })
          assert.isUndefined(error, title)
          assert.strictEqual(replies.length, 1, title)
          const reply = replies[0]!
          assertProblem({ ...reply, contentType: reply.headers["content-type"] }, status, title)
          assert.strictEqual(reply.headers["connection"], status === 400 ? "keep-alive" : "close", title)
        }
        assert.deepStrictEqual(state.stored, [])
        const { replies } = yield* converse(port, whole(good, "application/JSON; charset=utf-8"), { replies: 1 })
        assert.deepStrictEqual([replies[0]?.status, replies[0]?.body], [200, `{"name":"Ada"}`])
        assert.strictEqual(state.stored.length, 1)
      }))

    it.effect(`${name} as a web handler gives the answers that it gives on Node`, () =>
      Effect.gen(function*() {
        const state = program()
        const handler = router.web(state, RequestBody.middleware)
        for (const { body, contentType = json, status, title } of cases) {
          const response = yield* Effect.promise(() =>
            handler(
              new Request("http://localhost/accounts", {
                method: "POST",
                // An empty type: a Blob's is not sent, where a string's would be text/plain.
                body: body === "" ? null : new Blob([toWebBody(body)]),
                headers: contentType === "" ? {} : { "content-type": contentType }
              })
            )
          )
          const text = yield* Effect.promise(() => response.text())
          assertProblem(
            { status: response.status, contentType: response.headers.get("content-type"), body: text },
            status,
            title
          )
          assert.strictEqual(response.headers.get("connection"), status === 400 ? null : "close", title)
        }
        assert.deepStrictEqual(state.stored, [])
        const response = yield* Effect.promise(() =>
          handler(
            new Request("http://localhost/accounts", { method: "POST", body: good, headers: { "content-type": json } })
          )
        )
        assert.strictEqual(response.status, 200)
      }))

    it.scopedLive(`${name} does not look at the body of a route that reads none`, () =>
      Effect.gen(function*() {
        const port = yield* listen(router.node(program(), RequestBody.middleware))
        for (const contentType of ["text/plain", "multipart/form-data", json]) {
          const { replies } = yield* converse(port, whole("{{{", contentType, "/logout"), { replies: 1 })
          assert.deepStrictEqual(replies.map((reply) => reply.status), [204], contentType)
        }
        const notFound = yield* converse(port, whole("{{{", "text/plain", "/nowhere"), { replies: 1 })
        assert.notInclude([400, 415], notFound.replies[0]?.status)
      }))

    it.scopedLive(`${name} answers 408 to silence and to a drip, and closes`, () =>
      Effect.gen(function*() {
        const state = program()
        const port = yield* listen(router.node(state, RequestBody.make({ timeout: "300 millis" })))
        const drip: Array<Step> = Array.from(good).flatMap((letter): Array<Step> => [letter, { wait: 20 }])
        const start = head({ "Content-Length": good.length, "Content-Type": json })
        for (const steps of [[start], [start, ...drip]]) {
          const { error, millis, replies } = yield* converse(port, steps)
          assert.isUndefined(error)
          assert.strictEqual(replies.length, 1)
          assertProblem({ ...replies[0]!, contentType: replies[0]!.headers["content-type"] }, 408, "late")
          assert.strictEqual(replies[0]?.headers["connection"], "close")
          assert.isAtLeast(millis, 300)
        }
        assert.deepStrictEqual(state.stored, [])
      }), 15_000)
  }

  it.scopedLive("every router gives the same bytes for the same bad body", () =>
    Effect.gen(function*() {
      const answers = yield* Effect.forEach(Object.values(routers), (router) =>
        Effect.gen(function*() {
          const port = yield* listen(router.node(program(), RequestBody.middleware))
          return yield* Effect.forEach(cases, ({ body, contentType = json }) =>
            Effect.map(converse(port, whole(body, contentType), { replies: 1 }), ({ replies }) => {
              const { date: _, ...headers } = replies[0]?.headers ?? {}
              return { status: replies[0]?.status, body: replies[0]?.body, headers }
            }))
        }))
      for (const answer of answers) {
        assert.deepStrictEqual(answer, answers[0])
      }
    }))

  it.scopedLive("a client derived from the HttpApi decodes the 400", () =>
    Effect.gen(function*() {
      const port = yield* listen(routers.HttpApiBuilder.node(program(), RequestBody.middleware))
      const Lenient = HttpApi.make("api").add(
        HttpApiGroup.make("accounts").add(
          HttpApiEndpoint.post("create", "/accounts").setPayload(Schema.Struct({ name: Schema.String }))
        )
      )
      const client = yield* HttpApiClient.make(Lenient, { baseUrl: `http://127.0.0.1:${port}` })
      const error = yield* Effect.flip(client.accounts.create({ payload: { name: "Ada" } }))
      assert.instanceOf(error, HttpApiError.HttpApiDecodeError)
      assert.deepStrictEqual((error as HttpApiError.HttpApiDecodeError).issues, [])
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})

// -----------------------------------------------------------------------------
// On the wire
// -----------------------------------------------------------------------------

const serveRouter = (options?: RequestBody.Options) =>
  Effect.gen(function*() {
    const state = program()
    const port = yield* listen(routers.HttpRouter.node(state, RequestBody.make(options)))
    return { state, port }
  })

/** The state holds the exit of a handler that has ended. */
const ended = (state: Program) =>
  Effect.iterate(0, {
    while: (tries) => state.exits.length === 0 && tries < 100,
    body: (tries) => Effect.as(Effect.sleep("20 millis"), tries + 1)
  })

describe("RequestBody on the wire", () => {
  it.scopedLive("a declared length over the limit is refused before the body is sent", () =>
    Effect.gen(function*() {
      const { port } = yield* serveRouter()
      const { error, millis, replies } = yield* converse(port, [
        head({ "Content-Length": 262_145, "Content-Type": json })
      ])
      assert.isUndefined(error)
      assert.deepStrictEqual(replies.map((reply) => reply.status), [413])
      assert.isBelow(millis, 1500)
    }))

  it.scopedLive("a body of exactly the limit is read, and one byte more is not, also when it is chunked", () =>
    Effect.gen(function*() {
      const { port, state } = yield* serveRouter({ limit: good.length })
      const chunked = (body: string) => [
        head({ "Transfer-Encoding": "chunked", "Content-Type": json }),
        ...Array.from(body, chunk),
        "0\r\n\r\n"
      ]
      const exact = yield* converse(port, chunked(good), { replies: 1 })
      assert.strictEqual(exact.replies[0]?.status, 200)
      const more = yield* converse(port, chunked(good + " "))
      assert.isUndefined(more.error)
      assert.deepStrictEqual(more.replies.map((reply) => reply.status), [413])
      assert.strictEqual(state.stored.length, 1)
    }))

  it.scopedLive("a chunked body without bytes is an empty body", () =>
    Effect.gen(function*() {
      const { port } = yield* serveRouter()
      const { replies } = yield* converse(
        port,
        [head({ "Transfer-Encoding": "chunked", "Content-Type": json }), "0\r\n\r\n"],
        { replies: 1 }
      )
      assert.strictEqual(replies[0]?.status, 400)
    }))

  for (const router of ["HttpApp", "HttpRouter", "HttpApiBuilder", "HttpLayerRouter.addHttpApi"] as const) {
    it.scopedLive(`${router} delivers the whole 413 and 415 to a client that goes on sending 8 MB`, () =>
      Effect.gen(function*() {
        const port = yield* listen(routers[router].node(program(), RequestBody.middleware))
        const size = 8_000_000
        const piece = "x".repeat(80_000)
        const pieces = Array.from({ length: size / piece.length }, () => piece)
        const declared = head({ "Content-Length": size, "Content-Type": json })
        const foreign = head({ "Content-Length": size, "Content-Type": "text/plain" })
        const chunked = head({ "Transfer-Encoding": "chunked", "Content-Type": json })
        for (let i = 0; i < 3; i++) {
          for (
            const [status, steps] of [
              [413, [declared, ...pieces]],
              [415, [foreign, ...pieces]],
              [413, [chunked, ...pieces.map(chunk), "0\r\n\r\n"]]
            ] as const
          ) {
            const { error, replies } = yield* converse(port, steps, { half: true })
            assert.isUndefined(error)
            assert.deepStrictEqual(replies.map((reply) => [reply.status, reply.headers["connection"]]), [[
              status,
              "close"
            ]])
          }
        }
      }))
  }

  it.scopedLive("a client that never stops sending is cut off", () =>
    Effect.gen(function*() {
      const { port } = yield* serveRouter()
      const forever = function*(): Generator<Step> {
        yield head({ "Content-Length": 1e12, "Content-Type": json })
        while (true) {
          yield "x".repeat(10_000)
          yield { wait: 20 }
        }
      }
      const closed = yield* Effect.promise(() =>
        new Promise<number>((resolve) => {
          const start = performance.now()
          const socket = Net.connect({ port, host: "127.0.0.1" })
          socket.on("error", () => undefined)
          socket.on("close", () => resolve(performance.now() - start))
          const steps = forever()
          const next = () => {
            if (socket.destroyed) return
            const step = steps.next().value as Step
            if (typeof step === "string") socket.write(step)
            setTimeout(next, 10)
          }
          next()
        })
      )
      assert.isBelow(closed, 8000)
    }), 15_000)

  it.scopedLive("the next request on the connection is answered after a 400", () =>
    Effect.gen(function*() {
      const { port, state } = yield* serveRouter()
      const { error, replies } = yield* converse(port, [...whole("{"), ...whole(`{"name":1}`), ...whole(good)], {
        replies: 3
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(replies.map((reply) => reply.status), [400, 400, 200])
      assert.strictEqual(state.stored.length, 1)
    }))

  it.scopedLive("a client that waits for 100 Continue gets it, and then its answer", () =>
    Effect.gen(function*() {
      const { port } = yield* serveRouter()
      const expecting = (length: number) =>
        head({ "Content-Length": length, "Content-Type": json, Expect: "100-continue" })
      const fine = yield* converse(port, [expecting(good.length), { wait: 100 }, good], { replies: 1 })
      assert.deepStrictEqual(fine.replies.map((reply) => reply.status), [200])
      const large = yield* converse(port, [expecting(1e9)])
      assert.isUndefined(large.error)
      assert.deepStrictEqual(large.replies.map((reply) => reply.status), [413])
    }))

  for (const router of ["HttpApp", "HttpRouter"] as const) {
    it.scopedLive(`${router}: a client that leaves in the middle of its body ends the fiber, and nothing is stored`, () =>
      Effect.gen(function*() {
        const state = program()
        const port = yield* listen(routers[router].node(state, RequestBody.middleware))
        const start = head({ "Content-Length": good.length, "Content-Type": json })
        yield* converse(port, [start + good.slice(0, 20), { wait: 50 }, "destroy"])
        yield* ended(state)
        assert.strictEqual(state.exits.length, 1)
        assert.isTrue(Exit.isFailure(state.exits[0]!) && Cause.isInterruptedOnly(state.exits[0].cause))
        assert.deepStrictEqual(state.stored, [])
      }))
  }

  it.scopedLive("who reads a body that its client cut off is interrupted, also in a fiber that the client cannot end", () =>
    Effect.gen(function*() {
      for (const isLate of [false, true]) {
        const state = program()
        const left = yield* Deferred.make<void>()
        const detached = (isLate ? Effect.zipRight(Deferred.await(left), accounts(state)) : accounts(state)).pipe(
          Effect.forkDaemon,
          Effect.flatMap(Fiber.join)
        )
        const port = yield* listen(detached.pipe(RequestBody.middleware, HttpServer.serve()))
        const start = head({ "Content-Length": good.length, "Content-Type": json })
        yield* converse(port, [start + good.slice(0, 20), { wait: 50 }, "destroy"])
        yield* Effect.sleep("50 millis")
        yield* Deferred.succeed(left, void 0)
        yield* ended(state)
        assert.isTrue(Exit.isFailure(state.exits[0]!) && Cause.isInterruptedOnly(state.exits[0].cause))
      }
    }))

  it.scopedLive("a body without a declared length is cut at the limit, without waiting for its end", () =>
    Effect.gen(function*() {
      const { port } = yield* serveRouter()
      const { error, replies } = yield* converse(port, [
        head({ "Transfer-Encoding": "chunked", "Content-Type": json }),
        chunk("x".repeat(262_145))
      ])
      assert.isUndefined(error)
      assert.deepStrictEqual(replies.map((reply) => reply.status), [413])
    }))

  it.scopedLive("a refusal that nobody waits for any more ends the request", () =>
    Effect.gen(function*() {
      const left = yield* Deferred.make<void>()
      const closed = yield* Deferred.make<void>()
      const app = Effect.uninterruptible(
        Effect.addFinalizer(() => Deferred.succeed(closed, void 0)).pipe(
          Effect.zipRight(HttpServerRequest.HttpServerRequest),
          Effect.flatMap((request) => Effect.tapError(request.json, () => Deferred.await(left))),
          Effect.as(logout)
        )
      )
      const port = yield* listen(app.pipe(RequestBody.middleware, HttpServer.serve()))
      yield* converse(port, [...whole("{"), { wait: 50 }, "destroy"])
      yield* Effect.sleep("50 millis")
      yield* Deferred.succeed(left, void 0)
      yield* Deferred.await(closed).pipe(Effect.timeout("1 second"))
    }))

  it.scopedLive("a body with broken chunks is refused and stores nothing", () =>
    Effect.gen(function*() {
      const { port, state } = yield* serveRouter()
      const { replies } = yield* converse(port, [
        head({ "Transfer-Encoding": "chunked", "Content-Type": json }) + chunk(good.slice(0, 5)),
        { wait: 50 },
        "zz\r\n"
      ])
      yield* ended(state)
      assert.deepStrictEqual(replies.map((reply) => reply.status), [400])
      assert.deepStrictEqual(state.stored, [])
    }))
})

// -----------------------------------------------------------------------------
// What a handler sees
// -----------------------------------------------------------------------------

const post = (body: BodyInit | null, contentType = json, path = "/") =>
  new Request(`http://localhost${path}`, {
    method: "POST",
    body,
    headers: contentType === "" ? {} : { "content-type": contentType },
    ...(body instanceof ReadableStream && { duplex: "half" })
  } as RequestInit)

/** The app under the middleware, as a web handler. */
const answer = <E>(app: HttpApp.Default<E>, request: Request, options?: RequestBody.Options) =>
  Effect.promise(() => HttpApp.toWebHandler(RequestBody.make(options)(app))(request)).pipe(
    Effect.flatMap((response) =>
      Effect.map(Effect.promise(() => response.text()), (text) => ({ status: response.status, text, response }))
    )
  )

const handle = <A, E>(read: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<A, E>) =>
  Effect.map(
    Effect.flatMap(HttpServerRequest.HttpServerRequest, read),
    (value) => HttpServerResponse.unsafeJson(value)
  )

describe("RequestBody in a handler", () => {
  it.effect("without the bound on depth, brackets overflow the stack of Effect's formatter and are a 500", () =>
    Effect.gen(function*() {
      const body = `{"name":${"[".repeat(1e5)}${"]".repeat(1e5)},"password":"${secret}"}`
      const request = () => post(body, json, "/accounts")
      const bare = HttpApiBuilder.toWebHandler(
        Layer.mergeAll(HttpApiBuilder.api(Api).pipe(Layer.provide(accountsLive(program()))), HttpServer.layerContext)
      )
      const guarded = routers.HttpApiBuilder.web(program(), RequestBody.middleware)
      assert.strictEqual((yield* Effect.promise(() => bare.handler(request()))).status, 500)
      assert.strictEqual((yield* Effect.promise(() => guarded(request()))).status, 400)
    }))

  it.effect("64 levels are read", () =>
    Effect.gen(function*() {
      const body = "[".repeat(64) + "]".repeat(64)
      assert.strictEqual((yield* answer(handle((request) => request.json), post(body))).text, body)
    }))

  it.effect("keys that lead to a prototype are dropped wherever they stand, and other keys are kept", () =>
    Effect.gen(function*() {
      const Anything = Schema.Record({ key: Schema.String, value: Schema.Unknown })
      const body = `{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"name":"Ada",` +
        `"deep":[{"__proto__":{"admin":true},"constructor":"Ferrari"}]}`
      const seen: Array<Record<string, any>> = []
      const app = Effect.map(HttpServerRequest.schemaBodyJson(Anything), (value) => {
        seen.push(value, Object.assign({}, value))
        return HttpServerResponse.unsafeJson(value)
      })
      const { text } = yield* answer(app, post(body))
      assert.strictEqual(text, `{"name":"Ada","deep":[{"constructor":"Ferrari"}]}`)
      for (const value of seen) {
        assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
        assert.isUndefined(value["admin"])
        assert.isUndefined(value["deep"][0].admin)
      }
      assert.isUndefined(({} as Record<string, unknown>)["admin"])
    }))

  it.scopedLive("every accessor reads the same bytes, again and at once, on Node and on the web", () =>
    Effect.gen(function*() {
      const app = handle((request) =>
        Effect.all([
          request.json,
          request.text,
          Effect.map(request.arrayBuffer, (buffer) => [buffer instanceof ArrayBuffer, new Uint8Array(buffer).length]),
          Effect.map(Stream.runCollect(request.stream), (chunks) => Array.from(chunks, (bytes) => bytes.length)),
          request.json
        ], { concurrency: "unbounded" })
      )
      const value = JSON.parse(good)
      const expected = JSON.stringify([value, good, [true, good.length], [good.length], value])
      assert.strictEqual((yield* answer(app, post(good))).text, expected)
      const port = yield* listen(app.pipe(RequestBody.middleware, HttpServer.serve()))
      assert.strictEqual((yield* converse(port, whole(good), { replies: 1 })).replies[0]?.body, expected)
    }))

  it.scopedLive("a reader that was interrupted takes nothing from the next one", () =>
    Effect.gen(function*() {
      const app = handle((request) => Effect.zipRight(Effect.timeoutOption(request.json, "50 millis"), request.json))
      const port = yield* listen(app.pipe(RequestBody.middleware, HttpServer.serve()))
      const { replies } = yield* converse(
        port,
        [
          head({ "Content-Length": good.length, "Content-Type": json }) + good.slice(0, 9),
          { wait: 150 },
          good.slice(9)
        ],
        { replies: 1 }
      )
      assert.strictEqual(replies[0]?.body, good)
    }))

  it.effect("a body that the platform read before is read from there", () =>
    Effect.gen(function*() {
      const run = (options?: RequestBody.Options) => {
        const app = RequestBody.make(options)(handle((request) => request.json))
        const before = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          Effect.zipRight(request.text, app))
        return Effect.promise(() =>
          HttpApp.toWebHandler(before)(post(good))
        )
      }
      const response = yield* run()
      assert.strictEqual(yield* Effect.promise(() => response.text()), good)
      assert.strictEqual((yield* run({ limit: good.length - 1 })).status, 413)
    }))

  it.effect("a route under a prefix is judged too, since a modified request keeps the checks", () =>
    Effect.gen(function*() {
      const app = HttpRouter.empty.pipe(HttpRouter.mount("/deep", HttpRouter.prefixAll(httpRouter(program()), "/api")))
      assert.strictEqual((yield* answer(app, post("{", json, "/deep/api/accounts"))).status, 400)
      assert.strictEqual((yield* answer(app, post(good, "text/plain", "/deep/api/accounts"))).status, 415)
      assert.strictEqual((yield* answer(app, post(good, json, "/deep/api/accounts"))).status, 200)
    }))

  it.effect("a handler can catch what is wrong with the body", () =>
    Effect.gen(function*() {
      const app = handle((request) =>
        Effect.catchTag(request.json, "RequestError", (error) =>
          Effect.succeed({ own: error instanceof RequestBody.RequestBodyError && [error.status, error.description] }))
      )
      assert.strictEqual((yield* answer(app, post("{"))).text, `{"own":[400,"malformed JSON"]}`)
      assert.strictEqual(
        (yield* answer(app, post("{", "text/plain"))).text,
        `{"own":[415,"not of an accepted media type"]}`
      )
    }))

  it.effect("failures and defects that are not about a body pass untouched", () =>
    Effect.gen(function*() {
      class Mine extends Schema.TaggedError<Mine>()("Mine", {}) {}
      const upstream = new HttpClientError.RequestError({
        request: HttpClientRequest.get("http://other"),
        reason: "Transport"
      })
      const parseError = Effect.flip(Schema.decodeUnknown(Account)({}))
      const run = (app: HttpApp.Default<unknown>) => Effect.exit(RequestBody.middleware(app))
      const request = HttpServerRequest.fromWeb(post("{"))
      const exits = yield* Effect.all([
        run(Effect.fail(new Mine())),
        run(Effect.fail(upstream)),
        run(Effect.flatMap(parseError, Effect.die)),
        run(Effect.interrupt)
      ]).pipe(Effect.provideService(HttpServerRequest.HttpServerRequest, request))
      assert.deepStrictEqual(
        exits.map((exit) => Exit.isFailure(exit) && Cause.squash(exit.cause)),
        [new Mine(), upstream, yield* parseError, exits[3]!._tag === "Failure" && Cause.squash(exits[3].cause)]
      )
      assert.isTrue(Exit.isInterrupted(exits[3]!))
      assert.strictEqual((yield* answer(httpRouter(program()), post("{", json, "/nowhere"))).status, 404)
    }))

  it("what the middleware answers leaves the type of the failures, and the rest stays", () => {
    class Mine extends Schema.TaggedError<Mine>()("Mine", {}) {}
    const app: HttpApp.Default<Mine | HttpServerError.RequestError | ParseResult.ParseError> = Effect.fail(new Mine())
    const answered: HttpApp.Default<Mine> = RequestBody.middleware(app)
    // @ts-expect-error Type 'Mine' is not assignable to type 'never'
    const all: HttpApp.Default = RequestBody.middleware(app)
    assert.isTrue(Effect.isEffect(answered) && Effect.isEffect(all))
  })

  it.effect("415 names what is accepted", () =>
    Effect.gen(function*() {
      const { response } = yield* answer(handle((request) => request.text), post("x", "text/css"), {
        accept: ["application/json", "text/plain"]
      })
      assert.strictEqual(response.headers.get("accept"), "application/json, text/plain")
    }))

  it.effect("forms, texts and multipart are read when they are accepted, each by its own accessor only", () =>
    Effect.gen(function*() {
      const options = {
        accept: [json, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"],
        limit: 300
      }
      const form = "application/x-www-form-urlencoded"
      const reads = {
        json: handle((request) => request.json),
        form: handle((request) => request.urlParamsBody),
        text: handle((request) => request.text),
        multipart: handle((request) =>
          Effect.map(
            Stream.runCollect(request.multipartStream),
            (parts) => Array.from(parts, (part) => part._tag === "Field" && part.value)
          )
        )
      }
      assert.strictEqual((yield* answer(reads.form, post("a=1&__proto__=2", form), options)).text, `[["a","1"]]`)
      assert.strictEqual((yield* answer(reads.text, post("hello", "text/plain"), options)).text, `"hello"`)
      assert.strictEqual((yield* answer(reads.text, post(good, json), options)).status, 200)
      assert.strictEqual((yield* answer(reads.json, post(good, "text/plain"), options)).status, 415)
      assert.strictEqual((yield* answer(reads.json, post(good, form), options)).status, 415)
      assert.strictEqual((yield* answer(reads.form, post("a=1", "text/plain"), options)).status, 415)
      assert.strictEqual((yield* answer(reads.text, post("x".repeat(301), "text/plain"), options)).status, 413)
      assert.strictEqual((yield* answer(reads.form, post("x".repeat(301), form), options)).status, 413)
      const data = new FormData()
      data.set("a", "1")
      const multipart = () => new Request("http://localhost", { method: "POST", body: data })
      assert.strictEqual((yield* answer(reads.multipart, multipart(), options)).text, `["1"]`)
      assert.strictEqual((yield* answer(reads.multipart, post("x", "multipart/form-data"), options)).status, 400)
      assert.strictEqual((yield* answer(reads.multipart, multipart())).status, 415)
      assert.strictEqual((yield* answer(reads.multipart, post(null, "multipart/form-data"), options)).text, "[]")
      assert.strictEqual((yield* answer(reads.json, multipart(), options)).status, 415)
    }))

  it.scopedLive("multipart that is accepted and broken is a 400 on an HttpApi on Node, and what is whole is read", () =>
    Effect.gen(function*() {
      const options = { accept: [json, "multipart/form-data"] }
      const state = program()
      const port = yield* listen(routers.HttpApiBuilder.node(state, RequestBody.make(options)))
      const part = (name: string, value: string) =>
        `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
      const fine = part("name", "Ada") + part("password", secret)
      const bound = "multipart/form-data; boundary=b"
      const unreadable = `--b\r\nContent-Disposition: form-data; name="f"; filename*=UTF-8''%E0\r\n\r\nx\r\n--b--`
      for (
        const [body, contentType] of [
          [`${fine}--b--\r\n`, "multipart/form-data"],
          [`${fine}--b--\r\n`, "multipart/form-data; boundary=other"],
          [fine, bound],
          [`--b\r\n${secret}`, bound],
          [`--b\r\n${secret}\r\n--b--`, bound],
          [unreadable, bound],
          [`${part("name", "Ada")}--b--`, bound]
        ] as const
      ) {
        const { replies } = yield* converse(port, whole(body, contentType), { replies: 1 })
        assert.strictEqual(replies.length, 1, body)
        assertProblem({ ...replies[0]!, contentType: replies[0]?.headers["content-type"] }, 400, body)
      }
      const { replies } = yield* converse(port, whole(`${fine}--b--\r\n`, `${bound}; charset=utf-8`), { replies: 1 })
      assert.strictEqual(replies[0]?.body, `{"name":"Ada"}`)
      assert.strictEqual(state.stored.length, 1)
    }))

  it.effect("a middleware inside another decides with its own options", () =>
    Effect.gen(function*() {
      const inner = RequestBody.make({ limit: 20 })(handle((request) => request.json))
      assert.strictEqual((yield* answer(inner, post("123"))).text, "123")
      assert.strictEqual((yield* answer(inner, post(good))).status, 413)
    }))

  it.effect("what is printed of a request or of its failure holds no body", () =>
    Effect.gen(function*() {
      const printed: Array<string> = []
      const app = handle((request) =>
        Effect.zipRight(request.text, request.json).pipe(Effect.tapErrorCause((cause) =>
          Effect.sync(() =>
            printed.push(JSON.stringify(request), String(cause), JSON.stringify(cause), Cause.pretty(cause))
          )
        ))
      )
      yield* answer(app, post(`{"password":"${secret}"`))
      const fine = handle((request) =>
        Effect.map(request.json, () =>
          printed.push(JSON.stringify(request), String(request)))
      )
      yield* answer(fine, post(good))
      assert.strictEqual(printed.length, 6)
      for (const text of printed) {
        assert.notInclude(text, secret)
      }
    }))

  it.effect("a web body that breaks off is a 400, and one without an end is a 408 after 10 seconds", () =>
    Effect.gen(function*() {
      const broken = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) })
      assert.strictEqual((yield* answer(handle((request) => request.json), post(broken))).status, 400)

      let cancelled = false
      const endless = new ReadableStream({ cancel: () => void (cancelled = true) })
      const app = RequestBody.middleware(Effect.uninterruptible(handle((request) => request.json)))
      const fiber = yield* app.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(post(endless))),
        Effect.fork
      )
      yield* TestClock.adjust("9999 millis")
      assert.isNull(yield* Effect.map(Fiber.poll(fiber), (exit) => exit._tag === "Some" ? exit.value : null))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 408)
      assert.isTrue(cancelled)
    }))

  it.effect("a web body without a declared length is cut at the limit", () =>
    Effect.gen(function*() {
      let pulled = 0
      const endless = new ReadableStream({
        pull: (controller) => {
          pulled++
          controller.enqueue(new Uint8Array(65_536))
        }
      })
      assert.strictEqual((yield* answer(handle((request) => request.json), post(endless))).status, 413)
      assert.isBelow(pulled, 10)
    }))
})

// -----------------------------------------------------------------------------
// Arbitrary bodies
// -----------------------------------------------------------------------------

describe("RequestBody under arbitrary bodies", () => {
  const bytes = FastCheck.oneof(
    FastCheck.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
    FastCheck.json().map((text) => Buffer.from(text)),
    FastCheck.json({ noUnicodeString: false }).map((text) => Buffer.from(text.slice(0, -1))),
    FastCheck.record({ name: FastCheck.fullUnicodeString(), password: FastCheck.string16bits() }).map((value) =>
      Buffer.from(JSON.stringify(value))
    ),
    FastCheck.nat(3000).map((depth) => Buffer.from("[{\"a\":".repeat(depth)))
  )
  const contentType = FastCheck.oneof(
    FastCheck.constantFrom(
      json,
      "application/json; charset=utf-16",
      "application/problem+json",
      "text/plain",
      "multipart/form-data",
      "multipart/form-data; boundary=x",
      "application/x-www-form-urlencoded",
      "application/json, text/plain"
    ),
    FastCheck.stringOf(FastCheck.constantFrom(..."abc/;=+*, \"é"), { maxLength: 20 })
  )
  const framing = FastCheck.constantFrom("length", "chunked")

  for (const router of ["HttpRouter", "HttpApiBuilder", "HttpLayerRouter.addHttpApi"] as const) {
    it.scopedLive(`${router}: any bytes of any type get one answer below 500`, () =>
      Effect.gen(function*() {
        const port = yield* listen(routers[router].node(program(), RequestBody.middleware))
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(bytes, contentType, framing, async (body, type, framing) => {
              const steps: Array<Step> = framing === "length"
                ? [head({ "Content-Length": body.length, "Content-Type": type }), body]
                : [
                  head({ "Transfer-Encoding": "chunked", "Content-Type": type }),
                  ...(body.length === 0 ? [] : [`${body.length.toString(16)}\r\n`, body, "\r\n"]),
                  "0\r\n\r\n"
                ]
              const { error, replies } = await Effect.runPromise(converse(port, steps, { replies: 1 }))
              assert.isUndefined(error)
              assert.strictEqual(replies.length, 1)
              assert.include([200, 400, 415], replies[0]?.status)
            }),
            { numRuns: 350 }
          )
        )
      }))
  }

  it.effect("any damage to a multipart body that is accepted gets an answer below 500", () =>
    Effect.promise(() => {
      const bound = "multipart/form-data; boundary=b"
      const header = FastCheck.constantFrom(
        "Content-Disposition: form-data; name=\"a\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"f\"",
        "Content-Disposition: form-data; filename*=UTF-8''%E0",
        "Content-Disposition: form-data",
        "Content-Type: text/plain; charset=nonsense",
        "X"
      )
      const piece = FastCheck.oneof(
        header,
        FastCheck.constantFrom("--b", "--b--", "\r\n", "\r\n\r\n", "--", "b", "\r\n--b\r\n", "\r\n--b--\r\n"),
        FastCheck.string({ maxLength: 5 })
      )
      const handler = HttpApp.toWebHandler(
        RequestBody.make({ accept: ["multipart/form-data"] })(
          handle((request) => Effect.map(Stream.runCollect(request.multipartStream), (parts) => parts.length))
        )
      )
      return FastCheck.assert(
        FastCheck.asyncProperty(FastCheck.array(piece, { maxLength: 12 }), async (pieces) => {
          const response = await handler(post(pieces.join(""), bound))
          assert.include([200, 400], response.status)
        }),
        { numRuns: 1000 }
      )
    }))
})
