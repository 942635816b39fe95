/** What the cases of the bucket's contract suite are made of. */
import { readAll } from "../contract-support.ts";
import type { ObjectBucket } from "./object-bucket.ts";

export interface BucketScene {
  readonly bucket: ObjectBucket;
  /** Begins every key of a case, and no other's. Ends with a slash. */
  readonly at: string;
  /** Whether a completion that is repeated with other parts makes the object anew. */
  readonly isRewriting: boolean;
}

/** Named by the sentence that each one holds. */
export type BucketCases = Readonly<Record<string, (scene: BucketScene) => Promise<void>>>;

export async function contentAt(
  bucket: ObjectBucket,
  key: string,
): Promise<Uint8Array | undefined> {
  const opened = await bucket.get(key, undefined, {});
  return opened && (await readAll(opened.body));
}
