import { HttpServerRequest } from "@effect/platform"

/** Pairs as a client sent them, repeated ones and their case included. */
export type Sent = ReadonlyArray<readonly [name: string, value: string]>

interface Line {
  readonly method?: string
  readonly url?: string
}

/** A request as a web handler is given one. */
export const web = (headers: Sent, { method = "POST", url = "https://app.example.com/logout" }: Line = {}) =>
  HttpServerRequest.fromWeb(
    new Request(url, { method, headers: headers.map(([name, value]): [string, string] => [name, value]) })
  )

// The headers of which Node keeps the first, among those that matter here.
const keepsFirst = new Set(["authorization", "host", "user-agent"])

/** A request as Node hands it over: a relative URL, the headers that it kept, and the raw list of all. */
export const node = (headers: Sent, { method = "POST", url = "/logout" }: Line = {}) => {
  const kept: Record<string, string> = {}
  for (const [name, value] of headers) {
    const key = name.toLowerCase()
    const before = kept[key]
    kept[key] = before === undefined
      ? value
      : keepsFirst.has(key)
      ? before
      : `${before}${key === "cookie" ? "; " : ", "}${value}`
  }
  return HttpServerRequest.fromWeb(
    { method, url, headers: kept, rawHeaders: headers.flat() } as unknown as globalThis.Request
  )
}

/** Each of them, with what it is called in the title of a test. */
export const servers = [["a web handler", web], ["Node", node]] as const
