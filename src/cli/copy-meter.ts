/** Shows how a copy comes along: a line that changes on a terminal, or a line now and then. */
import type { CopyNews } from "../metadata/copy/copy.ts";

/** How often the line on a terminal changes, and how often another one is written; ms. */
const terminalMs = 200;
const linesMs = 5000;

interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const words = { copy: "copying", check: "comparing" } as const;

export class CopyMeter {
  readonly #out: Output;
  readonly #now: () => number;
  readonly #everyMs: number;
  #step: "copy" | "check" = "copy";
  #total = 0;
  #done = 0;
  /** Where this run has begun to count, and when. */
  #from = 0;
  #since = 0;
  #shownAt = 0;
  #isLineOpen = false;

  constructor(out: Output, now: () => number) {
    this.#out = out;
    this.#now = now;
    this.#everyMs = out.isTTY === true ? terminalMs : linesMs;
  }

  tell(news: CopyNews): void {
    if (news.kind === "opened") this.#line(`from ${news.from}\nto   ${news.to}`);
    else if (news.kind === "begun") this.#begin(news);
    else if (news.kind === "rows") this.#count(news);
    else if (news.step === "copy" && news.rows > 0) {
      this.#line(`  ${news.table}: ${formatCount(news.rows)} rows`);
    }
  }

  close(): void {
    this.#clear();
  }

  #begin({ copiedBefore, rows }: Extract<CopyNews, { kind: "begun" }>): void {
    this.#total = rows;
    const before = `, ${formatCount(copiedBefore)} of them by an earlier run`;
    this.#line(`${formatCount(rows)} rows${copiedBefore > 0 ? before : ""}`);
    this.#restart("copy", copiedBefore);
  }

  #count({ rows, step }: Extract<CopyNews, { kind: "rows" }>): void {
    if (step !== this.#step) {
      this.#line(`${words[step]} both databases`);
      this.#restart(step, 0);
    }
    this.#done += rows;
    const now = this.#now();
    if (now - this.#shownAt < this.#everyMs) return;
    this.#shownAt = now;
    this.#show(now);
  }

  #restart(step: "copy" | "check", done: number): void {
    this.#step = step;
    this.#done = done;
    this.#from = done;
    this.#since = this.#now();
    this.#shownAt = this.#since;
  }

  #show(now: number): void {
    const seconds = Math.max((now - this.#since) / 1000, 0.001);
    const rate = (this.#done - this.#from) / seconds;
    const percent = Math.floor((100 * this.#done) / Math.max(this.#total, 1));
    const left = rate > 0 ? formatTime((this.#total - this.#done) / rate) : "?";
    const text =
      `${words[this.#step]}: ${formatCount(this.#done)} of ${formatCount(this.#total)} rows ` +
      `(${percent} %), ${formatCount(Math.round(rate))} rows/s, ${left} left`;
    if (this.#out.isTTY !== true) {
      this.#line(text);
      return;
    }
    this.#out.write(`\r\u001B[K${text}`);
    this.#isLineOpen = true;
  }

  #line(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
  }

  #clear(): void {
    if (this.#isLineOpen) this.#out.write("\r\u001B[K");
    this.#isLineOpen = false;
  }
}

function formatCount(count: number): string {
  return count.toLocaleString("en");
}

function formatTime(seconds: number): string {
  const whole = Math.ceil(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
