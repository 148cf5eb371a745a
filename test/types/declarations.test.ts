import { execFile } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { promisify } from "node:util"
import ts from "typescript"
import { describe, expect, it } from "vitest"
import { application, format, options, root } from "./compiler.js"

const directory = join(root, ".tmp/types/declarations")

describe("the declarations of an application's program", () => {
  it("are emitted without an annotation, and name no internal module", () => {
    const emitted = new Map<string, string>()
    const program = ts.createProgram({
      rootNames: [application],
      options: {
        ...options,
        noEmit: false,
        declaration: true,
        emitDeclarationOnly: true,
        outDir: directory,
        rootDir: root
      }
    })
    // TS2742, TS4023 and TS7056 are found while declarations are emitted, and are among these.
    const found = [...ts.getPreEmitDiagnostics(program)]
    const { diagnostics, emitSkipped } = program.emit(
      program.getSourceFile(application),
      (name, content) => emitted.set(relative(directory, name), content)
    )
    expect(format([...found, ...diagnostics])).toBe("")
    expect(emitSkipped).toBe(false)
    const declarations = emitted.get("test/types/fixtures/app.d.ts") ?? ""
    expect(declarations).toContain(
      "declare const Auth_base: SessionAuth.TagClass<Auth, \"app/Auth\", CurrentUser, User, "
    )
    expect(declarations).toContain("declare const ApiKeyAuth_base: SecurityConfig.TagClass<ApiKeyAuth, ")
    expect(declarations).toContain("declare const JwtBackend_base: JwtAuth.TagClass<JwtBackend, \"app/JwtBackend\", ")
    expect(declarations).toContain("declare const WriteArticles_base: Scopes.TagClass<WriteArticles, ")
    expect(declarations).toContain(
      "declare const Either_base: SecurityConfig.FirstOf<Either, \"app/Either\", CurrentUser, User, "
    )
    expect(declarations).toContain("export declare const AuthLive: Layer.Layer<")
    expect(declarations).not.toMatch(/internal|import\("[./]/)
  }, 120_000)

  it("are emitted by TypeScript 7", async () => {
    rmSync(join(directory, "7"), { recursive: true, force: true })
    mkdirSync(join(directory, "7"), { recursive: true })
    const config = join(directory, "7/tsconfig.json")
    writeFileSync(
      config,
      JSON.stringify({
        extends: join(root, "tsconfig.json"),
        compilerOptions: {
          noEmit: false,
          declaration: true,
          emitDeclarationOnly: true,
          outDir: "out",
          rootDir: root,
          typeRoots: [join(root, "node_modules/@types")]
        },
        files: [application],
        include: []
      })
    )
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(root, "node_modules/typescript7/bin/tsc"),
      "-p",
      config
    ]).catch((error: { readonly stdout: string }) => error)
    expect(stdout).toBe("")
    expect(ts.sys.readFile(join(directory, "7/out/test/types/fixtures/app.d.ts"))).toContain(
      "declare const Auth_base: SessionAuth.TagClass<Auth, \"app/Auth\", CurrentUser, User, "
    )
  }, 120_000)
})
