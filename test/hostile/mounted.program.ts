// What can be done in a mount that a server made. Arguments: the socket, the repository's path, the image's name.
// Prints JSON.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from '../../src/fd/fd-passing.js';
import { VarlinkConnection } from '../../src/rpc/varlink/client.js';
import { ociMethods } from '../../src/rpc/contracts/oci.js';
import { repositoryMethods } from '../../src/rpc/contracts/repository.js';

const [socket = '', path = '', image = ''] = process.argv.slice(2);

function outcome(run: () => unknown): string {
  try {
    return String(run());
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const client = new VarlinkConnection(await connect(socket));
const { handle } = (await client.call(repositoryMethods.OpenRepository, { path })).parameters;
const reply = await client.call(ociMethods.OciMount, { handle, image, bootable: false, options: {} });
const mount = `/proc/${process.pid}/fd/${reply.fds[reply.parameters.fd_index]!.number}`;
const results = {
  content: outcome(() => readFileSync(`${mount}/content`, 'utf8').slice(0, 7)),
  setuid: spawnSync(`${mount}/id`, ['-u'], { encoding: 'utf8' }).stdout?.trim() ?? '',
  device: outcome(() => closeSync(openSync(`${mount}/zero`, 'r'))),
  write: outcome(() => closeSync(openSync(`${mount}/everybody`, 'r+'))),
  create: outcome(() => closeSync(openSync(`${mount}/open/mine`, 'wx'))),
};
process.stdout.write(JSON.stringify(results));
process.exit(0);
