import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createHmac } from "node:crypto"
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
    "examples/jwt.ts",
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

  it.scopedLive(
    "over tokens says which settings it has, and that a random secret is not for long",
    () =>
      Effect.gen(function*() {
        const { output, printed } = yield* start("examples/jwt.ts", { PORT: String(yield* freePort), AUTH: "cookie" })
        yield* printed("Ctrl-C stops the server.")
        yield* printed("JWT_SECRET is not set")
        assert.include(output(), "AUTH=cookie JWT_ISSUER=urn:example:accounts JWT_AUDIENCE=urn:example:accounts")
        assert.include(output(), "is not Secure")
      }),
    60_000
  )

  it.scopedLive("over tokens signs with JWT_SECRET for JWT_AUDIENCE as JWT_ISSUER", () =>
    Effect.gen(function*() {
      const secret = Buffer.alloc(32, "0123456789")
      const port = yield* freePort
      const { output, printed } = yield* start("examples/jwt.ts", {
        PORT: String(port),
        JWT_SECRET: secret.toString("base64url"),
        JWT_ISSUER: "https://app.example.com",
        JWT_AUDIENCE: "https://app.example.com/api"
      })
      yield* printed("Ctrl-C stops the server.")
      const signedUp = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/signup`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ name: "Ada", email: "ada@example.com", password: "correct horse" })
        })
      )
      const token = signedUp.headers.get("authorization")!.slice("Bearer ".length)
      const [header, claims, signature] = token.split(".") as [string, string, string]
      assert.strictEqual(createHmac("sha256", secret).update(`${header}.${claims}`).digest("base64url"), signature)
      const { aud, exp, iat, iss } = JSON.parse(Buffer.from(claims, "base64url").toString())
      assert.deepStrictEqual({ aud, iss, lifetime: exp - iat }, {
        aud: "https://app.example.com/api",
        iss: "https://app.example.com",
        lifetime: 3600
      })
      assert.notInclude(output(), token)
    }), 60_000)

  it.scopedLive.each([
    { JWT_SECRET: Buffer.from("too short").toString("base64url"), says: "has 9 bytes" },
    { AUTH: "basic", says: "AUTH" }
  ])(
    "over tokens ends with a sentence for %o",
    ({ says, ...env }) =>
      Effect.gen(function*() {
        const { exited, output } = yield* start("examples/jwt.ts", {
          PORT: String(yield* freePort),
          ...env as Record<string, string>
        })
        assert.notStrictEqual(yield* exited, 0)
        assert.include(output(), says)
      }),
    60_000
  )
})
