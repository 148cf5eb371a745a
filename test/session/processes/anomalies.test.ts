// The smallest histories that show each anomaly, and those next to them that are allowed.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import type { SessionStore } from "effect-security"
import * as SessionStoreContract from "effect-security/session/SessionStoreContract"

type PlainRecord = typeof SessionStore.SessionRecord.Encoded
type Entry = SessionStoreContract.Entry

const now = 10_000_000

const session = (name: string, changes: Partial<PlainRecord> = {}): PlainRecord => ({
  id: `${"t".repeat(12)}.${name.padEnd(43, "-")}`,
  realm: "app",
  subject: "ada",
  data: `"${name}"`,
  schemaVersion: 1,
  version: 0,
  createdAt: now,
  authenticatedAt: now,
  lastSeenAt: now,
  idleDeadline: 2 * now,
  absoluteDeadline: 3 * now,
  remember: true,
  userAgent: "",
  ...changes
})

const a = session("a")
const b = session("b")
const written = (version: number, data: string, record = a) => ({ ...record, version, data })

/** An operation that runs from one instant to another; a history numbers them. */
type Interval = readonly [from: number, to: number]
type Unnumbered = Omit<Entry, "number" | "worker">

const done = (
  [invoked, answered]: Interval,
  call: SessionStoreContract.Call,
  answer: SessionStoreContract.Answer,
  at = now
): Unnumbered => ({ realm: "app", subject: "ada", now: at, call, invoked, outcome: { answered, answer } })

const create = (when: Interval, record: PlainRecord, answer: "created" | "refused" = "created", at = now) =>
  done(when, { op: "create", record }, answer, at)
const find = (when: Interval, { id }: PlainRecord, found: PlainRecord | null) => done(when, { op: "find", id }, found)
const list = (when: Interval, ...shown: ReadonlyArray<PlainRecord>) => done(when, { op: "listBySubject" }, shown)
const update = (when: Interval, record: PlainRecord, won: boolean) => done(when, { op: "update", record }, won)
const touch = (when: Interval, { id }: PlainRecord, deadline: number) => done(when, { op: "touch", id, deadline }, null)
const rotate = (when: Interval, { id }: PlainRecord, record: PlainRecord, won: boolean) =>
  done(when, { op: "rotate", id, record }, won)
const remove = (when: Interval, { id }: PlainRecord) => done(when, { op: "remove", id }, null)
const removeAll = (when: Interval, except: PlainRecord | null = null, at = now) =>
  done(when, { op: "removeBySubject", except: except?.id ?? null }, null, at)

/** Nobody knows whether it was done. */
const unanswered = (entry: Unnumbered): Unnumbered => ({ ...entry, outcome: null })

const check = (entries: ReadonlyArray<Unnumbered>) =>
  Effect.either(SessionStoreContract.check(
    entries.map((entry, worker) => [{ ...entry, worker, number: 0 }])
  ))

const allowed = (title: string, ...entries: ReadonlyArray<Unnumbered>) =>
  it.effect(`allowed: ${title}`, () =>
    Effect.map(check(entries), (result) => {
      if (Either.isLeft(result)) {
        assert.fail(result.left.message)
      }
    }))

/** `culprit` is the entry whose answer is wrong, counted from the end. */
const wrong = (title: string, promise: RegExp, culprit: number, ...entries: ReadonlyArray<Unnumbered>) =>
  it.effect(`wrong: ${title}`, () =>
    Effect.map(check(entries), (result) => {
      assert.isTrue(Either.isLeft(result), "nothing was seen")
      if (Either.isLeft(result)) {
        assert.match(result.left.promise, promise)
        assert.include(SessionStoreContract.promises.map(({ name }) => name), result.left.promise)
        assert.match(result.left.step, new RegExp(`^worker ${entries.length - culprit} `), result.left.message)
        assert.include(result.left.commands!, result.left.step)
      }
    }))

const lost = /no acknowledged write is lost/
const revived = /is live in no other again/
const stale = /the next read of any other shows/
const mark = /no sign-in that verified its password/
const order = /some order of the operations/

describe("a lost update", () => {
  const created = create([0, 1], a)

  wrong("two updates from one version", lost, 1, created, update([2, 5], a, true), update([3, 6], a, true))
  allowed("one of the two loses", created, update([2, 5], a, true), update([3, 6], a, false))
  wrong("both lose", lost, 2, created, update([2, 5], a, false), update([3, 6], a, false))

  wrong(
    "what was acknowledged is not there",
    lost,
    2,
    created,
    update([2, 3], written(0, "1"), true),
    find([4, 5], a, a),
    find([6, 7], a, a)
  )
  wrong(
    "another update is lost, beside it",
    lost,
    1,
    created,
    update([2, 3], written(0, "1"), true),
    update([4, 5], written(0, "2"), true)
  )
  allowed(
    "it is overwritten",
    created,
    update([2, 3], written(0, "1"), true),
    update([4, 5], written(1, "2"), true),
    find([6, 7], a, written(2, "2"))
  )
  wrong(
    "a version stands for two writings",
    lost,
    2,
    created,
    update([2, 3], written(0, "1"), true),
    find([4, 5], a, written(1, "2")),
    find([6, 7], a, written(1, "2"))
  )

  wrong(
    "a rotate and an update of one version",
    revived,
    1,
    created,
    rotate([2, 4], a, b, true),
    update([3, 5], a, true)
  )
  allowed("one of them loses", created, rotate([2, 4], a, b, true), update([3, 5], a, false))
  allowed("the other loses", created, rotate([2, 4], a, b, false), update([3, 5], a, true))
  wrong(
    "two rotates of one version",
    revived,
    1,
    created,
    rotate([2, 4], a, b, true),
    rotate([3, 5], a, session("c"), true)
  )

  wrong(
    "a touch is lost",
    lost,
    2,
    created,
    touch([2, 3], a, 2 * now + 1),
    find([4, 5], a, a),
    find([6, 7], a, a)
  )
  allowed(
    "a touch and an update both stay",
    created,
    touch([2, 5], a, 2 * now + 1),
    update([3, 4], written(0, "1"), true),
    find([6, 7], a, { ...written(1, "1"), idleDeadline: 2 * now + 1 })
  )
  wrong("what was created is not there", lost, 1, created, find([2, 3], a, null))
  wrong("the excepted one is gone", lost, 1, created, removeAll([2, 3], a), find([4, 5], a, null))
})

describe("a revival", () => {
  const created = create([0, 1], a)

  for (
    const [title, end] of [
      ["remove", remove([2, 3], a)],
      ["removeBySubject", removeAll([2, 3])],
      ["removeBySubject but for another one", removeAll([2, 3], b)],
      ["rotate", rotate([2, 3], a, b, true)]
    ] as const
  ) {
    wrong(`found again, after ${title}`, revived, 2, created, end, find([4, 5], a, a), find([6, 7], a, a))
    wrong(`updated, after ${title}`, revived, 1, created, end, update([4, 5], a, true))
    wrong(`rotated, after ${title}`, revived, 1, created, end, rotate([4, 5], a, session("c"), true))
    allowed(
      `updated before ${title} has answered`,
      created,
      { ...end, outcome: { ...end.outcome!, answered: 9 } },
      update([4, 5], a, end.call.op !== "rotate")
    )
    allowed(
      `gone, although ${title} never answered`,
      created,
      unanswered(end),
      find([4, 5], a, a),
      find([6, 7], a, null),
      update([8, 9], a, false)
    )
    wrong(
      `gone and back, although ${title} never answered`,
      revived,
      2,
      created,
      unanswered(end),
      find([4, 5], a, null),
      find([6, 7], a, a),
      find([8, 9], a, a)
    )
  }

  wrong("listed again", revived, 2, created, remove([2, 3], a), list([4, 5], a), list([6, 7], a))
  allowed("created again", created, remove([2, 3], a), create([4, 5], b), list([6, 7], b))
  allowed(
    "created late, by a sign-in that never answered",
    removeAll([0, 1], null, now - 1),
    unanswered(create([2, 3], a)),
    find([4, 5], a, null),
    find([6, 7], a, a)
  )
  wrong(
    "an update that never answered brings it back",
    revived,
    2,
    created,
    unanswered(update([2, 3], written(0, "1"), true)),
    remove([4, 5], a),
    find([6, 7], a, written(1, "1")),
    find([8, 9], a, written(1, "1"))
  )
})

describe("a stale read", () => {
  const created = create([0, 1], a)

  wrong("found after a removal, once", stale, 2, created, remove([2, 3], a), find([4, 5], a, a), find([6, 7], a, null))
  allowed("found beside a removal", created, remove([2, 5], a), find([4, 6], a, a), find([7, 8], a, null))
  wrong(
    "found beside a removal, after it was not found",
    stale,
    1,
    created,
    remove([2, 9], a),
    find([3, 4], a, null),
    find([5, 6], a, a)
  )
  wrong("listed after a removal", stale, 1, created, remove([2, 3], a), list([4, 5], a))
  wrong(
    "the old state after an update",
    stale,
    2,
    created,
    update([2, 3], written(0, "1"), true),
    find([4, 5], a, a),
    find([6, 7], a, written(1, "1"))
  )
  allowed("the old state beside an update", created, update([2, 5], written(0, "1"), true), find([4, 6], a, a))
  wrong(
    "the new state and then the old one, beside an update",
    stale,
    1,
    created,
    update([2, 9], written(0, "1"), true),
    find([3, 4], a, written(1, "1")),
    find([5, 6], a, a)
  )
  allowed(
    "old or new where an update never answered",
    created,
    unanswered(update([2, 3], written(0, "1"), true)),
    find([4, 5], a, a),
    find([6, 7], a, written(1, "1"))
  )
  wrong("not found when it was created", stale, 2, created, find([2, 3], a, null), find([4, 5], a, a))
  allowed("at the same instant it is either", create([0, 2], a), find([2, 3], a, null), find([4, 5], a, a))
})

describe("a mark that is ignored", () => {
  const late = session("late", { authenticatedAt: now - 1 })

  wrong("a sign-in lands after it", mark, 1, removeAll([0, 1]), create([2, 3], late))
  allowed("it is refused", removeAll([0, 1]), create([2, 3], late, "refused"))
  allowed("it lands before, and is ended", removeAll([0, 5]), create([2, 6], late), find([7, 8], late, null))
  wrong("it lands beside, and stays", mark, 1, removeAll([0, 5]), create([2, 6], late), find([7, 8], late, late))
  allowed("its password was verified later", removeAll([0, 1]), create([2, 3], a))
  allowed("the mark is ten minutes old", removeAll([0, 1]), create([2, 3], late, "created", now + 600_000))
  wrong("the mark is nearly as old", mark, 1, removeAll([0, 1]), create([2, 3], late, "created", now + 599_999))
  wrong(
    "a mark of a clock that is behind replaced the later one",
    mark,
    1,
    removeAll([0, 1]),
    removeAll([2, 3], null, now - 60_000),
    create([4, 5], late)
  )
  wrong("it is refused without a mark", order, 1, create([2, 3], late, "refused"))
  allowed("it is refused where a mark may stand", unanswered(removeAll([0, 1])), create([2, 3], late, "refused"))
  wrong("it is refused and lands", order, 1, removeAll([0, 1]), create([2, 3], late, "refused"), list([4, 5], late))
})

describe("no order of the operations", () => {
  wrong(
    "a list shows both sides of a rotate",
    order,
    1,
    create([0, 1], a),
    rotate([2, 5], a, b, true),
    list([3, 4], a, b)
  )
  wrong("a list shows neither side of a rotate", order, 1, create([0, 1], a), rotate([2, 5], a, b, true), list([3, 4]))
  allowed("a list shows one side", create([0, 1], a), rotate([2, 5], a, b, true), list([3, 4], a), list([6, 7], b))
  wrong(
    "a list shows half of what removeBySubject ends",
    order,
    1,
    create([0, 1], a),
    create([0, 1], b),
    removeAll([2, 5]),
    list([3, 4], a)
  )
  wrong("a session that nobody created", order, 1, find([0, 1], a, a))
  wrong(
    "a rotate that lost has created",
    order,
    1,
    create([0, 1], a),
    remove([2, 3], a),
    rotate([4, 5], a, b, false),
    find([6, 7], b, b)
  )
  wrong(
    "two sessions change in another order for each who looks",
    stale,
    2,
    create([0, 1], a),
    create([0, 1], b),
    update([2, 20], written(0, "1"), true),
    update([2, 20], written(0, "1", b), true),
    list([3, 4], written(1, "1"), b),
    list([5, 6], a, written(1, "1", b)),
    list([7, 8], written(1, "1"), written(1, "1", b))
  )
})

describe("owners", () => {
  const foreign = { ...a, realm: "other" }

  it.effect("are judged apart: the same operations on another's sessions explain nothing", () =>
    Effect.gen(function*() {
      const result = yield* check([
        { ...create([0, 1], foreign), realm: "other" },
        find([2, 3], a, a)
      ])
      assert.isTrue(Either.isLeft(result))
    }))
})
