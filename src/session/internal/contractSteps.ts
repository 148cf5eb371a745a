import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import type { SessionId } from "../SessionToken.js"
import type { Fixture } from "./contract.js"
import { day, hour, minute } from "./contract.js"
import type * as model from "./contractModel.js"

// The steps of programs that FastCheck makes and shrinks, and the calls that they become.

// -----------------------------------------------------------------------------
// Steps as they are generated
// -----------------------------------------------------------------------------

/**
 * A step is plain data, which means something after any other steps: `ref` is a session of those that the steps before
 * it create, counted back from the latest and round, and `slot` one of the four owners below.
 */
export type Step =
  | {
    readonly op: "create"
    readonly slot: number
    readonly verified: number
    readonly idle: number
    readonly absolute: number
  }
  | { readonly op: "find" | "remove"; readonly ref: number }
  | { readonly op: "update" | "rotate"; readonly ref: number; readonly behind: number }
  | { readonly op: "touch"; readonly ref: number; readonly millis: number }
  | { readonly op: "removeBySubject"; readonly slot: number; readonly except: number | null }
  | { readonly op: "listBySubject"; readonly slot: number }
  | { readonly op: "removeExpired"; readonly limit: number }
  | { readonly op: "wait"; readonly millis: number }

const ref = FastCheck.constantFrom(0, 0, 0, 1, 1, 2, 3, 5)
const subjectSlot = FastCheck.constantFrom(0, 0, 0, 0, 1, 2)
const slot = FastCheck.constantFrom(0, 0, 0, 0, 1, 2, 3)
const lifetime = FastCheck.constantFrom(hour, hour, hour, minute, minute + 1, 10 * minute)
const verified = FastCheck.constantFrom(0, 1, minute, 10 * minute)
const behind = FastCheck.constantFrom(0, 0, 0, 0, 1, -1)
export const millis = FastCheck.constantFrom(minute, 1, minute - 1, 10 * minute - 1, 10 * minute, hour)

export const create: FastCheck.Arbitrary<Step> = FastCheck.record({
  op: FastCheck.constant("create"),
  slot,
  verified,
  idle: lifetime,
  absolute: lifetime
})

export const onOthers: ReadonlyArray<FastCheck.WeightedArbitrary<Step>> = [
  { weight: 3, arbitrary: FastCheck.record({ op: FastCheck.constant("update"), ref, behind }) },
  { weight: 2, arbitrary: FastCheck.record({ op: FastCheck.constant("touch"), ref, millis }) },
  { weight: 3, arbitrary: FastCheck.record({ op: FastCheck.constant("rotate"), ref, behind }) },
  { weight: 1, arbitrary: FastCheck.record({ op: FastCheck.constant("remove"), ref }) },
  {
    weight: 2,
    arbitrary: FastCheck.record({
      op: FastCheck.constant("removeBySubject"),
      slot: subjectSlot,
      except: FastCheck.option(ref, { nil: null })
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({ op: FastCheck.constant("removeExpired"), limit: FastCheck.nat({ max: 4 }) })
  }
]

export const reads: ReadonlyArray<FastCheck.WeightedArbitrary<Step>> = [
  { weight: 2, arbitrary: FastCheck.record({ op: FastCheck.constant("find"), ref }) },
  { weight: 3, arbitrary: FastCheck.record({ op: FastCheck.constant("listBySubject"), slot: subjectSlot }) }
]

export const wait: FastCheck.Arbitrary<Step> = FastCheck.record({ op: FastCheck.constant("wait"), millis })

/** Most of one subject, so that what runs beside each other meets. */
export const beginning: FastCheck.Arbitrary<Step> = FastCheck.record({
  op: FastCheck.constant("create"),
  slot: FastCheck.constantFrom(0, 0, 0, 0, 0, 1, 3),
  verified: FastCheck.constant(0),
  idle: FastCheck.constant(hour),
  absolute: FastCheck.constant(day)
})

// -----------------------------------------------------------------------------
// Steps as they are run
// -----------------------------------------------------------------------------

interface Session {
  readonly slot: number
  readonly name: string
  readonly id: SessionId
}

interface Owner {
  readonly realm: string
  readonly subject: string | null
}

/** A step that knows its sessions: the one that it is about, and the one that it creates. */
export interface Planned {
  readonly step: Step
  readonly about: Session | undefined
  readonly target: Session | undefined
}

export interface Plan {
  readonly owners: ReadonlyArray<Owner>
  readonly sessions: Array<Session>
}

const ownerOf = ({ owners }: Plan, slot: number): Owner => owners[slot]!
const subjectOf = (plan: Plan, slot: number) => {
  const { realm, subject } = ownerOf(plan, slot)
  return { realm, subject: subject! }
}

const addSession = (t: Fixture, plan: Plan, slot: number, rotated?: Session): Effect.Effect<Session> => {
  const { realm, subject } = ownerOf(plan, slot)
  return Effect.map(rotated === undefined ? t.id(realm, subject) : t.successor(realm, rotated.id), (id) => {
    const session = { slot, id, name: `s${plan.sessions.length}` }
    plan.sessions.push(session)
    return session
  })
}

/** Two subjects of one realm, the same name in another, and nobody. The first session never exists. */
export const makePlan = (t: Fixture): Effect.Effect<Plan> =>
  Effect.flatMap(t.name, (other) => {
    const plan: Plan = {
      owners: [
        { realm: t.realm, subject: "ada" },
        { realm: t.realm, subject: "bob" },
        { realm: other, subject: "ada" },
        { realm: t.realm, subject: null }
      ],
      sessions: []
    }
    return Effect.as(addSession(t, plan, 0), plan)
  })

export const planStep = (t: Fixture, plan: Plan, step: Step): Effect.Effect<Planned> => {
  const at = (ref: number) => plan.sessions.at(-1 - ref % plan.sessions.length)!
  const about = "ref" in step ? at(step.ref) : "except" in step && step.except !== null ? at(step.except) : undefined
  const slot = step.op === "create" ? step.slot : step.op === "rotate" ? about!.slot : undefined
  return slot === undefined
    ? Effect.succeed({ step, about, target: undefined })
    : Effect.map(
      addSession(t, plan, slot, step.op === "rotate" ? about : undefined),
      (target) => ({ step, about, target })
    )
}

export const describe = (plan: Plan, { about, step, target }: Planned): string => {
  const owner = (slot: number) => ["ada", "bob", "ada of another realm", "nobody"][slot]
  switch (step.op) {
    case "create":
      return `${target!.name} = create for ${owner(step.slot)}, verified ${step.verified} ms ago, ` +
        `idle ${step.idle} ms, absolute ${step.absolute} ms`
    case "find":
    case "remove":
      return `${step.op} ${about!.name}`
    case "update":
      return `update ${about!.name} of version known - ${step.behind}`
    case "rotate":
      return `${target!.name} = rotate ${about!.name} of version known - ${step.behind}`
    case "touch":
      return `touch ${about!.name} for ${step.millis} ms`
    case "removeBySubject":
      return `removeBySubject of ${owner(step.slot)}${about === undefined ? "" : ` except ${about.name}`}`
    case "listBySubject":
      return `listBySubject of ${owner(step.slot)}`
    case "removeExpired":
      return `removeExpired ${step.limit}`
    case "wait":
      return `${step.millis} ms pass`
  }
}

/** The call that a step makes at `now`, by whoever knows these versions. */
export const callOf = (
  t: Fixture,
  plan: Plan,
  { about, step, target }: Planned,
  now: number,
  knownVersion: (_: SessionId) => number
): Effect.Effect<model.Call> => {
  switch (step.op) {
    case "create":
      return Effect.map(
        t.record({
          ...ownerOf(plan, step.slot),
          id: target!.id,
          createdAt: now,
          authenticatedAt: now - step.verified,
          lastSeenAt: now,
          idleDeadline: now + step.idle,
          absoluteDeadline: now + step.absolute
        }),
        (record) => ({ op: "create", record })
      )
    case "update":
    case "rotate": {
      const session = target ?? about!
      return Effect.map(
        t.record({
          ...ownerOf(plan, session.slot),
          id: session.id,
          data: `"${step.op} at ${now - t.start} of ${plan.sessions.length}"`,
          schemaVersion: 2 + step.behind,
          version: knownVersion(about!.id) - step.behind,
          createdAt: now,
          lastSeenAt: now,
          idleDeadline: now + hour,
          userAgent: step.op
        }),
        (record) => step.op === "update" ? { op: "update", record } : { op: "rotate", id: about!.id, record }
      )
    }
    case "find":
    case "remove":
      return Effect.succeed({ op: step.op, id: about!.id })
    case "touch":
      return Effect.succeed({ op: "touch", id: about!.id, deadline: now + step.millis })
    case "removeBySubject":
      return Effect.succeed({
        op: "removeBySubject",
        ...subjectOf(plan, step.slot),
        except: Option.fromNullable(about?.id)
      })
    case "listBySubject":
      return Effect.succeed({ op: "listBySubject", ...subjectOf(plan, step.slot) })
    case "removeExpired":
      return Effect.succeed({ op: "removeExpired", limit: step.limit })
    case "wait":
      return Effect.dieMessage("Waiting is no call")
  }
}

/** What the store shows: each session by its id, and the lists of all subjects. */
export const observations = (plan: Plan): ReadonlyArray<readonly [string, model.Call]> => [
  ...plan.sessions.map(({ id, name }) => [`find ${name}`, { op: "find", id }] as const),
  ...[0, 1, 2].map((slot) =>
    [
      describe(plan, { step: { op: "listBySubject", slot }, about: undefined, target: undefined }),
      { op: "listBySubject", ...subjectOf(plan, slot) }
    ] as const
  )
]
