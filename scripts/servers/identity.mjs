// Who a server runs as.
import { spawnSync } from "node:child_process"
import { chownSync, writeFileSync } from "node:fs"

/** @typedef {{ readonly uid?: number, readonly gid?: number }} Identity */

/** Who servers run as. PostgreSQL refuses root, and nobody (65534) has an entry in every passwd. */
export const serverIdentity = /** @type {Identity} */ (process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {})

/**
 * Whether `identity` may enter the folder.
 *
 * @param {string} folder
 * @param {Identity} identity
 */
export const canEnter = (folder, identity) =>
  process.platform === "win32" || spawnSync("/bin/sh", ["-c", `cd -- "$0"`, folder], identity).status === 0

/**
 * @param {string} path
 * @param {Identity} identity
 */
export const own = (path, { gid, uid }) => {
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid)
}

/**
 * Writes a file that nobody but `identity` (and root) reads.
 *
 * @param {string} file
 * @param {string} text
 * @param {Identity} identity
 */
export const writeFileFor = (file, text, identity) => {
  writeFileSync(file, text, { mode: 0o600 })
  own(file, identity)
}
