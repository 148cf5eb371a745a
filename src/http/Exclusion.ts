/**
 * Which routes the app-wide gate leaves free. An entry names a route; it is no pattern that paths are matched against.
 *
 * @since 0.1.0
 */
import type { HttpMethod } from "@effect/platform/HttpMethod"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * `"/login"` or `"POST /login"`. Over an `HttpRouter` it equals a route's template, prefixes included
 * (`"/users/:id"`); over an opaque app it equals the path of the request, byte for byte.
 *
 * @since 0.1.0
 * @category models
 */
export type Entry = `/${string}` | `${HttpMethod} /${string}`

/**
 * @since 0.1.0
 * @category models
 */
export interface Exclusion {
  readonly entries: ReadonlyArray<Entry>
  readonly includes: (method: string, path: string) => boolean
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (entries: ReadonlyArray<Entry>): Exclusion => {
  const set = new Set<string>(entries)
  return { entries, includes: (method, path) => set.has(path) || set.has(`${method} ${path}`) }
}

// -----------------------------------------------------------------------------
// Matching
// -----------------------------------------------------------------------------

/**
 * What a route is called by: `method` is `*` for a route of every method.
 *
 * @since 0.1.0
 * @category models
 */
export interface Route {
  readonly method: string
  readonly path: string
}

/**
 * True when an entry names the route that the router chose. The method is the route's own, so that `"GET /page"` also
 * frees the HEAD request that the GET route serves; a route of every method takes that of the request.
 *
 * @since 0.1.0
 * @category predicates
 */
export const includesRoute = (self: Exclusion, route: Route, request: HttpServerRequest): boolean =>
  self.includes(route.method === "*" ? request.method : route.method, route.path)

/**
 * True when an entry equals the method and path of a request as the client spelled it, before any router changed it.
 *
 * @since 0.1.0
 * @category predicates
 */
export const includesRequest = (self: Exclusion, request: HttpServerRequest): boolean =>
  self.includes(request.method, originalPath(request))

// The absolute form of web handlers and proxies: the path begins after the authority. In another spelling of the
// scheme, and where no path follows, the platform's routers see no path: they choose a catch-all route, which is not
// free.
const authority = /^https?:\/\/[^/?#]*/

const originalPath = (request: HttpServerRequest): string => {
  const path = request.originalUrl.replace(authority, "")
  const query = path.indexOf("?")
  return query === -1 ? path : path.slice(0, query)
}

/**
 * The entries that name none of the routes: likely a typing error.
 *
 * @since 0.1.0
 * @category predicates
 */
export const unknownEntries = (self: Exclusion, routes: Iterable<Route>): ReadonlyArray<Entry> => {
  const known = new Set<string>()
  const anyMethod = new Set<string>()
  for (const route of routes) {
    known.add(route.path)
    known.add(`${route.method} ${route.path}`)
    if (route.method === "*") {
      anyMethod.add(route.path)
    }
  }
  return self.entries.filter((entry) => !known.has(entry) && !anyMethod.has(entry.slice(entry.indexOf(" ") + 1)))
}
