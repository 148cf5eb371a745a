import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"
import { beforeAll, describe, expect, it } from "vitest"
import { format, options, root } from "./compiler.js"

const directory = join(root, ".tmp/types/instantiations")

// -----------------------------------------------------------------------------
// Programs
// -----------------------------------------------------------------------------

const model = `
import {
  HttpApi, HttpApiBuilder, HttpApiClient, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSecurity
} from "@effect/platform"
import { Context, Effect, Layer, Schema } from "effect"
import { SecurityConfig, SecurityError, SessionAuth, SessionStore } from "effect-security"

class User extends Schema.Class<User>("User")({ id: Schema.String, name: Schema.String }) {}
class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, User>() {}
const ada = new User({ id: "1", name: "ada" })
`

/** What each endpoint of a program has as its middleware, and the Layer behind it. */
const middlewares = {
  bare: `
class Auth extends HttpApiMiddleware.Tag<Auth>()("app/Auth", {
  provides: CurrentUser,
  failure: SecurityError.SecurityError,
  security: { sessionCookie: HttpApiSecurity.apiKey({ in: "cookie", key: "__Host-session" }) }
}) {}
const AuthLive = Layer.succeed(Auth, { sessionCookie: () => Effect.succeed(ada) })
`,
  session: `
class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
  user: CurrentUser,
  session: Schema.Struct({ userId: Schema.String })
}) {}
const AuthLive = Auth.layer({ retrieveUser: () => Effect.succeedSome(ada) }).pipe(
  Layer.provide(SessionStore.layerMemory)
)
`,
  custom: `
class Auth extends SecurityConfig.Tag<Auth>()("app/Auth", {
  scheme: SecurityConfig.apiKey({ in: "cookie", key: "__Host-session" }),
  user: CurrentUser
}) {}
const AuthLive = Auth.layer({ authenticate: () => Effect.succeedSome(ada) })
`
}
type Middleware = keyof typeof middlewares

const groupSize = 20

/** An api with so many endpoints in groups of 20, each with its handler, served by one Layer and called by a client. */
const source = (middleware: Middleware, endpoints: number): string => {
  const groups = Array.from({ length: Math.ceil(endpoints / groupSize) }, (_, group) => ({
    group: `group${group}`,
    endpoints: Array.from(
      { length: Math.min(groupSize, endpoints - group * groupSize) },
      (_, endpoint) => `endpoint${endpoint}`
    )
  }))
  return [
    model,
    middlewares[middleware],
    "const api = HttpApi.make(\"api\")",
    ...groups.map(({ endpoints, group }) =>
      `.add(HttpApiGroup.make("${group}")${
        endpoints.map((name) =>
          `.add(HttpApiEndpoint.get("${name}", "/${group}/${name}").addSuccess(User).middleware(Auth))`
        ).join("\n")
      })`
    ),
    ...groups.map(({ endpoints, group }) =>
      `const ${group} = HttpApiBuilder.group(api, "${group}", (_) => _\n${
        endpoints.map((name) => `.handle("${name}", () => CurrentUser)`).join("\n")
      })`
    ),
    `const groups = Layer.mergeAll(${groups.map(({ group }) => group).join(", ")})`,
    "export const live: Layer.Layer<HttpApi.Api> =",
    "  HttpApiBuilder.api(api).pipe(Layer.provide(groups), Layer.provide(AuthLive))",
    "export const call = Effect.flatMap(HttpApiClient.make(api), (client) => client.group0.endpoint0())"
  ].join("\n")
}

// -----------------------------------------------------------------------------
// Instantiations
// -----------------------------------------------------------------------------

// The libraries are parsed once; each program is checked by itself.
const host = ts.createCompilerHost(options)
const libraries = new Map<string, ts.SourceFile | undefined>()
const { getSourceFile } = host
host.getSourceFile = (name, ...rest) => {
  if (!libraries.has(name)) libraries.set(name, getSourceFile(name, ...rest))
  return libraries.get(name)
}

const counts = new Map<string, number>()

const instantiations = (middleware: Middleware, endpoints: number): number => {
  const known = counts.get(`${middleware} ${endpoints}`)
  if (known !== undefined) return known
  const file = join(directory, `${middleware}-${endpoints}.ts`)
  writeFileSync(file, source(middleware, endpoints))
  const program = ts.createProgram({ rootNames: [file], options, host })
  expect(format(program.getSemanticDiagnostics(program.getSourceFile(file)))).toBe("")
  const count = program.getInstantiationCount()
  counts.set(`${middleware} ${endpoints}`, count)
  return count
}

describe.each(["session", "custom"] as const)("the types of a %s backend on every endpoint", (middleware) => {
  const few = 10
  const many = 400
  let bare: { readonly few: number; readonly many: number }
  let ours: { readonly few: number; readonly many: number }

  beforeAll(() => {
    mkdirSync(directory, { recursive: true })
    bare = { few: instantiations("bare", few), many: instantiations("bare", many) }
    ours = { few: instantiations(middleware, few), many: instantiations(middleware, many) }
    // Had an endpoint no cost at all, the comparison would say nothing.
    expect(bare.many - bare.few).toBeGreaterThan(50 * (many - few))
  }, 120_000)

  it(`cost at most 1.1 times those of a bare HttpApiMiddleware.Tag at ${few} endpoints`, () => {
    expect(ours.few / bare.few).toBeLessThanOrEqual(1.1)
  })

  it(`cost at most 1.1 times those of a bare HttpApiMiddleware.Tag at ${many} endpoints`, () => {
    expect(ours.many / bare.many).toBeLessThanOrEqual(1.1)
  })

  it("cost at most 1.1 times those of a bare HttpApiMiddleware.Tag for each further endpoint", () => {
    expect((ours.many - ours.few) / (bare.many - bare.few)).toBeLessThanOrEqual(1.1)
  })
})
