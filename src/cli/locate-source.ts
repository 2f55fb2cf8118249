import { locateImage, locateProxiedImage, locateServedImage, type ImageLocation } from '../oci/source/location.js';
import { UsageError } from './errors.js';
import { wantsProxy, type ProxyCommandOptions } from './registry-options.js';

/** The options that say by which way an image comes. */
export interface SourceCommandOptions extends ProxyCommandOptions {
  socket?: string;
  from?: string;
}

/** Where the image is that a command is to take. @throws UsageError for ways that exclude each other */
export function locateSource(reference: string, options: SourceCommandOptions): ImageLocation {
  if (options.from !== undefined && options.socket === undefined)
    throw new UsageError("option '--from' says which repository of a server; it needs '--socket'");
  if (options.socket !== undefined && wantsProxy(options))
    throw new UsageError("options '--socket' and '--proxy' are two ways to an image; leave out one of them");
  if (options.socket !== undefined) return locateServedImage(options.socket, reference, options.from);
  return wantsProxy(options) ? locateProxiedImage(reference, options.proxyCommand) : locateImage(reference);
}
