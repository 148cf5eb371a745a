// A correct store whose state lies open, so that a flaw can be put into one operation and leave the others as they are.
import { Clock, Effect, Option } from "effect"
import { SessionStore } from "effect-security"
import type { SessionToken } from "effect-security"

export interface State {
  readonly records: Map<SessionToken.SessionId, SessionStore.SessionRecord>
  readonly marks: Map<string, number>
}

export const key = (realm: string, subject: string | null) => JSON.stringify([realm, subject])

export const isLive = (record: SessionStore.SessionRecord, now: number) =>
  now < record.idleDeadline && now < record.absoluteDeadline

export const changed = (record: SessionStore.SessionRecord, changes: Partial<SessionStore.SessionRecord>) =>
  new SessionStore.SessionRecord({ ...record, ...changes }, { disableValidation: true })

/** One step that nothing comes between. */
export const step = <A>(f: (now: number) => A) => Effect.map(Clock.currentTimeMillis, f)

export const make = (): { readonly state: State; readonly store: SessionStore.Service } => {
  const records: State["records"] = new Map()
  const marks: State["marks"] = new Map()

  const live = (id: SessionToken.SessionId, now: number) =>
    Option.filter(Option.fromNullable(records.get(id)), (record) => isLive(record, now))
  const sameVersion = (id: SessionToken.SessionId, version: number, now: number) =>
    Option.filter(live(id, now), (record) => record.version === version)
  const ofSubject = (realm: string, subject: string) =>
    Array.from(records.values()).filter((record) => record.realm === realm && record.subject === subject)

  const store: SessionStore.Service = {
    create: (record) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const mark = marks.get(key(record.realm, record.subject))
        if (mark !== undefined && now < mark + 600_000 && record.authenticatedAt < mark) {
          return Effect.fail(new SessionStore.SessionRefused())
        }
        records.set(record.id, record)
        return Effect.void
      }),
    find: (id) => step((now) => live(id, now)),
    update: ({ data, id, schemaVersion, version }) =>
      step((now) =>
        Option.match(sameVersion(id, version, now), {
          onNone: () => false,
          onSome: (current) => {
            records.set(id, changed(current, { data, schemaVersion, version: version + 1 }))
            return true
          }
        })
      ),
    touch: (id, deadline) =>
      step((now) => {
        for (const current of Option.toArray(live(id, now))) {
          const idleDeadline = Math.max(current.idleDeadline, deadline)
          records.set(id, changed(current, { lastSeenAt: now, idleDeadline }))
        }
      }),
    rotate: (oldId, record) =>
      step((now) =>
        Option.match(sameVersion(oldId, record.version, now), {
          onNone: () => false,
          onSome: () => {
            records.delete(oldId)
            records.set(record.id, record)
            return true
          }
        })
      ),
    remove: (id) => step(() => void records.delete(id)),
    removeBySubject: (realm, subject, { except }) =>
      step((now) => {
        marks.set(key(realm, subject), Math.max(marks.get(key(realm, subject)) ?? now, now))
        for (const { id } of ofSubject(realm, subject)) {
          if (!Option.contains(except, id)) {
            records.delete(id)
          }
        }
      }),
    listBySubject: (realm, subject) => step((now) => ofSubject(realm, subject).filter((record) => isLive(record, now))),
    removeExpired: (limit) =>
      step((now) => {
        const expired = Array.from(records.values()).filter((record) => !isLive(record, now)).slice(0, limit)
        expired.forEach(({ id }) => records.delete(id))
        return expired.length
      })
  }
  return { state: { records, marks }, store }
}
