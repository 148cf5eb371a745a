import type { HttpServerRequest } from "@effect/platform"
import { type Brand, Context, type DateTime, Effect, type Layer, Option, Redacted, Schema } from "effect"
import type { Supports } from "effect-security/SecurityConfig"
import type { NotAuthorized, SecurityError, SecurityUnavailable } from "effect-security/SecurityError"
import * as SessionAuth from "effect-security/session/SessionAuth"
import * as Credentials from "effect-security/user/Credentials"
import type * as Login from "effect-security/user/Login"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import * as UserRepository from "effect-security/user/UserRepository"
import { describe, expect, test } from "tstyche"

class User extends Schema.Class<User>("User")({
  id: Schema.String.pipe(Schema.brand("UserId")),
  age: Schema.Number,
  nick: Schema.optional(Schema.String),
  email: Schema.String.pipe(Schema.brand("Email"))
}) {}

class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
class Admins extends UserRepository.Tag<Admins>()("app/Admins", { user: User, id: "id", login: "email" }) {}

declare const user: User
declare const id: string & Brand.Brand<"UserId">
declare const password: Password.Password
declare const newPassword: Password.NewPassword
declare const hash: Password.PasswordHash

describe("passwords", () => {
  test("are neither text nor any secret nor a hash", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'Password'.
    const fromText: Password.Password = "hunter2"
    // @ts-expect-error Property '[BrandTypeId]' is missing in type 'Redacted<string>' but required in type 'Password'.
    const fromSecret: Password.Password = Redacted.make("hunter2")
    // @ts-expect-error is missing the following properties from type 'Password'
    const fromHash: Password.Password = hash
    // @ts-expect-error Type 'Password' is not assignable to type 'string'.
    const text: string = password
    expect<Password.Password>().type.toBeAssignableTo<Redacted.Redacted<string>>()
  })

  test("that are new may be verified, and others may not be set", () => {
    const known: Password.Password = newPassword
    // @ts-expect-error Type 'Password' is not assignable to type 'NewPassword'.
    const fresh: Password.NewPassword = password
    expect(Password.isNewPassword).type.toBe<(password: Password.Password) => password is Password.NewPassword>()
    // @ts-expect-error Type 'Password' is not assignable to type 'NewPassword'.
    Credentials.register(Users, { user, password })
    // @ts-expect-error Type 'string' is not assignable to type 'NewPassword'.
    Credentials.register(Users, { user, password: "hunter2" })
    // @ts-expect-error Type 'string' is not assignable to type 'Password'.
    Credentials.verify(Users, { login: "ada@example.com", password: "hunter2" })
  })

  test("come from a string in a body", () => {
    expect<Schema.Schema.Type<typeof Password.Password>>().type.toBe<Password.Password>()
    expect<Schema.Schema.Type<typeof Password.NewPassword>>().type.toBe<Password.NewPassword>()
    expect<Schema.Schema.Encoded<typeof Password.NewPassword>>().type.toBe<string>()
  })
})

describe("hashes", () => {
  test("are no plain strings", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'PasswordHash'.
    const fromText: Password.PasswordHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"
    // @ts-expect-error Type 'Password' is not assignable to type 'PasswordHash'.
    const fromPassword: Password.PasswordHash = password
    // @ts-expect-error Argument of type 'Option<string>' is not assignable to parameter of type 'Option<PasswordHash>'
    Users.insert(user, Option.some("plain"))
    // @ts-expect-error Type 'string' is not assignable to type 'PasswordHash'.
    Users.setPasswordHash(id, { from: Option.none(), to: "plain" })
    // @ts-expect-error Type 'Option<string>' is not assignable to type 'Option<PasswordHash>'
    Users.setPasswordHash(id, { from: Option.some("plain"), to: hash })
    Effect.flatMap(PasswordHasher.PasswordHasher, (hasher) =>
      // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'PasswordHash'.
      hasher.verify(password, "plain"))
  })
})

describe("the declaration of a repository", () => {
  test("names fields that the user has", () => {
    // @ts-expect-error Type '"uuid"' is not assignable to type '"
    UserRepository.Tag<Users>()("app/Users", { user: User, id: "uuid", login: "email" })
    // @ts-expect-error Type '"mail"' is not assignable to type '"
    UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "mail" })
  })

  test("names a login that always is a string, and an id that always is there", () => {
    // @ts-expect-error Type '"age"' is not assignable to type '"
    UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "age" })
    // @ts-expect-error Type '"nick"' is not assignable to type '"
    UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "nick" })
    // @ts-expect-error Type '"nick"' is not assignable to type '"
    UserRepository.Tag<Users>()("app/Users", { user: User, id: "nick", login: "email" })
  })

  test("takes a Struct as well as a Class", () => {
    class Others extends UserRepository.Tag<Others>()("app/Others", {
      user: Schema.Struct({ key: Schema.Int, name: Schema.String, on: Schema.DateTimeUtc }),
      id: "key",
      login: "name"
    }) {}
    expect(Others.findById).type.toBeCallableWith(1)
    expect(Others.findById).type.not.toBeCallableWith("1")
  })

  test("needs its Self", () => {
    const missing = UserRepository.Tag()("app/Users", { user: User, id: "id", login: "email" })
    expect(missing).type.toBe<
      "Missing `Self` generic - use `class Self extends UserRepository.Tag<Self>()...`"
    >()
    // @ts-expect-error Type '"Missing `Self` generic - use `class Self extends UserRepository.Tag<Self>()...`"' is not a constructor
    class NoSelf extends UserRepository.Tag()("app/Users", { user: User, id: "id", login: "email" }) {}
  })
})

describe("a repository", () => {
  test("has accessors that need its Layer", () => {
    expect(Users.findById(id)).type.toBe<Effect.Effect<Option.Option<User>, SecurityUnavailable, Users>>()
    expect(Users.findByLogin("ada@example.com")).type.toBe<
      Effect.Effect<Option.Option<UserRepository.Account<User>>, SecurityUnavailable, Users>
    >()
    expect(Users.insert(user, Option.none())).type.toBe<
      Effect.Effect<void, UserRepository.LoginTaken | SecurityUnavailable, Users>
    >()
    expect(Users.setPasswordHash(id, { from: Option.none(), to: hash })).type.toBe<
      Effect.Effect<boolean, SecurityUnavailable, Users>
    >()
    // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'string & Brand<"UserId">'.
    Users.findById("1")
  })

  test("has layers, of which another repository's is not one", () => {
    class Database extends Effect.Service<Database>()("Database", { succeed: {} }) {}
    type Service = UserRepository.Service<User, string & Brand.Brand<"UserId">>
    expect(Users.layerMemory).type.toBe<Layer.Layer<Users>>()
    expect(Users.layer(null as unknown as Service)).type.toBe<Layer.Layer<Users>>()
    expect(Users.layer(null as unknown as Effect.Effect<Service, "down", Database>)).type.toBe<
      Layer.Layer<Users, "down", Database>
    >()
    expect(Admins.layerMemory).type.not.toBeAssignableTo<Layer.Layer<Users>>()
    expect(Users.findById(id).pipe(Effect.provide(Admins.layerMemory))).type.toBe<
      Effect.Effect<Option.Option<User>, SecurityUnavailable, Users>
    >()
  })

  test("has a user whose schema knows no hash", () => {
    expect<UserRepository.Account<User>["passwordHash"]>().type.toBe<Option.Option<Password.PasswordHash>>()
    expect(Users.user).type.toBe<Schema.Schema<User, any>>()
    expect(Users.loginOf(user)).type.toBe<string>()
    expect(Users.idOf(user)).type.toBe<string & Brand.Brand<"UserId">>()
  })
})

describe("credentials", () => {
  test("say how they fail and what they need", () => {
    expect(Credentials.register(Users, { user, password: newPassword })).type.toBe<
      Effect.Effect<
        User,
        Login.InvalidLogin | UserRepository.LoginTaken | SecurityUnavailable,
        Users | PasswordHasher.PasswordHasher
      >
    >()
    expect(Credentials.verify(Users, { login: "ada@example.com", password })).type.toBe<
      Effect.Effect<
        Credentials.Verified<User>,
        NotAuthorized | SecurityUnavailable,
        Users | PasswordHasher.PasswordHasher
      >
    >()
    expect<Credentials.Verified<User>["verifiedAt"]>().type.toBe<DateTime.Utc>()
  })

  test("take a user of that repository", () => {
    // @ts-expect-error is missing the following properties from type 'User'
    Credentials.register(Users, { user: { id }, password: newPassword })
  })
})

describe("changing a password", () => {
  class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, User>() {}
  class Auth extends SessionAuth.Tag<Auth>()("app/Auth", {
    user: CurrentUser,
    session: Schema.Struct({ userId: Schema.String })
  }) {}
  const passwords = { user, current: password, next: newPassword }

  test("says what becomes of the other sessions", () => {
    // @ts-expect-error Property 'revoke' is missing in type
    Credentials.changePassword(Users, passwords)
    // @ts-expect-error Type 'undefined' is not assignable to type 'Effect<void, never, never> | "keep"'.
    Credentials.changePassword(Users, { ...passwords, revoke: undefined })
    // @ts-expect-error Type '"all"' is not assignable to type 'Effect<void, never, never> | "keep"'.
    Credentials.changePassword(Users, { ...passwords, revoke: "all" })
    // @ts-expect-error is not assignable to type 'Effect<void, never, never> | "keep"'.
    Credentials.changePassword(Users, { ...passwords, revoke: Auth.revokeAll })
  })

  test("fails and needs as that does, besides its own", () => {
    class Down extends Schema.TaggedError<Down>()("Down", {}) {}
    class Mail extends Context.Tag("app/Mail")<Mail, string>() {}
    expect(Credentials.changePassword(Users, { ...passwords, revoke: "keep" })).type.toBe<
      Effect.Effect<void, NotAuthorized | SecurityUnavailable, Users | PasswordHasher.PasswordHasher>
    >()
    expect(Credentials.changePassword(Users, { ...passwords, revoke: Effect.void })).type.toBe<
      Effect.Effect<void, NotAuthorized | SecurityUnavailable, Users | PasswordHasher.PasswordHasher>
    >()
    expect(
      Credentials.changePassword(Users, { ...passwords, revoke: null as unknown as Effect.Effect<void, Down, Mail> })
    ).type.toBe<
      Effect.Effect<void, NotAuthorized | SecurityUnavailable | Down, Users | PasswordHasher.PasswordHasher | Mail>
    >()
    expect(Credentials.changePassword(Users, { ...passwords, revoke: Auth.revokeAll({ except: "current" }) })).type
      .toBe<
        Effect.Effect<
          void,
          SecurityError,
          | Users
          | PasswordHasher.PasswordHasher
          | Supports<Auth, "revokeAll">
          | HttpServerRequest.HttpServerRequest
        >
      >()
    expect(Credentials.changePassword(Users, { ...passwords, revoke: Auth.revokeSubject("1") })).type.toBe<
      Effect.Effect<
        void,
        NotAuthorized | SecurityUnavailable,
        Users | PasswordHasher.PasswordHasher | Supports<Auth, "revokeAll">
      >
    >()
  })

  test("takes a user of that repository, a password, and one that may be set", () => {
    const revoke = "keep"
    // @ts-expect-error is missing the following properties from type 'User'
    Credentials.changePassword(Users, { ...passwords, revoke, user: { id } })
    // @ts-expect-error Type 'string' is not assignable to type 'Password'.
    Credentials.changePassword(Users, { ...passwords, revoke, current: "hunter2" })
    // @ts-expect-error Type 'string' is not assignable to type 'NewPassword'.
    Credentials.changePassword(Users, { ...passwords, revoke, next: "correct horse" })
    // @ts-expect-error Type 'Password' is not assignable to type 'NewPassword'.
    Credentials.changePassword(Users, { ...passwords, revoke, next: password })
    // @ts-expect-error is missing the following properties from type 'Password'
    Credentials.changePassword(Users, { ...passwords, revoke, current: hash })
    expect(Credentials.changePassword).type.toBeCallableWith(Users, { ...passwords, revoke, current: newPassword })
  })
})
