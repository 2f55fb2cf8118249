//! The command line that the crate ostree-ext brings, as it is. See ../README.md.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    ostree_ext::cli::run_from_iter(std::env::args_os()).await
}
