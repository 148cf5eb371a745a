import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Schema from "effect/Schema"

/** The media type of every failure that this library renders (RFC 9457 section 3). */
export const contentType = "application/problem+json"

/**
 * The members of a problem document. The type is `about:blank`, so the title is the status phrase (RFC 9457 section
 * 4.2.1); what distinguishes two problems of one status is the extension member `_tag`.
 */
export const fields = <const Status extends number, const Title extends string>(status: Status, title: Title) => ({
  type: Schema.Literal("about:blank").pipe(
    Schema.propertySignature,
    Schema.withConstructorDefault(() => "about:blank" as const)
  ),
  title: Schema.Literal(title).pipe(Schema.propertySignature, Schema.withConstructorDefault(() => title)),
  status: Schema.Literal(status).pipe(Schema.propertySignature, Schema.withConstructorDefault(() => status))
})

/** What makes `HttpApi` answer with the status and the media type, and a derived client decode the class. */
export const annotations = (
  status: number,
  description: string
): { readonly [key: symbol]: unknown; readonly description: string } => ({
  ...HttpApiSchema.annotations({ status }) as { readonly [key: symbol]: unknown },
  [HttpApiSchema.AnnotationEncoding]: { kind: "Json", contentType } as const,
  description
})

/**
 * A problem document as a response, its members in the order in which `HttpApi` encodes them; `extension` holds members
 * besides the standard ones.
 */
export const response = (
  problem: { readonly _tag: string; readonly title: string; readonly status: number },
  options?: {
    readonly extension?: Readonly<Record<string, unknown>> | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(
    JSON.stringify({
      type: "about:blank",
      title: problem.title,
      status: problem.status,
      ...options?.extension,
      _tag: problem._tag
    }),
    { status: problem.status, contentType, headers: options?.headers }
  )
