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
   * The database's end is to it what a power cut is to a machine: an upload that has no bytes yet
   * does not wait for its disk.
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

function forSome(
  random: Random,
  { max, min }: { readonly min: number; readonly max: number },
): Promise<void> {
  return lasting(random.integer(min, max));
}

async function killed(node: RegistryNode, random: Random): Promise<void> {
  await node.kill();
  await forSome(random, { min: 0, max: 1000 });
  await node.start();
}

/** What can happen to connections, of one node or of all. */
function wireFaults(
  kind: Kind,
  what: string,
  wiresOf: (cluster: Cluster) => readonly TcpProxy[],
): readonly Fault[] {
  const some = ({ cluster, random }: Surroundings): readonly TcpProxy[] => {
    const wires = wiresOf(cluster);
    return random.chance(0.5) ? wires : [random.pick(wires)];
  };
  /** Until what `disturb` has done is over. */
  const disturbed = async (
    surroundings: Surroundings,
    disturb: (wire: TcpProxy) => void,
  ): Promise<void> => {
    const wires = some(surroundings);
    for (const wire of wires) disturb(wire);
    await forSome(surroundings.random, outageMs);
    for (const wire of wires) wire.heal();
  };
  return [
    fault(kind, `connections to the ${what} are cut`, async (surroundings) => {
      const { random, requests } = surroundings;
      for (let cut = 0; cut < 3; cut += 1) {
        await requests(random.integer(1, 20));
        for (const wire of some(surroundings)) wire.cut();
      }
    }),
    fault(kind, `answers of the ${what} are cut off amid their bytes`, async (surroundings) => {
      for (let cut = 0; cut < 4; cut += 1) {
        const bytes = surroundings.random.integer(1, 20_000);
        await disturbed(surroundings, (wire) => wire.cutAfter(bytes));
      }
    }),
    fault(kind, `the ${what} is slow to reach`, (surroundings) => {
      const ms = surroundings.random.integer(20, 150);
      return disturbed(surroundings, (wire) => wire.delay(ms));
    }),
    fault(kind, `nothing comes through to the ${what}`, (surroundings) =>
      disturbed(surroundings, (wire) => wire.hold()),
    ),
    fault(kind, `the ${what} refuses connections`, (surroundings) =>
      disturbed(surroundings, (wire) => {
        wire.refuse(true);
        wire.cut();
      }),
    ),
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
    await forSome(random, freezeMs);
    node.wake();
  }),
  fault(
    "nodes",
    "nodes stop one after the other, past every lease",
    async ({ cluster, random }) => {
      for (const node of cluster.nodes) {
        node.freeze();
        await forSome(random, freezeMs);
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
    await forSome(random, outageMs);
  }),
];

const postgresFaults: readonly Fault[] = [
  {
    ...fault("database", "PostgreSQL is restarted", ({ cluster }) => cluster.postgres.restart()),
    losesUploads: true,
  },
  fault("database", "PostgreSQL stops, and wakes", async ({ cluster, random }) => {
    cluster.postgres.pause();
    await forSome(random, outageMs);
    cluster.postgres.resume();
  }),
  ...wireFaults("database", "database", ({ databaseWires }) => databaseWires),
];

/** The gateway keeps nothing: the objects are in a process behind it. */
const storeFaults: readonly Fault[] = [
  fault("store", "the object store is restarted", async ({ cluster }) => {
    await cluster.inBucket.ceph.restart();
  }),
  fault("store", "the object store stops, and wakes", async ({ cluster, random }) => {
    cluster.inBucket.ceph.pause();
    await forSome(random, outageMs);
    cluster.inBucket.ceph.resume();
  }),
  ...wireFaults("store", "object store", ({ inBucket }) => inBucket.wires),
];

export const allFaults: readonly Fault[] = [...nodeFaults, ...postgresFaults, ...storeFaults];
