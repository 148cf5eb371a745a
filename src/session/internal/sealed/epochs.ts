import * as Effect from "effect/Effect"
import type { Observer } from "../../../internal/observe.js"
import { SecurityUnavailable } from "../../../SecurityError.js"
import type { Service } from "../../SessionEpoch.js"

/** The epochs of one realm, as its requests ask for them. */
export interface Epochs {
  readonly current: (subject: string) => Effect.Effect<number, SecurityUnavailable>
  readonly advance: (subject: string, until: number) => Effect.Effect<number, SecurityUnavailable>
}

/** What is no number is before no other, so that nothing would be over. */
const check = (epoch: number): Effect.Effect<number, SecurityUnavailable> =>
  Number.isSafeInteger(epoch) && epoch >= 0
    ? Effect.succeed(epoch)
    : Effect.fail(new SecurityUnavailable({ reason: "the session epoch is no whole number" }))

/** Asks in time, and takes no answer that is none. */
export const make = ({ ask, observer, realm, service }: {
  readonly realm: string
  readonly service: Service
  readonly observer: Observer
  /** Ends a wait, and turns whatever the service does into a failure of ours. */
  readonly ask: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E | SecurityUnavailable>
}): Epochs => {
  const current = observer.operation("SessionEpoch", "current")
  const advance = observer.operation("SessionEpoch", "advance")
  return {
    current: (subject) => Effect.flatMap(ask(current(Effect.suspend(() => service.current(realm, subject)))), check),
    advance: (subject, until) =>
      Effect.flatMap(ask(advance(Effect.suspend(() => service.advance(realm, subject, until)))), check)
  }
}
