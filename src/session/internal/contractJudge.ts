import { plains, text } from "./contract.js"
import type { Entry } from "./contractHistory.js"
import { idsOf, modelCallOf } from "./contractHistory.js"
import * as model from "./contractModel.js"

// Whether a history of one owner's sessions is that of some order of its operations, each done at one moment between
// its call and its answer.
//
// The calls and answers are read in the order of their instants. A configuration is a state in which the model may be,
// with those operations under way that are done in it already. An answer leaves the configurations in which its
// operation can be done and gives that answer; the history is wrong at the first answer that leaves none. See Wing and
// Gong, "Testing and Verifying Concurrent Objects" (1993), and Lowe, "Testing for Linearizability" (2016).

interface Operation {
  readonly entry: Entry
  readonly call: model.Call
  readonly ids: ReadonlyArray<string>
  readonly begins: number
  readonly ends: number
}

interface Configuration {
  readonly state: model.State
  readonly key: string
  readonly done: ReadonlySet<Operation>
}

/** The answer that no order explains, and the states in which the model may have been when it was given. */
export interface Contradiction {
  readonly entry: Entry
  readonly states: ReadonlyArray<model.State>
}

/** A call that names no session is about all of the owner. */
const areRelated = (a: Operation, b: Operation): boolean =>
  a.ids.length === 0 || b.ids.length === 0 || a.ids.some((id) => b.ids.includes(id))

/**
 * The operations that may have to be done before this one: those about its sessions, and those about theirs. The order
 * of any others makes no difference.
 */
const relevantTo = (operation: Operation, pending: ReadonlySet<Operation>): ReadonlyArray<Operation> => {
  const found = [operation]
  for (const known of found) {
    for (const other of pending) {
      if (!found.includes(other) && areRelated(known, other)) {
        found.push(other)
      }
    }
  }
  return found
}

/** Marks are weighed by the latest, and records stand in no order. */
const normal = ({ marks, records }: model.State): model.State => ({
  now: 0,
  records: [...records].sort((a, b) => a.id < b.id ? -1 : 1),
  marks: marks.length < 2 ? marks : [marks.reduce((latest, mark) => mark.at > latest.at ? mark : latest)]
})

const configuration = (state: model.State, done: ReadonlySet<Operation>): Configuration => ({
  state,
  key: text([plains(state.records), state.marks]),
  done
})

const isSubset = <A>(a: ReadonlySet<A>, b: ReadonlySet<A>): boolean =>
  a.size <= b.size && Array.from(a).every((member) => b.has(member))

/**
 * Configurations without those that another makes needless: where the state is the same, an operation whose answer
 * never came had better not be done yet, since it need not be done at all.
 */
const makeFrontier = () => {
  const byKey = new Map<string, Array<Configuration>>()
  const keyOf = ({ done, key }: Configuration) => {
    const answered = Array.from(done).filter(({ entry }) => entry.outcome !== null)
    return `${key} ${answered.map(({ entry }) => `${entry.worker}.${entry.number}`).sort().join()}`
  }
  return {
    add: (candidate: Configuration): boolean => {
      const key = keyOf(candidate)
      const known = byKey.get(key) ?? []
      if (known.some(({ done }) => isSubset(done, candidate.done))) {
        return false
      }
      byKey.set(key, [...known, candidate])
      return true
    },
    all: (): ReadonlyArray<Configuration> => Array.from(byKey.values()).flat()
  }
}

/** The operation done in a configuration, or undefined where it cannot be. */
const perform = (from: Configuration, operation: Operation): Configuration | undefined => {
  const { call, entry } = operation
  const [after, answer] = model.next({ ...from.state, now: entry.now }, call)
  const done = () => configuration(normal(after), new Set([...from.done, operation]))
  if (entry.outcome !== null) {
    return model.agrees(call, entry.outcome.answer, answer) ? done() : undefined
  }
  const changed = done()
  return changed.key === from.key ? undefined : changed
}

const isRead = ({ call }: Operation) => call.op === "find" || call.op === "listBySubject"

const advance = (
  configurations: ReadonlyArray<Configuration>,
  operation: Operation,
  pending: ReadonlySet<Operation>
): { readonly after: ReadonlyArray<Configuration>; readonly seen: ReadonlyArray<Configuration> } => {
  const candidates = relevantTo(operation, pending)
  const visited = makeFrontier()
  const after = makeFrontier()
  const queue = configurations.filter(visited.add)
  const seen: Array<Configuration> = []
  for (const from of queue) {
    if (from.done.has(operation)) {
      after.add({ ...from, done: new Set(Array.from(from.done).filter((other) => other !== operation)) })
      continue
    }
    seen.push(from)
    const direct = perform(from, operation)
    if (direct !== undefined) {
      after.add({ ...direct, done: from.done })
      // What could be done before a read can as well be done after it.
      if (isRead(operation)) {
        continue
      }
    }
    for (const other of candidates) {
      if (other !== operation && !from.done.has(other)) {
        const to = perform(from, other)
        if (to !== undefined && visited.add(to)) {
          queue.push(to)
        }
      }
    }
  }
  return { after: after.all(), seen }
}

/** Undefined when some order of the operations explains all answers. */
export const judge = (entries: ReadonlyArray<Entry>): Contradiction | undefined => {
  const operations = entries.map((entry): Operation => ({
    entry,
    call: modelCallOf(entry),
    ids: idsOf(entry.call),
    begins: entry.invoked,
    ends: entry.outcome?.answered ?? Infinity
  }))
  // At the same instant a call comes first, so that the two are beside each other.
  const events = [
    ...operations.map((operation) => ({ operation, at: operation.begins, isCall: true })),
    ...operations.filter(({ ends }) => ends < Infinity)
      .map((operation) => ({ operation, at: operation.ends, isCall: false }))
  ].sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall))

  const pending = new Set<Operation>()
  let configurations: ReadonlyArray<Configuration> = [configuration(model.empty(0), new Set())]
  for (const { isCall, operation } of events) {
    if (isCall) {
      // A read without an answer says nothing and changes nothing.
      if (operation.entry.outcome !== null || !isRead(operation)) {
        pending.add(operation)
      }
      continue
    }
    const { after, seen } = advance(configurations, operation, pending)
    if (after.length === 0) {
      return { entry: operation.entry, states: seen.map(({ state }) => ({ ...state, now: operation.entry.now })) }
    }
    pending.delete(operation)
    configurations = after
  }
  return undefined
}
