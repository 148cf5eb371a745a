// Every export of a public module has a JSDoc with `@since` and `@category`. The lines `export * as Module` of
// src/index.ts carry none: their documentation is the module's own.
import { isInternal } from "../lib/project.mjs"
import { fileOf } from "./rule.mjs"

/** @type {import("./rule.mjs").Rule} */
export const documented = {
  create(context) {
    const file = fileOf(context)
    if (isInternal(file) || file === "src/index.ts") return {}

    /** @param {any} node */
    const isDocumented = (node) => {
      const comment = context.sourceCode.getCommentsBefore(node).at(-1)
      return comment !== undefined && comment.type === "Block" && comment.value.startsWith("*") &&
        /@since\s+\d/.test(comment.value) && /@category\s+\S/.test(comment.value)
    }
    /** @type {string | undefined} */
    let overloaded
    /** @param {any} node */
    const check = (node) => {
      const declaration = node.declaration ?? node
      const name = declaration.id?.name ?? declaration.declarations?.[0]?.id.name
      // The first signature of an overloaded function speaks for all of them.
      const again = name !== undefined && name === overloaded
      overloaded = declaration.type === "TSDeclareFunction" ? name : undefined
      const documents = isDocumented(node) || again ||
        (node.specifiers?.length > 0 && node.specifiers.every(isDocumented))
      if (!documents) {
        context.report({ node, message: `${name ?? "This export"} needs a JSDoc with @since and @category.` })
      }
    }
    return { ExportNamedDeclaration: check, ExportDefaultDeclaration: check, ExportAllDeclaration: check }
  }
}
