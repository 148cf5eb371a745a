import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as observe from "../../internal/observe.js"
import { defaultTimeout, wait } from "../../internal/wait.js"
import { SessionStore } from "../SessionStore.js"
import * as codec from "./codec.js"
import * as sessionCookie from "./cookie.js"
import * as observedStore from "./observedStore.js"
import type { Realm } from "./scheme.js"
import * as scheme from "./scheme.js"
import * as sessions from "./sessions.js"
import * as settings from "./settings.js"

/** What every kind of session works with, once a Layer is there. */
export const make = (realm: Realm, hasSubject: boolean, options: settings.Settings) =>
  Effect.gen(function*() {
    const { lifetime, maxPerUser, policy } = yield* Either.match(settings.resolve(realm, options), {
      onLeft: (sentence) => Effect.dieMessage(`${realm.id}: ${sentence}`),
      onRight: Effect.succeed
    })
    const timeout = Duration.decode(options.timeout ?? defaultTimeout)
    const ask = <A, E, R>(self: Effect.Effect<A, E, R>) => wait(self, "the session store", timeout)
    const observer = yield* observe.make(realm.id, options.spans ?? false)
    const carrier = scheme.tokenCarrier(realm.id, policy.name)
    const inStore = sessions.make({
      realm: realm.id,
      store: observedStore.make(yield* SessionStore, observer),
      lifetime,
      maxPerUser,
      hasSubject,
      ask
    })
    return {
      ask,
      carrier,
      codec: codec.make(realm),
      cookie: sessionCookie.make({ hasSubject, carrier, crossSite: options, observer, policy, sessions: inStore }),
      observer,
      policy,
      sessions: inStore
    }
  })
