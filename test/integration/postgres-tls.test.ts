/** TLS to a real PostgreSQL: who is believed, and who is not. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, test } from "node:test";
import { Client } from "pg";
import { MetadataUnavailable } from "../../src/metadata/metadata-store.ts";
import type { PostgresOptions } from "../../src/metadata/postgres/postgres-options.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { run } from "../e2e/processes.ts";
import { quietly, until } from "../servers/server.ts";
import { startPostgres } from "../servers/servers.ts";

const folder = await mkdtemp(join(tmpdir(), "longshore-tls-"));
const [certificate, key] = [join(folder, "server.crt"), join(folder, "server.key")];

/** Signed by itself: it is its own authority. */
async function makeCertificate(): Promise<void> {
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", key, "-out", certificate];
  await run(["openssl", "req", "-x509", "-days", "2", ...kind, ...names, ...files], quietly());
  if (process.getuid?.() === 0) {
    await run(["chown", "-R", "postgres:postgres", folder], quietly());
  }
}

const server = await startPostgres({ own: true });
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});
await makeCertificate();
const admin = new Client({ connectionString: server.endpoint });
await admin.connect();
await admin.query(`alter system set ssl_cert_file = '${certificate}'`);
await admin.query(`alter system set ssl_key_file = '${key}'`);
await admin.query("alter system set ssl = on");
await admin.query("select pg_reload_conf()");
await until("TLS", async () => {
  const { rows } = await admin.query<{ ssl: string }>("show ssl");
  return rows[0]?.ssl === "on";
});

/** Whether the sessions of a store with these options are encrypted. */
async function isEncrypted(tls: PostgresOptions["tls"], host: string): Promise<boolean> {
  const { port } = new URL(server.endpoint);
  const who = { user: "postgres", password: "postgres", database: "postgres" };
  const options = { host, port: Number(port), ...who, tls, applicationName: "who" };
  const timing = { now: () => performance.now(), random: () => 0 };
  const store = await openPostgresStore(options, timing);
  const { rows } = await admin.query<{ ssl: boolean }>(
    `select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'who'`,
  );
  await store.close();
  assert(rows.length > 0);
  return rows.every(({ ssl }) => ssl);
}

function isUnavailable(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof MetadataUnavailable && message.test(error.message);
}

describe("a connection to PostgreSQL", () => {
  after(() => admin.end());

  test("is encrypted only where that is asked for", async () => {
    assert.equal(await isEncrypted(undefined, "127.0.0.1"), false);
    assert.equal(await isEncrypted({ mode: "require" }, "127.0.0.1"), true);
    assert.equal(await isEncrypted({ mode: "require" }, "localhost"), true);
  });

  test("believes a certificate for the host's name, of a known authority", async () => {
    assert.equal(await isEncrypted({ ca: certificate }, "localhost"), true);
    const named = { mode: "verify-full", ca: certificate, servername: "localhost" } as const;
    assert.equal(await isEncrypted(named, "127.0.0.1"), true);
  });

  test("is refused where the authority is not known, or the name another one", async () => {
    await assert.rejects(
      isEncrypted({ mode: "verify-full" }, "localhost"),
      isUnavailable(/self-signed certificate/),
    );
    await assert.rejects(
      isEncrypted({ ca: certificate }, "127.0.0.1"),
      isUnavailable(/does not match certificate's altnames/),
    );
    const misnamed = { ca: certificate, servername: "db.example" };
    await assert.rejects(isEncrypted(misnamed, "localhost"), isUnavailable(/altnames/));
  });
});
