// Sessions in sealed cookies, as the tests of this folder serve and send them.
import { Effect, Layer, Option, Redacted, Stream } from "effect"
import type * as SecurityConfig from "effect-security/SecurityConfig"
import type { SecurityConfigError } from "effect-security/SecurityError"
import * as SecurityEvents from "effect-security/SecurityEvents"
import * as SealedSession from "effect-security/session/SealedSession"
import type * as SessionAuth from "effect-security/session/SessionAuth"
import * as SessionEpoch from "effect-security/session/SessionEpoch"
import { createHash } from "node:crypto"
import { Auth, retrieveUser, send } from "../fixtures.js"
import type { Reply, Sent } from "../fixtures.js"

// -----------------------------------------------------------------------------
// Keys
// -----------------------------------------------------------------------------

export const bytesOf = (seed: string): Uint8Array => new Uint8Array(createHash("sha256").update(seed).digest())

/** The same key for the same seed, as good as a random one. */
export const key = (seed: string): SealedSession.Key => Redacted.make(bytesOf(seed))

export const textOf = (seed: string): string => Buffer.from(bytesOf(seed)).toString("base64url")

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

export type Tag = SecurityConfig.Base<any, any, any, any, any> & SecurityConfig.SignIn<any, any>

export type Options =
  & Partial<SessionAuth.LayerOptions<any, any, unknown, never, ReadonlyArray<any>>>
  & Partial<SealedSession.Settings>

export type Live = Auth | SecurityConfig.Supports<Auth, SessionAuth.Sealed>

export type Revocable = Auth | SecurityConfig.Supports<Auth, SealedSession.Revocable> | SessionEpoch.SessionEpoch

const defaults = { keys: key("first"), retrieveUser }

export const liveOf = (tag: Tag, options: Options = {}): Layer.Layer<any> =>
  Layer.orDie(
    SealedSession.layer(tag, { ...defaults, ...options } as any) as Layer.Layer<any, SecurityConfigError>
  )

export const live = (options: Options = {}): Layer.Layer<Live> => liveOf(Auth as any, options)

/** The same over epochs, which the test may look into. */
export const revocable = (
  options: Options = {},
  epochs: Layer.Layer<SessionEpoch.SessionEpoch> = SessionEpoch.layerMemory
): Layer.Layer<Revocable> =>
  Layer.orDie(SealedSession.layerRevocable(Auth, { ...defaults, ...options } as any)).pipe(
    Layer.provideMerge(epochs)
  ) as Layer.Layer<Revocable>

/** Epochs, but for what `change` makes of them. */
export const epochsWith = (
  change: (epochs: SessionEpoch.Service) => Partial<SessionEpoch.Service>
): Layer.Layer<SessionEpoch.SessionEpoch> =>
  Layer.effect(
    SessionEpoch.SessionEpoch,
    Effect.map(SessionEpoch.SessionEpoch, (epochs) => ({ ...epochs, ...change(epochs) }))
  ).pipe(Layer.provide(SessionEpoch.layerMemory))

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

/** A request with this `Cookie` header. */
export const withCookie = (cookie: string | undefined, sent: Sent = {}): Sent => ({
  ...sent,
  headers: { ...(cookie === undefined ? {} : { cookie }), ...sent.headers }
})

export const posting = (cookie?: string): Sent => withCookie(cookie, { method: "POST" })

/** `name=value` of each cookie that a response grants, as a client sends them back. */
export const cookieOf = ({ setCookie }: { readonly setCookie: ReadonlyArray<string> }): string =>
  setCookie.filter((line) => !isClearing(line)).map((line) => line.split(";")[0]).join("; ")

export const isClearing = (line: string): boolean => /^[^=]+=;/.test(line)

/** The names that a response sets or, with a minus, clears. */
export const names = ({ setCookie }: { readonly setCookie: ReadonlyArray<string> }): ReadonlyArray<string> =>
  setCookie.map((line) => `${isClearing(line) ? "-" : ""}${line.split("=")[0]}`)

/** What a `Cookie` header holds, by name. */
export const parse = (cookie: string): Record<string, string> =>
  Object.fromEntries(
    cookie.split("; ").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])
  )

export const header = (cookies: Record<string, string>): string =>
  Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join("; ")

/** One long item, so that a session takes as many cookies as it should. */
export const cart = (bytes: number): ReadonlyArray<string> => ["x".repeat(bytes)]

/** The cookies of a new session. */
export const signIn = (userId = "ada", bytes = 0) =>
  Effect.map(
    send(Auth.login({ userId, ...(bytes === 0 ? {} : { cart: cart(bytes) }) }), { method: "POST" }),
    (reply) => cookieOf(reply)
  )

/** The answer to who has no session: nothing is set or cleared, and nobody is told why. */
export const refusal = (reply: Reply<unknown, unknown>) => [
  reply.status,
  reply.setCookie,
  reply.headers.get("www-authenticate")
]

export const refused = [401, [], "Cookie"]

/** As `cleared` of the stored sessions, of the second cookie. */
export const clearedRest =
  "__Host-session.1=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"

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
