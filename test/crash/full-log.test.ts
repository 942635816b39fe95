/** A disk that is full of logs must not take the registry with it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

test("a log that cannot be written does not end the service", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "longshore-full-"));
  const config = join(root, "config.yml");
  const storage = `storage: {filesystem: {rootdirectory: ${root}/data}}`;
  await writeFile(config, `version: 0.1\n${storage}\nhttp: {addr: "127.0.0.1:0"}\n`);
  const program = join(import.meta.dirname, "../../src/cli/longshore.ts");
  // Every write to /dev/full fails with ENOSPC.
  const stdio = ["ignore", "pipe", openSync("/dev/full", "w")] as const;
  const child = spawn(process.execPath, [program, "serve", config], { stdio: [...stdio] });
  t.after(async () => {
    if (child.exitCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    await rm(root, { recursive: true });
  });
  let output = "";
  assert.ok(child.stdout);
  for await (const chunk of child.stdout) {
    output += String(chunk);
    if (output.includes("listening on")) break;
  }
  const url = /listening on {2}(\S+)/.exec(output)?.[1] ?? "";
  for (let request = 0; request < 5; request += 1) {
    const refused = await fetch(`${url}/v2/a/manifests/b`, { method: "PUT", body: "x" });
    assert.equal(refused.status, 400);
  }
  assert.equal((await fetch(`${url}/v2/`)).status, 200);
  assert.equal(child.exitCode, null);
});
