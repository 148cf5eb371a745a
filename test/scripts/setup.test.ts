// The set-up of the tests: it starts what the suites need, and a suite that could not run is not passed over.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { isRequired, suitesByServer } from "../../scripts/servers/suites.mjs"
import type { Environment } from "./processes.js"
import { run, temporaryFolder } from "./processes.js"

/** Runs the suite that needs every server. */
const vitest = (env: Environment) =>
  run(["node_modules/vitest/vitest.mjs", "run", "test/scripts/testServers.test.ts"], { NO_COLOR: "1", ...env })

/** The lines about suites that did not run. */
const notRun = (output: string) => output.split("\n").filter((line) => line.startsWith("NOT RUN: "))

describe("a run without servers", { timeout: 60_000 }, () => {
  it.live.each([
    { CI: undefined, ends: 0 },
    { CI: "true", ends: 1 }
  ])(
    "says at its start and at its end what did not run, and ends with $ends for CI=$CI",
    ({ CI, ends }) =>
      Effect.gen(function*() {
        const { output, status } = yield* vitest({ CI, EFFECT_SECURITY_SERVERS_FROM: "none" })
        assert.strictEqual(status, ends, output)
        const [start = "", end = ""] = output.split(/^\s*Test Files .*$/m)
        for (const part of [start, end]) {
          const lines = notRun(part)
          for (const title of ["PostgreSQL", "Redis", "Redis Cluster", "SQLite", "Valkey"]) {
            assert.isTrue(
              lines.some((line) => line.includes(`test/scripts/testServers.test.ts: no ${title} (`)),
              `${title} in:\n${part}`
            )
          }
        }
        assert.strictEqual(end.includes("the run fails"), ends === 1)
      })
  )

  it.live("takes those of the environment", () =>
    Effect.gen(function*() {
      const { output } = yield* vitest({
        CI: "true",
        EFFECT_SECURITY_SERVERS_FROM: "none",
        DATABASE_URL: "postgres://127.0.0.1:1/none",
        REDIS_URL: "redis://127.0.0.1:1"
      })
      // Its tests ran, and found nobody there.
      assert.match(output, /FAIL .*freshDatabase/)
      assert.match(output, /FAIL .*redisUrl/)
      assert.isEmpty(notRun(output).filter((line) => /no (PostgreSQL|Redis) \(/.test(line)))
      assert.isNotEmpty(notRun(output).filter((line) => line.includes("no Redis Cluster (")))
    }))
})

describe("a run that needs every server", () => {
  it.each([
    { CI: undefined, required: false },
    { CI: "", required: false },
    { CI: "false", required: false },
    { CI: "0", required: false },
    { CI: "1", required: true },
    { CI: "true", required: true },
    { CI: "woodpecker", required: true }
  ])("is one in continuous integration: $required for CI=$CI", ({ CI, required }) => {
    assert.strictEqual(isRequired({ CI }), required)
  })
})

describe("the servers that a run needs", () => {
  it.scoped("are those whose names its files use, also through the files that they import", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = (name: string, text: string) => {
        writeFileSync(join(folder, name), text)
        return join(folder, name)
      }
      const servers = file("servers.ts", "export const redisUrl = 1, databaseUrl = 2")
      const plain = file("plain.test.ts", `import "./helper.js"\nimport "./servers.js"`)
      const direct = file("direct.test.ts", `import { redisUrl, hasSqlite } from "./servers.js"`)
      const indirect = file("indirect.test.ts", `const x = await import("./storeTests.js")`)
      file("helper.ts", `import "./helper.js"\nexport const notTheRedisUrlOfAnyone = 1`)
      file("storeTests.ts", `import { freshDatabase } from "./servers.js"`)
      assert.deepStrictEqual(
        suitesByServer([plain, indirect, direct], servers),
        new Map([["postgres", [indirect]], ["redis", [direct]], ["sqlite", [direct]]])
      )
    }))
})
