//! A client and a server of the splitfdstream methods that know nothing of composefs-bridge: all bytes on the socket are
//! those of the published jsonrpc-fdpass library. See ../README.md.
mod client;
mod serve;
mod tar;

use std::env::args;
use std::error::Error;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", socket, image] => client::run(socket, image).await,
        ["serve", socket, folder] => serve::run(socket, folder, None).await,
        ["serve", socket, folder, batch] => serve::run(socket, folder, Some(batch.parse()?)).await,
        _ => Err("client SOCKET IMAGE | serve SOCKET FOLDER [FDS_PER_SENDMSG]".into()),
    }
}
