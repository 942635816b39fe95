/** What one client pushed, each of the others pulls. */
import { test } from "node:test";
import { assertHolds, type Client } from "./client.ts";
import { clientNames, createClient } from "./clients.ts";
import { ImageMaker } from "./images.ts";
import { startServer } from "./server.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const images = new ImageMaker(workspace);
const clients: Client[] = [];
for (const name of clientNames) clients.push(await createClient(workspace, name));

for (const pusher of clients) {
  test(`what ${pusher.name} pushed, every other client pulls`, async (context) => {
    const image = await images.make();
    const reference = `${server.host}/from/${pusher.name}:v1`;
    await pusher.load(image, reference);
    await pusher.push(reference);
    for (const puller of clients.filter((client) => client !== pusher)) {
      await context.test(`${puller.name} pulls it`, async () => {
        await puller.pull(reference);
        assertHolds(await puller.held(reference), image);
      });
    }
  });
}
