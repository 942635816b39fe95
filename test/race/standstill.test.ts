/**
 * A writer that stands still before any one of its calls, until another process has taken its
 * upload over and ended it: whatever it does when it wakes changes nothing (invariant I6).
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { OciError } from "../../src/oci/errors.ts";
import { UploadConflict } from "../../src/registry/upload-errors.ts";
import type { UploadTarget } from "../../src/registry/uploads.ts";
import { StorageError } from "../../src/storage/blob-store.ts";
import { nodeFileCalls, type FileCalls } from "../../src/storage/filesystem-calls.ts";
import {
  bodyOf,
  digestOfContent,
  openNode,
  origin,
  repositoryOf,
  type Node,
} from "./support/node.ts";
import { assertIntact, strayFiles, temporaryFolder } from "./support/places.ts";
import { Random, sha256 } from "./support/random.ts";

const repository = repositoryOf("race/standstill");

/** Nobody renews a lease that stands still, so this is how long each of the tests takes, ms. */
const uploadLeaseMs = 10;

/** A write makes some twenty calls; one that made so many would never end. */
const callsMax = 200;

type Write = (
  node: Node,
  target: UploadTarget,
  start: Uint8Array,
  rest: Uint8Array,
) => Promise<unknown>;

const writes: Readonly<Record<string, Write>> = {
  "a chunk": async ({ registry }, target, start, rest) =>
    await registry.uploads.append(target, { ...bodyOf(rest), expectedOffset: start.byteLength }),
  "the end with a body": async ({ registry }, target, start, rest) => {
    const digest = digestOfContent(Buffer.concat([start, rest]));
    const body = { ...bodyOf(rest), expectedOffset: start.byteLength };
    await registry.uploads.finish(target, digest, body, origin);
  },
  "the end without a body": async ({ registry }, target, start) => {
    const body = { ...bodyOf(null), expectedOffset: start.byteLength };
    await registry.uploads.finish(target, digestOfContent(start), body, origin);
  },
};

for (const [name, write] of Object.entries(writes)) {
  for (const startBytes of [0, 100]) {
    for (const wakes of ["before its successor's end", "after it"] as const) {
      const begun = startBytes === 0 ? "an empty upload" : "an upload that has begun";
      test(`${name} of ${begun} stands still anywhere, and wakes ${wakes}`, async (context) => {
        const wakesEarly = wakes !== "after it";
        await standStillEverywhere(context, { write, startBytes, wakesEarly });
      });
    }
  }
}

test("a takeover that failed half-way is begun anew", async (context) => {
  const { metadata, root } = await emptyPlace(context);
  const settings = { uploadLeaseMs };
  const valve = new Valve((name) => name === "writev");
  const calls = valve.fileCalls();
  const first = await openNode({ root, metadata: valve.metadata(metadata), calls, settings });
  let isFull = true;
  const copyFile = async (from: string, to: string): Promise<void> => {
    const error = Object.assign(new Error("no space"), { code: "ENOSPC", syscall: "copyfile" });
    if (isFull) throw error;
    await nodeFileCalls.copyFile(from, to);
  };
  const full = { ...nodeFileCalls, copyFile };
  const second = await openNode({ root, metadata, calls: full, settings });
  const random = new Random(1);
  const start = random.bytes(100);
  const { id } = await first.registry.uploads.create(repository, "sha256");
  const target = { repository, id };
  await first.registry.uploads.append(target, bodyOf(start));
  valve.arm();
  const lost = first.registry.uploads.append(target, bodyOf(random.bytes(50)));
  const refused = assert.rejects(lost, UploadConflict);
  await valve.closed;

  const other = random.bytes(70);
  await assert.rejects(takeOver(second, target, start, other), StorageError);
  isFull = false;
  const ended = await takeOver(second, target, start, other);
  await endTaken(second, target, ended);
  valve.open();
  await refused;
  assert.equal(sha256(await pull(second, ended)), sha256(ended));
  assert.deepEqual(await strayFiles(root), []);
  await assertIntact(root);
});

async function emptyPlace(
  context: TestContext,
): Promise<{ readonly root: string; readonly metadata: MetadataStore }> {
  const root = join(await temporaryFolder(context), "root");
  const metadata = await openSqliteStore({ path: ":memory:" });
  context.after(() => metadata.close());
  return { root, metadata };
}

async function standStillEverywhere(
  context: TestContext,
  how: { readonly write: Write; readonly startBytes: number; readonly wakesEarly: boolean },
): Promise<void> {
  const { startBytes, wakesEarly, write } = how;
  const { metadata, root } = await emptyPlace(context);
  const random = new Random(1);
  for (let call = 1; call <= callsMax; call += 1) {
    const start = random.bytes(startBytes);
    const stood = await standStillAt({ root, metadata, call, write, start, random, wakesEarly });
    if (stood) continue;
    context.diagnostic(`${call - 1} calls`);
    assert.deepEqual(await strayFiles(root), []);
    await assertIntact(root);
    return;
  }
  assert.fail("the write never ended");
}

/** False when the write ended before it came to that call. */
async function standStillAt(at: {
  readonly root: string;
  readonly metadata: MetadataStore;
  readonly call: number;
  readonly write: Write;
  readonly start: Uint8Array;
  readonly random: Random;
  readonly wakesEarly: boolean;
}): Promise<boolean> {
  const { call, metadata, random, root, start, wakesEarly, write } = at;
  const valve = new Valve((_, count) => count === call);
  const settings = { uploadLeaseMs };
  const first = await openNode({
    root,
    metadata: valve.metadata(metadata),
    calls: valve.fileCalls(),
    settings,
  });
  const second = await openNode({ root, metadata, settings });
  const { id } = await second.registry.uploads.create(repository, "sha256");
  const target = { repository, id };
  if (start.byteLength > 0) await first.registry.uploads.append(target, bodyOf(start));
  valve.arm();
  const rest = random.bytes(50);
  const written = write(first, target, start, rest).then(
    () => "done" as const,
    (error: unknown) => error,
  );
  const isStill = await Promise.race([valve.closed.then(() => true), written.then(() => false)]);
  if (!isStill) {
    assert.equal(await written, "done");
    await second.registry.uploads.cancel(target).catch(ignoreUnknown);
    return false;
  }
  const sent = Buffer.concat([start, rest]);
  const content = await takeOver(second, target, sent, random.bytes(70)).catch(ignoreUnknown);
  if (wakesEarly) valve.open();
  if (wakesEarly) await written;
  if (content !== undefined) await endTaken(second, target, content);
  valve.open();
  const end = await written;
  await assertLostOrDone({ node: second, point: valve.point, ended: content, end });
  assert.deepEqual([...first.reports, ...second.reports], []);
  return true;
}

/**
 * Goes on in another process where the upload stands, as soon as it may; resolves with the content
 * that the upload then has.
 */
async function takeOver(
  { registry }: Node,
  target: UploadTarget,
  sent: Uint8Array,
  other: Uint8Array,
): Promise<Buffer> {
  const limit = performance.now() + 1000 * uploadLeaseMs;
  const { offset } = await registry.uploads.status(target);
  const content = Buffer.concat([sent.subarray(0, offset), other]);
  for (;;) {
    try {
      const body = { ...bodyOf(other), expectedOffset: offset };
      await registry.uploads.append(target, body);
      return content;
    } catch (error) {
      const isBusy = error instanceof UploadConflict && error.retryAfterMs !== undefined;
      if (!isBusy || performance.now() > limit) throw error;
    }
  }
}

async function endTaken({ registry }: Node, target: UploadTarget, content: Buffer): Promise<void> {
  const body = { ...bodyOf(null), expectedOffset: content.byteLength };
  await registry.uploads.finish(target, digestOfContent(content), body, origin);
}

/** Only one of the two ended the upload. */
async function assertLostOrDone(seen: {
  readonly node: Node;
  readonly point: string;
  /** What the second one ended it with, if it did. */
  readonly ended: Uint8Array | undefined;
  readonly end: unknown;
}): Promise<void> {
  const { end, ended, node, point } = seen;
  try {
    if (ended === undefined) {
      // The first one had ended it already, and stood still on its way to the answer.
      assert.equal(end, "done", "nobody ended the upload");
      return;
    }
    assert(end instanceof OciError, `what came too late was answered by ${inspect(end)}`);
    assert.equal(sha256(await pull(node, ended)), sha256(ended));
  } catch (cause) {
    throw new Error(`it stood still before ${point}`, { cause });
  }
}

async function pull({ registry }: Node, content: Uint8Array): Promise<Uint8Array> {
  const { signal } = new AbortController();
  const blob = await registry.blobs.find(repository, digestOfContent(content));
  const { body } = await registry.blobs.open(blob, { signal });
  assert(body instanceof Uint8Array, "small content comes as bytes");
  return body;
}

function ignoreUnknown(error: unknown): undefined {
  if (error instanceof OciError && error.code === "BLOB_UPLOAD_UNKNOWN") return;
  throw error;
}

/** Holds up one process at one of its calls, and at all that come after it, until it is opened. */
class Valve {
  readonly closed: Promise<void>;
  readonly #close: () => void;
  readonly #opened = Promise.withResolvers<void>();
  readonly #isLast: (name: string, count: number) => boolean;
  #isClosed = false;
  #count = 0;
  #isArmed = false;
  point = "";

  constructor(isLast: (name: string, count: number) => boolean) {
    this.#isLast = isLast;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#close = resolve;
  }

  /** Calls count from here. */
  arm(): void {
    this.#isArmed = true;
  }

  open(): void {
    this.#opened.resolve();
  }

  fileCalls(): FileCalls {
    const calls = Object.entries(nodeFileCalls).map(([name, call]) => {
      const through = call as (...values: readonly unknown[]) => Promise<unknown>;
      const pass = async (...values: readonly unknown[]): Promise<unknown> => {
        await this.#pass(name);
        return await through(...values);
      };
      return [name, pass] as const;
    });
    return Object.fromEntries(calls) as unknown as FileCalls;
  }

  metadata(metadata: MetadataStore): MetadataStore {
    return new Proxy(metadata, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        const call = value.bind(target) as (...values: readonly unknown[]) => Promise<unknown>;
        return async (...values: readonly unknown[]) => {
          await this.#pass(name === "execute" ? String(values[0]) : String(name));
          return await call(...values);
        };
      },
    });
  }

  async #pass(point: string): Promise<void> {
    if (!this.#isArmed) return;
    this.#count += 1;
    if (!this.#isClosed && this.#isLast(point, this.#count)) {
      this.#isClosed = true;
      this.point = point;
      this.#close();
    }
    if (this.#isClosed) await this.#opened.promise;
  }
}
