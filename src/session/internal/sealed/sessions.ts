import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import { SessionRefused } from "../../SessionStore.js"
import type { Encoded } from "../codec.js"
import * as policy from "../policy.js"
import type { Epochs } from "./epochs.js"
import type { Payload } from "./payload.js"
import * as payloads from "./payload.js"
import type { Sealer } from "./sealer.js"

/** Why a text is no session. */
export type Ended =
  /** It was never one, or was sealed under keys that are gone. */
  | "Unopened"
  | "Expired"
  /** All sessions of the subject were ended since. */
  | "Revoked"
  | SecurityUnavailable

/** A live session, and whether it is sealed under the newest key. */
export interface Opened {
  readonly payload: Payload
  readonly isNewest: boolean
}

export interface Beginning {
  readonly encoded: Encoded
  readonly subject: string
  /** When the subject's password was verified; undefined for right now. */
  readonly verifiedAt: number | undefined
  readonly remember: boolean
}

/** How much longer than any session an epoch is remembered: clocks of several machines differ. */
const grace = 60 * 60 * 1_000

/** The sealed sessions of one realm: what is decided about them, in plain values. HTTP is an adapter over it. */
export type SealedSessions = ReturnType<typeof make>

export const make = ({ epochs, lifetime, sealer }: {
  readonly sealer: Sealer
  readonly lifetime: policy.Lifetime
  readonly epochs: Option.Option<Epochs>
}) => {
  const epochOf = (subject: string): Effect.Effect<number, SecurityUnavailable> =>
    Option.match(epochs, {
      onNone: () => Effect.succeed(0),
      onSome: ({ current }) => current(subject)
    })

  /** Nothing on the server ends a session that was sealed for longer than sessions last now. */
  const limited = (payload: Payload): Payload => ({
    ...payload,
    absoluteDeadline: Math.min(payload.absoluteDeadline, payload.createdAt + lifetime.absolute)
  })

  /** A session whose subject nobody is asked about. */
  const unseal = (text: string): Effect.Effect<Opened, "Unopened" | "Expired"> =>
    Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Opened, "Unopened" | "Expired"> => {
      const opened = sealer.open(text)
      if (Option.isNone(opened)) {
        return Effect.fail("Unopened")
      }
      const payload = Option.map(payloads.fromText(opened.value.text), limited)
      return Option.isSome(payload) && policy.isLive(payload.value, now)
        ? Effect.succeed({ payload: payload.value, isNewest: opened.value.isNewest })
        : Effect.fail("Expired")
    })

  const open = (text: string): Effect.Effect<Opened, Ended> =>
    Effect.flatMap(unseal(text), (opened): Effect.Effect<Opened, Ended> =>
      Effect.flatMap(
        epochOf(opened.payload.subject),
        (epoch) => opened.payload.epoch < epoch ? Effect.fail("Revoked") : Effect.succeed(opened)
      ))

  const begin = (
    { encoded, remember, subject, verifiedAt }: Beginning
  ): Effect.Effect<Payload, SessionRefused | SecurityUnavailable> =>
    Effect.gen(function*() {
      const epoch = yield* epochOf(subject)
      const now = yield* Clock.currentTimeMillis
      // Of an epoch in the very millisecond nobody knows whether it is younger than the password's verification.
      const isLate = (verifiedAt: number) => now - verifiedAt >= policy.markMillis || epoch > 0 && verifiedAt <= epoch
      if (verifiedAt !== undefined && isLate(verifiedAt)) {
        return yield* new SessionRefused()
      }
      const deadlines = policy.begin(lifetime, now)
      return { subject, ...encoded, createdAt: now, lastSeenAt: now, ...deadlines, remember, epoch }
    })

  /** What a use of a session makes of it. */
  const use = (payload: Payload): Effect.Effect<Payload> =>
    Effect.map(Clock.currentTimeMillis, (now) => ({
      ...payload,
      lastSeenAt: now,
      idleDeadline: Math.max(payload.idleDeadline, policy.begin(lifetime, now).idleDeadline)
    }))

  return {
    unseal,
    open,
    begin,
    use,

    /** Whether a read is to seal the session anew: when it is time to, and when an old key was met. */
    isDue: ({ isNewest, payload }: Opened): Effect.Effect<boolean> =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) => !isNewest || policy.renew(lifetime, payload, now) !== undefined
      ),

    /** What the client is to hold, and for how many seconds. */
    seal: (payload: Payload) =>
      Effect.gen(function*() {
        const text = yield* sealer.seal(payloads.toText(payload))
        const now = yield* Clock.currentTimeMillis
        return { text, maxAge: payload.remember ? policy.maxAge(payload, now) : undefined }
      }),

    /** Ends all sessions of a subject, and gives the epoch in which another may begin. */
    endAll: ({ advance }: Epochs, subject: string): Effect.Effect<number, SecurityUnavailable> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => advance(subject, now + lifetime.absolute + grace))
  }
}
