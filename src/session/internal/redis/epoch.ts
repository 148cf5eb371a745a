import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import type { Service } from "../../SessionEpoch.js"
import type { Connection } from "./connection.js"
import { run } from "./connection.js"
import * as failure from "./failure.js"
import type { Keys } from "./keys.js"
import * as scripts from "./scripts.js"

const read = (text: unknown): Effect.Effect<number, SecurityUnavailable> => {
  const number = Number(text)
  return Number.isSafeInteger(number) ? Effect.succeed(number) : Effect.fail(failure.unreadable("an epoch"))
}

export const make = (connection: Connection, keys: Keys): Service => ({
  current: (realm, subject) =>
    Effect.flatMap(connection.ask((client) => client.get(keys.subject(realm, subject).epoch)), read),
  advance: (realm, subject, until) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.flatMap(
        run(connection, scripts.advance, [keys.subject(realm, subject).epoch], [now, until]),
        read
      ))
})
