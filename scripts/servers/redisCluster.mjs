// A private Redis Cluster of three masters.
import { randomBytes } from "node:crypto"
import { connect } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { onFreePorts } from "./ports.mjs"
import { launchRedis, redisProgram } from "./redis.mjs"

const slots = ["0-5460", "5461-10922", "10923-16383"]

/** How long the cluster may take to form, in milliseconds. */
const patience = 20_000

/**
 * What a node says of its cluster; nothing while it does not answer.
 *
 * @param {number} port
 * @returns {Promise<string>}
 */
const clusterInfo = (port) =>
  new Promise((resolve) => {
    let answer = ""
    const socket = connect(port, "127.0.0.1", () => socket.end("CLUSTER INFO\r\nQUIT\r\n"))
    socket.setTimeout(1_000, () => socket.destroy()).setEncoding("utf8")
    socket.on("data", (text) => answer += text)
    socket.on("error", () => {})
    socket.on("close", () => resolve(answer))
  })

/**
 * The nodes know each other and their slots from the start, from the file in which a node keeps what it knows. A
 * master that starts takes its time (two seconds) before it calls the cluster whole.
 *
 * @param {import("./scope.mjs").Scope} scope
 * @returns {Promise<import("./outcome.mjs").Outcome>} `url` is `host:port,host:port,host:port`.
 */
export const startRedisCluster = async (scope) => {
  const program = await redisProgram(scope)
  if ("reason" in program) return program
  const ports = await onFreePorts(slots.length * 2, async (...free) => {
    const nodes = slots.map((range, n) => ({
      id: randomBytes(20).toString("hex"),
      port: free[n * 2] ?? 0,
      bus: free[n * 2 + 1] ?? 0,
      range
    }))
    await Promise.all(nodes.map((self) => {
      const known = nodes.map(({ bus, id, port, range }, n) =>
        `${id} 127.0.0.1:${port}@${bus} ${id === self.id ? "myself," : ""}master - 0 0 ${n + 1} connected ${range}`
      )
      return launchRedis(
        scope,
        program,
        [`port ${self.port}`, "cluster-enabled yes", "cluster-config-file nodes.conf", `cluster-port ${self.bus}`],
        { "nodes.conf": [...known, `vars currentEpoch ${nodes.length} lastVoteEpoch 0`, ""].join("\n") }
      )
    }))
    return nodes.map(({ port }) => port)
  })

  const last = performance.now() + patience
  for (const port of ports) {
    while (!(await clusterInfo(port)).includes("cluster_state:ok")) {
      if (performance.now() > last) throw new Error(`the cluster did not form within ${patience / 1000} s`)
      await sleep(25)
    }
  }
  const url = ports.map((port) => `127.0.0.1:${port}`).join(",")
  return { url, says: `${program.argv0} ${program.version} as a cluster of three masters on ${url}` }
}
