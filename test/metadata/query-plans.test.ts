/**
 * Every statement finds its rows by an index: what it costs does not grow with the registry. SQLite
 * itself is asked how it goes about each of them.
 */
import assert from "node:assert/strict";
import { subscribe } from "node:diagnostics_channel";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import { metadataStoreContract } from "../../src/metadata/contract.ts";
import { migrations } from "../../src/metadata/sql/migrations.ts";
import { prepareReads } from "../../src/metadata/sql/reads.ts";
import { sqliteDialect } from "../../src/metadata/sqlite/sqlite-dialect.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";

const dialect = sqliteDialect();
const reads = prepareReads(dialect);

interface Read {
  readonly sql: string;
}

/** An empty database; how SQLite goes about a query does not depend on what is in it. */
function schema(): DatabaseSync {
  const database = new DatabaseSync(":memory:");
  for (const { statements } of migrations) {
    for (const statement of statements(dialect)) database.exec(statement);
  }
  return database;
}

function stepsOf(database: DatabaseSync, query: string): readonly string[] {
  const steps = database.prepare(`explain query plan ${query}`).all();
  return steps.map(({ detail }) => String(detail));
}

/**
 * Steps that read a whole table or index. Rows that the statement brings along are no table, and
 * `store` has one row.
 */
function scans(steps: readonly string[]): readonly string[] {
  return steps.filter((step) => /^SCAN (?!CONSTANT ROW|\d+-ROW VALUES|store$)/.test(step));
}

/** The index, or its first columns, by which a table is searched. */
function searched(steps: readonly string[], table: string): string | undefined {
  const step = steps.find((each) => each.startsWith(`SEARCH ${table} `));
  return step?.match(/\((.*)\)/)?.[1];
}

suite("reads", () => {
  const { upkeep, ...others } = reads;
  const texts = Object.entries({ ...others, ...upkeep }).map(([name, read]: [string, Read]) => [
    name,
    read.sql,
  ]);
  for (const [name = "", sql = ""] of texts) {
    test(`${name} reads no whole table`, () => {
      const steps = stepsOf(schema(), sql);
      assert.notEqual(steps.length, 0);
      assert.deepEqual(scans(steps), [], steps.join("\n"));
      // What is read in order need not be sorted.
      assert(!steps.some((step) => step.includes("ORDER BY")), steps.join("\n"));
    });
  }

  test("pages begin where the one before ended, however far that is", () => {
    const database = schema();
    for (const [name, table, by] of [
      ["tags", "tags", "repository=? AND name>?"],
      ["repositories", "repositories", "name>?"],
      ["referrers", "manifests", "repository=? AND subject=? AND digest>?"],
      ["referrersOfType", "manifests", "repository=? AND subject=? AND <expr>=? AND digest>?"],
      ["changes", "changes", "rowid>?"],
    ] as const) {
      const steps = stepsOf(database, reads[name].sql);
      assert.equal(searched(steps, table), by, steps.join("\n"));
    }
  });
});

/** The statements that were run, with places for their values. */
const executed = new Set<string>();

subscribe("sqlite.db.query", (message) => {
  const { sql } = message as { readonly sql: string };
  executed.add(sql.replaceAll(/x?'(?:[^']|'')*'|\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b/gi, "?"));
});

await metadataStoreContract("SQLite in memory", () => openSqliteStore({ path: ":memory:" }));

suite("every statement of the contract", () => {
  test("reads no whole table", () => {
    const database = schema();
    const queries = [...executed].filter(
      (each) => /^(select|insert|update|delete)\b/i.test(each) && !each.includes("migrations"),
    );
    assert(queries.length > 50, `${queries.length} statements`);
    const slow = queries.flatMap((query) => {
      const steps = stepsOf(database, query);
      return scans(steps).length === 0 ? [] : [`${query}\n    ${steps.join("\n    ")}`];
    });
    assert.deepEqual(slow, [], slow.join("\n"));
  });

  test("closes a tag's history without reading all of it", () => {
    const update = [...executed].find((query) => query.startsWith('update "tag_history"'));
    assert(update !== undefined);
    const steps = stepsOf(schema(), update);
    const expected = [
      "INTEGER PRIMARY KEY (rowid=?)",
      "tag_history_name (repository=? AND name=?)",
    ];
    assert.equal(steps.length, 3, steps.join("\n"));
    for (const way of expected)
      assert(
        steps.some((step) => step.endsWith(way)),
        steps.join("\n"),
      );
  });

  test("has an index for each way from a row to those that refer to it", () => {
    const database = schema();
    const rows = (query: string) => database.prepare(query).all() as Record<string, string>[];
    const tables = rows("select name from sqlite_schema where type = 'table'");
    for (const { name: table = "" } of tables) {
      const indexes = rows(`pragma index_list(${table})`).map(
        ({ name = "" }) => rows(`pragma index_info("${name}")`)[0]?.["name"],
      );
      const [key] = rows(`select name from pragma_table_info('${table}') where pk = 1`);
      for (const { from } of rows(`pragma foreign_key_list(${table})`)) {
        const found = [key?.["name"], ...indexes].includes(from);
        assert(found, `${table}.${from} refers to a row, and no index begins with it`);
      }
    }
  });
});
