/** The SDK's way to the network, in the shape that the SDK asks for. */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { Download, Downloads } from "../objects/vendor/downloads.ts";
import type { VendorHttp } from "../objects/vendor/http.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";

/** The SDK's request, as far as it matters here. */
export interface S3Request {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  /** Escaped. */
  readonly path: string;
  /** Not escaped. */
  readonly query?: Readonly<Record<string, string | readonly string[] | null>> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface S3Response {
  readonly statusCode: number;
  readonly reason?: string | undefined;
  readonly headers: Record<string, string>;
  readonly body: Readable;
}

interface HandleOptions {
  readonly abortSignal?: unknown;
}

/** An object's body, which passes through the SDK unread: it knows a stream when it sees one. */
export class DownloadBody extends Readable {
  readonly download: Download;

  constructor(download: Download) {
    super();
    this.download = download;
  }

  override _read(): void {
    this.destroy(new Error("this body is read as a web stream"));
  }
}

/** What the SDK calls a request handler. */
export class S3Http {
  readonly metadata: { readonly handlerProtocol: string } = { handlerProtocol: "http/1.1" };
  readonly #http: VendorHttp;
  readonly #downloads: Downloads | undefined;

  constructor(http: VendorHttp, downloads: Downloads | undefined) {
    this.#http = http;
    this.#downloads = downloads;
  }

  async handle(
    { body, headers, hostname, method, path, port, protocol, query }: S3Request,
    { abortSignal }: HandleOptions = {},
  ): Promise<{ readonly response: S3Response }> {
    const host = port === undefined ? hostname : `${hostname}:${port}`;
    const url = `${protocol}//${host}${path}${queryOf(query)}`;
    const signal = abortSignal instanceof AbortSignal ? abortSignal : undefined;
    if (query?.["x-id"] === "GetObject") {
      const download = await this.#downloads?.get({ url, headers, signal });
      if (download !== undefined) return { response: downloaded(download) };
    }
    const message = await this.#http.send({ method, headers, url, body: asBody(body), signal });
    return { response: toResponse(message) };
  }

  /** The connections belong to whoever made them: two clients share them. */
  destroy(): void {}

  /** The SDK offers its own settings; there are none that matter here. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {};
  }
}

function asBody(body: unknown): PiecesBody | string | Uint8Array | undefined {
  if (body === undefined || typeof body === "string") return body;
  if (body instanceof PiecesBody || body instanceof Uint8Array) return body;
  throw new TypeError("a body that is neither text nor bytes");
}

function downloaded(download: Download): S3Response {
  const { headers, statusCode } = download;
  return { statusCode, headers, body: new DownloadBody(download) };
}

function toResponse(message: IncomingMessage): S3Response {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  const { statusCode = 0, statusMessage: reason } = message;
  return { statusCode, reason, headers, body: message };
}

/** As it was signed: every character escaped that RFC 3986 does not let through. */
function queryOf(query: S3Request["query"]): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) => {
    const values = value === null || typeof value === "string" ? [value] : value;
    return values.map((one) => (one === null ? escape(name) : `${escape(name)}=${escape(one)}`));
  });
  return pairs.length === 0 ? "" : `?${pairs.toSorted().join("&")}`;
}

function escape(text: string): string {
  const hex = (character: string): string =>
    `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, hex);
}
