/**
 * What becomes of sessions when the schema of what they hold changes.
 *
 * @since 0.1.0
 */
import type * as Option from "effect/Option"

/**
 * What becomes of what an earlier version of a schema encoded. `current` is the version that encodes now: a whole
 * number, 1 where nobody says otherwise. `migrate` is given the JSON value that another version encoded, and its
 * number, which is lower than `current`; `None`, or another subject, ends it cleanly. What a later version encoded is
 * not accepted and stays as it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionVersions<out Session> {
  readonly current: number
  readonly migrate: (data: unknown, version: number) => Option.Option<Session>
}
