/** What of the PostgreSQL store needs no server: its options, its values, its errors. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import type { ConnectionOptions } from "node:tls";
import { MetadataUnavailable } from "../../src/metadata/metadata-store.ts";
import { parseBytes, parseInteger } from "../../src/metadata/postgres/column-values.ts";
import { clientConfig } from "../../src/metadata/postgres/connection-config.ts";
import { ConnectionLost, failureKind, toStoreError } from "../../src/metadata/postgres/errors.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { settle } from "../../src/metadata/postgres/repeated-commands.ts";
import { pendingMigrations, type Migration } from "../../src/metadata/sql/migrations.ts";

suite("where the server is, and who we are", () => {
  test("a URL says all of it", () => {
    const url = "postgres://us%40er:p%2Fw%3A@db.example:6543/na%20me?application_name=node-1";
    const { application_name, database, host, password, port, ssl, user } = clientConfig({ url });
    const expected = ["us@er", "p/w:", "db.example", 6543, "na me", "node-1", false];
    assert.deepEqual([user, password, host, port, database, application_name, ssl], expected);
  });

  test("what is given apart goes before it, and what is not given has a default", () => {
    const url = "postgresql://user:secret@one.example/first";
    const given = clientConfig({ url, host: "two.example", password: undefined, schema: "ours" });
    assert.deepEqual(
      [given.host, given.port, given.password, given.database],
      ["two.example", 5432, "secret", "first"],
    );
    assert.match(given.options ?? "", /-c search_path="ours"$/);
    const none = clientConfig({});
    assert.deepEqual(
      [none.host, none.port, none.application_name],
      ["localhost", 5432, "longshore"],
    );
    assert.equal(none.statement_timeout, 10_000);
    assert.equal(none.idle_in_transaction_session_timeout, 5000);
  });

  test("addresses and sockets", () => {
    assert.equal(clientConfig({ url: "postgres://[::1]:5433/a" }).host, "::1");
    const socket = clientConfig({ url: "postgres:///a?host=/run/postgresql" });
    assert.deepEqual([socket.host, socket.database], ["/run/postgresql", "a"]);
  });

  test("settings with blanks are one setting", () => {
    const options = clientConfig({ schema: String.raw`a b"c\d` }).options ?? "";
    assert.match(options, /default_transaction_isolation=read\\ committed /);
    assert(options.endsWith(String.raw`search_path="a\ b""c\\d"`), options);
  });

  test("what is wrong or unknown is refused, and no password is quoted", () => {
    const refused: readonly [string, RegExp][] = [
      ["no url, secret", /is not a URL$/],
      ["mysql://user:secret@host/name", /must begin with postgres:\/\//],
      ["postgres://user:secret@host/name?sslmode=prefer", /must be one of disable, require/],
      ["postgres://user:secret@host/name?pool_size=3", /has the parameter pool_size; known are/],
    ];
    for (const [url, message] of refused) {
      assert.throws(
        () => clientConfig({ url }),
        (error: Error) => message.test(error.message) && !error.message.includes("secret"),
      );
    }
  });
});

suite("TLS", () => {
  const tlsOf = (options: Parameters<typeof clientConfig>[0]): ConnectionOptions => {
    const { ssl } = clientConfig(options);
    assert(typeof ssl === "object");
    return ssl;
  };

  test("require encrypts, verify-full asks who it is", () => {
    assert.equal(tlsOf({ tls: { mode: "require" } }).rejectUnauthorized, false);
    assert.equal(tlsOf({ url: "postgres://host/a?sslmode=require" }).rejectUnauthorized, false);
    assert.equal(tlsOf({ tls: { mode: "verify-full" } }).rejectUnauthorized, true);
    assert.equal(tlsOf({ tls: { servername: "db" } }).rejectUnauthorized, true);
    assert.equal(clientConfig({ tls: { mode: "disable" } }).ssl, false);
    assert.equal(clientConfig({ tls: {} }).ssl, false);
  });

  test("files are read, and belong together", async () => {
    const folder = await mkdtemp(join(tmpdir(), "longshore-postgres-"));
    after(() => rm(folder, { recursive: true }));
    const [ca, cert, key] = ["ca", "cert", "key"].map((name) => join(folder, name));
    for (const path of [ca, cert, key]) await writeFile(path ?? "", `content of ${path}`);
    const given = tlsOf({ tls: { ca, cert, key } });
    assert.deepEqual(
      [given.ca, given.cert, given.key],
      [ca, cert, key].map((path) => `content of ${path}`),
    );
    assert.throws(() => clientConfig({ tls: { cert } }), /a certificate needs its key/);
    assert.throws(() => clientConfig({ tls: { ca: join(folder, "none") } }), /ENOENT/);
    const socket = { host: "/run/postgresql", tls: { mode: "require" } } as const;
    assert.throws(() => clientConfig(socket), /socket of PostgreSQL has no TLS/);
  });
});

suite("values", () => {
  test("whole numbers are safe ones, or an error", () => {
    assert.equal(parseInteger("-9007199254740991"), Number.MIN_SAFE_INTEGER);
    for (const text of ["9007199254740992", "9223372036854775807", "1.5", "NaN"]) {
      assert.throws(() => parseInteger(text), RangeError);
    }
  });

  test("bytes are bytes of their own", () => {
    const bytes = parseBytes(String.raw`\x00ff7f`);
    assert.deepEqual(bytes, new Uint8Array([0, 255, 127]));
    assert.equal(bytes.buffer.byteLength, 3);
    assert.equal(parseBytes(String.raw`\x`).byteLength, 0);
    for (const text of [String.raw`\xzz`, "00ff", String.raw`\x0`, String.raw`a\000b`]) {
      assert.throws(() => parseBytes(text), RangeError);
    }
  });
});

suite("errors", () => {
  const sent = (code: string): Error =>
    Object.assign(new Error(`error ${code}`), { code, severity: "ERROR" });

  test("mean that it is tried again, or later, or never", () => {
    const kinds = ["40P01", "40001", "57P01", "08006", "25P03", "57014", "53100", "23505"];
    assert.deepEqual(
      kinds.map((code) => failureKind(sent(code))),
      ["conflict", "conflict", "lost", "lost", "lost", "busy", "busy", "other"],
    );
    assert.equal(failureKind(new ConnectionLost("gone")), "lost");
    // Not the server's, though it has a code.
    assert.equal(failureKind(Object.assign(new Error("no file"), { code: "08006" })), "other");
  });

  test("are told as such, or as a database that cannot be asked", () => {
    const clash = sent("23505");
    assert.equal(toStoreError(clash), clash);
    const told = toStoreError(sent("57014"));
    assert(told instanceof MetadataUnavailable);
    assert.equal(told.message, "PostgreSQL: error 57014");
    assert.equal(toStoreError(told), told);
  });

  test("a server that is not there is told after a few seconds", async () => {
    let now = 0;
    // Each look at the clock is a second later.
    const timing = { now: () => (now += 1000), random: () => 0 };
    const options = { host: "127.0.0.1", port: 9, user: "nobody", password: "" };
    await assert.rejects(openPostgresStore(options, timing), (error) => {
      assert(error instanceof MetadataUnavailable);
      assert.match(error.message, /^PostgreSQL: connect ECONNREFUSED 127\.0\.0\.1:9$/);
      return true;
    });
  });
});

suite("a command that was run twice", () => {
  test("is told as it went the first time, where the second one could only find it done", () => {
    const [deleted, unknown] = [{ outcome: "deleted" }, { outcome: "unknown" }] as const;
    assert.deepEqual(settle("deleteTag", deleted, unknown), deleted);
    assert.deepEqual(settle("deleteBlob", unknown, unknown), unknown);
    const upload = { id: "1" } as never;
    const first = { outcome: "acquired", upload, previousWriter: "before" } as const;
    const second = { ...first, previousWriter: undefined };
    assert.deepEqual(settle("acquireUpload", first, second), first);
    assert.deepEqual(settle("acquireUpload", second, first), first);
    const committed = { outcome: "committed", repositoryId: 1, blobId: 2 } as const;
    assert.equal(settle("commitUpload", committed, { outcome: "lost" }), "unknown");
    assert.deepEqual(settle("commitUpload", committed, committed), committed);
    const missing = { outcome: "missing", digests: [] } as const;
    assert.deepEqual(settle("putManifest", { outcome: "stored" }, missing), missing);
  });
});

suite("migrations", () => {
  const known: readonly Migration[] = [1, 2, 3].map((version) => ({
    version,
    compatibleFrom: 1,
    statements: () => [],
  }));
  const versionsOf = (applied: Parameters<typeof pendingMigrations>[0]): readonly number[] =>
    pendingMigrations(applied, known).map(({ version }) => version);

  test("go on where the database is, unless it is beyond this code", () => {
    assert.deepEqual(versionsOf([]), [1, 2, 3]);
    assert.deepEqual(versionsOf([{ version: 1, compatible_from: null }]), [2, 3]);
    assert.deepEqual(versionsOf([{ version: 3, compatible_from: 1 }]), []);
    assert.deepEqual(versionsOf([{ version: 4, compatible_from: 3 }]), []);
    assert.throws(() => versionsOf([{ version: 4, compatible_from: 4 }]), /is of version 4/);
    assert.throws(() => versionsOf([{ version: 4, compatible_from: null }]), /newer Longshore/);
    // The strictest of those that are not known counts.
    const mixed = [
      { version: 4, compatible_from: 4 },
      { version: 5, compatible_from: 1 },
    ];
    assert.throws(() => versionsOf(mixed), /is of version 5/);
  });
});
