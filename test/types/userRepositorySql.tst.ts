import type { SqlClient } from "@effect/sql"
import { Context, type Effect, type Layer, Schema } from "effect"
import type { SecurityUnavailable } from "effect-security/SecurityError"
import * as UserRepository from "effect-security/user/UserRepository"
import * as UserRepositorySql from "effect-security/user/UserRepositorySql"
import { describe, expect, test } from "tstyche"

const name = { name: Schema.String }

class Users extends UserRepository.Tag<Users>()("app/Users", {
  user: class User extends Schema.Class<User>("User")({ id: Schema.UUID.pipe(Schema.brand("UserId")), ...name }) {},
  id: "id",
  login: "name"
}) {}

class Numbered extends UserRepository.Tag<Numbered>()("app/Numbered", {
  user: Schema.Struct({ id: Schema.Int.pipe(Schema.brand("UserId")), ...name }),
  id: "id",
  login: "name"
}) {}

class Big extends UserRepository.Tag<Big>()("app/Big", {
  user: Schema.Struct({ id: Schema.BigInt, ...name }),
  id: "id",
  login: "name"
}) {}

class Mixed extends UserRepository.Tag<Mixed>()("app/Mixed", {
  user: Schema.Struct({ id: Schema.Union(Schema.String, Schema.Number), ...name }),
  id: "id",
  login: "name"
}) {}

class Compound extends UserRepository.Tag<Compound>()("app/Compound", {
  user: Schema.Struct({ id: Schema.Data(Schema.Struct({ tenant: Schema.String })), ...name }),
  id: "id",
  login: "name"
}) {}

class Dated extends UserRepository.Tag<Dated>()("app/Dated", {
  user: Schema.Struct({ id: Schema.Date, ...name }),
  id: "id",
  login: "name"
}) {}

describe("users in a database", () => {
  test("are a Layer of their Tag that needs a client", () => {
    expect(UserRepositorySql.layer(Users)).type.toBe<Layer.Layer<Users, never, SqlClient.SqlClient>>()
    expect(UserRepositorySql.layer(Numbered)).type.toBe<Layer.Layer<Numbered, never, SqlClient.SqlClient>>()
    expect(UserRepositorySql.layer(Big)).type.toBe<Layer.Layer<Big, never, SqlClient.SqlClient>>()
  })

  test("have an id of one kind that a column holds", () => {
    // @ts-expect-error "UserRepositorySql: the id of a user is a string, or a number, or a bigint"
    UserRepositorySql.layer(Mixed)
    // @ts-expect-error "UserRepositorySql: the id of a user is a string, or a number, or a bigint"
    UserRepositorySql.layer(Compound)
    // @ts-expect-error "UserRepositorySql: the id of a user is a string, or a number, or a bigint"
    UserRepositorySql.layer(Dated)
  })

  test("are those of a repository", () => {
    class CurrentUser extends Context.Tag("app/CurrentUser")<CurrentUser, string>() {}
    expect(UserRepositorySql.layer).type.not.toBeCallableWith(CurrentUser)
  })

  test("have tables that are made by an effect, by a Layer or by a script", () => {
    expect(UserRepositorySql.migrate).type.toBe<
      Effect.Effect<void, SecurityUnavailable, SqlClient.SqlClient>
    >()
    expect(UserRepositorySql.layerMigrations).type.toBe<
      Layer.Layer<never, SecurityUnavailable, SqlClient.SqlClient>
    >()
    expect(UserRepositorySql.sql).type.toBeCallableWith("pg")
    expect(UserRepositorySql.sql).type.not.toBeCallableWith("mysql")
  })
})
