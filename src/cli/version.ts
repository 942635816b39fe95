/** The version, from package.json: there is one place to change it. */
import { readFile } from "node:fs/promises";

export async function packageVersion(): Promise<string> {
  const url = new URL("../../package.json", import.meta.url);
  const { version } = JSON.parse(await readFile(url, "utf8")) as { readonly version: string };
  return version;
}
