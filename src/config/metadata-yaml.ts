/** The section `metadata`, which is ours: the database. */
import { z } from "zod";
import { poolSizeMin, type PostgresTls } from "../metadata/postgres/postgres-options.ts";
import type { MetadataConfig, PostgresConfig, StorageConfig } from "./config.ts";
import { ConfigError } from "./yaml-problems.ts";
import { duration, flag, integer, said, section, text, word } from "./yaml-values.ts";

const tlsMode = word(["disable", "require", "verify-full"]);

const portMax = 65_535;

const tlsSection = section({
  mode: tlsMode.optional(),
  ca: text.optional(),
  cert: text.optional(),
  key: text.optional(),
  servername: text.optional(),
});

function asMode(tls: unknown): unknown {
  return typeof tls === "string" ? { mode: tls } : tls;
}

const postgresSection = section({
  url: text.optional(),
  host: text.optional(),
  port: integer(1, portMax).optional(),
  user: text.optional(),
  password: text.optional(),
  passwordfile: text.optional(),
  database: text.optional(),
  schema: text.optional(),
  // `tls: verify-full` says all there is to say, as a rule.
  tls: z.preprocess(asMode, tlsSection).optional(),
  pool: integer(poolSizeMin).optional(),
  statementtimeout: duration.optional(),
  connecttimeout: duration.optional(),
  queuetimeout: duration.optional(),
  applicationname: text.optional(),
  preparedstatements: flag.optional(),
}).transform((postgres, context): PostgresConfig => {
  if (postgres.password !== undefined && postgres.passwordfile !== undefined) {
    const message = "cannot be given beside password";
    context.addIssue({ code: "custom", path: ["passwordfile"], message });
  }
  const { tls } = postgres;
  return said({
    url: postgres.url,
    host: postgres.host,
    port: postgres.port,
    user: postgres.user,
    password: postgres.password,
    passwordFile: postgres.passwordfile,
    database: postgres.database,
    schema: postgres.schema,
    tls: tls === undefined ? undefined : tlsOf(tls),
    poolSize: postgres.pool,
    statementTimeoutMs: postgres.statementtimeout,
    connectTimeoutMs: postgres.connecttimeout,
    queueTimeoutMs: postgres.queuetimeout,
    applicationName: postgres.applicationname,
    preparedStatements: postgres.preparedstatements,
  });
});

/** The keys are the same. */
function tlsOf({
  ca,
  cert,
  key,
  mode,
  servername,
}: z.output<typeof tlsSection>): Partial<PostgresTls> {
  return { ...said({ ca, cert, key, servername }), ...(mode === undefined ? {} : { mode }) };
}

export const metadataSection: z.ZodType<MetadataConfig | undefined> = section({
  sqlite: section({ path: text.optional() }).optional(),
  postgres: postgresSection.optional(),
}).transform(({ postgres, sqlite }, context) => {
  if (postgres !== undefined && sqlite !== undefined) {
    const message = "names two databases, sqlite and postgres";
    context.addIssue({ code: "custom", message });
  }
  if (postgres !== undefined) return { postgres };
  return sqlite?.path === undefined ? undefined : { sqlite: { path: sqlite.path } };
});

const required = `metadata: is required when the bytes lie in an object store. For one node:

    metadata:
      sqlite:
        path: /var/lib/longshore/metadata.db

For any number of nodes:

    metadata:
      postgres:
        url: postgres://longshore@database.example/longshore
        passwordfile: /run/secrets/postgres-password`;

/** An object store has no place of its own for a database. */
export function checkMetadata(metadata: MetadataConfig | undefined, storage: StorageConfig): void {
  const isHere = storage === "memory" || "root" in storage;
  if (metadata === undefined && !isHere) throw new ConfigError(required);
}
