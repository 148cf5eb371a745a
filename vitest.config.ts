import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src/", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-security$/, replacement: `${src}index.ts` },
      { find: /^effect-security\/(.+)$/, replacement: `${src}$1.ts` }
    ]
  },
  test: {
    globalSetup: "test/globalSetup.ts",
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    pool: "forks",
    silent: "passed-only",
    testTimeout: 20_000,
    hookTimeout: 60_000
  }
})
