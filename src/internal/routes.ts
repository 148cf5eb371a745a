import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import type { HttpMethod as Method } from "@effect/platform/HttpMethod"
import * as HttpMethod from "@effect/platform/HttpMethod"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as Arr from "effect/Array"
import * as Chunk from "effect/Chunk"
import { hasProperty } from "effect/Predicate"
import type * as Exclusion from "../http/Exclusion.js"

/** A route and the ids of the Tags that protect it: what `SecurityConfig` shows of it. */
export interface Route {
  readonly method: Method | "*"
  readonly path: string
  readonly protectedBy: ReadonlyArray<string>
}

/**
 * Marks the Tag of a permission, which has no security scheme: it names the Tag of the backend whose users it is about.
 */
export const ProtectsTypeId = "~effect-security/protects" as const

// What an app is guarded by, outermost first. An app that is wrapped once more by somebody else is another one, of
// which nothing is known: it counts as public, and never the other way round.
const marks = new WeakMap<object, ReadonlyArray<string>>()

const markOf = (app: object): ReadonlyArray<string> => marks.get(app) ?? []

/** Notes that `guarded` lets only those through to `app` whom a Tag lets in. */
export const protectedBy = <A extends object>(tags: ReadonlyArray<string>, app: object, guarded: A): A => {
  marks.set(guarded, withTags(tags, markOf(app)))
  return guarded
}

const withTags = (outer: ReadonlyArray<string>, inner: ReadonlyArray<string>): ReadonlyArray<string> =>
  Array.from(new Set([...outer, ...inner]))

/** The routes of a router, mounted apps as `/prefix/*`. */
export const ofRouter = (router: HttpRouter.HttpRouter<any, any>): ReadonlyArray<Route> => [
  ...Chunk.toReadonlyArray(router.routes).map(({ handler, method, path }) => ({
    method,
    path: path as string,
    protectedBy: markOf(handler)
  })),
  ...Chunk.toReadonlyArray(router.mounts).map(([path, app]) => ({
    method: "*" as const,
    path: `${path}/*`,
    protectedBy: markOf(app)
  }))
]

/** The routes of a router behind the gate of a Tag. A route of every method may be freed for some of them only. */
export const gated = (
  tag: string,
  router: HttpRouter.HttpRouter<any, any>,
  exclude: Exclusion.Exclusion
): ReadonlyArray<Route> => {
  const mounts = router.mounts.length
  const all = ofRouter(router)
  return all.flatMap((route, index) => {
    const closed = { ...route, protectedBy: withTags([tag], route.protectedBy) }
    // A mounted app is never freed by the router that it is mounted on.
    if (index >= all.length - mounts) {
      return [closed]
    }
    if (route.method !== "*") {
      return [exclude.includes(route.method, route.path) ? route : closed]
    }
    const free = Array.from(HttpMethod.all).filter((method) => exclude.includes(method, route.path))
    return free.length === HttpMethod.all.size ? [route] : [...free.map((method) => ({ ...route, method })), closed]
  })
}

/** The Tags that a middleware of an api stands for. */
const tagsOf = (middleware: HttpApiMiddleware.TagClassAny): ReadonlyArray<string> =>
  middleware.optional
    ? []
    : hasProperty(middleware, ProtectsTypeId)
    ? [String(middleware[ProtectsTypeId]), middleware.key]
    : HttpApiMiddleware.SecurityTypeId in middleware
    ? [middleware.key]
    : []

/** The endpoints of an api, with the security middlewares that stand on them, their groups or the api. */
export const ofApi = (api: HttpApi.HttpApi.AnyWithProps): ReadonlyArray<Route> => {
  const routes: Array<Route> = []
  HttpApi.reflect(api as any, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint, middleware }) => {
      routes.push({
        method: endpoint.method,
        path: endpoint.path,
        // The platform wraps one after the other around the endpoint: the last stands outermost.
        protectedBy: withTags(
          Arr.reverse(api.middlewares).flatMap(tagsOf),
          Arr.reverse(middleware).flatMap(tagsOf)
        )
      })
    }
  })
  return routes
}
