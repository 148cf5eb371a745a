/**
 * For the tests of applications: requests of a given user, cookies of a given session, arbitraries. It brings
 * FastCheck, so it is an entry point of its own, `effect-security/SecurityTest`.
 *
 * @since 0.1.0
 */
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Exclusion from "./http/Exclusion.js"
import * as ResponseJar from "./http/ResponseJar.js"
import * as securityTag from "./internal/securityTag.js"
import * as signIn from "./internal/signIn.js"
import type * as SecurityConfig from "./SecurityConfig.js"
import type * as Session from "./session/Session.js"
import * as SessionToken from "./session/SessionToken.js"
import * as Password from "./user/Password.js"
import type * as UserRepository from "./user/UserRepository.js"

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Every request is one of `user`, whatever credential it carries or lacks; guards of the backend's own Layer are not
 * asked, and `exclude` is empty. `auth` is what `authenticated` and `session` give; who asks for it where it was not
 * given dies with a sentence.
 *
 * It stands for the backend and for none of its operations: an app that also signs people in gets those from the
 * backend's Layer, with this one behind it in `Layer.mergeAll`, so that this one authenticates.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { HttpApp, HttpServerResponse } from "@effect/platform"
 * import { Context, Effect, Schema } from "effect"
 * import { SessionAuth } from "effect-security"
 * import * as SecurityTest from "effect-security/SecurityTest"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly name: string }>() {}
 *
 * class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   session: Schema.Struct({ userId: Schema.String })
 * }) {}
 *
 * const app = Auth.protect(Effect.map(CurrentUser, ({ name }) => HttpServerResponse.text(name)))
 *
 * export const { handler } = HttpApp.toWebHandlerLayer(app, SecurityTest.layerAs(Auth, { name: "Ada" }))
 * ```
 */
export const layerAs = <Self, Id extends string, UserId, User, Auth>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Auth>,
  user: NoInfer<User>,
  options?: { readonly auth: NoInfer<Auth> }
): Layer.Layer<Self> =>
  Layer.effectContext(
    Effect.as(
      ResponseJar.install,
      securityTag.serve(tag, {
        authenticate: Effect.map(HttpServerRequest, (request) => {
          ResponseJar.get(request).isPrivate = true
          return {
            user,
            get auth() {
              return Option.getOrThrowWith(
                Option.fromNullable(options),
                () => new Error(`SecurityTest.layerAs: give \`auth\`, since something reads it from ${tag.key}`)
              ).auth
            }
          }
        }),
        recheck: Effect.void,
        forget: () => undefined,
        presence: {
          isReadable: () => true,
          isPresent: () => true,
          headers: [],
          challenges: [],
          insufficient: () => undefined
        },
        exclude: Exclusion.make([]),
        security: tag.security
      })
    )
  )

// -----------------------------------------------------------------------------
// Credentials
// -----------------------------------------------------------------------------

const mint = (tag: { readonly key: string }, auth: unknown) =>
  Effect.flatMap(
    Context.GenericTag<any, Pick<signIn.Operations, "mint">>(signIn.supportsKey(tag.key)),
    (_) => Effect.orDie(_.mint(auth))
  )

/**
 * Begins a session in the store that is provided, and gives the value of a `Cookie` header that carries it, such as
 * `__Host-session=...`. Whatever fails is a defect, and so is a Layer whose credential is no cookie.
 *
 * @since 0.1.0
 * @category credentials
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Session, SessionStore } from "effect-security"
 * import * as SecurityTest from "effect-security/SecurityTest"
 *
 * class Visit extends Session.Tag<Visit>()("app/Visit", { session: Schema.Struct({ page: Schema.String }), empty: { page: "/" } }) {}
 *
 * export const program = Effect.gen(function*() {
 *   const cookie = yield* SecurityTest.cookie(Visit, { page: "/cart" })
 *   return new Request("https://app.example.com/", { headers: { cookie } })
 * }).pipe(Effect.provide(Visit.layer()), Effect.provide(SessionStore.layerMemory))
 * ```
 */
export const cookie: {
  <Self, Id extends string, UserId, User, Auth>(
    tag: SecurityConfig.Base<Self, Id, UserId, User, Auth> & SecurityConfig.SignIn<Self, Auth>,
    auth: NoInfer<Auth>
  ): Effect.Effect<string, never, SecurityConfig.Supports<Self, "login">>
  <Self, Id extends string, Session>(
    tag: Session.TagClass<Self, Id, Session>,
    session: NoInfer<Session>
  ): Effect.Effect<string, never, SecurityConfig.Supports<Self, "update">>
} = (tag: { readonly key: string }, auth: unknown): Effect.Effect<string, never, any> =>
  Effect.flatMap(mint(tag, auth), ({ header, value }) =>
    header === "cookie"
      ? Effect.succeed(value)
      : Effect.dieMessage(`SecurityTest.cookie: the credential of ${tag.key} is in the header ${header}`))

/**
 * Signs somebody in, and gives the header that carries the credential of the Layer in force, whatever that is: a cookie
 * of a session or a token, or `Bearer` and a token. Whatever fails is a defect.
 *
 * @since 0.1.0
 * @category credentials
 */
export const headers = <Self, Id extends string, UserId, User, Auth>(
  tag: SecurityConfig.Base<Self, Id, UserId, User, Auth> & SecurityConfig.SignIn<Self, Auth>,
  auth: NoInfer<Auth>
): Effect.Effect<Readonly<Record<string, string>>, never, SecurityConfig.Supports<Self, "login">> =>
  Effect.map(mint(tag, auth), ({ header, value }) => ({ [header]: value }))

// -----------------------------------------------------------------------------
// Arbitraries
// -----------------------------------------------------------------------------

/**
 * What a session may hold, from the schema of its Tag.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const arbitrarySession = <Session>(
  tag: { readonly auth: Schema.Schema<Session, any> } | { readonly schema: Schema.Schema<Session, any> }
): FastCheck.Arbitrary<Session> => Arbitrary.make("auth" in tag ? tag.auth : tag.schema)

/**
 * Users of a repository, from its schema.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const arbitraryUser = <Self, Id extends string, User, UserId>(
  repository: UserRepository.TagClass<Self, Id, User, UserId>
): FastCheck.Arbitrary<User> => Arbitrary.make(repository.user)

/**
 * Passwords that registration accepts, from the schema of `NewPassword`.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const arbitraryPassword: FastCheck.Arbitrary<Password.NewPassword> = Arbitrary.make(Password.NewPassword)

const base64url = (length: number) =>
  FastCheck.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Encoding.encodeBase64Url(bytes))

/**
 * Tokens of the right shape, as text, that no store knows.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const arbitraryToken: FastCheck.Arbitrary<string> = FastCheck
  .tuple(base64url(9), base64url(32))
  .map(([tag, secret]) => `${tag}.${secret}`)

// RFC 6265bis section 4.1.1: what the value of a cookie is made of.
const cookieOctet = FastCheck.integer({ min: 0x21, max: 0x7e })
  .map((code) => String.fromCharCode(code))
  .filter((character) => !/[",;\\]/.test(character))

/**
 * Texts that are no token, of characters that a cookie may hold: arbitrary ones, and tokens in which one character is
 * missing or another.
 *
 * @since 0.1.0
 * @category arbitraries
 */
export const arbitraryMalformedToken: FastCheck.Arbitrary<string> = FastCheck
  .oneof(
    FastCheck.string({ unit: cookieOctet, minLength: 1 }),
    FastCheck.tuple(arbitraryToken, FastCheck.nat(), FastCheck.oneof(FastCheck.constant(""), cookieOctet)).map(
      ([token, at, other]) => {
        const index = at % token.length
        return token.slice(0, index) + other + token.slice(index + 1)
      }
    )
  )
  .filter((text) => Option.isNone(SessionToken.fromString(text)))
