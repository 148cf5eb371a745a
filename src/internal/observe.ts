import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { SecurityError } from "../SecurityError.js"
import * as SecurityEvents from "../SecurityEvents.js"
import * as SecurityMetrics from "../SecurityMetrics.js"

/** How a backend tells the outside what it does. None of it can fail, wait, or say a secret. */
export interface Observer {
  /** Publishes an event, where somebody provides `SecurityEvents`. */
  readonly publish: (event: (fields: SecurityEvents.Fields) => SecurityEvents.SecurityEvent) => Effect.Effect<void>
  /** Counts and times an authentication, says its outcome on the span of the request, and publishes a refusal. */
  readonly authentication: <A, E extends SecurityError, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Says on the span of the request, and publishes, that a request was refused where nobody was authenticated. */
  readonly refused: (error: Exclude<SecurityError, { readonly _tag: "SecurityUnavailable" }>) => Effect.Effect<void>
  /** Times one operation of a dependency, and gives it a span where spans are wanted. */
  readonly operation: (
    service: string,
    name: string
  ) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** A clock that cannot say the time this finely, as a test's between two milliseconds, fails no request. */
const nanos = Effect.catchAllDefect(
  Clock.currentTimeNanos,
  () => Effect.map(Clock.currentTimeMillis, (millis) => BigInt(Math.round(millis)) * 1_000_000n)
)

const timed = (histogram: Metric.Metric.Histogram<number>) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(nanos, (from) =>
    Effect.onExit(
      self,
      () => Effect.flatMap(nanos, (to) => Metric.update(histogram, Number(to - from) / 1e9))
    ))

const failureOf = <E>(exit: Exit.Exit<unknown, E>): Option.Option<E> =>
  Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()

/** Nobody tried anything: every visitor who is not signed in. */
const isAnonymous = (error: SecurityError): boolean => error._tag === "NotAuthorized" && error.reason === "NoCredential"

const reasonOf = (error: SecurityError): string => error.message

type MakeEvent = (fields: SecurityEvents.Fields) => SecurityEvents.SecurityEvent

const ambient = <I, A>(tag: Context.Tag<I, A>): Effect.Effect<Option.Option<A>> =>
  Effect.contextWith((context: Context.Context<never>) => Context.getOption(context as Context.Context<I>, tag))

const publishTo = (
  provided: Option.Option<SecurityEvents.Service>,
  backend: string,
  event: MakeEvent
): Effect.Effect<void> =>
  Effect.flatMap(
    Option.isSome(provided) ? Effect.succeed(provided) : ambient(SecurityEvents.SecurityEvents),
    Option.match({
      onNone: () => Effect.void,
      onSome: (events) =>
        Effect.flatMap(DateTime.now, (at) => events.publish(event({ at, backend }))).pipe(
          // Whoever listens is not asked whether a request may go on.
          Effect.catchAllCause((cause) => Effect.logWarning("a security event was not published", cause))
        )
    })
  )

/** Publishes an event for somebody who has no Layer, where the server is given `SecurityEvents`. */
export const publish = (backend: string, event: MakeEvent): Effect.Effect<void> =>
  publishTo(Option.none(), backend, event)

const rejection = (error: Exclude<SecurityError, { readonly _tag: "SecurityUnavailable" }>): MakeEvent => (fields) =>
  new SecurityEvents.Rejected({ ...fields, error: error._tag, reason: reasonOf(error) })

/** The span of the request itself, also where the application has opened others inside. */
const requestSpan = (span: Tracer.AnySpan): Tracer.AnySpan => {
  let current: Tracer.AnySpan | undefined = span
  while (current?._tag === "Span" && current.kind !== "server") {
    current = Option.getOrUndefined(current.parent)
  }
  return current?._tag === "Span" ? current : span
}

const annotate = (backend: string, outcome: string, error: Option.Option<SecurityError>): Effect.Effect<void> =>
  Effect.map(ambient(Tracer.ParentSpan), (parent) => {
    const span = Option.getOrUndefined(Option.map(parent, requestSpan))
    if (span?._tag === "Span") {
      span.attribute("effect_security.backend", backend)
      span.attribute("effect_security.outcome", outcome)
      if (Option.isSome(error)) {
        span.attribute("effect_security.reason", reasonOf(error.value))
      }
    }
  })

/** Says on the span of the request, and publishes, that somebody was refused after a backend had let them in. */
export const refused = (backend: string, error: SecurityError): Effect.Effect<void> =>
  error._tag === "SecurityUnavailable"
    ? annotate(backend, error._tag, Option.some(error))
    : Effect.zipRight(annotate(backend, error._tag, Option.some(error)), publish(backend, rejection(error)))

/** The observer of one backend; `spans` asks for spans of its own. */
export const make = (backend: string, spans: boolean): Effect.Effect<Observer> =>
  Effect.map(Effect.serviceOption(SecurityEvents.SecurityEvents), (provided): Observer => {
    const seconds = (metric: Metric.Metric.Histogram<number>) => Metric.tagged(metric, "backend", backend)
    const counters = new Map<string, Metric.Metric.Counter<number>>()
    const counter = (outcome: string) => {
      let found = counters.get(outcome)
      if (found === undefined) {
        found = Metric.tagged(Metric.tagged(SecurityMetrics.authentications, "backend", backend), "outcome", outcome)
        counters.set(outcome, found)
      }
      return found
    }
    const time = timed(seconds(SecurityMetrics.authenticationSeconds))

    const publish: Observer["publish"] = (event) => publishTo(provided, backend, event)

    return {
      publish,
      refused: (error) => Effect.zipRight(annotate(backend, error._tag, Option.some(error)), publish(rejection(error))),
      authentication: (self) =>
        Effect.onExit(time(self), (exit) => {
          const error = failureOf<SecurityError>(exit)
          const outcome = Exit.isSuccess(exit)
            ? "Authenticated"
            : Option.match(error, { onNone: () => "Interrupted", onSome: ({ _tag }) => _tag })
          return Effect.zipRight(
            Effect.zipRight(annotate(backend, outcome, error), Metric.increment(counter(outcome))),
            Option.match(error, {
              onNone: () => Effect.void,
              onSome: (error) =>
                error._tag === "SecurityUnavailable" || isAnonymous(error)
                  ? Effect.void
                  : publish(rejection(error))
            })
          )
        }),
      operation: (service, name) => {
        const time = timed(Metric.tagged(seconds(SecurityMetrics.storeSeconds), "operation", name))
        return spans
          ? (self) =>
            Effect.withSpan(time(self), `${service}.${name}`, { attributes: { backend }, captureStackTrace: false })
          : time
      }
    }
  })
