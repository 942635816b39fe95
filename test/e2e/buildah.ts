/** buildah. */
import { join } from "node:path";
import { readImageFolder } from "./archive.ts";
import { parsePlatform, type Client, type HeldImage, type PullOptions } from "./client.ts";
import { isolate, type Isolation } from "./isolation.ts";
import type { LayoutImage } from "./layout.ts";
import { run, runToFailure } from "./processes.ts";
import type { Workspace } from "./workspace.ts";

export async function createBuildah(workspace: Workspace): Promise<Buildah> {
  return new Buildah(await isolate(workspace, "buildah"));
}

export class Buildah implements Client {
  readonly name = "buildah";
  readonly #isolation: Isolation;

  constructor(isolation: Isolation) {
    this.#isolation = isolation;
  }

  async load(image: LayoutImage, reference: string): Promise<void> {
    const id = await this.buildah("pull", "--quiet", `oci:${image.layout}:${image.tag}`);
    await this.buildah("tag", id.trim(), reference);
  }

  async tag(reference: string, newReference: string): Promise<void> {
    await this.buildah("tag", reference, newReference);
  }

  async push(reference: string): Promise<void> {
    await this.buildah("push", "--tls-verify=false", reference, `docker://${reference}`);
  }

  async pull(reference: string, { platform }: PullOptions = {}): Promise<void> {
    const flags = platform === undefined ? [] : platformFlags(platform);
    const always = ["--policy", "always", "--tls-verify=false"];
    await this.buildah("pull", ...always, ...flags, `docker://${reference}`);
  }

  async pullInVain(reference: string): Promise<string> {
    return runToFailure(
      ["buildah", "pull", "--tls-verify=false", `docker://${reference}`],
      this.#isolation,
    );
  }

  async held(reference: string): Promise<HeldImage> {
    const format = "{{.FromImageID}} {{.FromImageDigest}}";
    const said = await this.buildah("inspect", "--type", "image", "--format", format, reference);
    const [id = "", manifest = ""] = said.trim().split(" ");
    const folder = join(this.#isolation.folder, "saved");
    await this.buildah("push", "--quiet", id, `dir:${folder}`);
    return { manifest, ...(await readImageFolder(folder)) };
  }

  async buildah(...args: readonly string[]): Promise<string> {
    return run(["buildah", ...args], this.#isolation);
  }
}

function platformFlags(platform: string): readonly string[] {
  const { os, arch, variant } = parsePlatform(platform);
  return [
    ...["--os", os, "--arch", arch],
    ...(variant === undefined ? [] : ["--variant", variant]),
  ];
}
