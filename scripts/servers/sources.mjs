// Where servers may come from.
import { accessSync, constants, existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { progress } from "./progress.mjs"

/** @typedef {"system" | "npm" | "apt"} Source */

/**
 * Whether a source may be used: all of them, or those that EFFECT_SECURITY_SERVERS_FROM lists (`npm,apt`, `none`).
 *
 * @param {Source} source
 */
export const mayUse = (source) => {
  const allowed = process.env.EFFECT_SECURITY_SERVERS_FROM
  return allowed === undefined || allowed.split(",").includes(source)
}

/** @param {string} file */
const isExecutable = (file) => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * The programs of this name on the PATH, in its order.
 *
 * @param {string} name
 */
export const onPath = (name) =>
  (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "")
    .map((folder) => join(folder, process.platform === "win32" ? `${name}.exe` : name))
    .filter(isExecutable)

/** Whether a package of Debian can be installed without asking anyone for a password. */
export const canInstall = () => mayUse("apt") && process.getuid?.() === 0 && existsSync("/etc/debian_version")

/** apt-get runs one at a time, and once for each package. */
let apt = Promise.resolve(true)

/** @type {Map<string, Promise<boolean>>} */
const installed = new Map()

/**
 * Installs a package of Debian. False when it may not or cannot.
 *
 * @param {import("./scope.mjs").Scope} scope
 * @param {string} name
 * @returns {Promise<boolean>}
 */
export const aptInstall = (scope, name) => {
  if (!canInstall()) return Promise.resolve(false)
  const before = installed.get(name)
  if (before !== undefined) return before
  const aptGet = (/** @type {ReadonlyArray<string>} */ args) =>
    scope.run("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=60", ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      uninterrupted: true
    })
  apt = apt.then(async () => {
    progress(`Installing ${name} (apt-get install), some seconds ...`)
    const install = ["install", "-y", "--no-install-recommends", name]
    // A fresh machine has no package lists, and those of an old one name packages that are gone.
    if ((await aptGet(install)).status === 0) return true
    await aptGet(["update"])
    const { output, status } = await aptGet(install)
    if (status !== 0) progress(`apt-get install ${name} failed:\n${output}`)
    return status === 0
  })
  installed.set(name, apt)
  return apt
}
