/** A program of somebody who has installed the package: type-checked and run from its folder. */
import { createHash } from "node:crypto";
import { createRegistry, type RegistryOptions } from "longshore";
import { MetadataUnavailable } from "longshore/metadata";
import { StorageUnavailable, type BlobStore } from "longshore/storage";

const content = "a layer";
const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;

/** What it could be told as well. */
export const elsewhere: RegistryOptions = {
  storage: { s3: { bucket: "images", region: "eu-west-1" }, rootDirectory: "registry" },
  metadata: { postgres: { host: "database.example", tls: { mode: "verify-full" } } },
};

/** A store of one's own has a type, and errors to throw. */
export function isAway(error: unknown, { name }: BlobStore): boolean {
  if (error instanceof StorageUnavailable) return error.store === name;
  return error instanceof MetadataUnavailable;
}

const registry = await createRegistry({ storage: "memory" });
const call = (path: string, init?: RequestInit): Promise<Response> =>
  registry.fetch(new Request(`http://localhost/v2/${path}`, init));

const pushed = await call(`a/b/blobs/uploads/?digest=${digest}`, { method: "POST", body: content });
const pulled = await call(`a/b/blobs/${digest}`);
console.log(pushed.status, pulled.status, await pulled.text());
await registry.close();
