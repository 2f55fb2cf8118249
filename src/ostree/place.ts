import { fileURLToPath } from 'node:url';

/** Where a repository of ostree is. */
export type OstreePlace = { readonly folder: string } | { readonly url: string };

/** @param place as people say it: a folder, `file://`, or the URL of one at a server, which need not be a right one */
export function placeOf(place: string): OstreePlace {
  if (/^file:\/\//i.test(place)) return { folder: fileURLToPath(place) };
  return isUrl(place) ? { url: place } : { folder: place };
}

/** Whether it can be no path, but for one that nobody has. */
export function isUrl(place: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/|^(?:mirrorlist|contenturl)=/i.test(place);
}
