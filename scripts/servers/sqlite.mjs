// The compiled half of better-sqlite3. `npm ci` leaves it out, because compiling it takes longer than everything else:
// it is made when it is first wanted, and kept for the next `npm ci` in a cache of the user's.
import * as Fs from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { pathToFileURL } from "node:url"
import { root } from "../lib/project.mjs"
import { installLine } from "./outcome.mjs"
import { progress } from "./progress.mjs"
import { mayUse } from "./sources.mjs"

/** @typedef {import("./scope.mjs").Scope} Scope */

const source = join(root, "node_modules/better-sqlite3")
const built = "build/Release/better_sqlite3.node"
const place = join(source, built)

/** The user's cache, or the project's for a user who has no home. */
const cacheFolder = () => {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "effect-security")
  try {
    Fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    Fs.accessSync(folder, Fs.constants.W_OK)
    return folder
  } catch {
    return join(root, "node_modules/.cache/effect-security")
  }
}

/** The name of a binary that fits this Node, without what only loading it can tell (the C library). */
const key = () => {
  const { version } = JSON.parse(Fs.readFileSync(join(source, "package.json"), "utf8"))
  return `better-sqlite3-${version}-abi${process.versions.modules}-${process.platform}-${process.arch}`
}

/**
 * Whether a binary runs under this Node. Asked in a process of its own: one that does not fit may crash it.
 *
 * @param {Scope} scope
 * @param {string} binary
 */
const works = async (scope, binary) => {
  if (!Fs.existsSync(binary)) return false
  const code = `require("better-sqlite3")(":memory:", { nativeBinding: process.argv[1] }).prepare("select 1").get()`
  return (await scope.run(process.execPath, ["-e", code, binary], { cwd: root })).status === 0
}

/**
 * Puts a copy where others look for it, all of it at once.
 *
 * @param {string} from
 * @param {string} to
 */
const install = (from, to) => {
  Fs.mkdirSync(dirname(to), { recursive: true })
  const whole = `${to}.${process.pid}`
  Fs.copyFileSync(from, whole)
  Fs.renameSync(whole, to)
}

/** A process that nobody waited for seems to run for ever, but none compiles this long. In milliseconds. */
const longestBuild = 600_000

/**
 * Whether whoever took a lock is gone without having removed it.
 *
 * @param {string} file
 */
const isStale = (file) => {
  try {
    if (Date.now() - Fs.statSync(file).mtimeMs > longestBuild) return true
    process.kill(Number(Fs.readFileSync(file, "utf8")), 0)
    return false
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "ESRCH"
  }
}

/**
 * Takes the lock, or waits until whoever has it is done. Two that build at once waste time and break nothing.
 *
 * @param {Scope} scope
 * @param {string} file
 * @returns {Promise<boolean>} Whether the lock is ours.
 */
const lock = async (scope, file) => {
  Fs.mkdirSync(dirname(file), { recursive: true })
  try {
    scope.acquire(
      () => Fs.writeFileSync(file, String(process.pid), { flag: "wx" }),
      () => Fs.rmSync(file, { force: true })
    )
    return true
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error
  }
  progress("Another process compiles better-sqlite3: waiting for it ...")
  while (Fs.existsSync(file)) {
    if (isStale(file)) Fs.rmSync(file, { force: true })
    await sleep(200)
  }
  return false
}

/**
 * @param {Scope} scope
 * @returns {Promise<{ readonly binary: string } | { readonly output: string }>}
 */
const build = async (scope) => {
  progress("Compiling better-sqlite3 (once for each version of Node), about 30 seconds ...")
  // Inside node_modules, where its script finds the programs that it needs; a copy, so that nothing is half built.
  const folder = scope.acquire(
    () => Fs.mkdtempSync(join(root, "node_modules/.better-sqlite3-")),
    (folder) => Fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  )
  Fs.cpSync(source, folder, { recursive: true, filter: (path) => path !== join(source, "build") })
  const npm = process.env.npm_execpath
  const [command, ...args] = npm ? [process.execPath, npm, "run", "install"] : ["npm", "run", "install"]
  // Compiling without optimisations takes half the time, and tests would not win it back.
  const flags = { CFLAGS: "-O0", CXXFLAGS: "-O0", JOBS: "max" }
  const { output } = await scope.run(/** @type {string} */ (command), args, {
    cwd: folder,
    env: { ...process.env, ...flags }
  })
  const binary = join(folder, built)
  return await works(scope, binary) ? { binary } : { output }
}

/**
 * @param {Scope} scope
 * @returns {Promise<import("./outcome.mjs").Outcome>} `url` is the binary's.
 */
export const ensureSqlite = async (scope) => {
  const remedy = `${installLine({ debian: "build-essential python3", brew: "python3" })}, then try again`
  if (!mayUse("npm")) return { reason: "its source may not be used", remedy }
  if (!Fs.existsSync(source)) return { reason: "better-sqlite3 is not in node_modules", remedy: "npm ci" }

  const done = { url: pathToFileURL(place).href, says: "SQLite (better-sqlite3)" }
  const cached = join(cacheFolder(), `${key()}.node`)
  if (await works(scope, place)) return done
  for (;;) {
    if (await works(scope, cached)) {
      install(cached, place)
      return done
    }
    if (await lock(scope, `${cached}.lock`)) break
  }
  const made = await build(scope)
  if ("output" in made) return { reason: `it did not compile:\n${made.output}`, remedy }
  install(made.binary, cached)
  install(made.binary, place)
  return done
}
