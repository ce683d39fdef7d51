//! What a guest sees of the world: WASI contexts and the streams in them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::{OutputStream as WasiOutput, Pollable, StreamResult};
use wasmtime_wasi::{FsPerms, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use wasmbatch_executor::{EngineProfile, NetworkAccess, OutputStream};

use crate::channel::Channel;
use crate::deterministic::{VirtualClocksView, VirtualTime, make_deterministic};
use crate::limits::Limits;
use crate::network::{self, Requests};

/// Most bytes of one write of a guest.
const WRITE_PERMIT: usize = 64 * 1024;

/// What one guest sees, before it is known which kind of guest it is.
pub(crate) struct World {
    pub(crate) builder: WasiCtxBuilder,
    /// Where its time isn't the host's.
    pub(crate) time: Option<VirtualTime>,
    pub(crate) network: NetworkAccess,
}

/// State of a core module's store.
pub(crate) struct ModuleState {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) limits: Limits,
    pub(crate) time: Option<VirtualTime>,
}

impl ModuleState {
    pub(crate) fn new(world: World, limits: Limits) -> Self {
        let World { mut builder, time, network: _ } = world;
        Self { wasi: builder.build_p1(), limits, time }
    }

    /// The guest's resources.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        self.wasi.ctx().table
    }
}

/// State of a component's store.
pub(crate) struct ComponentState {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
    time: Option<VirtualTime>,
    http: WasiHttpCtx,
    requests: Requests,
}

impl ComponentState {
    pub(crate) fn new(world: World, limits: Limits) -> Self {
        let World { mut builder, time, network } = world;
        let (wasi, table) = (builder.build(), ResourceTable::new());
        Self { wasi, table, limits, time, http: network::http(), requests: Requests(network) }
    }

    /// For guests of an engine that wants virtual time.
    pub(crate) fn virtual_clocks(&mut self) -> VirtualClocksView<'_> {
        let time = self.time.get_or_insert_default();
        VirtualClocksView { time, table: &mut self.table }
    }
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.requests }
    }
}

/// What decides on a guest's world beside its folders and streams.
pub(crate) struct Settings<'a> {
    pub(crate) program: &'a [u8; 32],
    pub(crate) arguments: &'a [&'a str],
    pub(crate) environment: &'a [(&'a str, &'a str)],
    pub(crate) network: NetworkAccess,
    pub(crate) profile: EngineProfile,
}

/// A world without folders: arguments, environment, clocks, random numbers, empty stdin, and what it
/// may reach of the network.
pub(crate) fn world(settings: &Settings<'_>) -> World {
    let Settings { program, arguments, environment, network, profile } = *settings;
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(arguments)
        .initial_cwd("/")
        // This thread has nothing else to do than to wait for the guest's files.
        .allow_blocking_current_thread(true);
    for (key, value) in environment {
        builder.env(key, value);
    }
    network::grant_sockets(&mut builder, network);
    let time = match profile {
        EngineProfile::Plain | EngineProfile::Fuel => None,
        EngineProfile::Deterministic => Some(make_deterministic(&mut builder, program, arguments, environment)),
    };
    World { builder, time, network }
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
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn WasiOutput> {
        Box::new(self.clone())
    }
}

/// For WASI 0.3. Taking output may block this thread, which has nothing else to do.
impl tokio::io::AsyncWrite for ChannelStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.channel.output(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
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
