/** containerd, of its own, and its client ctr. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Client, HeldImage, PullOptions } from "./client.ts";
import { isolate, type Isolation } from "./isolation.ts";
import { blobFile, readImage, readManifest, type Descriptor, type LayoutImage } from "./layout.ts";
import { plainSurroundings, run, runToFailure, StartedProcess } from "./processes.ts";
import type { Surroundings } from "./processes.ts";
import type { Workspace } from "./workspace.ts";

export async function startContainerd(workspace: Workspace): Promise<Containerd> {
  const isolation = await isolate(workspace, "containerd");
  const socket = join(isolation.folder, "containerd.sock");
  const config = join(isolation.folder, "config.toml");
  await writeFile(config, configuration(isolation, socket));
  const daemon = new StartedProcess(["containerd", "--config", config], isolation);
  workspace.defer(async () => {
    await daemon.stop();
  });
  await daemon.ready(async () => daemon.output.includes("containerd successfully booted"));
  return new Containerd(isolation, socket);
}

export class Containerd implements Client {
  readonly name = "containerd";
  readonly #folder: string;
  readonly #ctr: Surroundings;

  constructor(isolation: Isolation, socket: string) {
    this.#folder = isolation.folder;
    this.#ctr = {
      prefix: [],
      env: { ...plainSurroundings.env, CONTAINERD_ADDRESS: socket, CONTAINERD_NAMESPACE: "e2e" },
      cwd: isolation.folder,
    };
  }

  async load(image: LayoutImage, reference: string): Promise<void> {
    const archive = join(this.#folder, "load.tar");
    await run(["tar", "-cf", archive, "-C", image.layout, "oci-layout", "index.json", "blobs"]);
    const flags = ["--no-unpack", "--all-platforms", "--base-name", "loaded", "--snapshotter"];
    await this.ctr("images", "import", ...flags, "native", archive);
    await rm(archive);
    await this.tag(`loaded:${image.tag}`, reference);
  }

  async tag(reference: string, newReference: string): Promise<void> {
    await this.ctr("images", "tag", "--force", reference, newReference);
  }

  async push(reference: string): Promise<void> {
    await this.ctr("images", "push", "--plain-http", reference);
  }

  async pull(reference: string, { platform }: PullOptions = {}): Promise<void> {
    const flags = ["--plain-http", "--snapshotter", "native"];
    const platforms = platform === undefined ? [] : ["--platform", platform];
    await this.ctr("images", "pull", ...flags, ...platforms, reference);
  }

  async pullInVain(reference: string): Promise<string> {
    const command = ["ctr", "images", "pull", "--plain-http", "--snapshotter", "native", reference];
    return runToFailure(command, this.#ctr);
  }

  async held(reference: string): Promise<HeldImage> {
    const layout = this.contentStore;
    const pulled = await this.target(reference);
    const { manifests = [pulled] } = await readManifest(layout, pulled);
    // Of an index, containerd has the image that is for the platform.
    const [manifest, ...others] = manifests.filter(({ digest }) =>
      existsSync(blobFile(layout, digest)),
    );
    assert(manifest !== undefined && others.length === 0, "one image was pulled");
    const { config, diffIds } = await readImage(layout, undefined, manifest);
    return { manifest: pulled.digest, config: config.digest, diffIds };
  }

  /** Where containerd keeps blobs, in folders that are named as those of a layout. */
  get contentStore(): string {
    return join(this.#folder, "root/io.containerd.content.v1.content");
  }

  /** What a reference stands for. */
  async target(reference: string): Promise<Descriptor> {
    const table = await this.ctr("images", "list", `name==${reference}`);
    const [, row = ""] = table.split("\n");
    const [, mediaType, digest] = row.split(/\s+/);
    assert(mediaType !== undefined && digest !== undefined, `containerd has ${reference}`);
    const { size } = await stat(blobFile(this.contentStore, digest));
    return { mediaType, digest, size };
  }

  async ctr(...args: readonly string[]): Promise<string> {
    return run(["ctr", ...args], this.#ctr);
  }
}

function configuration({ folder }: Isolation, socket: string): string {
  return [
    "version = 2",
    `root = "${join(folder, "root")}"`,
    `state = "${join(folder, "state")}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    "[grpc]",
    `address = "${socket}"`,
    "",
  ].join("\n");
}
