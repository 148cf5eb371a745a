import { sha256 } from "@noble/hashes/sha2.js"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type { SessionId } from "../../SessionToken.js"
import * as SessionToken from "../../SessionToken.js"

// The names of keys. All of a subject's have its tag in braces, which a Cluster takes the slot from: what a script
// works with lies together on one node.

export const defaultPrefix = "effect-security:"

/** The names of a subject's own keys. */
export interface SubjectKeys {
  readonly tag: string
  /** What tells the subject from others with the same tag. */
  readonly digest: string
  /** A sorted set of the ids of its sessions, each with the deadline. */
  readonly index: string
  /** When all its sessions were last ended, in milliseconds. */
  readonly mark: string
  readonly epoch: string
}

export interface Keys {
  readonly session: (id: SessionId) => string
  /** What the keys of the sessions with a tag begin with; the id follows. */
  readonly sessions: (tag: string) => string
  /** What the keys of the indexes with a tag begin with; the digest follows. */
  readonly indexes: (tag: string) => string
  readonly subject: (realm: string, subject: string) => SubjectKeys
  /** A glob that every key of a session matches, and maybe others do. */
  readonly sessionGlob: (before: string) => string
  /** The id, where a key is that of a session; `before` is what the client puts before each key. */
  readonly idOf: (before: string, key: string) => SessionId | undefined
}

const escapeGlob = (text: string): string => text.replace(/[\\*?[\]^-]/g, "\\$&")

// Anchored at both ends: after a longer prefix of somebody else's there is more than this.
const afterPrefix = /^\{([A-Za-z0-9_-]{12})\}:session:(\1\.[A-Za-z0-9_-]{43})$/

const encoder = new TextEncoder()

/** Of JSON, which has another text for each pair, also with NUL or half of a character in it. */
const digestOf = (realm: string, subject: string): string =>
  Encoding.encodeBase64Url(sha256(encoder.encode(JSON.stringify([realm, subject]))))

/** Left says what is wrong with the prefix. */
export const make = (prefix: string): Either.Either<Keys, string> => {
  // The first braces of a key are those that a Cluster reads.
  if (/[{}]/.test(prefix)) return Either.left("the prefix of keys in Redis holds no braces")
  const tagged = (tag: string, kind: string) => `${prefix}{${tag}}:${kind}:`
  return Either.right({
    session: (id) => `${tagged(SessionToken.tagOfId(id), "session")}${id}`,
    sessions: (tag) => tagged(tag, "session"),
    indexes: (tag) => tagged(tag, "index"),
    subject: (realm, subject) => {
      const tag = SessionToken.tagOf(realm, subject)
      const digest = digestOf(realm, subject)
      return {
        tag,
        digest,
        index: `${tagged(tag, "index")}${digest}`,
        mark: `${tagged(tag, "mark")}${digest}`,
        epoch: `${tagged(tag, "epoch")}${digest}`
      }
    },
    sessionGlob: (before) => `${escapeGlob(before + prefix)}{*}:session:*`,
    idOf: (before, key) => {
      const start = before + prefix
      return key.startsWith(start)
        ? afterPrefix.exec(key.slice(start.length))?.[2] as SessionId | undefined
        : undefined
    }
  })
}
