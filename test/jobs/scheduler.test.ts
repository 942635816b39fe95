import assert from "node:assert/strict";
import { test } from "node:test";
import { Scheduler, type ScheduledJob } from "../../src/jobs/scheduler.ts";
import { VirtualTime } from "../storage/virtual-time.ts";

const minuteMs = 60_000;

function schedulerOn(time: VirtualTime, random: () => number = () => 0): Scheduler {
  const sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = time.after(ms, resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    cancel();
  };
  return new Scheduler({ clock: time.now, random, sleep });
}

/** A job that takes `lastsMs`, and notes when it begins and ends, in minutes. */
function notedJob(
  time: VirtualTime,
  name: string,
  notes: string[],
  { intervalMs, lastsMs = 0 }: { readonly intervalMs: number; readonly lastsMs?: number },
): ScheduledJob {
  const note = (what: string): void => void notes.push(`${time.now() / minuteMs} ${name} ${what}`);
  const run = async (): Promise<undefined> => {
    note("begins");
    await time.wait(lastsMs);
    note("ends");
  };
  return { intervalMs, run };
}

test("jobs run at their intervals, one at a time", async () => {
  const time = new VirtualTime();
  const notes: string[] = [];
  const scheduler = schedulerOn(time);
  const jobs = [
    notedJob(time, "long", notes, { intervalMs: 100 * minuteMs, lastsMs: 30 * minuteMs }),
    notedJob(time, "short", notes, { intervalMs: 20 * minuteMs, lastsMs: minuteMs }),
  ];
  scheduler.start(jobs, 0);
  await time.pass(75 * minuteMs);
  assert.deepEqual(notes, [
    "0 long begins",
    "30 long ends",
    "30 short begins",
    "31 short ends",
    "51 short begins",
    "52 short ends",
    "72 short begins",
    "73 short ends",
  ]);
  await scheduler.close();
});

test("the first run comes at some time in the first delay, or in the interval", async () => {
  const time = new VirtualTime();
  const notes: string[] = [];
  const scheduler = schedulerOn(time, () => 0.5);
  const jobs = [
    notedJob(time, "often", notes, { intervalMs: 10 * minuteMs }),
    notedJob(time, "seldom", notes, { intervalMs: 1000 * minuteMs }),
  ];
  scheduler.start(jobs, 60 * minuteMs);
  await time.pass(31 * minuteMs);
  const begins = notes.filter((note) => note.endsWith("begins"));
  // A twentieth of the interval comes on top of it, by the same chance.
  assert.deepEqual(begins, [
    "5 often begins",
    "15.5 often begins",
    "26 often begins",
    "30 seldom begins",
  ]);
  await scheduler.close();
});

test("a job says itself when it is due again", async () => {
  const time = new VirtualTime();
  const at: number[] = [];
  const dueInMs = [5 * minuteMs, undefined, minuteMs];
  const scheduler = schedulerOn(time);
  const run: ScheduledJob["run"] = async () => {
    at.push(time.now() / minuteMs);
    const again = dueInMs.shift();
    return again === undefined ? undefined : { dueInMs: again };
  };
  scheduler.start([{ intervalMs: 100 * minuteMs, run }], 0);
  await time.pass(107 * minuteMs);
  assert.deepEqual(at, [0, 5, 105, 106]);
  await scheduler.close();
});

test("intervals of months are no trouble for timers", async () => {
  const time = new VirtualTime();
  const at: number[] = [];
  const day = 24 * 60 * minuteMs;
  const scheduler = schedulerOn(time);
  const run = async (): Promise<undefined> => void at.push(time.now() / day);
  scheduler.start([{ intervalMs: 90 * day, run }], 0);
  await time.pass(91 * day);
  assert.deepEqual(at, [0, 90]);
  await scheduler.close();
});

test("to close waits for the job that runs, and begins none", async () => {
  const time = new VirtualTime();
  const notes: string[] = [];
  const scheduler = schedulerOn(time);
  const jobs = ["first", "second"].map((name) =>
    notedJob(time, name, notes, { intervalMs: minuteMs, lastsMs: minuteMs }),
  );
  scheduler.start(jobs, 0);
  await time.pass(minuteMs / 2);
  assert.equal(scheduler.closing.aborted, false);
  const closed = scheduler.close();
  assert.equal(scheduler.closing.aborted, true);
  await time.until(closed);
  assert.deepEqual(notes, ["0 first begins", "1 first ends"]);
  assert.equal(time.pending, 0);
});

test("to close ends the wait for the next job", async () => {
  const time = new VirtualTime();
  const notes: string[] = [];
  const scheduler = schedulerOn(time, () => 0.5);
  scheduler.start([notedJob(time, "job", notes, { intervalMs: minuteMs })], minuteMs);
  await scheduler.close();
  await schedulerOn(time).close();
  assert.deepEqual(notes, []);
  assert.equal(time.pending, 0);
});
