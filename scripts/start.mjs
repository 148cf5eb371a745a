// What `npm start` runs: the example with sessions, over the store that SESSION_STORE names. Redis and PostgreSQL are
// those of REDIS_URL and DATABASE_URL, or private ones that end with the example. `npm start -- examples/jwt.ts` runs
// another example.
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { fileURLToPath } from "node:url"
import { root } from "./lib/project.mjs"
import { known, startServers } from "./servers/servers.mjs"

/** @type {Readonly<Record<string, import("./servers/servers.mjs").ServerName | undefined>>} */
const stores = {
  memory: undefined,
  file: undefined,
  sqlite: "sqlite",
  postgres: "postgres",
  redis: "redis",
  cookie: undefined
}

/** How long the example may take to end when it is told to, in milliseconds. */
const patience = 10_000

const store = process.env.SESSION_STORE || "memory"
const example = process.argv[2] ?? "examples/session-auth.ts"

if (!Object.hasOwn(stores, store)) {
  console.error(`SESSION_STORE=${store}: there is ${Object.keys(stores).join(", ")}. Without it, memory.`)
  process.exit(1)
}

let isStopped = false
/** @type {(signal: NodeJS.Signals) => void} Before there is an example: whoever keeps the server sees us go. */
let onStop = (signal) => process.exit(128 + constants.signals[signal])

/** @param {NodeJS.Signals} signal */
const stop = (signal) => {
  // Ctrl-C may come twice, from the terminal and from npm, and the example takes a second one as "at once".
  if (isStopped) return
  isStopped = true
  onStop(signal)
}
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) process.on(signal, () => stop(signal))

// npm hands a signal to the shell between it and us, which ends and tells nobody.
const parent = process.ppid
const orphaned = () => process.ppid !== parent && stop("SIGTERM")
if (process.env.npm_lifecycle_event !== undefined) setInterval(orphaned, 500).unref()

const name = stores[store]
/** @type {NodeJS.ProcessEnv} */
const env = { ...process.env, SESSION_STORE: store }
/** @type {import("./servers/servers.mjs").Servers | undefined} */
let servers
if (name !== undefined && !env[known[name].variable]) {
  servers = await startServers([name], { durable: true })
  const outcome = servers.outcomes.get(name)
  if (outcome !== undefined && "url" in outcome) {
    console.log(name === "sqlite" ? outcome.says : `${outcome.says}: for as long as this runs`)
    env[known[name].variable] = outcome.url
  } else {
    const title = known[name].title
    console.error(`${title} cannot be had: ${outcome?.reason}\nTo have it: ${outcome?.remedy}`)
    await servers.stop()
    process.exit(1)
  }
}

/** @returns {Promise<number>} The example's status. */
const run = () =>
  new Promise((resolve) => {
    const follow = fileURLToPath(new URL("servers/followParent.mjs", import.meta.url))
    // In a process group of its own, where Ctrl-C does not reach it: it is told by us, once.
    const child = spawn(process.execPath, ["--import", "tsx", "--import", follow, example], {
      cwd: root,
      env,
      detached: process.platform !== "win32",
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    onStop = (signal) => {
      child.kill(signal)
      setTimeout(() => child.kill("SIGKILL"), patience).unref()
    }
    child.once("exit", (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })

const status = await run()
await servers?.stop()
process.exit(status)
