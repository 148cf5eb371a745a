// The routes of `session-auth.ts` over JSON Web Tokens instead of sessions: the Layer is another one, and nothing else.
// `AUTH=bearer` (the default) has the token in `Authorization`, `AUTH=cookie` in a cookie that no script can read.
import { Config, Console, Effect, Layer, Option } from "effect"
import { JwtAuth, JwtCookieAuth, JwtKeys } from "effect-security"
import * as JwtKeysJose from "effect-security/jwt/JwtKeysJose"
import { Auth, exclude, retrieveUser, UsersLive } from "./accounts.js"
import { announce, HttpServerLive, runMain } from "./server.js"
import { Routes } from "./session-auth.js"

const AuthMode = Config.literal("bearer", "cookie")("AUTH").pipe(Config.withDefault("bearer"))

/** `JWT_SECRET` is base64url of at least 32 random bytes: `openssl rand 32 | basenc --base64url | tr -d =`. */
const KeysLive = JwtKeys.layer(Effect.flatMap(
  Config.option(Config.redacted("JWT_SECRET")),
  Option.match({
    onSome: (secret) => JwtKeysJose.hmac(secret),
    onNone: () =>
      Effect.zipRight(
        Console.log("JWT_SECRET is not set: a random one is used, and tokens end with this process."),
        JwtKeysJose.generate("HS256")
      )
  })
))

const options = { algorithms: ["HS256"], retrieveUser, exclude } as const

/** Whose tokens these are, and for whom. */
const settings = {
  issuer: Config.nonEmptyString("JWT_ISSUER").pipe(Config.withDefault("urn:example:accounts")),
  audience: Config.nonEmptyString("JWT_AUDIENCE").pipe(Config.withDefault("urn:example:accounts")),
  lifetime: Config.duration("JWT_LIFETIME").pipe(Config.withDefault("1 hour"))
}

export const AuthLive = Layer.unwrapEffect(Effect.map(AuthMode, (mode) =>
  mode === "bearer"
    ? JwtAuth.layerConfig(Auth, { ...options, settings })
    : JwtCookieAuth.layerConfig(Auth, { ...options, settings: { ...settings, insecureCookie: Config.succeed(true) } })))

/** The whole program, but for the socket. */
export const Program = Routes.pipe(Layer.provide(AuthLive), Layer.provide([KeysLive, UsersLive]))

const json = `-H 'content-type: application/json'`
const ada = `'{"name":"Ada","email":"ada@example.com","password":"correct horse"}'`

const bearer = (url: string): ReadonlyArray<string> => [
  "  # sign up, which signs in; the token is in the header Authorization of the response",
  `  TOKEN=$(curl -si ${json} -d ${ada} ${url}/signup | tr -d '\\r' | sed -n 's/^authorization: Bearer //ip')`,
  `  curl -i -H "authorization: Bearer $TOKEN" ${url}/user`,
  `  curl -i -H "authorization: Bearer $TOKEN" -X POST ${url}/logout`,
  "  # nothing on the server ends a token: it is good until it expires",
  `  curl -i -H "authorization: Bearer $TOKEN" ${url}/user`
]

const cookie = (url: string): ReadonlyArray<string> => [
  "Plain http: the cookie is called `session` and is not Secure. Do not deploy this.",
  "",
  "  # sign up, which signs in; the cookie goes to ./cookies.txt",
  `  curl -i -c cookies.txt ${json} -d ${ada} ${url}/signup`,
  `  curl -i -b cookies.txt ${url}/user`,
  `  curl -i -b cookies.txt -c cookies.txt -X POST ${url}/logout`,
  `  curl -i -b cookies.txt ${url}/user`
]

const Announcement = Layer.unwrapEffect(Effect.map(
  Effect.all([AuthMode, settings.issuer, settings.audience]),
  ([mode, issuer, audience]) =>
    announce((url) => [
      `AUTH=${mode} JWT_ISSUER=${issuer} JWT_AUDIENCE=${audience}`,
      "",
      ...(mode === "bearer" ? bearer(url) : cookie(url)),
      "",
      `The API is described at ${url}/schema. Ctrl-C stops the server.`,
      ""
    ])
))

runMain(import.meta, Announcement.pipe(Layer.provideMerge(Program), Layer.provide(HttpServerLive)))
