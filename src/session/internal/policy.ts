import * as signIn from "../../internal/signIn.js"

/** How long sessions last, in milliseconds. */
export interface Lifetime {
  readonly idle: number
  readonly absolute: number
}

interface Times {
  readonly lastSeenAt: number
  readonly absoluteDeadline: number
}

interface Deadlines {
  readonly idleDeadline: number
  readonly absoluteDeadline: number
}

const hour = 60 * 60 * 1_000

/** A session is over in the very millisecond of a deadline. */
export const isLive = ({ absoluteDeadline, idleDeadline }: Deadlines, now: number): boolean =>
  now < idleDeadline && now < absoluteDeadline

/**
 * How long a store remembers that all sessions of a subject were ended, in milliseconds. A password that was verified
 * longer ago is too old to sign in with, since nobody knows what was ended meanwhile.
 */
export const markMillis = signIn.maxVerificationAge

/** The deadlines of a session that begins now. */
export const begin = ({ absolute, idle }: Lifetime, now: number) => ({
  idleDeadline: now + idle,
  absoluteDeadline: now + absolute
})

/**
 * The idle deadline that a read at `now` earns, or undefined when the session was seen so recently that writing is not
 * worth it: a store is written at most once an hour, or ten times in an idle timeout.
 */
export const renew = ({ idle }: Lifetime, session: Times, now: number): number | undefined =>
  now - session.lastSeenAt >= Math.min(hour, idle / 10) ? now + idle : undefined

/** What a cookie's Max-Age is to be, in whole seconds: the absolute deadline, so that renewal sends no cookie. */
export const maxAge = ({ absoluteDeadline }: Times, now: number): number =>
  Math.max(1, Math.ceil((absoluteDeadline - now) / 1_000))
