import { Option } from 'commander';
import { byteCount, localFetch, oneOf, platform, positiveCount } from '../../option-values.js';
import {
  policyOptions,
  proxyOptions,
  registryOptions,
  type PolicyCommandOptions,
  type ProxyCommandOptions,
  type RegistryCommandOptions,
} from '../../registry-options.js';
import { referenceForms } from '../../../oci/source/open.js';
import type { DeltaCommandOptions } from '../../pull-delta.js';
import { allOptions, type AllCommandOptions } from '../../store-options.js';
import type { CommandDefinition, GlobalOptions } from '../../session.js';
import type { LocalFetch } from '../../../repository/local-fetch.js';
import type { Platform } from '../../../spec/platform.js';

export interface PullCommandOptions
  extends GlobalOptions,
    RegistryCommandOptions,
    PolicyCommandOptions,
    ProxyCommandOptions,
    DeltaCommandOptions,
    AllCommandOptions {
  localFetch: LocalFetch;
  zeroCopy?: true;
  socket?: string;
  from?: string;
  bootable?: true;
  expectedDigest?: string;
  sealSource?: true;
  keepBlobs?: true;
  platform?: Platform;
  /** in bytes */
  maxPartial?: number;
  dryRun?: true;
  json?: true;
}

export const ociPull: CommandDefinition = {
  name: 'pull',
  define: (command) =>
    allOptions(
      proxyOptions(policyOptions(registryOptions(command))),
      'Pull all images of the containers-storage that is the only argument then: containers-storage:[STORE]',
      'take tags away that are names of no image of the store',
    )
      .option('--dry-run', 'With --all: change nothing, and say what would be pulled')
      .description('Bring an image into the repository, verifying every layer')
      .argument(
        '<image>',
        `${oneOf(referenceForms())}; with --socket the name that the server knows, or where manifest and config are`,
      )
      .argument('[name]', 'Tag for the image; default: the image as written')
      .addOption(localFetch())
      .addOption(
        new Option('--zero-copy', 'The same as --local-fetch zerocopy: fail rather than copy file content').conflicts(
          'localFetch',
        ),
      )
      .option('--socket <path>', 'Pull from the server behind this socket: cfsbridge, cfsctl or containers-storage')
      .option('--from <repository>', 'With --socket: the repository to read, for servers that open repositories')
      .addOption(platform())
      .addOption(
        new Option(
          '--parallel <number>',
          'For registries and image proxies: how many layers to fetch at the same time; default: 3. For deltas: how ' +
            'many to make; default: 1 from a registry, else one for each processor',
        ).argParser(positiveCount),
      )
      .addOption(
        new Option(
          '--max-partial <bytes>',
          'For registries: how much space the parts of blobs that a killed pull leaves for the next one may take, ' +
            'such as 500M or 2G; default: a tenth of the free space, and nothing of deltas',
        ).argParser(byteCount),
      )
      .option(
        '--keep-blobs',
        'Keep the compressed layers as well, so that oci push sends the image bit for bit, signatures included',
      )
      .option(
        '--bootable',
        'Make the image to boot from as well: /boot and /sysroot emptied, SELinux labels by the policy of the image',
      )
      .option(
        '--expected-digest <hex>',
        'With --bootable: make the boot image that has this fs-verity digest, whatever its format and xattrs',
      )
      .option(
        '--seal-source',
        "Allow hardlinks that turn fs-verity on for the store's files, which podman then cannot change any more",
      )
      .option('--allow-unverified', 'Take layers that do not match their diff_id, under the digest they really have')
      .option(
        '--verify-key <file>',
        'For deltas: a public key (PEM) that must have signed the new image; else refuse it',
      )
      .option(
        '--fallback <image>',
        'For deltas: what to pull where the image that the delta changes is missing; default: from a registry, the ' +
          "delta's subject",
      )
      .option('--no-delta', 'For registries: pull the image itself, even where a delta of one that is here makes it')
      .option('--json', 'Print the result as JSON')
      .addHelpText(
        'after',
        '\n' +
          'Examples:\n' +
          '  $ cfsbridge oci pull docker://docker.io/library/debian:12 debian\n' +
          '  $ cfsbridge oci pull containers-storage:docker.io/library/debian:12 debian\n' +
          "  $ cfsbridge oci pull --all --filter 'localhost/*' containers-storage:\n" +
          '  $ cfsbridge oci pull --bootable containers-storage:quay.io/fedora/fedora-bootc:43 os\n' +
          '  $ cfsbridge oci pull --socket /run/cfsbridge.sock debian:12 debian\n' +
          '  $ cfsbridge oci pull --proxy docker://quay.io/fedora/fedora:42 fedora\n' +
          '  $ cfsbridge oci pull --socket /run/cfsctl.sock --from /srv/composefs web:stable',
      ),
};
