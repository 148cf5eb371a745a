/**
 * What happened to credentials, for an audit log: a stream of typed events that never delays a request.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as SecurityMetrics from "./SecurityMetrics.js"

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

/**
 * What every event says: when, and which backend (or permission, or repository of users) it concerns, by the id of its
 * Tag. No event holds a token, a password
 * or a hash.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fields {
  readonly at: DateTime.Utc
  readonly backend: string
}

/**
 * Somebody was signed in. `credential` is the id of the session, never its token.
 *
 * @since 0.1.0
 * @category models
 */
export class SignedIn extends Data.TaggedClass("SignedIn")<
  Fields & { readonly subject: string; readonly credential: Option.Option<string> }
> {}

/**
 * A credential was given up by its holder, or its grant was not sent after all since the response turned out to be 400
 * or above.
 *
 * @since 0.1.0
 * @category models
 */
export class SignedOut extends Data.TaggedClass("SignedOut")<
  Fields & { readonly credential: Option.Option<string> }
> {}

/**
 * A request was refused: `error` is the tag of the failure, `reason` what it says for logs. A request without any
 * credential is none.
 *
 * @since 0.1.0
 * @category models
 */
export class Rejected extends Data.TaggedClass("Rejected")<
  Fields & {
    readonly error: "NotAuthorized" | "PermissionDenied" | "CrossSiteRejected" | "TooManyAttempts"
    readonly reason: string
  }
> {}

/**
 * A credential was replaced by a fresh one.
 *
 * @since 0.1.0
 * @category models
 */
export class Rotated extends Data.TaggedClass("Rotated")<
  Fields & {
    readonly subject: string
    readonly credential: Option.Option<string>
    readonly replaced: Option.Option<string>
  }
> {}

/**
 * Credentials of a subject were ended: the one that `credential` names, or all of them, or all but the one of the
 * request that asked (`except`).
 *
 * @since 0.1.0
 * @category models
 */
export class Revoked extends Data.TaggedClass("Revoked")<
  Fields & {
    readonly subject: string
    readonly credential: Option.Option<string>
    readonly except: Option.Option<string>
  }
> {}

/**
 * A password was changed by somebody who knew the one before. `backend` is the id of the repository's Tag, `subject`
 * the id of the user.
 *
 * @since 0.1.0
 * @category models
 */
export class PasswordChanged extends Data.TaggedClass("PasswordChanged")<Fields & { readonly subject: string }> {}

/**
 * @since 0.1.0
 * @category models
 */
export type SecurityEvent = SignedIn | SignedOut | Rejected | Rotated | Revoked | PasswordChanged

// -----------------------------------------------------------------------------
// The service
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Hands an event to everybody who listens. Never waits: who is behind by `capacity` events loses the oldest. */
  readonly publish: (event: SecurityEvent) => Effect.Effect<void>
  /** The events from now on. */
  readonly stream: Stream.Stream<SecurityEvent>
  /** How many events were lost by those who listen. */
  readonly dropped: Effect.Effect<number>
}

/**
 * Where events go. It is optional: provide it around the server, and everything publishes to it. Where only a backend's
 * Layer has it, guards, permissions and `Credentials` do not.
 *
 * @since 0.1.0
 * @category tags
 */
export class SecurityEvents extends Context.Tag("effect-security/SecurityEvents")<SecurityEvents, Service>() {}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const make = (capacity: number): Service => {
  const listeners = new Set<Queue.Queue<SecurityEvent>>()
  let dropped = 0
  // A listener that has just left interrupts who offers it something: `exit` keeps that from the one who publishes.
  const hand = (event: SecurityEvent) => (listener: Queue.Queue<SecurityEvent>) =>
    Effect.exit(Effect.flatMap(Queue.isFull(listener), (isFull) => {
      if (!isFull) {
        return Queue.offer(listener, event)
      }
      dropped++
      return Effect.zipRight(Metric.increment(SecurityMetrics.eventsDropped), Queue.offer(listener, event))
    }))
  return {
    publish: (event) =>
      Effect.suspend(() =>
        listeners.size === 0 ? Effect.void : Effect.forEach(listeners, hand(event), { discard: true })
      ),
    stream: Stream.unwrapScoped(
      Effect.map(
        Effect.acquireRelease(
          Effect.tap(Queue.sliding<SecurityEvent>(capacity), (listener) =>
            Effect.sync(() => {
              listeners.add(listener)
            })),
          (listener) => {
            listeners.delete(listener)
            return Queue.shutdown(listener)
          }
        ),
        (listener) => Stream.fromQueue(listener)
      )
    ),
    dropped: Effect.sync(() => dropped)
  }
}

/**
 * Events in this process. Each listener has a buffer of `capacity` events, a positive whole number (the Layer dies with
 * a sentence otherwise).
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (options: { readonly capacity: number }): Layer.Layer<SecurityEvents> =>
  Layer.suspend(() =>
    Number.isSafeInteger(options.capacity) && options.capacity > 0
      ? Layer.sync(SecurityEvents, () => make(options.capacity))
      : Layer.die(new Error("SecurityEvents: capacity is a positive whole number"))
  )

/**
 * Events in this process, with a buffer of 1,024 events for each listener.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Effect, Layer, Stream } from "effect"
 * import { SecurityEvents } from "effect-security"
 *
 * // Provide it around the server: `Layer.provide(AuditLive)` on what `HttpServer.serve` gives.
 * export const AuditLive = Layer.provideMerge(
 *   Layer.scopedDiscard(
 *     Effect.forkScoped(Stream.runForEach(SecurityEvents.stream, (event) => Effect.logInfo("security", event)))
 *   ),
 *   SecurityEvents.layer
 * )
 * ```
 */
export const layer: Layer.Layer<SecurityEvents> = layerWith({ capacity: 1024 })

// -----------------------------------------------------------------------------
// Accessors
// -----------------------------------------------------------------------------

/**
 * The events from now on.
 *
 * @since 0.1.0
 * @category accessors
 */
export const stream: Stream.Stream<SecurityEvent, never, SecurityEvents> = Stream.unwrap(
  Effect.map(SecurityEvents, (events) => events.stream)
)

/**
 * How many events were lost by those who listen.
 *
 * @since 0.1.0
 * @category accessors
 */
export const dropped: Effect.Effect<number, never, SecurityEvents> = Effect.flatMap(
  SecurityEvents,
  (events) => events.dropped
)
