//! What a guest sees of the world: WASI contexts and the streams in them.

use std::io;

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::{OutputStream as WasiOutput, Pollable, StreamResult};
use wasmtime_wasi::{FsPerms, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use wasmbatch_executor::OutputStream;

use crate::channel::Channel;
use crate::limits::Limits;

/// Most bytes of one write of a guest.
const WRITE_PERMIT: usize = 64 * 1024;

/// State of a core module's store.
pub(crate) struct ModuleState {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) limits: Limits,
}

/// State of a component's store.
pub(crate) struct ComponentState {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A context without folders: arguments, environment, clocks, random numbers, empty stdin, no
/// network.
pub(crate) fn context<'a>(
    arguments: &[impl AsRef<str>],
    environment: impl Iterator<Item = (&'a str, &'a str)>,
) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(arguments)
        .initial_cwd("/")
        // This thread has nothing else to do than to wait for the guest's files.
        .allow_blocking_current_thread(true)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    for (key, value) in environment {
        builder.env(key, value);
    }
    builder
}

/// Gives the guest the folder that is this process's working folder at the moment.
pub(crate) fn add_working_folder(
    builder: &mut WasiCtxBuilder,
    guest_path: &str,
    read_only: bool,
) -> wasmtime::Result<()> {
    let permissions = if read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
    builder.preopened_dir(".", guest_path, permissions)?;
    Ok(())
}

/// One of a guest's output streams, into the worker's channel.
#[derive(Debug, Clone)]
pub(crate) struct ChannelStream {
    pub(crate) channel: Channel,
    pub(crate) stream: OutputStream,
}

impl io::Write for ChannelStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.channel.output(self.stream, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IsTerminal for ChannelStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for ChannelStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 would ask for it, which is not linked.
        std::io::empty().async_stream()
    }

    fn p2_stream(&self) -> Box<dyn WasiOutput> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for ChannelStream {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl WasiOutput for ChannelStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.channel.output(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What is gathered leaves within milliseconds anyway.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write(bytes)
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}
