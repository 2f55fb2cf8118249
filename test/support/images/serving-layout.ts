import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { scriptedRegistry, type ScriptedRegistry, type ScriptedRegistryOptions } from '../servers/scripted-registry.js';
import type { Described, Layout } from './source-layout.js';

/** A registry with the blobs of a layout, and one of them as a/b:latest. */
export async function serving(
  t: TestContext,
  layout: Layout,
  latest: Described,
  options: ScriptedRegistryOptions = {},
): Promise<ScriptedRegistry> {
  const server = await scriptedRegistry(t, options);
  const folder = join(layout.path, 'blobs/sha256');
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    server.addBlob(bytes);
    const type =
      bytes.toString('latin1', 0, 2) === '{"'
        ? (JSON.parse(bytes.toString()) as { mediaType?: string }).mediaType
        : undefined;
    if (type !== undefined) server.addManifest(bytes, `sha256:${name}` === latest.digest ? 'latest' : undefined, type);
  }
  return server;
}
