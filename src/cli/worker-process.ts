/** One worker, seen from the primary: begun, given connections, asked how it is, ended. */
import { fork, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import type { ConnectionTaker } from "./connection-dealer.ts";
import type { FromWorker, ToWorker, WorkerAnswers, WorkerTask } from "./worker-messages.ts";

/** A worker that does not answer within this has other troubles. Most probes wait for longer. */
const answerMsMax = 4_000;

type Answer = WorkerAnswers[keyof WorkerAnswers];

export class WorkerProcess implements ConnectionTaker {
  readonly worker: number;
  /** Resolves with its greeting when it can serve; rejects when it has ended before. */
  readonly ready: Promise<string>;
  /** Resolves with what it died of. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (answer: Answer | undefined) => void>();
  /** Given to it, but it has not said that it has them: they are still open in this process. */
  readonly #given = new Map<number, Socket>();
  #connectionCount = 0;
  #nextConnection = 1;
  #nextQuestion = 1;

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
      else if (message.kind === "connections") this.#seen(message.taken, message.closed);
      else this.#asked.get(message.id)?.(message.answer);
    });
    const end = (reason: string): void => {
      ended.resolve(reason);
      ready.reject(new Error(reason));
      for (const answer of this.#asked.values()) answer(undefined);
    };
    this.#child.on("error", (error) => {
      // Otherwise it runs, and just could not be told something.
      if (this.#child.pid === undefined) end(error.message);
    });
    // Comes when the channel is closed too: nothing is sent to it any more.
    this.#child.once("close", (code, signal) => end(failure ?? endText(code, signal)));
    // Whoever has begun the others too hears of the first that failed.
    this.ready.catch(() => undefined);
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
    const id = this.#nextConnection;
    this.#nextConnection += 1;
    this.#given.set(id, socket);
    const message: ToWorker = { kind: "connection", id };
    // Left to itself Node would forget sockets that are on their way when the worker dies.
    const options = { keepOpen: true };
    if (this.#child.connected) this.#child.send(message, socket, options, () => undefined);
  }

  /** After its end: the connections that it was given and has never read from. */
  takeBack(): readonly Socket[] {
    const sockets = [...this.#given.values()];
    this.#given.clear();
    return sockets;
  }

  /** How it is; `undefined` when it does not say. */
  async ask<About extends keyof WorkerAnswers>(
    about: About,
  ): Promise<WorkerAnswers[About] | undefined> {
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const id = this.#nextQuestion;
    this.#nextQuestion += 1;
    this.#asked.set(id, resolve);
    const timer = setTimeout(() => resolve(undefined), answerMsMax);
    this.#send({ kind: "question", id, about });
    const answer = await promise;
    clearTimeout(timer);
    this.#asked.delete(id);
    return answer as WorkerAnswers[About] | undefined;
  }

  /** It ends when what is in flight has. */
  stop(): void {
    this.#send({ kind: "stop" });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #seen(taken: readonly number[], closed: number): void {
    this.#connectionCount -= closed;
    for (const id of taken) {
      // Only this process's descriptor of it: the connection goes on in the worker.
      this.#given.get(id)?.destroy();
      this.#given.delete(id);
    }
  }

  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}

function endText(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
}
