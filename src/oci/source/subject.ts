// What an image is to policy.json, where it has a path.
import { realpathSync } from 'node:fs';
import type { PolicySubject } from '../../registry/policy/image-to-check.js';
import { pathScopes } from '../../registry/policy/scopes.js';

/**
 * Images at a path have no name that a signature could be about: signatures of them fulfil rules that name one.
 * @param path of what holds the image and is there
 */
export function pathSubject(transport: 'dir' | 'oci' | 'oci-archive', path: string): PolicySubject {
  return { transport, scopes: pathScopes(realpathSync(path)), name: undefined, shown: `${transport}:${path}` };
}
