import { readFileSync } from "node:fs"
import ts from "typescript"
import { beforeAll, describe, expect, it } from "vitest"
import { application, options, root } from "./compiler.js"

const text = readFileSync(application, "utf8")

const service = ts.createLanguageService({
  getScriptFileNames: () => [application],
  getScriptVersion: () => "1",
  getScriptSnapshot: (name) => {
    const content = ts.sys.readFile(name)
    return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
  },
  getCurrentDirectory: () => root,
  getCompilationSettings: () => options,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: ts.sys.fileExists,
  readFile: ts.sys.readFile,
  readDirectory: ts.sys.readDirectory,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories
})

/** What an editor shows over the word between the marks in an expression of the application's program. */
const hover = (marked: string): string => {
  const [before, word, after] = marked.split("|") as [string, string, string]
  const at = text.indexOf(before + word + after)
  expect(at, `${marked} in ${application}`).not.toBe(-1)
  return ts.displayPartsToString(service.getQuickInfoAtPosition(application, at + before.length)?.displayParts)
}

/** An expression, and the named types by which its hover says what it is. */
const expressions: ReadonlyArray<readonly [marked: string, ...names: ReadonlyArray<string>]> = [
  ["class |Auth| extends", "class Auth"],
  ["SessionAuth.|Tag|<Auth>()", "SessionAuth.TagOptions<", "SessionAuth.TagClass<Auth, Id, UserId, User, Session>"],
  ["SecurityConfig.|Tag|<ApiKeyAuth>()", "SecurityConfig.TagOptions<", "SecurityConfig.TagClass<ApiKeyAuth, "],
  [
    "Auth.|layer|({",
    "TagClass<Auth, \"app/Auth\", CurrentUser, User, ",
    "SessionAuth.LayerOptions<",
    "Supports<Auth, "
  ],
  ["Auth.|layerConfig|({", "SessionAuth.LayerOptions<", "SessionAuth.Settings", "ConfigError"],
  [
    "ApiKeyAuth.|layer|({",
    "TagClass<ApiKeyAuth, \"app/ApiKeyAuth\", ",
    "SecurityConfig.LayerOptions<",
    "Layer<ApiKeyAuth,"
  ],
  ["const |AuthLive|", "Layer.Layer<", "Supports<Auth, SessionAuth.Stored>"],
  ["const |ApiKeyLive|", "Layer.Layer<ApiKeyAuth, never, never>"],
  ["const |TokenLive|", "Layer.Layer<TokenAuth, never, Users>"],
  [
    "Auth.|protect|(me)",
    "Base<Auth, \"app/Auth\", CurrentUser, User, ",
    "SecurityError.SecurityError",
    "HttpServerRequest"
  ],
  ["HttpRouter.use(Auth.|protect|)", "Base<Auth, ", "Exclude<R, CurrentUser>"],
  ["const |protectedMe|", "Effect.Effect<HttpServerResponse.HttpServerResponse, SecurityError.SecurityError, "],
  ["pipe(Auth.|middleware|)", "Base<Auth, ", "SecurityConfig.Gate<CurrentUser, R, HttpApp.Default<E, R>>"],
  ["const |gatedApp|", "HttpApp.Default<", "Supports<Auth, \"login\">"],
  ["const |router|", "HttpRouter.HttpRouter<", "Supports<Auth, \"revokeAll\">"],
  ["const |usedRouter|", "HttpRouter.HttpRouter<SecurityError.SecurityError, Auth>"],
  ["Auth.|login|({", "SignIn<Auth, ", "SecurityConfig.LoginOptions", "Supports<Auth, \"login\">"],
  ["Auth.|logout|.", "SignIn<Auth, ", "SecurityError.CrossSiteRejected", "Supports<Auth, \"logout\">"],
  ["Auth.|revokeAll|({", "TagClass<Auth, ", "SessionAuth.RevokeAllOptions", "Supports<Auth, \"revokeAll\">"],
  ["Auth.|revoke|(id)", "SessionToken.SessionId", "Supports<Auth, \"revoke\">"],
  ["Auth.|user|\n", "Base<Auth, ", "Effect.Effect<User, SecurityError.SecurityError, "],
  ["Auth.|session|\n", "TagClass<Auth, ", "SecurityError.SecurityError"],
  [
    "Auth.|whileAuthenticated|(",
    "Base<Auth, ",
    "Effect.Effect<never, SecurityError.SecurityError, Auth | HttpServerRequest>"
  ],
  ["const |socket|", "Effect.Effect<never, SecurityError.SecurityError, "],
  ["Auth.|routes|(router)", "Base<Auth, ", "SecurityConfig.Route"],
  ["const |listed|", "Effect.Effect<readonly SecurityConfig.Route[], never, Auth>"],
  ["Auth.|layerMiddleware|", "HttpLayerRouter.Request<\"Requires\", CurrentUser>"],
  ["Auth.|describe|,", "Layer.Layer<HttpApi.Api, E, "],
  ["const |routes|", "Layer.Layer<never, never, ", "HttpLayerRouter.HttpRouter"],
  ["const |served|", "Layer.Layer<never, never, ", "HttpServer.HttpServer"],
  ["const |UserGroup|", "Layer.Layer<HttpApiGroup.ApiGroup<\"app\", \"user\">, never, ", "Supports<Auth, \"login\">"],
  ["const |ApiLive|", "Layer.Layer<HttpApi.Api, never, Users>"],
  ["class |Either| extends", "class Either"],
  ["SecurityConfig.|firstOf|<Either>()", "SecurityConfig.CheckMembers<Members>", "SecurityConfig.FirstOf<Either, Id, "],
  [
    "Either.|layer|({",
    "FirstOf<Either, \"app/Either\", CurrentUser, User, ",
    "FirstOfOptions",
    "Layer.Layer<Either, never, "
  ],
  ["const |EitherLive|", "Layer.Layer<Either, never, Auth | ApiKeyAuth>"],
  ["const |eitherMe|", "SecurityConfig.Authenticated<User, "],
  ["JwtAuth.|Tag|<JwtBackend>()", "JwtAuth.TagOptions<", "JwtAuth.TagClass<JwtBackend, Id, UserId, User, Claims>"],
  ["const |JwtLive|", "Layer.Layer<", "Supports<JwtBackend, JwtAuth.Bearer>", "SecurityConfigError"],
  ["const |SwappedLive|", "Layer.Layer<", "Supports<Auth, JwtAuth.Bearer>", "JwtKeys"],
  ["const |currentToken|", "Effect.Effect<Jwt.Token, SecurityError.SecurityError, "],
  ["Scopes.|Tag|<WriteArticles>()", "Scopes.TagOptions<", "Scopes.TagClass<WriteArticles, Id, "],
  ["const |WriteArticlesLive|", "Layer.Layer<WriteArticles, never, JwtBackend>"]
]

describe("a hover is at most 5 lines of named types", () => {
  // The first question has the program checked.
  beforeAll(() => {
    hover("class |Auth| extends")
  }, 120_000)

  it.each(expressions)("over %s", (marked, ...names) => {
    const shown = hover(marked)
    for (const name of names) expect(shown).toContain(name)
    expect(shown.split("\n").length).toBeLessThanOrEqual(5)
    expect(shown).not.toContain("import(")
    // So an editor marks what it leaves out of a type that is too long.
    expect(shown).not.toContain("...")
  }, 60_000)
})
