// Private servers for tests and examples.
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/**
 * @typedef {import("./outcome.mjs").Outcome} Outcome
 * @typedef {"postgres" | "redis" | "redisCluster" | "sqlite" | "valkey"} ServerName
 * @typedef {{
 *   readonly outcomes: ReadonlyMap<ServerName, Outcome>
 *   readonly stop: () => Promise<void>
 * }} Servers
 */

/** What each is called, and the environment variable that says where it is. */
export const known = /** @type {const} */ ({
  postgres: { title: "PostgreSQL", variable: "DATABASE_URL" },
  redis: { title: "Redis", variable: "REDIS_URL" },
  redisCluster: { title: "Redis Cluster", variable: "REDIS_CLUSTER_NODES" },
  sqlite: { title: "SQLite", variable: "EFFECT_SECURITY_SQLITE" },
  valkey: { title: "Valkey", variable: "VALKEY_URL" }
})

/** The names of all. */
export const serverNames = /** @type {ReadonlyArray<ServerName>} */ (Object.keys(known))

/**
 * Starts servers, and gives for each where it is or why it cannot be had. They run until `stop` or until this process
 * ends, however it ends. `durable` servers keep what they have confirmed through a crash.
 *
 * @param {ReadonlyArray<ServerName>} names
 * @param {{ readonly durable?: boolean }} [options]
 * @returns {Promise<Servers>}
 */
export const startServers = async (names, { durable = false } = {}) => {
  const keeper = spawn(
    process.execPath,
    [fileURLToPath(new URL("keeper.mjs", import.meta.url)), JSON.stringify({ names, durable })],
    { detached: true, windowsHide: true, stdio: ["pipe", "pipe", "inherit"] }
  )
  const exited = new Promise((resolve) => keeper.once("exit", resolve))
  // It may be gone already when it is told to stop.
  keeper.stdin.on("error", () => {})

  /** @type {Map<ServerName, Outcome>} */
  const outcomes = new Map()
  for await (const line of createInterface(keeper.stdout)) {
    const { name, outcome } = JSON.parse(line)
    outcomes.set(name, outcome)
    if (outcomes.size === names.length) break
  }
  for (const name of names) {
    if (!outcomes.has(name)) {
      outcomes.set(name, { reason: "its keeper ended early", remedy: `set ${known[name].variable}` })
    }
  }
  // Nobody has to say stop: this process ends when it has nothing else to do.
  for (const handle of /** @type {ReadonlyArray<any>} */ ([keeper, keeper.stdin, keeper.stdout])) handle.unref()
  const stop = () => {
    keeper.ref()
    keeper.stdin.end()
    return exited.then(() => {})
  }
  return { outcomes, stop }
}
