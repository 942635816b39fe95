/** Objects in memory behind a store that does to each request what its test says. */
import type { ByteSpan } from "../../src/storage/blob-store.ts";
import {
  BucketError,
  PartsUnknown,
  type Call,
  type CompletedPart,
  type ObjectBucket,
  type ObjectInfo,
  type ObjectPage,
  type PartLimits,
  type PartsTarget,
  type StartedParts,
} from "../../src/storage/objects/object-bucket.ts";
import type { VirtualTime } from "./virtual-time.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface Fault {
  /** Until the answer, ms. */
  readonly afterMs?: number;
  /**
   * `transient` and `permanent` fail without having done anything; `lost` fails having done it;
   * `hang` never answers; it hears of its signal only while it sends, as it has to.
   */
  readonly does?: "ok" | "transient" | "permanent" | "lost" | "hang";
  readonly body?: BodyFault;
}

/** What becomes of a body after so many of its bytes. */
export interface BodyFault {
  readonly at: number;
  readonly does: "break" | "stall" | "end" | "grow";
  /** Each chunk's bytes, and the time before it. */
  readonly chunkBytes?: number;
  readonly chunkMs?: number;
}

export interface Request {
  readonly operation: string;
  readonly at: number;
  readonly span?: ByteSpan | undefined;
  readonly signal: AbortSignal | undefined;
}

const chunkBytes = 1000;

export class FaultyBucket implements ObjectBucket {
  readonly name: string = "faulty";
  readonly limits: PartLimits = { partBytes: 1024, partBytesMin: 1, partsMax: 100 };
  readonly objects: Map<string, Bytes> = new Map();
  readonly requests: Request[] = [];
  readonly #time: VirtualTime;
  readonly #fault: (request: Request, index: number) => Fault;
  readonly #targets = new Map<string, Map<number, Bytes>>();
  #ids = 0;

  /** Bodies that were opened and neither read to their end nor cancelled. */
  openBodies = 0;

  constructor(time: VirtualTime, fault: (request: Request, index: number) => Fault = () => ({})) {
    this.#time = time;
    this.#fault = fault;
  }

  head(key: string, call: Call): Promise<ObjectInfo | undefined> {
    return this.#answer("head", call, () => {
      const bytes = this.objects.get(key);
      return bytes && { key, size: bytes.byteLength, modifiedAt: 0 };
    });
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    call: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    let fault: BodyFault | undefined;
    const bytes = await this.#answer(
      "get",
      call,
      (given) => {
        fault = given.body;
        const all = this.objects.get(key);
        return span === undefined ? all : all?.slice(span.start, span.end + 1);
      },
      span,
    );
    if (bytes === undefined) return undefined;
    return { size: bytes.byteLength, body: this.#body(bytes, fault) };
  }

  put(key: string, pieces: readonly Uint8Array[], call: Call): Promise<void> {
    return this.#answer("put", call, () => void this.objects.set(key, concat(pieces)));
  }

  delete(keys: readonly string[], call: Call): Promise<void> {
    return this.#answer("delete", call, () => {
      for (const key of keys) this.objects.delete(key);
    });
  }

  list(prefix: string, after: string | undefined, call: Call): Promise<ObjectPage<ObjectInfo>> {
    return this.#answer("list", call, () => {
      const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
      const items = keys
        .filter((key) => after === undefined || key > after)
        .map((key) => ({ key, size: this.objects.get(key)?.byteLength ?? 0, modifiedAt: 0 }));
      return { items, more: false };
    });
  }

  url(key: string, method: "GET" | "HEAD"): Promise<string | undefined> {
    return this.#answer("url", {}, () => `https://store.example/${key}?${method}`);
  }

  beginParts(key: string, call: Call): Promise<string> {
    return this.#answer("beginParts", call, () => {
      this.#ids += 1;
      const id = `${key}#${this.#ids}`;
      this.#targets.set(id, new Map());
      return id;
    });
  }

  putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    call: Call,
  ): Promise<string> {
    return this.#answer("putPart", call, () => {
      this.#target(target).set(number, concat(pieces));
      return String(number);
    });
  }

  copyPart(
    target: PartsTarget,
    number: number,
    source: { readonly key: string; readonly span: ByteSpan },
    call: Call,
  ): Promise<string | undefined> {
    return this.#answer("copyPart", call, () => {
      const { end, start } = source.span;
      const bytes = this.objects.get(source.key)?.slice(start, end + 1);
      if (bytes !== undefined) this.#target(target).set(number, bytes);
      return bytes === undefined ? undefined : String(number);
    });
  }

  completeParts(target: PartsTarget, parts: readonly CompletedPart[], call: Call): Promise<void> {
    return this.#answer("completeParts", call, () => {
      const held = this.#target(target);
      const bytes = parts.map(({ number }) => held.get(number) ?? new Uint8Array());
      this.objects.set(target.key, concat(bytes));
      this.#targets.delete(target.id);
    });
  }

  abortParts(target: PartsTarget, call: Call): Promise<void> {
    return this.#answer("abortParts", call, () => void this.#targets.delete(target.id));
  }

  listParts(
    prefix: string,
    after: PartsTarget | undefined,
    call: Call,
  ): Promise<ObjectPage<StartedParts>> {
    return this.#answer("listParts", call, () => {
      const targets = [...this.#targets.keys()].map((id) => {
        return { key: id.split("#")[0] ?? "", id, startedAt: 0 };
      });
      const items = targets.filter(
        ({ id, key }) => key.startsWith(prefix) && (after === undefined || id > after.id),
      );
      return { items, more: false };
    });
  }

  async close(): Promise<void> {}

  #target({ id }: PartsTarget): Map<number, Bytes> {
    const target = this.#targets.get(id);
    if (target === undefined) throw new PartsUnknown(this.name, `there is no target ${id}`);
    return target;
  }

  async #answer<T>(
    operation: string,
    { signal }: Call,
    act: (fault: Fault) => T,
    span?: ByteSpan,
  ): Promise<T> {
    const request = { operation, at: this.#time.now(), span, signal };
    const fault = this.#fault(request, this.requests.length);
    this.requests.push(request);
    if (fault.does === "hang") return await hang(operation.startsWith("put") ? signal : undefined);
    if (fault.afterMs !== undefined) await this.#time.wait(fault.afterMs);
    if (fault.does === "transient") throw this.#error("slow down", true);
    if (fault.does === "permanent") throw this.#error("access denied", false);
    const result = act(fault);
    if (fault.does === "lost") throw this.#error("the connection was reset", true);
    return result;
  }

  #error(message: string, transient: boolean): BucketError {
    return new BucketError(this.name, message, { transient });
  }

  #body(bytes: Bytes, fault: BodyFault | undefined): ReadableStream<Bytes> {
    this.openBodies += 1;
    let sent = 0;
    const end = fault === undefined ? bytes.byteLength : Math.min(fault.at, bytes.byteLength);
    return new ReadableStream<Bytes>(
      {
        pull: async (controller) => {
          if (fault?.chunkMs !== undefined) await this.#time.wait(fault.chunkMs);
          if (sent < end) {
            const size = Math.min(end - sent, fault?.chunkBytes ?? chunkBytes);
            controller.enqueue(bytes.slice(sent, sent + size));
            sent += size;
          } else if (fault?.does === "stall") {
            await new Promise<never>(() => undefined);
          } else {
            this.openBodies -= 1;
            if (fault?.does === "break") controller.error(this.#error("reset", true));
            if (fault?.does === "grow") controller.enqueue(new Uint8Array(chunkBytes));
            if (fault?.does !== "break") controller.close();
          }
        },
        cancel: () => void (this.openBodies -= 1),
      },
      { highWaterMark: 0 },
    );
  }
}

function hang(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal?.addEventListener("abort", () => reject(new Error("ended by its caller")));
  return promise;
}

function concat(pieces: readonly Uint8Array[]): Bytes {
  return new Uint8Array(Buffer.concat(pieces));
}

/** Reads a body, letting time pass. */
export async function readAll(time: VirtualTime, body: ReadableStream<Bytes>): Promise<Bytes> {
  const chunks: Bytes[] = [];
  const reading = (async () => {
    for await (const chunk of body) chunks.push(chunk);
  })();
  await time.until(reading);
  return concat(chunks);
}
