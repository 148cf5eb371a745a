import { concatBytes } from "@noble/hashes/utils.js"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from "node:crypto"
import * as base64url from "../../../internal/base64url.js"
import * as csprng from "../../../internal/csprng.js"

// `format | id of the key | salt | ciphertext | tag`, in base64url. Each sealing has a key and a nonce of its own, both
// derived by HKDF-SHA-256 (RFC 5869) from a fresh salt, so that no number of sealings wears a key out (SP 800-38D section
// 8.3); what they are for is part of the derivation, so that what is sealed for one purpose opens for no other.

const format = 1
const idBytes = 6
const saltBytes = 32
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const headBytes = 1 + idBytes + saltBytes
const algorithm = "aes-256-gcm"

/** What was sealed, and whether under the newest key. */
export interface Opened {
  readonly text: string
  readonly isNewest: boolean
}

export interface Sealer {
  readonly seal: (text: string) => Effect.Effect<string>
  /** `None` for anything that was not sealed for this purpose under one of the keys. Never fails. */
  readonly open: (sealed: string) => Option.Option<Opened>
}

/** The name of a key in what it has sealed, which says nothing of it. */
const idOf = (key: Uint8Array): Uint8Array =>
  createHash("sha256").update("effect-security/SealedSession/key\0").update(key).digest().subarray(0, idBytes)

const derive = (key: Uint8Array, salt: Uint8Array, info: Uint8Array) => {
  const derived = new Uint8Array(hkdfSync("sha256", key, salt, info, keyBytes + nonceBytes))
  return { key: derived.subarray(0, keyBytes), nonce: derived.subarray(keyBytes) }
}

/** Seals with the first of the keys and opens with any. */
export const make = (keys: NonEmptyReadonlyArray<Uint8Array>, purpose: string): Sealer => {
  // Node takes no more than 1,024 bytes here, and a name may be longer.
  const info = createHash("sha256").update(`effect-security/SealedSession\0${purpose}`).digest()
  const newest = { id: idOf(keys[0]), bytes: keys[0] }
  const newestId = Encoding.encodeHex(newest.id)
  const byId = new Map(keys.map((key) => [Encoding.encodeHex(idOf(key)), key]))

  const seal = (text: string, salt: Uint8Array): string => {
    const { key, nonce } = derive(newest.bytes, salt, info)
    const head = concatBytes(Uint8Array.of(format), newest.id, salt)
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes }).setAAD(head)
    return base64url.encode(concatBytes(head, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()))
  }

  const unseal = (bytes: Uint8Array, master: Uint8Array): Option.Option<string> => {
    const head = bytes.subarray(0, headBytes)
    const { key, nonce } = derive(master, head.subarray(1 + idBytes), info)
    const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
      .setAAD(head)
      .setAuthTag(bytes.subarray(bytes.length - tagBytes))
    const text = decipher.update(bytes.subarray(headBytes, bytes.length - tagBytes), undefined, "utf8")
    // It is good only when the tag is, which the end of it tells.
    return Either.getRight(Either.try(() => text + decipher.final("utf8")))
  }

  return {
    seal: (text) => Effect.map(csprng.bytes(saltBytes), (salt) => seal(text, salt)),
    open: (sealed) =>
      Option.flatMap(base64url.decode(sealed), (bytes) => {
        const id = Encoding.encodeHex(bytes.subarray(1, 1 + idBytes))
        const master = byId.get(id)
        return bytes.length < headBytes + tagBytes || bytes[0] !== format || master === undefined
          ? Option.none()
          : Option.map(unseal(bytes, master), (text) => ({ text, isNewest: id === newestId }))
      })
  }
}
