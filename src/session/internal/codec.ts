import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SessionTooLarge } from "../../SecurityError.js"
import type { SessionRecord } from "../SessionStore.js"
import type { Realm } from "./scheme.js"

/** What of a record its data is. */
export type Encoded = Pick<SessionRecord, "data" | "schemaVersion">

type Stored = Encoded & Partial<Pick<SessionRecord, "subject">>

/** Why the data of a record is no session. */
export type Unreadable = "Undecodable" | "Newer"

/** Sessions as text, and back. */
export interface Codec {
  readonly encode: (session: unknown) => Effect.Effect<Encoded, SessionTooLarge>
  readonly decode: (record: Stored) => Effect.Effect<any, Unreadable>
}

const limit = 16 * 1024
const json = Schema.parseJson()

const undecodable: Effect.Effect<never, Unreadable> = Effect.fail("Undecodable")
const asUndecodable = <A>(self: Effect.Effect<A, unknown>): Effect.Effect<A, Unreadable> =>
  Effect.catchAll(self, () => undecodable)

export const make = ({ session, subject, versions }: Realm): Codec => {
  const current = versions?.current ?? 1
  const schema = Schema.parseJson(session)
  const encode = Schema.encode(schema)
  const decode = Schema.decode(schema)
  const parse = Schema.decode(json)

  /** Of an earlier version. A session stays its subject's: whatever says otherwise is no migration of it. */
  const migrate = (record: Stored): Effect.Effect<any, Unreadable> =>
    versions === undefined ? undecodable : Effect.flatMap(asUndecodable(parse(record.data)), (data) => {
      const migrated = versions.migrate(data, record.schemaVersion)
      return Option.isSome(migrated) && subject(migrated.value) === record.subject
        ? Effect.succeed(migrated.value)
        : undecodable
    })

  return {
    encode: (session) =>
      Effect.flatMap(Effect.orDie(encode(session)), (data) => {
        const size = new TextEncoder().encode(data).length
        return size > limit
          ? Effect.fail(new SessionTooLarge({ size, limit }))
          // JSON has no NaN: what does not come back would end the session on its next request.
          : Effect.as(Effect.orDie(decode(data)), { data, schemaVersion: current })
      }),
    decode: (record) =>
      record.schemaVersion === current
        ? asUndecodable(decode(record.data))
        : record.schemaVersion > current
        // While a deployment is on its way, another process may be ahead of this one: its sessions are not ours to end.
        ? Effect.fail("Newer")
        : migrate(record)
  }
}
