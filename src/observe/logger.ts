/** Structured logs on stderr. Levels and the text form are Distribution's. */
import pino, { type Logger } from "pino";
import { describeError } from "./error-text.ts";

export type { Logger } from "pino";

export interface LoggerOptions {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly format: "text" | "json";
  /** Put on every line. */
  readonly fields: Readonly<Record<string, string>>;
}

/** File descriptor 2. */
const stderr = 2;

export function createLogger(options: LoggerOptions): Logger {
  const destination = pino.destination({ dest: stderr, sync: true });
  // A log that cannot be written, on a full disk, must not end the service.
  destination.on("error", () => undefined);
  const settings = {
    level: options.level,
    base: { ...options.fields },
    messageKey: "msg",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
  };
  if (options.format === "json") return pino(settings, destination);
  return pino(settings, { write: (line: string) => void destination.write(toText(line)) });
}

/** One JSON line as `time=... level=... msg="..." key=value`, keys sorted. */
function toText(line: string): string {
  const { time, level, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const pairs: [string, unknown][] = [
    ["time", time],
    ["level", level],
    ["msg", msg],
    ...flatten(rest).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ];
  return `${pairs.map(([key, value]) => `${key}=${quote(value)}`).join(" ")}\n`;
}

function flatten(record: object, prefix = ""): [string, unknown][] {
  return Object.entries(record).flatMap(([key, value]: [string, unknown]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? flatten(value, `${prefix}${key}.`)
      : [[`${prefix}${key}`, value] as [string, unknown]],
  );
}

function quote(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return /^[A-Za-z0-9._:/@+-]+$/.test(text) ? text : JSON.stringify(text);
}
