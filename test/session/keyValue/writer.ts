// Writes to the file store in the directory that it is given, and says on its standard output what it begins and what
// was answered, until it is killed.
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import { day, id, record } from "./fixtures.js"
import type { Line } from "./killed.test.js"

const [directory, round, mode] = process.argv.slice(2)

const say = (line: Line) => Effect.sync(() => process.stdout.write(`${JSON.stringify(line)}\n`))

const around = <A, E>(op: Line["op"], name: string, more: Partial<Line>, self: Effect.Effect<A, E>) =>
  Effect.zipRight(
    say({ op, name, isDone: false, ...more }),
    Effect.zipLeft(self, say({ op, name, isDone: true, ...more }))
  )

/** A data text that tells its version at both ends. */
const text = (version: number) => JSON.stringify({ version, padding: "x".repeat(8_000), again: version })

const session = (name: string, version = 0, data = text(version)) => {
  const now = Date.now()
  return record(name, {
    subject: name.slice(0, 2),
    data,
    version,
    createdAt: now,
    authenticatedAt: now,
    idleDeadline: now + day,
    absoluteDeadline: now + day
  })
}

/** Two sessions at a time live on, change, get another id and end. */
const life = (store: SessionStore.Service, subject: string, turn: number) =>
  Effect.gen(function*() {
    const [kept, ended] = [0, 1].map((number) => `${subject}-${round}-${turn}-${number}`) as [string, string]
    yield* around("create", kept, {}, store.create(session(kept)))
    yield* around("create", ended, {}, store.create(session(ended)))
    yield* around("update", kept, { version: 1 }, store.update(session(kept, 0, text(1))))
    const next = `${kept}-next`
    yield* around("rotate", kept, { next, version: 1 }, store.rotate(id(kept, subject), session(next, 1)))
    yield* around("remove", ended, {}, store.remove(id(ended, subject)))
  })

const write = (store: SessionStore.Service) =>
  Effect.forEach(
    ["s0", "s1", "s2"],
    (subject) => Effect.forEach(Array.from({ length: 1_000 }, (_, turn) => turn), (turn) => life(store, subject, turn)),
    { concurrency: "unbounded", discard: true }
  )

/** A session that fits, and a change of it that does not. */
const overflow = (store: SessionStore.Service) =>
  Effect.gen(function*() {
    const small = record("small", { idleDeadline: Date.now() + day, absoluteDeadline: Date.now() + day })
    yield* store.create(small)
    const error = yield* Effect.flip(store.update(record("small", { data: "x".repeat(100_000) })))
    yield* say({ op: "update", name: `${error._tag}: ${String(error.cause)}`, isDone: false })
  })

const run = Effect.flatMap(SessionStore.SessionStore, mode === "overflow" ? overflow : write)

Effect.runPromise(run.pipe(
  Effect.provide(SessionStoreKeyValue.layerFileSystem(directory!)),
  Effect.provide(NodeContext.layer)
))
