import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

const phcString = /\$[a-z\d-]{1,32}\$[\w+/=,.$-]+/g

/**
 * Keeps hashes out of the log: a database that refuses a row may repeat it in its error, hash and all. A cause that
 * prints one becomes a defect that says the same without it.
 */
export const withoutHashes = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.catchAllCause(self, (cause) => {
    const printed = Cause.pretty(cause, { renderErrorCause: true })
    const concealed = printed.replace(phcString, "<redacted>")
    return concealed === printed ? Effect.failCause(cause) : Effect.die(concealed)
  })
