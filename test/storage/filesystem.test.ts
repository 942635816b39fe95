import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { blobStoreContract } from "../../src/storage/contract.ts";
import { createFilesystemStore } from "../../src/storage/filesystem.ts";

const folder = await mkdtemp(join(tmpdir(), "longshore-storage-"));
after(() => rm(folder, { recursive: true }));

await blobStoreContract("filesystem", async () =>
  createFilesystemStore({ root: await mkdtemp(join(folder, "root-")) }),
);
