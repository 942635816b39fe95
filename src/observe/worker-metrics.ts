/** Metrics of several processes that serve as one: added up, and what tells them apart. */
import { AggregatorRegistry, Gauge, Registry, type MetricObject } from "prom-client";

export interface WorkerMetrics {
  readonly worker: number;
  readonly pid: number;
  /** How often it has died and was begun anew. */
  readonly restarts: number;
  /** `undefined` when it does not answer. */
  readonly figures:
    | {
        readonly residentBytes: number;
        readonly connections: number;
        /** What `Metrics.collect` gave there. */
        readonly metrics: readonly object[];
      }
    | undefined;
}

/** A series of a counter, as prom-client's JSON form has it. */
interface Counted extends MetricObject {
  readonly values?: readonly { readonly value: number }[];
}

const requestsName = "registry_http_requests_total";

/** The exposition format's text, and its media type. */
export async function renderWorkerMetrics(
  workers: readonly WorkerMetrics[],
  primary: { readonly residentBytes: number },
): Promise<{ readonly text: string; readonly contentType: string }> {
  const collected = workers.flatMap(({ figures }) =>
    figures === undefined ? [] : [figures.metrics],
  );
  const sum = AggregatorRegistry.aggregate([...collected] as object[]);
  const own = new Registry();
  const gauge = (name: string, help: string): Gauge<"worker"> =>
    new Gauge({ name, help, labelNames: ["worker"], registers: [own] });
  const up = gauge("longshore_worker_up", "Whether the worker process answers.");
  const pids = gauge("longshore_worker_process_id", "The worker's process id.");
  const restarts = gauge("longshore_worker_restarts", "How often it died and was begun anew.");
  const memory = gauge("longshore_worker_resident_memory_bytes", "Its resident memory.");
  const connections = gauge("longshore_worker_connections", "Its open client connections.");
  const requests = gauge("longshore_worker_requests", "Requests that it has answered.");
  memory.set({ worker: "primary" }, primary.residentBytes);
  for (const { figures, pid, restarts: count, worker } of workers) {
    const labels = { worker: String(worker) };
    up.set(labels, figures === undefined ? 0 : 1);
    pids.set(labels, pid);
    restarts.set(labels, count);
    if (figures === undefined) continue;
    memory.set(labels, figures.residentBytes);
    connections.set(labels, figures.connections);
    requests.set(labels, requestsOf(figures.metrics));
  }
  const text = `${await sum.metrics()}\n${await own.metrics()}`;
  return { text, contentType: own.contentType };
}

function requestsOf(metrics: readonly object[]): number {
  const counter = (metrics as readonly Counted[]).find(({ name }) => name === requestsName);
  return (counter?.values ?? []).reduce((total, { value }) => total + value, 0);
}
