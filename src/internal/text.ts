/** Whether the text has no lone surrogate. In a `u` pattern a surrogate pair is one code point and not a surrogate. */
export const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text)

/** The text in the form in which two ways to type the same characters are equal (Unicode annex 15). */
export const normalize = (text: string): string => text.normalize("NFKC")

const encoder = new TextEncoder()

/** The longest password: 256 code points, each of them typed as the longest sequence that NFKC composes to one. */
const maxPasswordBytes = 4096

/** Whether a text can be somebody's password at all, so that hashing it tells anything. */
export const mayBePassword = (text: string): boolean =>
  // No code unit takes less than a byte, so that a large text need not be encoded to be refused.
  text.length <= maxPasswordBytes && encoder.encode(text).length <= maxPasswordBytes && isWellFormed(text)
