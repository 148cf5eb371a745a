import { describe, layer } from "@effect/vitest"
import { Layer } from "effect"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import { kinds, layerFresh } from "./databases.js"

const cases = SessionStoreContract.make({ runs: 100 })

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`sessions in ${kind.name}`, () => {
    const store = SessionStoreSql.layer.pipe(
      Layer.provide(SessionStoreSql.layerMigrations),
      Layer.provide(layerFresh(kind)),
      Layer.orDie
    )
    layer(store, { excludeTestServices: true })((it) => {
      for (const { name, run } of cases) {
        it.effect(name, () => run, 60_000)
      }
    })
  })
}
