// What `npm start` does around the example that it runs.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { databaseUrl, hasSqlite, redisUrl } from "../servers.js"
import type { Environment } from "./processes.js"
import { isGone, listens, run, start, temporaryFolder } from "./processes.js"

/** Runs scripts/start.mjs over an example that prints what it was given, counts signals, and ends with status 7. */
const startExample = (env: Environment) =>
  Effect.gen(function*() {
    const example = join(yield* temporaryFolder, "example.mjs")
    writeFileSync(
      example,
      `
      const { DATABASE_URL, EFFECT_SECURITY_SQLITE, REDIS_URL, SESSION_STORE } = process.env
      let signals = 0
      for (const signal of ["SIGINT", "SIGTERM"]) {
        process.on(signal, () => {
          console.log("a " + signal)
          signals++
          setTimeout(() => process.exit(signals === 1 ? 7 : 1), 200)
        })
      }
      setInterval(() => {}, 1000)
      console.log("given " + JSON.stringify({
        DATABASE_URL, EFFECT_SECURITY_SQLITE, REDIS_URL, SESSION_STORE
      }))
    `
    )
    const program = yield* start(["scripts/start.mjs", example], env)
    yield* program.printed(/given .*\n/)
    const given: Environment = JSON.parse(/given (.*)\n/.exec(program.output())![1]!)
    return { ...program, given }
  })

describe("npm start", { timeout: 60_000 }, () => {
  it.scopedLive.each([
    { set: {}, store: "memory" },
    { set: { SESSION_STORE: "" }, store: "memory" },
    { set: { SESSION_STORE: "file" }, store: "file" },
    { set: { SESSION_STORE: "cookie" }, store: "cookie" },
    { set: { SESSION_STORE: "redis", REDIS_URL: "redis://r" }, store: "redis", REDIS_URL: "redis://r" },
    {
      set: { SESSION_STORE: "postgres", DATABASE_URL: "postgres://p" },
      store: "postgres",
      DATABASE_URL: "postgres://p"
    }
  ])("starts no server for $set", ({ set, store, ...given }) =>
    Effect.gen(function*() {
      const example = yield* startExample({ ...set as Environment, EFFECT_SECURITY_SERVERS_FROM: "none" })
      assert.deepStrictEqual(example.given, { SESSION_STORE: store, ...given })
      example.child.kill("SIGTERM")
      const { output, status } = yield* example.ended
      assert.strictEqual(status, 7)
      assert.strictEqual(output.match(/^given|^a SIGTERM/gm)?.length, 2)
    }))

  it.scopedLive.skipIf(!hasSqlite)("has SQLite compiled before the example asks for it", () =>
    Effect.gen(function*() {
      const { given } = yield* startExample({ SESSION_STORE: "sqlite" })
      assert.match(given.EFFECT_SECURITY_SQLITE!, /better_sqlite3\.node$/)
    }))

  it.live.each([
    {
      SESSION_STORE: "mongo",
      says: /^SESSION_STORE=mongo: there is memory, file, sqlite, postgres, redis, cookie\..*\n$/
    },
    { SESSION_STORE: "constructor", says: /^SESSION_STORE=constructor: there is memory/ },
    { SESSION_STORE: "redis", says: /^Redis cannot be had: .+\nTo have it: .*install.*\n$/ },
    { SESSION_STORE: "postgres", says: /^PostgreSQL cannot be had: .+\nTo have it: .*install.*\n$/ }
  ])(
    "ends with a sentence for SESSION_STORE=$SESSION_STORE where it cannot be had",
    ({ SESSION_STORE, says }) =>
      Effect.gen(function*() {
        const { output, status } = yield* run(["scripts/start.mjs"], {
          SESSION_STORE,
          EFFECT_SECURITY_SERVERS_FROM: "none"
        })
        assert.match(output, says)
        assert.strictEqual(status, 1)
      })
  )
})

describe.skipIf(databaseUrl === undefined || redisUrl === undefined)("npm start with a private server", {
  timeout: 60_000
}, () => {
  it.scopedLive.each(
    [
      { store: "redis", variable: "REDIS_URL", signal: "SIGTERM", group: false },
      { store: "postgres", variable: "DATABASE_URL", signal: "SIGINT", group: true }
    ] as const
  )(
    "gives the example a private $store, which ends after it on $signal",
    ({ group, signal, store, variable }) =>
      Effect.gen(function*() {
        const { child, ended, given, output } = yield* startExample({ SESSION_STORE: store })
        const { password, port } = new URL(given[variable]!)
        assert.isTrue(yield* listens(Number(port)))
        assert.isNotEmpty(password)
        assert.include(output().split("given")[0], `127.0.0.1:${port}`)
        assert.notInclude(output().split("given")[0], password)
        // Ctrl-C comes from the terminal to the whole group, and once more from npm.
        process.kill(group ? -child.pid! : child.pid!, signal)
        child.kill("SIGTERM")
        const { output: all, status } = yield* ended
        assert.strictEqual(status, 7)
        assert.lengthOf(all.match(/a SIG\w+/g)!, 1)
        assert.include(all, `a ${signal}`)
        assert.isFalse(yield* listens(Number(port)))
        yield* isGone(all.split("given")[0]!)
      })
  )

  it.scopedLive.skipIf(redisUrl === undefined)(
    "leaves neither example nor server behind when it is killed",
    () =>
      Effect.gen(function*() {
        const { child, ended } = yield* startExample({ SESSION_STORE: "redis" })
        child.kill("SIGKILL")
        // Its output ends when nobody holds it any more, the example included.
        const { output } = yield* ended
        assert.include(output, "a SIGTERM")
        yield* isGone(output.split("given")[0]!)
      })
  )
})
