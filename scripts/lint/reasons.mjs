// Whoever switches a rule off says why: `// oxlint-disable-next-line house/effects -- the platform's API throws`.

/** @type {import("./rule.mjs").Rule} */
export const reasons = {
  create(context) {
    return {
      Program() {
        for (const comment of context.sourceCode.getAllComments()) {
          if (!/^\s*oxlint-disable/.test(comment.value)) continue
          if (!/^\s*oxlint-disable\S*\s+\S.*\s--\s+\S/s.test(comment.value)) {
            context.report({ loc: comment.loc, message: "Name the rules and, after ` -- `, the reason." })
          }
        }
      }
    }
  }
}
