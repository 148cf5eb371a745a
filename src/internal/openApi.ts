import * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as CookiePolicy from "../http/CookiePolicy.js"
import * as problem from "./problem.js"

type Security = Readonly<Record<string, HttpApiSecurity.HttpApiSecurity>>

/** A security scheme object (OpenAPI 3.1 section 4.8.27). */
const toOpenApi = (security: HttpApiSecurity.HttpApiSecurity): OpenApi.OpenAPISecurityScheme => {
  const description = Option.match(Context.getOption(security.annotations, OpenApi.Description), {
    onNone: () => ({}),
    onSome: (description) => ({ description })
  })
  switch (security._tag) {
    case "ApiKey":
      return { type: "apiKey", name: security.key, in: security.in, ...description }
    case "Basic":
      return { type: "http", scheme: "basic", ...description }
    case "Bearer":
      return { type: "http", scheme: "bearer", ...description }
  }
}

/** Every security Tag of an api, whichever level it stands on. */
const securityTags = (api: HttpApi.HttpApi.AnyWithProps): ReadonlyArray<HttpApiMiddleware.TagClassSecurityAny> => {
  const tags = new Set<HttpApiMiddleware.TagClassAny>(api.middlewares)
  HttpApi.reflect(api as any, {
    onGroup: ({ group }) => group.middlewares.forEach((tag) => tags.add(tag)),
    onEndpoint: ({ middleware }) => middleware.forEach((tag) => tags.add(tag))
  })
  return Array.from(tags).filter((tag): tag is HttpApiMiddleware.TagClassSecurityAny => hasProperty(tag, "security"))
}

const cookieOf = (security: HttpApiSecurity.HttpApiSecurity): Option.Option<string> =>
  security._tag === "ApiKey" && security.in === "cookie"
    // Over plain http the prefix is dropped, and two names may become one.
    ? Option.some(CookiePolicy.insecureName({ name: security.key }))
    : Option.none()

/** What two Tags of one api must not share, as a sentence. */
export const conflict = (api: HttpApi.HttpApi.AnyWithProps): Option.Option<string> => {
  const names = new Map<string, string>()
  const cookies = new Map<string, string>()
  for (const tag of securityTags(api)) {
    for (const [name, security] of Object.entries(tag.security)) {
      const cookie = Option.getOrUndefined(cookieOf(security))
      const sameName = names.get(name)
      const sameCookie = cookie === undefined ? undefined : cookies.get(cookie)
      if (sameName !== undefined && sameName !== tag.key) {
        return Option.some(
          `${sameName} and ${tag.key} share the scheme name "${name}": give one of them another \`name\``
        )
      }
      if (sameCookie !== undefined && sameCookie !== tag.key) {
        return Option.some(`${sameCookie} and ${tag.key} share the cookie "${cookie}": give one of them another name`)
      }
      names.set(name, tag.key)
      if (cookie !== undefined) {
        cookies.set(cookie, tag.key)
      }
    }
  }
  return Option.none()
}

const ours = "#/components/schemas/effect-security."

/**
 * The platform forgets the media type where one status has several failures, as 403 has here. It is put right where all
 * of them are ours.
 */
const withProblemType = (response: any): any => {
  const json = response.content?.["application/json"]
  const schemas: ReadonlyArray<{ readonly $ref?: string }> = json?.schema.anyOf ?? []
  return schemas.length > 0 && schemas.every(({ $ref }) => $ref?.startsWith(ours) === true)
    ? { ...response, content: { [problem.contentType]: json } }
    : response
}

const mapValues = (record: any, f: (value: any) => any): any =>
  Object.fromEntries(Object.entries(record ?? {}).map(([key, value]) => [key, f(value)]))

const withProblemTypes = (paths: any): any =>
  mapValues(
    paths,
    (path) =>
      mapValues(path, (operation) => ({ ...operation, responses: mapValues(operation.responses, withProblemType) }))
  )

/** An api whose document shows these schemes in place of those that stand on its Tags under the same names. */
export const withSecurity = <A extends HttpApi.HttpApi.AnyWithProps>(api: A, inForce: Security): A => {
  const previous = Context.getOption(api.annotations, OpenApi.Transform)
  return api.annotate(OpenApi.Transform, (spec) => {
    const document: any = Option.match(previous, { onNone: () => spec, onSome: (transform) => transform(spec) })
    const securitySchemes = { ...document.components?.securitySchemes }
    for (const [name, security] of Object.entries(inForce)) {
      if (securitySchemes[name] !== undefined) {
        securitySchemes[name] = toOpenApi(security)
      }
    }
    return {
      ...document,
      paths: withProblemTypes(document.paths),
      components: { ...document.components, securitySchemes }
    }
  }) as unknown as A
}
