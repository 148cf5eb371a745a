import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { sqlite, sqliteClient, temporaryFolder } from "./databases.js"
import { clientOf, record, storeOver } from "./fixtures.js"

const worker = fileURLToPath(new URL("./worker.ts", import.meta.url))

/** Its exit code, and what it complained of. */
const run = (args: ReadonlyArray<string>) =>
  Effect.async<{ readonly code: number | null; readonly output: string }>((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", worker, ...args], { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += chunk)
    child.on("close", (code) => resume(Effect.succeed({ code, output })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe.skipIf(!sqlite.isThere)("SQLite in WAL mode", () => {
  it.scopedLive(
    "is shared by four processes, of which none fails and none loses what another wrote",
    () =>
      Effect.gen(function*() {
        const filename = join(yield* temporaryFolder, "test.db")
        const sessions = yield* Effect.forEach([1, 2, 3], () => record({ data: "0", idleDeadline: Date.UTC(2100) }))
        const times = 50
        const workers = yield* Effect.fork(
          Effect.all(Array.from({ length: 4 }, () => run([filename, String(times), ...sessions.map(({ id }) => id)])), {
            concurrency: 4
          })
        )

        // As each of them does.
        const sql = yield* clientOf(sqliteClient(filename))
        yield* Effect.provideService(SessionStoreSql.migrate, SqlClient.SqlClient, sql)
        assert.deepStrictEqual(yield* sql`PRAGMA journal_mode`, [{ journal_mode: "wal" }])
        const store = yield* storeOver(sqliteClient(filename))
        yield* Effect.forEach(sessions, store.create)

        for (const { code, output } of yield* Fiber.join(workers)) {
          assert.deepStrictEqual({ code, output }, { code: 0, output: "" })
        }
        for (const { id } of sessions) {
          const { data, version } = Option.getOrThrow(yield* store.find(id))
          assert.deepStrictEqual({ data, version }, { data: String(4 * times), version: 4 * times })
        }
        assert.lengthOf(yield* sql`SELECT 1 FROM effect_security_session_marks`, 4)
      }),
    120_000
  )
})
