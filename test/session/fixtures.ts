import { HttpApp, HttpServerResponse } from "@effect/platform"
import type { HttpServerRequest } from "@effect/platform"
import type { Scope } from "effect"
import { Clock, Context, Effect, Exit, Layer, Logger, Option, Redacted, Schema } from "effect"
import type * as SecurityConfig from "effect-security/SecurityConfig"
import * as SessionAuth from "effect-security/session/SessionAuth"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionToken from "effect-security/session/SessionToken"

// -----------------------------------------------------------------------------
// The application
// -----------------------------------------------------------------------------

export interface User {
  readonly id: string
}

export class CurrentUser extends Context.Tag("test/CurrentUser")<CurrentUser, User>() {}

export const Session = Schema.Struct({ userId: Schema.String, cart: Schema.optional(Schema.Array(Schema.String)) })
export type Session = typeof Session.Type

export class Auth extends SessionAuth.Tag<Auth>()("test/Auth", { user: CurrentUser, session: Session }) {}

export type Options =
  & Partial<SessionAuth.LayerOptions<User, Session, unknown, never, ReadonlyArray<any>>>
  & SessionAuth.Settings

/** Everybody exists but `ghost`. */
export const retrieveUser = ({ userId }: Session): Effect.Effect<Option.Option<User>> =>
  Effect.succeed(userId === "ghost" ? Option.none() : Option.some({ id: userId }))

export type Live = Auth | SecurityConfig.Supports<Auth, SessionAuth.Stored> | SessionStore.SessionStore

/** The backend, and the store that it stands on for the test to look into. */
export const live = (options: Options = {}, store = memory): Layer.Layer<Live> =>
  Auth.layer({ retrieveUser, ...options }).pipe(Layer.provideMerge(store)) as Layer.Layer<Live>

// -----------------------------------------------------------------------------
// Stores
// -----------------------------------------------------------------------------

/**
 * Memory without its sweeper, which would wake up each minute of the days that a test lets pass. What is over is not
 * found all the same.
 */
export const memory: Layer.Layer<SessionStore.SessionStore> = Layer.scopedContext(
  Effect.withClock(
    Layer.build(SessionStore.layerMemory),
    Object.assign(Object.create(Clock.make()), { sleep: () => Effect.never })
  )
)

/** Memory, but for what `change` makes of it. */
export const storeWith = (
  change: (store: SessionStore.Service) => Partial<SessionStore.Service>
): Layer.Layer<SessionStore.SessionStore> =>
  Layer.map(memory, (context) => {
    const store = Context.get(context, SessionStore.SessionStore)
    return Context.make(SessionStore.SessionStore, { ...store, ...change(store) })
  })

/** Memory that notes what it is asked. */
export const storeSpy = (calls: Array<keyof SessionStore.Service>): Layer.Layer<SessionStore.SessionStore> =>
  storeWith((store) =>
    Object.fromEntries(
      Object.entries(store).map(([name, operation]: [string, (...args: ReadonlyArray<any>) => any]) => [
        name,
        (...args: ReadonlyArray<any>) => {
          calls.push(name as keyof SessionStore.Service)
          return operation(...args)
        }
      ])
    )
  )

export const records = (subject: string, realm: string = Auth.key) =>
  Effect.flatMap(SessionStore.SessionStore, (store) => Effect.orDie(store.listBySubject(realm, subject)))

export const idOf = (token: string, realm: string = Auth.key): SessionToken.SessionId =>
  SessionToken.toId(realm, Redacted.make(token) as SessionToken.SessionToken)

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

export interface Sent {
  readonly method?: string
  readonly url?: string
  readonly headers?: Record<string, string>
  /** The token in the session's cookie. */
  readonly token?: string | undefined
  readonly signal?: AbortSignal
}

export interface Reply<A, E> {
  readonly status: number
  readonly headers: Headers
  readonly body: string
  readonly setCookie: ReadonlyArray<string>
  /** How the handler ended. */
  readonly exit: Exit.Exit<A, E>
}

/** Answers one request with what `handler` does; a result that is no response is an empty one. */
export const send = <A, E, R>(
  handler: Effect.Effect<A, E, R>,
  { headers, method = "GET", signal, token, url = "https://app.example.com/" }: Sent = {}
): Effect.Effect<Reply<A, E>, never, Exclude<R, HttpServerRequest.HttpServerRequest | Scope.Scope>> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<Exclude<R, HttpServerRequest.HttpServerRequest | Scope.Scope>>()
    let exit: Exit.Exit<A, E> = Exit.die("the handler did not run")
    const app = handler.pipe(
      Effect.onExit((result) =>
        Effect.sync(() => {
          exit = result
        })
      ),
      Effect.map((result) => HttpServerResponse.isServerResponse(result) ? result : HttpServerResponse.empty())
    )
    const request = new Request(url, {
      method,
      headers: { ...(token === undefined ? {} : { cookie: `__Host-session=${token}` }), ...headers },
      ...(signal === undefined ? {} : { signal })
    })
    const response = yield* Effect.promise(() =>
      HttpApp.toWebHandlerRuntime(runtime)(app as unknown as HttpApp.Default)(request)
    )
    return {
      status: response.status,
      headers: response.headers,
      body: yield* Effect.promise(() => response.text()),
      setCookie: response.headers.getSetCookie(),
      exit
    }
  })

/** The same, for one of several handlers that have no type in common. */
export const sendAny = (
  handler: Effect.Effect<unknown, unknown, any>,
  sent?: Sent
): Effect.Effect<Reply<unknown, unknown>, never, Live> => send(handler as Effect.Effect<unknown, unknown, Live>, sent)

/** The token that a response grants. */
export const granted = (
  { setCookie }: { readonly setCookie: ReadonlyArray<string> },
  name = "__Host-session"
): string => {
  const value = setCookie.length === 1 ? new RegExp(`^${name}=([^;]+);`).exec(setCookie[0]!)?.[1] : undefined
  if (value === undefined) {
    throw new Error(`no session was granted: ${setCookie.join(" / ")}`)
  }
  return value
}

/** The token of a new session. */
export const signIn = (userId = "ada") =>
  Effect.map(send(Auth.login({ userId }), { method: "POST" }), (reply) => granted(reply))

export const cleared =
  "__Host-session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"

// -----------------------------------------------------------------------------
// Logs
// -----------------------------------------------------------------------------

/** Everything that is logged, in words. */
export const logsTo = (lines: Array<string>): Layer.Layer<never> =>
  Logger.add(Logger.map(Logger.stringLogger, (line) => {
    lines.push(line)
  }))
