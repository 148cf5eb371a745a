import type * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Credential from "../http/Credential.js"
import * as ResponseJar from "../http/ResponseJar.js"
import type { Carrier } from "./backend.js"

type Text = string | Credential.BasicCredentials

const claim = () => Effect.void

/** A cookie of this name, or what it has become since this request changed it. */
export const cookie = (name: string): Carrier<string> => ({
  header: "Cookie",
  isAmbient: true,
  challenge: { missing: "Cookie", bad: "Cookie" },
  claim,
  wasRefused: (request) => ResponseJar.get(request).refused.has(name),
  keyOf: (credential) => credential,
  read: (request) => {
    const changed = ResponseJar.get(request).credentials.get(name)
    return changed === undefined
      ? Credential.fromRequest(request, "cookie", (header) => Credential.cookie(header, name))
      : changed === null
      ? Credential.none
      : Credential.found(Redacted.value(changed))
  }
})

/** A cookie that belongs to one backend, by the id of its Tag. */
export const ownedCookie = (id: string, name: string): Carrier<string> => ({
  ...cookie(name),
  claim: (request) =>
    Effect.suspend(() => {
      const { owners } = ResponseJar.get(request)
      const owner = owners.get(name) ?? id
      owners.set(name, owner)
      return owner === id
        ? Effect.void
        : Effect.dieMessage(`${owner} and ${id} share the cookie "${name}": give one of them another name`)
    })
})

/** `Bearer` and a token in a header, or what it would have to say to `owner` since this request changed it. */
export const bearer = (header: string, owner: object = {}): Carrier<string> => {
  const name = header.toLowerCase()
  return {
    header,
    isAmbient: false,
    // RFC 6750 section 3.1: no error code where the request lacks any authentication information.
    challenge: {
      missing: "Bearer",
      bad: "Bearer error=\"invalid_token\"",
      insufficient: (scope) => `Bearer error="insufficient_scope", scope="${scope}"`
    },
    claim,
    keyOf: (credential) => credential,
    read: (request) => {
      const changed = ResponseJar.get(request).headerCredentials.get(owner)
      return changed === undefined
        ? Credential.fromRequest(request, name, Credential.bearer)
        : changed === null
        ? Credential.none
        : Credential.bearer(Redacted.value(changed))
    }
  }
}

const basic = (realm: string): Carrier<Credential.BasicCredentials> => {
  // RFC 7617 section 2: the realm is required.
  const challenge = `Basic realm="${realm}", charset="UTF-8"`
  return {
    header: "Authorization",
    isAmbient: true,
    challenge: { missing: challenge, bad: challenge },
    claim,
    keyOf: ({ password, username }) => `${username}:${Redacted.value(password)}`,
    read: (request) => Credential.fromRequest(request, "authorization", Credential.basic)
  }
}

const apiKey = (header: string): Carrier<string> => ({
  header,
  isAmbient: false,
  challenge: { missing: "ApiKey", bad: "ApiKey" },
  claim,
  keyOf: (credential) => credential,
  read: (request) => Credential.fromRequest(request, header.toLowerCase(), Credential.apiKey)
})

/** Where the credential of a scheme is. `realm` names the protected space where the scheme has one. */
export const fromScheme = (scheme: HttpApiSecurity.HttpApiSecurity, realm: string): Carrier<Text> => {
  switch (scheme._tag) {
    case "Bearer":
      return bearer("Authorization") as Carrier<Text>
    case "Basic":
      return basic(realm) as Carrier<Text>
    case "ApiKey":
      return (scheme.in === "cookie" ? cookie(scheme.key) : apiKey(scheme.key)) as Carrier<Text>
  }
}

/** What a custom backend is given: never a bare string. */
export const toCredential = (text: Text): Redacted.Redacted | Credential.BasicCredentials =>
  typeof text === "string" ? Redacted.make(text) : text
