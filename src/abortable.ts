/** What everything takes that can be stopped. It ends by throwing the signal's reason. */
export interface Abortable {
  signal?: AbortSignal | undefined;
}
