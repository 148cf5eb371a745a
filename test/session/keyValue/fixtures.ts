import { Error as PlatformError, FileSystem, KeyValueStore } from "@effect/platform"
import { Cause, Chunk, Effect, Exit, Logger, Option } from "effect"
import type { Layer } from "effect"
import { SecurityError } from "effect-security"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionToken from "effect-security/session/SessionToken"

export const minute = 60_000
export const hour = 60 * minute
export const day = 24 * hour
export const start = 1_700_000_000_000
export const realm = "realm"

// -----------------------------------------------------------------------------
// Sessions
// -----------------------------------------------------------------------------

/** The id of a session that is told apart by its name. */
export const id = (name: string, subject: string | null = "ada") =>
  `${subject === null ? "-".repeat(12) : SessionToken.tagOf(realm, subject)}.${
    name.padEnd(43, "_")
  }` as SessionToken.SessionId

export const nameOf = (id: SessionToken.SessionId) => id.slice(13).replace(/_+$/, "")

/** Begins at `start`, idle for an hour at most and a day in all. */
export const record = (name: string, changes: Partial<SessionStore.SessionRecord> = {}) =>
  new SessionStore.SessionRecord({
    id: id(name, changes.subject === undefined ? "ada" : changes.subject),
    realm,
    subject: "ada",
    data: `{"name":"${name}"}`,
    schemaVersion: 1,
    version: 0,
    createdAt: start,
    authenticatedAt: start,
    lastSeenAt: start,
    idleDeadline: start + hour,
    absoluteDeadline: start + day,
    remember: true,
    userAgent: "",
    ...changes
  })

export const names = (records: ReadonlyArray<SessionStore.SessionRecord>) => records.map(({ id }) => nameOf(id)).sort()

export const isFound = (store: SessionStore.Service, record: SessionStore.SessionRecord) =>
  Effect.map(store.find(record.id), Option.isSome)

/** Removes all that is expired; gives how much that was. */
export const drain = (store: {
  readonly removeExpired: SessionStore.Service["removeExpired"]
}): Effect.Effect<number, unknown> =>
  Effect.flatMap(
    store.removeExpired(1_000),
    (removed) => removed < 1_000 ? Effect.succeed(removed) : Effect.map(drain(store), (more) => removed + more)
  )

// -----------------------------------------------------------------------------
// Key-value stores
// -----------------------------------------------------------------------------

export const failure = (reason: PlatformError.SystemErrorReason = "Unknown", description = "ENOSPC: no space left") =>
  new PlatformError.SystemError({ module: "KeyValueStore", method: "test", reason, description })

/** A key-value store in a Map that the test looks into. */
export const overMap = (map: Map<string, string>): KeyValueStore.KeyValueStore =>
  KeyValueStore.makeStringOnly({
    get: (key) => Effect.sync(() => Option.fromNullable(map.get(key))),
    set: (key, value) => Effect.sync(() => void map.set(key, value)),
    remove: (key) => Effect.sync(() => void map.delete(key)),
    clear: Effect.sync(() => map.clear()),
    size: Effect.sync(() => map.size)
  })

/** The same, with something done before each call. */
export const before = (
  store: KeyValueStore.KeyValueStore,
  effect: (
    operation: "get" | "set" | "remove",
    key: string,
    value?: string
  ) => Effect.Effect<void, PlatformError.PlatformError>
): KeyValueStore.KeyValueStore => ({
  ...store,
  get: (key) => Effect.zipRight(effect("get", key), store.get(key)),
  set: (key, value) => Effect.zipRight(effect("set", key, String(value)), store.set(key, value)),
  remove: (key) => Effect.zipRight(effect("remove", key), store.remove(key))
})

// -----------------------------------------------------------------------------
// Files
// -----------------------------------------------------------------------------

/** A directory of its own that does not exist yet. */
export const freshDirectory = Effect.flatMap(
  FileSystem.FileSystem,
  (fs) => Effect.map(fs.makeTempDirectoryScoped(), (directory) => `${directory}/sessions`)
)

// -----------------------------------------------------------------------------
// Logs and failures
// -----------------------------------------------------------------------------

/** Everything that is logged, in words. */
export const logsTo = (lines: Array<string>): Layer.Layer<never> =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.map(Logger.stringLogger, (line) => {
      lines.push(line)
    })
  )

/** Nothing but the typed failure of a store: no defect, no other failure. */
export const isUnavailable = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Chunk.isEmpty(Cause.defects(exit.cause)) && Chunk.isNonEmpty(Cause.failures(exit.cause)) &&
  Chunk.every(Cause.failures(exit.cause), (error) => error instanceof SecurityError.SecurityUnavailable)
