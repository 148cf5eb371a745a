import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import { hasProperty } from "effect/Predicate"

/**
 * Whether the client left: a web request that was aborted, a destroyed socket on Node. There the platform waits for a
 * callback when it writes a body, which never comes: the fiber and its finalizers would hang.
 */
export const isGone = ({ source }: HttpServerRequest): boolean =>
  hasProperty(source, "socket") && hasProperty(source.socket, "destroyed") && source.socket.destroyed === true ||
  hasProperty(source, "signal") && hasProperty(source.signal, "aborted") && source.signal.aborted === true
