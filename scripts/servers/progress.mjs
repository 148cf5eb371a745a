/**
 * Says what takes more than a moment.
 *
 * @param {string} line
 */
export const progress = (line) => void process.stderr.write(`${line}\n`)
