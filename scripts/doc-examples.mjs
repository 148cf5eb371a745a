// Type-checks every example of the documentation: each ```ts block in the JSDoc of src, in README.md and in docs, as a
// module of its own that imports `effect-security` as a user would. A block that starts with ```ts ignore is left out.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { filesIn, root } from "./lib/project.mjs"

/**
 * The blocks of a text, and on which of its lines (from 0) the code of each starts.
 *
 * @param {string} text
 */
const blocksIn = (text) => {
  /** @type {Array<{ start: number, lines: Array<string>, ignored: boolean }>} */
  const blocks = []
  /** @type {typeof blocks[number] | undefined} */
  let open
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^\s*```+\s*(.*)$/.exec(line)
    if (fence === null) {
      open?.lines.push(line)
    } else if (open === undefined) {
      const [language, ...marks] = (fence[1] ?? "").trim().split(/\s+/)
      open = { start: index + 1, lines: [], ignored: marks.includes("ignore") }
      if (language === "ts" || language === "typescript") blocks.push(open)
    } else {
      open = undefined
    }
  }
  return blocks.filter((block) => !block.ignored)
}

/**
 * A source file with everything blanked out but the text of its JSDoc comments.
 *
 * @param {string} source
 */
const docsOf = (source) => {
  let inside = false
  return source.split("\n").map((line) => {
    if (!inside && /^\s*\/\*\*/.test(line)) {
      inside = !line.includes("*/")
      return ""
    }
    if (!inside) return ""
    if (/\*\/\s*$/.test(line) && !line.includes("*\\/")) {
      inside = false
      return ""
    }
    return line.replace(/^\s*\* ?/, "").replaceAll("*\\/", "*/")
  }).join("\n")
}

/**
 * The lines of an `@example` that no ```ts block follows: an example that nobody would check.
 *
 * @param {string} docs
 */
const unfenced = (docs) =>
  docs.split("\n").flatMap((line, index, lines) => {
    if (!/^@example\b/.test(line)) return []
    const rest = lines.slice(index + 1)
    const end = rest.findIndex((next) => next.startsWith("@"))
    const text = rest.slice(0, end === -1 ? undefined : end)
    return text.some((next) => /^\s*```+\s*ts\b/.test(next)) ? [] : [index + 1]
  })

const folder = join(root, ".tmp/docs")
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

/** @type {Map<string, string>} The file with an example, and the file that it comes from. */
const origins = new Map()
/** @type {Array<string>} */
const errors = []

const sources = filesIn("src", ".ts").map((file) => ({ file, read: docsOf }))
const pages = ["README.md", ...filesIn("docs", ".md")]
  .filter((file) => existsSync(join(root, file)))
  .map((file) => ({ file, read: (/** @type {string} */ text) => text }))

for (const { file, read } of [...sources, ...pages]) {
  const text = read(readFileSync(join(root, file), "utf8"))
  if (file.endsWith(".ts")) {
    errors.push(...unfenced(text).map((line) => `${file}:${line}: an @example without a ts block`))
  }
  for (const { start, lines } of blocksIn(text)) {
    const name = `${file.replace(/[^\w]/g, "-")}-${start + 1}.ts`
    origins.set(name, file)
    // The empty lines let the compiler count as the origin does.
    writeFileSync(join(folder, name), `${"\n".repeat(start)}${lines.join("\n")}\n`)
  }
}

/** @type {Set<string>} */
const broken = new Set()
if (origins.size > 0) {
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"] }))
  const tsc = join(root, "node_modules/typescript/bin/tsc")
  const result = spawnSync(process.execPath, [tsc, "-p", folder, "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8"
  })
  for (const line of `${result.stdout}${result.stderr}`.split("\n")) {
    const at = /^([^\s(]+)\((\d+),\d+\): (.*)$/.exec(line)
    const origin = origins.get(at?.[1] ?? "")
    if (at !== null && origin !== undefined) broken.add(at[1] ?? "")
    if (line !== "") errors.push(at === null || origin === undefined ? line : `${origin}:${at[2]}: ${at[3]}`)
  }
  if (result.status !== 0 && errors.length === 0) errors.push(`tsc ended with status ${result.status}`)
}

for (const error of errors) console.error(error)
if (origins.size === 0) console.log("No examples yet")
const failed = errors.length === 0 ? 0 : Math.max(1, broken.size)
console.log(`${origins.size} examples checked, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
