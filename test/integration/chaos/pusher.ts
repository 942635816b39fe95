/** A client that pushes images, deletes some of its own, and writes down what it was told. */
import assert from "node:assert/strict";
import { assertStatus, imageManifest, imageType } from "../../race/support/client.ts";
import { sha256, type Random } from "../../race/support/random.ts";
import { present, type AttemptLedger, type Change, type Entry } from "./attempts.ts";
import { BlobPusher } from "./blob-pusher.ts";
import type { PatientClient } from "./patient-client.ts";

const repositories = ["chaos/one", "chaos/two", "chaos/three"];

/** Most layers are small; some are several parts in the store. */
const layerBytesMax = 60_000;
const largeLayerBytesMax = 12_000_000;
const largeLayers = 0.08;

export interface PusherOptions {
  /** A word that no other client has, in any round. */
  readonly name: string;
  readonly client: PatientClient;
  readonly random: Random;
  readonly ledger: AttemptLedger;
  /** Layers that every client pushes, and deletes, again and again. */
  readonly sharedLayers: readonly Uint8Array[];
  /** Whether uploads may be lost that have no bytes yet. */
  readonly mayLoseUploads: boolean;
}

interface OwnImage {
  readonly repository: string;
  readonly digest: string;
  readonly tag: string;
}

export class Pusher {
  readonly #options: PusherOptions;
  readonly #blobs: BlobPusher;
  readonly #images: OwnImage[] = [];
  #count = 0;

  constructor(options: PusherOptions) {
    this.#options = options;
    this.#blobs = new BlobPusher(options.client, options.random.fork(), options.mayLoseUploads);
  }

  async act(): Promise<void> {
    const { random } = this.#options;
    const choice = random.integer(0, 9);
    if (choice < 6) await this.#pushImage();
    else if (choice < 7) await this.#deleteSharedLayer();
    else if (choice < 8) await this.#deleteImage();
    else if (choice < 9) await this.#moveTag();
    else await this.#pull();
  }

  async #pushImage(): Promise<void> {
    const { name, random, sharedLayers } = this.#options;
    const repository = random.pick(repositories);
    const size = random.chance(largeLayers) ? largeLayerBytesMax : layerBytesMax;
    const contents = [
      random.bytes(random.integer(40, 400)),
      random.bytes(random.integer(2, size)),
      random.pick(sharedLayers),
      random.pick(sharedLayers),
    ];
    const [config, ...layers] = contents;
    if (config === undefined) return;
    const manifest = imageManifest(config, layers);
    const digest = sha256(manifest);
    this.#count += 1;
    const tag = `${name}-${this.#count}`;
    const image = { repository, digest, tag };
    await this.#putManifest(image, manifest, contents);
    this.#images.push(image);
  }

  /** Pushes blobs again that have gone in between: others delete what no manifest uses yet. */
  async #putManifest(
    image: OwnImage,
    manifest: Buffer,
    blobs: readonly Uint8Array[],
  ): Promise<void> {
    const { client, ledger } = this.#options;
    const { digest, repository, tag } = image;
    const changes: readonly Change[] = [
      [manifestOf(image), present],
      [tagOf(image), digest],
    ];
    const target = `/v2/${repository}/manifests/${tag}`;
    const options = { headers: { "Content-Type": imageType }, body: manifest };
    await client.repeat(`PUT ${target}`, async () => {
      for (const content of blobs) await this.#blobs.push(repository, content);
      ledger.begin(changes);
      const answer = await client.once(() => client.client.send("PUT", target, options));
      if (answer === undefined) return undefined;
      const isDone = answer.status === 201;
      if (!isDone) {
        assertStatus(answer, 400);
        assert.match(answer.bytes.toString(), /"MANIFEST_BLOB_UNKNOWN"/);
      }
      ledger.answered(changes, isDone ? "done" : "refused");
      return isDone ? true : undefined;
    });
  }

  /** Whoever is about to use it has to push it again, unless a manifest refers to it already. */
  async #deleteSharedLayer(): Promise<void> {
    const { client, random, sharedLayers } = this.#options;
    const digest = sha256(random.pick(sharedLayers));
    const target = `/v2/${random.pick(repositories)}/blobs/${digest}`;
    assertStatus(await client.send("DELETE", target), 202, 404, 405);
  }

  async #deleteImage(): Promise<void> {
    const { ledger, random } = this.#options;
    const image = this.#pickImage();
    if (image === undefined) return;
    const { digest, repository, tag } = image;
    if (random.chance(0.5)) {
      await this.#delete(`/v2/${repository}/manifests/${tag}`, [[tagOf(image), undefined]]);
      return;
    }
    const changes: Change[] = [[manifestOf(image), undefined]];
    // Every tag that refers to it goes with it.
    for (const other of this.#images) {
      if (other.repository !== repository) continue;
      if (ledger.value(tagOf(other)) === digest) changes.push([tagOf(other), undefined]);
    }
    await this.#delete(`/v2/${repository}/manifests/${digest}`, changes);
  }

  async #delete(target: string, changes: readonly Change[]): Promise<void> {
    const { client, ledger } = this.#options;
    await client.repeat(`DELETE ${target}`, async () => {
      ledger.begin(changes);
      const answer = await client.once(() => client.client.send("DELETE", target));
      if (answer === undefined) return undefined;
      // Of the try before, whose answer was lost.
      assertStatus(answer, 202, 404);
      ledger.answered(changes, "done");
      return true;
    });
  }

  /** Points a tag of its own to another image of its own. */
  async #moveTag(): Promise<void> {
    const { client, ledger, random } = this.#options;
    const image = this.#pickImage();
    const others = this.#images.filter(
      ({ digest, repository }) => repository === image?.repository && digest !== image.digest,
    );
    if (image === undefined || others.length === 0) return;
    const { tag } = random.pick(others);
    const { digest, repository } = image;
    const pulled = await client.get(`/v2/${repository}/manifests/${digest}`);
    assertStatus(pulled, 200);
    const target = `/v2/${repository}/manifests/${tag}`;
    const options = { headers: { "Content-Type": imageType }, body: pulled.bytes };
    const changes: readonly Change[] = [
      [manifestOf(image), present],
      [{ kind: "tag", repository, name: tag }, digest],
    ];
    await client.repeat(`PUT ${target}`, async () => {
      ledger.begin(changes);
      const answer = await client.once(() => client.client.send("PUT", target, options));
      if (answer === undefined) return undefined;
      assertStatus(answer, 201);
      ledger.answered(changes, "done");
      return true;
    });
  }

  async #pull(): Promise<void> {
    const { client, ledger } = this.#options;
    const image = this.#pickImage();
    if (image === undefined) return;
    const pulled = await client.get(`/v2/${image.repository}/manifests/${image.digest}`);
    assertStatus(pulled, 200, 404);
    ledger.check(manifestOf(image), pulled.status === 200 ? present : undefined);
  }

  /** One that is there for certain. */
  #pickImage(): OwnImage | undefined {
    const { ledger, random } = this.#options;
    const there = this.#images.filter((image) => ledger.value(manifestOf(image)) === present);
    return there.length === 0 ? undefined : random.pick(there);
  }
}

function manifestOf({ digest, repository }: OwnImage): Entry {
  return { kind: "manifest", repository, name: digest };
}

function tagOf({ repository, tag }: OwnImage): Entry {
  return { kind: "tag", repository, name: tag };
}
