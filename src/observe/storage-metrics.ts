/** Metrics of the calls to an object store. */
import { Counter, Histogram, type Registry } from "prom-client";

export interface StorageCall {
  readonly store: string;
  readonly operation: string;
  readonly outcome: string;
  readonly durationMs: number;
}

export interface StorageRetry {
  readonly store: string;
  readonly operation: string;
  readonly cause: string;
}

/** Distribution's names of what its drivers do, where ours does the same. */
const actions: ReadonlyMap<string, string> = new Map([
  ["get", "GetContent"],
  ["put", "PutContent"],
  ["head", "Stat"],
  ["list", "List"],
  ["delete", "Delete"],
  ["url", "RedirectURL"],
]);

/** Go's default buckets, in seconds. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class StorageMetrics {
  readonly #calls: Counter;
  readonly #retries: Counter;
  readonly #durations: Histogram;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#calls = new Counter({
      name: "longshore_storage_calls_total",
      help: "Calls to the object store, by how they ended, retries included.",
      labelNames: ["store", "operation", "outcome"],
      registers,
    });
    this.#retries = new Counter({
      name: "longshore_storage_retries_total",
      help: "Calls to the object store that were made again, by what was wrong.",
      labelNames: ["store", "operation", "cause"],
      registers,
    });
    this.#durations = new Histogram({
      name: "registry_storage_action_seconds",
      help: "The number of seconds that the storage action takes.",
      labelNames: ["driver", "action"],
      buckets: durationBuckets,
      registers,
    });
  }

  called({ durationMs, operation, outcome, store }: StorageCall): void {
    this.#calls.labels(store, operation, outcome).inc();
    const action = actions.get(operation);
    if (action !== undefined) this.#durations.labels(store, action).observe(durationMs / 1000);
  }

  retried({ cause, operation, store }: StorageRetry): void {
    this.#retries.labels(store, operation, cause).inc();
  }
}
