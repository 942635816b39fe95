/** The contract of lists of tags and repositories: pages by key, in byte order. */
import assert from "node:assert/strict";
import type { RepositoryName } from "../oci/names.ts";
import type { ContractCases, Scene } from "./contract-scene.ts";
import type { Page } from "./records.ts";

/** In byte order, in which no language would put them. */
const tagNames = ["0", "10", "9", "A", "A-tags", "Z", "_", "a", "a-b", "a.b", "aB", "a_b", "b"];

const repositoryNames = ["a", "a-b", "a.b", "a/b", "a0", "a__b", "aa", "b"];

async function tagged(scene: Scene, names: readonly string[]): Promise<RepositoryName> {
  const repository = scene.repository();
  // Not in the order in which they will be listed.
  const tags = names.toReversed();
  await scene.put(repository, scene.index({ note: "tagged" }), { tags });
  return repository;
}

async function tagsAfter(scene: Scene, repository: RepositoryName, after: string, limit: number) {
  const page = await scene.store.listTags(repository, { after, limit });
  assert(page !== undefined);
  return page;
}

/** Reads to the end, page by page. */
async function readAll<T extends string>(
  page: (after: string) => Promise<Page<T>>,
  size: number,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const { items, more } = await page(all.at(-1) ?? "");
    all.push(...items);
    if (!more) return all;
    assert.equal(items.length, size);
  }
}

const tags: ContractCases = {
  "tags come in byte order": async (scene) => {
    const repository = await tagged(scene, tagNames);
    const page = await tagsAfter(scene, repository, "", 100);
    assert.deepEqual(page, { items: tagNames, more: false });
  },

  "pages of every size give each tag once": async (scene) => {
    const repository = await tagged(scene, tagNames);
    for (let size = 1; size <= tagNames.length + 1; size += 1) {
      const all = await readAll((after) => tagsAfter(scene, repository, after, size), size);
      assert.deepEqual(all, tagNames);
    }
  },

  "more says exactly whether anything follows": async (scene) => {
    const repository = await tagged(scene, ["a", "b", "c"]);
    for (const [after, limit, expected] of [
      ["", 2, { items: ["a", "b"], more: true }],
      ["", 3, { items: ["a", "b", "c"], more: false }],
      ["", 4, { items: ["a", "b", "c"], more: false }],
      ["a", 1, { items: ["b"], more: true }],
      ["b", 1, { items: ["c"], more: false }],
      ["c", 1, { items: [], more: false }],
    ] as const) {
      assert.deepEqual(await tagsAfter(scene, repository, after, limit), expected);
    }
  },

  "a page may begin after a tag that does not exist": async (scene) => {
    const repository = await tagged(scene, ["a", "c"]);
    for (const [after, items] of [
      ["b", ["c"]],
      ["Z", ["a", "c"]],
      ["a-", ["c"]],
      ["zzz", []],
      ["é", []],
    ] as const) {
      assert.deepEqual(await tagsAfter(scene, repository, after, 9), { items, more: false });
    }
  },

  "an unknown repository is not an empty one": async (scene) => {
    const page = { after: "", limit: 10 };
    assert.equal(await scene.store.listTags(scene.repository("unknown"), page), undefined);
    const draft = scene.repository("draft");
    await scene.push(draft, "blob");
    assert.equal(await scene.store.listTags(draft, page), undefined);
    const untagged = scene.repository("untagged");
    await scene.put(untagged, scene.index({ note: "untagged" }));
    assert.deepEqual(await scene.store.listTags(untagged, page), { items: [], more: false });
  },

  "a repository lists its own tags": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("a/b")];
    await scene.put(a, scene.index({ note: "a" }), { tags: ["in-a"] });
    await scene.put(b, scene.index({ note: "b" }), { tags: ["in-b"] });
    assert.deepEqual(await scene.tags(a), ["in-a"]);
    assert.deepEqual(await scene.tags(b), ["in-b"]);
  },
};

async function repositories(scene: Scene): Promise<readonly RepositoryName[]> {
  const names = repositoryNames.map((name) => scene.repository(name));
  for (const name of names.toReversed()) await scene.put(name, scene.index({ note: name }));
  return names;
}

const catalog: ContractCases = {
  "repositories come in byte order": async (scene) => {
    const names = await repositories(scene);
    assert.deepEqual(names, names.toSorted());
    const after = scene.repository("0");
    const page = await scene.store.listRepositories({ after, limit: names.length });
    assert.deepEqual(page.items, names);
  },

  "pages of every size give each repository once": async (scene) => {
    const names = await repositories(scene);
    const prefix = names[0]?.replace(/a$/, "");
    assert(prefix !== undefined);
    for (const size of [1, 2, 7, 1000]) {
      const page = (after: string) => scene.store.listRepositories({ after, limit: size });
      const all = await readAll(page, size);
      assert.equal(new Set(all).size, all.length);
      assert.deepEqual(all, all.toSorted());
      assert.deepEqual(
        all.filter((name) => name.startsWith(prefix)),
        names,
      );
    }
  },

  "more says exactly whether any repository follows": async (scene) => {
    await repositories(scene);
    const all = await readAll(
      (after) => scene.store.listRepositories({ after, limit: 1000 }),
      1000,
    );
    const [before, last] = all.slice(-2);
    assert(before !== undefined && last !== undefined);
    const page = (after: string, limit: number) => scene.store.listRepositories({ after, limit });
    assert.deepEqual(await page(before, 1), { items: [last], more: false });
    assert.deepEqual(await page(last, 1), { items: [], more: false });
    assert.deepEqual(await page("", all.length), { items: all, more: false });
    const short = await page("", all.length - 1);
    assert.deepEqual(short, { items: all.slice(0, -1), more: true });
  },

  "a page may begin after a repository that does not exist": async (scene) => {
    await repositories(scene);
    const page = await scene.store.listRepositories({
      after: scene.repository("a-c"),
      limit: 1,
    });
    assert.deepEqual(page.items, [scene.repository("a.b")]);
  },

  "a repository is listed from its first manifest on": async (scene) => {
    const repository = scene.repository("b");
    const listed = async () => {
      const page = await scene.store.listRepositories({ after: scene.repository("a"), limit: 1 });
      return page.items.includes(repository);
    };
    await scene.begin(repository);
    const config = await scene.push(repository, "config");
    const { digest } = await scene.push(scene.repository("source"), "blob");
    await scene.mount(repository, digest);
    await scene.tryPut(repository, scene.image({ config: scene.content("absent") }));
    assert.equal(await listed(), false);
    await scene.put(repository, scene.image({ config }));
    assert.equal(await listed(), true);
  },
};

export const listCases: ContractCases = { ...tags, ...catalog };
