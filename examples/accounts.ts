// What the programs share: who signs in, what a session holds, and what signing up and in means. None of it
// knows which router, store or credential is in force.
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Context, Effect, Layer, Schema } from "effect"
import { Credentials, Login, Password, SecurityError, SessionAuth, SessionStore, UserRepository } from "effect-security"
import * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"

// -----------------------------------------------------------------------------
// Users
// -----------------------------------------------------------------------------

export const UserId = Schema.UUID.pipe(Schema.brand("UserId"))

export const Email = Schema.String.pipe(
  Schema.maxLength(254),
  Schema.pattern(/^[^\s@]+@[^\s@]+$/),
  Schema.brand("Email")
)

export class User extends Schema.Class<User>("User")({
  id: UserId,
  name: Schema.NonEmptyString.pipe(Schema.maxLength(100)),
  email: Email
}) {}

export class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, User>() {}

export class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}

// -----------------------------------------------------------------------------
// Authentication
// -----------------------------------------------------------------------------

export class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
  user: CurrentUser,
  session: Schema.Struct({ userId: UserId })
}) {}

export const retrieveUser = ({ userId }: typeof Auth.auth.Type) => Users.findById(userId)

// Read by the app-wide gate alone: `http-router.ts` has one.
export const exclude = [
  "POST /signup",
  "POST /login",
  "POST /logout",
  "GET /schema",
  "GET /schema/openapi.json"
] as const

export const AuthLive = Auth.layer({ retrieveUser, exclude, insecureCookie: true })

export const UsersLive = Layer.merge(Users.layerMemory, PasswordHasherArgon2.layer)

export const SessionsLive = SessionStore.layerMemory

// -----------------------------------------------------------------------------
// Signing up and in
// -----------------------------------------------------------------------------

export const SignUp = Schema.Struct({ name: User.fields.name, email: Email, password: Password.NewPassword })

export const LogIn = Schema.Struct({ email: Schema.String, password: Password.Password })

export const signUp = (payload: typeof SignUp.Type) =>
  Effect.gen(function*() {
    const id = yield* Effect.sync(() => UserId.make(crypto.randomUUID()))
    const user = yield* Credentials.register(Users, {
      user: new User({ id, name: payload.name, email: payload.email }),
      password: payload.password
    })
    yield* Auth.login({ userId: user.id })
    return user
  })

export const logIn = (payload: typeof LogIn.Type) =>
  Effect.gen(function*() {
    const { user, verifiedAt } = yield* Credentials.verify(Users, { login: payload.email, password: payload.password })
    yield* Auth.login({ userId: user.id }, { verifiedAt })
    return user
  })

// -----------------------------------------------------------------------------
// The contract
// -----------------------------------------------------------------------------

export class Api extends HttpApi.make("accounts").add(
  HttpApiGroup.make("accounts", { topLevel: true })
    .add(
      HttpApiEndpoint.post("signUp", "/signup")
        .setPayload(SignUp)
        .addSuccess(User, { status: 201 })
        .addError(Login.InvalidLogin)
        .addError(UserRepository.LoginTaken)
        .addError(SecurityError.LoginError)
    )
    .add(
      HttpApiEndpoint.post("logIn", "/login")
        .setPayload(LogIn)
        .addSuccess(User, { status: 201 })
        .addError(SecurityError.LoginError)
    )
    .add(HttpApiEndpoint.get("user", "/user").addSuccess(User).middleware(Auth))
    .add(HttpApiEndpoint.post("logOut", "/logout").addError(SecurityError.SecurityError))
).annotate(OpenApi.Title, "Accounts") {}
