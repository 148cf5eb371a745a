import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as observe from "../../internal/observe.js"
import { defaultTimeout, wait } from "../../internal/wait.js"
import { SessionStore } from "../SessionStore.js"
import type { Service } from "../SessionStore.js"
import * as codec from "./codec.js"
import * as sessionCookie from "./cookie.js"
import type { Realm } from "./scheme.js"
import * as scheme from "./scheme.js"
import * as sessions from "./sessions.js"
import * as settings from "./settings.js"

/** A store whose operations are timed, and that fails where it would throw. */
const observed = (store: Service, observer: observe.Observer): Service => {
  const timed = (name: keyof Service) => observer.operation("SessionStore", name)
  const [create, find, update, touch, rotate, remove, removeBySubject, listBySubject] = [
    timed("create"),
    timed("find"),
    timed("update"),
    timed("touch"),
    timed("rotate"),
    timed("remove"),
    timed("removeBySubject"),
    timed("listBySubject")
  ]
  return {
    ...store,
    create: (record) => create(Effect.suspend(() => store.create(record))),
    find: (id) => find(Effect.suspend(() => store.find(id))),
    update: (record) => update(Effect.suspend(() => store.update(record))),
    touch: (id, deadline) => touch(Effect.suspend(() => store.touch(id, deadline))),
    rotate: (oldId, record) => rotate(Effect.suspend(() => store.rotate(oldId, record))),
    remove: (id) => remove(Effect.suspend(() => store.remove(id))),
    removeBySubject: (realm, subject, options) =>
      removeBySubject(Effect.suspend(() => store.removeBySubject(realm, subject, options))),
    listBySubject: (realm, subject) => listBySubject(Effect.suspend(() => store.listBySubject(realm, subject)))
  }
}

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
    const carrier = scheme.tokenCarrier(policy.name)
    const inStore = sessions.make({
      realm: realm.id,
      store: observed(yield* SessionStore, observer),
      lifetime,
      maxPerUser,
      hasSubject,
      ask
    })
    return {
      ask,
      carrier,
      codec: codec.make(realm),
      cookie: sessionCookie.make({ realm: realm.id, carrier, crossSite: options, observer, policy, sessions: inStore }),
      observer,
      policy,
      sessions: inStore
    }
  })
