// Whether docs/parity.md still tells the truth: it has a row for every case of Litestar's own tests that concerns what is
// built so far, the tests that it names ran and passed, and the differences that it names stand in the README.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { filesIn, root } from "./lib/project.mjs"

/** What is built so far: cases, observed behaviours (O), weaknesses (W). What is built next is added here. */
const built = [
  "1 to 107",
  "109 to 113",
  "115 to 174",
  "O1 to O14",
  "W1 to W16",
  "W18 to W33",
  "W36 to W54",
  "W56"
]

/**
 * The numbers in `44 to 49`, `O1 to O7` or `12, O3`.
 *
 * @param {string} text
 * @returns {Array<string>}
 */
const expand = (text) =>
  text.split(",").flatMap((part) => {
    const match = /^([OW]?)(\d+)(?: to \1(\d+))?$/.exec(part.trim())
    if (match === null) return []
    const [, letter = "", from = "", to = from] = match
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => `${letter}${Number(from) + index}`)
  })

/**
 * The cells of the rows of the tables in a Markdown text.
 *
 * @param {string} markdown
 * @returns {Array<Array<string>>}
 */
const rowsOf = (markdown) =>
  markdown.split("\n")
    .filter((line) => line.startsWith("|") && !/^\|[\s:|-]+\|$/.test(line))
    .map((line) =>
      line.slice(1, line.lastIndexOf("|")).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"))
    )

/** The names of the tests that passed: the title, and with any number of the titles around it. */
const passedTests = () => {
  const report = join(root, ".tmp/vitest.json")
  /** @type {Set<string>} */
  const names = new Set()
  if (existsSync(report)) {
    for (const file of JSON.parse(readFileSync(report, "utf8")).testResults) {
      for (const { ancestorTitles, status, title } of file.assertionResults) {
        if (status !== "passed") continue
        const path = [...ancestorTitles, title]
        path.forEach((_, index) => names.add(path.slice(index).join(" > ")))
      }
    }
  }
  return names
}

/** The type tests, by their title and by `describe > title`: which of them hold, their own step says. */
const typeTests = () => {
  /** @type {Set<string>} */
  const names = new Set()
  for (const file of filesIn("test", ".tst.ts")) {
    let around = ""
    const text = readFileSync(join(root, file), "utf8")
    for (const match of text.matchAll(/^ *(describe|test|it)\(\s*"((?:[^"\\]|\\.)*)"/gm)) {
      const title = (match[2] ?? "").replaceAll("\\\"", "\"")
      if (match[1] === "describe") {
        around = title
      } else {
        names.add(title).add(`${around} > ${title}`)
      }
    }
  }
  return names
}

const page = readFileSync(join(root, "docs/parity.md"), "utf8")
const readme = readFileSync(join(root, "README.md"), "utf8")
const differences = new Set(
  rowsOf(/## Differs from Litestar on purpose\n([\s\S]*?)(?=\n## |$)/.exec(readme)?.[1] ?? "").map(([key]) => key)
)
const tests = passedTests()
const types = typeTests()

/** @type {Array<string>} */
const problems = []
/** @type {Set<string>} */
const seen = new Set()
for (const [numbers = "", , shown = ""] of rowsOf(page)) {
  const cases = expand(numbers)
  if (cases.length === 0) continue
  for (const number of cases) {
    if (seen.has(number)) problems.push(`${number} has two rows`)
    seen.add(number)
  }
  const named = [...shown.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "")
  const differs = [...shown.matchAll(/differs: ([^;]+)/g)].map((match) => (match[1] ?? "").trim())
  for (const name of named.filter((name) => !tests.has(name) && !types.has(name))) {
    problems.push(`${numbers}: no test ran and passed that is called "${name}"`)
  }
  for (const name of differs.filter((name) => !differences.has(name))) {
    problems.push(`${numbers}: README's "Differs from Litestar on purpose" has no row "${name}"`)
  }
  if (named.length + differs.length === 0) problems.push(`${numbers}: names neither a test nor a difference`)
  if (numbers.startsWith("W") && named.length === 0) problems.push(`${numbers}: a weakness needs a test`)
}
problems.push(...built.flatMap(expand).filter((number) => !seen.has(number)).map((number) => `${number} has no row`))

if (tests.size === 0) {
  console.error("No report of a test run: `npm test -- tests parity` makes one first.")
  process.exitCode = 1
} else if (problems.length > 0) {
  console.error(["docs/parity.md:", ...problems].join("\n  "))
  process.exitCode = 1
} else {
  console.log(`docs/parity.md holds for ${seen.size} cases`)
}
