import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { SecurityUnavailable, SessionConflict } from "../../SecurityError.js"
import { SessionRecord, SessionRefused } from "../SessionStore.js"
import * as SessionToken from "../SessionToken.js"
import type { Encoded } from "./codec.js"
import type { Requests } from "./observedStore.js"
import * as policy from "./policy.js"

/** A session whose token is known: right after it began, or was given a fresh one. */
export interface Held {
  readonly token: SessionToken.SessionToken
  readonly record: SessionRecord
}

/** A session that began, and the subject's sessions that had to end for it. */
export interface Begun extends Held {
  readonly evicted: ReadonlyArray<SessionToken.SessionId>
}

/** What a session begins with. */
export interface Beginning {
  readonly encoded: Encoded
  readonly subject: string | null
  /** When the subject's password was verified; undefined for right now. */
  readonly verifiedAt: number | undefined
  readonly remember: boolean
  readonly userAgent: string
  /** The session that this one takes the place of. */
  readonly replaced: Option.Option<SessionToken.SessionId>
}

export interface Options {
  readonly realm: string
  readonly store: Requests
  readonly lifetime: policy.Lifetime
  readonly maxPerUser: number
  /** Whether its sessions have a subject. */
  readonly hasSubject: boolean
  /** Ends a wait for the store, and turns whatever it does into a failure of ours. */
  readonly ask: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SecurityUnavailable, R>
}

const isRecord = Schema.is(Schema.typeSchema(Schema.Struct(SessionRecord.fields)))
const userAgentLimit = 256
const tries = 16

/** The sessions of one realm in a store: what is decided about them, in plain values. HTTP is an adapter over it. */
export type Sessions = ReturnType<typeof make>

export const make = ({ ask, hasSubject, lifetime, maxPerUser, realm, store }: Options) => {
  const idOf = (token: SessionToken.SessionToken) => SessionToken.toId(realm, token)

  /** A store that answers with what it was not asked for is broken, and its answer signs nobody in. */
  const broken = (operation: string) =>
    Effect.fail(
      new SecurityUnavailable({ reason: `${operation} of the session store gave a record of another session` })
    )

  const isOurs = (record: SessionRecord): boolean =>
    record.realm === realm && (record.subject !== null) === hasSubject &&
    SessionToken.belongsTo(record.id, realm, record.subject)

  const lookUp = (id: SessionToken.SessionId): Effect.Effect<Option.Option<SessionRecord>, SecurityUnavailable> =>
    Effect.flatMap(store.find(id), (found) => {
      if (Option.isNone(found)) {
        return Effect.succeedNone
      }
      return isRecord(found.value) && found.value.id === id
        ? Effect.map(Clock.currentTimeMillis, (now) => policy.isLive(found.value, now) ? found : Option.none())
        : broken("find")
    })

  const find = (token: SessionToken.SessionToken): Effect.Effect<Option.Option<SessionRecord>, SecurityUnavailable> =>
    Effect.flatMap(lookUp(idOf(token)), (found) =>
      // The id is a hash over the realm, and its tag one over the subject.
      Option.isNone(found) || isOurs(found.value) ? Effect.succeed(found) : broken("find"))

  /** The session of an id that somebody names: it need not be of this realm, and is none of theirs then. */
  const findOf = (subject: string, id: SessionToken.SessionId) =>
    Effect.map(
      lookUp(id),
      Option.filter((record) => record.realm === realm && record.subject === subject)
    )

  const list = (subject: string): Effect.Effect<ReadonlyArray<SessionRecord>, SecurityUnavailable> =>
    Effect.flatMap(
      store.listBySubject(realm, subject),
      (records) =>
        records.every((record) => record.realm === realm && record.subject === subject)
          ? Effect.succeed(records)
          : broken("listBySubject")
    )

  const end = (id: SessionToken.SessionId) => store.remove(id)

  const endQuietly = (id: SessionToken.SessionId) => Effect.ignore(ask(end(id)))

  /** Of the subject's sessions besides the new one and the one that it replaces, those that are too many. */
  const evict = (record: SessionRecord, replaced: Option.Option<SessionToken.SessionId>) =>
    record.subject === null ? Effect.succeed([]) : Effect.flatMap(list(record.subject), (records) => {
      const idleLongest = records
        .filter(({ id }) => id !== record.id && !Option.contains(replaced, id))
        .sort((a, b) => a.lastSeenAt - b.lastSeenAt)
      return Effect.forEach(
        idleLongest.slice(0, Math.max(0, idleLongest.length + 1 - maxPerUser)),
        (other) => Effect.as(end(other.id), other.id)
      )
    })

  /**
   * Makes the record of an id, or leaves none: also where the store does its work after nobody waits for it any more,
   * and where it does it and fails to say so. What the store refuses is an answer, and no failure of it.
   */
  const wholly = <E>(
    id: SessionToken.SessionId,
    make: Effect.Effect<"made" | "refused", E>,
    then: Effect.Effect<void, E>
  ) =>
    Effect.suspend(() => {
      let isAbandoned = false
      const made = Effect.ensuring(make, Effect.suspend(() => isAbandoned ? endQuietly(id) : Effect.void))
      const abandon = Effect.suspend(() => {
        isAbandoned = true
        return Effect.forkDaemon(endQuietly(id))
      })
      return Effect.onError(
        ask(Effect.tap(made, (outcome) => outcome === "made" ? then : Effect.void)),
        () => abandon
      )
    })

  const begin = (beginning: Beginning): Effect.Effect<Begun, SessionRefused | SecurityUnavailable> =>
    Effect.gen(function*() {
      const { encoded, replaced, subject, verifiedAt } = beginning
      const now = yield* Clock.currentTimeMillis
      if (verifiedAt !== undefined && now - verifiedAt >= policy.markMillis) {
        return yield* new SessionRefused()
      }
      const token = yield* SessionToken.make(realm, subject)
      let evicted: ReadonlyArray<SessionToken.SessionId> = []
      const record = new SessionRecord({
        id: idOf(token),
        realm,
        subject,
        ...encoded,
        version: 0,
        createdAt: now,
        // Of a mark in the very millisecond nobody knows whether it is younger: it counts as younger.
        authenticatedAt: verifiedAt === undefined ? now : verifiedAt - 1,
        lastSeenAt: now,
        ...policy.begin(lifetime, now),
        remember: beginning.remember,
        userAgent: beginning.userAgent.slice(0, userAgentLimit)
      })
      const outcome = yield* wholly(
        record.id,
        Effect.as(store.create(record), "made" as const).pipe(
          Effect.catchTag("SessionRefused", () => Effect.succeed("refused" as const))
        ),
        Effect.flatMap(evict(record, replaced), (ids) => {
          evicted = ids
          return Option.match(replaced, { onNone: () => Effect.void, onSome: end })
        })
      )
      return outcome === "made" ? { token, record, evicted } : yield* new SessionRefused()
    })

  /** Extends the idle deadline when it is time to. */
  const renew = (record: SessionRecord): Effect.Effect<void, SecurityUnavailable> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const deadline = policy.renew(lifetime, record, now)
      return deadline === undefined ? Effect.void : store.touch(record.id, deadline)
    })

  /** Writes what has become of a session; fails when another write or a removal won. */
  const change = (
    record: SessionRecord,
    encoded: Encoded
  ): Effect.Effect<"changed" | "same", SessionConflict | SecurityUnavailable> =>
    encoded.data === record.data && encoded.schemaVersion === record.schemaVersion
      ? Effect.succeed("same")
      : Effect.flatMap(
        ask(store.update(new SessionRecord({ ...record, ...encoded }))),
        (won) => won ? Effect.succeed("changed") : Effect.fail(new SessionConflict())
      )

  /**
   * Gives a session a fresh token; fails when a write or a removal came between. It is a use of the session: what
   * another use meanwhile has extended is not taken back.
   */
  const rotate = (record: SessionRecord): Effect.Effect<Held, SessionConflict | SecurityUnavailable> =>
    Effect.gen(function*() {
      const token = yield* SessionToken.successor(record.id)
      const now = yield* Clock.currentTimeMillis
      const next = new SessionRecord({
        ...record,
        id: idOf(token),
        lastSeenAt: now,
        idleDeadline: Math.max(record.idleDeadline, policy.begin(lifetime, now).idleDeadline)
      })
      const outcome = yield* wholly(
        next.id,
        Effect.map(store.rotate(record.id, next), (won) => won ? "made" : "refused"),
        Effect.void
      )
      return outcome === "made" ? { token, record: next } : yield* new SessionConflict()
    })

  const endAll = (subject: string, except: Option.Option<SessionToken.SessionId>) =>
    store.removeBySubject(realm, subject, { except })

  return { idOf, find, findOf, list, begin, renew, change, rotate, end, endQuietly, endAll }
}

const isConflict = (error: { readonly _tag: string }) => error._tag === "SessionConflict"

/** Tries again while other writers win, 16 times in all, and at once: who writes this is alone as a rule. */
export const insistent = <A, E extends { readonly _tag: string }, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => Effect.retry(self, { while: isConflict, times: tries - 1 })

/** The same for what many may write at the same time: after three tries with growing, jittered pauses. */
export const contended = <A, E extends { readonly _tag: string }, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.retry(self, {
    while: isConflict,
    times: tries - 1,
    schedule: Schedule.andThen(Schedule.recurs(3), Schedule.jittered(Schedule.exponential("1 millis", 1.5)))
  })
