// What is seen of a backend from outside, and what never is.
import { HttpApiSecurity } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Metric, Option, Redacted, Schema, Stream, Tracer } from "effect"
import {
  Credentials,
  Guard,
  PasswordHasher,
  Permission,
  SecurityConfig,
  SecurityError,
  SecurityEvents,
  SecurityMetrics,
  Session
} from "effect-security"
import {
  Auth,
  CurrentUser,
  granted,
  idOf,
  type Live,
  live,
  logsTo,
  send,
  signIn,
  storeWith
} from "./session/fixtures.js"
import { fast, newPassword, user, Users } from "./user/fixtures.js"

const post = { method: "POST" }

// -----------------------------------------------------------------------------
// Tracer
// -----------------------------------------------------------------------------

/** A span as an exporter would see it, and all that was ever put into it. */
interface Seen {
  readonly name: string
  readonly attributes: Map<string, unknown>
  readonly written: Array<unknown>
}

/** Notes the spans of everything that runs with it. */
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
          if (Exit.isFailure(exit)) {
            seen.written.push(Cause.pretty(exit.cause, { renderErrorCause: true }))
          }
        }
      }
    }
  }))

const attributesOf = (spans: ReadonlyArray<Seen>, name: string) =>
  spans.filter((span) => span.name === name).map(({ attributes }) =>
    Object.fromEntries(Array.from(attributes).filter(([key]) => key.startsWith("effect_security.")))
  )

describe("the span of a request", () => {
  it.effect("says the backend and the outcome, and the reason of a refusal", () => {
    const spans: Array<Seen> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      spans.length = 0
      yield* send(Auth.user, { token })
      yield* send(Auth.user)
      yield* send(Auth.user, { token: token.replace(/^./, (first) => first === "A" ? "B" : "A") })
      yield* send(Auth.user, { ...post, token, headers: { "sec-fetch-site": "cross-site" } })
      const backend = { "effect_security.backend": "test/Auth" }
      assert.deepStrictEqual(
        spans.map(({ name }) => name),
        Array.from({ length: 4 }, (_, i) => `http.server ${i === 3 ? "POST" : "GET"}`)
      )
      assert.deepStrictEqual(attributesOf(spans, "http.server GET"), [
        { ...backend, "effect_security.outcome": "Authenticated" },
        { ...backend, "effect_security.outcome": "NotAuthorized", "effect_security.reason": "NoCredential" },
        { ...backend, "effect_security.outcome": "NotAuthorized", "effect_security.reason": "UnknownSession" }
      ])
      assert.deepStrictEqual(attributesOf(spans, "http.server POST"), [
        { ...backend, "effect_security.outcome": "CrossSiteRejected", "effect_security.reason": "untrusted site" }
      ])
    }).pipe(Effect.provide(live()), Effect.provide(tracerTo(spans)))
  })

  it.effect("says so also where the application has opened a span inside, and where a write was refused", () => {
    const spans: Array<Seen> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      spans.length = 0
      yield* send(Effect.withSpan(Auth.user, "load user"), { token })
      yield* send(Auth.login({ userId: "ada" }), { ...post, headers: { "sec-fetch-site": "cross-site" } })
      assert.deepStrictEqual(attributesOf(spans, "load user"), [{}])
      assert.deepStrictEqual(
        [...attributesOf(spans, "http.server GET"), ...attributesOf(spans, "http.server POST")].map((_) =>
          _["effect_security.outcome"]
        ),
        ["Authenticated", "CrossSiteRejected"]
      )
    }).pipe(Effect.provide(live()), Effect.provide(tracerTo(spans)))
  })

  it.effect("has no children of this library unless the Layer asks for them", () => {
    const names = (spans: boolean) =>
      Effect.gen(function*() {
        const seen: Array<Seen> = []
        yield* Effect.gen(function*() {
          const token = yield* signIn()
          yield* send(Auth.rotate, { ...post, token })
        }).pipe(Effect.provide(live({ spans })), Effect.provide(tracerTo(seen)))
        return seen.map(({ name }) => name).filter((name) => !name.startsWith("http.server"))
      })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* names(false), [])
      assert.deepStrictEqual(yield* names(true), [
        "SessionStore.create",
        "SessionStore.listBySubject",
        "SessionStore.find",
        "SessionStore.rotate"
      ])
    })
  })
})

// -----------------------------------------------------------------------------
// Metrics
// -----------------------------------------------------------------------------

const counted = (backend: string, outcome: string) =>
  Effect.map(
    Metric.value(
      SecurityMetrics.authentications.pipe(Metric.tagged("backend", backend), Metric.tagged("outcome", outcome))
    ),
    ({ count }) => count
  )

describe("metrics", () => {
  it.effect("count each outcome of a backend once a request, however often the request asks", () => {
    class Counted
      extends SecurityConfig.Tag<Counted>()("test/Counted", { scheme: HttpApiSecurity.bearer, user: CurrentUser })
    {}
    const Live = Counted.layer({
      authenticate: (token) =>
        Redacted.value(token) === "down"
          ? Effect.fail("down")
          : Effect.succeed(Redacted.value(token) === "good" ? Option.some({ id: "ada" }) : Option.none())
    })
    const ask = (token: string) =>
      send(Effect.zipRight(Effect.ignore(Counted.user), Counted.user), {
        headers: { authorization: `Bearer ${token}` }
      })
    return Effect.gen(function*() {
      yield* Effect.forEach(["good", "good", "bad", "down"], ask)
      const outcomes = ["Authenticated", "NotAuthorized", "SecurityUnavailable", "PermissionDenied"]
      assert.deepStrictEqual(yield* Effect.forEach(outcomes, (outcome) => counted("test/Counted", outcome)), [
        2,
        1,
        1,
        0
      ])
      const durations = yield* Metric.value(
        Metric.tagged(SecurityMetrics.authenticationSeconds, "backend", "test/Counted")
      )
      assert.strictEqual(durations.count, 4)
    }).pipe(Effect.provide(Live))
  })

  it.effect("time the operations of the store", () =>
    Effect.gen(function*() {
      const operations = (name: string) =>
        Effect.map(
          Metric.value(
            SecurityMetrics.storeSeconds.pipe(Metric.tagged("backend", "test/Auth"), Metric.tagged("operation", name))
          ),
          ({ count }) => count
        )
      const [creates, finds] = [yield* operations("create"), yield* operations("find")]
      const token = yield* signIn()
      yield* send(Auth.user, { token })
      assert.deepStrictEqual([yield* operations("create"), yield* operations("find")], [creates + 1, finds + 1])
    }).pipe(Effect.provide(live())))
})

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

/** Lets other fibers come to where they wait. */
const settle = Effect.repeatN(Effect.yieldNow(), 50)

/** Runs with a listener, and gives what it has heard at the end. */
const heard = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const events: Array<SecurityEvents.SecurityEvent> = []
    const fiber = yield* Effect.fork(Stream.runForEach(SecurityEvents.stream, (event) =>
      Effect.sync(() => {
        events.push(event)
      })))
    yield* settle
    yield* self
    yield* settle
    yield* Fiber.interrupt(fiber)
    return events
  }).pipe(Effect.provide(SecurityEvents.layer))

const summary = (event: SecurityEvents.SecurityEvent): string => {
  switch (event._tag) {
    case "Rejected":
      return `${event._tag} ${event.error} ${event.reason}`
    case "SignedOut":
      return `${event._tag} ${Option.getOrElse(event.credential, () => "-")}`
    case "SignedIn":
      return `${event._tag} ${event.subject} ${Option.getOrElse(event.credential, () => "-")}`
    case "PasswordChanged":
      return `${event._tag} ${event.subject}`
    case "Rotated":
      return [event._tag, event.subject, ...Option.toArray(event.replaced), ...Option.toArray(event.credential)].join(
        " "
      )
    case "Revoked":
      return [
        event._tag,
        event.subject,
        Option.getOrElse(event.credential, () => "all"),
        ...Option.toArray(event.except).map((id) => `but ${id}`)
      ].join(" ")
  }
}

describe("security events", () => {
  it.effect("tell of every change of a credential and of every refusal, but not of visitors without one", () =>
    Effect.gen(function*() {
      const ids: Array<string> = []
      const events = yield* heard(Effect.gen(function*() {
        const token = yield* signIn()
        const rotated = granted(yield* send(Auth.rotate, { ...post, token }))
        const other = yield* signIn()
        yield* send(Auth.user, { token })
        yield* send(Auth.user)
        yield* send(Auth.logout, { ...post, token: rotated, headers: { origin: "https://evil.example" } })
        yield* send(Auth.revoke(idOf(other)), { ...post, token: rotated })
        yield* send(Auth.revokeAll({ except: "current" }), { ...post, token: rotated })
        yield* send(Auth.logout, { ...post, token: rotated })
        yield* Auth.revokeSubject("bob")
        ids.push(idOf(token), idOf(rotated), idOf(other))
      }))
      const [first, second, third] = ids
      assert.deepStrictEqual(events.map(summary), [
        `SignedIn ada ${first}`,
        `Rotated ada ${first} ${second}`,
        `SignedIn ada ${third}`,
        "Rejected NotAuthorized UnknownSession",
        "Rejected CrossSiteRejected untrusted origin",
        `Revoked ada ${third}`,
        `Revoked ada all but ${second}`,
        `SignedOut ${second}`,
        "Revoked bob all"
      ])
      assert.deepStrictEqual(new Set(events.map(({ backend }) => backend)), new Set(["test/Auth"]))
    }).pipe(Effect.provide(live())))

  it.effect("tell of wrong passwords and of changed ones, by the repository of the users", () =>
    Effect.gen(function*() {
      const ada = user("1", "ada@example.com")
      const [old, next] = [newPassword("correct horse"), newPassword("battery staple")]
      yield* Credentials.register(Users, { user: ada, password: old })
      const change = (current: typeof old) =>
        Credentials.changePassword(Users, { user: ada, current, next, revoke: "keep" })
      const events = yield* heard(Effect.gen(function*() {
        yield* Effect.flip(Credentials.verify(Users, { login: "nobody@example.com", password: old }))
        yield* Effect.flip(change(next))
        yield* change(old)
      }))
      assert.deepStrictEqual(events.map((event) => [event.backend, summary(event)]), [
        ["test/Users", "Rejected NotAuthorized WrongPassword"],
        ["test/Users", "Rejected NotAuthorized WrongPassword"],
        ["test/Users", "PasswordChanged 1"]
      ])
    }).pipe(Effect.provide(Layer.merge(Users.layerMemory, PasswordHasher.layer({ algorithm: fast })))))

  it.effect("tell of a changed password also where the other sessions could not be ended", () =>
    Effect.gen(function*() {
      const ada = user("1", "ada@example.com")
      const [current, next] = [newPassword("correct horse"), newPassword("battery staple")]
      yield* Credentials.register(Users, { user: ada, password: current })
      const revoke = Effect.fail("no")
      const events = yield* heard(
        Effect.flip(Credentials.changePassword(Users, { user: ada, current, next, revoke }))
      )
      assert.deepStrictEqual(events.map(summary), ["PasswordChanged 1"])
    }).pipe(Effect.provide(Layer.merge(Users.layerMemory, PasswordHasher.layer({ algorithm: fast })))))

  it.effect("tell what happens to one session within one request, and of no session that never was", () =>
    Effect.gen(function*() {
      const signedIn = Auth.login({ userId: "ada" })
      const invented = `${"A".repeat(12)}.${"A".repeat(43)}`
      const tags = (self: Effect.Effect<unknown, never, Live>) =>
        Effect.map(heard(self), (events) => events.map(({ _tag }) => _tag))
      assert.deepStrictEqual(yield* tags(send(Effect.zipRight(signedIn, Auth.rotate), post)), ["SignedIn", "Rotated"])
      assert.deepStrictEqual(yield* tags(send(Effect.zipRight(signedIn, Auth.revokeAll()), post)), [
        "SignedIn",
        "Revoked"
      ])
      assert.deepStrictEqual(yield* tags(send(Auth.logout, { ...post, token: invented })), [])
    }).pipe(Effect.provide(live())))

  it.effect("tell of the session that had to end for a new one", () =>
    Effect.gen(function*() {
      const first = yield* signIn()
      const events = yield* heard(signIn())
      assert.deepStrictEqual(events.map(summary).slice(1), [`Revoked ada ${idOf(first)}`])
    }).pipe(Effect.provide(live({ maxPerUser: 1 }))))

  it.effect("stop nobody who signs in, where they cannot be published", () => {
    const broken = Layer.succeed(SecurityEvents.SecurityEvents, {
      publish: () => Effect.dieMessage("the log is full"),
      stream: Stream.empty,
      dropped: Effect.succeed(0)
    })
    return Effect.gen(function*() {
      const token = yield* signIn()
      assert.strictEqual((yield* send(Auth.user, { token })).status, 204)
      yield* send(Auth.logout, { ...post, token })
      assert.strictEqual((yield* send(Auth.user, { token })).status, 401)
    }).pipe(Effect.provide(Layer.provideMerge(live(), broken)))
  })

  it.effect("tell of another site that wanted to change a session, whatever it wanted", () =>
    Effect.gen(function*() {
      const token = yield* signIn()
      const foreign = { ...post, token, headers: { "sec-fetch-site": "cross-site" } }
      for (const operation of [Auth.update((_) => _), Auth.revokeAll(), Auth.rotate]) {
        const events = yield* heard(send(operation as typeof Auth.rotate, foreign))
        assert.deepStrictEqual(events.map(summary), ["Rejected CrossSiteRejected untrusted site"])
      }
    }).pipe(Effect.provide(live())))

  it.effect("tell of refusals by guards and permissions, by the Tag that asked", () => {
    class Buy extends Permission.Tag<Buy>()("test/Buy", { auth: Auth }) {}
    const no = Guard.make<{ readonly id: string }>(() => false, { reason: "closed" })
    const BuyLive = Buy.layer(Guard.make(() => false, { reason: "no money" }))
    return Effect.gen(function*() {
      const token = yield* signIn()
      const events = yield* heard(Effect.zipRight(
        send(Buy.protect(Effect.void), { token }),
        send(Guard.protect(Auth, no)(Effect.void), { token })
      ))
      assert.deepStrictEqual(events.map((event) => [event.backend, summary(event)]), [
        ["test/Buy", "Rejected PermissionDenied no money"],
        ["test/Auth", "Rejected PermissionDenied closed"]
      ])
    }).pipe(Effect.provide(Layer.provideMerge(BuyLive, live())))
  })

  it.effect("tell that a sign-in was taken back with its response, once", () =>
    Effect.gen(function*() {
      const failing = Effect.zipRight(Auth.login({ userId: "ada" }), Effect.fail("no"))
      const both = Effect.zipRight(Auth.login({ userId: "bob" }), Auth.logout)
      const events = yield* heard(Effect.zipRight(send(failing, post), send(both, post)))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["SignedIn", "SignedOut", "SignedIn", "SignedOut"])
    }).pipe(Effect.provide(live())))

  it.effect("are lost, oldest first, and counted, where a listener is behind; nobody waits", () =>
    Effect.gen(function*() {
      const events = yield* SecurityEvents.SecurityEvents
      const entered = yield* Effect.makeLatch()
      const go = yield* Effect.makeLatch()
      const seen: Array<string> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(events.stream.pipe(Stream.rechunk(1)), (event) =>
          Effect.gen(function*() {
            seen.push(event.backend)
            yield* entered.open
            yield* go.await
          }))
      )
      yield* settle
      const publish = (backend: string) =>
        events.publish(new SecurityEvents.SignedOut({ at: new Date(0) as never, backend, credential: Option.none() }))
      yield* publish("first")
      yield* entered.await
      yield* Effect.forEach(["2", "3", "4", "5", "6"], publish)
      assert.strictEqual(yield* SecurityEvents.dropped, 3)
      yield* go.open
      yield* settle
      assert.deepStrictEqual(seen, ["first", "5", "6"])
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(SecurityEvents.layerWith({ capacity: 2 }))))

  it.effect("go nowhere where nobody listens or none are wanted", () =>
    Effect.gen(function*() {
      yield* signIn()
      yield* Effect.provide(signIn(), SecurityEvents.layer)
    }).pipe(Effect.provide(live())))

  it.effect("a capacity that is no positive whole number is refused with a sentence", () =>
    Effect.gen(function*() {
      for (const capacity of [0, -1, 1.5, NaN]) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(SecurityEvents.layerWith({ capacity }))))
        assert.include(
          String(Exit.isFailure(exit) && Cause.pretty(exit.cause)),
          "SecurityEvents: capacity is a positive whole number"
        )
      }
    }))
})

// -----------------------------------------------------------------------------
// No secret
// -----------------------------------------------------------------------------

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "x-service-key" }),
  user: CurrentUser
}) {}

class BasicAuth extends SecurityConfig.Tag<BasicAuth>()("test/BasicAuth", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser
}) {}

class BearerAuth extends SecurityConfig.Tag<BearerAuth>()("test/BearerAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser
}) {}

class Pay extends Permission.Tag<Pay>()("test/Pay", { auth: Auth }) {}

class Cart extends Session.Tag<Cart>()("test/Cart", {
  session: Schema.Struct({ item: Schema.optional(Schema.String) })
}) {}

const backends = Layer.mergeAll(
  KeyAuth.layer({
    authenticate: (key) =>
      Redacted.value(key).startsWith("broken")
        ? Effect.die(new Error("the directory is down"))
        : Effect.succeed(Redacted.value(key).startsWith("good") ? Option.some({ id: "service" }) : Option.none())
  }),
  BasicAuth.layer({ authenticate: () => Effect.fail(new Error("the directory is down")) }),
  BearerAuth.layer({ authenticate: () => Effect.fail(new SecurityError.PermissionDenied({ reason: "suspended" })) })
)

describe("CVE-2023-20866, W15: no token, password, hash or key", () => {
  it.effect("is in a span, a log, a metric, an event, a response body or a rendering, through the whole flow", () => {
    const spans: Array<Seen> = []
    const logs: Array<string> = []
    const bodies: Array<string> = []
    const secrets: Array<string> = []
    const noted = <A, E, R>(handler: Effect.Effect<A, E, R>, sent: Parameters<typeof send>[1] = post) =>
      Effect.tap(send(handler, sent), (reply) => {
        bodies.push(reply.body, String(reply.exit), JSON.stringify(reply.exit))
        if (reply.setCookie.some((cookie) => cookie.startsWith("__Host-session=") && !cookie.includes("Max-Age=0"))) {
          secrets.push(granted(reply))
        }
      })
    const ada = user("1", "ada@example.com")
    const right = "correct horse battery"
    const wrong = "a wrong password of ada"
    const hash = "$fast$salt$aGFzaA"
    const flow = Effect.gen(function*() {
      yield* noted(Effect.flatMap(
        Credentials.register(Users, { user: ada, password: newPassword(right) }),
        ({ id }) => Auth.login({ userId: id })
      ))
      secrets.push(right, wrong, hash)
      const stored = yield* Users.findByLogin(ada.email)
      secrets.push(...Option.toArray(Option.flatMap(stored, ({ passwordHash }) => passwordHash)))
      yield* noted(Credentials.verify(Users, { login: ada.email, password: newPassword(wrong) }))
      yield* noted(Effect.flatMap(
        Credentials.verify(Users, { login: ada.email, password: newPassword(right) }),
        ({ user, verifiedAt }) => Auth.login({ userId: user.id }, { verifiedAt })
      ))
      const token = secrets.at(-1)!
      yield* noted(Auth.user, { token })
      yield* noted(Auth.update((session) => ({ ...session, cart: ["tea"] })), { ...post, token })
      const rotated = granted(yield* noted(Auth.rotate, { ...post, token }))
      yield* noted(Auth.user, { token })
      yield* noted(Auth.user, { headers: { cookie: `__Host-session=${rotated}; __Host-session=${token}` } })
      yield* noted(Auth.sessions, { token: rotated })
      yield* noted(Auth.user, { ...post, token: rotated, headers: { "sec-fetch-site": "cross-site" } })
      const keys = {
        good: "good-key-of-a-service",
        basic: "basic-password",
        key: "service-key-of-somebody",
        broken: "broken-service-key",
        bearer: "bearer-token-of-somebody"
      }
      const basic = Buffer.from(`ada:${keys.basic}`).toString("base64")
      secrets.push(...Object.values(keys), basic)
      yield* noted(KeyAuth.user, { headers: { "x-service-key": keys.key } })
      yield* noted(KeyAuth.user, { headers: { "x-service-key": keys.broken } })
      yield* noted(BasicAuth.user, { headers: { authorization: `Basic ${basic}` } })
      yield* noted(BearerAuth.user, { headers: { authorization: `Bearer ${keys.bearer}` } })
      yield* noted(KeyAuth.user, { headers: { "x-service-key": keys.good } })
      yield* noted(Guard.protect(Auth, Guard.make(() => false))(Effect.void), { token: rotated })
      yield* noted(Pay.protect(Pay.granted), { token: rotated })
      const other = granted(yield* noted(Auth.login({ userId: "1" })))
      yield* noted(Auth.revoke(idOf(other)), { ...post, token: rotated })
      const changed = "another correct horse"
      secrets.push(changed)
      yield* noted(
        Credentials.changePassword(Users, {
          user: ada,
          current: newPassword(right),
          next: newPassword(changed),
          revoke: Auth.revokeAll({ except: "current" })
        }),
        { ...post, token: rotated }
      )
      const renewed = yield* Users.findByLogin(ada.email)
      secrets.push(...Option.toArray(Option.flatMap(renewed, ({ passwordHash }) => passwordHash)))
      const cart = /=([^;]+)/.exec((yield* noted(Cart.update(() => ({ item: "tea" })))).setCookie[0]!)![1]!
      const cookie = { headers: { cookie: `__Host-Cart=${cart}` } }
      const rotatedCart = /=([^;]+)/.exec((yield* noted(Cart.rotate, { ...post, ...cookie })).setCookie[0]!)![1]!
      secrets.push(cart, rotatedCart)
      yield* noted(Cart.session, cookie)
      yield* noted(Cart.clear, { ...post, headers: { cookie: `__Host-Cart=${rotatedCart}` } })
      yield* Auth.revokeSubject("1")
      yield* noted(Auth.revokeAll(), { ...post, token: rotated })
      yield* noted(Auth.logout, { ...post, token: rotated })
      // What is given to the library prints itself nowhere either.
      bodies.push(String(newPassword(right)), JSON.stringify({ password: newPassword(right) }))
    })
    return Effect.gen(function*() {
      const events = yield* heard(flow)
      const metrics = yield* Metric.snapshot
      const seen = {
        spans: spans.map(({ attributes, name, written }) => [name, ...attributes, String(written)]),
        logs,
        bodies,
        events: events.map((event) => [summary(event), JSON.stringify(event), String(event)]),
        metrics: metrics.map((
          { metricKey, metricState }
        ) => [
          JSON.stringify([metricKey.name, metricKey.tags]),
          JSON.stringify(metricState, (_, value) => typeof value === "bigint" ? String(value) : value)
        ])
      }
      // Each of the places was really looked into.
      assert.isAbove(spans.length, 15)
      assert.isTrue(
        spans.some(({ attributes }) => String(attributes.get("http.request.header.x-service-key")).includes("redacted"))
      )
      assert.isAbove(logs.length, 1)
      assert.isAbove(events.length, 8)
      assert.isTrue(seen.metrics.some(([key]) => key?.includes("effect_security_authentications_total")))
      assert.isAtLeast(secrets.length, 11)
      const text = JSON.stringify(seen)
      for (
        const secret of [
          ...secrets,
          ...secrets.flatMap((secret) => secret.length > 40 ? secret.split(".").slice(1) : [])
        ]
      ) {
        const at = text.indexOf(JSON.stringify(secret).slice(1, -1))
        assert.strictEqual(at, -1, text.slice(Math.max(0, at - 200), at + 100))
      }
    }).pipe(
      Effect.provide(Layer.mergeAll(
        Layer.provideMerge(
          Layer.merge(Pay.layer(() => Effect.void), Cart.layer({ spans: true })),
          live({ spans: true })
        ),
        backends,
        Users.layerMemory,
        PasswordHasher.layer({ algorithm: fast }),
        logsTo(logs)
      )),
      Effect.provide(tracerTo(spans))
    )
  })

  it.effect("of a session is in what its store fails with", () => {
    const logs: Array<string> = []
    return Effect.gen(function*() {
      const token = yield* signIn()
      const reply = yield* send(Auth.user, { token })
      assert.strictEqual(reply.status, 503)
      assert.isTrue(logs.some((line) => line.includes("the disk is full")))
      assert.isFalse([...logs, reply.body, String(reply.exit)].join("\n").includes(token.slice(13)))
    }).pipe(
      Effect.provide(live({}, storeWith(() => ({ find: () => Effect.die(new Error("the disk is full")) })))),
      Effect.provide(logsTo(logs))
    )
  })
})
