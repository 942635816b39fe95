/** Requests to Google's two APIs: JSON for objects, XML (S3's language) for multipart uploads. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { textOf } from "../objects/vendor/answers.ts";
import { VendorHttp, type VendorHttpOptions } from "../objects/vendor/http.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";
import type { GcsAccount } from "./gcs-account.ts";
import { refusalOf } from "./gcs-errors.ts";
import { escaped } from "./gcs-links.ts";
import { Permits } from "./gcs-permits.ts";

export interface GcsRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: PiecesBody | string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GcsAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface GcsRequestsOptions {
  readonly account: GcsAccount;
  readonly bucket: string;
  readonly maxConcurrency: number;
  readonly userAgent: string | undefined;
  readonly proxyEnv: VendorHttpOptions["proxyEnv"];
}

type Query = Readonly<Record<string, string | number | undefined>>;

export class GcsRequests {
  readonly #options: GcsRequestsOptions;
  readonly #http: VendorHttp;
  readonly #permits: Permits;
  readonly #userAgent: string;

  constructor(options: GcsRequestsOptions) {
    const { maxConcurrency, proxyEnv, userAgent } = options;
    this.#options = options;
    this.#http = new VendorHttp({ proxyEnv });
    this.#permits = new Permits(maxConcurrency);
    this.#userAgent = userAgent === undefined ? "longshore" : `${userAgent} longshore`;
  }

  /** An object's, or the list's of all, in the JSON API. */
  jsonUrl(key: string | undefined, query: Query): string {
    const { account, bucket } = this.#options;
    const object = key === undefined ? "" : `/${escaped(key)}`;
    return `${account.endpoint}/storage/v1/b/${escaped(bucket)}/o${object}${queryOf(query)}`;
  }

  /** Where the JSON API takes a new object. */
  uploadUrl(query: Query): string {
    const { account, bucket } = this.#options;
    return `${account.endpoint}/upload/storage/v1/b/${escaped(bucket)}/o${queryOf(query)}`;
  }

  /** An object's, or the bucket's, in the XML API, and for clients. */
  xmlUrl(key: string | undefined, query: Query): string {
    const { account, bucket } = this.#options;
    const object = key === undefined ? "" : `/${key.split("/").map(escaped).join("/")}`;
    return `${account.endpoint}/${escaped(bucket)}${object}${queryOf(query)}`;
  }

  /** Throws a `GcsRefusal` for an answer that is no success. */
  async ask(request: GcsRequest): Promise<GcsAnswer> {
    const message = await this.#send(request);
    return { headers: message.headers, text: await textOf(message) };
  }

  /** The same, for whoever reads the answer's body piece by piece. */
  async open(request: GcsRequest): Promise<IncomingMessage> {
    return await this.#send(request);
  }

  destroy(): void {
    this.#http.destroy();
  }

  async #send({ body, headers, method, signal, url }: GcsRequest): Promise<IncomingMessage> {
    const done = await this.#permits.take(signal);
    try {
      const message = await this.#http.send({
        method,
        url,
        headers: {
          ...headers,
          ...(await unlessAborted(this.#options.account.headers(), signal)),
          "User-Agent": this.#userAgent,
          "Content-Length": lengthOf(body),
        },
        body,
        signal,
      });
      const { statusCode: status = 0 } = message;
      if (status >= 200 && status < 300) return message;
      throw refusalOf(status, await textOf(message));
    } finally {
      // A body that is read slowly holds up nobody.
      done();
    }
  }
}

function lengthOf(body: GcsRequest["body"]): number {
  if (body === undefined) return 0;
  return body instanceof PiecesBody ? body.size : Buffer.byteLength(body);
}

function queryOf(query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return value === "" ? escaped(name) : `${escaped(name)}=${escaped(String(value))}`;
  });
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** For a promise that does not know of signals. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const aborted = (): void => reject(signal.reason);
  signal.addEventListener("abort", aborted, { once: true });
  if (signal.aborted) aborted();
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", aborted);
  }
}
