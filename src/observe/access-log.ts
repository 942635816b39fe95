/** The access log: Apache's combined format, on stdout, written in batches. */
import pino from "pino";

export interface AccessEntry {
  readonly remoteAddress: string | undefined;
  readonly method: string;
  /** Path and query as they were sent. */
  readonly target: string;
  readonly status: number;
  /** Bytes of the answer's body. */
  readonly bytes: string;
  readonly referer: string | null;
  readonly userAgent: string | null;
}

export interface AccessLog {
  write(entry: AccessEntry): void;
  /** Writes what is waiting, as far as somebody takes it. */
  close(): Promise<void>;
}

/** File descriptor 1. */
const stdout = 1;

/** A batch is written when it has so many bytes, or after this time: whichever is first. */
const batchBytes = 8 * 1024;
const batchMs = 200;

/** How long the last lines may take: whoever reads them may be gone, or the disk full. */
const lastWriteMs = 1000;

/** When nobody reads the log, lines beyond this many bytes are dropped. */
const waitingBytesMax = 4 * 1024 * 1024;

/**
 * So many bytes at once reach a pipe whole, whoever else writes to it (POSIX' PIPE_BUF). Batches
 * are of whole lines, and half as much is waited for, so that the next line still fits.
 */
const wholeWriteBytes = 4096;

/** A client's text beyond so many bytes is cut off: three of them fit into a line of 4 KiB. */
const fieldBytesMax = 1200;

export function createAccessLog(
  now: () => number,
  options: {
    /** Other processes write to the same place: lines must stay whole. */
    readonly isShared: boolean;
  },
): AccessLog {
  const out = pino.destination({
    dest: stdout,
    sync: false,
    ...(options.isShared
      ? { minLength: wholeWriteBytes / 2, maxWrite: wholeWriteBytes }
      : { minLength: batchBytes }),
    periodicFlush: batchMs,
    maxLength: waitingBytesMax,
  });
  // A log that cannot be written, on a full disk, must not end the service.
  out.on("error", () => undefined);
  const clock = new ClfClock();
  return {
    write: (entry) => void out.write(formatEntry(entry, clock.format(now()))),
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, lastWriteMs);
      out.once("close", resolve);
      out.once("error", () => resolve());
      out.end();
      await promise;
      clearTimeout(timer);
    },
  };
}

/** An empty referer is `""`, as in Distribution. */
function formatEntry(entry: AccessEntry, time: string): string {
  const { bytes, method, referer, remoteAddress, status, target, userAgent } = entry;
  const request = escape(`${method} ${target} HTTP/1.1`);
  const from = `"${escape(referer ?? "")}" "${escape(userAgent ?? "")}"`;
  return `${remoteAddress ?? "-"} - - [${time}] "${request}" ${status} ${bytes} ${from}\n`;
}

/** As long as `\\u0000`. */
const escapedBytesMax = 6;

const special = /["\\\u0000-\u001f\u007f-\uffff]/;

/** A client's text must not end its field or its line. */
function escape(text: string): string {
  const cut = text.length > fieldBytesMax ? text.slice(0, fieldBytesMax) : text;
  if (!special.test(cut)) return cut;
  const escaped = JSON.stringify(cut).slice(1, -1);
  if (Buffer.byteLength(escaped) <= fieldBytesMax) return escaped;
  return JSON.stringify(cut.slice(0, fieldBytesMax / escapedBytesMax)).slice(1, -1);
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** Common log format's time, made once a second. UTC. */
class ClfClock {
  #second = -1;
  #text = "";

  format(atMs: number): string {
    const second = Math.floor(atMs / 1000);
    if (second === this.#second) return this.#text;
    const date = new Date(second * 1000);
    const two = (n: number): string => String(n).padStart(2, "0");
    const day = `${two(date.getUTCDate())}/${months[date.getUTCMonth()] ?? ""}`;
    const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two);
    this.#second = second;
    this.#text = `${day}/${date.getUTCFullYear()}:${time.join(":")} +0000`;
    return this.#text;
  }
}
