/** Pulling, pushing and deleting manifests and tags. spec: end-3, end-7, end-9. */
import { createHash } from "node:crypto";
import type { ManifestRecord, Origin } from "../metadata/records.ts";
import { algorithmOf, digestOf, type Digest } from "../oci/digest.ts";
import { OciError } from "../oci/errors.ts";
import { parseManifest, type Manifest } from "../oci/manifest.ts";
import {
  baseMediaType,
  dockerManifestList,
  isNonDistributableLayer,
  ociManifest,
} from "../oci/media-types.ts";
import type { RepositoryName, Tag } from "../oci/names.ts";
import type { ManifestReference } from "../oci/reference.ts";
import { deletionDisabled, stillReferenced } from "./blobs.ts";
import type { RegistryContext } from "./context.ts";
import { promiseManifest } from "./promises.ts";
import type { PullTimes } from "./pull-times.ts";

/** A manifest with its bytes. */
export interface PulledManifest {
  readonly id: number;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A manifest without its bytes. */
export type CheckedManifest = Omit<PulledManifest, "bytes"> & { readonly size: number };

export interface PushedManifest {
  readonly digest: Digest;
  readonly subject: Digest | undefined;
  readonly tags: readonly Tag[];
}

export interface ManifestPush {
  readonly reference: ManifestReference;
  readonly contentType: string | undefined;
  readonly bytes: Uint8Array;
  /** More tags for the same manifest. spec: pushing manifests, `tag` parameters. */
  readonly tags: readonly Tag[];
  readonly origin: Origin;
}

export class Manifests {
  readonly #ctx: RegistryContext;
  readonly #pullTimes: PullTimes;

  constructor(ctx: RegistryContext, pullTimes: PullTimes) {
    this.#ctx = ctx;
    this.#pullTimes = pullTimes;
  }

  /** `accept`: the request's Accept headers, joined; `undefined` without any. */
  async pull(
    repository: RepositoryName,
    reference: ManifestReference,
    accept: string | undefined,
  ): Promise<PulledManifest> {
    const record = await this.#ctx.metadata.findManifest(repository, reference, { bytes: true });
    if (record?.bytes === undefined) throw manifestUnknown(reference);
    const { bytes } = record;
    this.#pullTimes.note(record.manifestId);
    if (isWholeListWanted(record, reference, accept)) {
      const { manifestId: id, digest, mediaType } = record;
      return { id, digest, mediaType, bytes };
    }
    const child = await this.#legacyChild(repository, bytes);
    if (child?.bytes === undefined) throw manifestUnknown(reference);
    checkAccept(child, accept);
    const { manifestId: id, digest, mediaType } = child;
    return { id, digest, mediaType, bytes: child.bytes };
  }

  /** Whether the manifest is there, as a promise that it stays for the grace (invariant I4). */
  async check(
    repository: RepositoryName,
    reference: ManifestReference,
    accept: string | undefined,
  ): Promise<CheckedManifest> {
    const record = await this.#ctx.metadata.findManifest(repository, reference, { bytes: false });
    if (record === undefined) throw manifestUnknown(reference);
    if (!isWholeListWanted(record, reference, accept)) {
      const pulled = await this.pull(repository, reference, accept);
      return { ...pulled, size: pulled.bytes.byteLength };
    }
    if (!(await promiseManifest(this.#ctx, record))) throw manifestUnknown(reference);
    const { manifestId: id, digest, mediaType, size } = record;
    return { id, digest, mediaType, size };
  }

  async push(repository: RepositoryName, push: ManifestPush): Promise<PushedManifest> {
    const { reference, bytes } = push;
    const digest = digestOfBytes(reference, bytes);
    const manifest = parseManifest(bytes, push.contentType);
    const tags = "tag" in reference ? [reference.tag] : [...new Set(push.tags)];
    const done = await this.#ctx.metadata.execute("putManifest", {
      repository,
      digest,
      bytes,
      manifest,
      optional: optionalReferences(manifest),
      tags,
      graceMs: this.#ctx.settings.graceMs,
      origin: push.origin,
    });
    if (done.outcome === "missing") throw new MissingReferences(done.digests);
    return { digest, subject: manifest.subject?.digest, tags };
  }

  async delete(
    repository: RepositoryName,
    reference: ManifestReference,
    origin: Origin,
  ): Promise<void> {
    const { metadata, settings } = this.#ctx;
    if (!settings.deleteEnabled) throw deletionDisabled();
    const { graceMs } = settings;
    const done =
      "tag" in reference
        ? await metadata.execute("deleteTag", { repository, tag: reference.tag, graceMs, origin })
        : await metadata.execute("deleteManifest", {
            repository,
            digest: reference.digest,
            force: settings.deleteReferenced === "allow",
            graceMs,
            origin,
          });
    if (done.outcome === "unknown") throw manifestUnknown(reference);
    if (done.outcome === "referenced") throw stillReferenced("manifest", done.manifests);
  }

  /** The linux/amd64 image of a Docker manifest list, which clients older than lists are given. */
  async #legacyChild(
    repository: RepositoryName,
    list: Uint8Array,
  ): Promise<ManifestRecord | undefined> {
    const { references } = parseManifest(list, dockerManifestList);
    const child = references.find(({ descriptor }) => {
      const { platform } = descriptor;
      return platform?.os === "linux" && platform.architecture === "amd64";
    });
    if (child === undefined) return undefined;
    const { digest } = child.descriptor;
    return await this.#ctx.metadata.findManifest(repository, { digest }, { bytes: true });
  }
}

/** One error for each reference whose target the repository lacks. */
export class MissingReferences extends Error {
  override readonly name = "MissingReferences";
  readonly errors: readonly OciError[];

  constructor(digests: readonly Digest[]) {
    super(`the repository lacks ${digests.length} of the manifest's references`);
    this.errors = digests.map(
      (digest) => new OciError("MANIFEST_BLOB_UNKNOWN", { detail: digest }),
    );
  }
}

function manifestUnknown(reference: ManifestReference): OciError {
  return new OciError("MANIFEST_UNKNOWN", {
    detail: "tag" in reference ? { tag: reference.tag } : { digest: reference.digest },
  });
}

/** The manifest's digest: the one it was pushed by, checked, or sha256 under a tag. */
function digestOfBytes(reference: ManifestReference, bytes: Uint8Array): Digest {
  const algorithm = "tag" in reference ? "sha256" : algorithmOf(reference.digest);
  const digest = digestOf(algorithm, createHash(algorithm).update(bytes).digest("hex"));
  if ("digest" in reference && reference.digest !== digest) {
    throw new OciError("DIGEST_INVALID", {
      message: "the manifest's bytes do not have the digest that they were pushed by",
      detail: { expected: reference.digest, actual: digest },
    });
  }
  return digest;
}

/**
 * Foreign layers live elsewhere: with URLs they need not exist here. spec: image-spec, layer.md.
 */
function optionalReferences(manifest: Manifest): readonly Digest[] {
  const optional: Digest[] = [];
  for (const { kind, descriptor } of manifest.references) {
    if (kind !== "layer" || !isNonDistributableLayer(descriptor.mediaType)) continue;
    const urls = descriptor.urls ?? [];
    for (const url of urls) checkLayerUrl(url);
    if (urls.length > 0) optional.push(descriptor.digest);
  }
  return optional;
}

/** As Distribution has it: clients will fetch what stands here. */
function checkLayerUrl(text: string): void {
  const url = URL.parse(text);
  const usable = url !== null && /^https?:$/.test(url.protocol) && url.hash === "";
  if (usable) return;
  throw new OciError("MANIFEST_INVALID", {
    message: "manifest invalid: a layer's URL must be http or https, without a fragment",
    detail: { url: text.slice(0, 200) },
  });
}

/**
 * Whether the manifest is to be served as it is. Clients that have never heard of manifest lists
 * get the linux/amd64 image of a Docker list by tag, as from Distribution.
 */
function isWholeListWanted(
  record: ManifestRecord,
  reference: ManifestReference,
  accept: string | undefined,
): boolean {
  const legacy =
    record.mediaType === dockerManifestList &&
    "tag" in reference &&
    !accepts(accept, record.mediaType);
  if (!legacy) checkAccept(record, accept);
  return !legacy;
}

/**
 * Whether an Accept header takes a media type. Without the header everything is taken; parameters
 * and q are ignored, as Distribution ignores them.
 */
function accepts(accept: string | undefined, mediaType: string): boolean {
  if (accept === undefined) return mediaType !== dockerManifestList;
  if (accept.includes(mediaType) || accept.includes("*/*")) return true;
  return accept.split(",").some((range) => {
    const wanted = baseMediaType(range);
    return wanted === mediaType || wanted === "application/*";
  });
}

/**
 * An OCI image for a client that lists what it takes, and does not list this, is unknown to it: it
 * would fail on it later and less clearly. Other types are served in any case, as Distribution
 * does.
 */
function checkAccept(record: ManifestRecord, accept: string | undefined): void {
  if (record.mediaType !== ociManifest || accept === undefined) return;
  if (accepts(accept, ociManifest)) return;
  throw new OciError("MANIFEST_UNKNOWN", {
    message: `OCI manifest found, but the request's Accept header does not list ${ociManifest}`,
    detail: { digest: record.digest },
  });
}
