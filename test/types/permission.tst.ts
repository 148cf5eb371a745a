import type { HttpServerRequest } from "@effect/platform"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApp,
  HttpLayerRouter,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import type { Scope } from "effect"
import { Context, Effect, Layer, Schema } from "effect"
import type { SecurityError } from "effect-security"
import { Guard, Permission } from "effect-security"
import { describe, expect, test } from "tstyche"
import type { Admin, User, Users } from "./fixtures/app.js"
import { ApiKeyAuth, ApiKeyLive, Auth, AuthLive, CurrentUser, me, TokenAuth } from "./fixtures/app.js"

class EditArticles extends Permission.Tag<EditArticles>()("app/EditArticles", { auth: Auth }) {}

class ReadArticles extends Permission.Tag<ReadArticles>()("app/ReadArticles", { auth: Auth }) {}

/** Of a custom backend. */
class CallApi extends Permission.Tag<CallApi>()("app/CallApi", { auth: ApiKeyAuth }) {}

/** Of a custom backend whose credential says something. */
class UseToken extends Permission.Tag<UseToken>()("app/UseToken", { auth: TokenAuth }) {}

const EditLive = EditArticles.layer(() => Effect.void)

const ReadLive = ReadArticles.layer(() => Effect.void)

class Database extends Context.Tag("app/Database")<Database, { readonly may: (id: string) => boolean }>() {}

declare const evidence: never
declare const unknown: unknown

/** A service that cannot be called where nobody checked. */
class Articles extends Context.Tag("app/Articles")<Articles, {
  readonly publish: Effect.Effect<void, never, Permission.Granted<EditArticles>>
}>() {}

declare const ArticlesLive: Layer.Layer<Articles>

const publish = Effect.flatMap(Articles, ({ publish }) => publish).pipe(Effect.as(HttpServerResponse.empty()))

const live = Layer.mergeAll(EditLive, ReadLive, ArticlesLive).pipe(
  Layer.provideMerge(AuthLive),
  Layer.provide(null as unknown as Layer.Layer<Users>)
)

const granted = EditArticles.granted.pipe(Effect.as(HttpServerResponse.empty()))

describe("a permission needs its Self", () => {
  test("or is a sentence", () => {
    expect(Permission.Tag()("app/Nothing", { auth: Auth })).type.toBe<
      "Missing `Self` generic - use `class Self extends Permission.Tag<Self>()...`"
    >()
    // @ts-expect-error Type '"Missing `Self` generic - use `class Self extends Permission.Tag<Self>()...`"' is not a constructor
    class NoSelf extends Permission.Tag()("app/Nothing", { auth: Auth }) {}
  })

  test("and a backend", () => {
    // @ts-expect-error Type 'typeof CurrentUser' is missing the following properties from type 'Base<
    Permission.Tag<EditArticles>()("app/EditArticles", { auth: CurrentUser })
    // @ts-expect-error Property 'auth' is missing in type '{}' but required in type
    Permission.Tag<EditArticles>()("app/EditArticles", {})
  })
})

describe("the layer of a permission", () => {
  test("needs the backend and what its policy needs, minus what a request brings", () => {
    expect(EditLive).type.toBe<Layer.Layer<EditArticles, never, Auth>>()
    expect(CallApi.layer(() => Effect.void)).type.toBe<Layer.Layer<CallApi, never, ApiKeyAuth>>()
    expect(UseToken.layer(() => Effect.void)).type.toBe<Layer.Layer<UseToken, never, TokenAuth>>()
    const policy = null as unknown as (
      user: User
    ) => Effect.Effect<void, "down", Database | HttpServerRequest.HttpServerRequest | Scope.Scope>
    expect(EditArticles.layer(policy)).type.toBe<Layer.Layer<EditArticles, never, Auth | Database>>()
    expect(EditArticles.layer(policy, { timeout: "1 second" })).type.toBe<
      Layer.Layer<EditArticles, never, Auth | Database>
    >()
  })

  test("asks about the backend's user", () => {
    EditArticles.layer((user) => {
      expect(user).type.toBe<User>()
      return Effect.void
    })
    EditArticles.layer(Guard.make((user) => {
      expect(user).type.toBe<User>()
      return user.name === "ada"
    }))
    const ofAdmin: Guard.Guard<Admin> = () => Effect.void
    // @ts-expect-error Property 'level' is missing in type 'User' but required in type 'Admin'.
    EditArticles.layer(ofAdmin)
  })

  test("does not take an answer that is no refusal for one", () => {
    // @ts-expect-error Type 'boolean' is not assignable to type 'Effect<void,
    EditArticles.layer((user) => user.name === "ada")
  })

  test("is not that of another permission", () => {
    // @ts-expect-error Argument of type 'Policy<ReadArticles>' is not assignable to parameter of type 'Policy<EditArticles>'.
    Layer.succeed(EditArticles, null as unknown as Context.Tag.Service<ReadArticles>)
    // @ts-expect-error Type 'typeof ReadArticles' is not assignable to type 'Effect<Policy<EditArticles>,
    const stolen: Effect.Effect<Context.Tag.Service<EditArticles>, never, ReadArticles> = ReadArticles
  })
})

describe("a handler that needs a permission", () => {
  test("has it in R, and so has what it calls", () => {
    expect(EditArticles.granted).type.toBe<Effect.Effect<void, never, Permission.Granted<EditArticles>>>()
    expect(publish).type.toBe<
      Effect.Effect<HttpServerResponse.HttpServerResponse, never, Articles | Permission.Granted<EditArticles>>
    >()
  })

  test("needs the permission's Layer once it is protected, and nothing else", () => {
    expect(EditArticles.protect(granted)).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityError,
        EditArticles | HttpServerRequest.HttpServerRequest
      >
    >()
    expect(EditArticles.protect(me)).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityError,
        EditArticles | HttpServerRequest.HttpServerRequest
      >
    >()
  })

  test("keeps what is another permission's", () => {
    expect(ReadArticles.protect(granted)).type.toBe<
      Effect.Effect<
        HttpServerResponse.HttpServerResponse,
        SecurityError.SecurityError,
        ReadArticles | Permission.Granted<EditArticles> | HttpServerRequest.HttpServerRequest
      >
    >()
    expect<Permission.Granted<ReadArticles>>().type.not.toBeAssignableTo<Permission.Granted<EditArticles>>()
    expect<Permission.Granted<any>>().type.not.toBe<Permission.Granted<EditArticles>>()
    expect<Permission.Granted<EditArticles>>().type.not.toBeAssignableTo<
      Permission.Granted<EditArticles | ReadArticles>
    >()
    expect<Permission.Granted<EditArticles | ReadArticles>>().type.not.toBeAssignableTo<
      Permission.Granted<EditArticles>
    >()
  })

  test("is not served by an HttpRouter where it was not checked", () => {
    HttpApp.toWebHandlerLayer(HttpRouter.empty.pipe(HttpRouter.get("/", EditArticles.protect(publish))), live)
    HttpApp.toWebHandlerLayer(
      HttpRouter.empty.pipe(HttpRouter.get("/", publish), HttpRouter.use(EditArticles.protect)),
      live
    )
    // @ts-expect-error Type 'Granted<EditArticles>' is not assignable to type '
    HttpApp.toWebHandlerLayer(HttpRouter.empty.pipe(HttpRouter.get("/", publish)), live)
    // @ts-expect-error Type 'Granted<EditArticles>' is not assignable to type '
    HttpApp.toWebHandlerLayer(HttpRouter.empty.pipe(HttpRouter.get("/", Auth.protect(publish))), live)
    // @ts-expect-error Type 'Granted<EditArticles>' is not assignable to type '
    HttpApp.toWebHandlerLayer(HttpRouter.empty.pipe(HttpRouter.get("/", ReadArticles.protect(publish))), live)
    const served: Layer.Layer<never, never, HttpServer.HttpServer> = HttpServer.serve(EditArticles.protect(publish))
      .pipe(Layer.provide(live))
    // @ts-expect-error Type 'Granted<EditArticles> | HttpServer' is not assignable to type 'HttpServer'.
    const unchecked: Layer.Layer<never, never, HttpServer.HttpServer> = HttpServer.serve(publish)
      .pipe(Layer.provide(live))
  })

  test("is not served without the permission's Layer, nor that without the backend's", () => {
    const protectedApp = EditArticles.protect(granted)
    // @ts-expect-error Type 'EditArticles' is not assignable to type '
    HttpApp.toWebHandlerLayer(protectedApp, live.pipe(Layer.map(Context.omit(EditArticles))))
    // @ts-expect-error Type 'Auth' is not assignable to type 'never'.
    const closed: Layer.Layer<EditArticles> = EditLive
    // @ts-expect-error Type 'ApiKeyAuth' is not assignable to type 'Auth'.
    const ofAuth: Layer.Layer<CallApi, never, Auth> = CallApi.layer(() => Effect.void)
    const ofKey: Layer.Layer<CallApi> = CallApi.layer(() => Effect.void).pipe(Layer.provide(ApiKeyLive))
  })

  test("is not served by an HttpLayerRouter where it was not checked", () => {
    type Open<Need> = (request: Request, context: Context.Context<Need>) => Promise<Response>
    const routes = HttpLayerRouter.add("GET", "/", Effect.zipRight(granted, me))
    const checked = HttpLayerRouter.toWebHandler(
      routes.pipe(Layer.provide(EditArticles.layerMiddleware), Layer.provide(live))
    )
    expect(checked.handler).type.toBeCallableWith(new Request("http://localhost"))
    const unchecked = HttpLayerRouter.toWebHandler(
      routes.pipe(Layer.provide(Auth.layerMiddleware), Layer.provide(live))
    )
    expect(unchecked.handler).type.toBe<Open<Permission.Granted<EditArticles>>>()
    const other = HttpLayerRouter.toWebHandler(
      routes.pipe(Layer.provide(ReadArticles.layerMiddleware), Layer.provide(live))
    )
    expect(other.handler).type.toBe<Open<Permission.Granted<EditArticles>>>()
  })
})

describe("an HttpApi", () => {
  const endpoint = HttpApiEndpoint.get("publish", "/").addSuccess(Schema.Void)
  const onEndpoint = HttpApi.make("app").add(HttpApiGroup.make("articles").add(endpoint.middleware(EditArticles)))
  const onGroup = HttpApi.make("app").add(HttpApiGroup.make("articles").add(endpoint).middleware(EditArticles))
  const onApi = HttpApi.make("app").add(HttpApiGroup.make("articles").add(endpoint)).middleware(EditArticles)
  const open = HttpApi.make("app").add(HttpApiGroup.make("articles").add(endpoint.middleware(Auth)))
  const handle = Effect.flatMap(Articles, ({ publish }) => publish)

  test("provides the permission to the handlers of an endpoint, a group or the api", () => {
    expect(HttpApiBuilder.group(onEndpoint, "articles", (_) => _.handle("publish", () => handle))).type.toBe<
      Layer.Layer<HttpApiGroup.ApiGroup<"app", "articles">, never, Articles | EditArticles>
    >()
    expect(HttpApiBuilder.group(onGroup, "articles", (_) => _.handle("publish", () => handle))).type.toBe<
      Layer.Layer<HttpApiGroup.ApiGroup<"app", "articles">, never, Articles | EditArticles>
    >()
    const group = HttpApiBuilder.group(onApi, "articles", (_) => _.handle("publish", () => handle))
    expect(group).type.toBe<Layer.Layer<HttpApiGroup.ApiGroup<"app", "articles">, never, Articles>>()
    expect(HttpApiBuilder.api(onApi).pipe(Layer.provide(group))).type.toBe<
      Layer.Layer<HttpApi.Api, never, Articles | EditArticles>
    >()
  })

  test("gives no handler a permission that it did not check", () => {
    expect(HttpApiBuilder.group(open, "articles", (_) => _.handle("publish", () => handle))).type.toBe<
      Layer.Layer<
        HttpApiGroup.ApiGroup<"app", "articles">,
        never,
        Articles | Auth | Permission.Granted<EditArticles>
      >
    >()
    expect(
      HttpApiBuilder.group(onEndpoint, "articles", (_) => _.handle("publish", () => ReadArticles.granted))
    ).type.toBe<
      Layer.Layer<HttpApiGroup.ApiGroup<"app", "articles">, never, EditArticles | Permission.Granted<ReadArticles>>
    >()
  })

  test("has the failures of the permission among its errors", () => {
    type Groups = typeof onEndpoint extends HttpApi.HttpApi<any, infer G, any, any> ? G : never
    expect<HttpApiEndpoint.HttpApiEndpoint.Error<HttpApiGroup.HttpApiGroup.Endpoints<Groups>>>().type.toBe<
      SecurityError.SecurityError
    >()
  })
})

describe("the evidence of a permission cannot be forged", () => {
  test("through a Tag, for there is none in the types", () => {
    // @ts-expect-error Property 'provides' does not exist on type 'typeof EditArticles'.
    Effect.provideService(granted, EditArticles.provides, evidence)
    expect(Effect.provideService(granted, EditArticles, null as never)).type.toBe<typeof granted>()
    expect(Effect.provide(granted, EditLive)).type.toBe<
      Effect.Effect<HttpServerResponse.HttpServerResponse, never, Auth | Permission.Granted<EditArticles>>
    >()
  })

  test("through an instance, for there is none", () => {
    // @ts-expect-error Argument of type 'unknown' is not assignable to parameter of type 'never'.
    const instance = new EditArticles(unknown)
    const forged: Permission.Granted<EditArticles> = {
      // @ts-expect-error Type 'string' is not assignable to type 'unique symbol'.
      _: "granted",
      permission: (self: EditArticles) => self
    }
  })

  test("through a service that is its policy", () => {
    // @ts-expect-error Type 'string' is not assignable to type '{ readonly permission: (_: EditArticles) => EditArticles; }'.
    Layer.succeed(EditArticles, { "~effect-security/Permission/Policy": "yes" })
    // @ts-expect-error Argument of type 'Effect<undefined, never, never>' is not assignable to parameter of type 'Policy<EditArticles>'.
    Layer.succeed(EditArticles, Effect.succeed(undefined))
  })

  test("but by the word unsafe", () => {
    expect(granted.pipe(Permission.unsafeGrant(EditArticles))).type.toBe<
      Effect.Effect<HttpServerResponse.HttpServerResponse>
    >()
    expect(granted.pipe(Permission.unsafeGrant(ReadArticles))).type.toBe<typeof granted>()
    expect(Effect.zipRight(granted, ReadArticles.granted).pipe(Permission.unsafeGrant(EditArticles))).type.toBe<
      Effect.Effect<void, never, Permission.Granted<ReadArticles>>
    >()
    // @ts-expect-error is not assignable to parameter of type 'Tag<
    Permission.unsafeGrant(Auth)
  })
})
