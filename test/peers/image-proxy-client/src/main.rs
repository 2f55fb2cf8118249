//! A client of image proxies that knows nothing of composefs-bridge: it makes every call of the crate with which bootc,
//! rpm-ostree and ostree-rs-ext do it. See ../README.md.
mod layers;

use std::process::Command;

use containers_image_proxy::oci_spec::image::{Digest, ImageManifest};
use containers_image_proxy::{BlobStreamSource, Error, ImageProxy, ImageProxyConfig, ImageReference, OpenedImage};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let output = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["calls", program, image, missing] => calls(start(program).await?, image, missing).await?,
        ["layers", program, image] => layers_of(start(program).await?, image).await?,
        _ => return Err("calls PROGRAM IMAGE MISSING-IMAGE | layers PROGRAM IMAGE".into()),
    };
    println!("{output}");
    Ok(())
}

async fn start(program: &str) -> Result<ImageProxy, Error> {
    let mut config = ImageProxyConfig::default();
    config.skopeo_cmd = Some(Command::new(program));
    config.insecure_policy = Some(true);
    config.insecure_skip_tls_verification = Some(true);
    config.auth_anonymous = true;
    config.user_agent_prefix = Some("image-proxy-client".into());
    ImageProxy::new_with_config(config).await
}

/// What all calls come to.
async fn calls(proxy: ImageProxy, reference: &str, missing: &str) -> Result<Value, Failure> {
    let image = proxy.open_image(reference).await?;
    let parsed = ImageReference::try_from(reference)?;
    let by_reference = proxy.open_image_ref(&parsed).await?;
    let optional = proxy.open_image_optional_ref(&parsed).await?.ok_or("the image is not there")?;
    let (digest, raw) = proxy.fetch_manifest_raw_oci(&image).await?;
    let (same, manifest) = proxy.fetch_manifest(&by_reference).await?;
    let config = proxy.fetch_config_raw(&image).await?;
    let parsed_config = proxy.fetch_config(&optional).await?;
    let infos = proxy.get_layer_info(&image).await?.ok_or("no layer infos")?;
    let mut blobs = Vec::new();
    for info in &infos {
        blobs.push(json!({
            "digest": info.digest.to_string(),
            "size": info.size,
            "type": info.media_type.to_string(),
            "blob": blob(&proxy, &image, &info.digest, info.size).await,
            "raw": raw_blob(&proxy, &image, &info.digest).await,
            "stream": stream(&proxy, &image, &info.digest, info.size).await,
            "short": blob(&proxy, &image, &info.digest, info.size + 1).await,
        }));
    }
    let unknown: Digest = format!("sha256:{}", "0".repeat(64)).parse()?;
    let answers = json!({
        "raw blobs": proxy.supports_get_raw_blob(),
        "same image": digest == same,
        "digest": digest,
        "manifest": shown(&raw),
        "layers": manifest.layers().len(),
        "config": shown(&config),
        "diff ids": parsed_config.rootfs().diff_ids(),
        "config blob": config_blob(&proxy, &image, &manifest).await,
        "blobs": blobs,
        "missing": of(proxy.open_image(missing).await.map(|_| Value::Null)),
        "missing, optional": of(proxy.open_image_optional(missing).await.map(|found| json!(found.is_some()))),
        "unknown blob": succeeds(&blob(&proxy, &image, &unknown, 1).await),
        "unknown raw blob": succeeds(&raw_blob(&proxy, &image, &unknown).await),
        "close": of(proxy.close_image(&image).await.map(Value::from)),
        "close again": of(proxy.close_image(&image).await.map(Value::from)),
        "closed": of(proxy.fetch_config_raw(&image).await.map(|_| Value::Null)),
    });
    proxy.finalize().await?;
    Ok(answers)
}

/// The digests of tars that are put together from what the proxy's socket gives, by the digests they should have.
async fn layers_of(proxy: ImageProxy, reference: &str) -> Result<Value, Failure> {
    let image = proxy.open_image(reference).await?;
    let config = proxy.fetch_config(&image).await?;
    let mut client = layers::connect(proxy.open_varlink_socket(&image).await?)?;
    let mut tars = Vec::new();
    for (index, diff_id) in config.rootfs().diff_ids().iter().enumerate() {
        tars.push(json!({
            "diff_id": diff_id,
            "by index": layers::digest(&mut client, Some(index), None).await?,
            "by diff_id": layers::digest(&mut client, None, Some(diff_id)).await?,
        }));
    }
    drop(client);
    proxy.finalize().await?;
    Ok(json!(tars))
}

async fn blob(proxy: &ImageProxy, image: &OpenedImage, digest: &Digest, size: u64) -> Value {
    match proxy.get_blob(image, digest, size).await {
        Ok((reader, driver)) => read(reader, driver).await,
        Err(error) => failure(&error),
    }
}

async fn config_blob(proxy: &ImageProxy, image: &OpenedImage, manifest: &ImageManifest) -> Value {
    match proxy.get_descriptor(image, manifest.config()).await {
        Ok((reader, driver)) => read(reader, driver).await,
        Err(error) => failure(&error),
    }
}

async fn raw_blob(proxy: &ImageProxy, image: &OpenedImage, digest: &Digest) -> Value {
    match proxy.get_raw_blob(image, digest).await {
        Ok((size, reader, driver)) => json!([size, read(reader, driver).await]),
        Err(error) => failure(&error),
    }
}

async fn stream(proxy: &ImageProxy, image: &OpenedImage, digest: &Digest, size: u64) -> Value {
    match proxy.get_blob_stream(image, digest, size).await {
        Ok(stream) => {
            let raw = stream.source() == BlobStreamSource::GetRawBlob;
            let (reader, driver) = stream.into_parts();
            json!([raw, read(reader, driver).await])
        }
        Err(error) => failure(&error),
    }
}

/// What came, and how it ended.
async fn read<E: std::fmt::Display>(mut reader: impl AsyncRead + Unpin, driver: impl Future<Output = Result<(), E>>) -> Value {
    let mut bytes = Vec::new();
    let (count, end) = tokio::join!(reader.read_to_end(&mut bytes), driver);
    let end = end.map_or_else(|error| error.to_string(), |()| "whole".into());
    json!([shown(&bytes), count.is_ok(), end])
}

fn shown(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{} {digest}", bytes.len())
}

fn of(result: Result<Value, Error>) -> Value {
    result.unwrap_or_else(|error| failure(&error))
}

fn failure(error: &Error) -> Value {
    json!({ "error": error.to_string(), "again": error.is_retryable() })
}

/// What is said of a blob that is not there differs with where it is not.
fn succeeds(answer: &Value) -> bool {
    answer.get("error").is_none()
}
