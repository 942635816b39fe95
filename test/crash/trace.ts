/**
 * System calls as `strace -f -yy` writes them down. A call begins and ends at a line of the trace:
 * what ended before another call began has happened before it.
 */
export interface Call {
  readonly name: string;
  /** Its arguments as text; a descriptor is followed by its path in angle brackets. */
  readonly args: string;
  /** -1 for a failure, `undefined` where the trace ends before the call does. */
  readonly result: number | undefined;
  readonly start: number;
  readonly end: number;
}

interface Begun {
  readonly name: string;
  readonly text: string;
  readonly start: number;
}

/** The calls in the order in which they began. */
export function parseTrace(text: string): readonly Call[] {
  const calls: Call[] = [];
  const unfinished = new Map<string, Begun>();
  for (const [line, content] of text.split("\n").entries()) {
    const match = /^(\d+) +[\d.]+ (.*)$/.exec(content);
    if (match === null) continue;
    const [, thread = "", event = ""] = match;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(event)?.[1];
    const begun = resumed === undefined ? undefined : unfinished.get(thread);
    if (resumed !== undefined && begun !== undefined) {
      unfinished.delete(thread);
      calls.push(toCall({ ...begun, text: `${begun.text}${resumed}` }, line));
      continue;
    }
    const [, name, rest] = /^(\w+)\((.*)$/.exec(event) ?? [];
    if (name === undefined || rest === undefined) continue;
    const [head = "", tail] = rest.split(" <unfinished ...>");
    const call = { name, text: head, start: line };
    if (tail === undefined) calls.push(toCall(call, line));
    else unfinished.set(thread, call);
  }
  for (const begun of unfinished.values()) calls.push(toCall(begun, Number.POSITIVE_INFINITY));
  return calls.toSorted((a, b) => a.start - b.start);
}

function toCall({ name, start, text }: Begun, end: number): Call {
  const [, args, result] = /^(.*)\) += (-?\d+)/.exec(text) ?? [];
  if (args === undefined) return { name, args: text, result: undefined, start, end };
  return { name, args, result: Number(result), start, end };
}

function succeeded({ result }: Call): boolean {
  return result !== undefined && result >= 0;
}

/** The path of the descriptor that the call is about. */
function descriptorPath({ args }: Call): string | undefined {
  return /^\d+<([^>]*)>/.exec(args)?.[1];
}

/** The paths that the call names. */
function namedPaths({ args }: Call): readonly string[] {
  return [...args.matchAll(/"([^"]*)"/g)].map(([, path = ""]) => path);
}

const writeNames = new Set(["write", "pwrite64", "writev", "pwritev", "pwritev2"]);
const syncNames = new Set(["fsync", "fdatasync"]);
const renameNames = new Set(["link", "linkat", "rename", "renameat", "renameat2"]);
const mkdirNames = new Set(["mkdir", "mkdirat"]);

export function writesTo(calls: readonly Call[], path: string): readonly Call[] {
  return calls.filter(
    (call) => writeNames.has(call.name) && descriptorPath(call) === path && call.result !== -1,
  );
}

export function syncsOf(calls: readonly Call[], path: string): readonly Call[] {
  return calls.filter(
    (call) => syncNames.has(call.name) && descriptorPath(call) === path && succeeded(call),
  );
}

/** The calls that gave something a name: links and renames, with the name it had. */
export function namings(
  calls: readonly Call[],
  target: string,
): readonly { readonly call: Call; readonly source: string }[] {
  return calls.flatMap((call) => {
    if (!renameNames.has(call.name) || !succeeded(call)) return [];
    const [source, named] = namedPaths(call);
    return source !== undefined && named === target ? [{ call, source }] : [];
  });
}

/** The calls that made an entry of that path in its folder. */
export function creationsOf(calls: readonly Call[], path: string): readonly Call[] {
  const made = calls.filter((call) => {
    if (!succeeded(call)) return false;
    if (mkdirNames.has(call.name)) return namedPaths(call)[0] === path;
    return call.name === "openat" && call.args.includes("O_CREAT") && namedPaths(call)[0] === path;
  });
  const first = made.find(({ name }) => name === "openat");
  // To open a file once more makes no entry.
  const entries = made.filter((call) => call.name !== "openat" || call === first);
  return [...entries, ...namings(calls, path).map(({ call }) => call)];
}

export interface SentAnswer {
  readonly status: number;
  readonly call: Call;
}

/** The answers' first bytes on their way to a client. */
export function answersIn(calls: readonly Call[]): readonly SentAnswer[] {
  return calls.flatMap((call) => {
    if (!/^\d+<TCP/.test(call.args)) return [];
    const status = /"HTTP\/1\.1 (\d{3}) /.exec(call.args)?.[1];
    return status === undefined ? [] : [{ status: Number(status), call }];
  });
}
