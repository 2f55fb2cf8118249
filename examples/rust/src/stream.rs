use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::Failure;

const METADATA: u8 = 0;
const INLINE_DATA: u8 = 1;
const FILE_BACKED: u8 = 2;

const MAX_BODY: u32 = 256 << 20;
const MAX_NAME: u32 = 4096;

/// Puts the tar together again: its own bytes out of the stream, the content of files out of the folders.
pub fn write_tar(mut stream: impl BufRead, folders: &[OwnedFd], out: &mut impl Write) -> Result<(), Failure> {
    while !stream.fill_buf()?.is_empty() {
        match number::<1>(&mut stream)? as u8 {
            METADATA | INLINE_DATA => copy_bytes(&mut stream, out)?,
            FILE_BACKED => copy_file(&mut stream, folders, out)?,
            kind => return Err(format!("chunk of unknown type {kind}").into()),
        }
    }
    Ok(())
}

fn copy_bytes(stream: &mut impl Read, out: &mut impl Write) -> Result<(), Failure> {
    let length = number::<4>(stream)? as u32;
    if length > MAX_BODY {
        return Err(format!("chunk of {length} bytes").into());
    }
    copy_exactly(stream, length.into(), out)
}

fn copy_file(stream: &mut impl Read, folders: &[OwnedFd], out: &mut impl Write) -> Result<(), Failure> {
    let size = number::<8>(stream)?;
    let slot = number::<4>(stream)? as usize;
    let name_length = number::<4>(stream)? as u32;
    // Of the slots only those count that a chunk names; others may hold anything.
    let folder = folders.get(slot).ok_or("there is no such folder")?;
    if name_length > MAX_NAME {
        return Err(format!("name of {name_length} bytes").into());
    }
    let mut name = vec![0; name_length as usize];
    stream.read_exact(&mut name)?;

    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut file = File::from(openat2(folder, name.as_slice(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty(), beneath)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != size {
        return Err(format!("{} is not the file that was meant", name.escape_ascii()).into());
    }
    copy_exactly(&mut file, size, out)
}

fn copy_exactly(from: &mut impl Read, length: u64, out: &mut impl Write) -> Result<(), Failure> {
    if io::copy(&mut from.take(length), out)? == length { Ok(()) } else { Err("the content ends too early".into()) }
}

/// A little-endian number of N bytes.
fn number<const N: usize>(stream: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes[..N])?;
    Ok(u64::from_le_bytes(bytes))
}
