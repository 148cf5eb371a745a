// Whatever bytes come over a socket, a server gives an answer that is no 5xx, in time, goes on serving, and keeps what
// it has stored. Each test sends a thousand requests to one program; how to repeat one of them stands in robustness.ts.
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import type * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
import * as Http from "node:http"
import { vi } from "vitest"
import { basicHeader } from "./fixtures.js"
import { isClearing } from "./harness.js"
import type { Reply } from "./harness.js"
import * as RawHttp from "./rawHttp.js"
import {
  ada,
  anyByte,
  anyCharacter,
  assertShare,
  assertStatus,
  bob,
  everyCase,
  few,
  headerByte,
  host,
  json,
  jsonType,
  junk,
  limit,
  oneOf,
  piecesOf,
  refusedByNode,
  repeated,
  splice,
  targetByte,
  unchanged,
  withBackends,
  withSessions,
  written
} from "./robustness.js"
import type { Header, Repeated, World } from "./robustness.js"

// The programs are those of the examples, but for the costly hash: a case takes about a millisecond.
vi.mock("effect-security/user/PasswordHasherArgon2", async (original) => ({
  ...await original<typeof PasswordHasherArgon2>(),
  layer: (await import("effect-security/user/PasswordHasher")).layer({
    algorithm: (await import("../user/fixtures.js")).fast
  })
}))

/** One of each: where no backend of ours has a say in it, one router stands for the others. */
const all = { ...withSessions, "backends on HttpRouter": withBackends["backends on HttpRouter"]! }

// -----------------------------------------------------------------------------
// Headers that hold credentials
// -----------------------------------------------------------------------------

// Nobody was given one of these.
const tokenShaped = FastCheck.stringMatching(/^[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/)

const cookieFragments = [
  oneOf("session=", "service=", "__Host-session=", "Session=", "session", "$Version=1", "a=b"),
  oneOf(";", "; ", ",", "=", "\"", "%", "%3D", "%00", "%ff", "%E0%A4%A", "\u00a0", " ", "\t", "\\"),
  tokenShaped
]

const anyBase64 = FastCheck.string({ unit: anyByte, maxLength: 20 }).map((text) =>
  Buffer.from(text, "latin1").toString("base64")
)

const authorizationFragments = [
  oneOf("Basic ", "basic  ", "Bearer ", "BEARER ", "Basic", "Bearer", "Digest ", "Negotiate "),
  oneOf("=", "==", ":", ",", " ", "\t", "\u00a0", "\"", "user:password"),
  anyBase64,
  tokenShaped
]

const cookieValue = FastCheck.oneof(
  piecesOf(headerByte, ...cookieFragments),
  FastCheck.tuple(oneOf("session=", "service="), piecesOf(headerByte, ...cookieFragments)).map((parts) =>
    parts.join("")
  )
)
const authorizationValue = FastCheck.oneof(
  piecesOf(headerByte, ...authorizationFragments),
  FastCheck.tuple(oneOf("Basic ", "Bearer "), anyBase64).map((parts) => parts.join(""))
)

/** Any credential but one that somebody was given. */
const credentials = FastCheck.record({
  cookie: few(repeated(cookieValue, 400)),
  authorization: few(repeated(authorizationValue, 400)),
  key: few(repeated(piecesOf(headerByte, ...authorizationFragments), 400))
}).map(({ authorization, cookie, key }): ReadonlyArray<readonly [string, Repeated]> => [
  ...cookie.map((value) => ["Cookie", value] as const),
  ...authorization.map((value) => ["Authorization", value] as const),
  ...key.map((value) => ["X-Service-Key", value] as const)
])

interface Asked {
  readonly method: string
  readonly target: string
  readonly status: number
  readonly body?: Uint8Array
}

const askedOfAccounts: ReadonlyArray<Asked> = [
  { method: "GET", target: "/user", status: 401 },
  { method: "POST", target: "/logout", status: 204 },
  { method: "POST", target: "/login", status: 401, body: json({ email: ada.email, password: "wrong" }) }
]

const askedOfBackends: ReadonlyArray<Asked> = [
  ...["/bearer", "/basic", "/key", "/cookie"].map((target) => ({ method: "GET", target, status: 401 })),
  { method: "POST", target: "/basic", status: 401 }
]

describe("any bytes as a credential are none", () => {
  const check = (world: World, asked: ReadonlyArray<Asked>) =>
    everyCase(
      world,
      0.9,
      FastCheck.record({ asked: FastCheck.constantFrom(...asked), headers: credentials }),
      ({ asked, headers }) =>
        Effect.gen(function*() {
          const reply = yield* unchanged(
            world,
            world.client.send({
              ...asked,
              headers: [host, jsonType, ...headers.map(([name, value]): Header => [name, written(value)])]
            })
          )
          assertStatus(reply, [asked.status, ...refusedByNode])
          assert.isTrue(reply.setCookies.every(isClearing), "no cookie is granted")
          if (asked.status === 401) {
            assert.deepStrictEqual(reply.setCookies, [])
          }
          return reply
        })
    )

  for (const [name, make] of Object.entries(withSessions)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const tally = yield* check(yield* make, askedOfAccounts)
        assertShare(tally, 401, 0.5)
        assertShare(tally, 204, 0.2)
      }), limit)
  }

  for (const [name, make] of Object.entries(withBackends)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        assertShare(yield* check(yield* make, askedOfBackends), 401, 0.9)
      }), limit)
  }
})

describe("bytes that end a header or a request do no more than that", () => {
  const breaks = oneOf("\r\n", "\r", "\n", "\0", "\r\n\r\n", "\r\n ", "\u007f", "\u000b")
  const smuggled = oneOf(
    "\r\nContent-Length: 3\r\n",
    "\r\nTransfer-Encoding: chunked\r\n",
    "\r\nCookie: a=b",
    "\r\nHost: other",
    "\r\nUpgrade: websocket\r\n",
    "\r\n\r\nPOST /logout HTTP/1.1\r\nHost: localhost\r\nX: "
  )
  const broken = piecesOf(anyByte, breaks, smuggled, ...cookieFragments, ...authorizationFragments)
  // Most of these end a request, or are none: how many pass depends on how many pieces there are.
  const shares: Readonly<Record<string, number>> = { 401: 0.02, 400: 0.3 }

  for (const [name, make] of Object.entries(all)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        const tally = yield* everyCase(
          world,
          0.1,
          FastCheck.record({ name: oneOf("Cookie", "Authorization", "X-Service-Key"), value: broken }),
          ({ name, value }) =>
            Effect.gen(function*() {
              const replies = yield* unchanged(
                world,
                world.client.exchange(
                  RawHttp.bytesOf({
                    method: "GET",
                    target: world.path,
                    headers: [host, ["Connection", "close"], [name, value]]
                  })
                )
              )
              for (const reply of replies) {
                assertStatus(reply, [401, 204, 404, ...refusedByNode])
                assert.isTrue(reply.setCookies.every(isClearing), "no cookie is granted")
              }
              return replies[0]!
            })
        )
        Object.entries(shares).forEach(([status, share]) => assertShare(tally, Number(status), share))
      }), limit)
  }
})

// -----------------------------------------------------------------------------
// A cookie that is almost that of a session
// -----------------------------------------------------------------------------

type Mutation = (header: string, at: number, text: string, other: string) => string

const swapCase = (text: string) => {
  const lower = text.toLowerCase()
  return text === lower ? text.toUpperCase() : lower
}

const percent = (text: string) =>
  Array.from(text, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`).join("")

const value = (header: string, f: (value: string) => string) => {
  const equals = header.indexOf("=")
  return header.slice(0, equals + 1) + f(header.slice(equals + 1))
}

const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

const mutations: Readonly<Record<string, Mutation>> = {
  insert: (header, at, text) => splice(header, at, 0, text),
  replace: (header, at, text) => splice(header, at, text.length, text),
  delete: (header, at) => splice(header, at, 1, ""),
  duplicate: (header, at) => splice(header, at, 0, header[at % header.length] ?? ""),
  "flip a bit": (header, at) =>
    splice(header, at, 1, String.fromCharCode((header.charCodeAt(at % header.length) || 0x21) ^ (1 << (at % 5)))),
  "swap the case of one": (header, at) => splice(header, at, 1, swapCase(header[at % (header.length + 1)] ?? "")),
  "swap the case of the name": (header) => header.replace(/^[^=]*/, swapCase),
  "swap the case of the value": (header) => value(header, swapCase),
  "cut the end": (header, at) => header.slice(0, header.length - 1 - at % 60),
  "cut the start of the value": (header, at) => value(header, (value) => value.slice(1 + at % 60)),
  "append": (header, _at, text) => header + text,
  prefix: (header, _at, text) => text + header,
  "prefix the value": (header, _at, text) => value(header, (value) => text + value),
  quote: (header) => value(header, (value) => `"${value}"`),
  "percent-encode one": (header, at) => splice(header, at, 1, percent(header[at % (header.length + 1)] ?? "")),
  "percent-encode the value": (header) => value(header, percent),
  "percent-encode the dot": (header) => header.replace(".", "%2E"),
  "repeat the cookie": (header) => `${header}; ${header}`,
  "repeat the value": (header) => value(header, (value) => value + value),
  "begin with another's": (header, _at, _text, other) => `session=${other}; ${header}`,
  "end with another's": (header, _at, _text, other) => `${header}; session=${other}`,
  "take another's tag": (header, _at, _text, other) => value(header, (value) => other.slice(0, 12) + value.slice(12)),
  "take another's secret": (header, _at, _text, other) =>
    value(header, (value) => value.slice(0, 12) + other.slice(12)),
  "pad the value": (header, at) => value(header, (value) => `${value}${"\t "[at % 2]}; c=d`),
  "pad the start of the value": (header, at) => value(header, (value) => `${"\t "[at % 2]}${value}`),
  // The same bytes, where the last bits of the last character do not count.
  "spell the same bytes otherwise": (header) =>
    header.replace(/(.)(=*)$/, (_, last, padding) => (base64[base64.indexOf(last) + 1] ?? "") + padding),
  "leave out the padding": (header) => header.replace(/=+$/, ""),
  "prefix the name": (header) => `__Host-${header}`,
  "separate by comma": (header) => `a=b, ${header}`,
  "take a place among others": (header) => `a=b; ${header}; c=d`
}

/** These come close enough to matter to a parser that is not strict. */
const closest = [
  "spell the same bytes otherwise",
  "leave out the padding",
  "pad the value",
  "pad the start of the value",
  "percent-encode one"
]

const mutation = FastCheck.tuple(
  FastCheck.oneof(
    { weight: 2, arbitrary: oneOf(Object.keys(mutations)) },
    { weight: 1, arbitrary: oneOf(closest) }
  ),
  FastCheck.nat(120),
  FastCheck.oneof(
    FastCheck.string({ unit: headerByte, minLength: 1, maxLength: 2 }),
    oneOf("\u00a0", " ", "\t", ";", "; ", "=", "\"", "%00", ",", "a=b; ", "session=; ", "a=b;", "\\")
  )
)

const seldom = <A>(arbitrary: FastCheck.Arbitrary<A>): FastCheck.Arbitrary<A | undefined> =>
  FastCheck.oneof({ weight: 6, arbitrary: FastCheck.constant(undefined) }, { weight: 1, arbitrary })

const mutated = FastCheck.record({
  mutations: FastCheck.oneof(
    { weight: 1, arbitrary: FastCheck.constant([]) },
    { weight: 4, arbitrary: FastCheck.array(mutation, { minLength: 1, maxLength: 1 }) },
    { weight: 2, arbitrary: FastCheck.array(mutation, { minLength: 2, maxLength: 2 }) }
  ),
  before: seldom(cookieValue),
  after: seldom(cookieValue)
})

const applied =
  ({ mutations: steps }: typeof mutated extends FastCheck.Arbitrary<infer A> ? A : never) =>
  (header: string, other = "") =>
    steps.reduce((header, [name, at, text]) => mutations[name]!(header, at, text, other), header)

/** Node drops what surrounds a header. */
const trimmed = (line: string) => line.replace(/^[ \t]+|[ \t]+$/g, "")

/** RFC 6265bis section 5.8.3 in other words: the value of the one cookie of this name. */
const cookieIn = (lines: ReadonlyArray<string>, name: string): string | undefined => {
  const values = lines
    .map(trimmed)
    .join("; ")
    .split(";")
    .map((pair) => pair.replace(/^[ \t]+/, ""))
    .filter((pair) => pair.startsWith(`${name}=`))
  return values.length === 1 ? values[0]!.slice(name.length + 1) : undefined
}

describe("a cookie that is almost that of a session opens none, and ends none", () => {
  const cases = FastCheck.record({ mutation: mutated, endsSession: FastCheck.boolean() })

  for (const [name, make] of Object.entries(withSessions)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        const owners = new Map([world.ada, world.bob].map(({ email, token }) => [token, email]))
        const tally = yield* everyCase(world, 0.95, cases, ({ endsSession, mutation }) =>
          Effect.gen(function*() {
            const header = applied(mutation)(`session=${world.ada.token}`, world.bob.token)
            const lines = [mutation.before, header, mutation.after].filter((line) => line !== undefined)
            const owner = owners.get(cookieIn(lines, "session") ?? "")
            const isLogout = endsSession && owner === undefined
            const reply = yield* unchanged(
              world,
              world.client.send({
                method: isLogout ? "POST" : "GET",
                target: isLogout ? "/logout" : "/user",
                headers: [host, ...lines.map((line): Header => ["Cookie", line])]
              })
            )
            assert.notInclude(reply.body, owner === ada.email ? bob.email : ada.email)
            if (owner !== undefined) {
              assertStatus(reply, [200])
              assert.strictEqual(JSON.parse(reply.body).email, owner)
            } else {
              assertStatus(reply, [isLogout ? 204 : 401, ...refusedByNode])
              assert.notInclude(reply.body, "@example.com")
            }
            assert.isTrue(reply.setCookies.every((cookie) => reply.status === 204 && isClearing(cookie)))
            return reply
          }))
        assertShare(tally, 401, 0.3)
        assertShare(tally, 204, 0.2)
        assertShare(tally, 200, 0.05)
      }), limit)
  }
})

// -----------------------------------------------------------------------------
// A header that is almost a credential
// -----------------------------------------------------------------------------

/** Whose credential it is, in the words of the RFCs and by other means than those of the library. */
const schemes: ReadonlyArray<{
  readonly target: string
  readonly header: string
  readonly good: string
  readonly owner: (lines: ReadonlyArray<string>) => string | undefined
}> = [
  {
    target: "/bearer",
    header: "Authorization",
    good: "Bearer good",
    owner: (lines) =>
      lines.length === 1 && /^bearer +([^ ]+)$/i.exec(trimmed(lines[0]!))?.[1] === "good" ? "bob" : undefined
  },
  {
    target: "/basic",
    header: "Authorization",
    good: basicHeader("bob", "good"),
    owner: (lines) => {
      const encoded = lines.length === 1 ? /^basic +([^ ]+)$/i.exec(trimmed(lines[0]!))?.[1] : undefined
      const bytes = Buffer.from(encoded ?? "", "base64")
      const text = bytes.toString("utf8")
      return bytes.toString("base64") === encoded && Buffer.from(text).equals(bytes) && !/[\0-\x1f\x7f]/.test(text)
        ? /^([^:]*):good$/.exec(text)?.[1]
        : undefined
    }
  },
  {
    target: "/key",
    header: "X-Service-Key",
    good: "good",
    owner: (lines) => lines.length === 1 && trimmed(lines[0]!) === "good" ? "bob" : undefined
  },
  {
    target: "/cookie",
    header: "Cookie",
    good: "service=good",
    owner: (lines) => cookieIn(lines, "service") === "good" ? "bob" : undefined
  }
]

describe("a header that is almost a credential is none", () => {
  for (const [name, make] of Object.entries(withBackends)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        const cases = FastCheck.record({ scheme: FastCheck.nat(schemes.length - 1), mutation: mutated })
        const tally = yield* everyCase(world, 0.95, cases, ({ mutation, scheme }) =>
          Effect.gen(function*() {
            const { good, header, owner, target } = schemes[scheme]!
            const lines = [mutation.before, applied(mutation)(good), mutation.after].filter((line) =>
              line !== undefined
            )
            const expected = owner(lines)
            const reply = yield* world.client.send({
              method: "GET",
              target,
              headers: [host, ...lines.map((line): Header => [header, line])]
            })
            assertStatus(reply, expected === undefined ? [401, ...refusedByNode] : [200])
            if (expected !== undefined) {
              assert.strictEqual(reply.body, expected)
            }
            return reply
          }))
        assertShare(tally, 401, 0.5)
        assertShare(tally, 200, 0.04)
      }), limit)
  }
})

// -----------------------------------------------------------------------------
// Targets
// -----------------------------------------------------------------------------

const escaped = (bytes: Iterable<number>) =>
  Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")

const targetPiece = piecesOf(
  targetByte,
  oneOf("/", "//", "/./", "/../", "?", "#", ";", "\\", "*", ":", "@", "[", "[::1]", "a=b", "&", "%2f", "%2e%2e"),
  oneOf("user", "login", "logout", "signup", "schema", "openapi.json", "basic", "bearer", "constructor", "__proto__"),
  oneOf("%", "%0", "%zz", "%00", "%ff", "%C0%AF", "%E0%A4%A", "%ED%A0%80", "%F5%80%80%80", "%u0041", "%25", "%0d%0a"),
  FastCheck.string({ unit: anyCharacter, maxLength: 6 }).map((text) => escaped(Buffer.from(text))),
  FastCheck.uint8Array({ maxLength: 6 }).map(escaped)
)

const targets = FastCheck.record({
  prefix: FastCheck.oneof(
    { weight: 6, arbitrary: oneOf("/", "/", "/user", "/schema", "/login", "/logout", "/basic", "/basic/") },
    {
      weight: 2,
      arbitrary: oneOf(
        ["http://localhost", "http://localhost/user", "HTTP://x/", "https://[::1]:99999/", "http://a:b@c:d/user"],
        ["http://localhost/logout", "http:///user", "http://", "ftp://x/user"]
      )
    },
    { weight: 1, arbitrary: oneOf("", "*", "localhost:80", "//", "///user", "?", "#", "\\") }
  ),
  rest: FastCheck.oneof(
    {
      weight: 1,
      arbitrary: oneOf("", "?", "/", "//", "?a=%ff", "#x", "?%", "/..", "/%2e").map((text) => ({ text, times: 1 }))
    },
    { weight: 3, arbitrary: repeated(targetPiece, 4_000) },
    // Node itself refuses these.
    { weight: 1, arbitrary: repeated(piecesOf(headerByte, targetPiece), 2) }
  ),
  method: oneOf("GET", "GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"),
  isKnown: FastCheck.boolean()
})

describe("any target has an answer", () => {
  for (const [name, make] of Object.entries(all)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        yield* everyCase(world, 0.6, targets, ({ isKnown, method, prefix, rest }) =>
          Effect.gen(function*() {
            // Whom the program knows does not log out here, if that is what the target says.
            const isSent = isKnown && method === "GET"
            const reply = yield* unchanged(
              world,
              world.client.send({
                method,
                target: prefix + written(rest),
                headers: isSent ? [host, world.credential] : [host]
              })
            )
            assert.isBelow(reply.status, 500, reply.body)
            if (!isSent) {
              assert.notInclude(reply.body, world.secret)
            }
            assert.isTrue(reply.setCookies.every(isClearing), "no cookie is granted")
            return reply
          }))
      }), limit)
  }
})

// -----------------------------------------------------------------------------
// Methods
// -----------------------------------------------------------------------------

const methods = FastCheck.oneof(
  { weight: 5, arbitrary: oneOf(...Http.METHODS) },
  { weight: 1, arbitrary: oneOf("get", "Post", "PRI", "SOURCE", "GETS", "GE", "POST/", "HTTP/1.1", "", "constructor") },
  { weight: 1, arbitrary: FastCheck.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/) },
  { weight: 1, arbitrary: FastCheck.string({ unit: headerByte, maxLength: 12 }) }
)

describe("any method has an answer", () => {
  const cases = FastCheck.record({
    method: methods,
    target: oneOf("/user", "/login", "/logout", "/signup", "/schema", "/basic", "/bearer", "/nowhere", "*")
  })

  for (const [name, make] of Object.entries(all)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        yield* everyCase(world, 0.5, cases, ({ method, target }) =>
          unchanged(world, world.client.send({ method, target, headers: [host] })).pipe(
            // Node closes the connection of a CONNECT that nobody listens to.
            Effect.catchIf(
              (error) =>
                error.reason === "closed" && method === "CONNECT",
              () =>
                Effect.succeed<Reply>({ status: 400, headers: {}, setCookies: [], body: "" })
            ),
            Effect.map((reply) => {
              assert.isBelow(reply.status, 500, reply.body)
              assert.notInclude(reply.body, world.secret)
              assert.isTrue(reply.setCookies.every(isClearing), "no cookie is granted")
              return reply
            })
          ))
      }), limit)
  }
})

// -----------------------------------------------------------------------------
// Where a request comes from
// -----------------------------------------------------------------------------

const origins = FastCheck.oneof(
  { weight: 3, arbitrary: oneOf("http://localhost", "https://localhost", "http://localhost:80", "http://LOCALHOST") },
  {
    weight: 4,
    arbitrary: oneOf(
      ["null", "", "*", "http://evil.example", "http://localhost.evil.example", "http://localhost@evil.example"],
      ["http://evil.example#localhost", "http://localhost/", "http://localhost:81", "http://localhost:99999"],
      ["http://[::1]", "http://[", "http://%", "http://%6cocalhost", "app://localhost", "//localhost", "localhost"],
      [
        "http://localhost, http://evil.example",
        "http://localhost http://localhost",
        "https://xn--",
        "http://\u00e9"
      ],
      ["javascript:alert(1)", "constructor://localhost", "__proto__://localhost", "http://1", "http://0x7f.1"]
    )
  },
  { weight: 1, arbitrary: junk },
  { weight: 1, arbitrary: junk.map((text) => `http://${text}`) }
)

const sites = FastCheck.oneof(
  { weight: 2, arbitrary: oneOf("same-origin", "none") },
  {
    weight: 2,
    arbitrary: oneOf("cross-site", "same-site", "SAME-ORIGIN", "same-origin, cross-site", "same-origin\u00a0", "", "?1")
  },
  { weight: 1, arbitrary: junk }
)

const hostsOf = FastCheck.oneof(
  { weight: 6, arbitrary: oneOf("localhost") },
  {
    weight: 3,
    arbitrary: oneOf(
      ["LOCALHOST", "localhost:80", "localhost:", "localhost:81", "localhost:99999", "evil.example", "[::1]"],
      ["[::1", "[", "a b", "", "@", "localhost@evil.example", "localhost/evil.example", "localhost, evil.example"],
      ["http://localhost", "%6cocalhost", "xn--", "\u00e9", "1", "0x7f.1", "__proto__", "null"]
    )
  },
  { weight: 1, arbitrary: junk }
)

const froms = FastCheck.record({
  origins: few(origins),
  sites: FastCheck.oneof(FastCheck.constant([]), few(sites)),
  hosts: FastCheck.oneof(
    { weight: 5, arbitrary: hostsOf.map((host) => [host]) },
    { weight: 1, arbitrary: few(hostsOf) }
  ),
  isLowerCase: FastCheck.boolean()
})

type From = typeof froms extends FastCheck.Arbitrary<infer A> ? A : never

const linesOf = ({ hosts, isLowerCase, origins, sites }: From): ReadonlyArray<Header> =>
  [
    ...origins.map((origin): Header => ["Origin", origin]),
    ...hosts.map((host): Header => ["Host", host]),
    ...sites.map((site): Header => ["Sec-Fetch-Site", site])
  ].map(([name, value]): Header => [isLowerCase ? name.toLowerCase() : name, value])

/** What has to be so when a request was not refused. */
const mayBeAccepted = ({ hosts, origins, sites }: From): boolean => {
  if (sites.length > 0) {
    return sites.length === 1 && ["same-origin", "none"].includes(trimmed(sites[0]!))
  }
  if (origins.length === 0) {
    return true
  }
  const urls = [origins[0]!, `http://${hosts[0]}`].map(trimmed)
  return origins.length === 1 && hosts.length === 1 && urls.every((url) => URL.canParse(url)) &&
    new URL(urls[0]!).hostname === new URL(urls[1]!).hostname
}

describe("wherever an unsafe request says it comes from, it is done wholly or refused", () => {
  for (const [name, make] of Object.entries(withSessions)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        let passing: string | undefined
        let signUps = 0
        const cases = FastCheck.record({ from: froms, path: oneOf("/login", "/logout", "/signup") })
        const tally = yield* everyCase(world, 0.8, cases, ({ from, path }) =>
          Effect.gen(function*() {
            passing ??= yield* world.signIn(world.bob)
            const before = yield* world.sessions
            const { email, password } = world.bob
            const body = path === "/login"
              ? { email, password }
              : { name: "Eve", email: `eve${signUps++}@example.com`, password: "correct horse" }
            const reply = yield* world.client.send({
              method: "POST",
              target: path,
              headers: path === "/logout"
                ? [...linesOf(from), ["Cookie", `session=${passing}`]]
                : [...linesOf(from), jsonType],
              ...(path === "/logout" ? {} : { body: json(body) })
            })
            assertStatus(reply, [path === "/logout" ? 204 : 201, 403, ...refusedByNode])
            const after = yield* world.sessions
            if (reply.status < 300) {
              assert.isTrue(mayBeAccepted(from), "it was accepted")
              assert.lengthOf(reply.setCookies, 1)
              assert.strictEqual(after.length, before.length + (path === "/logout" ? -1 : 1))
            } else {
              assert.deepStrictEqual(reply.setCookies, [])
              assert.deepStrictEqual(after, before, "no session has changed")
            }
            if (path === "/logout" && reply.status === 204) {
              passing = undefined
            }
            yield* Effect.forEach(
              after.filter(({ id }) => !before.some((record) => record.id === id)),
              world.remove
            )
            return reply
          }))
        assertShare(tally, 403, 0.3)
        assertShare(tally, 201, 0.1)
        assertShare(tally, 204, 0.05)
      }), limit)
  }

  for (const [name, make] of Object.entries(withBackends).slice(0, 1)) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const world = yield* make
        const tally = yield* everyCase(world, 0.8, froms, (from) =>
          Effect.gen(function*() {
            const reply = yield* world.client.send({
              method: "POST",
              target: "/basic",
              headers: [...linesOf(from), world.credential]
            })
            assertStatus(reply, [200, 403, ...refusedByNode])
            if (reply.status === 200) {
              assert.isTrue(mayBeAccepted(from), "it was accepted")
            }
            return reply
          }))
        assertShare(tally, 403, 0.3)
        assertShare(tally, 200, 0.2)
      }), limit)
  }
})
