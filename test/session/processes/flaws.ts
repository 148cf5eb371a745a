// Stores that keep their promises to one after the other, and break them to several beside each other.
import { Effect, Option } from "effect"
import { SessionStore } from "effect-security"
import type { State } from "../contract/plainStore.js"
import { changed, isLive, key, make, step } from "../contract/plainStore.js"

type Record = SessionStore.SessionRecord
type Service = SessionStore.Service

export type Anomaly = "lost" | "revived" | "stale" | "mark" | "order"

interface Flaw {
  readonly title: string
  /** Where it shows depends on who looks first. */
  readonly shows: ReadonlyArray<Anomaly>
  /** What one process does, over what all share. */
  readonly change: (store: Service, state: State) => Partial<Service>
}

/** For each process its store. */
export const broken = ({ change }: Flaw): (worker: number) => Service => {
  const { state, store } = make()
  return () => ({ ...store, ...change(store, state) })
}

const others = Effect.repeatN(Effect.yieldNow(), 5)

/** Looks, lets others run, and then does as if nothing had happened. */
const hesitates = <A, B>(look: Effect.Effect<A>, act: (seen: A) => B) =>
  Effect.flatMap(Effect.zipLeft(look, others), (seen) => Effect.sync(() => act(seen)))

const sameVersion = (current: Record | undefined, version: number, now: number): current is Record =>
  current !== undefined && isLive(current, now) && current.version === version

/** Answers what it last knew, the more often the more it holds. */
const cached = <K, A>(lookUp: (key: K) => Effect.Effect<A, never>, uses: number) => {
  const cache = new Map<K, { readonly value: A; left: number }>()
  return (key: K) =>
    Effect.suspend(() => {
      const hit = cache.get(key)
      if (hit !== undefined && hit.left > 0) {
        hit.left--
        return Effect.succeed(hit.value)
      }
      return Effect.tap(lookUp(key), (value) => cache.set(key, { value, left: uses }))
    })
}

export const flaws: ReadonlyArray<Flaw> = [
  {
    title: "update compares, and later sets",
    shows: ["lost", "revived"],
    change: (_, { records }) => ({
      update: ({ data, id, schemaVersion, version }) =>
        hesitates(step((now) => [records.get(id), now] as const), ([current, now]) => {
          const isSame = sameVersion(current, version, now)
          if (isSame) {
            records.set(id, changed(current, { data, schemaVersion, version: version + 1 }))
          }
          return isSame
        })
    })
  },
  {
    title: "update compares nothing",
    shows: ["lost"],
    change: (_, { records }) => ({
      update: ({ data, id, schemaVersion }) =>
        step((now) => {
          const current = records.get(id)
          const isThere = current !== undefined && isLive(current, now)
          if (isThere) {
            records.set(id, changed(current, { data, schemaVersion, version: current.version + 1 }))
          }
          return isThere
        })
    })
  },
  {
    title: "update says that it lost, and has written",
    shows: ["order", "lost"],
    change: (store) => {
      let updates = 0
      return { update: (record) => Effect.map(store.update(record), (won) => won && updates++ % 5 !== 4) }
    }
  },
  {
    title: "update says that it won, and has not written",
    shows: ["lost", "stale"],
    change: (store, { records }) => {
      let updates = 0
      return {
        update: (record) =>
          Effect.suspend(() => {
            const before = records.get(record.id)
            return Effect.tap(store.update(record), (won) => {
              if (won && updates++ % 5 === 4) {
                records.set(record.id, before!)
              }
            })
          })
      }
    }
  },
  {
    title: "touch writes back all that it has read",
    shows: ["lost", "revived", "stale"],
    change: (_, { records }) => ({
      touch: (id, deadline) =>
        hesitates(step((now) => [records.get(id), now] as const), ([current, now]) => {
          if (current !== undefined && isLive(current, now)) {
            const idleDeadline = Math.max(current.idleDeadline, deadline)
            records.set(id, changed(current, { lastSeenAt: now, idleDeadline }))
          }
        })
    })
  },
  {
    title: "touch is not written",
    shows: ["lost", "stale"],
    change: (store) => {
      let touches = 0
      return { touch: (id, deadline) => touches++ % 5 === 4 ? Effect.void : store.touch(id, deadline) }
    }
  },
  {
    title: "create is not written",
    shows: ["lost"],
    change: (store, { records }) => {
      let creates = 0
      return {
        create: (record) =>
          Effect.tap(store.create(record), () => {
            if (creates++ % 5 === 4) {
              records.delete(record.id)
            }
          })
      }
    }
  },
  {
    title: "each process finds what it has cached",
    shows: ["stale", "revived", "lost"],
    change: (store) => ({ find: cached((id) => Effect.orDie(store.find(id)), 1) })
  },
  {
    title: "each process lists what it has cached",
    shows: ["stale", "revived", "lost"],
    change: (store) => {
      const list = cached((key: string) => {
        const [realm, subject] = JSON.parse(key)
        return Effect.orDie(store.listBySubject(realm, subject))
      }, 1)
      return { listBySubject: (realm, subject) => list(key(realm, subject)) }
    }
  },
  {
    title: "reads are asked of a replica that is behind",
    shows: ["stale", "lost", "revived"],
    change: (store, { records }) => {
      let behind = new Map(records)
      let reads = 0
      return {
        find: (id) =>
          step((now) => {
            if (reads++ % 2 === 0) {
              behind = new Map(records)
            }
            return Option.filter(Option.fromNullable(behind.get(id)), (record) => isLive(record, now))
          }),
        listBySubject: store.listBySubject
      }
    }
  },
  {
    title: "remove answers before it is done",
    shows: ["stale", "revived"],
    change: (store) => ({
      remove: (id) => Effect.asVoid(Effect.forkDaemon(Effect.zipRight(Effect.repeatN(others, 4), store.remove(id))))
    })
  },
  {
    title: "a late write undoes a removal",
    shows: ["revived", "stale", "lost"],
    change: (store, { records }) => ({
      update: (record) =>
        Effect.flatMap(store.update(record), (won) =>
          won
            ? Effect.suspend(() => {
              const written = records.get(record.id)!
              return Effect.as(Effect.tap(others, () => records.set(record.id, written)), true)
            })
            : Effect.succeed(false))
    })
  },
  {
    title: "rotate leaves the old one",
    shows: ["revived", "stale"],
    change: (store, { records }) => ({
      rotate: (id, record) =>
        Effect.suspend(() => {
          const old = records.get(id)
          return Effect.tap(store.rotate(id, record), (won) => won && records.set(id, old!))
        })
    })
  },
  {
    title: "rotate creates the new one first, and then removes the old one",
    shows: ["order", "stale", "revived", "lost"],
    change: (_, { records }) => ({
      rotate: (id, record) =>
        step((now) => sameVersion(records.get(id), record.version, now)).pipe(
          Effect.tap((won) => won && records.set(record.id, record)),
          Effect.zipLeft(others),
          Effect.tap((won) => won && records.delete(id))
        )
    })
  },
  {
    title: "two rotates of one session both win",
    shows: ["lost", "revived", "stale", "order"],
    change: (_, { records }) => ({
      rotate: (id, record) =>
        hesitates(step((now) => sameVersion(records.get(id), record.version, now)), (won) => {
          if (won) {
            records.delete(id)
            records.set(record.id, record)
          }
          return won
        })
    })
  },
  {
    title: "create looks for no mark",
    shows: ["mark"],
    change: (_, { records }) => ({ create: (record) => step(() => void records.set(record.id, record)) })
  },
  {
    title: "create looks for a mark, and later creates",
    shows: ["mark", "stale", "revived"],
    change: (_, { marks, records }) => ({
      create: (record) =>
        Effect.flatten(
          hesitates(
            step(() => (marks.get(key(record.realm, record.subject)) ?? -1) > record.authenticatedAt),
            (isLate) => {
              if (isLate) {
                return Effect.fail(new SessionStore.SessionRefused())
              }
              records.set(record.id, record)
              return Effect.void
            }
          )
        )
    })
  },
  {
    title: "each process knows only the marks that it has left itself",
    shows: ["mark"],
    change: (store, shared) => {
      const own = make()
      return {
        create: (record) =>
          Effect.zipRight(
            own.store.create(record),
            step(() => void shared.records.set(record.id, record))
          ),
        removeBySubject: (realm, subject, options) =>
          Effect.zipRight(
            own.store.removeBySubject(realm, subject, options),
            store.removeBySubject(realm, subject, options)
          )
      }
    }
  },
  {
    title: "removeBySubject lists, and then ends one after the other",
    shows: ["order", "revived", "stale", "lost"],
    change: (store, { marks }) => ({
      removeBySubject: (realm, subject, options) =>
        Effect.gen(function*() {
          yield* step((now) => void marks.set(key(realm, subject), now))
          for (const { id } of yield* store.listBySubject(realm, subject)) {
            if (!Option.contains(options.except, id)) {
              yield* others
              yield* store.remove(id)
            }
          }
        })
    })
  },
  {
    title: "removeBySubject ends the excepted one too",
    shows: ["lost"],
    change: (store) => ({
      removeBySubject: (realm, subject) => store.removeBySubject(realm, subject, { except: Option.none() })
    })
  }
]
