import * as Headers from "@effect/platform/Headers"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
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
import * as observe from "./observe.js"
import * as openApi from "./openApi.js"
import { refuseFalse } from "./permission.js"
import * as routes from "./routes.js"
import * as tagClass from "./tagClass.js"
import { defaultTimeout, toTimeout } from "./wait.js"

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
    routes.protectedBy(
      [id],
      self,
      ResponseJar.installLast(
        Effect.flatMap(authenticated, ({ user }) => Effect.provideService(self, options.provides, user))
      )
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
    userOption: withoutChallenge(Effect.catchAll(
      Effect.map(user, Option.some),
      (error: SecurityError): Effect.Effect<Option.Option<never>, SecurityUnavailable> =>
        error._tag === "SecurityUnavailable" ? Effect.fail(error) : Effect.succeedNone
    )),
    authenticated,
    whileAuthenticated: <A, E, R>(self: Effect.Effect<A, E, R>) =>
      Effect.zipRight(
        authenticated,
        // An app on its own, and an opaque one, run uninterruptibly.
        Effect.flatMap(implementation, ({ recheck }) =>
          Effect.raceFirst(Effect.interruptible(self), Effect.interruptible(watch(recheck))))
      ),
    routes: (router: HttpRouter.HttpRouter<any, any>) =>
      Effect.map(implementation, ({ exclude }) => routes.gated(id, router, exclude)),
    // Made once: a middleware is told apart by reference.
    get layerMiddleware() {
      return layerMiddleware ??= layerMiddlewareOf(protect)
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

const recheckEvery = "1 minute"

/**
 * Ends when what let the request in no longer does. One outage is waited out, until the next check; a second in a row
 * is its end, so that an outage is no way to stay.
 */
const watch = <R>(
  recheck: Effect.Effect<unknown, SecurityError, R>,
  hadOutage = false
): Effect.Effect<never, SecurityError, R> =>
  Effect.delay(recheck, recheckEvery).pipe(
    Effect.as(false),
    Effect.catchTag(
      "SecurityUnavailable",
      (outage) => hadOutage ? Effect.fail(outage) : Effect.succeed(true)
    ),
    Effect.flatMap((hadOutage) => watch(recheck, hadOutage))
  )

/** Who only looks whether somebody is there challenges nobody: a 401 that follows is somebody else's. */
const withoutChallenge = <A, E>(self: Effect.Effect<A, E, any>): Effect.Effect<A, E, any> =>
  Effect.flatMap(HttpServerRequest, (request) => {
    const jar = ResponseJar.get(request)
    const { challenge } = jar
    return Effect.ensuring(
      self,
      Effect.sync(() => {
        jar.challenge = challenge
      })
    )
  })

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/** What comes with each request, and so is not needed to build a Layer. */
type PerRequest = HttpServerRequest | Scope

export interface BackendOptions<C, R> {
  readonly carrier: backend.Carrier<C>
  readonly security: Security
  readonly verify: (
    credential: C,
    purpose: backend.Purpose
  ) => Effect.Effect<Option.Option<backend.Authenticated<any, any>>, any, R | PerRequest>
  readonly guards?: ReadonlyArray<(user: any) => Effect.Effect<void, any, R | PerRequest>> | undefined
  readonly exclude?: ReadonlyArray<Exclusion.Entry> | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly trustedOrigins?: ReadonlyArray<string> | undefined
  readonly origin?: string | undefined
  readonly requireOrigin?: boolean | undefined
  readonly spans?: boolean | undefined
}

/** What OpenAPI allows for the name of a component; it also stands in the challenge of HTTP Basic. */
const componentName = /^[A-Za-z0-9._-]+$/
/** RFC 9110 section 5.6.2: the name of a header or a cookie. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** What is wrong with options in a way that their types cannot say. */
export const wrongOption = (
  options: Pick<BackendOptions<any, any>, "security" | "timeout" | "trustedOrigins" | "origin">
): Option.Option<string> => {
  const origin = [...options.trustedOrigins ?? [], ...(options.origin === undefined ? [] : [options.origin])].find(
    (origin) => !CrossSite.isOrigin(origin)
  )
  if (origin !== undefined) {
    return Option.some(
      `trustedOrigins and origin take exact origins such as "https://app.example.com", not ${JSON.stringify(origin)}`
    )
  }
  if (Option.isNone(toTimeout(options.timeout))) {
    return Option.some("timeout is a positive duration")
  }
  for (const [name, scheme] of Object.entries(options.security)) {
    if (!componentName.test(name)) {
      return Option.some(`name is made of letters, digits, ".", "_" and "-", not ${JSON.stringify(name)}`)
    }
    if (scheme._tag === "ApiKey" && !token.test(scheme.key)) {
      return Option.some(`scheme: key names a header or a cookie, not ${JSON.stringify(scheme.key)}`)
    }
  }
  return Option.none()
}

/** A Layer whose settings come from `Config`: a wrong one is a `ConfigError`, as one that does not parse is. */
export const layerConfig = <S, A, E, R>(
  settings: Config.Config.Wrap<S>,
  wrong: (settings: S) => Option.Option<string>,
  layer: (settings: S) => Layer.Layer<A, E, R>
): Layer.Layer<A, ConfigError.ConfigError | E, R> =>
  Layer.unwrapEffect(
    Effect.flatMap(Config.unwrap(settings), (settings) =>
      Option.match(wrong(settings), {
        onNone: () => Effect.succeed(layer(settings)),
        onSome: (sentence) => Effect.fail(ConfigError.InvalidData([], sentence))
      }))
  )

/** `protect` for the routes of an `HttpLayerRouter`, with the services that its own Layer was built with. */
export const layerMiddlewareOf = (
  protect: (app: Effect.Effect<any, any, any>) => Effect.Effect<any, any, any>
): unknown =>
  HttpLayerRouter.middleware<{ provides: any }>()(
    Effect.map(
      Effect.context<any>(),
      (context) => (app: Effect.Effect<any, any, any>) =>
        Effect.mapInputContext(protect(app), (request: Context.Context<any>) => Context.merge(context, request))
    )
  ).layer

/** What stands behind a Tag in a context that `build` made. */
export const implementation = (
  context: Context.Context<any>,
  tag: Context.Tag<any, any>
): backend.Implementation<any, any> => (Context.unsafeGet(context, tag) as Service)[BackendTypeId]

/**
 * Puts a backend behind a Tag. Its effects are given what the Layer is built with, and the request at hand. Installs
 * the jar and redacts the credential's header in traces for everything that inherits from the fiber that builds the
 * Layer.
 */
export const build = <C, R>(
  tag: Context.Tag<any, any>,
  options: BackendOptions<C, R>
): Effect.Effect<Context.Context<any>, never, R | Scope> =>
  Effect.gen(function*() {
    yield* Option.match(wrongOption(options), {
      onNone: () => Effect.void,
      onSome: (sentence) => Effect.dieMessage(`${tag.key}: ${sentence}`)
    })
    yield* ResponseJar.install
    yield* redact(options.carrier.header.toLowerCase())
    const provide = backend.provideRequest(yield* Effect.context<R>())
    const guards = options.guards ?? []
    const identity = {}
    const { authenticate, recheck } = backend.authenticate({
      backend: identity,
      observer: yield* observe.make(tag.key, options.spans ?? false),
      carrier: options.carrier,
      crossSite: options,
      timeout: Duration.decode(options.timeout ?? defaultTimeout),
      verify: (credential, purpose) =>
        options.verify(credential, purpose).pipe(
          Effect.flatMap(Option.match({
            onNone: () => Effect.fail(new NotAuthorized({ reason: "UnknownUser" })),
            onSome: (found) =>
              guards.length === 0
                ? Effect.succeed(found)
                : Effect.as(
                  Effect.forEach(guards, (guard) => refuseFalse(guard(found.user)), { discard: true }),
                  found
                )
          })),
          provide
        )
    })
    return serve(tag, {
      authenticate,
      recheck,
      forget: (request) => backend.forget(request, identity),
      presence: backend.presence(options.carrier),
      exclude: Exclusion.make(options.exclude ?? []),
      security: options.security
    })
  })

/**
 * What a Tag has behind it. `HttpApi` calls one function a scheme with a credential that it decoded itself, and
 * leniently: ours read the request. They stand beside the type id, under the names that the Tag has.
 */
export const serve = (
  tag: Context.Tag<any, any>,
  implementation: backend.Implementation<any, any>
): Context.Context<any> => {
  const found = Effect.map(implementation.authenticate, ({ user }) => user)
  const schemes = Object.keys((tag as unknown as { readonly security: Security }).security)
  const service: Service = { [BackendTypeId]: implementation }
  return Context.make(tag, { ...Object.fromEntries(schemes.map((name) => [name, () => found])), ...service })
}

// One list for all, which only grows: Layers that are built in parallel each set the same one, whichever of them has
// the last word. A name that is redacted needlessly does no harm.
const redactedNames: Array<string | RegExp> = []

/** Keeps the header of a credential out of traces. */
export const redact = (header: string) =>
  FiberRef.update(Headers.currentRedactedNames, (names) => {
    for (const name of [...names, header]) {
      if (!redactedNames.includes(name)) {
        redactedNames.push(name)
      }
    }
    return redactedNames
  })
