/**
 * Conditional requests on content that never changes: its digest is its entity tag. RFC 9110
 * section 13.
 */
import type { Digest } from "../oci/digest.ts";
import type { RequestContext } from "./request-context.ts";

export function entityTag(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Whether the client has it already. Distribution's clients send the digest with and without
 * quotes.
 */
export function isNotModified(ctx: RequestContext, digest: Digest): boolean {
  const header = ctx.header("if-none-match");
  return header !== undefined && names(header, digest, "weak");
}

/** Whether an If-Match rules this content out. */
export function isPreconditionFailed(ctx: RequestContext, digest: Digest): boolean {
  const header = ctx.header("if-match");
  return header !== undefined && !names(header, digest, "strong");
}

/**
 * Whether a Range still counts: not when If-Range names other content. Dates never match: nothing
 * has one.
 */
export function isRangeWanted(ctx: RequestContext, digest: Digest): boolean {
  const header = ctx.header("if-range");
  return header === undefined || header.trim() === entityTag(digest);
}

function names(header: string, digest: Digest, comparison: "weak" | "strong"): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((entry) => {
    const text = entry.trim();
    const tag = comparison === "weak" && text.startsWith("W/") ? text.slice(2) : text;
    return tag === entityTag(digest) || tag === digest;
  });
}
