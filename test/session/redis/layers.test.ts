import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Redacted,
  Schedule,
  Scope
} from "effect"
import { SessionStore } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { Redis } from "ioredis"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { redisUrl } from "../../servers.js"
import { freshPrefix, recordOf } from "./fixtures.js"
import { eventually } from "./outages.js"
import * as redisServer from "./redisServer.js"

const realm = "test/Auth"
const hasServer = redisUrl !== undefined && redisServer.hasProgram

const notUrls = [
  "",
  "oolong",
  "//:oolong@localhost",
  "http://:oolong@localhost:6379",
  "redis:///oolong",
  "redis://:oolong@localhost:65536",
  "redis://:oolong%@localhost",
  "redis://:oolong@localhost/zero",
  "redis://:oolong@localhost/0/1",
  "redis://:oolong@localhost/0?password=oolong",
  "redis://:oolong@localhost/0#oolong",
  "/var/run/oolong.sock"
]

const build = <A, E>(layer: Layer.Layer<A, E>) => Effect.exit(Effect.scoped(Layer.build(layer)))

const causeOf = <A, E>(exit: Exit.Exit<A, E>) => Option.getOrThrow(Exit.causeOption(exit))

describe("settings", () => {
  it.effect("a URL in the configuration that is none is a ConfigError, which does not repeat it", () =>
    Effect.forEach(notUrls, (url) =>
      Effect.gen(function*() {
        const exit = yield* build(SessionStoreRedis.layerConfig({ url: Config.redacted("REDIS_URL") })).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["REDIS_URL", url]])))
        )
        const error = Option.getOrThrow(Cause.failureOption(causeOf(exit)))
        assert.strictEqual(error._op, "InvalidData", url)
        assert.match(String(error), /the URL of Redis|in the URL/)
        assert.notInclude(inspect(error, { depth: 10 }), "oolong")
      })))

  it.effect("a configuration without the URL is a ConfigError", () =>
    Effect.gen(function*() {
      const exit = yield* build(SessionStoreRedis.layerConfig({ url: Config.redacted("REDIS_URL") })).pipe(
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))
      )
      assert.strictEqual(Option.getOrThrow(Cause.failureOption(causeOf(exit)))._op, "MissingData")
    }))

  it.effect("a URL in the code that is none is a defect, which does not repeat it", () =>
    Effect.forEach(notUrls, (url) =>
      Effect.gen(function*() {
        const cause = causeOf(yield* build(SessionStoreRedis.layer({ url: Redacted.make(url) })))
        assert.isTrue(Cause.isDie(cause))
        assert.match(Cause.pretty(cause), /SessionStoreRedis: the .*URL of Redis/)
        assert.notInclude(inspect(cause, { depth: 10 }), "oolong")
      })))

  it.effect("settings that make no sense are a defect that names them", () =>
    Effect.gen(function*() {
      const url = Redacted.make("redis://127.0.0.1:1")
      const wrong = [
        [SessionStoreRedis.layer({ url, prefix: "{a}" }), /the prefix of keys in Redis holds no braces/],
        [SessionStoreRedis.layer({ url, prefix: "a}" }), /the prefix of keys in Redis holds no braces/],
        [SessionStoreRedis.layer({ url, commandTimeout: 0 }), /commandTimeout is a finite duration/],
        [SessionStoreRedis.layer({ url, commandTimeout: "Infinity" as never }), /commandTimeout is a finite duration/],
        [SessionStoreRedis.layer({ url, connectTimeout: -1 }), /connectTimeout is a finite duration/],
        [SessionStoreRedis.layerCluster({ nodes: [] }), /nodes names at least one node/]
      ] as const
      for (const [layer, sentence] of wrong) {
        const cause = causeOf(yield* build(layer))
        assert.isTrue(Cause.isDie(cause))
        assert.match(Cause.pretty(cause), sentence)
      }
    }))
})

describe.skipIf(!hasServer)("a client that the Layer makes", () => {
  const connections = (server: redisServer.RedisServer) =>
    Effect.map(
      server.command("CLIENT", "LIST"),
      // The asking one is among them.
      (list) => String(list).trim().split("\n").length - 1
    )

  it.scopedLive("signs in with the user, password and database of the URL", () =>
    Effect.gen(function*() {
      const password = "p:@/%?# \u00e9"
      const server = yield* redisServer.make({ password })
      yield* server.command("ACL", "SETUSER", "a:da", "on", `>${password}`, "~*", "+@all")
      const urls = [`${server.url}/3`, server.url.replace("redis://:", "redis://a%3Ada:") + "/3"]
      for (const url of urls) {
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          yield* store.create(yield* recordOf(realm, "ada"))
        }).pipe(Effect.provide(SessionStoreRedis.layerConfig({ url: Config.succeed(Redacted.make(url)) })))
      }
      assert.match(String(yield* server.command("INFO", "keyspace")), /db3:keys=3/)
    }))

  it.scopedLive("with a wrong password is unavailable, and neither the failure nor the log holds it", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make({ password: "right-oolong" })
      const logged: Array<unknown> = []
      const logger = Logger.make(({ cause, message }) => void logged.push(message, cause))
      const url = Redacted.make(`redis://:wrong-oolong@127.0.0.1:${server.port}`)
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const error = yield* Effect.flip(store.find((yield* recordOf(realm, "ada")).id))
        assert.strictEqual(error.reason, "Redis: not connected")
        assert.match(String(error.cause), /WRONGPASS/)
        assert.notInclude(inspect([error, error.cause], { depth: 10, showHidden: true }), "oolong")
      }).pipe(
        Effect.provide(SessionStoreRedis.layer({ url })),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.match(inspect(logged, { depth: 10 }), /Redis is not connected.*WRONGPASS/s)
      assert.notInclude(inspect(logged, { depth: 10, showHidden: true }), "oolong")
    }))

  it.scopedLive("logs once that Redis went away, and once that it is back", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) =>
        void logged.push(`${logLevel.label} ${[message].flat()[0]}`)
      )
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const { id } = yield* recordOf(realm, "ada")
        for (let round = 1; round <= 2; round++) {
          yield* server.kill
          yield* Effect.repeat(Effect.flip(store.find(id)), {
            schedule: Schedule.spaced("10 millis"),
            until: ({ cause }) => /ECONNREFUSED/.test(String(cause))
          })
          yield* server.start
          yield* eventually(store.find(id))
          yield* Effect.repeat(Effect.yieldNow(), { until: () => logged.length >= 2 * round })
        }
      }).pipe(
        Effect.provide(SessionStoreRedis.layer({ url: Redacted.make(server.url) })),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      const once = ["WARN Redis is not connected", "INFO Redis is connected again"]
      assert.deepStrictEqual(logged, [...once, ...once])
    }))

  it.scopedLive("is one connection, for sessions and epochs, and is closed with the scope", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(SessionStoreRedis.layer({ url: Redacted.make(server.url) }), scope)
      assert.strictEqual(yield* connections(server), 1)
      yield* Scope.close(scope, Exit.void)
      yield* Effect.repeat(connections(server), { until: (count) => count === 0 })
    }))

  it.scopedLive("is closed when the Layer is interrupted while it connects", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* server.stop
      const building = yield* Effect.fork(Effect.scoped(
        Layer.build(SessionStoreRedis.layer({ url: Redacted.make(server.url), commandTimeout: "1 hour" }))
      ))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(building)
      yield* server.resume
      yield* Effect.repeat(connections(server), { until: (count) => count === 0 })
    }))

  it.scopedLive("keeps no process alive after the scope, whatever Redis does", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      const stopped = yield* redisServer.make()
      yield* stopped.stop
      const nothing = `redis://127.0.0.1:${yield* redisServer.freePort}`
      const urls = [
        `node=${server.url}`,
        ...["node", "cluster"].flatMap((kind) => [`${kind}=${nothing}`, `${kind}=${stopped.url}`])
      ]
      const { code, output } = yield* Effect.async<{ readonly code: number | null; readonly output: string }>(
        (resume) => {
          const script = fileURLToPath(new URL("./closes.ts", import.meta.url))
          const child = spawn(process.execPath, ["--import", "tsx", script, ...urls], {
            stdio: ["ignore", "pipe", "inherit"]
          })
          let output = ""
          child.stdout.on("data", (data) => output += data)
          child.once("close", (code) => resume(Effect.succeed({ code, output })))
          return Effect.sync(() => child.kill("SIGKILL"))
        }
      )
      const answers = output.split("\n").filter((line) => /^(node|cluster): /.test(line))
      const away = "Redis: not connected"
      assert.deepStrictEqual(answers, [
        "node: answered",
        `node: ${away}`,
        `node: ${away}`,
        `cluster: ${away}`,
        `cluster: ${away}`
      ])
      assert.strictEqual(code, 0)
    }), 60_000)
})

describe.skipIf(redisUrl === undefined)("a client of the application's", () => {
  const url = redisUrl ?? ""

  const works = Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const record = yield* recordOf(realm, "ada")
    yield* store.create(record)
    assert.deepStrictEqual(yield* store.find(record.id), Option.some(record))
    yield* store.remove(record.id)
  })

  it.scopedLive("is used and not closed", () =>
    Effect.gen(function*() {
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(url, { lazyConnect: true })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const prefix = freshPrefix()
      yield* Effect.provide(works, SessionStoreRedis.layerClient(client, { prefix }))
      assert.strictEqual(yield* Effect.promise(() => client.ping()), "PONG")
      yield* Effect.provide(works, SessionStoreRedis.layerClient(Effect.succeed(client), { prefix }))
      assert.strictEqual(yield* Effect.promise(() => client.ping()), "PONG")
    }))

  it.scopedLive("may be made by an Effect, which may fail", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const client = Effect.acquireRelease(
        Effect.sync(() => {
          events.push("made")
          return new Redis(url)
        }),
        (client) =>
          Effect.promise(async () => {
            events.push(await client.ping())
            client.disconnect()
          })
      )
      yield* Effect.provide(works, SessionStoreRedis.layerClient(client, { prefix: freshPrefix() }))
      assert.deepStrictEqual(events, ["made", "PONG"])
      const failing = SessionStoreRedis.layerClient(Effect.fail("no client" as const))
      assert.deepStrictEqual(yield* Effect.flip(Layer.build(failing)), "no client")
    }))
})
