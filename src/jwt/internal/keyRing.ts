import * as Clock from "effect/Clock"
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
  readonly sign: unknown
}

/** What somebody needs of the keys; `JwtKeys.Demand` is its public face. */
interface Demand {
  readonly algorithms: ReadonlyArray<string>
  readonly signs: boolean
}

/** Algorithms that the same keys are good for. */
export const familyOf = (algorithm: string): string =>
  algorithm === "EdDSA" ? "EdDSA" : algorithm.replace(/\d+$/, "").replace("PS", "RS")

/** Whether a key still signs and verifies. */
export const isLive = (key: Pick<Key, "until">, now: number): boolean =>
  key.until === undefined || now < key.until.epochMillis

/** The algorithm with which a key signs for somebody who accepts these. */
export const signsWith = <A extends string>(
  key: { readonly algorithms: ReadonlyArray<A>; readonly sign: unknown },
  algorithms: ReadonlyArray<A>
): A | undefined =>
  key.sign === undefined ? undefined : algorithms.find((algorithm) => key.algorithms.includes(algorithm))

// -----------------------------------------------------------------------------
// What is wrong with keys
// -----------------------------------------------------------------------------

/** For whoever verifies with them. */
const flaw = (keys: ReadonlyArray<Key>): string | undefined => {
  if (keys.length === 0) {
    return "a key ring has no key"
  }
  const families = new Set(keys.flatMap(({ algorithms }) => algorithms.map(familyOf)))
  if (families.size > 1) {
    return `a key ring has keys of one family, not of ${Array.from(families).join(" and ")}`
  }
  const kids = keys.flatMap(({ kid }) => kid === undefined ? [] : [kid])
  const repeated = kids.find((kid, index) => kids.indexOf(kid) !== index)
  return repeated === undefined ? undefined : `two keys of a ring have the kid ${JSON.stringify(repeated)}`
}

const nameOf = ({ kid }: Key): string => kid === undefined ? "a key without kid" : `the key ${JSON.stringify(kid)}`

/** For somebody who accepts these algorithms. */
const misfit = (keys: ReadonlyArray<Key>, algorithms: ReadonlyArray<string>): string | undefined => {
  for (const key of keys) {
    const missing = algorithms.filter((algorithm) => !key.algorithms.includes(algorithm))
    if (key.algorithms.every((algorithm) => familyOf(algorithm) === "HS") && familyOf(algorithms[0]!) === "HS") {
      if (missing.length > 0) {
        const bytes = Number(missing[0]!.slice(2)) / 8
        return `${nameOf(key)} is a secret of fewer than ${bytes} bytes, which ${missing[0]} needs`
      }
    } else if (missing.length === algorithms.length) {
      return `${nameOf(key)} is for ${key.algorithms.join(", ")}, not for ${algorithms.join(", ")}`
    }
  }
  const idle = algorithms.find((algorithm) => keys.every((key) => !key.algorithms.includes(algorithm)))
  return idle === undefined ? undefined : `no key of the ring is for ${idle}`
}

const unmet = (keys: ReadonlyArray<Key>, { algorithms, signs }: Demand, now: number): string | undefined =>
  misfit(keys, algorithms) ??
    (!signs || keys.some((key) => isLive(key, now) && signsWith(key, algorithms) !== undefined)
      ? undefined
      : `no key of the ring that is live can sign with ${algorithms.join(", ")}`)

const check = (reasons: ReadonlyArray<string | undefined>): Effect.Effect<void, SecurityConfigError> =>
  Option.match(Option.fromNullable(reasons.find((reason) => reason !== undefined)), {
    onNone: () => Effect.void,
    onSome: (reason) => Effect.fail(new SecurityConfigError({ reason }))
  })

/** Keys that others publish are not known when a demand is made: they verify, and are no secrets. */
export const checkPublished = ({ algorithms, signs }: Demand): Effect.Effect<void, SecurityConfigError> =>
  check([
    signs ? "the keys that somebody else publishes only verify: nothing can be signed with them" : undefined,
    algorithms.some((algorithm) => familyOf(algorithm) === "HS")
      ? "the keys that somebody else publishes are no secrets, which HMAC needs"
      : undefined
  ])

// -----------------------------------------------------------------------------
// Rings
// -----------------------------------------------------------------------------

/** A ring whose keys are known, and what replaces them. */
export const make = <K extends Key>(keys: ReadonlyArray<K>) =>
  Effect.gen(function*() {
    yield* check([flaw(keys)])
    const current = yield* Ref.make({ generation: 0, keys })
    // By what they say: however many make one, it is there once.
    const demands = new Map<string, Demand>()
    const ring = {
      keys: Ref.get(current),
      refresh: Ref.get(current),
      constrain: (demand: Demand) =>
        Effect.flatMap(Effect.all([Ref.get(current), Clock.currentTimeMillis]), ([{ keys }, now]) =>
          Effect.zipRight(
            check([unmet(keys, demand, now)]),
            Effect.sync(() => void demands.set(JSON.stringify([demand.algorithms, demand.signs]), demand))
          ))
    }
    return {
      ring,
      rotation: {
        replace: (keys: ReadonlyArray<K>) =>
          Effect.zipRight(
            Effect.flatMap(
              Clock.currentTimeMillis,
              (now) => check([flaw(keys), ...Array.from(demands.values(), (demand) => unmet(keys, demand, now))])
            ),
            Ref.update(current, ({ generation }) => ({ generation: generation + 1, keys }))
          )
      }
    }
  })
