/**
 * Signing up and signing in with a login and a password.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { NoInfer } from "effect/Types"
import * as text from "../internal/text.js"
import { defaultTimeout, wait } from "../internal/wait.js"
import { NotAuthorized } from "../SecurityError.js"
import type { SecurityUnavailable } from "../SecurityError.js"
import * as Login from "./Login.js"
import * as Password from "./Password.js"
import { PasswordHasher } from "./PasswordHasher.js"
import type * as UserRepository from "./UserRepository.js"

const timeout = Duration.decode(defaultTimeout)

/** A repository that is down, slow or broken is an outage, and never a wrong password. */
const ask = <A, E, R>(self: Effect.Effect<A, E, R>) => wait(self, "the user repository", timeout)

// -----------------------------------------------------------------------------
// Signing up
// -----------------------------------------------------------------------------

/**
 * Keeps a new user with the hash of the password, and gives the user. It is whole or not at all, also when the caller
 * is interrupted.
 *
 * Fails with `InvalidLogin` (400) when the login is not well-formed Unicode or NFKC would change it, before anything
 * is hashed; with `LoginTaken` (409) when another user has a login with the same `Login.key`, or the same id; and with
 * `SecurityUnavailable` (503) when the repository is down or too many passwords wait to be hashed.
 *
 * @since 0.1.0
 * @category operations
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Credentials, Password, UserRepository } from "effect-security"
 *
 * class User extends Schema.Class<User>("User")({ id: Schema.UUID, email: Schema.String }) {}
 * class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
 *
 * const signup = (email: string, password: Password.NewPassword) =>
 *   Credentials.register(Users, {
 *     user: new User({ id: globalThis.crypto.randomUUID(), email }),
 *     password
 *   })
 * ```
 */
export const register = <Self, Id extends string, User, UserId>(
  repository: UserRepository.TagClass<Self, Id, User, UserId>,
  options: { readonly user: NoInfer<User>; readonly password: Password.NewPassword }
): Effect.Effect<
  User,
  Login.InvalidLogin | UserRepository.LoginTaken | SecurityUnavailable,
  Self | PasswordHasher
> =>
  Effect.gen(function*() {
    yield* Login.check(repository.loginOf(options.user))
    const hasher = yield* PasswordHasher
    const hash = yield* hasher.hash(options.password)
    const taken = yield* ask(
      repository.insert(options.user, Option.some(hash)).pipe(
        Effect.as(Option.none()),
        Effect.catchTag("LoginTaken", (error) => Effect.succeed(Option.some(error)))
      )
    )
    return Option.isSome(taken) ? yield* taken.value : options.user
  })

// -----------------------------------------------------------------------------
// Signing in
// -----------------------------------------------------------------------------

/**
 * Somebody whose password was right, and when that was.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verified<out User> {
  readonly user: User
  /**
   * The time just before the user was looked up. Hand it to `login`: a sign-in that was verified before all of a
   * user's sessions were ended cannot land after it.
   */
  readonly verifiedAt: DateTime.Utc
}

const nothing = Password.make("")

/**
 * Finds the user of a login and verifies the password.
 *
 * Fails with `NotAuthorized` (401, reason `WrongPassword`) when there is no such login, when its user has no password,
 * when the password is wrong, takes over 4,096 bytes of UTF-8 or is not well-formed Unicode. These cannot be told
 * apart from outside: the response is the same, and so is the work, one look-up and one verification (OWASP ASVS
 * 6.3.8; CVE-2025-22234). A stored hash with other parameters than the hasher's takes the time of its own.
 *
 * Fails with `SecurityUnavailable` (503) when the repository fails, dies or takes over 2 seconds, when too many
 * passwords wait to be hashed, or when the stored hash cannot be used.
 *
 * @since 0.1.0
 * @category operations
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Credentials, Password, UserRepository } from "effect-security"
 *
 * class User extends Schema.Class<User>("User")({ id: Schema.UUID, email: Schema.String }) {}
 * class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
 *
 * const signIn = (body: { readonly email: string; readonly password: Password.Password }) =>
 *   Effect.gen(function*() {
 *     const { user, verifiedAt } = yield* Credentials.verify(Users, { login: body.email, password: body.password })
 *     // yield* Auth.login({ userId: user.id }, { verifiedAt })
 *     return user
 *   })
 * ```
 */
export const verify = <Self, Id extends string, User, UserId>(
  repository: UserRepository.TagClass<Self, Id, User, UserId>,
  options: { readonly login: string; readonly password: Password.Password }
): Effect.Effect<Verified<User>, NotAuthorized | SecurityUnavailable, Self | PasswordHasher> =>
  Effect.gen(function*() {
    const hasher = yield* PasswordHasher
    const verifiedAt = yield* DateTime.now
    const account = yield* ask(repository.findByLogin(options.login))
    const hash = Option.flatMap(account, (_) => _.passwordHash)
    const mayMatch = text.mayBePassword(Redacted.value(options.password))
    // Always one verification, whatever is known already by now.
    const matches = yield* hasher.verify(
      mayMatch ? options.password : nothing,
      Option.getOrElse(hash, () => hasher.decoy)
    )
    if (Option.isNone(account) || Option.isNone(hash) || !mayMatch || !matches) {
      return yield* new NotAuthorized({ reason: "WrongPassword" })
    }
    return { user: account.value.user, verifiedAt }
  })
