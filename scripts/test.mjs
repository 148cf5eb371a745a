// Everything that `npm test` checks, one step after the other, also when one fails. `npm test -- lint types` runs only
// the steps whose names are given. The last line is `N passed, N failed`.
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { root } from "./lib/project.mjs"
import { node } from "./lib/run.mjs"
import { startServers } from "./servers/servers.mjs"
import { notRun } from "./servers/suites.mjs"

/**
 * @typedef {{ readonly passed: number, readonly failed: number, readonly skipped?: number }} Counts
 * @typedef {{ readonly status: number, readonly output: string }} Result
 */

/**
 * The number before `word` in a line such as `Tests: 1 failed, 2 passed, 3 total`.
 *
 * @param {string} line
 * @param {string} word
 */
const number = (line, word) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0)

/** @type {(result: Result) => Counts} A step that counts as one. */
const one = ({ status }) => status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }

/** @type {(result: Result) => Counts} */
const tstycheCounts = ({ output }) => {
  const line = /^Tests:.*$/m.exec(output)?.[0] ?? ""
  return { passed: number(line, "passed"), failed: number(line, "failed"), skipped: number(line, "skipped") }
}

/** @type {(result: Result) => Counts} */
const exampleCounts = ({ output }) => {
  const line = /^\d+ examples checked.*$/m.exec(output)?.[0] ?? ""
  const failed = number(line, "failed")
  return { passed: Math.max(0, number(line, "examples") - failed), failed }
}

const vitestReport = join(root, ".tmp/vitest.json")

/** @type {() => Counts} */
const vitestCounts = () => {
  if (!existsSync(vitestReport)) return { passed: 0, failed: 1 }
  const report = JSON.parse(readFileSync(vitestReport, "utf8"))
  /** @type {ReadonlyArray<{ status: string, assertionResults: ReadonlyArray<unknown> }>} */
  const files = report.testResults
  // A file that throws while it is loaded has no tests to fail.
  const unloaded = files.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests + report.numTodoTests
  }
}

/** @type {ReadonlyArray<{ name: string, title: string, args: ReadonlyArray<string>, count: (_: Result) => Counts }>} */
const steps = [
  { name: "format", title: "Format (dprint)", args: ["node_modules/dprint/bin.cjs", "check"], count: one },
  { name: "lint", title: "Lint (oxlint, rules of the house)", args: ["scripts/lint.mjs"], count: one },
  { name: "exports", title: "Entry points", args: ["scripts/exports.mjs", "--check"], count: one },
  { name: "check", title: "Type check", args: ["node_modules/typescript/bin/tsc"], count: one },
  { name: "types", title: "Type tests (tstyche)", args: ["node_modules/tstyche/build/bin.js"], count: tstycheCounts },
  { name: "docs", title: "Examples of the documentation", args: ["scripts/doc-examples.mjs"], count: exampleCounts },
  {
    name: "tests",
    title: "Unit, property and integration tests (vitest)",
    args: [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${vitestReport}`
    ],
    count: vitestCounts
  },
  { name: "parity", title: "Parity with Litestar (docs/parity.md)", args: ["scripts/parity.mjs"], count: one },
  { name: "tarball", title: "The packed tarball in an empty project", args: ["scripts/smoke.mjs"], count: one }
]

const names = process.argv.slice(2)
const unknown = names.filter((name) => !steps.some((step) => step.name === name))
if (unknown.length > 0) {
  console.error(`No such step: ${unknown.join(", ")}. There are: ${steps.map((step) => step.name).join(", ")}`)
  process.exit(1)
}
const chosen = steps.filter((step) => names.length === 0 || names.includes(step.name))

mkdirSync(join(root, ".tmp"), { recursive: true })
if (chosen.some(({ name }) => name === "tests")) rmSync(vitestReport, { force: true })

// SQLite has to be compiled on a fresh machine, which takes longer than the steps before its tests.
const sqlite = chosen.length > 1 && chosen.some(({ name }) => name === "tests") ? startServers(["sqlite"]) : undefined

/** @param {number} since */
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

/** @type {Array<{ title: string, counts: Counts, duration: string }>} */
const rows = []
/** @type {Set<string>} The suites that had no server. */
const left = new Set()
const started = performance.now()
for (const [index, { args, count, title }] of chosen.entries()) {
  console.log(`\n== ${index + 1}/${chosen.length} ${title}\n`)
  const since = performance.now()
  const result = await node(args)
  const counts = count(result)
  for (const line of result.output.split("\n")) if (line.startsWith(notRun)) left.add(line)
  // Whatever was counted, a program that ended badly is a failure (an unhandled rejection, no tests at all).
  const failed = result.status === 0 ? counts.failed : Math.max(1, counts.failed)
  rows.push({ title, counts: { ...counts, failed }, duration: seconds(since) })
  console.log(`\n-- ${failed === 0 ? "passed" : "FAILED"} in ${seconds(since)}`)
}

console.log(`\n== Summary, ${seconds(started)}\n`)
const width = Math.max(...rows.map(({ title }) => title.length))
for (const { counts: { failed, passed, skipped = 0 }, duration, title } of rows) {
  const notes = skipped === 0 ? "" : `, ${skipped} skipped`
  console.log(
    `${failed === 0 ? "ok    " : "FAILED"} ${title.padEnd(width)} ${duration.padStart(8)}  ` +
      `${passed} passed, ${failed} failed${notes}`
  )
}

if (left.size > 0) console.log(`\n${[...left].join("\n")}`)
await (await sqlite)?.stop()

const passed = rows.reduce((sum, { counts }) => sum + counts.passed, 0)
const failed = rows.reduce((sum, { counts }) => sum + counts.failed, 0)
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
