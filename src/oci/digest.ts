/**
 * Content digests, `algorithm:hex`: what an image-spec descriptor carries and what names a blob or
 * a manifest. spec: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
 */

declare const digestBrand: unique symbol;

/** A digest of a supported algorithm, with lower-case hex of exactly that algorithm's length. */
export type Digest = string & { readonly [digestBrand]: true };

export type DigestAlgorithm = "sha256" | "sha384" | "sha512";

/**
 * The canonical algorithm first. These are the three that Distribution's digest library knows, too.
 */
export const digestAlgorithms: readonly DigestAlgorithm[] = ["sha256", "sha384", "sha512"];

// One alternative can match at each position: linear time, and text that is too long fails early.
const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;

/** "sha" and three digits: every supported algorithm's name has this many characters. */
const algorithmLength = 6;

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return text === "sha256" || text === "sha384" || text === "sha512";
}

/** `undefined` for anything else: unknown algorithms, upper-case hex, a wrong length. */
export function parseDigest(text: string): Digest | undefined {
  return isDigest(text) ? text : undefined;
}

/** Names content that was hashed here; anything but the algorithm's own lower-case hex is a bug. */
export function digestOf(algorithm: DigestAlgorithm, hex: string): Digest {
  const text = `${algorithm}:${hex}`;
  if (!isDigest(text)) throw new TypeError(`not the hex of a ${algorithm} digest`);
  return text;
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  const algorithm = digest.slice(0, algorithmLength);
  if (!isDigestAlgorithm(algorithm)) throw new TypeError("not a digest");
  return algorithm;
}

export function hexOf(digest: Digest): string {
  return digest.slice(algorithmLength + 1);
}

/**
 * Whether a manifest's reference has to be judged as a digest: a tag never has a colon
 * (spec: pulling manifests), so `sha256:abc` is a bad digest and not an unknown tag.
 */
export function looksLikeDigest(text: string): boolean {
  return text.includes(":");
}

function isDigest(text: string): text is Digest {
  return digestPattern.test(text);
}
