import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as csprng from "../../internal/csprng.js"
import type { SecurityUnavailable } from "../../SecurityError.js"
import type { Service } from "../SessionStore.js"
import { SessionRecord, SessionStore } from "../SessionStore.js"
import * as SessionToken from "../SessionToken.js"

// What every case of the contract works with: a clock of its own, names that nobody else uses, and comparisons that
// fail with what they saw.

export const minute = 60_000
export const hour = 60 * minute
export const day = 24 * hour

// -----------------------------------------------------------------------------
// Comparing
// -----------------------------------------------------------------------------

/** The store did something else than the contract says. */
export class Mismatch extends Data.TaggedError("Mismatch")<{
  readonly step: string
  readonly expected: unknown
  readonly actual: unknown
  readonly seed?: number | undefined
  readonly path?: string | undefined
  readonly commands?: ReadonlyArray<string> | undefined
}> {}

const canonical = (_: string, value: unknown): unknown => {
  switch (typeof value) {
    case "bigint":
      return `${value}n`
    case "undefined":
      return "undefined"
    case "number":
      return Number.isFinite(value) ? value : String(value)
    default:
      return value
  }
}

/** The same text for plain values that are equal, made in the same order, and only for those. */
export const text = (value: unknown): string => JSON.stringify(value, canonical)

export const expect = (step: string, actual: unknown, expected: unknown): Effect.Effect<void, Mismatch> =>
  Effect.suspend(() =>
    text(actual) === text(expected) ? Effect.void : Effect.fail(new Mismatch({ step, expected, actual }))
  )

export type Plain = { readonly [K in keyof typeof SessionRecord.fields]: unknown }

/** All that a record holds, whatever object the store made of it. */
export const plain = (record: SessionRecord): Plain => ({
  id: record.id,
  realm: record.realm,
  subject: record.subject,
  data: record.data,
  schemaVersion: record.schemaVersion,
  version: record.version,
  createdAt: record.createdAt,
  authenticatedAt: record.authenticatedAt,
  lastSeenAt: record.lastSeenAt,
  idleDeadline: record.idleDeadline,
  absoluteDeadline: record.absoluteDeadline,
  remember: record.remember,
  userAgent: record.userAgent
})

/** In the order of their ids: a store may list in any. */
export const plains = (records: ReadonlyArray<SessionRecord>): ReadonlyArray<Plain> =>
  records.map(plain).sort((a, b) => String(a.id) < String(b.id) ? -1 : 1)

export const changed = (record: SessionRecord, changes: Partial<SessionRecord>): SessionRecord =>
  new SessionRecord({ ...record, ...changes })

// -----------------------------------------------------------------------------
// Time
// -----------------------------------------------------------------------------

/**
 * Far ahead of any real clock, so that a sweeper that runs beside the suite by the real time finds nothing to remove;
 * and the cases that remove what is expired are long before the others, so that none of them ends another's sessions.
 */
const eras = { swept: Date.UTC(2100), other: Date.UTC(2300) }

/**
 * Stands still until it is set. What sleeps does so by the real clock: a store's own timeouts and retries go on.
 */
export const makeClock = (start: number) => {
  let now = start
  const { sleep } = Clock.make()
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep
  }
  return {
    clock,
    set: (time: number) =>
      Effect.sync(() => {
        now = time
      })
  }
}

// -----------------------------------------------------------------------------
// A fixture
// -----------------------------------------------------------------------------

type Unavailable<A> = Effect.Effect<A, SecurityUnavailable>

export interface Fixture {
  readonly store: Service
  readonly start: number
  readonly setTime: (time: number) => Effect.Effect<void>
  /** Nobody else has sessions in it. */
  readonly realm: string
  readonly subject: string
  /** A name that stands nowhere yet. */
  readonly name: Effect.Effect<string>
  readonly id: (realm: string, subject: string | null) => Effect.Effect<SessionToken.SessionId>
  /** The id that a session may have after it was given a fresh token. */
  readonly successor: (realm: string, id: SessionToken.SessionId) => Effect.Effect<SessionToken.SessionId>
  /** A record with an id of its own, that begins at `start`, idle for an hour at most and a day in all. */
  readonly record: (changes?: Partial<SessionRecord>) => Effect.Effect<SessionRecord>
  /** The same, created. */
  readonly created: (changes?: Partial<SessionRecord>) => Effect.Effect<SessionRecord, Mismatch | SecurityUnavailable>
  readonly isRefused: (record: SessionRecord) => Unavailable<boolean>
  readonly found: (record: { readonly id: SessionToken.SessionId }) => Unavailable<Plain | null>
  /** The sessions of the fixture's own realm and subject, unless other ones are given. */
  readonly listed: (of?: { readonly realm?: string; readonly subject?: string }) => Unavailable<ReadonlyArray<Plain>>
  readonly removeAll: (
    of?: { readonly realm?: string; readonly subject?: string; readonly except?: SessionRecord }
  ) => Unavailable<void>
}

const randomText = Effect.map(csprng.bytes(12), Encoding.encodeBase64Url)

/** On the hour, so that a case meets the same minutes whenever it runs. */
const randomStart = (era: number) =>
  Effect.map(csprng.bytes(3), (bytes) => era + bytes.reduce((sum, byte) => sum * 256 + byte, 0) % 1_000_000 * hour)

const make = (
  store: Service,
  setTime: Fixture["setTime"],
  start: number,
  ids: Array<SessionToken.SessionId>
): Effect.Effect<Fixture> =>
  Effect.map(Effect.zip(randomText, randomText), ([realm, subject]): Fixture => {
    const idOf = (realm: string) => (token: SessionToken.SessionToken) => {
      const id = SessionToken.toId(realm, token)
      ids.push(id)
      return id
    }
    const id: Fixture["id"] = (realm, subject) => Effect.map(SessionToken.make(realm, subject), idOf(realm))
    const successor: Fixture["successor"] = (realm, id) => Effect.map(SessionToken.successor(id), idOf(realm))
    const record: Fixture["record"] = (changes) => {
      const given = { realm, subject, ...changes }
      return Effect.map(
        given.id === undefined ? id(given.realm, given.subject) : Effect.succeed(given.id),
        (id) =>
          new SessionRecord({
            data: "{\"cart\":[\"tea\"]}",
            schemaVersion: 1,
            version: 0,
            createdAt: start,
            authenticatedAt: start,
            lastSeenAt: start,
            idleDeadline: start + hour,
            absoluteDeadline: start + day,
            remember: true,
            userAgent: "contract",
            ...given,
            id
          })
      )
    }
    const isRefused: Fixture["isRefused"] = (record) =>
      store.create(record).pipe(Effect.as(false), Effect.catchTag("SessionRefused", () => Effect.succeed(true)))
    return {
      store,
      start,
      setTime,
      realm,
      subject,
      name: randomText,
      id,
      successor,
      record,
      created: (changes) =>
        Effect.tap(
          record(changes),
          (record) =>
            Effect.flatMap(
              isRefused(record),
              (refused) =>
                expect("create, with no mark that stands against it", refused ? "refused" : "created", "created")
            )
        ),
      isRefused,
      found: ({ id }) => Effect.map(store.find(id), (found) => Option.getOrNull(Option.map(found, plain))),
      listed: (of) => Effect.map(store.listBySubject(of?.realm ?? realm, of?.subject ?? subject), plains),
      removeAll: (of) =>
        store.removeBySubject(of?.realm ?? realm, of?.subject ?? subject, {
          except: Option.map(Option.fromNullable(of?.except), ({ id }) => id)
        })
    }
  })

/** Removes what the case has made, also where it failed; a store that hangs does not keep it from ending. */
const cleanUp = (store: Service, ids: ReadonlyArray<SessionToken.SessionId>) =>
  Effect.forEach(ids, (id) => Effect.exit(store.remove(id)), { concurrency: 8, discard: true }).pipe(
    Effect.interruptible,
    Effect.disconnect,
    Effect.timeoutOption("5 seconds")
  )

const over = (era: number) =>
<E>(
  body: (_: Fixture) => Effect.Effect<void, E>,
  offset = 0
): Effect.Effect<void, E, SessionStore> =>
  Effect.flatMap(SessionStore, (store) =>
    Effect.flatMap(randomStart(era), (hour) => {
      const { clock, set } = makeClock(hour + offset)
      const ids: Array<SessionToken.SessionId> = []
      return Effect.flatMap(make(store, set, hour + offset, ids), body).pipe(
        Effect.ensuring(Effect.suspend(() => cleanUp(store, ids))),
        Effect.withClock(clock)
      )
    }))

/** Runs `body` by a clock of its own, which starts `offset` milliseconds after a full hour. */
export const withFixture = over(eras.other)

/** The same for a body that calls `removeExpired`. */
export const withSweptFixture = over(eras.swept)

const tooMany = 10_000

/**
 * Removes all that is expired, whosever it is, in batches of at most `limit`; gives how many each batch removed. Ends
 * also where a store always says that there is more.
 */
export const drain = (store: Service, limit: number): Unavailable<ReadonlyArray<number>> =>
  Effect.suspend(() => {
    const batches: Array<number> = []
    const next: Unavailable<ReadonlyArray<number>> = Effect.flatMap(store.removeExpired(limit), (removed) => {
      batches.push(removed)
      return removed === limit && batches.length < tooMany ? next : Effect.succeed(batches)
    })
    return next
  })

// -----------------------------------------------------------------------------
// Cases
// -----------------------------------------------------------------------------

export interface Case {
  readonly name: string
  readonly run: Effect.Effect<void, Mismatch | SecurityUnavailable, SessionStore>
}

type Body = (_: Fixture) => Effect.Effect<void, Mismatch | SecurityUnavailable>

export const test = (name: string, body: Body): Case => ({ name, run: withFixture(body) })

export const sweptTest = (name: string, body: Body): Case => ({ name, run: withSweptFixture(body) })
