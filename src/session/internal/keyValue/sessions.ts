import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SecurityUnavailable } from "../../../SecurityError.js"
import type { Service } from "../../SessionStore.js"
import { SessionRecord, SessionRefused } from "../../SessionStore.js"
import type { SessionId } from "../../SessionToken.js"
import * as SessionToken from "../../SessionToken.js"
import { isLive } from "../policy.js"
import * as deadlines from "./deadlines.js"
import * as entries from "./entries.js"
import * as locks from "./locks.js"
import * as subjects from "./subjects.js"

const Record = Schema.Struct(SessionRecord.fields)

const deadlineOf = ({ absoluteDeadline, idleDeadline }: SessionRecord) => Math.min(idleDeadline, absoluteDeadline)

const otherTag = (what: string) =>
  Effect.fail(new SecurityUnavailable({ reason: `${what} has the id of another subject's session` }))

/**
 * Every operation commits by replacing one entry: the one of the subjects, where a session begins or ends, or the
 * record, where it changes. What is written before, nobody sees until then; what is removed afterwards, nobody sees
 * any more. So it may fail or be cut off anywhere.
 *
 * Before a record is written its deadline is, so that the sweep finds what was left behind without a commit.
 */
export const make = (store: KeyValueStore): Service => {
  const records = entries.make(store, Record, "session/record/")
  const subjectsByTag = entries.make(store, subjects.Subjects, "session/subjects/")
  const due = deadlines.make(store, "session/due")
  const locked = locks.make()

  /** One at a time for each tag, and wholly or not at all. */
  const step = (tag: string) => <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    locked(tag)(Effect.uninterruptible(self))

  const findSubjects = (tag: string): Effect.Effect<subjects.Subjects, SecurityUnavailable> =>
    Effect.map(subjectsByTag.find(tag), Option.getOrElse(() => subjects.none))

  const commit = (tag: string, changed: subjects.Subjects) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const left = subjects.prune(changed, now)
      return left.length === 0 ? subjectsByTag.remove(tag) : subjectsByTag.write(tag, left)
    })

  const live = (found: Option.Option<typeof Record.Type>): Effect.Effect<Option.Option<SessionRecord>> =>
    Effect.map(Clock.currentTimeMillis, (now) =>
      found.pipe(
        Option.filter((fields) => isLive(fields, now)),
        Option.map((fields) => new SessionRecord(fields, { disableValidation: true }))
      ))

  /** A record that is not over, whether or not there is a session to it. */
  const findRecord = (id: SessionId): Effect.Effect<Option.Option<SessionRecord>, SecurityUnavailable> =>
    Effect.flatMap(records.find(id), live)

  /** The record is read first: where it was still there, so was the session, if it is there afterwards. */
  const lookUp = <E>(
    id: SessionId,
    readRecord: (name: string) => Effect.Effect<Option.Option<typeof Record.Type>, E>,
    readSubjects: (name: string) => Effect.Effect<Option.Option<subjects.Subjects>, E>
  ): Effect.Effect<Option.Option<SessionRecord>, E> =>
    Effect.flatMap(Effect.flatMap(readRecord(id), live), (found) =>
      Option.isNone(found)
        ? Effect.succeed(found)
        : Effect.map(
          readSubjects(SessionToken.tagOfId(id)),
          (known) => Option.exists(known, (known) => subjects.has(known, id)) ? found : Option.none()
        ))

  /** For who holds the lock. */
  const find = (id: SessionId): Effect.Effect<Option.Option<SessionRecord>, SecurityUnavailable> =>
    lookUp(id, records.find, subjectsByTag.find)

  /** The session is over already. That its record is still there is no failure of ending it. */
  const discard = (id: SessionId) =>
    Effect.catchAll(
      records.remove(id),
      (error) => Effect.logWarning(`the record of the ended session ${id} could not be removed`, error)
    )

  /** Looks at a session whose deadline may have come. */
  const settleSession = (id: SessionId): Effect.Effect<deadlines.Settled, SecurityUnavailable> => {
    const tag = SessionToken.tagOfId(id)
    return step(tag)(Effect.gen(function*() {
      const known = yield* findSubjects(tag)
      const isKnown = subjects.has(known, id)
      const found = yield* findRecord(id)
      if (isKnown && Option.isSome(found)) {
        yield* due.add(id, deadlineOf(found.value))
        return "kept" as const
      }
      // It is over. What fails here is done the next time, when it is still known as long as it was not counted.
      yield* records.remove(id)
      if (!isKnown) {
        return "kept" as const
      }
      yield* commit(tag, subjects.remove(known, id))
      return "removed" as const
    }))
  }

  /** Looks at a tag where a mark may be over. */
  const settleTag = (tag: string): Effect.Effect<deadlines.Settled, SecurityUnavailable> =>
    step(tag)(Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const known = subjects.prune(yield* findSubjects(tag), now)
      const markEnd = subjects.lastMarkEnd(known)
      if (markEnd !== undefined) {
        yield* due.add(tag, markEnd)
      }
      yield* commit(tag, known)
      return "kept" as const
    }))

  const isId = Schema.is(Schema.typeSchema(SessionToken.SessionId))

  return {
    create: (record) => {
      const tag = SessionToken.tagOfId(record.id)
      return SessionToken.belongsTo(record.id, record.realm, record.subject)
        ? step(tag)(Effect.gen(function*() {
          const known = yield* findSubjects(tag)
          const now = yield* Clock.currentTimeMillis
          if (subjects.isRefused(known, record, now)) {
            return yield* new SessionRefused()
          }
          yield* due.add(record.id, deadlineOf(record))
          yield* records.write(record.id, record)
          yield* commit(tag, subjects.add(known, record, record.id))
        }))
        : otherTag("create")
    },
    // Without a lock. Where the store does not replace what it stores in one step, what cannot be read may be what is
    // being written: then it waits.
    find: (id) =>
      Effect.catchTag(
        lookUp(id, records.read, subjectsByTag.read),
        "Unreadable",
        () => locked(SessionToken.tagOfId(id))(find(id))
      ),
    update: (record) =>
      step(SessionToken.tagOfId(record.id))(Effect.gen(function*() {
        const found = yield* find(record.id)
        if (Option.isNone(found) || found.value.version !== record.version) {
          return false
        }
        const { data, schemaVersion, version } = record
        yield* records.write(record.id, { ...found.value, data, schemaVersion, version: version + 1 })
        return true
      })),
    touch: (id, deadline) =>
      step(SessionToken.tagOfId(id))(Effect.gen(function*() {
        const found = yield* find(id)
        if (Option.isSome(found)) {
          const lastSeenAt = yield* Clock.currentTimeMillis
          const idleDeadline = Math.max(found.value.idleDeadline, deadline)
          yield* records.write(id, { ...found.value, lastSeenAt, idleDeadline })
        }
      })),
    rotate: (oldId, record) => {
      const tag = SessionToken.tagOfId(oldId)
      return SessionToken.tagOfId(record.id) === tag
        ? step(tag)(Effect.gen(function*() {
          const found = yield* find(oldId)
          if (Option.isNone(found) || found.value.version !== record.version) {
            return false
          }
          yield* due.add(record.id, deadlineOf(record))
          yield* records.write(record.id, record)
          yield* commit(tag, subjects.add(subjects.remove(yield* findSubjects(tag), oldId), record, record.id))
          yield* discard(oldId)
          return true
        }))
        : otherTag("rotate")
    },
    remove: (id) => {
      const tag = SessionToken.tagOfId(id)
      return step(tag)(Effect.gen(function*() {
        const known = yield* findSubjects(tag)
        if (subjects.has(known, id)) {
          yield* commit(tag, subjects.remove(known, id))
        }
        yield* discard(id)
      }))
    },
    removeBySubject: (realm, subject, { except }) => {
      const tag = SessionToken.tagOf(realm, subject)
      const stays = (id: SessionId) => Option.contains(except, id)
      return step(tag)(Effect.gen(function*() {
        const known = yield* findSubjects(tag)
        const now = yield* Clock.currentTimeMillis
        if (subjects.lastMarkEnd(known) === undefined) {
          yield* due.add(tag, subjects.markEnd(now))
        }
        yield* commit(tag, subjects.end(known, { realm, subject }, stays, now))
        yield* Effect.forEach(
          subjects.find(known, { realm, subject }).ids.filter((id) => !stays(id)),
          discard,
          { discard: true }
        )
      }))
    },
    listBySubject: (realm, subject) => {
      const tag = SessionToken.tagOf(realm, subject)
      return locked(tag)(Effect.gen(function*() {
        const { ids } = subjects.find(yield* findSubjects(tag), { realm, subject })
        return (yield* Effect.forEach(ids, findRecord, { concurrency: 8 })).flatMap(Option.toArray)
      }))
    },
    removeExpired: (limit) => due.sweep(limit, (name) => isId(name) ? settleSession(name) : settleTag(name))
  }
}
