import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as csprng from "../../../internal/csprng.js"
import { digestOfAny } from "./digest.js"

const directoryMode = 0o700
const fileMode = 0o600

const isEntry = (name: string) => /^[0-9a-f]{64}$/.test(name)
const isTemporary = (name: string) => /^[0-9a-f]{64}\.[0-9a-f]{16}\.tmp$/.test(name)

/** A younger one may be what another process, which is about to end, is still writing. */
const staleMillis = 60_000

const isNotFound = (error: PlatformError) => error._tag === "SystemError" && error.reason === "NotFound"

/**
 * A key-value store in the files of one directory, which the platform's own is not: there, a write that is cut off
 * leaves half of a value, and names differ by their case only.
 *
 * The file of a key is named by a digest of it, so that any two keys have different files and every name is short and
 * plain. A value is written beside and renamed, so that a reader sees the old one or the new one.
 */
export const make = (
  directory: string
): Effect.Effect<KeyValueStore.KeyValueStore, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    const fileOf = (key: string) => path.join(root, digestOfAny(key))

    const makeRoot = fs.makeDirectory(root, { recursive: true, mode: directoryMode })
    const syncRoot = Effect.scoped(Effect.flatMap(fs.open(root, { flag: "r" }), (handle) => handle.sync))
    const removeFile = (file: string) => fs.remove(file, { force: true })
    const names = Effect.catchIf(fs.readDirectory(root), isNotFound, () => Effect.succeed<Array<string>>([]))

    const removeStale = Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const files = (yield* names).filter(isTemporary).map((name) => path.join(root, name))
      yield* Effect.forEach(files, (file) =>
        Effect.gen(function*() {
          const { mtime } = yield* fs.stat(file)
          if (Option.exists(mtime, (time) => time.getTime() + staleMillis <= now)) {
            yield* removeFile(file)
          }
        }).pipe(Effect.catchIf(isNotFound, () => Effect.void)), { discard: true })
    })

    yield* makeRoot
    yield* fs.access(root, { readable: true, writable: true })
    yield* removeStale
    // Not every system can: then it has to look after its directories itself.
    const canSyncRoot = Option.isSome(yield* Effect.option(syncRoot))
    const settleRoot = canSyncRoot ? syncRoot : Effect.void

    const writeBeside = (temporary: string, value: Uint8Array) =>
      Effect.scoped(Effect.gen(function*() {
        const handle = yield* fs.open(temporary, { flag: "wx", mode: fileMode })
        // The platform takes the writing of nothing for a failure.
        yield* value.length === 0 ? Effect.void : handle.writeAll(value)
        yield* handle.sync
      }))

    const set = (key: string, value: string | Uint8Array) =>
      Effect.gen(function*() {
        const file = fileOf(key)
        const temporary = `${file}.${Encoding.encodeHex(yield* csprng.bytes(8))}.tmp`
        const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value
        yield* writeBeside(temporary, bytes).pipe(
          Effect.catchIf(isNotFound, () => Effect.zipRight(makeRoot, writeBeside(temporary, bytes))),
          Effect.zipRight(fs.rename(temporary, file)),
          Effect.onError(() => Effect.ignore(removeFile(temporary)))
        )
        yield* settleRoot
      }).pipe(Effect.uninterruptible)

    const read = <A>(self: Effect.Effect<A, PlatformError>) =>
      Effect.catchIf(Effect.asSome(self), isNotFound, () => Effect.succeedNone)

    const remove = (key: string) =>
      removeFile(fileOf(key)).pipe(
        Effect.zipRight(settleRoot),
        Effect.catchIf(isNotFound, () => Effect.void),
        Effect.uninterruptible
      )

    const entries = Effect.map(names, (all) => all.filter(isEntry))

    return KeyValueStore.make({
      get: (key) => read(fs.readFileString(fileOf(key))),
      getUint8Array: (key) => read(fs.readFile(fileOf(key))),
      set,
      remove,
      clear: Effect.flatMap(
        entries,
        (all) => Effect.forEach(all, (name) => removeFile(path.join(root, name)), { discard: true })
      ),
      size: Effect.map(entries, (all) => all.length)
    })
  })
