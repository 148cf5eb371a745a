// What Litestar's tests assert of OpenAPI, of an HttpApi.
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpApiSecurity,
  HttpServer,
  OpenApi
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { SecurityConfig, SessionAuth, SessionStore } from "effect-security"
import { webServer } from "../edge/harness.js"
import { CurrentUser, retrieveUser, Session } from "../session/fixtures.js"

class Auth extends SessionAuth.Tag<Auth>()("test/parity/Auth", { user: CurrentUser, session: Session }) {}

class KeyAuth extends SecurityConfig.Tag<KeyAuth>()("test/parity/KeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "x-service-key" }),
  user: CurrentUser
}) {}

class TokenAuth extends SecurityConfig.Tag<TokenAuth>()("test/parity/TokenAuth", {
  scheme: HttpApiSecurity.bearer,
  user: CurrentUser
}) {}

const AuthLive = (settings: SessionAuth.Settings = {}) =>
  Layer.provide(Auth.layer({ retrieveUser, ...settings }), SessionStore.layerMemory)
const somebody = () => Effect.succeed(Option.some({ id: "machine" }))
const machines = Layer.merge(KeyAuth.layer({ authenticate: somebody }), TokenAuth.layer({ authenticate: somebody }))

const endpoint = (name: string) => HttpApiEndpoint.get(name, `/${name}`).addSuccess(HttpApiSchema.NoContent)
const scheme = (name = "__Host-session") => ({
  type: "apiKey",
  in: "cookie",
  name,
  description: "Session cookie authentication."
})

const document = (api: HttpApi.HttpApi.Any, settings?: SessionAuth.Settings) =>
  Effect.map(Auth.describeApi(api), (api): any => OpenApi.fromApi(api as any)).pipe(Effect.provide(AuthLive(settings)))

/** What the application says of its own document. */
const own = OpenApi.Transform
const ownScheme = { type: "http", scheme: "digest" }

describe("the document of an api", () => {
  it.effect("has exactly the scheme of the session cookie where that is all there is (5)", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("user").middleware(Auth)))
      assert.deepStrictEqual((yield* document(api)).components.securitySchemes, { sessionCookie: scheme() })
    }))

  it.effect("without endpoints shows the scheme, the cookie in force and the requirement (8, 10)", () =>
    Effect.gen(function*() {
      const shown = yield* document(HttpApi.make("api").middleware(Auth), { insecureCookie: true })
      assert.deepStrictEqual(shown.paths, {})
      assert.deepStrictEqual(shown.components.securitySchemes, { sessionCookie: scheme("session") })
      assert.deepStrictEqual(shown.security, [{ sessionCookie: [] }])
    }))

  it.effect("has no scheme and requires none where no Tag is (14)", () =>
    Effect.gen(function*() {
      const shown = yield* document(HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("open"))))
      assert.deepStrictEqual([shown.components.securitySchemes, shown.security], [{}, []])
      assert.deepStrictEqual(shown.paths["/open"].get.security, [])
    }))

  it.effect("keeps a scheme that the application declares itself, before or beside ours (6, 7, 15)", () =>
    Effect.gen(function*() {
      const group = HttpApiGroup.make("a").add(endpoint("user").middleware(Auth))
      const before = HttpApi.make("api").add(group).annotate(own, (spec: any) => ({
        ...spec,
        components: { ...spec.components, securitySchemes: { Digest: ownScheme, ...spec.components.securitySchemes } }
      }))
      const first = (yield* document(before)).components.securitySchemes
      assert.deepStrictEqual(first, { Digest: ownScheme, sessionCookie: scheme() })
      assert.deepStrictEqual(Object.keys(first), ["Digest", "sessionCookie"])
      const behind = HttpApi.make("api").add(group).annotate(own, (spec: any) => ({
        ...spec,
        components: { ...spec.components, securitySchemes: { ...spec.components.securitySchemes, Digest: ownScheme } }
      }))
      assert.deepStrictEqual(
        Object.keys((yield* document(behind)).components.securitySchemes),
        ["sessionCookie", "Digest"]
      )
    }))

  it.effect("keeps a requirement that the application puts at the root, in front of ours (9, 15)", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").middleware(Auth).annotate(own, (spec: any) => ({
        ...spec,
        security: [{ Digest: ["a", "b", "c"] }, ...spec.security]
      }))
      assert.deepStrictEqual((yield* document(api)).security, [{ Digest: ["a", "b", "c"] }, { sessionCookie: [] }])
    }))

  it.effect("is the same however often it is made, and no api's requirement is left in another's", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").middleware(Auth).add(HttpApiGroup.make("a").add(endpoint("user")))
      const once = yield* document(api)
      assert.deepStrictEqual(yield* document(api), once)
      const other = yield* document(HttpApi.make("other").add(HttpApiGroup.make("a").add(endpoint("open"))))
      assert.deepStrictEqual([other.security, other.components.securitySchemes], [[], {}])
    }))

  it.effect("lists the schemes in the order in which the endpoints name them (18)", () =>
    Effect.gen(function*() {
      for (
        const [tags, names] of [
          [[Auth, KeyAuth, TokenAuth], ["sessionCookie", "KeyAuth", "TokenAuth"]],
          [[TokenAuth, Auth, KeyAuth], ["TokenAuth", "sessionCookie", "KeyAuth"]]
        ] as const
      ) {
        const group: any = tags.reduce(
          (group: any, tag: any, index) => group.add(endpoint(`e${index}`).middleware(tag)),
          HttpApiGroup.make("a")
        )
        const shown = yield* Effect.provide(document(HttpApi.make("api").add(group)), machines)
        assert.deepStrictEqual(Object.keys(shown.components.securitySchemes), [...names])
      }
    }))

  it.effect("requires at an endpoint what stands on the endpoint and its group, and on no other (16, 17)", () =>
    Effect.gen(function*() {
      const group = HttpApiGroup.make("a")
        .add(endpoint("both").middleware(KeyAuth))
        .add(endpoint("one"))
        .middleware(Auth)
      const api = HttpApi.make("api").add(group).add(HttpApiGroup.make("b").add(endpoint("open")))
      const { paths } = yield* document(api)
      assert.deepStrictEqual(paths["/both"].get.security, [{ sessionCookie: [], KeyAuth: [] }])
      assert.deepStrictEqual(paths["/one"].get.security, [{ sessionCookie: [] }])
      assert.deepStrictEqual(paths["/open"].get.security, [])
    }))

  it.effect("requires at every endpoint what stands on the api, and what the application wrote stays (17)", () =>
    Effect.gen(function*() {
      const group = HttpApiGroup.make("a").add(endpoint("one")).add(endpoint("both").middleware(KeyAuth))
      const api = HttpApi.make("api").add(group).middleware(Auth)
      const { paths } = yield* document(api)
      assert.deepStrictEqual(paths["/one"].get.security, [{ sessionCookie: [] }])
      assert.deepStrictEqual(paths["/both"].get.security, [{ sessionCookie: [], KeyAuth: [] }])
      const written = yield* document(api.annotate(own, (spec: any) => {
        spec.paths["/one"].get.security = [{ Digest: [] }]
        return spec
      }))
      assert.deepStrictEqual(written.paths["/one"].get.security, [{ Digest: [] }])
    }))
})

describe("an api that serves no document", () => {
  it.scopedLive("serves none when its Tags are described, and answers all the same (4)", () =>
    Effect.gen(function*() {
      const api = HttpApi.make("api").add(HttpApiGroup.make("a").add(endpoint("user").middleware(Auth)))
      const live = Auth.describe(HttpApiBuilder.api(api)).pipe(
        Layer.provide(HttpApiBuilder.group(api, "a", (handlers: any) => handlers.handle("user", () => Effect.void))),
        Layer.provideMerge(AuthLive())
      ) as Layer.Layer<HttpApi.Api>
      const server = yield* webServer((logged) =>
        HttpApiBuilder.toWebHandler(Layer.mergeAll(live, HttpServer.layerContext).pipe(Layer.provideMerge(logged)))
      )
      assert.strictEqual((yield* server.send("/user")).status, 401)
      for (const path of ["/docs", "/openapi.json", "/schema", "/schema/openapi.json"]) {
        assert.strictEqual((yield* server.send(path)).status, 404, path)
      }
    }))
})
