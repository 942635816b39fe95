/**
 * A server under strace: bytes are synced, then folders, then the database, and then the client is
 * told. A power cut cannot be tried here, so the order of the calls has to prove that it does no
 * harm.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { Client, assertStatus, imageManifest, pushMethods } from "../race/support/client.ts";
import { temporaryFolder } from "../race/support/places.ts";
import { Random, sha256 } from "../race/support/random.ts";
import { ServerProcess } from "../race/support/server-process.ts";
import {
  blobPushProblems,
  chunkProblems,
  dataOf,
  logOf,
  manifestPushProblems,
  type TracedPush,
} from "./sync-rules.ts";
import { answersIn, namings, parseTrace, syncsOf, writesTo, type Call } from "./trace.ts";

const tracedCalls = [
  ...["fsync", "fdatasync", "link", "linkat", "rename", "renameat", "renameat2"],
  ...["mkdir", "mkdirat", "openat", "write", "pwrite64", "writev", "pwritev", "pwritev2"],
  ...["sendto", "sendmsg"],
];

/** No lease is renewed meanwhile: that would be one more write to the database's log, ms. */
const uploadLeaseMs = 60_000;

interface Traced {
  readonly root: string;
  readonly calls: readonly Call[];
  /** Content by the way it was pushed. */
  readonly digests: Readonly<Record<(typeof pushMethods)[number], string>>;
}

const isMissing = spawnSync("strace", ["-V"]).error !== undefined;
const isOptional = process.env["CI"] === undefined;
const skip = isMissing && isOptional && "strace is not installed, and this is not CI";

test("what a client is told of is on the disk, in the right order", { skip }, async (context) => {
  assert(!isMissing, "strace is not installed");
  const traced = await tracePushes(context);
  const pushes = pushesIn(traced);
  for (const [name, { check, push }] of Object.entries(pushes)) {
    await context.test(name, () => {
      assert.deepEqual(check(push), []);
    });
  }
  await context.test("each step that is left out, or comes too late, is noticed", () => {
    for (const { changed, check, name } of spoiltPushes(traced)) {
      assert.notDeepEqual(check(changed), [], name);
    }
  });
});

/** Begins with an empty root, so that every folder has to be made. */
async function tracePushes(context: TestContext): Promise<Traced> {
  const folder = await temporaryFolder(context);
  const root = join(folder, "root");
  const file = join(folder, "trace");
  const server = await ServerProcess.start({
    root,
    folder,
    uploadLeaseMs,
    // The tracer is the server's grandchild, and not its parent: signals reach the server.
    under: [
      ...["strace", "-D", "-f", "-yy", "-ttt", "-s", "40", "-o", file],
      ...["-e", `trace=${tracedCalls.join(",")}`, "-e", "signal=none"],
    ],
  });
  context.after(() => server.kill());
  const client = new Client(server.url);
  const random = new Random(1);
  const contents = {
    post: random.bytes(5_000),
    put: random.bytes(300_000),
    patch: random.bytes(1_500_000),
  };
  // The answers before the first push are the boundary of what belongs to it.
  assertStatus(await client.get("/v2/"), 200);
  for (const method of pushMethods) await client.push("traced/image", contents[method], method);
  const manifest = imageManifest(contents.post, [contents.put, contents.patch]);
  assertStatus(await client.putManifest("traced/image", "latest", manifest), 201);
  client.close();
  await server.stop();
  const digests = {
    post: sha256(contents.post),
    put: sha256(contents.put),
    patch: sha256(contents.patch),
  };
  return { root, digests, calls: parseTrace(await readFile(file, "utf8")) };
}

interface Checked {
  readonly push: TracedPush;
  readonly check: (push: TracedPush) => readonly string[];
}

/** The pushes of the trace, by their answers: what was asked for came in a fixed order. */
function pushesIn({ calls, digests, root }: Traced): Readonly<Record<string, Checked>> {
  const answers = answersIn(calls);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 201, 202, 201, 202, 202, 201, 201],
  );
  const pushed = (index: number): TracedPush => {
    const before = answers[index - 1];
    const answer = answers[index];
    assert(before !== undefined && answer !== undefined);
    return { calls, root, before, answer };
  };
  const blob = (digest: string) => (push: TracedPush) => blobPushProblems(push, digest);
  return {
    "a blob in one POST": { push: pushed(1), check: blob(digests.post) },
    "a blob by POST and PUT": { push: pushed(3), check: blob(digests.put) },
    "a streamed chunk": {
      push: pushed(5),
      check: (push) => chunkProblems(push, digests.patch),
    },
    "a blob by streamed PATCH and PUT": { push: pushed(6), check: blob(digests.patch) },
    "a manifest": { push: pushed(7), check: manifestPushProblems },
  };
}

interface Spoilt extends Pick<Checked, "check"> {
  readonly name: string;
  readonly changed: TracedPush;
}

/** The same trace with one kind of call missing, or later than it was. */
function* spoiltPushes(traced: Traced): Generator<Spoilt> {
  const { calls, digests, root } = traced;
  const pushes = Object.entries(pushesIn(traced));
  for (const [kind, { check, push }] of pushes) {
    const spoil = (name: string, which: readonly Call[], late: number): Spoilt => {
      assert(which.length > 0, `${kind}: ${name} was never there`);
      const others = calls.filter((call) => !which.includes(call));
      const delayed = which.map((call) => ({ ...call, start: late, end: late + 0.5 }));
      return {
        name: `${kind}: ${name}`,
        check,
        changed: { ...push, calls: [...others, ...delayed] },
      };
    };
    const told = push.answer.call.end;
    const since = push.before.call.start;
    const logSyncs = syncsOf(calls, logOf(root)).filter(({ start }) => start > since);
    if (kind !== "a streamed chunk") {
      yield spoil("the database is synced after the answer", logSyncs, told);
      const writes = writesTo(calls, logOf(root)).filter(({ start }) => start > since);
      yield spoil("the database is written after the answer", writes, told);
    }
    if (kind === "a manifest") continue;
    const digest = kind === "a blob in one POST" ? digests.post : blobOf(kind, digests);
    const data = dataOf(root, digest);
    const [naming] = namings(calls, data);
    assert(naming !== undefined);
    const { call: placed, source } = naming;
    yield spoil("the bytes are synced after the answer", syncsOf(calls, source), told);
    yield spoil("a byte is written after the answer", writesTo(calls, source).slice(-1), told);
    if (kind === "a streamed chunk") continue;
    yield spoil(
      "the bytes are synced after they got their name",
      syncsOf(calls, source),
      placed.end,
    );
    yield spoil("the name is given after the answer", [placed], told);
    // Folders that every push needs, and for the first one also those above.
    const folders = [dirname(data), dirname(dirname(data))];
    for (const folder of kind === "a blob in one POST" ? foldersTo(data, root) : folders) {
      const syncs = syncsOf(calls, folder).filter(({ start }) => start > since);
      const name = `${folder.slice(root.length)}/ is synced`;
      yield spoil(`${name} after the answer`, syncs, told);
      yield spoil(`${name} after the database`, syncs, logSyncs[0]?.end ?? told);
    }
  }
}

function blobOf(kind: string, digests: Traced["digests"]): string {
  return kind === "a blob by POST and PUT" ? digests.put : digests.patch;
}

function foldersTo(path: string, root: string): readonly string[] {
  const folder = dirname(path);
  return folder.length <= root.length ? [root] : [folder, ...foldersTo(folder, root)];
}
