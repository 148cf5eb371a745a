/**
 * Where users are kept: by id and by login, with the hash of their password beside them.
 *
 * @since 0.1.0
 */
import * as HttpServerRespondable from "@effect/platform/HttpServerRespondable"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as problem from "../internal/problem.js"
import * as tagClass from "../internal/tagClass.js"
import type { MissingSelf } from "../SecurityConfig.js"
import type { SecurityUnavailable } from "../SecurityError.js"
import * as Login from "./Login.js"
import type { PasswordHash } from "./Password.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * A user and the hash of the user's password, which is `None` for one who signs in by other means.
 *
 * @since 0.1.0
 * @category models
 */
export interface Account<out User> {
  readonly user: User
  readonly passwordHash: Option.Option<PasswordHash>
}

/**
 * What a repository of users does. Each operation fails with `SecurityUnavailable` when it cannot be carried out, and
 * never says "no such user" for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service<in out User, in out UserId> {
  /** The user with this id. */
  readonly findById: (id: UserId) => Effect.Effect<Option.Option<User>, SecurityUnavailable>
  /**
   * The user whose login has the same `Login.key`, with the hash. Any text may be asked for: one that could not have
   * been registered is `None`.
   */
  readonly findByLogin: (login: string) => Effect.Effect<Option.Option<Account<User>>, SecurityUnavailable>
  /**
   * Keeps a new user, login and all as given. Fails with `LoginTaken`, and keeps nothing, when another user has the
   * same id or a login with the same `Login.key`; of several that are inserted at once, one succeeds.
   */
  readonly insert: (
    user: User,
    passwordHash: Option.Option<PasswordHash>
  ) => Effect.Effect<void, LoginTaken | SecurityUnavailable>
  /**
   * Replaces the hash `from` by the hash `to` in one step. `false`, changing nothing, when the user's hash is another
   * by now or there is no such user.
   */
  readonly setPasswordHash: (
    id: UserId,
    change: { readonly from: Option.Option<PasswordHash>; readonly to: PasswordHash }
  ) => Effect.Effect<boolean, SecurityUnavailable>
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * Another user has this login, or this id: 409. Nothing was stored.
 *
 * @since 0.1.0
 * @category errors
 */
export class LoginTaken extends Schema.TaggedError<LoginTaken>("effect-security.LoginTaken")(
  "LoginTaken",
  problem.fields(409, "Conflict"),
  problem.annotations(409, "Another user has this login")
) {
  override get message(): string {
    return "another user has this login"
  }

  [HttpServerRespondable.symbol](): Effect.Effect<HttpServerResponse.HttpServerResponse> {
    return Effect.succeed(problem.response(this))
  }
}

// -----------------------------------------------------------------------------
// The Tag
// -----------------------------------------------------------------------------

/**
 * The class that `Tag` makes: a Tag of the repository, with its operations as accessors and its layers.
 *
 * @since 0.1.0
 * @category models
 */
export interface TagClass<in out Self, in out Id extends string, in out User, in out UserId>
  extends Context.Tag<Self, Service<User, UserId>>
{
  new(_: never): Context.TagClassShape<Id, Service<User, UserId>>
  readonly key: Id
  /** The schema of a user. */
  readonly user: Schema.Schema<User, any>
  /** The id of a user. */
  readonly idOf: (user: User) => UserId
  /** The login of a user. */
  readonly loginOf: (user: User) => string
  /** The user with this id. */
  readonly findById: (id: UserId) => Effect.Effect<Option.Option<User>, SecurityUnavailable, Self>
  /** The user whose login has the same `Login.key`, with the hash of the password. */
  readonly findByLogin: (login: string) => Effect.Effect<Option.Option<Account<User>>, SecurityUnavailable, Self>
  /** Keeps a new user, or fails with `LoginTaken` when another has this login or this id. */
  readonly insert: (
    user: User,
    passwordHash: Option.Option<PasswordHash>
  ) => Effect.Effect<void, LoginTaken | SecurityUnavailable, Self>
  /** Replaces the hash `from` by the hash `to`; `false` when the user's hash is another by now. */
  readonly setPasswordHash: (
    id: UserId,
    change: { readonly from: Option.Option<PasswordHash>; readonly to: PasswordHash }
  ) => Effect.Effect<boolean, SecurityUnavailable, Self>
  /**
   * Users in this process's memory, for tests and for trying things out. It is one Layer value, so that providing it
   * twice gives one memory. Ids are compared with `Equal`. Nothing survives a restart.
   */
  readonly layerMemory: Layer.Layer<Self>
  /** The application's own repository, or an effect that makes it. */
  readonly layer: <E = never, R = never>(
    repository: Service<User, UserId> | Effect.Effect<Service<User, UserId>, E, R>
  ) => Layer.Layer<Self, E, Exclude<R, Scope.Scope>>
}

/**
 * The fields of a user that may be its id: those that are always there.
 *
 * @since 0.1.0
 * @category models
 */
export type IdField<User> = { [K in keyof User]-?: undefined extends User[K] ? never : K }[keyof User]

/**
 * The fields of a user that may be its login: those that always hold a string.
 *
 * @since 0.1.0
 * @category models
 */
export type LoginField<User> = { [K in keyof User]-?: User[K] extends string ? K : never }[keyof User]

/**
 * Declares the repository of an application's users. `id` and `login` name the two fields of the user by which it is
 * found; the login's holds a string. The schema has no place for a password or its hash.
 *
 * @since 0.1.0
 * @category tags
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { UserRepository } from "effect-security"
 *
 * class User extends Schema.Class<User>("User")({ id: Schema.UUID, name: Schema.NonEmptyString, email: Schema.String }) {}
 *
 * class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
 *
 * const program = Users.findByLogin("ada@example.com").pipe(Effect.provide(Users.layerMemory))
 * ```
 */
export const Tag =
  <Self = never>(): <const Id extends string, User, UserEncoded, const Key extends IdField<User> & string>(
    id: Id,
    options: {
      readonly user: Schema.Schema<User, UserEncoded>
      readonly id: Key
      readonly login: LoginField<User> & string
    }
  ) => [Self] extends [never] ? MissingSelf<"UserRepository.Tag"> : TagClass<Self, Id, User, User[Key]> =>
  <const Id extends string, User, UserEncoded, const Key extends IdField<User> & string>(
    id: Id,
    options: {
      readonly user: Schema.Schema<User, UserEncoded>
      readonly id: Key
      readonly login: LoginField<User> & string
    }
  ) => {
    type UserId = User[Key]
    const tag: Context.Tag<Self, Service<User, UserId>> = tagClass.make(id, 1)
    const idOf = (user: User): UserId => user[options.id]
    const loginOf = (user: User): string => user[options.login] as string
    const statics: Statics<Self, User, UserId> = {
      user: options.user,
      idOf,
      loginOf,
      findById: (id) => Effect.flatMap(tag, (_) => _.findById(id)),
      findByLogin: (login) => Effect.flatMap(tag, (_) => _.findByLogin(login)),
      insert: (user, passwordHash) => Effect.flatMap(tag, (_) => _.insert(user, passwordHash)),
      setPasswordHash: (id, change) => Effect.flatMap(tag, (_) => _.setPasswordHash(id, change)),
      layerMemory: Layer.sync(tag, () => makeMemory(idOf, loginOf)),
      layer: (repository) =>
        Effect.isEffect(repository) ? Layer.scoped(tag, repository) : Layer.succeed(tag, repository)
    }
    return tagClass.addStatics(tag, statics)
  }

type Statics<Self, User, UserId> = Omit<
  TagClass<Self, string, User, UserId>,
  keyof Context.Tag<Self, Service<User, UserId>>
>

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

const makeMemory = <User, UserId>(
  idOf: (user: User) => UserId,
  loginOf: (user: User) => string
): Service<User, UserId> => {
  const accounts = MutableHashMap.empty<UserId, Account<User>>()
  const ids = new Map<Login.LoginKey, UserId>()

  return {
    findById: (id) => Effect.sync(() => Option.map(MutableHashMap.get(accounts, id), (account) => account.user)),
    findByLogin: (login) =>
      Effect.sync(() =>
        Option.flatMap(Option.fromNullable(ids.get(Login.key(login))), (id) => MutableHashMap.get(accounts, id))
      ),
    insert: (user, passwordHash) =>
      Effect.suspend(() => {
        const id = idOf(user)
        const key = Login.key(loginOf(user))
        if (ids.has(key) || MutableHashMap.has(accounts, id)) return Effect.fail(new LoginTaken())
        ids.set(key, id)
        MutableHashMap.set(accounts, id, { user, passwordHash })
        return Effect.void
      }),
    setPasswordHash: (id, { from, to }) =>
      Effect.sync(() => {
        const account = MutableHashMap.get(accounts, id)
        if (!Option.exists(account, (_) => Equal.equals(_.passwordHash, from))) return false
        MutableHashMap.modify(accounts, id, (_) => ({ user: _.user, passwordHash: Option.some(to) }))
        return true
      })
  }
}
