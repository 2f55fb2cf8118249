//! Layers as a proxy's socket gives them: the bytes on it are those of zlink, and the tars are put together by composefs-rs.
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};

use futures_util::{Stream, StreamExt, pin_mut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zlink::ReplyError;
use zlink::tokio::unix::{Connection, Stream as Socket};

use crate::Failure;

#[derive(Debug, Serialize, Deserialize)]
pub struct GetLayerParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
    pub consumer_has_cap_dac_override: bool,
}

#[derive(Debug, Deserialize)]
pub struct LayerReply {
    pub dir_count: usize,
}

#[derive(Debug, ReplyError)]
#[zlink(interface = "org.composefs.Oci")]
pub enum OciFailure {
    InternalError { message: String },
    NoSuchLayer { diff_id: String },
    NoSuchLayerIndex { layer_index: i64 },
}

#[zlink::proxy(interface = "org.composefs.Oci")]
trait OciProxy {
    #[zlink(more, return_fds)]
    async fn get_layer(&mut self, handle: u64, params: GetLayerParams) -> zlink::Result<impl Stream<Item = zlink::Result<(Result<LayerReply, OciFailure>, Vec<OwnedFd>)>>>;
}

/// Must be called within a runtime.
pub fn connect(socket: OwnedFd) -> Result<Connection, Failure> {
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(Connection::new(Socket::try_from(tokio::net::UnixStream::from_std(stream)?)?))
}

/// SHA-256 of a layer's tar, which is its diff_id.
pub async fn digest(client: &mut Connection, layer_index: Option<usize>, diff_id: Option<&str>) -> Result<String, Failure> {
    let params = GetLayerParams { layer_index, diff_id: diff_id.map(String::from), consumer_has_cap_dac_override: true };
    let replies = client.get_layer(0, params).await?;
    pin_mut!(replies);
    let mut descriptors = Vec::new();
    let mut folders = 0;
    while let Some(reply) = replies.next().await {
        let (answer, fds) = reply?;
        folders = answer.map_err(|error| format!("{error:?}"))?.dir_count;
        descriptors.extend(fds);
    }
    if descriptors.len() < folders + 2 {
        return Err("descriptors are missing".into());
    }
    let stream = File::from(descriptors.remove(0));
    let directories: Vec<_> = descriptors[..folders].iter().map(|folder| folder.as_fd()).collect();
    let mut hash = Hash(Sha256::new());
    composefs_splitdirfdstream::reconstruct(BufReader::new(stream), &directories, &mut hash)?;
    let hex = hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(format!("sha256:{hex}"))
}

struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
