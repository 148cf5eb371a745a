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

const mapValues = (record: any, f: (value: any, key: string) => any): any =>
  Object.fromEntries(Object.entries(record ?? {}).map(([key, value]) => [key, f(value, key)]))

/** A security scheme object of a kind that the platform's schemes do not know, for the one that it stands on. */
export class SchemeObject
  extends Context.Tag("effect-security/internal/SchemeObject")<SchemeObject, Readonly<Record<string, unknown>>>()
{}

/** A security scheme object (OpenAPI 3.1 section 4.8.27). */
const toOpenApi = (security: HttpApiSecurity.HttpApiSecurity): OpenApi.OpenAPISecurityScheme => {
  const description = Option.match(Context.getOption(security.annotations, OpenApi.Description), {
    onNone: () => ({}),
    onSome: (description) => ({ description })
  })
  const own = Context.getOption(security.annotations, SchemeObject)
  if (Option.isSome(own)) {
    // A copy: who changes one document changes no other.
    return { ...structuredClone(own.value), ...description } as unknown as OpenApi.OpenAPISecurityScheme
  }
  switch (security._tag) {
    case "ApiKey":
      return { type: "apiKey", name: security.key, in: security.in, ...description }
    case "Basic":
      return { type: "http", scheme: "basic", ...description }
    case "Bearer":
      return {
        type: "http",
        scheme: "bearer",
        ...Option.match(Context.getOption(security.annotations, OpenApi.Format), {
          onNone: () => ({}),
          onSome: (bearerFormat) => ({ bearerFormat })
        }),
        ...description
      }
  }
}

/** Marks the Tag that stands for several, and lists them. */
export const MembersTypeId = "~effect-security/members" as const

const membersOf = (
  tag: HttpApiMiddleware.TagClassSecurityAny
): ReadonlyArray<HttpApiMiddleware.TagClassSecurityAny> =>
  hasProperty(tag, MembersTypeId)
    ? (tag[MembersTypeId] as ReadonlyArray<HttpApiMiddleware.TagClassSecurityAny>).flatMap(membersOf)
    : [tag]

/** Every security Tag of an api that reads a credential, whichever level it stands on. */
const securityTags = (api: HttpApi.HttpApi.AnyWithProps): ReadonlyArray<HttpApiMiddleware.TagClassSecurityAny> => {
  const tags = new Set<HttpApiMiddleware.TagClassAny>(api.middlewares)
  HttpApi.reflect(api as any, {
    onGroup: ({ group }) => group.middlewares.forEach((tag) => tags.add(tag)),
    onEndpoint: ({ middleware }) => middleware.forEach((tag) => tags.add(tag))
  })
  const all = Array.from(tags)
  return Array.from(
    new Set([...all.filter(isSecurityTag), ...scopedOf(all).map(({ auth }) => auth)].flatMap(membersOf))
  )
}

type Requirement = Readonly<Record<string, ReadonlyArray<string>>>

const isSecurityTag = (tag: HttpApiMiddleware.TagClassAny): tag is HttpApiMiddleware.TagClassSecurityAny =>
  hasProperty(tag, "security")

/** Marks the Tag of required scopes, which has no security scheme: it holds the backend's Tag and the scopes. */
export const ScopesTypeId = "~effect-security/scopes" as const

interface Scoped {
  readonly auth: HttpApiMiddleware.TagClassSecurityAny
  readonly scopes: ReadonlyArray<string>
}

const scopedOf = (tags: ReadonlyArray<HttpApiMiddleware.TagClassAny>): ReadonlyArray<Scoped> =>
  tags.flatMap((tag) => hasProperty(tag, ScopesTypeId) ? [tag[ScopesTypeId] as Scoped] : [])

const schemesOf = (
  tag: HttpApiMiddleware.TagClassSecurityAny,
  scoped: ReadonlyArray<Scoped> = []
): ReadonlyArray<Requirement> => {
  const scopes = new Set(scoped.filter(({ auth }) => auth.key === tag.key).flatMap(({ scopes }) => scopes))
  return Object.keys(tag.security).map((name) => ({ [name]: Array.from(scopes) }))
}

/** Two Tags may stand for one scheme, each with scopes of its own. */
const both = (requirement: Requirement, other: Requirement): Requirement => ({
  ...requirement,
  ...mapValues(other, (scopes, name) => Array.from(new Set([...requirement[name] ?? [], ...scopes])))
})

/** Every Tag in front of an endpoint has to be satisfied, each by one of its schemes. */
const required = (
  tags: ReadonlyArray<HttpApiMiddleware.TagClassSecurityAny>,
  scoped: ReadonlyArray<Scoped>
): ReadonlyArray<Requirement> =>
  tags.length === 0 ? [] : tags.reduce<ReadonlyArray<Requirement>>(
    (all, tag) => all.flatMap((requirement) => schemesOf(tag, scoped).map((scheme) => both(requirement, scheme))),
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
      const scoped = scopedOf([...api.middlewares, ...middleware])
      const all = new Set([
        ...Array.from(api.middlewares).filter(isSecurityTag),
        ...own,
        // Who requires scopes of a backend requires the backend.
        ...scoped.map(({ auth }) => auth)
      ])
      byOperation.set(`${endpoint.method.toLowerCase()} ${endpoint.path.replace(/:(\w+)\??/g, "{$1}")}`, {
        written: own.flatMap((tag) => schemesOf(tag)),
        meant: required(Array.from(all), scoped)
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
    const isRequired = (name: string) =>
      Array.from(required.values()).some(({ meant }) => meant.some((requirement) => name in requirement))
    for (const [name, security] of Object.entries(inForce)) {
      if (securitySchemes[name] !== undefined || isRequired(name)) {
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
