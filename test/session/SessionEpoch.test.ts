import { KeyValueStore } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer } from "effect"
import { SessionEpoch } from "effect-security"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import * as epochCases from "./epochCases.js"

// -----------------------------------------------------------------------------
// The promises
// -----------------------------------------------------------------------------

const layers: Readonly<Record<string, Layer.Layer<SessionEpoch.SessionEpoch>>> = {
  "in memory": SessionEpoch.layerMemory,
  "in a KeyValueStore": Layer.provide(SessionStoreKeyValue.layerEpoch, KeyValueStore.layerMemory)
}

for (const [title, layer] of Object.entries(layers)) {
  describe(`epochs ${title}`, () => {
    for (const { name, run } of epochCases.make({ runs: 300 })) {
      it.live(name, () => Effect.provide(run, layer))
    }
  })
}

// -----------------------------------------------------------------------------
// The cases themselves
// -----------------------------------------------------------------------------

describe("the cases", () => {
  type Change = (epochs: SessionEpoch.Service) => SessionEpoch.Service
  const constant = (number: number): Change => () => ({
    current: () => Effect.succeed(number),
    advance: () => Effect.succeed(number)
  })
  const flaws: Readonly<Record<string, Change>> = {
    "never say a number": constant(0),
    "always say the same": constant(Date.UTC(2200)),
    "count from one": () => {
      const counts = new Map<string, number>()
      return {
        current: (realm, subject) => Effect.sync(() => counts.get(JSON.stringify([realm, subject])) ?? 0),
        advance: (realm, subject) =>
          Effect.sync(() => {
            const key = JSON.stringify([realm, subject])
            counts.set(key, (counts.get(key) ?? 0) + 1)
            return counts.get(key)!
          })
      }
    },
    "say the time alone": () => {
      const times = new Map<string, number>()
      return {
        current: (realm, subject) => Effect.sync(() => times.get(JSON.stringify([realm, subject])) ?? 0),
        advance: (realm, subject) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            times.set(JSON.stringify([realm, subject]), now)
            return now
          })
      }
    },
    "take two subjects for one": (epochs) => ({
      current: (realm, subject) => epochs.current("", realm + subject),
      advance: (realm, subject, until) => epochs.advance("", realm + subject, until)
    }),
    "take realms for one": (epochs) => ({
      current: (_, subject) => epochs.current("", subject),
      advance: (_, subject, until) => epochs.advance("", subject, until)
    }),
    "do not tell upper from lower case": (epochs) => ({
      current: (realm, subject) => epochs.current(realm, subject.toLowerCase()),
      advance: (realm, subject, until) => epochs.advance(realm, subject.toLowerCase(), until)
    }),
    "read and write in two steps": (epochs) => {
      const times = new Map<string, number>()
      return {
        current: (realm, subject) => Effect.sync(() => times.get(JSON.stringify([realm, subject])) ?? 0),
        advance: (realm, subject) =>
          Effect.gen(function*() {
            const key = JSON.stringify([realm, subject])
            const before = times.get(key) ?? 0
            yield* Effect.yieldNow()
            const number = Math.max(before + 1, yield* Clock.currentTimeMillis)
            times.set(key, number)
            return number
          }),
        epochs
      } as SessionEpoch.Service
    },
    "forget by the last that was asked for": (epochs) => {
      const untils = new Map<string, number>()
      return {
        current: (realm, subject) =>
          Effect.flatMap(
            Clock.currentTimeMillis,
            (now) =>
              now < (untils.get(JSON.stringify([realm, subject])) ?? 0)
                ? epochs.current(realm, subject)
                : Effect.succeed(0)
          ),
        advance: (realm, subject, until) => {
          untils.set(JSON.stringify([realm, subject]), until)
          return epochs.advance(realm, subject, until)
        }
      }
    }
  }

  for (const [title, change] of Object.entries(flaws)) {
    it.live(`find epochs that ${title}`, () =>
      Effect.gen(function*() {
        const flawed = Layer.effect(
          SessionEpoch.SessionEpoch,
          Effect.map(SessionEpoch.SessionEpoch, change)
        ).pipe(Layer.provide(SessionEpoch.layerMemory))
        const exits = yield* Effect.forEach(
          epochCases.make({ runs: 100 }),
          ({ run }) => Effect.exit(Effect.provide(run, flawed))
        )
        assert.isTrue(exits.some(({ _tag }) => _tag === "Failure"))
      }))
  }
})

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

describe("epochs in memory", () => {
  const at = (now: number) =>
    Effect.withClock(
      Object.assign(Object.create(Clock.make()) as Clock.Clock, { currentTimeMillis: Effect.succeed(now) })
    )

  it.effect("are forgotten when they are over, whichever of them still are not", () =>
    Effect.gen(function*() {
      const { advance, current } = yield* SessionEpoch.SessionEpoch
      // The first is remembered for long, as it was once asked for, and does not keep those behind it.
      yield* at(1)(advance("realm", "long", 1_000_000))
      const first = yield* at(1)(advance("realm", "long", 10))
      for (let index = 0; index < 5_000; index++) {
        yield* at(2)(advance("realm", `short ${index}`, 10))
      }
      for (let index = 0; index < 6_000; index++) {
        yield* at(20)(advance("realm", `later ${index}`, 100))
      }
      for (let index = 0; index < 5_000; index++) {
        assert.strictEqual(yield* current("realm", `short ${index}`), 0)
      }
      for (let index = 0; index < 6_000; index++) {
        assert.strictEqual(yield* current("realm", `later ${index}`), 20)
      }
      assert.strictEqual(yield* current("realm", "long"), first)
    }).pipe(Effect.provide(SessionEpoch.layerMemory)))

  it.effect("are those of one Layer, and of nobody who builds another", () =>
    Effect.gen(function*() {
      const { advance } = yield* SessionEpoch.SessionEpoch
      yield* advance("realm", "ada", 1_000)
      const other = yield* Effect.provide(
        Effect.flatMap(SessionEpoch.SessionEpoch, ({ current }) => current("realm", "ada")),
        Layer.fresh(SessionEpoch.layerMemory)
      )
      assert.strictEqual(other, 0)
    }).pipe(Effect.provide(SessionEpoch.layerMemory)))
})
