import * as Either from "effect/Either"
import { isString } from "effect/Predicate"
import * as base64url from "./base64url.js"

/** Bytes as text, one character a byte. NUL is left out, so that ASCII reads the same when it was written as UTF-16. */
const toText = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte === 0 ? "" : String.fromCharCode(byte)).join("")

/** The length of an element of ASN.1 that begins at `offset`, its tag included (X.690 section 8.1.3, definite form). */
const elementLength = (bytes: Uint8Array, offset: number): number => {
  const first = bytes[offset + 1] ?? 0x80
  if (first < 0x80) return 2 + first
  const octets = first & 0x7f
  if (octets === 0 || octets > 4) return Number.NaN
  let length = 0
  for (let i = 0; i < octets; i++) length = length * 256 + (bytes[offset + 2 + i] ?? Number.NaN)
  return 2 + octets + length
}

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || (byte !== undefined && byte >= 9 && byte <= 13)

/**
 * Whether the bytes are one SEQUENCE, from the first to the last, that begins as every public key, private key and
 * certificate does, with a SEQUENCE or an INTEGER, and whose elements fill it. One of 2^28 random secrets is this too.
 * White space around it, as copying and files add it, changes nothing.
 */
const isDer = (bytes: Uint8Array): boolean => {
  let start = 0
  while (isSpace(bytes[start])) start++
  const end = start + elementLength(bytes, start)
  if (bytes[start] !== 0x30 || !(end <= bytes.length) || !bytes.subarray(end).every(isSpace)) return false
  const first = bytes[start + 1]!
  let offset = start + (first < 0x80 ? 2 : 2 + (first & 0x7f))
  if (bytes[offset] !== 0x30 && bytes[offset] !== 0x02) return false
  while (offset < end) offset += elementLength(bytes, offset)
  return offset === end
}

/**
 * What the bytes are when they are no secret: a key that may be public, in one of the forms in which keys are handed
 * around. Who verifies with the text of a public key as the secret lets everybody sign (CVE-2026-102268 and others). What
 * stands in front (a byte order mark, odd spaces, line ends of any kind), base64 around it and UTF-16 change nothing.
 */
const publicForm = (bytes: Uint8Array, wrappings: number): string | undefined => {
  const text = toText(bytes)
  if (/-{4,5} ?BEGIN/.test(text)) return "PEM text"
  const bare = text.replace(/^[^\x21-\x7e]+/, "")
  if (/^(?:ssh-|ecdsa-sha2-)|\b(?:ssh-[a-z0-9]+|ecdsa-sha2-[a-z0-9]+)\s+AAAA/.test(bare)) return "an SSH key"
  if (/"(?:kty|keys)"\s*:/.test(text)) return "a JWK"
  if (isDer(bytes)) return "DER"
  const inner = text.replace(/[^\x21-\x7e]+/g, "").replace(/=+$/, "").replace(/\+/g, "-").replace(/\//g, "_")
  return wrappings === 0 || inner === "" || !/^[A-Za-z0-9_-]+$/.test(inner)
    ? undefined
    : publicForm(base64url.decodeLeniently(inner), wrappings - 1)
}

const encoder = new TextEncoder()

/** What a secret is for, as its sentences say it. */
export interface Purpose {
  /** With its article: `an HMAC secret`. */
  readonly noun: string
  /** Why it has at least 32 bytes. */
  readonly minimum: string
  /** What to do with a key that may be public, given as a secret. */
  readonly advice: string
}

const decodeText = (text: string, { noun }: Purpose): Either.Either<Uint8Array, string> =>
  Either.fromOption(base64url.decode(text), () =>
    text !== text.trim()
      ? `${noun} has white space around it`
      : /^[A-Za-z0-9+/]+={0,2}$/.test(text) && /[+/=]/.test(text)
      ? `${noun} is standard base64: write it as base64url, with - and _ for + and /, and without =`
      : `${noun} that is text is base64url without padding; give anything else as bytes`)

/** The bytes of a secret, or what is wrong with it. Text is base64url (RFC 4648 section 5) without padding. */
export const parse = (secret: string | Uint8Array, purpose: Purpose): Either.Either<Uint8Array, string> => {
  const { advice, minimum, noun } = purpose
  const given = isString(secret) ? encoder.encode(secret) : secret
  if (given.length === 0) return Either.left(`${noun} is empty`)
  const form = publicForm(given, 3)
  if (form !== undefined) {
    return Either.left(`${noun} is ${form}: ${advice}`)
  }
  // A copy: what becomes of the caller's array is none of ours.
  return Either.flatMap(
    isString(secret) ? decodeText(secret, purpose) : Either.right(secret.slice()),
    (bytes) =>
      bytes.length < 32
        ? Either.left(`${noun} has ${bytes.length} bytes, and ${minimum}`)
        : bytes.every((byte) => byte === bytes[0])
        ? Either.left(`${noun} repeats one byte`)
        : Either.right(bytes)
  )
}
