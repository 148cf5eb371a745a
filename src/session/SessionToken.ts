/**
 * The token that a client holds, and the id under which a store knows the session. Whoever reads the store cannot sign
 * in, and a client cannot name a key.
 *
 * @since 0.1.0
 */
import { sha256 } from "@noble/hashes/sha2.js"
import type * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as csprng from "../internal/csprng.js"

// -----------------------------------------------------------------------------
// Model
// -----------------------------------------------------------------------------

/**
 * `<tag>.<secret>`: the secret is 32 random bytes, the tag the first 9 bytes of SHA-256 over realm, NUL and subject, or
 * 9 random bytes for a session without a subject; both base64url. It is redacted, so that it prints itself nowhere.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionToken = Redacted.Redacted<string & Brand.Brand<"effect-security/SessionToken">>

/**
 * `<tag>.<SHA-256 over realm, NUL and token>`, base64url: the key of a session in its store. It may be shown to the
 * session's owner; it signs nobody in.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionId = string & Brand.Brand<"effect-security/SessionId">

/**
 * Decodes the id of a session, as a client gives it back to revoke one.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SessionId: Schema.Schema<SessionId, string> = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}$/),
  Schema.brand("effect-security/SessionId")
)

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const secretBytes = 32
const tagBytes = 9
const encoder = new TextEncoder()

const hash = (realm: string, text: string): Uint8Array => sha256(encoder.encode(`${realm}\0${text}`))

const tagIn = (text: string): string => text.slice(0, text.indexOf("."))

/**
 * A fresh token for a subject of a realm. The tag is the same for all sessions of one subject, so that a sharded store
 * keeps them together; it is random for a session without a subject (null).
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (realm: string, subject: string | null): Effect.Effect<SessionToken> =>
  Effect.map(csprng.bytes(secretBytes + (subject === null ? tagBytes : 0)), (random) => {
    const tag = subject === null ? Encoding.encodeBase64Url(random.subarray(secretBytes)) : tagOf(realm, subject)
    return Redacted.make(`${tag}.${Encoding.encodeBase64Url(random.subarray(0, secretBytes))}`) as SessionToken
  })

/**
 * A fresh token for a session that has one: it keeps the tag, so that the session stays where it is in a sharded store.
 *
 * @since 0.1.0
 * @category constructors
 */
export const successor = (id: SessionId): Effect.Effect<SessionToken> =>
  Effect.map(
    csprng.bytes(secretBytes),
    (secret) => Redacted.make(`${tagIn(id)}.${Encoding.encodeBase64Url(secret)}`) as SessionToken
  )

// The last character of 32 bytes in base64url holds 4 bits: any other is another spelling of the same bytes.
const shape = /^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/**
 * The token in a text of exactly its shape. Whether a session belongs to it only the store knows.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromString = (text: string): Option.Option<SessionToken> =>
  shape.test(text) ? Option.some(Redacted.make(text) as SessionToken) : Option.none()

// -----------------------------------------------------------------------------
// Conversions
// -----------------------------------------------------------------------------

/**
 * The id of a token in a realm. Another realm has another id for it, so that a token of one is unknown in every other.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toId = (realm: string, token: SessionToken): SessionId => {
  const text = Redacted.value(token)
  return `${tagIn(text)}.${Encoding.encodeBase64Url(hash(realm, text))}` as SessionId
}

/**
 * The tag that the ids of a subject's sessions in a realm begin with: where a sharded store keeps what it knows of the
 * subject. Two subjects may have the same tag.
 *
 * @since 0.1.0
 * @category conversions
 */
export const tagOf = (realm: string, subject: string): string =>
  Encoding.encodeBase64Url(hash(realm, subject).subarray(0, tagBytes))

/**
 * The tag of an id: 12 characters of base64url.
 *
 * @since 0.1.0
 * @category conversions
 */
export const tagOfId = (id: SessionId): string => tagIn(id)

/**
 * Whether an id is one of a subject's sessions in a realm, as far as its tag tells. A session without a subject has a
 * random tag, so that every id may be one.
 *
 * @since 0.1.0
 * @category predicates
 */
export const belongsTo = (id: SessionId, realm: string, subject: string | null): boolean =>
  subject === null || tagIn(id) === tagOf(realm, subject)
