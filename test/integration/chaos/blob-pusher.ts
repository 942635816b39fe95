/** Pushes blobs as real clients do: what is there is not sent, what breaks off is gone on with. */
import assert from "node:assert/strict";
import {
  assertStatus,
  describe,
  locationOf,
  octets,
  offsetOf,
  withDigest,
  type Answer,
} from "../../race/support/client.ts";
import { sha256, type Random } from "../../race/support/random.ts";
import type { PatientClient } from "./patient-client.ts";

/** Bodies are sent in pieces, so that faults fall between them. */
const pieceBytes = 100_000;

interface Upload {
  readonly repository: string;
  readonly content: Uint8Array;
  location: string;
  /** Bytes that the registry has said it has. */
  acknowledged: number;
}

export class BlobPusher {
  readonly #client: PatientClient;
  readonly #random: Random;
  readonly #mayLoseUploads: boolean;

  constructor(client: PatientClient, random: Random, mayLoseUploads: boolean) {
    this.#client = client;
    this.#random = random;
    this.#mayLoseUploads = mayLoseUploads;
  }

  async push(repository: string, content: Uint8Array): Promise<void> {
    const digest = sha256(content);
    await this.#client.repeat(`the push of ${digest} to ${repository}`, async () => {
      const seen = await this.#client.send("HEAD", `/v2/${repository}/blobs/${digest}`);
      if (seen.status === 200) return true;
      assertStatus(seen, 404);
      return (await this.#tryOnce(repository, content)) ? true : undefined;
    });
  }

  /** Whether it was acknowledged. If not, it may be there all the same. */
  async #tryOnce(repository: string, content: Uint8Array): Promise<boolean> {
    if (this.#random.chance(0.3)) {
      const target = `/v2/${repository}/blobs/uploads/?digest=${sha256(content)}`;
      const answer = await this.#client.once(() =>
        this.#client.client.send("POST", target, { headers: octets, body: content }),
      );
      if (answer === undefined) return false;
      // The upload that it began may be lost as well.
      assertStatus(answer, 201, ...(this.#mayLoseUploads ? [404, 416] : []));
      return answer.status === 201;
    }
    const begun = await this.#client.send("POST", `/v2/${repository}/blobs/uploads/`);
    assertStatus(begun, 202);
    const upload = { repository, content, location: locationOf(begun), acknowledged: 0 };
    const wanted = this.#random.integer(0, 3);
    for (let chunk = 0; chunk < wanted && upload.acknowledged < content.byteLength; chunk += 1) {
      if (!(await this.#sendChunk(upload)) && !(await this.#catchUp(upload))) return false;
    }
    return await this.#finish(upload);
  }

  /** Whether it was acknowledged. */
  async #sendChunk(upload: Upload): Promise<boolean> {
    const { acknowledged: start, content } = upload;
    const end = this.#random.integer(Math.min(start + 2, content.byteLength), content.byteLength);
    const answer = await this.#client.once(() =>
      this.#stream(upload, content.subarray(start, end)),
    );
    if (answer?.status !== 202) {
      // Somebody else is said to be at it: the try before, on a node that is not well.
      if (answer !== undefined) assertStatus(answer, 404, 416);
      return false;
    }
    assert.equal(offsetOf(answer), end, "the whole chunk is acknowledged");
    upload.acknowledged = end;
    upload.location = locationOf(answer);
    return true;
  }

  async #stream({ location }: Upload, chunk: Uint8Array): Promise<Answer> {
    const request = this.#client.client.open("PATCH", location, octets);
    for (let at = 0; at < chunk.byteLength; at += pieceBytes) {
      await request.send(chunk.subarray(at, at + pieceBytes));
    }
    return await request.end();
  }

  /** Asks where the upload stands. Real clients begin anew as well: some are left behind. */
  async #catchUp(upload: Upload): Promise<boolean> {
    if (this.#random.chance(0.3)) return false;
    const status = await this.#client.get(upload.location);
    const { acknowledged } = upload;
    if (status.status === 404) {
      const isLost = this.#mayLoseUploads && acknowledged === 0;
      assert(isLost, `an upload with ${acknowledged} acknowledged bytes is unknown`);
      return false;
    }
    assertStatus(status, 204);
    const offset = offsetOf(status);
    assert(
      offset >= acknowledged,
      `the upload lost bytes: ${offset} < ${acknowledged}, ${describe(status)}`,
    );
    assert(offset <= upload.content.byteLength, "the upload has more bytes than were sent");
    upload.acknowledged = offset;
    upload.location = locationOf(status);
    await this.#client.pause();
    return true;
  }

  async #finish({ acknowledged, content, location }: Upload): Promise<boolean> {
    const rest = content.subarray(acknowledged);
    const body = rest.byteLength === 0 ? {} : { headers: octets, body: rest };
    const target = withDigest(location, sha256(content));
    const answer = await this.#client.once(() => this.#client.client.send("PUT", target, body));
    if (answer === undefined) return false;
    // The lease of a try before, or the try before has come to its end.
    assertStatus(answer, 201, 404, 416);
    return answer.status === 201;
  }
}
