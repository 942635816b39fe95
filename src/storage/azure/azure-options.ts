/** The parameters of Distribution's `azure` driver, and what of them the adapter itself reads. */

/** How to be let in. Without any: what the machine offers (`default_credentials`). */
export type AzureCredentials =
  | {
      readonly type: "client_secret";
      readonly tenantId: string;
      readonly clientId: string;
      readonly secret: string;
    }
  | { readonly type: "shared_key"; readonly accountKey: string }
  /** Environment, workload identity, managed identity, developer tools: the SDK's own chain. */
  | { readonly type: "default_credentials" };

export interface AzureOptions {
  /** `accountname`. */
  readonly accountName: string;
  readonly container: string;
  /** `accountkey` at the top level is `{ type: "shared_key" }` here. */
  readonly credentials?: AzureCredentials | undefined;
  /**
   * `connectionstring`: where the account is and how to be let in, unless there are `credentials`.
   * With a key in it URLs are signed; with a signature they are not.
   */
  readonly connectionString?: string | undefined;
  /** The domain below `<account>.blob.`; `core.windows.net` unless given. */
  readonly realm?: string | undefined;
  /** `serviceurl`: the whole URL of the account's blob service, e.g. of a private cloud. */
  readonly serviceUrl?: string | undefined;
  /** `skipverify`: takes any TLS certificate. */
  readonly skipVerify?: boolean | undefined;
  /** Bytes of a block; 8 MiB unless given. No parameter of Distribution's. */
  readonly chunkBytes?: number | undefined;
}

/** The driver's other parameters, which are the business of others. */
export interface AzureParameters extends AzureOptions {
  /** `rootdirectory`: the prefix of every key. The engine's. */
  readonly rootDirectory?: string | undefined;
  /** `max_retries`: 5 unless given. An adapter tries once; the decorator repeats. */
  readonly maxRetries?: number | undefined;
  /** `retry_delay` in milliseconds: 100 unless given. The decorator's too. */
  readonly retryDelayMs?: number | undefined;
}
