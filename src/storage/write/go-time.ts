/** A time as Go's encoder writes it: RFC 3339, without zeros at the end of the fraction. */
export function goTime(time: Date): string {
  return withoutZeros(time.toISOString());
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** The same for a time that somebody has written; undefined for what Go does not read as one. */
export function goTimeOf(text: string | undefined): string | undefined {
  if (text === undefined || !RFC_3339.test(text) || Number.isNaN(Date.parse(text))) return undefined;
  return withoutZeros(text.replace(/[+-]00:00$/, 'Z'));
}

function withoutZeros(text: string): string {
  return text.replace(/(?:\.0+|(\.\d*?)0+)(?=Z|[+-])/, '$1');
}
