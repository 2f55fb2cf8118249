// All limits on what is held in memory stand in src/limits.ts, or native/base/limits.h.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Constants that are called like limits and limit no memory, by the reason. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  'of a format: what a field can say, or its programs accept': [
    'src/erofs/format/format.ts CHUNK_BITS_MAX',
    'src/erofs/format/format.ts INLINE_MAX',
    'src/erofs/format/format.ts SYMLINK_MAX',
    'src/erofs/dumpfile/node.ts PATH_MAX',
    'src/erofs/dumpfile/xattrs.ts TEXT_MAX',
    'src/erofs/dumpfile/xattrs.ts BYTES_MAX',
    'src/erofs/write/plan.ts SHARED_REFS_MAX',
    'src/erofs/write/plan.ts XATTRS_MAX',
    'src/erofs/write/plan.ts FILE_MAX',
    'src/tree/entry-node.ts MAX_ID',
    'src/tree/entry-node.ts MAX_TIME',
    'src/tree/tree.ts DEPTH_MAX',
    'src/layer/tar-header.ts MAX_ID',
    'src/layer/entry.ts INLINE_LIMIT',
    'src/layer/splitdirfdstream-decoder.ts MAX_SAFE_HIGH',
    'src/storage/tar-split.ts MAX_DIGITS',
    'src/spec/reference.ts MAX_LENGTH',
    'src/cli/getopt-long.ts LONG_MAX',
    'src/erofs/dumpfile/numbers.ts U64_MAX',
    'src/layer/tar-number.ts I64_MAX',
    'src/layer/tar-diff-format.ts TAR_DIFF_NAME_MAX',
  ],
  'of the kernel': [
    'src/fd/native-socket.ts MAX_FDS_PER_SEND',
    'src/fd/address.ts MAX_SUN_PATH',
    'src/fd/fd.ts NUMBER_MAX',
    'src/service/systemd.ts LONGEST_NOTIFICATION',
  ],
  'a time': [
    'src/boot/selinux/own-policy.ts LABELLING_LIMIT',
    'src/oci/source/silence.ts SILENCE_LIMIT',
    'src/oci/remote/remote-repository.ts CLOSING_LIMIT',
    'src/http/wait.ts LONGEST_MS',
    'src/fd/connect.ts LONGEST_PAUSE',
    'src/storage/lock.ts LONGEST_PAUSE',
    'src/service/file-replies.ts LONGEST_PAUSE',
  ],
  'how often something is done again, or one after the other': [
    'src/repository/follow-link.ts MOST_LINKS',
    'src/fd/own-links.ts MOST_LINKS',
    'src/fd/believed-path.ts MOST_LINKS',
    'src/http/resumable.ts MOST_FRUITLESS',
    'src/http/client.ts MOST_RETRIES',
    'src/http/client.ts MOST_REDIRECTS',
    'src/registry/upload.ts MOST_FAILURES',
    'src/service/varlink/internal-error.ts MOST_CAUSES',
  ],
  'of what we write ourselves': [
    'src/erofs/write/entry-error.ts SHOWN_MAX',
    'src/rpc/varlink/varlink-error.ts LONGEST_DESCRIPTION',
    'src/service/file-reply.ts MOST_FILES',
  ],
  'a number of descriptors, leases, renames, files hashed side by side': [
    'src/service/leases.ts MOST_LEASES',
    'src/service/varlink/handles.ts MOST_HANDLES',
    'native/check/check_objects.cc kMostShared',
    'native/base/file_io.cc kMostRenames',
    'native/hash/sha_kernels.h kMaxLanes',
  ],
};

/** Files that call something like `readFile`, and why they may. */
const READERS: Readonly<Record<string, string>> = {
  'src/rpc/varlink/interface.ts': 'definitions of interfaces that are part of the program',
  'src/boot/selinux/own-policy.ts': 'a function of its own, which has CONFIG_FILE_LIMIT',
  'src/cli/bundle.cts': 'the program itself, and its code cache',
  'src/cli/arguments.ts': 'the command line, which Node has in memory',
};

function* files(folder: string, ends: string): Generator<[path: string, text: string]> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path, ends);
    else if (new RegExp(ends).test(path)) yield [path, readFileSync(join(root, path), 'utf8')];
  }
}

test('a constant that is called like a limit stands among the limits, or in the list above', () => {
  const found: string[] = [];
  let limits = 0;
  const look = (among: string, pattern: RegExp, [path, text]: [string, string]): void => {
    for (const [, name] of text.matchAll(pattern))
      if (path === among) limits++;
      else found.push(`${path} ${name}`);
  };
  const typescript =
    /(?:\b(?:const|let|readonly)|\bstatic(?: readonly)?) (#?(?:MAX|LIMIT|MOST|LONGEST|LARGEST)_\w+|#?[A-Z]\w*_(?:LIMIT|MAX|MAXIMUM)|(?:MAX|max|limit)[A-Z]\w*(?= = \d))(?=[ :])/g;
  const native =
    /\b(?:constexpr|const|#define)\b[^=;(\n]*?\b(k(?:Max|Most|Longest|Largest)\w*|k\w+(?:Limit|Max)|(?:MAX|LIMIT)_\w+|\w+_(?:MAX|LIMIT))(?= ?[=\d{(])/g;
  for (const file of files('src', '\\.c?ts$')) look('src/limits.ts', typescript, file);
  for (const file of files('native', '\\.(cc|h)$')) look('native/base/limits.h', native, file);
  assert.deepEqual(found.sort(), Object.values(OTHERS).flat().sort());
  assert.ok(limits > 60, String(limits));
});

test('files are read whole by what knows a limit only', () => {
  const whole = /\breadFile(?:Sync)?\(|\.(?:text|json|arrayBuffer)\(\)|\.toArray\(/;
  // Examples in comments are programs of others.
  const code = (text: string): string => text.replace(/@example\n[^]*?\*\//g, '');
  const found = [...files('src', '\\.c?ts$')].filter(([, text]) => whole.test(code(text))).map(([path]) => path);
  assert.deepEqual(found.sort(), Object.keys(READERS).sort());
});

test('each limit has its reason', () => {
  const lines = readFileSync(join(root, 'src/limits.ts'), 'utf8').split('\n');
  const bare = lines.filter(
    (line, at) => /^export const [A-Z_]+ = /.test(line) && !/\*\/$|^export const INDEX_DEPTH/.test(lines[at - 1] ?? ''),
  );
  assert.deepEqual(bare, []);
});
