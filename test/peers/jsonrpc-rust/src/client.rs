//! Asks for an image and all of its layers, rebuilds the tar of each, and prints what came as one line of JSON.
use crate::{Result, tar};
use jsonrpc_fdpass::{JsonRpcMessage, JsonRpcRequest, MessageWithFds, Receiver, Sender, UnixSocketTransport};
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::OwnedFd;
use tokio::net::UnixStream;

struct Client {
    sender: Sender,
    receiver: Receiver,
    id: u64,
}

pub async fn run(socket: &str, image: &str) -> Result<()> {
    let (sender, receiver) = UnixSocketTransport::new(UnixStream::connect(socket).await?).split();
    let mut client = Client { sender, receiver, id: 0 };
    let (answer, _) = client.call("GetImage", json!({ "imageId": image })).await?;
    let ids: Vec<&str> = answer["layerDigests"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut layers = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        // The top layer comes first, so the next one is the parent.
        let parent = ids.get(index + 1).unwrap_or(&"");
        let params = json!({ "layerId": id, "parentId": parent });
        let (result, fds) = client.call("GetSplitFDStream", params).await?;
        let mut files = fds.into_iter().map(File::from);
        let stream = files.next().ok_or("no descriptors")?;
        let files: Vec<File> = files.collect();
        let count = files.len();
        let (digest, size) = tar::rebuild(stream, &files)?;
        layers.push(json!({
            "id": id, "digest": digest, "size": size, "files": count, "streamSize": result["streamSize"],
        }));
    }
    println!("{}", json!({ "manifest": answer["manifest"], "config": answer["config"], "layers": layers }));
    Ok(())
}

impl Client {
    async fn call(&mut self, method: &str, params: Value) -> Result<(Value, Vec<OwnedFd>)> {
        self.id += 1;
        let request = JsonRpcRequest::new(method.into(), Some(params), json!(self.id));
        self.sender.send(MessageWithFds::new(JsonRpcMessage::Request(request), Vec::new())).await?;
        let answer = self.receiver.receive().await?;
        match answer.message {
            JsonRpcMessage::Response(response) if response.id == json!(self.id) => match (response.result, response.error) {
                (Some(result), None) => Ok((result, answer.file_descriptors)),
                (_, error) => Err(format!("{method}: {error:?}").into()),
            },
            other => Err(format!("{method}: answered with {other:?}").into()),
        }
    }
}
