/**
 * What is said about each request: a line in the access log, its metrics, and a word in the log
 * where it matters.
 */
import type { AccessLog } from "./access-log.ts";
import { messageOf as causeOf } from "./error-text.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";

/** A request that was answered, as far as an observer cares. */
export interface ObservedRequest {
  readonly method: string;
  /** Absolute. */
  readonly url: string;
  readonly target: string;
  readonly remoteAddress: string | undefined;
  readonly header: (name: string) => string | null;
  readonly requestId: string;
  readonly handler: string;
  readonly status: number;
  readonly contentLength: string;
  readonly durationMs: number;
  readonly error: unknown;
}

export function createRequestObserver(sinks: {
  readonly logger: Logger;
  readonly metrics: Metrics | undefined;
  readonly accessLog: AccessLog | undefined;
}): (request: ObservedRequest) => void {
  const { accessLog, logger, metrics } = sinks;
  return (request) => {
    const { durationMs, handler, header, method, remoteAddress, status, target } = request;
    metrics?.observeHttp({ handler, method, status, seconds: durationMs / 1000 });
    accessLog?.write({
      remoteAddress,
      method,
      target,
      status,
      bytes: method === "HEAD" ? "0" : request.contentLength,
      referer: header("referer"),
      userAgent: header("user-agent"),
    });
    const level = levelOf(request);
    if (logger.isLevelEnabled(level)) logger[level](logFields(request), messageOf(request));
  };
}

/**
 * What changed and what was refused is told at info level; pulls, and the steps of an upload, at
 * debug level: the access log has them all.
 */
function levelOf({
  handler,
  method,
  status,
}: ObservedRequest): "debug" | "info" | "warn" | "error" {
  // Something that the registry stands on is away: not the registry's failure, and no stack helps.
  if (status === 503) return "warn";
  if (status >= 500) return "error";
  if (method === "GET" || method === "HEAD") return "debug";
  return status >= 400 || method === "DELETE" || handler === "manifest" ? "info" : "debug";
}

function messageOf({ error, status }: ObservedRequest): string {
  if (status < 400) return "response completed";
  if (status === 503) return `unavailable: ${causeOf(error)}`;
  return error instanceof Error && status < 500 ? error.message : "response completed with error";
}

function logFields(request: ObservedRequest): Record<string, unknown> {
  const { durationMs, error, method, remoteAddress, requestId, status, target } = request;
  return {
    "http.request.id": requestId,
    "http.request.method": method,
    "http.request.uri": target,
    "http.request.remoteaddr": remoteAddress,
    "http.response.status": status,
    "http.response.duration": `${durationMs.toFixed(1)}ms`,
    ...(status >= 500 && status !== 503 && error !== undefined ? { err: error } : {}),
  };
}
