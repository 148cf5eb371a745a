import * as Cookies from "@effect/platform/Cookies"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import * as CookiePolicy from "../../http/CookiePolicy.js"
import * as ResponseJar from "../../http/ResponseJar.js"
import * as backend from "../../internal/backend.js"
import * as securityTag from "../../internal/securityTag.js"
import * as tagClass from "../../internal/tagClass.js"
import { defaultTimeout, wait } from "../../internal/wait.js"
import { NotAuthorized, SecurityUnavailable, SessionConflict, SessionTooLarge } from "../../SecurityError.js"
import { SessionRecord, SessionStore } from "../SessionStore.js"
import * as SessionToken from "../SessionToken.js"
import * as sessionPolicy from "./policy.js"
import * as sessionScheme from "./scheme.js"

type Request = HttpServerRequest.HttpServerRequest
type OnRequest<A, E> = Effect.Effect<A, E, Request>

/** What stands behind `Supports`: a Layer that cannot do one of these does not have it, and its type says so. */
interface Operations {
  readonly login: (
    session: any,
    options?: { readonly remember?: boolean | undefined; readonly verifiedAt?: DateTime.Utc | undefined }
  ) => OnRequest<void, any>
  readonly logout: OnRequest<void, any>
  readonly update: (f: (session: any) => any) => OnRequest<void, any>
  readonly rotate: OnRequest<void, any>
  readonly sessions: OnRequest<ReadonlyArray<unknown>, any>
  readonly revoke: (id: SessionToken.SessionId) => OnRequest<void, any>
  readonly revokeAll: (options?: { readonly except?: "current" | undefined }) => OnRequest<void, any>
  readonly revokeSubject: (subject: string) => Effect.Effect<void, any>
}

const supportsKey = (id: string) => `${id}/Supports`

/** The statics of a Tag through which its operations are reached. */
export const accessors = (id: string) => {
  const tag: Context.Tag<any, Operations> = tagClass.make(supportsKey(id), 2)
  const operation = <A, E>(f: (operations: Operations) => Effect.Effect<A, E, Request>) => Effect.flatMap(tag, f)
  return {
    login: (...args: Parameters<Operations["login"]>) => operation((_) => _.login(...args)),
    logout: operation((_) => _.logout),
    update: (f: (session: any) => any) => operation((_) => _.update(f)),
    rotate: operation((_) => _.rotate),
    sessions: operation((_) => _.sessions),
    revoke: (id: SessionToken.SessionId) => operation((_) => _.revoke(id)),
    revokeAll: (...args: Parameters<Operations["revokeAll"]>) => operation((_) => _.revokeAll(...args)),
    revokeSubject: (subject: string) => operation((_) => _.revokeSubject(subject))
  }
}

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

interface Options<R> extends Omit<securityTag.BackendOptions<any, R>, "carrier" | "security" | "verify"> {
  readonly retrieveUser: (session: any) => Effect.Effect<Option.Option<any>, any, R>
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly absoluteTimeout?: Duration.DurationInput | undefined
  readonly maxPerUser?: number | undefined
  readonly insecureCookie?: boolean | undefined
}

const dataLimit = 16 * 1024
const userAgentLimit = 256
const tries = 16

const positiveMillis = (duration: Duration.DurationInput): Option.Option<number> =>
  Option.filter(
    Option.map(Duration.decodeUnknown(duration), (duration) => Math.floor(Duration.toMillis(duration))),
    (millis) => millis > 0 && Number.isSafeInteger(millis)
  )

/** The settings in force; left names an option whose value is wrong in a way that its type cannot say. */
const resolve = (realm: sessionScheme.Realm, options: Options<any>) =>
  Either.gen(function*() {
    const policy = yield* CookiePolicy.make(realm.cookie, options.insecureCookie ?? false)
    const positive = (name: "idleTimeout" | "absoluteTimeout", fallback: Duration.DurationInput) =>
      Either.fromOption(positiveMillis(options[name] ?? fallback), () => `${name} is a positive, finite duration`)
    const lifetime: sessionPolicy.Lifetime = {
      idle: yield* positive("idleTimeout", "7 days"),
      absolute: yield* positive("absoluteTimeout", "30 days")
    }
    const maxPerUser = options.maxPerUser ?? 100
    return Number.isSafeInteger(maxPerUser) && maxPerUser > 0
      ? { policy, lifetime, maxPerUser }
      : yield* Either.left("maxPerUser is a positive whole number")
  })

/** What is wrong with the options of a Layer. */
export const wrongOption = (realm: sessionScheme.Realm, options: Options<any>): Option.Option<string> =>
  Option.orElse(
    Either.getLeft(resolve(realm, options)),
    () =>
      securityTag.wrongOption({
        ...options,
        security: sessionScheme.security(realm.name, CookiePolicy.secureName(realm.cookie))
      })
  )

// -----------------------------------------------------------------------------
// Backend and operations over a store
// -----------------------------------------------------------------------------

/** A backend and its operations, in which every session lives in the `SessionStore`. */
export const build = <R>(
  tag: Context.Tag<any, any>,
  realm: sessionScheme.Realm,
  options: Options<R>
): Effect.Effect<Context.Context<any>, never, R | SessionStore | Scope> =>
  Effect.gen(function*() {
    const { lifetime, maxPerUser, policy } = yield* Either.match(resolve(realm, options), {
      onLeft: (sentence) => Effect.dieMessage(`${realm.id}: ${sentence}`),
      onRight: Effect.succeed
    })
    const store = yield* SessionStore
    const timeout = Duration.decode(options.timeout ?? defaultTimeout)
    const carrier = sessionScheme.tokenCarrier(policy.name)
    const json = Schema.parseJson(realm.session)
    const decode = Schema.decode(json)
    const encodeJson = Schema.encode(json)

    const ask = <A, E>(self: Effect.Effect<A, E>) => wait(self, "the session store", timeout)
    const idOf = (token: SessionToken.SessionToken) => SessionToken.toId(realm.id, token)

    const refuse = (reason: string, cookies?: Cookies.Cookies) =>
      Effect.fail(
        new NotAuthorized({ reason, challenge: carrier.challenge.bad, vary: carrier.header, cookies })
      )

    /** Makes the client forget its cookie, in this response and in one that never passes through the jar. */
    const clear = (request: Request) =>
      Effect.suspend(() => {
        const cookie = CookiePolicy.clear(policy)
        return Effect.as(ResponseJar.clear(request, cookie), Cookies.fromIterable([cookie]))
      })

    const encode = (session: unknown) =>
      Effect.flatMap(Effect.orDie(encodeJson(session)), (data) => {
        const size = new TextEncoder().encode(data).length
        return size > dataLimit
          ? Effect.fail(new SessionTooLarge({ size, limit: dataLimit }))
          : Effect.succeed(data)
      })

    const find = (token: SessionToken.SessionToken) =>
      Effect.flatMap(
        store.find(idOf(token)),
        Option.match({
          onNone: () => refuse("UnknownSession"),
          onSome: Effect.succeed
        })
      )

    /** A record whose data no longer decodes ends here, once and for all. */
    const decodeOrEnd = (record: SessionRecord, request: Request) =>
      Effect.catchAll(decode(record.data), () =>
        Effect.zipRight(
          store.remove(record.id),
          Effect.flatMap(clear(request), (cookies) => refuse("UndecodableSession", cookies))
        ))

    const verify = (token: SessionToken.SessionToken) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const record = yield* find(token)
        const session = yield* decodeOrEnd(record, request)
        const deadline = sessionPolicy.renew(lifetime, record, yield* Clock.currentTimeMillis)
        if (deadline !== undefined) {
          yield* store.touch(record.id, deadline)
        }
        return Option.map(yield* options.retrieveUser(session), (user) => ({ user, auth: session }))
      })

    const context = yield* securityTag.build(tag, {
      ...options,
      carrier,
      security: sessionScheme.security(realm.name, policy.name),
      verify
    })
    const implementation = securityTag.implementation(context, tag)

    // Each operation finds the session of its request anew: what was remembered may be old.
    const current = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const jar = ResponseJar.get(request)
      jar.vary.add(carrier.header)
      return backend.requireCredential(carrier, options, request, carrier.read(request)).pipe(
        Effect.flatMap((token) => ask(find(token))),
        Effect.tap(() => {
          jar.isPrivate = true
        })
      )
    })

    /** Where a cookie is written: never for another site, never too late, never half. */
    const writing = <A, E>(f: (request: Request) => OnRequest<A, E>) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
        backend.rejectCrossSite(request, options).pipe(
          Effect.zipRight(ResponseJar.assertWritable(request)),
          Effect.zipRight(ResponseJar.install),
          Effect.zipRight(Effect.uninterruptible(Effect.suspend(() => f(request))))
        ))

    const removeQuietly = (id: SessionToken.SessionId) => Effect.ignore(ask(store.remove(id)))

    const grant = (
      request: Request,
      token: SessionToken.SessionToken,
      record: SessionRecord,
      now: number,
      always: boolean
    ) =>
      Effect.suspend(() => {
        const maxAge = record.remember ? sessionPolicy.maxAge(record, now) : undefined
        return ResponseJar.grant(request, {
          cookie: Redacted.make(CookiePolicy.grant(policy, Redacted.value(token), maxAge)),
          undo: removeQuietly(record.id),
          always
        })
      })

    /** Creates a record, or leaves none: also where the store does its work after nobody waits for it any more. */
    const createWhole = (record: SessionRecord, then: Effect.Effect<void, SecurityUnavailable>) =>
      Effect.suspend(() => {
        let isAbandoned = false
        const create = Effect.ensuring(
          store.create(record),
          Effect.suspend(() => isAbandoned ? removeQuietly(record.id) : Effect.void)
        )
        const abandon = Effect.suspend(() => {
          isAbandoned = true
          return Effect.forkDaemon(removeQuietly(record.id))
        })
        return create.pipe(
          Effect.catchTag("SessionRefused", () => refuse("Revoked")),
          Effect.zipRight(then),
          ask,
          Effect.onError(() => abandon)
        )
      })

    const tokenOf = (request: Request) => {
      const credential = carrier.read(request)
      return credential._tag === "Found" ? Option.some(credential.value) : Option.none()
    }

    /** Of the subject's sessions besides the new one and the one that it replaces, those that are too many. */
    const evict = (record: SessionRecord, replaced: Option.Option<SessionToken.SessionId>) =>
      Effect.flatMap(store.listBySubject(realm.id, record.subject!), (records) => {
        const idleLongest = records
          .filter(({ id }) => id !== record.id && !Option.contains(replaced, id))
          .sort((a, b) => a.lastSeenAt - b.lastSeenAt)
        return Effect.forEach(
          idleLongest.slice(0, Math.max(0, idleLongest.length + 1 - maxPerUser)),
          (other) => store.remove(other.id),
          { discard: true }
        )
      })

    const login: Operations["login"] = (session, loginOptions) =>
      writing((request) =>
        Effect.gen(function*() {
          const data = yield* encode(session)
          const subject = realm.subject(session)
          const token = yield* SessionToken.make(realm.id, subject)
          const now = yield* Clock.currentTimeMillis
          const replaced = Option.map(tokenOf(request), idOf)
          const record = new SessionRecord({
            id: idOf(token),
            realm: realm.id,
            subject,
            data,
            schemaVersion: 1,
            version: 0,
            createdAt: now,
            authenticatedAt: loginOptions?.verifiedAt === undefined ? now : loginOptions.verifiedAt.epochMillis,
            lastSeenAt: now,
            ...sessionPolicy.begin(lifetime, now),
            remember: loginOptions?.remember ?? true,
            userAgent: (request.headers["user-agent"] ?? "").slice(0, userAgentLimit)
          })
          yield* createWhole(
            record,
            Effect.zipRight(
              evict(record, replaced),
              Option.match(replaced, { onNone: () => Effect.void, onSome: store.remove })
            )
          )
          yield* grant(request, token, record, now, false)
        })
      )

    const logout = writing((request) =>
      Effect.zipRight(
        Option.match(tokenOf(request), {
          onNone: () => Effect.void,
          onSome: (token) => ask(store.remove(idOf(token)))
        }),
        Effect.asVoid(clear(request))
      )
    )

    const update: Operations["update"] = (f) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const record = yield* current
        const session = f(yield* ask(decodeOrEnd(record, request)))
        if (realm.subject(session) !== record.subject) {
          return yield* Effect.dieMessage(`${realm.id}: update does not change the subject of a session; login does`)
        }
        const data = yield* encode(session)
        if (data === record.data) {
          return
        }
        if (!(yield* ask(store.update(new SessionRecord({ ...record, data }))))) {
          return yield* new SessionConflict()
        }
        implementation.forget(request)
      }).pipe(
        Effect.retry({
          while: (error) => error._tag === "SessionConflict",
          times: tries - 1,
          schedule: Schedule.jittered(Schedule.exponential("1 millis", 1.5))
        })
      )

    const rotate = writing((request) =>
      Effect.gen(function*() {
        const record = yield* current
        const token = yield* SessionToken.make(realm.id, record.subject!)
        const next = new SessionRecord({ ...record, id: idOf(token) })
        if (!(yield* ask(store.rotate(record.id, next)))) {
          return yield* new SessionConflict()
        }
        // A session that began in this request is still undone with its response.
        const always = ResponseJar.get(request).grants.get(policy.name)?.always ?? true
        yield* grant(request, token, next, yield* Clock.currentTimeMillis, always)
      }).pipe(
        Effect.retry({ while: (error) => error._tag === "SessionConflict", times: tries - 1 }),
        Effect.catchTag("SessionConflict", () => new SecurityUnavailable({ reason: "the session changes too often" }))
      )
    )

    const sessions = Effect.flatMap(current, (record) =>
      Effect.map(ask(store.listBySubject(realm.id, record.subject!)), (records) =>
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

    const clearCurrent = Effect.flatMap(HttpServerRequest.HttpServerRequest, clear)

    const revoke: Operations["revoke"] = (id) =>
      Effect.gen(function*() {
        const record = yield* current
        const target = yield* ask(store.find(id))
        if (Option.exists(target, ({ realm, subject }) => realm === record.realm && subject === record.subject)) {
          yield* ask(store.remove(id))
          if (id === record.id) {
            yield* clearCurrent
          }
        }
      })

    const revokeAll: Operations["revokeAll"] = (revokeOptions) =>
      Effect.gen(function*() {
        const record = yield* current
        const keepsCurrent = revokeOptions?.except === "current"
        const except = keepsCurrent ? Option.some(record.id) : Option.none()
        yield* ask(store.removeBySubject(realm.id, record.subject!, { except }))
        if (!keepsCurrent) {
          yield* clearCurrent
        }
      })

    const revokeSubject: Operations["revokeSubject"] = (subject) =>
      ask(store.removeBySubject(realm.id, subject, { except: Option.none() }))

    return Context.add(context, Context.GenericTag<any, Operations>(supportsKey(realm.id)), {
      login,
      logout,
      update,
      rotate,
      sessions,
      revoke,
      revokeAll,
      revokeSubject
    })
  })
