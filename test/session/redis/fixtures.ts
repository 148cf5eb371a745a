import { Clock, Effect, Encoding, Redacted } from "effect"
import { SessionStore, SessionToken } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { randomBytes } from "node:crypto"

export const minute = 60_000
export const hour = 60 * minute
export const day = 24 * hour

export const random = (): string => Encoding.encodeBase64Url(randomBytes(9))

/** What no other run uses. */
export const freshPrefix = (): string => `test:${random()}:`

export const layerOf = (url: string, prefix = freshPrefix()) =>
  SessionStoreRedis.layer({ url: Redacted.make(url), prefix })

/** A record with an id of its own that begins now, idle for an hour at most and a day in all. */
export const recordOf = (
  realm: string,
  subject: string | null,
  changes: Partial<SessionStore.SessionRecord> = {}
): Effect.Effect<SessionStore.SessionRecord> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const token = yield* SessionToken.make(realm, subject)
    return new SessionStore.SessionRecord({
      id: SessionToken.toId(realm, token),
      realm,
      subject,
      data: "{\"cart\":[\"oolong\"]}",
      schemaVersion: 1,
      version: 0,
      createdAt: now,
      authenticatedAt: now,
      lastSeenAt: now,
      idleDeadline: now + hour,
      absoluteDeadline: now + day,
      remember: true,
      userAgent: "test",
      ...changes
    })
  })

/** The same clock, so much ahead; behind where it is negative. */
export const ahead = (millis: number): Clock.Clock => {
  const clock = Clock.make()
  const now = () => clock.unsafeCurrentTimeMillis() + millis
  return {
    ...clock,
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    sleep: clock.sleep,
    unsafeCurrentTimeMillis: now,
    unsafeCurrentTimeNanos: () => BigInt(now()) * 1_000_000n,
    currentTimeMillis: Effect.sync(now),
    currentTimeNanos: Effect.sync(() => BigInt(now()) * 1_000_000n)
  }
}
