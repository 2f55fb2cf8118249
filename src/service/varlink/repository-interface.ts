// org.composefs.Repository as cfsctl 0.9.4 serves it; the definition is proto/org.composefs.Repository.varlink.
import type { FsckJson } from '../../repository/fsck-report.js';
import { VarlinkInterface } from '../../rpc/varlink/interface.js';

export const repositoryInterface = VarlinkInterface.fromProto('org.composefs.Repository.varlink');

export interface Handle {
  handle: number;
}

export interface NewRepository {
  path: string;
  algorithm?: string | null;
  insecure?: boolean | null;
}

export interface RepositoryChoice {
  path?: string | null;
  user?: boolean | null;
  system?: boolean | null;
}

export interface OpenedRepository extends Handle {
  hash_algorithm?: string | null;
  /** st_dev */
  objects_device_id?: number | null;
}

export interface GcResult {
  result: { objects_removed: number; objects_bytes: number; images_pruned: number; streams_pruned: number };
  dry_run: boolean;
}

export interface MountChoice {
  overlay?: boolean | null;
  read_write?: boolean | null;
}

export const repositoryMethods = {
  InitRepository: repositoryInterface.method<NewRepository, { created: boolean }>('InitRepository'),
  EnsureRepository: repositoryInterface.method<NewRepository, { status: 'Opened' | 'Created' | 'Upgraded' }>('EnsureRepository'),
  OpenRepository: repositoryInterface.method<RepositoryChoice, OpenedRepository>('OpenRepository'),
  CloseRepository: repositoryInterface.method<Handle, object>('CloseRepository'),
  Fsck: repositoryInterface.method<Handle & { metadata_only?: boolean | null }, FsckJson>('Fsck'),
  Gc: repositoryInterface.method<Handle & { dry_run: boolean; roots: string[] }, GcResult>('Gc'),
  ImageObjects: repositoryInterface.method<Handle & { name: string }, { object_ids: string[] }>('ImageObjects'),
  ListImageRefs: repositoryInterface.method<Handle, { images: { name: string; digest: string }[] }>('ListImageRefs'),
  Mount: repositoryInterface.method<Handle & { name: string; options: MountChoice }, { fd_index: number }>('Mount'),
};
