// Running other programs.
import { spawn } from "node:child_process"
import { join } from "node:path"
import { root } from "./project.mjs"

/**
 * Runs Node with `args`, shows what it prints as it comes, and gives its status and everything it printed. Paths that
 * start with `node_modules/` or `scripts/` are the project's, whatever `cwd` is.
 *
 * @param {ReadonlyArray<string>} args
 * @param {{ readonly cwd?: string, readonly quiet?: boolean }} [options]
 * @returns {Promise<{ readonly status: number, readonly output: string }>}
 */
export const node = ([script = "", ...args], options) => {
  const file = /^(node_modules|scripts)\//.test(script) ? join(root, script) : script
  return start(process.execPath, [file, ...args], options)
}

/**
 * Runs the npm that runs us, or the one on the PATH.
 *
 * @param {ReadonlyArray<string>} args
 * @param {{ readonly cwd?: string, readonly quiet?: boolean }} [options]
 */
export const npm = (args, options) => {
  const path = process.env.npm_execpath
  return path ? start(process.execPath, [path, ...args], options) : start("npm", args, options)
}

/**
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 * @param {{ readonly cwd?: string, readonly quiet?: boolean }} [options]
 * @returns {Promise<{ readonly status: number, readonly output: string }>}
 */
const start = (command, args, { cwd = root, quiet = false } = {}) =>
  new Promise((resolve) => {
    // No colours: what is printed is read by people, by files and by the counting in test.mjs.
    const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" }
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text
        if (!quiet) process.stdout.write(text)
      })
    }
    child.on("error", (error) => resolve({ status: 1, output: `${output}${error}` }))
    child.on("close", (code) => resolve({ status: code ?? 1, output }))
  })
