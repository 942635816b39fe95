/**
 * Downloads objects at the cost of copying their bytes. Of HTTP it knows what every server of
 * objects answers when all is well: 200 or 206 with a Content-Length. Anything else it leaves to a
 * client that knows all of HTTP.
 */
import type { UnderlyingDefaultSource } from "node:stream/web";
import { DownloadBuffers } from "./download-buffers.ts";
import { DownloadConnection } from "./download-connection.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Connections that are kept for the next download, all servers together. */
const idleMax = 32;
/** How long they are kept, in milliseconds: less than servers and balancers keep them. */
const idleMs = 10_000;
/** A head that is longer than this, in bytes, is none of an object's. */
const headBytesMax = 64 * 1024;

export interface DownloadRequest {
  /** Absolute, escaped as it was signed. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

export interface Download {
  readonly statusCode: number;
  /** By their names in lower case. */
  readonly headers: Record<string, string>;
  /**
   * Content-Length bytes, or a failure. Each chunk can be used until the next one is asked for: its
   * memory is used again then.
   */
  readonly body: ReadableStream<Bytes>;
}

export interface DownloadsOptions {
  /** Whether any certificate will do. */
  readonly skipVerify: boolean;
  /** Makes the adapter's errors of those that a body fails with. */
  readonly translate: (error: unknown) => unknown;
}

interface Idle {
  readonly origin: string;
  readonly connection: DownloadConnection;
  readonly timer: NodeJS.Timeout;
}

interface Head {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  /** Of the body, what came with the head. */
  readonly rest: Bytes;
}

export class Downloads {
  readonly #buffers = new DownloadBuffers();
  readonly #skipVerify: boolean;
  readonly #translate: DownloadsOptions["translate"];
  #idle: Idle[] = [];

  constructor({ skipVerify, translate }: DownloadsOptions) {
    this.#skipVerify = skipVerify;
    this.#translate = translate;
  }

  /** `undefined`: the answer is not an object's; nothing is known of it. */
  async get(request: DownloadRequest): Promise<Download | undefined> {
    const { signal, url } = request;
    const { origin } = new URL(url);
    for (;;) {
      signal?.throwIfAborted();
      const reused = this.#takeIdle(origin);
      const connection = reused ?? this.#connect(url);
      const head = await ask(connection, request, reused !== undefined);
      // The server had closed it, just when it was to be used again.
      if (head === "closed") continue;
      const size = sizeOf(head);
      if (size === undefined || head.rest.byteLength > size) {
        connection.destroy();
        return undefined;
      }
      const isKept = head.headers["connection"]?.toLowerCase() !== "close";
      const end = (): void => {
        if (isKept) this.#keep(origin, connection);
        else connection.destroy();
      };
      const { headers, rest, statusCode } = head;
      const translate = this.#translate;
      const body = toStream(connection, { rest, size, signal, end, translate });
      return { statusCode, headers, body };
    }
  }

  destroy(): void {
    for (const idle of this.#idle) this.#drop(idle);
  }

  #connect(url: string): DownloadConnection {
    const [buffers, skipVerify] = [this.#buffers, this.#skipVerify];
    return new DownloadConnection({ url: new URL(url), skipVerify, buffers });
  }

  /** The one that was used last: it is the least likely to be closed just now. */
  #takeIdle(origin: string): DownloadConnection | undefined {
    const idle = this.#idle.findLast((each) => each.origin === origin);
    if (idle === undefined) return undefined;
    this.#forget(idle);
    idle.connection.use();
    return idle.connection;
  }

  #keep(origin: string, connection: DownloadConnection): void {
    if (!connection.isOpen) {
      connection.destroy();
      return;
    }
    const timer = setTimeout(() => this.#drop(idle), idleMs);
    timer.unref();
    const idle: Idle = { origin, connection, timer };
    this.#idle.push(idle);
    connection.rest(() => this.#drop(idle));
    const [oldest] = this.#idle;
    if (this.#idle.length > idleMax && oldest !== undefined) this.#drop(oldest);
  }

  #drop(idle: Idle): void {
    this.#forget(idle);
    idle.connection.destroy();
  }

  #forget(idle: Idle): void {
    clearTimeout(idle.timer);
    this.#idle = this.#idle.filter((each) => each !== idle);
  }
}

/** Sends the request. `closed`: a connection that had been used before has ended meanwhile. */
async function ask(
  connection: DownloadConnection,
  { headers, signal, url }: DownloadRequest,
  isReused: boolean,
): Promise<Head | "closed"> {
  const stop = destroyOnAbort(connection, signal);
  try {
    connection.write(requestHead(url, headers));
    return await readHead(connection);
  } catch (error) {
    connection.destroy();
    signal?.throwIfAborted();
    if (isReused) return "closed";
    throw error;
  } finally {
    stop();
  }
}

async function readHead(connection: DownloadConnection): Promise<Head> {
  let come: Buffer<ArrayBuffer> = Buffer.alloc(0);
  for (;;) {
    const chunk = await connection.read();
    if (chunk === undefined) throw brokenOff("before an answer came");
    // A copy: what is left of it is the body's beginning.
    come = Buffer.concat([come, chunk]);
    const end = come.indexOf("\r\n\r\n");
    if (end !== -1) return parseHead(come.toString("latin1", 0, end), come.subarray(end + 4));
    if (come.byteLength > headBytesMax) throw brokenOff("an answer's head has no end");
  }
}

function parseHead(text: string, rest: Bytes): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const [, status = "0"] = /^HTTP\/1\.[01] ([0-9]{3})/.exec(first) ?? [];
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value;
  }
  return { statusCode: Number(status), headers, rest };
}

/** How many bytes an object's body has; `undefined` for any other answer. */
function sizeOf({ headers, statusCode }: Head): number | undefined {
  const isObject = statusCode === 200 || statusCode === 206;
  const length = headers["content-length"] ?? "";
  const isPlain = headers["transfer-encoding"] === undefined;
  return isObject && isPlain && /^[0-9]{1,15}$/.test(length) ? Number(length) : undefined;
}

function requestHead(url: string, headers: DownloadRequest["headers"]): string {
  const target = url.slice(url.indexOf("/", "https://".length));
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const head = [`GET ${target} HTTP/1.1`, ...lines];
  if (head.some((line) => /[^\t\x20-\x7e\x80-\xff]/.test(line))) {
    throw new TypeError("a header of a request has characters that cannot be sent");
  }
  return `${head.join("\r\n")}\r\n\r\n`;
}

interface StreamOptions {
  /** Of the body, what came with the head. */
  readonly rest: Bytes;
  readonly size: number;
  readonly signal: AbortSignal | undefined;
  /** Called when all has been read. */
  readonly end: () => void;
  readonly translate: DownloadsOptions["translate"];
}

function toStream(
  connection: DownloadConnection,
  { end, rest, signal, size, translate }: StreamOptions,
): ReadableStream<Bytes> {
  let first: Bytes | undefined = rest.byteLength > 0 ? rest : undefined;
  let given = 0;
  const stop = destroyOnAbort(connection, signal);
  const source: UnderlyingDefaultSource<Bytes> = {
    async pull(controller) {
      // The last chunk is in the reader's hands until it asks for more.
      if (given === size) {
        stop();
        end();
        controller.close();
        return;
      }
      try {
        const chunk = first ?? (await connection.read());
        first = undefined;
        const left = size - given;
        if (chunk === undefined || chunk.byteLength > left) throw brokenOff(`${left} bytes early`);
        given += chunk.byteLength;
        controller.enqueue(chunk);
      } catch (error) {
        stop();
        connection.destroy();
        throw signal?.aborted === true ? signal.reason : translate(error);
      }
    },
    cancel() {
      stop();
      connection.destroy();
    },
  };
  return new ReadableStream<Bytes>(source, { highWaterMark: 0 });
}

function destroyOnAbort(
  connection: DownloadConnection,
  signal: AbortSignal | undefined,
): () => void {
  const aborted = (): void => connection.destroy();
  signal?.addEventListener("abort", aborted, { once: true });
  return () => signal?.removeEventListener("abort", aborted);
}

function brokenOff(where: string): Error {
  return Object.assign(new Error(`the connection was closed ${where}`), { code: "ECONNRESET" });
}
