/**
 * What a credential was granted, as the scopes of OAuth 2.0 (RFC 6749 section 3.3): an endpoint says which it requires
 * from a vocabulary that the backend declares, so that a misspelt scope, and one that no credential of the backend can
 * have, does not compile.
 *
 * @since 0.1.0
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as ResponseJar from "./http/ResponseJar.js"
import * as evidence from "./internal/evidence.js"
import * as observe from "./internal/observe.js"
import { ScopesTypeId } from "./internal/openApi.js"
import * as securityTag from "./internal/securityTag.js"
import type * as Permission from "./Permission.js"
import type * as SecurityConfig from "./SecurityConfig.js"
import { PermissionDenied } from "./SecurityError.js"

// -----------------------------------------------------------------------------
// Vocabulary
// -----------------------------------------------------------------------------

/**
 * The scopes that there are, with what each of them allows, for people.
 *
 * @since 0.1.0
 * @category models
 */
export interface Vocabulary<in out Scope extends string> {
  readonly descriptions: { readonly [S in Scope]: string }
  /**
   * The claim `scope` (RFC 8693 section 4.2): one text, separated by spaces. Scopes of another vocabulary that it holds
   * are left out.
   */
  readonly schema: Schema.Schema<ReadonlyArray<Scope>, string>
  readonly is: (scope: string) => scope is Scope
}

/**
 * The sentence by which the compiler refuses names that no scope can have (RFC 6749 section 3.3).
 *
 * @since 0.1.0
 * @category type-level
 */
export type CheckNames<Names> = [
  Extract<Names, "" | `${string} ${string}` | `${string}"${string}` | `${string}\\${string}`>
] extends [never] ? unknown
  : "The name of a scope has no space, quote or backslash"

/**
 * A vocabulary of scopes.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Context, Schema } from "effect"
 * import { JwtAuth, Scopes } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly id: string }>() {}
 *
 * export const scopes = Scopes.make({ "articles:read": "Read articles", "articles:write": "Write articles" })
 *
 * export class Auth extends JwtAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   claims: Schema.Struct({ sub: Schema.String, scope: scopes.schema })
 * }) {}
 * ```
 */
export const make = <const Descriptions extends Readonly<Record<string, string>>>(
  descriptions: Descriptions & CheckNames<keyof Descriptions>
): Vocabulary<keyof Descriptions & string> => {
  type Scope = keyof Descriptions & string
  const is = (scope: string): scope is Scope => Object.hasOwn(descriptions, scope)
  const names = Object.keys(descriptions) as Array<Scope>
  // Without a name there is one list.
  const list: Schema.Schema<ReadonlyArray<Scope>> = names.length === 0
    ? Schema.Tuple() as Schema.Schema<any>
    : Schema.Array(Schema.Literal(...names))
  return {
    descriptions,
    is,
    schema: Schema.transform(Schema.String, list, {
      strict: true,
      decode: (text) => text.split(" ").filter(is),
      encode: (scopes) => scopes.join(" ")
    })
  }
}

// -----------------------------------------------------------------------------
// What a backend grants
// -----------------------------------------------------------------------------

/**
 * The scopes that the credentials of a backend can have: those of the field `scope` of its `auth`. Of several backends
 * (`SecurityConfig.firstOf`) those that every one of them has.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ScopeOf<Auth> = [CommonScope<Auth, ScopesOfEach<Auth>>] extends [never] ? NoScopes
  : CommonScope<Auth, ScopesOfEach<Auth>>

type ScopesOfEach<Auth> = Auth extends unknown ? ScopesOfOne<Auth> : never

type CommonScope<Auth, Scope> = Scope extends unknown ? [Lacking<Auth, Scope>] extends [never] ? Scope : never : never

/** Those of several that do not have a scope. */
type Lacking<Auth, Scope> = Auth extends unknown ? [Scope] extends [ScopesOfOne<Auth>] ? never : Auth : never

/**
 * The scopes of one backend, or the sentence that says that it has none.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ScopesOfOne<Auth> = Auth extends { readonly scope: ReadonlyArray<infer Scope extends string> }
  ? string extends Scope ? NoScopes : Scope
  : NoScopes

/**
 * The sentence by which the compiler refuses to require a scope of a backend that has none.
 *
 * @since 0.1.0
 * @category type-level
 */
export type NoScopes =
  "This backend has no scopes: what its credential says needs a field `scope` whose schema is that of `Scopes.make`"

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

/**
 * A Tag made by `Scopes.Tag`. It is a permission: `protect`, `layerMiddleware`, `granted` and `.middleware(...)` of an
 * `HttpApi` are those of `Permission.Tag`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<
  in out Self,
  in out Id extends string,
  in out AuthSelf,
  in out UserId,
  in out User,
  out Scope extends string
> extends Omit<Permission.TagClass<Self, Id, AuthSelf, UserId, User>, "layer"> {
  new(_: never): Permission.Identifier<Id, Self>
  readonly scopes: ReadonlyArray<Scope>
  readonly layer: Layer.Layer<Self, never, AuthSelf>
}

/**
 * What the Tag of required scopes is declared with: the backend, and the scopes that its credential has to have, all of
 * them.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagOptions<
  in out AuthSelf,
  in out AuthId extends string,
  in out UserId,
  in out User,
  in out Auth,
  out Scope
> {
  readonly auth: SecurityConfig.Base<AuthSelf, AuthId, UserId, User, Auth>
  readonly scopes: NonEmptyReadonlyArray<Scope>
}

/**
 * Makes what requires scopes: who is not signed in gets 401, whose credential lacks one of them 403, with the challenge
 * `insufficient_scope` where the credential is a bearer token (RFC 6750 section 3.1), and the handler runs in neither
 * case. OpenAPI shows the scopes in the requirement of the endpoint, where the api is described (`Auth.describe`).
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { HttpApiEndpoint, HttpServerResponse } from "@effect/platform"
 * import { Context, Effect, Schema } from "effect"
 * import { JwtAuth, Scopes } from "effect-security"
 *
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, { readonly id: string }>() {}
 *
 * const scopes = Scopes.make({ "articles:read": "Read articles", "articles:write": "Write articles" })
 *
 * class Auth extends JwtAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   claims: Schema.Struct({ sub: Schema.String, scope: scopes.schema })
 * }) {}
 *
 * class WriteArticles extends Scopes.Tag<WriteArticles>()("app/WriteArticles", {
 *   auth: Auth,
 *   scopes: ["articles:write"]
 * }) {}
 *
 * // In an HttpApi, and around a handler.
 * export const endpoint = HttpApiEndpoint.post("publish", "/articles").middleware(Auth).middleware(WriteArticles)
 * export const handler = WriteArticles.protect(
 *   Effect.flatMap(CurrentUser, (user) => HttpServerResponse.json({ publishedBy: user.id }))
 * )
 *
 * export const WriteArticlesLive = WriteArticles.layer // needs Auth
 * ```
 */
export const Tag = <Self = never>(): <
  const Id extends string,
  AuthSelf,
  AuthId extends string,
  UserId,
  User,
  Auth,
  const Scope extends ScopeOf<Auth>
>(
  id: Id,
  options: TagOptions<AuthSelf, AuthId, UserId, User, Auth, Scope>
) => [Self] extends [never] ? SecurityConfig.MissingSelf<"Scopes.Tag">
  : TagClass<Self, Id, AuthSelf, UserId, User, Scope & string> =>
(id: string, { auth, scopes }: TagOptions<any, any, any, any, any, string>): any => {
  let layer: Layer.Layer<any, never, any> | undefined
  const self: Context.Tag<any, any> = evidence.make(id, auth, {
    [ScopesTypeId]: { auth, scopes },
    scopes,
    // Made once: a Layer is shared by reference.
    get layer() {
      return layer ??= evidence.layer(
        self,
        Effect.zipRight(
          Option.match(wrongScopes(scopes), {
            onNone: () => Effect.void,
            onSome: (sentence) => Effect.dieMessage(`${id}: ${sentence}`)
          }),
          Effect.map(Effect.context<any>(), check(id, auth, scopes))
        )
      )
    }
  })
  return self
}

/** RFC 6749 section 3.3. The types refuse the most of what is no name, and cannot refuse all of it. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Why a challenge could not say these, as a sentence. */
const wrongScopes = (scopes: ReadonlyArray<string>): Option.Option<string> =>
  scopes.length === 0
    ? Option.some("scopes names at least one: nobody would be refused")
    : Option.map(
      Option.fromNullable(scopes.find((scope) => !scopeToken.test(scope))),
      (scope) => `the name of a scope is visible ASCII without quote and backslash, not ${JSON.stringify(scope)}`
    )

const check = (id: string, auth: Context.Tag<any, any>, scopes: ReadonlyArray<string>) =>
(
  context: Context.Context<any>
) => {
  const { authenticate, presence } = securityTag.implementation(context, auth)
  return (request: HttpServerRequest) =>
    Effect.flatMap(authenticate, ({ auth, user }) => {
      if (hasAll(auth, scopes)) {
        return Effect.succeed(user)
      }
      const jar = ResponseJar.get(request)
      const challenge = presence.insufficient(request, scopes.join(" "))
      // `HttpApi` encodes a failure without headers.
      jar.scopeChallenge = challenge
      const error = new PermissionDenied({
        reason: "InsufficientScope",
        vary: Array.from(jar.vary).join(", "),
        challenge
      })
      return Effect.zipRight(observe.refused(id, error), Effect.fail(error))
    })
}

/** What a credential says comes from elsewhere: whatever is no list grants nothing. */
const hasAll = (auth: unknown, required: ReadonlyArray<string>): boolean => {
  const granted: unknown = hasProperty(auth, "scope") ? auth.scope : undefined
  return Array.isArray(granted) && required.every((scope) => granted.includes(scope))
}
