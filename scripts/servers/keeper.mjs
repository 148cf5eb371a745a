// Starts servers, says what came of it, and stops them when its standard input ends. It is a process of its own so
// that they end and their folders go whatever becomes of the process that wanted them, a SIGKILL included: the system
// closes the pipe. Ctrl-C in a terminal does not reach it.
import { startPostgres } from "./postgres.mjs"
import { startRedis, startValkey } from "./redis.mjs"
import { startRedisCluster } from "./redisCluster.mjs"
import { Scope } from "./scope.mjs"
import { known } from "./servers.mjs"
import { ensureSqlite } from "./sqlite.mjs"

const starters = {
  postgres: startPostgres,
  redis: startRedis,
  redisCluster: startRedisCluster,
  sqlite: ensureSqlite,
  valkey: startValkey
}

/** @type {{ names: ReadonlyArray<keyof typeof starters>, durable: boolean }} */
const { durable, names } = JSON.parse(process.argv[2] ?? "")
const scope = new Scope()
const end = () => void scope.close().then(() => process.exit())

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, end)
process.stdin.on("error", end).on("close", end).resume()
// Whoever read this may be gone, which is no reason to stop before the servers have.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

await Promise.all(names.map(async (name) => {
  const outcome = await starters[name](scope, { durable }).catch((error) => ({
    reason: String(error.message),
    remedy: `set ${known[name].variable} to one of your own`
  }))
  process.stdout.write(`${JSON.stringify({ name, outcome })}\n`)
}))
