import * as Headers from "@effect/platform/Headers"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as CrossSite from "../http/CrossSite.js"
import * as Exclusion from "../http/Exclusion.js"
import * as ResponseJar from "../http/ResponseJar.js"
import { NotAuthorized, SecurityError, type SecurityUnavailable } from "../SecurityError.js"
import * as backend from "./backend.js"
import * as gate from "./gate.js"
import * as openApi from "./openApi.js"
import * as tagClass from "./tagClass.js"

export const BackendTypeId = "~effect-security/SecurityConfig/Backend" as const

/** What stands under a Tag's key in the context. */
interface Service {
  readonly [BackendTypeId]: backend.Implementation<any, any>
}

type Security = Readonly<Record<string, HttpApiSecurity.HttpApiSecurity>>

// -----------------------------------------------------------------------------
// Tags
// -----------------------------------------------------------------------------

/** The last part of an id, in the characters that OpenAPI allows for the name of a component. */
export const nameOf = (id: string): string => id.slice(id.lastIndexOf("/") + 1).replace(/[^A-Za-z0-9._-]/g, "_")

/** A Tag with the statics that every backend has; `statics` are those of its kind. */
export const make = (id: string, options: {
  readonly provides: Context.Tag<any, any>
  readonly security: Security
  readonly statics: object
}): any => {
  const tag: Context.Tag<any, Service> = tagClass.make(id, 2)
  const implementation = Effect.map(tag, (service) => service[BackendTypeId])
  const authenticated = Effect.flatMap(implementation, (implementation) => implementation.authenticate)
  const user = Effect.map(authenticated, ({ user }) => user)
  const gated = gate.make({
    authenticate: authenticated,
    exclude: Effect.map(implementation, ({ exclude }) => exclude)
  })
  const protect = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    ResponseJar.installLast(
      Effect.flatMap(authenticated, ({ user }) => Effect.provideService(self, options.provides, user))
    )
  const describe = (api: HttpApi.HttpApi.AnyWithProps) =>
    Effect.flatMap(implementation, ({ security }) =>
      Option.match(openApi.conflict(api), {
        onNone: () => Effect.succeed(openApi.withSecurity(api, security)),
        onSome: (sentence) => Effect.dieMessage(sentence)
      }))
  let layerMiddleware: unknown
  const statics = {
    [HttpApiMiddleware.TypeId]: HttpApiMiddleware.TypeId,
    [HttpApiMiddleware.SecurityTypeId]: HttpApiMiddleware.SecurityTypeId,
    provides: options.provides,
    failure: SecurityError,
    optional: false,
    security: options.security,
    protect,
    middleware: (app: HttpApp.Default<any, any>) => ResponseJar.installLast(gated(app)),
    user,
    userOption: Effect.catchAll(
      Effect.map(user, Option.some),
      (error: SecurityError): Effect.Effect<Option.Option<never>, SecurityUnavailable> =>
        error._tag === "SecurityUnavailable" ? Effect.fail(error) : Effect.succeedNone
    ),
    authenticated,
    // Made once: a middleware is told apart by reference.
    get layerMiddleware() {
      return layerMiddleware ??= HttpLayerRouter.middleware<{ provides: any }>()(
        Effect.map(
          Effect.context<any>(),
          (context) => (app: Effect.Effect<any, any, any>) =>
            Effect.mapInputContext(protect(app), (request: Context.Context<any>) => Context.merge(context, request))
        )
      ).layer
    },
    describe: (api: Layer.Layer<HttpApi.Api, any, any>) =>
      Layer.flatMap(api, (context) => {
        const service = Context.get(context, HttpApi.Api)
        return Layer.effect(
          HttpApi.Api,
          Effect.map(
            describe(service.api as unknown as HttpApi.HttpApi.AnyWithProps),
            (api) => ({ ...service, api: api as any })
          )
        )
      }),
    describeApi: describe
  }
  return tagClass.addStatics(tagClass.addStatics(tag, statics), options.statics)
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/** What comes with each request, and so is not needed to build a Layer. */
type PerRequest = HttpServerRequest | Scope

export interface BackendOptions<C, R> {
  readonly carrier: backend.Carrier<C>
  readonly security: Security
  readonly verify: (credential: C) => Effect.Effect<Option.Option<backend.Authenticated<any, any>>, any, R | PerRequest>
  readonly guards?: ReadonlyArray<(user: any) => Effect.Effect<void, any, R | PerRequest>> | undefined
  readonly exclude?: ReadonlyArray<Exclusion.Entry> | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly trustedOrigins?: ReadonlyArray<string> | undefined
  readonly origin?: string | undefined
  readonly requireOrigin?: boolean | undefined
}

/** Dies, naming the option, where a literal is wrong in a way that its type cannot say. */
const validate = (id: string, options: BackendOptions<any, any>): Effect.Effect<void> => {
  const wrong = [...options.trustedOrigins ?? [], ...(options.origin === undefined ? [] : [options.origin])].find(
    (origin) => !CrossSite.isOrigin(origin)
  )
  return wrong === undefined
    ? Effect.void
    : Effect.dieMessage(
      `${id}: trustedOrigins and origin take exact origins such as "https://app.example.com", not "${wrong}"`
    )
}

/** What authentication takes at most, when the Layer says nothing. */
export const defaultTimeout = "2 seconds"

/** What stands behind a Tag in a context that `build` made. */
export const implementation = (
  context: Context.Context<any>,
  tag: Context.Tag<any, any>
): backend.Implementation<any, any> => (Context.unsafeGet(context, tag) as Service)[BackendTypeId]

/**
 * Puts a backend behind a Tag. Its effects are given what the Layer is built with, and the request at hand. Installs the
 * jar and redacts the credential's header in traces for everything that inherits from the fiber that builds the Layer.
 */
export const build = <C, R>(
  tag: Context.Tag<any, any>,
  options: BackendOptions<C, R>
): Effect.Effect<Context.Context<any>, never, R | Scope> =>
  Effect.gen(function*() {
    yield* validate(tag.key, options)
    yield* ResponseJar.install
    yield* redact(options.carrier.header)
    const provide = backend.provideRequest(yield* Effect.context<R>())
    const guards = options.guards ?? []
    const identity = {}
    const authenticate = backend.authenticate({
      backend: identity,
      carrier: options.carrier,
      crossSite: options,
      timeout: Duration.decode(options.timeout ?? defaultTimeout),
      verify: (credential) =>
        options.verify(credential).pipe(
          Effect.flatMap(Option.match({
            onNone: () => Effect.fail(new NotAuthorized({ reason: "UnknownUser" })),
            onSome: (found) =>
              guards.length === 0
                ? Effect.succeed(found)
                : Effect.as(Effect.forEach(guards, (guard) => guard(found.user), { discard: true }), found)
          })),
          provide
        )
    })
    const service: Service = {
      [BackendTypeId]: {
        authenticate,
        forget: (request) => ResponseJar.get(request).remembered.delete(identity),
        exclude: Exclusion.make(options.exclude ?? []),
        security: options.security
      }
    }
    // `HttpApi` calls one function a scheme with a credential that it decoded itself, and leniently: ours read the
    // request. They stand beside the type id, under the names that the Tag has.
    const found = Effect.map(authenticate, ({ user }) => user)
    const schemes = Object.keys((tag as unknown as { readonly security: Security }).security)
    return Context.make(tag, {
      ...Object.fromEntries(schemes.map((name) => [name, () => found])),
      ...service
    })
  })

const redact = (header: string) =>
  Effect.flatMap(
    FiberRef.get(Headers.currentRedactedNames),
    (names) =>
      names.some((name) => typeof name === "string" && name.toLowerCase() === header.toLowerCase())
        ? Effect.void
        : Effect.locallyScoped(Headers.currentRedactedNames, [...names, header.toLowerCase()])
  )
