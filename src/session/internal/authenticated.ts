import type * as Cookies from "@effect/platform/Cookies"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import * as CookiePolicy from "../../http/CookiePolicy.js"
import * as ResponseJar from "../../http/ResponseJar.js"
import * as backend from "../../internal/backend.js"
import * as securityTag from "../../internal/securityTag.js"
import * as signIn from "../../internal/signIn.js"
import { NotAuthorized, SecurityUnavailable } from "../../SecurityError.js"
import * as SecurityEvents from "../../SecurityEvents.js"
import type { SessionRecord, SessionStore } from "../SessionStore.js"
import type * as SessionToken from "../SessionToken.js"
import { signedOut } from "./cookie.js"
import * as realms from "./realm.js"
import * as scheme from "./scheme.js"
import { contended, insistent } from "./sessions.js"
import * as settings from "./settings.js"

/** What a Layer over a store can do. */
interface Operations extends signIn.Operations {
  readonly update: (f: (session: any) => any) => signIn.OnRequest<void, any>
  readonly rotate: signIn.OnRequest<void, any>
  readonly sessions: signIn.OnRequest<ReadonlyArray<unknown>, any>
  readonly revoke: (id: SessionToken.SessionId) => signIn.OnRequest<void, any>
  readonly revokeAll: (options?: { readonly except?: "current" | undefined }) => signIn.OnRequest<void, any>
  readonly revokeSubject: (subject: string) => Effect.Effect<void, any>
}

/** The statics of a Tag through which its operations are reached. */
export const accessors = (id: string) => {
  const on = signIn.operation<Operations>(id)
  return {
    ...signIn.accessors(id),
    update: (f: (session: any) => any) => on("update", (update) => update(f)),
    rotate: on("rotate", (rotate) => rotate),
    sessions: on("sessions", (sessions) => sessions),
    revoke: (id: SessionToken.SessionId) => on("revoke", (revoke) => revoke(id)),
    revokeAll: (...args: Parameters<Operations["revokeAll"]>) => on("revokeAll", (revokeAll) => revokeAll(...args)),
    revokeSubject: (subject: string) => on("revokeSubject", (revokeSubject) => revokeSubject(subject))
  }
}

interface Options<R>
  extends Omit<securityTag.BackendOptions<any, R>, "carrier" | "security" | "verify">, settings.Settings
{
  readonly retrieveUser: (session: any) => Effect.Effect<Option.Option<any>, any, R>
}

const sessionRealm = (realm: signIn.Realm): scheme.Realm => ({ ...realm, session: realm.auth })

/** What is wrong with the options of a Layer. */
export const wrongOption = (realm: signIn.Realm, options: Options<any>): Option.Option<string> =>
  Option.orElse(
    Either.getLeft(settings.resolve(sessionRealm(realm), options)),
    () =>
      securityTag.wrongOption({
        ...options,
        security: scheme.security(realm.name, CookiePolicy.secureName(realm.cookie))
      })
  )

/** A backend and its operations, in which every session lives in the `SessionStore`. */
export const build = <R>(
  tag: Context.Tag<any, any>,
  realm: signIn.Realm,
  options: Options<R>
): Effect.Effect<Context.Context<any>, never, R | SessionStore | Scope> =>
  Effect.gen(function*() {
    const { ask, carrier, codec, cookie, observer, policy, sessions } = yield* realms.make(
      sessionRealm(realm),
      true,
      options
    )

    const refuse = (reason: string, cookies?: Cookies.Cookies) =>
      Effect.fail(
        new NotAuthorized({ reason, challenge: carrier.challenge.bad, vary: carrier.header, cookies })
      )

    const find = (token: SessionToken.SessionToken) =>
      Effect.flatMap(
        sessions.find(token),
        Option.match({
          onNone: () => refuse("UnknownSession"),
          onSome: Effect.succeed
        })
      )

    /** A record whose data no longer decodes ends here, once and for all. */
    const decodeOrEnd = (record: SessionRecord, request: HttpServerRequest) =>
      Effect.matchEffect(codec.decode(record), {
        // What one subject's session holds is never another's.
        onSuccess: (session) =>
          realm.subject(session) === record.subject
            ? Effect.succeed(session)
            : Effect.fail(new SecurityUnavailable({ reason: "the session store gave the data of another session" })),
        onFailure: (unreadable) =>
          unreadable === "Newer"
            ? refuse("NewerSession")
            : Effect.zipRight(
              sessions.end(record.id),
              Effect.flatMap(cookie.refuse(request), (cookies) => refuse("UndecodableSession", cookies))
            )
      })

    const verify = (token: SessionToken.SessionToken, purpose: backend.Purpose) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest
        const record = yield* find(token)
        const session = yield* decodeOrEnd(record, request)
        if (purpose === "enter") {
          yield* sessions.renew(record)
        }
        return Option.map(yield* options.retrieveUser(session), (user) => ({ user, auth: session }))
      })

    const context = yield* securityTag.build(tag, {
      ...options,
      carrier,
      security: scheme.security(realm.name, policy.name),
      verify
    })
    const implementation = securityTag.implementation(context, tag)

    // Each operation finds the session of its request anew: what was remembered may be old.
    const current = Effect.flatMap(HttpServerRequest, (request) =>
      backend.present(carrier, options, observer, request).pipe(
        // Whatever a session is asked for is a use of it.
        Effect.flatMap((token) =>
          ask(Effect.tap(find(token), sessions.renew))
        ),
        Effect.map((record) => {
          ResponseJar.get(request).isPrivate = true
          return { record, subject: record.subject!, request }
        })
      ))

    const revoked = (
      subject: string,
      credential: Option.Option<SessionToken.SessionId>,
      except: Option.Option<SessionToken.SessionId> = Option.none()
    ) => observer.publish((fields) => new SecurityEvents.Revoked({ ...fields, subject, credential, except }))

    const begin = (session: any, replaced: Option.Option<SessionToken.SessionId>, userAgent: string, {
      remember = true,
      verifiedAt
    }: signIn.LoginOptions = {}) =>
      Effect.flatMap(codec.encode(session), (encoded) =>
        sessions.begin({
          encoded,
          subject: realm.subject(session),
          verifiedAt: verifiedAt?.epochMillis,
          remember,
          userAgent,
          replaced
        })).pipe(Effect.catchTag("SessionRefused", () => refuse("Revoked")))

    const login: Operations["login"] = (session, loginOptions) =>
      cookie.writing((request) =>
        Effect.gen(function*() {
          const subject = realm.subject(session)
          const held = yield* begin(
            session,
            Option.map(cookie.tokenOf(request), sessions.idOf),
            request.headers["user-agent"] ?? "",
            loginOptions
          )
          yield* cookie.grant(request, held, false)
          yield* observer.publish((fields) =>
            new SecurityEvents.SignedIn({ ...fields, subject, credential: Option.some(held.record.id) })
          )
          yield* Effect.forEach(held.evicted, (id) => revoked(subject, Option.some(id)), { discard: true })
        })
      )

    const logout = cookie.writing((request) =>
      Option.match(cookie.tokenOf(request), {
        onNone: () => Effect.void,
        onSome: (token) =>
          Effect.gen(function*() {
            const id = sessions.idOf(token)
            // Asked only for the sake of the event: nobody writes into an audit log with a token that is none.
            const isLive = Option.isSome(yield* ask(sessions.find(token)))
            yield* ask(sessions.end(id))
            yield* isLive ? signedOut(observer, id) : Effect.void
          })
      }).pipe(
        Effect.zipRight(cookie.clear(request)),
        Effect.asVoid
      )
    )

    const update: Operations["update"] = (f) =>
      contended(Effect.gen(function*() {
        const { record, request, subject } = yield* current
        const session = f(yield* ask(decodeOrEnd(record, request)))
        if (realm.subject(session) !== subject) {
          return yield* Effect.dieMessage(`${realm.id}: update does not change the subject of a session; login does`)
        }
        if ((yield* sessions.change(record, yield* codec.encode(session))) === "changed") {
          implementation.forget(request)
        }
      }))

    const rotate = cookie.writing((request) =>
      insistent(Effect.gen(function*() {
        const { record, subject } = yield* current
        yield* ask(decodeOrEnd(record, request))
        const held = yield* sessions.rotate(record)
        yield* cookie.grant(request, held, cookie.isAlwaysGranted(request))
        yield* observer.publish((fields) =>
          new SecurityEvents.Rotated({
            ...fields,
            subject,
            credential: Option.some(held.record.id),
            replaced: Option.some(record.id)
          })
        )
      })).pipe(
        Effect.catchTag("SessionConflict", () => new SecurityUnavailable({ reason: "the session changes too often" }))
      )
    )

    const list = Effect.flatMap(current, ({ record, subject }) =>
      Effect.map(ask(sessions.list(subject)), (records) =>
        records
          .map((other) => ({
            id: other.id,
            createdAt: DateTime.unsafeMake(other.createdAt),
            lastSeenAt: DateTime.unsafeMake(other.lastSeenAt),
            expiresAt: DateTime.unsafeMake(Math.min(other.idleDeadline, other.absoluteDeadline)),
            userAgent: other.userAgent,
            isCurrent: other.id === record.id
          }))
          .sort((a, b) =>
            b.createdAt.epochMillis - a.createdAt.epochMillis
          )))

    const revoke: Operations["revoke"] = (id) =>
      Effect.gen(function*() {
        const { record, request, subject } = yield* current
        if (Option.isSome(yield* ask(sessions.findOf(subject, id)))) {
          yield* ask(sessions.end(id))
          yield* revoked(subject, Option.some(id))
          if (id === record.id) {
            yield* cookie.clear(request)
          }
        }
      })

    const revokeAll: Operations["revokeAll"] = (revokeOptions) =>
      Effect.gen(function*() {
        const { record, request, subject } = yield* current
        const except = revokeOptions?.except === "current" ? Option.some(record.id) : Option.none()
        yield* ask(sessions.endAll(subject, except))
        yield* revoked(subject, Option.none(), except)
        if (Option.isNone(except)) {
          yield* cookie.clear(request)
        }
      })

    const revokeSubject: Operations["revokeSubject"] = (subject) =>
      Effect.zipRight(ask(sessions.endAll(subject, Option.none())), revoked(subject, Option.none()))

    const operations: Operations = {
      login,
      logout,
      update,
      rotate,
      sessions: list,
      revoke,
      revokeAll,
      revokeSubject,
      mint: (session) =>
        Effect.map(
          begin(session, Option.none(), ""),
          ({ token }) => ({ header: "cookie", value: `${policy.name}=${Redacted.value(token)}` })
        )
    }
    return Context.add(context, Context.GenericTag<any, Operations>(signIn.supportsKey(realm.id)), operations)
  })
