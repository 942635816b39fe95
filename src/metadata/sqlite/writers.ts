/**
 * The writer of a database file: a thread of its own (`writer-worker.ts`), seen from the outside.
 */
import { Worker } from "node:worker_threads";
import type { PreparedReads } from "../sql/rows.ts";
import type { CommandOutcome, PendingCommand, SqlWriter } from "../sql/sql-store.ts";
import type { FromWriter, ToWriter, WriterRequest } from "./writer-worker.ts";

interface Waiting {
  readonly resolve: (outcome: CommandOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** Commands of one turn of the event loop travel together. */
export class ThreadWriter implements SqlWriter {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ready = Promise.withResolvers<PreparedReads>();
  readonly #closed = Promise.withResolvers<void>();
  #unsent: WriterRequest[] = [];
  #nextId = 1;
  #failure: Error | undefined;

  constructor(path: string) {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const url = new URL(`./writer-worker.${extension}`, import.meta.url);
    this.#worker = new Worker(url, { name: "longshore metadata writer", workerData: { path } });
    this.#worker.on("message", (message: FromWriter) => this.#receive(message));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error("the metadata writer has ended")));
    this.#closed.promise.catch(() => undefined);
    this.#ready.promise.catch(() => undefined);
  }

  /** Resolves when the database is up to date, with the reads that were compiled for it. */
  get ready(): Promise<PreparedReads> {
    return this.#ready.promise;
  }

  execute(command: PendingCommand): Promise<CommandOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<CommandOutcome>();
    if (this.#failure !== undefined) {
      reject(this.#failure);
      return promise;
    }
    const id = this.#nextId;
    this.#nextId += 1;
    this.#waiting.set(id, { resolve, reject });
    if (this.#unsent.length === 0) queueMicrotask(() => this.#send());
    this.#unsent.push({ id, command });
    return promise;
  }

  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#send();
    this.#worker.postMessage("close" satisfies ToWriter);
    await this.#closed.promise;
    await this.#worker.terminate();
  }

  #send(): void {
    if (this.#unsent.length === 0) return;
    const requests = this.#unsent;
    this.#unsent = [];
    this.#worker.postMessage(requests satisfies ToWriter);
  }

  #receive(message: FromWriter): void {
    if (message === "closed") {
      this.#failure = new Error("the metadata store is closed");
      this.#closed.resolve();
      return;
    }
    if ("reads" in message) {
      this.#ready.resolve(message.reads);
      return;
    }
    for (const { id, outcome } of message) {
      this.#waiting.get(id)?.resolve(outcome);
      this.#waiting.delete(id);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
    this.#ready.reject(this.#failure);
    this.#closed.reject(this.#failure);
  }
}
