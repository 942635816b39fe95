/** What goes wrong while clients push. Each fault is over when it resolves. */
import type { Random } from "../../race/support/random.ts";
import type { Cluster } from "../support/cluster.ts";
import type { RegistryNode } from "../support/node-process.ts";
import { lasting } from "../support/pauses.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";

export interface Surroundings {
  readonly cluster: Cluster;
  readonly random: Random;
  /** Resolves when clients have sent so many more requests. */
  requests(count: number): Promise<void>;
}

/** What fails. Of one kind only one fault at a time: each mends in the end what it has broken. */
type Kind = "nodes" | "database" | "store";

export interface Fault {
  readonly name: string;
  readonly kind: Kind;
  /**
   * The database's end is to it what a power cut is to a machine: an upload's progress does not
   * wait for its disk. What is acknowledged by a 201 does.
   */
  readonly losesUploads?: boolean;
  run(surroundings: Surroundings): Promise<void>;
}

/** Requests that come through before a fault begins. */
const requestsMax = 60;

/** Past every lease of the nodes' configuration, which are a second. */
const freezeMs = { min: 2500, max: 4000 };

/** Shorter than the retries of a node; longer ones make it say 503. */
const outageMs = { min: 200, max: 3000 };

/** Half of a difference of five minutes that no lease and no signature minds. */
const clockOffsetSeconds = 300;

function fault(
  kind: Kind,
  name: string,
  run: (surroundings: Surroundings) => Promise<void>,
): Fault {
  return {
    name,
    kind,
    run: async (surroundings) => {
      await surroundings.requests(surroundings.random.integer(1, requestsMax));
      await run(surroundings);
    },
  };
}

function some(random: Random, { max, min }: { readonly min: number; readonly max: number }) {
  return lasting(random.integer(min, max));
}

async function killed(node: RegistryNode, random: Random): Promise<void> {
  await node.kill();
  await some(random, { min: 0, max: 1000 });
  await node.start();
}

/** What can happen to a connection, at either side of a node. */
function wireFaults(
  kind: Kind,
  what: string,
  wireOf: (cluster: Cluster) => TcpProxy,
): readonly Fault[] {
  return [
    fault(kind, `connections to the ${what} are cut`, async ({ cluster, random, requests }) => {
      for (let cut = 0; cut < 3; cut += 1) {
        await requests(random.integer(1, 20));
        wireOf(cluster).cut();
      }
    }),
    fault(
      kind,
      `answers of the ${what} are cut off amid their bytes`,
      async ({ cluster, random }) => {
        for (let cut = 0; cut < 4; cut += 1) {
          wireOf(cluster).cutAfter(random.integer(1, 20_000));
          await some(random, outageMs);
        }
        wireOf(cluster).heal();
      },
    ),
    fault(kind, `the ${what} is slow to reach`, async ({ cluster, random }) => {
      wireOf(cluster).delay(random.integer(20, 150));
      await some(random, outageMs);
      wireOf(cluster).heal();
    }),
    fault(kind, `nothing comes through to the ${what}`, async ({ cluster, random }) => {
      wireOf(cluster).hold();
      await some(random, outageMs);
      wireOf(cluster).heal();
    }),
    fault(kind, `the ${what} refuses connections`, async ({ cluster, random }) => {
      wireOf(cluster).refuse(true);
      wireOf(cluster).cut();
      await some(random, outageMs);
      wireOf(cluster).heal();
    }),
  ];
}

const nodeFaults: readonly Fault[] = [
  fault("nodes", "a node is killed", async ({ cluster, random }) => {
    await killed(random.pick(cluster.nodes), random);
  }),
  fault("nodes", "all nodes but one are killed", async ({ cluster, random }) => {
    const spared = random.pick(cluster.nodes);
    const others = cluster.nodes.filter((node) => node !== spared);
    await Promise.all(others.map((node) => killed(node, random)));
  }),
  fault("nodes", "a node stops past every lease, and wakes", async ({ cluster, random }) => {
    const node = random.pick(cluster.nodes);
    node.freeze();
    await some(random, freezeMs);
    node.wake();
  }),
  fault(
    "nodes",
    "nodes stop one after the other, past every lease",
    async ({ cluster, random }) => {
      for (const node of cluster.nodes) {
        node.freeze();
        await some(random, freezeMs);
        node.wake();
      }
    },
  ),
  fault("nodes", "a node is told to stop, and begins anew", async ({ cluster, random }) => {
    const node = random.pick(cluster.nodes);
    await node.stop();
    await node.start();
  }),
  fault("nodes", "clocks differ by five minutes from now on", async ({ cluster, random }) => {
    for (const [number, node] of cluster.nodes.entries()) {
      await node.kill();
      await node.start({ clockOffsetSeconds: (number - 1) * clockOffsetSeconds });
    }
    // Whoever is killed later has the right time again.
    await some(random, outageMs);
  }),
];

const postgresFaults: readonly Fault[] = [
  {
    ...fault("database", "PostgreSQL is restarted", ({ cluster }) => cluster.postgres.restart()),
    losesUploads: true,
  },
  fault("database", "PostgreSQL stops, and wakes", async ({ cluster, random }) => {
    cluster.postgres.pause();
    await some(random, outageMs);
    cluster.postgres.resume();
  }),
  ...wireFaults("database", "database", ({ databaseWire }) => databaseWire),
];

/** The gateway keeps nothing: the objects are in a process behind it. */
const storeFaults: readonly Fault[] = [
  fault("store", "the object store is restarted", async ({ cluster }) => {
    await cluster.storage.ceph?.restart();
  }),
  fault("store", "the object store stops, and wakes", async ({ cluster, random }) => {
    cluster.storage.ceph?.pause();
    await some(random, outageMs);
    cluster.storage.ceph?.resume();
  }),
  ...wireFaults("store", "object store", ({ storage }) => {
    if (storage.wire === undefined) throw new Error("the storage has no wire");
    return storage.wire;
  }),
];

export const allFaults: readonly Fault[] = [...nodeFaults, ...postgresFaults, ...storeFaults];
