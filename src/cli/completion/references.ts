import { destinationForms } from '../../oci/push/destination/open.js';
import { referenceForms } from '../../oci/source/open.js';
import { STORE_FORM } from '../../oci/store/destination.js';

const FORMS = {
  reference: () => referenceForms(),
  'registry-reference': () => referenceForms(true),
  destination: () => destinationForms(),
  'store-reference': () => [STORE_FORM],
} as const;

/** Arguments that name an image somewhere else, by a transport. */
export type ReferenceKind = keyof typeof FORMS;

export function isReferenceKind(kind: string): kind is ReferenceKind {
  return Object.hasOwn(FORMS, kind);
}

/** What references of a kind begin with, and whether a path follows. */
export function beginnings(kind: ReferenceKind): { name: string; path: boolean }[] {
  return FORMS[kind]().map((form) => {
    const [, name = '', rest = ''] = /^([^:]*:(?:\/\/)?)(.*)$/.exec(form) ?? [];
    return { name, path: /^(?:DIR|FILE)/.test(rest) };
  });
}
