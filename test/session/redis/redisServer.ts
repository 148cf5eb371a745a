// A Redis of a test's own, which it may stop, kill and start again.
import { Effect, Schedule } from "effect"
import type { Scope } from "effect"
import { Redis } from "ioredis"
import type { RedisOptions } from "ioredis"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const onPath = (name: string) =>
  (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name)).find(isExecutable)

/** On Debian `redis-check-rdb` is the server itself under another name. */
const program = onPath("redis-server") ?? onPath("redis-check-rdb") ?? onPath("valkey-server")

export const hasProgram = program !== undefined

export const freePort: Effect.Effect<number> = Effect.async((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Starts the program and waits until it answers. */
  readonly start: Effect.Effect<void>
  /** Ends it without a goodbye, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
  /** Lets it answer nobody, and go on. */
  readonly stop: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Sends a command by a connection of its own. */
  readonly command: (name: string, ...args: ReadonlyArray<string | number>) => Effect.Effect<unknown>
}

const withClient = <A>(options: RedisOptions, use: (client: Redis) => Promise<A>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const client = new Redis({ ...options, lazyConnect: true, maxRetriesPerRequest: null })
      client.on("error", () => {})
      return client
    }),
    (client) => Effect.promise(() => use(client)),
    (client) => Effect.sync(() => client.disconnect())
  )

/** Started, and gone with the scope. It writes each change to disk before it answers. */
export const make = (
  settings: { readonly password?: string; readonly args?: ReadonlyArray<string>; readonly port?: number } = {}
): Effect.Effect<RedisServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const port = settings.port ?? (yield* freePort)
    const folder = mkdtempSync(join(tmpdir(), "effect-security-redis-"))
    const { password } = settings
    const where = { host: "127.0.0.1", port, ...(password === undefined ? {} : { password }) }
    let child: ChildProcess | undefined
    const die = () => child?.kill("SIGKILL")

    const command: RedisServer["command"] = (name, ...args) =>
      withClient({ ...where, retryStrategy: () => 20 }, (client) => client.call(name, ...args))

    const start = Effect.suspend(() => {
      const own = `--port ${port} --bind 127.0.0.1 --save  --appendonly yes --appendfsync always`.split(" ")
      const access = password === undefined ? [] : ["--requirepass", password]
      child = spawn(program!, [...own, "--dir", folder, ...access, ...(settings.args ?? [])], {
        argv0: "redis-server",
        stdio: "ignore"
      })
      return Effect.asVoid(command("PING"))
    })

    const kill = Effect.async<void>((resume) => {
      const dying = child
      child = undefined
      if (dying === undefined || dying.exitCode !== null || dying.signalCode !== null) {
        resume(Effect.void)
      } else {
        dying.once("exit", () => resume(Effect.void))
        dying.kill("SIGKILL")
      }
    })

    const signal = (name: NodeJS.Signals) => Effect.sync(() => child?.kill(name))

    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("exit", die)),
      () => Effect.sync(() => process.off("exit", die))
    )
    yield* Effect.acquireRelease(
      start,
      () => Effect.zipRight(kill, Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
    )
    return {
      port,
      url: `redis://${password === undefined ? "" : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
      start,
      kill,
      stop: Effect.asVoid(signal("SIGSTOP")),
      resume: Effect.asVoid(signal("SIGCONT")),
      command
    }
  })

const oneGoesOn = "--cluster-require-full-coverage no"

/** Three nodes that share the slots, each started and gone with the scope. One goes on without the others. */
export const makeCluster: Effect.Effect<ReadonlyArray<RedisServer>, never, Scope.Scope> = Effect.gen(function*() {
  const slots = [[0, 5_460], [5_461, 10_922], [10_923, 16_383]] as const
  const nodes = yield* Effect.forEach(slots, () =>
    Effect.flatMap(freePort, (bus) =>
      Effect.map(
        make({
          args: `--cluster-enabled yes --cluster-port ${bus} --cluster-node-timeout 2000 ${oneGoesOn}`.split(" ")
        }),
        (node) => ({ bus, node })
      )))
  for (const [at, { node }] of nodes.entries()) {
    yield* node.command("CLUSTER", "ADDSLOTSRANGE", ...slots[at]!)
    yield* node.command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
    yield* node.command("CLUSTER", "MEET", "127.0.0.1", nodes[0]!.node.port, nodes[0]!.bus)
  }
  for (const { node } of nodes) {
    yield* Effect.repeat(node.command("CLUSTER", "INFO"), {
      until: (info) => /cluster_state:ok/.test(String(info)) && /cluster_slots_assigned:16384/.test(String(info)),
      schedule: Schedule.spaced("50 millis")
    })
  }
  return nodes.map(({ node }) => node)
})
