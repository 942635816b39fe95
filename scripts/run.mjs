#!/usr/bin/env node
// Runs a tool of the project (`node`, `tsc`, ...) under the Node that package.json pins, and first
// installs what package-lock.json names, if that is missing or out of date. So `npm start` and `npm
// test` need nothing but npm. This file itself must run on the machine's own Node, 18 or later.
//
//     node scripts/run.mjs <tool> [arguments]
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MODULES = join(ROOT, "node_modules");
const BIN = join(MODULES, ".bin");
const PINNED_NODE = join(MODULES, "node", "bin", "node");

/** npm sends these to us; the tool must get them, and decide. */
const FORWARDED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

main(process.argv.slice(2));

function main([tool, ...args]) {
  if (tool === undefined) fail("usage: node scripts/run.mjs <tool> [arguments]");
  if (!isInstalled()) install();
  const node = findNode();
  run(tool === "node" ? node : join(BIN, tool), args);
}

/**
 * Whether node_modules holds what the lock file names. npm keeps its own list of what it installed
 * in node_modules, and writes it last: an install that was cut short has none.
 */
function isInstalled() {
  const installed = readLock(join(MODULES, ".package-lock.json"));
  const wanted = readLock(join(ROOT, "package-lock.json"));
  if (installed === undefined || wanted === undefined) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    const found = installed[path];
    if (path === "") return true;
    // Optional packages are those of other platforms: npm leaves them out.
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}

function install() {
  process.stderr.write("Installing what package-lock.json names (once; about half a minute)\n");
  const args = ["ci", "--include=dev", "--prefer-offline", "--loglevel=error"];
  const npm = process.env.npm_execpath ?? "";
  const [command, prefix] =
    basename(npm) === "npm-cli.js" ? [process.execPath, [npm]] : ["npm", []];
  const { status, error } = spawnSync(command, [...prefix, ...args], {
    cwd: ROOT,
    env: environment((path) => path !== BIN),
    // What npm says is not part of the tool's output.
    stdio: ["ignore", 2, 2],
  });
  if (error !== undefined) fail(`cannot start npm: ${error.message}`);
  if (status !== 0) fail("npm ci failed, see above");
}

/**
 * The pinned Node, or the machine's own where that is as new and the pinned one could not be
 * installed.
 */
function findNode() {
  if (existsSync(PINNED_NODE)) return PINNED_NODE;
  const pinned = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).devDependencies.node;
  if (Number.parseInt(process.versions.node, 10) >= Number.parseInt(pinned, 10)) {
    return process.execPath;
  }
  return fail(
    `Node ${pinned} was not installed, because npm is set to run no install scripts; ` +
      "allow this one: npm rebuild node --ignore-scripts=false",
  );
}

function run(command, args) {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: environment((path) => path !== BIN, BIN),
    stdio: "inherit",
  });
  for (const signal of FORWARDED_SIGNALS) {
    process.on(signal, () => {
      // The terminal sends Ctrl-C to every process in the foreground: the tool has it already.
      if (signal === "SIGINT" && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  child.on("error", (error) => fail(`cannot start ${command}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exit(signal === null ? code : 128 + constants.signals[signal]);
  });
}

/** Our environment, with the folders of PATH that `keep` accepts, after `first`. */
function environment(keep, ...first) {
  const path = (process.env.PATH ?? "").split(delimiter).filter(keep);
  return { ...process.env, PATH: [...first, ...path].join(delimiter) };
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
