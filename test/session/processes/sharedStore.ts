// The store with the open state, for several processes whose clocks differ.
import { Effect } from "effect"
import type { SessionStore } from "effect-security"
import type { State } from "../contract/plainStore.js"
import { key, make } from "../contract/plainStore.js"

/** Of two marks the later one counts, whichever came first. */
export const makeShared = (): { readonly state: State; readonly store: SessionStore.Service } => {
  const { state, store } = make()
  return {
    state,
    store: {
      ...store,
      removeBySubject: (realm, subject, options) =>
        Effect.suspend(() => {
          const before = state.marks.get(key(realm, subject)) ?? -Infinity
          return Effect.tap(store.removeBySubject(realm, subject, options), () => {
            state.marks.set(key(realm, subject), Math.max(before, state.marks.get(key(realm, subject))!))
          })
        })
    }
  }
}
