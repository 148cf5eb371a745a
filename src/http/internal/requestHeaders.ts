import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import { hasProperty, isFunction, isString } from "effect/Predicate"

/**
 * True when the client sent a header of this (lower case) name more than once. Node keeps only the first of some
 * repeated headers, `Authorization` and `Host` among them, so its raw list is asked where there is one; a web `Headers`
 * joins them with a comma, which no strict parser of ours accepts.
 */
export const isRepeated = (request: HttpServerRequest, name: string): boolean => {
  const source = request.source
  if (!hasProperty(source, "rawHeaders") || !Array.isArray(source.rawHeaders)) {
    return false
  }
  let seen = 0
  for (let i = 0; i < source.rawHeaders.length; i += 2) {
    const header: unknown = source.rawHeaders[i]
    if (isString(header) && header.length === name.length && header.toLowerCase() === name) {
      seen++
    }
  }
  return seen > 1
}

/**
 * A header as the client sent it, whatever a middleware made of the request since: `HttpMiddleware.xForwardedHeaders`
 * replaces `Host` by what the client claims.
 */
export const original = (request: HttpServerRequest, name: string): string | undefined => {
  const source = request.source
  if (hasProperty(source, "headers")) {
    const headers = source.headers
    if (hasProperty(headers, "get") && isFunction(headers.get)) {
      const value: unknown = headers.get(name)
      return isString(value) ? value : undefined
    }
    if (hasProperty(headers, name)) {
      const value = headers[name]
      return isString(value) ? value : undefined
    }
    return undefined
  }
  return request.headers[name]
}

/** True for a request that asks to become a WebSocket (RFC 6455 section 4.1). */
export const isWebSocketUpgrade = (request: HttpServerRequest): boolean => {
  const upgrade = original(request, "upgrade")
  return upgrade !== undefined && upgrade.split(",").some((token) => token.trim().toLowerCase() === "websocket")
}
