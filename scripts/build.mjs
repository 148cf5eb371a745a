// Builds dist from src. It empties dist first, so that a module that was deleted is not published once more.
import { spawnSync } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { root } from "./lib/project.mjs"

rmSync(join(root, "dist"), { recursive: true, force: true })
const tsc = join(root, "node_modules/typescript/bin/tsc")
const result = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" })
process.exit(result.status ?? 1)
