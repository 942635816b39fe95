/** What the primary process and its workers tell each other, over Node's channel between them. */
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.ts";
import type { HealthReport } from "../observe/readiness.ts";

/** What a worker is made of; sent once, first. */
export interface WorkerTask {
  readonly config: Config;
  /** The config file's name, for messages. */
  readonly file: string | undefined;
  /** From 1; a worker that takes a dead one's place has its number. */
  readonly worker: number;
  /** Where the primary listens. */
  readonly address: AddressInfo;
}

export interface WorkerFigures {
  readonly residentBytes: number;
  readonly connections: number;
  /** prom-client's JSON form. */
  readonly metrics: readonly object[];
}

/** What a worker is asked, and what it answers. */
export interface WorkerAnswers {
  readonly figures: WorkerFigures;
  readonly health: HealthReport;
}

export type ToWorker =
  | { readonly kind: "begin"; readonly task: WorkerTask }
  /** Comes with a socket, unless the client has gone in the meantime. */
  | { readonly kind: "connection"; readonly id: number }
  | { readonly kind: "question"; readonly id: number; readonly about: keyof WorkerAnswers }
  /** End what is in flight, take nothing new. */
  | { readonly kind: "stop" };

export type FromWorker =
  | { readonly kind: "ready"; readonly greeting: string }
  /** It cannot start, and ends. */
  | { readonly kind: "failed"; readonly message: string }
  /** Connections that it was given: those that it has now, and how many more are closed. */
  | { readonly kind: "connections"; readonly taken: readonly number[]; readonly closed: number }
  | {
      readonly kind: "answer";
      readonly id: number;
      readonly answer: WorkerAnswers[keyof WorkerAnswers];
    };
