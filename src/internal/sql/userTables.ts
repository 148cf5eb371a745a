import type { Tables } from "./migrations.js"

const create = (text: string): ReadonlyArray<string> => [
  `CREATE TABLE effect_security_users (
  repository ${text} NOT NULL,
  id ${text} NOT NULL,
  login_key ${text} NOT NULL,
  data text NOT NULL,
  password_hash ${text},
  PRIMARY KEY (repository, id),
  UNIQUE (repository, login_key)
)`
]

/** The users of all repositories. */
export const userTables: Tables = {
  module: "UserRepositorySql",
  subject: { name: "users", migrate: "UserRepositorySql.migrate" },
  migrationsTable: "effect_security_user_migrations",
  migrations: [
    { id: 1, name: "users", statements: { pg: create("text COLLATE \"C\""), sqlite: create("text") } }
  ]
}
