/** The adapter of `BucketServer`: one request for each call, as a vendor's adapter makes it. */
import { once } from "node:events";
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { Readable } from "node:stream";
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
import { piecesMark } from "./bucket-server.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Sent {
  readonly operation: string;
  readonly args: readonly unknown[];
  readonly pieces?: readonly Uint8Array[];
}

export class SocketBucket implements ObjectBucket {
  readonly name: string = "socket";
  readonly limits: PartLimits;
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string, limits: PartLimits) {
    this.#url = url;
    this.limits = limits;
  }

  head(key: string, call: Call): Promise<ObjectInfo | undefined> {
    return this.#ask({ operation: "head", args: [key] }, call);
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    call: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    const answer = await this.#send({ operation: "get", args: [key, span ?? null] }, call);
    if (answer.headers["x-opened"] === undefined) {
      answer.resume();
      return undefined;
    }
    const body = Readable.toWeb(answer) as ReadableStream<Bytes>;
    return { size: Number(answer.headers["content-length"]), body };
  }

  put(key: string, pieces: readonly Uint8Array[], call: Call): Promise<void> {
    return this.#ask({ operation: "put", args: [key, piecesMark], pieces }, call);
  }

  delete(keys: readonly string[], call: Call): Promise<void> {
    return this.#ask({ operation: "delete", args: [keys] }, call);
  }

  list(prefix: string, after: string | undefined, call: Call): Promise<ObjectPage<ObjectInfo>> {
    return this.#ask({ operation: "list", args: [prefix, after ?? ""] }, call);
  }

  async url(): Promise<undefined> {
    return undefined;
  }

  beginParts(key: string, call: Call): Promise<string> {
    return this.#ask({ operation: "beginParts", args: [key] }, call);
  }

  putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    call: Call,
  ): Promise<string> {
    return this.#ask({ operation: "putPart", args: [target, number, piecesMark], pieces }, call);
  }

  copyPart(
    target: PartsTarget,
    number: number,
    source: { readonly key: string; readonly span: ByteSpan },
    call: Call,
  ): Promise<string | undefined> {
    return this.#ask({ operation: "copyPart", args: [target, number, source] }, call);
  }

  completeParts(target: PartsTarget, parts: readonly CompletedPart[], call: Call): Promise<void> {
    return this.#ask({ operation: "completeParts", args: [target, parts] }, call);
  }

  abortParts(target: PartsTarget, call: Call): Promise<void> {
    return this.#ask({ operation: "abortParts", args: [target] }, call);
  }

  listParts(
    prefix: string,
    after: PartsTarget | undefined,
    call: Call,
  ): Promise<ObjectPage<StartedParts>> {
    return this.#ask({ operation: "listParts", args: [prefix, after ?? null] }, call);
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  async #ask<T>(sent: Sent, call: Call): Promise<T> {
    const answer = await this.#send(sent, call);
    let text: string;
    try {
      text = await textOf(answer);
    } catch (error) {
      throw this.#failed(error);
    }
    const { result } = JSON.parse(text) as { readonly result?: T };
    if (typeof result === "object" && result !== null && "partsUnknown" in result) {
      throw new PartsUnknown(this.name, String(result.partsUnknown));
    }
    return result as T;
  }

  async #send({ args, operation, pieces }: Sent, { signal }: Call): Promise<IncomingMessage> {
    const request = httpRequest(this.#url, {
      method: "POST",
      agent: this.#agent,
      headers: { "X-Call": JSON.stringify({ operation, args }) },
      ...(signal === undefined ? {} : { signal }),
    });
    for (const piece of pieces ?? []) request.write(piece);
    request.end();
    const answer = await this.#answered(request);
    if (answer.statusCode === 200) return answer;
    const message = `status ${answer.statusCode}: ${await textOf(answer)}`;
    throw new BucketError(this.name, message, { transient: answer.statusCode === 503 });
  }

  async #answered(request: ClientRequest): Promise<IncomingMessage> {
    try {
      const [answer] = (await once(request, "response")) as [IncomingMessage];
      return answer;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(cause: unknown): BucketError {
    const message = cause instanceof Error ? cause.message : String(cause);
    return new BucketError(this.name, message, { cause, transient: true });
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
