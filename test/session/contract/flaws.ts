// One broken store for each promise: a correct store in which one operation does something else.
import { Clock, Effect, Option } from "effect"
import { SecurityError, SessionStore } from "effect-security"
import type { State } from "./plainStore.js"
import { changed, isLive, key, make, step } from "./plainStore.js"

type Record = SessionStore.SessionRecord
type Service = SessionStore.Service

interface Flaw {
  readonly title: string
  readonly change: (store: Service, state: State) => Partial<Service>
}

const flaw = (title: string, change: Flaw["change"]): Flaw => ({ title, change })

export const broken = ({ change }: Flaw): Service => {
  const { state, store } = make()
  return { ...store, ...change(store, state) }
}

// -----------------------------------------------------------------------------
// Ways to be wrong
// -----------------------------------------------------------------------------

const unavailable = Effect.fail(new SecurityError.SecurityUnavailable())
const minute = 60_000

/** Keeps something else than it was given. */
const keeps = (title: string, change: (_: Record) => Partial<Record>) =>
  flaw(title, (store) => ({
    create: (record) => store.create(changed(record, change(record)))
  }))

/** Forgets the marks of which `isForgotten` says so, before it creates. */
const markless = (
  title: string,
  isForgotten: (age: number, record: Record) => boolean
) =>
  flaw(title, (store, { marks }) => ({
    create: (record) =>
      Effect.zipRight(
        step((now) => {
          const mark = marks.get(key(record.realm, record.subject))
          if (mark !== undefined && isForgotten(now - mark, record)) {
            marks.delete(key(record.realm, record.subject))
          }
        }),
        store.create(record)
      )
  }))

/** Refuses also where no mark stands. */
const refuses = (title: string, isRefused: (record: Record, state: State, now: number) => boolean) =>
  flaw(title, (store, state) => ({
    create: (record) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => isRefused(record, state, now) ? Effect.fail(new SessionStore.SessionRefused()) : store.create(record)
      )
  }))

const isMarked = (state: State, record: Record, realm: string, subject: string | null) =>
  (state.marks.get(key(realm, subject)) ?? -1) > record.authenticatedAt

const marksAs = (title: string, name: (realm: string, subject: string | null) => string) =>
  refuses(title, (record, { marks }) =>
    Array.from(marks).some(([marked, mark]) => {
      const [realm, subject] = JSON.parse(marked)
      return record.subject !== null && name(realm, subject) === name(record.realm, record.subject) &&
        record.authenticatedAt < mark
    }))

/** Lists and removes what is not the subject's. */
const mistakes = (title: string, isSame: (record: Record, realm: string, subject: string) => boolean) =>
  flaw(title, (store, { records }) => ({
    removeBySubject: (realm, subject, options) =>
      Effect.zipRight(
        step(() => {
          for (const record of Array.from(records.values())) {
            if (isSame(record, realm, subject) && !Option.contains(options.except, record.id)) {
              records.delete(record.id)
            }
          }
        }),
        store.removeBySubject(realm, subject, options)
      )
  }))

const listsToo = (title: string, isListed: (record: Record, realm: string, subject: string, now: number) => boolean) =>
  flaw(title, (_, { records }) => ({
    listBySubject: (realm, subject) =>
      step((now) => Array.from(records.values()).filter((record) => isListed(record, realm, subject, now)))
  }))

const touches = (
  title: string,
  change: (record: Record, deadline: number, now: number) => Partial<Record>
) =>
  flaw(title, (_, { records }) => ({
    touch: (id, deadline) =>
      step((now) => {
        const current = records.get(id)
        if (current !== undefined && isLive(current, now)) {
          const idleDeadline = Math.max(current.idleDeadline, deadline)
          records.set(id, changed(current, { lastSeenAt: now, idleDeadline, ...change(current, deadline, now) }))
        }
      })
  }))

const updates = (
  title: string,
  isAllowed: (current: Record | undefined, given: Record, now: number) => boolean,
  change: (current: Record | undefined, given: Record) => Record
) =>
  flaw(title, (_, { records }) => ({
    update: (given) =>
      step((now) => {
        const current = records.get(given.id)
        if (!isAllowed(current, given, now)) {
          return false
        }
        records.set(given.id, change(current, given))
        return true
      })
  }))

const sameVersion = (current: Record | undefined, given: Record, now: number) =>
  current !== undefined && isLive(current, now) && current.version === given.version

const rightUpdate = (current: Record | undefined, { data, schemaVersion, version }: Record) =>
  changed(current!, { data, schemaVersion, version: version + 1 })

const rotates = (
  title: string,
  isAllowed: (current: Record | undefined, given: Record, now: number) => boolean,
  change: (current: Record, given: Record) => Record = (_, given) => given,
  keepsOld = false
) =>
  flaw(title, (_, { records }) => ({
    rotate: (oldId, given) =>
      step((now) => {
        const current = records.get(oldId)
        if (!isAllowed(current, given, now)) {
          return false
        }
        if (!keepsOld) {
          records.delete(oldId)
        }
        records.set(given.id, change(current!, given))
        return true
      })
  }))

/** Brings back what `isBuried` says it saw ending. */
const remembers = (
  title: string,
  revive: (store: Service, state: State, graveyard: State["records"]) => Partial<Service>
) =>
  flaw(title, (store, state) => {
    const graveyard: State["records"] = new Map()
    const bury = (id: Record["id"]) =>
      Effect.sync(() => {
        const record = state.records.get(id)
        if (record !== undefined) {
          graveyard.set(id, record)
        }
      })
    return {
      remove: (id) => Effect.zipRight(bury(id), store.remove(id)),
      rotate: (id, record) => Effect.zipRight(bury(id), store.rotate(id, record)),
      ...revive(store, state, graveyard)
    }
  })

/** Looks, lets others run, and then does as if nothing had happened. */
const hesitates = <A, B>(look: Effect.Effect<A>, act: (seen: A) => B) =>
  Effect.flatMap(Effect.zipLeft(look, Effect.yieldNow()), (seen) => Effect.sync(() => act(seen)))

const slowUpdate = (state: State): Service["update"] => (given) =>
  hesitates(step((now) => [state.records.get(given.id), now] as const), ([current, now]) => {
    const isSame = sameVersion(current, given, now)
    if (isSame) {
      state.records.set(given.id, rightUpdate(current, given))
    }
    return isSame
  })

const slowTouch = (state: State): Service["touch"] => (id, deadline) =>
  hesitates(step((now) => [state.records.get(id), now] as const), ([current, now]) => {
    if (current !== undefined && isLive(current, now)) {
      const idleDeadline = Math.max(current.idleDeadline, deadline)
      state.records.set(id, changed(current, { lastSeenAt: now, idleDeadline }))
    }
  })

const slowRotate = (state: State): Service["rotate"] => (oldId, given) =>
  hesitates(step((now) => sameVersion(state.records.get(oldId), given, now)), (isSame) => {
    if (isSame) {
      state.records.delete(oldId)
      state.records.set(given.id, given)
    }
    return isSame
  })

const slowCreate = (state: State): Service["create"] => (given) =>
  Effect.flatten(
    hesitates(step(() => given.subject !== null && isMarked(state, given, given.realm, given.subject)), (isRefused) => {
      if (isRefused) {
        return Effect.fail(new SessionStore.SessionRefused())
      }
      state.records.set(given.id, given)
      return Effect.void
    })
  )

// -----------------------------------------------------------------------------
// For each promise the stores that break it
// -----------------------------------------------------------------------------

/** By the name of the case that says so. */
export const flaws: { readonly [promise: string]: ReadonlyArray<Flaw> } = {
  "create: the record exists afterwards, as it was given to the last character": [
    flaw("create says that it did, and did not", () => ({ create: () => Effect.void })),
    keeps("the user agent is lost", () => ({ userAgent: "" })),
    keeps("a user agent is cut after 200 characters", ({ userAgent }) => ({ userAgent: userAgent.slice(0, 200) })),
    keeps("every session is remembered", () => ({ remember: true })),
    keeps("the schema version is lost", () => ({ schemaVersion: 1 })),
    keeps("the version begins at 0", () => ({ version: 0 })),
    keeps("the time of the sign-in is lost", ({ createdAt }) => ({ authenticatedAt: createdAt })),
    keeps("the time when it was last seen is lost", ({ createdAt }) => ({ lastSeenAt: createdAt })),
    keeps("no session is created before it is stored", ({ authenticatedAt }) => ({ createdAt: authenticatedAt })),
    keeps("no subject becomes an empty one", ({ subject }) => ({ subject: subject ?? "" })),
    keeps("an empty subject becomes none", ({ subject }) => ({ subject: subject === "" ? null : subject })),
    keeps("subjects lose the space around them", ({ subject }) => ({ subject: subject?.trim() ?? null })),
    keeps("text is normalised", ({ userAgent }) => ({ userAgent: userAgent.normalize("NFC") })),
    keeps("data is parsed and printed again", ({ data }) => ({ data: JSON.stringify(JSON.parse(data)) })),
    keeps("data is cut at 16,000 bytes", ({ data }) => ({ data: Buffer.from(data).subarray(0, 16_000).toString() })),
    keeps("text has one byte a character", ({ userAgent }) => ({
      userAgent: Buffer.from(userAgent, "latin1").toString("latin1")
    })),
    keeps("deadlines are whole seconds", ({ idleDeadline }) => ({
      idleDeadline: Math.floor(idleDeadline / 1_000) * 1_000
    })),
    keeps("absolute deadlines end in 9999", ({ absoluteDeadline }) => ({
      absoluteDeadline: Math.min(absoluteDeadline, Date.UTC(9999))
    })),
    flaw("a subject's list has no user agents", (store) => ({
      listBySubject: (realm, subject) =>
        Effect.map(
          store.listBySubject(realm, subject),
          (records) => records.map((record) => changed(record, { userAgent: "" }))
        )
    }))
  ],
  "create: refused when the password was verified before the subject's sessions were all ended": [
    markless("there are no marks", () => true),
    flaw("create refuses, and creates", (store, { records }) => ({
      create: (record) => Effect.ensuring(store.create(record), Effect.sync(() => records.set(record.id, record)))
    }))
  ],
  "create: not refused when the password was verified since, in the same millisecond too": [
    refuses(
      "a mark stands against its own millisecond",
      (record, { marks }) => (marks.get(key(record.realm, record.subject)) ?? -1) >= record.authenticatedAt
    ),
    refuses("a mark stands against everybody", (record, { marks }) => marks.has(key(record.realm, record.subject)))
  ],
  "create: a mark stands against its own subject in its own realm only": [
    marksAs("marks are kept per subject, for all realms", (_, subject) => String(subject)),
    marksAs("marks are kept per realm, for all subjects", (realm) => realm),
    marksAs("marks are kept per realm and subject, joined", (realm, subject) => `${realm}:${subject}`),
    marksAs("marks do not regard case", (realm, subject) => key(realm, String(subject).toLowerCase()))
  ],
  "create: a mark lives for 10 minutes, to the millisecond": [
    markless("a mark lives for 9 minutes", (age) => age >= 9 * minute),
    markless("a mark lives a millisecond too short", (age) => age >= 10 * minute - 1),
    refuses(
      "a mark lives a millisecond too long",
      (record, state, now) =>
        isMarked(state, record, record.realm, record.subject) &&
        now <= 10 * minute + state.marks.get(key(record.realm, record.subject))!
    )
  ],
  "create: the latest mark counts, one that left a session alone too": [
    flaw("the first mark stays", (store, { marks }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.suspend(() => {
          const mark = marks.get(key(realm, subject))
          return Effect.tap(store.removeBySubject(realm, subject, options), () =>
            mark !== undefined && marks.set(key(realm, subject), mark))
        })
    })),
    flaw("with an excepted session there is no mark", (store, { marks }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.suspend(() => {
          const before = new Map(marks)
          return Effect.tap(store.removeBySubject(realm, subject, options), () => {
            if (Option.isSome(options.except)) {
              marks.clear()
              before.forEach((mark, key) => marks.set(key, mark))
            }
          })
        })
    }))
  ],
  "create: a mark is not taken back by a clock that goes back": [
    flaw("the mark is that of the last clock", (store, { marks }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.tap(
          store.removeBySubject(realm, subject, options),
          () => step((now) => void marks.set(key(realm, subject), now))
        )
    }))
  ],
  "create: a record without a subject is never refused, and is no subject's": [
    refuses(
      "without a subject it is the subject \"\"'s",
      (record, state) => record.subject === null && isMarked(state, record, record.realm, "")
    ),
    refuses(
      "without a subject it is the subject \"null\"'s",
      (record, state) => record.subject === null && isMarked(state, record, record.realm, "null")
    ),
    listsToo(
      "\"\" lists the sessions without a subject",
      (record, realm, subject, now) =>
        record.realm === realm && (record.subject ?? "") === subject && isLive(record, now)
    )
  ],

  "update: replaces data and schema version, raises the version by one and changes nothing else": [
    updates(
      "update writes the whole record",
      sameVersion,
      (_, given) => changed(given, { version: given.version + 1 })
    ),
    updates(
      "update leaves the version",
      sameVersion,
      (current, { data, schemaVersion }) => changed(current!, { data, schemaVersion })
    ),
    updates(
      "update sets the version to 1",
      sameVersion,
      (current, { data, schemaVersion }) => changed(current!, { data, schemaVersion, version: 1 })
    ),
    updates(
      "update leaves the schema version",
      sameVersion,
      (current, { data, version }) => changed(current!, { data, version: version + 1 })
    ),
    updates(
      "update extends the idle deadline",
      sameVersion,
      (current, given) => changed(rightUpdate(current, given), { idleDeadline: given.idleDeadline })
    ),
    flaw("update sets when it was last seen", (store) => ({
      update: (record) => Effect.tap(store.update(record), () => store.touch(record.id, 0))
    })),
    flaw("update says false", (store) => ({ update: (record) => Effect.as(store.update(record), false) }))
  ],
  "update: false, changing nothing, when the record has another version": [
    updates("update does not look at the version", (current, _, now) => current !== undefined && isLive(current, now), (
      current,
      given
    ) => rightUpdate(current, given)),
    updates(
      "update takes a newer version",
      (current, given, now) => current !== undefined && isLive(current, now) && given.version >= current.version,
      rightUpdate
    ),
    flaw("update says true", (store) => ({ update: (record) => Effect.as(store.update(record), true) }))
  ],
  "update: never creates: not what was never there, was removed or was rotated away": [
    updates(
      "update creates",
      (current, given, now) => current === undefined || sameVersion(current, given, now),
      (current, given) => current === undefined ? given : rightUpdate(current, given)
    ),
    remembers("update brings back what was removed", (store, { records }, graveyard) => ({
      update: (record) => {
        const buried = graveyard.get(record.id)
        return buried === undefined || records.has(record.id)
          ? store.update(record)
          : Effect.sync(() => {
            records.set(record.id, rightUpdate(buried, record))
            return true
          })
      }
    }))
  ],

  "touch: extends the idle deadline, sets when the session was last seen and changes nothing else": [
    flaw("touch does nothing", () => ({ touch: () => Effect.void })),
    touches("touch does not set when it was last seen", ({ lastSeenAt }) => ({ lastSeenAt })),
    touches("touch signs in anew", (_record, _deadline, now) => ({ authenticatedAt: now })),
    touches("touch loses the data", () => ({ data: "null" }))
  ],
  "touch: does not disturb a writer that read before it": [
    touches("touch raises the version", ({ version }) => ({ version: version + 1 }))
  ],
  "touch: never shortens a deadline": [
    touches("touch sets the deadline", (_, deadline) => ({ idleDeadline: deadline })),
    flaw("a touch that extends nothing is left out", (store, { records }) => ({
      touch: (id, deadline) =>
        Effect.suspend(() => (records.get(id)?.idleDeadline ?? 0) < deadline ? store.touch(id, deadline) : Effect.void)
    }))
  ],
  "touch: never moves the absolute deadline": [
    touches("touch moves both deadlines", ({ absoluteDeadline }, deadline) => ({
      absoluteDeadline: Math.max(absoluteDeadline, deadline)
    })),
    touches("touch stops at the absolute deadline", ({ absoluteDeadline, idleDeadline }, deadline) => ({
      idleDeadline: Math.min(absoluteDeadline, Math.max(idleDeadline, deadline))
    }))
  ],
  "touch: never revives: not what was never there, was removed or was rotated away": [
    remembers("touch brings back what was removed", (store, { records }, graveyard) => ({
      touch: (id, deadline) => {
        const buried = graveyard.get(id)
        return buried === undefined || records.has(id)
          ? store.touch(id, deadline)
          : Effect.sync(() => void records.set(id, changed(buried, { idleDeadline: deadline })))
      }
    })),
    flaw("touch fails where nothing is", (store, { records }) => ({
      touch: (id, deadline) => Effect.suspend(() => records.has(id) ? store.touch(id, deadline) : unavailable)
    }))
  ],

  "rotate: the new record is there as it was given, and the old one is gone": [
    rotates("rotate leaves the old one", sameVersion, undefined, true),
    rotates("rotate begins again at version 0", sameVersion, (_, given) => changed(given, { version: 0 })),
    rotates("rotate copies the data of the old one", sameVersion, ({ data }, given) => changed(given, { data })),
    rotates(
      "rotate keeps the old idle deadline",
      sameVersion,
      ({ idleDeadline }, given) => changed(given, { idleDeadline })
    ),
    rotates(
      "rotate works for subjects only",
      (current, given, now) => given.subject !== null && sameVersion(current, given, now)
    ),
    flaw("rotate only removes", (store) => ({
      rotate: (oldId, record) => Effect.tap(store.rotate(oldId, record), () => store.remove(record.id))
    }))
  ],
  "rotate: false, creating and removing nothing, when an update came between": [
    rotates("rotate does not look at the version", (current, _, now) => current !== undefined && isLive(current, now)),
    flaw("rotate removes the old one before it looks", (store) => ({
      rotate: (oldId, record) =>
        Effect.tap(store.rotate(oldId, record), (isRotated) => isRotated ? Effect.void : store.remove(oldId))
    })),
    flaw("rotate creates before it looks", (store, { records }) => ({
      rotate: (oldId, record) => Effect.tap(store.rotate(oldId, record), () => records.set(record.id, record))
    }))
  ],
  "rotate: false, creating nothing, when the old record was never there, was removed or rotated away": [
    rotates(
      "rotate creates where no old one is",
      (current, given, now) => current === undefined || sameVersion(current, given, now)
    ),
    flaw("rotate says true", (store) => ({ rotate: (oldId, record) => Effect.as(store.rotate(oldId, record), true) }))
  ],

  "find: finds nothing that was never created": [
    flaw("ids are compared by their tag", (_, { records }) => ({
      find: (id) =>
        step((now) =>
          Option.fromNullable(
            Array.from(records.values()).find((record) =>
              record.id.slice(0, 12) === id.slice(0, 12) && isLive(record, now)
            )
          )
        )
    }))
  ],
  "find: never returns a record whose idle deadline has come": [
    flaw("find looks at the absolute deadline only", (_, { records }) => ({
      find: (id) =>
        step((now) => Option.filter(Option.fromNullable(records.get(id)), (record) => now < record.absoluteDeadline))
    })),
    flaw("find returns what is expired", (_, { records }) => ({
      find: (id) => Effect.sync(() => Option.fromNullable(records.get(id)))
    })),
    flaw("find returns a record at its deadline", (_, { records }) => ({
      find: (id) =>
        step((now) => Option.filter(Option.fromNullable(records.get(id)), (record) => isLive(record, now - 1)))
    })),
    flaw("find misses a record in its last millisecond", (_, { records }) => ({
      find: (id) =>
        step((now) => Option.filter(Option.fromNullable(records.get(id)), (record) => isLive(record, now + 1)))
    }))
  ],
  "find: never returns a record whose absolute deadline has come": [
    flaw("find looks at the idle deadline only", (_, { records }) => ({
      find: (id) =>
        step((now) => Option.filter(Option.fromNullable(records.get(id)), (record) => now < record.idleDeadline))
    }))
  ],
  "every operation sees a record end at its idle deadline, to the millisecond": [
    updates(
      "update changes what is expired",
      (current, given) => current !== undefined && current.version === given.version,
      rightUpdate
    ),
    flaw("touch revives what is expired", (_, { records }) => ({
      touch: (id, deadline) =>
        step((now) => {
          const current = records.get(id)
          if (current !== undefined) {
            const idleDeadline = Math.max(current.idleDeadline, deadline)
            records.set(id, changed(current, { lastSeenAt: now, idleDeadline }))
          }
        })
    })),
    rotates("rotate revives what is expired", (current, given) => current?.version === given.version),
    listsToo(
      "listBySubject lists what is expired",
      (record, realm, subject) => record.realm === realm && record.subject === subject
    ),
    listsToo(
      "listBySubject lists a record at its deadline",
      (record, realm, subject, now) => record.realm === realm && record.subject === subject && isLive(record, now - 1)
    ),
    updates(
      "update misses a record in its last millisecond",
      (current, given, now) => sameVersion(current, given, now + 1),
      rightUpdate
    )
  ],
  "every operation sees a record end at its absolute deadline, to the millisecond": [
    updates(
      "update looks at the idle deadline only",
      (current, given, now) => current !== undefined && now < current.idleDeadline && current.version === given.version,
      rightUpdate
    ),
    rotates(
      "rotate looks at the idle deadline only",
      (current, given, now) => current !== undefined && now < current.idleDeadline && current.version === given.version
    ),
    listsToo(
      "listBySubject looks at the idle deadline only",
      (record, realm, subject, now) => record.realm === realm && record.subject === subject && now < record.idleDeadline
    )
  ],

  "remove: ends a session for good and no other one": [
    flaw("remove does nothing", () => ({ remove: () => Effect.void })),
    flaw("remove ends all sessions of the subject", (store, { records }) => ({
      remove: (id) =>
        Effect.sync(() => {
          const ended = records.get(id)
          for (const record of Array.from(records.values())) {
            if (ended?.realm === record.realm && ended.subject === record.subject) {
              records.delete(record.id)
            }
          }
        })
    })),
    flaw("remove only lets the idle deadline come", (store, { records }) => ({
      remove: (id) =>
        step((now) => {
          const current = records.get(id)
          if (current !== undefined) {
            records.set(id, changed(current, { idleDeadline: now }))
          }
        }),
      touch: (id, deadline) =>
        step((now) => {
          const current = records.get(id)
          if (current !== undefined && now < current.absoluteDeadline) {
            records.set(id, changed(current, { idleDeadline: Math.max(current.idleDeadline, deadline) }))
          }
        })
    }))
  ],
  "remove: succeeds again, and where nothing was": [
    flaw("remove fails where nothing is", (store, { records }) => ({
      remove: (id) => Effect.suspend(() => records.has(id) ? store.remove(id) : unavailable)
    }))
  ],
  "remove: leaves no mark: a password that was verified before still signs in": [
    flaw("remove leaves a mark", (store, { marks, records }) => ({
      remove: (id) =>
        Effect.zipRight(
          step((now) => {
            const ended = records.get(id)
            if (ended !== undefined) {
              marks.set(key(ended.realm, ended.subject), now)
            }
          }),
          store.remove(id)
        )
    }))
  ],
  "remove: ends an expired session too, for a process whose clock is behind": [
    flaw("remove leaves what is expired", (store, { records }) => ({
      remove: (id) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const current = records.get(id)
          return current !== undefined && isLive(current, now) ? store.remove(id) : Effect.void
        })
    }))
  ],

  "removeBySubject: ends all sessions of the subject for good": [
    flaw("removeBySubject only leaves a mark", (_, { marks }) => ({
      removeBySubject: (realm, subject) => step((now) => void marks.set(key(realm, subject), now))
    })),
    flaw("removeBySubject ends one session", (store, { records }) => ({
      removeBySubject: (realm, subject) =>
        Effect.flatMap(
          store.listBySubject(realm, subject),
          ([first]) => Effect.sync(() => first !== undefined && records.delete(first.id))
        )
    }))
  ],
  "removeBySubject: ends no session of another subject or realm, nor one without a subject": [
    mistakes("removeBySubject does not look at the realm", (record, _, subject) => record.subject === subject),
    mistakes("removeBySubject does not look at the subject", (record, realm) => record.realm === realm),
    mistakes(
      "removeBySubject trims subjects",
      (record, realm, subject) => record.realm === realm && record.subject?.trim() === subject.trim()
    ),
    mistakes(
      "\"null\" are those without a subject",
      (record, realm, subject) => record.realm === realm && String(record.subject) === subject
    )
  ],
  "removeBySubject: leaves the excepted one as it is, and no other": [
    flaw("removeBySubject does not look at the excepted one", (store) => ({
      removeBySubject: (realm, subject) => store.removeBySubject(realm, subject, { except: Option.none() })
    })),
    flaw("removeBySubject with an exception ends nothing", (store) => ({
      removeBySubject: (realm, subject, options) =>
        Option.isSome(options.except) ? Effect.void : store.removeBySubject(realm, subject, options)
    })),
    flaw("the excepted one counts as seen", (store) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.zipRight(
          store.removeBySubject(realm, subject, options),
          Effect.forEach(Option.toArray(options.except), (id) => store.touch(id, Number.MAX_SAFE_INTEGER))
        )
    })),
    flaw("removeBySubject with an exception of another subject ends nothing", (store, { records }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.suspend(() =>
          Option.exists(options.except, (id) => records.get(id)?.subject !== subject)
            ? Effect.void
            : store.removeBySubject(realm, subject, options)
        )
    }))
  ],
  "removeBySubject: succeeds again, and for a subject without sessions": [
    flaw("removeBySubject fails where nothing is", (store) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.flatMap(
          store.listBySubject(realm, subject),
          (records) => records.length === 0 ? unavailable : store.removeBySubject(realm, subject, options)
        )
    }))
  ],
  "removeBySubject: ends expired sessions too, for a process whose clock is behind": [
    flaw("removeBySubject leaves what is expired", (store, { records }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const expired = Array.from(records.values()).filter((record) => !isLive(record, now))
          return Effect.tap(store.removeBySubject(realm, subject, options), () =>
            expired.forEach((record) => records.set(record.id, record)))
        })
    }))
  ],

  "listBySubject: lists the live sessions of one subject in one realm, with all that they hold": [
    listsToo(
      "listBySubject does not look at the realm",
      (record, _, subject, now) => record.subject === subject && isLive(record, now)
    ),
    listsToo(
      "listBySubject does not look at the subject",
      (record, realm, _, now) => record.realm === realm && isLive(record, now)
    ),
    flaw("listBySubject lists one session", (store) => ({
      listBySubject: (realm, subject) =>
        Effect.map(store.listBySubject(realm, subject), (records) => records.slice(0, 1))
    })),
    flaw("listBySubject lists nothing", () => ({ listBySubject: () => Effect.succeed([]) })),
    flaw("listBySubject lists twice", (store) => ({
      listBySubject: (realm, subject) =>
        Effect.map(store.listBySubject(realm, subject), (records) => [...records, ...records])
    }))
  ],

  "removeExpired: removes at most as many as it is told to, and says how many": [
    flaw("removeExpired has no limit", (store) => ({ removeExpired: () => store.removeExpired(Infinity) })),
    flaw("removeExpired says the limit", (store) => ({
      removeExpired: (limit) => Effect.as(store.removeExpired(limit), limit)
    })),
    flaw("removeExpired says 0", (store) => ({ removeExpired: (limit) => Effect.as(store.removeExpired(limit), 0) })),
    flaw("removeExpired says one too many", (store) => ({
      removeExpired: (limit) => Effect.map(store.removeExpired(limit), (removed) => removed === 0 ? 0 : removed + 1)
    })),
    flaw("removeExpired counts and removes nothing", (_, { records }) => ({
      removeExpired: (limit) =>
        step((now) => Math.min(limit, Array.from(records.values()).filter((record) => !isLive(record, now)).length))
    })),
    flaw("a limit of 0 is none", (store) => ({
      removeExpired: (limit) => store.removeExpired(limit === 0 ? Infinity : limit)
    }))
  ],
  "removeExpired: removes what is over by either deadline, of all realms, with and without a subject": [
    flaw("removeExpired looks at the idle deadline only", (_, { records }) => ({
      removeExpired: (limit) =>
        step((now) => {
          const expired = Array.from(records.values()).filter((record) => record.idleDeadline <= now).slice(0, limit)
          expired.forEach(({ id }) => records.delete(id))
          return expired.length
        })
    })),
    flaw("removeExpired leaves those without a subject", (_, { records }) => ({
      removeExpired: (limit) =>
        step((now) => {
          const expired = Array.from(records.values())
            .filter((record) => !isLive(record, now) && record.subject !== null).slice(0, limit)
          expired.forEach(({ id }) => records.delete(id))
          return expired.length
        })
    })),
    flaw("removeExpired serves the realm that comes first", (_, { records }) => ({
      removeExpired: (limit) =>
        step((now) => {
          const [first] = records.values()
          const expired = Array.from(records.values())
            .filter((record) => !isLive(record, now) && record.realm === first?.realm).slice(0, limit)
          expired.forEach(({ id }) => records.delete(id))
          return expired.length
        })
    }))
  ],
  "removeExpired: removes nothing that is live, whatever moved its deadline": [
    flaw("removeExpired removes a millisecond too early", (_, { records }) => ({
      removeExpired: (limit) =>
        step((now) => {
          const expired = Array.from(records.values()).filter((record) => !isLive(record, now + 1)).slice(0, limit)
          expired.forEach(({ id }) => records.delete(id))
          return expired.length
        })
    })),
    flaw("removeExpired goes by the first deadline", (store, { records }) => {
      const first = new Map<string, number>()
      return {
        create: (record) => Effect.tap(store.create(record), () => first.set(record.id, record.idleDeadline)),
        removeExpired: (limit) =>
          step((now) => {
            const expired = Array.from(records.values())
              .filter((record) => !isLive(record, now) || (first.get(record.id) ?? Infinity) <= now).slice(0, limit)
            expired.forEach(({ id }) => records.delete(id))
            return expired.length
          })
      }
    })
  ],

  "update: of many that read the same version, one wins": [
    flaw("update reads, and then writes", (_, state) => ({ update: slowUpdate(state) }))
  ],
  "rotate: of many from one record, one wins, and leaves one record": [
    flaw("rotate reads, and then writes", (_, state) => ({ rotate: slowRotate(state) }))
  ],
  "rotate: beside an update of the same version, one of the two wins": [
    flaw("rotate reads, and then writes", (_, state) => ({ rotate: slowRotate(state) })),
    flaw("update reads, and then writes", (_, state) => ({ update: slowUpdate(state) }))
  ],
  "touch: beside an update, neither undoes the other": [
    flaw("touch reads, and then writes", (_, state) => ({ touch: slowTouch(state) })),
    flaw("update reads, and then writes", (_, state) => ({ update: slowUpdate(state) }))
  ],
  "touch: of many, the latest deadline stands": [
    flaw("touch reads, and then writes", (_, state) => ({ touch: slowTouch(state) }))
  ],
  "remove: no update, touch or rotate beside it brings the session back": [
    flaw("update reads, and then writes", (_, state) => ({ update: slowUpdate(state) })),
    flaw("touch reads, and then writes", (_, state) => ({ touch: slowTouch(state) })),
    flaw("rotate removes the old one and says later that it did not", (store) => ({
      rotate: (oldId, record) =>
        Effect.zipLeft(store.rotate(oldId, record), Effect.yieldNow()).pipe(
          Effect.flatMap((isRotated) => Effect.map(store.find(oldId), (old) => isRotated && Option.isSome(old)))
        )
    }))
  ],
  "removeBySubject: no update, touch or rotate beside it keeps a session": [
    flaw("update reads, and then writes", (_, state) => ({ update: slowUpdate(state) })),
    flaw("touch reads, and then writes", (_, state) => ({ touch: slowTouch(state) })),
    flaw("rotate reads, and then writes", (_, state) => ({ rotate: slowRotate(state) })),
    flaw("removeBySubject lists, and then removes", (store) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.flatMap(
          Effect.zipLeft(store.listBySubject(realm, subject), Effect.yieldNow()),
          (records) =>
            Effect.forEach(records, ({ id }) => Option.contains(options.except, id) ? Effect.void : store.remove(id), {
              discard: true
            })
        )
    }))
  ],
  "removeBySubject: no sign-in beside it that verified its password before survives it": [
    flaw("create looks for a mark, and then creates", (_, state) => ({ create: slowCreate(state) })),
    flaw("removeBySubject leaves its mark in the end", (store, { marks }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.suspend(() => {
          const before = marks.get(key(realm, subject))
          return store.removeBySubject(realm, subject, options).pipe(
            Effect.tap(() =>
              before === undefined ? marks.delete(key(realm, subject)) : marks.set(key(realm, subject), before)
            ),
            Effect.zipRight(Effect.yieldNow()),
            Effect.zipRight(step((now) => void marks.set(key(realm, subject), now)))
          )
        })
    }))
  ],

  "any operations in any order do what they do to a plain model": [
    flaw("removeExpired forgets the marks", (store, { marks }) => ({
      removeExpired: (limit) => Effect.tap(store.removeExpired(limit), () => marks.clear())
    })),
    flaw("the second touch raises the version", (store, { records }) => {
      const touched = new Set<string>()
      return {
        touch: (id, deadline) =>
          Effect.tap(store.touch(id, deadline), () => {
            const current = records.get(id)
            if (current !== undefined && touched.has(id)) {
              records.set(id, changed(current, { version: current.version + 1 }))
            }
            touched.add(id)
          })
      }
    }),
    flaw("an update after a rotate is lost", (store, { records }) => {
      const rotated = new Set<string>()
      return {
        rotate: (id, record) => Effect.tap(store.rotate(id, record), () => rotated.add(record.id)),
        update: (record) =>
          Effect.suspend(() => {
            const before = records.get(record.id)
            return Effect.tap(store.update(record), () =>
              before !== undefined && rotated.has(record.id) && records.set(record.id, before))
          })
      }
    }),
    flaw("what was rotated is never swept", (store, { records }) => {
      const rotated = new Set<string>()
      return {
        rotate: (id, record) => Effect.tap(store.rotate(id, record), () => rotated.add(record.id)),
        removeExpired: (limit) =>
          step((now) => {
            const expired = Array.from(records.values())
              .filter((record) => !isLive(record, now) && !rotated.has(record.id)).slice(0, limit)
            expired.forEach(({ id }) => records.delete(id))
            return expired.length
          })
      }
    })
  ],
  "any operations beside each other do what they would do in some order, one after the other": [
    flaw("for a moment after a rotate both are there", (store, { records }) => ({
      rotate: (oldId, record) =>
        Effect.suspend(() => {
          const old = records.get(oldId)
          return Effect.tap(store.rotate(oldId, record), (isRotated) => {
            if (isRotated) {
              records.set(oldId, old!)
            }
            return Effect.zipRight(Effect.yieldNow(), isRotated ? store.remove(oldId) : Effect.void)
          })
        })
    })),
    flaw("for a moment of a rotate neither is there", (store, { records }) => ({
      rotate: (oldId, record) =>
        Effect.flatMap(store.rotate(oldId, record), (isRotated) => {
          if (!isRotated) {
            return Effect.succeed(false)
          }
          records.delete(record.id)
          return Effect.as(Effect.tap(Effect.yieldNow(), () => records.set(record.id, record)), true)
        })
    })),
    flaw("removeBySubject ends one session after the other", (store, { marks }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.gen(function*() {
          marks.set(key(realm, subject), yield* Clock.currentTimeMillis)
          for (const { id } of yield* store.listBySubject(realm, subject)) {
            if (!Option.contains(options.except, id)) {
              yield* store.remove(id)
              yield* Effect.yieldNow()
            }
          }
          yield* store.removeBySubject(realm, subject, options)
        })
    })),
    flaw("remove answers before it has removed", (store) => ({
      remove: (id) => Effect.asVoid(Effect.forkDaemon(Effect.zipRight(Effect.yieldNow(), store.remove(id))))
    })),
    flaw("find answers what it found the last time, until the next turn", (store) => {
      const cache = new Map<string, Option.Option<Record>>()
      return {
        find: (id) =>
          Effect.suspend(() => {
            const seen = cache.get(id)
            return seen !== undefined ? Effect.succeed(seen) : Effect.tap(store.find(id), (found) => {
              cache.set(id, found)
              return Effect.forkDaemon(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => cache.delete(id))))
            })
          })
      }
    })
  ]
}
