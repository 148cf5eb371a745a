import * as Option from "effect/Option"
import { SessionRecord } from "../SessionStore.js"
import type { SessionId } from "../SessionToken.js"
import type * as model from "./contractModel.js"

// What several processes asked of one store and what it answered, as plain JSON data: it travels between them.

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/** A record as JSON. */
export type PlainRecord = typeof SessionRecord.Encoded

export type Call =
  | { readonly op: "create" | "update"; readonly record: PlainRecord }
  | { readonly op: "find" | "remove"; readonly id: string }
  | { readonly op: "touch"; readonly id: string; readonly deadline: number }
  | { readonly op: "rotate"; readonly id: string; readonly record: PlainRecord }
  | { readonly op: "removeBySubject"; readonly except: string | null }
  | { readonly op: "listBySubject" }

export type Answer = null | boolean | "created" | "refused" | PlainRecord | ReadonlyArray<PlainRecord>

export interface Entry {
  readonly worker: number
  readonly number: number
  readonly realm: string
  readonly subject: string | null
  readonly now: number
  readonly call: Call
  readonly invoked: number
  readonly outcome: { readonly answered: number; readonly answer: Answer } | null
}

export type History = ReadonlyArray<Entry>

// -----------------------------------------------------------------------------
// Conversions
// -----------------------------------------------------------------------------

export interface Owner {
  readonly realm: string
  readonly subject: string | null
}

export const callOf = (call: model.Call): Call => {
  switch (call.op) {
    case "create":
    case "update":
      return { op: call.op, record: { ...call.record } }
    case "find":
    case "remove":
      return { op: call.op, id: call.id }
    case "touch":
      return { op: "touch", id: call.id, deadline: call.deadline }
    case "rotate":
      return { op: "rotate", id: call.id, record: { ...call.record } }
    case "removeBySubject":
      return { op: "removeBySubject", except: Option.getOrNull(call.except) }
    default:
      return { op: "listBySubject" }
  }
}

const recordOf = (record: PlainRecord): SessionRecord =>
  new SessionRecord({ ...record, id: record.id as SessionId }, { disableValidation: true })

/** A call as the model takes it. Sessions without a subject are neither listed nor ended together. */
export const modelCallOf = ({ call, realm, subject }: Entry): model.Call => {
  switch (call.op) {
    case "create":
    case "update":
      return { op: call.op, record: recordOf(call.record) }
    case "find":
    case "remove":
      return { op: call.op, id: call.id as SessionId }
    case "touch":
      return { op: "touch", id: call.id as SessionId, deadline: call.deadline }
    case "rotate":
      return { op: "rotate", id: call.id as SessionId, record: recordOf(call.record) }
    case "removeBySubject":
      return {
        op: "removeBySubject",
        realm,
        subject: subject!,
        except: Option.fromNullable(call.except as SessionId | null)
      }
    case "listBySubject":
      return { op: "listBySubject", realm, subject: subject! }
  }
}

/** The sessions that a call names; none where it is about all of a subject. */
export const idsOf = (call: Call): ReadonlyArray<string> => {
  switch (call.op) {
    case "create":
    case "update":
      return [call.record.id]
    case "find":
    case "remove":
    case "touch":
      return [call.id]
    case "rotate":
      return [call.id, call.record.id]
    case "removeBySubject":
    case "listBySubject":
      return []
  }
}

/** What an answer shows to be live: the sessions of a list, or the one that was found. */
export const shownBy = ({ call, outcome }: Entry): ReadonlyArray<PlainRecord> =>
  outcome === null || outcome.answer === null || typeof outcome.answer !== "object"
    ? []
    : call.op === "listBySubject"
    ? outcome.answer as ReadonlyArray<PlainRecord>
    : [outcome.answer as PlainRecord]

/** One entry for each operation: what was known of it when it began gives way to what was known when it had ended. */
export const merge = (histories: ReadonlyArray<History>): ReadonlyArray<Entry> => {
  const entries = new Map<string, Entry>()
  for (const entry of histories.flat()) {
    const key = `${entry.worker}.${entry.number}`
    if ((entries.get(key)?.outcome ?? null) === null) {
      entries.set(key, entry)
    }
  }
  return Array.from(entries.values())
}

/** No operation is about the sessions of more than one owner, so that each owner's can be judged alone. */
export const byOwner = (entries: ReadonlyArray<Entry>): ReadonlyArray<ReadonlyArray<Entry>> => {
  const groups = new Map<string, Array<Entry>>()
  for (const entry of entries) {
    const key = JSON.stringify([entry.realm, entry.subject])
    const group = groups.get(key)
    if (group === undefined) {
      groups.set(key, [entry])
    } else {
      group.push(entry)
    }
  }
  return Array.from(groups.values())
}
