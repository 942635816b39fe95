/**
 * An adapter's way to the network: Node's own client. The vendors' clients copy bodies through
 * streams, try again by themselves, or do not let go when they are told to.
 */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { PiecesBody } from "./pieces-body.ts";

/** Sockets that are kept for the next request. */
const idleSocketsMax = 64;
/** How long they are kept, in milliseconds: less than servers and balancers keep them. */
const idleSocketMs = 10_000;
/** A server that is there accepts a connection within this time, in milliseconds. */
const connectMs = 10_000;

export interface VendorRequest {
  readonly method: string;
  /** Absolute, escaped as it was signed. */
  readonly url: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: PiecesBody | Uint8Array | string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface VendorHttpOptions {
  /** Whether any certificate will do. */
  readonly skipVerify?: boolean | undefined;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as the vendors' clients and Distribution know them. */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>> | undefined;
}

export class VendorHttp {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  constructor({ proxyEnv, skipVerify = false }: VendorHttpOptions = {}) {
    // As many sockets as there are requests: one that is read slowly must not hold up others.
    const keeping = {
      keepAlive: true,
      maxFreeSockets: idleSocketsMax,
      // The one that was used last: it is the least likely to be closed just now.
      scheduling: "lifo",
      timeout: idleSocketMs,
      proxyEnv,
    } as const;
    this.#http = new HttpAgent(keeping);
    this.#https = new HttpsAgent({ ...keeping, rejectUnauthorized: !skipVerify });
  }

  /**
   * Resolves when the answer's head has come, whatever its status. Rejects with the network's
   * error. When the signal is aborted afterwards, the answer's body fails.
   */
  async send({ body, headers, method, signal, url }: VendorRequest): Promise<IncomingMessage> {
    signal?.throwIfAborted();
    const { promise, reject, resolve } = Promise.withResolvers<IncomingMessage>();
    const isSecure = url.startsWith("https:");
    const request = isSecure
      ? httpsRequest(url, { method, headers, agent: this.#https })
      : httpRequest(url, { method, headers, agent: this.#http });
    const aborted = (): void => void request.destroy(asError(signal?.reason));
    signal?.addEventListener("abort", aborted, { once: true });
    request.once("close", () => signal?.removeEventListener("abort", aborted));
    request.once("response", resolve);
    // A request that fails after its answer has come fails the answer's body.
    request.on("error", reject);
    limitConnecting(request);
    if (body instanceof PiecesBody) body.writeTo(request);
    else request.end(body);
    return await promise;
  }

  /** Ends idle connections, and those in use. */
  destroy(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

/** Whether an error's code says that the server is not who it should be: it will not be later. */
export function isCertificate(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|^ERR_TLS_/.test(code);
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

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error("aborted", { cause: reason });
}
