import { sha256 } from "@noble/hashes/sha2.js"
import * as Encoding from "effect/Encoding"

const encoder = new TextEncoder()

/** SHA-256 in lower-case hex, over the text in UTF-8: 64 characters. */
export const digest = (text: string): string => Encoding.encodeHex(sha256(encoder.encode(text)))

/**
 * The same for a text that need not be well-formed Unicode: as JSON, where a lone surrogate is not the replacement
 * character that UTF-8 makes of it.
 */
export const digestOfAny = (text: string): string => digest(JSON.stringify(text))
