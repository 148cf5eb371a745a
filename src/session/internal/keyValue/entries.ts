import type { PlatformError } from "@effect/platform/Error"
import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SecurityUnavailable } from "../../../SecurityError.js"
import { digest } from "./digest.js"

/** What stands under the key is not what was written there. */
export class Unreadable extends Data.TaggedError("Unreadable")<{ readonly key: string }> {}

/** The entries of one kind in a key-value store. */
export interface Entries<A> {
  readonly read: (name: string) => Effect.Effect<Option.Option<A>, SecurityUnavailable | Unreadable>
  /** The same where what is unreadable is as good as not there: a warning says so. */
  readonly find: (name: string) => Effect.Effect<Option.Option<A>, SecurityUnavailable>
  readonly write: (name: string, value: A) => Effect.Effect<void, SecurityUnavailable>
  /** Succeeds where nothing is. */
  readonly remove: (name: string) => Effect.Effect<void, SecurityUnavailable>
}

/** Whatever the store does instead of answering is a typed failure. */
const ask = <A>(
  what: string,
  call: () => Effect.Effect<A, PlatformError>
): Effect.Effect<A, SecurityUnavailable> => {
  const unavailable = (cause: unknown) =>
    Effect.fail(new SecurityUnavailable({ reason: `the key-value store failed to ${what}`, cause }))
  return Effect.suspend(call).pipe(Effect.catchAll(unavailable), Effect.catchAllDefect(unavailable))
}

const isNotFound = (error: PlatformError) => error._tag === "SystemError" && error.reason === "NotFound"

/**
 * Entries are JSON text by their schema, behind a line with the digest of key and text. So it is seen when a text was
 * cut off or edited, or stands under the key of another.
 */
export const make = <A, I>(store: KeyValueStore, schema: Schema.Schema<A, I>, prefix: string): Entries<A> => {
  const json = Schema.parseJson(schema)
  const decode = Schema.decodeOption(json)
  const encode = Schema.encode(json)
  const seal = (key: string, text: string) => `${digest(`${key}\n${text}`)}\n${text}`
  const open = (key: string, sealed: string): Option.Option<A> => {
    const text = sealed.slice(sealed.indexOf("\n") + 1)
    return sealed === seal(key, text) ? decode(text) : Option.none()
  }

  const read: Entries<A>["read"] = (name) => {
    const key = prefix + name
    return Effect.flatMap(
      ask("read", () => store.get(key)),
      (sealed): Effect.Effect<Option.Option<A>, Unreadable> => {
        if (Option.isNone(sealed)) {
          return Effect.succeedNone
        }
        const opened = open(key, sealed.value)
        return Option.isSome(opened) ? Effect.succeed(opened) : Effect.fail(new Unreadable({ key }))
      }
    )
  }

  return {
    read,
    find: (name) =>
      Effect.catchTag(
        read(name),
        "Unreadable",
        ({ key }) => Effect.as(Effect.logWarning(`what is stored as ${key} cannot be read`), Option.none())
      ),
    write: (name, value) =>
      encode(value).pipe(
        // What is wrong with the value would show the value.
        Effect.mapError(() => new SecurityUnavailable({ reason: `${prefix} cannot hold this value` })),
        Effect.flatMap((text) => ask("write", () => store.set(prefix + name, seal(prefix + name, text))))
      ),
    remove: (name) => ask("remove", () => Effect.catchIf(store.remove(prefix + name), isNotFound, () => Effect.void))
  }
}
