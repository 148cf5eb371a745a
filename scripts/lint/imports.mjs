// The direction of imports inside src, and which packages a module may use.
import { posix } from "node:path"
import { implementationFolders, implementationModules, isInternal } from "../lib/project.mjs"
import { fileOf } from "./rule.mjs"

const backends = ["session", "jwt", "user"]
const core = ["SecurityConfig", "SecurityError", "Guard", "Permission", "Scopes", "SecurityEvents", "SecurityMetrics"]

/**
 * For each part of the house the parts that it may import. A part is a folder of src or a file directly in it.
 * Cycles are another rule's business (import/no-cycle).
 *
 * @type {Record<string, ReadonlyArray<string>>}
 */
const mayImport = {
  ...Object.fromEntries(core.map((part) => [part, [...core, "http", "internal"]])),
  ...Object.fromEntries(backends.map((part) => [part, [part, ...core, "http", "internal"]])),
  http: ["http", "internal", "SecurityError"],
  internal: ["internal", "http", "SecurityError", "SecurityEvents", "SecurityMetrics"],
  index: [...core, ...backends, "http", "SecurityTest"],
  SecurityTest: [...core, ...backends, "http", "internal"]
}

/** Parts of which only the types may be imported. */
const mayImportTypes = /** @type {Record<string, ReadonlyArray<string>>} */ ({ internal: core })

/** @param {string} file */
const partOf = (file) => file.replace(/^src\//, "").replace(/\.[jt]s$/, "").split("/")[0] ?? ""

/**
 * What is wrong with `file` importing `source`, if anything is.
 *
 * @param {string} file
 * @param {string} source
 * @param {boolean} typeOnly
 * @returns {string | undefined}
 */
const complaint = (file, source, typeOnly) => {
  if (source.startsWith(".")) {
    const target = posix.join(posix.dirname(file), source)
    const from = partOf(file)
    const to = partOf(target)
    if (!target.startsWith("src/")) return `src does not import ${source}: it is not published.`
    if (file === "src/index.ts" && isInternal(target)) return "src/index.ts does not export what is internal."
    if (mayImport[from] === undefined) return `scripts/lint/imports.mjs does not say what src/${from} may import.`
    if (mayImport[from].includes(to) || (typeOnly && mayImportTypes[from]?.includes(to))) return undefined
    const advice = mayImportTypes[from]?.includes(to)
      ? ", except for types (`import type`)"
      : from === "internal" && backends.includes(to)
      ? `: what is internal to it lives in src/${to}/internal`
      : ": imports point one way"
    return `src/${from} does not import src/${to}${advice}.`
  }
  if (source === "effect" || source === "@effect/platform") {
    return `Import the module and not the barrel: import * as Layer from "effect/Layer".`
  }
  if (/^(effect|@effect\/platform|@noble\/hashes)\//.test(source)) return undefined
  const module = file.replace(/^src\//, "").replace(/\.ts$/, "")
  const allowed = implementationModules[module] ?? implementationFolders[posix.dirname(module)] ?? []
  if (allowed.some((name) => source === name || source.startsWith(`${name}/`))) return undefined
  return `${source} belongs in an implementation module that has its own entry point (scripts/lib/project.mjs lists ` +
    `them), since front ends import this one.`
}

/** @type {import("./rule.mjs").Rule} */
export const imports = {
  create(context) {
    const file = fileOf(context)
    /**
     * @param {any} node
     * @param {any} source
     * @param {boolean} typeOnly
     */
    const check = (node, source, typeOnly) => {
      if (source == null) return
      const message = typeof source.value === "string"
        ? complaint(file, source.value, typeOnly)
        : "Import a literal, so that bundlers and this rule see what it is."
      if (message !== undefined) context.report({ node, message })
    }
    return {
      ImportDeclaration: (node) => check(node, node.source, node.importKind === "type"),
      ExportNamedDeclaration: (node) => check(node, node.source, node.exportKind === "type"),
      ExportAllDeclaration: (node) => check(node, node.source, node.exportKind === "type"),
      ImportExpression: (node) => check(node, node.source, false),
      TSImportType: (node) => check(node, node.source, true)
    }
  }
}
