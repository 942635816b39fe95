import { createCipheriv, createHash, randomBytes, type Cipheriv } from "node:crypto";
/** Images that nobody has seen before, made with umoci. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { readImage, type LayoutImage, type Platform } from "./layout.ts";
import { plainSurroundings, run } from "./processes.ts";
import { say, type Workspace } from "./workspace.ts";

export interface ImageOptions {
  /** Bytes of noise in each layer, lowest first. */
  readonly layerBytes?: readonly number[];
  readonly platform?: Platform;
  /** Extends this image instead of an empty one; both are then in one layout. */
  readonly base?: LayoutImage;
}

const kib = 1024;
export const mib: number = 1024 * kib;

/** A small layer, one of several network buffers and one in between. */
const usualLayerBytes: readonly number[] = [3 * kib, 5 * mib, 200 * kib];

export class ImageMaker {
  readonly #workspace: Workspace;
  readonly #noise: Noise;
  #count = 0;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    const seed = process.env["E2E_SEED"] ?? randomBytes(8).toString("hex");
    say(`noise of E2E_SEED=${seed}`);
    this.#noise = new Noise(seed);
  }

  noise(byteLength: number): Buffer<ArrayBuffer> {
    return this.#noise.next(byteLength);
  }

  async make(options: ImageOptions = {}): Promise<LayoutImage> {
    const { layerBytes = usualLayerBytes, base } = options;
    const platform = options.platform ?? { os: "linux", architecture: "amd64" };
    const tag = `image-${++this.#count}`;
    const layout = base?.layout ?? (await this.#newLayout());
    const image = `${layout}:${tag}`;
    if (base === undefined) await umoci("new", "--image", image);
    else await umoci("tag", "--image", `${layout}:${base.tag}`, tag);
    for (const [number, byteLength] of layerBytes.entries()) {
      const content = await this.#newContent(byteLength);
      await umoci("insert", "--image", image, content, `/${tag}-layer-${number}`);
    }
    await umoci(
      ...["config", "--image", image, "--no-history"],
      ...["--os", platform.os, "--architecture", platform.architecture],
      ...["--config.cmd", `/${tag}-layer-0/program`, "--config.label", `made.by=${tag}`],
    );
    say(`made ${tag} with umoci: ${layerBytes.length} layers, ${layerBytes.join(" + ")} bytes`);
    return readImage(layout, tag);
  }

  async #newLayout(): Promise<string> {
    const layout = join(await this.#workspace.newFolder("image"), "layout");
    await umoci("init", "--layout", layout);
    return layout;
  }

  async #newContent(byteLength: number): Promise<string> {
    const folder = join(await this.#workspace.newFolder("content"), "files");
    await mkdir(join(folder, "folder"), { recursive: true });
    await writeFile(join(folder, "program"), this.#noise.next(byteLength), { mode: 0o755 });
    await writeFile(join(folder, "folder/empty"), "");
    return folder;
  }
}

async function umoci(...args: readonly string[]): Promise<void> {
  await run(["umoci", ...args], { ...plainSurroundings, quiet: true });
}

/** Bytes that no compression makes smaller, the same for the same seed, and fast. */
export class Noise {
  readonly #cipher: Cipheriv;

  constructor(seed: string) {
    const key = createHash("sha256").update(seed).digest();
    this.#cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  }

  next(byteLength: number): Buffer<ArrayBuffer> {
    return Buffer.from(this.#cipher.update(Buffer.alloc(byteLength)));
  }
}
