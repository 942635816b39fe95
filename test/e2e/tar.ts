/** Tar files, written by hand. */

const blockBytes = 512;

/** What goes before and after the content of one file in a tar. */
export interface TarEntry {
  readonly header: Buffer<ArrayBuffer>;
  readonly padding: Buffer<ArrayBuffer>;
}

export function tarEntry(name: string, size: number): TarEntry {
  const header = Buffer.alloc(blockBytes);
  header.write(name, 0);
  header.write("0000755\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write(" ".repeat(8), 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return { header, padding: Buffer.alloc(-size & (blockBytes - 1)) };
}

export const tarEnd: Buffer<ArrayBuffer> = Buffer.alloc(2 * blockBytes);
