/**
 * The attributes of cookies that carry a credential (RFC 6265bis, OWASP ASVS 3.3). Name, domain, path and SameSite
 * belong to a Tag, whether the cookie is Secure belongs to its Layer.
 *
 * @since 0.1.0
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Either from "effect/Either"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * - `name`: default `__Host-session`, or `__Secure-session` when a `domain` or another `path` is given
 * - `domain`: default none, so that only the very host gets the cookie
 * - `path`: default `/`
 * - `sameSite`: default `lax`
 *
 * `HttpOnly` is always set. `Secure` is set unless the Layer says `insecureCookie`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly name?: string | undefined
  readonly domain?: string | undefined
  readonly path?: `/${string}` | undefined
  readonly sameSite?: "lax" | "strict" | "none" | undefined
}

/**
 * The sentence by which the compiler refuses options that no browser would accept, or `unknown` when they are sound.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Check<O> = [Extract<keyof O, "insecure" | "secure">] extends [never]
  ? [Exclude<keyof O, keyof Options>] extends [never] ? CheckPrefix<O>
  : `A cookie has no option \`${Exclude<keyof O, keyof Options> & string}\``
  : "Whether the cookie is Secure belongs to the Layer: `insecureCookie`"

/**
 * Browsers compare the prefix without regard to case.
 *
 * @since 0.1.0
 * @category type-level
 */
export type CheckPrefix<O> = O extends { readonly name: infer Name extends string }
  ? [Extract<Lowercase<Name>, `__host-${string}`>] extends [never] ? unknown
  : O extends { readonly domain: infer Domain } ? [Domain] extends [undefined] ? CheckPath<O>
    : "A cookie named `__Host-...` has no domain (RFC 6265bis section 4.1.3.2)"
  : CheckPath<O>
  : unknown

/**
 * @since 0.1.0
 * @category type-level
 */
export type CheckPath<O> = O extends { readonly path: infer Path } ? [Path] extends ["/" | undefined] ? unknown
  : "A cookie named `__Host-...` has the path `/` (RFC 6265bis section 4.1.3.2)"
  : unknown

// -----------------------------------------------------------------------------
// Policy
// -----------------------------------------------------------------------------

/**
 * The policy in force.
 *
 * @since 0.1.0
 * @category models
 */
export interface CookiePolicy {
  readonly name: string
  readonly attributes: NonNullable<Cookies.Cookie["options"]>
}

// Browsers compare prefixes without regard to case.
const prefix = /^__(?:Host|Secure)-/i
const hostPrefix = /^__Host-/i

/**
 * The name that a secure deployment uses.
 *
 * @since 0.1.0
 * @category accessors
 */
export const secureName = (options: Options): string =>
  options.name ??
    (options.domain === undefined && (options.path ?? "/") === "/" ? "__Host-session" : "__Secure-session")

/**
 * The name that a deployment over plain http uses: without a prefix, which browsers would refuse there.
 *
 * @since 0.1.0
 * @category accessors
 */
export const insecureName = (options: Options): string => secureName(options).replace(prefix, "")

/**
 * Resolves the options of a Tag. `insecure` drops `Secure` and the prefix of the name, for plain http in development; a
 * secure deployment never reads that name. Left is what is wrong with options that types cannot check.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options, insecure: boolean): Either.Either<CookiePolicy, string> => {
  const name = secureName(options)
  const attributes: NonNullable<Cookies.Cookie["options"]> = {
    httpOnly: true,
    secure: !insecure,
    sameSite: options.sameSite ?? "lax",
    path: options.path ?? "/",
    ...(options.domain === undefined ? {} : { domain: options.domain })
  }
  if (hostPrefix.test(name) && (options.domain !== undefined || attributes.path !== "/")) {
    return Either.left(`cookie.name: ${name} has neither a domain nor a path other than /`)
  }
  if (insecure && attributes.sameSite === "none") {
    return Either.left("insecureCookie: browsers refuse SameSite=None without Secure")
  }
  const policy = { name: insecure ? insecureName(options) : name, attributes }
  return Either.mapBoth(Cookies.makeCookie(policy.name, "", attributes), {
    onLeft: (error) => `cookie: ${error.reason}`,
    onRight: () => policy
  })
}

// -----------------------------------------------------------------------------
// Cookies
// -----------------------------------------------------------------------------

/**
 * A cookie that carries a credential. `maxAge` is in whole seconds; without it the cookie ends with the browser.
 * `value` holds no character that a cookie could not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const grant = (self: CookiePolicy, value: string, maxAge: number | undefined): Cookies.Cookie =>
  Cookies.unsafeMakeCookie(
    self.name,
    value,
    maxAge === undefined ? self.attributes : { ...self.attributes, maxAge: maxAge * 1000 }
  )

/**
 * The cookie that makes a browser forget the credential: the same attributes, no value, already expired.
 *
 * @since 0.1.0
 * @category constructors
 */
export const clear = (self: CookiePolicy): Cookies.Cookie =>
  Cookies.unsafeMakeCookie(self.name, "", { ...self.attributes, maxAge: 0, expires: new Date(0) })
