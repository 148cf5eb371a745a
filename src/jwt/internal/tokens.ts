import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ResponseJar from "../../http/ResponseJar.js"
import type * as backend from "../../internal/backend.js"
import type { Observer } from "../../internal/observe.js"
import * as securityTag from "../../internal/securityTag.js"
import * as signIn from "../../internal/signIn.js"
import { defaultTimeout, wait } from "../../internal/wait.js"
import { NotAuthorized } from "../../SecurityError.js"
import type { CookieTooLarge, CrossSiteRejected } from "../../SecurityError.js"
import * as SecurityEvents from "../../SecurityEvents.js"
import * as Jwt from "../Jwt.js"
import { JwtKeys } from "../JwtKeys.js"
import type { Algorithms, KeyRing } from "../JwtKeys.js"

// -----------------------------------------------------------------------------
// Where a token is
// -----------------------------------------------------------------------------

/** Where a backend reads its token. */
export interface Place {
  readonly carrier: backend.Carrier<string>
  readonly security: securityTag.BackendOptions<string, never>["security"]
}

/** Where it also grants and ends one. */
export interface WritablePlace extends Place {
  readonly observer: Observer
  /** Runs what writes: never too late, never half. */
  readonly writing: <A, E>(
    f: (request: HttpServerRequest) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | CrossSiteRejected, HttpServerRequest>
  /** Gives the client a token; `undo` says that the response did not grant it after all. */
  readonly grant: (
    request: HttpServerRequest,
    issued: Jwt.Issued,
    options: { readonly remember: boolean; readonly undo: Effect.Effect<void> }
  ) => Effect.Effect<void, CookieTooLarge>
  /** Has the client forget its token, as far as a response can. */
  readonly end: (request: HttpServerRequest) => Effect.Effect<void>
  /** The header by which a client presents a token. */
  readonly headerOf: (token: Redacted.Redacted) => { readonly header: string; readonly value: string }
}

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

/** What every Layer over tokens takes, whatever carries them. */
export interface Options<R> extends Omit<securityTag.BackendOptions<string, R>, "carrier" | "security" | "verify"> {
  readonly retrieveUser: (auth: any, token: Jwt.Token) => Effect.Effect<Option.Option<any>, any, R>
}

/** What stands behind `Supports` where a token is only read. */
export interface Reading {
  readonly token: signIn.OnRequest<Jwt.Token, any>
}

/** A backend whose credential is a token. */
export const build = <R>(
  tag: Context.Tag<any, any>,
  verifier: Jwt.Verifier<any>,
  { carrier, security }: Place,
  options: Options<R>,
  /** Whether tokens are signed here too: then who is named twice, by `sub` and by the claims, is named once. */
  isOwn: boolean
) =>
  Effect.gen(function*() {
    // Whoever authenticates gets `user` and `auth`; what the token says besides is kept for those who ask for it.
    const tokens = new WeakMap<object, Jwt.Token>()
    const realm = signIn.realmOf(tag)
    const isOf = (claims: any, subject: string) => !isOwn || realm.subject(claims) === subject
    const verify = (text: string) =>
      Effect.flatMap(
        verifier.verify(Redacted.make(text)),
        ({ claims, token }) =>
          !isOf(claims, token.subject) ? Effect.fail(new NotAuthorized({ reason: "InvalidClaims" })) : Effect.map(
            options.retrieveUser(claims, token),
            Option.map((user) => {
              const found = { user, auth: claims }
              tokens.set(found, token)
              return found
            })
          )
      )
    const context: Context.Context<any> = yield* securityTag.build(tag, { ...options, carrier, security, verify })
    const { authenticate } = securityTag.implementation(context, tag)
    const reading: Reading = {
      token: Effect.flatMap(authenticate, (found) => Effect.orDie(Effect.fromNullable(tokens.get(found))))
    }
    return { context, reading }
  })

/** A context in which a Layer can do these operations. */
export const supporting = (
  context: Context.Context<any>,
  id: string,
  operations: object
): Context.Context<any> => Context.add(context, Context.GenericTag<any, object>(signIn.supportsKey(id)), operations)

/** A backend that reads the tokens of others. */
export const readOnly = <E, R>(
  tag: Context.Tag<any, any>,
  options: Options<R> & { readonly verifier: Effect.Effect<Jwt.Verifier<any>, E, R> },
  place: Place
) =>
  Effect.gen(function*() {
    const { context, reading } = yield* build(tag, yield* options.verifier, place, options, false)
    return supporting(context, tag.key, reading)
  })

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

/** What stands behind `Supports` where tokens are granted. */
export interface Writing extends Reading, signIn.Operations {
  readonly issue: (auth: any, options?: Omit<Jwt.SignOptions, "subject">) => Effect.Effect<Jwt.Issued, any>
}

/** The operations over tokens that are granted in a place. */
const operations = (
  { carrier, end, grant, headerOf, observer, writing }: WritablePlace,
  { limit, reading, realm, signer, verifier }: {
    readonly limit: Duration.Duration
    readonly reading: Reading
    readonly realm: signIn.Realm
    readonly signer: Jwt.Signer<any>
    readonly verifier: Jwt.Verifier<any>
  }
): Writing => {
  const ask = <A, E>(self: Effect.Effect<A, E>) => wait(self, "the key ring", limit)

  const sign = (auth: any, options: Omit<Jwt.SignOptions, "subject"> = {}) =>
    Effect.suspend(() => signer.sign(auth, { ...options, subject: realm.subject(auth) }))

  const signedIn = (auth: any, { id }: Jwt.Issued) =>
    observer.publish((fields) =>
      new SecurityEvents.SignedIn({ ...fields, subject: realm.subject(auth), credential: Option.some(id) })
    )

  const signedOut = (credential: Option.Option<string>) =>
    observer.publish((fields) => new SecurityEvents.SignedOut({ ...fields, credential }))

  /** A password that was verified long ago may have been changed since. */
  const refuseOld = (request: HttpServerRequest, verifiedAt: signIn.LoginOptions["verifiedAt"]) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (verifiedAt === undefined || now - verifiedAt.epochMillis < signIn.maxVerificationAge) {
        return Effect.void
      }
      const jar = ResponseJar.get(request)
      const challenge = carrier.challenge.bad
      jar.vary.add(carrier.header)
      jar.challenge = challenge
      return Effect.fail(new NotAuthorized({ reason: "Revoked", challenge, vary: carrier.header }))
    })

  return {
    ...reading,
    login: (auth, { remember = true, verifiedAt } = {}) =>
      writing((request) =>
        Effect.gen(function*() {
          yield* refuseOld(request, verifiedAt)
          const issued = yield* sign(auth, { authenticatedAt: verifiedAt })
          yield* grant(request, issued, { remember, undo: signedOut(Option.some(issued.id)) })
          yield* signedIn(auth, issued)
        })
      ),
    logout: writing((request) => {
      const credential = carrier.read(request)
      // Verified only for the sake of the event: nobody writes into an audit log with a token that is none.
      const token = credential._tag === "Found"
        ? Effect.option(ask(verifier.verify(Redacted.make(credential.value))))
        : Effect.succeedNone
      return Effect.zipRight(
        Effect.flatMap(
          token,
          Option.match({
            onNone: () => Effect.void,
            onSome: ({ token }) => signedOut(token.id)
          })
        ),
        end(request)
      )
    }),
    issue: (auth, options) => Effect.tap(sign(auth, options), (issued) => signedIn(auth, issued)),
    mint: (auth) => Effect.map(sign(auth), ({ token }) => headerOf(token))
  }
}

/**
 * A ring whose keys sign in time or not at all. What is asked of them may be an outage; what is wrong with the claims
 * that they are to sign is a mistake of the program, and stays one.
 */
const waited = (ring: KeyRing, limit: Duration.Duration): KeyRing => {
  const ask = <A, E>(self: Effect.Effect<A, E>) => wait(self, "the key ring", limit)
  return {
    ...ring,
    keys: Effect.map(ask(ring.keys), ({ generation, keys }) => ({
      generation,
      // A key may be an object of any class.
      keys: keys.map((key) => ({
        kid: key.kid,
        algorithms: key.algorithms,
        until: key.until,
        publicJwk: key.publicJwk,
        verify: (token, algorithm) => key.verify(token, algorithm),
        sign: key.sign === undefined
          ? undefined
          : (header, payload) => ask(Effect.suspend(() => key.sign!(header, payload)))
      }))
    }))
  }
}

/** What a Layer says of its tokens, which the Tag does not. */
interface TokenOptions extends Omit<Jwt.SignerOptions<any>, "claims"> {
  readonly algorithms: Algorithms
}

/** A backend that reads and grants tokens in one place. */
export const make = <E, R>(
  tag: Context.Tag<any, any>,
  options: Options<R> & TokenOptions,
  makePlace: Effect.Effect<WritablePlace, E>
) =>
  Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const place = yield* makePlace
    const limit = Duration.decode(options.timeout ?? defaultTimeout)
    const verifier = yield* Jwt.verifier({ ...options, realm: realm.id, claims: realm.auth })
    const signer = yield* Effect.provideService(
      Jwt.signer({ ...options, realm: realm.id, claims: realm.auth }),
      JwtKeys,
      waited(yield* JwtKeys, limit)
    )
    const { context, reading } = yield* build(tag, verifier, place, options, true)
    return {
      context,
      operations: operations(place, { limit, reading, realm, signer, verifier })
    }
  })
