// Processes that work on one store beside each other, seen from the test that has started them.
import { Context, Effect, Layer, Scope } from "effect"
import type * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import { build } from "esbuild"
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { FromWorker, Job, ToWorker } from "./protocol.js"

interface Worker {
  readonly child: ChildProcess
  hears: (message: FromWorker) => void
  ends: () => void
}

const root = fileURLToPath(new URL("../../../", import.meta.url))

/** The worker as one file: a process that has to translate it first begins several times later. */
const bundle = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => {
      mkdirSync(join(root, ".tmp"), { recursive: true })
      return mkdtempSync(join(root, ".tmp/processes-"))
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )
  const outfile = join(folder, "worker.mjs")
  yield* Effect.promise(() =>
    build({
      entryPoints: [fileURLToPath(new URL("./worker.ts", import.meta.url))],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: ["better-sqlite3", "ioredis", "pg", "pg-native"],
      banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }
    })
  )
  return outfile
})

const start = (file: string): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Worker>((resume) => {
      const child = fork(file, { cwd: root, execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] })
      const worker: Worker = {
        child,
        hears: ({ say }) => {
          if (say === "ready") resume(Effect.succeed(worker))
        },
        ends: () => resume(Effect.dieMessage("A worker ended before it began"))
      }
      child.on("message", (message: FromWorker) => worker.hears(message))
      child.on("exit", () => worker.ends())
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

export interface Run extends Omit<Job, "options"> {
  readonly seed: string
  readonly rounds: number
  readonly steps: number
  /** How far the clock of each worker is ahead, in milliseconds. */
  readonly clocks?: ReadonlyArray<number> | undefined
  /** Which worker is killed, and in the middle of which of its operations. */
  readonly kill?: { readonly worker: number; readonly operation: number } | undefined
}

export interface Service {
  /** What each worker has done, the killed one too, whose place another one takes. It dies where a worker fails. */
  readonly run: (_: Run) => Effect.Effect<ReadonlyArray<SessionStoreContract.History>>
}

export class Pool extends Context.Tag("test/Pool")<Pool, Service>() {}

/** Has the workers do their jobs, and lets them pass the barriers together. */
const supervise = (workers: ReadonlyArray<Worker>, { clocks, isCached, kill, place, rounds, seed, steps }: Run) =>
  Effect.async<ReadonlyArray<SessionStoreContract.History>>((resume) => {
    const histories: ReadonlyArray<Array<SessionStoreContract.Entry>> = workers.map(() => [])
    const busy = new Set(workers)
    const waiting = new Set<Worker>()
    const tell = ({ child }: Worker, message: ToWorker) => child.send(message)
    const look = () => {
      if (busy.size === 0) {
        resume(Effect.succeed(histories))
      } else if (waiting.size === busy.size) {
        waiting.clear()
        busy.forEach((worker) => tell(worker, { say: "pass" }))
      }
    }
    const leave = (worker: Worker) => {
      busy.delete(worker)
      waiting.delete(worker)
      look()
    }
    const fail = (cause: string) => resume(Effect.dieMessage(cause))

    workers.forEach((worker, number) => {
      worker.ends = () => number === kill?.worker ? leave(worker) : fail(`worker ${number} has ended`)
      worker.hears = (message) => {
        switch (message.say) {
          case "ready":
            break
          case "entry":
            histories[number]!.push(message.entry)
            if (number === kill?.worker && message.entry.number === kill.operation) {
              worker.child.kill("SIGKILL")
            }
            break
          case "waiting":
            waiting.add(worker)
            look()
            break
          case "done":
            leave(worker)
            break
          case "failed":
            fail(`worker ${number}: ${message.cause}`)
        }
      }
      const options = { seed, worker: number, workers: workers.length, rounds, steps, clockOffset: clocks?.[number] }
      tell(worker, { say: "run", job: { place, isCached, options } })
    })
  })

export const layer = (size: number): Layer.Layer<Pool> =>
  Layer.scoped(
    Pool,
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const begin = Scope.extend(start(yield* bundle), scope)
      const workers = yield* Effect.all(Array.from({ length: size }, () => begin), { concurrency: "unbounded" })
      return {
        run: (run) =>
          Effect.gen(function*() {
            const histories = yield* supervise(workers, run)
            if (run.kill !== undefined) {
              workers[run.kill.worker] = yield* begin
            }
            return histories
          })
      }
    })
  )
