import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  return port
})

/** Starts an example as `npm start` does, until the scope ends. `output` is all that it has printed. */
const start = (example: string, env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--import", "tsx", example], { env: { ...process.env, ...env } })
      let output = ""
      child.stdout.on("data", (chunk) => output += chunk)
      child.stderr.on("data", (chunk) => output += chunk)
      const printed = (text: string) =>
        Effect.async<void, string>((resume) => {
          const check = () => {
            if (output.includes(text)) {
              resume(Effect.void)
            }
          }
          child.stdout.on("data", check)
          child.once("exit", () => resume(Effect.fail(output)))
          check()
        })
      const exited = Effect.async<number | null>((resume) => {
        child.once("exit", (code) => resume(Effect.succeed(code)))
      })
      return { child, printed, exited, output: () => output }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("an example as a process", () => {
  it.scopedLive.each([
    "examples/session-auth.ts",
    "examples/http-router.ts",
    "examples/custom-backend.ts"
  ])(
    "%s says where it listens and what to try, answers there, and ends on SIGTERM",
    (example) =>
      Effect.gen(function*() {
        const port = yield* freePort
        const { child, exited, output, printed } = yield* start(example, { PORT: String(port), HOST: "127.0.0.1" })
        yield* printed("Ctrl-C stops the server.")
        assert.include(output(), `Listening on http://127.0.0.1:${port}`)
        assert.include(output(), "curl -i")
        const answer = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/user`))
        assert.isBelow(answer.status, 500)
        child.kill("SIGTERM")
        yield* exited
      }),
    60_000
  )

  it.scopedLive("says on start that its cookie is for plain http", () =>
    Effect.gen(function*() {
      const { output, printed } = yield* start("examples/session-auth.ts", { PORT: String(yield* freePort) })
      yield* printed("Ctrl-C stops the server.")
      assert.include(output(), "cookie is called `session` and is not Secure")
    }), 60_000)

  it.scopedLive("ends with a sentence when its port is not a number", () =>
    Effect.gen(function*() {
      const { exited, output } = yield* start("examples/session-auth.ts", { PORT: "http" })
      assert.notStrictEqual(yield* exited, 0)
      assert.include(output(), "PORT")
    }), 60_000)
})
