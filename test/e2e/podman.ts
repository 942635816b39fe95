/** podman, without its service. */
import { join } from "node:path";
import { readImageFolder } from "./archive.ts";
import { parsePlatform, type Client, type HeldImage, type PullOptions } from "./client.ts";
import { isolate, type Isolation, type IsolationOptions } from "./isolation.ts";
import type { LayoutImage } from "./layout.ts";
import { run, runToFailure } from "./processes.ts";
import type { Workspace } from "./workspace.ts";

export async function createPodman(
  workspace: Workspace,
  options: IsolationOptions = {},
): Promise<Podman> {
  return new Podman(await isolate(workspace, "podman", options));
}

export class Podman implements Client {
  readonly name = "podman";
  readonly #isolation: Isolation;

  constructor(isolation: Isolation) {
    this.#isolation = isolation;
  }

  async load(image: LayoutImage, reference: string): Promise<void> {
    const id = await this.podman("pull", "--quiet", `oci:${image.layout}:${image.tag}`);
    await this.podman("tag", id.trim(), reference);
  }

  async tag(reference: string, newReference: string): Promise<void> {
    await this.podman("tag", reference, newReference);
  }

  async push(reference: string): Promise<void> {
    await this.podman("push", "--tls-verify=false", reference);
  }

  async pull(reference: string, { platform }: PullOptions = {}): Promise<void> {
    const flags = platform === undefined ? [] : platformFlags(platform);
    await this.podman("pull", "--tls-verify=false", ...flags, reference);
  }

  async pullInVain(reference: string): Promise<string> {
    return runToFailure(["podman", "pull", "--tls-verify=false", reference], this.#isolation);
  }

  async held(reference: string): Promise<HeldImage> {
    const format = "{{.Id}} {{.Digest}}";
    const said = await this.podman("image", "inspect", "--format", format, reference);
    const [id = "", manifest = ""] = said.trim().split(" ");
    const folder = join(this.#isolation.folder, "saved");
    await this.podman("push", "--quiet", id, `dir:${folder}`);
    return { manifest, ...(await readImageFolder(folder)) };
  }

  /** The digests of the files at the top of an image, by their names. */
  async fileDigests(reference: string): Promise<ReadonlyMap<string, string>> {
    // In one command, since what it mounts is gone when it ends.
    const script = 'cd "$(podman image mount "$1")" && exec sha256sum -- *';
    const listing = await run(["sh", "-c", script, "file-digests", reference], this.#isolation);
    const lines = listing.trimEnd().split("\n");
    return new Map(lines.map((line) => [line.slice(66), `sha256:${line.slice(0, 64)}`]));
  }

  async podman(...args: readonly string[]): Promise<string> {
    return run(["podman", ...args], this.#isolation);
  }
}

function platformFlags(platform: string): readonly string[] {
  const { os, arch, variant } = parsePlatform(platform);
  return [
    ...["--os", os, "--arch", arch],
    ...(variant === undefined ? [] : ["--variant", variant]),
  ];
}
