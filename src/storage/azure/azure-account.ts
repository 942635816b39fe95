/** The vendor's client, set up: one try per call, on our own HTTP. */
import type * as Identity from "@azure/identity";
import type * as Sdk from "@azure/storage-blob";
import type {
  BlobServiceClient,
  StoragePipelineOptions,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { VendorHttp, type VendorHttpOptions } from "../objects/vendor/http.ts";
import { azureHttpClient } from "./azure-http.ts";
import type { AzureCredentials, AzureOptions } from "./azure-options.ts";

export type AzureSdk = typeof Sdk;

export interface AzureAccount {
  readonly accountName: string;
  readonly sdk: AzureSdk;
  readonly service: BlobServiceClient;
  /**
   * What signs URLs: the account's key, or a key that is asked of Azure. `undefined`: nothing does,
   * for all that was given is a signature.
   */
  readonly signer: StorageSharedKeyCredential | "delegation" | undefined;
  readonly http: VendorHttp;
}

/** Azure's own cloud. */
const defaultRealm = "core.windows.net";

export interface AccountSurroundings {
  /** HTTPS_PROXY and the like. Default: no proxy. */
  readonly proxyEnv?: VendorHttpOptions["proxyEnv"];
  /** Gives tokens in place of `credentials`, for a registry that is embedded. */
  readonly token?: Identity.TokenCredential | undefined;
}

export async function openAccount(
  options: AzureOptions,
  { proxyEnv, token: given }: AccountSurroundings,
): Promise<AzureAccount> {
  const sdk = await loadSdk();
  const http = new VendorHttp({ skipVerify: options.skipVerify, proxyEnv });
  const client: StoragePipelineOptions = {
    httpClient: azureHttpClient(http),
    // Others try again.
    retryOptions: { maxTries: 1 },
  };
  const { accountName, connectionString } = options;
  const account = { accountName, sdk, http };
  const credentials = given === undefined ? options.credentials : undefined;
  if (credentials === undefined && connectionString !== undefined && given === undefined) {
    const service = fromConnectionString(sdk, connectionString, client);
    const { credential } = service;
    const isKey = credential instanceof sdk.StorageSharedKeyCredential;
    return { ...account, service, signer: isKey ? credential : undefined };
  }
  const url = serviceUrl(options);
  if (credentials?.type === "shared_key") {
    const signer = sharedKey(sdk, accountName, credentials.accountKey);
    const service = new sdk.BlobServiceClient(url, signer, client);
    return { ...account, service, signer };
  }
  const token = given ?? (await tokenCredential(credentials));
  const service = new sdk.BlobServiceClient(url, token, client);
  return { ...account, service, signer: "delegation" };
}

async function loadSdk(): Promise<AzureSdk> {
  try {
    return await import("@azure/storage-blob");
  } catch (cause) {
    throw new Error("storage.azure needs the package @azure/storage-blob: npm install it", {
      cause,
    });
  }
}

async function tokenCredential(
  credentials: Exclude<AzureCredentials, { readonly type: "shared_key" }> | undefined,
): Promise<Identity.TokenCredential> {
  const identity = await loadIdentity();
  if (credentials?.type !== "client_secret") return new identity.DefaultAzureCredential();
  const { clientId, secret, tenantId } = credentials;
  return new identity.ClientSecretCredential(tenantId, clientId, secret);
}

async function loadIdentity(): Promise<typeof Identity> {
  try {
    return await import("@azure/identity");
  } catch (cause) {
    const reason = "without accountkey needs the package @azure/identity: npm install it";
    throw new Error(`storage.azure ${reason}`, { cause });
  }
}

function serviceUrl({ accountName, realm, serviceUrl: given }: AzureOptions): string {
  const url = given ?? `https://${accountName}.blob.${realm ?? defaultRealm}`;
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new Error(`storage.azure.${given === undefined ? "realm" : "serviceurl"}: not a URL`);
  }
  return url.replace(/\/+$/, "");
}

function sharedKey(sdk: AzureSdk, name: string, key: string): StorageSharedKeyCredential {
  if (!/^[\w+/-]+=*$/.test(key)) throw new Error("storage.azure.accountkey: not base64");
  return new sdk.StorageSharedKeyCredential(name, key);
}

function fromConnectionString(
  sdk: AzureSdk,
  text: string,
  client: StoragePipelineOptions,
): BlobServiceClient {
  try {
    return sdk.BlobServiceClient.fromConnectionString(text, client);
  } catch {
    // What the client says of it may quote the key.
    throw new Error("storage.azure.connectionstring: cannot be read");
  }
}
