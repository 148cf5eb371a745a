// What must be gone when it is no longer wanted: the processes that were started and the folders that were made.
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { canEnter, own } from "./identity.mjs"
import { progress } from "./progress.mjs"

/**
 * @typedef {import("./identity.mjs").Identity} Identity
 * @typedef {{
 *   readonly cwd?: string
 *   readonly env?: NodeJS.ProcessEnv
 *   readonly argv0?: string
 *   readonly identity?: Identity
 * }} SpawnOptions
 * @typedef {{ readonly status: number, readonly output: string }} Result
 */

/** How long a process may take to obey each signal, in milliseconds. */
const patience = 3_000

/** @param {string} output */
const lastLines = (output) => output.trim().split("\n").slice(-8).join("\n")

/**
 * @param {number} pid
 * @param {NodeJS.Signals} signal
 * @param {boolean} group
 */
const send = (pid, signal, group) => {
  try {
    process.kill(group && process.platform !== "win32" ? -pid : pid, signal)
  } catch {
    // It has just ended.
  }
}

export class Scope {
  /** @type {Array<() => unknown>} */
  #finalizers = []
  /** @type {Promise<void> | undefined} */
  #closed

  /** Ends everything, the youngest first. The same promise for everyone who asks. */
  close() {
    this.#closed ??= (async () => {
      for (let last = this.#finalizers.pop(); last !== undefined; last = this.#finalizers.pop()) {
        try {
          await last()
        } catch (error) {
          progress(`Could not clean up: ${error}`)
        }
      }
    })()
    return this.#closed
  }

  /**
   * Makes something and registers what takes it away, in one step.
   *
   * @template A
   * @param {() => A} make
   * @param {(made: A) => unknown} remove
   */
  acquire(make, remove) {
    if (this.#closed !== undefined) throw new Error("stopped while it started")
    const made = make()
    this.#finalizers.push(() => remove(made))
    return made
  }

  /**
   * An empty temporary folder that `identity` owns and reaches.
   *
   * @param {string} name
   * @param {Identity} [identity]
   */
  temporaryFolder(name, identity = {}) {
    for (const parent of new Set([tmpdir(), "/tmp", "/var/tmp"])) {
      if (!canEnter(parent, identity)) continue
      return this.acquire(() => {
        const folder = mkdtempSync(join(parent, `effect-security-${name}-`))
        own(folder, identity)
        return folder
      }, (folder) => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
    }
    throw new Error(`uid ${identity.uid} reaches no folder for temporary files`)
  }

  /**
   * Runs a program to its end, and gives its status (127 when it cannot be run) and its last lines. It and whatever it
   * has started end with the scope; where that would leave a mess (`uninterrupted`), the scope waits for them.
   *
   * @param {string} command
   * @param {ReadonlyArray<string>} args
   * @param {SpawnOptions & { readonly uninterrupted?: boolean }} [options]
   * @returns {Promise<Result>}
   */
  run(command, args, { uninterrupted = false, ...options } = {}) {
    const signals = /** @type {const} */ (["SIGTERM", "SIGKILL"])
    const { exited, output } = this.#spawn(command, args, options, uninterrupted ? [] : signals, true)
    return exited.then((status) => ({ status, output: lastLines(output()) }))
  }

  /**
   * Starts a server and waits until it prints what `ready` matches. `signals` are what it is asked to stop with, one
   * after the other. Fails with its last lines when it ends before it is ready.
   *
   * @param {string} command
   * @param {ReadonlyArray<string>} args
   * @param {SpawnOptions & { readonly ready: RegExp, readonly signals: ReadonlyArray<NodeJS.Signals> }} options
   * @returns {Promise<void>}
   */
  async launch(command, args, { ready, signals, ...options }) {
    const { exited, onOutput, output } = this.#spawn(command, args, options, signals, false)
    const answers = new Promise((resolve) => onOutput(() => ready.test(output()) && resolve(undefined)))
    const failed = exited.then((status) => {
      throw new Error(`ended with ${status}:\n${lastLines(output())}`)
    })
    await Promise.race([answers, failed])
    // From here on its end is nobody's failure.
    failed.catch(() => this.#closed ?? progress(`${basename(command)} ended: ${lastLines(output())}`))
  }

  /**
   * @param {string} command
   * @param {ReadonlyArray<string>} args
   * @param {SpawnOptions} options
   * @param {ReadonlyArray<NodeJS.Signals>} signals
   * @param {boolean} group
   */
  #spawn(command, args, { identity = {}, ...options }, signals, group) {
    let output = ""
    let ended = false
    /** @type {Array<() => void>} */
    const listeners = []
    /** @type {Promise<number>} */
    let exited = Promise.resolve(0)
    const stop = async (/** @type {import("node:child_process").ChildProcess} */ child) => {
      if (signals.length === 0) await exited
      for (const signal of signals) {
        if (ended || child.pid === undefined) return
        send(child.pid, signal, group)
        /** @type {NodeJS.Timeout | undefined} */
        let timer
        const late = new Promise((resolve) => timer = setTimeout(resolve, patience))
        await Promise.race([exited, late])
        clearTimeout(timer)
      }
    }
    this.acquire(() => {
      const child = spawn(command, args, {
        ...options,
        ...identity,
        detached: group,
        windowsHide: true,
        stdio: ["ignore", "pipe", "pipe"]
      })
      exited = new Promise((resolve) => {
        child.once("error", (error) => {
          output += error.message
          resolve(127)
        })
        child.once("close", (code) => resolve(code ?? 1))
      }).then((/** @type {number} */ status) => {
        ended = true
        return status
      })
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text) => {
          output = (output + text).slice(-16_384)
          for (const listener of listeners) listener()
        })
      }
      return child
    }, stop)
    return { exited, output: () => output, onOutput: (/** @type {() => void} */ listener) => listeners.push(listener) }
  }
}
