/** Prometheus metrics, under Distribution's names, so that its dashboards go on working. */
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";
import { StorageMetrics } from "./storage-metrics.ts";

export interface HttpMetric {
  /** Distribution's name of the endpoint: base, manifest, tags, blob, blob_upload, ... */
  readonly handler: string;
  readonly method: string;
  readonly status: number;
  readonly seconds: number;
}

/** Go's default buckets, in seconds: what the dashboards' quantiles were made with. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Methods that get a label of their own; clients may invent any number of others. */
const knownMethods = new Set(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]);

interface Bound {
  readonly requests: { inc(): void };
  readonly duration: { observe(seconds: number): void };
}

export class Metrics {
  readonly storage: StorageMetrics;
  readonly #registry = new Registry();
  readonly #requests: Counter;
  readonly #durations: Histogram;
  /** Looking labels up in the library costs more than counting: each combination is bound once. */
  readonly #bound = new Map<string, Bound>();

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.storage = new StorageMetrics(this.#registry);
    this.#requests = new Counter({
      name: "registry_http_requests_total",
      help: "Total number of HTTP requests made.",
      labelNames: ["handler", "code", "method"],
      registers,
    });
    this.#durations = new Histogram({
      name: "registry_http_request_duration_seconds",
      help: "The HTTP request latencies in seconds.",
      labelNames: ["handler", "method"],
      buckets: durationBuckets,
      registers,
    });
  }

  observeHttp({ handler, method, seconds, status }: HttpMetric): void {
    const key = `${handler} ${method} ${status}`;
    const bound = this.#bound.get(key) ?? this.#bind(key, { handler, method, status });
    bound.requests.inc();
    bound.duration.observe(seconds);
  }

  /** The exposition format's text, and its media type. */
  async render(): Promise<{ readonly text: string; readonly contentType: string }> {
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }

  /** For another process that adds up several of these (`worker-metrics.ts`). */
  async collect(): Promise<readonly object[]> {
    return await this.#registry.getMetricsAsJSON();
  }

  #bind(key: string, metric: Omit<HttpMetric, "seconds">): Bound {
    const method = knownMethods.has(metric.method) ? metric.method.toLowerCase() : "other";
    const { handler } = metric;
    const bound = {
      requests: this.#requests.labels(handler, String(metric.status), method),
      duration: this.#durations.labels(handler, method),
    };
    // An unknown method leads to the labels that every unknown method has: it needs no place here.
    if (method !== "other") this.#bound.set(key, bound);
    return bound;
  }
}
