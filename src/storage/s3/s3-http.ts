/** The SDK's way to the network, in the shape that the SDK asks for. */
import type { IncomingMessage } from "node:http";
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
  readonly body: IncomingMessage;
}

interface HandleOptions {
  readonly abortSignal?: unknown;
}

/** What the SDK calls a request handler. */
export class S3Http {
  readonly metadata: { readonly handlerProtocol: string } = { handlerProtocol: "http/1.1" };
  readonly #http: VendorHttp;

  constructor(http: VendorHttp) {
    this.#http = http;
  }

  async handle(
    { body, headers, hostname, method, path, port, protocol, query }: S3Request,
    { abortSignal }: HandleOptions = {},
  ): Promise<{ readonly response: S3Response }> {
    const host = port === undefined ? hostname : `${hostname}:${port}`;
    const message = await this.#http.send({
      method,
      headers,
      url: `${protocol}//${host}${path}${queryOf(query)}`,
      body: asBody(body),
      signal: abortSignal instanceof AbortSignal ? abortSignal : undefined,
    });
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
