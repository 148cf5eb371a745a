import * as Context from "effect/Context"

/**
 * A class that is a `Context.Tag`, as `HttpApiMiddleware.Tag` makes it: `class Auth extends X {}` inherits that, and
 * its statics. `frames` counts the functions of this library between here and the application, so that Effect's
 * "service not found" names the place where the application defined the class.
 */
export const make = (id: string, frames: number): Context.Tag<any, any> => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = frames + 2
  const creationError = new Error()
  Error.stackTraceLimit = limit
  function TagClass() {}
  Object.setPrototypeOf(TagClass, Object.getPrototypeOf(Context.GenericTag(id)))
  Object.defineProperty(TagClass, "key", { value: id, enumerable: true })
  Object.defineProperty(TagClass, "stack", {
    get: () => {
      const [head, ...lines] = creationError.stack?.split("\n") ?? []
      return [head, ...lines.slice(frames)].join("\n")
    }
  })
  return TagClass as any
}

/** Adds statics to a Tag; a lazy one stays lazy. */
export const addStatics = (tag: Context.Tag<any, any>, statics: object): any =>
  Object.defineProperties(tag, Object.getOwnPropertyDescriptors(statics))
