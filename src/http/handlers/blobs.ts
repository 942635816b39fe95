/** Blobs: pull, check, delete. spec: end-2, end-10. */
import { hexOf } from "../../oci/digest.ts";
import { OciError } from "../../oci/errors.ts";
import { parseRange, type ByteSpan } from "../../oci/range.ts";
import type { Blob } from "../../registry/registry.ts";
import { answer, emptyAnswer, errorAnswer, type HeaderList } from "../answers.ts";
import { entityTag, isNotModified, isPreconditionFailed, isRangeWanted } from "../conditions.ts";
import type { Answer } from "../exchange.ts";
import { multipartRanges } from "../multipart-ranges.ts";
import type { RequestContext } from "../request-context.ts";
import type { Handler, MethodTable } from "./handler.ts";

const contentType = "application/octet-stream";

/** Characters: enough that no content has them by chance. */
const boundaryLength = 40;

function blobHeaders(blob: Blob): HeaderList {
  return [
    ["Docker-Content-Digest", blob.digest],
    ["Etag", entityTag(blob.digest)],
    ["Cache-Control", "max-age=31536000"],
    ["Accept-Ranges", "bytes"],
  ];
}

function wholeHeaders(blob: Blob): HeaderList {
  return [
    ["Content-Type", contentType],
    ["Content-Length", String(blob.size)],
    ...blobHeaders(blob),
  ];
}

/** 304 and 412, where a condition says so. */
function conditionalAnswer(ctx: RequestContext, blob: Blob): Answer | undefined {
  if (isPreconditionFailed(ctx, blob.digest)) return emptyAnswer(412, blobHeaders(blob));
  return isNotModified(ctx, blob.digest) ? answer(304, blobHeaders(blob)) : undefined;
}

/**
 * Sends the client to the storage, if that has an address for it. The Range header, where there is
 * one, goes with it. Whoever keeps the answer hands a signed URL to others, and an expired one to
 * the same client.
 */
async function redirect(
  ctx: RequestContext,
  blob: Blob,
  method: "GET" | "HEAD",
): Promise<Answer | undefined> {
  if (!ctx.settings.redirect) return undefined;
  const clientAddress = ctx.clientAddress();
  const url = await ctx.registry.blobs.link(blob, { method, clientAddress });
  if (url === undefined) return undefined;
  return emptyAnswer(307, [
    ["Location", url],
    ["Content-Type", contentType],
    ["Docker-Content-Digest", blob.digest],
    ["Cache-Control", "no-store"],
  ]);
}

const pull: Handler = async (ctx) => {
  const blob = await ctx.registry.blobs.find(ctx.repository(), ctx.digest());
  const elsewhere = conditionalAnswer(ctx, blob) ?? (await redirect(ctx, blob, "GET"));
  if (elsewhere !== undefined) return elsewhere;
  const header = ctx.header("range");
  if (header !== undefined && isRangeWanted(ctx, blob.digest)) {
    const partial = await pullRanges(ctx, blob, header);
    if (partial !== undefined) return partial;
  }
  const { body } = await ctx.registry.blobs.open(blob, { signal: ctx.request.signal });
  return answer(200, wholeHeaders(blob), body);
};

/** The answer to a Range header; `undefined` when everything is to be sent. */
async function pullRanges(
  ctx: RequestContext,
  blob: Blob,
  header: string,
): Promise<Answer | undefined> {
  const range = parseRange(header, blob.size);
  if (range.kind === "whole") return undefined;
  if (range.kind === "unsatisfiable") return unsatisfiable(blob);
  const [span, ...more] = range.spans;
  if (span === undefined || more.length > 0) return severalSpans(ctx, blob, range.spans);
  const { body, size } = await ctx.registry.blobs.open(blob, { span, signal: ctx.request.signal });
  const headers: HeaderList = [
    ["Content-Type", contentType],
    ["Content-Length", String(size)],
    ["Content-Range", `bytes ${span.start}-${span.end}/${blob.size}`],
    ...blobHeaders(blob),
  ];
  return answer(206, headers, body);
}

function severalSpans(ctx: RequestContext, blob: Blob, spans: readonly ByteSpan[]): Answer {
  const { signal } = ctx.request;
  const { body, headers } = multipartRanges({
    spans,
    size: blob.size,
    contentType,
    boundary: hexOf(blob.digest).slice(0, boundaryLength),
    open: (span) => ctx.registry.blobs.open(blob, { span, signal }),
  });
  return answer(206, [...headers, ...blobHeaders(blob)], body);
}

function unsatisfiable(blob: Blob): Answer {
  const message = `the blob has ${blob.size} bytes; none of those asked for are among them`;
  const error = new OciError("RANGE_INVALID", { message });
  return errorAnswer(error, [["Content-Range", `bytes */${blob.size}`]]);
}

const check: Handler = async (ctx) => {
  const blob = await ctx.registry.blobs.check(ctx.repository(), ctx.digest());
  const elsewhere = conditionalAnswer(ctx, blob) ?? (await redirect(ctx, blob, "HEAD"));
  return elsewhere ?? answer(200, wholeHeaders(blob));
};

const remove: Handler = async (ctx) => {
  const digest = ctx.digest();
  await ctx.registry.blobs.delete(ctx.repository(), digest, ctx.origin());
  return emptyAnswer(202, [["Docker-Content-Digest", digest]]);
};

export const blob: MethodTable = { GET: pull, HEAD: check, DELETE: remove };
