import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Cluster, Redis } from "ioredis"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import * as failure from "./failure.js"
import type { Script } from "./scripts.js"

export type Client = Redis | Cluster

/** A client, and how it is asked: within a bounded time, and with a typed failure. */
export interface Connection {
  readonly client: Client
  readonly ask: <A>(command: (client: Client) => Promise<A>) => Effect.Effect<A, SecurityUnavailable>
}

export const attempt = <A>(command: () => Promise<A>): Effect.Effect<A, SecurityUnavailable> =>
  Effect.tryPromise({ try: command, catch: failure.unavailable })

/** A client that the application has made and will close. How it reconnects is the application's choice. */
export const borrowed = (client: Client, timeout: Duration.Duration): Connection => ({
  client,
  ask: (command) =>
    Effect.timeoutFail(attempt(() => command(client)), {
      duration: timeout,
      onTimeout: failure.late
    })
})

const isUnknownScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith("NOSCRIPT")

/** Sends the name of a script, and its text where the server does not know it: it forgets with each restart. */
export const run = (
  { ask }: Connection,
  { sha, text }: Script,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<string | number>
): Effect.Effect<unknown, SecurityUnavailable> =>
  ask((client) =>
    client.evalsha(sha, keys.length, ...keys, ...args).catch((error) =>
      isUnknownScript(error) ? client.eval(text, keys.length, ...keys, ...args) : Promise.reject(error)
    )
  )
