// The linter, and the proof that the rules of the house can fail.
import { spawnSync } from "node:child_process"
import { root } from "./lib/project.mjs"

const commands = [["node_modules/oxlint/bin/oxlint"], ["scripts/lint/selftest.mjs"]]
const failed = commands.filter((args) =>
  spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status !== 0
)
process.exit(failed.length === 0 ? 0 : 1)
