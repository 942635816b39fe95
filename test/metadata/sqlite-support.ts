/** What the tests of the SQLite store are made of. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const root = await mkdtemp(join(tmpdir(), "longshore-sqlite-"));
after(() => rm(root, { recursive: true }));

export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(join(root, "test-"));
}

/** A path for a database that does not exist yet, nor its folder. */
export async function newDatabase(): Promise<string> {
  return join(await temporaryFolder(), "data", "metadata.db");
}

export interface SecondProcess {
  /** Lets it open the database. */
  go(): void;
  /** The tags whose push it was told to have succeeded, so far. */
  readonly pushed: readonly string[];
  /** How it ended; fails unless it was as expected. */
  ended(how?: "well" | "killed"): Promise<void>;
}

const script = fileURLToPath(new URL("second-process.ts", import.meta.url));

/** Starts `second-process.ts`; it waits for `go` with everything loaded. */
export async function secondProcess(
  t: TestContext,
  ...args: readonly (string | number)[]
): Promise<SecondProcess> {
  const child = spawn(process.execPath, [script, ...args.map(String)], { stdio: "pipe" });
  t.after(() => child.kill("SIGKILL"));
  const exit = once(child, "exit");
  const problems = text(child.stderr);
  const lines = createInterface(child.stdout);
  const [ready] = (await once(lines, "line")) as string[];
  assert.equal(ready, "ready");
  const pushed: string[] = [];
  lines.on("line", (line) => pushed.push(line));
  const closed = once(lines, "close");
  return {
    go: () => void child.stdin.write("go\n"),
    pushed,
    ended: async (how = "well") => {
      const [code, signal] = (await exit) as [number | null, string | null];
      await closed;
      const expected = how === "well" ? [0, null] : [null, "SIGKILL"];
      assert.deepEqual([code, signal], expected, await problems);
    },
  };
}

/** Runs `use` on a filesystem that is soon full. Skips the test where none may be mounted. */
export async function onTinyFilesystem(
  t: TestContext,
  size: { readonly mebibytes: number },
  use: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await temporaryFolder();
  const mount = ["-t", "tmpfs", "-o", `size=${size.mebibytes}m`, "tmpfs", folder];
  const mounted = spawnSync("mount", mount, { encoding: "utf8" });
  if (mounted.status !== 0) {
    t.skip(`no filesystem can be mounted here: ${mounted.stderr || mounted.error?.message}`);
    return;
  }
  try {
    await use(folder);
  } finally {
    spawnSync("umount", ["--lazy", folder]);
  }
}
