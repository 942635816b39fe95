/**
 * What upkeep reads, as records. Loads no query builder: readers need none.
 */
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/names.ts";
import type { BlobKey } from "../../storage/blob-store.ts";
import { knownMax, type UpkeepReads } from "../metadata-store.ts";
import type { ClaimedBlob, StoreIdentity, UnusedBlob, UploadRecord } from "../records.ts";
import {
  toUploadRecord,
  type KnownPlaces,
  type PreparedUpkeepReads,
  type UnusedRow,
} from "./rows.ts";
import type { SqlReader } from "./sql-reader.ts";

export class SqlUpkeepReads implements UpkeepReads {
  readonly #reader: SqlReader;
  readonly #reads: PreparedUpkeepReads;

  constructor(reader: SqlReader, reads: PreparedUpkeepReads) {
    this.#reader = reader;
    this.#reads = reads;
  }

  async known(what: Parameters<UpkeepReads["known"]>[0]): Promise<ReadonlySet<string>> {
    const { digests = [], keys = [], uploads = [] } = what;
    const places: KnownPlaces = {};
    for (let at = 0; at < knownMax; at += 1) {
      places[`key${at}`] = keys[at] ?? null;
      places[`digest${at}`] = digests[at] ?? null;
      places[`upload${at}`] = uploads[at] ?? null;
    }
    if (Math.max(digests.length, keys.length, uploads.length) > knownMax) {
      throw new RangeError(`more than ${knownMax} names at once`);
    }
    const rows = await this.#reader.all(this.#reads.known, places);
    return new Set(rows.map(({ name }) => name));
  }

  async listUnused(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly UnusedBlob[]> {
    const now = await this.#now();
    const rows = await this.#reader.all(this.#reads.unused, { ...options, now });
    return rows.map(toUnused);
  }

  async listClaims(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly ClaimedBlob[]> {
    const rows = await this.#reader.all(this.#reads.claims, { ...options });
    return rows.map((row) => Object.assign(toUnused(row), { claim: row.claim ?? "" }));
  }

  async listIdleUploads(options: {
    readonly idleMs: number;
    readonly after: string;
    readonly limit: number;
  }): Promise<readonly UploadRecord[]> {
    const { after, idleMs, limit } = options;
    const now = await this.#now();
    const places = { after, limit, now, idleSince: now - idleMs };
    const rows = await this.#reader.all(this.#reads.idleUploads, places);
    return rows.map((row) => toUploadRecord(row, row.repositoryName as RepositoryName));
  }

  async storeIdentity(): Promise<StoreIdentity | undefined> {
    const row = await this.#reader.first(this.#reads.identity, {});
    return row && { id: row.id, epoch: row.epoch };
  }

  /** What is read by it is decided again by the command that follows. */
  async #now(): Promise<number> {
    const row = await this.#reader.first(this.#reads.clock, {});
    if (row === undefined) throw new Error("the database has no clock");
    return row.now;
  }
}

function toUnused(row: UnusedRow): UnusedBlob {
  const { blobId, digest, key, size } = row;
  return { blobId, digest: digest as Digest, size, key: key as BlobKey };
}
