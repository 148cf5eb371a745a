// A private Redis, and Valkey where the machine has it: found, or installed, and started in a temporary folder.
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { serverIdentity, writeFileFor } from "./identity.mjs"
import { installLine } from "./outcome.mjs"
import { onFreePorts } from "./ports.mjs"
import { aptInstall, mayUse, onPath } from "./sources.mjs"

/**
 * @typedef {import("./scope.mjs").Scope} Scope
 * @typedef {{ readonly file: string, readonly argv0: string, readonly version: string }} Program
 */

/**
 * The first program of these names on the PATH that runs. Debian's redis-tools has the server under another name: it
 * asks argv[0] which of them it is.
 *
 * @param {Scope} scope
 * @param {ReadonlyArray<string>} names
 * @returns {Promise<Program | undefined>}
 */
const findOnPath = async (scope, names) => {
  for (const file of names.flatMap(onPath)) {
    const argv0 = file.includes("valkey") ? "valkey-server" : "redis-server"
    const { output, status } = await scope.run(file, ["--version"], { argv0, identity: serverIdentity, cwd: "/" })
    const version = /\bv=([\d.]+)/.exec(output)?.[1]
    if (status === 0 && version !== undefined) return { file, argv0, version }
  }
  return undefined
}

const redisNames = ["redis-server", "redis-check-rdb", "valkey-server"]

/**
 * @param {Scope} scope
 * @returns {Promise<Program | undefined>}
 */
const findRedis = async (scope) => {
  const found = mayUse("system") ? await findOnPath(scope, redisNames) : undefined
  if (found !== undefined) return found
  // The smallest package that has the server, without a service.
  return await aptInstall(scope, "redis-tools") ? findOnPath(scope, redisNames) : undefined
}

/** @type {(scope: Scope) => Promise<Program | import("./outcome.mjs").Missing>} */
export const redisProgram = async (scope) =>
  await findRedis(scope) ??
    { reason: "no program that runs here was found", remedy: installLine({ debian: "redis-server", brew: "redis" }) }

/**
 * Runs a server in a folder of its own until the scope ends.
 *
 * @param {Scope} scope
 * @param {Program} program
 * @param {ReadonlyArray<string>} settings
 * @param {Readonly<Record<string, string>>} [files]
 * @returns {Promise<string>} The folder.
 */
export const launchRedis = async (scope, { argv0, file }, settings, files = {}) => {
  const folder = scope.temporaryFolder("redis", serverIdentity)
  const everyone = ["bind 127.0.0.1", `dir ${JSON.stringify(folder)}`, `save ""`]
  // A file, because everyone on the machine can read a program's arguments.
  const all = { ...files, "redis.conf": [...everyone, ...settings, ""].join("\n") }
  for (const [name, text] of Object.entries(all)) writeFileFor(join(folder, name), text, serverIdentity)
  await scope.launch(file, [join(folder, "redis.conf")], {
    argv0,
    identity: serverIdentity,
    cwd: folder,
    ready: /ready to accept connections/i,
    signals: ["SIGTERM", "SIGKILL"]
  })
  return folder
}

/**
 * `durable` keeps what was written through a crash, and asks for a password. Tests do without either.
 *
 * @param {Scope} scope
 * @param {Program | import("./outcome.mjs").Missing} program
 * @param {{ readonly durable: boolean }} options
 * @returns {Promise<import("./outcome.mjs").Outcome>}
 */
const start = async (scope, program, { durable }) => {
  if ("reason" in program) return program
  const password = randomBytes(24).toString("base64url")
  const settings = durable ? ["appendonly yes", "appendfsync always", `requirepass ${password}`] : []
  return onFreePorts(1, async (port) => {
    const folder = await launchRedis(scope, program, [`port ${port}`, ...settings])
    return {
      url: `redis://${durable ? `:${password}@` : ""}127.0.0.1:${port}`,
      says: `${program.argv0} ${program.version} on 127.0.0.1:${port}, its data in ${folder}`
    }
  })
}

/** @type {(scope: Scope, options: { readonly durable: boolean }) => Promise<import("./outcome.mjs").Outcome>} */
export const startRedis = async (scope, options) => start(scope, await redisProgram(scope), options)

/**
 * Valkey is welcome and never installed.
 *
 * @type {(scope: Scope, options: { readonly durable: boolean }) => Promise<import("./outcome.mjs").Outcome>}
 */
export const startValkey = async (scope, options) => {
  const program = mayUse("system") ? await findOnPath(scope, ["valkey-server"]) : undefined
  const missing = {
    reason: "valkey-server is not on the PATH",
    remedy: installLine({ debian: "valkey-server", brew: "valkey" })
  }
  return start(scope, program ?? missing, options)
}
