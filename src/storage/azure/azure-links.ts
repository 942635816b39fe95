/** Signed URLs. */
import type { UserDelegationKey } from "@azure/storage-blob";
import type { AzureAccount } from "./azure-account.ts";

/** What the signature covers, in a version that private clouds and the emulator know as well. */
const sasVersion = "2020-12-06";
/** How long a signed URL can be used, in milliseconds: as Distribution has it. */
const urlMs = 20 * 60 * 1000;
/** How long a key that Azure made for signing is asked to last. It makes none beyond a week. */
const keyMs = 48 * 60 * 60 * 1000;
/** Clocks differ: a key that begins now may begin too late for Azure. In milliseconds. */
const skewMs = 5 * 60 * 1000;
/** How long Azure may take to make a key, in milliseconds. All who sign wait for the same one. */
const keyAttemptMs = 10_000;

export interface LinkedBlob {
  readonly container: string;
  readonly key: string;
  /** Without a signature. */
  readonly url: string;
}

export class AzureLinks {
  readonly #account: AzureAccount;
  readonly #now: () => number;
  #key: { readonly until: number; readonly made: Promise<UserDelegationKey> } | undefined;

  constructor(account: AzureAccount, now: () => number) {
    this.#account = account;
    this.#now = now;
  }

  /** A URL that reads this one blob, by GET and by HEAD. */
  async sign(blob: LinkedBlob): Promise<string | undefined> {
    const { accountName, sdk, signer } = this.#account;
    if (signer === undefined) return undefined;
    const now = this.#now();
    const isSecure = blob.url.startsWith("https:");
    const values = {
      version: sasVersion,
      containerName: blob.container,
      blobName: blob.key,
      permissions: sdk.BlobSASPermissions.parse("r"),
      expiresOn: new Date(now + urlMs),
      ...(isSecure ? { protocol: sdk.SASProtocol.Https } : {}),
    };
    const query =
      signer === "delegation"
        ? sdk.generateBlobSASQueryParameters(values, await this.#delegated(now), accountName)
        : sdk.generateBlobSASQueryParameters(values, signer);
    return `${blob.url}?${query.toString()}`;
  }

  async #delegated(now: number): Promise<UserDelegationKey> {
    // Each URL has to end before its key does.
    if (this.#key === undefined || this.#key.until < now + urlMs + skewMs) {
      const until = now + keyMs;
      const made = this.#account.service.getUserDelegationKey(
        new Date(now - skewMs),
        new Date(until),
        { abortSignal: AbortSignal.timeout(keyAttemptMs) },
      );
      const key = { until, made };
      this.#key = key;
      made.catch(() => {
        if (this.#key === key) this.#key = undefined;
      });
    }
    return await this.#key.made;
  }
}
