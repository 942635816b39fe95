/** Clients that push, move tags and delete, and write down what they were told. */
import assert from "node:assert/strict";
import {
  assertStatus,
  imageManifest,
  locationOf,
  offsetOf,
  pushMethods,
  withDigest,
  octets,
  type Answer,
  type Client,
} from "../race/support/client.ts";
import { sha256, type Random } from "../race/support/random.ts";
import { present, type Entry, type Ledger, type PendingUpload, type Value } from "./ledger.ts";

export interface Surroundings {
  readonly client: Client;
  readonly ledger: Ledger;
  readonly uploads: Set<PendingUpload>;
  /** Layers that every client pushes, again and again. */
  readonly sharedLayers: readonly Uint8Array[];
  /** Told of each request and each piece of a body: the server may be killed at any of them. */
  readonly tick: () => void;
}

interface OwnManifest {
  readonly repository: string;
  readonly digest: string;
}

const repositories = ["crash/one", "crash/two"];
const tagsEach = 4;
const layerBytesMax = 60_000;

/** One client. What it deletes is its own, so that it knows what has to be there. */
export class Worker {
  readonly #name: string;
  readonly #random: Random;
  readonly #manifests: OwnManifest[] = [];
  /** Blobs that no manifest uses. */
  readonly #loose: OwnManifest[] = [];

  constructor(name: string, random: Random) {
    this.#name = name;
    this.#random = random;
  }

  /** One thing that a client does. */
  async act(surroundings: Surroundings): Promise<void> {
    const choice = this.#random.integer(0, 9);
    if (choice < 5) await this.#pushImage(surroundings);
    else if (choice < 7) await this.#pushInChunks(surroundings);
    else if (choice < 8) await this.#mount(surroundings);
    else if (choice < 9) await this.#deleteBlob(surroundings);
    else await this.#deleteManifestOrTag(surroundings);
  }

  async #pushImage(surroundings: Surroundings): Promise<void> {
    const { client, sharedLayers } = surroundings;
    const random = this.#random;
    const repository = random.pick(repositories);
    const config = random.bytes(random.integer(40, 400));
    const layers = [
      random.bytes(random.integer(2, layerBytesMax)),
      random.pick(sharedLayers),
      random.pick(sharedLayers),
    ];
    for (const content of [config, ...layers]) {
      const added = [[blob(repository, sha256(content)), present]] as const;
      await this.#change(surroundings, added, 201, () =>
        client.tryPush(repository, content, random.pick(pushMethods)),
      );
    }
    const manifest = imageManifest(config, layers);
    const digest = sha256(manifest);
    const name = `${this.#name}-${random.integer(1, tagsEach)}`;
    const changes: [Entry, Value][] = [
      [{ kind: "manifest", repository, name: digest }, present],
      [{ kind: "tag", repository, name }, digest],
    ];
    await this.#change(surroundings, changes, 201, () =>
      client.putManifest(repository, name, manifest),
    );
    this.#manifests.push({ repository, digest });
  }

  /** Every byte that was acknowledged in between has to be there after a crash as well. */
  async #pushInChunks({ client, ledger, tick, uploads }: Surroundings): Promise<void> {
    const random = this.#random;
    const repository = random.pick(repositories);
    const content = random.bytes(random.integer(1000, 2 * layerBytesMax));
    tick();
    let location = await client.beginUpload(repository);
    const upload: PendingUpload = {
      repository,
      location,
      content,
      acknowledged: 0,
      isEnding: false,
    };
    uploads.add(upload);
    for (let left = random.integer(1, 4); left > 0; left -= 1) {
      const start = upload.acknowledged;
      if (start >= content.byteLength - 2) break;
      const end = random.integer(start + 2, content.byteLength);
      const answer = await this.#stream(client, location, content.subarray(start, end), tick);
      assertStatus(answer, 202);
      assert.equal(offsetOf(answer), end, "the whole chunk is acknowledged");
      upload.acknowledged = end;
      location = locationOf(answer);
    }
    const digest = sha256(content);
    const added = [[blob(repository, digest), present]] as const;
    ledger.begin(added);
    upload.isEnding = true;
    tick();
    const rest = content.subarray(upload.acknowledged);
    const body = rest.byteLength === 0 ? {} : { headers: octets, body: rest };
    assertStatus(await client.send("PUT", withDigest(location, digest), body), 201);
    ledger.done(added);
    uploads.delete(upload);
    this.#loose.push({ repository, digest });
  }

  async #stream(
    client: Client,
    location: string,
    chunk: Uint8Array,
    tick: () => void,
  ): Promise<Answer> {
    const request = client.open("PATCH", location, octets);
    for (let at = 0; at < chunk.byteLength; at += 20_000) {
      tick();
      await request.send(chunk.subarray(at, at + 20_000));
    }
    return await request.end();
  }

  async #mount(surroundings: Surroundings): Promise<void> {
    const own = this.#pickExisting(surroundings.ledger, "blob", this.#loose);
    if (own === undefined) return;
    const target = this.#random.pick(repositories.filter((name) => name !== own.repository));
    const query = `mount=${own.digest}&from=${own.repository}`;
    const added = [[blob(target, own.digest), present]] as const;
    await this.#change(surroundings, added, 201, () =>
      surroundings.client.send("POST", `/v2/${target}/blobs/uploads/?${query}`),
    );
    this.#loose.push({ repository: target, digest: own.digest });
  }

  async #deleteBlob(surroundings: Surroundings): Promise<void> {
    const own = this.#pickExisting(surroundings.ledger, "blob", this.#loose);
    if (own === undefined) return;
    const removed = [[blob(own.repository, own.digest), undefined]] as const;
    await this.#change(surroundings, removed, 202, () =>
      surroundings.client.send("DELETE", `/v2/${own.repository}/blobs/${own.digest}`),
    );
  }

  async #deleteManifestOrTag(surroundings: Surroundings): Promise<void> {
    const { client, ledger } = surroundings;
    const own = this.#pickExisting(ledger, "manifest", this.#manifests);
    if (own === undefined) return;
    const { digest, repository } = own;
    const names = Array.from({ length: tagsEach }, (_, index) => `${this.#name}-${index + 1}`);
    const tags = names
      .map((name): Entry => ({ kind: "tag", repository, name }))
      .filter((entry) => ledger.value(entry) === digest);
    const [tag] = tags;
    if (tag !== undefined && this.#random.chance(0.5)) {
      await this.#change(surroundings, [[tag, undefined]], 202, () =>
        client.send("DELETE", `/v2/${repository}/manifests/${tag.name}`),
      );
      return;
    }
    const removed = [{ kind: "manifest", repository, name: digest } as const, ...tags];
    const changes = removed.map((entry): [Entry, Value] => [entry, undefined]);
    await this.#change(surroundings, changes, 202, () =>
      client.send("DELETE", `/v2/${repository}/manifests/${digest}`),
    );
  }

  async #change(
    { ledger, tick }: Surroundings,
    changes: readonly (readonly [Entry, Value])[],
    status: number,
    ask: () => Promise<Answer>,
  ): Promise<void> {
    ledger.begin(changes);
    tick();
    assertStatus(await ask(), status);
    tick();
    ledger.done(changes);
  }

  #pickExisting(
    ledger: Ledger,
    kind: "blob" | "manifest",
    own: readonly OwnManifest[],
  ): OwnManifest | undefined {
    const existing = own.filter(
      ({ digest, repository }) => ledger.value({ kind, repository, name: digest }) === present,
    );
    return existing.length === 0 ? undefined : this.#random.pick(existing);
  }
}

function blob(repository: string, digest: string): Entry {
  return { kind: "blob", repository, name: digest };
}
