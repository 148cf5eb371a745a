import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SecurityConfigError } from "../../SecurityError.js"
import type { Policy } from "./claims.js"

interface Resolved extends Policy {
  readonly cacheSize: number
}

/** What of `Jwt.Options` its types cannot check. */
interface Options {
  readonly algorithms: ReadonlyArray<string>
  readonly issuer: OneOrMore
  readonly audience: OneOrMore
  readonly realm?: string | undefined
  readonly strictAudience?: boolean | undefined
  readonly tolerance?: Duration.DurationInput | undefined
  readonly cacheSize?: number | undefined
}

type OneOrMore = string | NonEmptyReadonlyArray<string>

const toArray = (oneOrMore: OneOrMore): ReadonlyArray<string> => typeof oneOrMore === "string" ? [oneOrMore] : oneOrMore

const wrong = (reason: string) => Effect.fail(new SecurityConfigError({ reason }))

const named = (name: string, oneOrMore: OneOrMore) => {
  const all = toArray(oneOrMore)
  return all.length > 0 && all.every((one) => one !== "") && new Set(all).size === all.length
    ? Effect.succeed(all)
    : wrong(`${name} names at least one text, none of them empty or twice`)
}

const defaultCacheSize = 10_000

/** The options in force, or what is wrong with them in a way that their types cannot say. */
export const resolve = (options: Options): Effect.Effect<Resolved, SecurityConfigError> =>
  Effect.gen(function*() {
    if (options.algorithms.length === 0) {
      return yield* wrong("algorithms names at least one")
    }
    const issuers = yield* named("issuer", options.issuer)
    const audiences = yield* named("audience", options.audience)
    const tolerance = Option.map(Duration.decodeUnknown(options.tolerance ?? "30 seconds"), Duration.toSeconds)
    if (Option.isNone(tolerance) || !Number.isFinite(tolerance.value)) {
      return yield* wrong("tolerance is a finite duration")
    }
    const strictAudience = options.strictAudience ?? false
    if (strictAudience && audiences.length > 1) {
      return yield* wrong("strictAudience takes one audience: a token that names one of several is not strictly meant")
    }
    const cacheSize = options.cacheSize ?? defaultCacheSize
    if (!Number.isSafeInteger(cacheSize) || cacheSize < 0) {
      return yield* wrong("cacheSize is a whole number of tokens, or 0")
    }
    return { issuers, audiences, tolerance: tolerance.value, strictAudience, cacheSize, realm: options.realm }
  })

/** How long a token lasts, in whole seconds. */
export const lifetime = (lifetime: Duration.DurationInput): Effect.Effect<number, SecurityConfigError> =>
  Option.match(
    Option.filter(
      Option.map(Duration.decodeUnknown(lifetime), (duration) => Math.floor(Duration.toSeconds(duration))),
      (seconds) => seconds > 0 && Number.isSafeInteger(seconds)
    ),
    {
      onNone: () => wrong("lifetime is a finite duration of at least a second"),
      onSome: Effect.succeed
    }
  )

/** The audiences of one token. One is written as text (RFC 7519 section 4.1.3). */
export const audience = (audience: OneOrMore): Effect.Effect<OneOrMore, SecurityConfigError> =>
  Effect.map(named("audience", audience), (audiences) => audiences.length === 1 ? audiences[0]! : audience)

/** A NumericDate (RFC 7519 section 2). */
export const seconds = (instant: DateTime.Utc | undefined): number | undefined =>
  instant === undefined ? undefined : Math.floor(instant.epochMillis / 1_000)

/** A text that is not empty. */
export const text = (u: unknown): string | undefined => typeof u === "string" && u !== "" ? u : undefined
