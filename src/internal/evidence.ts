import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { isObject } from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as ResponseJar from "../http/ResponseJar.js"
import { SecurityError } from "../SecurityError.js"
import * as routes from "./routes.js"
import { layerMiddlewareOf } from "./securityTag.js"
import * as tagClass from "./tagClass.js"

export const PolicyTypeId = "~effect-security/Permission/Policy" as const

// -----------------------------------------------------------------------------
// Evidence
// -----------------------------------------------------------------------------

/** Says nothing by itself: what it is evidence of is known here alone. */
export type Evidence = Readonly<Record<never, never>>

interface Issued {
  /** The Tag of the evidence: one a permission. */
  readonly of: Context.Tag<any, Evidence>
  /** None for `unsafeGrant`. */
  readonly jar: ResponseJar.ResponseJar | undefined
  isOver: boolean
}

const issued = new WeakMap<object, Issued>()

export const issue = (of: Context.Tag<any, Evidence>, jar: ResponseJar.ResponseJar | undefined): Evidence => {
  const evidence = Object.freeze({})
  issued.set(evidence, { of, jar, isOver: false })
  return evidence
}

const issueFor = (of: Context.Tag<any, Evidence>, request: HttpServerRequest): Effect.Effect<Evidence> =>
  Effect.contextWithEffect((context: Context.Context<never>) => {
    const evidence = issue(of, ResponseJar.get(request))
    return Option.match(Context.getOption(context as Context.Context<Scope.Scope>, Scope.Scope), {
      onNone: () => Effect.succeed(evidence),
      onSome: (scope) => Effect.as(Scope.addFinalizer(scope, Effect.sync(() => end(evidence))), evidence)
    })
  })

const end = (evidence: Evidence): void => {
  const known = issued.get(evidence)
  if (known !== undefined) {
    known.isOver = true
  }
}

/** What is wrong with what a context holds as the evidence of a permission. */
const flaw = (
  permission: string,
  of: Context.Tag<any, Evidence>,
  context: Context.Context<any>
): string | undefined => {
  const evidence: unknown = Context.getOrElse(context, of, () => undefined as unknown as Evidence)
  const known = isObject(evidence) ? issued.get(evidence) : undefined
  if (known === undefined) {
    return `${permission} was not checked: what the context holds is no evidence of it`
  }
  if (known.of !== of) {
    return `${permission} was not checked: what the context holds is evidence of another permission`
  }
  if (known.jar === undefined) {
    return undefined
  }
  const request = Context.getOption(context, HttpServerRequest)
  if (Option.isNone(request) || ResponseJar.get(request.value) !== known.jar) {
    return `${permission} was checked for another request than the one at hand`
  }
  return known.isOver
    ? `${permission} was checked for a request that is over: a job that outlives it needs Permission.unsafeGrant`
    : undefined
}

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

export interface Checked {
  readonly user: unknown
  readonly evidence: Evidence
}

/** `HttpApi` runs what stands under a Tag's key and provides what it gives; the Tag's own statics need the user too. */
class Service extends Effectable.Class<Evidence, SecurityError, HttpServerRequest> {
  readonly [PolicyTypeId]: { readonly check: Effect.Effect<Checked, SecurityError, HttpServerRequest> }
  constructor(check: Effect.Effect<Checked, SecurityError, HttpServerRequest>) {
    super()
    this[PolicyTypeId] = { check }
  }
  override commit(): Effect.Effect<Evidence, SecurityError, HttpServerRequest> {
    return Effect.map(this[PolicyTypeId].check, ({ evidence }) => evidence)
  }
}

/** The backend whose users a check is about. */
interface Auth {
  readonly key: string
  readonly provides: Context.Tag<any, any>
}

/** A Tag that stands for a check, with the statics that every one of them has; `statics` are those of its kind. */
export const make = (id: string, auth: Auth, statics: object): any => {
  const tag: Context.Tag<any, Service> = tagClass.make(id, 2)
  const provides: Context.Tag<any, Evidence> = Context.GenericTag(`effect-security/Permission/Granted/${id}`)
  const protect = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    routes.protectedBy(
      [auth.key, id],
      self,
      ResponseJar.installLast(
        Effect.flatMap(Effect.flatMap(tag, (service) => service[PolicyTypeId].check), ({ evidence, user }) =>
          self.pipe(Effect.provideService(provides, evidence), Effect.provideService(auth.provides, user)))
      )
    )
  let layerMiddleware: unknown
  const common = {
    [HttpApiMiddleware.TypeId]: HttpApiMiddleware.TypeId,
    [routes.ProtectsTypeId]: auth.key,
    // Read by `HttpApi`, and in no type: it would be a way to the evidence.
    provides,
    failure: SecurityError,
    optional: false,
    protect,
    // Made once: a middleware is told apart by reference.
    get layerMiddleware() {
      return layerMiddleware ??= layerMiddlewareOf(protect)
    },
    granted: Effect.contextWithEffect((context: Context.Context<any>) => {
      const sentence = flaw(id, provides, context)
      return sentence === undefined ? Effect.void : Effect.dieMessage(sentence)
    })
  }
  return tagClass.addStatics(tagClass.addStatics(tag, common), statics)
}

/** The Layer of such a Tag: `check` finds the user whom it grants, or fails. */
export const layer = <E, R>(
  tag: Context.Tag<any, any>,
  check: Effect.Effect<(request: HttpServerRequest) => Effect.Effect<unknown, SecurityError, HttpServerRequest>, E, R>
): Layer.Layer<any, E, R> =>
  Layer.effect(
    tag,
    Effect.map(check, (check) => {
      const { provides } = tag as unknown as { readonly provides: Context.Tag<any, Evidence> }
      return new Service(
        Effect.flatMap(HttpServerRequest, (request) =>
          Effect.flatMap(
            check(request),
            (user) => Effect.map(issueFor(provides, request), (evidence): Checked => ({ user, evidence }))
          ))
      )
    })
  )
