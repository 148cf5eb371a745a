import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** What a sealed cookie holds. All times are milliseconds since 1970. */
export interface Payload {
  readonly subject: string
  /** The encoded session as JSON text, and the version of the schema that encoded it. */
  readonly data: string
  readonly schemaVersion: number
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly idleDeadline: number
  readonly absoluteDeadline: number
  readonly remember: boolean
  /** The epoch of the subject in which the session began: 0 where there are none. */
  readonly epoch: number
}

// A list on a line of its own before the data, which then needs no second layer of quotes: a cookie is small.
const Head = Schema.parseJson(Schema.Tuple(
  Schema.String,
  Schema.Int,
  Schema.Int,
  Schema.Int,
  Schema.Int,
  Schema.Int,
  Schema.Boolean,
  Schema.Int
))

const encodeHead = Schema.encodeSync(Head)
const decodeHead = Schema.decodeOption(Head)

/** Of a time until the year 2286, and of an epoch. */
const digits = 13

/** What the times and the epoch may grow by when a session is sealed anew: it is to fit again. */
const spare = ({ absoluteDeadline, createdAt, epoch, idleDeadline, lastSeenAt }: Payload): string =>
  [createdAt, lastSeenAt, idleDeadline, absoluteDeadline, epoch]
    .map((number) => " ".repeat(Math.max(0, digits - String(number).length)))
    .join("")

export const toText = (payload: Payload): string =>
  `${
    encodeHead([
      payload.subject,
      payload.schemaVersion,
      payload.createdAt,
      payload.lastSeenAt,
      payload.idleDeadline,
      payload.absoluteDeadline,
      payload.remember,
      payload.epoch
    ])
  }${spare(payload)}\n${payload.data}`

/** `None` for what no version of this library has written. */
export const fromText = (text: string): Option.Option<Payload> => {
  const end = text.indexOf("\n")
  return Option.map(
    decodeHead(text.slice(0, Math.max(0, end))),
    ([subject, schemaVersion, createdAt, lastSeenAt, idleDeadline, absoluteDeadline, remember, epoch]) => ({
      subject,
      data: text.slice(end + 1),
      schemaVersion,
      createdAt,
      lastSeenAt,
      idleDeadline,
      absoluteDeadline,
      remember,
      epoch
    })
  )
}
