/** What stands behind `/manifests/` in a URL: a tag or a digest. spec: pulling manifests. */
import { looksLikeDigest, parseDigest } from "./digest.ts";
import type { Digest } from "./digest.ts";
import { parseTag } from "./names.ts";
import type { Tag } from "./names.ts";

export type ManifestReference = { readonly tag: Tag } | { readonly digest: Digest };

/**
 * `undefined` for what is neither; `looksLikeDigest` then says which of the two it failed to be.
 */
export function parseManifestReference(text: string): ManifestReference | undefined {
  if (looksLikeDigest(text)) {
    const digest = parseDigest(text);
    return digest === undefined ? undefined : { digest };
  }
  const tag = parseTag(text);
  return tag === undefined ? undefined : { tag };
}
