import { FileSystem, Path } from "@effect/platform"
import type { Error as PlatformError } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Option, Runtime } from "effect"
import * as files from "../../../src/session/internal/keyValue/files.js"
import { failure, freshDirectory } from "./fixtures.js"

const live = <A, E>(
  body: (directory: string) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path>
) =>
() => Effect.provide(Effect.scoped(Effect.flatMap(freshDirectory, body)), NodeContext.layer)

/** The file system, but for what `change` makes of it. */
const withFiles =
  (change: (fs: FileSystem.FileSystem) => Partial<FileSystem.FileSystem>) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.updateService(self, FileSystem.FileSystem, (fs) => ({ ...fs, ...change(fs) }))

const listing = (directory: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.map(fs.readDirectory(directory), (names) => names.sort()))

const temporaries = (directory: string) =>
  Effect.map(listing(directory), (names) => names.filter((name) => name.endsWith(".tmp")))

const modeOf = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.map(fs.stat(path), ({ mode }) => (mode & 0o777).toString(8)))

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

const long = "k".repeat(255)

/** Keys that careless stores give one file. */
const lookalikes: ReadonlyArray<readonly [string, string]> = [
  ["a/b", "a_b"],
  ["a/b", "ab"],
  ["a\\b", "a/b"],
  ["../key", "key"],
  ["./key", "key"],
  ["k-", "k45"],
  ["\u212a", "K"],
  ["a\r\nb", "a\nb"],
  ["a\0b", "ab"],
  ["a\0", "a"],
  ["Key", "key"],
  ["stra\u00dfe", "strasse"],
  ["\u1e9e", "\u00df"],
  ["\u00e9", "e\u0301"],
  ["\u212b", "\u00c5"],
  ["\u00c5", "A\u030a"],
  ["\u03bf", "o"],
  ["\u0430", "a"],
  ["a\u00a0b", "a b"],
  ["a\tb", "a b"],
  ["a%2Fb", "a/b"],
  ["%2e%2e%2fkey", "../key"],
  [`${long}1`, `${long}2`],
  ["", "."],
  ["..", "."],
  ["key ", "key"],
  ["key.", "key"],
  ["\ud800", "\ud801"],
  ["\ud800", "\ufffd"],
  ["CON", "con"]
]

describe("the file of a key", () => {
  it.live(
    "is no other key's, however alike the two look to a file system",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(directory)
        const keys = Array.from(new Set(lookalikes.flat()))
        yield* Effect.forEach(keys, (key) => store.set(key, `the value of ${JSON.stringify(key)}`))
        for (const key of keys) {
          assert.deepStrictEqual(yield* store.get(key), Option.some(`the value of ${JSON.stringify(key)}`))
        }
        assert.strictEqual(yield* store.size, keys.length)
        const listed = yield* listing(directory)
        assert.strictEqual(new Set(listed.map((name) => name.normalize("NFKC").toLowerCase())).size, keys.length)
        listed.forEach((name) => assert.match(name, /^[0-9a-f]{64}$/))
        for (const [first, second] of lookalikes) {
          yield* store.remove(first)
          assert.isTrue(Option.isNone(yield* store.get(first)))
          assert.isTrue(Option.isSome(yield* store.get(second)) || lookalikes.some(([gone]) => gone === second))
        }
      })
    )
  )

  it.live(
    "is another one for any other text, and lies in the directory",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(directory)
        const path = yield* Path.Path
        const runtime = yield* Effect.runtime<FileSystem.FileSystem>()
        const text = FastCheck.oneof(
          FastCheck.string({ unit: "binary" }),
          FastCheck.string({
            unit: FastCheck.constantFrom("a", "A", "/", ".", "\0", "\ud800", "\udc00", "e\u0301", "\u00e9")
          })
        )
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(text, text, (first, second) =>
              Runtime.runPromise(runtime)(Effect.gen(function*() {
                yield* store.set(first, "first")
                yield* store.set(second, "second")
                const kept = yield* store.get(first)
                assert.strictEqual(Option.getOrNull(kept), first === second ? "second" : "first")
                assert.strictEqual((yield* listing(directory)).length, first === second ? 1 : 2)
                assert.deepStrictEqual(yield* listing(path.dirname(directory)), ["sessions"])
                yield* store.clear
              }))),
            { numRuns: 50 }
          )
        )
      })
    )
  )
})

// -----------------------------------------------------------------------------
// Values
// -----------------------------------------------------------------------------

describe("a value", () => {
  it.live(
    "is read as it was written, text or bytes, long or empty, and can be replaced and removed",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(directory)
        assert.isTrue(Option.isNone(yield* store.get("key")))
        assert.isTrue(Option.isNone(yield* store.getUint8Array("key")))
        for (const value of ["value", "", "\u00e9 e\u0301 \u{1f512}\0\r\n", "x".repeat(1_000_000)]) {
          yield* store.set("key", value)
          assert.deepStrictEqual(yield* store.get("key"), Option.some(value))
        }
        yield* store.set("key", Uint8Array.of(0, 255, 128))
        assert.deepStrictEqual(Option.map(yield* store.getUint8Array("key"), Array.from), Option.some([0, 255, 128]))
        yield* store.remove("key")
        yield* store.remove("key")
        assert.isTrue(Option.isNone(yield* store.get("key")))
        assert.strictEqual(yield* store.size, 0)
      })
    )
  )

  it.live(
    "is seen whole by every reader while it is replaced",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(directory)
        const value = (digit: number) => String(digit).repeat(200_000)
        yield* store.set("key", value(0))
        const writer = Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8, 9], (digit) => store.set("key", value(digit)))
        const reader = Effect.forEach(Array.from({ length: 50 }), () => store.get("key"))
        const [, seen] = yield* Effect.zip(writer, reader, { concurrent: true })
        for (const text of seen.map(Option.getOrThrow)) {
          assert.isTrue(text === value(Number(text[0])))
        }
      })
    )
  )

  it.live(
    "lies in a file for its owner only, in a directory for its owner only",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(`${directory}/below`)
        yield* store.set("key", "value")
        yield* store.set("key", "value again")
        assert.strictEqual(yield* modeOf(directory), "700")
        assert.strictEqual(yield* modeOf(`${directory}/below`), "700")
        for (const name of yield* listing(`${directory}/below`)) {
          assert.strictEqual(yield* modeOf(`${directory}/below/${name}`), "600")
        }
      })
    )
  )
})

// -----------------------------------------------------------------------------
// Failures
// -----------------------------------------------------------------------------

type File = FileSystem.File

/** What fails, and how the file system is changed so that it does. */
const failures: ReadonlyArray<{
  readonly name: string
  readonly change: (
    fs: FileSystem.FileSystem,
    error: PlatformError.PlatformError
  ) => Partial<FileSystem.FileSystem>
}> = [
  {
    name: "to open the file",
    change: (fs, error) => ({
      open: (path, options) => options?.flag === "wx" ? Effect.fail(error) : fs.open(path, options)
    })
  },
  ...(["half of the value", "nothing"] as const).map((written) => ({
    name: `to write it, when ${written} is written`,
    change: (fs: FileSystem.FileSystem, error: PlatformError.PlatformError): Partial<FileSystem.FileSystem> => ({
      open: (path, options) =>
        Effect.map(fs.open(path, options), (file) =>
          changed(file, {
            writeAll: (bytes) =>
              Effect.zipRight(
                written === "nothing" ? Effect.void : file.writeAll(bytes.subarray(0, bytes.length / 2)),
                Effect.fail(error)
              )
          }))
    })
  })),
  {
    name: "to sync it",
    change: (fs, error) => ({
      open: (path, options) =>
        Effect.map(
          fs.open(path, options),
          (file) => options?.flag === "wx" ? changed(file, { sync: Effect.fail(error) }) : file
        )
    })
  },
  { name: "to rename it", change: (_, error) => ({ rename: () => Effect.fail(error) }) }
]

const changed = (file: File, changes: Partial<File>): File =>
  new Proxy(file, {
    get: (target, key) => {
      const value: unknown = key in changes ? changes[key as keyof File] : Reflect.get(target, key, target)
      return typeof value === "function" ? value.bind(target) : value
    }
  })

describe("a write that fails", () => {
  for (const { change, name } of failures) {
    for (const error of [failure("Unknown", "ENOSPC: no space left"), failure("PermissionDenied", "EACCES")]) {
      it.live(
        `${name} (${error.description}): fails as the platform does, leaves the earlier value and no other file`,
        live((directory) =>
          Effect.gen(function*() {
            yield* Effect.flatMap(files.make(directory), (store) => store.set("key", "earlier"))
            const before = yield* listing(directory)
            const exit = yield* files.make(directory).pipe(
              Effect.flatMap((store) =>
                Effect.zipRight(Effect.flip(store.set("other", "later")), store.set("key", "later"))
              ),
              withFiles((fs) => change(fs, error)),
              Effect.exit
            )
            assert.deepStrictEqual(exit, Exit.fail(error))
            assert.deepStrictEqual(yield* listing(directory), before)
            const store = yield* files.make(directory)
            assert.deepStrictEqual(yield* store.get("key"), Option.some("earlier"))
            assert.isTrue(Option.isNone(yield* store.get("other")))
          })
        )
      )
    }
  }

  it.live(
    "to sync the directory fails too: nobody knows whether the new name is on the disk",
    live((directory) =>
      Effect.gen(function*() {
        let isBroken = false
        const store = yield* files.make(directory).pipe(withFiles((fs) => ({
          open: (path, options) =>
            Effect.suspend(() => isBroken && options?.flag === "r" ? Effect.fail(failure()) : fs.open(path, options))
        })))
        yield* store.set("key", "earlier")
        isBroken = true
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.set("key", "later"))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.remove("key"))))
      })
    )
  )

  it.live(
    "to sync the directory, where no directory can be synced, is none",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(directory).pipe(withFiles((fs) => ({
          open: (path, options) => options?.flag === "r" ? Effect.fail(failure("BadResource")) : fs.open(path, options)
        })))
        yield* store.set("key", "value")
        assert.deepStrictEqual(yield* store.get("key"), Option.some("value"))
        yield* store.remove("key")
        assert.isTrue(Option.isNone(yield* store.get("key")))
      })
    )
  )

  it.live(
    "since a directory has the name of the file: leaves it alone and no other file",
    live((directory) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const store = yield* files.make(directory)
        yield* store.set("key", "value")
        const [name] = yield* listing(directory)
        yield* fs.remove(`${directory}/${name}`)
        yield* fs.makeDirectory(`${directory}/${name}/inside`, { recursive: true })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.set("key", "value"))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.get("key"))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.remove("key"))))
        assert.deepStrictEqual(yield* listing(directory), [name])
        assert.isTrue(yield* fs.exists(`${directory}/${name}/inside`))
      })
    )
  )
})

describe("a read that fails", () => {
  it.live(
    "is a failure, and no missing value",
    live((directory) =>
      Effect.gen(function*() {
        const store = yield* files.make(directory).pipe(
          withFiles(() => ({
            readFile: () => Effect.fail(failure("PermissionDenied", "EACCES")),
            readFileString: () => Effect.fail(failure("PermissionDenied", "EACCES"))
          }))
        )
        yield* store.set("key", "value")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.get("key"))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.getUint8Array("key"))))
      })
    )
  )
})

// -----------------------------------------------------------------------------
// The directory
// -----------------------------------------------------------------------------

describe("the directory", () => {
  it.live(
    "is made again by the next write after it was removed, and is empty until then",
    live((directory) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const store = yield* files.make(directory)
        yield* store.set("key", "value")
        yield* fs.remove(directory, { recursive: true })
        assert.isTrue(Option.isNone(yield* store.get("key")))
        assert.strictEqual(yield* store.size, 0)
        yield* store.remove("key")
        yield* store.clear
        yield* store.set("other", "value")
        assert.deepStrictEqual(yield* store.get("other"), Option.some("value"))
        assert.strictEqual(yield* modeOf(directory), "700")
        assert.deepStrictEqual(yield* temporaries(directory), [])
      })
    )
  )

  it.live(
    "that cannot be made again is a failure of the write",
    live((directory) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const store = yield* files.make(directory)
        yield* fs.remove(directory, { recursive: true })
        yield* fs.writeFileString(directory, "in the way")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(store.set("key", "value"))))
      })
    )
  )

  it.live(
    "must be one that can be made, read and written, or there is no store",
    live((directory) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* fs.writeFileString(directory, "in the way")
        assert.strictEqual((yield* Effect.flip(files.make(directory)))._tag, "SystemError")
        yield* fs.remove(directory)
        const denied = failure("PermissionDenied", "EACCES")
        assert.strictEqual(
          yield* Effect.flip(files.make(directory)).pipe(withFiles(() => ({
            access: (_, options) => options?.writable === true ? Effect.fail(denied) : Effect.void
          }))),
          denied
        )
      })
    )
  )

  it.live(
    "keeps what is not ours, and loses what a write left unfinished once that is a minute old",
    live((directory) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const store = yield* files.make(directory)
        yield* store.set("key", "value")
        const [entry] = yield* listing(directory)
        const [old, young] = [`${entry}.${"0".repeat(16)}.tmp`, `${entry}.${"1".repeat(16)}.tmp`]
        const foreign = ["README", "notes.tmp", `${entry}.tmp`, `${entry}.bak`, "f".repeat(63)]
        yield* Effect.forEach([old, young, ...foreign], (name) => fs.writeFileString(`${directory}/${name}`, "half"))
        yield* fs.makeDirectory(`${directory}/below`)
        const longAgo = new Date(2000, 0)
        yield* Effect.forEach([old, ...foreign], (name) => fs.utimes(`${directory}/${name}`, longAgo, longAgo))
        const again = yield* files.make(directory)
        const left = [entry, young, ...foreign, "below"].sort()
        assert.deepStrictEqual(yield* listing(directory), left)
        assert.strictEqual(yield* again.size, 1)
        yield* again.clear
        assert.deepStrictEqual(yield* listing(directory), left.filter((name) => name !== entry))
      })
    )
  )
})
