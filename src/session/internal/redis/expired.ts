import * as Effect from "effect/Effect"
import type { Redis } from "ioredis"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import type { SessionId } from "../../SessionToken.js"
import * as SessionToken from "../../SessionToken.js"
import type { Client, Connection } from "./connection.js"
import { run } from "./connection.js"
import type { Keys } from "./keys.js"
import * as scripts from "./scripts.js"

/** About how many keys the server looks at in one step, whosever they are: others are served between two. */
const step = 500

/** How many are removed at once. */
const width = 50

/** Only who holds keys: what a replica has, a master has. */
const holders = (client: Client): ReadonlyArray<Redis> =>
  client.isCluster ? (client as Exclude<Client, Redis>).nodes("master") : [client as Redis]

/**
 * Redis removes by itself what is over, a while later. This removes it now, looking through all keys of every node.
 */
export const remove = (
  connection: Connection,
  keys: Keys,
  limit: number,
  now: number
): Effect.Effect<number, SecurityUnavailable> =>
  Effect.gen(function*() {
    if (limit < 1) return 0
    const { ask, client } = connection
    const before = client.options.keyPrefix ?? ""
    const glob = keys.sessionGlob(before)

    const removeOne = (id: SessionId) =>
      Effect.map(
        run(connection, scripts.removeExpired, [keys.session(id), keys.indexes(SessionToken.tagOfId(id))], [now, id]),
        Number
      )

    let removed = 0
    for (const node of yield* ask((client) => Promise.resolve(holders(client)))) {
      let cursor = "0"
      do {
        const [next, found] = yield* ask(() => node.scan(cursor, "MATCH", glob, "COUNT", step))
        cursor = next
        let ids = found.flatMap((key) => keys.idOf(before, key) ?? [])
        while (ids.length > 0) {
          if (removed >= limit) return removed
          const batch = ids.slice(0, Math.min(width, limit - removed))
          const counts = yield* Effect.forEach(batch, removeOne, { concurrency: "unbounded" })
          removed += counts.reduce((sum, count) => sum + count, 0)
          ids = ids.slice(batch.length)
        }
      } while (cursor !== "0")
    }
    return removed
  })
