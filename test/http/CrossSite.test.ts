import { Headers, HttpMiddleware, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import * as CrossSite from "effect-security/http/CrossSite"
import { node, type Sent, servers, web } from "./requests.js"

const request = (options: Partial<CrossSite.Request>): CrossSite.Request => ({
  method: "POST",
  isWebSocket: false,
  origin: undefined,
  secFetchSite: undefined,
  host: "app.example.com",
  ...options
})

const ours = "https://app.example.com"
const evil = "https://evil.example"
const trusting: CrossSite.Options = { trustedOrigins: ["https://admin.example.com", "https://m.example.com:8443"] }

// -----------------------------------------------------------------------------
// The rule, a row for each clause
// -----------------------------------------------------------------------------

type Row = readonly [
  sentence: string,
  verdict: CrossSite.Verdict,
  request: Partial<CrossSite.Request>,
  options?: CrossSite.Options
]

const rows = (title: string, rows: ReadonlyArray<Row>) => {
  describe(title, () => {
    for (const [sentence, verdict, of, options] of rows) {
      it(sentence, () => {
        assert.strictEqual(CrossSite.check(request(of), options ?? {}), verdict)
      })
    }
  })
}

rows("a request of a safe method", [
  ["is accepted when it is a GET of another site", "accepted", {
    method: "GET",
    secFetchSite: "cross-site",
    origin: evil
  }],
  ["is accepted when it is a HEAD of another site", "accepted", { method: "HEAD", secFetchSite: "cross-site" }],
  ["is accepted when it is an OPTIONS of another site", "accepted", { method: "OPTIONS", origin: evil }],
  ["is accepted with malformed headers", "accepted", { method: "GET", origin: "null", secFetchSite: "," }],
  ["is accepted without a host", "accepted", { method: "GET", origin: evil, host: undefined }],
  ["is accepted without an origin where one is required", "accepted", { method: "GET" }, { requireOrigin: true }]
])

rows("a request of any other method", [
  ["is unsafe when it is a PUT", "untrusted site", { method: "PUT", secFetchSite: "cross-site" }],
  ["is unsafe when it is a PATCH", "untrusted site", { method: "PATCH", secFetchSite: "cross-site" }],
  ["is unsafe when it is a DELETE", "untrusted site", { method: "DELETE", secFetchSite: "cross-site" }],
  ["is unsafe when it is a TRACE", "untrusted site", { method: "TRACE", secFetchSite: "cross-site" }],
  ["is unsafe when nobody knows the method", "untrusted site", { method: "PROPFIND", secFetchSite: "cross-site" }],
  ["is unsafe when the method is empty", "untrusted site", { method: "", secFetchSite: "cross-site" }],
  ["is unsafe when it only looks like GET", "untrusted site", { method: "get", secFetchSite: "cross-site" }],
  ["is unsafe when it only looks like OPTIONS", "untrusted site", { method: "Options", secFetchSite: "cross-site" }]
])

rows("a WebSocket upgrade", [
  ["is refused to another site although it is a GET", "untrusted origin", {
    method: "GET",
    isWebSocket: true,
    origin: evil
  }],
  ["is refused to another site by Sec-Fetch-Site", "untrusted site", {
    method: "GET",
    isWebSocket: true,
    origin: ours,
    secFetchSite: "cross-site"
  }],
  ["is accepted from the site itself", "accepted", { method: "GET", isWebSocket: true, origin: ours }],
  ["is accepted from a trusted origin", "accepted", {
    method: "GET",
    isWebSocket: true,
    origin: "https://admin.example.com",
    secFetchSite: "same-site"
  }, trusting],
  ["is accepted from a program", "accepted", { method: "GET", isWebSocket: true }],
  ["is refused to a program where an origin is required", "no origin", { method: "GET", isWebSocket: true }, {
    requireOrigin: true
  }]
])

rows("a trusted origin", [
  ["is accepted before Sec-Fetch-Site is looked at", "accepted", {
    origin: "https://admin.example.com",
    secFetchSite: "cross-site"
  }, trusting],
  ["is accepted without Sec-Fetch-Site", "accepted", { origin: "https://admin.example.com" }, trusting],
  ["is accepted without a host", "accepted", { origin: "https://admin.example.com", host: undefined }, trusting],
  ["is accepted with its port", "accepted", { origin: "https://m.example.com:8443" }, trusting],
  ["is not accepted with another port", "untrusted origin", { origin: "https://m.example.com" }, trusting],
  ["is not accepted under another scheme", "untrusted origin", { origin: "http://admin.example.com" }, trusting],
  ["is not accepted in upper case", "untrusted origin", { origin: "https://ADMIN.example.com" }, trusting],
  ["is not accepted with its default port spelled out", "untrusted origin", {
    origin: "https://admin.example.com:443"
  }, trusting],
  ["is not accepted with something behind it", "malformed origin", { origin: "https://admin.example.com/" }, trusting],
  ["is not accepted for its subdomains", "untrusted origin", { origin: "https://x.admin.example.com" }, trusting],
  ["is not accepted where it only begins", "untrusted origin", { origin: "https://admin.example.com.evil" }, trusting],
  ["is not accepted beside another", "malformed origin", {
    origin: "https://admin.example.com, https://admin.example.com"
  }, trusting],
  ["is accepted under a scheme of its own, as an app's", "accepted", { origin: "app://localhost" }, {
    trustedOrigins: ["app://localhost"]
  }],
  ["leaves the site itself accepted", "accepted", { origin: ours }, trusting],
  ["leaves other sites refused", "untrusted site", { origin: evil, secFetchSite: "cross-site" }, trusting],
  ["is not `null`, whatever an option says", "malformed origin", { origin: "null" }, trusting]
])

rows("Sec-Fetch-Site", [
  ["`same-origin` is accepted", "accepted", { secFetchSite: "same-origin" }],
  ["`none`, a person's own doing, is accepted", "accepted", { secFetchSite: "none" }],
  ["`same-site` is refused", "untrusted site", { secFetchSite: "same-site" }],
  ["`cross-site` is refused", "untrusted site", { secFetchSite: "cross-site" }],
  ["`cross-site` is refused although Origin equals Host", "untrusted site", {
    secFetchSite: "cross-site",
    origin: ours
  }],
  ["`cross-site` is refused although Origin is the configured one", "untrusted site", {
    secFetchSite: "cross-site",
    origin: ours
  }, { origin: ours }],
  ["`same-origin` is accepted with an Origin of `null`, as under a no-referrer policy", "accepted", {
    secFetchSite: "same-origin",
    origin: "null"
  }],
  ["`same-origin` is accepted behind a proxy that rewrites Host", "accepted", {
    secFetchSite: "same-origin",
    origin: ours,
    host: "10.0.0.1:3000"
  }],
  ["`same-origin` is accepted without a host", "accepted", { secFetchSite: "same-origin", host: undefined }],
  ["`same-origin` is enough where an origin is required", "accepted", { secFetchSite: "same-origin" }, {
    requireOrigin: true
  }],
  ["is refused when it is empty", "untrusted site", { secFetchSite: "", origin: ours }],
  ["is refused in another case", "untrusted site", { secFetchSite: "Same-Origin", origin: ours }],
  ["is refused with space around it", "untrusted site", { secFetchSite: " same-origin", origin: ours }],
  ["is refused when it is repeated", "untrusted site", { secFetchSite: "same-origin, same-origin", origin: ours }],
  ["is refused when nobody knows the word", "untrusted site", { secFetchSite: "same-galaxy", origin: ours }]
])

rows("an Origin without Sec-Fetch-Site", [
  ["is accepted when its host is that of Host", "accepted", { origin: ours }],
  ["is accepted whatever its scheme is, as behind a proxy that ends TLS", "accepted", {
    origin: "http://app.example.com"
  }],
  ["is refused when it is another host", "untrusted origin", { origin: evil }],
  ["is refused when it is a subdomain", "untrusted origin", { origin: "https://x.app.example.com" }],
  ["is refused when it is the parent domain", "untrusted origin", { origin: "https://example.com" }],
  ["is refused when it only begins with the host", "untrusted origin", { origin: "https://app.example.com.evil" }],
  ["is refused when it only ends with the host", "untrusted origin", { origin: "https://evilapp.example.com" }],
  ["is refused when it is another port", "untrusted origin", { origin: "https://app.example.com:8443" }],
  ["is refused when Host has another port", "untrusted origin", { origin: ours, host: "app.example.com:8443" }],
  ["is accepted with a port that Host has too", "accepted", { origin: `${ours}:8443`, host: "app.example.com:8443" }],
  ["is accepted when Host spells out the default port of https", "accepted", {
    origin: ours,
    host: "app.example.com:443"
  }],
  ["is accepted when Host spells out the default port of http", "accepted", {
    origin: "http://app.example.com",
    host: "app.example.com:80"
  }],
  ["is accepted when it spells out the default port itself", "accepted", { origin: "https://app.example.com:443" }],
  ["is refused when Host has the default port of the other scheme", "untrusted origin", {
    origin: ours,
    host: "app.example.com:80"
  }],
  ["is accepted when Host is in upper case", "accepted", { origin: ours, host: "APP.Example.COM" }],
  ["is accepted when it is in upper case", "accepted", { origin: "https://APP.EXAMPLE.COM" }],
  ["is accepted when Host is the Unicode form of its name", "accepted", {
    origin: "https://xn--bcher-kva.example",
    host: "b\u00fccher.example"
  }],
  ["is refused when its name only looks alike", "untrusted origin", { origin: "https://\u0430pp.example.com" }],
  ["is refused with a trailing dot that Host has not", "untrusted origin", { origin: "https://app.example.com." }],
  ["is refused without the trailing dot that Host has", "untrusted origin", { origin: ours, host: "app.example.com." }],
  ["is accepted with the trailing dot that Host has too", "accepted", {
    origin: "https://app.example.com.",
    host: "app.example.com."
  }],
  ["is accepted when it is the same IPv4 address", "accepted", {
    origin: "http://127.0.0.1:3000",
    host: "127.0.0.1:3000"
  }],
  ["is refused when it is a name of the same machine", "untrusted origin", {
    origin: "http://localhost:3000",
    host: "127.0.0.1:3000"
  }],
  ["is accepted when it is the same IPv6 address", "accepted", { origin: "http://[::1]:3000", host: "[::1]:3000" }],
  ["is accepted when it is the same IPv6 address, spelled otherwise", "accepted", {
    origin: "http://[2001:db8::1]",
    host: "[2001:DB8:0:0:0:0:0:1]"
  }],
  ["is refused when it is another IPv6 address", "untrusted origin", { origin: "http://[::2]", host: "[::1]" }],
  ["is refused when it is the same IPv6 address with another port", "untrusted origin", {
    origin: "http://[::1]:3001",
    host: "[::1]:3000"
  }],
  ["is malformed when its IPv6 address has no brackets", "malformed origin", { origin: "http://::1", host: "[::1]" }],
  ["is malformed when its IPv6 address has a zone", "malformed origin", {
    origin: "http://[fe80::1%25eth0]",
    host: "[fe80::1]"
  }],
  ["is malformed when no host has its port", "malformed origin", {
    origin: "http://localhost:65536",
    host: "localhost:65536"
  }],
  ["is accepted with the highest port that there is", "accepted", {
    origin: "http://localhost:65535",
    host: "localhost:65535"
  }],
  ["is malformed when it is `null`", "malformed origin", { origin: "null" }],
  ["is malformed when it is empty", "malformed origin", { origin: "" }],
  ["is malformed when it is a host alone", "malformed origin", { origin: "app.example.com" }],
  ["is malformed when it has no host", "malformed origin", { origin: "https://" }],
  ["is malformed when it has a path", "malformed origin", { origin: "https://app.example.com/" }],
  ["is malformed when it has a query", "malformed origin", { origin: "https://evil.example?app.example.com" }],
  ["is malformed when it has a fragment", "malformed origin", { origin: "https://evil.example#app.example.com" }],
  ["is malformed when the host stands as a user before it", "malformed origin", {
    origin: "https://app.example.com@evil.example"
  }],
  ["is malformed when the host stands as a user and password before it", "malformed origin", {
    origin: "https://app.example.com:443@evil.example"
  }],
  ["is malformed when another host stands as a user before it", "malformed origin", {
    origin: "https://evil.example@app.example.com"
  }],
  ["is malformed with a backslash", "malformed origin", { origin: "https://evil.example\\app.example.com" }],
  ["is malformed with a percent sign", "malformed origin", { origin: "https://app%2eexample.com" }],
  ["is malformed with space around it", "malformed origin", { origin: ` ${ours}` }],
  ["is malformed with a line break behind it", "malformed origin", { origin: `${ours}\n` }],
  ["is malformed with a tab, which URL parsers drop", "malformed origin", { origin: "https://app.exa\tmple.com" }],
  ["is malformed when it is joined to itself", "malformed origin", { origin: `${ours}, ${ours}` }],
  ["is malformed when it is joined to another", "malformed origin", { origin: `${evil},${ours}` }],
  ["is malformed when it is a list with spaces, as RFC 6454 had it", "malformed origin", { origin: `${ours} ${evil}` }],
  ["is malformed with an empty port", "malformed origin", { origin: "https://app.example.com:" }],
  ["is malformed with a port that is no number", "malformed origin", { origin: "https://app.example.com:443a" }],
  ["is malformed with two ports", "malformed origin", { origin: "https://app.example.com:443:443" }],
  ["is malformed when its scheme is in upper case", "malformed origin", { origin: "HTTPS://app.example.com" }],
  ["is malformed when its scheme has one slash", "malformed origin", { origin: "https:/app.example.com" }],
  ["is refused when it is an extension's", "untrusted origin", {
    origin: "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    host: "localhost:3000"
  }],
  ["is refused when it is of a scheme that has no port, although the host is the same", "untrusted origin", {
    origin: "app://localhost",
    host: "localhost"
  }],
  ["is refused when it is of a scheme that has no port, beside one", "untrusted origin", {
    origin: "app://localhost",
    host: "localhost:80"
  }],
  ["is refused when it is of another scheme, although host and port are the same", "untrusted origin", {
    origin: "app://localhost:3000",
    host: "localhost:3000"
  }],
  ["is refused when its scheme is called as a property of every object", "untrusted origin", {
    origin: "constructor://localhost",
    host: "localhost"
  }],
  ["is malformed when it is a file", "malformed origin", { origin: "file://" }],
  ["is refused when there is no host to compare with", "malformed origin", { origin: ours, host: undefined }],
  ["is refused when Host is empty", "malformed origin", { origin: ours, host: "" }],
  ["is refused when Host is repeated", "malformed origin", { origin: ours, host: "app.example.com, app.example.com" }],
  ["is refused when Host names a user", "malformed origin", { origin: ours, host: "evil@app.example.com" }],
  ["is refused when Host has a path", "malformed origin", { origin: ours, host: "app.example.com/" }],
  ["is refused when Host is escaped", "malformed origin", { origin: ours, host: "app%2eexample.com" }],
  ["is refused when Host is no host", "malformed origin", { origin: ours, host: "[]" }]
])

rows("the configured origin", [
  ["is accepted where a proxy rewrites Host", "accepted", { origin: ours, host: "10.0.0.1:3000" }, { origin: ours }],
  ["is accepted without a host", "accepted", { origin: ours, host: undefined }, { origin: ours }],
  ["is compared exactly: another scheme is refused", "untrusted origin", {
    origin: "http://app.example.com",
    host: "10.0.0.1:3000"
  }, { origin: ours }],
  ["is compared exactly: another case is refused", "untrusted origin", {
    origin: "https://APP.example.com",
    host: "10.0.0.1:3000"
  }, { origin: ours }],
  ["leaves others refused", "untrusted origin", { origin: evil, host: "10.0.0.1:3000" }, { origin: ours }],
  [
    "leaves an Origin that equals Host accepted",
    "accepted",
    { origin: "http://10.0.0.1:3000", host: "10.0.0.1:3000" },
    {
      origin: ours
    }
  ]
])

rows("a request that says nothing of where it comes from", [
  ["is accepted: no browser sends it", "accepted", {}],
  ["is accepted without a host too", "accepted", { host: undefined }],
  ["is refused where an origin is required", "no origin", {}, { requireOrigin: true }],
  ["is accepted where an origin is explicitly not required", "accepted", {}, { requireOrigin: false }]
])

rows("options that are absent", [
  ["are the defaults", "untrusted origin", { origin: evil }, {
    trustedOrigins: undefined,
    origin: undefined,
    requireOrigin: undefined
  }],
  ["trust nobody", "untrusted origin", { origin: evil }, { trustedOrigins: [] }]
])

// -----------------------------------------------------------------------------
// Properties
// -----------------------------------------------------------------------------

describe("for any Origin and Host", () => {
  const defaults: Record<string, number> = { http: 80, https: 443 }
  const host = FastCheck.constantFrom(
    "app.example.com",
    "APP.EXAMPLE.COM",
    "app.example.com.",
    "example.com",
    "evil.example",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[2001:db8::1]",
    "b\u00fccher.example",
    "xn--bcher-kva.example"
  )
  const canonical = (host: string) => new URL(`http://${host}/`).hostname
  const port = FastCheck.option(FastCheck.constantFrom(80, 443, 3000, 8443), { nil: undefined })
  const join = (host: string, port: number | undefined) => port === undefined ? host : `${host}:${port}`

  it.prop(
    "it is accepted exactly when host and effective port are equal",
    [FastCheck.constantFrom("http", "https"), host, port, host, port],
    ([scheme, theirHost, theirPort, ourHost, ourPort]) => {
      const isSame = canonical(theirHost) === canonical(ourHost) &&
        (theirPort ?? defaults[scheme]) === (ourPort ?? defaults[scheme])
      const verdict = CrossSite.check(
        request({ origin: `${scheme}://${join(theirHost, theirPort)}`, host: join(ourHost, ourPort) }),
        trusting
      )
      assert.strictEqual(verdict, isSame ? "accepted" : "untrusted origin")
    },
    { fastCheck: { numRuns: 3_000 } }
  )

  const piece = FastCheck.constantFrom(
    "http",
    "https",
    "ws",
    "app",
    "null",
    "://",
    ":",
    "/",
    "\\",
    "@",
    "?",
    "#",
    "%",
    ",",
    " ",
    "\t",
    "\n",
    ".",
    "*",
    "[::1]",
    "443",
    "80",
    "app.example.com",
    "evil.example",
    "\u3002",
    "\uff0f",
    "\ud800"
  )
  const anyText = FastCheck.oneof(
    FastCheck.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("")),
    FastCheck.array(piece, { maxLength: 6 }).map((pieces) => `https://${pieces.join("")}`),
    FastCheck.string({ unit: "binary" }),
    FastCheck.array(FastCheck.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units))
  )

  it.prop(
    "it is never accepted when it is another site for a URL parser, or none",
    [anyText, FastCheck.constantFrom("app.example.com", "app.example.com:443", "app.example.com:8443")],
    ([origin, host]) => {
      const verdict = CrossSite.check(request({ origin, host }), {})
      if (verdict === "accepted") {
        const url = new URL(origin)
        const port = url.port === "" ? defaults[url.protocol.slice(0, -1)] : Number(url.port)
        const ourPort = Number(host.split(":")[1] ?? defaults[url.protocol.slice(0, -1)])
        assert.deepStrictEqual([url.hostname, port, url.username, url.password, url.pathname.length <= 1], [
          "app.example.com",
          ourPort,
          "",
          "",
          true
        ])
      }
    },
    { fastCheck: { numRuns: 5_000 } }
  )

  it.prop(
    "it is judged without throwing",
    [anyText, anyText, FastCheck.option(anyText, { nil: undefined })],
    ([origin, host, site]) => {
      const verdict = CrossSite.check(request({ origin, host, secFetchSite: site }), trusting)
      assert.include(["accepted", "untrusted site", "untrusted origin", "malformed origin"], verdict)
    },
    { fastCheck: { numRuns: 3_000 } }
  )

  it.prop("only two words of Sec-Fetch-Site are accepted", [anyText], ([site]) => {
    const verdict = CrossSite.check(request({ origin: ours, secFetchSite: site }), { origin: ours })
    assert.strictEqual(verdict, site === "same-origin" || site === "none" ? "accepted" : "untrusted site")
  })

  it.prop(
    "only three methods are safe",
    [FastCheck.oneof(FastCheck.constantFrom("GET", "HEAD", "OPTIONS"), anyText)],
    ([method]) => {
      const verdict = CrossSite.check(request({ method, origin: evil }), {})
      assert.strictEqual(verdict, ["GET", "HEAD", "OPTIONS"].includes(method) ? "accepted" : "untrusted origin")
    }
  )
})

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

describe("the rule on a request", () => {
  const host = (value = "app.example.com") => ["Host", value] as const
  const origin = (value: string) => ["Origin", value] as const
  const site = (value: string) => ["Sec-Fetch-Site", value] as const
  const forwarded: Sent = [
    ["X-Forwarded-Host", "evil.example"],
    ["X-Forwarded-Proto", "https"],
    ["X-Forwarded-For", "10.0.0.1"],
    ["X-Forwarded-Port", "443"],
    ["Forwarded", "host=evil.example;proto=https"],
    ["X-Original-Host", "evil.example"]
  ]

  for (const [server, make] of servers) {
    const verdict = (headers: Sent, options: CrossSite.Options = {}) => CrossSite.checkRequest(make(headers), options)

    it(`reads Host and Origin on ${server}`, () => {
      assert.strictEqual(verdict([host("a.example"), origin("https://a.example")]), "accepted")
      assert.strictEqual(verdict([host("a.example"), origin("https://b.example")]), "untrusted origin")
      assert.strictEqual(verdict([host("a.example"), origin(ours)]), "untrusted origin")
    })

    it(`refuses headers that were sent twice, even twice the same, on ${server}`, () => {
      assert.strictEqual(verdict([host(), origin(ours)]), "accepted")
      assert.strictEqual(verdict([host(), host(), origin(ours)]), "malformed origin")
      assert.strictEqual(verdict([host(), host("evil.example"), origin(ours)]), "malformed origin")
      assert.strictEqual(verdict([host(), origin(ours), origin(ours)]), "malformed origin")
      assert.strictEqual(verdict([host(), origin(ours), origin(ours)], { origin: ours }), "malformed origin")
      assert.strictEqual(verdict([host(), origin(ours), origin(ours)], { trustedOrigins: [ours] }), "malformed origin")
      assert.strictEqual(verdict([host(), origin(ours), site("same-origin")]), "accepted")
      assert.strictEqual(verdict([host(), origin(ours), site("same-origin"), site("same-origin")]), "untrusted site")
    })

    it(`reads no forwarded header on ${server}`, () => {
      assert.strictEqual(verdict([host(), origin(evil), ...forwarded]), "untrusted origin")
      assert.strictEqual(verdict([host(), origin(ours), ...forwarded]), "accepted")
    })

    it.effect(`reads no forwarded header behind the middleware that makes Host of it, on ${server}`, () =>
      Effect.gen(function*() {
        const behind = (headers: Sent) =>
          HttpMiddleware.xForwardedHeaders(
            Effect.map(HttpServerRequest.HttpServerRequest, (seen) => {
              assert.strictEqual(seen.headers["host"], "evil.example", "the middleware has done its work")
              return HttpServerResponse.raw(CrossSite.checkRequest(seen, {}))
            })
          ).pipe(
            Effect.provideService(HttpServerRequest.HttpServerRequest, make([...headers, ...forwarded])),
            Effect.map((response) => response.body._tag === "Raw" ? response.body.body : undefined)
          )
        assert.strictEqual(yield* behind([host(), origin(evil)]), "untrusted origin")
        assert.strictEqual(yield* behind([host(), origin(ours)]), "accepted")
        assert.strictEqual(yield* behind([origin(evil)]), make === web ? "untrusted origin" : "malformed origin")
      }))

    it(`reads the headers as the client sent them, whatever a middleware made of them, on ${server}`, () => {
      const changed = make([host(), origin(evil), site("cross-site")]).modify({
        headers: Headers.fromInput({ host: "evil.example", origin: ours, "sec-fetch-site": "same-origin" })
      })
      assert.strictEqual(CrossSite.checkRequest(changed, {}), "untrusted site")
    })
  }

  it("takes the host of the URL where a web handler is given no Host", () => {
    const verdict = (from: string, url: string) => CrossSite.checkRequest(web([origin(from)], { url }), {})
    assert.strictEqual(verdict(ours, `${ours}/x`), "accepted")
    assert.strictEqual(verdict(evil, `${ours}/x?y=${evil}`), "untrusted origin")
    assert.strictEqual(verdict(`${ours}:8443`, `${ours}:8443/x`), "accepted")
    assert.strictEqual(verdict(ours, `${ours}:8443/x`), "untrusted origin")
  })

  it("has no host where Node is given none", () => {
    assert.strictEqual(CrossSite.checkRequest(node([origin(ours)]), {}), "malformed origin")
  })

  it("checks a WebSocket upgrade, whatever its method and however the header is spelled", () => {
    for (const upgrade of ["websocket", "WebSocket", "h2c, websocket", "websocket "]) {
      for (const method of ["GET", "HEAD", "OPTIONS"]) {
        const verdict = (from: string) =>
          CrossSite.checkRequest(node([host(), ["Upgrade", upgrade], origin(from)], { method }), {})
        assert.strictEqual(verdict(evil), "untrusted origin", `${method} ${upgrade}`)
        assert.strictEqual(verdict(ours), "accepted", `${method} ${upgrade}`)
      }
    }
    const other = node([host(), ["Upgrade", "h2c"], origin(evil)], { method: "GET" })
    assert.strictEqual(CrossSite.checkRequest(other, {}), "accepted")
  })

  it("judges the method that the server got", () => {
    const verdict = (method: string) => CrossSite.checkRequest(web([origin(evil)], { method }), {})
    assert.strictEqual(verdict("GET"), "accepted")
    for (const method of ["PUT", "DELETE", "PATCH", "PURGE"]) assert.strictEqual(verdict(method), "untrusted origin")
  })
})

// -----------------------------------------------------------------------------
// Origins as options
// -----------------------------------------------------------------------------

describe("an origin in an option", () => {
  it("is scheme, host and, unless it is the default, port", () => {
    for (
      const origin of [
        "https://app.example.com",
        "http://localhost",
        "http://localhost:3000",
        "https://app.example.com:8443",
        "http://app.example.com:443",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
        "https://app.example.com.",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "app://localhost"
      ]
    ) {
      assert.isTrue(CrossSite.isOrigin(origin), origin)
    }
  })

  it("is nothing that an Origin header cannot hold or that names more than one site", () => {
    for (
      const text of [
        "",
        "null",
        "*",
        "https://*",
        "https://*.example.com",
        "app://*",
        "app.example.com",
        "localhost:3000",
        "https://",
        "file://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?",
        "https://app.example.com#",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:",
        "https://app.example.com:99999",
        "https://APP.example.com",
        "HTTPS://app.example.com",
        "https://b\u00fccher.example",
        "https://user@app.example.com",
        "app://user@localhost",
        "https://app.example.com, https://b.example",
        " https://app.example.com",
        "https://app.example.com ",
        "https://app.example.com\n",
        "https://app.exa\tmple.com",
        "https://app%2eexample.com",
        "https:/app.example.com",
        "https:\\\\app.example.com",
        "http://127.1",
        "http://[0:0:0:0:0:0:0:1]",
        "javascript:alert(1)",
        "data:,",
        "constructor://x"
      ]
    ) {
      assert.isFalse(CrossSite.isOrigin(text), JSON.stringify(text))
    }
  })

  it.prop("is one that a URL parser finds in itself", [
    FastCheck.webUrl({ withFragments: true, withQueryParameters: true })
  ], ([url]) => {
    const { origin } = new URL(url)
    assert.isTrue(CrossSite.isOrigin(origin))
    assert.strictEqual(CrossSite.isOrigin(url), url === origin)
  })

  it.prop("is judged without throwing", [FastCheck.string({ unit: "binary" })], ([text]) => {
    assert.isBoolean(CrossSite.isOrigin(text))
    assert.isBoolean(CrossSite.isOrigin(`https://${text}`))
  })
})
