/** Names that clients choose: repositories and tags. spec: pulling manifests. */

declare const repositoryNameBrand: unique symbol;
declare const tagBrand: unique symbol;

export type RepositoryName = string & { readonly [repositoryNameBrand]: true };
export type Tag = string & { readonly [tagBrand]: true };

/**
 * Characters. Many clients refuse a longer `<host>/<name>` (spec: pulling manifests, implementers
 * note).
 */
export const repositoryNameLengthMax = 255;

/** Characters. spec: pulling manifests. */
export const tagLengthMax = 128;

// The spec's own grammar. Separators and letters are disjoint sets, so there is only one way to
// match a given text and nothing to backtrack into: linear time, on at most
// `repositoryNameLengthMax` characters.
const repositoryNamePattern =
  /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*$/;

const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]*$/;

/** `undefined` for whatever the grammar refuses; a `host:port/` in front is no part of a name. */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  return isRepositoryName(text) ? text : undefined;
}

export function parseTag(text: string): Tag | undefined {
  return isTag(text) ? text : undefined;
}

function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= repositoryNameLengthMax && repositoryNamePattern.test(text);
}

function isTag(text: string): text is Tag {
  return text.length <= tagLengthMax && tagPattern.test(text);
}
