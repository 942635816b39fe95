/** What is sent: the pieces as they are, without putting them together. */
import { once } from "node:events";
import type { ClientRequest } from "node:http";
import { Readable } from "node:stream";

/**
 * A body that passes through a vendor's client, which knows a stream when it sees one. Nobody reads
 * it as a stream: `VendorHttp` writes the pieces to the socket, all of them at once.
 */
export class PiecesBody extends Readable {
  readonly pieces: readonly Uint8Array[];
  /** Bytes. */
  readonly size: number;
  #request: ClientRequest | undefined;

  constructor(pieces: readonly Uint8Array[]) {
    super();
    this.pieces = pieces;
    this.size = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
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
    this.destroy(new Error("the pieces of this body are written by VendorHttp"));
  }
}
