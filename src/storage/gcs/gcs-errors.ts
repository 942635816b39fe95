/** What Google Cloud Storage and the network say, as errors of the port. */
import { BucketError } from "../objects/object-bucket.ts";
import { isCertificate } from "../objects/vendor/http.ts";
import { elementOf } from "./gcs-xml.ts";

/** An answer that is no success. */
export class GcsRefusal extends Error {
  override readonly name = "GcsRefusal";
  /** HTTP's. */
  readonly status: number;
  /** The reason (JSON) or code (XML) that it gives: `notFound`, `NoSuchUpload`. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Reads the answer's body: JSON, XML or text, as the kind of request has it. */
export function refusalOf(status: number, text: string): GcsRefusal {
  const code = elementOf(text, "Code");
  if (code !== undefined) {
    const details = elementOf(text, "Details");
    const message = elementOf(text, "Message") ?? "";
    return new GcsRefusal(status, code, details ?? message);
  }
  const { message, reason } = jsonErrorOf(text);
  return new GcsRefusal(status, reason ?? "", message ?? text.slice(0, plainTextMax).trim());
}

/** Longer texts are a proxy's page, in characters. */
const plainTextMax = 200;

/** Asks for patience, or says that the bytes did not arrive as they were sent. */
const transientCodes: ReadonlySet<string> = new Set([
  "BadDigest",
  "IncompleteBody",
  "RequestTimeout",
  "SlowDown",
  "backendError",
  "internalError",
  "rateLimitExceeded",
  "userRateLimitExceeded",
]);
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429]);
/** The server will never do it. */
const notImplemented = 501;

const advice: Readonly<Record<number, string>> = {
  401: "check keyfile or credentials, or the identity of this machine",
  403: "the account needs the role Storage Object User (or Admin) on the bucket",
};
const adviceForBucket = "check bucket: it has to exist";

/** Whether an answer says that there is no such object, and the bucket is there. */
export function isNoObject(error: unknown): boolean {
  if (!(error instanceof GcsRefusal) || error.status !== 404) return false;
  return error.code === "NoSuchKey" || /no such object/i.test(error.message);
}

export function toBucketError(call: string, error: unknown): BucketError {
  if (error instanceof BucketError) return error;
  const refusal = error instanceof GcsRefusal ? error : undefined;
  const said = refusal
    ? [refusal.code, `HTTP ${refusal.status}`, refusal.message, adviceFor(refusal)]
    : [codeOf(error) ?? "", error instanceof Error ? error.message : ""];
  const text = said.filter((part) => part !== "").join("; ");
  const transient = isTransient(error);
  return new BucketError("gcs", `${call}: ${text}`, { cause: error, transient });
}

/** Of a body that had begun to come: the same bytes can be asked for again. */
export function brokenOff(error: unknown): BucketError {
  const message = error instanceof Error ? error.message : String(error);
  return new BucketError("gcs", `get: ${message}`, { cause: error, transient: true });
}

/**
 * What the vendor's package says when it gets no token. Its error holds the request with what was
 * to be proven in it, so it is not kept.
 */
export function tokenError(error: unknown): BucketError {
  const status = statusOf(error);
  const message = error instanceof Error ? error.message : "";
  const isRefused = status !== undefined && status < 500 && !transientStatuses.has(status);
  const isMistake = status === undefined && codeOf(error) === undefined;
  const text = `no token: ${message}; ${advice[401] ?? ""}`;
  return new BucketError("gcs", text, { transient: !isRefused && !isMistake });
}

function isTransient(error: unknown): boolean {
  if (error instanceof GcsRefusal) {
    const { code, status } = error;
    if (transientCodes.has(code)) return true;
    return (status >= 500 && status !== notImplemented) || transientStatuses.has(status);
  }
  // No answer came: the network, or a server that is going away. The rest is a mistake of ours.
  const code = codeOf(error);
  return code !== undefined && !isCertificate(code);
}

function adviceFor({ code, message, status }: GcsRefusal): string {
  const isBucket = code === "NoSuchBucket" || /bucket does not exist/i.test(message);
  return isBucket ? adviceForBucket : (advice[status] ?? "");
}

function jsonErrorOf(text: string): {
  readonly message?: string | undefined;
  readonly reason?: string | undefined;
} {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return {};
  }
  const error = fieldOf(parsed, "error");
  const message = fieldOf(error, "message");
  const errors = fieldOf(error, "errors");
  const reason = Array.isArray(errors) ? fieldOf(errors[0], "reason") : undefined;
  return {
    message: typeof message === "string" ? message : undefined,
    reason: typeof reason === "string" ? reason : undefined,
  };
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** The system's code, such as `ECONNRESET`. */
function codeOf(error: unknown): string | undefined {
  const own = fieldOf(error, "code");
  if (typeof own === "string") return own;
  const inner = fieldOf(fieldOf(error, "cause"), "code");
  return typeof inner === "string" ? inner : undefined;
}

function statusOf(error: unknown): number | undefined {
  const status = fieldOf(error, "status") ?? fieldOf(fieldOf(error, "response"), "status");
  return typeof status === "number" ? status : undefined;
}
