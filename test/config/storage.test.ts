/** What all storage drivers share: which one, redirects, middlewares, maintenance, caches. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { defaultUpkeepSettings } from "../../src/jobs/settings.ts";
import { assertRefused, parseBeside, parseStorage, problemsOf } from "./parsing.ts";

const folder = "filesystem: {rootdirectory: /data}";

describe("the driver", () => {
  test("one that there is not any more is refused, with where to go", () => {
    for (const driver of ["swift", "oss"]) {
      const [problem = ""] = problemsOf(() => parseStorage(`${driver}: {bucket: b}`));
      assert.match(problem, new RegExp(`^storage\\.${driver}: Distribution removed this driver`));
      assert.match(problem, /s3/);
    }
  });

  test("it is one, and one that is known", () => {
    const known = "there are filesystem, inmemory, s3, s3aws, azure, gcs";
    assertRefused(
      () => parseStorage("delete: {enabled: true}"),
      `storage: names no driver; ${known}`,
    );
    assertRefused(
      () => parseStorage(`${folder}\ns3: {bucket: b}`),
      "storage: names two drivers, filesystem and s3",
    );
    assertRefused(
      () => parseStorage("ftp: {host: h}"),
      `storage.ftp: there is no such driver; ${known}`,
    );
  });
});

test("redirects can be switched off", () => {
  assert.equal(parseStorage(folder).http.redirect, undefined);
  assert.equal(parseStorage(`${folder}\nredirect: {disable: false}`).http.redirect, true);
  assert.equal(parseStorage(`${folder}\nredirect: {disable: true}`).http.redirect, false);
  assertRefused(
    () => parseStorage(`${folder}\nredirect: {disable: maybe}`),
    'storage.redirect.disable: must be true or false; found "maybe"',
  );
});

describe("maintenance", () => {
  test("without a word about it the jobs are Distribution's, and ours", () => {
    assert.deepEqual(parseStorage(folder).upkeep, defaultUpkeepSettings);
  });

  test("abandoned uploads go when the file says so", () => {
    const { upkeep, warnings } = parseStorage(`
${folder}
maintenance:
  uploadpurging:
    enabled: true
    age: 240h
    interval: 12h30m
    dryrun: "true"
  readonly:
    enabled: false
`);
    assert.deepEqual(upkeep, {
      ...defaultUpkeepSettings,
      purge: { enabled: true, ageMs: 864_000_000, intervalMs: 45_000_000, dryRun: true },
    });
    assert.deepEqual(warnings, []);
  });

  test("our own jobs can be set, too", () => {
    const { upkeep } = parseStorage(`
${folder}
maintenance:
  uploadpurging: {enabled: false}
  collect: {interval: 10m}
  sweep: {enabled: false, interval: 48h, grace: 72h}
  lease: 30s
  firstdelay: 0s
`);
    const { purge, ...rest } = defaultUpkeepSettings;
    assert.deepEqual(upkeep, {
      ...rest,
      purge: { ...purge, enabled: false },
      collect: { enabled: true, intervalMs: 600_000 },
      sweep: { enabled: false, intervalMs: 172_800_000, graceMs: 259_200_000 },
      leaseMs: 30_000,
      firstDelayMaxMs: 0,
    });
  });

  test("a job without a pause is refused, and so is read-only mode", () => {
    assertRefused(
      () => parseStorage(`${folder}\nmaintenance: {sweep: {interval: 0s, grace: long}}`),
      'storage.maintenance.sweep.interval: must be a duration above 0, such as 24h; found "0s"',
      'storage.maintenance.sweep.grace: must be a duration such as 30s or 1h30m; found "long"',
    );
    assertRefused(
      () => parseStorage(`${folder}\nmaintenance: {readonly: {enabled: true}}`),
      "storage.maintenance.readonly: read-only mode is not in this version",
    );
  });
});

test("what Distribution needs and Longshore does not is told once, with the reason", () => {
  const { warnings } = parseStorage(`
filesystem: {rootdirectory: /data, maxthreads: 100}
cache: {blobdescriptor: redis, blobdescriptorsize: 10000}
tag: {concurrencylimit: 8}
distributionkeys: true
redirect:
`);
  const paths = warnings.map((warning) => warning.split(": not needed: ")[0]);
  assert.deepEqual(paths, [
    "storage.cache",
    "storage.tag",
    "storage.filesystem.maxthreads",
    "storage.distributionkeys",
  ]);

  const redis = "redis: {addrs: ['cache:6379'], password: p, pool: {maxidle: 16}}";
  const [warning, ...others] = parseBeside(redis).warnings;
  assert.match(warning ?? "", /^redis: not needed: /);
  assert.deepEqual(others, []);
});

test("a cache that Distribution does not know is refused", () => {
  assertRefused(
    () => parseStorage(`${folder}\ncache: {blobdescriptor: memcached, layerinfo: inmemory}`),
    'storage.cache.blobdescriptor: must be one of inmemory, redis; found "memcached"',
  );
});

describe("middleware.storage", () => {
  test("the three that there are, in their order; what is disabled need not be right", () => {
    const { links, warnings } = parseBeside(`
middleware:
  registry: []
  storage:
    - name: cloudfront
      options:
        baseurl: https://my.cloudfronted.domain.com/
        privatekey: /path/to/pem
        keypairid: cloudfrontkeypairid
        duration: 3000s
        ipfilteredby: awsregion
        awsregion: us-east-1, EU-west-2
        updatefrenquency: 6h
        iprangesurl: https://ranges.example/list.json
    - name: alicdn
      disabled: true
    - name: redirect
      disabled: false
      options: {baseurl: "https://example.com/base"}
    - name: rewrite
      options: {scheme: https, host: cdn.example, trimpathprefix: /bucket}
`);
    assert.deepEqual(links, [
      {
        kind: "cloudfront",
        baseUrl: "https://my.cloudfronted.domain.com/",
        privateKeyPath: "/path/to/pem",
        keyPairId: "cloudfrontkeypairid",
        durationMs: 3_000_000,
        ipFilter: { regions: ["us-east-1", "eu-west-2"] },
        updateFrequencyMs: 21_600_000,
        ipRangesUrl: "https://ranges.example/list.json",
      },
      { kind: "redirect", baseUrl: "https://example.com/base" },
      { kind: "rewrite", scheme: "https", host: "cdn.example", trimPathPrefix: "/bucket" },
    ]);
    assert.deepEqual(warnings, []);
  });

  test("cloudfront needs no more than its address and its key", () => {
    const options = "{baseurl: d1.cloudfront.net, privatekey: /k.pem, keypairid: K, foo: 1}";
    const { links, warnings } = parseBeside(
      `middleware: {storage: [{name: cloudfront, options: ${options}}]}`,
    );
    assert.deepEqual(links, [
      {
        kind: "cloudfront",
        baseUrl: "d1.cloudfront.net",
        privateKeyPath: "/k.pem",
        keyPairId: "K",
        ipFilter: "none",
      },
    ]);
    assert.deepEqual(warnings, ["middleware.storage.0.options.foo has no effect in this version"]);
  });

  test("what is wrong is told by its place in the list", () => {
    const lines = `
middleware:
  storage:
    - name: unknown
    - name: redirect
      options: {baseurl: example.com}
    - name: cloudfront
      options: {baseurl: a, privatekey: /k, keypairid: K, ipfilteredby: awsregion}
    - name: cloudfront
`;
    assertRefused(
      () => parseBeside(lines),
      "middleware.storage.0.name: must be one of cloudfront, redirect, rewrite; " +
        'found "unknown"',
      "middleware.storage.1.options.baseurl: must be a URL with a scheme and a host; " +
        'found "example.com"',
      "middleware.storage.2.options.awsregion: is required with ipfilteredby: awsregion",
      "middleware.storage.3.options.baseurl: is required",
      "middleware.storage.3.options.privatekey: is required",
      "middleware.storage.3.options.keypairid: is required",
    );
  });
});
