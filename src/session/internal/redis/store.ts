import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import type { Service, SessionRecord } from "../../SessionStore.js"
import { SessionRefused } from "../../SessionStore.js"
import type { SessionId } from "../../SessionToken.js"
import * as SessionToken from "../../SessionToken.js"
import { isLive } from "../policy.js"
import type { Connection } from "./connection.js"
import { run } from "./connection.js"
import * as expired from "./expired.js"
import * as failure from "./failure.js"
import type { Keys } from "./keys.js"
import * as record from "./record.js"
import * as scripts from "./scripts.js"

type Fields = ReadonlyArray<string | null>

const read = (id: SessionId, fields: Fields): Effect.Effect<SessionRecord, SecurityUnavailable> =>
  Option.match(record.decode(id, fields), {
    onNone: () => Effect.fail(failure.unreadable("a session")),
    onSome: Effect.succeed
  })

/** All that belongs to a subject lies in one slot, as its tag says. */
const requireTag = ({ id, realm, subject }: SessionRecord): Effect.Effect<void> =>
  SessionToken.belongsTo(id, realm, subject)
    ? Effect.void
    : Effect.dieMessage("SessionStoreRedis: the id of a session has the tag of its subject, as SessionToken.make gives")

export const make = (connection: Connection, keys: Keys): Service => {
  const ownKeys = ({ realm, subject }: SessionRecord) => subject === null ? undefined : keys.subject(realm, subject)

  const asked = (script: scripts.Script, names: ReadonlyArray<string>, args: ReadonlyArray<string | number> = []) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => run(connection, script, names, [now, ...args]))

  const won = (answer: Effect.Effect<unknown, SecurityUnavailable>) => Effect.map(answer, (answer) => answer === 1)

  const indexesOf = (id: SessionId) => keys.indexes(SessionToken.tagOfId(id))
  const sessionsOf = (id: SessionId) => keys.sessions(SessionToken.tagOfId(id))

  return {
    create: (given) =>
      Effect.zipRight(
        requireTag(given),
        Effect.suspend(() => {
          const own = ownKeys(given)
          return asked(
            scripts.create,
            [
              keys.session(given.id),
              sessionsOf(given.id),
              indexesOf(given.id),
              ...(own === undefined ? [] : [own.index, own.mark])
            ],
            [given.id, record.deadlineOf(given), given.authenticatedAt, ...record.encode(given, own?.digest)]
          )
        })
      ).pipe(won, Effect.flatMap((created) => created ? Effect.void : Effect.fail(new SessionRefused()))),
    find: (id) =>
      Effect.flatMap(
        connection.ask((client) => client.hmget(keys.session(id), ...record.fields)),
        (fields) =>
          record.isPresent(fields)
            ? Effect.flatMap(
              read(id, fields),
              (found) =>
                Effect.map(Clock.currentTimeMillis, (now) => isLive(found, now) ? Option.some(found) : Option.none())
            )
            : Effect.succeedNone
      ),
    update: ({ data, id, schemaVersion, version }) =>
      won(asked(scripts.update, [keys.session(id)], [version, data, schemaVersion])),
    touch: (id, deadline) => Effect.asVoid(asked(scripts.touch, [keys.session(id), indexesOf(id)], [id, deadline])),
    rotate: (oldId, given) =>
      Effect.zipRight(
        sessionsOf(oldId) === sessionsOf(given.id)
          ? requireTag(given)
          : Effect.dieMessage("SessionStoreRedis: a session keeps its tag, as SessionToken.successor does"),
        Effect.suspend(() => {
          const own = ownKeys(given)
          return asked(
            scripts.rotate,
            [
              keys.session(oldId),
              keys.session(given.id),
              sessionsOf(oldId),
              indexesOf(oldId),
              ...(own === undefined ? [] : [own.index])
            ],
            [oldId, given.version, given.id, record.deadlineOf(given), ...record.encode(given, own?.digest)]
          )
        })
      ).pipe(won),
    remove: (id) => Effect.asVoid(asked(scripts.remove, [keys.session(id), indexesOf(id)], [id])),
    removeBySubject: (realm, subject, { except }) =>
      Effect.suspend(() => {
        const own = keys.subject(realm, subject)
        return Effect.asVoid(
          asked(
            scripts.removeBySubject,
            [own.index, own.mark, keys.sessions(own.tag)],
            [Option.getOrElse(except, () => "")]
          )
        )
      }),
    listBySubject: (realm, subject) =>
      Effect.gen(function*() {
        const own = keys.subject(realm, subject)
        const found = yield* asked(scripts.list, [own.index, keys.sessions(own.tag)])
        const records = yield* Effect.forEach(
          found as ReadonlyArray<readonly [SessionId, Fields]>,
          ([id, fields]) => read(id, fields)
        )
        const now = yield* Clock.currentTimeMillis
        return records.filter((one) => isLive(one, now))
      }),
    removeExpired: (limit) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => expired.remove(connection, keys, limit, now))
  }
}
