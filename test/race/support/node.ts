/** The use cases on a root and a database that several of them share, as processes would. */
import { randomUUID } from "node:crypto";
import type { MetadataStore } from "../../../src/metadata/metadata-store.ts";
import { parseDigest, type Digest } from "../../../src/oci/digest.ts";
import { parseRepositoryName, type RepositoryName } from "../../../src/oci/names.ts";
import { defaultSettings, type RegistrySettings } from "../../../src/registry/context.ts";
import { createUseCases, type Registry } from "../../../src/registry/registry.ts";
import type { UploadBody } from "../../../src/registry/uploads.ts";
import type { BlobStore } from "../../../src/storage/blob-store.ts";
import { nodeFileCalls, type FileCalls } from "../../../src/storage/filesystem-calls.ts";
import { createFilesystemStore } from "../../../src/storage/filesystem.ts";
import { sha256 } from "./random.ts";

export interface Node {
  readonly registry: Registry;
  readonly store: BlobStore;
  readonly metadata: MetadataStore;
  /** What it reported instead of failing. */
  readonly reports: readonly string[];
}

export async function openNode(options: {
  readonly root: string;
  readonly metadata: MetadataStore;
  readonly calls?: FileCalls;
  readonly settings?: Partial<RegistrySettings>;
}): Promise<Node> {
  const { calls = nodeFileCalls, metadata, root, settings } = options;
  const store = await createFilesystemStore({ root, calls });
  const reports: string[] = [];
  const registry = createUseCases({
    metadata,
    store,
    settings: { ...defaultSettings, ...settings },
    now: Date.now,
    newId: randomUUID,
    writer: randomUUID(),
    report: (problem) => reports.push(problem),
  });
  return { registry, store, metadata, reports };
}

export const origin = { cause: "client" } as const;

export function bodyOf(content: Uint8Array | null): UploadBody {
  const stream = content === null ? null : ReadableStream.from([content]);
  return { stream, signal: new AbortController().signal };
}

export function repositoryOf(name: string): RepositoryName {
  return parseRepositoryName(name) ?? fail(name);
}

export function digestOfContent(content: Uint8Array): Digest {
  return parseDigest(sha256(content)) ?? fail("a digest");
}

function fail(what: string): never {
  throw new TypeError(`not ${what}`);
}
