/** The database, how many processes answer, and that no secret gets into a message. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseDistributionYaml } from "../../src/config/distribution-yaml.ts";
import { assertRefused, parseBeside, problemsOf } from "./parsing.ts";

describe("metadata", () => {
  test("a file of one's own for SQLite", () => {
    assert.deepEqual(parseBeside("metadata: {sqlite: {path: /var/lib/db}}").metadata, {
      sqlite: { path: "/var/lib/db" },
    });
    assert.equal(parseBeside("metadata:").metadata, undefined);
    assert.equal(parseBeside("metadata: {sqlite: }").metadata, undefined);
  });

  test("PostgreSQL by its URL", () => {
    const lines = "metadata: {postgres: {url: 'postgres://db/longshore', passwordfile: /run/pw}}";
    assert.deepEqual(parseBeside(lines).metadata, {
      postgres: { url: "postgres://db/longshore", passwordFile: "/run/pw" },
    });
  });

  test("PostgreSQL by its fields", () => {
    const { metadata, warnings } = parseBeside(`
metadata:
  postgres:
    host: db.internal
    port: "5433"
    user: longshore
    password: 1234
    database: registry
    schema: longshore
    tls: {mode: verify-full, ca: /ca.pem, cert: /cert.pem, key: /key.pem, servername: db}
    pool: 20
    statementtimeout: 15s
    connecttimeout: 3s
    queuetimeout: 4s
    applicationname: node-1
    preparedstatements: false
`);
    assert.deepEqual(metadata, {
      postgres: {
        host: "db.internal",
        port: 5433,
        user: "longshore",
        password: "1234",
        database: "registry",
        schema: "longshore",
        tls: {
          mode: "verify-full",
          ca: "/ca.pem",
          cert: "/cert.pem",
          key: "/key.pem",
          servername: "db",
        },
        poolSize: 20,
        statementTimeoutMs: 15_000,
        connectTimeoutMs: 3000,
        queueTimeoutMs: 4000,
        applicationName: "node-1",
        preparedStatements: false,
      },
    });
    assert.deepEqual(warnings, []);
  });

  test("TLS in one word", () => {
    const { metadata } = parseBeside("metadata: {postgres: {host: db, tls: require}}");
    assert.deepEqual(metadata, { postgres: { host: "db", tls: { mode: "require" } } });
  });

  test("what cannot be is refused by its path", () => {
    assertRefused(
      () => parseBeside("metadata: {postgres: {host: db}, sqlite: {path: /db}}"),
      "metadata: names two databases, sqlite and postgres; found a map of keys",
    );
    assertRefused(
      () => parseBeside("metadata: {postgres: {password: p, passwordfile: /p}}"),
      "metadata.postgres.passwordfile: cannot be given beside password",
    );
    assertRefused(
      () => parseBeside("metadata: {postgres: {port: 70000, pool: 1, tls: {mode: perhaps}}}"),
      "metadata.postgres.port: must be a whole number from 1 to 65535; found 70000",
      "metadata.postgres.tls.mode: must be one of disable, require, verify-full; " +
        'found "perhaps"',
      "metadata.postgres.pool: must be a whole number of at least 2; found 1",
    );
  });

  test("an object store needs a database, and is told how both look", () => {
    const text = "version: 0.1\nstorage: {s3: {bucket: b, region: eu-west-1}}\n";
    const problems = problemsOf(() => parseDistributionYaml(text));
    assert.match(problems[0] ?? "", /^metadata: is required /);
    // The examples are taken as they stand there.
    for (const kind of ["sqlite", "postgres"]) {
      const at = problems.findIndex((line) => line.trim() === `${kind}:`);
      const end = problems.indexOf("", at);
      const example = problems.slice(at - 1, end === -1 ? undefined : end);
      const { metadata } = parseDistributionYaml(`${text}${outdent(example)}`);
      assert.deepEqual(Object.keys(metadata ?? {}), [kind]);
    }
  });
});

function outdent(lines: readonly string[]): string {
  return lines.map((line) => line.slice(4)).join("\n");
}

test("how many processes answer", () => {
  assert.equal(parseBeside("").http.workers, 1);
  assert.equal(parseBeside("http: {workers: 4}").http.workers, 4);
  assert.equal(parseBeside("http: {workers: '2'}").http.workers, 2);
  assert.equal(parseBeside("http: {workers: auto}").http.workers, "auto");
  for (const wrong of ["0", "1.5", "many"]) {
    const found = wrong === "many" ? '"many"' : wrong;
    assertRefused(
      () => parseBeside(`http: {workers: ${wrong}}`),
      `http.workers: must be a number from 1 to 1024, or auto; found ${found}`,
    );
  }
});

test("no message quotes a secret", () => {
  const files = {
    s3: "storage: {s3: {accesskey: [hunter2], secretkey: {a: hunter2}, keyid: [hunter2]}}",
    azure:
      "storage: {azure: {accountkey: [hunter2], connectionstring: [hunter2], " +
      "credentials: {type: hunter2, secret: [hunter2]}}}",
    gcs: "storage: {gcs: {credentials: hunter2}}",
    postgres:
      "storage: inmemory\nmetadata: {postgres: {url: ['postgres://u:hunter2@h/d'], " +
      "password: [hunter2], passwordfile: [hunter2]}}",
    "broken YAML": "storage:\n  s3:\n    secretkey: hunter2: a: b",
    "an unknown alias": "storage: {s3: {secretkey: *hunter2 }}",
  };
  for (const [name, lines] of Object.entries(files)) {
    const problems = problemsOf(() => parseDistributionYaml(`version: 0.1\n${lines}\n`));
    assert.doesNotMatch(problems.join("\n"), /hunter2/, name);
  }
});
