import * as Cookies from "@effect/platform/Cookies"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as CookiePolicy from "../../../http/CookiePolicy.js"
import * as Credential from "../../../http/Credential.js"
import type * as CrossSite from "../../../http/CrossSite.js"
import * as ResponseJar from "../../../http/ResponseJar.js"
import type { Carrier } from "../../../internal/backend.js"
import * as carriers from "../../../internal/carrier.js"
import * as credentialCookie from "../../../internal/credentialCookie.js"
import type { Observer } from "../../../internal/observe.js"
import { CookieTooLarge, SessionConflict } from "../../../SecurityError.js"

// A text that is too long for one cookie goes into several: `session` holds `<how many>.<text>`, and what does not fit
// goes on in `session.1`. How many there are is said by the first, so that what an earlier, longer one left behind, or a
// parallel response has set, is not taken for a part of it: the wrong parts do not open.

/** Browsers keep no larger cookie (RFC 6265bis section 5.6), counted here with its attributes. */
const limit = 4096
/** Of all cookies of a session: a server takes 16 KiB of headers at most by default (Node), a proxy often 8. */
const limitOfAll = 2 * limit
const most = limitOfAll / limit

const nameOf = (name: string, index: number): string => index === 0 ? name : `${name}.${index}`

const later = Arr.range(1, most - 1)

/** A text that one request may have in several cookies. */
export const carrier = (realm: string, name: string): Carrier<string> => {
  const first = carriers.ownedCookie(realm, name)
  const rest = later.map((index) => carriers.ownedCookie(realm, nameOf(name, index)))
  return {
    ...first,
    claim: (request) =>
      Effect.zipRight(first.claim(request), Effect.forEach(rest, (part) => part.claim(request), { discard: true })),
    read: (request) => {
      const head = first.read(request)
      if (head._tag !== "Found") {
        return head
      }
      const [, count, text] = /^([1-9])\.([A-Za-z0-9_-]+)$/.exec(head.value) ?? []
      const parts = rest.slice(0, Number(count) - 1).map((part) => part.read(request))
      if (text === undefined || Number(count) > most || !parts.every((part) => part._tag === "Found")) {
        return Credential.invalid
      }
      const whole = [text, ...parts.map(({ value }) => value)].join("")
      // Nothing that we have granted is as long, and some hosts let a client send megabytes.
      return whole.length > limitOfAll ? Credential.invalid : Credential.found(whole)
    }
  }
}

/** A text that is granted, and for how long. */
export interface Granted {
  readonly text: string
  /** In whole seconds; without it the cookies end with the browser. */
  readonly maxAge: number | undefined
}

/**
 * Two fibers of one request may write at the same time: each writes all of its cookies, or sees what the other has
 * written. It is for steps that wait for nothing.
 */
export const atOnce = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withMaxOpsBeforeYield(self, Number.MAX_SAFE_INTEGER)

/** The cookies of a sealed session, in a request and its response. */
export type SealedCookies = ReturnType<typeof make>

export const make = ({ crossSite, observer, onWithheld, policy, realm }: {
  readonly realm: string
  /** What there is to do when the response does not grant after all what it was to. */
  readonly onWithheld: Effect.Effect<void>
  readonly policy: CookiePolicy.CookiePolicy
  readonly crossSite: CrossSite.Options
  readonly observer: Observer
}) => {
  const whole = carrier(realm, policy.name)
  const places = Arr.makeBy(most, (index) => {
    const name = nameOf(policy.name, index)
    const part = carriers.ownedCookie(realm, name)
    return {
      name,
      isPresent: (request: HttpServerRequest) => part.read(request)._tag !== "None",
      cookie: credentialCookie.make({ carrier: whole, crossSite, observer, policy: { ...policy, name } })
    }
  })
  const [first, ...rest] = places

  /** What each cookie holds, and how many bytes all of them take. */
  const split = ({ maxAge, text }: Granted) => {
    const sizes = places.map(({ cookie }, index) => cookie.sizeOf(Redacted.make(index === 0 ? "1." : ""), maxAge))
    const parts: Array<string> = []
    let left = text
    for (const size of sizes) {
      const room = Math.max(0, limit - size)
      if (left !== "") {
        parts.push(left.slice(0, room))
        left = left.slice(room)
      }
    }
    const size = parts.reduce((sum, part, index) => sum + sizes[index]! + part.length, left.length)
    return {
      size,
      fits: left === "",
      values: parts.map((part, index) => index === 0 ? `${parts.length}.${part}` : part)
    }
  }

  const clear = (request: HttpServerRequest): Effect.Effect<Cookies.Cookies> =>
    atOnce(Effect.suspend(() =>
      Effect.map(
        Effect.all([
          first.cookie.clear(request),
          ...rest.filter(({ isPresent }) => isPresent(request)).map(({ cookie }) => cookie.clear(request))
        ]),
        (cleared) => cleared.reduce(Cookies.merge)
      )
    ))

  /** Gives the client the cookies of a text, and takes those back that it has no use for any more. */
  const grant = (request: HttpServerRequest, granted: Granted, always: boolean): Effect.Effect<void, CookieTooLarge> =>
    atOnce(Effect.suspend(() => {
      const { fits, size, values } = split(granted)
      return !fits ? Effect.fail(new CookieTooLarge({ size, limit: limitOfAll })) : Effect.forEach(
        places,
        ({ cookie, isPresent }, index) => {
          const value = values[index]
          return value !== undefined
            ? cookie.grant(request, {
              value: Redacted.make(value),
              maxAge: granted.maxAge,
              always,
              undo: (wasWithheld) => Effect.suspend(() => index === 0 && wasWithheld() ? onWithheld : Effect.void)
            })
            : isPresent(request)
            ? cookie.withdraw(request, always)
            : Effect.void
        },
        { discard: true }
      )
    }))

  const isHeld = (request: HttpServerRequest, text: string): boolean => {
    const held = whole.read(request)
    return held._tag === "Found" && held.value === text
  }

  /** Grants what was made from `text`, unless another fiber of the request has granted something else meanwhile. */
  const replace = (
    request: HttpServerRequest,
    text: string,
    granted: Granted
  ): Effect.Effect<void, CookieTooLarge | SessionConflict> =>
    atOnce(Effect.suspend((): Effect.Effect<void, CookieTooLarge | SessionConflict> => {
      return isHeld(request, text)
        ? grant(request, granted, first.cookie.isAlwaysGranted(request))
        : Effect.fail(new SessionConflict())
    }))

  return {
    carrier: whole,
    writing: first.cookie.writing,
    clear,
    grant,
    replace,

    /** The same for a read, which nobody told that the response has left, or that it holds more than it may now. */
    replaceIfPossible: (request: HttpServerRequest, text: string, granted: Granted): Effect.Effect<void> =>
      atOnce(
        Effect.suspend(() =>
          ResponseJar.isWritable(request) ? Effect.ignore(replace(request, text, granted)) : Effect.void
        )
      ),

    /** Clears, where a session is refused and the request holds no other one by now. */
    refuse: (request: HttpServerRequest, text: string): Effect.Effect<Cookies.Cookies> =>
      atOnce(Effect.suspend(() =>
        isHeld(request, text)
          ? Effect.zipLeft(clear(request), first.cookie.refuse(request))
          : Effect.succeed(Cookies.empty)
      )),

    /** What a client sends that has been granted a text. */
    headerOf: (granted: Granted): Effect.Effect<string, CookieTooLarge> =>
      Effect.suspend(() => {
        const { fits, size, values } = split(granted)
        return fits
          ? Effect.succeed(values.map((value, index) => `${places[index]!.name}=${value}`).join("; "))
          : Effect.fail(new CookieTooLarge({ size, limit: limitOfAll }))
      })
  }
}
