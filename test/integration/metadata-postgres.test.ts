/**
 * The metadata store's contract on a real PostgreSQL, whose own order is not that of bytes; and how
 * the server goes about each of its statements.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client } from "pg";
import { metadataStoreContract } from "../../src/metadata/contract.ts";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { postgresDialect } from "../../src/metadata/postgres/postgres-dialect.ts";
import type { PostgresOptions } from "../../src/metadata/postgres/postgres-options.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { bind, type PreparedQuery } from "../../src/metadata/sql/prepared.ts";
import { prepareReads } from "../../src/metadata/sql/reads.ts";
import type { TestDatabase } from "./support/database.ts";
import { freshDatabase, timing } from "./support/interleaving.ts";

/** The statements that commands ran. */
const executed = new Set<string>();

function opener({ url }: TestDatabase, options: PostgresOptions): () => Promise<MetadataStore> {
  const beforeStatement = (_command: unknown, sql: string): void => void executed.add(sql);
  return () => openPostgresStore({ url, ...options }, { ...timing, beforeStatement });
}

const database = await freshDatabase();
const open = opener(database, {});
await metadataStoreContract("PostgreSQL", open, { openSecond: open });

// As behind a pooler, with as few connections as can be, and in a schema of its own.
const plain = { preparedStatements: false, poolSize: 2, schema: "registry" };
const openPlain = opener(await freshDatabase(), plain);
await metadataStoreContract("PostgreSQL, without kept statements", openPlain, {
  openSecond: openPlain,
});

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Cond"?: string;
  readonly Plans?: readonly PlanNode[];
  readonly "Shared Hit Blocks"?: number;
  readonly "Shared Read Blocks"?: number;
}

function nodesOf(plan: PlanNode): readonly PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

/** What an error says of a plan. */
function told(plan: PlanNode): string {
  const steps = nodesOf(plan).map((node) => {
    const { "Index Cond": by = "", "Relation Name": on = "", "Node Type": what } = node;
    return `${what} ${on} ${by} (${node["Shared Hit Blocks"] ?? 0} pages)`;
  });
  return ["", ...steps].join("\n  ");
}

/** A session that plans as ours do: for whatever values a kept statement may get. */
async function planner(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query("set plan_cache_mode = force_generic_plan; set enable_seqscan = off");
  return client;
}

async function explain(
  client: Client,
  sql: string,
  values?: readonly (string | number)[],
): Promise<PlanNode> {
  const places = Math.max(0, ...[...sql.matchAll(/\$(\d+)/g)].map(([, digits]) => Number(digits)));
  const literals =
    values?.map((value) => (typeof value === "number" ? String(value) : `'${value}'`)) ??
    Array.from({ length: places }, () => "null");
  const how = values === undefined ? "format json" : "analyze, buffers, format json";
  const list = literals.length === 0 ? "" : `(${literals.join(", ")})`;
  await client.query(`prepare planned as ${sql}`);
  const { rows } = await client.query<{ "QUERY PLAN": readonly { readonly Plan: PlanNode }[] }>(
    `explain (${how}) execute planned${list}`,
  );
  await client.query("deallocate planned");
  const plan = rows[0]?.["QUERY PLAN"][0]?.Plan;
  assert(plan !== undefined);
  return plan;
}

describe("how the server goes about it", () => {
  test("every statement of the contract finds its rows by an index", async () => {
    const client = await planner(database.url);
    const statements = [...executed].filter((sql) => /^(select|insert|update|delete)/.test(sql));
    assert(statements.length > 60, `${statements.length} statements`);
    const slow: string[] = [];
    for (const sql of statements) {
      const nodes = nodesOf(await explain(client, sql));
      const scans = nodes.filter((node) => node["Node Type"] === "Seq Scan");
      // Of the store there is one row.
      if (scans.some((node) => node["Relation Name"] !== "store")) slow.push(sql);
    }
    await client.end();
    assert.deepEqual(slow, []);
  });

  test("a read costs the same in a large registry, and a page wherever it begins", async () => {
    const client = await planner(database.url);
    await fill(client);
    const reads = prepareReads(postgresDialect());
    const values = {
      repository: "large",
      digest: digestOf(40_000),
      subject: digestOf(0),
      tag: "v09999",
      id: "upload-09999",
      artifactType: "type/1",
      limit: 20,
    };
    for (const [name, after] of [
      ["manifestBytesByTag", ""],
      ["manifestBytesByDigest", ""],
      ["blobByDigest", ""],
      ["blobByAnyDigest", ""],
      ["blobAnywhere", ""],
      ["upload", ""],
      ["annotationsOf", ""],
      ["tags", ""],
      ["tags", "v15000"],
      ["repositories", ""],
      ["repositories", "r15000"],
      ["referrers", ""],
      ["referrers", digestOf(15_000)],
      ["referrersOfType", ""],
      ["referrersOfType", digestOf(15_000)],
    ] as const) {
      const read = reads[name] as PreparedQuery<Record<string, unknown>, unknown>;
      const bound = bind(read, { ...values, after }) as (string | number)[];
      const plan = await explain(client, read.sql, bound);
      const pages = (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
      assert(pages < 150, `${name} after ${after} reads ${pages} pages: ${told(plan)}`);
    }
    const unused = bind(reads.upkeep.unused, { after: 0, limit: 20, now: 1 }) as number[];
    const candidates = await explain(client, reads.upkeep.unused.sql, unused);
    assert((candidates["Shared Hit Blocks"] ?? 0) < 500, told(candidates));
    const changes = bind(reads.changes, { after: 15_000, limit: 20 }) as number[];
    const page = await explain(client, reads.changes.sql, changes);
    assert((page["Shared Hit Blocks"] ?? 0) < 50, told(page));
    await client.end();
  });

  test("a command in a large repository costs what it costs in a small one", async () => {
    const client = await planner(database.url);
    const [repository, blob] = [1_000_000, 1_000_001];
    const digests = [1, 2, 3, 4].map((index) => digestOf(30_000 + index));
    const statements: readonly [RegExp, readonly (string | number)[]][] = [
      [
        /^select "blobs"."id", "blobs"."digest" from "blobs".* in \((\$\d+(, )?){4}\)/,
        ["live", ...digests, repository],
      ],
      [/^select "waiting"/, [blob, blob, repository, 0]],
    ];
    await client.query("begin");
    for (const [pattern, values] of statements) {
      const sql = [...executed].find((each) => pattern.test(each));
      assert(sql !== undefined, String(pattern));
      const plan = await explain(client, sql, values);
      const pages = (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
      assert(pages < 150, `${sql} reads ${pages} pages: ${told(plan)}`);
    }
    await client.query("rollback");
    await client.end();
  });
});

function digestOf(index: number): string {
  return `sha256:${String(index).padStart(64, "0")}`;
}

/** A registry of 20,000 repositories, one of which has 20,000 tags and as many referrers. */
async function fill(client: Client): Promise<void> {
  const digest = "'sha256:' || lpad(n::text, 64, '0')";
  const many = "generate_series(1, 20000) as n";
  await client.query(`
    insert into repositories (id, name, state, created_at)
      select 1000000 + n, 'r' || lpad(n::text, 5, '0'), 'live', 0 from ${many};
    insert into repositories (id, name, state, created_at) values (1000000, 'large', 'live', 0);
    insert into manifests (id, repository, digest, media_type, subject, size, annotations,
        config_media_type, pushed_at)
      select 1000000 + n, 1000000, ${digest}, 'type', '${digestOf(0)}', 1, '{}',
        'type/' || n % 2, 0 from ${many};
    insert into payloads (digest, bytes) select ${digest}, 'bytes' from ${many};
    insert into payloads (digest, bytes) values ('${digestOf(40_000)}', 'bytes');
    insert into manifests (id, repository, digest, media_type, size, pushed_at)
      values (1040000, 1000000, '${digestOf(40_000)}', 'type', 1, 0);
    insert into tags (repository, name, manifest, updated_at)
      select 1000000, 'v' || lpad(n::text, 5, '0'), 1000000 + n, 0 from ${many};
    insert into blobs (id, digest, size, key, state, created_at, verified_at)
      select 1000000 + n, 'sha256:' || lpad((n + 30000)::text, 64, '0'), 1, 'key ' || n, 'live', 0, 0
      from ${many};
    insert into repository_blobs (repository, blob, linked_at)
      select 1000000, 1000000 + n, 0 from ${many} where n <= 19000;
    insert into repository_blobs (repository, blob, linked_at)
      select 1000000 + n, 1010000, 0 from ${many};
    insert into manifest_blobs (manifest, blob, kind)
      select 1000001, 1000000 + n, 'layer' from generate_series(1, 5) as n;
    insert into manifest_missing (repository, digest, manifest, kind)
      select 1000000, 'missing ' || n, 1000002, 'layer' from ${many};
    insert into manifest_missing (repository, digest, manifest, kind)
      select 1000000 + n, 'missing', 1000002, 'layer' from ${many};
    update blobs set review_after = 0 where id > 1019000;
    insert into uploads (id, repository, "offset", algorithm, digests_so_far, store_state,
        writer_epoch, created_at, updated_at)
      select 'upload-' || lpad(n::text, 5, '0'), 1000000, 0, '', '', '', 0, 0, 0 from ${many};
    insert into changes (at, kind, cause, repository_id, repository, version, position)
      select 0, 'blob.push', 'client', 1, 'r', 1, 1000000 + n from ${many};
    analyze`);
}
