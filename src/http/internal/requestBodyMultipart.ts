import * as Multipart from "@effect/platform/Multipart"
import * as Cause from "effect/Cause"
import * as Stream from "effect/Stream"

const boundaryPattern = /;\s*boundary=(?:"([ !#-[\]-~]{1,70})"|([!#$%&'*+.^\w`|~-]{1,70}))\s*(?:;|$)/i

const boundaryOf = (contentType: string): string | undefined => {
  const match = boundaryPattern.exec(contentType)
  return match?.[1] ?? match?.[2]
}

const malformed = (cause: unknown): Multipart.MultipartError => new Multipart.MultipartError({ reason: "Parse", cause })

/**
 * The parts of a multipart body. The platform's parser loops for ever when the closing delimiter is missing, and some
 * headers of a part make it die: both are failures here. Since it gets the whole body at once, it has parsed all of it
 * before the first part is emitted.
 */
export const parse = (
  bytes: Uint8Array,
  contentType: string
): Stream.Stream<Multipart.Part, Multipart.MultipartError> => {
  if (bytes.length === 0) {
    return Stream.empty
  }
  const boundary = boundaryOf(contentType)
  if (boundary === undefined || !`\r\n${new TextDecoder("latin1").decode(bytes)}`.includes(`\r\n--${boundary}--`)) {
    return Stream.fail(malformed("no closing delimiter"))
  }
  return Stream.make(bytes).pipe(
    Stream.pipeThroughChannel(Multipart.makeChannel({ "content-type": `multipart/form-data; boundary="${boundary}"` })),
    Stream.catchAllCause((cause) =>
      Cause.keepDefects(cause)._tag === "Some" ? Stream.fail(malformed("malformed part")) : Stream.failCause(cause)
    )
  )
}
