import { KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import * as sessions from "../../../src/session/internal/keyValue/sessions.js"
import { freshDirectory, overMap } from "./fixtures.js"

/** Many small files, each of them synced. */
const slow = 300_000

const inFreshDirectory = <A, E>(make: (directory: string) => Layer.Layer<A, E, NodeContext.NodeContext>) =>
  Layer.provide(Layer.unwrapScoped(Effect.map(freshDirectory, make)), NodeContext.layer)

describe("a fresh key-value store in memory for each case, by a test clock", () => {
  for (const { name, run } of SessionStoreContract.make({ runs: 100 })) {
    it.effect(
      name,
      () => Effect.provide(run, Layer.provide(SessionStoreKeyValue.layer, KeyValueStore.layerMemory)),
      slow
    )
  }
})

layer(inFreshDirectory(SessionStoreKeyValue.layerFileSystem), { excludeTestServices: true })(
  "the file store for all cases, by the real clock",
  (it) => {
    for (const { name, run } of SessionStoreContract.make({ runs: 100 })) {
      it.effect(name, () => run, slow)
    }
  }
)

layer(
  Layer.provide(SessionStoreKeyValue.layer, inFreshDirectory(KeyValueStore.layerFileSystem)),
  { excludeTestServices: true }
)("the platform's own files for all cases, by the real clock", (it) => {
  for (const { name, run } of SessionStoreContract.make({ runs: 20 })) {
    it.effect(name, () => run, slow)
  }
})

// -----------------------------------------------------------------------------
// Two processes
// -----------------------------------------------------------------------------

/** The promises about operations that run beside each other: within one process only. */
const isOfOneProcess = ({ name }: SessionStoreContract.Case) => /beside|of many/.test(name)

/** Two stores that know nothing of each other, over the same values, take turns. */
const twoProcesses = Layer.sync(SessionStore.SessionStore, () => {
  const values = overMap(new Map())
  const stores = [sessions.make(values), sessions.make(values)] as const
  let turn = 0
  const next = () => stores[turn++ % 2]!
  return {
    create: (record) => Effect.suspend(() => next().create(record)),
    find: (id) => Effect.suspend(() => next().find(id)),
    update: (record) => Effect.suspend(() => next().update(record)),
    touch: (id, deadline) => Effect.suspend(() => next().touch(id, deadline)),
    rotate: (oldId, record) => Effect.suspend(() => next().rotate(oldId, record)),
    remove: (id) => Effect.suspend(() => next().remove(id)),
    removeBySubject: (realm, subject, options) => Effect.suspend(() => next().removeBySubject(realm, subject, options)),
    listBySubject: (realm, subject) => Effect.suspend(() => next().listBySubject(realm, subject)),
    removeExpired: (limit) => Effect.suspend(() => next().removeExpired(limit))
  }
})

describe("two processes that take turns keep every promise but those about operations beside each other", () => {
  for (const { name, run } of SessionStoreContract.make({ runs: 100 }).filter((one) => !isOfOneProcess(one))) {
    it.effect(name, () => Effect.provide(run, twoProcesses), slow)
  }
})
