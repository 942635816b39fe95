/** A container on an Azure server. */
import { randomBytes } from "node:crypto";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import type { AzureAccess } from "../../servers/azurite.ts";

/** Resolves with its name. */
export async function createContainer({ account, endpoint, key }: AzureAccess): Promise<string> {
  const service = new BlobServiceClient(endpoint, new StorageSharedKeyCredential(account, key));
  const name = `longshore-${randomBytes(6).toString("hex")}`;
  await service.createContainer(name);
  return name;
}
