/**
 * Passwords and their hashes, as types that cannot be taken for each other or for text. A password is redacted from
 * the moment it is decoded: it prints as `<redacted>`, and no parse error repeats it.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import * as Equivalence from "effect/Equivalence"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as phc from "../internal/phc.js"
import * as text from "../internal/text.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * A password as somebody typed it: any text. It is enough to sign in, and not enough to register. `Redacted.value`
 * reads it; printing it, in whatever way, gives `<redacted>`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Password extends Redacted.Redacted<string>, Brand.Brand<"effect-security/Password"> {}

/**
 * A password that may be set: well-formed Unicode of 8 to 256 code points, counted after NFKC. There is no rule of
 * composition (NIST SP 800-63B-4 section 3.1.1.2; OWASP ASVS 6.2.1, 6.2.5 and 6.2.9); where a password is the only
 * factor, 15 or more are recommended. Every `NewPassword` is a `Password`.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewPassword extends Redacted.Redacted<string>, NewPasswordBrand {}

type NewPasswordBrand = Brand.Brand<"effect-security/Password"> & Brand.Brand<"effect-security/NewPassword">

/**
 * A salted hash of a password as a PHC string, such as `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. It is what a
 * user's record keeps, beside the user and never inside.
 *
 * @since 0.1.0
 * @category models
 */
export type PasswordHash = string & Brand.Brand<"effect-security/PasswordHash">

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Any text as a password to sign in with.
 *
 * @since 0.1.0
 * @category constructors
 * @example
 * ```ts
 * import { Password } from "effect-security"
 *
 * const password: Password.Password = Password.make("correct horse battery staple")
 *
 * console.log(`${password}`) // <redacted>
 * ```
 */
export const make = (value: string): Password => fromRedacted(Redacted.make(value))

/**
 * A secret from elsewhere, such as `Config.redacted`, as a password.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromRedacted = (value: Redacted.Redacted<string>): Password => value as Password

// -----------------------------------------------------------------------------
// Guards
// -----------------------------------------------------------------------------

const mayBeSet = (value: string): boolean => {
  if (!text.mayBePassword(value)) return false
  const codePoints = [...text.normalize(value)].length
  return codePoints >= 8 && codePoints <= 256
}

/**
 * Whether a password may be set; see `NewPassword` for the rule.
 *
 * @since 0.1.0
 * @category guards
 * @example
 * ```ts
 * import { Config, Effect } from "effect"
 * import { Password } from "effect-security"
 *
 * const adminPassword = Config.redacted("ADMIN_PASSWORD").pipe(
 *   Effect.map(Password.fromRedacted),
 *   Effect.filterOrFail(Password.isNewPassword, () => "ADMIN_PASSWORD needs 8 to 256 characters")
 * )
 * ```
 */
export const isNewPassword = (password: Password): password is NewPassword => mayBeSet(Redacted.value(password))

// -----------------------------------------------------------------------------
// Schemas
// -----------------------------------------------------------------------------

/** What stands in a parse error instead of the rejected value. It is on every side of a schema that can fail. */
const concealed = (expected: string) => ({ message: () => ({ message: `Expected ${expected}`, override: true }) })

const passwordSchema = <A extends Redacted.Redacted<string>>(options: {
  readonly title: string
  readonly expected: string
  readonly is: (value: string) => boolean
  readonly shortest: number
}): Schema.Schema<A, string> => {
  const message = concealed(options.expected)
  const encoded = Schema.String.annotations({
    ...message,
    jsonSchema: { type: "string", format: "password", description: options.expected }
  })
  const decoded = Schema.declare(
    (input): input is A => {
      if (!Redacted.isRedacted(input)) return false
      const value = Redacted.value(input)
      return typeof value === "string" && options.is(value)
    },
    {
      ...message,
      title: options.title,
      arbitrary: () => (fc) =>
        fc.string({ unit: "binary", minLength: options.shortest, maxLength: 64 }).filter(options.is).map((value) =>
          Redacted.make(value) as A
        ),
      equivalence: () => Redacted.getEquivalence(Equivalence.string),
      pretty: () => () => "<redacted>"
    }
  )
  return Schema.transform(encoded, decoded, {
    strict: true,
    decode: (value) => Redacted.make(value) as A,
    encode: Redacted.value
  }).annotations({ ...message, title: options.title })
}

/**
 * A password to sign in with, in a body: any well-formed string. It is decoded to a redacted value and encoded back to
 * the string, which a client derived from an `HttpApi` has to send.
 *
 * A parse error says what was expected and never repeats what it got, wherever in a body the schema stands. What other
 * schemas print is not in its hands: a union prints its input once for each member that is not a password, so use
 * `Schema.optionalWith(Password.Password, { exact: true })` rather than `Schema.optional`, and give `Schema.NullOr`
 * a `message` of its own; a struct that is handed a bare string prints that string.
 *
 * @since 0.1.0
 * @category schemas
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Password } from "effect-security"
 *
 * const Login = Schema.Struct({ email: Schema.String, password: Password.Password })
 *
 * const MaybePassword = Schema.NullOr(Password.Password).annotations({
 *   message: () => ({ message: "Expected a password or null", override: true })
 * })
 * ```
 */
export const Password: Schema.Schema<Password, string> = passwordSchema<Password>({
  title: "Password",
  expected: "a password of well-formed Unicode",
  is: text.isWellFormed,
  shortest: 0
})

/**
 * A password that somebody chooses, in a body: well-formed Unicode of 8 to 256 code points, counted after NFKC. It is
 * decoded, encoded and kept out of parse errors as `Password` is.
 *
 * @since 0.1.0
 * @category schemas
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Password } from "effect-security"
 *
 * const Signup = Schema.Struct({ email: Schema.String, password: Password.NewPassword })
 * ```
 */
export const NewPassword: Schema.Schema<NewPassword, string> = passwordSchema<NewPassword>({
  title: "NewPassword",
  expected: "a password of 8 to 256 characters",
  is: mayBeSet,
  shortest: 8
})

/**
 * A hash as it is stored: a PHC string of at most 512 characters with an algorithm, a salt and a hash. Whether a hasher
 * can verify it is the hasher's to say. A parse error does not repeat its input.
 *
 * @since 0.1.0
 * @category schemas
 */
export const PasswordHash: Schema.Schema<PasswordHash, string> = Schema.String.annotations(
  concealed("a PHC string")
).pipe(
  Schema.filter(phc.isPhc),
  Schema.brand("effect-security/PasswordHash"),
  Schema.annotations({ ...concealed("a PHC string"), title: "PasswordHash" })
)
