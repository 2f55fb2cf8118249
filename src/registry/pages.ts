import type { HttpResponse } from '../http/response.js';
import { REGISTRY_LIST_LIMIT, REGISTRY_PAGES_LIMIT, REGISTRY_PAGE_LIMIT } from '../limits.js';
import type { RegistryRepository, RegistryRequest } from './repository.js';

/**
 * The pages of a list, as JSON.
 * @throws RegistryError, HttpError
 */
export async function* pages(
  repository: RegistryRepository,
  request: RegistryRequest,
): AsyncGenerator<{ json: unknown; response: HttpResponse }, void, void> {
  const seen = new Set<string>();
  let { target } = request;
  let length = 0;
  for (;;) {
    await using response = await repository.request({ ...request, target });
    if (response.status !== 200) return;
    const bytes = await response.bytes(REGISTRY_PAGE_LIMIT);
    length += bytes.length;
    if (length > REGISTRY_LIST_LIMIT)
      throw repository.error(`its list has more than ${REGISTRY_LIST_LIMIT} bytes; name the image by tag or digest`);
    yield { json: parse(repository, bytes), response };
    const link = /<([^>]*)>\s*;[^,]*rel="?next"?/i.exec(response.headers('link').join(', '))?.[1];
    if (link === undefined) return;
    const next = await repository.locate(response, 'link', link);
    if (seen.has(next.href) || seen.size >= REGISTRY_PAGES_LIMIT) throw repository.error('its list never ends');
    seen.add(next.href);
    target = next;
  }
}

function parse(repository: RegistryRepository, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw repository.error('a list is not JSON', undefined, { cause });
  }
}
