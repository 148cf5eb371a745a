import { sha256 } from "@noble/hashes/sha2.js"
import * as Encoding from "effect/Encoding"

// What a database can hold of a JavaScript string: PostgreSQL refuses NUL, and none keeps a lone surrogate. JSON
// has an escape for both, and one for each character that it needs for that.

/** Different for different texts, and the text itself where it has no need of an escape. */
export const escape = (text: string): string => JSON.stringify(text).slice(1, -1)

export const unescape = (escaped: string): string => JSON.parse(`"${escaped}"`)

/** PostgreSQL indexes no text that is longer than about 2,700 bytes; a character takes 4 at most. */
const longest = 500

const encoder = new TextEncoder()

/**
 * The text of an indexed column that is looked up and never read back. Different for different texts, whatever their
 * length: a quotation mark begins no escaped text, so that none is taken for the hash of a long one.
 */
export const toKey = (text: string): string => {
  const escaped = escape(text)
  return escaped.length <= longest ? escaped : `"${Encoding.encodeBase64Url(sha256(encoder.encode(escaped)))}`
}
