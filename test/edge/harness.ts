// One program, served as its author would serve it: on each router of the platform, by Node over a real socket and
// as a web handler. A client that can send exact bytes talks to both.
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApp,
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  HttpServerError,
  HttpServerRequest
} from "@effect/platform"
import type { HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Schedule } from "effect"
import type { Scope } from "effect"
import { SecurityError } from "effect-security"
import * as Http from "node:http"
import * as Net from "node:net"

// -----------------------------------------------------------------------------
// Programs
// -----------------------------------------------------------------------------

/** A Tag of the library, as far as this harness is concerned: any of them. */
export interface Guard {
  readonly protect: (self: Effect.Effect<any, any, any>) => Effect.Effect<any, any, any>
  readonly layerMiddleware: Layer.Layer<any, never, any>
}

export type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>

export interface Route {
  readonly method: "GET" | "POST"
  readonly path: `/${string}`
  readonly handler: Handler
  readonly guard?: Guard | undefined
}

export const get = (path: `/${string}`, handler: Handler, guard?: Guard): Route => ({
  method: "GET",
  path,
  handler,
  guard
})

export const post = (path: `/${string}`, handler: Handler, guard?: Guard): Route => ({
  method: "POST",
  path,
  handler,
  guard
})

const guarded = ({ guard, handler }: Route): Handler => guard === undefined ? handler : guard.protect(handler)

// -----------------------------------------------------------------------------
// Routers
// -----------------------------------------------------------------------------

export const httpApp = (routes: ReadonlyArray<Route>): HttpApp.Default<any, any> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const { pathname } = new URL(request.url, "http://host")
    const route = routes.find(({ method, path }) =>
      path === pathname && (method === request.method || method === "GET" && request.method === "HEAD")
    )
    return route === undefined ? Effect.fail(new HttpServerError.RouteNotFound({ request })) : guarded(route)
  })

export const httpRouter = (routes: ReadonlyArray<Route>): HttpRouter.HttpRouter<any, any> =>
  HttpRouter.fromIterable(routes.map((route) => HttpRouter.makeRoute(route.method, route.path, guarded(route))))

export const layerRouter = (routes: ReadonlyArray<Route>): Layer.Layer<never, never, any> =>
  Layer.mergeAll(
    Layer.empty,
    ...routes.map(({ guard, handler, method, path }) => {
      const route = HttpLayerRouter.add(method, path, handler)
      return guard === undefined ? route : Layer.provide(route, guard.layerMiddleware)
    })
  )

/** The name of a route's endpoint. */
export const endpointName = ({ method, path }: Route): string => `${method} ${path}`

/** Whatever the handlers fail with is declared, and their answers are whole responses. */
export const httpApi = (routes: ReadonlyArray<Route>): HttpApi.HttpApi.AnyWithProps => {
  const group: any = routes.reduce((group: any, route) => {
    const endpoint: any = HttpApiEndpoint.make(route.method)(endpointName(route), route.path)
      .addError(SecurityError.SecurityError)
      .addError(SecurityError.LoginError)
    return group.add(route.guard === undefined ? endpoint : endpoint.middleware(route.guard as any))
  }, HttpApiGroup.make("routes"))
  return HttpApi.make("api").add(group) as any
}

export const handlers = (
  api: HttpApi.HttpApi.AnyWithProps,
  routes: ReadonlyArray<Route>
): Layer.Layer<any, never, any> =>
  HttpApiBuilder.group(
    api as any,
    "routes" as never,
    (handlers: any) =>
      routes.reduce((handlers, route) => handlers.handleRaw(endpointName(route), () => route.handler), handlers)
  ) as any

export const httpApiLive = (routes: ReadonlyArray<Route>): Layer.Layer<HttpApi.Api, never, any> => {
  const api = httpApi(routes)
  return Layer.provide(HttpApiBuilder.api(api as any), handlers(api, routes))
}

/** Runs a whole app of a router inside a middleware that is given once, where that router takes it. */
export type Around = (app: HttpApp.Default<any, any>) => HttpApp.Default<any, any>

interface Router {
  readonly node: (routes: ReadonlyArray<Route>, around: Around | undefined) => Layer.Layer<never, any, any>
  readonly web: (
    routes: ReadonlyArray<Route>,
    around: Around | undefined,
    layer: Layer.Layer<never, any>
  ) => WebHandler
}

export interface WebHandler {
  readonly handler: (request: Request) => Promise<Response>
  readonly dispose: () => Promise<void>
}

const wrap = <A>(app: A, around: Around | undefined): A => around === undefined ? app : around(app as any) as A

const quiet = { disableLogger: true, disableListenLog: true }

/** An `HttpLayerRouter` takes what surrounds every route as a global middleware. */
const global = (around: Around | undefined): Layer.Layer<never, never, any> =>
  around === undefined ? Layer.empty : HttpLayerRouter.middleware(around as any, { global: true }) as any

/** An `HttpApi` takes it as a Layer. */
const apiMiddleware = (around: Around | undefined): Layer.Layer<never, never, any> =>
  around === undefined ? Layer.empty : HttpApiBuilder.middleware(around as any) as any

export const routers = {
  HttpApp: {
    node: (routes, around) => HttpServer.serve(wrap(httpApp(routes), around)) as any,
    web: (routes, around, layer) => HttpApp.toWebHandlerLayer(wrap(httpApp(routes), around), layer)
  },
  HttpRouter: {
    node: (routes, around) => HttpServer.serve(wrap(httpRouter(routes), around)) as any,
    web: (routes, around, layer) => HttpApp.toWebHandlerLayer(wrap(httpRouter(routes), around), layer)
  },
  HttpLayerRouter: {
    node: (routes, around) =>
      HttpLayerRouter.serve(Layer.provide(layerRouter(routes), global(around)) as any, quiet) as any,
    web: (routes, around, layer) =>
      HttpLayerRouter.toWebHandler(
        // Handlers take what they need from what the router's Layer gives.
        Layer.provide(layerRouter(routes), global(around)).pipe(Layer.provideMerge(layer)) as any,
        quiet
      ) as any
  },
  HttpApi: {
    node: (routes, around) =>
      HttpApiBuilder.serve().pipe(Layer.provide(apiMiddleware(around)), Layer.provide(httpApiLive(routes))) as any,
    web: (routes, around, layer) =>
      HttpApiBuilder.toWebHandler(
        Layer.mergeAll(httpApiLive(routes), apiMiddleware(around), HttpServer.layerContext).pipe(
          Layer.provideMerge(layer)
        ) as any
      )
  },
  "HttpLayerRouter.addHttpApi": {
    node: (routes, around) => {
      const api = httpApi(routes)
      return HttpLayerRouter.serve(
        HttpLayerRouter.addHttpApi(api as any).pipe(
          Layer.provide(handlers(api, routes)),
          Layer.provide(global(around))
        ) as any,
        quiet
      ) as any
    },
    web: (routes, around, layer) => {
      const api = httpApi(routes)
      return HttpLayerRouter.toWebHandler(
        HttpLayerRouter.addHttpApi(api as any).pipe(
          Layer.provide(handlers(api, routes)),
          Layer.provide(global(around)),
          Layer.provideMerge(layer),
          Layer.provide(HttpServer.layerContext)
        ) as any,
        quiet
      ) as any
    }
  }
} satisfies Record<string, Router>

export type RouterName = keyof typeof routers

export const routerNames = Object.keys(routers) as ReadonlyArray<RouterName>

export type Host = "Node" | "web"

export const hosts: ReadonlyArray<Host> = ["Node", "web"]

/** Every router on every host. */
export const surfaces: ReadonlyArray<readonly [RouterName, Host]> = routerNames.flatMap((router) =>
  hosts.map((host) => [router, host] as const)
)

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

export interface Reply {
  readonly status: number
  /** In lower case, joined by a comma, without `set-cookie`. */
  readonly headers: Readonly<Record<string, string>>
  readonly setCookies: ReadonlyArray<string>
  readonly body: string
}

const dechunk = (text: string): string => {
  const end = text.indexOf("\r\n")
  const size = Number.parseInt(text.slice(0, end), 16)
  return size > 0 ? text.slice(end + 2, end + 2 + size) + dechunk(text.slice(end + 2 + size + 2)) : ""
}

const parseReply = (text: string): Reply => {
  const end = text.indexOf("\r\n\r\n")
  const [first = "", ...lines] = text.slice(0, end).split("\r\n")
  const headers: Record<string, string> = {}
  const setCookies: Array<string> = []
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(":")).toLowerCase()
    const value = line.slice(line.indexOf(":") + 1).trim()
    if (name === "set-cookie") {
      setCookies.push(value)
    } else {
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
    }
  }
  const body = text.slice(end + 4)
  return {
    status: Number(first.split(" ")[1]),
    headers,
    setCookies,
    body: headers["transfer-encoding"] === "chunked" ? dechunk(body) : body
  }
}

const fromWeb = async (response: Response): Promise<Reply> => {
  const headers = Object.fromEntries(response.headers)
  delete headers["set-cookie"]
  return {
    status: response.status,
    headers,
    setCookies: response.headers.getSetCookie(),
    body: await response.text()
  }
}

/** `name=value` of the one cookie that an answer sets, as a client sends it back. */
export const cookieOf = (reply: Reply): string => {
  assert.lengthOf(reply.setCookies, 1, "one cookie is set")
  return reply.setCookies[0]!.split(";")[0]!
}

export const isClearing = (setCookie: string): boolean =>
  /^[^=]+=;/.test(setCookie) && setCookie.includes("Max-Age=0") && setCookie.includes("1970")

// -----------------------------------------------------------------------------
// Servers
// -----------------------------------------------------------------------------

export interface Init {
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: string | undefined
}

export interface Server {
  readonly send: (path: string, init?: Init) => Effect.Effect<Reply>
  readonly fetch: typeof globalThis.fetch
  readonly baseUrl: string
  /** What was logged while requests were served. */
  readonly logs: ReadonlyArray<string>
}

export interface NodeServer extends Server {
  readonly port: number
  /** Sends bytes and reads until the server closes. */
  readonly raw: (bytes: string) => Effect.Effect<Reply>
  /** Sends bytes and goes on; the connection ends with the scope, or when it is told to. */
  readonly connect: (bytes: string) => Effect.Effect<Connection, never, Scope.Scope>
  /** The server has seen every connection end. */
  readonly abandoned: Effect.Effect<void>
}

export interface WebServer extends Server {
  readonly handler: (request: Request) => Promise<Response>
}

export interface Connection {
  readonly abort: Effect.Effect<void>
  /** What has come until the text is there, or the connection has ended. */
  readonly until: (text: string) => Effect.Effect<string>
  readonly write: (bytes: string) => Effect.Effect<void>
}

/** Runs as a program of its own: nothing that a Layer leaves in fiber refs gets into the test. */
const separately = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A> => Effect.promise(() => Effect.runPromise(self))

const capture = (logs: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ cause, logLevel, message }) => {
      logs.push(`${logLevel.label} ${[message].flat().map(String).join(" ")} ${cause._tag === "Empty" ? "" : cause}`)
    })
  )

const limit = 5_000

const within = <A>(what: string, f: (resolve: (a: A) => void, reject: (e: Error) => void) => () => void) =>
  Effect.async<A>((resume) => {
    const timer = setTimeout(() => {
      stop()
      resume(Effect.dieMessage(`${what} took longer than ${limit} ms`))
    }, limit)
    const finish = (effect: Effect.Effect<A>) => {
      clearTimeout(timer)
      stop()
      resume(effect)
    }
    const stop = f((a) => finish(Effect.succeed(a)), (error) => finish(Effect.die(error)))
    return Effect.sync(() => {
      clearTimeout(timer)
      stop()
    })
  })

/** The text of a request: the header is latin1, and nothing is added but what HTTP needs. */
export const requestText = (target: string, init: Init = {}): string => {
  const body = init.body ?? ""
  const headers: Record<string, string> = {
    host: "localhost",
    connection: "close",
    ...(body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) }),
    ...init.headers
  }
  return `${init.method ?? "GET"} ${target} HTTP/1.1\r\n` +
    Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("") + `\r\n${body}`
}

const rawTo = (port: number) => (bytes: string): Effect.Effect<Reply> =>
  within("the answer", (resolve, reject) => {
    const socket = Net.connect({ port, host: "127.0.0.1" })
    let text = ""
    socket.on("connect", () => socket.write(Buffer.from(bytes, "latin1")))
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1")
    })
    socket.on("error", (error) => text === "" ? reject(error) : undefined)
    socket.on("close", () => text === "" ? reject(new Error("no answer")) : resolve(parseReply(text)))
    return () => socket.destroy()
  })

const connectTo = (port: number) => (bytes: string): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly socket: Net.Socket; readonly text: () => string }>((resume) => {
        const socket = Net.connect({ port, host: "127.0.0.1" })
        let text = ""
        socket.on("error", () => {})
        socket.on("data", (chunk) => {
          text += chunk.toString("latin1")
        })
        socket.on("connect", () =>
          socket.write(
            Buffer.from(bytes, "latin1"),
            () => resume(Effect.succeed({ socket, text: () => text }))
          ))
      }),
      ({ socket }) => Effect.sync(() => socket.destroy())
    ),
    ({ socket, text }) => ({
      abort: within("closing", (resolve) => {
        socket.on("close", () => resolve(undefined))
        socket.resetAndDestroy()
        return () => {}
      }),
      write: (bytes) => Effect.sync(() => void socket.write(Buffer.from(bytes, "latin1"))),
      until: (expected) =>
        within(`"${expected}"`, (resolve) => {
          const look = () => text().includes(expected) || socket.destroyed ? resolve(text()) : undefined
          socket.on("data", look)
          socket.on("close", look)
          look()
          return () => {
            socket.off("data", look)
            socket.off("close", look)
          }
        })
    })
  )

/** Serves a Layer that needs an `HttpServer` on a port of its own. */
export const listen = (
  app: Layer.Layer<never, any, any>,
  layer: Layer.Layer<never, any, any>
): Effect.Effect<NodeServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const logs: Array<string> = []
    const server = Http.createServer()
    const sockets = new Set<Net.Socket>()
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    yield* separately(
      Layer.buildWithScope(
        app.pipe(
          Layer.provide(layer),
          Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })),
          Layer.provide(capture(logs))
        ) as Layer.Layer<never>,
        scope
      )
    )
    // The server's own finalizer waits for its connections; this one runs before it.
    yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
    const { port } = server.address() as Net.AddressInfo
    const raw = rawTo(port)
    return {
      port,
      raw,
      connect: connectTo(port),
      abandoned: eventually(Effect.sync(() => sockets.size), (size) => size === 0),
      send: (path, init) => raw(requestText(path, init)),
      fetch: (input, init) => fetch(input, init),
      baseUrl: `http://127.0.0.1:${port}`,
      logs
    }
  })

/** A web handler that is disposed of with the scope. Its Layer has to be built over the one that it is given. */
export const webServer = (
  make: (logged: Layer.Layer<never>) => WebHandler
): Effect.Effect<WebServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const logs: Array<string> = []
    const { handler } = yield* Effect.acquireRelease(
      Effect.sync(() => make(capture(logs))),
      ({ dispose }) => Effect.promise(dispose)
    )
    return {
      handler,
      send: (path, { body, ...init } = {}) =>
        Effect.promise(() =>
          handler(
            new Request(`http://localhost${path}`, {
              ...init,
              ...(body === undefined ? {} : { body })
            } as RequestInit)
          ).then(fromWeb)
        ),
      fetch: (input, init) => handler(new Request(input, init)),
      baseUrl: "http://localhost",
      logs
    }
  })

/** An app, for what no router is: on Node, as `HttpServer.serve` takes it, with its own middleware if it is given one. */
export const serveApp = (
  app: HttpApp.Default<any, any>,
  layer: Layer.Layer<never, any, any>,
  middleware?: Around
): Effect.Effect<NodeServer, never, Scope.Scope> =>
  listen((middleware === undefined ? HttpServer.serve(app) : HttpServer.serve(app, middleware)) as any, layer)

export const webApp = (
  app: HttpApp.Default<any, any>,
  layer: Layer.Layer<never, any>,
  middleware?: Around
): Effect.Effect<WebServer, never, Scope.Scope> =>
  webServer((logged) => HttpApp.toWebHandlerLayer(app, Layer.provideMerge(layer, logged), middleware && { middleware }))

/** The same app on either host. */
export const app = (
  host: Host,
  app: HttpApp.Default<any, any>,
  layer: Layer.Layer<never, any>,
  middleware?: Around
): Effect.Effect<Server, never, Scope.Scope> =>
  host === "Node" ? serveApp(app, layer, middleware) : webApp(app, layer, middleware)

/** A program on one router, on Node. */
export const onNode = (
  router: RouterName,
  routes: ReadonlyArray<Route>,
  layer: Layer.Layer<never, any, any>,
  around?: Around
): Effect.Effect<NodeServer, never, Scope.Scope> => listen(routers[router].node(routes, around), layer)

/** A program on one router, as a web handler. */
export const onWeb = (
  router: RouterName,
  routes: ReadonlyArray<Route>,
  layer: Layer.Layer<never, any>,
  around?: Around
): Effect.Effect<WebServer, never, Scope.Scope> =>
  webServer((logged) => routers[router].web(routes, around, Layer.provideMerge(layer, logged)))

/** A program on one router and one host. */
export const serve = (
  [router, host]: readonly [RouterName, Host],
  routes: ReadonlyArray<Route>,
  layer: Layer.Layer<never, any>,
  around?: Around
): Effect.Effect<Server, never, Scope.Scope> =>
  host === "Node" ? onNode(router, routes, layer, around) : onWeb(router, routes, layer, around)

/** Serves an HttpApi on Node in both ways, with its document. */
export const bothApis = (api: any, live: Layer.Layer<any, never, any>, layer: Layer.Layer<never, any, any>) =>
  Effect.all({
    HttpApiBuilder: listen(
      HttpApiBuilder.serve().pipe(
        Layer.provide(HttpApiBuilder.middlewareOpenApi()),
        Layer.provide(HttpApiBuilder.api(api)),
        Layer.provide(live)
      ) as any,
      layer
    ),
    addHttpApi: listen(
      HttpLayerRouter.serve(
        Layer.provide(HttpLayerRouter.addHttpApi(api, { openapiPath: "/openapi.json" }), live) as any,
        { disableLogger: true, disableListenLog: true }
      ),
      layer
    )
  })

// -----------------------------------------------------------------------------
// Waiting
// -----------------------------------------------------------------------------

/** A handler that says when it was reached and waits until it may go on. */
export const gate = Effect.map(
  Effect.all([Deferred.make<void>(), Deferred.make<void>()]),
  ([reached, open]) => ({
    reached: Deferred.await(reached),
    open: Deferred.succeed(open, undefined),
    pass: Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(open))
  })
)

/** Looks again until it holds, since what happens after an answer is not seen by a client. */
export const eventually = <A>(self: Effect.Effect<A>, holds: (a: A) => boolean): Effect.Effect<void> =>
  Effect.flatMap(self, (a) => holds(a) ? Effect.void : Effect.fail(a)).pipe(
    Effect.retry({ times: 300, schedule: Schedule.spaced("10 millis") }),
    Effect.catchAll((a) => Effect.dieMessage(`it stayed ${JSON.stringify(a)}`))
  )
