import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"

const base64 = "[A-Za-z0-9+/]+"
const parameter = "[a-z0-9-]{1,32}=[A-Za-z0-9+/.-]+"
const shape = new RegExp(
  `^\\$[a-z0-9-]{1,32}(?:\\$v=[0-9]{1,10})?(?:\\$${parameter}(?:,${parameter})*)?\\$[A-Za-z0-9+/.-]+\\$${base64}$`
)

/** Longer than any hash that is made with sense: 64 bytes of salt and of hash take less than 250 characters. */
const maxLength = 512

/** Whether the text is a PHC string that holds both a salt and a hash. */
export const isPhc = (text: string): boolean => text.length <= maxLength && shape.test(text)

/** The name of the algorithm that made the hash. */
export const id = (text: string): Option.Option<string> =>
  isPhc(text) ? Option.fromNullable(text.split("$", 2)[1]) : Option.none()

/** Standard base64 without padding, as PHC strings have it. */
export const encode = (bytes: Uint8Array): string => Encoding.encodeBase64(bytes).replace(/=+$/, "")

/** `None` for anything that `encode` would not have written, spare bits included. */
export const decode = (text: string): Option.Option<Uint8Array> =>
  Encoding.decodeBase64(text + "=".repeat((4 - text.length % 4) % 4)).pipe(
    Either.getRight,
    Option.filter((bytes) => encode(bytes) === text)
  )
