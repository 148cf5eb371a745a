/**
 * One middleware for any router that gives every bad request body a well-defined answer, where the platform alone
 * answers some with an empty 400, some with a 500, some with the rejected value (a password, too) and some never:
 *
 * | body | answer |
 * | --- | --- |
 * | malformed JSON, invalid UTF-8, a lone surrogate in a string or key, nested deeper than 64, of the wrong shape |
 * 400 | | late: not complete after `timeout` | 408, closes the connection |
 * | over `limit` bytes, declared or sent | 413, closes the connection |
 * | of a media type that is not accepted, or of none | 415, closes the connection |
 *
 * All are RFC 9457 problems which repeat nothing of the request. A client that leaves in the middle of its body ends
 * the request's fiber. A body is judged when a handler reads it: a route that reads none answers as it always did, and
 * a request without a body is never judged.
 *
 * @since 0.1.0
 */
import type * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Multipart from "@effect/platform/Multipart"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as ParseResult from "effect/ParseResult"
import { isTagged } from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as problem from "../internal/problem.js"
import { isGone } from "./internal/connection.js"
import * as bodyJson from "./internal/requestBodyJson.js"
import * as bodyMultipart from "./internal/requestBodyMultipart.js"
import * as bodySource from "./internal/requestBodySource.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The largest body in bytes; default 262144 (256 KiB). */
  readonly limit?: number | undefined
  /** How long the whole body may take from the moment it is first read; default 10 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * The media types of bodies, without parameters; default `["application/json"]`. `request.json` reads JSON types
   * only, `urlParamsBody` reads `application/x-www-form-urlencoded`, `multipart` and `multipartStream` read
   * `multipart/form-data`, and `text`, `arrayBuffer` and `stream` read any type that is named here.
   */
  readonly accept?: ReadonlyArray<string> | undefined
}

/**
 * The failures that no longer leave an app under the middleware: it answers each of them. A `ParseError` is answered
 * with 400 wherever it comes from, since it does not tell; a handler that decodes something other than the request
 * should not let its `ParseError` through (the platform makes it an empty 400 as well).
 *
 * @since 0.1.0
 * @category models
 */
export type Handled = HttpServerError.RequestError | ParseResult.ParseError | HttpApiError.HttpApiDecodeError

/**
 * Works on any `HttpApp`, so on every router. What is not about the request's body passes through untouched.
 *
 * @since 0.1.0
 * @category models
 */
export interface Middleware {
  <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<Exclude<E, Handled>, R>
}

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

const problems = {
  // The tag that every `HttpApi` declares for a 400, so that its derived client decodes ours.
  400: { _tag: "HttpApiDecodeError", title: "Bad Request", status: 400 },
  408: { _tag: "RequestTimeout", title: "Request Timeout", status: 408 },
  413: { _tag: "ContentTooLarge", title: "Content Too Large", status: 413 },
  415: { _tag: "UnsupportedMediaType", title: "Unsupported Media Type", status: 415 }
} as const

/**
 * A body that is refused, in the error channel of `request.json` and its siblings. It is a platform `RequestError`, so
 * that what handles those handles this, and it is its own response with the `status`. `description` says what is wrong
 * and repeats nothing of the body; it is the `message` of a 400.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequestBodyError extends HttpServerError.RequestError {
  readonly status: keyof typeof problems
  /** The value of the `Accept` header of a 415 (RFC 9110 section 15.5.16). */
  readonly accept: string | undefined

  constructor(options: {
    readonly request: HttpServerRequest.HttpServerRequest
    readonly status: keyof typeof problems
    readonly description: string
    readonly accept?: string | undefined
  }) {
    super({ request: options.request, reason: "Decode", description: options.description })
    this.status = options.status
    this.accept = options.accept
  }

  override [HttpServerRespondable.symbol](): HttpServerResponse.HttpServerResponse {
    if (this.status === 400) {
      return problem.response(problems[400], { extension: { issues: [], message: this.description } })
    }
    const accept = this.accept === undefined ? undefined : { accept: this.accept }
    return bodySource.closing(
      this.request.source,
      problem.response(problems[this.status], { headers: { connection: "close", ...accept } })
    )
  }
}

const mismatch = (request: HttpServerRequest.HttpServerRequest): RequestBodyError =>
  new RequestBodyError({ request, status: 400, description: "not of the expected shape" })

const ofMultipart = (
  request: HttpServerRequest.HttpServerRequest,
  error: Multipart.MultipartError
): RequestBodyError | undefined => {
  if (error.cause instanceof RequestBodyError) {
    return error.cause
  }
  switch (error.reason) {
    case "Parse":
      return new RequestBodyError({ request, status: 400, description: "malformed multipart" })
    case "InternalError":
      return undefined
    default:
      return new RequestBodyError({ request, status: 413, description: error.reason })
  }
}

/** What is wrong with the body, if that is why the app ended. */
const rejection = (
  request: HttpServerRequest.HttpServerRequest,
  cause: Cause.Cause<unknown>
): RequestBodyError | undefined => {
  const error = Cause.squash(cause)
  if (error instanceof RequestBodyError) {
    return error
  }
  if (HttpServerError.isServerError(error) && error._tag === "RequestError") {
    return new RequestBodyError({ request, status: 400, description: "unreadable body" })
  }
  if (isTagged(error, "MultipartError")) {
    return ofMultipart(request, error as Multipart.MultipartError)
  }
  // As a defect it is a fault of the server.
  return Cause.isFailure(cause) && (ParseResult.isParseError(error) || isTagged(error, "HttpApiDecodeError"))
    ? mismatch(request)
    : undefined
}

const decodeErrorEnd = `"_tag":"HttpApiDecodeError"}`

/** `HttpLayerRouter.addHttpApi` encodes the error inside the route, with the values that it rejected. */
const isDecodeError = ({ body, status }: HttpServerResponse.HttpServerResponse): boolean =>
  status === 400 && body._tag === "Uint8Array" &&
  new TextDecoder().decode(body.body.subarray(-decodeErrorEnd.length)) === decodeErrorEnd

// -----------------------------------------------------------------------------
// The request
// -----------------------------------------------------------------------------

interface Settings {
  readonly limit: number
  readonly timeout: Duration.DurationInput
  readonly accept: ReadonlyArray<string>
}

const guardKey = Symbol("effect-security/http/RequestBody")

/** A request whose body accessors check what they read, when it is read. */
interface Guarded extends HttpServerRequest.HttpServerRequest {
  readonly [guardKey]: { readonly request: HttpServerRequest.HttpServerRequest; readonly settings: Settings }
}

type IsExpected = (mediaType: string) => boolean
const isJson: IsExpected = (mediaType) => mediaType === "application/json" || mediaType.endsWith("+json")
const isUrlEncoded: IsExpected = (mediaType) => mediaType === "application/x-www-form-urlencoded"
const isMultipart: IsExpected = (mediaType) => mediaType === "multipart/form-data"
const isAny: IsExpected = () => true

const reject = (self: Guarded, status: keyof typeof problems, description: string) =>
  Effect.fail(
    new RequestBodyError({
      request: self,
      status,
      description,
      accept: status === 415 ? self[guardKey].settings.accept.join(", ") : undefined
    })
  )

const unread = (self: Guarded, failure: bodySource.Failure): Effect.Effect<never, RequestBodyError> => {
  switch (failure) {
    case "TooLarge":
      return reject(self, 413, `larger than ${self[guardKey].settings.limit} bytes`)
    case "Late":
      return reject(self, 408, "not complete in time")
    case "Unreadable":
      return reject(self, 400, "unreadable body")
    case "Gone":
      // As the platform does when it notices: nothing that handles failures takes it for a bad body.
      return Effect.failCause(Cause.interrupt(HttpServerError.clientAbortFiberId))
  }
}

const contentType = (self: Guarded): string => self.headers["content-type"] ?? ""

const bytes = (self: Guarded, isExpected: IsExpected): Effect.Effect<Uint8Array, RequestBodyError> =>
  Effect.suspend(() => {
    const { request, settings } = self[guardKey]
    if (!bodySource.isPresent(request)) {
      return Effect.succeed(new Uint8Array(0))
    }
    const mediaType = contentType(self).split(";", 1)[0]!.trim().toLowerCase()
    if (!settings.accept.includes(mediaType) || !isExpected(mediaType)) {
      return reject(self, 415, "not of an accepted media type")
    }
    return Number(self.headers["content-length"]) > settings.limit
      ? unread(self, "TooLarge")
      : Effect.catchAll(bodySource.read(request, settings), (failure) => unread(self, failure))
  })

const text = (self: Guarded, isExpected: IsExpected): Effect.Effect<string, RequestBodyError> =>
  Effect.flatMap(bytes(self, isExpected), (bytes) =>
    Effect.orElse(
      Effect.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
      () => reject(self, 400, "invalid UTF-8")
    ))

const multipartBytes = (self: Guarded): Effect.Effect<Uint8Array, Multipart.MultipartError> =>
  Effect.mapError(bytes(self, isMultipart), (cause) => new Multipart.MultipartError({ reason: "Parse", cause }))

const accessor = <Key extends keyof Guarded>(get: (self: Guarded) => Guarded[Key]): PropertyDescriptor => ({
  configurable: true,
  get(this: Guarded) {
    return get(this)
  }
})

const accessors: PropertyDescriptorMap = {
  json: accessor<"json">((self) =>
    Effect.flatMap(text(self, isJson), (text) =>
      text === ""
        ? Effect.succeed(null)
        : Effect.catchAll(bodyJson.parse(text), (description) => reject(self, 400, description)))
  ),
  text: accessor<"text">((self) => text(self, isAny)),
  urlParamsBody: accessor<"urlParamsBody">((self) =>
    Effect.map(
      text(self, isUrlEncoded),
      (text) => UrlParams.fromInput(new URLSearchParams(text)).filter(([key]) => key !== "__proto__")
    )
  ),
  arrayBuffer: accessor<"arrayBuffer">((self) => Effect.map(bytes(self, isAny), (bytes) => bytes.slice().buffer)),
  stream: accessor<"stream">((self) =>
    Stream.filter(Stream.fromEffect(bytes(self, isAny)), (bytes) => bytes.length > 0)
  ),
  multipart: accessor<"multipart">((self) =>
    Effect.flatMap(multipartBytes(self), (bytes) =>
      bytes.length === 0
        ? Effect.succeed({})
        : Multipart.toPersisted(bodyMultipart.parse(bytes, contentType(self))))
  ),
  multipartStream: accessor<"multipartStream">((self) =>
    Stream.unwrap(Effect.map(multipartBytes(self), (bytes) => bodyMultipart.parse(bytes, contentType(self))))
  ),
  modify: accessor<"modify">((self) => {
    const { request, settings } = self[guardKey]
    return (changes) => guard(request.modify(changes), settings)
  }),
  // The platform's prints the body, into the log of whatever fails.
  toJSON: accessor<"toJSON">((self) => () => ({
    _id: "@effect/platform/HttpServerRequest",
    method: self.method,
    url: self.originalUrl,
    headers: Inspectable.redact(self.headers)
  }))
}

/**
 * A copy of the request with the accessors above. A copy by `modify` keeps the class that the server looks into, and,
 * unlike a request behind a prototype or a proxy, its speed.
 */
const guard = (request: HttpServerRequest.HttpServerRequest, settings: Settings): HttpServerRequest.HttpServerRequest =>
  Object.defineProperties(Object.assign(request.modify({}), { [guardKey]: { request, settings } }), accessors)

// -----------------------------------------------------------------------------
// Middleware
// -----------------------------------------------------------------------------

/**
 * The middleware with these options. Mount it around the router:
 *
 * - `HttpRouter`, `HttpApp`: `router.pipe(RequestBody.make(), HttpServer.serve())`
 * - `HttpApiBuilder`: `HttpApiBuilder.serve().pipe(Layer.provide(HttpApiBuilder.middleware(RequestBody.make())))`
 * - `HttpLayerRouter`, also with `addHttpApi`:
 *   `routes.pipe(Layer.provide(HttpLayerRouter.middleware(RequestBody.make(), { global: true })))`
 *
 * Not as the argument of `HttpServer.serve`, `HttpApiBuilder.serve` or a `toWebHandler`: what is given there runs after
 * the response was sent, and a web handler answers 500 to a request that was replaced there.
 *
 * Bodies are held in memory up to `limit`, also for `request.stream` and multipart: a route that takes large uploads is
 * better left out. `request.source` is what it was and is not judged.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
 * import { Effect, Schema } from "effect"
 * import { RequestBody } from "effect-security"
 *
 * const Greeting = Schema.Struct({ name: Schema.NonEmptyString })
 *
 * const app = HttpRouter.empty.pipe(
 *   HttpRouter.post(
 *     "/greet",
 *     Effect.map(HttpServerRequest.schemaBodyJson(Greeting), ({ name }) => HttpServerResponse.text(`Hello, ${name}`))
 *   ),
 *   RequestBody.make({ limit: 1024, timeout: "2 seconds" })
 * )
 * ```
 */
export const make = (options?: Options): Middleware => {
  const settings: Settings = {
    limit: options?.limit ?? 262_144,
    timeout: options?.timeout ?? "10 seconds",
    accept: (options?.accept ?? ["application/json"]).map((mediaType) => mediaType.toLowerCase())
  }
  return <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<Exclude<E, Handled>, R> =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      app.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, guard(request, settings)),
        Effect.map((response) =>
          isDecodeError(response)
            ? HttpServerResponse.setBody(response, mismatch(request)[HttpServerRespondable.symbol]().body)
            : response
        ),
        Effect.catchAllCause((cause) => {
          const error = rejection(request, cause)
          return error === undefined
            ? Effect.failCause(cause as Cause.Cause<Exclude<E, Handled>>)
            : Effect.succeed(
              isGone(request)
                ? HttpServerResponse.empty({ status: 499 })
                : error[HttpServerRespondable.symbol]()
            )
        })
      ))
}

/**
 * `make` with its defaults: JSON of at most 256 KiB within 10 seconds.
 *
 * @since 0.1.0
 * @category middleware
 */
export const middleware: Middleware = make()
