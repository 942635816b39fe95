/** One worker, seen from the primary: begun, given connections, asked how it is, ended. */
import { fork, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import type { ConnectionTaker } from "./connection-dealer.ts";
import type { FromWorker, ToWorker, WorkerReport, WorkerTask } from "./worker-messages.ts";

/** A worker that does not say how it is within this has other troubles. Below any scraper's own. */
const reportMsMax = 3_000;

export class WorkerProcess implements ConnectionTaker {
  readonly worker: number;
  /** Resolves with its greeting when it can serve; rejects when it has ended before. */
  readonly ready: Promise<string>;
  /** Resolves with what it died of. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #reports = new Map<number, (report: WorkerReport | undefined) => void>();
  #connectionCount = 0;
  #nextReport = 1;

  constructor(task: WorkerTask) {
    this.worker = task.worker;
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    // The flags and the environment that this process was begun anew with are the child's too.
    this.#child = fork(new URL(`./worker.${extension}`, import.meta.url), {
      serialization: "advanced",
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const ready = Promise.withResolvers<string>();
    const ended = Promise.withResolvers<string>();
    this.ready = ready.promise;
    this.ended = ended.promise;
    let failure: string | undefined;
    this.#child.on("message", (message: FromWorker) => {
      if (message.kind === "ready") ready.resolve(message.greeting);
      else if (message.kind === "failed") failure = message.message;
      else if (message.kind === "closed") this.#connectionCount -= message.count;
      else this.#reports.get(message.id)?.(message.report);
    });
    this.#child.once("error", (error) => ended.resolve(error.message));
    this.#child.once("exit", (code, signal) => ended.resolve(failure ?? endText(code, signal)));
    this.ready.catch(() => undefined);
    void this.ended.then((reason) => {
      ready.reject(new Error(reason));
      for (const answer of this.#reports.values()) answer(undefined);
    });
    this.#send({ kind: "begin", task });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get connectionCount(): number {
    return this.#connectionCount;
  }

  take(socket: Socket): void {
    this.#connectionCount += 1;
    const message: ToWorker = { kind: "connection" };
    // When the worker has just died its client gets a closed connection, as all its others do.
    if (this.#child.connected) this.#child.send(message, socket, {}, () => undefined);
    else socket.destroy();
  }

  /** How it is; `undefined` when it does not say. */
  async report(): Promise<WorkerReport | undefined> {
    const { promise, resolve } = Promise.withResolvers<WorkerReport | undefined>();
    const id = this.#nextReport;
    this.#nextReport += 1;
    this.#reports.set(id, resolve);
    const timer = setTimeout(() => resolve(undefined), reportMsMax);
    this.#send({ kind: "report", id });
    const report = await promise;
    clearTimeout(timer);
    this.#reports.delete(id);
    return report;
  }

  /** It ends when what is in flight has. */
  stop(): void {
    this.#send({ kind: "stop" });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}

function endText(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
}
