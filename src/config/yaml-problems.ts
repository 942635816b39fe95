/** What is wrong with a config file, said so that it can be mended; never with a secret in it. */
import type { z } from "zod";

/** A config file that cannot be used, with all that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export type Path = readonly PropertyKey[];

/** Keys whose values are not shown, nor anything below them. */
const secretKey = /key|secret|password|token|credentials|connectionstring|^url$/i;

/** Characters of a value that are shown. */
const shownMax = 60;

/** One line: the path, what is allowed, what was found. */
export function describeIssue(issue: z.core.$ZodIssue, values: unknown): string {
  const found = valueAt(values, issue.path);
  const isShown = found !== undefined && !issue.path.some((key) => secretKey.test(String(key)));
  const shown = isShown ? `; found ${show(found)}` : "";
  return `${issue.path.join(".")}: ${issue.message}${shown}`;
}

function show(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map of keys";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length <= shownMax ? text : `${text.slice(0, shownMax)}...`;
}

const kinds: Readonly<Record<string, string>> = {
  object: "must be a map of keys",
  record: "must be a map of keys",
  array: "must be a list",
  string: "must be text",
  boolean: "must be true or false",
  number: "must be a number",
};

/** The words for what zod finds itself; `undefined`: zod's own. */
export function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.input === undefined) return "is required";
  if (issue.code === "invalid_type") return kinds[issue.expected];
  if (issue.code === "invalid_value") return `must be one of ${issue.values.join(", ")}`;
  return undefined;
}

export function valueAt(value: unknown, path: Path): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return valueAt((value as Record<PropertyKey, unknown>)[key], rest);
}
