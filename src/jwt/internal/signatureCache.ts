import { sha256 } from "@noble/hashes/sha2.js"
import * as Encoding from "effect/Encoding"
import type { Key } from "../JwtKeys.js"

/** What is remembered of a token: that the signature was good, by which key, under which keys. */
interface Entry {
  readonly generation: number
  readonly key: Key
}

/** Remembers good signatures, and nothing else of a token: not even its text. */
export interface SignatureCache {
  /** The key whose signature of this token was found to be good under these keys. */
  readonly find: (token: string, generation: number) => Key | undefined
  readonly remember: (token: string, entry: Entry) => void
}

const nothing: SignatureCache = { find: () => undefined, remember: () => undefined }

/** Keeps the `capacity` tokens that were last used. */
export const make = (capacity: number): SignatureCache => {
  if (capacity === 0) {
    return nothing
  }
  const entries = new Map<string, Entry>()
  const keyOf = (token: string) => Encoding.encodeBase64Url(sha256(new TextEncoder().encode(token)))
  const put = (key: string, entry: Entry) => {
    entries.delete(key)
    entries.set(key, entry)
  }
  return {
    find: (token, generation) => {
      const key = keyOf(token)
      const entry = entries.get(key)
      if (entry?.generation !== generation) {
        entries.delete(key)
        return undefined
      }
      put(key, entry)
      return entry.key
    },
    remember: (token, entry) => {
      put(keyOf(token), entry)
      if (entries.size > capacity) {
        entries.delete(entries.keys().next().value!)
      }
    }
  }
}
