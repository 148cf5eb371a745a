// What is seen of sealed sessions from outside: never a key, never what one holds.
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Metric, Tracer } from "effect"
import { SecurityUnavailable } from "effect-security/SecurityError"
import type * as SecurityEvents from "effect-security/SecurityEvents"
import * as SecurityMetrics from "effect-security/SecurityMetrics"
import { inspect } from "node:util"
import { Auth, logsTo, send } from "../fixtures.js"
import type { Reply } from "../fixtures.js"
import {
  bytesOf,
  cookieOf,
  epochsWith,
  eventsTo,
  key,
  parse,
  posting,
  revocable,
  signIn,
  textOf,
  withCookie
} from "./fixtures.js"

interface Seen {
  readonly name: string
  readonly attributes: Map<string, unknown>
  readonly written: Array<unknown>
}

/** Notes the spans of everything that runs with it, as an exporter would see them. */
const tracerTo = (spans: Array<Seen>): Layer.Layer<never> =>
  Layer.setTracer(Tracer.make({
    context: (f) => f(),
    span: (name, parent, context, links, startTime, kind) => {
      const seen: Seen = { name, attributes: new Map(), written: [] }
      spans.push(seen)
      return {
        _tag: "Span",
        name,
        spanId: String(spans.length),
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes: seen.attributes,
        links,
        sampled: true,
        kind,
        attribute: (key, value) => {
          seen.attributes.set(key, value)
        },
        event: (...event) => {
          seen.written.push(event)
        },
        addLinks: () => undefined,
        end: (_, exit) => {
          // What succeeded is the response itself, cookies and all, which no exporter writes.
          if (Exit.isFailure(exit)) seen.written.push(Cause.pretty(exit.cause, { renderErrorCause: true }))
        }
      }
    }
  }))

const secretItem = "opium-for-ada"

/** Everything that somebody may do, well and badly. */
const program = Effect.gen(function*() {
  const login = Auth.login({ userId: "ada", cart: [secretItem, "x".repeat(4_000)] })
  const replies: Array<Reply<unknown, unknown>> = []
  const sending = (operation: Effect.Effect<any, any, any>, cookie?: string) =>
    Effect.tap(
      send(operation as Effect.Effect<unknown, unknown, never>, posting(cookie)),
      (reply) => Effect.sync(() => replies.push(reply))
    )
  const cookie = cookieOf(yield* sending(login))
  const cookies = [cookie]
  yield* sending(Auth.protect(Auth.session), cookie)
  for (const operation of [Auth.rotate, Auth.update((session) => ({ ...session, cart: [secretItem] }))]) {
    cookies.push(cookieOf(yield* sending(operation, cookie)))
  }
  yield* sending(Effect.zipRight(login, Effect.die("oops")))
  yield* sending(Auth.login({ userId: "ada", cart: [secretItem, "x".repeat(9_000)] }), cookie)
  yield* sending(Auth.login({ userId: "ada", cart: [secretItem, "x".repeat(20_000)] }), cookie)
  yield* sending(Auth.update(() => ({ userId: secretItem })), cookie)
  yield* sending(Auth.user, cookie.slice(0, -2))
  yield* sending(Auth.user, cookie.split(";")[0])
  yield* send(Auth.user, withCookie(cookie, { method: "POST", headers: { origin: "https://evil.example" } }))
  yield* Effect.logInfo("an answer", yield* sending(Auth.user, cookie).pipe(Effect.map(({ exit }) => exit)))
  yield* sending(Auth.revokeAll({ except: "current" }), cookie)
  yield* sending(Auth.logout, cookie)
  return { cookies, replies }
})

describe("what is seen", () => {
  it.effect("of sealed sessions holds no key, no cookie and nothing of what a session holds", () => {
    const spans: Array<Seen> = []
    const events: Array<SecurityEvents.SecurityEvent> = []
    const lines: Array<string> = []
    const keys = [key("newest"), key("older")]
    const layer = revocable({ keys, spans: true }).pipe(
      Layer.provide(eventsTo(events)),
      Layer.provideMerge(tracerTo(spans)),
      Layer.provideMerge(logsTo(lines))
    )
    return Effect.gen(function*() {
      const { cookies, replies } = yield* program
      assert.deepStrictEqual(
        [...new Set(replies.map(({ status }) => status))].sort(),
        [204, 401, 413, 500]
      )
      assert.isAbove(events.length, 6)
      assert.isTrue(spans.some(({ name }) => name === "SessionEpoch.current"))
      assert.isTrue(spans.some(({ name }) => name === "SessionEpoch.advance"))
      const seen = inspect([spans, events], { depth: 20, maxStringLength: null, maxArrayLength: null }) +
        lines.join("\n") + replies.map(({ body, headers }) =>
          body + JSON.stringify([...headers].filter(([name]) =>
            name !== "set-cookie"
          ))
        ).join("\n")
      const secrets = [
        secretItem,
        ...["newest", "older"].flatMap((seed) => [
          textOf(seed).slice(0, 12),
          Buffer.from(bytesOf(seed)).toString("hex").slice(0, 12)
        ]),
        ...cookies.flatMap((cookie) =>
          Object.values(parse(cookie)).flatMap((value) => [value.slice(20, 50), value.slice(-30)])
        )
      ]
      assert.isAbove(secrets.length, 10)
      for (const secret of secrets) assert.notInclude(seen, secret)
    }).pipe(Effect.provide(layer)) as Effect.Effect<void>
  })

  it.effect("of an outage of the epochs names it, and what went wrong", () => {
    const lines: Array<string> = []
    const broken = epochsWith(() => ({
      current: () => Effect.fail(new SecurityUnavailable({ reason: "no epochs", cause: new Error("ECONNREFUSED") }))
    }))
    return Effect.gen(function*() {
      const reply = yield* send(Auth.login({ userId: "ada" }), posting())
      assert.strictEqual(reply.status, 503)
      assert.match(lines.join("\n"), /the session epoch is not available/)
      assert.match(lines.join("\n"), /ECONNREFUSED/)
      assert.notInclude(reply.body, "epoch")
    }).pipe(Effect.provide(Layer.provideMerge(revocable({}, broken), logsTo(lines))))
  })

  it.effect("of the epochs is timed like a store", () =>
    Effect.gen(function*() {
      const seconds = SecurityMetrics.storeSeconds.pipe(
        Metric.tagged("backend", Auth.key),
        Metric.tagged("operation", "current")
      )
      const before = (yield* Metric.value(seconds)).count
      const cookie = yield* signIn()
      yield* send(Auth.user, withCookie(cookie))
      assert.strictEqual((yield* Metric.value(seconds)).count, before + 2)
    }).pipe(Effect.provide(revocable())))
})
