// A real process writes to the file store, and is killed in the middle of it, or may not write a file to its end.
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { freshDirectory, id, logsTo } from "./fixtures.js"

/** What the writer says of one operation: that it begins, or that it was answered. */
export interface Line {
  readonly op: "create" | "update" | "rotate" | "remove"
  readonly name: string
  readonly isDone: boolean
  readonly version?: number
  readonly next?: string
}

const writer = fileURLToPath(new URL("./writer.ts", import.meta.url))

/** What the writer said until it ended, or was killed after so many lines. */
const lines = (args: ReadonlyArray<string>, killedAfter: number, limit = "") =>
  Effect.async<ReadonlyArray<Line>>((resume) => {
    const said: Array<Line> = []
    const child = spawn("/bin/sh", [
      "-c",
      `${limit} exec "$@"`,
      "sh",
      process.execPath,
      "--import",
      "tsx",
      writer,
      ...args
    ], {
      stdio: ["ignore", "pipe", "inherit"],
      // Its cache has files that may be too long.
      env: { ...process.env, ...(limit === "" ? {} : { TSX_DISABLE_CACHE: "1" }) }
    })
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(JSON.parse(line))
      if (said.length === killedAfter) {
        child.kill("SIGKILL")
      }
    })
    child.on("close", () => resume(Effect.succeed(said)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const versionIn = (data: string) => {
  const { again, version } = JSON.parse(data)
  assert.strictEqual(version, again)
  return version
}

describe("a process that", () => {
  it.live(
    "is killed while it writes leaves every session as it was or as it was to be, and none half",
    () =>
      Effect.gen(function*() {
        const directory = yield* freshDirectory
        const said: Array<Line> = []
        for (const [round, killedAfter] of [37, 88, 145].entries()) {
          said.push(...yield* lines([directory, String(round)], killedAfter))
          const warnings: Array<string> = []
          yield* Effect.gen(function*() {
            const store = yield* SessionStore.SessionStore
            const find = (name: string) =>
              Effect.map(
                store.find(id(name, name.slice(0, 2))),
                Option.map(({ data, version }) => {
                  assert.strictEqual(versionIn(data), version)
                  return version
                })
              )
            const has = (op: Line["op"], name: string, isDone: boolean) =>
              said.find((line) => line.op === op && line.name === name && line.isDone === isDone)
            for (const { name } of said.filter((line) => line.op === "create" && !line.isDone)) {
              const version = yield* find(name)
              const rotating = has("rotate", name, false)
              const next = rotating === undefined ? Option.none() : yield* find(rotating.next!)
              if (has("remove", name, true) || has("rotate", name, true)) {
                assert.isTrue(Option.isNone(version), `${name} was ended`)
                assert.strictEqual(Option.isSome(next), rotating !== undefined, `${name} has a successor`)
              } else if (rotating !== undefined) {
                assert.strictEqual([version, next].filter(Option.isSome).length, 1, `${name} or its successor is there`)
              } else if (has("create", name, true) && !has("remove", name, false)) {
                const least = has("update", name, true) ? 1 : 0
                const most = has("update", name, false) ? 1 : 0
                assert.isTrue(
                  Option.exists(version, (version) => version >= least && version <= most),
                  `${name} is there`
                )
              }
            }
            assert.isAbove(said.length, 0)
          }).pipe(Effect.provide(SessionStoreKeyValue.layerFileSystem(directory)), Effect.provide(logsTo(warnings)))
          assert.deepStrictEqual(warnings, [])
        }
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
    120_000
  )

  it.live(
    "cannot write a file to its end fails typed, keeps the earlier record and leaves no other file",
    () =>
      Effect.gen(function*() {
        const directory = yield* freshDirectory
        const [said] = yield* lines([directory, "0", "overflow"], Infinity, "ulimit -f 64;")
        assert.include(said!.name, "SecurityUnavailable")
        assert.include(said!.name, "EFBIG")
        const fs = yield* FileSystem.FileSystem
        assert.deepStrictEqual((yield* fs.readDirectory(directory)).filter((name) => name.endsWith(".tmp")), [])
        const found = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.find(id("small"))).pipe(
          Effect.provide(SessionStoreKeyValue.layerFileSystem(directory))
        )
        assert.strictEqual(Option.getOrThrow(found).version, 0)
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
    60_000
  )
})
