// A client that stores cookies as RFC 6265 section 5.3 and the browsers do, for what several responses leave behind.

interface Stored {
  readonly name: string
  readonly value: string
  readonly domain: string
  readonly isHostOnly: boolean
  readonly path: string
  readonly isSecure: boolean
  /** In milliseconds; undefined for the end of the browser. */
  readonly expires: number | undefined
}

const isDomainMatch = (host: string, domain: string): boolean => host === domain || host.endsWith(`.${domain}`)

const isPathMatch = (path: string, cookiePath: string): boolean =>
  path === cookiePath || path.startsWith(cookiePath) && (cookiePath.endsWith("/") || path[cookiePath.length] === "/")

export class Browser {
  readonly cookies = new Map<string, Stored>()
  now = 0

  /** Takes the `Set-Cookie` lines of one response, in their order, and says which it refused. */
  receive(from: URL, lines: ReadonlyArray<string>): ReadonlyArray<string> {
    return lines.filter((line) => !this.take(from, line))
  }

  private take(from: URL, line: string): boolean {
    const [pair = "", ...rest] = line.split(";")
    const [name, value] = [pair.slice(0, pair.indexOf("=")).trim(), pair.slice(pair.indexOf("=") + 1).trim()]
    const attributes = new Map(rest.map((text) => {
      const [key = "", value = ""] = text.trim().split("=")
      return [key.toLowerCase(), value] as const
    }))
    const domain = attributes.get("domain")
    const path = attributes.get("path") ?? "/"
    const isSecure = attributes.has("secure")
    if (line.length > 4_096) return false
    if (domain !== undefined && !isDomainMatch(from.hostname, domain)) return false
    if (isSecure && from.protocol !== "https:") return false
    if (name.startsWith("__Host-") && !(isSecure && domain === undefined && path === "/")) return false
    if (name.startsWith("__Secure-") && !isSecure) return false
    const maxAge = attributes.get("max-age")
    const key = JSON.stringify([name, domain ?? from.hostname, path])
    if (maxAge !== undefined && Number(maxAge) <= 0) {
      this.cookies.delete(key)
      return true
    }
    this.cookies.set(key, {
      name,
      value,
      domain: domain ?? from.hostname,
      isHostOnly: domain === undefined,
      path,
      isSecure,
      expires: maxAge === undefined ? undefined : this.now + Number(maxAge) * 1_000
    })
    return true
  }

  /** The `Cookie` header of a request: longer paths first. */
  header(to: URL): string | undefined {
    const sent = Array.from(this.cookies.values()).filter((cookie) =>
      (cookie.isHostOnly ? to.hostname === cookie.domain : isDomainMatch(to.hostname, cookie.domain)) &&
      isPathMatch(to.pathname, cookie.path) &&
      (!cookie.isSecure || to.protocol === "https:") &&
      (cookie.expires === undefined || this.now < cookie.expires)
    ).sort((a, b) => b.path.length - a.path.length)
    return sent.length === 0 ? undefined : sent.map(({ name, value }) => `${name}=${value}`).join("; ")
  }
}
