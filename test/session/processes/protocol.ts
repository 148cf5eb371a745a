// What a test and its workers say to each other.
import type * as SessionStoreContract from "effect-security/session/SessionStoreContract"
import type { Place } from "./stores.js"

export interface Job {
  readonly place: Place
  readonly isCached: boolean
  readonly options: Omit<SessionStoreContract.WorkloadOptions, "instant" | "barrier" | "log">
}

export type ToWorker = { readonly say: "run"; readonly job: Job } | { readonly say: "pass" }

export type FromWorker =
  | { readonly say: "ready" }
  | { readonly say: "entry"; readonly entry: SessionStoreContract.Entry }
  | { readonly say: "waiting" }
  | { readonly say: "done" }
  | { readonly say: "failed"; readonly cause: string }
