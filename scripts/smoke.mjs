// Packs the package as it would be published, installs it into an empty project and uses it there as a user would:
// type-checks a consumer that emits declarations, runs it, bundles for a browser what a front end shares, and tries to
// import what is internal.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { filesIn, implementationModules, isInternal, publicModules, root } from "./lib/project.mjs"
import { node, npm } from "./lib/run.mjs"

const folder = mkdtempSync(join(tmpdir(), "effect-security-smoke-"))
const modules = publicModules()
const browserSafe = modules.filter((name) => implementationModules[name] === undefined)
const internals = filesIn("src", ".ts").filter(isInternal).map((file) => file.slice("src/".length, -".ts".length))
const peers = [...new Set(Object.values(implementationModules).flat())].filter((name) => !name.startsWith("node:"))
/** Packages whose own declarations need those of Node. */
const nodeTyped = ["ioredis"]
const needsNodeTypes = (/** @type {string} */ name) =>
  (implementationModules[name] ?? []).some((peer) => nodeTyped.includes(peer))
/** @param {string} name */
const specifier = (name) => name === "index" ? "effect-security" : `effect-security/${name}`

/**
 * The packages that the README tells users to install, without ours.
 *
 * @returns {ReadonlyArray<string>}
 */
const installLine = () => {
  const readme = existsSync(join(root, "README.md")) ? readFileSync(join(root, "README.md"), "utf8") : ""
  const line = /^\s*npm (?:install|i) (.*\beffect-security\b.*)$/m.exec(readme)?.[1] ?? "effect@3 @effect/platform@0.97"
  return line.split(/\s+/).map((word) => word.replace(/^["']|["']$/g, "")).filter((word) => word !== "effect-security")
}

/**
 * One step: fails with what was printed.
 *
 * @param {string} name
 * @param {Promise<{ readonly status: number, readonly output: string }>} running
 */
const step = async (name, running) => {
  const started = performance.now()
  const { output, status } = await running
  if (status !== 0) throw new Error(`${name} failed:\n${output}`)
  console.log(`  ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  return output
}

/**
 * @param {string} file
 * @param {string} text
 */
const write = (file, text) => writeFileSync(join(folder, file), text)

/**
 * Writes and runs a program in the project. A status that is not 0 fails.
 *
 * @param {string} name
 * @param {string} file
 * @param {string} code
 */
const program = (name, file, code) => {
  write(file, code)
  return step(name, node([file], { cwd: folder, quiet: true }))
}

/** @param {ReadonlyArray<string>} names */
const loads = (names) => `await Promise.all(${JSON.stringify(names.map(specifier))}.map((name) => import(name)))`

const main = async () => {
  const packed = await step("npm pack", npm(["pack", "--json", "--pack-destination", folder], { quiet: true }))
  const tarball = join(folder, /"filename": "([^"]+)"/.exec(packed)?.[1] ?? "")
  await step("publint", node(["node_modules/publint/src/cli.js", "run", tarball, "--strict"], { quiet: true }))
  await step(
    "are the types wrong",
    node(["node_modules/@arethetypeswrong/cli/dist/index.js", tarball, "--profile", "esm-only"], { quiet: true })
  )

  write("package.json", JSON.stringify({ name: "consumer", private: true, type: "module" }))
  const words = installLine()
  await step(
    `npm install effect-security ${words.join(" ")}`,
    npm(["install", "--prefer-offline", "--no-audit", "--no-fund", tarball, ...words], { cwd: folder, quiet: true })
  )
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  await step(
    `npm install ${peers.join(" ")}`,
    npm(
      [
        "install",
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
        ...peers.map((name) => `${name}@${devDependencies[name]}`)
      ],
      { cwd: folder, quiet: true }
    )
  )
  const { version } = JSON.parse(readFileSync(join(folder, "node_modules/effect/package.json"), "utf8"))
  if (!version.startsWith("3.")) throw new Error(`the install line gives effect ${version}, not the 3 line`)

  // A browser's libraries and no @types/node: declarations must not need more than that.
  mkdirSync(join(folder, "src"))
  const exporting = (/** @type {ReadonlyArray<string>} */ names) =>
    names.map((name, n) => `export * as m${n} from "${specifier(name)}"\n`).join("")
  write("src/modules.ts", exporting(modules.filter((name) => !needsNodeTypes(name))))
  if (existsSync(join(root, "scripts/smoke/consumer.ts"))) {
    cpSync(join(root, "scripts/smoke/consumer.ts"), join(folder, "src/consumer.ts"))
  }
  const compilerOptions = {
    target: "ES2022",
    lib: ["ES2022", "DOM", "DOM.Iterable"],
    types: [],
    module: "NodeNext",
    moduleDetection: "force",
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    declaration: true,
    rootDir: "src"
  }
  write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["src"] }))
  mkdirSync(join(folder, "src-node"))
  write("src-node/modules.ts", exporting(modules.filter(needsNodeTypes)))
  const withNode = { rootDir: "src-node", types: ["node"], typeRoots: [join(root, "node_modules/@types")] }
  write(
    "tsconfig.node.json",
    JSON.stringify({ compilerOptions: { ...compilerOptions, ...withNode }, include: ["src-node"] })
  )
  for (const compiler of ["typescript", "typescript7"]) {
    const tsc = `node_modules/${compiler}/bin/tsc`
    await step(
      `type check with ${compiler}`,
      node([tsc, "-p", folder, "--outDir", join(folder, compiler)], { cwd: folder, quiet: true })
    )
    await step(
      `type check with ${compiler} and the types of Node`,
      node([tsc, "-p", join(folder, "tsconfig.node.json"), "--noEmit"], { cwd: folder, quiet: true })
    )
  }
  if (existsSync(join(folder, "typescript/consumer.js"))) {
    await step("the consumer runs", node([join(folder, "typescript/consumer.js")], { cwd: folder, quiet: true }))
  }

  await program(
    `${internals.length} internal modules cannot be imported`,
    "internals.mjs",
    `const modules = ${JSON.stringify(internals)}
    for (const name of [...modules, ...modules.map((name) => "dist/" + name + ".js")]) {
      const error = await import("effect-security/" + name).then(() => undefined, (error) => error)
      if (error?.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw new Error(name + ": " + (error ?? "was imported"))
    }`
  )

  await program(`${modules.length} modules load`, "all.mjs", loads(modules))
  for (const name of peers) {
    rmSync(join(folder, "node_modules", name), { recursive: true, force: true })
  }
  await program(
    `${browserSafe.length} modules load without the optional peers`,
    "without.mjs",
    loads(browserSafe)
  )
  write("browser.mjs", browserSafe.map((name, n) => `export * as m${n} from "${specifier(name)}"\n`).join(""))
  const { build } = await import("esbuild")
  await step(
    `${browserSafe.length} modules bundle for a browser`,
    build({
      absWorkingDir: folder,
      entryPoints: ["browser.mjs"],
      bundle: true,
      platform: "browser",
      format: "esm",
      logLevel: "silent",
      write: false
    }).then(() => ({ status: 0, output: "" }), (error) => ({ status: 1, output: String(error.message) }))
  )
}

try {
  await main()
  console.log("The tarball works in an empty project")
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
