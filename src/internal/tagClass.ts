import * as Context from "effect/Context"

/**
 * A class that is a `Context.Tag` and carries statics, as `HttpApiMiddleware.Tag` makes it: `class Auth extends X {}`
 * inherits both.
 */
export const make = <Statics extends object>(id: string, statics: Statics): any => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 3
  const creationError = new Error()
  Error.stackTraceLimit = limit
  function TagClass() {}
  Object.setPrototypeOf(TagClass, Object.getPrototypeOf(Context.GenericTag(id)))
  Object.defineProperty(TagClass, "stack", { get: () => creationError.stack })
  // Descriptors, so that a lazy static stays lazy.
  Object.defineProperties(TagClass, Object.getOwnPropertyDescriptors(statics))
  Object.defineProperty(TagClass, "key", { value: id, enumerable: true })
  return TagClass
}
