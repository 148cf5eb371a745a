import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import {
  CrossSiteRejected,
  NotAuthorized,
  PermissionDenied,
  SecurityUnavailable,
  TooManyAttempts
} from "../SecurityError.js"
import type { SecurityError } from "../SecurityError.js"

/** What anything that authentication waits for takes at most, when nobody says otherwise. */
export const defaultTimeout: Duration.DurationInput = "2 seconds"

/** A timeout that makes sense, or none. */
export const toTimeout = (timeout: Duration.DurationInput | undefined): Option.Option<Duration.Duration> =>
  Option.filter(Duration.decodeUnknown(timeout ?? defaultTimeout), Duration.greaterThan(0))

const isSecurityError = (u: unknown): u is SecurityError =>
  u instanceof NotAuthorized || u instanceof PermissionDenied || u instanceof CrossSiteRejected ||
  u instanceof TooManyAttempts || u instanceof SecurityUnavailable

const logged = <E>(cause: Cause.Cause<unknown>, what: string, error: E): Effect.Effect<never, E> =>
  Effect.zipRight(Effect.logError(`${what} is not available`, cause), Effect.fail(error))

type Failures<E> = Extract<E, SecurityError> | SecurityUnavailable

const classify = <E>(cause: Cause.Cause<E>, what: string): Effect.Effect<never, Failures<E>> => {
  const failure = Cause.failureOption(cause)
  if (Option.isNone(failure) || !isSecurityError(failure.value)) {
    return logged(cause, what, new SecurityUnavailable({ reason: `${what} failed` }))
  }
  const error = failure.value
  return error._tag === "SecurityUnavailable"
    ? logged(error.cause === undefined ? cause : Cause.fail(error.cause), what, error)
    : Effect.fail(error as Extract<E, SecurityError>)
}

/**
 * Turns whatever a dependency does into an answer. Failures of the union `SecurityError` pass; every other failure,
 * defect, and interruption of its own becomes `SecurityUnavailable` with its cause logged, and so does an answer that
 * is later than `timeout`. The wait ends also where its surroundings are uninterruptible (the app-wide gate, api-level
 * middleware, finalizers) and where the dependency is (while it acquires a connection): what is still going on is left
 * behind, and interrupted when it can be.
 */
export const wait = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  what: string,
  timeout: Duration.Duration
): Effect.Effect<A, Failures<E>, R> => {
  // Inside the interruptible region: an interruption of the request itself is none of the dependency and skips this.
  const settled = Effect.catchAllCause(self, (cause) => classify(cause, what))
  return Effect.interruptible(Effect.disconnect(Effect.interruptible(settled))).pipe(
    Effect.timeoutTo({
      duration: timeout,
      onSuccess: (answer) => Effect.succeed(answer),
      onTimeout: (): Effect.Effect<A, SecurityUnavailable> => {
        const late = new SecurityUnavailable({ reason: `${what} took longer than ${Duration.format(timeout)}` })
        return logged(Cause.fail(late.reason), what, late)
      }
    }),
    Effect.flatten
  )
}
