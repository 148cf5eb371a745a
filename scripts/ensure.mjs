// Installs the dependencies when node_modules does not match the lock file, so that `npm start` and `npm test` work on
// a fresh clone. It imports nothing but Node's own modules, because it runs before there is anything else.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = new URL("../", import.meta.url)
const stampFile = new URL("node_modules/.effect-security-stamp", root)

// Contents and not times: a clone resets every mtime. The ABI is part of it, since binaries are built for one.
const stamp = createHash("sha256")
  .update(readFileSync(new URL("package-lock.json", root)))
  .update(process.versions.modules)
  .digest("hex")

const installed = existsSync(stampFile) ? readFileSync(stampFile, "utf8") : undefined

if (installed !== stamp) {
  console.log(
    installed === undefined
      ? "Installing the dependencies (npm ci), about 15 seconds ..."
      : "package-lock.json or Node changed: installing the dependencies again (npm ci) ..."
  )
  const npm = process.env.npm_execpath
  const args = ["ci", "--no-audit", "--no-fund"]
  const options = /** @type {const} */ ({ cwd: fileURLToPath(root), stdio: "inherit" })
  const result = !npm
    ? spawnSync("npm", args, { ...options, shell: process.platform === "win32" })
    : spawnSync(process.execPath, [npm, ...args], options)
  if (result.status !== 0) {
    console.error("npm ci failed. `npm install --no-save` leaves the lock file alone and may get further.")
    process.exit(1)
  }
  writeFileSync(stampFile, stamp)
}
