import * as z from 'zod';
import { isTag } from '../spec/reference.js';
import { pages } from './pages.js';
import type { RegistryRepository } from './repository.js';

const schema = z.object({ tags: z.array(z.string().refine(isTag)).nullish() });

/**
 * The tags of a repository, in the order of its registry.
 * @throws RegistryError, HttpError
 */
export async function* listTags(
  repository: RegistryRepository,
  signal?: AbortSignal,
): AsyncGenerator<string, void, void> {
  for await (const { json } of pages(repository, {
    target: 'tags/list?n=1000',
    expect: [200],
    what: 'the tags cannot be listed',
    signal,
  })) {
    const page = schema.safeParse(json);
    if (!page.success) throw repository.error('its list of tags is none', undefined, { cause: page.error });
    yield* page.data.tags ?? [];
  }
}
