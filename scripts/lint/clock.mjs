// No reading of the machine's clock through `new Date()` or `Date()`. (`Date.now` is a restricted property.)

/** @type {import("./rule.mjs").Rule} */
export const clock = {
  create(context) {
    /** @param {any} node */
    const check = (node) => {
      const readsTheClock = node.type === "CallExpression" || node.arguments.length === 0
      if (node.callee.type === "Identifier" && node.callee.name === "Date" && readsTheClock) {
        context.report({ node, message: "Ask Effect's Clock (or DateTime.now) for the time: tests turn it." })
      }
    }
    return { NewExpression: check, CallExpression: check }
  }
}
