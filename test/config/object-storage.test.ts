/** `storage.s3`, `storage.azure` and `storage.gcs`, as Distribution 2 and 3 spell them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertRefused, parseStorage } from "./parsing.ts";

describe("s3", () => {
  test("every parameter of version 3 is taken over under its name", () => {
    const { storage, warnings } = parseStorage(`
s3:
  accesskey: AKIAEXAMPLE
  secretkey: wJalr/EXAMPLE
  region: us-west-1
  regionendpoint: http://myobjects.local:9000
  forcepathstyle: true
  accelerate: false
  bucket: bucketname
  encrypt: true
  keyid: mykeyid
  secure: false
  skipverify: true
  v4auth: true
  chunksize: 5242880
  multipartcopychunksize: 33554432
  multipartcopymaxconcurrency: 100
  multipartcopythresholdsize: 33554433
  rootdirectory: /s3/object/name/prefix
  storageclass: STANDARD_IA
  objectacl: bucket-owner-full-control
  useragent: registry/1
  usedualstack: true
  usefipsendpoint: true
  redirectendpoint: https://cdn.example
  loglevel: debug
`);
    assert.deepEqual(storage, {
      s3: {
        accessKey: "AKIAEXAMPLE",
        secretKey: "wJalr/EXAMPLE",
        region: "us-west-1",
        endpoint: "http://myobjects.local:9000",
        forcePathStyle: true,
        accelerate: false,
        bucket: "bucketname",
        encrypt: true,
        keyId: "mykeyid",
        secure: false,
        skipVerify: true,
        v4Auth: true,
        chunkSize: 5_242_880,
        copyChunkSize: 33_554_432,
        copyConcurrency: 100,
        copyThreshold: 33_554_433,
        storageClass: "STANDARD_IA",
        objectAcl: "bucket-owner-full-control",
        userAgent: "registry/1",
        useDualStack: true,
        useFipsEndpoint: true,
        redirectEndpoint: "https://cdn.example",
        logLevel: "debug",
      },
      rootDirectory: "/s3/object/name/prefix",
      distributionKeys: false,
    });
    assert.deepEqual(warnings, []);
  });

  test("it is also called s3aws, and what is not said is left to the adapter", () => {
    const { storage } = parseStorage("s3aws: {bucket: b, region: eu-west-1}");
    assert.deepEqual(storage, {
      s3: { bucket: "b", region: "eu-west-1" },
      rootDirectory: undefined,
      distributionKeys: false,
    });
  });

  test("strings and numbers stand for what they say, and empty values for none", () => {
    const { storage } = parseStorage(`
s3:
  bucket: 20261121
  region: ""
  regionendpoint: s3.local
  accesskey: 1234
  secretkey:
  secure: "false"
  encrypt: "1"
  forcepathstyle: "T"
  usedualstack: off
  chunksize: "10485760"
  multipartcopythresholdsize: "0"
  loglevel: off
`);
    assert.ok(typeof storage === "object" && "s3" in storage);
    assert.deepEqual(storage.s3, {
      bucket: "20261121",
      endpoint: "s3.local",
      accessKey: "1234",
      secure: false,
      encrypt: true,
      forcePathStyle: true,
      useDualStack: false,
      chunkSize: 10_485_760,
      copyThreshold: 0,
      logLevel: "off",
    });
  });

  test("committed content may lie under Distribution's keys", () => {
    const { storage } = parseStorage("s3: {bucket: b, region: r}\ndistributionkeys: true");
    assert.ok(typeof storage === "object" && "distributionKeys" in storage);
    assert.equal(storage.distributionKeys, true);
  });

  test("what it cannot be told is refused by its path, with what is allowed", () => {
    const lines = `
s3:
  region: eu-west-1
  encrypt: maybe
  secure: 2
  chunksize: 5.5
  multipartcopymaxconcurrency: none
  useragent: [a]
  loglevel: loud
`;
    assertRefused(
      () => parseStorage(lines),
      "storage.s3.bucket: is required",
      'storage.s3.encrypt: must be true or false; found "maybe"',
      "storage.s3.secure: must be true or false; found 2",
      "storage.s3.chunksize: must be a whole number of at least 1; found 5.5",
      'storage.s3.multipartcopymaxconcurrency: must be a whole number of at least 1; found "none"',
      "storage.s3.useragent: must be text, in quotes where it looks like something else; " +
        "found a list",
      "storage.s3.loglevel: must be one of off, debug, debugwithsigning, debugwithhttpbody, " +
        "debugwithrequestretries, debugwithrequesterrors, debugwitheventstreambody; found " +
        '"loud"',
    );
    assertRefused(
      () => parseStorage("s3: [bucket]"),
      "storage.s3: must be a map of keys; found a list",
    );
  });
});

describe("azure", () => {
  test("version 2's parameters: an account and its key", () => {
    const lines = "azure: {accountname: acme, accountkey: a2V5, container: images, realm: r.net}";
    assert.deepEqual(parseStorage(lines).storage, {
      azure: {
        accountName: "acme",
        container: "images",
        credentials: { type: "shared_key", accountKey: "a2V5" },
        realm: "r.net",
      },
      rootDirectory: undefined,
      resilience: {},
      distributionKeys: false,
    });
  });

  test("version 3's parameters: ways to be let in, retries", () => {
    const { storage } = parseStorage(`
azure:
  accountname: acme
  container: images
  rootdirectory: /az/prefix
  serviceurl: https://acme.blob.internal
  connectionstring: UseDevelopmentStorage=true
  credentials:
    type: client_secret
    clientid: c
    tenantid: t
    secret: s
  max_retries: "10"
  retry_delay: 200ms
  skipverify: "true"
`);
    assert.deepEqual(storage, {
      azure: {
        accountName: "acme",
        container: "images",
        credentials: { type: "client_secret", clientId: "c", tenantId: "t", secret: "s" },
        connectionString: "UseDevelopmentStorage=true",
        serviceUrl: "https://acme.blob.internal",
        skipVerify: true,
      },
      rootDirectory: "/az/prefix",
      resilience: { attempts: 11, backoffMs: 200 },
      distributionKeys: false,
    });
  });

  test("the machine's own credentials, said or by default", () => {
    const account = "accountname: acme, container: images";
    const said = parseStorage(
      `azure: {${account}, accountkey: unused, credentials: {type: default_credentials}}`,
    );
    const silent = parseStorage(`azure: {${account}}`);
    const options = { accountName: "acme", container: "images" };
    const rest = { rootDirectory: undefined, resilience: {}, distributionKeys: false };
    const credentials = { type: "default_credentials" };
    assert.deepEqual(said.storage, { azure: { ...options, credentials }, ...rest });
    assert.deepEqual(silent.storage, { azure: options, ...rest });
  });

  test("credentials that are not whole are refused", () => {
    const account = "accountname: acme, container: images";
    assertRefused(
      () => parseStorage(`azure: {${account}, credentials: {type: client_secret}}`),
      "storage.azure.credentials.clientid: is required with client_secret",
      "storage.azure.credentials.tenantid: is required with client_secret",
      "storage.azure.credentials.secret: is required with client_secret",
    );
    assertRefused(
      () => parseStorage(`azure: {${account}, credentials: {type: shared_key}}`),
      "storage.azure.accountkey: is required with shared_key",
    );
    assertRefused(
      () => parseStorage("azure: {credentials: {clientid: c}, retry_delay: soon}"),
      "storage.azure.accountname: is required",
      "storage.azure.container: is required",
      "storage.azure.credentials.type: is required",
      'storage.azure.retry_delay: must be a duration such as 30s or 1h30m; found "soon"',
    );
  });
});

describe("gcs", () => {
  test("every parameter is taken over", () => {
    const { storage, warnings } = parseStorage(`
gcs:
  bucket: images
  rootdirectory: /gcs/prefix
  credentials:
    type: service_account
    project_id: p
    private_key: k
  chunksize: "5242880"
  maxconcurrency: 80
  useragent: registry/1
`);
    assert.deepEqual(storage, {
      gcs: {
        bucket: "images",
        credentials: { type: "service_account", project_id: "p", private_key: "k" },
        chunkBytes: 5_242_880,
        maxConcurrency: 80,
        userAgent: "registry/1",
      },
      rootDirectory: "/gcs/prefix",
      distributionKeys: false,
    });
    assert.deepEqual(warnings, []);
  });

  test("a key file goes before credentials, as in Distribution", () => {
    const { storage } = parseStorage("gcs: {bucket: b, keyfile: /key.json, credentials: {a: b}}");
    assert.deepEqual(storage, {
      gcs: { bucket: "b", keyFile: "/key.json" },
      rootDirectory: undefined,
      distributionKeys: false,
    });
  });

  test("a part that Google would not take is refused", () => {
    assertRefused(
      () => parseStorage("gcs: {chunksize: 300000, credentials: secret}"),
      "storage.gcs.bucket: is required",
      "storage.gcs.credentials: must be a map of keys",
      "storage.gcs.chunksize: must be a number of bytes, a multiple of 262144; found 300000",
    );
  });
});
