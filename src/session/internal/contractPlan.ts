import { sha256 } from "@noble/hashes/sha2.js"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type { SessionId } from "../SessionToken.js"
import * as SessionToken from "../SessionToken.js"
import { hour, minute } from "./contract.js"
import type { Owner } from "./contractHistory.js"

// What the workers agree on without a word: whose sessions there are, under which ids, and what time it is.

export interface Options {
  readonly seed: string
  readonly workers: number
  readonly clockOffset: number
}

const encoder = new TextEncoder()

const digest = (text: string): Uint8Array => sha256(encoder.encode(text))

/** The session that a name stands for: whoever knows the seed knows the id. */
const idOf = ({ realm }: Owner, tag: string, name: string): SessionId =>
  SessionToken.toId(
    realm,
    Redacted.make(`${tag}.${Encoding.encodeBase64Url(digest(name))}`) as SessionToken.SessionToken
  )

export interface Plan {
  readonly owners: ReadonlyArray<Owner>
  /** The hot sessions with which a round begins for an owner, and the worker that creates each. */
  readonly lines: (owner: Owner, round: number) => ReadonlyArray<{ readonly id: SessionId; readonly worker: number }>
  /** Where everybody looks for a session that is gone: it may have been given this id. */
  readonly successor: (owner: Owner, id: SessionId) => SessionId
  readonly freshId: (owner: Owner, name: string) => SessionId
  readonly now: (round: number) => number
}

const linesPerOwner = 2

export const make = ({ clockOffset, seed, workers }: Options): Plan => {
  const name = (text: string) => Encoding.encodeBase64Url(digest(`${seed}\0${text}`).subarray(0, 12))
  const [realm, other] = [name("realm"), name("another realm")]
  const owners: ReadonlyArray<Owner> = [
    { realm, subject: "ada" },
    { realm, subject: "bob" },
    { realm: other, subject: "ada" },
    { realm, subject: null }
  ]
  const [high = 0, low = 0] = digest(`${seed}\0start`)
  const start = Date.UTC(2300) + (high * 256 + low) * hour
  const freshId = (owner: Owner, text: string) => {
    const tag = owner.subject === null ? name(`tag ${text}`) : SessionToken.tagOf(owner.realm, owner.subject)
    return idOf(owner, tag.slice(0, 12), `${seed}\0${text}`)
  }
  return {
    owners,
    freshId,
    lines: (owner, round) =>
      Array.from({ length: linesPerOwner }, (_, line) => ({
        id: freshId(owner, `round ${round}, line ${line} of ${owners.indexOf(owner)}`),
        worker: (round + line + owners.indexOf(owner)) % workers
      })),
    successor: (owner, id) => idOf(owner, SessionToken.tagOfId(id), `${seed}\0successor of ${id}`),
    now: (round) => start + round * minute + clockOffset
  }
}
