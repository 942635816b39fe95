/** A client that speaks HTTP byte by byte, and a server to speak to. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { Answer, Handle } from "../../src/http/exchange.ts";
import { type RunningServer, type ServeOptions, serve } from "../../src/node/serve.ts";
import type { OciError } from "../../src/oci/errors.ts";

export interface TestServer extends RunningServer {
  readonly errors: unknown[];
  readonly refused: OciError[];
  connect(): Promise<RawClient>;
}

export async function startServer(
  t: TestContext,
  handle: Handle,
  limits: ServeOptions["limits"] = {},
): Promise<TestServer> {
  const errors: unknown[] = [];
  const refused: OciError[] = [];
  const server = await serve({
    handle,
    host: "127.0.0.1",
    port: 0,
    limits,
    onError: (error) => errors.push(error),
    onRefused: (refusal) => refused.push(refusal),
  });
  const clients: RawClient[] = [];
  t.after(async () => {
    for (const client of clients) client.socket.destroy();
    await server.close({ drainMs: 0 });
  });
  const connectClient = async (): Promise<RawClient> => {
    const client = await RawClient.connect(server.port);
    clients.push(client);
    return client;
  };
  return Object.assign(server, { errors, refused, connect: connectClient });
}

export function textAnswer(body: string, status = 200): Answer {
  return { status, headers: [["Content-Type", "text/plain"]], body };
}

export async function readAll(body: ReadableStream<Uint8Array> | null): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  if (body !== null) for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export interface RawAnswer {
  readonly status: number;
  readonly lines: readonly string[];
  readonly body: string;
  header(name: string): string | undefined;
}

export class RawClient {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
    socket.on("error", () => undefined);
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  send(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Sends a request without body. */
  get(target: string, ...headers: string[]): void {
    this.send(`GET ${target} HTTP/1.1\r\n${["Host: test", ...headers].join("\r\n")}\r\n\r\n`);
  }

  /** The next answer, whose body has a Content-Length or is chunked in the simplest way. */
  async answer(requestMethod = "GET"): Promise<RawAnswer> {
    const head = await this.#until((bytes) => {
      const end = bytes.indexOf("\r\n\r\n");
      return end === -1 ? -1 : end + 4;
    });
    const [statusLine = "", ...lines] = head.trimEnd().split("\r\n");
    const header = (name: string): string | undefined => {
      const prefix = `${name.toLowerCase()}: `;
      return lines.find((line) => line.toLowerCase().startsWith(prefix))?.slice(prefix.length);
    };
    const status = Number(statusLine.split(" ")[1]);
    const bodiless = requestMethod === "HEAD" || status === 204 || status === 304 || status < 200;
    const length = bodiless ? 0 : Number(header("content-length") ?? 0);
    const chunked = !bodiless && header("transfer-encoding") === "chunked";
    const body = chunked
      ? await this.#chunkedBody()
      : await this.#until((bytes) => (bytes.length >= length ? length : -1), length);
    return { status, lines, body, header };
  }

  /** Everything up to the end of the connection. */
  async rest(): Promise<string> {
    while (!this.#ended) await this.#more();
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  async closed(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.socket.closed) resolve();
    else this.socket.on("close", () => resolve());
    await promise;
  }

  async #chunkedBody(): Promise<string> {
    let body = "";
    for (;;) {
      const line = await this.#until((bytes) => {
        const end = bytes.indexOf("\r\n");
        return end === -1 ? -1 : end + 2;
      });
      const size = Number.parseInt(line, 16);
      const chunk = await this.#until((bytes) => (bytes.length >= size + 2 ? size + 2 : -1), size);
      if (size === 0) return body;
      body += chunk.slice(0, -2);
    }
  }

  /** Takes what `enough` says is enough; -1 says that it is not. */
  async #until(enough: (bytes: Buffer) => number, least = 0): Promise<string> {
    for (;;) {
      const size = this.#chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
      if (size >= least) {
        const received = Buffer.concat(this.#chunks);
        const count = enough(received);
        this.#chunks = [received.subarray(Math.max(count, 0))];
        if (count >= 0) return received.toString("latin1", 0, count);
      }
      if (this.#ended) throw new Error(`the connection ended after ${size} bytes`);
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
  }
}
