/**
 * Users in PostgreSQL or SQLite, over `@effect/sql`. The table is made by `migrate` or by the script that `sql` prints.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { toKey } from "../internal/columnText.js"
import type { Database } from "../internal/sql/database.js"
import * as database from "../internal/sql/database.js"
import type * as dialect from "../internal/sql/dialect.js"
import * as migrations from "../internal/sql/migrations.js"
import { userTables } from "../internal/sql/userTables.js"
import { SecurityUnavailable } from "../SecurityError.js"
import * as Login from "./Login.js"
import { PasswordHash } from "./Password.js"
import type { Account, Service, TagClass } from "./UserRepository.js"
import { LoginTaken } from "./UserRepository.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The databases that users can be in.
 *
 * @since 0.1.0
 * @category models
 */
export type Dialect = dialect.Dialect

/**
 * What is asked of a repository besides that it is one: an id that a column can hold, and of one kind, so that 1 and
 * "1" are not two users.
 *
 * @since 0.1.0
 * @category models
 */
export type HasColumnId<UserId> = [UserId] extends [string] | [number] | [bigint] ? unknown
  : "UserRepositorySql: the id of a user is a string, or a number, or a bigint"

// -----------------------------------------------------------------------------
// Rows
// -----------------------------------------------------------------------------

interface Row {
  readonly data: string
  readonly password_hash: string | null
}

/** Which field is wrong, and not what it holds. */
const fieldsOf = (error: ParseResult.ParseError): string => {
  const fields = ParseResult.ArrayFormatter.formatErrorSync(error).flatMap(({ path }) => path.slice(0, 1).map(String))
  return fields.length === 0 ? "" : ` (${Array.from(new Set(fields)).join(", ")})`
}

const unavailable = (reason: string) => new SecurityUnavailable({ reason })

const make = <Id extends string, User, UserId>(
  { sql, statement }: Database,
  users: TagClass<any, Id, User, UserId>
): Service<User, UserId> => {
  const json = Schema.parseJson(users.user)
  const decode = Schema.decode(json)
  const encode = Schema.encode(json)

  const repository = toKey(users.key)
  const idKey = (id: UserId): string => toKey(String(id))
  const loginKey = (login: string): string => toKey(Login.key(login))

  const toUser = (data: string): Effect.Effect<User, SecurityUnavailable> =>
    Effect.mapError(decode(data), (error) => unavailable(`a user of ${users.key} does not decode${fieldsOf(error)}`))

  /** What stands in the row is not what the row was found by: somebody else wrote it, or the schema has changed. */
  const another = Effect.fail(unavailable(`a user of ${users.key} stands under the id or login of another`))

  const found = (rows: ReadonlyArray<Row>, isAskedFor: (user: User) => boolean) =>
    Option.match(Option.fromNullable(rows[0]), {
      onNone: () => Effect.succeedNone,
      onSome: (row) =>
        Effect.flatMap(toUser(row.data), (user) => isAskedFor(user) ? Effect.succeedSome({ row, user }) : another)
    })

  const toHash = (text: string) =>
    Effect.mapError(
      Schema.decode(PasswordHash)(text),
      () => unavailable(`a user of ${users.key} has a password hash that is none`)
    )

  const toAccount = ({ row, user }: { readonly row: Row; readonly user: User }) =>
    Effect.map(
      Effect.transposeOption(Option.map(Option.fromNullable(row.password_hash), toHash)),
      (passwordHash): Account<User> => ({ user, passwordHash })
    )

  /** As the user will be read again, so that nobody is registered who cannot be found. */
  const toData = (user: User): Effect.Effect<string, SecurityUnavailable> =>
    Effect.gen(function*() {
      const data = yield* Effect.mapError(
        encode(user),
        (error) => unavailable(`a user of ${users.key} does not encode${fieldsOf(error)}`)
      )
      const read = yield* toUser(data)
      const isSame = users.idOf(read) === users.idOf(user) &&
        loginKey(users.loginOf(read)) === loginKey(users.loginOf(user))
      return isSame ? data : yield* unavailable(`a user of ${users.key} does not keep its id and login as JSON`)
    })

  return {
    findById: (id) =>
      statement(
        sql<Row>`SELECT data, password_hash FROM effect_security_users
          WHERE repository = ${repository} AND id = ${idKey(id)}`.withoutTransform
      ).pipe(
        Effect.flatMap((rows) => found(rows, (user) => users.idOf(user) === id)),
        Effect.map(Option.map(({ user }) => user))
      ),

    findByLogin: (login) =>
      Effect.suspend(() => {
        const key = loginKey(login)
        return statement(
          sql<Row>`SELECT data, password_hash FROM effect_security_users
            WHERE repository = ${repository} AND login_key = ${key}`.withoutTransform
        ).pipe(
          Effect.flatMap((rows) => found(rows, (user) => loginKey(users.loginOf(user)) === key)),
          Effect.flatMap((account) => Effect.transposeOption(Option.map(account, toAccount)))
        )
      }),

    insert: (user, passwordHash) =>
      Effect.flatMap(toData(user), (data) =>
        statement(
          sql`INSERT INTO effect_security_users (repository, id, login_key, data, password_hash)
            VALUES (${repository}, ${idKey(users.idOf(user))}, ${loginKey(users.loginOf(user))}, ${data},
              ${Option.getOrNull(passwordHash)})
            ON CONFLICT DO NOTHING RETURNING id`.withoutTransform
        )).pipe(Effect.flatMap((inserted) => inserted.length === 0 ? Effect.fail(new LoginTaken()) : Effect.void)),

    setPasswordHash: (id, { from, to }) => {
      const isExpected = Option.match(from, {
        onNone: () => sql`password_hash IS NULL`,
        onSome: (hash) => sql`password_hash = ${hash}`
      })
      return statement(
        sql`UPDATE effect_security_users SET password_hash = ${to}
          WHERE repository = ${repository} AND id = ${idKey(id)} AND ${isExpected} RETURNING id`.withoutTransform
      ).pipe(Effect.map((updated) => updated.length > 0))
    }
  }
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * A repository of users in the database of the `SqlClient`: PostgreSQL 12 or later, or SQLite 3.35 or later; the Layer
 * dies over another. The table has to be there: see `layerMigrations`. It holds the users of all repositories, each as
 * JSON that the schema of its Tag encodes, so that this has to go through JSON; one that no longer decodes is
 * `SecurityUnavailable`, and not "no such user".
 *
 * It works outside of any transaction that the calling fiber has open: a user that was inserted stays when that one is
 * rolled back. Over SQLite, where a client has one connection and a transaction has it to itself, it fails there at
 * once with `SecurityUnavailable`. To insert a user and rows of your own as one step, have a repository of your own.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Layer, Schema } from "effect"
 * import { UserRepository } from "effect-security"
 * import * as UserRepositorySql from "effect-security/user/UserRepositorySql"
 *
 * class User extends Schema.Class<User>("User")({ id: Schema.UUID, name: Schema.NonEmptyString, email: Schema.String }) {}
 *
 * class Users extends UserRepository.Tag<Users>()("app/Users", { user: User, id: "id", login: "email" }) {}
 *
 * const UsersLive = UserRepositorySql.layer(Users).pipe(
 *   Layer.provide(UserRepositorySql.layerMigrations),
 *   Layer.provide(PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") }))
 * )
 * ```
 */
export const layer = <Self, Id extends string, User, UserId>(
  users: TagClass<Self, Id, User, UserId> & HasColumnId<UserId>
): Layer.Layer<Self, never, SqlClient> => {
  const tag: TagClass<Self, Id, User, UserId> = users
  return Layer.effect(
    tag,
    Effect.map(database.make(userTables.module, userTables.subject), (db) => make(db, tag))
  )
}

// -----------------------------------------------------------------------------
// Migrations
// -----------------------------------------------------------------------------

/**
 * Makes the table of users, or brings it up to date. The table `effect_security_user_migrations` says what was done, so
 * that it may be run at each start, by several processes at once.
 *
 * @since 0.1.0
 * @category migrations
 */
export const migrate: Effect.Effect<void, SecurityUnavailable, SqlClient> = migrations.run(userTables)

/**
 * Runs `migrate` when it is built: provide it to `layer`, and the table is there before it is used.
 *
 * @since 0.1.0
 * @category migrations
 */
export const layerMigrations: Layer.Layer<never, SecurityUnavailable, SqlClient> = Layer.effectDiscard(migrate)

/**
 * What `migrate` does to an empty database, as a script for `psql` or `sqlite3`: for those who let nothing but their own
 * migrations change a database. `migrate` knows what such a script has done.
 *
 * @since 0.1.0
 * @category migrations
 */
export const sql = (dialect: Dialect): string => migrations.print(userTables, dialect)
