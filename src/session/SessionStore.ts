/**
 * Where sessions live on the server. Each operation is a promise that every store keeps; adapters never see the types
 * of an application.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SecurityUnavailable } from "../SecurityError.js"
import { isLive, markMillis } from "./internal/policy.js"
import * as sweeper from "./internal/sweeper.js"
import { SessionId } from "./SessionToken.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * A session as a store keeps it. All times are milliseconds since 1970; a record is live while neither of its two
 * deadlines has come. `subject` is null for a session without one. `data` is the encoded session as JSON text and
 * `schemaVersion` the version of the schema that encoded it; `version` grows by one with each update.
 *
 * @since 0.1.0
 * @category models
 */
export class SessionRecord extends Schema.Class<SessionRecord>("effect-security/SessionRecord")({
  id: SessionId,
  realm: Schema.String,
  subject: Schema.NullOr(Schema.String),
  data: Schema.String,
  schemaVersion: Schema.Int,
  version: Schema.Int,
  createdAt: Schema.Int,
  authenticatedAt: Schema.Int,
  lastSeenAt: Schema.Int,
  idleDeadline: Schema.Int,
  absoluteDeadline: Schema.Int,
  /** False when the client forgets the session with the browser. */
  remember: Schema.Boolean,
  userAgent: Schema.String
}) {}

/**
 * All sessions of the subject were ended after this sign-in had verified its password: it must not land.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionRefused extends Data.TaggedError("SessionRefused") {}

/**
 * Every failure of the store itself is a `SecurityUnavailable`: it is never mistaken for "no such session".
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * A record exists afterwards, or a typed failure. Refused when the mark that `removeBySubject` left for the subject
   * is younger than the record's `authenticatedAt`. A record without a subject is never refused.
   */
  readonly create: (record: SessionRecord) => Effect.Effect<void, SessionRefused | SecurityUnavailable>
  /** Never returns an expired record. */
  readonly find: (id: SessionId) => Effect.Effect<Option.Option<SessionRecord>, SecurityUnavailable>
  /**
   * Replaces `data` and `schemaVersion` if the live record still has the version of `record`, and raises the version
   * by one. False when another write or a removal won. Never creates; changes nothing else.
   */
  readonly update: (record: SessionRecord) => Effect.Effect<boolean, SecurityUnavailable>
  /**
   * Extends a live record's idle deadline and sets `lastSeenAt` to now. Never shortens a deadline, never changes data,
   * never revives.
   */
  readonly touch: (id: SessionId, deadline: number) => Effect.Effect<void, SecurityUnavailable>
  /**
   * The old record is gone and the new one present in one step. False, creating nothing, when the old one is not live
   * or no longer has the version of `record`: an update that came between would be lost.
   */
  readonly rotate: (oldId: SessionId, record: SessionRecord) => Effect.Effect<boolean, SecurityUnavailable>
  /** When it returns, no request in flight can bring the session back. Removing what is not there succeeds. */
  readonly remove: (id: SessionId) => Effect.Effect<void, SecurityUnavailable>
  /**
   * The same for all sessions of a subject but `except`, expired ones too. It leaves a mark for 10 minutes: a sign-in
   * that verified its password before the mark cannot land after it.
   */
  readonly removeBySubject: (
    realm: string,
    subject: string,
    options: { readonly except: Option.Option<SessionId> }
  ) => Effect.Effect<void, SecurityUnavailable>
  /** The live sessions of a subject, in no particular order. */
  readonly listBySubject: (
    realm: string,
    subject: string
  ) => Effect.Effect<ReadonlyArray<SessionRecord>, SecurityUnavailable>
  /** Removes at most `limit` expired records of all realms, and says how many. */
  readonly removeExpired: (limit: number) => Effect.Effect<number, SecurityUnavailable>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class SessionStore extends Context.Tag("effect-security/session/SessionStore")<SessionStore, Service>() {}

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

const bucketMillis = 60_000

/**
 * Every operation is one synchronous step, so that none can come between another's reading and writing. Expired records
 * are found through buckets of deadlines: a record stands in the bucket of the deadline that it had when it was last
 * looked at, and moves on when it turns out to live longer.
 */
const makeMemory = (capacity: number): Service => {
  const records = new Map<SessionId, SessionRecord>()
  const bySubject = new Map<string, Set<SessionId>>()
  const marks = new Map<string, number>()
  const buckets = new Map<number, Set<SessionId>>()
  const bucketById = new Map<SessionId, number>()

  const subjectKey = (realm: string, subject: string | null) => JSON.stringify([realm, subject])

  const addTo = <K>(index: Map<K, Set<SessionId>>, key: K, id: SessionId) => {
    const ids = index.get(key)
    if (ids === undefined) {
      index.set(key, new Set([id]))
    } else {
      ids.add(id)
    }
  }
  const removeFrom = <K>(index: Map<K, Set<SessionId>>, key: K, id: SessionId) => {
    const ids = index.get(key)
    ids?.delete(id)
    if (ids?.size === 0) {
      index.delete(key)
    }
  }
  const bucketOf = (record: SessionRecord) =>
    Math.floor(Math.min(record.idleDeadline, record.absoluteDeadline) / bucketMillis)
  const place = (record: SessionRecord) => {
    bucketById.set(record.id, bucketOf(record))
    addTo(buckets, bucketOf(record), record.id)
  }
  const displace = (record: SessionRecord) => {
    removeFrom(buckets, bucketById.get(record.id)!, record.id)
    bucketById.delete(record.id)
  }
  const drop = (record: SessionRecord) => {
    records.delete(record.id)
    removeFrom(bySubject, subjectKey(record.realm, record.subject), record.id)
    displace(record)
  }
  const insert = (record: SessionRecord) => {
    const previous = records.get(record.id)
    if (previous !== undefined) {
      drop(previous)
    }
    records.set(record.id, record)
    addTo(bySubject, subjectKey(record.realm, record.subject), record.id)
    place(record)
  }
  const live = (id: SessionId, now: number): SessionRecord | undefined => {
    const record = records.get(id)
    return record !== undefined && isLive(record, now) ? record : undefined
  }
  const liveBySubject = (realm: string, subject: string, now: number) =>
    Array.from(bySubject.get(subjectKey(realm, subject)) ?? [])
      .map((id) => live(id, now))
      .filter((record) => record !== undefined)
  const replace = (record: SessionRecord, changes: Partial<SessionRecord>) => {
    records.set(record.id, new SessionRecord({ ...record, ...changes }, { disableValidation: true }))
  }
  const removeExpired = (limit: number, now: number): number => {
    let removed = 0
    const due = Array.from(buckets.keys()).filter((bucket) => bucket * bucketMillis <= now)
    for (const bucket of due) {
      for (const id of buckets.get(bucket)!) {
        const record = records.get(id)!
        if (!isLive(record, now)) {
          if (removed === limit) {
            return removed
          }
          drop(record)
          removed++
        } else if (bucketOf(record) !== bucket) {
          displace(record)
          place(record)
        }
      }
    }
    for (const [key, mark] of marks) {
      if (mark + markMillis <= now) {
        marks.delete(key)
      }
    }
    return removed
  }

  const step = <A>(f: (now: number) => A) => Effect.map(Clock.currentTimeMillis, f)

  return {
    create: (record) =>
      Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<void, SessionRefused | SecurityUnavailable> => {
        const mark = marks.get(subjectKey(record.realm, record.subject))
        if (mark !== undefined && now < mark + markMillis && record.authenticatedAt < mark) {
          return Effect.fail(new SessionRefused())
        }
        if (records.size >= capacity && removeExpired(sweeper.batch, now) === 0) {
          return Effect.fail(new SecurityUnavailable({ reason: `${capacity} sessions are live: memory is full` }))
        }
        insert(record)
        return Effect.void
      }),
    find: (id) => step((now) => Option.fromNullable(live(id, now))),
    update: (record) =>
      step((now) => {
        const current = live(record.id, now)
        if (current === undefined || current.version !== record.version) {
          return false
        }
        replace(current, { data: record.data, schemaVersion: record.schemaVersion, version: current.version + 1 })
        return true
      }),
    touch: (id, deadline) =>
      step((now) => {
        const current = live(id, now)
        if (current !== undefined) {
          replace(current, { lastSeenAt: now, idleDeadline: Math.max(current.idleDeadline, deadline) })
        }
      }),
    rotate: (oldId, record) =>
      step((now) => {
        const current = live(oldId, now)
        if (current === undefined || current.version !== record.version) {
          return false
        }
        drop(current)
        insert(record)
        return true
      }),
    remove: (id) =>
      step(() => {
        const current = records.get(id)
        if (current !== undefined) {
          drop(current)
        }
      }),
    removeBySubject: (realm, subject, { except }) =>
      step((now) => {
        const key = subjectKey(realm, subject)
        // A clock that goes back takes no mark back.
        marks.set(key, Math.max(marks.get(key) ?? now, now))
        // Expired ones too: to another process, whose clock is behind, they may still be live.
        for (const id of Array.from(bySubject.get(subjectKey(realm, subject)) ?? [])) {
          if (!Option.contains(except, id)) {
            drop(records.get(id)!)
          }
        }
      }),
    listBySubject: (realm, subject) => step((now) => liveBySubject(realm, subject, now)),
    removeExpired: (limit) => step((now) => removeExpired(limit, now))
  }
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Sessions in this process's memory, as `layerMemory`, with another `capacity`: a positive whole number, or the Layer
 * dies with a sentence that says so.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemoryWith = (options: { readonly capacity: number }): Layer.Layer<SessionStore> =>
  Layer.scoped(
    SessionStore,
    Effect.suspend(() => {
      if (!Number.isSafeInteger(options.capacity) || options.capacity < 1) {
        return Effect.dieMessage("SessionStore: capacity is a positive whole number")
      }
      const store = makeMemory(options.capacity)
      return Effect.as(sweeper.start(store, sweeper.defaultInterval), store)
    })
  )

/**
 * Sessions in this process's memory: for one process, for tests, for trying things out. At most `capacity` live
 * sessions are held (default 1,000,000); creating one more fails with `SecurityUnavailable`, since evicting someone
 * else's session would let a stranger sign people out. Expired sessions are swept by a fiber in the Layer's scope, and
 * so are the marks of `removeBySubject`, which `capacity` does not count. Nothing survives a restart.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<SessionStore> = layerMemoryWith({ capacity: 1_000_000 })
