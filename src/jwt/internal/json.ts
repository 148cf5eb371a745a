import * as Option from "effect/Option"
import { isRecord } from "effect/Predicate"
import * as Schema from "effect/Schema"

const parse = Schema.decodeUnknownOption(Schema.parseJson())

/** Where the string that begins at `start` ends: the position behind its closing quote. The text is JSON. */
const endOfString = (text: string, start: number): number => {
  let position = start + 1
  while (text[position] !== "\"") {
    position += text[position] === "\\" ? 2 : 1
  }
  return position + 1
}

const unescape = (literal: string): string =>
  literal.includes("\\") ? Option.getOrThrow(parse(literal)) as string : literal.slice(1, -1)

const isColonNext = (text: string, position: number): boolean => {
  while (" \t\n\r".includes(text[position]!)) {
    position++
  }
  return text[position] === ":"
}

/** Whether an object in the text, which is JSON, has two members of one name. */
const hasDuplicates = (text: string): boolean => {
  const open: Array<Set<string>> = []
  let position = 0
  while (position < text.length) {
    const character = text[position]
    if (character === "\"") {
      const end = endOfString(text, position)
      if (isColonNext(text, end)) {
        const names = open[open.length - 1]!
        const name = unescape(text.slice(position, end))
        if (names.has(name)) {
          return true
        }
        names.add(name)
      }
      position = end
      continue
    }
    if (character === "{") {
      open.push(new Set())
    } else if (character === "}") {
      open.pop()
    }
    position++
  }
  return false
}

/**
 * A JSON object in which no object has two members of one name (RFC 7515 section 4, RFC 7519 section 4): which of the
 * two counts depends on who reads it.
 */
export const parseObject = (text: string): Option.Option<Readonly<Record<string, unknown>>> =>
  Option.filter(
    parse(text),
    (value): value is Readonly<Record<string, unknown>> => isRecord(value) && !hasDuplicates(text)
  )
