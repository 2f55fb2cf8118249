import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { recorded } from '../cli/recorded-repository.js';
import { filesBelow } from '../walk.js';

/** One way in which a repository with the image `t` can be broken. */
export interface Damage {
  name: string;
  /** @param path of the repository */
  apply(path: string): void;
  /** The errors, as `kind: path`; `*` stands for an object or image. */
  errors: string[];
  /** What is wrong with the image, as `kind: tag`. */
  imageErrors?: string[];
  /** The same, found by us and not by cfsctl. */
  ownImageErrors?: string[];
}

const layer = `streams/oci-layer-${recorded.diff_ids[1]}`;
const config = `streams/oci-config-${recorded.config_digest}`;
const manifest = `streams/oci-manifest-${recorded.manifest_digest}`;

/** Changes the object behind a link, in a copy that shares nothing. */
function change(path: string, link: string, how: (file: string) => void): void {
  const file = realpathSync(join(path, link));
  copyFileSync(file, `${file}.new`);
  renameSync(`${file}.new`, file);
  how(file);
}

function overwrite(file: string, at: number, text: string): void {
  const bytes = readFileSync(file);
  bytes.write(text, at, 'latin1');
  writeFileSync(file, bytes);
}

function image(path: string): string {
  return `images/${readdirSync(join(path, 'images')).find((name) => name !== 'refs')}`;
}

function retarget(path: string, link: string, target: string): void {
  rmSync(join(path, link));
  symlinkSync(target, join(path, link));
}

export const damages: Damage[] = [
  { name: 'nothing', apply: () => {}, errors: [] },
  {
    name: 'names that are no objects',
    apply: (path) => {
      mkdirSync(join(path, 'objects/00'), { recursive: true });
      writeFileSync(join(path, 'objects/00/short'), '');
      mkdirSync(join(path, 'objects/zz'));
      writeFileSync(join(path, 'objects/zz/ignored'), '');
    },
    errors: ['object-invalid-name: objects/00/short'],
  },
  {
    name: 'a flipped bit in a layer',
    apply: (path) => change(path, layer, (file) => overwrite(file, readFileSync(file).length - 4, '!!')),
    errors: ['object-digest-mismatch: *'],
    ownImageErrors: ['layer-check-failed: t'],
  },
  {
    name: 'a stream that is none',
    apply: (path) => change(path, layer, (file) => overwrite(file, 0, 'X')),
    errors: ['object-digest-mismatch: *', `stream-open-failed: ${layer}`],
    ownImageErrors: ['layer-check-failed: t'],
  },
  {
    name: 'an empty stream',
    apply: (path) => change(path, layer, (file) => truncateSync(file)),
    errors: ['object-digest-mismatch: *', `stream-open-failed: ${layer}`],
    ownImageErrors: ['layer-check-failed: t'],
  },
  {
    name: 'a missing layer object',
    apply: (path) => rmSync(realpathSync(join(path, layer))),
    errors: [`missing-named-ref: ${config}`, `broken-symlink: ${layer}`, `missing-named-ref: ${manifest}`],
    imageErrors: ['layer-object-missing: t'],
  },
  {
    name: 'a missing layer name',
    apply: (path) => rmSync(join(path, layer)),
    errors: [],
    imageErrors: ['layer-stream-missing: t'],
  },
  { name: 'a missing config name', apply: (path) => rmSync(join(path, config)), errors: [] },
  {
    name: 'a missing config object',
    apply: (path) => rmSync(realpathSync(join(path, config))),
    errors: [`broken-symlink: ${config}`, `missing-named-ref: ${manifest}`],
    imageErrors: ['config-read-failed: t'],
  },
  {
    name: 'another stream under the name of the manifest',
    apply: (path) => retarget(path, manifest, readlinkSync(join(path, layer))),
    errors: [],
    imageErrors: ['manifest-read-failed: t'],
  },
  {
    name: 'a missing manifest name',
    apply: (path) => rmSync(join(path, manifest)),
    errors: ['broken-symlink: streams/refs/oci/t'],
    imageErrors: ['manifest-read-failed: t'],
  },
  {
    name: 'what is no link among the names',
    apply: (path) => {
      writeFileSync(join(path, 'streams/file'), '');
      mkdirSync(join(path, 'images/folder'));
      writeFileSync(join(path, 'images/refs/file'), '');
      symlinkSync('../objects/aa/bb', join(path, 'streams/broken'));
      symlinkSync('nowhere', join(path, 'images/refs/broken'));
    },
    errors: [
      'broken-symlink: streams/broken',
      'entry-not-symlink: streams/file',
      'entry-not-symlink: images/folder',
      'broken-symlink: images/refs/broken',
      'unexpected-file-type: images/refs/file',
    ],
  },
  {
    name: 'links to what is no object',
    apply: (path) => {
      symlinkSync('../meta.json', join(path, 'streams/meta'));
      symlinkSync('../meta.json', join(path, 'images/meta'));
    },
    errors: ['stream-open-failed: streams/meta', 'image-invalid: images/meta'],
  },
  {
    name: 'a damaged image',
    apply: (path) => change(path, image(path), (file) => overwrite(file, 1024, 'XXXX')),
    errors: ['object-digest-mismatch: *', 'image-invalid: *'],
  },
  {
    name: 'a missing file',
    apply: (path) => {
      const [largest] = filesBelow(join(path, 'objects')).sort(
        (a, b) => readFileSync(b).length - readFileSync(a).length,
      );
      rmSync(largest ?? '');
    },
    errors: [`missing-object-ref: streams/oci-layer-${recorded.diff_ids[0]}`, 'image-missing-object: *'],
  },
  {
    name: 'bytes after the end of an object',
    apply: (path) => change(path, manifest, (file) => appendFileSync(file, '\0')),
    errors: ['object-digest-mismatch: *'],
  },
];

/** The kind and place of each line about an error, with objects and images replaced by `*`; sorted. */
export function errorsIn(text: string, places: 'objects' | 'exact' = 'objects'): string[] {
  const lines = [...text.matchAll(/^ {2}- fsck: ([a-z-]+): ((?:[^:\n]|:(?! ))+)/gm)].map(
    ([, kind, place = '']) => `${kind}: ${place}`,
  );
  return (
    places === 'exact'
      ? lines
      : lines.map((line) => line.replace(/(?:objects|images)\/(?:[0-9a-f]{2}\/)?[0-9a-f]{62,128}$/, '*'))
  ).sort();
}
