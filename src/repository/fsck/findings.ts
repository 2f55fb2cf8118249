// What can be wrong with a repository, as data: the texts of fsck and all that a repair does follow from it.
import { printable, showBytes, type ByteString } from '../../bytes.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { pathOfObject } from '../names.js';

export type ObjectDefect =
  | 'object-open-failed'
  | 'object-digest-mismatch'
  | 'object-verity-failed'
  | 'object-verity-missing'
  /** not of cfsctl: others can change the object, or it is setuid or the like */
  | 'object-unsafe';

/** An object that is there and not right. */
export interface ObjectFinding {
  readonly kind: ObjectDefect;
  readonly object: ObjectId;
  /** what the kernel or the hash said */
  readonly reason?: string;
}

/** Something among the objects that is none. */
export interface NoObject {
  readonly kind: 'object-invalid-name';
  /** below the repository */
  readonly path: ByteString;
}

/** A name, ref or folder that is not as it should be, or what it leads to. */
export interface NameFinding {
  readonly kind:
    | 'entry-not-symlink'
    | 'broken-symlink'
    | 'stat-failed'
    | 'unexpected-file-type'
    | 'folder-invalid'
    | 'stream-open-failed'
    | 'image-read-failed'
    | 'image-invalid';
  readonly path: ByteString;
  readonly reason?: string;
}

/** A reference to an object that is not there. */
export interface MissingObject {
  readonly kind: 'missing-object-ref' | 'missing-named-ref' | 'image-missing-object';
  /** of the name of the stream or image that has the reference */
  readonly path: ByteString;
  readonly object: ObjectId;
  /** what a stream calls it */
  readonly ref?: string;
}

export type Finding = ObjectFinding | NoObject | NameFinding | MissingObject;
export type FsckKind = Finding['kind'];

/** One thing that is wrong, in words. `kind` is stable. */
export interface FsckError<Kind extends string = FsckKind> {
  readonly kind: Kind;
  /** below the repository, or the tag of an image */
  readonly path: string;
  readonly detail?: string;
}

export function isObjectFinding(finding: Finding): finding is ObjectFinding {
  return 'object' in finding && !('path' in finding);
}

export function isMissingObject(finding: Finding): finding is MissingObject {
  return 'object' in finding && 'path' in finding;
}

export function errorOf(finding: Finding): FsckError {
  const path = showBytes('path' in finding ? finding.path : pathOfObject(finding.object));
  const detail = detailOf(finding);
  return { kind: finding.kind, path, ...(detail !== undefined && { detail }) };
}

function detailOf(finding: Finding): string | undefined {
  if ('reason' in finding) return finding.reason;
  if (!isMissingObject(finding)) return undefined;
  return finding.ref === undefined ? finding.object : `ref ${finding.ref}: ${finding.object}`;
}

/** One line about an error: `fsck: <kind>: <path>: <detail>`. */
export function describeFsckError({ kind, path, detail }: FsckError<string>): string {
  return printable(`fsck: ${kind}: ${path}${detail === undefined ? '' : `: ${detail}`}`);
}
