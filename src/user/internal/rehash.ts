import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SecurityUnavailable } from "../../SecurityError.js"
import type { Password, PasswordHash } from "../Password.js"
import type * as PasswordHasher from "../PasswordHasher.js"
import { withoutHashes } from "./withoutHashes.js"

/** Hashing waits for its turn behind those who sign in. Longer than this the server has better things to do. */
const timeout = Duration.seconds(10)

/**
 * The hashers that are making a hash anew. One at a time takes one place of a hasher's queue, however many sign in at
 * once after its parameters were raised; who comes meanwhile is renewed at another sign-in.
 */
const busy = new WeakSet<PasswordHasher.Service>()

const warn = (cause: Cause.Cause<SecurityUnavailable>) =>
  Option.match(Cause.failureOption(cause), {
    // Whoever failed has logged its own cause.
    onSome: ({ reason }) => Effect.logWarning(`a password hash was not renewed: ${reason}`),
    onNone: () => Effect.logWarning("a password hash was not renewed", cause)
  })

/**
 * Hashes a password that was right anew when its hash is out of date, and hands the new one to `replace`, which is
 * false when the old one is no longer there. In the background and once at a time: nobody who signs in waits for it,
 * it outlives their request, and what goes wrong with it is logged and goes no further.
 */
export const inBackground = <R>(
  hasher: PasswordHasher.Service,
  password: Password,
  hash: PasswordHash,
  replace: (to: PasswordHash) => Effect.Effect<boolean, SecurityUnavailable, R>
): Effect.Effect<void, never, R> => {
  // Its surroundings may be uninterruptible, and so may a hasher: the wait ends all the same.
  const hashing = withoutHashes(Effect.suspend(() => hasher.hash(password)))
  const hashed = Effect.interruptible(Effect.disconnect(Effect.interruptible(hashing))).pipe(
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () => new SecurityUnavailable({ reason: `hashing took longer than ${Duration.format(timeout)}` })
    })
  )
  const renewed = hashed.pipe(
    Effect.flatMap(replace),
    Effect.flatMap((isReplaced) =>
      isReplaced ? Effect.void : Effect.logDebug("a password hash was not renewed: another one has replaced it")
    ),
    Effect.catchAllCause(warn)
  )
  return Effect.suspend(() => {
    if (busy.has(hasher) || !hasher.needsRehash(hash)) return Effect.void
    busy.add(hasher)
    return Effect.forkDaemon(Effect.ensuring(renewed, Effect.sync(() => busy.delete(hasher))))
  }).pipe(Effect.asVoid, Effect.catchAllCause(warn), Effect.uninterruptible)
}
