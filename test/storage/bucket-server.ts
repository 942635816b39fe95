/** An object store behind a real socket, which does to each request what its test says. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PartsUnknown, type ObjectBucket } from "../../src/storage/objects/object-bucket.ts";

export type WireFault =
  | "none"
  /** The request is read, and never answered. */
  | "stall"
  /** The connection is closed before the request has any effect, or after it. */
  | "reset"
  | "reset after"
  /** The store asks to be left alone. */
  | "busy"
  /** Of a body comes a half: then the connection is closed, or nothing more comes. */
  | "truncate"
  | "freeze";

export interface WireCall {
  readonly operation: string;
  readonly args: readonly unknown[];
}

/** Where a call's pieces are: they are the request's body. */
export const piecesMark = "pieces";

export class BucketServer {
  /** Asked for each request. */
  fault: (call: WireCall, index: number) => WireFault = () => "none";
  readonly calls: WireCall[] = [];
  readonly #bucket: ObjectBucket;
  readonly #server: Server;

  constructor(bucket: ObjectBucket) {
    this.#bucket = bucket;
    this.#server = createServer((request, response) => {
      // What fails here fails for the client, who is what is tested.
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const call = JSON.parse(String(request.headers["x-call"])) as WireCall;
    const fault = this.fault(call, this.calls.length);
    this.calls.push(call);
    if (fault === "stall") return;
    if (fault === "busy") {
      response.writeHead(503).end();
      return;
    }
    if (fault === "reset") {
      response.destroy();
      return;
    }
    const args = call.args.map((arg) => (arg === piecesMark ? chunks : (arg ?? undefined)));
    const result = await this.#perform(call.operation, args);
    if (result instanceof Error) response.writeHead(400).end(result.message);
    else if (fault === "reset after") response.destroy();
    else if (isOpened(result)) await sendBody(response, result, fault);
    else response.end(JSON.stringify({ result }));
  }

  async #perform(operation: string, args: readonly unknown[]): Promise<unknown> {
    const methods = this.#bucket as unknown as Record<
      string,
      (...args: readonly unknown[]) => Promise<unknown>
    >;
    try {
      return await methods[operation]?.call(this.#bucket, ...args, {});
    } catch (error) {
      if (error instanceof PartsUnknown) return { partsUnknown: error.message };
      return error;
    }
  }
}

interface Opened {
  readonly size: number;
  readonly body: ReadableStream<Uint8Array>;
}

function isOpened(result: unknown): result is Opened {
  return typeof result === "object" && result !== null && "body" in result;
}

async function sendBody(
  response: ServerResponse,
  { body, size }: Opened,
  fault: WireFault,
): Promise<void> {
  const isWhole = fault !== "truncate" && fault !== "freeze";
  let left = isWhole ? size : Math.floor(size / 2);
  response.writeHead(200, { "Content-Length": size, "X-Opened": "1" });
  for await (const chunk of body) {
    const sent = chunk.subarray(0, left);
    left -= sent.byteLength;
    if (!response.write(sent)) await once(response, "drain");
    if (left === 0 && !isWhole) break;
  }
  if (isWhole) response.end();
  if (fault === "truncate") response.destroy();
}
