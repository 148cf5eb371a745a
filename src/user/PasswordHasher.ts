/**
 * Hashing and verifying passwords, without saying how: the algorithms are in modules of their own, since they need
 * what a browser has not.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as hashQueue from "../internal/hashQueue.js"
import * as phc from "../internal/phc.js"
import * as text from "../internal/text.js"
import { SecurityUnavailable } from "../SecurityError.js"
import type { Password, PasswordHash } from "./Password.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * Hashes and verifies passwords.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * A new hash, with a fresh salt, in the algorithm and the parameters in force. Fails with `SecurityUnavailable` when
   * too many passwords wait already, or when the algorithm fails.
   */
  readonly hash: (password: Password) => Effect.Effect<PasswordHash, SecurityUnavailable>
  /**
   * Whether the hash was made from this password. A hash that cannot be read, that no configured algorithm made, or
   * whose parameters are above the limits is `SecurityUnavailable` and not `false`, since what is wrong is our data
   * and not the password; nothing is computed then. Otherwise fails as `hash` does.
   */
  readonly verify: (password: Password, hash: PasswordHash) => Effect.Effect<boolean, SecurityUnavailable>
  /**
   * Whether a new hash of the same password would be made in another way: by another algorithm, or with other
   * parameters. True for what cannot be read.
   */
  readonly needsRehash: (hash: PasswordHash) => boolean
  /**
   * A hash in the algorithm and the parameters in force that no password is known for: verifying it costs what
   * verifying a real one costs. It stands in for the hash of a user who does not exist.
   */
  readonly decoy: PasswordHash
}

/**
 * The service that hashes and verifies passwords.
 *
 * @since 0.1.0
 * @category tags
 */
export class PasswordHasher extends Context.Tag("effect-security/user/PasswordHasher")<PasswordHasher, Service>() {}

/**
 * One way to hash, as an implementation brings it to `make`, which adds the rest: normalisation, the queue, the choice
 * between several. Passwords arrive in NFKC.
 *
 * @since 0.1.0
 * @category models
 */
export interface Algorithm {
  /** The names in PHC strings that this algorithm verifies, such as `argon2id`. */
  readonly ids: ReadonlyArray<string>
  /** A new hash with a fresh salt. It runs to its end even when nobody waits for it any more. */
  readonly hash: (password: Redacted.Redacted<string>) => Effect.Effect<PasswordHash, SecurityUnavailable>
  /** Whether the hash, which was not refused, was made from the password. It runs to its end as `hash` does. */
  readonly verify: (
    password: Redacted.Redacted<string>,
    hash: PasswordHash
  ) => Effect.Effect<boolean, SecurityUnavailable>
  /** Why `verify` must not run on a hash of its own `ids`: it cannot be read, or it would cost too much. */
  readonly refusal: (hash: PasswordHash) => Option.Option<string>
  /** Whether `hash` would now use other parameters. Only asked about hashes of its own `ids`. */
  readonly needsRehash: (hash: PasswordHash) => boolean
  /** A hash with the parameters of `hash` that no password is known for. It need not be random. */
  readonly decoy: PasswordHash
}

/**
 * How many passwords are hashed at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueOptions {
  /**
   * How many passwords are hashed at the same time, at least 1. Default 2. There is no use in more than there are
   * cores; and Node's thread pool, which also reads files and resolves names, has 4 threads by default.
   */
  readonly concurrency?: number | undefined
  /** How many more wait for their turn, at least 0. Default 64. Who comes then gets `SecurityUnavailable` at once. */
  readonly maxQueue?: number | undefined
}

/**
 * What `make` and `layer` take.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends QueueOptions {
  /** Makes new hashes, and verifies its own. */
  readonly algorithm: Algorithm
  /** Verify the hashes that are there from earlier. Of two that know a name the first is asked. */
  readonly legacy?: ReadonlyArray<Algorithm> | undefined
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const isCount = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least

const normalized = (password: Password): Redacted.Redacted<string> =>
  Redacted.make(text.normalize(Redacted.value(password)))

/**
 * A hasher from one algorithm, or from one that hashes and others that still verify. Passwords are brought to NFKC; at
 * most `concurrency` are hashed at once and at most `maxQueue` wait. A caller that is interrupted leaves the queue,
 * also inside an uninterruptible region; a hash that has begun runs to its end and keeps its place until then.
 *
 * Options that make no sense are a defect that names them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service> =>
  Effect.suspend(() => {
    const { algorithm, concurrency = 2, legacy = [], maxQueue = 64 } = options
    if (!isCount(concurrency, 1)) return Effect.dieMessage("PasswordHasher: `concurrency` is an integer of at least 1")
    if (!isCount(maxQueue, 0)) return Effect.dieMessage("PasswordHasher: `maxQueue` is an integer of at least 0")
    // What an algorithm makes it must verify: parameters that it would refuse are wrong from the start.
    const refusal = algorithm.refusal(algorithm.decoy)
    if (Option.isSome(refusal)) return Effect.dieMessage(`PasswordHasher: ${refusal.value}`)

    const algorithms = [algorithm, ...legacy]
    const algorithmOf = (hash: PasswordHash): Option.Option<Algorithm> =>
      Option.flatMap(phc.id(hash), (id) => Option.fromNullable(algorithms.find((_) => _.ids.includes(id))))
    const inTurn = hashQueue.make(concurrency, maxQueue)

    return Effect.succeed<Service>({
      hash: (password) => inTurn(logged(Effect.suspend(() => algorithm.hash(normalized(password))))),
      verify: (password, hash) =>
        Option.match(algorithmOf(hash), {
          onNone: () => unusable("no configured algorithm made it"),
          onSome: (algorithm) =>
            Option.match(algorithm.refusal(hash), {
              onNone: () => inTurn(logged(Effect.suspend(() => algorithm.verify(normalized(password), hash)))),
              onSome: unusable
            })
        }),
      needsRehash: (hash) =>
        Option.match(algorithmOf(hash), {
          onNone: () => true,
          onSome: (owner) => owner !== algorithm || owner.needsRehash(hash)
        }),
      decoy: algorithm.decoy
    })
  })

/** The response tells nobody why: the log has to. A full queue is not logged, or a flood would fill the log too. */
const logged = <A>(self: Effect.Effect<A, SecurityUnavailable>): Effect.Effect<A, SecurityUnavailable> =>
  Effect.tapError(
    self,
    ({ cause, reason }) => cause === undefined ? Effect.logError(reason) : Effect.logError(reason, Cause.fail(cause))
  )

const unusable = (why: string): Effect.Effect<never, SecurityUnavailable> =>
  logged(Effect.fail(new SecurityUnavailable({ reason: `the stored password hash cannot be used: ${why}` })))

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * A hasher from one algorithm, or from one that hashes and others that still verify; see `make`. With one algorithm
 * alone, `PasswordHasherArgon2.layer` and `PasswordHasherScrypt.layer` are shorter.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { PasswordHasher } from "effect-security"
 * import * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
 * import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"
 *
 * // New hashes are Argon2id; those that scrypt made still open their accounts.
 * const HasherLive = PasswordHasher.layer({
 *   algorithm: PasswordHasherArgon2.algorithm(),
 *   legacy: [PasswordHasherScrypt.algorithm()]
 * })
 * ```
 */
export const layer = (options: Options): Layer.Layer<PasswordHasher> => Layer.effect(PasswordHasher, make(options))
