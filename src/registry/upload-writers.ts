/**
 * One writer per upload (invariant I6). In this process a new writer aborts the one before and
 * waits for its last write; between processes the lease in the metadata decides, and whoever takes
 * over from a process that may still be alive continues in a copy, so that late writes land in
 * nothing.
 */
import type { UploadAppended } from "../metadata/commands.ts";
import type { UploadRecord } from "../metadata/records.ts";
import type { OciError } from "../oci/errors.ts";
import type { RepositoryName } from "../oci/names.ts";
import { UploadLost, type StoredUpload } from "../storage/blob-store.ts";
import type { RegistryContext } from "./context.ts";
import { UploadConflict, uploadUnknown } from "./upload-errors.ts";

interface ActiveWriter {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** A writer's hold on an upload: everything it writes goes through here. */
export interface UploadLease {
  readonly record: UploadRecord;
  readonly epoch: number;
  /** Where the store keeps the bytes. */
  readonly stored: StoredUpload;
  /** Aborts when another writer takes over, the lease is lost, or the client has gone. */
  readonly signal: AbortSignal;
}

export class UploadWriters {
  readonly #ctx: RegistryContext;
  readonly #active = new Map<string, ActiveWriter>();

  constructor(ctx: RegistryContext) {
    this.#ctx = ctx;
  }

  /** Runs `write` as the upload's only writer. */
  async write<T>(
    upload: { readonly repository: RepositoryName; readonly id: string },
    signal: AbortSignal,
    write: (lease: UploadLease) => Promise<T>,
  ): Promise<T> {
    return await this.#alone(upload.id, async (abort) => {
      const { record, previousWriter } = await this.#acquire(upload);
      const lease = toLease(record, record.state, AbortSignal.any([signal, abort.signal]));
      return await this.#renewing(lease, abort, async () => {
        try {
          const mine = previousWriter === undefined ? lease : await this.#takeOver(lease);
          return await this.#releasing(mine, write);
        } catch (error) {
          throw error instanceof UploadLost ? await this.#forget(lease, error) : error;
        }
      });
    });
  }

  /** Runs `write` on an upload that was created with its lease held. */
  async writeNew<T>(
    record: UploadRecord,
    signal: AbortSignal,
    write: (lease: UploadLease) => Promise<T>,
  ): Promise<T> {
    return await this.#alone(record.id, async (abort) => {
      const lease = toLease(record, record.state, AbortSignal.any([signal, abort.signal]));
      return await this.#renewing(lease, abort, () => this.#releasing(lease, write));
    });
  }

  /** Ends whoever writes to the upload in this process, and waits for its last write. */
  async stop(id: string): Promise<void> {
    await this.#alone(id, async () => undefined);
  }

  async #alone<T>(id: string, run: (abort: AbortController) => Promise<T>): Promise<T> {
    const before = this.#active.get(id);
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const mine: ActiveWriter = { abort: new AbortController(), done };
    this.#active.set(id, mine);
    try {
      before?.abort.abort(new Error("another request writes to this upload"));
      await before?.done;
      return await run(mine.abort);
    } finally {
      if (this.#active.get(id) === mine) this.#active.delete(id);
      finish();
    }
  }

  /**
   * Each writer has a name of its own: one that did not give its lease back is a stranger to the
   * next one, in this process too, and what it left is not trusted.
   */
  async #acquire(upload: { readonly repository: RepositoryName; readonly id: string }): Promise<{
    readonly record: UploadRecord;
    readonly previousWriter: string | undefined;
  }> {
    const { metadata, newId, settings, writer } = this.#ctx;
    const done = await metadata.execute("acquireUpload", {
      ...upload,
      writer: `${writer}:${newId()}`,
      leaseMs: settings.uploadLeaseMs,
    });
    if (done.outcome === "unknown") throw uploadUnknown(upload.id);
    if (done.outcome === "busy") {
      const { offset, retryAfterMs } = done;
      const message = "another request writes to this upload";
      throw new UploadConflict(message, { id: upload.id, offset }, retryAfterMs);
    }
    return { record: done.upload, previousWriter: done.previousWriter };
  }

  /** Goes on in a copy, since the writer before may still be alive somewhere. */
  async #takeOver({ epoch, record, signal, stored: from }: UploadLease): Promise<UploadLease> {
    const { metadata, store } = this.#ctx;
    const { digestsSoFar, id, offset } = record;
    try {
      const state = await store.create(id, { from, size: offset });
      const lease = toLease(record, state, signal);
      await this.save(lease, { offset, digestsSoFar, state }, "keep");
      await store.abort(from);
      return lease;
    } catch (error) {
      // The lease ends, and is not given back: the next one has to take over, too.
      await metadata.execute("saveUpload", { id, epoch, lease: { forMs: 0 } });
      throw error;
    }
  }

  /**
   * The bytes of an upload are gone, after a power cut or by somebody's hand: the client is told
   * that there is no such upload, and begins anew. A writer that has lost its lease knows nothing
   * of the upload any more.
   */
  async #forget(lease: UploadLease, lost: UploadLost): Promise<OciError> {
    const { metadata, report, store } = this.#ctx;
    const { id, repository } = lease.record;
    const { epoch } = lease;
    const done = await metadata.execute("deleteUpload", { id, repository, epoch });
    if (done.outcome !== "deleted") return leaseLost(lease.record);
    report(`upload ${id} has lost its bytes`, lost);
    await store.abort(lease.stored);
    return uploadUnknown(id);
  }

  /** Records what an append left. A lease that was lost in the meantime is a conflict. */
  async save(
    lease: UploadLease,
    appended: UploadAppended,
    next: "keep" | "release",
  ): Promise<void> {
    const { epoch, record } = lease;
    const { metadata } = this.#ctx;
    const done = await metadata.execute("saveUpload", {
      id: record.id,
      epoch,
      lease: next,
      appended,
    });
    if (done.outcome === "saved") return;
    await this.#dropOrphan(record, appended.state);
    throw leaseLost(record);
  }

  /**
   * What a writer that has lost its upload still holds in the store is nobody's, once the upload is
   * gone or lies elsewhere. Until then its successor may be about to copy it. Where each commit has
   * its own key two states of an upload may share bytes: there it all goes with the upload's end.
   */
  async #dropOrphan({ id, repository }: UploadRecord, state: string): Promise<void> {
    const { metadata, report, store } = this.#ctx;
    if (store.keys === "commit") return;
    try {
      const current = await metadata.findUpload(repository, id);
      if (current?.state !== state) await store.abort({ id, state });
    } catch (error) {
      report(`what is left of upload ${id} could not be dropped`, error);
    }
  }

  /** Whether the lease is still held; if so, it goes on. */
  async renew({ epoch, record }: UploadLease): Promise<boolean> {
    const { metadata, settings } = this.#ctx;
    const lease = { forMs: settings.uploadLeaseMs };
    const done = await metadata.execute("saveUpload", { id: record.id, epoch, lease });
    return done.outcome === "saved";
  }

  /** Prolongs the lease while `write` works; when it is lost, `write` is aborted. */
  async #renewing<T>(
    lease: UploadLease,
    abort: AbortController,
    write: () => Promise<T>,
  ): Promise<T> {
    const { record } = lease;
    const renew = async (): Promise<void> => {
      try {
        if (!(await this.renew(lease))) abort.abort(leaseLost(record));
      } catch (error) {
        this.#ctx.report(`the lease of upload ${record.id} could not be renewed`, error);
      }
    };
    const timer = setInterval(() => void renew(), this.#ctx.settings.uploadLeaseMs / 3);
    timer.unref();
    try {
      return await write();
    } finally {
      clearInterval(timer);
    }
  }

  /** After a failure the next writer need not wait for the lease to run out. */
  async #releasing<T>(lease: UploadLease, write: (lease: UploadLease) => Promise<T>): Promise<T> {
    try {
      return await write(lease);
    } catch (error) {
      await this.#release(lease);
      throw error;
    }
  }

  async #release({ epoch, record, stored }: UploadLease): Promise<void> {
    const { metadata, report } = this.#ctx;
    try {
      const release = { id: record.id, epoch, lease: "release" } as const;
      const { outcome } = await metadata.execute("saveUpload", release);
      if (outcome === "lost") await this.#dropOrphan(record, stored.state);
    } catch (error) {
      report(`the lease of upload ${record.id} could not be given back`, error);
    }
  }
}

export function leaseLost(record: UploadRecord): UploadConflict {
  return new UploadConflict("another request took this upload over", {
    id: record.id,
    offset: record.offset,
  });
}

function toLease(record: UploadRecord, state: string, signal: AbortSignal): UploadLease {
  return { record, epoch: record.writerEpoch, stored: { id: record.id, state }, signal };
}
