/**
 * The SDK's way to the network: Node's own client. The SDK's handler copies bodies through streams,
 * which costs as much as hashing them.
 */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { PiecesBody } from "./s3-body.ts";

/** More requests than this at a time wait for a socket. A copy in parallel takes 100. */
const socketsMax = 256;
/** Sockets that are kept for the next request. */
const idleSocketsMax = 64;
/** How long they are kept, in milliseconds: less than servers and balancers keep them. */
const idleSocketMs = 10_000;
/** A server that is there accepts a connection within this time, in milliseconds. */
const connectMs = 10_000;

/** The SDK's request, as far as it matters here. */
export interface S3Request {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly path: string;
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

export interface S3HttpOptions {
  /** Whether certificates are not looked at. */
  readonly skipVerify: boolean;
}

interface HandleOptions {
  readonly abortSignal?: unknown;
}

/** What the SDK calls a request handler. */
export class S3Http {
  readonly metadata: { readonly handlerProtocol: string } = { handlerProtocol: "http/1.1" };
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  constructor({ skipVerify }: S3HttpOptions) {
    const keeping = {
      keepAlive: true,
      maxSockets: socketsMax,
      maxFreeSockets: idleSocketsMax,
      // The one that was used last: it is the least likely to be closed just now.
      scheduling: "lifo",
      timeout: idleSocketMs,
    } as const;
    this.#http = new HttpAgent(keeping);
    this.#https = new HttpsAgent({ ...keeping, rejectUnauthorized: !skipVerify });
  }

  async handle(
    request: S3Request,
    { abortSignal }: HandleOptions = {},
  ): Promise<{ readonly response: S3Response }> {
    const signal = abortSignal instanceof AbortSignal ? abortSignal : undefined;
    signal?.throwIfAborted();
    const { promise, reject, resolve } = Promise.withResolvers<S3Response>();
    const sent = this.#open(request);
    const aborted = (): void => void sent.destroy(asError(signal?.reason));
    signal?.addEventListener("abort", aborted, { once: true });
    sent.once("close", () => signal?.removeEventListener("abort", aborted));
    sent.once("response", (response) => resolve(toResponse(response)));
    // A request that fails after its answer has come fails the answer's body.
    sent.on("error", reject);
    limitConnecting(sent);
    writeBody(sent, request.body);
    return { response: await promise };
  }

  /** Ends idle connections, and those in use. */
  destroy(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /** The SDK offers its own settings; there are none that matter here. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  #open({ headers, hostname, method, path, port, protocol, query }: S3Request): ClientRequest {
    const options: RequestOptions = {
      method,
      headers,
      // Node wants an address of IPv6 without its brackets.
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port,
      path: `${path}${queryOf(query)}`,
    };
    if (protocol === "https:") return httpsRequest({ ...options, agent: this.#https });
    return httpRequest({ ...options, agent: this.#http });
  }
}

/** Afterwards whoever called decides how long is too long. */
function limitConnecting(request: ClientRequest): void {
  request.once("socket", (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      const message = `no connection within ${connectMs / 1000} s`;
      request.destroy(Object.assign(new Error(message), { code: "ETIMEDOUT" }));
    }, connectMs);
    const done = (): void => clearTimeout(timer);
    socket.once("connect", done).once("close", done);
  });
}

function writeBody(request: ClientRequest, body: unknown): void {
  if (body instanceof PiecesBody) body.writeTo(request);
  else if (typeof body === "string" || body instanceof Uint8Array) request.end(body);
  else if (body === undefined) request.end();
  else request.destroy(new TypeError("a body that is neither text nor bytes"));
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

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error("aborted", { cause: reason });
}
