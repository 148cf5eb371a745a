// Run by a test: builds a Layer over each URL that it is given, asks it once, and closes it. Then nothing is left.
import { Effect, Redacted } from "effect"
import { SessionStore } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"

const timeouts = { connectTimeout: "300 millis", commandTimeout: "300 millis" } as const

const layerOf = (kind: string, url: string) => {
  const { hostname, port } = new URL(url)
  return kind === "cluster"
    ? SessionStoreRedis.layerCluster({ ...timeouts, nodes: [{ host: hostname, port: Number(port) }] })
    : SessionStoreRedis.layer({ ...timeouts, url: Redacted.make(url) })
}

const ask = Effect.flatMap(SessionStore.SessionStore, (store) => Effect.either(store.removeExpired(1)))

for (const argument of process.argv.slice(2)) {
  const [kind, url] = argument.split("=")
  const answer = await Effect.runPromise(Effect.provide(ask, layerOf(kind!, url!)))
  process.stdout.write(`${kind}: ${answer._tag === "Right" ? "answered" : answer.left.reason}\n`)
}
