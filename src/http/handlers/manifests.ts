import type { Digest } from "../../oci/digest.ts";
/** Manifests: pull, check, push, delete. spec: end-3, end-7, end-9. */
import { OciError } from "../../oci/errors.ts";
import { manifestBytesMax } from "../../oci/manifest.ts";
import { parseTag, type Tag } from "../../oci/names.ts";
import { answer, emptyAnswer, type HeaderList } from "../answers.ts";
import { entityTag, isNotModified, isPreconditionFailed } from "../conditions.ts";
import type { Answer } from "../exchange.ts";
import { readBody } from "../request-body.ts";
import type { RequestContext } from "../request-context.ts";
import type { Handler, MethodTable } from "./handler.ts";

/** `tag` parameters of one push. The spec asks for 10; each is a row in the same transaction. */
const tagParametersMax = 100;

function manifestHeaders(manifest: {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
}): HeaderList {
  return [
    ["Content-Type", manifest.mediaType],
    ["Content-Length", String(manifest.size)],
    ["Docker-Content-Digest", manifest.digest],
    ["Etag", entityTag(manifest.digest)],
  ];
}

const pull: Handler = async (ctx) => {
  const repository = ctx.repository();
  const { manifests } = ctx.registry;
  const manifest = await manifests.pull(repository, ctx.reference(), ctx.header("accept"));
  const unchanged = conditionalAnswer(ctx, manifest.digest);
  if (unchanged !== undefined) return unchanged;
  const size = manifest.bytes.byteLength;
  return answer(200, manifestHeaders({ ...manifest, size }), manifest.bytes);
};

const check: Handler = async (ctx) => {
  const repository = ctx.repository();
  const { manifests } = ctx.registry;
  const manifest = await manifests.check(repository, ctx.reference(), ctx.header("accept"));
  return conditionalAnswer(ctx, manifest.digest) ?? answer(200, manifestHeaders(manifest));
};

/** 304 and 412, where a condition says so. */
function conditionalAnswer(ctx: RequestContext, digest: Digest): Answer | undefined {
  const headers: HeaderList = [
    ["Docker-Content-Digest", digest],
    ["Etag", entityTag(digest)],
  ];
  if (isPreconditionFailed(ctx, digest)) return emptyAnswer(412, headers);
  return isNotModified(ctx, digest) ? answer(304, headers) : undefined;
}

const push: Handler = async (ctx) => {
  const repository = ctx.repository();
  const reference = ctx.reference();
  const tags = readTags(ctx);
  if (tags.length > 0 && "tag" in reference) throw tagParametersMisplaced();
  const bytes = await readBody(ctx.request, manifestBytesMax);
  const pushed = await ctx.registry.manifests.push(repository, {
    reference,
    contentType: ctx.header("content-type"),
    bytes,
    tags,
    origin: ctx.origin(),
  });
  const headers: (readonly [string, string])[] = [
    ["Location", ctx.manifestUrl(repository, pushed.digest)],
    ["Docker-Content-Digest", pushed.digest],
  ];
  if (pushed.subject !== undefined) headers.push(["OCI-Subject", pushed.subject]);
  if ("digest" in reference) for (const tag of pushed.tags) headers.push(["OCI-Tag", tag]);
  return emptyAnswer(201, headers);
};

function tagParametersMisplaced(): OciError {
  const message = "tag parameters go with a push by digest";
  return new OciError("UNSUPPORTED", { status: 400, message });
}

function readTags(ctx: RequestContext): readonly Tag[] {
  const texts = ctx.query.getAll("tag");
  if (texts.length > tagParametersMax) {
    throw new OciError("TAG_INVALID", {
      status: 414,
      message: `more than ${tagParametersMax} tag parameters`,
    });
  }
  return texts.map((text) => {
    const tag = parseTag(text);
    if (tag !== undefined) return tag;
    throw new OciError("TAG_INVALID", { detail: { tag: text.slice(0, 300) } });
  });
}

const remove: Handler = async (ctx) => {
  const repository = ctx.repository();
  await ctx.registry.manifests.delete(repository, ctx.reference(), ctx.origin());
  return emptyAnswer(202, []);
};

export const manifest: MethodTable = { GET: pull, HEAD: check, PUT: push, DELETE: remove };
