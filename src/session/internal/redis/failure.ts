import { SecurityUnavailable } from "../../../SecurityError.js"

// What ioredis fails with holds the whole command, its arguments and so the data of sessions or a password. Of such an
// error only the message goes on, without the arguments that some messages of the server repeat.

const limit = 300

/** What ioredis says in words of its own settings. */
const inPlainWords: ReadonlyArray<readonly [RegExp, string]> = [
  [/^Command timed out$/, "no answer in time"],
  [/^(Stream isn't writeable|Cluster isn't ready)/, "not connected"],
  [/^(Connection is closed|Reached the max retries per request limit|Command aborted)/, "the connection has ended"]
]

const textOf = (error: unknown): string => {
  if (!(error instanceof Error)) return "an unknown failure"
  const plain = inPlainWords.find(([pattern]) => pattern.test(error.message))
  if (plain !== undefined) return plain[1]
  const { code, lastNodeError } = error as { readonly code?: unknown; readonly lastNodeError?: unknown }
  // Of several addresses that refused, Node tells the code alone.
  const text = (error.message || String(code ?? error.name)).replace(/,? with args beginning with.*/s, "")
    .slice(0, limit)
  return lastNodeError instanceof Error ? `${text} ${textOf(lastNodeError)}` : text
}

/** An error that may be logged. */
export const cleaned = (error: unknown): Error => new Error(textOf(error))

export const unavailable = (error: unknown): SecurityUnavailable => {
  const cause = cleaned(error)
  return new SecurityUnavailable({ reason: `Redis: ${cause.message}`, cause })
}

export const late = (): SecurityUnavailable => unavailable(new Error("Command timed out"))

export const disconnected = (lastError: unknown): SecurityUnavailable =>
  new SecurityUnavailable({
    reason: "Redis: not connected",
    cause: lastError === undefined ? undefined : cleaned(lastError)
  })

export const unreadable = (what: string): SecurityUnavailable =>
  new SecurityUnavailable({ reason: `Redis: holds ${what} that this library did not write` })
