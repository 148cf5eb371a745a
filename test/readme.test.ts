import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")

describe("README", () => {
  it("its first program takes at most 40 lines", () => {
    const program = /```ts\n([\s\S]*?)```/.exec(readme)![1]!
    assert.isAtMost(program.trimEnd().split("\n").length, 40)
  })

  it("its install line pins the Effect 3 line", () => {
    const line = readme.split("\n").find((line) => line.startsWith("npm install"))!
    assert.match(line, / effect@3 /)
    assert.match(line, / @effect\/platform@0\.97 /)
    assert.match(line, / @effect\/platform-node@0\.108/)
  })

  it("names every entry point of the package", () => {
    const { exports } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))
    for (const entry of Object.keys(exports).filter((entry) => entry.startsWith("./") && entry !== "./package.json")) {
      assert.include(readme, `\`${entry.slice(2)}\``)
    }
  })
})
