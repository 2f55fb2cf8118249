// What can be done with the descriptors of a layer. Arguments: jsonrpc | legacy | store | repository, the socket, layer
// id or diff_id, and for `repository` its path. Prints JSON.
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { connect, type Fd } from '../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../src/rpc/contracts/features.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';
import { VarlinkConnection } from '../../src/rpc/varlink/client.js';
import { VarlinkInterface } from '../../src/rpc/varlink/interface.js';
import { ociMethods } from '../../src/rpc/contracts/oci.js';
import { repositoryMethods } from '../../src/rpc/contracts/repository.js';

const [protocol, socket, layer, place, ...names] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  ...string[],
];

function outcome(run: () => unknown): string {
  try {
    return String(run());
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

function write(path: string): string {
  const fd = openSync(path, 'r+');
  writeSync(fd, 'X');
  closeSync(fd);
  return 'written';
}

async function descriptors(): Promise<Fd[]> {
  if (protocol === 'jsonrpc' || protocol === 'legacy') {
    const rpc = new JsonRpcConnection(await connect(socket));
    const { fds } = await rpc.call(methods.GetSplitFDStream, {
      layerId: layer,
      ...(protocol === 'jsonrpc' && { format: FEATURE_SPLITDIRFDSTREAM }),
    });
    return fds;
  }
  const client = new VarlinkConnection(await connect(socket));
  if (protocol === 'store') {
    const method = VarlinkInterface.fromProto('containers-storage/org.composefs.Oci.varlink').method<
      object,
      { dir_count: number }
    >('GetLayer');
    return (
      await client.call(method, {
        handle: 0,
        params: { storage: { storage_path: place, layer_id: layer }, consumer_has_cap_dac_override: true },
      })
    ).fds;
  }
  const { handle } = (await client.call(repositoryMethods.OpenRepository, { path: place })).parameters;
  return (
    await client.call(ociMethods.GetLayer, { handle, params: { diff_id: layer, consumer_has_cap_dac_override: true } })
  ).fds;
}

const fds = await descriptors();
const at = (fd: Fd): string => `/proc/${process.pid}/fd/${fd.number}`;
const results: Record<string, string> = {};
if (protocol === 'legacy') {
  const [stream, ...files] = fds;
  results['grow'] = outcome(() => ftruncateSync(stream!.number, 1 << 20));
  results['reopen stream'] = outcome(() => write(at(stream!)));
  results['reopen'] = [...new Set(files.map((fd) => outcome(() => write(at(fd)))))].sort().join();
  results['setuid'] = files
    .map((fd) => spawnSync(at(fd), ['-u'], { encoding: 'utf8' }).stdout?.trim() ?? '')
    .filter((text) => text !== '')
    .join();
} else {
  const folder = fds[1]!;
  results['up'] = outcome(() =>
    readdirSync(`${at(folder)}/..`)
      .sort()
      .join(),
  );
  results['up up'] = outcome(() =>
    readdirSync(`${at(folder)}/../..`)
      .sort()
      .join(),
  );
  for (const name of names) {
    if (name.startsWith('new:'))
      results[name] = outcome(() => (closeSync(openSync(`${at(folder)}/${name.slice(4)}`, 'wx')), 'made'));
    else if (name.startsWith('run:'))
      results[name] = spawnSync(`${at(folder)}/${name.slice(4)}`, ['-u'], { encoding: 'utf8' }).stdout?.trim() ?? '';
    else if (name.startsWith('read:'))
      results[name] = outcome(() => readFileSync(`${at(folder)}/${name.slice(5)}`, 'utf8').slice(0, 20));
    else results[name] = outcome(() => write(`${at(folder)}/${name}`));
  }
}
process.stdout.write(JSON.stringify(results));
process.exit(0);
