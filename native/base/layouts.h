// The numbers and places of what JavaScript and the addon hand each other as bytes. src/layouts.ts has the same, under
// the same names; test/native/layouts.test.ts compares them. All numbers in bytes are little endian.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cfsbridge {

// Operations on a layer, which src/layer/batch.ts writes, and parts, which src/fd/part-writer.ts and
// src/fd/pipe-pump.ts write and which are of the first three kinds only, and for the latter also ranges. Behind the
// kind (u8) comes
//   Bytes, Memory, Data: u32 size, the bytes
//   Named: i32 descriptor of the folder, u64 size, u16 length of the name, the name
//   Open: i32 descriptor, u64 size
//   DataBegin: u64 size
//   DataEnd: nothing
//   Range: i32 descriptor, u64 where in the file to begin, u64 size
//   Entry: what src/storage/extract/entry-record.ts writes:
//     u8 EntryKind, u8 whether its owner is set, u32 mode, u32 uid, u32 gid, u32 major, u32 minor,
//     i64 and u32 time of access in s and ns, i64 and u32 time of modification, u64 size of the content that follows,
//     u64 where in the tar it is, u16 length of the path, u16 length of the target, u16 number of xattrs,
//     the path, the target, and for each xattr: u8 whether the file has to get it, u16 length of the name,
//     u32 length of the value, the name, the value
//   Digest: nothing; its result is the SHA-256 of all bytes since the one before it
//   Text: u32 size, bytes of what is written about the layer; of what unpacks one, as the next two
//   Segment: nothing; in the text come, in base64, the Bytes since the one before it
//   Checksum: nothing; in the text comes, in base64, the CRC-64 of the content before it
//   Deflated: u64 size of the content, u32 size of the deflate data, which are behind it
//   DeflatedFile: u64 size of the content, i32 descriptor, u64 where the deflate data begin, u32 their size
enum class Operation : uint8_t {
  Bytes = 0,
  Named = 1,
  Open = 2,
  Memory = 3,
  DataBegin = 4,
  Data = 5,
  DataEnd = 6,
  Range = 7,
  Entry = 8,
  Digest = 9,
  Deflated = 10,
  DeflatedFile = 11,
  Text = 12,
  Segment = 13,
  Checksum = 14
};
// Size of a part that may have any.
constexpr uint64_t kAnySize = 0xffffffffffffffff;
// Content that is deflated has so many bytes at most.
constexpr uint64_t kInflatable = 0x80000;

// What is made of an entry that is unpacked. Whiteout: a device 0:0. Opaque: an xattr of its folder. Nothing: what was
// there goes away.
enum class EntryKind : uint8_t {
  File = 0,
  Hardlink = 1,
  Symlink = 2,
  Char = 3,
  Block = 4,
  Directory = 5,
  Fifo = 6,
  Whiteout = 7,
  Opaque = 8,
  Nothing = 9
};
// How the content of a file came to be where a layer was unpacked. None: it belongs to nothing that is kept.
enum class ContentWay : uint8_t { Cloned = 0, Copied = 1, Inline = 2, None = 3 };

// What a patch consists of, which src/oci/delta/patch-batch.ts writes. Behind the kind (u8) comes
//   Raw: u32 size, operations of tar-diff as they are
//   Content: a part of an object as data: u64 where it begins, u64 its size, u16 length of the name, the name
//   Changed: u64 size of the object that it was before, u16 length of that one's name, the name, and then as Content
enum class PatchOperation : uint8_t { Raw = 0, Content = 1, Changed = 2 };

// What became of a file of a layer. Unshareable: copied, as `SharingRule` does not let the file itself be an object.
enum class Outcome : uint8_t {
  Hashed = 0,
  Reflinked = 1,
  Hardlinked = 2,
  Copied = 3,
  Present = 4,
  Small = 5,
  Unshareable = 6,
  Digest = 7
};

// Where in the result of one file what is: u8 Outcome, u8 length, and 64 bytes for the digest or the content.
enum ResultAt : size_t { kResultOutcome = 0, kResultLength = 1, kResultContent = 2, kResultEnd = 66 };

// Where in the head of a scanned name what is.
enum ScanAt : size_t {
  kScanParent = 0,         // u32 number of the directory it is in
  kScanNumber = 4,         // u32 its own, of directories
  kScanMode = 8,           // u32
  kScanUid = 12,           // u32
  kScanGid = 16,           // u32
  kScanRdev = 20,          // u32
  kScanMtimeSec = 24,      // i64
  kScanMtimeNsec = 32,     // u32
  kScanSize = 36,          // u64
  kScanDev = 44,           // u64, of hardlinked inodes, when asked for
  kScanIno = 52,           // u64, the same
  kScanData = 60,          // u8, see ScanData
  kScanNameLength = 61,    // u16
  kScanDataLength = 63,    // u32
  kScanXattrsLength = 67,  // u32
  kScanEnd = 71            // here the name begins, then come the data and the xattrs
};
// What the data of a scanned name is.
enum class ScanData : uint8_t { None = 0, Inline = 1, Digest = 2, Target = 3, Link = 4 };
// Which xattrs are read.
enum class XattrChoice { None = 0, User = 1, All = 2 };

// What is wrong with an object.
enum class Defect : uint8_t { Open = 0, Verity = 1, NoVerity = 2, Mismatch = 3, Unsafe = 4 };

// How far a pump has come. Done: nothing is left. Full: the reader has to take some first. Leased: a file's lease has
// to be given back first.
enum class PumpState { Done = 0, Full = 1, Leased = 2 };

// Results of calls on sockets that are no errors.
enum class SocketResult { WouldBlock = -1, ControlTruncated = -2, PacketTruncated = -3, TooManyInFlight = -4 };
// What a socket can be waited for; bits.
enum Interest : uint32_t { kInterestRead = 1, kInterestWrite = 2 };

}  // namespace cfsbridge
