import { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ResponseJar from "../http/ResponseJar.js"
import { NotAuthorized, PermissionDenied } from "../SecurityError.js"
import type { SecurityError } from "../SecurityError.js"
import * as observe from "./observe.js"
import { wait } from "./wait.js"

/** `Effect<void>` takes an `Effect<boolean>` too: who answers `false` does not mean to grant. */
export const refuseFalse = <E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<void, E | PermissionDenied, R> =>
  Effect.flatMap(self, (answer) => answer === false ? Effect.fail(new PermissionDenied()) : Effect.void)

/**
 * Asks the application about a user whom a backend has found, as a backend asks its guards: bounded by `timeout`,
 * whatever is no answer is an outage, and a refusal names the headers that it depends on, which the jar has from the
 * backend.
 */
export const ask = <E, R>(
  question: () => Effect.Effect<unknown, E, R>,
  { by, timeout, what }: {
    /** The id of the Tag that asks. */
    readonly by: string
    readonly what: string
    readonly timeout: Duration.Duration
  }
): Effect.Effect<void, SecurityError, R | HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest, (request) =>
    Effect.catchAll(
      Effect.tapError(
        wait(refuseFalse(Effect.suspend(question)), what, timeout),
        (error: SecurityError) => observe.refused(by, error)
      ),
      (error: SecurityError): Effect.Effect<never, SecurityError> => {
        const jar = ResponseJar.get(request)
        const vary = Array.from(jar.vary).join(", ")
        switch (error._tag) {
          case "PermissionDenied": {
            return Effect.fail(new PermissionDenied({ reason: error.reason, vary }))
          }
          case "NotAuthorized": {
            jar.challenge = error.challenge
            const { challenge, cookies, reason } = error
            return Effect.fail(new NotAuthorized({ reason, challenge, vary, cookies }))
          }
          default: {
            return Effect.fail(error)
          }
        }
      }
    ))
