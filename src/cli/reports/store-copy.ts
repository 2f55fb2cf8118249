import { describeBytes } from '../../oci/pull/stats.js';
import type { AllResult, NamedOutcome } from '../../oci/store/all.js';
import type { LayerSurvey } from '../../oci/store/survey.js';
import type { StoreCopyResult } from '../../oci/store/types.js';
import { describeError } from '../errors.js';

/** What a copy into a store did, or would do, for people. */
export function storeCopyText(result: StoreCopyResult, dryRun: boolean): string {
  const { id, existed, manifestDigest, configDigest, names, layers } = result;
  const count = (outcome: string): number => layers.filter((layer) => layer.outcome === outcome).length;
  const done = dryRun ? `${count('planned')} to write` : `${count('written')} written`;
  return [
    `image    ${id}${existed ? ', which was there' : ''}`,
    `manifest ${manifestDigest}`,
    `config   ${configDigest}`,
    ...names.map((name) => `name     ${name}`),
    `layers   ${done}, ${count('reused')} already there`,
    ...(dryRun ? planText(result) : writtenText(result)),
    '',
  ].join('\n');
}

/** What the layers that are to be written consist of. */
function planText({ layers }: StoreCopyResult): string[] {
  const planned = layers.filter(({ outcome }) => outcome === 'planned');
  const surveys = planned.flatMap(({ survey }) => survey ?? []);
  const sum = (of: keyof LayerSurvey): number => surveys.reduce((total, survey) => total + survey[of], 0);
  const unread = planned.length - surveys.length;
  return [
    ...(surveys.length > 0
      ? [
          `files    ${sum('files')} to share, ${describeBytes(sum('fileBytes'))}, where the file system can; ` +
            `${sum('inlined')} to write, ${describeBytes(sum('inlineBytes'))}`,
        ]
      : []),
    ...(unread > 0 ? [`files    those of ${unread} layers to unpack from blobs, nothing to share`] : []),
  ];
}

function writtenText({ layers }: StoreCopyResult): string[] {
  const written = layers.flatMap(({ extracted }) => extracted ?? []);
  if (written.length === 0) return [];
  const sum = (of: 'cloned' | 'copied' | 'inline' | 'clonedBytes' | 'copiedBytes' | 'inlineBytes'): number =>
    written.reduce((total, layer) => total + layer[of], 0);
  return [
    `files    ${sum('cloned')} shared + ${sum('copied')} copied + ${sum('inline')} written; ` +
      `${describeBytes(sum('clonedBytes'))} shared, ${describeBytes(sum('copiedBytes'))} copied, ` +
      `${describeBytes(sum('inlineBytes'))} written`,
  ];
}

/** The same for programs. */
export function storeCopyJson(result: StoreCopyResult, dryRun: boolean): unknown {
  return {
    id: result.id,
    existed: result.existed,
    dry_run: dryRun,
    manifest_digest: result.manifestDigest,
    config_digest: result.configDigest,
    names: result.names,
    layers: result.layers.map(({ diffId, id, outcome, extracted, survey }) => ({
      diff_id: diffId,
      id: id ?? null,
      outcome,
      written: extracted ?? null,
      plan: survey ?? null,
    })),
  };
}

const WORDS: Readonly<Record<NamedOutcome['outcome'], readonly [done: string, planned: string]>> = {
  there: ['there', 'there'],
  new: ['new', 'would be new'],
  moved: ['moved', 'would be moved'],
  removed: ['removed', 'would be removed'],
  failed: ['failed', 'would fail'],
};

/** One name, as it is told when it is done. */
export function outcomeLine({ name, outcome, manifestDigest }: NamedOutcome, dryRun: boolean): string {
  return `${WORDS[outcome][dryRun ? 1 : 0]} ${name}${manifestDigest === undefined ? '' : ` ${manifestDigest}`}`;
}

/** What became of all names, for programs. */
export function allJson({ images, skipped }: AllResult, dryRun: boolean): unknown {
  return {
    dry_run: dryRun,
    images: images.map(({ name, outcome, manifestDigest, error }) => ({
      name,
      outcome,
      manifest_digest: manifestDigest ?? null,
      error: error === undefined ? null : describeError(error),
    })),
    skipped,
  };
}
