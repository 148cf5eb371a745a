/**
 * Argon2id (RFC 9106) by the native code of `@node-rs/argon2`, an optional peer dependency: the hasher to use.
 *
 * @since 0.1.0
 */
import * as Argon2 from "@node-rs/argon2"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as csprng from "../internal/csprng.js"
import * as phc from "../internal/phc.js"
import { SecurityUnavailable } from "../SecurityError.js"
import type { PasswordHash } from "./Password.js"
import * as PasswordHasher from "./PasswordHasher.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The parameters of new hashes, and the limits for stored ones. The defaults are the least that the OWASP Password
 * Storage Cheat Sheet accepts for Argon2id; weaker ones are for tests.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Memory in KiB (`m`), at least 8 times `parallelism`. Default 19,456 (19 MiB). */
  readonly memoryCost?: number | undefined
  /** Passes over the memory (`t`), at least 1. Default 2. */
  readonly timeCost?: number | undefined
  /** Lanes (`p`), at least 1. Default 1. */
  readonly parallelism?: number | undefined
  /** A stored hash that takes more memory, in KiB, is not verified. Default 262,144 (256 MiB). */
  readonly maxMemoryCost?: number | undefined
  /** A stored hash that takes more passes is not verified. Default 16. */
  readonly maxTimeCost?: number | undefined
  /** A stored hash with more lanes is not verified. Default 16. */
  readonly maxParallelism?: number | undefined
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const saltBytes = 16
const hashBytes = 32
/** `Argon2.Algorithm.Argon2id` and `Argon2.Version.V0x13`: ambient const enums cannot be read in isolated modules. */
const argon2id = 2
const version19 = 1

// Without a version it is 16, the one from before versions were written down.
const pattern =
  /^\$argon2(id|i|d)(?:\$v=(16|19))?\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

const parse = (hash: string) => {
  const match = pattern.exec(hash)
  if (match === null) return Option.none()
  const [, variant, version, memoryCost, timeCost, parallelism, salt, tag] = match
  return Option.map(
    Option.all([phc.decode(salt!), phc.decode(tag!)]),
    ([salt, tag]) => ({
      variant,
      version: Number(version ?? 16),
      memoryCost: Number(memoryCost),
      timeCost: Number(timeCost),
      parallelism: Number(parallelism),
      saltBytes: salt.length,
      hashBytes: tag.length
    })
  )
}

/**
 * Argon2id, version 19, with a salt of 16 bytes from a CSPRNG and a tag of 32. It also verifies Argon2i, Argon2d and
 * version 16, salts of 8 to 64 bytes and tags of 16 to 64; `needsRehash` is true for all but what it makes itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const algorithm = (options: Options = {}): PasswordHasher.Algorithm => {
  const {
    maxMemoryCost = 262_144,
    maxParallelism = 16,
    maxTimeCost = 16,
    memoryCost = 19_456,
    parallelism = 1,
    timeCost = 2
  } = options
  return {
    ids: ["argon2id", "argon2i", "argon2d"],
    hash: (password) =>
      Effect.flatMap(csprng.bytes(saltBytes), (salt) =>
        native(() =>
          Argon2.hash(Redacted.value(password), {
            algorithm: argon2id,
            version: version19,
            memoryCost,
            timeCost,
            parallelism,
            outputLen: hashBytes,
            salt
          }) as Promise<PasswordHash>
        )),
    verify: (password, hash) => native(() => Argon2.verify(hash, Redacted.value(password))),
    refusal: (hash) => {
      const parsed = parse(hash)
      if (Option.isNone(parsed)) {
        return Option.some("it is no Argon2 hash whose memoryCost, timeCost and parallelism are positive integers")
      }
      const { value } = parsed
      if (value.memoryCost < 8 * value.parallelism) return Option.some("memoryCost is below 8 times parallelism")
      if (value.memoryCost > maxMemoryCost) return Option.some(`memoryCost is above ${maxMemoryCost} KiB`)
      if (value.timeCost > maxTimeCost) return Option.some(`timeCost is above ${maxTimeCost}`)
      if (value.parallelism > maxParallelism) return Option.some(`parallelism is above ${maxParallelism}`)
      if (value.saltBytes < 8 || value.saltBytes > 64) return Option.some("the salt is not of 8 to 64 bytes")
      if (value.hashBytes < 16 || value.hashBytes > 64) return Option.some("the tag is not of 16 to 64 bytes")
      return Option.none()
    },
    needsRehash: (hash) =>
      !Option.exists(
        parse(hash),
        (_) =>
          _.variant === "id" && _.version === 19 && _.memoryCost === memoryCost && _.timeCost === timeCost &&
          _.parallelism === parallelism && _.saltBytes >= saltBytes && _.hashBytes === hashBytes
      ),
    decoy: `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${phc.encode(new Uint8Array(saltBytes))}$${
      phc.encode(new Uint8Array(hashBytes))
    }` as PasswordHash
  }
}

const native = <A>(run: () => Promise<A>): Effect.Effect<A, SecurityUnavailable> =>
  Effect.tryPromise({ try: run, catch: (cause) => new SecurityUnavailable({ reason: "Argon2 failed", cause }) })

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Argon2id with m=19456 KiB, t=2, p=1: about 20 ms and 19 MiB a hash, two at once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<PasswordHasher.PasswordHasher> = PasswordHasher.layer({ algorithm: algorithm() })

/**
 * Argon2id with parameters and a queue of your own. Parameters that make no sense, or that the limits would refuse, are
 * a defect that names them.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
 *
 * const HasherLive = PasswordHasherArgon2.layerWith({ memoryCost: 47_104, timeCost: 1, concurrency: 4 })
 * ```
 */
export const layerWith = (
  options: Options & PasswordHasher.QueueOptions
): Layer.Layer<PasswordHasher.PasswordHasher> =>
  PasswordHasher.layer({
    algorithm: algorithm(options),
    concurrency: options.concurrency,
    maxQueue: options.maxQueue
  })
