// A backend of your own is one Tag and one function: here API keys in a header, of which only hashes are kept.
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { Context, Effect, Encoding, Layer, Option, Redacted, Schema } from "effect"
import { RequestBody, SecurityConfig, SecurityError } from "effect-security"
import { createHash } from "node:crypto"
import { announce, HttpServerLive, runMain } from "./server.js"

// -----------------------------------------------------------------------------
// Who may call
// -----------------------------------------------------------------------------

export class Client extends Schema.Class<Client>("Client")({
  name: Schema.String,
  role: Schema.Literal("reader", "writer")
}) {}

export class CurrentClient extends Context.Tag("app/CurrentClient")<CurrentClient, Client>() {}

const hash = (key: string) => Encoding.encodeHex(createHash("sha256").update(key).digest())

/** A key is 32 random bytes, so that one round of SHA-256 is enough; who reads this table can call nothing. */
export class ApiKeys extends Effect.Service<ApiKeys>()("app/ApiKeys", {
  sync: () => {
    const clients = new Map([
      [hash("reader-key-for-development-only"), new Client({ name: "dashboard", role: "reader" })],
      [hash("writer-key-for-development-only"), new Client({ name: "importer", role: "writer" })]
    ])
    return {
      find: (key: Redacted.Redacted) => Effect.sync(() => Option.fromNullable(clients.get(hash(Redacted.value(key)))))
    }
  }
}) {}

// -----------------------------------------------------------------------------
// The backends
// -----------------------------------------------------------------------------

const scheme = SecurityConfig.apiKey({ in: "header", key: "x-api-key" })

export class ApiKeyAuth extends SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKeyAuth", { scheme, user: CurrentClient }) {}

/** The same keys, but only those of writers: a guard is a predicate on the user. */
export class WriterAuth extends SecurityConfig.Tag<WriterAuth>()("app/WriterAuth", { scheme, user: CurrentClient }) {}

const authenticate = (key: Redacted.Redacted) => Effect.flatMap(ApiKeys, (keys) => keys.find(key))

export const ApiKeysLive = Layer.mergeAll(
  ApiKeyAuth.layer({ authenticate }),
  WriterAuth.layer({
    authenticate,
    guards: [
      ({ role }) => role === "writer" ? Effect.void : Effect.fail(new SecurityError.PermissionDenied({ reason: role }))
    ]
  })
).pipe(Layer.provide(ApiKeys.Default))

// -----------------------------------------------------------------------------
// The program
// -----------------------------------------------------------------------------

const hello = Effect.map(CurrentClient, ({ name }) => HttpServerResponse.text(`Hello, ${name}\n`))

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/", HttpServerResponse.text("Everyone may read this.\n")),
  HttpRouter.get("/reports", ApiKeyAuth.protect(hello)),
  HttpRouter.post("/reports", WriterAuth.protect(hello))
)

/** The whole program, but for the socket. */
export const Program = router.pipe(
  RequestBody.middleware,
  HttpServer.serve(HttpMiddleware.logger),
  Layer.provide(ApiKeysLive)
)

runMain(
  import.meta,
  announce((url) => [
    `  curl -i ${url}/reports`,
    `  curl -i -H 'x-api-key: reader-key-for-development-only' ${url}/reports`,
    `  curl -i -H 'x-api-key: reader-key-for-development-only' -X POST ${url}/reports`,
    `  curl -i -H 'x-api-key: writer-key-for-development-only' -X POST ${url}/reports`,
    "Ctrl-C stops the server."
  ]).pipe(Layer.provideMerge(Program), Layer.provide(HttpServerLive))
)
