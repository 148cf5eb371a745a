/**
 * The promises of a session store as tests that any test runner can run: every store of this library passes them, and a
 * store of your own should.
 *
 * They have two scopes. `cases` are the promises that every store keeps to the operations of one process. A store that
 * several processes share keeps them to the operations of all processes too: `workload` is what each of the processes
 * does, and `check` judges what they saw. A store that is not shared, as memory or files, promises nothing there.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { SecurityUnavailable } from "../SecurityError.js"
import type { Mismatch } from "./internal/contract.js"
import { text } from "./internal/contract.js"
import * as anomalies from "./internal/contractAnomalies.js"
import * as ending from "./internal/contractEnding.js"
import * as history from "./internal/contractHistory.js"
import { judge } from "./internal/contractJudge.js"
import * as programs from "./internal/contractPrograms.js"
import * as races from "./internal/contractRaces.js"
import * as work from "./internal/contractWorkload.js"
import * as writing from "./internal/contractWriting.js"
import { SessionStore } from "./SessionStore.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

const shown = 2_000

const show = (value: unknown): string => {
  const line = text(value)
  return line.length <= shown ? line : `${line.slice(0, shown)}... (${line.length} characters)`
}

/**
 * A store broke a promise. `promise` is one of `promises` and `step` the operation that gave `actual` where `expected`
 * was due.
 *
 * A case that makes its operations up adds the `commands` that led there, as few as it could find, and the `seed` and
 * `path` with which `make` makes them up again. A history of several processes adds as `commands` the operations that
 * show it: who did them, when, counted from the call of `step`, and what was answered.
 *
 * @since 0.1.0
 * @category errors
 */
export class ContractViolation extends Data.TaggedError("ContractViolation")<{
  readonly promise: string
  readonly step: string
  readonly expected: unknown
  readonly actual: unknown
  readonly commands?: ReadonlyArray<string> | undefined
  readonly seed?: number | undefined
  readonly path?: string | undefined
}> {
  override get message(): string {
    return [
      `${this.promise}: broken at`,
      `  ${this.step}`,
      `  expected: ${show(this.expected)}`,
      `  actual:   ${show(this.actual)}`,
      ...(this.commands === undefined ? [] : ["  after:", ...this.commands.map((command) => `    ${command}`)]),
      ...(this.seed === undefined ? [] : [`  seed: ${this.seed}, path: ${JSON.stringify(this.path)}`])
    ].join("\n")
  }
}

/**
 * One promise and the test of it. `run` fails with a `ContractViolation` when the store breaks the promise, and with
 * the store's own `SecurityUnavailable` when it could not be asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Case {
  readonly name: string
  readonly run: Effect.Effect<void, ContractViolation | SecurityUnavailable, SessionStore>
}

/**
 * `runs` is how many programs each of the two cases makes up that compare the store with a model, 300 by default.
 * `seed` and `path` are those of a violation: with them, the case that failed meets the same program first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly runs?: number | undefined
  readonly seed?: number | undefined
  readonly path?: string | undefined
}

// -----------------------------------------------------------------------------
// Cases
// -----------------------------------------------------------------------------

const violation = (promise: string) => ({ actual, commands, expected, path, seed, step }: Mismatch) =>
  Effect.fail(new ContractViolation({ promise, step, expected, actual, commands, seed, path }))

/**
 * The cases, with other settings than those of `cases`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): ReadonlyArray<Case> =>
  [
    ...writing.cases,
    ...ending.cases,
    ...races.cases,
    ...programs.cases({ runs: options?.runs ?? 300, seed: options?.seed, path: options?.path })
  ].map(({ name, run }) => ({ name, run: Effect.catchTag(run, "Mismatch", violation(name)) }))

/**
 * All cases. Give each of them the store, run them one after the other, and run all of them: a case tests what it names
 * and trusts what the others test.
 *
 * All cases may share one store or database, which need not be empty: each uses realms and ids of its own and removes
 * its sessions in the end. But it must not be one whose sessions matter: a case brings its own clock, which stands
 * somewhere after the year 2100 and by which `removeExpired` finds every session to be over. So a store has to ask
 * Effect's `Clock` for the time in each operation; what sleeps, sleeps by the real clock. A sweeper that runs beside
 * the cases by the real time does not disturb them. And a store whose server looks at its own clock fails: to it, the
 * cases run centuries ahead, and no deadline comes while they run.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { SessionStore } from "effect-security"
 * import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
 * import { test } from "node:test"
 *
 * const MyStore = SessionStore.layerMemory // the Layer of your own store
 *
 * for (const { name, run } of SessionStoreContract.cases) {
 *   test(name, () => Effect.runPromise(Effect.provide(run, MyStore)))
 * }
 * ```
 */
export const cases: ReadonlyArray<Case> = make()

// -----------------------------------------------------------------------------
// Histories
// -----------------------------------------------------------------------------

/**
 * An operation and its arguments as JSON. Realm and subject are those of its entry.
 *
 * @since 0.1.0
 * @category models
 */
export type Call = history.Call

/**
 * What an operation gave, as JSON: "created" or "refused" for `create`, null where it gives nothing or found nothing.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer = history.Answer

/**
 * One operation of a worker, the `number`th that it did, on the sessions of one subject of a realm. `now` is the time,
 * in milliseconds since 1970, that Effect's `Clock` told the store; `invoked` and `answered` are instants of the clock
 * that all workers share. An operation without `outcome` is one whose answer never came, since it failed, or its worker
 * died: it may have happened, may still happen, or never.
 *
 * @since 0.1.0
 * @category models
 */
export type Entry = history.Entry

/**
 * What one worker did, as plain JSON: it travels between processes. An operation may have two entries, one without its
 * outcome and one with it.
 *
 * @since 0.1.0
 * @category models
 */
export type History = history.History

/**
 * - `seed` decides which sessions there are and who does what. Never use one twice over the same store: the ids would
 *   be those of sessions that were ended, and marks of the first time would stand.
 * - `worker` is this worker's number, from 0 to `workers - 1`.
 * - `instant` tells the time by a clock that all workers share and that never goes back, in any unit. For processes on
 *   one machine that is `process.hrtime`. Effect's `Clock.currentTimeNanos` is not: each process sets it by the wall
 *   clock when it starts, to the millisecond. Where the clocks of two workers differ, right answers look wrong.
 * - `barrier` ends when all workers that live have come to it, twice in a round.
 * - `rounds` (10) and `steps` (20): how much there is to do. A round begins with fresh sessions, to which each worker
 *   then does `steps` things. The store's `Clock` stands still in a round, and goes a minute from one to the next.
 * - `log` is told of each operation before it begins and again when it was answered, so that what a process did is
 *   known also when it dies: it should have left the process when `log` ends.
 * - `clockOffset` is how many milliseconds the `Clock` of this worker is ahead of the others' (0). Of two marks the
 *   later one counts, whichever came first.
 * - `goesOn`: a store's failure does not end the workload (false).
 *
 * @since 0.1.0
 * @category models
 */
export interface WorkloadOptions {
  readonly seed: string
  readonly worker: number
  readonly workers: number
  readonly instant: Effect.Effect<number>
  readonly barrier: Effect.Effect<void>
  readonly rounds?: number | undefined
  readonly steps?: number | undefined
  readonly log?: ((entry: Entry) => Effect.Effect<void>) | undefined
  readonly clockOffset?: number | undefined
  readonly goesOn?: boolean | undefined
}

/**
 * What one of several processes does to sessions that all of them know, for `check` to judge: `create`, `find`,
 * `update`, `touch`, `rotate`, `remove`, `removeBySubject` and `listBySubject`, on a few sessions of several subjects
 * in two realms. Fails with the store's first failure, unless it `goesOn`.
 *
 * Run it in at least four processes, each with its own Layer of the store. It is for stores that processes share, and
 * says nothing of any other. As for `cases`, the store need not be empty and must not be one whose sessions matter; its
 * clock stands after the year 2300. Each worker ends the sessions of all subjects when it is done.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { SessionStore } from "effect-security"
 * import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
 *
 * // In each of four processes, over its own Layer of the store.
 * const worker = (seed: string, worker: number, barrier: Effect.Effect<void>) =>
 *   SessionStoreContract.workload({
 *     seed,
 *     worker,
 *     workers: 4,
 *     instant: Effect.sync(() => Number(process.hrtime.bigint())),
 *     barrier
 *   })
 *
 * // In the one to which they send their histories.
 * const verdict = (histories: ReadonlyArray<SessionStoreContract.History>) => SessionStoreContract.check(histories)
 * ```
 */
export const workload = (options: WorkloadOptions): Effect.Effect<History, SecurityUnavailable, SessionStore> =>
  Effect.flatMap(SessionStore, (store) =>
    work.run(store, {
      seed: options.seed,
      worker: options.worker,
      workers: options.workers,
      instant: options.instant,
      rounds: options.rounds ?? 10,
      steps: options.steps ?? 20,
      barrier: options.barrier,
      log: options.log ?? (() => Effect.void),
      clockOffset: options.clockOffset ?? 0,
      goesOn: options.goesOn ?? false
    }))

/**
 * Whether what all workers saw is what they would have seen had their operations been done one after the other, each at
 * one moment between its call and its answer (they are linearizable). Fails with the first answer for which that cannot
 * be. It never fails for a store that keeps its promises, whatever became of the operations without an answer.
 *
 * The promise that it names is the likeliest one: a lost write, an ended session that is live again, a read that shows
 * what was before an acknowledged write, a sign-in that a mark should have kept out; or, where it is none of these,
 * that there is such an order. Where a read shows an old state and nobody looked again, it may be any of them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const check = (histories: ReadonlyArray<History>): Effect.Effect<void, ContractViolation> =>
  Effect.suspend(() => {
    for (const entries of history.byOwner(history.merge(histories))) {
      const contradiction = judge(entries)
      if (contradiction !== undefined) {
        return Effect.fail(new ContractViolation(anomalies.explain(contradiction, entries)))
      }
    }
    return Effect.void
  })

// -----------------------------------------------------------------------------
// Scopes
// -----------------------------------------------------------------------------

/**
 * Whose operations a promise is about: those of one "process", or those of all "processes" that share a store.
 *
 * @since 0.1.0
 * @category models
 */
export type Scope = "process" | "processes"

/**
 * All promises by name, and their scope: those of one process are the names of `cases`, those of several what `check`
 * finds broken. A store says in its documentation which it keeps.
 *
 * @since 0.1.0
 * @category constructors
 */
export const promises: ReadonlyArray<{ readonly name: string; readonly scope: Scope }> = [
  ...cases.map(({ name }) => ({ name, scope: "process" as const })),
  ...Object.values(anomalies.promises).map((name) => ({ name, scope: "processes" as const }))
]
