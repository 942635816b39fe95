/** Pulls that look at every byte. */
import assert from "node:assert/strict";
import { assertStatus, referencesOf, type Client } from "../../race/support/client.ts";
import { sha256 } from "../../race/support/random.ts";

/** Pulls an image with all that it refers to; resolves with its digest. */
export async function pullWhole(
  client: Client,
  repository: string,
  reference: string,
): Promise<string> {
  const pulled = await client.get(`/v2/${repository}/manifests/${reference}`);
  assertStatus(pulled, 200);
  const digest = sha256(pulled.bytes);
  assert.equal(pulled.header("docker-content-digest"), digest);
  await Promise.all(
    referencesOf(pulled.bytes).map(async (blob) => {
      const answer = await client.get(`/v2/${repository}/blobs/${blob}`);
      assertStatus(answer, 200);
      assert.equal(sha256(answer.bytes), blob, `${repository} ${blob} holds other bytes`);
    }),
  );
  return digest;
}
