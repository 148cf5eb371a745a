// Programs of the project as processes, in an environment where no server is known yet.
import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../../", import.meta.url))

export type Environment = Readonly<Record<string, string | undefined>>

/** What a run of the tests or npm has set. An empty variable counts as none. */
const clean: Environment = {
  CI: undefined,
  DATABASE_URL: undefined,
  EFFECT_SECURITY_SERVERS_FROM: undefined,
  EFFECT_SECURITY_SQLITE: undefined,
  REDIS_CLUSTER_NODES: undefined,
  REDIS_URL: undefined,
  SESSION_STORE: undefined,
  VALKEY_URL: undefined,
  VITEST: undefined,
  npm_lifecycle_event: undefined
}

export interface Program {
  readonly child: ChildProcess
  readonly output: () => string
  /** Until it has printed a text; fails with its output when it ends before. */
  readonly printed: (text: string | RegExp) => Effect.Effect<void, string>
  /** Its status and its output when it has ended: the code, or the signal that ended it. */
  readonly ended: Effect.Effect<{ readonly status: number | string; readonly output: string }>
}

/** Runs Node with arguments, in the project's folder and in a process group of its own, until the scope ends. */
export const start = (args: ReadonlyArray<string>, env: Environment = {}, cwd = root) =>
  Effect.acquireRelease(
    Effect.sync((): Program => {
      const child = spawn(process.execPath, args, { cwd, env: { ...process.env, ...clean, ...env }, detached: true })
      let output = ""
      let status: number | string | undefined
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += chunk)
      child.once("close", (code, signal) => status = code ?? signal ?? "")
      const ended = Effect.async<{ status: number | string; output: string }>((resume) => {
        const done = () => resume(Effect.succeed({ status: status ?? "", output }))
        if (status === undefined) child.once("close", done)
        else done()
      })
      const printed = (text: string | RegExp) =>
        Effect.async<void, string>((resume) => {
          const check = () => {
            if (typeof text === "string" ? output.includes(text) : text.test(output)) resume(Effect.void)
          }
          for (const stream of [child.stdout, child.stderr]) stream.on("data", check)
          child.once("close", () => resume(Effect.fail(output)))
          check()
        })
      return { child, output: () => output, printed, ended }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Runs Node to its end. */
export const run = (args: ReadonlyArray<string>, env: Environment = {}, cwd = root) =>
  Effect.scoped(Effect.flatMap(start(args, env, cwd), ({ ended }) => ended))

/** An empty folder, removed when the scope ends. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-security-test-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Waits until something is so. */
export const eventually = (condition: Effect.Effect<boolean>) =>
  condition.pipe(
    Effect.filterOrFail((is) => is, () => "not yet"),
    Effect.retry(Schedule.spaced(20)),
    Effect.timeout("20 seconds"),
    Effect.orDie
  )

/** Whether somebody listens on a port of this machine. */
export const listens = (port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

export const exists = (path: string) => Effect.sync(() => existsSync(path))

/** The ports and folders that a line about a server names. */
export const traces = (says: string) => ({
  ports: [...says.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port)),
  folders: [...says.matchAll(/(\S*\/effect-security-\w+-\w+)/g)].map(([, folder]) => folder!)
})

/** Waits until nothing is left of a server. */
export const isGone = (says: string) =>
  Effect.gen(function*() {
    const { folders, ports } = traces(says)
    for (const port of ports) yield* eventually(Effect.map(listens(port), (is) => !is))
    for (const folder of folders) yield* eventually(Effect.map(exists(folder), (is) => !is))
  })
