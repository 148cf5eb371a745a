import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as CookiePolicy from "../../http/CookiePolicy.js"
import type * as CrossSite from "../../http/CrossSite.js"
import type { Lifetime } from "./policy.js"
import type { Realm } from "./scheme.js"

/** The settings of a Layer over sessions. */
export interface Settings extends CrossSite.Options {
  readonly timeout?: Duration.DurationInput | undefined
  readonly spans?: boolean | undefined
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly absoluteTimeout?: Duration.DurationInput | undefined
  readonly maxPerUser?: number | undefined
  readonly insecureCookie?: boolean | undefined
}

/** The settings in force. */
export interface Resolved {
  readonly policy: CookiePolicy.CookiePolicy
  readonly lifetime: Lifetime
  readonly maxPerUser: number
}

const positiveMillis = (duration: Duration.DurationInput): Option.Option<number> =>
  Option.filter(
    Option.map(Duration.decodeUnknown(duration), (duration) => Math.floor(Duration.toMillis(duration))),
    (millis) => millis > 0 && Number.isSafeInteger(millis)
  )

/** Left names what is wrong in a way that its type cannot say. */
export const resolve = ({ cookie, versions }: Realm, settings: Settings): Either.Either<Resolved, string> =>
  Either.gen(function*() {
    const policy = yield* CookiePolicy.make(cookie, settings.insecureCookie ?? false)
    const positive = (name: "idleTimeout" | "absoluteTimeout", fallback: Duration.DurationInput) =>
      Either.fromOption(positiveMillis(settings[name] ?? fallback), () => `${name} is a positive, finite duration`)
    const lifetime: Lifetime = {
      idle: yield* positive("idleTimeout", "7 days"),
      absolute: yield* positive("absoluteTimeout", "30 days")
    }
    const maxPerUser = settings.maxPerUser ?? 100
    if (!Number.isSafeInteger(maxPerUser) || maxPerUser < 1) {
      return yield* Either.left("maxPerUser is a positive whole number")
    }
    if (versions !== undefined && (!Number.isSafeInteger(versions.current) || versions.current < 1)) {
      return yield* Either.left("versions.current is a positive whole number")
    }
    return { policy, lifetime, maxPerUser }
  })
