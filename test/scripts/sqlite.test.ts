// How better-sqlite3 gets its compiled half, in a copy of the project whose npm only pretends to compile.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { hasSqlite } from "../servers.js"
import { root, run, start, temporaryFolder } from "./processes.js"

const binary = "node_modules/better-sqlite3/build/Release/better_sqlite3.node"

const ensuring = `
  import { startServers } from "./scripts/servers/servers.mjs"
  const { outcomes, stop } = await startServers(["sqlite"])
  await stop()
  console.log(JSON.stringify(outcomes.get("sqlite")))
`

/** A project with an uncompiled better-sqlite3. `compile` is what its npm does; `compiled` counts how often it did. */
const project = (compile: string) =>
  Effect.gen(function*() {
    const folder = yield* temporaryFolder
    cpSync(join(root, "scripts"), join(folder, "scripts"), { recursive: true })
    mkdirSync(join(folder, "node_modules/better-sqlite3"), { recursive: true })
    for (const path of ["lib", "package.json"]) {
      cpSync(join(root, "node_modules/better-sqlite3", path), join(folder, "node_modules/better-sqlite3", path), {
        recursive: true
      })
    }
    for (const name of ["bindings", "file-uri-to-path"]) {
      symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name))
    }
    const npm = join(folder, "npm.mjs")
    const calls = join(folder, "calls")
    writeFileSync(
      npm,
      `
      import { appendFileSync, cpSync, mkdirSync } from "node:fs"
      appendFileSync(${JSON.stringify(calls)}, process.argv.slice(2).join(" ") + "\\n")
      ${compile}
    `
    )
    const env = { XDG_CACHE_HOME: join(folder, "cache"), npm_execpath: npm }
    const compiled = () => existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : []
    return { folder, env, compiled }
  })

const compiles = `
  mkdirSync("build/Release", { recursive: true })
  await new Promise((resolve) => setTimeout(resolve, 500))
  cpSync(${JSON.stringify(join(root, binary))}, "build/Release/better_sqlite3.node")
`

describe.skipIf(!hasSqlite)("better-sqlite3", { timeout: 60_000 }, () => {
  it.scopedLive("is compiled once by two processes that want it at once, and comes from the cache afterwards", () =>
    Effect.gen(function*() {
      const { compiled, env, folder } = yield* project(compiles)
      const ensure = run(["--input-type=module", "-e", ensuring], env, folder)
      for (const { output } of yield* Effect.all([ensure, ensure], { concurrency: 2 })) {
        assert.include(output, "file://")
      }
      assert.deepStrictEqual(compiled(), ["run install"])
      assert.isTrue(existsSync(join(folder, binary)))

      // As `npm ci` does.
      rmSync(join(folder, "node_modules/better-sqlite3/build"), { recursive: true })
      assert.include((yield* ensure).output, "file://")
      assert.isTrue(existsSync(join(folder, binary)))
      assert.lengthOf(compiled(), 1)
    }))

  it.scopedLive("that does not run here, in its place or in the cache, is compiled again", () =>
    Effect.gen(function*() {
      const { compiled, env, folder } = yield* project(compiles)
      const ensure = run(["--input-type=module", "-e", ensuring], env, folder)
      yield* ensure
      const cache = join(folder, "cache/effect-security")
      for (const name of readdirSync(cache)) {
        writeFileSync(join(cache, name), "not a library")
      }
      writeFileSync(join(folder, binary), "not a library")
      assert.include((yield* ensure).output, "file://")
      assert.lengthOf(compiled(), 2)
    }))

  it.scopedLive("says what the compiler said when it does not compile, and leaves nothing half built", () =>
    Effect.gen(function*() {
      const { env, folder } = yield* project(`console.log("no C++ compiler"); process.exit(1)`)
      const { output } = yield* run(["--input-type=module", "-e", ensuring], env, folder)
      assert.include(output, "no C++ compiler")
      assert.include(output, "remedy")
      assert.isFalse(existsSync(join(folder, binary)))
    }))

  it.scopedLive("is compiled by the next one when whoever compiled it was killed", () =>
    Effect.gen(function*() {
      const { compiled, env, folder } = yield* project(`
        if (process.env.HANGS) { console.log("hangs"); await new Promise(() => setInterval(() => {}, 1000)) }
        ${compiles}
      `)
      const { child, ended, printed } = yield* start(["--input-type=module", "-e", ensuring], {
        ...env,
        HANGS: "yes"
      }, folder)
      yield* printed("Compiling")
      child.kill("SIGKILL")
      yield* ended
      const { output } = yield* run(["--input-type=module", "-e", ensuring], env, folder)
      assert.include(output, "file://")
      assert.isAtMost(compiled().length, 2)
      assert.isEmpty(readdirSync(join(folder, "node_modules")).filter((name) => name.startsWith(".better")))
    }))
})
