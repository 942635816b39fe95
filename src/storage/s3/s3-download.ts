/** An answer's body as a web stream. */
import type { Readable } from "node:stream";
import { toBucketError } from "./s3-errors.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Gives what has come whenever it is asked for: nothing is read ahead, so that a slow reader slows
 * the server down. Cancelling closes the connection, unless all has come.
 */
export function toWebStream(message: Readable): ReadableStream<Bytes> {
  let wake: () => void = () => undefined;
  let failure: { readonly cause: unknown } | undefined;
  const ready = (): void => wake();
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
          if (chunk !== null) return controller.enqueue(chunk);
          if (failure !== undefined) throw toBucketError("get", failure.cause);
          if (message.readableEnded) return controller.close();
          if (message.destroyed) throw toBucketError("get", brokenOff());
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
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
