// Sign up, log in, read /user, log out: sessions on HttpApi. Run it with `npm start`, and with another store with
// SESSION_STORE=file, sqlite, postgres, redis or cookie before it.
import { HttpApiBuilder, HttpApiSwagger, HttpMiddleware } from "@effect/platform"
import { Layer } from "effect"
import { RequestBody } from "effect-security"
import * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
import { Api, Auth, CurrentUser, logIn, signUp } from "./accounts.js"
import { announce, HttpServerLive, runMain } from "./server.js"
import { AccountsLive as StoreLive } from "./stores.js"

const AccountsLive = HttpApiBuilder.group(Api, "accounts", (handlers) =>
  handlers
    .handle("signUp", ({ payload }) => signUp(payload))
    .handle("logIn", ({ payload }) => logIn(payload))
    .handle("user", () => CurrentUser)
    .handle("logOut", () => Auth.logout))

const ApiLive = HttpApiBuilder.api(Api).pipe(Layer.provide(AccountsLive), Auth.describe)

/** The routes over whatever serves `Auth`. */
export const Routes = HttpApiBuilder.serve(HttpMiddleware.logger).pipe(
  Layer.provide(HttpApiBuilder.middleware(RequestBody.middleware)),
  Layer.provide(HttpApiSwagger.layer({ path: "/schema" })),
  Layer.provide(HttpApiBuilder.middlewareOpenApi({ path: "/schema/openapi.json" })),
  Layer.provide(ApiLive)
)

/** The whole program, but for the socket. */
export const Program = Routes.pipe(Layer.provide([StoreLive, PasswordHasherArgon2.layer]))

export const instructions = (url: string): ReadonlyArray<string> => {
  const json = `-H 'content-type: application/json'`
  return [
    "Plain http: the session cookie is called `session` and is not Secure. Do not deploy this.",
    "",
    "  # sign up, which signs in; the cookie goes to ./cookies.txt",
    `  curl -i -c cookies.txt ${json} -d '{"name":"Ada","email":"ada@example.com","password":"correct horse"}' ${url}/signup`,
    `  curl -i -b cookies.txt ${url}/user`,
    `  curl -i -b cookies.txt -c cookies.txt -X POST ${url}/logout`,
    `  curl -i -b cookies.txt ${url}/user`,
    `  curl -i -c cookies.txt ${json} -d '{"email":"ada@example.com","password":"correct horse"}' ${url}/login`,
    "",
    `The API is described at ${url}/schema. Ctrl-C stops the server.`,
    ""
  ]
}

// The server listens when the store is there, so that nobody is kept waiting for it.
runMain(
  import.meta,
  announce(instructions).pipe(
    Layer.provideMerge(Routes),
    Layer.provide(HttpServerLive),
    Layer.provide([StoreLive, PasswordHasherArgon2.layer])
  )
)
