import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import type { Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Program } from "../../examples/session-auth.js"
import { databaseUrl, freshDatabase, hasSqlite } from "../servers.js"
import * as Client from "./client.js"

const ada = { name: "Ada", email: "ada@example.com", password: "correct horse" }

const programWith = (settings: Record<string, string>) =>
  Program.pipe(Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(settings))))))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "accounts-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

type Settings = Effect.Effect<Record<string, string>, never, Scope.Scope>

const databases: ReadonlyArray<readonly [store: string, settings: Settings]> = [
  ...(hasSqlite ? [["sqlite", Effect.map(folder, (DATA_FOLDER) => ({ DATA_FOLDER }))] as const] : []),
  ...(databaseUrl === undefined
    ? []
    : [["postgres", Effect.map(freshDatabase, (DATABASE_URL) => ({ DATABASE_URL }))] as const])
]

describe.each(databases)("examples/session-auth.ts over %s", (store, settings) => {
  it.scopedLive(
    "keeps people and sessions over a restart, and what a logout has ended stays ended",
    () =>
      Effect.gen(function*() {
        const program = programWith({ SESSION_STORE: store, ...yield* settings })
        const [kept, ended] = yield* Effect.scoped(Effect.gen(function*() {
          const url = yield* Client.serve(program)
          const laptop = Client.make(url)
          yield* laptop.send("POST", "/signup", { json: ada })
          const phone = Client.make(url)
          yield* phone.send("POST", "/login", { json: ada })
          const copied = phone.cookies.get("session")!
          assert.strictEqual((yield* phone.send("POST", "/logout")).status, 204)
          return [laptop.cookies.get("session")!, copied] as const
        }))

        const url = yield* Client.serve(program)
        const status = (cookie: string) =>
          Effect.map(
            Client.make(url).send("GET", "/user", { headers: { cookie: `session=${cookie}` } }),
            (_) => _.status
          )
        assert.strictEqual(yield* status(kept), 200)
        assert.strictEqual(yield* status(ended), 401)
        const client = Client.make(url)
        assert.strictEqual((yield* client.send("POST", "/login", { json: ada })).status, 201)
        assert.strictEqual((yield* client.send("GET", "/user")).json().email, ada.email)
        assert.strictEqual((yield* client.send("POST", "/signup", { json: ada })).status, 409)
      }),
    60_000
  )
})
