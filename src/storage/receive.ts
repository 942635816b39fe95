/** Receiving an upload's body, the same for every adapter. */
import type { ReadableStreamReadResult } from "node:stream/web";

export interface Interruption {
  readonly cause: unknown;
}

/**
 * Gives each chunk of `body` to `take`, in order, waiting where it asks to. Resolves with the cause
 * when the body failed or the signal was aborted; what `take` was given until then stays. What
 * `take` throws is thrown. The body is cancelled unless it was read to its end.
 */
export async function receive(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
  take: (chunk: Uint8Array) => Promise<void> | undefined,
): Promise<Interruption | undefined> {
  const reader = body.getReader();
  // A cancelled body answers the read that is waiting for it, so that nothing has to race.
  const abort = (): void => quietly(reader.cancel(signal?.reason));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted === true) abort();
    for (;;) {
      const next = await nextChunk(reader);
      if (signal?.aborted === true) return { cause: signal.reason };
      if ("cause" in next) return next;
      if (next.done) return undefined;
      const busy = next.value.byteLength === 0 ? undefined : take(next.value);
      if (busy !== undefined) await busy;
    }
  } catch (error) {
    quietly(reader.cancel(error));
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    reader.releaseLock();
  }
}

async function nextChunk(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<ReadableStreamReadResult<Uint8Array> | Interruption> {
  try {
    return await reader.read();
  } catch (cause) {
    return { cause };
  }
}

/** The body's end is known already; that its source cannot be told adds nothing. */
function quietly(cancelled: Promise<void>): void {
  cancelled.catch(() => undefined);
}
