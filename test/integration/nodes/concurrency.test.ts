/**
 * Two hundred clients on three nodes push images that share layers, move the same tags, delete and
 * push again. What they saw, and what is there in the end, is what some order of their requests
 * explains.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { assertStatus, Client, describe, imageManifest } from "../../race/support/client.ts";
import { Random, seedFrom, sha256 } from "../../race/support/random.ts";
import { Cluster } from "../support/cluster.ts";
import { isLinearizable, type Operation } from "../support/linearizable.ts";
import { pullWhole } from "../support/pulls.ts";

const clientCount = 200;
const actionsEach = 6;
const layerCount = 30;

type Digest = string | undefined;

const repositories = Array.from({ length: 8 }, (_, number) => `shared/app-${number}`);
const tags = ["latest", "stable", "nightly", ...Array.from({ length: 5 }, (_, n) => `v${n}`)];

const seed = seedFrom("CLUSTER_SEED");
const random = new Random(seed);
const cluster = await Cluster.start({
  nodes: 3,
  storage: "ceph",
  maintenance: () => ({
    collect: { interval: "500ms" },
    sweep: { interval: "1s", grace: "0s" },
    firstdelay: "0s",
  }),
});
after(() => cluster.close());
const clients = cluster.nodes.map(({ url }) => new Client(url));
after(() => {
  for (const client of clients) client.close();
});
const layers = Array.from({ length: layerCount }, () => random.bytes(random.integer(100, 20_000)));

/** What happened to each tag, and to each manifest of a repository. */
class History {
  readonly tags = new Map<string, Operation<Digest>[]>();
  readonly manifests = new Map<string, Operation<Digest>[]>();

  put(repository: string, tag: string, digest: string, span: Span): void {
    const apply = (): { readonly value: Digest } => ({ value: digest });
    const operation = { ...span, what: `put ${digest}`, apply };
    this.#add(this.tags, `${repository}:${tag}`, operation);
    this.#add(this.manifests, `${repository}@${digest}`, operation);
  }

  pulled(repository: string, tag: string, seen: Digest, span: Span): void {
    this.#add(this.tags, `${repository}:${tag}`, sight(seen, span));
  }

  deletedTag(repository: string, tag: string, wasThere: boolean, span: Span): void {
    const apply = (value: Digest): { readonly value: Digest } | undefined =>
      (value !== undefined) === wasThere ? { value: undefined } : undefined;
    const what = `delete, ${wasThere ? "there" : "not there"}`;
    this.#add(this.tags, `${repository}:${tag}`, { ...span, what, apply });
  }

  /** Every tag that refers to a manifest goes with it. */
  deletedManifest(repository: string, digest: string, wasThere: boolean, span: Span): void {
    const apply = (value: Digest): { readonly value: Digest } | undefined =>
      (value !== undefined) === wasThere ? { value: undefined } : undefined;
    const what = `delete ${digest}, ${wasThere ? "there" : "not there"}`;
    this.#add(this.manifests, `${repository}@${digest}`, { ...span, what, apply });
    for (const tag of tags) {
      const untag = (value: Digest): { readonly value: Digest } | undefined => {
        if (value !== digest) return { value };
        return wasThere ? { value: undefined } : undefined;
      };
      this.#add(this.tags, `${repository}:${tag}`, { ...span, what, apply: untag });
    }
  }

  found(repository: string, digest: string, isThere: boolean, span: Span): void {
    this.#add(this.manifests, `${repository}@${digest}`, sight(isThere ? digest : undefined, span));
  }

  #add(kind: Map<string, Operation<Digest>[]>, name: string, operation: Operation<Digest>): void {
    kind.getOrInsertComputed(name, () => []).push(operation);
  }
}

interface Span {
  readonly from: number;
  readonly until: number;
}

function sight(seen: Digest, span: Span): Operation<Digest> {
  const apply = (value: Digest): { readonly value: Digest } | undefined =>
    value === seen ? { value } : undefined;
  return { ...span, what: `saw ${seen}`, isRead: true, apply };
}

async function timed<T>(ask: () => Promise<T>): Promise<{ readonly answer: T } & Span> {
  const from = performance.now();
  const answer = await ask();
  return { answer, from, until: performance.now() };
}

class Actor {
  readonly #random: Random;
  readonly #history: History;

  constructor(random: Random, history: History) {
    this.#random = random;
    this.#history = history;
  }

  async act(): Promise<void> {
    const choice = this.#random.integer(0, 9);
    const repository = this.#random.pick(repositories);
    const tag = this.#random.pick(tags);
    if (choice < 6) await this.#push(repository, tag);
    else if (choice < 8) await this.#pull(repository, tag);
    else if (choice < 9) await this.#deleteTag(repository, tag);
    else await this.#deleteManifest(repository, tag);
  }

  /** The next request may go to any node. */
  get #client(): Client {
    return this.#random.pick(clients);
  }

  async #push(repository: string, tag: string): Promise<void> {
    const random = this.#random;
    // Few configurations, so that the same image is pushed, deleted and pushed again.
    const config = Buffer.from(JSON.stringify({ number: random.integer(0, 40), repository }));
    const own = random.integer(0, layerCount - 3);
    const used = layers.slice(own, own + 3);
    const manifest = imageManifest(config, used);
    for (;;) {
      for (const content of [config, ...used]) await this.#pushBlob(repository, content);
      const put = await timed(() => this.#client.putManifest(repository, tag, manifest));
      // What it refers to may have gone in between, with the last manifest that used it.
      if (put.answer.status === 404) continue;
      assertStatus(put.answer, 201);
      this.#history.put(repository, tag, sha256(manifest), put);
      return;
    }
  }

  /** As clients do: what is there is not sent. */
  async #pushBlob(repository: string, content: Uint8Array): Promise<void> {
    const target = `/v2/${repository}/blobs/${sha256(content)}`;
    const seen = await this.#client.send("HEAD", target);
    if (seen.status === 200) return;
    assertStatus(seen, 404);
    const client = this.#client;
    const method = this.#random.pick(["post", "put", "patch"] as const);
    const pushed = await client.tryPush(repository, content, method);
    assert(pushed.status === 201, describe(pushed));
  }

  async #pull(repository: string, tag: string): Promise<void> {
    const target = `/v2/${repository}/manifests/${tag}`;
    const { answer, ...span } = await timed(() => this.#client.get(target));
    assertStatus(answer, 200, 404);
    const seen = answer.status === 200 ? sha256(answer.bytes) : undefined;
    this.#history.pulled(repository, tag, seen, span);
  }

  async #deleteTag(repository: string, tag: string): Promise<void> {
    const target = `/v2/${repository}/manifests/${tag}`;
    const { answer, ...span } = await timed(() => this.#client.send("DELETE", target));
    assertStatus(answer, 202, 404);
    this.#history.deletedTag(repository, tag, answer.status === 202, span);
  }

  async #deleteManifest(repository: string, tag: string): Promise<void> {
    const pulled = await this.#client.get(`/v2/${repository}/manifests/${tag}`);
    if (pulled.status === 404) return;
    const digest = sha256(pulled.bytes);
    const target = `/v2/${repository}/manifests/${digest}`;
    const { answer, ...span } = await timed(() => this.#client.send("DELETE", target));
    assertStatus(answer, 202, 404);
    this.#history.deletedManifest(repository, digest, answer.status === 202, span);
  }
}

test(`${clientCount} clients at once (CLUSTER_SEED=${seed})`, async (t) => {
  const history = new History();
  const actors = Array.from({ length: clientCount }, () => new Actor(random.fork(), history));
  await Promise.all(
    actors.map(async (actor) => {
      for (let action = 0; action < actionsEach; action += 1) await actor.act();
    }),
  );
  const images = await lookAtEnd(history);
  for (const [name, operations] of [...history.tags, ...history.manifests]) {
    const told = operations
      .toSorted((a, b) => a.from - b.from)
      .map(({ from, until, what }) => `${from.toFixed(1)}-${until?.toFixed(1)} ${what}`);
    assert(
      isLinearizable<Digest>(undefined, operations),
      `CLUSTER_SEED=${seed}: no order explains ${name}:\n${told.join("\n")}`,
    );
  }
  const count = [...history.tags.values(), ...history.manifests.values()].flat().length;
  t.diagnostic(`${count} operations on ${history.tags.size} tags, ${images} images in the end`);
});

/** Every node sees the same, and whatever a tag refers to is whole. */
async function lookAtEnd(history: History): Promise<number> {
  let images = 0;
  for (const client of clients) {
    for (const name of history.tags.keys()) {
      const [repository = "", tag = ""] = name.split(":");
      const { answer, ...span } = await timed(() =>
        client.get(`/v2/${repository}/manifests/${tag}`),
      );
      assertStatus(answer, 200, 404);
      const digest = answer.status === 200 ? sha256(answer.bytes) : undefined;
      history.pulled(repository, tag, digest, span);
      if (digest !== undefined && client === clients[0]) {
        await pullWhole(client, repository, tag);
        images += 1;
      }
    }
    for (const name of history.manifests.keys()) {
      const [repository = "", digest = ""] = name.split("@");
      const target = `/v2/${repository}/manifests/${digest}`;
      const { answer, ...span } = await timed(() => client.get(target));
      assertStatus(answer, 200, 404);
      history.found(repository, digest, answer.status === 200, span);
      if (answer.status === 200) await pullWhole(client, repository, digest);
    }
  }
  assert(images > 0, "some tags are left");
  return images;
}
