/** The section `http`. */
import { z } from "zod";
import { builtInConfig, type Config } from "./config.ts";
import {
  duration,
  flag,
  httpUrl,
  integer,
  listenAddress,
  section,
  text,
  value,
} from "./yaml-values.ts";

/** A header name as HTTP has it, and values without line breaks. */
const headers = z.record(
  z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name"),
  z.array(z.string().regex(/^[^\r\n\0]*$/, "must not contain a line break")),
);

/** Far more than any machine has cores: a number of this size is a mistake. */
const workersMax = 1024;

const workers = value(`must be a number from 1 to ${workersMax}, or auto`, (given) => {
  if (given === "auto") return "auto" as const;
  return integer(1, workersMax).safeParse(given).data;
});

const debugSection = section({
  addr: listenAddress.optional(),
  prometheus: section({
    enabled: flag.optional(),
    path: z.string().startsWith("/", "must start with /").optional(),
  }).optional(),
});

export interface HttpPart {
  readonly http: Config["http"];
  readonly debug: Config["debug"];
}

export const httpSection: z.ZodType<HttpPart> = section({
  addr: listenAddress.optional(),
  host: httpUrl.optional(),
  prefix: text.optional(),
  relativeurls: flag.optional(),
  headers: headers.nullish(),
  draintimeout: duration.optional(),
  workers: workers.optional(),
  debug: debugSection.optional(),
}).transform((section) => {
  const { addr, draintimeout, headers, host, prefix, relativeurls, workers } = section;
  const fallback = builtInConfig.http;
  const http = {
    listen: addr ?? fallback.listen,
    drainMs: draintimeout ?? fallback.drainMs,
    workers: workers ?? fallback.workers,
    ...(host === undefined ? {} : { host }),
    ...(prefix === undefined ? {} : { prefix: normalPrefix(prefix) }),
    ...(relativeurls === undefined ? {} : { relativeUrls: relativeurls }),
    ...(headers === undefined || headers === null ? {} : { headers: headerList(headers) }),
  };
  return { http, debug: debugOf(section.debug) };
});

/** `/` and `/registry/` both mean what they say without the slash at the end. */
function normalPrefix(prefix: string): string {
  const inner = prefix.replaceAll(/^\/+|\/+$/g, "");
  return inner === "" ? "" : `/${inner}`;
}

function headerList(headers: Record<string, readonly string[]>): (readonly [string, string])[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    values.map((value) => [name, value] as const),
  );
}

function debugOf(debug: z.output<typeof debugSection> | undefined): Config["debug"] {
  if (debug?.addr === undefined) return undefined;
  const { enabled, path } = debug.prometheus ?? {};
  return {
    listen: debug.addr,
    prometheusPath: enabled === true ? (path ?? "/metrics") : undefined,
  };
}
