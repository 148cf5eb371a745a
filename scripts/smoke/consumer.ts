// A user's program, type-checked with `declaration: true` against the packed package and run: every export below has to
// have a type that a declaration file can name.
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApp, HttpRouter, HttpServerResponse } from "@effect/platform"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Credentials, Password, SecurityConfig, SessionAuth, SessionStore, UserRepository } from "effect-security"
import * as PasswordHasherScrypt from "effect-security/user/PasswordHasherScrypt"

export const UserId = Schema.UUID.pipe(Schema.brand("UserId"))

export class User extends Schema.Class<User>("User")({ id: UserId, email: Schema.String }) {}

export class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, User>() {}

export class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}

export class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
  user: CurrentUser,
  session: Schema.Struct({ userId: UserId })
}) {}

export class ApiKeyAuth extends SecurityConfig.Tag<ApiKeyAuth>()("app/ApiKeyAuth", {
  scheme: SecurityConfig.apiKey({ in: "header", key: "x-api-key" }),
  user: CurrentUser
}) {}

export const AuthLive = Auth.layer({ retrieveUser: ({ userId }) => Users.findById(userId) }).pipe(
  Layer.provide(SessionStore.layerMemory),
  Layer.provideMerge(Layer.merge(Users.layerMemory, PasswordHasherScrypt.layer))
)

export const ApiKeyLive = ApiKeyAuth.layer({ authenticate: () => Effect.succeed(Option.none()) })

export const api = HttpApi.make("app").add(
  HttpApiGroup.make("user").add(HttpApiEndpoint.get("me", "/user").addSuccess(User)).middleware(Auth)
)

export const signup = Effect.gen(function*() {
  const id = UserId.make(globalThis.crypto.randomUUID())
  const user = new User({ id, email: "ada@example.com" })
  const password = yield* Schema.decode(Password.NewPassword)("correct horse battery staple")
  yield* Credentials.register(Users, { user, password })
  yield* Auth.login({ userId: id })
  return HttpServerResponse.empty({ status: 201 })
})

export const me = Effect.map(CurrentUser, (user) => HttpServerResponse.text(user.email))

export const router = HttpRouter.empty.pipe(
  HttpRouter.post("/signup", signup),
  HttpRouter.get("/user", Auth.protect(me)),
  HttpRouter.get("/machine", ApiKeyAuth.protect(me))
)

const { dispose, handler } = HttpApp.toWebHandlerLayer(router, Layer.merge(AuthLive, ApiKeyLive))

const request = async (method: string, path: string, status: number, headers: Record<string, string> = {}) => {
  const response = await handler(new Request(`https://example.com${path}`, { method, headers }))
  const body = await response.text()
  if (response.status !== status) throw new Error(`${method} ${path}: ${response.status} instead of ${status}: ${body}`)
  return { response, body }
}

await request("GET", "/user", 401)
await request("GET", "/machine", 401, { "x-api-key": "wrong" })
const signedUp = await request("POST", "/signup", 201)
const cookie = /^[^;]+/.exec(signedUp.response.headers.get("set-cookie") ?? "")?.[0] ?? ""
const { body } = await request("GET", "/user", 200, { cookie })
if (body !== "ada@example.com") throw new Error(`GET /user answered ${body}`)
await dispose()
