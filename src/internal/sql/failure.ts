import { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"
import { SecurityUnavailable } from "../../SecurityError.js"

/** What failures are reported about, and what makes its tables. */
export interface Subject {
  readonly name: string
  readonly migrate: string
}

export const isSqlError = (u: unknown): u is SqlError => Predicate.isTagged(u, "SqlError")

/** A defect of a driver, or of a transaction that could not be committed, as the failure that it is. */
export const fromDefect = (defect: unknown): SqlError =>
  isSqlError(defect) ? defect : new SqlError({ cause: defect, message: "The driver threw" })

/** SQLSTATE, or what SQLite or the operating system call the failure. */
const codeOf = ({ cause }: SqlError): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined

/** Another transaction came first (serialization_failure, deadlock_detected): nothing was done, and it can be again. */
export const isConflict = (error: SqlError): boolean => ["40001", "40P01"].includes(codeOf(error) ?? "")

/** Somebody else makes a table of this name at the same time (unique_violation, duplicate_table, duplicate_object). */
export const isMadeElsewhere = (error: SqlError): boolean => ["23505", "42P07", "42710"].includes(codeOf(error) ?? "")

const messageOf = ({ cause }: SqlError): string => cause instanceof Error ? cause.message : ""

/** undefined_table, undefined_column. SQLite has one code for all mistakes in a statement. */
const isWithoutTables = (error: SqlError): boolean =>
  ["42P01", "42703"].includes(codeOf(error) ?? "") ||
  /^(no such (table|column)|table \S+ has no column)/.test(messageOf(error))

/**
 * What the message of a code may repeat: values that are refused (classes 22 and 23 of SQLSTATE), and whatever a trigger
 * of the application says (P0, SQLite's constraints).
 */
const mayRepeatRow = (code: string): boolean =>
  code.startsWith("SQLITE_CONSTRAINT") ||
  (/^[0-9A-Z]{5}$/.test(code) && !/^(?:08|25|28|3D|40|42|53|54|55|57|58)/.test(code))

/** The driver's error without the row that a database repeats in it: that may hold a session, or a hash. */
const withoutRow = (error: SqlError): SqlError => {
  const { cause } = error
  if (!(cause instanceof Error)) return new SqlError({ message: error.message })
  const code = codeOf(error)
  const bare = new Error(code !== undefined && mayRepeatRow(code) ? code : cause.message)
  bare.name = cause.name
  if (cause.stack !== undefined) bare.stack = cause.stack.replaceAll(cause.message, () => bare.message)
  return new SqlError({ message: error.message, cause: Object.assign(bare, { code }) })
}

export const toUnavailable = ({ migrate, name }: Subject, error: SqlError): SecurityUnavailable => {
  const code = codeOf(error)
  const reason = isWithoutTables(error)
    ? `the database has not the tables of the ${name}: run ${migrate}`
    : `the database of the ${name} failed${code === undefined ? "" : ` (${code})`}`
  return new SecurityUnavailable({ reason, cause: withoutRow(error) })
}
