/**
 * What `loglevel` shows of the requests to S3. Distribution's levels are those of the first SDK; of
 * what they promise this is kept, and nothing that is secret or large:
 *
 * - `debug` and all others: each request, and each answer with its status and request id.
 * - `debugwithsigning`: also the names of the headers that were signed, and for which region.
 * - `debugwithhttpbody`: also how many bytes were sent. Never the bytes.
 * - `debugwithrequesterrors`: also what S3 said of a request that failed.
 * - `debugwithrequestretries`, `debugwitheventstreambody`: no more than `debug`, since the adapter
 *   tries once, and has no event streams.
 */
import { failureOf } from "./s3-errors.ts";
import type { S3Request } from "./s3-http.ts";
import type { S3LogLevel, S3Surroundings } from "./s3-options.ts";

const signedHeadersPattern = /SignedHeaders=([^,\s]+)/;
const scopePattern = /Credential=[^/]+\/([^,\s]+)/;

export class S3Log {
  readonly #level: S3LogLevel;
  readonly #log: NonNullable<S3Surroundings["log"]>;

  constructor(level: S3LogLevel, log: S3Surroundings["log"]) {
    this.#level = level;
    this.#log = log ?? (() => undefined);
  }

  get isOn(): boolean {
    return this.#level !== "off";
  }

  request(command: string, { body, headers, method, path }: S3Request): void {
    const authorization = headers["authorization"] ?? "";
    const signing = this.#level === "debugwithsigning";
    const size = headers["content-length"] ?? (typeof body === "string" ? body.length : 0);
    this.#log("s3 request", {
      command,
      method,
      path,
      ...(this.#level === "debugwithhttpbody" ? { bytes: Number(size) } : {}),
      ...(signing ? { signedHeaders: signedHeadersPattern.exec(authorization)?.[1] } : {}),
      ...(signing ? { scope: scopePattern.exec(authorization)?.[1] } : {}),
    });
  }

  answer(command: string, metadata: unknown): void {
    this.#log("s3 answer", { command, ...numbersOf(metadata) });
  }

  failure(command: string, error: unknown): void {
    const { code, message, status } = failureOf(error);
    const said = this.#level === "debugwithrequesterrors" ? { message } : {};
    this.#log("s3 request failed", { command, code, status, ...said });
  }
}

function numbersOf(metadata: unknown): Readonly<Record<string, unknown>> {
  if (typeof metadata !== "object" || metadata === null) return {};
  const status = "httpStatusCode" in metadata ? metadata.httpStatusCode : undefined;
  const requestId = "requestId" in metadata ? metadata.requestId : undefined;
  return { status, requestId };
}
