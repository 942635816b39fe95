/**
 * Opens a database: `migrating-process.ts URL open`. With `stop` it stops itself amid the first
 * migration, whose lock it holds, and goes on when it is told to.
 */
import process from "node:process";
import { openPostgresStore } from "../../../src/metadata/postgres/postgres-store.ts";
import { migrations, type Migration } from "../../../src/metadata/sql/migrations.ts";

const [url, mode] = process.argv.slice(2);

let hasStopped = false;

function stopping(migration: Migration): Migration {
  return {
    ...migration,
    statements: (dialect) => {
      if (!hasStopped) {
        hasStopped = true;
        process.stdout.write("amid a migration\n");
        process.kill(process.pid, "SIGSTOP");
      }
      return migration.statements(dialect);
    },
  };
}

const store = await openPostgresStore(
  { url },
  {
    now: () => performance.now(),
    random: Math.random,
    migrations: mode === "stop" ? migrations.map(stopping) : migrations,
    migrationLimits: { idleMs: 500 },
  },
);
await store.close();
