// What the rules share. oxlint exports no type for a rule; this is the part of it that ours use.
import { relative, sep } from "node:path"

/**
 * @typedef {{
 *   readonly cwd: string
 *   readonly filename: string
 *   readonly sourceCode: {
 *     readonly getAllComments: () => ReadonlyArray<any>
 *     readonly getCommentsBefore: (node: any) => ReadonlyArray<any>
 *   }
 *   readonly report: (problem: { readonly message: string, readonly node?: any, readonly loc?: any }) => void
 * }} Context
 * @typedef {{ readonly create: (context: Context) => Record<string, (node: any) => void> }} Rule
 */

/**
 * The path of the file that is linted, relative to the project, with `/`.
 *
 * @param {Context} context
 */
export const fileOf = (context) => relative(context.cwd, context.filename).split(sep).join("/")
