import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { RedisOptions } from "ioredis"
import * as keys from "./keys.js"

interface Given {
  readonly prefix?: string | undefined
  readonly connectTimeout?: Duration.DurationInput | undefined
  readonly commandTimeout?: Duration.DurationInput | undefined
}

/** The settings in force. */
export interface Settings {
  readonly keys: keys.Keys
  readonly connectTimeout: Duration.Duration
  readonly commandTimeout: Duration.Duration
}

const positive = (
  name: string,
  given: Duration.DurationInput | undefined,
  fallback: Duration.DurationInput
): Either.Either<Duration.Duration, string> =>
  Duration.decodeUnknown(given ?? fallback).pipe(
    Option.filter((duration) => Duration.isFinite(duration) && Duration.toMillis(duration) >= 1),
    Either.fromOption(() => `${name} is a finite duration of at least a millisecond`)
  )

/** Left says what is wrong in a way that its type cannot say. */
export const resolve = (given: Given): Either.Either<Settings, string> =>
  Either.all({
    keys: keys.make(given.prefix ?? keys.defaultPrefix),
    connectTimeout: positive("connectTimeout", given.connectTimeout, "1 second"),
    commandTimeout: positive("commandTimeout", given.commandTimeout, "1500 millis")
  })

/**
 * Where a URL leads. ioredis would read one by itself, but repeats it in what it fails with, and takes any setting from
 * its parameters. Left says nothing of what stands in it.
 */
export const parseUrl = (text: string): Either.Either<RedisOptions, string> =>
  Either.gen(function*() {
    const url = yield* Either.try({ try: () => new URL(text), catch: () => "the URL of Redis is no URL" })
    if (url.protocol !== "redis:" && url.protocol !== "rediss:") {
      return yield* Either.left("the URL of Redis begins with redis:// or rediss://")
    }
    if (url.hostname === "") return yield* Either.left("the URL of Redis names no host")
    const database = /^\/?(\d{0,9})$/.exec(url.pathname)?.[1]
    if (database === undefined) return yield* Either.left("the path of the URL of Redis is the number of a database")
    if (`${url.search}${url.hash}` !== "") return yield* Either.left("the URL of Redis ends with the database")
    const [username, password] = yield* Either.try({
      try: () => [decodeURIComponent(url.username), decodeURIComponent(url.password)] as const,
      catch: () => "the user or password in the URL of Redis is not percent-encoded"
    })
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? 6379 : Number(url.port),
      db: Number(database),
      username: username || undefined,
      password: password || undefined,
      tls: url.protocol === "rediss:" ? {} : undefined
    }
  })
