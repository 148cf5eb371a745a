// What the other scripts know about the project: where it is and which modules a user may import.
import { existsSync, readdirSync } from "node:fs"
import { join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../../", import.meta.url))

/**
 * The files below `folder` (a path relative to the root) whose name ends with `extension`, relative to the root, with
 * `/`, sorted. None when the folder does not exist.
 *
 * @param {string} folder
 * @param {string} extension
 * @returns {Array<string>}
 */
export const filesIn = (folder, extension) => {
  const absolute = join(root, folder)
  if (!existsSync(absolute)) return []
  return readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort()
}

/**
 * Whether a file of `src` is for the library's own use.
 *
 * @param {string} file
 */
export const isInternal = (file) => file.split("/").includes("internal")

/** The public modules by their path below `src`, without the extension: `index`, `session/SessionAuth`. */
export const publicModules = () =>
  filesIn("src", ".ts").filter((file) => !isInternal(file)).map((file) => file.slice("src/".length, -".ts".length))

/**
 * The modules that need more than a browser and this package's dependencies have, and what they need. A user imports
 * them by their own entry point (`effect-security/user/PasswordHasherArgon2`); src/index.ts does not export them, so
 * that nobody loads an optional peer without asking for it. Everything else in src is safe in a browser.
 *
 * @type {Record<string, ReadonlyArray<string>>}
 */
export const implementationModules = {
  "jwt/JwtKeysJose": ["jose"],
  "session/SealedSession": ["node:crypto"],
  "session/SessionStoreRedis": ["ioredis"],
  "session/SessionStoreSql": ["@effect/sql"],
  "user/PasswordHasherArgon2": ["@node-rs/argon2"],
  "user/PasswordHasherScrypt": ["node:crypto"],
  "user/UserRepositorySql": ["@effect/sql"]
}

/**
 * What the modules above have in rooms of their own, by folder below `src`, and what it may import besides.
 *
 * @type {Record<string, ReadonlyArray<string>>}
 */
export const implementationFolders = {
  "internal/sql": ["@effect/sql"],
  "session/internal/redis": ["ioredis"],
  "session/internal/sealed": ["node:crypto"]
}

/** The public modules that src/index.ts leaves out. */
export const ownEntryPoints = [
  "index",
  "SecurityTest",
  "session/SessionStoreContract",
  ...Object.keys(implementationModules)
]
