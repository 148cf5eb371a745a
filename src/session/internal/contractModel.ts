import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SecurityUnavailable } from "../../SecurityError.js"
import type { Service, SessionRecord } from "../SessionStore.js"
import type { SessionId } from "../SessionToken.js"
import { changed, minute, plain, plains, text } from "./contract.js"

// A store in its plainest form: one value, and what each call makes of it. A real store has to answer as it does.

export type Call =
  | { readonly op: "create"; readonly record: SessionRecord }
  | { readonly op: "find"; readonly id: SessionId }
  | { readonly op: "update"; readonly record: SessionRecord }
  | { readonly op: "touch"; readonly id: SessionId; readonly deadline: number }
  | { readonly op: "rotate"; readonly id: SessionId; readonly record: SessionRecord }
  | { readonly op: "remove"; readonly id: SessionId }
  | {
    readonly op: "removeBySubject"
    readonly realm: string
    readonly subject: string
    readonly except: Option.Option<SessionId>
  }
  | { readonly op: "listBySubject"; readonly realm: string; readonly subject: string }
  | { readonly op: "removeExpired"; readonly limit: number }

/** The answer to a call as plain values, which can be compared. */
export type Answer = unknown

// -----------------------------------------------------------------------------
// The real store
// -----------------------------------------------------------------------------

export const ask = (store: Service, call: Call): Effect.Effect<Answer, SecurityUnavailable> => {
  switch (call.op) {
    case "create":
      return store.create(call.record).pipe(
        Effect.as("created"),
        Effect.catchTag("SessionRefused", () => Effect.succeed("refused"))
      )
    case "find":
      return Effect.map(store.find(call.id), (found) => Option.getOrNull(Option.map(found, plain)))
    case "update":
      return store.update(call.record)
    case "touch":
      return Effect.as(store.touch(call.id, call.deadline), null)
    case "rotate":
      return store.rotate(call.id, call.record)
    case "remove":
      return Effect.as(store.remove(call.id), null)
    case "removeBySubject":
      return Effect.as(store.removeBySubject(call.realm, call.subject, { except: call.except }), null)
    case "listBySubject":
      return Effect.map(store.listBySubject(call.realm, call.subject), plains)
    case "removeExpired":
      return store.removeExpired(call.limit)
  }
}

// -----------------------------------------------------------------------------
// The model
// -----------------------------------------------------------------------------

export interface State {
  readonly now: number
  readonly records: ReadonlyArray<SessionRecord>
  readonly marks: ReadonlyArray<{ readonly realm: string; readonly subject: string; readonly at: number }>
}

export const empty = (now: number): State => ({ now, records: [], marks: [] })

export const isLive = ({ now }: State, { absoluteDeadline, idleDeadline }: SessionRecord): boolean =>
  now < idleDeadline && now < absoluteDeadline

export const liveRecord = (state: State, id: SessionId): SessionRecord | undefined =>
  state.records.find((record) => record.id === id && isLive(state, record))

const without = (state: State, isGone: (_: SessionRecord) => boolean): State => ({
  ...state,
  records: state.records.filter((record) => !isGone(record))
})

const replace = (state: State, current: SessionRecord, changes: Partial<SessionRecord>): State => ({
  ...state,
  records: state.records.map((record) => record === current ? changed(record, changes) : record)
})

const isRefused = ({ marks, now }: State, { authenticatedAt, realm, subject }: SessionRecord): boolean =>
  marks.some((mark) =>
    mark.realm === realm && mark.subject === subject && now < mark.at + 10 * minute && authenticatedAt < mark.at
  )

/**
 * What a call makes of the state, and its answer. The answer to `removeExpired` is left open: how much is there to
 * remove depends on what others have left behind.
 */
export const next = (state: State, call: Call): readonly [State, Answer] => {
  switch (call.op) {
    case "create":
      return isRefused(state, call.record)
        ? [state, "refused"]
        : [{ ...state, records: [...state.records, call.record] }, "created"]
    case "find": {
      const found = liveRecord(state, call.id)
      return [state, found === undefined ? null : plain(found)]
    }
    case "update": {
      const current = liveRecord(state, call.record.id)
      if (current === undefined || current.version !== call.record.version) {
        return [state, false]
      }
      const { data, schemaVersion, version } = call.record
      return [replace(state, current, { data, schemaVersion, version: version + 1 }), true]
    }
    case "touch": {
      const current = liveRecord(state, call.id)
      if (current === undefined) {
        return [state, null]
      }
      const idleDeadline = Math.max(current.idleDeadline, call.deadline)
      return [replace(state, current, { lastSeenAt: state.now, idleDeadline }), null]
    }
    case "rotate": {
      const current = liveRecord(state, call.id)
      if (current === undefined || current.version !== call.record.version) {
        return [state, false]
      }
      const left = without(state, ({ id }) => id === call.id)
      return [{ ...left, records: [...left.records, call.record] }, true]
    }
    case "remove":
      return [without(state, ({ id }) => id === call.id), null]
    case "removeBySubject": {
      const { except, realm, subject } = call
      const left = without(
        state,
        (record) => record.realm === realm && record.subject === subject && !Option.contains(except, record.id)
      )
      return [{ ...left, marks: [...left.marks, { realm, subject, at: state.now }] }, null]
    }
    case "listBySubject":
      return [
        state,
        plains(
          state.records.filter((record) =>
            record.realm === call.realm && record.subject === call.subject && isLive(state, record)
          )
        )
      ]
    case "removeExpired":
      return [state, "at most the limit"]
  }
}

/** Whether an answer is the one that the model gives. */
export const agrees = (call: Call, actual: Answer, expected: Answer): boolean =>
  call.op === "removeExpired"
    ? Number.isSafeInteger(actual) && Number(actual) >= 0 && Number(actual) <= call.limit
    : text(actual) === text(expected)

// -----------------------------------------------------------------------------
// Linearizability
// -----------------------------------------------------------------------------

/** A call of a history. `called` and `answered` count the events of all calls, in the order in which they were seen. */
export interface Entry {
  readonly call: Call
  readonly answer: Answer
  readonly called: number
  readonly answered: number
}

/**
 * The states in which the model may be after a history, none when no order of its calls explains all answers. A call
 * that was answered before another was called comes before it; any other two may come in either order.
 *
 * Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), without visiting a state twice.
 */
export const linearize = (begin: ReadonlyArray<State>, history: ReadonlyArray<Entry>): ReadonlyArray<State> => {
  const ends = new Map<string, State>()
  const visited = new Set<string>()
  const visit = (state: State, left: ReadonlyArray<Entry>): void => {
    const key = text([state, left.map(({ called }) => called)])
    if (visited.has(key)) {
      return
    }
    visited.add(key)
    if (left.length === 0) {
      ends.set(key, state)
      return
    }
    const firstAnswer = Math.min(...left.map(({ answered }) => answered))
    for (const entry of left.filter(({ called }) => called < firstAnswer)) {
      const [after, answer] = next(state, entry.call)
      if (agrees(entry.call, entry.answer, answer)) {
        visit(after, left.filter((other) => other !== entry))
      }
    }
  }
  begin.forEach((state) => visit(state, history))
  return Array.from(ends.values())
}
