// A client that sends exactly the bytes that it is given, over connections that it keeps: nothing stands between a test
// and the socket of a server, and a thousand requests take a second.
import { Data, Effect } from "effect"
import type { Scope } from "effect"
import * as Net from "node:net"
import type { Reply } from "./harness.js"

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

export interface Request {
  /** Strings are latin1: each character is one byte. */
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body?: Uint8Array | undefined
}

/** The request line, the headers and the body, to which only the length of the body is added. */
export const bytesOf = ({ body, headers, method, target }: Request): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\n` +
        headers.map(([name, value]) => `${name}: ${value}\r\n`).join("") +
        `${body === undefined ? "" : `Content-Length: ${body.length}\r\n`}\r\n`,
      "latin1"
    ),
    ...(body === undefined ? [] : [body])
  ])

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

/** What came was not one whole answer in time. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{
  readonly reason: "hangs" | "closed" | "reset" | "unasked"
  readonly message: string
}> {}

interface Parsed {
  readonly reply: Reply
  readonly rest: string
}

const chunks = (text: string): { readonly body: string; readonly rest: string } | undefined => {
  let body = ""
  for (let position = 0;;) {
    const end = text.indexOf("\r\n", position)
    const size = Number.parseInt(text.slice(position, end), 16)
    if (end === -1 || text.length < end + 2 + size + 2) {
      return undefined
    }
    body += text.slice(end + 2, end + 2 + size)
    position = end + 2 + size + 2
    if (size === 0) {
      return { body, rest: text.slice(position) }
    }
  }
}

/** The first answer in what has come, once it is whole (RFC 9112 section 6.3). */
const parse = (text: string, isHead: boolean, isClosed: boolean): Parsed | undefined => {
  const end = text.indexOf("\r\n\r\n")
  if (end === -1) {
    return undefined
  }
  const [first = "", ...lines] = text.slice(0, end).split("\r\n")
  const status = Number(/^HTTP\/1\.1 ([0-9]{3})(?: |$)/.exec(first)?.[1])
  const headers: Record<string, string> = {}
  const setCookies: Array<string> = []
  for (const line of lines) {
    const colon = line.indexOf(":")
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name === "set-cookie") {
      setCookies.push(value)
    } else {
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
    }
  }
  const after = text.slice(end + 4)
  const whole = (body: string, rest: string): Parsed => ({
    reply: { status, headers, setCookies, body: Buffer.from(body, "latin1").toString("utf8") },
    rest
  })
  if (isHead || status === 204 || status === 304) {
    return whole("", after)
  }
  if (headers["transfer-encoding"] === "chunked") {
    const read = chunks(after)
    return read && whole(read.body, read.rest)
  }
  if (headers["content-length"] === undefined) {
    return isClosed ? whole(after, "") : undefined
  }
  const length = Number(headers["content-length"])
  return after.length < length ? undefined : whole(after.slice(0, length), after.slice(length))
}

// -----------------------------------------------------------------------------
// The client
// -----------------------------------------------------------------------------

export interface Client {
  /** Sends one request, on the connection of the one before where the server left it open, and gives its one answer. */
  readonly send: (request: Request) => Effect.Effect<Reply, NoAnswer>
  /** Sends bytes on a connection of their own, and gives all answers until the server closes it. */
  readonly exchange: (bytes: Buffer) => Effect.Effect<ReadonlyArray<Reply>, NoAnswer>
}

interface Connection {
  readonly socket: Net.Socket
  text: string
  closed: "closed" | "reset" | undefined
  changed: () => void
}

const open = (port: number): Connection => {
  const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
  const connection: Connection = { socket, text: "", closed: undefined, changed: () => {} }
  socket.on("data", (chunk) => {
    connection.text += chunk.toString("latin1")
    connection.changed()
  })
  socket.on("error", () => {
    connection.closed = "reset"
  })
  socket.on("close", () => {
    connection.closed ??= "closed"
    connection.changed()
  })
  return connection
}

const excerpt = (text: string): string => JSON.stringify(text.length > 400 ? `${text.slice(0, 400)}...` : text)

// A request takes about a millisecond: this is no measurement. Once something hung, the runner looks for a simpler case
// that hangs as well, and need not wait as long for each.
const patience = 10_000
const patienceAfterwards = 1_000

/** A client of the server on this port. Its requests are sent one after the other. */
export const make = (port: number): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.gen(function*() {
    let idle: Connection | undefined
    let millis = patience
    yield* Effect.addFinalizer(() => Effect.sync(() => idle?.socket.destroy()))

    /** Writes, and looks at what has come whenever more has, until that is what was waited for. */
    const ask = <A>(connection: Connection, bytes: Buffer, look: () => Effect.Effect<A, NoAnswer> | undefined) =>
      Effect.async<A, NoAnswer>((resume) => {
        const waited = millis
        const finish = (result: Effect.Effect<A, NoAnswer>) => {
          clearTimeout(timer)
          connection.changed = () => {}
          resume(result)
        }
        const timer = setTimeout(() => {
          millis = patienceAfterwards
          connection.socket.destroy()
          finish(
            new NoAnswer({
              reason: "hangs",
              message: `no answer within ${waited} ms to ${excerpt(bytes.toString("latin1"))}, only ${
                excerpt(connection.text)
              }`
            })
          )
        }, waited)
        connection.changed = () => {
          const result = look()
          if (result !== undefined) {
            finish(result)
          }
        }
        connection.socket.write(bytes)
      })

    const closed = (connection: Connection, bytes: Buffer) => {
      const reason = connection.closed ?? "closed"
      return new NoAnswer({
        reason,
        message: `the connection was ${reason} after ${excerpt(connection.text)}, which is no answer to ${
          excerpt(bytes.toString("latin1"))
        }`
      })
    }

    const unasked = (connection: Connection) => {
      connection.socket.destroy()
      return new NoAnswer({ reason: "unasked", message: `nobody had asked for ${excerpt(connection.text)}` })
    }

    return {
      send: (request) =>
        Effect.suspend(() => {
          const connection = idle === undefined || idle.closed !== undefined ? open(port) : idle
          idle = undefined
          if (connection.text !== "") {
            return Effect.fail(unasked(connection))
          }
          const bytes = bytesOf(request)
          return ask(connection, bytes, () => {
            const parsed = parse(connection.text, request.method === "HEAD", connection.closed !== undefined)
            if (parsed === undefined) {
              return connection.closed === undefined ? undefined : Effect.fail(closed(connection, bytes))
            }
            connection.text = parsed.rest
            if (connection.text !== "") {
              return Effect.fail(unasked(connection))
            }
            if (parsed.reply.headers["connection"]?.toLowerCase() === "close") {
              connection.socket.destroy()
            } else {
              idle = connection
            }
            return Effect.succeed(parsed.reply)
          })
        }),
      exchange: (bytes) =>
        Effect.suspend(() => {
          const connection = open(port)
          return ask(connection, bytes, () => {
            if (connection.closed === undefined) {
              return undefined
            }
            const replies: Array<Reply> = []
            while (connection.text !== "") {
              const parsed = parse(connection.text, false, true)
              if (parsed === undefined) {
                return Effect.fail(closed(connection, bytes))
              }
              replies.push(parsed.reply)
              connection.text = parsed.rest
            }
            return replies.length === 0 ? Effect.fail(closed(connection, bytes)) : Effect.succeed(replies)
          })
        })
    }
  })
