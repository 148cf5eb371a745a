/**
 * Whether a request was made by the site itself: the defence against cross-site request forgery (OWASP ASVS 3.5) and
 * cross-site WebSocket hijacking. It needs no token and no state, only headers that a page cannot forge.
 *
 * @since 0.1.0
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as requestHeaders from "./internal/requestHeaders.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * - `trustedOrigins`: other origins whose pages may send unsafe requests, as `Origin` spells them
 *   (`https://app.example.com`); no wildcards, not `null`
 * - `origin`: this server's own origin as browsers see it, for servers behind a proxy that rewrites `Host`
 * - `requireOrigin`: refuse also unsafe requests that say nothing of where they come from, as no browser sends them
 *   (default false: they come from programs)
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly trustedOrigins?: ReadonlyArray<string> | undefined
  readonly origin?: string | undefined
  readonly requireOrigin?: boolean | undefined
}

/**
 * What the rule reads of a request. A header that was sent twice is given as something malformed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  readonly method: string
  readonly isWebSocket: boolean
  readonly origin: string | undefined
  readonly secFetchSite: string | undefined
  readonly host: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Verdict = "accepted" | "untrusted site" | "untrusted origin" | "malformed origin" | "no origin"

// -----------------------------------------------------------------------------
// Hosts
// -----------------------------------------------------------------------------

const defaultPorts: Readonly<Record<string, string>> = { http: "80", https: "443", ws: "80", wss: "443" }
const originPattern = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@\\\s,%]+)$/
const hostPattern = /^(\[[0-9A-Fa-f:.]+\]|[^:/?#@\\\s,%[\]]+)(?::([0-9]{1,5}))?$/

/** Canonical `host:port`, where a missing port is that of the scheme; undefined when malformed. */
const canonical = (hostAndPort: string, scheme: string): string | undefined => {
  const match = hostPattern.exec(hostAndPort)
  if (match === null || Number(match[2] ?? 0) > 65_535 || !URL.canParse(`http://${match[1]}/`)) {
    return undefined
  }
  const port = match[2] === undefined ? defaultPorts[scheme] ?? "" : String(Number(match[2]))
  return `${new URL(`http://${match[1]}/`).hostname}:${port}`
}

/**
 * True for a string that `Origin` headers can hold and that names one site: scheme, host and, unless it is the
 * default, port, in canonical form.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOrigin = (self: string): boolean => {
  const match = originPattern.exec(self)
  return match !== null && URL.canParse(self) &&
    (defaultPorts[match[1]!] === undefined || new URL(self).origin === self) && !self.includes("*")
}

// -----------------------------------------------------------------------------
// The rule
// -----------------------------------------------------------------------------

const isSafe = (method: string): boolean => method === "GET" || method === "HEAD" || method === "OPTIONS"

const fromOrigin = (request: Request, origin: string, options: Options): Verdict => {
  if (origin === options.origin) {
    return "accepted"
  }
  const match = originPattern.exec(origin)
  // The host of another scheme (`app://localhost`) is not that of a server.
  if (match !== null && !Object.hasOwn(defaultPorts, match[1]!)) {
    return "untrusted origin"
  }
  const theirs = match === null ? undefined : canonical(match[2]!, match[1]!)
  const ours = match === null || request.host === undefined ? undefined : canonical(request.host, match[1]!)
  if (theirs === undefined || ours === undefined) {
    return "malformed origin"
  }
  return theirs === ours ? "accepted" : "untrusted origin"
}

/**
 * The rule as a function of plain values. Safe methods are accepted, except WebSocket upgrades. Then a trusted `Origin`
 * decides, then `Sec-Fetch-Site` (`same-origin` and `none` are accepted, `same-site` is not), then the equality of
 * `Origin` and `Host`, schemes not compared. A request that has neither header comes from no browser.
 *
 * @since 0.1.0
 * @category predicates
 */
export const check = (request: Request, options: Options): Verdict => {
  if (isSafe(request.method) && !request.isWebSocket) {
    return "accepted"
  }
  if (request.origin !== undefined && options.trustedOrigins?.includes(request.origin) === true) {
    return "accepted"
  }
  if (request.secFetchSite !== undefined) {
    return request.secFetchSite === "same-origin" || request.secFetchSite === "none" ? "accepted" : "untrusted site"
  }
  if (request.origin !== undefined) {
    return fromOrigin(request, request.origin, options)
  }
  return options.requireOrigin === true ? "no origin" : "accepted"
}

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

const once = (request: HttpServerRequest, name: string): string | undefined =>
  requestHeaders.isRepeated(request, name) ? "," : requestHeaders.original(request, name)

const hostOf = (request: HttpServerRequest): string | undefined => {
  const host = once(request, "host")
  // A web handler may be given a request without a Host header: its URL is absolute then.
  return host === undefined && URL.canParse(request.originalUrl) ? new URL(request.originalUrl).host : host
}

/**
 * Applies the rule to a request as the client sent it: `X-Forwarded-*` headers, and what a middleware made of them, are
 * never read.
 *
 * @since 0.1.0
 * @category predicates
 */
export const checkRequest = (request: HttpServerRequest, options: Options): Verdict => {
  const isWebSocket = requestHeaders.isWebSocketUpgrade(request)
  return isSafe(request.method) && !isWebSocket ? "accepted" : check({
    method: request.method,
    isWebSocket,
    origin: once(request, "origin"),
    secFetchSite: once(request, "sec-fetch-site"),
    host: hostOf(request)
  }, options)
}
