// The rules of this house that oxlint does not have. .oxlintrc.json switches them on; selftest.mjs proves that each
// can fail.
import { clock } from "./clock.mjs"
import { documented } from "./documented.mjs"
import { effects } from "./effects.mjs"
import { imports } from "./imports.mjs"
import { reasons } from "./reasons.mjs"

export default { meta: { name: "house" }, rules: { clock, documented, effects, imports, reasons } }
