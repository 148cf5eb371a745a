// The library is written with effects: `try`, `throw`, `async` and `await` appear only inside `Effect.try*`.

/** @param {any} node */
const isTryCall = (node) =>
  node.type === "CallExpression" && node.callee.type === "MemberExpression" &&
  ["Effect", "Either"].includes(node.callee.object.name) && (node.callee.property.name ?? "").startsWith("try")

/** @type {import("./rule.mjs").Rule} */
export const effects = {
  create(context) {
    /**
     * @param {any} node
     * @param {string} message
     */
    const report = (node, message) => {
      for (let parent = node.parent; parent != null; parent = parent.parent) {
        if (isTryCall(parent)) return
      }
      context.report({ node, message })
    }
    /** @param {any} node */
    const reportAsync = (node) => {
      if (node.async) report(node, "Return an Effect instead of a promise.")
    }
    return {
      ThrowStatement: (node) => report(node, "Fail or die with an Effect instead of `throw`."),
      TryStatement: (node) => report(node, "Use Effect.try instead of `try`."),
      AwaitExpression: (node) => report(node, "Use Effect.promise or Effect.tryPromise instead of `await`."),
      ForOfStatement: (node) => {
        if (node.await) report(node, "Use a Stream instead of `for await`.")
      },
      FunctionDeclaration: reportAsync,
      FunctionExpression: reportAsync,
      ArrowFunctionExpression: reportAsync
    }
  }
}
