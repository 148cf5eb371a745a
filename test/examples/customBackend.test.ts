import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as CustomBackendExample from "../../examples/custom-backend.js"
import * as Client from "./client.js"

describe("examples/custom-backend.ts", () => {
  it.live("who has a key may read, who has a writer's key may write, and everyone may see the first page", () =>
    Effect.scoped(Effect.gen(function*() {
      const { send } = Client.make(yield* Client.serve(CustomBackendExample.Program))
      const reader = { headers: { "x-api-key": "reader-key-for-development-only" } }
      const writer = { headers: { "x-api-key": "writer-key-for-development-only" } }
      assert.strictEqual((yield* send("GET", "/")).status, 200)

      const none = yield* send("GET", "/reports")
      assert.strictEqual(none.status, 401)
      assert.strictEqual(none.headers.get("www-authenticate"), "ApiKey")
      assert.strictEqual((yield* send("GET", "/reports", { headers: { "x-api-key": "wrong" } })).status, 401)
      assert.strictEqual((yield* send("GET", "/reports", reader)).text, "Hello, dashboard\n")

      const denied = yield* send("POST", "/reports", reader)
      assert.strictEqual(denied.status, 403)
      assert.strictEqual(denied.json()._tag, "PermissionDenied")
      assert.notInclude(denied.text, "reader")
      assert.strictEqual((yield* send("POST", "/reports", writer)).text, "Hello, importer\n")
    })))
})
