/** Several workers write one access log: its lines stay whole, also while nobody reads it. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, createReadStream, openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Client } from "../race/support/client.ts";
import { temporaryFolder } from "../race/support/places.ts";

/** More than a pipe holds (64 KiB), many times. */
const requestsEach = 150;
const clientCount = 4;

/** Read by the page a pipe makes room for a part of a longer write, and another writer may come. */
const pageBytes = 4096;

const line =
  /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/v2\/log\/(\d-\d+)\/x+\S* HTTP\/1\.1" 40[04] \d+ "" "y+"$/;

test("lines of the access log stay whole", async (t) => {
  const folder = await temporaryFolder(t);
  const config = join(folder, "config.yml");
  await writeFile(
    config,
    [
      "version: 0.1",
      `storage: { filesystem: { rootdirectory: ${JSON.stringify(folder)} } }`,
      'http: { addr: "127.0.0.1:0", workers: 2 }',
      "log: { level: error }",
      "",
    ].join("\n"),
  );
  const fifo = join(folder, "log");
  execFileSync("mkfifo", [fifo]);
  // Opened for both, which waits for nobody.
  const stdout = openSync(fifo, "r+");
  const child = spawn(process.execPath, ["src/cli/longshore.ts", "serve", config], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["ignore", stdout, "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const log = createReadStream(fifo, { encoding: "utf8", highWaterMark: pageBytes });
  closeSync(stdout);
  let text = "";
  const greeted = Promise.withResolvers<void>();
  log.on("data", (chunk) => {
    text += String(chunk);
    if (text.endsWith("/library/alpine\n\n")) greeted.resolve();
  });
  await greeted.promise;
  assert.equal(text.match(/^Longshore /gm)?.length, 1, "the greeting is printed once");
  log.pause();
  const url = /listening on\s+(\S+)/.exec(text)?.[1] ?? "";
  text = "";
  const headers = { "User-Agent": "y".repeat(300) };
  await Promise.all(
    Array.from({ length: clientCount }, async (_, index) => {
      const client = new Client(url);
      for (let count = 0; count < requestsEach; count += 1) {
        const target = `/v2/log/${index}-${count}/${"x".repeat(200 + count)}/manifests/1`;
        await client.send("GET", target, { headers });
      }
      client.close();
    }),
  );
  log.resume();
  const closed = once(log, "close");
  child.kill("SIGTERM");
  await closed;
  const lines = text.trimEnd().split("\n");
  const names = lines.map((each) => line.exec(each)?.[1] ?? assert.fail(`not a line: ${each}`));
  assert.equal(new Set(names).size, requestsEach * clientCount);
  assert.equal(names.length, requestsEach * clientCount);
});
