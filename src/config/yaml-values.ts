/**
 * Values of a config file as Go programs take them: `"true"` and `true`, `"100"` and `100`, null
 * and nothing at all mean the same. What is wrong is told in the words of whoever writes YAML.
 */
import { z } from "zod";
import type { ListenAddress } from "./config.ts";
import { parseGoDuration, parseListenAddress } from "./go-values.ts";

/**
 * A section, which may be empty. A key without a value, or with an empty one, is as good as none:
 * so it is in Go.
 */
export function section<S extends z.ZodRawShape>(
  shape: S,
): z.ZodPreprocess<z.ZodObject<{ -readonly [P in keyof S]: S[P] }, z.core.$loose>> {
  return z.preprocess((value) => withoutEmpty(value ?? {}), z.looseObject(shape));
}

function withoutEmpty(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const given = Object.entries(value).filter(([, one]) => one !== null && one !== "");
  return Object.fromEntries(given);
}

type Parsed<T> = z.ZodPipe<z.ZodUnknown, z.ZodTransform<T>>;

/** Text, and what YAML takes for a number or a boolean though it was meant as text. */
export const text: Parsed<string> = value(
  "must be text, in quotes where it looks like something else",
  (given) => {
    if (typeof given === "string") return given;
    if (typeof given === "boolean" || Number.isSafeInteger(given)) return String(given);
    return undefined;
  },
);

/** A boolean, or a string that Go's `strconv.ParseBool` takes for one. */
export const flag: Parsed<boolean> = value("must be true or false", (given) => {
  if (typeof given === "boolean") return given;
  if (typeof given !== "string") return undefined;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(given)) return true;
  return /^(?:0|f|F|false|FALSE|False)$/.test(given) ? false : undefined;
});

/** A whole number, or a string of digits. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Parsed<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return value(`must be a whole number ${range}`, (given) => {
    const isText = typeof given === "string" && /^[0-9]{1,16}$/.test(given);
    const number = isText ? Number(given) : given;
    if (typeof number !== "number" || !Number.isSafeInteger(number)) return undefined;
    return number >= min && number <= max ? number : undefined;
  });
}

/** One of these words, in whatever case; given back as it stands in the list. */
export function word<const T extends string>(words: readonly T[]): Parsed<T> {
  return value(`must be one of ${words.join(", ")}`, (given) =>
    typeof given === "string"
      ? words.find((known) => known.toLowerCase() === given.toLowerCase())
      : undefined,
  );
}

/** In ms; `0s` is one, too. */
export const duration: Parsed<number> = value("must be a duration such as 30s or 1h30m", (given) =>
  typeof given === "string" || typeof given === "number" ? parseGoDuration(given) : undefined,
);

export const listenAddress: Parsed<ListenAddress> = value("must be host:port or :port", (given) =>
  typeof given === "string" ? parseListenAddress(given) : undefined,
);

/** Scheme, host and path, without a slash at its end. */
export const httpUrl: Parsed<string> = value(
  "must be a URL with http or https and a host",
  (given) => {
    const url = typeof given === "string" ? URL.parse(given) : null;
    if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
    return `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}`;
  },
);

/** A value that `parse` understands; for anything else: `problem`. */
export function value<T>(problem: string, parse: (given: unknown) => T | undefined): Parsed<T> {
  return z.unknown().transform((given, context): T => {
    const parsed = given === undefined ? undefined : parse(given);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: "custom", message: given === undefined ? "is required" : problem });
    return z.NEVER;
  });
}

/** Without the keys that have no value, so that what is left is what was said. */
export function said<T extends object>(options: T): T {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as T;
}
