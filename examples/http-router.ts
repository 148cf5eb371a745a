// The contract of `session-auth.ts` composed by hand on HttpRouter, behind the app-wide gate: whatever `exclude` does not
// name needs a session, also a route that someone adds tomorrow.
import {
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse,
  OpenApi
} from "@effect/platform"
import { Effect, Layer } from "effect"
import { RequestBody } from "effect-security"
import { Api, Auth, AuthLive, LogIn, logIn, SessionsLive, SignUp, signUp, User, UsersLive } from "./accounts.js"
import { announce, HttpServerLive, runMain } from "./server.js"
import { instructions } from "./session-auth.js"

const userResponse = HttpServerResponse.schemaJson(User)

const document = Effect.map(Auth.describeApi(Api), OpenApi.fromApi)

const escape = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** The operations as a page: everything is in it, so that it loads nothing. */
const page = ({ info, paths }: OpenApi.OpenAPISpec) => {
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `<li><code>${method.toUpperCase()} ${escape(path)}</code></li>`)
  )
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(info.title)}</title></head>
<body><h1>${escape(info.title)}</h1><ul>${operations.join("")}</ul><a href="/schema/openapi.json">OpenAPI</a></body>
</html>`
}

const router = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/signup",
    HttpServerRequest.schemaBodyJson(SignUp).pipe(
      Effect.flatMap(signUp),
      Effect.flatMap((user) => userResponse(user, { status: 201 }))
    )
  ),
  HttpRouter.post(
    "/login",
    HttpServerRequest.schemaBodyJson(LogIn).pipe(
      Effect.flatMap(logIn),
      Effect.flatMap((user) => userResponse(user, { status: 201 }))
    )
  ),
  HttpRouter.get("/user", Effect.flatMap(Auth.user, (user) => userResponse(user))),
  HttpRouter.post("/logout", Effect.as(Auth.logout, HttpServerResponse.empty({ status: 204 }))),
  HttpRouter.get("/schema", Effect.map(document, (document) => HttpServerResponse.html(page(document)))),
  HttpRouter.get("/schema/openapi.json", Effect.flatMap(document, (document) => HttpServerResponse.json(document)))
)

/** The whole program, but for the socket. */
export const Program = router.pipe(
  Auth.middleware,
  RequestBody.middleware,
  HttpServer.serve(HttpMiddleware.logger),
  Layer.provide(AuthLive),
  Layer.provide([SessionsLive, UsersLive])
)

runMain(import.meta, announce(instructions).pipe(Layer.provideMerge(Program), Layer.provide(HttpServerLive)))
