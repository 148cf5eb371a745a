/**
 * The promises of a session store as cases that any test runner can run: every store of this library passes them, and a
 * store of your own should.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { SecurityUnavailable } from "../SecurityError.js"
import type { Mismatch } from "./internal/contract.js"
import { text } from "./internal/contract.js"
import * as ending from "./internal/contractEnding.js"
import * as programs from "./internal/contractPrograms.js"
import * as races from "./internal/contractRaces.js"
import * as writing from "./internal/contractWriting.js"
import type { SessionStore } from "./SessionStore.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

const shown = 2_000

const show = (value: unknown): string => {
  const line = text(value)
  return line.length <= shown ? line : `${line.slice(0, shown)}... (${line.length} characters)`
}

/**
 * A store broke a promise. `promise` is the name of the case and `step` the operation that gave `actual` where
 * `expected` was due.
 *
 * A case that makes its operations up adds the `commands` that led there, as few as it could find, and the `seed` and
 * `path` with which `make` makes them up again.
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
 * the cases by the real time does not disturb them.
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
