/** What one run took: seconds, bytes for the peak, and requests to a server; only what was measured. */
export interface Sample {
  wall: number;
  cpu?: number;
  peak?: number;
  requests?: number;
}

export type Metric = keyof Sample;

/** All runs of one program with one subject. */
export interface Series {
  program: string;
  samples: Sample[];
  /** how file content got into the repository, as far as the program says: "hardlinked", … */
  method?: string;
}

/** One line of a case's table: the programs side by side. */
export interface Row {
  case: string;
  subject: string;
  series: Series[];
}

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** @returns undefined when the runs did not measure this */
export function spread({ samples }: Series, metric: Metric): Spread | undefined {
  const values = samples.map((sample) => sample[metric]).filter((value) => value !== undefined);
  values.sort((a, b) => a - b);
  const [min, max] = [values[0], values.at(-1)];
  if (min === undefined || max === undefined) return undefined;
  const [low, high] = [values[(values.length - 1) >> 1] as number, values[values.length >> 1] as number];
  return { median: (low + high) / 2, min, max };
}
