/** What is sent: the pieces as they are, without putting them together. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { ClientRequest } from "node:http";
import { Readable } from "node:stream";

/** The payload's hash that says that there is none: TLS protects the bytes already. */
const unsigned = "UNSIGNED-PAYLOAD";

/**
 * A body for the SDK, which knows a stream when it sees one. Nobody reads it as a stream: the
 * request handler (`s3-http.ts`) writes the pieces to the socket, all of them at once.
 */
export class PiecesBody extends Readable {
  readonly pieces: readonly Uint8Array[];
  readonly size: number;
  #request: ClientRequest | undefined;

  constructor(pieces: readonly Uint8Array[]) {
    super();
    this.pieces = pieces;
    this.size = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** What goes into the signature. Without TLS that is what tells that the bytes arrived whole. */
  payloadHash(tls: boolean): string {
    if (tls) return unsigned;
    const hash = createHash("sha256");
    for (const piece of this.pieces) hash.update(piece);
    return hash.digest("hex");
  }

  writeTo(request: ClientRequest): void {
    this.#request = request;
    // Corked, so that the socket is given all pieces in one call.
    request.cork();
    for (const piece of this.pieces) request.write(piece);
    request.end();
    request.uncork();
  }

  /**
   * Resolves when the memory of the pieces is not read any more: an answer may come before the
   * body has been sent, and is the last word then.
   */
  async released(): Promise<void> {
    const request = this.#request;
    if (request === undefined || request.writableFinished || request.closed) return;
    const closed = once(request, "close");
    request.destroy();
    await closed;
  }

  override _read(): void {
    this.destroy(new Error("the pieces of this body are written by its request handler"));
  }
}
