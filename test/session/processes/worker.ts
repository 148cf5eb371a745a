// A process that works on a store beside others, as its parent tells it. It ends with its parent.
import { Cause, Effect, Exit, Layer, Queue } from "effect"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import type { FromWorker, Job, ToWorker } from "./protocol.js"
import { cached, open } from "./stores.js"

/** Ends when the message has left this process: what was said stays said, whatever becomes of the process. */
const say = (message: FromWorker) =>
  Effect.async<void>((resume) => {
    process.send!(message, () => resume(Effect.void))
  })

const passes = Effect.runSync(Queue.unbounded<void>())

const run = ({ isCached, options, place }: Job) =>
  SessionStoreContract.workload({
    ...options,
    // The same in all processes of a machine: the time since it has started.
    instant: Effect.sync(() => Number(process.hrtime.bigint())),
    barrier: Effect.zipRight(say({ say: "waiting" }), Queue.take(passes)),
    log: (entry) => say({ say: "entry", entry })
  }).pipe(
    Effect.provide(isCached ? Layer.provide(cached, open(place)) : open(place)),
    Effect.exit,
    Effect.flatMap((exit) =>
      say(Exit.isSuccess(exit) ? { say: "done" } : { say: "failed", cause: Cause.pretty(exit.cause) })
    )
  )

process.on("message", (message: ToWorker) => {
  if (message.say === "pass") {
    Queue.unsafeOffer(passes, undefined)
  } else {
    Effect.runFork(run(message.job))
  }
})
process.on("disconnect", () => process.exit())
Effect.runFork(say({ say: "ready" }))
