/** In which order a push has to reach the disk before its client is told (invariant I1). */
import { dirname, join } from "node:path";
import { creationsOf, namings, syncsOf, writesTo, type Call, type SentAnswer } from "./trace.ts";

export interface TracedPush {
  readonly calls: readonly Call[];
  /** The storage's root. */
  readonly root: string;
  /** The answer that acknowledges the push, and the one before it on the same connection. */
  readonly answer: SentAnswer;
  readonly before: SentAnswer;
}

/** Where the database's log lies. */
export function logOf(root: string): string {
  return join(root, "longshore", "metadata.db-wal");
}

export function dataOf(root: string, digest: string): string {
  const hex = digest.slice("sha256:".length);
  return join(root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
}

/** What is wrong with the push of a blob; nothing is right. */
export function blobPushProblems(push: TracedPush, digest: string): readonly string[] {
  const { answer, calls, root } = push;
  const data = dataOf(root, digest);
  const [naming] = namings(calls, data);
  if (naming === undefined) return ["the content never came to its place"];
  const { call: placed, source } = naming;
  const logged = logWrites(push, placed.end);
  const recorded = logged[0]?.start ?? answer.call.start;
  return [
    ...contentProblems(calls, source, placed),
    ...entryProblems(push, data, recorded),
    ...logProblems(push, logged),
  ];
}

/** The same for a push that only the database keeps. */
export function manifestPushProblems(push: TracedPush): readonly string[] {
  return logProblems(push, logWrites(push, push.before.call.start));
}

/** The same for a chunk: its bytes, and the way to them, are there when it is acknowledged. */
export function chunkProblems(push: TracedPush, digest: string): readonly string[] {
  const { answer, calls, root } = push;
  const [naming] = namings(calls, dataOf(root, digest));
  if (naming === undefined) return ["the content never came to its place"];
  return [
    ...contentProblems(calls, naming.source, answer.call),
    ...entryProblems(push, naming.source, answer.call.start),
  ];
}

/** The bytes are written, then synced, then used; and not written any more. */
function contentProblems(calls: readonly Call[], file: string, used: Call): readonly string[] {
  const writes = writesTo(calls, file);
  if (writes.length === 0) return ["no byte was written"];
  const lastEnd = Math.max(...writes.map(({ end }) => end));
  if (lastEnd > used.start) return ["bytes were written after they counted as durable"];
  const isSynced = syncsOf(calls, file).some(
    ({ end, start }) => start > lastEnd && end < used.start,
  );
  return isSynced ? [] : ["the bytes were not synced before they were used"];
}

/** Each entry on the way from the root that was made in the trace is synced in its folder. */
function entryProblems(
  { calls, root }: TracedPush,
  path: string,
  before: number,
): readonly string[] {
  const problems: string[] = [];
  for (let entry = path; entry.length > root.length; entry = dirname(entry)) {
    for (const made of creationsOf(calls, entry)) {
      const folder = dirname(entry);
      const isSynced = syncsOf(calls, folder).some(
        ({ end, start }) => start > made.end && end < before,
      );
      const name = entry.slice(root.length + 1);
      if (!isSynced) problems.push(`the folder of ${name} was not synced in time`);
    }
  }
  return problems;
}

/** What was written to the database's log for this answer, after line `after`. */
function logWrites({ answer, calls, root }: TracedPush, after: number): readonly Call[] {
  return writesTo(calls, logOf(root)).filter(
    ({ start }) => start > after && start < answer.call.start,
  );
}

/** The database's log is written and synced, then the client is told; and the log itself stays. */
function logProblems(push: TracedPush, writes: readonly Call[]): readonly string[] {
  const { answer, calls, root } = push;
  if (writes.length === 0) return ["the database did not record it"];
  const log = logOf(root);
  const lastEnd = Math.max(...writes.map(({ end }) => end));
  const isSynced = syncsOf(calls, log).some(
    ({ end, start }) => start > lastEnd && end < answer.call.start,
  );
  const database = log.slice(0, -"-wal".length);
  return [
    ...(isSynced ? [] : ["the database was not synced before the answer"]),
    ...entryProblems(push, log, answer.call.start),
    ...entryProblems(push, database, answer.call.start),
  ];
}
