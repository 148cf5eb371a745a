// Whatever bytes come as the body of a sign-up or a sign-in, either all comes of it that the contract says, or nothing.
// Each test sends a thousand requests to one program; how to repeat one of them stands in robustness.ts.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Option, Schema } from "effect"
import type * as PasswordHasherArgon2 from "effect-security/user/PasswordHasherArgon2"
import { vi } from "vitest"
import { LogIn, SignUp } from "../../examples/accounts.js"
import type { Reply } from "./harness.js"
import type * as RawHttp from "./rawHttp.js"
import {
  anyByte,
  anyCharacter,
  assertShare,
  assertStatus,
  bob,
  everyCase,
  few,
  host,
  junk,
  limit,
  oneOf,
  repeated,
  secret,
  splice,
  withSessions,
  written
} from "./robustness.js"
import type { Accounts, Header } from "./robustness.js"

// The programs are those of the examples, but for the costly hash: a case takes about a millisecond.
vi.mock("effect-security/user/PasswordHasherArgon2", async (original) => ({
  ...await original<typeof PasswordHasherArgon2>(),
  layer: (await import("effect-security/user/PasswordHasher")).layer({
    algorithm: (await import("../user/fixtures.js")).fast
  })
}))

// -----------------------------------------------------------------------------
// Bodies
// -----------------------------------------------------------------------------

const text = FastCheck.string({ unit: anyCharacter, maxLength: 20 }).map((text) => JSON.stringify(text))
const key = FastCheck.oneof(
  oneOf("name", "email", "password", "id", "__proto__", "constructor", "prototype", "toString", "then", "_tag", "").map(
    (key) => JSON.stringify(key)
  ),
  text
)

/** JSON as text, so that what `JSON.stringify` would not write is in it as well. */
const jsonText: FastCheck.Arbitrary<string> = FastCheck.letrec<Record<"any" | "array" | "object" | "leaf", string>>(
  (tie) => ({
    any: FastCheck.oneof({ maxDepth: 4 }, tie("leaf"), tie("array"), tie("object")),
    leaf: FastCheck.oneof(
      oneOf("null", "true", "false", "0", "-0", "1e999", "-1e999", "1e-999", "9007199254740993", "\"\"", "{}", "[]"),
      FastCheck.double().map((number) => JSON.stringify(number)),
      FastCheck.nat(400).map((digits) => `1${"0".repeat(digits)}`),
      text,
      oneOf("\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\ufeff\"", "\"\u212b\"")
    ),
    array: FastCheck.array(tie("any"), { maxLength: 4 }).map((values) => `[${values.join(",")}]`),
    object: FastCheck.array(FastCheck.tuple(key, tie("any")), { maxLength: 4 }).map((entries) =>
      `{${entries.map(([key, value]) => `${key}:${value}`).join(",")}}`
    )
  })
).any

interface Body {
  readonly path: "/signup" | "/login"
  readonly bytes: Buffer
  readonly contentType?: ReadonlyArray<string>
}

/** An escape of a lone surrogate, as `JSON.stringify` writes it. */
const loneSurrogate = /(?<!\\)(?:\\\\)*\\ud[89a-f]/

/** Keys that lead to a prototype are ignored, with all that they hold. */
const parse = (text: string): unknown =>
  JSON.parse(
    text,
    (key, value) =>
      key === "__proto__" || (key === "constructor" && Object.hasOwn(Object(value), "prototype")) ? undefined : value
  )

/** What the contract of the path says of a body, by what this test knows of it. */
const decoded = ({ bytes, path }: Body) =>
  Either.try(() => parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))).pipe(
    // What is too deep for the stack is too deep to be sound.
    Either.flatMap((value) => Either.try(() => ({ value, text: JSON.stringify(value) }))),
    Either.filterOrLeft(({ text }) => !loneSurrogate.test(text), () => "not well-formed"),
    Either.flatMap(({ value }): Either.Either<typeof LogIn.Type, unknown> =>
      path === "/signup" ? Schema.decodeUnknownEither(SignUp)(value) : Schema.decodeUnknownEither(LogIn)(value)
    ),
    Either.getRight,
    Option.getOrUndefined
  )

const bodyLimit = 262_144

const isJsonType = (contentType: string | undefined) =>
  contentType !== undefined && contentType.split(";")[0]!.trim().toLowerCase() === "application/json"

/** Logins that read alike are one. */
const compared = (login: string) => login.normalize("NFKC").toLowerCase().normalize("NFKC")

/** Sends a body, and looks at what may have come of it: all that the contract says, or nothing. */
const submit = (world: Accounts, body: Body): Effect.Effect<Reply, RawHttp.NoAnswer> =>
  Effect.gen(function*() {
    const { bytes, contentType = ["application/json"], path } = body
    const since = world.inserted()
    const before = yield* world.sessions
    const controls = JSON.stringify(yield* world.users(0, 2))
    const reply = yield* world.client.send({
      method: "POST",
      target: path,
      headers: [host, ...contentType.map((type): Header => ["Content-Type", type])],
      body: bytes
    })
    const added = yield* world.users(since)
    const after = yield* world.sessions
    const fresh = after.filter(({ id }) => !before.some((record) => record.id === id))
    const payload = decoded(body)
    assert.strictEqual(JSON.stringify(yield* world.users(0, 2)), controls, "the users who were there are as they were")
    assert.deepStrictEqual(after.slice(0, before.length), before, "the sessions that were there are as they were")
    assert.deepStrictEqual(Object.keys(Object.prototype), [])
    if (!isJsonType(contentType[0]) && bytes.length > 0) {
      assertStatus(reply, [415])
    } else if (bytes.length > bodyLimit) {
      assertStatus(reply, [413])
    } else if (payload === undefined) {
      assertStatus(reply, [400])
    } else {
      assertStatus(reply, path === "/signup" ? [201, 400, 409] : [201, 400, 401])
    }
    if (reply.status === 201) {
      const user = JSON.parse(reply.body)
      assert.strictEqual(compared(user.email), compared(payload!.email))
      assert.deepStrictEqual(added.map(({ email }) => email), path === "/signup" ? [user.email] : [])
      assert.deepStrictEqual(fresh.map(({ subject }) => subject), [user.id])
      assert.lengthOf(reply.setCookies, 1)
    } else {
      assert.deepStrictEqual(added, [], "no user was stored")
      assert.deepStrictEqual(fresh, [], "no session was stored")
      assert.deepStrictEqual(reply.setCookies, [])
      assert.strictEqual(reply.headers["content-type"], "application/problem+json")
      assert.notInclude(reply.body, secret)
    }
    yield* Effect.forEach(fresh, world.remove)
    return reply
  })

const newEmail = FastCheck.stringMatching(/^[a-z]{1,12}@[a-z]{1,6}$/)
const paths = FastCheck.constantFrom<Body["path"]>("/signup", "/login")

type Entries = ReadonlyArray<readonly [key: string, value: string]>

/** A sound body, as the JSON text of each of its keys and values. */
const entriesOf = (path: Body["path"], email: string): Entries =>
  (path === "/signup"
    ? [["name", "Eve"], ["email", email], ["password", secret]]
    : [["email", bob.email], ["password", bob.password]]).map(([key, value]) =>
      [JSON.stringify(key), JSON.stringify(value)] as const
    )

const objectOf = (entries: Entries) => `{${entries.map(([key, value]) => `${key}:${value}`).join(",")}}`

const changes: Readonly<Record<string, (entries: Entries, at: number, key: string, value: string) => Entries>> = {
  nothing: (entries) => entries,
  replace: (entries, at, _key, value) => entries.map((entry, i) => i === at ? [entry[0], value] : entry),
  remove: (entries, at) => entries.filter((_, i) => i !== at),
  rename: (entries, at, key) => entries.map((entry, i) => i === at ? [key, entry[1]] : entry),
  wrap: (entries, at) => entries.map((entry, i) => i === at ? [entry[0], `[${entry[1]}]`] : entry),
  quote: (entries, at) => entries.map((entry, i) => i === at ? [entry[0], JSON.stringify(entry[1])] : entry),
  prepend: (entries, _at, key, value) => [[key, value], ...entries],
  append: (entries, _at, key, value) => [...entries, [key, value]],
  repeat: (entries, at, _key, value) => [...entries, [entries[at % entries.length]![0], value]],
  "repeat before": (entries, at, _key, value) => [[entries[at % entries.length]![0], value], ...entries]
}

const textEdits: Readonly<Record<string, (text: string, at: number, inserted: string) => string>> = {
  insert: (text, at, inserted) => splice(text, at, 0, inserted),
  replace: (text, at, inserted) => splice(text, at, 1, inserted),
  delete: (text, at) => splice(text, at, 1, ""),
  cut: (text, at) => text.slice(0, at % text.length),
  behead: (text, at) => text.slice(at % text.length),
  twice: (text) => text + text
}

const everyBody = <A>(
  title: string,
  arbitrary: FastCheck.Arbitrary<A>,
  toBody: (a: A) => Body,
  shares: Readonly<Record<string, number>>
) => {
  for (const [name, make] of Object.entries(withSessions)) {
    it.scopedLive(`${title}: ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* make
        const tally = yield* everyCase(world, 1, arbitrary, (a) => submit(world, toBody(a)))
        Object.entries(shares).forEach(([status, share]) => assertShare(tally, Number(status), share))
      }), limit)
  }
}

describe("a body is either sound or refused", () => {
  everyBody(
    "any JSON",
    FastCheck.record({
      path: paths,
      json: jsonText,
      open: oneOf("[", "{\"a\":", "{\"name\":", "{\"__proto__\":"),
      depth: FastCheck.oneof(
        { weight: 20, arbitrary: FastCheck.constant(0) },
        { weight: 4, arbitrary: FastCheck.integer({ min: 1, max: 100 }) },
        { weight: 2, arbitrary: FastCheck.integer({ min: 101, max: 60_000 }) }
      )
    }),
    ({ depth, json, open, path }) => ({
      path,
      bytes: Buffer.from(open.repeat(depth) + json + (open === "[" ? "]" : "}").repeat(depth))
    }),
    { 400: 0.9, 413: 0.001 }
  )

  everyBody(
    "the shape of a sound one, but for one field",
    FastCheck.record({
      path: paths,
      email: newEmail,
      change: FastCheck.constantFrom(...Object.keys(changes)),
      at: FastCheck.nat(2),
      key,
      value: jsonText
    }),
    ({ at, change, email, key, path, value }) => ({
      path,
      bytes: Buffer.from(objectOf(changes[change]!(entriesOf(path, email), at, key, value)))
    }),
    { 400: 0.3, 201: 0.1 }
  )

  everyBody(
    "almost JSON",
    FastCheck.record({
      path: paths,
      email: newEmail,
      edits: FastCheck.array(
        FastCheck.tuple(
          FastCheck.constantFrom(...Object.keys(textEdits)),
          FastCheck.nat(120),
          FastCheck.oneof(
            FastCheck.string({ unit: anyCharacter, minLength: 1, maxLength: 3 }),
            oneOf(
              "\"",
              "\\",
              "\\u",
              "\\ud800",
              "{",
              "}",
              "[",
              "]",
              ",",
              ":",
              "//",
              "/*",
              "'",
              "\ufeff",
              "\0",
              "NaN",
              "0x1"
            )
          )
        ),
        { minLength: 1, maxLength: 3 }
      )
    }),
    ({ edits, email, path }) => ({
      path,
      bytes: Buffer.from(
        edits.reduce(
          (text, [edit, at, inserted]) => textEdits[edit]!(text, at, inserted),
          objectOf(entriesOf(path, email))
        )
      )
    }),
    { 400: 0.4, 201: 0.02 }
  )

  everyBody(
    "any bytes",
    FastCheck.record({
      path: paths,
      email: newEmail,
      bytes: repeated(FastCheck.string({ unit: anyByte, maxLength: 100 }), 400),
      isWithin: FastCheck.boolean()
    }),
    ({ bytes, email, isWithin, path }) => ({
      path,
      bytes: Buffer.from(
        isWithin ? objectOf(entriesOf(path, email)).replace("@", () => written(bytes)) : written(bytes),
        "latin1"
      )
    }),
    { 400: 0.8 }
  )

  everyBody(
    "any content type",
    FastCheck.record({
      path: paths,
      email: newEmail,
      contentType: few(
        FastCheck.oneof(
          oneOf(
            "application/json",
            "APPLICATION/JSON",
            "application/json; charset=utf-8",
            "application/json ;",
            "\tapplication/json"
          ),
          oneOf(
            [
              "text/plain",
              "text/json",
              "application/jsonx",
              "application/problem+json",
              "application/json,text/plain"
            ],
            [
              "application/x-www-form-urlencoded",
              "multipart/form-data",
              "multipart/form-data; boundary=x",
              "*/*",
              ""
            ],
            ["text/plain; application/json", "application /json", "application\u00a0/json", ";application/json"]
          ),
          junk
        )
      )
    }),
    ({ contentType, email, path }) => ({ path, contentType, bytes: Buffer.from(objectOf(entriesOf(path, email))) }),
    { 415: 0.5, 201: 0.1 }
  )
})
