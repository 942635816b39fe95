/** skopeo. It has no storage: ours for it is a folder of OCI layouts, one for each reference. */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { parsePlatform, type Client, type HeldImage, type PullOptions } from "./client.ts";
import { isolate, type Isolation } from "./isolation.ts";
import { readImage, type LayoutImage } from "./layout.ts";
import { run, runToFailure, StartedProcess } from "./processes.ts";
import type { Workspace } from "./workspace.ts";

export async function createSkopeo(workspace: Workspace): Promise<Skopeo> {
  return new Skopeo(await isolate(workspace, "skopeo"));
}

export class Skopeo implements Client {
  readonly name = "skopeo";
  readonly #isolation: Isolation;

  constructor(isolation: Isolation) {
    this.#isolation = isolation;
  }

  /** The layout that stands for a reference in this client's storage. */
  layoutOf(reference: string): string {
    return join(this.#isolation.folder, `layout-${reference.replaceAll(/[^a-z0-9.-]/g, "_")}`);
  }

  async load(image: LayoutImage, reference: string): Promise<void> {
    await rm(this.layoutOf(reference), { recursive: true, force: true });
    const source = `oci:${image.layout}:${image.tag}`;
    await this.#skopeo("copy", "--preserve-digests", source, `oci:${this.layoutOf(reference)}`);
  }

  async tag(reference: string, newReference: string): Promise<void> {
    await cp(this.layoutOf(reference), this.layoutOf(newReference), { recursive: true });
  }

  async push(reference: string): Promise<void> {
    await this.copy(`oci:${this.layoutOf(reference)}`, `docker://${reference}`);
  }

  async pull(reference: string, { platform }: PullOptions = {}): Promise<void> {
    await rm(this.layoutOf(reference), { recursive: true, force: true });
    const target = `oci:${this.layoutOf(reference)}`;
    await this.#skopeo(
      ...(platform === undefined ? [] : platformFlags(platform)),
      ...["copy", "--src-tls-verify=false", "--preserve-digests"],
      ...[`docker://${reference}`, target],
    );
  }

  async pullInVain(reference: string): Promise<string> {
    const target = `oci:${this.layoutOf(reference)}`;
    return runToFailure(
      ["skopeo", "copy", "--src-tls-verify=false", `docker://${reference}`, target],
      this.#isolation,
    );
  }

  async held(reference: string): Promise<HeldImage> {
    const image = await readImage(this.layoutOf(reference));
    const { manifest, config, diffIds } = image;
    return { manifest: manifest.digest, config: config.digest, diffIds };
  }

  /** `skopeo copy` of anything to anything. */
  async copy(source: string, target: string, ...flags: readonly string[]): Promise<void> {
    await this.#skopeo("copy", ...tlsFlags(source, target), ...flags, source, target);
  }

  /** A copy that goes on while the test does something else. */
  startCopy(source: string, target: string): StartedProcess {
    const command = ["skopeo", "copy", ...tlsFlags(source, target), source, target];
    return new StartedProcess(command, this.#isolation);
  }

  async inspect(reference: string, ...flags: readonly string[]): Promise<string> {
    return this.#skopeo("inspect", "--tls-verify=false", ...flags, `docker://${reference}`);
  }

  async listTags(repository: string): Promise<readonly string[]> {
    const said = await this.#skopeo("list-tags", "--tls-verify=false", `docker://${repository}`);
    return (JSON.parse(said) as { readonly Tags: readonly string[] }).Tags;
  }

  async delete(reference: string): Promise<void> {
    await this.#skopeo("delete", "--tls-verify=false", `docker://${reference}`);
  }

  async deleteInVain(reference: string): Promise<string> {
    const command = ["skopeo", "delete", "--tls-verify=false", `docker://${reference}`];
    return runToFailure(command, this.#isolation);
  }

  async #skopeo(...args: readonly string[]): Promise<string> {
    return run(["skopeo", ...args], this.#isolation);
  }
}

function tlsFlags(source: string, target: string): readonly string[] {
  return [
    ...(source.startsWith("docker://") ? ["--src-tls-verify=false"] : []),
    ...(target.startsWith("docker://") ? ["--dest-tls-verify=false"] : []),
  ];
}

function platformFlags(platform: string): readonly string[] {
  const { os, arch, variant } = parsePlatform(platform);
  return [
    ...["--override-os", os, "--override-arch", arch],
    ...(variant === undefined ? [] : ["--override-variant", variant]),
  ];
}
