// Tokens over HTTP: one Tag, served from each place where a token can be.
import { HttpServerResponse } from "@effect/platform"
import { Effect, Layer, Option, Schema, Stream } from "effect"
import * as JwtAuth from "effect-security/jwt/JwtAuth"
import * as JwtCookieAuth from "effect-security/jwt/JwtCookieAuth"
import * as JwtKeys from "effect-security/jwt/JwtKeys"
import type * as SecurityConfig from "effect-security/SecurityConfig"
import * as SecurityEvents from "effect-security/SecurityEvents"
import { CurrentUser, send } from "../session/fixtures.js"
import type { Reply, Sent, User } from "../session/fixtures.js"
import { audience, claimsWith, issuer, keyOf, now, pairOf, setSeconds, spyKey, tokenOf } from "./fixtures.js"

// -----------------------------------------------------------------------------
// The application
// -----------------------------------------------------------------------------

export const Claims = Schema.Struct({ sub: Schema.String, role: Schema.optional(Schema.String) })
export type Claims = typeof Claims.Type

export class TokenAuth extends JwtAuth.Tag<TokenAuth>()("test/TokenAuth", { user: CurrentUser, claims: Claims }) {}

/** Everybody exists but `ghost`. */
export const retrieveUser = ({ sub }: Claims): Effect.Effect<Option.Option<User>> =>
  Effect.succeed(sub === "ghost" ? Option.none() : Option.some({ id: sub }))

export const whoami = Effect.map(CurrentUser, ({ id }) => HttpServerResponse.text(id))

/** Answers with who is signed in. */
export const me = TokenAuth.protect(whoami)

export const empty = (status = 204) => HttpServerResponse.empty({ status })

export const login = (sub = "ada") => Effect.as(TokenAuth.login({ sub }), empty())

export const logout = Effect.as(TokenAuth.logout, empty())

// -----------------------------------------------------------------------------
// Keys and tokens
// -----------------------------------------------------------------------------

export const pair = pairOf("HS256")

export const keys = JwtKeys.layer(keyOf(pair))

/** Signs as the server does, whatever the claims. */
export const tokenWith = (change: Readonly<Record<string, unknown>> = {}, header?: Readonly<Record<string, unknown>>) =>
  tokenOf(pair, claimsWith(change), { alg: "HS256", ...header })

/** A ring that can be broken, or never answer, after it was taken for good. */
export interface Breakable {
  readonly layer: Layer.Layer<JwtKeys.JwtKeys>
  /** What becomes of a ring, of a signature and of a verification. */
  readonly state: { keys: Outcome; sign: Outcome; verify: Outcome }
}

type Outcome = Effect.Effect<void, any>

export const breakable = (): Breakable => {
  const state: Breakable["state"] = { keys: Effect.void, sign: Effect.void, verify: Effect.void }
  const good = spyKey(pair)
  const key: JwtKeys.Key = {
    ...good,
    sign: (header, payload) => Effect.zipRight(Effect.suspend(() => state.sign), good.sign!(header, payload)),
    verify: (token, algorithm) => Effect.zipRight(Effect.suspend(() => state.verify), good.verify(token, algorithm))
  }
  const current = Effect.as(Effect.suspend(() => state.keys), { generation: 0, keys: [key] })
  return {
    state,
    layer: Layer.succeed(JwtKeys.JwtKeys, { keys: current, refresh: current, constrain: () => Effect.void })
  }
}

// -----------------------------------------------------------------------------
// Places
// -----------------------------------------------------------------------------

export type Options =
  & Partial<JwtAuth.LayerOptions<any, any, unknown, never, ReadonlyArray<any>>>
  & Partial<JwtAuth.Settings & JwtCookieAuth.Settings>

export type Live = TokenAuth | SecurityConfig.Supports<TokenAuth, JwtAuth.Bearer>

/** What a response grants, in whichever of our two shapes a test has it. */
export interface Granting {
  readonly headers: Headers | Readonly<Record<string, string>>
  readonly setCookie?: ReadonlyArray<string>
  readonly setCookies?: ReadonlyArray<string>
}

export const headerOf = ({ headers }: Granting, name: string): string | undefined =>
  headers instanceof Headers ? headers.get(name) ?? undefined : headers[name]

export const cookiesOf = ({ setCookie, setCookies }: Granting): ReadonlyArray<string> => setCookie ?? setCookies ?? []

/** Everything that a client is given, in words. */
export const wholeOf = (reply: Granting & { readonly status: number; readonly body: string }): string =>
  [
    reply.status,
    ...(reply.headers instanceof Headers
      ? Array.from(reply.headers).filter(([name]) => name !== "set-cookie")
      : Object.entries(reply.headers)).map(([name, value]) => `${name}: ${value}`),
    ...cookiesOf(reply).map((cookie) => `set-cookie: ${cookie}`),
    reply.body
  ].join("\n")

/** Where a token is, how it is shown and how it is granted there. */
export interface Place {
  readonly title: string
  readonly isCookie: boolean
  /** In lower case. */
  readonly header: string
  readonly vary: string
  readonly challenge: { readonly missing: string; readonly bad: string }
  readonly serve: (
    tag: SecurityConfig.Base<any, any, any, any, any> & SecurityConfig.SignIn<any, any>,
    options: Options
  ) => Layer.Layer<any, any, JwtKeys.JwtKeys>
  readonly present: (token: string) => Record<string, string>
  /** The token that a response grants: exactly one, and nothing else that grants. */
  readonly granted: (reply: Granting) => string | undefined
}

const inHeader = (header: string): Place => ({
  title: `the header ${header}`,
  isCookie: false,
  header: header.toLowerCase(),
  vary: header,
  challenge: { missing: "Bearer", bad: "Bearer error=\"invalid_token\"" },
  serve: (tag, options) => JwtAuth.layer(tag, { ...options, header } as any) as any,
  present: (token) => ({ [header.toLowerCase()]: `Bearer ${token}` }),
  granted: (reply) =>
    cookiesOf(reply).length === 0
      ? /^Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/.exec(headerOf(reply, header.toLowerCase()) ?? "")
        ?.[1]
      : undefined
})

export const inAuthorization = inHeader("Authorization")
export const inApiKeyHeader = inHeader("X-API-Key")

/** In a cookie of this name. */
export const inCookieOf = (name: string): Place => ({
  title: `the cookie ${name}`,
  isCookie: true,
  header: "cookie",
  vary: "Cookie",
  challenge: { missing: "Cookie", bad: "Cookie" },
  serve: (tag, options) => JwtCookieAuth.layer(tag, options as any) as any,
  present: (token) => ({ cookie: `${name}=${token}` }),
  granted: (reply) =>
    cookiesOf(reply).length === 1 && headerOf(reply, "authorization") === undefined
      ? new RegExp(`^${name}=([A-Za-z0-9_.-]+);`).exec(cookiesOf(reply)[0]!)?.[1]
      : undefined
})

export const inCookie = inCookieOf("__Host-token")

export const places: ReadonlyArray<Place> = [inAuthorization, inApiKeyHeader, inCookie]

const defaults = { algorithms: ["HS256"], issuer, audience, retrieveUser } as const

/** The backend of a place. */
export const live = (
  place: Place,
  options: Options = {},
  ring: Layer.Layer<JwtKeys.JwtKeys, any> = keys
): Layer.Layer<Live> => Layer.provide(place.serve(TokenAuth, { ...defaults, ...options }), ring) as Layer.Layer<any>

/** The same for another Tag. */
export const liveOf = (
  tag: SecurityConfig.Base<any, any, any, any, any> & SecurityConfig.SignIn<any, any>,
  place: Place,
  options: Options = {},
  ring: Layer.Layer<JwtKeys.JwtKeys, any> = keys
): Layer.Layer<any> => Layer.provide(place.serve(tag, { ...defaults, ...options }), ring) as Layer.Layer<any>

/** Runs with a Layer, and it is `now`. */
export const withLive = <ROut>(layer: Layer.Layer<ROut>) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.zipRight(setSeconds(now), Effect.provide(self, layer))

export const post = { method: "POST" } as const

/** Answers a request with one of several handlers that have no type in common. */
export const sendAny = (
  handler: Effect.Effect<unknown, unknown, any>,
  sent?: Sent
): Effect.Effect<Reply<unknown, unknown>, never, Live> => send(handler as Effect.Effect<unknown, unknown, Live>, sent)

/** The token of a sign-in, as a client would take it out of the response. */
export const signIn = (place: Place, sub = "ada") =>
  Effect.flatMap(send(login(sub), post), (reply) =>
    Option.match(Option.fromNullable(place.granted(reply)), {
      onNone: () => Effect.dieMessage(`no token was granted: ${wholeOf(reply)}`),
      onSome: Effect.succeed
    }))

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

/** Notes every event. */
export const eventsTo = (events: Array<SecurityEvents.SecurityEvent>): Layer.Layer<SecurityEvents.SecurityEvents> =>
  Layer.succeed(SecurityEvents.SecurityEvents, {
    publish: (event) => Effect.sync(() => void events.push(event)),
    stream: Stream.empty,
    dropped: Effect.succeed(0)
  })

/** An event as plain values. */
export const plainEvent = (event: SecurityEvents.SecurityEvent): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(event).filter(([name]) => name !== "at").map(([name, value]) =>
      [name, Option.isOption(value) ? Option.getOrNull(value) : value] as const
    )
  )
