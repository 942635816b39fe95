/**
 * A small HTTP/1.1 client on a raw socket, one request at a time: cheap enough that what is
 * measured is the server. A request of `fetch` costs several times as much as this one.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

export interface Call {
  readonly method: string;
  /** Path and query, or an absolute URL (of this server). */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Writes the body itself, after a head whose `headers` say how it is framed. */
  readonly stream?: (write: (chunk: Uint8Array) => Promise<void>) => Promise<void>;
}

export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

interface Waiting {
  readonly method: string;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const HEAD_END = "\r\n\r\n";

/** Bodies up to this travel in one write with their head. */
const JOINED_BYTES_MAX = 64 * 1024;

export class Connection {
  readonly #socket: Socket;
  readonly #host: string;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  private constructor(socket: Socket, port: number) {
    this.#socket = socket;
    this.#host = `127.0.0.1:${port}`;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect({ port, host: "127.0.0.1" });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new Connection(socket, port);
  }

  async send(call: Call): Promise<Reply> {
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#waiting = { method: call.method, resolve, reject };
    });
    const head = this.#head(call);
    const body = call.body ?? new Uint8Array(0);
    if (call.stream !== undefined) {
      this.#socket.write(head);
      reply.catch(() => undefined);
      await Promise.race([call.stream((chunk) => this.#write(chunk)), reply]);
    } else if (body.byteLength <= JOINED_BYTES_MAX) {
      this.#socket.write(Buffer.concat([Buffer.from(head, "latin1"), body]));
    } else {
      this.#socket.write(head);
      this.#socket.write(body);
    }
    return reply;
  }

  close(): void {
    this.#socket.destroy();
  }

  #head(call: Call): string {
    const path = call.path.startsWith("http")
      ? call.path.slice(call.path.indexOf("/", "https://".length))
      : call.path;
    let head = `${call.method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n`;
    for (const [name, value] of Object.entries(call.headers ?? {})) head += `${name}: ${value}\r\n`;
    const bodiless = call.method === "GET" || call.method === "HEAD" || call.stream !== undefined;
    if (!bodiless) head += `Content-Length: ${call.body?.byteLength ?? 0}\r\n`;
    return `${head}\r\n`;
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (this.#socket.write(chunk)) return;
    await new Promise<void>((resolve, reject) => {
      const drained = (): void => {
        this.#socket.off("close", closed);
        resolve();
      };
      const closed = (): void => {
        this.#socket.off("drain", drained);
        reject(new Error("the server closed the connection"));
      };
      this.#socket.once("drain", drained);
      this.#socket.once("close", closed);
    });
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const parsed = parseReply(this.#received, waiting.method);
    if (parsed === undefined) return;
    this.#received = this.#received.subarray(parsed.length);
    // An interim answer (100 Continue) is not the answer.
    if (parsed.reply.status < 200) return;
    this.#waiting = undefined;
    waiting.resolve(parsed.reply);
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}

/** Runs `work` for 0, 1, ... `count - 1` over several connections at once. */
export async function inParallel(
  options: { readonly port: number; readonly connections: number; readonly count: number },
  work: (connection: Connection, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    const connection = await Connection.open(options.port);
    try {
      while (next < options.count) await work(connection, next++);
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: options.connections }, worker));
}

/** The reply, or an error that quotes it when it is not one of `statuses`. */
export function expectStatus(reply: Reply, ...statuses: readonly number[]): Reply {
  if (statuses.includes(reply.status)) return reply;
  const said = reply.body.subarray(0, 300).toString();
  throw new Error(`expected ${statuses.join(" or ")}, got ${reply.status}: ${said}`);
}

function parseReply(
  bytes: Buffer,
  method: string,
): { readonly reply: Reply; readonly length: number } | undefined {
  const headEnd = bytes.indexOf(HEAD_END, 0, "latin1");
  if (headEnd < 0) return undefined;
  const [first = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const status = Number(first.slice(9, 12));
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const from = headEnd + HEAD_END.length;
  if (headers.get("transfer-encoding") === "chunked" && method !== "HEAD") {
    const body = unchunk(bytes, from);
    return body && { reply: { status, headers, body: body.content }, length: body.end };
  }
  const none = method === "HEAD" || status === 204 || status === 304 || status < 200;
  const length = none ? 0 : Number(headers.get("content-length") ?? 0);
  if (bytes.length < from + length) return undefined;
  const body = bytes.subarray(from, from + length);
  return { reply: { status, headers, body }, length: from + length };
}

function unchunk(
  bytes: Buffer,
  start: number,
): { readonly content: Buffer; readonly end: number } | undefined {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at, "latin1");
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const end = lineEnd + 2 + size + 2;
    if (bytes.length < end) return undefined;
    if (size === 0) return { content: Buffer.concat(parts), end };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = end;
  }
}
