import type { Abortable } from '../../abortable.js';
import { Registries, type RegistryOptions } from '../../registry/registries.js';
import { parseRegistryReference } from '../../spec/reference.js';

/**
 * The tags of a repository in a registry, in the registry's order.
 * @param text as `//HOST/PATH`, what follows `docker:`
 * @throws RegistryError, HttpError, FormatError; BridgeError `REGISTRY_BLOCKED`
 * @example
 * ```ts
 * import { listRegistryTags } from 'composefs-bridge';
 *
 * console.log(await listRegistryTags('//registry.example.org/a/b')); // [ '1' ]
 * ```
 */
export async function listRegistryTags(
  text: string,
  { signal, ...options }: RegistryOptions & Abortable = {},
): Promise<string[]> {
  await using registries = new Registries(options);
  const source = registries.source(parseRegistryReference(text));
  return await source.tags(signal);
}
