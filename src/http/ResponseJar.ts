/**
 * What authentication has to say in the response of one request: cookies and headers that grant a credential, cookies
 * that end one, and the headers `WWW-Authenticate`, `Cache-Control`, `Vary` and `Retry-After`. The jar belongs to the
 * request, not to a fiber, so that forks and parallel fibers write into the same one; a handler that every security
 * Layer installs writes it into the response, on every router.
 *
 * @since 0.1.0
 */
import type * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpApp from "@effect/platform/HttpApp"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import { hasProperty, isObject } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as problem from "../internal/problem.js"
import { isGone } from "./internal/connection.js"
import * as requestHeaders from "./internal/requestHeaders.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * A cookie that grants a credential. It is sent when the response's status is below 400. Otherwise it is not, and
 * `undo` runs when the request is over. A grant with `always` is sent whatever the status.
 *
 * @since 0.1.0
 * @category models
 */
export interface Grant {
  readonly cookie: Redacted.Redacted<Cookies.Cookie>
  readonly undo: Effect.Effect<void>
  readonly always: boolean
}

/**
 * A header of the response that grants a bearer credential, under the same rule: `value` is the whole of it, `Bearer`
 * and the token, which the rest of the request is asked about.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeaderGrant {
  /** Who grants it, and alone reads it back in the rest of the request. */
  readonly owner: object
  readonly value: Redacted.Redacted
  readonly undo: Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ResponseJar {
  /** Header names for `Vary`. */
  readonly vary: Set<string>
  /** By cookie name; a name is either in `grants` or in `clears`. */
  readonly grants: Map<string, Grant>
  readonly clears: Map<string, Cookies.Cookie>
  /** By the name of the header, in lower case. */
  readonly headers: Map<string, HeaderGrant>
  /** The credential that a cookie has since this request changed it; null when it was cleared. */
  readonly credentials: Map<string, Redacted.Redacted | null>
  /** Cookies that were cleared since what the request had in them was refused: it had something in them. */
  readonly refused: Set<string>
  /** What a header would have to say to a backend since this request changed it; null for nothing. */
  readonly headerCredentials: WeakMap<object, Redacted.Redacted | null>
  /** Which backend a cookie belongs to, by the id of its Tag. */
  readonly owners: Map<string, string>
  /** What each backend has found out about this request. */
  readonly remembered: WeakMap<object, unknown>
  /** `WWW-Authenticate` for a 401 that says nothing of its own. */
  challenge: string | undefined
  /** The same for a 403. */
  scopeChallenge: string | undefined
  /** The response shows what one user may see. */
  isPrivate: boolean
  /** The headers are on their way. */
  isSent: boolean
  status: number
  willUndo: boolean
}

/**
 * A credential was to be written after the response had started, or on a WebSocket upgrade, where no cookie can be set
 * any more. It is a defect; where it can still be answered, the answer is 400.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResponseAlreadySent extends Data.TaggedError("ResponseAlreadySent") {
  override get message(): string {
    return "no cookie can be set any more: the response has started, or the request is a WebSocket upgrade"
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response({ _tag: "BadRequest", title: "Bad Request", status: 400 }))
  }
}

// -----------------------------------------------------------------------------
// The jar of a request
// -----------------------------------------------------------------------------

const jars = new WeakMap<object, ResponseJar>()

// `modify` makes new request objects; what they were made from stays the same.
const keyOf = (request: HttpServerRequest): object => isObject(request.source) ? request.source : request

/**
 * @since 0.1.0
 * @category accessors
 */
export const get = (request: HttpServerRequest): ResponseJar => {
  const key = keyOf(request)
  let jar = jars.get(key)
  if (jar === undefined) {
    jar = {
      vary: new Set(),
      grants: new Map(),
      clears: new Map(),
      headers: new Map(),
      credentials: new Map(),
      refused: new Set(),
      headerCredentials: new WeakMap(),
      owners: new Map(),
      remembered: new WeakMap(),
      challenge: undefined,
      scopeChallenge: undefined,
      isPrivate: false,
      isSent: false,
      status: 0,
      willUndo: false
    }
    jars.set(key, jar)
  }
  return jar
}

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

/**
 * Whether a cookie can still be set: not when the response has left, and not on a WebSocket upgrade.
 *
 * @since 0.1.0
 * @category writing
 */
export const isWritable = (request: HttpServerRequest): boolean => !get(request).isSent && !isUpgrade(request)

/**
 * Dies with `ResponseAlreadySent` where a cookie would be lost.
 *
 * @since 0.1.0
 * @category writing
 */
export const assertWritable = (request: HttpServerRequest): Effect.Effect<void> =>
  Effect.suspend(() => isWritable(request) ? Effect.void : Effect.die(new ResponseAlreadySent()))

// Node marks the requests that it handed to the upgrade listener; a header alone upgrades nothing there.
const isUpgrade = (request: HttpServerRequest): boolean =>
  requestHeaders.isWebSocketUpgrade(request) &&
  (!hasProperty(request.source, "upgrade") || request.source.upgrade === true)

/**
 * Puts a grant into the jar. A grant of the same cookie that it replaces is undone, so that of several sign-ins at once
 * one credential remains. Dies with `ResponseAlreadySent`, undoing the grant, when the response has left meanwhile.
 *
 * @since 0.1.0
 * @category writing
 */
export const grant = (request: HttpServerRequest, grant: Grant): Effect.Effect<void> =>
  Effect.suspend(() => {
    const jar = get(request)
    const { name, value } = Redacted.value(grant.cookie)
    if (jar.isSent) {
      return Effect.zipRight(grant.undo, Effect.die(new ResponseAlreadySent()))
    }
    const replaced = jar.grants.get(name)
    jar.vary.add("Cookie")
    jar.clears.delete(name)
    jar.grants.set(name, grant)
    jar.refused.delete(name)
    jar.credentials.set(name, Redacted.make(value))
    return replaced?.undo ?? Effect.void
  })

/**
 * Puts the clearing of a cookie into the jar. A grant of the same cookie that it replaces is undone.
 *
 * @since 0.1.0
 * @category writing
 */
export const clear = (request: HttpServerRequest, cookie: Cookies.Cookie): Effect.Effect<void> =>
  Effect.suspend(() => {
    const jar = get(request)
    const replaced = jar.grants.get(cookie.name)
    jar.vary.add("Cookie")
    jar.grants.delete(cookie.name)
    jar.clears.set(cookie.name, cookie)
    jar.credentials.set(cookie.name, null)
    return replaced?.undo ?? Effect.void
  })

/**
 * Puts a header that grants a credential into the jar, as `grant` does a cookie.
 *
 * @since 0.1.0
 * @category writing
 */
export const grantHeader = (
  request: HttpServerRequest,
  header: string,
  grant: HeaderGrant
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const jar = get(request)
    const name = header.toLowerCase()
    if (jar.isSent) {
      return Effect.zipRight(grant.undo, Effect.die(new ResponseAlreadySent()))
    }
    const replaced = jar.headers.get(name)
    jar.vary.add(header)
    jar.headers.set(name, grant)
    jar.headerCredentials.set(grant.owner, grant.value)
    return replaced?.undo ?? Effect.void
  })

/**
 * Takes back what a header of the response would have granted for `owner`, for whom the rest of the request has none.
 *
 * @since 0.1.0
 * @category writing
 */
export const clearHeader = (request: HttpServerRequest, header: string, owner: object): Effect.Effect<void> =>
  Effect.suspend(() => {
    const jar = get(request)
    const name = header.toLowerCase()
    const granted = jar.headers.get(name)
    jar.vary.add(header)
    jar.headerCredentials.set(owner, null)
    if (granted?.owner !== owner) {
      return Effect.void
    }
    jar.headers.delete(name)
    return granted.undo
  })

// -----------------------------------------------------------------------------
// Committing
// -----------------------------------------------------------------------------

const setCookie = (response: HttpServerResponse.HttpServerResponse, cookie: Cookies.Cookie) =>
  HttpServerResponse.unsafeSetCookie(response, cookie.name, cookie.value, cookie.options)

const withVary = (response: HttpServerResponse.HttpServerResponse, names: Iterable<string>) => {
  const present = response.headers["vary"]
  const tokens = present === undefined ? [] : present.split(",").map((token) => token.trim()).filter((_) => _ !== "")
  const known = new Set(tokens.map((token) => token.toLowerCase()))
  for (const name of names) {
    if (!known.has("*") && !known.has(name.toLowerCase())) {
      tokens.push(name)
    }
  }
  return tokens.length === 0 ? response : HttpServerResponse.setHeader(response, "vary", tokens.join(", "))
}

// The platform can only set headers.
const withoutHeader = (response: HttpServerResponse.HttpServerResponse, name: string) =>
  Object.assign(Object.create(Object.getPrototypeOf(response)) as HttpServerResponse.HttpServerResponse, response, {
    headers: Headers.remove(response.headers, name)
  })

// `HttpApi` encodes a failure without headers; its body says what it is.
const problemOf = ({ body }: HttpServerResponse.HttpServerResponse): string =>
  body._tag === "Uint8Array" && body.contentType === problem.contentType ? new TextDecoder().decode(body.body) : ""

const retryAfter = (response: HttpServerResponse.HttpServerResponse): string | undefined =>
  /"retryAfter":(\d+)/.exec(problemOf(response))?.[1]

const isPermissionDenied = (response: HttpServerResponse.HttpServerResponse): boolean =>
  problemOf(response).includes(`"_tag":"PermissionDenied"`)

/**
 * Writes a jar into a response. It can run several times for one request, and a later run, which sees the status that
 * is really sent, takes back a grant that an earlier one let pass. `status` is given where the response does not tell.
 *
 * @since 0.1.0
 * @category committing
 */
export const commit = (
  self: ResponseJar,
  response: HttpServerResponse.HttpServerResponse,
  status: number = response.status
): HttpServerResponse.HttpServerResponse => {
  const isRefusal = status === 401 || status === 403
  let out = response
  let writes = false
  for (const cookie of self.clears.values()) {
    out = setCookie(out, cookie)
    writes = true
  }
  for (const [name, { always, cookie }] of self.grants) {
    if (always || status < 400) {
      out = setCookie(out, Redacted.value(cookie))
      writes = true
    } else {
      out = HttpServerResponse.removeCookie(out, name)
    }
  }
  for (const [name, { value }] of self.headers) {
    if (status < 400) {
      out = HttpServerResponse.setHeader(out, name, Redacted.value(value))
      writes = true
    } else if (out.headers[name] === Redacted.value(value)) {
      out = withoutHeader(out, name)
    }
  }
  const needsChallenge = status === 401 && out.headers["www-authenticate"] === undefined
  // A refusal of the application's own, that no backend was asked about, is taken for one of a cookie.
  const isOwn = needsChallenge ? self.challenge === undefined : isRefusal && self.vary.size === 0
  out = withVary(out, isOwn ? [...self.vary, "Cookie"] : self.vary)
  if (needsChallenge) {
    out = HttpServerResponse.setHeader(out, "www-authenticate", self.challenge ?? "Cookie")
  }
  if (
    status === 403 && self.scopeChallenge !== undefined && out.headers["www-authenticate"] === undefined &&
    isPermissionDenied(out)
  ) {
    out = HttpServerResponse.setHeader(out, "www-authenticate", self.scopeChallenge)
  }
  const seconds = status === 429 || status === 503 ? retryAfter(out) : undefined
  if (seconds !== undefined && out.headers["retry-after"] === undefined) {
    out = HttpServerResponse.setHeader(out, "retry-after", seconds)
  }
  if (
    (self.isPrivate || isRefusal || writes || seconds !== undefined) && out.headers["cache-control"] === undefined
  ) {
    out = HttpServerResponse.setHeader(out, "cache-control", "no-store")
  }
  return out
}

// A web handler sends a raw `Response` as it is, status and all.
const statusOf = (request: HttpServerRequest, response: HttpServerResponse.HttpServerResponse): number =>
  response.body._tag === "Raw" && response.body.body instanceof Response && request.source instanceof Request
    ? response.body.body.status
    : response.status

// On Node: the headers are with the client, whatever becomes of the rest of a stream.
const hasLeft = (request: HttpServerRequest): boolean =>
  hasProperty(request, "response") && hasProperty(request.response, "headersSent") &&
  request.response.headersSent === true

const undo = (jar: ResponseJar) =>
  Effect.suspend(() => {
    if (jar.status < 400) {
      return Effect.void
    }
    const withheld = [...Array.from(jar.grants.values()).filter((grant) => !grant.always), ...jar.headers.values()]
    return Effect.forEach(withheld, (grant) =>
      Effect.zipRight(
        Effect.logInfo(`a credential was granted, but the response became ${jar.status}: it is undone`),
        grant.undo
      ), { discard: true })
  })

const handler: HttpApp.PreResponseHandler = (request, response) =>
  Effect.flatMap(Effect.context<never>(), (context) => {
    if (hasLeft(request)) {
      return Effect.succeed(response)
    }
    const jar = get(request)
    jar.isSent = true
    if (isGone(request)) {
      jar.status = 499
      // Not by a finalizer: on Node the answer to a HEAD request never comes to its end on a dead socket.
      return Effect.as(Effect.forkDaemon(undo(jar)), HttpServerResponse.empty({ status: 499 }))
    }
    jar.status = statusOf(request, response)
    const out = commit(jar, response, jar.status)
    if (jar.grants.size + jar.headers.size === 0 || jar.willUndo) {
      return Effect.succeed(out)
    }
    jar.willUndo = true
    return Option.match(Context.getOption(context as Context.Context<Scope.Scope>, Scope.Scope), {
      onNone: () => Effect.succeed(out),
      onSome: (scope) => Effect.as(Scope.addFinalizer(scope, undo(jar)), out)
    })
  })

// -----------------------------------------------------------------------------
// Installing
// -----------------------------------------------------------------------------

const installed = Symbol.for("effect-security/http/ResponseJar/installed")

/**
 * Makes every response of the fibers that inherit from this one pass through its jar, after the handlers that were
 * registered before: the jar sees the last status, and no other middleware overwrites `Vary`. Installing twice is
 * installing once.
 *
 * @since 0.1.0
 * @category installing
 */
export const install: Effect.Effect<void> = FiberRef.update(
  HttpApp.currentPreResponseHandlers,
  (current): Option.Option<HttpApp.PreResponseHandler> => {
    if (Option.isNone(current)) {
      return Option.some(Object.assign(((request, response) => handler(request, response)) as typeof handler, {
        [installed]: true
      }))
    }
    if (installed in current.value) {
      return current
    }
    const composed: HttpApp.PreResponseHandler = (request, response) =>
      Effect.flatMap(current.value(request, response), (response) => handler(request, response))
    return Option.some(Object.assign(composed, { [installed]: true }))
  }
)

/**
 * Installs once more when `self` ends, behind all the handlers that it has registered.
 *
 * @since 0.1.0
 * @category installing
 */
export const installLast = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onExit(self, () => install)
