// The users and backends of these tests.
import { HttpApiSecurity, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { Scope } from "effect"
import { SecurityConfig, SecurityError, SessionAuth, SessionStore } from "effect-security"
import { cookieOf, post } from "./harness.js"
import type { Server } from "./harness.js"

export interface User {
  readonly id: string
}

export class CurrentUser extends Context.Tag("test/CurrentUser")<CurrentUser, User>() {}

/** Answers with the id of the current user. */
export const whoami = Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id))

// -----------------------------------------------------------------------------
// Sessions
// -----------------------------------------------------------------------------

export class Auth extends SessionAuth.Tag<Auth>()("test/Auth", {
  user: CurrentUser,
  session: Schema.Struct({ userId: Schema.String, visits: Schema.optional(Schema.Number) })
}) {}

/** What a session holds. */
export type Session = typeof Auth.auth.Type

export type Options =
  & Partial<SessionAuth.LayerOptions<User, Session, any, any, any>>
  & SessionAuth.Settings

/** Everybody exists but `ghost`. */
export const retrieveUser = ({ userId }: { readonly userId: string }): Effect.Effect<Option.Option<User>> =>
  Effect.succeed(userId === "ghost" ? Option.none() : Option.some({ id: userId }))

/** A store that the test can look into, and what serves over it. */
export interface Sessions {
  readonly store: SessionStore.Service
  readonly layer: (options?: Options) => Layer.Layer<never>
  /** The same sessions, in a store that behaves otherwise. */
  readonly over: (change: (store: SessionStore.Service) => Partial<SessionStore.Service>) => Sessions
  /** How many sessions a user has. */
  readonly count: (id?: string) => Effect.Effect<number>
}

const overStore = (store: SessionStore.Service): Sessions => ({
  store,
  over: (change) => overStore({ ...store, ...change(store) }),
  layer: (options) =>
    Layer.provide(
      Auth.layer({ retrieveUser, ...options }),
      Layer.succeed(SessionStore.SessionStore, store)
    ) as Layer.Layer<any>,
  count: (id = "ada") => Effect.orDie(Effect.map(store.listBySubject(Auth.key, id), (records) => records.length))
})

export const memory: Effect.Effect<SessionStore.Service, never, Scope.Scope> = Effect.map(
  Layer.build(SessionStore.layerMemory),
  Context.get(SessionStore.SessionStore)
)

/** Sessions in memory; `change` makes a store of it that behaves otherwise. */
export const makeSessions = (
  change: (store: SessionStore.Service) => Partial<SessionStore.Service> = () => ({})
): Effect.Effect<Sessions, never, Scope.Scope> => Effect.map(memory, (store) => overStore(store).over(change))

/** Signs in whoever the header `x-user` names. */
export const login = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  (request) => Auth.login({ userId: request.headers["x-user"] ?? "ada" })
)

export const loginRoute = post("/login", Effect.as(login, HttpServerResponse.empty({ status: 204 })))

/** The cookie of a new session. */
export const signIn = (server: Server, id = "ada"): Effect.Effect<string> =>
  Effect.map(server.send("/login", { method: "POST", headers: { "x-user": id } }), (reply) => {
    assert.strictEqual(reply.status, 204, reply.body)
    return cookieOf(reply)
  })

// -----------------------------------------------------------------------------
// Backends of our own
// -----------------------------------------------------------------------------

export class BearerAuth extends SecurityConfig.Tag<BearerAuth>()("test/BearerAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser
}) {}

export class BasicAuth extends SecurityConfig.Tag<BasicAuth>()("test/BasicAuth", {
  scheme: HttpApiSecurity.basic,
  user: CurrentUser
}) {}

export class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "x-service-key" }),
  user: CurrentUser
}) {}

export class CookieKeyAuth extends SecurityConfig.Tag<CookieKeyAuth>()("test/CookieKeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "cookie", key: "service" }),
  user: CurrentUser
}) {}

/** What a backend was asked about. */
export type Asked = Array<string>

/** `good` is the credential of `bob`, and everything else is unknown; `down` is an outage. */
const verify = (asked: Asked) => (secret: string) =>
  Effect.suspend(() => {
    asked.push(secret)
    return secret === "down"
      ? Effect.fail("the directory is down")
      : Effect.succeed(secret === "good" ? Option.some<User>({ id: "bob" }) : Option.none<User>())
  })

export const bearerLive = (asked: Asked = []): Layer.Layer<BearerAuth> =>
  BearerAuth.layer({ authenticate: (token) => verify(asked)(Redacted.value(token)) })

export const basicLive = (asked: Asked = [], password = "good"): Layer.Layer<BasicAuth> =>
  BasicAuth.layer({
    authenticate: (credentials) => {
      const text = Redacted.value(credentials.password)
      return Effect.map(
        verify(asked)(text === password ? "good" : text),
        Option.map(() => ({ id: credentials.username }))
      )
    }
  })

export const keyLive = (asked: Asked = []): Layer.Layer<KeyAuth> =>
  KeyAuth.layer({ authenticate: (key) => verify(asked)(Redacted.value(key)) })

export const cookieKeyLive = (asked: Asked = []): Layer.Layer<CookieKeyAuth> =>
  CookieKeyAuth.layer({ authenticate: (key) => verify(asked)(Redacted.value(key)) })

export const basicHeader = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`

/** A failure that reveals itself wherever a reason would. */
export const notAuthorized = new SecurityError.NotAuthorized({ reason: "the password is wrong" })
