import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { bytesOf } from '../../src/bytes.js';
import { isErrno, openBeneath, type Fd } from '../../src/fd/fd.js';
import { files } from '../../src/native.js';
import { MountClone } from '../../src/storage/mount-clone.js';
import { openDirectoryPath } from '../../src/fd/fd.js';

// Run in a mount namespace of its own, with a folder that holds overlay/layer/file and repo/: prints what linking does
// before and after the folder `overlay` is mounted on itself, by path and through a clone.

const folder = bytesOf(process.argv[2]!);
const overlay = `${folder}/overlay`;
const repository = `${folder}/repo`;

function link(source: Fd, target: Fd, name: string): string {
  using file = openBeneath(source, 'layer/file', constants.O_RDONLY);
  try {
    files.linkFd(file.number, target.number, name);
  } catch (error) {
    if (isErrno(error, 'EXDEV')) return 'EXDEV';
    throw error;
  }
  using linked = openBeneath(target, name, constants.O_RDONLY);
  return linked.stat().ino === file.stat().ino ? 'linked' : 'another file';
}

function byPath(name: string): string {
  using source = openDirectoryPath(overlay);
  using target = openDirectoryPath(repository);
  return link(source, target, name);
}

function throughClone(name: string): string {
  using clone = MountClone.forStore({ graphroot: process.argv[2]! }, `${process.argv[2]}/repo`);
  if (!clone) return 'no clone';
  using source = clone.openDir(overlay);
  using target = clone.openDir(repository);
  return link(source, target, name);
}

const before = [byPath('1'), throughClone('2')];
execFileSync('mount', ['--bind', process.argv[2] + '/overlay', process.argv[2] + '/overlay']);
execFileSync('mount', ['--make-private', process.argv[2] + '/overlay']);
process.stdout.write(JSON.stringify({ before, mounted: [byPath('3'), throughClone('4')] }));
