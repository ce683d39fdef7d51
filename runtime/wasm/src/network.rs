//! What a guest reaches of the network: everything that the node reaches, or nothing.
//!
//! The interfaces are linked in both cases, since programs of many languages import them all whether
//! they use them or not. A refused guest gets the interface's own error and never a trap.

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use wasmbatch_executor::NetworkAccess;

/// Most bytes of the headers of one request or response, in memory. A guest may hold as many headers
/// as it may hold resources.
const FIELD_BYTES: usize = 32 * 1024;

/// Allows sockets and the looking up of names, or refuses both.
pub(crate) fn grant_sockets(builder: &mut WasiCtxBuilder, access: NetworkAccess) {
    let granted = match access {
        NetworkAccess::None => false,
        NetworkAccess::Host => true,
    };
    builder.allow_tcp(granted).allow_udp(granted).allow_ip_name_lookup(granted);
    if granted {
        builder.inherit_network();
    }
}

/// State of `wasi:http`.
pub(crate) fn http() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(FIELD_BYTES);
    context
}

/// Sends requests or refuses to.
#[derive(Debug)]
pub(crate) struct Requests(pub(crate) NetworkAccess);

type Finished = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Finished), Error>> + Send>;

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        finished: Finished,
    ) -> Answer {
        match self.0 {
            NetworkAccess::None => Box::new(std::future::ready(Err(Error::HttpRequestDenied))),
            NetworkAccess::Host => wasmtime_wasi_http::default_hooks().send_request(request, options, finished),
        }
    }
}
