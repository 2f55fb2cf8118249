import { referenceForms } from '../../oci/source/open.js';

/** Arguments that name an image somewhere else, by a transport. */
export type ReferenceKind = 'reference' | 'registry-reference';

/** What references of a kind begin with, and whether a path follows. */
export function beginnings(kind: ReferenceKind): { name: string; path: boolean }[] {
  return referenceForms(kind === 'registry-reference').map((form) => {
    const [, name = '', rest = ''] = /^([^:]*:(?:\/\/)?)(.*)$/.exec(form) ?? [];
    return { name, path: /^(?:DIR|FILE)/.test(rest) };
  });
}
