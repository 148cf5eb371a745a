// Where one backend, key or person ends and another begins: what two of them that look alike must not share.
import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, DateTime, Effect, Exit, Layer, Option, Schema } from "effect"
import * as Jwt from "effect-security/jwt/Jwt"
import * as JwtAuth from "effect-security/jwt/JwtAuth"
import * as JwtKeys from "effect-security/jwt/JwtKeys"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import * as Scopes from "effect-security/Scopes"
import * as SecurityConfig from "effect-security/SecurityConfig"
import * as SecurityTest from "effect-security/SecurityTest"
import * as SessionAuth from "effect-security/session/SessionAuth"
import * as SessionStore from "effect-security/session/SessionStore"
import { CurrentUser, send } from "../session/fixtures.js"
import { audience, issuer, now, setSeconds } from "./fixtures.js"
import * as F from "./httpFixtures.js"

const Claims = Schema.Struct({ sub: Schema.String })

class People extends JwtAuth.Tag<People>()("test/People", { user: CurrentUser, claims: Claims }) {}
class Admins extends JwtAuth.Tag<Admins>()("test/Admins", { user: CurrentUser, claims: Claims }) {}

const options = {
  algorithms: ["HS256"],
  issuer,
  audience,
  retrieveUser: ({ sub }: { readonly sub: string }) => Effect.succeed(Option.some({ id: sub }))
} as const

describe("a token of one Tag", () => {
  it.effect.each(F.places)(
    "is none of another that has the same keys, issuer and audience: $title",
    (place) =>
      Effect.gen(function*() {
        const granted = yield* send(Effect.as(People.login({ sub: "mallory" }), F.empty()), F.post)
        const token = place.granted(granted)!
        const own = yield* send(People.protect(F.whoami), { headers: place.present(token) })
        assert.strictEqual(own.status, 200)
        const other = yield* send(Admins.protect(F.whoami), { headers: place.present(token) })
        assert.strictEqual(other.status, 401)
      }).pipe(
        Effect.provide(Layer.merge(
          F.liveOf(People, place, options as any),
          F.liveOf(Admins, place, options as any)
        ))
      )
  )

  it.effect("is one where nobody says whose it is, as others sign them", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const answer = yield* send(Admins.protect(F.whoami), {
        headers: F.inAuthorization.present(F.tokenWith({ sub: "ada" }))
      })
      assert.strictEqual(answer.status, 200)
    }).pipe(Effect.provide(F.liveOf(Admins, F.inAuthorization, options as any))))

  it.effect("that is granted in a request is not read by another that has the same header", () =>
    Effect.gen(function*() {
      const answer = yield* send(
        People.login({ sub: "ada" }).pipe(
          Effect.zipRight(Effect.all([People.user, Admins.userOption])),
          Effect.map(([own, other]) => HttpServerResponse.text(`${own.id} ${other._tag}`))
        ),
        F.post
      )
      assert.strictEqual(answer.body, "ada None")
    }).pipe(
      Effect.provide(Layer.merge(
        F.liveOf(People, F.inAuthorization, options as any),
        F.liveOf(Admins, F.inAuthorization, options as any)
      ))
    ))
})

describe("a person", () => {
  class Sessions extends SessionAuth.Tag<Sessions>()("test/Sessions", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String })
  }) {}

  it.effect("is the subject of the token, and not somebody else whom the claims name", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const ask = (claims: Record<string, unknown>) =>
        send(Sessions.protect(F.whoami), { headers: F.inAuthorization.present(F.tokenWith(claims)) })
      assert.strictEqual((yield* ask({ sub: "ada", userId: "ada" })).status, 200)
      assert.strictEqual((yield* ask({ sub: "mallory", userId: "admin" })).status, 401)
    }).pipe(
      Effect.provide(F.liveOf(
        Sessions,
        F.inAuthorization,
        {
          ...options,
          retrieveUser: ({ userId }: { readonly userId: string }) => Effect.succeedSome({ id: userId })
        } as any
      ))
    ))

  it.effect("of one issuer can be told from that of another by the same name", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const ask = (iss: string) =>
        send(People.protect(F.whoami), { headers: F.inAuthorization.present(F.tokenWith({ iss, sub: "ceo" })) })
      assert.strictEqual((yield* ask("https://a.example")).body, "https://a.example ceo")
      assert.strictEqual((yield* ask("https://b.example")).body, "https://b.example ceo")
    }).pipe(
      Effect.provide(Layer.provide(
        JwtAuth.layer(People, {
          ...options,
          issuer: ["https://a.example", "https://b.example"],
          retrieveUser: ({ sub }, token) => Effect.succeedSome({ id: `${token.issuer} ${sub}` })
        }),
        F.keys
      ))
    ))
})

describe("a person of somebody else's tokens", () => {
  class Foreign extends JwtAuth.Tag<Foreign>()("test/Foreign", {
    user: CurrentUser,
    claims: Schema.Struct({ userId: Schema.String })
  }) {}

  it.effect("is whom the claims name, whatever the issuer calls its subjects", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const headers = F.inAuthorization.present(F.tokenWith({ sub: "auth0|ada", userId: "ada" }))
      assert.strictEqual((yield* send(Foreign.protect(F.whoami), { headers })).body, "ada")
    }).pipe(
      Effect.provide(Layer.provide(
        JwtAuth.layerVerifier(Foreign, {
          verifier: Jwt.verifier({ ...options, claims: Foreign.auth }),
          retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId })
        }),
        F.keys
      ))
    ))
})

describe("a key", () => {
  /** As a client of a key management service would have it. */
  class Managed implements JwtKeys.Key {
    readonly #key: JwtKeys.Key
    constructor(key: JwtKeys.Key) {
      this.#key = key
    }
    get kid() {
      return "managed"
    }
    get algorithms() {
      return this.#key.algorithms
    }
    get until() {
      return undefined
    }
    get publicJwk(): JwtKeys.PublicJwk {
      return { kty: "EC", crv: "P-256", x: "x", y: "y", d: "private" } as unknown as JwtKeys.PublicJwk
    }
    sign(header: JwtKeys.Header, payload: Uint8Array) {
      return this.#key.sign!(header, payload)
    }
    verify(token: string, algorithm: JwtKeys.Algorithm) {
      return this.#key.verify(token, algorithm)
    }
  }

  const managed = JwtKeys.layer(Effect.map(JwtKeysJose.generate("ES256"), (key) => new Managed(key)))

  it.effect("may be an object of any class, and signs and verifies", () =>
    Effect.gen(function*() {
      const granted = yield* send(Effect.as(People.login({ sub: "ada" }), F.empty()), F.post)
      const answer = yield* send(People.protect(F.whoami), {
        headers: F.inAuthorization.present(F.inAuthorization.granted(granted)!)
      })
      assert.strictEqual(answer.body, "ada")
    }).pipe(Effect.provide(Layer.provide(JwtAuth.layer(People, { ...options, algorithms: ["ES256"] }), managed))))

  it.effect("is published without its private half, whatever it says is public", () =>
    Effect.gen(function*() {
      const { keys } = yield* JwtKeys.jwks
      assert.deepStrictEqual(keys.map((key) => Object.keys(key)), [["kty", "crv", "x", "y"]])
    }).pipe(Effect.provide(managed)))

  it.effect("of the same kid as another is found behind keys that have none", () =>
    Effect.gen(function*() {
      const none = JwtKeysJose.generate("HS256")
      const named = JwtKeysJose.generate("HS256", { kid: "a" })
      const exit = yield* Effect.exit(Layer.build(JwtKeys.layer(none, none, named, named)))
      assert.isTrue(Exit.isFailure(exit))
    }).pipe(Effect.scoped))
})

describe("a ring", () => {
  it.effect("whose keys are all over signs nothing, and no Layer starts that would have to", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const over = JwtKeysJose.generate("HS256", { until: DateTime.unsafeMake((now - 1) * 1_000) })
      const keys = JwtKeys.layer(over)
      const failure = yield* Effect.flip(
        Effect.scoped(Layer.build(Layer.provide(JwtAuth.layer(People, options), keys)))
      )
      assert.include(failure.reason, "live")
    }))

  it.effect("keeps what is demanded of it once, however often it is", () =>
    Effect.gen(function*() {
      const kept: Array<string> = []
      const { set } = Map.prototype
      // A ring keeps what is demanded of it in a Map, by what it says.
      const demands = yield* Effect.acquireUseRelease(
        Effect.sync(() =>
          Object.assign(Map.prototype, {
            set(this: Map<unknown, unknown>, key: unknown, value: unknown) {
              if (typeof key === "string" && key.startsWith("[[\"HS256\"]")) kept.push(key)
              return set.call(this, key, value)
            }
          })
        ),
        () => Effect.as(Effect.repeatN(Jwt.verifier({ ...options, claims: Claims }), 99), kept),
        () => Effect.sync(() => Object.assign(Map.prototype, { set }))
      )
      assert.strictEqual(demands.length, 100)
      assert.deepStrictEqual(Array.from(new Set(demands)), ["[[\"HS256\"],false]"])
      const key = yield* JwtKeysJose.generate("ES256")
      assert.include((yield* Effect.flip(JwtKeys.replace(key))).reason, "HS256")
    }).pipe(Effect.provide(JwtKeys.layer(JwtKeysJose.generate("HS256")))))
})

describe("Layers of one Tag that are merged", () => {
  it.effect("say which operation the last of them does not have", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(People.issue({ sub: "ada" }))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        "test/People: the Layer in force has no issue"
      )
    }).pipe(
      Effect.provide(Layer.merge(
        Layer.provide(JwtAuth.layer(People, options), F.keys),
        F.liveOf(People, F.inCookie, options as any)
      ))
    ))
})

describe("a refusal", () => {
  const vocabulary = Scopes.make({ write: "Write" })

  class Scoped extends JwtAuth.Tag<Scoped>()("test/Scoped", {
    user: CurrentUser,
    claims: Schema.Struct({ sub: Schema.String, scope: vocabulary.schema })
  }) {}

  class Write extends Scopes.Tag<Write>()("test/Write", { auth: Scoped, scopes: ["write"] }) {}

  it.effect("of the application's own does not ask for a scope that was missing elsewhere", () =>
    Effect.gen(function*() {
      yield* setSeconds(now)
      const headers = F.inAuthorization.present(F.tokenWith({ sub: "ada", scope: "" }))
      const write = Write.protect(F.whoami)
      const missing = yield* send(write, { headers })
      assert.include(missing.headers.get("www-authenticate")!, "insufficient_scope")
      const banned = yield* send(
        Effect.catchAll(write, () => Effect.succeed(HttpServerResponse.text("banned", { status: 403 }))),
        { headers }
      )
      assert.strictEqual(banned.status, 403)
      assert.isNull(banned.headers.get("www-authenticate"))
    }).pipe(
      Effect.provide(Write.layer),
      Effect.provide(Layer.provide(JwtAuth.layer(Scoped, options), F.keys))
    ))

  it.effect("of a session that does not decode hands the request to no other backend, whoever asked it first", () => {
    class Sessions extends SessionAuth.Tag<Sessions>()("test/Undecodable", {
      user: CurrentUser,
      session: Schema.Struct({ userId: Schema.String })
    }) {}
    class Either extends SecurityConfig.firstOf<Either>()("test/Either", [Sessions, People]) {}

    /** A store whose records come back as nothing that is a session. */
    const store = Layer.map(SessionStore.layerMemory, (context) => {
      const memory = Context.get(context, SessionStore.SessionStore)
      return Context.make(SessionStore.SessionStore, {
        ...memory,
        find: (id) =>
          Effect.map(memory.find(id), Option.map((record) => new SessionStore.SessionRecord({ ...record, data: "{}" })))
      })
    })

    return Effect.gen(function*() {
      const { cookie } = yield* SecurityTest.headers(Sessions, { userId: "ada" })
      const headers = { cookie: cookie!, ...yield* SecurityTest.headers(People, { sub: "bob" }) }
      const alone = yield* send(Either.protect(F.whoami), { headers })
      assert.strictEqual(alone.status, 401)
      const again = { ...headers, ...yield* SecurityTest.headers(Sessions, { userId: "ada" }) }
      const after = yield* send(Effect.zipRight(Sessions.userOption, Either.protect(F.whoami)), { headers: again })
      assert.strictEqual(after.status, 401)
    }).pipe(
      Effect.provide(Either.layer()),
      Effect.provide(Layer.merge(
        Layer.provide(Sessions.layer({ retrieveUser: ({ userId }) => Effect.succeedSome({ id: userId }) }), store),
        Layer.provide(JwtAuth.layer(People, options), F.keys)
      ))
    )
  })
})
