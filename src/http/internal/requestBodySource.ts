import * as HttpBody from "@effect/platform/HttpBody"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { hasProperty, isFunction, isObject } from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as requestHeaders from "./requestHeaders.js"

/** Why the bytes of a body cannot be had. `Gone` is a client that left: there is nobody to answer. */
export type Failure = "TooLarge" | "Late" | "Unreadable" | "Gone"

// -----------------------------------------------------------------------------
// The two kinds of source, by their structure: this module is browser-safe
// -----------------------------------------------------------------------------

/** What is used of a Node `IncomingMessage`. */
interface NodeSource {
  readonly complete: boolean
  readonly destroyed: boolean
  readonly readableEnded: boolean
  readonly socket: { readonly destroyed: boolean; readonly bytesRead: number }
  readonly on: (event: string, listener: (chunk: Uint8Array) => void) => void
  readonly off: (event: string, listener: (chunk: Uint8Array) => void) => void
  readonly resume: () => void
}

const isNode = (source: unknown): source is NodeSource =>
  hasProperty(source, "resume") && isFunction(source.resume) &&
  hasProperty(source, "on") && isFunction(source.on) && hasProperty(source, "socket") && isObject(source.socket)

const isWeb = (source: unknown): source is Request =>
  hasProperty(source, "bodyUsed") && hasProperty(source, "signal") && hasProperty(source, "arrayBuffer")

/** Whether the request has a body at all (RFC 9112 section 6.3; a web `Request` says it itself). */
export const isPresent = (request: HttpServerRequest): boolean =>
  isWeb(request.source)
    ? request.source.body != null
    : requestHeaders.original(request, "transfer-encoding") !== undefined ||
      Number(requestHeaders.original(request, "content-length") ?? 0) !== 0

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

const concat = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

const readNode = (source: NodeSource, limit: number): Effect.Effect<Uint8Array, Failure> =>
  Effect.async((resume) => {
    if (source.destroyed) {
      return resume(Effect.fail("Gone"))
    }
    const chunks: Array<Uint8Array> = []
    let size = 0
    const settle = (result: Effect.Effect<Uint8Array, Failure>) => {
      stop()
      resume(result)
    }
    const onData = (chunk: Uint8Array) => {
      size += chunk.length
      if (size > limit) {
        settle(Effect.fail("TooLarge"))
      } else {
        chunks.push(chunk)
      }
    }
    const onEnd = () => settle(Effect.sync(() => concat(chunks, size)))
    const onGone = () => settle(Effect.fail("Gone"))
    // The listener for errors stays: an error that nobody listens to would end the process.
    const stop = () => {
      source.off("data", onData)
      source.off("end", onEnd)
      source.off("close", onGone)
      source.off("aborted", onGone)
      source.resume()
    }
    source.on("error", onGone)
    source.on("aborted", onGone)
    source.on("close", onGone)
    source.on("end", onEnd)
    source.on("data", onData)
    return Effect.sync(stop)
  })

const readWeb = (request: Request, body: ReadableStream<Uint8Array>, limit: number) =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => body.getReader(), catch: (): Failure => "Unreadable" }),
    (reader) =>
      Effect.gen(function*() {
        const chunks: Array<Uint8Array> = []
        let size = 0
        while (true) {
          const { done, value } = yield* Effect.tryPromise({
            try: () => reader.read(),
            catch: (): Failure => request.signal.aborted ? "Gone" : "Unreadable"
          })
          if (done) {
            return concat(chunks, size)
          }
          size += value.byteLength
          // Not `size > limit`: a chunk without a length, which no server makes, is refused as well.
          if (!(size <= limit)) {
            return yield* Effect.fail<Failure>("TooLarge")
          }
          chunks.push(value)
        }
      }),
    (reader) => Effect.sync(() => void reader.cancel().catch(() => undefined))
  )

/** A source of another kind, or one that was read before by the platform's `text`, which keeps what it read. */
const readOther = (request: HttpServerRequest, isUsed: boolean): Effect.Effect<Uint8Array, Failure> =>
  (isUsed
    ? Effect.map(request.text, (text) => new TextEncoder().encode(text))
    : Effect.map(request.arrayBuffer, (buffer) => new Uint8Array(buffer))).pipe(
      Effect.mapError((): Failure => "Unreadable")
    )

const readOnce = (request: HttpServerRequest, limit: number): Effect.Effect<Uint8Array, Failure> => {
  const source = request.source
  if (isNode(source)) {
    return source.readableEnded ? readOther(request, true) : readNode(source, limit)
  }
  if (isWeb(source) && source.body != null) {
    return source.bodyUsed ? readOther(request, true) : readWeb(source, source.body, limit)
  }
  return readOther(request, false)
}

const readings = new WeakMap<object, Effect.Effect<Exit.Exit<Uint8Array, Failure>>>()

/**
 * The bytes of the body, at most `limit` of them and read within `timeout` from the first call. Every later call for
 * the same source gives the same bytes or the same failure. A fiber of its own reads them, so that a reader that is
 * interrupted takes nothing from the next one; it ends with the body, the limit, the timeout or the client.
 */
export const read = (
  request: HttpServerRequest,
  options: { readonly limit: number; readonly timeout: Duration.DurationInput }
): Effect.Effect<Uint8Array, Failure> =>
  Effect.suspend(() => {
    const key = isObject(request.source) ? request.source : request
    let reading = readings.get(key)
    if (reading === undefined) {
      const fork = readOnce(request, options.limit).pipe(
        Effect.timeoutFail({ duration: options.timeout, onTimeout: (): Failure => "Late" }),
        Effect.exit,
        Effect.forkDaemon,
        Effect.cached,
        Effect.runSync
      )
      // The fork inherits this. A timeout does not fire in an uninterruptible region, which all of an `HttpApp` is.
      // Not `Fiber.join`: it would bring back the FiberRefs of the first reader.
      reading = Effect.interruptible(Effect.flatten(Effect.flatMap(fork, Fiber.await)))
      readings.set(key, reading)
    }
    return Effect.flatten(reading)
  }).pipe(
    // A source that was read under a larger limit, or one that cannot be stopped at it.
    Effect.filterOrFail((bytes) => bytes.length <= options.limit, (): Failure => "TooLarge")
  )

// -----------------------------------------------------------------------------
// Closing
// -----------------------------------------------------------------------------

const lingerMillis = 250
const lingerTimes = 20

/**
 * Drops what the client still sends until it has sent all, is silent for 250 ms, or 5 s have passed. A connection that
 * is closed with unread bytes is reset, and the client may lose the response (RFC 9112 section 9.6). The clock is the
 * real one, as the client's is.
 */
const linger = (source: NodeSource): Effect.Effect<void> =>
  Effect.gen(function*() {
    source.resume()
    let seen = -1
    for (let i = 0; i < lingerTimes && !source.complete && source.socket.bytesRead !== seen; i++) {
      seen = source.socket.bytesRead
      yield* Effect.sleep(lingerMillis)
    }
  }).pipe(Effect.withClock(Clock.make()))

/** The response, whole and at once, after which the connection is closed without a reset. */
export const closing = (
  source: unknown,
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse => {
  const body = response.body
  if (!isNode(source) || body._tag !== "Uint8Array") {
    return response
  }
  const stream = Stream.concat(Stream.succeed(body.body), Stream.drain(Stream.fromEffect(linger(source))))
  return HttpServerResponse.setBody(response, HttpBody.stream(stream, body.contentType, body.contentLength))
}
