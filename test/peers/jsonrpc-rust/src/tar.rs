//! Turns a splitfdstream into a tar: puts the files' content in, the padding after it, and the two blocks at the end.
use crate::Result;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 512;

/// The digest and the length of the tar.
pub fn rebuild(stream: File, files: &[File]) -> Result<(String, u64)> {
    let mut pieces = Pieces { stream: BufReader::with_capacity(1 << 18, stream), files, piece: Piece::Inline(0) };
    let mut tar = Tar { hash: Sha256::new(), size: 0 };
    let mut announced = None;
    let mut header = [0; BLOCK as usize];
    while pieces.fill(&mut header)? {
        tar.write_all(&header)?;
        match header[156] {
            b'x' | b'g' | b'L' | b'K' => {
                // Extension records keep their padding.
                let mut record = vec![0; number(&header[124..136])?.next_multiple_of(BLOCK) as usize];
                pieces.read_exact(&mut record)?;
                tar.write_all(&record)?;
                if header[156] == b'x' {
                    announced = announced_size(&record);
                }
            }
            b'0' | 0 | b'7' => {
                let size = match announced.take() {
                    Some(size) => size,
                    None => number(&header[124..136])?,
                };
                if std::io::copy(&mut pieces.by_ref().take(size), &mut tar)? != size {
                    return Err("the stream ends in the middle of a file".into());
                }
                tar.zeros(size.next_multiple_of(BLOCK) - size)?;
            }
            _ => announced = None,
        }
    }
    tar.zeros(2 * BLOCK)?;
    let digest = tar.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok((format!("sha256:{digest}"), tar.size))
}

/// A number of a tar header: octal, or two's complement with the highest bit set.
fn number(field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 != 0 {
        return Ok(u64::from_be_bytes(field[field.len() - 8..].try_into()?));
    }
    let digits = std::str::from_utf8(field)?.trim_matches(['\0', ' ']);
    Ok(if digits.is_empty() { 0 } else { u64::from_str_radix(digits, 8)? })
}

/// The value of the record `size` of a PAX header.
fn announced_size(mut records: &[u8]) -> Option<u64> {
    loop {
        let space = records.iter().position(|&byte| byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?;
        if let Some(value) = record.strip_prefix(b"size=") {
            return std::str::from_utf8(value).ok()?.trim_end().parse().ok();
        }
        records = &records[length..];
    }
}

/// The bytes of a splitfdstream's pieces, one after the other.
struct Pieces<'a> {
    stream: BufReader<File>,
    files: &'a [File],
    piece: Piece,
}

enum Piece {
    /// this many bytes of the stream
    Inline(u64),
    /// which file, from where, how many bytes
    File(usize, u64, u64),
}

impl Pieces<'_> {
    /// Fills the buffer; false at the end of the stream.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let first = self.read(buffer)?;
        if first > 0 {
            self.read_exact(&mut buffer[first..])?;
        }
        Ok(first > 0)
    }

    /// False at the end of the stream.
    fn next(&mut self) -> std::io::Result<bool> {
        let mut prefix = [0; 8];
        match self.stream.read(&mut prefix)? {
            0 => return Ok(false),
            count => self.stream.read_exact(&mut prefix[count..])?,
        }
        let prefix = i64::from_le_bytes(prefix);
        self.piece = if prefix < 0 {
            Piece::Inline(prefix.unsigned_abs())
        } else {
            let file = self.files.get(prefix as usize).ok_or(ErrorKind::InvalidData)?;
            Piece::File(prefix as usize, 0, file.metadata()?.len())
        };
        Ok(true)
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = match &mut self.piece {
                Piece::Inline(left) => {
                    let count = self.stream.by_ref().take(*left).read(buffer)?;
                    *left -= count as u64;
                    count
                }
                Piece::File(index, offset, left) => {
                    let most = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let count = self.files[*index].read_at(&mut buffer[..most], *offset)?;
                    *offset += count as u64;
                    *left -= count as u64;
                    count
                }
            };
            if count > 0 || buffer.is_empty() || !self.next()? {
                return Ok(count);
            }
        }
    }
}

struct Tar {
    hash: Sha256,
    size: u64,
}

impl Tar {
    fn zeros(&mut self, count: u64) -> Result<()> {
        Ok(self.write_all(&[0; 2 * BLOCK as usize][..count as usize])?)
    }
}

impl Write for Tar {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
