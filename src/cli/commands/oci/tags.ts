import { isRegistryReference, registryNameOf } from '../../../oci/source/open.js';
import { UsageError } from '../../errors.js';
import { registryChoice } from '../../registry-options.js';
import type { Session } from '../../session.js';
import type { TagsOptions } from './tags.options.js';

/** `oci tags`: lists the tags of a repository in a registry. */
export async function run({ out, signal }: Session, [reference]: [string], options: TagsOptions): Promise<void> {
  if (!isRegistryReference(reference))
    throw new UsageError(
      `"${reference}" does not name a repository in a registry, like docker://docker.io/library/debian`,
    );
  const { listRegistryTags } = await import('../../../oci/source/registry-tags.js');
  const tags = await listRegistryTags(registryNameOf(reference), { ...registryChoice(options), signal });
  if (options.json) return out.json({ repository: reference, tags });
  for (const tag of tags) await out.line(tag);
}
