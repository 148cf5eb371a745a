import type { KeyValueStore } from "@effect/platform/KeyValueStore"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SecurityUnavailable } from "../../../SecurityError.js"
import * as entries from "./entries.js"
import * as locks from "./locks.js"

// What has to be looked at when its time has come, found without a list of all keys. A name stands in the bucket of its
// deadline, on one of the bucket's pages, and a directory says which buckets there are and how many pages each has.

export interface Deadlines {
  /** Has `name` looked at when the deadline has come. */
  readonly add: (name: string, deadline: number) => Effect.Effect<void, SecurityUnavailable>
  /**
   * Looks at what is due, until `limit` was removed; says how much was. What fails is left for the next time, and is a
   * failure of the sweep only when all else failed too. A call does not look at more than `limit` and 1,000.
   */
  readonly sweep: (
    limit: number,
    settle: (name: string) => Effect.Effect<Settled, SecurityUnavailable>
  ) => Effect.Effect<number, SecurityUnavailable>
}

/** A name that was settled is forgotten. Who wants it to be looked at again has added it again. */
export type Settled = "removed" | "kept"

const bucketMillis = 10 * 60_000
const pageSize = 100
const slack = 1_000

const Directory = Schema.Array(Schema.Tuple(Schema.Int, Schema.Int))
const Page = Schema.Array(Schema.Tuple(Schema.Int, Schema.String))

type Directory = typeof Directory.Type
type Page = typeof Page.Type

const bucketOf = (deadline: number) => Math.floor(deadline / bucketMillis)

export const make = (store: KeyValueStore, prefix: string): Deadlines => {
  const directories = entries.make(store, Directory, prefix)
  const pages = entries.make(store, Page, `${prefix}/`)
  const locked = locks.make()
  /** How many pages a bucket has, as far as this process knows. */
  const known = new Map<number, number>()

  const pageName = (bucket: number, page: number) => `${bucket}/${page}`
  const findPage = (bucket: number, page: number): Effect.Effect<Page, SecurityUnavailable> =>
    Effect.map(pages.find(pageName(bucket, page)), Option.getOrElse(() => []))
  const writePage = (bucket: number, page: number, content: Page) =>
    content.length === 0
      ? pages.remove(pageName(bucket, page))
      : pages.write(pageName(bucket, page), content)

  const inBucket = (bucket: number) => locked(String(bucket))
  const inDirectory = locked("directory")

  /** Where the directory is lost, what is known of it. */
  const loadDirectory: Effect.Effect<Directory, SecurityUnavailable> = Effect.map(
    directories.find(""),
    Option.match({
      onNone: () => Array.from(known),
      onSome: (directory) => {
        known.clear()
        directory.forEach(([bucket, count]) => known.set(bucket, count))
        return directory
      }
    })
  )

  /** Has the bucket have at least so many pages; gives how many it has. */
  const register = (bucket: number, least: number): Effect.Effect<number, SecurityUnavailable> =>
    inDirectory(Effect.gen(function*() {
      const directory = yield* loadDirectory
      const before = directory.find(([other]) => other === bucket)?.[1] ?? 0
      const count = Math.max(before, least)
      if (count > before) {
        yield* directories.write("", [...directory.filter(([other]) => other !== bucket), [bucket, count]])
        known.set(bucket, count)
      }
      return count
    }))

  const unregister = (bucket: number): Effect.Effect<void, SecurityUnavailable> =>
    inDirectory(Effect.gen(function*() {
      const left = (yield* loadDirectory).filter(([other]) => other !== bucket)
      yield* left.length === 0 ? directories.remove("") : directories.write("", left)
      known.delete(bucket)
    }))

  /** On the last page, or on a new one when it is full. */
  const place = (entry: Page[number], bucket: number, count: number): Effect.Effect<void, SecurityUnavailable> =>
    Effect.flatMap(findPage(bucket, count - 1), (page) =>
      page.length < pageSize
        ? writePage(bucket, count - 1, [...page, entry])
        : Effect.flatMap(register(bucket, count + 1), (more) => place(entry, bucket, more)))

  const add: Deadlines["add"] = (name, deadline) => {
    const bucket = bucketOf(deadline)
    return inBucket(bucket)(Effect.uninterruptible(Effect.gen(function*() {
      yield* place([deadline, name], bucket, known.get(bucket) ?? (yield* register(bucket, 1)))
    })))
  }

  /** What others have added to the page meanwhile stays. */
  const crossOff = (bucket: number, page: number, settled: Page) =>
    inBucket(bucket)(Effect.uninterruptible(Effect.gen(function*() {
      const gone = new Set(settled.map((entry) => entry.join()))
      const content = yield* findPage(bucket, page)
      yield* writePage(bucket, page, content.filter((entry) => !gone.has(entry.join())))
    })))

  /** Forgets a bucket on whose pages nothing stands. */
  const retire = (bucket: number, count: number) =>
    inBucket(bucket)(Effect.uninterruptible(Effect.gen(function*() {
      const numbers = Array.from({ length: Math.max(count, known.get(bucket) ?? 0) }, (_, page) => page)
      const contents = yield* Effect.forEach(numbers, (page) => findPage(bucket, page))
      if (contents.every((content) => content.length === 0)) {
        yield* Effect.forEach(numbers, (page) => pages.remove(pageName(bucket, page)))
        yield* unregister(bucket)
      }
    })))

  const sweep: Deadlines["sweep"] = (limit, settle) =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const failures: Array<SecurityUnavailable> = []
      let removed = 0
      let settled = 0
      let looked = 0
      const isEnough = () => removed >= limit || looked >= limit + slack
      const attempt = <A>(self: Effect.Effect<A, SecurityUnavailable>): Effect.Effect<Option.Option<A>> =>
        Effect.map(Effect.either(self), (result) => {
          if (Either.isLeft(result)) {
            failures.push(result.left)
          }
          return Either.getRight(result)
        })

      const sweepPage = (bucket: number, page: number) =>
        Effect.gen(function*() {
          const done: Array<Page[number]> = []
          const entries = yield* inBucket(bucket)(findPage(bucket, page))
          // However many pages are empty by now, what stands behind them is reached.
          looked += entries.length === 0 ? 0 : 1
          for (const entry of entries) {
            if (isEnough()) {
              break
            }
            const [deadline, name] = entry
            if (deadline <= now) {
              looked++
              const outcome = yield* attempt(settle(name))
              if (Option.isSome(outcome)) {
                done.push(entry)
                settled++
                removed += outcome.value === "removed" ? 1 : 0
              }
            }
          }
          if (done.length > 0) {
            yield* crossOff(bucket, page, done)
          }
        })

      const due = (yield* inDirectory(loadDirectory))
        .filter(([bucket]) => bucket * bucketMillis <= now)
        .sort(([a], [b]) => a - b)
      for (const [bucket, count] of due) {
        for (let page = 0; page < count && !isEnough(); page++) {
          yield* attempt(sweepPage(bucket, page))
        }
        if (isEnough()) {
          break
        }
        if (bucket < bucketOf(now)) {
          yield* attempt(retire(bucket, count))
        }
      }

      if (failures.length > 0) {
        if (settled === 0) {
          return yield* failures[0]!
        }
        yield* Effect.logWarning(
          `${failures.length} of what is due could not be looked at, the first because of`,
          Cause.fail(failures[0]!)
        )
      }
      return removed
    })

  return { add, sweep }
}
