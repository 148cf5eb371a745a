import type { Tables } from "./migrations.js"

// Text is compared byte by byte, whatever the language of a database: SQLite does so unless it is told otherwise.

const create = (text: string, integer: string, least: string): ReadonlyArray<string> => [
  `CREATE TABLE effect_security_sessions (
  id ${text} PRIMARY KEY NOT NULL,
  realm ${text} NOT NULL,
  subject ${text},
  data text NOT NULL,
  schema_version ${integer} NOT NULL,
  version ${integer} NOT NULL,
  created_at ${integer} NOT NULL,
  authenticated_at ${integer} NOT NULL,
  last_seen_at ${integer} NOT NULL,
  idle_deadline ${integer} NOT NULL,
  absolute_deadline ${integer} NOT NULL,
  expires_at ${integer} GENERATED ALWAYS AS (${least}(idle_deadline, absolute_deadline)) STORED,
  remember ${integer} NOT NULL,
  user_agent text NOT NULL
)`,
  "CREATE INDEX effect_security_sessions_subject ON effect_security_sessions (realm, subject)",
  "CREATE INDEX effect_security_sessions_expiry ON effect_security_sessions (expires_at)",
  `CREATE TABLE effect_security_session_marks (
  realm ${text} NOT NULL,
  subject ${text} NOT NULL,
  marked_at ${integer} NOT NULL,
  PRIMARY KEY (realm, subject)
)`,
  "CREATE INDEX effect_security_session_marks_age ON effect_security_session_marks (marked_at)",
  `CREATE TABLE effect_security_session_epochs (
  realm ${text} NOT NULL,
  subject ${text} NOT NULL,
  epoch ${integer} NOT NULL,
  expires_at ${integer} NOT NULL,
  PRIMARY KEY (realm, subject)
)`,
  "CREATE INDEX effect_security_session_epochs_expiry ON effect_security_session_epochs (expires_at)"
]

/** Sessions, when all sessions of a subject were ended, and the epochs of sealed sessions. */
export const sessionTables: Tables = {
  module: "SessionStoreSql",
  subject: { name: "sessions", migrate: "SessionStoreSql.migrate" },
  migrationsTable: "effect_security_session_migrations",
  migrations: [
    {
      id: 1,
      name: "sessions",
      statements: {
        pg: create("text COLLATE \"C\"", "bigint", "least"),
        sqlite: create("text", "integer", "min")
      }
    }
  ]
}
