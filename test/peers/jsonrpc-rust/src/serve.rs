//! Serves one image from a folder of prepared files, a descriptor for each file of a layer:
//!
//! ```text
//! image.json           the answer to GetImage
//! NAME/stream          the splitfdstream of the layer NAME
//! NAME/files/00000…    its files, in the order of their names
//! ```
use crate::Result;
use jsonrpc_fdpass::{JsonRpcError, JsonRpcMessage, JsonRpcRequest, JsonRpcResponse, MessageWithFds, UnixSocketTransport};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

type Answer = std::result::Result<(Value, Vec<OwnedFd>), (i32, String)>;

pub async fn run(socket: &str, folder: &str, batch: Option<NonZeroUsize>) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    println!("ready");
    loop {
        let (connection, _) = listener.accept().await?;
        if let Err(error) = serve(connection, Path::new(folder), batch).await {
            eprintln!("connection ended: {error}");
        }
    }
}

async fn serve(connection: UnixStream, folder: &Path, batch: Option<NonZeroUsize>) -> Result<()> {
    let (mut sender, mut receiver) = UnixSocketTransport::new(connection).split();
    if let Some(batch) = batch {
        sender.set_max_fds_per_sendmsg(batch);
    }
    while let Some(message) = receiver.receive_opt().await? {
        let JsonRpcMessage::Request(request) = message.message else { continue };
        let (response, fds) = match answer(&request, folder) {
            Ok((result, fds)) => (JsonRpcResponse::success(result, request.id), fds),
            Err((code, text)) => (JsonRpcResponse::error(JsonRpcError::owned(code, text, None::<Value>), request.id), Vec::new()),
        };
        sender.send(MessageWithFds::new(JsonRpcMessage::Response(response), fds)).await?;
    }
    Ok(())
}

fn answer(request: &JsonRpcRequest, folder: &Path) -> Answer {
    let param = |name: &str| match request.params.as_ref().and_then(|params| params[name].as_str()) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err((-32602, format!("{name} is required"))),
    };
    match request.method.as_str() {
        "GetImage" => {
            param("imageId")?;
            let text = fs::read(folder.join("image.json")).map_err(failure)?;
            Ok((serde_json::from_slice(&text).map_err(failure)?, Vec::new()))
        }
        "GetSplitFDStream" => layer(&folder.join(param("layerId")?)).map_err(failure),
        other => Err((-32601, format!("method \"{other}\" not found"))),
    }
}

fn layer(folder: &Path) -> Result<(Value, Vec<OwnedFd>)> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let open = |path: PathBuf| File::open(&path).map_err(|error| format!("{}: {error}", path.display()));
    let stream = open(folder.join("stream"))?;
    for entry in fs::read_dir(folder.join("files"))? {
        paths.push(entry?.path());
    }
    paths.sort();
    let size = stream.metadata()?.len();
    let mut fds = vec![OwnedFd::from(stream)];
    for path in paths {
        fds.push(open(path)?.into());
    }
    Ok((json!({ "streamSize": size }), fds))
}

fn failure(error: impl ToString) -> (i32, String) {
    (-32000, error.to_string())
}
