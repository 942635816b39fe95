/** Copies as `longshore metadata copy` does, in this process. */
import {
  copyMetadata,
  type CopyNews,
  type CopyOptions,
  type CopyPlace,
  type CopyResult,
} from "../../../src/metadata/copy/copy.ts";

export type Changes = Partial<Omit<CopyOptions, "from" | "to">>;

export function copyPlaces(
  from: CopyPlace,
  to: CopyPlace,
  changes: Changes = {},
): Promise<CopyResult> {
  return copyMetadata({
    from,
    to,
    dryRun: false,
    startOver: false,
    news: () => undefined,
    signal: new AbortController().signal,
    now: () => performance.now(),
    random: Math.random,
    ...changes,
  });
}

export function copySqlite(from: string, to: string, changes: Changes = {}): Promise<CopyResult> {
  return copyPlaces({ sqlite: { path: from } }, { sqlite: { path: to } }, changes);
}

/** Stops the copy after so many pages. */
export function stopAfter(pages: number): Required<Pick<CopyOptions, "news" | "signal">> {
  const stop = new AbortController();
  let seen = 0;
  const news = (news: CopyNews): void => {
    if (news.kind === "rows") seen += 1;
    if (seen === pages) stop.abort();
  };
  return { news, signal: stop.signal };
}
