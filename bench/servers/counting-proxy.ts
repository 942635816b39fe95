/**
 * A proxy in front of an object store that counts what passes: requests, bytes written, bytes that
 * the store copies by itself. It changes nothing, so that signatures stay valid. What goes through
 * it is counted, never timed.
 */
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";

export interface Counted {
  readonly requests: number;
  /** Bytes that came from the registry to be stored. */
  readonly written: number;
  /** Bytes that the store was told to copy, as far as their range was named. */
  readonly copied: number;
}

export class CountingProxy {
  readonly endpoint: string;
  readonly #server: Server;
  #counted: Counted = { requests: 0, written: 0, copied: 0 };

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  static async start(upstream: string): Promise<CountingProxy> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const proxy = new CountingProxy(server, address.port);
    server.on("request", (incoming, answer) => proxy.#pass(upstream, incoming, answer));
    return proxy;
  }

  /** What has passed since the last call. */
  take(): Counted {
    const counted = this.#counted;
    this.#counted = { requests: 0, written: 0, copied: 0 };
    return counted;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pass(upstream: string, incoming: IncomingMessage, answer: ServerResponse): void {
    const { headers, method = "GET", rawHeaders, url = "/" } = incoming;
    const written = method === "PUT" ? Number(headers["content-length"] ?? 0) : 0;
    const copied = rangeLength(headers["x-amz-copy-source-range"]);
    this.#counted = {
      requests: this.#counted.requests + 1,
      written: this.#counted.written + written,
      copied: this.#counted.copied + copied,
    };
    const onward = request(`${upstream}${url}`, { method, headers: rawHeaders });
    onward.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders);
      response.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    incoming.pipe(onward);
  }
}

function rangeLength(header: string | readonly string[] | undefined): number {
  const match = /^bytes=(\d+)-(\d+)$/.exec(String(header ?? ""));
  return match === null ? 0 : Number(match[2]) - Number(match[1]) + 1;
}
