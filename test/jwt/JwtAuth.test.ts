// Tokens over HTTP, from every place where one can be; what only a cookie does is in JwtCookieAuth.test.ts.
import { HttpMiddleware, HttpRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import type { HttpApp } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  DateTime,
  Deferred,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Inspectable,
  Layer,
  Logger,
  LogLevel,
  Metric,
  Option,
  Redacted,
  Schema,
  Stream,
  TestClock,
  Tracer
} from "effect"
import * as Guard from "effect-security/Guard"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtAuth from "effect-security/jwt/JwtAuth"
import type * as JwtKeys from "effect-security/jwt/JwtKeys"
import * as SecurityError from "effect-security/SecurityError"
import type * as SecurityEvents from "effect-security/SecurityEvents"
import { inspect } from "node:util"
import { WebSocket } from "ws"
import {
  get,
  listen,
  onNode,
  post as postRoute,
  requestText,
  routerNames,
  routers,
  serve,
  surfaces
} from "../edge/harness.js"
import type { NodeServer, Reply as EdgeReply } from "../edge/harness.js"
import * as RawHttp from "../edge/rawHttp.js"
import {
  anyByte,
  assertShare,
  assertStatus,
  everyCase,
  few,
  headerByte,
  host,
  limit,
  oneOf,
  piecesOf,
  refusedByNode,
  repeated,
  splice,
  written
} from "../edge/robustness.js"
import type { Header } from "../edge/robustness.js"
import { CurrentUser, logsTo, send } from "../session/fixtures.js"
import type { Reply, Sent, User } from "../session/fixtures.js"
import {
  audience,
  base64Url,
  complaintOf,
  issuer,
  now,
  pairOf,
  partsOf,
  ring,
  setSeconds,
  spyKey,
  tokenOf
} from "./fixtures.js"
import * as F from "./httpFixtures.js"
import { me, TokenAuth, tokenWith } from "./httpFixtures.js"
import type { Place } from "./httpFixtures.js"

// -----------------------------------------------------------------------------
// Asking
// -----------------------------------------------------------------------------

/** Shows a token. */
const ask = <A, E, R>(place: Place, token: string, handler: Effect.Effect<A, E, R>, sent: Sent = {}) =>
  send(handler, { ...sent, headers: { ...place.present(token), ...sent.headers } })

/** What a client is answered that is not let in. */
const refusalOf = (reply: Reply<unknown, unknown>) => ({
  status: reply.status,
  challenge: reply.headers.get("www-authenticate"),
  vary: reply.headers.get("vary"),
  caching: reply.headers.get("cache-control"),
  tag: JSON.parse(reply.body)._tag,
  cookies: reply.setCookie
})

const refusal = (place: Place, kind: "missing" | "bad") => ({
  status: 401,
  challenge: place.challenge[kind],
  vary: place.vary,
  caching: "no-store",
  tag: "NotAuthorized",
  cookies: []
})

/** Whether tokens are let in, under the same names. */
const statuses = (place: Place, tokens: Readonly<Record<string, string>>) =>
  Effect.map(
    Effect.forEach(Object.entries(tokens), ([name, token]) =>
      Effect.map(ask(place, token, me), ({ status }) => [name, status] as const)),
    (statuses) =>
      Object.fromEntries(statuses)
  )

const failure = <A, E>({ exit }: Reply<A, E>) =>
  Exit.match(exit, { onFailure: (cause) => cause._tag === "Fail" ? cause.error : cause, onSuccess: () => undefined })

const success = <A, E>({ exit }: Reply<A, E>): A => Exit.getOrElse(exit, (cause) => assert.fail(Cause.pretty(cause)))

const others = pairOf("HS256")

const bad: Readonly<Record<string, string>> = {
  "hexadecimal digits": "5f2d8c1ab04e9973",
  "two parts": tokenWith().split(".").slice(0, 2).join("."),
  "four parts": `${tokenWith()}.AA`,
  "of another key": tokenOf(others, partsOf(tokenWith()).claims),
  "without a signature": `${base64Url("{\"alg\":\"none\"}")}.${tokenWith().split(".")[1]}.`,
  "of an algorithm that is not accepted": tokenOf(pairOf("HS512"), partsOf(tokenWith()).claims),
  "with another payload": tokenWith().replace(/\.[^.]+\./, `.${tokenWith({ sub: "bob" }).split(".")[1]}.`),
  "expired": tokenWith({ iat: now - 930, exp: now - 30 }),
  "not yet valid": tokenWith({ nbf: now + 31 }),
  "issued in the future": tokenWith({ iat: now + 31 }),
  "without an expiry": tokenWith({ exp: undefined }),
  "of another issuer": tokenWith({ iss: "https://evil.example" }),
  "for another audience": tokenWith({ aud: "https://other.example.com" }),
  "without an audience": tokenWith({ aud: undefined }),
  "without a subject": tokenWith({ sub: undefined }),
  "whose subject is a number": tokenWith({ sub: 7 }),
  "for access where an ordinary one is expected": tokenWith({}, { typ: "at+jwt" }),
  "with an extension that has to be understood": tokenWith({}, { crit: ["exp"] }),
  "over 8 KiB": tokenWith({ role: "x".repeat(8_192) }),
  "whose claims are not those of the schema": tokenWith({ role: 7 })
}

for (const place of F.places) {
  const run = F.withLive(F.live(place))
  const running = (options: F.Options) => F.withLive(F.live(place, options))

  // ---------------------------------------------------------------------------
  // Reading
  // ---------------------------------------------------------------------------

  describe(`a request with a token in ${place.title}`, () => {
    it.effect("without a token is 401 with a challenge that names no error (103)", () =>
      Effect.gen(function*() {
        const reply = yield* send(me)
        assert.deepStrictEqual(refusalOf(reply), refusal(place, "missing"))
        assert.strictEqual((failure(reply) as SecurityError.NotAuthorized).reason, "NoCredential")
      }).pipe(run))

    it.effect("has the user and the claims of it, in a private answer (104, 110)", () =>
      Effect.gen(function*() {
        const token = tokenWith({ sub: "ada", role: "admin" })
        const reply = yield* ask(place, token, TokenAuth.protect(Effect.all([CurrentUser, TokenAuth.authenticated])))
        const [user, { auth, user: again }] = success(reply)
        assert.deepStrictEqual([user, auth], [{ id: "ada" }, { sub: "ada", role: "admin" }])
        assert.isTrue(user === again)
        assert.deepStrictEqual(
          [reply.headers.get("vary"), reply.headers.get("cache-control"), reply.setCookie],
          [place.vary, "no-store", []]
        )
      }).pipe(run))

    it.effect("is 401 where the token is not good, in whichever way, and the answer never says which (106, 112, 121)", () =>
      Effect.gen(function*() {
        const bodies = new Set<string>()
        for (
          const [name, token] of [
            ...Object.entries(bad),
            ...["yesterday", "", "1795513777", null, [], true].map((iat) =>
              [`issued at ${JSON.stringify(iat)}`, tokenWith({ iat })] as const
            )
          ]
        ) {
          const reply = yield* ask(place, token, me)
          assert.deepStrictEqual(refusalOf(reply), refusal(place, "bad"), name)
          bodies.add(F.wholeOf(reply))
        }
        assert.strictEqual(bodies.size, 1)
      }).pipe(run))

    it.effect("is 401 for a subject that there is not, though its token is signed and good (107, 113)", () =>
      Effect.gen(function*() {
        const reply = yield* ask(place, tokenWith({ sub: "ghost" }), me)
        assert.deepStrictEqual(refusalOf(reply), refusal(place, "bad"))
        assert.strictEqual((failure(reply) as SecurityError.NotAuthorized).reason, "UnknownUser")
      }).pipe(run))

    for (const user of [0, "", false, {}, null]) {
      it.effect(`is of the user that retrieveUser finds, be it ${JSON.stringify(user)}: nobody is None and nothing else (O14)`, () =>
        Effect.gen(function*() {
          const reply = yield* ask(place, tokenWith(), TokenAuth.user)
          assert.strictEqual(success(reply) as unknown, user)
          assert.strictEqual((yield* ask(place, tokenWith({ sub: "ghost" }), TokenAuth.user)).status, 401)
        }).pipe(running({
          retrieveUser: ({ sub }: F.Claims) => Effect.succeed(sub === "ghost" ? Option.none() : Option.some(user))
        })))
    }

    it.effect("is let in by its issuer, one or one of several, and by no other (122)", () =>
      Effect.gen(function*() {
        const tokens = { a: tokenWith({ iss: "a" }), b: tokenWith({ iss: "b" }), A: tokenWith({ iss: "A" }) }
        const seen = (issuer: "a" | "b" | readonly ["a", "b"] | readonly ["b"]) =>
          Effect.provide(statuses(place, tokens), F.live(place, { issuer }))
        yield* setSeconds(now)
        assert.deepStrictEqual(yield* seen("a"), { a: 200, b: 401, A: 401 })
        assert.deepStrictEqual(yield* seen(["a", "b"]), { a: 200, b: 200, A: 401 })
        assert.deepStrictEqual(yield* seen(["b"]), { a: 401, b: 200, A: 401 })
      }))

    it.effect("is let in by its audience, one or one of several on either side, and by no other (123)", () =>
      Effect.gen(function*() {
        const tokens = {
          a: tokenWith({ aud: "a" }),
          b: tokenWith({ aud: ["b"] }),
          both: tokenWith({ aud: ["a", "b"] }),
          none: tokenWith({ aud: undefined })
        }
        const seen = (audience: string | readonly [string, ...ReadonlyArray<string>]) =>
          Effect.provide(statuses(place, tokens), F.live(place, { audience }))
        yield* setSeconds(now)
        assert.deepStrictEqual(yield* seen("a"), { a: 200, b: 401, both: 200, none: 401 })
        assert.deepStrictEqual(yield* seen(["a", "b"]), { a: 200, b: 200, both: 200, none: 401 })
        assert.deepStrictEqual(yield* seen(["b"]), { a: 401, b: 200, both: 200, none: 401 })
      }))

    it.effect("is let in strictly by an audience that is one text (124)", () =>
      Effect.gen(function*() {
        const tokens = {
          a: tokenWith({ aud: "a" }),
          list: tokenWith({ aud: ["a"] }),
          both: tokenWith({ aud: ["a", "b"] })
        }
        const seen = (audience: string | readonly [string]) =>
          Effect.provide(statuses(place, tokens), F.live(place, { audience, strictAudience: true }))
        yield* setSeconds(now)
        assert.deepStrictEqual(yield* seen("a"), { a: 200, list: 401, both: 401 })
        assert.deepStrictEqual(yield* seen(["a"]), { a: 200, list: 401, both: 401 })
        assert.deepStrictEqual(yield* seen(["b"]), { a: 401, list: 401, both: 401 })
      }))

    it.effect("is let in with the claims that the schema requires, and not without one of them (125)", () => {
      class Required extends JwtAuth.Tag<Required>()("test/Required", {
        user: CurrentUser,
        claims: Schema.Struct({ sub: Schema.String, jti: Schema.String, tenant: Schema.NonEmptyString })
      }) {}
      const layer = F.liveOf(Required, place) as Layer.Layer<Required>
      return Effect.gen(function*() {
        const seen = (change: Readonly<Record<string, unknown>>) =>
          Effect.map(ask(place, tokenWith(change), Effect.asVoid(Required.authenticated)), ({ status }) => status)
        assert.strictEqual(yield* seen({ tenant: "acme" }), 204)
        assert.strictEqual(yield* seen({}), 401)
        assert.strictEqual(yield* seen({ tenant: "" }), 401)
        assert.strictEqual(yield* seen({ tenant: "acme", jti: undefined }), 401)
      }).pipe(F.withLive(layer))
    })

    it.effect("is let in until its expiry and from its beginning on, to the tolerance (126, 127, O9)", () =>
      Effect.gen(function*() {
        const seen = (change: Readonly<Record<string, unknown>>) =>
          Effect.map(ask(place, tokenWith(change), me), ({ status }) => status)
        const at = (name: string, seconds: ReadonlyArray<number>) =>
          Effect.forEach(seconds, (offset) => seen({ [name]: now + offset }))
        assert.deepStrictEqual(yield* at("exp", [1, 0, -29.5, -30, -3_600]), [200, 200, 200, 401, 401])
        assert.deepStrictEqual(yield* at("nbf", [-1, 0, 30, 30.5, 3_600]), [200, 200, 200, 401, 401])
        assert.deepStrictEqual(yield* at("iat", [2, 30, 30.5]), [200, 200, 401])
        assert.deepStrictEqual(yield* at("exp", [0.25, 890.5]), [200, 200])
        // What is signed and says something odd besides is no concern of anybody's.
        assert.strictEqual(yield* seen({ extras: "no object", more: 1 }), 200)
        yield* TestClock.adjust("919 seconds")
        assert.strictEqual(yield* seen({ nbf: now }), 200)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* seen({ nbf: now }), 401)
      }).pipe(run))

    it.effect("has claims as their schema decodes them, and beside them all that the token says (117)", () => {
      class Custom extends JwtAuth.Tag<Custom>()("test/Custom", {
        user: CurrentUser,
        claims: Schema.Struct({ sub: Schema.String, level: Schema.NumberFromString })
      }) {}
      const layer = F.liveOf(Custom, place) as Layer.Layer<F.Live | Custom>
      return Effect.gen(function*() {
        const token = tokenWith({ level: "2", email: "ada@example.com" })
        const reply = yield* ask(
          place,
          token,
          Effect.all([Custom.claims, Custom.token as Effect.Effect<Jwt.Token, never, any>]) as Effect.Effect<
            [{ sub: string; level: number }, Jwt.Token],
            never,
            Custom | HttpServerRequest.HttpServerRequest
          >
        )
        const [claims, { claims: all }] = success(reply)
        assert.deepStrictEqual(claims, { sub: "ada", level: 2 })
        assert.deepStrictEqual([all["level"], all["email"]], ["2", "ada@example.com"])
      }).pipe(F.withLive(layer as Layer.Layer<Custom>))
    })

    it.effect("is asked about once, however often the program asks who it is", () => {
      const asked: Array<string> = []
      return Effect.gen(function*() {
        const often = Effect.all([TokenAuth.user, TokenAuth.claims, TokenAuth.token, TokenAuth.userOption])
        assert.strictEqual((yield* ask(place, tokenWith(), TokenAuth.protect(often))).status, 204)
        assert.deepStrictEqual(asked, ["ada"])
      }).pipe(running({
        retrieveUser: (claims: F.Claims) => {
          asked.push(claims.sub)
          return F.retrieveUser(claims)
        }
      }))
    })

    it.effect("is None to userOption without a token and with a bad one, and neither challenges", () =>
      Effect.gen(function*() {
        for (const headers of [{}, place.present("nonsense"), place.present(bad["expired"]!)]) {
          const reply = yield* send(TokenAuth.userOption, { headers })
          assert.isTrue(Option.isNone(success(reply)))
          assert.strictEqual(reply.headers.get("www-authenticate"), null)
          assert.strictEqual(reply.headers.get("vary"), place.vary)
        }
        assert.deepStrictEqual(
          Option.getOrThrow(success(yield* ask(place, tokenWith(), TokenAuth.userOption))),
          { id: "ada" }
        )
      }).pipe(run))
  })

  // ---------------------------------------------------------------------------
  // Signing in
  // ---------------------------------------------------------------------------

  describe(`login, with tokens in ${place.title},`, () => {
    it.effect("grants one token, whatever the status below 400, that says who, from whom, for whom and until when (102)", () =>
      Effect.gen(function*() {
        const ids = new Set<unknown>()
        for (const status of [200, 201, 204, 302, 304]) {
          const claims = { sub: "ada", role: "admin" }
          const reply = yield* send(Effect.as(TokenAuth.login(claims), F.empty(status)), F.post)
          const token = place.granted(reply)!
          assert.strictEqual(reply.status, status)
          const { claims: { jti, ...said }, header } = partsOf(token)
          const realm = { "effect-security.realm": "test/TokenAuth" }
          assert.deepStrictEqual(said, { ...claims, ...realm, iss: issuer, aud: audience, iat: now, exp: now + 900 })
          assert.deepStrictEqual(header, { alg: "HS256", typ: "JWT" })
          assert.match(String(jti), /^[A-Za-z0-9_-]{22}$/)
          ids.add(jti)
          assert.deepStrictEqual(
            [reply.headers.get("cache-control"), reply.headers.get("vary")],
            ["no-store", place.vary]
          )
          const next = yield* ask(place, token, TokenAuth.authenticated)
          assert.deepStrictEqual(success(next), { user: { id: "ada" }, auth: claims })
        }
        assert.strictEqual(ids.size, 5)
      }).pipe(run))

    it.effect("signs for the first issuer and for every audience", () =>
      Effect.gen(function*() {
        const { aud, iss } = partsOf(yield* F.signIn(place)).claims
        assert.deepStrictEqual([iss, aud], ["a", ["x", "y"]])
      }).pipe(running({ issuer: ["a", "b"], audience: ["x", "y"] })))

    it.effect("grants a token that ends with the lifetime of its Layer", () =>
      Effect.gen(function*() {
        const token = yield* F.signIn(place)
        yield* TestClock.adjust("89 seconds")
        assert.strictEqual((yield* ask(place, token, me)).status, 200)
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* ask(place, token, me)).status, 401)
      }).pipe(running({ lifetime: "1 minute" })))

    it.effect("leaves the body to the handler, be it null or none at all (118, 120)", () =>
      Effect.gen(function*() {
        const reply = (body: HttpServerResponse.HttpServerResponse) =>
          send(Effect.as(TokenAuth.login({ sub: "ada" }), body), F.post)
        const json = (body: unknown) => reply(HttpServerResponse.unsafeJson(body, { status: 201 }))
        for (const body of [null, { at: "2026-11-24T00:00:00.000Z" }, [], "text"]) {
          const { body: sent, ...rest } = yield* json(body)
          assert.deepStrictEqual([rest.status, JSON.parse(sent)], [201, body])
          assert.isString(place.granted(rest))
        }
        assert.strictEqual((yield* reply(F.empty(201))).body, "")
      }).pipe(run))

    it.effect("is seen by the rest of its request: before somebody, after it the next, after logout nobody", () =>
      Effect.gen(function*() {
        const who = Effect.option(Effect.map(TokenAuth.user, ({ id }) => id))
        const steps = Effect.all([
          who,
          Effect.as(TokenAuth.login({ sub: "bob" }), "signed in"),
          who,
          Effect.map(TokenAuth.claims, ({ sub }) => sub),
          Effect.as(TokenAuth.logout, "signed out"),
          who,
          Effect.as(TokenAuth.login({ sub: "eve" }), "signed in"),
          who
        ])
        const reply = yield* ask(place, tokenWith({ sub: "ada" }), steps, F.post)
        const seen = success(reply).map((step) => Option.isOption(step) ? Option.getOrNull(step) : step)
        assert.deepStrictEqual(seen, ["ada", "signed in", "bob", "bob", "signed out", null, "signed in", "eve"])
        assert.strictEqual(partsOf(place.granted(reply)!).claims["sub"], "eve")
        // The same for somebody who came without.
        const anonymous = yield* send(Effect.zipRight(TokenAuth.login({ sub: "bob" }), TokenAuth.user), F.post)
        assert.deepStrictEqual(success(anonymous), { id: "bob" })
      }).pipe(run))

    it.effect("twice in one request counts the last time, and parallel fibers grant one token that is good", () =>
      Effect.gen(function*() {
        const twice = yield* send(
          Effect.zipRight(TokenAuth.login({ sub: "ada" }), TokenAuth.login({ sub: "bob" })),
          F.post
        )
        assert.strictEqual(partsOf(place.granted(twice)!).claims["sub"], "bob")
        const people = Array.from({ length: 20 }, (_, index) => `user-${index}`)
        const parallel = yield* send(
          Effect.zipRight(
            Effect.forEach(people, (sub) => Effect.zipRight(Effect.yieldNow(), TokenAuth.login({ sub })), {
              concurrency: "unbounded"
            }),
            TokenAuth.user
          ),
          F.post
        )
        const { id } = success(parallel)
        assert.strictEqual(partsOf(place.granted(parallel)!).claims["sub"], id)
        assert.include(people, id)
      }).pipe(run))

    it.effect("in a fiber of its own grants, also where the handler does not wait for it", () =>
      Effect.gen(function*() {
        const forked = Effect.flatMap(Effect.fork(TokenAuth.login({ sub: "ada" })), Fiber.join)
        assert.isString(place.granted(yield* send(forked, F.post)))
        const daemon = Effect.flatMap(Effect.forkDaemon(TokenAuth.login({ sub: "ada" })), Fiber.await)
        assert.isString(place.granted(yield* send(daemon, F.post)))
      }).pipe(run))

    it.effect("is refused when the password was verified ten minutes ago or earlier", () => {
      const events: Array<SecurityEvents.SecurityEvent> = []
      const verifiedAt = (millis: number) => ({ verifiedAt: DateTime.unsafeMake(now * 1_000 - millis) })
      return Effect.gen(function*() {
        for (const millis of [600_000, 600_001, 86_400_000]) {
          const reply = yield* send(TokenAuth.login({ sub: "ada" }, verifiedAt(millis)), F.post)
          assert.deepStrictEqual(refusalOf(reply), refusal(place, "bad"))
          assert.isUndefined(place.granted(reply))
        }
        assert.deepStrictEqual(events, [])
        const reply = yield* send(TokenAuth.login({ sub: "ada" }, verifiedAt(599_999)), F.post)
        assert.strictEqual(partsOf(place.granted(reply)!).claims["auth_time"], now - 600)
      }).pipe(F.withLive(Layer.provide(F.live(place), F.eventsTo(events))))
    })

    it.effect("grants nothing when the token would be over 8 KiB, and says its size: 413", () => {
      const events: Array<SecurityEvents.SecurityEvent> = []
      return Effect.gen(function*() {
        const size = yield* Effect.map(
          send(TokenAuth.login({ sub: "ada", role: "" }), F.post),
          (reply) => place.granted(reply)!.length
        )
        events.length = 0
        // Every three bytes of the claims are four of the token.
        const role = "x".repeat(9_000)
        const reply = yield* send(TokenAuth.login({ sub: "ada", role }), F.post)
        const error = failure(reply) as SecurityError.SessionTooLarge
        assert.deepStrictEqual([error._tag, error.size, error.limit], ["SessionTooLarge", size + 12_000, 8_192])
        assert.deepStrictEqual(
          [reply.status, JSON.parse(reply.body).size, place.granted(reply), reply.setCookie, events],
          [413, size + 12_000, undefined, [], []]
        )
      }).pipe(F.withLive(Layer.provide(F.live(place), F.eventsTo(events))))
    })

    it.effect("dies where the claims would not come back, and grants nothing", () => {
      class Strange extends JwtAuth.Tag<Strange>()("test/Strange", {
        user: CurrentUser,
        claims: Schema.Struct({ sub: Schema.String.pipe(Schema.pattern(/^user-/)) })
      }) {}
      const layer = F.liveOf(Strange, place)
      return Effect.gen(function*() {
        const reply = yield* Effect.provide(send(Strange.login({ sub: "ada" }), F.post), layer)
        assert.deepStrictEqual([reply.status, place.granted(reply), reply.setCookie], [500, undefined, []])
      })
    })
  })

  // ---------------------------------------------------------------------------
  // Signing out
  // ---------------------------------------------------------------------------

  describe(`logout, with tokens in ${place.title},`, () => {
    it.effect("succeeds with a token, without one and with a bad one, and ends none that was copied", () =>
      Effect.gen(function*() {
        const token = yield* F.signIn(place)
        for (const headers of [place.present(token), {}, place.present("nonsense"), place.present(bad["expired"]!)]) {
          const reply = yield* send(F.logout, { ...F.post, headers })
          assert.deepStrictEqual([reply.status, reply.body], [204, ""])
          assert.strictEqual(reply.headers.get("authorization"), null)
        }
        assert.strictEqual((yield* ask(place, token, me)).body, "ada")
      }).pipe(run))

    it.effect("after login in the same request grants nothing, and before it takes nothing from it", () =>
      Effect.gen(function*() {
        const login = TokenAuth.login({ sub: "ada" })
        const none = yield* send(Effect.zipRight(login, TokenAuth.logout), F.post)
        assert.strictEqual(none.status, 204)
        assert.isUndefined(place.granted(none))
        assert.notInclude(F.wholeOf(none), "eyJ")
        const one = yield* ask(place, tokenWith(), Effect.zipRight(TokenAuth.logout, login), F.post)
        assert.isString(place.granted(one))
      }).pipe(run))
  })

  // ---------------------------------------------------------------------------
  // Events
  // ---------------------------------------------------------------------------

  describe(`events, with tokens in ${place.title},`, () => {
    const noting = (events: Array<SecurityEvents.SecurityEvent>) =>
      F.withLive(Layer.provide(F.live(place), F.eventsTo(events)))

    it.effect("say who signed in and out, by the id of the token", () => {
      const events: Array<SecurityEvents.SecurityEvent> = []
      return Effect.gen(function*() {
        const token = yield* F.signIn(place)
        const backend = "test/TokenAuth"
        const credential = partsOf(token).claims["jti"]
        yield* ask(place, token, F.logout, F.post)
        const written = [
          { _tag: "SignedIn", backend, subject: "ada", credential },
          { _tag: "SignedOut", backend, credential }
        ]
        assert.deepStrictEqual(events.map(F.plainEvent), written)
        // Nobody writes into an audit log with a token that is none.
        for (const headers of [{}, place.present("nonsense"), place.present(bad["expired"]!)]) {
          yield* send(F.logout, { ...F.post, headers })
        }
        assert.deepStrictEqual(events.map(F.plainEvent), written)
        yield* ask(place, bad["of another key"]!, me)
        assert.deepStrictEqual(events.slice(2).map(F.plainEvent), [
          { _tag: "Rejected", backend, error: "NotAuthorized", reason: "BadSignature" }
        ])
      }).pipe(noting(events))
    })

    const endings: Readonly<Record<string, readonly [number, Effect.Effect<unknown, unknown>]>> = {
      "a response of 400": [400, Effect.succeed(F.empty(400))],
      "a response of 500": [500, Effect.succeed(F.empty(500))],
      "a failure": [500, Effect.fail(new Error("a failure of the application"))],
      "a refusal": [403, Effect.fail(new SecurityError.PermissionDenied())],
      "a defect": [500, Effect.die(new Error("a defect of the application"))]
    }

    for (const [title, [status, ending]] of Object.entries(endings)) {
      it.effect(`say that a sign-in was taken back after ${title}, which grants nothing`, () => {
        const events: Array<SecurityEvents.SecurityEvent> = []
        return Effect.gen(function*() {
          const reply = yield* send(Effect.zipRight(TokenAuth.login({ sub: "ada" }), ending), F.post)
          assert.deepStrictEqual([reply.status, reply.setCookie], [status, []])
          assert.notInclude(F.wholeOf(reply), "eyJ")
          const seen = events.map(F.plainEvent)
          assert.deepStrictEqual(seen.map(({ _tag }) => _tag), ["SignedIn", "SignedOut"])
          assert.strictEqual(seen[1]!["credential"], seen[0]!["credential"])
        }).pipe(noting(events))
      })
    }

    it.effect("say of several sign-ins in a request that fails that the last was taken back", () => {
      const events: Array<SecurityEvents.SecurityEvent> = []
      return Effect.gen(function*() {
        const both = Effect.zipRight(TokenAuth.login({ sub: "ada" }), TokenAuth.login({ sub: "bob" }))
        yield* send(Effect.zipRight(both, Effect.die("oops")), F.post)
        const seen = events.map(F.plainEvent)
        const [, second] = seen
        assert.deepStrictEqual(
          seen.filter(({ _tag }) => _tag === "SignedOut").map(({ credential }) => credential),
          [second!["credential"]]
        )
      }).pipe(noting(events))
    })
  })

  // ---------------------------------------------------------------------------
  // Guards
  // ---------------------------------------------------------------------------

  it.effect(`a guard's refusal of a good token in ${place.title} is a private 403 that varies by it`, () =>
    Effect.gen(function*() {
      const reply = yield* ask(place, tokenWith({ sub: "eve" }), me)
      assert.deepStrictEqual(refusalOf(reply), {
        status: 403,
        challenge: null,
        vary: place.vary,
        caching: "no-store",
        tag: "PermissionDenied",
        cookies: []
      })
      assert.strictEqual((yield* ask(place, tokenWith(), me)).status, 200)
      assert.deepStrictEqual(refusalOf(yield* send(me)), refusal(place, "missing"))
    }).pipe(running({
      guards: [(user: { id: string }) => user.id === "eve" ? new SecurityError.PermissionDenied() : Effect.void]
    })))

  it.effect(`a guard of one route refuses a good token in ${place.title} with a private 403`, () =>
    Effect.gen(function*() {
      const isAdmin = Guard.make(({ id }: User) => id === "admin")
      const guarded = Guard.protect(TokenAuth, isAdmin)(F.whoami)
      const reply = yield* ask(place, tokenWith(), guarded)
      assert.deepStrictEqual(
        [reply.status, reply.headers.get("vary"), reply.headers.get("cache-control")],
        [403, place.vary, "no-store"]
      )
      assert.strictEqual((yield* ask(place, tokenWith({ sub: "admin" }), guarded)).status, 200)
    }).pipe(run))

  // ---------------------------------------------------------------------------
  // Outages
  // ---------------------------------------------------------------------------

  describe(`an outage of the keys, with tokens in ${place.title},`, () => {
    const down = Effect.fail(new SecurityError.SecurityUnavailable({ reason: "the key service is down" }))
    const failures: Readonly<Record<string, Effect.Effect<never, unknown>>> = {
      "fails": Effect.fail(new Error("503 from the key service")),
      "fails in our words": down,
      "dies": Effect.die(new Error("a bug of the key service")),
      "is interrupted": Effect.interrupt
    }
    const outage = (reply: Reply<unknown, unknown>) => ({
      status: reply.status,
      tag: JSON.parse(reply.body)._tag,
      retryAfter: reply.headers.get("retry-after"),
      challenge: reply.headers.get("www-authenticate"),
      granted: place.granted(reply),
      cookies: reply.setCookie
    })
    const unavailable = {
      status: 503,
      tag: "SecurityUnavailable",
      retryAfter: "1",
      challenge: null,
      granted: undefined,
      cookies: []
    }

    for (const [title, broken] of Object.entries(failures)) {
      it.effect(`is 503 and never 401, and grants nothing, where a key or the ring ${title}`, () => {
        const ring = F.breakable()
        const events: Array<SecurityEvents.SecurityEvent> = []
        return Effect.gen(function*() {
          const token = yield* F.signIn(place)
          // Not one that is remembered.
          const other = tokenWith()
          events.length = 0
          ring.state.verify = broken
          assert.deepStrictEqual(outage(yield* ask(place, other, me)), unavailable)
          assert.strictEqual((yield* ask(place, token, F.login(), F.post)).status, 204)
          events.length = 0
          Object.assign(ring.state, { verify: Effect.void, sign: broken })
          assert.deepStrictEqual(outage(yield* send(F.login(), F.post)), unavailable)
          assert.strictEqual((yield* ask(place, other, me)).status, 200)
          // A ring fails in our words alone; what it dies of is its own.
          Object.assign(ring.state, { sign: Effect.void, keys: title === "fails" ? down : broken })
          assert.deepStrictEqual(outage(yield* ask(place, other, me)), unavailable)
          assert.deepStrictEqual(outage(yield* send(F.login(), F.post)), unavailable)
          assert.deepStrictEqual(outage(yield* ask(place, other, TokenAuth.userOption)), unavailable)
          assert.deepStrictEqual(events, [])
          // A token can be given up all the same.
          assert.strictEqual((yield* ask(place, other, F.logout, F.post)).status, 204)
          Object.assign(ring.state, { keys: Effect.void })
          assert.strictEqual((yield* ask(place, other, me)).status, 200)
        }).pipe(F.withLive(Layer.provide(F.live(place, { cacheSize: 0 }, ring.layer), F.eventsTo(events))))
      })
    }

    for (const part of ["verify", "sign", "keys"] as const) {
      it.effect(`is 503 after the timeout where ${part === "keys" ? "the ring" : part} never answers`, () => {
        const ring = F.breakable()
        return Effect.gen(function*() {
          const asked = yield* Deferred.make<void>()
          ring.state[part] = Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never)
          const handler: Effect.Effect<unknown, any, any> = part === "verify" ? me : F.login()
          const fiber = yield* Effect.fork(
            send(handler as Effect.Effect<unknown, unknown, F.Live>, { ...F.post, headers: place.present(tokenWith()) })
          )
          yield* Deferred.await(asked)
          yield* TestClock.adjust("1999 millis")
          assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(outage(yield* Fiber.join(fiber)), unavailable)
        }).pipe(F.withLive(F.live(place, {}, ring.layer)))
      })
    }

    it.effect("of one who retrieves users is 503 too, but for what says that there is none or not for them", () => {
      let answer: Effect.Effect<Option.Option<unknown>, unknown> = Effect.succeedNone
      return Effect.gen(function*() {
        const answers: ReadonlyArray<readonly [number, typeof answer]> = [
          [503, Effect.fail(new Error("the database is down"))],
          [503, Effect.die(new Error("a bug"))],
          [503, down],
          [401, Effect.succeedNone],
          [401, Effect.fail(new SecurityError.NotAuthorized({ reason: "blocked" }))],
          [403, Effect.fail(new SecurityError.PermissionDenied())]
        ]
        for (const [status, next] of answers) {
          answer = next
          const reply = yield* ask(place, tokenWith(), me)
          assert.strictEqual(reply.status, status)
          assert.strictEqual(reply.headers.get("retry-after"), status === 503 ? "1" : null)
          assert.deepStrictEqual(reply.headers.get("www-authenticate"), status === 401 ? place.challenge.bad : null)
        }
      }).pipe(running({ retrieveUser: () => Effect.suspend(() => answer) }))
    })
  })
}

// -----------------------------------------------------------------------------
// In a header
// -----------------------------------------------------------------------------

for (const place of [F.inAuthorization, F.inApiKeyHeader]) {
  const run = F.withLive(F.live(place))

  describe(`a token in ${place.title}`, () => {
    it.effect("stands behind the word Bearer, in any case, and alone (105, 106, O11)", () =>
      Effect.gen(function*() {
        const token = tokenWith()
        const asked = (value: string) =>
          Effect.map(send(me, { headers: { [place.header]: value } }), (reply) => [
            reply.status,
            reply.headers.get("www-authenticate")
          ])
        for (const value of [`Bearer ${token}`, `bearer ${token}`, `BEARER   ${token}`]) {
          assert.deepStrictEqual(yield* asked(value), [200, null], value)
        }
        // Another scheme is no credential, and what is no scheme is none either.
        for (const value of [token, "5f2d8c1ab04e9973", `Basic ${token}`, `JWT ${token}`, `Token ${token}`, ""]) {
          assert.deepStrictEqual(yield* asked(value), [401, "Bearer"], value)
        }
        for (
          const value of [
            "Bearer",
            `Bearer ${token} ${token}`,
            `Bearer ${token}, Bearer ${token}`,
            `Bearer "${token}"`,
            `Bearer ${token}%20`,
            `Bearer token=${token}`,
            `Bearer Bearer ${token}`,
            `Bearer\t${token}`
          ]
        ) {
          const [status, challenge] = yield* asked(value)
          assert.strictEqual(status, 401, value)
          assert.include(["Bearer", place.challenge.bad], challenge, value)
        }
      }).pipe(run))

    it.effect("is read from there alone: not from another header, a cookie or the URL (111)", () =>
      Effect.gen(function*() {
        const token = tokenWith()
        const others: ReadonlyArray<Sent> = [
          { headers: { token: `Bearer ${token}` } },
          { headers: { cookie: `__Host-token=${token}; token=${token}` } },
          { headers: { "proxy-authorization": `Bearer ${token}` } },
          { url: `https://app.example.com/?access_token=${token}` },
          ...[F.inAuthorization, F.inApiKeyHeader].filter((other) => other !== place).map((other) => ({
            headers: other.present(token)
          }))
        ]
        for (const sent of others) {
          assert.deepStrictEqual(refusalOf(yield* send(me, sent)), refusal(place, "missing"))
        }
      }).pipe(run))

    it.effect("is read, granted and given up whatever site has made the request: no browser adds it by itself", () =>
      Effect.gen(function*() {
        const headers = { origin: "https://evil.example", "sec-fetch-site": "cross-site" }
        for (const handler of [me, F.login(), F.logout]) {
          const reply = yield* ask(place, tokenWith(), handler as typeof F.logout, { ...F.post, headers })
          assert.isBelow(reply.status, 300)
        }
      }).pipe(run))

    it.effect("is granted with remember as without", () =>
      Effect.gen(function*() {
        for (const remember of [true, false]) {
          const reply = yield* send(TokenAuth.login({ sub: "ada" }, { remember }), F.post)
          assert.strictEqual(partsOf(place.granted(reply)!).claims["exp"], now + 900)
        }
      }).pipe(run))

    it.effect("replaces what the handler says in that header itself, and leaves it where nothing is granted", () =>
      Effect.gen(function*() {
        const own = (status: number) => HttpServerResponse.empty({ status, headers: { [place.header]: "its own" } })
        const reply = yield* send(Effect.as(TokenAuth.login({ sub: "ada" }), own(200)), F.post)
        assert.isString(place.granted(reply))
        const failed = yield* send(Effect.as(TokenAuth.login({ sub: "ada" }), own(500)), F.post)
        assert.strictEqual(failed.headers.get(place.header), "its own")
      }).pipe(run))
  })
}

describe("a header that comes twice", () => {
  const token = tokenOf(F.pair, { iss: issuer, aud: audience, sub: "ada", iat: 1_700_000_000, exp: 4_102_444_800 })

  for (const place of [F.inAuthorization, F.inApiKeyHeader]) {
    for (const router of routerNames) {
      it.scopedLive(`${router} on Node: is no credential, whichever of the two tokens in ${place.title} is good`, () =>
        Effect.gen(function*() {
          const server = yield* onNode(router, [get("/me", F.whoami, TokenAuth)], F.live(place))
          const asked = (...tokens: ReadonlyArray<string>) =>
            Effect.map(
              server.raw(
                requestText("/me").replace(
                  "\r\n\r\n",
                  tokens.map((token) => `\r\n${place.vary}: Bearer ${token}`).join("") + "\r\n\r\n"
                )
              ),
              (reply) => reply.status === 200 ? reply.body : reply.headers["www-authenticate"]
            )
          assert.deepStrictEqual(
            yield* Effect.all([
              asked(token),
              asked(token, token),
              asked(token, "nonsense"),
              asked("nonsense", token)
            ]),
            ["ada", place.challenge.bad, place.challenge.bad, place.challenge.bad]
          )
        }))
    }
  }
})

describe("a program for which a token is in Authorization", () => {
  it.effect("is let in by the header of the login as it came, and nowhere before (128, 131)", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send(me)).status, 401)
      const login = yield* send(Effect.as(TokenAuth.login({ sub: "ada" }), F.empty(201)), F.post)
      assert.strictEqual(login.status, 201)
      const authorization = login.headers.get("authorization")!
      assert.deepStrictEqual((yield* send(me, { headers: { authorization } })).body, "ada")
      for (const change of [{ iss: "other" }, { aud: "other" }, { iss: undefined }, { aud: undefined }]) {
        assert.strictEqual((yield* ask(F.inAuthorization, tokenWith(change), me)).status, 401)
      }
    }).pipe(F.withLive(F.live(F.inAuthorization))))
})

// -----------------------------------------------------------------------------
// Methods and exclusion
// -----------------------------------------------------------------------------

describe("methods and excluded routes", () => {
  for (const place of F.places) {
    it.effect(`with tokens in ${place.title}, OPTIONS and HEAD are as any method, and preflights are answered outside (31)`, () =>
      Effect.gen(function*() {
        for (const method of ["OPTIONS", "HEAD", "GET", "PUT", "DELETE", "PATCH"]) {
          const refused = yield* send(me, { method })
          assert.deepStrictEqual(
            [refused.status, refused.headers.get("www-authenticate"), refused.headers.get("vary")],
            [401, place.challenge.missing, place.vary],
            method
          )
          assert.strictEqual((yield* ask(place, tokenWith(), me, { method })).status, 200, method)
        }
        const preflight = { origin: "https://app.example", "access-control-request-method": "POST" }
        const cors = HttpMiddleware.cors({ allowedOrigins: ["https://app.example"] })
        const reply = yield* send(
          cors(me as HttpApp.Default<any, any>) as Effect.Effect<HttpServerResponse.HttpServerResponse, never, F.Live>,
          {
            method: "OPTIONS",
            headers: preflight
          }
        )
        assert.deepStrictEqual([reply.status, reply.headers.get("access-control-allow-origin")], [
          204,
          "https://app.example"
        ])
      }).pipe(F.withLive(F.live(place))))

    it.effect(`with tokens in ${place.title}, the gate frees the routes of exclude and no other (33)`, () =>
      Effect.gen(function*() {
        const router = HttpRouter.empty.pipe(
          HttpRouter.get("/north/:id", F.empty(200)),
          HttpRouter.get("/south", F.empty(200)),
          HttpRouter.get("/west", F.empty(200)),
          TokenAuth.middleware
        )
        const asked = (path: string, headers = {}) =>
          Effect.map(
            send(router as Effect.Effect<HttpServerResponse.HttpServerResponse, never, F.Live>, {
              url: `https://app.example.com${path}`,
              headers
            }),
            ({ status }) => status
          )
        assert.deepStrictEqual(
          yield* Effect.forEach(["/north/1", "/south", "/west", "/nowhere"], (path) => asked(path)),
          [200, 200, 401, 401]
        )
        assert.strictEqual(yield* asked("/west", place.present(tokenWith())), 200)
      }).pipe(F.withLive(F.live(place, { exclude: ["/north/:id", "/south"] }))))
  }
})

// -----------------------------------------------------------------------------
// On every router and host
// -----------------------------------------------------------------------------

const loginAs = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  (request) => TokenAuth.login({ sub: request.headers["x-user"] ?? "ada" })
)

const after = (ending: Effect.Effect<HttpServerResponse.HttpServerResponse, any, any>) =>
  Effect.zipRight(loginAs, ending)

const failing: Readonly<Record<`/${string}`, Effect.Effect<HttpServerResponse.HttpServerResponse, unknown>>> = {
  "/400": Effect.succeed(F.empty(400)),
  "/500": Effect.succeed(F.empty(500)),
  "/stream": Effect.succeed(HttpServerResponse.stream(Stream.empty, { status: 502 })),
  "/failure": Effect.fail(new Error("a failure of the application")),
  "/defect": Effect.die(new Error("a defect of the application")),
  "/refusal": Effect.fail(new SecurityError.PermissionDenied()),
  "/outage": Effect.fail(new SecurityError.SecurityUnavailable()),
  "/too-many": Effect.fail(new SecurityError.TooManyAttempts())
}

const granting: typeof failing = {
  "/201": Effect.succeed(F.empty(201)),
  "/303": Effect.succeed(HttpServerResponse.redirect("/", { status: 303 })),
  "/body": Effect.succeed(HttpServerResponse.unsafeJson({ hello: "world" })),
  "/chunks": Effect.succeed(HttpServerResponse.stream(Stream.make(new TextEncoder().encode("chunk"))))
}

const routes = [
  get("/me", F.whoami, TokenAuth),
  postRoute("/me", F.whoami, TokenAuth),
  postRoute("/logout", F.logout),
  postRoute(
    "/old",
    Effect.as(TokenAuth.login({ sub: "ada" }, { verifiedAt: DateTime.unsafeMake(0) }), F.empty())
  ),
  ...Object.entries({ ...failing, ...granting }).map(([path, ending]) => postRoute(path as "/", after(ending)))
]

const edgeRefusal = (reply: EdgeReply) => ({
  status: reply.status,
  challenge: reply.headers["www-authenticate"],
  vary: reply.headers["vary"],
  caching: reply.headers["cache-control"],
  tag: reply.body === "" ? undefined : JSON.parse(reply.body)._tag,
  cookies: reply.setCookies
})

for (const place of F.places) {
  for (const surface of surfaces) {
    describe(`${surface.join(" on ")}, with tokens in ${place.title}`, () => {
      it.scopedLive("signs in, reads and gives up, with the same answers as everywhere (102 to 104, 128, 129)", () =>
        Effect.gen(function*() {
          const server = yield* serve(surface, routes, F.live(place))
          assert.deepStrictEqual(edgeRefusal(yield* server.send("/me")), refusal(place, "missing"))
          const head = yield* server.send("/me", { method: "HEAD" })
          assert.deepStrictEqual(
            { ...edgeRefusal(head), tag: "NotAuthorized" },
            refusal(place, "missing")
          )
          for (const path of Object.keys(granting)) {
            const login = yield* server.send(path, { method: "POST", headers: { "x-user": "bob" } })
            assert.isBelow(login.status, 400, path)
            assert.strictEqual(login.headers["cache-control"], "no-store", path)
            assert.strictEqual(login.headers["vary"], place.vary, path)
            const token = place.granted(login)!
            assert.isString(token, path)
            // Nowhere else: not a second time, not in the body.
            assert.strictEqual(F.wholeOf(login).split(token.split(".")[2]!).length, 2, path)
            const headers = place.present(token)
            const read = yield* server.send("/me", { headers })
            assert.deepStrictEqual(
              [read.status, read.body, read.headers["vary"], read.headers["cache-control"], read.setCookies],
              [200, "bob", place.vary, "no-store", []]
            )
            assert.strictEqual((yield* server.send("/me", { method: "HEAD", headers })).status, 200)
            const logout = yield* server.send("/logout", { method: "POST", headers })
            assert.deepStrictEqual([logout.status, logout.setCookies.length], [204, place.isCookie ? 1 : 0])
            assert.strictEqual((yield* server.send("/me", { headers })).body, "bob")
          }
          for (const token of ["nonsense", bad["of another key"]!]) {
            const reply = yield* server.send("/me", { headers: place.present(token) })
            assert.deepStrictEqual(edgeRefusal(reply), refusal(place, "bad"))
          }
          assert.deepStrictEqual(server.logs, [])
        }))

      it.scopedLive("grants nothing where the answer is an error, whatever made it one, and says that it was taken back", () =>
        Effect.gen(function*() {
          const events: Array<SecurityEvents.SecurityEvent> = []
          const server = yield* serve(surface, routes, Layer.provide(F.live(place), F.eventsTo(events)))
          for (const path of Object.keys(failing)) {
            events.length = 0
            const reply = yield* server.send(path, { method: "POST" })
            assert.isAtLeast(reply.status, 400, path)
            assert.deepStrictEqual(reply.setCookies, [], path)
            assert.isUndefined(reply.headers["authorization"], path)
            assert.notInclude(F.wholeOf(reply), "eyJ", path)
            // The request is over a moment after its answer.
            for (let tries = 0; tries < 200 && events.length < 2; tries++) yield* Effect.sleep("5 millis")
            assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["SignedIn", "SignedOut"], path)
          }
        }))

      it.scopedLive("challenges for the place in force where the password was verified too long ago", () =>
        Effect.gen(function*() {
          const server = yield* serve(surface, routes, F.live(place))
          const reply = yield* server.send("/old", { method: "POST" })
          assert.deepStrictEqual(edgeRefusal(reply), refusal(place, "bad"))
        }))
    })
  }
}

// -----------------------------------------------------------------------------
// After the response has started
// -----------------------------------------------------------------------------

describe("a token is not granted where it would be lost", () => {
  for (const place of [F.inAuthorization, F.inCookie]) {
    for (const surface of surfaces) {
      it.scopedLive(`${surface.join(" on ")}, with tokens in ${place.title}: a login and a logout while a stream runs die`, () =>
        Effect.gen(function*() {
          const exits: Array<Exit.Exit<unknown, unknown>> = []
          const events: Array<SecurityEvents.SecurityEvent> = []
          const late = (path: `/${string}`, self: Effect.Effect<unknown, any, any>) =>
            postRoute(
              path,
              Effect.map(Effect.context<any>(), (context) =>
                HttpServerResponse.stream(
                  Stream.concat(
                    Stream.make(new TextEncoder().encode("first")),
                    Stream.fromEffect(
                      Effect.map(Effect.exit(Effect.provide(self, context)), (exit) => {
                        exits.push(exit as Exit.Exit<unknown, unknown>)
                        return new TextEncoder().encode("last")
                      })
                    )
                  ) as Stream.Stream<Uint8Array>
                ))
            )
          const both = [late("/login", loginAs), late("/logout", TokenAuth.logout)]
          const server = yield* serve(surface, both, Layer.provide(F.live(place), F.eventsTo(events)))
          for (const { path } of both) {
            const reply = yield* server.send(path, { method: "POST" })
            assert.deepStrictEqual([reply.status, reply.body, reply.setCookies], [200, "firstlast", []])
            assert.isUndefined(reply.headers["authorization"])
          }
          assert.lengthOf(exits, 2)
          for (const exit of exits) {
            assert.strictEqual(
              Exit.isFailure(exit) && Cause.isDie(exit.cause) && (Cause.squash(exit.cause) as { _tag: string })._tag,
              "ResponseAlreadySent"
            )
          }
          assert.deepStrictEqual(events, [])
        }))
    }
  }

  const handshake = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="
  }

  const hello = Effect.gen(function*() {
    const { id } = yield* CurrentUser
    const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)
    const write = yield* socket.writer
    yield* socket.runRaw(() => {}, { onOpen: Effect.orDie(write(`hello ${id}`)) })
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped, Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))

  const firstMessage = (server: NodeServer, path: string, headers: Record<string, string>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers })),
      (socket) =>
        Effect.async<string>((resume) => {
          socket.once("message", (data) => resume(Effect.succeed(String(data))))
          socket.once("error", (error) => resume(Effect.succeed(String(error))))
          socket.once("unexpected-response", (_, response) => resume(Effect.succeed(`HTTP ${response.statusCode}`)))
        }),
      (socket) => Effect.sync(() => socket.terminate())
    )

  for (const place of F.places) {
    for (const router of routerNames) {
      it.scopedLive(`${router}, with tokens in ${place.title}: a WebSocket is refused before the upgrade, and cannot sign in`, () =>
        Effect.gen(function*() {
          const server = yield* onNode(router, [
            postRoute("/201", after(Effect.succeed(F.empty(201)))),
            get("/socket", hello, TokenAuth),
            get("/in", after(Effect.succeed(F.empty()))),
            get("/out", F.logout)
          ], F.live(place))
          const token = place.granted(yield* server.send("/201", { method: "POST" }))!
          const upgrade = (path: string, headers: Record<string, string>) =>
            server.raw(requestText(path, { headers: { ...handshake, ...headers } }))
          assert.deepStrictEqual(edgeRefusal(yield* upgrade("/socket", {})), refusal(place, "missing"))
          assert.deepStrictEqual(
            edgeRefusal(yield* upgrade("/socket", place.present("nonsense"))),
            refusal(place, "bad")
          )
          assert.strictEqual(yield* firstMessage(server, "/socket", place.present(token)), "hello ada")
          const fromElsewhere = { ...place.present(token), origin: "https://evil.example" }
          assert.strictEqual(
            yield* firstMessage(server, "/socket", fromElsewhere),
            place.isCookie ? "HTTP 403" : "hello ada"
          )
          for (const path of ["/in", "/out"]) {
            const reply = yield* upgrade(path, place.present(token))
            assert.deepStrictEqual([reply.status, reply.setCookies], [400, []], path)
            assert.notInclude(F.wholeOf(reply), "eyJ")
          }
        }))
    }
  }
})

// -----------------------------------------------------------------------------
// Tokens that are for something else
// -----------------------------------------------------------------------------

describe("a token that is good elsewhere is not good here", () => {
  class Other extends JwtAuth.Tag<Other>()("test/Other", { user: CurrentUser, claims: F.Claims }) {}
  class Access extends JwtAuth.Tag<Access>()("test/Access", { user: CurrentUser, claims: F.Claims }) {}

  for (const place of F.places) {
    const Live = Layer.mergeAll(
      F.live(place),
      F.liveOf(Other, place, { audience: "https://other.example.com" }),
      F.liveOf(Access, place, { audience: "https://api.example.com/v2", type: "at+jwt" })
    ) as Layer.Layer<any>

    it.effect(`with tokens in ${place.title}: of a Tag of another audience, on the same keys and issuer`, () =>
      Effect.gen(function*() {
        const tags = { TokenAuth, Other, Access }
        const seen: Record<string, ReadonlyArray<number>> = {}
        for (const [name, from] of Object.entries(tags)) {
          const reply = yield* F.sendAny(from.login({ sub: "ada" }), F.post)
          const token = place.granted(reply)!
          seen[name] = yield* Effect.forEach(
            Object.values(tags),
            (to) =>
              Effect.map(
                F.sendAny(Effect.asVoid(to.user as Effect.Effect<unknown, unknown, any>), {
                  headers: place.present(token)
                }),
                ({ status }) => status
              )
          )
        }
        assert.deepStrictEqual(seen, { TokenAuth: [204, 401, 401], Other: [401, 204, 401], Access: [401, 401, 204] })
      }).pipe(F.withLive(Live)))

    it.effect(`with tokens in ${place.title}: of another type, and an ID token that is for the client`, () =>
      Effect.gen(function*() {
        const api = { aud: "https://api.example.com/v2" }
        const asked = (tag: typeof TokenAuth | typeof Access, token: string) =>
          Effect.map(
            F.sendAny(Effect.asVoid(tag.user as Effect.Effect<unknown, any, any>), { headers: place.present(token) }),
            ({ status }) => status
          )
        assert.deepStrictEqual(
          [
            yield* asked(Access, tokenWith(api, { typ: "at+jwt" })),
            yield* asked(Access, tokenWith(api, { typ: "application/at+JWT" })),
            yield* asked(Access, tokenWith(api, { typ: "JWT" })),
            yield* asked(Access, tokenWith(api)),
            yield* asked(TokenAuth, tokenWith({}, { typ: "JWT" })),
            yield* asked(TokenAuth, tokenWith({}, { typ: "at+jwt" })),
            // OpenID Connect Core section 2: the audience is the client.
            yield* asked(TokenAuth, tokenWith({ aud: "client-7", nonce: "n", azp: "client-7" })),
            yield* asked(TokenAuth, tokenWith({ aud: ["client-7", "client-8"], azp: "client-7" })),
            yield* asked(TokenAuth, tokenWith({}, { typ: "logout+jwt" })),
            yield* asked(TokenAuth, tokenWith({}, { typ: "dpop+jwt" }))
          ],
          [204, 204, 401, 401, 204, 401, 401, 401, 401, 401]
        )
      }).pipe(F.withLive(Live)))
  }
})

// -----------------------------------------------------------------------------
// token, claims, issue
// -----------------------------------------------------------------------------

describe("token and claims", () => {
  for (const place of F.places) {
    it.effect(`with tokens in ${place.title}, say what the token says, and fail as authenticating does`, () =>
      Effect.gen(function*() {
        const text = tokenWith({ role: "admin", email: "ada@example.com", nbf: now - 1, aud: [audience, "other"] })
        const token = success(yield* ask(place, text, TokenAuth.token))
        assert.deepStrictEqual(
          [token.algorithm, token.issuer, token.subject, token.audience, Option.getOrNull(token.id)],
          ["HS256", issuer, "ada", [audience, "other"], "token-1"]
        )
        assert.deepStrictEqual(
          [token.expiresAt, token.issuedAt, Option.getOrThrow(token.notBefore)].map((_) => _.epochMillis / 1_000 - now),
          [890, -10, -1]
        )
        assert.deepStrictEqual(token.claims, partsOf(text).claims)
        assert.deepStrictEqual(success(yield* ask(place, text, TokenAuth.claims)), { sub: "ada", role: "admin" })
        for (const read of [TokenAuth.token, TokenAuth.claims]) {
          const reads = Effect.asVoid(read as typeof TokenAuth.token)
          assert.deepStrictEqual(refusalOf(yield* send(reads)), refusal(place, "missing"))
          assert.deepStrictEqual(refusalOf(yield* ask(place, "nonsense", reads)), refusal(place, "bad"))
        }
      }).pipe(F.withLive(F.live(place))))

    it.effect(`with tokens in ${place.title}, are those of the token that a login of this request has granted`, () =>
      Effect.gen(function*() {
        const reply = yield* ask(
          place,
          tokenWith(),
          Effect.zipRight(TokenAuth.login({ sub: "bob" }), Effect.all([TokenAuth.token, TokenAuth.claims])),
          F.post
        )
        const [token, claims] = success(reply)
        assert.deepStrictEqual(claims, { sub: "bob" })
        assert.strictEqual(Option.getOrNull(token.id), partsOf(place.granted(reply)!).claims["jti"])
      }).pipe(F.withLive(F.live(place))))
  }
})

describe("issue", () => {
  const place = F.inAuthorization

  it.effect("gives the caller a token, for a body say, and grants none itself (119)", () =>
    Effect.gen(function*() {
      const handler = Effect.map(TokenAuth.issue({ sub: "ada" }), ({ expiresIn, token }) =>
        HttpServerResponse.unsafeJson({ token: Redacted.value(token), expiresIn }, { status: 201 }))
      const reply = yield* send(handler, F.post)
      const { expiresIn, token } = JSON.parse(reply.body)
      assert.deepStrictEqual([reply.status, expiresIn, reply.headers.get("authorization")], [201, 900, null])
      assert.strictEqual((yield* ask(place, token, me)).body, "ada")
    }).pipe(F.withLive(F.live(place))))

  it.effect("needs no request, and says of one token what its Layer does not (102)", () =>
    Effect.gen(function*() {
      const { expiresAt, expiresIn, id, token } = yield* TokenAuth.issue({ sub: "ada", role: "admin" }, {
        lifetime: "1 hour",
        audience: ["x", "y"],
        id: "token-7",
        notBefore: DateTime.unsafeMake((now + 5) * 1_000),
        authenticatedAt: DateTime.unsafeMake((now - 5) * 1_000)
      })
      assert.deepStrictEqual([expiresAt.epochMillis / 1_000, expiresIn, id], [now + 3_600, 3_600, "token-7"])
      assert.deepStrictEqual(partsOf(Redacted.value(token)).claims, {
        "effect-security.realm": "test/TokenAuth",
        sub: "ada",
        role: "admin",
        iss: issuer,
        aud: ["x", "y"],
        exp: now + 3_600,
        iat: now,
        nbf: now + 5,
        jti: "token-7",
        auth_time: now - 5
      })
      // Another audience than the Layer's own is for somebody else.
      assert.strictEqual((yield* ask(place, Redacted.value(token), me)).status, 401)
    }).pipe(F.withLive(F.live(place))))

  it.effect("prints no token", () =>
    Effect.gen(function*() {
      const issued = yield* TokenAuth.issue({ sub: "ada" })
      const secret = Redacted.value(issued.token).split(".")[2]!
      for (const text of [String(issued.token), JSON.stringify(issued), Inspectable.format(issued)]) {
        assert.notInclude(text, secret)
      }
    }).pipe(F.withLive(F.live(place))))
})

// -----------------------------------------------------------------------------
// Tokens of others
// -----------------------------------------------------------------------------

describe("layerVerifier", () => {
  const theirs = pairOf("HS256")
  const verifier = (of: string, by: typeof theirs) =>
    Effect.provide(
      Jwt.verifier({ algorithms: ["HS256"], issuer: of, audience, claims: F.Claims }),
      ring(spyKey(by))
    )
  const token = (iss: string, by: typeof theirs, change: Readonly<Record<string, unknown>> = {}) =>
    tokenOf(by, { ...partsOf(tokenWith(change)).claims, iss })

  for (const header of ["Authorization", "X-Token"]) {
    const Live = JwtAuth.layerVerifier(TokenAuth, {
      verifier: Effect.all([verifier("ours", F.pair), verifier("theirs", theirs)]).pipe(
        Effect.flatMap((all) => Jwt.byIssuer(...all))
      ),
      retrieveUser: F.retrieveUser,
      header
    })
    const asked = (token: string) =>
      Effect.map(
        send(me, { headers: { [header]: `Bearer ${token}` } }),
        ({ body, status }) => status === 200 ? body : status
      )

    it.effect(`lets in who has a token of one of several issuers in ${header}, each by its own keys`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          [
            yield* asked(token("ours", F.pair)),
            yield* asked(token("theirs", theirs, { sub: "bob" })),
            yield* asked(token("theirs", F.pair)),
            yield* asked(token("ours", theirs)),
            yield* asked(token("nobody's", F.pair)),
            yield* asked(token("ours", F.pair, { sub: "ghost" })),
            yield* asked("nonsense")
          ],
          ["ada", "bob", 401, 401, 401, 401, 401]
        )
        const said = yield* send(TokenAuth.token as Effect.Effect<Jwt.Token, never, any>, {
          headers: { [header]: `Bearer ${token("theirs", theirs)}` }
        }) as Effect.Effect<Reply<Jwt.Token, never>, never, TokenAuth>
        assert.strictEqual(success(said).issuer, "theirs")
      }).pipe(F.withLive(Layer.orDie(Live))))
  }

  it.effect("fails as its verifier does", () =>
    Effect.gen(function*() {
      const failing = JwtAuth.layerVerifier(TokenAuth, {
        verifier: Effect.all([verifier("ours", F.pair), verifier("ours", theirs)]).pipe(
          Effect.flatMap((all) => Jwt.byIssuer(...all))
        ),
        retrieveUser: F.retrieveUser
      })
      assert.strictEqual(
        yield* complaintOf(Effect.scoped(Layer.build(failing))),
        "two verifiers name the issuer \"ours\""
      )
    }))

  it.effect("is 503 where the keys of an issuer cannot be had, for its tokens and for no other", () =>
    Effect.gen(function*() {
      const down = F.breakable()
      const Live = JwtAuth.layerVerifier(TokenAuth, {
        verifier: Effect.all([
          verifier("ours", F.pair),
          Effect.provide(
            Jwt.verifier({ algorithms: ["HS256"], issuer: "theirs", audience, claims: F.Claims }),
            down.layer
          )
        ]).pipe(Effect.flatMap((all) => Jwt.byIssuer(...all))),
        retrieveUser: F.retrieveUser
      })
      yield* Effect.gen(function*() {
        down.state.keys = Effect.fail(new SecurityError.SecurityUnavailable({ reason: "down" }))
        const asked = (token: string) => Effect.map(ask(F.inAuthorization, token, me), ({ status }) => status)
        assert.strictEqual(yield* asked(token("theirs", F.pair)), 503)
        assert.strictEqual(yield* asked(token("ours", F.pair)), 200)
        assert.strictEqual(yield* asked(token("nobody's", F.pair)), 401)
      }).pipe(F.withLive(Layer.orDie(Live)))
    }))
})

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

describe("options", () => {
  const build = (place: Place, options: F.Options, keys: Layer.Layer<JwtKeys.JwtKeys, any> = F.keys) =>
    Effect.map(
      Effect.exit(Effect.scoped(Layer.build(F.live(place, options, keys)))),
      Exit.match({
        onFailure: (cause) =>
          Option.match(Cause.failureOption(cause as Cause.Cause<SecurityError.SecurityConfigError>), {
            onNone: () => `dies: ${Cause.squash(cause)}`,
            onSome: (error) => `${error._tag}: ${error.reason}`
          }),
        onSuccess: () => "starts"
      })
    )

  for (const place of F.places) {
    it.effect(`with tokens in ${place.title}, those that make no sense keep the Layer from starting (124, O12)`, () =>
      Effect.gen(function*() {
        const wrong: ReadonlyArray<readonly [F.Options, RegExp]> = [
          [{ strictAudience: true, audience: ["a", "b"] }, /^SecurityConfigError: strictAudience takes one audience/],
          [{ issuer: "" }, /^SecurityConfigError: issuer names/],
          [{ audience: [] as any }, /^SecurityConfigError: audience names/],
          [{ audience: ["a", "a"] }, /^SecurityConfigError: audience names/],
          [{ tolerance: "Infinity" as any }, /^SecurityConfigError: tolerance/],
          [{ lifetime: 0 }, /^SecurityConfigError: lifetime/],
          [{ lifetime: Number.POSITIVE_INFINITY }, /^SecurityConfigError: lifetime/],
          [{ cacheSize: -1 }, /^SecurityConfigError: cacheSize/],
          [{ algorithms: ["HS512"] }, /^SecurityConfigError: a key without kid is a secret of fewer than 64 bytes/],
          [{ algorithms: ["ES256"] }, /^SecurityConfigError: a key without kid is for HS256, not for ES256$/],
          [{ timeout: 0 }, /^dies: .*test\/TokenAuth: timeout is a positive duration/],
          [{ trustedOrigins: ["*"] }, /^dies: .*test\/TokenAuth: trustedOrigins and origin take exact origins/]
        ]
        for (const [options, sentence] of wrong) {
          assert.match(yield* build(place, options), sentence)
        }
        assert.strictEqual(yield* build(place, {}), "starts")
      }))
  }

  it.effect("a key that only verifies signs nobody in, which a Layer says at its start", () =>
    Effect.gen(function*() {
      const verifying = ring({ ...spyKey(F.pair), sign: undefined })
      for (const place of F.places) {
        assert.strictEqual(
          yield* build(place, {}, verifying),
          "SecurityConfigError: no key of the ring that is live can sign with HS256"
        )
      }
    }))

  it.effect("a header that is no header keeps the Layer from starting", () =>
    Effect.gen(function*() {
      const layer = (header: string) =>
        Layer.provide(
          JwtAuth.layer(TokenAuth, { algorithms: ["HS256"], issuer, audience, retrieveUser: F.retrieveUser, header }),
          F.keys
        )
      for (const header of ["", "two words", "x:y", "caf\u00e9"]) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer(header))))
        assert.include(
          String(Exit.isFailure(exit) && Cause.squash(exit.cause)),
          "test/TokenAuth: scheme: key names a header"
        )
      }
    }))

  it.effect("from Config are those of the Layer, and a wrong one is a ConfigError", () =>
    Effect.gen(function*() {
      const layer = JwtAuth.layerConfig(TokenAuth, {
        algorithms: ["HS256"],
        retrieveUser: F.retrieveUser,
        settings: {
          issuer: Config.string("ISSUER"),
          audience: Config.string("AUDIENCE"),
          header: Config.string("HEADER").pipe(Config.withDefault("Authorization")),
          lifetime: Config.duration("LIFETIME").pipe(Config.withDefault("15 minutes" as any)),
          timeout: Config.duration("TIMEOUT").pipe(Config.withDefault("2 seconds" as any))
        }
      }).pipe(Layer.provide(F.keys))
      const from = (config: Record<string, string>) =>
        Layer.provide(layer, Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(config)))))
      const good = { ISSUER: issuer, AUDIENCE: audience, HEADER: "X-Token", LIFETIME: "1 minute" }
      yield* Effect.gen(function*() {
        const reply = yield* send(F.login(), F.post)
        const token = reply.headers.get("x-token")!
        const { exp, iat } = partsOf(token.slice(7)).claims
        assert.strictEqual(Number(exp) - Number(iat), 60)
        assert.strictEqual((yield* send(me, { headers: { "x-token": token } })).body, "ada")
      }).pipe(F.withLive(Layer.orDie(from(good))))
      const complaints: ReadonlyArray<readonly [Record<string, string>, RegExp]> = [
        [{}, /Expected ISSUER to exist/],
        [{ ...good, LIFETIME: "soon" }, /LIFETIME/],
        [{ ...good, TIMEOUT: "0 seconds" }, /timeout is a positive duration/],
        [{ ...good, HEADER: "two words" }, /names a header/]
      ]
      for (const [config, sentence] of complaints) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(from(config))))
        const error = Exit.isFailure(exit) ? Option.getOrThrow(Cause.failureOption(exit.cause)) : undefined
        assert.match(String(error), sentence)
        assert.notStrictEqual((error as SecurityError.SecurityConfigError)._tag, "SecurityConfigError")
      }
      // What Config cannot know is for the Layer to say.
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(from({ ...good, ISSUER: "" }))))
      assert.match(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), /issuer names at least one text/)
    }))
})

// -----------------------------------------------------------------------------
// Seen from outside
// -----------------------------------------------------------------------------

describe("what is seen from outside", () => {
  interface Seen {
    readonly name: string
    readonly attributes: Map<string, unknown>
    readonly rest: Array<unknown>
  }

  const tracerTo = (spans: Array<Seen>): Layer.Layer<never> =>
    Layer.setTracer(Tracer.make({
      context: (f) => f(),
      span: (name, parent, context, links, startTime, kind) => {
        const seen: Seen = { name, attributes: new Map(), rest: [] }
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
          attribute: (key, value) => void seen.attributes.set(key, value),
          event: (...event) => void seen.rest.push(event),
          addLinks: () => undefined,
          end: (_, exit) => {
            if (Exit.isFailure(exit)) {
              seen.rest.push(Cause.pretty(exit.cause, { renderErrorCause: true }))
            }
          }
        }
      }
    }))

  const inToken = {
    ...F.inApiKeyHeader,
    title: "the header X-Token",
    header: "x-token",
    vary: "X-Token",
    serve: (tag: any, options: F.Options) => JwtAuth.layer(tag, { ...options, header: "X-Token" } as any) as any,
    present: (token: string) => ({ "x-token": `Bearer ${token}` }),
    granted: (reply: F.Granting) => F.headerOf(reply, "x-token")?.slice("Bearer ".length)
  } satisfies Place

  for (const place of [...F.places, inToken]) {
    it.effect(`with tokens in ${place.title}, no token, key or claim is logged, traced, counted or told, whatever goes wrong`, () => {
      const canary = "a-claim-that-nobody-tells"
      const spans: Array<Seen> = []
      const lines: Array<string> = []
      const events: Array<SecurityEvents.SecurityEvent> = []
      const printed: Array<string> = []
      const given = new Set<string>()
      const down = F.breakable()
      return Effect.gen(function*() {
        const login = TokenAuth.login({ sub: "ada", role: canary })
        const say = (reply: Reply<unknown, unknown>) => {
          if (Exit.isFailure(reply.exit)) {
            const error = Cause.squash(reply.exit.cause)
            printed.push(
              String(error),
              JSON.stringify(error),
              Inspectable.format(error),
              Cause.pretty(reply.exit.cause, { renderErrorCause: true }),
              JSON.stringify(reply.exit)
            )
          }
          if (reply.status >= 400) {
            printed.push(F.wholeOf(reply))
          }
        }
        const ask = (handler: Effect.Effect<unknown, any, any>, token: string | undefined, sent: Sent = {}) => {
          if (token !== undefined && token.length > 20) given.add(token)
          return Effect.tap(
            send(handler as Effect.Effect<unknown, unknown, F.Live>, {
              ...sent,
              headers: { ...token === undefined ? {} : place.present(token), ...sent.headers }
            }),
            (reply) => Effect.sync(() => say(reply))
          )
        }
        const token = place.granted(yield* ask(login, undefined, F.post))!
        for (const good of [me, TokenAuth.token, TokenAuth.claims, TokenAuth.userOption]) yield* ask(good, token)
        for (const text of Object.values(bad)) yield* ask(me, text)
        yield* ask(me, tokenWith({ sub: "ghost", role: canary }))
        yield* ask(me, tokenWith({ role: [canary] }))
        yield* ask(me, tokenWith({ role: canary, exp: canary }))
        yield* ask(Effect.zipRight(login, Effect.die(new Error("a bug of the application"))), token, F.post)
        yield* ask(TokenAuth.login({ sub: "ada", role: canary.repeat(1_000) }), token, F.post)
        yield* ask(TokenAuth.login({ sub: "ada", role: canary }, { verifiedAt: DateTime.unsafeMake(0) }), token, F.post)
        yield* ask(F.logout, token, { ...F.post, headers: { origin: "https://evil.example" } })
        yield* ask(F.logout, token, F.post)
        yield* ask(TokenAuth.login({ sub: "", role: canary }), token, F.post)
        for (const part of ["verify", "sign", "keys"] as const) {
          down.state[part] = part === "keys"
            ? Effect.fail(new SecurityError.SecurityUnavailable({ reason: "the key service is down" }))
            : Effect.fail(new Error("the key service is down"))
          yield* ask(me, tokenWith({ role: canary }))
          yield* ask(login, token, F.post)
          down.state[part] = Effect.void
        }
        const metrics = Metric.unsafeSnapshot().map(({ metricKey, metricState }) =>
          inspect([metricKey, metricState], { depth: 9 })
        )
        const all = [
          ...lines,
          ...events.map((event) => JSON.stringify(event)),
          ...spans.flatMap(({ attributes, name, rest }) => [
            name,
            ...Array.from(attributes, ([key, value]) => `${key}: ${Inspectable.format(value)}`),
            ...rest.map((one) => inspect(one, { depth: 9 }))
          ]),
          ...metrics,
          ...printed
        ]
        // It has all been said, and to be found it is.
        assert.isTrue(all.some((line) => line.includes("the key service is down")))
        assert.isTrue(all.some((line) => line.includes("a credential was granted")))
        assert.isAbove(spans.length, 30)
        assert.isAbove(events.length, 5)
        const text = all.join("\n")
        assert.notInclude(text, canary)
        const secret = F.pair.signing.export()
        for (const encoding of ["base64", "base64url", "hex"] as const) {
          assert.notInclude(text, secret.toString(encoding))
        }
        for (const one of given) {
          for (const part of one.split(".").slice(1)) {
            assert.isFalse(part.length > 10 && text.includes(part), part.slice(0, 80))
          }
        }
        assert.notInclude(text, token.split(".")[2]!)
      }).pipe(
        F.withLive(Layer.provide(F.live(place, { spans: true }, down.layer), F.eventsTo(events))),
        Effect.provide(tracerTo(spans)),
        Effect.provide(logsTo(lines)),
        Logger.withMinimumLogLevel(LogLevel.All)
      )
    })
  }
})

// -----------------------------------------------------------------------------
// Any bytes
// -----------------------------------------------------------------------------

describe("any bytes as a token are none", () => {
  const real = (sub: string) =>
    tokenOf(F.pair, {
      iss: issuer,
      aud: audience,
      sub,
      iat: 1_700_000_000,
      exp: 4_102_444_800
    })
  const token = real("ada")
  const [head = "", payload = "", signature = ""] = token.split(".")

  const fragments = [
    oneOf("Bearer ", "bearer  ", "BEARER ", "Bearer", "Basic ", "Bearer\t", "Bearer \u00a0"),
    oneOf("__Host-token=", "__Host-token", "__host-token=", "token=", ";", "; ", "=", ",", "\"", "%", "%2E", "\u00a0"),
    oneOf(".", "..", "=", "==", "-", "_", "+", "/", "~"),
    oneOf(head, payload, signature, `${head}.${payload}.`, `.${payload}.${signature}`, "e30", "eyJhbGciOiJub25lIn0"),
    FastCheck.string({ unit: anyByte, maxLength: 40 }).map((text) => Buffer.from(text, "latin1").toString("base64url"))
  ]
  const anything = piecesOf(headerByte, ...fragments)
  // One byte more, less or another than a token that is good.
  const almost = FastCheck.tuple(
    FastCheck.nat(),
    FastCheck.integer({ min: 0, max: 2 }),
    FastCheck.string({ unit: headerByte, maxLength: 2 })
  )
    .map(([at, removed, text]) => splice(token, at, removed, text))
    .filter((text) => text.trim() !== token)
  const claims = FastCheck.json().map((json) => `${head}.${base64Url(json)}.${signature}`)
  const value = FastCheck.oneof(anything, almost, claims)

  const cases = FastCheck.record({
    target: FastCheck.constantFrom("/authorization", "/x-token", "/cookie", "/logout"),
    authorization: few(repeated(FastCheck.oneof(value, value.map((text) => `Bearer ${text}`)), 300)),
    token: few(repeated(FastCheck.oneof(value, value.map((text) => `Bearer ${text}`)), 300)),
    cookie: few(repeated(FastCheck.oneof(value, value.map((text) => `__Host-token=${text}`)), 300))
  })

  class InToken extends JwtAuth.Tag<InToken>()("test/InToken", { user: CurrentUser, claims: F.Claims }) {}
  class InCookie extends JwtAuth.Tag<InCookie>()("test/InCookie", { user: CurrentUser, claims: F.Claims }) {}

  for (const router of ["HttpRouter", "HttpApi"] as const) {
    it.scopedLive(`on ${router}, over a socket`, () =>
      Effect.gen(function*() {
        let reached = 0
        const { logs, port } = yield* listen(
          routers[router].node(
            [
              get("/authorization", F.whoami, TokenAuth),
              get("/x-token", F.whoami, InToken),
              get("/cookie", F.whoami, InCookie),
              get("/logout", Effect.as(InCookie.logout, F.empty()))
            ],
            (app) => Effect.zipRight(Effect.sync(() => reached++), app)
          ),
          Layer.mergeAll(
            F.live(F.inAuthorization),
            Layer.provide(
              JwtAuth.layer(InToken, {
                algorithms: ["HS256"],
                issuer,
                audience,
                retrieveUser: F.retrieveUser,
                header: "X-Token"
              }),
              F.keys
            ),
            F.liveOf(InCookie, F.inCookie)
          )
        )
        const client = yield* RawHttp.make(port)
        const credential: Header = ["Authorization", `Bearer ${token}`]
        const world = {
          client,
          reached: () => reached,
          logs,
          credential,
          path: "/authorization",
          secret: "ada",
          state: Effect.void
        }
        const tally = yield* everyCase(world, 0.8, cases, ({ authorization, cookie, target, token }) =>
          Effect.map(
            client.send({
              method: "GET",
              target,
              headers: [
                host,
                ...authorization.map((value): Header => ["Authorization", written(value)]),
                ...token.map((value): Header => ["X-Token", written(value)]),
                ...cookie.map((value): Header => ["Cookie", written(value)])
              ]
            }),
            (reply) => {
              assertStatus(reply, [target === "/logout" ? 204 : 401, ...refusedByNode])
              if (reply.status === 401) {
                assert.deepStrictEqual(reply.setCookies, [])
                assert.match(reply.headers["www-authenticate"]!, target === "/cookie" ? /^Cookie$/ : /^Bearer/)
              }
              return reply
            }
          ))
        assertShare(tally, 401, 0.5)
      }), limit)
  }
})
