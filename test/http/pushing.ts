/** Pushes that are only there so that something else can be tested. */
import assert from "node:assert/strict";
import { expectAnswer, type Answer } from "./answer.ts";
import type { Client } from "./client.ts";
import type { Content, Image } from "./content.ts";

export async function pushBlob(client: Client, repository: string, blob: Content): Promise<void> {
  const target = `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`;
  expectAnswer(await client.post(target, blob.bytes), 201);
}

/** By tag, or by its digest. */
export async function putManifest(
  client: Client,
  repository: string,
  manifest: Content,
  reference: string = manifest.digest,
): Promise<Answer> {
  const headers = { "Content-Type": manifest.mediaType };
  return await client.put(`/v2/${repository}/manifests/${reference}`, manifest.bytes, headers);
}

export async function pushManifest(
  client: Client,
  repository: string,
  manifest: Content,
  reference: string = manifest.digest,
): Promise<void> {
  expectAnswer(await putManifest(client, repository, manifest, reference), 201);
}

/** Blobs first, then the manifest under each of the tags, or by its digest. */
export async function pushImage<T extends Image>(
  client: Client,
  repository: string,
  image: T,
  ...tags: readonly string[]
): Promise<T> {
  for (const blob of image.blobs) await pushBlob(client, repository, blob);
  for (const reference of tags.length === 0 ? [image.digest] : tags) {
    await pushManifest(client, repository, image, reference);
  }
  return image;
}

/** Begins an upload: where to go on. */
export async function beginUpload(client: Client, repository: string, query = ""): Promise<string> {
  const answer = await client.post(`/v2/${repository}/blobs/uploads/${query}`);
  expectAnswer(answer, 202);
  return answer.required("location");
}

/** The upload's end, under a digest. */
export function ending(location: string, digest: string): string {
  return `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
}

export async function expectBlob(client: Client, repository: string, blob: Content): Promise<void> {
  const answer = await client.get(`/v2/${repository}/blobs/${blob.digest}`);
  expectAnswer(answer, 200, { "docker-content-digest": blob.digest });
  assert.deepEqual(answer.bytes, blob.bytes);
}

export async function expectNoBlob(
  client: Client,
  repository: string,
  digest: string,
): Promise<void> {
  expectAnswer(await client.head(`/v2/${repository}/blobs/${digest}`), 404);
}

export async function expectManifest(
  client: Client,
  repository: string,
  manifest: Content,
  reference: string = manifest.digest,
): Promise<void> {
  const answer = await client.get(`/v2/${repository}/manifests/${reference}`);
  expectAnswer(answer, 200, { "content-type": manifest.mediaType });
  assert.deepEqual(answer.bytes, manifest.bytes);
}

/** The tags of a repository, in one page. */
export async function tagsOf(client: Client, repository: string): Promise<readonly string[]> {
  const answer = await client.get(`/v2/${repository}/tags/list`);
  expectAnswer(answer, 200);
  return (answer.json() as { readonly tags: readonly string[] }).tags;
}

/** More pages than any list here has: then they go in circles. */
const pagesMax = 100;

/** A list's pages, one after another. */
export async function* followPages(client: Client, first: string): AsyncGenerator<Answer> {
  let target: string | undefined = first;
  for (let count = 0; target !== undefined; count += 1) {
    assert(count < pagesMax, `the pages of ${first} do not end`);
    const answer = await client.get(target);
    yield answer;
    target = nextPage(answer);
  }
}

/** The `next` page that an answer links to. */
export function nextPage(answer: Answer): string | undefined {
  const link = answer.header("link");
  if (link === undefined) return undefined;
  const match = /^<(?<target>[^>]+)>; rel="next"$/.exec(link);
  const target = match?.groups?.["target"];
  assert(target !== undefined, `not a link to a next page: ${link}`);
  return target;
}
