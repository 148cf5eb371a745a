// Lints small programs that break the rules of the house, each in a way that must be reported, and some that keep
// them. A rule that a typo in .oxlintrc.json switched off would otherwise look like a tidy library.
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { root } from "../lib/project.mjs"

const doc = "/**\n * What it is.\n *\n * @since 0.1.0\n * @category models\n */\n"

/** @type {Record<string, Record<string, string>>} The rule, then files that break it. */
const bad = {
  "eslint(no-restricted-properties)": {
    "src/internal/dateNow.ts": "export const x = Date.now()",
    "src/internal/random.ts": "export const x = Math.random()",
    "src/internal/globalTimeout.ts": "globalThis.setTimeout(() => {}, 1)"
  },
  "eslint(no-restricted-globals)": {
    "src/internal/timeout.ts": "setTimeout(() => {}, 1)",
    "src/internal/interval.ts": "setInterval(() => {}, 1)",
    "src/internal/process.ts": "export const x = process.env",
    "src/internal/buffer.ts": `export const x = Buffer.from("")`
  },
  "eslint(no-console)": { "src/internal/console.ts": "console.log(1)" },
  "eslint(no-unused-vars)": {
    "src/internal/unusedImport.ts": `import * as Layer from "effect/Layer"\nexport const x = 1`,
    "test/unused.ts": "const x = 1"
  },
  "typescript(consistent-type-imports)": {
    "src/internal/typeImport.ts": `import * as Layer from "effect/Layer"\nexport type X = Layer.Layer<never>`
  },
  "import(no-cycle)": {
    "src/internal/cycleA.ts": `import { b } from "./cycleB.js"\nexport const a = () => b`,
    "src/internal/cycleB.ts": `import { a } from "./cycleA.js"\nexport const b = () => a`
  },
  "house(clock)": {
    "src/internal/newDate.ts": "export const x = new Date()",
    "src/internal/callDate.ts": "export const x = Date()"
  },
  "house(effects)": {
    "src/internal/throw.ts": "export const x = () => {\n  throw new Error()\n}",
    "src/internal/try.ts": "export const x = () => {\n  try {\n    return 1\n  } finally {\n  }\n}",
    "src/internal/async.ts": "export const x = async () => 1",
    "src/internal/await.ts": "export const x = await Promise.resolve(1)"
  },
  "house(imports)": {
    "src/http/knowsBackend.ts": `import "../session/Session.js"`,
    "src/http/knowsConfig.ts": `import "../SecurityConfig.js"`,
    "src/session/knowsJwt.ts": `import "../jwt/Jwt.js"`,
    "src/user/knowsSession.ts": `import type {} from "../session/Session.js"`,
    "src/jwt/exportsUser.ts": `${doc}export * from "../user/Credentials.js"`,
    "src/SecurityConfig.ts": `import "./session/Session.js"`,
    "src/SecurityError.ts": `${doc}export type X = import("./user/Credentials.js").X`,
    "src/internal/knowsConfig.ts": `import "../SecurityConfig.js"`,
    "src/internal/knowsSession.ts": `import type {} from "../session/Session.js"`,
    "src/index.ts": `export * as X from "./internal/x.js"`,
    "src/session/nodeBuiltin.ts": `import "node:crypto"`,
    "src/session/bareBuiltin.ts": `import "crypto"`,
    "src/session/dynamicBuiltin.ts": `export const x = () => import("node:crypto")`,
    "src/session/optionalPeer.ts": `import "ioredis"`,
    "src/user/wrongPeer.ts": `import "@node-rs/argon2"`,
    "src/session/barrel.ts": `import "effect"`,
    "src/session/testOnly.ts": `import "../../test/utils.js"`,
    "src/other/unknownPart.ts": `import "../SecurityError.js"`
  },
  "house(documented)": {
    "src/noDoc.ts": "export const x = 1",
    "src/noCategory.ts": "/** @since 0.1.0 */\nexport type X = 1",
    "src/noSince.ts": "/** @category models */\nexport interface X {}",
    "src/lineComment.ts": "// @since 0.1.0 @category models\nexport class X {}",
    "src/reexport.ts": `export { x } from "./noDoc.js"`,
    "src/someoneElses.ts": `${doc}export const x = 1\nexport const y = 1`
  },
  "house(reasons)": {
    "src/internal/noReason.ts": "// oxlint-disable-next-line no-console\nconsole.log(1)"
  }
}

/** @type {Record<string, string>} */
const good = {
  "src/Guard.ts": `import * as Effect from "effect/Effect"\nimport { x } from "./http/good.js"\n` +
    `${doc}export const y = Effect.tryPromise(async () => await Promise.resolve(x))\n` +
    `${doc}export function f(a: 1): 1\nexport function f(a: number): number {\n  return a\n}`,
  "src/http/good.ts": `${doc}export const x = new Date(0)`,
  "src/internal/good.ts": `import type { X } from "../SecurityConfig.js"\nexport const x: X = 1\n` +
    `// oxlint-disable-next-line no-console -- shows that a reason is enough\nconsole.log(1)`,
  "src/user/PasswordHasherScrypt.ts": `import * as Crypto from "node:crypto"\n${doc}export const x = Crypto.scrypt`,
  "test/good.ts": "console.log(Date.now(), Math.random())"
}

const folder = mkdtempSync(join(tmpdir(), "effect-security-lint-"))
/** @type {Array<string>} */
const complaints = []
let cases = Object.keys(good).length
try {
  for (const path of [".oxlintrc.json", "scripts/lint", "scripts/lib"]) {
    cpSync(join(root, path), join(folder, path), { recursive: true })
  }
  const files = Object.assign({}, good, ...Object.values(bad))
  for (const [file, code] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), `${code}\n`)
  }
  const oxlint = join(root, "node_modules/oxlint/bin/oxlint")
  const { stdout, stderr } = spawnSync(process.execPath, [oxlint, "--format", "json", "src", "test"], {
    cwd: folder,
    encoding: "utf8"
  })
  if (!stdout.startsWith("{")) throw new Error(`oxlint did not run:\n${stdout}${stderr}`)
  /** @type {ReadonlyArray<{ code: string, filename: string, message: string }>} */
  const diagnostics = JSON.parse(stdout).diagnostics
  for (const [rule, files] of Object.entries(bad)) {
    for (const file of Object.keys(files)) {
      cases++
      if (!diagnostics.some((found) => found.filename === file && found.code === rule)) {
        complaints.push(`${rule} did not report ${file}`)
      }
    }
  }
  for (const found of diagnostics) {
    if (found.filename in good) complaints.push(`${found.code} reported ${found.filename}: ${found.message}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

if (complaints.length > 0) {
  console.error(`The linter does not keep the rules of the house:\n  ${complaints.join("\n  ")}`)
  process.exit(1)
}
console.log(`The rules of the house hold on ${cases} small programs`)
