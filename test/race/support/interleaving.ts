/**
 * Runs several actors one step at a time, in an order that the test decides: each actor stops at
 * the gates on its way, and only one of them is on its way at any moment.
 */
import assert from "node:assert/strict";
import type { MetadataStore } from "../../../src/metadata/metadata-store.ts";
import { nodeFileCalls, type FileCalls } from "../../../src/storage/filesystem-calls.ts";

/** Passing it takes until it is this actor's turn. */
export type Gate = (point: string) => Promise<void>;

export type Actor = (gate: Gate) => Promise<void>;

export interface Interleaving {
  /** The steps as they were taken, such as `collector: rename`. */
  readonly steps: readonly string[];
  /** Of how many steps each one was chosen. */
  readonly widths: readonly number[];
}

interface Waiting {
  readonly label: string;
  readonly go: () => void;
}

/** `choose` gets the number of steps that are possible and the number of those taken. */
export async function interleave(
  actors: Readonly<Record<string, Actor>>,
  choose: (width: number, taken: number) => number,
): Promise<Interleaving> {
  const steps: string[] = [];
  const widths: number[] = [];
  const waiting = new Map<string, Waiting>();
  let quiet = Promise.withResolvers<void>();
  let running = Object.keys(actors).length;
  const stop = (): void => {
    running -= 1;
    if (running === 0) quiet.resolve();
  };
  const start = async (name: string, actor: Actor): Promise<void> => {
    const gate: Gate = async (point) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      assert(!waiting.has(name), "an actor does one thing at a time");
      waiting.set(name, { label: `${name}: ${point}`, go: resolve });
      stop();
      await promise;
    };
    try {
      await actor(gate);
    } finally {
      stop();
    }
  };
  const ends = Object.entries(actors).map(([name, actor]) => start(name, actor));
  const ended = Promise.all(ends);
  // Whoever fails is told of at the end; the others go on, so that nothing is left waiting.
  ended.catch(() => undefined);
  for (;;) {
    await quiet.promise;
    const names = [...waiting.keys()].toSorted();
    if (names.length === 0) break;
    const chosen =
      names[choose(names.length, steps.length)] ??
      assert.fail(`only ${names.length} steps are possible after ${steps.join(", ")}`);
    const step = waiting.get(chosen) ?? assert.fail();
    widths.push(names.length);
    steps.push(step.label);
    waiting.delete(chosen);
    quiet = Promise.withResolvers<void>();
    running += 1;
    step.go();
  }
  try {
    await ended;
  } catch (cause) {
    throw new Error(`after ${steps.join(", ")}`, { cause });
  }
  return { steps, widths };
}

/** Runs every order that there is; resolves with their number. */
export async function interleaveEveryWay(
  run: (choose: (width: number, taken: number) => number) => Promise<Interleaving>,
): Promise<number> {
  let chosen: readonly number[] | undefined = [];
  for (let count = 0; ; count += 1) {
    if (chosen === undefined) return count;
    const prefix: readonly number[] = chosen;
    const { widths } = await run((_, taken) => prefix[taken] ?? 0);
    chosen = following(prefix, widths);
  }
}

/** The next order after the one whose first choices were these, and whose others were 0. */
function following(
  prefix: readonly number[],
  widths: readonly number[],
): readonly number[] | undefined {
  const choices = widths.map((_, index) => prefix[index] ?? 0);
  for (let index = choices.length - 1; index >= 0; index -= 1) {
    const choice = (choices[index] ?? 0) + 1;
    if (choice < (widths[index] ?? 0)) return [...choices.slice(0, index), choice];
  }
  return undefined;
}

/** Calls that change what others see, or look at it. */
const gatedCalls = ["stat", "look", "readFile", "link", "rename", "unlink", "rmdir"] as const;

/** The operating system, with a gate before each of those calls. */
export function gatedFileCalls(gate: Gate): FileCalls {
  const gated = gatedCalls.map((name) => {
    const call = nodeFileCalls[name] as (...paths: readonly string[]) => Promise<unknown>;
    const pass = async (...paths: readonly string[]): Promise<unknown> => {
      // An upload is nobody else's yet: its order makes no difference.
      if (!paths.every((path) => path.includes("/uploads/"))) await gate(name);
      return await call(...paths);
    };
    return [name, pass] as const;
  });
  return { ...nodeFileCalls, ...Object.fromEntries(gated) };
}

const ownCommands: ReadonlySet<unknown> = new Set(["createUpload", "saveUpload"]);

/** The metadata, with a gate before each command on blobs and each look at one. */
export function gatedMetadata(metadata: MetadataStore, gate: Gate): MetadataStore {
  return new Proxy(metadata, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const call = value.bind(target) as (...values: readonly unknown[]) => Promise<unknown>;
      if (name !== "execute" && name !== "findBlob") return call;
      return async (...values: readonly unknown[]) => {
        const [command] = values;
        if (name === "findBlob") await gate(name);
        else if (!ownCommands.has(command)) await gate(String(command));
        return await call(...values);
      };
    },
  });
}
