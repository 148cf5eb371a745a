import * as Either from "effect/Either"
import { isString } from "effect/Predicate"
import { isWellFormed } from "../../internal/text.js"

/**
 * How deep arrays and objects may lie in each other. Effect's formatters recurse into a rejected value, so that a body
 * of brackets would overflow the stack and turn a 400 into a 500.
 */
export const maxDepth = 64

/** The keys that lead to a prototype when some later code merges the value into another. */
const dropPrototypeKeys = (value: Record<string, unknown>): void => {
  delete value["__proto__"]
  const constructor = Object.hasOwn(value, "constructor") ? value["constructor"] : undefined
  if (typeof constructor === "object" && constructor !== null && Object.hasOwn(constructor, "prototype")) {
    delete value["constructor"]
  }
}

const problemOf = (value: unknown, depth: number): string | undefined => {
  if (isString(value)) {
    return isWellFormed(value) ? undefined : "not well-formed Unicode"
  }
  if (typeof value !== "object" || value === null) {
    return undefined
  }
  if (depth === 0) {
    return "nested too deeply"
  }
  if (!Array.isArray(value)) {
    dropPrototypeKeys(value as Record<string, unknown>)
    if (!Object.keys(value).every(isWellFormed)) {
      return "not well-formed Unicode"
    }
  }
  for (const member of Array.isArray(value) ? value : Object.values(value)) {
    const problem = problemOf(member, depth - 1)
    if (problem !== undefined) {
      return problem
    }
  }
  return undefined
}

/**
 * A JSON text as a value whose strings and keys are well-formed Unicode, which is not nested deeper than `maxDepth`,
 * and which has no key that leads to a prototype; otherwise what is wrong, in words that repeat nothing of the text.
 */
export const parse = (text: string): Either.Either<unknown, string> =>
  Either.try({ try: (): unknown => JSON.parse(text), catch: () => "malformed JSON" }).pipe(
    Either.flatMap((value) => {
      const problem = problemOf(value, maxDepth)
      return problem === undefined ? Either.right(value) : Either.left(problem)
    })
  )
