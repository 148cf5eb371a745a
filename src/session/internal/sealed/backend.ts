import type * as Cookies from "@effect/platform/Cookies"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as CookiePolicy from "../../../http/CookiePolicy.js"
import * as ResponseJar from "../../../http/ResponseJar.js"
import * as backend from "../../../internal/backend.js"
import * as observe from "../../../internal/observe.js"
import * as securityTag from "../../../internal/securityTag.js"
import * as signIn from "../../../internal/signIn.js"
import { defaultTimeout, wait } from "../../../internal/wait.js"
import { NotAuthorized, SecurityConfigError, SecurityUnavailable } from "../../../SecurityError.js"
import * as SecurityEvents from "../../../SecurityEvents.js"
import type * as SessionEpoch from "../../SessionEpoch.js"
import * as codecs from "../codec.js"
import * as scheme from "../scheme.js"
import { insistent } from "../sessions.js"
import * as settings from "../settings.js"
import * as sealedCookies from "./cookies.js"
import * as sealedEpochs from "./epochs.js"
import * as keys from "./keys.js"
import type { Payload } from "./payload.js"
import * as sealers from "./sealer.js"
import * as sealedSessions from "./sessions.js"

export interface Options<R>
  extends Omit<securityTag.BackendOptions<any, R>, "carrier" | "security" | "verify">, settings.Settings
{
  readonly retrieveUser: (session: any) => Effect.Effect<Option.Option<any>, any, R>
  readonly keys: keys.Given
}

/** What a Layer over sealed cookies can do, and what it can do besides where there are epochs. */
interface Operations extends signIn.Operations {
  readonly update: (f: (session: any) => any) => signIn.OnRequest<void, any>
  readonly rotate: signIn.OnRequest<void, any>
}

interface Revocable extends Operations {
  readonly revokeAll: (options?: { readonly except?: "current" | undefined }) => signIn.OnRequest<void, any>
  readonly revokeSubject: (subject: string) => Effect.Effect<void, any>
}

/** What is wrong with the settings of a Layer, besides its keys. */
export const wrongOption = (
  realm: signIn.Realm,
  options: settings.Settings
): Option.Option<string> =>
  Option.orElse(
    Either.getLeft(settings.resolve({ ...realm, session: realm.auth }, options)),
    () =>
      securityTag.wrongOption({
        ...options,
        security: scheme.security(realm.name, CookiePolicy.secureName(realm.cookie))
      })
  )

/** A backend and its operations, in which every session lives in the cookies of its client. */
export const build = <R>(
  tag: Context.Tag<any, any>,
  options: Options<R>,
  epochService: Option.Option<SessionEpoch.Service>
): Effect.Effect<Context.Context<any>, SecurityConfigError, R | Scope> =>
  Effect.gen(function*() {
    const realm = signIn.realmOf(tag)
    const { lifetime, policy } = yield* Either.match(settings.resolve({ ...realm, session: realm.auth }, options), {
      onLeft: (sentence) => Effect.dieMessage(`${realm.id}: ${sentence}`),
      onRight: Effect.succeed
    })
    const ring = yield* Either.match(keys.parseAll(options.keys), {
      onLeft: (sentence) => Effect.fail(new SecurityConfigError({ reason: `${realm.id}: ${sentence}` })),
      onRight: Effect.succeed
    })
    const limit = Duration.decode(options.timeout ?? defaultTimeout)
    const observer = yield* observe.make(realm.id, options.spans ?? false)
    const codec = codecs.make({ ...realm, session: realm.auth })
    const signedOut = observer.publish((fields) =>
      new SecurityEvents.SignedOut({ ...fields, credential: Option.none() })
    )
    const cookies = sealedCookies.make({
      realm: realm.id,
      policy,
      crossSite: options,
      observer,
      onWithheld: signedOut
    })
    const { carrier } = cookies
    const epochs = Option.map(epochService, (service) =>
      sealedEpochs.make({
        realm: realm.id,
        service,
        observer,
        ask: (self) => wait(self, "the session epoch", limit)
      }))
    const sessions = sealedSessions.make({
      sealer: sealers.make(ring, `${realm.id}\0${policy.name}`),
      lifetime,
      epochs
    })

    const refuse = (reason: string, cleared?: Cookies.Cookies) =>
      Effect.fail(
        new NotAuthorized({ reason, challenge: carrier.challenge.bad, vary: carrier.header, cookies: cleared })
      )

    /** What was ours and is over goes from the client too. */
    const end = (request: HttpServerRequest, text: string, reason: string) =>
      Effect.flatMap(cookies.refuse(request, text), (cleared) => refuse(reason, cleared))

    const why = (
      request: HttpServerRequest,
      text: string,
      ended: sealedSessions.Ended
    ): Effect.Effect<never, NotAuthorized | SecurityUnavailable> => {
      switch (ended) {
        case "Unopened":
          return refuse("InvalidCredential")
        case "Expired":
          return end(request, text, "ExpiredSession")
        // A parallel response may just have granted the session that was spared.
        case "Revoked":
          return refuse("Revoked")
        default:
          return Effect.fail(ended)
      }
    }

    const reading = (
      unseal: (text: string) => Effect.Effect<sealedSessions.Opened, sealedSessions.Ended>
    ) =>
    (request: HttpServerRequest, text: string) =>
      Effect.flatMap(
        Effect.catchAll(unseal(text), (ended) => why(request, text, ended)),
        (opened) =>
          Effect.matchEffect(codec.decode(opened.payload), {
            onSuccess: (session) =>
              realm.subject(session) === opened.payload.subject
                ? Effect.succeed({ opened, session, text })
                : end(request, text, "UndecodableSession"),
            onFailure: (unreadable) =>
              unreadable === "Newer" ? refuse("NewerSession") : end(request, text, "UndecodableSession")
          })
      )
    const open = reading(sessions.open)
    const reopen = reading(sessions.unseal)

    const verify = (text: string, purpose: backend.Purpose) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest
        const { opened, session } = yield* open(request, text)
        const user = yield* options.retrieveUser(session)
        // A read changes nothing of a session, and what another fiber has granted meanwhile stays.
        if (purpose === "enter" && Option.isSome(user) && (yield* sessions.isDue(opened))) {
          const granted = yield* sessions.seal(yield* sessions.use(opened.payload))
          yield* cookies.replaceIfPossible(request, text, granted)
        }
        return Option.map(user, (user) => ({ user, auth: session }))
      })

    const context: Context.Context<any> = yield* securityTag.build(tag, {
      ...options,
      carrier,
      security: scheme.security(realm.name, policy.name),
      verify
    })

    const present = (request: HttpServerRequest) => backend.present(carrier, options, observer, request)

    // Each operation opens what its request holds by now: what was remembered may be old.
    const current = (request: HttpServerRequest) =>
      present(request).pipe(
        Effect.flatMap((text) => wait(open(request, text), "the session", limit)),
        Effect.tap(() => {
          ResponseJar.get(request).isPrivate = true
        })
      )

    /**
     * Seals what a request holds by now anew, as `change` makes it, or leaves it: what came with the request has been
     * opened before, and what it was granted since is ours. Only a schema that waits lets another fiber come between.
     */
    const reseal = <E extends { readonly _tag: string }>(
      request: HttpServerRequest,
      change: (
        opened: sealedSessions.Opened,
        session: any
      ) => Effect.Effect<Option.Option<Partial<Payload>>, E>
    ) =>
      insistent(sealedCookies.atOnce(Effect.gen(function*() {
        const { opened, session, text } = yield* Effect.flatMap(present(request), (text) => reopen(request, text))
        const changed = yield* change(opened, session)
        if (Option.isSome(changed)) {
          const used = yield* sessions.use(opened.payload)
          yield* cookies.replace(request, text, yield* sessions.seal({ ...used, ...changed.value }))
        }
      })))

    /** The same for what makes no session longer. */
    const resealSameSize = (...args: Parameters<typeof reseal<never>>) =>
      Effect.catchTags(reseal(...args), {
        SessionConflict: () => new SecurityUnavailable({ reason: "the session changes too often" }),
        CookieTooLarge: ({ message }) => new SecurityUnavailable({ reason: message })
      })

    const begin = (session: any, { remember = true, verifiedAt }: signIn.LoginOptions = {}) =>
      codec.encode(session).pipe(
        Effect.flatMap((encoded) =>
          sessions.begin({ encoded, subject: realm.subject(session), verifiedAt: verifiedAt?.epochMillis, remember })
        ),
        Effect.catchTag("SessionRefused", () => refuse("Revoked")),
        Effect.flatMap(sessions.seal)
      )

    const login: Operations["login"] = (session, loginOptions) =>
      cookies.writing((request) =>
        Effect.gen(function*() {
          const granted = yield* begin(session, loginOptions)
          yield* cookies.grant(request, granted, false)
          yield* observer.publish((fields) =>
            new SecurityEvents.SignedIn({ ...fields, subject: realm.subject(session), credential: Option.none() })
          )
        })
      )

    const logout = cookies.writing((request) => {
      const read = carrier.read(request)
      // Opened only for the sake of the event: nobody writes into an audit log with a cookie that is none.
      const wasLive = read._tag === "Found"
        ? Effect.isSuccess(sessions.open(read.value))
        : Effect.succeed(false)
      return Effect.zipRight(
        Effect.flatMap(wasLive, (wasLive) => wasLive ? signedOut : Effect.void),
        Effect.asVoid(cookies.clear(request))
      )
    })

    const update: Operations["update"] = (f) =>
      cookies.writing((request) =>
        Effect.zipRight(
          current(request),
          reseal(request, (opened, session) =>
            Effect.gen(function*() {
              const { payload } = opened
              const next = f(session)
              if (realm.subject(next) !== payload.subject) {
                return yield* Effect.dieMessage(
                  `${realm.id}: update does not change the subject of a session; login does`
                )
              }
              const encoded = yield* codec.encode(next)
              const isSame = encoded.data === payload.data && encoded.schemaVersion === payload.schemaVersion
              return isSame && !(yield* sessions.isDue(opened)) ? Option.none() : Option.some(encoded)
            }))
        )
      )

    const rotate = cookies.writing((request) =>
      Effect.gen(function*() {
        const { opened: { payload } } = yield* current(request)
        yield* resealSameSize(request, () => Effect.succeed(Option.some({})))
        yield* observer.publish((fields) =>
          new SecurityEvents.Rotated({
            ...fields,
            subject: payload.subject,
            credential: Option.none(),
            replaced: Option.none()
          })
        )
      })
    )

    const operations: Operations = {
      login,
      logout,
      update,
      rotate,
      mint: (session) =>
        Effect.map(
          Effect.flatMap(begin(session), cookies.headerOf),
          (value) => ({ header: "cookie", value })
        )
    }
    const supports = Context.GenericTag<any, Operations>(signIn.supportsKey(realm.id))
    if (Option.isNone(epochs)) {
      return Context.add(context, supports, operations)
    }

    const revoked = (subject: string) =>
      observer.publish((fields) =>
        new SecurityEvents.Revoked({ ...fields, subject, credential: Option.none(), except: Option.none() })
      )

    /** What the request holds lives on in the new epoch, unless it signed out or in as somebody else meanwhile. */
    const spare = (request: HttpServerRequest, subject: string, epoch: number) =>
      resealSameSize(request, ({ payload }) =>
        Effect.succeed(
          payload.subject === subject && payload.epoch < epoch ? Option.some({ epoch }) : Option.none()
        )).pipe(
          Effect.catchTag("NotAuthorized", () => Effect.void)
        )

    const revokeAll: Revocable["revokeAll"] = (revokeOptions) =>
      cookies.writing((request) =>
        Effect.gen(function*() {
          const { opened: { payload: { subject } } } = yield* current(request)
          const epoch = yield* sessions.endAll(epochs.value, subject)
          yield* revoked(subject)
          yield* revokeOptions?.except === "current" ? spare(request, subject, epoch) : cookies.clear(request)
        })
      )

    const revocable: Revocable = {
      ...operations,
      revokeAll,
      revokeSubject: (subject) => Effect.zipRight(sessions.endAll(epochs.value, subject), revoked(subject))
    }
    return Context.add(context, supports, revocable)
  })
