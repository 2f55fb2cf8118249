// What the server of an ostree repository can try with whoever pulls from it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { deflateRawSync, gzipSync } from 'node:zlib';
import type { TestContext } from 'node:test';
import { encodeVariant, variantOf } from '../../src/ostree/gvariant/encode.js';
import { sha256 } from '../../src/ostree/object/checksum.js';
import { encodeSizedHeader, parseSizedHeader } from '../../src/ostree/object/file-header.js';
import { NO_XATTRS } from '../../src/tree/tree.js';
import { runCli } from '../support/cli/run-cli.js';
import { startCli, type Ended } from '../support/cli/start-cli.js';
import { fixture } from '../support/fixtures.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { archiveServer } from '../support/ostree/archive-server.js';
import { recordedRepositories } from '../support/ostree/recorded-repositories.js';
import { encodeSummary, Signer } from '../support/ostree/signed-commits.js';
import { scratch } from '../support/scratch.js';
import { filesBelow } from '../support/walk.js';
import { endless, scriptedHttp, type Handler, type ScriptedServer } from '../support/servers/scripted-http.js';
import { attack } from './attack.js';

const REF = 'web/stable';
const SMALL = 'small '.repeat(50);
const LARGE = Buffer.alloc(3 << 20, 'large ');
const HEADER = { uid: 0, gid: 0, mode: 0o100644, target: '', xattrs: NO_XATTRS };

interface Scene {
  archive: string;
  repository: string;
  commit: string;
  server: ScriptedServer & { url: string };
  pull(...options: string[]): Promise<Ended>;
}

async function scene(t: TestContext, first?: (...args: Parameters<Handler>) => boolean | void): Promise<Scene> {
  const folder = scratch(t);
  const archive = join(folder, 'archive');
  const [commit] = writeArchive(archive, { [REF]: { 'usr/small': SMALL, 'usr/large': LARGE } }) as [string];
  const server = await archiveServer(t, [archive], first);
  return { archive, commit, server, ...pulling(folder, server.url, REF) };
}

function pulling(folder: string, url: string, ref: string): Pick<Scene, 'repository' | 'pull'> {
  const repository = join(folder, 'repository');
  assert.equal(runCli(['--repo', repository, 'init', '--insecure']).status, 0);
  const env = { HOME: folder, XDG_CONFIG_HOME: '' };
  return {
    repository,
    pull: (...options) => startCli(['--repo', repository, 'ostree', 'pull', url, ref, ...options], env).ended,
  };
}

/** Nothing has a name, and the error says what was wrong with which file of the server. */
function refused({ status, stdout, stderr }: Ended, repository: string, message: RegExp): void {
  assert.equal(status, 1, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, message);
  const streams = join(repository, 'streams');
  const names = existsSync(streams) ? (readdirSync(streams, { recursive: true }) as string[]) : [];
  assert.ok(!names.some((name) => /ostree-commit|refs\/ostree\//.test(name)), names.join());
}

const PIECE = Buffer.alloc(1 << 20);

/** What is sent without end, and how much of it is taken at most. */
const ENDLESS: readonly [what: string, path: RegExp, begin: (file: Buffer) => Buffer, message: RegExp, most: number][] =
  [
    ['a ref', /\/refs\//, (file) => file, /refs\/heads/, 16 << 20],
    ['a commit', /\.commit$/, (file) => file, /\.commit: the answer is longer than/, 160 << 20],
    ['a folder', /\.dirtree$/, (file) => file, /\.dirtree: the answer is longer than/, 160 << 20],
    ['a summary', /\/summary$/, () => PIECE, /summary: the answer is longer than/, 160 << 20],
    ['the index of deltas', /\.index$/, () => PIECE, /\.index: the answer is longer than/, 160 << 20],
    ['a header', /\.filez$/, () => Buffer.from('ffffffff00000000', 'hex'), /file [0-9a-f]{64}: .*header/, 32 << 20],
  ];

for (const [what, path, begin, message, most] of ENDLESS)
  attack(`a server of ostree sends ${what} without end`, {}, async (t) => {
    const counted: { sent: number }[] = [];
    const { archive, repository, pull } = await scene(t, (request, response) => {
      if (!path.test(request.url ?? '')) return false;
      const file = decodeURIComponent((request.url ?? '').replace(/^\/repo/, archive));
      response.write(begin(existsSync(file) ? readFileSync(file) : Buffer.alloc(0)));
      counted.push(endless(response, PIECE));
      return true;
    });
    refused(await pull(), repository, message);
    assert.ok(counted.length > 0);
    for (const { sent } of counted) assert.ok(sent <= most, `${sent} bytes were sent`);
    return 'it is read up to a limit, then refused';
  });

for (const [what, size] of [
  ['small', SMALL.length],
  ['large', LARGE.length],
] as const)
  attack(`a server of ostree goes on without end behind a ${what} file`, {}, async (t) => {
    let counted = { sent: 0 };
    const { archive, repository, pull } = await scene(t, (request, response) => {
      const url = request.url ?? '';
      if (!url.endsWith('.filez')) return false;
      const file = readFileSync(url.replace(/^\/repo/, archive));
      if (parseSizedHeader(file).size !== BigInt(size)) return false;
      response.write(file);
      counted = endless(response, PIECE);
      return true;
    });
    refused(await pull(), repository, /file [0-9a-f]{64}: .*(?:goes on behind its content|bytes behind its header)/);
    assert.ok(counted.sent > 0 && counted.sent < 32 << 20, `${counted.sent} bytes were sent`);
    return 'an error that names the file, soon after its end';
  });

attack('a server of ostree sends the index of its summaries without end', {}, async (t) => {
  let counted = { sent: 0 };
  const { pull } = await scene(t, (request, response) => {
    if (!(request.url ?? '').endsWith('/summary.idx')) return false;
    counted = endless(response, PIECE);
    return true;
  });
  const { status, stderr } = await pull();
  assert.equal(status, 0, stderr);
  assert.ok(counted.sent > 0 && counted.sent < 160 << 20, `${counted.sent} bytes were sent`);
  return 'it is read up to a limit, and passed over: there need not be one';
});

for (const [what, path, message] of [
  ['the beginning', /\/superblock$/, /the beginning of the delta has more than \d+ bytes/],
  ['a part', /\/deltas\/.*\/0$/, /a part of the delta has more than \d+ bytes \(entry "deltas\/[^"]*\/0"\)/],
] as const)
  attack(`a server of ostree sends ${what} of a delta without end`, {}, async (t) => {
    const recorded = recordedRepositories(t, 'deltas');
    let counted = { sent: 0 };
    const server = await archiveServer(t, [`${recorded}/d/scratch-b`, `${recorded}/archive`], (request, response) => {
      if (!path.test(request.url ?? '')) return false;
      response.write(readFileSync((request.url ?? '').replace(/^\/repo/, `${recorded}/d/scratch-b`)));
      counted = endless(response, PIECE);
      return true;
    });
    const { repository, pull } = pulling(scratch(t), server.url, 'd/b');
    refused(await pull(), repository, message);
    assert.ok(counted.sent > 0 && counted.sent < 160 << 20, `${counted.sent} bytes were sent`);
    assert.ok(!server.lines().some((line) => line.includes('/objects/')));
    return 'it is read up to a limit, then refused; nothing comes instead';
  });

attack('a server of ostree sends a small file that becomes a large one', {}, async (t) => {
  const bomb = deflateRawSync(Buffer.alloc(256 << 20));
  for (const size of [BigInt(SMALL.length), BigInt(LARGE.length)]) {
    const { repository, pull } = await scene(t, (request, response) => {
      if (!(request.url ?? '').endsWith('.filez')) return false;
      response.end(Buffer.concat([encodeSizedHeader(HEADER, size), bomb]));
      return true;
    });
    refused(
      await pull(),
      repository,
      /more (?:content )?than the \d+ bytes that its header says|bytes behind its header/,
    );
  }
  return 'no more than the size in its header is inflated';
});

attack('a server of ostree gives another object than it was asked for', {}, async (t) => {
  for (const kind of ['commit', 'dirtree', 'dirmeta', 'filez']) {
    const other =
      kind === 'filez'
        ? Buffer.concat([encodeSizedHeader(HEADER, 4n), deflateRawSync(Buffer.from('evil'))])
        : Buffer.alloc(1);
    const { repository, pull } = await scene(t, (request, response) => {
      if (!(request.url ?? '').endsWith(`.${kind}`)) return false;
      response.end(other);
      return true;
    });
    refused(await pull(), repository, /[0-9a-f]{64}/);
  }
  return 'an error that names the object; nothing has a name';
});

attack('a server of ostree gives wrong parts of a file that broke off', {}, async (t) => {
  const outcomes: string[] = [];
  for (const [what, head, part] of [
    [
      'the beginning again',
      undefined,
      (bytes: Buffer, from: number) => [
        `bytes 0-${bytes.length - 1 - from}/${bytes.length}`,
        bytes.subarray(0, bytes.length - from),
      ],
    ],
    [
      'another place',
      undefined,
      (bytes: Buffer, from: number) => [
        `bytes ${from + 1}-${bytes.length - 1}/${bytes.length}`,
        bytes.subarray(from + 1),
      ],
    ],
    [
      'other bytes',
      /[0-9a-f]{64}/,
      (bytes: Buffer, from: number) => [
        `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
        Buffer.alloc(bytes.length - from, 7),
      ],
    ],
    [
      'more than there is',
      /behind its content|bytes behind/,
      (bytes: Buffer, from: number) => [
        `bytes ${from}-${bytes.length + 99}/${bytes.length + 100}`,
        Buffer.concat([bytes.subarray(from), Buffer.alloc(100)]),
      ],
    ],
    ['no such part', undefined, () => [undefined, Buffer.alloc(0)]],
  ] as const) {
    const cut = new Set<string>();
    const { archive, repository, server, pull } = await scene(t, (request, response) => {
      const url = request.url ?? '';
      if (!url.endsWith('.filez')) return false;
      const bytes = readFileSync(url.replace(/^\/repo/, archive));
      const from = /^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1];
      if (from === undefined && cut.has(url)) return false;
      cut.add(url);
      if (from === undefined) {
        response.setHeader('content-length', bytes.length);
        response.write(bytes.subarray(0, bytes.length >> 1), () => response.socket?.end());
        return true;
      }
      const [range, body] = part(bytes, Number(from)) as [string | undefined, Buffer];
      if (range === undefined) response.writeHead(416).end();
      else response.writeHead(206, { 'content-range': range, 'content-length': body.length }).end(body);
      return true;
    });
    const ended = await pull();
    assert.ok(server.requests.some(({ headers }) => headers.range !== undefined));
    if (head === undefined) assert.equal(ended.status, 0, `${what}: ${ended.stderr}`);
    else {
      refused(ended, repository, head);
      // What is left of it is not believed: the next one asks again.
      const again = await pull();
      assert.equal(again.status, 0, `${what}: ${again.stderr}`);
    }
    assert.equal(runCli(['--repo', repository, 'fsck']).status, 0);
    outcomes.push(what);
  }
  return `the whole file is asked for, or the pull fails and the next one works (${outcomes.join(', ')})`;
});

attack('a server of ostree says other lengths than it sends', {}, async (t) => {
  for (const [lie, message] of [
    [-10, /file [0-9a-f]{64}: .* cannot be inflated/],
    [10, /filez: /],
  ] as const) {
    const { archive, repository, pull } = await scene(t, (request) => {
      const url = request.url ?? '';
      if (!url.endsWith('.filez')) return false;
      const bytes = readFileSync(url.replace(/^\/repo/, archive));
      const socket = request.socket;
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes.length + lie}\r\nconnection: close\r\n\r\n`);
      socket.end(bytes);
      return true;
    });
    refused(await pull(), repository, message);
  }
  return 'what is too short is asked for again, then refused; what is cut has another checksum';
});

attack('a server of ostree sends elsewhere', {}, async (t) => {
  const elsewhere = await scriptedHttp(t, (_, response) => void response.end('evil'));
  for (const [location, message] of [
    ['/repo/again', /more than 10 redirects/],
    ['file:///etc/passwd', /file:, which is not HTTP/],
    ['http://[', /no URL/],
    ['http://user:pw@127.0.0.1/', /password/],
    [`${elsewhere.origin}/x`, /[0-9a-f]{64}/],
  ] as const) {
    const { repository, pull } = await scene(t, (request, response) => {
      if (!/\.commit$|again$/.test(request.url ?? '')) return false;
      response.writeHead(302, { location }).end();
      return true;
    });
    refused(await pull('--header', 'x-token: secret', '--creds', 'me:secret'), repository, message);
  }
  assert.ok(elsewhere.requests.length > 0);
  for (const { headers } of elsewhere.requests)
    assert.deepEqual([headers['x-token'], headers.authorization], [undefined, undefined]);
  return 'neither files nor loops are followed, and no password or header goes along; what comes has to have the checksum';
});

attack('a server of ostree sends from https to http', {}, async (t) => {
  const plain = await scriptedHttp(t, (_, response) => void response.end('read by everybody'));
  const folder = scratch(t);
  mkdirSync(join(folder, 'certs'));
  writeFileSync(join(folder, 'certs/ca.crt'), fixture('tls/ca.crt'));
  const server = await scriptedHttp(
    t,
    (request, response) => void response.writeHead(302, { location: `${plain.origin}${request.url}` }).end(),
    { key: fixture('tls/server.key'), cert: fixture('tls/server.crt') },
  );
  const { repository, pull } = pulling(folder, `${server.origin}/repo`, REF);
  refused(await pull('--cert-dir', join(folder, 'certs')), repository, /https to http/);
  assert.deepEqual(plain.requests, []);
  return 'an error';
});

/** Summaries: refs to ids; what comes of a pull. */
attack('a summary lies', {}, async (t) => {
  const { archive, commit, repository, pull } = await scene(t);
  const write = (name: string, bytes: Buffer): void => {
    mkdirSync(dirname(join(archive, name)), { recursive: true });
    writeFileSync(join(archive, name), bytes);
  };
  write('summary', encodeSummary({ [REF]: 'ab'.repeat(32) }));
  refused(await pull(), repository, /Missing commit (?:ab){32}/);
  write('summary', encodeSummary({ [REF]: 'ab'.repeat(31) }));
  const passedOver = await pull();
  assert.match(passedOver.stderr, /summary is no summary and is passed over: .*31 bytes/);
  assert.equal(passedOver.status, 0, passedOver.stderr);
  assert.match(passedOver.stdout, new RegExp(commit));
  return 'what it names must be there and have its checksum; one that is none is passed over';
});

attack('a summary names deltas that are others', {}, async (t) => {
  const recorded = recordedRepositories(t, 'deltas');
  const commit = readFileSync(`${recorded}/archive/refs/heads/d/b`, 'latin1').trim();
  const summary = encodeVariant('(a(s(taya{sv}))a{sv})', [
    [['d/b', [100n, Buffer.from(commit, 'hex'), []]]],
    [['ostree.static-deltas', variantOf('a{sv}', [[commit, variantOf('ay', Buffer.alloc(32, 1))]])]],
  ]);
  const server = await archiveServer(t, [`${recorded}/d/scratch-b`, `${recorded}/archive`], (request, response) => {
    if (request.url !== '/repo/summary') return false;
    response.end(summary);
    return true;
  });
  const { repository, pull } = pulling(scratch(t), server.url, 'd/b');
  refused(await pull(), repository, new RegExp(`delta.*${'01'.repeat(32)}`));
  assert.ok(!server.lines().some((line) => /objects/.test(line)));
  return 'an error: nothing comes instead';
});

attack('an index of summaries names what is not there, is another one, or grows', {}, async (t) => {
  const { archive, commit, repository, pull } = await scene(t);
  const right = encodeSummary({ [REF]: commit });
  const digest = sha256(right);
  const subset = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch;
  writeFileSync(
    join(archive, 'summary.idx'),
    encodeVariant('(a{s(ayaaya{sv})}a{sv})', [[[subset, [Buffer.from(digest, 'hex'), [], []]]], []]),
  );
  const path = join(archive, `summaries/${digest}.gz`);
  refused(
    await pull(),
    repository,
    new RegExp(`${digest}\\.gz, which the index of the repository names, is not there`),
  );
  mkdirSync(dirname(path));
  for (const [bytes, message] of [
    [gzipSync(encodeSummary({ [REF]: 'cd'.repeat(32) })), /summaries\/.*[0-9a-f]{64}/],
    [gzipSync(Buffer.alloc(200 << 20)), /damaged, or too large/],
    [Buffer.from('no gzip'), /damaged, or too large/],
  ] as const) {
    writeFileSync(path, bytes);
    refused(await pull(), repository, message);
  }
  writeFileSync(path, gzipSync(right));
  const ended = await pull();
  assert.equal(ended.status, 0, ended.stderr);
  return 'an error that names the file';
});

attack('a server says that a summary has not changed which nobody has', {}, async (t) => {
  const { repository, pull } = await scene(t, (request, response) => {
    if (request.url !== '/repo/summary') return false;
    response.writeHead(304).end();
    return true;
  });
  refused(await pull(), repository, /summary: the server answers with status 304/);
  return 'an error';
});

attack('a server of ostree writes to the terminal', {}, async (t) => {
  const bad = '\x1b[2J\x9b\u202eevil';
  const { repository, pull } = await scene(t, (request, response) => {
    if (!/\/refs\//.test(request.url ?? '')) return false;
    response.writeHead(302, { location: `http://127.0.0.1:1/${encodeURI(bad)}` }).end();
    return true;
  });
  const ended = await pull();
  refused(ended, repository, /127\.0\.0\.1:1/);
  assert.doesNotMatch(ended.stderr, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  return 'controls are never printed';
});

attack('a repair has a source of ostree that lies, does not end and falls over', {}, async (t) => {
  let mode = 'lie';
  const { archive, repository, server, pull } = await scene(t, (request, response) => {
    const url = request.url ?? '';
    if (!/\.filez$|\.commit$/.test(url) || mode === 'right') return false;
    if (mode === 'lie')
      response.end(Buffer.concat([encodeSizedHeader(HEADER, 4n), deflateRawSync(Buffer.from('evil'))]));
    else if (mode === 'endless') {
      response.write(readFileSync(url.replace(/^\/repo/, archive)));
      endless(response, PIECE);
    } else request.socket.destroy();
    return true;
  });
  mode = 'right';
  assert.equal((await pull()).status, 0);
  const largest = filesBelow(join(repository, 'objects')).find((path) => statSync(path).size === LARGE.length)!;
  writeFileSync(largest, Buffer.alloc(LARGE.length, 'X'));
  const repair = (): Promise<Ended> => startCli(['--repo', repository, 'fsck', '--repair', '--from', server.url]).ended;
  for (mode of ['lie', 'endless', 'fall']) {
    const { status, stdout } = await repair();
    assert.equal(status, 1);
    assert.match(stdout, /^repaired: 0$/m);
    assert.match(stdout, /^problems of sources: 1\n {2}- http:\/\/127\.0\.0\.1/m);
    assert.match(stdout, /^ {2}- web\/stable: ostree commit [0-9a-f]{64}: 1 of its objects is missing/m);
  }
  mode = 'right';
  const { status, stdout } = await repair();
  assert.equal(status, 0, stdout);
  assert.ok(readFileSync(largest).equals(LARGE));
  return 'it is named, nothing is replaced, and the commit is incomplete until there is a better source';
});

attack('the signatures of a commit are nothing of the kind', {}, async (t) => {
  const { publicKey } = new Signer();
  for (const [bytes, message] of [
    [Buffer.alloc(0), /commit [0-9a-f]{64} has no Ed25519 signature/],
    [Buffer.from('<html>it works</html>'), /signatures of commit [0-9a-f]{64}/],
    [encodeVariant('a{sv}', [['ostree.sign.ed25519', variantOf('s', 'signed')]]), /has no Ed25519 signature/],
    [encodeVariant('a{sv}', [['ostree.sign.ed25519', variantOf('aay', [Buffer.alloc(63)])]]), /none is of a key/],
    [encodeVariant('a{sv}', [['ostree.sign.ed25519', variantOf('aay', [Buffer.alloc(64)])]]), /none is of a key/],
  ] as const) {
    const { repository, pull } = await scene(t, (request, response) => {
      if (!(request.url ?? '').endsWith('.commitmeta')) return false;
      response.end(bytes);
      return true;
    });
    refused(await pull('--verify-ed25519', publicKey), repository, message);
  }
  return 'the commit counts as not signed, or an error names them';
});
