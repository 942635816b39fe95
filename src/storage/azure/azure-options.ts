/**
 * The parameters of Distribution's `azure` driver that are the adapter's: `rootdirectory` is the
 * store's, `max_retries` and `retry_delay` are those of whoever makes calls again.
 */

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
