import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import { SecurityConfigError } from "../../SecurityError.js"

/** What of a key a ring looks at: `JwtKeys.Key` is its public face. */
interface Key {
  readonly kid: string | undefined
  readonly algorithms: ReadonlyArray<string>
  readonly until: DateTime.Utc | undefined
}

/** Algorithms that the same keys are good for. */
export const familyOf = (algorithm: string): string =>
  algorithm === "EdDSA" ? "EdDSA" : algorithm.replace(/\d+$/, "").replace("PS", "RS")

/** Whether a key still signs and verifies. */
export const isLive = (key: Pick<Key, "until">, now: number): boolean =>
  key.until === undefined || now < key.until.epochMillis

/** What is wrong with keys, whoever verifies with them. */
const flaw = (keys: ReadonlyArray<Key>): Option.Option<string> => {
  if (keys.length === 0) {
    return Option.some("a key ring has no key")
  }
  const families = new Set(keys.flatMap(({ algorithms }) => algorithms.map(familyOf)))
  if (families.size > 1) {
    return Option.some(`a key ring has keys of one family, not of ${Array.from(families).join(" and ")}`)
  }
  const kids = keys.map(({ kid }) => kid)
  const repeated = kids.find((kid, index) => kids.indexOf(kid) !== index)
  return repeated === undefined
    ? Option.none()
    : Option.some(`two keys of a ring have the kid ${JSON.stringify(repeated)}`)
}

type Check<K> = (keys: ReadonlyArray<K>) => Option.Option<string>

/** A ring whose keys are known, and what replaces them. */
export const make = <K extends Key>(keys: ReadonlyArray<K>) =>
  Effect.gen(function*() {
    const checks: Array<Check<K>> = [flaw]
    const check = (keys: ReadonlyArray<K>) =>
      Effect.forEach(checks, (check) =>
        Option.match(check(keys), {
          onNone: () => Effect.void,
          onSome: (reason) => Effect.fail(new SecurityConfigError({ reason }))
        }), { discard: true })
    yield* check(keys)
    const current = yield* Ref.make({ generation: 0, keys })
    const ring = {
      keys: Ref.get(current),
      refresh: Ref.get(current),
      constrain: (constraint: Check<K>) =>
        Effect.flatMap(Ref.get(current), ({ keys }) =>
          Option.match(constraint(keys), {
            onNone: () => Effect.sync(() => void checks.push(constraint)),
            onSome: (reason) => Effect.fail(new SecurityConfigError({ reason }))
          }))
    }
    return {
      ring,
      rotation: {
        replace: (keys: ReadonlyArray<K>) =>
          Effect.zipRight(
            check(keys),
            Ref.update(current, ({ generation }) => ({ generation: generation + 1, keys }))
          )
      }
    }
  })
