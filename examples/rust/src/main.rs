//! pull-layer writes the tar of a layer to standard output, byte for byte, after asking a varlink server for it:
//!
//!     pull-layer SOCKET REPOSITORY DIFF_ID >layer.tar
//!
//! It has nothing but the contracts in ../../proto and crates for system calls, JSON and SHA-256:
//! org.composefs.Repository.OpenRepository and org.composefs.Oci.GetLayer in call.rs, the stream that a layer comes as in
//! stream.rs.
mod call;
mod stream;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::process::ExitCode;

use serde_json::json;
use sha2::{Digest, Sha256};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, repository, diff_id] = arguments.as_slice() else {
        eprintln!("pull-layer SOCKET REPOSITORY DIFF_ID");
        return ExitCode::from(2);
    };
    match pull(socket, repository, diff_id) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pull-layer: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn pull(socket: &str, repository: &str, diff_id: &str) -> Result<(), Failure> {
    let mut server = call::Server::connect(socket)?;
    let (opened, _) = server.call("org.composefs.Repository.OpenRepository", json!({ "path": repository }))?;
    let is_root = rustix::process::geteuid().is_root();
    let params = json!({ "diff_id": diff_id, "consumer_has_cap_dac_override": is_root });
    let (layer, mut descriptors) = server.call("org.composefs.Oci.GetLayer", json!({ "handle": opened["handle"], "params": params }))?;

    let folders = usize::try_from(layer["dir_count"].as_u64().ok_or("no dir_count")?)?;
    if descriptors.len() <= folders {
        return Err("descriptors are missing".into());
    }
    // What follows the folders only says, by being open until the end, that the layer is in use.
    let _lifetime = descriptors.split_off(1 + folders);
    let stream = File::from(descriptors.remove(0));

    let mut out = Hashing { out: BufWriter::new(io::stdout().lock()), hash: Sha256::new() };
    stream::write_tar(BufReader::new(stream), &descriptors, &mut out)?;
    out.flush()?;
    // A server that fails ends the stream as one does that is done: only the digest tells.
    let actual = format!("sha256:{:x}", out.hash.finalize());
    if actual == diff_id { Ok(()) } else { Err(format!("the layer is {actual}").into()) }
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
