/** Reading a vendor's answers. */
import type { Readable } from "node:stream";

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Listings are the longest answers that are read as a whole: 5,000 blobs of Azure's with names of
 * 1,024 characters are 10 MiB. Beyond this, in bytes, it is not what was asked for.
 */
const textBytesMax = 32 * 1024 * 1024;

export async function textOf(message: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > textBytesMax) throw new Error(`an answer of more than ${textBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Gives what has come whenever it is asked for: nothing is read ahead, so that a slow reader slows
 * the server down. Cancelling closes the connection, unless all has come. `translate` makes the
 * adapter's errors.
 */
export function toWebStream(
  message: Readable,
  translate: (error: unknown) => unknown,
): ReadableStream<Bytes> {
  let wake: () => void = () => undefined;
  let failure: { readonly cause: unknown } | undefined;
  const ready = (): void => wake();
  const readable = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  message.on("readable", ready).on("end", ready).on("close", ready);
  message.on("error", (cause) => {
    failure = { cause };
    wake();
  });
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        for (;;) {
          const chunk = message.read() as Bytes | null;
          if (chunk !== null) {
            controller.enqueue(chunk);
            return;
          }
          if (failure !== undefined) throw translate(failure.cause);
          if (message.readableEnded) {
            controller.close();
            return;
          }
          if (message.destroyed) throw translate(brokenOff());
          await readable();
        }
      },
      cancel() {
        message.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}

function brokenOff(): Error {
  return Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" });
}
