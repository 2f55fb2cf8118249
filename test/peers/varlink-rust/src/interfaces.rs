use std::os::fd::OwnedFd;

use futures_util::Stream;
use serde::{Deserialize, Serialize};
use zlink::ReplyError;

#[derive(Debug, Deserialize)]
pub struct Opened {
    pub handle: u64,
}

#[derive(Debug, ReplyError)]
#[zlink(interface = "org.composefs.Repository")]
pub enum RepositoryFailure {
    RepoNotFound { message: String },
    InvalidHandle { handle: u64 },
    InvalidSpec { message: String },
    InternalError { message: String },
}

#[zlink::proxy(interface = "org.composefs.Repository")]
pub trait RepositoryProxy {
    async fn open_repository(&mut self, path: Option<&str>, user: Option<bool>, system: Option<bool>) -> zlink::Result<Result<Opened, RepositoryFailure>>;
    async fn close_repository(&mut self, handle: u64) -> zlink::Result<Result<(), RepositoryFailure>>;
}

#[derive(Debug, Deserialize)]
pub struct Documents {
    pub manifest: String,
    pub config: String,
}

#[derive(Debug, Deserialize)]
pub struct Presence {
    pub present: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct StorageLocator {
    pub storage_path: String,
    pub layer_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct GetLayerParams {
    pub diff_id: Option<String>,
    pub storage: Option<StorageLocator>,
    pub consumer_has_cap_dac_override: bool,
}

#[derive(Debug, Deserialize)]
pub struct LayerReply {
    pub dir_count: usize,
}

#[derive(Debug, Deserialize)]
pub struct StoredLayer {
    pub layer_verity: String,
    pub already_present: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct LayerRef {
    pub diff_id: String,
    pub layer_verity: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct StoredImage {
    pub manifest_digest: String,
    pub manifest_verity: String,
    pub config_digest: String,
    pub config_verity: String,
}

#[derive(Debug, ReplyError)]
#[zlink(interface = "org.composefs.Oci")]
pub enum OciFailure {
    InvalidHandle { handle: u64 },
    NoSuchImage { image: String },
    InternalError { message: String },
    NoSuchLayer { diff_id: String },
    InvalidDigest { message: String },
    DiffIdMismatch { expected: String, actual: String },
    InvalidRequest { message: String },
    FdLimitExceeded { fd_count: u64, max_per_frame: u64 },
}

#[zlink::proxy(interface = "org.composefs.Oci")]
pub trait OciProxy {
    async fn inspect(&mut self, handle: u64, image: &str) -> zlink::Result<Result<Documents, OciFailure>>;
    async fn has_layer(&mut self, handle: u64, diff_id: &str) -> zlink::Result<Result<Presence, OciFailure>>;
    #[zlink(more, return_fds)]
    async fn get_layer(&mut self, handle: u64, params: GetLayerParams) -> zlink::Result<impl Stream<Item = zlink::Result<(Result<LayerReply, OciFailure>, Vec<OwnedFd>)>>>;
    async fn put_layer(&mut self, handle: u64, diff_id: &str, zerocopy: bool, #[zlink(fds)] fds: Vec<OwnedFd>) -> zlink::Result<Result<StoredLayer, OciFailure>>;
    async fn finalize_image(&mut self, handle: u64, manifest_json: &str, config_json: &str, layers: Vec<LayerRef>, name: Option<&str>) -> zlink::Result<Result<StoredImage, OciFailure>>;
}

/// Both are printed as they are.
macro_rules! failure {
    ($($name:ident),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, "{self:?}")
            }
        }

        impl std::error::Error for $name {}
    )*};
}

failure!(RepositoryFailure, OciFailure);
