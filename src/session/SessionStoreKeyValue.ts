/**
 * Sessions over any `KeyValueStore` of `@effect/platform`, and with a file system in the files of one directory.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import type { FileSystem } from "@effect/platform/FileSystem"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import type { Path } from "@effect/platform/Path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as epochs from "./internal/keyValue/epochs.js"
import * as files from "./internal/keyValue/files.js"
import * as sessions from "./internal/keyValue/sessions.js"
import * as sweeper from "./internal/sweeper.js"
import { SessionEpoch } from "./SessionEpoch.js"
import { SessionStore } from "./SessionStore.js"

/**
 * `sweepEvery` is how often what is expired is removed, 1 minute by default: longer than nothing, or the Layer dies with
 * a sentence that says so. A session that is over is not found either way.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly sweepEvery?: Duration.DurationInput | undefined
}

const sweptEvery = ({ sweepEvery = sweeper.defaultInterval }: Options): Effect.Effect<Duration.Duration> =>
  Duration.decodeUnknown(sweepEvery).pipe(
    Option.filter(Duration.greaterThan(0)),
    Option.match({
      onNone: () => Effect.dieMessage("SessionStoreKeyValue: sweepEvery is a duration that is longer than nothing"),
      onSome: (interval) => Effect.succeed(interval)
    })
  )

const swept = <A extends Parameters<typeof sweeper.start>[0]>(
  make: (store: KeyValueStore.KeyValueStore) => A,
  options: Options
) =>
  Effect.gen(function*() {
    const interval = yield* sweptEvery(options)
    const store = make(yield* KeyValueStore.KeyValueStore)
    yield* sweeper.start(store, interval)
    return store
  })

const layerFiles = (directory: string) => Layer.effect(KeyValueStore.KeyValueStore, files.make(directory))

// -----------------------------------------------------------------------------
// Sessions
// -----------------------------------------------------------------------------

/**
 * The same as `layer`, with another pace of the sweep.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (options: Options): Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> =>
  Layer.scoped(SessionStore, swept(sessions.make, options))

/**
 * Sessions over any `KeyValueStore`, for one process at a time. Within it every promise of a session store holds, as
 * long as nobody else writes the keys that begin with `session/` (see `KeyValueStore.prefix`) and the store tells keys
 * apart that differ by their case only.
 *
 * **Two processes** over the same keys keep the promises about operations one after the other, but none about
 * operations beside each other, since a `KeyValueStore` cannot compare and set: of two updates, rotations or sign-ins
 * of one subject at the same moment one can be lost, a session can survive its removal, and a sign-in the mark that
 * `removeBySubject` left against it. In the contract suite these are the cases whose names say "beside" or "of many".
 * Whoever runs more than one process takes a store that can: SQLite, PostgreSQL or Redis.
 *
 * **A write that is cut off or fails** leaves each session as it was or as it was to be: every operation takes place in
 * one write of the `KeyValueStore`. Where that write is not atomic, as in the platform's `layerFileSystem`, a crash in
 * the middle of it leaves a value that cannot be read. What fails is a `SecurityUnavailable`, also where nobody can
 * tell whether the write took place. When only the remains of a session that is over could not be removed, the
 * operation has succeeded: they are logged, and the sweep removes them at the session's deadline.
 *
 * **What cannot be read**, since it is cut off, edited or of another kind, is logged, and is
 *
 * - of one session: that session is over
 * - of what is known of one subject: its sessions are over, and the mark that stood against earlier sign-ins is lost;
 *   signing in works
 * - of the lists by which expired sessions are found: no session is over for it; what they listed ends for every
 *   reader at its deadline, but stays in the store until the subject's sessions are ended all at once
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> = layerWith({})

/**
 * The file store: sessions in the files of a directory of its own, for one process at a time, with the promises of
 * `layer`. Sessions survive a restart, and a crash of the process or of the system: what is answered is on the disk,
 * where the disk and its file system keep what they were told to sync. On a network share they may not.
 *
 * Each value is written into a new file beside, synced, and takes the place of the old one by a rename; then the
 * directory is synced, where the system can. So no reader and no restart ever sees half of a value, and with a full
 * disk the operation fails while what was there before is still there. What a crash left of such a write is removed
 * when the Layer is built, once it is a minute old.
 *
 * The directory is created where it is not there, only for its owner (0700; one that is there already is left as it
 * is), and so are the files (0600). They hold no token, but what the application keeps in its sessions. A file is named
 * after the SHA-256 of its key, so that no two sessions share one, whatever the file system makes of case and Unicode;
 * other files and directories in it are left alone. When the directory is removed, its sessions are over, and the
 * next write creates it again.
 *
 * Building the Layer fails with the platform's error when the directory cannot be made, read and written.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
 *
 * const Sessions = SessionStoreKeyValue.layerFileSystem("/var/lib/shop/sessions").pipe(
 *   Layer.provide(NodeContext.layer)
 * )
 * ```
 */
export const layerFileSystem = (
  directory: string,
  options?: Options
): Layer.Layer<SessionStore, PlatformError, FileSystem | Path> =>
  Layer.provide(layerWith(options ?? {}), layerFiles(directory))

// -----------------------------------------------------------------------------
// Epochs
// -----------------------------------------------------------------------------

/**
 * The same as `layerEpoch`, with another pace of the sweep.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEpochWith = (options: Options): Layer.Layer<SessionEpoch, never, KeyValueStore.KeyValueStore> =>
  Layer.scoped(SessionEpoch, swept(epochs.make, options))

/**
 * Epochs over any `KeyValueStore`, under keys that begin with `epoch/`, and like `layer` for one process at a time: of
 * two that begin an epoch of one subject at the same moment, both may get the same number, which still ends all that
 * was before. An epoch that cannot be read is taken for one that begins now: all sealed sessions of that subject are
 * over, and the new epoch is remembered for good, since nobody knows any more until when the lost one had to be.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEpoch: Layer.Layer<SessionEpoch, never, KeyValueStore.KeyValueStore> = layerEpochWith({})

/**
 * Epochs in the files of a directory, which may be that of the sessions, with all that `layerFileSystem` says of them.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEpochFileSystem = (
  directory: string,
  options?: Options
): Layer.Layer<SessionEpoch, PlatformError, FileSystem | Path> =>
  Layer.provide(layerEpochWith(options ?? {}), layerFiles(directory))
