/**
 * Byte ranges: which bytes a pull asks for (RFC 9110 section 14), and which a pushed chunk says it
 * is.
 */

/** Bytes `start` to `end`, both inclusive, as HTTP counts them. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * What a Range header comes to: everything (200), nothing (416), or spans (206; several are a
 * multipart answer), in the order in which they were asked for.
 */
export type RangeResult =
  | { readonly kind: "whole" }
  | { readonly kind: "unsatisfiable" }
  | { readonly kind: "spans"; readonly spans: readonly ByteSpan[] };

/**
 * Ranges in one request, Apache's default. Snapshotters that pull lazily ask for dozens at once;
 * each is a read of its own and a part of the answer, so there has to be a bound.
 */
export const rangesMax = 200;

/**
 * Characters: `rangesMax` ranges of two 16-digit numbers, with separators. Linear work, but no more
 * than this.
 */
const rangeHeaderLengthMax = 8192;

const whole: RangeResult = { kind: "whole" };
const unsatisfiable: RangeResult = { kind: "unsatisfiable" };

const unitPattern = /^bytes=/i;
const rangePattern = /^[ \t]*([0-9]*)-([0-9]*)[ \t]*$/;
const emptyElementPattern = /^[ \t]*$/;
const contentRangePattern = /^([0-9]+)-([0-9]+)$/;
const unitContentRangePattern = /^bytes ([0-9]+)-([0-9]+)\/(\*|[0-9]+)$/i;

/**
 * `size` is the content's, in bytes. A header that is malformed, of another unit or asks for more
 * than there is in all (overlapping ranges) is ignored, as RFC 9110 section 14.2 permits: the
 * answer is the whole.
 */
export function parseRange(header: string | null | undefined, size: number): RangeResult {
  if (header === null || header === undefined || header.length > rangeHeaderLengthMax) return whole;
  if (!unitPattern.test(header)) return whole;
  const texts = listElements(header.slice(header.indexOf("=") + 1));
  if (texts.length === 0 || texts.length > rangesMax) return whole;

  const spans: ByteSpan[] = [];
  let total = 0;
  for (const text of texts) {
    const span = resolveRange(text, size);
    if (span === "malformed") return whole;
    if (span === "unsatisfiable") continue;
    spans.push(span);
    total += span.end - span.start + 1;
  }
  if (spans.length === 0) return unsatisfiable;
  return total > size ? whole : { kind: "spans", spans };
}

/**
 * The Content-Range of a chunk: `a-b` as the spec has it (spec: pushing a blob in chunks), or
 * `bytes a-b/n` and `bytes a-b/*` as RFC 9110 section 14.4 has it. `undefined` for anything else.
 */
export function parseContentRange(header: string): ByteSpan | undefined {
  if (header.length > rangeHeaderLengthMax) return undefined;
  const match = contentRangePattern.exec(header) ?? unitContentRangePattern.exec(header);
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]);
  const length = match[3] === undefined || match[3] === "*" ? Infinity : Number(match[3]);
  return start <= end && end < length && Number.isSafeInteger(end) ? { start, end } : undefined;
}

/**
 * Numbers beyond 2^53 lose digits here, harmlessly: no content is that large. A range whose last
 * byte comes before its first is malformed by the RFC; the conformance suite wants it refused, not
 * ignored.
 */
function resolveRange(text: string, size: number): ByteSpan | "malformed" | "unsatisfiable" {
  const match = rangePattern.exec(text);
  const first = match?.[1] ?? "";
  const last = match?.[2] ?? "";
  if (first === "" && last === "") return "malformed";
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return start <= end ? { start, end } : "unsatisfiable";
}

/** A comma-separated list's elements; empty ones do not count (RFC 9110 section 5.6.1). */
function listElements(list: string): readonly string[] {
  return list.split(",").filter((element) => !emptyElementPattern.test(element));
}
