import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ResponseJar from "../../http/ResponseJar.js"
import * as securityTag from "../../internal/securityTag.js"
import * as signIn from "../../internal/signIn.js"
import * as tagClass from "../../internal/tagClass.js"
import { SecurityUnavailable, SessionConflict } from "../../SecurityError.js"
import type { SessionRecord, SessionStore } from "../SessionStore.js"
import type { SessionToken } from "../SessionToken.js"
import type { Encoded } from "./codec.js"
import * as realms from "./realm.js"
import type { Realm } from "./scheme.js"
import { contended, insistent } from "./sessions.js"
import * as settings from "./settings.js"

type OnRequest<A, E> = Effect.Effect<A, E, HttpServerRequest>

/** What stands behind a Tag: sessions without a subject. */
interface Operations {
  readonly session: OnRequest<any, any>
}

/** What stands behind `Supports`. */
interface Writing {
  readonly update: (f: (session: any) => any) => OnRequest<void, any>
  readonly clear: OnRequest<void, any>
  readonly rotate: OnRequest<void, any>
  /** Begins a session without a request, for `SecurityTest`: gives the value of a `Cookie` header. */
  readonly mint: signIn.Operations["mint"]
}

/** A realm of sessions without a subject. */
export interface AnonymousRealm extends Realm {
  /** What a client without a session has. */
  readonly empty: Effect.Effect<any, unknown>
}

/** A Tag with its statics, but for those that make its Layer. */
export const make = (id: string, statics: object): any => {
  const tag: Context.Tag<any, Operations> = tagClass.make(id, 2)
  const supports: Context.Tag<any, Writing> = tagClass.make(signIn.supportsKey(id), 2)
  return tagClass.addStatics(
    tagClass.addStatics(tag, {
      session: Effect.flatMap(tag, (_) => _.session),
      update: (f: (session: any) => any) => Effect.flatMap(supports, (_) => _.update(f)),
      clear: Effect.flatMap(supports, (_) => _.clear),
      rotate: Effect.flatMap(supports, (_) => _.rotate)
    }),
    statics
  )
}

/** What is wrong with the settings of a Layer. */
export const wrongOption = (realm: Realm, options: settings.Settings): Option.Option<string> =>
  Option.orElse(
    Either.getLeft(settings.resolve(realm, options)),
    () => securityTag.wrongOption({ ...options, security: {} })
  )

/** The session that this request had is gone: whatever it writes would bring it back. */
class Gone extends Data.TaggedError("Gone") {}

/** What is known of the session of one request. */
interface Seen {
  /** Of several writes of one request, one begins the session and the others find it. */
  readonly lock: Effect.Semaphore
  /** A live session was met: when it is gone afterwards, somebody ended it. */
  isLive: boolean
}

/** The services of a Tag, in which every session lives in the `SessionStore`. */
export const build = (
  tag: Context.Tag<any, any>,
  realm: AnonymousRealm,
  options: settings.Settings
): Effect.Effect<Context.Context<any>, never, SessionStore> =>
  Effect.gen(function*() {
    yield* Option.match(wrongOption(realm, options), {
      onNone: () => Effect.void,
      onSome: (sentence) => Effect.dieMessage(`${realm.id}: ${sentence}`)
    })
    const { ask, carrier, codec, cookie, policy, sessions } = yield* realms.make(realm, false, options)
    const emptyEncoded = yield* Effect.exit(Effect.flatMap(realm.empty, codec.encode))
    if (Exit.isFailure(emptyEncoded)) {
      return yield* Effect.dieMessage(`${realm.id}: {} is no session of this schema: give \`empty\``)
    }
    // Decoded anew each time: what one visitor's handler changes in place is never another's.
    const empty = Effect.suspend(() => Effect.orDie(codec.decode(emptyEncoded.value)))
    yield* ResponseJar.install
    yield* securityTag.redact(carrier.header.toLowerCase())

    const identity = {}
    const seenBy = (request: HttpServerRequest): Seen => {
      const { remembered } = ResponseJar.get(request)
      let seen = remembered.get(identity) as Seen | undefined
      if (seen === undefined) {
        seen = { lock: Effect.unsafeMakeSemaphore(1), isLive: false }
        remembered.set(identity, seen)
      }
      return seen
    }

    /** The live session of a request. A cookie that names none is as good as no cookie, and is never adopted. */
    const find = (request: HttpServerRequest) =>
      Effect.suspend(() => {
        ResponseJar.get(request).vary.add(carrier.header)
        return Option.match(cookie.tokenOf(request), {
          onNone: () => Effect.succeedNone,
          onSome: (token: SessionToken) =>
            ask(Effect.tap(sessions.find(token), Option.match({ onNone: () => Effect.void, onSome: sessions.renew })))
              .pipe(
                Effect.tap((found) => {
                  if (Option.isSome(found)) {
                    seenBy(request).isLive = true
                    ResponseJar.get(request).isPrivate = true
                  }
                })
              )
        })
      })

    /** A record that no longer decodes ends here; what a later version wrote stays, and is not for us to read. */
    const decodeOrEnd = (request: HttpServerRequest, record: SessionRecord) =>
      Effect.flatMap(ask(Effect.either(codec.decode(record))), (decoded) => {
        if (Either.isRight(decoded)) {
          return Effect.succeedSome(decoded.right)
        }
        return decoded.left === "Newer"
          ? Effect.fail(new SecurityUnavailable({ reason: "a later version of this program wrote the session" }))
          : Effect.zipRight(ask(sessions.end(record.id)), Effect.as(forgetRecord(request, record), Option.none<any>()))
      })

    /** Unless the request has another session by now. */
    const forgetRecord = (request: HttpServerRequest, { id }: SessionRecord) =>
      Option.contains(Option.map(cookie.tokenOf(request), sessions.idOf), id) ? forget(request) : Effect.void

    const forget = (request: HttpServerRequest) =>
      Effect.zipRight(
        Effect.sync(() => {
          seenBy(request).isLive = false
        }),
        cookie.clear(request)
      )

    const session = Effect.flatMap(HttpServerRequest, (request) =>
      Effect.gen(function*() {
        yield* ResponseJar.install
        yield* carrier.claim(request)
        yield* cookie.rejectCrossSite(request)
        const found = yield* find(request)
        const decoded = Option.isNone(found) ? Option.none() : yield* decodeOrEnd(request, found.value)
        return Option.isNone(decoded) ? yield* empty : decoded.value
      }))

    const beginIn = (encoded: Encoded, userAgent: string) =>
      sessions.begin({
        encoded,
        subject: null,
        verifiedAt: undefined,
        remember: true,
        userAgent,
        replaced: Option.none()
      })

    const begin = (request: HttpServerRequest, encoded: Encoded) =>
      cookie.writing(() =>
        Effect.gen(function*() {
          const held = yield* beginIn(encoded, request.headers["user-agent"] ?? "")
          yield* cookie.grant(request, held, false)
          seenBy(request).isLive = true
        })
      ).pipe(
        Effect.catchTag("SessionRefused", () =>
          // A mark concerns a subject, and here is none: the store is broken.
          new SecurityUnavailable({ reason: "the session store refused a session without a subject" }))
      )

    // Of what one request does to its session at the same time, one comes after the other.
    const inTurn = <A, E, R>(request: HttpServerRequest, self: Effect.Effect<A, E, R>) =>
      seenBy(request).lock.withPermits(1)(self)

    const update: Writing["update"] = (f) =>
      Effect.flatMap(HttpServerRequest, (request) => {
        const seen = seenBy(request)
        const attempt = Effect.gen(function*() {
          yield* ResponseJar.install
          yield* carrier.claim(request)
          yield* cookie.rejectCrossSite(request)
          const wasLive = seen.isLive
          const found = yield* find(request)
          if (Option.isSome(found)) {
            const decoded = yield* decodeOrEnd(request, found.value)
            if (Option.isSome(decoded)) {
              yield* sessions.change(found.value, yield* codec.encode(f(decoded.value)))
              return
            }
          } else if (wasLive) {
            return yield* new Gone()
          }
          const encoded = yield* codec.encode(f(yield* empty))
          // What is as good as nothing is not worth a record and a cookie.
          if (encoded.data !== emptyEncoded.value.data) {
            yield* begin(request, encoded)
          }
        })
        return inTurn(request, contended(attempt)).pipe(
          Effect.catchTag("Gone", () => new SessionConflict())
        )
      })

    const clear = cookie.writing((request) =>
      inTurn(
        request,
        Effect.suspend(() =>
          Option.match(cookie.tokenOf(request), {
            onNone: () => Effect.void,
            onSome: (token) => ask(sessions.end(sessions.idOf(token)))
          })
        ).pipe(Effect.zipRight(forget(request)), Effect.asVoid)
      )
    )

    const rotate = cookie.writing((request) =>
      inTurn(
        request,
        insistent(Effect.gen(function*() {
          const found = yield* find(request)
          if (Option.isSome(found)) {
            const held = yield* sessions.rotate(found.value)
            yield* cookie.grant(request, held, cookie.isAlwaysGranted(request))
          }
        }))
      ).pipe(
        Effect.catchTag("SessionConflict", () => new SecurityUnavailable({ reason: "the session changes too often" }))
      )
    )

    const writing: Writing = {
      update,
      clear,
      rotate,
      mint: (session) =>
        Effect.map(
          Effect.flatMap(codec.encode(session), (encoded) => beginIn(encoded, "")),
          ({ token }) => ({ header: "cookie", value: `${policy.name}=${Redacted.value(token)}` })
        )
    }
    return Context.make(tag, { session } satisfies Operations).pipe(
      Context.add(Context.GenericTag<any, Writing>(signIn.supportsKey(realm.id)), writing)
    )
  })
