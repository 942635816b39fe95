/** `storage.azure` and `storage.gcs`: the parameters of Distribution 2 and 3. */
import { z } from "zod";
import type { AzureCredentials } from "../storage/azure/azure-options.ts";
import type { ObjectStorage } from "./config.ts";
import { duration, flag, integer, said, section, text, value, word } from "./yaml-values.ts";

type Problem = (key: string, message: string) => void;

const credentialKinds = ["client_secret", "shared_key", "default_credentials"] as const;

const azureShape = {
  accountname: text,
  accountkey: text.optional(),
  container: text,
  connectionstring: text.optional(),
  credentials: section({
    type: word(credentialKinds),
    clientid: text.optional(),
    tenantid: text.optional(),
    secret: text.optional(),
  }).optional(),
  realm: text.optional(),
  rootdirectory: text.optional(),
  serviceurl: text.optional(),
  max_retries: integer(0, 100).optional(),
  retry_delay: duration.optional(),
  skipverify: flag.optional(),
};

export const azureSection: z.ZodType<ObjectStorage> = section(azureShape).transform(
  (azure, context): ObjectStorage => {
    const problem: Problem = (key, message) =>
      context.addIssue({ code: "custom", path: key.split("."), message });
    return {
      azure: said({
        accountName: azure.accountname,
        container: azure.container,
        credentials: azureCredentials(azure, problem),
        connectionString: azure.connectionstring,
        realm: azure.realm,
        serviceUrl: azure.serviceurl,
        skipVerify: azure.skipverify,
      }),
      rootDirectory: azure.rootdirectory,
      resilience: azureRetries(azure.max_retries, azure.retry_delay),
    };
  },
);

/** In Distribution no retries at all cannot be asked for: 0 is its default. */
function azureRetries(
  retries: number | undefined,
  delayMs: number | undefined,
): ObjectStorage["resilience"] {
  const tries = retries === undefined || retries === 0 ? {} : { attempts: retries + 1 };
  return { ...tries, ...(delayMs === undefined ? {} : { backoffMs: delayMs }) };
}

/** Version 2 has only an account's key; version 3 also names how to be let in. */
function azureCredentials(
  azure: {
    readonly accountkey?: string | undefined;
    readonly credentials?:
      | {
          readonly type: (typeof credentialKinds)[number];
          readonly clientid?: string | undefined;
          readonly tenantid?: string | undefined;
          readonly secret?: string | undefined;
        }
      | undefined;
  },
  problem: Problem,
): AzureCredentials | undefined {
  const { accountkey: accountKey, credentials } = azure;
  const type = credentials?.type ?? (accountKey === undefined ? undefined : "shared_key");
  if (type === "client_secret") {
    const { clientid, secret, tenantid } = credentials ?? {};
    for (const [key, given] of Object.entries({ clientid, tenantid, secret })) {
      if (given === undefined) problem(`credentials.${key}`, "is required with client_secret");
    }
    return { type, clientId: clientid ?? "", tenantId: tenantid ?? "", secret: secret ?? "" };
  }
  if (type === "shared_key") {
    if (accountKey === undefined) problem("accountkey", "is required with shared_key");
    return { type, accountKey: accountKey ?? "" };
  }
  return type === undefined ? undefined : { type };
}

/** What Google asks of the parts of a resumable upload. */
const gcsPartUnit = 256 * 1024;

const gcsChunk = value("must be a number of bytes, a multiple of 262144", (given) => {
  const bytes = integer(gcsPartUnit).safeParse(given).data;
  return bytes === undefined || bytes % gcsPartUnit !== 0 ? undefined : bytes;
});

export const gcsSection: z.ZodType<ObjectStorage> = section({
  bucket: text,
  keyfile: text.optional(),
  // A service account's key; whose keys they are is Google's business.
  credentials: z.record(z.string(), z.unknown()).optional(),
  rootdirectory: text.optional(),
  chunksize: gcsChunk.optional(),
  maxconcurrency: integer(0).optional(),
  useragent: text.optional(),
}).transform((gcs): ObjectStorage => ({
  gcs: said({
    bucket: gcs.bucket,
    keyFile: gcs.keyfile,
    // Distribution looks at the file first.
    credentials: gcs.keyfile === undefined ? gcs.credentials : undefined,
    chunkBytes: gcs.chunksize,
    maxConcurrency: gcs.maxconcurrency,
    userAgent: gcs.useragent,
  }),
  rootDirectory: gcs.rootdirectory,
}));
