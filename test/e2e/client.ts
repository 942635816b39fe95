/** The clients that people use, seen alike: each with a storage of its own, into which it pulls. */
import assert from "node:assert/strict";
import type { LayoutImage } from "./layout.ts";

export type ClientName = "skopeo" | "podman" | "buildah" | "docker" | "containerd";

export interface PullOptions {
  /** As in `linux/arm64`; this machine's otherwise. */
  readonly platform?: string;
}

export interface Client {
  readonly name: ClientName;
  /** Takes an image from a layout into the client's storage, under a reference. */
  load(image: LayoutImage, reference: string): Promise<void>;
  /** Names what is in the storage a second time. */
  tag(reference: string, newReference: string): Promise<void>;
  push(reference: string): Promise<void>;
  pull(reference: string, options?: PullOptions): Promise<void>;
  /** Pulls what must not be there, and returns what the client says then. */
  pullInVain(reference: string): Promise<string>;
  /** What lies in the client's storage, hashed. */
  held(reference: string): Promise<HeldImage>;
}

/** An image in a client's storage. Clients differ in how they compress layers, but not in this. */
export interface HeldImage {
  /** The digest of the manifest, as the client tells it. */
  readonly manifest: string;
  readonly config: string;
  /** The digests of the layers' tars. */
  readonly diffIds: readonly string[];
}

/** That a client holds what a layout has, to the last byte of each layer. */
export function assertHolds(held: HeldImage, image: LayoutImage): void {
  assert.equal(held.config, image.config.digest, "the same configuration");
  assert.deepEqual(held.diffIds, image.diffIds, "the same layers");
}

export interface PlatformFlags {
  readonly os: string;
  readonly arch: string;
  readonly variant?: string;
}

export function parsePlatform(platform: string): PlatformFlags {
  const [os = "", arch = "", variant] = platform.split("/");
  return { os, arch, ...(variant === undefined ? {} : { variant }) };
}
