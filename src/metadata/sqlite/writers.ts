/** Who runs the commands: a thread of its own for a file, the caller's thread for memory. */
import { Worker } from "node:worker_threads";
import type { CommandName } from "../commands.ts";
import type { SqlDialect } from "../sql/dialect.ts";
import type { Connection } from "./connection.ts";
import { runGroup, type CommandOutcome, type PendingCommand } from "./group-commit.ts";
import type { FromWriter, ToWriter, WriterRequest } from "./writer-worker.ts";

export interface Writer {
  execute(command: PendingCommand): Promise<CommandOutcome>;
  close(): Promise<void>;
}

/** An in-memory database has one connection: commands run on it at once, between two reads. */
export function directWriter(connection: Connection, dialect: SqlDialect): Writer {
  return {
    execute: async (command) => {
      const [outcome] = runGroup(connection, dialect, [command]);
      return outcome ?? { ok: false, error: new Error("the command gave no outcome") };
    },
    close: async () => undefined,
  };
}

interface Waiting {
  readonly resolve: (outcome: CommandOutcome<CommandName>) => void;
  readonly reject: (error: unknown) => void;
}

/** Commands of one turn of the event loop travel together. */
export class ThreadWriter implements Writer {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
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
    for (const { id, outcome } of message) {
      this.#waiting.get(id)?.resolve(outcome);
      this.#waiting.delete(id);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
    this.#closed.reject(this.#failure);
  }
}
