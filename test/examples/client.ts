// A client as these programs are meant for: it keeps cookies and a bearer token, and sends them back.
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { createServer } from "node:http"

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: () => any
}

export interface Client {
  readonly send: (method: string, path: string, init?: {
    readonly json?: unknown
    readonly body?: string | Uint8Array<ArrayBuffer>
    readonly headers?: Record<string, string>
  }) => Effect.Effect<Answer>
  readonly cookies: Map<string, string>
  /** The token of the last response that granted one. */
  readonly bearer: () => string | undefined
  readonly forget: () => void
}

export const make = (url: string): Client => {
  const cookies = new Map<string, string>()
  let bearer: string | undefined
  return {
    cookies,
    bearer: () => bearer,
    forget: () => {
      cookies.clear()
      bearer = undefined
    },
    send: (method, path, init = {}) =>
      Effect.promise(async (signal) => {
        const body = init.json === undefined ? init.body : JSON.stringify(init.json)
        const response = await fetch(`${url}${path}`, {
          method,
          ...(body === undefined ? {} : { body }),
          signal,
          redirect: "manual",
          headers: {
            ...(cookies.size === 0
              ? {}
              : { cookie: Array.from(cookies, ([name, value]) => `${name}=${value}`).join("; ") }),
            ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
            ...(init.json === undefined ? {} : { "content-type": "application/json" }),
            ...init.headers
          }
        })
        for (const header of response.headers.getSetCookie()) {
          const [pair, ...attributes] = header.split("; ")
          const [name, value] = pair!.split("=") as [string, string]
          if (attributes.includes("Max-Age=0")) {
            cookies.delete(name)
          } else {
            cookies.set(name, value)
          }
        }
        bearer = response.headers.get("authorization")?.replace(/^Bearer /, "") ?? bearer
        const text = await response.text()
        return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) }
      })
  }
}

type Services = Layer.Layer.Success<ReturnType<typeof NodeHttpServer.layer>>

/** Serves a program on a free port of this machine for as long as the scope lasts, and gives its address. */
export const serve = <E>(program: Layer.Layer<never, E, Services>) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(
      Layer.provideMerge(program, NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
    return yield* Effect.provide(HttpServer.addressFormattedWith((url) => Effect.succeed(url)), context)
  })
