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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    fn ask(access: NetworkAccess, address: &str) -> Result<http::StatusCode, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
            let request = http::Request::builder().uri(format!("http://{address}/")).body(body).unwrap();
            let answer = Requests(access).send_request(request, None, Box::new(async { Ok(()) }));
            let (response, finished) = Box::into_pin(answer).await?;
            drop(finished);
            Ok(response.status())
        })
    }

    #[test]
    fn requests_are_sent_where_the_network_is_granted_and_only_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(matches!(ask(NetworkAccess::None, &address), Err(Error::HttpRequestDenied)));
        let server = std::thread::spawn(move || {
            // The first to come is the one that was granted it.
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            request
        });
        assert_eq!(ask(NetworkAccess::Host, &address).unwrap(), http::StatusCode::NO_CONTENT);
        assert!(server.join().unwrap().starts_with(b"GET / HTTP/1.1\r\n"));
    }
}
