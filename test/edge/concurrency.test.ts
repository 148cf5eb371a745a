import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Array, Effect, Fiber } from "effect"
import { makeMeeting } from "../session/faultyStore.js"
import { Auth, CurrentUser, loginRoute, makeSessions, signIn, whoami } from "./fixtures.js"
import { gate, get, post, serve, surfaces } from "./harness.js"

const size = 200
const noContent = Effect.succeed(HttpServerResponse.empty({ status: 204 }))

describe("200 requests of different users that are all inside their handlers at once", () => {
  for (const surface of surfaces) {
    it.scopedLive(`each see their own user and session (CVE-2026-32887): ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const meet = yield* makeMeeting(size)
        const whole = Effect.gen(function*() {
          const { auth, user } = yield* Auth.authenticated
          return [(yield* CurrentUser).id, (yield* Auth.user).id, (yield* Auth.session).userId, user.id, auth.userId]
        })
        const handler = Effect.gen(function*() {
          const { headers } = yield* HttpServerRequest.HttpServerRequest
          const { id } = yield* CurrentUser
          yield* meet
          const seen = [[id], yield* whole]
          const fiber = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), whole))
          seen.push(...yield* Effect.all([whole, Effect.zipRight(Effect.yieldNow(), whole)], { concurrency: 2 }))
          seen.push(yield* Fiber.join(fiber), yield* Fiber.join(yield* Effect.forkDaemon(whole)))
          if (headers["x-number"]!.endsWith("7")) {
            const update = Auth.update((session) => ({ ...session, visits: Number(headers["x-number"]) }))
            yield* Effect.flatMap(Effect.fork(update), Fiber.join)
          }
          const { visits } = yield* Auth.session
          seen.push(yield* whole)
          return yield* HttpServerResponse.json({ seen: seen.flat(), visits: visits ?? null })
        })
        const visits = Effect.flatMap(Auth.session, (session) => HttpServerResponse.json(session))
        const server = yield* serve(
          surface,
          [loginRoute, get("/seen", handler, Auth), get("/session", visits, Auth)],
          // Where 200 requests share a busy machine, none of them is an outage.
          sessions.layer({ timeout: "1 minute" })
        )
        const users = Array.makeBy(size, (index) => ({ id: `user-${index}`, number: String(index) }))
        const cookies = yield* Effect.forEach(users, ({ id }) => signIn(server, id), { concurrency: 20 })
        const replies = yield* Effect.forEach(
          users,
          ({ number }, index) => server.send("/seen", { headers: { cookie: cookies[index]!, "x-number": number } }),
          {
            concurrency: "unbounded"
          }
        )
        for (const [index, reply] of replies.entries()) {
          const { id, number } = users[index]!
          assert.deepStrictEqual([reply.status, reply.setCookies], [200, []], reply.body)
          assert.deepStrictEqual(JSON.parse(reply.body), {
            seen: Array.replicate(id, 31),
            visits: number.endsWith("7") ? index : null
          })
        }
        const later = yield* Effect.forEach(cookies, (cookie) => server.send("/session", { headers: { cookie } }), {
          concurrency: 20
        })
        for (const [index, reply] of later.entries()) {
          const { id, number } = users[index]!
          assert.deepStrictEqual(
            JSON.parse(reply.body),
            number.endsWith("7") ? { userId: id, visits: index } : { userId: id }
          )
        }
      }))
  }
})

describe("a logout while another request of the session is in its handler", () => {
  for (const surface of surfaces) {
    it.scopedLive(`wins over whatever that one writes then: ${surface.join(" on ")}`, () =>
      Effect.gen(function*() {
        const sessions = yield* makeSessions()
        const writes: Readonly<Record<string, Effect.Effect<void, any, any>>> = {
          update: Auth.update((session) => ({ ...session, visits: 1 })),
          rotate: Auth.rotate,
          "revoke-all": Auth.revokeAll({ except: "current" })
        }
        for (const [name, does] of Object.entries(writes)) {
          const { open, pass, reached } = yield* gate
          const server = yield* serve(
            surface,
            [
              loginRoute,
              get("/me", whoami, Auth),
              post("/slow", Effect.zipRight(pass, Effect.zipRight(does, noContent)), Auth),
              post("/logout", Effect.zipRight(Auth.logout, noContent))
            ],
            sessions.layer()
          )
          const cookie = yield* signIn(server)
          const headers = { cookie }
          const slow = yield* Effect.fork(server.send("/slow", { method: "POST", headers }))
          yield* reached
          assert.strictEqual((yield* server.send("/logout", { method: "POST", headers })).status, 204, name)
          yield* open
          const reply = yield* Fiber.join(slow)
          assert.deepStrictEqual([reply.status, reply.setCookies], [401, []], name)
          assert.strictEqual((yield* server.send("/me", { headers })).status, 401, name)
          assert.strictEqual(yield* sessions.count(), 0, name)
        }
      }))
  }
})
