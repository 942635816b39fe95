/** Where bytes and database are, for people to read. Never with a secret in it. */
import { resolve } from "node:path";
import type { Config, StorageConfig } from "../config/config.ts";

export function describeStorage(storage: StorageConfig): string {
  if (storage === "memory") return "memory only: gone when it stops";
  if ("root" in storage) return resolve(storage.root);
  const root = storage.rootDirectory?.replaceAll(/^\/+|\/+$/g, "") ?? "";
  const below = root === "" ? "" : `/${root}`;
  if ("s3" in storage) {
    const { bucket, endpoint, region } = storage.s3;
    return `s3://${bucket}${below} (${withoutCredentials(endpoint) ?? region ?? "AWS"})`;
  }
  if ("azure" in storage) {
    const { accountName, container } = storage.azure;
    return `Azure: account ${accountName}, container ${container}${below}`;
  }
  return `gs://${storage.gcs.bucket}${below}`;
}

export function describeDatabase({ metadata, storage }: Config): string {
  if (metadata === undefined) {
    return storage === "memory" ? "SQLite, in memory" : "SQLite, beside the data";
  }
  if ("sqlite" in metadata) return `SQLite, ${resolve(metadata.sqlite.path)}`;
  const { database, host, port, url } = metadata.postgres;
  const given = url === undefined ? null : URL.parse(url);
  const name = database ?? given?.pathname.slice(1) ?? "";
  const server = host ?? (given === null || given.hostname === "" ? "localhost" : given.hostname);
  const where = [server, port ?? given?.port ?? ""].filter((part) => part !== "").join(":");
  return `PostgreSQL, ${name === "" ? "" : `${name} on `}${where}`;
}

/** User and password, where somebody has put them into the URL. */
function withoutCredentials(url: string | undefined): string | undefined {
  return url?.replace(/^([a-z]+:\/\/)?[^/@]*@/i, "$1");
}
