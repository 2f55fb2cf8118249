// gc.program.js REPOSITORY STORE SLOT SEED WORK   does random work on a repository until it is killed. WORK is a list
// of pull, tag, untag, gc and copy (from the repository beside it), separated by commas. On standard output it says
// what it is about to do and what is done:
//   ready | begin TAG | tag TAG DIGEST | copied | untag TAG | gc OBJECTS | failed CODE MESSAGE
import { writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { BridgeError } from '../../../src/errors.js';
import { copyImage } from '../../../src/oci/push/copy.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { Repository } from '../../../src/repository/repository.js';
import { listTags, removeTag, writeTag } from '../../../src/repository/tags.js';
import { Random } from '../random.js';
import { smallIndex } from '../images/small-store.js';
import { copySource } from './gc-workers.js';

const TAGS = 3;
const LONGEST_PAUSE_MS = 20;
const [path = '', graphroot = '', slot = '', seed = '', work = ''] = process.argv.slice(2);
const random = new Random(Number(seed));
const images = Object.values(smallIndex());

const jobs: Record<string, (repository: Repository, tag: string) => Promise<void>> = {
  async pull(repository, tag) {
    const { image_id: id } = pick(images);
    await using source = await openStorageImage(id, { graphroot });
    say(`begin ${tag}`);
    const { manifestDigest } = await pullImage(repository, source, { name: tag });
    say(`tag ${tag} ${manifestDigest}`);
  },
  async copy(repository, tag) {
    using source = await Repository.open(copySource(path));
    const { name } = pick(listTags(source));
    say(`begin ${tag}`);
    const { manifestDigest } = await copyImage(source, repository, name, { name: tag });
    say(`tag ${tag} ${manifestDigest}`);
    say('copied');
  },
  async tag(repository, tag) {
    const tags = listTags(repository);
    if (tags.length === 0) return;
    const { manifestDigest } = pick(tags);
    say(`begin ${tag}`);
    if (writeTag(repository, tag, manifestDigest)) await repository.sync();
    say(`tag ${tag} ${manifestDigest}`);
  },
  async untag(repository, tag) {
    say(`begin ${tag}`);
    removeTag(repository, tag);
    say(`untag ${tag}`);
  },
  async gc(repository) {
    const { objects } = await collectGarbage(repository);
    say(`gc ${objects}`);
  },
};

say('ready');
for (;;) {
  const job = jobs[pick(work.split(','))];
  try {
    using repository = await Repository.open(path, { write: true });
    await job?.(repository, `${slot}-${random.upTo(TAGS - 1)}`);
  } catch (error) {
    // Images that cannot become composefs images are among the store's, and leave what they have brought so far as
    // garbage.
    say(
      `failed ${error instanceof BridgeError || (error instanceof Error && 'code' in error) ? String(error.code) : 'unknown'} ${String(error).replaceAll('\n', ' ')}`,
    );
  }
  await setTimeout(random.upTo(LONGEST_PAUSE_MS));
}

function pick<T>(list: readonly T[]): T {
  return list[random.upTo(list.length - 1)] as T;
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}
