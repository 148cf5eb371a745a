// Writes the `exports` of package.json from the public modules of src. `--check` only compares, and also looks whether
// src/index.ts exports them.
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ownEntryPoints, publicModules, root } from "./lib/project.mjs"

const file = join(root, "package.json")
const manifest = JSON.parse(readFileSync(file, "utf8"))

/** @type {Record<string, unknown>} */
const exports = { "./package.json": "./package.json" }
// `.` always is there, so that a check before the first module exists has something to compare.
for (const name of new Set(["index", ...publicModules()])) {
  exports[name === "index" ? "." : `./${name}`] = {
    types: `./dist/${name}.d.ts`,
    default: `./dist/${name}.js`
  }
}

const same = JSON.stringify(manifest.exports) === JSON.stringify(exports)
const count = `${Object.keys(exports).length - 1} entry points`

/** What is wrong with src/index.ts, which is written by hand: a name for each module that it exports. */
const indexProblems = () => {
  const index = join(root, "src/index.ts")
  const text = existsSync(index) ? readFileSync(index, "utf8") : ""
  const exported = [...text.matchAll(/^export \* as \w+ from "\.\/(.+)\.js"$/gm)].map((match) => match[1] ?? "")
  const expected = publicModules().filter((name) => !ownEntryPoints.includes(name))
  return [
    ...expected.filter((name) => !exported.includes(name)).map((name) => `does not export ${name}`),
    ...exported.filter((name) => !expected.includes(name)).map((name) => `exports ${name}, an entry point of its own`)
  ]
}

if (process.argv.includes("--check")) {
  const problems = indexProblems()
  if (problems.length > 0) {
    console.error(["src/index.ts is out of date:", ...problems].join("\n  "))
    process.exitCode = 1
  }
  if (!same) {
    const before = Object.keys(manifest.exports ?? {})
    const after = Object.keys(exports)
    const missing = after.filter((key) => !before.includes(key)).map((key) => `  missing: ${key}`)
    const gone = before.filter((key) => !after.includes(key)).map((key) => `  without a module: ${key}`)
    console.error(["package.json's exports are out of date: run `npm run exports`", ...missing, ...gone].join("\n"))
    process.exitCode = 1
  } else {
    console.log(`package.json's exports match src: ${count}`)
  }
} else if (!same) {
  manifest.exports = exports
  writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`)
  console.log(`package.json's exports written: ${count}`)
}
