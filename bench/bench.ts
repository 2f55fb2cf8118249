import type { Measure } from './measure.js';
import type { Program } from './programs.js';

/** What all cases share. */
export interface Bench {
  images: readonly string[];
  /** runs of each program that count */
  repetitions: number;
  /** graphroot */
  store: string;
  /** folder of the other programs */
  peers: string;
  /** folder for everything that is written */
  work: string;
  measure: Measure;
  ours: Program;
  peer: Program;
  signal: AbortSignal;
  /** results so far, by the subject of the pull */
  results: Map<string, string[]>;
  /** shows what is being done */
  progress(text: string): void;
}
