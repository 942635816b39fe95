/** What can be wrong between an upload and its writers. */
import { OciError } from "../oci/errors.ts";

export function uploadUnknown(id: string): OciError {
  return new OciError("BLOB_UPLOAD_UNKNOWN", { detail: { upload: id.slice(0, 100) } });
}

/**
 * A chunk that does not begin where the upload ends, or that comes while somebody else writes.
 * Tells where the upload stands, so that the client can go on from there. spec: pushing a blob in
 * chunks.
 */
export class UploadConflict extends OciError {
  readonly upload: { readonly id: string; readonly offset: number };
  /** When another try may succeed; `undefined` at once. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    upload: { readonly id: string; readonly offset: number },
    retryAfterMs?: number,
  ) {
    super("RANGE_INVALID", { message, detail: { offset: upload.offset } });
    this.upload = upload;
    this.retryAfterMs = retryAfterMs;
  }
}
