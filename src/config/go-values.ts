/** Values as Go programs write them in YAML: durations and listen addresses. */
import type { ListenAddress } from "./config.ts";

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "\u00b5s": 1e-3,
  "\u03bcs": 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** `1m30s`, `250ms`; a bare number is nanoseconds. In ms; `undefined` for anything else. */
export function parseGoDuration(value: string | number): number | undefined {
  if (typeof value === "number") return value / 1e6;
  if (value === "0") return 0;
  const parts = /^(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/.test(value);
  if (!parts || value.length > 64) return undefined;
  let total = 0;
  for (const [, count, unit] of value.matchAll(/([0-9.]+)([a-z\u00b5\u03bc]+)/g)) {
    total += Number(count) * (unitMs[unit ?? ""] ?? Number.NaN);
  }
  return Number.isFinite(total) ? total : undefined;
}

/** `:5000`, `localhost:5000`, `[::1]:5000`. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return undefined;
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? undefined : host, port };
}
