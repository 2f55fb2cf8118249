//! A client of org.composefs.Oci that knows nothing of composefs-bridge: all bytes on the socket are those of zlink, and what a
//! layer comes as is read by composefs-rs' own crate. See ../README.md.
mod interfaces;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};

use futures_util::{StreamExt, pin_mut};
use interfaces::{GetLayerParams, LayerRef, OciProxy, RepositoryProxy};
use zlink::tokio::unix::{self, Connection};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tar", socket, repository, diff_id] => write_tar(&mut Repository::open(socket, repository).await?, diff_id).await,
        ["copy", from_socket, from, to_socket, to, image, name] => {
            let mut from = Repository::open(from_socket, from).await?;
            let mut to = Repository::open(to_socket, to).await?;
            copy(&mut from, &mut to, image, name).await
        }
        _ => Err("tar SOCKET REPOSITORY DIFF_ID | copy SOCKET REPOSITORY SOCKET REPOSITORY IMAGE NAME".into()),
    }
}

struct Repository {
    server: Connection,
    handle: u64,
}

/// What GetLayer answers with: the stream, then folders, then what keeps the layer where it is.
struct Layer {
    descriptors: Vec<OwnedFd>,
    folders: usize,
}

impl Repository {
    async fn open(socket: &str, path: &str) -> Result<Self, Failure> {
        let mut server = unix::connect(socket).await?;
        let handle = server.open_repository(Some(path), None, None).await??.handle;
        Ok(Self { server, handle })
    }

    async fn layer(&mut self, diff_id: &str) -> Result<Layer, Failure> {
        let params = GetLayerParams { diff_id: Some(diff_id.into()), storage: None, consumer_has_cap_dac_override: true };
        let replies = self.server.get_layer(self.handle, params).await?;
        pin_mut!(replies);
        let mut layer = Layer { descriptors: Vec::new(), folders: 0 };
        while let Some(reply) = replies.next().await {
            let (answer, descriptors) = reply?;
            layer.folders = answer?.dir_count;
            layer.descriptors.extend(descriptors);
        }
        if layer.descriptors.len() < layer.folders + 2 {
            return Err("descriptors are missing".into());
        }
        Ok(layer)
    }
}

async fn write_tar(from: &mut Repository, diff_id: &str) -> Result<(), Failure> {
    let mut layer = from.layer(diff_id).await?;
    let stream = File::from(layer.descriptors.remove(0));
    let folders: Vec<_> = layer.descriptors[..layer.folders].iter().map(|folder| folder.as_fd()).collect();
    let mut out = BufWriter::new(std::io::stdout().lock());
    composefs_splitdirfdstream::reconstruct(BufReader::new(stream), &folders, &mut out)?;
    Ok(out.flush()?)
}

/// Copies an image from one server to another, which share nothing but the descriptors that are passed on.
async fn copy(from: &mut Repository, to: &mut Repository, image: &str, name: &str) -> Result<(), Failure> {
    let documents = from.server.inspect(from.handle, image).await??;
    let config: serde_json::Value = serde_json::from_str(&documents.config)?;
    let mut layers = Vec::new();
    for diff_id in config["rootfs"]["diff_ids"].as_array().ok_or("no diff_ids")? {
        let diff_id = diff_id.as_str().ok_or("a diff_id is no text")?;
        let present = to.server.has_layer(to.handle, diff_id).await??;
        let mut layer = from.layer(diff_id).await?;
        let _lifetime = layer.descriptors.split_off(1 + layer.folders);
        let stored = to.server.put_layer(to.handle, diff_id, false, layer.descriptors).await??;
        if stored.already_present != present.present {
            return Err("HasLayer and PutLayer disagree".into());
        }
        layers.push(LayerRef { diff_id: diff_id.into(), layer_verity: stored.layer_verity });
    }
    let image = to.server.finalize_image(to.handle, &documents.manifest, &documents.config, layers, Some(name)).await??;
    println!("{}", serde_json::to_string(&image)?);
    to.server.close_repository(to.handle).await??;
    from.server.close_repository(from.handle).await??;
    Ok(())
}
