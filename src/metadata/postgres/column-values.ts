/** What columns of our types become in JavaScript. */
import { types, type CustomTypesConfig } from "pg";

const { BOOL, BYTEA, INT2, INT4, INT8, NUMERIC } = types.builtins;

const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [BOOL]: (text) => text === "t",
  [BYTEA]: parseBytes,
  [INT2]: parseInteger,
  [INT4]: parseInteger,
  [INT8]: parseInteger,
  // A sum of bigints, and nothing else here.
  [NUMERIC]: parseInteger,
};

const asText = (text: string): string => text;

export const columnTypes: CustomTypesConfig = {
  getTypeParser: (oid: number) => parsers[oid] ?? asText,
};

/** Throws where the number is beyond 2^53: better no answer than a wrong one. */
export function parseInteger(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  throw new RangeError(`PostgreSQL gave ${text}, which is no safe integer`);
}

/** `\x` and hexadecimal digits, as `bytea_output = hex` has it. */
export function parseBytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(0, text.length - 2) / 2);
  const written = Buffer.from(bytes.buffer).write(text.slice(2), "hex");
  const isWhole = text.length % 2 === 0 && written === bytes.byteLength;
  if (!text.startsWith(String.raw`\x`) || !isWhole) {
    throw new RangeError("PostgreSQL gave bytes that are not hexadecimal");
  }
  return bytes;
}
