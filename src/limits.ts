// How much from outside is held in memory at a time: every place that reads foreign bytes whole has its limit here,
// with the reason for the number. What is streamed (content of files, tars, bodies of splitstreams) needs none. In
// bytes, unless said otherwise. The limits of what native code holds are in native/base/limits.h.

// Repositories

/** meta.json has some hundred bytes; later versions may add members. */
export const META_LIMIT = 1 << 20;
/** Digests of a splitstream's objects, raw: two million objects with SHA-512. Larger ones are not layers. */
export const OBJECT_REFS_LIMIT = 128 << 20;
/** Named references of a splitstream, decompressed: some 100,000 names. A config has one for each layer. */
export const NAMED_REFS_LIMIT = 16 << 20;
/**
 * A splitstream's body while it is written, compressed: it holds headers and tiny files, and layers of a million files
 * need 40 MiB.
 */
export const SPLITSTREAM_LIMIT = 2 ** 30;
/**
 * Longest single inline chunk of a splitstream that we write. Only longer runs than this without any object are cut.
 */
export const INLINE_RUN_LIMIT = 32 << 20;
/** An EROFS image that is looked through: what one Buffer holds on every Node. */
export const EROFS_SCAN_LIMIT = 2 ** 31 - 1;
/** An EROFS image that is written or read as a file tree: the limit of composefs-rs. */
export const EROFS_IMAGE_LIMIT = 2 ** 30;
/** A file of a tree that is read whole: kernels' command lines, policies, loader entries, boot images. */
export const CONFIG_FILE_LIMIT = 64 << 20;
/** The section of a unified kernel image with the command line, of which the kernel takes 2 KiB. */
export const COMMAND_LINE_LIMIT = 1 << 20;
/** Window of a foreign zstd frame, as a power of two: 128 MiB, libzstd's own default. */
export const ZSTD_WINDOW_LOG_LIMIT = 27;

/** Content that comes as bytes is stored in one piece up to here, and streamed beyond: larger pieces gain no time. */
export const WHOLE_CONTENT_LIMIT = 1 << 20;

// ostree

/** Nesting of GVariant types and values: what GLib reads has at most twice as much, what ostree writes a fifth. */
export const GVARIANT_DEPTH_LIMIT = 64;
/** A GVariant type string, which stands in a commit for each value of its metadata. GLib's own limit is 255. */
export const GVARIANT_TYPE_LIMIT = 255;
/** What stands before the content of a file. Linux takes 64 KiB of names and 64 KiB for each value of its xattrs. */
export const OSTREE_HEADER_LIMIT = 4 << 20;
/**
 * A commit, dirtree or dirmeta, the file of signatures beside a commit, and the beginning of a static delta from a
 * server: the limit of ostree itself.
 */
export const OSTREE_METADATA_LIMIT = 128 << 20;
/** Offsets of the elements of a GVariant array that stays in its file: a quarter of a million elements. */
export const GVARIANT_TABLE_LIMIT = 1 << 20;
/** The beginning of a static delta in a file, which may hold all of it; as a whole it is read to verify a signature. */
export const OSTREE_SUPERBLOCK_LIMIT = 1 << 30;
/** The file of a ref: an id, and perhaps the end of a line. */
export const OSTREE_REF_LIMIT = 256;
/** A summary, an index of summaries or deltas, or signatures of one: a million refs. */
export const OSTREE_SUMMARY_LIMIT = 128 << 20;
/** Modes, sets of xattrs, or operations of one part of a delta: a million files, or as many pieces of them. */
export const OSTREE_DELTA_TABLE_LIMIT = 64 << 20;
/** The config of an ostree repository, which a person may have written. */
export const OSTREE_CONFIG_LIMIT = 1 << 20;
/** The chunk of a commit stream: ten million files. */
export const OSTREE_CHUNK_LIMIT = 2 ** 31 - 1;
/** Commit streams that a pull keeps in memory, to look for objects in: half a million files. */
export const OSTREE_BASES_LIMIT = 64 << 20;
/** Names in the tree of a commit: with less than a hundred objects one could have more of them than there are atoms. */
export const OSTREE_ENTRIES_LIMIT = 10_000_000;
/** The same where most of them are repetitions, unless the next limit allows more. */
export const OSTREE_REPEATED_LIMIT = 1_000_000;
/** Names in the tree of a commit for each object that it has. */
export const OSTREE_REPETITIONS_LIMIT = 64;
/** Entries of folders that are kept in case they come again. */
export const OSTREE_KNOWN_TREES_LIMIT = 1 << 16;

// Images

/** Manifest, index or config of an image. Registries stop at 4 MiB; configs of artifacts may be larger. */
export const DOCUMENT_LIMIT = 16 << 20;
/** The file that marks a folder as an OCI layout. */
export const LAYOUT_LIMIT = 4096;
/** The file that marks a folder written by `skopeo copy … dir:`. */
export const DIR_VERSION_LIMIT = 256;
/**
 * Indexes in indexes, and the manifests they lead to, in number: an image has one for each platform. More is taken for
 * an attack.
 */
export const INDEX_DEPTH_LIMIT = 8;
export const INDEX_MANIFESTS_LIMIT = 1000;
/** Symlinks from one to the next: Docker made archives in which equal layers are symlinks to each other. */
export const ARCHIVE_LINKS_LIMIT = 8;
/** Entries of an archive that holds an image, in number: each costs memory, and there is one for each blob. */
export const ARCHIVE_ENTRIES_LIMIT = 100_000;

/**
 * Dictionaries of frames in patches of deltas, and the frames' windows, of all layers that are made at the same time.
 * One that takes more than this has to be alone, and has at most 2^29 bytes for each.
 */
export const DELTA_DICTIONARY_LIMIT = 64 << 20;

// Registries

/** A manifest or index. Registries take no larger ones. */
export const REGISTRY_MANIFEST_LIMIT = 4 << 20;
/** One page of tags or referrers: ten thousand names. */
export const REGISTRY_PAGE_LIMIT = 4 << 20;
/** Pages of one list, in number: ten million names, more than any repository has. */
export const REGISTRY_PAGES_LIMIT = 1000;
/** All pages of one list together: a million names as long as they may be, or several millions of usual ones. */
export const REGISTRY_LIST_LIMIT = 128 << 20;
/** Rather than read more than this of an answer that nobody wants, the connection is given up. */
export const DISCARD_LIMIT = 64 << 10;
/** What a token service answers: tokens have a few kilobytes. */
export const TOKEN_ANSWER_LIMIT = 1 << 20;
/** What a server says when it says no; a person reads a line of it. */
export const REFUSAL_LIMIT = 16 << 10;
/** What a credential helper prints. */
export const CREDENTIAL_LIMIT = 256 << 10;
/** A signed statement about an image: some hundred bytes, and what the signer adds. */
export const STATEMENT_LIMIT = 64 << 10;
/** Deltas of one image that are looked at, in number: each costs a request, and the latest few releases matter. */
export const DELTAS_LIMIT = 32;
/** Signatures of one image that are looked at, in number: each costs a request. As in skopeo. */
export const SIGNATURES_LIMIT = 128;
/** All signatures of one image in one list: as many as that, a kilobyte each, as base64, and far more. */
export const SIGNATURE_LIST_LIMIT = 4 << 20;

// Configuration

/**
 * One file of the containers' tools: storage.conf, registries.conf, a policy, a key. Credentials of a thousand
 * registries fit.
 */
export const CONTAINERS_CONFIG_LIMIT = 4 << 20;
/** Certificate authorities of one file, or of all files of a folder: those of whole systems have half a megabyte. */
export const AUTHORITIES_LIMIT = 16 << 20;
/** /etc/passwd and /etc/subuid: half a million users. */
export const USER_TABLE_LIMIT = 32 << 20;

// Files of the kernel

/** One about this process (limits, status, maps of ids): some kilobytes. */
export const KERNEL_FILE_LIMIT = 1 << 20;
/**
 * One line of a list of mounts or locks: a path has up to 16 KiB when each byte is escaped, and overlay mounts have one
 * for each layer.
 */
export const KERNEL_LINE_LIMIT = 1 << 20;

/** A note of ours about a push: an URL, a digest. */
export const PUSH_NOTE_LIMIT = 64 << 10;

// Layers

/**
 * Extension records of one tar entry, and one global header: xattrs of 64 KiB each, which the kernel allows, fit
 * several times.
 */
export const TAR_EXTENSION_LIMIT = 1 << 20;
/**
 * Headers and records before one tar entry, which GetSplitFDStream sends in one piece: extensions as above, and some
 * global headers.
 */
export const LEGACY_HEADERS_LIMIT = 4 << 20;

/**
 * A path, or the target of a link: what the kernel takes (PATH_MAX less the NUL). Each entry's path may name all
 * folders above it.
 */
export const PATH_LIMIT = 4095;
/** One name of a path: what the kernel's file systems take. */
export const NAME_LIMIT = 255;
/** Symlinks followed in one path, in number: as many as the kernel follows. */
export const LINKS_LIMIT = 40;
/** Bytes of targets followed in one path: 40 targets of 4095 bytes would make a short name cost what thousands do. */
export const LINK_TARGETS_LIMIT = 4096;
/** Names of the xattrs of one inode, with a NUL each: what the kernel lists (XATTR_LIST_MAX). */
export const XATTR_NAMES_LIMIT = 64 << 10;

// Storage of containers

/** layers.json or images.json: half a kilobyte for each layer or image. */
export const STORE_INDEX_LIMIT = 256 << 20;
/** An image's manifest. Registries refuse larger ones. */
export const STORE_MANIFEST_LIMIT = 4 << 20;
/** An image's config: as small as the manifest in practice, but nobody limits them. */
export const STORE_CONFIG_LIMIT = 32 << 20;
/** What belongs to one image, in base64, on its way to another process of ours: config, manifests and signatures. */
export const IMAGE_DOCUMENTS_LIMIT = 96 << 20;
/** The table of contents of a zstd:chunked layer: it grows with the number of files, about 200 bytes each. */
export const CHUNKED_TABLE_LIMIT = 256 << 20;
/** Layers below one that can be mounted, in number: podman's bound. */
export const LOWERS_LIMIT = 500;
/** Their ids, or their short names: of twice as many. */
export const STORE_LOWERS_LIMIT = 64 << 10;
/** One line of tar-split: headers with the largest extension records its own reader accepts stay far below this. */
export const TAR_SPLIT_LINE_LIMIT = 16 << 20;

// Sockets

/** One message, when the other end does not say less: manifests and configs go as JSON strings. */
export const MESSAGE_LIMIT = 64 << 20;
/** Descriptors of one message, in number: the kernel's own bound for a process. */
export const MESSAGE_FDS_LIMIT = 1_048_576;
/** Layers of one image, in number: the bound of podman's server on the depth of an image. */
export const LAYERS_LIMIT = 4096;
/**
 * Folders of one layer that a server sends, in number: no layer has so many folders below it, and one that goes on must
 * end.
 */
export const LAYER_FOLDERS_LIMIT = 1024;
/**
 * Bytes of one chunk of splitdirfdstream, as cfsctl and containers-storage limit them. They are streamed all the same.
 */
export const CHUNK_BODY_LIMIT = 256 << 20;
/** Name of a file in splitdirfdstream, as cfsctl and containers-storage limit it. */
export const CHUNK_NAME_LIMIT = 4096;
/**
 * JSON in JSON: no message of these protocols nests deeper than a handful; a parser fed deeper input only burns time.
 */
export const JSON_DEPTH_LIMIT = 128;
/** Names of members and methods are shorter. */
export const MEMBER_NAME_LIMIT = 256;
/** Strings beyond are counted as long: a call may have as many as it has documents. */
export const LONG_STRING = 64 << 10;
/** Types nested in types; a definition from a peer must not exhaust the stack. */
export const INTERFACE_DEPTH_LIMIT = 64;

/** One packet of skopeo's image proxy, in bytes: the buffer of the original, which cuts longer ones. */
export const PROXY_PACKET_LIMIT = 32768;
/** Descriptors of one packet of it, in number: its clients have no room for more. */
export const PROXY_FDS_LIMIT = 2;
/** What an image proxy says about a raw blob that it could not read: a sentence. */
export const PROXY_ERROR_LIMIT = 64 << 10;
/** What is kept of a program's standard error: its last line is shown. */
export const LAST_WORDS_LIMIT = 4096;
/** Images that one client of it may have open, in number: clients have one. */
export const PROXY_IMAGES_LIMIT = 256;
/** Pipes that may be under way to it, in number; each costs descriptors and 256 KiB. */
export const PROXY_PIPES_LIMIT = 128;
/** Milliseconds without a byte of a blob, where nobody says another number. */
export const PROXY_IDLE_LIMIT = 60_000;
/** Characters of an error that it is told: a packet has room for them, whatever they are. */
export const PROXY_MESSAGE_LIMIT = 5000;
/** Requests of it that are not answered yet, in number: no more are received until some are. */
export const PROXY_REQUESTS_LIMIT = 64;

// Clients of a server

/**
 * What of a call is kept before it is known which method it calls: with every known client that is among the first
 * bytes.
 */
export const UNKNOWN_CALL_LIMIT = 64 << 10;
/** A call, without the documents below: names, digests, and the layers of an image. */
export const REQUEST_LIMIT = 1 << 20;
/** The manifest and the config that FinalizeImage brings, each: as much as registries take. */
export const CALL_DOCUMENT_LIMIT = 4 << 20;
/** JSON writes a byte as six at most (`\u0000`). */
export const JSON_ESCAPED = 6;

/** What clients may take of a server. */
export interface ClientLimits {
  /** bytes of unfinished messages of one user who is neither root nor the server's own */
  unfinishedOfUser: number;
  /** the same of all of them together; and as much again of root and the server's own user */
  unfinishedOfAll: number;
  /** milliseconds until an unfinished message ends its connection */
  messageTime: number;
  /** milliseconds an answer or a layer's stream may go unread */
  unread: number;
  /** milliseconds after which a lease ends when somebody waits for it */
  held: number;
  /** layers in use by one user who is neither root nor the server's own */
  leases: number;
  /** answers with a descriptor for each file that one user may have under way: each may fill a temporary file */
  fileAnswers: number;
  /** descriptors of the process; undefined: its limit of open files */
  descriptors: number | undefined;
  /** descriptors set aside for a connection, with the repository it may have open */
  descriptorsOfConnection: number;
  /** and for a layer that is handed out: its folder, clone, recipe, lock, and two pipes */
  descriptorsOfLease: number;
}

export const CLIENT_LIMITS: ClientLimits = {
  // A FinalizeImage of the largest documents, escaped as they are in practice, fits three times.
  unfinishedOfUser: 32 << 20,
  // Four users who try.
  unfinishedOfAll: 128 << 20,
  messageTime: 60_000,
  // As long as clients of ours wait for a silent sender.
  unread: 300_000,
  held: 3_600_000,
  leases: 64,
  fileAnswers: 4,
  descriptors: undefined,
  descriptorsOfConnection: 8,
  descriptorsOfLease: 10,
};

// Files under a lease (F_SETLEASE)

/** Milliseconds to wait for one: the kernel takes it from its holder after 45 s. */
export const LEASE_WAIT = 60_000;
/** Milliseconds between two tries. */
export const LEASE_PAUSE = 20;

// Descriptors of strangers

/** Milliseconds until the filesystem of one must have said what it is: one of this machine does at once. */
export const FOREIGN_CHECK = 10_000;

// Dumpfiles

/** One line: the longest paths with every byte escaped, and xattrs, need half of it. */
export const DUMP_LINE_LIMIT = 8 << 20;
/** A whole dumpfile: an image of as many lines would be longer than any may be. */
export const DUMP_LIMIT = 2 ** 31;
