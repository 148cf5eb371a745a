/**
 * Sessions without a user: what a visitor has put into a cart, a message for the next page, the state of a sign-in with
 * somebody else. The client holds a random token in a cookie, a `SessionStore` holds what belongs to it.
 *
 * @since 0.1.0
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as CookiePolicy from "../http/CookiePolicy.js"
import * as securityTag from "../internal/securityTag.js"
import * as signIn from "../internal/signIn.js"
import type * as SecurityConfig from "../SecurityConfig.js"
import type {
  CookieTooLarge,
  CrossSiteRejected,
  SecurityUnavailable,
  SessionConflict,
  SessionTooLarge
} from "../SecurityError.js"
import * as anonymous from "./internal/anonymous.js"
import type { SessionStore } from "./SessionStore.js"
import type { SessionVersions } from "./SessionVersions.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-security/session/Session" as const

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * The service behind a Tag. Its content is the library's own: use the Tag's statics.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service<in out Session> {
  readonly [TypeId]: (_: Session) => Session
}

/**
 * What a Layer over a `SessionStore` can do.
 *
 * @since 0.1.0
 * @category models
 */
export type Stored = "update" | "clear" | "rotate"

/**
 * Why a session cannot be read: another site made a browser send an unsafe request, or the store is not available.
 *
 * @since 0.1.0
 * @category errors
 */
export type ReadError = CrossSiteRejected | SecurityUnavailable

// -----------------------------------------------------------------------------
// The static side
// -----------------------------------------------------------------------------

/**
 * A Tag made by `Session.Tag`. What sets a cookie dies with `ResponseAlreadySent` where none can be set any more.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, in out Id extends string, in out Session>
  extends Context.Tag<Self, Service<Session>>
{
  new(_: never): Context.TagClassShape<Id, Service<Session>>
  readonly key: Id
  /** What a session holds. */
  readonly schema: Schema.Schema<Session, any>
  /** The session of the request at hand, or the empty one. Reading stores nothing and sets no cookie. */
  readonly session: Effect.Effect<Session, ReadError, Self | HttpServerRequest>
  /**
   * Changes the session by compare-and-set, so `f` may run several times; the first write begins a session, which ends
   * again when the response turns out to be 400 or above. Fails with `SessionConflict` when other writers win 16 times,
   * or when somebody ended the session since this request met it; with `SessionTooLarge` over 16 KiB.
   */
  readonly update: (f: (_: Session) => Session) => Effect.Effect<
    void,
    ReadError | SessionConflict | SessionTooLarge | CookieTooLarge,
    SecurityConfig.Supports<Self, "update"> | HttpServerRequest
  >
  /** Ends the session and its cookie. Succeeds without one. */
  readonly clear: Effect.Effect<void, ReadError, SecurityConfig.Supports<Self, "clear"> | HttpServerRequest>
  /** Gives the session a fresh token; the old one ends at once. Succeeds without a session, doing nothing. */
  readonly rotate: Effect.Effect<void, ReadError, SecurityConfig.Supports<Self, "rotate"> | HttpServerRequest>
  /** Sessions in the `SessionStore`. */
  readonly layer: (
    settings?: Settings
  ) => Layer.Layer<Self | SecurityConfig.Supports<Self, Stored>, never, SessionStore>
  /** The same, with settings from `Config`. */
  readonly layerConfig: (
    settings: Config.Config.Wrap<Settings>
  ) => Layer.Layer<Self | SecurityConfig.Supports<Self, Stored>, ConfigError, SessionStore>
}

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * - `idleTimeout`: a session ends when it was not used for so long (default 7 days)
 * - `absoluteTimeout`: a session ends so long after it began, used or not (default 30 days)
 * - `insecureCookie`: drops `Secure` and the prefix of the cookie's name, for plain http in development
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends SecurityConfig.Settings {
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly absoluteTimeout?: Duration.DurationInput | undefined
  readonly insecureCookie?: boolean | undefined
}

/**
 * What a Tag is declared with, next to `empty`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagOptions<in out Session, in out Encoded, in out Cookie> {
  readonly session: Schema.Schema<Session, Encoded>
  readonly cookie?: (Cookie & CookiePolicy.Check<Cookie>) | undefined
  readonly versions?: SessionVersions<Session> | undefined
}

/**
 * What a client has that has no session. Not needed where every field of the schema is optional or has a default: then
 * it is what `{}` decodes to.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Empty<Session, Encoded> = {} extends Encoded ? { readonly empty?: Session | undefined }
  : { readonly empty: Session }

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

/**
 * Makes sessions without a user. `session` is what one holds, decoded on the way in and encoded on the way out as JSON;
 * `cookie` is its policy (`http/CookiePolicy`), by default that of `SessionAuth` with the last part of `id` as its name
 * (`__Host-Cart`), so that several stand side by side; `versions` says what becomes of sessions that an earlier
 * version of the schema encoded.
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { HttpRouter, HttpServerResponse } from "@effect/platform"
 * import { Effect, Layer, Schema } from "effect"
 * import { Session, SessionStore } from "effect-security"
 *
 * class Cart extends Session.Tag<Cart>()("app/Cart", {
 *   session: Schema.Struct({ items: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }) })
 * }) {}
 *
 * export const router = HttpRouter.empty.pipe(
 *   HttpRouter.get("/cart", Effect.flatMap(Cart.session, ({ items }) => HttpServerResponse.json(items))),
 *   HttpRouter.post(
 *     "/cart",
 *     Effect.as(Cart.update(({ items }) => ({ items: [...items, "book"] })), HttpServerResponse.empty())
 *   ),
 *   HttpRouter.del("/cart", Effect.as(Cart.clear, HttpServerResponse.empty()))
 * )
 *
 * export const CartLive = Cart.layer().pipe(Layer.provide(SessionStore.layerMemory))
 * ```
 */
export const Tag = <Self = never>(): <
  const Id extends string,
  Session,
  Encoded,
  const Cookie extends CookiePolicy.Options & Readonly<Record<string, any>> = {}
>(
  id: Id,
  options: TagOptions<Session, Encoded, Cookie> & Empty<NoInfer<Session>, NoInfer<Encoded>>
) => [Self] extends [never] ? SecurityConfig.MissingSelf<"Session.Tag"> : TagClass<Self, Id, Session> =>
(id: string, options: {
  readonly session: Schema.Schema<any, any>
  readonly cookie?: CookiePolicy.Options | undefined
  readonly versions?: SessionVersions<any> | undefined
  readonly empty?: unknown
}): any => {
  const realm: anonymous.AnonymousRealm = {
    id,
    cookie: signIn.named(options.cookie, securityTag.nameOf(id)),
    session: options.session,
    versions: options.versions,
    subject: () => null,
    empty: options.empty === undefined
      ? Effect.orElseSucceed(Schema.decodeUnknown(options.session)({}), () => undefined)
      : Effect.succeed(options.empty)
  }
  const layer = (settings: Settings = {}) => Layer.scopedContext(anonymous.build(self, realm, settings))
  const self = anonymous.make(id, {
    schema: options.session,
    layer,
    layerConfig: (settings: Config.Config.Wrap<Settings>) =>
      securityTag.layerConfig<Settings, any, never, any>(
        settings,
        (settings) => anonymous.wrongOption(realm, settings),
        layer
      )
  })
  return self
}
