import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Exclusion from "../http/Exclusion.js"
import * as ResponseJar from "../http/ResponseJar.js"
import { NotAuthorized } from "../SecurityError.js"
import type { SecurityError } from "../SecurityError.js"
import type * as backend from "./backend.js"
import * as observe from "./observe.js"
import * as securityTag from "./securityTag.js"

interface Member {
  readonly security: Readonly<Record<string, HttpApiSecurity.HttpApiSecurity>>
}

/** The schemes of all members, by name. */
export const security = (members: ReadonlyArray<Member>): Member["security"] =>
  Object.assign({}, ...members.map(({ security }) => security))

/** What two members must not share, as a sentence. */
const conflict = (members: ReadonlyArray<Member>): Option.Option<string> => {
  const names = members.flatMap(({ security }) => Object.keys(security))
  return Option.map(
    Option.fromNullable(names.find((name, index) => names.indexOf(name) !== index)),
    (name) => `two members share the scheme name "${name}": give one of them another \`name\``
  )
}

type Implementation = backend.Implementation<any, any>

/** What is known of a request. */
interface State {
  /** `HttpApi` asks once for each scheme: it is one request without a credential all the same. */
  isCounted: boolean
  /** A refusal that took its own credential from the request, and the members that found theirs then. */
  refusal: { readonly error: SecurityError; readonly readable: ReadonlySet<Implementation> } | undefined
}

/** Asks the first member that finds its credential in the request, and no other. */
const make = (
  members: ReadonlyArray<Implementation>,
  observer: observe.Observer
): Pick<Implementation, "authenticate" | "recheck" | "presence"> => {
  const challenges = Array.from(new Set(members.flatMap(({ presence }) => presence.challenges)))
  const headers = Array.from(new Set(members.flatMap(({ presence }) => presence.headers)))

  const identity = {}
  const stateOf = ({ remembered }: ResponseJar.ResponseJar): State => {
    const state = (remembered.get(identity) as State | undefined) ?? { isCounted: false, refusal: undefined }
    remembered.set(identity, state)
    return state
  }

  const readable = (request: HttpServerRequest) => members.filter(({ presence }) => presence.isReadable(request))

  /** The member that decides; which headers it depends on, it says itself when it is asked. */
  const decide = (request: HttpServerRequest): Option.Option<Implementation> => {
    const { vary } = ResponseJar.get(request)
    for (const member of members) {
      if (member.presence.isPresent(request)) {
        return Option.some(member)
      }
      member.presence.headers.forEach((header) => vary.add(header))
    }
    return Option.none()
  }

  // For `whileAuthenticated`: a socket does not outlive its own credential by another one. What asks beside it in the
  // same request has a fiber of its own.
  const decided = FiberRef.unsafeMake(Option.none<Implementation>())

  const ask = (request: HttpServerRequest, member: Implementation) =>
    Effect.zipRight(
      FiberRef.set(decided, Option.some(member)),
      Effect.tapError(member.authenticate, (error) =>
        Effect.sync(() => {
          if (!member.presence.isReadable(request)) {
            stateOf(ResponseJar.get(request)).refusal = { error, readable: new Set(readable(request)) }
          }
        }))
    )

  const refuse = Effect.suspend(() =>
    Effect.fail(
      new NotAuthorized({ reason: "NoCredential", challenge: challenges.join(", "), vary: headers.join(", ") })
    )
  )
  const refuseOnce = (jar: ResponseJar.ResponseJar, state: State) =>
    Effect.suspend(() => {
      jar.challenge = challenges.join(", ")
      const { isCounted } = state
      state.isCounted = true
      return isCounted ? refuse : Effect.zipRight(ResponseJar.install, observer.authentication(refuse))
    })

  return {
    presence: {
      isReadable: (request) => readable(request).length > 0,
      isPresent: (request) => members.some(({ presence }) => presence.isPresent(request)),
      headers,
      challenges,
      insufficient: (request, scope) => Option.getOrUndefined(decide(request))?.presence.insufficient(request, scope)
    },
    authenticate: Effect.flatMap(HttpServerRequest, (request): Implementation["authenticate"] => {
      const jar = ResponseJar.get(request)
      const state = stateOf(jar)
      const { refusal } = state
      // A session that its refusal has cleared would hand the request on to the next member. Signing in ends that.
      if (refusal !== undefined && readable(request).every((member) => refusal.readable.has(member))) {
        jar.challenge = refusal.error._tag === "NotAuthorized" ? refusal.error.challenge : jar.challenge
        return Effect.fail(refusal.error)
      }
      state.refusal = undefined
      return Option.match(decide(request), {
        onSome: (member) => ask(request, member),
        onNone: () => refuseOnce(jar, state)
      })
    }),
    recheck: Effect.flatMap(
      FiberRef.get(decided),
      (member): Implementation["recheck"] =>
        Option.match(member, { onSome: ({ recheck }) => recheck, onNone: () => refuse })
    )
  }
}

/** What stands behind the Tag, made of what stands behind its members in the context that the Layer is built with. */
export const build = (
  tag: Context.Tag<any, any>,
  members: ReadonlyArray<Member & Context.Tag<any, any>>,
  exclude: ReadonlyArray<Exclusion.Entry>
): Effect.Effect<Context.Context<any>, never, any> =>
  Effect.gen(function*() {
    yield* Option.match(conflict(members), {
      onNone: () => Effect.void,
      onSome: (sentence) => Effect.dieMessage(`${tag.key}: ${sentence}`)
    })
    yield* ResponseJar.install
    const context = yield* Effect.context<any>()
    const implementations = members.map((member) => securityTag.implementation(context, member))
    return securityTag.serve(tag, {
      ...make(implementations, yield* observe.make(tag.key, false)),
      forget: (request) => implementations.forEach((member) => member.forget(request)),
      exclude: Exclusion.make(exclude),
      security: security(implementations)
    })
  })
