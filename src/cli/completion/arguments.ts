import type { NameKind } from './names.js';
import type { ReferenceKind } from './references.js';

/** `folder` is one outside of the repository. */
export type ArgumentKind = NameKind | ReferenceKind | 'folder';

/** What arguments stand for, by command and in their order. */
export const ARGUMENTS: Readonly<Record<string, readonly ArgumentKind[]>> = {
  init: ['folder'],
  cat: ['stream'],
  mount: ['image-name', 'folder'],
  'image-objects': ['image-name'],
  'dump-files': ['image-name'],
  'create-image': ['folder'],
  'compute-id': ['folder'],
  'compute-karg': ['folder'],
  'create-dumpfile': ['folder'],
  copy: ['reference', 'store-reference'],
  'oci pull': ['reference'],
  'oci copy': ['image'],
  'oci push': ['image', 'destination'],
  'oci inspect': ['image'],
  'oci dump': ['image'],
  'oci compute-id': ['image'],
  'oci mount': ['image', 'folder'],
  'oci prepare-boot': ['image'],
  'oci tags': ['registry-reference'],
  'oci tag': ['manifest'],
  'oci untag': ['tag'],
  'oci fsck': ['tag'],
  'ostree pull-local': ['folder'],
  'ostree inspect': ['commit'],
  'ostree dump': ['commit'],
  'ostree compute-id': ['commit'],
  'ostree mount': ['commit', 'folder'],
  'ostree tag': ['commit'],
  'ostree untag': ['commit-name'],
  'ostree export': ['commit', 'folder'],
  'ostree commit': ['image-name'],
};

/** The commands whose names are those of the repository that this option names. */
export const ELSEWHERE: Readonly<Record<string, string>> = { 'oci copy': '--from' };
