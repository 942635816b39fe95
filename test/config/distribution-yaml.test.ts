/** Distribution's config file: what is taken over, what is refused, what is warned of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, parseDistributionYaml } from "../../src/config/distribution-yaml.ts";
import { parseGoDuration, parseListenAddress } from "../../src/config/go-values.ts";
import { defaultUpkeepSettings } from "../../src/jobs/settings.ts";

const minimal = "version: 0.1\nstorage: {filesystem: {rootdirectory: /data}}\n";

test("the package's own example is taken as it is", () => {
  const config = parseDistributionYaml(`
version: 0.1
log:
  level: DEBUG
  formatter: json
  accesslog: {disabled: yes}
  fields: {service: registry}
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: on
http:
  addr: 127.0.0.1:5000
  host: https://registry.example/base/
  prefix: /team/
  relativeurls: true
  draintimeout: 1m30s
  headers:
    X-Content-Type-Options: [nosniff]
    X-Two: [a, b]
  debug: {addr: ":5001", prometheus: {enabled: true}}
`);
  assert.deepEqual(config, {
    log: { level: "debug", format: "json", accessLog: false, fields: { service: "registry" } },
    storage: { root: "/var/lib/registry" },
    metadata: undefined,
    links: [],
    deleteEnabled: true,
    deleteReferenced: "deny",
    uploadLeaseMs: undefined,
    upkeep: defaultUpkeepSettings,
    http: {
      listen: { host: "127.0.0.1", port: 5000 },
      drainMs: 90_000,
      workers: 1,
      host: "https://registry.example/base",
      prefix: "/team",
      relativeUrls: true,
      headers: [
        ["X-Content-Type-Options", "nosniff"],
        ["X-Two", "a"],
        ["X-Two", "b"],
      ],
    },
    debug: { listen: { host: undefined, port: 5001 }, prometheusPath: "/metrics" },
    warnings: [],
  });
});

test("without storage.delete.enabled nothing can be deleted", () => {
  assert.equal(parseDistributionYaml(minimal).deleteEnabled, false);
});

test("storage may be a bare word", () => {
  const { storage } = parseDistributionYaml("version: 0.1\nstorage: inmemory\n");
  assert.equal(storage, "memory");
});

test("what cannot be honoured and must not be ignored is refused by its path", () => {
  const refused = {
    auth: "auth: {htpasswd: {realm: r, path: /p}}",
    "auth, whatever stands beside it": "auth: {token: {realm: r}, enabled: false}",
    proxy: "proxy: {remoteurl: 'https://upstream.example'}",
    "http.tls": "http: {tls: {certificate: /c, key: /k}}",
    "http.net": "http: {net: unix, addr: ':5000'}",
    "middleware.registry": "middleware: {registry: [{name: any}]}",
    "middleware.repository": "middleware: {repository: [{name: any}]}",
    policy: "policy: {repository: {classes: [image]}}",
  };
  for (const [path, line] of Object.entries(refused)) {
    const [key = path] = path.split(",");
    assert.throws(
      () => parseDistributionYaml(`${minimal}${line}\n`),
      (error) => error instanceof ConfigError && error.message.startsWith(`${key}: `),
      path,
    );
  }
});

test("what is switched off is not refused", () => {
  for (const line of ["auth: none", "auth: {none: {}}", "auth:", "http: {net: tcp}"]) {
    assert.ok(parseDistributionYaml(`${minimal}${line}\n`), line);
  }
});

test("a bad value is an error that names its key", () => {
  const bad = {
    "log.level": "log: {level: loud}",
    "http.addr": "http: {addr: nowhere}",
    "http.host": "http: {host: registry.example}",
    "http.draintimeout": "http: {draintimeout: soon}",
    "http.headers.X-Bad.0": 'http: {headers: {X-Bad: ["a\\r\\nb"]}}',
    "storage.s3.bucket": "storage: {s3: {region: eu-west-1}}",
    storage: "storage: {filesystem: {}, inmemory: {}}",
    version: "version: 0.2",
  };
  for (const [path, line] of Object.entries(bad)) {
    assert.throws(
      () => parseDistributionYaml(`${minimal}${line}\n`),
      (error) => error instanceof ConfigError && error.message.includes(`${path}: `),
      path,
    );
  }
  for (const text of ["", "[]", "version: 0.1", "version: 0.1\nstorage:\n", "a: b: c"]) {
    assert.throws(() => parseDistributionYaml(text), ConfigError, text);
  }
});

test("a key without effect is a warning with its path", () => {
  const { warnings } = parseDistributionYaml(`${minimal}tags: {maxtags: 5}\nhttp: {http2: {}}\n`);
  assert.deepEqual(warnings, [
    "tags has no effect in this version",
    "http.http2 has no effect in this version",
  ]);
});

test("durations are Go's, and a bare number is nanoseconds", () => {
  const known = { "30s": 30_000, "1h30m": 5_400_000, "250ms": 250, "1.5s": 1500, "0": 0 };
  for (const [text, ms] of Object.entries(known)) assert.equal(parseGoDuration(text), ms, text);
  assert.equal(parseGoDuration(5_000_000), 5);
  for (const text of ["", "30", "s", "-1s", "1 s", "1x"]) {
    assert.equal(parseGoDuration(text), undefined, text);
  }
});

test("listen addresses have a port and perhaps a host", () => {
  assert.deepEqual(parseListenAddress(":5000"), { host: undefined, port: 5000 });
  assert.deepEqual(parseListenAddress("[::1]:80"), { host: "::1", port: 80 });
  for (const text of ["5000", "host", "::1:80", ":70000", ":x"]) {
    assert.equal(parseListenAddress(text), undefined, text);
  }
});
