// Free ports, and another try when somebody else was faster.
import { once } from "node:events"
import { createServer } from "node:net"

/**
 * Different ports on which nobody listens at this moment.
 *
 * @param {number} count
 * @returns {Promise<Array<number>>}
 */
const freePorts = async (count) => {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"))
  await Promise.all(servers.map((server) => once(server, "listening")))
  const ports = servers.map((server) => /** @type {import("node:net").AddressInfo} */ (server.address()).port)
  await Promise.all(servers.map((server) => once(server.close(), "close")))
  return ports
}

/**
 * Starts something on free ports. A port that was taken before the server came to it is not the end.
 *
 * @template A
 * @param {number} count
 * @param {(...ports: Array<number>) => Promise<A>} start
 * @returns {Promise<A>}
 */
export const onFreePorts = async (count, start) => {
  for (let left = 5;; left--) {
    try {
      return await start(...await freePorts(count))
    } catch (error) {
      if (left === 1 || !/in use|could not bind|failed listening/i.test(String(error))) throw error
    }
  }
}
