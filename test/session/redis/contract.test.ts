import { describe, layer } from "@effect/vitest"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { redisClusterNodes, redisUrl, valkeyUrl } from "../../servers.js"
import { freshPrefix, layerOf } from "./fixtures.js"

const cases = SessionStoreContract.make({ runs: 100 })
const patience = 120_000

const contract = (store: ReturnType<typeof layerOf>) =>
  layer(store, { excludeTestServices: true })((it) => {
    for (const { name, run } of cases) {
      it.effect(name, () => run, patience)
    }
  })

describe.skipIf(redisUrl === undefined)("Redis", () => contract(layerOf(redisUrl ?? "redis://127.0.0.1")))

describe.skipIf(valkeyUrl === undefined)("Valkey", () => contract(layerOf(valkeyUrl ?? "redis://127.0.0.1")))

describe.skipIf(redisClusterNodes === undefined)(
  "a Cluster of three nodes",
  () =>
    contract(SessionStoreRedis.layerCluster({
      nodes: redisClusterNodes ?? [{ host: "127.0.0.1", port: 6379 }],
      prefix: freshPrefix()
    }))
)
