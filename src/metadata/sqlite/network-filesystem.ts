/**
 * Refuses folders on network filesystems: SQLite's write-ahead log needs memory shared between all
 * who have the database open, and locks that work. Neither holds there, and the price would be the
 * database.
 */
import { statfsSync } from "node:fs";

/** Linux' `f_type` of filesystems on other machines (statfs(2), linux/magic.h). */
const networkFilesystems: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x00c36400, "CephFS"],
  [0x5346414f, "AFS"],
  [0x73757245, "Coda"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
]);

export function refuseNetworkFilesystem(
  folder: string,
  filesystemType: (folder: string) => number = (path) => statfsSync(path).type,
): void {
  const name = networkFilesystems.get(filesystemType(folder) >>> 0);
  if (name === undefined) return;
  throw new Error(
    `${folder} lies on ${name}. SQLite loses data on network filesystems: keep the database on a ` +
      "local disk (metadata.sqlite.path), or in PostgreSQL (metadata.postgres), which several " +
      "nodes need in any case",
  );
}
