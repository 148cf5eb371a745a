// Which servers a run of the tests needs, and which suites went without theirs.
import { existsSync, readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { known, serverNames } from "./servers.mjs"

/** @typedef {import("./servers.mjs").ServerName} ServerName */

/** What test/servers.ts exports for each server. */
const exported = /** @type {Readonly<Record<ServerName, RegExp>>} */ ({
  postgres: /\b(databaseUrl|freshDatabase)\b/,
  redis: /\bredisUrl\b/,
  redisCluster: /\bredisClusterNodes\b/,
  sqlite: /\bhasSqlite\b/,
  valkey: /\bvalkeyUrl\b/
})

/**
 * The text of a file and of every file that it imports by a relative path, and those in turn, but for `leaf`.
 *
 * @param {string} file
 * @param {string} leaf
 */
const textsBehind = (file, leaf) => {
  /** @type {Map<string, string>} */
  const texts = new Map()
  const waiting = [file]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (texts.has(next) || next === leaf || !existsSync(next)) continue
    const text = readFileSync(next, "utf8")
    texts.set(next, text)
    for (const [, path = ""] of text.matchAll(/["'](\.{1,2}\/[^"'\n]+\.[jt]s)["']/g)) {
      waiting.push(resolve(dirname(next), path.replace(/\.js$/, ".ts")))
    }
  }
  return [...texts.values()]
}

/**
 * The servers that these test files ask test/servers.ts for, and which of them do.
 *
 * @param {ReadonlyArray<string>} files
 * @param {string} serversFile
 * @returns {Map<ServerName, Array<string>>}
 */
export const suitesByServer = (files, serversFile) => {
  /** @type {Map<ServerName, Array<string>>} */
  const suites = new Map()
  for (const file of [...files].sort()) {
    const texts = textsBehind(file, serversFile)
    for (const name of serverNames) {
      if (texts.some((text) => exported[name].test(text))) suites.set(name, [...suites.get(name) ?? [], file])
    }
  }
  return suites
}

/** What the lines about suites that did not run start with. scripts/test.mjs repeats them at its very end. */
export const notRun = "NOT RUN: "

/**
 * @param {ServerName} name
 * @param {import("./outcome.mjs").Missing} missing
 * @param {ReadonlyArray<string>} suites
 */
export const notRunLine = (name, { reason, remedy }, suites) =>
  `${notRun}${suites.join(", ")}: no ${known[name].title} (${reason.replace(/\s+/g, " ")}). To have it: ${remedy}`

/**
 * Whether a run in this environment has to have every server.
 *
 * @param {NodeJS.ProcessEnv} env
 */
export const isRequired = (env) => !["", "0", "false"].includes((env.CI ?? "").toLowerCase())
