import * as Schema from "effect/Schema"
import { SessionId } from "../../SessionToken.js"
import { markMillis } from "../policy.js"

// What is known of the subjects that share a tag, which is one as a rule, as one plain value. It is the authority: a
// session that is not in it is over, whatever else is stored.

const Subject = Schema.Struct({
  realm: Schema.String,
  /** Null for a session without one, which shares its tag with no other. */
  subject: Schema.NullOr(Schema.String),
  /** When all its sessions were ended, as long as that matters. */
  mark: Schema.NullOr(Schema.Int),
  ids: Schema.Array(SessionId)
})

export const Subjects = Schema.Array(Subject)

type Subject = typeof Subject.Type
export type Subjects = typeof Subjects.Type

interface Owner {
  readonly realm: string
  readonly subject: string | null
}

export const none: Subjects = []

export const find = (subjects: Subjects, { realm, subject }: Owner): Subject =>
  subjects.find((other) => other.realm === realm && other.subject === subject) ??
    { realm, subject, mark: null, ids: [] }

export const has = (subjects: Subjects, id: SessionId): boolean => subjects.some(({ ids }) => ids.includes(id))

/** When a mark that is made now is over. */
export const markEnd = (now: number): number => now + markMillis

const isMarkOver = (mark: number, now: number) => markEnd(mark) <= now

/** Without the marks that are over, and without the subjects of which nothing is left to know. */
export const prune = (subjects: Subjects, now: number): Subjects =>
  subjects
    .map((subject) => subject.mark !== null && isMarkOver(subject.mark, now) ? { ...subject, mark: null } : subject)
    .filter(({ ids, mark }) => mark !== null || ids.length > 0)

const put = (subjects: Subjects, subject: Subject): Subjects => [
  ...subjects.filter((other) => other.realm !== subject.realm || other.subject !== subject.subject),
  subject
]

export const remove = (subjects: Subjects, id: SessionId): Subjects =>
  subjects.map((subject) => ({ ...subject, ids: subject.ids.filter((other) => other !== id) }))

export const add = (subjects: Subjects, owner: Owner, id: SessionId): Subjects => {
  const left = remove(subjects, id)
  const subject = find(left, owner)
  return put(left, { ...subject, ids: [...subject.ids, id] })
}

/** All its sessions end but those that stay. */
export const end = (subjects: Subjects, owner: Owner, stays: (_: SessionId) => boolean, now: number): Subjects => {
  const subject = find(subjects, owner)
  return put(subjects, { ...subject, mark: Math.max(subject.mark ?? now, now), ids: subject.ids.filter(stays) })
}

/** Whether a password that was verified then is too old to sign in with now. */
export const isRefused = (
  subjects: Subjects,
  owner: Owner & { readonly authenticatedAt: number },
  now: number
): boolean => {
  const { mark } = find(subjects, owner)
  return mark !== null && !isMarkOver(mark, now) && owner.authenticatedAt < mark
}

/** When the last of the marks is over, or undefined where there is none. */
export const lastMarkEnd = (subjects: Subjects): number | undefined => {
  const marks = subjects.flatMap(({ mark }) => mark === null ? [] : [mark])
  return marks.length === 0 ? undefined : markEnd(Math.max(...marks))
}
