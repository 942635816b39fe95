/** Reads a config file; its problems are told with its name, and all at once. */
import { readFile } from "node:fs/promises";
import type { Config } from "../config/config.ts";

export async function readConfig(file: string): Promise<Config> {
  const { ConfigError, parseDistributionYaml } = await import("../config/distribution-yaml.ts");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new Error(`${file} cannot be read${code}`, { cause: error });
  }
  try {
    return parseDistributionYaml(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.message.split("\n").map((line) => `  ${line}`);
    throw new Error(`${file} cannot be used:\n${lines.join("\n")}`, { cause: error });
  }
}
