import * as Effect from "effect/Effect"
import type { Observer } from "../../internal/observe.js"
import type { Service } from "../SessionStore.js"

/** What requests ask a store for: sweeping is the store's own business. */
export type Requests = Omit<Service, "removeExpired">

/** A store whose operations are timed, and that fails where it would throw. */
export const make = (store: Service, observer: Observer): Requests => {
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
