import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Exclusion from "effect-security/http/Exclusion"
import { node, web } from "./requests.js"

const get = (url: string) => node([], { method: "GET", url })

describe("an entry over a router", () => {
  const frees = (entry: Exclusion.Entry, route: Exclusion.Route, method: string) =>
    Exclusion.includesRoute(Exclusion.make([entry]), route, node([], { method, url: "/whatever" }))

  it("frees the route whose template it equals, whatever the method", () => {
    assert.isTrue(frees("/login", { method: "POST", path: "/login" }, "POST"))
    assert.isTrue(frees("/login", { method: "GET", path: "/login" }, "GET"))
    assert.isTrue(frees("/p/:id", { method: "GET", path: "/p/:id" }, "GET"))
  })

  it("frees no route of another template", () => {
    for (
      const path of ["/", "/login/", "/login/x", "/LOGIN", "/logi", "/logins", "/x/login", "/*", "*", "/:page"] as const
    ) {
      assert.isFalse(frees("/login", { method: "POST", path }, "POST"), path)
    }
    assert.isFalse(frees("/p/:id", { method: "GET", path: "/p/admin" }, "GET"))
    assert.isFalse(frees("/p/*", { method: "GET", path: "/p/admin" }, "GET"))
    assert.isFalse(frees("/p/:id", { method: "GET", path: "/p/:name" }, "GET"))
  })

  it("frees a route of its method only, when it has one", () => {
    assert.isTrue(frees("POST /login", { method: "POST", path: "/login" }, "POST"))
    assert.isFalse(frees("POST /login", { method: "GET", path: "/login" }, "GET"))
    assert.isFalse(frees("GET /login", { method: "POST", path: "/login" }, "POST"))
  })

  it("frees the HEAD request that a GET route serves", () => {
    assert.isTrue(frees("GET /page", { method: "GET", path: "/page" }, "HEAD"))
    assert.isTrue(frees("/page", { method: "GET", path: "/page" }, "HEAD"))
    assert.isFalse(frees("HEAD /page", { method: "GET", path: "/page" }, "HEAD"))
  })

  it("takes the method of the request where the route is one of every method", () => {
    assert.isTrue(frees("POST /all", { method: "*", path: "/all" }, "POST"))
    assert.isFalse(frees("POST /all", { method: "*", path: "/all" }, "GET"))
    assert.isFalse(frees("GET /all", { method: "*", path: "/all" }, "HEAD"))
    assert.isTrue(frees("/all", { method: "*", path: "/all" }, "DELETE"))
  })

  it("is one of several", () => {
    const exclusion = Exclusion.make(["/a", "POST /b", "/c/:id"])
    const isFree = (method: string, path: string) =>
      Exclusion.includesRoute(exclusion, { method, path }, node([], { method }))
    assert.deepStrictEqual(
      [isFree("GET", "/a"), isFree("POST", "/b"), isFree("GET", "/b"), isFree("GET", "/c/:id"), isFree("GET", "/d")],
      [true, true, false, true, false]
    )
    assert.deepStrictEqual(exclusion.entries, ["/a", "POST /b", "/c/:id"])
  })

  it("is needed: an empty list frees nothing", () => {
    const isFree = (path: string) => Exclusion.includesRoute(Exclusion.make([]), { method: "GET", path }, get(path))
    assert.deepStrictEqual(["/", "", "/login", "*"].map(isFree), [false, false, false, false])
  })
})

describe("an entry over an opaque app", () => {
  const isFree = (url: string, entries: ReadonlyArray<Exclusion.Entry> = ["/login"]) =>
    Exclusion.includesRequest(Exclusion.make(entries), get(url))

  it("frees the path that it equals, with any query", () => {
    for (const url of ["/login", "/login?", "/login?next=/x", "/login?a?b"]) assert.isTrue(isFree(url), url)
  })

  it("frees no other spelling of the path", () => {
    for (
      const url of [
        "/",
        "/login/",
        "//login",
        "/./login",
        "/x/../login",
        "/LOGIN",
        "/%6cogin",
        "/login%20",
        "/login%00",
        "/login;x",
        "/login#x",
        "/login\\",
        "\\login",
        "/x/login",
        "/x?/login",
        "?/login",
        "/login&x",
        "login",
        "",
        "*"
      ]
    ) {
      assert.isFalse(isFree(url), JSON.stringify(url))
    }
  })

  it("frees one method only, when it has one", () => {
    const isFree = (method: string) =>
      Exclusion.includesRequest(Exclusion.make(["POST /login"]), node([], { method, url: "/login" }))
    assert.deepStrictEqual(["POST", "GET", "HEAD", "OPTIONS"].map(isFree), [true, false, false, false])
  })

  it("is compared with the path behind the host where the URL is absolute", () => {
    for (const url of ["http://a.example/login", "https://a.example:8443/login?x", "http://user:pw@a.example/login"]) {
      assert.isTrue(isFree(url), url)
    }
    for (
      const url of [
        "http://a.example/x/login",
        "http://a.example?/login",
        "http://a.example?x=/login",
        "http://a.example",
        "http://login",
        "http:///login/",
        "http://a.example#/login"
      ]
    ) {
      assert.isFalse(isFree(url), url)
    }
  })

  it("is compared with the path that a web handler was given", () => {
    const isFree = (url: string) =>
      Exclusion.includesRequest(Exclusion.make(["/login"]), web([], { method: "GET", url }))
    assert.isTrue(isFree("https://a.example/login"))
    assert.isTrue(isFree("https://a.example/login?next=%2F"))
    assert.isFalse(isFree("https://a.example/%6cogin"))
    assert.isFalse(isFree("https://a.example//login"))
    assert.isFalse(isFree("https://a.example/?/login"))
  })

  it("of the root frees only a path that is there and is the root", () => {
    const isRootFree = (url: string) => isFree(url, ["/"])
    for (const url of ["/", "/?x", "http://a.example/", "http://a.example/?x"]) {
      assert.isTrue(isRootFree(url), url)
    }
    for (
      const url of [
        "//",
        "/x",
        "/x?/",
        "*",
        "?/",
        "http://a.example",
        "http://a.example/x",
        "http://a.example//",
        "http://a.example?/x"
      ]
    ) {
      assert.isFalse(isRootFree(url), url)
    }
  })

  it("is compared with the URL of the client, whatever a middleware made of it", () => {
    const exclusion = Exclusion.make(["/login"])
    assert.isFalse(Exclusion.includesRequest(exclusion, get("/admin/login").modify({ url: "/login" })))
    assert.isTrue(Exclusion.includesRequest(exclusion, get("/login").modify({ url: "/admin" })))
  })

  it.prop(
    "frees exactly the requests whose path it is, for any path",
    [FastCheck.webPath(), FastCheck.webPath(), FastCheck.webQueryParameters()],
    ([entry, path, query]) => {
      const entries: ReadonlyArray<Exclusion.Entry> = [`/${entry}`]
      assert.strictEqual(isFree(`/${path}?${query}`, entries), path === entry)
      assert.isTrue(isFree(`/${entry}?${query}`, entries))
      assert.isTrue(isFree(`http://a.example/${entry}?${query}`, entries))
    },
    { fastCheck: { numRuns: 1_000 } }
  )
})

describe("an entry that names no route", () => {
  const routes = [
    { method: "POST", path: "/login" },
    { method: "GET", path: "/users/:id" },
    { method: "*", path: "/all" }
  ]
  const unknown = (...entries: ReadonlyArray<Exclusion.Entry>) =>
    Exclusion.unknownEntries(Exclusion.make(entries), routes)

  it("is told, in the order of the list", () => {
    assert.deepStrictEqual(
      unknown("/logout", "/login", "GET /login", "/users/:name", "/users/1", "POST /users/:id", "/login/"),
      ["/logout", "GET /login", "/users/:name", "/users/1", "POST /users/:id", "/login/"]
    )
  })

  it("is none of those that name one", () => {
    assert.deepStrictEqual(unknown("/login", "POST /login", "/users/:id", "GET /users/:id", "/all"), [])
  })

  it("is none of those that name a method of a route of every method", () => {
    assert.deepStrictEqual(unknown("GET /all", "PATCH /all"), [])
  })

  it("is every entry where there is no route, and none where there is no entry", () => {
    assert.deepStrictEqual(Exclusion.unknownEntries(Exclusion.make(["/a"]), []), ["/a"])
    assert.deepStrictEqual(unknown(), [])
  })
})
