/**
 * Signing up, signing in and changing the password, with a login and a password.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { NoInfer } from "effect/Types"
import * as observe from "../internal/observe.js"
import * as text from "../internal/text.js"
import { defaultTimeout, wait } from "../internal/wait.js"
import { NotAuthorized, SecurityUnavailable } from "../SecurityError.js"
import * as SecurityEvents from "../SecurityEvents.js"
import * as rehash from "./internal/rehash.js"
import { withoutHashes } from "./internal/withoutHashes.js"
import * as Login from "./Login.js"
import * as Password from "./Password.js"
import { PasswordHasher } from "./PasswordHasher.js"
import type * as UserRepository from "./UserRepository.js"

const timeout = Duration.decode(defaultTimeout)

/** A repository that is down, slow or broken is an outage, and never a wrong password. */
const ask = <A, E, R>(self: Effect.Effect<A, E, R>) => wait(withoutHashes(self), "the user repository", timeout)

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

/** The user of a login and the hash that the password is right for, after the same work whatever is wrong. */
const authenticate = <Self, Id extends string, User, UserId>(
  repository: UserRepository.TagClass<Self, Id, User, UserId>,
  options: {
    readonly login: string
    readonly password: Password.Password
    readonly isExpected: (user: User) => boolean
  }
) =>
  Effect.gen(function*() {
    const hasher = yield* PasswordHasher
    const account = Option.filter(yield* ask(repository.findByLogin(options.login)), (_) => options.isExpected(_.user))
    const hash = Option.flatMap(account, (_) => _.passwordHash)
    const mayMatch = text.mayBePassword(Redacted.value(options.password))
    // Always one verification, whatever is known already by now.
    const matches = yield* hasher.verify(
      mayMatch ? options.password : nothing,
      Option.getOrElse(hash, () => hasher.decoy)
    )
    if (Option.isNone(account) || Option.isNone(hash) || !mayMatch || !matches) {
      const wrong = new NotAuthorized({ reason: "WrongPassword" })
      yield* observe.refused(repository.key, wrong)
      return yield* wrong
    }
    return { user: account.value.user, hash: hash.value }
  })

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
 * After a success, a hash that `needsRehash` is replaced by one in the algorithm and the parameters in force. This
 * happens in the background: it delays no sign-in, is not lost when the client goes away, and whatever goes wrong with
 * it is logged and fails no sign-in. A hasher does it for one password at a time, so that it takes no more than one
 * place of the queue; of those who sign in meanwhile, the next sign-in does it. It replaces the very hash that was
 * verified and no other: a password that is being changed at the same time stays changed.
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
    const { login, password } = options
    const verifiedAt = yield* DateTime.now
    const { hash, user } = yield* authenticate(repository, { login, password, isExpected: () => true })
    yield* rehash.inBackground(yield* PasswordHasher, password, hash, (to) =>
      ask(repository.setPasswordHash(repository.idOf(user), { from: Option.some(hash), to })))
    return { user, verifiedAt }
  })

// -----------------------------------------------------------------------------
// Changing the password
// -----------------------------------------------------------------------------

const tries = 3

/**
 * Runs to its end, also when the caller is interrupted. In a fiber of its own, and no child: a wait can be interrupted
 * wherever it stands, and an interruption reaches children at once.
 */
const toItsEnd = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.forkDaemon(Effect.interruptible(self)).pipe(
    Effect.flatMap((fiber) => Effect.zipLeft(Fiber.await(fiber), Fiber.inheritAll(fiber))),
    Effect.flatten,
    Effect.uninterruptible
  )

/**
 * Changes the password of a user, who is signed in and says the current one. `revoke` says what becomes of the user's
 * other sessions, and there is no default, since whoever got hold of the old password may be in one of them:
 * `Auth.revokeAll({ except: "current" })` ends them, `"keep"` leaves them (OWASP ASVS 7.4.3). It runs after the hash
 * was replaced, so that a sign-in with the old password that is still under way cannot land behind it.
 *
 * `user` is the signed-in user as the repository has it: its login is what the hash is found by, and the id has to be
 * the same. The session of the request goes on; `Auth.rotate` afterwards gives it a fresh token.
 *
 * Fails with `NotAuthorized` (401, reason `WrongPassword`) as `verify` does and after the same work: when `current` is
 * wrong, when the user has no password, is gone or has another login by then, or when another change of the password
 * was faster. Nothing is changed and nothing revoked then. Fails with `SecurityUnavailable` (503) as `verify` does,
 * and when the hash is replaced three times meanwhile by one of the same password.
 *
 * What fails afterwards:
 *
 * - `revoke`: its failure is the failure of the whole, and the password is changed. The other sessions may still be
 *   there: log it, and try to end them again (`Auth.revokeSubject` needs no session).
 * - the repository, while it replaces the hash: whether it did nobody knows, so `revoke` runs all the same, and once
 *   more when the repository ends after its 2 seconds. It should do no more than end sessions.
 *
 * Once the hash is being replaced, an interruption waits until `revoke` has run. The current password may be chosen
 * again.
 *
 * @since 0.1.0
 * @category operations
 * @example
 * ```ts
 * import { Context, Effect, Schema } from "effect"
 * import { Credentials, Password, SessionAuth, UserRepository } from "effect-security"
 *
 * class User extends Schema.Class<User>("User")({ id: Schema.UUID, email: Schema.String }) {}
 * class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
 * class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, User>() {}
 * class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
 *   user: CurrentUser,
 *   session: Schema.Struct({ userId: Schema.UUID })
 * }) {}
 *
 * const Body = Schema.Struct({ current: Password.Password, next: Password.NewPassword })
 *
 * const changePassword = ({ current, next }: typeof Body.Type) =>
 *   Effect.gen(function*() {
 *     const user = yield* Auth.user
 *     yield* Credentials.changePassword(Users, {
 *       user,
 *       current,
 *       next,
 *       revoke: Auth.revokeAll({ except: "current" })
 *     })
 *     yield* Auth.rotate
 *   })
 * ```
 */
export const changePassword = <Self, Id extends string, User, UserId, E = never, R = never>(
  repository: UserRepository.TagClass<Self, Id, User, UserId>,
  options: {
    readonly user: NoInfer<User>
    readonly current: Password.Password
    readonly next: Password.NewPassword
    readonly revoke: Effect.Effect<void, E, R> | "keep"
  }
): Effect.Effect<void, NotAuthorized | SecurityUnavailable | E, Self | PasswordHasher | R> => {
  const id = repository.idOf(options.user)
  const revoke = options.revoke === "keep" ? Effect.void : options.revoke
  const changed = observe.publish(
    repository.key,
    (fields) => new SecurityEvents.PasswordChanged({ ...fields, subject: String(id) })
  )
  const revokeQuietly = Effect.catchAllCause(
    revoke,
    (cause) => Effect.logError("a password may have been changed, and the other sessions were not ended", cause)
  )

  const authenticated = authenticate(repository, {
    login: repository.loginOf(options.user),
    password: options.current,
    // A login that was given up may be somebody else's by now.
    isExpected: (user) => Equal.equals(repository.idOf(user), id)
  })

  const replace = (from: Password.PasswordHash, to: Password.PasswordHash) =>
    Effect.suspend(() => {
      let isGivenUp = false
      const set = Effect.ensuring(
        repository.setPasswordHash(id, { from: Option.some(from), to }),
        // Who was given up is interrupted: nothing that waits would come to its end in there.
        Effect.suspend(() => isGivenUp ? Effect.forkDaemon(Effect.interruptible(revokeQuietly)) : Effect.void)
      )
      return ask(set).pipe(
        Effect.tapError(() => {
          isGivenUp = true
          return revokeQuietly
        }),
        Effect.tap((isReplaced) => isReplaced ? Effect.zipRight(changed, revoke) : Effect.void)
      )
    })

  return Effect.gen(function*() {
    const hasher = yield* PasswordHasher
    let { hash } = yield* authenticated
    const to = yield* hasher.hash(options.next)
    for (let left = tries; left > 0; left--) {
      if (yield* toItsEnd(replace(hash, to))) return
      // Another hash of the same password, which a sign-in has renewed, is none of the user's business.
      hash = (yield* authenticated).hash
    }
    return yield* new SecurityUnavailable({ reason: "the password hash changes too often" })
  })
}
