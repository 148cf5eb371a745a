import { Context, Effect, Layer, Option, Redacted, Ref, Schema } from "effect"
import * as Password from "effect-security/user/Password"
import * as PasswordHasher from "effect-security/user/PasswordHasher"
import * as UserRepository from "effect-security/user/UserRepository"
import { createHash } from "node:crypto"

export const Email = Schema.String.pipe(Schema.brand("Email"))

export class User extends Schema.Class<User>("User")({
  id: Schema.String,
  name: Schema.NonEmptyString,
  email: Email
}) {}

export class Users extends UserRepository.Tag<Users>()("test/Users", { user: User, id: "id", login: "email" }) {}

export const user = (id: string, email: string): User => new User({ id, name: "Ada", email: Email.make(email) })

export const newPassword = (text: string): Password.NewPassword => Schema.decodeSync(Password.NewPassword)(text)

export const passwordHash = (text: string): Password.PasswordHash => Schema.decodeSync(Password.PasswordHash)(text)

/** What the algorithm of tests makes of a password. */
const digest = (password: Redacted.Redacted<string>): Password.PasswordHash =>
  passwordHash(`$fast$salt$${createHash("sha256").update(Redacted.value(password)).digest("base64").replace("=", "")}`)

/** An algorithm for tests: SHA-256 and no salt. */
export const fast: PasswordHasher.Algorithm = {
  ids: ["fast"],
  hash: (password) => Effect.sync(() => digest(password)),
  verify: (password, hash) => Effect.sync(() => hash === digest(password)),
  refusal: () => Option.none(),
  needsRehash: () => false,
  decoy: passwordHash("$fast$salt$decoy")
}

/** What the hasher of `layerSpy` was asked to do. */
export class Calls extends Context.Tag("test/Calls")<Calls, Ref.Ref<ReadonlyArray<string>>>() {}

export const layerSpy: Layer.Layer<PasswordHasher.PasswordHasher | Calls> = Layer.effectContext(
  Effect.gen(function*() {
    const calls = yield* Ref.make<ReadonlyArray<string>>([])
    const hasher = yield* PasswordHasher.make({ algorithm: fast })
    const note = (call: string) => Ref.update(calls, (_) => [..._, call])
    return Context.make(Calls, calls).pipe(
      Context.add(PasswordHasher.PasswordHasher, {
        ...hasher,
        hash: (password) => Effect.zipRight(note("hash"), hasher.hash(password)),
        verify: (password, hash) => Effect.zipRight(note("verify"), hasher.verify(password, hash))
      })
    )
  })
)
