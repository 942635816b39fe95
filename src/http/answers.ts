/** Makes answers: JSON, errors in the protocol's form, empty ones. */
import { OciError, errorEnvelope } from "../oci/errors.ts";
import { MissingReferences } from "../registry/manifests.ts";
import { unavailableFor } from "../registry/unavailable.ts";
import { UploadConflict } from "../registry/upload-errors.ts";
import type { Answer, AnswerBody } from "./exchange.ts";

export type HeaderList = readonly (readonly [name: string, value: string])[];

export function answer(status: number, headers: HeaderList, body: AnswerBody = null): Answer {
  return { status, headers, body };
}

/** An answer without a body, said so. */
export function emptyAnswer(status: number, headers: HeaderList): Answer {
  return { status, headers: [...headers, ["Content-Length", "0"]], body: null };
}

/**
 * The text stays a text: as bytes, lists of some ten kilobytes pile up outside of the heap faster
 * than they are collected.
 */
export function jsonAnswer(status: number, text: string, headers: HeaderList = []): Answer {
  return {
    status,
    headers: [
      ["Content-Type", "application/json"],
      ["Content-Length", String(Buffer.byteLength(text))],
      ...headers,
    ],
    body: text,
  };
}

export function errorAnswer(error: OciError, headers: HeaderList = []): Answer {
  return jsonAnswer(error.status, errorEnvelope([error]), headers);
}

/** The answer to a failed use case; `undefined` for what is not meant for the client. */
export function answerForError(
  error: unknown,
  locate: (upload: UploadConflict["upload"]) => string,
): Answer | undefined {
  if (error instanceof MissingReferences) {
    const status = error.errors[0]?.status ?? 400;
    return jsonAnswer(status, errorEnvelope(error.errors));
  }
  if (error instanceof UploadConflict) return errorAnswer(error, conflictHeaders(error, locate));
  if (error instanceof OciError) return errorAnswer(error);
  const retryAfterMs = unavailableFor(error);
  if (retryAfterMs === undefined) return undefined;
  return errorAnswer(new OciError("UNAVAILABLE"), [retryAfter(retryAfterMs)]);
}

/** Whole seconds, one at least: zero would mean "at once". */
function retryAfter(ms: number): HeaderList[number] {
  return ["Retry-After", String(Math.max(1, Math.ceil(ms / 1000)))];
}

function conflictHeaders(
  conflict: UploadConflict,
  locate: (upload: UploadConflict["upload"]) => string,
): HeaderList {
  const { retryAfterMs, upload } = conflict;
  const headers: HeaderList = [
    ["Location", locate(upload)],
    ["Range", uploadRange(upload.offset)],
    ["Docker-Upload-UUID", upload.id],
  ];
  return retryAfterMs === undefined ? headers : [...headers, retryAfter(retryAfterMs)];
}

/** The bytes an upload has. An empty one is `0-0` too, as Distribution has it. spec: end-13. */
export function uploadRange(offset: number): string {
  return `0-${Math.max(0, offset - 1)}`;
}
