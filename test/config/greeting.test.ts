/** How storage and database are told to people when the server starts: never with a secret. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { describeDatabase, describeStorage } from "../../src/cli/places.ts";
import { parseBeside, parseStorage } from "./parsing.ts";

test("a storage is told by its place", () => {
  const secrets = "accesskey: hunter2, secretkey: hunter2";
  const places = {
    inmemory: "memory only: gone when it stops",
    "filesystem: {rootdirectory: data}": resolve("data"),
    [`s3: {bucket: b, region: eu-west-1, ${secrets}}`]: "s3://b (eu-west-1)",
    [`s3: {bucket: b, regionendpoint: "http://u:hunter2@s3.local:9000", rootdirectory: /r/}`]:
      "s3://b/r (http://s3.local:9000)",
    "azure: {accountname: acme, accountkey: hunter2, container: c, rootdirectory: /r}":
      "Azure: account acme, container c/r",
    "gcs: {bucket: b, credentials: {private_key: hunter2}, rootdirectory: r}": "gs://b/r",
  };
  for (const [lines, place] of Object.entries(places)) {
    const { storage } = parseStorage(lines.includes(":") ? lines : `${lines}:`);
    assert.equal(describeStorage(storage), place);
  }
});

test("a database is told by its place", () => {
  const url = "url: 'postgres://u:hunter2@db.example:5433/registry?sslmode=require'";
  const places = {
    "": "SQLite, beside the data",
    "metadata: {sqlite: {path: /var/db}}": "SQLite, /var/db",
    [`metadata: {postgres: {${url}}}`]: "PostgreSQL, registry on db.example:5433",
    "metadata: {postgres: {host: db, password: hunter2}}": "PostgreSQL, db",
    "metadata: {postgres: {host: /run/pg, database: registry}}": "PostgreSQL, registry on /run/pg",
    [`metadata: {postgres: {${url}, host: other, port: 6432}}`]:
      "PostgreSQL, registry on other:6432",
  };
  for (const [lines, place] of Object.entries(places)) {
    assert.equal(describeDatabase(parseBeside(lines)), place);
  }
});
