import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as CookiePolicy from "../http/CookiePolicy.js"
import * as tagClass from "./tagClass.js"

/** What a Tag whose backend signs people in says for every Layer that serves it, whatever the credential. */
export interface Realm {
  readonly id: string
  /** Of the scheme in OpenAPI. */
  readonly name: string
  /** Of the cookie, where the credential is one. */
  readonly cookie: CookiePolicy.Options
  /** What a credential says. */
  readonly auth: Schema.Schema<any, any>
  /** Whose a credential is. */
  readonly subject: (auth: any) => string
  /** What becomes of credentials that an earlier version of the schema encoded, where they are kept. */
  readonly versions: {
    readonly current: number
    readonly migrate: (data: unknown, version: number) => Option.Option<any>
  } | undefined
}

/** The part of a Tag that says it. */
const RealmTypeId = "~effect-security/Realm" as const

export const withRealm = (realm: Realm) => ({ [RealmTypeId]: realm })

export const realmOf = (tag: object): Realm => (tag as { readonly [RealmTypeId]: Realm })[RealmTypeId]

/** The policy of a cookie whose name, where the application gives none, is this one with the prefix that it may have. */
export const named = (cookie: CookiePolicy.Options = {}, name: string): CookiePolicy.Options => {
  const prefix = cookie.domain === undefined && (cookie.path ?? "/") === "/" ? "__Host-" : "__Secure-"
  return { ...cookie, name: cookie.name ?? `${prefix}${name}` }
}

/** The subject of what a credential says, where the application does not name one otherwise. */
export const userId = (auth: { readonly userId: string | number | bigint }): string => String(auth.userId)

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

export type OnRequest<A, E> = Effect.Effect<A, E, HttpServerRequest>

export interface LoginOptions {
  readonly remember?: boolean | undefined
  readonly verifiedAt?: DateTime.Utc | undefined
}

/**
 * How long ago somebody's password may have been verified to sign in with, in milliseconds. What was ended meanwhile is
 * remembered for so long.
 */
export const maxVerificationAge = 10 * 60 * 1_000

/** What stands behind `Supports`: a Layer that cannot do one of these does not have it, and its type says so. */
export interface Operations {
  readonly login: (auth: any, options?: LoginOptions) => OnRequest<void, any>
  readonly logout: OnRequest<void, any>
  /** Makes a credential without a request, for `SecurityTest`: gives the header that carries it. */
  readonly mint: (auth: any) => Effect.Effect<{ readonly header: string; readonly value: string }, any>
}

/** The key of what stands behind `Supports`: a Tag of its own, so that a Layer gives no more than it can do. */
export const supportsKey = (id: string): string => `${id}/Supports`

/**
 * Reaches one of the things that a Layer can do. Merged Layers of one Tag may have types that promise what the last of
 * them cannot.
 */
export const operation = <Ops extends object>(id: string) => {
  const tag: Context.Tag<any, Ops> = tagClass.make(supportsKey(id), 2)
  return <Name extends keyof Ops & string, A, E, R>(
    name: Name,
    f: (operation: Ops[Name]) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, any> =>
    Effect.flatMap(tag, (operations) =>
      name in operations
        ? f(operations[name])
        : Effect.dieMessage(
          `${id}: the Layer in force has no ${name}; another one of the same Tag is merged before it`
        ))
}

/** The statics of every Tag whose backend signs people in. */
export const accessors = (id: string) => {
  const on = operation<Operations>(id)
  return {
    login: (...args: Parameters<Operations["login"]>) => on("login", (login) => login(...args)),
    logout: on("logout", (logout) => logout)
  }
}
