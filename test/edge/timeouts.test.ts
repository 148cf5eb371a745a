import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, Schema } from "effect"
import { Auth, KeyAuth, login, loginRoute, makeSessions, signIn, whoami } from "./fixtures.js"
import type { Options, Sessions } from "./fixtures.js"
import { app, bothApis, get, hosts, post, serve, surfaces, webServer } from "./harness.js"
import type { Reply, Server } from "./harness.js"

const ok = Effect.succeed(HttpServerResponse.empty({ status: 204 }))

/** What can hang behind a request that brings a session. */
const hangs: Readonly<Record<string, Options & { readonly store?: true }>> = {
  "a store": { store: true },
  "the user directory": { retrieveUser: () => Effect.never },
  "a promise that nobody settles": { retrieveUser: () => Effect.promise(() => new Promise<never>(() => {})) },
  "what cannot be interrupted": { retrieveUser: () => Effect.uninterruptible(Effect.never) },
  "a guard": { guards: [() => Effect.never] }
}

/** A session in a store that works, and a Layer over the same one in which something hangs for 100 ms at most. */
const hanging = ({ store: isStore, ...options }: Options & { readonly store?: true }) =>
  Effect.gen(function*() {
    const sessions = yield* makeSessions()
    const cookie = yield* signIn(yield* serve(["HttpApp", "web"], [loginRoute], sessions.layer()))
    const dead: Sessions = isStore ? sessions.over(() => ({ find: () => Effect.never })) : sessions
    const layer = dead.layer({ timeout: "100 millis", ...options })
    return { sessions, cookie, layer }
  })

const atOnce = <A>(all: ReadonlyArray<A>, f: (a: A) => Effect.Effect<void>) =>
  Effect.forEach(all, f, { concurrency: "unbounded", discard: true })

const assertOutage = (reply: Reply, server: Server, label: string) => {
  assert.strictEqual(reply.status, 503, label)
  assert.strictEqual(reply.headers["retry-after"], "1", label)
  assert.isUndefined(reply.headers["www-authenticate"], label)
  assert.deepStrictEqual(reply.setCookies, [], label)
  assert.strictEqual(JSON.parse(reply.body)._tag, "SecurityUnavailable", label)
  // It was not the default of two seconds that ended it.
  assert.include(server.logs.join("\n"), "took longer than 100ms", label)
}

describe("what hangs is a 503 in time, and neither a 401 nor a cookie", () => {
  for (const [what, options] of Object.entries(hangs)) {
    for (const surface of surfaces) {
      const label = surface.join(" on ")

      it.scopedLive(`${what}, behind protect: ${label}`, () =>
        Effect.gen(function*() {
          const { cookie, layer, sessions } = yield* hanging(options)
          const server = yield* serve(
            surface,
            [
              get("/me", whoami, Auth),
              get("/reads", Effect.zipRight(Auth.user, ok)),
              get("/maybe", Effect.zipRight(Auth.userOption, ok))
            ],
            layer
          )
          yield* atOnce(["/me", "/reads", "/maybe"], (path) =>
            Effect.map(server.send(path, { headers: { cookie } }), (reply) => assertOutage(reply, server, path)))
          assert.strictEqual(yield* sessions.count(), 1)
        }))
    }

    for (const host of hosts) {
      it.scopedLive(`${what}, behind the app-wide gate on ${host}`, () =>
        Effect.gen(function*() {
          const { cookie, layer, sessions } = yield* hanging(options)
          const router = HttpRouter.empty.pipe(
            HttpRouter.get("/me", ok),
            HttpRouter.concat(
              HttpRouter.fromIterable([
                HttpRouter.makeRoute("GET", "/uninterruptible", Auth.protect(ok), { uninterruptible: true })
              ])
            )
          )
          const opaque = Effect.flatMap(Effect.void, () => router)
          const servers = {
            router: yield* app(host, Auth.middleware(router as any), layer),
            opaque: yield* app(host, Auth.middleware(opaque as any), layer),
            protected: yield* app(host, Auth.protect(router) as any, layer),
            server: yield* app(host, opaque as any, layer, Auth.middleware as any)
          }
          yield* atOnce(Object.entries(servers), ([name, server]) =>
            atOnce(["/me", "/uninterruptible", "/nowhere"], (path) =>
              Effect.map(server.send(path, { headers: { cookie } }), (reply) =>
                assertOutage(reply, server, `${name}: ${path}`))))
          assert.strictEqual(yield* sessions.count(), 1)
        }))
    }

    it.scopedLive(`${what}, behind each level of an HttpApi`, () =>
      Effect.gen(function*() {
        const { cookie, layer, sessions } = yield* hanging(options)
        const endpoint = HttpApiEndpoint.get("get", "/get").addSuccess(Schema.String)
        const apis = {
          endpoint: HttpApi.make("api").add(HttpApiGroup.make("group").add(endpoint.middleware(Auth))),
          group: HttpApi.make("api").add(HttpApiGroup.make("group").add(endpoint).middleware(Auth)),
          api: HttpApi.make("api").add(HttpApiGroup.make("group").add(endpoint)).middleware(Auth)
        }
        for (const [level, api] of Object.entries(apis)) {
          const live = HttpApiBuilder.group(api as typeof apis.endpoint, "group", (handlers) =>
            handlers.handle("get", () =>
              Effect.succeed("in")))
          const web = yield* webServer((logged) =>
            HttpApiBuilder.toWebHandler(
              Layer.merge(
                Layer.provide(HttpApiBuilder.api(api as typeof apis.endpoint), live),
                HttpServer.layerContext
              ).pipe(Layer.provide(layer), Layer.provide(logged)) as any
            )
          )
          const servers: Readonly<Record<string, Server>> = { ...yield* bothApis(api, live, layer), web }
          yield* atOnce(Object.entries(servers), ([name, server]) =>
            Effect.map(server.send("/get", { headers: { cookie } }), (reply) =>
              assertOutage(reply, server, `${name}, on the ${level}`)))
        }
        assert.strictEqual(yield* sessions.count(), 1)
      }))
  }

  it.scopedLive("a backend of one's own", () =>
    Effect.forEach(surfaces, (surface) =>
      Effect.gen(function*() {
        const layer = KeyAuth.layer({ authenticate: () => Effect.never, timeout: "100 millis" })
        const server = yield* serve(surface, [get("/me", whoami, KeyAuth)], layer)
        const reply = yield* server.send("/me", { headers: { "x-service-key": "good" } })
        assertOutage(reply, server, surface.join(" on "))
      })))

  for (const surface of surfaces) {
    it.scopedLive(`a store that hangs while a session begins, ends or changes: ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const cookie = yield* signIn(yield* serve(["HttpApp", "web"], [loginRoute], sessions.layer()))
        const hung = sessions.over(() => ({
          create: () => Effect.never,
          remove: () => Effect.never,
          update: () => Effect.never,
          rotate: () => Effect.never,
          listBySubject: () => Effect.never,
          removeBySubject: () => Effect.never
        }))
        const server = yield* serve(
          surface,
          [
            get("/me", whoami, Auth),
            post("/login", Effect.zipRight(login, ok)),
            post("/logout", Effect.zipRight(Auth.logout, ok)),
            post("/rotate", Effect.zipRight(Auth.rotate, ok)),
            post("/sessions", Effect.zipRight(Auth.sessions, ok)),
            post("/revoke-all", Effect.zipRight(Auth.revokeAll(), ok)),
            post("/update", Effect.zipRight(Auth.update((session) => ({ ...session, visits: 1 })), ok))
          ],
          hung.layer({ timeout: "100 millis" })
        )
        yield* atOnce(
          ["/login", "/logout", "/rotate", "/sessions", "/revoke-all", "/update"],
          (path) =>
            Effect.map(
              server.send(path, { method: "POST", headers: { cookie } }),
              (reply) => assertOutage(reply, server, path)
            )
        )
        assert.strictEqual((yield* server.send("/me", { headers: { cookie } })).body, "ada")
        assert.strictEqual(yield* sessions.count(), 1)
      }))
  }

  it.scopedLive("the settings of a Layer come from Config as well", () =>
    Effect.gen(function*() {
      const layer = KeyAuth.layerConfig({
        authenticate: () => Effect.never,
        settings: { timeout: Config.duration("TIMEOUT") }
      }).pipe(Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["TIMEOUT", "100 millis"]])))))
      const server = yield* serve(["HttpApp", "web"], [get("/me", whoami, KeyAuth)], Layer.orDie(layer))
      assertOutage(yield* server.send("/me", { headers: { "x-service-key": "good" } }), server, "from Config")
    }))
})
