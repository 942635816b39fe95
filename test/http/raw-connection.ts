/** A connection on which a test writes what it likes, and reads one answer after another. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Answer, type HeaderLine } from "./answer.ts";

/** Longer than any answer takes on a busy machine; then the registry has kept silent. */
const patienceMs = 10_000;

const lineEnd = Buffer.from("\r\n");
const headEnd = Buffer.from("\r\n\r\n");

export class RawConnection {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isOver = false;
  #news = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#tell();
    });
    // How a connection ended is seen by what came before: a reset may follow the last answer.
    socket.on("error", () => undefined);
    const over = (): void => {
      this.#isOver = true;
      this.#tell();
    };
    socket.on("end", over);
    socket.on("close", over);
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  /** Bytes that the socket took and that may not have left it yet are counted, too. */
  get sentBytes(): number {
    return this.#socket.bytesWritten;
  }

  write(data: string | Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(typeof data === "string" ? toBytes(data) : data);
  }

  /** Writes for as long as the other side reads; how much it took. */
  async writeUntilRefused(chunk: Uint8Array, bytesMax: number): Promise<number> {
    const before = this.sentBytes;
    while (this.sentBytes - before < bytesMax && this.#socket.writable) {
      if (this.#socket.write(chunk)) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#socket.once("drain", resolve);
      this.#socket.once("close", resolve);
      await within(promise, "the socket is neither drained nor closed");
    }
    return this.sentBytes - before - this.#socket.writableLength;
  }

  /** The next answer; `undefined` when the connection ended instead. A 100 is an answer. */
  async answer(method = "GET"): Promise<Answer | undefined> {
    for (;;) {
      const answer = this.#take(method);
      if (answer !== undefined) return answer;
      if (this.#isOver) {
        assert.equal(this.#received.byteLength, 0, `half an answer: ${this.#received.toString()}`);
        return undefined;
      }
      await within(this.#news.promise, "no answer came");
    }
  }

  /** The next answer, which has to come. */
  async expectAnswer(method = "GET"): Promise<Answer> {
    const answer = await this.answer(method);
    assert(answer !== undefined, "the connection ended without an answer");
    return answer;
  }

  /** Waits for the other side to end; nothing more may come before. */
  async expectEnd(): Promise<void> {
    const answer = await this.answer();
    assert.equal(answer, undefined, String(answer));
  }

  /** Says that nothing more will be sent. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Away without a goodbye. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  #take(method: string): Answer | undefined {
    const bytes = this.#received;
    const end = bytes.indexOf(headEnd);
    if (end === -1) return undefined;
    const [first = "", ...rest] = bytes.subarray(0, end).toString("latin1").split("\r\n");
    const status = Number(/^HTTP\/1\.1 ([1-5][0-9][0-9]) /.exec(first)?.[1]);
    assert(status >= 100, `not an answer: ${first}`);
    const lines = rest.map((line): HeaderLine => {
      const colon = line.indexOf(": ");
      assert(colon > 0, `not a header: ${line}`);
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
    const isBodiless = method === "HEAD" || status === 204 || status === 304 || status < 200;
    const length = lines.find(([name]) => name.toLowerCase() === "content-length")?.[1];
    assert(isBodiless || length !== undefined, `a body of unknown length: ${first}`);
    const bodyStart = end + headEnd.byteLength;
    const bodyEnd = bodyStart + (isBodiless ? 0 : Number(length));
    if (bytes.byteLength < bodyEnd) return undefined;
    this.#received = bytes.subarray(bodyEnd);
    return new Answer(status, lines, new Uint8Array(bytes.subarray(bodyStart, bodyEnd)));
  }
}

/** A request as it goes over the wire. Line ends are made of the list; bytes are Latin-1. */
export function requestText(line: string, headers: readonly string[] = [], body = ""): string {
  const head = [`${line} HTTP/1.1`, "Host: registry.example", ...headers];
  return `${head.join(lineEnd.toString())}${headEnd.toString()}${body}`;
}

function toBytes(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

async function within<T>(promise: Promise<T>, problem: string): Promise<T> {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(problem)), patienceMs);
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}
