/** A worker's end of the channel to the primary process. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import type { ConnectionSource } from "../node/serve.ts";
import type { FromWorker, ToWorker, WorkerAnswers, WorkerTask } from "./worker-messages.ts";

/** What the servers of a worker need of the primary. */
export interface WorkerLink {
  readonly worker: number;
  readonly source: ConnectionSource;
  /** Resolves when the primary says so, or is gone. */
  readonly stopped: Promise<void>;
  /** The worker can serve; from now on it says how it is when it is asked. */
  ready(greeting: string, answers: Answers): void;
}

type Answers = { readonly [About in keyof WorkerAnswers]: () => Promise<WorkerAnswers[About]> };

type Take = (socket: Socket) => void;

export class PrimaryChannel {
  readonly task: Promise<WorkerTask>;
  readonly #stop = Promise.withResolvers<void>();
  /** Came before the server was there to take them. */
  readonly #early: Socket[] = [];
  #take: Take | undefined;
  #answers: Answers | undefined;
  #taken: number[] = [];
  #closedCount = 0;
  #isTelling = false;

  constructor() {
    assert(process.send !== undefined, "a worker is started by `longshore serve`");
    const task = Promise.withResolvers<WorkerTask>();
    this.task = task.promise;
    // The primary decides when to stop: a terminal's ^C and a service manager's SIGTERM reach the
    // whole group, and a worker that went first would leave connections to nobody.
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
    process.on("message", (message: ToWorker, socket: unknown) => {
      if (message.kind === "begin") task.resolve(message.task);
      else if (message.kind === "connection") this.#connected(message.id, socket);
      else if (message.kind === "question") void this.#answer(message.id, message.about);
      else this.#stop.resolve();
    });
    process.once("disconnect", () => {
      task.reject(new Error("the primary process is gone"));
      this.#stop.resolve();
    });
  }

  link({ address, worker }: WorkerTask): WorkerLink {
    const start = (take: Take): void => {
      this.#take = take;
      for (const socket of this.#early.splice(0)) take(socket);
    };
    return {
      worker,
      source: { address, start },
      stopped: this.#stop.promise,
      ready: (greeting, answers) => {
        this.#answers = answers;
        this.#send({ kind: "ready", greeting });
      },
    };
  }

  /** Says why this worker cannot start. */
  async fail(reason: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const message: FromWorker = { kind: "failed", message: reason };
    if (process.connected) process.send?.(message, () => resolve());
    else resolve();
    await promise;
  }

  /** Lets the process end. */
  close(): void {
    if (process.connected) process.disconnect?.();
  }

  #connected(id: number, socket: unknown): void {
    this.#taken.push(id);
    if (socket instanceof Socket) {
      socket.once("close", () => this.#closed());
      if (this.#take === undefined) this.#early.push(socket);
      else this.#take(socket);
    } else {
      this.#closedCount += 1;
    }
    this.#tellSoon();
  }

  #closed(): void {
    this.#closedCount += 1;
    this.#tellSoon();
  }

  /**
   * What happens in one turn of the event loop is told together. It is told before anything is read
   * from a new connection: one whose worker died before it told can be given to another worker.
   */
  #tellSoon(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    setImmediate(() => {
      this.#isTelling = false;
      this.#send({ kind: "connections", taken: this.#taken, closed: this.#closedCount });
      this.#taken = [];
      this.#closedCount = 0;
    });
  }

  async #answer(id: number, about: keyof WorkerAnswers): Promise<void> {
    const answer = await this.#answers?.[about]();
    if (answer !== undefined) this.#send({ kind: "answer", id, answer });
  }

  #send(message: FromWorker): void {
    // The primary may have gone in this moment; then there is nobody to tell.
    if (process.connected) process.send?.(message, () => undefined);
  }
}
