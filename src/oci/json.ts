/** Reading JSON that a client sent: bounded, and each complaint with the place that it is about. */
import { OciError } from "./errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Levels of objects and arrays. A manifest needs 4; beyond this it is an attack on some parser's
 * stack.
 */
export const jsonDepthMax = 64;

/**
 * Objects and arrays in one document. 10,000 descriptors with platform, urls and annotations need
 * 50,000; a few megabytes of nothing but brackets would take some hundred megabytes of memory once
 * parsed.
 */
export const jsonContainersMax = 100_000;

/** `path` is where in the manifest, such as `layers[3].digest`; empty for the whole of it. */
export function manifestInvalid(path: string, problem: string, cause?: unknown): OciError {
  const subject = path === "" ? "manifest invalid" : `manifest invalid: ${path}`;
  return new OciError("MANIFEST_INVALID", {
    message: `${subject}: ${problem}`,
    detail: path === "" ? { reason: problem } : { path, reason: problem },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** UTF-8 without byte order mark (RFC 8259 section 8.1), one JSON object and nothing behind it. */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  checkShape(bytes);
  const value = parseJson(bytes);
  if (!isJsonObject(value)) throw manifestInvalid("", "not a JSON object");
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `null` is what Go's encoder writes for a field that was never set. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

export function optionalString(value: unknown, path: string): string | undefined {
  if (isAbsent(value)) return undefined;
  if (typeof value !== "string") throw manifestInvalid(path, "not a string");
  return value;
}

/**
 * `undefined` when absent, else each value is a string. Keys such as `__proto__` are the object's
 * own.
 */
export function optionalStringMap(
  value: unknown,
  path: string,
): Readonly<Record<string, string>> | undefined {
  if (isAbsent(value)) return undefined;
  if (!isStringMap(value)) throw manifestInvalid(path, "not an object of strings");
  return value;
}

export function optionalStringList(value: unknown, path: string): readonly string[] | undefined {
  if (isAbsent(value)) return undefined;
  if (!isStringList(value)) throw manifestInvalid(path, "not an array of strings");
  return value;
}

/**
 * Refuses keys that differ from a known one in their case only. Go's decoder, so nearly every
 * client, takes `Layers` for `layers`: such a manifest would mean one thing here and another where
 * it is pulled.
 */
export function refuseLookalikes(
  object: JsonObject,
  knownKeys: ReadonlyMap<string, string>,
  path: string,
): void {
  for (const key of Object.keys(object)) {
    if (knownKeys.get(key) === key) continue;
    const known = knownKeys.get(foldCase(key));
    if (known !== undefined) {
      throw manifestInvalid(path, `the key ${JSON.stringify(key)} can be taken for "${known}"`);
    }
  }
}

/** Known keys by themselves and by their folded form, for `refuseLookalikes`. */
export function foldedKeys(keys: readonly string[]): ReadonlyMap<string, string> {
  return new Map(keys.flatMap((key) => [[foldCase(key), key] as const, [key, key] as const]));
}

/** As Go folds: the long s is an s, the Kelvin sign is a k. */
function foldCase(key: string): string {
  return key.toUpperCase().toLowerCase();
}

function isStringMap(value: unknown): value is Readonly<Record<string, string>> {
  return isJsonObject(value) && Object.values(value).every((item) => typeof item === "string");
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw manifestInvalid("", "not UTF-8", cause);
  }
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (cause) {
    throw manifestInvalid("", "not JSON", cause);
  }
}

const quote = 0x22;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * One pass over the bytes, before anything is built of them. What is no JSON at all is the parser's
 * to say.
 */
function checkShape(bytes: Uint8Array): void {
  let depth = 0;
  let containers = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === quote) {
      index = endOfString(bytes, index);
    } else if (byte === openBrace || byte === openBracket) {
      depth += 1;
      containers += 1;
      if (depth > jsonDepthMax) throw manifestInvalid("", `more than ${jsonDepthMax} levels deep`);
      if (containers > jsonContainersMax) {
        throw manifestInvalid("", `more than ${jsonContainersMax} objects and arrays`);
      }
    } else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1;
    }
  }
}

/** The index of a string's closing quote, or beyond the end when there is none. */
function endOfString(bytes: Uint8Array, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== quote) {
    index += bytes[index] === backslash ? 2 : 1;
  }
  return index;
}
