/** One connection that objects are downloaded over, one after the other. */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions as TlsOptions } from "node:tls";
import type { DownloadBuffers } from "./download-buffers.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A server that is there accepts a connection within this time, in milliseconds. */
const connectMs = 10_000;

interface Come {
  readonly buffer: Bytes;
  /** Bytes that have come. */
  size: number;
}

export interface ConnectionOptions {
  readonly url: URL;
  readonly skipVerify: boolean;
  readonly buffers: DownloadBuffers;
}

/**
 * Reads into buffers of its own, of which each is used again when the reader has done with it.
 * Node's HTTP client makes a new one for each 64 KiB, which costs five times the rest together.
 */
export class DownloadConnection {
  readonly #socket: Socket;
  readonly #buffers: DownloadBuffers;
  readonly #isSecure: boolean;
  /** What the socket reads into next. */
  #next: Bytes;
  /** What has come and was not asked for yet. */
  readonly #come: Come[] = [];
  /** Whether the last chunk filled its buffer, more or less: then a larger one pays. */
  #isQuick = false;
  /** What the reader has in hand. */
  #lent: Bytes | undefined;
  #wake: () => void = () => undefined;
  #end: { readonly cause: Error | undefined } | undefined;

  constructor({ buffers, skipVerify, url }: ConnectionOptions) {
    this.#buffers = buffers;
    this.#isSecure = url.protocol === "https:";
    this.#next = buffers.takeSmall();
    this.#socket = open(url, skipVerify, {
      buffer: () => this.#next,
      callback: (size, buffer) => this.#arrived(size, buffer as Bytes),
    });
    this.#socket.setNoDelay(true);
    this.#socket.on("error", (cause) => this.#ended(cause));
    this.#socket.on("end", () => this.#ended(undefined));
    this.#socket.on("close", () => {
      this.#ended(undefined);
      this.#forget();
    });
  }

  /** Whether it can be used for another request. */
  get isOpen(): boolean {
    return this.#end === undefined && this.#come.length === 0;
  }

  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /**
   * The next bytes, which can be used until more are asked for; `undefined` when the server has
   * closed the connection. Throws the network's error.
   */
  async read(): Promise<Bytes | undefined> {
    if (this.#lent !== undefined) this.#buffers.give(this.#lent);
    this.#lent = undefined;
    for (;;) {
      const come = this.#come.shift();
      if (come !== undefined) {
        this.#lent = come.buffer;
        this.#isQuick = come.size * 2 > come.buffer.byteLength;
        return come.buffer.subarray(0, come.size);
      }
      if (this.#end?.cause !== undefined) throw this.#end.cause;
      if (this.#end !== undefined) return undefined;
      this.#socket.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Waits for the next request, or for its end, without keeping the process alive. */
  rest(onEnd: () => void): void {
    if (this.#lent !== undefined) this.#buffers.give(this.#lent);
    this.#lent = undefined;
    this.#wake = onEnd;
    this.#socket.unref();
    // So that it is heard when the server closes it.
    this.#socket.resume();
  }

  /** Back from its rest. */
  use(): void {
    this.#wake = () => undefined;
    this.#socket.ref();
  }

  destroy(cause?: Error): void {
    this.#ended(cause);
    this.#socket.destroy();
  }

  /** Returns whether to read on at once. */
  #arrived(size: number, buffer: Bytes): boolean {
    const last = this.#come.at(-1);
    if (last !== undefined && last.size + size <= last.buffer.byteLength) {
      last.buffer.set(buffer.subarray(0, size), last.size);
      last.size += size;
    } else {
      this.#come.push({ buffer, size });
      this.#next = this.#isQuick ? this.#buffers.takeLarge() : this.#buffers.takeSmall();
    }
    if (!this.#isSecure) {
      this.#wake();
      // Nothing is read ahead: a slow reader slows the server down.
      return false;
    }
    // TLS comes in records of 16 KiB, a few of them in one turn: they are passed on together.
    setImmediate(() => {
      if (this.#come.length > 0) this.#wake();
    });
    return this.#come.length === 1;
  }

  #ended(cause: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { cause };
    this.#wake();
  }

  #forget(): void {
    // The system may still have had the one that was next; the reader may have the one in hand.
    for (const buffer of [this.#next, this.#lent]) if (buffer) this.#buffers.forget(buffer);
    for (const { buffer } of this.#come.splice(0)) this.#buffers.give(buffer);
    this.#lent = undefined;
  }
}

function open(url: URL, skipVerify: boolean, onread: OnReadOpts): Socket {
  // Node wants an address of IPv6 without its brackets.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const isSecure = url.protocol === "https:";
  const usualPort = isSecure ? 443 : 80;
  const port = url.port === "" ? usualPort : Number(url.port);
  // The types of TLS do not know of `onread`, which it hands on to its socket.
  const secure: TlsOptions & { readonly onread: OnReadOpts } = {
    host,
    port,
    onread,
    rejectUnauthorized: !skipVerify,
    ALPNProtocols: ["http/1.1"],
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
  const socket = isSecure ? connectTls(secure) : connectTcp({ host, port, onread });
  const timer = setTimeout(() => {
    const message = `no connection within ${connectMs / 1000} s`;
    socket.destroy(Object.assign(new Error(message), { code: "ETIMEDOUT" }));
  }, connectMs);
  const done = (): void => clearTimeout(timer);
  socket.once(isSecure ? "secureConnect" : "connect", done).once("close", done);
  return socket;
}
