import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type { Scope } from "effect/Scope"
import { Cluster, Redis } from "ioredis"
import type { RedisOptions } from "ioredis"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import type { Client, Connection } from "./connection.js"
import * as connection from "./connection.js"
import * as failure from "./failure.js"
import type { Settings } from "./settings.js"

// Clients that a Layer makes, and closes with its scope. Nothing is kept for later: while there is no connection a
// command fails at once, and one that is on its way when the connection ends fails then. Sent again it could be done
// twice, and sent after an outage it would be done when nobody waits for it any more.

/** How long a closed connection may take to say goodbye, in milliseconds. */
const farewell = 200

/** The longest pause between two tries to connect, in milliseconds. */
const longestPause = 2_000

const pause = (tries: number): number => Math.min(longestPause, 50 * 2 ** Math.min(tries - 1, 10))

const common = ({ commandTimeout, connectTimeout }: Settings) =>
  ({
    connectTimeout: Duration.toMillis(connectTimeout),
    commandTimeout: Duration.toMillis(commandTimeout),
    disconnectTimeout: farewell,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false
  }) satisfies RedisOptions

// -----------------------------------------------------------------------------
// Lifecycle
// -----------------------------------------------------------------------------

interface Owned<C extends Client> {
  readonly client: C
  /** What the last try to connect failed with; undefined while there is a connection. */
  readonly lastError: () => unknown
}

/** Logs when Redis goes away and when it is back, and not each try between. */
const watch = <C extends Client>(client: C, runtime: Runtime.Runtime<never>) => {
  let isLost = false
  let isClosing = false
  let lastError: unknown
  const log = Runtime.runFork(runtime)
  const lose = (error: unknown) => {
    lastError = error
    if (isLost || isClosing) return
    isLost = true
    log(Effect.logWarning("Redis is not connected", failure.cleaned(error)))
  }
  // Without a listener for "error", ioredis writes to the console.
  client.on("error", lose)
  client.on("close", () => lose(lastError ?? new Error("the connection was closed")))
  client.on("node error", (error: unknown) => {
    lastError = error
  })
  client.on("ready", () => {
    lastError = undefined
    if (isLost) log(Effect.logInfo("Redis is connected again"))
    isLost = false
  })
  return {
    client,
    lastError: () => lastError,
    close: Effect.sync(() => {
      isClosing = true
      client.disconnect()
    })
  }
}

/** Ends with the first try, however it ended. */
const firstTry = (client: Client): Effect.Effect<void> =>
  Effect.async((resume) => {
    const events = ["ready", "close", "end"]
    const stop = () => events.forEach((event) => client.off(event, done))
    const done = () => {
      stop()
      resume(Effect.void)
    }
    events.forEach((event) => client.on(event, done))
    client.connect().catch(done)
    return Effect.sync(stop)
  })

const acquire = <C extends Client>(make: () => C): Effect.Effect<Owned<C>, never, Scope> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) =>
    Effect.tap(
      Effect.acquireRelease(Effect.sync(() => watch(make(), runtime)), ({ close }) => close),
      ({ client }) => firstTry(client)
    ))

const whileReady = <A>(
  { client, lastError }: Owned<Client>,
  command: Effect.Effect<A, SecurityUnavailable>
): Effect.Effect<A, SecurityUnavailable> =>
  Effect.suspend(() => client.status === "ready" ? command : Effect.fail(failure.disconnected(lastError())))

// -----------------------------------------------------------------------------
// One node
// -----------------------------------------------------------------------------

const isTimeout = (error: unknown): boolean => error instanceof Error && error.message === "Command timed out"

/**
 * A connection on which nothing at all has come back while a command timed out is given up for a fresh one: the network
 * may have lost it, and would take many minutes to say so.
 */
const replacingSilent = (client: Redis) => {
  let answers = 0
  return <A>(command: () => Promise<A>): Promise<A> => {
    const before = answers
    return command().then((answer) => {
      answers++
      return answer
    }, (error) => {
      if (!isTimeout(error)) {
        answers++
      } else if (answers === before && client.status === "ready") {
        client.disconnect(true)
      }
      return Promise.reject(error)
    })
  }
}

export const single = (where: RedisOptions, settings: Settings): Effect.Effect<Connection, never, Scope> =>
  Effect.map(
    acquire(() =>
      new Redis({
        ...where,
        ...common(settings),
        lazyConnect: true,
        enableOfflineQueue: false,
        retryStrategy: pause,
        // A name that leads to the primary may still lead to the old one.
        reconnectOnError: (error) => error.message.startsWith("READONLY")
      })
    ),
    (owned): Connection => {
      const watched = replacingSilent(owned.client)
      return {
        client: owned.client,
        ask: (command) => whileReady(owned, connection.attempt(() => watched(() => command(owned.client))))
      }
    }
  )

// -----------------------------------------------------------------------------
// Cluster
// -----------------------------------------------------------------------------

type Access = Pick<RedisOptions, "username" | "password" | "tls">

export const cluster = (
  nodes: ReadonlyArray<{ readonly host: string; readonly port: number }>,
  access: Access,
  settings: Settings
): Effect.Effect<Connection, never, Scope> =>
  Effect.map(
    acquire(() =>
      new Cluster(nodes.map(({ host, port }) => ({ host, port })), {
        lazyConnect: true,
        // The nodes connect when they are first asked, and what is asked meanwhile waits for that.
        enableOfflineQueue: true,
        clusterRetryStrategy: pause,
        slotsRefreshTimeout: Duration.toMillis(settings.connectTimeout),
        // Sent again after a connection ended, a command could be done twice.
        retryDelayOnFailover: 0,
        // By their names: an address has no certificate.
        dnsLookup: (host, callback) => callback(null, host),
        redisOptions: {
          ...access,
          ...common(settings),
          // A node that was lost is a new client afterwards: here this does what `replacingSilent` does for one node.
          socketTimeout: 2 * Duration.toMillis(settings.commandTimeout)
        }
      })
    ),
    (owned): Connection => ({
      client: owned.client,
      ask: (command) => whileReady(owned, connection.attempt(() => command(owned.client)))
    })
  )
