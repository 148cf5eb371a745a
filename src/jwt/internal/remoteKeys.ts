import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { SecurityConfigError, SecurityUnavailable } from "../../SecurityError.js"
import type { Key, KeyRing, Keys } from "../JwtKeys.js"
import { checkPublished } from "./keyRing.js"

export interface Options {
  readonly url: string | URL
  readonly maxAge?: Duration.DurationInput | undefined
  readonly cooldown?: Duration.DurationInput | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly staleIfError?: Duration.DurationInput | undefined
}

/** Makes a key of what a set holds, or says why not. */
export type Import = (jwk: unknown) => Effect.Effect<Key, SecurityConfigError>

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

const misconfigured = (reason: string) => new SecurityConfigError({ reason })

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)

const hasUserInfo = (url: URL): boolean => url.username.length + url.password.length > 0

const toUrl = (input: string | URL): Either.Either<URL, SecurityConfigError> =>
  Either.try({
    try: () => new URL(input),
    catch: () => misconfigured("the url of a key set is no absolute URL")
  }).pipe(
    Either.filterOrLeft(
      (url) => !hasUserInfo(url),
      () => misconfigured("the url of a key set has a user name or a password in it")
    ),
    Either.filterOrLeft(
      (url) => url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname)),
      () => misconfigured("the url of a key set is no https URL, and no http URL of this machine")
    )
  )

const toMillis = (
  name: string,
  input: Duration.DurationInput,
  least: number
): Either.Either<number, SecurityConfigError> =>
  Either.fromOption(
    Option.filter(
      Option.map(Duration.decodeUnknown(input), Duration.toMillis),
      (millis) => Number.isFinite(millis) && millis >= least
    ),
    () => misconfigured(`${name} is no finite duration${least > 0 ? " above zero" : ""}`)
  )

const decodeOptions = (options: Options) =>
  Either.all({
    url: toUrl(options.url),
    maxAge: toMillis("maxAge", options.maxAge ?? "10 minutes", 1),
    cooldown: toMillis("cooldown", options.cooldown ?? "30 seconds", 1),
    timeout: toMillis("timeout", options.timeout ?? "5 seconds", 1),
    staleIfError: toMillis("staleIfError", options.staleIfError ?? "1 hour", 0)
  })

// -----------------------------------------------------------------------------
// Fetching. A failure is a sentence without the URL.
// -----------------------------------------------------------------------------

const maxRedirects = 3
const maxBytes = 128 * 1024
const maxKeys = 100

/** The code of the system (`ECONNREFUSED`) among the causes of a failed connection: their messages may hold the URL. */
const codeOf = (cause: unknown, depth = 3): string | undefined =>
  depth === 0 || !hasProperty(cause, "code") && !hasProperty(cause, "cause")
    ? undefined
    : hasProperty(cause, "code") && typeof cause.code === "string" && /^[A-Z][A-Z0-9_]{1,40}$/.test(cause.code)
    ? cause.code
    : hasProperty(cause, "cause")
    ? codeOf(cause.cause, depth - 1)
    : undefined

const describe = (error: HttpClientError.HttpClientError): string => {
  const code = codeOf(error.cause)
  const what = error._tag === "RequestError" ? "the request failed" : "the response failed"
  return code === undefined ? what : `${what} with ${code}`
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

/** Where a redirect leads: nowhere but to the same origin, so that nobody sends us around inside the network. */
const follow = (url: URL, location: string | undefined): Either.Either<URL, string> =>
  Either.try({ try: () => new URL(location ?? "", url), catch: () => "a redirect leads to no URL" }).pipe(
    Either.filterOrLeft(
      (next) => location !== undefined && next.origin === url.origin && !hasUserInfo(next),
      () => "a redirect leads to another origin"
    )
  )

const collect = <E>(stream: Stream.Stream<Uint8Array, E>): Effect.Effect<Uint8Array, E | string> =>
  Effect.map(
    Stream.runFoldEffect(
      stream,
      { size: 0, chunks: [] as Array<Uint8Array> },
      ({ chunks, size }, chunk): Effect.Effect<{ size: number; chunks: Array<Uint8Array> }, string> =>
        size + chunk.length > maxBytes
          ? Effect.fail(`the body is over ${maxBytes / 1024} KiB`)
          : Effect.sync(() => {
            chunks.push(chunk)
            return { size: size + chunk.length, chunks }
          })
    ),
    ({ chunks, size }) => {
      const bytes = new Uint8Array(size)
      let offset = 0
      for (const chunk of chunks) {
        bytes.set(chunk, offset)
        offset += chunk.length
      }
      return bytes
    }
  )

/** The body, or where it is instead. The connection is given up with the scope, read to its end or not. */
const request = (client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, Scope.Scope>, url: URL) =>
  Effect.scoped(Effect.gen(function*() {
    // Nothing that the client of the application adds for its own servers leaves for this one.
    const bare = HttpClientRequest.get(url.href, {
      headers: { accept: "application/jwk-set+json, application/json" }
    })
    const response = yield* HttpClient.mapRequest(client, () => bare).execute(bare)
    // A client that follows redirects by itself shows it here.
    if (new URL(response.request.url).origin !== url.origin) {
      return yield* Effect.fail("a redirect led to another origin")
    }
    if (isRedirect(response.status)) return yield* follow(url, response.headers["location"])
    if (response.status !== 200) return yield* Effect.fail(`the status is ${response.status}`)
    return yield* collect(response.stream)
  }))

const parseSet = (bytes: Uint8Array): Either.Either<ReadonlyArray<unknown>, string> =>
  Either.gen(function*() {
    const text = yield* Either.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => "the body is not UTF-8"
    })
    const set: unknown = yield* Either.try({
      try: () => JSON.parse(text) as unknown,
      catch: () => "the body is not JSON"
    })
    if (!hasProperty(set, "keys") || !Object.hasOwn(set, "keys") || !Array.isArray(set.keys)) {
      return yield* Either.left("the body is no JSON object with an array keys")
    }
    return set.keys.length > maxKeys ? yield* Either.left(`the set has over ${maxKeys} keys`) : set.keys
  })

const fetcher = (httpClient: HttpClient.HttpClient, url: URL) => {
  const client = httpClient.pipe(
    HttpClient.withTracerPropagation(false),
    HttpClient.withScope
  )
  const download = (url: URL, redirects: number): Effect.Effect<Uint8Array, HttpClientError.HttpClientError | string> =>
    Effect.flatMap(request(client, url), (answer) =>
      !(answer instanceof URL)
        ? Effect.succeed(answer)
        : redirects === 0
        ? Effect.fail(`there are over ${maxRedirects} redirects`)
        : download(answer, redirects - 1))
  return download(url, maxRedirects).pipe(
    // `fetch` follows redirects to any host unless it is told not to.
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual", credentials: "omit" }),
    Effect.mapError((failure) => typeof failure === "string" ? failure : describe(failure)),
    Effect.flatMap(parseSet)
  )
}

// -----------------------------------------------------------------------------
// What a fetch gives
// -----------------------------------------------------------------------------

const canonical = (key: Key): string => JSON.stringify([key.kid, key.algorithms, key.publicJwk])

interface Fetched {
  readonly keys: ReadonlyArray<Key>
  /** The keys in a form that is equal when they are, in whatever order. */
  readonly canonical: string
  /** Why keys of the set were left out. */
  readonly skipped: ReadonlyArray<string>
}

const importSet = (jwks: ReadonlyArray<unknown>, importKey: Import): Effect.Effect<Fetched> =>
  Effect.map(
    Effect.partition(jwks, (jwk) => importKey(jwk)),
    ([errors, imported]) => {
      const keys = new Map(imported.map((key) => [canonical(key), key]))
      return {
        keys: Array.from(keys.values()),
        canonical: JSON.stringify(Array.from(keys.keys()).sort()),
        skipped: errors.map(({ reason }) => reason)
      }
    }
  )

// -----------------------------------------------------------------------------
// The ring
// -----------------------------------------------------------------------------

/** Whether less than `duration` has passed since, or a clock was set back by less. Of more nobody knows, and it has. */
const isWithin = (since: number, duration: number, now: number): boolean => Math.abs(now - since) < duration

/** What the last fetch that succeeded gave. */
interface Held {
  readonly keys: Keys
  readonly canonical: string
  readonly at: number
}

/** That the last fetch failed, and for how long nobody tries again. */
interface Failure {
  readonly reason: string
  readonly at: number
  readonly delay: number
}

const firstDelay = 1000

/**
 * A ring of the keys that are published at `url`. It is fetched by whoever first needs it, and for all who do.
 *
 * Keys that are older than `maxAge` are served while the next fetch is under way, since others should not wait for it:
 * for `timeout` at most where all is well, and for `staleIfError` in an outage, so that an endpoint that hangs holds up
 * nobody. An outage is known from a fetch that failed until the next one must have ended; who comes later waits to know
 * whether it is over. In no case are keys served that are older than `maxAge` and `staleIfError` together.
 */
export const make = (
  options: Options,
  importKey: Import
): Effect.Effect<KeyRing, SecurityConfigError, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const { cooldown, maxAge, staleIfError, timeout, url } = yield* decodeOptions(options)
    const scope = yield* Effect.scope
    const fetch = fetcher(yield* HttpClient.HttpClient, url)
    const name = `${url.origin}${url.pathname}`

    let held: Held | undefined
    let failure: Failure | undefined
    let flight: Deferred.Deferred<Keys, SecurityUnavailable> | undefined
    let skipped = ""

    const unavailable = (reason: string, retryAfter?: number) =>
      new SecurityUnavailable({ reason: `the keys at ${name} cannot be fetched: ${reason}`, retryAfter })

    // The outcome is in force when these return, and what they return is logged: a fiber that yields in between must not
    // let others begin another fetch.

    const succeed = (fetched: Fetched, now: number): Effect.Effect<Keys> => {
      failure = undefined
      // Keys that are the same stay the same objects, and what was remembered of their tokens stays good.
      const keys = held?.canonical === fetched.canonical
        ? held.keys
        : { generation: held === undefined ? 0 : held.keys.generation + 1, keys: fetched.keys }
      held = { keys, canonical: fetched.canonical, at: now }
      const reasons = fetched.skipped.join("; ")
      const isNews = reasons !== skipped && reasons !== ""
      skipped = reasons
      const warning = `${fetched.skipped.length} of the keys at ${name} cannot be used: ${reasons.slice(0, 1000)}`
      return Effect.as(Effect.when(Effect.logWarning(warning), () => isNews), keys)
    }

    const fail = (reason: string, now: number): Effect.Effect<never, SecurityUnavailable> => {
      const delay = Math.min(cooldown, failure === undefined ? firstDelay : failure.delay * 2)
      failure = { reason, at: now, delay }
      const error = unavailable(reason, delay / 1000)
      const age = held === undefined ? "" : ` (the last ones are ${Math.round((now - held.at) / 1000)} s old)`
      return Effect.zipRight(Effect.logWarning(error.reason + age), Effect.fail(error))
    }

    // Whatever the client does is a failed fetch, interruption of its own too. The end of the scope skips this.
    const settled = Effect.flatMap(fetch, (jwks) => importSet(jwks, importKey)).pipe(
      Effect.catchAllCause((cause) =>
        Option.match(Cause.failureOption(cause), {
          onNone: () => Effect.zipRight(Effect.logDebug(cause), Effect.fail("the client died")),
          onSome: (reason) => Effect.fail(reason)
        })
      )
    )

    // A client that cannot be interrupted holds up neither the timeout nor the end of the scope.
    const bounded = Effect.interruptible(Effect.timeoutFail(Effect.disconnect(settled), {
      duration: timeout,
      onTimeout: () => `it took over ${Duration.format(timeout)}`
    }))

    const run = (landing: Deferred.Deferred<Keys, SecurityUnavailable>): Effect.Effect<boolean> =>
      Effect.flatMap(Effect.exit(bounded), (exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          flight = undefined
          const outcome = Exit.isSuccess(exit)
            ? succeed(exit.value, now)
            : Option.match(Cause.failureOption(exit.cause), {
              onNone: () => Effect.fail(unavailable("the application is shutting down")),
              onSome: (reason) => fail(reason, now)
            })
          return Effect.intoDeferred(outcome, landing)
        }))

    /**
     * Starts a fetch, unless one is under way. It belongs to the ring, and goes on when the caller is interrupted. Its
     * fiber begins uninterruptible: what is interrupted before it has begun would leave the others waiting.
     */
    const start: Effect.Effect<Deferred.Deferred<Keys, SecurityUnavailable>> = Effect.uninterruptible(
      Effect.suspend(() => {
        if (flight !== undefined) return Effect.succeed(flight)
        const landing = Deferred.unsafeMake<Keys, SecurityUnavailable>(FiberId.none)
        flight = landing
        return Effect.as(Effect.forkIn(run(landing), scope), landing)
      })
    )

    const land = Effect.flatMap(start, (landing) => Effect.interruptible(Deferred.await(landing)))

    /** Since a fetch failed just now, there is none, and whoever needs one fails. */
    const resting = (now: number): Option.Option<SecurityUnavailable> =>
      failure !== undefined && isWithin(failure.at, failure.delay, now)
        ? Option.some(unavailable(failure.reason, (failure.at + failure.delay - now) / 1000))
        : Option.none()

    const isOutage = (now: number): boolean =>
      failure !== undefined && isWithin(failure.at, failure.delay + 2 * timeout, now)

    const staleFor = (duration: number, now: number): Option.Option<Keys> =>
      held !== undefined && isWithin(held.at, maxAge + duration, now) ? Option.some(held.keys) : Option.none()

    const staleOr = (error: SecurityUnavailable): Effect.Effect<Keys, SecurityUnavailable> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Option.getOrElse(
          Option.map(staleFor(staleIfError, now), Effect.succeed),
          () => Effect.fail(error)
        ))

    const keys = Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Keys, SecurityUnavailable> => {
      const fresh = staleFor(0, now)
      if (Option.isSome(fresh)) return Effect.succeed(fresh.value)
      const error = resting(now)
      if (Option.isSome(error)) return staleOr(error.value)
      return Option.match(staleFor(isOutage(now) ? staleIfError : Math.min(timeout, staleIfError), now), {
        onNone: () => Effect.catchAll(land, staleOr),
        onSome: (stale) => Effect.as(start, stale)
      })
    })

    const refresh = Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Keys, SecurityUnavailable> => {
      if (held !== undefined && isWithin(held.at, cooldown, now)) return Effect.succeed(held.keys)
      const error = resting(now)
      return Option.isSome(error) ? Effect.fail(error.value) : land
    })

    return { keys, refresh, constrain: checkPublished }
  })
