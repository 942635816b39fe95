/**
 * Compiles src/ to JavaScript and declarations, into dist/ or the folder that is given. The folder
 * is emptied first, so that nothing of an earlier build is published.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import process from "node:process";

const [outDir = "dist"] = process.argv.slice(2);
rmSync(outDir, { recursive: true, force: true });
const { status, error } = spawnSync("tsc", ["-p", "tsconfig.build.json", "--outDir", outDir], {
  stdio: "inherit",
});
if (error !== undefined) throw error;
process.exitCode = status ?? 1;
