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
  return Array.from(tags).filter(isSecurityTag)
}

type Requirement = Readonly<Record<string, ReadonlyArray<string>>>

const isSecurityTag = (tag: HttpApiMiddleware.TagClassAny): tag is HttpApiMiddleware.TagClassSecurityAny =>
  hasProperty(tag, "security")

const schemesOf = (tag: HttpApiMiddleware.TagClassSecurityAny): ReadonlyArray<Requirement> =>
  Object.keys(tag.security).map((name) => ({ [name]: [] }))

/** Every Tag in front of an endpoint has to be satisfied, each by one of its schemes. */
const required = (tags: ReadonlyArray<HttpApiMiddleware.TagClassSecurityAny>): ReadonlyArray<Requirement> =>
  tags.length === 0 ? [] : tags.reduce<ReadonlyArray<Requirement>>(
    (all, tag) => all.flatMap((requirement) => schemesOf(tag).map((scheme) => ({ ...requirement, ...scheme }))),
    [{}]
  )

/**
 * What each operation requires. The platform lists the schemes of all Tags as alternatives, and says of an endpoint
 * whose Tag stands on the api that it requires nothing.
 */
const requirements = (api: HttpApi.HttpApi.AnyWithProps) => {
  const byOperation = new Map<string, {
    readonly written: ReadonlyArray<Requirement>
    readonly meant: ReadonlyArray<Requirement>
  }>()
  HttpApi.reflect(api as any, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint, middleware }) => {
      const own = Array.from(middleware).filter(isSecurityTag)
      const all = new Set([...Array.from(api.middlewares).filter(isSecurityTag), ...own])
      byOperation.set(`${endpoint.method.toLowerCase()} ${endpoint.path.replace(/:(\w+)\??/g, "{$1}")}`, {
        written: own.flatMap(schemesOf),
        meant: required(Array.from(all))
      })
    }
  })
  return byOperation
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

const mapValues = (record: any, f: (value: any, key: string) => any): any =>
  Object.fromEntries(Object.entries(record ?? {}).map(([key, value]) => [key, f(value, key)]))

/** An operation as it is: what the application has written itself stays. */
const corrected = (
  operation: any,
  requirement: { readonly written: ReadonlyArray<Requirement>; readonly meant: ReadonlyArray<Requirement> } | undefined
): any => ({
  ...operation,
  ...(requirement !== undefined && JSON.stringify(operation.security) === JSON.stringify(requirement.written)
    ? { security: requirement.meant }
    : {}),
  responses: mapValues(operation.responses, withProblemType)
})

/** An api whose document shows these schemes in place of those that stand on its Tags under the same names. */
export const withSecurity = <A extends HttpApi.HttpApi.AnyWithProps>(api: A, inForce: Security): A => {
  const previous = Context.getOption(api.annotations, OpenApi.Transform)
  const required = requirements(api)
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
      paths: mapValues(
        document.paths,
        (item, path) => mapValues(item, (operation, method) => corrected(operation, required.get(`${method} ${path}`)))
      ),
      components: { ...document.components, securitySchemes }
    }
  }) as unknown as A
}
