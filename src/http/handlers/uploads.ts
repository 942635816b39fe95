/**
 * Uploads: begin, mount, status, chunk, end, cancel. spec: end-4, end-5, end-6, end-11, end-13,
 * end-14.
 */
import { isDigestAlgorithm } from "../../oci/digest.ts";
import { OciError } from "../../oci/errors.ts";
import { parseRepositoryName } from "../../oci/names.ts";
import type { UploadBody, UploadProgress, UploadTarget } from "../../registry/registry.ts";
import { answer, emptyAnswer, uploadRange, type HeaderList } from "../answers.ts";
import type { Answer } from "../exchange.ts";
import { chunkSpan, streamWithin } from "../request-body.ts";
import { readDigest, type RequestContext } from "../request-context.ts";
import type { Handler, MethodTable } from "./handler.ts";

const begin: Handler = async (ctx) => {
  const mounted = await mount(ctx);
  if (mounted !== undefined) return mounted;
  const repository = ctx.repository();
  const digest = ctx.query.get("digest");
  if (digest !== null) {
    const wanted = readDigest(digest);
    await ctx.registry.uploads.push(repository, wanted, readUploadBody(ctx), ctx.origin());
    return created(ctx, wanted);
  }
  const algorithm = ctx.query.get("digest-algorithm") ?? "sha256";
  if (!isDigestAlgorithm(algorithm)) {
    throw new OciError("DIGEST_INVALID", {
      message: "digest-algorithm must be sha256, sha384 or sha512",
      detail: { algorithm: algorithm.slice(0, 100) },
    });
  }
  const upload = await ctx.registry.uploads.create(repository, algorithm);
  return emptyAnswer(202, uploadHeaders(ctx, upload));
};

/**
 * A mount that cannot be done, or is asked for in a wrong way, begins an upload instead. spec:
 * end-11.
 */
async function mount(ctx: RequestContext): Promise<Answer | undefined> {
  const digest = ctx.query.get("mount");
  if (digest === null) return undefined;
  const repository = ctx.repository();
  const wanted = readDigest(digest);
  const from = ctx.query.get("from");
  const source = from === null || from === "" ? undefined : parseRepositoryName(from);
  if (from !== null && from !== "" && source === undefined) return undefined;
  const mounted = await ctx.registry.blobs.mount(repository, {
    digest: wanted,
    origin: ctx.origin(),
    ...(source === undefined ? {} : { from: source }),
  });
  return mounted === undefined ? undefined : created(ctx, wanted);
}

function created(ctx: RequestContext, digest: ReturnType<typeof readDigest>): Answer {
  return emptyAnswer(201, [
    ["Location", ctx.blobUrl(ctx.repository(), digest)],
    ["Docker-Content-Digest", digest],
  ]);
}

function uploadHeaders(ctx: RequestContext, upload: UploadProgress): HeaderList {
  return [
    ["Location", ctx.uploadUrl(upload)],
    ["Range", uploadRange(upload.offset)],
    ["Docker-Upload-UUID", upload.id],
  ];
}

const status: Handler = async (ctx) => {
  const upload = await ctx.registry.uploads.status(readTarget(ctx));
  return answer(204, uploadHeaders(ctx, upload));
};

const append: Handler = async (ctx) => {
  const target = readTarget(ctx);
  const type = ctx.header("content-type") ?? "";
  if (type !== "" && !type.toLowerCase().startsWith("application/octet-stream")) {
    throw new OciError("BLOB_UPLOAD_INVALID", {
      status: 415,
      message: "a chunk's Content-Type is application/octet-stream",
    });
  }
  const upload = await ctx.registry.uploads.append(target, readUploadBody(ctx));
  return emptyAnswer(202, uploadHeaders(ctx, upload));
};

const finish: Handler = async (ctx) => {
  const target = readTarget(ctx);
  const text = ctx.query.get("digest");
  if (text === null) {
    throw new OciError("DIGEST_INVALID", { message: "the digest parameter is missing" });
  }
  const digest = readDigest(text);
  await ctx.registry.uploads.finish(target, digest, readUploadBody(ctx), ctx.origin());
  return created(ctx, digest);
};

const cancel: Handler = async (ctx) => {
  const target = readTarget(ctx);
  await ctx.registry.uploads.cancel(target);
  return answer(204, [["Docker-Upload-UUID", target.id]]);
};

/** Upload ids as Distribution's route takes them; ours are UUIDs. */
const uploadIdPattern = /^[a-zA-Z0-9_.=-]{1,128}$/;

function readTarget(ctx: RequestContext): UploadTarget {
  const id = ctx.route.last;
  if (uploadIdPattern.test(id)) return { repository: ctx.repository(), id };
  throw new OciError("BLOB_UPLOAD_UNKNOWN", { detail: { upload: id.slice(0, 100) } });
}

function readUploadBody(ctx: RequestContext): UploadBody {
  const state = ctx.query.get("_state");
  if (state !== null && !/^[0-9]{1,15}$/.test(state)) {
    throw new OciError("BLOB_UPLOAD_INVALID", { message: "the upload's URL is not one of ours" });
  }
  const span = chunkSpan(ctx.request);
  return {
    stream: streamWithin(ctx.request, span),
    span,
    expectedOffset: state === null ? undefined : Number(state),
    signal: ctx.request.signal,
  };
}

export const uploads: MethodTable = { POST: begin };

export const upload: MethodTable = {
  GET: status,
  HEAD: status,
  PATCH: append,
  PUT: finish,
  DELETE: cancel,
};
