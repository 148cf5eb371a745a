/**
 * scrypt (RFC 7914) by `node:crypto`: the hasher that needs no other package. It takes more memory and time than
 * Argon2id for the same strength.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import * as csprng from "../internal/csprng.js"
import * as phc from "../internal/phc.js"
import { SecurityUnavailable } from "../SecurityError.js"
import type { PasswordHash } from "./Password.js"
import * as PasswordHasher from "./PasswordHasher.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The parameters of new hashes, and the limits for stored ones. The defaults are what the OWASP Password Storage Cheat
 * Sheet and ASVS appendix C ask for; weaker ones are for tests. A hash takes 128 * N * blockSize bytes of memory.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The logarithm to base 2 of the cost N (`ln`), at least 1. Default 17. */
  readonly logN?: number | undefined
  /** The block size (`r`), at least 1. Default 8. */
  readonly blockSize?: number | undefined
  /** How often the work is done, one after the other (`p`), at least 1. Default 1. */
  readonly parallelism?: number | undefined
  /** A stored hash that takes more memory, in KiB, is not verified. Default 262,144 (256 MiB). */
  readonly maxMemoryCost?: number | undefined
  /** A stored hash that repeats the work more often is not verified. Default 16. */
  readonly maxParallelism?: number | undefined
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const saltBytes = 16
const hashBytes = 32

const pattern = /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d{0,9}),p=([1-9]\d{0,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

interface Parameters {
  readonly logN: number
  readonly blockSize: number
  readonly parallelism: number
}

interface Parsed extends Parameters {
  readonly salt: Uint8Array
  readonly hash: Uint8Array
}

const parse = (text: string): Option.Option<Parsed> => {
  const match = pattern.exec(text)
  if (match === null) return Option.none()
  const [, logN, blockSize, parallelism, salt, hash] = match
  return Option.map(Option.all([phc.decode(salt!), phc.decode(hash!)]), ([salt, hash]) => ({
    logN: Number(logN),
    blockSize: Number(blockSize),
    parallelism: Number(parallelism),
    salt,
    hash
  }))
}

const format = ({ blockSize, hash, logN, parallelism, salt }: Parsed): PasswordHash =>
  `$scrypt$ln=${logN},r=${blockSize},p=${parallelism}$${phc.encode(salt)}$${phc.encode(hash)}` as PasswordHash

const scrypt = (
  password: Redacted.Redacted<string>,
  salt: Uint8Array,
  length: number,
  { blockSize, logN, parallelism }: Parameters
): Effect.Effect<Uint8Array, SecurityUnavailable> =>
  Effect.async((resume) => {
    const N = 2 ** logN
    const options = {
      N,
      r: blockSize,
      p: parallelism,
      // Blocks of 128 r bytes: N to work in, one for each p, and a few that OpenSSL counts too. By default it is 32
      // MiB.
      maxmem: 2 * 128 * blockSize * (N + parallelism)
    }
    Crypto.scrypt(Redacted.value(password), salt, length, options, (cause, hash) =>
      resume(
        cause === null ? Effect.succeed(hash) : Effect.fail(new SecurityUnavailable({ reason: "scrypt failed", cause }))
      ))
  })

/**
 * scrypt with a salt of 16 bytes from a CSPRNG and a hash of 32, written as `$scrypt$ln=17,r=8,p=1$<salt>$<hash>`, as
 * Python's passlib does. It verifies salts of 1 to 64 bytes and hashes of 16 to 64; `needsRehash` is true for all but
 * what it makes itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const algorithm = (options: Options = {}): PasswordHasher.Algorithm => {
  const { blockSize = 8, logN = 17, maxMemoryCost = 262_144, maxParallelism = 16, parallelism = 1 } = options
  const parameters: Parameters = { logN, blockSize, parallelism }
  return {
    ids: ["scrypt"],
    hash: (password) =>
      Effect.flatMap(
        csprng.bytes(saltBytes),
        (salt) =>
          Effect.map(scrypt(password, salt, hashBytes, parameters), (hash) => format({ ...parameters, salt, hash }))
      ),
    verify: (password, text) =>
      Option.match(parse(text), {
        onNone: () => Effect.succeed(false),
        onSome: (stored) =>
          Effect.map(
            scrypt(password, stored.salt, stored.hash.length, stored),
            (hash) => Crypto.timingSafeEqual(hash, stored.hash)
          )
      }),
    refusal: (text) => {
      const parsed = parse(text)
      if (Option.isNone(parsed)) {
        return Option.some("it is no scrypt hash whose logN, blockSize and parallelism are positive integers")
      }
      const { value } = parsed
      // A block is 128 r bytes; N of them to work in, and one for each p.
      if (value.blockSize * Math.max(2 ** value.logN, value.parallelism) / 8 > maxMemoryCost) {
        return Option.some(`logN and blockSize take more than ${maxMemoryCost} KiB`)
      }
      if (value.parallelism > maxParallelism) return Option.some(`parallelism is above ${maxParallelism}`)
      if (value.salt.length > 64) return Option.some("the salt is longer than 64 bytes")
      if (value.hash.length < 16 || value.hash.length > 64) return Option.some("the hash is not of 16 to 64 bytes")
      return Option.none()
    },
    needsRehash: (text) =>
      !Option.exists(
        parse(text),
        (_) =>
          _.logN === logN && _.blockSize === blockSize && _.parallelism === parallelism &&
          _.salt.length >= saltBytes && _.hash.length === hashBytes
      ),
    decoy: format({ ...parameters, salt: new Uint8Array(saltBytes), hash: new Uint8Array(hashBytes) })
  }
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * scrypt with N=2^17, r=8, p=1: about half a second and 128 MiB a hash, two at once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<PasswordHasher.PasswordHasher> = PasswordHasher.layer({ algorithm: algorithm() })

/**
 * scrypt with parameters and a queue of your own. Parameters that make no sense, or that the limits would refuse, are
 * a defect that names them.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"
 *
 * // 16 MiB a hash, for a small host; also on OWASP's list.
 * const HasherLive = PasswordHasherScrypt.layerWith({ logN: 14, blockSize: 8, parallelism: 5 })
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
