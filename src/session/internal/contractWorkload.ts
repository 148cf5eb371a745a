import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { SecurityUnavailable } from "../../SecurityError.js"
import type { Service } from "../SessionStore.js"
import { SessionRecord } from "../SessionStore.js"
import type { SessionId } from "../SessionToken.js"
import { day, makeClock } from "./contract.js"
import type { Answer, Entry, History, Owner, PlainRecord } from "./contractHistory.js"
import { callOf } from "./contractHistory.js"
import * as model from "./contractModel.js"
import * as Plan from "./contractPlan.js"

// What one of several workers does to the sessions that all of them know.

export interface Options extends Plan.Options {
  readonly worker: number
  readonly rounds: number
  readonly steps: number
  readonly instant: Effect.Effect<number>
  readonly barrier: Effect.Effect<void>
  readonly log: (entry: Entry) => Effect.Effect<void>
  readonly goesOn: boolean
}

// -----------------------------------------------------------------------------
// Asking
// -----------------------------------------------------------------------------

type Ask = (owner: Owner, now: number, call: model.Call) => Effect.Effect<Answer | undefined, SecurityUnavailable>

/** Asks the store and writes down what it answered; undefined when it did not, and the workload goes on. */
const makeAsk = (store: Service, options: Options, history: Array<Entry>): Ask => {
  let number = 0
  return (owner, now, call) =>
    Effect.gen(function*() {
      const begun: Entry = {
        worker: options.worker,
        number: number++,
        ...owner,
        now,
        call: callOf(call),
        invoked: yield* options.instant,
        outcome: null
      }
      const index = history.push(begun) - 1
      // Whatever becomes of this process, it is known that the operation may have happened.
      yield* options.log(begun)
      const invoked = yield* options.instant
      const answer = yield* model.ask(store, call).pipe(
        // The workers' clocks are part of the plan.
        Effect.withClock(makeClock(now).clock),
        Effect.map((answer) => Option.some(answer as Answer)),
        Effect.catchAll((unavailable) => options.goesOn ? Effect.succeedNone : Effect.fail(unavailable))
      )
      if (Option.isNone(answer)) {
        return undefined
      }
      const ended: Entry = { ...begun, invoked, outcome: { answered: yield* options.instant, answer: answer.value } }
      history[index] = ended
      yield* options.log(ended)
      return answer.value
    })
}

// -----------------------------------------------------------------------------
// What one worker knows
// -----------------------------------------------------------------------------

const remembered = 8

/** What a worker has last seen of an owner's sessions. The ended ones stay a while: nothing may bring them back. */
const makeKnowledge = (successor: (_: SessionId) => SessionId) => {
  let ids: ReadonlyArray<SessionId> = []
  const seen = new Map<SessionId, PlainRecord>()
  const without = (id: SessionId) => ids.filter((other) => other !== id)
  const hear = (id: SessionId) => {
    ids = [...without(id), id].slice(-remembered)
  }
  return {
    hear,
    see: (record: PlainRecord) => {
      hear(record.id as SessionId)
      seen.set(record.id as SessionId, record)
    },
    /** One that was there before may go on under another id. */
    lose: (id: SessionId) => {
      ids = [id, ...without(id)]
      if (seen.delete(id)) {
        hear(successor(id))
      }
    },
    versionOf: (id: SessionId): number => seen.get(id)?.version ?? 0,
    /** Counted back from the one that was heard of last, and round. */
    at: (ref: number): SessionId | undefined => ids.at(-1 - ref % Math.max(1, ids.length))
  }
}

// -----------------------------------------------------------------------------
// What one worker does
// -----------------------------------------------------------------------------

const choices = {
  owner: [0, 0, 0, 0, 1, 2, 3, 3],
  ref: [0, 0, 0, 1, 1, 2, 3, 5],
  verified: [0, 0, 1, 1, 1, 30_000, 90_000],
  isInformed: [true, true, true, false],
  isComplete: [true, false],
  step: [
    ...["find", "find", "find", "listBySubject", "listBySubject", "listBySubject"] as const,
    ...["update", "update", "update", "update", "update", "update", "touch", "touch", "rotate", "rotate"] as const,
    ...["create", "create", "create", "remove", "removeBySubject", "removeBySubject"] as const
  ]
}

export const run = (store: Service, options: Options): Effect.Effect<History, SecurityUnavailable> =>
  Effect.gen(function*() {
    const plan = Plan.make(options)
    const random = Random.make(`${options.seed}, worker ${options.worker}`)
    const choose = <A>(from: ReadonlyArray<A>): Effect.Effect<A> =>
      Effect.map(random.nextIntBetween(0, from.length), (index) => from[index]!)
    const history: Array<Entry> = []
    const ask = makeAsk(store, options, history)
    const known = new Map(
      plan.owners.map((owner) => [owner, makeKnowledge((id) => plan.successor(owner, id))])
    )
    const knowledgeOf = (owner: Owner) => known.get(owner)!
    const created: Array<{ readonly owner: Owner; readonly id: SessionId }> = []
    let writes = 0

    const record = (owner: Owner, id: SessionId, now: number, verified: number, version: number) =>
      new SessionRecord({
        ...owner,
        id,
        data: JSON.stringify({ worker: options.worker, write: writes++ }),
        schemaVersion: 1 + writes % 3,
        version,
        createdAt: now,
        authenticatedAt: now - verified,
        lastSeenAt: now,
        idleDeadline: now + day,
        absoluteDeadline: now + 365 * day,
        remember: writes % 2 === 0,
        userAgent: `worker ${options.worker}`
      })

    const create = (owner: Owner, id: SessionId, now: number, verified: number) => {
      const given = record(owner, id, now, verified, 0)
      created.push({ owner, id })
      return Effect.tap(
        ask(owner, now, { op: "create", record: given }),
        (answer) => answer === "created" ? knowledgeOf(owner).see({ ...given }) : undefined
      )
    }

    const find = (owner: Owner, id: SessionId, now: number) =>
      Effect.map(ask(owner, now, { op: "find", id }), (answer) => {
        if (answer === null) {
          knowledgeOf(owner).lose(id)
        } else if (answer !== undefined) {
          knowledgeOf(owner).see(answer as PlainRecord)
        }
      })

    const list = (owner: Owner, subject: string, now: number) =>
      Effect.map(ask(owner, now, { op: "listBySubject", realm: owner.realm, subject }), (answer) => {
        for (const record of answer === undefined ? [] : answer as ReadonlyArray<PlainRecord>) {
          knowledgeOf(owner).see(record)
        }
      })

    const update = (owner: Owner, id: SessionId, now: number) => {
      const given = record(owner, id, now, 0, knowledgeOf(owner).versionOf(id))
      return Effect.map(ask(owner, now, { op: "update", record: given }), (answer) => {
        if (answer === true) {
          knowledgeOf(owner).see({ ...given, version: given.version + 1 })
        } else if (answer === false) {
          knowledgeOf(owner).lose(id)
        }
      })
    }

    const rotate = (owner: Owner, id: SessionId, now: number) => {
      const next = plan.successor(owner, id)
      const given = record(owner, next, now, 0, knowledgeOf(owner).versionOf(id))
      created.push({ owner, id: next })
      return Effect.map(ask(owner, now, { op: "rotate", id, record: given }), (answer) => {
        if (answer === true) {
          knowledgeOf(owner).see({ ...given })
        } else if (answer === false) {
          knowledgeOf(owner).lose(id)
        }
      })
    }

    const step = (now: number) =>
      Effect.gen(function*() {
        const owner = plan.owners[yield* choose(choices.owner)]!
        const id = knowledgeOf(owner).at(yield* choose(choices.ref))
        const { realm, subject } = owner
        const op = yield* choose(choices.step)
        if (op === "create" || id === undefined) {
          const fresh = plan.freshId(owner, `worker ${options.worker}, write ${writes}`)
          yield* create(owner, fresh, now, yield* choose(choices.verified))
        } else if (op === "touch") {
          const deadline = now + day + (yield* random.nextIntBetween(0, 60)) * 1_000
          yield* ask(owner, now, { op: "touch", id, deadline })
        } else if (op === "update" || op === "rotate") {
          if (yield* choose(choices.isInformed)) {
            yield* find(owner, id, now)
          }
          yield* op === "update" ? update(owner, id, now) : rotate(owner, id, now)
        } else if (op === "find" || op === "listBySubject") {
          yield* op === "find" || subject === null ? find(owner, id, now) : list(owner, subject, now)
        } else if (op === "remove" || subject === null) {
          yield* ask(owner, now, { op: "remove", id })
        } else {
          const except = (yield* choose(choices.isComplete)) ? Option.none() : Option.some(id)
          yield* ask(owner, now, { op: "removeBySubject", realm, subject, except })
        }
      })

    /** All that there is to see, and the hot sessions by their ids. */
    const look = (round: number) =>
      Effect.forEach(plan.owners, (owner) =>
        Effect.gen(function*() {
          const now = plan.now(round)
          if (owner.subject !== null) {
            yield* list(owner, owner.subject, now)
          }
          yield* Effect.forEach(plan.lines(owner, round), ({ id }) => find(owner, id, now), { discard: true })
        }), { discard: true })

    for (let round = 0; round < options.rounds; round++) {
      const now = plan.now(round)
      for (const owner of plan.owners) {
        for (const { id, worker } of plan.lines(owner, round)) {
          knowledgeOf(owner).hear(id)
          if (worker === options.worker) {
            yield* create(owner, id, now, 0)
          }
        }
      }
      yield* options.barrier
      yield* Effect.repeatN(step(now), options.steps - 1)
      yield* options.barrier
      yield* look(round)
    }

    // Each ends what it began, and what it sees: nothing is left when all are done.
    const now = plan.now(options.rounds)
    for (const { id, owner } of created.filter(({ owner }) => owner.subject === null)) {
      yield* ask(owner, now, { op: "remove", id })
    }
    for (const owner of plan.owners) {
      const { realm, subject } = owner
      if (subject !== null) {
        yield* ask(owner, now, { op: "removeBySubject", realm, subject, except: Option.none() })
        yield* list(owner, subject, now)
      }
    }
    return history
  })
