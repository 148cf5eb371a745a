import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpRouter from "@effect/platform/HttpRouter"
import type { RouteNotFound } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hasProperty, isTagged } from "effect/Predicate"
import * as Exclusion from "../http/Exclusion.js"
import * as ResponseJar from "../http/ResponseJar.js"

/** What the gate asks of the backend in force, which is known only when a request comes. */
export interface Guarded<R> {
  readonly authenticate: Effect.Effect<unknown, unknown, R>
  readonly exclude: Effect.Effect<Exclusion.Exclusion, never, R>
}

type App = HttpApp.Default<any, any>

const isRouter = (app: App): app is HttpRouter.HttpRouter<any, any> => hasProperty(app, HttpRouter.TypeId)

/** Lets authenticated requests in, and those that `exclude` frees. */
export const make = <R>(backend: Guarded<R>) => (app: App): App =>
  isRouter(app) ? overRouter(backend, app) : overApp(backend, app)

const overApp = <R>({ authenticate, exclude }: Guarded<R>, app: App): App =>
  Effect.flatMap(exclude, (exclude) =>
    Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      (request) => Exclusion.includesRequest(exclude, request) ? app : Effect.zipRight(authenticate, app)
    ))

/**
 * The same router with the decision inside each route, where the route that was chosen is known, so that no spelling of
 * a path can reach a route under the name of another. `HttpRouter.use` would drop the options of mounts.
 */
const overRouter = <R>(backend: Guarded<R>, router: HttpRouter.HttpRouter<any, any>): App => {
  const { authenticate, exclude } = backend
  // By jar: a router hands on a request of its own, the jar stays the same.
  const routed = new WeakSet<ResponseJar.ResponseJar>()
  const enter = (request: HttpServerRequest.HttpServerRequest) => {
    routed.add(ResponseJar.get(request))
  }
  const routes = Chunk.map(router.routes, (route) =>
    HttpRouter.makeRoute(
      route.method,
      route.path,
      Effect.flatMap(exclude, (exclude) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          enter(request)
          return Exclusion.includesRoute(exclude, route, request)
            ? route.handler
            : Effect.zipRight(authenticate, route.handler)
        })),
      { prefix: Option.getOrUndefined(route.prefix), uninterruptible: route.uninterruptible }
    ))
  const gated = Chunk.reduce(
    router.mounts,
    HttpRouter.fromIterable<HttpRouter.Route<any, any>>(routes) as HttpRouter.HttpRouter<any, any>,
    (gated, [path, app, options]) =>
      HttpRouter.mountApp(
        gated,
        path as `/${string}`,
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          enter(request)
          return Effect.zipRight(authenticate, app)
        }),
        options
      )
  )
  return Effect.zipRight(
    warnOnce(exclude, router),
    Effect.catchIf(
      gated,
      (error): error is RouteNotFound => isTagged(error, "RouteNotFound"),
      // A route that was chosen may itself say that nothing is there.
      (error) =>
        Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) =>
            routed.has(ResponseJar.get(request))
              ? Effect.fail(error)
              : Effect.zipRight(authenticate, Effect.fail(error))
        )
    )
  )
}

const warnOnce = <R>(
  exclude: Effect.Effect<Exclusion.Exclusion, never, R>,
  router: HttpRouter.HttpRouter<any, any>
) => {
  const seen = new WeakSet<Exclusion.Exclusion>()
  return Effect.flatMap(exclude, (exclude) => {
    if (seen.has(exclude)) {
      return Effect.void
    }
    seen.add(exclude)
    const unknown = Exclusion.unknownEntries(exclude, router.routes)
    return unknown.length === 0
      ? Effect.void
      : Effect.logWarning(`exclude names no route of this router: ${unknown.join(", ")}`)
  })
}
