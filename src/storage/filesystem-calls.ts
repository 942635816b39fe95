/**
 * The few calls of the operating system that the filesystem store makes, as promises. Node's
 * callback functions are wrapped once: a `FileHandle` costs twice the CPU per call. A test may
 * replace some of them, to be a filesystem without hard links or a full disk.
 */
import * as fs from "node:fs";
import * as fsPromises from "node:fs/promises";

export type Bytes = Uint8Array<ArrayBuffer>;

export type FileCalls = DescriptorCalls & PathCalls;

export interface DescriptorCalls {
  readonly open: (path: string, flags: number) => Promise<number>;
  /** A folder that was just in use, to sync it. */
  readonly openFolder: (path: string) => Promise<number>;
  readonly close: (fd: number) => Promise<void>;
  readonly fstat: (fd: number) => Promise<fs.Stats>;
  /** The number of bytes that were read at `position`, 0 at the end of the file. */
  readonly read: (fd: number, into: Bytes, position: number) => Promise<number>;
  /** The number of bytes that were written at `position`, which may be fewer than all. */
  readonly writev: (fd: number, chunks: readonly Bytes[], position: number) => Promise<number>;
  readonly ftruncate: (fd: number, size: number) => Promise<void>;
  readonly fsync: (fd: number) => Promise<void>;
  readonly fdatasync: (fd: number) => Promise<void>;
}

export interface PathCalls {
  readonly stat: (path: string) => Promise<fs.Stats>;
  /** `stat` of a file that was just in use. */
  readonly look: (path: string) => Promise<fs.Stats>;
  readonly readFile: (path: string) => Promise<Bytes>;
  readonly readdir: (path: string) => Promise<string[]>;
  readonly link: (from: string, to: string) => Promise<void>;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly unlink: (path: string) => Promise<void>;
  readonly mkdir: (path: string) => Promise<void>;
  /** Like `mkdir -p`; resolves with the uppermost folder that was missing. */
  readonly mkdirs: (path: string) => Promise<string | undefined>;
  readonly rmdir: (path: string) => Promise<void>;
  /** Shares the blocks where the filesystem can; fails if `to` exists. */
  readonly copyFile: (from: string, to: string) => Promise<void>;
}

/** Bytes whose blocks a filesystem gives back in well under a millisecond. */
const blocksFreedAtOnce = 4 * 1024 * 1024;

export const nodeFileCalls: FileCalls = {
  open: (path, flags) => valueOf((done) => fs.open(path, flags, done)),
  // These four need no disk, for what is or was just open is in memory, and they change nothing
  // that a journal would hold up: a visit to the thread pool would cost ten times as much.
  openFolder: async (path) => fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY),
  look: async (path) => fs.statSync(path),
  close: async (fd) => {
    // Who closes the last name of a large file waits until its blocks are given back.
    const { nlink, size } = fs.fstatSync(fd);
    if (nlink === 0 && size > blocksFreedAtOnce) await endOf((done) => fs.close(fd, done));
    else fs.closeSync(fd);
  },
  fstat: async (fd) => fs.fstatSync(fd),
  stat: (path) => valueOf((done) => fs.stat(path, done)),
  read: (fd, into, position) =>
    valueOf((done) => fs.read(fd, into, 0, into.byteLength, position, done)),
  // This one goes through promises: for a small file it is one visit to the thread pool instead of
  // four.
  readFile: (path) => fsPromises.readFile(path),
  writev: (fd, chunks, position) => valueOf((done) => fs.writev(fd, [...chunks], position, done)),
  ftruncate: (fd, size) => endOf((done) => fs.ftruncate(fd, size, done)),
  fsync: (fd) => endOf((done) => fs.fsync(fd, done)),
  fdatasync: (fd) => endOf((done) => fs.fdatasync(fd, done)),
  link: (from, to) => endOf((done) => fs.link(from, to, done)),
  rename: (from, to) => endOf((done) => fs.rename(from, to, done)),
  unlink: (path) => endOf((done) => fs.unlink(path, done)),
  mkdir: (path) => endOf((done) => fs.mkdir(path, done)),
  mkdirs: (path) => valueOf((done) => fs.mkdir(path, { recursive: true }, done)),
  rmdir: (path) => endOf((done) => fs.rmdir(path, done)),
  readdir: (path) => valueOf((done) => fs.readdir(path, done)),
  copyFile: (from, to) => {
    const mode = fs.constants.COPYFILE_FICLONE | fs.constants.COPYFILE_EXCL;
    return endOf((done) => fs.copyFile(from, to, mode, done));
  },
};

/** The `code` of an error of the operating system, such as `ENOENT`. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Waits for `call`; a failure with one of `codes` is `undefined`, any other is thrown. */
export async function unless<T>(
  call: Promise<T>,
  ...codes: readonly string[]
): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    const code = errorCode(error);
    if (code !== undefined && codes.includes(code)) return undefined;
    throw error;
  }
}

/** The same where the call has no value to give: whether it was done. */
export async function done(
  call: Promise<void>,
  ...unlessCodes: readonly string[]
): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code !== undefined && unlessCodes.includes(code)) return false;
    throw error;
  }
}

type Failure = NodeJS.ErrnoException | null;

function valueOf<T>(start: (done: (error: Failure, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error === null) resolve(value);
      else reject(error);
    });
  });
}

function endOf(start: (done: (error?: Failure) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
