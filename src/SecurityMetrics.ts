/**
 * What is counted and timed. The metrics have no user, session or reason among their tags, so that their number is
 * bounded by the number of backends.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const seconds = MetricBoundaries.fromIterable([
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5
])

/**
 * How often a request was authenticated or not, as far as a backend had to find out: what a request asks a second time
 * is remembered. Tags: `backend`, the id of its Tag, and `outcome`, which is `Authenticated` or the tag of the failure
 * (`NotAuthorized`, `PermissionDenied`, `CrossSiteRejected`, `TooManyAttempts`, `SecurityUnavailable`), or
 * `Interrupted`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const authentications: Metric.Metric.Counter<number> = Metric.counter("effect_security_authentications_total", {
  description: "Outcomes of authentication",
  incremental: true
})

/**
 * How long authentication took, in seconds. Tag: `backend`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const authenticationSeconds: Metric.Metric.Histogram<number> = Metric.histogram(
  "effect_security_authentication_seconds",
  seconds,
  "How long authentication took"
)

/**
 * How long an operation of a `SessionStore` took, in seconds. Tags: `backend`, `operation`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const storeSeconds: Metric.Metric.Histogram<number> = Metric.histogram(
  "effect_security_store_seconds",
  seconds,
  "How long an operation of a session store took"
)

/**
 * How many `SecurityEvents` were lost, since a listener was too slow.
 *
 * @since 0.1.0
 * @category metrics
 */
export const eventsDropped: Metric.Metric.Counter<number> = Metric.counter("effect_security_events_dropped_total", {
  description: "Security events that a slow listener lost",
  incremental: true
})
