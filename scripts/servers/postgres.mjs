// A private PostgreSQL, in a temporary folder.
import { randomBytes } from "node:crypto"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { serverIdentity, writeFileFor } from "./identity.mjs"
import { installLine } from "./outcome.mjs"
import { onFreePorts } from "./ports.mjs"
import { findPostgres } from "./postgresPrograms.mjs"

/**
 * `durable` keeps what was committed through a crash of the machine. Tests do without: nobody reads their data again.
 *
 * @param {import("./scope.mjs").Scope} scope
 * @param {{ readonly durable: boolean }} options
 * @returns {Promise<import("./outcome.mjs").Outcome>}
 */
export const startPostgres = async (scope, { durable }) => {
  const found = await findPostgres(scope)
  const remedy = installLine({ debian: "postgresql", brew: "postgresql" })
  if (found === undefined) return { reason: "no program that runs here was found", remedy }

  const { bin, version } = found
  const folder = scope.temporaryFolder("postgres", serverIdentity)
  const data = join(folder, "data")
  const options = { identity: serverIdentity, cwd: folder, env: { ...process.env, LC_ALL: "C" } }
  // Other people on this machine reach the port too, and a superuser of PostgreSQL can run programs.
  const password = randomBytes(24).toString("base64url")
  const passwordFile = join(folder, "password")
  writeFileFor(passwordFile, password, serverIdentity)
  // Not interrupted: where it is killed, shared memory stays behind.
  const initdb = await scope.run(join(bin, "initdb"), [
    `--pgdata=${data}`,
    "--username=postgres",
    "--auth=scram-sha-256",
    `--pwfile=${passwordFile}`,
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync"
  ], { ...options, uninterrupted: true })
  rmSync(passwordFile)
  if (initdb.status !== 0) return { reason: `initdb of ${bin} failed:\n${initdb.output}`, remedy }

  const port = await onFreePorts(1, async (port) => {
    const settings = {
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      port,
      max_connections: 200,
      ...(durable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" })
    }
    await scope.launch(
      join(bin, "postgres"),
      ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      // At once (SIGQUIT): its data goes too, so there is no use in writing it out first.
      { ...options, ready: /ready to accept connections/, signals: ["SIGQUIT", "SIGKILL"] }
    )
    return port
  })
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    says: `PostgreSQL ${version} on 127.0.0.1:${port}, its data in ${folder}`
  }
}
