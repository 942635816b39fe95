/** The checker that the tests on several nodes rely on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isLinearizable, type Operation } from "./support/linearizable.ts";

type Value = string | undefined;

function write(value: Value, from: number, until?: number): Operation<Value> {
  return { from, until, what: `write ${value}`, apply: () => ({ value }) };
}

function read(seen: Value, from: number, until: number): Operation<Value> {
  const apply = (value: Value): { value: Value } | undefined =>
    value === seen ? { value } : undefined;
  return { from, until, what: `read ${seen}`, isRead: true, apply };
}

test("of writes at once any may be the last", () => {
  for (const last of ["a", "b"]) {
    assert(
      isLinearizable<Value>(undefined, [write("a", 0, 10), write("b", 1, 9), read(last, 20, 21)]),
    );
  }
});

test("of writes one after the other the later one counts", () => {
  const writes = [write("a", 0, 1), write("b", 2, 3)];
  assert(isLinearizable<Value>(undefined, [...writes, read("b", 4, 5)]));
  assert(!isLinearizable<Value>(undefined, [...writes, read("a", 4, 5)]));
  assert(!isLinearizable<Value>(undefined, [...writes, read(undefined, 4, 5)]));
});

test("nobody reads what another one has seen replaced", () => {
  const operations = [write("a", 0, 1), write("b", 2, 10), read("b", 3, 4), read("a", 5, 6)];
  assert(!isLinearizable<Value>(undefined, operations));
  assert(isLinearizable<Value>(undefined, operations.slice(0, 3)));
});

test("what was never answered may have happened, at any time, or not", () => {
  const operations = [write("a", 0, 1), write("b", 2)];
  for (const last of ["a", "b"]) {
    assert(isLinearizable<Value>(undefined, [...operations, read(last, 20, 21)]));
  }
  assert(isLinearizable<Value>(undefined, [...operations, read("a", 20, 21), read("b", 30, 31)]));
  assert(!isLinearizable<Value>(undefined, [...operations, read("b", 20, 21), read("a", 30, 31)]));
});

test("many operations, eight at once, are looked through", () => {
  const operations: Operation<Value>[] = [];
  for (let round = 0; round < 20; round += 1) {
    for (let client = 0; client < 8; client += 1) {
      operations.push(write(`${round}-${client}`, round * 100 + client, round * 100 + 50 + client));
    }
  }
  assert(isLinearizable<Value>(undefined, [...operations, read("19-7", 10_000, 10_001)]));
  assert(!isLinearizable<Value>(undefined, [...operations, read("18-7", 10_000, 10_001)]));
});
