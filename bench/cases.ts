import type { Bench } from './bench.js';
import { makeImages } from './erofs.js';
import { applyDeltas, createDeltas } from './deltas.js';
import { compareFsck } from './fsck.js';
import { growthInBytes, growthInFiles } from './growth.js';
import { compareLayers } from './layers.js';
import { boundExt4, journaledExt4, loopBesideStore, loopWithStore, plainExt4, type Place } from './place.js';
import { comparePulls } from './pulls.js';
import { registryPulls } from './registry-pulls.js';
import { registryPushes } from './registry-pushes.js';
import { imageProxies } from './image-proxy.js';
import { ostreeHttp, ostreeLocal } from './ostree.js';
import type { Row } from './samples.js';
import { serverAnswers } from './server-answers.js';
import { socketPulls } from './socket-pulls.js';
import { startUp } from './start-up.js';
import { storeWrites } from './store-writes.js';
import { varlinkPulls } from './varlink-pulls.js';

/** Something that is measured; yields the lines of one table. */
export interface Case {
  name: string;
  title: string;
  /** what the first column holds */
  subject: string;
  /**
   * how the others are compared with the first program: their medians, or the runs of each turn as well, or not at all
   */
  ratio: 'medians' | 'turns' | 'none';
  /** whether its times are in the chart */
  charted: boolean;
  /** @throws Unavailable; Error when a program fails or results differ */
  run(bench: Bench): AsyncGenerator<Row, void>;
}

const none = (): undefined => undefined;

/** In the order in which they run. */
export const cases: readonly Case[] = [
  pulls('ext4', 'Pull, store and repository on ext4', plainExt4),
  pulls('bound', 'Pull, ext4, with `overlay` mounted on itself as podman does it', boundExt4),
  pulls('btrfs', 'Pull, store and repository on btrfs', (store, work) => loopWithStore('btrfs', store, work)),
  pulls('xfs', 'Pull, store and repository on xfs', (store, work) => loopWithStore('xfs', store, work)),
  pulls('copy', 'Pull, from a store on ext4 to a repository on xfs', (store, work) =>
    loopBesideStore('xfs', store, work),
  ),
  {
    name: 'again',
    title: 'Second pull of the same image (ext4)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) =>
      at(plainExt4, bench, (place) => comparePulls(bench, 'again', place, bench.images, (image) => image)),
  },
  {
    name: 'shared',
    title: 'Pull of an image of which all but a small layer is there (ext4)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => comparePulls(bench, 'shared', place, ['mid'], () => 'base')),
  },
  {
    name: 'fsck',
    title: '`fsck` of a repository with one image (ext4)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => compareFsck(bench, place)),
  },
  {
    name: 'layer',
    title: 'Largest layer of an image as a tar, `oci layer` (ext4)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => compareLayers(bench, place)),
  },
  {
    name: 'socket',
    title: 'Pull through `cfsbridge serve` (ext4; CPU and memory of client and server together)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => socketPulls(bench, place)),
  },
  {
    name: 'varlink',
    title: 'Pull over varlink, from a repository and from a store (ext4; CPU and memory of client and server together)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => varlinkPulls(bench, place)),
  },
  {
    name: 'registry',
    title: 'Pull from `docker-registry` on this machine (ext4; memory of the largest process)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => registryPulls(bench, place)),
  },
  {
    name: 'registry-push',
    title: 'Push to `docker-registry` on this machine (ext4)',
    subject: 'image',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => registryPushes(bench, place)),
  },
  {
    name: 'store-write',
    title: 'Into an empty containers-storage (btrfs, all in one)',
    subject: 'image, from',
    ratio: 'medians',
    charted: false,
    run: (bench) =>
      at(
        (store, work) => loopWithStore('btrfs', store, work),
        bench,
        (place) => storeWrites(bench, place),
      ),
  },
  {
    name: 'image-proxy',
    title: 'The largest layer of an image through an image proxy (ext4)',
    subject: 'what',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => imageProxies(bench, place)),
  },
  {
    name: 'delta',
    title: 'Update of an image of 400 MB, one file in twenty changed (ext4)',
    subject: 'from',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => applyDeltas(bench, place)),
  },
  {
    name: 'delta-create',
    title: 'Making the delta of the same two images (ext4)',
    subject: 'delta',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(plainExt4, bench, (place) => createDeltas(bench, place)),
  },
  {
    name: 'ostree',
    title: 'Commits of ostree from this machine, 16,000 files (new ext4)',
    subject: 'from',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(journaledExt4, bench, (place) => ostreeLocal(bench, place)),
  },
  {
    name: 'ostree-http',
    title: 'Commits of ostree from nginx on this machine, 16,000 files (new ext4)',
    subject: 'what',
    ratio: 'medians',
    charted: false,
    run: (bench) => at(journaledExt4, bench, (place) => ostreeHttp(bench, place)),
  },
  {
    name: 'server',
    title: 'Answer of `cfsbridge serve` for the top layer of an image',
    subject: 'layer',
    ratio: 'none',
    charted: false,
    run: serverAnswers,
  },
  {
    name: 'erofs',
    title: 'Images made by `mkcomposefs` (the filesystem of the peers)',
    subject: 'source',
    ratio: 'turns',
    charted: false,
    run: makeImages,
  },
  { name: 'start', title: 'Start-up', subject: 'command', ratio: 'none', charted: false, run: startUp },
  {
    name: 'files',
    title: 'Pull of one layer with files of 1 KiB each, by their number (ext4)',
    subject: 'files',
    ratio: 'none',
    charted: true,
    run: growthInFiles,
  },
  {
    name: 'bytes',
    title: 'Pull of one layer with one sparse file, by its size (ext4)',
    subject: 'size',
    ratio: 'none',
    charted: true,
    run: growthInBytes,
  },
];

function pulls(name: string, title: string, open: (store: string, work: string) => Place): Case {
  return {
    name,
    title,
    subject: 'image',
    ratio: 'medians',
    charted: true,
    run: (bench) => at(open, bench, (place) => comparePulls(bench, name, place, bench.images, none)),
  };
}

async function* at(
  open: (store: string, work: string) => Place,
  bench: Bench,
  run: (place: Place) => AsyncGenerator<Row, void>,
): AsyncGenerator<Row, void> {
  using place = open(bench.store, bench.work);
  yield* run(place);
}
