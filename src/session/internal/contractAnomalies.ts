import type { Mismatch } from "./contract.js"
import { plain, text } from "./contract.js"
import type { Entry, PlainRecord } from "./contractHistory.js"
import { idsOf, modelCallOf, shownBy } from "./contractHistory.js"
import type { Contradiction } from "./contractJudge.js"
import * as model from "./contractModel.js"

// What went wrong where no order of the operations explains an answer: the promise that was broken, and the few
// operations that show it.

export const promises = {
  lost: "processes: no acknowledged write is lost, and of two from the same version one wins",
  revived: "processes: what one has ended is live in no other again",
  stale: "processes: what one was told is done, the next read of any other shows",
  mark: "processes: no sign-in that verified its password before removeBySubject lands after it",
  order: "processes: all answers are those of some order of the operations, one after the other"
} as const

/** What is wrong, and the session it is about where it is about one. */
interface Finding {
  readonly promise: keyof typeof promises
  readonly id?: string | undefined
}

// -----------------------------------------------------------------------------
// What the entries tell of one session
// -----------------------------------------------------------------------------

const answerOf = ({ outcome }: Entry) => outcome?.answer

const isAfter = (entry: Entry, { outcome }: Entry): boolean => entry.invoked > (outcome?.answered ?? Infinity)

const isReadOf = ({ call, outcome }: Entry, id: string): boolean =>
  outcome !== null && (call.op === "listBySubject" || call.op === "find" && call.id === id)

const shownIn = (entry: Entry, id: string): PlainRecord | undefined => shownBy(entry).find((record) => record.id === id)

const showsLive = (entry: Entry, id: string): boolean => {
  const { call } = entry
  const isWritten = answerOf(entry) === true &&
    (call.op === "update" && call.record.id === id || call.op === "rotate" && call.id === id)
  return isWritten || shownIn(entry, id) !== undefined
}

/** Whether an operation changed a session, or may have. */
const mayChange = (entry: Entry, id: string): boolean => {
  const { call, outcome } = entry
  const isDone = outcome === null || outcome.answer !== false && outcome.answer !== "refused"
  switch (call.op) {
    case "find":
    case "listBySubject":
      return false
    case "removeBySubject":
      return call.except !== id
    default:
      return isDone && idsOf(call).includes(id)
  }
}

const mayCreate = ({ call, outcome }: Entry, id: string): boolean =>
  (call.op === "create" || call.op === "rotate") && call.record.id === id &&
  (outcome === null || outcome.answer === "created" || outcome.answer === true)

/** Whether a subject's sessions were all ended while this one was being created, for a password verified before. */
const isLateSignIn = (entries: ReadonlyArray<Entry>, id: string): boolean =>
  entries.some((entry) => {
    const { call } = entry
    return call.op === "create" && mayCreate(entry, id) && entries.some((end) =>
      end.call.op === "removeBySubject" && !isAfter(end, entry) && !isAfter(entry, end) &&
      call.record.authenticatedAt < end.now
    )
  })

// -----------------------------------------------------------------------------
// Naming
// -----------------------------------------------------------------------------

const heldIn = (state: model.State, id: string): PlainRecord | undefined => {
  const record = state.records.find((record) => record.id === id && model.isLive(state, record))
  return record === undefined ? undefined : plain(record) as PlainRecord
}

const writeFinding = (
  id: string,
  { entry, states }: Contradiction,
  entries: ReadonlyArray<Entry>
): Finding => {
  const isHeld = states.some((state) => heldIn(state, id) !== undefined)
  const wasThere = entries.some((other) => mayCreate(other, id) && !isAfter(other, entry))
  return { id, promise: isHeld ? "lost" : wasThere ? "revived" : "order" }
}

const readFinding = ({ entry, states }: Contradiction, entries: ReadonlyArray<Entry>): Finding => {
  const ids = entry.call.op === "find"
    ? [entry.call.id]
    : [...shownBy(entry), ...states.flatMap(({ records }) => records)].map(({ id }) => id)
  const id = ids.find((id) => states.every((state) => text(heldIn(state, id)) !== text(shownIn(entry, id))))
  if (id === undefined) {
    return { promise: "order" }
  }
  const shown = shownIn(entry, id)
  const held = states.map((state) => heldIn(state, id))
  const later = entries.filter((other) => isAfter(other, entry)).sort((a, b) => a.invoked - b.invoked)
  const next = later.find((other) => isReadOf(other, id))
  const isShownAgain = next !== undefined && text(shownIn(next, id)) === text(shown)
  if (shown === undefined) {
    return { id, promise: next === undefined || isShownAgain ? "lost" : "stale" }
  }
  if (!entries.some((other) => mayCreate(other, id) && !isAfter(other, entry))) {
    return { id, promise: "order" }
  }
  if (held.every((record) => record === undefined)) {
    return {
      id,
      promise: isLateSignIn(entries, id) ? "mark" : later.some((other) => showsLive(other, id)) ? "revived" : "stale"
    }
  }
  return held.some((record) => record !== undefined && shown.version > record.version)
    ? { id, promise: "order" }
    : { id, promise: isShownAgain ? "lost" : "stale" }
}

const findingOf = (contradiction: Contradiction, entries: ReadonlyArray<Entry>): Finding => {
  const { call } = contradiction.entry
  switch (call.op) {
    case "create":
      return { promise: answerOf(contradiction.entry) === "created" ? "mark" : "order" }
    case "update":
      return writeFinding(call.record.id, contradiction, entries)
    case "rotate":
      return writeFinding(call.id, contradiction, entries)
    default:
      return readFinding(contradiction, entries)
  }
}

// -----------------------------------------------------------------------------
// Telling
// -----------------------------------------------------------------------------

const nameOf = (id: string): string => `session ${id.slice(13, 21)}`

const written = ({ data, version }: PlainRecord): string => `version ${version}, data ${data}`

const describeCall = ({ call, now }: Entry): string => {
  switch (call.op) {
    case "create":
      return `create ${nameOf(call.record.id)}, verified ${now - call.record.authenticatedAt} ms before, ` +
        written(call.record)
    case "update":
      return `update ${nameOf(call.record.id)} of ${written(call.record)}`
    case "rotate":
      return `rotate ${nameOf(call.id)} to ${nameOf(call.record.id)} of ${written(call.record)}`
    case "touch":
      return `touch ${nameOf(call.id)} until ${call.deadline}`
    case "removeBySubject":
      return call.except === null ? "removeBySubject" : `removeBySubject except ${nameOf(call.except)}`
    case "listBySubject":
      return "listBySubject"
    default:
      return `${call.op} ${nameOf(call.id)}`
  }
}

const describeAnswer = (entry: Entry, id: string | undefined): string => {
  if (entry.outcome === null) {
    return "no answer"
  }
  const shown = shownBy(entry).filter((record) => id === undefined || record.id === id)
  return shown.length > 0
    ? `shows ${shown.map((record) => `${nameOf(record.id)} of ${written(record)}`).join("; ")}`
    : entry.call.op === "find" || entry.call.op === "listBySubject"
    ? `shows no ${id === undefined ? "session" : nameOf(id)}`
    : entry.outcome.answer === null
    ? "done"
    : String(entry.outcome.answer)
}

/** The instants are counted from the call whose answer is wrong. */
const describe = (entry: Entry, id: string | undefined, origin: number): string =>
  `worker ${entry.worker} from ${entry.invoked - origin} to ${
    entry.outcome === null ? "?" : entry.outcome.answered - origin
  }: ${describeCall(entry)}: ${describeAnswer(entry, id)}`

const most = 6

const evidence = (
  { id }: Finding,
  { entry }: Contradiction,
  entries: ReadonlyArray<Entry>
): ReadonlyArray<Entry> => {
  const ids = id === undefined ? idsOf(entry.call) : [id]
  const creation = id === undefined ? undefined : entries.find((other) => mayCreate(other, id))
  const before = entries
    .filter((other) => other !== entry && !isAfter(other, entry))
    .filter((other) => creation === undefined || !isAfter(creation, other))
    .filter((other) =>
      ids.length === 0 || entry.call.op === "create"
        ? other.call.op !== "find" && other.call.op !== "listBySubject" && other.call.op !== "touch"
        : ids.some((id) => mayChange(other, id))
    )
    .sort((a, b) => (a.outcome?.answered ?? a.invoked) - (b.outcome?.answered ?? b.invoked))
  const next = id === undefined
    ? undefined
    : entries.filter((other) => isAfter(other, entry) && (isReadOf(other, id) || showsLive(other, id)))
      .sort((a, b) => a.invoked - b.invoked)[0]
  return [...before.slice(-most), entry, ...(next === undefined ? [] : [next])]
}

const distinct = (values: ReadonlyArray<unknown>): unknown => {
  const different = Array.from(new Map(values.map((value) => [text(value), value])).values())
  return different.length === 1 ? different[0] : { oneOf: different }
}

/** A contradiction as a mismatch that a person can read. */
export const explain = (
  contradiction: Contradiction,
  entries: ReadonlyArray<Entry>
): Pick<Mismatch, "step" | "expected" | "actual" | "commands"> & { readonly promise: string } => {
  const { entry, states } = contradiction
  const finding = findingOf(contradiction, entries)
  const { id } = finding
  const isRead = entry.call.op === "find" || entry.call.op === "listBySubject"
  const [expected, actual] = isRead && id !== undefined
    ? [states.map((state) => heldIn(state, id) ?? null), shownIn(entry, id) ?? null]
    : [states.map((state) => model.next(state, modelCallOf(entry))[1]), answerOf(entry)]
  return {
    promise: promises[finding.promise],
    step: describe(entry, id, entry.invoked),
    expected: distinct(expected),
    actual,
    commands: evidence(finding, contradiction, entries).map((other) => describe(other, id, entry.invoked))
  }
}
