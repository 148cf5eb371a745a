import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as columnText from "../../../internal/columnText.js"
import { SessionRecord } from "../../SessionStore.js"
import type { SessionId } from "../../SessionToken.js"

// A record is a hash of texts. Numbers are written out in decimals: what Lua or JSON would make of 8640000000000000 is
// another text, or another number.

/** The fields of a hash in the order in which they are asked for. `subject` is absent for a session without one. */
export const fields = [
  "realm",
  "subject",
  "data",
  "schemaVersion",
  "version",
  "createdAt",
  "authenticatedAt",
  "lastSeenAt",
  "idleDeadline",
  "absoluteDeadline",
  "remember",
  "userAgent"
] as const

type Values = ReadonlyArray<string | null | undefined>

/** What comes from outside may have half of a character in it, which UTF-8 does not keep; data is JSON text. */
const toText = (name: typeof fields[number], value: string | number): string =>
  name === "realm" || name === "subject" || name === "userAgent" ? columnText.escape(String(value)) : String(value)

const fromText = (text: string): Option.Option<string> => Either.getRight(Either.try(() => columnText.unescape(text)))

/** Names and values, one after the other. `index` is the name of the subject's index after what all indexes share. */
export const encode = (record: SessionRecord, index: string | undefined): Array<string> => [
  ...fields.flatMap((name) => {
    const value = record[name]
    return value === null ? [] : [name, typeof value === "boolean" ? (value ? "1" : "0") : toText(name, value)]
  }),
  ...(index === undefined ? [] : ["index", index])
]

export const deadlineOf = ({ absoluteDeadline, idleDeadline }: SessionRecord): number =>
  Math.min(idleDeadline, absoluteDeadline)

const integer = (text: string | null | undefined): number | undefined => {
  const value = text === null || text === undefined || text === "" ? Number.NaN : Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** Whether a hash is there at all. */
export const isPresent = (values: Values): boolean => values.some((value) => typeof value === "string")

/** None where a hash is not one that this module wrote. */
export const decode = (id: SessionId, values: Values): Option.Option<SessionRecord> => {
  const [data, ...rest] = values.slice(2)
  const [remember] = rest.slice(-2)
  const texts = Option.all(
    [values[0], values[1] ?? "", rest.at(-1)].map((text) => Option.flatMap(Option.fromNullable(text), fromText))
  )
  const numbers = rest.slice(0, -2).map(integer)
  const isWhole = values.length === fields.length && typeof data === "string" &&
    (remember === "0" || remember === "1") && numbers.every((value) => value !== undefined)
  if (!isWhole || Option.isNone(texts)) return Option.none()
  const [realm, subject, userAgent] = texts.value as [string, string, string]
  const [schemaVersion, version, createdAt, authenticatedAt, lastSeenAt, idleDeadline, absoluteDeadline] =
    numbers as Array<number>
  return Option.some(
    new SessionRecord({
      id,
      realm,
      subject: typeof values[1] === "string" ? subject : null,
      data,
      schemaVersion: schemaVersion!,
      version: version!,
      createdAt: createdAt!,
      authenticatedAt: authenticatedAt!,
      lastSeenAt: lastSeenAt!,
      idleDeadline: idleDeadline!,
      absoluteDeadline: absoluteDeadline!,
      remember: remember === "1",
      userAgent
    }, { disableValidation: true })
  )
}
