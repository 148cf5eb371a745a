import { join } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

export const root = fileURLToPath(new URL("../../", import.meta.url))

/** An application's program: see the file. */
export const application = join(root, "test/types/fixtures/app.ts")

export const format = (diagnostics: ReadonlyArray<ts.Diagnostic>): string =>
  ts.formatDiagnostics(diagnostics, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => "\n"
  })

/** The options that the whole repository is checked with. */
export const options: ts.CompilerOptions = (() => {
  const { config, error } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile)
  if (error !== undefined) throw new Error(format([error]))
  return ts.parseJsonConfigFileContent(config, ts.sys, root, undefined, join(root, "tsconfig.json")).options
})()
