/**
 * Who the adapter is to Google. The vendor's package finds the credentials (a service account's
 * key, a machine's identity, another cloud's) and gets tokens for them. Its own requests are not
 * used: they cannot be cancelled, send bodies through several streams, and know no multipart
 * uploads.
 */
import { readFile } from "node:fs/promises";
import type * as Sdk from "@google-cloud/storage";
import { tokenError } from "./gcs-errors.ts";
import type { GcsCredentials, GcsOptions } from "./gcs-options.ts";

export interface GcsSigner {
  /** The service account's address. */
  readonly email: string;
  /** Resolves with the signature, hexadecimal. */
  readonly sign: (text: string) => Promise<string>;
}

export interface GcsAccount {
  /** Where the service is, without a slash at the end. */
  readonly endpoint: string;
  /** What lets a request in. */
  headers(): Promise<Readonly<Record<string, string>>>;
  /** `undefined`: there is no key here that could sign. */
  signer(): Promise<GcsSigner | undefined>;
}

/** Throws an Error that names the parameter that is wrong, or the package that is missing. */
export async function openAccount(options: GcsOptions): Promise<GcsAccount> {
  const { anonymous, endpoint, keyFile } = options;
  if (endpoint !== undefined && !/^https?:\/\/[^/]/.test(endpoint)) {
    throw new Error("storage.gcs: the endpoint is not a URL");
  }
  const credentials =
    options.credentials ?? (keyFile === undefined ? undefined : await readKey(keyFile));
  const { Storage } = await loadSdk();
  const storage = new Storage({
    ...(endpoint === undefined ? {} : { apiEndpoint: endpoint, useAuthWithCustomEndpoint: true }),
    // It warns of keys that come from strangers; these are the operator's.
    // oxlint-disable-next-line typescript/no-deprecated
    ...(credentials === undefined ? {} : { credentials }),
  });
  const { apiEndpoint } = storage;
  const found = { endpoint: apiEndpoint.replace(/\/+$/, "") };
  if (anonymous === true)
    return { ...found, headers: async () => ({}), signer: async () => undefined };
  return {
    ...found,
    headers: async () => await headersOf(storage),
    signer: async () => await signerOf(storage),
  };
}

async function headersOf({ authClient }: Sdk.Storage): Promise<Readonly<Record<string, string>>> {
  try {
    return Object.fromEntries(await authClient.getRequestHeaders());
  } catch (error) {
    throw tokenError(error);
  }
}

async function signerOf({ authClient }: Sdk.Storage): Promise<GcsSigner | undefined> {
  try {
    const client = await authClient.getClient();
    // A service account's. Others could ask Google to sign, which is a request for each URL.
    const { email, key } = client as { readonly email?: unknown; readonly key?: unknown };
    if (typeof email !== "string" || typeof key !== "string") return undefined;
    const sign = async (text: string): Promise<string> =>
      Buffer.from(await authClient.sign(text), "base64").toString("hex");
    return { email, sign };
  } catch (error) {
    throw tokenError(error);
  }
}

async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import("@google-cloud/storage");
  } catch (cause) {
    throw new Error("storage.gcs needs the package @google-cloud/storage: npm install it", {
      cause,
    });
  }
}

async function readKey(path: string): Promise<GcsCredentials> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new Error(`storage.gcs.keyfile: ${path} cannot be read`, { cause });
  }
  try {
    return JSON.parse(text) as GcsCredentials;
  } catch {
    // What the parser says would quote the file.
    throw new Error(`storage.gcs.keyfile: ${path} is not JSON`);
  }
}
