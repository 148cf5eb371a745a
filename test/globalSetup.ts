// Starts the servers that this run's suites need, before all of them, and stops them after the last.
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"
import { known, serverNames, startServers } from "../scripts/servers/servers.mjs"
import { isRequired, notRunLine, suitesByServer } from "../scripts/servers/suites.mjs"

const root = fileURLToPath(new URL("../", import.meta.url))
const serversFile = fileURLToPath(new URL("./servers.ts", import.meta.url))

export default async ({ vitest }: TestProject) => {
  const suites = suitesByServer(vitest.state.getPaths(), serversFile)
  // A watcher may come to any suite later.
  const needed = vitest.config.watch ? serverNames : [...suites.keys()]
  const wanted = needed.filter((name) => !process.env[known[name].variable])
  if (wanted.length === 0) return undefined

  const since = performance.now()
  const { outcomes, stop } = await startServers(wanted)
  const lines: Array<string> = []
  let failed = false
  for (const [name, outcome] of outcomes) {
    if ("url" in outcome) {
      process.env[known[name].variable] = outcome.url
      console.log(outcome.says)
    } else {
      const files = suites.get(name) ?? []
      lines.push(notRunLine(name, outcome, files.map((file) => file.replace(root, ""))))
      // Valkey speaks Redis's protocol: its suite repeats Redis's where a machine happens to have it.
      failed ||= name !== "valkey" && isRequired(process.env)
    }
  }
  console.log(`(${((performance.now() - since) / 1000).toFixed(1)} s)\n`)
  const complain = () => {
    for (const line of lines) console.error(line)
    if (failed) console.error("This is continuous integration, where every suite has to run: the run fails.")
  }
  complain()
  return async () => {
    await stop()
    complain()
    if (failed) process.exitCode = 1
  }
}
