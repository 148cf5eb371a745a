import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, FastCheck, Fiber, Logger, Option, Redacted, TestClock } from "effect"
import type { SecurityUnavailable } from "effect-security/SecurityError"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import { fast, passwordHash } from "./fixtures.js"

/** An algorithm that works on each password until it is told to end. */
const held = Effect.sync(() => {
  const running = new Map<string, Deferred.Deferred<void>>()
  const begun: Array<string> = []
  let most = 0
  const algorithm: PasswordHasher.Algorithm = {
    ...fast,
    hash: (password) =>
      Effect.gen(function*() {
        const name = Redacted.value(password)
        const end = yield* Deferred.make<void>()
        running.set(name, end)
        begun.push(name)
        most = Math.max(most, running.size)
        yield* Effect.ensuring(Deferred.await(end), Effect.sync(() => running.delete(name)))
        return yield* fast.hash(password)
      })
  }
  return {
    algorithm,
    begun,
    running,
    most: () => most,
    end: (name: string) => Effect.suspend(() => Deferred.succeed(running.get(name)!, undefined)).pipe(settled)
  }
})

/** Until every fiber that can go on has gone on. */
const settled = Effect.zipLeft(Effect.repeatN(Effect.yieldNow(), 100))

const start = <A, E>(self: Effect.Effect<A, E>) => settled(Effect.forkDaemon(self))

/** Interrupts a fiber that must end by that alone. */
const letGo = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) =>
  Effect.gen(function*() {
    yield* settled(Fiber.interruptFork(fiber))
    assert.isTrue(Option.isSome(yield* Fiber.poll(fiber)))
  })

const hasherOf = (algorithm: PasswordHasher.Algorithm, options?: PasswordHasher.QueueOptions) =>
  PasswordHasher.make({ algorithm, ...options })

describe("hashing many passwords", () => {
  it.effect("runs two at once and the others in the order in which they came", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm)
      const fibers = []
      for (const name of ["a", "b", "c", "d"]) fibers.push(yield* start(hasher.hash(Password.make(name))))
      assert.deepStrictEqual(work.begun, ["a", "b"])
      yield* work.end("b")
      assert.deepStrictEqual(work.begun, ["a", "b", "c"])
      yield* work.end("a")
      assert.deepStrictEqual(work.begun, ["a", "b", "c", "d"])
      yield* work.end("c")
      yield* work.end("d")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(work.most(), 2)
    }))

  it.effect("counts verifications too", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm, { concurrency: 1, maxQueue: 0 })
      const fiber = yield* start(hasher.hash(Password.make("a")))
      const error = yield* Effect.flip(hasher.verify(Password.make("a"), fast.decoy))
      assert.strictEqual(error._tag, "SecurityUnavailable")
      yield* work.end("a")
      yield* Fiber.join(fiber)
      assert.isFalse(yield* hasher.verify(Password.make("a"), fast.decoy))
    }))

  it.effect("lets 64 wait and tells the next at once", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm)
      const names = Array.from({ length: 66 }, (_, index) => String(index))
      const fibers = []
      for (const name of names) fibers.push(yield* Effect.fork(hasher.hash(Password.make(name))))
      yield* settled(Effect.void)
      const error = yield* Effect.flip(hasher.hash(Password.make("one too many")))
      assert.strictEqual(error._tag, "SecurityUnavailable")
      assert.strictEqual(error.status, 503)
      for (const name of names) yield* work.end(name)
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(work.begun, names)
      assert.strictEqual(work.most(), 2)
    }))

  it.effect("goes on after one that failed and one that died", () =>
    Effect.gen(function*() {
      const hasher = yield* hasherOf({
        ...fast,
        hash: (password) => Redacted.value(password) === "dies" ? Effect.dieMessage("boom") : fast.hash(password),
        verify: () => Effect.dieMessage("boom")
      }, { concurrency: 1, maxQueue: 0 })
      const attempts: ReadonlyArray<Effect.Effect<unknown, SecurityUnavailable>> = [
        hasher.hash(Password.make("dies")),
        hasher.verify(Password.make(""), fast.decoy)
      ]
      for (const attempt of attempts) {
        const exit = yield* Effect.exit(attempt)
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      }
      yield* hasher.hash(Password.make("fine"))
    }))
})

describe("a caller that is interrupted", () => {
  it.effect("leaves the queue, and its password is never hashed", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm, { concurrency: 1, maxQueue: 1 })
      const first = yield* start(hasher.hash(Password.make("a")))
      const waiting = yield* start(hasher.hash(Password.make("b")))
      yield* letGo(waiting)
      const next = yield* start(hasher.hash(Password.make("c")))
      yield* work.end("a")
      yield* work.end("c")
      yield* Fiber.joinAll([first, next])
      assert.deepStrictEqual(work.begun, ["a", "c"])
    }))

  it.effect("leaves the queue also inside an uninterruptible region", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm, { concurrency: 1, maxQueue: 1 })
      const first = yield* start(hasher.hash(Password.make("a")))
      const waiting = yield* start(Effect.uninterruptible(hasher.hash(Password.make("b"))))
      yield* letGo(waiting)
      const next = yield* start(hasher.hash(Password.make("c")))
      yield* work.end("a")
      yield* work.end("c")
      yield* Fiber.joinAll([first, next])
      assert.deepStrictEqual(work.begun, ["a", "c"])
    }))

  it.effect("keeps its slot until a hash that has begun ends", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm, { concurrency: 1 })
      const first = yield* start(Effect.uninterruptible(hasher.hash(Password.make("a"))))
      // It does not wait for the hash,
      yield* letGo(first)
      const next = yield* start(hasher.hash(Password.make("b")))
      // which still runs, alone.
      assert.deepStrictEqual([...work.running.keys()], ["a"])
      yield* work.end("a")
      assert.deepStrictEqual([...work.running.keys()], ["b"])
      yield* work.end("b")
      yield* Fiber.join(next)
      assert.strictEqual(work.most(), 1)
    }))

  it.effect("is let go by a timeout around it, waiting or working", () =>
    Effect.gen(function*() {
      const work = yield* held
      const hasher = yield* hasherOf(work.algorithm, { concurrency: 1 })
      const timed = (name: string) =>
        hasher.hash(Password.make(name)).pipe(Effect.timeoutOption(Duration.seconds(2)), Effect.uninterruptible)
      const fibers = [yield* start(timed("a")), yield* start(timed("b"))]
      yield* settled(TestClock.adjust(Duration.seconds(2)))
      assert.deepStrictEqual((yield* Effect.forEach(fibers, Fiber.poll)).map(Option.isSome), [true, true])
      assert.deepStrictEqual((yield* Fiber.joinAll(fibers)).map(Option.isNone), [true, true])
    }))

  it.effect.prop(
    "never takes a slot with it, whenever it is interrupted",
    [FastCheck.array(FastCheck.record({ interrupted: FastCheck.boolean(), after: FastCheck.nat(6) }), {
      maxLength: 12
    })],
    ([callers]) =>
      Effect.gen(function*() {
        const work = yield* held
        const hasher = yield* hasherOf({
          ...work.algorithm,
          hash: (password) =>
            Redacted.value(password) === "short"
              ? Effect.zipRight(Effect.yieldNow(), fast.hash(password))
              : work.algorithm.hash(password)
        })
        const fibers = []
        for (const { after, interrupted } of callers) {
          const fiber = yield* Effect.fork(hasher.hash(Password.make("short")))
          fibers.push(fiber)
          if (interrupted) {
            yield* Effect.fork(Effect.zipRight(Effect.repeatN(Effect.yieldNow(), after), Fiber.interruptFork(fiber)))
          }
        }
        yield* settled(Effect.forEach(fibers, Fiber.await))
        // Two slots are free, and no third.
        const last = yield* Effect.forEach(["a", "b", "c"], (name) => start(hasher.hash(Password.make(name))))
        assert.deepStrictEqual(work.begun, ["a", "b"])
        yield* Effect.forEach(["a", "b", "c"], work.end)
        yield* Fiber.joinAll(last)
      })
  )
})

describe("a password to hash", () => {
  it.effect("is the same in each way to type it", () =>
    Effect.gen(function*() {
      const hasher = yield* hasherOf(fast)
      const hash = yield* hasher.hash(Password.make("e\u0301cole ﬁne"))
      assert.isTrue(yield* hasher.verify(Password.make("\u00e9cole fine"), hash))
      assert.isTrue(yield* hasher.verify(Password.make("e\u0301cole fine"), hash))
      assert.isFalse(yield* hasher.verify(Password.make("ecole fine"), hash))
    }))

  it.effect("keeps its case and its spaces", () =>
    Effect.gen(function*() {
      const hasher = yield* hasherOf(fast)
      const hash = yield* hasher.hash(Password.make(" Password "))
      assert.isFalse(yield* hasher.verify(Password.make("Password"), hash))
      assert.isFalse(yield* hasher.verify(Password.make(" password "), hash))
    }))
})

describe("a stored hash", () => {
  const never: PasswordHasher.Algorithm = {
    ...fast,
    verify: () => Effect.dieMessage("verified what it must not"),
    refusal: (hash) => hash === fast.decoy ? Option.none() : Option.some("it would cost too much")
  }

  it.effect("that its algorithm refuses is not verified, and is not a wrong password", () =>
    Effect.gen(function*() {
      const hasher = yield* hasherOf(never)
      const error = yield* Effect.flip(hasher.verify(Password.make("x"), passwordHash("$fast$salt$huge")))
      assert.strictEqual(error._tag, "SecurityUnavailable")
      assert.strictEqual(error.reason, "the stored password hash cannot be used: it would cost too much")
    }))

  it.effect("that nobody knows is not a wrong password, and is not repeated", () =>
    Effect.gen(function*() {
      const hasher = yield* hasherOf(never)
      for (const text of ["$other$salt$hash", "", "garbage", "$", "$fast", "$fast$$", "$FAST$salt$hash"]) {
        const error = yield* Effect.flip(hasher.verify(Password.make("x"), text as Password.PasswordHash))
        assert.strictEqual(error._tag, "SecurityUnavailable")
        assert.strictEqual(error.reason, "the stored password hash cannot be used: no configured algorithm made it")
      }
    }))

  it.effect("that cannot be used is logged, since the answer tells nobody why, and the log does not repeat it", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => {
        lines.push(String(message))
      })
      const hasher = yield* hasherOf(fast)
      const unknown = passwordHash("$unknown$v=1$c2VjcmV0c2VjcmV0$c2VjcmV0c2VjcmV0")
      yield* Effect.flip(hasher.verify(Password.make("password"), unknown)).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], "cannot be used")
      assert.notInclude(lines[0], "c2Vj")
    }))

  it.effect("of an algorithm from earlier is verified, and made anew", () =>
    Effect.gen(function*() {
      const hasher = yield* PasswordHasher.make({
        algorithm: fast,
        legacy: [{
          ...fast,
          ids: ["old"],
          verify: (password, hash) => Effect.succeed(hash === "$old$salt$hash" && Redacted.value(password) === "old")
        }]
      })
      const old = passwordHash("$old$salt$hash")
      assert.isTrue(yield* hasher.verify(Password.make("old"), old))
      assert.isFalse(yield* hasher.verify(Password.make("new"), old))
      assert.isTrue(hasher.needsRehash(old))
      const hash = yield* hasher.hash(Password.make("new"))
      assert.match(hash, /^\$fast\$/)
      assert.isFalse(hasher.needsRehash(hash))
      assert.isTrue(hasher.needsRehash("garbage" as Password.PasswordHash))
    }))
})

describe("options that make no sense", () => {
  const defect = (options: Partial<PasswordHasher.Options>) =>
    Effect.map(
      Effect.exit(PasswordHasher.make({ algorithm: fast, ...options })),
      (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.pretty(exit.cause) : ""
    )

  it.effect("are a defect that names them", () =>
    Effect.gen(function*() {
      for (const concurrency of [0, -1, 1.5, NaN, Infinity]) {
        assert.include(yield* defect({ concurrency }), "`concurrency`")
      }
      for (const maxQueue of [-1, 1.5, NaN, Infinity]) assert.include(yield* defect({ maxQueue }), "`maxQueue`")
      assert.include(
        yield* defect({ algorithm: { ...fast, refusal: () => Option.some("memoryCost is above 1 KiB") } }),
        "memoryCost is above 1 KiB"
      )
    }))
})
