import assert from 'node:assert/strict';
import { join } from 'node:path';
import { END, header, padded } from '../support/layers/make-tar.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { runInPeers, type SharedFolder } from './peers.js';

const FILES = 40;

/** How many files of the image become objects: those above 64 bytes. */
export const SMALL_IMAGE_OBJECTS = FILES;

const uidOf = (index: number): number => index % 3;
const modeOf = (index: number): number => [0o644, 0o600, 0o4755, 0o444][index % 4] as number;
/** How many of those root may hardlink: its own ones that are not setuid. */
export const SMALL_IMAGE_LINKS = Array.from(
  { length: FILES },
  (_, index) => uidOf(index) === 0 && (modeOf(index) & 0o4000) === 0,
).filter(Boolean).length;

/**
 * Makes a store with skopeo that has one image, `small`, in `store` below a folder.
 * Its files differ in content, mode and owner; every fourth can be read by its owner only.
 */
export function makeSmallStore(folder: SharedFolder): string {
  const parts = [
    header({ name: 'usr/', type: '5', mode: 0o755 }),
    header({ name: 'usr/private/', type: '5', mode: 0o700, uid: 7 }),
  ];
  for (let index = 0; index < FILES; index++) {
    const content = Buffer.alloc(1000 + index * 997, `${index} `);
    const name = `usr/${index % 8 === 0 ? 'private/' : ''}file-${index}`;
    parts.push(
      header({
        name,
        size: content.length,
        mode: modeOf(index),
        uid: uidOf(index),
        gid: index % 5,
        mtime: 1_000_000_000 + index,
      }),
      padded(content),
    );
  }
  writeLayout(join(folder.path, 'layout'), [Buffer.concat([...parts, END])]);
  const target = `containers-storage:[overlay@${folder.inside}/store+${folder.inside}/run]localhost/small:latest`;
  const { status, stderr } = runInPeers(
    'skopeo',
    '--insecure-policy',
    'copy',
    '-q',
    `oci:${folder.inside}/layout:image`,
    target,
  );
  assert.equal(status, 0, stderr);
  return join(folder.path, 'store');
}
