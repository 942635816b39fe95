/** What a client sees after a crash, compared with what the clients were told before it. */
import assert from "node:assert/strict";
import {
  assertStatus,
  describe,
  locationOf,
  octets,
  offsetOf,
  referencesOf,
  withDigest,
  type Answer,
  type Client,
} from "../race/support/client.ts";
import { sha256 } from "../race/support/random.ts";
import { leaseMs } from "../race/support/server-process.ts";
import { present, type Entry, type Ledger, type PendingUpload, type Value } from "./ledger.ts";

export class Inspection {
  readonly #client: Client;
  readonly #intact = new Map<string, Promise<void>>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** Everything in these entries is as it was acknowledged, and intact. */
  async settle(ledger: Ledger, entries: readonly Entry[]): Promise<void> {
    await inParallel(entries, async (entry) => {
      ledger.settle(entry, await this.#find(entry));
    });
  }

  /** Every listed tag can be pulled with all that it needs. Resolves with how many there are. */
  async pullAllTags(): Promise<number> {
    const catalog = await this.#client.get("/v2/_catalog?n=100");
    assertStatus(catalog, 200);
    const { repositories } = JSON.parse(catalog.bytes.toString()) as {
      readonly repositories: readonly string[];
    };
    let count = 0;
    for (const repository of repositories) {
      const tags = await this.#client.tags(repository);
      await inParallel(tags, async (name) => {
        const digest = await this.#find({ kind: "tag", repository, name });
        assert(digest !== undefined, `${repository}:${name} is listed and unknown`);
      });
      count += tags.length;
    }
    return count;
  }

  /** The upload goes on where the registry says that it stands; or it is cleanly unknown. */
  async resume(ledger: Ledger, upload: PendingUpload): Promise<"completed" | "unknown"> {
    const { acknowledged, content, isEnding, location, repository } = upload;
    const digest = sha256(content);
    const status = await this.#client.get(location);
    if (status.status === 404) {
      // Only its end makes an upload unknown, and then its blob is there.
      assert(isEnding, `an upload with ${acknowledged} acknowledged bytes is unknown`);
      const entry: Entry = { kind: "blob", repository, name: digest };
      assert.equal(await this.#find(entry), present, "an upload ended, and its blob is not there");
      return "unknown";
    }
    assertStatus(status, 204);
    const offset = offsetOf(status);
    assert(offset >= acknowledged, `the upload lost bytes: ${offset} < ${acknowledged}`);
    assert(offset <= content.byteLength, "the upload has more bytes than were sent");
    const rest = content.subarray(offset);
    const end = withDigest(locationOf(status), digest);
    const body = rest.byteLength === 0 ? {} : { headers: octets, body: rest };
    const added = [[{ kind: "blob", repository, name: digest }, present]] as const;
    ledger.begin(added);
    assertStatus(await afterLease(() => this.#client.send("PUT", end, body)), 201);
    ledger.done(added);
    assert.equal(await this.#find(added[0][0]), present);
    return "completed";
  }

  async #find({ kind, name, repository }: Entry): Promise<Value> {
    if (kind === "blob") return await this.#findBlob(repository, name);
    const pulled = await this.#client.get(`/v2/${repository}/manifests/${name}`);
    if (pulled.status === 404) return undefined;
    assertStatus(pulled, 200);
    const digest = sha256(pulled.bytes);
    assert.equal(pulled.header("docker-content-digest"), digest, `${repository} ${name}`);
    if (kind === "manifest") assert.equal(digest, name);
    await Promise.all(referencesOf(pulled.bytes).map((blob) => this.#pull(repository, blob)));
    return kind === "manifest" ? present : digest;
  }

  async #findBlob(repository: string, digest: string): Promise<Value> {
    const target = `/v2/${repository}/blobs/${digest}`;
    const seen = await this.#client.send("HEAD", target);
    assert(seen.status === 200 || seen.status === 404, describe(seen));
    if (seen.status === 404) {
      assertStatus(await this.#client.get(target), 404);
      return undefined;
    }
    await this.#pull(repository, digest);
    return present;
  }

  /** The blob can be read and has its digest. Many manifests share it: once is enough. */
  #pull(repository: string, digest: string): Promise<void> {
    const target = `/v2/${repository}/blobs/${digest}`;
    const pull = async (): Promise<void> => {
      const pulled = await this.#client.get(target);
      assertStatus(pulled, 200);
      assert.equal(sha256(pulled.bytes), digest, `${target} holds other bytes`);
    };
    const known = this.#intact.get(target) ?? pull();
    this.#intact.set(target, known);
    return known;
  }
}

/** Asks again while the dead process's lease runs, as the answer says one should. */
async function afterLease(ask: () => Promise<Answer>): Promise<Answer> {
  const limit = performance.now() + 20 * leaseMs;
  for (;;) {
    const answer = await ask();
    const isBusy = answer.status === 416 && answer.header("retry-after") !== undefined;
    if (!isBusy || performance.now() > limit) return answer;
  }
}

/** More at once would only queue up in the server. */
const parallelMax = 16;

async function inParallel<T>(
  items: readonly T[],
  visit: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const work = async (): Promise<void> => {
    for (const item of left) await visit(item);
  };
  await Promise.all(Array.from({ length: parallelMax }, work));
}
